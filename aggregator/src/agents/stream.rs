//! Follows an agent's report stream, and reconnects when it is lost.

use std::convert::Infallible;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::Timestamp;
use rta_shared::maintenance::Maintenance;
use rta_shared::prerequisite::RemotePrerequisite;
use rta_shared::proto::v1::watch_report_response::Event;
use rta_shared::proto::{ProtocolError, from_wire_time, v1};
use rta_shared::report::ScanFigures;
use rta_shared::timing::{MAX_AGENT_SILENCE, NOTICE_TIMEOUT, PREREQUISITES_INTERVAL};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tonic::{Code, Streaming};

use crate::agents::client::AgentClient;
use crate::clock::MessageReceipt;
use crate::leadership::LeaderEpoch;
use crate::pauses::{LastHeard, PauseWatch};
use crate::state::flapping::STABLE_AFTER;
use crate::state::host_state::AgentUpdate;
use crate::state::maintenance::MaintenanceSnapshot;
use crate::state::prerequisites::PrerequisitesByHost;

/// Delays between attempts to reach a lost agent: up to a second, so that it is back soon after it answers.
const MIN_RECONNECT_DELAY: Duration = Duration::from_millis(100);
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(1);
/// Maximum delay before an agent is followed again that answers and is lost over and over.
const MAX_FLAPPING_DELAY: Duration = Duration::from_secs(8);

/// Returns the delay before an agent is followed again whose last `short_streams` streams ended soon: a first
/// one may be a restart.
fn flapping_delay(short_streams: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(short_streams.saturating_sub(1));
    MIN_RECONNECT_DELAY.saturating_mul(doubled).min(MAX_FLAPPING_DELAY)
}

/// State that is sent to the agents, each the part of its own host.
#[derive(Clone, Debug)]
pub(crate) struct AgentNotices {
    pub(crate) maintenance: watch::Receiver<MaintenanceSnapshot>,
    pub(crate) prerequisites: watch::Receiver<PrerequisitesByHost>,
    /// Times in which this aggregator did not run.
    pub(crate) pauses: PauseWatch,
}

/// Decodes a heartbeat that is received now.
fn decode_heartbeat(heartbeat: v1::Heartbeat) -> Result<(ScanFigures, MessageReceipt), ProtocolError> {
    let receipt = MessageReceipt::now(heartbeat.sent_at.map(from_wire_time).transpose()?);
    Ok((heartbeat.try_into()?, receipt))
}

impl AgentClient {
    /// Follows the agent forever. Passes updates to `tell`, and sends the agent the parts of `notices` for
    /// its host. Passes one error for each lost stream or failed attempt.
    pub(crate) async fn follow_reports<F: Future<Output = ()>>(
        &self,
        tell: impl Fn(AgentUpdate) -> F,
        notices: &AgentNotices,
    ) {
        let _held = self.connection.hold();
        let waits = ExponentialBuilder::default()
            .with_min_delay(MIN_RECONNECT_DELAY)
            .with_max_delay(MAX_RECONNECT_DELAY)
            .with_jitter()
            .without_max_times();
        let mut wait = waits.build();
        let mut short_streams = 0;
        loop {
            let mut heard = false;
            let (began, last_heard) = (Instant::now(), LastHeard::new(notices.pauses.clone()));
            let reason = self.receive_reports(&mut heard, &last_heard, &tell, notices).await;
            if last_heard.is_excused() {
                tracing::debug!(host = %self.host, reason, "the stream is opened again after a pause");
                tokio::time::sleep(MIN_RECONNECT_DELAY).await;
                continue;
            }
            tracing::debug!(host = %self.host, agent = self.address, reason, "agent lost");
            tell(AgentUpdate::Lost(reason)).await;
            let delay = if heard {
                wait = waits.build();
                short_streams = if began.elapsed() < STABLE_AFTER { short_streams + 1 } else { 1 };
                flapping_delay(short_streams)
            } else {
                wait.next().unwrap_or(MAX_RECONNECT_DELAY)
            };
            tokio::time::sleep(delay).await;
        }
    }

