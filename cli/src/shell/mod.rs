//! `rta shell`: an interactive prompt, or commands from a pipe.

mod abbreviation;
mod completion;
mod editor;
mod line;

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Command, FromArgMatches as _};
use rta_shared::name::fold;
use rta_shared::sanitize::printable;
use rta_shared::selector::{NameIndex, Purpose, Selector};
use rustyline::error::ReadlineError;
use tokio::runtime::Runtime;

use self::editor::Prompt;
use self::line::{Line, definition};
use crate::client::Client;
use crate::command::{Remote, RemoteConfig};
use crate::exit::{FAILED, Failure, OK, Outcome};
use crate::explain;
use crate::names::Names;
use crate::remote::{reload, remote};
use crate::render::Style;
use crate::render::summary::summary;

/// Time limit for fetching names before the next prompt.
const LEARN: Duration = Duration::from_secs(1);

/// Reads commands until the end of input. A failing command does not end the shell.
pub(crate) fn shell(runtime: &Runtime, client: &Client, style: Style) -> Outcome {
    let session = Session {
        runtime,
        client,
        style,
        definition: definition(),
        names: Names::default(),
        environment: String::new(),
    };
    if io::stdin().is_terminal() { session.prompt() } else { session.pipe() }
}

/// Outcome of one line.
enum Done {
    Well,
    /// The command failed, and the failure was reported.
    Badly,
    Leave,
}

struct Session<'s> {
    runtime: &'s Runtime,
    client: &'s Client,
    style: Style,
    definition: Command,
    /// Names known from the last overview; empty in a pipe, where only commands may be abbreviated.
    names: Names,
    /// Environment that commands are restricted to; empty: all.
    environment: String,
}

impl Session<'_> {
    /// Executes every line of standard input; the exit code is 0 if all of them succeeded.
    fn pipe(mut self) -> Outcome {
        let mut code = OK;
        for line in io::stdin().lock().lines() {
            match self.execute(&line?)? {
                Done::Well => {}
                Done::Badly => code = FAILED,
                Done::Leave => break,
            }
        }
        Ok(code)
    }

    fn prompt(mut self) -> Outcome {
        let told =
            |error: ReadlineError| Failure::new(FAILED, format!("the prompt cannot be shown: {error}"));
        let mut prompt = Prompt::new(self.definition.clone(), history(), self.style).map_err(told)?;
        match self.runtime.block_on(self.client.overview()) {
            Ok(overview) => {
                print(&summary(&overview, overview.generated_at))?;
                self.names = Names::of(&overview);
            }
            Err(failure) => {
                tell(failure)?;
                print("Every command tries it anew.\n")?;
            }
        }
        print("help lists the commands; Tab completes; Ctrl-D leaves.\n")?;
        loop {
            prompt.learn(&self.names, &self.environment);
            match prompt.read() {
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) => {
                    if let Done::Leave = self.execute(&line)? {
                        break;
                    }
                    // Names may have changed during the command.
                    self.learn();
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => {
                    print("\n")?;
                    break;
                }
                Err(error) => return Err(told(error)),
            }
        }
        Ok(OK)
    }

    fn learn(&mut self) {
        let asked = async { tokio::time::timeout(LEARN, self.client.overview()).await };
        if let Some(Ok(Ok(overview))) = self.unless_interrupted(asked) {
            self.names = Names::of(&overview);
        }
    }

    /// Executes one line. Returns an error only if the output is closed.
    fn execute(&mut self, line: &str) -> Result<Done, Failure> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(Done::Well);
        }
        let Some(words) = shlex::split(line) else {
            return badly(Failure::new(FAILED, "a quote is not closed"));
        };
        let command = match self.understood(words) {
            Ok(command) => command,
            Err(Misread::Help(text)) => {
                print(&text)?;
                return Ok(Done::Well);
            }
            Err(Misread::Wrong(sentence)) => return badly(Failure::new(FAILED, sentence)),
        };
        self.perform(&command).or_else(badly)
    }

    /// Parses the words: expands abbreviated commands and adds the environment. Names stay as typed.
    fn understood(&self, words: Vec<String>) -> Result<Line, Misread> {
        let root = &self.definition;
        let full = abbreviation::commands(root, &words).map_err(Misread::Wrong)?;
        // Errors refer to what was typed. And the prompt's environment does not count as a place where one is
        // required: `stop` alone must not stop an environment.
        parsed(root, &full)?;
        let narrowed = abbreviation::narrowed(root, &full, &self.environment);
        let differ = fold(&words.join(" ")) != fold(&full.join(" "));
        if self.style.terminal && differ {
            // If the output is closed, the command reports it.
            let _ = print(&format!("({})\n", printable(&narrowed.join(" "))));
        }
        parsed(root, &narrowed)
    }

    fn perform(&mut self, line: &Line) -> Result<Done, Failure> {
        let (client, style, out) = (self.client, self.style, &mut io::stdout());
        match line {
            Line::Exit => Ok(Done::Leave),
            Line::Use { environment } => self.narrow(environment.as_deref().unwrap_or_default()),
            // These handle Ctrl-C themselves. A status that is not up does not count as a failed command;
            // an incomplete plan does.
            Line::Remote(command @ (Remote::Start(_) | Remote::Stop(_) | Remote::Restart(_))) => {
                let code = self.runtime.block_on(remote(command, client, style, out))?;
                Ok(if code == OK { Done::Well } else { Done::Badly })
            }
            Line::Remote(command @ Remote::Watch { .. }) => {
                self.runtime.block_on(remote(command, client, style, out)).map(|_| Done::Well)
            }
            Line::Remote(command) => {
                self.interruptible(remote(command, client, style, out)).map(|_| Done::Well)
            }
            Line::Explain { target, json } => {
                self.interruptible(explain::remote(client, target, *json, out)).map(|_| Done::Well)
            }
            Line::Config(RemoteConfig::Reload) => {
                let code = self.interruptible(reload(client, out))?;
                Ok(if code == OK { Done::Well } else { Done::Badly })
            }
        }
    }

    fn interruptible<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.unless_interrupted(work).unwrap_or_else(|| {
            let sentence = "not waited for any longer; what was begun goes on, status shows how it ends";
            Err(Failure::new(FAILED, sentence))
        })
    }

    /// Runs `work` until it is done. `None`: interrupted by Ctrl-C.
    fn unless_interrupted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async {
            tokio::select! {
                done = work => Some(done),
                _ = tokio::signal::ctrl_c() => None,
            }
        })
    }

    fn narrow(&mut self, environment: &str) -> Result<Done, Failure> {
        if environment.is_empty() {
            self.environment.clear();
            return Ok(Done::Well);
        }
        let overview = self.interruptible(self.client.overview())?;
        let selector = Selector { environment: environment.to_owned(), ..Selector::default() };
        let index = NameIndex::from(&overview);
        if let Some(known) = selector.resolve(&index, Purpose::Reading)?.environment {
            known.as_str().clone_into(&mut self.environment);
        }
        Ok(Done::Well)
    }
}

