//! Learns criteria that distinguish a running process from all others of its host.
//!
//! | module | holds |
//! |---|---|
//! | `unsuitable_arguments` | arguments that make bad criteria |
//! | `pattern` | text as a regex, with the host's own values as variables |
//! | `command_line_structure` | arguments that say what a process runs |
//! | `candidates` | candidates for criteria, the best first |
//! | `naming` | a name for the component |

mod candidates;
mod command_line_structure;
mod naming;
mod pattern;
mod unsuitable_arguments;

use std::cmp::Reverse;
use std::fmt;

use self::candidates::{CandidateRank, CandidateSet, CriterionCandidate, collect_candidates};
use self::pattern::PatternVariables;
use crate::criterion::ArgumentCriterion;
use crate::process::CommandLine;
use crate::redact::redact_command_line;
use crate::template::RegexTemplate;

/// Component that is proposed for the configuration. Its `Display` writes TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Name of the component: words in lower case.
    pub name: String,
    /// Criteria that all hold on the process, while no other process meets all of them. Never empty.
    pub criteria: Vec<ProposedCriterion>,
    /// True if the process runs in a container, because such processes count only if the configuration says
    /// so.
    pub container: bool,
}

/// Criterion that is proposed for the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProposedCriterion {
    /// Criterion on an argument, or on any argument.
    Argument {
        /// See [`ArgumentCriterion::index`].
        index: Option<i32>,
        /// Regex with variables; see [`RegexTemplate`].
        regex: String,
    },
    /// User for whom the process acts.
    User(String),
}

/// Process from which criteria are learnt, or from which they must distinguish.
#[derive(Clone, Copy, Debug)]
pub struct LearnSubject<'p> {
    /// Command line.
    pub line: &'p CommandLine,
    /// User for whom the process acts; `None` if it is unknown.
    pub user: Option<&'p str>,
}

/// Error for a process that no criteria distinguish from some others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndistinguishableError {
    /// Indexes of these others in the input; empty if the command line offers no criteria at all.
    pub others: Vec<usize>,
    /// True if arguments were not used because they may be secrets.
    pub has_secret: bool,
}

/// Identity of a running process, as far as its command line shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearntIdentity {
    /// Name for the process: words in lower case.
    pub name: String,
    /// Main class, jar or script that it runs, otherwise its program.
    pub what: String,
    /// True for a Java virtual machine that runs a class or a jar.
    pub is_java_program: bool,
}

/// Returns the identity of a process with this command line.
pub fn identify(line: &CommandLine) -> LearntIdentity {
    let offer = collect_candidates(line, &PatternVariables::none());
    let main = offer.anatomy.mains.last().and_then(|(at, _)| i32::try_from(*at).ok());
    let what = line.argument(main.unwrap_or(0)).unwrap_or_default();
    LearntIdentity {
        name: naming::proposed_name(line, &offer),
        what: redact_command_line([String::from_utf8_lossy(what).as_ref()]),
        is_java_program: offer.anatomy.is_java && main.is_some(),
    }
}

