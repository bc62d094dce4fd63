//! Servers that are no good from the start: a minority does not matter, a majority is an outage.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::process::ALOUD;
use crate::support::proxy::{self, Fate};
use crate::support::{BadNode, Cluster, End, Process, Redlock, Server, eventually};

/// Runs `echo ran` with `good` and `bad` servers.
fn run_with(good: &Cluster, bad: &[BadNode]) -> End {
    let urls = bad.iter().map(|node| node.url.clone()).chain([good.urls()]);
    let urls = urls
        .filter(|url| !url.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    Redlock::new(["run", "-r", "job", "echo", "ran"])
        .env("REDLOCK_SERVERS", urls)
        .end()
}

#[test]
fn a_minority_that_cannot_vote_does_not_keep_a_job_from_running() {
    for (nodes, failing) in [(3, 1), (5, 2)] {
        for make in BadNode::failing().into_iter().chain(BadNode::refusals()) {
            let good = Cluster::start(nodes - failing);
            let bad: Vec<BadNode> = (0..failing).map(|_| make()).collect();
            let end = run_with(&good, &bad);
            let what = bad[0].what;
            assert_eq!(end.code(), Some(0), "{failing} of {nodes} {what}: {end:?}");
            assert_eq!(end.stdout, "ran\n", "{what}");
            assert_eq!(end.stderr, "", "{what}");
            assert_eq!(good.locks(), [""; 0], "{what}");
        }
    }
}

#[test]
fn a_server_that_hangs_is_not_waited_for() {
    let cluster = Cluster::start(3);
    cluster.servers[1].hang();
    // Whoever waited for it would take as long as a node may.
    let run = ["run", "--node-timeout", "20s", "-r", "job", "echo", "ran"];
    let end = cluster.redlock(run).end();
    assert_eq!(end.assert_code(0).stdout, "ran\n");
    assert!(end.took < Duration::from_secs(10), "{end:?}");
    cluster.servers[1].go_on();
}

#[test]
fn a_majority_that_cannot_vote_is_an_outage_and_every_answer_is_told() {
    for (nodes, failing) in [(3, 2), (5, 3)] {
        for make in BadNode::failing() {
            let good = Cluster::start(nodes - failing);
            let bad: Vec<BadNode> = (0..failing).map(|_| make()).collect();
            let end = run_with(&good, &bad);
            assert_eq!(end.code(), Some(69), "{}: {end:?}", bad[0].what);
            assert_tells_of_all(&end, &good, &bad);
        }
    }
}

#[test]
fn a_majority_that_turns_us_away_is_told_apart_from_an_outage() {
    for make in BadNode::refusals() {
        let good = Cluster::start(1);
        let bad = [make(), make()];
        let end = run_with(&good, &bad);
        assert_eq!(end.code(), Some(77), "{}: {end:?}", bad[0].what);
        assert_tells_of_all(&end, &good, &bad);
        end.assert_says(&["check user, password, ACL and certificates"]);
    }
}

/// One line names every node with its answer; the job did not start, and nothing was left behind.
fn assert_tells_of_all(end: &End, good: &Cluster, bad: &[BadNode]) {
    let what = bad[0].what;
    assert_eq!(end.stdout, "", "{what}: the job must not run");
    // The contract's three seconds, and one for a machine that is busy with other tests.
    assert!(end.took < Duration::from_secs(4), "{what}: {:?}", end.took);
    for node in bad {
        end.assert_says(&[
            "no quorum for job",
            node.name(),
            node.said,
            "command was not started",
        ]);
    }
    for server in &good.servers {
        end.assert_says(&[&format!("{}: free", server.name())]);
    }
    assert_eq!(good.locks(), [""; 0], "{what}");
}

#[test]
fn no_server_at_all_is_an_outage_also_for_a_waiter_whose_time_is_over() {
    let bad = [
        BadNode::refusing(),
        BadNode::refusing(),
        BadNode::refusing(),
    ];
    let urls = bad.each_ref().map(|node| node.url.clone()).join(",");
    let wait = ["run", "-w", "1s", "-r", "job", "echo", "ran"];
    let end = Redlock::new(wait).env("REDLOCK_SERVERS", urls).end();
    end.assert_code(69).assert_says(&["connection refused"]);
    assert!(end.took >= Duration::from_secs(1), "{end:?}");
}

#[test]
fn a_waiter_gets_the_lock_when_the_outage_is_over() {
    let mut cluster = Cluster::start(3);
    cluster.servers[0].kill();
    cluster.servers[1].kill();
    let run = ["run", "-v", "-w", "50s", "-r", "job", "echo", "ran"];
    let mut waiter = Redlock::under(&ALOUD, run)
        .env("REDLOCK_SERVERS", cluster.urls())
        .start();
    let seen = waiter.next_line();
    assert!(seen.contains("connection refused"), "{seen}");
    assert!(seen.ends_with("; trying again"), "{seen}");
    cluster.servers[0].restart();
    waiter.wait_for("ran");
    waiter.end().assert_code(0);
}

#[test]
fn what_was_applied_although_its_reply_was_lost_is_taken_back() {
    for fate in [Fate::Drop, Fate::Close] {
        let cluster = Cluster::start(3);
        let (proxies, urls) = proxy::before_each(&cluster);
        // No reply of two nodes arrives, and so no quorum of votes; their keys were set all the
        // same.
        proxies[0].set_replies(fate);
        proxies[1].set_replies(fate);
        // With this TTL no key goes by itself.
        let attempt = Redlock::new(["run", "-t", "10m", "-r", "job", "echo", "never"]);
        let end = attempt.env("REDLOCK_SERVERS", urls).end();
        end.assert_code(69);
        assert_eq!(end.stdout, "");
        let counters = cluster.values("{lock:job}:fence");
        assert!(
            counters.iter().all(Option::is_some),
            "the votes were applied: {counters:?}"
        );
        eventually("every key is taken back", || cluster.locks().is_empty());
    }
}

#[test]
fn a_stale_minority_key_beside_a_free_and_a_hung_node_is_no_skip() {
    let cluster = Cluster::start(3);
    // Left by somebody who died in the middle of an attempt.
    let _: () = cluster.servers[0].ask(&["SET", "lock:job", "stale", "PX", "60000"]);
    cluster.servers[1].hang();
    let end = cluster.redlock(["run", "-r", "job", "echo", "never"]).end();
    end.assert_code(69)
        .assert_says(&["another program (string, expires in ", "no answer", "free"]);
    assert!(
        end.took > Duration::from_secs(4) && end.took < Duration::from_secs(9),
        "{end:?}"
    );
    assert_eq!(cluster.servers[0].get("lock:job"), Some(b"stale".to_vec()));
    assert_eq!(cluster.servers[2].locks(), [""; 0]);
}

#[test]
fn a_real_holder_seen_through_a_hole_is_no_skip() {
    let mut cluster = Cluster::start(3);
    let mut holder = cluster
        .redlock(["run", "-r", "job", "sh", "-c", "echo ready; read _"])
        .start();
    holder.wait_for("ready");
    // One node lost the key, another is down: only one still knows the holder.
    cluster.servers[0].kill();
    let held_by = format!("pid {}", holder.pid());
    holder.signal(nix::sys::signal::Signal::SIGSTOP);
    let _: () = cluster.servers[1].ask(&["DEL", "lock:job"]);
    let end = cluster.redlock(["run", "-r", "job", "echo", "never"]).end();
    end.assert_code(69)
        .assert_says(&[&held_by, "connection refused", "free"]);
    assert_eq!(end.stdout, "");
}

/// A job that has the lock on every server, and ends when a line is written to it.
fn job_that_waits(cluster: &Cluster) -> Process {
    let script = "echo ready; read _";
    let run = ["run", "-t", "10m", "-r", "job", "sh", "-c", script];
    let run = cluster.redlock(run).start_ready();
    eventually("the lock is everywhere", || {
        cluster.values("lock:job").iter().all(Option::is_some)
    });
    run
}

#[test]
fn a_release_reaches_a_node_that_hung_when_the_job_ended_and_does_not_wait_for_it() {
    let cluster = Cluster::start(3);
    let mut run = job_that_waits(&cluster);
    cluster.servers[1].hang();
    run.write_line("");
    run.end().assert_code(0).assert_silent();
    cluster.servers[1].go_on();
    eventually("it is gone everywhere", || {
        cluster.values("lock:job").iter().all(Option::is_none)
    });
}

#[test]
fn a_lock_that_was_gone_on_a_majority_before_its_release_is_told_whoever_answers_first() {
    let cluster = Cluster::start(3);
    for kept in 0..3 {
        let mut run = job_that_waits(&cluster);
        for (index, server) in cluster.servers.iter().enumerate() {
            if index != kept {
                let _: u32 = server.ask(&["DEL", "lock:job"]);
            }
        }
        run.write_line("");
        let end = run.end();
        end.assert_code(0)
            .assert_says(&["no majority of servers had the lock of job any more"]);
        assert_eq!(cluster.locks(), [""; 0]);
    }
}

#[test]
fn a_release_whose_answers_came_late_is_no_lost_lock() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let script = "echo ready; read _";
    let run = ["run", "-t", "10m", "-r", "job", "sh", "-c", script];
    let mut run = Redlock::new(run).env("REDLOCK_SERVERS", urls).start_ready();
    // Later than a node has time: asked again, it has nothing of ours any more.
    for proxy in &proxies[..2] {
        proxy.set_replies(Fate::Delay(Duration::from_millis(200)));
    }
    run.write_line("");
    run.end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_server_that_is_full_of_clients_is_an_outage_and_no_refusal() {
    let full: Vec<Server> = (0..2)
        .map(|_| Server::with(&["--requirepass", "sesame", "--maxclients", "1"]))
        .collect();
    let good = Server::with(&["--requirepass", "sesame"]);
    let taken: Vec<_> = full
        .iter()
        .map(|s| {
            let mut stream = TcpStream::connect(("127.0.0.1", s.port())).expect("it is there");
            // Answered: it has the only place from now on.
            stream.write_all(b"AUTH sesame\r\n").expect("it listens");
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).expect("an answer");
            assert_eq!(&answer, b"+OK\r\n");
            stream
        })
        .collect();
    let url = |s: &Server| format!("redis://:sesame@127.0.0.1:{}", s.port());
    let urls: Vec<String> = full.iter().chain([&good]).map(url).collect();
    let end = Redlock::new(["run", "-r", "job", "echo", "ran"])
        .env("REDLOCK_SERVERS", urls.join(","))
        .end();
    drop(taken);
    end.assert_code(69);
}

