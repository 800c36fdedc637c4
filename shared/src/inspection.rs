//! What people look at of a matched process.

use serde::Serialize;

/// How many arguments of one command line are sent; Spark's and Java's have some hundred.
pub const MOST: usize = 400;
/// How much of an argument is sent, in bytes: a class path is long.
pub const LONGEST: usize = 2_000;

/// A matched process with its command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedProcess {
    /// Its process ID.
    pub pid: u32,
    /// Its arguments, secrets hidden, long ones shortened; not yet safe to show.
    pub arguments: Vec<String>,
    /// How many more there are.
    pub more: u32,
}
