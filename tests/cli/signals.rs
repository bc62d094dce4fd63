//! Signals reach the command as they are, and nothing stays behind when one ends us.

use std::io::Write as _;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::process::{ALOUD, heed_signals, is_alive, is_stopped};
use crate::support::proxy::{self, Fate};
use crate::support::{Cluster, PATIENCE, Redlock, Shim, eventually};

const PASSED_ON: [Signal; 6] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Somebody signals it in the very moment in which it begins to listen.
const SIGNALLED_AT_ONCE: &str = r#"
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <signal.h>
    #include <unistd.h>
    int sigaction(int signal, const struct sigaction *new, struct sigaction *old) {
        int (*real)(int, const struct sigaction *, struct sigaction *);
        real = dlsym(RTLD_NEXT, "sigaction");
        int result = real(signal, new, old);
        if (signal == SIGTERM && new && new->sa_handler != SIG_DFL && new->sa_handler != SIG_IGN)
            kill(getpid(), SIGTERM);
        return result;
    }
"#;

#[test]
fn a_signal_that_comes_when_it_begins_to_listen_is_heard() {
    let cluster = Cluster::start(3);
    let shim = Shim::build(SIGNALLED_AT_ONCE);
    for command in [
        &["run", "-r", "job", "echo", "ran"][..],
        &["acquire", "-r", "job"],
    ] {
        let end = shim.load(cluster.redlock(command.iter().copied())).end();
        assert_eq!(
            (end.signal(), &*end.stdout),
            (Some(Signal::SIGTERM), ""),
            "{end:?}"
        );
        assert_eq!(cluster.locks(), [""; 0]);
    }
}

/// Somebody signals its group in the very moment in which the command's process joins another.
const SIGNALLED_IN_BETWEEN: &str = r"
    #define _GNU_SOURCE
    #include <signal.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int setpgid(pid_t process, pid_t group) {
        kill(0, SIGTERM);
        return syscall(SYS_setpgid, process, group);
    }
";

