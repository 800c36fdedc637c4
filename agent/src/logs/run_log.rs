//! Log of one run of a component: the lines that this run wrote, never those of an earlier one.
//!
//! The length of the log is noted while the component does not run: what is written later is of the next run.
//! If the agent did not see the run begin, the times in the lines decide.

use std::io;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rta_shared::config::Pattern;
use rta_shared::redact::redact_text;
use rta_shared::sanitize::{printable, truncated};

use super::line_time::line_time;
use super::log_file::{LogFile, LogPosition};
use super::{LogPath, read_blocking};

/// Maximum number of reads of one search, of 1 MiB each. The next search continues there.
const MAX_READS: usize = 64;
/// Maximum length of a line that a reason shows, in bytes.
const MAX_SHOWN: usize = 120;
/// Maximum difference between the time of the last line and that of the file. With a larger one the times of
/// the lines are those of another time zone, or of something else.
const MAX_TIME_DIFFERENCE: Duration = Duration::from_secs(60);

/// Position in a log at which a run began; `None` if it could not be noted.
pub(crate) type NotedPosition = Shared<BoxFuture<'static, Option<LogPosition>>>;

/// Notes the end of the log `path` as it is now, in the background, since the disk may hang. Must be called
/// within a runtime.
pub(crate) fn note_end(path: LogPath) -> NotedPosition {
    let noting = tokio::task::spawn_blocking(move || LogPosition::end_of(&path).ok());
    noting.map(|noted| noted.ok().flatten()).boxed().shared()
}

/// Returns a position that is known already.
pub(crate) fn noted(position: LogPosition) -> NotedPosition {
    std::future::ready(Some(position)).boxed().shared()
}

/// Log of one run.
#[derive(Debug)]
pub(crate) struct RunLog {
    /// `None`: the component has no log.
    path: Option<LogPath>,
    /// Beginning of the run's lines; `None`: not noted.
    start: Option<NotedPosition>,
    /// Start of the run's oldest process, if it is known.
    started_at: Option<Timestamp>,
    /// True if the line has been found: it holds for the run, even if the log is rotated.
    is_found: bool,
    search: Option<LogSearch>,
}

impl RunLog {
    /// Creates the log of a run that began at `start`, and whose oldest process began at `started_at`.
    pub(crate) fn new(
        path: Option<LogPath>,
        start: Option<NotedPosition>,
        started_at: Option<Timestamp>,
    ) -> Self {
        Self { path, start, started_at, is_found: false, search: None }
    }

    /// Marks the line as found, if `is_found`.
    pub(crate) fn with_found(self, is_found: bool) -> Self {
        Self { is_found, ..self }
    }

    /// Searches the lines that were added since the last call for one that `pattern` finds.
    ///
    /// # Errors
    /// Returns a part of a sentence if the run has not written such a line, or if the log cannot be read.
    pub(crate) async fn find(&mut self, pattern: &Pattern) -> Result<(), String> {
        if self.is_found {
            return Ok(());
        }
        let path = self.path.clone().ok_or("the component has no log")?;
        let start = match self.start.clone() {
            Some(noted) => noted.await,
            None => None,
        };
        let (search, pattern, started_at) = (self.search.take(), pattern.clone(), self.started_at);
        let searched = read_blocking(move || {
            let mut search = match search {
                Some(search) => search,
                None => LogSearch::open(path, start, started_at)?,
            };
            let result = search.search(&pattern);
            Ok::<_, String>((search, result))
        });
        let (search, result) = searched.await??;
        self.search = Some(search);
        result?;
        self.is_found = true;
        self.search = None;
        Ok(())
    }
}

/// Search in a log.
#[derive(Debug)]
struct LogSearch {
    path: LogPath,
    file: LogFile,
    /// Way to distinguish the lines of the run from others.
    bounds: RunBounds,
    /// Last line of the run so far.
    last: Option<String>,
}

#[derive(Debug)]
enum RunBounds {
    /// All lines from the noted position on.
    Noted,
    /// Lines with a time after this one, of those from some position on.
    After(TimedLines),
}

