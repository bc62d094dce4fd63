//! Every lock on the servers, as a table and as JSON.

use crate::support::pty::{ON_TERMINAL, Pty};
use crate::support::{Address, BadNode, Cluster, json};

fn names(address: &Address, line: &[&str]) -> Vec<String> {
    let end = address
        .redlock(["list", "--json"].iter().chain(line).copied())
        .end();
    let locks = json(&end.assert_code(0).stdout);
    let locks = locks.as_array().expect("an array").iter();
    locks
        .map(|lock| lock["resource"].as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn all_locks_are_listed_in_the_order_of_their_names() {
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    for address in [Address::of(&cluster), Address::local(directory.path())] {
        assert_eq!(names(&address, &[]), [""; 0]);
        let none = address.redlock(["list"]).end();
        assert_eq!(none.assert_code(0).assert_silent().stdout, "");
        for name in ["b", "a*", "daily-report", "a[x]", "日本"] {
            address.acquire(name, "60s");
        }
        assert_eq!(
            names(&address, &[]),
            ["a*", "a[x]", "b", "daily-report", "日本"]
        );
        assert_eq!(names(&address, &["a*"]), ["a*", "a[x]"]);
        assert_eq!(names(&address, &[r"a\*"]), ["a*"]);
        assert_eq!(names(&address, &["?"]), ["b"]);
        assert_eq!(names(&address, &["[ab]"]), ["b"]);
        let table = address.redlock(["list", "daily-*"]).end().stdout;
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 2, "{table}");
        assert!(
            lines[0].starts_with("NAME          STATE  HOLDER"),
            "{table}"
        );
        assert!(lines[1].starts_with("daily-report  held   "), "{table}");
    }
}

#[test]
fn json_tells_the_fencing_token_of_each_lock() {
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    for address in [Address::of(&cluster), Address::local(directory.path())] {
        let told = ["one", "two"].map(|name| {
            let line = ["acquire", "--json", "-r", name, "-t", "60s"];
            json(&address.redlock(line).end().assert_code(0).stdout)
        });
        let listed = json(&address.redlock(["list", "--json"]).end().stdout);
        for (at, told) in told.iter().enumerate() {
            assert!(told["fencing_token"].is_u64(), "{told}");
            assert_eq!(listed[at]["resource"], told["resource"]);
            assert_eq!(listed[at]["fencing_token"], told["fencing_token"]);
        }
    }
}

#[test]
fn the_glob_of_the_user_says_nothing_about_the_key_format() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    for server in &cluster.servers {
        let _: () = server.ask(&["SET", "lockX:a", "x"]);
        let _: () = server.ask(&["SET", "lock*:a", "x"]);
    }
    let end = address
        .redlock(["list", "--key-format", "lock*:{}", "--json"])
        .end();
    let locks = json(&end.assert_code(0).stdout);
    assert_eq!(locks.as_array().map(Vec::len), Some(1), "{locks}");
}

#[test]
fn where_any_key_could_be_a_lock_only_what_looks_like_one_is_listed() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let format = ["--key-format", "{}"];
    for server in &cluster.servers {
        for (key, value) in [
            ("counter", "12345"),
            ("session", r#"{"user":"x"}"#),
            ("job:node-redlock", "0123456789abcdef0123456789abcdef"),
            ("job:redlock-rb", "4a2c5d3e-7ffb-4f0e-9d36-5a8c2d0f9a11"),
            ("job:madelson", "web_4123_0123456789abcdef0123456789abcdef"),
        ] {
            let _: () = server.ask(&["SET", key, value]);
        }
        let _: i64 = server.ask(&["HSET", "a-hash", "a", "1"]);
    }
    let line = ["acquire", "-r", "job:ours"].into_iter().chain(format);
    address.redlock(line).end().assert_code(0);
    let expected = [
        "job:madelson",
        "job:node-redlock",
        "job:ours",
        "job:redlock-rb",
    ];
    assert_eq!(names(&address, &format), expected);
}

#[test]
fn a_minority_that_failed_is_told_and_an_outage_is_none_to_rely_on() {
    let cluster = Cluster::start(2);
    for bad in [BadNode::refusing(), BadNode::hanging()] {
        let address = Address::with_bad(&cluster, &bad);
        let token = address.acquire("job", "60s");
        let end = address.redlock(["list"]).end();
        end.assert_code(0)
            .assert_says(&["listed without", bad.said]);
        assert!(end.stdout.contains("2/3"), "{}", end.stdout);
        address
            .redlock(["release", "-r", "job", "--token", &token])
            .end()
            .assert_code(0);
    }
    let mut cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    address.acquire("job", "60s");
    let _: () = cluster.servers[0].ask(&["FLUSHALL"]);
    assert_eq!(names(&address, &[]), ["job"]);
    cluster.servers[1].kill();
    cluster.servers[2].kill();
    let end = address.redlock(["list"]).end();
    end.assert_code(69).assert_says(&["no quorum"]);
    let bad = [BadNode::locked(), BadNode::locked()];
    let urls = format!("{},{},{}", cluster.servers[0].url(), bad[0].url, bad[1].url);
    let end = cluster.redlock(["list"]).env("REDLOCK_SERVERS", urls).end();
    end.assert_code(77).assert_says(&["NOAUTH"]);
}

#[test]
fn the_table_fits_the_terminal_and_is_coloured_there_unless_the_user_objects() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let name = "a-rather-long-name-of-a-job-that-runs-every-night-at-three";
    let note = "recomputing all the prices of all the shops, ask ops@example.com before stopping";
    let line = ["acquire", "-r", name, "--note", note];
    address.redlock(line).end().assert_code(0);
    let table = |columns: u16, (variable, value): (&str, &str)| {
        let redlock = address
            .redlock_under(&ON_TERMINAL, ["list"])
            .env(variable, value);
        let mut terminal = Pty::start(redlock, columns);
        assert_eq!(terminal.wait().code(), Some(0));
        terminal.wait_for("a-rather");
        terminal.seen().replace('\r', "")
    };
    for columns in [80, 200] {
        let plain = table(columns, ("NO_COLOR", "1"));
        assert!(!plain.contains('\x1b'), "{plain:?}");
        let longest = plain.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(columns.into()), "{plain}");
        assert_eq!(plain.contains('…'), columns == 80, "{plain}");
    }
    assert!(!table(80, ("TERM", "dumb")).contains('\x1b'));
    assert!(table(80, ("NO_COLOR", "")).contains("\x1b[33mheld"));
    let piped = address.redlock(["list"]).end().stdout;
    assert!(piped.contains(name) && piped.contains(note), "{piped}");
    assert!(!piped.contains('\x1b'));
}

#[test]
fn a_crowd_of_locks_among_a_crowd_of_keys_is_listed_whole() {
    const LOCKS: usize = 20_000;
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    for server in &cluster.servers {
        let fill = "for i = 1, 100000 do redis.call('SET', 'other:' .. i, i) end \
            for i = 1, 20000 do redis.call('SET', 'lock:job-' .. i, \
            '0123456789abcdef0123456789abcdef {\"host\":\"web-1\",\"pid\":1,\"user\":\"u\",\
            \"since\":\"2026-11-24T03:00:00Z\"}', 'PX', 600000) end";
        let _: () = server.ask(&["EVAL", fill, "0"]);
    }
    let end = address.redlock(["list"]).end();
    assert_eq!(end.assert_code(0).stdout.lines().count(), LOCKS + 1);
    assert_eq!(end.stdout.matches("3/3").count(), LOCKS);
}
