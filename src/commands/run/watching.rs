//! Watching over a job: all the control flow there is while it runs.
//!
//! Invariant I6: no process of the job's group runs after `valid_until`. Whatever is decided here
//! is known to the guard process first, which does it should we be unable to.

use nix::sys::signal::Signal;

use super::ending::{End, LockWas, TimeWas};
use super::{Run, valid_until};
use crate::clock::{self, Instant};
use crate::job::{Child, Deadlines, Ended, News, Scope, Signals, Watch};
use crate::lock::quorum::Named;
use crate::lock::{Lease, Loss, LossReason, State};
use crate::node::{AnyNode, Extension};
use crate::report;
use crate::settings::OnLost;

/// What is being done to the job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// The command has died of a signal that was passed on. What else of the job heard it may take
    /// as long over it as if we had stopped it, until this instant.
    Leaving(Instant),
    /// It was sent the stop signal, and is killed at this instant.
    Stopping(Instant),
    Killed,
    /// What is left has had its time, and nobody waits for it any more.
    Left,
}

/// What happens while a job runs.
enum Event {
    Child(News),
    Signal(Signal),
    Lease(State),
    /// The command has run for as long as it may.
    TimeOver,
    /// The job must be stopped, or killed.
    Deadline,
}

impl Event {
    /// Whether it may have come only because we stood still for long.
    fn is_about_time(&self) -> bool {
        match self {
            Self::Lease(State::Lost(_)) | Self::TimeOver | Self::Deadline => true,
            Self::Child(_) | Self::Signal(_) | Self::Lease(_) => false,
        }
    }
}

/// How far a job has come.
struct Course {
    started: Instant,
    until: Instant,
    phase: Phase,
    lock: LockWas,
    time: TimeWas,
    extensions: u64,
    /// The last signal that was passed on.
    passed_on: Option<Signal>,
    /// It was told that the job cannot be signalled.
    is_told_out_of_reach: bool,
    /// What the nodes answered in the last round that extended nothing.
    answers: Named<Extension>,
}

impl Course {
    fn not_extended(&self) -> Loss {
        Loss {
            why: LossReason::NotExtended,
            answers: self.answers.clone(),
        }
    }

    /// Whether the command has died of TERM or HUP that we have passed on: a shell does so at once,
    /// while what it was waiting for still puts things in order.
    fn is_left_by(&self, command: Ended) -> bool {
        let heard = self
            .passed_on
            .filter(|signal| matches!(signal, Signal::SIGTERM | Signal::SIGHUP));
        self.phase == Phase::Running && heard.is_some_and(|signal| command == Ended::Signal(signal))
    }

    fn end(&self, command: Ended, lock: LockWas) -> End {
        End {
            command,
            lock,
            time: self.time,
            extensions: self.extensions,
        }
    }
}

