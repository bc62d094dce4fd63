//! `redlock complete-names`, which the completions call: quick, bounded, and silent whatever
//! happens.

use std::time::Duration;

use crate::support::{BadNode, Cluster, End, Redlock};

/// A tab key that takes longer is pressed again. Most of it is for a machine that is busy with
/// tests.
const AT_MOST: Duration = Duration::from_secs(3);

fn complete(redlock: Redlock) -> End {
    let end = redlock.end();
    end.assert_code(0).assert_silent();
    assert!(end.took < AT_MOST, "{end:#?}");
    end
}

#[test]
fn names_are_those_of_locks_on_any_server() {
    let cluster = Cluster::start(3);
    let keys = [
        "lock:a1",
        "lock:a2",
        "lock:b",
        "lock:{c}",
        "{lock:a1}:fence",
        "other:a3",
    ];
    for (key, server) in keys.iter().zip(cluster.servers.iter().cycle()) {
        let _: () = server.ask(&["SET", key, "value"]);
    }
    let _: () = cluster.servers[0].ask(&["SET", "lock:a\n3", "value"]);
    let names = |words: &[&str]| {
        let all = ["complete-names", "--", "redlock"].iter().chain(words);
        complete(cluster.redlock(all.copied())).stdout
    };
    assert_eq!(names(&["run", "-r", "a"]), "a1\na2\n");
    assert_eq!(names(&["run", "-r", ""]), "a1\na2\nb\n{{c}\n");
    assert_eq!(names(&["run", "-r", "{{"]), "{{c}\n", "as it is typed");
    assert_eq!(names(&["run", "--resource=b"]), "b\n");
    assert_eq!(names(&["run", "-r", "*"]), "", "what was typed is no glob");
    assert_eq!(
        names(&["--key-format", "other:{}", "run", "-r", "a"]),
        "a3\n"
    );
    // Half a command line makes no sense in many ways.
    assert_eq!(names(&["run", "--ttl", "-r", "b"]), "b\n");
    assert_eq!(names(&["run", "--bogus", "-r", "b"]), "b\n");
    assert_eq!(names(&["--server", "nonsense", "run", "-r", "b"]), "");
    let without_words = complete(cluster.redlock(["complete-names"]));
    assert_eq!(without_words.stdout, "a1\na2\nb\n{{c}\n");
}

#[test]
fn many_names_are_as_quick_and_not_all_of_them() {
    let cluster = Cluster::start(3);
    let fill = "for i = 1, 200000 do redis.call('SET', 'lock:job' .. i, '') end";
    let _: () = cluster.servers[0].ask(&["EVAL", fill, "0"]);
    let end = complete(cluster.redlock(["complete-names", "--", "redlock", "run", "-r", "job"]));
    let count = end.stdout.lines().count();
    assert!((1..=1000).contains(&count), "{count}");
}

#[test]
fn servers_that_are_no_good_cost_no_time_and_no_word() {
    let good = crate::support::Server::start();
    let _: () = good.ask(&["SET", "lock:a", "value"]);
    for make in BadNode::failing().into_iter().chain(BadNode::refusals()) {
        let (bad, worse) = (make(), make());
        let urls = format!("{} {} {}", good.url(), bad.url, worse.url);
        let words = ["complete-names", "--", "redlock", "run", "-r", ""];
        let end = complete(Redlock::new(words).env("REDLOCK_SERVERS", urls));
        assert_eq!(end.stdout, "a\n", "{}", bad.what);
        let urls = format!("{} {}", bad.url, worse.url);
        let end = Redlock::new(words).env("REDLOCK_SERVERS", urls);
        let end = complete(end.env("REDLOCK_ANY_QUORUM", "1"));
        assert_eq!(end.stdout, "", "{}", bad.what);
    }
    let nothing_set = complete(Redlock::new([
        "complete-names",
        "--",
        "redlock",
        "run",
        "-r",
        "",
    ]));
    assert_eq!(nothing_set.stdout, "");
}
