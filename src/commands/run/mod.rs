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
mod panicked;
mod status;
mod watching;

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::time::Duration;

use self::account::Account;
use self::letting_go::Job;
use super::{Stop, attempt, holder, nodes, runtime};
use crate::cli::{Before, RunArguments};
use crate::clock::{self, Instant};
use crate::exit::Exit;
use crate::job::{Child, Guard, Order, Signals, StartError};
use crate::lock::claim::marker_of;
use crate::lock::quorum::Verdict;
use crate::lock::{Acquisition, Claim, Failure, Held, Holder, Lease, Redlock, Resource, State};
use crate::node::{AnyNode, MarkerKind};
use crate::report::{self, Names, Reporter};
use crate::settings::{self, RunSettings, StoreCommand, Wait, World};

/// Runs the command under the lock.
///
/// # Errors
///
/// If the command was not started, for whatever reason, or redlock could not do its work.
pub fn run(settings: &RunSettings, world: &World, reporter: Reporter) -> Result<Exit, Stop> {
    let run = Run {
        settings,
        world,
        reporter,
        names: Names::new(&settings.resources, &settings.common.key_format),
    };
    let mut account = Account::begin();
    let exit = runtime::new().and_then(|runtime| {
        // Everything happens on this thread: the kernel kills the child when the thread that
        // started it ends.
        let exit = runtime.block_on(run.story(&mut account));
        // What it still has ends with the process, and sooner than if it were taken to pieces.
        // Nobody waits for a resolver's thread, which may hang for long.
        std::mem::forget(runtime);
        exit
    });
    let code = exit.as_ref().map_or_else(|stop| stop.exit, |exit| *exit);
    let code = code.code();
    files::leave(
        &settings.files,
        &settings.resources,
        &account,
        code,
        reporter,
    );
    exit
}

/// Leaves the files of a run that was refused before it began, or they would tell of the one
/// before.
pub fn refused(arguments: &RunArguments, world: &World, exit: Exit, reporter: Reporter) {
    let (resources, files) = settings::remains_of(arguments, world);
    files::leave(&files, &resources, &Account::begin(), exit.code(), reporter);
}

/// One run: what was meant, and where to tell what comes of it.
struct Run<'a> {
    settings: &'a RunSettings,
    world: &'a World,
    reporter: Reporter,
    /// The resources, as messages call them.
    names: Names,
}

