//! The dependencies, tests' included, come from crates.io, have a licence that is allowed here, and are asked
//! for by a version.
//!
//! `cargo deny` checks the same. It is not used, because its own build takes longer than any other check of the gate.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};

/// Licences that a dependency may have, as SPDX expressions (<https://spdx.org/licenses/>). None asks for
/// more than a notice, but for MPL-2.0, whose changed files would have to be published.
const ALLOWED_LICENCES: [&str; 11] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "BSD-2-Clause",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "MPL-2.0",
];

/// Source of each crate of crates.io in the answer of `cargo metadata`.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn dependencies_have_an_allowed_source_licence_and_version() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "cargo metadata lists {} packages", packages.len());
    let problems: Vec<String> = packages.iter().flat_map(problems).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn forbidden_source_licence_and_version_are_reported() {
    let package = |source: Value, licence: Value, requirement: &str| {
        problems(&serde_json::json!({
            "name": "thing", "version": "1.0.0", "source": source, "license": licence,
            "dependencies": [{ "name": "other", "req": requirement, "path": null }],
        }))
    };
    let allowed = |licence: &str| package(CRATES_IO.into(), licence.into(), "^1").is_empty();
    assert!(allowed("MIT OR GPL-3.0") && allowed("MIT/Apache-2.0") && allowed("Apache-2.0 AND ISC"));
    assert!(
        !allowed("GPL-3.0")
            && !allowed("MIT AND GPL-3.0")
            && !allowed("Apache-2.0 WITH Classpath-exception-2.0")
    );
    assert!(!allowed("no licence at all"));
    assert_eq!(package(CRATES_IO.into(), Value::Null, "^1"), ["thing 1.0.0 names no licence"]);
    let git = "git+https://example.net/thing";
    assert_eq!(
        package(git.into(), "MIT".into(), "^1"),
        [format!("thing 1.0.0 comes from {git}, not from crates.io")]
    );
    // A package without a source is one of the workspace.
    assert_eq!(package(Value::Null, "MIT".into(), "*"), ["thing 1.0.0 asks for any version of other"]);
}

/// Packages of the workspace and all that they depend on, for the processors that rta is built for.
fn metadata() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--all-features"]);
    for target in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        cargo.args(["--filter-platform", target]);
    }
    let output = cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Reasons for which a package of `cargo metadata` may not be used.
fn problems(package: &Value) -> Vec<String> {
    let name = format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
    let mut problems = Vec::new();
    match package["source"].as_str() {
        None => problems.extend(
            package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dependency| dependency["req"] == "*" && dependency["path"].is_null())
                .map(|dependency| {
                    format!("{name} asks for any version of {}", dependency["name"].as_str().unwrap())
                }),
        ),
        Some(CRATES_IO) => {}
        Some(source) => problems.push(format!("{name} comes from {source}, not from crates.io")),
    }
    match package["license"].as_str() {
        None => problems.push(format!("{name} names no licence")),
        Some(licence) => match Expression::parse_mode(licence, ParseMode::LAX) {
            Err(error) => {
                problems.push(format!("{name} has the licence {licence:?}, which is not understood: {error}"))
            }
            Ok(expression) => {
                let allowed = ALLOWED_LICENCES.map(|allowed| Licensee::parse(allowed).unwrap());
                if !expression
                    .evaluate(|required| allowed.iter().any(|licensee| licensee.satisfies(required)))
                {
                    problems.push(format!("{name} has the licence {licence}, which is not allowed"));
                }
            }
        },
    }
    problems
}
