//! The guard's process: no allocation, no lock, no panic, and nothing of redlock's heap or stack.

use std::cell::UnsafeCell;
use std::mem;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};

use libc::{c_char, c_int, c_void};
use nix::errno::Errno;
use nix::unistd::{Pid, getpid, gettid};

use super::alarms::{Wires, is_readable, rings};
use super::talk::{ACTED, IN_TIME, Job, Received, STANDING, receive, send_byte};
use crate::job::spared::Spared;

/// What `ps` shows and `pkill redlock` does not find: 15 bytes at most.
const NAME: &[u8] = b"rl-guard\0";

/// `PIDFD_SIGNAL_PROCESS_GROUP` of Linux 6.9.
const TO_GROUP: u32 = 1 << 2;

/// The guard's descriptors: it has no others but the pidfd of the job's leader.
const SOCKET: RawFd = 0;
const ALARMS: Wires = Wires { stop: 1, kill: 2 };
const OTHERS: RawFd = 3;

/// The same of redlock's, for the process that is forked. Nobody else reads them.
static FOUND: [AtomicI32; 3] = [const { AtomicI32::new(-1) }; 3];

/// The guard's stack. We write to it what libc's `clone` hands to the new process, which then uses
/// a copy of its own.
#[repr(C, align(4096))]
struct Stack(UnsafeCell<[u8; 64 * 1024]>);

// SAFETY: only the main thread forks, which `fork` makes sure of, and in the new process there is
// no other.
unsafe impl Sync for Stack {}

static STACK: Stack = Stack(UnsafeCell::new([0; 64 * 1024]));

/// Forks a process that stands guard at `socket`, and acts when the `alarms` ring. It is born with
/// our signal mask, and gets neither our heap nor our stack: each page of them that we write to
/// later would have to be copied for it, and the arguments that `pkill -f` looks at are on the
/// stack. Its end sends us no signal, which would keep us from giving the lock back: the socket
/// tells.
///
/// # Errors
///
/// If the system refuses a process.
///
/// # Panics
///
/// If another thread than the main one calls it.
pub fn fork(socket: RawFd, alarms: Wires) -> nix::Result<Pid> {
    assert_eq!(
        gettid(),
        getpid(),
        "what the guard gets is the main thread's to write"
    );
    for (found, descriptor) in FOUND.iter().zip([socket, alarms.stop, alarms.kill]) {
        found.store(descriptor, Ordering::Relaxed);
    }
    // What libc's clone puts on our stack lies below this, and musl's child reads it there.
    let mark = 0_u8;
    let (heap, stack) = (Spared::heap(), Spared::stack_above(&mark));
    let begin = if stack.is_some() {
        begin
    } else {
        begin_with_arguments
    };
    // SAFETY: `begin` is async-signal-safe, stays on that stack, which is large enough, and never
    // returns, also not by a panic. Not libc's fork, which looks after things of its own on the
    // heap.
    let forked = unsafe {
        let top = STACK.0.get().add(1).cast::<c_void>();
        libc::clone(begin, top, 0, ptr::null_mut())
    };
    let forked = Errno::result(forked);
    drop((heap, stack));
    // Never 0, which would stand for our own group.
    forked.map(Pid::from_raw)
}

extern "C" fn begin_with_arguments(nothing: *mut c_void) -> c_int {
    hide_arguments();
    begin(nothing)
}

extern "C" fn begin(_: *mut c_void) -> c_int {
    stand()
}

/// What the guard knows.
struct Post {
    stop_signal: c_int,
    target: Target,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// For the time to stop the job.
    Waiting,
    /// It was told to stop. It is killed when the time has come.
    Stopping,
    /// Nothing is left to do but to see redlock's end.
    Done,
}

/// Whom the guard watches over.
struct Target {
    /// The group's number; 0 before it is known.
    group: libc::pid_t,
    /// The leader, or -1 if the kernel knows no pidfds.
    leader: RawFd,
}

