//! Identity and command line of a process, as the matcher sees them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::words::words;

/// Identity of a process within one boot, distinct from that of a later process with the same PID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    /// PID in the agent's own PID namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot: field 22 of `/proc/PID/stat` (proc_pid_stat(5)).
    pub start_ticks: u64,
}

/// Process that matched a component's criteria.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Identity of the process.
    pub id: ProcessId,
    /// PID of the parent; 0 if the parent is outside the PID namespace.
    pub parent_pid: u32,
    /// Start time, by the host's wall clock; `None` if the agent did not report it.
    pub started_at: Option<Timestamp>,
    /// User for whom the process acts (see [`crate::attributes::acting_user`]): the account name, or the UID
    /// if the host has no name for it; empty if the agent did not report it.
    pub user: String,
    /// Reason why the process is suspended; `None` if it is free to run.
    pub suspension: Option<Suspension>,
}

impl Process {
    /// Creates a process without further details.
    pub fn new(id: ProcessId, parent_pid: u32) -> Self {
        Self { id, parent_pid, started_at: None, user: String::new(), suspension: None }
    }
}

/// Reason why an existing process does not run at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Suspension {
    /// Stopped by a signal: SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU (signal(7)).
    Signal,
    /// Stopped by a debugger (ptrace(2)).
    Debugger,
    /// In a frozen control group (cgroups(7)).
    Freezer,
}

words!(Suspension {
    Signal => "stopped by a signal",
    Debugger => "held by a debugger",
    Freezer => "frozen",
});

impl Suspension {
    /// Returns a sentence for each kind of suspension among `processes`, with the way to end it.
    pub fn sentences(processes: &[Process]) -> Vec<String> {
        Self::ALL.iter().filter_map(|suspension| suspension.sentence(processes)).collect()
    }

    fn sentence(self, processes: &[Process]) -> Option<String> {
        let suspended = processes.iter().filter(|process| process.suspension == Some(self));
        let pids: Vec<String> = suspended.map(|process| process.id.pid.to_string()).collect();
        let (who, is, them) = match pids.as_slice() {
            [] => return None,
            [one] => (format!("pid {one}"), "is", "it"),
            several => (format!("pids {}", several.join(", ")), "are", "them"),
        };
        let what = match self {
            Self::Signal => {
                format!("stopped by a signal (SIGSTOP); resume {them} with kill -CONT {}", pids.join(" "))
            }
            Self::Debugger => format!("held by a debugger; detach it from {them}"),
            Self::Freezer => format!("frozen by the freezer of a control group; thaw that to resume {them}"),
        };
        Some(format!("{who} {is} {what}"))
    }
}

/// Arguments of a process in the format of `/proc/PID/cmdline` (proc_pid_cmdline(5)): bytes, not text, each
/// argument terminated by a NUL. An empty argument counts and has an index.
///
/// One value is reused for a whole scan, so that reading a process allocates nothing once the buffers have
/// grown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    bytes: Vec<u8>,
    /// End of each argument in `bytes`, exclusive; the next argument starts after one NUL.
    ends: Vec<usize>,
}

impl CommandLine {
    /// Creates a command line without arguments, like that of a zombie or a kernel thread.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses the content of `/proc/PID/cmdline`.
    pub fn parse(content: &[u8]) -> Self {
        let mut line = Self::new();
        line.bytes.extend_from_slice(content);
        line.split();
        line
    }

    /// Creates the command line of a process that was executed with `arguments`.
    pub fn from_arguments<A: AsRef<[u8]>>(arguments: impl IntoIterator<Item = A>) -> Self {
        let mut line = Self::new();
        for argument in arguments {
            line.bytes.extend_from_slice(argument.as_ref());
            line.bytes.push(0);
        }
        line.split();
        line
    }

    /// Replaces the content with the bytes that `read` appends to an empty buffer.
    ///
    /// # Errors
    /// Returns the error of `read`; the command line is then empty.
    pub fn replace_with<E>(&mut self, read: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        self.bytes.clear();
        self.ends.clear();
        let outcome = read(&mut self.bytes);
        if outcome.is_err() {
            self.bytes.clear();
        }
        self.split();
        outcome
    }

    fn split(&mut self) {
        self.ends.clear();
        let bytes = &self.bytes;
        self.ends.extend(memchr::memchr_iter(0, bytes));
        // A process that rewrote its title may leave no NUL at the end.
        if bytes.last().is_some_and(|byte| *byte != 0) {
            self.ends.push(bytes.len());
        }
    }

