//! Audit log: who did what, from where, and how it ended, as JSON lines in a file or as entries of the journal.
//!
//! One thread writes. Callers put entries into a queue and return at once: a full disk delays nobody, and is an
//! impairment. Entries wait meanwhile, and those beyond the queue are counted.
//!
//! | module | holds |
//! |---|---|
//! | `entry` | one entry, made of an event or a refusal; pure |
//! | `refusals` | how many refusals are written; pure |
//! | `file` | the file, opened again when it was rotated |
//! | `journal` | the journal of systemd |

mod entry;
mod file;
mod journal;
mod refusals;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rta_shared::event::Event;
use rta_shared::impairment::{ImpairedPart, ImpairmentList};
use tokio::sync::{oneshot, watch};

use entry::AuditEntry;
use file::AuditFile;
use journal::Journal;
use refusals::RefusalLimit;

pub(crate) use entry::Refusal;

/// Capacity of the queue, and of the entries that wait for a disk.
const QUEUE_CAPACITY: usize = 10_000;
/// Interval between two attempts to write.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit for the last entries at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Target of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTarget {
    /// File, to which lines of JSON are appended.
    File(PathBuf),
    /// Journal of systemd.
    Journal,
}

impl From<PathBuf> for AuditTarget {
    /// Returns the target that an operator names: `journald`, or a file.
    fn from(name: PathBuf) -> Self {
        if name.as_os_str() == "journald" { Self::Journal } else { Self::File(name) }
    }
}

/// Handle to the audit log; clones share it. Without a target it drops everything.
#[derive(Clone, Debug, Default)]
pub struct AuditLog(Option<Arc<AuditState>>);

#[derive(Debug)]
struct AuditState {
    queue: SyncSender<AuditCommand>,
    /// Number of entries that found no room.
    lost: Arc<AtomicU64>,
    refusals: Mutex<RefusalLimit>,
    error: watch::Receiver<Option<String>>,
}

#[derive(Debug)]
enum AuditCommand {
    Write(Box<AuditEntry>),
    /// Answered when everything before is written, or could not be.
    Flush(oneshot::Sender<()>),
}

impl AuditLog {
    /// Opens the target, and begins the thread that writes.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if the target cannot be opened or the thread cannot begin.
    pub fn open(target: &AuditTarget) -> Result<Self, String> {
        let sink: Box<dyn AuditSink> = match target {
            AuditTarget::File(path) => Box::new(AuditFile::open(path)?),
            AuditTarget::Journal => Box::new(Journal::connect()?),
        };
        let (queue, commands) = sync_channel(QUEUE_CAPACITY);
        let (error_sender, error) = watch::channel(None);
        let lost = Arc::new(AtomicU64::new(0));
        let writer =
            AuditWriter { sink, error: error_sender, lost: Arc::clone(&lost), waiting: VecDeque::new() };
        let thread = std::thread::Builder::new().name("audit".to_owned());
        thread
            .spawn(move || writer.run(&commands))
            .map_err(|error| format!("the audit log's thread cannot begin: {error}"))?;
        Ok(Self(Some(Arc::new(AuditState { queue, lost, refusals: Mutex::default(), error }))))
    }

    /// Records an event, if it is one of those that somebody may be asked about.
    pub(crate) fn record_event(&self, event: &Event) {
        if let Some(state) = &self.0
            && let Some(entry) = AuditEntry::of_event(event)
        {
            state.push(entry);
        }
    }

    /// Records a refused request. Of very many in a short time only their number is recorded.
    pub(crate) fn record_refusal(&self, refusal: Refusal) {
        let Some(state) = &self.0 else { return };
        let mut limit = state.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(uncounted) = limit.admit(Instant::now()) else { return };
        drop(limit);
        let now = Timestamp::now();
        if uncounted > 0 {
            state.push(AuditEntry::of_many_refusals(uncounted, now));
        }
        state.push(AuditEntry::of_refusal(refusal, now));
    }

    /// Shows in `impairments` why entries are missing, for as long as they are.
    pub(crate) async fn report_errors(self, impairments: ImpairmentList) {
        let Some(state) = self.0 else { return std::future::pending().await };
        let mut error = state.error.clone();
        loop {
            impairments.set(ImpairedPart::Audit, error.borrow_and_update().clone());
            if error.changed().await.is_err() {
                let message = "the audit log has ended; restart rta-aggregator";
                impairments.set(ImpairedPart::Audit, Some(message.to_owned()));
                return std::future::pending().await;
            }
        }
    }

    /// Waits until everything is written, for a short time at most.
    pub async fn flush(&self) {
        let Some(state) = &self.0 else { return };
        let (done, written) = oneshot::channel();
        if state.queue.try_send(AuditCommand::Flush(done)).is_ok()
            && tokio::time::timeout(CLOSE_TIMEOUT, written).await.is_err()
        {
            tracing::error!("the last entries of the audit log could not be written");
        }
    }
}

