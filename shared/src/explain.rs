//! Explanations of why a process is or is not matched by a component's criteria.

use std::fmt;

use serde::Serialize;

use crate::attributes::{AttributeCriterion, CriterionKind, ProcessAttributes};
use crate::config::{Part, ProcessCount};
use crate::criterion::{ArgumentCriterion, Criterion};
use crate::name::Name;
use crate::process::CommandLine;
use crate::redact::{redact_arguments, redact_command_line};
use crate::sanitize::printable;

/// Maximum length of a displayed argument, in characters.
const SHOWN: usize = 120;

/// One part of a component with the processes that come nearest to matching it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedPart {
    /// Name of the part; `None` for the only part of an undivided component.
    pub name: Option<Name>,
    /// Required number of processes.
    pub count: ProcessCount,
    /// Processes, the nearest first.
    pub processes: Vec<ExplainedProcess>,
}

impl ExplainedPart {
    /// Creates an explanation of `part` with the nearest `shown` of `processes`.
    pub fn new(part: &Part, processes: Vec<ExplainedProcess>, shown: usize) -> Self {
        Self { name: part.name.clone(), count: part.count, processes: nearest(processes, shown) }
    }

    /// Returns true if a process matches the part.
    pub fn is_matched(&self) -> bool {
        self.processes.iter().any(ExplainedProcess::is_matched)
    }
}

/// Results of a component's criteria on one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedProcess {
    /// PID.
    pub pid: u32,
    /// Argument 0, shortened.
    pub program: String,
    /// Number of arguments, the program included.
    pub arguments: u32,
    /// User for whom the process acts; empty if it is unknown.
    pub user: String,
    /// Result of each criterion, in the configuration's order; then that of the container check, if it
    /// excludes the process.
    pub criteria: Vec<ExplainedCriterion>,
}

/// Result of one criterion on one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedCriterion {
    /// Property that the criterion tests.
    pub kind: CriterionKind,
    /// Index of the argument; `None`: any argument, or another property.
    pub index: Option<i32>,
    /// Text that the criterion searches for, variables replaced: a regex, a user or a unit.
    pub regex: String,
    /// True if the criterion holds.
    pub holds: bool,
    /// Actual value, shortened: the argument at the index, or the process's user, path or unit. `None` if
    /// there is no value, or no index.
    pub found: Option<String>,
    /// Indexes of other arguments that the regex would have matched, from 0.
    pub elsewhere: Vec<u32>,
    /// Reason why the result is unknown, as a sentence.
    pub unreadable: Option<String>,
}

impl ExplainedProcess {
    /// Tests a process against the criteria of `part`. `user_name` maps a UID to a name.
    pub fn new(
        pid: u32,
        part: &Part,
        line: &CommandLine,
        process: &impl ProcessAttributes,
        user_name: impl Fn(u32) -> String,
    ) -> Self {
        let explain = |criterion: &Criterion| match criterion {
            Criterion::Argument(argument) => ExplainedCriterion::of_argument(argument, line),
            Criterion::Attribute(attribute) => {
                ExplainedCriterion::of_attribute(attribute, process, &user_name)
            }
        };
        let container = if part.container { None } else { ExplainedCriterion::of_container(process) };
        let mut explained = Self {
            pid,
            program: String::new(),
            arguments: u32::try_from(line.len()).unwrap_or(u32::MAX),
            criteria: part.criteria.iter().map(explain).chain(container).collect(),
            user: String::new(),
        };
        // Details of all other processes are not disclosed.
        if explained.is_near() {
            explained.user = process.uid().map(&user_name).unwrap_or_default();
            explained.show_arguments(line);
        } else {
            explained.criteria.iter_mut().for_each(|criterion| criterion.found = None);
        }
        explained
    }

    /// Fills in the displayed parts of the command line, secrets redacted.
    fn show_arguments(&mut self, line: &CommandLine) {
        let arguments: Vec<_> = line.arguments().map(String::from_utf8_lossy).collect();
        let arguments = redact_arguments(arguments.iter().map(AsRef::as_ref));
        self.program = arguments.first().map(|program| shortened(program)).unwrap_or_default();
        for criterion in
            self.criteria.iter_mut().filter(|criterion| criterion.kind == CriterionKind::Argument)
        {
            let at = criterion.index.and_then(|index| line.position(index));
            criterion.found = at.and_then(|at| arguments.get(at)).map(|argument| shortened(argument));
        }
    }

    /// Returns true if any criterion holds, or would at another index.
    fn is_near(&self) -> bool {
        self.nearness() != (0, 0, 0)
    }

    /// Returns true if every criterion holds.
    pub fn is_matched(&self) -> bool {
        !self.criteria.is_empty() && self.criteria.iter().all(|criterion| criterion.holds)
    }

