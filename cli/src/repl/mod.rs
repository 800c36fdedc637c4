//! `rta shell`: an interactive prompt, or commands from a pipe.

mod abbreviation;
mod completion;
mod editor;
mod prompt_command;

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Command, FromArgMatches as _};
use rta_shared::name::fold;
use rta_shared::sanitize::printable;
use rta_shared::selector::{NameIndex, Purpose, Selector};
use rustyline::error::ReadlineError;
use tokio::runtime::Runtime;

use self::editor::PromptEditor;
use self::prompt_command::{PromptCommand, command_definition};
use crate::args::{RemoteCommand, RemoteConfigCommand};
use crate::client::AggregatorClient;
use crate::commands::explain;
use crate::commands::remote::{run_reload, run_remote};
use crate::exit::{CommandFailure, CommandResult, FAILED, OK};
use crate::names::PlatformNames;
use crate::output::OutputStyle;
use crate::output::status::status_summary;

/// Time limit for fetching names before the next prompt.
const NAMES_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads commands until the end of input. A failing command does not end the shell.
pub(crate) fn run_shell(runtime: &Runtime, client: &AggregatorClient, style: OutputStyle) -> CommandResult {
    let session = ReplSession {
        runtime,
        client,
        style,
        definition: command_definition(),
        names: PlatformNames::default(),
        environment: String::new(),
    };
    if io::stdin().is_terminal() { session.run_interactive() } else { session.run_piped() }
}

/// Outcome of one line.
enum LineOutcome {
    Succeeded,
    /// The command failed, and the failure was reported.
    Failed,
    Exit,
}

struct ReplSession<'s> {
    runtime: &'s Runtime,
    client: &'s AggregatorClient,
    style: OutputStyle,
    definition: Command,
    /// Names known from the last overview; empty in a pipe, where only commands may be abbreviated.
    names: PlatformNames,
    /// Environment that commands are restricted to; empty: all.
    environment: String,
}

impl ReplSession<'_> {
    /// Executes every line of standard input; the exit code is 0 if all of them succeeded.
    fn run_piped(mut self) -> CommandResult {
        let mut code = OK;
        for line in io::stdin().lock().lines() {
            match self.execute(&line?)? {
                LineOutcome::Succeeded => {}
                LineOutcome::Failed => code = FAILED,
                LineOutcome::Exit => break,
            }
        }
        Ok(code)
    }

    fn run_interactive(mut self) -> CommandResult {
        let describe_error = |error: ReadlineError| {
            CommandFailure::new(FAILED, format!("the prompt cannot be shown: {error}"))
        };
        let mut prompt =
            PromptEditor::new(self.definition.clone(), history_path(), self.style).map_err(describe_error)?;
        match self.runtime.block_on(self.client.overview()) {
            Ok(overview) => {
                print(&status_summary(&overview, self.style, overview.generated_at))?;
                self.names = PlatformNames::from_overview(&overview);
            }
            Err(failure) => {
                print_failure(failure)?;
                print("Every command tries to connect again.\n")?;
            }
        }
        print("help lists the commands; Tab completes; Ctrl-D leaves.\n")?;
        loop {
            prompt.set_names(&self.names, &self.environment);
            match prompt.read_line() {
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) => {
                    if let LineOutcome::Exit = self.execute(&line)? {
                        break;
                    }
                    // Names may have changed during the command.
                    self.refresh_names();
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => {
                    print("\n")?;
                    break;
                }
                Err(error) => return Err(describe_error(error)),
            }
        }
        Ok(OK)
    }

    fn refresh_names(&mut self) {
        let asked = async { tokio::time::timeout(NAMES_TIMEOUT, self.client.overview()).await };
        if let Some(Ok(Ok(overview))) = self.until_interrupt(asked) {
            self.names = PlatformNames::from_overview(&overview);
        }
    }

    /// Executes one line. Returns an error only if the output is closed.
    fn execute(&mut self, line: &str) -> Result<LineOutcome, CommandFailure> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(LineOutcome::Succeeded);
        }
        let Some(words) = shlex::split(line) else {
            return report_failure(CommandFailure::new(FAILED, "a quote is not closed"));
        };
        let command = match self.parse(words) {
            Ok(command) => command,
            Err(UnparsedLine::Help(text)) => {
                print(&text)?;
                return Ok(LineOutcome::Succeeded);
            }
            Err(UnparsedLine::Invalid(sentence)) => {
                return report_failure(CommandFailure::new(FAILED, sentence));
            }
        };
        self.run_command(&command).or_else(report_failure)
    }

    /// Parses the words: expands abbreviated commands and adds the environment. Names stay as typed.
    fn parse(&self, words: Vec<String>) -> Result<PromptCommand, UnparsedLine> {
        let root = &self.definition;
        let full = abbreviation::expand_commands(root, &words).map_err(UnparsedLine::Invalid)?;
        // Errors refer to what was typed. And the prompt's environment does not count as a place where one is
        // required: `stop` alone must not stop an environment.
        parse_words(root, &full)?;
        let narrowed = abbreviation::restrict_to_environment(root, &full, &self.environment);
        let differ = fold(&words.join(" ")) != fold(&full.join(" "));
        if self.style.terminal && differ {
            // If the output is closed, the command reports it.
            let _ = print(&format!("({})\n", printable(&narrowed.join(" "))));
        }
        parse_words(root, &narrowed)
    }

    fn run_command(&mut self, line: &PromptCommand) -> Result<LineOutcome, CommandFailure> {
        let (client, style, out) = (self.client, self.style, &mut io::stdout());
        match line {
            PromptCommand::Exit => Ok(LineOutcome::Exit),
            PromptCommand::Use { environment } => {
                self.use_environment(environment.as_deref().unwrap_or_default())
            }
            // These handle Ctrl-C themselves. A status that is not up does not count as a failed command;
            // an incomplete plan does.
            PromptCommand::Remote(command @ RemoteCommand::Act(_)) => {
                let code = self.runtime.block_on(run_remote(command, client, style, out))?;
                Ok(if code == OK { LineOutcome::Succeeded } else { LineOutcome::Failed })
            }
            PromptCommand::Remote(command @ RemoteCommand::Watch { .. }) => {
                self.runtime.block_on(run_remote(command, client, style, out)).map(|_| LineOutcome::Succeeded)
            }
            PromptCommand::Remote(command) => {
                self.interruptible(run_remote(command, client, style, out)).map(|_| LineOutcome::Succeeded)
            }
            PromptCommand::Explain { target, json } => self
                .interruptible(explain::explain_remote(client, target, *json, out))
                .map(|_| LineOutcome::Succeeded),
            PromptCommand::Config(RemoteConfigCommand::Reload) => {
                let code = self.interruptible(run_reload(client, out))?;
                Ok(if code == OK { LineOutcome::Succeeded } else { LineOutcome::Failed })
            }
        }
    }

    fn interruptible<T>(
        &self,
        work: impl Future<Output = Result<T, CommandFailure>>,
    ) -> Result<T, CommandFailure> {
        self.until_interrupt(work).unwrap_or_else(|| {
            let sentence = "not waited for any longer; what was begun goes on, status shows how it ends";
            Err(CommandFailure::new(FAILED, sentence))
        })
    }

    /// Runs `work` until it is done. `None`: interrupted by Ctrl-C.
    fn until_interrupt<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async {
            tokio::select! {
                done = work => Some(done),
                _ = tokio::signal::ctrl_c() => None,
            }
        })
    }

    fn use_environment(&mut self, environment: &str) -> Result<LineOutcome, CommandFailure> {
        if environment.is_empty() {
            self.environment.clear();
            return Ok(LineOutcome::Succeeded);
        }
        let overview = self.interruptible(self.client.overview())?;
        let selector = Selector { environment: environment.to_owned(), ..Selector::default() };
        let index = NameIndex::from(&overview);
        if let Some(known) = selector.resolve(&index, Purpose::Reading)?.environment {
            known.as_str().clone_into(&mut self.environment);
        }
        Ok(LineOutcome::Succeeded)
    }
}

