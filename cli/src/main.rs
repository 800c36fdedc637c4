//! `rta`: the command line client.

mod args;
mod client;
mod commands;
mod current_user;
mod exit;
#[cfg(test)]
mod fake_aggregator;
mod keyboard;
mod line_parser;
#[cfg(feature = "standalone")]
mod local_config;
mod names;
mod output;
mod overview_filter;
mod plan_progress;
mod plan_run;
mod repl;
mod terminal;
mod thresholds;
mod top;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use crate::args::{CliArgs, CliCommand, ConfigCommand, RemoteConfigCommand};
use crate::client::AggregatorClient;
use crate::commands::{completions, config_check, explain, pki, remote};
#[cfg(feature = "standalone")]
use crate::commands::{demo, discover, learn, local, store, user};
use crate::exit::{CommandFailure, CommandResult, OK, UNAVAILABLE};
use crate::output::OutputStyle;

fn main() -> ExitCode {
    #[cfg(feature = "standalone")]
    if let Some(code) = demo::stand_in::run_if_stand_in() {
        return code;
    }
    match completions::answer_request() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => return print_usage(&error),
    }
    let arguments = match CliArgs::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return print_usage(&error),
    };
    let code = match run(&arguments) {
        Ok(code) => code,
        Err(failure) => report_failure(failure),
    };
    ExitCode::from(code)
}

/// Prints clap's help or error and returns its exit code. A wrong `rta check` is unknown (3), because 2
/// is critical for Nagios.
fn print_usage(error: &clap::Error) -> ExitCode {
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
    let command = CliArgs::command();
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
fn report_failure(failure: CommandFailure) -> u8 {
    if matches!(&failure, CommandFailure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
        return OK;
    }
    let (code, message) = failure.into_parts();
    // If standard error is closed too, only the exit code remains.
    let _ = writeln!(io::stderr(), "rta: {message}");
    code
}

fn run(arguments: &CliArgs) -> CommandResult {
    let out = &mut io::stdout();
    let terminal = out.is_terminal();
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let style = OutputStyle { terminal, colour: terminal && !no_colour };
    match &arguments.command {
        #[cfg(feature = "standalone")]
        CliCommand::Local { host, config } => return local::run_local(host.as_deref(), config, style, out),
        #[cfg(feature = "standalone")]
        CliCommand::Explain { target, config: Some(folder), json, .. } => {
            return explain::explain_local(target, folder, *json, out);
        }
        #[cfg(feature = "standalone")]
        CliCommand::Learn(arguments) => return learn::run_learn(arguments, out, &mut io::stderr()),
        #[cfg(feature = "standalone")]
        CliCommand::Discover(arguments) => {
            return discover::run_discover(arguments, style, out, &mut io::stderr());
        }
        CliCommand::Config(ConfigCommand::Check { folder }) => {
            return config_check::check_config(folder, out);
        }
        CliCommand::Pki(arguments) => return pki::run_pki(arguments, out),
        #[cfg(feature = "standalone")]
        CliCommand::Store(arguments) => return store::run_store(arguments, out),
        #[cfg(feature = "standalone")]
        CliCommand::User(arguments) => return user::run_user(arguments, out, &mut io::stderr()),
        CliCommand::Completions { shell } => return completions::write_script(*shell, out),
        _ => {}
    }
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| CommandFailure::new(UNAVAILABLE, format!("no runtime: {error}")))?;
    let within = runtime.enter();
    let client = AggregatorClient::with_tls(arguments.aggregator.as_deref(), &arguments.tls);
    if let CliCommand::Check(arguments) = &arguments.command {
        let outcome = runtime.block_on(remote::run_check(client, arguments, out));
        drop(within);
        // The time limit has passed: a hanging name lookup is not awaited.
        runtime.shutdown_background();
        return outcome;
    }
    match &arguments.command {
        CliCommand::Remote(command) => runtime.block_on(remote::run_remote(command, &client?, style, out)),
        CliCommand::Explain { target, json, .. } => {
            runtime.block_on(explain::explain_remote(&client?, target, *json, out))
        }
        CliCommand::Config(ConfigCommand::Remote(RemoteConfigCommand::Reload)) => {
            runtime.block_on(remote::run_reload(&client?, out))
        }
        CliCommand::Shell => repl::run_shell(&runtime, &client?, style),
        #[cfg(feature = "standalone")]
        CliCommand::Demo { web, socket } => runtime.block_on(demo::run_demo(*web, socket.clone(), out)),
        #[cfg(feature = "standalone")]
        CliCommand::Local { .. }
        | CliCommand::Learn(_)
        | CliCommand::Discover(_)
        | CliCommand::User(_)
        | CliCommand::Store(_) => Ok(OK),
        CliCommand::Check(_)
        | CliCommand::Completions { .. }
        | CliCommand::Pki(_)
        | CliCommand::Config(ConfigCommand::Check { .. }) => Ok(OK),
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
