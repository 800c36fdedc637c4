//! Candidates for criteria from a command line, the best first.

use super::command_line_structure::{
    CommandLineStructure, MainForm, analyze_command_line, base_name, is_interpreter, language,
};
use super::pattern::{PatternVariables, escape_pattern};
use super::unsuitable_arguments::{is_volatile, secrets};
use crate::process::CommandLine;

/// Endings of configuration files.
const CONFIGURATION: [&[u8]; 10] =
    [b".properties", b".conf", b".cfg", b".config", b".yaml", b".yml", b".ini", b".xml", b".json", b".toml"];
/// Words in the names of logging configurations, which do not identify a program.
const LOGGING: [&str; 3] = ["log4j", "logback", "logging"];
/// Maximum length of an argument that is offered as a whole; longer ones (a class path may have 100 kB) are
/// offered in pieces.
const LONGEST: usize = 200;
/// Maximum number of pieces.
const PIECES: usize = 64;
/// Maximum number of arguments that are examined at each end of a very long command line.
const ARGUMENTS: usize = 256;

/// Quality of a criterion, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CandidateRank {
    /// The program: argument 0.
    Program,
    /// The code that it runs, and with which configuration.
    Identity,
    /// Another configuration file, or the whole path of one.
    Configuration,
    /// An argument of the code that it runs, at any position.
    Own,
    /// An option of the virtual machine, interpreter or launcher, or one without a value.
    Option,
    /// An argument at its position.
    Place,
    /// Literal text that varies between hosts or versions, or a piece of a long argument.
    Exact,
    /// Text that may change at the next start.
    Volatile,
}

impl CandidateRank {
    /// Ranks that are added until the criteria distinguish a process from the others.
    pub(super) const ADDED: [Self; 6] =
        [Self::Configuration, Self::Own, Self::Option, Self::Place, Self::Exact, Self::Volatile];
}

/// Criterion that the command line meets, in the form of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CriterionCandidate {
    pub(super) rank: CandidateRank,
    pub(super) index: Option<i32>,
    pub(super) regex: String,
}

/// Candidates that a command line offers.
#[derive(Clone, Debug)]
pub(super) struct CandidateSet {
    pub(super) anatomy: CommandLineStructure,
    pub(super) candidates: Vec<CriterionCandidate>,
    /// Argument with the configuration file that is part of the identity.
    pub(super) configuration: Option<usize>,
    /// True if an argument was left out because it may be a secret.
    pub(super) has_secret: bool,
}

/// Returns all criteria that `line` meets.
pub(super) fn collect_candidates(line: &CommandLine, variables: &PatternVariables<'_>) -> CandidateSet {
    let arguments: Vec<&[u8]> = line.arguments().collect();
    let anatomy = analyze_command_line(line);
    let secrets = secrets(&arguments);
    let secret = |at: usize| {
        let names_what_runs = at > 0 && anatomy.mains.iter().any(|(main, _)| *main == at);
        !names_what_runs && secrets[at]
    };
    let configuration = configuration(&arguments, &anatomy, secret);
    let mut candidates = CandidateCollector { variables, list: Vec::new() };
    let mut has_secret = false;
    for (at, argument) in arguments.iter().enumerate() {
        if at >= ARGUMENTS && at + ARGUMENTS < arguments.len() {
            continue;
        }
        if secret(at) {
            has_secret = true;
            continue;
        }
        if at == 0 {
            candidates.program(argument);
        }
        let naming = anatomy.mains.iter().find(|(main, _)| *main == at).map(|(_, naming)| *naming);
        if let Some(naming) = naming {
            candidates.main(argument, naming);
        }
        if anatomy.words.contains(&at) && !is_volatile(argument) {
            candidates.add(CandidateRank::Identity, None, whole(argument, &PatternVariables::none()));
        }
        if naming.is_none() && at > 0 && is_configuration(argument) {
            let rank = if configuration == Some(at) {
                CandidateRank::Identity
            } else {
                CandidateRank::Configuration
            };
            let rank = if is_logging(argument) { CandidateRank::Option } else { rank };
            candidates.configuration(rank, argument);
        }
        candidates.argument(at, argument, at >= anatomy.own, arguments.len());
    }
    CandidateSet { anatomy, candidates: candidates.list, configuration, has_secret }
}

/// Returns the configuration file that distinguishes several instances of a program: the first among the
/// program's own arguments, otherwise one that an option before them calls a configuration. Options of a
/// script's launcher are left out, because its files do not identify the script.
fn configuration(
    arguments: &[&[u8]],
    anatomy: &CommandLineStructure,
    secret: impl Fn(usize) -> bool,
) -> Option<usize> {
    let fits = |at: &usize| {
        let argument = arguments[*at];
        let is_main = anatomy.mains.iter().any(|(main, _)| main == at);
        let name = file_tail(value(argument).1);
        is_configuration(argument)
            && !is_main
            && !is_logging(argument)
            && !is_volatile(name)
            && argument.len() <= LONGEST
            && !secret(*at)
    };
    let is_called_so = |at: &usize| {
        String::from_utf8_lossy(value(arguments[*at]).0).to_lowercase().contains("conf") && !anatomy.is_script
    };
    let own = (anatomy.own..arguments.len()).find(fits);
    own.or_else(|| (1..anatomy.own.min(arguments.len())).filter(is_called_so).find(fits))
}

