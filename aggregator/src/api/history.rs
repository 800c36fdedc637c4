//! Operations of the page and the gRPC service on events and maintenance.

use std::fmt::Display;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rta_shared::action::Requester;
use rta_shared::event::{Event, EventKind};
use rta_shared::name::{Name, too_long};
use rta_shared::proto::{to_wire_duration, v1};
use rta_shared::sanitize::{printable, quoted_input};
use rta_shared::selector::{NameIndex, Purpose, Selector, SelectorErrorKind};
use rta_shared::suggestion::did_you_mean;
use tonic::Code;

use crate::api::Operations;
use crate::operation_error::OperationError;
use crate::store::{EventQuery, MAX_EVENTS};

/// Default number of events in an answer.
pub(crate) const DEFAULT_EVENTS: usize = 200;
/// Maximum length of a reason, in bytes.
const MAX_REASON_BYTES: usize = 1000;

/// Event query as a person wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventFilter {
    pub(crate) since: Option<Timestamp>,
    /// Upper bound of the ID, exclusive.
    pub(crate) before: Option<u64>,
    /// Lower bound of the ID, exclusive.
    pub(crate) after: Option<u64>,
    /// Names to match.
    pub(crate) selector: Selector,
    /// Words of kinds; empty: any.
    pub(crate) kinds: Vec<String>,
    /// Plan to which they belong.
    pub(crate) plan: Option<u64>,
    /// Name of the requester; empty: any.
    pub(crate) person: String,
    /// Incident to which they belong.
    pub(crate) incident: Option<u64>,
    /// Maximum number; 0: [`DEFAULT_EVENTS`].
    pub(crate) limit: usize,
}

impl TryFrom<v1::ListEventsRequest> for EventFilter {
    type Error = OperationError;

    fn try_from(request: v1::ListEventsRequest) -> Result<Self, OperationError> {
        let since = request.oldest();
        let since = since.map_err(|_| OperationError::new(Code::InvalidArgument, "since is no time"))?;
        let v1::ListEventsRequest { before, environment, host, component, kinds, limit, .. } = request;
        let v1::ListEventsRequest { plan, person, incident, .. } = request;
        Ok(Self {
            since,
            before: (before != 0).then_some(before),
            after: None,
            selector: Selector { environment, host, component },
            kinds,
            plan: (plan != 0).then_some(plan),
            person,
            incident: (incident != 0).then_some(incident),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        })
    }
}

/// Request to begin or end maintenance.
#[derive(Clone, Debug)]
pub(crate) struct MaintenanceRequest {
    pub(crate) selector: Selector,
    /// True for all instances or hosts that match.
    pub(crate) all: bool,
    pub(crate) on: bool,
    /// Duration; `None`: until it is ended.
    pub(crate) length: Option<Duration>,
    pub(crate) reason: String,
}

impl TryFrom<v1::SetMaintenanceRequest> for MaintenanceRequest {
    type Error = OperationError;

    fn try_from(request: v1::SetMaintenanceRequest) -> Result<Self, OperationError> {
        let length = request.lasting().map_err(|_| too_short_error())?;
        let v1::SetMaintenanceRequest { component, environment, host, all, on, reason, .. } = request;
        Ok(Self { selector: Selector { environment, host, component }, all, on, length, reason })
    }
}

impl MaintenanceRequest {
    /// Returns the message of this request on behalf of `by`.
    pub(super) fn into_message(self, by: &Requester) -> v1::SetMaintenanceRequest {
        let Self { selector: Selector { environment, host, component }, all, on, length, reason } = self;
        let (length, user) = (length.map(to_wire_duration), by.user.clone());
        v1::SetMaintenanceRequest { component, environment, host, all, on, length, reason, user }
    }
}

pub(super) fn too_short_error() -> OperationError {
    OperationError::new(Code::InvalidArgument, "maintenance has to last longer than nothing")
}

impl Operations {
    /// Returns the matching events, the newest first.
    ///
    /// # Errors
    /// Returns an error if a kind or name is unknown or too long, or if the event store cannot be read.
    pub(crate) async fn list_events(&self, filter: &EventFilter) -> Result<Vec<Event>, OperationError> {
        Ok(self.find_events(filter).await?.1)
    }