#[test]
fn a_signal_that_comes_when_the_command_is_being_started_ends_it() {
    let cluster = Cluster::start(3);
    let shim = Shim::build(SIGNALLED_IN_BETWEEN);
    let run = [
        "run",
        "-r",
        "job",
        "--min-hold",
        "1h",
        "--status-file",
        "/dev/stderr",
        "echo",
        "ran",
    ];
    let run = shim.load(cluster.redlock(run));
    let end = run.in_own_group().end();
    assert!(
        end.stderr.contains("\"outcome\":\"not_started\""),
        "{end:?}"
    );
    assert_eq!(
        (end.signal(), &*end.stdout),
        (Some(Signal::SIGTERM), ""),
        "{end:?}"
    );
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn each_signal_reaches_the_whole_group_as_itself() {
    let cluster = Cluster::start(3);
    for signal in PASSED_ON {
        let name = signal.as_str().trim_start_matches("SIG");
        // Two processes of one group, each of which tells what it got. Their shell ignores the
        // signal before it starts them, and has its background jobs ignore INT and QUIT: that is
        // undone first.
        let loyal = format!(
            "trap 'echo $0 {name}; exit 0' {name}; echo $0 ready; while :; do sleep 0.05; done"
        );
        let member = format!("env --default-signal={name} sh -c \"$1\"");
        let script = format!(
            "exec 2>/dev/null; trap '' {name}; {member} inner & {member} second & wait; wait"
        );
        let mut run = cluster
            .redlock(["run", "-r", "job", "sh", "-c", &script, "sh", &loyal])
            .start();
        let mut ready = [run.next_line(), run.next_line()];
        ready.sort();
        assert_eq!(ready, ["inner ready", "second ready"]);
        run.signal(signal);
        let end = run.end();
        end.assert_code(0);
        for who in ["inner", "second"] {
            assert!(
                end.stdout.contains(&format!("{who} {name}\n")),
                "{signal}: {end:?}"
            );
        }
    }
}

#[test]
fn a_command_that_died_of_a_real_time_signal_is_told_by_its_number() {
    let cluster = Cluster::start(3);
    let command = ["run", "-r", "job", "sh", "-c", "kill -37 $$; sleep 9"];
    cluster
        .redlock(command)
        .end()
        .assert_code(128 + 37)
        .assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn the_lock_is_extended_while_a_command_takes_its_time_over_term_and_gone_right_after() {
    let cluster = Cluster::start(3);
    let script = "exec 2>/dev/null; trap 'echo stopping; sleep 5; echo stopped; exit 3' TERM; echo ready; \
                  while :; do sleep 0.05; done";
    let mut run = cluster
        .redlock(["run", "-t", "1500ms", "-r", "job", "sh", "-c", script])
        .start_ready();
    run.signal(Signal::SIGTERM);
    run.wait_for("stopping");
    // Several TTLs long, nobody else gets in.
    let contender = cluster
        .redlock(["run", "-w", "3s", "-r", "job", "echo", "never"])
        .end();
    contender.assert_code(75);
    run.wait_for("stopped");
    let end = run.end();
    end.assert_code(3).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_signal_while_waiting_ends_redlock_by_that_signal_and_leaves_no_key() {
    let cluster = Cluster::start(3);
    let mut holder = cluster
        .redlock(["run", "-r", "job", "sh", "-c", "echo ready; read _"])
        .start();
    holder.wait_for("ready");
    for signal in PASSED_ON {
        let waiter = cluster.redlock([
            "run", "-v", "-w", "-r", "job", "-r", "free", "echo", "never",
        ]);
        let waiter = waiter.start();
        // It has asked at least once when its counter would have moved: the holder's servers saw
        // it.
        eventually("a waiter that has asked", || waiter_has_asked(&cluster));
        waiter.signal(signal);
        let end = waiter.end();
        assert_eq!(end.signal(), Some(signal), "{end:?}");
    }
    assert!(cluster.locks().iter().all(|key| key == "lock:job"));
    holder.write_line("");
    holder.end().assert_code(0);
    assert_eq!(cluster.locks(), [""; 0]);
}

/// Whether every server has a client beside the test's own and the holder's.
fn waiter_has_asked(cluster: &Cluster) -> bool {
    cluster.servers.iter().all(|server| {
        let clients: String = server.ask(&["CLIENT", "LIST"]);
        clients
            .lines()
            .filter(|line| line.contains("cmd=eval"))
            .count()
            >= 2
    })
}

#[test]
fn a_signal_in_the_middle_of_an_attempt_leaves_no_key() {
    let cluster = Cluster::start(3);
    // Two servers hang: the attempt cannot be decided, and one node has been written.
    cluster.servers[1].hang();
    cluster.servers[2].hang();
    let attempt = cluster
        .redlock([
            "run",
            "-w",
            "--node-timeout",
            "20s",
            "-r",
            "job",
            "echo",
            "never",
        ])
        .start();
    eventually("a key of the attempt", || {
        cluster.servers[0].get("lock:job").is_some()
    });
    attempt.signal(Signal::SIGTERM);
    let end = attempt.end();
    assert_eq!(end.signal(), Some(Signal::SIGTERM), "{end:?}");
    assert!(end.took < Duration::from_secs(15), "{end:?}");
    assert_eq!(cluster.servers[0].locks(), [""; 0]);
    // The SET that the others find when they wake is followed by its DEL.
    for server in &cluster.servers[1..] {
        server.go_on();
        eventually("the key of a late SET is gone", || {
            server.locks().is_empty()
        });
    }
}

#[test]
fn a_signal_ends_an_attempt_that_nobody_answers_at_once_and_leaves_no_key() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    for proxy in &proxies {
        proxy.set_replies(Fate::Drop);
    }
    let run = [
        "run",
        "-t",
        "10m",
        "--node-timeout",
        "30s",
        "-r",
        "job",
        "echo",
        "never",
    ];
    let attempt = Redlock::new(run).env("REDLOCK_SERVERS", urls).start();
    eventually("a key on each server", || {
        cluster.values("lock:job").iter().all(Option::is_some)
    });
    attempt.signal(Signal::SIGINT);
    let end = attempt.end();
    assert_eq!(end.signal(), Some(Signal::SIGINT), "{end:?}");
    assert!(end.took < Duration::from_secs(15), "{end:?}");
    assert_eq!(end.stdout, "");
    eventually("the keys are taken away", || cluster.locks().is_empty());
}

#[test]
fn a_command_dies_with_a_redlock_that_was_killed_and_the_lock_after_its_ttl() {
    let cluster = Cluster::start(3);
    let mut run = cluster
        .redlock([
            "run",
            "-t",
            "2s",
            "-r",
            "job",
            "sh",
            "-c",
            "echo $$; sleep 60",
        ])
        .start();
    let job = Pid::from_raw(run.next_line().parse().expect("a pid"));
    run.signal(Signal::SIGKILL);
    run.wait();
    eventually("the command dies with redlock", || !is_alive(job));
    let next = cluster
        .redlock(["run", "-w", "10s", "-r", "job", "echo", "my turn"])
        .end();
    assert_eq!(next.assert_code(0).stdout, "my turn\n");
    assert!(next.took <= Duration::from_secs(6), "{next:?}");
}

#[test]
fn nohup_and_a_background_job_of_a_shell_still_protect_the_command() {
    let cluster = Cluster::start(3);
    for (ignored, wrapper) in [
        (
            Signal::SIGHUP,
            ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"],
        ),
        (
            Signal::SIGINT,
            ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"],
        ),
        (
            Signal::SIGQUIT,
            ["sh", "-c", "trap '' QUIT; exec \"$@\"", "sh"],
        ),
        // No shell can ignore this one for those whom it starts.
        (
            Signal::SIGCHLD,
            ["env", "--ignore-signal=CHLD", "env", "env"],
        ),
    ] {
        let show = ["grep", "SigIgn", "/proc/self/status"];
        let [program, rest @ ..] = &wrapper[..] else {
            unreachable!("a wrapper has words")
        };
        let mut plain = Command::new(program);
        heed_signals(plain.args(rest).args(show));
        let plain = plain.output();
        let plain = String::from_utf8(plain.expect("it can be started").stdout).expect("text");
        let run = ["run", "-r", "job"].into_iter().chain(show);
        let end = Redlock::under(&wrapper, run)
            .env("REDLOCK_SERVERS", cluster.urls())
            .end();
        let behind_redlock = named_signals(&end.assert_code(0).stdout);
        assert_eq!(
            behind_redlock,
            named_signals(&plain),
            "as without redlock in front"
        );
        assert_ne!(
            behind_redlock & 1 << (ignored as u32 - 1),
            0,
            "{ignored} is ignored"
        );
    }
}

/// The mask that a line of `/proc/self/status` shows, without the real-time signals, some of which
/// the C library uses for itself.
fn named_signals(line: &str) -> u64 {
    let mask = line.trim().rsplit('\t').next().unwrap_or_default();
    u64::from_str_radix(mask, 16).expect("a mask of bits") & 0x7fff_ffff
}

#[test]
fn signals_that_whoever_started_us_has_blocked_are_heard_all_the_same() {
    let cluster = Cluster::start(3);
    let blocking = ["env", "--block-signal"];
    let under = |arguments: &[&'static str]| {
        let run = ["run", "-t", "1h", "-r", "job"];
        let words = run.into_iter().chain(arguments.iter().copied());
        Redlock::under(&blocking, words).env("REDLOCK_SERVERS", cluster.urls())
    };
    // Otherwise the command's end is seen with the next extension, in 20 minutes.
    under(&["sh", "-c", "exit 3"]).end().assert_code(3);
    let mut run = under(&["sh", "-c", "echo ready; read _"]).start();
    run.wait_for("ready");
    run.signal(Signal::SIGTERM);
    assert_eq!(run.end().signal(), Some(Signal::SIGTERM));
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_command_that_goes_on_after_its_lock_was_lost_can_be_stopped_and_continued() {
    let cluster = Cluster::start(3);
    let script = "echo ready; while read line; do echo \"got $line\"; done";
    let mut run = cluster
        .run("-t 1s --on-lost warn", script)
        .in_own_group()
        .start_ready();
    for round in ["one", "two"] {
        // The first time it loses the lock meanwhile, the second time it has lost it before.
        run.signal(Signal::SIGTSTP);
        eventually("it stands still", || run.is_stopped());
        eventually("the lock is free", || cluster.locks().is_empty());
        run.write_line(round);
        run.signal(Signal::SIGCONT);
        run.wait_for(&format!("got {round}"));
    }
    run.close_stdin();
    run.end().assert_code(76);
}

#[test]
fn a_command_that_stood_still_goes_on_soon_after_a_short_outage() {
    let cluster = Cluster::start(3);
    let script = "echo ready; while read line; do echo \"got $line\"; done";
    let run = ["run", "-v", "-t", "1h", "-r", "job", "sh", "-c", script];
    let mut run = cluster.redlock(run).in_own_group().start_ready();
    // Whoever begins to listen asks the nodes as well.
    cluster.wait_for_listeners(1);
    run.signal(Signal::SIGTSTP);
    eventually("it stands still", || run.is_stopped());
    cluster.servers[0].hang();
    cluster.servers[1].hang();
    run.signal(Signal::SIGCONT);
    // Longer than two rounds of asking.
    thread::sleep(Duration::from_secs(2));
    cluster.servers[0].go_on();
    cluster.servers[1].go_on();
    run.write_line("one");
    // And not only after a thirtieth of the TTL, two minutes.
    run.wait_for("got one");
    run.close_stdin();
    run.end().assert_code(0);
}

#[test]
fn a_job_that_is_continued_before_it_was_seen_to_stop_goes_on() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = "echo ready; while read line; do echo \"got $line\"; done";
    let run = ["run", "-r", "job", "sh", "-c", script];
    let run = Redlock::new(run).env("REDLOCK_LOCAL", directory.path());
    let mut run = run.in_own_group().start_ready();
    for round in 0..20 {
        run.signal(Signal::SIGTSTP);
        run.signal(Signal::SIGCONT);
        run.write_line(&round.to_string());
        run.wait_for(&format!("got {round}"));
    }
    run.close_stdin();
    run.end().assert_code(0);
}

#[test]
fn all_of_a_group_goes_on_also_if_its_leader_has_not_stopped() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // What is caught is not ignored by what is started.
    let script = "trap : TSTP; sh -c 'echo $$; exec cat'; echo over";
    let run = ["run", "-r", "job", "sh", "-c", script];
    let run = Redlock::new(run).env("REDLOCK_LOCAL", directory.path());
    let mut run = run.in_own_group().start();
    let cat = Pid::from_raw(run.next_line().parse().expect("a pid"));
    run.write_line("one");
    run.wait_for("one");
    run.signal(Signal::SIGTSTP);
    eventually("it stands still", || is_stopped(cat));
    run.write_line("two");
    run.signal(Signal::SIGCONT);
    run.wait_for("two");
    run.close_stdin();
    run.wait_for("over");
    run.end().assert_code(0);
}

#[test]
fn an_stderr_that_nobody_reads_holds_no_job_up() {
    let cluster = Cluster::start(3);
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let full = fcntl(&writer, FcntlArg::F_GETPIPE_SZ).expect("it has a size");
    let full = vec![b'x'; usize::try_from(full).expect("a size")];
    writer.write_all(&full).expect("that much fits");
    let words = ["run", "-v", "-r", "job", "sh", "-c", "exit 3"];
    let mut command = cluster.redlock(words).into_command();
    let mut run = command.stderr(writer).spawn().expect("it can be started");
    drop(command);
    let (tell, ended) = mpsc::channel();
    thread::spawn(move || tell.send(run.wait()));
    let status = ended.recv_timeout(PATIENCE);
    // Whatever came of it, it ends now.
    drop(reader);
    let status = status.expect("it ends").expect("it is ours");
    assert_eq!(status.code(), Some(3));
}

#[test]
fn a_redlock_under_nohup_survives_a_hangup() {
    let cluster = Cluster::start(3);
    let job = [
        "run",
        "-r",
        "job",
        "sh",
        "-c",
        "echo ready; read _; echo done",
    ];
    let run = Redlock::under(&["nohup"], job).env("REDLOCK_SERVERS", cluster.urls());
    let mut run = run.start_ready();
    run.signal(Signal::SIGHUP);
    run.write_line("");
    run.wait_for("done");
    run.end().assert_code(0);
}

/// A shell that dies of the signal at once, waiting for a program that still puts things in order.
fn shell_and_program(program: &str) -> String {
    format!("sh -c '{program}'; :")
}

#[test]
fn the_lock_is_kept_while_what_a_shell_waited_for_still_cleans_up() {
    let cluster = Cluster::start(3);
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let name = signal.as_str().trim_start_matches("SIG");
        let program = format!(
            "trap \"echo heard; read line; echo cleaned; exit\" {name}; echo ready; \
             while :; do sleep 0.05; done"
        );
        let script = shell_and_program(&program);
        let line = [
            "run", "-t", "2m", "-k", "25s", "-r", "job", "sh", "-c", &script,
        ];
        let mut run = cluster.redlock(line).start_ready();
        run.signal(signal);
        run.wait_for("heard");
        // The shell is dead by now, or will be in a moment.
        let other = cluster.redlock(["run", "-w", "1s", "-r", "job", "true"]);
        other.end().assert_code(75);
        assert!(!run.has_ended());
        run.write_line("");
        let end = run.end();
        assert_eq!(end.signal(), Some(signal), "{end:?}");
        assert!(end.stdout.ends_with("cleaned\n"), "{end:?}");
        assert_eq!(cluster.locks(), [""; 0]);
    }
}

