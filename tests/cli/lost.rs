//! Servers that go away in the middle of a job.

use std::thread;
use std::time::Duration;

use nix::unistd::Pid;
use redlock::clock::{self, Instant};

use crate::support::process::is_alive;
use crate::support::proxy::{self, Fate};
use crate::support::{Cluster, Place, Process, Redlock, eventually};

/// A job with a grandchild, both of which ignore TERM; prints their ids, then `ready`.
const STUBBORN: &str = "trap '' TERM; sh -c 'trap \"\" TERM; while :; do sleep 0.05; done' & \
                        echo $$ $!; echo ready; while :; do sleep 0.05; done";

const TTL: Duration = Duration::from_secs(3);

/// A job that will not stop by itself, and when it began to run.
struct Job {
    run: Process,
    members: Vec<Pid>,
}

impl Job {
    fn start(cluster: &Cluster) -> Self {
        let arguments = [
            "run", "-t", "3s", "-k", "500ms", "-r", "job", "sh", "-c", STUBBORN,
        ];
        let mut run = cluster.redlock(arguments).start();
        let ids = run.next_line();
        let members = ids
            .split(' ')
            .map(|id| Pid::from_raw(id.parse().expect("a pid")))
            .collect();
        run.wait_for("ready");
        Self { run, members }
    }

    fn any_alive(&self) -> bool {
        self.members.iter().any(|&member| is_alive(member))
    }

    /// Waits until all of the job is dead, and says how long that took from `since`.
    fn dead_after(&self, since: Instant) -> Duration {
        eventually("the whole group is dead", || !self.any_alive());
        clock::now().since(since)
    }
}

#[test]
fn a_contender_who_leaves_a_server_late_does_not_leave_the_lock_on_a_bare_quorum() {
    // The next extension is in a quarter of an hour.
    let cluster = Cluster::start(3);
    let _: () = cluster.servers[2].ask(&["SET", "lock:job", "another's"]);
    let mut run = cluster.run("-t 45m", "echo ready; read _").start_ready();
    // Rounds have come and gone by then that have found him there.
    thread::sleep(Duration::from_millis(500));
    let _: () = cluster.servers[2].ask(&["DEL", "lock:job"]);
    eventually("the lock is on all of them", || cluster.locks().len() == 3);
    run.write_line("");
    run.end().assert_code(0).assert_silent();
}

#[test]
fn a_job_is_dead_before_the_lock_passes_when_a_majority_is_killed() {
    let mut cluster = Cluster::start(3);
    let job = Job::start(&cluster);
    let cut_off = clock::now();
    cluster.servers[0].kill();
    cluster.servers[1].kill();
    // The last extension was before the cut: the validity ends less than a TTL after it.
    assert!(job.dead_after(cut_off) < TTL, "it outlived the lock");
    let end = job.run.end();
    end.assert_code(76)
        .assert_says(&["lost job", "could not be extended", "connection refused"]);
    assert_eq!(cluster.servers[2].locks(), [""; 0]);
}

#[test]
fn a_job_is_dead_before_the_lock_passes_when_a_majority_hangs() {
    let cluster = Cluster::start(5);
    let job = Job::start(&cluster);
    let cut_off = clock::now();
    for server in &cluster.servers[..3] {
        server.hang();
    }
    assert!(job.dead_after(cut_off) < TTL, "it outlived the lock");
    job.run
        .end()
        .assert_code(76)
        .assert_says(&["lost job", "no answer within"]);
}

