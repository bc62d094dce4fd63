//! What is typed on the terminal, without the need to press enter.
//!
//! Nobody waits in a read for it: whoever is continued in the background while he does is stopped
//! again for that, before he hears a signal. Called by `commands`.

use std::io::{self, Stdin};

use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use nix::unistd::read;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The keyboard, as long as nobody sets the terminal up otherwise.
pub struct Keyboard {
    typed: AsyncFd<Stdin>,
    before: Mode,
    during: Mode,
}

/// How the terminal treats what is typed.
#[derive(Clone)]
pub struct Mode(Termios);

impl Mode {
    /// Sets the terminal up like this, if it is still there.
    pub fn set(&self) {
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0);
    }
}

impl Keyboard {
    /// Takes each key as it is pressed from now on. `None` if stdin is no terminal. Signals stay:
    /// Ctrl-C is one.
    #[must_use]
    pub fn open() -> Option<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin).ok()?;
        let mut during = before.clone();
        during
            .local_flags
            .remove(LocalFlags::ICANON | LocalFlags::ECHO);
        // Who reads gets what is there, and does not wait.
        during.control_chars[SpecialCharacterIndices::VMIN as usize] = 0;
        during.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        // SAFETY: nobody closes stdin, and it is the same descriptor all the time.
        let typed = unsafe { AsyncFd::register_with_interest(stdin, Interest::READABLE) }.ok()?;
        let keyboard = Self {
            typed,
            before: Mode(before),
            during: Mode(during),
        };
        keyboard.take();
        Some(keyboard)
    }

    /// Takes each key again, after [`Keyboard::before`] was set.
    pub fn take(&self) {
        self.during.set();
    }

    /// How the terminal was before.
    #[must_use]
    pub fn before(&self) -> &Mode {
        &self.before
    }

    /// Returns when `key` is pressed; never, if there is no terminal any more.
    pub async fn pressed(&self, key: u8) {
        while let Ok(mut ready) = self.typed.readable().await {
            let mut typed = [0; 64];
            match read(&self.typed, &mut typed) {
                Ok(0) if !ready.ready().is_read_closed() => ready.clear_ready(),
                Ok(0) | Err(_) => break,
                Ok(count) if typed[..count].contains(&key) => return,
                Ok(_) => {}
            }
        }
        std::future::pending::<()>().await;
    }
}