    /// Returns a rank of how nearly the process matches: the number of argument criteria that hold, then of
    /// those that would at another index, then of attribute criteria that hold. Most processes of a host
    /// share a user or a parent with the component: attributes alone do not count, unless there are no
    /// argument criteria.
    fn nearness(&self) -> (usize, usize, usize) {
        let is_on_argument = |one: &&ExplainedCriterion| one.kind == CriterionKind::Argument;
        let on_arguments = || self.criteria.iter().filter(is_on_argument);
        let held = on_arguments().filter(|one| one.holds).count();
        let elsewhere = on_arguments().filter(|one| !one.holds && !one.elsewhere.is_empty()).count();
        let others = self.criteria.iter().filter(|one| !is_on_argument(one) && one.holds).count();
        if held + elsewhere == 0 && on_arguments().next().is_some() {
            return (0, 0, 0);
        }
        (held, elsewhere, others)
    }
}

impl ExplainedCriterion {
    fn of_argument(criterion: &ArgumentCriterion, line: &CommandLine) -> Self {
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
            kind: CriterionKind::Argument,
            index: criterion.index,
            regex: criterion.regex.as_str().to_owned(),
            holds,
            found: None,
            elsewhere,
            unreadable: None,
        }
    }

    fn of_attribute(
        criterion: &AttributeCriterion,
        process: &impl ProcessAttributes,
        user_name: impl Fn(u32) -> String,
    ) -> Self {
        let found = match criterion {
            AttributeCriterion::User(_) => process.uid().map(user_name),
            AttributeCriterion::Unit(_) => process.unit().map(str::to_owned),
            AttributeCriterion::Directory(_) => process.directory().map(lossy),
            AttributeCriterion::Executable(_) => process.executable().map(lossy),
            AttributeCriterion::Parent(_) => process.parent().map(|parent| {
                let arguments: Vec<_> = parent.arguments().map(String::from_utf8_lossy).collect();
                shortened(&redact_command_line(arguments.iter().map(AsRef::as_ref)))
            }),
        };
        let holds = criterion.holds(process);
        Self {
            kind: criterion.kind(),
            index: None,
            regex: criterion.text().to_owned(),
            found: found.ok().filter(|found| !found.is_empty()),
            elsewhere: Vec::new(),
            unreadable: holds.as_ref().err().cloned(),
            holds: holds == Ok(true),
        }
    }

    /// Tests whether the process is in a container; `None` if it is in none, as criteria require by default.
    fn of_container(process: &impl ProcessAttributes) -> Option<Self> {
        let unreadable = match process.is_in_container() {
            Ok(false) => return None,
            Ok(true) => None,
            Err(reason) => Some(reason),
        };
        Some(Self {
            kind: CriterionKind::Container,
            index: None,
            regex: String::new(),
            holds: false,
            found: None,
            elsewhere: Vec::new(),
            unreadable,
        })
    }

    fn fmt_attribute(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wanted, found) = (printable(&self.regex), self.found.as_deref().map(printable));
        let what = match self.kind {
            CriterionKind::Container => {
                return f.write_str(
                    "it runs in another PID namespace, as in a container; container = true would count it",
                );
            }
            CriterionKind::User => "the user",
            CriterionKind::Unit => "the unit",
            CriterionKind::Directory => "the directory",
            CriterionKind::Executable => "the executable",
            CriterionKind::Argument | CriterionKind::Parent => "the parent's command line",
        };
        match &found {
            Some(found) => write!(f, "{what} is \"{found}\"")?,
            None => write!(f, "{what} is none")?,
        }
        match (self.kind, self.holds) {
            (CriterionKind::User | CriterionKind::Unit, true) => {
                if found.is_none_or(|found| found != wanted) {
                    write!(f, ", which is \"{wanted}\"")?;
                }
                Ok(())
            }
            (CriterionKind::User | CriterionKind::Unit, false) => write!(f, ", you ask for \"{wanted}\""),
            (_, true) => write!(f, " and matches '{wanted}'"),
            (_, false) => write!(f, "; '{wanted}' is not found in it"),
        }
    }
}

impl fmt::Display for ExplainedCriterion {
    /// Writes the result as a sentence: `argument 22 is "-cp"; 'config/server\.properties' is at argument
    /// 24`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = &self.unreadable {
            return write!(f, "cannot tell: {}", printable(reason));
        }
        if self.kind != CriterionKind::Argument {
            return self.fmt_attribute(f);
        }
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

/// Returns the `count` of `processes` that come nearest to matching, the nearest first. Processes on which no
/// criterion holds are left out.
fn nearest(mut processes: Vec<ExplainedProcess>, count: usize) -> Vec<ExplainedProcess> {
    processes.retain(ExplainedProcess::is_near);
    processes.sort_by_key(|process| (std::cmp::Reverse(process.nearness()), process.pid));
    processes.truncate(count);
    processes
}