#[test]
fn one_of_two_that_refuses_rules_out_a_quorum() {
    let (good, bad) = (Server::start(), BadNode::denying());
    let end = Redlock::new(["run", "--any-quorum", "-r", "job", "echo", "ran"])
        .env("REDLOCK_SERVERS", format!("{},{}", good.url(), bad.url))
        .end();
    end.assert_code(77);
}

/// A run that gives its servers so long that a test can look at what its first attempt has left.
fn patient_run(urls: &str) -> Redlock {
    let words = "run -t 1m --node-timeout 1s -r job echo ran".split(' ');
    Redlock::new(words).env("REDLOCK_SERVERS", urls)
}

#[test]
fn what_is_left_of_an_attempt_of_ones_own_is_no_other_holder() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    for proxy in &proxies {
        proxy.set_replies(Fate::Drop);
    }
    let run = patient_run(&urls).start();
    let is_written = || cluster.values("lock:job").iter().all(Option::is_some);
    eventually("the first attempt has written its keys", is_written);
    // Its release is lost as well.
    for proxy in &proxies {
        proxy.forget();
        proxy.set_replies(Fate::Pass);
    }
    assert_eq!(run.end().assert_code(0).stdout, "ran\n");
    // A server that did not answer in time may have it until its TTL: nobody is kept out by one.
    assert!(cluster.locks().len() <= 1, "{:?}", cluster.locks());
}

