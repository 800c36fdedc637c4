//! Raw reading of /proc: one openat and one read per process, into reused buffers.

use std::ffi::CStr;
use std::fs::File;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use rta_shared::proc_stat::ProcStat;
use rta_shared::process::{CommandLine, ProcessId};
use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

/// Size of the directory buffer, which holds some 1,300 entries.
const DIRECTORY_BUFFER: usize = 32 * 1024;
/// Minimum free space for a file; most fit, and are read at once.
const READ_SIZE: usize = 8 * 1024;
/// Maximum length of a path: ten digits, `/cmdline`, and the NUL.
const MAX_PATH_LENGTH: usize = 24;

/// Open /proc.
#[derive(Debug)]
pub(crate) struct ProcFs {
    root: OwnedFd,
    entries: Vec<MaybeUninit<u8>>,
    own_namespace: OnceLock<PidNamespace>,
}

/// PID namespace, as far as it can be distinguished from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PidNamespace {
    /// See [`ProcStatus::namespaces`].
    pub(crate) depth: usize,
    /// Target of the link `ns/pid`, such as `pid:[4026531836]`; `None` if it cannot be read.
    pub(crate) link: Option<Vec<u8>>,
}

/// Process in a listing of /proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListedProcess {
    pub(crate) pid: u32,
    /// Inode of the process's folder. The kernel creates a new one for each process, so that a reused PID
    /// differs.
    pub(crate) inode: u64,
}

impl ProcFs {
    pub(crate) fn open() -> Result<Self, Errno> {
        let root = rustix::fs::openat(
            CWD,
            "/proc",
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let entries = vec![MaybeUninit::uninit(); DIRECTORY_BUFFER];
        Ok(Self { root, entries, own_namespace: OnceLock::new() })
    }

    /// Replaces `listed` by all current processes, sorted by PID.
    pub(crate) fn list(&mut self, listed: &mut Vec<ListedProcess>) -> Result<(), Errno> {
        listed.clear();
        rustix::fs::seek(&self.root, SeekFrom::Start(0))?;
        let mut entries = RawDir::new(&self.root, &mut self.entries);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
                listed.push(ListedProcess { pid, inode: entry.ino() });
            }
        }
        // The kernel lists them in this order; comparing listings relies on it.
        if !listed.is_sorted_by_key(|listed| listed.pid) {
            listed.sort_by_key(|listed| listed.pid);
        }
        Ok(())
    }

    /// Reads the command line of a process; empty for a zombie and a kernel thread.
    pub(crate) fn command_line(&self, pid: u32, line: &mut CommandLine) -> Result<(), Errno> {
        let mut path = [0; MAX_PATH_LENGTH];
        let mut rest = path.as_mut_slice();
        // The path fits: a PID has at most ten digits.
        let _ = write!(rest, "{pid}/cmdline");
        let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::NAMETOOLONG)?;
        let file = rustix::fs::openat(&self.root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        line.replace_with(|buffer| read_all(&file, buffer))
    }

    /// Returns the PID namespace of this process.
    pub(crate) fn own_namespace(&self) -> &PidNamespace {
        self.own_namespace.get_or_init(|| {
            let own = self.process(std::process::id());
            PidNamespace {
                depth: own
                    .as_ref()
                    .ok()
                    .and_then(|own| own.status().ok())
                    .map_or(1, |status| status.namespaces),
                link: own.ok().and_then(|own| own.link("ns/pid").ok()),
            }
        })
    }

    /// Opens the folder of a process: everything read through it belongs to this process, even after its PID
    /// is reused.
    pub(crate) fn process(&self, pid: u32) -> Result<ProcessDir, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.root, pid.to_string(), flags, Mode::empty()).map(ProcessDir)
    }
}

/// Returns whether this very process exists and has not ended. Blocking.
pub(crate) fn is_alive(id: ProcessId) -> bool {
    let stat = ProcFs::open().and_then(|proc| proc.process(id.pid)?.stat());
    stat.is_ok_and(|stat| stat.start_ticks == id.start_ticks && !stat.is_zombie)
}

/// Open /proc/PID. Reading through it fails with ESRCH once the process is gone.
#[derive(Debug)]
pub(crate) struct ProcessDir(OwnedFd);

impl ProcessDir {
    pub(crate) fn command_line(&self, line: &mut CommandLine) -> Result<(), Errno> {
        let file = open_file(self.0.as_fd(), "cmdline")?;
        line.replace_with(|buffer| read_all(&file, buffer))
    }

    pub(crate) fn stat(&self) -> Result<ProcStat, Errno> {
        // A truncated stat belongs to a process that is just ending.
        ProcStat::parse(&self.content("stat")?).ok_or(Errno::SRCH)
    }

    /// Reads the user IDs, the depth of the PID namespace and the number of context switches.
    pub(crate) fn status(&self) -> Result<ProcStatus, Errno> {
        ProcStatus::parse(&self.content("status")?).ok_or(Errno::SRCH)
    }

    /// Reads the control groups, one hierarchy per line (cgroups(7)).
    pub(crate) fn control_groups(&self) -> Result<String, Errno> {
        // No configuration can name a path that is not UTF-8.
        Ok(String::from_utf8_lossy(&self.content("cgroup")?).into_owned())
    }

