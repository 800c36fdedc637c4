//! Journal of a unit as the log of its component, read by a journalctl process that ends with its reader.

use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::lines::LineSplitter;
use super::{LogBatch, split_batch};

/// Buffer size for reading the output.
const BUFFER_SIZE: usize = 64 * 1024;
/// Maximum length kept of the error output.
const MAX_ERROR_LENGTH: u64 = 1024;
/// Search path for programs if the agent itself has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Running journalctl. It is killed when this is dropped, and the runtime waits for it.
#[derive(Debug)]
pub(super) struct UnitJournal {
    unit: String,
    child: Child,
    output: BufReader<ChildStdout>,
    errors: ChildStderr,
}

impl UnitJournal {
    /// Runs `program` to show the last `lines` of the journal of `unit`, and with `follow` new ones. The
    /// process inherits only `PATH` from the agent. Must be called within a runtime.
    ///
    /// # Errors
    /// Returns an error, with a sentence, if the program cannot be run.
    pub(super) fn open(program: &Path, unit: &str, lines: usize, follow: bool) -> Result<Self, String> {
        let to_error = |error: io::Error| {
            let program = program.display();
            format!("the journal of {unit} cannot be read: {program} cannot be run: {error}")
        };
        let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        let mut command = Command::new(program);
        // One argument each, so that a name is never taken for an option.
        command.arg(format!("--unit={unit}")).arg(format!("--lines={lines}"));
        command.args(["--output=short-iso", "--no-pager"]);
        if follow {
            command.arg("--follow");
        }
        command.env_clear().env("PATH", path).env("LANG", "C.UTF-8").env("SYSTEMD_COLORS", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).kill_on_drop(true).spawn().map_err(to_error)?;
        let (output, errors) = child
            .stdout
            .take()
            .zip(child.stderr.take())
            .ok_or_else(|| to_error(io::Error::other("its output cannot be read")))?;
        Ok(Self {
            unit: unit.to_owned(),
            child,
            output: BufReader::with_capacity(BUFFER_SIZE, output),
            errors,
        })
    }

    /// Forwards the output until the process has ended or the receiver is dropped.
    pub(super) async fn forward(
        mut self,
        batches: mpsc::Sender<Result<LogBatch, String>>,
        _permit: OwnedSemaphorePermit,
    ) {
        let mut errors = Vec::new();
        let mut said = self.errors.take(MAX_ERROR_LENGTH);
        let reading = async {
            let mut lines = LineSplitter::default();
            let mut buffer = vec![0; BUFFER_SIZE];
            loop {
                let mut batch = LogBatch::default();
                match self.output.read(&mut buffer).await {
                    Ok(0) => {
                        batch.lines.extend(lines.finish());
                        send_batch(&self.unit, batch, &batches).await;
                        return;
                    }
                    Ok(read) => lines.push(buffer.get(..read).unwrap_or_default(), &mut batch.lines),
                    Err(error) => {
                        // The receiver may have gone.
                        let _ = batches.send(Err(format!("the journal cannot be read: {error}"))).await;
                        return;
                    }
                }
                if !send_batch(&self.unit, batch, &batches).await {
                    return;
                }
            }
        };
        let both = async {
            // A read error ends the error output.
            let (_, ()) = tokio::join!(said.read_to_end(&mut errors), reading);
        };
        tokio::select! {
            () = both => {}
            () = batches.closed() => return,
        }
        let reason = match self.child.wait().await {
            Ok(status) if status.success() => return,
            Ok(status) => format!("journalctl ended with {status}"),
            Err(error) => format!("journalctl cannot be waited for: {error}"),
        };
        let said = String::from_utf8_lossy(&errors);
        let reason = said.lines().next().map_or(reason, str::to_owned);
        // The receiver may have gone.
        let _ = batches.send(Err(format!("the journal of {} cannot be read: {reason}", self.unit))).await;
    }
}

