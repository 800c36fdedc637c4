//! Selects from a listing of /proc the processes that may have become a component's since the previous one.
//! Pure.

use std::time::{Duration, Instant};

use crate::host::procfs::ListedProcess;

/// Age up to which a process is checked each time, since it may call exec some time after its start, as
/// launchers do. Older processes are left to the next full scan.
const YOUNG_AGE: Duration = Duration::from_secs(10);

/// Processes of the last listing.
#[derive(Debug, Default)]
pub(super) struct NewProcesses {
    /// Sorted by PID.
    known: Vec<KnownProcess>,
    /// Reused buffer.
    next: Vec<KnownProcess>,
}

#[derive(Clone, Copy, Debug)]
struct KnownProcess {
    listed: ListedProcess,
    /// Time at which the process was first listed.
    since: Instant,
}

impl NewProcesses {
    /// Processes a listing in the order of PIDs; calls `new_or_young` with each process to check.
    pub(super) fn update(
        &mut self,
        listed: &[ListedProcess],
        now: Instant,
        mut new_or_young: impl FnMut(u32),
    ) {
        self.next.clear();
        let mut old = self.known.iter().peekable();
        for listed in listed {
            while old.next_if(|old| old.listed.pid < listed.pid).is_some() {}
            let known = old.next_if(|old| old.listed == *listed).copied();
            let known = known.unwrap_or(KnownProcess { listed: *listed, since: now });
            if known.is_young(now) {
                new_or_young(listed.pid);
            }
            self.next.push(known);
        }
        std::mem::swap(&mut self.known, &mut self.next);
    }

    /// Returns true if a process was first listed long ago, so that it is left to full scans.
    pub(super) fn is_settled(&self, listed: ListedProcess, now: Instant) -> bool {
        let found = self.known.binary_search_by_key(&listed.pid, |known| known.listed.pid);
        let known = found.ok().and_then(|at| self.known.get(at));
        known.is_some_and(|known| known.listed == listed && !known.is_young(now))
    }
}

impl KnownProcess {
    fn is_young(&self, now: Instant) -> bool {
        now.duration_since(self.since) < YOUNG_AGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(pid: u32, inode: u64) -> ListedProcess {
        ListedProcess { pid, inode }
    }

    fn worth_a_look(listing: &mut NewProcesses, now: Instant, listed: &[ListedProcess]) -> Vec<u32> {
        let mut pids = Vec::new();
        listing.update(listed, now, |pid| pids.push(pid));
        pids
    }

    #[test]
    fn new_and_young_processes_are_checked_and_old_ones_not() {
        let mut listing = NewProcesses::default();
        let start = Instant::now();
        let first = [listed(1, 11), listed(5, 15)];
        assert_eq!(worth_a_look(&mut listing, start, &first), [1, 5]);
        assert_eq!(worth_a_look(&mut listing, start + YOUNG_AGE / 2, &first), [1, 5]);
        let later = start + YOUNG_AGE;
        assert_eq!(worth_a_look(&mut listing, later, &first), [] as [u32; 0]);
        assert!(listing.is_settled(listed(5, 15), later) && !listing.is_settled(listed(6, 16), later));
        let more = [listed(1, 11), listed(3, 13), listed(5, 15), listed(9, 19)];
        assert_eq!(worth_a_look(&mut listing, later, &more), [3, 9]);
    }

    #[test]
    fn reused_pid_is_new() {
        let mut listing = NewProcesses::default();
        let start = Instant::now();
        worth_a_look(&mut listing, start, &[listed(5, 15)]);
        assert_eq!(worth_a_look(&mut listing, start + YOUNG_AGE, &[listed(5, 99)]), [5]);
        assert!(!listing.is_settled(listed(5, 99), start + YOUNG_AGE));
    }

    #[test]
    fn ended_process_is_forgotten() {
        let mut listing = NewProcesses::default();
        let start = Instant::now();
        let all = [listed(1, 11), listed(2, 12), listed(3, 13)];
        worth_a_look(&mut listing, start, &all);
        let later = start + YOUNG_AGE;
        assert_eq!(worth_a_look(&mut listing, later, &[listed(2, 12)]), [] as [u32; 0]);
        assert_eq!(worth_a_look(&mut listing, later, &all), [1, 3]);
    }
}
