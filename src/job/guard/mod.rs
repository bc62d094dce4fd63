//! The tiny process that outlives us and keeps the deadline.
//!
//! A job must be dead before its lock can pass to another, and nothing that befalls redlock may
//! change that: SIGKILL, SIGSTOP, a panic, an executor that hangs. So before the command there is a
//! second process, in a session of its own and with every signal blocked, which sleeps until one of
//! two alarms rings, and signals the group then. We wind them forward with each extension: as long
//! as we can, nobody wakes it. There is a socket between us as well. When our end closes, we are
//! dead, and it kills the group at once.
//!
//! **No moment without it.** The guard is forked first, and watches over nobody. The command's
//! process, between its own fork and exec, tells the guard its group and waits until the guard
//! stands (see [`Introduction`]): no instruction of the command runs unwatched, and until exec
//! there is nothing but ourselves. The command's process has our end of the socket until exec
//! closes it, so the guard cannot take us for dead before it knows whom to kill.
//!
//! **Never a stranger's group.** What the guard is told is not a number but a pidfd of the group's
//! leader, which the leader opened itself: it stands for that very process and its group, whoever
//! reaps the leader and whatever becomes of the number. With Linux 6.9 and later the group is
//! signalled through it, and there is nothing to get wrong. Before that the number is used, as long
//! as it is certainly ours: see `Target::signal` in `post`.
//!
//! **Between fork and exit** the guard runs only what is in `post`: async-signal-safe calls, no
//! allocation, no lock, nothing that can panic. What the two say to each other is in `talk`, the
//! deadlines are in `alarms`. Called by `child`, and by `commands` if there is time for it while
//! the lock is waited for.

mod alarms;
mod post;
mod talk;

pub use self::post::remember_arguments;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use libc::c_int;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

use self::alarms::{Alarms, NEVER, Wires};
use self::talk::{ACTED, IN_TIME, Job, STANDING, receive_byte};
use crate::clock::Instant;

/// How much later than redlock the guard sends the stop signal. It is redlock's to send, and some
/// programs take a second one for "now, by force". The time to kill is never put off.
const PRECEDENCE_NS: u64 = 25_000_000;

/// How long the command's process waits for the guard to stand: only a machine out of its mind
/// needs so long, and then it is better not to start.
const STANDS_WITHIN_MS: c_int = 5_000;

/// How much nicer redlock and its guard are when all that is left to them is to end. On a processor
/// that is busy they get a third of what they had.
const NICER: c_int = 5;

/// By when the job must be told to stop, and by when it must be dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// When the whole group is sent the stop signal.
    pub stop_at: Instant,
    /// When it is killed.
    pub kill_at: Instant,
}

/// What the guard does, should we not.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// What asks the job to stop.
    pub stop_signal: Signal,
    /// When; `None` never, and then the job is killed only if we die.
    pub deadlines: Option<Deadlines>,
}

impl Watch {
    /// Makes the group of `leader` the one. Async-signal-safe.
    fn begin(self, leader: libc::pid_t, socket: RawFd, alarms: Wires) -> nix::Result<()> {
        let stop_signal = self.stop_signal as c_int;
        let job = Job {
            group: leader,
            stop_signal,
        };
        job.send(socket)?;
        // Not before: who is woken by them finds the job.
        self.wind(alarms)
    }

    fn wind(self, alarms: Wires) -> nix::Result<()> {
        let (stop_at, kill_at) = self.instants();
        alarms.wind(stop_at, kill_at)
    }

    fn instants(self) -> (u64, u64) {
        self.deadlines.map_or((NEVER, NEVER), |deadlines| {
            (
                nanoseconds(deadlines.stop_at).saturating_add(PRECEDENCE_NS),
                nanoseconds(deadlines.kill_at),
            )
        })
    }
}

/// The guard, as redlock sees it. Dropped, it is gone: it signals nobody from then on.
pub struct Guard {
    // In this order: a process that finds the socket closed takes us for dead.
    process: Process,
    socket: AsyncFd<OwnedFd>,
    alarms: Alarms,
    is_stopping: bool,
}

/// A guard that was dismissed: it signals nobody any more. Dropped, it is gone.
pub struct Dismissed {
    // As above; and nobody listens to it any more.
    _process: Process,
    _socket: OwnedFd,
}

/// The guard's process. Dropped, it is gone.
struct Process(Pid);

/// What the guard has let us know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It signals the job because of the lock, or has done so. Said before the first signal is
    /// sent: whoever sees the job dead of it finds this.
    Acted,
    /// At its deadline it found the command ended by itself, before the job had to be dead.
    EndedInTime,
    /// It is dead; somebody killed it.
    Gone,
}

