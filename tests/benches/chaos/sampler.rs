//! Samples of the aggregator's overview.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rta_tests::{WebClient, WebResponse};
use serde_json::Value;

use crate::actual_state::HealthSet;
use crate::components::INSTANCES;
use crate::platform::HOSTS;

/// Overview at one moment.
#[derive(Debug)]
pub(crate) struct OverviewSample {
    pub(crate) asked: Instant,
    /// Instances in the order of [`INSTANCES`].
    pub(crate) instances: Vec<ShownInstance>,
}

/// Instance in an overview.
#[derive(Debug)]
pub(crate) struct ShownInstance {
    pub(crate) health: HealthSet,
    pub(crate) pids: Vec<u32>,
    pub(crate) reason: String,
    pub(crate) is_running: bool,
    /// True if it is starting or stopping.
    pub(crate) is_busy: bool,
}

/// Requests a page; `None` if the server does not answer.
pub(crate) fn get(web: WebClient, path: &str) -> Option<WebResponse> {
    let mut stream = TcpStream::connect_timeout(&web.0, Duration::from_secs(1)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", web.0);
    stream.write_all(request.as_bytes()).ok()?;
    Some(WebResponse::read(stream)).filter(|answer| answer.code == 200)
}

impl OverviewSample {
    /// Requests an overview; `None` if the aggregator does not answer.
    pub(crate) fn take(web: WebClient) -> Option<Self> {
        let asked = Instant::now();
        let overview: Value = serde_json::from_str(&get(web, "/api/v1/overview")?.body).unwrap();
        let hosts = overview["environments"][0]["hosts"].as_array().unwrap();
        let said = |host: usize, component: &str| {
            let host = hosts.iter().find(|shown| shown["name"] == HOSTS[host]).unwrap();
            let mut instances = host["instances"].as_array().unwrap().iter();
            ShownInstance::new(instances.find(|shown| shown["component"] == component).unwrap())
        };
        let instances = INSTANCES.iter().map(|instance| said(instance.host, instance.component));
        Some(Self { asked, instances: instances.collect() })
    }
}

impl ShownInstance {
    fn new(shown: &Value) -> Self {
        let pids = shown["pids"].as_array().into_iter().flatten().filter_map(Value::as_u64);
        Self {
            health: HealthSet::from_word(shown["health"].as_str().unwrap()),
            pids: pids.filter_map(|pid| u32::try_from(pid).ok()).collect(),
            reason: shown["reason"].as_str().unwrap_or_default().to_owned(),
            is_running: shown["state"] == "running",
            is_busy: shown["state"] == "starting" || shown["state"] == "stopping",
        }
    }
}
