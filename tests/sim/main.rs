//! A simulated world for the lock: real clients, simulated servers, network and clocks.
//!
//! `Redlock::acquire`, `Lease::keep` and the release are those of the crate; around them everything
//! is made up, and a seed decides it: how long each message takes and whether it is lost before or
//! after it was applied, which server ends with how much of its data, who is stopped, killed or cut
//! off, how fast each clock runs. Time is virtual, so that a world of ten seconds takes a
//! millisecond.
//!
//! In reading order: [`plan`] draws what shall happen, [`world`] has the hosts and their clocks,
//! [`server`] does what the scripts do, [`network`] carries messages, [`sim_node`] is a
//! server as a client sees it, [`client`] is a run of redlock,
//! [`checker`] watches, [`run`] puts it all together. [`flaws`] are wrong algorithms that must be
//! found out, [`scenarios`] worlds made by hand, [`model`] checks the fencing rounds exhaustively
//! with [`search`], [`crowds`] counts what many who wait cost, and [`differential`] compares the
//! simulated server with a real one.
//!
//! `REDLOCK_SIM_SEEDS=n` runs so many worlds instead of 20,000, `REDLOCK_SIM_FIRST=n` begins with
//! that seed, and `REDLOCK_SIM_SEED=n` replays one and tells all that happens in it.

mod checker;
mod client;
mod crowds;
mod differential;
mod flaws;
mod model;
mod network;
mod plan;
mod run;
mod scenarios;
mod search;
mod server;
mod sim_node;
mod world;

use flaws::Flaw;
use run::{run, search};
use world::Tells;

/// How many worlds `cargo test` runs.
const SEEDS: u64 = 20_000;

/// How many worlds it may take to find out a flaw. The slowest took some four hundred.
const SEEDS_FOR_A_FLAW: u64 = 4_000;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}: '{text}' is no number")))
}

#[test]
fn no_seed_breaks_an_invariant() {
    let first = number("REDLOCK_SIM_FIRST").unwrap_or(0);
    let seeds = number("REDLOCK_SIM_SEEDS").unwrap_or(SEEDS);
    if let (Some(seed), _) = search(first, seeds, Flaw::None) {
        let violations = run(seed, Flaw::None, Tells::Nothing).violations.join("; ");
        panic!(
            "seed {seed}: {violations}\nreplay: REDLOCK_SIM_SEED={seed} cargo test --test sim replay -- --nocapture"
        );
    }
}

#[test]
fn a_seed_replays_the_same_world() {
    // The one to look at, told in full, or a few.
    let asked_for = number("REDLOCK_SIM_SEED");
    for seed in asked_for.map_or(0..20, |seed| seed..seed + 1) {
        let tells = asked_for.map_or(Tells::Nothing, |_| Tells::Everything);
        let outcome = run(seed, Flaw::None, tells);
        let again = run(seed, Flaw::None, Tells::Nothing);
        assert_eq!(outcome.fingerprint, again.fingerprint, "seed {seed}");
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
    }
}

/// Finds the flaw out by an invariant whose name is one of `invariants`.
fn find_out(flaw: Flaw, invariants: &[&str]) {
    let (found, ran) = search(0, SEEDS_FOR_A_FLAW, flaw);
    let seed = found.unwrap_or_else(|| panic!("{ran} worlds did not show {flaw:?}"));
    let violations = run(seed, flaw, Tells::Nothing).violations;
    eprintln!("{flaw:?} was found out by seed {seed}: {}", violations[0]);
    let named = invariants.iter().any(|name| violations[0].contains(name));
    assert!(named, "{flaw:?} broke something else: {violations:?}");
}

#[test]
fn without_a_restart_guard_two_hold_the_lock() {
    find_out(Flaw::NoRestartGuard, &["I1", "I2"]);
}

#[test]
fn without_a_second_round_fencing_tokens_do_not_grow() {
    find_out(Flaw::NoSecondRound, &["I2"]);
}

#[test]
fn validity_from_the_end_of_the_round_lets_two_hold_the_lock() {
    find_out(Flaw::ValidityFromTheEnd, &["I1"]);
}

#[test]
fn a_release_of_anybodys_key_lets_two_hold_the_lock() {
    find_out(Flaw::ReleaseOfAnybody, &["I1"]);
}

#[test]
fn an_extension_that_creates_keys_lets_two_hold_the_lock() {
    find_out(Flaw::ExtensionCreates, &["I1"]);
}

#[test]
fn a_minority_taken_for_a_held_lock_makes_all_contenders_skip() {
    find_out(Flaw::MinorityIsHeld, &["I8"]);
}
