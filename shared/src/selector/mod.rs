//! Selectors: names given for instances, and the only resolver of them, for every command, call and page.

mod index;
mod matching;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use self::matching::{Approximation, approximate};
use crate::format::joined_first;
use crate::name::{self, Name};
use crate::overview::InstanceId;
use crate::sanitize::{printable, quoted_input};
use crate::suggestion::nearest;

pub use self::index::NameIndex;

/// Maximum number of candidates that a message lists: they are read by somebody who mistyped one of them.
const CANDIDATES: usize = 10;

/// Names given for instances, as they were written; empty text matches any.
///
/// The component may be written as `HOST/COMPONENT` or `ENVIRONMENT/HOST/COMPONENT`, which takes precedence
/// over the other two. Case and width of spaces do not matter, aliases stand for their component, and a host
/// may be given by its short or full name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Name of an environment.
    pub environment: String,
    /// Name of a host, short or full.
    pub host: String,
    /// Name or alias of a component, or the full name of an instance.
    pub component: String,
}

/// Purpose of a selection, which determines how exact its names must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Display: the beginning of a name, or a word of it, is accepted if it is unambiguous.
    Reading,
    /// Action, or a check that nobody watches: only whole names are accepted; others are suggested.
    Acting,
}

/// Kind of a [`SelectorError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorErrorKind {
    /// Text cannot be a name.
    Malformed,
    /// Unknown name.
    Unknown,
    /// Known names, but no such combination.
    Absent,
    /// Several instances where one is required.
    Several,
}

/// Failure to resolve a selector, as a sentence that lists the candidates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectorError {
    /// Kind of the failure.
    pub kind: SelectorErrorKind,
    /// Sentence for a person.
    pub message: String,
}

impl SelectorError {
    fn new(kind: SelectorErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    fn malformed(message: impl Into<String>) -> Self {
        Self::new(SelectorErrorKind::Malformed, message)
    }
}

/// Host in a [`NameIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostRef<'n> {
    /// Position among all hosts, in the configuration's order.
    pub at: usize,
    /// Environment.
    pub environment: &'n Name,
    /// Name.
    pub name: &'n Name,
}

/// Instance in a [`NameIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceRef<'n> {
    /// Position among all instances, in the configuration's order.
    pub at: usize,
    /// Host.
    pub host: HostRef<'n>,
    /// Canonical name of the component.
    pub component: &'n Name,
}

impl InstanceRef<'_> {
    /// Returns the full name.
    pub fn id(&self) -> InstanceId {
        InstanceId {
            environment: self.host.environment.clone(),
            host: self.host.name.clone(),
            component: self.component.clone(),
        }
    }
}

/// Result of resolving a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection<'n> {
    /// Canonical name of the environment; `None`: any.
    pub environment: Option<&'n Name>,
    /// Canonical name of the host; `None`: any.
    pub host: Option<&'n Name>,
    /// Canonical name of the component; `None`: any.
    pub component: Option<&'n Name>,
    /// Selected hosts, in the configuration's order; with a component those that carry it.
    pub hosts: Vec<HostRef<'n>>,
    /// Selected instances, in the configuration's order; with a component at least one.
    pub instances: Vec<InstanceRef<'n>>,
}

impl<'n> Selection<'n> {
    /// Returns the only selected instance; `advice` says what to do if there are several.
    ///
    /// # Errors
    /// Returns an error if no component is named, or several instances are selected.
    pub fn one(&self, advice: &str) -> Result<InstanceRef<'n>, SelectorError> {
        let Some(component) = self.component else {
            return Err(SelectorError::malformed("name a component"));
        };
        match self.instances.as_slice() {
            [one] => Ok(*one),
            several => {
                let message = format!("\"{component}\" is on several hosts, {advice}: {}", ids(several));
                Err(SelectorError::new(SelectorErrorKind::Several, message))
            }
        }
    }
}

impl From<&InstanceId> for Selector {
    fn from(id: &InstanceId) -> Self {
        let [environment, host, component] =
            [&id.environment, &id.host, &id.component].map(|name| name.as_str().to_owned());
        Self { environment, host, component }
    }
}

impl Selector {
    /// Returns true if no name is given, which selects everything.
    pub fn is_empty(&self) -> bool {
        self.environment.is_empty() && self.host.is_empty() && self.component.is_empty()
    }

