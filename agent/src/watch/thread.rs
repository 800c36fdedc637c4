//! Main loop of the watcher thread: waits for events, scans, answers commands, and publishes snapshots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rta_shared::config::HostConfig;
use rta_shared::report::{ScanFigures, WatchMode, WatchStatus};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};

use super::connector::{Connector, Read};
use super::deaths::Deaths;
use super::event::ProcessEvent;
use super::listing::Listing;
use super::tracker::{Occasion, Tracker};
use super::{Command, Matches, Sight, WatchOptions};
use crate::process_matcher::ProcessMatcher;
use crate::procfs::ListedProcess;
use crate::run_history::ExitStatuses;
use crate::visibility;

/// Interval between two published snapshots; without events also between two checks for new processes.
const BEAT: Duration = Duration::from_secs(1);
/// Minimum time before the next full scan after events were lost, or after the processes could not be read.
const REST: Duration = Duration::from_secs(1);
/// Number of beats between two checks of the matched processes, with events.
const VERIFIED: u32 = 5;
/// Number of processes that a full scan checks before it reads events: some tenths of a millisecond.
const CHUNK: usize = 64;

pub(super) struct Thread {
    config: Arc<HostConfig>,
    period: Duration,
    commands: mpsc::Receiver<Command>,
    bell: Arc<OwnedFd>,
    publisher: watch::Sender<Option<Arc<Sight>>>,
    /// Exit statuses of processes.
    statuses: ExitStatuses,
    /// `None` if /proc could not be opened.
    inspector: Option<ProcessMatcher>,
    tracker: Tracker,
    source: Source,
    /// Reason why no events are used.
    fallback: Option<String>,
    /// Reused buffer.
    listed: Vec<ListedProcess>,
    /// Reason why the processes cannot be read; `None` if they can.
    blind: Option<String>,
    figures: ScanFigures,
    overruns: u64,
    differences: u64,
    /// Time at which the last full scan ended.
    last_scan: Instant,
    /// True if events were lost since the last full scan began.
    is_lost: bool,
    /// True if changes that the running full scan finds are explained by lost events.
    is_excused: bool,
    next_scan: Instant,
    next_beat: Instant,
    beats: u32,
    /// False while the table is filled for the first time; it is not published then.
    is_filled: bool,
}

/// Source of changes between full scans.
enum Source {
    Events(Connector),
    Scans { listing: Listing, deaths: Deaths },
}

impl Thread {
    pub(super) fn new(
        config: Arc<HostConfig>,
        options: WatchOptions,
        commands: mpsc::Receiver<Command>,
        bell: Arc<OwnedFd>,
        publisher: watch::Sender<Option<Arc<Sight>>>,
        statuses: ExitStatuses,
    ) -> Self {
        let opened = match options.events {
            true => Connector::open(),
            false => Err("the agent was told to scan".to_owned()),
        };
        let (source, fallback) = match opened {
            Ok(connector) => (Source::Events(connector), None),
            Err(reason) => (Source::scans(), Some(reason)),
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
            bell,
            publisher,
            statuses,
            inspector: None,
            tracker: Tracker::default(),
            source,
            fallback,
            listed: Vec::new(),
            blind: None,
            figures: ScanFigures {
                scanned_at: zero,
                duration: Duration::ZERO,
                processes_seen: 0,
                seen_at: zero,
            },
            overruns: 0,
            differences: 0,
            last_scan: now,
            is_lost: false,
            is_excused: false,
            next_scan: now,
            next_beat: now,
            beats: 0,
            is_filled: false,
        }
    }