impl AuditState {
    fn push(&self, entry: AuditEntry) {
        if self.queue.try_send(AuditCommand::Write(Box::new(entry))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Target to which the thread writes.
trait AuditSink: std::fmt::Debug + Send {
    /// Writes an entry. After an error the same entry is written again.
    fn write(&mut self, entry: &AuditEntry) -> io::Result<()>;

    /// Returns the target's name for people.
    fn name(&self) -> String;
}

#[derive(Debug)]
struct AuditWriter {
    sink: Box<dyn AuditSink>,
    error: watch::Sender<Option<String>>,
    lost: Arc<AtomicU64>,
    /// Entries that could not be written yet.
    waiting: VecDeque<AuditEntry>,
}

impl AuditWriter {
    fn run(mut self, commands: &Receiver<AuditCommand>) {
        loop {
            let command = match self.waiting.is_empty() {
                true => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => commands.recv_timeout(RETRY_INTERVAL),
            };
            match command {
                Ok(AuditCommand::Write(entry)) => self.add(*entry),
                Ok(AuditCommand::Flush(done)) => {
                    self.write_waiting();
                    // The receiver may be gone.
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => self.write_waiting(),
                Err(RecvTimeoutError::Disconnected) => return self.write_waiting(),
            }
        }
    }

    fn add(&mut self, entry: AuditEntry) {
        let was_failing = !self.waiting.is_empty();
        if self.waiting.len() >= QUEUE_CAPACITY {
            self.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            self.waiting.push_back(entry);
        }
        // While the target fails, it is tried at intervals.
        if !was_failing {
            self.write_waiting();
        }
    }

    fn write_waiting(&mut self) {
        while let Some(entry) = self.waiting.front() {
            if let Err(error) = self.sink.write(entry) {
                return self.note_failure(&error);
            }
            self.waiting.pop_front();
            if self.waiting.is_empty() {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    self.waiting.push_back(AuditEntry::of_lost(lost, Timestamp::now()));
                }
            }
        }
        if self.error.send_if_modified(|error| error.take().is_some()) {
            tracing::info!("the audit log is written again");
        }
    }

    fn note_failure(&self, error: &io::Error) {
        let sentence = format!(
            "{} cannot be written: {error}; entries wait in memory, and are lost if the aggregator ends or {QUEUE_CAPACITY} wait",
            self.sink.name()
        );
        let is_new = self.error.send_if_modified(|known| {
            let is_new = known.as_ref() != Some(&sentence);
            *known = Some(sentence.clone());
            is_new
        });
        if is_new {
            tracing::error!("{sentence}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use rta_shared::event::EventKind;

    use super::*;

    /// Sink that fails while it is full.
    #[derive(Clone, Debug, Default)]
    struct TestSink {
        is_full: Arc<AtomicBool>,
        lines: Arc<Mutex<Vec<String>>>,
    }

    impl AuditSink for TestSink {
        fn write(&mut self, entry: &AuditEntry) -> io::Result<()> {
            if self.is_full.load(Ordering::Relaxed) {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            self.lines.lock().unwrap().push(entry.to_json());
            Ok(())
        }

        fn name(&self) -> String {
            "the audit log /x".to_owned()
        }
    }

    fn entry(text: &str) -> AuditEntry {
        let event = Event::new(Timestamp::UNIX_EPOCH, EventKind::SignIn, text.to_owned());
        AuditEntry::of_event(&event).unwrap()
    }

    #[test]
    fn entries_wait_for_a_full_disk_and_those_beyond_the_queue_are_counted() {
        let (error, seen) = watch::channel(None);
        let sink = TestSink::default();
        let mut writer = AuditWriter {
            sink: Box::new(sink.clone()),
            error,
            lost: Arc::default(),
            waiting: VecDeque::new(),
        };
        sink.is_full.store(true, Ordering::Relaxed);
        for number in 0..QUEUE_CAPACITY + 3 {
            writer.add(entry(&number.to_string()));
        }
        let message = seen.borrow().clone().unwrap();
        assert!(message.starts_with("the audit log /x cannot be written: "), "{message}");
        sink.is_full.store(false, Ordering::Relaxed);
        writer.write_waiting();
        assert_eq!(*seen.borrow(), None);
        let lines = sink.lines.lock().unwrap();
        assert_eq!(lines.len(), QUEUE_CAPACITY + 1);
        assert!(
            lines[0].contains("\"text\":\"0\"") && lines[QUEUE_CAPACITY].contains("3 entries"),
            "{}",
            lines[0]
        );
    }
}
