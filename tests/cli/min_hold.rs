//! `--min-hold`: a job that is quicker than the clocks differ runs once all the same.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use redlock::clock::{self, Instant};
use redlock::node::{Entry, Extension, Marker, MarkerKind, Node as _, Parting, RedisNode, Release};

use crate::support::proxy::{self, Fate};
use crate::support::{Cluster, Place, Redlock, Server, eventually, json};

/// More than any answer takes.
const LIMIT: Duration = Duration::from_secs(10);

/// The state behind the token, server by server.
fn states(cluster: &Cluster) -> Vec<Option<char>> {
    let values = cluster.values("lock:job").into_iter();
    values.map(|value| Some(value?[32].into())).collect()
}

#[test]
fn the_lock_stays_for_that_long_after_it_was_acquired_and_redlock_does_not() {
    for place in Place::each() {
        let end = place.run("--min-hold 3s", "exit 5").end();
        end.assert_code(5).assert_silent();
        assert!(
            end.took < Duration::from_secs(2),
            "it never sleeps: {end:?}"
        );
        let began = clock::now();
        let skipped = place.run("-v", "echo never").end();
        skipped.assert_code(75).assert_says(&[
            "job is kept by ",
            " after its run, free in ",
            "; skipped",
        ]);
        assert!(!skipped.stderr.contains("held by"), "{skipped:?}");
        let next = place.run("-w", "echo my turn").end();
        assert_eq!(next.assert_code(0).stdout, "my turn\n");
        let waited = clock::now().since(began);
        assert!(waited < Duration::from_millis(3_300), "{waited:?}");
        assert!(waited > Duration::from_secs(1), "{waited:?}");
    }
}

#[test]
fn a_marker_has_its_own_end_shorter_or_longer_than_the_ttl() {
    let place = Place::Servers(Cluster::start(3));
    let cluster = place.cluster();
    for (options, at_most) in [
        ("-t 10m --min-hold 20s", 20_000),
        ("-t 5s --min-hold 1h", 3_600_000),
    ] {
        place.run(options, "true").end().assert_code(0);
        assert_eq!(states(cluster), [Some('~'); 3]);
        for rest in cluster.pttls("lock:job") {
            assert!(rest <= at_most && rest > at_most - 5_000, "{rest}");
        }
        let longest = cluster.pttls("{lock:job}:fence");
        assert!(
            longest.iter().all(|&rest| rest > 604_000_000),
            "{longest:?}"
        );
        for server in &cluster.servers {
            let _: () = server.ask(&["DEL", "lock:job"]);
        }
    }
}

#[test]
fn that_the_lock_may_not_stay_so_long_is_told() {
    let mut cluster = Cluster::start(3);
    let script = "echo ready; read _; exit 4";
    let run = ["run", "--min-hold", "1h", "-r", "job", "sh", "-c", script];
    let mut run = cluster.redlock(run).start_ready();
    cluster.servers[0].kill();
    cluster.servers[1].kill();
    run.write_line("");
    run.end().assert_code(4).assert_says(&[
        "job was not kept on a quorum",
        "may be free before --min-hold is over, or stay taken until 20",
    ]);
}

#[test]
fn a_job_that_outlasts_it_leaves_nothing_and_neither_does_one_that_never_ran() {
    for place in Place::each() {
        place
            .run("--min-hold 300ms", "sleep 0.5")
            .end()
            .assert_code(0);
        place.run("", "true").end().assert_code(0);
        let missing = ["run", "-r", "job", "--min-hold", "1h", "no-such-thing"];
        place.redlock(missing).end().assert_code(127);
        let directory = ["run", "-r", "job", "--min-hold", "1h", "/tmp"];
        place.redlock(directory).end().assert_code(126);
        place.run("", "true").end().assert_code(0);
    }
}

