//! A screen that is drawn again and again, until the user has seen enough.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use super::{Stop, panicking};
use crate::clock;
use crate::exit::Exit;
use crate::job::{CtrlZ, Signals, terminal};
use crate::report::table::{Ink, Paper, Tint};

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
    keys: Option<Keys>,
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

/// The keyboard, without the need to press enter.
struct Keys {
    quit: mpsc::Receiver<()>,
    before: Termios,
    during: Termios,
}

/// Ends the story if stdout is no terminal.
///
/// # Errors
///
/// If so.
pub fn refuse_without_terminal() -> Result<(), Stop> {
    if io::stdout().is_terminal() {
        return Ok(());
    }
    let message = "--watch needs a terminal; without --watch, what is seen is printed once";
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
            keys: None,
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
                () = quit(self.keys.as_mut()) => return Ok(Shown::UntilQuit),
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
        match &self.keys {
            Some(keys) => set_keyboard(&keys.during),
            None => self.keys = Keys::open(),
        }
        let before = self.keys.as_ref().map(|keys| keys.before.clone());
        panicking::in_case(move || give_back(before.as_ref()));
        self.is_open = true;
        put(ENTER)?;
        Ok(None)
    }

    /// Gives the terminal back, if we have it.
    fn close(&mut self) {
        if std::mem::take(&mut self.is_open) {
            give_back(self.keys.as_ref().map(|keys| &keys.before));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
}

/// The terminal as it was before, with the keyboard as it was `before`.
fn give_back(before: Option<&Termios>) {
    let _ = put(LEAVE);
    if let Some(before) = before {
        set_keyboard(before);
    }
}

impl Keys {
    fn open() -> Option<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin).ok()?;
        let mut during = before.clone();
        // Signals stay: Ctrl-C is one.
        during
            .local_flags
            .remove(LocalFlags::ICANON | LocalFlags::ECHO);
        tcsetattr(&stdin, SetArg::TCSANOW, &during).ok()?;
        let (tell, quit) = mpsc::channel(1);
        // A thread of its own, which nobody waits for: it ends with us.
        let listening = std::thread::Builder::new().spawn(move || {
            let typed = io::stdin().lock().bytes();
            if typed.map_while(Result::ok).any(|key| key == b'q') {
                let _ = tell.blocking_send(());
            }
        });
        let keys = Self {
            quit,
            before,
            during,
        };
        listening.is_ok().then_some(keys)
    }
}

fn set_keyboard(mode: &Termios) {
    let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, mode);
}

/// Comes when q is pressed.
async fn quit(keys: Option<&mut Keys>) {
    if let Some(keys) = keys
        && keys.quit.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
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
