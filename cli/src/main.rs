//! `rta`: the command.

mod client;
mod command;
mod completions;
mod config_check;
mod control;
mod demo;
mod discover;
mod events;
mod exit;
mod explain;
#[cfg(test)]
mod fake;
mod here;
mod keyboard;
mod learn;
mod local;
mod logs;
mod maintenance;
mod names;
mod people;
mod pki;
mod remote;
mod render;
mod select;
mod shell;
mod terminal;
mod token;
mod typed;
mod user;
mod watch;

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::client::Client;
use crate::command::{Arguments, Command, Config, RemoteConfig};
use crate::exit::{CANNOT_TELL, Failure, OK, Outcome};
use crate::render::Style;

fn main() -> ExitCode {
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

/// clap's own texts, and its exit codes; but a wrong `rta check` is unknown to Nagios, whose 2 is critical.
fn usage(error: &clap::Error) -> ExitCode {
    // A reader that has gone needs no text.
    let _ = error.print();
    let is_check = std::env::args_os().any(|argument| argument == "check");
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ if is_check => ExitCode::from(3),
        _ => ExitCode::from(exit::USAGE),
    }
}

/// Tells a failure on standard error; its exit code.
fn complain(failure: Failure) -> u8 {
    if matches!(&failure, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
        return OK;
    }
    let (code, message) = failure.into_parts();
    // Where standard error is gone too, the exit code is all that is left to tell.
    let _ = writeln!(io::stderr(), "rta: {message}");
    code
}

fn run(arguments: &Arguments) -> Outcome {
    let out = &mut io::stdout();
    let terminal = out.is_terminal();
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let style = Style { terminal, colour: terminal && !no_colour };
    match &arguments.command {
        Command::Local { host, config } => return local::local(host.as_deref(), config, style, out),
        Command::Explain { target, config: Some(folder), json, .. } => {
            return explain::local(target, folder, *json, out);
        }
        Command::Learn(wish) => return learn::learn(wish, out, &mut io::stderr()),
        Command::Discover(wish) => return discover::discover(wish, style, out, &mut io::stderr()),
        Command::Config(Config::Check { folder }) => return config_check::config_check(folder, out),
        Command::Pki(wish) => return pki::pki(wish, out),
        Command::User(wish) => return people::people(wish, out, &mut io::stderr()),
        Command::Completions { shell } => return completions::script(*shell, out),
        _ => {}
    }
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::new(CANNOT_TELL, format!("no runtime: {error}")))?;
    let _within = runtime.enter();
    let client = Client::secured(&arguments.aggregator, &arguments.tls);
    match &arguments.command {
        Command::Remote(command) => runtime.block_on(remote::remote(command, &client?, style, out)),
        Command::Check(place) => runtime.block_on(remote::check(client, place, out)),
        Command::Explain { target, json, .. } => {
            runtime.block_on(explain::remote(&client?, target, *json, out))
        }
        Command::Config(Config::Remote(RemoteConfig::Reload)) => {
            runtime.block_on(remote::reload(&client?, out))
        }
        Command::Shell => shell::shell(&runtime, &client?, style),
        Command::Demo { web, grpc } => runtime.block_on(demo::demo(*web, *grpc, out)),
        Command::Local { .. }
        | Command::Learn(_)
        | Command::Discover(_)
        | Command::Completions { .. }
        | Command::Pki(_)
        | Command::User(_)
        | Command::Config(Config::Check { .. }) => Ok(OK),
    }
}
