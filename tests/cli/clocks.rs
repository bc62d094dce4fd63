//! Clocks that are set, and a machine that slept, as far as a test can pretend: a shim adds to what
//! `clock_gettime` and its older sisters answer.

use std::thread;
use std::time::Duration;

use crate::support::{Cluster, Process, Redlock, Server, Shim, eventually};

/// Adds the seconds in the file `$SHIM_DIR/CLOCK` to the clock of that number.
const STEPS: &str = r#"
    #define _GNU_SOURCE
    #include <fcntl.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/syscall.h>
    #include <sys/time.h>
    #include <time.h>
    #include <unistd.h>
    static char directory[512];
    __attribute__((constructor)) static void look(void) {
        snprintf(directory, sizeof directory, "%s", getenv("SHIM_DIR"));
    }
    int clock_gettime(clockid_t clock, struct timespec *time) {
        int result = syscall(SYS_clock_gettime, clock, time);
        char path[600], text[32] = "";
        snprintf(path, sizeof path, "%s/%d", directory, (int)clock);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            read(file, text, sizeof text - 1);
            close(file);
            time->tv_sec += atol(text);
        }
        return result;
    }
    int gettimeofday(struct timeval *time, void *zone) {
        struct timespec now;
        int result = clock_gettime(CLOCK_REALTIME, &now);
        time->tv_sec = now.tv_sec;
        time->tv_usec = now.tv_nsec / 1000;
        return result;
    }
    time_t time(time_t *seconds) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        if (seconds) *seconds = now.tv_sec;
        return now.tv_sec;
    }
"#;

const REALTIME: i32 = libc::CLOCK_REALTIME;
const BOOTTIME: i32 = libc::CLOCK_BOOTTIME;

struct Clocks(Shim);

impl Clocks {
    fn new() -> Self {
        Self(Shim::build(STEPS))
    }

    fn step(&self, clock: i32, seconds: i64) {
        self.0.tell(&clock.to_string(), &seconds.to_string());
    }

    fn redlock(&self, cluster: &Cluster, script: &str) -> Process {
        // The job itself has true clocks.
        let script = format!("unset LD_PRELOAD; {script}");
        let run = cluster.redlock(["run", "-t", "3s", "-r", "job", "sh", "-c", &script]);
        self.0.load(run).start()
    }
}

#[test]
fn a_wall_clock_that_is_set_changes_nothing_but_the_floor_of_the_fencing_token() {
    let cluster = Cluster::start(3);
    let clocks = Clocks::new();
    let mut before = 0;
    for step in [0, 86_400, -86_400] {
        let script = "echo $REDLOCK_FENCING_TOKEN; echo ready; read _; exit 3";
        let mut run = clocks.redlock(&cluster, script);
        let token: u64 = run.next_line().parse().expect("a number");
        assert!(token > before, "{token} is not above {before}");
        before = token;
        run.wait_for("ready");
        // In the middle of a job, for several rounds of extension.
        clocks.step(REALTIME, step);
        thread::sleep(Duration::from_millis(3_500));
        cluster
            .redlock(["run", "-r", "job", "true"])
            .end()
            .assert_code(75);
        run.write_line("");
        run.end().assert_code(3).assert_silent();
    }
}

#[test]
fn a_machine_that_slept_for_longer_than_the_validity_stops_the_job_and_says_so() {
    let cluster = Cluster::start(3);
    let clocks = Clocks::new();
    let mut run = clocks.redlock(&cluster, "trap '' TERM; echo ready; sleep 60; echo never");
    run.wait_for("ready");
    clocks.step(BOOTTIME, 3_600);
    let end = run.end();
    end.assert_code(76).assert_says(&["lost job"]);
    assert_eq!(end.stdout, "ready\n");
    assert!(end.took < Duration::from_secs(15), "{end:?}");
}

#[test]
fn tokens_grow_when_counters_are_lost_and_the_clock_of_the_host_is_slow() {
    let cluster = Cluster::start(3);
    let clocks = Clocks::new();
    let token = || -> u64 {
        let mut run = clocks.redlock(&cluster, "echo $REDLOCK_FENCING_TOKEN");
        let token = run.next_line().parse().expect("a number");
        run.end().assert_code(0);
        token
    };
    let first = token();
    for server in &cluster.servers {
        let _: u32 = server.ask(&["DEL", "{lock:job}:fence"]);
    }
    thread::sleep(Duration::from_secs(2));
    clocks.step(REALTIME, -86_400);
    let second = token();
    assert!(second > first, "{second} after {first}");
}

#[test]
fn servers_whose_clock_was_set_back_below_their_start_have_just_restarted() {
    let clocks = Clocks::new();
    let servers = (0..3).map(|_| Server::behind(&clocks.0)).collect();
    let cluster = Cluster { servers };
    clocks.step(REALTIME, -3_600);
    let uptime = || -> i64 {
        let info: String = cluster.servers[0].ask(&["INFO", "server"]);
        let seconds = info
            .lines()
            .find_map(|line| line.strip_prefix("uptime_in_seconds:"));
        seconds
            .expect("a server tells it")
            .parse()
            .expect("a number")
    };
    eventually("a server that is younger than new", || uptime() < 0);
    let end = cluster.redlock(["run", "-r", "job", "echo", "done"]).end();
    end.assert_code(0);
    assert_eq!(end.stdout, "done\n");
}

#[test]
fn a_long_ttl_gives_no_lock_away_that_a_short_one_would_not() {
    let clocks = Clocks::new();
    let up_for_long = || Server::behind(&clocks.0);
    let servers = vec![Server::start(), Server::start(), up_for_long()];
    let two_restarted = Cluster { servers };
    let servers = vec![Server::start(), up_for_long(), up_for_long()];
    let one_restarted = Cluster { servers };
    // Twice the window.
    clocks.step(REALTIME, 120);
    let run = |cluster: &Cluster, ttl: &str| -> Redlock {
        let run = cluster.redlock(["run", "-t", ttl, "-r", "job", "true"]);
        run.env("REDLOCK_RESTART_GUARD", "auto")
    };
    for ttl in ["1m", "1h"] {
        let end = run(&two_restarted, ttl).end();
        end.assert_code(69)
            .assert_says(&["restarted", "votes again in", "free"]);
        assert!(!end.stderr.contains("votes again in 59m"), "{end:?}");
        run(&one_restarted, ttl).end().assert_code(0);
    }
    // Whoever holds it may be on that one only.
    let _: () = one_restarted.servers[2].ask(&["SET", "lock:job", "somebody's", "PX", "60000"]);
    run(&one_restarted, "1h").end().assert_code(69);
}