#[test]
fn an_attempt_is_taken_back_where_its_connection_broke_before_the_answer() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let user = ["ACL", "SETUSER", "me", "on", ">sesame", "~*", "&*", "+@all"];
    for (server, proxy) in cluster.servers.iter().zip(&proxies) {
        let _: () = server.ask(&user);
        // A new connection takes its time.
        proxy.set_replies(Fate::Delay(Duration::from_millis(50)));
        // The first is that to the password.
        proxy.close_after(1);
    }
    let urls = urls.replace("redis://", "redis://me:sesame@");
    // The last attempt is the first: nobody waits.
    let acquire = [
        "acquire",
        "-t",
        "1m",
        "--node-timeout",
        "1s",
        "-r",
        "job",
        "-w",
        "1ms",
    ];
    let end = Redlock::new(acquire).env("REDLOCK_SERVERS", urls).end();
    end.assert_code(69);
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_server_that_closes_and_then_hangs_keeps_nobody_waiting() {
    let cluster = Cluster::start(3);
    let holder = ["run", "-r", "job", "sh", "-c", "echo ready; read _"];
    let mut holder = cluster.redlock(holder).start_ready();
    let (proxies, urls) = proxy::before_each(&cluster);
    for proxy in &proxies[..2] {
        proxy.set_replies(Fate::Delay(Duration::from_millis(100)));
    }
    proxies[2].close_after(0);
    proxies[2].set_replies(Fate::Drop);
    let skipped = ["run", "--node-timeout", "20s", "-r", "job", "true"];
    let end = Redlock::new(skipped).env("REDLOCK_SERVERS", urls).end();
    end.assert_code(75);
    assert!(end.took < Duration::from_secs(10), "{end:?}");
    holder.write_line("");
    holder.end().assert_code(0);
}

#[test]
fn what_is_left_of_an_own_attempt_on_one_server_is_taken_back_as_well() {
    let mut cluster = Cluster::start(3);
    cluster.servers[2].kill();
    let (proxies, urls) = proxy::before_each(&cluster);
    for proxy in &proxies[..2] {
        proxy.set_replies(Fate::Drop);
    }
    let run = patient_run(&urls).start();
    let first = &cluster.servers[0];
    eventually("the first attempt has written its key", || {
        first.get("lock:job").is_some()
    });
    // Its release is lost there, and not on the other server.
    proxies[0].forget();
    for proxy in &proxies[..2] {
        proxy.set_replies(Fate::Pass);
    }
    assert_eq!(run.end().assert_code(0).stdout, "ran\n");
    for server in &cluster.servers[..2] {
        assert_eq!(server.locks(), [""; 0]);
    }
}

#[test]
fn a_release_whose_answers_are_cut_off_is_not_told_as_a_lock_that_was_gone() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let run = ["run", "-r", "job", "sh", "-c", "echo ready; read _"];
    let run = Redlock::new(run).env("REDLOCK_SERVERS", &urls);
    let mut run = run.start_ready();
    cluster.wait_for_listeners(1);
    for proxy in &proxies {
        proxy.close_after(0);
    }
    run.write_line("");
    let end = run.end();
    end.assert_code(0)
        .assert_says(&["connections to servers broke while job was given back; it is free now"]);
}
