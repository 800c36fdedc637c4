//! HTTP server that counts what it receives.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rta_tests::wait_for;
use serde_json::Value;

/// Received request.
#[derive(Clone, Debug)]
pub(crate) struct SinkRequest {
    headers: Vec<(String, String)>,
    /// Body; null if it is not JSON.
    pub(crate) body: Value,
    is_accepted: bool,
}

impl SinkRequest {
    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Running sink.
pub(crate) struct CountingSink {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<SinkRequest>>>,
    refuses: Arc<AtomicBool>,
}

impl CountingSink {
    /// Starts a sink that accepts everything.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, refuses) = (Arc::<Mutex<Vec<SinkRequest>>>::default(), Arc::<AtomicBool>::default());
        let sink = Self { address, requests: Arc::clone(&requests), refuses: Arc::clone(&refuses) };
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (requests, refuses) = (Arc::clone(&requests), Arc::clone(&refuses));
                std::thread::spawn(move || {
                    let is_accepted = !refuses.load(Ordering::SeqCst);
                    if let Some(request) = answer(stream.unwrap(), is_accepted) {
                        requests.lock().unwrap().push(request);
                    }
                });
            }
        });
        sink
    }

    /// Answers further requests with an error, or with success.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Returns all requests.
    pub(crate) fn requests(&self) -> Vec<SinkRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns the accepted requests.
    pub(crate) fn deliveries(&self) -> Vec<SinkRequest> {
        self.requests().into_iter().filter(|request| request.is_accepted).collect()
    }

    /// Waits for this number of accepted requests, and returns them.
    pub(crate) fn wait_for_deliveries(&self, count: usize) -> Vec<SinkRequest> {
        wait_for(&format!("{count} deliveries"), || Some(self.deliveries()).filter(|all| all.len() >= count))
    }
}

/// Reads a request and answers it; `None` if the connection ended before.
fn answer(stream: TcpStream, is_accepted: bool) -> Option<SinkRequest> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut headers = Vec::new();
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let status = if is_accepted { "200 OK" } else { "503 Service Unavailable" };
    let mut stream = stream;
    // A sender that is gone needs no answer.
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    Some(SinkRequest { headers, body: serde_json::from_slice(&body).unwrap_or_default(), is_accepted })
}
