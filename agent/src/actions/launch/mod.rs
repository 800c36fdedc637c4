//! Runs a command detached: in a new session, without input, with its output in the log, and in its own
//! control group if possible. The launch is recorded for the next agent before the command runs; see
//! [`gate`].

mod gate;

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rta_shared::config::CommandRule;
use rta_shared::lifecycle::tasks::OwnedTasks;
use rta_shared::name::Name;
use rta_shared::process::ProcessId;
use rta_shared::redact::redact_command_line;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use self::gate::{ChildGate, SpawnGate, spawn_gate};
use super::action_record::{LAUNCH_ID, LaunchedSession, monotonic_ms, new_launch_id};
use super::action_records::ActionRecords;
use super::error::{ActionError, ActionErrorKind};
use super::pidfd_process::{PidfdProcess, remaining_processes};
use crate::host::cgroup::ComponentCgroup;
use crate::host::cgroup_mount::CgroupFreezers;
use crate::host::child_setup::{ChildSetup, UserAccount, environment_file};
use crate::host::procfs::{ProcFs, is_alive};
use crate::logs::{LogPath, log_length, log_tail};

/// Time between SIGTERM and SIGKILL for a launch that is given up.
const TERM_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between two checks whether a launch of an earlier agent has ended.
const EXIT_CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Name of the tasks that wait for launched processes, in panic messages.
const REAPER_TASK: &str = "the wait for a launched command";

/// Launched command. It continues when this is dropped, and is reaped when it ends.
pub(crate) struct LaunchedCommand {
    pub(crate) pid: u32,
    pub(super) id: ProcessId,
    /// Exit status; never set for an adopted process, whose status only its own parent gets.
    exit: watch::Receiver<Option<ExitStatus>>,
    has_ended: watch::Receiver<bool>,
    give_up: mpsc::Sender<()>,
    /// Logs of the command, each with its length before the launch.
    logs: Vec<(LogPath, u64)>,
}

impl LaunchedCommand {
    /// Returns a receiver of the exit status.
    pub(crate) fn exit_receiver(&self) -> watch::Receiver<Option<ExitStatus>> {
        self.exit.clone()
    }

    /// Returns the exit status; `None` while the command runs, and for adopted processes.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Returns true if the process has ended.
    pub(super) fn has_ended(&self) -> bool {
        *self.has_ended.borrow()
    }

    /// Waits for the end for at most `time`, and returns the exit status if it is known.
    pub(super) async fn wait_for_exit(&mut self, time: Duration) -> Option<ExitStatus> {
        // An error means that the reaper is gone, and with it the child.
        let _ = tokio::time::timeout(time, self.has_ended.wait_for(|has_ended| *has_ended)).await;
        self.exit_status()
    }

    /// Takes over a launch of an earlier agent. Must be called within a runtime; blocking, but only on /proc.
    ///
    /// # Errors
    /// Returns an error if the process cannot be watched.
    pub(super) fn adopt(launch: &LaunchedSession, tasks: &OwnedTasks) -> Result<Self, ActionError> {
        let id = launch.leader;
        let unreadable = |error: Errno| {
            ActionError::new(
                ActionErrorKind::Unavailable,
                format!("what an earlier agent launched cannot be watched: {error}"),
            )
        };
        let held = PidfdProcess::open_checked(
            &ProcFs::open().map_err(unreadable)?,
            id,
            &CgroupFreezers::default(),
            |_, _| true,
        )?;
        let (ended, has_ended) = watch::channel(held.is_none());
        if let Some(held) = held {
            let guard = tasks.guard(REAPER_TASK).may_end();
            Handle::current().spawn(async move {
                let _guard = guard;
                let mut held = vec![held];
                while !held.is_empty() {
                    tokio::time::sleep(EXIT_CHECK_INTERVAL).await;
                    match remaining_processes(held) {
                        Ok(left) => held = left,
                        Err(error) => {
                            return tracing::error!(
                                reason = error.reason,
                                "adopted launch cannot be watched"
                            );
                        }
                    }
                }
                ended.send_replace(true);
            });
        }
        let (_, exit) = watch::channel(None);
        let (give_up, _) = mpsc::channel(1);
        Ok(Self { pid: id.pid, id, exit, has_ended, give_up, logs: launch.logs.clone() })
    }

