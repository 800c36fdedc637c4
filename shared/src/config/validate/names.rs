//! Definitions of names, and references to them.

use std::collections::HashMap;

use super::super::source::Problems;
use crate::name::{MAX_NAME_LENGTH, Name};
use crate::sanitize::printable;
use crate::suggestion::did_you_mean;
use crate::template::{Located, SourceLocation};

/// Allowed characters of a kind of name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameAlphabet {
    /// Anything printable except `/`, which separates names, and a leading `-`, which begins options.
    Words,
    /// Characters of host names (RFC 1123), and `_`, which some sites use.
    HostName,
}

/// Defined names of one kind, including aliases.
#[derive(Debug)]
pub(super) struct DeclaredNames {
    kind: &'static str,
    alphabet: NameAlphabet,
    /// Names in the order of the files.
    given: Vec<Name>,
    /// Canonical name and position of each.
    canonical: HashMap<Name, (Name, SourceLocation)>,
}

impl DeclaredNames {
    pub(super) fn new(kind: &'static str, alphabet: NameAlphabet) -> Self {
        Self { kind, alphabet, given: Vec::new(), canonical: HashMap::new() }
    }

    /// Defines `written` as a name of the item whose canonical name is `canonical`.
    pub(super) fn declare(
        &mut self,
        written: &Located<String>,
        canonical: &str,
        problems: &mut Problems<'_>,
    ) {
        let kind = self.kind;
        let shown = printable(&written.value);
        if let Some(reason) = self.alphabet.objection(&written.value) {
            problems.report(written.place, format!("{kind} \"{shown}\": {reason}"));
        }
        let name = Name::from(written.value.as_str());
        if let Some((_, first)) = self.canonical.get(&name) {
            let first = problems.describe(*first);
            let sentence = format!("{kind} \"{shown}\": the name is already taken, at {first}");
            problems.report(written.place, sentence);
            return;
        }
        self.given.push(name.clone());
        self.canonical.insert(name, (Name::from(canonical), written.place));
    }

    /// Returns the canonical name for `written`; otherwise reports a problem that suggests the most similar
    /// name.
    pub(super) fn resolve(
        &self,
        written: &Located<String>,
        owner: &str,
        problems: &mut Problems<'_>,
    ) -> Option<Name> {
        self.resolve_or(written, &[], owner, problems)
    }

    /// Works like [`DeclaredNames::resolve`], but also suggests `words`, which would be valid too.
    pub(super) fn resolve_or(
        &self,
        written: &Located<String>,
        words: &[&str],
        owner: &str,
        problems: &mut Problems<'_>,
    ) -> Option<Name> {
        let name = Name::from(written.value.as_str());
        let found = self.canonical.get(&name).map(|(canonical, _)| canonical.clone());
        if found.is_none() {
            let candidates = words.iter().copied().chain(self.given.iter().map(Name::as_str));
            let hint = did_you_mean(&written.value, candidates);
            let shown = printable(&written.value);
            problems.report(written.place, format!("{owner}: {} \"{shown}\" is not known{hint}", self.kind));
        }
        found
    }
}

impl NameAlphabet {
    fn objection(self, name: &str) -> Option<&'static str> {
        if name.trim().is_empty() {
            return Some("a name cannot be empty");
        }
        if name.len() > MAX_NAME_LENGTH {
            return Some("a name cannot be longer than 255 bytes");
        }
        match self {
            Self::Words if name.contains('/') => Some("a name cannot contain \"/\", which separates names"),
            Self::Words if name.starts_with('-') => Some("a name cannot begin with \"-\", as options do"),
            Self::Words if printable(name) != name => Some("a name cannot contain control characters"),
            Self::HostName if name == "same" || name == "any" => {
                Some("a host cannot have this name, which has a meaning in depends_on")
            }
            Self::HostName
                if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) =>
            {
                Some("a host name has letters, digits, \"-\", \"_\" and \".\" only")
            }
            Self::HostName if name.starts_with('-') => Some("a name cannot begin with \"-\", as options do"),
            _ => None,
        }
    }
}
