//! A screen that is drawn again and again, until the user has seen enough.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Stop, panicking};
use crate::clock;
use crate::exit::Exit;
use crate::job::keyboard::{Keyboard, Mode};
use crate::job::{CtrlZ, Signals, terminal};
use crate::report::table::{Ink, Paper, Tint};
use crate::settings::{TerminalKind, World};

/// Another screen than the one with the user's work on it, without a cursor; and back.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";

/// What stands below what is shown.
const FOOTER: &str = "q ends";

/// How long somebody in the background waits for the signal for which a shell has continued him,
/// before he stands still again.
const SIGNAL_WITHIN: Duration = Duration::from_millis(50);

/// The screen, until the value is dropped.
pub struct Screen {
    ink: Ink,
    signals: Signals,
    ctrl_z: CtrlZ,
    /// Without a keyboard, Ctrl-C ends it.
    keyboard: Option<Keyboard>,
    /// Whether the terminal shows it just now.
    is_open: bool,
}

/// For how long something was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// For as long as it was to be.
    ForTheTime,
    /// Until q was pressed.
    UntilQuit,
    /// Until this signal came.
    UntilSignal(Signal),
}

/// Ends the story if stdout is no terminal, or one on which nothing can be written over.
///
/// # Errors
///
/// If so.
pub fn refuse_without_terminal(world: &World) -> Result<(), Stop> {
    let message = match io::stdout().is_terminal() {
        false => "--watch needs a terminal; without --watch, what is seen is printed once",
        true if world.terminal() == TerminalKind::Dumb => {
            "--watch needs a terminal that can clear its screen, and TERM=dumb says that this one \
             cannot; without --watch, what is seen is printed once"
        }
        true => return Ok(()),
    };
    Err(Stop::new(Exit::Usage, "usage", message))
}

impl Screen {
    /// A screen that shows nothing yet, on a terminal that takes this `ink`.
    ///
    /// # Errors
    ///
    /// If the system refuses to tell of signals.
    pub fn new(ink: Ink) -> Result<Self, Stop> {
        let deaf = |error| Stop::system("listen for signals", &error);
        Ok(Self {
            ink,
            signals: Signals::listen().map_err(deaf)?,
            ctrl_z: CtrlZ::listen().map_err(deaf)?,
            keyboard: None,
            is_open: false,
        })
    }

    /// Shows `text` for a while, or until the user has seen enough.
    ///
    /// # Errors
    ///
    /// If the terminal is gone.
    pub async fn show(&mut self, text: &[u8], time: Duration) -> Result<Shown, Stop> {
        let until = clock::now() + time;
        loop {
            // A stop that nobody hears of (SIGSTOP) may lie between, and a shell has set up the
            // keyboard for itself since.
            if terminal::is_behind() {
                self.is_open = false;
            } else if let Some(keyboard) = &self.keyboard {
                keyboard.take();
            }
            if !self.is_open
                && let Some(signal) = self.open().await?
            {
                return Ok(Shown::UntilSignal(signal));
            }
            put(&frame(text, self.ink))?;
            tokio::select! {
                biased;
                signal = self.signals.next() => return Ok(Shown::UntilSignal(signal)),
                () = self.ctrl_z.pressed() => {}
                () = quit(self.keyboard.as_ref()) => return Ok(Shown::UntilQuit),
                () = clock::sleep_until(until) => return Ok(Shown::ForTheTime),
            }
            self.close();
            self.ctrl_z.obey();
        }
    }

    /// Takes the terminal, or answers the signal that came before it was ours. In the background
    /// we stand still: to set up the keyboard there would stop us as well, again and again,
    /// whatever signal we were continued for.
    async fn open(&mut self) -> Result<Option<Signal>, Stop> {
        while terminal::is_behind() {
            tokio::select! {
                biased;
                signal = self.signals.next() => return Ok(Some(signal)),
                () = clock::sleep_until(clock::now() + SIGNAL_WITHIN) => self.ctrl_z.obey(),
            }
        }
        match &self.keyboard {
            Some(keyboard) => keyboard.take(),
            None => self.keyboard = Keyboard::open(),
        }
        let before = self.before().cloned();
        panicking::in_case(move || give_back(before.as_ref()));
        self.is_open = true;
        put(ENTER)?;
        Ok(None)
    }

    /// Gives the terminal back, if we have it.
    fn close(&mut self) {
        if std::mem::take(&mut self.is_open) && !terminal::is_behind() {
            give_back(self.before());
        }
    }

    fn before(&self) -> Option<&Mode> {
        self.keyboard.as_ref().map(Keyboard::before)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
}

/// The terminal as it was before, with the keyboard as it was `before`.
fn give_back(before: Option<&Mode>) {
    let _ = put(LEAVE);
    if let Some(before) = before {
        before.set();
    }
}

/// Comes when q is pressed.
async fn quit(keyboard: Option<&Keyboard>) {
    match keyboard {
        Some(keyboard) => keyboard.pressed(b'q').await,
        None => std::future::pending().await,
    }
}

/// `text` from the upper left corner on, over what was there, as far as it fits.
fn frame(text: &[u8], ink: Ink) -> Vec<u8> {
    let size = terminal_size::terminal_size();
    let height = size.map_or(24, |(_, height)| usize::from(height.0));
    let mut frame = b"\x1b[H".to_vec();
    let lines = text.split(|&byte| byte == b'\n');
    for line in lines.take(height.saturating_sub(1)) {
        frame.extend_from_slice(line);
        // Clear to the end of the line; the terminal goes on below.
        frame.extend_from_slice(b"\x1b[K\r\n");
    }
    let paper = Paper { width: None, ink };
    frame.extend_from_slice(paper.tinted(FOOTER, Tint::Faint).as_bytes());
    frame.extend_from_slice(b"\x1b[J");
    frame
}

fn put(bytes: &[u8]) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| Stop::system("write to the terminal", &error))
}
