//! `redlock run`: a job runs under the lock.
//!
//! The story: open the nodes, listen for signals, acquire, keep the lock, start the child; then
//! wait for whichever comes first of three things: the child ends, a signal comes, the lease
//! changes. Then stop the job if need be, release, and leave with the child's answer.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::runtime;

use super::{Stop, holder, nodes};
use crate::clock::{self, Instant};
use crate::exit::Exit;
use crate::job::{Child, Deadlines, Ended, News, Order, Scope, Signals, StartError, Watch};
use crate::lock::quorum::{self, Verdict};
use crate::lock::{
    Acquisition, Claim, Failure, Held, Lease, Loss, LossReason, Patience, Policy, Redlock,
    Resource, State,
};
use crate::node::{Answer, AnyNode, Extension, Node, NodeName, TOKEN_LEN};
use crate::report::{self, Reporter};
use crate::settings::{OnLost, RunSettings, StoreCommand, Wait, World};

/// Runs the command under the lock.
///
/// # Errors
///
/// If the command was not started, for whatever reason, or redlock could not do its work.
pub fn run(settings: &RunSettings, world: &World, reporter: Reporter) -> Result<Exit, Stop> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| system("start", &error))?;
    // Everything happens on this thread: the kernel kills the child when the thread that started it
    // ends.
    let names: Vec<&str> = settings.resources.iter().map(Resource::as_str).collect();
    let run = Run {
        settings,
        world,
        reporter,
        names: names.join(", "),
    };
    let exit = runtime.block_on(run.story());
    // A resolver's thread may hang for long; nobody waits for it.
    runtime.shutdown_background();
    exit
}

/// One run: what was meant, and where to tell what comes of it.
struct Run<'a> {
    settings: &'a RunSettings,
    world: &'a World,
    reporter: Reporter,
    /// The resources, as messages call them.
    names: String,
}

/// How the command's time under the lock ended.
#[derive(Clone, Copy)]
struct End {
    command: Ended,
    lock: LockWas,
}

/// Whether the command had the lock all the time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LockWas {
    Kept,
    /// The lease was reported lost, or the job was signalled because of the lock.
    Lost,
}

/// What is being done to the job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// It was sent the stop signal, and is killed at this instant.
    Stopping(Instant),
    Killed,
}

