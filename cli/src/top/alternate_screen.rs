//! Full-screen terminal output, and the keys pressed meanwhile.

use std::io::{self, Write as _};
use std::time::Duration;

use rustix::termios::LocalModes;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::keyboard::{self, TerminalMode};
use crate::terminal;

/// Interval between redraws, which update the displayed ages.
const REDRAW_INTERVAL: Duration = Duration::from_secs(1);

/// Alternate screen, left on drop.
pub(super) struct AlternateScreen {
    /// Raw key input; `None`: standard input is not a terminal.
    keys: Option<TerminalMode>,
    interrupts: Signal,
    terminations: Signal,
    resizes: Signal,
}

/// Event that ends the wait for input.
pub(super) enum ScreenEvent {
    /// Redraw the screen.
    Redraw,
    /// q or Ctrl-C.
    Leave,
}

impl AlternateScreen {
    pub(super) fn enter() -> io::Result<Self> {
        let screen = Self {
            keys: TerminalMode::without(LocalModes::ICANON | LocalModes::ECHO)?,
            interrupts: signal(SignalKind::interrupt())?,
            terminations: signal(SignalKind::terminate())?,
            resizes: signal(SignalKind::window_change())?,
        };
        // The alternate screen, and no cursor (xterm's private modes 1049 and 25).
        write!(io::stdout(), "\u{1b}[?1049h\u{1b}[?25l")?;
        Ok(screen)
    }

    /// Draws `text`, cut to the size of the screen.
    pub(super) fn draw(&self, text: &str) -> io::Result<()> {
        let (rows, columns) = terminal::size();
        let mut out = io::stdout().lock();
        // Each line clears the rest of its row, and the last one clears the rows below, which avoids flicker.
        write!(
            out,
            "\u{1b}[H{}\u{1b}[J",
            fit_to_screen(text, rows, columns).join("\u{1b}[K\r\n") + "\u{1b}[K"
        )?;
        out.flush()
    }

    /// Waits for a key, a signal, or the next redraw. Cancel safe.
    pub(super) async fn next_event(&mut self) -> io::Result<ScreenEvent> {
        tokio::select! {
            keys = keyboard::read_input(), if self.keys.is_some() => match keys?.first() {
                // At the end of input, reads return immediately every time.
                None | Some(b'q' | b'Q') => Ok(ScreenEvent::Leave),
                Some(_) => Ok(ScreenEvent::Redraw),
            },
            _ = self.interrupts.recv() => Ok(ScreenEvent::Leave),
            _ = self.terminations.recv() => Ok(ScreenEvent::Leave),
            _ = self.resizes.recv() => Ok(ScreenEvent::Redraw),
            () = tokio::time::sleep(REDRAW_INTERVAL) => Ok(ScreenEvent::Redraw),
        }
    }
}

impl Drop for AlternateScreen {
    fn drop(&mut self) {
        // If the terminal has gone there is nothing to restore.
        let _ = write!(io::stdout(), "\u{1b}[?25h\u{1b}[?1049l");
        let _ = io::stdout().flush();
    }
}

/// Returns the lines of `text` that fit the given rows and columns; the last one gives the
/// number of omitted lines.
fn fit_to_screen(text: &str, rows: usize, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let characters: Vec<char> = line.chars().collect();
        // Coloured lines belong to a table, which fits. Wrapping by the terminal would scroll the screen.
        if characters.len() <= columns || line.contains('\u{1b}') {
            lines.push(line.to_owned());
        } else {
            lines.extend(characters.chunks(columns).map(|part| part.iter().collect()));
        }
    }
    if lines.len() > rows {
        let shown = rows.saturating_sub(1);
        let more = lines.len() - shown;
        lines.truncate(shown);
        lines.push(format!("... and {more} more lines; --env, --host or a name shows less"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_said_to_be_missing() {
        assert_eq!(fit_to_screen("a\nb\nc", 3, 80), ["a", "b", "c"]);
        assert_eq!(fit_to_screen("abcde", 3, 2), ["ab", "cd", "e"]);
        let cut = fit_to_screen("a\nb\nc\nd", 3, 80);
        assert_eq!((cut.len(), cut[1].as_str()), (3, "b"));
        assert!(cut[2].starts_with("... and 2 more lines"), "{cut:?}");
    }
}
