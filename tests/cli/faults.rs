//! Faults in every phase of a run, under the eyes of a watcher.
//!
//! Each job and its child, which ignores TERM, write their fencing token into one file all the
//! time: lines are appended whole, so their order is the order in which things happened on this
//! host. If a smaller token ever follows a larger one, two jobs were alive at once (or a token did
//! not grow). `REDLOCK_TEST_FAULTS=1000` injects so many faults instead of a few.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use nix::sys::signal::Signal;
use redlock::clock;
use tempfile::TempDir;

use crate::support::proxy::{Fate, Proxy};
use crate::support::{End, PATIENCE, Process, Redlock, Server, eventually};

const TTL: Duration = Duration::from_millis(1200);

/// How long a reply takes on its way to the victim: long enough to do harm in between.
const REPLY: Duration = Duration::from_millis(8);

/// Longer than the TTL: without a guard it would outlive its lock. TERM is ignored until it can be
/// heeded, so that a child is never left behind by a death that is nobody's fault; and again at the
/// end, so that who is done does not die of it.
const JOB: &str = r#"
    trap '' TERM; id=$REDLOCK_FENCING_TOKEN; echo $id
    (while :; do echo $id; sleep 0.01; done >>"$LOG") & child=$!
    finish() { kill -9 $child; wait $child 2>/dev/null; }
    trap 'sleep 0.1; finish; echo $id >>"$LOG"; trap - TERM; kill -TERM $$' TERM
    echo >"$LOG.ready"
    n=0; while [ $n -lt 140 ]; do echo $id >>"$LOG"; sleep 0.01; n=$((n + 1)); done
    trap '' TERM; finish; echo $id >>"$LOG.done""#;

/// When a fault is injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    BeforeTheFirstByte,
    BetweenVotes,
    InTheFencingRound,
    ChildStarting,
    Running,
    Extending,
    Stopping,
    Releasing,
}

const PHASES: [Phase; 8] = [
    Phase::BeforeTheFirstByte,
    Phase::BetweenVotes,
    Phase::InTheFencingRound,
    Phase::ChildStarting,
    Phase::Running,
    Phase::Extending,
    Phase::Stopping,
    Phase::Releasing,
];

/// What is done to redlock, or to the first so many of its three nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    KillRedlock,
    FreezeRedlock,
    TermRedlock,
    KillNodes(usize),
    FreezeNodes(usize),
    RestartEmpty,
    RestartNodes(usize),
    FlushAll,
    Pause(usize),
    OutOfMemory(usize),
    DropReplies(usize),
    HalfOpen(usize),
}

const FAULTS: [Fault; 19] = [
    Fault::KillRedlock,
    Fault::FreezeRedlock,
    Fault::TermRedlock,
    Fault::KillNodes(1),
    Fault::KillNodes(2),
    Fault::FreezeNodes(1),
    Fault::FreezeNodes(2),
    Fault::RestartEmpty,
    Fault::RestartNodes(1),
    Fault::RestartNodes(2),
    Fault::FlushAll,
    Fault::Pause(1),
    Fault::Pause(2),
    Fault::OutOfMemory(1),
    Fault::OutOfMemory(2),
    Fault::DropReplies(1),
    Fault::DropReplies(2),
    Fault::HalfOpen(1),
    Fault::HalfOpen(2),
];

/// Three servers that live through many faults, seen by the victim through proxies.
struct World {
    servers: Vec<Server>,
    directory: TempDir,
    round: usize,
}

/// One fault and all that is known of it.
struct Case<'a> {
    world: &'a mut World,
    proxies: Vec<Proxy>,
    number: usize,
    phase: Phase,
    fault: Fault,
    log: PathBuf,
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fault {}: {:?} while {:?}",
            self.number, self.fault, self.phase
        )
    }
}

impl World {
    fn new() -> Self {
        let durable = ["--appendonly", "yes", "--appendfsync", "always"];
        Self {
            servers: (0..3).map(|_| Server::with(&durable)).collect(),
            directory: tempfile::tempdir().expect("a temporary directory"),
            round: 0,
        }
    }

    fn case(&mut self, number: usize) -> Case<'_> {
        self.round += 1;
        let proxies: Vec<Proxy> = self.servers.iter().map(Proxy::before).collect();
        for proxy in &proxies {
            proxy.set_replies(Fate::Delay(REPLY));
        }
        Case {
            log: self.directory.path().join(self.round.to_string()),
            proxies,
            number,
            // Every pair comes once before any comes twice: the numbers have no common divisor.
            phase: PHASES[number % PHASES.len()],
            fault: FAULTS[number % FAULTS.len()],
            world: self,
        }
    }
}

