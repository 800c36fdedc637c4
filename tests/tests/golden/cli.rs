//! Command line interface: flags, JSON output and exit codes of the programs.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use rta_tests::{binary, run_binary};

use crate::golden::json::shape_lines;
use crate::golden::platform::{Platform, recording};
use crate::golden::shape::Shape;
use crate::golden::{assert_golden, golden_path};

const JSON_REMOVAL: &str = "scripts that read such a key, or branch on such a word, break.";
const FLAG_REMOVAL: &str = "scripts and unit files that use such a flag or command break.";
const CODE_REMOVAL: &str = "scripts and monitoring that branch on the exit code behave differently.";

/// Commands with the same output as `GET /api/v1/overview`.
const OVERVIEWS: [&str; 2] = ["rta list --json", "rta status --json"];

/// Address at which no aggregator listens.
const NOBODY: &str = "127.0.0.1:1";

#[test]
fn json_of_commands_is_unchanged() {
    let recording = recording();
    let (overviews, others): (Vec<_>, Vec<_>) =
        recording.outputs.iter().cloned().partition(|(title, _)| OVERVIEWS.contains(title));
    // Recorded after the first answer of the API, in the same situation.
    let (_, overview) = &recording.answers[0];
    let mut lines = Vec::new();
    for (title, value) in &overviews {
        assert_eq!(Shape::of(value).paths(), Shape::of(overview).paths(), "{title}");
        lines.push(format!("{title}: the keys of GET /api/v1/overview"));
    }
    lines.extend(shape_lines(&others));
    assert_golden("cli_json.txt", JSON_REMOVAL, &lines);
}

#[test]
fn exit_codes_are_unchanged() {
    assert_golden("exit_codes.txt", CODE_REMOVAL, &recording().exit_codes);
}

#[test]
fn commands_and_flags_are_unchanged() {
    let mut lines = Vec::new();
    for program in ["rta", "rta-agent", "rta-aggregator"] {
        add_help(program, &mut Vec::new(), &BTreeSet::new(), &mut lines);
    }
    assert_golden("cli_flags.txt", FLAG_REMOVAL, &lines);
}

/// Adds the arguments and flags of a command and its subcommands, except for `inherited` ones.
fn add_help(program: &str, words: &mut Vec<String>, inherited: &BTreeSet<String>, lines: &mut Vec<String>) {
    let output = run_binary(program, words.iter().map(String::as_str).chain(["--help"]));
    let help = Help::parse(&String::from_utf8(output.stdout).unwrap());
    let title = [&[program.to_owned()], words.as_slice()].concat().join(" ");
    lines.push(title.clone());
    lines.extend(help.arguments.difference(inherited).map(|argument| format!("{title}: {argument}")));
    // Every command inherits the flags for the connection to the aggregator, but no other flags of the root.
    let inherited: BTreeSet<String> = match words.is_empty() {
        true => help.arguments.iter().filter(|argument| !argument.contains("--version")).cloned().collect(),
        false => inherited.clone(),
    };
    for command in help.commands {
        words.push(command);
        add_help(program, words, &inherited, lines);
        words.pop();
    }
}

/// Names in a help text, without the prose.
#[derive(Debug, Default, PartialEq, Eq)]
struct Help {
    commands: BTreeSet<String>,
    /// Flags and positional arguments with their value, possible values and environment variable.
    arguments: BTreeSet<String>,
}

impl Help {
    fn parse(text: &str) -> Self {
        let mut help = Self::default();
        let mut section = "";
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if !line.starts_with(' ') {
                section = line;
                continue;
            }
            // Prose is further to the right.
            let indent = line.len() - line.trim_start().len();
            match section {
                "Commands:" if indent == 2 => {
                    let name = line.split_whitespace().next().unwrap_or_default();
                    if name != "help" {
                        help.commands.insert(name.to_owned());
                    }
                }
                "Arguments:" | "Options:" if indent <= 6 => {
                    let (argument, prose) =
                        line.trim_start().split_once("  ").unwrap_or((line.trim_start(), ""));
                    let mut prose = prose.to_owned();
                    while let Some(more) = lines.next_if(|line| line.starts_with("          ")) {
                        prose.push(' ');
                        prose.push_str(more.trim());
                    }
                    help.arguments.insert(describe(argument, &prose));
                }
                _ => {}
            }
        }
        help
    }
}

/// Returns an argument with its possible values and environment variable.
fn describe(argument: &str, prose: &str) -> String {
    // The placeholder of a flag's value is prose; that of a positional argument is its only name.
    let mut described = match argument.split_once(" <") {
        Some((flag, _)) => format!("{flag} <value>"),
        None => argument.to_owned(),
    };
    for label in ["[env: ", "[possible values: "] {
        let found = prose.split_once(label).and_then(|(_, rest)| rest.split(['=', ']']).next());
        if let Some(found) = found {
            described.push_str(&format!(" {label}{found}]"));
        }
    }
    described
}

