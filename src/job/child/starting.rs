//! How a command is started: with a guard that stands, or not at all.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpid, getppid};
use tokio::signal::unix::{self, SignalKind};

use super::{Child, Guarded, Standing, Told};
use crate::clock::Instant;
use crate::errno;
use crate::job::death;
use crate::job::guard::{Guard, Introduction, Watch};
use crate::job::spawn::{Image, SpawnError, spawn};
use crate::job::terminal::{self, Terminal};

/// Where libc looks for a command if `PATH` is not set.
const UNSET_PATH: &str = "/bin:/usr/bin";

/// What to start.
#[derive(Clone, Debug)]
pub struct Order {
    /// The program, which is looked for in `PATH`, and its arguments: bytes, no shell.
    pub command: Vec<OsString>,
    /// Variables that are added to the environment.
    pub set: Vec<(OsString, OsString)>,
    /// Variables that are taken out of it.
    pub remove: Vec<OsString>,
}

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such program, or not the interpreter that it names. The text says which.
    #[error("{0}")]
    NotFound(String),
    /// There is, but it cannot be executed.
    #[error("{0}")]
    NotExecutable(String),
    /// The system could not start any process.
    #[error("{0}")]
    System(String),
    /// This signal has ended the process before it was the command.
    #[error("it was ended by {0} before it was started")]
    Signalled(Signal),
    /// The lock's time had come before the command was there.
    #[error("its time was over before it was started")]
    TooLate,
}

impl Child {
    /// Starts the command in a process group of its own, with a guard that stops it by `watch`: the
    /// one that is `ready` and not dead, or a new one.
    ///
    /// Invariant I6: nothing is started once `not_after` has come, also if we were stopped on the
    /// way.
    ///
    /// # Errors
    ///
    /// If the command is not there, cannot be executed, the system starts no process, or it is too
    /// late. No child is left then.
    pub fn start(
        order: &Order,
        ready: Option<Guard>,
        watch: Watch,
        not_after: Instant,
    ) -> Result<Self, StartError> {
        let [program, ..] = &order.command[..] else {
            return Err(StartError::NotFound("no command was given".to_owned()));
        };
        // Looked at before we listen, which overwrites it.
        let chld_is_ignored = death::is_ignored(Signal::SIGCHLD);
        let must_ask_for_terminal = terminal::must_ask();
        let system = |error: io::Error| no_room(&error);
        check_wait()?;
        // Before the child can end, or its end would not be told.
        let endings = unix::signal(SignalKind::child()).map_err(system)?;
        let terminal = Terminal::listen().map_err(system)?;
        let image = Image::new(&order.command, &order.set, &order.remove);
        let image = image.map_err(|errno| not_executed(program, errno))?;
        // Last: a new one comes to stand while the command's process is made.
        let (guard, introduction) = introduced(ready, watch).map_err(|error| no_guard(&error))?;
        let preparation = Preparation {
            chld_is_ignored,
            must_ask_for_terminal,
            introduction,
            not_after,
        };
        let spawned = spawn(&image, preparation.closure());
        let spawned = spawned.map_err(|error| match error {
            SpawnError::Before(errno) => not_prepared(errno),
            SpawnError::Exec(errno) => not_executed(program, errno),
        })?;
        let leader = spawned.process;
        if !spawned.is_prepared {
            // In this order: until the guard is gone, the id must not become somebody else's.
            drop(guard);
            return Err(ended_early(leader, not_after));
        }
        Ok(Self {
            leader,
            reaped: false,
            ended: None,
            standing: Standing::Runs,
            halt: None,
            terminal,
            endings,
            guard: Some(guard),
            guarded: Guarded::Nothing,
            told: Told {
                watch,
                kill_at: None,
            },
            has_spare: true,
            dismissed: None,
            killed: Cell::default(),
            is_out_of_reach: Cell::default(),
        })
    }
}

/// Whoever is forbidden to ask how a child is, by a sandbox, must not have one.
fn check_wait() -> Result<(), StartError> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::All, flags) {
        Err(errno @ (Errno::EPERM | Errno::EACCES | Errno::ENOSYS)) => {
            let reason = errno::reason(&errno.into());
            Err(StartError::System(format!("waitid is forbidden: {reason}")))
        }
        _ => Ok(()),
    }
}

/// What the child needs to know before it becomes the command.
#[derive(Clone, Copy)]
struct Preparation {
    /// The command shall find it as we found it.
    chld_is_ignored: bool,
    /// Whether it has to be stopped when it reads from the terminal, so that it is given to it.
    must_ask_for_terminal: bool,
    introduction: Introduction,
    not_after: Instant,
}

