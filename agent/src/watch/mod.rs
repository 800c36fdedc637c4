//! Following the host's processes: a thread of its own keeps the table of matched processes true, and
//! publishes it whenever it changes.
//!
//! | module | holds |
//! |---|---|
//! | [`event`] | decoding what the kernel tells; pure |
//! | `connector` | the socket on which it tells |
//! | `listing` | what a listing of /proc shows that is new; pure |
//! | `deaths` | pidfds, which tell of deaths where the kernel tells nothing else |
//! | `exit_info` | how a process ended, by its pidfd |
//! | `tracker` | which processes are the components'; pure |
//! | `unseen` | what a look does not show, as sentences; pure |
//! | `thread` | the loop that drives all these |

mod connector;
mod deaths;
pub mod event;
mod exit_info;
mod listing;
mod thread;
mod tracker;
mod unseen;

use std::sync::Arc;
use std::time::Duration;

use rta_shared::config::HostConfig;
use rta_shared::process::Process;
use rta_shared::report::{ScanFigures, Watch};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use tokio::sync::{mpsc, oneshot, watch};

use self::thread::Thread;
pub(crate) use self::unseen::Unseen;
use crate::gone::Gone;
use crate::run_history::ExitStatuses;

/// How many commands may wait: each action asks one question at a time, and so does each caller of a report.
const COMMANDS: usize = 128;

/// How the agent follows its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// From the end of one full scan to the next that nobody asked for.
    pub period: Duration,
    /// Whether the kernel's events are used where they can be had.
    pub events: bool,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { period: Duration::from_secs(30), events: true }
    }
}

/// For each part of each component its processes.
pub(crate) type Matches = Vec<Vec<Vec<Process>>>;

/// What is known of the host's processes at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    /// The configuration that it is of.
    pub(crate) config: Arc<HostConfig>,
    /// The matched processes, or why they cannot be seen.
    pub(crate) matches: Result<Arc<Matches>, String>,
    /// What could not be seen of them.
    pub(crate) unseen: Unseen,
    pub(crate) figures: ScanFigures,
    pub(crate) watch: Watch,
}

/// What the thread is asked.
enum Command {
    /// A full scan.
    Scan(oneshot::Sender<Arc<Sight>>),
    /// What is true now, without a full scan.
    Glance(oneshot::Sender<Arc<Sight>>),
    /// Replaces the configuration.
    Configure(Arc<HostConfig>, oneshot::Sender<Arc<Sight>>),
}

/// A handle on the thread; it ends with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Watcher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` only while it is dropped.
    commands: Option<mpsc::Sender<Command>>,
    /// Wakes the thread for a command.
    bell: Arc<OwnedFd>,
}

impl Watcher {
    /// Begins to follow the components of `config`; what is known of them comes on the channel, first `None`. How processes
    /// ended is noted in `statuses`, where the kernel tells it.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub(crate) fn start(
        config: Arc<HostConfig>,
        options: WatchOptions,
        statuses: ExitStatuses,
    ) -> std::io::Result<(Self, watch::Receiver<Option<Arc<Sight>>>)> {
        let (commands, asked) = mpsc::channel(COMMANDS);
        let (publisher, sights) = watch::channel(None);
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let heard = Arc::clone(&bell);
        let thread = std::thread::Builder::new().name("watch".to_owned());
        // Not joined: a thread that hangs in a read of /proc must not hold up the end.
        thread.spawn(move || Thread::new(config, options, asked, heard, publisher, statuses).run())?;
        Ok((Self(Arc::new(Inner { commands: Some(commands), bell })), sights))
    }

    /// What a full scan that begins now sees.
    pub(crate) async fn scan(&self) -> Result<Arc<Sight>, Gone> {
        self.ask(Command::Scan).await
    }

    /// What is true now of all that matched a moment ago, and of all that is new.
    pub(crate) async fn glance(&self) -> Result<Arc<Sight>, Gone> {
        self.ask(Command::Glance).await
    }

    /// Works by another configuration from now on; what a full scan sees by it.
    pub(crate) async fn configure(&self, config: Arc<HostConfig>) -> Result<Arc<Sight>, Gone> {
        self.ask(|answer| Command::Configure(config, answer)).await
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Arc<Sight>>) -> Command,
    ) -> Result<Arc<Sight>, Gone> {
        let (answer, sight) = oneshot::channel();
        let commands = self.0.commands.as_ref().ok_or(Gone)?;
        commands.send(command(answer)).await.map_err(|_| Gone)?;
        self.0.ring();
        sight.await.map_err(|_| Gone)
    }
}

impl Inner {
    fn ring(&self) {
        // It fails only where the counter is full: the thread has been woken then.
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The thread ends when it finds nobody left to ask.
        self.commands = None;
        self.ring();
    }
}
