//! One world: its time, its hosts with their clocks, and the seed that decides everything in it.
//!
//! A world lives on one thread, in a thread-local, since `clock::now()` is a function of no
//! arguments and must find the host that asks. All time is tokio's paused clock, in true
//! microseconds since the world began; it jumps to the next timer as soon as nobody has anything to
//! do.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use redlock::clock::{self, Instant, Reading};
use redlock::lock::quorum::majority;
use tokio::task;

use crate::checker::Checker;
use crate::network::Connection;
use crate::plan::Plan;
use crate::server::Server;

/// The wall clock when a world begins, in milliseconds since 1970.
const EPOCH_MS: u64 = 1_800_000_000_000;

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// A clock that runs at its own rate.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Its seconds in a true second.
    pub rate: f64,
    /// What it shows when the world begins.
    pub offset_us: u64,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a world lasts for minutes"
)]
impl Clock {
    /// What it shows at the true time `true_us`.
    pub fn at(&self, true_us: u64) -> u64 {
        self.offset_us + (true_us as f64 * self.rate) as u64
    }

    /// The true time at which it shows `shown_us`, rounded up.
    pub fn when(&self, shown_us: u64) -> u64 {
        (shown_us.saturating_sub(self.offset_us) as f64 / self.rate).ceil() as u64
    }
}

/// A host on which a client runs.
pub struct Host {
    /// Boot time.
    pub clock: Clock,
    /// By how much its wall clock is wrong.
    pub wall_error_ms: i64,
    /// Until when its processes are stopped, in true time.
    pub stopped_until_us: u64,
}

/// A server, and the host it runs on.
pub struct ServerHost {
    /// The server.
    pub server: Server,
    /// Wall clock; Redis' TTLs are measured by it.
    pub clock: Clock,
    /// What was added to the wall clock by hand.
    pub stepped_ms: i64,
    /// Until when the server is stopped, in true time.
    pub stopped_until_us: u64,
}

impl ServerHost {
    /// What the server's clock shows at `true_us`.
    pub fn now_ms(&self, true_us: u64) -> u64 {
        (EPOCH_MS + self.clock.at(true_us) / 1000).saturating_add_signed(self.stepped_ms)
    }
}

/// Everything there is.
pub struct World {
    /// What decides.
    pub rng: Rng,
    /// What shall happen.
    pub plan: Plan,
    /// The servers, in the order of the configuration.
    pub servers: Vec<ServerHost>,
    /// Where the clients run.
    pub hosts: Vec<Host>,
    /// Every connection that was ever opened.
    pub connections: Vec<Connection>,
    /// For each client and server, until when nothing gets through between them.
    pub blocked_until_us: Vec<Vec<u64>>,
    /// Who watches.
    pub checker: Checker,
    /// A sum over everything that happened: two runs of one seed have the same.
    pub fingerprint: u64,
    /// Whether to print what happens.
    pub tells: Tells,
    began: tokio::time::Instant,
    tasks: Vec<(task::Id, usize)>,
    /// The clients that have started a task of which nothing was heard yet, in that order.
    expected: VecDeque<usize>,
}

/// Whether a world prints what happens in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    /// Each message: for a replay.
    Everything,
    /// For all others.
    Nothing,
}

