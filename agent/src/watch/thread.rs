//! Main loop of the watcher thread: waits for events, scans, answers commands, and publishes snapshots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rta_shared::config::HostConfig;
use rta_shared::report::{ScanFigures, WatchMode, WatchStatus};
use rta_shared::timing::HEARTBEAT_INTERVAL;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};

use super::connector::{EventRead, ProcessConnector};
use super::exit_pidfds::ExitPidfds;
use super::netlink::ProcessEvent;
use super::new_processes::NewProcesses;
use super::tracker::{ChangeOrigin, Tracker};
use super::{ComponentMatches, WatchCommand, WatchOptions, WatchSnapshot};
use crate::host::process_matcher::ProcessMatcher;
use crate::host::procfs::ListedProcess;
use crate::host::visibility;
use crate::run_history::ExitStatuses;

/// Minimum time before the next full scan after events were lost, or after the processes could not be read.
const RESCAN_DELAY: Duration = Duration::from_secs(1);
/// Number of beats between two checks of the matched processes, with events.
const VERIFY_HEARTBEATS: u32 = 5;
/// Number of processes that a full scan checks before it reads events: some tenths of a millisecond.
const SCAN_CHUNK: usize = 64;

pub(super) struct WatchThread {
    config: Arc<HostConfig>,
    period: Duration,
    commands: mpsc::Receiver<WatchCommand>,
    wakeup: Arc<OwnedFd>,
    publisher: watch::Sender<Option<Arc<WatchSnapshot>>>,
    /// Exit statuses of processes.
    exit_statuses: ExitStatuses,
    /// `None` if /proc could not be opened.
    matcher: Option<ProcessMatcher>,
    tracker: Tracker,
    source: ChangeSource,
    /// Reason why no events are used.
    fallback_reason: Option<String>,
    /// Reused buffer.
    listed: Vec<ListedProcess>,
    /// Reason why the processes cannot be read; `None` if they can.
    unreadable_reason: Option<String>,
    figures: ScanFigures,
    overruns: u64,
    differences: u64,
    /// Time at which the last full scan ended.
    last_scan: Instant,
    /// True if events were lost since the last full scan began.
    events_lost: bool,
    /// True if changes that the running full scan finds are explained by lost events.
    changes_explained: bool,
    next_scan: Instant,
    next_heartbeat: Instant,
    heartbeats: u32,
    /// False while the table is filled for the first time; it is not published then.
    is_filled: bool,
}

/// Source of changes between full scans.
enum ChangeSource {
    Events(ProcessConnector),
    Scans { new_processes: NewProcesses, exit_pidfds: ExitPidfds },
}

impl WatchThread {
    pub(super) fn new(
        config: Arc<HostConfig>,
        options: WatchOptions,
        commands: mpsc::Receiver<WatchCommand>,
        bell: Arc<OwnedFd>,
        publisher: watch::Sender<Option<Arc<WatchSnapshot>>>,
        statuses: ExitStatuses,
    ) -> Self {
        let opened = match options.events {
            true => ProcessConnector::open(),
            false => Err("the agent was told to scan".to_owned()),
        };
        let (source, fallback) = match opened {
            Ok(connector) => (ChangeSource::Events(connector), None),
            Err(reason) => (ChangeSource::scans(), Some(reason)),
        };
        match &fallback {
            None => tracing::info!("following the host by the kernel's process events"),
            Some(reason) => tracing::info!(reason, "following the host by scans"),
        }
        let now = Instant::now();
        let zero = Timestamp::UNIX_EPOCH;
        Self {
            config,
            period: options.period,
            commands,
            wakeup: bell,
            publisher,
            exit_statuses: statuses,
            matcher: None,
            tracker: Tracker::default(),
            source,
            fallback_reason: fallback,
            listed: Vec::new(),
            unreadable_reason: None,
            figures: ScanFigures {
                scanned_at: zero,
                duration: Duration::ZERO,
                processes_seen: 0,
                seen_at: zero,
            },
            overruns: 0,
            differences: 0,
            last_scan: now,
            events_lost: false,
            changes_explained: false,
            next_scan: now,
            next_heartbeat: now,
            heartbeats: 0,
            is_filled: false,
        }
    }

