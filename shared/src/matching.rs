//! Criteria against one process's command line.

use regex::bytes::Regex;

use crate::process::CommandLine;

/// One test on a command line: a regex that is searched in one argument, never in the arguments joined.
#[derive(Clone, Debug)]
pub struct Criterion {
    /// Which argument: from 0, from the end when negative, any one when `None`.
    pub index: Option<i32>,
    /// Searched, not matched whole: `java` is found in `/opt/java/bin/java`. On bytes: arguments need not be UTF-8.
    pub regex: Regex,
}

impl Criterion {
    /// Whether this criterion holds on `line`. An index past the end does not hold.
    pub fn holds(&self, line: &CommandLine) -> bool {
        match self.index {
            Some(index) => line.argument(index).is_some_and(|argument| self.regex.is_match(argument)),
            None => line.arguments().any(|argument| self.regex.is_match(argument)),
        }
    }
}

/// Whether every one of `criteria` holds on `line`. No criteria match no process.
pub fn matches(criteria: &[Criterion], line: &CommandLine) -> bool {
    !criteria.is_empty() && criteria.iter().all(|criterion| criterion.holds(line))
}

/// The criteria of many parts, arranged so that a process is held against all of them at once.
///
/// A criterion that several parts share is tried once a process, and those on argument 0 first: most processes
/// of a host are told from every part by their program alone. In the steady state nothing is allocated.
#[derive(Debug)]
pub struct Matcher {
    /// Every different criterion.
    tests: Vec<Criterion>,
    /// Each part's tests by their position, those on argument 0 first; parts with the same first test together.
    parts: Vec<(Vec<usize>, PartId)>,
    /// What is known of each test for the process at hand.
    known: Vec<Option<bool>>,
}

/// One part of one component by their positions in a host's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId {
    /// The component's position.
    pub component: usize,
    /// The part's position within it.
    pub part: usize,
}

impl Matcher {
    /// A matcher of the parts with these criteria.
    pub fn new<'c>(criteria: impl IntoIterator<Item = (PartId, &'c [Criterion])>) -> Self {
        let mut tests: Vec<Criterion> = Vec::new();
        let mut parts: Vec<(Vec<usize>, PartId)> = Vec::new();
        for (id, criteria) in criteria {
            let mut order: Vec<&Criterion> = criteria.iter().collect();
            // A criterion without an index is tried on every argument: the most expensive last.
            order.sort_by_key(|criterion| match criterion.index {
                Some(0) => 0,
                Some(_) => 1,
                None => 2,
            });
            let positions = order.into_iter().map(|criterion| {
                let is_same = |test: &Criterion| {
                    test.index == criterion.index && test.regex.as_str() == criterion.regex.as_str()
                };
                tests.iter().position(is_same).unwrap_or_else(|| {
                    tests.push(criterion.clone());
                    tests.len() - 1
                })
            });
            let positions: Vec<usize> = positions.collect();
            if !positions.is_empty() {
                parts.push((positions, id));
            }
        }
        parts.sort();
        Self { known: vec![None; tests.len()], tests, parts }
    }

    /// Adds to `found` every part whose criteria all hold on `line`.
    pub fn find(&mut self, line: &CommandLine, found: &mut Vec<PartId>) {
        self.known.fill(None);
        let Self { tests, parts, known } = self;
        for (positions, id) in parts {
            let holds = |at: &usize| *known[*at].get_or_insert_with(|| tests[*at].holds(line));
            if positions.iter().all(holds) {
                found.push(*id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn criterion(index: Option<i32>, regex: &str) -> Criterion {
        Criterion { index, regex: Regex::new(regex).unwrap() }
    }

    /// Index, regex, command line, and whether the criterion holds on it.
    type Row<'a> = (Option<i32>, &'a str, &'a [&'a [u8]], bool);

    #[test]
    fn criteria_hold_as_the_table_says() {
        let rows: &[Row<'_>] = &[
            (Some(0), "java", &[b"/opt/java/jdk1.8.0_72/bin/java"], true),
            (Some(0), "^java$", &[b"/opt/java/bin/java"], false),
            (Some(1), "java", &[b"java"], false),
            (Some(-1), "server", &[b"java", b"config/server.properties"], true),
            (Some(-3), "java", &[b"java", b"x"], false),
            (None, "kafka", &[b"java", b"-x", b"kafka.Kafka"], true),
            // Never on joined text: the boundary between arguments is a boundary.
            (None, "a b", &[b"a", b"b"], false),
            (None, "a b", &[b"a b"], true),
            // Bytes that are no UTF-8, before and after what is sought.
            (Some(1), "sklearn", &[b"java", b"\xff\xfesklearn\xff"], true),
            (Some(1), "^$", &[b"java", b""], true),
        ];
        for (index, regex, arguments, expected) in rows {
            let line = CommandLine::from_arguments(*arguments);
            assert_eq!(
                criterion(*index, regex).holds(&line),
                *expected,
                "{index:?} {regex:?} on {arguments:?}"
            );
        }
    }

    #[test]
    fn all_criteria_must_hold_on_one_process() {
        let criteria = [criterion(Some(0), "java"), criterion(Some(1), "kafka")];
        assert!(matches(&criteria, &CommandLine::from_arguments(["java", "kafka"])));
        assert!(!matches(&criteria, &CommandLine::from_arguments(["java", "tomcat"])));
        assert!(!matches(&criteria, &CommandLine::new()));
    }

    #[test]
    fn no_criteria_match_nothing() {
        assert!(!matches(&[], &CommandLine::from_arguments(["java"])));
    }

    proptest! {
        #[test]
        fn a_matcher_finds_what_the_criteria_alone_find(
            parts in proptest::collection::vec(
                proptest::collection::vec((proptest::option::of(-3..4_i32), "[ab]{1,2}"), 0..4),
                0..6
            ),
            lines in proptest::collection::vec(proptest::collection::vec("[abc]{0,3}", 0..4), 0..6),
        ) {
            let parts: Vec<Vec<Criterion>> = parts
                .iter()
                .map(|part| part.iter().map(|(index, regex)| criterion(*index, regex)).collect())
                .collect();
            let id = |part| PartId { component: part / 2, part: part % 2 };
            let mut matcher =
                Matcher::new(parts.iter().enumerate().map(|(at, criteria)| (id(at), criteria.as_slice())));
            for arguments in lines {
                let line = CommandLine::from_arguments(&arguments);
                let mut found = Vec::new();
                matcher.find(&line, &mut found);
                found.sort_unstable();
                let expected: Vec<PartId> = parts
                    .iter()
                    .enumerate()
                    .filter(|(_, criteria)| matches(criteria, &line))
                    .map(|(at, _)| id(at))
                    .collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
