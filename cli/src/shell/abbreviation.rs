//! Expansion of abbreviations, and restriction of a line to an environment; no I/O.

use clap::Command;
use rta_shared::name::fold;
use rta_shared::text::{did_you_mean, printable};

use crate::names::{Meaning, Names, Within, meant};
use crate::typed::{Kind, Role, kind, subcommand_names, walk};

/// Returns the subcommand of `above` that `word` abbreviates, by name or alias.
pub(super) fn command<'c>(above: &'c Command, word: &str) -> Meaning<'c> {
    meant(word, &subcommand_names(above))
}

/// Program name before a command. Messages and documents show commands as they are typed into a system shell.
const PROGRAM: &str = "rta";

/// Expands each abbreviated command in `words`, and drops the program name before a command.
///
/// # Errors
/// Returns an error if no command matches, or more than one.
pub(super) fn commands(root: &Command, words: &[String]) -> Result<Vec<String>, String> {
    let words = match words {
        [program, rest @ ..] if program == PROGRAM && !rest.is_empty() => rest,
        all => all,
    };
    let mut spelt: Vec<String> = Vec::new();
    for word in words {
        let walked = walk(root, spelt.iter().map(String::as_str));
        let is_command = walked.may_be_command && walked.awaits.is_none() && !word.starts_with('-');
        // If the command also works alone, an unknown word may be an argument.
        let must_be = is_command && walked.command.get_positionals().next().is_none();
        if !is_command {
            spelt.push(word.clone());
            continue;
        }
        match command(walked.command, word) {
            Meaning::One(name) => spelt.push(name.to_owned()),
            Meaning::Several(names) => return Err(ambiguous(word, &names)),
            Meaning::Nothing if must_be => {
                let hint = did_you_mean(word, subcommand_names(walked.command));
                return Err(format!("\"{}\" is no command{hint}", printable(word)));
            }
            Meaning::Nothing => spelt.push(word.clone()),
        }
    }
    Ok(spelt)
}

fn ambiguous(word: &str, names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
    format!("\"{}\" may be any of: {}", printable(word), names.join(", "))
}

/// Adds `--env` with `environment` to `words`, if the command has that flag and it is not given.
pub(super) fn narrowed(root: &Command, words: &[String], environment: &str) -> Vec<String> {
    let walked = walk(root, words.iter().map(String::as_str));
    let takes_env = walked.command.get_arguments().any(|arg| arg.get_long() == Some("env"));
    let has_env =
        walked.roles.iter().any(|role| matches!(role, Role::Flag(Some(arg)) if arg.get_id() == "env"));
    let mut words = words.to_vec();
    if takes_env && !has_env && !environment.is_empty() {
        let behind_command = walked.roles.iter().take_while(|role| matches!(role, Role::Command)).count();
        words.splice(behind_command..behind_command, ["--env".to_owned(), environment.to_owned()]);
    }
    words
}

/// Returns the component that `words` name, if any.
pub(super) fn component(root: &Command, words: &[String]) -> Option<String> {
    let walked = walk(root, words.iter().map(String::as_str));
    let name: Vec<&str> = words
        .iter()
        .zip(&walked.roles)
        .filter(|(_, role)| matches!(role, Role::Positional(Some(arg)) if kind(arg) == Some(Kind::Component)))
        .map(|(word, _)| word.as_str())
        .collect();
    (!name.is_empty()).then(|| name.join(" "))
}

/// Expands each abbreviated name in `words`; a component becomes a single word. A word that begins no known
/// name is kept: it may be an alias, or the aggregator has a better answer. The component is also kept if
/// `is_component_known` is true, because something has exactly that name.
///
/// # Errors
/// Returns an error if a name is ambiguous, or if a place is abbreviated in a command that acts on all of it.
pub(super) fn names(
    root: &Command,
    words: &[String],
    names: &Names,
    is_component_known: bool,
) -> Result<Vec<String>, String> {
    let walked = walk(root, words.iter().map(String::as_str));
    let mut within = Within::default();
    let mut spelt = Vec::new();
    // Places first, because components are resolved within them.
    for wanted in [Kind::Environment, Kind::Host] {
        for (word, role) in words.iter().zip(&walked.roles) {
            if let Role::Value(arg) = role
                && kind(arg) == Some(wanted)
            {
                let full = full(wanted, names, &within, word)?;
                match wanted {
                    Kind::Environment => within.environment = full,
                    Kind::Host | Kind::Component | Kind::Plan => within.host = full,
                }
            }
        }
    }
    let whole = match component(root, words) {
        Some(typed) if is_component_known => Some(typed),
        Some(typed) => Some(full_component(names, &within, &typed)?),
        None => None,
    };
    let acts_on_all = whole.is_none() && acts(walked.command);
    let mut whole = whole.into_iter();
    for (word, role) in words.iter().zip(&walked.roles) {
        match role {
            Role::Positional(Some(arg)) if kind(arg) == Some(Kind::Component) => spelt.extend(whole.next()),
            Role::Value(arg) | Role::Positional(Some(arg)) => {
                let full = match kind(arg) {
                    Some(Kind::Environment) => full(Kind::Environment, names, &Within::default(), word)?,
                    Some(Kind::Host) => full(Kind::Host, names, &within, word)?,
                    Some(Kind::Component) => full(Kind::Component, names, &within, word)?,
                    // Numbers of plans are not abbreviated.
                    Some(Kind::Plan) | None => word.clone(),
                };
                // The known names may be outdated: the typed text may be the full name of something new.
                if acts_on_all && kind(arg).is_some() && fold(word) != fold(&full) {
                    return Err(format!(
                        "\"{}\" may be \"{}\", but a place is not guessed where all of it is meant: write it out",
                        printable(word),
                        printable(&full)
                    ));
                }
                spelt.push(full);
            }
            Role::Command | Role::Flag(_) | Role::Positional(None) => spelt.push(word.clone()),
        }
    }
    Ok(spelt)
}

