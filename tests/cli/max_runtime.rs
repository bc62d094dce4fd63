//! `--max-runtime`: a hung job does not hold the lock for ever.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use redlock::clock;

use crate::support::process::is_alive;
use crate::support::{Cluster, Place, Redlock, eventually};

/// Ignores TERM, and leaves a member of its group that does so as well.
const STUBBORN: &str = "trap '' TERM; sleep 60 & echo $$ $!; wait; sleep 60";

/// Answers TERM, but stands still when it comes.
const STILL: &str =
    "trap 'echo told; exit 0' TERM; echo ready; kill -STOP $$; while :; do sleep 0.05; done";

#[test]
fn a_hanging_job_that_ignores_term_is_dead_in_time_and_the_lock_is_free() {
    for place in Place::each() {
        let mut run = place.run("--max-runtime 2s -k 1s -t 10s", STUBBORN).start();
        let line = run.next_line();
        let pids: Vec<Pid> = line
            .split(' ')
            .map(|pid| Pid::from_raw(pid.parse().expect("a pid")))
            .collect();
        let end = run.end();
        end.assert_code(124)
            .assert_says(&["job ran for 2s (--max-runtime)", "SIGTERM"]);
        assert!(end.took >= Duration::from_millis(2_900), "{end:?}");
        assert!(end.took < Duration::from_millis(3_500), "{end:?}");
        assert!(pids.iter().all(|&pid| !is_alive(pid)), "the whole group");
        let next = place.run("", "echo my turn").end();
        assert_eq!(next.assert_code(0).stdout, "my turn\n");
    }
}

#[test]
fn members_that_die_later_than_the_command_are_waited_for_and_no_longer() {
    // One without a line's end is kept in memory, and giving back so much takes a process that is
    // killed longer than its shell takes to die. Nobody tells us when it has.
    let heavy = "trap '' TERM; (head -c 600M /dev/zero; sleep 300) | tail & wait";
    let cluster = Cluster::start(3);
    let place = Place::Servers(cluster);
    let end = place.run("--max-runtime 2s -k 300ms -t 10m", heavy).end();
    end.assert_code(124);
    assert!(end.took < Duration::from_secs(15), "{end:?}");
    place.run("", "true").end().assert_code(0);
}

#[test]
fn a_reader_who_is_slow_sees_the_message_all_the_same() {
    let place = Place::Servers(Cluster::start(3));
    let urls = place.cluster().urls();
    let script = "\"$0\" run -r job --max-runtime 500ms -- yes 2>&1 | { sleep 1; grep redlock:; }";
    let end = Redlock::under(&["sh", "-c", script], [])
        .env("REDLOCK_SERVERS", urls)
        .end();
    assert!(end.stdout.contains("job ran for 500ms"), "{end:?}");
}

#[test]
fn the_lock_is_kept_until_a_job_that_is_being_stopped_is_gone() {
    let cluster = Cluster::start(3);
    let place = Place::Servers(cluster);
    let slow = "trap 'echo told; read _; echo stopped; exit 0' INT; while :; do sleep 0.1; done";
    let options = "--max-runtime 1s -s INT -t 6s -k 2500ms";
    let mut run = place.run(options, slow).start();
    run.wait_for("told");
    let rests = || place.cluster().pttls("lock:job");
    let before = rests().into_iter().max();
    eventually("the lock is extended", || {
        rests().into_iter().min() > before
    });
    place.run("", "echo never").end().assert_code(75);
    run.write_line("");
    let end = run.end();
    assert!(end.stdout.ends_with("stopped\n"), "{end:?}");
    end.assert_code(124).assert_says(&["SIGINT"]);
    place.run("", "true").end().assert_code(0);
}

