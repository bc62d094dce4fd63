//! `--once-per`: at most one success per period over the whole fleet.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use redlock::clock;
use tempfile::TempDir;

use crate::support::proxy;
use crate::support::{Cluster, Place, Process, Redlock, Server, eventually};

/// Leaves what a reboot leaves: all but the directory of the boot.
fn reboot(directory: &TempDir) {
    for entry in fs::read_dir(directory).expect("ours") {
        let path = entry.expect("ours").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if name.starts_with("boot-") {
            fs::remove_dir_all(path).expect("ours");
        }
    }
}

#[test]
fn after_a_success_nobody_runs_it_again_in_this_period() {
    for place in Place::each() {
        place
            .run("--once-per 1h", "exit 0")
            .end()
            .assert_code(0)
            .assert_silent();
        thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    for _ in 0..4 {
                        let end = place.run("--once-per 1h", "echo never").end();
                        assert_eq!(end.assert_code(75).stdout, "");
                    }
                });
            }
        });
        // Nor does somebody who does not know of the period.
        let said = place.run("-v -E 9", "echo never").end();
        said.assert_code(9).assert_says(&[
            "job was done by ",
            " ago, next run possible in 59m",
            "; skipped",
        ]);
        // Who would have waited for a holder did not give up: there is nothing to wait for.
        let said = place.run("-v --once-per 1h -w 20s", "echo never").end();
        said.assert_code(75)
            .assert_says(&["next run possible in 59m", "; skipped"]);
    }
}

#[test]
fn after_a_failure_the_next_attempt_runs() {
    for place in Place::each() {
        place.run("--once-per 1h", "exit 3").end().assert_code(3);
        let killed = place.run("--once-per 1h", "kill -TERM $$").end();
        assert_eq!(killed.signal(), Some(Signal::SIGTERM));
        place.run("--once-per 1h", "exit 0").end().assert_code(0);
        place.run("--once-per 1h", "true").end().assert_code(75);
    }
}

#[test]
fn a_host_that_dies_in_the_job_delays_the_next_by_the_ttl_at_most() {
    for place in Place::each() {
        let options = "--once-per 1h -t 1s";
        let mut run = place.run(options, "echo ready; sleep 60").start();
        run.wait_for("ready");
        run.signal(Signal::SIGKILL);
        run.wait();
        let next = place.run("--once-per 1h -w 20s", "echo my turn").end();
        assert_eq!(next.assert_code(0).stdout, "my turn\n");
        assert!(next.took < Duration::from_secs(3), "{next:?}");
    }
}

#[test]
fn a_waiter_with_the_option_skips_as_soon_as_it_is_done_and_one_without_waits() {
    for place in Place::each() {
        let mut run = place.run("--once-per 4s", "echo ready; read _").start();
        run.wait_for("ready");
        let waiter = place.run("-w --once-per 1h -v", "echo never").start();
        let patient = place.run("-w", "echo ran later").start();
        thread::sleep(Duration::from_millis(300));
        run.write_line("");
        run.end().assert_code(0);
        let skipped = waiter.end();
        skipped.assert_code(75);
        assert_eq!(skipped.stdout, "");
        assert!(skipped.stderr.contains("was done by"), "{skipped:?}");
        assert!(skipped.took < Duration::from_secs(2), "{skipped:?}");
        let later = patient.end();
        assert_eq!(later.assert_code(0).stdout, "ran later\n");
        assert!(later.took > Duration::from_millis(2_800), "{later:?}");
    }
}

#[test]
fn both_options_together_keep_a_failure_and_a_success_each_for_its_time() {
    for place in Place::each() {
        let options = "--once-per 1h --min-hold 1s";
        place.run(options, "exit 3").end().assert_code(3);
        place
            .run("-v", "echo never")
            .end()
            .assert_code(75)
            .assert_says(&["job is kept by "]);
        place
            .run("-w --once-per 1h --min-hold 1s", "exit 0")
            .end()
            .assert_code(0);
        place
            .run("-v", "echo never")
            .end()
            .assert_code(75)
            .assert_says(&["job was done by "]);
    }
}

