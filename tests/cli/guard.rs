//! The guard: whatever becomes of redlock, its job is dead before the lock can pass to another.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::process::{ALOUD, is_alive, is_asleep, niceness, sleeps};
use crate::support::proxy::{self, Fate};
use crate::support::{Cluster, PATIENCE, Place, Process, Redlock, Server, Shim, eventually};
use redlock::clock;

/// Answers TERM, but stands still when it comes.
const STILL: &str =
    "trap 'echo told; exit 0' TERM; echo ready; kill -STOP $$; while :; do sleep 0.05; done";

/// A job of four processes that ignore TERM: a shell, its child, its grandchild, and one whose
/// parent is gone. Prints their ids, then `ready`.
const TRIBE: &str = "trap '' TERM; export LOOP='while :; do sleep 0.05; done'
    sh -c 'sh -c \"$LOOP\" & echo $$ $!; eval \"$LOOP\"' &
    sh -c 'sh -c \"$LOOP\" & echo $!'
    sleep 0.2; echo $$; echo ready; eval \"$LOOP\"";

const TTL: Duration = Duration::from_secs(2);

struct Job {
    run: Process,
    members: Vec<Pid>,
}

impl Job {
    fn start(cluster: &Cluster, wrapper: &[&str], options: &[&str]) -> Self {
        Self::with_ttl("2s", cluster, wrapper, options)
    }

    fn with_ttl(ttl: &str, cluster: &Cluster, wrapper: &[&str], options: &[&str]) -> Self {
        let head = ["run", "-t", ttl, "-k", "300ms", "-r", "job"];
        let job = ["sh", "-c", TRIBE];
        let words = head.iter().chain(options).chain(&job).copied();
        let run = Redlock::under(wrapper, words).env("REDLOCK_SERVERS", cluster.urls());
        Self::of(run)
    }

    /// The `run` of a [`TRIBE`].
    fn of(run: Redlock) -> Self {
        let mut run = run.start();
        let mut members = Vec::new();
        loop {
            let line = run.next_line();
            if line == "ready" {
                break;
            }
            members.extend(line.split(' ').map(pid));
        }
        assert_eq!(members.len(), 4, "{members:?}");
        Self { run, members }
    }

    fn any_alive(&self) -> bool {
        self.members.iter().any(|&member| is_alive(member))
    }

    /// Watches until all are dead and the lock is free for others, and fails if that was the wrong
    /// way round.
    #[track_caller]
    fn assert_dead_before_free(&self, cluster: &Cluster) {
        let mut dead = false;
        eventually("the lock is free", || {
            // In this order: what is alive now was alive before the keys were looked at.
            let keys = cluster.values("lock:job");
            let is_free = keys.iter().filter(|key| key.is_none()).count() > keys.len() / 2;
            dead = dead || !self.any_alive();
            assert!(
                dead || !is_free,
                "the lock was free while the job was alive"
            );
            is_free
        });
        assert!(!self.any_alive());
    }
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.trim().parse().expect("a pid"))
}

/// The guard of this redlock.
fn guard_of(redlock: Pid) -> Pid {
    find_guard(redlock).expect("there is a guard")
}

fn find_guard(redlock: Pid) -> Option<Pid> {
    let children = read(redlock, &format!("task/{redlock}/children"));
    let mut children = children.split_whitespace().map(pid);
    children.find(|child| read(*child, "comm") == "rl-guard\n")
}

fn read(process: Pid, what: &str) -> String {
    fs::read_to_string(format!("/proc/{process}/{what}")).unwrap_or_default()
}

#[test]
fn a_killed_redlock_takes_its_whole_job_with_it_at_once() {
    let cluster = Cluster::start(3);
    for options in [&[][..], &["--on-lost", "warn"]] {
        let mut job = Job::start(&cluster, &[], options);
        let guard = guard_of(job.run.pid());
        job.run.signal(Signal::SIGKILL);
        job.run.wait();
        let killed = clock::now();
        eventually("the whole job is dead", || !job.any_alive());
        let took = clock::now().since(killed);
        assert!(took < Duration::from_secs(1), "{took:?}");
        job.assert_dead_before_free(&cluster);
        eventually("the guard has left", || !is_alive(guard));
    }
}

