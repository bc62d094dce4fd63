//! What a seed decides before a world begins: who does what, the weather on the network, the
//! faults.

use std::time::Duration;

use fastrand::Rng;
use redlock::lock::{Patience, RestartGuard, Restarts};

use crate::flaws::Flaw;
use crate::server::Loss;

/// What a world is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Slow answers and nothing worse: nothing of a failed attempt may stay.
    Calm,
    /// Hosts that fire in the same instant and do not wait: exactly one of them runs.
    Crowd,
    /// Every fault that the lock promises to survive.
    Fair,
    /// More than that: a majority wiped, clocks set. Some promises are off, the rest must hold.
    Harsh,
}

/// What one client does.
#[derive(Clone, Debug)]
pub struct Habits {
    /// What it wants to hold.
    pub keys: Vec<&'static str>,
    /// For how long others stay locked out if it dies.
    pub ttl: Duration,
    /// For how long it tries.
    pub patience: Patience,
    /// How often it does all that.
    pub cycles: u32,
    /// The longest time before it tries.
    pub idle_us: u64,
    /// The least and the longest time of a job.
    pub job_us: (u64, u64),
    /// How likely it takes the lock by hand, and nobody extends it.
    pub by_hand: f64,
    /// How likely it is killed in the middle of anything.
    pub killed: f64,
    /// How likely somebody loses patience while it waits.
    pub interrupted: f64,
    /// By how much the wall clock of its host is wrong.
    pub wall_error_ms: i64,
}

/// What may happen to a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// The longest time a message usually takes.
    pub latency_us: u64,
    /// How likely one takes longer.
    pub tail: f64,
    /// The longest time that one takes.
    pub tail_us: u64,
    /// How likely one is lost with its connection, on each way.
    pub lost: f64,
    /// How likely one is applied again some time later.
    pub doubled: f64,
}

/// What may happen to a host.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The server ends, and starts again after some time.
    Crash(usize, Loss, u64),
    /// Nothing gets through between a client and a server.
    Block(usize, usize, u64),
    /// The server is stopped and continued, as by SIGSTOP.
    StopServer(usize, u64),
    /// The client is.
    StopClient(usize, u64),
    /// The server's wall clock is set.
    StepServer(usize, i64),
    /// The client's is.
    StepClient(usize, i64),
}

/// A whole world, before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is about.
    pub kind: Kind,
    /// What is wrong with the algorithm.
    pub flaw: Flaw,
    /// How many servers.
    pub servers: usize,
    /// How long they have been up when the world begins.
    pub servers_up: Duration,
    /// Who does what.
    pub habits: Vec<Habits>,
    /// What may happen to messages while faults happen.
    pub weather: Weather,
    /// When what goes wrong.
    pub faults: Vec<(u64, Fault)>,
    /// From when on nothing goes wrong any more.
    pub quiet_from_us: u64,
    /// The bound on an answer.
    pub node_timeout: Duration,
    /// Whether servers that restarted may grant.
    pub restarts: Restarts,
}

impl Plan {
    /// The plan of a seed. A flaw that only shows in some kind of world gets that kind.
    pub fn draw(rng: &mut Rng, flaw: Flaw) -> Self {
        let kind = flaw.shows_in().unwrap_or_else(|| match rng.u32(0..100) {
            0..15 => Kind::Calm,
            15..30 => Kind::Crowd,
            30..85 => Kind::Fair,
            _ => Kind::Harsh,
        });
        let servers = [3, 3, 3, 3, 5, 5, 1, 4][rng.usize(0..8)];
        let ttl_ms = [500, 800, 1200, 2000][rng.usize(0..4)];
        let clients = rng.usize(2..=4);
        let habits: Vec<Habits> = (0..clients).map(|_| habits(rng, kind, ttl_ms)).collect();
        let window = Duration::from_millis(ttl_ms + rng.u64(0..800));
        let guard = if flaw == Flaw::NoRestartGuard {
            RestartGuard::Off
        } else if rng.u32(0..4) == 0 {
            RestartGuard::Strict
        } else {
            RestartGuard::Auto
        };
        let mut plan = Self {
            kind,
            flaw,
            servers,
            servers_up: Duration::from_hours(1),
            habits,
            weather: weather(rng, kind),
            faults: Vec::new(),
            quiet_from_us: 0,
            node_timeout: Duration::from_millis(80),
            restarts: Restarts { guard, window },
        };
        if kind == Kind::Crowd && guard == RestartGuard::Auto && rng.bool() {
            // All of them have just started: a cold start.
            plan.servers_up = Duration::ZERO;
        }
        if matches!(kind, Kind::Fair | Kind::Harsh) {
            if rng.u32(0..4) == 0 {
                plan.begin_cold(rng, Duration::from_millis(ttl_ms));
            }
            plan.draw_faults(rng);
        }
        plan
    }

    /// How long a server that restarted does not vote, and a second more.
    pub fn window_us(&self) -> u64 {
        let strict = Restarts {
            guard: RestartGuard::Strict,
            ..self.restarts
        };
        let window = strict.min_uptime(self.longest_ttl()) + Duration::from_secs(1);
        u64::try_from(window.as_micros()).expect("a window is short")
    }

    /// The longest time that a dead holder's key lives.
    pub fn longest_ttl(&self) -> Duration {
        let ttls = self.habits.iter().map(|habits| habits.ttl);
        ttls.max().expect("there are clients")
    }