    /// Reads the target of a link: `exe`, `cwd`, or `ns/pid`.
    pub(crate) fn link(&self, name: &str) -> Result<Vec<u8>, Errno> {
        Ok(rustix::fs::readlinkat(&self.0, name, Vec::new())?.into_bytes())
    }

    /// Lists the numbers of its open descriptors.
    pub(crate) fn descriptors(&self) -> Result<Vec<u32>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.0, "fd", flags, Mode::empty())?;
        let mut buffer = vec![MaybeUninit::uninit(); DIRECTORY_BUFFER];
        let mut entries = RawDir::new(folder, &mut buffer);
        let mut descriptors = Vec::new();
        while let Some(entry) = entries.next() {
            descriptors.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()));
        }
        Ok(descriptors)
    }

    /// Opens a file of several records, such as `net/tcp`, which takes more than one read.
    pub(crate) fn open(&self, name: &str) -> Result<File, Errno> {
        open_file(self.0.as_fd(), name).map(File::from)
    }

    fn content(&self, name: &str) -> Result<Vec<u8>, Errno> {
        let file = open_file(self.0.as_fd(), name)?;
        let mut content = Vec::new();
        read_all(&file, &mut content)?;
        Ok(content)
    }

    /// Reads the program's name, of at most 15 bytes; the process can change it.
    pub(crate) fn program(&self) -> Result<String, Errno> {
        let content = self.content("comm")?;
        Ok(String::from_utf8_lossy(content.strip_suffix(b"\n").unwrap_or(&content)).into_owned())
    }
}

fn open_file(folder: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(folder, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Appends the rest of `file`, a file of /proc.
fn read_all(file: &OwnedFd, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    loop {
        if buffer.capacity() - buffer.len() < READ_SIZE / 2 {
            buffer.reserve(READ_SIZE.max(buffer.len()));
        }
        let room = buffer.capacity() - buffer.len();
        match rustix::io::read(file, spare_capacity(buffer)) {
            // The kernel fills the buffer as long as there is more (get_mm_cmdline in fs/proc/base.c,
            // seq_read_iter for the others): a short read is the end, and another read would be half of the
            // cost.
            Ok(read) if read < room => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Fields of /proc/PID/status (proc_pid_status(5)). The user there is always the process's own, unlike the
/// owner of the folder /proc/PID, which is root for a process that changed its user without running another
/// program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcStatus {
    /// `Uid`: the real user.
    pub(crate) real_uid: u32,
    /// `Uid`: the effective user.
    pub(crate) effective_uid: u32,
    /// `NSpid`: number of PID namespaces in which the process has a PID, counted from that of this /proc; 1
    /// if the kernel knows no others.
    pub(crate) namespaces: usize,
    /// Number of voluntary and involuntary context switches; it grows while the process does anything.
    pub(crate) switches: u64,
}

impl ProcStatus {
    fn parse(content: &[u8]) -> Option<Self> {
        // The program's name, which the process can change, is the first line; a line feed in it is escaped.
        let content = String::from_utf8_lossy(content);
        let mut uids = None;
        let (mut namespaces, mut switches) = (1, 0);
        for line in content.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let mut numbers = value.split_ascii_whitespace().map(str::parse::<u64>);
            match key {
                "Uid" => {
                    let mut uid = || u32::try_from(numbers.next()?.ok()?).ok();
                    uids = Some((uid()?, uid()?));
                }
                "NSpid" => namespaces = numbers.count(),
                "voluntary_ctxt_switches" | "nonvoluntary_ctxt_switches" => {
                    switches += numbers.next()?.ok()?
                }
                _ => {}
            }
        }
        let (real_uid, effective_uid) = uids?;
        Some(Self { real_uid, effective_uid, namespaces, switches })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_has_users_namespaces_and_switches() {
        let text = "Name:\tUid:\\n\nUmask:\t0022\nPid:\t7\nUid:\t1000\t0\t0\t0\nNSpid:\t7\t1\n\
                    voluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n";
        let status = ProcStatus { real_uid: 1000, effective_uid: 0, namespaces: 2, switches: 42 };
        assert_eq!(ProcStatus::parse(text.as_bytes()), Some(status));
        assert_eq!(ProcStatus::parse(b"Name:\tx\n"), None);
        assert_eq!(ProcStatus::parse(b""), None);
    }

    #[test]
    fn own_process_is_read() {
        let mut proc = ProcFs::open().unwrap();
        let pid = std::process::id();
        let mut listed = Vec::new();
        proc.list(&mut listed).unwrap();
        let own_entry = *listed.iter().find(|listed| listed.pid == pid).unwrap();
        let mut line = CommandLine::new();
        proc.command_line(pid, &mut line).unwrap();
        let own: Vec<_> = std::env::args_os().map(|argument| argument.into_encoded_bytes()).collect();
        assert_eq!(line.arguments().map(<[u8]>::to_vec).collect::<Vec<_>>(), own);
        let mut again = CommandLine::new();
        let folder = proc.process(pid).unwrap();
        folder.command_line(&mut again).unwrap();
        assert_eq!(line, again);
        assert_ne!(folder.stat().unwrap().start_ticks, 0);
        // A second listing starts from the beginning.
        proc.list(&mut listed).unwrap();
        assert!(listed.contains(&own_entry), "the folder of a process that lives keeps its inode");
    }
}