#[test]
fn where_the_kernel_is_older_the_guard_does_what_it_has_to_in_other_ways() {
    let cluster = Cluster::start(3);
    // Of Linux 6.9, as far as groups are concerned, of 5.3, and of 5.9.
    for call in [
        libc::SYS_pidfd_send_signal,
        libc::SYS_pidfd_open,
        libc::SYS_close_range,
    ] {
        let run = cluster.run("-t 1h", TRIBE).without(call);
        let mut job = Job::of(run);
        let guard = guard_of(job.run.pid());
        let kept = fs::read_dir(format!("/proc/{guard}/fd")).expect("it is ours");
        assert!(kept.count() <= 4, "{call}");
        job.run.signal(Signal::SIGKILL);
        job.run.wait();
        eventually("the whole job is dead", || !job.any_alive());
        eventually("the guard has left", || !is_alive(guard));
        for server in &cluster.servers {
            let _: () = server.ask(&["DEL", "lock:job"]);
        }
    }
}

#[test]
fn a_frozen_redlock_loses_its_job_before_it_loses_the_lock_and_says_so_when_it_wakes() {
    let cluster = Cluster::start(3);
    let job = Job::start(&cluster, &[], &[]);
    job.run.signal(Signal::SIGSTOP);
    let frozen = clock::now();
    job.assert_dead_before_free(&cluster);
    thread::sleep((3 * TTL).saturating_sub(clock::now().since(frozen)));
    job.run.signal(Signal::SIGCONT);
    job.run.end().assert_code(76).assert_says(&["lost job"]);
}

#[test]
fn a_job_of_a_frozen_redlock_that_heeds_the_signal_is_asked_once_and_the_code_is_76() {
    let cluster = Cluster::start(3);
    let script = "trap 'echo stopping; sleep 0.1; exit 0' USR1; echo ready; \
                  while :; do sleep 0.05; done";
    let run = [
        "run", "-t", "2s", "-s", "USR1", "-r", "job", "sh", "-c", script,
    ];
    let mut run = cluster.redlock(run).start_ready();
    run.signal(Signal::SIGSTOP);
    run.wait_for("stopping");
    thread::sleep(Duration::from_millis(300));
    run.signal(Signal::SIGCONT);
    let end = run.end();
    end.assert_code(76);
    assert_eq!(end.stdout, "ready\nstopping\n");
}

#[test]
fn a_job_of_a_frozen_redlock_that_ends_by_itself_in_time_keeps_its_code() {
    let cluster = Cluster::start(3);
    let script = "echo ready; sleep 0.3; exit 4";
    let run = cluster
        .redlock(["run", "-t", "2s", "-r", "job", "sh", "-c", script])
        .start_ready();
    run.signal(Signal::SIGSTOP);
    eventually("the lock is free", || cluster.locks().is_empty());
    run.signal(Signal::SIGCONT);
    run.end()
        .assert_code(4)
        .assert_says(&["job had expired before", "had ended in time"]);
}

#[test]
fn a_loss_that_redlock_sees_itself_is_told_to_the_job_once() {
    let cluster = Cluster::start(3);
    let script = "exec 2>/dev/null; trap 'echo stopping' USR1; echo ready; \
                  while :; do sleep 0.02; done";
    let run = [
        "run", "-t", "3s", "-k", "600ms", "-s", "USR1", "-r", "job", "sh", "-c", script,
    ];
    let run = cluster.redlock(run).start_ready();
    for server in &cluster.servers {
        server.hang();
    }
    let end = run.end();
    end.assert_code(76);
    assert_eq!(end.stdout, "ready\nstopping\n");
}

#[test]
fn a_kill_of_redlocks_whole_group_does_not_reach_the_guard() {
    let cluster = Cluster::start(3);
    let mut job = Job::start(&cluster, &["timeout", "-s", "KILL", "1"], &[]);
    job.run.wait();
    job.assert_dead_before_free(&cluster);
}

