//! Setup of the agent's child processes: nothing of the agent's own state is inherited.
//!
//! | of the agent | a child gets |
//! |---|---|
//! | environment, with its secrets | `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `LANG`, and its rule's |
//! | open descriptors, such as the lock of a cron wrapper | standard input, output and error alone |
//! | ignored signals, as from nohup(1) or a script's background, and blocked ones | none of either |
//! | umask, priority, score for the OOM killer | 0022, 0 and 0, or what its rule names |
//! | resource limits | the same, except those that its rule names |
//! | working directory | the same, unless its rule names one |
//!
//! | module | holds |
//! |---|---|
//! | `user_account` | user account that a command runs as |
//! | [`environment_file`] | reading files of variables |

pub(crate) mod environment_file;
mod user_account;

use std::io;
use std::mem::MaybeUninit;

use nix::libc;
use rta_shared::config::{LimitedResource, ProcessSettings, ResourceLimit};
use rustix::fs::{Mode, OFlags};
use rustix::process::{
    Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit, umask,
};

use self::user_account::Credentials;
pub(crate) use self::user_account::UserAccount;

/// First descriptor after standard input, output and error.
const FIRST_DESCRIPTOR: u32 = 3;
/// Default umask, if the rule names none.
const UMASK: u32 = 0o022;
/// Upper bound of descriptors to close: more than the kernel lets any process have by default (`fs.nr_open`).
const MAX_DESCRIPTORS: u64 = 1 << 20;

/// Settings that a child applies between fork and exec.
#[derive(Clone, Debug)]
pub(crate) struct ChildSetup {
    umask: Mode,
    limits: Vec<(Resource, Rlimit)>,
    /// `None`: the priority is 0 already.
    nice: Option<i32>,
    /// True if the rule names a priority: a child that cannot get it does not run.
    needs_nice: bool,
    resets_oom_score: bool,
    credentials: Option<Credentials>,
}

impl ChildSetup {
    /// Prepares a start as `account` with `settings`.
    ///
    /// # Errors
    /// Returns an error, with a sentence, if the agent may not give a child the named settings.
    pub(crate) fn new(settings: &ProcessSettings, account: &UserAccount) -> Result<Self, String> {
        let is_root = rustix::process::geteuid().is_root();
        if let Some(reason) = settings.limits.iter().find_map(|limit| unreachable_limit(limit, is_root)) {
            return Err(reason);
        }
        if let Some(nice) = settings.nice
            && !is_root
            && nice < own_nice().min(minimum_nice())
        {
            return Err(format!(
                "nice = {nice} is a higher priority than the agent may give; run the agent as root, or with a lower \
                 LimitNICE="
            ));
        }
        Ok(Self::prepared(settings, account))
    }

    /// Prepares a start as the agent's own user.
    pub(crate) fn for_agent_user() -> Self {
        Self::prepared(&ProcessSettings::default(), &UserAccount::own())
    }

    fn prepared(settings: &ProcessSettings, account: &UserAccount) -> Self {
        let nice = settings.nice.unwrap_or(0);
        let oom_score = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        Self {
            umask: Mode::from_raw_mode(settings.umask.unwrap_or(UMASK)),
            limits: settings.limits.iter().map(as_rlimit).collect(),
            nice: (nice != own_nice()).then_some(nice),
            needs_nice: settings.nice.is_some(),
            resets_oom_score: oom_score.trim() != "0",
            credentials: account.credentials.clone(),
        }
    }

    /// Resets the state that was inherited from the agent. For the child between fork and exec: makes system
    /// calls alone, allocates nothing and takes no lock. Descriptors stay open until the exec closes them.
    ///
    /// # Errors
    /// Returns an error if a limit or a priority cannot be set.
    pub(crate) fn apply(&self) -> io::Result<()> {
        reset_signals();
        close_on_exec();
        umask(self.umask);
        if self.resets_oom_score {
            // Any process may raise its score. If it was raised, the child may not be allowed to lower it
            // again.
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            if let Ok(file) = rustix::fs::open(c"/proc/self/oom_score_adj", flags, Mode::empty()) {
                let _ = rustix::io::write(&file, b"0");
            }
        }
        for (resource, limit) in &self.limits {
            setrlimit(*resource, *limit)?;
        }
        if let Some(nice) = self.nice {
            let set = setpriority_process(None, nice);
            if self.needs_nice {
                set?;
            }
        }
        Ok(())
    }

    /// Switches to the account's user and groups; must be the last step before the exec.
    ///
    /// # Errors
    /// Returns an error if the agent may not switch.
    pub(crate) fn drop_privileges(&self) -> io::Result<()> {
        if let Some(Credentials { uid, gid, groups }) = &self.credentials {
            nix::unistd::setgroups(groups)?;
            nix::unistd::setgid(*gid)?;
            nix::unistd::setuid(*uid)?;
        }
        Ok(())
    }
}

