//! redlock as the first process of a container.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Cluster, Process, Redlock, eventually};

const CONTAINER: [&str; 6] = [
    "unshare",
    "--user",
    "--map-root-user",
    "--fork",
    "--pid",
    "--mount-proc",
];

/// redlock as PID 1 of a namespace, and its id outside.
struct Container {
    run: Process,
    first: Pid,
}

impl Container {
    fn start(cluster: &Cluster, options: &str, script: &str) -> Self {
        let words = ["run", "-r", "job"].into_iter();
        let words = words.chain(options.split(' ')).chain(["sh", "-c", script]);
        let run = Redlock::under(&CONTAINER, words).env("REDLOCK_SERVERS", cluster.urls());
        Self::of(run)
    }

    /// The container of a `run` whose job says that it is ready.
    fn of(run: Redlock) -> Self {
        let run = run.start_ready();
        let unshare = run.pid();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
        let children = children.expect("unshare runs");
        let first = children.trim().parse().expect("one child");
        Self {
            run,
            first: Pid::from_raw(first),
        }
    }
}

#[test]
fn the_exit_code_is_the_commands_and_128_and_the_signal_if_one_killed_it() {
    let cluster = Cluster::start(3);
    for (script, code) in [
        // Only when it was seen: who is first must be there to be found.
        ("echo ready; read _; exit 9", 9),
        ("echo ready; read _; kill -TERM $$; sleep 9", 143),
        ("echo ready; read _; kill -KILL $$; sleep 9", 137),
    ] {
        let mut container = Container::start(&cluster, "-t 2s", script);
        container.run.write_line("");
        container.run.end().assert_code(code).assert_silent();
        assert_eq!(cluster.locks(), [""; 0]);
    }
}

#[test]
fn signals_reach_the_command_and_without_a_handler_of_ours_none_would() {
    let cluster = Cluster::start(3);
    let script = "exec 2>/dev/null; trap 'echo stopping; exit 4' TERM; echo ready; \
                  while :; do sleep 0.05; done";
    let container = Container::start(&cluster, "-t 2s", script);
    kill(container.first, Signal::SIGTERM).expect("it runs");
    let end = container.run.end();
    end.assert_code(4);
    assert!(end.stdout.contains("stopping"), "{end:?}");
}

#[test]
fn what_a_shell_waited_for_puts_things_in_order_before_the_container_ends() {
    let cluster = Cluster::start(3);
    // The shell dies of the signal at once, and we become the parent of what it waited for.
    let script = "sh -c 'trap \"echo heard; read line; echo cleaned; exit\" TERM; echo ready; \
                  while :; do sleep 0.05; done'; :";
    let mut container = Container::start(&cluster, "-t 2m -k 25s", script);
    kill(container.first, Signal::SIGTERM).expect("it runs");
    container.run.wait_for("heard");
    let other = cluster.redlock(["run", "-w", "1s", "-r", "job", "true"]);
    other.end().assert_code(75);
    container.run.write_line("");
    let end = container.run.end();
    end.assert_code(143);
    assert!(end.stdout.ends_with("cleaned\n"), "{end:?}");
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn orphans_are_reaped_and_the_guard_is_not_taken_for_one() {
    let cluster = Cluster::start(3);
    // Twenty processes whose parents are gone, and which end at once.
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
                  (sleep 0.1 &); done; echo ready; read _; exit 6";
    let mut container = Container::start(&cluster, "-t 2s", script);
    let first = container.first;
    eventually("the orphans are reaped", || {
        let path = format!("/proc/{first}/task/{first}/children");
        let children = fs::read_to_string(path).expect("it runs");
        // The command and the guard.
        children.split_whitespace().count() == 2
    });
    container.run.write_line("");
    container.run.end().assert_code(6).assert_silent();
}

#[test]
fn a_frozen_first_process_loses_its_job_in_time() {
    let cluster = Cluster::start(3);
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; echo alive; done";
    let container = Container::start(&cluster, "-t 2s", script);
    kill(container.first, Signal::SIGSTOP).expect("it runs");
    let mut contender = cluster
        .redlock(["run", "-w", "10s", "-r", "job", "sh", "-c", "echo mine"])
        .start();
    contender.wait_for("mine");
    contender.end().assert_code(0);
    kill(container.first, Signal::SIGCONT).expect("it runs");
    container.run.end().assert_code(76);
}

/// The command of the README's pod, with a shorter TTL and `script` for its job.
fn command_of_the_readme(script: &str) -> Vec<String> {
    let readme = fs::read_to_string("README.md").expect("it is there");
    let list = readme.split("command: ").nth(1).expect("a pod");
    let list = &list[..=list.find(']').expect("the end of a list")];
    let mut words: Vec<String> = serde_json::from_str(list).expect("a list of texts");
    let ttl = words.iter_mut().find(|word| *word == "1m");
    "5s".clone_into(ttl.expect("a TTL"));
    let job = words.pop().expect("a job");
    assert_eq!((&words[0][..], &job[..]), ("redlock", "daily-report"));
    words.extend(["sh", "-c", script].map(str::to_owned));
    words.split_off(1)
}

#[test]
fn the_pod_after_one_that_was_killed_does_its_job_and_the_one_after_it_does_not() {
    let cluster = Cluster::start(3);
    let pod = |script: &str| {
        let words = command_of_the_readme(script);
        Redlock::under(&CONTAINER, words.iter().map(String::as_str))
            .env("REDLOCK_SERVERS", cluster.urls())
    };
    let killed = Container::of(pod("echo ready; sleep 60"));
    kill(killed.first, Signal::SIGKILL).expect("it runs");
    assert_eq!(pod("echo ran").end().assert_code(0).stdout, "ran\n");
    assert_eq!(pod("echo never").end().assert_code(0).stdout, "");
}
