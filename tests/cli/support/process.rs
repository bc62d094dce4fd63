//! The real binary, as a user would start it.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigHandler, Signal, kill};
use nix::unistd::Pid;
use redlock::clock::{self, Instant};

use super::sandbox::{Punishment, forbid};
use super::{PATIENCE, eventually};

/// In front of redlock, as in [`Redlock::under`]: what it says comes as lines of its job's do.
pub const ALOUD: [&str; 3] = ["sh", "-c", "exec \"$0\" \"$@\" 2>&1"];

/// A command line of redlock, in an environment in which nothing is set but `PATH`.
pub struct Redlock {
    command: Command,
}

/// A process that was started. It is killed, should the test end before it.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
    stderr: Receiver<String>,
    began: Instant,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct End {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    /// From its start until its end was seen.
    pub took: Duration,
}

impl Redlock {
    /// The binary that `cargo test` has built.
    pub fn new<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::under(&[], arguments)
    }

    /// The binary with `wrapper` in front, as in `&["nohup"]`.
    pub fn under<'a>(wrapper: &[&str], arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let binary = env!("CARGO_BIN_EXE_redlock");
        let mut words = wrapper.iter().copied().chain([binary]);
        let mut command = Command::new(words.next().expect("the binary at least"));
        command.args(words).args(arguments).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // No file of this host may change what a test sees.
        command.env("REDLOCK_CONFIG", "/dev/null");
        // The servers of a test have just started; `restart.rs` is about that.
        command.env("REDLOCK_RESTART_GUARD", "off");
        heed_signals(&mut command);
        Self { command }
    }

    /// In a sandbox that refuses `call`, by its number.
    pub fn without(mut self, call: libc::c_long) -> Self {
        forbid(&mut self.command, call, Punishment::Refusal);
        self
    }

    /// In a sandbox that ends whoever makes this call.
    pub fn ended_by(mut self, call: libc::c_long) -> Self {
        forbid(&mut self.command, call, Punishment::Death);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// In a process group of its own, as a shell starts a job: the kernel stops nobody in a group
    /// whose parent is not in its session, such as that of a test under `setsid`.
    pub fn in_own_group(mut self) -> Self {
        self.command.process_group(0);
        self
    }

    /// More arguments: bytes, which need not be UTF-8.
    pub fn args(mut self, arguments: impl IntoIterator<Item = OsString>) -> Self {
        self.command.args(arguments);
        self
    }

    /// The command itself, for a test that needs other pipes.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Starts it, and waits until its command has said `ready`.
    #[track_caller]
    pub fn start_ready(self) -> Process {
        let mut process = self.start();
        process.wait_for("ready");
        process
    }

    /// Starts it, with pipes.
    pub fn start(mut self) -> Process {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let began = clock::now();
        let mut child = self.command.spawn().expect("the binary can be started");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let mut stderr = child.stderr.take().expect("stderr is a pipe");
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if tell
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    return;
                }
            }
        });
        let (tell, all) = mpsc::channel();
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            let _ = tell.send(String::from_utf8_lossy(&text).into_owned());
        });
        let stdin = child.stdin.take();
        Process {
            child,
            stdin,
            lines,
            seen: Vec::new(),
            stderr: all,
            began,
        }
    }

    /// Starts it with a terminal as its stderr, and waits for its end: how it ended, and what that
    /// terminal has shown.
    pub fn end_on_terminal(mut self) -> (ExitStatus, String) {
        let pty = nix::pty::openpty(None, None).expect("the system has terminals");
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(pty.slave);
        let mut child = self.command.spawn().expect("the binary can be started");
        // Our own copies of the terminal are closed now, so that reading ends with the process.
        drop(self.command);
        let mut screen = Vec::new();
        // The end of a terminal is an error (EIO), and what came before it is there.
        let _ = std::fs::File::from(pty.master).read_to_end(&mut screen);
        let status = child.wait().expect("the process is ours");
        (status, String::from_utf8_lossy(&screen).into_owned())
    }

    /// Starts it and waits for its end, with nothing to read.
    pub fn end(self) -> End {
        let mut process = self.start();
        process.close_stdin();
        process.end()
    }
}

