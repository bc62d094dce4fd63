//! The tables, one function each: who takes part, what is done, what is printed.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::Bench;
use super::contestants::{self, Contestant, Waits, World};
use super::measure::{self, Times, Usage, ms, print_table, ratio};
use super::servers::{self, Server};

use Contestant::{Bare, Etcdctl, Flock, Floor, List, Local, RedisCli, Redlock, Scan};

/// Those who can wait for a lock.
const WAITERS: [Contestant; 6] = [Flock, Local, Floor(3), Redlock(3), Etcdctl(1), Etcdctl(3)];

/// Contestants and what was found out about each, while they take turns.
struct Turns<T>(Vec<(Contestant, T)>);

impl<T: Default> Turns<T> {
    fn of(contestants: &[Contestant], world: &World) -> Self {
        let there = contestants
            .iter()
            .filter(|contestant| contestant.is_there(world));
        Self(
            there
                .map(|&contestant| (contestant, T::default()))
                .collect(),
        )
    }

    /// One turn for everybody, so many times over.
    fn take(&mut self, rounds: usize, mut turn: impl FnMut(Contestant, &mut T)) {
        for _ in 0..rounds {
            for (contestant, found) in &mut self.0 {
                turn(*contestant, found);
            }
        }
    }

    fn found(&self, contestant: Contestant) -> Option<&T> {
        self.0
            .iter()
            .find(|(other, _)| *other == contestant)
            .map(|(_, found)| found)
    }
}

/// Clusters of etcd of these `sizes`, if it is installed.
fn etcd(sizes: &[usize]) -> Vec<Vec<Server>> {
    let is_there = contestants::is_installed("etcd") && contestants::is_installed("etcdctl");
    let sizes = sizes.iter().filter(|_| is_there);
    sizes.map(|&size| servers::etcd(size)).collect()
}

#[derive(Default)]
struct Cost {
    wall: Times,
    cpu: Times,
    failed: usize,
}

/// What it costs to run `true`, which takes no time itself.
pub fn cost(bench: &Bench) {
    let (redis, etcd) = (servers::redis(5), etcd(&[1]));
    let world = World {
        bench,
        redis: &redis,
        etcd: &etcd,
    };
    let all = [
        Bare,
        Flock,
        Local,
        Floor(3),
        Redlock(3),
        Floor(5),
        Redlock(5),
        RedisCli(3),
        Etcdctl(1),
    ];
    let mut turns = Turns::<Cost>::of(&all, &world);
    let rounds = bench.effort.pick(100, 400);
    turns.take(rounds, |contestant, cost| {
        let run = measure::run(&mut contestant.command(&world, Waits::No, &["true"]));
        cost.wall.add(run.wall);
        cost.cpu.add(run.cpu);
        cost.failed += usize::from(!run.succeeded);
    });
    let of = |contestant| turns.found(contestant).map(|cost: &Cost| &cost.wall);
    let rows = turns.0.iter().map(|(contestant, cost)| {
        let floor = match contestant {
            Floor(nodes) | Redlock(nodes) | RedisCli(nodes) => of(Floor(*nodes)),
            _ => None,
        };
        let (wall, flock) = (&cost.wall, of(Flock));
        vec![
            contestant.name(),
            ms(wall.shortest()),
            ms(wall.median()),
            ms(cost.cpu.median()),
            ratio(wall.shortest(), flock.map(Times::shortest)),
            ratio(wall.median(), flock.map(Times::median)),
            ratio(wall.shortest(), floor.map(Times::shortest)),
            ratio(wall.median(), floor.map(Times::median)),
            cost.failed.to_string(),
        ]
    });
    print_table(
        &format!("Cost: `true` under a lock, {rounds} runs in turn, ms"),
        &[
            "",
            "min",
            "median",
            "CPU",
            "min/flock",
            "median/flock",
            "min/floor",
            "median/floor",
            "failed",
        ],
        &rows.collect::<Vec<_>>(),
    );
}

