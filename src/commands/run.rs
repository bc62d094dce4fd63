//! `redlock run`: a job runs under the lock.
//!
//! The story: open the nodes, listen for signals, acquire, keep the lock, start the child; then
//! wait for whichever comes first of three things: the child ends, a signal comes, the lease
//! changes. Then stop the job if need be, release, and leave with the child's answer.

mod account;
mod ending;
mod files;
mod letting_go;
mod metrics;
mod status;

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::runtime;

use self::account::Account;
use self::ending::{End, LockWas, TimeWas};
use super::{Stop, attempt, holder, nodes};
use crate::clock::{self, Instant};
use crate::exit::Exit;
use crate::job::{Child, Ended, Order, Signals, StartError};
use crate::lock::claim::marker_of;
use crate::lock::quorum::Verdict;
use crate::lock::{
    Acquisition, Claim, Failure, Held, Holder, Lease, Loss, LossReason, Redlock, Resource, State,
};
use crate::node::{Answer, AnyNode, Extension, MarkerKind, NodeName, TOKEN_LEN};
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
    let mut account = Account::begin();
    let exit = runtime.block_on(run.story(&mut account));
    // A resolver's thread may hang for long; nobody waits for it.
    runtime.shutdown_background();
    let code = exit.as_ref().map_or_else(|stop| stop.exit, |exit| *exit);
    run.leave_files(&account, code.code());
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

/// What is being done to the job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// It was sent the stop signal, and is killed at this instant.
    Stopping(Instant),
    Killed,
}