#[test]
fn nobody_with_the_old_token_can_change_a_kept_lock() {
    let cluster = Cluster::start(3);
    let place = Place::Servers(cluster);
    let cluster = place.cluster();
    place.run("--min-hold 1h", "true").end().assert_code(0);
    let before = cluster.values("lock:job");
    let value = before[0].clone().expect("it is kept");
    // A late extension and a late release of the very holder.
    let entry = Arc::new(Entry {
        keys: vec!["lock:job".to_owned()],
        value: [&value[..32], b" {}"].concat(),
        ttl: Duration::from_hours(2),
        stay: Duration::from_hours(2),
    });
    let marker = Marker {
        kind: MarkerKind::Done,
        until: clock::now() + Duration::from_hours(2),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        for server in &cluster.servers {
            let node = RedisNode::new(&server.endpoint()).expect("a plain endpoint");
            let extended = node.extend(Arc::clone(&entry), 1, LIMIT).await;
            assert!(
                matches!(extended, Ok(Extension::Foreign(_))),
                "{extended:?}"
            );
            for marker in [None, Some(marker)] {
                let parting = Arc::new(Parting {
                    marker,
                    ..Parting::default()
                });
                let released = node.release(Arc::clone(&entry), parting, LIMIT).await;
                assert_eq!(released, Ok(Release::NotOurs));
            }
        }
    });
    assert_eq!(cluster.values("lock:job"), before);
    let rests = cluster.pttls("lock:job");
    assert!(rests.iter().all(|&rest| rest <= 3_600_000), "{rests:?}");
}

#[test]
fn a_marker_is_left_on_a_server_as_well_on_which_a_contender_had_been_first() {
    for (options, state) in [
        ("--min-hold 1h", '~'),
        ("--once-per 1h", '!'),
        ("-r other --once-per 1h", '!'),
    ] {
        let place = Place::Servers(Cluster::start(3));
        let cluster = place.cluster();
        let _: () = cluster.servers[1].ask(&["SET", "lock:job", "another's", "PX", "30"]);
        // Gone by then, and the holder does not listen yet.
        let end = place.run(options, "sleep 0.04").end();
        end.assert_code(0).assert_silent();
        assert_eq!(states(cluster), [Some(state); 3]);
        let others = cluster.values("lock:other").into_iter().flatten().count();
        assert_eq!(others, if options.contains("other") { 3 } else { 0 });
        // As long as on the others, and no longer than that.
        let rests = cluster.pttls("lock:job");
        let [least, most] = [rests.iter().min(), rests.iter().max()].map(Option::unwrap);
        assert!(most - least < 10_000, "{rests:?}");
        // It is no majority that depends on one server.
        let _: () = cluster.servers[0].ask(&["FLUSHALL"]);
        place.run("", "echo again").end().assert_code(75);
        // And the history has it once.
        for server in &cluster.servers[1..] {
            let runs: u32 = server.ask(&["LLEN", "{lock:job}:history"]);
            assert_eq!(runs, 1);
        }
    }
}

#[test]
fn a_marker_is_left_where_a_contender_had_been_first_also_when_another_server_is_lost() {
    for (options, state) in [("--min-hold 1h", '~'), ("--once-per 1h", '!')] {
        let mut cluster = Cluster::start(3);
        let _: () = cluster.servers[0].ask(&["SET", "lock:job", "another's", "PX", "30"]);
        let mut run = cluster.run(options, "echo ready; read _").start();
        run.wait_for("ready");
        // The contender's is still there, or gone already.
        cluster.servers[2].kill();
        run.write_line("");
        run.end().assert_code(0).assert_silent();
        let of_two = |index: usize| {
            let value = cluster.servers[index].get("lock:job").expect("a marker");
            char::from(value[32])
        };
        assert_eq!([0, 1].map(of_two), [state; 2]);
    }
}

#[test]
fn a_server_that_is_far_away_has_the_marker_as_well() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    proxies[2].set_replies(Fate::Delay(Duration::from_millis(40)));
    let run = |script| {
        let run = cluster.run("-t 10m --once-per 1h", script);
        let end = run.env("REDLOCK_SERVERS", &urls).end();
        end.assert_code(0).assert_silent();
    };
    // A contender was first there.
    let _: () = cluster.servers[2].ask(&["SET", "lock:job", "another's", "PX", "30"]);
    run("sleep 0.04");
    assert_eq!(states(&cluster), [Some('!'); 3]);
    for server in &cluster.servers {
        let _: () = server.ask(&["DEL", "lock:job"]);
    }
    // There is no quorum without it.
    let dead = "0123456789abcdef0123456789abcdef {}";
    let _: () = cluster.servers[0].ask(&["SET", "lock:job", dead]);
    run("true");
    assert_eq!(states(&cluster), [Some(' '), Some('!'), Some('!')]);
}

