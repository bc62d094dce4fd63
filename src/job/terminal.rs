//! The terminal between a shell, us and the job: who is in front, and who stands still.
//!
//! The job has a process group of its own, so the kernel takes it for a background job and stops it
//! when it reads. It gets the terminal when it asks in this way, and not before: a job that never
//! asks leaves it to `| less` and to the script around us. Whatever the job does that a shell must
//! see (it stops, it dies of Ctrl-C) we do as well, with the terminal back in our hands. Without a
//! terminal nothing of this ever happens. Called by `child`, and by `commands` for Ctrl-Z alone.

use std::fs::OpenOptions;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill, killpg, sigaction,
};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getpgid, getpgrp, getpid, tcgetpgrp, tcsetpgrp};
use tokio::signal::unix::{self, SignalKind};

use super::{death, group};
use crate::clock::{self, Instant};

/// How long a job may take over a Ctrl-Z, to put the screen in order for instance. A stop after
/// that has other reasons.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

/// The terminal, as far as it concerns a job.
pub struct Terminal {
    in_front: InFront,
    /// When Ctrl-Z was passed on to the job: a stop of it is an answer to that.
    asked_to_stop: Option<Instant>,
    /// Whether Ctrl-Z was passed on, and since then the job has not stopped and nobody has wanted
    /// it to go on.
    is_stop_pending: bool,
    /// Who is in our group and wants the terminal as well; listened to since it was first lent.
    neighbours: Vec<Demand>,
    /// How it was set up before it was first lent.
    before: Option<Termios>,
    suspends: CtrlZ,
    continues: unix::Signal,
    resizes: unix::Signal,
}

/// Who has the terminal, of us two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InFront {
    /// We, or neither.
    Us,
    /// The job: it was handed over.
    Job,
}

/// What the kernel sends to all of our group, which stops them, when one of it wants to read from
/// the terminal that the job has, or to set it up: a pager behind a pipe.
struct Demand {
    signal: Signal,
    heard: unix::Signal,
    /// The action by which it is heard.
    hearing: SigAction,
}

impl Demand {
    /// Listens from now on; nothing if whoever started us ignores it.
    fn listen(signal: Signal) -> Option<Self> {
        if death::is_ignored(signal) {
            return None;
        }
        let heard = unix::signal(SignalKind::from_raw(signal as i32)).ok()?;
        let hearing = set_action(signal, &default_action()).ok()?;
        Some(Self {
            signal,
            heard,
            hearing,
        })
    }
}

/// What becomes of a job that has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It has got what it wanted, and goes on.
    GoOn,
    /// We stood still with it, for the shell to see, and somebody has continued us; or nobody was
    /// there to see, and we did not.
    StoodStill,
    /// It stands still until somebody continues us.
    Alone,
}

/// What a job that stands still will need when it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// The terminal.
    Terminal,
    /// Nothing but to go on.
    Nothing,
}

/// What the terminal or a shell wants of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To stop: Ctrl-Z.
    Stop,
    /// To go on: `fg`, `bg`.
    GoOn,
}

/// Ctrl-Z, unless whoever started us ignores it.
pub struct CtrlZ(Option<unix::Signal>);

impl CtrlZ {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn listen() -> io::Result<Self> {
        Ok(Self(if death::is_ignored(Signal::SIGTSTP) {
            None
        } else {
            Some(unix::signal(SignalKind::from_raw(Signal::SIGTSTP as i32))?)
        }))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(stream) => stream.poll_recv(context).map(drop),
            None => Poll::Pending,
        }
    }

    /// Comes when it was pressed.
    pub async fn pressed(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    /// Does what it asks for: returns when somebody has continued us.
    pub fn obey(&self) {
        stand_still(Signal::SIGTSTP, getpid());
    }
}

