//! Reads the logs of components for display: their last lines, and new ones as they are written.
//!
//! | module | holds |
//! |---|---|
//! | `lines` | splitting bytes into lines, long ones cut; pure |
//! | `log_path` | path of a component's log, with its expected owner |
//! | `file` | log file: its end, new lines, rotation |
//! | `run_log` | lines of one run, and the search for one of them |
//! | `line_time` | times of lines, as these say; pure |
//! | `tail` | last lines since a launch |
//! | `journal` | journal of a systemd unit as the log of its component |

mod journal;
mod line_time;
mod lines;
mod log_file;
mod log_path;
mod run_log;
mod tail;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rta_shared::config::HostComponent;
use rta_shared::redact::redact_text;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use self::journal::UnitJournal;
use self::log_file::LogFile;
pub(crate) use self::log_file::LogPosition;
pub(crate) use self::log_path::LogPath;
pub(crate) use self::run_log::{NotedPosition, RunLog, note_end, noted};
pub(crate) use self::tail::{last_line, log_length, log_tail};

/// Maximum number of lines that are read back.
pub(crate) const MAX_LINES: usize = 10_000;
/// Maximum number of concurrent readers: each holds a file open and a buffer.
const MAX_READERS: usize = 32;
/// Interval between two checks for new lines.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Program that shows journals.
const JOURNALCTL: &str = "journalctl";
/// Maximum number of lines per message; gRPC accepts messages of up to 4 MiB.
const MAX_BATCH_LINES: usize = 200;
/// Maximum number of messages queued for a slow reader.
const MAX_QUEUED_BATCHES: usize = 4;

/// Lines of a log, with a notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogBatch {
    /// Complete lines, without their line ends.
    pub(crate) lines: Vec<String>,
    /// Notice for the reader, as a sentence.
    pub(crate) notice: Option<String>,
}

/// Location of a component's log.
#[derive(Debug)]
pub(crate) enum LogSource {
    /// A file.
    File(LogPath),
    /// The journal of this systemd unit.
    Journal(String),
}

impl LogSource {
    /// Returns the log of `component`: the file that the configuration names, otherwise the journal of its
    /// unit; `None` if it has neither.
    pub(crate) fn from_component(component: &HostComponent) -> Option<Self> {
        let unit = || component.start.as_ref()?.engine.unit().map(str::to_owned);
        LogPath::from_component(component).map(Self::File).or_else(|| unit().map(Self::Journal))
    }
}

impl LogBatch {
    /// Masks what looks like a secret: logs are shown to every user who may view.
    fn masked(mut self) -> Self {
        for line in &mut self.lines {
            *line = redact_text(line);
        }
        self
    }
}

/// Reads logs, with a limit on concurrent readers.
#[derive(Clone, Debug)]
pub(crate) struct LogReaders(Arc<Semaphore>);

/// Error of reading a log, as a sentence.
#[derive(Debug)]
pub(crate) enum LogError {
    /// There are too many readers.
    Busy,
    /// The log cannot be read.
    Unreadable(String),
}

impl LogReaders {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_READERS)))
    }

    /// Streams the last `lines` of `log`, then with `follow` new lines, across rotations, until the stream is
    /// dropped.
    ///
    /// # Errors
    /// Returns an error if the log cannot be opened, or if there are too many readers.
    pub(crate) async fn read(
        &self,
        log: LogSource,
        lines: usize,
        follow: bool,
    ) -> Result<ReceiverStream<Result<LogBatch, String>>, LogError> {
        let permit = Arc::clone(&self.0).try_acquire_owned().map_err(|_| LogError::Busy)?;
        let lines = lines.min(MAX_LINES);
        let (batches, stream) = mpsc::channel(MAX_QUEUED_BATCHES);
        let log = match log {
            LogSource::File(log) => log,
            LogSource::Journal(unit) => {
                let journal = UnitJournal::open(Path::new(JOURNALCTL), &unit, lines, follow);
                tokio::spawn(journal.map_err(LogError::Unreadable)?.forward(batches, permit));
                return Ok(ReceiverStream::new(stream));
            }
        };
        let opened = read_blocking(move || LogFile::open(log, lines, follow)).await;
        let (file, batch) = opened.and_then(|opened| opened).map_err(LogError::Unreadable)?;
        tokio::spawn(forward_file(file, batch, follow, batches, permit));
        Ok(ReceiverStream::new(stream))
    }
}