/// Returns the reason why the agent cannot set this limit.
fn unreachable_limit(limit: &ResourceLimit, is_root: bool) -> Option<String> {
    let own = getrlimit(as_resource(limit.resource)).maximum;
    let (hard, own_hard) = (limit.hard.unwrap_or(u64::MAX), own.unwrap_or(u64::MAX));
    (!is_root && hard > own_hard).then(|| {
        let word = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
        format!(
            "limits: {} = {} is above the agent's own hard limit of {}; run the agent as root, or raise its limit",
            limit.resource,
            word(limit.hard),
            word(own)
        )
    })
}

fn own_nice() -> i32 {
    getpriority_process(None).unwrap_or_default()
}

/// Returns the highest priority that the agent may set without being root (getrlimit(2), `RLIMIT_NICE`).
fn minimum_nice() -> i32 {
    let limit = getrlimit(Resource::Nice).current.unwrap_or(40).min(40);
    20 - i32::try_from(limit).unwrap_or_default()
}

fn as_rlimit(limit: &ResourceLimit) -> (Resource, Rlimit) {
    (as_resource(limit.resource), Rlimit { current: limit.soft, maximum: limit.hard })
}

fn as_resource(resource: LimitedResource) -> Resource {
    match resource {
        LimitedResource::AddressSpace => Resource::As,
        LimitedResource::Core => Resource::Core,
        LimitedResource::Cpu => Resource::Cpu,
        LimitedResource::Data => Resource::Data,
        LimitedResource::FileSize => Resource::Fsize,
        LimitedResource::LockedMemory => Resource::Memlock,
        LimitedResource::OpenFiles => Resource::Nofile,
        LimitedResource::Processes => Resource::Nproc,
        LimitedResource::Stack => Resource::Stack,
    }
}

/// Resets every signal to its default action, and blocks none: an ignored signal stays ignored over an exec
/// (execve(2)).
fn reset_signals() {
    /// Highest signal number of Linux (signal(7)).
    const LAST: libc::c_int = 64;
    /// Size of the kernel's set of signals (rt_sigaction(2)), in bytes.
    const SET: usize = 8;
    /// The kernel's `struct sigaction`, of four words on 64-bit machines: SIG_DFL, no flags, an empty mask.
    const DEFAULT: [u64; 4] = [0; 4];
    #[expect(unsafe_code, reason = "the safe interfaces leave real-time signals out")]
    // SAFETY: rt_sigaction(2) and sigprocmask(2) are system calls, and sigemptyset(3) is async-signal-safe
    // (signal-safety(7)). `DEFAULT` is no shorter than what the kernel reads, and installs no handler. The
    // call bypasses libc, which refuses the signals that it reserves for itself (32 and 33): those may be
    // ignored by another program. For SIGKILL and SIGSTOP it fails without effect. `none` is initialised by
    // sigemptyset before it is read.
    unsafe {
        for signal in 1..=LAST {
            let nothing = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), nothing, SET);
        }
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Marks every descriptor after the first three as close-on-exec. They stay open until then, since the
/// standard library reports a failed exec through one of them.
fn close_on_exec() {
    #[expect(unsafe_code, reason = "no safe interface has close_range")]
    // SAFETY: close_range(2) with CLOSE_RANGE_CLOEXEC only marks descriptors of this process, and fcntl(2)
    // with F_SETFD one of them; both are async-signal-safe, and neither closes a descriptor that is still in
    // use.
    unsafe {
        if libc::syscall(libc::SYS_close_range, FIRST_DESCRIPTOR, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) == 0 {
            return;
        }
        // Before Linux 5.11.
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(MAX_DESCRIPTORS).min(MAX_DESCRIPTORS);
        for descriptor in FIRST_DESCRIPTOR..u32::try_from(limit).unwrap_or(FIRST_DESCRIPTOR) {
            libc::fcntl(libc::c_int::try_from(descriptor).unwrap_or(-1), libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_beyond_the_agents_own_is_reported_unless_root() {
        let own = getrlimit(Resource::Nofile).maximum;
        let limit = |hard| ResourceLimit { resource: LimitedResource::OpenFiles, soft: Some(1), hard };
        assert_eq!(unreachable_limit(&limit(own), false), None);
        assert_eq!(unreachable_limit(&limit(None), true), None);
        if let Some(own) = own {
            let to_error = unreachable_limit(&limit(None), false).unwrap();
            let expected =
                format!("limits: nofile = unlimited is above the agent's own hard limit of {own}; ");
            assert!(to_error.starts_with(&expected), "{to_error}");
        }
    }
}
