//! `redlock history`: on Monday somebody asks which host ran it.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::proxy::{self, Fate, Proxy};
use crate::support::{BadNode, Cluster, Place, Redlock, Server, eventually};

#[track_caller]
fn history(place: &Place) -> Vec<Value> {
    let end = place.redlock(["history", "job", "--json"]).end();
    end.assert_code(0).assert_silent();
    serde_json::from_str(&end.stdout).unwrap_or_else(|_| panic!("no array: {end:?}"))
}

fn column(runs: &[Value], name: &str) -> Vec<Value> {
    runs.iter().map(|run| run[name].clone()).collect()
}

#[test]
fn the_last_runs_are_told_the_latest_first_and_a_skip_is_none() {
    for place in Place::each() {
        assert_eq!(history(&place), [json!(null); 0]);
        place.run("", "exit 0").env("LOGNAME", "me").end();
        place.run("", "sleep 0.2; exit 3").end().assert_code(3);
        place.run("", "kill -TERM $$").end();
        place
            .run("--max-runtime 100ms", "sleep 9")
            .end()
            .assert_code(124);
        let missing = ["run", "-r", "job", "no-such-thing"];
        place.redlock(missing).end().assert_code(127);
        place.run("--min-hold 1h", "true").end().assert_code(0);
        place.run("", "true").end().assert_code(75);
        let runs = history(&place);
        let outcomes = ["ran", "not_started", "timed_out", "ran", "ran", "ran"];
        assert_eq!(column(&runs, "outcome"), outcomes);
        let codes = json!([0, 127, null, null, 3, 0]);
        assert_eq!(Value::from(column(&runs, "exit_code")), codes);
        let signals = json!([null, null, "TERM", "TERM", null, null]);
        assert_eq!(Value::from(column(&runs, "signal")), signals);
        assert!(column(&runs, "resource").iter().all(|name| name == "job"));
        assert!(runs[4]["ran_ms"].as_u64() >= Some(200), "{runs:?}");
        let started = runs[0]["started"].as_str().expect("a text");
        assert!(humantime_like(started), "{started}");
        let tokens = column(&runs, "fencing_token");
        let tokens: Vec<u64> = tokens
            .iter()
            .map(|token| token.as_u64().expect("a number"))
            .collect();
        assert!(
            tokens.is_sorted_by(|later, earlier| later > earlier),
            "{tokens:?}"
        );
    }
}

/// `2026-11-25T08:00:00.000Z`
fn humantime_like(text: &str) -> bool {
    text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T'
}

#[test]
fn people_get_a_table_without_any_command_line() {
    let place = &Place::each()[1];
    let empty = place.redlock(["history", "job"]).end();
    assert_eq!(empty.assert_code(0).stdout, "");
    place.run("--note private", "exit 3 # secret").end();
    let end = place.redlock(["history", "job"]).end();
    end.assert_code(0);
    let lines: Vec<&str> = end.stdout.lines().collect();
    assert!(lines[0].starts_with("STARTED") && lines[0].ends_with("FENCING TOKEN"));
    assert!(lines[1].contains("  exit 3  "), "{end:?}");
    assert!(!end.stdout.contains("secret") && !end.stdout.contains("private"));
}

#[test]
fn it_is_bounded_in_number_size_and_time() {
    let place = Place::Servers(Cluster::start(1));
    let cluster = place.cluster();
    for _ in 0..25 {
        let run = place.run("--any-quorum", "true");
        run.env("LOGNAME", "x".repeat(5_000)).end().assert_code(0);
    }
    let server = &cluster.servers[0];
    let length: usize = server.ask(&["LLEN", "{lock:job}:history"]);
    assert_eq!(length, 20);
    let lines: Vec<String> = server.ask(&["LRANGE", "{lock:job}:history", "0", "-1"]);
    assert!(lines.iter().all(|line| line.len() <= 512), "{lines:?}");
    let rest: i64 = server.ask(&["TTL", "{lock:job}:history"]);
    assert!((3_023_000..=3_024_000).contains(&rest), "35 days: {rest}");
}

#[test]
fn it_costs_no_round_trip_and_can_be_left_out() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let requests = |more: &[&str]| {
        let sum = || proxies.iter().map(Proxy::requests).sum::<usize>();
        let before = sum();
        let words = ["run", "-r", "job"].iter().chain(more).chain(&["true"]);
        let run = Redlock::new(words.copied()).env("REDLOCK_SERVERS", &urls);
        run.end().assert_code(0);
        sum() - before
    };
    // Two round trips to three servers. What the last one is sent is not waited for, and may come in
    // one piece, or be counted with the next run; another round trip would be three more.
    assert!(requests(&["--no-history"]) < 9);
    let place = Place::Servers(cluster);
    assert_eq!(history(&place), [json!(null); 0]);
    assert!(requests(&[]) < 9);
    assert_eq!(history(&place).len(), 1);
}

