//! Open pages, and when each of them is told what.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Longer than anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Something that a page was told.
struct Told {
    page: usize,
    at: Instant,
    bytes: usize,
}

/// Pages that are open at the same time.
pub(crate) struct Readers {
    pages: usize,
    hears: Receiver<Told>,
}

/// When a change was told to the first page and to the last one, and in how many bytes each.
pub(crate) struct Round {
    pub(crate) first: Instant,
    pub(crate) last: Instant,
    pub(crate) bytes: usize,
}

impl Readers {
    /// Opens so many of the overview, and waits until each has been told it.
    pub(crate) fn open(web: SocketAddr, pages: usize) -> Self {
        let (told, hears) = channel();
        for page in 0..pages {
            let told = told.clone();
            std::thread::spawn(move || listen(web, page, &told));
        }
        let readers = Self { pages, hears };
        readers.round();
        readers
    }

    /// What is still on its way belongs to what was before.
    pub(crate) fn drain(&self) {
        while self.hears.recv_timeout(Duration::from_millis(300)).is_ok() {}
    }

    /// Waits until every page has been told something.
    pub(crate) fn round(&self) -> Round {
        let mut pages = HashSet::new();
        let (mut first, mut last, mut bytes) = (None, Instant::now(), 0);
        while pages.len() < self.pages {
            let told = self.hears.recv_timeout(PATIENCE).expect("every page is told");
            if pages.insert(told.page) {
                first.get_or_insert(told.at);
                (last, bytes) = (told.at, bytes.max(told.bytes));
            }
        }
        Round { first: first.unwrap_or(last), last, bytes }
    }
}

/// Reads what one page is told.
fn listen(web: SocketAddr, page: usize, told: &Sender<Told>) {
    let mut stream = TcpStream::connect(web).expect("the page can be asked for");
    write!(stream, "GET /live HTTP/1.1\r\nHost: {web}\r\n\r\n").expect("a request can be sent");
    // An event ends with an empty line: it can be shown only then.
    let (mut is_patch, mut bytes) = (false, 0);
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        is_patch |= line.starts_with(b"event: patch");
        bytes += line.len();
        if line.is_empty() || line == b"\r" {
            if is_patch && told.send(Told { page, at: Instant::now(), bytes }).is_err() {
                return;
            }
            (is_patch, bytes) = (false, 0);
        }
    }
}
