//! Looking at a lock: who has it, and what each server says.

use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt as _;

use crate::support::pty::{ON_TERMINAL, Pty};
use crate::support::{Address, BadNode, Cluster, json};

fn look(address: &Address, line: &[&str], code: i32) -> serde_json::Value {
    let line = ["inspect", "--json"].iter().chain(line).copied();
    let end = address.redlock(line).end();
    json(&end.assert_code(code).assert_silent().stdout)
}

fn states(lock: &serde_json::Value) -> Vec<&str> {
    let nodes = lock["nodes"].as_array().expect("an array").iter();
    nodes
        .map(|node| node["state"].as_str().expect("a text"))
        .collect()
}

#[test]
fn a_held_lock_is_shown_with_all_that_is_known() {
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    for address in [Address::of(&cluster), Address::local(directory.path())] {
        let line = ["run", "-t", "1h", "-r", "job", "--note", "deploying v42"];
        let script = ["sh", "-c", "echo ready; read _"];
        let mut run = address
            .redlock(line.into_iter().chain(script))
            .start_ready();
        let text = address.redlock(["inspect", "job"]).end();
        let pid = format!("pid {}", run.pid());
        for part in [
            "job is held by ",
            &pid,
            "command   sh",
            "deploying v42",
            "in 59m",
            "unless",
        ] {
            assert!(
                text.assert_code(0).stdout.contains(part),
                "{part}: {}",
                text.stdout
            );
        }
        let locks = look(&address, &["job", "other"], 0);
        let nodes = states(&locks[0]).len();
        let mut fields: Vec<_> = locks[0].as_object().expect("an object").keys().collect();
        fields.sort_unstable();
        let expected = [
            "fencing_token",
            "holder",
            "nodes",
            "quorum",
            "resource",
            "state",
            "ttl_ms",
            "votes",
        ];
        assert_eq!(fields, expected);
        assert_eq!(
            (&locks[0]["state"], &locks[1]["state"]),
            (&"held".into(), &"free".into())
        );
        assert_eq!(locks[0]["votes"], nodes);
        assert_eq!(locks[0]["holder"]["command"], "sh");
        assert!(locks[0]["fencing_token"].is_u64());
        assert!(locks[0]["ttl_ms"].as_u64() < Some(3_600_000 - 36_002));
        let fields = ["error", "latency_ms", "node", "state", "ttl_ms"];
        let mut own: Vec<_> = locks[0]["nodes"][0]
            .as_object()
            .expect("an object")
            .keys()
            .collect();
        own.sort_unstable();
        assert_eq!(own, fields);
        run.write_line("");
        run.end().assert_code(0);
        look(&address, &["job", "other"], 3);
    }
}

#[test]
fn a_minority_that_failed_is_shown_and_changes_nothing() {
    let cluster = Cluster::start(2);
    for bad in [
        BadNode::refusing(),
        BadNode::hanging(),
        BadNode::locked(),
        BadNode::babbling(),
    ] {
        let address = Address::with_bad(&cluster, &bad);
        let free = &look(&address, &["job"], 3)[0];
        assert_eq!(
            (&free["state"], &free["votes"]),
            (&"free".into(), &2.into())
        );
        let token = address.acquire("job", "60s");
        let held = &look(&address, &["job"], 0)[0];
        assert_eq!(states(held)[..2], ["held", "held"]);
        let error = held["nodes"][2]["error"].as_str().expect("a text");
        assert!(error.contains(bad.said), "{}: {error}", bad.what);
        let text = address.redlock(["inspect", "job"]).end().stdout;
        assert!(text.contains(bad.said), "{text}");
        address
            .redlock(["release", "-r", "job", "--token", &token])
            .end()
            .assert_code(0);
    }
}