/// Forwards pieces until the receiver is dropped.
async fn forward_file(
    mut file: LogFile,
    first: LogBatch,
    follow: bool,
    batches: mpsc::Sender<Result<LogBatch, String>>,
    _permit: OwnedSemaphorePermit,
) {
    let mut batch = first;
    loop {
        for part in split_batch(batch) {
            if batches.send(Ok(part)).await.is_err() {
                return;
            }
        }
        if !follow {
            return;
        }
        tokio::select! {
            () = batches.closed() => return,
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
        let read = read_blocking(move || {
            let read = file.read_added();
            (file, read)
        });
        batch = match read.await {
            Ok((read_from, Ok(batch))) => {
                file = read_from;
                batch
            }
            Ok((_, Err(reason))) | Err(reason) => {
                // The receiver may have gone.
                let _ = batches.send(Err(reason)).await;
                return;
            }
        };
    }
}

/// Splits a piece into messages of a bounded size; none if it is empty.
fn split_batch(batch: LogBatch) -> Vec<LogBatch> {
    let mut parts: Vec<LogBatch> = batch
        .lines
        .chunks(MAX_BATCH_LINES)
        .map(|lines| LogBatch { lines: lines.to_vec(), notice: None })
        .collect();
    match (parts.first_mut(), batch.notice) {
        (_, None) => {}
        (Some(first), notice) => first.notice = notice,
        (None, notice) => parts.push(LogBatch { lines: Vec::new(), notice }),
    }
    parts
}

/// Runs `read` on a blocking thread: a disk may hang, and nothing else should wait for it.
async fn read_blocking<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(read).await.map_err(|error| format!("the agent failed: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures::StreamExt as _;

    use super::*;

    fn own(log: &tempfile::NamedTempFile) -> LogSource {
        LogSource::File(LogPath::own(log.path()))
    }

    #[tokio::test]
    async fn stream_ends_after_the_last_lines_without_follow() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        for line in 0..1000 {
            writeln!(log, "line {line}").unwrap();
        }
        let stream = LogReaders::new().read(own(&log), 450, false).await.unwrap();
        let batches: Vec<LogBatch> = stream.map(Result::unwrap).collect().await;
        let lines: Vec<&String> = batches.iter().flat_map(|batch| &batch.lines).collect();
        assert_eq!((lines.len(), lines[0].as_str(), lines[449].as_str()), (450, "line 550", "line 999"));
        assert!(batches.iter().all(|batch| batch.lines.len() <= MAX_BATCH_LINES && batch.notice.is_none()));
    }

    #[tokio::test]
    async fn added_lines_follow_and_leaving_reader_frees_its_place() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        writeln!(log, "old").unwrap();
        let readers = LogReaders::new();
        let mut stream = readers.read(own(&log), 0, true).await.unwrap();
        writeln!(log, "new").unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().lines, ["new"]);
        let all: Vec<_> =
            std::iter::repeat_with(|| readers.0.clone().try_acquire_owned()).take(MAX_READERS).collect();
        assert!(all.last().unwrap().is_err());
        assert!(matches!(readers.read(own(&log), 0, true).await, Err(LogError::Busy)));
        drop((stream, all));
        // The reader's task notices that the stream was dropped, without new lines.
        let _room = readers.0.acquire_many(u32::try_from(MAX_READERS).unwrap()).await.unwrap();
    }
}
