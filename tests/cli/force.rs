//! A lock is taken from its holder: exactly the one that was shown, and nobody else's.

use std::time::Duration;

use nix::unistd::Pid;

use crate::support::process::is_alive;
use crate::support::proxy::{self, Fate};
use crate::support::pty::{ON_TERMINAL, Pty};
use crate::support::{Address, BadNode, Cluster, Redlock, Server, eventually, json};

const FORCE: [&str; 5] = ["release", "-r", "job", "--force", "--yes"];
const ASK: [&str; 4] = ["release", "-r", "job", "--force"];

fn set(cluster: &Cluster, key: &str, value: &[u8]) {
    for server in &cluster.servers {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(value).arg("PX").arg(60_000);
        set.exec(&mut server.client()).expect("a good command");
    }
}

#[test]
fn the_holder_that_loses_its_lock_stops_its_job_at_once() {
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    for address in [Address::of(&cluster), Address::local(directory.path())] {
        // The next extension is minutes away.
        let job = [
            "run",
            "-t",
            "1h",
            "-r",
            "job",
            "sh",
            "-c",
            "echo ready; sleep 600",
        ];
        let run = address.redlock(job).start_ready();
        // Before the holder listens, or after: it looks when it begins to.
        let end = address.redlock(FORCE).env("REDLOCK_VERBOSE", "1").end();
        end.assert_code(0)
            .assert_says(&["job is free now; it was held by", "pid", "sh"]);
        let end = run.end();
        end.assert_code(76)
            .assert_says(&["lost job", "stopping the command"]);
        assert!(end.took < Duration::from_secs(30), "{end:?}");
        address
            .redlock(["inspect", "-q", "job"])
            .end()
            .assert_code(3);
    }
}

#[test]
fn a_holder_puts_nothing_back_of_what_somebody_far_away_takes_from_one_server_after_the_other() {
    for is_one_away in [false, true] {
        let cluster = Cluster::start(3);
        let (proxies, urls) = proxy::before_each(&cluster);
        let run = cluster.run("-t 1h", "echo ready; sleep 600").start_ready();
        cluster.wait_for_listeners(1);
        if is_one_away {
            cluster.servers[2].hang();
        }
        for (proxy, ms) in proxies.iter().zip([0, 150, 300]) {
            proxy.set_requests(Fate::Delay(Duration::from_millis(ms)));
        }
        Redlock::new(FORCE)
            .env("REDLOCK_SERVERS", &urls)
            .env("REDLOCK_NODE_TIMEOUT", "2s")
            .end()
            .assert_code(0)
            .assert_silent();
        run.end().assert_code(76);
        // And did not come back either.
        for server in cluster.servers.iter().take(if is_one_away { 2 } else { 3 }) {
            assert_eq!(server.get("lock:job"), None);
        }
    }
}

/// Takes away the lock of `server` alone, as somebody does who reaches no other.
fn take_away_from(server: &Server) {
    let one_and_two_away = format!("{} redis://127.0.0.1:1 redis://127.0.0.1:2", server.url());
    let end = Redlock::new(["release", "-r", "job", "--token", &token_on(server)])
        .env("REDLOCK_SERVERS", one_and_two_away)
        .end();
    end.assert_code(69);
    assert_eq!(server.get("lock:job"), None);
}

fn token_on(server: &Server) -> String {
    let value = server.get("lock:job").expect("it is held");
    String::from_utf8_lossy(&value[..32]).into_owned()
}

