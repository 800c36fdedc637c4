//! Texts for a terminal or a pipe, from values alone.

pub(crate) mod candidates;
pub(crate) mod check;
pub(crate) mod reload;
pub(crate) mod summary;
pub(crate) mod table;
pub(crate) mod verbose;
mod warning;

use rta_shared::overview::Health;

/// How output is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// Lines may be wrapped to fit a person's terminal; a pipe gets one line for each thing.
    pub(crate) terminal: bool,
    /// Words may be coloured. They say the same without.
    pub(crate) colour: bool,
}

/// A shape beside the word, so that colour is never alone.
fn shape(health: Health) -> &'static str {
    match health {
        Health::Up => "●",
        Health::Degraded => "▲",
        Health::Unknown => "?",
        Health::Down => "✖",
    }
}
