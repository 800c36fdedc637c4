//! Raw reading of /proc: one openat and one read a process, into buffers that are reused.

use std::ffi::CStr;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use rta_shared::process::CommandLine;
use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

/// A buffer of this size takes some 1,300 directory entries at once.
const DIRECTORY_BUFFER: usize = 32 * 1024;
/// A file is at least given this much room; most fit, and are read at once.
const ROOM: usize = 8 * 1024;
/// The longest path: ten digits, `/cmdline`, and the NUL.
const LONGEST_PATH: usize = 24;

/// An open /proc.
#[derive(Debug)]
pub(crate) struct Proc {
    root: OwnedFd,
    entries: Vec<MaybeUninit<u8>>,
    own_namespace: OnceLock<PidNamespace>,
}

/// A PID namespace, as far as it can be told from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PidNamespace {
    /// See [`Status::namespaces`].
    pub(crate) depth: usize,
    /// Where `ns/pid` leads, `pid:[4026531836]`; `None` where that may not be read.
    pub(crate) link: Option<Vec<u8>>,
}

/// One process in a listing of /proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) pid: u32,
    /// The inode of its folder. The kernel makes a new one for each process, so that a reused PID differs.
    pub(crate) inode: u64,
}

impl Proc {
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

    /// Replaces `listed` by every process that is there now, in the order of their PIDs.
    pub(crate) fn list(&mut self, listed: &mut Vec<Listed>) -> Result<(), Errno> {
        listed.clear();
        rustix::fs::seek(&self.root, SeekFrom::Start(0))?;
        let mut entries = RawDir::new(&self.root, &mut self.entries);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
                listed.push(Listed { pid, inode: entry.ino() });
            }
        }
        // The kernel lists them in this order; what compares listings relies on it.
        if !listed.is_sorted_by_key(|listed| listed.pid) {
            listed.sort_by_key(|listed| listed.pid);
        }
        Ok(())
    }

    /// The command line of a process; empty for a zombie and a kernel thread.
    pub(crate) fn command_line(&self, pid: u32, line: &mut CommandLine) -> Result<(), Errno> {
        let mut path = [0; LONGEST_PATH];
        let mut rest = path.as_mut_slice();
        // It fits: a PID has at most ten digits.
        let _ = write!(rest, "{pid}/cmdline");
        let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::NAMETOOLONG)?;
        let file = rustix::fs::openat(&self.root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        line.replace_with(|buffer| read_all(&file, buffer))
    }

    /// The PID namespace of this very process.
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

    /// A hold on one process: everything read through it is of this process, whoever gets its PID next.
    pub(crate) fn process(&self, pid: u32) -> Result<ProcessFolder, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.root, pid.to_string(), flags, Mode::empty()).map(ProcessFolder)
    }
}

/// An open /proc/PID. Reading through it fails with ESRCH once the process is gone.
#[derive(Debug)]
pub(crate) struct ProcessFolder(OwnedFd);

impl ProcessFolder {
    pub(crate) fn command_line(&self, line: &mut CommandLine) -> Result<(), Errno> {
        let file = open_file(self.0.as_fd(), "cmdline")?;
        line.replace_with(|buffer| read_all(&file, buffer))
    }

    pub(crate) fn stat(&self) -> Result<Stat, Errno> {
        // A stat that is cut short is that of a process which is just going.
        Stat::parse(&self.content("stat")?).ok_or(Errno::SRCH)
    }

    /// Reads who it acts for, in which PID namespace, and how often it was switched.
    pub(crate) fn status(&self) -> Result<Status, Errno> {
        Status::parse(&self.content("status")?).ok_or(Errno::SRCH)
    }

    /// Reads its control groups, one hierarchy a line (cgroups(7)).
    pub(crate) fn control_groups(&self) -> Result<String, Errno> {
        // A path that is no UTF-8 is none that anybody asks for.
        Ok(String::from_utf8_lossy(&self.content("cgroup")?).into_owned())
    }

    /// Reads where a link of it leads: `exe`, `cwd`, or `ns/pid`.
    pub(crate) fn link(&self, name: &str) -> Result<Vec<u8>, Errno> {
        Ok(rustix::fs::readlinkat(&self.0, name, Vec::new())?.into_bytes())
    }

    fn content(&self, name: &str) -> Result<Vec<u8>, Errno> {
        let file = open_file(self.0.as_fd(), name)?;
        let mut content = Vec::new();
        read_all(&file, &mut content)?;
        Ok(content)
    }

