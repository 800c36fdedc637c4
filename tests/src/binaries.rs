//! Binaries under test, built with the same profile as the tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the path of one of the workspace's binaries, which are built on first use. With `--workspace`, as
/// here, tests and benchmarks have the same dependencies with the same features, so that only the binaries
/// themselves remain to be built.
///
/// # Panics
/// Panics if the workspace does not build.
pub fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build).join(name)
}

fn build() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    // Path of a test: target/debug/deps/test
    let folder = own.ancestors().nth(2).expect("a test is two folders deep").to_owned();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--workspace", "--bins"]);
    // Cargo describes the package of this test by these variables. If they were passed on, the build script
    // of ring would run again, and everything above ring would be compiled again, here and by the next
    // command.
    for (name, _) in std::env::vars_os() {
        let name_bytes = name.as_encoded_bytes();
        if name_bytes.starts_with(b"CARGO_PKG_") || name_bytes.starts_with(b"CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    if folder.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    if let Some(target) = folder.parent() {
        command.env("CARGO_TARGET_DIR", target);
    }
    let status = command.status().expect("cargo can be run");
    assert!(status.success(), "the binaries do not build");
    folder
}
