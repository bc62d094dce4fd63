//! Servers that have just restarted, and may have forgotten a lock, do not vote for a while.

use std::time::Duration;

use crate::support::{Cluster, Redlock, Server};

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
fn a_cold_start_takes_all_servers() {
    let mut cluster = Cluster::start(3);
    cluster.servers[2].kill();
    let end = run(&cluster, "auto", &[]).end();
    end.assert_code(69).assert_says(&["no quorum", "restarted"]);
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
