//! From a person's words to the one instance they mean.

use rta_shared::config::{Component, Host, Platform};
use rta_shared::name::{self, Name};
use rta_shared::overview::InstanceId;
use rta_shared::text::{did_you_mean, echoed, listed, printable};

/// A person's words for an instance: a name, narrowed or not.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Name or alias.
    pub component: String,
    /// Empty: any.
    pub environment: String,
    /// Empty: any.
    pub host: String,
}

impl From<&InstanceId> for Target {
    fn from(id: &InstanceId) -> Self {
        let [environment, host, component] =
            [&id.environment, &id.host, &id.component].map(|name| name.as_str().to_owned());
        Self { component, environment, host }
    }
}

/// Why an operation was not done, as a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OperationError {
    /// The gRPC code that stands for it.
    pub code: tonic::Code,
    /// The sentence.
    pub message: String,
}

impl OperationError {
    pub(crate) fn new(code: tonic::Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The instance that a target means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'p> {
    /// The position of its host among [`Platform::hosts`].
    pub(crate) host_at: usize,
    pub(crate) host: &'p Host,
    pub(crate) component: &'p Component,
}

impl Found<'_> {
    pub(crate) fn id(&self) -> InstanceId {
        InstanceId {
            environment: self.host.environment.clone(),
            host: self.host.name.clone(),
            component: self.component.name.clone(),
        }
    }
}

/// The one instance that `target` means.
///
/// # Errors
/// Too long for a name; not found, with the nearest word; or several found, with their full names.
pub(crate) fn resolve<'p>(platform: &'p Platform, target: &Target) -> Result<Found<'p>, OperationError> {
    match find_all(platform, target)?.as_slice() {
        [one] => Ok(*one),
        several => Err(ambiguous(several, "name the environment or the host")),
    }
}

/// Every instance that `target` may mean, in the configuration's order; at least one.
///
/// # Errors
/// Too long for a name; not found, with the nearest word.
pub(crate) fn find_all<'p>(
    platform: &'p Platform,
    target: &Target,
) -> Result<Vec<Found<'p>>, OperationError> {
    within_length([&target.component])?;
    let host = find_place(platform, &target.environment, &target.host)?;
    let component = platform.component(&target.component).ok_or_else(|| {
        let names: Vec<&str> = platform
            .components
            .iter()
            .flat_map(|known| std::iter::once(&known.name).chain(&known.aliases))
            .map(Name::as_str)
            .collect();
        let hint = did_you_mean(&target.component, names.iter().copied());
        not_found(format!("component \"{}\" is not known{hint}", echoed(&target.component)))
    })?;
    let carriers: Vec<Found<'p>> = platform
        .hosts()
        .enumerate()
        .filter(|(_, host)| host.carries(&component.name))
        .map(|(host_at, host)| Found { host_at, host, component })
        .collect();
    let wanted: Vec<Found<'p>> = carriers
        .iter()
        .filter(|found| {
            (target.environment.is_empty() || found.host.environment == *target.environment.as_str())
                && host.is_none_or(|host| found.host.name == host.name)
        })
        .copied()
        .collect();
    if !wanted.is_empty() {
        return Ok(wanted);
    }
    let place = match (host, target.environment.as_str()) {
        (Some(host), "") => format!("host {}", host.name),
        (Some(host), environment) => format!("host {} in environment {}", host.name, printable(environment)),
        (None, "") => "any host".to_owned(),
        (None, environment) => format!("any host of environment {}", printable(environment)),
    };
    let there = if carriers.is_empty() { "none".to_owned() } else { ids(&carriers) };
    Err(not_found(format!("\"{}\" is not on {place}; there is {there}", component.name)))
}

/// The host that the words for a place name, where they name one; the environment is known to be one.
///
/// # Errors
/// Too long for a name; not found, with the nearest word.
pub(crate) fn find_place<'p>(
    platform: &'p Platform,
    environment: &str,
    host: &str,
) -> Result<Option<&'p Host>, OperationError> {
    within_length([environment, host])?;
    let environments = || platform.environments.iter().map(|known| known.name.as_str());
    if !environment.is_empty() && !platform.environments.iter().any(|known| known.name == *environment) {
        let hint = did_you_mean(environment, environments().collect::<Vec<_>>());
        return Err(not_found(format!("environment \"{}\" is not known{hint}", echoed(environment))));
    }
    if host.is_empty() {
        return Ok(None);
    }
    let found = platform.find_host(host).ok_or_else(|| {
        let hint = did_you_mean(host, platform.hosts().map(|host| host.name.as_str()).collect::<Vec<_>>());
        not_found(format!("host \"{}\" is not known{hint}", echoed(host)))
    })?;
    Ok(Some(found))
}