#[test]
fn what_does_not_heed_a_signal_that_its_shell_died_of_is_waited_for_no_longer_than_its_grace() {
    let cluster = Cluster::start(3);
    let program = "trap \"\" TERM; echo $$; exec 2>/dev/null; while :; do sleep 0.05; done";
    let script = shell_and_program(program);
    let line = ["run", "-k", "300ms", "-r", "job", "sh", "-c", &script];
    let mut run = cluster.redlock(line).start();
    let program = Pid::from_raw(run.next_line().parse().expect("a number"));
    run.signal(Signal::SIGTERM);
    assert!(!run.wait().success());
    assert_eq!(cluster.locks(), [""; 0]);
    assert!(is_alive(program));
    kill(program, Signal::SIGKILL).expect("it is ours");
}

#[test]
fn what_still_cleans_up_is_stopped_before_the_lock_ends_that_cannot_be_extended_any_more() {
    let cluster = Cluster::start(3);
    let program =
        "trap \"\" TERM; echo pid; echo $$; exec >/dev/null 2>&1; while :; do sleep 0.05; done";
    let script = shell_and_program(program);
    let words = [
        "run", "-v", "-r", "job", "-t", "6s", "-k", "2500ms", "sh", "-c", &script,
    ];
    let run = Redlock::under(&ALOUD, words).env("REDLOCK_SERVERS", cluster.urls());
    let mut run = run.start();
    run.wait_for("pid");
    let program = Pid::from_raw(run.next_line().parse().expect("a number"));
    for server in &cluster.servers {
        server.hang();
    }
    // From here on its grace is longer than the time that is left.
    while !run.next_line().contains("on no quorum") {}
    run.signal(Signal::SIGTERM);
    run.end().assert_code(76);
    assert!(!is_alive(program));
}
