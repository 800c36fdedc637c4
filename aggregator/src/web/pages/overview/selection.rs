//! EventForm of the overview page, which is part of the page's address, so that it can be bookmarked and shared.

use maud::{Markup, html};
use rta_shared::overview::{EnvironmentOverview, Health, HostOverview, InstanceOverview, Overview};
use serde::{Deserialize, Serialize};

use crate::web::parts::health::text;

/// Maximum length of a search text, in bytes; the rest is cut.
const LONGEST: usize = 200;

/// Filter of the overview page, as in its address; empty fields: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(default)]
pub(in crate::web) struct Selection {
    #[serde(skip_serializing_if = "String::is_empty")]
    environment: String,
    /// Word of a health, or "bad": all except up.
    #[serde(skip_serializing_if = "String::is_empty")]
    health: String,
    /// Text in the name of a component, a host or a role.
    #[serde(skip_serializing_if = "String::is_empty")]
    q: String,
}

/// Value for every health except up.
const BAD: &str = "bad";

impl Selection {
    /// Trims, lower-cases and cuts the texts, so that equivalent filters compare equal.
    pub(in crate::web) fn tidied(self) -> Self {
        let tidy = |text: String| {
            let text = text.trim().to_lowercase();
            let end = (0..=text.len().min(LONGEST)).rev().find(|end| text.is_char_boundary(*end));
            text.get(..end.unwrap_or_default()).unwrap_or_default().to_owned()
        };
        Self { environment: tidy(self.environment), health: tidy(self.health), q: tidy(self.q) }
    }

    /// Returns the filter for one host.
    pub(crate) fn of_host(environment: &EnvironmentOverview, host: &HostOverview) -> Self {
        Self {
            environment: environment.name.as_str().to_lowercase(),
            health: String::new(),
            q: host.name.as_str().to_lowercase(),
        }
    }

    /// Returns the address of the filtered page.
    pub(crate) fn address(&self) -> String {
        format!("/?{}", self.query())
    }

    /// Returns the filter as a query string.
    pub(crate) fn query(&self) -> String {
        // Serialization of strings alone cannot fail.
        serde_urlencoded::to_string(self).unwrap_or_default()
    }

    pub(crate) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn shows_environment(&self, environment: &EnvironmentOverview) -> bool {
        self.environment.is_empty() || environment.name == *self.environment.as_str()
    }

    /// Returns the instances of a host that match.
    pub(crate) fn of<'h>(&self, host: &'h HostOverview) -> Vec<&'h InstanceOverview> {
        let contains = |name: &str| name.to_lowercase().contains(&self.q);
        let is_host = self.q.is_empty()
            || contains(host.name.as_str())
            || host.role.as_ref().is_some_and(|role| contains(role.as_str()));
        let is_shown = |instance: &&InstanceOverview| {
            let is_well = match self.health.as_str() {
                "" => true,
                BAD => instance.health != Health::Up,
                word => instance.health.word() == word,
            };
            is_well && (is_host || contains(instance.component.as_str()))
        };
        host.instances.iter().map(|instance| &**instance).filter(is_shown).collect()
    }

    /// Renders the form of the filter.
    pub(crate) fn form(&self, overview: &Overview) -> Markup {
        let healths = Health::ALL.into_iter().rev().map(Health::word);
        html! {
            form.filter method="get" action="/" role="search" {
                label.search {
                    span { "Find a component, host or role" }
                    input #find type="search" name="q" value=(self.q) placeholder="kafka" maxlength=(LONGEST)
                        autocomplete="off" spellcheck="false" aria-keyshortcuts="/";
                }
                @if overview.environments.len() > 1 {
                    label {
                        span { "Environment" }
                        select name="environment" {
                            option value="" { "all" }
                            @for environment in &overview.environments {
                                @let name = environment.name.as_str();
                                option value=(name) selected[environment.name == *self.environment.as_str()] {
                                    (text(name))
                                }
                            }
                        }
                    }
                }
                label {
                    span { "Health" }
                    select name="health" {
                        option value="" { "any" }
                        option value=(BAD) selected[self.health == BAD] { "not up" }
                        @for word in healths { option value=(word) selected[self.health == word] { (word) } }
                    }
                }
                button type="submit" { "Show" }
                @if !self.is_everything() { a.clear href="/" { "Show everything" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample_overview::sample;

    fn shown(environment: &str, health: &str, q: &str) -> Vec<String> {
        let selection =
            Selection { environment: environment.into(), health: health.into(), q: q.into() }.tidied();
        let overview = sample();
        let environments = overview.environments.iter().filter(|one| selection.shows_environment(one));
        let hosts = environments.flat_map(|environment| &environment.hosts);
        let instances = hosts.flat_map(|host| selection.of(host));
        instances.map(|instance| instance.component.as_str().to_owned()).collect()
    }

    #[test]
    fn instances_are_found_by_environment_health_and_text() {
        assert_eq!(shown("", "", ""), ["kafka server", "novelty detector", "cassandra"]);
        assert_eq!(shown("dev", "", "KAFKA "), ["kafka server"]);
        assert!(shown("itg", "", "").is_empty());
        assert_eq!(shown("", "degraded", ""), ["novelty detector"]);
        assert_eq!(shown("", "bad", "c2t0897"), ["novelty detector", "cassandra"]);
        assert_eq!(shown("", "", "main-analytic").len(), 3);
        assert!(shown("", "rotten", "").is_empty());
    }

    #[test]
    fn it_is_kept_in_the_address() {
        let selection = Selection { q: "  Kafka & <b>".into(), ..Selection::default() }.tidied();
        assert_eq!(selection.address(), "/?q=kafka+%26+%3Cb%3E");
        let long = Selection { q: "é".repeat(500), ..Selection::default() }.tidied();
        assert_eq!(long.q.len(), LONGEST);
        assert!(Selection::default().tidied().is_everything());
    }
}