/// Several were found where one was meant; `advice` says what to do.
pub(crate) fn ambiguous(several: &[Found<'_>], advice: &str) -> OperationError {
    let name = several.first().map(|found| found.component.name.as_str()).unwrap_or_default();
    let message = format!("\"{name}\" is on several hosts, {advice}: {}", ids(several));
    OperationError::new(tonic::Code::InvalidArgument, message)
}

pub(crate) fn not_found(message: String) -> OperationError {
    OperationError::new(tonic::Code::NotFound, message)
}

/// The full names of those that were found, not too many.
fn ids(found: &[Found<'_>]) -> String {
    listed(found.iter().map(Found::id), ", ")
}

/// Refuses what is longer than any name, before it is compared with all that there are.
///
/// # Errors
/// One of `names` is.
pub(crate) fn within_length(names: impl IntoIterator<Item = impl AsRef<str>>) -> Result<(), OperationError> {
    match names.into_iter().find_map(|name| name::too_long(name.as_ref())) {
        Some(message) => Err(OperationError::new(tonic::Code::InvalidArgument, message)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{Source, load_sources};

    use super::*;

    fn resolved(component: &str, environment: &str, host: &str) -> Result<String, OperationError> {
        let text = r#"
            [[component]]
            name = "kafka server"
            criteria = [{ regex = 'kafka' }]
            [[component]]
            name = "raw writer"
            aliases = ["raw writter"]
            criteria = [{ regex = 'raw' }]
            [[component]]
            name = "unused"
            criteria = [{ regex = 'x' }]
            [[environment]]
            name = "DEV"
            host = [{ name = "d1", components = ["kafka server", "raw writer"] }]
            [[environment]]
            name = "ITG"
            host = [{ name = "i1", components = ["kafka server"] }]
        "#;
        let platform = load_sources(&[Source { name: "x".to_owned(), text: text.to_owned() }]).unwrap();
        let target = Target {
            component: component.to_owned(),
            environment: environment.to_owned(),
            host: host.to_owned(),
        };
        resolve(&platform, &target).map(|found| found.id().to_string())
    }

    #[test]
    fn names_are_found_alone_or_narrowed() {
        assert_eq!(resolved("Raw  Writter", "", "").as_deref(), Ok("DEV/d1/raw writer"));
        assert_eq!(resolved("kafka server", "itg", "").as_deref(), Ok("ITG/i1/kafka server"));
        assert_eq!(resolved("kafka server", "", "D1.example.net").as_deref(), Ok("DEV/d1/kafka server"));
    }

    #[test]
    fn several_are_listed() {
        let error = resolved("kafka server", "", "").unwrap_err();
        assert_eq!(error.code, tonic::Code::InvalidArgument);
        assert!(error.message.ends_with("DEV/d1/kafka server, ITG/i1/kafka server"), "{error}");
    }

    #[test]
    fn what_is_longer_than_a_name_is_refused_unlooked_at() {
        let huge = "k".repeat(1_000_000);
        for (component, environment, host) in [(&*huge, "", ""), ("x", &huge, ""), ("x", "", &huge)] {
            let error = resolved(component, environment, host).unwrap_err();
            assert_eq!(error.code, tonic::Code::InvalidArgument);
            assert_eq!(error.message, "a name has at most 255 bytes, this one has 1000000");
        }
        let longest = resolved(&"k".repeat(255), "", "").unwrap_err();
        assert_eq!(longest.code, tonic::Code::NotFound);
        assert!(longest.message.contains("kkk…\" is not known") && longest.message.len() < 250, "{longest}");
    }

    #[test]
    fn what_is_not_there_is_told_with_the_nearest_word() {
        let rows = [
            ("kafka sever", "", "", "component \"kafka sever\" is not known; did you mean \"kafka server\"?"),
            ("kafka server", "DVE", "", "environment \"DVE\" is not known; did you mean \"DEV\"?"),
            ("kafka server", "", "d2", "host \"d2\" is not known; known: d1, i1"),
            (
                "raw writer",
                "ITG",
                "",
                "\"raw writer\" is not on any host of environment ITG; there is DEV/d1/raw writer",
            ),
            (
                "kafka server",
                "DEV",
                "i1",
                "\"kafka server\" is not on host i1 in environment DEV; there is DEV/d1/kafka server, ITG/i1/kafka server",
            ),
            ("unused", "", "", "\"unused\" is not on any host; there is none"),
        ];
        for (component, environment, host, expected) in rows {
            let error = resolved(component, environment, host).unwrap_err();
            assert_eq!((error.code, error.message.as_str()), (tonic::Code::NotFound, expected));
        }
    }
}
