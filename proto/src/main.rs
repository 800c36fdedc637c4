//! Writes the Rust code of the protocol to `shared/src/proto/generated/`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    rta_proto::generate(&rta_proto::generated_folder())
}
