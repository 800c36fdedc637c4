//! Role of each word of a line in clap's definition of the commands. Nothing is listed manually, so new
//! commands and flags are recognized as soon as they are defined.

use clap::{Arg, Command};

/// Kind of platform name that a word stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameKind {
    Environment,
    Host,
    Component,
    /// Number of a plan that stopped instances which have not run since.
    Plan,
}

/// Returns the kind of platform name that `arg` takes, if any.
pub(crate) fn name_kind(arg: &Arg) -> Option<NameKind> {
    match arg.get_id().as_str() {
        "env" | "environment" => Some(NameKind::Environment),
        "host" => Some(NameKind::Host),
        "component" => Some(NameKind::Component),
        "stopped_by" => Some(NameKind::Plan),
        "name" if arg.is_positional() => Some(NameKind::Component),
        _ => None,
    }
}

/// Role of a word.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WordRole<'c> {
    /// Name of a command.
    Command,
    /// Flag, possibly with its value after `=`.
    Flag(Option<&'c Arg>),
    /// Value of the preceding flag.
    Value(&'c Arg),
    /// Part of a positional argument; see [`positional_argument`].
    Positional,
}

/// Result of walking the words of a line.
#[derive(Debug)]
pub(crate) struct ParsedLine<'c> {
    /// Innermost command.
    pub(crate) command: &'c Command,
    /// Role of each word.
    pub(crate) roles: Vec<WordRole<'c>>,
    /// Flag whose value is the next word.
    pub(crate) pending_flag: Option<&'c Arg>,
    /// True if the next word may be the name of a command.
    pub(crate) may_be_command: bool,
    /// True after `--`: the following words are not flags.
    pub(crate) flags_ended: bool,
}

/// Walks `words`, which must be complete, from `root`, which must have been built.
pub(crate) fn parse_line<'c, 'w>(
    root: &'c Command,
    words: impl IntoIterator<Item = &'w str>,
) -> ParsedLine<'c> {
    let mut walk = ParsedLine {
        command: root,
        roles: Vec::new(),
        pending_flag: None,
        may_be_command: root.has_subcommands(),
        flags_ended: false,
    };
    // `help` is followed by command names. clap defines it, but not its arguments at depth.
    let mut asks_for_help = false;
    for word in words {
        if let Some(arg) = walk.pending_flag.take() {
            walk.roles.push(WordRole::Value(arg));
        } else if walk.flags_ended || !word.starts_with('-') || word == "-" {
            if let Some(command) =
                walk.command.find_subcommand(word).filter(|_| walk.may_be_command && !walk.flags_ended)
            {
                asks_for_help |= command.get_name() == "help";
                walk.command = if command.get_name() == "help" { root } else { command };
                walk.may_be_command = walk.command.has_subcommands();
                walk.roles.push(WordRole::Command);
                continue;
            }
            walk.may_be_command = false;
            walk.roles.push(WordRole::Positional);
        } else if word == "--" {
            walk.flags_ended = true;
            walk.roles.push(WordRole::Flag(None));
        } else {
            let arg = find_flag(walk.command, word).or_else(|| find_flag(root, word));
            let takes_value = arg.is_some_and(|arg| arg.get_action().takes_values());
            walk.pending_flag = arg.filter(|_| takes_value && !word.contains('='));
            walk.roles.push(WordRole::Flag(arg));
        }
    }
    if asks_for_help {
        walk.may_be_command = walk.command.has_subcommands();
    }
    walk
}

/// Returns the positional argument for the word at the 1-based `position`; the last one
/// may take several words.
pub(crate) fn positional_argument(command: &Command, position: usize) -> Option<&Arg> {
    let mut last = None;
    for (at, arg) in command.get_positionals().enumerate() {
        if at + 1 == position {
            return Some(arg);
        }
        last = Some(arg);
    }
    last.filter(|arg| arg.get_num_args().is_some_and(|count| count.max_values() > 1) || takes_many(arg))
}

fn takes_many(arg: &Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append)
}

fn find_flag<'c>(command: &'c Command, word: &str) -> Option<&'c Arg> {
    let name = word.split('=').next().unwrap_or_default();
    command.get_arguments().find(|arg| match name.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| name.get(1..).is_some_and(|name| name.ends_with(short))),
    })
}

/// Returns the names and visible aliases of the subcommands of `command`.
pub(crate) fn subcommand_names(command: &Command) -> Vec<&str> {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown
        .flat_map(|command| std::iter::once(command.get_name()).chain(command.get_visible_aliases()))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::CliArgs;

    fn roles(line: &str) -> String {
        let mut root = CliArgs::command();
        root.build();
        let found = parse_line(&root, line.split_whitespace());
        let mut position = 0;
        let words: Vec<String> = found
            .roles
            .iter()
            .map(|role| match role {
                WordRole::Command => "command".to_owned(),
                WordRole::Flag(arg) => format!("flag:{}", arg.map_or("?", |arg| arg.get_id().as_str())),
                WordRole::Value(arg) => format!("value:{:?}", name_kind(arg)),
                WordRole::Positional => {
                    position += 1;
                    format!("name:{:?}", positional_argument(found.command, position).and_then(name_kind))
                }
            })
            .collect();
        let awaits = found.pending_flag.map_or("", |arg| arg.get_id().as_str());
        format!("{} in {} then {awaits}", words.join(" "), found.command.get_name())
    }

    #[test]
    fn every_word_is_what_clap_takes_it_for() {
        for (line, expected) in [
            ("stop kafka start", "command name:Some(Component) name:Some(Component) in stop then "),
            (
                "--aggregator x stop --env DEV -y",
                "flag:aggregator value:None command flag:env value:Some(Environment) flag:yes in stop then ",
            ),
            (
                "stop --host=h kafka --host",
                "command flag:host name:Some(Component) flag:host in stop then host",
            ),
            ("maintenance on --for", "command command flag:length in on then length"),
            ("events -n", "command flag:number in events then number"),
            ("help maintenance", "command command in maintenance then "),
            ("list x", "command name:None in list then "),
        ] {
            assert_eq!(roles(line), expected, "{line}");
        }
    }
}
