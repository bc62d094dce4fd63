//! A job runs under the lock, a second one does not, and the exit code is the truth.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use nix::sys::signal::Signal;

use crate::support::{Cluster, End, Redlock, eventually};

/// Runs `sh -c script` under the lock of a fresh resource.
fn run_script(cluster: &Cluster, script: &str) -> End {
    cluster
        .redlock(["run", "-r", "job", "-t", "10s", "--", "sh", "-c", script])
        .end()
}

#[test]
fn a_job_runs_holds_the_lock_meanwhile_and_leaves_no_key() {
    let cluster = Cluster::start(3);
    let job = [
        "run",
        "-r",
        "daily-report",
        "-t",
        "10m",
        "--",
        "sh",
        "-c",
        "echo ready; read _",
    ];
    let mut run = cluster.redlock(job).start_ready();
    for rest in cluster.pttls("lock:daily-report") {
        assert!((590_000..=600_000).contains(&rest), "{rest}");
    }
    run.write_line("");
    run.end().assert_code(0).assert_silent();
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn a_command_finds_closed_what_was_closed() {
    let cluster = Cluster::start(3);
    for (closed, script) in [
        ("<&-", "[ -e /proc/self/fd/0 ] || exit 40"),
        (">&-", "[ -e /proc/self/fd/1 ] || exit 41"),
        ("2>&-", "[ -e /proc/self/fd/2 ] || exit 42"),
    ] {
        let closing = format!("exec \"$@\" {closed}");
        let run = ["run", "-r", "job", "sh", "-c"];
        let run = run.into_iter().chain([script]);
        let end = Redlock::under(&["sh", "-c", &closing, "sh"], run)
            .env("REDLOCK_SERVERS", cluster.urls())
            .end();
        let code = end.status.code().expect("it was not killed");
        assert!((40..=42).contains(&code), "{closed}: {end:?}");
    }
}

#[test]
fn while_a_job_runs_a_second_one_is_skipped_and_afterwards_the_next_one_runs() {
    let cluster = Cluster::start(3);
    let job = [
        "run",
        "-r",
        "daily-report",
        "--",
        "sh",
        "-c",
        "echo ready; read _",
    ];
    let mut first = cluster.redlock(job).start_ready();

    let second = ["run", "-r", "daily-report", "--", "echo", "never"];
    let skipped = cluster.redlock(second).end();
    skipped.assert_code(75).assert_silent();
    assert_eq!(skipped.stdout, "");

    let zero = [
        "run",
        "-E",
        "0",
        "-r",
        "daily-report",
        "--",
        "echo",
        "never",
    ];
    cluster.redlock(zero).end().assert_code(0).assert_silent();

    let verbose = ["run", "-v", "-r", "daily-report", "--", "echo", "never"];
    let pid = format!("pid {}", first.pid());
    let named = cluster.redlock(verbose).end();
    named
        .assert_code(75)
        .assert_says(&["daily-report is held by ", &pid, ", sh)", "; skipped"]);

    let other = ["run", "-r", "weekly-report", "--", "echo", "another name"];
    assert_eq!(
        cluster.redlock(other).end().assert_code(0).stdout,
        "another name\n"
    );

    first.write_line("");
    first.end().assert_code(0).assert_silent();
    let third = ["run", "-r", "daily-report", "--", "echo", "my turn"];
    assert_eq!(
        cluster.redlock(third).end().assert_code(0).stdout,
        "my turn\n"
    );
}

#[test]
fn on_a_terminal_a_skip_names_the_holder_and_with_quiet_it_does_not() {
    let cluster = Cluster::start(3);
    let job = [
        "run",
        "-r",
        "job",
        "--note",
        "v42",
        "sh",
        "-c",
        "echo ready; read _",
    ];
    let mut holder = cluster.redlock(job).start_ready();
    let on_terminal = |arguments: &[&str]| {
        let (status, screen) = cluster.redlock(arguments.iter().copied()).end_on_terminal();
        assert_eq!(status.code(), Some(75), "{screen}");
        screen
    };
    let screen = on_terminal(&["run", "-r", "job", "echo", "never"]);
    let pid = holder.pid();
    assert!(
        screen.contains(&format!("(pid {pid}, sh, v42) for ")),
        "{screen}"
    );
    assert!(screen.ends_with("; skipped\r\n"), "{screen:?}");
    assert_eq!(
        on_terminal(&["run", "-q", "-r", "job", "echo", "never"]),
        ""
    );
    holder.write_line("");
    holder.end().assert_code(0);
}

#[test]
fn the_exit_code_is_the_commands() {
    let cluster = Cluster::start(3);
    for code in [0, 1, 7, 75, 127, 255] {
        run_script(&cluster, &format!("exit {code}"))
            .assert_code(code)
            .assert_silent();
    }
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn redlock_dies_of_the_signal_that_killed_the_command() {
    let cluster = Cluster::start(3);
    for signal in [
        Signal::SIGTERM,
        Signal::SIGKILL,
        Signal::SIGINT,
        Signal::SIGSEGV,
    ] {
        let end = run_script(&cluster, &format!("kill -{} $$", signal as i32));
        assert_eq!(end.signal(), Some(signal), "{end:?}");
        assert_eq!(cluster.locks(), [""; 0]);
    }
}

#[test]
fn what_cannot_be_executed_is_126_and_what_is_not_there_127() {
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "text").expect("the directory is ours");
    let orphan = directory.path().join("orphan");
    std::fs::write(&orphan, "#!/no/such/interpreter\n").expect("the directory is ours");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&orphan, executable).expect("the file is ours");
    let run = |command: &str| cluster.redlock(["run", "-r", "job", "--", command]).end();

    let plain = plain.to_str().expect("a plain path");
    run(plain)
        .assert_code(126)
        .assert_says(&[plain, "permission denied"]);
    run("/tmp")
        .assert_code(126)
        .assert_says(&["'/tmp'", "it is a directory"]);
    run("no-such-thing")
        .assert_code(127)
        .assert_says(&["'no-such-thing'", "not found in PATH"]);
    run("/no/such/thing")
        .assert_code(127)
        .assert_says(&["'/no/such/thing'", "no such file"]);
    let orphan = orphan.to_str().expect("a plain path");
    run(orphan)
        .assert_code(127)
        .assert_says(&[orphan, "interpreter"]);
    let misplaced = ["run", "-r", "job", "/tmp", "--", "true"];
    cluster
        .redlock(misplaced)
        .end()
        .assert_code(126)
        .assert_says(&["'/tmp'", "stands before --", "--local=DIR"]);
    // The lock is given back at once.
    assert_eq!(cluster.locks(), [""; 0]);
}