impl Process {
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the process is ours");
    }

    /// Waits until it, or its job, prints `wanted` as a line.
    #[track_caller]
    pub fn wait_for(&mut self, wanted: &str) {
        while self.next_line() != wanted {}
    }

    /// The next line that it, or its job, prints.
    #[track_caller]
    pub fn next_line(&mut self) -> String {
        let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
            let _ = self.child.kill();
            let stderr = self.stderr.recv_timeout(PATIENCE);
            panic!("no more lines after {:?}; stderr: {stderr:?}", self.seen);
        };
        self.seen.push(line.clone());
        line
    }

    /// Writes a line to its stdin: jobs of tests end by that, as in `read _`.
    pub fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        writeln!(stdin, "{line}").expect("somebody reads");
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub fn has_ended(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the process is ours")
            .is_some()
    }

    /// Whether it was stopped, as by Ctrl-Z.
    pub fn is_stopped(&self) -> bool {
        is_stopped(self.pid())
    }

    /// Waits for its end, and for that of everybody who has its stdout.
    #[track_caller]
    pub fn end(mut self) -> End {
        let status = self.wait();
        let took = clock::now().since(self.began);
        let deadline = clock::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(deadline.remaining()) {
            self.seen.push(line);
        }
        let stderr = self.stderr.recv_timeout(PATIENCE);
        let stderr = stderr.expect("nobody has its stderr any more");
        let stdout = self.seen.iter().flat_map(|line| [line, "\n"]).collect();
        End {
            status,
            stdout,
            stderr,
            took,
        }
    }

    /// Waits for its end alone: what it left behind may still have its stdout.
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

impl Drop for Process {
    fn drop(&mut self) {
        // Its job dies with it. It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl End {
    /// The exit code; `None` if a signal killed it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that killed it.
    pub fn signal(&self) -> Option<Signal> {
        self.status
            .signal()
            .map(|signal| Signal::try_from(signal).expect("a signal with a name"))
    }

    /// Fails with all that is known if the code is not `code`.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code(), Some(code), "{self:#?}");
        self
    }

    /// Fails unless stderr is one line of ours that contains all of `parts`.
    #[track_caller]
    pub fn assert_says(&self, parts: &[&str]) -> &Self {
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "one line: {self:#?}");
        assert!(lines[0].starts_with("redlock: "), "{self:#?}");
        for part in parts {
            assert!(lines[0].contains(part), "{part:?} is not said: {self:#?}");
        }
        self
    }

    /// Fails unless nothing was said to stderr.
    #[track_caller]
    pub fn assert_silent(&self) -> &Self {
        assert_eq!(self.stderr, "", "{self:#?}");
        self
    }
}

/// Has `command` heed what whoever started the tests ignores, as `nohup` does, and a script with what
/// it starts in the background: it is not for a test to inherit.
pub fn heed_signals(command: &mut Command) {
    let heed = || {
        for signal in [
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGHUP,
            Signal::SIGTERM,
        ] {
            // SAFETY: the default action runs no code of ours.
            unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
        }
        Ok(())
    };
    // SAFETY: sigaction is async-signal-safe, and nothing is allocated.
    unsafe {
        command.pre_exec(heed);
    }
}

/// Whether a process with this id exists and is no zombie.
pub fn is_alive(pid: Pid) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

/// Whether a process was stopped, as by Ctrl-Z.
pub fn is_stopped(pid: Pid) -> bool {
    state(pid) == Some('T')
}

/// Whether a process waits for something to happen.
pub fn is_asleep(pid: Pid) -> bool {
    state(pid) == Some('S')
}

/// The letter by which `/proc` tells what a process does.
fn state(pid: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let (_, fields) = stat.rsplit_once(')')?;
    fields.trim_start().chars().next()
}

/// How often a process has gone to sleep so far.
pub fn sleeps(pid: Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut lines = status.lines();
    let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count
        .and_then(|count| count.trim().parse().ok())
        .expect("Linux counts them for a process that is there")
}

/// How nice a process is to others, -20 to 19.
pub fn niceness(pid: Pid) -> i8 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name of the program stands in brackets, and may have blanks and brackets in it.
    let (_, fields) = stat.rsplit_once(')').expect("it is there");
    let nice = fields.split_whitespace().nth(16);
    nice.and_then(|nice| nice.parse().ok())
        .expect("the 19th field")
}