#[test]
fn a_guard_has_nothing_of_redlocks_but_its_own_four_descriptors() {
    let cluster = Cluster::start(3);
    let job = Job::start(&cluster, &[], &[]);
    let redlock = job.run.pid();
    let guard = guard_of(redlock);
    let descriptors = || {
        let entries = fs::read_dir(format!("/proc/{guard}/fd")).expect("it is ours");
        let target = |entry: std::io::Result<fs::DirEntry>| {
            let target = fs::read_link(entry.expect("it is ours").path()).expect("it is open");
            let target = target.to_string_lossy().into_owned();
            let kind = target.split_once(':').map(|(kind, _)| kind.to_owned());
            kind.unwrap_or(target)
        };
        let mut kinds: Vec<_> = entries.map(target).collect();
        kinds.sort();
        kinds
    };
    // The socket, two timers, and what stands for the job's leader. That one must not stay in the
    // socket: a user may only have so many on their way.
    eventually("it has taken the job", || descriptors().len() == 4);
    let [timers @ .., socket] = &descriptors()[..] else {
        panic!("there are four");
    };
    assert_eq!(socket, "socket");
    let are_anonymous = |kind: &String| ["anon_inode", "pidfd"].contains(&kind.as_str());
    assert!(timers.iter().all(are_anonymous), "{timers:?}");
    // `ps` shows its name instead; and whatever redlock was told is nobody's to read there.
    assert_eq!(read(guard, "cmdline"), "");
    assert_eq!(read(guard, "environ"), "");
    assert_eq!(
        fs::read_link(format!("/proc/{guard}/cwd")).unwrap(),
        PathBuf::from("/")
    );
    let session = nix::unistd::getsid(Some(guard)).expect("it runs");
    assert_eq!(session, guard, "a session of its own");
    // Whatever can be blocked is.
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGUSR1,
    ] {
        kill(guard, signal).expect("it runs");
    }
    thread::sleep(Duration::from_millis(50));
    assert!(is_alive(guard));
    // Its own memory is what it and redlock have changed since the fork.
    let private = read(guard, "smaps_rollup");
    let private: u64 = private
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum();
    assert!(private < 1024, "{private} kB");
}

#[test]
fn nothing_is_left_of_the_guard_and_what_a_command_left_behind_runs_on() {
    let cluster = Cluster::start(3);
    let script = "sleep 300 >/dev/null 2>&1 & echo $!; echo ready; read _";
    let run = ["run", "-t", "1s", "-r", "job", "sh", "-c", script];
    let mut run = cluster.redlock(run).start();
    let left_behind = pid(&run.next_line());
    run.wait_for("ready");
    let guard = guard_of(run.pid());
    run.write_line("");
    // Ends only when nobody has its stdout any more.
    let end = run.end();
    end.assert_code(0).assert_silent();
    assert!(
        !PathBuf::from(format!("/proc/{guard}")).exists(),
        "no guard, not even a zombie"
    );
    thread::sleep(Duration::from_millis(1500));
    assert!(is_alive(left_behind), "the lock's end is nothing to it");
    kill(left_behind, Signal::SIGKILL).expect("it is ours");
}

#[test]
fn what_a_command_left_behind_outlives_a_redlock_that_is_killed_when_it_gives_the_lock_back() {
    let cluster = Cluster::start(3);
    let script = "sleep 300 >/dev/null 2>&1 & echo $!; read _";
    let options = "run -r job -t 1h --once-per 1h sh -c".split(' ');
    let words = options.chain([script]);
    let run = Redlock::under(&ALOUD, words).env("REDLOCK_SERVERS", cluster.urls());
    let mut run = run.start();
    let left = pid(&run.next_line());
    let guard = guard_of(run.pid());
    for server in &cluster.servers[..2] {
        server.hang();
    }
    run.write_line("");
    while !run.next_line().contains("noted on no quorum") {}
    run.signal(Signal::SIGKILL);
    run.wait();
    eventually("the guard has left", || !is_alive(guard));
    assert!(is_alive(left));
    kill(left, Signal::SIGKILL).expect("it is ours");
}

