//! Dead man's switch: requests an address as long as rta itself is well. The service at that address raises
//! the alarm when the requests stop.

use rta_shared::config::notify::DeadMansSwitch;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::SelfCheck;
use super::deliver::request_switch;

/// Requests the address at its interval while `check` finds nothing. Publishes why it cannot be reached.
pub(crate) async fn run_switch(rule: DeadMansSwitch, check: SelfCheck, error: watch::Sender<Option<String>>) {
    let mut ticks = interval(rule.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(reason) = check() {
            tracing::warn!(reason, "the dead man's switch is not served: rta itself is not well");
            continue;
        }
        let outcome = request_switch(&rule).await.err().map(|error| error.reason().to_owned());
        error.send_if_modified(|error| {
            let is_new = *error != outcome;
            *error = outcome;
            is_new
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use rta_shared::config::notify::SecretText;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn requests_stop_while_rta_is_not_well() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&served);
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
                stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
            }
        });
        // Two checks find nothing, ten find something, and the others nothing again.
        let (checks, before) = (AtomicUsize::new(0), Arc::clone(&served));
        let check: SelfCheck = Arc::new(move || match checks.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Ok(()),
            at @ 2..12 => {
                assert_eq!(before.load(Ordering::SeqCst), 2, "at check {at}");
                Err("the disk is full".to_owned())
            }
            _ => Ok(()),
        });
        let rule =
            DeadMansSwitch { url: SecretText::plain(&url), interval: Duration::from_millis(5), ca: None };
        let (error, _) = watch::channel(None);
        let switch = tokio::spawn(run_switch(rule, check, error));
        while served.load(Ordering::SeqCst) < 4 {
            assert!(!switch.is_finished(), "a check failed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        switch.abort();
        server.abort();
    }
}