#[test]
fn what_a_quorum_does_not_agree_on_is_undecided() {
    let mut cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    address.acquire("job", "60s");
    let _: i64 = cluster.servers[0].ask(&["DEL", "lock:job"]);
    let held = &look(&address, &["job"], 0)[0];
    assert_eq!(states(held), ["free", "held", "held"]);
    let _: () = cluster.servers[0].ask(&["SET", "lock:job", "left over"]);
    let held = &look(&address, &["job"], 0)[0];
    assert_eq!(states(held), ["other", "held", "held"]);
    let text = address.redlock(["inspect", "job"]).end().stdout;
    assert!(
        text.contains("another program (string, never expires)"),
        "{text}"
    );
    let _: i64 = cluster.servers[1].ask(&["DEL", "lock:job"]);
    let split = &look(&address, &["job"], 69)[0];
    assert_eq!(
        (&split["state"], &split["ttl_ms"]),
        (&"undecided".into(), &serde_json::Value::Null)
    );
    assert_eq!(states(split), ["held", "free", "held"]);
    cluster.servers[1].kill();
    cluster.servers[2].kill();
    let outage = &look(&address, &["job"], 69)[0];
    assert_eq!(states(outage), ["held", "unreachable", "unreachable"]);
    let text = address.redlock(["inspect", "job"]).end().stdout;
    assert!(
        text.contains("undecided: 1 of 3 servers answered, 2 are needed"),
        "{text}"
    );
    let quiet = address.redlock(["inspect", "-q", "job"]).end();
    assert_eq!(quiet.assert_code(69).assert_silent().stdout, "");
}

#[test]
fn other_types_and_permanent_keys_are_shown_as_what_they_are() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    for (command, said) in [
        (
            &["HSET", "lock:job", "a", "1"][..],
            "a hash, as Redisson writes it",
        ),
        (&["RPUSH", "lock:job", "a"], "a list"),
        (&["SET", "lock:job", "what is this"], "a string of 12 bytes"),
    ] {
        for server in &cluster.servers {
            let _: i64 = server.ask(&["DEL", "lock:job"]);
            let _: redis::Value = server.ask(command);
        }
        let text = address.redlock(["inspect", "job"]).end();
        for part in [said, "expires   never", "held by another program"] {
            assert!(
                text.assert_code(0).stdout.contains(part),
                "{part}: {}",
                text.stdout
            );
        }
        assert_eq!(
            look(&address, &["job"], 0)[0]["ttl_ms"],
            serde_json::Value::Null
        );
    }
}

#[test]
fn what_other_hosts_wrote_touches_neither_terminal_nor_table_nor_json() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let json_of = |note: &str| {
        serde_json::json!({"host": note, "pid": 1, "user": note, "command": note, "note": note,
            "since": note})
        .to_string()
    };
    let ours = |note: &str| format!("{} {}", "0".repeat(32), json_of(note)).into_bytes();
    let run_of = |number: usize| {
        serde_json::json!({"host": "h\u{9b}2J\u{202e}", "user": "\u{1b}[31m", "ran_ms": number,
            "started": "2026-11-24T03:00:00Z", "outcome": "ran", "exit_code": 0, "signal": null,
            "fencing_token": 1})
        .to_string()
    };
    let hostile = [
        ours("\x1b[31mred\x07\u{9b}2J"),
        ours("two\nlines\rand\ttab"),
        ours("\u{202e}reversed\u{2066}"),
        [&ours("x")[..], b"\xff\xfe"].concat(),
        b"\x1b]0;title\x07\n\xff".to_vec(),
        vec![b'\x1b'; 1 << 20],
        ours(&"long ".repeat(200_000)),
    ];
    for (number, value) in hostile.iter().enumerate() {
        for server in &cluster.servers {
            let mut set = redis::cmd("SET");
            set.arg("lock:job").arg(value);
            set.exec(&mut server.client()).expect("a good command");
            let mut push = redis::cmd("LPUSH");
            push.arg("{lock:job}:history").arg(run_of(number));
            push.exec(&mut server.client()).expect("a good command");
        }
        for line in [
            &["inspect", "job"][..],
            &["inspect", "--json", "job"],
            &["list"],
            &["list", "--json"],
            &["acquire", "-v", "-r", "job"],
            &["acquire", "-v", "--log-format", "json", "-r", "job"],
            &["run", "-v", "-r", "job", "true"],
            &["run", "-r", "job", "--status-file", "/dev/stderr", "true"],
            &["history", "job"],
            &["history", "--json", "job"],
        ] {
            let end = address.redlock(line.iter().copied()).end();
            let said = format!("{}{}", end.stdout, end.stderr);
            let bad = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{2066}\u{9b}".contains(c);
            assert!(!said.contains(bad), "{number} {line:?}: {said:?}");
            assert!(said.len() < 5000, "{number} {line:?}: {} bytes", said.len());
            if line.contains(&"--json") {
                let runs = if line[0] == "history" { number + 1 } else { 1 };
                assert_eq!(json(&end.stdout).as_array().map(Vec::len), Some(runs));
                assert_eq!(end.stdout.lines().count(), 1);
            }
            if line == ["list"] {
                assert_eq!(end.stdout.lines().count(), 2, "{number}: {}", end.stdout);
            }
        }
    }
}

