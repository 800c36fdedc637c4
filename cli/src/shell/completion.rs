//! What Tab proposes: pure.

use rta_shared::name::fold;
use rta_shared::overview::Overview;

const COMMANDS: [&str; 9] = ["config", "exit", "help", "list", "quit", "refresh", "start", "status", "stop"];

/// The names that can be typed.
#[derive(Clone, Debug, Default)]
pub(super) struct Vocabulary {
    environments: Vec<String>,
    hosts: Vec<String>,
    components: Vec<String>,
}

impl Vocabulary {
    /// Every name of `overview`.
    pub(super) fn of(overview: &Overview) -> Self {
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names.dedup();
            names
        };
        Self {
            environments: sorted(overview.environments.iter().map(|known| known.name.to_string()).collect()),
            hosts: sorted(overview.instances().map(|located| located.host.name.to_string()).collect()),
            components: sorted(
                overview.instances().map(|located| located.instance.component.to_string()).collect(),
            ),
        }
    }

    /// What may follow `typed`: where in it the replaced text begins, in bytes, and the replacements.
    pub(super) fn complete(&self, typed: &str) -> (usize, Vec<String>) {
        let indent = typed.len() - typed.trim_start().len();
        let Some((command, _)) = typed[indent..].split_once(char::is_whitespace) else {
            return (indent, beginning_with(&typed[indent..], COMMANDS));
        };
        let takes_name = matches!(command, "start" | "stop" | "status");
        let last_at = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let last = &typed[last_at..];
        if command == "config" {
            let is_first = typed[indent + command.len()..last_at].trim().is_empty();
            return (last_at, beginning_with(last, ["reload"].into_iter().filter(|_| is_first)));
        }
        if !takes_name && command != "list" {
            return (typed.len(), Vec::new());
        }
        let before = typed[..last_at].split_whitespace().next_back();
        let names = |names: &[String]| beginning_with(last, names.iter().map(String::as_str));
        match before {
            Some("--env") => return (last_at, names(&self.environments)),
            Some("--host") => return (last_at, names(&self.hosts)),
            _ if last.starts_with('-') => {
                let flags: &[&str] = match command {
                    "status" => &["--env", "--host", "--json", "--verbose"],
                    "list" => &["--env", "--host", "--json"],
                    _ => &["--env", "--host"],
                };
                return (last_at, beginning_with(last, flags.iter().copied()));
            }
            _ => {}
        }
        if !takes_name {
            return (typed.len(), Vec::new());
        }
        // A name has spaces: it begins behind the command, or behind the last flag and its value.
        let name_at = name_begins(typed, indent + command.len());
        (name_at, beginning_with(&typed[name_at..], self.components.iter().map(String::as_str)))
    }
}

fn name_begins(typed: &str, behind_command: usize) -> usize {
    let mut begins = behind_command;
    let mut at = behind_command;
    let mut value_follows = false;
    for word in typed[behind_command..].split_inclusive(char::is_whitespace) {
        at += word.len();
        let complete = word.ends_with(char::is_whitespace);
        let word = word.trim();
        if word.is_empty() {
            continue;
        }
        if (value_follows || matches!(word, "--json" | "--verbose" | "-v")) && complete {
            begins = at;
        }
        value_follows = matches!(word, "--env" | "--host");
    }
    begins + (typed[begins..].len() - typed[begins..].trim_start().len())
}

fn beginning_with<'c>(typed: &str, candidates: impl IntoIterator<Item = &'c str>) -> Vec<String> {
    let space_at_end = typed.ends_with(char::is_whitespace) && !typed.trim().is_empty();
    let typed = fold(typed) + if space_at_end { " " } else { "" };
    candidates
        .into_iter()
        .filter(|candidate| fold(candidate).starts_with(&typed))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(typed: &str) -> (usize, Vec<String>) {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let vocabulary = Vocabulary {
            environments: names(&["DEV", "ITG"]),
            hosts: names(&["c2t1", "c9t1"]),
            components: names(&["kafka server", "kafka zookeeper server", "raw writer"]),
        };
        vocabulary.complete(typed)
    }

    #[test]
    fn commands_names_and_flags_are_completed() {
        let rows: &[(&str, usize, &[&str])] = &[
            ("st", 0, &["start", "status", "stop"]),
            ("  li", 2, &["list"]),
            ("start ", 6, &["kafka server", "kafka zookeeper server", "raw writer"]),
            ("start KAFKA", 6, &["kafka server", "kafka zookeeper server"]),
            ("start kafka ", 6, &["kafka server", "kafka zookeeper server"]),
            ("start kafka s", 6, &["kafka server"]),
            ("stop raw writer", 5, &["raw writer"]),
            ("status --env DEV raw", 17, &["raw writer"]),
            ("stop kafka server --e", 18, &["--env"]),
            ("stop kafka server --env ", 24, &["DEV", "ITG"]),
            ("stop kafka server --host C9", 25, &["c9t1"]),
            ("list --", 5, &["--env", "--host", "--json"]),
            ("status --v", 7, &["--verbose"]),
            ("status --verbose raw", 17, &["raw writer"]),
            ("conf", 0, &["config"]),
            ("config ", 7, &["reload"]),
            ("config  re", 8, &["reload"]),
            ("config reload ", 14, &[]),
            ("list kaf", 8, &[]),
            ("exit x", 6, &[]),
        ];
        for (typed, at, expected) in rows {
            assert_eq!(
                complete(typed),
                (*at, expected.iter().map(|name| (*name).to_owned()).collect()),
                "{typed:?}"
            );
        }
    }
}