#[test]
fn a_job_that_is_being_stopped_has_no_more_grace_when_its_lock_is_lost() {
    let cluster = Cluster::start(3);
    let script = "trap 'echo told' TERM; echo ready; while :; do sleep 0.05; done";
    let place = Place::Servers(cluster);
    let mut run = place
        .run("--max-runtime 300ms -t 10s -k 3s", script)
        .start();
    run.wait_for("told");
    let told = clock::now();
    thread::sleep(Duration::from_millis(1_500));
    for server in &place.cluster().servers {
        // The notice makes the holder ask.
        let _: () = server.ask(&["DEL", "lock:job"]);
        let _: () = server.ask(&["PUBLISH", "released:lock:job", ""]);
    }
    let end = run.end();
    let grace = clock::now().since(told);
    assert_eq!(end.stdout, "ready\ntold\n", "told once: {end:?}");
    assert!(grace < Duration::from_millis(3_900), "it had {grace:?}");
    end.assert_code(76);
    assert!(end.stderr.contains("is being stopped already"), "{end:?}");
}

#[test]
fn a_job_that_ends_in_time_has_its_own_code_and_zero_is_no_limit() {
    for place in Place::each() {
        place
            .run("--max-runtime 30s", "exit 7")
            .end()
            .assert_code(7)
            .assert_silent();
        place
            .run("--max-runtime 0", "sleep 0.3; exit 8")
            .end()
            .assert_code(8)
            .assert_silent();
        let killed = place.run("--max-runtime 1m", "kill -KILL $$").end();
        assert_eq!(killed.signal(), Some(Signal::SIGKILL));
    }
}

#[test]
fn a_job_that_is_stopped_in_time_and_exits_0_has_timed_out_and_is_not_done() {
    for place in Place::each() {
        let polite = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
        let options = "--max-runtime 200ms --once-per 1h";
        place.run(options, polite).end().assert_code(124);
        place.run(options, "exit 0").end().assert_code(0);
    }
}

#[test]
fn a_limit_that_is_none_is_a_usage_error() {
    let place = &Place::each()[1];
    place
        .run("--max-runtime soon", "echo never")
        .end()
        .assert_code(64)
        .assert_says(&["--max-runtime: 'soon' is no duration", "30s"]);
}

#[test]
fn a_job_that_stands_still_hears_the_signal_at_max_runtime() {
    let place = Place::Servers(Cluster::start(3));
    let end = place.run("--max-runtime 500ms -k 8s -t 2m", STILL).end();
    end.assert_code(124);
    assert!(end.stdout.contains("told"), "{end:?}");
}

#[test]
fn what_is_killed_is_waited_for() {
    let cluster = Cluster::start(3);
    let heavy = "trap '' TERM; (head -c 600M /dev/zero; sleep 300) | tail & echo $!; wait";
    let place = Place::Servers(cluster);
    let mut run = place.run("--max-runtime 2s -k 300ms -t 10m", heavy).start();
    let tail = Pid::from_raw(run.next_line().parse().expect("a pid"));
    run.wait();
    assert!(!is_alive(tail));
}

#[test]
fn without_proc_a_job_is_stopped_to_its_last_member() {
    let cluster = Cluster::start(3);
    let words = [
        "run",
        "--max-runtime",
        "300ms",
        "-k",
        "2s",
        "-r",
        "job",
        "sh",
        "-c",
        "(trap '' TERM; exec sleep 300) & echo $!; trap 'exit 0' TERM; while :; do sleep 0.05; done",
    ];
    let hidden = "mount -t tmpfs none /proc && exec \"$@\"";
    let mut run = Redlock::under(&["unshare", "-m", "sh", "-c", hidden, "sh"], words)
        .env("REDLOCK_SERVERS", cluster.urls())
        .start();
    let member = Pid::from_raw(run.next_line().parse().expect("a pid"));
    let end = run.end();
    assert!(!is_alive(member), "{end:?}");
    end.assert_code(124);
}

#[test]
fn a_command_that_has_left_its_group_is_stopped_all_the_same() {
    let place = Place::Servers(Cluster::start(3));
    let leaves = "exec perl -e 'setpgrp(0, getpgrp(getppid())); print \"left\\n\"; sleep 60'";
    let end = place.run("--max-runtime 1s -k 300ms", leaves).end();
    end.assert_code(124);
    assert!(end.took < Duration::from_secs(20), "{end:?}");
}
