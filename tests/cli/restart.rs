//! Servers that have just restarted, and may have forgotten a lock, do not vote for a while.

use std::time::Duration;

use crate::support::proxy::{Fate, Proxy};
use crate::support::{Cluster, Redlock, Server, eventually};

/// A run with the restart guard at `mode`.
fn run(cluster: &Cluster, mode: &str, arguments: &[&str]) -> Redlock {
    let run = ["run", "-r", "job"];
    let job = ["--", "echo", "ran"];
    let arguments = run.iter().chain(arguments).chain(&job).copied();
    cluster
        .redlock(arguments)
        .env("REDLOCK_RESTART_GUARD", mode)
}

#[test]
fn when_all_servers_have_just_started_a_job_runs_at_once() {
    let cluster = Cluster::start(3);
    run(&cluster, "auto", &[])
        .end()
        .assert_code(0)
        .assert_silent();
    let told = run(&cluster, "auto", &["-v"]).end();
    assert!(told.stderr.contains("a cold start"), "{told:?}");
    assert_eq!(cluster.servers[0].locks(), [""; 0]);
}

#[test]
fn a_ttl_that_is_longer_than_the_window_is_mentioned_to_who_asks() {
    let cluster = Cluster::start(3);
    let long = ["-v", "-t", "10m"];
    let mentioned = "the TTL of job, 10m, is longer than the restart window, 1m";
    let end = run(&cluster, "auto", &long).end();
    end.assert_code(0);
    assert!(end.stderr.contains(mentioned), "{end:?}");
    for (guard, options) in [
        ("off", &long[..]),
        ("auto", &["-v", "-t", "10m", "--restart-window", "10m"]),
        ("auto", &["-v", "-t", "1m"]),
    ] {
        let end = run(&cluster, guard, options).end();
        assert!(!end.stderr.contains("restart window"), "{end:?}");
    }
}

#[test]
fn a_cold_start_takes_all_servers() {
    let mut cluster = Cluster::start(3);
    cluster.servers[2].kill();
    let end = run(&cluster, "auto", &[]).end();
    end.assert_code(69).assert_says(&["no quorum", "restarted"]);
}

#[test]
fn a_cold_start_says_which_server_cannot_grant_and_doctor_agrees() {
    let cluster = Cluster::start(3);
    let _: () = cluster.servers[0].ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let end = run(&cluster, "auto", &[]).end();
    let servers = cluster.servers.iter().map(Server::name);
    let mut parts = vec!["each must grant it", "OOM"];
    let servers: Vec<String> = servers.collect();
    parts.extend(servers.iter().map(String::as_str));
    end.assert_code(69).assert_says(&parts);
    assert_eq!((end.stdout.as_str(), cluster.locks().len()), ("", 0));
    let doctor = cluster.redlock(["doctor"]);
    let doctor = doctor.env("REDLOCK_RESTART_GUARD", "auto").end();
    let verdict = &doctor.assert_code(69).stdout;
    assert!(verdict.starts_with("NO QUORUM"), "{verdict}");
}

#[test]
fn a_strict_guard_names_the_servers_and_says_when_they_vote_again() {
    let cluster = Cluster::start(3);
    let end = run(&cluster, "strict", &[]).end();
    let names: Vec<String> = cluster.servers.iter().map(Server::name).collect();
    end.assert_code(69).assert_says(&[
        &names[0],
        &names[1],
        &names[2],
        "restarted",
        "votes again in",
    ]);
}

#[test]
fn a_log_tells_of_servers_that_restarted_alike_for_a_run_and_by_hand() {
    let cluster = Cluster::start(3);
    let events = [&["run", "--", "true"][..], &["acquire"]].map(|command| {
        let named = ["-r", "job", "--log-format", "json"];
        let words = command[..1].iter().chain(&named).chain(&command[1..]);
        let guarded = cluster
            .redlock(words.copied())
            .env("REDLOCK_RESTART_GUARD", "strict");
        let end = guarded.end();
        end.assert_code(69);
        let event: serde_json::Value = serde_json::from_str(&end.stderr).expect("one line");
        let nodes = event["nodes"].as_object().map(serde_json::Map::len);
        assert_eq!(nodes, Some(3), "{event}");
        event["event"].clone()
    });
    assert_eq!(events, ["restarted", "restarted"]);
}