#[test]
fn a_command_that_cannot_be_executed_leaves_no_lock() {
    let cluster = Cluster::start(3);
    let end = cluster
        .redlock(["run", "-r", "job", "no such command"])
        .end();
    end.assert_code(127);
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_guard_that_was_killed_is_replaced_at_once() {
    let cluster = Cluster::start(3);
    // The next extension is 20 minutes away.
    let mut job = Job::with_ttl("1h", &cluster, &[], &[]);
    let first = guard_of(job.run.pid());
    kill(first, Signal::SIGKILL).expect("it runs");
    eventually("another guard", || {
        find_guard(job.run.pid()).is_some_and(|guard| guard != first)
    });
    job.run.signal(Signal::SIGKILL);
    job.run.wait();
    eventually("the whole job is dead", || !job.any_alive());
}

#[test]
fn a_guard_sleeps_while_its_deadline_moves_and_acts_when_it_does_not_any_more() {
    let cluster = Cluster::start(3);
    let job = Job::start(&cluster, &[], &[]);
    let guard = guard_of(job.run.pid());
    let before = sleeps(guard);
    // Longer than the first deadline.
    thread::sleep(2 * TTL);
    assert_eq!(sleeps(guard), before);
    job.run.signal(Signal::SIGSTOP);
    job.assert_dead_before_free(&cluster);
    job.run.signal(Signal::SIGCONT);
    job.run.end().assert_code(76);
}

#[test]
fn a_guard_that_is_frozen_holds_nobody_up() {
    let cluster = Cluster::start(3);
    let script = "echo ready; read _; exit 5";
    let run = ["run", "-t", "1s", "-r", "job", "sh", "-c", script];
    let mut run = cluster.redlock(run).start_ready();
    let guard = guard_of(run.pid());
    kill(guard, Signal::SIGSTOP).expect("it runs");
    // Several extensions that it takes no notice of.
    thread::sleep(Duration::from_secs(2));
    run.write_line("");
    run.end().assert_code(5).assert_silent();
    eventually("the guard is gone", || !is_alive(guard));
}

/// A kernel that keeps nothing out of a fork.
const ALL_IS_COPIED: &str = r"
    #define _GNU_SOURCE
    #include <errno.h>
    #include <sys/mman.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int madvise(void *from, size_t length, int advice) {
        if (advice == MADV_DONTFORK) {
            errno = EINVAL;
            return -1;
        }
        return syscall(SYS_madvise, from, length, advice);
    }
";

#[test]
fn a_guard_that_gets_redlocks_arguments_overwrites_them() {
    let cluster = Cluster::start(3);
    let shim = Shim::build(ALL_IS_COPIED);
    let run = cluster.redlock(["run", "-r", "job", "sh", "-c", "echo ready; read _; exit 4"]);
    let mut run = shim.load(run).start_ready();
    let shown = read(guard_of(run.pid()), "cmdline");
    assert_eq!(shown.trim_end_matches('\0'), "rl-guard");
    run.write_line("");
    run.end().assert_code(4).assert_silent();
}

#[test]
fn with_on_lost_warn_a_frozen_redlock_costs_the_job_nothing() {
    let cluster = Cluster::start(3);
    let script = "echo ready; read _; echo done; exit 0";
    let mut run = cluster.run("-t 1s --on-lost warn", script).start_ready();
    run.signal(Signal::SIGSTOP);
    thread::sleep(Duration::from_millis(2500));
    run.write_line("");
    run.wait_for("done");
    run.signal(Signal::SIGCONT);
    run.end().assert_code(76);
}

#[test]
fn a_lock_that_ran_out_in_an_outage_while_redlock_stood_still_was_lost() {
    let cluster = Cluster::start(3);
    let script = "echo ready; read _; echo done; exit 0";
    let options = "run -v -r job -t 3s --on-lost warn sh -c".split(' ');
    let words = options.chain([script]);
    let run = Redlock::under(&ALOUD, words).env("REDLOCK_SERVERS", cluster.urls());
    let mut run = run.start_ready();
    for server in &cluster.servers[..2] {
        server.hang();
    }
    while !run.next_line().contains("on no quorum") {}
    run.signal(Signal::SIGSTOP);
    eventually("its time is over", || cluster.servers[2].locks().is_empty());
    run.write_line("");
    run.wait_for("done");
    run.signal(Signal::SIGCONT);
    run.end().assert_code(76);
}

#[test]
fn nothing_is_started_once_it_would_have_to_be_stopped() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    // Late enough to be past the time for the stop signal, early enough to be a valid lock.
    for proxy in &proxies {
        proxy.set_replies(Fate::Delay(Duration::from_millis(1_500)));
    }
    let run = [
        "run",
        "-t",
        "2s",
        "--node-timeout",
        "10s",
        "-r",
        "job",
        "echo",
        "never",
    ];
    let run = Redlock::new(run).env("REDLOCK_SERVERS", urls).start();
    eventually("it is locked", || cluster.locks().len() == 3);
    // The answers to that are on their slow way; what is asked from now on is quick.
    for proxy in &proxies {
        proxy.set_replies(Fate::Pass);
    }
    let end = run.end();
    end.assert_code(69)
        .assert_says(&["over before it was started"]);
    assert_eq!(end.stdout, "");
    assert!(end.took < PATIENCE / 2, "{end:?}");
    eventually("the lock is given back", || cluster.locks().is_empty());
}

/// A waiter for a lock that stands in its way, and its guard.
fn waiter(cluster: &Cluster, script: &str) -> (Process, Pid) {
    for server in &cluster.servers {
        let _: () = server.ask(&["SET", "lock:job", "somebody else's", "PX", "60000"]);
    }
    let waiter = cluster.redlock(["run", "-w", "-t", "2s", "-r", "job", "sh", "-c", script]);
    let waiter = waiter.start();
    eventually("its guard", || find_guard(waiter.pid()).is_some());
    let guard = guard_of(waiter.pid());
    (waiter, guard)
}

