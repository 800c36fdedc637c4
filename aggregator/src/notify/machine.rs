//! The rules of notifications as a state machine: root causes and a time go in, messages come out. Pure.
//!
//! Each channel that received the begin of a root cause receives its end once. Its state is stored, so that a
//! restart of the aggregator repeats nothing and forgets nothing.

use std::collections::{BTreeMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use rta_shared::config::notify::{NotifyConfig, Severity};
use rta_shared::overview::Health;
use rta_shared::root_cause::CauseId;
use serde::{Deserialize, Serialize};

use super::cause::{Affected, Cause, CauseSnapshot, Quiet};
use super::compose::{MessageFacts, compose};
use super::message::{EndReason, Message, MessageKind, Outgoing};
use super::routes::{RouteTimes, matching_channels};
use crate::causes::{CauseOutcome, CauseState};

/// Maximum number of begins and ends that a channel receives of one root cause within the period of flapping.
/// Updates and repetitions are apart.
const MAX_MESSAGES: usize = 3;
/// Minimum number of further instances that count as growth.
const MIN_GROWTH: usize = 5;
/// Maximum number of begins that are remembered.
const MAX_BEGINS: usize = 1000;

/// Notified root causes, and those that may become so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotifyState {
    tracked: Vec<TrackedCause>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct TrackedCause {
    /// Root cause as it was seen last.
    cause: Cause,
    presence: Presence,
    /// Time of the last change of the presence.
    changed_at: Timestamp,
    /// Time at which the first channel was notified of this occurrence, by the clock of then. It identifies
    /// the occurrence, and stays when the clock is set.
    incident_at: Timestamp,
    /// Begins within the period of flapping, the oldest first.
    begins: Vec<Timestamp>,
    is_flapping: bool,
    /// Channels that were notified, by name. Records of all versions call them `told`.
    #[serde(rename = "told")]
    notified: BTreeMap<String, NotifiedChannel>,
    /// Begins and ends of which each channel was notified within the period of flapping.
    recent: BTreeMap<String, Vec<Timestamp>>,
}

/// Presence of a root cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Presence {
    Present,
    Gone(EndReason),
}

/// Last notification of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct NotifiedChannel {
    begun_at: Timestamp,
    /// Time of the last message.
    last_at: Timestamp,
    updated_at: Option<Timestamp>,
    affected: usize,
    severity: Severity,
    is_flapping: bool,
}

impl NotifyState {
    /// Returns the root causes that are tracked.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &CauseId> {
        self.tracked.iter().map(|tracked| &tracked.cause.id)
    }

    /// Returns the open notifications of a channel as begins that say how it is now. The messages have no keys.
    pub(crate) fn open_messages(&self, config: &NotifyConfig, channel: &str) -> Vec<Message> {
        self.tracked.iter().filter_map(|tracked| tracked.open_message(config, channel)).collect()
    }

    /// Returns the number of root causes of which some channel was told and that are not over.
    pub(crate) fn open_count(&self) -> usize {
        self.tracked.iter().filter(|tracked| !tracked.notified.is_empty()).count()
    }

    /// Takes in the root causes at `now`. Returns the messages that are due, without their keys.
    pub(crate) fn advance(
        &mut self,
        config: &NotifyConfig,
        snapshot: &CauseSnapshot,
        now: Timestamp,
    ) -> Vec<Outgoing> {
        let within = signed(config.flapping.within);
        let mut out = Vec::new();
        let known: HashSet<&CauseId> = self.ids().collect();
        let new = snapshot.causes.values().filter(|cause| !known.contains(&cause.id));
        let new = new.filter(|cause| quiet_reason(config, cause).is_none());
        let new: Vec<TrackedCause> = new.map(|cause| TrackedCause::new(cause.clone(), now)).collect();
        self.tracked.extend(new);
        for tracked in &mut self.tracked {
            tracked.limit_to(now);
            tracked.forget_before(now, within);
            let id = &tracked.cause.id;
            let outcome = snapshot.outcomes.get(id).copied().unwrap_or(CauseOutcome::Over);
            match (snapshot.causes.get(id), outcome) {
                (Some(cause), _) => match quiet_reason(config, cause) {
                    Some(reason) => tracked.silence(cause, reason, config, now, &mut out),
                    None => {
                        tracked.appear(cause, config, now);
                        tracked.tell_present(config, now, &mut out);
                    }
                },
                (None, CauseOutcome::Undecided) => tracked.set_state(snapshot.undecided.get(id)),
                (None, outcome) => {
                    tracked.disappear(outcome, now);
                    tracked.tell_gone(config, now, &mut out);
                }
            }
            // A channel that was removed cannot be told any more.
            tracked.notified.retain(|name, _| config.channels.iter().any(|channel| channel.name == *name));
        }
        self.tracked.retain(|tracked| !tracked.is_forgotten());
        out
    }

    /// Returns the time of the next message if nothing changes until then; `None`: there is none.
    pub(crate) fn next_due(&self, config: &NotifyConfig, now: Timestamp) -> Option<Timestamp> {
        self.tracked.iter().flat_map(|tracked| tracked.due_times(config, now)).filter(|at| *at > now).min()
    }
}