/// Reason why a line is not executed.
enum UnparsedLine {
    /// Requested help text.
    Help(String),
    /// Error, as a sentence.
    Invalid(String),
}

fn parse_words(root: &Command, words: &[String]) -> Result<PromptCommand, UnparsedLine> {
    let matches = root.clone().try_get_matches_from(words);
    matches.and_then(|matches| PromptCommand::from_arg_matches(&matches)).map_err(|error| {
        match error.use_stderr() {
            true => UnparsedLine::Invalid(clap_message(&error)),
            false => UnparsedLine::Help(error.render().to_string()),
        }
    })
}

/// Converts a clap error to one sentence.
fn clap_message(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let is_about_usage = |line: &str| line.starts_with("Usage") || line.starts_with("For more information");
    let lines = text.lines().take_while(|line| !is_about_usage(line)).map(str::trim);
    let mut sentence = String::new();
    for line in lines.filter(|line| !line.is_empty()) {
        if !sentence.is_empty() {
            sentence.push_str(if sentence.ends_with(':') { " " } else { "; " });
        }
        sentence.push_str(line.trim_start_matches("error: "));
    }
    printable(&sentence).into_owned()
}

fn report_failure(failure: CommandFailure) -> Result<LineOutcome, CommandFailure> {
    print_failure(failure)?;
    Ok(LineOutcome::Failed)
}

/// Reports a failure, unless the output itself failed.
fn print_failure(failure: CommandFailure) -> Result<(), CommandFailure> {
    match failure {
        CommandFailure::Output(error) => Err(CommandFailure::Output(error)),
        failure => Ok(writeln!(io::stderr(), "{}", failure.message())?),
    }
}

fn print(text: &str) -> Result<(), CommandFailure> {
    let mut out = io::stdout();
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Returns the history file as defined by the XDG base directory specification; `None`
/// without a home directory.
fn history_path() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let state = state.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))?;
    Some(state.join("rta/history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_line_is_one_sentence() {
        let describe_error = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            match parse_words(&command_definition(), &words) {
                Err(UnparsedLine::Invalid(sentence)) => sentence,
                Err(UnparsedLine::Help(_)) | Ok(_) => panic!("{line}"),
            }
        };
        assert_eq!(
            describe_error("stop --hos x"),
            "unexpected argument '--hos' found; tip: a similar argument exists: '--host'"
        );
        assert!(describe_error("events --since 1x").ends_with("for example 2026-11-25T09:30"));
        assert!(
            describe_error("stop").starts_with("the following required arguments were not provided: <NAME")
        );
    }
}