impl Terminal {
    /// Listens for Ctrl-Z and for being continued, from now on.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            in_front: InFront::Us,
            asked_to_stop: None,
            is_stop_pending: false,
            neighbours: Vec::new(),
            before: None,
            suspends: CtrlZ::listen()?,
            continues: unix::signal(SignalKind::from_raw(Signal::SIGCONT as i32))?,
            resizes: unix::signal(SignalKind::window_change())?,
        })
    }

    /// The next wish. Nothing is lost when it is not waited for.
    pub fn poll_wish(&mut self, context: &mut Context<'_>) -> Poll<Wish> {
        if self.suspends.poll(context).is_ready() {
            return Poll::Ready(Wish::Stop);
        }
        self.continues.poll_recv(context).map(|_| Wish::GoOn)
    }

    /// The window has another size, which the kernel tells our group alone as long as the job does
    /// not have the terminal.
    pub fn poll_resize(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.resizes.poll_recv(context).map(drop)
    }

    /// Somebody else of our group wants the terminal that `job` has, and gets it: the job asks for
    /// it again when it needs it. We would have been stopped for that as well, and nobody would
    /// have kept the lock. A script around us has been, and if its shell sees that before it goes
    /// on, it takes the whole script for stopped, until `fg`.
    pub fn poll_demand(&mut self, job: Pid, context: &mut Context<'_>) -> Poll<()> {
        let mut demands = self.neighbours.iter_mut();
        if !demands.any(|demand| demand.heard.poll_recv(context).is_ready()) {
            return Poll::Pending;
        }
        if self.in_front == InFront::Job && is_in_front(job) {
            self.take_back();
            let _ = kill(Pid::from_raw(0), Signal::SIGCONT);
        }
        Poll::Ready(())
    }

    /// Passes Ctrl-Z on to `job`: it reached our group, which is not the job's.
    pub fn pass_stop_on(&mut self, job: Pid) {
        self.asked_to_stop = Some(clock::now());
        self.is_stop_pending = true;
        let _ = killpg(job, Signal::SIGTSTP);
    }

    /// Somebody wants the job to go on. Answers whether it has not stopped yet for a Ctrl-Z that
    /// was passed on.
    pub fn forget_pending_stop(&mut self) -> bool {
        std::mem::take(&mut self.is_stop_pending)
    }

    /// Whether a stop by `signal` is the answer to a Ctrl-Z, as far as one can tell.
    #[must_use]
    pub fn expects(&self, signal: Signal) -> bool {
        signal == Signal::SIGTSTP || self.has_just_asked()
    }

    /// Whether Ctrl-Z was passed on so lately that a stop may be the answer to it.
    fn has_just_asked(&self) -> bool {
        let asked_at = self.asked_to_stop;
        asked_at.is_some_and(|at| !(at + STOPS_WITHIN).has_passed())
    }

    /// Stands still with a `job` that stands still already, or is to do so.
    pub fn stop_too(&mut self, job: Pid) {
        let _ = killpg(job, Signal::SIGTSTP);
        self.take_back();
        stand_still(Signal::SIGTSTP, Pid::from_raw(0));
    }

    /// `job` was stopped by `signal`.
    pub fn job_stopped(&mut self, job: Pid, signal: Signal) -> Stopped {
        if is_for_terminal(signal) {
            if self.in_front == InFront::Job || is_in_front(getpgrp()) {
                self.give_to(job);
                return Stopped::GoOn;
            }
            // In the background it stands still, as any job that wants the terminal there. Where
            // nobody can continue us, we are not stopped, and it waits for the terminal alone.
            stand_still(signal, Pid::from_raw(0));
            return Stopped::Alone;
        }
        self.is_stop_pending = false;
        let was_asked = self.has_just_asked();
        self.asked_to_stop = None;
        if self.in_front == InFront::Job {
            // Ctrl-Z reached the job alone: whoever started us must see it as well.
            self.take_back();
            stand_still(signal, Pid::from_raw(0));
            Stopped::StoodStill
        } else if was_asked {
            // Whoever is with us in our group got the same Ctrl-Z.
            stand_still(signal, getpid());
            Stopped::StoodStill
        } else {
            Stopped::Alone
        }
    }

    /// Before `job`, which stood still, is continued: it gets the terminal if it wants it and we
    /// are in front.
    pub fn before_going_on(&mut self, job: Pid, wants: Wants) {
        if wants == Wants::Terminal && is_in_front(getpgrp()) {
            self.give_to(job);
        }
    }

    /// Whether the job has the terminal, or had it until it stopped by `signal`.
    #[must_use]
    pub fn wants(&self, signal: Signal) -> Wants {
        if self.in_front == InFront::Job || is_for_terminal(signal) {
            Wants::Terminal
        } else {
            Wants::Nothing
        }
    }

    /// The job is over, killed by `signal` if there is one. Whoever started us gets the terminal
    /// back, and Ctrl-C if the job died of it: it reached the job alone. Who was killed could not
    /// put the terminal in order. A shell does for a job that dies so, but we may leave otherwise.
    pub fn job_ended(&mut self, signal: Option<Signal>) {
        if self.in_front == InFront::Us {
            return;
        }
        self.take_back();
        if signal.is_some()
            && let Some(before) = &self.before
            && let Ok(terminal) = terminal()
        {
            let _ = as_if_in_front(|| tcsetattr(terminal, SetArg::TCSADRAIN, before));
        }
        // Somebody may have demanded it just now, and stands still for it.
        let _ = kill(Pid::from_raw(0), Signal::SIGCONT);
        if let Some(signal @ (Signal::SIGINT | Signal::SIGQUIT)) = signal {
            // We listen for it: it does not end us here.
            let _ = kill(Pid::from_raw(0), signal);
        }
    }

    fn give_to(&mut self, job: Pid) {
        if self.neighbours.is_empty() {
            let signals = [Signal::SIGTTIN, Signal::SIGTTOU];
            self.neighbours = signals.into_iter().filter_map(Demand::listen).collect();
        }
        if self.before.is_none() {
            self.before = terminal().and_then(|it| Ok(tcgetattr(it)?)).ok();
        }
        for demand in &self.neighbours {
            let _ = set_action(demand.signal, &demand.hearing);
        }
        put_in_front(job);
        self.in_front = InFront::Job;
    }

    fn take_back(&mut self) {
        if self.in_front == InFront::Us {
            return;
        }
        put_in_front(getpgrp());
        for demand in &self.neighbours {
            let _ = set_action(demand.signal, &default_action());
        }
        self.in_front = InFront::Us;
    }
}

