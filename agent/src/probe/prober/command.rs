//! Probes by a command: passes if it ends with exit status 0. None of its processes outlives the attempt.

use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rta_shared::config::{AnswerTest, CommandProbe};
use rta_shared::leftover_commands::OWN_MARK;
use rta_shared::redact::redact_text;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::signal::unix;

use super::answer::check_answer;
use crate::host::child_setup::{ChildSetup, UserAccount};
use crate::probe::leftovers::AGENT_VARIABLE;
use crate::probe::reasons::{io_reason, shorten, timeout_reason};

/// Number of bytes kept from the end of the output.
const MAX_TAIL_LENGTH: usize = 64 * 1024;
/// Number of bytes that are read at once.
const READ_LENGTH: usize = 4 * 1024;
/// Default capacity of a pipe (pipe(7)): the maximum that can be left in it when the command has ended.
const PIPE_CAPACITY: usize = 64 * 1024;
/// Time limit for a killed command to end. One in uninterruptible sleep may take longer.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the command. A killed command that does not end is left in `stuck`; while it is there, no
/// other is run.
///
/// # Errors
/// Returns an error if the probe does not pass; the reason is a part of a sentence.
pub(crate) async fn run_probe_command(
    probe: &CommandProbe,
    timeout: Duration,
    stuck: &mut Option<Child>,
) -> Result<(), String> {
    let CommandProbe { command, output } = probe;
    if let Some(child) = stuck
        && let (Ok(None), Some(pid)) = (child.try_wait(), child.id())
    {
        return Err(format!(
            "pid {pid} of an earlier attempt was killed and does not end; the kernel holds it, perhaps on a disk"
        ));
    }
    *stuck = None;
    let mut run = ProbeCommand::new(command)?;
    let ended = tokio::time::timeout(timeout, run.read_until_exit()).await;
    // The child has not been waited for, so its process group cannot have been reused. Remaining processes of
    // the group are killed too.
    run.group.kill();
    let Ok(status) = tokio::time::timeout(KILL_TIMEOUT, run.child.wait()).await else {
        *stuck = Some(run.child);
        return Err(timeout_reason(timeout));
    };
    ended.unwrap_or_else(|_| Err(timeout_reason(timeout)))?;
    match status {
        Ok(status) if status.success() => run.tail.check(output),
        Ok(status) => Err(format!("{}{}", format_exit_status(status), run.tail.last_line())),
        Err(error) => Err(wait_failed_reason(&error)),
    }
}

fn wait_failed_reason(error: &std::io::Error) -> String {
    format!("it cannot be waited for: {}", io_reason(error))
}

/// Running command. Dropping it kills its process group; the runtime then waits for the child.
struct ProbeCommand {
    // Dropped first: until the child has been waited for, its PID and its group cannot be reused.
    group: ProbeProcessGroup,
    leader: Pid,
    child: Child,
    /// Notifies that some child of the agent ended.
    exits: unix::Signal,
    output: pipe::Receiver,
    tail: OutputTail,
}

impl ProbeCommand {
    fn new(words: &[String]) -> Result<Self, String> {
        let to_error = |error: std::io::Error| format!("it cannot be run: {}", io_reason(&error));
        let Some((program, arguments)) = words.split_first() else {
            return Err("the configured command is empty".to_owned());
        };
        // One pipe for both, so that the last line is the last one written.
        let (output, input) = std::io::pipe().map_err(to_error)?;
        let output = pipe::Receiver::from_owned_fd(output.into()).map_err(to_error)?;
        // Registered before the command runs, so that its end is not missed.
        let exits = unix::signal(unix::SignalKind::child()).map_err(to_error)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(UserAccount::own().environment())
            .envs(OWN_MARK.as_ref().map(|mark| (AGENT_VARIABLE, mark)))
            .stdin(Stdio::null())
            .stdout(input.try_clone().map_err(to_error)?)
            .stderr(input)
            .process_group(0)
            .kill_on_drop(true);
        let start = ChildSetup::for_agent_user();
        #[expect(unsafe_code, reason = "the standard library has no safe way to set up the child")]
        // SAFETY: between fork and exec only async-signal-safe calls are allowed (signal-safety(7)), and
        // `apply` makes no others.
        unsafe {
            command.pre_exec(move || start.apply());
        }
        let child = command.spawn().map_err(to_error)?;
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let leader = leader.ok_or("it has no PID")?;
        let group = ProbeProcessGroup(Some(leader));
        Ok(Self { leader, group, child, exits, output, tail: OutputTail::default() })
    }