/// The guard's whole life. Called from `extern "C"`: a panic here ends the process.
fn stand() -> ! {
    let mut post = Post::NEW;
    // SAFETY: these calls take numbers and constants. Nothing below needs a descriptor other than
    // the copies of these three, so all the others are closed: a kept stdout would keep cron
    // waiting, a kept socket of redlock's would hide its death from us. None of redlock's is below
    // 3: see `start_up`.
    unsafe {
        // `timeout -s KILL` and the like kill a group or a session.
        libc::setsid();
        for (found, own) in FOUND.iter().zip([SOCKET, ALARMS.stop, ALARMS.kill]) {
            if libc::dup2(found.load(Ordering::Relaxed), own) < 0 {
                leave();
            }
        }
        close_from(OTHERS);
        // A guard shall not keep a file system from being unmounted.
        libc::chdir(c"/".as_ptr());
        libc::prctl(libc::PR_SET_NAME, NAME.as_ptr());
    }
    // What the deadline will take is tried now: in a sandbox that forbids it, or kills for it,
    // nobody stands here, and the command does not run.
    match receive(SOCKET) {
        Received::Job(job, leader) => post.hear(job, leader),
        Received::Nothing => {}
        Received::Silence => leave(),
    }
    let target = Target::to_try();
    if !target.signal(0) {
        leave();
    }
    // SAFETY: nobody uses it any more, if there is one.
    unsafe { libc::close(target.leader) };
    let _ = send_byte(SOCKET, STANDING);
    loop {
        post.wait();
        loop {
            match receive(SOCKET) {
                Received::Job(job, leader) => post.hear(job, leader),
                Received::Nothing => break,
                Received::Silence => post.redlock_is_dead(),
            }
        }
        post.act();
    }
}

impl Post {
    /// It watches over nobody yet.
    const NEW: Self = Self {
        stop_signal: libc::SIGTERM,
        target: Target::NONE,
        phase: Phase::Waiting,
    };

    /// Sleeps until it is told whom to watch over, then until an alarm rings that means something,
    /// and all the time until redlock is dead. The job is taken at once, since a descriptor comes
    /// with it: the kernel bounds how many of a user's may be on their way.
    fn wait(&self) {
        let wire = |fd, events| libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        // A socket tells its end in any case.
        let told = if self.target.group == 0 {
            libc::POLLIN
        } else {
            0
        };
        let mut wires = [
            wire(SOCKET, told),
            wire(ALARMS.kill, libc::POLLIN),
            wire(ALARMS.stop, libc::POLLIN),
        ];
        let count = match self.phase {
            Phase::Waiting => 3,
            Phase::Stopping => 2,
            Phase::Done => 1,
        };
        // SAFETY: `wires` are so many pollfds, or more.
        unsafe { libc::poll(wires.as_mut_ptr(), count, -1) };
    }

    fn hear(&mut self, job: Job, leader: RawFd) {
        self.stop_signal = job.stop_signal;
        self.target = Target {
            group: job.group,
            leader,
        };
    }

    /// Does what is due. The alarms are looked at now: redlock may have wound them since they woke
    /// us.
    fn act(&mut self) {
        if self.phase == Phase::Waiting && rings(ALARMS.stop) {
            if self.target.has_ended() {
                // By itself, and redlock has not noticed yet. What it left in the background is
                // nobody's business. If we are late ourselves, after a suspend, nobody can say
                // when.
                if !rings(ALARMS.kill) {
                    let _ = send_byte(SOCKET, IN_TIME);
                }
                self.phase = Phase::Done;
                return;
            }
            // Said first: redlock must never see a job that died of this and not know why.
            let _ = send_byte(SOCKET, ACTED);
            self.phase = Phase::Stopping;
            if !rings(ALARMS.kill) {
                self.target.signal(self.stop_signal);
                self.target.signal(libc::SIGCONT);
            }
        }
        // If it is not we who stop it, redlock does, and has left us no more than this.
        if self.phase != Phase::Done && rings(ALARMS.kill) {
            self.target.signal(libc::SIGKILL);
            self.phase = Phase::Done;
        }
    }

    fn redlock_is_dead(&self) -> ! {
        self.target.signal(libc::SIGKILL);
        leave()
    }
}

impl Target {
    const NONE: Self = Self {
        group: 0,
        leader: -1,
    };

