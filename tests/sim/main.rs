//! A simulated world for the lock: real clients, simulated servers, network and clocks.

mod checker;
mod client;
mod flaws;
mod network;
mod plan;
mod run;
mod server;
mod world;

use std::time::Duration;

use flaws::Flaw;
use run::{run, search};
use world::Tells;

/// How many worlds `cargo test` runs.
const SEEDS: u64 = 20_000;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}: '{text}' is no number")))
}

/// Ends the test with all there is to know about `seed`.
fn fail(seed: u64, flaw: Flaw) -> ! {
    let violations = run(seed, flaw, Tells::Nothing).violations;
    panic!(
        "seed {seed}: {}\nreplay: REDLOCK_SIM_SEED={seed} cargo test --test sim -- --nocapture replay",
        violations.join("; ")
    );
}

#[test]
fn no_seed_breaks_an_invariant() {
    let seeds = number("REDLOCK_SIM_SEEDS").unwrap_or(SEEDS);
    let (found, _) = search(0, seeds, Flaw::None);
    if let Some(seed) = found {
        fail(seed, Flaw::None);
    }
}

#[test]
fn replay() {
    if let Some(seed) = number("REDLOCK_SIM_SEED") {
        let outcome = run(seed, Flaw::None, Tells::Everything);
        assert!(outcome.violations.is_empty(), "{:?}", outcome.violations);
    }
}

#[test]
fn flaws() {
    for flaw in [
        Flaw::NoRestartGuard,
        Flaw::NoSecondRound,
        Flaw::ValidityFromTheEnd,
        Flaw::ReleaseOfAnybody,
        Flaw::ExtensionCreates,
        Flaw::MinorityIsHeld,
    ] {
        let (found, ran) = search(0, 3000, flaw);
        eprintln!(
            "{flaw:?}: {found:?} {ran}: {:?}",
            found.map(|s| run(s, flaw, Tells::Nothing).violations)
        );
    }
}