    /// Reads the output until the command has ended. Does not wait for the child yet.
    async fn read_until_exit(&mut self) -> Result<(), String> {
        let mut buffer = [0; READ_LENGTH];
        let mut open = true;
        loop {
            tokio::select! {
                // The end of the command counts, not that of its output: remaining processes may keep the
                // pipe open.
                biased;
                _ = self.exits.recv() => if self.has_ended()? {
                    break;
                },
                ready = self.output.readable(), if open => match ready
                    .and_then(|()| self.output.try_read(&mut buffer))
                {
                    Ok(0) => open = false,
                    Ok(length) => self.tail.push(buffer.get(..length).unwrap_or_default()),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => open = false,
                },
            }
        }
        // Reads only what is left in the pipe: another process may still write to it.
        for _ in 0..PIPE_CAPACITY.div_ceil(READ_LENGTH) {
            match rustix::io::read(self.output.as_fd(), &mut buffer) {
                Ok(0) => break,
                Ok(length) => self.tail.push(buffer.get(..length).unwrap_or_default()),
                Err(Errno::INTR) => {}
                // The read does not block, and the pipe is empty.
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Returns true if the command has ended; does not reap it.
    fn has_ended(&self) -> Result<bool, String> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.leader), options) {
            Ok(status) => Ok(status.is_some()),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(wait_failed_reason(&error.into())),
        }
    }
}

/// Process group that is killed when this is dropped; `None`: already killed.
struct ProbeProcessGroup(Option<Pid>);

