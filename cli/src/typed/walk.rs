//! Role of each word of a line in clap's definition of the commands. Nothing is listed manually, so new
//! commands and flags are recognized as soon as they are defined.

use clap::{Arg, Command};

/// Kind of platform name that a word stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Environment,
    Host,
    Component,
    /// Number of a plan that stopped instances which have not run since.
    Plan,
}

/// Returns the kind of platform name that `arg` takes, if any.
pub(crate) fn kind(arg: &Arg) -> Option<Kind> {
    match arg.get_id().as_str() {
        "env" | "environment" => Some(Kind::Environment),
        "host" => Some(Kind::Host),
        "component" => Some(Kind::Component),
        "stopped_by" => Some(Kind::Plan),
        "name" if arg.is_positional() => Some(Kind::Component),
        _ => None,
    }
}

/// Role of a word.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role<'c> {
    /// Name of a command.
    Command,
    /// Flag, possibly with its value after `=`.
    Flag(Option<&'c Arg>),
    /// Value of the preceding flag.
    Value(&'c Arg),
    /// Part of a positional argument; see [`positional`].
    Positional,
}

/// Result of walking the words of a line.
#[derive(Debug)]
pub(crate) struct Walk<'c> {
    /// Innermost command.
    pub(crate) command: &'c Command,
    /// Role of each word.
    pub(crate) roles: Vec<Role<'c>>,
    /// Flag whose value is the next word.
    pub(crate) awaits: Option<&'c Arg>,
    /// True if the next word may be the name of a command.
    pub(crate) may_be_command: bool,
    /// True after `--`: the following words are not flags.
    pub(crate) is_escaped: bool,
}

/// Walks `words`, which must be complete, from `root`, which must have been built.
pub(crate) fn walk<'c, 'w>(root: &'c Command, words: impl IntoIterator<Item = &'w str>) -> Walk<'c> {
    let mut walk = Walk {
        command: root,
        roles: Vec::new(),
        awaits: None,
        may_be_command: root.has_subcommands(),
        is_escaped: false,
    };
    // `help` is followed by command names. clap defines it, but not its arguments at depth.
    let mut asks_for_help = false;
    for word in words {
        if let Some(arg) = walk.awaits.take() {
            walk.roles.push(Role::Value(arg));
        } else if walk.is_escaped || !word.starts_with('-') || word == "-" {
            if let Some(command) =
                walk.command.find_subcommand(word).filter(|_| walk.may_be_command && !walk.is_escaped)
            {
                asks_for_help |= command.get_name() == "help";
                walk.command = if command.get_name() == "help" { root } else { command };
                walk.may_be_command = walk.command.has_subcommands();
                walk.roles.push(Role::Command);
                continue;
            }
            walk.may_be_command = false;
            walk.roles.push(Role::Positional);
        } else if word == "--" {
            walk.is_escaped = true;
            walk.roles.push(Role::Flag(None));
        } else {
            let arg = flag(walk.command, word).or_else(|| flag(root, word));
            let takes_value = arg.is_some_and(|arg| arg.get_action().takes_values());
            walk.awaits = arg.filter(|_| takes_value && !word.contains('='));
            walk.roles.push(Role::Flag(arg));
        }
    }
    if asks_for_help {
        walk.may_be_command = walk.command.has_subcommands();
    }
    walk
}

/// Returns the positional argument for the word at the 1-based `position`; the last one
/// may take several words.
pub(crate) fn positional(command: &Command, position: usize) -> Option<&Arg> {
    let mut last = None;
    for (at, arg) in command.get_positionals().enumerate() {
        if at + 1 == position {
            return Some(arg);
        }
        last = Some(arg);
    }
    last.filter(|arg| arg.get_num_args().is_some_and(|count| count.max_values() > 1) || is_many(arg))
}

fn is_many(arg: &Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append)
}

fn flag<'c>(command: &'c Command, word: &str) -> Option<&'c Arg> {
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
    use crate::command::Arguments;

    fn roles(line: &str) -> String {
        let mut root = Arguments::command();
        root.build();
        let found = walk(&root, line.split_whitespace());
        let mut position = 0;
        let words: Vec<String> = found
            .roles
            .iter()
            .map(|role| match role {
                Role::Command => "command".to_owned(),
                Role::Flag(arg) => format!("flag:{}", arg.map_or("?", |arg| arg.get_id().as_str())),
                Role::Value(arg) => format!("value:{:?}", kind(arg)),
                Role::Positional => {
                    position += 1;
                    format!("name:{:?}", positional(found.command, position).and_then(kind))
                }
            })
            .collect();
        let awaits = found.awaits.map_or("", |arg| arg.get_id().as_str());
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