impl TrackedCause {
    fn new(cause: Cause, now: Timestamp) -> Self {
        Self {
            presence: Presence::Present,
            changed_at: now,
            incident_at: now,
            begins: if cause.is_acted_on { Vec::new() } else { vec![now] },
            cause,
            is_flapping: false,
            notified: BTreeMap::new(),
            recent: BTreeMap::new(),
        }
    }

    /// Moves times after `now` to it: the clock was set back.
    fn limit_to(&mut self, now: Timestamp) {
        let limit = |at: &mut Timestamp| *at = (*at).min(now);
        limit(&mut self.changed_at);
        self.begins.iter_mut().for_each(limit);
        self.recent.values_mut().flatten().for_each(limit);
        for notified in self.notified.values_mut() {
            limit(&mut notified.begun_at);
            limit(&mut notified.last_at);
            notified.updated_at.iter_mut().for_each(limit);
        }
    }

    fn forget_before(&mut self, now: Timestamp, within: SignedDuration) {
        let is_recent = |at: &Timestamp| now.duration_since(*at) < within;
        self.begins.retain(is_recent);
        self.recent.values_mut().for_each(|times| times.retain(is_recent));
        self.recent.retain(|_, times| !times.is_empty());
        if self.is_flapping && now.duration_since(self.changed_at) >= within {
            self.is_flapping = false;
        }
    }

    /// Returns true if nothing of it matters any more.
    fn is_forgotten(&self) -> bool {
        self.presence != Presence::Present
            && self.notified.is_empty()
            && self.begins.is_empty()
            && self.recent.is_empty()
    }

    fn appear(&mut self, cause: &Cause, config: &NotifyConfig, now: Timestamp) {
        self.cause = cause.clone();
        if self.presence != Presence::Present {
            self.presence = Presence::Present;
            self.changed_at = now;
        } else if cause.is_acted_on && self.notified.is_empty() && !self.is_flapping {
            // Somebody is at it, and will see the result.
            self.changed_at = now;
        }
        // What somebody starts, stops or restarts has not failed; what is still down afterwards has.
        let is_new = self.begins.last().is_none_or(|last| *last < self.changed_at)
            && now.duration_since(self.changed_at) < signed(config.flapping.within);
        if is_new && !cause.is_acted_on && self.begins.len() < MAX_BEGINS {
            self.begins.push(self.changed_at);
        }
        self.is_flapping |=
            self.begins.len() >= usize::try_from(config.flapping.begins).unwrap_or(usize::MAX);
    }

    fn disappear(&mut self, outcome: CauseOutcome, now: Timestamp) {
        if self.presence == Presence::Present {
            let reason = match outcome {
                CauseOutcome::Removed => EndReason::Removed,
                CauseOutcome::Over | CauseOutcome::Undecided => EndReason::Recovered,
            };
            self.presence = Presence::Gone(reason);
            self.changed_at = now;
        }
    }

    /// Ends all notifications, and forgets the root cause: its next appearance outside of the quiet time is a
    /// new one.
    fn silence(
        &mut self,
        cause: &Cause,
        reason: EndReason,
        config: &NotifyConfig,
        now: Timestamp,
        out: &mut Vec<Outgoing>,
    ) {
        self.cause = cause.clone();
        for (channel, notified) in std::mem::take(&mut self.notified) {
            out.push(self.message(config, &channel, &notified, MessageKind::End, now, Some(reason), None));
        }
        self.presence = Presence::Gone(reason);
        self.begins.clear();
        self.recent.clear();
        self.is_flapping = false;
    }