/// What the times in a log show of a run that began unseen.
#[derive(Debug, Default)]
struct TimedLines {
    started_at: Option<Timestamp>,
    /// True if a line with a time after the start was found.
    is_found: bool,
    /// True if a line without a time was found.
    is_untimed_found: bool,
    /// Time of the last line that has one.
    last_time: Option<Timestamp>,
}

impl LogSearch {
    fn open(
        path: LogPath,
        start: Option<LogPosition>,
        started_at: Option<Timestamp>,
    ) -> Result<Self, String> {
        let opened = match start {
            Some(position) => LogFile::resume(path.clone(), position),
            None => LogFile::near_end(path.clone()),
        };
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("the log {path} does not exist"),
            _ => format!("the log {path} cannot be read: {error}"),
        })?;
        let bounds = match start {
            Some(_) => RunBounds::Noted,
            None => RunBounds::After(TimedLines { started_at, ..TimedLines::default() }),
        };
        Ok(Self { path, file, bounds, last: None })
    }

    fn search(&mut self, pattern: &Pattern) -> Result<(), String> {
        for _ in 0..MAX_READS {
            let added = self.file.read_lines();
            let added = added.map_err(|error| format!("the log {} cannot be read: {error}", self.path))?;
            if added.lines.is_empty() && added.notice.is_none() {
                break;
            }
            for line in added.lines {
                if self.is_wanted(&line, pattern) {
                    return Ok(());
                }
                self.last = Some(line).filter(|line| !line.trim().is_empty()).or(self.last.take());
            }
        }
        self.decide_by_times(pattern)
    }

    /// Returns true if `pattern` finds a line that is certainly of this run.
    fn is_wanted(&mut self, line: &str, pattern: &Pattern) -> bool {
        let is_found = pattern.is_found_in(line.as_bytes());
        let RunBounds::After(timed) = &mut self.bounds else { return is_found };
        let time = line_time(line, &TimeZone::system());
        timed.last_time = time.or(timed.last_time);
        // The time has whole seconds. A line within the second of the start may be of the run before.
        let is_after =
            time.zip(timed.started_at).is_some_and(|(time, start)| time.as_second() > start.as_second());
        timed.is_found |= is_found && is_after;
        timed.is_untimed_found |= is_found && time.is_none();
        false
    }

    /// Passes if a line was found whose time is after the start of the run, and if the times in the log agree
    /// with that of the file.
    fn decide_by_times(&self, pattern: &Pattern) -> Result<(), String> {
        let RunBounds::After(timed) = &self.bounds else { return Err(self.not_found(pattern)) };
        let TimedLines { started_at, is_found, is_untimed_found, last_time } = *timed;
        if !is_found && !is_untimed_found && last_time.is_some() && started_at.is_some() {
            return Err(self.not_found(pattern));
        }
        let written = std::fs::metadata(self.path.path()).and_then(|metadata| metadata.modified());
        let written = written.ok().and_then(|written| Timestamp::try_from(written).ok());
        let is_exact = last_time.zip(written).is_some_and(|(last, written)| {
            written.duration_since(last).unsigned_abs() <= MAX_TIME_DIFFERENCE
        });
        match is_found && is_exact {
            true => Ok(()),
            false => {
                Err("the agent did not see this run begin, and the log does not show which of its lines \
                          are of it; a restart of the component settles it"
                    .to_owned())
            }
        }
    }

    fn not_found(&self, pattern: &Pattern) -> String {
        let last = self.last.as_deref().map(redact_text);
        match &last {
            None => format!("this run has not written {pattern}, nor anything else"),
            Some(last) => {
                let last = printable(last);
                format!(
                    "this run has not written {pattern}; its last line: \"{}\"",
                    truncated(&last, MAX_SHOWN)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::path::{Path, PathBuf};

    use jiff::SignedDuration;
    use rta_shared::config::{ProbeMethod, Source, load_sources};

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        (folder, path)
    }

    fn pattern() -> Pattern {
        let text = "[[component]]\nname = 'a'\ncriteria = [{ regex = 'a' }]\nlog = '/x'\nprobe = { log = 'started$' }\n\
                    [[environment]]\nname = 'E'\nhost = [{ name = 'h', components = ['a'] }]";
        let platform = load_sources(&[Source { name: "x".to_owned(), text: text.to_owned() }]).unwrap();
        let config = platform.host_config(platform.find_host("h").unwrap(), &[]).unwrap();
        match config.components[0].probe.clone().unwrap().question {
            ProbeMethod::Log(pattern) => pattern,
            other => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn line_of_an_earlier_run_does_not_count() {
        let (folder, path) = folder();
        append(&path, "first run started\n");
        let start = note_end(LogPath::own(&path));
        assert!(start.clone().await.is_some());
        let mut log = RunLog::new(Some(LogPath::own(&path)), Some(start.clone()), None);
        let nothing = "this run has not written 'started$', nor anything else";
        assert_eq!(log.find(&pattern()).await, Err(nothing.to_owned()));
        append(&path, "loading password=hunter2\nsecond run st");
        let reason = log.find(&pattern()).await.unwrap_err();
        assert!(
            reason.contains("its last line: \"loading password=") && !reason.contains("hunter2"),
            "{reason}"
        );
        append(&path, "arted\n");
        assert_eq!(log.find(&pattern()).await, Ok(()));
        // It holds for the run, whatever becomes of the log.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(log.find(&pattern()).await, Ok(()));
        // Another log has taken the place of the noted one: all of it is new.
        append(&folder.path().join("new"), "xxxxxxxxxxxxxxx third run started\n");
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        let mut rotated = RunLog::new(Some(LogPath::own(&path)), Some(start), None);
        assert_eq!(rotated.find(&pattern()).await, Ok(()));
    }

    #[tokio::test]
    async fn missing_log_is_one_that_begins_with_the_run() {
        let (_folder, path) = folder();
        let start = note_end(LogPath::own(&path));
        assert!(start.clone().await.is_some());
        let mut log = RunLog::new(Some(LogPath::own(&path)), Some(start), None);
        let reason = log.find(&pattern()).await.unwrap_err();
        assert!(reason.ends_with("x.log does not exist"), "{reason}");
        append(&path, "started\n");
        assert_eq!(log.find(&pattern()).await, Ok(()));
        assert_eq!(
            RunLog::new(None, None, None).find(&pattern()).await,
            Err("the component has no log".to_owned())
        );
    }

    #[tokio::test]
    async fn run_that_began_unseen_is_told_by_the_times_of_its_lines() {
        let now = Timestamp::now();
        let stamp = |seconds_ago: i64| {
            let at = now - SignedDuration::from_secs(seconds_ago);
            TimeZone::system().to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
        };
        let unseen = |path: &Path, started_ago: i64| {
            let started_at = now - SignedDuration::from_secs(started_ago);
            RunLog::new(Some(LogPath::own(path)), None, Some(started_at))
        };
        let (_folder, path) = folder();
        append(&path, &format!("{} started\n{} x\n", stamp(500), stamp(0)));
        let reason = unseen(&path, 100).find(&pattern()).await.unwrap_err();
        assert!(reason.starts_with("this run has not written 'started$'"), "{reason}");
        append(&path, &format!("{} started\n{} y\n", stamp(50), stamp(0)));
        assert_eq!(unseen(&path, 100).find(&pattern()).await, Ok(()));
        // Within the second of the start it may be of either run.
        assert!(unseen(&path, 50).find(&pattern()).await.is_err());
        // Lines without times, and times that are not those of this host.
        let untold = "the agent did not see this run begin, and the log does not show";
        for lines in [
            "started\n".to_owned(),
            format!("{} started\n", stamp(-3600)),
            format!("{} started\n", stamp(90)),
        ] {
            std::fs::write(&path, lines).unwrap();
            let reason = unseen(&path, 100).find(&pattern()).await.unwrap_err();
            assert!(reason.starts_with(untold), "{reason}");
        }
        assert!(RunLog::new(Some(LogPath::own(&path)), None, None).find(&pattern()).await.is_err());
    }
}
