//! Listening TCP sockets of a process, from /proc/PID/fd and the tables of its network namespace.

use std::collections::HashMap;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use crate::host::procfs::ProcessDir;

/// State of a listening socket in the tables (`TCP_LISTEN` in the kernel's include/net/tcp_states.h).
const LISTEN: &str = "0A";

/// Returns the inodes of the sockets that the process has open.
///
/// # Errors
/// Returns an error if its descriptors cannot be read, mostly because it belongs to another user.
pub(crate) fn socket_inodes(process: &ProcessDir) -> Result<Vec<u64>, Errno> {
    let descriptors = process.descriptors()?;
    // A descriptor that was closed meanwhile has no link.
    Ok(descriptors
        .into_iter()
        .filter_map(|descriptor| socket_inode(&process.link(&format!("fd/{descriptor}")).ok()?))
        .collect())
}

/// Returns the inode in the target of a descriptor's link, if that is a socket: `socket:[1234]`.
fn socket_inode(target: &[u8]) -> Option<u64> {
    let inode = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(inode).ok()?.parse().ok()
}

/// Adds the listening sockets of the process's network namespace, with their addresses, by inode. A table
/// that cannot be read adds none: without IPv6 there is no second one.
pub(crate) fn add_listening_sockets(process: &ProcessDir, sockets: &mut HashMap<u64, SocketAddr>) {
    for table in ["net/tcp", "net/tcp6"] {
        let mut text = String::new();
        if process.open(table).is_ok_and(|mut file| file.read_to_string(&mut text).is_ok()) {
            sockets.extend(text.lines().filter_map(listening_socket));
        }
    }
}

/// Parses a line of a table: the inode and address of a listening socket, `None` for everything else.
fn listening_socket(line: &str) -> Option<(u64, SocketAddr)> {
    let mut fields = line.split_ascii_whitespace();
    // After the number of the line: local address, remote address, state, five more, inode.
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    (state == LISTEN).then_some(())?;
    let (address, port) = local.split_once(':')?;
    Some((inode, SocketAddr::new(ip_address(address)?, u16::from_str_radix(port, 16).ok()?)))
}

/// Parses an address: one or four words, each with its bytes in network order, printed as a number of this
/// machine.
fn ip_address(words: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(words.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match words.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Some(IpAddr::from(bytes))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints the bytes of an address as the kernel does on this machine.
    fn printed(bytes: &[u8]) -> String {
        let words = bytes.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap()));
        words.map(|word| format!("{word:08X}")).collect()
    }

    #[test]
    fn listening_sockets_of_both_tables_are_parsed_and_no_others() {
        let line = |address: &[u8], state: &str| {
            format!(
                "   7: {}:1F90 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 \
                 4711 1 0000000000000000 100 0 0 10 0",
                printed(address)
            )
        };
        let v4 = line(&[127, 0, 0, 1], "0A");
        assert_eq!(listening_socket(&v4), Some((4711, "127.0.0.1:8080".parse().unwrap())));
        let mut address = [0; 16];
        (address[0], address[1], address[15]) = (0x20, 0x01, 0x05);
        let v6 = line(&address, "0A");
        assert_eq!(listening_socket(&v6), Some((4711, "[2001::5]:8080".parse().unwrap())));
        assert_eq!(listening_socket(&line(&[127, 0, 0, 1], "01")), None, "an established connection");
        let heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  \
                       timeout inode";
        for other in [heading, "", "0: zz:1F90 0 0A 0 0 0 0 0 1", "0: 0100007F:1F90 00000000:0000 0A"] {
            assert_eq!(listening_socket(other), None, "{other}");
        }
    }

    #[test]
    fn only_links_to_sockets_have_an_inode() {
        assert_eq!(socket_inode(b"socket:[4711]"), Some(4711));
        for other in ["/tmp/socket:[4711]", "pipe:[4711]", "socket:[]", "anon_inode:[eventpoll]"] {
            assert_eq!(socket_inode(other.as_bytes()), None, "{other}");
        }
    }
}
