//! A bug in redlock: one is made by a shim whose `epoll_wait` fails once in a way that cannot be,
//! so that the runtime panics.

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::support::process::is_alive;
use crate::support::pty::{ON_TERMINAL, Pty};
use crate::support::{Cluster, Place, Redlock, Session, Shim};

/// Fails as soon as there is a file `$SHIM_DIR/panic`, and once.
const BROKEN_EPOLL: &str = r#"
    #define _GNU_SOURCE
    #include <errno.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/epoll.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
        int result = syscall(SYS_epoll_pwait, epoll, events, most, timeout, NULL, 8);
        char path[600];
        snprintf(path, sizeof path, "%s/panic", getenv("SHIM_DIR"));
        if (result >= 0 && unlink(path) == 0) {
            errno = EBADF;
            return -1;
        }
        return result;
    }
"#;

/// A job that ignores what a panicking redlock could send it, and its child that does so too.
const STUBBORN: &str = "trap '' TERM USR1; LOOP='while :; do sleep 0.05; done'
    sh -c \"echo \\$\\$; $LOOP\" & echo $$; sleep 0.2; echo ready; eval \"$LOOP\"";

/// What a run under a lock in `place` says and leaves when it panics in the middle of a job.
fn panic_in(place: &Place, options: &str) {
    let shim = Shim::build(BROKEN_EPOLL);
    let mut run = shim.load(place.run(options, STUBBORN)).start();
    let mut members = vec![run.next_line(), run.next_line()];
    run.wait_for("ready");
    shim.tell("panic", "");
    // It wakes up for this.
    run.signal(Signal::SIGUSR1);
    let end = run.end();
    end.assert_code(70).assert_says(&["a bug in redlock at "]);
    members.retain(|member| is_alive(Pid::from_raw(member.parse().expect("a pid"))));
    assert_eq!(members, [""; 0], "the job outlived redlock");
}

#[test]
fn a_panic_kills_the_whole_job_and_gives_the_lock_back() {
    for place in Place::each() {
        panic_in(&place, "-t 60s");
        place.run("", "true").end().assert_code(0).assert_silent();
        if let Place::Servers(cluster) = &place {
            assert!(cluster.locks().is_empty());
        }
    }
}

#[test]
fn a_lock_that_is_to_stay_stays_after_a_panic() {
    for place in Place::each() {
        panic_in(&place, "-t 60s --min-hold 30s");
        place.run("", "true").end().assert_code(75);
    }
}

#[test]
fn a_panic_gives_the_terminal_back_that_the_job_had() {
    let cluster = Cluster::start(3);
    let shim = Shim::build(BROKEN_EPOLL);
    // It wakes up every second to extend the lock.
    let script = "$REDLOCK run -t 3s -r job sh -c 'read a; echo ready; read b'; echo code $?
                  read c; echo \"script $c\"";
    let urls = cluster.urls();
    let [library, directory] = shim.environment();
    let environment = [("REDLOCK_SERVERS", &urls[..]), library, directory];
    let mut script = Session::start(&["sh", "-c", script], &environment);
    script.enter("one");
    script.expect("ready");
    shim.tell("panic", "");
    script.expect("a bug in redlock at ");
    script.expect("code 70");
    script.enter("two");
    script.expect("script two");
    assert!(cluster.locks().is_empty());
}

#[test]
fn a_panic_gives_the_terminal_back_that_was_drawn_on() {
    let cluster = Cluster::start(3);
    let shim = Shim::build(BROKEN_EPOLL);
    let watch = Redlock::under(&ON_TERMINAL, ["inspect", "--watch", "job"])
        .env("REDLOCK_SERVERS", cluster.urls());
    let mut terminal = Pty::start(shim.load(watch), 80);
    terminal.wait_for("job is free");
    assert!(!terminal.takes_lines());
    shim.tell("panic", "");
    assert_eq!(terminal.wait().code(), Some(70));
    terminal.wait_for("\x1b[?25h\x1b[?1049lredlock: a bug in redlock at ");
    assert!(terminal.takes_lines());
}
