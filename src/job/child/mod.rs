//! The command: started, signalled as a group, seen to end, reaped last.
//!
//! Never waits for more than it is asked to, and never signals a group that may be somebody else's:
//! the leader stays a zombie until [`Child::reap`], so its id, which is the group's, is ours until
//! then. Called by `commands`, on the main thread: the kernel kills the child when the thread that
//! started it ends. How it is started is in `starting`.

mod starting;

pub use self::starting::{Order, StartError};

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpgid, getpid};
use tokio::signal::unix;

use super::death;
use super::group::{self, Members};
use super::guard::{Dismissed, Guard, Watch, Word};
use super::terminal::{self, Stopped, Terminal, Wants, Wish};
use crate::clock::{self, Instant};

/// How often the group is looked at while it is being stopped. Its members are not our children, so
/// nobody tells us of their end.
const GROUP_POLL: Duration = Duration::from_millis(10);

/// The same of a terminal that somebody else has, where no shell tells us when it is our turn.
const TERMINAL_POLL: Duration = Duration::from_millis(100);

/// A process that was killed runs no code any more after this time, on whatever processor it was.
const DEAD_WITHIN: Duration = Duration::from_millis(200);

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(u8),
    /// Killed by this signal.
    Signal(Signal),
}

/// When a job is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// When the command has ended; what it left in its group may live on.
    Command,
    /// When nothing of its group lives any more.
    Group,
}

/// What happens on the child's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The job is over. The guard stays until [`Child::dismiss_guard`].
    Over(Ended),
    /// The job is over, and the guard has seen that the command ended by itself before its
    /// deadline, however late we are.
    OverInTime(Ended),
    /// The guard has told the job to stop, or killed it, since we did not in time.
    StoppedByGuard,
    /// The job stands still, and somebody wants it to go on. It does with [`Child::go_on`].
    Awake,
}

/// A command that was started, and is a zombie at most.
pub struct Child {
    leader: Pid,
    /// Whether the leader's id may be somebody else's.
    reaped: bool,
    /// Whether the leader has ended; its group may live on.
    ended: Option<Ended>,
    standing: Standing,
    /// Why we are about to stand still.
    halt: Option<(Halt, CaughtUp)>,
    terminal: Terminal,
    endings: unix::Signal,
    /// `None` when it is dead.
    guard: Option<Guard>,
    guarded: Guarded,
    told: Told,
    /// Whether a guard that dies is replaced at once. One is; where guards do not live at all, each
    /// extension tries again.
    has_spare: bool,
    dismissed: Option<Dismissed>,
    /// When its group was killed by us.
    killed: Cell<Option<Instant>>,
    /// Whether the system has refused us a signal to all of it.
    is_out_of_reach: Cell<bool>,
}

/// Whether the job stands still, as far as its leader shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It does not.
    Runs,
    /// It was stopped, and needs this to go on.
    Still(Wants),
    /// It was stopped, or asked to stop, and somebody wants it to go on.
    Awake(Wants),
}

/// A reason to stand still, for a shell to see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Halt {
    /// The leader was stopped by this signal.
    Stopped(Signal),
    /// Ctrl-Z, while the job stands still already or is about to go on.
    Wanted,
}

/// Whether all was heard that had come when there was a reason to stand still. Whoever has
/// continued us since does not do so again: we would stand still for good.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CaughtUp {
    NotYet,
    Yes,
}

/// What a guard has to know, should it be a new one.
#[derive(Clone, Copy)]
struct Told {
    watch: Watch,
    /// When the group is to be killed, if it is being stopped by us.
    kill_at: Option<Instant>,
}

/// What the guard has had to do with the job's end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guarded {
    Nothing,
    /// It has signalled the job.
    Acted,
    /// It found it ended.
    FoundItEnded,
}

impl Child {
    /// The command's process, whose id is its group's.
    #[must_use]
    pub fn leader(&self) -> Pid {
        self.leader
    }

