//! Messages with the states of hosts between aggregators (`WatchHosts` in `proto/rta/v1/aggregator.proto`).

use std::time::{Duration, Instant};

use rta_shared::name::Name;
use rta_shared::proto::{ProtocolError, from_wire_time, to_wire_time, v1};
use rta_shared::report::Report;

use crate::clock::{ClockPair, MessageReceipt};
use crate::state::host_state::{AgentUpdate, HostChanges};

/// Maximum number of hosts in a message. Reports of some 100 kB, which are very large ones, stay far below the limit of
/// an answer (64 MiB).
const HOSTS_PER_MESSAGE: usize = 64;

/// Returns the messages for changes, at least one. `now` is the time of sending.
pub(crate) fn encode_changes(changes: HostChanges, now: Instant) -> Vec<v1::WatchHostsResponse> {
    let HostChanges { version, is_complete, hosts } = changes;
    let mut hosts = hosts.into_iter().map(|(host, updates)| encode_host(&host, updates, now)).peekable();
    let mut messages = Vec::new();
    loop {
        let hosts_of_message = hosts.by_ref().take(HOSTS_PER_MESSAGE).collect();
        let is_last = hosts.peek().is_none();
        let version = if is_last { version } else { 0 };
        messages.push(v1::WatchHostsResponse { hosts: hosts_of_message, is_complete, version });
        if is_last {
            return messages;
        }
    }
}

fn encode_host(host: &Name, updates: Vec<AgentUpdate>, now: Instant) -> v1::HostState {
    let mut message = v1::HostState { host: host.as_str().to_owned(), ..v1::HostState::default() };
    for update in updates {
        match update {
            AgentUpdate::Report(report, receipt) | AgentUpdate::Scanned(report, receipt) => {
                let report = v1::Report::from(&*report);
                let sent_at = receipt.sent.map(to_wire_time);
                message.report = Some(v1::Report { sent_at, ..report });
                message.received_millis_ago = millis_since(receipt.received.at, now);
            }
            AgentUpdate::Heartbeat(scan, receipt) => {
                let sent_at = receipt.sent.map(to_wire_time);
                message.heartbeat = Some(v1::Heartbeat { sent_at, ..v1::Heartbeat::from(&scan) });
                message.received_millis_ago = millis_since(receipt.received.at, now);
            }
            AgentUpdate::Usage(usage) => message.usage = Some((&usage).into()),
            AgentUpdate::Lost(reason) => message.lost = reason,
        }
    }
    message
}

fn millis_since(then: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(then).as_millis()).unwrap_or(u64::MAX)
}

/// Collects the messages of changes until they are complete.
#[derive(Debug, Default)]
pub(super) struct ChangeDecoder {
    hosts: Vec<(Name, Vec<AgentUpdate>)>,
}

impl ChangeDecoder {
    /// Adds a message that is received at `now`. Returns the changes that it completes.
    ///
    /// # Errors
    /// Returns an error if the message is invalid.
    pub(super) fn add(
        &mut self,
        message: v1::WatchHostsResponse,
        now: ClockPair,
    ) -> Result<Option<HostChanges>, ProtocolError> {
        let v1::WatchHostsResponse { hosts, is_complete, version } = message;
        for host in hosts {
            self.hosts.push(decode_host(host, now)?);
        }
        if version == 0 {
            return Ok(None);
        }
        Ok(Some(HostChanges { version, is_complete, hosts: std::mem::take(&mut self.hosts) }))
    }
}

