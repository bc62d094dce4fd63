//! The tiny process that outlives us and keeps the deadline.
//!
//! A job must be dead before its lock can pass to another, and nothing that befalls redlock may
//! change that: SIGKILL, SIGSTOP, a panic, an executor that hangs. So before the command there is a
//! second process, in a session of its own and with every signal blocked, which is told each new
//! deadline through a socket and signals the group when one has come. When the socket closes
//! without a word, we are dead, and it kills the group at once.
//!
//! **No moment without it.** The guard is forked first. The command's process, between its own fork
//! and exec, tells the guard its group and waits until the guard stands (see [`Introduction`]): no
//! instruction of the command runs unwatched, and until exec there is nothing but ourselves. The
//! command's process has our end of the socket until exec closes it, so the guard cannot take us
//! for dead before it knows whom to kill.
//!
//! **Never a stranger's group.** What the guard is told is not a number but a pidfd of the group's
//! leader, which the leader opened itself: it stands for that very process and its group, whoever
//! reaps the leader and whatever becomes of the number. With Linux 6.9 and later the group is
//! signalled through it, and there is nothing to get wrong. Before that the number is used, as long
//! as it is certainly ours: see `Target::signal`.
//!
//! **Between fork and exit** the guard runs only `stand` and what it calls: async-signal-safe
//! calls, no allocation, no lock, nothing that can panic. Called by `child`.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use libc::{c_char, c_int};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

use super::heap::Spared;
use crate::clock::Instant;

/// What `ps` shows and `pkill redlock` does not find: 15 bytes at most.
const NAME: &[u8] = b"rl-guard\0";

/// How much later than redlock the guard sends the stop signal. It is redlock's to send, and some
/// programs take a second one for "now, by force". The time to kill is never put off.
const PRECEDENCE_NS: u64 = 25_000_000;

/// How long the command's process waits for the guard to stand: only a machine out of its mind
/// needs so long, and then it is better not to start.
const STANDS_WITHIN_MS: c_int = 5_000;

/// An instant that never comes.
const NEVER: u64 = u64::MAX;

/// `PIDFD_SIGNAL_PROCESS_GROUP` of Linux 6.9.
const TO_GROUP: u32 = 1 << 2;

// What redlock tells the guard: one of these and two numbers, each message whole or not at all.
const JOB: u64 = 1;
const DEADLINES: u64 = 2;
const STOPPING: u64 = 3;
const ENDED: u64 = 4;

// What the guard tells redlock.
const STANDING: u8 = 1;
const ACTED: u8 = 2;
const IN_TIME: u8 = 3;

type Message = [u64; 3];

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
    fn numbers(self) -> (u64, u64) {
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
    process: Pid,
    socket: AsyncFd<OwnedFd>,
}

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
    /// If the system refuses a process or a socket.
    pub fn start(watch: Watch) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let kind = SockType::SeqPacket;
        let (ours, its) = socketpair(AddressFamily::Unix, kind, None, flags)?;
        // Before the fork: if it fails, there is no process to be rid of. SAFETY: the descriptor is
        // owned by what is registered, and stays open as long as that lives.
        let socket = unsafe { AsyncFd::register(ours) }.map_err(io::Error::from)?;
        let (stop_at, kill_at) = watch.numbers();
        let post = Post {
            stop_signal: watch.stop_signal as c_int,
            stop_at,
            kill_at,
            target: Target::NONE,
            phase: Phase::Waiting,
        };
        // It is born with every signal blocked, so that there is no moment at which one ends it.
        let mut before = SigSet::empty();
        sigprocmask(
            SigmaskHow::SIG_SETMASK,
            Some(&SigSet::all()),
            Some(&mut before),
        )?;
        let spared = Spared::heap();
        // The bare call: libc's fork looks after things of its own, some of which are on the heap.
        // SAFETY: in the new process `stand` is all that ever runs: async-signal-safe calls on its
        // own stack and on descriptors; it never returns, also not by a panic.
        let forked = unsafe {
            let forked = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
            if forked == 0 {
                stand(its.as_raw_fd(), post);
            }
            forked
        };
        let forked = Errno::result(forked);
        drop(spared);
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        // Never 0, which would stand for our own group.
        let process = libc::pid_t::try_from(forked?).map_err(|_| Errno::EOVERFLOW)?;
        let process = Pid::from_raw(process);
        Ok(Self { process, socket })
    }

    /// How the command's process makes itself known.
    #[must_use]
    pub fn introduction(&self) -> Introduction {
        Introduction(self.socket.as_raw_fd())
    }

    /// Introduces a group from here: that of `leader`, a child of ours that is not reaped.
    pub fn watch_over(&self, leader: Pid) {
        let _ = introduce(self.socket.as_raw_fd(), leader.as_raw());
    }

    /// From now on these deadlines count.
    pub fn keep(&self, watch: Watch) {
        let (stop_at, kill_at) = watch.numbers();
        self.tell([DEADLINES, stop_at, kill_at]);
    }

    /// We are about to send the stop signal ourselves: all that is left to the guard is to kill
    /// what is still there at `kill_at`.
    pub fn stopping(&self, kill_at: Instant) {
        self.tell([STOPPING, 0, nanoseconds(kill_at)]);
    }

    /// The job is over: the guard signals nobody any more. Must be said before the leader is
    /// reaped.
    pub fn dismiss(&self) {
        if !self.tell([ENDED, 0, 0]) {
            // It does not listen: it was stopped, say. Nothing stops this.
            let _ = kill(self.process, Signal::SIGKILL);
        }
    }

    /// The guard's process, which is for [`Guard`] alone to reap.
    #[must_use]
    pub fn process(&self) -> Pid {
        self.process
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

    /// Tells the guard. A guard that is dead or does not read never holds us up: false.
    fn tell(&self, message: Message) -> bool {
        send(self.socket.as_raw_fd(), &bytes(message)).is_ok()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It is our child and not reaped, so the id is its own. SIGKILL ends it whatever it does,
        // and once it is reaped, no signal of its can come any more.
        let _ = kill(self.process, Signal::SIGKILL);
        while waitpid(self.process, None) == Err(Errno::EINTR) {}
    }
}