#[test]
fn several_resources_are_done_together() {
    for place in Place::each() {
        let both = ["run", "-r", "a", "-r", "b", "--once-per", "1h", "true"];
        place.redlock(both).end().assert_code(0);
        for one in ["a", "b"] {
            let run = ["run", "-v", "-r", one, "--once-per", "1h", "true"];
            let end = place.redlock(run).end();
            end.assert_code(75)
                .assert_says(&[&format!("{one} was done by")]);
        }
        let with_another = ["run", "-r", "a", "-r", "c", "--once-per", "1h", "true"];
        place.redlock(with_another).end().assert_code(75);
        let other = ["run", "-r", "c", "--once-per", "1h", "true"];
        place.redlock(other).end().assert_code(0);
    }
}

#[test]
fn the_period_survives_the_loss_of_a_minority() {
    let mut cluster = Cluster::start(5);
    let run = |cluster: &Cluster| {
        cluster
            .redlock(["run", "-r", "job", "--once-per", "1h", "true"])
            .end()
    };
    run(&cluster).assert_code(0);
    cluster.servers[0].kill();
    let _: () = cluster.servers[3].ask(&["FLUSHALL"]);
    run(&cluster).assert_code(75);
    cluster.servers[0].restart();
    run(&cluster).assert_code(75);
}

/// A job under a lock on three servers, of which two are stopped before it ends.
fn done_without_a_quorum(cluster: &Cluster, options: &[&str]) -> Process {
    let words = ["run", "-r", "job", "--once-per", "1h"]
        .iter()
        .chain(options);
    let script = ["sh", "-c", "echo ready; read _"];
    let mut run = cluster.redlock(words.copied().chain(script)).start_ready();
    cluster.servers[0].hang();
    cluster.servers[1].hang();
    run.write_line("");
    run
}

#[test]
fn a_success_is_noted_as_soon_as_a_quorum_is_back() {
    let cluster = Cluster::start(3);
    let run = done_without_a_quorum(&cluster, &["-t", "20s"]);
    thread::sleep(Duration::from_secs(2));
    cluster.servers[0].go_on();
    run.end().assert_code(0).assert_says(&[
        "job is done, but that is noted on no quorum of servers yet",
        "trying again for 1",
    ]);
    cluster.servers[1].go_on();
    let again = ["run", "-r", "job", "--once-per", "1h", "true"];
    cluster.redlock(again).end().assert_code(75);
}

#[test]
fn a_success_that_no_quorum_noted_until_the_lock_ended_may_run_again_and_says_so() {
    let cluster = Cluster::start(3);
    let run = done_without_a_quorum(&cluster, &["-q", "-t", "3s"]);
    let end = run.end();
    end.assert_code(0)
        .assert_says(&["job is done, but", "may run again"]);
    assert!(end.took < Duration::from_secs(8), "{end:?}");
}

#[test]
fn a_marker_that_comes_late_ends_when_it_would_have() {
    let cluster = Cluster::start(3);
    // 36 s from when the lock was acquired.
    let run = done_without_a_quorum(&cluster, &["-t", "20s", "--once-per", "40s"]);
    let ready = clock::now();
    thread::sleep(Duration::from_secs(4));
    cluster.servers[0].go_on();
    cluster.servers[1].go_on();
    run.end().assert_code(0);
    // But for the second or so for which what was sent last has waited.
    eventually("all end in time", || {
        let since = i64::try_from(clock::now().since(ready).as_millis()).expect("short");
        let rests = cluster.pttls("lock:job");
        let is_in_time = |rest: &i64| (25_000..=38_000 - since).contains(rest);
        rests.iter().all(is_in_time)
    });
}

#[test]
fn nothing_is_noted_of_a_period_that_is_over() {
    let cluster = Cluster::start(3);
    let run = cluster.run("-t 1m --once-per 10ms", "echo ready; sleep 0.1; read _");
    let mut run = run.start_ready();
    cluster.servers[0].hang();
    cluster.servers[1].hang();
    run.write_line("");
    let end = run.end();
    end.assert_code(0)
        .assert_says(&["job was not released on a quorum", "locked out until"]);
    assert!(!end.stderr.contains("noted"), "{end:?}");
    // One that ends meanwhile is not tried for any longer.
    let cluster = Cluster::start(3);
    let run = done_without_a_quorum(&cluster, &["-t", "10m", "--once-per", "2s"]);
    let end = run.end();
    end.assert_code(0);
    assert!(end.stderr.contains("job was not released"), "{end:?}");
    assert!(end.took < Duration::from_secs(30), "{end:?}");
}