#[test]
fn a_server_that_was_not_reached_before_the_job_was_over_has_the_marker_as_well() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let urls = urls.replace("redis://", "redis://:hunter2@");
    // Whoever is in before there is a password needs none.
    let mut clients: Vec<_> = cluster.servers.iter().map(Server::client).collect();
    let mut want_password = |password| {
        for client in &mut clients {
            let mut words = redis::cmd("CONFIG");
            let words = words.arg("SET").arg("requirepass").arg(password);
            words.exec(client).expect("it may");
        }
    };
    // The lock is acquired and the job over while the third has the password only.
    proxies[2].set_replies(Fate::Delay(Duration::from_millis(150)));
    for (options, state) in [("--min-hold 1h", '~'), ("-r other --once-per 1h", '!')] {
        want_password("hunter2");
        let run = cluster.run(options, "true").env("REDLOCK_SERVERS", &urls);
        let run = run.env("REDLOCK_NODE_TIMEOUT", "5s");
        run.end().assert_code(0).assert_silent();
        want_password("");
        assert_eq!(states(&cluster), [Some(state); 3]);
        for server in &cluster.servers {
            let _: () = server.ask(&["FLUSHALL"]);
        }
    }
}

#[test]
fn a_server_that_has_lost_its_data_has_the_marker_as_well_also_when_it_is_far_away() {
    for (options, state) in [("--min-hold 1h", '~'), ("--once-per 1h", '!')] {
        let cluster = Cluster::start(3);
        let (proxies, urls) = proxy::before_each(&cluster);
        let run = cluster.run(options, "echo ready; read _");
        let run = run.env("REDLOCK_SERVERS", &urls);
        let mut run = run.env("REDLOCK_NODE_TIMEOUT", "5s").start();
        run.wait_for("ready");
        // Also after a round that has found it there.
        eventually("a round", || proxies[0].requests() > 2);
        proxies[2].set_replies(Fate::Delay(Duration::from_millis(100)));
        let _: () = cluster.servers[2].ask(&["FLUSHALL"]);
        run.write_line("");
        run.end().assert_code(0).assert_silent();
        assert_eq!(states(&cluster), [Some(state); 3]);
    }
}

#[test]
fn a_marker_on_one_server_only_is_told_and_not_called_released() {
    let cluster = Cluster::start(3);
    let status = tempfile::NamedTempFile::new().expect("a temporary file");
    let options = format!("--min-hold 1h --status-file {}", status.path().display());
    let mut run = cluster.run(&options, "echo ready; read _").start();
    run.wait_for("ready");
    let _: () = cluster.servers[1].ask(&["SET", "lock:job", "another's"]);
    cluster.servers[2].hang();
    run.write_line("");
    let kept = format!("{}: kept", cluster.servers[0].name());
    let parts = ["job was not kept on a quorum of servers", &kept];
    let end = run.end();
    end.assert_code(0).assert_says(&parts);
    // The one that hangs may have the marker as well: it is on a quorum then.
    let (_, until) = end.stderr.trim_end().rsplit_once(' ').expect("an instant");
    let until = humantime::parse_rfc3339(until).expect("an instant");
    let rest = until.duration_since(clock::wall()).expect("to come");
    assert!(rest > Duration::from_mins(50), "{end:?}");
    let told = std::fs::read_to_string(status.path()).expect("it was written");
    assert_eq!(json(&told)["released"], false, "{told}");
}

#[test]
fn a_lock_that_was_gone_is_not_told_as_one_that_stays_taken() {
    let cluster = Cluster::start(3);
    for (options, also) in [
        ("", "beside it"),
        ("--min-hold 1h", "and it may run again before --min-hold"),
        ("--once-per 1h", "and it may run again in this period"),
    ] {
        let mut run = cluster.run(options, "echo ready; read _").start_ready();
        for server in &cluster.servers {
            let _: () = server.ask(&["DEL", "lock:job"]);
        }
        run.write_line("");
        run.end()
            .assert_code(0)
            .assert_says(&["somebody may have run", also]);
    }
}

#[test]
fn a_server_that_somebody_else_holds_is_left_alone() {
    let place = Place::Servers(Cluster::start(3));
    let cluster = place.cluster();
    let _: () = cluster.servers[1].ask(&["SET", "lock:job", "another's"]);
    let end = place.run("--min-hold 1h", "true").end();
    end.assert_code(0).assert_silent();
    assert_eq!(
        cluster.servers[1].get("lock:job").as_deref(),
        Some(&b"another's"[..])
    );
}

