//! Identifies the arguments of a command line that say what it runs: main class, jar, script or job.

use crate::process::CommandLine;

/// Options of java(1) whose value is the next argument.
const JAVA_WITH_VALUE: [&[u8]; 17] = [
    b"-cp",
    b"-classpath",
    b"--class-path",
    b"-p",
    b"--module-path",
    b"--upgrade-module-path",
    b"--add-modules",
    b"--limit-modules",
    b"--add-exports",
    b"--add-opens",
    b"--add-reads",
    b"--patch-module",
    b"--enable-native-access",
    b"--source",
    b"--describe-module",
    b"-d",
    b"--finalization",
];
/// Main class that submits a Spark job; the job is one of its arguments.
const SPARK_SUBMIT: &[u8] = b"org.apache.spark.deploy.SparkSubmit";
/// Options of spark-submit without a value; all others take the next argument.
const SPARK_WITHOUT_VALUE: [&[u8]; 7] =
    [b"--verbose", b"-v", b"--supervise", b"--help", b"-h", b"--version", b"--usage-error"];
/// Maximum number of words after a script that are taken as the name of its task.
const WORDS: usize = 3;
const LONGEST_WORD: usize = 64;

/// Form in which an argument names what is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MainForm {
    /// Whole text: a main class, a module.
    Whole,
    /// Last segment of a path: a jar, a script.
    FileName,
}

/// Structure of a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CommandLineStructure {
    /// Arguments that name what the program runs, the outer one first: `SparkSubmit`, then the job.
    pub(super) mains: Vec<(usize, MainForm)>,
    /// Words right after a script that name its task: `accelerometer sklearn`.
    pub(super) words: Vec<usize>,
    /// Index of the first argument that is not an option of the virtual machine, interpreter or launcher.
    pub(super) own: usize,
    /// True if the program is a Java virtual machine.
    pub(super) is_java: bool,
    /// True if the program runs any code that it is given, and thus does not identify the process alone.
    pub(super) is_general: bool,
    /// True if a script or a job is run, and configuration files before it belong to the launcher.
    pub(super) is_script: bool,
}

/// Option syntax of an interpreter.
struct Interpreter {
    names: &'static [&'static str],
    with_value: &'static [&'static [u8]],
    /// Options whose value is the code itself, so that there is no script.
    text: &'static [&'static [u8]],
    /// Option whose value is a module.
    module: Option<&'static [u8]>,
}

const INTERPRETERS: [Interpreter; 5] = [
    Interpreter {
        names: &["python", "pypy"],
        with_value: &[b"-W", b"-X", b"--check-hash-based-pycs"],
        text: &[b"-c"],
        module: Some(b"-m"),
    },
    Interpreter {
        names: &["bash", "sh", "dash", "ksh", "zsh"],
        with_value: &[b"-o", b"+o", b"-O", b"+O", b"--rcfile", b"--init-file"],
        text: &[b"-c", b"-lc", b"-ec", b"-xc", b"-ic"],
        module: None,
    },
    Interpreter { names: &["perl"], with_value: &[b"-I"], text: &[b"-e", b"-E"], module: None },
    Interpreter { names: &["ruby"], with_value: &[b"-I", b"-r"], text: &[b"-e"], module: None },
    Interpreter {
        names: &["node", "nodejs"],
        with_value: &[b"-r", b"--require", b"--import", b"--loader"],
        text: &[b"-e", b"--eval", b"-p", b"--print"],
        module: None,
    },
];

/// Determines the structure of a command line.
pub(super) fn analyze_command_line(line: &CommandLine) -> CommandLineStructure {
    let arguments: Vec<&[u8]> = line.arguments().collect();
    let name = arguments.first().map(|program| language(program)).unwrap_or_default();
    if name == "java" {
        return java(&arguments);
    }
    match INTERPRETERS.iter().find(|interpreter| interpreter.names.contains(&name)) {
        Some(interpreter) => script(&arguments, interpreter),
        None => CommandLineStructure { own: 1, ..CommandLineStructure::default() },
    }
}

/// Returns the last segment of a path.
pub(super) fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Returns a program's name without folder and version: `python` for `/usr/bin/python3.11`.
pub(super) fn language(program: &[u8]) -> &str {
    let name = std::str::from_utf8(base_name(program)).unwrap_or_default();
    name.trim_end_matches(|character: char| character.is_ascii_digit() || character == '.')
}

