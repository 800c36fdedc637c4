//! From a running process to the criteria that tell it from all others of its host.
//!
//! | module | holds |
//! |---|---|
//! | `doubt` | arguments that make bad criteria |
//! | `pattern` | text as a regex, with the host's own values as variables |
//! | `anatomy` | which arguments say what a process is |
//! | `candidate` | the criteria that a command line offers, the best first |
//! | `naming` | a name for the component |

mod anatomy;
mod candidate;
mod doubt;
mod naming;
mod pattern;

use std::cmp::Reverse;
use std::fmt;

use self::candidate::{Candidate, Offer, Rank, offer};
use self::pattern::Variables;
use crate::config::RegexTemplate;
use crate::criterion::ArgumentCriterion;
use crate::mask::masked_command;
use crate::process::CommandLine;

/// A component as it could stand in the configuration. Its `Display` is that TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// A name for the component: words in lower case.
    pub name: String,
    /// All hold on the process, and no other process meets all of them. Never empty.
    pub criteria: Vec<ProposedCriterion>,
    /// The process is one of a container, which counts only where that is said.
    pub container: bool,
}

/// A criterion as it could stand in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProposedCriterion {
    /// One on an argument, or on any.
    Argument {
        /// See [`ArgumentCriterion::index`].
        index: Option<i32>,
        /// A regex with variables; see [`RegexTemplate`].
        regex: String,
    },
    /// The user that it acts for.
    User(String),
}

/// What is known of a process from which, or against which, criteria are learnt.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'p> {
    /// Its command line.
    pub line: &'p CommandLine,
    /// The user that it acts for; `None` where that is not known.
    pub user: Option<&'p str>,
}

/// A process that no criteria tell from some others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inseparable {
    /// The others, by their positions in what was given; empty where the command line offers nothing at all.
    pub others: Vec<usize>,
    /// Whether arguments were not used because they look secret.
    pub has_secret: bool,
}

/// What a running process is, as far as its command line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// A name for it: words in lower case.
    pub name: String,
    /// The main class, jar or script that it runs, else its program.
    pub what: String,
    /// Whether it is a Java virtual machine that runs a class or a jar.
    pub is_java_program: bool,
}

/// What a process with this command line is.
pub fn identify(line: &CommandLine) -> Identity {
    let offer = offer(line, &Variables::none());
    let main = offer.anatomy.mains.last().and_then(|(at, _)| i32::try_from(*at).ok());
    let what = line.argument(main.unwrap_or(0)).unwrap_or_default();
    Identity {
        name: naming::proposed_name(line, &offer),
        what: masked_command([String::from_utf8_lossy(what).as_ref()]),
        is_java_program: offer.anatomy.is_java && main.is_some(),
    }
}

