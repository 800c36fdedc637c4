//! Running a command detached: a session of its own, no input, its output in the log, and where that can be had a
//! control group of its own.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rta_shared::config::CommandRule;
use rta_shared::process::ProcessId;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::Code;

use super::account::{Account, account};
use super::cgroup::Group;
use super::log_tail::{length, log_tail};
use super::refusal::Refusal;
use crate::logs::LogPath;
use crate::procfs::Proc;

/// How long a launch that is given up has to end before it is killed.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// A launched command. It goes on when this is dropped, and is reaped when it ends.
pub(crate) struct Launched {
    pub(crate) pid: u32,
    /// `None` where it ended too fast to be read.
    pub(super) id: Option<ProcessId>,
    exit: watch::Receiver<Option<ExitStatus>>,
    give_up: mpsc::Sender<()>,
    /// The logs that tell of it, and how long each was before.
    logs: Vec<(LogPath, u64)>,
}

impl Launched {
    /// Tells how it ended, once it has.
    pub(crate) fn exits(&self) -> watch::Receiver<Option<ExitStatus>> {
        self.exit.clone()
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn exit(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// How it ended, if it does within this time.
    pub(super) async fn exit_within(&mut self, time: Duration) -> Option<ExitStatus> {
        // An error says that the reaper is gone, and with it the child.
        let _ = tokio::time::timeout(time, self.exit.wait_for(Option::is_some)).await;
        self.exit()
    }

    /// The last lines that it wrote.
    pub(super) async fn last_words(&self) -> Vec<String> {
        let logs = self.logs.clone();
        let read = move || {
            let tails = logs.iter().map(|(path, from)| log_tail(path, *from));
            tails.into_iter().find(|tail| !tail.is_empty()).unwrap_or_default()
        };
        // Off the runtime: the disk may hang.
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }

    /// Ends it and its process group, and waits until it is gone. False where it had ended already, since
    /// then its PID may be another's.
    pub(crate) async fn give_up(mut self) -> bool {
        if self.exit().is_some() || self.give_up.send(()).await.is_err() {
            return false;
        }
        // An error says that the reaper is gone, and with it the child.
        let _ = self.exit.wait_for(Option::is_some).await;
        true
    }
}

/// What is to be launched.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) rule: CommandRule,
    /// The control group that it is to be in.
    pub(super) group: Option<Group>,
    /// The component's own log, read where the command itself says nothing.
    pub(super) log: Option<PathBuf>,
}

/// Runs a command. One whose caller has gone meanwhile, since a disk hung, is ended again.
///
/// # Errors
/// What prevents it, as a sentence.
pub(super) async fn launch(order: Order) -> Result<Launched, Refusal> {
    let (answer, launched) = oneshot::channel();
    // Off the runtime: files are opened, and users looked up.
    tokio::task::spawn_blocking(move || {
        let outcome = check(&order.rule).and_then(|account| match answer.is_closed() {
            true => Err(Refusal::new(Code::Cancelled, "it was given up")),
            false => order.run(account),
        });
        if let Err(Ok(launched)) = answer.send(outcome) {
            tracing::warn!(pid = launched.pid, "launched after its start was given up, and ended again");
            Handle::current().spawn(launched.give_up());
        }
    });
    launched.await.unwrap_or_else(|_| Err(Refusal::new(Code::Internal, "the agent failed to launch it")))
}

/// Whether a command could be run, as far as can be known before. Blocking.
///
/// # Errors
/// What would prevent it, as a sentence.
pub(super) fn check(rule: &CommandRule) -> Result<Option<Account>, Refusal> {
    let account = account(rule.user.as_deref())?;
    let refused = |reason: String| Refusal::new(Code::FailedPrecondition, reason);
    if let Some(directory) = &rule.directory
        && !directory.is_dir()
    {
        return Err(refused(format!("the directory {} does not exist", directory.display())));
    }
    let Some(program) = rule.command.first() else {
        return Err(refused("the configured command is empty".to_owned()));
    };
    // One without a slash is looked up when it is run.
    if program.contains('/') {
        let path = rule.directory.as_deref().unwrap_or(Path::new("")).join(program);
        let cannot = |why: &str| refused(format!("\"{program}\" cannot be run: {why}"));
        let metadata = std::fs::metadata(path).map_err(|error| cannot(&error.to_string()))?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
            return Err(cannot("it is no executable file"));
        }
    }
    Ok(account)
}