fn make_way(cluster: &Cluster) {
    for server in &cluster.servers {
        let _: u32 = server.ask(&["DEL", "lock:job"]);
    }
}

#[test]
fn who_waits_has_a_guard_already_and_it_is_the_one_that_watches_over_the_job() {
    let cluster = Cluster::start(3);
    let (mut waiter, guard) = waiter(&cluster, "echo ready; exec sleep 300");
    make_way(&cluster);
    waiter.wait_for("ready");
    assert_eq!(guard_of(waiter.pid()), guard);
    waiter.signal(Signal::SIGSTOP);
    eventually("the lock is free", || cluster.locks().is_empty());
    waiter.signal(Signal::SIGCONT);
    waiter.end().assert_code(76);
    assert!(!is_alive(guard));
}

#[test]
fn a_guard_that_was_killed_while_redlock_waits_is_replaced_before_the_job_starts() {
    let cluster = Cluster::start(3);
    let (mut waiter, guard) = waiter(&cluster, "echo ready; exec sleep 300");
    kill(guard, Signal::SIGKILL).expect("it runs");
    make_way(&cluster);
    waiter.wait_for("ready");
    assert_ne!(guard_of(waiter.pid()), guard);
    waiter.signal(Signal::SIGTERM);
    assert_eq!(waiter.end().signal(), Some(Signal::SIGTERM));
}

#[test]
fn a_guard_does_not_outlive_a_wait() {
    let cluster = Cluster::start(3);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let (waiter, guard) = waiter(&cluster, "echo never");
        waiter.signal(signal);
        assert_eq!(waiter.end().signal(), Some(signal));
        eventually("the guard has left", || !is_alive(guard));
    }
}

#[test]
fn redlock_lets_others_run_first_when_its_job_is_over_and_not_before() {
    let cluster = Cluster::start(3);
    let script = "echo ready; read _";
    let mut run = cluster.run("--node-timeout 1s", script).start_ready();
    let (redlock, usual) = (run.pid(), niceness(Pid::this()));
    assert_eq!(niceness(redlock), usual);
    assert_eq!(niceness(guard_of(redlock)), usual);
    // It will wait for their answers.
    cluster.servers.iter().for_each(Server::hang);
    run.write_line("");
    eventually("it stands back", || niceness(redlock) > usual);
    run.end().assert_code(0);
}