    /// Returns the query that is meant by a filter, and the matching events, the newest first.
    ///
    /// # Errors
    /// Returns an error if a kind or name is unknown or too long, or if the event store cannot be read.
    pub(super) async fn find_events(
        &self,
        filter: &EventFilter,
    ) -> Result<(EventQuery, Vec<Event>), OperationError> {
        if let Some(message) = filter.kinds.iter().chain([&filter.person]).find_map(|word| too_long(word)) {
            return Err(OperationError::new(Code::InvalidArgument, message));
        }
        let inventory = self.inventory();
        let index = NameIndex::from(inventory.platform.as_ref());
        let exact = filter.selector.canonical(&index)?;
        let query = build_query(&exact, filter)?;
        let events = self.query_events(query.clone()).await?;
        if !events.is_empty() {
            return Ok((query, events));
        }
        if let Some(id) = filter.incident {
            // An incident that does not exist is a mistake.
            self.incident(id).await?;
        }
        // Names that were removed from the configuration may still have events; a name without any is part of
        // a name, or a mistake.
        match canonical_selector(&filter.selector, &index)? {
            Some(meant) if meant != exact => {
                let query = build_query(&meant, filter)?;
                Ok((query.clone(), self.query_events(query).await?))
            }
            Some(_) | None => Ok((query, events)),
        }
    }

    pub(super) async fn query_events(&self, query: EventQuery) -> Result<Vec<Event>, OperationError> {
        let events = self.store.query_events(query).await;
        events.map_err(|message| OperationError::new(Code::Unavailable, message))
    }
}

/// Returns a reason without spaces around it.
///
/// # Errors
/// Returns an error if it is too long.
pub(super) fn check_reason(reason: &str) -> Result<String, OperationError> {
    match reason.len() > MAX_REASON_BYTES {
        true => {
            let message = format!("the reason is longer than {MAX_REASON_BYTES} bytes");
            Err(OperationError::new(Code::InvalidArgument, message))
        }
        false => Ok(reason.trim().to_owned()),
    }
}

/// Converts a query, in which `names` take the place of the names as they were written.
fn build_query(names: &Selector, filter: &EventFilter) -> Result<EventQuery, OperationError> {
    let kinds = filter.kinds.iter().map(|word| {
        EventKind::from_word(&word.to_lowercase()).ok_or_else(|| {
            let hint = did_you_mean(word, EventKind::ALL.map(EventKind::word));
            let message = format!("there is no kind \"{}\" of events{hint}", quoted_input(word));
            OperationError::new(Code::InvalidArgument, message)
        })
    });
    let name = |name: &str| (!name.is_empty()).then(|| Name::from(name));
    Ok(EventQuery {
        since: filter.since,
        before: filter.before,
        after: filter.after,
        environment: name(&names.environment),
        host: name(&names.host),
        component: name(&names.component),
        kinds: kinds.collect::<Result<_, _>>()?,
        plan: filter.plan,
        person: Some(filter.person.trim().to_owned()).filter(|person| !person.is_empty()),
        incident: filter.incident,
        limit: match filter.limit {
            0 => DEFAULT_EVENTS,
            limit => limit.min(MAX_EVENTS),
        },
    })
}