#[test]
fn help_text_is_parsed_without_its_prose() {
    let text = "\
About it

Usage: x [OPTIONS]

Commands:
  run   Runs
        --not-a-flag
  help  Print

Arguments:
  [NAME]...  The name

Options:
      --ca <FILE>  The CA
                   --neither [env:
                   CA=]
  -v, --verbose...  More [possible values: a, b]
";
    let help = Help::parse(text);
    assert_eq!(help.commands, BTreeSet::from(["run".to_owned()]));
    let expected = ["--ca <value> [env: CA]", "-v, --verbose... [possible values: a, b]", "[NAME]..."];
    assert_eq!(help.arguments, expected.map(str::to_owned).into());
}

/// Returns a line for each command and situation: `COMMAND | SITUATION | EXIT CODE`.
pub(crate) fn exit_codes(platform: &Platform) -> Vec<String> {
    let mut lines = Vec::new();
    let mut note = |command: &str, situation: &str, code: i32| {
        let situation = if situation.is_empty() { "always" } else { situation };
        lines.push(format!("{command} | {situation} | {code}"));
    };
    let situations = [
        ("UP", "everything is up"),
        ("DEGRADED", "something is degraded"),
        ("DOWN", "something is down"),
        ("UNKNOWN", "the host is unknown"),
        ("MAINTENANCE", "the host is in maintenance"),
    ];
    for command in ["status", "list", "check"] {
        for (environment, situation) in situations {
            note(
                &format!("rta {command}"),
                situation,
                platform.undisturbed_rta(&[command, "--env", environment]).0,
            );
        }
        note(
            &format!("rta {command}"),
            "unknown name",
            platform.undisturbed_rta(&[command, "--env", "nothing"]).0,
        );
    }
    for (command, situation, arguments) in [
        ("status NAME", "it is up", &["status", "base"] as &[&str]),
        ("status NAME", "it is down", &["status", "dead"]),
        ("status NAME", "unknown name", &["status", "nothing"]),
        ("status --json", "something is down", &["status", "--json"]),
        ("check -w", "within the thresholds", &["check", "--env", "DOWN", "-w", "9", "-w", "degraded=9"]),
        ("check -w", "outside the threshold", &["check", "--env", "DOWN", "-w", "0", "-c", "20"]),
        ("check -c", "outside the threshold", &["check", "--env", "DOWN", "-c", "0"]),
        ("explain", "it is matched", &["explain", "base"]),
        ("explain", "it is not matched", &["explain", "dead"]),
        ("explain", "the host is unknown", &["explain", "unseen"]),
        ("explain", "unknown name", &["explain", "nothing"]),
        ("start", "it is up", &["start", "base"]),
        ("start", "there is no start command", &["start", "watched"]),
        ("start", "it fails", &["start", "broken"]),
        ("start", "the host is unknown", &["start", "unseen"]),
        ("start", "unknown name", &["start", "nothing"]),
        ("start --plan", "there is something to do", &["start", "dead", "--plan"]),
        ("stop", "it is down", &["stop", "dead"]),
        ("stop", "nobody can confirm", &["stop", "base"]),
        ("stop", "the host is unknown", &["stop", "unseen"]),
        ("stop", "unknown name", &["stop", "nothing"]),
        ("restart", "nobody can confirm", &["restart", "base"]),
        ("restart", "unknown name", &["restart", "nothing"]),
        ("maintenance", "something is in maintenance", &["maintenance"]),
        ("maintenance on", "unknown name", &["maintenance", "on", "nothing"]),
        ("maintenance off", "it is in none", &["maintenance", "off", "dead"]),
        ("maintenance off", "unknown name", &["maintenance", "off", "nothing"]),
        ("events", "there are some", &["events"]),
        ("events --component", "unknown name", &["events", "--component", "nothing"]),
        ("incidents", "there are some", &["incidents"]),
        ("incidents NUMBER", "unknown number", &["incidents", "99"]),
        ("incidents --env", "unknown name", &["incidents", "--env", "nothing"]),
        ("logs", "there is a log", &["logs", "base"]),
        ("logs", "there is no log", &["logs", "watched"]),
        ("logs", "the host is unknown", &["logs", "unseen"]),
        ("logs", "unknown name", &["logs", "nothing"]),
        ("refresh", "an aggregator answers", &["refresh"]),
        ("config reload", "a host is unknown", &["config", "reload"]),
    ] {
        note(&format!("rta {command}"), situation, platform.undisturbed_rta(arguments).0);
    }
    add_local_exit_codes(platform, &mut note);
    add_failed_connections(&mut note);
    add_usage_errors(&mut note);
    lines
}