    /// The program's name, of at most 15 bytes; the process chooses it.
    pub(crate) fn program(&self) -> Result<String, Errno> {
        let content = self.content("comm")?;
        Ok(String::from_utf8_lossy(content.strip_suffix(b"\n").unwrap_or(&content)).into_owned())
    }
}

fn open_file(folder: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(folder, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Appends all that is left of `file`, a file of /proc.
fn read_all(file: &OwnedFd, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    loop {
        if buffer.capacity() - buffer.len() < ROOM / 2 {
            buffer.reserve(ROOM.max(buffer.len()));
        }
        let room = buffer.capacity() - buffer.len();
        match rustix::io::read(file, spare_capacity(buffer)) {
            // The kernel fills what it is given as long as there is more (get_mm_cmdline in fs/proc/base.c,
            // seq_read_iter for the others): less is the end, and asking again for nothing is half of the cost.
            Ok(read) if read < room => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// What is used of /proc/PID/stat (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Field 3: it has ended, and was not waited for yet.
    pub(crate) is_zombie: bool,
    /// Field 3: a signal stopped it.
    pub(crate) is_stopped: bool,
    /// Field 3: a tracer holds it; for a moment only, where it is merely traced.
    pub(crate) is_traced: bool,
    /// Field 4.
    pub(crate) parent_pid: u32,
    /// Field 5: its process group.
    pub(crate) group: u32,
    /// Field 6.
    pub(crate) session: u32,
    /// Field 22: clock ticks after boot.
    pub(crate) start_ticks: u64,
}

impl Stat {
    fn parse(content: &[u8]) -> Option<Self> {
        // Field 2, the program's name in parentheses, may itself hold spaces and parentheses.
        let after_name = content.iter().rposition(|byte| *byte == b')')? + 1;
        let mut fields = std::str::from_utf8(content.get(after_name..)?).ok()?.split_ascii_whitespace();
        // The first field after the name is number 3.
        let state = fields.next()?;
        let parent_pid = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let start_ticks = fields.nth(22 - 7)?.parse().ok()?;
        Some(Self {
            is_zombie: matches!(state, "Z" | "X"),
            is_stopped: state == "T",
            is_traced: state == "t",
            parent_pid,
            group,
            session,
            start_ticks,
        })
    }
}

/// Fields of /proc/PID/status (proc_pid_status(5)). Unlike the owner of the folder /proc/PID, which is root for a
/// process that changed its user without running another program, the user there is always the process's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// `Uid`: the real user.
    pub(crate) real_uid: u32,
    /// `Uid`: the effective user.
    pub(crate) effective_uid: u32,
    /// `NSpid`: in how many PID namespaces it has a number, counted from that of this /proc; 1 where the kernel knows
    /// no others.
    pub(crate) namespaces: usize,
    /// How often it gave up the processor, or lost it: a process that does anything is switched.
    pub(crate) switches: u64,
}

impl Status {
    fn parse(content: &[u8]) -> Option<Self> {
        // The program's name, which it chooses itself, is the first line; a line feed in it is escaped.
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
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = b"42 (a) b) (c) S 7 41 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1 1\n";
        let stat = Stat {
            is_zombie: false,
            is_stopped: false,
            is_traced: false,
            parent_pid: 7,
            group: 41,
            session: 40,
            start_ticks: 987_654,
        };
        assert_eq!(Stat::parse(line), Some(stat));
        let in_state = |state: &str| String::from_utf8_lossy(line).replace(") S ", &format!(") {state} "));
        let parsed = |state: &str| Stat::parse(in_state(state).as_bytes());
        assert_eq!(parsed("T"), Some(Stat { is_stopped: true, ..stat }));
        assert_eq!(parsed("t"), Some(Stat { is_traced: true, ..stat }));
        assert_eq!(parsed("Z"), Some(Stat { is_zombie: true, ..stat }));
        assert_eq!(Stat::parse(b"42 (sh) S 7"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn status_tells_users_namespaces_and_switches() {
        let text = "Name:\tUid:\\n\nUmask:\t0022\nPid:\t7\nUid:\t1000\t0\t0\t0\nNSpid:\t7\t1\n\
                    voluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n";
        let status = Status { real_uid: 1000, effective_uid: 0, namespaces: 2, switches: 42 };
        assert_eq!(Status::parse(text.as_bytes()), Some(status));
        assert_eq!(Status::parse(b"Name:\tx\n"), None);
        assert_eq!(Status::parse(b""), None);
    }

    #[test]
    fn this_very_process_is_read() {
        let mut proc = Proc::open().unwrap();
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
        // A second listing starts anew.
        proc.list(&mut listed).unwrap();
        assert!(listed.contains(&own_entry), "the folder of a process that lives keeps its inode");
    }
}
