//! Names of components, hosts, roles and environments.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name that is shown as it was written and compared without regard to case or to the width of its spaces:
/// `Kafka  Server` is `kafka server`.
///
/// Clones share the text. A name is as small as a pointer, since an aggregator keeps several for each of tens of
/// thousands of instances.
#[derive(Clone)]
pub struct Name(Arc<NameText>);

struct NameText {
    shown: Box<str>,
    /// `None`: the same as it is shown.
    folded: Option<Box<str>>,
}

impl Name {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0.shown
    }

    /// What comparisons look at: lower case, single spaces.
    pub fn folded(&self) -> &str {
        self.0.folded.as_ref().unwrap_or(&self.0.shown)
    }
}

/// The longest name that a configuration may give, in bytes.
pub const MAX_NAME_LENGTH: usize = 255;

/// What is said of a text that is too long for a name; `None`: it is not.
pub fn too_long(text: &str) -> Option<String> {
    (text.len() > MAX_NAME_LENGTH)
        .then(|| format!("a name has at most {MAX_NAME_LENGTH} bytes, this one has {}", text.len()))
}

/// `text` as [`Name`] compares it.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(&word.to_lowercase());
    }
    folded
}

/// Finds the host that `written` names among `hosts`, each given with its name. A fully qualified name also finds a
/// host that is configured by its short name; a short name also finds a host that is configured by its fully qualified
/// name, if only one matches.
pub fn find_host<'n, T>(written: &str, hosts: impl Iterator<Item = (T, &'n Name)> + Clone) -> Option<T> {
    let written = fold(written.trim().trim_end_matches('.'));
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let find = |wanted: &str| hosts.clone().find(|(_, name)| name.folded() == wanted);
    if let Some((host, _)) = find(&written) {
        return Some(host);
    }
    if written.contains('.') {
        return find(&short(&written)).map(|(host, _)| host);
    }
    let mut candidates = hosts.filter(|(_, name)| short(name.folded()) == written);
    candidates.next().filter(|_| candidates.next().is_none()).map(|(host, _)| host)
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        let folded = fold(text);
        let folded = (folded != text).then(|| folded.into_boxed_str());
        Self(Arc::new(NameText { shown: text.into(), folded }))
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.folded() == other.folded()
    }
}

impl Eq for Name {}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.folded() == fold(other)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}

/// A map with `Name` keys is searched with a [`fold`]ed text.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.folded()
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_written_and_compared_folded() {
        let name = Name::from("kairosDb  Server");
        assert_eq!(name.as_str(), "kairosDb  Server");
        assert_eq!(name, Name::from("KAIROSDB server"));
        assert_eq!(name, *"kairosdb server ");
        assert_ne!(name, Name::from("kairosDbserver"));
    }
}
