//! The command: started, signalled as a group, seen to end, reaped last.
//!
//! Never waits for more than it is asked to, and never signals a group that may be somebody else's:
//! the leader stays a zombie until [`Child::reap`], so its id, which is the group's, is ours until
//! then. Called by `commands`, on the main thread: the kernel kills the child when the thread that
//! started it ends.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Command};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, getpid};
use tokio::signal::unix::{self, SignalKind};

use super::{death, group};

/// How often the group is looked at while it is being stopped. Its members are not our children, so
/// nobody tells us of their end.
const GROUP_POLL: Duration = Duration::from_millis(10);

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
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(u8),
    /// Killed by this signal.
    Signal(Signal),
}

/// A command that was started, and is a zombie at most.
pub struct Child {
    leader: Pid,
    process: process::Child,
    /// Whether the leader has ended; its group may live on.
    ended: Option<Ended>,
    endings: unix::Signal,
}

impl Child {
    /// Starts the command in a process group of its own.
    ///
    /// # Errors
    ///
    /// If the command is not there, cannot be executed, or the system starts no process. No child
    /// is left then.
    pub fn start(order: &Order) -> Result<Self, StartError> {
        let [program, arguments @ ..] = &order.command[..] else {
            return Err(StartError::NotFound("no command was given".to_owned()));
        };
        let inherited = Inherited {
            // Looked at before we listen, which overwrites it.
            chld_is_ignored: death::is_ignored(Signal::SIGCHLD),
        };
        // Before the child can end, or its end would not be told.
        let endings = unix::signal(SignalKind::child())
            .map_err(|error| StartError::System(error.to_string()))?;
        let mut command = Command::new(program);
        command.args(arguments).process_group(0);
        command.envs(order.set.iter().map(|(name, value)| (name, value)));
        for name in &order.remove {
            command.env_remove(name);
        }
        prepare(&mut command, inherited);
        let process = command
            .spawn()
            .map_err(|error| start_error(program, &error))?;
        let leader = Pid::from_raw(process.id().cast_signed());
        Ok(Self {
            leader,
            process,
            ended: None,
            endings,
        })
    }

    /// Sends `signal` to the whole group.
    pub fn signal_group(&self, signal: Signal) {
        // The leader is not reaped, so the group is ours. It may be empty but for that zombie.
        let _ = killpg(self.leader, signal);
    }

    /// Asks the whole group to stop with `signal`. A process that is suspended gets it as well.
    pub fn stop(&self, signal: Signal) {
        self.signal_group(signal);
        self.signal_group(Signal::SIGCONT);
    }

    /// Waits until the command has ended. It is not reaped, and what it left in its group may live
    /// on.
    pub async fn ended(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.look() {
                return ended;
            }
            self.endings.recv().await;
        }
    }

    /// Waits until the command has ended and nothing of its group lives any more.
    pub async fn gone(&mut self) {
        self.ended().await;
        while group::has_living_members(self.leader) {
            // An end of a member that became our own child wakes us sooner.
            let _ = tokio::time::timeout(GROUP_POLL, self.endings.recv()).await;
            reap_adopted(self.leader);
        }
    }

    /// Forgets the command, which has ended: its id may be somebody else's from now on.
    pub fn reap(mut self) {
        self.forget();
    }

    fn forget(&mut self) {
        // It has ended, or was killed: this does not block for long.
        let _ = self.process.wait();
    }

    fn look(&mut self) -> Option<Ended> {
        reap_adopted(self.leader);
        if self.ended.is_none() {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            self.ended = match waitid(Id::Pid(self.leader), flags) {
                Ok(WaitStatus::Exited(_, code)) => {
                    Some(Ended::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX)))
                }
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(Ended::Signal(signal)),
                Ok(_) | Err(Errno::EINTR) => None,
                // A real-time signal has no name in nix. Nobody of ours sends one: killed is
                // killed.
                Err(_) => Some(Ended::Signal(Signal::SIGKILL)),
            };
        }
        self.ended
    }
}

impl Drop for Child {
    /// A panic of ours must not leave a job that nobody watches.
    fn drop(&mut self) {
        if self.look().is_none() {
            self.signal_group(Signal::SIGKILL);
        }
        self.forget();
    }
}

/// What the command shall find as we found it.
#[derive(Clone, Copy)]
struct Inherited {
    chld_is_ignored: bool,
}

/// What the child does to itself between fork and exec; the library empties its signal mask and
/// gives it back the default action of SIGPIPE.
fn prepare(command: &mut Command, inherited: Inherited) {
    let parent = getpid();
    let prepare = move || {
        // Should we die, the kernel kills the child. Should we have died already, it does so
        // itself: its parent is compared with us, and not with 1, which may be anybody's subreaper.
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        if nix::unistd::getppid() != parent {
            return Err(io::Error::from(Errno::ESRCH));
        }
        if inherited.chld_is_ignored {
            death::ignore(Signal::SIGCHLD)?;
        }
        Ok(())
    };
    // SAFETY: the closure runs in the child after fork; it makes only async-signal-safe calls
    // (prctl, getppid, sigaction) and allocates nothing.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Why `program` was not started, sorted the way shells do.
fn start_error(program: &OsStr, error: &io::Error) -> StartError {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
    match errno {
        Errno::ENOENT if !has_directory(program) => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            StartError::NotFound(format!("not found in PATH ({})", path.to_string_lossy()))
        }
        Errno::ENOENT if Path::new(program).exists() => StartError::NotFound(
            "it is there, but the interpreter that its first line names is not".to_owned(),
        ),
        Errno::ENOENT | Errno::ENOTDIR => StartError::NotFound("no such file".to_owned()),
        Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE => {
            StartError::System(errno.desc().to_lowercase())
        }
        _ => StartError::NotExecutable(errno.desc().to_lowercase()),
    }
}

/// Whether `program` is a path, and not a name that is looked for in `PATH`.
fn has_directory(program: &OsStr) -> bool {
    program.as_bytes().contains(&b'/')
}

/// Reaps what became our child because its parent died: as PID 1 nobody else does. Not `leader`,
/// whose id must not become somebody else's.
fn reap_adopted(leader: Pid) {
    if getpid().as_raw() != 1 {
        return;
    }
    for zombie in group::zombie_children(getpid()) {
        if zombie != leader {
            let _ = waitid(Id::Pid(zombie), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
        }
    }
}