/// Returns the criteria that `target` meets and none of `others` does.
///
/// Program and identity (the main class, script or configuration file) are always included, so that the
/// component is also distinguished from relatives that do not run at the moment; other criteria are included
/// only if they are necessary. `variables` are names and values, a name once for each of its values: text in
/// an argument that equals a value is written as `${name}`, and thus each of the values matches there. The
/// user is included only if the command line does not distinguish the process from others, and the user does.
///
/// # Errors
/// Returns the others that meet every criterion of `target`.
pub fn learn(
    target: LearnSubject<'_>,
    others: &[LearnSubject<'_>],
    variables: &[(String, String)],
) -> Result<Proposal, IndistinguishableError> {
    let LearnSubject { line: target, user } = target;
    let offer = collect_candidates(target, &PatternVariables::new(variables));
    let offered = |rank: CandidateRank| -> Vec<CompiledCandidate> {
        let of_rank = offer.candidates.iter().filter(|candidate| candidate.rank == rank);
        of_rank.filter_map(|candidate| CompiledCandidate::new(candidate, target, variables)).collect()
    };
    let mut kept: Vec<CompiledCandidate> = offered(CandidateRank::Program);
    let identity = offered(CandidateRank::Identity);
    // At least one criterion must identify what runs: an interpreter alone does not.
    let needs_more = kept.is_empty() || offer.anatomy.is_general && identity.is_empty() && target.len() > 1;
    kept.extend(identity);
    let meets_kept = |line: &CommandLine| kept.iter().all(|candidate| candidate.criterion.holds(line));
    let mut left: Vec<usize> = (0..others.len()).filter(|at| meets_kept(others[*at].line)).collect();
    let alike = left.clone();
    let mut added: Vec<CompiledCandidate> = Vec::new();
    let is_open =
        |left: &[usize], added: &[CompiledCandidate]| !left.is_empty() || needs_more && added.is_empty();
    for rank in CandidateRank::ADDED {
        // Compiling them all is expensive.
        let mut more = if is_open(&left, &added) { offered(rank) } else { break };
        while is_open(&left, &added) {
            let excluded = |candidate: &CompiledCandidate| {
                left.iter().filter(|at| !candidate.criterion.holds(others[**at].line)).count()
            };
            let best = more.iter().map(excluded).enumerate().min_by_key(|(_, count)| Reverse(*count));
            let Some((at, count)) = best else { break };
            if count == 0 && !left.is_empty() {
                break;
            }
            let candidate = more.remove(at);
            left.retain(|at| candidate.criterion.holds(others[*at].line));
            added.push(candidate);
        }
    }
    let is_anothers =
        |at: &usize| user.is_some() && others[*at].user.is_some_and(|other| Some(other) != user);
    let user = user.filter(|_| !left.is_empty() && left.iter().all(is_anothers));
    if user.is_some() {
        left.clear();
    }
    if !left.is_empty() || kept.len() + added.len() == 0 {
        return Err(IndistinguishableError { others: left, has_secret: offer.has_secret });
    }
    drop_redundant(&mut added, needs_more, |added| {
        let is_told = |at: &usize| added.iter().any(|candidate| !candidate.criterion.holds(others[*at].line));
        alike.iter().all(|at| user.is_some() && is_anothers(at) || is_told(at))
    });
    kept.extend(added);
    let mut proposal = proposal(target, &offer, kept);
    proposal.criteria.extend(user.map(|user| ProposedCriterion::User(user.to_owned())));
    Ok(proposal)
}

/// Removes criteria, the worst first, that are not necessary for `separates` to hold.
fn drop_redundant(
    added: &mut Vec<CompiledCandidate>,
    one_must_stay: bool,
    separates: impl Fn(&[CompiledCandidate]) -> bool,
) {
    for at in (0..added.len()).rev() {
        if one_must_stay && added.len() == 1 {
            return;
        }
        let candidate = added.remove(at);
        if !separates(added) {
            added.insert(at, candidate);
        }
    }
}

fn proposal(target: &CommandLine, offer: &CandidateSet, candidate: Vec<CompiledCandidate>) -> Proposal {
    Proposal {
        name: naming::proposed_name(target, offer),
        criteria: candidate
            .into_iter()
            .map(|candidate| ProposedCriterion::Argument {
                index: candidate.criterion.index,
                regex: candidate.regex,
            })
            .collect(),
        container: false,
    }
}

/// Candidate, compiled like a criterion of the configuration.
struct CompiledCandidate {
    regex: String,
    criterion: ArgumentCriterion,
}

impl CompiledCandidate {
    /// Compiles a candidate; `None` if the target itself would not meet it.
    fn new(
        candidate: &CriterionCandidate,
        target: &CommandLine,
        variables: &[(String, String)],
    ) -> Option<Self> {
        let values = |name: &str| -> Option<Vec<String>> {
            let of_name = variables.iter().filter(|(known, _)| known == name);
            Some(of_name.map(|(_, value)| value.clone()).collect())
        };
        let regex = RegexTemplate::parse(&candidate.regex).ok()?.compile(values).ok()?;
        let criterion = ArgumentCriterion { index: candidate.index, regex };
        criterion.holds(target).then(|| Self { regex: candidate.regex.clone(), criterion })
    }
}

impl fmt::Display for Proposal {
    /// Writes a `[[component]]` table, with a line end after the last line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[[component]]\nname = {}", toml::Value::from(self.name.as_str()))?;
        if self.container {
            writeln!(f, "container = true")?;
        }
        match self.criteria.as_slice() {
            [one] => writeln!(f, "criteria = [{one}]"),
            several => {
                writeln!(f, "criteria = [")?;
                for criterion in several {
                    writeln!(f, "    {criterion},")?;
                }
                writeln!(f, "]")
            }
        }
    }
}

impl fmt::Display for ProposedCriterion {
    /// Writes an inline table: `{ index = 0, regex = '(^|/)java$' }`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, regex) = match self {
            Self::Argument { index, regex } => (index, regex),
            // A dollar before a brace would start a variable.
            Self::User(user) => {
                return write!(f, "{{ user = {} }}", toml::Value::from(user.replace("${", "$${")));
            }
        };
        f.write_str("{ ")?;
        if let Some(index) = index {
            write!(f, "index = {index}, ")?;
        }
        // A regex has no control character, so that a literal string can hold any without an apostrophe.
        match regex.contains('\'') {
            true => write!(f, "regex = {} }}", toml::Value::from(regex.as_str())),
            false => write!(f, "regex = '{regex}' }}"),
        }
    }
}

#[cfg(test)]
mod tests;
