//! `redlock doctor`: what it finds, and with which code it ends. And the ACL rule that it prints.

use serde_json::Value;

use crate::support::{BadNode, Cluster, End, Redlock, Server, eventually};

/// Servers of tests are young; these tests are about other things.
fn doctor<'a>(urls: &str, arguments: impl IntoIterator<Item = &'a str>) -> Redlock {
    Redlock::new(std::iter::once("doctor").chain(arguments))
        .env("REDLOCK_SERVERS", urls)
        .env("REDLOCK_RESTART_GUARD", "off")
}

fn urls<'a>(servers: impl IntoIterator<Item = &'a Server>) -> String {
    let urls: Vec<String> = servers.into_iter().map(Server::url).collect();
    urls.join(" ")
}

fn object(end: &End) -> Value {
    assert_eq!(end.stderr, "", "{end:#?}");
    serde_json::from_str(&end.stdout).unwrap_or_else(|error| panic!("{error}: {end:#?}"))
}

/// Severity and problem of each finding about `node`; about all servers if it is `Null`.
fn findings(report: &Value, node: &Value) -> Vec<(String, String)> {
    let text = |finding: &Value, field: &str| finding[field].as_str().expect("a text").to_owned();
    let all = report["findings"].as_array().expect("a list");
    let about = all.iter().filter(|finding| finding["node"] == *node);
    about
        .inspect(|finding| {
            assert!(!text(finding, "effect").is_empty() && !text(finding, "remedy").is_empty());
        })
        .map(|finding| (text(finding, "severity"), text(finding, "problem")))
        .collect()
}

#[track_caller]
fn assert_found(report: &Value, node: &str, severity: &str, problem: &str) {
    let found = findings(report, &Value::from(node));
    let is = |(s, p): &(String, String)| s == severity && p.contains(problem);
    assert!(found.iter().any(is), "{severity} {problem}: {found:?}");
}

#[test]
fn good_servers_are_fit_and_nothing_is_left_on_them() {
    let cluster = Cluster::start(3);
    let end = doctor(&cluster.urls(), []).end();
    end.assert_code(0).assert_silent();
    assert!(
        end.stdout
            .starts_with("Fit: 3 of 3 servers have a vote, a lock needs 2\n")
    );
    assert!(!end.stdout.contains('\u{1b}'), "no colour in a pipe");
    for part in [
        "nothing is kept on disk",
        "  effect  ",
        "  set     ",
        "ACL SETUSER redlock",
    ] {
        assert!(end.stdout.contains(part), "{part}: {end:#?}");
    }
    let report = object(doctor(&cluster.urls(), ["--json"]).end().assert_code(0));
    assert_eq!(report["fit"], true);
    for (server, node) in cluster
        .servers
        .iter()
        .zip(report["nodes"].as_array().expect("nodes"))
    {
        assert_eq!(node["node"], server.name());
        assert_eq!(node["reachable"], true);
        assert_eq!(node["role"], "primary");
        assert_eq!(node["forbidden"], serde_json::json!([]));
        assert!(node["latency_ms"].as_f64().is_some_and(|ms| ms > 0.0));
        let offset = node["clock_offset_ms"].as_i64().expect("a number");
        assert!(offset.abs() < 1000, "one host has one clock: {offset}");
        assert_eq!(server.ask::<u64>(&["DBSIZE"]), 0);
    }
}

#[test]
fn a_server_that_cannot_vote_is_told_and_two_of_three_are_an_outage_or_a_refusal() {
    let (good, better) = (Server::start(), Server::start());
    let failing = BadNode::failing().into_iter().map(|make| (make, 69));
    let refusing = BadNode::refusals().into_iter().map(|make| (make, 77));
    for (make, code) in failing.chain(refusing) {
        let (bad, worse) = (make(), make());
        let minority = format!("{} {} {}", good.url(), bad.url, better.url());
        let end = doctor(&minority, ["--json"]).end();
        let report = object(end.assert_code(0));
        assert_found(&report, bad.name(), "no_vote", "");
        assert_eq!(report["votes"], 2, "{}", bad.what);
        let majority = format!("{} {} {}", good.url(), bad.url, worse.url);
        let end = doctor(&majority, []).end();
        end.assert_code(code).assert_silent();
        assert!(
            end.stdout.starts_with("NO QUORUM: 1 of 3"),
            "{}: {end:#?}",
            bad.what
        );
        assert!(end.stdout.contains("NO VOTE"), "{}: {end:#?}", bad.what);
    }
}