fn is_configuration(argument: &[u8]) -> bool {
    let lower = argument.to_ascii_lowercase();
    CONFIGURATION.iter().any(|ending| {
        lower
            .strip_suffix(*ending)
            .and_then(<[u8]>::last)
            .is_some_and(|before| !matches!(before, b'/' | b'='))
    }) && !lower.iter().any(u8::is_ascii_whitespace)
}

fn is_logging(argument: &[u8]) -> bool {
    let text = String::from_utf8_lossy(argument).to_lowercase();
    LOGGING.iter().any(|word| text.contains(word))
}

/// Splits an argument into `--config=` and its value; the first part is empty if there is no `=`.
fn value(argument: &[u8]) -> (&[u8], &[u8]) {
    let at = argument.iter().position(|byte| *byte == b'=').map_or(0, |at| at + 1);
    argument.split_at(at)
}

/// Returns the last segment of a path, with its folder if there is one that is meaningful.
pub(super) fn file_tail(path: &[u8]) -> &[u8] {
    let name = base_name(path);
    let Some(folder) = path.get(..path.len() - name.len()).and_then(|folder| folder.strip_suffix(b"/"))
    else {
        return path;
    };
    let folder = base_name(folder);
    let says_nothing = folder.is_empty() || folder == b"." || folder == b".." || folder.contains(&b':');
    if says_nothing || is_volatile(folder) {
        name
    } else {
        &path[path.len() - name.len() - folder.len() - 1..]
    }
}

/// Returns a regex that matches exactly the argument `text`.
fn whole(text: &[u8], variables: &PatternVariables<'_>) -> String {
    format!("^{}$", escape_pattern(text, variables))
}

struct CandidateCollector<'v> {
    variables: &'v PatternVariables<'v>,
    list: Vec<CriterionCandidate>,
}

impl CandidateCollector<'_> {
    fn add(&mut self, rank: CandidateRank, index: Option<i32>, regex: String) {
        let is_new = !self.list.iter().any(|known| known.index == index && known.regex == regex);
        if is_new {
            self.list.push(CriterionCandidate { rank, index, regex });
        }
    }

    fn program(&mut self, argument: &[u8]) {
        let name = base_name(argument);
        let language = language(argument);
        let regex = if argument.iter().any(u8::is_ascii_whitespace) || name.len() > LONGEST {
            // Title that the process set itself: "nginx: master process /usr/sbin/nginx".
            begin(argument)
        } else if is_interpreter(language) && language.len() < name.len() {
            format!("(^|/){language}[0-9.]*$")
        } else {
            format!("(^|/){}$", escape_pattern(name, &PatternVariables::none()))
        };
        self.add(CandidateRank::Program, Some(0), regex);
    }

    fn main(&mut self, argument: &[u8], naming: MainForm) {
        let regex = match naming {
            _ if argument.len() > LONGEST => return,
            MainForm::Whole => whole(argument, &PatternVariables::none()),
            MainForm::FileName => {
                let name = base_name(argument);
                let before = if name.starts_with(b"@") { "^" } else { "(^|/)" };
                format!("{before}{}$", escape_pattern(name, &PatternVariables::none()))
            }
        };
        self.add(CandidateRank::Identity, None, regex);
    }

    fn configuration(&mut self, rank: CandidateRank, argument: &[u8]) {
        if argument.len() > LONGEST {
            return;
        }
        let (key, path) = value(argument);
        let tail = file_tail(path);
        let rank = if is_volatile(tail) { CandidateRank::Volatile } else { rank };
        let (key, tail) = (escape_pattern(key, self.variables), escape_pattern(tail, self.variables));
        let regex = match key.is_empty() {
            true => format!("(^|/){tail}$"),
            false => format!("^{key}(.*[/:])?{tail}$"),
        };
        self.add(rank, None, regex);
        if !is_volatile(argument) && !is_logging(argument) {
            self.add(CandidateRank::Configuration, None, whole(argument, self.variables));
        }
    }

    /// Adds the candidates of any argument: its text at any index, and at its own index, from either end.
    fn argument(&mut self, at: usize, argument: &[u8], is_own: bool, count: usize) {
        let is_long = argument.len() > LONGEST;
        let regex = if is_long { begin(argument) } else { whole(argument, self.variables) };
        let doubtful = is_volatile(argument);
        let or_volatile = |rank| if doubtful { CandidateRank::Volatile } else { rank };
        if at > 0 && !argument.is_empty() && !is_long {
            // A bare option identifies little; its value identifies more.
            let is_bare = argument.starts_with(b"-") && !argument.contains(&b'=');
            let rank = if is_own && !is_bare { CandidateRank::Own } else { CandidateRank::Option };
            self.add(or_volatile(rank), None, regex.clone());
        }
        let place = or_volatile(if at > 0 && !is_long { CandidateRank::Place } else { CandidateRank::Exact });
        let from_start = i32::try_from(at).ok();
        let from_end = i32::try_from(count - at).ok().map(|from_end| -from_end);
        // An argument near the end keeps its index from there if options are added before it.
        let both = if at * 2 < count { [from_start, from_end] } else { [from_end, from_start] };
        for index in both.into_iter().flatten() {
            self.add(place, Some(index), regex.clone());
        }
        let literal = if is_long { begin(argument) } else { whole(argument, &PatternVariables::none()) };
        if literal != regex {
            self.add(or_volatile(CandidateRank::Exact), from_start, literal);
        }
        if is_long {
            for piece in
                argument.split(|byte| *byte == b':').filter(|piece| piece.len() <= LONGEST).take(PIECES)
            {
                let regex = format!("(^|:){}(:|$)", escape_pattern(piece, self.variables));
                self.add(or_volatile(CandidateRank::Exact), from_start, regex);
            }
        }
    }
}

