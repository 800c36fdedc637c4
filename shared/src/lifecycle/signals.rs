//! Ends a program on SIGTERM or SIGINT within a few seconds, whatever hangs.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::systemd;

/// Time limit for an orderly shutdown. Together with writing the last log lines it is below the 5 s after
/// which people and their scripts lose patience.
pub const MAX_SHUTDOWN: Duration = Duration::from_secs(4);

/// Cancels `shutdown` on SIGTERM or SIGINT. [`MAX_SHUTDOWN`] after `shutdown` was cancelled, by whatever
/// cause, calls `end_now`, which must end the process because its orderly shutdown hangs.
///
/// The signals are handled in a thread with its own runtime, so that a blocked runtime of the program delays
/// nothing. The handlers are installed when this returns.
///
/// # Errors
/// Returns an error if the handlers cannot be installed.
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
        tokio::time::sleep(MAX_SHUTDOWN).await;
    };
    // Not joined: it ends with the process.
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(wait);
        end_now();
    })?;
    Ok(())
}