impl Guard {
    /// Forks the guard. It watches over nothing until it is introduced to a group.
    ///
    /// # Errors
    ///
    /// If the system refuses a process or a descriptor.
    pub fn start() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let kind = SockType::SeqPacket;
        let alarms = Alarms::new()?;
        let (ours, its) = socketpair(AddressFamily::Unix, kind, None, flags)?;
        // Before the fork: if it fails, there is no process to be rid of. SAFETY: the descriptor is
        // owned by what is registered, and stays open as long as that lives.
        let socket = unsafe { AsyncFd::register(ours) }.map_err(io::Error::from)?;
        // It is born with every signal blocked, so that there is no moment at which one ends it.
        let mut before = SigSet::empty();
        sigprocmask(
            SigmaskHow::SIG_SETMASK,
            Some(&SigSet::all()),
            Some(&mut before),
        )?;
        let process = post::fork(its.as_raw_fd(), alarms.wires());
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        let process = Process(process?);
        Ok(Self {
            process,
            socket,
            alarms,
            is_stopping: false,
        })
    }

    /// How the command's process makes itself known; `None` if the guard is dead.
    #[must_use]
    pub fn introduction(&self, watch: Watch) -> Option<Introduction> {
        let socket = self.socket.as_raw_fd();
        let mut stands = false;
        loop {
            match receive_byte(socket) {
                Ok(byte) => stands |= byte? == STANDING,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(_) => return None,
            }
        }
        Some(Introduction {
            socket,
            alarms: self.alarms.wires(),
            watch,
            stands,
        })
    }

    /// Introduces a group from here: that of `leader`, a child of ours that is not reaped.
    pub fn watch_over(&self, leader: Pid, watch: Watch) {
        // If it is dead, it will be replaced.
        let _ = watch.begin(
            leader.as_raw(),
            self.socket.as_raw_fd(),
            self.alarms.wires(),
        );
    }

    /// From now on these deadlines count, unless we stop the job.
    pub fn keep(&self, watch: Watch) {
        if !self.is_stopping {
            // They have been wound before, so the system does not refuse.
            let _ = watch.wind(self.alarms.wires());
        }
    }

    /// We are about to send the stop signal ourselves: all that is left to the guard is to kill
    /// what is still there at `kill_at`.
    pub fn stopping(&mut self, kill_at: Instant) {
        self.is_stopping = true;
        self.alarms.wires().wind_to_kill(nanoseconds(kill_at));
    }

    /// The job is over: the guard signals nobody any more, and neither it nor we are in a hurry.
    /// Must be said before the leader is reaped.
    #[must_use]
    pub fn dismiss(self) -> Dismissed {
        give_way(self.process.0);
        let _ = kill(self.process.0, Signal::SIGKILL);
        Dismissed {
            _process: self.process,
            _socket: self.socket.into_inner(),
        }
    }

    /// The guard's process, which is for [`Guard`] alone to reap.
    #[must_use]
    pub fn process(&self) -> Pid {
        self.process.0
    }

    /// Ready when there may be a word from the guard; ask [`Guard::word`] until it has none.
    pub fn poll_word(&self, context: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_read_ready(context).map(|ready| {
            if let Ok(mut ready) = ready {
                ready.clear_ready();
            }
        })
    }

    /// What the guard has let us know, if anything.
    #[must_use]
    pub fn word(&self) -> Option<Word> {
        loop {
            match receive_byte(self.socket.as_raw_fd()) {
                Ok(Some(ACTED)) => return Some(Word::Acted),
                Ok(Some(IN_TIME)) => return Some(Word::EndedInTime),
                Ok(Some(_)) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return None,
                Ok(None) | Err(_) => return Some(Word::Gone),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is our child and not reaped, so the id is its own. SIGKILL ends it whatever it does,
        // and once it is reaped, no signal of its can come any more. Who may not signal it would
        // wait for ever; it ends with us then.
        if kill(self.0, Signal::SIGKILL).is_err() {
            return;
        }
        // A child that sends no signal is only waited for by who says so.
        while waitpid(self.0, Some(WaitPidFlag::__WALL)) == Err(Errno::EINTR) {}
    }
}

/// How the command's process makes itself known to the guard, between its fork and exec.
#[derive(Clone, Copy, Debug)]
pub struct Introduction {
    socket: RawFd,
    alarms: Wires,
    watch: Watch,
    /// Whether the guard was standing already.
    stands: bool,
}

impl Introduction {
    /// Tells the guard that our group is the one, and waits until the guard stands.
    /// Async-signal-safe.
    ///
    /// # Errors
    ///
    /// If there is no guard, or it does not stand in time. The command must not run then.
    pub fn make(self) -> nix::Result<()> {
        // SAFETY: getpid has no preconditions.
        let leader = unsafe { libc::getpid() };
        let told = self.watch.begin(leader, self.socket, self.alarms);
        told.map_err(|_| Errno::ETIMEDOUT)?;
        if self.stands {
            return Ok(());
        }
        let mut standing = libc::pollfd {
            fd: self.socket,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: `standing` is one pollfd, and is written before the call returns. All signals
        // that could interrupt it kill us.
        let ready = unsafe { libc::poll(&raw mut standing, 1, STANDS_WITHIN_MS) };
        match receive_byte(self.socket) {
            Ok(Some(STANDING)) if ready == 1 => Ok(()),
            _ => Err(Errno::ETIMEDOUT),
        }
    }
}

/// Lets everybody else run before us and `guard`, who have nothing left to do but to end: others
/// may be waiting for the lock, on this very processor. Their job begins a twentieth to a tenth
/// sooner.
fn give_way(guard: Pid) {
    // SAFETY: neither call touches memory; becoming nicer is everybody's right.
    unsafe {
        let niceness = libc::nice(NICER);
        libc::setpriority(libc::PRIO_PROCESS, guard.as_raw().unsigned_abs(), niceness);
    }
}

fn nanoseconds(instant: Instant) -> u64 {
    u64::try_from(instant.since_boot().as_nanos()).unwrap_or(NEVER)
}
