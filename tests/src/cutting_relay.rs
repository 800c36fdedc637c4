//! Relay between an aggregator and an agent, for connections that break at a chosen message.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Relay between an aggregator and an agent, which cuts connections when the aggregator sends a certain text.
#[derive(Debug)]
pub struct CuttingRelay {
    listener: TcpListener,
    agent: Mutex<SocketAddr>,
    /// Text that is not passed on, and number of connections to cut.
    cuts: Mutex<(&'static str, usize)>,
}

impl CuttingRelay {
    /// Starts a relay that cuts so many connections when `text` comes from the aggregator.
    pub fn start(text: &'static str, cuts: usize) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let agent = Mutex::new(listener.local_addr().expect("it listens"));
        let relay = Arc::new(Self { listener, agent, cuts: Mutex::new((text, cuts)) });
        let accepting = Arc::clone(&relay);
        std::thread::spawn(move || {
            for aggregator in accepting.listener.incoming() {
                let Ok(aggregator) = aggregator else { continue };
                let Ok(agent) = TcpStream::connect(*accepting.agent.lock().expect("no thread panicked"))
                else {
                    continue;
                };
                let both = agent.try_clone().and_then(|agent| Ok((agent, aggregator.try_clone()?)));
                let (to_agent, to_aggregator) = both.expect("descriptors are left");
                let relay = Arc::clone(&accepting);
                std::thread::spawn(move || pass_on(aggregator, to_agent, |bytes| relay.is_cut_at(bytes)));
                std::thread::spawn(move || pass_on(agent, to_aggregator, |_| false));
            }
        });
        relay
    }

    /// Sets the agent of new connections.
    pub fn lead_to(&self, agent: SocketAddr) {
        *self.agent.lock().expect("no thread panicked") = agent;
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("it listens")
    }

    /// Returns the number of connections that are still to be cut.
    pub fn cuts_left(&self) -> usize {
        self.cuts.lock().expect("no thread panicked").1
    }

    fn is_cut_at(&self, bytes: &[u8]) -> bool {
        let mut cuts = self.cuts.lock().expect("no thread panicked");
        let is_cut = cuts.1 > 0 && bytes.windows(cuts.0.len()).any(|window| window == cuts.0.as_bytes());
        cuts.1 -= usize::from(is_cut);
        is_cut
    }
}

/// Passes bytes on until an end, or bytes at which the connection is cut.
fn pass_on(mut from: TcpStream, mut to: TcpStream, is_cut_at: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if is_cut_at(&buffer[..length]) || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other direction ends too.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
