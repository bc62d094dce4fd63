//! What the system refuses: processes, threads, descriptors, calls. Each has its code and a message that
//! helps, no key is left and nothing half-done.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Cluster, Nobody, Redlock};

#[test]
fn where_no_process_can_be_made_neither_a_command_nor_a_name_is_asked_for() {
    let cluster = Cluster::start(3);
    let nobody = Nobody::new();
    for (urls, code, why) in [
        (cluster.urls(), 71, "too many processes"),
        (
            cluster.urls_by("localhost"),
            69,
            "the name localhost was not resolved: resource temporarily unavailable",
        ),
    ] {
        let run = ["run", "-r", "job", "echo", "never"];
        // No limit binds root.
        let run = nobody.redlock("prlimit --nproc=0", run);
        let end = run.env("REDLOCK_SERVERS", urls).end();
        end.assert_code(code).assert_says(&[why]);
        assert_eq!(end.stdout, "");
        assert_eq!(cluster.locks(), [""; 0]);
    }
}

#[test]
fn a_command_of_another_user_that_cannot_be_stopped_is_told_as_that() {
    let cluster = Cluster::start(3);
    let nobody = Nobody::new();
    // As sudo is.
    let become_root = nobody.owned_by_root_with_setuid("setpriv");
    let script = format!("exec '{become_root}' --reuid=0 --regid=0 --clear-groups sleep 2");
    let options = ["--max-runtime", "300ms", "-k", "200ms", "-r", "job"];
    let run = ["run"].into_iter().chain(options);
    let run = nobody.redlock("", run.chain(["sh", "-c", &script]));
    let end = run.env("REDLOCK_SERVERS", cluster.urls()).end();
    end.assert_code(124);
    let told = "job: the command runs as another user";
    assert_eq!(end.stderr.matches(told).count(), 1, "{end:?}");
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_part_of_path_that_may_not_be_looked_into_has_no_command() {
    let cluster = Cluster::start(3);
    let nobody = Nobody::new();
    let closed = tempfile::tempdir().expect("for root alone");
    let open = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(open.path(), Permissions::from_mode(0o755)).expect("ours");
    fs::write(open.path().join("plain"), "text").expect("ours");
    let path = format!("{}:{}", closed.path().display(), open.path().display());
    for (command, code, said) in [
        ("nothing", 127, "not found in PATH"),
        ("plain", 126, "/plain: permission denied"),
    ] {
        let run = nobody.redlock(&format!("env PATH={path}"), ["run", "-r", "job", command]);
        let end = run.env("REDLOCK_SERVERS", cluster.urls()).end();
        end.assert_code(code).assert_says(&[said]);
        assert_eq!(cluster.locks(), [""; 0]);
    }
}

#[test]
fn with_too_few_descriptors_nothing_is_started_and_the_message_says_so() {
    let cluster = Cluster::start(3);
    let mut not_started = 0;
    for limit in 4..20 {
        let limited = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        let run = Redlock::under(&["sh", "-c", &limited], ["run", "-r", "job", "echo", "ran"]);
        let end = run.env("REDLOCK_SERVERS", cluster.urls()).end();
        if end.code() == Some(0) {
            end.assert_silent();
            assert_eq!(end.stdout, "ran\n");
        } else {
            not_started += 1;
            end.assert_says(&["too many open files"]);
            assert!(!end.stderr.contains("os error"), "{end:?}");
            assert_eq!(end.stdout, "");
        }
        assert_eq!(cluster.locks(), [""; 0]);
    }
    assert!(not_started > 0);
}

#[test]
fn in_a_sandbox_no_job_runs_that_could_not_be_watched() {
    let cluster = Cluster::start(3);
    for (call, why) in [
        (
            libc::SYS_waitid,
            "waitid is forbidden: operation not permitted",
        ),
        (libc::SYS_setpgid, "operation not permitted"),
        (libc::SYS_timerfd_create, "its guard cannot be started"),
        (libc::SYS_timerfd_settime, "its guard did not start"),
        (libc::SYS_recvmsg, "its guard did not start"),
    ] {
        not_run(&cluster, |run| run.without(call), why);
    }
    let no_signals = |run: Redlock| {
        let run = run.without(libc::SYS_kill);
        run.without(libc::SYS_pidfd_send_signal)
    };
    not_run(&cluster, no_signals, "its guard did not start");
    let no_group = |run: Redlock| run.without(libc::SYS_kill).without(libc::SYS_pidfd_open);
    not_run(&cluster, no_group, "its guard did not start");
    for (call, why) in [
        (libc::SYS_pidfd_send_signal, "its guard did not start"),
        (libc::SYS_pidfd_open, "a sandbox ends processes"),
    ] {
        not_run(&cluster, |run| run.ended_by(call), why);
    }
}

fn not_run(cluster: &Cluster, confined: impl Fn(Redlock) -> Redlock, why: &str) {
    let run = cluster.redlock(["run", "-r", "job", "echo", "never"]);
    let end = confined(run).end();
    end.assert_code(71).assert_says(&["cannot run 'echo'", why]);
    assert_eq!(end.stdout, "", "{why}");
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_sandbox_without_pairs_of_sockets_is_no_bug_of_ours() {
    let cluster = Cluster::start(3);
    for line in [&["run", "-r", "job", "echo", "never"][..], &["list"]] {
        let line = line.iter().copied();
        let end = cluster.redlock(line).without(libc::SYS_socketpair).end();
        end.assert_code(71)
            .assert_says(&["cannot start: operation not permitted"]);
        assert_eq!(end.stdout, "");
    }
}

#[test]
fn without_path_a_command_is_looked_for_where_the_system_does() {
    let cluster = Cluster::start(3);
    let run = |command| {
        let run = cluster.redlock(["run", "-r", "job", command]);
        run.without_env("PATH").end()
    };
    run("true").assert_code(0).assert_silent();
    run("nothing-like-it")
        .assert_code(127)
        .assert_says(&["not found in /bin:/usr/bin (PATH is not set)"]);
}

#[test]
fn where_random_numbers_are_no_call_they_are_a_file() {
    let cluster = Cluster::start(3);
    let run = cluster.redlock(["run", "-r", "job", "echo", "ran"]);
    let end = run.without(libc::SYS_getrandom).end();
    assert_eq!(end.assert_code(0).stdout, "ran\n");
}

#[test]
fn who_may_not_signal_its_guard_ends_all_the_same() {
    let cluster = Cluster::start(3);
    // And where one of the two calls is there, a guard can do its work.
    for call in [libc::SYS_kill, libc::SYS_pidfd_send_signal] {
        let run = cluster.redlock(["run", "-r", "job", "echo", "ran"]);
        let end = run.without(call).end();
        assert_eq!(end.assert_code(0).stdout, "ran\n");
        assert_eq!(cluster.locks(), [""; 0]);
    }
}
