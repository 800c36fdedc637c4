//! Finds processes that the kernel killed for lack of memory in its log (/dev/kmsg). An unreadable log counts
//! as no evidence: the agent may lack the permission, or be in a PID namespace whose PIDs differ from those
//! in the log.

use std::os::unix::fs::MetadataExt as _;

use rta_shared::process::ProcessId;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read};

/// `PROC_PID_INIT_INO` (linux/proc_ns.h): inode of the PID namespace whose PIDs the kernel's log contains.
const FIRST_NAMESPACE: u64 = 0xEFFF_FFFC;
/// Maximum length of a kernel record (`PRINTK_MESSAGE_MAX`), with its prefix.
const RECORD: usize = 8192;
/// Maximum number of records read, more than the log holds by default.
const RECORDS: usize = 65_536;
/// Tolerated difference between the clocks of the log and of process starts.
const SLACK_MICROS: u64 = 60_000_000;

/// Returns true if the kernel killed this process for lack of memory. Blocking, but reads no disk.
pub(super) fn was_oom_killed(id: ProcessId) -> bool {
    let is_first = std::fs::metadata("/proc/self/ns/pid").is_ok_and(|file| file.ino() == FIRST_NAMESPACE);
    if !is_first || !has_oom_killed_any() {
        return false;
    }
    let Ok(log) = open("/dev/kmsg", OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
    else {
        return false;
    };
    let started_micros = id
        .start_ticks
        .saturating_mul(1_000_000)
        .checked_div(rustix::param::clock_ticks_per_second())
        .unwrap_or_default();
    let mut record = vec![0; RECORD];
    for _ in 0..RECORDS {
        match read(&log, record.as_mut_slice()) {
            Ok(0) | Err(Errno::AGAIN) => return false,
            Ok(length) => {
                let victim = record.get(..length).and_then(parse_oom_victim);
                // An older record belongs to an earlier process with the same PID.
                if victim.is_some_and(|(pid, at)| pid == id.pid && at + SLACK_MICROS >= started_micros) {
                    return true;
                }
            }
            // The record was overwritten while it was read; the next one follows.
            Err(Errno::PIPE | Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    false
}

/// Returns true if the kernel killed any process since the boot, or if it does not count them (before 4.13).
fn has_oom_killed_any() -> bool {
    let Ok(figures) = std::fs::read_to_string("/proc/vmstat") else { return true };
    let count = figures.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.is_none_or(|count| count.trim() != "0")
}

/// Returns the PID of the process that was killed according to a record, and the time in microseconds after
/// the boot.
fn parse_oom_victim(record: &[u8]) -> Option<(u32, u64)> {
    let record = String::from_utf8_lossy(record);
    // linux/Documentation/ABI/testing/dev-kmsg: "level and facility,sequence,microseconds,flags;text"
    let (prefix, text) = record.split_once(';')?;
    let mut fields = prefix.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let at: u64 = fields.nth(1)?.parse().ok()?;
    // Only the kernel's own records have facility 0: programs may write to its log too.
    if priority >> 3 != 0 {
        return None;
    }
    // mm/oom_kill.c: "Out of memory: Killed process 7 (java) ...", "Memory cgroup out of memory: Killed
    // process ..."
    let (reason, rest) = text.split_once(": Killed process ")?;
    let digits = rest.split(|character: char| !character.is_ascii_digit()).next()?;
    reason.to_ascii_lowercase().contains("out of memory").then_some((digits.parse().ok()?, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oom_victims_are_parsed_from_kernel_messages_only() {
        let rows = [
            (
                "3,812,98765432,-;Out of memory: Killed process 4242 (java) total-vm:1kB, anon-rss:2kB\n",
                Some((4242, 98_765_432)),
            ),
            (
                "3,812,5,-;Memory cgroup out of memory: Killed process 7 (app) total-vm:9kB\n SUBSYSTEM=x\n",
                Some((7, 5)),
            ),
            ("3,812,5,-;Out of memory (oom_kill_allocating_task): Killed process 7 (app)", Some((7, 5))),
            // Written by a program, facility 1.
            ("11,812,5,-;Out of memory: Killed process 7 (app) total-vm:9kB", None),
            ("6,812,5,-;oom_reaper: reaped process 7 (app), now anon-rss:0kB", None),
            ("6,812,5,-;process 7 (: Killed process ) did something", None),
            ("6,812,5,-;Out of memory: Killed process x", None),
            ("6,812", None),
            ("", None),
        ];
        for (record, expected) in rows {
            assert_eq!(parse_oom_victim(record.as_bytes()), expected, "{record}");
        }
    }

    #[test]
    fn living_process_was_not_killed() {
        assert!(!was_oom_killed(ProcessId { pid: std::process::id(), start_ticks: u64::MAX }));
    }
}
