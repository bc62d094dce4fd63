//! A terminal with somebody in front of it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::{Redlock, eventually};

/// How a program is started so that the terminal is its own: for Ctrl-C.
pub const ON_TERMINAL: [&str; 2] = ["setsid", "-c"];

/// A program on a terminal.
pub struct Pty {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Pty {
    /// Starts `redlock`, made with [`ON_TERMINAL`] in front, on a terminal with so many `columns`.
    pub fn start(redlock: Redlock, columns: u16) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).expect("a terminal");
        let slave = || pty.slave.try_clone().expect("a descriptor can be cloned");
        let mut command = redlock.into_command();
        command.stdin(slave()).stdout(slave()).stderr(slave());
        let child = command.spawn().expect("the binary can be started");
        drop(command);
        drop(pty.slave);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&screen);
        let mut master = File::from(pty.master);
        let keyboard = master.try_clone().expect("a descriptor can be cloned");
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error is the end: nobody has the terminal any more.
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                seen.lock()
                    .expect("no test panics with it")
                    .extend_from_slice(&bytes[..count]);
            }
        });
        Self {
            child,
            keyboard,
            screen,
        }
    }

    /// All that was ever written to the terminal.
    pub fn seen(&self) -> String {
        let screen = self.screen.lock().expect("no test panics with it");
        String::from_utf8_lossy(&screen).into_owned()
    }

    /// Waits until `text` was written.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        eventually(&format!("{text:?} on the terminal"), || {
            self.seen().contains(text)
        });
    }

    pub fn press(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("the terminal is there");
    }

    /// Whether it takes whole lines and shows what is typed, as a shell leaves it.
    pub fn takes_lines(&self) -> bool {
        let modes = tcgetattr(&self.keyboard).expect("the terminal is there");
        modes
            .local_flags
            .contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the end of redlock", || {
            status = self.child.try_wait().expect("the process is ours");
            status.is_some()
        });
        status.expect("it ended")
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