impl Case<'_> {
    fn redlock(&self, options: &[&str], servers: &str) -> Process {
        let head = ["run", "-t", "1200ms", "-k", "300ms", "-r", "job"];
        let words = head.iter().chain(options).chain(&["sh", "-c", JOB]);
        let mut run = Redlock::new(words.copied())
            .env("REDLOCK_SERVERS", servers)
            // A server that comes back empty must not vote, as always; with a window that a test can
            // wait for.
            .env("REDLOCK_RESTART_GUARD", "auto")
            .env("REDLOCK_RESTART_WINDOW", "1s")
            .env("LOG", &self.log)
            .start();
        run.close_stdin();
        run
    }

    fn requests(&self) -> usize {
        self.proxies.iter().map(Proxy::requests).sum()
    }

    fn lines(&self) -> Vec<u64> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let numbers = text.lines().map(|line| line.parse().expect("a whole line"));
        numbers.collect()
    }

    fn play(&mut self) {
        if self.phase == Phase::InTheFencingRound {
            let ahead = "redis.call('SET', KEYS[1], 20000 + (redis.call('GET', KEYS[1]) or 2e12))";
            let fence = "{lock:job}:fence";
            let _: () = self.world.servers[2].ask(&["EVAL", ahead, "1", fence]);
        }
        let urls = |urls: Vec<String>| urls.join(",");
        let behind = urls(self.proxies.iter().map(Proxy::url).collect());
        let straight = urls(self.world.servers.iter().map(Server::url).collect());
        let mut victim = self.redlock(&[], &behind);
        self.wait_for_phase(&mut victim);
        let contenders = [
            self.redlock(&["-w", "40s"], &straight),
            self.redlock(&["-w", "40s"], &straight),
        ];
        self.inject(&mut victim);
        let victim = victim.end();
        let contenders = contenders.map(Process::end);
        self.judge(&victim, &contenders);
    }

    /// Waits until the victim is in the phase; or has ended, if it never comes into it.
    fn wait_for_phase(&self, victim: &mut Process) {
        let mut wait = |until: &dyn Fn() -> bool| {
            eventually(&self.to_string(), || until() || victim.has_ended());
        };
        let started = || self.log.with_extension("ready").exists();
        match self.phase {
            Phase::BeforeTheFirstByte => {}
            Phase::BetweenVotes => wait(&|| self.requests() > 0),
            Phase::InTheFencingRound => wait(&|| self.requests() > 3),
            Phase::ChildStarting => {
                wait(&|| self.requests() > 2);
                let jitter = u64::try_from(self.number % 7).expect("small");
                thread::sleep(REPLY + Duration::from_millis(jitter));
            }
            Phase::Running => wait(&started),
            Phase::Extending => {
                wait(&started);
                let before = self.requests();
                wait(&|| self.requests() > before);
            }
            Phase::Stopping => {
                wait(&started);
                if !victim.has_ended() {
                    victim.signal(Signal::SIGTERM);
                }
            }
            Phase::Releasing => wait(&|| self.log.with_extension("done").exists()),
        }
    }

    /// Does the harm, and makes it good again after more than a TTL.
    fn inject(&mut self, victim: &mut Process) {
        let number = self.number;
        let signal = |victim: &mut Process, signal| {
            if !victim.has_ended() {
                victim.signal(signal);
            }
        };
        let long = TTL + TTL / 4;
        let nodes = &mut self.world.servers;
        match self.fault {
            Fault::KillRedlock => signal(victim, Signal::SIGKILL),
            Fault::TermRedlock => signal(victim, Signal::SIGTERM),
            Fault::FreezeRedlock => {
                signal(victim, Signal::SIGSTOP);
                thread::sleep(long);
                signal(victim, Signal::SIGCONT);
            }
            Fault::KillNodes(count) => {
                nodes[..count].iter_mut().for_each(Server::kill);
                thread::sleep(long);
                nodes[..count].iter_mut().for_each(Server::restart);
            }
            Fault::FreezeNodes(count) => {
                nodes[..count].iter().for_each(Server::hang);
                thread::sleep(long);
                nodes[..count].iter().for_each(Server::go_on);
            }
            Fault::RestartEmpty => {
                let node = &mut nodes[number % 3];
                node.kill();
                fs::remove_dir_all(node.directory().join("appendonlydir")).expect("it is ours");
                node.restart();
            }
            Fault::RestartNodes(count) => {
                nodes[..count].iter_mut().for_each(Server::kill);
                nodes[..count].iter_mut().for_each(Server::restart);
            }
            Fault::FlushAll => eventually("a node can be spared", || flush_one(nodes, number % 3)),
            Fault::Pause(count) => {
                for node in &nodes[..count] {
                    let _: () = node.ask(&["CLIENT", "PAUSE", "1500", "ALL"]);
                }
            }
            Fault::OutOfMemory(count) => {
                for limit in ["1", "0"] {
                    for node in &nodes[..count] {
                        let _: () = node.ask(&["CONFIG", "SET", "maxmemory", limit]);
                    }
                    thread::sleep(long);
                }
            }
            Fault::DropReplies(count) | Fault::HalfOpen(count) => {
                let both_ways = matches!(self.fault, Fault::HalfOpen(_));
                for proxy in &self.proxies[..count] {
                    proxy.set_replies(Fate::Drop);
                    if both_ways {
                        proxy.set_requests(Fate::Drop);
                    }
                }
                thread::sleep(long);
                for proxy in &self.proxies[..count] {
                    proxy.set_replies(Fate::Pass);
                    proxy.set_requests(Fate::Pass);
                }
            }
        }
    }

    fn judge(&self, victim: &End, contenders: &[End]) {
        let lines = self.lines();
        if let Some(at) = lines.windows(2).position(|pair| pair[0] > pair[1]) {
            let around = &lines[at.saturating_sub(3)..lines.len().min(at + 5)];
            panic!("{self}: two jobs at once: {around:?}; {victim:#?} {contenders:#?}");
        }
        self.judge_code(victim);
        for contender in contenders {
            // Liveness: once the harm is over, everybody has his turn. A node that failed may cost
            // one of them the lock in the middle, and then the code must say so.
            self.judge_code(contender);
            let code = contender.code();
            assert!(matches!(code, Some(0 | 76)), "{self}: {contender:#?}");
        }
        thread::sleep(Duration::from_millis(30));
        assert_eq!(lines.len(), self.lines().len(), "{self}: somebody lives on");
        let began = clock::now();
        eventually("no key is left", || {
            self.world
                .servers
                .iter()
                .all(|server| server.locks().is_empty())
        });
        let took = clock::now().since(began);
        assert!(took < 2 * TTL, "{self}: a key was left for {took:?}");
    }

    /// Whether the code is the truth about what the job itself has written down.
    fn judge_code(&self, run: &End) {
        let done = fs::read_to_string(self.log.with_extension("done")).unwrap_or_default();
        let token = run.stdout.lines().next();
        let has_started = token.is_some();
        let is_done = token.is_some_and(|token| done.lines().any(|line| line == token));
        let was_termed = self.fault == Fault::TermRedlock || self.phase == Phase::Stopping;
        let truth = match (run.code(), run.signal()) {
            (Some(0), _) => is_done,
            (Some(76), _) => has_started,
            (Some(69 | 75), _) => !has_started,
            (_, Some(Signal::SIGTERM)) => was_termed && !is_done,
            (_, Some(Signal::SIGKILL)) => self.fault == Fault::KillRedlock,
            _ => false,
        };
        assert!(truth, "{self}: done: {is_done}; {run:#?}");
    }
}