    /// Whether a signal was refused by the system, since all of the group are processes of another
    /// user: it cannot be stopped then.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        self.is_out_of_reach.get()
    }

    /// Sends `signal` to the whole group.
    pub fn signal_group(&self, signal: Signal) {
        // The leader is not reaped, so the group is ours. It may be empty but for that zombie.
        let is_refused = killpg(self.leader, signal) == Err(Errno::EPERM);
        if is_refused && signal != Signal::SIGWINCH {
            self.is_out_of_reach.set(true);
        }
        // A command that has left its group is the job all the same.
        if getpgid(Some(self.leader)) != Ok(self.leader) {
            let _ = kill(self.leader, signal);
        }
        if signal == Signal::SIGKILL && self.killed.get().is_none() {
            self.killed.set(Some(clock::now()));
        }
    }

    /// Tells the guard by when the job must be over from now on. A guard that somebody killed is
    /// replaced.
    pub fn keep(&mut self, watch: Watch) {
        if self.guarded != Guarded::Nothing {
            // What it has begun, it brings to its end at the time that it began with.
            return;
        }
        self.told.watch = watch;
        self.has_spare = true;
        match &self.guard {
            Some(guard) => guard.keep(watch),
            None => self.replace_guard(),
        }
    }

    fn replace_guard(&mut self) {
        if self.guarded != Guarded::Nothing || self.ended.is_some() {
            return;
        }
        self.guard = Guard::start().ok();
        if let Some(guard) = &mut self.guard {
            guard.watch_over(self.leader, self.told.watch);
            if let Some(kill_at) = self.told.kill_at {
                guard.stopping(kill_at);
            }
        }
    }

    /// Asks the whole group to stop with `signal`, unless the guard has done so. A process that is
    /// suspended gets it as well. Should we be unable to, the guard kills it at `kill_at`.
    pub fn stop(&mut self, signal: Signal, kill_at: Instant) {
        if self.guarded == Guarded::Acted {
            return;
        }
        self.told.kill_at = Some(kill_at);
        if let Some(guard) = &mut self.guard {
            guard.stopping(kill_at);
        }
        self.signal_group(signal);
        self.signal_group(Signal::SIGCONT);
    }

    /// Lets the job go on if [`News::Awake`] was told of it.
    pub fn go_on(&mut self) {
        if let Standing::Awake(wants) = self.standing {
            self.standing = Standing::Runs;
            self.terminal.before_going_on(self.leader, wants);
            self.signal_group(Signal::SIGCONT);
        }
    }

    /// Waits for what happens next. Nothing is lost when the future is dropped. An ended command is
    /// not reaped.
    pub async fn news(&mut self, scope: Scope) -> News {
        loop {
            let pause = self.looks_again_after(scope);
            let news = poll_fn(|context| match self.poll_news(scope, context) {
                Poll::Ready(news) => Poll::Ready(Some(news)),
                // Its leader has just ended, or stopped.
                Poll::Pending if self.looks_again_after(scope) != pause => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if let Ok(Some(news)) = tokio::time::timeout(pause, news).await {
                return news;
            }
        }
    }

    /// How long to wait until the next look, where nobody tells us of what is waited for: the end
    /// of a process that is not our child, or that whoever has the terminal gives it back.
    fn looks_again_after(&self, scope: Scope) -> Duration {
        if scope == Scope::Group && self.ended.is_some() {
            GROUP_POLL
        } else if self.waits_for_terminal() {
            TERMINAL_POLL
        } else {
            Duration::MAX
        }
    }

    /// Whether it stands still until we lend it the terminal.
    fn waits_for_terminal(&self) -> bool {
        self.standing == Standing::Still(Wants::Terminal)
    }

    /// Passes `signal` on. Who waits for the terminal would not hear of it.
    pub fn pass_on(&self, signal: Signal) {
        self.signal_group(signal);
        if self.waits_for_terminal() {
            self.signal_group(Signal::SIGCONT);
        }
    }

    /// Looks whenever anything has woken us. After we were frozen much comes at once, and the job's
    /// end must be seen before a deadline that has passed since.
    fn poll_news(&mut self, scope: Scope, context: &mut Context<'_>) -> Poll<News> {
        loop {
            if let Some(news) = self.look(scope) {
                return Poll::Ready(news);
            }
            if let Poll::Ready(wish) = self.terminal.poll_wish(context) {
                if let Some(news) = self.heed(wish) {
                    return Poll::Ready(news);
                }
                continue;
            }
            if self.terminal.poll_demand(self.leader, context).is_ready() {
                continue;
            }
            if self.terminal.poll_resize(context).is_ready() {
                self.signal_group(Signal::SIGWINCH);
                continue;
            }
            let word = self.guard.as_ref().map(|guard| guard.poll_word(context));
            let is_told = word.is_some_and(|word| word.is_ready());
            if is_told || self.endings.poll_recv(context).is_ready() {
                continue;
            }
            match self.halt {
                None if self.waits_for_terminal() && terminal::is_ours() => {
                    self.standing = Standing::Awake(Wants::Terminal);
                    return Poll::Ready(News::Awake);
                }
                None => return Poll::Pending,
                Some((halt, CaughtUp::NotYet)) => {
                    self.halt = Some((halt, CaughtUp::Yes));
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some((halt, CaughtUp::Yes)) => {
                    self.halt = None;
                    if let Some(news) = self.stand_still(halt) {
                        return Poll::Ready(news);
                    }
                }
            }
        }
    }

    fn heed(&mut self, wish: Wish) -> Option<News> {
        let (Standing::Still(wants) | Standing::Awake(wants)) = self.standing else {
            if wish == Wish::Stop {
                self.terminal.pass_stop_on(self.leader);
                return None;
            }
            // Ctrl-Z may have stopped others of its group only, or be about to stop it.
            let was_asked = self.terminal.forget_pending_stop();
            let wants = match self.halt.take() {
                Some((Halt::Stopped(signal), _)) => self.terminal.wants(signal),
                _ if was_asked => Wants::Nothing,
                _ => return None,
            };
            self.standing = Standing::Awake(wants);
            return Some(News::Awake);
        };
        if wish == Wish::Stop {
            self.halt = Some((Halt::Wanted, CaughtUp::NotYet));
            return None;
        }
        self.halt = None;
        self.standing = Standing::Awake(wants);
        Some(News::Awake)
    }

    /// Tells the guard that the job is over: it signals nobody any more, and ends. Until then our
    /// death is a reason for it to kill what the command left behind.
    pub fn dismiss_guard(&mut self) {
        self.dismissed = self.guard.take().map(Guard::dismiss);
    }

    /// Forgets the command, which has ended: its id may be somebody else's from now on.
    pub fn reap(mut self) {
        self.forget();
    }

    fn forget(&mut self) {
        if self.reaped {
            return;
        }
        self.reaped = true;
        // The guard first: until it is gone, the leader's id must not become somebody else's.
        self.guard = None;
        self.dismissed = None;
        // It has ended, or was killed: this does not block for long.
        while waitpid(self.leader, None) == Err(Errno::EINTR) {}
    }

    /// What has happened by now, if anything that somebody must know: the job's end, or what the
    /// guard has done.
    pub fn look(&mut self, scope: Scope) -> Option<News> {
        reap_adopted(&[Some(self.leader), self.guard.as_ref().map(Guard::process)]);
        let ended = self.look_for_end();
        // The guard tells us before it signals: whoever was killed by it is seen here after that.
        if self.hear_guard() {
            return Some(News::StoppedByGuard);
        }
        let Some(ended) = ended else {
            self.look_for_stop();
            return None;
        };
        if scope == Scope::Group && !is_gone(self.leader, self.killed.get()) {
            return None;
        }
        self.terminal.job_ended(match ended {
            Ended::Code(_) => None,
            Ended::Signal(signal) => Some(signal),
        });
        Some(match self.guarded {
            Guarded::FoundItEnded => News::OverInTime(ended),
            Guarded::Nothing | Guarded::Acted => News::Over(ended),
        })
    }

    /// Whether the guard has seen that the command ended by itself before its deadline.
    pub fn has_ended_in_time(&mut self) -> bool {
        self.hear_guard();
        self.guarded == Guarded::FoundItEnded
    }

    fn look_for_end(&mut self) -> Option<Ended> {
        if self.ended.is_none() {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            self.ended = match waitid(Id::Pid(self.leader), flags) {
                Ok(WaitStatus::Exited(_, code)) => {
                    Some(Ended::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX)))
                }
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(Ended::Signal(signal)),
                Ok(_) | Err(Errno::EINTR) => None,
                Err(Errno::ECHILD) => Some(Ended::Signal(Signal::SIGKILL)),
                // A real-time signal has no name in nix, so we cannot die of it: its code is all
                // that we can pass on. What cannot be told is no end: better to keep a lock than
                // to give it away.
                Err(_) => death::killer(self.leader).map(|number| Ended::Code(128 + number)),
            };
        }
        self.ended
    }

    /// Whether the guard has just told that it acted.
    fn hear_guard(&mut self) -> bool {
        let mut acted = false;
        while let Some(word) = self.guard.as_ref().and_then(Guard::word) {
            match word {
                Word::Acted => {
                    acted = true;
                    self.guarded = Guarded::Acted;
                }
                Word::EndedInTime => self.guarded = Guarded::FoundItEnded,
                // Until there is another, we keep the deadlines alone.
                Word::Gone => {
                    self.guard = None;
                    if std::mem::take(&mut self.has_spare) {
                        self.replace_guard();
                    }
                }
            }
        }
        acted
    }

    /// Sees the job stop and go on.
    fn look_for_stop(&mut self) {
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WCONTINUED | WaitPidFlag::WNOHANG;
        match waitid(Id::Pid(self.leader), flags) {
            Ok(WaitStatus::Stopped(_, signal)) => {
                self.halt = Some((Halt::Stopped(signal), CaughtUp::NotYet));
            }
            Ok(WaitStatus::Continued(_)) => {
                self.standing = Standing::Runs;
                self.halt = None;
            }
            _ => {}
        }
    }

    /// Does what a shell expects of us then.
    fn stand_still(&mut self, halt: Halt) -> Option<News> {
        let signal = match (halt, self.standing) {
            // What it was asked before it was asked to go on, which it is about to be.
            (Halt::Stopped(signal), Standing::Awake(_)) if self.terminal.expects(signal) => {
                return None;
            }
            (Halt::Stopped(signal), _) => signal,
            // It goes on meanwhile.
            (Halt::Wanted, Standing::Runs) => {
                self.terminal.pass_stop_on(self.leader);
                return None;
            }
            (Halt::Wanted, Standing::Still(wants) | Standing::Awake(wants)) => {
                self.terminal.stop_too(self.leader);
                self.standing = Standing::Awake(wants);
                return Some(News::Awake);
            }
        };
        let wants = self.terminal.wants(signal);
        match self.terminal.job_stopped(self.leader, signal) {
            Stopped::GoOn => {
                self.signal_group(Signal::SIGCONT);
                None
            }
            Stopped::StoodStill => {
                self.standing = Standing::Awake(wants);
                Some(News::Awake)
            }
            Stopped::Alone => {
                self.standing = Standing::Still(wants);
                None
            }
        }
    }
}