#[test]
fn two_names_of_one_server_are_no_quorum() {
    let cluster = Cluster::start(2);
    let twin = format!("redis+unix://{}", cluster.servers[0].socket().display());
    let urls = format!("{},{twin}", cluster.urls());
    let end = cluster
        .redlock(["inspect", "job"])
        .env("REDLOCK_SERVERS", urls)
        .end();
    end.assert_code(78).assert_says(&["same server"]);
}

#[test]
fn a_long_name_leaves_room_for_what_is_said_of_it() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let name = "a-name-that-is-longer-than-a-line-".repeat(3);
    address.acquire(&name, "60s");
    let inspect = address.redlock_under(&ON_TERMINAL, ["inspect", &name]);
    let mut terminal = Pty::start(inspect, 80);
    assert_eq!(terminal.wait().code(), Some(0));
    terminal.wait_for("… is held by ");
}

#[test]
fn a_watched_lock_is_drawn_again_until_q_or_ctrl_c() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let end = address.redlock(["inspect", "--watch", "job"]).end();
    end.assert_code(64)
        .assert_says(&["--watch needs a terminal"]);
    // The environment may ask for it as well, and what is typed for the opposite stands.
    for (words, code) in [(&["job"][..], 64), (&["job", "--json"], 3)] {
        let words = ["inspect"].iter().chain(words).copied();
        let end = address.redlock(words).env("REDLOCK_WATCH", "1").end();
        end.assert_code(code);
    }
    let watch_with = |variable: &str, value: &str| {
        let words = ["inspect", "--watch", "job"];
        let watch = address.redlock_under(&ON_TERMINAL, words);
        Pty::start(watch.env(variable, value), 80)
    };
    let mut dumb = watch_with("TERM", "dumb");
    assert_eq!(dumb.wait().code(), Some(64));
    dumb.wait_for("TERM=dumb");
    let watch = || watch_with("NO_COLOR", "1");
    let mut terminal = watch();
    terminal.wait_for("job is free");
    let run = address.redlock(["run", "-r", "job", "sh", "-c", "exit 3"]);
    run.end().assert_code(3);
    terminal.wait_for("exit 3");
    let token = address.acquire("job", "60s");
    terminal.wait_for("job is held by ");
    terminal.press("q");
    assert_eq!(terminal.wait().code(), Some(0));
    terminal.wait_for("\x1b[?25h\x1b[?1049l");
    let mut terminal = watch();
    terminal.wait_for("job is held by ");
    terminal.wait_for("\nq ends");
    terminal.press("\u{3}");
    assert_eq!(terminal.wait().signal(), Some(Signal::SIGINT as i32));
    terminal.wait_for("\x1b[?25h\x1b[?1049l");
    address
        .redlock(["release", "-r", "job", "--token", &token])
        .end()
        .assert_code(0);
}