/// From the end of one job to the beginning of the job of who waited for it.
pub fn hand_over(bench: &Bench) {
    let (redis, etcd) = (servers::redis(3), etcd(&[1, 3]));
    let world = World {
        bench,
        redis: &redis,
        etcd: &etcd,
    };
    let mut turns = Turns::<Times>::of(&WAITERS, &world);
    let (stamp, file) = (bench.file("stamp"), bench.file("hand-over"));
    let [stamp, to] = [&stamp, &file].map(|path| path.to_str().expect("a plain path"));
    let rounds = bench.effort.pick(20, 200);
    turns.take(rounds, |contestant, times| {
        let _ = fs::remove_file(&file);
        let start = |hold_ms| {
            contestant
                .command(&world, Waits::Yes, &[stamp, to, hold_ms])
                .spawn()
        };
        let holder = start("150");
        std::thread::sleep(Duration::from_millis(50));
        for process in [holder, start("0")] {
            let _ = process.expect("a contestant starts").wait();
        }
        if let [(_, ended), (began, _)] = measure::stamps(&file)[..] {
            times.add(began.saturating_sub(ended));
        }
    });
    let flock = turns.found(Flock).map(Times::median);
    let rows = turns.0.iter().map(|(contestant, times)| {
        let [median, late] = [50, 99].map(|percent| times.percentile(percent));
        vec![
            contestant.name(),
            ms(times.shortest()),
            ms(median),
            ms(late),
            ratio(median, flock),
        ]
    });
    print_table(
        &format!("Hand-over: end of one job to begin of the next, {rounds} rounds, ms"),
        &["", "min", "median", "99 %", "median/flock"],
        &rows.collect::<Vec<_>>(),
    );
}

/// Many who want one lock, for 2 ms each.
pub fn contention(bench: &Bench) {
    crowd_of(bench, 50, bench.effort.pick(3, 9));
    if bench.effort.pick(false, true) {
        crowd_of(bench, 500, 1);
    }
}

#[derive(Default)]
struct Crowd {
    ran: usize,
    overlaps: usize,
    /// From the start of the first to the end of the last, of each round.
    totals: Times,
    /// From the end of one job to the beginning of the next.
    gaps: Times,
    commands: u64,
}

fn crowd_of(bench: &Bench, crowd: usize, rounds: usize) {
    let (redis, etcd) = (servers::redis(3), etcd(&[1, 3]));
    let world = World {
        bench,
        redis: &redis,
        etcd: &etcd,
    };
    let mut turns = Turns::<Crowd>::of(&WAITERS, &world);
    let (stamp, file) = (bench.file("stamp"), bench.file("contention"));
    let [stamp, to] = [&stamp, &file].map(|path| path.to_str().expect("a plain path"));
    turns.take(rounds, |contestant, found| {
        let _ = fs::remove_file(&file);
        let commands = || redis.iter().map(Server::commands).sum::<u64>();
        let (before, began) = (commands(), measure::now());
        let start = |_| {
            contestant
                .command(&world, Waits::Yes, &[stamp, to, "2"])
                .spawn()
        };
        let processes: Vec<_> = (0..crowd).map(start).collect();
        for process in processes {
            let _ = process.expect("a contestant starts").wait();
        }
        found.totals.add(measure::now().saturating_sub(began));
        found.commands += commands() - before;
        let stamps = measure::stamps(&file);
        found.ran += stamps.len();
        for pair in stamps.windows(2) {
            let [(_, ended), (began, _)] = [pair[0], pair[1]];
            found.overlaps += usize::from(began < ended);
            found.gaps.add(began.saturating_sub(ended));
        }
    });
    let flock = turns
        .found(Flock)
        .map(|found: &Crowd| found.totals.median());
    let rows = turns.0.iter().map(|(contestant, found)| {
        let sent = found.commands as f64 / (redis.len() * found.ran.max(1)) as f64;
        vec![
            contestant.name(),
            format!("{} of {}", found.ran, crowd * rounds),
            found.overlaps.to_string(),
            ms(found.totals.shortest()),
            ms(found.totals.median()),
            ratio(found.totals.median(), flock),
            ms(found.gaps.median()),
            ms(found.gaps.percentile(99)),
            if sent > 0.0 {
                format!("{sent:.1}")
            } else {
                "-".to_owned()
            },
        ]
    });
    print_table(
        &format!("Contention: {crowd} processes want one lock for 2 ms each, rounds: {rounds}, ms"),
        &[
            "",
            "ran",
            "overlaps",
            "total, min",
            "median",
            "median/flock",
            "gap, median",
            "gap, 99 %",
            "commands per node and job",
        ],
        &rows.collect::<Vec<_>>(),
    );
}