    /// Passes on the messages of one stream until it ends. Returns the reason for the end.
    async fn receive_reports<F: Future<Output = ()>>(
        &self,
        heard: &mut bool,
        last_heard: &LastHeard,
        tell: impl Fn(AgentUpdate) -> F,
        notices: &AgentNotices,
    ) -> String {
        // Calls are boxed here and below: they need some kilobytes each, which only those under way should occupy.
        let mut stream = match Box::pin(self.open_reports()).await {
            Ok(stream) => stream,
            Err(reason) => return reason,
        };
        let known = Notify::new();
        let reading = async {
            loop {
                let event = match tokio::time::timeout(MAX_AGENT_SILENCE, stream.message()).await {
                    // What was sent meanwhile may not be read yet.
                    Err(_) if last_heard.is_excused() => continue,
                    Err(_) => return self.silence_message(),
                    Ok(Err(status)) => return self.describe_failure(&status),
                    Ok(Ok(None)) => return format!("the agent at {} ended", self.address),
                    Ok(Ok(Some(message))) => message.event,
                };
                let update = match event {
                    Some(Event::Report(report)) => match self.decode_report(report) {
                        Ok((report, receipt)) => {
                            known.notify_one();
                            AgentUpdate::Report(report.into(), receipt)
                        }
                        Err(reason) => return reason,
                    },
                    Some(Event::Heartbeat(heartbeat)) => match decode_heartbeat(heartbeat) {
                        Ok((scan, receipt)) => AgentUpdate::Heartbeat(scan, receipt),
                        Err(error) => return format!("the agent at {}: {error}", self.address),
                    },
                    Some(Event::Usage(usage)) => match usage.try_into() {
                        Ok(usage) => AgentUpdate::Usage(usage),
                        Err(error) => return format!("the agent at {}: {error}", self.address),
                    },
                    // An event of a later version: not understood, but it shows that the agent is alive.
                    None => continue,
                };
                *heard = true;
                last_heard.note();
                tell(update).await;
            }
        };
        tokio::select! {
            reason = reading => reason,
            never = async {
                // Not before the first report has identified the agent.
                known.notified().await;
                if self.leadership.is_follower() {
                    return std::future::pending().await;
                }
                tokio::select! {
                    never = self.send_maintenance(notices.maintenance.clone()) => never,
                    never = self.send_prerequisites(notices.prerequisites.clone()) => never,
                }
            } => match never {},
        }
    }

    /// Opens the stream of reports.
    async fn open_reports(&self) -> Result<Streaming<v1::WatchReportResponse>, String> {
        let mut client = self.connection.client();
        let LeaderEpoch { environment, epoch } = self.leadership.announced_epoch();
        let opening = client.watch_report(v1::WatchReportRequest { environment, epoch });
        match tokio::time::timeout(MAX_AGENT_SILENCE, opening).await {
            Err(_) => Err(self.silence_message()),
            Ok(Err(status)) => Err(self.describe_failure(&status)),
            Ok(Ok(response)) => Ok(response.into_inner()),
        }
    }

    fn silence_message(&self) -> String {
        let seconds = MAX_AGENT_SILENCE.as_secs();
        format!(
            "the agent at {} has been silent for {seconds} s: it hangs, or the network is cut",
            self.address
        )
    }

    /// Sends the agent the maintenance of its host: at once, since it may remember maintenance that is over,
    /// and after every change. Retries if that fails.
    async fn send_maintenance(&self, mut maintenance: watch::Receiver<MaintenanceSnapshot>) -> Infallible {
        let mut last_sent: Option<Vec<Maintenance>> = None;
        let mut complained = String::new();
        loop {
            let own = maintenance.borrow_and_update().of_host(&self.host);
            if let Some(own) = own.filter(|own| last_sent.as_ref() != Some(own)) {
                match Box::pin(self.set_maintenance(&own, Timestamp::now())).await {
                    Ok(()) => last_sent = Some(own),
                    Err(reason) => {
                        if complained != reason {
                            tracing::warn!(host = %self.host, reason, "the agent was not told of maintenance");
                            complained = reason;
                        }
                        tokio::time::sleep(NOTICE_TIMEOUT).await;
                        continue;
                    }
                }
            }
            if maintenance.changed().await.is_err() {
                // The aggregator is shutting down.
                return std::future::pending().await;
            }
        }
    }

