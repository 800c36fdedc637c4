//! Why a process is or is not matched by a component's criteria.

use std::fmt;

use serde::Serialize;

use crate::config::{Count, Part};
use crate::mask::masked;
use crate::matching::Criterion;
use crate::name::Name;
use crate::process::CommandLine;
use crate::text::printable;

/// How much of an argument is shown, in characters.
const SHOWN: usize = 120;

/// One part of a component with the processes that come nearest to its criteria.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedPart {
    /// `None` for the only part of a component that is not divided.
    pub name: Option<Name>,
    /// How many processes it is to have.
    pub count: Count,
    /// The nearest first.
    pub processes: Vec<ExplainedProcess>,
}

impl ExplainedPart {
    /// `part` with the `shown` of `processes` that come nearest to it.
    pub fn new(part: &Part, processes: Vec<ExplainedProcess>, shown: usize) -> Self {
        Self { name: part.name.clone(), count: part.count, processes: nearest(processes, shown) }
    }

    /// Whether a process matches it.
    pub fn is_matched(&self) -> bool {
        self.processes.iter().any(ExplainedProcess::is_matched)
    }
}

/// One process held against a component's criteria.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedProcess {
    /// Its process ID.
    pub pid: u32,
    /// Its argument 0, shortened.
    pub program: String,
    /// How many arguments it has, the program among them.
    pub arguments: u32,
    /// Each criterion, in the configuration's order.
    pub criteria: Vec<ExplainedCriterion>,
}

/// One criterion held against one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedCriterion {
    /// Which argument it asks for; `None`: any.
    pub index: Option<i32>,
    /// What it looks for, variables replaced.
    pub regex: String,
    /// Whether it holds.
    pub holds: bool,
    /// The argument that stands at the index, shortened; `None` where there is none, or no index.
    pub found: Option<String>,
    /// Where else the regex would have matched: indexes from 0.
    pub elsewhere: Vec<u32>,
}

impl ExplainedProcess {
    /// Holds `line` against the criteria of `part`.
    pub fn new(pid: u32, part: &Part, line: &CommandLine) -> Self {
        let criteria = part.criteria.iter().map(|criterion| ExplainedCriterion::new(criterion, line));
        let mut explained = Self {
            pid,
            program: String::new(),
            arguments: u32::try_from(line.len()).unwrap_or(u32::MAX),
            criteria: criteria.collect(),
        };
        // Of all others nothing is shown.
        if explained.is_near() {
            explained.show(line);
        }
        explained
    }

    /// Fills in what is shown of the command line, secrets hidden.
    fn show(&mut self, line: &CommandLine) {
        let arguments: Vec<_> = line.arguments().map(String::from_utf8_lossy).collect();
        let arguments = masked(arguments.iter().map(AsRef::as_ref));
        self.program = arguments.first().map(|program| shortened(program)).unwrap_or_default();
        for criterion in &mut self.criteria {
            let at = criterion.index.and_then(|index| line.position(index));
            criterion.found = at.and_then(|at| arguments.get(at)).map(|argument| shortened(argument));
        }
    }

    /// Whether any criterion holds, or would at another index.
    fn is_near(&self) -> bool {
        self.nearness() != (0, 0)
    }

    /// Whether every criterion holds.
    pub fn is_matched(&self) -> bool {
        !self.criteria.is_empty() && self.criteria.iter().all(|criterion| criterion.holds)
    }

    /// How near it comes: how many criteria hold, then how many would at another index.
    fn nearness(&self) -> (usize, usize) {
        let count =
            |test: fn(&ExplainedCriterion) -> bool| self.criteria.iter().filter(|one| test(one)).count();
        (count(|one| one.holds), count(|one| !one.holds && !one.elsewhere.is_empty()))
    }
}

impl ExplainedCriterion {
    fn new(criterion: &Criterion, line: &CommandLine) -> Self {
        let holds = criterion.holds(line);
        let elsewhere = match criterion.index {
            Some(_) if !holds => line
                .arguments()
                .zip(0..)
                .filter(|(argument, _)| criterion.regex.is_match(argument))
                .map(|(_, at)| at)
                .collect(),
            _ => Vec::new(),
        };
        Self {
            index: criterion.index,
            regex: criterion.regex.as_str().to_owned(),
            holds,
            found: None,
            elsewhere,
        }
    }
}

