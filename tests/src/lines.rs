//! Lines that a program writes, read as they come.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex};

/// Collects a stream's lines in a thread of its own, so that the writer never blocks.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Reads `stream` to its end in the background.
    pub fn collect(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let sink = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { return };
                let line = String::from_utf8_lossy(&line).into_owned();
                sink.0.lock().expect("no reader panics").push(line);
            }
        });
        lines
    }

    /// All lines so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().expect("no writer panics").clone()
    }
}
