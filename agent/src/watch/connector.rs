//! Client of the kernel's process connector: a netlink socket that receives each fork, exec and exit on the
//! host.

use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, send, socket_with, sockopt,
};
use socket2::{SockFilter, SockRef};

use super::netlink::{
    CONNECTOR_HEADER, EXEC, EXIT, FORK, LISTEN, NETLINK_HEADER, NONE, PROC_INDEX, PROC_VALUE, ProcessEvent,
    decode,
};

/// Multicast group of process events: `CN_IDX_PROC`.
const GROUP: u32 = PROC_INDEX;
/// Requested receive buffer: some 10,000 events, since the kernel takes twice the requested size (socket(7))
/// and counts some 800 bytes per event.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// Buffer size for one datagram; an event has 76 bytes.
const MAX_DATAGRAM: usize = 4 * 1024;
/// Maximum number of datagrams read before anything else is done: scans and answers continue during a storm
/// of events.
const MAX_DATAGRAMS_PER_READ: usize = 4096;
/// Time limit for the kernel's answer. It answers at once or never.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// `NLMSG_DONE` (linux/netlink.h), the type of connector messages.
const DONE: u16 = 3;

/// Socket that receives process events.
#[derive(Debug)]
pub(super) struct ProcessConnector {
    socket: OwnedFd,
    buffer: Vec<u8>,
    /// Number of datagrams received from the kernel.
    received: u64,
}

/// Result of reading the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventRead {
    /// Read all pending events.
    All,
    /// Read all pending events, but the kernel has dropped earlier ones.
    Lost,
}

