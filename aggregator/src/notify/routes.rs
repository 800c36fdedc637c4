//! Selection of the channels for a root cause. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rta_shared::config::notify::{NotifyConfig, Route};
use rta_shared::name::Name;

use super::cause::Cause;

/// Times of a channel that follow from the routes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteTimes {
    /// Time that the root cause lasts before the first message.
    pub(crate) begin_delay: SignedDuration,
    /// Interval of repeated messages; zero: none.
    pub(crate) repeat: SignedDuration,
}

/// Returns the channels of all matching routes that are open at `now`. Of several routes to a channel, the
/// first one gives the times.
pub(crate) fn matching_channels<'c>(
    config: &'c NotifyConfig,
    cause: &Cause,
    now: Timestamp,
) -> BTreeMap<&'c str, RouteTimes> {
    let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    let mut channels = BTreeMap::new();
    for route in config.routes.iter().filter(|route| matches(route, cause, now)) {
        let times = RouteTimes {
            begin_delay: signed(route.begin_delay.unwrap_or(config.begin_delay)),
            repeat: signed(route.repeat.unwrap_or(config.repeat)),
        };
        for channel in &route.channels {
            channels.entry(channel.as_str()).or_insert(times);
        }
        if route.last {
            break;
        }
    }
    channels
}

fn matches(route: &Route, cause: &Cause, now: Timestamp) -> bool {
    let fits = |wanted: &[Name], found: Option<&Name>| {
        wanted.is_empty() || found.is_some_and(|found| wanted.contains(found))
    };
    let has_component = match &cause.id.component {
        Some(component) => fits(&route.components, Some(component)),
        None => {
            route.components.is_empty() || cause.components.iter().any(|one| route.components.contains(one))
        }
    };
    fits(&route.environments, Some(&cause.id.environment))
        && fits(&route.hosts, Some(&cause.id.host))
        && fits(&route.roles, cause.role.as_ref())
        && has_component
        && route.labels.iter().all(|(name, value)| cause.labels.get(name) == Some(value))
        && (route.severities.is_empty() || route.severities.contains(&cause.severity))
        && route.hours.is_open(now)
}

#[cfg(test)]
mod tests {
    use super::super::machine::tests::{cause, config};
    use super::*;

    fn channels(text: &str, cause: &Cause) -> Vec<String> {
        let config = config(text);
        let now = "2026-11-27T12:00:00Z".parse().unwrap();
        matching_channels(&config, cause, now).into_keys().map(str::to_owned).collect()
    }

    #[test]
    fn each_condition_has_to_be_met() {
        let mut kafka = cause("kafka");
        kafka.role = Some("broker".into());
        kafka.labels = BTreeMap::from([("team".to_owned(), "data".to_owned())]);
        for (condition, is_met) in [
            ("", true),
            ("environment = [\"itg\", \"DEV\"]", true),
            ("environment = [\"ITG\"]", false),
            ("host = [\"h\"]", true),
            ("host = [\"x\"]", false),
            ("role = [\"Broker\"]", true),
            ("role = [\"x\"]", false),
            ("component = [\"Kafka\"]", true),
            ("component = [\"zoo\"]", false),
            ("label = { team = \"data\" }", true),
            ("label = { team = \"data\", tier = \"1\" }", false),
            ("severity = [\"critical\"]", true),
            ("severity = [\"warning\"]", false),
            ("hours = \"11:00-13:00\"", true),
            ("hours = \"13:00-11:00\"", false),
            ("days = [\"fri\"]", true),
            ("days = [\"sat\"]", false),
        ] {
            let text = format!("[[route]]\nchannels = [\"ops\"]\n{condition}");
            assert_eq!(channels(&text, &kafka), if is_met { vec!["ops"] } else { vec![] }, "{condition}");
        }
    }

    #[test]
    fn lost_host_meets_the_routes_of_its_components() {
        let mut host = cause("kafka");
        host.id.component = None;
        host.components = vec!["kafka".into()];
        assert_eq!(channels("[[route]]\nchannels = [\"ops\"]\ncomponent = [\"kafka\"]", &host), ["ops"]);
        assert!(channels("[[route]]\nchannels = [\"ops\"]\ncomponent = [\"zoo\"]", &host).is_empty());
    }

    #[test]
    fn all_matching_routes_count_until_the_last() {
        let text = "[[route]]\nchannels = [\"ops\"]\n[[route]]\nchannels = [\"boss\"]\nlast = true\n\
                    [[route]]\nchannels = [\"chat\"]";
        assert_eq!(channels(text, &cause("kafka")), ["boss", "ops"]);
    }

    #[test]
    fn first_route_to_a_channel_gives_its_times() {
        let config = config(
            "for = \"10s\"\n[[route]]\nchannels = [\"ops\"]\nfor = \"1m\"\n[[route]]\nchannels = [\"ops\", \"boss\"]",
        );
        let found = matching_channels(&config, &cause("kafka"), Timestamp::UNIX_EPOCH);
        assert_eq!(found["ops"].begin_delay, SignedDuration::from_secs(60));
        assert_eq!(found["boss"].begin_delay, SignedDuration::from_secs(10));
    }
}