#[test]
fn a_success_whose_lock_expired_while_redlock_stood_still_may_run_again() {
    let cluster = Cluster::start(3);
    let run = cluster.run("-t 1s --once-per 1h", "echo ready; read _");
    let mut run = run.start_ready();
    run.signal(Signal::SIGSTOP);
    run.write_line("");
    // One server keeps the key, one is too late to answer: the third must not be marked.
    let _: () = cluster.servers[0].ask(&["PERSIST", "lock:job"]);
    eventually("it has expired", || cluster.locks().len() == 1);
    cluster.servers[2].hang();
    run.signal(Signal::SIGCONT);
    run.end().assert_code(0).assert_says(&["may run again"]);
    assert_eq!(cluster.servers[1].get("lock:job"), None);
    // And where nothing is left of it anywhere.
    let cluster = Cluster::start(3);
    let run = cluster.run("-t 1s --once-per 1h", "echo ready; read _");
    let mut run = run.start_ready();
    run.signal(Signal::SIGSTOP);
    run.write_line("");
    eventually("it has expired", || cluster.locks().is_empty());
    run.signal(Signal::SIGCONT);
    run.end().assert_code(0).assert_says(&["may run again"]);
}

#[test]
fn the_fencing_counter_outlives_the_longest_period() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let place = Place::Servers(Cluster::start(3));
    let cluster = place.cluster();
    place.run("--once-per 30d", "exit 1").end().assert_code(1);
    // Somebody who knows of no period does not shorten its life.
    place.run("-t 600ms", "sleep 0.5").end().assert_code(0);
    let rests = cluster.pttls("{lock:job}:fence");
    assert!(
        rests
            .iter()
            .all(|&rest| rest > 59 * DAY_MS && rest <= 60 * DAY_MS),
        "{rests:?}"
    );
    place.run("--once-per 30d", "true").end().assert_code(0);
    let rests = cluster.pttls("lock:job");
    assert!(
        rests
            .iter()
            .all(|&rest| rest > 29 * DAY_MS && rest < 30 * DAY_MS),
        "{rests:?}"
    );
}

#[test]
fn a_signal_ends_the_attempts_to_note_a_success() {
    let cluster = Cluster::start(3);
    let run = done_without_a_quorum(&cluster, &["-q", "-t", "10m"]);
    thread::sleep(Duration::from_secs(1));
    run.signal(Signal::SIGTERM);
    run.end().assert_code(0).assert_says(&["may run again"]);
}

#[test]
fn on_this_host_alone_a_success_is_still_known_after_a_reboot() {
    let place = &Place::each()[1];
    let Place::Local(directory) = place else {
        unreachable!("the second is local");
    };
    place.run("--once-per 1h", "true").end().assert_code(0);
    place
        .redlock(["run", "-r", "short", "--once-per", "2s", "true"])
        .end()
        .assert_code(0);
    place
        .redlock(["run", "-r", "kept", "--min-hold", "1h", "true"])
        .end()
        .assert_code(0);
    reboot(directory);
    for _ in 0..2 {
        place
            .run("--once-per 1h", "echo never")
            .end()
            .assert_code(75);
    }
    eventually("the end of a short period", || {
        let short = ["run", "-r", "short", "--once-per", "2s", "true"];
        place.redlock(short).end().code() == Some(0)
    });
    place
        .redlock(["run", "-r", "kept", "true"])
        .end()
        .assert_code(0);
}

#[test]
fn a_zero_takes_back_what_the_environment_says() {
    let place = &Place::each()[1];
    for _ in 0..2 {
        let run = place.run("--once-per 0", "true");
        run.env("REDLOCK_ONCE_PER", "1h").end().assert_code(0);
    }
    let bad = place.run("--once-per daily", "echo never").end();
    bad.assert_code(64)
        .assert_says(&["--once-per: 'daily' is no duration", "30s"]);
}

