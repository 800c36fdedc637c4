//! Owned tasks: none ends unnoticed, and important ones prove their progress by a heartbeat.
//!
//! A task that panics leaves its part of the program in its last state forever. So every long-running task is
//! spawned here: if one panics, or ends before the program does, [`OwnedTasks::failed`] resolves, the program
//! ends with its message, and its supervisor restarts it.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::systemd;
use crate::impairment::{ImpairedPart, ImpairmentList};
use crate::logging;

/// Interval between two checks of the heartbeats. Misses are counted in these steps, not in seconds, so that
/// a suspended program is not late.
const STEP: Duration = Duration::from_secs(1);
/// Number of steps without a heartbeat after which a task counts as stalled.
const STALLED: u32 = 10;
/// Number of steps without a heartbeat after which the program ends.
const GIVEN_UP: u32 = 60;

/// The long-running tasks of a program; clones share them.
#[derive(Clone, Debug)]
pub struct OwnedTasks(Arc<TaskSet>);

#[derive(Debug)]
struct TaskSet {
    shutdown: CancellationToken,
    /// Reason why the program must end.
    failure: watch::Sender<Option<String>>,
    heartbeats: Mutex<Vec<WatchedTask>>,
}

/// Heartbeat with the result of its last check.
#[derive(Debug)]
struct WatchedTask {
    name: &'static str,
    beats: Heartbeat,
    /// Number of beats at the last check, and number of steps for which it has not changed.
    seen: u64,
    missed: u32,
}

/// Sign of life of a task; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// Proves that the task makes progress. It must be called at least once a second.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl OwnedTasks {
    /// Creates an empty set. Once `shutdown` is cancelled, tasks may end.
    pub fn new(shutdown: CancellationToken) -> Self {
        let failure = watch::Sender::new(None);
        Self(Arc::new(TaskSet { shutdown, failure, heartbeats: Mutex::default() }))
    }

    /// Spawns a task that runs until the shutdown, when it is dropped. The program fails if the task panics
    /// or ends before.
    pub fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let shutdown = self.0.shutdown.clone();
        self.spawn_to_end(name, async move {
            shutdown.run_until_cancelled_owned(task).await;
        })
    }

    /// Spawns a task that ends by itself at the shutdown. The program fails if the task panics or ends
    /// before.
    pub fn spawn_to_end(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let guard = self.guard(name);
        tokio::spawn(async move {
            let _guard = guard;
            task.await;
        })
    }

    /// Creates the guard of a task or thread that is spawned elsewhere. The program fails if the guard is
    /// dropped by a panic, or before the shutdown.
    pub fn guard(&self, name: &'static str) -> TaskGuard {
        TaskGuard { tasks: self.clone(), name, may_end: false }
    }

    /// Creates the heartbeat of a task, which must beat from now on.
    pub fn heartbeat(&self, name: &'static str) -> Heartbeat {
        let beats = Heartbeat::default();
        self.heartbeats().push(WatchedTask { name, beats: beats.clone(), seen: 0, missed: 0 });
        beats
    }

    /// Resolves with the reason why the program must end, as a sentence.
    pub async fn failed(&self) -> String {
        let mut failure = self.0.failure.subscribe();
        let found = failure.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
        match found {
            Some(failure) => failure,
            // The sender lives as long as `self`.
            None => std::future::pending().await,
        }
    }

    /// Returns Ok if every task works.
    ///
    /// # Errors
    /// Returns a sentence if a task has failed or stalled.
    pub fn health(&self) -> Result<(), String> {
        if let Some(failure) = &*self.0.failure.borrow() {
            return Err(failure.clone());
        }
        let heartbeats = self.heartbeats();
        match heartbeats.iter().find(|watched| watched.missed >= STALLED) {
            Some(stalled) => Err(format!("{} has not responded for {} s", stalled.name, stalled.missed)),
            None => Ok(()),
        }
    }

    /// Notifies systemd that the program is ready, and checks heartbeats from now on, in a dedicated thread:
    /// it notifies systemd's watchdog while all tasks work, and reports failures to `impairments`.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be created.
    pub fn watch(&self, impairments: ImpairmentList) -> std::io::Result<()> {
        let tasks = self.clone();
        systemd::notify_ready();
        let thread = thread::Builder::new().name("liveness".to_owned());
        // Not joined: it ends with the shutdown.
        thread.spawn(move || {
            let guard = tasks.guard("the watch over the program's own tasks");
            let has_watchdog = systemd::has_watchdog();
            while !tasks.0.shutdown.is_cancelled() {
                thread::sleep(STEP);
                tasks.step();
                let health = tasks.health();
                if has_watchdog && health.is_ok() {
                    systemd::notify_watchdog();
                }
                impairments.set(ImpairedPart::Task, health.err());
                impairments.set(ImpairedPart::Log, logging::impairment());
            }
            drop(guard);
        })?;
        Ok(())
    }

    /// Checks whether each heartbeat has beaten since the last check. To be called each second for tasks that
    /// are not those of the whole program, which [`Self::watch`] checks.
    pub fn check_heartbeats(&self) {
        self.step();
    }

    /// Checks whether each heartbeat has beaten since the last step.
    fn step(&self) {
        let mut heartbeats = self.heartbeats();
        for watched in heartbeats.iter_mut() {
            let beats = watched.beats.0.load(Ordering::Relaxed);
            watched.missed = if beats == watched.seen { watched.missed.saturating_add(1) } else { 0 };
            watched.seen = beats;
            if watched.missed == GIVEN_UP {
                self.fail(format!("{} has not responded for {GIVEN_UP} s", watched.name));
            }
        }
    }

    fn heartbeats(&self) -> std::sync::MutexGuard<'_, Vec<WatchedTask>> {
        self.0.heartbeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, failure: String) {
        tracing::error!(failure, "the program cannot go on and ends");
        self.0.failure.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(failure);
            is_first
        });
    }
}