    /// Returns the last lines that the command wrote.
    pub(super) async fn last_log_lines(&self) -> Vec<String> {
        let logs = self.logs.clone();
        let read = move || {
            let tails = logs.iter().map(|(path, from)| log_tail(path, *from));
            tails.into_iter().find(|tail| !tail.is_empty()).unwrap_or_default()
        };
        // Off the runtime, since the disk may hang.
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }

    /// Ends the process and its group, and waits for the end. Returns false if it had ended already, since
    /// its PID may have been reused.
    pub(crate) async fn terminate(mut self) -> bool {
        if self.has_ended() || self.give_up.send(()).await.is_err() {
            return false;
        }
        // An error means that the reaper is gone, and with it the child.
        let _ = self.has_ended.wait_for(|has_ended| *has_ended).await;
        true
    }
}

/// Description of a launch.
#[derive(Clone, Debug)]
pub(super) struct LaunchRequest {
    pub(super) rule: CommandRule,
    /// Control group for the process.
    pub(super) group: Option<ComponentCgroup>,
    /// Log of the component, read if the command's own log has no new lines.
    pub(super) log: Option<PathBuf>,
    pub(super) purpose: LaunchPurpose,
    pub(super) component: Name,
    /// Store that records the launch.
    pub(super) launches: ActionRecords,
    /// Owners of the task that waits for the process.
    pub(super) tasks: OwnedTasks,
}

/// Purpose of a command.
#[derive(Clone, Copy, Debug)]
pub(super) enum LaunchPurpose {
    /// Becomes the component within this time.
    Start(Duration),
    /// Stops the component.
    Stop,
}

/// Runs a command. If the caller has gone meanwhile, because a disk hung, the command is ended again.
///
/// # Errors
/// Returns an error, with a sentence, if the command cannot be launched.
pub(super) async fn launch(request: LaunchRequest) -> Result<LaunchedCommand, ActionError> {
    let (answer, launched) = oneshot::channel();
    // Off the runtime: opens files and looks up users.
    tokio::task::spawn_blocking(move || {
        let outcome = check_command(&request.rule).and_then(|prepared| match answer.is_closed() {
            true => Err(ActionError::new(ActionErrorKind::Cancelled, "it was given up")),
            false => request.run(prepared),
        });
        if let Err(Ok(launched)) = answer.send(outcome) {
            tracing::warn!(pid = launched.pid, "launched after its start was given up, and ended again");
            Handle::current().spawn(launched.terminate());
        }
    });
    launched
        .await
        .unwrap_or_else(|_| Err(ActionError::new(ActionErrorKind::Internal, "the agent failed to launch it")))
}

/// Checks whether a command can be run, as far as that can be known in advance. Blocking.
///
/// # Errors
/// Returns an error, with a sentence, if the user, the environment files, the directory or the program is
/// unusable.
pub(super) fn check_command(rule: &CommandRule) -> Result<PreparedCommand, ActionError> {
    let account =
        UserAccount::find(rule.user.as_deref(), rule.process.group.as_deref()).map_err(cannot_launch)?;
    let start = ChildSetup::new(&rule.process, &account).map_err(cannot_launch)?;
    let files = environment_file::read_environment(&rule.environment_files, rule.user.as_deref())
        .map_err(cannot_launch)?;
    if let Some(directory) = &rule.directory
        && !directory.is_dir()
    {
        return Err(cannot_launch(format!("the directory {} does not exist", directory.display())));
    }
    let Some(program) = rule.command.first() else {
        return Err(cannot_launch("the configured command is empty".to_owned()));
    };
    // A program without a slash is looked up in PATH when it is run.
    if program.contains('/') {
        let path = rule.directory.as_deref().unwrap_or(Path::new("")).join(program);
        let shown = redact_command_line([program.as_str()]);
        let cannot = |why: &str| cannot_launch(format!("\"{shown}\" cannot be run: {why}"));
        let metadata = std::fs::metadata(path).map_err(|error| cannot(&error.to_string()))?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
            return Err(cannot("it is no executable file"));
        }
    }
    let given = rule.environment.iter().cloned().chain(files);
    let given = given.map(|(name, value)| (name.into(), value.into()));
    let basic = account.environment().map(|(name, value)| (OsString::from(name), value));
    Ok(PreparedCommand { start, environment: basic.into_iter().chain(given).collect() })
}