impl Run<'_> {
    async fn story(&self) -> Result<Exit, Stop> {
        let redlock = nodes::open(&self.settings.common).await?;
        // Before the first byte: a signal that comes now must not leave a key behind.
        let mut signals =
            Signals::listen().map_err(|error| system("listen for signals", &error))?;
        let held = self.acquire(&redlock, &mut signals).await?;
        let order = self.order(&held);
        let mut lease = Lease::keep(held, self.settings.common.node_timeout);
        let until = valid_until(&lease.state());
        let stop_at = self.deadlines(until).stop_at;
        let mut child = match Child::start(&order, self.watch(until), stop_at) {
            Ok(child) => child,
            Err(error) => {
                self.release(lease, LockWas::Kept).await;
                return Err(self.not_started(&error));
            }
        };
        let end = self.watch_over(&mut child, &mut lease, &mut signals).await;
        self.release(lease, end.lock).await;
        child.reap();
        Ok(match (end.lock, end.command) {
            (LockWas::Lost, _) => Exit::Lost,
            (LockWas::Kept, Ended::Code(code)) => Exit::Command(code),
            (LockWas::Kept, Ended::Signal(signal)) => Exit::Signal(signal),
        })
    }

    async fn acquire(
        &self,
        redlock: &Redlock<AnyNode>,
        signals: &mut Signals,
    ) -> Result<Held<AnyNode>, Stop> {
        let settings = self.settings;
        let command = match settings.store_command {
            StoreCommand::FileName => settings.command.first().map(OsString::as_os_str),
            StoreCommand::Nothing => None,
        };
        let holder = holder::of_this_process(self.world, command, settings.note.as_deref());
        let claim = Claim::new(
            &settings.resources,
            &settings.common.key_format,
            settings.ttl,
            holder,
        );
        let policy = Policy {
            node_timeout: settings.common.node_timeout,
            patience: patience(settings.wait),
            rng: fastrand::Rng::new(),
        };
        let began = clock::now();
        let mut told = None;
        let on_failure = |failure: &Failure| {
            if self.is_our_own(failure) {
                return ControlFlow::Break(());
            }
            // The same holder, or the same trouble, is told once.
            let news = failure.holder().map(|by| by.digest.clone());
            if told.as_ref() != Some(&news) {
                self.reporter
                    .tell(&report::trying_again(&self.names, failure));
                told = Some(news);
            }
            ControlFlow::Continue(())
        };
        match redlock
            .acquire(&claim, policy, on_failure, signals.next())
            .await
        {
            Acquisition::Acquired(held) => {
                self.reporter.tell(&report::acquired(
                    &self.names,
                    &held,
                    clock::now().since(began),
                ));
                Ok(held)
            }
            Acquisition::Failed(failure) => {
                Err(self.not_acquired(&failure, clock::now().since(began)))
            }
            Acquisition::Interrupted(signal) => Err(Stop::silent(Exit::Signal(signal))),
        }
    }

    /// Why there is no lock, as a line and a code.
    fn not_acquired(&self, failure: &Failure, waited: Duration) -> Stop {
        let (exit, line) = match &failure.verdict {
            Verdict::Held(_) => {
                let line = if self.is_our_own(failure) {
                    report::nested(&self.names)
                } else {
                    let waited = (self.settings.wait != Wait::No).then_some(waited);
                    report::skipped(&self.names, failure, waited)
                };
                return Stop::telling(Exit::Conflict(self.settings.conflict_exit), line);
            }
            Verdict::SameServer(..) => (
                Exit::Configuration,
                report::not_acquired(&self.names, failure),
            ),
            Verdict::Refused => (Exit::Refused, report::not_acquired(&self.names, failure)),
            Verdict::Unreachable | Verdict::Split | Verdict::Acquired | Verdict::Undecided => (
                Exit::Unavailable,
                report::not_acquired(&self.names, failure),
            ),
        };
        Stop::telling(exit, line)
    }

    /// Whether the holder is the redlock that started us: waiting for it would never end.
    fn is_our_own(&self, failure: &Failure) -> bool {
        let around = self.world.variable("REDLOCK_TOKEN");
        let around = around.as_ref().map(|token| token.as_encoded_bytes());
        let holder = failure.holder().and_then(|by| by.value.get(..TOKEN_LEN));
        holder.is_some() && holder == around
    }

    /// What to start, and what it is told about its lock.
    fn order(&self, held: &Held<AnyNode>) -> Order {
        let resources: Vec<&str> = self
            .settings
            .resources
            .iter()
            .map(Resource::as_str)
            .collect();
        let set = [
            ("REDLOCK_RESOURCE", resources.join("\n")),
            ("REDLOCK_TOKEN", held.token.as_str().to_owned()),
            ("REDLOCK_FENCING_TOKEN", held.fencing_token.to_string()),
            ("REDLOCK_TTL_MS", self.settings.ttl.as_millis().to_string()),
        ];
        Order {
            command: self.settings.command.clone(),
            set: set
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            remove: self
                .settings
                .hidden_environment
                .iter()
                .map(Into::into)
                .collect(),
        }
    }

    fn not_started(&self, error: &StartError) -> Stop {
        let exit = match error {
            StartError::NotFound(_) => Exit::NotFound,
            StartError::NotExecutable(_) => Exit::NotExecutable,
            StartError::System(_) => Exit::System,
            StartError::TooLate => Exit::Unavailable,
        };
        let command = self
            .settings
            .command
            .first()
            .map(|name| name.to_string_lossy());
        let message = format!("cannot run '{}': {error}", command.unwrap_or_default());
        Stop::new(exit, "not_started", message)
    }

    /// All the control flow there is while the job runs. Invariant I6: no process of the job's
    /// group runs after `valid_until`.
    async fn watch_over(
        &self,
        child: &mut Child,
        lease: &mut Lease<AnyNode>,
        signals: &mut Signals,
    ) -> End {
        let mut until = valid_until(&lease.state());
        let mut phase = Phase::Running;
        let mut lock = LockWas::Kept;
        let mut answers = Vec::new();
        loop {
            let loss = tokio::select! {
                biased;
                news = child.news(scope(phase)) => match news {
                    News::Over(command) => {
                        return End { command, lock: self.lock_was(lock, lease, until, answers) };
                    }
                    // We were stopped, and the lock may be gone since; but it was ours until then.
                    News::OverInTime(command) => return End { command, lock },
                    News::StoppedByGuard => {
                        Some(Loss { why: LossReason::NotExtended, answers: answers.clone() })
                    }
                    // It goes on when the servers have said whose the lock is.
                    News::Awake => {
                        lease.extend_now();
                        None
                    }
                },
                signal = signals.next() => {
                    child.signal_group(signal);
                    None
                }
                state = lease.changed() => match state {
                    State::Held { until: later, .. } => {
                        until = later;
                        child.keep(self.watch(until));
                        child.go_on();
                        None
                    }
                    State::Unknown { answers: last, .. } => {
                        self.reporter.tell(&report::not_extended(&self.names, &last));
                        answers = last;
                        None
                    }
                    State::Lost(loss) => Some(loss),
                },
                () = self.deadline(phase, until) => {
                    if matches!(phase, Phase::Stopping(_)) {
                        child.signal_group(Signal::SIGKILL);
                        phase = Phase::Killed;
                        None
                    } else {
                        Some(Loss { why: LossReason::NotExtended, answers: answers.clone() })
                    }
                }
            };
            // One loss may be reported twice, by the deadline and by the lease: the first counts.
            if let Some(loss) = loss
                && lock == LockWas::Kept
            {
                lock = LockWas::Lost;
                phase = self.on_loss(&loss, child, until);
            }
        }
    }

    /// Does to the job what the user wants to be done when the lock is lost.
    fn on_loss(&self, loss: &Loss, child: &Child, until: Instant) -> Phase {
        let signal = self.settings.stop_signal;
        match self.settings.on_lost {
            OnLost::Warn => {
                let what_now = "the command runs on (--on-lost warn)";
                self.reporter
                    .tell(&report::lost(&self.names, loss, what_now));
                Phase::Running
            }
            OnLost::Stop => {
                let grace = clock::now() + self.settings.kill_after;
                let kill_at = grace.min(self.deadlines(until).kill_at);
                child.stop(signal, kill_at);
                let what_now = format!("stopping the command with {signal}");
                self.reporter
                    .tell(&report::lost(&self.names, loss, &what_now));
                Phase::Stopping(kill_at)
            }
        }
    }

    /// By when a job must be told to stop and be dead, if its lock is valid `until` then.
    fn deadlines(&self, until: Instant) -> Deadlines {
        let kill_at = until - self.settings.margin;
        Deadlines {
            stop_at: kill_at - self.settings.kill_after,
            kill_at,
        }
    }

    /// What the guard does, should we not. With `--on-lost warn` it has no deadline: then it only
    /// sees to it that a job does not outlive us in parts.
    fn watch(&self, until: Instant) -> Watch {
        Watch {
            stop_signal: self.settings.stop_signal,
            deadlines: match self.settings.on_lost {
                OnLost::Stop => Some(self.deadlines(until)),
                OnLost::Warn => None,
            },
        }
    }

    /// Comes when the job must be stopped, or killed, so that it is dead before the lock can pass
    /// on.
    async fn deadline(&self, phase: Phase, until: Instant) {
        match phase {
            Phase::Running if self.settings.on_lost == OnLost::Stop => {
                clock::sleep_until(self.deadlines(until).stop_at).await;
            }
            Phase::Stopping(kill_at) => clock::sleep_until(kill_at).await,
            Phase::Running | Phase::Killed => std::future::pending().await,
        }
    }

    /// Whether the lock was ours until the command was over. Invariant I7: a loss that nobody
    /// noticed in time, after a suspend for instance, is a loss all the same.
    fn lock_was(
        &self,
        so_far: LockWas,
        lease: &Lease<AnyNode>,
        until: Instant,
        answers: Vec<(NodeName, Option<Answer<Extension>>)>,
    ) -> LockWas {
        let loss = match lease.state() {
            _ if so_far == LockWas::Lost => return LockWas::Lost,
            State::Lost(loss) => loss,
            State::Held { until: later, .. } if later.max(until).has_passed() => Loss {
                why: LossReason::NotExtended,
                answers,
            },
            State::Unknown { .. } if until.has_passed() => Loss {
                why: LossReason::NotExtended,
                answers,
            },
            State::Held { .. } | State::Unknown { .. } => return LockWas::Kept,
        };
        self.reporter.tell(&report::lost(
            &self.names,
            &loss,
            "the command had just ended",
        ));
        LockWas::Lost
    }

    /// Gives the lock back. What goes wrong is told, and never changes the command's code.
    async fn release(&self, lease: Lease<AnyNode>, lock: LockWas) {
        let nodes: Vec<NodeName> = lease.nodes().map(|node| node.name().clone()).collect();
        let until = valid_until(&lease.state());
        let letting = lease.release(self.settings.common.node_timeout).await;
        if lock == LockWas::Lost {
            return;
        }
        if !letting.is_complete() {
            let rest = until.remaining() + quorum::drift(self.settings.ttl);
            self.reporter
                .tell(&report::not_released(&self.names, &nodes, &letting, rest));
        } else if letting.was_gone() {
            self.reporter
                .tell(&report::gone_before_release(&self.names));
        }
    }
}

/// When the job is over. Stopped by us, when its whole group is gone; ended by itself, at once: what
/// it left in the background is neither waited for nor killed.
fn scope(phase: Phase) -> Scope {
    match phase {
        Phase::Running => Scope::Command,
        Phase::Stopping(_) | Phase::Killed => Scope::Group,
    }
}

fn valid_until(state: &State) -> Instant {
    match state {
        State::Held { until, .. } | State::Unknown { until, .. } => *until,
        // Nothing is ours any more.
        State::Lost(_) => Instant::ORIGIN,
    }
}

fn patience(wait: Wait) -> Patience {
    match wait {
        Wait::No => Patience::None,
        Wait::For(duration) => Patience::For(duration),
        Wait::Forever => Patience::Forever,
    }
}

fn system(what: &str, error: &std::io::Error) -> Stop {
    Stop::new(Exit::System, "system", format!("cannot {what}: {error}"))
}