impl ProcessConnector {
    /// Subscribes to the kernel's events, and verifies that they arrive.
    ///
    /// # Errors
    /// Returns an error, with a sentence, if no events can be received.
    pub(super) fn open() -> Result<Self, String> {
        let to_error = |error: Errno| {
            match error {
            Errno::PERM | Errno::ACCESS => {
                "the kernel does not let the agent have its process events; run it as root or give it CAP_NET_ADMIN"
                    .to_owned()
            }
            Errno::PROTONOSUPPORT => "the kernel has no process connector (CONFIG_PROC_EVENTS)".to_owned(),
            Errno::CONNREFUSED => {
                "the kernel's process events reach the host's own network namespace only; the agent runs in another"
                    .to_owned()
            }
            error => format!("the kernel's process events cannot be had: {error}"),
        }
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::CONNECTOR))
            .map_err(to_error)?;
        // The kernel chooses the address; 0 would be its own.
        bind(&socket, &SocketAddrNetlink::new(0, GROUP)).map_err(to_error)?;
        // Without CAP_NET_ADMIN the usual size stays; an overrun is detected either way.
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER);
        let token = std::process::id();
        send(&socket, &listen_request(token), SendFlags::empty()).map_err(to_error)?;
        let mut connector = Self { socket, buffer: Vec::with_capacity(MAX_DATAGRAM), received: 0 };
        connector.await_answer(token).map_err(|error| error.map_or_else(no_answer_message, to_error))?;
        connector.await_event().map_err(|error| error.map_or_else(no_answer_message, to_error))?;
        connector.attach_thread_filter().map_err(to_error)?;
        // Discards events from before the filter; the first scan follows.
        connector.read(|_| {}).map_err(to_error)?;
        Ok(connector)
    }

    /// Calls `tell` with every pending event, up to some thousands.
    ///
    /// # Errors
    /// Returns an error if the socket is broken.
    pub(super) fn read(&mut self, mut tell: impl FnMut(ProcessEvent)) -> Result<EventRead, Errno> {
        let mut outcome = EventRead::All;
        for _ in 0..MAX_DATAGRAMS_PER_READ {
            self.buffer.clear();
            match recvfrom(&self.socket, spare_capacity(&mut self.buffer), RecvFlags::empty()) {
                Ok((_, _, sender)) => {
                    let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
                    // Any process may send to a netlink address; the kernel's own is 0.
                    if sender.is_some_and(|sender| sender.pid() == 0) {
                        self.received += 1;
                        decode(&self.buffer, &mut tell);
                    }
                }
                Err(Errno::AGAIN) => return Ok(outcome),
                Err(Errno::INTR) => {}
                // The socket's buffer overran (netlink(7)); later events are complete.
                Err(Errno::NOBUFS) => outcome = EventRead::Lost,
                Err(error) => return Err(error),
            }
        }
        Ok(outcome)
    }

    /// Waits for the kernel's answer to the request. `Err(None)`: it does not answer, as in a container.
    fn await_answer(&mut self, own: u32) -> Result<(), Option<Errno>> {
        let mut answer = None;
        self.await_matching(|_, events| {
            answer = events.iter().find_map(|event| match event {
                ProcessEvent::Answer { token, error } if *token == own => Some(*error),
                _ => None,
            });
            answer.is_some()
        })?;
        match answer.and_then(|error| i32::try_from(error).ok()) {
            Some(0) => Ok(()),
            Some(error) => Err(Some(Errno::from_raw_os_error(error))),
            None => Err(None),
        }
    }

    /// Triggers an event, and waits for it: in a separate PID namespace the kernel may answer the request and
    /// yet send no events.
    fn await_event(&mut self) -> Result<(), Option<Errno>> {
        let before = self.received;
        // Start and end of a thread are events too, until the filter is set.
        let thread = std::thread::Builder::new().spawn(|| {});
        thread.map_err(|error| Errno::from_io_error(&error))?.join().map_err(|_| None)?;
        self.await_matching(|connector, _| connector.received > before)
    }

    /// Reads until `is_it` returns true; `Err(None)` if it never does.
    fn await_matching(
        &mut self,
        mut is_it: impl FnMut(&Self, &[ProcessEvent]) -> bool,
    ) -> Result<(), Option<Errno>> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let mut events = Vec::new();
            self.read(|event| events.push(event)).map_err(Some)?;
            if is_it(self, &events) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(None);
            }
            let timeout = Timespec::try_from(left).ok();
            match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Some(error)),
            }
        }
    }

    /// Filters out the events of threads: a JVM starts and ends threads all the time, and each would wake the
    /// agent.
    fn attach_thread_filter(&self) -> Result<(), Errno> {
        let filter = SockRef::from(&self.socket).attach_filter(&thread_filter());
        filter.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

impl AsFd for ProcessConnector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn no_answer_message() -> String {
    "the kernel does not tell its process events here, as in a container or a PID namespace of its own"
        .to_owned()
}

/// Returns a netlink message that contains a connector message with the word that requests events.
fn listen_request(token: u32) -> Vec<u8> {
    let mut request = Vec::with_capacity(NETLINK_HEADER + CONNECTOR_HEADER + 4);
    let length = u32::try_from(NETLINK_HEADER + CONNECTOR_HEADER + 4).unwrap_or_default();
    // struct nlmsghdr: length, type and flags, sequence, sender (0: the kernel fills it in).
    request.extend(length.to_ne_bytes());
    request.extend(DONE.to_ne_bytes());
    request.extend(0_u16.to_ne_bytes());
    request.extend([0_u32, 0].iter().flat_map(|word| word.to_ne_bytes()));
    // struct cn_msg: address, sequence, acknowledgement, length and flags; then the data.
    request.extend([PROC_INDEX, PROC_VALUE, 0, token].iter().flat_map(|word| word.to_ne_bytes()));
    request.extend(4_u16.to_ne_bytes());
    request.extend(0_u16.to_ne_bytes());
    request.extend(LISTEN.to_ne_bytes());
    request
}

/// Returns a classic BPF program (linux/filter.h) that accepts answers, execs, and the forks and exits of
/// processes.
fn thread_filter() -> [SockFilter; 15] {
    // BPF_LD | BPF_W | BPF_ABS, BPF_MISC | BPF_TAX, BPF_JMP | BPF_JEQ with a constant and with X, BPF_RET |
    // BPF_K.
    const LOAD: u16 = 0x20;
    const TO_X: u16 = 0x07;
    const IS: u16 = 0x15;
    const IS_X: u16 = 0x1d;
    const RETURN: u16 = 0x06;
    const EVENT: u32 = 16 + 20;
    const DATA: u32 = EVENT + 16;
    // BPF loads in network byte order.
    let of = |what: u32| what.to_be();
    let op = SockFilter::new;
    [
        op(LOAD, 0, 0, EVENT),
        op(IS, 3, 0, of(FORK)),
        op(IS, 6, 0, of(EXIT)),
        op(IS, 9, 0, of(EXEC)),
        op(IS, 8, 9, of(NONE)),
        // A fork: child_pid and child_tgid are the same.
        op(LOAD, 0, 0, DATA + 8),
        op(TO_X, 0, 0, 0),
        op(LOAD, 0, 0, DATA + 12),
        op(IS_X, 4, 5, 0),
        // An exit: process_pid and process_tgid are the same.
        op(LOAD, 0, 0, DATA),
        op(TO_X, 0, 0, 0),
        op(LOAD, 0, 0, DATA + 4),
        op(IS_X, 0, 1, 0),
        op(RETURN, 0, 0, u32::MAX),
        op(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks, if this machine provides events, that those of processes arrive and those of threads do not.
    #[test]
    fn kernel_reports_processes_and_not_threads() {
        let Ok(mut connector) = ProcessConnector::open() else {
            // A container, or no permission to listen: the agent's own tests cover its behaviour then.
            return;
        };
        let before = connector.received;
        std::thread::spawn(|| {}).join().unwrap();
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let own = std::process::id();
        let pid = child.id();
        child.wait().unwrap();
        let mut events = Vec::new();
        let last = ProcessEvent::Exit { pid, status: 0 };
        connector
            .await_matching(|_, read| {
                events.extend_from_slice(read);
                events.contains(&last)
            })
            .unwrap();
        let of_child: Vec<_> = events
            .iter()
            .filter(|event| match event {
                ProcessEvent::Fork { child, .. } => *child == pid,
                ProcessEvent::Exec(one) | ProcessEvent::Exit { pid: one, .. } => *one == pid,
                ProcessEvent::Answer { .. } => false,
            })
            .collect();
        // The standard library may vfork; the child still counts as that of this process.
        assert_eq!(
            of_child,
            [&ProcessEvent::Fork { parent: own, child: pid }, &ProcessEvent::Exec(pid), &last]
        );
        assert_eq!(connector.received - before, u64::try_from(events.len()).unwrap());
    }
}
