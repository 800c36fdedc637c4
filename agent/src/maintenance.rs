//! Maintenance windows, in which nothing is started automatically.

use std::time::Duration;

use jiff::Timestamp;
use rta_shared::name::Name;
use rta_shared::proto::v1;
use serde::{Deserialize, Serialize};
use tonic::Status;

/// Maintenance of a component, or of the whole host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MaintenanceWindow {
    /// `None`: the whole host.
    pub(crate) component: Option<Name>,
    /// Time at which it ends automatically, by the agent's own clock; `None`: never.
    pub(crate) until: Option<Timestamp>,
}

impl MaintenanceWindow {
    fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Returns the maintenance that covers `component` at `now`; of several the one that ends last.
pub(crate) fn active_window<'q>(
    all: &'q [MaintenanceWindow],
    component: &Name,
    now: Timestamp,
) -> Option<&'q MaintenanceWindow> {
    let covers = |quiet: &&MaintenanceWindow| quiet.component.as_ref().is_none_or(|of| of == component);
    let lasting = all.iter().filter(covers).filter(|quiet| !quiet.is_over(now));
    lasting.max_by_key(|quiet| quiet.until.unwrap_or(Timestamp::MAX))
}

/// Returns the time of the next automatic end of a maintenance.
pub(crate) fn next_window_end(all: &[MaintenanceWindow], now: Timestamp) -> Option<Timestamp> {
    all.iter().filter_map(|quiet| quiet.until).filter(|until| *until > now).min()
}

/// Converts a request received at `now`. Remaining durations are counted on the agent's own clock.
///
/// # Errors
/// Returns an error if a remaining duration is negative.
pub(crate) fn windows_from_proto(
    request: v1::AgentServiceSetMaintenanceRequest,
    now: Timestamp,
) -> Result<Vec<MaintenanceWindow>, Status> {
    let entries = request.maintenance.into_iter();
    let entry = |entry: v1::AgentMaintenance| {
        let v1::AgentMaintenance { component, remaining } = entry;
        let until = match remaining {
            None => None,
            Some(remaining) => {
                let remaining = Duration::try_from(remaining)
                    .map_err(|_| Status::invalid_argument("a maintenance that lasts less than nothing"))?;
                Some(now.checked_add(remaining).unwrap_or(Timestamp::MAX))
            }
        };
        Ok(MaintenanceWindow { component: (!component.is_empty()).then(|| Name::from(component)), until })
    };
    entries.map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn request(entries: &[(&str, Option<i64>)]) -> v1::AgentServiceSetMaintenanceRequest {
        let maintenance = entries.iter().map(|(component, seconds)| v1::AgentMaintenance {
            component: (*component).to_owned(),
            remaining: seconds.map(|seconds| Duration::from_secs(seconds.unsigned_abs()).try_into().unwrap()),
        });
        v1::AgentServiceSetMaintenanceRequest { maintenance: maintenance.collect(), target: None }
    }

    #[test]
    fn window_covers_component_or_host_until_it_ends() {
        let all = windows_from_proto(request(&[("Kafka", Some(60)), ("", Some(10))]), at(1000)).unwrap();
        let kafka = Name::from("kafka");
        assert_eq!(active_window(&all, &kafka, at(1000)).unwrap().until, Some(at(1060)));
        assert_eq!(active_window(&all, &"spark".into(), at(1009)).unwrap().until, Some(at(1010)));
        assert_eq!(active_window(&all, &"spark".into(), at(1010)), None);
        assert_eq!(active_window(&all, &kafka, at(1060)), None);
        assert_eq!(next_window_end(&all, at(1000)), Some(at(1010)));
        assert_eq!(next_window_end(&all, at(1010)), Some(at(1060)));
        assert_eq!(next_window_end(&all, at(1060)), None);
    }

    #[test]
    fn window_without_end_lasts_and_overlong_one_is_capped() {
        let all = windows_from_proto(request(&[("", None)]), at(0)).unwrap();
        assert!(active_window(&all, &"kafka".into(), Timestamp::MAX).is_some());
        let long = v1::AgentMaintenance {
            component: String::new(),
            remaining: Some(Duration::from_secs(1 << 40).try_into().unwrap()),
        };
        let request = v1::AgentServiceSetMaintenanceRequest { maintenance: vec![long], target: None };
        assert_eq!(windows_from_proto(request, at(0)).unwrap()[0].until, Some(Timestamp::MAX));
    }

    #[test]
    fn negative_duration_is_an_error() {
        let mut request = request(&[("", Some(1))]);
        request.maintenance[0].remaining.as_mut().unwrap().seconds = -5;
        assert_eq!(windows_from_proto(request, at(0)).unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
