//! Fencing tokens grow from holder to holder, and cost no round trip of their own.

use crate::support::proxy::{self, Proxy};
use crate::support::{Cluster, End, Redlock, eventually};

/// The fencing token of one more holder.
fn next_token(cluster: &Cluster) -> u64 {
    let end = cluster
        .redlock([
            "run",
            "-r",
            "job",
            "sh",
            "-c",
            "echo $REDLOCK_FENCING_TOKEN",
        ])
        .end();
    token_of(&end)
}

fn token_of(end: &End) -> u64 {
    end.assert_code(0)
        .stdout
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("no token: {end:?}"))
}

#[test]
fn the_tokens_of_successive_holders_grow_whatever_happens_to_a_minority() {
    let mut cluster = Cluster::start(3);
    let mut last = 0;
    for holder in 0..200 {
        let victim = holder / 7 % 3;
        match holder % 7 {
            1 => cluster.servers[victim].kill(),
            // Killed above: it comes back without its counter.
            3 => cluster.servers[victim].restart(),
            4 => {
                let _: () = cluster.servers[victim].ask(&["FLUSHALL"]);
            }
            5 => {
                // An attempt that fails has raised the counter of one node.
                let other = &cluster.servers[(victim + 1) % 3];
                let third = &cluster.servers[(victim + 2) % 3];
                for server in [other, third] {
                    let _: () = server.ask(&["SET", "lock:job", "in the way", "PX", "60000"]);
                }
                cluster
                    .redlock(["run", "-r", "job", "echo", "never"])
                    .end()
                    .assert_code(75);
                for server in [other, third] {
                    let _: () = server.ask(&["DEL", "lock:job"]);
                }
            }
            _ => {}
        }
        let token = next_token(&cluster);
        assert!(token > last, "holder {holder}: {token} after {last}");
        last = token;
    }
}

#[test]
fn tokens_grow_also_when_the_clock_of_the_host_does_not() {
    let cluster = Cluster::start(3);
    // Counters that are ahead of every clock, and do not agree.
    for (server, ahead) in cluster
        .servers
        .iter()
        .zip(["9000000000000", "9000000000005", "1"])
    {
        let _: () = server.ask(&["SET", "{lock:job}:fence", ahead]);
    }
    let first = next_token(&cluster);
    assert!(first > 9_000_000_000_000, "{first}");
    let second = next_token(&cluster);
    assert!(second > first, "{second} after {first}");
    // The second round has brought the counters of a quorum to one number.
    let counters = cluster.values("{lock:job}:fence");
    let agreeing = counters
        .iter()
        .filter(|counter| **counter == Some(second.to_string().into_bytes()));
    assert!(agreeing.count() >= 2, "{counters:?}");
}

#[test]
fn acquiring_and_releasing_take_one_round_trip_each_on_one_connection_to_each_node() {
    for nodes in [3, 5] {
        let cluster = Cluster::start(nodes);
        let (proxies, urls) = proxy::before_each(&cluster);
        for run in 1..=5 {
            let job = ["run", "-r", "job", "sh", "-c", "sleep 0.1"];
            Redlock::new(job)
                .env("REDLOCK_SERVERS", &urls)
                .end()
                .assert_code(0);
            for proxy in &proxies {
                let counted = || (proxy.connections(), proxy.requests());
                eventually("the node's share of the run", || {
                    counted() >= (run, 2 * run)
                });
                assert_eq!(counted(), (run, 2 * run), "{nodes} nodes, run {run}");
            }
        }
    }
}

#[test]
fn a_skip_takes_one_round_trip() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let job = ["run", "-r", "job", "sh", "-c", "echo ready; read _"];
    let mut holder = cluster.redlock(job).start_ready();
    Redlock::new(["run", "-r", "job", "echo", "never"])
        .env("REDLOCK_SERVERS", &urls)
        .end()
        .assert_code(75);
    // Whoever has decided by two answers may not even have sent the third request.
    let counts: Vec<usize> = proxies.iter().map(Proxy::requests).collect();
    assert!(counts.iter().all(|&count| count <= 1), "{counts:?}");
    assert!(counts.iter().sum::<usize>() >= 2, "{counts:?}");
    holder.write_line("");
    holder.end().assert_code(0);
}

#[test]
fn counters_long_outlive_the_lock_and_expire_in_the_end() {
    let cluster = Cluster::start(3);
    next_token(&cluster);
    let week = 7 * 24 * 3600 * 1000;
    let rests = cluster.pttls("{lock:job}:fence");
    assert!(
        rests
            .iter()
            .all(|&rest| rest > week - 60_000 && rest <= week),
        "{rests:?}"
    );
}

#[test]
fn a_counter_that_nobody_has_counted_to_is_no_counter() {
    let cluster = Cluster::start(3);
    let first = next_token(&cluster);
    for damage in ["9007199254740992", "1e30", "nan", "inf", "-1", "soon"] {
        for server in &cluster.servers {
            let _: () = server.ask(&["SET", "{lock:job}:fence", damage]);
        }
        let second = next_token(&cluster);
        let third = next_token(&cluster);
        assert!(
            first < second && second < third,
            "{damage}: {second}, {third}"
        );
    }
}

#[test]
fn what_is_no_number_at_all_is_no_counter_either() {
    let cluster = Cluster::start(3);
    let first = next_token(&cluster);
    for server in &cluster.servers {
        let _: () = server.ask(&["DEL", "{lock:job}:fence"]);
        let _: () = server.ask(&["RPUSH", "{lock:job}:fence", "7"]);
    }
    let second = next_token(&cluster);
    assert!(first < second && second < next_token(&cluster));
}
