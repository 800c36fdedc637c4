//! Notifications to systemd about a program that it supervises (`sd_notify(3)`); without systemd they have no
//! effect.

use std::time::Duration;

use sd_notify::NotifyState;

/// Notifies systemd that the program is ready.
pub(super) fn notify_ready() {
    notify(&[NotifyState::Ready]);
}

/// Notifies systemd that the program is ending.
pub(super) fn notify_stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Notifies systemd that the program works.
pub(super) fn notify_watchdog() {
    notify(&[NotifyState::Watchdog]);
}

/// Returns true if systemd restarts the program unless it receives watchdog notifications regularly.
pub(super) fn has_watchdog() -> bool {
    sd_notify::watchdog_enabled().is_some_and(|period| period > Duration::ZERO)
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd cannot be notified");
    }
}
