//! Prevents a second agent from serving the same host, or from using the same state folder.
//!
//! Locks are flock(2) on files: the kernel releases them with the last descriptor, however the agent ends, so
//! that no lock is stale. A child between fork and exec holds a copy, so that the lock also ensures that no
//! command of the previous agent is about to run unseen.
//!
//! | locked | refused second agent |
//! |---|---|
//! | `lock` in the runtime folder of the host | one for the same configured host, of the same user |
//! | `agent.lock` in the state folder | one with the same state folder |
//!
//! An unprivileged user has a separate runtime folder, so that nobody can prevent root's agent from starting
//! by taking a lock first; agents of two users for one host do not notice each other.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rta_shared::name::Name;
use rta_shared::pid_lock::{self, LockError};
use rta_shared::sanitize::hex;
use rustix::fs::OFlags;
use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};

/// Time limit for acquiring a lock: an agent that was just killed may have a child that is about to end.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum length of the host's name in the name of its folder.
const MAX_NAME_LENGTH: usize = 40;

/// Locks that are held until this is dropped.
#[derive(Debug)]
pub struct AgentLock {
    /// Runtime folder of the host.
    pub folder: PathBuf,
    _files: Vec<File>,
}

/// Locks `host` and the folder `state`. The lock of the host is below `runtime` if given, otherwise below the
/// runtime folder of the agent's user. Blocking, for two seconds at most.
///
/// # Errors
/// Returns an error, with a sentence, if another agent holds one of the locks (with its PID), or if the
/// runtime folder cannot be used.
pub fn acquire_lock(runtime: Option<&Path>, host: &Name, state: Option<&Path>) -> Result<AgentLock, String> {
    let folder = match runtime {
        Some(runtime) => create_private_folder(runtime)
            .and_then(|runtime| private_folder(runtime.join(folder_name(host))))
            .map_err(|error| unusable(runtime, &error))?,
        None => own_folder(host)?,
    };
    let what = format!("host {host}");
    let mut files = vec![lock_file(&folder.join("lock")).map_err(|failure| failure.into_message(&what))?];
    if let Some(state) = state {
        let what = format!("the state folder {}", state.display());
        match create_private_folder(state)
            .map_err(AgentLockError::Io)
            .and_then(|state| lock_file(&state.join("agent.lock")))
        {
            Ok(file) => files.push(file),
            Err(failure @ AgentLockError::Locked(..)) => return Err(failure.into_message(&what)),
            // Reported together with the state that cannot be stored there; the host is watched nevertheless.
            Err(AgentLockError::Io(error)) => {
                tracing::warn!(%error, folder = %state.display(), "cannot be locked")
            }
        }
    }
    Ok(AgentLock { folder, _files: files })
}

/// Reason why a file was not locked.
enum AgentLockError {
    /// Locked by the agent with this PID, if it is known, at this path.
    Locked(String, PathBuf),
    Io(io::Error),
}

impl AgentLockError {
    fn into_message(self, what: &str) -> String {
        match self {
            Self::Locked(pid, path) => format!(
                "another agent{pid} serves {what} already ({} is locked); end that one first, or add --read-only to \
                 look on beside it",
                path.display()
            ),
            Self::Io(error) => format!("{what} cannot be locked: {error}; choose a folder with --runtime"),
        }
    }
}

fn lock_file(path: &Path) -> Result<File, AgentLockError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut file = options.custom_flags(flags).open(path).map_err(AgentLockError::Io)?;
    // Every user who can read a file can lock it (flock(2)), and would keep the agent from starting.
    file.set_permissions(Permissions::from_mode(0o600)).map_err(AgentLockError::Io)?;
    match pid_lock::acquire(&mut file, LOCK_TIMEOUT) {
        Ok(()) => Ok(file),
        Err(LockError::Error(error)) => Err(AgentLockError::Io(error)),
        Err(taken) => Err(AgentLockError::Locked(taken.holder(), path.to_owned())),
    }
}

