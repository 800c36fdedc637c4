//! Reads the exit status of a process through its pidfd (`PIDFD_GET_INFO`, Linux 6.15 and later). Works for
//! processes that are not children, once their parent has waited for them.

use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::ioctl::{Updater, ioctl, opcode};

/// `PIDFD_INFO_EXIT`: requests the exit status, and is set in the answer if it is given.
const EXIT: u64 = 1 << 3;
/// `PIDFD_GET_INFO` (linux/pidfd.h).
const GET_INFO: rustix::ioctl::Opcode = opcode::read_write::<PidfdInfo>(0xFF, 11);

/// `struct pidfd_info` in its first size, `PIDFD_INFO_SIZE_VER0`, which every kernel accepts.
#[derive(Debug, Default)]
#[repr(C)]
struct PidfdInfo {
    mask: u64,
    control_group: u64,
    /// PIDs and user IDs, not used here.
    ids: [u32; 11],
    exit_status: i32,
}

/// Returns the exit status of the process of `pidfd` in the form of wait(2); `None` until its parent has
/// waited for it.
///
/// # Errors
/// Returns an error if the kernel does not support the call, or kept no status.
pub(super) fn exit_status(pidfd: impl AsFd) -> Result<Option<i32>, Errno> {
    let mut info = PidfdInfo { mask: EXIT, ..PidfdInfo::default() };
    #[expect(unsafe_code, reason = "rustix has no wrapper of this call")]
    // SAFETY: the opcode is that of PIDFD_GET_INFO with the size of `PidfdInfo`, which is laid out as the
    // kernel's structure of that size; the kernel writes no more than that.
    let asked = unsafe { ioctl(pidfd, Updater::<GET_INFO, PidfdInfo>::new(&mut info)) };
    match asked {
        Ok(()) if info.mask & EXIT != 0 => Ok(Some(info.exit_status)),
        Ok(()) => Ok(None),
        // Before the parent has waited there is no status. If the parent has waited and the kernel kept no
        // status, none will follow.
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    #[test]
    fn exit_status_is_available_after_the_wait() {
        let mut child = std::process::Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        child.wait().unwrap();
        match exit_status(&pidfd) {
            Ok(status) => assert_eq!(status, Some(7 << 8)),
            // A kernel before 6.15 lacks the call, or this part of it.
            Err(error) => assert!(matches!(error, Errno::NOTTY | Errno::INVAL | Errno::SRCH), "{error}"),
        }
        assert_eq!(size_of::<PidfdInfo>(), 64);
    }
}
