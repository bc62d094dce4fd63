//! Hundreds who wait for one lock, on a good local network.
//!
//! The real `Redlock::acquire` with the real ear, and release notices that are simulated. No faults
//! of servers but that some hang, no clocks that differ: that the lock stays one is shown elsewhere.
//! What is counted here is what waiting costs.

use std::cell::Cell;
use std::future::{Future, pending};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use redlock::clock::{self, Instant, Reading};
use redlock::lock::{
    Acquisition, Audience, Claim, Holder, KeyFormat, Patience, Policy, Redlock, Resource,
    RestartGuard, Restarts,
};
use redlock::node::{
    Answer, Ballot, Entry, Extension, Node, NodeError, NodeName, Notice, Notices, Parting, Raised,
    Release, Vote,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use crate::server::Server;

const EPOCH_MS: u64 = 1_800_000_000_000;
const NODE_TIMEOUT: Duration = Duration::from_millis(80);
const JOB: Duration = Duration::from_millis(2);
const TTL: Duration = Duration::from_secs(2);

/// The longest that a message takes, one way.
const LATENCY_US: u64 = 250;

/// How many times as long a message to or from a far host takes.
const FAR: u32 = 20;

/// A crowd.
#[derive(Clone, Copy)]
struct Crowd {
    waiters: usize,
    /// How often each wants the lock.
    turns: usize,
    /// The part of the notices that are lost.
    lost: f64,
    /// The part of the waiters that die at some time.
    dying: f64,
    /// Whether the servers tell how many listen, as they should.
    counts: bool,
    /// How many of them are far from the servers. They want the lock once each.
    far: usize,
    servers: usize,
    /// How many of them hang.
    hung: usize,
}

const FIFTY: Crowd = Crowd {
    waiters: 50,
    turns: 1,
    lost: 0.0,
    dying: 0.0,
    counts: true,
    far: 0,
    servers: 3,
    hung: 0,
};
const FIVE_HUNDRED: Crowd = Crowd {
    waiters: 500,
    ..FIFTY
};

/// What came of a crowd.
#[derive(Debug, Default)]
struct Outcome {
    ran: usize,
    died: usize,
    /// Requests that reached a server, and listeners that came.
    requests: usize,
    /// Who was woken by a release, on each server.
    notices: usize,
    /// From wanting the lock to having it, each time.
    waits: Vec<Duration>,
    /// Those of them that were waited far from the servers.
    far_waits: Vec<Duration>,
    total: Duration,
}

impl Outcome {
    /// What a server is asked from one job to the next.
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    fn requests_per_hand_over(&self, crowd: Crowd) -> f64 {
        self.requests as f64 / (crowd.servers * self.ran) as f64
    }

    /// How many are woken by a release on one server.
    fn woken(&self, crowd: Crowd) -> usize {
        self.notices / (crowd.servers * self.ran)
    }

    /// The longest time in which nobody got the lock: all have wanted it since the beginning.
    fn longest_gap(&self) -> Duration {
        let mut began = self.waits.clone();
        began.push(Duration::ZERO);
        began.sort_unstable();
        let gaps = began.windows(2).map(|two| two[1].saturating_sub(two[0]));
        gaps.max().unwrap_or_default()
    }

    fn longest_wait(&self) -> Duration {
        self.waits.iter().copied().max().unwrap_or_default()
    }
}

/// The servers, who listens to them, and what was seen so far.
struct Lan {
    rng: Rng,
    crowd: Crowd,
    servers: Vec<Server>,
    listeners: Vec<Vec<Listener>>,
    next_listener: u64,
    is_held: bool,
    outcome: Outcome,
}

impl Lan {
    fn latency(&mut self) -> Duration {
        Duration::from_micros(self.rng.u64(50..LATENCY_US))
    }

    /// How many listen to `server`, if it tells.
    fn count(&self, server: usize) -> u32 {
        let count = u32::try_from(self.listeners[server].len()).expect("hundreds");
        if self.crowd.counts { count } else { 0 }
    }

    /// Tells all who listen to `server`, each in its time.
    fn publish(&mut self, server: usize) {
        self.outcome.notices += self.listeners[server].len();
        let listeners = self.count(server).max(1);
        for Listener { distance, tell, .. } in self.listeners[server].clone() {
            let latency = self.latency() * distance;
            if self.rng.f64() < self.crowd.lost {
                continue;
            }
            tokio::spawn(async move {
                tokio::time::sleep(latency).await;
                let _ = tell.send(Notice {
                    listeners,
                    taken: None,
                });
            });
        }
    }
}

/// Somebody who listens to a server.
#[derive(Clone)]
struct Listener {
    id: u64,
    distance: u32,
    tell: UnboundedSender<Notice>,
}

type Shared = Arc<Mutex<Lan>>;

fn look(lan: &Shared) -> MutexGuard<'_, Lan> {
    lan.lock().expect("nobody panics with it")
}

