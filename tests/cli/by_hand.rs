//! Locks by hand: taken in one process, prolonged in another, given back in a third.

use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use redlock::clock;

use crate::support::proxy::{self, Fate};
use crate::support::{Address, BadNode, Cluster, Process, Redlock, eventually, json};

/// Acquire, extend, inspect, list, release: each in a process of its own.
fn by_hand(address: &Address) {
    let token = address.acquire("job", "5s");
    assert_eq!(token.len(), 32, "{}: {token}", address.what);
    let held = address.redlock(["inspect", "job"]).end();
    assert!(held.assert_code(0).stdout.starts_with("job is held by "));
    let second = address.redlock(["acquire", "-r", "job"]).end();
    second.assert_code(75).assert_says(&["job is held by"]);
    let quiet = address.redlock(["acquire", "-q", "-r", "job"]).end();
    quiet.assert_code(75).assert_silent();
    assert_eq!(second.stdout, "");
    let extend = ["extend", "-r", "job", "-t", "60s", "--token", &token];
    address.redlock(extend).end().assert_code(0).assert_silent();
    let listed = address.redlock(["list", "--json"]).end();
    let listed = json(&listed.assert_code(0).stdout);
    assert_eq!(listed[0]["resource"], "job", "{}", address.what);
    assert!(listed[0]["ttl_ms"].as_u64() > Some(50_000), "{listed}");
    let release = ["release", "-r", "job", "--token", &token];
    address
        .redlock(release)
        .end()
        .assert_code(0)
        .assert_silent();
    let free = address.redlock(["inspect", "-q", "job"]).end();
    assert_eq!(free.assert_code(3).stdout, "");
    for line in [&release[..], &extend[..]] {
        let end = address.redlock(line.iter().copied()).end();
        end.assert_code(76)
            .assert_says(&["job is not yours any more", "expired"]);
    }
}

#[test]
fn taken_in_one_process_prolonged_in_another_given_back_in_a_third() {
    by_hand(&Address::of(&Cluster::start(3)));
    let directory = tempfile::tempdir().expect("a temporary directory");
    by_hand(&Address::local(directory.path()));
}

#[test]
fn a_minority_that_is_dead_or_hangs_changes_nothing() {
    let cluster = Cluster::start(2);
    for bad in [BadNode::refusing(), BadNode::hanging(), BadNode::babbling()] {
        by_hand(&Address::with_bad(&cluster, &bad));
    }
}

#[test]
fn a_minority_that_was_wiped_changes_nothing() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let token = address.acquire("job", "60s");
    let _: () = cluster.servers[0].ask(&["FLUSHALL"]);
    let extend = ["extend", "-r", "job", "--token", &token];
    address.redlock(extend).end().assert_code(0).assert_silent();
    let release = ["release", "-r", "job", "--token", &token];
    address
        .redlock(release)
        .end()
        .assert_code(0)
        .assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_wrong_token_neither_prolongs_nor_releases() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    address.acquire("job", "60s");
    let before = cluster.values("lock:job");
    let wrong = "0".repeat(32);
    for verb in ["extend", "release"] {
        let end = address
            .redlock([verb, "-r", "job", "--token", &wrong])
            .end();
        end.assert_code(75)
            .assert_says(&["job is not yours", "held by"]);
        // Only the beginning of the right one is as wrong.
        let value = before[0].as_ref().expect("it is held");
        let other = if value[31] == b'0' { "1" } else { "0" };
        let part = String::from_utf8_lossy(&value[..31]).into_owned() + other;
        let end = address.redlock([verb, "-r", "job", "--token", &part]).end();
        end.assert_code(75);
    }
    assert_eq!(cluster.values("lock:job"), before);
}

