//! Parsing of typed lines: their words, and the role of each word in the command definition.

mod walk;
mod words;

pub(crate) use self::walk::{Kind, Role, kind, positional, subcommand_names, walk};
pub(crate) use self::words::{Word, bare, words};