#[test]
fn a_policy_that_evicts_locks_is_a_danger_where_memory_is_bounded() {
    let policies = [
        "allkeys-lru",
        "allkeys-random",
        "volatile-ttl",
        "volatile-lfu",
        "noeviction",
    ];
    let with = |policy| Server::with(&["--maxmemory", "100mb", "--maxmemory-policy", policy]);
    let servers = policies.map(with);
    let report = object(doctor(&urls(&servers), ["--json"]).end().assert_code(78));
    for (server, policy) in servers.iter().zip(policies).take(4) {
        assert_found(&report, &server.name(), "danger", policy);
    }
    let good = findings(&report, &Value::from(servers[4].name()));
    assert!(
        good.iter().all(|(severity, _)| severity == "warning"),
        "{good:?}"
    );
    let text = doctor(&urls(&servers), []).end();
    assert!(
        text.assert_code(78).stdout.starts_with("NOT FIT"),
        "{text:#?}"
    );

    let unbounded = [(); 3].map(|()| Server::with(&["--maxmemory-policy", "allkeys-lru"]));
    doctor(&urls(&unbounded), []).end().assert_code(0);
}

#[test]
fn servers_that_are_not_independent_are_a_danger() {
    let cluster = Cluster::start(3);
    let [first, second, _] = &cluster.servers[..] else {
        panic!("three servers");
    };
    let port = first.port().to_string();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &port]);
    eventually("the replica is connected", || {
        let info: String = replica.ask(&["INFO", "replication"]);
        info.contains("master_link_status:up")
    });
    let pair = urls([first, &replica, second]);
    let report = object(doctor(&pair, ["--json"]).end().assert_code(78));
    let told = findings(&report, &Value::Null);
    let pair = format!(
        "{} and {} are a primary and its replica",
        first.name(),
        replica.name()
    );
    assert!(told.contains(&("danger".to_owned(), pair)), "{told:?}");
    assert_found(
        &report,
        &replica.name(),
        "no_vote",
        "read-only replica of 127.0.0.1",
    );
    assert_found(&report, &first.name(), "warning", "1 replica is attached");
    assert_eq!(report["nodes"][1]["role"], "replica");

    let socket = format!("redis+unix://{}", first.socket().display());
    let twice = format!("{} {} {socket}", first.url(), second.url());
    let end = doctor(&twice, []).end();
    end.assert_code(78).assert_silent();
    assert!(end.stdout.contains("are the same server"), "{end:#?}");
}

#[test]
fn a_server_in_cluster_mode_and_a_writable_replica_are_dangers() {
    let nobody = crate::support::server::free_port().to_string();
    let writable = [
        "--replicaof",
        "127.0.0.1",
        &nobody,
        "--replica-read-only",
        "no",
    ];
    let servers = [
        Server::start(),
        Server::with(&["--cluster-enabled", "yes"]),
        Server::with(&writable),
    ];
    let report = object(doctor(&urls(&servers), ["--json"]).end().assert_code(78));
    assert_found(&report, &servers[1].name(), "danger", "cluster mode");
    assert_found(&report, &servers[2].name(), "danger", "takes writes");
}

#[test]
fn a_command_that_was_renamed_is_named() {
    let servers = [
        Server::with(&["--rename-command", "INFO", ""]),
        Server::with(&["--rename-command", "PEXPIRE", ""]),
        Server::with(&["--rename-command", "SUBSCRIBE", ""]),
    ];
    let report = object(doctor(&urls(&servers), ["--json"]).end().assert_code(0));
    for (server, severity, problem) in [
        (&servers[0], "warning", "does not know info"),
        (&servers[1], "no_vote", "does not know pexpire"),
        (&servers[2], "warning", "does not know subscribe"),
    ] {
        assert_found(&report, &server.name(), severity, problem);
    }
}

#[test]
fn a_server_without_room_for_a_client_says_so() {
    let servers = [
        Server::with(&["--maxclients", "1"]),
        Server::start(),
        Server::start(),
    ];
    let mut taken = servers[0].client();
    let _: String = redis::cmd("PING").query(&mut taken).expect("it is there");
    let end = doctor(&urls(&servers), []).end();
    assert!(
        end.assert_code(0).stdout.contains("raise maxclients"),
        "{end:#?}"
    );
    drop(taken);
}

#[test]
fn what_a_server_keeps_is_told() {
    let servers = [
        Server::with(&["--appendonly", "yes", "--appendfsync", "always"]),
        Server::with(&["--appendonly", "yes", "--appendfsync", "everysec"]),
        Server::with(&["--save", "3600 1"]),
    ];
    let report = object(doctor(&urls(&servers), ["--json"]).end().assert_code(0));
    let of = |index: usize| findings(&report, &Value::from(servers[index].name()));
    assert!(
        !of(0).iter().any(|(_, problem)| problem.contains("disk")),
        "{:?}",
        of(0)
    );
    assert_found(&report, &servers[1].name(), "note", "everysec");
    assert_found(&report, &servers[2].name(), "warning", "only snapshots");
}

