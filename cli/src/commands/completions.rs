//! Shell completion: the scripts, and the answers to their requests.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::time::Duration;

use clap::{Arg, Command, CommandFactory as _};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Zsh};

use crate::args::TlsArgs;
use crate::args::{CliArgs, CompletionShell};
use crate::client::AggregatorClient;
use crate::exit::{CommandResult, OK};
use crate::line_parser::{NameKind, WordRole, name_kind, parse_line, split_words};
use crate::names::{NameScope, PlatformNames};

/// Environment variable through which a script requests completions.
const REQUEST_VARIABLE: &str = "COMPLETE";
/// Environment variable in which the bash script passes the word at the cursor as typed.
const RAW_WORD_VARIABLE: &str = "_RTA_COMPLETE_WORD";
/// Time limit for fetching names: a person who pressed Tab does not wait longer.
const FETCH_TIMEOUT: Duration = Duration::from_millis(300);

/// Writes the completion script for `shell`.
pub(crate) fn write_script(shell: CompletionShell, out: &mut dyn Write) -> CommandResult {
    write!(out, "{}", completion_script(shell, &script_program())?)?;
    Ok(OK)
}

fn completion_script(shell: CompletionShell, program: &str) -> io::Result<String> {
    let completer: &dyn EnvCompleter = match shell {
        CompletionShell::Bash => &Bash,
        CompletionShell::Zsh => &Zsh,
        CompletionShell::Fish => &Fish,
    };
    let mut script = Vec::new();
    completer.write_registration(REQUEST_VARIABLE, "rta", "rta", program, &mut script)?;
    let script = String::from_utf8_lossy(&script);
    // bash passes the word without its opening quote, but a space must be escaped only outside of quotes.
    let raw_word =
        format!("    {RAW_WORD_VARIABLE}=\"${{COMP_WORDS[COMP_CWORD]}}\" \\\n        _CLAP_IFS=\"$IFS\" \\");
    Ok(script.replace("    _CLAP_IFS=\"$IFS\" \\", &raw_word))
}

/// Returns the program for the script to call: the plain name if the command was invoked
/// by name, else its file.
fn script_program() -> String {
    let typed = std::env::args().next().unwrap_or_default();
    match (typed.contains('/'), std::env::current_exe()) {
        (true, Ok(file)) => file.to_string_lossy().into_owned(),
        (true, Err(_)) | (false, _) => "rta".to_owned(),
    }
}

/// Answers a completion request from a script; returns true if there was one.
///
/// # Errors
/// Returns an error if the shell is not supported.
pub(crate) fn answer_request() -> Result<bool, clap::Error> {
    let Some(shell) = std::env::var_os(REQUEST_VARIABLE) else { return Ok(false) };
    // Read first: the completion engine removes the variable.
    let line = ShellLine::from_environment(shell == "bash");
    let folder = std::env::current_dir().ok();
    let factory = || add_completers(CliArgs::command(), &line, line.current.starts_with('-'));
    CompleteEnv::with_factory(factory)
        .var(REQUEST_VARIABLE)
        .try_complete(std::env::args_os(), folder.as_deref())
}

/// Returns the command definition with completers for platform names.
fn add_completers(command: Command, line: &ShellLine, wants_flags: bool) -> Command {
    let dress = |arg: Arg| {
        // Hidden flags are offered only if nothing else matches, so flags do not clutter a list of names.
        let is_flag = !arg.is_positional();
        let hidden = arg.is_hide_set() || is_flag && !wants_flags;
        let arg = arg.hide(hidden);
        match name_kind(&arg) {
            None => arg,
            Some(kind) => {
                let line = line.clone();
                arg.add(ArgValueCompleter::new(move |_: &OsStr| {
                    line.candidates(kind, &PlatformNames::fetch(&line))
                }))
            }
        }
    };
    command
        .disable_help_flag(!wants_flags)
        .disable_version_flag(!wants_flags)
        .mut_args(dress)
        .mut_subcommands(|inner| add_completers(inner, line, wants_flags))
}

/// Command line as passed by a shell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ShellLine {
    /// Words before the word at the cursor, without the program name, unquoted.
    before: Vec<String>,
    /// Word at the cursor, unquoted.
    current: String,
    /// True if the word starts with a quote, which the shell keeps.
    is_quoted: bool,
    /// True if spaces must be escaped here.
    is_bash: bool,
}