    /// Runs until the last handle is dropped.
    pub(super) fn run(mut self) {
        loop {
            if Instant::now() >= self.next_scan {
                self.full_scan();
            }
            let now = Instant::now();
            if now >= self.next_heartbeat {
                self.next_heartbeat = now + HEARTBEAT_INTERVAL;
                self.check_new_processes();
                self.verify(now);
                self.publish();
            }
            self.log_missed_changes();
            self.publish_changes();
            self.wait();
            self.process_changes();
            loop {
                match self.commands.try_recv() {
                    Ok(command) => self.handle_command(command),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
        }
    }

    fn handle_command(&mut self, command: WatchCommand) {
        if let WatchCommand::FullScan(answer) | WatchCommand::QuickCheck(answer) = &command
            && answer.is_closed()
        {
            // The requester has given up, perhaps while /proc hung.
            return;
        }
        let answer = match command {
            WatchCommand::FullScan(answer) => {
                self.full_scan();
                answer
            }
            WatchCommand::QuickCheck(answer) => {
                self.check_new_processes();
                if let Some(matcher) = &mut self.matcher {
                    self.tracker.recheck(matcher);
                }
                answer
            }
            WatchCommand::Configure(config, answer) => {
                if let Some(matcher) = &mut self.matcher {
                    matcher.configure(&config);
                }
                self.config = config;
                self.tracker.clear();
                self.is_filled = false;
                self.full_scan();
                answer
            }
        };
        let snapshot = self.publish();
        // The requester may have gone.
        let _ = answer.send(snapshot);
    }

    /// Waits for an event, a command, or the next due time.
    fn wait(&mut self) {
        let next = self.next_scan.min(self.next_heartbeat);
        let next = self.tracker.next_due().map_or(next, |due| due.min(next));
        let Ok(timeout) = Timespec::try_from(next.saturating_duration_since(Instant::now())) else { return };
        let mut watched = vec![PollFd::new(&self.wakeup, PollFlags::IN)];
        match &self.source {
            ChangeSource::Events(connector) => watched.push(PollFd::new(connector, PollFlags::IN)),
            ChangeSource::Scans { exit_pidfds, .. } => {
                watched.extend(exit_pidfds.poll_fds());
            }
        }
        // An error such as EINTR ends the wait early.
        let _ = poll(&mut watched, Some(&timeout));
        // Fails if no command was signalled.
        let _ = rustix::io::read(&*self.wakeup, &mut [0; 8]);
    }

    /// Processes all events or exits since the last call.
    fn process_changes(&mut self) {
        match self.source {
            ChangeSource::Events(_) => self.process_events(),
            ChangeSource::Scans { .. } => self.process_exits(),
        }
    }

    fn process_events(&mut self) {
        let now = Instant::now();
        let Self { tracker, matcher, exit_statuses: statuses, .. } = self;
        let ChangeSource::Events(connector) = &mut self.source else { return };
        // If the processes cannot be read, events are read nevertheless, and dropped.
        let read = connector.read(|event| {
            if let ProcessEvent::Exit { pid, status } = event {
                // Recorded before the end of the process is noticed.
                statuses.record_status(pid, status);
            }
            if let Some(matcher) = matcher {
                tracker.handle_event(event, now, matcher);
            }
        });
        match read {
            Ok(EventRead::All) => {}
            Ok(EventRead::Lost) => {
                self.overruns += 1;
                self.events_lost = true;
                self.changes_explained = true;
                self.tracker.explain_all();
                self.next_scan = self.next_scan.min(now.max(self.last_scan + RESCAN_DELAY));
                tracing::warn!("the kernel's events came too fast and some were lost; a full scan follows");
            }
            Err(error) => {
                let reason = format!("the kernel's process events broke off: {error}");
                tracing::error!(reason, "following the host by scans");
                self.source = ChangeSource::scans();
                self.fallback_reason = Some(reason);
                self.next_scan = now;
            }
        }
    }

    fn process_exits(&mut self) {
        let ChangeSource::Scans { exit_pidfds, .. } = &mut self.source else { return };
        let is_any_dead = !exit_pidfds.take_ended().is_empty();
        // Recorded before the end of the processes is noticed.
        for (pid, status) in exit_pidfds.exit_statuses() {
            self.exit_statuses.record_status(pid, status);
        }
        // A daemon may have left a child in its place, so new processes are checked first.
        if is_any_dead {
            self.check_new_processes();
        }
    }

    /// Runs a full scan.
    fn full_scan(&mut self) {
        let began = Instant::now();
        self.changes_explained = std::mem::take(&mut self.events_lost);
        self.unreadable_reason = visibility::find_hidepid_problem().or_else(|| self.scan_processes().err());
        if self.unreadable_reason.is_some() {
            self.matcher = None;
            self.tracker.clear();
            self.is_filled = false;
            if let ChangeSource::Scans { new_processes, exit_pidfds } = &mut self.source {
                (*new_processes, *exit_pidfds) = (NewProcesses::default(), ExitPidfds::default());
            }
        }
        let ended = Instant::now();
        self.figures.duration = ended - began;
        self.figures.scanned_at = Timestamp::now();
        self.figures.seen_at = self.figures.scanned_at;
        self.last_scan = ended;
        // Events that were lost during the scan require another one.
        let soon = self.events_lost || self.unreadable_reason.is_some();
        self.next_scan = ended + if soon { RESCAN_DELAY } else { self.period };
    }

    fn scan_processes(&mut self) -> Result<(), String> {
        let to_error = |error| format!("cannot see the processes: /proc cannot be read: {error}");
        if self.matcher.is_none() {
            self.matcher = Some(ProcessMatcher::new(&self.config).map_err(to_error)?);
        }
        // New processes are checked first, so that the scan does not count them as missed.
        self.check_new_processes();
        let mut listed = std::mem::take(&mut self.listed);
        let outcome = self.matcher.as_mut().map_or(Ok(()), |matcher| matcher.list(&mut listed));
        self.figures.processes_seen = u32::try_from(listed.len()).unwrap_or(u32::MAX);
        self.tracker.begin_scan();
        for chunk in listed.chunks(SCAN_CHUNK) {
            let now = Instant::now();
            for listed in chunk {
                let origin = self.change_origin(*listed, now);
                if let Some(matcher) = &mut self.matcher {
                    self.tracker.check_process(listed.pid, origin, matcher);
                }
            }
            // Exits are reported at once, and the kernel's buffer does not fill.
            self.process_changes();
            self.publish_changes();
        }
        let now = Instant::now();
        let origin = match &mut self.source {
            ChangeSource::Events(_) if self.is_filled && !self.changes_explained => {
                ChangeOrigin::FullScan(now)
            }
            ChangeSource::Events(_) => ChangeOrigin::Expected,
            ChangeSource::Scans { new_processes, .. } => {
                if !self.is_filled {
                    new_processes.update(&listed, now, |_| {});
                }
                // Exits are reported by pidfds, perhaps a moment later.
                ChangeOrigin::Expected
            }
        };
        if let Some(matcher) = &mut self.matcher {
            self.tracker.end_scan(origin, matcher);
        }
        self.listed = listed;
        outcome.map_err(to_error)?;
        self.watch_exits();
        self.is_filled = true;
        Ok(())
    }

    /// Returns the origin for a process in a full scan: a change that should have been noticed before
    /// counts as missed.
    fn change_origin(&self, listed: ListedProcess, now: Instant) -> ChangeOrigin {
        let is_known = match &self.source {
            ChangeSource::Events(_) => true,
            ChangeSource::Scans { new_processes, .. } => {
                self.tracker.process(listed.pid).is_none() && new_processes.is_settled(listed, now)
            }
        };
        if self.is_filled && !self.changes_explained && is_known {
            ChangeOrigin::FullScan(now)
        } else {
            ChangeOrigin::Expected
        }
    }

    /// With events: re-checks matched processes every few beats, since the kernel may silently drop an event
    /// when it has no memory left.
    fn verify(&mut self, now: Instant) {
        let (ChangeSource::Events(_), Some(matcher)) = (&self.source, &mut self.matcher) else { return };
        self.heartbeats += 1;
        match self.heartbeats.is_multiple_of(VERIFY_HEARTBEATS) {
            true => self.tracker.verify(now, matcher),
            // No event reports that a process was stopped by a signal, or frozen.
            false => self.tracker.refresh_suspensions(matcher),
        }
    }

    /// Without events: checks all processes that are new, young or matched.
    fn check_new_processes(&mut self) {
        let ChangeSource::Scans { new_processes, .. } = &mut self.source else { return };
        let Some(matcher) = self.matcher.as_mut().filter(|_| self.is_filled) else { return };
        if let Err(error) = matcher.list(&mut self.listed) {
            tracing::error!(%error, "/proc cannot be read");
            self.next_scan = Instant::now();
            return;
        }
        new_processes.update(&self.listed, Instant::now(), |pid| {
            self.tracker.check_process(pid, ChangeOrigin::Expected, matcher)
        });
        self.tracker.recheck(matcher);
        self.figures.seen_at = Timestamp::now();
        self.watch_exits();
    }

    /// Without events: holds a pidfd on each matched process.
    fn watch_exits(&mut self) {
        let ChangeSource::Scans { exit_pidfds, .. } = &mut self.source else { return };
        let Some(matcher) = &mut self.matcher else { return };
        let matched =
            self.tracker.tracked_pids().filter_map(|pid| self.tracker.process(pid)).map(|process| process.id);
        for pid in exit_pidfds.watch(matched) {
            self.exit_statuses.forget(pid);
            self.tracker.check_process(pid, ChangeOrigin::Expected, matcher);
        }
    }

    fn log_missed_changes(&mut self) {
        let Some(matcher) = &mut self.matcher else { return };
        for pid in self.tracker.check_due(Instant::now(), matcher) {
            self.differences += 1;
            let matched = self.tracker.process(pid).is_some();
            tracing::warn!(pid, matched, "a full scan found a change that nothing had told");
        }
    }

    fn publish_changes(&mut self) {
        if self.is_filled && self.tracker.take_change() {
            self.publish();
        }
    }

    fn publish(&mut self) -> Arc<WatchSnapshot> {
        self.tracker.take_change();
        let mode = match &self.source {
            ChangeSource::Events(_) => WatchMode::Events,
            ChangeSource::Scans { .. } => WatchMode::Scans,
        };
        if mode == WatchMode::Events && self.unreadable_reason.is_none() {
            self.figures.seen_at = Timestamp::now();
        }
        let snapshot = Arc::new(WatchSnapshot {
            config: Arc::clone(&self.config),
            matches: match &self.unreadable_reason {
                Some(reason) => Err(reason.clone()),
                None => Ok(Arc::new(self.matches())),
            },
            unreadable: self.tracker.unreadable_processes(),
            figures: self.figures,
            watch: WatchStatus {
                mode,
                fallback: self.fallback_reason.clone(),
                overruns: self.overruns,
                differences: self.differences,
            },
        });
        self.publisher.send_replace(Some(Arc::clone(&snapshot)));
        snapshot
    }

    fn matches(&self) -> ComponentMatches {
        let components = &self.config.components;
        let mut matches: ComponentMatches =
            components.iter().map(|component| vec![Vec::new(); component.parts.len()]).collect();
        for (process, parts) in self.tracker.matches() {
            for id in parts {
                let part = matches.get_mut(id.component).and_then(|component| component.get_mut(id.part));
                part.into_iter().for_each(|part| part.push(process.clone()));
            }
        }
        matches
    }
}

impl ChangeSource {
    fn scans() -> Self {
        Self::Scans { new_processes: NewProcesses::default(), exit_pidfds: ExitPidfds::default() }
    }
}