    /// Runs until the last handle is dropped.
    pub(super) fn run(mut self) {
        loop {
            if Instant::now() >= self.next_scan {
                self.scan();
            }
            let now = Instant::now();
            if now >= self.next_beat {
                self.next_beat = now + BEAT;
                self.pass();
                self.verify(now);
                self.publish();
            }
            self.settle_due();
            self.publish_changes();
            self.wait();
            self.take_in();
            loop {
                match self.commands.try_recv() {
                    Ok(command) => self.obey(command),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        if let Command::Scan(answer) | Command::Glance(answer) = &command
            && answer.is_closed()
        {
            // The requester has given up, perhaps while /proc hung.
            return;
        }
        let answer = match command {
            Command::Scan(answer) => {
                self.scan();
                answer
            }
            Command::Glance(answer) => {
                self.pass();
                if let Some(inspector) = &mut self.inspector {
                    self.tracker.review(inspector);
                }
                answer
            }
            Command::Configure(config, answer) => {
                if let Some(inspector) = &mut self.inspector {
                    inspector.configure(&config);
                }
                self.config = config;
                self.tracker.clear();
                self.is_filled = false;
                self.scan();
                answer
            }
        };
        let sight = self.publish();
        // The requester may have gone.
        let _ = answer.send(sight);
    }

    /// Waits for an event, a command, or the next due time.
    fn wait(&mut self) {
        let next = self.next_scan.min(self.next_beat);
        let next = self.tracker.next_due().map_or(next, |due| due.min(next));
        let Ok(timeout) = Timespec::try_from(next.saturating_duration_since(Instant::now())) else { return };
        let mut watched = vec![PollFd::new(&self.bell, PollFlags::IN)];
        match &self.source {
            Source::Events(connector) => watched.push(PollFd::new(connector, PollFlags::IN)),
            Source::Scans { deaths, .. } => {
                watched.extend(deaths.watched());
            }
        }
        // An error such as EINTR ends the wait early.
        let _ = poll(&mut watched, Some(&timeout));
        // Fails if no command was signalled.
        let _ = rustix::io::read(&*self.bell, &mut [0; 8]);
    }

    /// Processes all events or exits since the last call.
    fn take_in(&mut self) {
        match self.source {
            Source::Events(_) => self.take_in_events(),
            Source::Scans { .. } => self.take_in_deaths(),
        }
    }

    fn take_in_events(&mut self) {
        let now = Instant::now();
        let Self { tracker, inspector, statuses, .. } = self;
        let Source::Events(connector) = &mut self.source else { return };
        // If the processes cannot be read, events are read nevertheless, and dropped.
        let read = connector.read(|event| {
            if let ProcessEvent::Exit { pid, status } = event {
                // Recorded before the end of the process is noticed.
                statuses.note(pid, status);
            }
            if let Some(inspector) = inspector {
                tracker.event(event, now, inspector);
            }
        });
        match read {
            Ok(Read::All) => {}
            Ok(Read::Lost) => {
                self.overruns += 1;
                self.is_lost = true;
                self.is_excused = true;
                self.tracker.excuse();
                self.next_scan = self.next_scan.min(now.max(self.last_scan + REST));
                tracing::warn!("the kernel's events came too fast and some were lost; a full scan follows");
            }
            Err(error) => {
                let reason = format!("the kernel's process events broke off: {error}");
                tracing::error!(reason, "following the host by scans");
                self.source = Source::scans();
                self.fallback = Some(reason);
                self.next_scan = now;
            }
        }
    }

    fn take_in_deaths(&mut self) {
        let Source::Scans { deaths, .. } = &mut self.source else { return };
        let is_any_dead = !deaths.take().is_empty();
        // Recorded before the end of the processes is noticed.
        for (pid, status) in deaths.exit_statuses() {
            self.statuses.note(pid, status);
        }
        // A daemon may have left a child in its place, so new processes are checked first.
        if is_any_dead {
            self.pass();
        }
    }

    /// Runs a full scan.
    fn scan(&mut self) {
        let began = Instant::now();
        self.is_excused = std::mem::take(&mut self.is_lost);
        self.blind = visibility::find_hidepid_problem().or_else(|| self.look_at_all().err());
        if self.blind.is_some() {
            self.inspector = None;
            self.tracker.clear();
            self.is_filled = false;
            if let Source::Scans { listing, deaths } = &mut self.source {
                (*listing, *deaths) = (Listing::default(), Deaths::default());
            }
        }
        let ended = Instant::now();
        self.figures.duration = ended - began;
        self.figures.scanned_at = Timestamp::now();
        self.figures.seen_at = self.figures.scanned_at;
        self.last_scan = ended;
        // Events that were lost during the scan require another one.
        let soon = self.is_lost || self.blind.is_some();
        self.next_scan = ended + if soon { REST } else { self.period };
    }

    fn look_at_all(&mut self) -> Result<(), String> {
        let told = |error| format!("cannot see the processes: /proc cannot be read: {error}");
        if self.inspector.is_none() {
            self.inspector = Some(ProcessMatcher::new(&self.config).map_err(told)?);
        }
        // New processes are checked first, so that the scan does not count them as missed.
        self.pass();
        let mut listed = std::mem::take(&mut self.listed);
        let outcome = self.inspector.as_mut().map_or(Ok(()), |inspector| inspector.list(&mut listed));
        self.figures.processes_seen = u32::try_from(listed.len()).unwrap_or(u32::MAX);
        self.tracker.begin_scan();
        for chunk in listed.chunks(CHUNK) {
            let now = Instant::now();
            for listed in chunk {
                let occasion = self.occasion(*listed, now);
                if let Some(inspector) = &mut self.inspector {
                    self.tracker.see(listed.pid, occasion, inspector);
                }
            }
            // Exits are reported at once, and the kernel's buffer does not fill.
            self.take_in();
            self.publish_changes();
        }
        let now = Instant::now();
        let occasion = match &mut self.source {
            Source::Events(_) if self.is_filled && !self.is_excused => Occasion::Scan(now),
            Source::Events(_) => Occasion::News,
            Source::Scans { listing, .. } => {
                if !self.is_filled {
                    listing.update(&listed, now, |_| {});
                }
                // Exits are reported by pidfds, perhaps a moment later.
                Occasion::News
            }
        };
        if let Some(inspector) = &mut self.inspector {
            self.tracker.end_scan(occasion, inspector);
        }
        self.listed = listed;
        outcome.map_err(told)?;
        self.hold_matched();
        self.is_filled = true;
        Ok(())
    }

    /// Returns the occasion for a process in a full scan: a change that should have been noticed before
    /// counts as missed.
    fn occasion(&self, listed: ListedProcess, now: Instant) -> Occasion {
        let is_known = match &self.source {
            Source::Events(_) => true,
            Source::Scans { listing, .. } => {
                self.tracker.process(listed.pid).is_none() && listing.is_settled(listed, now)
            }
        };
        if self.is_filled && !self.is_excused && is_known { Occasion::Scan(now) } else { Occasion::News }
    }

    /// With events: re-checks matched processes every few beats, since the kernel may silently drop an event
    /// when it has no memory left.
    fn verify(&mut self, now: Instant) {
        let (Source::Events(_), Some(inspector)) = (&self.source, &mut self.inspector) else { return };
        self.beats += 1;
        match self.beats.is_multiple_of(VERIFIED) {
            true => self.tracker.verify(now, inspector),
            // No event reports that a process was stopped by a signal, or frozen.
            false => self.tracker.refresh(inspector),
        }
    }

    /// Without events: checks all processes that are new, young or matched.
    fn pass(&mut self) {
        let Source::Scans { listing, .. } = &mut self.source else { return };
        let Some(inspector) = self.inspector.as_mut().filter(|_| self.is_filled) else { return };
        if let Err(error) = inspector.list(&mut self.listed) {
            tracing::error!(%error, "/proc cannot be read");
            self.next_scan = Instant::now();
            return;
        }
        listing.update(&self.listed, Instant::now(), |pid| self.tracker.see(pid, Occasion::News, inspector));
        self.tracker.review(inspector);
        self.figures.seen_at = Timestamp::now();
        self.hold_matched();
    }

    /// Without events: holds a pidfd on each matched process.
    fn hold_matched(&mut self) {
        let Source::Scans { deaths, .. } = &mut self.source else { return };
        let Some(inspector) = &mut self.inspector else { return };
        let matched =
            self.tracker.watched().filter_map(|pid| self.tracker.process(pid)).map(|process| process.id);
        for pid in deaths.hold(matched) {
            self.statuses.forget(pid);
            self.tracker.see(pid, Occasion::News, inspector);
        }
    }

    fn settle_due(&mut self) {
        let Some(inspector) = &mut self.inspector else { return };
        for pid in self.tracker.due(Instant::now(), inspector) {
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

    fn publish(&mut self) -> Arc<Sight> {
        self.tracker.take_change();
        let mode = match &self.source {
            Source::Events(_) => WatchMode::Events,
            Source::Scans { .. } => WatchMode::Scans,
        };
        if mode == WatchMode::Events && self.blind.is_none() {
            self.figures.seen_at = Timestamp::now();
        }
        let sight = Arc::new(Sight {
            config: Arc::clone(&self.config),
            matches: match &self.blind {
                Some(reason) => Err(reason.clone()),
                None => Ok(Arc::new(self.matches())),
            },
            unreadable: self.tracker.unreadable_processes(),
            figures: self.figures,
            watch: WatchStatus {
                mode,
                fallback: self.fallback.clone(),
                overruns: self.overruns,
                differences: self.differences,
            },
        });
        self.publisher.send_replace(Some(Arc::clone(&sight)));
        sight
    }

    fn matches(&self) -> Matches {
        let components = &self.config.components;
        let mut matches: Matches =
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

impl Source {
    fn scans() -> Self {
        Self::Scans { listing: Listing::default(), deaths: Deaths::default() }
    }
}
