//! Tab completion at the prompt, from clap's definition of the commands and the known names; no I/O.

use clap::{Arg, Command};

use crate::line_parser::{
    NameKind, TypedWord, WordRole, name_kind, parse_line, quote_if_needed, split_words, subcommand_names,
};
use crate::names::{NameScope, PlatformNames};

/// Returns the completions of `typed`: the byte offset where the replaced text begins, and the replacements.
/// Names are looked up in `environment`, unless it is empty or the line names another one.
pub(super) fn complete(
    root: &Command,
    names: &PlatformNames,
    environment: &str,
    typed: &str,
) -> (usize, Vec<String>) {
    let words = split_words(typed);
    let Some((last, before)) = words.split_last() else { return (typed.len(), Vec::new()) };
    let before = expand_words(root, before);
    let walked = parse_line(root, before.iter().map(|word| word.value.as_str()));
    let within = line_scope(&before, &walked.roles, environment);
    let command = walked.command;
    if let Some(arg) = walked.pending_flag {
        return (last.at, append_space(quote_names(argument_values(arg, names, &within, &last.value), last)));
    }
    if last.value.starts_with('-') && !walked.flags_ended {
        if let Some((flag, typed)) = last.value.split_once('=') {
            let arg = command.get_arguments().find(|arg| flag.strip_prefix("--") == arg.get_long());
            let values = arg.map(|arg| argument_values(arg, names, &within, typed)).unwrap_or_default();
            let whole = values.iter().map(|value| format!("{flag}={}", quote_word(value))).collect();
            return (last.at, append_space(whole));
        }
        return (last.at, append_space(filter_by_prefix(&last.value, flag_names(command))));
    }
    if walked.may_be_command {
        let found = filter_by_prefix(&last.value, command_names(command));
        // A command that also works alone, such as `maintenance`, may take a name as well.
        if !found.is_empty() || command.get_positionals().next().is_none() {
            return (last.at, append_space(found));
        }
    }
    // A name may have spaces: it starts at the first of the trailing words that are not flags.
    let words = walked.roles.iter().rev().take_while(|role| matches!(role, WordRole::Positional)).count();
    let begin = before.len() - words;
    let position = walked.roles.iter().filter(|role| matches!(role, WordRole::Positional)).count() + 1;
    let Some(arg) = crate::line_parser::positional_argument(command, position) else {
        return (typed.len(), Vec::new());
    };
    if name_kind(arg) != Some(NameKind::Component) {
        return (last.at, append_space(quote_names(argument_values(arg, names, &within, &last.value), last)));
    }
    let first = before.get(begin).unwrap_or(last);
    let mut name: Vec<&str> = before.iter().skip(begin).map(|word| word.value.as_str()).collect();
    name.push(&last.value);
    (
        first.at,
        append_space(quote_names(names.complete(NameKind::Component, &within, &name.join(" ")), first)),
    )
}

/// Expands each abbreviated command name in the words.
fn expand_words(root: &Command, words: &[TypedWord]) -> Vec<TypedWord> {
    let mut spelt: Vec<TypedWord> = Vec::new();
    for word in words {
        let walked = parse_line(root, spelt.iter().map(|word| word.value.as_str()));
        let mut word = word.clone();
        if walked.may_be_command
            && walked.pending_flag.is_none()
            && let crate::names::NameMatch::Unique(name) =
                super::abbreviation::match_command(walked.command, &word.value)
        {
            name.clone_into(&mut word.value);
        }
        spelt.push(word);
    }
    spelt
}

/// Returns the places on the line within which names are looked up.
fn line_scope(words: &[TypedWord], roles: &[WordRole<'_>], environment: &str) -> NameScope {
    let mut within = NameScope { environment: environment.to_owned(), host: String::new() };
    for (word, role) in words.iter().zip(roles) {
        let (arg, value) = match role {
            WordRole::Value(arg) => (*arg, word.value.as_str()),
            WordRole::Flag(Some(arg)) => match word.value.split_once('=') {
                Some((_, value)) => (*arg, value),
                None => continue,
            },
            _ => continue,
        };
        match name_kind(arg) {
            Some(NameKind::Environment) => value.clone_into(&mut within.environment),
            Some(NameKind::Host) => value.clone_into(&mut within.host),
            Some(NameKind::Component | NameKind::Plan) | None => {}
        }
    }
    within
}

/// Returns the possible values of `arg`.
fn argument_values(arg: &Arg, names: &PlatformNames, within: &NameScope, typed: &str) -> Vec<String> {
    match name_kind(arg) {
        Some(kind) => names.complete(kind, within, typed),
        None => {
            let possible = arg.get_possible_values();
            filter_by_prefix(typed, possible.iter().map(|value| value.get_name().to_owned()))
        }
    }
}

fn flag_names(command: &Command) -> impl Iterator<Item = String> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.filter_map(|arg| arg.get_long()).map(|long| format!("--{long}"))
}

fn command_names(command: &Command) -> impl Iterator<Item = String> {
    subcommand_names(command).into_iter().map(str::to_owned)
}