/// Returns a regex for an argument that begins like `text`, or that equals `text` if that is not long.
fn begin(text: &[u8]) -> String {
    match text.get(..LONGEST) {
        Some(first) => format!("^{}", escape_pattern(first, &PatternVariables::none())),
        None => whole(text, &PatternVariables::none()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(line: &str, rank: CandidateRank) -> Vec<String> {
        let line = CommandLine::from_arguments(line.split(' '));
        let candidates = collect_candidates(&line, &PatternVariables::none()).candidates;
        candidates.into_iter().filter(|one| one.rank == rank).map(|one| one.regex).collect()
    }

    #[test]
    fn the_identity_is_the_main_class_and_its_configuration() {
        let rows: &[(&str, &str, &[&str])] = &[
            (
                "/opt/jdk/bin/java -Dlog4j.configuration=file:x/log4j.properties -cp :libs/* kafka.Kafka config/server.properties",
                "(^|/)java$",
                &[r"^kafka\.Kafka$", r"(^|/)config/server\.properties$"],
            ),
            (
                "grafana-server --config=/etc/grafana/grafana.ini",
                "(^|/)grafana-server$",
                &[r"^--config=(.*[/:])?grafana/grafana\.ini$"],
            ),
            ("java -jar /opt/app-1.2/app.jar", "(^|/)java$", &[r"(^|/)app\.jar$"]),
            ("python3.11 /srv/x.py serve", "(^|/)python[0-9.]*$", &[r"(^|/)x\.py$", "^serve$"]),
            (
                "java org.apache.spark.deploy.SparkSubmit --properties-file a/b.conf novelty_detect.py 5",
                "(^|/)java$",
                &[r"^org\.apache\.spark\.deploy\.SparkSubmit$", r"(^|/)novelty_detect\.py$"],
            ),
            ("redis-server /tmp/run-12345678/redis.conf", "(^|/)redis-server$", &[r"(^|/)redis\.conf$"]),
        ];
        for (line, program, identity) in rows {
            assert_eq!(offered(line, CandidateRank::Program), [*program], "{line}");
            assert_eq!(offered(line, CandidateRank::Identity), *identity, "{line}");
        }
    }

    #[test]
    fn secrets_are_never_offered() {
        let line =
            CommandLine::from_arguments(["app", "--password", "hunter2", "--token=abc", "--port", "1"]);
        let offer = collect_candidates(&line, &PatternVariables::none());
        assert!(offer.has_secret);
        assert!(
            offer.candidates.iter().all(|one| !one.regex.contains("hunter2") && !one.regex.contains("abc"))
        );
        assert!(offer.candidates.iter().any(|one| one.regex == "^--port$"));
    }

    #[test]
    fn a_title_is_taken_as_a_whole() {
        let line = CommandLine::parse(b"nginx: master process /usr/sbin/nginx");
        let first = collect_candidates(&line, &PatternVariables::none()).candidates.remove(0);
        assert_eq!(first.regex, "^nginx: master process /usr/sbin/nginx$");
    }

    #[test]
    fn huge_arguments_are_offered_in_pieces() {
        let line = CommandLine::from_arguments(["java", "-cp", &"/opt/libs/a.jar:".repeat(10_000), "x.Main"]);
        let offer = collect_candidates(&line, &PatternVariables::none());
        assert!(offer.candidates.iter().all(|one| one.regex.len() < 1000));
        assert!(offer.candidates.iter().any(|one| one.regex == r"(^|:)/opt/libs/a\.jar(:|$)"));
    }
}
