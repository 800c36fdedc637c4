//! Which flags of a command line are followed by a secret.

use super::Kind;
use super::names::names_a_secret;

/// What the short flags of some programs mean.
struct Program {
    /// The names of its binaries.
    names: &'static [&'static str],
    /// The value of these is a secret: the next word.
    next: &'static [&'static str],
    /// The value of these is a secret: the rest of the word.
    attached: &'static [&'static str],
    /// The value of these is `user:password`.
    pair: &'static [&'static str],
    /// `-p` means something else.
    is_p_harmless: bool,
    /// Its own flags end with the first word that is none.
    is_launcher: bool,
}

/// A program without any such flag.
const OTHER: Program =
    Program { names: &[], next: &[], attached: &[], pair: &[], is_p_harmless: true, is_launcher: false };

/// A program that is not known.
static UNKNOWN: Program = Program { is_p_harmless: false, ..OTHER };

/// Programs that take secrets by short flags, by their manual pages.
static PROGRAMS: [Program; 12] = [
    // The next word after `-p` is the database: a password has to follow at once.
    Program {
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
    Program {
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
    Program { names: &["7z", "7za", "7zr"], attached: &["-p"], ..OTHER },
    // `docker login -p`, but `docker run -p 8080:80`.
    Program { names: &["login"], next: &["-p"], ..OTHER },
    Program { names: &["redis-cli"], next: &["-a"], ..OTHER },
    Program { names: &["mosquitto_pub", "mosquitto_sub", "mosquitto_rr"], next: &["-P"], ..OTHER },
    Program {
        names: &["ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldappasswd", "ldapwhoami"],
        next: &["-w"],
        ..OTHER
    },
    Program {
        names: &["ipmitool", "sqlcmd", "bcp", "unzip", "zip"],
        next: &["-P"],
        attached: &["-P"],
        ..OTHER
    },
    Program { names: &["curl"], pair: &["-u", "--user", "-U", "--proxy-user"], ..OTHER },
    Program { names: &["ab", "http", "https"], pair: &["-A", "-P", "-a"], ..OTHER },
    // The path of modules; what follows the class is its own.
    Program { names: &["java"], is_launcher: true, ..OTHER },
    Program {
        names: &[
            "ssh",
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
            "docker",
            "podman",
            "cargo",
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
            "strace",
            "gdb",
            "perf",
            "taskset",
            "php-fpm",
            "named",
            "dnsmasq",
            "iperf",
            "iperf3",
            "npm",
            "sh",
            "bash",
            "dash",
            "zsh",
            "redis-server",
            "influx",
        ],
        ..OTHER
    },
];

/// What is shown of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Show,
    Hide,
    /// Its first so many bytes are shown.
    HideFrom(usize),
}

/// What the flag before a word says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It is a secret.
    Secret,
    /// It is a secret by the flag's name, unless it is a flag itself: the one before was a switch.
    Named,
    /// It is a secret unless it looks like something else.
    Perhaps,
    /// It is `user:password`.
    Pair,
}

/// Reads a command line word by word.
pub(super) struct Flags {
    kind: Kind,
    program: Option<&'static Program>,
    next: Option<Next>,
}

impl Flags {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, program: None, next: None }
    }

    /// Says what is shown of the next word.
    pub(super) fn next(&mut self, word: &str) -> Verdict {
        let is_flag = word.starts_with('-') && word.len() > 1;
        match self.next.take() {
            Some(Next::Secret) => return Verdict::Hide,
            Some(Next::Named) if !word.starts_with("--") && !word.is_empty() => return Verdict::Hide,
            Some(Next::Perhaps) if !is_flag && !is_port(word) && !is_path(word) => return Verdict::Hide,
            Some(Next::Pair) if !is_flag => {
                return word.find(':').map_or(Verdict::Show, |at| Verdict::HideFrom(at + 1));
            }
            Some(Next::Named | Next::Perhaps | Next::Pair) | None => {}
        }
        if is_flag { self.flag(word) } else { self.bare(word) }
    }

    fn flag(&mut self, word: &str) -> Verdict {
        let program = self.program.unwrap_or(&UNKNOWN);
        if let Some(flag) = program.attached.iter().find(|flag| word.starts_with(**flag) && word != **flag) {
            return Verdict::HideFrom(flag.len());
        }
        if program.next.contains(&word) {
            self.next = Some(Next::Secret);
        } else if program.pair.contains(&word) {
            self.next = Some(Next::Pair);
        } else if word == "-p" {
            let may_be_one = !program.is_p_harmless && self.kind == Kind::Command;
            self.next = may_be_one.then_some(Next::Perhaps);
        } else if is_name(word) && names_a_secret(word, self.kind) {
            self.next = Some(Next::Named);
        }
        Verdict::Show
    }

    /// A word that is no flag may be the program whose flags follow: `sudo -u x mysql -psecret`.
    fn bare(&mut self, word: &str) -> Verdict {
        let name = word.rsplit('/').next().unwrap_or(word);
        let found = PROGRAMS.iter().find(|program| program.names.contains(&name));
        self.program = found.or(self.program.filter(|program| !program.is_launcher));
        Verdict::Show
    }
}

/// A flag without a value of its own.
fn is_name(word: &str) -> bool {
    word.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.'))
}

/// `8080`, `8000-8100`, `8080:80`, `127.0.0.1:8080:80`, `53/udp`: whatever has ports to publish or to listen on.
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