#[test]
fn the_time_counts_from_when_the_lock_was_acquired() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    for proxy in &proxies {
        proxy.set_replies(Fate::Delay(Duration::from_secs(1)));
    }
    let run = ["run", "-t", "20s", "--min-hold", "30s", "-r", "job", "true"];
    let run = Redlock::new(run).env("REDLOCK_SERVERS", urls);
    run.env("REDLOCK_NODE_TIMEOUT", "5s").end().assert_code(0);
    // The answer to the release was late as well.
    let rests = cluster.pttls("lock:job");
    assert!(rests.iter().all(|&rest| rest > 28_500), "{rests:?}");
}

#[test]
fn a_marker_is_written_when_memory_is_full() {
    let place = Place::Servers(Cluster::start(3));
    let cluster = place.cluster();
    let mut run = place.run("--min-hold 1h", "echo ready; read _").start();
    run.wait_for("ready");
    for server in &cluster.servers {
        let _: () = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    }
    run.write_line("");
    run.end().assert_code(0).assert_silent();
    assert_eq!(states(cluster), [Some('~'); 3]);
}

#[test]
fn a_time_that_is_none_is_a_usage_error() {
    let place = &Place::each()[1];
    let refused = |options: &str, parts: &[&str]| {
        let end = place.run(options, "echo never").end();
        end.assert_code(64).assert_says(parts);
    };
    refused(
        "--min-hold long",
        &["--min-hold: 'long' is no duration", "30s"],
    );
    refused("--min-hold 9999d", &["--min-hold", "too long", "366d"]);
}

/// How long a tick is, for the fleet below.
const TICK: Duration = Duration::from_secs(6);

/// How many ticks are tried: the whole ten take a minute, so they are asked for.
fn ticks() -> u32 {
    let asked = std::env::var("REDLOCK_TEST_TICKS").ok();
    asked.map_or(3, |ticks| ticks.parse().expect("a number of ticks"))
}

/// Ten hosts whose clocks are up to two seconds apart fire the same job of 0.2 s at every tick.
/// Answers how often it ran in each tick.
pub fn fleet(place: &Place, options: &str, ticks: u32) -> Vec<usize> {
    let began = clock::now();
    let host = |host: u32| {
        // Its clock is wrong by always the same time.
        let wrong_by = Duration::from_millis(u64::from(host) * 2_000 / 9);
        let run = |tick: u32| {
            place
                .run(options, "sleep 0.2; echo ran")
                .start_at(began + TICK * tick + wrong_by)
        };
        (0..ticks).map(run).collect::<Vec<_>>()
    };
    let runs: Vec<Vec<bool>> = thread::scope(|scope| {
        let hosts: Vec<_> = (0..10)
            .map(|number| scope.spawn(move || host(number)))
            .collect();
        hosts
            .into_iter()
            .map(|host| host.join().expect("a host"))
            .collect()
    });
    let in_tick = |tick: usize| runs.iter().filter(|host| host[tick]).count();
    (0..ticks as usize).map(in_tick).collect()
}

impl Redlock {
    /// Starts it at `instant`, as cron does; whether it ran its job, which prints "ran".
    fn start_at(self, instant: Instant) -> bool {
        thread::sleep(instant.remaining());
        let end = self.end();
        match (end.code(), end.stdout.as_str()) {
            (Some(0), "ran\n") => true,
            (Some(75), "") => false,
            _ => panic!("neither ran nor skipped: {end:?}"),
        }
    }
}

#[test]
fn ten_hosts_whose_clocks_differ_run_a_short_job_once_a_tick() {
    let ticks = ticks();
    let once = vec![1; ticks as usize];
    thread::scope(|scope| {
        for place in Place::each() {
            let once = &once;
            scope.spawn(move || assert_eq!(&fleet(&place, "--min-hold 4s", ticks), once));
        }
        let once = &once;
        let place = Place::Servers(Cluster::start(3));
        scope.spawn(move || assert_eq!(&fleet(&place, "--once-per 6s", ticks), once));
        // So that this test can fail: without either, the same fleet runs it more than once.
        let place = Place::Servers(Cluster::start(3));
        scope.spawn(move || {
            let runs = fleet(&place, "", ticks);
            assert!(runs.iter().all(|&runs| runs > 1), "{runs:?}");
        });
    });
}

#[test]
fn a_kept_lock_is_free_again_for_everybody_at_its_end() {
    let place = Place::Servers(Cluster::start(3));
    place
        .run("--min-hold 500ms -t 10m", "true")
        .end()
        .assert_code(0);
    eventually("the end of the marker", || {
        place.run("", "true").end().code() == Some(0)
    });
}
