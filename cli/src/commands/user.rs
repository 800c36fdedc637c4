//! `rta user`: creates, lists and removes entries of the aggregator's users file.

use std::io::{BufRead as _, IsTerminal as _, Write, stdin};

use rta_aggregator::auth::{hash_password, list_accounts, new_token, revoke_account};
use rta_shared::sanitize::printable;

use crate::args::{TokenArgs, UserCommand, UserEntryArgs};
use crate::exit::{CommandFailure, CommandResult, FAILED, OK, USAGE};

/// Runs the subcommand.
pub(crate) fn run_user(
    arguments: &UserCommand,
    out: &mut dyn Write,
    messages: &mut dyn Write,
) -> CommandResult {
    match arguments {
        UserCommand::Hash(entry) => {
            let password = read_password(messages)?;
            let hash = hash_password(&password).map_err(|reason| CommandFailure::new(USAGE, reason))?;
            write_entry(out, "user", entry, "password", &hash)
        }
        UserCommand::Token(TokenArgs { entry, environment, host_role, expires }) => {
            let (token, digest) = new_token().map_err(|reason| CommandFailure::new(FAILED, reason))?;
            writeln!(messages, "The token, which is not shown again; give it to rta with --token-file:")?;
            writeln!(messages, "{token}")?;
            writeln!(messages, "What the aggregator's --users file needs of it:")?;
            write_entry(out, "token", entry, "sha256", &digest)?;
            for (key, names) in [("environments", environment), ("roles", host_role)] {
                if !names.is_empty() {
                    writeln!(out, "{key} = {}", toml::Value::from(names.clone()))?;
                }
            }
            if let Some(day) = expires {
                writeln!(out, "expires = \"{day}\"")?;
            }
            Ok(OK)
        }
        UserCommand::List { users } => {
            let accounts = list_accounts(users).map_err(|reason| CommandFailure::new(FAILED, reason))?;
            for account in accounts {
                writeln!(out, "{}", printable(&account))?;
            }
            Ok(OK)
        }
        UserCommand::Revoke { name, users } => {
            let what = revoke_account(users, name).map_err(|reason| CommandFailure::new(FAILED, reason))?;
            writeln!(out, "removed the {what} {} from {}", printable(name), users.display())?;
            Ok(OK)
        }
    }
}

fn write_entry(
    out: &mut dyn Write,
    table: &str,
    entry: &UserEntryArgs,
    key: &str,
    value: &str,
) -> CommandResult {
    let name = toml::Value::from(entry.name.as_str());
    writeln!(out, "[[{table}]]\nname = {name}\nrole = \"{}\"\n{key} = \"{value}\"", entry.role.word())?;
    Ok(OK)
}

/// Reads a password: typed twice without echo on a terminal, or the first line of a pipe.
fn read_password(messages: &mut dyn Write) -> Result<String, CommandFailure> {
    let unread =
        |error: std::io::Error| CommandFailure::new(FAILED, format!("the password cannot be read: {error}"));
    if !stdin().is_terminal() {
        let mut line = String::new();
        stdin().lock().read_line(&mut line).map_err(unread)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    write!(messages, "Password, at least 12 letters: ")?;
    messages.flush()?;
    let first = rpassword::read_password().map_err(unread)?;
    write!(messages, "Once more: ")?;
    messages.flush()?;
    match rpassword::read_password().map_err(unread)? == first {
        true => Ok(first),
        false => Err(CommandFailure::new(USAGE, "the two are not the same; nothing was made".to_owned())),
    }
}