impl Order {
    fn run(self, account: Option<Account>) -> Result<Launched, Refusal> {
        let Self { rule, group, log } = self;
        let refused = |reason: String| Refusal::new(Code::FailedPrecondition, reason);
        let Some((program, arguments)) = rule.command.split_first() else {
            return Err(refused("the configured command is empty".to_owned()));
        };
        let mut command = std::process::Command::new(program);
        command.args(arguments).stdin(Stdio::null()).env_remove("NOTIFY_SOCKET");
        if let Some(directory) = &rule.directory {
            command.current_dir(directory);
        }
        if let Some(account) = &account {
            command.env("HOME", &account.home).env("USER", &account.name).env("LOGNAME", &account.name);
        }
        command.envs(rule.environment.iter().map(|(name, value)| (name, value)));
        let mut logs = Vec::new();
        match &rule.log {
            Some(path) => {
                let path = LogPath::new(path.clone(), rule.user.clone());
                let told =
                    |error: std::io::Error| refused(format!("the log {path} cannot be written: {error}"));
                let (file, length) = path.open_to_append().map_err(told)?;
                command.stderr(file.try_clone().map_err(told)?).stdout(file);
                logs.push((path, length));
            }
            None => {
                command.stdout(Stdio::null()).stderr(Stdio::null());
            }
        }
        if let Some(own) = log.filter(|own| Some(own) != rule.log.as_ref()) {
            let own = LogPath::new(own, rule.user.clone());
            let length = length(&own);
            logs.push((own, length));
        }
        let door = group.as_ref().and_then(|group| {
            let told = |error| tracing::debug!(?group, %error, "no control group");
            group.door().map_err(told).ok()
        });
        detach(&mut command, account, door);

        let child = Command::from(command)
            .spawn()
            .map_err(|error| refused(format!("\"{program}\" cannot be run: {error}")))?;
        let pid = child.id().unwrap_or_default();
        // It was not waited for: the PID is its own.
        let start_ticks =
            Proc::open().and_then(|proc| proc.process(pid)?.stat()).map(|stat| stat.start_ticks);
        let id = start_ticks.ok().map(|start_ticks| ProcessId { pid, start_ticks });
        let (exit_sender, exit) = watch::channel(None);
        let (give_up, asked) = mpsc::channel(1);
        Handle::current().spawn(reap(child, exit_sender, asked, group));
        Ok(Launched { pid, id, exit, give_up, logs })
    }
}

/// Waits for the child, so that it leaves no zombie, and ends its process group if asked to. Both happen in
/// one task: as long as the child was not waited for, its PID and its group are its own.
async fn reap(
    mut child: Child,
    exit: watch::Sender<Option<ExitStatus>>,
    mut asked: mpsc::Receiver<()>,
    control_group: Option<Group>,
) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut waits = 0;
    let status = loop {
        let patience = async {
            match waits {
                0 if asked.recv().await.is_some() => Signal::TERM,
                1 => {
                    tokio::time::sleep(LAST_CHANCE).await;
                    Signal::KILL
                }
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            status = child.wait() => break status,
            signal = patience => {
                waits += 1;
                if let Some(group) = group {
                    // An error says that the group is gone, which is what is wanted.
                    let _ = kill_process_group(group, signal);
                    if signal == Signal::TERM {
                        // One that is stopped acts on nothing else.
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

/// Gives the command a session of its own, the control group behind `door`, and the account's rights, each where
/// there is one.
fn detach(command: &mut std::process::Command, account: Option<Account>, door: Option<File>) {
    use std::os::unix::process::CommandExt as _;
    let become_detached = move || {
        rustix::process::setsid()?;
        if let Some(door) = &door {
            // Where it fails, it stays in the agent's own group, and is known by its session.
            let _ = rustix::io::write(door, b"0");
        }
        if let Some(account) = &account {
            nix::unistd::setgroups(&account.groups)?;
            nix::unistd::setgid(account.gid)?;
            nix::unistd::setuid(account.uid)?;
        }
        Ok(())
    };
    #[expect(unsafe_code, reason = "the standard library has no safe way to begin a session in the child")]
    // SAFETY: between fork and exec only async-signal-safe calls are allowed (signal-safety(7)). The closure
    // makes system calls alone; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(become_detached);
    }
}
