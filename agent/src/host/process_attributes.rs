//! Attributes of a process, each read from /proc once, on first use.

use std::cell::OnceCell;

use rta_shared::attributes::{ProcessAttributes, acting_user, unit_of};
use rta_shared::process::CommandLine;
use rustix::io::Errno;

use crate::host::procfs::{ProcFs, ProcStatus, ProcessDir};

/// Suffix that the kernel adds to the path of a file or a directory that was removed or replaced.
const DELETED_SUFFIX: &[u8] = b" (deleted)";

/// Attributes of the process that `folder` refers to.
pub(crate) struct ProcfsAttributes<'p> {
    proc: &'p ProcFs,
    folder: &'p ProcessDir,
    pid: u32,
    status: OnceCell<Result<ProcStatus, Errno>>,
    executable: OnceCell<Result<Vec<u8>, Errno>>,
    directory: OnceCell<Result<Vec<u8>, Errno>>,
    groups: OnceCell<Result<String, Errno>>,
    parent: OnceCell<Result<CommandLine, Errno>>,
}

impl<'p> ProcfsAttributes<'p> {
    pub(crate) fn new(proc: &'p ProcFs, folder: &'p ProcessDir, pid: u32) -> Self {
        Self {
            proc,
            folder,
            pid,
            status: OnceCell::new(),
            executable: OnceCell::new(),
            directory: OnceCell::new(),
            groups: OnceCell::new(),
            parent: OnceCell::new(),
        }
    }

    pub(crate) fn status(&self) -> Result<ProcStatus, Errno> {
        *self.status.get_or_init(|| self.folder.status())
    }

    /// Returns the control groups of the process, one hierarchy per line.
    pub(crate) fn control_groups(&self) -> Result<&str, Errno> {
        self.groups.get_or_init(|| self.folder.control_groups()).as_deref().map_err(|error| *error)
    }

    fn unreadable(&self, what: &str, error: Errno) -> String {
        format!("{what} of pid {} cannot be read: {error}", self.pid)
    }

    /// Returns the target path of a link of the process; empty if the link does not exist.
    fn path(&self, link: &str) -> Result<Vec<u8>, Errno> {
        match self.folder.link(link) {
            Ok(path) => Ok(path.strip_suffix(DELETED_SUFFIX).map(<[u8]>::to_vec).unwrap_or(path)),
            Err(Errno::NOENT) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns the command line of the parent. When a parent ends, its child is reparented; as long as the
    /// child still names the parent after the read, the parent's PID was not reused.
    fn parent_line(&self) -> Result<CommandLine, Errno> {
        let mut line = CommandLine::new();
        let mut parent = self.folder.stat()?.parent_pid;
        while parent != 0 {
            let read = self.proc.command_line(parent, &mut line);
            let now = self.folder.stat()?.parent_pid;
            if now == parent {
                return read.map(|()| line);
            }
            parent = now;
        }
        Ok(CommandLine::new())
    }
}

impl ProcessAttributes for ProcfsAttributes<'_> {
    fn uid(&self) -> Result<u32, String> {
        let status = self.status().map_err(|error| self.unreadable("the user", error))?;
        Ok(acting_user(status.real_uid, status.effective_uid))
    }

    fn executable(&self) -> Result<&[u8], String> {
        let path = self.executable.get_or_init(|| self.path("exe"));
        path.as_deref().map_err(|error| self.unreadable("the executable", *error))
    }

    fn directory(&self) -> Result<&[u8], String> {
        let path = self.directory.get_or_init(|| self.path("cwd"));
        path.as_deref().map_err(|error| self.unreadable("the working directory", *error))
    }

    fn unit(&self) -> Result<&str, String> {
        let groups = self.control_groups().map_err(|error| self.unreadable("the control group", error))?;
        Ok(unit_of(systemd_cgroup_path(groups)))
    }

    fn parent(&self) -> Result<&CommandLine, String> {
        let line = self.parent.get_or_init(|| self.parent_line());
        line.as_ref().map_err(|error| self.unreadable("the parent's command line", *error))
    }

    fn is_in_container(&self) -> Result<bool, String> {
        let to_error = |error| self.unreadable("the PID namespace", error);
        let (own, depth) = (self.proc.own_namespace(), self.status().map_err(to_error)?.namespaces);
        if own.depth != depth {
            return Ok(true);
        }
        // All processes with a PID in the namespace of this /proc, and in no deeper one, share that
        // namespace. Deeper down there may be several of the same depth.
        if depth <= 1 {
            return Ok(false);
        }
        let link = self.folder.link("ns/pid").map_err(to_error)?;
        Ok(own.link.as_ref() != Some(&link))
    }
}

/// Returns the path in the hierarchy that systemd keeps: its own one of version 1, otherwise that of version
/// 2.
fn systemd_cgroup_path(groups: &str) -> &str {
    let of = |hierarchy: &str| {
        groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            rest.strip_prefix(hierarchy)?.strip_prefix(':')
        })
    };
    of("name=systemd").or_else(|| of("")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    #[test]
    fn group_is_that_of_the_systemd_hierarchy() {
        let rows = [
            ("0::/system.slice/a.service\n", "/system.slice/a.service"),
            ("9:name=systemd:/system.slice/a.service\n4:memory:/x\n0::/\n", "/system.slice/a.service"),
            ("4:memory:/x\n", ""),
            ("", ""),
        ];
        for (groups, path) in rows {
            assert_eq!(systemd_cgroup_path(groups), path, "{groups}");
        }
    }

    /// Starts a process that ends when its input does.
    fn waiting(command: &mut Command) -> Child {
        command.stdin(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn attributes_of_a_real_process_are_read() {
        let folder = std::env::temp_dir().canonicalize().unwrap();
        let mut child = waiting(Command::new("cat").current_dir(&folder));
        let proc = ProcFs::open().unwrap();
        let held = proc.process(child.id()).unwrap();
        // Between fork and exec a child still runs its parent's image.
        let own = std::env::current_exe().unwrap();
        let executable = loop {
            let attributes = ProcfsAttributes::new(&proc, &held, child.id());
            let path = String::from_utf8_lossy(attributes.executable().unwrap()).into_owned();
            if std::path::Path::new(&path) != own {
                break path;
            }
        };
        let attributes = ProcfsAttributes::new(&proc, &held, child.id());
        let name = std::path::Path::new(&executable).file_name().unwrap().to_string_lossy().into_owned();
        assert!(["cat", "coreutils", "busybox"].contains(&name.as_str()), "{executable}");
        assert_eq!(attributes.directory(), Ok(folder.as_os_str().as_encoded_bytes()));
        assert_eq!(attributes.uid(), Ok(rustix::process::geteuid().as_raw()));
        assert_eq!(attributes.is_in_container(), Ok(false));
        let line = std::env::args_os().map(|argument| argument.into_encoded_bytes());
        assert_eq!(attributes.parent(), Ok(&CommandLine::from_arguments(line)));
        drop(child.stdin.take());
        child.wait().unwrap();
        let gone = ProcfsAttributes::new(&proc, &held, child.id());
        assert!(gone.uid().unwrap_err().starts_with("the user of pid "));
    }
}