/// Forwards a piece; returns false if the receiver is dropped.
async fn send_batch(
    unit: &str,
    mut batch: LogBatch,
    batches: &mpsc::Sender<Result<LogBatch, String>>,
) -> bool {
    let before = batch.lines.len();
    batch.lines.retain(|line| line != "-- No entries --");
    if batch.lines.len() < before {
        batch.notice = Some(format!("the journal has no entries of {unit}"));
    }
    // Versions before 252 begin with the time range of the journal.
    let covers = ["-- Journal begins at ", "-- Logs begin at "];
    batch.lines.retain(|line| !covers.iter().any(|covers| line.starts_with(covers)));
    for part in split_batch(batch.masked()) {
        if batches.send(Ok(part)).await.is_err() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    /// Creates a script that stands in for journalctl, in the test's own folder.
    fn program(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join("journalctl");
        let text = format!("#!/bin/sh\ncd '{}'\n{script}\n", folder.display());
        // Written by another process: a process that another test forks just now must not hold the file open
        // for writing.
        let write = "printf %s \"$1\" > \"$2\"; chmod 755 \"$2\"";
        let written = std::process::Command::new("sh").args(["-c", write, "sh", &text]).arg(&path).status();
        assert!(written.unwrap().success());
        path
    }

    async fn begun(journal: UnitJournal) -> mpsc::Receiver<Result<LogBatch, String>> {
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let (batches, received) = mpsc::channel(4);
        tokio::spawn(journal.forward(batches, permit));
        received
    }

    async fn all(journal: UnitJournal) -> Vec<Result<LogBatch, String>> {
        let mut received = begun(journal).await;
        let mut all = Vec::new();
        while let Some(batch) = received.recv().await {
            all.push(batch);
        }
        all
    }

    #[tokio::test]
    async fn unit_lines_are_shown_and_agent_environment_is_not_inherited() {
        let folder = tempfile::tempdir().unwrap();
        let script = "printf '%s\\n' \"$@\" > arguments; env > environment\n\
                      echo '-- Journal begins at Mon 2026-11-23. --'; echo one; printf 'two'";
        let program = program(folder.path(), script);
        let batches = all(UnitJournal::open(&program, "-x@1.service", 7, false).unwrap()).await;
        let lines: Vec<String> = batches.into_iter().flat_map(|batch| batch.unwrap().lines).collect();
        assert_eq!(lines, ["one", "two"]);
        let arguments = std::fs::read_to_string(folder.path().join("arguments")).unwrap();
        assert_eq!(arguments, "--unit=-x@1.service\n--lines=7\n--output=short-iso\n--no-pager\n");
        let environment = std::fs::read_to_string(folder.path().join("environment")).unwrap();
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some() && !environment.contains("CARGO"));
    }

    #[tokio::test]
    async fn empty_or_unreadable_journal_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let empty = program(folder.path(), "echo '-- No entries --'");
        let batches = all(UnitJournal::open(&empty, "a.service", 7, false).unwrap()).await;
        let notice = Some("the journal has no entries of a.service".to_owned());
        assert_eq!(batches, [Ok(LogBatch { lines: vec![], notice })]);
        let denied = program(folder.path(), "echo 'No journal files were opened' >&2; exit 1");
        let batches = all(UnitJournal::open(&denied, "a.service", 7, false).unwrap()).await;
        let reason = "the journal of a.service cannot be read: No journal files were opened";
        assert_eq!(batches, [Err(reason.to_owned())]);
        let reason = UnitJournal::open(&folder.path().join("none"), "a.service", 7, false).unwrap_err();
        assert!(
            reason.starts_with("the journal of a.service cannot be read: ") && reason.contains("none"),
            "{reason}"
        );
    }

    #[tokio::test]
    async fn journal_is_followed_until_its_reader_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let program = program(folder.path(), "echo $$; exec sleep 1000");
        let mut received = begun(UnitJournal::open(&program, "a.service", 7, true).unwrap()).await;
        let batch = received.recv().await.unwrap().unwrap();
        let process = PathBuf::from(format!("/proc/{}", batch.lines[0]));
        assert!(process.exists());
        drop(received);
        while process.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}