/// A server as one waiter sees it.
struct Port {
    name: NodeName,
    server: usize,
    /// How many times as long as nearby a message takes.
    distance: u32,
    lan: Shared,
    may_hold_a_key: AtomicBool,
}

impl Port {
    /// Nobody waits for longer than `limit`, which counts for servers that hang alone: the others
    /// are near.
    async fn ask<R>(&self, limit: Duration, act: impl FnOnce(&mut Lan, u64) -> R) -> Answer<R> {
        self.way().await;
        if self.server < look(&self.lan).crowd.hung {
            tokio::time::sleep(limit).await;
            return Err(NodeError::TimedOut(limit));
        }
        let answer = {
            let mut lan = look(&self.lan);
            lan.outcome.requests += 1;
            act(&mut lan, clock::unix_ms())
        };
        self.way().await;
        Ok(answer)
    }

    fn way(&self) -> impl Future<Output = ()> + use<> {
        let latency = look(&self.lan).latency() * self.distance;
        tokio::time::sleep(latency)
    }
}

impl Node for Port {
    fn name(&self) -> &NodeName {
        &self.name
    }

    async fn acquire(&self, entry: Arc<Entry>, ballot: Ballot, limit: Duration) -> Answer<Vote> {
        self.may_hold_a_key.store(true, Ordering::Relaxed);
        let server = self.server;
        let ask = |lan: &mut Lan, now| {
            let mut vote = lan.servers[server].acquire(server, &entry, ballot, now);
            if let Vote::Taken { listeners, .. } = &mut vote {
                *listeners = lan.count(server);
            }
            vote
        };
        self.ask(limit, ask).await
    }

    async fn raise(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Raised> {
        let ask = |lan: &mut Lan, now| lan.servers[self.server].raise(&entry, fence, now);
        self.ask(limit, ask).await
    }

    async fn extend(&self, _: Arc<Entry>, _: u64, _: Duration) -> Answer<Extension> {
        unreachable!("these jobs are quick")
    }

    async fn heal(&self, _: Arc<Entry>, _: u64, _: Duration) -> Answer<Extension> {
        unreachable!("these jobs are quick")
    }

    async fn release(
        &self,
        entry: Arc<Entry>,
        parting: Arc<Parting>,
        limit: Duration,
    ) -> Answer<Release> {
        let ask = |lan: &mut Lan, now| {
            let release = lan.servers[self.server].release(&entry, now);
            if matches!(release, Release::Released { .. }) && !parting.quiet {
                lan.publish(self.server);
            }
            release
        };
        self.ask(limit, ask).await
    }

    async fn listen(&self, _: Arc<[String]>, limit: Duration) -> Answer<Notices> {
        // To connect, and to subscribe.
        self.way().await;
        self.way().await;
        let (lan, server, distance) = (Arc::clone(&self.lan), self.server, self.distance);
        self.ask(limit, |_, _| ()).await?;
        Ok(Notices::from_task(move |tell| {
            let mut shared = look(&lan);
            let id = shared.next_listener;
            shared.next_listener += 1;
            shared.listeners[server].push(Listener { id, distance, tell });
            drop(shared);
            let line = Line { id, server, lan };
            async move {
                let _line = line;
                pending::<()>().await;
            }
        }))
    }

    fn may_hold_a_key(&self) -> bool {
        self.may_hold_a_key.load(Ordering::Relaxed)
    }

    fn is_in_touch(&self) -> bool {
        true
    }

    fn reconnect(&self) {}
}

/// A connection on which somebody listens, until it is closed.
struct Line {
    id: u64,
    server: usize,
    lan: Shared,
}

impl Drop for Line {
    fn drop(&mut self) {
        look(&self.lan).listeners[self.server].retain(|listener| listener.id != self.id);
    }
}

thread_local! {
    static BEGAN: Cell<Option<tokio::time::Instant>> = const { Cell::new(None) };
}

/// One clock for all.
#[expect(
    clippy::disallowed_methods,
    reason = "true time is tokio's paused clock"
)]
fn reading() -> Reading {
    let began = BEGAN.get().expect("a crowd has begun");
    let since = tokio::time::Instant::now().duration_since(began);
    let ms = u64::try_from(since.as_millis()).expect("minutes");
    Reading {
        now: Instant::from_boot(Duration::from_secs(1000) + since),
        unix_ms: EPOCH_MS + ms,
    }
}