impl Run<'_> {
    async fn story(&self, account: &mut Account) -> Result<Exit, Stop> {
        let redlock = nodes::open(&self.settings.common).await?;
        // Before the first byte: a signal that comes now must not leave a key behind.
        let mut signals =
            Signals::listen().map_err(|error| Stop::system("listen for signals", &error))?;
        let mut guard = None;
        let acquiring = self.acquire(&redlock, &mut signals, account, &mut guard);
        let held = acquiring.await?;
        account.acquired(held.fencing_token);
        let order = self.order(&held);
        let mut lease = Lease::keep(held, self.settings.common.node_timeout);
        let started = clock::now();
        let until = valid_until(&lease.state());
        let stop_at = self.deadlines(until).stop_at;
        let mut child = match Child::start(&order, guard, self.watch(until), stop_at) {
            Ok(child) => child,
            Err(error) => {
                let stop = self.not_started(&error);
                let job = Job::NotStarted(stop.exit.code());
                self.release(lease, job, account, &mut signals).await;
                return Err(stop);
            }
        };
        self.in_case_of_panic(&lease, Some(child.leader()));
        let end = self
            .watch_over(&mut child, &mut lease, &mut signals, started)
            .await;
        account.ended(end.outcome(), end.command, clock::now().since(started));
        account.extensions = end.extensions;
        let job = Job::Over(&mut child, end.lock);
        self.release(lease, job, account, &mut signals).await;
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
        guard: &mut Option<Guard>,
    ) -> Result<Held<AnyNode>, Stop> {
        let settings = self.settings;
        let claim = Claim::new(
            &settings.resources,
            &settings.common.key_format,
            settings.ttl,
            self.holder(),
        )
        .staying(settings.min_hold.max(settings.once_per.unwrap_or_default()));
        let policy = attempt::policy(&settings.common, settings.wait, settings.restarts);
        attempt::mention_window(
            self.reporter,
            &settings.common,
            self.names.all(),
            settings.ttl,
            &policy.restarts,
        );
        let waiting = attempt::Waiting::new(self.reporter, &self.names);
        let on_failure = |failure: &Failure| {
            if attempt::is_around(self.world, failure) || self.is_done(failure) {
                return ControlFlow::Break(());
            }
            waiting.note(failure);
            // There is time for it now, and others shall not wait for it when we have the lock.
            if guard.is_none() {
                *guard = Guard::start().ok();
            }
            ControlFlow::Continue(())
        };
        let acquiring = redlock.acquire(&claim, policy, on_failure, signals.next());
        match waiting.shown(acquiring).await {
            Acquisition::Acquired(held) => {
                self.reporter
                    .tell(&report::acquired(self.names.all(), &held, waiting.waited()));
                Ok(held)
            }
            Acquisition::Failed(failure) => {
                account.failed(&failure);
                Err(self.not_acquired(&failure, waiting.waited()))
            }
            Acquisition::Interrupted(signal) => {
                if let Some(failure) = waiting.latest() {
                    account.waited_for(&failure);
                }
                Err(Stop::silent(Exit::Signal(signal)))
            }
        }
    }

    /// Why there is no lock, as a line and a code.
    fn not_acquired(&self, failure: &Failure, waited: Duration) -> Stop {
        let exit = attempt::exit_of(&failure.verdict, self.settings.conflict_exit);
        let line = match &failure.verdict {
            Verdict::Taken(_) if attempt::is_around(self.world, failure) => {
                report::nested(&self.names, failure)
            }
            Verdict::Taken(_) => {
                let gave_up = self.settings.wait != Wait::No && !self.is_done(failure);
                let waited = gave_up.then_some(waited);
                report::skipped(&self.names, failure, waited)
            }
            _ => report::not_acquired(self.names.all(), failure),
        };
        Stop::telling(exit, line)
    }

    /// Whether a quorum says that the job is done for this period. Who wants it once per period
    /// does not wait for the next one.
    fn is_done(&self, failure: &Failure) -> bool {
        let Verdict::Taken(by) = &failure.verdict else {
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
        let mut set: Vec<(OsString, OsString)> = [
            ("REDLOCK_RESOURCE", resources.join("\n")),
            ("REDLOCK_TOKEN", held.token.as_str().to_owned()),
            ("REDLOCK_FENCING_TOKEN", held.fencing_token.to_string()),
            ("REDLOCK_TTL_MS", self.settings.ttl.as_millis().to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
        if let Some(tokens) = attempt::tokens_around(self.world) {
            set.push((attempt::OUTER_TOKENS.into(), tokens));
        }
        Order {
            command: self.settings.command.clone(),
            set,
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
            // As whenever one comes before there is a command.
            StartError::Signalled(signal) => return Stop::silent(Exit::Signal(*signal)),
            StartError::NotFound(_) => Exit::NotFound,
            StartError::NotExecutable(_) => Exit::NotExecutable,
            StartError::System(_) => Exit::System,
            StartError::TooLate => Exit::Unavailable,
        };
        let command = &self.settings.command;
        let name = command.first().map(|name| name.to_string_lossy());
        // What was meant as the value of an option is the command then.
        let is_before_dashes = self.settings.before == Before::Options
            && command.get(1).is_some_and(|next| next == "--");
        let hint = match error {
            StartError::NotFound(_) | StartError::NotExecutable(_) if is_before_dashes => {
                "; it stands before --, and so was taken for the command (the directory of --local \
                 is written --local=DIR)"
            }
            _ => "",
        };
        let message = format!("cannot run '{}': {error}{hint}", name.unwrap_or_default());
        Stop::new(exit, "not_started", message)
    }
}

fn valid_until(state: &State) -> Instant {
    match state {
        State::Held { until, .. } | State::Unknown { until, .. } => *until,
        // Nothing is ours any more.
        State::Lost(_) => Instant::ORIGIN,
    }
}
