//! Flags of command lines that are followed by a secret.

use super::TextKind;
use super::names::names_a_secret;

/// Meaning of the short flags of some programs.
struct ProgramFlags {
    /// Names of its binaries.
    names: &'static [&'static str],
    /// Flags whose value, the next word, is a secret.
    next: &'static [&'static str],
    /// Flags whose value, the rest of the word, is a secret.
    attached: &'static [&'static str],
    /// Flags whose value is `user:password`.
    pair: &'static [&'static str],
    /// True if `-p` means something other than a password.
    is_p_harmless: bool,
    /// True if its own flags end at the first word that is not a flag.
    is_launcher: bool,
}

/// Program without any such flag.
const OTHER: ProgramFlags =
    ProgramFlags { names: &[], next: &[], attached: &[], pair: &[], is_p_harmless: true, is_launcher: false };

/// Unknown program.
static UNKNOWN: ProgramFlags = ProgramFlags { is_p_harmless: false, ..OTHER };

/// Programs that take secrets in short flags, from their manual pages.
static PROGRAMS: [ProgramFlags; 13] = [
    // The word after `-p` is the database: a password must be attached to the flag.
    ProgramFlags {
        names: &[
            "mysql",
            "mysqldump",
            "mysqladmin",
            "mysqlimport",
            "mariadb",
            "mariadb-dump",
            "mariadb-admin",
        ],
        attached: &["-p"],
        ..OTHER
    },
    ProgramFlags {
        names: &[
            "mongo",
            "mongosh",
            "mongodump",
            "mongorestore",
            "mongoexport",
            "mongoimport",
            "cqlsh",
            "sshpass",
        ],
        next: &["-p"],
        attached: &["-p"],
        ..OTHER
    },
    ProgramFlags { names: &["7z", "7za", "7zr"], attached: &["-p"], ..OTHER },
    // `docker login -p` takes a password, `docker run -p 8080:80` does not.
    ProgramFlags { names: &["login"], next: &["-p"], ..OTHER },
    ProgramFlags { names: &["redis-cli"], next: &["-a"], ..OTHER },
    ProgramFlags { names: &["mosquitto_pub", "mosquitto_sub", "mosquitto_rr"], next: &["-P"], ..OTHER },
    ProgramFlags {
        names: &["ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldappasswd", "ldapwhoami"],
        next: &["-w"],
        ..OTHER
    },
    ProgramFlags {
        names: &["ipmitool", "sqlcmd", "bcp", "unzip", "zip"],
        next: &["-P"],
        attached: &["-P"],
        ..OTHER
    },
    ProgramFlags { names: &["curl"], pair: &["-u", "--user", "-U", "--proxy-user"], ..OTHER },
    ProgramFlags { names: &["ab", "http", "https"], pair: &["-A", "-P", "-a"], ..OTHER },
    // `-p` is the module path; flags after the class belong to the program that it runs.
    ProgramFlags { names: &["java"], is_launcher: true, ..OTHER },
    // Flags after a script, a command or a host belong to the program that they run.
    ProgramFlags {
        names: &[
            "sh", "bash", "dash", "zsh", "ssh", "docker", "podman", "npm", "cargo", "taskset", "strace",
            "gdb", "perf",
        ],
        is_launcher: true,
        ..OTHER
    },
    ProgramFlags {
        names: &[
            "scp",
            "psql",
            "pg_dump",
            "pg_restore",
            "pg_isready",
            "createdb",
            "nodetool",
            "nc",
            "ncat",
            "mkdir",
            "cp",
            "ps",
            "git",
            "tar",
            "rsync",
            "top",
            "pgrep",
            "lsof",
            "netstat",
            "ss",
            "memcached",
            "nginx",
            "gunicorn",
            "php-fpm",
            "named",
            "dnsmasq",
            "iperf",
            "iperf3",
            "redis-server",
            "influx",
        ],
        ..OTHER
    },
];

