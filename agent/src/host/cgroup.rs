//! Separate control groups for started components, where cgroup v2 is mounted and writable (cgroups(7)): no
//! process started in a group leaves it by itself, whatever it forks and whatever its parent is.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rta_shared::config::HostConfig;
use rta_shared::name::Name;
use rta_shared::sanitize::hex;
use sha2::{Digest as _, Sha256};

use crate::host::cgroup_mount::CgroupMount;

/// Maximum length of a component's name in the name of its group.
const MAX_SLUG_LENGTH: usize = 40;

/// Parent of the control groups that the agent creates.
#[derive(Clone, Debug)]
pub(crate) struct ComponentCgroups {
    /// The agent's own group; `None` if there is no cgroup v2, or if the agent creates no groups.
    own: Option<Arc<PathBuf>>,
    /// Distinguishes this agent from others that may run in the same group.
    key: String,
}

impl ComponentCgroups {
    /// Creates the groups of the agent of `config`, which was read from `folder`; their names stay the same
    /// after a restart. Without a folder the agent creates no groups, since no later agent would find them,
    /// or remove them.
    pub(crate) fn new(config: &HostConfig, folder: Option<&Path>) -> Self {
        let Some(folder) = folder.and_then(|folder| std::path::absolute(folder).ok()) else {
            return Self { own: None, key: String::new() };
        };
        let (environment, host) = (config.environment.folded(), config.host.folded());
        let key = format!("{}\0{environment}\0{host}", folder.display());
        Self { own: own_cgroup_path().map(Arc::new), key }
    }

    /// Returns the group of a component; it need not exist.
    pub(crate) fn for_component(&self, component: &Name) -> Option<ComponentCgroup> {
        let own = self.own.as_ref()?;
        let digest = Sha256::digest(format!("{}\0{}", self.key, component.folded()));
        let name = format!("rta-{}-{}", slug(component.folded()), hex(&digest[..4]));
        Some(ComponentCgroup(own.join(name)))
    }
}

/// Control group of a component. All methods block, but only briefly: the file system is virtual.
#[derive(Clone, Debug)]
pub(crate) struct ComponentCgroup(PathBuf);

impl ComponentCgroup {
    /// Creates a handle to the group at a folder that an earlier agent recorded.
    pub(crate) fn from_path(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Creates the group if it is missing, and opens the file by which a process enters: a process that
    /// writes `0` to it is in the group from then on.
    ///
    /// # Errors
    /// Returns an error if the group cannot be created, mostly for lack of permission.
    pub(crate) fn open_procs_file(&self) -> io::Result<File> {
        match std::fs::create_dir(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        OpenOptions::new().write(true).open(self.0.join("cgroup.procs"))
    }

    /// Returns true if `folder` is the group's folder.
    pub(crate) fn is_at(&self, folder: &Path) -> bool {
        self.0 == folder
    }

    /// Returns the PIDs of the group's members; none if the group does not exist.
    pub(crate) fn members(&self) -> Vec<u32> {
        let listed = std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        listed.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Kills all members at once, whatever they fork meanwhile. Returns false if the kernel does not support
    /// that (before Linux 5.14).
    pub(crate) fn kill(&self) -> bool {
        OpenOptions::new()
            .write(true)
            .open(self.0.join("cgroup.kill"))
            .and_then(|file| Ok(rustix::io::write(&file, b"1")?))
            .is_ok()
    }

    /// Removes the group, unless it has members.
    pub(crate) fn remove(&self) {
        // It may not exist, and a leftover group does no harm.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Returns a part of a file name: letters, digits and single dashes.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars() {
        match letter.is_ascii_alphanumeric() {
            true => slug.push(letter),
            false if !slug.ends_with('-') && !slug.is_empty() => slug.push('-'),
            false => {}
        }
    }
    slug.truncate(MAX_SLUG_LENGTH);
    slug.trim_end_matches('-').to_owned()
}

/// Returns the folder of the agent's own group.
fn own_cgroup_path() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    folder(&mounts, &groups)
}

/// Returns the folder of a group from `/proc/PID/mountinfo` and `/proc/PID/cgroup`.
fn folder(mounts: &str, groups: &str) -> Option<PathBuf> {
    // Hierarchy 0 is the one of version 2.
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    CgroupMount::find_unified(mounts).iter().find_map(|mount| mount.folder(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_folder_is_found() {
        let unified = "29 1 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let hybrid = "10 31 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw\n\
                      12 33 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n\
                      20 41 0:38 / /sys/fs/cgroup/my\\040unified rw - cgroup2 cgroup2 rw\n";
        let inside = "29 1 0:26 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let rows = [
            (
                unified,
                "0::/system.slice/rta-agent.service\n",
                Some("/sys/fs/cgroup/system.slice/rta-agent.service"),
            ),
            (hybrid, "4:memory:/x\n0::/\n", Some("/sys/fs/cgroup/my unified/")),
            (inside, "0::/box/a\n", Some("/sys/fs/cgroup/a")),
            (inside, "0::/elsewhere\n", None),
            (unified, "0::/../a\n", None),
            (unified, "0::/gone (deleted)\n", None),
            (unified, "4:memory:/x\n", None),
            ("", "0::/\n", None),
        ];
        for (mounts, groups, expected) in rows {
            assert_eq!(folder(mounts, groups), expected.map(PathBuf::from), "{groups}");
        }
    }

    #[test]
    fn group_names_are_plain_and_unique() {
        let groups = |key: &str| ComponentCgroups { own: Some(Arc::new("/own".into())), key: key.to_owned() };
        let name = |key, component: &str| groups(key).for_component(&Name::from(component)).unwrap().0;
        let first = name("a", "Kafka Server");
        assert!(first.display().to_string().starts_with("/own/rta-kafka-server-"), "{first:?}");
        assert_eq!(first, name("a", "kafka server"));
        assert_ne!(first, name("b", "kafka server"));
        assert_ne!(name("a", "kafka/server"), first);
        assert_eq!(slug("  ../.. é//x"), "x");
        assert!(slug(&"long ".repeat(50)).len() <= MAX_SLUG_LENGTH);
    }
}