#[test]
fn a_server_that_restarted_has_no_vote_until_the_window_is_over() {
    let mut cluster = Cluster::start(3);
    // The window and the TTL are rounded up to a second, and one is added.
    let look = |cluster: &Cluster| {
        cluster
            .redlock(["doctor", "--json"])
            .env("REDLOCK_TTL", "500ms")
            .env("REDLOCK_RESTART_WINDOW", "500ms")
            .env("REDLOCK_RESTART_GUARD", "auto")
            .end()
    };
    assert!(look(&cluster).assert_code(0).stdout.contains("cold start"));
    eventually("all servers are old", || {
        !look(&cluster).stdout.contains("restarted")
    });
    cluster.servers[1].kill();
    cluster.servers[1].restart();
    let report = object(look(&cluster).assert_code(0));
    assert_found(&report, &cluster.servers[1].name(), "no_vote", "restarted");
    assert_eq!(report["votes"], 2);
}

#[test]
fn an_even_number_and_a_long_ttl_are_warnings() {
    let cluster = Cluster::start(2);
    let end = cluster.redlock(["doctor", "--json", "--any-quorum"]);
    let end = end
        .env("REDLOCK_TTL", "10m")
        .env("REDLOCK_RESTART_GUARD", "auto")
        .end();
    let told = findings(&object(end.assert_code(0)), &Value::Null);
    let has = |part: &str| told.iter().any(|(s, p)| s == "warning" && p.contains(part));
    assert!(has("2 servers, an even number"), "{told:?}");
    assert!(
        has("the longest TTL in the settings is 10m, the restart window 1m"),
        "{told:?}"
    );
    cluster
        .redlock(["doctor"])
        .end()
        .assert_code(78)
        .assert_says(&["2 servers"]);
}

/// Makes the user of `words`, which follow ACL SETUSER, on all servers; answers their URLs with it.
fn with_user(cluster: &Cluster, words: &[&str]) -> String {
    let rule: Vec<&str> = ["ACL", "SETUSER"].iter().chain(words).copied().collect();
    let urls = cluster.servers.iter().map(|server| {
        let _: () = server.ask(&rule);
        format!("redis://{}:s3cret@127.0.0.1:{}", words[0], server.port())
    });
    urls.collect::<Vec<_>>().join(" ")
}

/// The rule that doctor prints, word by word, with a password and a name for the user.
fn printed_rule(urls: &str, format: &str) -> Vec<String> {
    let end = doctor(urls, ["--key-format", format]).end();
    let line = end
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("ACL SETUSER "));
    let line = line.unwrap_or_else(|| panic!("a rule: {end:#?}"));
    line.split(' ')
        .map(|word| word.replace("PASSWORD", "s3cret"))
        .collect()
}

