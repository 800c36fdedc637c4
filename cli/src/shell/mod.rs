//! `rta shell`: the prompt, or commands from a pipe.

mod completion;
mod editor;

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser};
use jiff::Timestamp;
use rta_shared::text::printable;
use rustyline::error::ReadlineError;
use tokio::runtime::Runtime;

use self::completion::Vocabulary;
use self::editor::Prompt;
use crate::client::Client;
use crate::command::{Remote, RemoteConfig};
use crate::exit::{FAILED, Failure, OK, Outcome};
use crate::remote::{reload, remote};
use crate::render::Style;
use crate::render::summary::summary;

/// What can be typed at the prompt.
#[derive(Debug, Parser)]
#[command(name = "rta", no_binary_name = true, disable_version_flag = true, help_template = "{subcommands}")]
enum Line {
    #[command(flatten)]
    Remote(Remote),
    /// The platform's configuration
    #[command(subcommand)]
    Config(RemoteConfig),
    /// Leave; Ctrl-D does too
    #[command(visible_alias = "quit")]
    Exit,
}

/// What became of one line.
enum Done {
    Well,
    /// It failed, and that was told.
    Badly,
    Leave,
}

/// Reads commands until they end. A command that fails never ends the shell.
pub(crate) fn shell(runtime: &Runtime, client: &Client, style: Style) -> Outcome {
    if io::stdin().is_terminal() { prompt(runtime, client, style) } else { pipe(runtime, client, style) }
}

/// Every line of standard input is a command; the exit code tells whether all of them went well.
fn pipe(runtime: &Runtime, client: &Client, style: Style) -> Outcome {
    let mut code = OK;
    for line in io::stdin().lock().lines() {
        match execute(&line?, runtime, client, style)? {
            Done::Well => {}
            Done::Badly => code = FAILED,
            Done::Leave => break,
        }
    }
    Ok(code)
}

fn prompt(runtime: &Runtime, client: &Client, style: Style) -> Outcome {
    let told = |error: ReadlineError| Failure::new(FAILED, format!("the prompt cannot be shown: {error}"));
    let mut prompt = Prompt::new(history()).map_err(told)?;
    match runtime.block_on(client.overview()) {
        Ok(overview) => {
            print(&summary(&overview, Timestamp::now()))?;
            prompt.learn(Vocabulary::of(&overview));
        }
        Err(failure) => tell(failure)?,
    }
    print("help lists the commands; Tab completes; Ctrl-D leaves.\n")?;
    loop {
        match prompt.read() {
            Ok(line) => {
                if let Done::Leave = execute(&line, runtime, client, style)? {
                    break;
                }
                // The names may have become known, or others, in the meantime.
                if let Ok(overview) = runtime.block_on(client.overview()) {
                    prompt.learn(Vocabulary::of(&overview));
                }
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

/// Does what one line says. An error says that the output is gone.
fn execute(line: &str, runtime: &Runtime, client: &Client, style: Style) -> Result<Done, Failure> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(Done::Well);
    }
    let Some(words) = shlex::split(line) else {
        return badly(Failure::new(FAILED, "a quote is not closed"));
    };
    let command = match Line::try_parse_from(words) {
        Ok(Line::Exit) => return Ok(Done::Leave),
        Ok(line) => line,
        Err(error) if error.use_stderr() => {
            return badly(Failure::new(FAILED, wrong_line(line, &error)));
        }
        Err(help) => {
            print(&help.render().to_string())?;
            return Ok(Done::Well);
        }
    };
    let out = &mut io::stdout();
    let outcome = runtime.block_on(async {
        tokio::select! {
            done = perform(&command, client, style, out) => done,
            _ = tokio::signal::ctrl_c() => Err(Failure::new(
                FAILED,
                "not waited for any longer; what was begun goes on, status shows how it ends",
            )),
        }
    });
    outcome.or_else(badly)
}

async fn perform(
    command: &Line,
    client: &Client,
    style: Style,
    out: &mut (dyn Write + Send),
) -> Result<Done, Failure> {
    match command {
        Line::Exit => Ok(Done::Leave),
        // To see that something is not up is no failure of the command.
        Line::Remote(command) => remote(command, client, style, out).await.map(|_| Done::Well),
        Line::Config(RemoteConfig::Reload) => {
            let code = reload(client, out).await?;
            Ok(if code == OK { Done::Well } else { Done::Badly })
        }
    }
}

fn badly(failure: Failure) -> Result<Done, Failure> {
    tell(failure)?;
    Ok(Done::Badly)
}

/// What is wrong with a line, as one sentence.
fn wrong_line(line: &str, error: &clap::Error) -> String {
    let word = line.split_whitespace().next().unwrap_or_default();
    let known = Line::command();
    let names: Vec<&str> =
        known.get_subcommands().map(clap::Command::get_name).chain(["help", "quit"]).collect();
    if !names.contains(&word) {
        let hint = rta_shared::text::did_you_mean(word, names.iter().copied());
        return format!("\"{}\" is no command{hint}", printable(word));
    }
    let text = error.render().to_string();
    let sentence: Vec<&str> = text
        .lines()
        .take_while(|line| !line.starts_with("Usage"))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    sentence.join(" ").trim_start_matches("error: ").to_owned()
}

/// Tells a failure, unless it is that of the output.
fn tell(failure: Failure) -> Result<(), Failure> {
    match failure {
        Failure::Told(_, message) => Ok(writeln!(io::stderr(), "{message}")?),
        Failure::Output(error) => Err(Failure::Output(error)),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout();
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Where the XDG base directory specification puts it; `None` without a home.
fn history() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let state = state.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))?;
    Some(state.join("rta/history"))
}
