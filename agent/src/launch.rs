//! Running a start command detached: a session of its own, no input, its output in the log.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::unistd::{Gid, Uid, User, getgrouplist};
use rta_shared::config::CommandRule;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tonic::Code;

use crate::log_tail::log_tail;
use crate::refusal::Refusal;

/// How long a launch that is given up has to end before it is killed.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// A launched command. It goes on when this is dropped, and is reaped when it ends.
pub(crate) struct Launched {
    pub(crate) pid: u32,
    exit: watch::Receiver<Option<ExitStatus>>,
    give_up: mpsc::Sender<()>,
    log: Option<(std::path::PathBuf, u64)>,
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

    /// `; the log's last lines: ...`, or nothing where it wrote none.
    pub(crate) fn last_words(&self) -> String {
        let tail = self.log.as_ref().map(|(path, from)| log_tail(path, *from)).unwrap_or_default();
        if tail.is_empty() { String::new() } else { format!("; its last output: {tail}") }
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

/// Runs the command of `rule`.
///
/// # Errors
/// What prevents it, as a sentence.
pub(crate) fn launch(rule: &CommandRule) -> Result<Launched, Refusal> {
    let account = account(rule.user.as_deref())?;
    let refused = |reason: String| Refusal::new(Code::FailedPrecondition, reason);
    let Some((program, arguments)) = rule.command.split_first() else {
        return Err(refused("the configured command is empty".to_owned()));
    };
    let mut command = std::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).env_remove("NOTIFY_SOCKET");
    if let Some(directory) = &rule.directory {
        if !directory.is_dir() {
            return Err(refused(format!("the directory {} does not exist", directory.display())));
        }
        command.current_dir(directory);
    }
    if let Some(account) = &account {
        command.env("HOME", &account.home).env("USER", &account.name).env("LOGNAME", &account.name);
    }
    command.envs(rule.environment.iter().map(|(name, value)| (name, value)));
    let log = match &rule.log {
        Some(path) => {
            let told = |error: std::io::Error| {
                refused(format!("the log {} cannot be written: {error}", path.display()))
            };
            let (file, length) = open_log(path, account.as_ref()).map_err(told)?;
            command.stderr(file.try_clone().map_err(told)?).stdout(file);
            Some((path.clone(), length))
        }
        None => {
            command.stdout(Stdio::null()).stderr(Stdio::null());
            None
        }
    };
    detach(&mut command, account);

    let child = Command::from(command)
        .spawn()
        .map_err(|error| refused(format!("\"{program}\" cannot be run: {error}")))?;
    let pid = child.id().unwrap_or_default();
    let (exit_sender, exit) = watch::channel(None);
    let (give_up, asked) = mpsc::channel(1);
    tokio::spawn(reap(child, exit_sender, asked));
    Ok(Launched { pid, exit, give_up, log })
}

/// Waits for the child, so that it leaves no zombie, and ends its process group if asked to. Both happen in
/// one task: as long as the child was not waited for, its PID and its group are its own.
async fn reap(mut child: Child, exit: watch::Sender<Option<ExitStatus>>, mut asked: mpsc::Receiver<()>) {
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
                }
            }
        }
    };
    match status {
        Ok(status) => drop(exit.send_replace(Some(status))),
        Err(error) => tracing::error!(%error, "a launched command cannot be waited for"),
    }
}

/// Gives the command a session of its own, and the account's rights where there is one.
fn detach(command: &mut std::process::Command, account: Option<Account>) {
    use std::os::unix::process::CommandExt as _;
    let become_detached = move || {
        rustix::process::setsid()?;
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

/// The account to switch to.
struct Account {
    name: String,
    home: std::path::PathBuf,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

/// The account named `user`; `None` where that is the agent's own.
fn account(user: Option<&str>) -> Result<Option<Account>, Refusal> {
    let Some(name) = user else { return Ok(None) };
    let refused = |reason: String| Refusal::new(Code::FailedPrecondition, reason);
    let known = User::from_name(name)
        .map_err(|error| refused(format!("the user \"{name}\" cannot be looked up: {error}")))?
        .ok_or_else(|| refused(format!("there is no user \"{name}\" on this host")))?;
    let own = Uid::effective();
    if known.uid == own {
        return Ok(None);
    }
    if !own.is_root() {
        let own = User::from_uid(own).ok().flatten().map_or_else(|| own.to_string(), |user| user.name);
        return Err(refused(format!(
            "the agent runs as {own} and may not switch to user \"{name}\"; run the agent as root or as that user"
        )));
    }
    let lookup = std::ffi::CString::new(name)
        .map_err(|_| nix::Error::EINVAL)
        .and_then(|name| getgrouplist(&name, known.gid));
    let groups = lookup
        .map_err(|error| refused(format!("the groups of user \"{name}\" cannot be looked up: {error}")))?;
    Ok(Some(Account { name: known.name, home: known.dir, uid: known.uid, gid: known.gid, groups }))
}

/// Opens the log to append to, and tells its length. The folder is made where it is missing.
fn open_log(path: &Path, account: Option<&Account>) -> std::io::Result<(File, u64)> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    if let Some(account) = account {
        std::os::unix::fs::fchown(&file, Some(account.uid.as_raw()), Some(account.gid.as_raw()))?;
    }
    let length = file.metadata()?.len();
    Ok((file, length))
}