fn decode_host(message: v1::HostState, now: ClockPair) -> Result<(Name, Vec<AgentUpdate>), ProtocolError> {
    let v1::HostState { host, report, heartbeat, received_millis_ago, lost, usage } = message;
    let received = now.before(Duration::from_millis(received_millis_ago));
    let receipt = |sent| MessageReceipt { received, sent };
    let mut updates = Vec::new();
    if let Some(report) = report {
        let receipt = receipt(report.sent_at.map(from_wire_time).transpose()?);
        updates.push(AgentUpdate::Report(Report::try_from(report)?.into(), receipt));
    }
    if let Some(heartbeat) = heartbeat {
        let receipt = receipt(heartbeat.sent_at.map(from_wire_time).transpose()?);
        updates.push(AgentUpdate::Heartbeat(heartbeat.try_into()?, receipt));
    }
    if !lost.is_empty() {
        updates.push(AgentUpdate::Lost(lost));
    }
    if let Some(usage) = usage {
        updates.push(AgentUpdate::Usage(usage.try_into()?));
    }
    Ok((host.as_str().into(), updates))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rta_shared::report::ScanFigures;
    use rta_shared::usage::HostUsage;

    use super::*;
    use crate::sample_platform::{empty_report, scan_at};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn scan(second: i64) -> ScanFigures {
        ScanFigures { processes_seen: 9, ..scan_at(at(second)) }
    }

    fn report() -> Report {
        Report { components: Err("/proc hides processes".to_owned()), ..empty_report("h", scan(90)) }
    }

    fn usage() -> HostUsage {
        HostUsage {
            measured_at: at(91),
            cpus: 4,
            load: [1.0, 2.0, 3.0],
            memory_total_bytes: 5,
            memory_available_bytes: 6,
            booted_at: None,
            processes: vec![],
            cpu_times: vec![],
            probe_durations: vec![],
        }
    }

    /// Sends changes 5 s after `received` and receives them at 205 s of another clock.
    fn transmit(changes: HostChanges, received: ClockPair) -> (usize, HostChanges) {
        let messages = encode_changes(changes, received.at + Duration::from_secs(5));
        let (count, mut decoder) = (messages.len(), ChangeDecoder::default());
        let mut received =
            messages.into_iter().map(|message| decoder.add(message, ClockPair::sample(at(205))).unwrap());
        let changes = received.by_ref().find_map(|complete| complete).unwrap();
        assert_eq!(received.count(), 0);
        (count, changes)
    }

    #[test]
    fn updates_arrive_with_the_age_of_their_messages() {
        let receipt = MessageReceipt { received: ClockPair::sample(at(95)), sent: Some(at(60)) };
        let updates = vec![
            AgentUpdate::Report(report().into(), receipt),
            AgentUpdate::Heartbeat(scan(94), receipt),
            AgentUpdate::Lost("gone".to_owned()),
            AgentUpdate::Usage(usage()),
        ];
        let hosts = vec![("h".into(), updates), ("silent".into(), vec![])];
        let (_, changes) = transmit(HostChanges { version: 7, is_complete: true, hosts }, receipt.received);
        assert!(changes.version == 7 && changes.is_complete);
        let [(host, updates), (silent, none)] = &changes.hosts[..] else { panic!("{changes:?}") };
        assert_eq!((host.as_str(), silent.as_str(), none.len()), ("h", "silent", 0));
        let [
            AgentUpdate::Report(received, of_report),
            AgentUpdate::Heartbeat(scanned, of_heartbeat),
            AgentUpdate::Lost(reason),
            AgentUpdate::Usage(used),
        ] = &updates[..]
        else {
            panic!("{updates:?}")
        };
        assert_eq!((&**received, *scanned, reason.as_str(), used), (&report(), scan(94), "gone", &usage()));
        for receipt in [of_report, of_heartbeat] {
            assert_eq!((receipt.received.wall, receipt.sent), (at(200), Some(at(60))));
            assert!(receipt.received.at.elapsed() >= Duration::from_secs(5));
        }
    }

    #[test]
    fn many_hosts_are_several_messages_and_no_change_is_one() {
        let host =
            |at: usize| (Name::from(format!("h{at}").as_str()), vec![AgentUpdate::Lost("gone".to_owned())]);
        let now = ClockPair::now();
        for (count, messages) in [(0, 1), (1, 1), (64, 1), (65, 2), (130, 3)] {
            let hosts: Vec<_> = (0..count).map(host).collect();
            let names: Vec<Name> = hosts.iter().map(|(name, _)| name.clone()).collect();
            let (sent, changes) = transmit(HostChanges { version: 3, is_complete: false, hosts }, now);
            assert_eq!((sent, changes.version, changes.is_complete), (messages, 3, false));
            assert_eq!(changes.hosts.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
        }
    }

    #[test]
    fn an_invalid_message_is_an_error() {
        let heartbeat = Some(v1::Heartbeat::default());
        let hosts = vec![v1::HostState { host: "h".to_owned(), heartbeat, ..v1::HostState::default() }];
        let message = v1::WatchHostsResponse { hosts, is_complete: true, version: 1 };
        assert!(ChangeDecoder::default().add(message, ClockPair::now()).is_err());
    }
}
