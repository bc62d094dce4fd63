//! A terminal with somebody at it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::unistd::{Pid, setsid};
use redlock::clock;

use super::process::heed_signals;
use super::{PATIENCE, eventually};

/// A session on a pseudo terminal, which is hung up when this value is dropped.
pub struct Session {
    child: Child,
    keyboard: Option<File>,
    reader: Option<JoinHandle<()>>,
    is_open: Arc<AtomicBool>,
    screen: Arc<Mutex<String>>,
    /// What was expected so far ends here.
    read: usize,
}

impl Session {
    /// Starts `words` as the leader of a session of its own on a new terminal.
    pub fn start(words: &[&str], environment: &[(&str, &str)]) -> Self {
        // Not to be inherited by anybody: a copy would keep the terminal from being hung up.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).expect("a terminal");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it is ours");
        let path = ptsname_r(&master).expect("it has a name");
        let options = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).custom_flags(libc::O_NOCTTY);
            options
        };
        let side = || options().open(&path).expect("it is unlocked");
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("TERM", "xterm")
            .env("PS1", "> ")
            .env("REDLOCK_CONFIG", "/dev/null");
        command.env("REDLOCK", env!("CARGO_BIN_EXE_redlock"));
        command.envs(environment.iter().copied());
        command.stdin(side()).stdout(side()).stderr(side());
        heed_signals(&mut command);
        // SAFETY: setsid and ioctl are async-signal-safe, and nothing is allocated.
        unsafe {
            command.pre_exec(|| {
                setsid()?;
                if libc::ioctl(0, libc::TIOCSCTTY, 0) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("it can be started");
        drop(command);
        let keyboard = File::from(OwnedFd::from(master));
        let mut output = keyboard.try_clone().expect("a descriptor can be cloned");
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&screen);
        let is_open = Arc::new(AtomicBool::new(true));
        let go_on = Arc::clone(&is_open);
        let reader = thread::spawn(move || {
            let mut piece = [0; 4096];
            while go_on.load(Ordering::SeqCst) {
                let mut ready = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
                if poll(&mut ready, 20_u8) != Ok(1) {
                    continue;
                }
                let Ok(length @ 1..) = output.read(&mut piece) else {
                    return;
                };
                let text = String::from_utf8_lossy(&piece[..length]);
                shown
                    .lock()
                    .expect("no test panics with it")
                    .push_str(&text);
            }
        });
        Self {
            child,
            keyboard: Some(keyboard),
            reader: Some(reader),
            is_open,
            screen,
            read: 0,
        }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        let keyboard = self.keyboard.as_mut().expect("it is not hung up");
        keyboard
            .write_all(keys.as_bytes())
            .expect("the terminal takes them");
    }

    /// Types a line.
    pub fn enter(&mut self, line: &str) {
        self.press(line);
        self.press("\n");
    }

    /// Waits until `text` is shown after what was expected before.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let began = clock::now();
        loop {
            let screen = self.screen.lock().expect("no test panics with it").clone();
            if let Some(at) = screen[self.read..].find(text) {
                self.read += at + text.len();
                return;
            }
            assert!(
                clock::now().since(began) < PATIENCE / 3,
                "{text:?} is not shown: {screen:?}"
            );
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// The process id that is shown next, at the end of a line.
    #[track_caller]
    pub fn pid_shown(&mut self) -> Pid {
        let from = self.read;
        self.expect("\r\n");
        let shown = self.screen()[from..self.read].trim().to_owned();
        Pid::from_raw(shown.parse().expect("a pid"))
    }

    /// All that was shown.
    pub fn screen(&self) -> String {
        self.screen.lock().expect("no test panics with it").clone()
    }

    /// Closes the terminal, as an ssh connection does that breaks.
    pub fn hang_up(&mut self) {
        self.is_open.store(false, Ordering::SeqCst);
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader is fine");
        }
        // The last descriptor of this end: the kernel tells the session.
        self.keyboard = None;
    }

    /// Waits for the end of the session's leader.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the end of the session", || {
            status = self.child.try_wait().expect("it is ours");
            status.is_some()
        });
        status.expect("it ended")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hang_up();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
