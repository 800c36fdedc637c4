//! Parts of a component: which processes belong to it, and how many.

use std::fmt;

use serde::Serialize;

use super::super::variables::Variables;
use crate::attributes::{AttributeCriterion, AttributeTests, CriterionKind, UserCriterion};
use crate::criterion::{ArgumentCriterion, Criterion};
use crate::name::Name;
use crate::template::{CompileError, Form, Located, RegexTemplate, Resolved, Template, Templated};

/// Set of criteria, and the number of processes that must match them.
#[derive(Clone, Debug)]
pub struct Part<F: Form = Resolved> {
    /// Name of the part; `None` for the only part of an undivided component.
    pub name: Option<Name>,
    /// Criteria; a process must meet every one.
    pub criteria: Vec<Criterion<F>>,
    /// Number of processes that must match.
    pub count: ProcessCount,
    /// True if processes of other PID namespaces, such as those of containers, count too.
    pub container: bool,
}

impl Part {
    pub(crate) fn attribute_tests(&self) -> AttributeTests {
        let attributes = self.criteria.iter().filter_map(|criterion| match criterion {
            Criterion::Attribute(attribute) => Some(attribute.clone()),
            Criterion::Argument(_) => None,
        });
        AttributeTests::new(attributes, self.container)
    }
}

impl Part<Templated> {
    /// Replaces the variables. `user` is that of the start command: the processes must also have it, unless a
    /// criterion names another user.
    ///
    /// # Errors
    /// Returns an error if a variable has no value, or if a regex is invalid with the values.
    pub(in super::super) fn resolve(
        &self,
        user: Option<&str>,
        variables: &Variables<'_>,
    ) -> Result<Part, CompileError> {
        let Self { name, criteria, count, container } = self;
        let criteria = criteria.iter().map(|criterion| criterion.resolve(variables));
        let mut criteria: Vec<Criterion> = criteria.collect::<Result<_, CompileError>>()?;
        let is_said = criteria.iter().any(|criterion| criterion.kind() == CriterionKind::User);
        if let Some(user) = user.filter(|_| !is_said) {
            let user = UserCriterion { name: user.to_owned(), uid: None, is_implied: true };
            criteria.push(Criterion::Attribute(AttributeCriterion::User(user)));
        }
        Ok(Part { name: name.clone(), criteria, count: *count, container: *container })
    }

    /// Returns the texts of the criteria.
    pub(in super::super) fn templates(&self) -> Vec<Located<&Template>> {
        let Self { name: _, criteria, count: _, container: _ } = self;
        criteria.iter().map(Criterion::template).collect()
    }
}

impl Criterion<Templated> {
    fn resolve(&self, variables: &Variables<'_>) -> Result<Criterion, CompileError> {
        Ok(match self {
            Self::Argument(ArgumentCriterion { index, regex }) => {
                Criterion::Argument(ArgumentCriterion { index: *index, regex: variables.regex(regex)? })
            }
            Self::Attribute(attribute) => Criterion::Attribute(attribute.resolve(variables)?),
        })
    }

    /// Returns the text that the criterion searches for.
    fn template(&self) -> Located<&Template> {
        match self {
            Self::Argument(ArgumentCriterion { index: _, regex }) => {
                regex.as_ref().map(RegexTemplate::template)
            }
            Self::Attribute(attribute) => attribute.template(),
        }
    }
}

impl AttributeCriterion<Templated> {
    fn resolve(&self, variables: &Variables<'_>) -> Result<AttributeCriterion, CompileError> {
        Ok(match self {
            Self::User(UserCriterion { name, uid, is_implied }) => {
                let name = variables.text(name)?;
                AttributeCriterion::User(UserCriterion { name, uid: *uid, is_implied: *is_implied })
            }
            Self::Unit(unit) => AttributeCriterion::Unit(variables.text(unit)?),
            Self::Directory(regex) => AttributeCriterion::Directory(variables.regex(regex)?),
            Self::Executable(regex) => AttributeCriterion::Executable(variables.regex(regex)?),
            Self::Parent(regex) => AttributeCriterion::Parent(variables.regex(regex)?),
        })
    }

    fn template(&self) -> Located<&Template> {
        match self {
            Self::User(user) => user.name.as_ref(),
            Self::Unit(unit) => unit.as_ref(),
            Self::Directory(regex) | Self::Executable(regex) | Self::Parent(regex) => {
                regex.as_ref().map(RegexTemplate::template)
            }
        }
    }
}

/// Returns true if two components consist of the same processes.
pub fn same_parts<F: Form>(old: &[Part<F>], new: &[Part<F>]) -> bool {
    old.len() == new.len()
        && old.iter().zip(new).all(|(old, new)| {
            old.name == new.name
                && old.count == new.count
                && old.container == new.container
                && old.criteria.len() == new.criteria.len()
                && old.criteria.iter().zip(&new.criteria).all(|(old, new)| old.is_same_as(new))
        })
}

/// Allowed number of processes of a part. A match whose parent matches too is not counted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessCount {
    /// Minimum; below it, the part is missing.
    pub min: u32,
    /// Maximum; above it, the part runs too often. `None`: unlimited.
    pub max: Option<u32>,
}

impl ProcessCount {
    /// Exactly one process.
    pub const ONE: Self = Self { min: 1, max: Some(1) };
}

impl fmt::Display for ProcessCount {
    /// Writes `1`, `2-3` or `2+`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max {
            Some(max) if max == self.min => write!(f, "{max}"),
            Some(max) => write!(f, "{}-{max}", self.min),
            None => write!(f, "{}+", self.min),
        }
    }
}
