//! A world from its seed to its end, and many of them at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime;
use tokio::task::JoinSet;

use crate::checker::Leftovers;
use crate::client;
use crate::flaws::Flaw;
use crate::plan::{Fault, Kind, Plan, Weather};
use crate::server::Loss;
use crate::world::{Tells, World, sleep_until, with};

/// The longest time that a message which was sent while faults happened is under way.
const LONGEST_WAY_US: u64 = 2_500_000;

/// How often the checker looks for idleness.
const LOOK_US: u64 = 250_000;

/// When the clients must be done, after the faults. Far more than they need.
const PATIENCE_US: u64 = 120_000_000;

/// What came of a world.
pub struct Outcome {
    /// What should never have been.
    pub violations: Vec<String>,
    /// How many times a lock was acquired.
    pub acquired: u64,
    /// When the first was, in true time.
    pub first_acquired_us: Option<u64>,
    /// The sum over everything that happened.
    pub fingerprint: u64,
}

/// Runs the world of `seed`, with something wrong in the algorithm perhaps.
pub fn run(seed: u64, flaw: Flaw, tells: Tells) -> Outcome {
    let mut rng = Rng::with_seed(seed);
    let plan = Plan::draw(&mut rng, flaw);
    if tells == Tells::Everything {
        eprintln!("seed {seed}: {plan:#?}");
    }
    run_plan(rng, plan, tells)
}

/// Runs the world of `plan`.
pub fn run_plan(rng: Rng, plan: Plan, tells: Tells) -> Outcome {
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs nothing");
    runtime.block_on(async {
        World::create(rng, plan, tells);
        story().await;
    });
    // What is still under way looks at the world no more.
    drop(runtime);
    let world = World::end();
    Outcome {
        violations: world.checker.violations,
        acquired: world.checker.acquired,
        first_acquired_us: world.checker.first_acquired_us,
        fingerprint: world.fingerprint,
    }
}

async fn story() {
    let mut clients = JoinSet::new();
    let (count, faults, quiet_from_us) = with(|world| {
        let faults = world.plan.faults.clone();
        (world.plan.habits.len(), faults, world.plan.quiet_from_us)
    });
    for index in 0..count {
        let task = clients.spawn(client::live(index));
        with(|world| world.belongs(task.id(), index));
    }
    for (at_us, fault) in faults {
        tokio::spawn(async move {
            sleep_until(at_us).await;
            happen(fault).await;
        });
    }
    tokio::spawn(calm_down(quiet_from_us));
    let all = async { while clients.join_next().await.is_some() {} };
    let limit = Duration::from_micros(quiet_from_us + PATIENCE_US);
    let done = tokio::time::timeout(limit, all).await;
    with(|world| {
        let now_us = world.now_us();
        if done.is_err() {
            world.checker.violate(now_us, "I8: somebody waits for ever");
        }
        if world.plan.kind == Kind::Crowd
            && (world.checker.acquired, world.checker.skipped) != (1, count as u64 - 1)
        {
            let (ran, skipped) = (world.checker.acquired, world.checker.skipped);
            let what = format!("I8: of {count} that fired at once {ran} ran and {skipped} skipped");
            world.checker.violate(now_us, &what);
        }
    });
    look_for_leftovers().await;
}

/// From the end of the faults on, the network is good, and somebody must get on.
async fn calm_down(quiet_from_us: u64) {
    sleep_until(quiet_from_us).await;
    let (young_us, ttl_us) = with(|world| {
        if matches!(world.plan.kind, Kind::Fair | Kind::Harsh) {
            world.plan.weather = Weather {
                latency_us: 3_000,
                ..Weather::default()
            };
        }
        let ttl = world.plan.longest_ttl();
        (world.plan.window_us(), micros(ttl))
    });
    // Late messages arrive, servers grow old, what they left expires.
    let mut next_us = quiet_from_us + young_us + ttl_us + LONGEST_WAY_US;
    loop {
        sleep_until(next_us).await;
        with(|world| world.checker.look_for_idleness(ttl_us, next_us));
        next_us += LOOK_US;
    }
}

/// Invariant I4: where no message was lost, nothing of a failed attempt is left after quiescence;
/// and anywhere nothing at all beyond the TTL.
async fn look_for_leftovers() {
    let (lossless, ttl_us) = with(|world| {
        let killed = world.plan.habits.iter().any(|habits| habits.killed > 0.0);
        let lossless = matches!(world.plan.kind, Kind::Calm | Kind::Crowd) && !killed;
        (lossless, micros(world.plan.longest_ttl()))
    });
    if lossless {
        tokio::time::sleep(Duration::from_secs(1)).await;
        look(Leftovers::OfHolders);
    }
    // A clock that was set back keeps keys for as much longer.
    tokio::time::sleep(Duration::from_micros(
        LONGEST_WAY_US + 2 * ttl_us + 6_000_000,
    ))
    .await;
    look(Leftovers::None);
}

fn look(leftovers: Leftovers) {
    with(|world| {
        let true_us = world.now_us();
        for (index, host) in world.servers.iter_mut().enumerate() {
            let now = host.now_ms(true_us);
            for (key, token) in host.server.locks(now) {
                world.checker.left(index, key, token, leftovers, true_us);
            }
        }
    });
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("a world lasts for minutes")
}

/// Lets a fault happen, to its end.
async fn happen(fault: Fault) {
    let now = with(|world| {
        world.note(|| format!("{fault:?}"));
        world.now_us()
    });
    match fault {
        Fault::Crash(index, loss, us) => {
            with(|world| {
                let host = &mut world.servers[index];
                let shown = host.now_ms(now);
                host.server.crash(loss, shown);
                if loss != Loss::Nothing {
                    world.checker.wiped(index, now);
                }
            });
            sleep_until(now + us).await;
            with(|world| {
                let now = world.now_us();
                let host = &mut world.servers[index];
                let shown = host.now_ms(now);
                host.server.restart(shown);
            });
        }
        Fault::Block(client, server, us) => with(|world| {
            let until = &mut world.blocked_until_us[client][server];
            *until = (*until).max(now + us);
        }),
        Fault::StopServer(index, us) => with(|world| {
            let until = &mut world.servers[index].stopped_until_us;
            *until = (*until).max(now + us);
        }),
        Fault::StopClient(index, us) => with(|world| {
            let until = &mut world.hosts[index].stopped_until_us;
            *until = (*until).max(now + us);
        }),
        Fault::StepServer(index, by_ms) => with(|world| {
            world.servers[index].stepped_ms += by_ms;
            world.checker.stepped(index, now);
        }),
        Fault::StepClient(index, by_ms) => {
            with(|world| world.hosts[index].wall_error_ms += by_ms);
        }
    }
}

/// The first of the seeds from `first` on, at most `count`, whose world breaks an invariant; and
/// how many worlds were run. On all cores.
pub fn search(first: u64, count: u64, flaw: Flaw) -> (Option<u64>, u64) {
    let next = AtomicU64::new(0);
    let found = AtomicU64::new(u64::MAX);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count || found.load(Ordering::Relaxed) < index {
                        return;
                    }
                    let outcome = run(first + index, flaw, Tells::Nothing);
                    if !outcome.violations.is_empty() {
                        found.fetch_min(index, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let found = found.into_inner();
    let ran = next.into_inner().min(count);
    ((found != u64::MAX).then(|| first + found), ran)
}