/// Guard of an owned task or thread: dropping it by a panic, or too early, fails the program.
#[derive(Debug)]
pub struct TaskGuard {
    tasks: OwnedTasks,
    name: &'static str,
    may_end: bool,
}

impl TaskGuard {
    /// Allows the task to end before the program does; from now on only a panic fails the program.
    pub fn may_end(mut self) -> Self {
        self.may_end = true;
        self
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.tasks.fail(format!("{} panicked (its message is in the log)", self.name));
        } else if !self.may_end && !self.tasks.0.shutdown.is_cancelled() {
            self.tasks.fail(format!("{} ended unexpectedly", self.name));
        }
    }
}

/// Runs blocking `work` outside the runtime, and propagates its panic to the caller.
pub async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is ending, and the caller with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> (OwnedTasks, CancellationToken) {
        let shutdown = CancellationToken::new();
        (OwnedTasks::new(shutdown.clone()), shutdown)
    }

    #[tokio::test]
    async fn panic_of_an_owned_task_fails_the_program_with_its_name() {
        let (tasks, _shutdown) = tasks();
        assert_eq!(tasks.health(), Ok(()));
        tasks.spawn("the state actor", async { panic!("no way") });
        assert_eq!(tasks.failed().await, "the state actor panicked (its message is in the log)");
        assert!(tasks.health().is_err());
    }

    #[tokio::test]
    async fn early_end_of_an_owned_task_fails_the_program() {
        let (tasks, _shutdown) = tasks();
        tasks.spawn("the follower", async {});
        assert_eq!(tasks.failed().await, "the follower ended unexpectedly");
    }

    #[tokio::test]
    async fn panic_of_blocking_work_is_passed_on() {
        let (tasks, _shutdown) = tasks();
        tasks.spawn("the reader", async { run_blocking(|| panic!("disk")).await });
        assert_eq!(tasks.failed().await, "the reader panicked (its message is in the log)");
    }

    #[tokio::test]
    async fn tasks_may_end_at_the_shutdown_and_finite_ones_before() {
        let (tasks, shutdown) = tasks();
        let finite = tasks.guard("a connection").may_end();
        let task = tasks.spawn("the server", std::future::pending());
        drop(finite);
        assert_eq!(tasks.health(), Ok(()));
        shutdown.cancel();
        task.await.unwrap();
        assert_eq!(tasks.health(), Ok(()));
    }

    #[test]
    fn panic_of_an_owned_thread_fails_the_program() {
        let (tasks, _shutdown) = tasks();
        let guard = tasks.guard("the store's thread");
        let thread = thread::spawn(move || {
            let _guard = guard;
            panic!("no way");
        });
        assert!(thread.join().is_err());
        assert!(tasks.health().unwrap_err().starts_with("the store's thread panicked"));
    }

    #[tokio::test]
    async fn stalled_task_is_unhealthy_and_in_the_end_fails_the_program() {
        let (tasks, _shutdown) = tasks();
        let (stalled, alive) = (tasks.heartbeat("the state actor"), tasks.heartbeat("the other"));
        stalled.beat();
        let step = || {
            alive.beat();
            tasks.step();
        };
        (0..STALLED).for_each(|_| step());
        assert_eq!(tasks.health(), Ok(()));
        step();
        assert_eq!(tasks.health(), Err("the state actor has not responded for 10 s".to_owned()));
        stalled.beat();
        step();
        assert_eq!(tasks.health(), Ok(()));
        (0..GIVEN_UP).for_each(|_| step());
        assert_eq!(tasks.failed().await, "the state actor has not responded for 60 s");
    }
}
