//! Report stream of a simulated agent.

use std::time::Duration;

use futures::stream;
use rta_shared::proto::v1;
use rta_shared::proto::v1::watch_report_response::Event;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_stream::Stream;
use tonic::Status;

use super::{AgentBehaviour, HostClock};

/// Heartbeat interval of real agents.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Number of heartbeats after which real agents measure what is used.
const USAGE_BEATS: u32 = 5;

struct ReportStreamState {
    report: watch::Receiver<v1::Report>,
    behaviour: watch::Receiver<AgentBehaviour>,
    beats: Interval,
    count: u32,
    clock: HostClock,
    is_first: bool,
}

/// Returns what a real agent sends: its report now and after each change, heartbeats, and what is used.
pub(super) fn watch_report(
    report: watch::Receiver<v1::Report>,
    behaviour: watch::Receiver<AgentBehaviour>,
    clock: HostClock,
) -> impl Stream<Item = Result<v1::WatchReportResponse, Status>> + Send {
    let mut beats = interval(HEARTBEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = ReportStreamState { report, behaviour, beats, count: 0, clock, is_first: true };
    stream::unfold(start, |mut state| async move {
        let event = state.next_event().await?;
        Some((Ok(v1::WatchReportResponse { event: Some(event) }), state))
    })
}

impl ReportStreamState {
    /// Returns the next event; `None` if its behaviour ends the stream.
    async fn next_event(&mut self) -> Option<Event> {
        // The sender lives as long as the agents.
        self.behaviour.wait_for(|now| *now != AgentBehaviour::Hung).await.ok()?;
        let behaviour = *self.behaviour.borrow();
        if self.is_first {
            self.is_first = false;
            return Some(self.report_event(behaviour));
        }
        match behaviour {
            AgentBehaviour::Dead | AgentBehaviour::Flapping => return None,
            AgentBehaviour::Garbage => return Some(self.report_event(behaviour)),
            AgentBehaviour::Healthy | AgentBehaviour::Slow(_) | AgentBehaviour::Hung => {}
        }
        let mut died = self.behaviour.clone();
        tokio::select! {
            changed = self.report.changed() => changed.ok().map(|()| self.report_event(behaviour)),
            _ = self.beats.tick() => {
                self.count += 1;
                Some(if self.count.is_multiple_of(USAGE_BEATS) { self.usage_event() } else { self.heartbeat() })
            }
            _ = died.wait_for(|now| *now == AgentBehaviour::Dead) => None,
        }
    }

    fn report_event(&mut self, behaviour: AgentBehaviour) -> Event {
        let mut report = self.report.borrow_and_update().clone();
        if behaviour == AgentBehaviour::Garbage {
            // No such moment exists.
            report.seen_at = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: -1 });
        }
        Event::Report(report)
    }

    fn heartbeat(&self) -> Event {
        let now = Some(self.clock.now().into());
        Event::Heartbeat(v1::Heartbeat {
            scanned_at: now,
            seen_at: now,
            sent_at: now,
            ..v1::Heartbeat::default()
        })
    }

    fn usage_event(&self) -> Event {
        let report = self.report.borrow();
        let processes = report.components.iter().flat_map(|one| &one.processes);
        let processes = processes.map(|process| v1::ProcessUsage {
            pid: process.pid,
            cpu_percent: 1.5 + f64::from(self.count % 7),
            resident_bytes: 512 << 20,
            threads: 40,
            open_files: Some(200),
        });
        Event::Usage(v1::Usage {
            measured_at: Some(self.clock.now().into()),
            cpus: 8,
            load_1: 0.5,
            memory_total_bytes: 32 << 30,
            memory_available_bytes: 16 << 30,
            processes: processes.collect(),
            ..v1::Usage::default()
        })
    }
}
