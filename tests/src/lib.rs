//! What the end-to-end tests share: the real binaries, real processes, and patience.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up fails")]

mod binaries;
mod lines;
mod program;
mod site;

pub use binaries::binary;
pub use lines::Lines;
pub use program::{Program, patiently, run};
pub use site::{Children, Site};