impl Preparation {
    /// What the child does to itself before exec: async-signal-safe calls (`prctl`, `getppid`,
    /// `sigaction`, `sendmsg`, `timerfd_settime`, `poll`, `recv`, `clock_gettime`), and no
    /// allocation.
    fn closure(self) -> impl Fn() -> nix::Result<()> {
        let parent = getpid();
        move || {
            // Should we die, the kernel kills the child. Should we have died already, it does so
            // itself: its parent is compared with us, and not with 1, which may be anybody's
            // subreaper.
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            if getppid() != parent {
                return Err(Errno::ESRCH);
            }
            if self.chld_is_ignored {
                death::ignore(Signal::SIGCHLD)?;
            }
            if self.must_ask_for_terminal {
                death::heed(Signal::SIGTTIN)?;
            }
            self.introduction.make()?;
            // Last of all: from here to the command there is only exec. Should we be stopped right
            // now, the guard has the deadline.
            if self.not_after.has_passed() {
                return Err(Errno::ETIME);
            }
            Ok(())
        }
    }
}

/// A guard that lives, and how the command's process makes itself known to it.
fn introduced(ready: Option<Guard>, watch: Watch) -> io::Result<(Guard, Introduction)> {
    if let Some(guard) = ready
        && let Some(introduction) = guard.introduction(watch)
    {
        return Ok((guard, introduction));
    }
    let guard = Guard::start()?;
    match guard.introduction(watch) {
        Some(introduction) => Ok((guard, introduction)),
        None => Err(Errno::ETIMEDOUT.into()),
    }
}

/// What has ended the process `leader`, which was never the command: the guard, when its time was
/// over, or a signal to all of our group.
fn ended_early(leader: Pid, not_after: Instant) -> StartError {
    let end = loop {
        match waitpid(leader, None) {
            Err(Errno::EINTR) => {}
            end => break end,
        }
    };
    match end {
        Ok(WaitStatus::Signaled(_, Signal::SIGSYS, _)) => StartError::System(
            "a sandbox ends processes for a system call that is needed (SIGSYS)".to_owned(),
        ),
        Ok(WaitStatus::Signaled(_, signal, _)) if !not_after.has_passed() => {
            StartError::Signalled(signal)
        }
        _ => StartError::TooLate,
    }
}

/// Why there was no process for the command.
fn not_prepared(errno: Errno) -> StartError {
    match errno {
        Errno::ETIME => StartError::TooLate,
        Errno::ETIMEDOUT => no_guard(&errno.into()),
        _ => no_room(&errno.into()),
    }
}

/// Why `program` was not executed, sorted the way shells do.
fn not_executed(program: &OsStr, errno: Errno) -> StartError {
    match errno {
        Errno::ENOENT if !has_directory(program) => {
            StartError::NotFound(format!("not found in {}", search_path().1))
        }
        Errno::EACCES if !has_directory(program) => denied_in_path(program),
        Errno::ENOENT if Path::new(program).exists() => StartError::NotFound(
            "it is there, but the interpreter that its first line names is not".to_owned(),
        ),
        Errno::ENOENT | Errno::ENOTDIR => StartError::NotFound("no such file".to_owned()),
        Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE => no_room(&errno.into()),
        Errno::EACCES if Path::new(program).is_dir() => {
            StartError::NotExecutable("it is a directory".to_owned())
        }
        _ => StartError::NotExecutable(errno::reason(&errno.into())),
    }
}

/// Why a `program` that is looked for in `PATH` was denied: it may not be executed, or a directory
/// may not be looked into.
fn denied_in_path(program: &OsStr) -> StartError {
    let (path, named) = search_path();
    let mut places = std::env::split_paths(&path).map(|place| place.join(program));
    match places.find(|place| place.exists()) {
        Some(place) => StartError::NotExecutable(format!("{}: permission denied", place.display())),
        None => StartError::NotFound(format!(
            "not found in {named}, parts of which may not be looked into"
        )),
    }
}

/// Where libc looks for a command, and what that is called in a message.
fn search_path() -> (OsString, String) {
    let path = std::env::var_os("PATH");
    let named = path.as_ref().map_or_else(
        || format!("{UNSET_PATH} (PATH is not set)"),
        |path| format!("PATH ({})", path.to_string_lossy()),
    );
    (path.unwrap_or_else(|| UNSET_PATH.into()), named)
}

/// The system has no room for a process.
fn no_room(error: &io::Error) -> StartError {
    StartError::System(why_no_room(error))
}

/// Without a guard nothing is started.
fn no_guard(error: &io::Error) -> StartError {
    StartError::System(match error.kind() {
        ErrorKind::TimedOut => "its guard did not start".to_owned(),
        _ => format!("its guard cannot be started: {}", why_no_room(error)),
    })
}

fn why_no_room(error: &io::Error) -> String {
    match error.kind() {
        // Its own words would be to try again.
        ErrorKind::WouldBlock => {
            "too many processes, of this user (ulimit -u) or in this control group".to_owned()
        }
        _ => errno::reason(error),
    }
}

/// Whether `program` is a path, and not a name that is looked for in `PATH`.
fn has_directory(program: &OsStr) -> bool {
    program.as_bytes().contains(&b'/')
}
