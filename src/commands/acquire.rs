//! `redlock acquire`: takes a lock by hand and prints its token.
//!
//! The story: open the nodes, listen for signals, acquire, give slow nodes a moment, print.
//! Whatever keeps the token from the user gives the lock back.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Stop, attempt, holder, nodes, runtime, stdout};
use crate::clock::whole_ms;
use crate::exit::Exit;
use crate::job::Signals;
use crate::lock::quorum::Verdict;
use crate::lock::{Acquisition, Audience, Claim, Failure, Held, Policy};
use crate::node::{AnyNode, Parting};
use crate::report::{self, Names, Reporter};
use crate::settings::by_hand::AcquireSettings;
use crate::settings::{Format, Wait, World};

/// Acquires the lock.
///
/// # Errors
///
/// If there is no lock, or nobody to tell its token.
pub fn acquire(
    settings: &AcquireSettings,
    world: &World,
    reporter: Reporter,
) -> Result<Exit, Stop> {
    runtime::run(async {
        let redlock = nodes::open(&settings.common).await?;
        // Before the first byte: a signal that comes now must not leave a key behind.
        let mut signals =
            Signals::listen().map_err(|error| Stop::system("listen for signals", &error))?;
        let name = settings.resource.as_str();
        let names = Names::new(
            std::slice::from_ref(&settings.resource),
            &settings.common.key_format,
        );
        let waiting = attempt::Waiting::new(reporter, &names);
        let on_failure = |failure: &Failure| {
            if attempt::is_around(world, failure) {
                return ControlFlow::Break(());
            }
            waiting.note(failure);
            ControlFlow::Continue(())
        };
        let (claim, policy) = claim(settings, world);
        attempt::mention_window(
            reporter,
            &settings.common,
            name,
            settings.ttl,
            &policy.restarts,
        );
        let acquiring = redlock.acquire(&claim, policy, on_failure, signals.next());
        let mut held = match waiting.shown(acquiring).await {
            Acquisition::Acquired(held) => held,
            Acquisition::Interrupted(signal) => return Err(Stop::silent(Exit::Signal(signal))),
            Acquisition::Failed(failure) => {
                let waited = (settings.wait != Wait::No).then(|| waiting.waited());
                return Err(not_acquired(&names, world, &failure, waited));
            }
        };
        if let Err(stop) = hand_out(&mut held, settings, &mut signals).await {
            // Whoever does not get the token has had no run to tell of.
            let nothing = Arc::new(Parting::default());
            let node_timeout = settings.common.node_timeout;
            held.grip
                .release(&nothing, Audience::All, node_timeout)
                .await;
            return Err(stop);
        }
        reporter.tell(&report::acquired(name, &held, waiting.waited()));
        Ok(Exit::Success)
    })
}

/// Gives slow nodes a moment, and the token to the user.
///
/// # Errors
///
/// If it cannot be given: the lock is to be given back then.
async fn hand_out(
    held: &mut Held<AnyNode>,
    settings: &AcquireSettings,
    signals: &mut Signals,
) -> Result<(), Stop> {
    tokio::select! {
        biased;
        signal = signals.next() => return Err(Stop::silent(Exit::Signal(signal))),
        () = held.hear_the_rest(settings.common.node_timeout) => {}
    }
    let name = settings.resource.as_str();
    // Invariant I3. Nothing is said of a lock that may be somebody else's by now.
    if held.valid_until.has_passed() {
        let line = report::by_hand::too_late(name);
        return Err(Stop::telling(Exit::Unavailable, line));
    }
    print(held, settings).map_err(|error| {
        let line = report::by_hand::token_not_written(name, &error);
        Stop::telling(Exit::System, line)
    })
}

fn claim(settings: &AcquireSettings, world: &World) -> (Claim, Policy) {
    let holder = holder::of_our_parent(world, settings.note.as_deref());
    let resources = std::slice::from_ref(&settings.resource);
    let key_format = &settings.common.key_format;
    let policy = attempt::policy(&settings.common, settings.wait, settings.restarts);
    (
        Claim::new(resources, key_format, settings.ttl, holder),
        policy,
    )
}

fn not_acquired(names: &Names, world: &World, failure: &Failure, waited: Option<Duration>) -> Stop {
    let name = names.all();
    let exit = attempt::exit_of(&failure.verdict, Exit::CONFLICT);
    let line = match &failure.verdict {
        Verdict::Taken(_) if attempt::is_around(world, failure) => report::nested(names, failure),
        Verdict::Taken(_) => report::by_hand::not_free(name, failure, waited),
        _ => report::by_hand::not_acquired(name, failure),
    };
    Stop::telling(exit, line)
}

/// Prints the token: the only time that anything of ours does.
fn print(held: &Held<AnyNode>, settings: &AcquireSettings) -> std::io::Result<()> {
    let token = held.token.as_str();
    let text = match settings.format {
        Format::Text => token.to_owned(),
        Format::Json => report::json_text(&json!({
            "resource": settings.resource.as_str(),
            "token": token,
            "fencing_token": held.fencing_token,
            "ttl_ms": whole_ms(settings.ttl),
            "valid_ms": whole_ms(held.valid_until.remaining()),
            "nodes": report::by_hand::votes_json(&held.named_votes()),
        })),
    };
    stdout::put(&format!("{text}\n"))
}
