//! A line on a terminal that is written over and over, for somebody who waits in front of it.

use std::io;

use super::stderr;
use super::table::{Ink, Paper};

/// The line. It is gone when the value is dropped, so that what is told next begins at the margin.
pub struct LiveLine {
    is_shown: bool,
}

impl LiveLine {
    /// Nothing is shown yet.
    #[must_use]
    pub fn new() -> Self {
        Self { is_shown: false }
    }

    /// Shows `text` in place of what was shown before, as much of it as fits; in the background
    /// nothing, since somebody is typing there. A terminal that is gone is no reason to stop
    /// waiting.
    pub fn show(&mut self, text: &str) {
        if stderr::is_behind() {
            self.is_shown = false;
            return;
        }
        // Three columns less: a terminal shows what is pressed (`^C`) behind the line, and may
        // begin a new one behind its last column.
        let width = terminal_size::terminal_size_of(io::stderr());
        let paper = Paper {
            width: width.map(|(width, _)| usize::from(width.0).saturating_sub(3)),
            ink: Ink::Plain,
        };
        let line = paper.line(&format!("redlock: {text}"), 0);
        stderr::put(format!("\r{line}\x1b[K").as_bytes());
        self.is_shown = true;
    }
}

impl Default for LiveLine {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        if self.is_shown && !stderr::is_behind() {
            stderr::put(b"\r\x1b[K");
        }
    }
}