/// Returns the folder of `host` below the runtime folder of the agent's user: `/run/rta-agent` for root,
/// `$XDG_RUNTIME_DIR/rta-agent` for others, and `/tmp/rta-agent-UID` if that cannot be created.
fn own_folder(host: &Name) -> Result<PathBuf, String> {
    let uid = geteuid();
    let parent = match uid.is_root() {
        true => Some(PathBuf::from("/run")),
        false => std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from),
    };
    let name = folder_name(host);
    let below =
        |runtime: PathBuf| private_folder(runtime).and_then(|runtime| private_folder(runtime.join(&name)));
    if let Some(parent) = parent
        && let Ok(folder) = below(parent.join("rta-agent"))
    {
        return Ok(folder);
    }
    let last = PathBuf::from(format!("/tmp/rta-agent-{}", uid.as_raw()));
    below(last.clone()).map_err(|error| unusable(&last, &error))
}

/// Creates a folder that only the agent's user may write to, and verifies that no other user has put a
/// different one in its place: the agent acts on what it reads there.
fn private_folder(folder: PathBuf) -> io::Result<PathBuf> {
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let metadata = std::fs::symlink_metadata(&folder)?;
    let is_own = metadata.is_dir() && metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o022 == 0;
    match is_own {
        true => Ok(folder),
        false => Err(io::Error::other(format!("{} is not the agent's user's alone", folder.display()))),
    }
}

fn create_private_folder(folder: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    Ok(folder.to_owned())
}

fn unusable(folder: &Path, error: &io::Error) -> String {
    format!(
        "the runtime folder {} cannot be used: {error}; choose another one with --runtime",
        folder.display()
    )
}

/// Returns a unique and valid folder name for any host name, such as `agent-c9t17308-1f2e3d4c`.
fn folder_name(host: &Name) -> String {
    let shown: String = host
        .folded()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .take(MAX_NAME_LENGTH)
        .collect();
    format!("agent-{shown}-{}", hex(&Sha256::digest(host.folded())[..4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_agent_of_a_host_or_state_folder_is_refused_with_the_pid_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let (runtime, state) = (folder.path().join("run"), folder.path().join("state"));
        let first = acquire_lock(Some(&runtime), &"h".into(), Some(&state)).unwrap();
        let own = format!("another agent (pid {}) serves ", std::process::id());
        let refused = acquire_lock(Some(&runtime), &"H".into(), None).unwrap_err();
        assert!(refused.starts_with(&format!("{own}host H already (")), "{refused}");
        assert!(refused.contains("--read-only"), "{refused}");
        let refused = acquire_lock(Some(&runtime), &"other".into(), Some(&state)).unwrap_err();
        assert!(refused.starts_with(&format!("{own}the state folder {}", state.display())), "{refused}");
        // Other hosts, and the same host with a different runtime folder.
        acquire_lock(Some(&runtime), &"other".into(), None).unwrap();
        acquire_lock(Some(&folder.path().join("elsewhere")), &"h".into(), None).unwrap();
        drop(first);
        acquire_lock(Some(&runtime), &"h".into(), Some(&state)).unwrap();
    }

    #[test]
    fn unusable_folder_is_reported_and_state_folder_stops_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = acquire_lock(Some(file.path()), &"h".into(), None).unwrap_err();
        assert!(refused.contains("cannot be used: ") && refused.ends_with("with --runtime"), "{refused}");
        let folder = tempfile::tempdir().unwrap();
        acquire_lock(Some(folder.path()), &"h".into(), Some(&file.path().join("below"))).unwrap();
    }

    #[test]
    fn folder_of_another_user_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let private = folder.path().join("own");
        private_folder(private.clone()).unwrap();
        private_folder(private.clone()).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&private, &link).unwrap();
        assert!(private_folder(link).is_err());
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&private, open).unwrap();
        assert!(private_folder(private).is_err());
    }

    #[test]
    fn each_host_has_its_own_folder() {
        let name = |host: &str| folder_name(&host.into());
        assert_eq!(name("c9t17308"), name("C9T17308"));
        assert!(name("c9t17308").starts_with("agent-c9t17308-"));
        assert_ne!(name("a/b"), name("a.b"));
        assert!(name(&"../".repeat(100)).len() < 60 && !name("../x").contains(['/', '.']));
    }
}