/// Whether the kernel stops by `signal` who wants the terminal and is not in front.
fn is_for_terminal(signal: Signal) -> bool {
    matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU)
}

/// Whether a job must not ignore SIGTTIN, although we do: it would be told of an error when it
/// reads from the terminal, instead of being given it as we have it. So it is in bash's `$(…)`.
/// Also where another redlock of our group has lent the terminal to its job just now.
#[must_use]
pub fn must_ask() -> bool {
    if !death::is_ignored(Signal::SIGTTIN) {
        return false;
    }
    let in_front = terminal().and_then(|terminal| Ok(tcgetpgrp(terminal)?));
    in_front.is_ok_and(|group| {
        let is_lent =
            || group::parent_of(group).is_some_and(|by| getpgid(Some(by)) == Ok(getpgrp()));
        group == getpgrp() || is_lent()
    })
}

/// Whether we are in front.
#[must_use]
pub fn is_ours() -> bool {
    is_in_front(getpgrp())
}

/// Whether there is a terminal, and others are in front of it.
#[must_use]
pub fn is_behind() -> bool {
    terminal().is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group != getpgrp()))
}

/// Takes the terminal back from `job`, should it have that, for a thread that does not have the
/// [`Terminal`]. Whoever started us would be left in the background otherwise.
pub fn take_back_from(job: Pid) {
    if is_in_front(job) {
        put_in_front(getpgrp());
    }
}

/// The terminal that our session has: stdin may be a file or another terminal. Where there is no
/// `/dev/tty`, as in many a chroot, it can still be among what we were given.
fn terminal() -> io::Result<OwnedFd> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
    let mut options = OpenOptions::new();
    let opened = options.read(true).custom_flags(flags).open("/dev/tty");
    match opened {
        Ok(terminal) if tcgetpgrp(&terminal).is_ok() => Ok(terminal.into()),
        _ => {
            let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
            let given = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
            let ours = given.into_iter().find(|given| tcgetpgrp(given).is_ok());
            ours.ok_or(Errno::ENOTTY)?.try_clone_to_owned()
        }
    }
}

fn is_in_front(group: Pid) -> bool {
    terminal().is_ok_and(|terminal| tcgetpgrp(terminal) == Ok(group))
}

/// Puts `group` in front, if there is a terminal.
fn put_in_front(group: Pid) {
    if let Ok(terminal) = terminal() {
        let _ = as_if_in_front(|| tcsetpgrp(terminal, group));
    }
}

/// Does what whoever is not in front would be stopped for.
fn as_if_in_front<T>(act: impl FnOnce() -> T) -> T {
    let before = SigSet::from(Signal::SIGTTOU).thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let done = act();
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    done
}

/// Stops `whom` (0 is our group) with `signal`, us included, and returns when we were continued. In
/// a group that nobody could continue the kernel stops nobody, and this returns at once.
fn stand_still(signal: Signal, whom: Pid) {
    let before = set_action(signal, &default_action());
    // The kernel delivers it to this thread, the main one, before the call returns.
    let _ = kill(whom, signal);
    if let Ok(before) = before {
        let _ = set_action(signal, &before);
    }
}

fn default_action() -> SigAction {
    SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty())
}

/// Sets the action of `signal`, the default one or one that was there before, and answers which it
/// was.
fn set_action(signal: Signal, action: &SigAction) -> nix::Result<SigAction> {
    // SAFETY: the default action runs no code of ours, and any other is tokio's or none.
    unsafe { sigaction(signal, action) }
}