fn lossy(path: &[u8]) -> String {
    shortened(&String::from_utf8_lossy(path))
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
    use crate::attributes::tests::{FakeProcess, user};

    #[test]
    fn secrets_of_a_command_line_are_not_shown() {
        let process = explained(&["java", "--password", "hunter2"]);
        assert_eq!(
            explained_lines(&process)[1],
            r#"argument 2 is "***"; 'config/server\.properties' matches none of the arguments"#
        );
        let far = explained(&["hunter2"]);
        assert_eq!((far.program.as_str(), far.criteria[0].found.as_deref()), ("", None));
    }

    fn explained(arguments: &[&str]) -> ExplainedProcess {
        let criteria = [(Some(0), "java"), (Some(2), r"config/server\.properties"), (None, "kafka")]
            .map(|(index, regex)| Criterion::argument(index, Regex::new(regex).unwrap()));
        let part = Part { name: None, criteria: criteria.into(), count: ProcessCount::ONE, container: false };
        let process = FakeProcess { uid: Some(7), container: Some(false), ..FakeProcess::default() };
        let line = CommandLine::from_arguments(arguments);
        ExplainedProcess::new(7, &part, &line, &process, |uid| format!("user{uid}"))
    }

    #[test]
    fn attributes_are_explained_with_what_was_found() {
        let regex = |text: &str| Regex::new(text).unwrap();
        let criteria = [
            user("kafka", Some(7)),
            user("kafka", Some(8)),
            user("kafka", None),
            AttributeCriterion::Unit("kafka.service".to_owned()),
            AttributeCriterion::Directory(regex("^/opt")),
            AttributeCriterion::Executable(regex("^/opt")),
            AttributeCriterion::Parent(regex("bash")),
        ];
        let part = Part {
            name: None,
            criteria: criteria.map(Criterion::Attribute).into(),
            count: ProcessCount::ONE,
            container: false,
        };
        let process =
            FakeProcess { uid: Some(7), unit: Some(""), container: Some(true), ..FakeProcess::default() };
        let line = CommandLine::from_arguments(["java"]);
        let explained = ExplainedProcess::new(7, &part, &line, &process, |uid| format!("user{uid}"));
        assert_eq!(explained.user, "user7");
        assert!(!explained.is_matched());
        assert_eq!(
            explained_lines(&explained),
            [
                "the user is \"user7\", which is \"kafka\"",
                "the user is \"user7\", you ask for \"kafka\"",
                "cannot tell: there is no user \"kafka\" on this host",
                "the unit is none, you ask for \"kafka.service\"",
                "the directory is \"/opt/kafka/logs\" and matches '^/opt'",
                "cannot tell: no executable",
                "the parent's command line is none; 'bash' is not found in it",
                "it runs in another PID namespace, as in a container; container = true would count it",
            ]
        );
    }

    fn explained_lines(process: &ExplainedProcess) -> Vec<String> {
        process.criteria.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_miss_says_where_the_regex_would_have_matched() {
        let process = explained(&["/opt/java", "-x", "-cp", "kafka", "config/server.properties"]);
        assert!(!process.is_matched());
        assert_eq!(
            explained_lines(&process),
            [
                "argument 0 is \"/opt/java\" and matches 'java'",
                r#"argument 2 is "-cp"; 'config/server\.properties' is at index 4, you ask for 2"#,
                "an argument matches 'kafka'",
            ]
        );
        assert_eq!(
            explained_lines(&explained(&["sh", "java"])),
            [
                r#"argument 0 is "sh"; 'java' is at index 1, you ask for 0"#,
                r"there is no argument 2; 'config/server\.properties' matches none of the arguments",
                "no argument matches 'kafka'",
            ]
        );
    }

    #[test]
    fn user_alone_makes_no_process_near() {
        let java = Criterion::argument(Some(0), Regex::new("java").unwrap());
        let kafka = Criterion::Attribute(user("kafka", Some(7)));
        let explained = |criteria: &[Criterion], program: &str, uid| {
            let part =
                Part { name: None, criteria: criteria.to_vec(), count: ProcessCount::ONE, container: false };
            let process = FakeProcess { uid: Some(uid), container: Some(false), ..FakeProcess::default() };
            let line = CommandLine::from_arguments([program]);
            ExplainedProcess::new(uid, &part, &line, &process, |uid| uid.to_string())
        };
        let both = [java, kafka.clone()];
        let processes =
            ["java", "bash"].into_iter().flat_map(|program| [7, 8].map(|uid| explained(&both, program, uid)));
        let near: Vec<(String, u32)> =
            nearest(processes.collect(), 9).into_iter().map(|one| (one.program, one.pid)).collect();
        assert_eq!(near, [("java".to_owned(), 7), ("java".to_owned(), 8)]);
        let only_user = [7, 8].map(|uid| explained(std::slice::from_ref(&kafka), "bash", uid));
        assert_eq!(nearest(only_user.into(), 9).len(), 1);
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
        let text = explained_lines(&process)[1].clone();
        assert!(
            !text.contains('\u{1b}') && process.criteria[1].found.as_ref().unwrap().chars().count() == 121
        );
    }
}
