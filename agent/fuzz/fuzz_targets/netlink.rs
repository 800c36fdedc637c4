//! Checks that the netlink decoder survives any datagram, and returns no more events than its size can
//! contain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rta_agent::watch::netlink::decode;

/// Shortest event: a netlink header, a connector header, 16 bytes and one word.
const SHORTEST: usize = 16 + 20 + 16 + 4;

fuzz_target!(|datagram: &[u8]| {
    let mut events = 0;
    decode(datagram, |_| events += 1);
    assert!(events <= datagram.len().div_ceil(SHORTEST));
});