#[test]
fn expired_and_held_by_another_and_no_quorum_are_three_things() {
    let mut cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let token = address.acquire("job", "500ms");
    eventually("the lock expires", || cluster.locks().is_empty());
    let lines = ["extend", "release"].map(|verb| [verb, "-r", "job", "--token", &token]);
    for line in lines {
        address
            .redlock(line)
            .end()
            .assert_code(76)
            .assert_says(&["expired"]);
    }
    address.acquire("job", "60s");
    for line in lines {
        let end = address.redlock(line).end();
        end.assert_code(75).assert_says(&["held by"]);
    }
    cluster.servers[0].kill();
    cluster.servers[1].kill();
    for line in lines {
        let end = address.redlock(line).end();
        end.assert_code(69)
            .assert_says(&["no quorum", "connection refused", "held by"]);
    }
}

#[test]
fn what_a_run_leaves_behind_is_nobodys_to_prolong_or_release() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let token = address.acquire("job", "60s");
    for (state, said) in [("~", "kept for a while"), ("!", "not to be repeated")] {
        for server in &cluster.servers {
            let _: i64 = server.ask(&["SETRANGE", "lock:job", "32", state]);
        }
        for verb in ["extend", "release"] {
            let end = address
                .redlock([verb, "-r", "job", "--token", &token])
                .end();
            end.assert_code(76).assert_says(&[said, "--force"]);
        }
        assert_eq!(cluster.locks().len(), 3);
    }
}

#[test]
fn who_has_the_token_of_an_inner_run_is_told_that_it_is_not_the_one() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let token = address.acquire("job", "60s");
    for command in ["extend", "release"] {
        let script = format!("\"$REDLOCK\" {command} -r job");
        let run = address.redlock(["run", "-r", "inner", "--", "sh", "-c", &script]);
        let run = run.env("REDLOCK", env!("CARGO_BIN_EXE_redlock"));
        let end = run.env("REDLOCK_TOKEN", &token).end();
        end.assert_code(75)
            .assert_says(&["job is held by a redlock around this command"]);
    }
    assert_eq!(cluster.locks().len(), 3);
}

#[test]
fn a_release_by_hand_whose_answers_came_late_is_one() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let releases = |trouble: &dyn Fn(&proxy::Proxy)| {
        for forced in [false, true] {
            let token = Address::of(&cluster).acquire("job", "60s");
            let right: &[&str] = if forced {
                &["--force", "--yes"]
            } else {
                &["--token", &token]
            };
            let line = ["release", "-r", "job"].iter().chain(right).copied();
            proxies.iter().for_each(trouble);
            let end = Redlock::new(line).env("REDLOCK_SERVERS", &urls).end();
            end.assert_code(0);
            assert_eq!(cluster.locks(), [""; 0]);
        }
    };
    // Nor does it matter why an answer did not come: a connection that was closed meanwhile.
    releases(&|proxy| proxy.close_after(1));
    releases(&|proxy| proxy.set_replies(Fate::Delay(Duration::from_millis(100))));
    // But what was gone before is not, however late that is told.
    let token = "0".repeat(32);
    let line = ["release", "-r", "job", "--token", &token];
    let end = Redlock::new(line).env("REDLOCK_SERVERS", &urls).end();
    end.assert_code(76);
}

#[test]
fn a_token_is_read_from_standard_input_or_the_environment() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let token = address.acquire("job", "60s");
    let mut extend = address
        .redlock(["extend", "-r", "job", "--token", "-"])
        .start();
    extend.write_line(&token);
    extend.close_stdin();
    extend.end().assert_code(0).assert_silent();
    let release = address
        .redlock(["release", "-r", "job"])
        .env("REDLOCK_TOKEN", &token);
    release.end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
    for line in [&["extend", "-r", "job"][..], &["release", "-r", "job"]] {
        let end = address.redlock(line.iter().copied()).end();
        end.assert_code(64)
            .assert_says(&["no token", "REDLOCK_TOKEN"]);
    }
    let end = address
        .redlock(["extend", "-r", "job", "--token", "no-token"])
        .end();
    end.assert_code(64).assert_says(&["32 digits"]);
    assert!(!end.stderr.contains("no-token"));
}

