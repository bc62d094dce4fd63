//! A screen that is drawn again and again, until the user has seen enough.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use super::{Stop, panicking};
use crate::clock;
use crate::exit::Exit;
use crate::job::{CtrlZ, Signals};
use crate::report::table::{Ink, Paper, Tint};

/// Another screen than the one with the user's work on it, without a cursor; and back.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";

/// What stands below what is shown.
const FOOTER: &str = "q ends";

/// The screen, until the value is dropped.
pub struct Screen {
    ink: Ink,
    signals: Signals,
    ctrl_z: CtrlZ,
    keys: Option<Keys>,
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
    /// Takes the terminal, which takes this `ink`.
    ///
    /// # Errors
    ///
    /// If it cannot be written to, or the system refuses to tell of signals.
    pub fn open(ink: Ink) -> Result<Self, Stop> {
        let deaf = |error| Stop::system("listen for signals", &error);
        let screen = Self {
            ink,
            signals: Signals::listen().map_err(deaf)?,
            ctrl_z: CtrlZ::listen().map_err(deaf)?,
            // Without a keyboard, Ctrl-C does.
            keys: Keys::open(),
        };
        let before = screen.keys.as_ref().map(|keys| keys.before.clone());
        panicking::in_case(move || {
            if let Some(before) = before {
                set_keyboard(&before);
            }
            let _ = put(LEAVE);
        });
        put(ENTER)?;
        Ok(screen)
    }

    /// Shows `text` for a while, or until the user has seen enough.
    ///
    /// # Errors
    ///
    /// If the terminal is gone.
    pub async fn show(&mut self, text: &[u8], time: Duration) -> Result<Shown, Stop> {
        let until = clock::now() + time;
        loop {
            put(&frame(text, self.ink))?;
            tokio::select! {
                biased;
                signal = self.signals.next() => return Ok(Shown::UntilSignal(signal)),
                () = self.ctrl_z.pressed() => {}
                () = quit(self.keys.as_mut()) => return Ok(Shown::UntilQuit),
                () = clock::sleep_until(until) => return Ok(Shown::ForTheTime),
            }
            self.stand_aside()?;
        }
    }

    /// Gives the terminal back until somebody has continued us.
    fn stand_aside(&self) -> Result<(), Stop> {
        put(LEAVE)?;
        if let Some(keys) = &self.keys {
            set_keyboard(&keys.before);
        }
        self.ctrl_z.obey();
        if let Some(keys) = &self.keys {
            set_keyboard(&keys.during);
        }
        put(ENTER)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = put(LEAVE);
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

impl Drop for Keys {
    fn drop(&mut self) {
        set_keyboard(&self.before);
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