    /// Splits a full name into its parts, which take precedence over the other names.
    ///
    /// # Errors
    /// Returns an error if a name is blank or too long, or a part of a full name is blank.
    pub fn split(&self) -> Result<Self, SelectorError> {
        let mut split = self.clone();
        if self.component.contains('/') {
            let parts: Vec<&str> = self.component.rsplitn(3, '/').map(str::trim).collect();
            if parts.contains(&"") {
                let what = if parts.first() == Some(&"") { "no component" } else { "an empty part" };
                return Err(SelectorError::malformed(format!(
                    "the name \"{}\" has {what}; write COMPONENT, HOST/COMPONENT or ENVIRONMENT/HOST/COMPONENT, and \
                     for a whole host or environment --host or --env without a name",
                    quoted_input(&self.component)
                )));
            }
            let places = [&mut split.component, &mut split.host, &mut split.environment];
            for (place, part) in places.into_iter().zip(parts) {
                part.clone_into(place);
            }
        }
        let named =
            [("environment", &split.environment), ("host", &split.host), ("component", &split.component)];
        for (what, text) in named {
            if let Some(message) = name::too_long(text) {
                return Err(SelectorError::malformed(message));
            }
            // A blank text would stand for any.
            if !text.is_empty() && text.trim().is_empty() {
                return Err(SelectorError::malformed(format!("the name of the {what} is blank")));
            }
        }
        Ok(split)
    }

    /// Resolves the selector against the names in `index`.
    ///
    /// # Errors
    /// Returns an error if a name is malformed or not known, or the names are not known together.
    pub fn resolve<'n>(
        &self,
        index: &NameIndex<'n>,
        purpose: Purpose,
    ) -> Result<Selection<'n>, SelectorError> {
        let Self { environment, host, component } = self.split()?;
        let environment = resolve_environment(&environment, index, purpose)?;
        let host = resolve_host(&host, environment, index, purpose)?;
        let is_selected = |known: &HostRef<'n>| {
            environment.is_none_or(|name| name == known.environment)
                && host.is_none_or(|one| one.at == known.at)
        };
        let hosts: Vec<HostRef<'n>> = index.hosts().filter(is_selected).collect();
        if component.is_empty() {
            let instances = hosts.iter().flat_map(|host| index.instances_of(*host)).collect();
            return Ok(Selection {
                environment,
                host: host.map(|host| host.name),
                component: None,
                hosts,
                instances,
            });
        }
        let component = resolve_component(&component, &hosts, index, purpose)?;
        let instances: Vec<_> =
            hosts.iter().filter_map(|host| index.find_instance(*host, component)).collect();
        if instances.is_empty() {
            return Err(not_there(component, environment, host, index));
        }
        let hosts = instances.iter().map(|instance| instance.host).collect();
        Ok(Selection {
            environment,
            host: host.map(|host| host.name),
            component: Some(component),
            hosts,
            instances,
        })
    }

    /// Returns the selector with the canonical name in place of each whole name that is known. Others are
    /// kept: the event store may have names that were removed from the configuration.
    ///
    /// # Errors
    /// Returns an error if a name is malformed.
    pub fn canonical(&self, index: &NameIndex<'_>) -> Result<Self, SelectorError> {
        let Self { environment, host, component } = self.split()?;
        let known = resolve_environment(&environment, index, Purpose::Acting).ok().flatten();
        let known_host = resolve_host(&host, known, index, Purpose::Acting).ok().flatten();
        let known_component = index.find_component(&component);
        let name =
            |known: Option<&Name>, written: String| known.map_or(written, |name| name.as_str().to_owned());
        Ok(Self {
            environment: name(known, environment),
            host: name(known_host.map(|host| host.name), host),
            component: name(known_component, component),
        })
    }
}

fn resolve_environment<'n>(
    written: &str,
    index: &NameIndex<'n>,
    purpose: Purpose,
) -> Result<Option<&'n Name>, SelectorError> {
    if written.is_empty() {
        return Ok(None);
    }
    let wanted = Name::from(written);
    if let Some(known) = index.environments().find(|known| **known == wanted) {
        return Ok(Some(known));
    }
    let known: Vec<_> = index.environments().map(|name| (name, [name])).collect();
    approximately("environment", written, &known, purpose).map(Some)
}

