//! Texts for a terminal or a pipe, from values alone.

pub(crate) mod candidates;
pub(crate) mod check;
pub(crate) mod event;
pub(crate) mod maintenance;
pub(crate) mod note;
pub(crate) mod plan;
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

/// The colours of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Green,
    Yellow,
    Magenta,
    Red,
    Cyan,
}

/// `text` in `ink`, where colour is wanted.
pub(crate) fn painted(text: &str, ink: Option<Ink>, style: Style) -> String {
    // Select Graphic Rendition of ECMA-48.
    let code = match ink.filter(|_| style.colour) {
        None => return text.to_owned(),
        Some(Ink::Red) => 31,
        Some(Ink::Green) => 32,
        Some(Ink::Yellow) => 33,
        Some(Ink::Magenta) => 35,
        Some(Ink::Cyan) => 36,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