#[test]
fn the_lock_of_another_program_is_released_by_its_whole_value() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let values: [&[u8]; 3] = [
        b"0123456789abcdef0123456789abcdef",
        b"VYWDZ5R3wQvA5sEbsn4mmw==",
        b"\xf3\x01\x02\x03\x04\x05\x06\x07\x08\x09\xff\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13",
    ];
    for value in values {
        for server in &cluster.servers {
            let mut set = redis::cmd("SET");
            set.arg("lock:job").arg(value);
            set.exec(&mut server.client()).expect("a good command");
        }
        let token = std::ffi::OsString::from(std::ffi::OsStr::from_bytes(value));
        let line = ["release", "-r", "job", "--token"];
        let part = std::ffi::OsStr::from_bytes(&value[..value.len() - 1]).to_owned();
        let wrong = address.redlock(line).args([part]).end();
        wrong
            .assert_code(75)
            .assert_says(&["another program (string"]);
        address
            .redlock(line)
            .args([token])
            .end()
            .assert_code(0)
            .assert_silent();
        assert_eq!(cluster.locks(), [""; 0]);
    }
}

#[test]
fn a_token_that_cannot_be_written_is_no_lock() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let acquire = || address.redlock(["acquire", "-r", "job"]).into_command();
    let full = OpenOptions::new().write(true).open("/dev/full");
    let (reader, closed) = std::io::pipe().expect("a pipe");
    drop(reader);
    let read_only = File::open("/dev/null").expect("Linux has it");
    let outputs: [Stdio; 3] = [
        full.expect("Linux has it").into(),
        closed.into(),
        read_only.into(),
    ];
    for output in outputs {
        let mut command = acquire();
        command.stdout(output).stderr(Stdio::piped());
        let end = command.output().expect("the binary can be started");
        let said = String::from_utf8_lossy(&end.stderr);
        assert_eq!(end.status.code(), Some(71), "{said}");
        assert!(said.contains("cannot write the token of job"), "{said}");
        assert_eq!(cluster.locks(), [""; 0]);
    }
    let closing = ["sh", "-c", "exec \"$@\" >&-", "sh"];
    Redlock::under(&closing, ["acquire", "-r", "job"])
        .env("REDLOCK_SERVERS", cluster.urls())
        .end()
        .assert_code(71)
        .assert_says(&["cannot write the token of job", "bad file descriptor"]);
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_signal_while_waiting_leaves_nothing_behind_and_ends_it_by_that_signal() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let token = address.acquire("job", "60s");
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let waiter = address.redlock(["acquire", "-w", "-r", "job"]).start();
        cluster.wait_for_listeners(1);
        waiter.signal(signal);
        let end = waiter.end();
        assert_eq!(end.status.signal(), Some(signal as i32), "{end:?}");
        assert_eq!(end.stdout, "");
        cluster.wait_for_listeners(0);
    }
    address
        .redlock(["release", "-r", "job", "--token", &token])
        .end()
        .assert_code(0);
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn who_waits_hears_of_the_release() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let mut token = address.acquire("job", "60s");
    let mut took = Vec::new();
    for _ in 0..9 {
        let mut waiter = address
            .redlock(["acquire", "-w", "-t", "60s", "-r", "job"])
            .start();
        cluster.wait_for_listeners(1);
        let began = clock::now();
        address
            .redlock(["release", "-r", "job", "--token", &token])
            .end()
            .assert_code(0);
        token = waiter.next_line();
        took.push(clock::now().since(began));
        waiter.end().assert_code(0).assert_silent();
    }
    took.sort();
    // Looking once a second would take half of one.
    assert!(took[4] < Duration::from_millis(250), "{took:?}");
}

