//! Expansion of abbreviated commands, and restriction of a line to an environment; no I/O.

use clap::Command;
use rta_shared::sanitize::printable;
use rta_shared::suggestion::did_you_mean;

use crate::line_parser::{WordRole, parse_line, subcommand_names};
use crate::names::{NameMatch, match_name};

/// Returns the subcommand of `above` that `word` abbreviates, by name or alias.
pub(super) fn match_command<'c>(above: &'c Command, word: &str) -> NameMatch<'c> {
    match_name(word, &subcommand_names(above))
}

/// Program name before a command. Messages and documents show commands as they are typed into a system shell.
const PROGRAM_NAME: &str = "rta";

/// Expands each abbreviated command in `words`, and drops the program name before a command.
///
/// # Errors
/// Returns an error if no command matches, or more than one.
pub(super) fn expand_commands(root: &Command, words: &[String]) -> Result<Vec<String>, String> {
    let words = match words {
        [program, rest @ ..] if program == PROGRAM_NAME && !rest.is_empty() => rest,
        all => all,
    };
    let mut spelt: Vec<String> = Vec::new();
    for word in words {
        let walked = parse_line(root, spelt.iter().map(String::as_str));
        let is_command = walked.may_be_command && walked.pending_flag.is_none() && !word.starts_with('-');
        // If the command also works alone, an unknown word may be an argument.
        let must_be = is_command && walked.command.get_positionals().next().is_none();
        if !is_command {
            spelt.push(word.clone());
            continue;
        }
        match match_command(walked.command, word) {
            NameMatch::Unique(name) => spelt.push(name.to_owned()),
            NameMatch::Ambiguous(names) => return Err(ambiguous_message(word, &names)),
            NameMatch::Missing if must_be => {
                let hint = did_you_mean(word, subcommand_names(walked.command));
                return Err(format!("unknown command \"{}\"{hint}", printable(word)));
            }
            NameMatch::Missing => spelt.push(word.clone()),
        }
    }
    Ok(spelt)
}

fn ambiguous_message(word: &str, names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
    format!("\"{}\" may be any of: {}", printable(word), names.join(", "))
}

/// Adds `--env` with `environment` to `words`, if the command has that flag and it is not given.
pub(super) fn restrict_to_environment(root: &Command, words: &[String], environment: &str) -> Vec<String> {
    let walked = parse_line(root, words.iter().map(String::as_str));
    let takes_env = walked.command.get_arguments().any(|arg| arg.get_long() == Some("env"));
    let has_env =
        walked.roles.iter().any(|role| matches!(role, WordRole::Flag(Some(arg)) if arg.get_id() == "env"));
    let mut words = words.to_vec();
    if takes_env && !has_env && !environment.is_empty() {
        let behind_command = walked.roles.iter().take_while(|role| matches!(role, WordRole::Command)).count();
        words.splice(behind_command..behind_command, ["--env".to_owned(), environment.to_owned()]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::prompt_command::command_definition;
    use super::*;

    fn split(line: &str) -> Vec<String> {
        shlex::split(line).unwrap()
    }

    #[test]
    fn commands_can_be_abbreviated_where_only_one_is_meant() {
        let of =
            |line: &str| expand_commands(&command_definition(), &split(line)).map(|words| words.join(" "));
        for (line, expected) in [
            ("stat", "status"),
            ("STO ka", "stop ka"),
            ("rta start --stopped-by 2", "start --stopped-by 2"),
            ("rta stat", "status"),
            ("q", "quit"),
            ("main on raw writer", "maintenance on raw writer"),
            ("help sto", "help stop"),
            ("conf r", "config reload"),
            ("maint --env DEV", "maintenance --env DEV"),
            ("stop start", "stop start"),
        ] {
            assert_eq!(of(line).as_deref(), Ok(expected), "{line}");
        }
        assert_eq!(of("st").unwrap_err(), "\"st\" may be any of: status, start, stop");
        assert_eq!(of("statsu").unwrap_err(), "unknown command \"statsu\"; did you mean \"status\"?");
        assert!(of("maint x\u{1b}").unwrap_err().contains("x\\u{1b}"));
    }

    #[test]
    fn a_narrowed_line_says_where_unless_it_does_already() {
        let of = |line: &str| restrict_to_environment(&command_definition(), &split(line), "DEV").join(" ");
        assert_eq!(of("status"), "status --env DEV");
        assert_eq!(of("maintenance on --host h"), "maintenance on --env DEV --host h");
        assert_eq!(of("stop x --env ITG"), "stop x --env ITG");
        assert_eq!(of("stop x --env=ITG"), "stop x --env=ITG");
        assert_eq!(of("refresh"), "refresh");
        assert_eq!(of("use"), "use");
    }
}