/// Returns true if `command` acts on named instances: all such commands have an argument group for them.
fn acts(command: &Command) -> bool {
    command.get_groups().any(|group| group.get_id() == "what")
}

fn full(kind: Kind, names: &Names, within: &Within, typed: &str) -> Result<String, String> {
    match meant(typed, &names.all(kind, within)) {
        Meaning::One(name) => Ok(name.to_owned()),
        Meaning::Several(names) => Err(ambiguous(typed, &names)),
        Meaning::Nothing => Ok(typed.to_owned()),
    }
}

/// Expands a component, which may be preceded by its host, or by its environment and host.
fn full_component(names: &Names, within: &Within, typed: &str) -> Result<String, String> {
    let parts: Vec<&str> = typed.rsplitn(3, '/').map(str::trim).collect();
    let mut within = within.clone();
    let mut before = String::new();
    if let Some(environment) = parts.get(2) {
        within.environment = full(Kind::Environment, names, &Within::default(), environment)?;
        before = format!("{}/", within.environment);
    }
    if let Some(host) = parts.get(1) {
        within.host = full(Kind::Host, names, &within, host)?;
        before.push_str(&format!("{}/", within.host));
    }
    let component = full(Kind::Component, names, &within, parts.first().copied().unwrap_or_default())?;
    Ok(before + &component)
}

#[cfg(test)]
mod tests {
    use super::super::line::definition;
    use super::*;
    use crate::names::tests::names as known;

    fn split(line: &str) -> Vec<String> {
        shlex::split(line).unwrap()
    }

    #[test]
    fn commands_can_be_abbreviated_where_only_one_is_meant() {
        let of = |line: &str| commands(&definition(), &split(line)).map(|words| words.join(" "));
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
        assert_eq!(of("statsu").unwrap_err(), "\"statsu\" is no command; did you mean \"status\"?");
        assert!(of("maint x\u{1b}").unwrap_err().contains("x\\u{1b}"));
    }

    #[test]
    fn names_can_be_abbreviated_where_only_one_is_meant() {
        let of =
            |line: &str| names(&definition(), &split(line), &known(), false).map(|words| words.join(" "));
        for (line, expected) in [
            ("stop raw", "stop raw writer"),
            ("stop ka z -y", "stop kafka zookeeper server -y"),
            ("stop ka --host i", "stop kafka server --host i1"),
            ("stop --env it ka", "stop --env ITG kafka server"),
            ("stop D/c9/r", "stop DEV/c9t1/raw writer"),
            ("stop elsewhere", "stop elsewhere"),
            ("use d", "use DEV"),
            ("events --component raw", "events --component raw writer"),
        ] {
            assert_eq!(of(line).as_deref(), Ok(expected), "{line}");
        }
        let told = of("stop ka").unwrap_err();
        assert_eq!(told, "\"ka\" may be any of: kafka server, kafka zookeeper server");
        for line in ["stop --host c2", "start --env IT", "restart --all --host i", "maintenance on --host c2"]
        {
            assert!(of(line).unwrap_err().ends_with("write it out"), "{line}");
        }
        for line in ["stop --host C2T1", "restart --env dev --host c9t1", "maintenance off --env ITG"] {
            assert!(of(line).is_ok(), "{line}");
        }
        assert_eq!(of("status --host c2").as_deref(), Ok("status --host c2t1"));
        let alias = names(&definition(), &split("stop ka"), &known(), true);
        assert_eq!(alias.unwrap(), ["stop", "ka"]);
    }

    #[test]
    fn a_narrowed_line_says_where_unless_it_does_already() {
        let of = |line: &str| narrowed(&definition(), &split(line), "DEV").join(" ");
        assert_eq!(of("status"), "status --env DEV");
        assert_eq!(of("maintenance on --host h"), "maintenance on --env DEV --host h");
        assert_eq!(of("stop x --env ITG"), "stop x --env ITG");
        assert_eq!(of("stop x --env=ITG"), "stop x --env=ITG");
        assert_eq!(of("refresh"), "refresh");
        assert_eq!(of("use"), "use");
    }
}