    /// Whether the leader has ended, whoever has or has not reaped it.
    fn has_ended(&self) -> bool {
        // A pidfd is readable once its process has ended.
        self.leader >= 0 && is_readable(self.leader)
    }

    /// Ourselves, in a group of our own, to try whether signals are forbidden here.
    fn to_try() -> Self {
        // SAFETY: these calls take numbers; the descriptor is new.
        unsafe {
            let group = libc::getpid();
            let leader = libc::syscall(libc::SYS_pidfd_open, group, 0);
            let leader = RawFd::try_from(leader).unwrap_or(-1);
            Self { group, leader }
        }
    }

    /// Sends `signal` to the group, if there is one; false if that is forbidden.
    fn signal(&self, signal: c_int) -> bool {
        if self.group <= 1 {
            return true;
        }
        // SAFETY: these calls take numbers; a null pointer stands for the usual information.
        unsafe {
            let send = |signal: c_int, flags: u32| {
                let information = ptr::null::<libc::siginfo_t>();
                let call = libc::SYS_pidfd_send_signal;
                libc::syscall(call, self.leader, signal, information, flags)
            };
            if self.leader >= 0 {
                // A leader that has left its group is the job all the same.
                if libc::getpgid(self.group) != self.group {
                    send(signal, 0);
                }
                if send(signal, TO_GROUP) == 0 || Errno::last() == Errno::ESRCH {
                    return true;
                }
                // Linux before 6.9: by number, if that is still the group's. It is while the leader
                // is not reaped (signal 0 reaches a zombie), and while any member lives, since the
                // kernel gives out no number that is some group's. A process of that number that is
                // not the leader proves that all of them are gone. What remains is a stranger who
                // got the number, led a group, ended and was reaped while his group lives on, all
                // of it within the time that it takes us to get here.
                let is_reaped = send(0, 0) != 0 && Errno::last() == Errno::ESRCH;
                let is_taken = libc::kill(self.group, 0) == 0 || Errno::last() == Errno::EPERM;
                if is_reaped && is_taken {
                    return true;
                }
            }
            libc::kill(-self.group, signal) == 0
        }
    }
}

/// Closes every descriptor from `first` on.
///
/// # Safety
///
/// Nothing in this process may use them any more.
unsafe fn close_from(first: c_int) {
    // SAFETY: the caller's word.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) == 0 {
            return;
        }
        // Linux before 5.9.
        let mut limit = mem::zeroed::<libc::rlimit>();
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        let last = c_int::try_from(limit.rlim_max)
            .unwrap_or(1 << 20)
            .min(1 << 20);
        for descriptor in first..last {
            libc::close(descriptor);
        }
    }
}

/// The arguments of this process as C's `main` got them, and how many they are.
static ARGUMENTS: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Remembers the arguments of C's `main`, for a guard to hide its own.
///
/// # Safety
///
/// They are what `main` was called with.
pub unsafe fn remember_arguments(count: c_int, arguments: *const *const c_char) {
    ARGUMENTS.store(arguments.cast_mut(), Ordering::Relaxed);
    COUNT.store(usize::try_from(count).unwrap_or(0), Ordering::Relaxed);
}

/// Overwrites the arguments that `ps` and `pkill -f` read, in a guard that got the stack on which
/// they are: `pkill -9 -f 'redlock run'` must leave somebody who kills the rest of the job.
fn hide_arguments() {
    let arguments = ARGUMENTS.load(Ordering::Relaxed);
    let Some(last) = COUNT.load(Ordering::Relaxed).checked_sub(1) else {
        return;
    };
    // SAFETY: libc called `main` with so many C strings, and whoever may run in this process may
    // write them. The kernel laid them out one behind the other, and here nobody reads them.
    unsafe {
        let from = (*arguments).cast_mut();
        let to = *arguments.add(last);
        let length = to.addr() + libc::strlen(to) - from.addr();
        // The zero at the end stays, or `ps` would show the environment as well.
        for index in 0..length {
            let byte = NAME.get(index).copied().unwrap_or(0);
            from.cast::<u8>().add(index).write_volatile(byte);
        }
    }
}

fn leave() -> ! {
    // SAFETY: ends the process at once, without running anything of redlock's.
    unsafe { libc::_exit(0) }
}