#[derive(Default)]
struct Hung {
    /// To the beginning of the job, with all nodes up and with one hung.
    acquired: [Times; 2],
    /// The whole run.
    whole: [Times; 2],
}

/// One node that accepts connections and never answers.
pub fn hung(bench: &Bench) {
    let redis = servers::redis(5);
    let world = World {
        bench,
        redis: &redis,
        etcd: &[],
    };
    let mut turns = Turns::<Hung>::of(&[Floor(3), Redlock(3), Redlock(5)], &world);
    let (stamp, file) = (bench.file("stamp"), bench.file("hung"));
    let [stamp, to] = [&stamp, &file].map(|path| path.to_str().expect("a plain path"));
    let rounds = bench.effort.pick(50, 200);
    for hung in [0, 1] {
        if hung == 1 {
            redis[0].signal(Signal::SIGSTOP);
        }
        turns.take(rounds, |contestant, times| {
            let _ = fs::remove_file(&file);
            let began = measure::now();
            let run = measure::run(&mut contestant.command(&world, Waits::No, &[stamp, to, "0"]));
            if let [(job_began, _)] = measure::stamps(&file)[..] {
                times.acquired[hung].add(job_began.saturating_sub(began));
                times.whole[hung].add(run.wall);
            }
        });
    }
    redis[0].signal(Signal::SIGCONT);
    let rows = turns.0.iter().map(|(contestant, times)| {
        let mut row = vec![contestant.name()];
        for [healthy, hung] in [&times.acquired, &times.whole] {
            row.extend([
                ms(healthy.shortest()),
                ms(hung.shortest()),
                ms(healthy.median()),
                ms(hung.median()),
            ]);
        }
        row
    });
    print_table(
        &format!("A hung node (the first, SIGSTOP): all up / one hung, {rounds} runs each, ms"),
        &[
            "",
            "to the job, min",
            "hung",
            "median",
            "hung",
            "whole run, min",
            "hung",
            "median",
            "hung",
        ],
        &rows.collect::<Vec<_>>(),
    );
}

/// Resident memory at its peak, and the binary.
pub fn memory(bench: &Bench) {
    let etcd = etcd(&[1]);
    let redis = servers::redis(5);
    let (with_tls, authority) = servers::redis_with_tls(5, bench.directory.path());
    let world = |redis| World {
        bench,
        redis,
        etcd: &etcd,
    };
    // Long enough for two extensions.
    let job = ["sleep", "1.2"];
    let mut rows = Vec::new();
    let mut look = |name: String, mut command: std::process::Command| {
        let mut process = command.spawn().expect("a contestant starts");
        std::thread::sleep(Duration::from_secs(1));
        let peak = measure::usage(&process, "sleep").peak_kib;
        let _ = process.wait();
        rows.push(vec![name, format!("{:.1}", peak as f64 / 1024.0)]);
    };
    for contestant in [Flock, Floor(5), Local, Redlock(3), Redlock(5), Etcdctl(1)] {
        if contestant.is_there(&world(&redis)) {
            let mut command = contestant.command(&world(&redis), Waits::No, &job);
            command.env("REDLOCK_TTL", "1s");
            look(contestant.name(), command);
        }
    }
    let mut command = Redlock(5).command(&world(&with_tls), Waits::No, &job);
    let urls: Vec<_> = with_tls
        .iter()
        .map(|node| format!("rediss://127.0.0.1:{}", node.port))
        .collect();
    command
        .env("REDLOCK_SERVERS", urls.join(","))
        .env("REDLOCK_TLS_CA", authority);
    command.env("REDLOCK_TTL", "1s");
    look("redlock, 5 nodes, TLS".to_owned(), command);
    let size = fs::metadata(env!("CARGO_BIN_EXE_redlock")).map_or(0, |metadata| metadata.len());
    rows.push(vec![
        "redlock's binary".to_owned(),
        format!("{:.1}", size as f64 / 1_048_576.0),
    ]);
    print_table(
        "Memory: resident at the peak while a job runs, MiB",
        &["", "MiB"],
        &rows,
    );
}