/// Wipes one of `nodes`, if possible that at `first`: one that nobody holds, or all of which have the
/// same holder. A lock that is on a bare majority, as after a race for it, stands no such loss.
fn flush_one(nodes: &[Server], first: usize) -> bool {
    const FLUSH: &str = "if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end \
                         redis.call('FLUSHALL') return 1";
    let value = |node: &Server| node.ask::<Option<String>>(&["GET", "lock:job"]);
    let values: Vec<String> = nodes
        .iter()
        .map(|node| value(node).unwrap_or_default())
        .collect();
    let in_turn = (0..nodes.len()).map(|number| (first + number) % nodes.len());
    let spared = |at: &usize| {
        let holder = &values[*at];
        holder.is_empty() || values.iter().all(|other| other == holder)
    };
    in_turn.filter(spared).any(|at| {
        // Should it have changed meanwhile, it is looked at once more.
        nodes[at].ask::<u8>(&["EVAL", FLUSH, "1", "lock:job", &values[at]]) == 1
    })
}

#[test]
fn no_fault_in_any_phase_gives_two_jobs_at_once_or_a_wrong_code() {
    let wanted = std::env::var("REDLOCK_TEST_FAULTS").ok();
    let wanted: usize = wanted.map_or(16, |count| count.parse().expect("a number"));
    // A few of all the pairs, other ones each time; all of them if it is to be long.
    let first = if wanted < PHASES.len() * FAULTS.len() {
        fastrand::usize(..PHASES.len() * FAULTS.len())
    } else {
        0
    };
    let (next, played) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let began = clock::now();
    let play_all = || {
        let mut world = World::new();
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= wanted {
                return;
            }
            let began = clock::now();
            let mut case = world.case(first + number);
            let name = case.to_string();
            case.play();
            println!("{name}: {:?}", clock::now().since(began));
            played.fetch_add(1, Ordering::SeqCst);
        }
    };
    let ends = thread::scope(|scope| {
        let players = [(); 4].map(|()| scope.spawn(play_all));
        players.map(ScopedJoinHandle::join)
    });
    if let Some(panic) = ends.into_iter().find_map(Result::err) {
        // Its words once more: a long report is read from its end.
        let words = panic.downcast_ref::<String>();
        panic!("{}", words.map_or("a fault was not played", |words| words));
    }
    let took = clock::now().since(began);
    println!(
        "{} faults in {took:?}: no overlap, no orphan, no wrong code",
        played.into_inner()
    );
    assert!(wanted > 100 || took < 4 * PATIENCE, "{took:?}");
}
