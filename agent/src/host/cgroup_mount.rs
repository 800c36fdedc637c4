//! Mount points of control group hierarchies, and detection of frozen groups (cgroups(7)).

use std::path::{Path, PathBuf};

/// Mounted hierarchy of control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CgroupMount {
    /// Group at the root of the mount.
    root: PathBuf,
    /// Mount point.
    point: PathBuf,
}

impl CgroupMount {
    /// Returns the mounts of version 2 in the content of `/proc/PID/mountinfo`.
    pub(crate) fn find_unified(mounts: &str) -> Vec<Self> {
        Self::parse_mounts(mounts, |kind, _| kind == "cgroup2")
    }

    /// Returns the mounts of version 1 that this controller is part of.
    fn find_by_controller(mounts: &str, controller: &str) -> Vec<Self> {
        Self::parse_mounts(mounts, |kind, options| {
            kind == "cgroup" && options.split(',').any(|option| option == controller)
        })
    }

    fn parse_mounts(mounts: &str, is_wanted: impl Fn(&str, &str) -> bool) -> Vec<Self> {
        let mounts = mounts.lines().filter_map(|line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            let mut filesystem = filesystem.split(' ');
            let (kind, options) = (filesystem.next()?, filesystem.nth(1).unwrap_or_default());
            if !is_wanted(kind, options) {
                return None;
            }
            let mut fields = mount.split(' ').skip(3);
            let (root, point) = (unescape_octal(fields.next()?), unescape_octal(fields.next()?));
            Some(Self { root: root.into(), point: point.into() })
        });
        mounts.collect()
    }

    /// Returns the folder of the group with this path; `None` if it is outside of the mounted group.
    pub(crate) fn folder(&self, path: &str) -> Option<PathBuf> {
        if path.ends_with(" (deleted)") || path.starts_with("/..") {
            return None;
        }
        Some(self.point.join(Path::new(path).strip_prefix(&self.root).ok()?))
    }
}

/// Replaces octal escapes of spaces and similar characters, such as `\040` (proc_pid_mountinfo(5)).
fn unescape_octal(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |field, (escape, letter)| field.replace(escape, letter))
}

/// Finds frozen control groups.
#[derive(Clone, Debug, Default)]
pub(crate) struct CgroupFreezers {
    unified: Vec<CgroupMount>,
    /// Mounts of the freezer of version 1.
    legacy: Vec<CgroupMount>,
}

/// Frozen control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrozenCgroup {
    /// Folder of the group.
    pub(crate) folder: PathBuf,
    /// True if the freezer of version 1 froze it: not even SIGKILL ends its processes then.
    pub(crate) is_legacy: bool,
}

impl CgroupFreezers {
    /// Reads the mount points of control groups. Without any mount no group is ever found frozen.
    pub(crate) fn read() -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self {
            unified: CgroupMount::find_unified(&mounts),
            legacy: CgroupMount::find_by_controller(&mounts, "freezer"),
        }
    }

    /// Returns the frozen group of a process with these control groups, the content of `/proc/PID/cgroup`.
    /// Reads one small file for each freezer that the process is below.
    pub(crate) fn find_frozen(&self, groups: &str) -> Option<FrozenCgroup> {
        groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            // The root group cannot be frozen.
            if path == "/" {
                return None;
            }
            let read = |mounts: &[CgroupMount], file: &str| {
                let folder = mounts.iter().find_map(|mount| mount.folder(path))?;
                let content = std::fs::read_to_string(folder.join(file)).ok()?;
                Some((folder, content))
            };
            if controllers.is_empty() {
                let (folder, events) = read(&self.unified, "cgroup.events")?;
                let is_frozen = events.lines().any(|line| line == "frozen 1");
                return is_frozen.then_some(FrozenCgroup { folder, is_legacy: false });
            }
            if !controllers.split(',').any(|controller| controller == "freezer") {
                return None;
            }
            let (folder, state) = read(&self.legacy, "freezer.state")?;
            (state.trim() == "FROZEN").then_some(FrozenCgroup { folder, is_legacy: true })
        })
    }
}

impl FrozenCgroup {
    /// Returns the command that thaws the group. If an ancestor is frozen, the command is for that one.
    pub(crate) fn thaw_command(&self) -> String {
        let (word, file) = if self.is_legacy { ("THAWED", "freezer.state") } else { ("0", "cgroup.freeze") };
        format!("echo {word} > {}", self.folder.join(file).display())
    }

    /// Thaws the group; its processes stay frozen if an ancestor is frozen too. Returns false if the file
    /// cannot be written.
    pub(crate) fn thaw(&self) -> bool {
        let (word, file) = if self.is_legacy { ("THAWED", "freezer.state") } else { ("0", "cgroup.freeze") };
        std::fs::write(self.folder.join(file), word).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frozen_groups_of_both_versions_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = (folder.path().join("unified"), folder.path().join("freezer"));
        for (path, file, content) in [
            (new.join("a"), "cgroup.events", "populated 1\nfrozen 1\n"),
            (new.join("b"), "cgroup.events", "populated 1\nfrozen 0\n"),
            (old.join("x"), "freezer.state", "FROZEN\n"),
            (old.join("y"), "freezer.state", "THAWED\n"),
        ] {
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join(file), content).unwrap();
        }
        let mounts = format!(
            "29 1 0:26 / {} rw shared:9 - cgroup2 cgroup2 rw\n12 33 0:30 / {} rw - cgroup cgroup rw,freezer\n",
            new.display(),
            old.display()
        );
        let freezers = CgroupFreezers {
            unified: CgroupMount::find_unified(&mounts),
            legacy: CgroupMount::find_by_controller(&mounts, "freezer"),
        };
        let found = |groups: &str| freezers.find_frozen(groups).map(|group| (group.folder, group.is_legacy));
        assert_eq!(found("6:freezer:/\n0::/a\n"), Some((new.join("a"), false)));
        assert_eq!(found("6:freezer:/x\n0::/b\n"), Some((old.join("x"), true)));
        assert_eq!(found("6:cpu,freezer:/y\n0::/b\n"), None);
        assert_eq!(found("6:memory:/x\n0::/\n"), None);
        assert_eq!(found("0::/gone\n"), None);
        assert_eq!(found(""), None);
        let frozen = freezers.find_frozen("0::/a\n").unwrap();
        assert!(frozen.thaw());
        assert_eq!(std::fs::read(new.join("a/cgroup.freeze")).unwrap(), b"0");
        assert!(frozen.thaw_command().ends_with("/a/cgroup.freeze"));
    }
}