#[test]
fn a_command_dies_with_a_redlock_whose_guard_is_dead() {
    let cluster = Cluster::start(3);
    let script = "echo $$; echo ready; exec sleep 300";
    let mut run = cluster
        .redlock(["run", "-r", "job", "sh", "-c", script])
        .start();
    let leader = Pid::from_raw(run.next_line().parse().expect("a pid"));
    run.wait_for("ready");
    eventually("there is a guard", || find_guard(run.pid()).is_some());
    let guard = guard_of(run.pid());
    // Standing still, it does not replace it.
    run.signal(Signal::SIGSTOP);
    kill(guard, Signal::SIGKILL).expect("it is there");
    run.signal(Signal::SIGKILL);
    run.wait();
    let killed = clock::now();
    while is_alive(leader) {
        if clock::now().since(killed) > Duration::from_secs(3) {
            kill(leader, Signal::SIGKILL).expect("it is there");
            panic!("it lives");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_command_that_has_left_its_group_is_killed_by_the_guard_as_well() {
    let place = Place::Servers(Cluster::start(3));
    let leaves =
        "exec perl -e '$| = 1; setpgrp(0, getpgrp(getppid())); print \"$$\\n\"; sleep 300'";
    let mut run = place.run("-t 2s", leaves).start();
    let leader = Pid::from_raw(run.next_line().parse().expect("a pid"));
    run.signal(Signal::SIGSTOP);
    let cluster = place.cluster();
    eventually("the lock is free", || cluster.locks().is_empty());
    let survived = is_alive(leader);
    if survived {
        kill(leader, Signal::SIGKILL).expect("it is there");
    }
    run.signal(Signal::SIGCONT);
    assert!(!survived, "it runs, and anybody can have the lock");
    run.end().assert_code(76);
}

#[test]
fn a_job_that_stands_still_hears_the_guard() {
    let place = Place::Servers(Cluster::start(3));
    let run = place.run("-k 700ms -t 3s", STILL).start_ready();
    thread::sleep(Duration::from_millis(300));
    run.signal(Signal::SIGSTOP);
    thread::sleep(Duration::from_secs(4));
    run.signal(Signal::SIGCONT);
    let end = run.end();
    assert!(end.stdout.contains("told"), "{end:?}");
    end.assert_code(76);
}

#[test]
fn a_kill_without_grace_by_the_guard_is_the_locks_as_well() {
    let cluster = Cluster::start(3);
    let script = "echo $$; echo ready; exec sleep 300";
    let mut run = cluster
        .redlock([
            "run", "-t", "10s", "-k", "0s", "-r", "job", "sh", "-c", script,
        ])
        .start();
    let leader = Pid::from_raw(run.next_line().parse().expect("a pid"));
    run.wait_for("ready");
    thread::sleep(Duration::from_millis(400));
    run.signal(Signal::SIGSTOP);
    eventually("the guard kills it", || !is_alive(leader));
    // Within the margin, half a second.
    run.signal(Signal::SIGCONT);
    run.end().assert_code(76);
}

#[test]
fn a_job_that_ends_after_its_lock_while_all_are_frozen_has_lost_it() {
    let cluster = Cluster::start(3);
    let script = "echo ready; sleep 4; exit 0";
    let run = cluster
        .redlock(["run", "-t", "2s", "-r", "job", "sh", "-c", script])
        .start_ready();
    thread::sleep(Duration::from_millis(300));
    let guard = guard_of(run.pid());
    kill(guard, Signal::SIGSTOP).expect("it is there");
    run.signal(Signal::SIGSTOP);
    thread::sleep(Duration::from_secs(5));
    kill(guard, Signal::SIGCONT).expect("it is there");
    thread::sleep(Duration::from_millis(200));
    run.signal(Signal::SIGCONT);
    run.end().assert_code(76);
}

#[test]
fn what_the_guard_has_told_redlock_does_not_tell_again() {
    let place = Place::Servers(Cluster::start(3));
    let script =
        "exec 2>/dev/null; trap 'echo told' TERM; echo ready; while :; do sleep 0.02; done";
    let mut run = place.run("-t 4s -k 1500ms", script).start_ready();
    thread::sleep(Duration::from_millis(400));
    run.signal(Signal::SIGSTOP);
    run.wait_for("told");
    thread::sleep(Duration::from_millis(100));
    run.signal(Signal::SIGCONT);
    let end = run.end();
    assert_eq!(end.stdout, "ready\ntold\n", "{end:?}");
    end.assert_code(76);
}

#[test]
fn the_guard_keeps_the_grace_of_a_job_that_is_being_stopped() {
    let place = Place::Servers(Cluster::start(3));
    let script = "trap 'echo told' TERM; echo $$; while :; do sleep 0.05; done";
    let mut run = place
        .run("--max-runtime 1s -k 2500ms -t 6s", script)
        .start();
    let leader = Pid::from_raw(run.next_line().parse().expect("a pid"));
    run.wait_for("told");
    let told = clock::now();
    // An extension comes meanwhile.
    thread::sleep(Duration::from_millis(1_900));
    run.signal(Signal::SIGSTOP);
    eventually("it is killed", || !is_alive(leader));
    let grace = clock::now().since(told);
    run.signal(Signal::SIGCONT);
    assert!(grace < Duration::from_secs(4), "{grace:?}");
    run.end().assert_code(124);
}

#[test]
fn a_guard_that_comes_late_keeps_the_grace_of_a_job_that_is_being_stopped_as_well() {
    let place = Place::Servers(Cluster::start(3));
    let script = "trap 'echo told' TERM; echo $$; while :; do sleep 0.05; done";
    let options = "--max-runtime 300ms -k 1500ms -t 1h";
    let mut run = place.run(options, script).start();
    let leader = Pid::from_raw(run.next_line().parse().expect("a pid"));
    run.wait_for("told");
    let first = guard_of(run.pid());
    kill(first, Signal::SIGKILL).expect("it runs");
    eventually("another guard", || {
        find_guard(run.pid()).is_some_and(|guard| guard != first)
    });
    // It has told it everything.
    eventually("redlock rests", || is_asleep(run.pid()));
    run.signal(Signal::SIGSTOP);
    eventually("it is killed", || !is_alive(leader));
    run.signal(Signal::SIGCONT);
    run.end().assert_code(124);
}