#[test]
fn a_job_is_stopped_when_a_majority_of_the_keys_is_deleted_by_hand() {
    let cluster = Cluster::start(3);
    let job = Job::start(&cluster);
    let deleted = clock::now();
    for server in &cluster.servers[..2] {
        let _: () = server.ask(&["DEL", "lock:job"]);
    }
    assert!(job.dead_after(deleted) < TTL, "it outlived the lock");
    let end = job.run.end();
    end.assert_code(76)
        .assert_says(&["lost job", "a majority of the servers says", "gone"]);
    // A lost lock is never healed, and what was left of it was released.
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn whoever_took_the_keys_over_still_has_them_afterwards() {
    let cluster = Cluster::start(3);
    let job = Job::start(&cluster);
    let taken = clock::now();
    for server in &cluster.servers[..2] {
        let _: () = server.ask(&["SET", "lock:job", "somebody else's", "PX", "60000"]);
    }
    assert!(job.dead_after(taken) < TTL, "it outlived the lock");
    job.run
        .end()
        .assert_code(76)
        .assert_says(&["lost job", "held by another program"]);
    for server in &cluster.servers[..2] {
        assert_eq!(server.get("lock:job"), Some(b"somebody else's".to_vec()));
    }
    assert_eq!(cluster.servers[2].locks(), [""; 0]);
}

#[test]
fn a_job_that_heeds_the_signal_ends_at_once_when_the_lock_is_lost() {
    let cluster = Cluster::start(3);
    let script = "exec 2>/dev/null; trap 'echo stopping; exit 0' USR1; echo ready; while :; do sleep 0.05; done";
    let arguments = [
        "run", "-t", "2s", "-s", "USR1", "-r", "job", "sh", "-c", script,
    ];
    let mut run = cluster.redlock(arguments).start_ready();
    for server in &cluster.servers {
        let _: () = server.ask(&["DEL", "lock:job"]);
    }
    run.wait_for("stopping");
    run.end()
        .assert_code(76)
        .assert_says(&["stopping the command with SIGUSR1"]);
}

#[test]
fn a_loss_tells_of_the_last_round_that_had_time_for_answers() {
    let place = Place::Servers(Cluster::start(3));
    let options = "-t 1s --on-lost warn";
    let mut run = place.run(options, "echo ready; read _").start();
    run.wait_for("ready");
    for server in &place.cluster().servers {
        server.hang();
    }
    // Longer than the TTL, so that the loss was noticed.
    thread::sleep(Duration::from_millis(1_500));
    run.write_line("");
    let end = run.end();
    end.assert_code(76).assert_says(&["no answer within"]);
    assert!(!end.stderr.contains("within 1ms"), "{end:?}");
}

#[test]
fn on_lost_warn_lets_the_job_end_and_tells_of_the_loss_all_the_same() {
    let cluster = Cluster::start(3);
    let script = "echo ready; read _; echo done; exit 5";
    let mut run = cluster.run("-t 1s --on-lost warn", script).start_ready();
    for server in &cluster.servers {
        let _: () = server.ask(&["SET", "lock:job", "somebody else's", "PX", "60000"]);
    }
    // Longer than the TTL, so that the loss was noticed and the deadline is over.
    thread::sleep(Duration::from_millis(1500));
    run.write_line("");
    run.wait_for("done");
    let end = run.end();
    end.assert_code(76)
        .assert_says(&["lost job", "runs on (--on-lost warn)"]);
    assert!(
        cluster
            .values("lock:job")
            .iter()
            .all(|v| *v == Some(b"somebody else's".to_vec()))
    );
}

#[test]
fn a_minority_that_restarts_empty_gets_its_key_back_and_the_job_goes_on() {
    let mut cluster = Cluster::start(3);
    let mut run = cluster.run("-t 2s", "echo ready; read _").start_ready();
    let value = cluster.servers[1].get("lock:job");
    cluster.servers[0].kill();
    cluster.servers[0].restart();
    eventually("the key is back", || {
        cluster.servers[0].get("lock:job").is_some()
    });
    assert_eq!(
        cluster.servers[0].get("lock:job"),
        value,
        "healed with the same value"
    );
    // And it is kept there from now on.
    thread::sleep(Duration::from_secs(3));
    assert!(
        cluster.pttls("lock:job").iter().all(|&rest| rest > 600),
        "{:?}",
        cluster.pttls("lock:job")
    );
    run.write_line("");
    run.end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_server_that_comes_while_the_job_runs_gets_the_key_and_gives_it_back() {
    let mut cluster = Cluster::start(3);
    cluster.servers[2].kill();
    let mut run = cluster.run("-t 2s", "echo ready; read _").start_ready();
    cluster.servers[2].restart();
    eventually("the key is there as well", || {
        cluster.servers[2].get("lock:job").is_some()
    });
    run.write_line("");
    run.end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_node_that_was_not_free_has_the_key_as_soon_as_the_holder_listens() {
    let cluster = Cluster::start(3);
    // As the attempt of a contender who came to nothing.
    let _: () = cluster.servers[2].ask(&["SET", "lock:job", "somebody else's"]);
    let mut run = cluster
        .redlock([
            "run",
            "-t",
            "10m",
            "-r",
            "job",
            "sh",
            "-c",
            "echo ready; read _",
        ])
        .start();
    run.wait_for("ready");
    let _: i64 = cluster.servers[2].ask(&["DEL", "lock:job"]);
    // And not only after a third of the TTL.
    eventually("the key is there", || {
        cluster.servers[2].get("lock:job").is_some()
    });
    assert_eq!(
        cluster.values("lock:job")[0],
        cluster.servers[2].get("lock:job")
    );
    run.write_line("");
    run.end().assert_code(0).assert_silent();
}

#[test]
fn a_lock_does_not_hang_on_the_servers_that_it_was_acquired_on() {
    let mut cluster = Cluster::start(3);
    let redlock = |words: &[&'static str]| cluster.redlock(words.iter().copied());
    // A contender who came to nothing was quicker on the first server, and is gone too late for the
    // first round, which puts the key on all.
    let _: () = cluster.servers[0].ask(&["SET", "lock:job", "another's", "PX", "800"]);
    let script = "echo ready; sleep 5; exit 5";
    let run = redlock(&["run", "-t", "3s", "-r", "job", "sh", "-c", script]).start_ready();
    eventually("the other is gone", || {
        cluster.servers[0].get("lock:job").is_none()
    });
    cluster.servers[2].kill();
    run.end().assert_code(5);
}

#[test]
fn a_lock_is_extended_for_as_long_as_its_job_runs() {
    let cluster = Cluster::start(3);
    let run = cluster.run("-t 2s", "echo ready; sleep 7").start_ready();
    let began = clock::now();
    let mut lowest = i64::MAX;
    while clock::now().since(began) < Duration::from_millis(6_500) {
        lowest = lowest.min(
            cluster
                .pttls("lock:job")
                .into_iter()
                .min()
                .unwrap_or_default(),
        );
        let contender = cluster.redlock(["run", "-r", "job", "echo", "never"]).end();
        contender.assert_code(75);
    }
    // It is extended every third of the TTL: two thirds are left then, less what a busy machine
    // takes.
    assert!(lowest >= 667, "the rest fell to {lowest} ms");
    run.end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_foreign_value_on_one_node_survives_the_release() {
    let cluster = Cluster::start(3);
    let arguments = ["run", "-r", "job", "sh", "-c", "echo ready; read _"];
    let mut run = cluster.redlock(arguments).start_ready();
    let _: () = cluster.servers[2].ask(&["SET", "lock:job", "somebody else's"]);
    run.write_line("");
    run.end().assert_code(0);
    assert_eq!(
        cluster.values("lock:job"),
        [None, None, Some(b"somebody else's".to_vec())]
    );
}

#[test]
fn a_release_takes_no_longer_than_it_may_however_patient_one_is_otherwise() {
    let cluster = Cluster::start(3);
    let words = ["run", "-t", "1m", "--node-timeout", "20s", "-r", "job"];
    let words = words.into_iter().chain(["sh", "-c", "echo ready; read _"]);
    let mut run = cluster.redlock(words).start_ready();
    cluster.servers[0].hang();
    cluster.servers[1].hang();
    let ended = clock::now();
    run.write_line("");
    let end = run.end();
    end.assert_code(0)
        .assert_says(&["job was not released on a quorum"]);
    // A second, which a busy machine may stretch.
    let took = clock::now().since(ended);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_release_that_reaches_no_quorum_says_until_when_others_are_locked_out() {
    let mut cluster = Cluster::start(3);
    let script = "echo ready; read _; exit 4";
    let mut run = cluster
        .redlock(["run", "-t", "30s", "-r", "job", "sh", "-c", script])
        .start_ready();
    cluster.servers[0].kill();
    cluster.servers[1].hang();
    run.write_line("");
    let end = run.end();
    // The code stays the job's.
    end.assert_code(4)
        .assert_says(&["job was not released on a quorum", "locked out until 20"]);
}

#[test]
fn that_the_lock_of_a_command_that_was_not_found_is_not_released_is_told() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    for proxy in &proxies[..2] {
        proxy.set_requests_that_say("'not ours'", Fate::Drop);
    }
    let run = Redlock::new(["run", "-r", "job", "no-such-command"]);
    let end = run.env("REDLOCK_SERVERS", urls).end();
    end.assert_code(127);
    let told = "job was not released on a quorum";
    assert!(end.stderr.contains(told), "{end:?}");
}

#[test]
fn a_release_is_repeated_when_all_connections_broke_meanwhile() {
    let cluster = Cluster::start(3);
    let script = "echo ready; read _";
    let mut run = cluster
        .redlock(["run", "-r", "job", "sh", "-c", script])
        .start_ready();
    cluster.wait_for_listeners(1);
    for server in &cluster.servers {
        let _: u32 = server.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    run.write_line("");
    run.end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_release_is_repeated_on_new_connections() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let script = "echo ready; read _";
    let mut run = Redlock::new(["run", "-r", "job", "sh", "-c", script])
        .env("REDLOCK_SERVERS", urls)
        .start_ready();
    cluster.wait_for_listeners(1);
    for proxy in &proxies {
        proxy.forget();
    }
    run.write_line("");
    run.end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_firewall_that_forgets_connections_does_not_cost_a_lock() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let script = "echo ready; sleep 5; exit 3";
    let run = Redlock::new(["run", "-t", "3s", "-r", "job", "sh", "-c", script])
        .env("REDLOCK_SERVERS", urls)
        .start_ready();
    cluster.wait_for_listeners(1);
    for proxy in &proxies {
        proxy.forget();
    }
    run.end().assert_code(3);
}

#[test]
fn a_server_that_has_taken_over_the_address_of_another_does_not_keep_a_lock_for_both() {
    let mut cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let redlock =
        |arguments: &[&str]| Redlock::new(arguments.iter().copied()).env("REDLOCK_SERVERS", &urls);
    let token = redlock(&["acquire", "-r", "by-hand", "-t", "30s"]).end();
    let token = token.assert_code(0).stdout.trim_end();
    let job = [
        "run",
        "-t",
        "3s",
        "-r",
        "job",
        "sh",
        "-c",
        "echo ready; sleep 60",
    ];
    let run = redlock(&job).start_ready();
    proxies[1].lead_to(&cluster.servers[0]);
    cluster.servers[1].kill();
    cluster.servers[2].kill();
    let why = &["answered by another name"];
    run.end().assert_code(76).assert_says(why);
    let end = redlock(&["extend", "-r", "by-hand", "--token", token, "-t", "30s"]).end();
    end.assert_code(69).assert_says(why);
}

#[test]
fn a_late_set_on_a_connection_that_was_given_up_is_taken_back() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    proxies[2].set_requests(Fate::Delay(Duration::from_secs(3)));
    let script = "echo ready; read _";
    let mut run = Redlock::new(["run", "-t", "30s", "-r", "job", "sh", "-c", script])
        .env("REDLOCK_SERVERS", urls)
        .start_ready();
    proxies[2].set_requests(Fate::Pass);
    // The first round, after 200 ms, gives that connection up.
    thread::sleep(Duration::from_millis(800));
    run.write_line("");
    run.end().assert_code(0);
    thread::sleep(Duration::from_millis(3500));
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_lock_that_somebody_made_permanent_stays_so() {
    let cluster = Cluster::start(3);
    let script = "echo ready; read _";
    let mut run = cluster
        .redlock(["run", "-t", "2s", "-r", "job", "sh", "-c", script])
        .start_ready();
    for server in &cluster.servers {
        let _: u32 = server.ask(&["PERSIST", "lock:job"]);
    }
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(cluster.pttls("lock:job"), [-1, -1, -1]);
    run.write_line("");
    run.end().assert_code(0);
}

#[test]
fn what_is_put_back_leaves_the_other_its_longer_time() {
    let cluster = Cluster::start(3);
    let script = "echo ready; read _";
    let mut run = cluster
        .redlock(["run", "-t", "2s", "-r", "a", "-r", "b", "sh", "-c", script])
        .start_ready();
    let server = &cluster.servers[0];
    let _: u32 = server.ask(&["PEXPIRE", "lock:a", "3600000"]);
    let _: u32 = server.ask(&["DEL", "lock:b"]);
    eventually("it is back", || server.get("lock:b").is_some());
    let rest: i64 = server.ask(&["PTTL", "lock:a"]);
    assert!(rest > 3_000_000, "{rest}");
    run.write_line("");
    run.end().assert_code(0);
}

#[test]
fn a_server_that_has_closed_its_connection_is_told_of_the_release_on_a_new_one() {
    let cluster = Cluster::start(3);
    let mut run = cluster.run("-t 10m", "echo ready; read _").start_ready();
    let closed: i64 =
        cluster.servers[2].ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    assert!(closed > 0, "it was connected");
    run.write_line("");
    run.end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_lock_that_is_gone_is_told_also_where_connections_were_closed() {
    let cluster = Cluster::start(3);
    let script = "echo ready; read _";
    let run = ["run", "-t", "10m", "-r", "job", "sh", "-c", script];
    let mut run = cluster.redlock(run).start_ready();
    for server in &cluster.servers {
        let _: () = server.ask(&["FLUSHALL"]);
        let _: i64 = server.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    run.write_line("");
    run.end().assert_code(0).assert_says(&[
        "if they had lost it before",
        "somebody may have run beside it",
    ]);
}
