//! Matches one process against the criteria of many parts: its command line first, and its attributes only if
//! the command line matches.

use std::collections::HashMap;

use crate::attributes::{AttributeTests, ProcessAttributes};
use crate::config::Part;
use crate::criterion::{ArgumentCriterion, arguments};
use crate::process::CommandLine;

/// Criteria of many parts, arranged so that a process is tested against all of them in one pass.
///
/// A criterion that several parts share is tested once per process, and criteria on argument 0 come first:
/// the program alone rules out most processes of a host. In the steady state nothing is allocated. Attributes
/// cost further reads, and are read only if the arguments match.
#[derive(Debug)]
pub struct Matcher {
    /// Distinct argument criteria.
    tests: Vec<ArgumentCriterion>,
    /// Criteria of each part, as positions in `tests`, those on argument 0 first; parts with the same first
    /// criterion are adjacent.
    parts: Vec<(Vec<usize>, PartId)>,
    /// Results of the criteria for the current process; `None`: not yet tested.
    known: Vec<Option<bool>>,
    /// Attribute criteria of each part.
    attributes: HashMap<PartId, AttributeTests>,
}

/// Position of a part in a host's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId {
    /// Position of the component.
    pub component: usize,
    /// Position of the part within the component.
    pub part: usize,
}

impl Matcher {
    /// Creates a matcher of these parts.
    pub fn new<'c>(parts: impl IntoIterator<Item = (PartId, &'c Part)>) -> Self {
        let mut tests: Vec<ArgumentCriterion> = Vec::new();
        let mut arranged: Vec<(Vec<usize>, PartId)> = Vec::new();
        let mut attributes = HashMap::new();
        for (id, part) in parts {
            let mut order: Vec<&ArgumentCriterion> = arguments(&part.criteria).collect();
            // A criterion without an index is tested on every argument: the most expensive one last.
            order.sort_by_key(|criterion| match criterion.index {
                Some(0) => 0,
                Some(_) => 1,
                None => 2,
            });
            let positions = order.into_iter().map(|criterion| {
                let is_same = |test: &ArgumentCriterion| {
                    test.index == criterion.index && test.regex.as_str() == criterion.regex.as_str()
                };
                tests.iter().position(is_same).unwrap_or_else(|| {
                    tests.push(criterion.clone());
                    tests.len() - 1
                })
            });
            let positions: Vec<usize> = positions.collect();
            if !part.criteria.is_empty() {
                arranged.push((positions, id));
                attributes.insert(id, part.attribute_tests());
            }
        }
        arranged.sort();
        Self { known: vec![None; tests.len()], tests, parts: arranged, attributes }
    }

    /// Adds to `found` every part whose argument criteria all hold on `line`. A part without argument
    /// criteria is always added: only [`Matcher::confirms`] decides about it.
    pub fn find(&mut self, line: &CommandLine, found: &mut Vec<PartId>) {
        self.known.fill(None);
        let Self { tests, parts, known, .. } = self;
        for (positions, id) in parts {
            let holds = |at: &usize| *known[*at].get_or_insert_with(|| tests[*at].holds(line));
            if positions.iter().all(holds) {
                found.push(*id);
            }
        }
    }

    /// Returns true if the attributes of a process whose arguments match also match the part.
    ///
    /// # Errors
    /// Returns an error if an attribute that decides cannot be read.
    pub fn confirms(&self, id: PartId, process: &impl ProcessAttributes) -> Result<bool, String> {
        self.attributes.get(&id).map_or(Ok(false), |tests| tests.all_hold(process))
    }

    /// Returns true if a process whose arguments match can begin or cease to match the part without an exec:
    /// by a change of its user, directory, control group or parent.
    pub fn may_change(&self, id: PartId) -> bool {
        self.attributes.get(&id).is_some_and(AttributeTests::may_change)
    }

    /// Returns true if the part has argument criteria. Without them, every process must be inspected closely.
    pub fn tests_arguments(&self, id: PartId) -> bool {
        self.parts.iter().any(|(positions, known)| *known == id && !positions.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::Regex;

    use super::*;
    use crate::attributes::tests::{FakeProcess, user};
    use crate::config::ProcessCount;
    use crate::criterion::{Criterion, arguments_match};

    fn criterion(index: Option<i32>, regex: &str) -> Criterion {
        Criterion::argument(index, Regex::new(regex).unwrap())
    }

    fn part(criteria: Vec<Criterion>) -> Part {
        Part { name: None, criteria, count: ProcessCount::ONE, container: false }
    }

    #[test]
    fn attributes_decide_where_the_arguments_fit() {
        let by_user = part(vec![criterion(Some(0), "java"), Criterion::Attribute(user("kafka", Some(7)))]);
        let by_arguments = part(vec![criterion(Some(0), "java")]);
        let only_user = part(vec![Criterion::Attribute(user("kafka", Some(7)))]);
        let [first, second, third] = [0, 1, 2].map(|component| PartId { component, part: 0 });
        let mut matcher = Matcher::new([(first, &by_user), (second, &by_arguments), (third, &only_user)]);
        let mut found = Vec::new();
        matcher.find(&CommandLine::from_arguments(["java"]), &mut found);
        found.sort_unstable();
        assert_eq!(found, [first, second, third]);
        let mut others = Vec::new();
        matcher.find(&CommandLine::from_arguments(["bash"]), &mut others);
        assert_eq!(others, [third]);
        let theirs = FakeProcess { uid: Some(8), container: Some(false), ..FakeProcess::default() };
        assert_eq!(
            [first, second, third].map(|id| matcher.confirms(id, &theirs)),
            [Ok(false), Ok(true), Ok(false)]
        );
        let its_own = FakeProcess { uid: Some(7), ..theirs };
        assert_eq!(
            [first, second, third].map(|id| matcher.confirms(id, &its_own)),
            [Ok(true), Ok(true), Ok(true)]
        );
        assert_eq!([first, second, third].map(|id| matcher.may_change(id)), [true, false, true]);
        assert_eq!([first, second, third].map(|id| matcher.tests_arguments(id)), [true, true, false]);
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
            let parts: Vec<Part> = parts
                .iter()
                .map(|criteria| part(criteria.iter().map(|(index, regex)| criterion(*index, regex)).collect()))
                .collect();
            let id = |part| PartId { component: part / 2, part: part % 2 };
            let mut matcher =
                Matcher::new(parts.iter().enumerate().map(|(at, part)| (id(at), part)));
            for arguments in lines {
                let line = CommandLine::from_arguments(&arguments);
                let mut found = Vec::new();
                matcher.find(&line, &mut found);
                found.sort_unstable();
                let expected: Vec<PartId> = parts
                    .iter()
                    .enumerate()
                    .filter(|(_, part)| arguments_match(&part.criteria, &line))
                    .map(|(at, _)| id(at))
                    .collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