impl Run<'_> {
    /// Watches over the command that was `started`, until it is over.
    pub(super) async fn watch_over(
        &self,
        child: &mut Child,
        lease: &mut Lease<AnyNode>,
        signals: &mut Signals,
        started: Instant,
    ) -> End {
        let mut course = Course {
            started,
            until: valid_until(&lease.state()),
            phase: Phase::Running,
            lock: LockWas::Kept,
            time: TimeWas::Enough,
            extensions: 0,
            passed_on: None,
            is_told_out_of_reach: false,
            answers: Vec::new(),
        };
        loop {
            if child.is_out_of_reach() && !course.is_told_out_of_reach {
                course.is_told_out_of_reach = true;
                self.reporter.tell(&report::out_of_reach(self.names.all()));
            }
            match self.next_event(child, lease, signals, &course).await {
                Event::Child(News::Over(command)) if course.is_left_by(command) => {
                    course.phase = Phase::Leaving(clock::now() + self.settings.kill_after);
                }
                Event::Child(News::Over(command)) => {
                    let lock = self.lock_was(&course, lease, child);
                    return course.end(command, lock);
                }
                // We were stopped, and the lock may be gone since; but it was ours until then.
                Event::Child(News::OverInTime(command)) => return course.end(command, course.lock),
                Event::Child(News::StoppedByGuard) => {
                    self.on_loss(&course.not_extended(), child, &mut course);
                }
                Event::Child(News::Awake) => self.on_awake(child, lease, &course),
                Event::Signal(signal) => {
                    course.passed_on = Some(signal);
                    child.pass_on(signal);
                }
                Event::Lease(state) => self.on_state(state, child, &mut course),
                Event::TimeOver => self.on_time_over(child, &mut course),
                Event::Deadline => self.on_deadline(child, &mut course),
            }
        }
    }

    /// What happens next. Where it may have come only because we stood still, what the child has
    /// done meanwhile goes before it.
    async fn next_event(
        &self,
        child: &mut Child,
        lease: &mut Lease<AnyNode>,
        signals: &mut Signals,
        course: &Course,
    ) -> Event {
        let event = tokio::select! {
            biased;
            news = child.news(scope(course.phase)) => Event::Child(news),
            signal = signals.next() => Event::Signal(signal),
            state = lease.changed() => Event::Lease(state),
            () = self.time_is_over(course) => Event::TimeOver,
            () = self.deadline(course) => Event::Deadline,
        };
        if !event.is_about_time() {
            return event;
        }
        // A job that runs now, when its time is known to be over, ran on beyond it.
        match child.look(scope(course.phase)) {
            // What it has left in its group is still there.
            Some(News::Over(command))
                if course.is_left_by(command) && child.look(Scope::Group).is_none() =>
            {
                event
            }
            Some(news) => Event::Child(news),
            None => event,
        }
    }

    /// A job that stood still and is wanted to go on does so when the servers have said whose the
    /// lock is; where that is known, and no reason to stop the job, at once.
    fn on_awake(&self, child: &mut Child, lease: &Lease<AnyNode>, course: &Course) {
        if course.lock == LockWas::Lost && self.settings.on_lost == OnLost::Warn {
            child.go_on();
        } else {
            lease.extend_now();
        }
    }

    fn on_state(&self, state: State, child: &mut Child, course: &mut Course) {
        match state {
            State::Held { until, extensions } => {
                course.until = until;
                course.extensions = extensions;
                child.keep(self.watch(until));
                child.go_on();
            }
            State::Unknown { answers, .. } => {
                self.reporter
                    .tell(&report::not_extended(self.names.all(), &answers));
                course.answers = answers;
            }
            State::Lost(loss) => self.on_loss(&loss, child, course),
        }
    }

    /// Does to the job what the user wants to be done when the lock is lost. One loss may be
    /// reported twice, by the deadline and by the lease: the first counts.
    fn on_loss(&self, loss: &Loss, child: &mut Child, course: &mut Course) {
        if course.lock == LockWas::Lost {
            return;
        }
        course.lock = LockWas::Lost;
        let signal = self.settings.stop_signal;
        let what_now = match self.settings.on_lost {
            OnLost::Warn => {
                child.go_on();
                "the command runs on (--on-lost warn)".to_owned()
            }
            OnLost::Stop if course.phase == Phase::Killed => "the command was killed".to_owned(),
            // Its time was over before. It was told once, and has no more grace than it had.
            OnLost::Stop if matches!(course.phase, Phase::Stopping(_)) => {
                "the command is being stopped already".to_owned()
            }
            OnLost::Stop => {
                let grace = clock::now() + self.settings.kill_after;
                let kill_at = grace.min(self.deadlines(course.until).kill_at);
                child.stop(signal, kill_at);
                course.phase = Phase::Stopping(kill_at);
                format!("stopping the command with {signal}")
            }
        };
        self.reporter
            .tell(&report::lost(self.names.all(), loss, &what_now));
    }

    /// Comes when the command has run for as long as it may.
    async fn time_is_over(&self, course: &Course) {
        match self.settings.max_runtime {
            Some(limit) if course.phase == Phase::Running => {
                clock::sleep_until(course.started + limit).await;
            }
            _ => std::future::pending().await,
        }
    }

    /// Stops a command whose time is over. The lock is kept meanwhile.
    fn on_time_over(&self, child: &mut Child, course: &mut Course) {
        let signal = self.settings.stop_signal;
        let grace = clock::now() + self.settings.kill_after;
        // From now on the guard hears of no later deadline: it gets the earlier of the two.
        let kill_at = match self.settings.on_lost {
            OnLost::Stop => grace.min(self.deadlines(course.until).kill_at),
            OnLost::Warn => grace,
        };
        child.stop(signal, kill_at);
        course.time = TimeWas::Over;
        course.phase = Phase::Stopping(grace);
        let limit = self.settings.max_runtime.unwrap_or_default();
        self.reporter
            .tell(&report::timed_out(self.names.all(), limit, signal));
    }

    /// Comes when the job must be stopped, or killed, so that it is dead before the lock can pass
    /// on; and when the grace of a job that is being stopped is over.
    async fn deadline(&self, course: &Course) {
        let Deadlines { stop_at, kill_at } = self.deadlines(course.until);
        let is_bound = self.settings.on_lost == OnLost::Stop;
        match course.phase {
            Phase::Running if is_bound => clock::sleep_until(stop_at).await,
            Phase::Leaving(until) if is_bound => clock::sleep_until(until.min(stop_at)).await,
            Phase::Leaving(until) => clock::sleep_until(until).await,
            Phase::Stopping(grace) if is_bound => clock::sleep_until(grace.min(kill_at)).await,
            Phase::Stopping(grace) => clock::sleep_until(grace).await,
            Phase::Running | Phase::Left | Phase::Killed => std::future::pending().await,
        }
    }

    fn on_deadline(&self, child: &mut Child, course: &mut Course) {
        if let Phase::Leaving(until) = course.phase
            && until.has_passed()
        {
            course.phase = Phase::Left;
            return;
        }
        if let Phase::Stopping(grace) = course.phase {
            child.signal_group(Signal::SIGKILL);
            course.phase = Phase::Killed;
            if grace.has_passed() {
                return;
            }
        }
        // It is the lock whose time is over.
        self.on_loss(&course.not_extended(), child, course);
    }

    /// By when a job must be told to stop and be dead, if its lock is valid `until` then.
    pub(super) fn deadlines(&self, until: Instant) -> Deadlines {
        let kill_at = until - self.settings.margin;
        Deadlines {
            stop_at: kill_at - self.settings.kill_after,
            kill_at,
        }
    }

    /// What the guard does, should we not. With `--on-lost warn` it has no deadline: then it only
    /// sees to it that a job does not outlive us in parts.
    pub(super) fn watch(&self, until: Instant) -> Watch {
        Watch {
            stop_signal: self.settings.stop_signal,
            deadlines: match self.settings.on_lost {
                OnLost::Stop => Some(self.deadlines(until)),
                OnLost::Warn => None,
            },
        }
    }

    /// Whether the lock was ours until the command was over. Invariant I7: a loss that nobody
    /// noticed in time, after a suspend for instance, is a loss all the same.
    fn lock_was(&self, course: &Course, lease: &Lease<AnyNode>, child: &mut Child) -> LockWas {
        let loss = match lease.state() {
            _ if course.lock == LockWas::Lost => return LockWas::Lost,
            State::Lost(loss) => loss,
            State::Held { until, .. } if until.max(course.until).has_passed() => {
                course.not_extended()
            }
            State::Unknown { .. } if course.until.has_passed() => course.not_extended(),
            State::Held { .. } | State::Unknown { .. } => return LockWas::Kept,
        };
        // We stood still after we had seen the end, and the guard did not.
        if loss.why == LossReason::NotExtended && child.has_ended_in_time() {
            return LockWas::Kept;
        }
        let what_now = "the command had just ended";
        self.reporter
            .tell(&report::lost(self.names.all(), &loss, what_now));
        LockWas::Lost
    }
}

/// When the job is over. Stopped by us, when its whole group is gone; ended by itself, at once:
/// what it left in the background is neither waited for nor killed.
fn scope(phase: Phase) -> Scope {
    match phase {
        Phase::Running | Phase::Left => Scope::Command,
        Phase::Leaving(_) | Phase::Stopping(_) | Phase::Killed => Scope::Group,
    }
}