    /// Returns the number of arguments, the program name included.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns true if there are no arguments, as for a zombie or a kernel thread.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the argument at `index`: from 0, or from the end if negative (-1 is the last).
    pub fn argument(&self, index: i32) -> Option<&[u8]> {
        let at = self.position(index)?;
        let end = *self.ends.get(at)?;
        let start = match at.checked_sub(1) {
            Some(before) => self.ends.get(before)? + 1,
            None => 0,
        };
        self.bytes.get(start..end)
    }

    /// Returns the position of `index`, which counts from the end if negative. The position counts from 0 and
    /// may be past the last argument.
    pub fn position(&self, index: i32) -> Option<usize> {
        match usize::try_from(index) {
            Ok(from_start) => Some(from_start),
            Err(_) => self.len().checked_sub(index.unsigned_abs() as usize),
        }
    }

    /// Returns all arguments in order.
    pub fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let argument = &self.bytes[start..*end];
            start = end + 1;
            argument
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arguments(content: &[u8]) -> Vec<Vec<u8>> {
        CommandLine::parse(content).arguments().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn suspended_processes_are_told_with_the_way_out() {
        let process =
            |pid, suspension| Process { suspension, ..Process::new(ProcessId { pid, start_ticks: 1 }, 1) };
        let processes = [
            process(1, Some(Suspension::Freezer)),
            process(2, Some(Suspension::Signal)),
            process(3, None),
            process(4, Some(Suspension::Signal)),
        ];
        assert_eq!(
            Suspension::sentences(&processes),
            [
                "pids 2, 4 are stopped by a signal (SIGSTOP); resume them with kill -CONT 2 4",
                "pid 1 is frozen by the freezer of a control group; thaw that to resume it",
            ]
        );
        assert_eq!(
            Suspension::sentences(&processes[1..2]),
            ["pid 2 is stopped by a signal (SIGSTOP); resume it with kill -CONT 2"]
        );
    }

    #[test]
    fn an_empty_argument_keeps_its_index() {
        let line = CommandLine::parse(b"java\0\0-cp\0");
        assert_eq!(line.len(), 3);
        assert_eq!(line.argument(1), Some(&b""[..]));
        assert_eq!(line.argument(2), Some(&b"-cp"[..]));
    }

    #[test]
    fn a_title_without_a_nul_is_one_argument() {
        assert_eq!(arguments(b"nginx: master process"), [b"nginx: master process".to_vec()]);
    }

    #[test]
    fn a_zombie_has_no_arguments() {
        let line = CommandLine::parse(b"");
        assert!(line.is_empty());
        assert_eq!(line.argument(0), None);
        assert_eq!(line.argument(-1), None);
    }

    #[test]
    fn negative_indexes_count_from_the_end() {
        let line = CommandLine::parse(b"a\0b\0c\0");
        assert_eq!(line.argument(-1), Some(&b"c"[..]));
        assert_eq!(line.argument(-3), Some(&b"a"[..]));
        assert_eq!(line.argument(-4), None);
        assert_eq!(line.argument(3), None);
        assert_eq!(line.argument(i32::MIN), None);
    }

    #[test]
    fn a_failed_read_leaves_nothing_of_the_last_process() {
        let mut line = CommandLine::parse(b"java\0");
        let outcome = line.replace_with(|buffer| {
            buffer.extend_from_slice(b"half");
            Err(())
        });
        assert!(outcome.is_err());
        assert!(line.is_empty());
    }

    proptest! {
        #[test]
        fn any_arguments_without_nul_come_back(
            given in proptest::collection::vec(proptest::collection::vec(1_u8..=255, 0..20), 0..20)
        ) {
            let line = CommandLine::from_arguments(&given);
            prop_assert_eq!(line.arguments().map(<[u8]>::to_vec).collect::<Vec<_>>(), given.clone());
            for (at, argument) in given.iter().enumerate() {
                let index = i32::try_from(at).unwrap();
                prop_assert_eq!(line.argument(index), Some(argument.as_slice()));
                let from_end = index - i32::try_from(given.len()).unwrap();
                prop_assert_eq!(line.argument(from_end), Some(argument.as_slice()));
            }
        }

        #[test]
        fn no_content_of_proc_breaks_the_parser(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let line = CommandLine::parse(&content);
            prop_assert_eq!(line.arguments().count(), line.len());
        }
    }
}