#[test]
fn a_key_that_was_released_on_one_server_alone_is_put_back_after_a_while() {
    let cluster = Cluster::start(3);
    let mut run = cluster.run("-t 1h", "echo ready; read _").start_ready();
    cluster.wait_for_listeners(1);
    let server = &cluster.servers[1];
    take_away_from(server);
    eventually("it is there again", || server.get("lock:job").is_some());
    run.write_line("");
    run.end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_holder_whose_lock_is_taken_from_the_one_server_that_both_reach_stops_his_command() {
    let mut cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let run = Redlock::new([
        "run",
        "-r",
        "job",
        "-t",
        "1h",
        "--min-hold",
        "1h",
        "sh",
        "-c",
        "echo ready; sleep 600",
    ]);
    let run = run.env("REDLOCK_SERVERS", &urls).start_ready();
    cluster.wait_for_listeners(1);
    // What he does not reach any more may have it, and may not.
    proxies[2].set_requests(Fate::Close);
    cluster.servers[1].kill();
    take_away_from(&cluster.servers[0]);
    let end = run.end();
    end.assert_code(76)
        .assert_says(&["somebody has taken it away"]);
    // And no marker is in the way.
    assert_eq!(cluster.servers[0].get("lock:job"), None);
}

#[test]
fn a_lock_that_changes_hands_while_it_is_looked_at_is_looked_at_again() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    set(&cluster, "lock:job", b"the first");
    // Two servers still tell of the first when the third tells of the next.
    let later = Fate::Delay(Duration::from_millis(700));
    proxies[0].set_requests_that_say("return {'free', about", later);
    let force = Redlock::new(FORCE)
        .env("REDLOCK_SERVERS", &urls)
        .env("REDLOCK_NODE_TIMEOUT", "5s");
    let force = force.start();
    eventually("two servers have answered", || {
        let looked = |server: &Server| server.calls_of("pttl") > 0;
        cluster.servers[1..].iter().all(looked)
    });
    set(&cluster, "lock:job", b"the second");
    force.end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_server_that_cannot_delete_does_not_stop_a_forced_release() {
    let cluster = Cluster::start(3);
    Address::of(&cluster).acquire("job", "60s");
    let _: () = cluster.servers[2].ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let end = Address::of(&cluster).redlock(FORCE).end();
    end.assert_code(0).assert_silent();
}

#[test]
fn what_a_holder_puts_back_all_the_same_is_not_told_to_be_free() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    Address::of(&cluster).acquire("job", "60s");
    let value = cluster.servers[0].get("lock:job").expect("it is held");
    // It is looked at so much later that there is time to put it back.
    for proxy in &proxies {
        let later = Fate::Delay(Duration::from_millis(700));
        proxy.set_requests_that_say("return {'free', about", later);
    }
    let put_back = |times: usize| {
        let force = Redlock::new(FORCE)
            .env("REDLOCK_SERVERS", &urls)
            .env("REDLOCK_NODE_TIMEOUT", "3s");
        let mut force = force.start();
        let mut put = 0;
        while !force.has_ended() {
            if put < times && cluster.locks().is_empty() {
                set(&cluster, "lock:job", &value);
                put += 1;
            }
        }
        force.end()
    };
    put_back(usize::MAX)
        .assert_code(69)
        .assert_says(&["released, and put back by its holder"]);
    put_back(1).assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn without_a_terminal_it_must_be_said_that_nobody_is_to_be_asked() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    address.acquire("job", "60s");
    let end = address.redlock(ASK).end();
    end.assert_code(64).assert_says(&["no terminal", "--yes"]);
    assert_eq!(cluster.locks().len(), 3);
    address.redlock(FORCE).end().assert_code(0).assert_silent();
    let end = address.redlock(FORCE).end();
    end.assert_code(76).assert_says(&["nobody holds job"]);
}