/// Lets all of `crowd` want the lock at once.
#[expect(
    clippy::disallowed_methods,
    reason = "true time is tokio's paused clock"
)]
fn gather(crowd: Crowd, seed: u64) -> Outcome {
    let lan: Shared = Arc::new(Mutex::new(Lan {
        rng: Rng::with_seed(seed),
        crowd,
        servers: (0..crowd.servers)
            .map(|_| Server::new(EPOCH_MS - 3_600_000))
            .collect(),
        listeners: vec![Vec::new(); crowd.servers],
        next_listener: 0,
        is_held: false,
        outcome: Outcome::default(),
    }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs nothing");
    runtime.block_on(async {
        BEGAN.set(Some(tokio::time::Instant::now()));
        clock::simulate(reading);
        let mut waiters: JoinSet<()> = (0..crowd.waiters)
            .map(|waiter| wait(waiter, Arc::clone(&lan)))
            .collect();
        while let Some(joined) = waiters.join_next().await {
            joined.expect("a waiter does not panic");
        }
        look(&lan).outcome.total = clock::now()
            .since_boot()
            .saturating_sub(Duration::from_secs(1000));
    });
    drop(runtime);
    std::mem::take(&mut look(&lan).outcome)
}

async fn wait(waiter: usize, lan: Shared) {
    let (dies, dies_after, turns, distance) = {
        let mut lan = look(&lan);
        let dies = lan.rng.f64() < lan.crowd.dying;
        let (turns, distance) = if waiter < lan.crowd.far {
            (1, FAR)
        } else {
            (lan.crowd.turns, 1)
        };
        (dies, lan.rng.u64(0..200), turns, distance)
    };
    let turns = async {
        for _ in 0..turns {
            turn(waiter, distance, &lan).await;
        }
    };
    if !dies {
        return turns.await;
    }
    tokio::select! {
        biased;
        () = tokio::time::sleep(Duration::from_millis(dies_after)) => look(&lan).outcome.died += 1,
        () = turns => {}
    }
}

/// One run of redlock.
async fn turn(waiter: usize, distance: u32, lan: &Shared) {
    let began = clock::now();
    let (servers, rng) = {
        let mut lan = look(lan);
        (lan.crowd.servers, lan.rng.fork())
    };
    let port = |server| Port {
        name: NodeName(format!("server-{server}")),
        server,
        distance,
        lan: Arc::clone(lan),
        may_hold_a_key: AtomicBool::new(false),
    };
    let redlock = Redlock::new((0..servers).map(port).collect());
    let holder = Holder {
        host: format!("host-{waiter}"),
        pid: 1,
        user: "sim".to_owned(),
        command: None,
        note: None,
        since: "2027-01-15T08:00:00Z".to_owned(),
    };
    let resource = Resource::new("job").expect("a good name");
    let verbatim = KeyFormat::new("{}").expect("one pair of braces");
    let claim = Claim::new(&[resource], &verbatim, TTL, holder);
    let policy = Policy {
        node_timeout: NODE_TIMEOUT,
        patience: Patience::Forever,
        restarts: Restarts {
            guard: RestartGuard::Off,
            window: Duration::ZERO,
        },
        rng,
    };
    let go_on = |_: &_| ControlFlow::Continue(());
    let acquiring = redlock.acquire(&claim, policy, go_on, pending::<()>());
    let Acquisition::Acquired(mut held) = acquiring.await else {
        panic!("{waiter} gave up");
    };
    {
        let mut lan = look(lan);
        assert!(!lan.is_held, "two at once");
        lan.is_held = true;
        let wait = clock::now().since(began);
        lan.outcome.waits.push(wait);
        if distance > 1 {
            lan.outcome.far_waits.push(wait);
        }
    }
    let job = Job(Arc::clone(lan));
    tokio::time::sleep(JOB).await;
    drop(job);
    held.grip
        .release(&Arc::default(), Audience::Quorum, NODE_TIMEOUT)
        .await;
}

/// A job that runs.
struct Job(Shared);

impl Drop for Job {
    fn drop(&mut self) {
        let mut lan = look(&self.0);
        lan.is_held = false;
        lan.outcome.ran += 1;
    }
}

#[test]
fn a_crowd_ten_times_as_large_costs_each_hand_over_less_than_half_as_much_again() {
    for seed in 0..5 {
        let (few, many) = (gather(FIFTY, seed), gather(FIVE_HUNDRED, seed));
        assert_eq!((few.ran, many.ran), (50, 500), "seed {seed}");
        let (few, many) = (
            few.requests_per_hand_over(FIFTY),
            many.requests_per_hand_over(FIVE_HUNDRED),
        );
        assert!(
            few < 12.0 && many < 1.5 * few,
            "seed {seed}: {few} and {many}"
        );
    }
}

#[test]
fn if_nobody_knew_how_many_listen_everybody_would_try_at_once() {
    let unknown = Crowd {
        counts: false,
        ..FIFTY
    };
    for seed in 0..5 {
        let requests = gather(unknown, seed).requests_per_hand_over(unknown);
        assert!(requests > 24.0, "seed {seed}: {requests}");
    }
}

#[test]
fn nobody_of_a_crowd_waits_three_times_as_long_as_the_average() {
    for seed in 0..5 {
        for crowd in [FIFTY, FIVE_HUNDRED] {
            let outcome = gather(crowd, seed);
            let count = u32::try_from(outcome.waits.len()).expect("hundreds");
            let average = outcome.waits.iter().sum::<Duration>() / count;
            let longest = outcome.longest_wait();
            assert!(
                longest < 3 * average,
                "seed {seed}: {longest:?}, {average:?}"
            );
        }
    }
}

#[test]
fn who_comes_again_and_again_lets_the_others_have_their_turns() {
    let busy = Crowd {
        waiters: 20,
        turns: 20,
        ..FIFTY
    };
    for seed in 0..20 {
        let outcome = gather(busy, seed);
        assert_eq!(outcome.ran, 400, "seed {seed}");
        // Chance has no memory, so some wait for several rounds.
        let mut waits = outcome.waits;
        waits.sort_unstable();
        let (round, late) = (outcome.total / 20, waits[waits.len() * 9 / 10]);
        assert!(late < 4 * round, "seed {seed}: {late:?}, {round:?}");
    }
}

#[test]
fn who_is_far_from_the_servers_has_his_turn_among_those_who_come_again_and_again() {
    const SEEDS: u32 = 20;
    const TURNS: u32 = 60;
    let one_far = Crowd {
        waiters: 20,
        turns: TURNS as usize,
        far: 1,
        ..FIFTY
    };
    // In rounds in which each of the others has the lock once.
    let mut sum = 0.0;
    for seed in 0..SEEDS {
        let outcome = gather(one_far, seed.into());
        let round = outcome.total / TURNS;
        let rounds = outcome.far_waits[0].div_duration_f64(round);
        assert!(rounds < 20.0, "seed {seed}: {rounds} rounds");
        sum += rounds;
    }
    let average = sum / f64::from(SEEDS);
    assert!(average < 5.0, "{average} rounds on the average");
}

#[test]
fn notices_that_are_lost_cost_time_and_nobody_his_turn() {
    for (seed, lost) in [(0, 0.3), (1, 0.3), (2, 0.3), (3, 1.0), (4, 1.0)] {
        let outcome = gather(Crowd { lost, ..FIFTY }, seed);
        assert_eq!(outcome.ran, 50, "seed {seed}");
        // Each looks about once a second.
        let total = outcome.total;
        assert!(total < Duration::from_secs(5), "seed {seed}: {total:?}");
    }
}

#[test]
fn waiters_who_die_cost_the_others_no_more_than_the_time_of_a_lock() {
    for seed in 0..20 {
        let dying = Crowd {
            dying: 0.4,
            ..FIFTY
        };
        let (alive, outcome) = (gather(FIFTY, seed), gather(dying, seed));
        assert!(
            outcome.died > 0 && outcome.ran + outcome.died >= 50,
            "seed {seed}: {outcome:?}"
        );
        // Who died with the lock, or while asking for it, has it until it expires.
        let (total, limit) = (outcome.total, alive.total + 2 * TTL);
        assert!(total < limit, "seed {seed}: {total:?}, {limit:?}");
    }
}

#[test]
fn of_a_large_crowd_a_release_wakes_only_some() {
    let unknown = Crowd {
        counts: false,
        ..FIVE_HUNDRED
    };
    let some = gather(FIVE_HUNDRED, 0).woken(FIVE_HUNDRED);
    let all = gather(unknown, 0).woken(unknown);
    assert!(some < 60 && all > 200, "{some} and {all}");
}

#[test]
fn a_crowd_in_which_servers_hang_does_not_block_itself() {
    for (servers, hung) in [(3, 1), (5, 2)] {
        // Far enough from the servers for collisions.
        let crowd = Crowd {
            waiters: 100,
            far: 100,
            servers,
            hung,
            ..FIFTY
        };
        for seed in 0..3 {
            let outcome = gather(crowd, seed);
            assert_eq!(outcome.ran, 100, "seed {seed}");
            let (gap, requests) = (outcome.longest_gap(), outcome.requests_per_hand_over(crowd));
            assert!(
                gap < Duration::from_secs(2) && requests < 24.0,
                "{hung} of {servers}, seed {seed}: {gap:?}, {requests}"
            );
        }
    }
}
