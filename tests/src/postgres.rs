//! A PostgreSQL server in a folder of its own, from Debian's packages.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::wait_for;

/// User and group `nobody`: initdb refuses to run as root.
const NOBODY: u32 = 65534;
/// Runs the server as told by lines on standard input, and answers each. When the input ends, as it does however
/// the test ends, the server is killed and its folder removed.
const KEEPER: &str = r#"
programs=$1 folder=$2; shift 2
start() { "$programs/postgres" -D "$folder/data" "$@" >>"$folder/log" 2>&1 & server=$!; }
start "$@"; echo started
while read -r command; do
  case $command in
    start) start "$@";;
    stop) kill -INT "$server"; wait "$server";;
    crash) kill -QUIT "$server"; wait "$server";;
    pause) kill -STOP "$server" $(ps -o pid= --ppid "$server");;
    continue) kill -CONT "$server" $(ps -o pid= --ppid "$server");;
  esac
  echo "$command"
done
kill -CONT "$server" $(ps -o pid= --ppid "$server") 2>/dev/null
kill -QUIT "$server" 2>/dev/null; wait "$server"
cd /; rm -rf "$folder"
"#;

/// Running server. It ends when this is dropped, or with the process of the test.
#[derive(Debug)]
pub struct PostgresServer {
    folder: PathBuf,
    programs: PathBuf,
    port: String,
    keeper: Mutex<Keeper>,
    databases: AtomicU32,
}

#[derive(Debug)]
struct Keeper {
    process: Child,
    /// `None` once the end is asked for.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl PostgresServer {
    /// Starts a server on a Unix socket. Returns `None`, and says so, if PostgreSQL is not installed.
    ///
    /// # Panics
    /// Panics if the server does not start, and in the gate (`RTA_GATE` is set), which has all packages, if it is
    /// not installed.
    pub fn start() -> Option<Self> {
        Self::start_with(&[], |_| ())
    }

    /// Starts a server with these settings (`name=value`). `prepare` may put files into its folder.
    ///
    /// # Panics
    /// Panics on the same conditions as [`PostgresServer::start`].
    pub fn start_with(settings: &[String], prepare: impl FnOnce(&Path)) -> Option<Self> {
        let Some(programs) = find_programs() else {
            skip();
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder can be made").keep();
        prepare(&folder);
        if rustix::process::geteuid().is_root() {
            own_by_nobody(&folder);
        }
        let mut initdb = as_nobody(&programs.join("initdb"), &folder);
        initdb.args(["--username=rta", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]);
        let made = initdb.arg(folder.join("data")).output().expect("initdb can be run");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut keeper = as_nobody(Path::new("/bin/sh"), &folder);
        keeper.args(["-c", KEEPER, "sh"]).arg(&programs).arg(&folder);
        keeper.arg("-k").arg(&folder);
        let defaults = ["listen_addresses=", "fsync=off", "shared_buffers=16MB", "max_connections=100"];
        for setting in defaults.into_iter().chain(settings.iter().map(String::as_str)) {
            keeper.args(["-c", setting]);
        }
        keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut process = keeper.spawn().expect("a shell can be run");
        let commands = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let keeper = Mutex::new(Keeper { process, commands, answers });
        let port = settings.iter().find_map(|setting| setting.strip_prefix("port=")).unwrap_or("5432");
        let server = Self { folder, programs, port: port.to_owned(), keeper, databases: AtomicU32::new(0) };
        server.wait_until_ready();
        Some(server)
    }

    /// Returns the server that all tests of this process share.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<PostgresServer>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Creates an empty database, and returns its address.
    ///
    /// # Panics
    /// Panics if it cannot be created.
    pub fn create_database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run_sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Returns the address of a database.
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        let port = if self.port == "5432" { String::new() } else { format!(":{}", self.port) };
        format!("postgres://rta@{folder}{port}/{database}")
    }

    /// Runs SQL in a database, which may be given by its address, and returns the answer, one line for each row.
    ///
    /// # Panics
    /// Panics if the SQL fails.
    pub fn run_sql(&self, database: &str, sql: &str) -> String {
        let database = database.rsplit('/').next().unwrap_or(database);
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-U", "rta", "-d", database, "-c", sql]);
        let ran = psql
            .args(["-p", &self.port, "-h"])
            .arg(&self.folder)
            .current_dir("/")
            .output()
            .expect("psql can be run");
        assert!(ran.status.success(), "{sql}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).expect("text").trim().to_owned()
    }

    /// Stops the server as an administrator does; connections are ended.
    pub fn stop(&self) {
        self.command("stop");
    }

    /// Kills the server as a crash does.
    pub fn crash(&self) {
        self.command("crash");
    }

    /// Stops the server's processes from running: nothing answers.
    pub fn pause(&self) {
        self.command("pause");
    }

    /// Lets a paused server run again.
    pub fn resume(&self) {
        self.command("continue");
    }

    /// Starts a stopped server again.
    pub fn start_again(&self) {
        self.command("start");
        self.wait_until_ready();
    }

    fn command(&self, command: &str) {
        let mut keeper = self.keeper.lock().expect("no test panicked meanwhile");
        let Keeper { commands, answers, .. } = &mut *keeper;
        writeln!(commands.as_mut().expect("it is open"), "{command}").expect("the keeper listens");
        let mut answer = String::new();
        while answer.trim() != command {
            answer.clear();
            assert!(answers.read_line(&mut answer).expect("the keeper answers") > 0, "the keeper has ended");
        }
    }

    fn wait_until_ready(&self) {
        wait_for("PostgreSQL to be ready", || {
            let mut ready = Command::new(self.programs.join("pg_isready"));
            ready.args(["-q", "-p", &self.port, "-h"]).arg(&self.folder).current_dir("/");
            ready.status().expect("pg_isready can be run").success().then_some(())
        });
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Ok(keeper) = self.keeper.get_mut() {
            drop(keeper.commands.take());
            let _ = keeper.process.wait();
        }
    }
}

/// Returns the folder with the programs of the newest version that is installed.
fn find_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let versions = versions.filter(|version| version.path().join("bin/initdb").exists());
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    Some(versions.map(|version| version.path()).max_by_key(number)?.join("bin"))
}

/// Returns a command that runs as `nobody` if this process is root.
fn as_nobody(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn own_by_nobody(folder: &Path) {
    let files = std::fs::read_dir(folder).expect("the folder is readable");
    for path in files.flatten().map(|entry| entry.path()).chain([folder.to_owned()]) {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may do that");
    }
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skip() {
    assert!(std::env::var_os("RTA_GATE").is_none(), "PostgreSQL is not installed");
    eprintln!("SKIPPED: PostgreSQL is not installed (Debian's package postgresql)");
}
