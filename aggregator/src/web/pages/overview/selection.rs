//! Filter of the overview page, which is part of the page's address, so that it can be bookmarked and shared.

use maud::{Markup, html};
use rta_shared::name::Name;
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
    /// Name of the only host.
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    /// Name of the only role.
    #[serde(skip_serializing_if = "String::is_empty")]
    role: String,
    /// Page of what does not fit one page, counted from 1; 0 is the first too.
    #[serde(skip_serializing_if = "is_first_page")]
    page: usize,
}

/// Returns true for the page that an address without a number means.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_first_page(page: &usize) -> bool {
    *page <= 1
}

/// Maximum number of environments offered as a list; of more, the name is typed.
const MAX_OPTIONS: usize = 100;

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
        Self {
            environment: tidy(self.environment),
            health: tidy(self.health),
            q: tidy(self.q),
            host: tidy(self.host),
            role: tidy(self.role),
            page: self.page.max(1),
        }
    }

    /// Returns the filter for one environment.
    pub(crate) fn of_environment(name: &Name) -> Self {
        Self { environment: name.folded().to_owned(), ..Self::default() }
    }

    /// Returns the filter for one host.
    pub(crate) fn of_host(environment: &EnvironmentOverview, host: &HostOverview) -> Self {
        Self { host: host.name.folded().to_owned(), ..Self::of_environment(&environment.name) }
    }

    /// Returns the filter restricted to a role.
    pub(crate) fn with_role(self, role: &Name) -> Self {
        Self { role: role.folded().to_owned(), page: 1, ..self }
    }

    /// Returns the filter restricted to instances of this health.
    pub(crate) fn with_health(self, health: Health) -> Self {
        Self { health: health.word().to_owned(), page: 1, ..self }
    }

    /// Returns the filter restricted to instances that are not up.
    pub(crate) fn with_problems(self) -> Self {
        Self { health: BAD.to_owned(), page: 1, ..self }
    }

    /// Returns the filter restricted to names that contain this one.
    pub(crate) fn with_name(self, name: &Name) -> Self {
        Self { q: name.as_str().to_owned(), page: 1, ..self }.tidied()
    }

    /// Returns the filter with another page.
    pub(crate) fn with_page(&self, page: usize) -> Self {
        Self { page, ..self.clone() }
    }

    /// Returns the page, counted from 1.
    pub(crate) fn page(&self) -> usize {
        self.page.max(1)
    }

    /// Returns true if more than an environment is chosen: a list of what was found is wanted, not a summary.
    pub(crate) fn is_search(&self) -> bool {
        [&self.health, &self.q, &self.host, &self.role].iter().any(|text| !text.is_empty())
    }

    /// Returns the address of the filtered page.
    pub(crate) fn address(&self) -> String {
        match self.query() {
            query if query.is_empty() => "/".to_owned(),
            query => format!("/?{query}"),
        }
    }

    /// Returns the filter as a query string.
    pub(crate) fn query(&self) -> String {
        // Serialization of strings alone cannot fail.
        serde_urlencoded::to_string(self).unwrap_or_default()
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.environment.is_empty() && !self.is_search()
    }

    pub(crate) fn shows_environment(&self, environment: &EnvironmentOverview) -> bool {
        self.environment.is_empty() || environment.name == *self.environment.as_str()
    }

    /// Returns the instances of a host that match.
    pub(crate) fn of<'h>(&self, host: &'h HostOverview) -> Vec<&'h InstanceOverview> {
        let is_role = || host.role.as_ref().is_some_and(|role| *role == *self.role.as_str());
        if !self.host.is_empty() && host.name != *self.host.as_str() || !self.role.is_empty() && !is_role() {
            return Vec::new();
        }
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
                @if overview.environments.len() > MAX_OPTIONS {
                    label {
                        span { "Environment" }
                        input type="text" name="environment" value=(self.environment) placeholder="all"
                            maxlength=(LONGEST) autocomplete="off" spellcheck="false";
                    }
                } @else if overview.environments.len() > 1 {
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
                @for (what, name) in [("host", &self.host), ("role", &self.role)] {
                    @if !name.is_empty() { span.only { "only " (what) " " strong { (text(name)) } } }
                }
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
        shown_by(Selection {
            environment: environment.into(),
            health: health.into(),
            q: q.into(),
            ..Selection::default()
        })
    }

    fn shown_by(selection: Selection) -> Vec<String> {
        let selection = selection.tidied();
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
    fn one_host_and_one_role_are_found_by_their_whole_names() {
        let host = |name: &str| shown_by(Selection { host: name.into(), ..Selection::default() });
        assert_eq!(host("C9T21193"), ["kafka server"]);
        assert!(host("c9t2119").is_empty(), "a part of a name is another host's");
        let role = |name: &str| shown_by(Selection { role: name.into(), ..Selection::default() });
        assert_eq!(role("Main-Analytic").len(), 3);
        assert!(role("main").is_empty());
    }

    #[test]
    fn it_is_kept_in_the_address() {
        let selection = Selection { q: "  Kafka & <b>".into(), ..Selection::default() }.tidied();
        assert_eq!(selection.address(), "/?q=kafka+%26+%3Cb%3E");
        let long = Selection { q: "é".repeat(500), ..Selection::default() }.tidied();
        assert_eq!(long.q.len(), LONGEST);
        assert!(Selection::default().tidied().is_everything());
        assert_eq!(Selection::default().tidied().address(), "/");
        let second = Selection::of_environment(&"DEV x".into()).with_problems().with_page(2);
        assert_eq!(second.address(), "/?environment=dev+x&health=bad&page=2");
        assert_eq!(second.with_page(1).address(), "/?environment=dev+x&health=bad");
    }
}