/// How the command's process makes itself known to the guard, between its fork and exec.
#[derive(Clone, Copy, Debug)]
pub struct Introduction(RawFd);

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
        introduce(self.0, leader).map_err(|_| Errno::ETIMEDOUT)?;
        let mut standing = libc::pollfd {
            fd: self.0,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: `standing` is one pollfd, and is written before the call returns. All signals
        // that could interrupt it kill us.
        let ready = unsafe { libc::poll(&raw mut standing, 1, STANDS_WITHIN_MS) };
        match receive_byte(self.0) {
            Ok(Some(STANDING)) if ready == 1 => Ok(()),
            _ => Err(Errno::ETIMEDOUT),
        }
    }
}

fn nanoseconds(instant: Instant) -> u64 {
    u64::try_from(instant.since_boot().as_nanos()).unwrap_or(NEVER)
}

fn bytes(message: Message) -> [u8; mem::size_of::<Message>()] {
    let mut bytes = [0; mem::size_of::<Message>()];
    for (to, number) in bytes.chunks_exact_mut(8).zip(message) {
        to.copy_from_slice(&number.to_ne_bytes());
    }
    bytes
}

/// Sends without waiting, and without the signal that a reader who is gone would bring.
/// Async-signal-safe.
fn send(socket: RawFd, message: &[u8]) -> nix::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `message` can be read for its length.
    let sent = unsafe { libc::send(socket, message.as_ptr().cast(), message.len(), flags) };
    Errno::result(sent).map(drop)
}

/// One byte of the guard's, or `None` at the end of it all. Async-signal-safe.
fn receive_byte(socket: RawFd) -> nix::Result<Option<u8>> {
    let mut byte = 0_u8;
    // SAFETY: there is room for one byte.
    let length = unsafe { libc::recv(socket, (&raw mut byte).cast(), 1, libc::MSG_DONTWAIT) };
    Errno::result(length).map(|length| (length > 0).then_some(byte))
}

/// Room for the header that carries one descriptor, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Parcel([u8; 32]);

/// Tells the guard to watch over the group of `leader`, with a pidfd of it if the kernel knows
/// such. Async-signal-safe.
fn introduce(socket: RawFd, leader: libc::pid_t) -> io::Result<()> {
    // SAFETY: pidfd_open takes two numbers and gives a new descriptor, close-on-exec, or -1.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, leader, 0) };
    let pidfd = c_int::try_from(pidfd).unwrap_or(-1);
    let message = bytes([JOB, u64::from(leader.unsigned_abs()), 0]);
    if pidfd < 0 {
        // Before Linux 5.3, or in a sandbox that does not know the call: the number must do.
        return Ok(send(socket, &message)?);
    }
    // SAFETY: it is new, and nobody else's.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let mut parcel = Parcel([0; 32]);
    let mut part = libc::iovec {
        iov_base: message.as_ptr().cast_mut().cast(),
        iov_len: message.len(),
    };
    // SAFETY: all-zero bytes are an empty header; its pointers are to values that outlive the call.
    // The parcel is large enough for one descriptor and aligned for its header, so CMSG_FIRSTHDR is
    // not null and CMSG_DATA within.
    let sent = unsafe {
        let mut header: libc::msghdr = mem::zeroed();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = parcel.0.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(4) as _;
        let control = libc::CMSG_FIRSTHDR(&raw const header);
        (*control).cmsg_level = libc::SOL_SOCKET;
        (*control).cmsg_type = libc::SCM_RIGHTS;
        (*control).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(control)
            .cast::<c_int>()
            .write_unaligned(pidfd.as_raw_fd());
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        libc::sendmsg(socket, &raw const header, flags)
    };
    Errno::result(sent)?;
    Ok(())
}