    fn tell_present(&mut self, config: &NotifyConfig, now: Timestamp, out: &mut Vec<Outgoing>) {
        let channels: Vec<_> = matching_channels(config, &self.cause, now).into_iter().collect();
        // One more begin and end would be too many messages. All channels receive the same kind.
        self.is_flapping |= channels.iter().any(|(channel, times)| self.is_last_begin(channel, times, now));
        for (channel, times) in channels {
            match self.notified.get(channel).cloned() {
                None => self.tell_begin(config, channel, times, now, out),
                Some(notified) => self.tell_change(config, channel, notified, times, now, out),
            }
        }
    }

    /// Returns true if a begin is due for the channel, and is the last one within the period of flapping.
    fn is_last_begin(&self, channel: &str, times: &RouteTimes, now: Timestamp) -> bool {
        let is_due = self.is_flapping || now.duration_since(self.changed_at) >= times.begin_delay;
        let recent = self.recent.get(channel).map_or(0, Vec::len);
        is_due && !self.notified.contains_key(channel) && recent + 1 == MAX_MESSAGES
    }

    fn tell_begin(
        &mut self,
        config: &NotifyConfig,
        channel: &str,
        times: RouteTimes,
        now: Timestamp,
        out: &mut Vec<Outgoing>,
    ) {
        let is_due = self.is_flapping || now.duration_since(self.changed_at) >= times.begin_delay;
        let recent = self.recent.get(channel).map_or(0, Vec::len);
        if !is_due || recent >= MAX_MESSAGES {
            return;
        }
        if self.notified.is_empty() {
            self.incident_at = now;
        }
        let kind = if self.is_flapping { MessageKind::Flapping } else { MessageKind::Begin };
        let notified = NotifiedChannel {
            begun_at: now,
            last_at: now,
            updated_at: None,
            affected: self.cause.affected.count,
            severity: self.cause.severity,
            is_flapping: self.is_flapping,
        };
        out.push(self.message(config, channel, &notified, kind, now, None, None));
        self.notified.insert(channel.to_owned(), notified);
        self.recent.entry(channel.to_owned()).or_default().push(now);
    }

    fn tell_change(
        &mut self,
        config: &NotifyConfig,
        channel: &str,
        mut notified: NotifiedChannel,
        times: RouteTimes,
        now: Timestamp,
        out: &mut Vec<Outgoing>,
    ) {
        let recent = self.recent.get(channel).map_or(0, Vec::len);
        let is_repeat_due = !times.repeat.is_zero() && now.duration_since(notified.last_at) >= times.repeat;
        let may_update =
            notified.updated_at.is_none_or(|at| now.duration_since(at) >= signed(config.flapping.within));
        let mut previous = None;
        let kind = if self.is_flapping && !notified.is_flapping && recent < MAX_MESSAGES {
            self.recent.entry(channel.to_owned()).or_default().push(now);
            MessageKind::Flapping
        } else if self.is_flapping {
            if !is_repeat_due {
                return;
            }
            MessageKind::Flapping
        } else if self.cause.severity > notified.severity && may_update {
            previous = Some(notified.severity);
            MessageKind::Update
        } else if notified.is_flapping {
            // It flaps no more, and stays.
            MessageKind::Repeat
        } else if has_grown(notified.affected, self.cause.affected.count, config.growth) && may_update {
            MessageKind::Update
        } else if is_repeat_due {
            MessageKind::Repeat
        } else {
            return;
        };
        if kind == MessageKind::Update {
            notified.updated_at = Some(now);
        }
        // An alert that is identified by its severity must end as it began, so that only updates change it.
        if previous.is_some() {
            notified.severity = self.cause.severity;
        }
        notified.last_at = now;
        notified.affected = notified.affected.max(self.cause.affected.count);
        notified.is_flapping = self.is_flapping;
        out.push(self.message(config, channel, &notified, kind, now, None, previous));
        self.notified.insert(channel.to_owned(), notified);
    }

