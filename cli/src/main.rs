//! `rta`: the command line client.

mod client;
mod command;
mod completions;
mod config_check;
mod control;
#[cfg(feature = "standalone")]
mod demo;
#[cfg(feature = "standalone")]
mod discover;
mod event_follower;
mod events;
mod exit;
mod explain;
#[cfg(test)]
mod fake;
#[cfg(feature = "standalone")]
mod here;
mod keyboard;
#[cfg(feature = "standalone")]
mod learn;
#[cfg(feature = "standalone")]
mod local;
mod local_socket;
mod logs;
mod maintenance;
mod names;
#[cfg(feature = "standalone")]
mod people;
mod pki;
mod plan_progress;
mod remote;
mod render;
mod select;
mod shell;
mod terminal;
mod thresholds;
mod token;
mod typed;
mod user;
mod watch;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use crate::client::Client;
use crate::command::{Arguments, Command, Config, RemoteConfig};
use crate::exit::{CANNOT_TELL, Failure, OK, Outcome};
use crate::render::Style;

fn main() -> ExitCode {
    #[cfg(feature = "standalone")]
    if let Some(code) = demo::stand_in::play() {
        return code;
    }
    match completions::answer() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => return usage(&error),
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let code = match run(&arguments) {
        Ok(code) => code,
        Err(failure) => complain(failure),
    };
    ExitCode::from(code)
}

/// Prints clap's help or error and returns its exit code. A wrong `rta check` is unknown (3), because 2
/// is critical for Nagios.
fn usage(error: &clap::Error) -> ExitCode {
    // A reader that closed its end needs no text.
    let _ = error.print();
    match error.kind() {
        _ if is_check(std::env::args_os().skip(1)) => ExitCode::from(3),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(exit::USAGE),
    }
}

/// Returns true if the subcommand is `check`: the first word that is neither a flag nor a flag's value.
fn is_check(arguments: impl Iterator<Item = OsString>) -> bool {
    let command = Arguments::command();
    let takes_value = |flag: &str| {
        let known = command.get_arguments().find(|known| known.get_long() == Some(flag));
        known.is_some_and(|known| known.get_action().takes_values())
    };
    let mut is_value = false;
    let mut words = arguments.filter(|word| {
        let flag = word.to_str().and_then(|word| word.strip_prefix("--"));
        let is_flag = word.as_encoded_bytes().starts_with(b"-");
        !std::mem::replace(&mut is_value, flag.is_some_and(takes_value)) && !is_flag
    });
    words.next().is_some_and(|word| word == "check")
}

/// Reports a failure on standard error and returns its exit code.
fn complain(failure: Failure) -> u8 {
    if matches!(&failure, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
        return OK;
    }
    let (code, message) = failure.into_parts();
    // If standard error is closed too, only the exit code remains.
    let _ = writeln!(io::stderr(), "rta: {message}");
    code
}

fn run(arguments: &Arguments) -> Outcome {
    let out = &mut io::stdout();
    let terminal = out.is_terminal();
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let style = Style { terminal, colour: terminal && !no_colour };
    match &arguments.command {
        #[cfg(feature = "standalone")]
        Command::Local { host, config } => return local::local(host.as_deref(), config, style, out),
        #[cfg(feature = "standalone")]
        Command::Explain { target, config: Some(folder), json, .. } => {
            return explain::local(target, folder, *json, out);
        }
        #[cfg(feature = "standalone")]
        Command::Learn(wish) => return learn::learn(wish, out, &mut io::stderr()),
        #[cfg(feature = "standalone")]
        Command::Discover(wish) => return discover::discover(wish, style, out, &mut io::stderr()),
        Command::Config(Config::Check { folder }) => return config_check::config_check(folder, out),
        Command::Pki(wish) => return pki::pki(wish, out),
        #[cfg(feature = "standalone")]
        Command::User(wish) => return people::people(wish, out, &mut io::stderr()),
        Command::Completions { shell } => return completions::script(*shell, out),
        _ => {}
    }
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::new(CANNOT_TELL, format!("no runtime: {error}")))?;
    let within = runtime.enter();
    let client = Client::secured(arguments.aggregator.as_deref(), &arguments.tls);
    if let Command::Check(wish) = &arguments.command {
        let outcome = runtime.block_on(remote::check(client, wish, out));
        drop(within);
        // The time limit has passed: a hanging name lookup is not awaited.
        runtime.shutdown_background();
        return outcome;
    }
    match &arguments.command {
        Command::Remote(command) => runtime.block_on(remote::remote(command, &client?, style, out)),
        Command::Explain { target, json, .. } => {
            runtime.block_on(explain::remote(&client?, target, *json, out))
        }
        Command::Config(Config::Remote(RemoteConfig::Reload)) => {
            runtime.block_on(remote::reload(&client?, out))
        }
        Command::Shell => shell::shell(&runtime, &client?, style),
        #[cfg(feature = "standalone")]
        Command::Demo { web, socket } => runtime.block_on(demo::demo(*web, socket.clone(), out)),
        #[cfg(feature = "standalone")]
        Command::Local { .. } | Command::Learn(_) | Command::Discover(_) | Command::User(_) => Ok(OK),
        Command::Check(_)
        | Command::Completions { .. }
        | Command::Pki(_)
        | Command::Config(Config::Check { .. }) => Ok(OK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_is_known_by_its_place() {
        let is = |line: &str| is_check(line.split(' ').map(OsString::from));
        for line in ["check -x", "--aggregator h:1 check --help", "--ca=x --cert y check -V"] {
            assert!(is(line), "{line}");
        }
        for line in
            ["config check", "stop check", "--aggregator check status", "--help", "status --host check"]
        {
            assert!(!is(line), "{line}");
        }
    }
}
