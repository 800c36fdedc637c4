//! Generates `shared/src/proto/generated/` from `proto/rta/v1/*.proto`, without a `protoc` on the machine: protox is
//! a protobuf compiler in Rust.
//!
//! The generated files are kept in the repository, because the compiler and the generator take longer to build
//! than the code that they generate. `cargo run -p rta-proto` writes them; a test compares them.

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message as _;

/// Name of the generated Rust file of the package `rta.v1`.
pub const RUST_FILE: &str = "rta.v1.rs";

/// Name of the file with the compiled descriptors for gRPC reflection: a `FileDescriptorSet`, without comments.
pub const DESCRIPTORS_FILE: &str = "descriptors.bin";

const FILES: [&str; 13] = [
    "rta/v1/impairment.proto",
    "rta/v1/process.proto",
    "rta/v1/usage.proto",
    "rta/v1/control.proto",
    "rta/v1/explain.proto",
    "rta/v1/agent.proto",
    "rta/v1/maintenance.proto",
    "rta/v1/overview.proto",
    "rta/v1/plan.proto",
    "rta/v1/event.proto",
    "rta/v1/incident.proto",
    "rta/v1/what_if.proto",
    "rta/v1/aggregator.proto",
];

/// Returns the folder of the generated files in the repository.
pub fn generated_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src/proto/generated")
}

/// Writes [`RUST_FILE`] and [`DESCRIPTORS_FILE`] to the existing folder `folder`.
///
/// # Errors
/// Returns an error that names the file and line if a `.proto` file is invalid, and the error of the system if
/// `folder` cannot be written.
pub fn generate(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut compiler = protox::Compiler::new([env!("CARGO_MANIFEST_DIR")])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    let mut descriptors = compiler.file_descriptor_set();
    tonic_prost_build::configure()
        .codec_path("crate::proto::codec::SmallBufferCodec")
        .out_dir(folder)
        .compile_fds(descriptors.clone())?;
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    std::fs::write(folder.join(DESCRIPTORS_FILE), descriptors.encode_to_vec())?;
    Ok(())
}