impl Drop for Child {
    /// There must be no job that nobody watches.
    fn drop(&mut self) {
        if self.look_for_end().is_none() {
            self.signal_group(Signal::SIGKILL);
        }
        self.forget();
    }
}

/// Kills the whole group of the command `leader`, for a thread that does not have the [`Child`],
/// and takes the terminal back from it. Returns when nothing of it lives any more, and at once if
/// it was reaped.
pub fn kill_all(leader: Pid) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    // Nothing is killed that is not our child any more: the id may be somebody else's.
    if waitid(Id::Pid(leader), flags | WaitPidFlag::WNOHANG) == Err(Errno::ECHILD) {
        return;
    }
    let _ = killpg(leader, Signal::SIGKILL);
    while waitid(Id::Pid(leader), flags) == Err(Errno::EINTR) {}
    let killed = clock::now();
    while !is_gone(leader, Some(killed)) {
        let _ = killpg(leader, Signal::SIGKILL);
        std::thread::sleep(GROUP_POLL);
    }
    terminal::take_back_from(leader);
}

/// Whether nothing of the group of `leader` lives any more, who has ended. Where that cannot be
/// told, the group is over when it was `killed` a while ago: better to go on stopping it than to
/// give the lock away.
fn is_gone(leader: Pid, killed: Option<Instant>) -> bool {
    match group::members(leader) {
        Members::Alive => false,
        Members::Gone => true,
        Members::Unknown => killed.is_some_and(|killed| (killed + DEAD_WITHIN).has_passed()),
    }
}

/// Reaps what became our child because its parent died: as PID 1 nobody else does. Not
/// `ours`, whose ids must not become somebody else's.
fn reap_adopted(ours: &[Option<Pid>]) {
    if getpid().as_raw() != 1 {
        return;
    }
    for zombie in group::zombie_children(getpid()) {
        if !ours.contains(&Some(zombie)) {
            let _ = waitid(Id::Pid(zombie), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
        }
    }
}
