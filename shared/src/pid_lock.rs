//! Lock files that name their holder: a second program is refused with the PID of the first.
//!
//! Locks are flock(2): the kernel releases a lock with its last descriptor, however the program ends, so that
//! none is stale.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::time::{Duration, Instant};

/// Interval between two attempts to take a lock that is held.
const PACE: Duration = Duration::from_millis(20);
/// Upper bound of the length of a PID with its line end, in bytes.
const PID_LENGTH: u64 = 20;

/// Reason why a lock was not acquired.
#[derive(Debug)]
pub enum LockError {
    /// Held by another program, with its PID if that could be read.
    By(Option<u32>),
    /// Not lockable.
    Error(io::Error),
}

impl LockError {
    /// Returns the holder for a message: ` (pid 7)`, or nothing if it is unknown.
    pub fn holder(&self) -> String {
        match self {
            Self::By(Some(pid)) => format!(" (pid {pid})"),
            Self::By(None) | Self::Error(_) => String::new(),
        }
    }
}

/// Locks `file`, which must be open for reading and writing, and writes this program's PID into it. Blocks
/// for up to `patience` while it retries. The lock is held until the last descriptor of the file is closed.
///
/// Only the lock counts; the PID is information for programs that are refused. If it cannot be written, as on
/// a full disk, that is logged.
///
/// # Errors
/// Returns an error if another program holds the lock, or if the file cannot be locked.
pub fn acquire(file: &mut File, patience: Duration) -> Result<(), LockError> {
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(PACE),
            Err(TryLockError::WouldBlock) => return Err(LockError::By(read_pid(file))),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(LockError::Error(error)),
        }
    }
    if let Err(error) = write_pid(file) {
        tracing::warn!(%error, "the PID cannot be written into a lock file");
    }
    Ok(())
}

/// Returns the holder's PID; `None` if it is just being written.
fn read_pid(file: &mut File) -> Option<u32> {
    let mut content = String::new();
    file.take(PID_LENGTH).read_to_string(&mut content).ok()?;
    content.trim().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    // The PID of an earlier holder may be longer.
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_holder_is_refused_with_the_pid_of_the_first_until_that_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::fs::write(&path, "4294967295\n").unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let mut first = open();
        acquire(&mut first, Duration::ZERO).unwrap();
        let refused = acquire(&mut open(), Duration::ZERO).unwrap_err();
        assert_eq!(refused.holder(), format!(" (pid {})", std::process::id()));
        drop(first);
        acquire(&mut open(), Duration::ZERO).unwrap();
    }
}