/// A crowd of locks among a crowd of other keys, beside a bare look through all keys.
pub fn list(bench: &Bench) {
    let (locks, others) = bench.effort.pick((10_000, 100_000), (100_000, 1_000_000));
    let redis = servers::redis(3);
    for server in &redis {
        server.fill(locks, others);
    }
    let world = World {
        bench,
        redis: &redis,
        etcd: &[],
    };
    let mut turns = Turns::<(Times, u64, Duration)>::of(&[Scan(3), List(3)], &world);
    let rounds = bench.effort.pick(3, 5);
    turns.take(rounds, |contestant, (times, peak_kib, slowest)| {
        for server in &redis {
            server.forget_slow_commands();
        }
        let mut command = contestant.command(&world, Waits::No, &[]);
        times.add(measure::run(&mut command).wall);
        let of_one = redis.iter().map(Server::slowest_command);
        *slowest = (*slowest).max(of_one.max().unwrap_or_default());
        *peak_kib = (*peak_kib).max(measure::peak_kib(&mut command));
    });
    let bare = turns.found(Scan(3)).map(|(times, ..)| times.clone());
    let rows = turns
        .0
        .iter()
        .map(|(contestant, (times, peak_kib, slowest))| {
            vec![
                contestant.name(),
                ms(times.shortest()),
                ms(times.median()),
                ratio(times.shortest(), bare.as_ref().map(Times::shortest)),
                ratio(times.median(), bare.as_ref().map(Times::median)),
                ms(*slowest),
                format!("{:.1}", *peak_kib as f64 / 1024.0),
            ]
        });
    let rows: Vec<_> = rows.collect();
    print_table(
        &format!(
            "List: {locks} locks and as many fencing counters among {others} other keys on 3 nodes, \
             {rounds} runs in turn, ms"
        ),
        &[
            "",
            "min",
            "median",
            "min/SCAN",
            "median/SCAN",
            "slowest command",
            "MiB",
        ],
        &rows,
    );
}

/// What is used while a job runs and nothing happens, with a TTL of 30 s: an extension every 10 s.
pub fn idle(bench: &Bench) {
    let (redis, etcd) = (servers::redis(5), etcd(&[1]));
    let world = World {
        bench,
        redis: &redis,
        etcd: &etcd,
    };
    let seconds = bench.effort.pick(12, 60);
    let mut turns = Turns::<(Option<std::process::Child>, Usage)>::of(
        &[Flock, Local, Redlock(5), Etcdctl(1)],
        &world,
    );
    let length = (seconds + 3).to_string();
    turns.take(1, |contestant, (process, _)| {
        let command = contestant
            .command(&world, Waits::No, &["sleep", &length])
            .spawn();
        *process = Some(command.expect("a contestant starts"));
    });
    std::thread::sleep(Duration::from_secs(1));
    let look =
        |process: &Option<_>| measure::usage(process.as_ref().expect("it was started"), "sleep");
    turns.take(1, |_, (process, before)| *before = look(process));
    std::thread::sleep(Duration::from_secs(seconds));
    let mut rows = Vec::new();
    turns.take(1, |contestant, (process, before)| {
        let after = look(process);
        rows.push(vec![
            contestant.name(),
            (after.sleeps - before.sleeps).to_string(),
            ms(after.cpu.saturating_sub(before.cpu)),
        ]);
        let _ = process.take().map(|mut process| process.wait());
    });
    print_table(
        &format!("Idle: {seconds} s of a job that sleeps, TTL 30 s"),
        &["", "wake-ups", "CPU, ms"],
        &rows,
    );
}