    /// Sends the agent the readiness of its prerequisites on other hosts: at once, after every change, and
    /// periodically, since it expires. Sends nothing to an agent without such prerequisites.
    async fn send_prerequisites(
        &self,
        mut prerequisites: watch::Receiver<PrerequisitesByHost>,
    ) -> Infallible {
        let mut last_sent: Option<Vec<RemotePrerequisite>> = None;
        loop {
            let own = prerequisites.borrow_and_update().get(&self.host).cloned();
            if own.is_some() || last_sent.is_some() {
                // After a failure it is sent again soon; the agent uses its last state until then.
                let sent = Box::pin(self.set_prerequisites(own.as_deref().unwrap_or_default())).await;
                if let Err(reason) = sent {
                    tracing::debug!(host = %self.host, reason, "the agent was not told of prerequisites");
                }
            }
            last_sent = own;
            let again = async {
                match last_sent {
                    Some(_) => tokio::time::sleep(PREREQUISITES_INTERVAL).await,
                    None => std::future::pending().await,
                }
            };
            let is_over = tokio::select! {
                changed = prerequisites.wait_for(|all| all.get(&self.host) != last_sent.as_ref()) => changed.is_err(),
                () = again => false,
            };
            if is_over {
                // The aggregator is shutting down.
                return std::future::pending().await;
            }
        }
    }

    /// Replaces the agent's prerequisites on other hosts. Ignores an agent of a version without this call.
    async fn set_prerequisites(&self, own: &[RemotePrerequisite]) -> Result<(), String> {
        let prerequisites = own.iter().map(v1::RemotePrerequisite::from).collect();
        let target = Some(self.leader_target().map_err(|error| error.message)?);
        let request = v1::AgentServiceSetPrerequisitesRequest { prerequisites, target };
        let mut client = self.connection.client();
        match tokio::time::timeout(NOTICE_TIMEOUT, client.set_prerequisites(request)).await {
            Err(_) => Err(format!("no answer within {} s", NOTICE_TIMEOUT.as_secs())),
            Ok(Err(status)) if status.code() != Code::Unimplemented => Err(self.describe_failure(&status)),
            Ok(_) => Ok(()),
        }
    }

    /// Replaces the agent's maintenance of its host, as of `now`. Ignores an agent of a version without this
    /// call.
    async fn set_maintenance(&self, own: &[Maintenance], now: Timestamp) -> Result<(), String> {
        let maintenance = own.iter().filter_map(|one| v1::AgentMaintenance::at(one, now));
        let target = Some(self.leader_target().map_err(|error| error.message)?);
        let request = v1::AgentServiceSetMaintenanceRequest { maintenance: maintenance.collect(), target };
        let mut client = self.connection.client();
        match tokio::time::timeout(NOTICE_TIMEOUT, client.set_maintenance(request)).await {
            Err(_) => Err(format!(
                "the agent at {} did not answer within {} s",
                self.address,
                NOTICE_TIMEOUT.as_secs()
            )),
            Ok(Err(status)) if status.code() == Code::Unimplemented => {
                tracing::debug!(host = %self.host, "the agent is of a version that knows no maintenance");
                Ok(())
            }
            Ok(Err(status)) => Err(self.describe_failure(&status)),
            Ok(Ok(_)) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_that_is_lost_over_and_over_is_followed_less_often() {
        let delays = [1, 2, 3, 7, 8, 1000].map(|streams| flapping_delay(streams).as_millis());
        assert_eq!(delays, [100, 200, 400, 6400, 8000, 8000]);
    }
}
