//! The netlink decoder survives any datagram, and says no more than a datagram of its size can hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rta_agent::watch::event::decode;

/// A netlink header, a connector header, and the shortest event: 16 bytes and one word.
const SHORTEST: usize = 16 + 20 + 16 + 4;

fuzz_target!(|datagram: &[u8]| {
    let mut told = 0;
    decode(datagram, |_| told += 1);
    assert!(told <= datagram.len().div_ceil(SHORTEST));
});
