//! Golden files: everything that scripts, dashboards, log collectors and other versions of rta rely on,
//! recorded in `tests/golden/*.txt`, so that renaming and restructuring cannot change it unnoticed.
//!
//! | file | contents | test |
//! |---|---|---|
//! | `api.txt` | JSON of `/api/v1/*`: each key path with its types, and the words that occur | [`json`] |
//! | `grpc.txt` | gRPC packages, services, messages, fields and enums | [`grpc`] |
//! | `cli_json.txt` | `--json` of each command, in the same form as `api.txt` | [`cli`] |
//! | `cli_flags.txt` | commands, arguments, flags and environment variables of the programs | [`cli`] |
//! | `exit_codes.txt` | exit codes: command and situation | [`cli`] |
//! | `log_fields.txt` | field names of each log message | [`log_fields`] |
//! | `config_places.txt` | line and column of the problems in `tests/golden/broken` | [`config_places`] |
//!
//! Values that differ from run to run (times, PIDs, addresses, versions) and prose are left out. Every
//! line is self-contained and the lines are in a fixed order, so the difference of two versions of a file
//! is the list of changes.
//!
//! # Changing a golden file on purpose
//!
//! A failing test prints the lines that were removed (`-`) and added (`+`). If the change is intended:
//!
//! 1. Run `RTA_ACCEPT_GOLDEN=1 cargo test --workspace --test e2e golden`, which rewrites the files.
//! 2. Read `git diff tests/golden`: it must contain the intended change and nothing else.
//! 3. Commit the files together with the change, and say in the commit message what changes for users.
//!    A removed line also belongs in CHANGELOG.md: somebody may rely on it.
//!
//! After a merge conflict in a golden file take either side and run step 1.
//!
//! # Adding to the observed platform
//!
//! [`platform`] runs a small platform once for all tests of this program and records what they compare. To
//! cover a new key, add a situation in which it has a value, and wait for that situation: a golden file must
//! never depend on which of two things happens first.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod cli;
mod config_places;
mod diff;
mod grpc;
mod json;
mod log_fields;
mod platform;
mod shape;

use std::path::PathBuf;

/// Environment variable that makes the tests rewrite the golden files.
const ACCEPT: &str = "RTA_ACCEPT_GOLDEN";

/// Returns the path of a file in the folder of golden files.
fn golden_path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "golden", name].iter().collect()
}

/// Compares `lines` with the golden file `name`, or rewrites the file if [`ACCEPT`] is set.
///
/// `removal` describes what a removed line means for users.
#[track_caller]
fn assert_golden(name: &str, removal: &str, lines: &[String]) {
    let path = golden_path(name);
    if std::env::var_os(ACCEPT).is_some() {
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let golden: Vec<&str> = golden.lines().collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let changes = diff::changes(&golden, &lines);
    if changes.is_empty() {
        return;
    }
    let warning = match changes.iter().any(|change| change.starts_with('-')) {
        true => format!("\nLines with - are gone: {removal}"),
        false => String::new(),
    };
    panic!(
        "tests/golden/{name} differs from what the programs do:\n{}{warning}\n\
         To accept an intended change: {ACCEPT}=1 cargo test --workspace --test e2e golden",
        changes.join("\n")
    );
}