/// Settings for the process of a command.
pub(super) struct PreparedCommand {
    start: ChildSetup,
    /// If a variable occurs more than once, the last value counts.
    environment: Vec<(OsString, OsString)>,
}

impl LaunchRequest {
    fn run(self, prepared: PreparedCommand) -> Result<LaunchedCommand, ActionError> {
        let Some((program, arguments)) = self.rule.command.split_first() else {
            return Err(cannot_launch("the configured command is empty".to_owned()));
        };
        let mut command = std::process::Command::new(program);
        command.args(arguments).stdin(Stdio::null()).env_clear().envs(prepared.environment);
        if let Some(directory) = &self.rule.directory {
            command.current_dir(directory);
        }
        let launch_id = new_launch_id().map_err(ActionError::internal)?;
        if let LaunchPurpose::Start(_) = self.purpose {
            command.env(LAUNCH_ID, &launch_id);
        }
        let logs = self.open_logs(&mut command)?;
        let procs_file = self.group.as_ref().and_then(|group| {
            let to_error = |error| tracing::debug!(?group, %error, "no control group");
            group.open_procs_file().map_err(to_error).ok()
        });
        let (gate, child_gate) = spawn_gate().map_err(ActionError::internal)?;
        detach(&mut command, prepared.start, procs_file, child_gate);

        let kept_logs = logs.clone();
        let (child, id) = spawn_recorded(command, gate, |id| self.record_launch(id, launch_id, kept_logs))
            .inspect_err(|_| {
                if let LaunchPurpose::Start(_) = self.purpose {
                    self.remove_record_if_not_running();
                }
            })?;
        let (exit_sender, exit) = watch::channel(None);
        let (ended, has_ended) = watch::channel(false);
        let (give_up, kill_requests) = mpsc::channel(1);
        let guard = self.tasks.guard(REAPER_TASK).may_end();
        Handle::current().spawn(async move {
            let _guard = guard;
            wait_for_child(child, exit_sender, kill_requests, self.group).await;
            ended.send_replace(true);
        });
        Ok(LaunchedCommand { pid: id.pid, id, exit, has_ended, give_up, logs })
    }

    /// Removes the record of a failed launch. Checks the process itself, since during shutdown the runtime
    /// reports an error for a command that does run.
    fn remove_record_if_not_running(&self) {
        if !self.launches.last_launch(&self.component).is_some_and(|launch| is_alive(launch.leader)) {
            self.launches.remove_launch(&self.component);
        }
    }

    /// Opens the command's log for its output. Returns all logs to read later, each with its current length.
    fn open_logs(&self, command: &mut std::process::Command) -> Result<Vec<(LogPath, u64)>, ActionError> {
        let mut logs = Vec::new();
        match &self.rule.log {
            Some(path) => {
                let path = LogPath::new(path.clone(), self.rule.user.clone());
                let to_error = |error: std::io::Error| {
                    cannot_launch(format!("the log {path} cannot be written: {error}"))
                };
                let (file, length) = path.open_to_append().map_err(to_error)?;
                command.stderr(file.try_clone().map_err(to_error)?).stdout(file);
                logs.push((path, length));
            }
            None => {
                command.stdout(Stdio::null()).stderr(Stdio::null());
            }
        }
        if let Some(own) = self.log.clone().filter(|own| Some(own) != self.rule.log.as_ref()) {
            let own = LogPath::new(own, self.rule.user.clone());
            let length = log_length(&own);
            logs.push((own, length));
        }
        Ok(logs)
    }

