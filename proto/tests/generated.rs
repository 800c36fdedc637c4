//! The generated files in the repository are those of the `.proto` files.

use rta_proto::{DESCRIPTORS_FILE, RUST_FILE, generate, generated_folder};

#[test]
fn generated_files_are_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path()).unwrap();
    for name in [RUST_FILE, DESCRIPTORS_FILE] {
        let expected = std::fs::read(folder.path().join(name)).unwrap();
        let kept = std::fs::read(generated_folder().join(name)).unwrap_or_default();
        assert!(kept == expected, "{name} differs from what proto/ describes; run: cargo run -p rta-proto");
    }
}

#[test]
fn every_proto_file_is_compiled() {
    let descriptors = std::fs::read(generated_folder().join(DESCRIPTORS_FILE)).unwrap();
    let set: prost_types::FileDescriptorSet = prost::Message::decode(&*descriptors).unwrap();
    let compiled: Vec<&str> = set.file.iter().map(|file| file.name()).collect();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/rta/v1")).unwrap() {
        let name = format!("rta/v1/{}", entry.unwrap().file_name().into_string().unwrap());
        assert!(compiled.contains(&name.as_str()), "{name} is missing in the list FILES of proto/src/lib.rs");
    }
}
