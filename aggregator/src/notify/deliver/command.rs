//! Commands that read a message. The program and its arguments come from the configuration alone, and no
//! shell is involved.

use std::process::Stdio;
use std::time::Duration;

use rta_shared::config::notify::CommandChannel;
use rta_shared::leftover_commands::{Leftovers, OWN_MARK, kill_leftovers};
use rta_shared::sanitize::printable;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::{DeliveryError, to_json};
use crate::notify::message::Message;

/// Number of bytes that are kept from the end of the output on standard error.
const MAX_OUTPUT: usize = 16 * 1024;
/// Time limit for the rest of the output of a command that has ended.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(200);
/// Variable in the environment of a command that names its aggregator.
const AGGREGATOR_VARIABLE: &str = "RTA_NOTIFY_AGGREGATOR";
/// Variables that a command inherits.
const VARIABLES: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// Runs the command with the message as JSON on its standard input. Its success is exit status 0.
pub(super) async fn deliver(channel: &CommandChannel, message: &Message) -> Result<(), DeliveryError> {
    let body = to_json(message)?;
    let Some((program, arguments)) = channel.command.split_first() else {
        return Err(DeliveryError::Failed("the configured command is empty".to_owned()));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .env("RTA_KEY", &message.key)
        .env("RTA_KIND", message.kind.word())
        .envs(OWN_MARK.as_ref().map(|mark| (AGGREGATOR_VARIABLE, mark)))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let failed = |error: std::io::Error| DeliveryError::Failed(format!("{program}: {error}"));
    let mut child = command.spawn().map_err(failed)?;
    // Also if this delivery is given up in the middle.
    let mut group = ProcessGroup::of(&child);
    let (mut input, output) = (child.stdin.take(), child.stderr.take());
    let run = async {
        let write = async {
            if let Some(input) = &mut input {
                // A command need not read its input.
                let _ = input.write_all(&body).await;
            }
            drop(input.take());
        };
        let mut text = Vec::new();
        let read = async {
            if let Some(output) = output {
                // A failed read leaves the exit status, which decides.
                let _ = read_last(output, &mut text).await;
            }
        };
        let talk = async { tokio::join!(write, read) };
        let status = {
            let mut talk = std::pin::pin!(talk);
            let mut is_over = false;
            loop {
                tokio::select! {
                    status = child.wait() => {
                        if !is_over {
                            // What it left in the background may keep the pipe open.
                            let _ = tokio::time::timeout(OUTPUT_TIMEOUT, &mut talk).await;
                        }
                        break status;
                    }
                    _ = &mut talk, if !is_over => is_over = true,
                }
            }
        };
        (status, text)
    };
    let Ok((status, text)) = tokio::time::timeout(channel.timeout, run).await else {
        return Err(DeliveryError::Failed(format!(
            "{program} took longer than {} s and was killed",
            channel.timeout.as_secs()
        )));
    };
    group.release();
    let status = status.map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    let last = last.map(|line| format!(": {}", printable(line))).unwrap_or_default();
    Err(DeliveryError::Failed(format!("{program} ended with {status}{last}")))
}

/// Kills the commands that aggregators which are gone left behind, with their children: their messages are
/// delivered again. Blocking.
pub(crate) fn kill_leftover_commands() {
    for pid in kill_leftovers(AGGREGATOR_VARIABLE, Leftovers::OfUnfinishedCommands) {
        tracing::warn!(pid, "a command of an earlier aggregator was still running and was killed");
    }
}

/// Reads to the end: a command must not fail since nobody reads. Keeps the last [`MAX_OUTPUT`] bytes in `text`.
async fn read_last(mut output: impl AsyncRead + Unpin, text: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        if output.read_buf(text).await? == 0 {
            return Ok(());
        }
        let surplus = text.len().saturating_sub(MAX_OUTPUT);
        text.drain(..surplus);
    }
}

/// Process group of a command that has not been waited for, which is killed when this is dropped.
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Lets the group live on: its leader has ended, and its number may be used again.
    fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // An error means that the group is gone, which is the goal.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::notify::compose::{begin_facts, compose};
    use crate::notify::machine::tests::cause;

    fn message() -> Message {
        Message { key: "k-1".to_owned(), ..compose(&cause("kafka"), begin_facts()) }
    }

    async fn run(script: &str, timeout: u64) -> Result<(), DeliveryError> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        deliver(&CommandChannel { command, timeout: Duration::from_secs(timeout) }, &message()).await
    }

    #[tokio::test]
    async fn command_reads_the_message() {
        let script = "test \"$RTA_KEY\" = k-1 && grep -q '\"component\":\"kafka\"'";
        assert_eq!(run(script, 10).await, Ok(()));
        assert_eq!(run("exit 0", 10).await, Ok(()));
    }

    #[tokio::test]
    async fn failure_is_told_with_its_last_line() {
        let error = run("echo first >&2; echo no pager >&2; exit 3", 10).await.unwrap_err();
        assert_eq!(error.reason(), "/bin/sh ended with exit status: 3: no pager");
    }

    #[tokio::test]
    async fn command_that_writes_a_lot_is_read_to_the_end() {
        let much = "head -c 1000000 /dev/zero | tr '\\0' x >&2 && echo >&2";
        assert_eq!(run(much, 60).await, Ok(()));
        let error = run(&format!("{much}; echo no pager >&2; exit 3"), 60).await.unwrap_err();
        assert_eq!(error.reason(), "/bin/sh ended with exit status: 3: no pager");
    }

    #[tokio::test]
    async fn command_that_hangs_is_killed_with_its_children() {
        let begun = Instant::now();
        let error = run("sleep 600 & sleep 600", 1).await.unwrap_err();
        assert!(error.reason().contains("took longer than 1 s"), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(300));
    }
}