#[test]
fn arguments_are_bytes_and_need_no_dashes_before_them() {
    let cluster = Cluster::start(3);
    let bytes = OsString::from_vec(vec![b'a', 0xff, 0xfe, b'\n', b' ', b'z']);
    let run = cluster.redlock(["run", "-r", "job", "printf", "%s|", "-n", "--", "-r"]);
    let end = run.args([bytes.clone()]).end();
    // What is not UTF-8 is replaced only by our reading of stdout; od shows what has arrived.
    end.assert_code(0);
    assert!(end.stdout.starts_with("-n|--|-r|a"), "{end:?}");
    let od = [
        "run",
        "-r",
        "job",
        "--",
        "sh",
        "-c",
        "printf %s \"$1\" | od -An -tx1",
        "sh",
    ];
    let end = cluster.redlock(od).args([bytes]).end();
    assert_eq!(end.assert_code(0).stdout.trim(), "61 ff fe 0a 20 7a");
}

#[test]
fn stdin_goes_through_to_the_command() {
    let cluster = Cluster::start(3);
    let mut run = cluster.redlock(["run", "-r", "job", "--", "cat"]).start();
    run.write_line("one");
    run.wait_for("one");
    run.write_line("two");
    run.close_stdin();
    assert_eq!(run.end().assert_code(0).stdout, "one\ntwo\n");
}

#[test]
fn the_command_is_told_about_its_lock_and_not_about_our_options() {
    let cluster = Cluster::start(3);
    let run = cluster.redlock(["run", "-r", "b", "-r", "a", "-t", "20s", "--", "env"]);
    let end = run
        .env("REDLOCK_NOTE", "from the environment")
        .env("REDLOCK_WAIT", "1s")
        .end();
    end.assert_code(0);
    // `env` prints the joined names on two lines.
    assert!(end.stdout.contains("REDLOCK_RESOURCE=b\na\n"), "{end:?}");
    assert!(end.stdout.contains("REDLOCK_TTL_MS=20000\n"), "{end:?}");
    let value = |name: &str| {
        let line = end
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{name} is not set: {end:?}"))
            .to_owned()
    };
    let token = value("REDLOCK_TOKEN");
    assert!(
        token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit()),
        "{token}"
    );
    assert!(
        value("REDLOCK_FENCING_TOKEN")
            .parse::<u64>()
            .is_ok_and(|fence| fence > 1_600_000_000_000)
    );
    assert_eq!(value("REDLOCK_SERVERS"), cluster.urls());
    assert!(
        !end.stdout.contains("REDLOCK_NOTE") && !end.stdout.contains("REDLOCK_WAIT"),
        "{end:?}"
    );
}

