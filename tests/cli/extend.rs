//! `redlock extend`: what it prolongs, and what it leaves alone.

use std::time::Duration;

use crate::support::proxy::{self, Fate};
use crate::support::{Address, Cluster, Redlock, eventually};

#[test]
fn extend_raises_the_rest_and_never_lowers_it() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let token = address.acquire("job", "60s");
    let extend = |ttl| {
        let line = ["extend", "-r", "job", "--token", &token, "-t", ttl];
        address.redlock(line).end().assert_code(0);
        cluster.pttls("lock:job")
    };
    assert!(extend("1s").iter().all(|&rest| rest > 30_000));
    assert!(extend("2h").iter().all(|&rest| rest > 7_000_000));
}

#[test]
fn extend_puts_the_lock_back_where_a_minority_has_lost_it() {
    let mut cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let token = address.acquire("job", "60s");
    let value = cluster.servers[2].get("lock:job");
    let fence = cluster.servers[2].get("{lock:job}:fence");
    let extend = ["extend", "-r", "job", "--token", &token];
    // One after the other, every server loses its data.
    for index in 0..3 {
        let server = &mut cluster.servers[index];
        server.kill();
        server.restart();
        address.redlock(extend).end().assert_code(0).assert_silent();
        assert_eq!(cluster.servers[index].get("lock:job"), value);
        assert!(cluster.pttls("lock:job")[index] > 20_000);
        assert_eq!(cluster.servers[index].get("{lock:job}:fence"), fence);
    }
    // Not where it is somebody else's by now.
    let _: () = cluster.servers[0].ask(&["SET", "lock:job", "another's"]);
    address.redlock(extend).end().assert_code(0);
    let anothers = Some(b"another's".to_vec());
    assert_eq!(cluster.servers[0].get("lock:job"), anothers);
}

#[test]
fn extend_puts_nothing_back_that_could_outlive_a_release_or_make_a_quorum() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let token = Address::of(&cluster).acquire("job", "60s");
    let lost = &cluster.servers[2];
    let _: u32 = lost.ask(&["DEL", "lock:job"]);
    let by_hand = |words: &[&'static str]| {
        let line = [words, &["-r", "job"]].concat();
        Redlock::new(line)
            .env("REDLOCK_SERVERS", &urls)
            .env("REDLOCK_NODE_TIMEOUT", "1s")
            .env("REDLOCK_TOKEN", &token)
            .end()
    };
    let sets = || lost.calls_of("set");
    let before = sets();
    // What puts it back is late, and comes after the release.
    let late = Fate::Delay(Duration::from_secs(4));
    proxies[2].set_requests_that_say("'NX', 'PX'", late);
    by_hand(&["extend", "-t", "1h"]).assert_code(0);
    by_hand(&["release"]).assert_code(0);
    eventually("what is late has arrived", || sets() > before);
    eventually("nothing is left of it", || cluster.locks().is_empty());
    // Of a lock that a minority has, nothing is put back.
    let token = Address::of(&cluster).acquire("job", "60s");
    let _: u32 = lost.ask(&["DEL", "lock:job"]);
    cluster.servers[1].hang();
    let line = ["extend", "-r", "job", "--token", &token];
    let end = Address::of(&cluster).redlock(line).end();
    end.assert_code(69);
    assert_eq!(lost.get("lock:job"), None);
}

#[test]
fn extend_takes_nothing_away_that_another_extension_may_have_counted() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let token = Address::of(&cluster).acquire("job", "60s");
    let lost = &cluster.servers[2];
    let _: u32 = lost.ask(&["DEL", "lock:job"]);
    let deletions = || lost.calls_of("del");
    let before = deletions();
    // It is put back, and then nobody can be asked whether it is still held.
    proxies[2].set_replies(Fate::Delay(Duration::from_millis(500)));
    let extend = Redlock::new(["extend", "-r", "job", "-t", "1h"])
        .env("REDLOCK_SERVERS", &urls)
        .env("REDLOCK_NODE_TIMEOUT", "5s")
        .env("REDLOCK_TOKEN", &token)
        .start();
    eventually("it is put back", || lost.get("lock:job").is_some());
    for proxy in &proxies[..2] {
        proxy.set_requests(Fate::Close);
    }
    extend.end().assert_code(0);
    assert_eq!(deletions(), before);
    // For a moment.
    eventually("it is gone", || lost.get("lock:job").is_none());
    assert_eq!(deletions(), before);
}