impl ShellLine {
    /// Reads the line that the script passed to this process.
    fn from_environment(is_bash: bool) -> Self {
        let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
        let index = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|index| index.parse().ok());
        let raw = std::env::var(RAW_WORD_VARIABLE).ok();
        Self::new(&words, index, raw.as_deref(), is_bash)
    }

    /// Creates a line. The word at the cursor is the one at `index`, or the last without an index; `raw` is
    /// that word with its quotes, for shells that do not pass them in `words`.
    fn new(words: &[OsString], index: Option<usize>, raw: Option<&str>, is_bash: bool) -> Self {
        let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let at = index.unwrap_or(words.len().saturating_sub(1));
        let current = words.get(at).cloned().unwrap_or_default();
        let before = words.get(1..at).unwrap_or_default();
        // bash splits words at colons and equal signs, and so an address.
        let before = if is_bash { join_split_words(before) } else { before.to_vec() };
        let is_quoted = raw.unwrap_or(&current).starts_with(['"', '\'']);
        let current = match (is_quoted, current.starts_with(['"', '\''])) {
            // Already without the opening quote.
            (true, false) => current,
            _ => unquote(&current),
        };
        Self { before: before.iter().map(|word| unquote(word)).collect(), current, is_quoted, is_bash }
    }

    /// Returns the aggregator named on the line.
    fn aggregator(&self) -> Option<&str> {
        let mut words = self.before.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word.strip_prefix("--aggregator") {
                Some("") => return words.next(),
                Some(rest) if rest.starts_with('=') => return rest.strip_prefix('='),
                _ => {}
            }
        }
        None
    }

    fn candidates(&self, wanted: NameKind, names: &PlatformNames) -> Vec<CompletionCandidate> {
        self.complete(wanted, names).into_iter().map(CompletionCandidate::new).collect()
    }

    /// Returns the candidates for the word at the cursor, in the shell's notation.
    fn complete(&self, wanted: NameKind, names: &PlatformNames) -> Vec<String> {
        let mut root = CliArgs::command();
        root.build();
        let roles = parse_line(&root, self.before.iter().map(String::as_str)).roles;
        let mut within = NameScope::default();
        // Earlier words of the same name, typed as separate words.
        let mut begun: Vec<&str> = Vec::new();
        for (word, role) in self.before.iter().zip(&roles) {
            match role {
                WordRole::Value(arg) => match name_kind(arg) {
                    Some(NameKind::Environment) => within.environment.clone_from(word),
                    Some(NameKind::Host) => within.host.clone_from(word),
                    Some(NameKind::Component | NameKind::Plan) | None => {}
                },
                WordRole::Positional => begun.push(word),
                WordRole::Command | WordRole::Flag(_) => {}
            }
        }
        // After an equal sign that bash split off comes the value of a flag, whatever clap expects.
        let wanted = match (roles.last(), self.before.last()) {
            (Some(WordRole::Flag(Some(arg))), Some(flag)) if flag.ends_with('=') => {
                name_kind(arg).unwrap_or(wanted)
            }
            _ => wanted,
        };
        if wanted != NameKind::Component || matches!(roles.last(), Some(WordRole::Flag(_))) {
            begun.clear();
        }
        let value = self.current.rsplit_once('=').filter(|(flag, _)| flag.starts_with("--"));
        let current = value.map_or(self.current.as_str(), |(_, value)| value);
        let typed: String = begun.iter().flat_map(|word| [*word, " "]).chain([current]).collect();
        let found = names.complete(wanted, &within, &typed);
        let rest = found.iter().map(|name| skip_words(name, begun.len()));
        rest.map(|rest| if self.is_bash && !self.is_quoted { escape_for_bash(&rest) } else { rest }).collect()
    }
}

impl PlatformNames {
    /// Fetches the platform's names from the aggregator; empty if it does not answer in time.
    fn fetch(line: &ShellLine) -> Self {
        let named = line.aggregator().map(str::to_owned).or_else(|| std::env::var("RTA_AGGREGATOR").ok());
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return Self::default();
        };
        let from = |name| std::env::var_os(name).map(Into::into);
        let tls = TlsArgs {
            ca: from("RTA_CA"),
            cert: from("RTA_CERT"),
            key: from("RTA_KEY"),
            token_file: from("RTA_TOKEN_FILE"),
        };
        runtime.block_on(async {
            let Ok(client) = AggregatorClient::with_tls(named.as_deref(), &tls) else {
                return Self::default();
            };
            match tokio::time::timeout(FETCH_TIMEOUT, client.overview()).await {
                Ok(Ok(overview)) => Self::from_overview(&overview),
                Ok(Err(_)) | Err(_) => Self::default(),
            }
        })
    }
}