#[test]
fn of_many_who_wait_each_has_its_turn() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let line = ["run", "-w", "-r", "job", "--", "echo", "ran"];
    let waiters: Vec<Process> = (0..20).map(|_| address.redlock(line).start()).collect();
    for waiter in waiters {
        assert_eq!(waiter.end().assert_code(0).stdout, "ran\n");
    }
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn without_channel_rights_everything_works_but_the_notices() {
    let cluster = Cluster::start(3);
    for server in &cluster.servers {
        let user = "ACL SETUSER me on nopass ~* resetchannels +@all";
        let _: () = server.ask(&user.split(' ').collect::<Vec<_>>());
    }
    let redlock = |line: &[&str]| {
        cluster
            .redlock(line.iter().copied())
            .env("REDLOCK_USER", "me")
    };
    let mut holder = redlock(&["run", "-r", "job", "sh", "-c", "echo ready; read _"]).start();
    holder.wait_for("ready");
    let waiter = redlock(&["run", "-w", "-r", "job", "echo", "my turn"]).start();
    let wait = redlock(&["run", "-w1s", "-r", "job", "true"]).end();
    wait.assert_code(75);
    holder.write_line("");
    holder.end().assert_code(0).assert_silent();
    assert_eq!(waiter.end().assert_code(0).stdout, "my turn\n");
}

#[test]
fn a_user_who_may_not_do_all_that_a_lock_takes_leaves_nothing_behind() {
    let cluster = Cluster::start(3);
    for server in &cluster.servers {
        // The key is written, and then the script ends.
        let user = "ACL SETUSER me on nopass ~* &* +@all -pttl";
        let _: () = server.ask(&user.split(' ').collect::<Vec<_>>());
    }
    // With this TTL no key goes by itself.
    let run = ["run", "-t", "10m", "-r", "job", "true"];
    let acquire = ["acquire", "-t", "10m", "-r", "job"];
    for words in [&run[..], &acquire] {
        let limited = cluster.redlock(words.iter().copied());
        let end = limited.env("REDLOCK_USER", "me").end();
        end.assert_code(77);
        eventually("the lock is free", || cluster.locks().is_empty());
    }
}

#[test]
fn a_token_is_told_while_its_lock_is_valid_or_not_at_all() {
    let cluster = Cluster::start(3);
    for pause in ["1000", "1600", "1900"] {
        let _: () = cluster.servers[1].ask(&["CLIENT", "PAUSE", pause, "ALL"]);
        cluster.servers[2].hang();
        let words = "acquire --json -t 2s --node-timeout 5s -r job".split(' ');
        let end = cluster.redlock(words).end();
        match end.status.code() {
            Some(0) => {
                assert!(json(&end.stdout)["valid_ms"].as_u64() > Some(0), "{end:?}");
                // For the node that hangs nobody waits until it is too late.
                assert!(end.took < Duration::from_secs(4), "{end:?}");
            }
            Some(69) => assert_eq!(end.stdout, ""),
            _ => panic!("{end:?}"),
        }
        cluster.servers[2].go_on();
        eventually("the lock is free", || cluster.locks().is_empty());
    }
}

#[test]
fn acquire_tells_programs_all_they_need() {
    let cluster = Cluster::start(2);
    let bad = BadNode::refusing();
    let address = Address::with_bad(&cluster, &bad);
    let line = [
        "acquire", "--json", "-r", "job", "-t", "20s", "--note", "v42",
    ];
    let end = address.redlock(line).end();
    let told = json(&end.assert_code(0).stdout);
    let mut fields: Vec<&str> = told
        .as_object()
        .expect("an object")
        .keys()
        .map(|k| &k[..])
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "fencing_token",
            "nodes",
            "resource",
            "token",
            "ttl_ms",
            "valid_ms"
        ]
    );
    assert_eq!(
        (&told["resource"], &told["ttl_ms"]),
        (&"job".into(), &20_000.into())
    );
    let valid = told["valid_ms"].as_u64().expect("a number");
    assert!((10_000..19_799).contains(&valid), "{valid}");
    let states: Vec<_> = told["nodes"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|n| &n["state"])
        .collect();
    assert_eq!(states, ["held", "held", "unreachable"]);
    let seen = address.redlock(["inspect", "--json", "job"]).end();
    let seen = &json(&seen.assert_code(0).stdout)[0];
    assert_eq!(seen["fencing_token"], told["fencing_token"]);
    assert_eq!(seen["holder"]["note"], "v42");
    // The test itself has called acquire.
    assert_eq!(seen["holder"]["pid"], std::process::id());
}

