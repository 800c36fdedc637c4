//! State of a process as `/proc/PID/stat` has it.

/// Fields of /proc/PID/stat (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcStat {
    /// Field 3: the process has ended, and was not waited for yet.
    pub is_zombie: bool,
    /// Field 3: a signal stopped the process.
    pub is_stopped: bool,
    /// Field 3: a tracer holds the process; only for a moment if it is merely traced.
    pub is_traced: bool,
    /// Field 4: parent.
    pub parent_pid: u32,
    /// Field 5: process group.
    pub group: u32,
    /// Field 6: session.
    pub session: u32,
    /// Field 22: clock ticks after boot.
    pub start_ticks: u64,
}

impl ProcStat {
    /// Reads the fields from the file's content; `None` if there are too few.
    pub fn parse(content: &[u8]) -> Option<Self> {
        // Field 2, the program's name in parentheses, may itself contain spaces and parentheses.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = b"42 (a) b) (c) S 7 41 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1 1\n";
        let stat = ProcStat {
            is_zombie: false,
            is_stopped: false,
            is_traced: false,
            parent_pid: 7,
            group: 41,
            session: 40,
            start_ticks: 987_654,
        };
        assert_eq!(ProcStat::parse(line), Some(stat));
        let in_state = |state: &str| String::from_utf8_lossy(line).replace(") S ", &format!(") {state} "));
        let parsed = |state: &str| ProcStat::parse(in_state(state).as_bytes());
        assert_eq!(parsed("T"), Some(ProcStat { is_stopped: true, ..stat }));
        assert_eq!(parsed("t"), Some(ProcStat { is_traced: true, ..stat }));
        assert_eq!(parsed("Z"), Some(ProcStat { is_zombie: true, ..stat }));
        assert_eq!(ProcStat::parse(b"42 (sh) S 7"), None);
        assert_eq!(ProcStat::parse(b""), None);
    }
}