impl fmt::Display for ExplainedCriterion {
    /// `argument 22 is "-cp"; 'config/server\.properties' is at argument 24`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let regex = printable(&self.regex);
        let Some(index) = self.index else {
            let word = if self.holds { "an argument matches" } else { "no argument matches" };
            return write!(f, "{word} '{regex}'");
        };
        match &self.found {
            Some(found) if self.holds => {
                return write!(f, "argument {index} is \"{}\" and matches '{regex}'", printable(found));
            }
            Some(found) => write!(f, "argument {index} is \"{}\"", printable(found))?,
            None => write!(f, "there is no argument {index}")?,
        }
        match self.elsewhere.as_slice() {
            [] => write!(f, "; '{regex}' matches none of the arguments"),
            [one] => write!(f, "; '{regex}' is at index {one}, you ask for {index}"),
            several => {
                let list: Vec<String> = several.iter().map(u32::to_string).collect();
                write!(f, "; '{regex}' is at indexes {}, you ask for {index}", list.join(", "))
            }
        }
    }
}

/// The `count` of `processes` that come nearest, the nearest first. One that nothing fits is not near.
fn nearest(mut processes: Vec<ExplainedProcess>, count: usize) -> Vec<ExplainedProcess> {
    processes.retain(ExplainedProcess::is_near);
    processes.sort_by_key(|process| (std::cmp::Reverse(process.nearness()), process.pid));
    processes.truncate(count);
    processes
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use regex::bytes::Regex;

    use super::*;

    #[test]
    fn secrets_of_a_command_line_are_not_shown() {
        let process = explained(&["java", "--password", "hunter2"]);
        assert_eq!(
            told(&process)[1],
            r#"argument 2 is "***"; 'config/server\.properties' matches none of the arguments"#
        );
        let far = explained(&["hunter2"]);
        assert_eq!((far.program.as_str(), far.criteria[0].found.as_deref()), ("", None));
    }

    fn explained(arguments: &[&str]) -> ExplainedProcess {
        let criteria = [(Some(0), "java"), (Some(2), r"config/server\.properties"), (None, "kafka")]
            .map(|(index, regex)| Criterion { index, regex: Regex::new(regex).unwrap() });
        let part = Part { name: None, criteria: criteria.into(), count: Count::ONE };
        ExplainedProcess::new(7, &part, &CommandLine::from_arguments(arguments))
    }

    fn told(process: &ExplainedProcess) -> Vec<String> {
        process.criteria.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_miss_says_where_the_regex_would_have_matched() {
        let process = explained(&["/opt/java", "-x", "-cp", "kafka", "config/server.properties"]);
        assert!(!process.is_matched());
        assert_eq!(
            told(&process),
            [
                "argument 0 is \"/opt/java\" and matches 'java'",
                r#"argument 2 is "-cp"; 'config/server\.properties' is at index 4, you ask for 2"#,
                "an argument matches 'kafka'",
            ]
        );
        assert_eq!(
            told(&explained(&["sh", "java"])),
            [
                r#"argument 0 is "sh"; 'java' is at index 1, you ask for 0"#,
                r"there is no argument 2; 'config/server\.properties' matches none of the arguments",
                "no argument matches 'kafka'",
            ]
        );
    }

    #[test]
    fn the_nearest_come_first_and_the_far_not_at_all() {
        let near = explained(&["java", "kafka", "x"]);
        let nearer = explained(&["java", "kafka", "x", "config/server.properties"]);
        let matched = explained(&["java", "kafka", "config/server.properties"]);
        let far = explained(&["bash"]);
        assert!(matched.is_matched());
        let sorted = nearest(vec![far, near.clone(), matched.clone(), nearer.clone()], 5);
        assert_eq!(sorted, [matched, nearer, near]);
        assert_eq!(nearest(sorted, 1).len(), 1);
    }

    #[test]
    fn hostile_and_huge_arguments_are_shown_short_and_harmless() {
        let process = explained(&["java", "x", &"\u{1b}".repeat(1000)]);
        let text = told(&process)[1].clone();
        assert!(
            !text.contains('\u{1b}') && process.criteria[1].found.as_ref().unwrap().chars().count() == 121
        );
    }
}