/// The criteria that `target` meets and none of `others` does.
///
/// Program and identity (the main class, script or configuration file) are always among them, so that the
/// component is told from relatives that do not run just now; nothing else is that could be left out.
/// `variables` are names and values, a name once for each of its values: what of a value stands in an argument is
/// written as `${name}`, and so each of its values is matched there. The user is asked for where the command line does
/// not tell the process from others, and that does.
///
/// # Errors
/// The others that meet everything that `target` does.
pub fn learn(
    target: Subject<'_>,
    others: &[Subject<'_>],
    variables: &[(String, String)],
) -> Result<Proposal, Inseparable> {
    let Subject { line: target, user } = target;
    let offer = offer(target, &Variables::new(variables));
    let offered = |rank: Rank| -> Vec<Asked> {
        let of_rank = offer.candidates.iter().filter(|candidate| candidate.rank == rank);
        of_rank.filter_map(|candidate| Asked::new(candidate, target, variables)).collect()
    };
    let mut kept: Vec<Asked> = offered(Rank::Program);
    let identity = offered(Rank::Identity);
    // Something must say what it is: an interpreter alone does not.
    let needs_more = kept.is_empty() || offer.anatomy.is_general && identity.is_empty() && target.len() > 1;
    kept.extend(identity);
    let meets_kept = |line: &CommandLine| kept.iter().all(|asked| asked.criterion.holds(line));
    let mut left: Vec<usize> = (0..others.len()).filter(|at| meets_kept(others[*at].line)).collect();
    let alike = left.clone();
    let mut added: Vec<Asked> = Vec::new();
    let is_open = |left: &[usize], added: &[Asked]| !left.is_empty() || needs_more && added.is_empty();
    for rank in Rank::ADDED {
        // To compile them all takes its time.
        let mut more = if is_open(&left, &added) { offered(rank) } else { break };
        while is_open(&left, &added) {
            let excluded =
                |asked: &Asked| left.iter().filter(|at| !asked.criterion.holds(others[**at].line)).count();
            let best = more.iter().map(excluded).enumerate().min_by_key(|(_, count)| Reverse(*count));
            let Some((at, count)) = best else { break };
            if count == 0 && !left.is_empty() {
                break;
            }
            let asked = more.remove(at);
            left.retain(|at| asked.criterion.holds(others[*at].line));
            added.push(asked);
        }
    }
    let is_anothers =
        |at: &usize| user.is_some() && others[*at].user.is_some_and(|other| Some(other) != user);
    let user = user.filter(|_| !left.is_empty() && left.iter().all(is_anothers));
    if user.is_some() {
        left.clear();
    }
    if !left.is_empty() || kept.len() + added.len() == 0 {
        return Err(Inseparable { others: left, has_secret: offer.has_secret });
    }
    drop_redundant(&mut added, needs_more, |added| {
        let is_told = |at: &usize| added.iter().any(|asked| !asked.criterion.holds(others[*at].line));
        alike.iter().all(|at| user.is_some() && is_anothers(at) || is_told(at))
    });
    kept.extend(added);
    let mut proposal = proposal(target, &offer, kept);
    proposal.criteria.extend(user.map(|user| ProposedCriterion::User(user.to_owned())));
    Ok(proposal)
}

/// Takes away, the worst first, what is not needed for `separates` to hold.
fn drop_redundant(added: &mut Vec<Asked>, one_must_stay: bool, separates: impl Fn(&[Asked]) -> bool) {
    for at in (0..added.len()).rev() {
        if one_must_stay && added.len() == 1 {
            return;
        }
        let asked = added.remove(at);
        if !separates(added) {
            added.insert(at, asked);
        }
    }
}

fn proposal(target: &CommandLine, offer: &Offer, asked: Vec<Asked>) -> Proposal {
    Proposal {
        name: naming::proposed_name(target, offer),
        criteria: asked
            .into_iter()
            .map(|asked| ProposedCriterion::Argument { index: asked.criterion.index, regex: asked.regex })
            .collect(),
        container: false,
    }
}

/// A candidate, compiled as the configuration's loading would.
struct Asked {
    regex: String,
    criterion: ArgumentCriterion,
}

impl Asked {
    /// Nothing where the target itself would not meet it.
    fn new(candidate: &Candidate, target: &CommandLine, variables: &[(String, String)]) -> Option<Self> {
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
    /// A `[[component]]` table, its last line ended.
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
    /// `{ index = 0, regex = '(^|/)java$' }`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, regex) = match self {
            Self::Argument { index, regex } => (index, regex),
            // A dollar before a brace would begin a variable.
            Self::User(user) => {
                return write!(f, "{{ user = {} }}", toml::Value::from(user.replace("${", "$${")));
            }
        };
        f.write_str("{ ")?;
        if let Some(index) = index {
            write!(f, "index = {index}, ")?;
        }
        // A regex has no control character: a literal string holds any that has no apostrophe.
        match regex.contains('\'') {
            true => write!(f, "regex = {} }}", toml::Value::from(regex.as_str())),
            false => write!(f, "regex = '{regex}' }}"),
        }
    }
}

#[cfg(test)]
mod tests;
