//! Watches the host's processes: a separate thread keeps the table of matched processes current, and
//! publishes it on every change.
//!
//! | module | holds |
//! |---|---|
//! | [`netlink`] | decoder of the kernel's process events; pure |
//! | `connector` | socket that receives the events |
//! | `new_processes` | selection of new processes from a listing of /proc; pure |
//! | `exit_pidfds` | pidfds that report exits where no kernel events are available |
//! | `exit_info` | exit status of a process by its pidfd |
//! | `tracker` | table of the components' processes; pure |
//! | `thread` | loop that drives all of these |

mod connector;
mod exit_info;
mod exit_pidfds;
pub mod netlink;
mod new_processes;
mod thread;
mod tracker;

use std::sync::Arc;
use std::time::Duration;

use rta_shared::config::HostConfig;
use rta_shared::process::Process;
use rta_shared::report::{ScanFigures, WatchStatus};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use tokio::sync::{mpsc, oneshot, watch};

use self::thread::WatchThread;
use crate::host::unreadable_processes::UnreadableProcesses;
use crate::run_history::ExitStatuses;

/// Maximum number of queued commands: each action and each caller of a report sends one at a time.
const MAX_QUEUED_COMMANDS: usize = 128;

/// Settings of the watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// Time between the end of a full scan and the next periodic one.
    pub period: Duration,
    /// Uses the kernel's events if they are available.
    pub events: bool,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { period: Duration::from_secs(30), events: true }
    }
}

/// The task that should answer has ended, since the agent is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AgentStopped;

/// Processes of each part of each component.
pub(crate) type ComponentMatches = Vec<Vec<Vec<Process>>>;

/// Snapshot of the host's processes.
#[derive(Clone, Debug)]
pub(crate) struct WatchSnapshot {
    /// Configuration by which the processes were matched.
    pub(crate) config: Arc<HostConfig>,
    /// The matched processes, or the reason why the processes cannot be read.
    pub(crate) matches: Result<Arc<ComponentMatches>, String>,
    /// Processes that could not be read or classified.
    pub(crate) unreadable: UnreadableProcesses,
    pub(crate) figures: ScanFigures,
    pub(crate) watch: WatchStatus,
}

/// Command for the watcher thread.
enum WatchCommand {
    /// Runs a full scan.
    FullScan(oneshot::Sender<Arc<WatchSnapshot>>),
    /// Updates the snapshot without a full scan.
    QuickCheck(oneshot::Sender<Arc<WatchSnapshot>>),
    /// Replaces the configuration.
    Configure(Arc<HostConfig>, oneshot::Sender<Arc<WatchSnapshot>>),
}

/// Handle to the watcher thread, which ends with the last handle.
#[derive(Clone, Debug)]
pub(crate) struct Watcher(Arc<WatcherInner>);

#[derive(Debug)]
struct WatcherInner {
    /// `None` only while this is dropped.
    commands: Option<mpsc::Sender<WatchCommand>>,
    /// Eventfd that wakes the thread for a command.
    wakeup: Arc<OwnedFd>,
}

impl Watcher {
    /// Starts to watch the components of `config`. The receiver gets every snapshot, and `None` first. Exit
    /// statuses are recorded in `statuses` if the kernel provides them.
    ///
    /// # Errors
    /// Returns an error if the eventfd or the thread cannot be created.
    pub(crate) fn start(
        config: Arc<HostConfig>,
        options: WatchOptions,
        statuses: ExitStatuses,
    ) -> std::io::Result<(Self, watch::Receiver<Option<Arc<WatchSnapshot>>>)> {
        let (commands, asked) = mpsc::channel(MAX_QUEUED_COMMANDS);
        let (publisher, snapshots) = watch::channel(None);
        let wakeup = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let heard = Arc::clone(&wakeup);
        let thread = std::thread::Builder::new().name("watch".to_owned());
        // Not joined: a thread that hangs in a read of /proc must not delay the shutdown.
        thread.spawn(move || WatchThread::new(config, options, asked, heard, publisher, statuses).run())?;
        Ok((Self(Arc::new(WatcherInner { commands: Some(commands), wakeup })), snapshots))
    }

    /// Runs a full scan that begins now, and returns its snapshot.
    pub(crate) async fn full_scan(&self) -> Result<Arc<WatchSnapshot>, AgentStopped> {
        self.send_command(WatchCommand::FullScan).await
    }

    /// Re-checks the matched processes and looks for new ones, without a full scan.
    pub(crate) async fn quick_check(&self) -> Result<Arc<WatchSnapshot>, AgentStopped> {
        self.send_command(WatchCommand::QuickCheck).await
    }

    /// Applies a new configuration; returns the snapshot of a full scan with it.
    pub(crate) async fn configure(
        &self,
        config: Arc<HostConfig>,
    ) -> Result<Arc<WatchSnapshot>, AgentStopped> {
        self.send_command(|answer| WatchCommand::Configure(config, answer)).await
    }

    async fn send_command(
        &self,
        command: impl FnOnce(oneshot::Sender<Arc<WatchSnapshot>>) -> WatchCommand,
    ) -> Result<Arc<WatchSnapshot>, AgentStopped> {
        let (answer, snapshot) = oneshot::channel();
        let commands = self.0.commands.as_ref().ok_or(AgentStopped)?;
        commands.send(command(answer)).await.map_err(|_| AgentStopped)?;
        self.0.wake();
        snapshot.await.map_err(|_| AgentStopped)
    }
}

impl WatcherInner {
    fn wake(&self) {
        // Fails only if the counter is full: the thread has been woken then.
        let _ = rustix::io::write(&*self.wakeup, &1_u64.to_ne_bytes());
    }
}

impl Drop for WatcherInner {
    fn drop(&mut self) {
        // The thread ends when the command channel is closed.
        self.commands = None;
        self.wake();
    }
}
