//! Open pages, and the times and sizes of their updates.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Time limit that no correct run exceeds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Update of a page.
struct PageUpdate {
    page: usize,
    at: Instant,
    bytes: usize,
}

/// Pages that are open at the same time.
pub(crate) struct PageReaders {
    pages: usize,
    hears: Receiver<PageUpdate>,
}

/// Times at which the first and the last page received a change, and the size of the update in bytes.
pub(crate) struct UpdateRound {
    pub(crate) first: Instant,
    pub(crate) last: Instant,
    pub(crate) bytes: usize,
}

impl PageReaders {
    /// Opens the overview `pages` times, and waits until each page has received it.
    pub(crate) fn open(web: SocketAddr, pages: usize) -> Self {
        let (page_updates, hears) = channel();
        for page in 0..pages {
            let page_updates = page_updates.clone();
            std::thread::spawn(move || listen(web, page, &page_updates));
        }
        let readers = Self { pages, hears };
        readers.round();
        readers
    }

    /// Discards updates still in transit from earlier changes.
    pub(crate) fn drain(&self) {
        while self.hears.recv_timeout(Duration::from_millis(300)).is_ok() {}
    }

    /// Waits until every page has received an update.
    pub(crate) fn round(&self) -> UpdateRound {
        let mut pages = HashSet::new();
        let (mut first, mut last, mut bytes) = (None, Instant::now(), 0);
        while pages.len() < self.pages {
            let page_updates = self.hears.recv_timeout(PATIENCE).expect("every page receives a change");
            if pages.insert(page_updates.page) {
                first.get_or_insert(page_updates.at);
                (last, bytes) = (page_updates.at, bytes.max(page_updates.bytes));
            }
        }
        UpdateRound { first: first.unwrap_or(last), last, bytes }
    }
}

/// Reads the updates of one page.
fn listen(web: SocketAddr, page: usize, page_updates: &Sender<PageUpdate>) {
    let mut stream = TcpStream::connect(web).expect("the page can be asked for");
    write!(stream, "GET /live HTTP/1.1\r\nHost: {web}\r\n\r\n").expect("a request can be sent");
    // An event ends with an empty line; the browser can show it only then.
    let (mut is_patch, mut bytes) = (false, 0);
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        is_patch |= line.starts_with(b"event: patch");
        bytes += line.len();
        if line.is_empty() || line == b"\r" {
            if is_patch && page_updates.send(PageUpdate { page, at: Instant::now(), bytes }).is_err() {
                return;
            }
            (is_patch, bytes) = (false, 0);
        }
    }
}