    /// All servers have started not long ago, and the window may be shorter than the `ttl` that all
    /// use: where some are older than the one and younger than the other, the rules of a cold start
    /// are at their most delicate.
    fn begin_cold(&mut self, rng: &mut Rng, ttl: Duration) {
        self.servers_up = Duration::from_millis(rng.u64(0..4_000));
        if rng.bool() {
            self.restarts.window = Duration::from_millis(rng.u64(0..1_000)).min(ttl);
            for habits in &mut self.habits {
                habits.ttl = ttl;
            }
        }
    }

    fn draw_faults(&mut self, rng: &mut Rng) {
        let count = rng.usize(1..=5);
        let mut faults: Vec<(u64, Fault)> = (0..count)
            .map(|_| (rng.u64(0..3_000_000), self.draw_fault(rng)))
            .collect();
        faults.sort_by_key(|(at, _)| *at);
        if self.kind == Kind::Harsh && rng.u32(0..3) == 0 {
            // A power cut: all of them, at about the same time.
            let at = rng.u64(0..2_000_000);
            let all = (0..self.servers).map(|server| {
                let crash = Fault::Crash(server, Loss::Everything, rng.u64(0..1_000_000));
                (at + rng.u64(0..50_000), crash)
            });
            faults.extend(all);
        }
        if self.kind == Kind::Fair {
            self.spare_the_majority(&mut faults);
        }
        let end = |(at, fault): &(u64, Fault)| match *fault {
            Fault::Crash(_, _, us)
            | Fault::Block(_, _, us)
            | Fault::StopServer(_, us)
            | Fault::StopClient(_, us) => at + us,
            Fault::StepServer(..) | Fault::StepClient(..) => *at,
        };
        self.quiet_from_us = faults.iter().map(end).max().unwrap_or(0);
        self.faults = faults;
    }

    fn draw_fault(&self, rng: &mut Rng) -> Fault {
        let server = rng.usize(0..self.servers);
        let client = rng.usize(0..self.habits.len());
        let us = rng.u64(1_000..1_500_000);
        match rng.u32(0..100) {
            0..35 => {
                let loss = match rng.u32(0..4) {
                    0 => Loss::Nothing,
                    1 => Loss::Last(rng.u64(0..1000)),
                    _ => Loss::Everything,
                };
                Fault::Crash(server, loss, us)
            }
            35..60 => Fault::Block(client, server, us),
            60..70 => Fault::StopServer(server, us),
            70..90 => Fault::StopClient(client, us),
            90..95 if self.kind == Kind::Harsh => Fault::StepServer(server, rng.i64(-4_000..4_000)),
            _ => Fault::StepClient(client, rng.i64(-30_000..30_000)),
        }
    }

    /// Lets crashes lose nothing where they would wipe a majority within one window.
    fn spare_the_majority(&self, faults: &mut [(u64, Fault)]) {
        let minority = (self.servers - 1) / 2;
        let mut wiped: Vec<(u64, usize)> = Vec::new();
        for (at, fault) in faults {
            if let Fault::Crash(server, loss, _) = fault
                && *loss != Loss::Nothing
            {
                let near = |(when, _): &&(u64, usize)| when + self.window_us() >= *at;
                let mut others: Vec<usize> =
                    wiped.iter().filter(near).map(|(_, other)| *other).collect();
                others.push(*server);
                others.sort_unstable();
                others.dedup();
                if others.len() > minority {
                    *loss = Loss::Nothing;
                } else {
                    wiped.push((*at, *server));
                }
            }
        }
    }
}

fn habits(rng: &mut Rng, kind: Kind, ttl_ms: u64) -> Habits {
    let wall_error_ms = if rng.u32(0..3) == 0 {
        rng.i64(-90_000..90_000)
    } else {
        rng.i64(-20..20)
    };
    if kind == Kind::Crowd {
        return Habits {
            keys: vec!["lock:a"],
            ttl: Duration::from_millis(ttl_ms),
            patience: Patience::None,
            cycles: 1,
            idle_us: 0,
            // Longer than the longest race.
            job_us: (6_000_000, 7_000_000),
            by_hand: 0.0,
            killed: 0.0,
            interrupted: 0.0,
            wall_error_ms,
        };
    }
    let rare = |rng: &mut Rng| [0.0, 0.0, 0.2][rng.usize(0..3)];
    Habits {
        keys: [
            &["lock:a"][..],
            &["lock:a"],
            &["lock:a", "lock:b"],
            &["lock:b"],
        ][rng.usize(0..4)]
        .to_vec(),
        ttl: Duration::from_millis(ttl_ms - rng.u64(0..200)),
        patience: match rng.u32(0..10) {
            0 => Patience::None,
            1 => Patience::For(Duration::from_millis(rng.u64(0..2000))),
            _ => Patience::Forever,
        },
        cycles: rng.u32(1..=3),
        idle_us: rng.u64(1..1_000_000),
        job_us: (0, rng.u64(1..3_000_000)),
        by_hand: [0.0, 0.5, 1.0][rng.usize(0..3)],
        killed: rare(rng),
        interrupted: rare(rng),
        wall_error_ms,
    }
}

fn weather(rng: &mut Rng, kind: Kind) -> Weather {
    let latency_us = [1_000, 3_000, 20_000][rng.usize(0..3)];
    let calm = Weather {
        latency_us,
        tail: [0.0, 0.02, 0.2][rng.usize(0..3)],
        tail_us: 150_000,
        lost: 0.0,
        doubled: 0.0,
    };
    match kind {
        Kind::Calm => calm,
        Kind::Crowd => Weather { tail: 0.0, ..calm },
        Kind::Fair | Kind::Harsh => Weather {
            lost: [0.0, 0.01, 0.1][rng.usize(0..3)],
            doubled: [0.0, 0.0, 0.05][rng.usize(0..3)],
            ..calm
        },
    }
}
