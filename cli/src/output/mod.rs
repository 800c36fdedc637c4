//! Text output for a terminal or a pipe, derived from values alone.

#[cfg(feature = "standalone")]
pub(crate) mod candidates;
pub(crate) mod check;
pub(crate) mod component_notes;
pub(crate) mod events;
pub(crate) mod host_details;
pub(crate) mod incidents;
pub(crate) mod instance_notes;
pub(crate) mod instance_table;
pub(crate) mod json;
mod leaders;
pub(crate) mod maintenance;
pub(crate) mod plan;
pub(crate) mod reload;
pub(crate) mod status;
pub(crate) mod summary;
mod warnings;
pub(crate) mod what_if;

use rta_shared::overview::Health;

/// Style of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutputStyle {
    /// True if lines may be wrapped to fit a terminal; a pipe gets one line per item.
    pub(crate) terminal: bool,
    /// True if words may be coloured. Colour never carries information on its own.
    pub(crate) colour: bool,
}

/// Returns a symbol beside the health word, so that colour is never the only distinction.
fn health_symbol(health: Health) -> &'static str {
    match health {
        Health::Up => "●",
        Health::Degraded => "▲",
        Health::Unknown => "?",
        Health::Down => "✖",
    }
}

/// Text colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextColour {
    Green,
    Yellow,
    Magenta,
    Red,
    Cyan,
}

/// Returns `text` in the colour `ink`, if colours are enabled.
pub(crate) fn paint(text: &str, ink: Option<TextColour>, style: OutputStyle) -> String {
    // Select Graphic Rendition of ECMA-48.
    let code = match ink.filter(|_| style.colour) {
        None => return text.to_owned(),
        Some(TextColour::Red) => 31,
        Some(TextColour::Green) => 32,
        Some(TextColour::Yellow) => 33,
        Some(TextColour::Magenta) => 35,
        Some(TextColour::Cyan) => 36,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