#[test]
fn a_nested_run_on_the_name_that_its_own_job_holds_says_so() {
    let cluster = Cluster::start(3);
    let binary = env!("CARGO_BIN_EXE_redlock");
    // Of several the one is named that is held.
    for names in [&["-r", "job"][..], &["-r", "job", "-r", "other"]] {
        let outer = ["run", "-r", "job", "--", binary, "run", "-w"];
        let words = [&outer[..], names, &["--", "true"]].concat();
        cluster
            .redlock(words)
            .end()
            .assert_code(75)
            .assert_says(&["redlock: job is held by the redlock around this command"]);
    }
    // However many are between.
    let between = |inner: &[&'static str]| {
        let outer = ["run", "-r", "job", "--", binary];
        let middle = ["run", "-r", "one", "--", binary];
        let words = [
            &outer[..],
            &middle,
            &["run", "-r", "two", "--", binary],
            inner,
        ];
        cluster.redlock(words.concat()).end()
    };
    for name in ["job", "one", "two"] {
        let held = format!("{name} is held by the redlock around this command");
        between(&["run", "-w", "-r", name, "--", "true"])
            .assert_code(75)
            .assert_says(&[&held]);
    }
    let by_hand = ["run", "-r", "job", binary, "acquire", "-w", "-r", "job"];
    cluster
        .redlock(by_hand)
        .end()
        .assert_code(75)
        .assert_says(&["job is held by the redlock around this command"]);
    let other = [
        "run", "-r", "job", "--", binary, "run", "-r", "other", "--", "echo", "inside",
    ];
    assert_eq!(
        cluster.redlock(other).end().assert_code(0).stdout,
        "inside\n"
    );
}

#[test]
fn what_a_job_has_left_behind_waits_for_its_name_like_anybody() {
    let cluster = Cluster::start(3);
    let binary = env!("CARGO_BIN_EXE_redlock");
    // It begins when the run around it is over.
    let left = format!("(read _ <&3; {binary} run -w -r job -- echo left; echo \"code $?\") &");
    let mut run = cluster
        .run("--min-hold 2s", &format!("exec 3<&0; {left} echo ready"))
        .start_ready();
    eventually("the run is over", || {
        let values = cluster.values("lock:job").into_iter().flatten();
        values.filter(|value| value[32] == b'~').count() == 3
    });
    run.write_line("");
    run.wait_for("left");
    run.wait_for("code 0");
    run.end().assert_code(0).assert_silent();
}

#[test]
fn the_value_tells_a_person_who_has_the_lock() {
    let cluster = Cluster::start(3);
    let job = [
        "run",
        "-r",
        "job",
        "--note",
        "deploying v42",
        "sh",
        "-c",
        "echo ready; read _",
        "secret",
    ];
    let mut run = cluster
        .redlock(job)
        .env("LOGNAME", "somebody")
        .start_ready();
    let values = cluster.values("lock:job");
    let text = String::from_utf8(values[0].clone().expect("held")).expect("text");
    assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
    let (token, json) = text.split_once(' ').expect("a blank behind the token");
    assert_eq!(token.len(), 32);
    let holder: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(holder["pid"], run.pid().as_raw());
    assert_eq!(holder["command"], "sh");
    assert_eq!(holder["note"], "deploying v42");
    assert!(
        !text.contains("secret"),
        "only the file name is stored: {text}"
    );
    run.write_line("");
    run.end().assert_code(0);

    let job = [
        "run",
        "-r",
        "job",
        "--no-command",
        "sh",
        "-c",
        "echo ready; read _",
    ];
    let mut run = cluster.redlock(job).start_ready();
    let value = cluster.values("lock:job")[0].clone().expect("held");
    assert!(!String::from_utf8_lossy(&value).contains("\"command\""));
    run.write_line("");
    run.end().assert_code(0);
}

#[test]
fn help_and_version_go_to_stdout() {
    let help = Redlock::new(["run", "--help"]).end();
    help.assert_code(0).assert_silent();
    assert!(
        help.stdout.contains("--ttl") && help.stdout.contains("75"),
        "{help:?}"
    );
    let version = Redlock::new(["--version"]).end();
    assert_eq!(
        version.assert_code(0).stdout,
        format!("redlock {}\n", env!("CARGO_PKG_VERSION"))
    );
}
