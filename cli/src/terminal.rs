//! Size of the terminal on standard output.

use std::io;

use rustix::termios::{Winsize, tcgetwinsize};

/// Returns rows and columns.
pub(crate) fn size() -> (usize, usize) {
    size_or_default(tcgetwinsize(io::stdout()).ok())
}

/// Returns the size, with 24 rows and 80 columns as fallback: serial lines and container consoles report 0.
fn size_or_default(reported: Option<Winsize>) -> (usize, usize) {
    let known = |reported: Option<u16>, otherwise| {
        reported.filter(|reported| *reported > 0).map_or(otherwise, usize::from)
    };
    (known(reported.map(|reported| reported.ws_row), 24), known(reported.map(|reported| reported.ws_col), 80))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_does_not_know_its_size_has_the_usual_one() {
        let reported = |ws_row, ws_col| Some(Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 });
        assert_eq!(size_or_default(None), (24, 80));
        assert_eq!(size_or_default(reported(0, 0)), (24, 80));
        assert_eq!(size_or_default(reported(50, 0)), (50, 80));
        assert_eq!(size_or_default(reported(50, 200)), (50, 200));
    }
}
