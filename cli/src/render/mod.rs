//! Text output for a terminal or a pipe, derived from values alone.

#[cfg(feature = "standalone")]
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

/// Style of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// True if lines may be wrapped to fit a terminal; a pipe gets one line per item.
    pub(crate) terminal: bool,
    /// True if words may be coloured. Colour never carries information on its own.
    pub(crate) colour: bool,
}

/// Returns a symbol beside the health word, so that colour is never the only distinction.
fn shape(health: Health) -> &'static str {
    match health {
        Health::Up => "●",
        Health::Degraded => "▲",
        Health::Unknown => "?",
        Health::Down => "✖",
    }
}

/// Text colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Green,
    Yellow,
    Magenta,
    Red,
    Cyan,
}

/// Returns `text` in the colour `ink`, if colours are enabled.
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