impl ProbeProcessGroup {
    /// Kills the group, once.
    fn kill(&mut self) {
        if let Some(leader) = self.0.take() {
            // An error means that the group is gone, which is the goal.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for ProbeProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns `exit status 1`, or the signal that ended the process.
fn format_exit_status(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The last [`MAX_TAIL_LENGTH`] bytes of an output.
#[derive(Default)]
struct OutputTail {
    bytes: Vec<u8>,
    /// True if bytes before them were dropped.
    is_cut: bool,
}

impl OutputTail {
    fn push(&mut self, output: &[u8]) {
        self.bytes.extend_from_slice(output);
        let surplus = self.bytes.len().saturating_sub(MAX_TAIL_LENGTH);
        self.is_cut |= surplus > 0;
        self.bytes.drain(..surplus);
    }

    /// Tests the output, without notes of a Java launcher. One of which only the end is known passes no test
    /// that something is not in it.
    fn check(&self, test: &AnswerTest) -> Result<(), String> {
        let lines = self.bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_launcher_note(line));
        check_answer(test, &lines.collect::<Vec<_>>().concat(), "the output")?;
        match self.is_cut && test.without.is_some() {
            true => Err(format!("the output is longer than {} KiB", MAX_TAIL_LENGTH / 1024)),
            false => Ok(()),
        }
    }

    /// Returns `: <the last line>`, or an empty text if there is none. Of a stack trace of Java it is the line
    /// with the exception.
    fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut lines = text.lines().map(str::trim);
        let line = lines
            .rfind(|line| !line.is_empty() && !is_stack_frame(line) && !is_launcher_note(line.as_bytes()));
        line.map(|line| format!(": {}", shorten(&redact_text(line)))).unwrap_or_default()
    }
}

/// Returns true for the line in which a Java launcher says which variables it read: no answer of the command.
fn is_launcher_note(line: &[u8]) -> bool {
    const NOTES: [&[u8]; 3] =
        [b"NOTE: Picked up JDK_JAVA_OPTIONS", b"Picked up JAVA_TOOL_OPTIONS", b"Picked up _JAVA_OPTIONS"];
    NOTES.iter().any(|note| line.starts_with(note))
}

/// Returns true for the lines of a Java stack trace below the exception: `at a.B.c(B.java:1)`, `... 8 more`.
fn is_stack_frame(line: &str) -> bool {
    (line.starts_with("at ") && line.ends_with(')')) || (line.starts_with("... ") && line.ends_with(" more"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rta_shared::config::ProbeMethod;
    use tokio::time::{advance, pause, resume, sleep};

    use super::super::tests::question;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn probe(command: impl Into<Vec<String>>) -> CommandProbe {
        CommandProbe { command: command.into(), output: AnswerTest::default() }
    }

    fn shell(script: &str) -> CommandProbe {
        probe(["sh", "-c", script].map(str::to_owned))
    }

    async fn asked(probe: &CommandProbe) -> Result<(), String> {
        let mut stuck = None;
        let result = run_probe_command(probe, PATIENCE, &mut stuck).await;
        assert!(stuck.is_none());
        result
    }

    /// Returns the PIDs that a script wrote to the file `path`, once `count` are there.
    async fn pids(path: &Path, count: usize) -> Vec<u32> {
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let pids: Vec<u32> = lines.map(|line| line.trim().parse().unwrap()).collect();
            if pids.len() == count {
                return pids;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a process has ended: its command line is gone, or it is a zombie, whose line is empty.
    async fn ended(pid: u32) {
        while std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a child has been waited for.
    async fn reaped(pid: u32) {
        while Path::new(&format!("/proc/{pid}")).exists() {
            sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn exit_status_decides_and_last_line_is_the_reason() {
        let rows = [
            ("true", Ok(())),
            ("echo fine; echo better >&2", Ok(())),
            ("exit 3", Err("exit status 3")),
            ("echo first; echo 'second ' >&2; echo; exit 1", Err("exit status 1: second")),
            (
                r"printf 'E: no route\n\tat a.B.c(B.java:1)\n\tat a.D.e(Native Method)\n\t... 8 more\n'; exit 2",
                Err("exit status 2: E: no route"),
            ),
            (r"printf '\033[31mred\377'; exit 1", Err("exit status 1: \\u{1b}[31mred\u{fffd}")),
            ("kill -9 $$", Err("ended by signal 9")),
            // The command has no input, and does not get the notify socket of the agent's service manager.
            ("read line || test -z \"$NOTIFY_SOCKET\"", Ok(())),
        ];
        for (script, expected) in rows {
            assert_eq!(asked(&shell(script)).await, expected.map_err(str::to_owned), "{script}");
        }
    }

    #[tokio::test]
    async fn unusable_command_has_a_reason() {
        let words = ["/does/not/exist".to_owned()];
        assert_eq!(asked(&probe(words)).await, Err("it cannot be run: no such file or directory".to_owned()));
        let words = ["/dev/null".to_owned()];
        assert_eq!(asked(&probe(words)).await, Err("it cannot be run: permission denied".to_owned()));
    }

    #[tokio::test]
    async fn large_output_does_not_block_and_its_end_is_kept() {
        let script = "dd if=/dev/zero bs=1024 count=2048 2>&1; echo; echo the end; exit 1";
        assert_eq!(asked(&shell(script)).await, Err("exit status 1: the end".to_owned()));
        let script = "dd if=/dev/zero bs=1024 count=2048 2>/dev/null | tr '\\0' x; exit 1";
        let reason = asked(&shell(script)).await.unwrap_err();
        assert!(reason.starts_with("exit status 1: xxx") && reason.ends_with("x…"), "{reason}");
        assert!(reason.len() < 300, "{}", reason.len());
    }

    #[tokio::test]
    async fn output_decides_after_the_exit_status() {
        let rows = [
            ("echo UN  10.0.0.1", "output = '^UN '", Ok(())),
            ("echo DN  10.0.0.1", "output = '^UN '", Err("the output has no '^UN ': \"DN 10.0.0.1\"")),
            ("echo UN; echo DN 2 >&2", "without = '(?m)^DN'", Err("the output has '(?m)^DN': \"DN 2\"")),
            ("true", "output = '^$'", Ok(())),
            ("true", "output = 'x'", Err("the output is empty, 'x' is right")),
            // What a JVM says of its own variables.
            ("echo NOTE: Picked up JDK_JAVA_OPTIONS: -Da=b >&2; echo", "output = '^\\s*$'", Ok(())),
            ("echo Picked up JAVA_TOOL_OPTIONS: -Da=b >&2; exit 1", "output = 'x'", Err("exit status 1")),
            ("echo UN; exit 2", "output = 'UN'", Err("exit status 2: UN")),
            // The beginning is not known any more, and may have what must not be there.
            ("yes | head -c 200000", "without = 'DN'", Err("the output is longer than 64 KiB")),
            ("yes | head -c 200000; echo end", "output = 'end'", Ok(())),
        ];
        for (script, keys, expected) in rows {
            let question = question(&format!("command = ['sh', '-c', '{script}'], {keys}"));
            let ProbeMethod::Command(probe) = question else { panic!("{question}") };
            assert_eq!(asked(&probe).await, expected.map_err(str::to_owned), "{script} {keys}");
        }
    }

    #[tokio::test]
    async fn processes_left_by_the_command_are_killed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        // The child holds the pipe, and ends neither by itself nor by a signal that can be caught.
        let script = format!("(trap '' TERM HUP; sleep 1000) & echo $! > '{}'; exit 1", file.display());
        assert_eq!(asked(&shell(&script)).await, Err("exit status 1".to_owned()));
        ended(pids(&file, 1).await[0]).await;
    }

    #[tokio::test]
    async fn process_outside_the_group_does_not_delay_the_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        // The shell waits for the PID, so that the escape is complete before the shell ends.
        let script = format!(
            "setsid sh -c 'echo $$ > \"{0}\"; exec sleep 1000' & until test -s '{0}'; do :; done; exit 1",
            file.display()
        );
        assert_eq!(asked(&shell(&script)).await, Err("exit status 1".to_owned()));
        let escaped = pids(&file, 1).await[0];
        let escaped = Pid::from_raw(i32::try_from(escaped).unwrap()).unwrap();
        rustix::process::kill_process(escaped, Signal::KILL).unwrap();
    }

    /// Returns a command that hangs, with a child that hangs too; both PIDs are written to `file`.
    fn hanging(file: &Path) -> CommandProbe {
        let file = file.display();
        shell(&format!("trap '' TERM; echo $$ >> '{file}'; sleep 1000 & echo $! >> '{file}'; wait"))
    }

    #[tokio::test]
    async fn hanging_command_is_killed_with_its_group() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        let words = hanging(&file);
        let attempt = tokio::spawn(async move { asked(&words).await });
        let pids = pids(&file, 2).await;
        pause();
        advance(PATIENCE).await;
        resume();
        assert_eq!(attempt.await.unwrap(), Err("no answer within 60 s".to_owned()));
        // The command itself has been waited for: it is not even a zombie.
        assert!(!Path::new(&format!("/proc/{}", pids[0])).exists());
        ended(pids[1]).await;
    }

    #[tokio::test]
    async fn dropped_attempt_kills_command_with_its_group() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        let words = hanging(&file);
        let attempt = tokio::spawn(async move { asked(&words).await });
        let pids = pids(&file, 2).await;
        attempt.abort();
        assert!(attempt.await.unwrap_err().is_cancelled());
        reaped(pids[0]).await;
        ended(pids[1]).await;
    }

    #[tokio::test]
    async fn no_command_runs_while_an_earlier_one_is_stuck() {
        let child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
        let pid = child.id().unwrap();
        let mut stuck = Some(child);
        for _ in 0..2 {
            let reason = run_probe_command(&shell("true"), PATIENCE, &mut stuck).await.unwrap_err();
            let expected = format!("pid {pid} of an earlier attempt was killed and does not end; ");
            assert!(reason.starts_with(&expected), "{reason}");
        }
        stuck.as_mut().unwrap().kill().await.unwrap();
        assert_eq!(run_probe_command(&shell("true"), PATIENCE, &mut stuck).await, Ok(()));
        assert!(stuck.is_none());
    }

    #[test]
    fn output_tail_is_bounded() {
        let mut tail = OutputTail::default();
        assert_eq!(tail.last_line(), "");
        for line in 0..10_000 {
            tail.push(format!("line {line}\r\n \n").as_bytes());
            assert!(tail.bytes.len() <= MAX_TAIL_LENGTH);
        }
        assert_eq!(tail.last_line(), ": line 9999");
    }
}