/// Adds commands that do not contact an aggregator.
fn add_local_exit_codes(platform: &Platform, note: &mut impl FnMut(&str, &str, i32)) {
    let config = platform.config();
    let broken = golden_path("broken/unknown_key").display().to_string();
    let code = |program: &str, arguments: &[&str]| run_binary(program, arguments).status.code().unwrap();
    for (command, situation, arguments) in [
        ("--help", "", &["--help"] as &[&str]),
        ("--version", "", &["--version"]),
        ("check --help", "", &["check", "--help"]),
        ("check --version", "", &["check", "--version"]),
        ("config check", "the configuration is valid", &["config", "check", &config]),
        ("config check", "the configuration has problems", &["config", "check", &broken]),
        ("config check", "there is no such folder", &["config", "check", "/nonexistent"]),
        ("local", "everything is up", &["local", "up", "--config", &config]),
        ("local", "something is down", &["local", "down", "--config", &config]),
        ("local", "unknown host", &["local", "nothing", "--config", &config]),
        ("local", "the configuration has problems", &["local", "up", "--config", &broken]),
        ("explain --local", "it is matched", &["explain", "up/base", "--local", "--config", &config]),
        ("explain --local", "it is not matched", &["explain", "down/dead", "--local", "--config", &config]),
        ("explain --local", "unknown name", &["explain", "up/nothing", "--local", "--config", &config]),
        ("learn", "there is no such process", &["learn", "4294967295"]),
        ("learn --match", "no process has the text", &["learn", "--match", "\u{1}no such text\u{1}"]),
        ("discover", "", &["discover"]),
        ("completions bash", "", &["completions", "bash"]),
        ("user token", "", &["user", "token", "--name", "job"]),
        (
            "store migrate",
            "there is no record",
            &["store", "migrate", "--from", "sqlite:/nonexistent", "--to", "sqlite:/nonexistent/too"],
        ),
        ("pki show", "there is no CA", &["pki", "show", "--dir", "/nonexistent"]),
        ("pki host", "there is no CA", &["pki", "host", "h1", "--dir", "/nonexistent"]),
    ] {
        note(&format!("rta {command}"), situation, code("rta", arguments));
    }
    for program in ["rta-agent", "rta-aggregator"] {
        let insecure: &[&str] = match program {
            "rta-agent" => &["--insecure", "--listen", "127.0.0.1:0", "--socket", "none"],
            _ => &["--web", "127.0.0.1:0", "--socket", "none"],
        };
        let with = |arguments: &[&str]| code(program, &[insecure, arguments].concat());
        note(&format!("{program} --help"), "", code(program, &["--help"]));
        note(&format!("{program} --version"), "", code(program, &["--version"]));
        note(program, "usage error", code(program, &["--no-such-flag"]));
        note(program, "the configuration has problems", with(&["--config", &broken]));
    }
    let unknown_host = ["--insecure", "--socket", "none", "--config", &config, "--host", "nothing"];
    note("rta-agent", "unknown host", code("rta-agent", &unknown_host));
    for (situation, line) in [("every command is done", "help\n"), ("a command fails", "status nothing\n")] {
        let mut command = Command::new(binary("rta"));
        command.args(["--aggregator", NOBODY, "shell"]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), line.as_bytes()).unwrap();
        note("rta shell from a pipe", situation, child.wait().unwrap().code().unwrap());
    }
}

/// Commands that contact an aggregator.
const REMOTE: [&[&str]; 17] = [
    &["status"],
    &["watch"],
    &["list"],
    &["check"],
    &["explain", "NAME"],
    &["start", "NAME"],
    &["stop", "NAME"],
    &["restart", "NAME"],
    &["maintenance"],
    &["maintenance", "on", "NAME"],
    &["maintenance", "off", "NAME"],
    &["events"],
    &["incidents"],
    &["logs", "NAME"],
    &["logs", "NAME", "--follow"],
    &["refresh"],
    &["config", "reload"],
];

fn add_failed_connections(note: &mut impl FnMut(&str, &str, i32)) {
    for arguments in REMOTE {
        let output = run_binary("rta", ["--aggregator", NOBODY].iter().chain(arguments));
        note(&format!("rta {}", arguments.join(" ")), "no aggregator", output.status.code().unwrap());
        let output = run_binary("rta", ["--aggregator", "http://127.0.0.1:80800"].iter().chain(arguments));
        note(&format!("rta {}", arguments.join(" ")), "bad address", output.status.code().unwrap());
    }
}

fn add_usage_errors(note: &mut impl FnMut(&str, &str, i32)) {
    let local: [&[&str]; 17] = [
        &[],
        &["shell"],
        &["completions"],
        &["local"],
        &["learn"],
        &["discover"],
        &["config"],
        &["config", "check"],
        &["pki"],
        &["pki", "init"],
        &["pki", "host"],
        &["pki", "user"],
        &["pki", "show"],
        &["user", "hash"],
        &["user", "token"],
        &["store", "migrate"],
        &["demo"],
    ];
    for arguments in REMOTE.iter().chain(&local) {
        let output = run_binary("rta", arguments.iter().chain(&["--no-such-flag"]));
        note(
            ["rta", &arguments.join(" ")].join(" ").trim_end(),
            "usage error",
            output.status.code().unwrap(),
        );
    }
    for (command, situation, arguments) in [
        ("rta", "no command", &[] as &[&str]),
        ("rta nothing", "unknown command", &["nothing"]),
        ("rta start", "no name", &["start"]),
        ("rta stop ENV/", "empty part of a name", &["stop", "ENV/"]),
        ("rta check -w", "bad threshold", &["check", "-w", "20:10"]),
        ("rta events --since", "bad time", &["events", "--since", "yesterday"]),
    ] {
        note(command, situation, run_binary("rta", arguments).status.code().unwrap());
    }
}