impl Run<'_> {
    async fn story(&self, account: &mut Account) -> Result<Exit, Stop> {
        let redlock = nodes::open(&self.settings.common).await?;
        // Before the first byte: a signal that comes now must not leave a key behind.
        let mut signals =
            Signals::listen().map_err(|error| system("listen for signals", &error))?;
        let held = self.acquire(&redlock, &mut signals, account).await?;
        account.acquired(held.fencing_token);
        let order = self.order(&held);
        let mut lease = Lease::keep(held, self.settings.common.node_timeout);
        let started = clock::now();
        let mut child = match Child::start(&order) {
            Ok(child) => child,
            Err(error) => {
                let stop = self.not_started(&error);
                let code = Some(stop.exit.code());
                self.release(lease, LockWas::Kept, account, code, &mut signals)
                    .await;
                return Err(stop);
            }
        };
        let end = self
            .watch_over(&mut child, &mut lease, &mut signals, started)
            .await;
        account.ended(end.outcome(), end.command, clock::now().since(started));
        account.extensions = end.extensions;
        self.release(lease, end.lock, account, None, &mut signals)
            .await;
        child.reap();
        Ok(end.exit())
    }

    /// Who we are, as others shall see it.
    fn holder(&self) -> Holder {
        let settings = self.settings;
        let command = match settings.store_command {
            StoreCommand::FileName => settings.command.first().map(OsString::as_os_str),
            StoreCommand::Nothing => None,
        };
        holder::of_this_process(self.world, command, settings.note.as_deref())
    }

    async fn acquire(
        &self,
        redlock: &Redlock<AnyNode>,
        signals: &mut Signals,
        account: &mut Account,
    ) -> Result<Held<AnyNode>, Stop> {
        let settings = self.settings;
        let claim = Claim::new(
            &settings.resources,
            &settings.common.key_format,
            settings.ttl,
            self.holder(),
        )
        .staying(settings.min_hold.max(settings.once_per.unwrap_or_default()));
        let policy = attempt::policy(
            &settings.common,
            settings.wait,
            settings.restart_guard,
            settings.restart_window,
        );
        let began = clock::now();
        let mut told = None;
        let on_failure = |failure: &Failure| {
            if self.is_our_own(failure) || self.is_done(failure) {
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
                account.failed(&failure);
                Err(self.not_acquired(&failure, clock::now().since(began)))
            }
            Acquisition::Interrupted(signal) => Err(Stop::silent(Exit::Signal(signal))),
        }
    }

    /// Why there is no lock, as a line and a code.
    fn not_acquired(&self, failure: &Failure, waited: Duration) -> Stop {
        let exit = attempt::exit_of(&failure.verdict, self.settings.conflict_exit);
        let line = match &failure.verdict {
            Verdict::Held(_) if self.is_our_own(failure) => report::nested(&self.names),
            Verdict::Held(_) => {
                let waited = (self.settings.wait != Wait::No).then_some(waited);
                report::skipped(&self.names, failure, waited)
            }
            _ => report::not_acquired(&self.names, failure),
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

    /// Whether a quorum says that the job is done for this period. Who wants it once per period
    /// does not wait for the next one.
    fn is_done(&self, failure: &Failure) -> bool {
        let Verdict::Held(by) = &failure.verdict else {
            return false;
        };
        self.settings.once_per.is_some() && marker_of(&by.value) == Some(MarkerKind::Done)
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
        started: Instant,
    ) -> End {
        let mut until = valid_until(&lease.state());
        let mut phase = Phase::Running;
        let (mut lock, mut time) = (LockWas::Kept, TimeWas::Enough);
        let mut extensions = 0;
        let mut answers = Vec::new();
        loop {
            let loss = tokio::select! {
                biased;
                command = over(child, phase) => {
                    let lock = self.lock_was(lock, lease, until, answers);
                    return End { command, lock, time, extensions };
                }
                signal = signals.next() => {
                    child.signal_group(signal);
                    None
                }
                state = lease.changed() => match state {
                    State::Held { until: later, extensions: so_far } => {
                        until = later;
                        extensions = so_far;
                        None
                    }
                    State::Unknown { answers: last, .. } => {
                        self.reporter.tell(&report::not_extended(&self.names, &last));
                        answers = last;
                        None
                    }
                    State::Lost(loss) => Some(loss),
                },
                () = self.time_is_over(phase, started) => {
                    time = TimeWas::Over;
                    phase = self.on_time_over(child);
                    None
                }
                () = self.deadline(phase, until) => {
                    let is_grace_over = if let Phase::Stopping(kill_at) = phase {
                        child.signal_group(Signal::SIGKILL);
                        phase = Phase::Killed;
                        kill_at.has_passed()
                    } else {
                        false
                    };
                    // Else it is the lock whose time is over.
                    let loss = Loss { why: LossReason::NotExtended, answers: answers.clone() };
                    (!is_grace_over).then_some(loss)
                }
            };
            // One loss may be reported twice, by the deadline and by the lease: the first counts.
            if let Some(loss) = loss
                && lock == LockWas::Kept
            {
                lock = LockWas::Lost;
                phase = self.on_loss(&loss, child, phase, until);
            }
        }
    }

    /// Does to the job what the user wants to be done when the lock is lost.
    fn on_loss(&self, loss: &Loss, child: &Child, phase: Phase, until: Instant) -> Phase {
        let signal = self.settings.stop_signal;
        match self.settings.on_lost {
            OnLost::Warn => {
                let what_now = "the command runs on (--on-lost warn)";
                self.reporter
                    .tell(&report::lost(&self.names, loss, what_now));
                phase
            }
            OnLost::Stop if phase == Phase::Killed => {
                self.reporter
                    .tell(&report::lost(&self.names, loss, "the command was killed"));
                phase
            }
            OnLost::Stop => {
                child.stop(signal);
                let what_now = format!("stopping the command with {signal}");
                self.reporter
                    .tell(&report::lost(&self.names, loss, &what_now));
                let grace = clock::now() + self.settings.kill_after;
                Phase::Stopping(grace.min(until - self.settings.margin))
            }
        }
    }

    /// Comes when the command has run for as long as it may.
    async fn time_is_over(&self, phase: Phase, started: Instant) {
        match self.settings.max_runtime {
            Some(limit) if phase == Phase::Running => clock::sleep_until(started + limit).await,
            _ => std::future::pending().await,
        }
    }

    /// Stops a command whose time is over. The lock is kept meanwhile.
    fn on_time_over(&self, child: &Child) -> Phase {
        let signal = self.settings.stop_signal;
        child.stop(signal);
        let limit = self.settings.max_runtime.unwrap_or_default();
        self.reporter
            .tell(&report::timed_out(&self.names, limit, signal));
        Phase::Stopping(clock::now() + self.settings.kill_after)
    }

    /// Comes when the job must be stopped, or killed, so that it is dead before the lock can pass
    /// on.
    async fn deadline(&self, phase: Phase, until: Instant) {
        match phase {
            Phase::Running if self.settings.on_lost == OnLost::Stop => {
                clock::sleep_until(until - self.settings.margin - self.settings.kill_after).await;
            }
            Phase::Stopping(kill_at) if self.settings.on_lost == OnLost::Stop => {
                clock::sleep_until(kill_at.min(until - self.settings.margin)).await;
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
}

/// The command's end. Stopped by us, the job is over when its whole group is gone; ended by itself,
/// at once: what it left in the background is neither waited for nor killed.
async fn over(child: &mut Child, phase: Phase) -> Ended {
    if phase != Phase::Running {
        child.gone().await;
    }
    child.ended().await
}

fn valid_until(state: &State) -> Instant {
    match state {
        State::Held { until, .. } | State::Unknown { until, .. } => *until,
        // Nothing is ours any more.
        State::Lost(_) => Instant::ORIGIN,
    }
}

fn system(what: &str, error: &std::io::Error) -> Stop {
    Stop::new(Exit::System, "system", format!("cannot {what}: {error}"))
}
