//! Configuration of a single test, whose components match no other test's processes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{ServerProcess, binary, control_group};

/// Configuration folder with components played by stand-ins, on hosts of the environment TEST.
///
/// Every component's process has an argument `--token=<component>-<token>`; the token is unique to the test.
#[derive(Debug)]
pub struct TestConfig {
    folder: TempDir,
    token: String,
}

impl TestConfig {
    /// Creates a folder without components or hosts.
    ///
    /// # Panics
    /// Panics if no temporary folder can be created.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let token = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let config = Self { folder: tempfile::tempdir().expect("a folder can be made"), token };
        std::fs::create_dir(config.folder()).expect("a folder can be made");
        config
    }

    /// Creates a configuration with a host `h` that carries `components`.
    ///
    /// # Panics
    /// Panics if it cannot be written.
    pub fn one_host(components: impl FnOnce(&Self) -> String) -> Self {
        let config = Self::new();
        let text = components(&config);
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
        let host = format!(
            "[[environment]]\nname = \"TEST\"\nhost = [{{ name = \"h\", components = [{}] }}]\n",
            names.join(", ")
        );
        config.write("site.toml", &(text + &host));
        config
    }

    /// Returns the configuration folder.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// Returns a path in the test's own folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the token that distinguishes this test's processes from all others.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Writes a file into the configuration folder.
    ///
    /// # Panics
    /// Panics if it cannot be written.
    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder().join(name), content).expect("the configuration can be written");
    }

    /// Returns the TOML of a component played by a stand-in. `more` is added to its `[component.start]`
    /// table, or starts another table.
    pub fn component_toml(&self, name: &str, depends_on: &str, more: &str) -> String {
        let stand_in = binary("stand-in");
        format!(
            "[[component]]\nname = \"{name}\"\ncriteria = [{{ regex = '^--token={name}-{token}$' }}]\n\
             depends_on = [{depends_on}]\n\
             [component.start]\ncommand = [\"{stand_in}\", \"--token={name}-{token}\"]\nsettle = \"0s\"\n\
             timeout = \"20s\"\nenvironment.STAND_IN_LEASE = \"{lease}\"\nlog = \"{log}\"\n{more}\n",
            token = self.token,
            stand_in = stand_in.display(),
            lease = std::process::id(),
            log = self.log_path(name).display(),
        )
    }

    /// Returns the TOML of a [`TestConfig::component_toml`] that is started by a shell script with this
    /// content. In the script, `$stand_in` is the stand-in's program and `$token` the end of every token; the
    /// component's process must be `$stand_in --token=<name>-$token`.
    ///
    /// # Panics
    /// Panics if the script cannot be written.
    pub fn scripted_component_toml(&self, name: &str, script: &str, more: &str) -> String {
        let path = self.path(&format!("{name}.sh"));
        let stand_in = binary("stand-in");
        let text = format!("stand_in='{}'\ntoken='{}'\n{script}\n", stand_in.display(), self.token);
        std::fs::write(&path, text).expect("a script can be written");
        self.component_toml(name, "", more).replace(
            &format!("command = [\"{}\", \"--token={name}-{}\"]", stand_in.display(), self.token),
            &format!("command = [\"/bin/bash\", \"{}\"]", path.display()),
        )
    }

    /// Finds the process of this test that plays `name` in /proc; `None` if there is none.
    ///
    /// # Panics
    /// Panics if /proc cannot be read.
    pub fn find_process(&self, name: &str) -> Option<u32> {
        let token = format!("--token={name}-{}", self.token);
        self.processes().into_iter().find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|argument| argument == token.as_bytes())
        })
    }

    /// Kills the process of this test that plays `name`.
    ///
    /// # Panics
    /// Panics if there is none.
    pub fn kill_component(&self, name: &str) {
        self.signal_component(name, Signal::KILL);
    }

    /// Sends `signal` to the process of this test that plays `name`.
    ///
    /// # Panics
    /// Panics if there is none.
    pub fn signal_component(&self, name: &str, signal: Signal) {
        let pid = self.find_process(name).and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        kill_process(pid.expect("it runs"), signal).expect("it can be signalled");
    }

    /// Returns the path of a component's log.
    pub fn log_path(&self, name: &str) -> PathBuf {
        self.path(&format!("log/{name}.log"))
    }

    /// Starts an agent for one host of the configuration, on a free port.
    pub fn start_agent(&self, host: &str) -> (ServerProcess, SocketAddr) {
        self.start_agent_with(host, "127.0.0.1:0", &[])
    }

    /// Starts an agent for one host of the configuration, with `more` arguments.
    pub fn start_agent_with(&self, host: &str, address: &str, more: &[&str]) -> (ServerProcess, SocketAddr) {
        let (config, runtime) = (self.folder(), self.path("runtime"));
        let arguments = [
            Path::new("--config"),
            &config,
            Path::new("--host"),
            Path::new(host),
            Path::new("--listen"),
            Path::new(address),
            // Only agents of the same test compete with each other.
            Path::new("--runtime"),
            &runtime,
        ];
        let more = more.iter().map(Path::new);
        let mut agent = ServerProcess::start("rta-agent", arguments.into_iter().chain(more));
        let address = agent.address("address");
        (agent, address)
    }

    /// Starts a stand-in with the command line of `component`, without the agent's knowledge.
    ///
    /// # Panics
    /// Panics if it cannot be run.
    pub fn start_stand_in(&self, component: &str) -> Child {
        let mut command = Command::new(binary("stand-in"));
        command
            .arg(format!("--token={component}-{}", self.token))
            .env("STAND_IN_LEASE", std::process::id().to_string());
        command.stdout(Stdio::null()).spawn().expect("a stand-in can be run")
    }

    /// Returns the processes that carry this test's token, from /proc.
    ///
    /// # Panics
    /// Panics if /proc cannot be read.
    pub fn processes(&self) -> Vec<u32> {
        let needle = format!("-{}", self.token);
        let mut pids: Vec<u32> = std::fs::read_dir("/proc")
            .expect("/proc can be read")
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let line = std::fs::read(entry.path().join("cmdline")).ok()?;
                let is_it = |argument: &[u8]| {
                    argument.starts_with(b"--token=") && argument.ends_with(needle.as_bytes())
                };
                line.split(|byte| *byte == 0).any(is_it).then_some(pid)
            })
            .collect();
        pids.sort_unstable();
        pids
    }
}

impl Drop for TestConfig {
    fn drop(&mut self) {
        let pids = self.processes();
        let groups: Vec<PathBuf> = pids.iter().filter_map(|pid| control_group(*pid)).collect();
        for pid in pids {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // An error means that it has already ended.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for group in groups {
            // The last process may take a moment to leave.
            for _ in 0..100 {
                if std::fs::remove_dir(&group).is_ok() || !group.exists() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}