#[test]
fn extend_neither_prolongs_nor_deletes_what_is_left_of_a_lock_that_most_servers_have_lost() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let token = address.acquire("job", "60s");
    for server in &cluster.servers[..2] {
        let _: u32 = server.ask(&["DEL", "lock:job"]);
    }
    let line = ["extend", "-r", "job", "--token", &token, "-t", "24h"];
    let end = address.redlock(line).end();
    let left = cluster.servers[2].name();
    end.assert_code(76)
        .assert_says(&[&left, "not extended, for the others have nothing"]);
    let rests = cluster.pttls("lock:job");
    assert!(rests[2] > 0 && rests[2] <= 60_000, "{rests:?}");
}

#[test]
fn extend_does_not_prolong_what_is_left_of_a_lock_that_somebody_else_has_now() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let token = address.acquire("job", "60s");
    for server in &cluster.servers[..2] {
        let _: () = server.ask(&["SET", "lock:job", "another's"]);
    }
    let line = ["extend", "-r", "job", "--token", &token, "-t", "24h"];
    address.redlock(line).end().assert_code(75);
    let rests = cluster.pttls("lock:job");
    assert!(rests[2] > 0 && rests[2] <= 60_000, "{rests:?}");
}

#[test]
fn an_extension_that_most_servers_tell_of_only_after_the_ttl_is_none() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let token = Address::of(&cluster).acquire("job", "60s");
    proxies[1].set_replies(Fate::Delay(Duration::from_millis(300)));
    proxies[2].set_requests(Fate::Close);
    let line = ["extend", "-r", "job", "--token", &token, "-t", "500ms"];
    let end = Redlock::new(line).env("REDLOCK_SERVERS", urls).end();
    end.assert_code(69)
        .assert_says(&["nothing is left of the TTL"]);
}

#[test]
fn a_lock_that_was_prolonged_by_hand_is_kept_when_memory_is_full() {
    let cluster = Cluster::start(3);
    let address = Address::of(&cluster);
    let script = "echo $REDLOCK_TOKEN; read _; sleep 2";
    let line = ["run", "-t", "1s", "-r", "job", "sh", "-c", script];
    let mut run = address.redlock(line).start();
    let token = run.next_line();
    let line = ["extend", "-r", "job", "--token", &token, "-t", "60s"];
    address.redlock(line).end().assert_code(0);
    for server in &cluster.servers {
        let _: () = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    }
    run.write_line("");
    run.end().assert_code(0).assert_silent();
}

#[test]
fn extend_puts_back_for_no_more_than_a_moment_what_was_released_meanwhile() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let address = Address::of(&cluster);
    let token = address.acquire("job", "60s");
    let _: u32 = cluster.servers[2].ask(&["DEL", "lock:job"]);
    // What puts it back is late, but not too late.
    let late = Fate::Delay(Duration::from_secs(2));
    proxies[2].set_requests_that_say("'NX', 'PX'", late);
    let line = ["extend", "-r", "job", "--token", &token, "-t", "1h"];
    let extend = Redlock::new(line)
        .env("REDLOCK_SERVERS", &urls)
        .env("REDLOCK_NODE_TIMEOUT", "10s")
        .start();
    eventually("it is extended", || cluster.pttls("lock:job")[0] > 60_000);
    let line = ["release", "-r", "job", "--token", &token];
    address.redlock(line).end().assert_code(0);
    // It sees that.
    extend.end().assert_code(76).assert_says(&["job"]);
    eventually("it is gone", || cluster.locks().is_empty());
}

#[test]
fn extend_puts_back_what_is_ours_and_not_what_another_has_on_a_minority() {
    let cluster = Cluster::start(5);
    let address = Address::of(&cluster);
    let token = address.acquire("job", "60s");
    let ours = cluster.servers[0].get("lock:job");
    let _: u32 = cluster.servers[3].ask(&["DEL", "lock:job"]);
    let _: () = cluster.servers[4].ask(&["SET", "lock:job", "another's"]);
    let line = ["extend", "-r", "job", "--token", &token];
    address.redlock(line).end().assert_code(0);
    assert_eq!(cluster.servers[3].get("lock:job"), ours);
}

#[test]
fn an_extension_whose_time_is_over_when_the_lock_is_put_back_is_none() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let token = Address::of(&cluster).acquire("job", "60s");
    let _: u32 = cluster.servers[2].ask(&["DEL", "lock:job"]);
    proxies[2].set_requests_that_say("'NX', 'PX'", Fate::Delay(Duration::from_secs(1)));
    let line = ["extend", "-r", "job", "--token", &token, "-t", "1s"];
    let end = Redlock::new(line)
        .env("REDLOCK_SERVERS", urls)
        .env("REDLOCK_NODE_TIMEOUT", "10s")
        .end();
    end.assert_code(69)
        .assert_says(&["nothing is left of the TTL"]);
}