/// Returns the canonical names that are meant by `written`; `None` if each is known, but not together.
///
/// # Errors
/// Returns an error if a name is not known.
pub(super) fn canonical_selector(
    written: &Selector,
    index: &NameIndex<'_>,
) -> Result<Option<Selector>, OperationError> {
    match written.resolve(index, Purpose::Reading) {
        Ok(selection) => {
            let name = |name: Option<&Name>| name.map(|name| name.as_str().to_owned()).unwrap_or_default();
            Ok(Some(Selector {
                environment: name(selection.environment),
                host: name(selection.host),
                component: name(selection.component),
            }))
        }
        Err(error) if error.kind == SelectorErrorKind::Absent => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Parses a time in the past: `2h`, `7d`, `1h 30m` before `now`, or a point such as `2026-11-25T09:30:00Z`.
///
/// # Errors
/// Returns an error, as a sentence, if the text is neither.
pub(crate) fn parse_since(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(at) = text.trim().parse::<Timestamp>() {
        return Ok(at);
    }
    parse_length(text)
        .and_then(|length| now.checked_sub(length).map_err(|error| length_error(text, &error)))
        .map_err(|_| {
            let text = printable(text);
            format!("\"{text}\" is no time; write for example 2h, 7d or 2026-11-25T09:30:00Z")
        })
}

/// Parses a duration: `2h`, `90d`, `1h 30m`. A day has 24 hours, a week 7 days.
///
/// # Errors
/// Returns an error, as a sentence, if the text is no duration or it is negative.
pub fn parse_length(text: &str) -> Result<SignedDuration, String> {
    let span: jiff::Span = text.trim().parse().map_err(|error: jiff::Error| length_error(text, &error))?;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours());
    let length = length.map_err(|error| length_error(text, &error))?;
    if length.is_negative() {
        return Err(length_error(text, &"it is negative"));
    }
    Ok(length)
}

fn length_error(text: &str, why: &dyn Display) -> String {
    format!("\"{}\" is no length of time ({why}); write for example 2h or 90d", printable(text))
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{Platform, Source, load_sources};

    use super::*;

    fn platform() -> Platform {
        let text = r#"
            [[component]]
            name = "raw writer"
            aliases = ["raw writter"]
            criteria = [{ regex = 'raw' }]
            [[environment]]
            name = "DEV"
            host = [{ name = "d1", components = ["raw writer"] }]
        "#;
        load_sources(&[Source { name: "x".to_owned(), text: text.to_owned() }]).unwrap()
    }

    #[test]
    fn words_become_a_query() {
        let filter = EventFilter {
            selector: Selector {
                host: "d1.example.net".to_owned(),
                component: "raw writter".to_owned(),
                environment: "gone".to_owned(),
            },
            kinds: vec!["Health".to_owned()],
            limit: 1_000_000,
            ..EventFilter::default()
        };
        let names = filter.selector.canonical(&NameIndex::from(&platform())).unwrap();
        let query = build_query(&names, &filter).unwrap();
        assert_eq!((query.host, query.component), (Some("d1".into()), Some("raw writer".into())));
        assert_eq!(
            (query.environment, query.kinds, query.limit),
            (Some("gone".into()), vec![EventKind::Health], MAX_EVENTS)
        );
    }

    #[test]
    fn slips_are_told_with_the_nearest_word() {
        let filter = EventFilter { kinds: vec!["helth".to_owned()], ..EventFilter::default() };
        let error = build_query(&filter.selector, &filter).unwrap_err();
        assert_eq!(error.message, "there is no kind \"helth\" of events; did you mean \"health\"?");
        let platform = platform();
        let index = NameIndex::from(&platform);
        let meant = |environment: &str, host: &str, component: &str| {
            let [environment, host, component] = [environment, host, component].map(str::to_owned);
            canonical_selector(&Selector { environment, host, component }, &index)
                .map_err(|error| error.message)
        };
        for (environment, host, component, expected) in [
            ("DVE", "", "", "environment \"DVE\" is not known; did you mean \"DEV\"?"),
            ("", "x9", "", "host \"x9\" is not known"),
            ("", "", "raw witer", "did you mean \"raw writer\"?"),
        ] {
            let error = meant(environment, host, component).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let whole = Selector {
            environment: "DEV".to_owned(),
            host: "d1".to_owned(),
            component: "raw writer".to_owned(),
        };
        assert_eq!(meant("d", "d", "writer"), Ok(Some(whole)));
    }

    #[test]
    fn times_are_written_as_people_do() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 100);
        assert_eq!(parse_length("90d"), Ok(SignedDuration::from_hours(24 * 90)));
        assert_eq!(parse_length("1h 30m"), Ok(SignedDuration::from_mins(90)));
        assert_eq!(parse_since("1w", now), Ok(now - SignedDuration::from_hours(24 * 7)));
        assert_eq!(parse_since("1970-01-02T00:00:00Z", now).map(Timestamp::as_second), Ok(86_400));
        for wrong in ["", "soon", "-2h", "3 months", "99999999999d"] {
            assert!(parse_length(wrong).is_err(), "{wrong}");
            assert!(parse_since(wrong, now).is_err(), "{wrong}");
        }
    }
}