/// The same servers with `path` behind each.
fn with_path(urls: &str, path: &str) -> String {
    let urls = urls.split([' ', ',']).map(|url| format!("{url}{path}"));
    urls.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_printed_rule_is_enough_for_everything() {
    for (format, database) in [
        ("lock:{}", ""),
        ("{}", ""),
        ("app:[{}]:lock", ""),
        ("lock:{}", "/1"),
    ] {
        let cluster = Cluster::start(3);
        let rule = printed_rule(&with_path(&cluster.urls(), database), format);
        let needs_select = rule.iter().any(|right| right == "+select");
        assert_eq!(needs_select, !database.is_empty(), "{rule:?}");
        let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
        let urls = with_path(&with_user(&cluster, &rule), database);
        let as_user = |arguments: &[&str]| {
            Redlock::new(arguments.iter().copied())
                .env("REDLOCK_SERVERS", &urls)
                .env("REDLOCK_KEY_FORMAT", format)
                .env("REDLOCK_RESTART_GUARD", "off")
        };
        let run = [
            "run",
            "-r",
            "job",
            "-t",
            "1s",
            "sh",
            "-c",
            "echo ready; read _",
        ];
        let mut holder = as_user(&run).start_ready();
        let waiter = as_user(&["run", "-w", "-r", "job", "true"]).start();
        as_user(&["run", "-r", "job", "true"]).end().assert_code(75);
        let names = as_user(&["complete-names", "--", "redlock", "run", "-r", "j"]).end();
        assert_eq!(names.stdout, "job\n");
        std::thread::sleep(std::time::Duration::from_millis(500));
        holder.write_line("");
        holder.end().assert_code(0).assert_silent();
        waiter.end().assert_code(0);
        everything_else(&as_user);
        // What scripts try through pcall, without telling us, is in the log as well.
        for server in &cluster.servers {
            let denied: Vec<redis::Value> = server.ask(&["ACL", "LOG"]);
            assert!(denied.is_empty(), "{format}: {denied:?}");
        }
        let report = object(as_user(&["doctor", "--json"]).end().assert_code(0));
        for node in report["nodes"].as_array().expect("nodes") {
            assert_eq!(node["forbidden"], serde_json::json!([]), "{format}");
        }
    }
}

/// Every command that a user has, apart from what runs a job and waits.
fn everything_else(as_user: &dyn Fn(&[&str]) -> Redlock) {
    let token = as_user(&["acquire", "-r", "hand", "-t", "20s"]).end();
    let token = token.assert_code(0).stdout.trim().to_owned();
    let with_token = |arguments: &[&str]| as_user(arguments).env("REDLOCK_TOKEN", &token).end();
    with_token(&["extend", "-r", "hand", "-t", "30s"]).assert_code(0);
    let listed = as_user(&["list"]).end();
    assert!(listed.assert_code(0).stdout.contains("hand"), "{listed:?}");
    as_user(&["inspect", "hand"]).end().assert_code(0);
    with_token(&["release", "-r", "hand"]).assert_code(0);
    let once = [
        "run",
        "--once-per",
        "1h",
        "--min-hold",
        "1s",
        "-r",
        "once",
        "true",
    ];
    as_user(&once).end().assert_code(0).assert_silent();
    as_user(&once).end().assert_code(75);
    let history = as_user(&["history", "once"]).end();
    assert!(
        history.assert_code(0).stdout.contains("exit 0"),
        "{history:?}"
    );
    let force = ["release", "--force", "--yes", "-r", "once"];
    as_user(&force).end().assert_code(0);
    as_user(&["inspect", "once"]).end().assert_code(3);
}

#[test]
fn rights_that_are_missing_are_named_with_what_they_cost() {
    let cluster = Cluster::start(3);
    let rule = printed_rule(&cluster.urls(), "lock:{}");
    let without = |omitted: &[&str]| -> Value {
        let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
        let rule: Vec<&str> = rule
            .into_iter()
            .filter(|word| !omitted.contains(word))
            .collect();
        let urls = with_user(&cluster, &rule);
        let end = doctor(&urls, ["--json"]).end();
        assert!(!end.stdout.contains("s3cret"));
        let report = object(&end);
        let needed = omitted
            .iter()
            .any(|word| ["+set", "+eval", "~lock:*"].contains(word));
        end.assert_code(if needed { 77 } else { 0 });
        report
    };
    let node = cluster.servers[0].name();
    for (omitted, severity, problem) in [
        ("+set", "no_vote", "ACL forbids set, or the keys"),
        ("+eval", "no_vote", "ACL forbids eval"),
        (
            "~lock:*",
            "no_vote",
            "ACL forbids set, pexpire, type, pttl, del",
        ),
        (
            "&released:lock:*",
            "warning",
            "ACL forbids publish, or its channel",
        ),
        ("+info", "warning", "ACL forbids info"),
        ("+scan", "warning", "ACL forbids scan"),
        ("+subscribe", "warning", "ACL forbids subscribe"),
        ("+lpush", "warning", "ACL forbids lpush"),
    ] {
        assert_found(&without(&[omitted]), &node, severity, problem);
    }
}

#[test]
fn a_directory_is_examined_too() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().to_str().expect("a plain path");
    let local = |arguments: &[&str]| {
        Redlock::new(arguments.iter().copied())
            .env("REDLOCK_LOCAL", path)
            .end()
    };
    let end = local(&["doctor"]);
    end.assert_code(0).assert_silent();
    assert!(end.stdout.starts_with(&format!("Fit: {path}")), "{end:#?}");
    assert!(
        !end.stdout.contains("ACL SETUSER"),
        "there is nobody to give rights"
    );
    let report = object(local(&["doctor", "--json"]).assert_code(0));
    assert!(
        report["nodes"][0]["free_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 0)
    );

    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("the directory is ours");
    let end = Redlock::new(["doctor"]).env("REDLOCK_LOCAL", &file).end();
    end.assert_code(78).assert_says(&["must name a directory"]);
}

#[test]
fn a_script_that_does_not_end_is_named_with_what_ends_it() {
    let cluster = Cluster::start(3);
    let busy = &cluster.servers[1];
    let _: () = busy.ask(&["CONFIG", "SET", "busy-reply-threshold", "1"]);
    std::thread::scope(|scope| {
        let mut client = busy.client();
        let mut endless = redis::cmd("EVAL");
        endless.arg("while true do end").arg(0);
        scope.spawn(move || endless.query::<()>(&mut client));
        eventually("the script runs", || {
            let mut client = busy.client();
            let answer = redis::cmd("GET").arg("a").query::<()>(&mut client);
            answer.is_err_and(|error| error.code() == Some("BUSY"))
        });
        let end = doctor(&cluster.urls(), []).end();
        let _: () = busy.ask(&["SCRIPT", "KILL"]);
        end.assert_code(0);
        assert!(end.stdout.contains("redis-cli SCRIPT KILL"), "{end:#?}");
    });
}