    fn tell_gone(&mut self, config: &NotifyConfig, now: Timestamp, out: &mut Vec<Outgoing>) {
        let Presence::Gone(reason) = self.presence else { return };
        if self.is_flapping || now.duration_since(self.changed_at) < signed(config.end_delay) {
            return;
        }
        for (channel, notified) in std::mem::take(&mut self.notified) {
            out.push(self.message(config, &channel, &notified, MessageKind::End, now, Some(reason), None));
            self.recent.entry(channel).or_default().push(now);
        }
    }

    /// Takes in how it is while it cannot be told whether it is over.
    fn set_state(&mut self, state: Option<&CauseState>) {
        if let Some(CauseState { health, reason }) = state {
            self.cause.health = *health;
            self.cause.reason.clone_from(reason);
            self.cause.affected = Affected::default();
        }
    }

    /// Returns the open notification of a channel.
    fn open_message(&self, config: &NotifyConfig, channel: &str) -> Option<Message> {
        let notified = self.notified.get(channel)?;
        let kind = if notified.is_flapping { MessageKind::Flapping } else { MessageKind::Begin };
        let mut present = self.clone();
        if self.presence != Presence::Present {
            // A message about its end follows once the end has lasted.
            (present.cause.health, present.cause.reason) = (Health::Up, String::new());
            present.cause.affected = Affected::default();
        }
        Some(present.message(config, channel, notified, kind, notified.begun_at, None, None).message)
    }

    #[expect(clippy::too_many_arguments, reason = "each is a fact of the message")]
    fn message(
        &self,
        config: &NotifyConfig,
        channel: &str,
        notified: &NotifiedChannel,
        kind: MessageKind,
        at: Timestamp,
        end_reason: Option<EndReason>,
        previous_severity: Option<Severity>,
    ) -> Outgoing {
        let incident = self.incident();
        let facts = MessageFacts {
            kind,
            at,
            incident: &incident,
            previous_severity,
            begun_at: notified.begun_at,
            end_reason,
            begins: self.begins.len(),
            page: config.link.as_deref(),
        };
        // Its end has the severity of its begin.
        let cause = Cause { severity: notified.severity, ..self.cause.clone() };
        Outgoing { channel: channel.to_owned(), message: compose(&cause, facts) }
    }

    /// Returns the name of this occurrence, the same for all channels.
    fn incident(&self) -> String {
        let CauseId { environment, host, component } = &self.cause.id;
        let component = component.as_ref().map_or("", |component| component.as_str());
        format!("{environment}/{host}/{component}@{}", self.incident_at)
    }

    /// Returns the times at which a message may be due if nothing changes.
    fn due_times(&self, config: &NotifyConfig, now: Timestamp) -> Vec<Timestamp> {
        let within = signed(config.flapping.within);
        let after = |at: Timestamp, delay: SignedDuration| at.checked_add(delay).ok();
        let mut times = vec![after(self.changed_at, signed(config.end_delay))];
        if self.is_flapping {
            times.push(after(self.changed_at, within));
        }
        if self.presence == Presence::Present {
            for (channel, route) in matching_channels(config, &self.cause, now) {
                times.push(after(self.changed_at, route.begin_delay));
                if let Some(notified) = self.notified.get(channel) {
                    times.extend((!route.repeat.is_zero()).then(|| after(notified.last_at, route.repeat)));
                    times.extend(notified.updated_at.map(|at| after(at, within)));
                }
            }
        }
        times.extend(self.recent.values().flatten().map(|at| after(*at, within)));
        times.into_iter().flatten().collect()
    }
}

/// Returns the reason why a root cause is not notified; `None` if it is.
fn quiet_reason(config: &NotifyConfig, cause: &Cause) -> Option<EndReason> {
    match &cause.quiet {
        None => None,
        Some(Quiet::Maintenance(_)) => Some(EndReason::Maintenance),
        Some(Quiet::OnPurpose(_)) => (!config.stopped_on_purpose).then_some(EndReason::StoppedOnPurpose),
    }
}

fn has_grown(before: usize, now: usize, factor: u32) -> bool {
    let factor = usize::try_from(factor).unwrap_or(usize::MAX);
    factor > 0 && now >= before.saturating_add(MIN_GROWTH) && now >= before.saturating_mul(factor)
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod tests;
