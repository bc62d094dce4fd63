//! A redlock that stands still, for longer than its lock lives or only for longer than it waits: it
//! tells what was, in whatever moment it did. A shim stops it there.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::process::End;
use crate::support::{Cluster, Shim, eventually};

/// Stands still, once, right after it has looked for the command's end and for the guard's word:
/// when the one had not come, if there is a file `$SHIM_DIR/runs`, or the other, with `ended`.
const STILL_AFTER_A_LOOK: &str = r#"
    #define _GNU_SOURCE
    #include <errno.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <sys/wait.h>
    #include <unistd.h>
    static const char *found = "";
    int waitid(idtype_t kind, id_t id, siginfo_t *end, int options) {
        end->si_pid = 0;
        int result = syscall(SYS_waitid, kind, id, end, options, NULL);
        if (kind == P_PID && options & WEXITED && options & WNOHANG)
            found = end->si_pid ? "ended" : "runs";
        return result;
    }
    ssize_t recv(int socket, void *buffer, size_t length, int flags) {
        ssize_t result = syscall(SYS_recvfrom, socket, buffer, length, flags, NULL, NULL);
        int error = errno;
        char path[600];
        snprintf(path, sizeof path, "%s/%s", getenv("SHIM_DIR"), found);
        if (result < 0 && unlink(path) == 0)
            raise(SIGSTOP);
        errno = error;
        return result;
    }
"#;

#[test]
fn a_job_that_ends_in_time_keeps_its_code_wherever_redlock_was_frozen() {
    let cluster = Cluster::start(3);
    for (moment, options) in [
        ("runs", "-t 2s"),
        ("runs", "-t 2s --max-runtime 1s"),
        ("ended", "-t 2s"),
    ] {
        let shim = Shim::build(STILL_AFTER_A_LOOK);
        shim.tell(moment, "");
        let run = cluster.run(options, "echo ready; sleep 0.3; exit 4");
        let run = shim.load(run).start_ready();
        eventually("it stands still", || run.is_stopped());
        eventually("the lock is free", || cluster.locks().is_empty());
        run.signal(Signal::SIGCONT);
        run.end()
            .assert_code(4)
            .assert_says(&["job had expired before", "had ended in time"]);
    }
}

/// Stands still, once, when it is about to make a guard.
const STILL_BEFORE_THE_GUARD: &str = r"
    #define _GNU_SOURCE
    #include <signal.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int timerfd_create(int clock, int flags) {
        static int calls;
        if (calls++ == 0)
            raise(SIGSTOP);
        return syscall(SYS_timerfd_create, clock, flags);
    }
";

/// The command's process comes no further than to its introduction to the guard.
const NEVER_PREPARED: &str = r"
    #define _GNU_SOURCE
    #include <sys/syscall.h>
    #include <sys/timerfd.h>
    #include <unistd.h>
    static pid_t redlock;
    static int alarms;
    __attribute__((constructor)) static void look(void) {
        redlock = getpid();
    }
    int timerfd_settime(int timer, int flags, const struct itimerspec *new, struct itimerspec *old) {
        int result = syscall(SYS_timerfd_settime, timer, flags, new, old);
        if (getpid() != redlock && ++alarms == 2)
            for (;;)
                pause();
        return result;
    }
";

#[test]
fn a_command_that_was_never_started_has_not_lost_its_lock() {
    let cluster = Cluster::start(3);
    for source in [STILL_BEFORE_THE_GUARD, NEVER_PREPARED] {
        let shim = Shim::build(source);
        let run = shim.load(cluster.run("-t 1s", "echo ran")).start();
        if source == STILL_BEFORE_THE_GUARD {
            eventually("it stands still", || run.is_stopped());
            eventually("the lock is free", || cluster.locks().is_empty());
            run.signal(Signal::SIGCONT);
        }
        let end = run.end();
        end.assert_code(69)
            .assert_says(&["its time was over before it was started"]);
        assert_eq!(end.stdout, "");
    }
}

/// Stands still, once: when the command has ended and it asks who it is, to say so in the history,
/// if there is a file `$SHIM_DIR/before`; right before it sends the first release with `sending`.
const STILL_WHEN_RELEASING: &str = r#"
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/syscall.h>
    #include <sys/uio.h>
    #include <unistd.h>
    static void stand_still(const char *moment) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", getenv("SHIM_DIR"), moment);
        if (unlink(path) == 0)
            raise(SIGSTOP);
    }
    int gethostname(char *name, size_t length) {
        static int calls;
        int (*real)(char *, size_t) = dlsym(RTLD_NEXT, "gethostname");
        if (++calls == 2)
            stand_still("before");
        return real(name, length);
    }
    ssize_t writev(int file, const struct iovec *parts, int count) {
        for (int i = 0; i < count; i++)
            if (memmem(parts[i].iov_base, parts[i].iov_len, "'not ours'", 10))
                stand_still("sending");
        return syscall(SYS_writev, file, parts, count);
    }
"#;

/// How a run of `job` with these `options` ends that has stood still when it released its lock,
/// until `is_over`.
fn frozen_when_releasing(
    cluster: &Cluster,
    moment: &str,
    options: &str,
    job: &str,
    is_over: impl Fn() -> bool,
) -> End {
    let shim = Shim::build(STILL_WHEN_RELEASING);
    shim.tell(moment, "");
    let run = shim.load(cluster.run(options, job)).start();
    eventually("it stands still", || run.is_stopped());
    eventually("it has done so for long enough", is_over);
    run.signal(Signal::SIGCONT);
    run.end()
}

#[test]
fn a_lock_that_expired_right_before_it_was_given_back_is_told_as_that() {
    let cluster = Cluster::start(3);
    for (options, code, parts) in [
        ("-t 1s", 4, &["had ended in time"][..]),
        ("-t 1s --min-hold 1h", 4, &["before --min-hold is over"]),
        ("-t 1s --once-per 1h", 0, &["run again in this period"]),
    ] {
        let is_free = || cluster.locks().is_empty();
        let job = format!("exit {code}");
        frozen_when_releasing(&cluster, "before", options, &job, is_free)
            .assert_code(code)
            .assert_says(&["job had expired before it could be given back"])
            .assert_says(parts);
    }
}

#[test]
fn a_release_has_time_however_long_redlock_stood_still() {
    let cluster = Cluster::start(3);
    let long_enough = || {
        thread::sleep(Duration::from_millis(1_200));
        true
    };
    frozen_when_releasing(&cluster, "sending", "-t 1m", "exit 4", long_enough)
        .assert_code(4)
        .assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}
