//! Details of a matched process for people.

use serde::Serialize;

/// Maximum number of arguments that are sent of one command line; those of Spark and Java have some hundred.
pub const MOST: usize = 400;
/// Maximum length of an argument that is sent, in bytes; class paths are long.
pub const LONGEST: usize = 2_000;

/// Matched process with its command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedProcess {
    /// PID.
    pub pid: u32,
    /// Arguments with secrets redacted and long ones shortened; control characters are not yet escaped.
    pub arguments: Vec<String>,
    /// Number of arguments that were left out.
    pub more: u32,
}
