//! Many want the same lock: exactly one gets it, whatever the order in which the nodes are reached.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::proxy::{self, Fate, Proxy};
use crate::support::{Address, Cluster, Process, Redlock, Server, eventually};

const CONTENDERS: usize = 20;

/// Starts `redlock run` behind a gate that opens when its stdin is closed.
const GATE: [&str; 4] = ["sh", "-c", "read _; exec \"$@\"", "sh"];

/// How many rounds of a race: a few, or as many as `REDLOCK_TEST_ROUNDS` says (100 in the long
/// form).
fn rounds() -> usize {
    let rounds = std::env::var("REDLOCK_TEST_ROUNDS").unwrap_or_else(|_| "6".to_owned());
    rounds.parse().expect("REDLOCK_TEST_ROUNDS is a number")
}

/// One race of contenders, each with its own `urls`: exactly one runs, the others see it as held.
fn race(round: usize, urls: &[String]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let over = directory.path().join("over");
    // The winner's job outlasts the race.
    let script = format!(
        "echo ran; while [ ! -e {} ]; do sleep 0.02; done",
        over.display()
    );
    // With this TTL no key goes by itself.
    let job = ["run", "-t", "10m", "-r", "job", "--", "sh", "-c", &script];
    let start = |urls: &String| {
        Redlock::under(&GATE, job)
            .env("REDLOCK_SERVERS", urls)
            .start()
    };
    let mut contenders: Vec<Process> = urls.iter().map(start).collect();
    for contender in &mut contenders {
        contender.close_stdin();
    }
    let mut running: Vec<Process> = contenders;
    let mut ended = Vec::new();
    eventually("all contenders but one have ended", || {
        let (done, rest) = running.drain(..).map(|mut p| (p.has_ended(), p)).fold(
            (Vec::new(), Vec::new()),
            |(mut done, mut rest), (has_ended, process)| {
                if has_ended {
                    done.push(process);
                } else {
                    rest.push(process);
                }
                (done, rest)
            },
        );
        ended.extend(done);
        running = rest;
        running.len() <= 1
    });
    fs::write(&over, "").expect("the directory is ours");
    for loser in ended {
        let end = loser.end();
        assert_eq!(
            (end.code(), end.stdout.as_str()),
            (Some(75), ""),
            "round {round}: {end:?}"
        );
    }
    let winner = running
        .pop()
        .unwrap_or_else(|| panic!("round {round}: nobody won"))
        .end();
    assert_eq!(winner.assert_code(0).stdout, "ran\n");
}

fn races_on(nodes: usize) {
    let cluster = Cluster::start(nodes);
    let urls = vec![cluster.urls(); CONTENDERS];
    for round in 0..rounds() {
        race(round, &urls);
        assert_eq!(cluster.locks(), [""; 0], "round {round}");
    }
}

#[test]
fn of_twenty_contenders_on_three_nodes_exactly_one_runs() {
    races_on(3);
}

#[test]
fn of_twenty_contenders_on_five_nodes_exactly_one_runs() {
    races_on(5);
}

#[test]
fn of_twenty_contenders_who_reach_the_nodes_in_different_orders_exactly_one_runs() {
    let cluster = Cluster::start(3);
    let (proxies, urls): (Vec<Vec<Proxy>>, Vec<String>) = (0..CONTENDERS)
        .map(|_| proxy::before_each(&cluster))
        .unzip();
    for round in 0..rounds() {
        for (contender, own) in proxies.iter().enumerate() {
            for (node, proxy) in own.iter().enumerate() {
                let delay = (contender * 7 + node * 13 + round * 5) % 31;
                proxy.set_requests(Fate::Delay(Duration::from_millis(delay as u64)));
            }
        }
        race(round, &urls);
        eventually("late releases have arrived", || cluster.locks().is_empty());
    }
}

/// A job that would notice another one beside it.
fn exclusive(directory: &Path) -> String {
    let inside = directory.join("inside");
    let inside = inside.display();
    format!("mkdir {inside} || echo overlap; sleep 0.005; rmdir {inside}; echo ran")
}

