//! Lines that a person types: their words, and what each of them is by the definition of the commands.

mod walk;
mod words;

pub(crate) use self::walk::{Kind, Role, kind, positional, subcommand_names, walk};
pub(crate) use self::words::{Word, bare, words};