#[test]
fn a_quorum_of_nodes_knows_all_and_less_is_an_outage() {
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut cluster = Cluster {
        servers: (0..3).map(|_| Server::with(&durable)).collect(),
    };
    for victim in 0..3 {
        // Each run misses another node.
        cluster.servers[victim].kill();
        let run = ["run", "-r", "job", "--node-timeout", "1s", "true"];
        cluster.redlock(run).end().assert_code(0);
        cluster.servers[victim].restart();
    }
    let place = Place::Servers(cluster);
    assert_eq!(history(&place).len(), 3);
    let (one, two) = (BadNode::refusing(), BadNode::refusing());
    let cluster = place.cluster();
    let urls = format!("{},{},{}", cluster.servers[0].url(), one.url, two.url);
    let end = Redlock::new(["history", "job", "--json"])
        .env("REDLOCK_SERVERS", urls)
        .end();
    end.assert_code(69).assert_says(&[
        "no quorum for the history of job",
        "2 of 3",
        "connection refused",
    ]);
    let known: Vec<Value> = serde_json::from_str(&end.stdout).expect("an array");
    assert!(known.len() < 3, "{known:?}");
}

#[test]
fn nodes_that_answer_one_after_the_other_are_a_quorum() {
    let mut cluster = Cluster::start(3);
    cluster
        .redlock(["run", "-r", "job", "true"])
        .end()
        .assert_code(0);
    let (proxies, urls) = proxy::before_each(&cluster);
    // The first is there once, the second is not there at once.
    proxies[0].close_after(1);
    proxies[1].close_after(0);
    cluster.servers[2].kill();
    let history = Redlock::new(["history", "job", "--json"]).env("REDLOCK_SERVERS", urls);
    let end = history.end();
    end.assert_code(0).assert_silent();
    let runs: Vec<Value> = serde_json::from_str(&end.stdout).expect("an array");
    assert_eq!(runs.len(), 1);
}

#[test]
fn a_server_that_does_not_let_us_write_it_lets_go_of_the_lock_all_the_same() {
    let cluster = Cluster::start(3);
    for server in &cluster.servers {
        let keys = ["resetkeys", "~lock:*", "~{lock:*}:fence"];
        let words = ["ACL", "SETUSER", "limited", "on", "nopass", "+@all"];
        let _: () = server.ask(&[&words[..], &keys].concat());
    }
    let run = ["run", "-r", "job", "--min-hold", "1h", "true"];
    let limited = cluster.urls().replace("redis://", "redis://limited:any@");
    let end = cluster.redlock(run).env("REDLOCK_SERVERS", limited).end();
    end.assert_code(0).assert_silent();
    let values = cluster.values("lock:job");
    assert!(
        values.iter().flatten().all(|value| value[32] == b'~'),
        "{values:?}"
    );
}

#[test]
fn slow_servers_are_asked_again_and_for_longer() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    for proxy in &proxies {
        proxy.set_replies(Fate::Delay(Duration::from_millis(150)));
    }
    let history = Redlock::new(["history", "job"]).env("REDLOCK_SERVERS", urls);
    history.end().assert_code(0);
}

#[test]
fn a_name_is_needed_and_must_be_one() {
    let place = &Place::each()[1];
    let end = place.redlock(["history"]).end();
    end.assert_code(64)
        .assert_says(&["no name given", "redlock history daily-report"]);
    let end = place.redlock(["history", ""]).end();
    end.assert_code(64).assert_says(&["NAME: ", "empty"]);
}

#[test]
fn inspect_shows_the_last_run_and_says_when_a_lock_by_hand_is_too_short_for_it() {
    for place in Place::each() {
        place.run("", "sleep 0.8; exit 3").end().assert_code(3);
        let free = place.redlock(["inspect", "job"]).end();
        free.assert_code(3);
        assert!(free.stdout.contains("last run"), "{free:?}");
        assert!(free.stdout.contains("exit 3"), "{free:?}");

        for (ttl, is_short) in [("1s", true), ("20s", false)] {
            let token = place.redlock(["acquire", "-r", "job", "-t", ttl]).end();
            let token = token.assert_code(0).stdout.trim().to_owned();
            let held = place.redlock(["inspect", "job"]).end();
            let told = "less than twice";
            assert_eq!(
                held.assert_code(0).stdout.contains(told),
                is_short,
                "{held:?}"
            );
            let release = place.redlock(["release", "-r", "job"]);
            release.env("REDLOCK_TOKEN", token).end().assert_code(0);
        }
    }
}

#[test]
fn a_name_that_is_given_twice_counts_once() {
    let cluster = Cluster::start(3);
    cluster
        .redlock(["run", "-r", "a", "-r", "a", "true"])
        .end()
        .assert_code(0);
    assert_eq!(cluster.locks(), [""; 0]);
    for server in &cluster.servers {
        let runs: u32 = server.ask(&["LLEN", "{lock:a}:history"]);
        assert_eq!(runs, 1);
    }
}

#[test]
fn a_release_whose_answer_was_lost_is_one_run() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let script = "echo ready; read _";
    let mut run = Redlock::new([
        "run",
        "-r",
        "job",
        "--node-timeout",
        "400ms",
        "sh",
        "-c",
        script,
    ])
    .env("REDLOCK_SERVERS", urls)
    .start_ready();
    thread::sleep(Duration::from_millis(700));
    let before: Vec<usize> = proxies.iter().map(proxy::Proxy::requests).collect();
    for proxy in &proxies {
        proxy.set_replies(Fate::Drop);
    }
    run.write_line("");
    eventually("released", || {
        proxies.iter().zip(&before).all(|(p, b)| p.requests() > *b)
    });
    thread::sleep(Duration::from_millis(100));
    for proxy in &proxies {
        proxy.set_replies(Fate::Pass);
    }
    run.end().assert_code(0);
    for server in &cluster.servers {
        let runs: u32 = server.ask(&["LLEN", "{lock:job}:history"]);
        assert_eq!(runs, 1);
    }
}