#[test]
fn a_token_is_printed_by_acquire_and_nothing_else() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let token = address.acquire("job", "60s");
    let lines: [&[&str]; 12] = [
        &["inspect", "job"],
        &["inspect", "--json", "job"],
        &["list"],
        &["list", "--json"],
        &["acquire", "-r", "job"],
        &["acquire", "-r", "job", "-w", "1ms"],
        &["run", "-r", "job", "true"],
        &["extend", "-r", "job", "--token", &token],
        &["release", "-r", "job", "--token", "0"],
        &["release", "-r", "job", "--token", &token],
        &["extend", "-r", "job", "--token", &token],
        &["release", "-r", "job", "--token", &token],
    ];
    for format in ["text", "json"] {
        for line in lines {
            let redlock = address.redlock(line.iter().copied());
            let end = redlock
                .env("REDLOCK_VERBOSE", "1")
                .env("REDLOCK_LOG_FORMAT", format)
                .end();
            let said = format!("{}{}", end.stdout, end.stderr);
            assert!(!said.contains(&token), "{line:?}: {said}");
        }
    }
    // Nor the value of another program, which is its token.
    let foreign = "0123456789abcdef0123456789abcdef";
    for server in &cluster.servers {
        let _: () = server.ask(&["SET", "lock:job", foreign]);
    }
    for line in &lines[..6] {
        let end = address
            .redlock(line.iter().copied())
            .env("REDLOCK_VERBOSE", "1")
            .end();
        let said = format!("{}{}", end.stdout, end.stderr);
        assert!(!said.contains(foreign), "{line:?}: {said}");
    }
}

#[test]
fn a_signal_before_the_token_is_printed_gives_the_lock_back() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    proxies[0].set_requests(Fate::Delay(Duration::from_millis(700)));
    proxies[1].set_requests(Fate::Delay(Duration::from_millis(700)));
    proxies[2].set_requests(Fate::Drop);
    let run = Redlock::new(["acquire", "-r", "job", "--node-timeout", "5s", "-t", "60s"])
        .env("REDLOCK_SERVERS", urls)
        .start();
    eventually("it is taken", || cluster.locks().len() == 2);
    for proxy in &proxies {
        proxy.set_requests(Fate::Pass);
    }
    thread::sleep(Duration::from_millis(150));
    run.signal(Signal::SIGTERM);
    let end = run.end();
    assert_eq!(end.signal(), Some(Signal::SIGTERM), "{end:?}");
    assert_eq!(end.stdout, "");
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_value_of_another_program_is_compared_whole() {
    let cluster = Cluster::start(3);
    for server in &cluster.servers {
        let _: () = server.ask(&["SET", "lock:job", "abc def", "PX", "60000"]);
    }
    cluster
        .redlock(["release", "-r", "job", "--token", "abc"])
        .end()
        .assert_code(75);
    assert_eq!(cluster.locks().len(), 3);
}

