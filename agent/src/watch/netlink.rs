//! Decodes the messages of the kernel's process connector: netlink messages (netlink(7)) that hold connector
//! messages (linux/connector.h) that hold process events (linux/cn_proc.h). Pure, and safe on any bytes.

/// Connector address of process events, `CN_IDX_PROC` and `CN_VAL_PROC`.
pub(super) const PROC_INDEX: u32 = 1;
pub(super) const PROC_VALUE: u32 = 1;
/// `PROC_CN_MCAST_LISTEN`: requests events.
pub(super) const LISTEN: u32 = 1;
/// Sizes of `struct nlmsghdr` and of `struct cn_msg` without its data.
pub(super) const NETLINK_HEADER: usize = 16;
pub(super) const CONNECTOR_HEADER: usize = 20;
/// Offset of the event's data in `struct proc_event`, after the event's type, the processor's number and the
/// time.
const EVENT_DATA: usize = 16;

/// `PROC_EVENT_*`.
pub(super) const NONE: u32 = 0;
pub(super) const FORK: u32 = 1;
pub(super) const EXEC: u32 = 2;
pub(super) const EXIT: u32 = 0x8000_0000;

/// Event of a process; those of single threads are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// A process has forked a child, which still has its command line.
    Fork {
        /// PID of the process.
        parent: u32,
        /// PID of the child.
        child: u32,
    },
    /// A process runs another program.
    Exec(u32),
    /// A process has ended.
    Exit {
        /// PID of the process.
        pid: u32,
        /// Exit status in the form of wait(2).
        status: i32,
    },
    /// Answer to a request for events.
    Answer {
        /// Acknowledgement number of the request. (Its sequence number is not returned: the kernel counts its
        /// own messages there.)
        token: u32,
        /// 0, or an error number (errno(3)).
        error: u32,
    },
}

/// Calls `tell` with every event of one datagram. Skips messages that are unknown, truncated, or of another
/// connector.
pub fn decode(datagram: &[u8], mut tell: impl FnMut(ProcessEvent)) {
    let mut rest = datagram;
    while let Some(length) = word(rest, 0) {
        let Some(message) = usize::try_from(length).ok().and_then(|length| rest.get(..length)) else {
            return;
        };
        if message.len() < NETLINK_HEADER {
            return;
        }
        if let Some(event) = message.get(NETLINK_HEADER..).and_then(connector_message) {
            tell(event);
        }
        // Messages begin at multiples of 4.
        rest = rest.get(message.len().next_multiple_of(4)..).unwrap_or_default();
    }
}

fn connector_message(message: &[u8]) -> Option<ProcessEvent> {
    if (word(message, 0)?, word(message, 4)?) != (PROC_INDEX, PROC_VALUE) {
        return None;
    }
    let acknowledgement = word(message, 12)?;
    let event = message.get(CONNECTOR_HEADER..)?;
    let data = event.get(EVENT_DATA..)?;
    match word(event, 0)? {
        NONE => {
            // cn_proc_ack in drivers/connector/cn_proc.c adds one.
            let token = acknowledgement.wrapping_sub(1);
            Some(ProcessEvent::Answer { token, error: word(data, 0)? })
        }
        FORK => {
            // parent_pid, parent_tgid, child_pid, child_tgid: a thread's own number is not that of its
            // process.
            let (parent, thread, child) = (word(data, 4)?, word(data, 8)?, word(data, 12)?);
            (thread == child).then_some(ProcessEvent::Fork { parent, child })
        }
        EXEC => Some(ProcessEvent::Exec(word(data, 4)?)),
        EXIT => {
            let (thread, process) = (word(data, 0)?, word(data, 4)?);
            let status = word(data, 8)?.cast_signed();
            (thread == process).then_some(ProcessEvent::Exit { pid: process, status })
        }
        _ => None,
    }
}

/// Returns the 32-bit number at a byte position, in the machine's byte order.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(what: u32, data: &[u32]) -> Vec<u8> {
        let event: Vec<u32> = [what, 1, 0, 0].iter().chain(data).copied().collect();
        let size = u32::try_from(event.len() * 4).unwrap();
        let mut words = vec![16 + 20 + size, 3, 9, 0];
        words.extend([PROC_INDEX, PROC_VALUE, 7, 42 + 1, size]);
        words.extend(event);
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn events(datagram: &[u8]) -> Vec<ProcessEvent> {
        let mut events = Vec::new();
        decode(datagram, |event| events.push(event));
        events
    }

    #[test]
    fn kernel_events_are_decoded() {
        let rows: [(u32, &[u32], Option<ProcessEvent>); 7] = [
            (NONE, &[13, 0], Some(ProcessEvent::Answer { token: 42, error: 13 })),
            (FORK, &[10, 10, 20, 20], Some(ProcessEvent::Fork { parent: 10, child: 20 })),
            // A new thread of process 10, and the end of one.
            (FORK, &[10, 10, 21, 10], None),
            (EXIT, &[21, 10, 0, 17], None),
            (EXEC, &[20, 20], Some(ProcessEvent::Exec(20))),
            (EXIT, &[20, 20, 9, 17], Some(ProcessEvent::Exit { pid: 20, status: 9 })),
            // PROC_EVENT_COMM
            (0x200, &[20, 20, 0, 0], None),
        ];
        for (what, data, expected) in rows {
            assert_eq!(events(&message(what, data)), Vec::from_iter(expected), "{what:#x}");
        }
    }

    #[test]
    fn datagram_with_several_messages_is_decoded() {
        let datagram = [message(EXEC, &[1, 1]), message(0x200, &[1]), message(EXIT, &[1, 1, 0, 0])].concat();
        assert_eq!(events(&datagram), [ProcessEvent::Exec(1), ProcessEvent::Exit { pid: 1, status: 0 }]);
    }

    #[test]
    fn message_of_another_connector_is_ignored() {
        let mut foreign = message(EXEC, &[1, 1]);
        foreign[16] = 7;
        assert_eq!(events(&foreign), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            events(&bytes);
        }

        #[test]
        fn truncated_message_is_ignored_and_changed_one_survived(
            cut in 0_usize..76, at in 0_usize..68, byte in any::<u8>()
        ) {
            let whole = message(FORK, &[10, 10, 20, 20]);
            let cut = cut.min(whole.len() - 1);
            prop_assert_eq!(events(&whole[..cut]), []);
            let mut changed = whole;
            changed[at] = byte;
            events(&changed);
        }
    }
}
