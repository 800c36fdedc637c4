//! Operations on notifications.

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use rta_shared::proto::{from_wire_time, to_wire_time, v1};
use tonic::Code;

use crate::api::Operations;
use crate::api::environment_leads::EnvironmentLeader;
use crate::auth::ActingCaller;
use crate::notify::{ConfiguredHost, ConfiguredHosts, DryRunMessage, NotifyStatus, REPLAYED_KINDS};
use crate::operation_error::OperationError;
use crate::store::{EventQuery, MAX_EVENTS};

/// Default period of a dry run.
const DRY_RUN_PERIOD: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Maximum number of events that a dry run replays.
const MAX_REPLAYED: usize = 100_000;

impl Operations {
    /// Sends a test to a channel of the notifications.
    ///
    /// # Errors
    /// Returns an error if the channel is unknown, or if it does not deliver.
    pub(crate) async fn test_notification(
        &self,
        channel: String,
        caller: ActingCaller,
    ) -> Result<(), OperationError> {
        self.permit_everywhere(&caller, "a test of a notification channel")?;
        match self.any_notifier(&caller)? {
            EnvironmentLeader::Here(acting) => acting.notify.send_test(channel, caller.by).await,
            EnvironmentLeader::There(route) => {
                self.test_notification_at_leader(&route, channel, &caller.by).await
            }
        }
    }

    /// Returns an aggregator that notifies, this one if it does. Each leader has the same file, and reads the
    /// same record.
    ///
    /// # Errors
    /// Returns an error if none is known.
    fn any_notifier(&self, caller: &ActingCaller) -> Result<EnvironmentLeader, OperationError> {
        if let Some(acting) = self.acting_operations().into_iter().next() {
            return Ok(EnvironmentLeader::Here(Box::new(acting)));
        }
        let leads = self.leads.as_ref().filter(|_| !caller.is_forwarded);
        let route = leads.and_then(|leads| leads.all_routes().into_iter().next());
        route.map(EnvironmentLeader::There).ok_or_else(nobody_notifies)
    }

    /// Returns the state of the notifications of all environments, and why those of some are missing.
    ///
    /// # Errors
    /// Returns an error if no aggregator that sends any answers.
    pub(crate) async fn notify_status(
        &self,
        caller: &ActingCaller,
    ) -> Result<v1::GetNotifyStatusResponse, OperationError> {
        let mut all = Vec::new();
        for acting in self.acting_operations() {
            all.push(acting.own_notify_status().await?);
        }
        let leads = self.leads.as_ref().filter(|_| !caller.is_forwarded);
        let routes = leads.map(|leads| leads.all_routes()).unwrap_or_default();
        let others = routes.iter().map(|route| self.notify_status_at_leader(route, &caller.by));
        let mut missing = Vec::new();
        for other in join_all(others).await {
            match other {
                Ok(status) => all.push(status),
                Err(error) => missing.push(error),
            }
        }
        let Some(merged) = all.into_iter().reduce(merge_status) else {
            return Err(missing.into_iter().next().unwrap_or_else(nobody_notifies));
        };
        let missing = missing.into_iter().map(|error| error.message).collect();
        Ok(v1::GetNotifyStatusResponse { missing, ..merged })
    }

    async fn own_notify_status(&self) -> Result<v1::GetNotifyStatusResponse, OperationError> {
        let NotifyStatus { channels, open, config_error, switch_error } = self.notify.status().await?;
        let channels = channels.into_iter().map(|(name, kind, status)| v1::NotifyChannelStatus {
            name,
            kind: kind.to_owned(),
            waiting: count(status.waiting),
            delivered: status.delivered,
            given_up: status.given_up,
            last_delivered_at: status.last_delivered_at.map(to_wire_time),
            failing_since: status.failure.as_ref().map(|(since, _)| to_wire_time(*since)),
            failure: status.failure.map(|(_, reason)| reason).unwrap_or_default(),
        });
        Ok(v1::GetNotifyStatusResponse {
            channels: channels.collect(),
            open: count(open),
            config_error: config_error.unwrap_or_default(),
            switch_error: switch_error.unwrap_or_default(),
            missing: Vec::new(),
        })
    }