fn resolve_host<'n>(
    written: &str,
    environment: Option<&'n Name>,
    index: &NameIndex<'n>,
    purpose: Purpose,
) -> Result<Option<HostRef<'n>>, SelectorError> {
    if written.is_empty() {
        return Ok(None);
    }
    let there: Vec<HostRef<'n>> =
        index.hosts().filter(|host| environment.is_none_or(|name| name == host.environment)).collect();
    if let Some(host) = name::find_host(written, there.iter().map(|host| (*host, host.name))) {
        return Ok(Some(host));
    }
    if let Some(environment) = environment
        && let Some(elsewhere) = name::find_host(written, index.hosts().map(|host| (host, host.name)))
    {
        return Err(SelectorError::new(
            SelectorErrorKind::Absent,
            format!(
                "host {} is not in environment {environment}; it is in {}",
                elsewhere.name, elsewhere.environment
            ),
        ));
    }
    let known: Vec<_> = there.iter().map(|host| (host.name, [host.name])).collect();
    let name = approximately("host", written, &known, purpose)?;
    Ok(there.into_iter().find(|host| host.name == name))
}

fn resolve_component<'n>(
    written: &str,
    hosts: &[HostRef<'n>],
    index: &NameIndex<'n>,
    purpose: Purpose,
) -> Result<&'n Name, SelectorError> {
    if let Some(known) = index.find_component(written) {
        return Ok(known);
    }
    let carried: HashSet<&Name> =
        hosts.iter().flat_map(|host| index.instances_of(*host)).map(|instance| instance.component).collect();
    let all: Vec<_> =
        index.components().map(|(name, aliases)| (name, name_and_aliases(name, aliases))).collect();
    let there: Vec<_> = all.iter().filter(|(name, _)| carried.contains(name)).cloned().collect();
    // If no host is selected that carries any, all names are suggested.
    let known = if there.is_empty() { all } else { there };
    approximately("component", written, &known, purpose)
}

/// Returns the name and its aliases.
fn name_and_aliases<'n>(name: &'n Name, aliases: &'n [Name]) -> Vec<&'n Name> {
    std::iter::once(name).chain(aliases).collect()
}

/// Returns the only one of `known`, each with its name and aliases, that `written` abbreviates.
///
/// # Errors
/// Returns an error with suggestions if the abbreviation is unknown or ambiguous, or if the purpose is an
/// action.
fn approximately<'n>(
    what: &str,
    written: &str,
    known: &[(&'n Name, impl AsRef<[&'n Name]>)],
    purpose: Purpose,
) -> Result<&'n Name, SelectorError> {
    let hint = match approximate(written, known) {
        Approximation::One(name) if purpose == Purpose::Reading => return Ok(name),
        Approximation::One(name) => format!("; did you mean \"{}\"?", printable(name.as_str())),
        Approximation::Several(names) => {
            let names = names.iter().map(|name| format!("\"{}\"", printable(name.as_str())));
            format!("; did you mean one of {}?", joined_first(CANDIDATES, names, ", "))
        }
        Approximation::None => suggestion(written, known),
    };
    let message = format!("{what} \"{}\" is not known{hint}", quoted_input(written));
    Err(SelectorError::new(SelectorErrorKind::Unknown, message))
}

/// Returns the nearest of `known`, or the first few of them if none is near.
fn suggestion<'n>(written: &str, known: &[(&'n Name, impl AsRef<[&'n Name]>)]) -> String {
    let called = known.iter().flat_map(|(_, called)| called.as_ref().iter().map(|name| name.as_str()));
    if let Some(near) = nearest(written, called) {
        return format!("; did you mean \"{}\"?", printable(near));
    }
    match joined_first(CANDIDATES, known.iter().map(|(name, _)| printable(name.as_str())), ", ") {
        none if none.is_empty() => none,
        names => format!("; known: {names}"),
    }
}

fn not_there(
    component: &Name,
    environment: Option<&Name>,
    host: Option<HostRef<'_>>,
    index: &NameIndex<'_>,
) -> SelectorError {
    let place = match (host, environment) {
        (Some(host), None) => format!("host {}", host.name),
        (Some(host), Some(environment)) => format!("host {} in environment {environment}", host.name),
        (None, None) => "any host".to_owned(),
        (None, Some(environment)) => format!("any host of environment {environment}"),
    };
    let elsewhere: Vec<_> = index.hosts().filter_map(|host| index.find_instance(host, component)).collect();
    let there = if elsewhere.is_empty() { "none".to_owned() } else { ids(&elsewhere) };
    let message = format!("\"{component}\" is not on {place}; there is {there}");
    SelectorError::new(SelectorErrorKind::Absent, message)
}

/// Returns the first few full names.
fn ids(instances: &[InstanceRef<'_>]) -> String {
    joined_first(CANDIDATES, instances.iter().map(InstanceRef::id), ", ")
}
