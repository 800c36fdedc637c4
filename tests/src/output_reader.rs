//! Output lines of a program, read as they arrive.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Collects a stream's lines in a separate thread, so that the writer never blocks.
#[derive(Clone, Debug, Default)]
pub struct OutputReader(Arc<Mutex<ReaderState>>);

#[derive(Debug, Default)]
struct ReaderState {
    lines: Vec<String>,
    mode: ReadMode,
}

/// Treatment of the stream after the next line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum ReadMode {
    /// Read to the end.
    #[default]
    Open,
    /// Closed: the writer gets an error.
    Closed,
    /// Kept open but not read, so that the writer fills it.
    Stalled,
}

impl OutputReader {
    /// Reads `stream` to its end in the background.
    pub fn collect(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let sink = lines.clone();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream).split(b'\n');
            while let Some(Ok(line)) = stream.next() {
                let line = String::from_utf8_lossy(&line).into_owned();
                let mut collected = sink.0.lock().expect("no reader panics");
                collected.lines.push(line);
                match collected.mode {
                    ReadMode::Open => {}
                    ReadMode::Closed => return,
                    ReadMode::Stalled => break,
                }
            }
            // Stalled: stays open as long as anything else holds these lines.
            while Arc::strong_count(&sink.0) > 1 {
                thread::sleep(Duration::from_millis(50));
            }
        });
        lines
    }

    /// Returns all lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no writer panics").lines.clone()
    }

    /// Sets the treatment of the stream after the next line.
    pub(crate) fn set_mode(&self, reading: ReadMode) {
        self.0.lock().expect("no writer panics").mode = reading;
    }
}