fn filter_by_prefix(typed: &str, candidates: impl Iterator<Item = String>) -> Vec<String> {
    let typed = typed.to_lowercase();
    let mut found: Vec<String> =
        candidates.filter(|candidate| candidate.to_lowercase().starts_with(&typed)).collect();
    found.sort();
    found.dedup();
    found
}

/// Quotes `names` with the quote that `word` begins with, or where quotes are required.
fn quote_names(names: Vec<String>, word: &TypedWord) -> Vec<String> {
    let closing =
        |name: &str, quote: char| if name.ends_with('/') { String::new() } else { quote.to_string() };
    let quoted = names.into_iter().map(|name| match word.quote {
        Some(quote) if !name.contains([quote, '\\']) => format!("{quote}{name}{}", closing(&name, quote)),
        _ => quote_if_needed(&name),
    });
    quoted.collect()
}

fn quote_word(name: &str) -> String {
    shlex::try_quote(name).map_or_else(|_| name.to_owned(), |quoted| quoted.into_owned())
}

/// Appends a space to a single candidate, unless it is a part of a full name.
fn append_space(mut candidates: Vec<String>) -> Vec<String> {
    if let [only] = candidates.as_mut_slice()
        && !only.ends_with('/')
    {
        only.push(' ');
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::tests::names;

    fn complete(typed: &str) -> (usize, Vec<String>) {
        super::complete(&super::super::prompt_command::command_definition(), &names(), "", typed)
    }

    #[test]
    fn commands_names_and_flags_are_completed() {
        let rows: &[(&str, usize, &[&str])] = &[
            ("st", 0, &["start", "status", "stop"]),
            ("  li", 2, &["list "]),
            ("start ", 6, &["\"it's odd\"", "kafka server", "kafka zookeeper server", "raw writer"]),
            ("start KAFKA", 6, &["kafka server", "kafka zookeeper server"]),
            ("start kafka ", 6, &["kafka server", "kafka zookeeper server"]),
            ("start kafka s", 6, &["kafka server "]),
            ("start \"kafka s", 6, &["\"kafka server\" "]),
            ("start 'kafka", 6, &["'kafka server'", "'kafka zookeeper server'"]),
            ("start it", 6, &["\"it's odd\" "]),
            ("sta raw", 7, &[]),
            ("restart raw", 8, &["raw writer "]),
            ("rest raw", 5, &["raw writer "]),
            ("stop DEV/c9t1/r", 5, &["DEV/c9t1/raw writer "]),
            ("stop DEV/", 5, &["DEV/c2t1/", "DEV/c9t1/"]),
            ("status --env ITG raw", 17, &[]),
            ("status --env DEV raw", 17, &["raw writer "]),
            ("stop --host c9t1 ", 17, &["raw writer "]),
            ("stop kafka server --e", 18, &["--env "]),
            ("stop kafka server --env ", 24, &["DEV", "ITG"]),
            ("stop kafka server --host C9", 25, &["c9t1 "]),
            ("stop --env=d", 5, &["--env=DEV "]),
            ("stop --no", 5, &["--no-dependencies "]),
            (
                "list --",
                5,
                &[
                    "--env",
                    "--health",
                    "--help",
                    "--host",
                    "--json",
                    "--json-lines",
                    "--limit",
                    "--offset",
                    "--verbose",
                ],
            ),
            ("start --sto", 6, &["--stopped-by "]),
            ("start --stopped-by ", 19, &["5", "52"]),
            ("start --stopped-by=52", 6, &["--stopped-by=52 "]),
            ("status --v", 7, &["--verbose "]),
            ("status --verbose raw", 17, &["raw writer "]),
            ("events --kind st", 14, &["step "]),
            ("events --component ka", 19, &["kafka server", "kafka zookeeper server"]),
            ("maintenance o", 12, &["off", "on"]),
            ("maintenance on raw", 15, &["raw writer "]),
            ("maintenance on --f", 15, &["--for "]),
            ("conf", 0, &["config "]),
            ("config ", 7, &["reload "]),
            ("config  re", 8, &["reload "]),
            ("config reload ", 14, &[]),
            ("help st", 5, &["start", "status", "stop"]),
            ("use d", 4, &["DEV "]),
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

    #[test]
    fn a_narrowed_prompt_proposes_what_is_there() {
        let (_, found) =
            super::complete(&super::super::prompt_command::command_definition(), &names(), "ITG", "stop ");
        assert_eq!(found, ["\"it's odd\"", "kafka server"]);
        let (_, hosts) = super::complete(
            &super::super::prompt_command::command_definition(),
            &names(),
            "ITG",
            "stop --host ",
        );
        assert_eq!(hosts, ["i1 "]);
    }

    #[test]
    fn no_command_and_no_flag_is_forgotten() {
        let root = super::super::prompt_command::command_definition();
        let (_, all) = complete("");
        for command in root.get_subcommands() {
            assert!(all.contains(&command.get_name().to_owned()), "{}", command.get_name());
            let (_, flags) = complete(&format!("{} --", command.get_name()));
            for long in command.get_arguments().filter_map(Arg::get_long) {
                assert!(flags.iter().any(|flag| flag.trim() == format!("--{long}")), "{long}");
            }
        }
    }
}