#[test]
fn a_node_that_showed_nothing_is_freed_as_well() {
    let cluster = Cluster::start(3);
    for server in &cluster.servers {
        let _: () = server.ask(&["SET", "lock:job", "somebody else's", "PX", "60000"]);
    }
    let (proxies, urls) = proxy::before_each(&cluster);
    proxies[2].set_replies(Fate::Drop);
    let run = Redlock::new([
        "release",
        "-r",
        "job",
        "--force",
        "--yes",
        "--node-timeout",
        "700ms",
    ])
    .env("REDLOCK_SERVERS", urls)
    .start();
    eventually("it has asked", || proxies[2].requests() > 0);
    thread::sleep(Duration::from_millis(200));
    proxies[2].set_replies(Fate::Pass);
    run.end().assert_code(0);
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn by_hand_a_connection_that_is_dead_is_given_up() {
    let cluster = Cluster::start(3);
    for server in &cluster.servers {
        let _: () = server.ask(&["SET", "lock:job", "somebody else's", "PX", "60000"]);
    }
    let (proxies, urls) = proxy::before_each(&cluster);
    for proxy in &proxies {
        proxy.set_requests(Fate::Drop);
    }
    let run = Redlock::new([
        "release",
        "-r",
        "job",
        "--token",
        "somebody else's",
        "--node-timeout",
        "500ms",
    ])
    .env("REDLOCK_SERVERS", urls)
    .start();
    eventually("it has asked", || proxies.iter().all(|p| p.requests() > 0));
    for p in &proxies {
        p.forget();
        p.set_requests(Fate::Pass);
    }
    run.end().assert_code(0);
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn servers_that_are_far_away_are_as_good_by_hand_as_for_a_run() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let redlock = |words: &[&str]| {
        let redlock = Redlock::new(words.iter().copied()).env("REDLOCK_SERVERS", &urls);
        redlock.end()
    };
    for proxy in &proxies {
        // Less than a server has in the end, and more than in the first two rounds.
        proxy.set_replies(Fate::Delay(Duration::from_millis(220)));
    }
    let acquired = redlock(&["acquire", "-r", "job", "-t", "60s"]);
    let token = acquired.assert_code(0).stdout.trim_end();
    redlock(&["inspect", "job"]).assert_code(0);
    redlock(&["release", "-r", "job", "--token", token])
        .assert_code(0)
        .assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
    redlock(&["acquire", "-r", "job", "-t", "60s"]).assert_code(0);
    redlock(&["release", "-r", "job", "--force", "--yes"]).assert_code(0);
    redlock(&["inspect", "job"]).assert_code(3);
}

#[test]
fn a_majority_that_turns_us_away_is_told_apart_from_an_outage_by_hand() {
    let cluster = Cluster::start(3);
    let token = Address::of(&cluster).acquire("job", "60s");
    for server in &cluster.servers[..2] {
        let _: () = server.ask(&["ACL", "SETUSER", "default", "-eval"]);
    }
    let lines: [&[&str]; 3] = [
        &["extend", "-r", "job", "--token", &token],
        &["release", "-r", "job", "--token", &token],
        &["release", "-r", "job", "--force", "--yes"],
    ];
    for line in lines {
        let end = cluster.redlock(line.iter().copied()).end();
        end.assert_code(77).assert_says(&["NOPERM"]);
    }
}

#[test]
fn the_beginning_of_a_token_is_none() {
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a directory");
    for address in [Address::of(&cluster), Address::local(directory.path())] {
        let token = address.acquire("job", "60s");
        let line = ["release", "-r", "job", "--token", &token[..4]];
        address.redlock(line).end().assert_code(75);
        let line = ["release", "-r", "job", "--token", &token];
        address.redlock(line).end().assert_code(0);
    }
}

#[test]
fn nobody_knows_whether_a_lock_was_there_that_no_quorum_could_be_looked_at() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    for proxy in &proxies[..2] {
        proxy.set_requests_that_say("return {'free', about", Fate::Drop);
    }
    let token = "0123456789abcdef0123456789abcdef";
    Redlock::new(["release", "-r", "job", "--token", token])
        .env("REDLOCK_SERVERS", &urls)
        .end()
        .assert_code(69)
        .assert_says(&["job", "gone"]);
}