/// Visible part of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visibility {
    Show,
    Hide,
    /// Only this number of bytes at the beginning is shown.
    HideFrom(usize),
}

/// Expected value after a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpectedValue {
    /// A secret.
    Secret,
    /// A secret by the flag's name, unless it is itself a flag: then the previous one was a switch.
    Named,
    /// A secret, unless it looks like something else.
    Perhaps,
    /// A value in the form `user:password`.
    Pair,
}

/// Parser that processes a command line word by word.
pub(super) struct FlagScanner {
    kind: TextKind,
    program: Option<&'static ProgramFlags>,
    next: Option<ExpectedValue>,
}

impl FlagScanner {
    pub(super) fn new(kind: TextKind) -> Self {
        Self { kind, program: None, next: None }
    }

    /// Returns the visible part of the next word.
    pub(super) fn next(&mut self, word: &str) -> Visibility {
        let is_flag = word.starts_with('-') && word.len() > 1;
        match self.next.take() {
            Some(ExpectedValue::Secret) => return Visibility::Hide,
            Some(ExpectedValue::Named) if !word.starts_with("--") && !word.is_empty() => {
                return Visibility::Hide;
            }
            Some(ExpectedValue::Perhaps) if !is_flag && !is_port(word) && !is_path(word) => {
                return Visibility::Hide;
            }
            Some(ExpectedValue::Pair) if !is_flag => {
                return word.find(':').map_or(Visibility::Show, |at| Visibility::HideFrom(at + 1));
            }
            Some(ExpectedValue::Named | ExpectedValue::Perhaps | ExpectedValue::Pair) | None => {}
        }
        if is_flag { self.flag(word) } else { self.bare(word) }
    }

    fn flag(&mut self, word: &str) -> Visibility {
        let program = self.program.unwrap_or(&UNKNOWN);
        if let Some(flag) = program.attached.iter().find(|flag| word.starts_with(**flag) && word != **flag) {
            return Visibility::HideFrom(flag.len());
        }
        if program.next.contains(&word) {
            self.next = Some(ExpectedValue::Secret);
        } else if program.pair.contains(&word) {
            self.next = Some(ExpectedValue::Pair);
        } else if word == "-p" {
            let may_be_one = !program.is_p_harmless && self.kind == TextKind::Command;
            self.next = may_be_one.then_some(ExpectedValue::Perhaps);
        } else if is_name(word) && names_a_secret(word, self.kind) {
            self.next = Some(ExpectedValue::Named);
        }
        Visibility::Show
    }

    /// Processes a word that is not a flag. It may be the program to which later flags belong: `sudo -u x
    /// mysql -psecret`.
    fn bare(&mut self, word: &str) -> Visibility {
        let name = word.rsplit('/').next().unwrap_or(word);
        let found = PROGRAMS.iter().find(|program| program.names.contains(&name));
        self.program = found.or(self.program.filter(|program| !program.is_launcher));
        Visibility::Show
    }
}

/// Returns true for a flag without an attached value.
fn is_name(word: &str) -> bool {
    word.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.'))
}

/// Returns true for ports to publish or to listen on: `8080`, `8000-8100`, `8080:80`, `127.0.0.1:8080:80`,
/// `53/udp`.
fn is_port(word: &str) -> bool {
    let ports = word.trim_end_matches("/tcp").trim_end_matches("/udp");
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let is_range = |text: &str| {
        is_number(text)
            || text.split_once('-').is_some_and(|(first, last)| is_number(first) && is_number(last))
    };
    let (host, last) = ports.rsplit_once(':').unwrap_or(("", ports));
    let is_host = |text: &str| text.is_empty() || text.parse::<std::net::IpAddr>().is_ok() || is_range(text);
    let (outer, inner) = host.rsplit_once(':').unwrap_or(("", host));
    is_range(last) && is_host(outer) && is_host(inner)
}

fn is_path(word: &str) -> bool {
    word.starts_with('/') || word.starts_with("./") || word.starts_with("../") || word.starts_with("~/")
}