#[test]
fn a_success_stays_for_min_hold_if_that_is_longer() {
    for place in Place::each() {
        place
            .run("--once-per 1s --min-hold 1h", "true")
            .end()
            .assert_code(0);
        thread::sleep(Duration::from_millis(1500));
        place.run("-v", "echo never").end().assert_code(75);
    }
}

#[test]
fn a_success_whose_lock_is_gone_is_not_noted_again_and_again() {
    let cluster = Cluster::start(3);
    let script = "echo ready; read _";
    let mut run = cluster
        .redlock(["run", "--once-per", "1h", "-r", "job", "sh", "-c", script])
        .start_ready();
    for server in &cluster.servers {
        let _: u32 = server.ask(&["DEL", "lock:job"]);
    }
    let began = clock::now();
    run.write_line("");
    run.end().assert_code(0).assert_says(&["may run again"]);
    assert!(clock::now().since(began) < Duration::from_secs(5));
}

#[test]
fn a_period_of_zero_leaves_what_min_hold_leaves() {
    let cluster = Cluster::start(3);
    cluster
        .redlock([
            "run",
            "-r",
            "job",
            "--once-per",
            "0",
            "--min-hold",
            "1h",
            "true",
        ])
        .end()
        .assert_code(0);
    for value in cluster.values("lock:job") {
        assert_eq!(value.expect("it is there")[32], b'~');
    }
}

#[test]
fn a_marker_that_was_removed_by_force_does_not_come_back_with_a_reboot() {
    let place = &Place::each()[1];
    let Place::Local(directory) = place else {
        unreachable!("the second is local");
    };
    place.run("--once-per 1h", "true").end().assert_code(0);
    place
        .redlock(["release", "-r", "job", "--force", "--yes"])
        .end()
        .assert_code(0);
    reboot(directory);
    place.run("--once-per 1h", "true").end().assert_code(0);
}

#[test]
fn a_server_that_has_taken_over_the_address_of_another_does_not_remember_for_both() {
    let mut cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let script = "echo ready; read _";
    let words = ["run", "-q", "-t", "4s", "--once-per", "1h", "-r", "job"];
    let mut run = Redlock::new(words.into_iter().chain(["sh", "-c", script]))
        .env("REDLOCK_SERVERS", &urls)
        .start_ready();
    proxies[1].lead_to(&cluster.servers[0]);
    cluster.servers[1].kill();
    cluster.servers[2].kill();
    run.write_line("");
    run.end()
        .assert_code(0)
        .assert_says(&["answered by another name", "may run again"]);
}

#[test]
fn of_several_resources_one_that_was_taken_away_is_not_done() {
    let place = Place::Servers(Cluster::start(3));
    let status = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = status.path().to_str().expect("a plain path");
    let script = "for port; do redis-cli -p $port del lock:other; done >/dev/null";
    let ports = place.cluster().servers.iter().map(Server::port);
    let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
    let line = [
        "run",
        "-r",
        "job",
        "-r",
        "other",
        "--once-per",
        "1h",
        "-t",
        "2s",
    ];
    let job = ["--status-file", path, "--", "sh", "-c", script, "sh"];
    let words = line
        .into_iter()
        .chain(job)
        .chain(ports.iter().map(String::as_str));
    let end = place.redlock(words).end();
    end.assert_code(0)
        .assert_says(&["somebody may have run beside it, and it may run again"]);
    let told = fs::read_to_string(path).expect("it was written");
    assert!(told.contains("\"released\":false"), "{told}");
    assert!(
        place
            .cluster()
            .values("lock:other")
            .iter()
            .all(Option::is_none)
    );
}

#[test]
fn a_success_that_is_noted_on_a_quorum_in_two_steps_is_noted() {
    let mut cluster = Cluster::start(3);
    let mut run = cluster
        .run("--once-per 1h -t 1h", "echo ready; read _")
        .start_ready();
    cluster.wait_for_listeners(1);
    let _: u32 = cluster.servers[0].ask(&["DEL", "lock:job"]);
    cluster.servers[2].kill();
    run.write_line("");
    run.end().assert_code(0).assert_silent();
    for server in &cluster.servers[..2] {
        let value = server.get("lock:job").expect("a marker");
        assert_eq!(value[32], b'!');
    }
}