/// Reason why a line is not executed.
enum Misread {
    /// Requested help text.
    Help(String),
    /// Error, as a sentence.
    Wrong(String),
}

fn parsed(root: &Command, words: &[String]) -> Result<Line, Misread> {
    let matches = root.clone().try_get_matches_from(words);
    matches.and_then(|matches| Line::from_arg_matches(&matches)).map_err(|error| match error.use_stderr() {
        true => Misread::Wrong(sentence(&error)),
        false => Misread::Help(error.render().to_string()),
    })
}

/// Converts a clap error to one sentence.
fn sentence(error: &clap::Error) -> String {
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

fn badly(failure: Failure) -> Result<Done, Failure> {
    tell(failure)?;
    Ok(Done::Badly)
}

/// Reports a failure, unless the output itself failed.
fn tell(failure: Failure) -> Result<(), Failure> {
    match failure {
        Failure::Output(error) => Err(Failure::Output(error)),
        failure => Ok(writeln!(io::stderr(), "{}", failure.message())?),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout();
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Returns the history file as defined by the XDG base directory specification; `None`
/// without a home directory.
fn history() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let state = state.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))?;
    Some(state.join("rta/history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_line_is_one_sentence() {
        let told = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            match parsed(&definition(), &words) {
                Err(Misread::Wrong(sentence)) => sentence,
                Err(Misread::Help(_)) | Ok(_) => panic!("{line}"),
            }
        };
        assert_eq!(
            told("stop --hos x"),
            "unexpected argument '--hos' found; tip: a similar argument exists: '--host'"
        );
        assert!(told("events --since 1x").ends_with("for example 2026-11-25T09:30"));
        assert!(told("stop").starts_with("the following required arguments were not provided: <NAME"));
    }
}