#[test]
fn somebody_at_a_terminal_is_shown_the_holder_and_asked() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    address.acquire("job", "60s");
    let ask = || Pty::start(address.redlock_under(&ON_TERMINAL, ASK), 80);
    for no in ["\n", "n\n", "\u{4}"] {
        let mut terminal = ask();
        terminal.wait_for("[y/N] ");
        assert!(
            terminal.seen().contains("job is held by "),
            "{}",
            terminal.seen()
        );
        assert!(
            terminal.seen().contains("on 3 of 3 servers"),
            "{}",
            terminal.seen()
        );
        terminal.press(no);
        assert_eq!(terminal.wait().code(), Some(75));
        terminal.wait_for("\nredlock: nothing was changed");
        assert_eq!(cluster.locks().len(), 3);
    }
    let mut terminal = ask();
    terminal.wait_for("[y/N] ");
    terminal.press("\u{3}");
    assert_eq!(terminal.wait().code(), None, "Ctrl-C kills");
    assert_eq!(cluster.locks().len(), 3);
    let mut terminal = ask();
    terminal.wait_for("[y/N] ");
    terminal.press("y\n");
    assert_eq!(terminal.wait().code(), Some(0));
    terminal.wait_for("job is free now");
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn who_holds_it_by_the_time_of_the_answer_is_left_alone() {
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    for address in [Address::of(&cluster), Address::local(directory.path())] {
        let first = address.acquire("job", "60s");
        let mut terminal = Pty::start(address.redlock_under(&ON_TERMINAL, ASK), 80);
        terminal.wait_for("[y/N] ");
        address
            .redlock(["release", "-r", "job", "--token", &first])
            .end()
            .assert_code(0);
        let second = address.acquire("job", "60s");
        terminal.press("y\n");
        assert_eq!(terminal.wait().code(), Some(75));
        terminal.wait_for("it was left alone");
        address
            .redlock(["extend", "-r", "job", "--token", &second])
            .end()
            .assert_code(0);
        // Gone by then is no success either: nobody was evicted.
        let mut terminal = Pty::start(address.redlock_under(&ON_TERMINAL, ASK), 80);
        terminal.wait_for("[y/N] ");
        address
            .redlock(["release", "-r", "job", "--token", &second])
            .end()
            .assert_code(0);
        terminal.press("y\n");
        assert_eq!(terminal.wait().code(), Some(76));
    }
}

#[test]
fn of_several_at_the_same_time_none_takes_the_lock_of_who_comes_after() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    for _ in 0..10 {
        address.acquire("job", "60s");
        let next = address
            .redlock(["acquire", "-w", "-t", "60s", "-r", "job"])
            .start();
        cluster.wait_for_listeners(1);
        let mut terminals =
            [(); 2].map(|()| Pty::start(address.redlock_under(&ON_TERMINAL, ASK), 80));
        for terminal in &terminals {
            terminal.wait_for("[y/N] ");
        }
        for terminal in &mut terminals {
            terminal.press("y\n");
        }
        let codes = terminals.each_mut().map(|terminal| terminal.wait().code());
        assert!(codes.contains(&Some(0)), "{codes:?}");
        let others = [Some(0), Some(75), Some(76)];
        assert!(codes.iter().all(|code| others.contains(code)), "{codes:?}");
        let end = next.end();
        let token = end.assert_code(0).stdout.trim_end();
        let release = ["release", "-r", "job", "--token", token];
        address
            .redlock(release)
            .end()
            .assert_code(0)
            .assert_silent();
    }
}

#[test]
fn what_is_kept_or_done_is_removed_as_well() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    for (state, said) in [("~", "it was kept by"), ("!", "it was done by")] {
        address.acquire("job", "60s");
        for server in &cluster.servers {
            let _: i64 = server.ask(&["SETRANGE", "lock:job", "32", state]);
        }
        let end = address.redlock(FORCE).env("REDLOCK_VERBOSE", "1").end();
        end.assert_code(0).assert_says(&[said]);
        assert_eq!(cluster.locks(), [""; 0]);
    }
}

#[test]
fn servers_that_have_different_values_are_freed_of_what_each_showed() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    for (number, server) in cluster.servers.iter().enumerate() {
        let _: () = server.ask(&["SET", "lock:job", &format!("contender {number}")]);
    }
    let end = address.redlock(["inspect", "job"]).end();
    assert!(
        end.assert_code(69)
            .stdout
            .contains("no 2 of 3 servers agree")
    );
    address.redlock(FORCE).end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
    // What is left on a minority, too.
    let _: () = cluster.servers[1].ask(&["SET", "lock:job", "left over"]);
    address.redlock(FORCE).end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_quorum_of_servers_is_enough_and_less_is_not() {
    let cluster = Cluster::start(2);
    for bad in [BadNode::refusing(), BadNode::hanging()] {
        let address = Address::with_bad(&cluster, &bad);
        address.acquire("job", "60s");
        address.redlock(FORCE).end().assert_code(0).assert_silent();
        assert_eq!(cluster.locks(), [""; 0]);
    }
    let mut cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    address.acquire("job", "60s");
    cluster.servers[0].kill();
    cluster.servers[1].kill();
    let end = address.redlock(FORCE).end();
    end.assert_code(69)
        .assert_says(&["no quorum", "held by", "nothing was changed"]);
    assert_eq!(cluster.servers[2].locks().len(), 1);
}

