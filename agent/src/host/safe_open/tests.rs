use std::fs::{self, DirBuilder, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, mkfifoat, renameat_with};
use tempfile::TempDir;

use super::*;

/// User that exists on every system.
const USER: &str = "nobody";
/// Owner of files of a third party.
const OTHER: u32 = 1;

fn user() -> FileUser {
    FileUser::from_name(USER).unwrap()
}

fn own() -> (u32, u32) {
    (geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// Folder that only root can change, with the files of a test; `None` if the tests do not run as root, so
/// that no other user can be imitated.
struct Tree(TempDir);

impl Tree {
    fn new() -> Option<Self> {
        geteuid().is_root().then(|| {
            let tree = Self(tempfile::tempdir().unwrap());
            fs::set_permissions(tree.0.path(), Permissions::from_mode(0o755)).unwrap();
            tree
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn folder(&self, name: &str, (uid, gid): (u32, u32), mode: u32) -> PathBuf {
        let path = self.path(name);
        DirBuilder::new().recursive(true).create(&path).unwrap();
        chown(&path, Some(uid), Some(gid)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn file(&self, name: &str, (uid, gid): (u32, u32), mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("content of {name}\n")).unwrap();
        chown(&path, Some(uid), Some(gid)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn link(&self, name: &str, target: &str, owner: u32) -> PathBuf {
        let path = self.path(name);
        symlink(target, &path).unwrap();
        lchown(&path, Some(owner), None).unwrap();
        path
    }

    fn read(&self, name: &str, user: Option<&str>) -> Result<String, String> {
        let mut file = open_to_read(&self.path(name), user).map_err(|error| error.to_string())?;
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        Ok(content.trim_end().to_owned())
    }

    /// Appends a line; returns the owner of the file.
    fn append(&self, name: &str, user: Option<&str>) -> Result<u32, String> {
        let opened = open_to_append(&self.path(name), user);
        let (mut file, length) = opened.map_err(|error| error.to_string())?;
        let metadata = file.metadata().unwrap();
        assert_eq!(length, metadata.len());
        file.write_all(b"appended\n").unwrap();
        Ok(metadata.uid())
    }
}

fn ids() -> (u32, u32) {
    (user().uid.as_raw(), user().gid.as_raw())
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, String>, expected: &str) {
    let reason = result.unwrap_err();
    assert!(reason.contains(expected), "{reason:?} does not say {expected:?}");
}

#[test]
fn folder_replaced_by_a_link_is_not_followed() {
    let Some(tree) = Tree::new() else { return };
    tree.folder("root", own(), 0o700);
    tree.file("root/x.log", own(), 0o600);
    tree.folder("home", ids(), 0o755);
    tree.link("home/log", "../root", ids().0);
    tree.link("home/file.log", "../root/x.log", ids().0);
    for user in [Some(USER), None, Some("daemon")] {
        for name in ["home/log/x.log", "home/log/new.log", "home/log/new/x.log", "home/file.log"] {
            assert_refused(tree.read(name, user), "symbolic link");
            assert_refused(tree.append(name, user), "symbolic link");
        }
        assert_refused(tree.read("home/../root/x.log", user), "\"..\" is not followed");
    }
    assert_eq!(fs::read_dir(tree.path("root")).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(tree.path("root/x.log")).unwrap(), "content of root/x.log\n");
}

#[test]
fn links_that_only_root_can_have_placed_are_followed() {
    let Some(tree) = Tree::new() else { return };
    tree.folder("data/log", own(), 0o755);
    tree.folder("var", own(), 0o755);
    tree.link("var/log", "../data/log", own().0);
    assert_eq!(tree.append("var/log/rta/kafka/x.log", Some(USER)), Ok(ids().0));
    assert_eq!(tree.read("var/log/rta/kafka/x.log", Some(USER)).as_deref(), Ok("appended"));
    assert_eq!(fs::metadata(tree.path("data/log/rta/kafka")).unwrap().uid(), own().0);
    // A relative link to the file, and an absolute one; links in a circle.
    let target = tree.path("data/log/rta/kafka/x.log").display().to_string();
    tree.link("var/x.log", &target, own().0);
    assert_eq!(tree.read("var/x.log", None).as_deref(), Ok("appended"));
    assert_refused(tree.append("var/x.log", None), "it is a symbolic link; name the file itself");
    tree.link("var/y.log", &target, ids().0);
    assert_refused(tree.read("var/y.log", None), "symbolic link of another user");
    tree.link("circle", "circle", own().0);
    assert_refused(tree.read("circle/x.log", None), "Too many levels");
    // The component's user owns the installation, so everything below it is opened as that user.
    tree.folder("opt/kafka_2.10", ids(), 0o755);
    tree.link("opt/kafka", "kafka_2.10", own().0);
    for user in [Some(USER), None] {
        assert_eq!(tree.append("opt/kafka/logs/server.log", user), Ok(ids().0));
        assert_refused(tree.read("opt/kafka/logs/../logs/server.log", user), "\"..\" is not followed");
    }
    assert_eq!(tree.read("opt/kafka/logs/server.log", None).as_deref(), Ok("appended\nappended"));
}

#[test]
fn file_that_the_folders_owner_cannot_open_is_refused() {
    let Some(tree) = Tree::new() else { return };
    tree.folder("home", ids(), 0o755);
    // Moved or linked there by the owner of the folder.
    tree.file("home/root.log", own(), 0o600);
    tree.file("secret", own(), 0o600);
    fs::hard_link(tree.path("secret"), tree.path("home/hard.log")).unwrap();
    for name in ["home/root.log", "home/hard.log"] {
        for user in [Some(USER), None] {
            assert_refused(tree.read(name, user), "it is opened as user nobody, who may not read it");
            assert_refused(tree.append(name, user), "it is opened as user nobody, who may not write it");
        }
    }
    tree.file("home/own.log", ids(), 0o600);
    assert_eq!(tree.read("home/own.log", Some(USER)).as_deref(), Ok("content of home/own.log"));
}

#[test]
fn folder_that_a_group_can_change_is_used_without_links() {
    let Some(tree) = Tree::new() else { return };
    // As /var/log of Ubuntu: owned by root, and writable for a group without the component's user.
    tree.folder("log", (0, OTHER), 0o775);
    assert_eq!(tree.append("log/rta/x.log", Some(USER)), Ok(ids().0));
    assert_eq!(fs::metadata(tree.path("log/rta")).unwrap().uid(), 0);
    for user in [Some(USER), None] {
        assert_eq!(tree.read("log/rta/x.log", user).as_deref(), Ok("appended"));
    }
    tree.link("log/link", "rta", 0);
    assert_refused(tree.read("log/link/x.log", None), "symbolic link, in a folder that others");
    tree.file("secret", own(), 0o600);
    fs::hard_link(tree.path("secret"), tree.path("log/hard.log")).unwrap();
    assert_refused(tree.read("log/hard.log", None), "several names");
    assert_refused(tree.append("log/hard.log", None), "single name");
    // The component's user is in the group, or in the access control list, whose mask shows as the group's
    // bits.
    tree.folder("shared", (0, ids().1), 0o775);
    tree.file("shared/root.log", own(), 0o600);
    assert_refused(tree.read("shared/root.log", Some(USER)), "who may not read it");
    assert_eq!(tree.append("shared/logs/x.log", Some(USER)), Ok(ids().0));
    assert_eq!(fs::metadata(tree.path("shared/logs")).unwrap().uid(), ids().0);
}

#[test]
fn sticky_folder_keeps_the_entries_of_root() {
    let Some(tree) = Tree::new() else { return };
    tree.folder("tmp", own(), 0o1777);
    assert_eq!(tree.append("tmp/new.log", Some(USER)), Ok(ids().0));
    assert_eq!(tree.read("tmp/new.log", None).as_deref(), Ok("appended"));
    tree.file("tmp/foreign.log", (OTHER, OTHER), 0o600);
    assert_refused(tree.append("tmp/foreign.log", Some(USER)), "belongs to another user");
    tree.file("secret", own(), 0o600);
    tree.link("tmp/link.log", "../secret", ids().0);
    fs::hard_link(tree.path("secret"), tree.path("tmp/hard.log")).unwrap();
    for user in [Some(USER), None] {
        assert_refused(tree.read("tmp/link.log", user), "symbolic link");
        assert_refused(tree.read("tmp/hard.log", user), "several names");
    }
    // There, only root can change a folder of root, but not a folder of the user.
    tree.folder("tmp/rta/real", own(), 0o755);
    tree.folder("tmp/rta", own(), 0o755);
    tree.link("tmp/rta/link", "real", own().0);
    assert_eq!(tree.append("tmp/rta/link/x.log", Some(USER)), Ok(ids().0));
    tree.folder("tmp/theirs", ids(), 0o755);
    tree.link("tmp/theirs/link", "../rta/real", ids().0);
    assert_refused(tree.read("tmp/theirs/link/x.log", None), "symbolic link");
}

#[test]
fn only_regular_files_are_opened_and_the_null_device() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    mkfifoat(CWD, path("pipe"), Mode::RWXU).unwrap();
    fs::create_dir(path("folder")).unwrap();
    let read = |path: PathBuf| open_to_read(&path, None).unwrap_err().to_string();
    let append = |path: PathBuf| open_to_append(&path, None).unwrap_err().to_string();
    for path in [path("pipe"), PathBuf::from("/dev/zero"), PathBuf::from("/dev/null")] {
        assert!(read(path).contains("no regular file"));
    }
    for path in [path("pipe"), PathBuf::from("/dev/zero")] {
        assert!(append(path).contains("no regular file"));
    }
    assert!(read(path("folder")).contains("Is a directory") && append(path("folder")).contains("directory"));
    assert!(read("relative.log".into()).contains("no absolute path"));
    assert!(read(path("missing/x.log")).contains("No such file"));
    // The target of a link in /proc is treated as a plain name: none leads to a file that a process has open.
    let (_reader, writer) = std::io::pipe().unwrap();
    let own_pipe = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
    assert!(read(own_pipe.into()).contains("No such file"));
    let (mut null, length) = open_to_append(Path::new("/dev/null"), None).unwrap();
    null.write_all(b"gone\n").unwrap();
    assert_eq!(length, 0);
}

#[test]
fn agent_without_root_follows_no_link_of_others() {
    // Runs with the privileges of another user, as an agent that is not root.
    let Some(tree) = Tree::new() else { return };
    tree.folder("home", (OTHER, OTHER), 0o777);
    tree.file("home/x.log", (OTHER, OTHER), 0o644);
    tree.file("home/own.log", ids(), 0o600);
    fs::hard_link(tree.path("home/own.log"), tree.path("home/hard.log")).unwrap();
    tree.link("home/link.log", "x.log", OTHER);
    let as_user = |name: &str, expected: Result<&str, &str>| {
        let read = user().run_as(|| Ok(tree.read(name, None))).unwrap();
        match expected {
            Ok(content) => assert_eq!(read.as_deref(), Ok(content)),
            Err(reason) => assert_refused(read, reason),
        }
    };
    as_user("home/x.log", Ok("content of home/x.log"));
    as_user("home/link.log", Err("symbolic link"));
    as_user("home/hard.log", Err("several names"));
    assert_eq!(user().run_as(|| Ok(tree.append("home/new/y.log", Some("root")))).unwrap(), Ok(ids().0));
}

#[test]
fn exchanging_folder_and_link_during_open_is_refused() {
    let Some(tree) = Tree::new() else { return };
    tree.folder("root", own(), 0o700);
    tree.file("root/x.log", own(), 0o600);
    tree.folder("home", ids(), 0o755);
    tree.folder("home/log", ids(), 0o755);
    tree.file("home/log/x.log", ids(), 0o644);
    tree.link("home/link", "../root", ids().0);
    let is_over = AtomicBool::new(false);
    let (mut opened, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (one, other) = (tree.path("home/log"), tree.path("home/link"));
            while !is_over.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            }
        });
        for attempt in 0..2_000 {
            let user = [Some(USER), None][attempt % 2];
            match tree.read("home/log/x.log", user) {
                Ok(content) => {
                    assert_eq!(content, "content of home/log/x.log");
                    opened += 1;
                }
                Err(_) => refused += 1,
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(opened > 0 && refused > 0, "{opened} were opened and {refused} refused: nothing was exchanged");
}
