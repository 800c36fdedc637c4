//! Dead man's switch: requests an address as long as rta itself is well. The service at that address raises the
//! alarm when the requests stop.

use rta_shared::config::notify::DeadMansSwitch;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::SelfCheck;
use super::deliver::http;

/// Time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(10);

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
        let outcome = request(&rule).await.err();
        error.send_if_modified(|error| {
            let is_new = *error != outcome;
            *error = outcome;
            is_new
        });
    }
}

async fn request(rule: &DeadMansSwitch) -> Result<(), String> {
    let url = rule.url.read()?;
    let sending = async { http::send(http::client(rule.ca.as_deref(), TIMEOUT)?.get(url)).await };
    sending.await.map_err(|error| error.reason().to_owned())
}
