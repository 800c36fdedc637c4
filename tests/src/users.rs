//! Users and scripts with accounts at an aggregator.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{TestConfig, binary};

/// Password of every user.
pub const PASSWORD: &str = "correct horse battery";

/// Users file: `ann` is an operator, `bob` a viewer.
#[derive(Clone, Debug)]
pub struct TestUsers {
    /// File, for `--users`.
    pub file: PathBuf,
    /// Token of the script `job`, an operator.
    pub operator_token: String,
    /// Token of the script `probe`, a viewer.
    pub viewer_token: String,
}

impl TestUsers {
    /// Creates the users file of a test, with `viewing` set to `open` or `closed`.
    ///
    /// # Panics
    /// Panics if the file cannot be created.
    pub fn new(config: &TestConfig, viewing: &str) -> Self {
        let (_, ann) = create_entry("hash", "ann", "operator");
        let (_, bob) = create_entry("hash", "bob", "viewer");
        let (operator_token, job) = create_entry("token", "job", "operator");
        let (viewer_token, probe) = create_entry("token", "probe", "viewer");
        let file = config.path("users.toml");
        let text = format!("viewing = \"{viewing}\"\n{ann}{bob}{job}{probe}");
        std::fs::write(&file, text).expect("the file of users can be written");
        Self { file, operator_token, viewer_token }
    }
}

/// Returns the output of `rta user` for a password or a token: the token, printed to
/// standard error, and the entry.
fn create_entry(what: &str, name: &str, role: &str) -> (String, String) {
    let mut command = Command::new(binary("rta"));
    command.args(["user", what, "--name", name, "--role", role]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command can be run");
    // Ignored for a token.
    let _ = writeln!(child.stdin.take().expect("the input is piped"), "{PASSWORD}");
    let output = child.wait_with_output().expect("a child can be waited for");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let token = said.lines().find(|line| line.starts_with("rta_")).unwrap_or_default();
    (token.to_owned(), String::from_utf8_lossy(&output.stdout).into_owned())
}
