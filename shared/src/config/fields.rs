//! Reads the keys of one TOML table, collecting every problem instead of stopping at the first.

use std::time::Duration;

use jiff::SignedDuration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source::Problems;
use crate::sanitize::printable;
use crate::suggestion::did_you_mean;
use crate::template::{Located, SourceLocation};

/// Maximum duration in a configuration; longer ones are taken for mistakes.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// TOML value with its position.
pub(super) type TomlValue<'t, 'i> = Located<&'t DeValue<'i>>;

/// Table whose keys are being read. Each key that is requested counts as known; [`TableReader::finish`]
/// reports the others.
pub(super) struct TableReader<'t, 'i> {
    table: &'t DeTable<'i>,
    /// Start of the table.
    pub(super) place: SourceLocation,
    /// Name of the table in messages: `component "kafka server"`.
    pub(super) owner: String,
    known: Vec<&'static str>,
}

impl<'t, 'i> TableReader<'t, 'i> {
    pub(super) fn new(table: &'t DeTable<'i>, place: SourceLocation, owner: impl Into<String>) -> Self {
        Self { table, place, owner: owner.into(), known: Vec::new() }
    }

    /// Returns the value of `key`, if it exists.
    pub(super) fn value(&mut self, key: &'static str) -> Option<TomlValue<'t, 'i>> {
        self.knows(key);
        self.table.get(key).map(|value| at(self.place.source, value))
    }

    /// Marks a key as known.
    fn knows(&mut self, key: &'static str) {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
    }

    /// Returns true if `key` exists.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Reports a missing key.
    pub(super) fn missing(&self, key: &str, problems: &mut Problems<'_>) {
        problems.report(self.place, format!("{}: key \"{key}\" is missing", self.owner));
    }

    pub(super) fn text(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<Located<String>> {
        let value = self.value(key)?;
        text_of(&value, &self.owner, key, problems)
    }

    pub(super) fn required_text(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<Located<String>> {
        if !self.table.contains_key(key) {
            self.knows(key);
            self.missing(key, problems);
            return None;
        }
        self.text(key, problems)
    }

    pub(super) fn boolean(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<bool> {
        let value = self.value(key)?;
        value.value.as_bool().or_else(|| {
            wrong_type(&value, &self.owner, key, "true or false", problems);
            None
        })
    }

    /// Returns an integer, if the key exists and is valid.
    pub(super) fn integer(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<i32> {
        let value = self.value(key)?;
        let Some(integer) = value.value.as_integer() else {
            wrong_type(&value, &self.owner, key, "a whole number", problems);
            return None;
        };
        let parsed = i32::from_str_radix(integer.as_str(), integer.radix());
        if parsed.is_err() {
            problems.report(value.place, format!("{}: key \"{key}\" is out of range", self.owner));
        }
        parsed.ok()
    }

    /// Returns a duration such as "30s" or "2m 30s", between `shortest` and a day.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        shortest: Duration,
        problems: &mut Problems<'_>,
    ) -> Option<Duration> {
        let text = self.text(key, problems)?;
        let parsed = text
            .value
            .parse::<SignedDuration>()
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .filter(|duration| (shortest..=LONGEST).contains(duration));
        if parsed.is_none() {
            problems.report(
                text.place,
                format!(
                    "{}: key \"{key}\": \"{}\" is no time between {}s and 24h; write for example \"30s\" or \"2m\"",
                    self.owner,
                    printable(&text.value),
                    shortest.as_secs()
                ),
            );
        }
        parsed
    }

    /// Returns the elements of an array; empty if the key is missing.
    pub(super) fn array(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Vec<TomlValue<'t, 'i>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        match value.value.as_array() {
            Some(array) => array.iter().map(|element| at(self.place.source, element)).collect(),
            None => {
                wrong_type(&value, &self.owner, key, "an array", problems);
                Vec::new()
            }
        }
    }

    /// Returns the texts of an array of strings; empty if the key is missing.
    pub(super) fn texts(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Vec<Located<String>> {
        let elements = self.array(key, problems);
        elements.iter().filter_map(|element| text_of(element, &self.owner, key, problems)).collect()
    }

    /// Returns a subtable.
    pub(super) fn table(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<TableReader<'t, 'i>> {
        let value = self.value(key)?;
        let owner = match self.owner.as_str() {
            "" => key.to_owned(),
            owner => format!("{owner}: {key}"),
        };
        reader_of_table(&value, owner, key, problems)
    }

    /// Returns the tables of an array of tables.
    pub(super) fn tables(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Vec<TableReader<'t, 'i>> {
        let elements = self.array(key, problems);
        elements.iter().filter_map(|element| reader_of_table(element, key, key, problems)).collect()
    }

    /// Returns the keys and texts of a table whose keys the user chooses, such as `variables`.
    pub(super) fn text_map(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Vec<(Located<String>, Located<String>)> {
        let Some(fields) = self.table(key, problems) else { return Vec::new() };
        fields
            .table
            .iter()
            .filter_map(|(name, value)| {
                let name = Located {
                    value: name.get_ref().to_string(),
                    place: SourceLocation { source: self.place.source, offset: name.span().start },
                };
                let value = text_of(&at(self.place.source, value), &fields.owner, &name.value, problems)?;
                Some((name, value))
            })
            .collect()
    }

    /// Reports every key that was never requested.
    pub(super) fn finish(self, problems: &mut Problems<'_>) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let place = SourceLocation { source: self.place.source, offset: key.span().start };
                let hint = did_you_mean(name, self.known.iter().copied());
                let name = printable(name);
                let sentence = match self.owner.as_str() {
                    "" => format!("key \"{name}\" is not known{hint}"),
                    owner => format!("{owner}: key \"{name}\" is not known{hint}"),
                };
                problems.report(place, sentence);
            }
        }
    }
}

fn at<'t, 'i>(source: usize, value: &'t Spanned<DeValue<'i>>) -> TomlValue<'t, 'i> {
    Located { value: value.get_ref(), place: SourceLocation { source, offset: value.span().start } }
}

/// Returns `value` as a table.
pub(super) fn reader_of_table<'t, 'i>(
    value: &TomlValue<'t, 'i>,
    owner: impl Into<String>,
    key: &str,
    problems: &mut Problems<'_>,
) -> Option<TableReader<'t, 'i>> {
    let owner = owner.into();
    match value.value.as_table() {
        Some(table) => Some(TableReader::new(table, value.place, owner)),
        None => {
            wrong_type(value, &owner, key, "a table", problems);
            None
        }
    }
}

fn text_of(
    value: &TomlValue<'_, '_>,
    owner: &str,
    key: &str,
    problems: &mut Problems<'_>,
) -> Option<Located<String>> {
    match value.value.as_str() {
        Some(text) => Some(Located { value: text.to_owned(), place: value.place }),
        None => {
            wrong_type(value, owner, key, "a text in quotes", problems);
            None
        }
    }
}

fn wrong_type(
    value: &TomlValue<'_, '_>,
    owner: &str,
    key: &str,
    expected: &str,
    problems: &mut Problems<'_>,
) {
    let found = value.value.type_str();
    let article = if found.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
    problems.report(value.place, format!("{owner}: key \"{key}\" must be {expected}, not {article} {found}"));
}