    /// Records for the next agent which process is about to run the command.
    fn record_launch(
        &self,
        id: ProcessId,
        launch_id: String,
        logs: Vec<(LogPath, u64)>,
    ) -> Result<(), ActionError> {
        let LaunchPurpose::Start(timeout) = self.purpose else {
            // Without the record a next agent runs the command again, and the component is to be stopped in
            // any case.
            let _ = self.launches.record_stop_command(&self.component, id);
            return Ok(());
        };
        let now = monotonic_ms();
        let launch = LaunchedSession {
            id: launch_id,
            leader: id,
            members: Vec::new(),
            is_unfinished: true,
            launched_ms: now,
            deadline_ms: now.saturating_add(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
            control_group: self.group.as_ref().map(|group| group.folder().to_owned()),
            logs,
        };
        self.launches.record_launch(&self.component, launch)
    }
}

fn cannot_launch(reason: String) -> ActionError {
    ActionError::new(ActionErrorKind::PreconditionFailed, reason)
}

/// Runs `command`, whose child waits at `gate` until `record` has recorded its process.
fn spawn_recorded(
    command: std::process::Command,
    mut gate: SpawnGate,
    record: impl FnOnce(ProcessId) -> Result<(), ActionError> + Send,
) -> Result<(Child, ProcessId), ActionError> {
    let program = redact_command_line([&*command.get_program().to_string_lossy()]);
    let record_child = move || -> Result<Option<ProcessId>, ActionError> {
        let Some(pid) = gate.wait() else { return Ok(None) };
        // The child is waiting, so the PID is its own.
        let stat =
            ProcFs::open().and_then(|proc| proc.process(pid)?.stat()).map_err(ActionError::internal)?;
        let id = ProcessId { pid, start_ticks: stat.start_ticks };
        record(id)?;
        // If the child has ended meanwhile, the spawn returns the error.
        let _ = gate.open();
        Ok(Some(id))
    };
    std::thread::scope(|scope| {
        let recorder =
            std::thread::Builder::new().name("launch".to_owned()).spawn_scoped(scope, record_child);
        let recorder = recorder.map_err(ActionError::internal)?;
        let mut command = Command::from(command);
        let child = command.spawn();
        // Closes the last descriptor of the gate that a child would write to.
        drop(command);
        let id = recorder
            .join()
            .map_err(|_| ActionError::new(ActionErrorKind::Internal, "the agent failed to note it"))??;
        let child = child.map_err(|error| cannot_launch(format!("\"{program}\" cannot be run: {error}")))?;
        let id = id.ok_or_else(|| {
            cannot_launch(format!("\"{program}\" cannot be run: its process ended at once"))
        })?;
        Ok((child, id))
    })
}

/// Waits for the child, so that it leaves no zombie, and ends its process group on request. One task does
/// both: until the child has been waited for, its PID and its group cannot be reused.
async fn wait_for_child(
    mut child: Child,
    exit: watch::Sender<Option<ExitStatus>>,
    mut kill_requests: mpsc::Receiver<()>,
    control_group: Option<ComponentCgroup>,
) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut waits = 0;
    let status = loop {
        let escalation = async {
            match waits {
                0 if kill_requests.recv().await.is_some() => Signal::TERM,
                1 => {
                    tokio::time::sleep(TERM_TIMEOUT).await;
                    Signal::KILL
                }
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            status = child.wait() => break status,
            signal = escalation => {
                waits += 1;
                if let Some(group) = group {
                    // An error means that the group is gone, which is the goal.
                    let _ = kill_process_group(group, signal);
                    if signal == Signal::TERM {
                        // A stopped process acts on SIGTERM only after SIGCONT.
                        let _ = kill_process_group(group, Signal::CONT);
                    }
                }
            }
        }
    };
    if let Some(control_group) = control_group {
        control_group.remove();
    }
    match status {
        Ok(status) => drop(exit.send_replace(Some(status))),
        Err(error) => tracing::error!(%error, "a launched command cannot be waited for"),
    }
}

/// Gives the command a new session, the control group behind `procs_file` if there is one, and a clean start.
/// Its child waits at `gate` before it gives up the agent's privileges.
fn detach(command: &mut std::process::Command, start: ChildSetup, procs_file: Option<File>, gate: ChildGate) {
    use std::os::unix::process::CommandExt as _;
    let become_detached = move || {
        rustix::process::setsid()?;
        if let Some(procs_file) = &procs_file {
            // On failure the child stays in the agent's control group, and is found by its session.
            let _ = rustix::io::write(procs_file, b"0");
        }
        start.apply()?;
        gate.pass()?;
        start.drop_privileges()
    };
    #[expect(unsafe_code, reason = "the standard library has no safe way to begin a session in the child")]
    // SAFETY: between fork and exec only async-signal-safe calls are allowed (signal-safety(7)). The closure
    // makes system calls alone; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(become_detached);
    }
}
