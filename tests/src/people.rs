//! The people and scripts that an aggregator knows.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Site, binary};

/// The password of everybody.
pub const PASSWORD: &str = "correct horse battery";

/// A file of users: `ann` is an operator, `bob` a viewer.
#[derive(Clone, Debug)]
pub struct People {
    /// The file, for `--users`.
    pub file: PathBuf,
    /// The token of the script `job`, which may act.
    pub operator_token: String,
    /// The token of the script `probe`, which may look.
    pub viewer_token: String,
}

impl People {
    /// Those of a site, where viewing is `open` or `closed`.
    ///
    /// # Panics
    /// Where the file cannot be made.
    pub fn new(site: &Site, viewing: &str) -> Self {
        let (_, ann) = entry("hash", "ann", "operator");
        let (_, bob) = entry("hash", "bob", "viewer");
        let (operator_token, job) = entry("token", "job", "operator");
        let (viewer_token, probe) = entry("token", "probe", "viewer");
        let file = site.path("users.toml");
        let text = format!("viewing = \"{viewing}\"\n{ann}{bob}{job}{probe}");
        std::fs::write(&file, text).expect("the file of users can be written");
        Self { file, operator_token, viewer_token }
    }
}

/// What `rta user` prints for a password or a token: what it is given on standard error, and the entry.
fn entry(what: &str, name: &str, role: &str) -> (String, String) {
    let mut command = Command::new(binary("rta"));
    command.args(["user", what, "--name", name, "--role", role]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command can be run");
    // A token needs none.
    let _ = writeln!(child.stdin.take().expect("the input is piped"), "{PASSWORD}");
    let output = child.wait_with_output().expect("a child can be waited for");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let token = said.lines().find(|line| line.starts_with("rta_")).unwrap_or_default();
    (token.to_owned(), String::from_utf8_lossy(&output.stdout).into_owned())
}
