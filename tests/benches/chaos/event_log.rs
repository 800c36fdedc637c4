//! Requesters and actions in the aggregator's event store.

use std::collections::BTreeSet;

use rta_tests::WebClient;
use serde_json::Value;

use crate::sampler::get;

/// Number of events requested at a time.
const PAGE: usize = 1000;

/// Recorded requests.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    /// Names of all requesters.
    pub(crate) names: BTreeSet<String>,
    /// Number of events of plans and steps.
    pub(crate) actions: usize,
    /// Events of plans and steps without a requester's name, as sentences.
    pub(crate) nameless: Vec<String>,
}

impl EventLog {
    /// Reads all recorded events from this aggregator; `None` if it does not answer.
    pub(crate) fn read(web: WebClient) -> Option<Self> {
        let mut record = Self::default();
        let mut before = String::new();
        loop {
            let path = format!("/api/v1/events?limit={PAGE}{before}");
            let page: Value = serde_json::from_str(&get(web, &path)?.body).ok()?;
            let events = page["events"].as_array()?;
            events.iter().for_each(|event| record.add(event));
            match events.iter().filter_map(|event| event["id"].as_u64()).min() {
                Some(oldest) => before = format!("&before={oldest}"),
                None => return Some(record),
            }
        }
    }

    fn add(&mut self, event: &Value) {
        if event["kind"] != "plan" && event["kind"] != "step" {
            return;
        }
        self.actions += 1;
        match event["by"]["user"].as_str().filter(|user| !user.is_empty()) {
            Some(user) => {
                self.names.insert(user.to_owned());
            }
            None => self.nameless.push(event["text"].as_str().unwrap_or_default().to_owned()),
        }
    }
}
