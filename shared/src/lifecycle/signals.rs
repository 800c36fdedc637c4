//! Ending a program on SIGTERM or SIGINT, within a few seconds whatever hangs.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::systemd;

/// Time that an orderly end may take. Together with the last log lines it is less than the 5 s after which people, and
/// the scripts that they write, lose patience.
pub const LONGEST_END: Duration = Duration::from_secs(4);

/// Cancels `shutdown` on SIGTERM or SIGINT. `end_now` is called [`LONGEST_END`] after `shutdown` was cancelled, by
/// whatever: it is to end the process, whose orderly end hangs.
///
/// The signals are handled in a thread with a runtime of its own, so that a blocked runtime of the program holds up
/// nothing. They are caught when this returns.
///
/// # Errors
/// Returns an error if the signals cannot be caught.
pub fn end_on_signals(
    shutdown: CancellationToken,
    end_now: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _within = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let wait = async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("shutting down"),
            _ = interrupt.recv() => tracing::info!("shutting down"),
            () = shutdown.cancelled() => {}
        }
        systemd::notify_stopping();
        shutdown.cancel();
        tokio::time::sleep(LONGEST_END).await;
    };
    // Not joined: it ends with the process.
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(wait);
        end_now();
    })?;
    Ok(())
}