// From here on: what runs in the guard. No allocation, no lock, no panic.

/// The guard's descriptors: it has no others.
const SOCKET: RawFd = 0;
const TIMER: RawFd = 1;

/// What the guard knows.
#[repr(C)]
struct Post {
    stop_signal: c_int,
    stop_at: u64,
    kill_at: u64,
    target: Target,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
enum Phase {
    /// For the time to stop the job.
    Waiting,
    /// It was told to stop, by whomever. It is killed when the time has come.
    Stopping,
    /// Nothing is left to do but to see redlock's end.
    Done,
}

/// Whom the guard watches over.
#[repr(C)]
struct Target {
    /// The group's number; 0 before it is known.
    group: libc::pid_t,
    /// The leader, or -1 if the kernel knows no pidfds.
    leader: RawFd,
}

/// What comes through the socket.
enum Heard {
    Message(Message, RawFd),
    Nothing,
    /// Redlock is dead.
    Silence,
}

/// The guard's whole life. `extern "C"`: a panic here ends the process, it never goes back into the
/// copy of redlock that is below on the stack.
extern "C" fn stand(socket: RawFd, mut post: Post) -> ! {
    // SAFETY: these calls take numbers and constants. Nothing below needs a descriptor other than
    // the socket's copy, so all the others are closed: a kept stdout would keep cron waiting, a
    // kept socket of redlock's would hide its death from us.
    unsafe {
        // `timeout -s KILL` and the like kill a group or a session.
        libc::setsid();
        libc::dup2(socket, SOCKET);
        close_from(1);
        let timer = libc::timerfd_create(libc::CLOCK_BOOTTIME, libc::TFD_NONBLOCK);
        if timer != TIMER {
            // Without a timer it must not be said that we stand.
            libc::_exit(1);
        }
        // A guard shall not keep a file system from being unmounted.
        libc::chdir(c"/".as_ptr());
        libc::prctl(libc::PR_SET_NAME, NAME.as_ptr());
    }
    hide_arguments();
    let _ = send(SOCKET, &[STANDING]);
    loop {
        // What was said counts before what the clock says: a new deadline may have come too late to
        // be read before the old one.
        loop {
            match receive() {
                Heard::Message(message, descriptor) => post.hear(message, descriptor),
                Heard::Nothing => break,
                Heard::Silence => post.redlock_is_dead(),
            }
        }
        post.act(boot_time());
        wait_until(post.next());
    }
}

impl Post {
    fn hear(&mut self, [kind, first, second]: Message, descriptor: RawFd) {
        match kind {
            JOB => {
                self.target = Target {
                    group: libc::pid_t::try_from(first).unwrap_or(0),
                    leader: descriptor,
                };
            }
            DEADLINES if self.phase == Phase::Waiting => {
                self.stop_at = first;
                self.kill_at = second;
            }
            STOPPING if self.phase == Phase::Waiting => {
                self.phase = Phase::Stopping;
                self.kill_at = second;
            }
            ENDED => leave(),
            _ => {}
        }
    }

    /// Does what is due at `now`.
    fn act(&mut self, now: u64) {
        if self.phase == Phase::Waiting && now >= self.stop_at.min(self.kill_at) {
            if self.target.has_ended() {
                // By itself, and redlock has not noticed yet. What it left in the background is
                // nobody's business. If we are late ourselves, after a suspend, nobody can say
                // when.
                if now < self.kill_at {
                    let _ = send(SOCKET, &[IN_TIME]);
                }
                self.phase = Phase::Done;
                return;
            }
            // Said first: redlock must never see a job that died of this and not know why.
            let _ = send(SOCKET, &[ACTED]);
            self.phase = Phase::Stopping;
            if now < self.kill_at {
                self.target.signal(self.stop_signal);
                self.target.signal(libc::SIGCONT);
            }
        }
        if self.phase == Phase::Stopping && now >= self.kill_at {
            self.target.signal(libc::SIGKILL);
            self.phase = Phase::Done;
        }
    }