#[test]
fn of_a_lock_that_never_expires_it_is_not_said_that_it_does() {
    let cluster = Cluster::start(3);
    for server in &cluster.servers {
        let _: () = server.ask(&["SET", "lock:job", "mine"]);
        let _: () = server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    }
    let end = Address::of(&cluster).redlock(FORCE).end();
    end.assert_code(69)
        .assert_says(&["READONLY", "it never expires by itself, so try again"]);
}

#[test]
fn locks_of_other_libraries_are_listed_inspected_and_taken_away() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let hex: &[u8] = b"0123456789abcdef0123456789abcdef";
    let uuid: &[u8] = b"4a2c5d3e-7ffb-4f0e-9d36-5a8c2d0f9a11";
    let raw = [0xf3; 20];
    let layouts: [(&str, &str, &[u8], &str); 4] = [
        ("{}", "job", hex, "node-redlock"),
        ("{}", "job", b"VYWDZ5R3wQvA5sEbsn4mmw==", "redsync"),
        ("{}", "job", &raw, "rslock"),
        ("redlock:{}", "redlock:job", uuid, "pottery"),
    ];
    for (format, key, value, library) in layouts {
        set(&cluster, key, value);
        let redlock = |line: &[&str]| {
            let redlock = address.redlock(line.iter().copied());
            redlock.env("REDLOCK_KEY_FORMAT", format).end()
        };
        let listed = redlock(&["list"]);
        assert!(listed.assert_code(0).stdout.contains(library), "{listed:?}");
        let listed = json(&redlock(&["list", "--json"]).stdout);
        assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
        assert_eq!(
            (&listed[0]["resource"], &listed[0]["state"]),
            (&"job".into(), &"held".into())
        );
        assert_eq!(listed[0]["holder"], serde_json::Value::Null);
        let seen = redlock(&["inspect", "job"]);
        assert!(seen.assert_code(0).stdout.contains(library), "{seen:?}");
        redlock(&FORCE).assert_code(0).assert_silent();
        assert_eq!(cluster.locks(), [""; 0]);
    }
    // Redisson's hash, which another thread of the same program takes over meanwhile.
    let address = Address::of(&cluster);
    let fields = |thread: &str| {
        for server in &cluster.servers {
            let _: i64 = server.ask(&["DEL", "lock:job"]);
            let _: i64 = server.ask(&["HSET", "lock:job", thread, "1"]);
        }
    };
    fields("8743c9c0-0795-4907-87fd-6c719a6b4586:1");
    let mut terminal = Pty::start(address.redlock_under(&ON_TERMINAL, ASK), 80);
    terminal.wait_for("[y/N] ");
    fields("8743c9c0-0795-4907-87fd-6c719a6b4586:2");
    terminal.press("y\n");
    assert_eq!(terminal.wait().code(), Some(75));
    assert_eq!(cluster.locks().len(), 3);
    address.redlock(FORCE).end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn what_is_left_of_a_job_whose_lock_was_taken_is_killed_after_its_grace_and_waited_for() {
    let cluster = Cluster::start(3);
    let member = "trap \"\" TERM; echo $$; exec >/dev/null 2>&1; while :; do sleep 0.05; done";
    let script = format!("sh -c '{member}' & wait");
    // The lock would be valid for an hour.
    let mut run = cluster.run("-t 1h -k 300ms", &script).start();
    let member = Pid::from_raw(run.next_line().parse().expect("a pid"));
    cluster.redlock(FORCE).end().assert_code(0);
    run.end().assert_code(76);
    assert!(!is_alive(member));
}