impl World {
    /// Makes the world of `plan`, and puts it on this thread. In a runtime with paused time.
    #[expect(
        clippy::disallowed_methods,
        reason = "the true time of a world is tokio's paused clock"
    )]
    pub fn create(mut rng: Rng, plan: Plan, tells: Tells) {
        // Together less than the one percent that the drift allows for.
        let mut clock = |offset_us| Clock {
            rate: 1.0 + (rng.f64() - 0.5) * 0.0096,
            offset_us,
        };
        let up_ms = u64::try_from(plan.servers_up.as_millis()).expect("an hour at most");
        let servers = (0..plan.servers).map(|_| {
            let clock = clock(0);
            ServerHost {
                server: Server::new(EPOCH_MS - up_ms),
                clock,
                stepped_ms: 0,
                stopped_until_us: 0,
            }
        });
        let servers: Vec<ServerHost> = servers.collect();
        let hosts = plan.habits.iter().enumerate().map(|(index, habits)| Host {
            clock: clock(1_000_000_000 * (index as u64 + 1)),
            wall_error_ms: habits.wall_error_ms,
            stopped_until_us: 0,
        });
        let hosts: Vec<Host> = hosts.collect();
        let checker = Checker::new(majority(plan.servers), plan.window_us());
        let world = World {
            rng,
            blocked_until_us: vec![vec![0; servers.len()]; hosts.len()],
            servers,
            hosts,
            plan,
            connections: Vec::new(),
            checker,
            fingerprint: 0,
            tells,
            began: tokio::time::Instant::now(),
            tasks: Vec::new(),
            expected: VecDeque::new(),
        };
        WORLD.set(Some(world));
        clock::simulate(reading);
    }

    /// Takes the world off this thread.
    pub fn end() -> World {
        WORLD.take().expect("it was created")
    }

    /// The true time since the world began.
    #[expect(
        clippy::disallowed_methods,
        reason = "the true time of a world is tokio's paused clock"
    )]
    pub fn now_us(&self) -> u64 {
        let since = tokio::time::Instant::now().duration_since(self.began);
        u64::try_from(since.as_micros()).expect("a world lasts for minutes")
    }

    /// True with probability `chance`.
    pub fn chance(&mut self, chance: f64) -> bool {
        chance > 0.0 && self.rng.f64() < chance
    }

    /// When `instant` of the clock of `client` is in true time.
    pub fn true_us(&self, client: usize, instant: Instant) -> u64 {
        let shown = u64::try_from(instant.since_boot().as_micros()).unwrap_or(u64::MAX);
        self.hosts[client].clock.when(shown)
    }

    /// Notes that something happened.
    pub fn note(&mut self, what: impl FnOnce() -> String) {
        let now = self.now_us();
        // Any cheap sum will do; the text is made only for who reads it.
        self.fingerprint = (self.fingerprint.rotate_left(5) ^ now).wrapping_mul(0x9e37_79b9);
        if self.tells == Tells::Everything {
            eprintln!("{:>9.3}ms {}", now_as_ms(now), what());
        }
    }

    /// From now on the task `id` is of `client`.
    pub fn belongs(&mut self, id: task::Id, client: usize) {
        self.tasks.push((id, client));
    }

    /// `client` has just started a task that will look at its clock: the keeper of a lease. The
    /// runtime runs tasks in the order in which they were started, so the next stranger is that
    /// one.
    pub fn expect_task(&mut self, client: usize) {
        self.expected.push_back(client);
    }

    /// Whose clock the running task reads.
    fn reader(&mut self) -> usize {
        let id = task::try_id().expect("only tasks of clients read their clocks");
        let known = self.tasks.iter().rev().find(|(task, _)| *task == id);
        if let Some(&(_, client)) = known {
            return client;
        }
        let client = self.expected.pop_front();
        let client = client.expect("a task that reads the clock was started by a client");
        self.belongs(id, client);
        client
    }
}

#[expect(clippy::cast_precision_loss, reason = "for reading only")]
fn now_as_ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

/// Does something in the world of this thread.
pub fn with<R>(act: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(|world| act(world.as_mut().expect("a world is on this thread")))
}

/// What the clocks of the asking host show.
fn reading() -> Reading {
    with(|world| {
        let client = world.reader();
        let true_us = world.now_us();
        let host = &world.hosts[client];
        let shown_us = host.clock.at(true_us);
        let since_start_ms = (shown_us - host.clock.offset_us) / 1000;
        let unix_ms = (EPOCH_MS + since_start_ms).saturating_add_signed(host.wall_error_ms);
        Reading {
            now: Instant::from_boot(Duration::from_micros(shown_us)),
            unix_ms,
        }
    })
}

/// Sleeps until the true time `us`.
pub async fn sleep_until(us: u64) {
    let now = with(|world| world.now_us());
    if us > now {
        tokio::time::sleep(Duration::from_micros(us - now)).await;
    }
}