/// Returns true if `language` belongs to a known interpreter, whose binaries have their version in their
/// name.
pub(super) fn is_interpreter(language: &str) -> bool {
    INTERPRETERS.iter().any(|interpreter| interpreter.names.contains(&language))
}

fn java(arguments: &[&[u8]]) -> CommandLineStructure {
    let found = |at: usize, naming, own| CommandLineStructure {
        mains: vec![(at, naming)],
        own,
        is_java: true,
        is_general: true,
        ..CommandLineStructure::default()
    };
    let mut file_of_arguments = None;
    let mut at = 1;
    while let Some(argument) = arguments.get(at) {
        match *argument {
            b"-jar" if at + 1 < arguments.len() => return found(at + 1, MainForm::FileName, at + 2),
            b"-m" | b"--module" if at + 1 < arguments.len() => return found(at + 1, MainForm::Whole, at + 2),
            option if option.starts_with(b"--module=") => return found(at, MainForm::Whole, at + 1),
            option if JAVA_WITH_VALUE.contains(&option) => at += 2,
            file if file.starts_with(b"@") => {
                file_of_arguments = file_of_arguments.or(Some(at));
                at += 1;
            }
            option if option.is_empty() || option.starts_with(b"-") => at += 1,
            SPARK_SUBMIT => return spark(arguments, at),
            class if is_class(class) => return found(at, MainForm::Whole, at + 1),
            _ => break,
        }
    }
    match file_of_arguments {
        // The main class is in the file.
        Some(file) => found(file, MainForm::FileName, file + 1),
        None => CommandLineStructure {
            own: at.min(arguments.len()),
            is_java: true,
            is_general: true,
            ..CommandLineStructure::default()
        },
    }
}

/// Returns true if java(1) accepts `text` as a class: `kafka.Kafka`, and also `org/example/Main`.
fn is_class(text: &[u8]) -> bool {
    text.split(|byte| matches!(byte, b'.' | b'/')).all(|part| {
        part.first().is_some_and(|first| !first.is_ascii_digit())
            && part
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii())
    })
}

fn spark(arguments: &[&[u8]], submit: usize) -> CommandLineStructure {
    let mut mains = vec![(submit, MainForm::Whole)];
    let mut at = submit + 1;
    while let Some(argument) = arguments.get(at).filter(|argument| argument.starts_with(b"-")) {
        if *argument == b"--class" && at + 1 < arguments.len() {
            mains.push((at + 1, MainForm::Whole));
        }
        let is_alone = SPARK_WITHOUT_VALUE.contains(argument) || argument.contains(&b'=');
        at += if is_alone { 1 } else { 2 };
    }
    let is_script = at < arguments.len();
    if is_script {
        mains.push((at, MainForm::FileName));
        at += 1;
    }
    let words = words(arguments, at);
    CommandLineStructure {
        mains,
        words,
        own: at.min(arguments.len()),
        is_java: true,
        is_general: true,
        is_script,
    }
}

fn script(arguments: &[&[u8]], interpreter: &Interpreter) -> CommandLineStructure {
    let found = |at: usize, naming| CommandLineStructure {
        mains: vec![(at, naming)],
        words: words(arguments, at + 1),
        own: at + 1,
        is_java: false,
        is_general: true,
        is_script: true,
    };
    let mut at = 1;
    while let Some(argument) = arguments.get(at) {
        match *argument {
            option if interpreter.text.contains(&option) => break,
            option if interpreter.module == Some(option) && at + 1 < arguments.len() => {
                return found(at + 1, MainForm::Whole);
            }
            option if interpreter.with_value.contains(&option) => at += 2,
            option if option.is_empty() || option.starts_with(b"-") => at += 1,
            _ => return found(at, MainForm::FileName),
        }
    }
    CommandLineStructure { own: 1, is_general: true, ..CommandLineStructure::default() }
}

fn words(arguments: &[&[u8]], from: usize) -> Vec<usize> {
    arguments
        .iter()
        .enumerate()
        .skip(from)
        .take(WORDS)
        .take_while(|(_, argument)| is_word(argument))
        .map(|(at, _)| at)
        .collect()
}

