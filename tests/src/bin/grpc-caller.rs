//! Calls gRPC methods over a Unix socket, for tests that need a caller with another user ID.
//! `grpc-caller SOCKET METHOD...` prints the outcome of each call on a line.

use std::path::Path;

use rta_tests::{call_method, socket_channel};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let socket = arguments.next().unwrap_or_default();
    let channel = socket_channel(Path::new(&socket));
    for method in arguments {
        println!("{:?}", call_method(&channel, &method, None).await);
    }
}