    /// When there is something to do next.
    fn next(&self) -> u64 {
        match self.phase {
            Phase::Waiting => self.stop_at.min(self.kill_at),
            Phase::Stopping => self.kill_at,
            Phase::Done => NEVER,
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
        if self.leader < 0 {
            return false;
        }
        let mut leader = libc::pollfd {
            fd: self.leader,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd, and no waiting. A pidfd is readable once its process has ended.
        unsafe { libc::poll(&raw mut leader, 1, 0) > 0 }
    }

    /// Sends `signal` to the group, if there is one.
    fn signal(&self, signal: c_int) {
        if self.group <= 1 {
            return;
        }
        // SAFETY: these calls take numbers; a null pointer stands for the usual information.
        unsafe {
            let send = |signal: c_int, flags: u32| {
                let information = ptr::null::<libc::siginfo_t>();
                let call = libc::SYS_pidfd_send_signal;
                libc::syscall(call, self.leader, signal, information, flags)
            };
            if self.leader >= 0 {
                if send(signal, TO_GROUP) == 0 || Errno::last() == Errno::ESRCH {
                    return;
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
                    return;
                }
            }
            libc::kill(-self.group, signal);
        }
    }
}

/// The next message and the descriptor that came with it.
fn receive() -> Heard {
    let mut message = [0_u8; mem::size_of::<Message>()];
    let mut parcel = Parcel([0; 32]);
    let mut part = libc::iovec {
        iov_base: message.as_mut_ptr().cast(),
        iov_len: message.len(),
    };
    // SAFETY: all-zero bytes are an empty header; its pointers are to values that outlive the call.
    // What CMSG_FIRSTHDR gives is null or within the parcel, which holds one descriptor if its
    // length says so.
    let (length, descriptor) = unsafe {
        let mut header: libc::msghdr = mem::zeroed();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = parcel.0.as_mut_ptr().cast();
        header.msg_controllen = parcel.0.len() as _;
        let length = libc::recvmsg(SOCKET, &raw mut header, libc::MSG_DONTWAIT);
        let control = libc::CMSG_FIRSTHDR(&raw const header);
        let carries = length > 0
            && !control.is_null()
            && (*control).cmsg_type == libc::SCM_RIGHTS
            && (*control).cmsg_len as usize >= libc::CMSG_LEN(4) as usize;
        let descriptor = if carries {
            libc::CMSG_DATA(control).cast::<c_int>().read_unaligned()
        } else {
            -1
        };
        (length, descriptor)
    };
    match length {
        0 => Heard::Silence,
        length if length > 0 => {
            let mut numbers = [0; 3];
            for (number, from) in numbers.iter_mut().zip(message.chunks_exact(8)) {
                let mut eight = [0; 8];
                for (to, byte) in eight.iter_mut().zip(from) {
                    *to = *byte;
                }
                *number = u64::from_ne_bytes(eight);
            }
            Heard::Message(numbers, descriptor)
        }
        _ => match Errno::last() {
            Errno::EAGAIN | Errno::EINTR => Heard::Nothing,
            // Nobody can tell us anything any more: as if redlock were dead.
            _ => Heard::Silence,
        },
    }
}

fn boot_time() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: there is room for the answer. Linux has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    let seconds = now.tv_sec.unsigned_abs();
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec.unsigned_abs())
}

/// Sleeps until something is said or `instant` has come. The timer counts the time of a suspend:
/// poll's own time-out would not.
fn wait_until(instant: u64) {
    // What is beyond the kernel's reach is as good as never: a hundred years.
    let instant = instant.min(100 * 365 * 86_400 * 1_000_000_000);
    let at = libc::itimerspec {
        it_interval: libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: libc::timespec {
            tv_sec: (instant / 1_000_000_000).cast_signed(),
            // A value of zero would disarm the timer.
            tv_nsec: (instant % 1_000_000_000).cast_signed().max(1),
        },
    };
    let wait = |fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let mut both = [wait(SOCKET), wait(TIMER)];
    // SAFETY: the timer is ours, its setting can be read, and `both` are two pollfds.
    unsafe {
        libc::timerfd_settime(
            TIMER,
            libc::TFD_TIMER_ABSTIME,
            &raw const at,
            ptr::null_mut(),
        );
        libc::poll(both.as_mut_ptr(), 2, -1);
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
pub fn remember_arguments(count: c_int, arguments: *const *const c_char) {
    ARGUMENTS.store(arguments.cast_mut(), Ordering::Relaxed);
    COUNT.store(usize::try_from(count).unwrap_or(0), Ordering::Relaxed);
}

/// Overwrites the arguments that `ps` and `pkill -f` read, in our copy of them: `pkill -9 -f
/// 'redlock run'` must leave somebody who kills the rest of the job.
fn hide_arguments() {
    let arguments = ARGUMENTS.load(Ordering::Relaxed);
    let Some(last) = COUNT.load(Ordering::Relaxed).checked_sub(1) else {
        return;
    };
    // SAFETY: libc gave us so many C strings, and whoever may run in this process may write them.
    // The kernel laid them out one behind the other, and here nobody reads them.
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
