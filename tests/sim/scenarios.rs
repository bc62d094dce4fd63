//! Worlds made by hand: what the restart guard does, step by step.

use std::time::Duration;

use fastrand::Rng;
use redlock::lock::{Patience, RestartGuard, Restarts};

use crate::flaws::Flaw;
use crate::plan::{Fault, Habits, Kind, Plan, Weather};
use crate::run::{Outcome, run_plan};
use crate::server::Loss;
use crate::world::Tells;

const TTL: Duration = Duration::from_secs(2);

/// A client that has a job of `job_us` under a lock that nobody extends.
fn by_hand(job_us: u64) -> Habits {
    Habits {
        keys: vec!["lock:a"],
        ttl: TTL,
        patience: Patience::Forever,
        cycles: 1,
        idle_us: 0,
        job_us: (job_us, job_us),
        by_hand: 1.0,
        killed: 0.0,
        interrupted: 0.0,
        wall_error_ms: 0,
    }
}

/// Three servers on a good network, `faults`, and `clients` that start at once.
fn world(clients: usize, guard: RestartGuard, faults: &[(u64, Fault)]) -> Outcome {
    let plan = Plan {
        kind: Kind::Fair,
        flaw: Flaw::None,
        servers: 3,
        servers_up: Duration::from_hours(1),
        habits: vec![by_hand(1_500_000); clients],
        weather: Weather {
            latency_us: 1_000,
            ..Weather::default()
        },
        faults: faults.to_vec(),
        quiet_from_us: 2_000_000,
        node_timeout: Duration::from_millis(80),
        restarts: Restarts { guard, window: TTL },
    };
    run_plan(Rng::with_seed(7), plan, Tells::Nothing)
}

/// `server` ends at `at_ms` with everything it knew, and is back at once.
fn wiped(server: usize, at_ms: u64) -> (u64, Fault) {
    let crash = Fault::Crash(server, Loss::Everything, 1_000);
    (at_ms * 1_000, crash)
}

/// The first client's lock reaches two servers of three, and one of these is wiped.
fn one_of_two_wiped(guard: RestartGuard) -> Outcome {
    let cut_off = [(0, Fault::Block(0, 2, 1_000_000)), wiped(1, 300)];
    world(2, guard, &cut_off)
}

#[test]
fn one_server_wiped_under_a_holder_makes_no_second_holder() {
    let outcome = one_of_two_wiped(RestartGuard::Auto);
    assert_eq!(outcome.violations, Vec::<String>::new());
    assert_eq!(outcome.acquired, 2);
}

#[test]
fn with_the_guard_off_it_makes_one() {
    let outcome = one_of_two_wiped(RestartGuard::Off);
    assert!(
        outcome.violations[0].contains("I1"),
        "{:?}",
        outcome.violations
    );
}

/// All servers are wiped before the only client comes; when it acquires, in milliseconds.
fn cold_start(guard: RestartGuard) -> u64 {
    let all = [wiped(0, 1), wiped(1, 1), wiped(2, 1)];
    let outcome = world(1, guard, &all);
    assert_eq!(outcome.violations, Vec::<String>::new());
    outcome.first_acquired_us.expect("it waits for ever") / 1_000
}

#[test]
fn a_cold_start_begins_at_once() {
    assert!(cold_start(RestartGuard::Auto) < 1_000);
    assert!(cold_start(RestartGuard::Off) < 1_000);
}

#[test]
fn a_strict_guard_lets_a_cold_start_wait_for_the_window() {
    let acquired_ms = cold_start(RestartGuard::Strict);
    assert!((2_000..4_000).contains(&acquired_ms), "{acquired_ms}");
}