    /// Returns the notifications that the recorded past would have made.
    ///
    /// # Errors
    /// Returns an error if no aggregator sends any, if the time is invalid, or if the event store cannot be
    /// read.
    pub(crate) async fn dry_run_notifications(
        &self,
        request: v1::DryRunNotificationsRequest,
        caller: &ActingCaller,
    ) -> Result<v1::DryRunNotificationsResponse, OperationError> {
        let acting = match self.any_notifier(caller)? {
            EnvironmentLeader::Here(acting) => acting,
            EnvironmentLeader::There(route) => {
                return self.dry_run_at_leader(&route, request, &caller.by).await;
            }
        };
        let since = request.since.map(from_wire_time).transpose();
        let since = since.map_err(|_| OperationError::new(Code::InvalidArgument, "since is no time"))?;
        let week_ago = || Timestamp::now().checked_sub(DRY_RUN_PERIOD).unwrap_or(Timestamp::MIN);
        let mut query = EventQuery {
            since: Some(since.unwrap_or_else(week_ago)),
            kinds: REPLAYED_KINDS.to_vec(),
            limit: MAX_EVENTS,
            ..EventQuery::default()
        };
        let mut events = Vec::new();
        let mut truncated = false;
        loop {
            let page = self.query_events(query.clone()).await?;
            let Some(oldest) = page.last().map(|event| event.id) else { break };
            query.before = Some(oldest);
            events.extend(page);
            if events.len() >= MAX_REPLAYED {
                truncated = true;
                break;
            }
        }
        // The store answers with the newest first.
        events.reverse();
        let replayed = events.len();
        let messages = acting.notify.dry_run(self.configured_hosts(), events).await?;
        Ok(v1::DryRunNotificationsResponse {
            messages: messages.into_iter().map(to_wire).collect(),
            events: count(replayed),
            truncated,
        })
    }

    fn configured_hosts(&self) -> ConfiguredHosts {
        let inventory = self.inventory();
        let mut hosts = ConfiguredHosts::new();
        for environment in &inventory.platform.environments {
            for host in &environment.hosts {
                let labels = host.components.iter().filter_map(|name| {
                    let component = inventory.platform.component(name.as_str())?;
                    Some((name.clone(), component.notes_on(host).ok()?.labels))
                });
                let configured = ConfiguredHost {
                    role: host.role.clone(),
                    components: host.components.clone(),
                    labels: host.labels.clone(),
                    component_labels: labels.collect(),
                };
                hosts.insert((environment.name.clone(), host.name.clone()), configured);
            }
        }
        hosts
    }
}

fn nobody_notifies() -> OperationError {
    let message =
        "this aggregator leads no environment at the moment, and notifies nobody; ask one that does";
    OperationError::new(Code::Unavailable, message)
}

/// Adds up the states of the notifications of two environments: their channels are those of the same file.
fn merge_status(
    mut one: v1::GetNotifyStatusResponse,
    other: v1::GetNotifyStatusResponse,
) -> v1::GetNotifyStatusResponse {
    for channel in other.channels {
        let Some(known) = one.channels.iter_mut().find(|known| known.name == channel.name) else {
            one.channels.push(channel);
            continue;
        };
        known.waiting += channel.waiting;
        known.delivered += channel.delivered;
        known.given_up += channel.given_up;
        let at = |channel: &v1::NotifyChannelStatus| {
            channel.last_delivered_at.as_ref().map(|time| (time.seconds, time.nanos))
        };
        if at(known) < at(&channel) {
            known.last_delivered_at = channel.last_delivered_at;
        }
        if known.failure.is_empty() {
            known.failing_since = channel.failing_since;
            known.failure = channel.failure;
        }
    }
    one.open += other.open;
    for (known, found) in
        [(&mut one.config_error, other.config_error), (&mut one.switch_error, other.switch_error)]
    {
        if known.is_empty() {
            *known = found;
        }
    }
    one
}

fn to_wire(DryRunMessage { channel, message }: DryRunMessage) -> v1::DryRunNotification {
    v1::DryRunNotification {
        at: Some(to_wire_time(message.at)),
        channel: channel.unwrap_or_default(),
        kind: message.kind.word().to_owned(),
        severity: message.severity.word().to_owned(),
        summary: message.summary,
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
