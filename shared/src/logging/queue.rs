//! Writes log lines to standard error without ever failing or blocking the program.
//!
//! A thread that logs puts its line into a bounded queue and continues; a dedicated thread writes it. If
//! nobody reads standard error any more (closed SSH session, ended reader of a pipe), writes fail, and the
//! lines are counted and dropped. If a reader hangs and the pipe is full, only the writing thread waits: the
//! queue fills, and further lines are counted and dropped.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Capacity of the queue in lines. A program logs a few lines per change: this covers a failure of a thousand
/// hosts.
const LINES: usize = 8192;
/// Interval between two checks whether the queue is empty.
const PACE: Duration = Duration::from_millis(5);
/// Time after which a write in progress counts as stuck: nobody reads the log.
const STUCK: Duration = Duration::from_secs(5);

/// Queue of a program's log lines; clones share it.
#[derive(Clone, Debug)]
pub(super) struct LogQueue {
    lines: SyncSender<Vec<u8>>,
    state: Arc<QueueState>,
}

#[derive(Debug, Default)]
struct QueueState {
    /// Number of lines that were queued, and number of these that were written or dropped.
    queued: AtomicU64,
    done: AtomicU64,
    /// Number of lost lines, and number of these that were reported.
    lost: AtomicU64,
    reported_losses: AtomicU64,
    /// Error of the last write; `None` if it succeeded.
    error: Mutex<Option<String>>,
    /// Start of the write in progress.
    writing_since: Mutex<Option<Instant>>,
    /// True if the queue was full for the last line.
    is_full: AtomicBool,
}

impl LogQueue {
    /// Creates a queue, and the thread that writes its lines to `output`.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be created.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(LINES);
        let state = Arc::new(QueueState::default());
        let queue = Self { lines, state: Arc::clone(&state) };
        // Not joined: it may hang in a write forever, and ends with the process.
        thread::Builder::new().name("log".to_owned()).spawn(move || state.write_all(&waiting, output))?;
        Ok(queue)
    }

    /// Queues a line, or counts it as lost if the queue is full.
    pub(super) fn push(&self, line: &[u8]) {
        let is_queued = self.lines.try_send(line.to_owned()).is_ok();
        self.state.is_full.store(!is_queued, Ordering::Relaxed);
        let count = if is_queued { &self.state.queued } else { &self.state.lost };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until all lines queued so far are written or dropped, for at most `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let (last, deadline) = (self.state.queued.load(Ordering::Relaxed), Instant::now() + patience);
        while self.state.done.load(Ordering::Acquire) < last && Instant::now() < deadline {
            thread::sleep(PACE);
        }
    }

    /// Returns the reason why log lines are being lost, as a sentence; `None` if they are written.
    pub(super) fn impairment(&self) -> Option<String> {
        let state = &self.state;
        let error = state.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let since = *state.writing_since.lock().unwrap_or_else(PoisonError::into_inner);
        let why = match (error, since) {
            (Some(error), _) => error,
            (None, Some(since)) if since.elapsed() >= STUCK => "nobody reads it".to_owned(),
            (None, _) if state.is_full.load(Ordering::Relaxed) => "it is read too slowly".to_owned(),
            (None, _) => return None,
        };
        Some(format!(
            "the log cannot be written to standard error: {why}; its lines are lost; restart the program with a log that \
             is read"
        ))
    }
}

impl QueueState {
    fn write_all(&self, waiting: &Receiver<Vec<u8>>, mut output: impl Write) {
        while let Ok(line) = waiting.recv() {
            self.note_writing(Some(Instant::now()));
            let written = write_line(&mut output, &line);
            self.note_writing(None);
            let is_written = written.is_ok();
            *self.error.lock().unwrap_or_else(PoisonError::into_inner) =
                written.err().map(|error| error.to_string());
            if !is_written {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            self.done.fetch_add(1, Ordering::Release);
            if is_written {
                self.tell_of_loss();
            }
        }
    }

    /// Logs the number of lost lines as soon as lines can be written again.
    fn tell_of_loss(&self) {
        let lost = self.lost.load(Ordering::Relaxed);
        let new = lost - self.reported_losses.swap(lost, Ordering::Relaxed);
        if new > 0 {
            tracing::warn!(lines = new, "log lines were lost");
        }
    }

    fn note_writing(&self, since: Option<Instant>) {
        *self.writing_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// Writes a whole line, waiting for as long as the reader takes.
fn write_line(output: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match output.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => line = line.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another program set the shared pipe or terminal to non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PACE),
            Err(error) => return Err(error),
        }
    }
    output.flush()
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(self)
    }
}

/// Writer that queues one event's line; it never fails.
#[derive(Debug)]
pub(super) struct LineWriter<'a>(&'a LogQueue);

impl Write for LineWriter<'_> {
    /// Queues the bytes as one line: a subscriber writes an event as a whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read as _};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn pipe() -> (PipeReader, LogQueue) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, LogQueue::start(writer).unwrap())
    }

    #[test]
    fn queued_lines_are_written_in_order() {
        let (mut reader, queue) = pipe();
        queue.push(b"one\n");
        queue.push(b"two\n");
        queue.flush(PATIENCE);
        let mut read = [0; 8];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"one\ntwo\n");
        assert_eq!(queue.impairment(), None);
    }

    #[test]
    fn pipe_without_reader_loses_lines_and_is_reported() {
        let (reader, queue) = pipe();
        drop(reader);
        queue.push(b"lost\n");
        queue.flush(PATIENCE);
        let reported_losses = queue.impairment().unwrap();
        assert!(reported_losses.contains("Broken pipe"), "{reported_losses}");
        assert_eq!(queue.state.lost.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn full_pipe_blocks_nobody_and_is_drained_later() {
        let (mut reader, queue) = pipe();
        let line = [b'x'; 4096];
        // Twice the capacity of the queue and the pipe.
        for _ in 0..2 * LINES {
            queue.push(&line);
        }
        assert!(queue.impairment().is_some());
        let lost = queue.state.lost.load(Ordering::Relaxed);
        assert!(lost > 0);
        let kept = queue.state.queued.load(Ordering::Relaxed);
        assert_eq!(kept + lost, 2 * LINES as u64);
        let mut read = vec![0; usize::try_from(kept).unwrap() * line.len()];
        reader.read_exact(&mut read).unwrap();
        assert!(read.iter().all(|byte| *byte == b'x'));
        queue.flush(PATIENCE);
        queue.push(b"again\n");
        queue.flush(PATIENCE);
        assert_eq!(queue.impairment(), None);
    }
}