#[test]
fn a_waiter_waits_until_the_servers_vote_again() {
    let cluster = Cluster::start(3);
    let window = ["-t", "500ms", "--restart-window", "500ms", "-w"];
    let end = run(&cluster, "strict", &window).end();
    end.assert_code(0);
    assert!(end.took > Duration::from_millis(500), "{end:?}");
}

#[test]
fn a_young_server_still_says_who_holds_the_lock() {
    let cluster = Cluster::start(3);
    let mut holder = cluster
        .redlock(["run", "-r", "job", "--", "sh", "-c", "echo runs; read -r _"])
        .start();
    holder.wait_for("runs");
    run(&cluster, "strict", &[]).end().assert_code(75);
    holder.close_stdin();
    holder.end();
}

#[test]
fn a_server_whose_age_nobody_may_know_votes() {
    let secretive = || Server::with(&["--rename-command", "INFO", ""]);
    let servers = (0..3).map(|_| secretive()).collect();
    let cluster = Cluster { servers };
    run(&cluster, "strict", &[]).end().assert_code(0);
}

/// A holder on two servers of three, one of which then restarts without its data, before the holder
/// can extend; the third has never seen the lock. What a contender with the guard at `mode` gets.
fn second_holder(mode: &str) -> String {
    let mut cluster = Cluster::start(3);
    let ttl = ["-t", "8s", "--restart-window", "8s"];
    // A waiter gets the lock as soon as the servers are old enough to vote.
    let old_enough = ["-w", "30s"];
    let old = ttl.iter().chain(&old_enough).copied().collect::<Vec<_>>();
    run(&cluster, "strict", &old).end().assert_code(0);

    let deaf = Proxy::before(&cluster.servers[2]);
    deaf.set_requests(Fate::Drop);
    let urls = [
        cluster.servers[0].url(),
        cluster.servers[1].url(),
        deaf.url(),
    ];
    let job = [
        "run",
        "-t",
        "8s",
        "-r",
        "job",
        "sh",
        "-c",
        "echo ready; read _",
    ];
    let _holder = Redlock::new(job)
        .env("REDLOCK_SERVERS", urls.join(" "))
        .start_ready();
    // The first extension comes after a third of the TTL, and this takes a fraction of that. It
    // finds one server of three; the lock is held until the TTL is over, and the contender tries
    // for five seconds.
    cluster.servers[0].kill();
    cluster.servers[0].restart();
    let contender = run(&cluster, mode, &ttl).end();
    assert!(contender.took < Duration::from_secs(7), "{contender:?}");
    contender.stdout
}

#[test]
fn one_of_three_servers_that_restarts_empty_makes_no_second_holder() {
    assert_eq!(second_holder("auto"), "");
}

#[test]
fn without_the_guard_it_makes_one() {
    // So the test above can fail.
    assert_eq!(second_holder("off"), "ran\n");
}

#[test]
fn a_job_keeps_its_lock_while_all_servers_restart_one_after_the_other() {
    let mut cluster = Cluster::start(3);
    let job = [
        "run",
        "-t",
        "3s",
        "-r",
        "job",
        "sh",
        "-c",
        "echo ready; read _; exit 7",
    ];
    let mut holder = cluster.redlock(job).start_ready();
    let value = cluster.servers[0].get("lock:job");
    for index in 0..3 {
        cluster.servers[index].kill();
        cluster.servers[index].restart();
        eventually("one extension has brought the key back", || {
            cluster.servers[index].get("lock:job") == value
        });
    }
    run(&cluster, "off", &[]).end().assert_code(75);
    holder.write_line("");
    holder.end().assert_code(7).assert_silent();
}
