//! Criteria: tests on the command line of one process, and on its attributes.

use std::fmt;

use regex::bytes::Regex;

use crate::attributes::{AttributeCriterion, CriterionKind};
use crate::process::CommandLine;
use crate::template::{Form, Resolved};

/// Test on one process.
#[derive(Clone, Debug)]
pub enum Criterion<F: Form = Resolved> {
    /// Test on the command line.
    Argument(ArgumentCriterion<F>),
    /// Test on an attribute other than the command line.
    Attribute(AttributeCriterion<F>),
}

/// Test on a command line: a regex that is searched in one argument, never in the joined arguments.
#[derive(Clone, Debug)]
pub struct ArgumentCriterion<F: Form = Resolved> {
    /// Index of the argument: from 0, from the end if negative; `None`: any argument.
    pub index: Option<i32>,
    /// Regex, which is searched, not anchored: `java` is found in `/opt/java/bin/java`. It works on bytes,
    /// because arguments need not be UTF-8.
    pub regex: F::Regex,
}

impl<F: Form> Criterion<F> {
    /// Returns the property that the criterion tests.
    pub fn kind(&self) -> CriterionKind {
        match self {
            Self::Argument(_) => CriterionKind::Argument,
            Self::Attribute(attribute) => attribute.kind(),
        }
    }

    /// Returns the index of the argument that the criterion tests; `None` for any argument, and for
    /// attributes.
    pub fn index(&self) -> Option<i32> {
        match self {
            Self::Argument(argument) => argument.index,
            Self::Attribute(_) => None,
        }
    }

    /// Returns true if both criteria test the same. Regexes are compared by their text, because a compiled
    /// one has no equality.
    pub fn is_same_as(&self, other: &Self) -> bool {
        (self.kind(), self.index(), self.to_string()) == (other.kind(), other.index(), other.to_string())
    }
}

impl<F: Form> fmt::Display for Criterion<F> {
    /// Writes the text that the criterion searches for: a regex, a user, or a unit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(argument) => argument.regex.fmt(f),
            Self::Attribute(attribute) => attribute.fmt(f),
        }
    }
}

impl Criterion {
    /// Creates a criterion on the argument at `index`, or on any argument.
    pub fn argument(index: Option<i32>, regex: Regex) -> Self {
        Self::Argument(ArgumentCriterion { index, regex })
    }

    /// Returns the text that the criterion searches for: a regex, a user, or a unit.
    pub fn text(&self) -> &str {
        match self {
            Self::Argument(argument) => argument.regex.as_str(),
            Self::Attribute(attribute) => attribute.text(),
        }
    }

    fn as_argument(&self) -> Option<&ArgumentCriterion> {
        match self {
            Self::Argument(argument) => Some(argument),
            Self::Attribute(_) => None,
        }
    }
}

impl ArgumentCriterion {
    /// Returns true if the criterion holds on `line`. It does not if the index is past the end.
    pub fn holds(&self, line: &CommandLine) -> bool {
        match self.index {
            Some(index) => line.argument(index).is_some_and(|argument| self.regex.is_match(argument)),
            None => line.arguments().any(|argument| self.regex.is_match(argument)),
        }
    }
}

/// Returns true if all argument criteria among `criteria` hold on `line`. An empty list matches no process.
pub fn arguments_match(criteria: &[Criterion], line: &CommandLine) -> bool {
    !criteria.is_empty() && arguments(criteria).all(|criterion| criterion.holds(line))
}

/// Returns true if `criteria` contains an argument criterion.
pub fn test_arguments(criteria: &[Criterion]) -> bool {
    arguments(criteria).next().is_some()
}

/// Returns the argument criteria among `criteria`.
pub(crate) fn arguments(criteria: &[Criterion]) -> impl Iterator<Item = &ArgumentCriterion> {
    criteria.iter().filter_map(Criterion::as_argument)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn criterion(index: Option<i32>, regex: &str) -> Criterion {
        Criterion::argument(index, Regex::new(regex).unwrap())
    }

    /// Row of the table: index, regex, command line, and the expected result.
    type ArgumentRow<'a> = (Option<i32>, &'a str, &'a [&'a [u8]], bool);

    #[test]
    fn criteria_hold_as_the_table_says() {
        let rows: &[ArgumentRow<'_>] = &[
            (Some(0), "java", &[b"/opt/java/jdk1.8.0_72/bin/java"], true),
            (Some(0), "^java$", &[b"/opt/java/bin/java"], false),
            (Some(1), "java", &[b"java"], false),
            (Some(-1), "server", &[b"java", b"config/server.properties"], true),
            (Some(-3), "java", &[b"java", b"x"], false),
            (None, "kafka", &[b"java", b"-x", b"kafka.Kafka"], true),
            // Never on joined text: the boundary between arguments counts.
            (None, "a b", &[b"a", b"b"], false),
            (None, "a b", &[b"a b"], true),
            // Bytes that are not UTF-8, before and after the match.
            (Some(1), "sklearn", &[b"java", b"\xff\xfesklearn\xff"], true),
            (Some(1), "^$", &[b"java", b""], true),
        ];
        for (index, regex, arguments, expected) in rows {
            let line = CommandLine::from_arguments(*arguments);
            let criterion = ArgumentCriterion { index: *index, regex: Regex::new(regex).unwrap() };
            assert_eq!(criterion.holds(&line), *expected, "{index:?} {regex:?} on {arguments:?}");
        }
    }

    #[test]
    fn all_criteria_must_hold_on_one_process() {
        let criteria = [criterion(Some(0), "java"), criterion(Some(1), "kafka")];
        assert!(arguments_match(&criteria, &CommandLine::from_arguments(["java", "kafka"])));
        assert!(!arguments_match(&criteria, &CommandLine::from_arguments(["java", "tomcat"])));
        assert!(!arguments_match(&criteria, &CommandLine::new()));
    }

    #[test]
    fn no_criteria_match_nothing() {
        assert!(!arguments_match(&[], &CommandLine::from_arguments(["java"])));
    }
}