/// Returns `name` without its first `words` words.
fn skip_words(name: &str, words: usize) -> String {
    match words {
        0 => name.to_owned(),
        _ => name.split_whitespace().skip(words).collect::<Vec<_>>().join(" "),
    }
}

/// Joins words that bash split at a colon or an equal sign.
fn join_split_words(parted: &[String]) -> Vec<String> {
    let mut whole: Vec<String> = Vec::new();
    let mut joins = false;
    for word in parted {
        let is_sign = matches!(word.as_str(), ":" | "=");
        match whole.last_mut().filter(|_| joins || is_sign) {
            Some(last) => last.push_str(word),
            None => whole.push(word.clone()),
        }
        joins = is_sign;
    }
    whole
}

fn unquote(word: &str) -> String {
    split_words(word).into_iter().next().map(|word| word.value).unwrap_or_default()
}

/// Escapes the characters of `text` that are special in bash.
fn escape_for_bash(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if !character.is_alphanumeric() && !"_-./,:@%+=".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::tests::names;

    fn proposed(words: &[&str], wanted: NameKind, is_bash: bool) -> Vec<String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        ShellLine::new(&words, None, None, is_bash).complete(wanted, &names())
    }

    #[test]
    fn names_with_spaces_come_out_usable() {
        let of = |words: &[&str]| proposed(words, NameKind::Component, true);
        assert_eq!(of(&["rta", "stop", "ka"]), ["kafka\\ server", "kafka\\ zookeeper\\ server"]);
        assert_eq!(of(&["rta", "stop", "kafka\\ s"]), ["kafka\\ server"]);
        assert_eq!(of(&["rta", "stop", "\"kafka s"]), ["kafka server"]);
        assert_eq!(of(&["rta", "stop", "kafka", "z"]), ["zookeeper\\ server"]);
        assert_eq!(of(&["rta", "stop", "--host", "c9t1", ""]), ["raw\\ writer"]);
        assert_eq!(of(&["rta", "stop", "it"]), ["it\\'s\\ odd"]);
        // zsh and fish quote completions themselves.
        assert_eq!(proposed(&["rta", "stop", "KA"], NameKind::Component, false)[0], "kafka server");
    }

    #[test]
    fn bash_tells_the_quote_apart_from_the_word() {
        let script = completion_script(CompletionShell::Bash, "rta").unwrap();
        assert!(script.contains("        _RTA_COMPLETE_WORD=\"${COMP_WORDS[COMP_CWORD]}\" \\\n"), "{script}");
        let words: Vec<OsString> = ["rta", "stop", "kafka s"].iter().map(OsString::from).collect();
        let line = ShellLine::new(&words, Some(2), Some("\"kafka s"), true);
        assert_eq!(line.complete(NameKind::Component, &names()), ["kafka server"]);
    }

    #[test]
    fn places_are_completed_within_what_was_said_before() {
        assert_eq!(proposed(&["rta", "stop", "--host", ""], NameKind::Host, true), ["c2t1", "c9t1", "i1"]);
        let within = ["rta", "stop", "--env", "itg", "--host", ""];
        assert_eq!(proposed(&within, NameKind::Host, true), ["i1"]);
        assert_eq!(proposed(&["rta", "start", "--stopped-by", "5"], NameKind::Plan, false), ["5", "52"]);
        assert_eq!(proposed(&["rta", "list", "--env=d"], NameKind::Environment, false), ["DEV"]);
        assert_eq!(proposed(&["rta", "stop", "--env", "=", "d"], NameKind::Component, true), ["DEV"]);
    }

    #[test]
    fn the_aggregator_is_read_from_the_line_that_bash_has_parted() {
        let line = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            ShellLine::new(&words, None, None, true).aggregator().map(str::to_owned)
        };
        let parted = ["rta", "--aggregator", "http", ":", "//h", ":", "1", "stop", ""];
        assert_eq!(line(&parted).as_deref(), Some("http://h:1"));
        assert_eq!(line(&["rta", "--aggregator", "=", "h", ":", "1", "stop", ""]).as_deref(), Some("h:1"));
        assert_eq!(line(&["rta", "stop", ""]), None);
    }
}
