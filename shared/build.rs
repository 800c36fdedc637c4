//! Compiles `proto/` without a `protoc` on the machine: protox is a protobuf compiler in Rust.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 12] = [
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
    "rta/v1/what_if.proto",
    "rta/v1/aggregator.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../proto");
    let mut compiler = protox::Compiler::new(["../proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    let descriptors = compiler.file_descriptor_set();
    // Saved for gRPC reflection.
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("rta_descriptor.bin");
    std::fs::write(out, compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
