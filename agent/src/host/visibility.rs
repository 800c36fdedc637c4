//! Detects whether /proc hides other users' processes. Mounted with `hidepid` (proc(5)) it may, and a
//! component whose processes cannot be seen must not be reported as stopped.

use std::fs;

/// Bit of CAP_SYS_PTRACE in a capability mask (linux/capability.h); the capability overrides `hidepid`.
const CAP_SYS_PTRACE: u32 = 19;

/// Returns the reason why this process cannot see those of other users; `None` if it can.
pub(crate) fn find_hidepid_problem() -> Option<String> {
    let read = |path: &str| {
        fs::read_to_string(path)
            .map_err(|error| format!("cannot see the processes: {path} cannot be read: {error}"))
    };
    match (read("/proc/self/mountinfo"), read("/proc/self/status")) {
        (Ok(mounts), Ok(status)) => check_mount_options(&mounts, &status),
        (Err(reason), _) | (_, Err(reason)) => Some(reason),
    }
}

fn check_mount_options(mounts: &str, status: &str) -> Option<String> {
    let options = proc_options(mounts)?;
    let value =
        |name: &str| options.split(',').find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
    let hidepid = value("hidepid")?;
    if matches!(hidepid, "0" | "off") || has_ptrace_capability(status) {
        return None;
    }
    // With "ptraceable" (4) no group is exempt.
    let exempt = value("gid").is_some_and(|gid| in_group(status, gid));
    if exempt && !matches!(hidepid, "4" | "ptraceable") {
        return None;
    }
    Some(format!(
        "cannot see the processes of other users: /proc is mounted with hidepid={hidepid}; \
         run the agent as root, give it CAP_SYS_PTRACE, or mount /proc with gid= of one of its groups"
    ))
}

/// Returns the file system options of the last mount on /proc, which is the topmost one
/// (proc_pid_mountinfo(5)).
fn proc_options(mounts: &str) -> Option<&str> {
    let line = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some("/proc"))?;
    line.split(" - ").nth(1)?.split(' ').nth(2)
}

fn status_field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn has_ptrace_capability(status: &str) -> bool {
    status_field(status, "CapEff")
        .and_then(|mask| u64::from_str_radix(mask, 16).ok())
        .is_some_and(|mask| mask & (1 << CAP_SYS_PTRACE) != 0)
}

fn in_group(status: &str, gid: &str) -> bool {
    ["Gid", "Groups"]
        .iter()
        .filter_map(|name| status_field(status, name))
        .flat_map(str::split_ascii_whitespace)
        .any(|own| own == gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "Gid:\t0\t0\t0\t0\nGroups:\t0\nCapEff:\t000001ffffffffff\n";
    const USER: &str = "Gid:\t100\t100\t100\t100\nGroups:\t100 27\nCapEff:\t0000000000000000\n";

    fn mounts(options: &str) -> String {
        format!(
            "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
             21 20 0:20 / /proc rw,nosuid shared:5 - proc proc {options}\n"
        )
    }

    #[test]
    fn visibility_follows_the_mount_options() {
        let rows = [
            ("rw", USER, false),
            ("rw,hidepid=0", USER, false),
            ("rw,hidepid=2", ROOT, false),
            ("rw,hidepid=1", USER, true),
            ("rw,hidepid=invisible", USER, true),
            ("rw,gid=27,hidepid=2", USER, false),
            ("rw,gid=28,hidepid=2", USER, true),
            ("rw,gid=27,hidepid=4", USER, true),
        ];
        for (options, status, expected) in rows {
            let problem = check_mount_options(&mounts(options), status);
            assert_eq!(problem.is_some(), expected, "{options}: {problem:?}");
        }
        let stacked = mounts("rw") + "22 21 0:21 / /proc rw - proc proc rw,hidepid=2\n";
        assert!(check_mount_options(&stacked, USER).unwrap().contains("hidepid=2"));
    }
}