/// All ran their exclusive job, and left nothing.
fn all_run(cluster: &Cluster, runs: Vec<Process>) {
    for run in runs {
        let end = run.end();
        assert_eq!(end.assert_code(0).stdout, "ran\n", "{end:?}");
    }
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn two_names_in_either_order_never_deadlock_and_never_overlap() {
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = exclusive(directory.path());
    let orders = [["a", "b"], ["b", "a"]];
    let runs: Vec<Process> = (0..100)
        .map(|index| {
            let [first, second] = orders[index % 2];
            let run = [
                "run", "-w", "-r", first, "-r", second, "--", "sh", "-c", &script,
            ];
            cluster.redlock(run).start()
        })
        .collect();
    all_run(&cluster, runs);
}

#[test]
fn one_of_two_names_that_is_held_keeps_the_other_one_free() {
    let cluster = Cluster::start(3);
    let mut holder = cluster
        .redlock(["run", "-r", "b", "sh", "-c", "echo ready; read _"])
        .start();
    holder.wait_for("ready");
    let both = cluster
        .redlock(["run", "-v", "-r", "a", "-r", "b", "echo", "never"])
        .end();
    both.assert_code(75).assert_says(&["redlock: b is held by"]);
    assert!(
        cluster.locks().iter().all(|key| key == "lock:b"),
        "{:?}",
        cluster.locks()
    );
    let other = cluster.redlock(["run", "-r", "a", "echo", "ran"]).end();
    assert_eq!(other.assert_code(0).stdout, "ran\n");
    holder.write_line("");
    holder.end().assert_code(0);
}

#[test]
fn a_waiter_gets_the_lock_of_a_holder_who_died_as_soon_as_it_has_expired() {
    let cluster = Cluster::start(3);
    for server in &cluster.servers {
        let _: () = server.ask(&["SET", "lock:job", "of somebody who died", "PX", "1500"]);
    }
    let end = cluster
        .redlock(["run", "-w", "-r", "job", "echo", "my turn"])
        .end();
    assert_eq!(end.assert_code(0).stdout, "my turn\n");
    assert!(end.took >= Duration::from_millis(1300), "{end:?}");
}

#[test]
fn a_wait_that_is_over_is_a_skip() {
    let cluster = Cluster::start(3);
    for server in &cluster.servers {
        let _: () = server.ask(&["SET", "lock:job", "somebody else's", "PX", "60000"]);
    }
    let wait = ["run", "-v", "-w1s", "-E", "9", "-r", "job", "echo", "never"];
    let end = cluster.redlock(wait).end();
    end.assert_code(9);
    assert!(
        end.stderr
            .lines()
            .last()
            .is_some_and(|line| line.contains("gave up after 1")),
        "{end:?}"
    );
    assert!(end.took >= Duration::from_secs(1), "{end:?}");
}

#[test]
fn who_gets_one_node_only_gives_it_back_and_calls_nobody() {
    let cluster = Cluster::start(3);
    for server in &cluster.servers[1..] {
        let _: () = server.ask(&["SET", "lock:job", "somebody", "PX", "60000"]);
    }
    let end = cluster.redlock(["run", "-r", "job", "echo", "never"]).end();
    end.assert_code(75);
    let free = &cluster.servers[0];
    assert_eq!(free.ask::<Option<String>>(&["GET", "lock:job"]), None);
    assert_eq!(free.calls_of("del"), 1);
    assert_eq!(free.calls_of("publish"), 0);
}

#[test]
fn what_another_program_holds_is_held_and_stays_untouched() {
    let cluster = Cluster::start(3);
    let binary: Vec<u8> = (0xe0..0xf4).collect();
    let values: [&[u8]; 2] = [&binary, b"0123456789abcdef0123456789abcdef"];
    for value in values {
        for server in &cluster.servers {
            let set = redis::cmd("SET")
                .arg("lock:job")
                .arg(value)
                .arg("PX")
                .arg(60_000)
                .exec(&mut server.client());
            set.expect("a good command");
        }
        let end = cluster
            .redlock(["run", "-v", "-r", "job", "echo", "never"])
            .end();
        end.assert_code(75)
            .assert_says(&["held by another program (string, expires in 59"]);
        assert!(
            cluster
                .values("lock:job")
                .iter()
                .all(|found| found.as_deref() == Some(value))
        );
    }
    for server in &cluster.servers {
        let _: () = server.ask(&["DEL", "lock:job"]);
        let _: () = server.ask(&[
            "HSET",
            "lock:job",
            "8743c9c0-0795-4907-87fd-6c719a6b4586:1",
            "1",
        ]);
    }
    let end = cluster
        .redlock(["run", "-v", "-r", "job", "echo", "never"])
        .end();
    end.assert_code(75)
        .assert_says(&["held by another program (hash, never expires)"]);
    for server in &cluster.servers {
        let length: usize = server.ask(&["HLEN", "lock:job"]);
        assert_eq!(length, 1);
    }
}

#[test]
fn a_long_wait_shows_on_a_terminal_how_it_stands() {
    let cluster = Cluster::start(3);
    let job = ["run", "-r", "job", "sh", "-c", "echo ready; read _"];
    let mut holder = cluster.redlock(job).start_ready();
    let wait = ["run", "-w", "2500ms", "-r", "job", "echo", "never"];
    let (status, screen) = cluster.redlock(wait).end_on_terminal();
    assert_eq!(status.code(), Some(75));
    let shown: Vec<&str> = screen.split('\r').collect();
    let pid = holder.pid();
    for waited in ["1s", "2s"] {
        let beginning = format!("redlock: waiting for {waited}: job is held by ");
        let line = shown.iter().find(|line| line.starts_with(&beginning));
        let line = line.unwrap_or_else(|| panic!("{beginning:?} is not shown: {screen:?}"));
        assert!(line.contains(&format!("pid {pid}, sh")), "{line:?}");
    }
    // It is gone before the last word is said.
    let end = shown
        .iter()
        .find(|line| line.contains("gave up after 2.5s"));
    assert!(
        end.is_some_and(|end| end.starts_with("\x1b[Kredlock: job is held by ")),
        "{screen:?}"
    );
    // Where a line cannot be written over, that word is all.
    let wait = ["run", "-w", "1500ms", "-r", "job", "echo", "never"];
    let wait = cluster.redlock(wait).env("TERM", "dumb");
    let (_, screen) = wait.end_on_terminal();
    assert!(screen.starts_with("redlock: job is held by "), "{screen:?}");
    assert!(!screen.contains('\x1b'), "{screen:?}");
    holder.write_line("");
    holder.end().assert_code(0);
}

#[test]
fn everybody_of_a_crowd_that_is_too_large_to_listen_gets_a_turn_and_nobody_is_disturbed() {
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = exclusive(directory.path());
    let runs: Vec<Process> = (0..150)
        .map(|_| {
            let run = ["run", "-w", "-r", "job", "--", "sh", "-c", &script];
            cluster.redlock(run).start()
        })
        .collect();
    all_run(&cluster, runs);
}

#[test]
fn a_skip_names_whom_a_quorum_names_and_not_what_is_left_on_the_first_server() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    address.acquire("job", "60s");
    let _: () = cluster.servers[0].ask(&["SET", "lock:job", "what is left of another"]);
    let end = cluster.redlock(["run", "-v", "-r", "job", "true"]).end();
    end.assert_code(75).assert_says(&["(pid "]);
}

#[test]
fn the_end_of_a_run_is_told_to_who_listens() {
    let cluster = Cluster::start(3);
    let mut run = cluster.run("", "echo ready; read _").start_ready();
    let mut clients: Vec<_> = cluster.servers.iter().map(Server::client).collect();
    let mut listeners: Vec<_> = clients
        .iter_mut()
        .map(|client| client.as_pubsub())
        .collect();
    for listener in &mut listeners {
        let channel = "released:lock:job";
        listener.subscribe(channel).expect("it may be listened to");
    }
    run.write_line("");
    run.end().assert_code(0);
    for listener in &mut listeners {
        listener.get_message().expect("the notice");
    }
}
