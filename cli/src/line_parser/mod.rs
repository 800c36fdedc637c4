//! Parsing of typed lines: their words, and the role of each word in the command definition.

mod word_roles;
mod words;

pub(crate) use self::word_roles::{
    NameKind, WordRole, name_kind, parse_line, positional_argument, subcommand_names,
};
pub(crate) use self::words::{TypedWord, quote_if_needed, split_words};