fn is_word(argument: &[u8]) -> bool {
    argument.first().is_some_and(u8::is_ascii_alphabetic)
        && argument.len() <= LONGEST_WORD
        && argument.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the arguments that name what runs, and the words.
    fn parts(line: &str) -> (Vec<String>, Vec<String>) {
        let arguments: Vec<&str> = line.split(' ').collect();
        let anatomy = analyze_command_line(&CommandLine::from_arguments(&arguments));
        let text = |at: usize| arguments[at].to_owned();
        (
            anatomy.mains.iter().map(|(at, _)| text(*at)).collect(),
            anatomy.words.iter().map(|at| text(*at)).collect(),
        )
    }

    #[test]
    fn what_runs_is_found_behind_the_options() {
        let rows: &[(&str, &[&str], &[&str])] = &[
            (
                "/opt/jdk/bin/java -Xmx1G -cp a:b -Dx=y kafka.Kafka config/server.properties",
                &["kafka.Kafka"],
                &[],
            ),
            (
                "java -classpath bootstrap.jar -Da=b org.apache.catalina.startup.Bootstrap start",
                &["org.apache.catalina.startup.Bootstrap"],
                &[],
            ),
            ("java --class-path x --add-opens java.base/java.lang=ALL-UNNAMED a.B", &["a.B"], &[]),
            ("java --class-path=x a.B", &["a.B"], &[]),
            ("java -p mods -m app/com.example.Main x", &["app/com.example.Main"], &[]),
            ("java --module=app/com.example.Main x", &["--module=app/com.example.Main"], &[]),
            ("java -jar /opt/app/app.jar --port 1", &["/opt/app/app.jar"], &[]),
            ("java @/etc/app/jvm.args a.B", &["a.B"], &[]),
            ("java @/etc/app/jvm.args", &["@/etc/app/jvm.args"], &[]),
            ("java @/etc/app/jvm.args --port=1 10.0.0.1:90", &["@/etc/app/jvm.args"], &[]),
            ("java -version", &[], &[]),
            ("java -jar", &[], &[]),
            (
                "java -cp c org.apache.spark.deploy.SparkSubmit --master spark://h:7077 --conf a=b --verbose \
              rta_processor_simple.py accelerometer sklearn 12",
                &["org.apache.spark.deploy.SparkSubmit", "rta_processor_simple.py"],
                &["accelerometer", "sklearn"],
            ),
            (
                "java org.apache.spark.deploy.SparkSubmit --class a.Job job.jar in",
                &["org.apache.spark.deploy.SparkSubmit", "a.Job", "job.jar"],
                &["in"],
            ),
            (
                "java org.apache.spark.deploy.SparkSubmit --master",
                &["org.apache.spark.deploy.SparkSubmit"],
                &[],
            ),
            ("/usr/bin/python3.11 -u -W ignore /srv/app.py serve --port 1", &["/srv/app.py"], &["serve"]),
            ("python3 -m http.server 8000", &["http.server"], &[]),
            ("python3 -c print(1)", &[], &[]),
            ("/bin/bash -x run.sh a b c d", &["run.sh"], &["a", "b", "c"]),
            ("bash -c sleep", &[], &[]),
            ("bash", &[], &[]),
            ("node -r esm /srv/index.js", &["/srv/index.js"], &[]),
            ("grafana-server --config=/etc/grafana/grafana.ini", &[], &[]),
        ];
        for (line, mains, words) in rows {
            let expected = (
                mains.iter().map(|s| (*s).to_owned()).collect(),
                words.iter().map(|s| (*s).to_owned()).collect(),
            );
            assert_eq!(parts(line), expected, "{line}");
        }
    }

    #[test]
    fn no_command_line_breaks_it() {
        for line in [
            &[][..],
            &[&b""[..]],
            &[b"\xff"],
            &[b"java", b"", b"\xff"],
            &[b"java", b"-cp"],
            &[b"perl", b"-I"],
        ] {
            let line = CommandLine::from_arguments(line);
            let anatomy = analyze_command_line(&line);
            assert!(anatomy.mains.iter().all(|(at, _)| *at < line.len()), "{anatomy:?}");
        }
    }
}
