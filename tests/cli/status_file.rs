//! `--status-file`: the exact answer where an exit code is ambiguous, in every outcome.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::proxy::{self, Fate};
use crate::support::{BadNode, Cluster, Place, Redlock, json};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

/// A directory with a status file that is not there yet.
struct Status {
    directory: TempDir,
}

impl Status {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("status.json")
    }

    /// Runs `run` to its end, and answers what it left, which is one file with one line.
    #[track_caller]
    fn after(&self, run: Redlock, code: i32) -> Value {
        run.env("REDLOCK_STATUS_FILE", self.path())
            .end()
            .assert_code(code);
        self.read()
    }

    fn read(&self) -> Value {
        let text = fs::read_to_string(self.path()).expect("it was written");
        assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
        let names: Vec<_> = fs::read_dir(&self.directory).expect("ours").collect();
        assert_eq!(names.len(), 1, "nothing else is left: {names:?}");
        serde_json::from_str(&text).expect("JSON")
    }
}

#[test]
fn every_field_of_a_run_is_there() {
    for place in Place::each() {
        let status = Status::new();
        let run = ["run", "-r", "b", "-r", "a", "sh", "-c", "sleep 0.2; exit 7"];
        let told = status.after(place.redlock(run), 7);
        let fields: Vec<&String> = told.as_object().expect("an object").keys().collect();
        let mut wanted = vec![
            "resource",
            "resources",
            "outcome",
            "exit_code",
            "child",
            "fencing_token",
            "waited_ms",
            "ran_ms",
            "released",
            "holder",
            "nodes",
        ];
        wanted.sort_unstable();
        assert_eq!(fields, wanted);
        assert_eq!(told["resource"], "b\na");
        assert_eq!(told["resources"], json!(["b", "a"]));
        assert_eq!(told["outcome"], "ran");
        assert_eq!(told["exit_code"], 7);
        assert_eq!(told["child"], json!({"code": 7}));
        assert!(told["fencing_token"].as_u64() > Some(1_600_000_000_000));
        assert!(told["waited_ms"].as_u64() < Some(2_000));
        assert!(told["ran_ms"].as_u64() >= Some(200), "{told}");
        assert_eq!(told["released"], true);
        assert_eq!(told["holder"], Value::Null);
        for node in most_nodes(&told, "free") {
            assert!(
                node["node"].is_string() && node["error"].is_null(),
                "{told}"
            );
        }
    }
}

/// The nodes of a status file in this state: most of them, since a quorum of answers is enough, and
/// the others are not waited for.
#[track_caller]
fn most_nodes<'a>(told: &'a Value, state: &str) -> Vec<&'a Value> {
    let nodes = told["nodes"].as_array().expect("an array");
    let found: Vec<&Value> = nodes.iter().filter(|node| node["state"] == state).collect();
    assert!(found.len() > nodes.len() / 2, "{told}");
    found
}

#[test]
fn a_skip_names_the_holder_and_a_death_the_signal() {
    for place in Place::each() {
        let status = Status::new();
        let told = status.after(place.run("--min-hold 1h", "true"), 0);
        most_nodes(&told, "kept");
        let told = status.after(place.run("-E 0", "true"), 0);
        assert_eq!(told["outcome"], "skipped");
        assert_eq!(told["exit_code"], 0);
        assert_eq!(told["holder"]["command"], "sh");
        assert!(told["holder"].get("note").is_some_and(Value::is_null));
        for node in most_nodes(&told, "kept") {
            assert!(node["ttl_ms"].as_u64() > Some(3_500_000), "{told}");
        }
        for nothing in ["child", "fencing_token", "ran_ms", "released"] {
            assert_eq!(told[nothing], Value::Null, "{nothing}");
        }
        let dying = ["run", "-r", "other", "sh", "-c", "kill -KILL $$"];
        let end = place
            .redlock(dying)
            .env("REDLOCK_STATUS_FILE", status.path())
            .end();
        assert_eq!(end.signal(), Some(Signal::SIGKILL));
        let told = status.read();
        assert_eq!(told["child"], json!({"signal": "KILL"}));
        assert_eq!(
            (&told["outcome"], &told["exit_code"]),
            (&json!("ran"), &json!(137))
        );
    }
}

#[test]
fn an_outage_is_told_node_by_node() {
    let (first, second) = (BadNode::refusing(), BadNode::refusing());
    let cluster = Cluster::start(1);
    let urls = format!("{},{},{}", cluster.urls(), first.url, second.url);
    let status = Status::new();
    let run = Redlock::new(["run", "-r", "job", "true"]).env("REDLOCK_SERVERS", urls);
    let told = status.after(run, 69);
    assert_eq!(told["outcome"], "unavailable");
    assert_eq!(told["nodes"][0]["state"], "free");
    assert_eq!(told["nodes"][1]["node"], first.name());
    assert_eq!(told["nodes"][1]["state"], "unreachable");
    assert_eq!(told["nodes"][1]["error"], "connection refused");
    assert!(told["waited_ms"].as_u64() > Some(300), "{told}");
}

#[test]
fn what_was_not_started_timed_out_or_was_lost_is_told_apart() {
    for place in Place::each() {
        let status = Status::new();
        let missing = place.redlock(["run", "-r", "job", "no-such-thing"]);
        let told = status.after(missing, 127);
        assert_eq!(told["outcome"], "not_started");
        assert_eq!(
            (&told["exit_code"], &told["released"]),
            (&json!(127), &json!(true))
        );
        assert_eq!(told["child"], Value::Null);
        let told = status.after(place.run("--max-runtime 100ms", "sleep 60"), 124);
        assert_eq!(told["outcome"], "timed_out");
        assert_eq!(told["child"], json!({"signal": "TERM"}));
    }
    let cluster = Cluster::start(3);
    let status = Status::new();
    let job = [
        "run",
        "-t",
        "1s",
        "-r",
        "job",
        "sh",
        "-c",
        "echo ready; sleep 60",
    ];
    let run = cluster
        .redlock(job)
        .env("REDLOCK_STATUS_FILE", status.path())
        .start_ready();
    for server in &cluster.servers {
        let _: () = server.ask(&["SET", "lock:job", "another"]);
    }
    run.end().assert_code(76);
    let told = status.read();
    assert_eq!(
        (&told["outcome"], &told["exit_code"]),
        (&json!("lost"), &json!(76))
    );
    assert_eq!(told["released"], false, "{told}");
    most_nodes(&told, "not_ours");
}

#[test]
fn a_signal_before_there_is_a_command_is_told_as_well() {
    let cluster = Cluster::start(3);
    let status = Status::new();
    let holder = ["run", "-r", "job", "sh", "-c", "echo ready; read _"];
    let _holder = cluster.redlock(holder).start_ready();
    let waiter = cluster
        .redlock(["run", "-r", "job", "-w", "--", "true"])
        .env("REDLOCK_STATUS_FILE", status.path())
        .start();
    std::thread::sleep(Duration::from_millis(300));
    waiter.signal(Signal::SIGTERM);
    assert_eq!(waiter.end().signal(), Some(Signal::SIGTERM));
    let told = status.read();
    assert_eq!(told["outcome"], "not_started");
    assert_eq!(told["exit_code"], 143);
    assert!(told["waited_ms"].as_u64() > Some(200), "{told}");
    assert_eq!(told["holder"]["command"], "sh", "{told}");
    assert_eq!(told["nodes"].as_array().map(Vec::len), Some(3), "{told}");
}

#[test]
fn the_file_is_replaced_in_one_step_and_readable_as_the_umask_says() {
    let place = &Place::each()[1];
    let status = Status::new();
    fs::write(status.path(), "old").expect("ours");
    let mut old = fs::File::open(status.path()).expect("ours");
    status.after(place.run("", "true"), 0);
    // Who had opened the old file still reads all of it.
    let mut text = String::new();
    std::io::Read::read_to_string(&mut old, &mut text).expect("ours");
    assert_eq!(text, "old");
    fs::remove_file(status.path()).expect("ours");
    let script = "umask 027; exec \"$@\"";
    let run = Redlock::under(&["sh", "-c", script, "sh"], ["run", "-r", "job", "true"]);
    let Place::Local(directory) = place else {
        unreachable!("the second is local");
    };
    status.after(run.env("REDLOCK_LOCAL", directory.path()), 0);
    assert_eq!(mode(&status.path()), 0o640);
    // A link stays a link, and a pipe or a device is written to.
    let link = status.directory.path().join("link");
    std::os::unix::fs::symlink(status.path(), &link).expect("ours");
    let options = format!("--status-file {}", link.display());
    place.run(&options, "exit 3").end().assert_code(3);
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    fs::remove_file(&link).expect("ours");
    assert_eq!(status.read()["exit_code"], 3);
    let end = place.run("--status-file /dev/stderr", "true").end();
    end.assert_code(0);
    assert!(end.stderr.starts_with("{\"child\""), "{end:?}");
}

#[test]
fn who_may_read_the_files_stays_as_somebody_has_set_it() {
    let place = &Place::each()[1];
    let directory = tempfile::tempdir().expect("a temporary directory");
    let [status, metrics] = ["status.json", "redlock.prom"].map(|name| directory.path().join(name));
    let options = format!(
        "--status-file {} --metrics-file {}",
        status.display(),
        metrics.display()
    );
    for modes in [[0o600, 0o660], [0o440, 0o604]] {
        for (path, mode) in [&status, &metrics].into_iter().zip(modes) {
            fs::write(path, "").expect("ours");
            chown(path, None, Some(65_534)).expect("root may");
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
        }
        place.run(&options, "true").end().assert_code(0);
        assert_eq!([mode(&status), mode(&metrics)], modes);
        let group = |path: &Path| fs::metadata(path).expect("there").gid();
        assert_eq!([group(&status), group(&metrics)], [65_534; 2]);
        for path in [&status, &metrics] {
            assert!(!fs::read(path).expect("ours").is_empty());
            fs::remove_file(path).expect("ours");
        }
    }
}

#[test]
fn a_file_that_cannot_be_written_is_told_and_changes_nothing() {
    let place = &Place::each()[1];
    let end = place
        .run("--status-file /no/such/place/status.json", "exit 5")
        .end();
    end.assert_code(5)
        .assert_says(&["cannot write /no/such/place/status.json", "no such file"]);
    let end = place.run("--status-file /tmp/", "echo never").end();
    end.assert_code(64)
        .assert_says(&["--status-file: '/tmp/' names no file"]);
}

#[test]
fn a_status_file_tells_of_a_node_that_is_a_little_slower() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    let directory = tempfile::tempdir().expect("it is there");
    let path = directory.path().join("status");
    let mut run = Redlock::new([
        "run",
        "-r",
        "job",
        "--node-timeout",
        "5s",
        "sh",
        "-c",
        "echo ready; read _",
    ])
    .env("REDLOCK_SERVERS", urls)
    .env("REDLOCK_STATUS_FILE", &path)
    .start();
    run.wait_for("ready");
    thread::sleep(Duration::from_millis(500));
    proxies[0].set_replies(Fate::Delay(Duration::from_millis(150)));
    proxies[1].set_replies(Fate::Delay(Duration::from_millis(150)));
    proxies[2].set_replies(Fate::Delay(Duration::from_millis(250)));
    run.write_line("");
    run.end().assert_code(0);
    let told: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(path).expect("it is there")).expect("it is there");
    assert_eq!(told["nodes"][2]["state"], "free", "{told}");
}

#[test]
fn what_a_server_said_has_one_word_in_the_status_file_and_of_acquire() {
    let cluster = Cluster::start(3);
    let (proxies, urls) = proxy::before_each(&cluster);
    // Another program is on the first, the second is quick, and the third may be too late.
    cluster.servers[0].ask::<()>(&["SET", "lock:job", "x", "EX", "1000"]);
    proxies[1].set_replies(Fate::Delay(Duration::from_millis(100)));
    proxies[2].set_replies(Fate::Delay(Duration::from_millis(100)));
    let said = |told: &Value| -> Vec<String> {
        let nodes = told["nodes"].as_array().expect("an array");
        let answered = nodes.iter().filter(|node| node["error"].is_null());
        let words = answered.map(|node| node["state"].as_str().expect("a word").to_owned());
        words.collect()
    };
    let words = |words: &'static str| {
        let run = Redlock::new(words.split(' ')).env("REDLOCK_SERVERS", &urls);
        run.env("REDLOCK_NODE_TIMEOUT", "5s")
    };
    let status = Status::new();
    let told = status.after(words("run -r job true"), 0);
    assert_eq!(said(&told), ["not_ours", "free", "free"], "{told}");
    let end = words("acquire --json -r job").end();
    let told = json(&end.assert_code(0).stdout);
    assert_eq!(said(&told), ["other", "held", "held"], "{told}");
    // Of those who did not answer only the third was not needed.
    cluster.servers.iter().for_each(|server| {
        server.ask::<()>(&["FLUSHALL"]);
    });
    proxies[2].set_replies(Fate::Delay(Duration::from_secs(4)));
    let end = words("acquire --json -r job").end();
    let told = json(&end.assert_code(0).stdout);
    assert_eq!(said(&told), ["held", "held", "unanswered"], "{told}");
    let told = status.after(words("run -r other true"), 0);
    assert_eq!(said(&told), ["free", "free", "unanswered"], "{told}");
}

#[test]
fn a_run_that_was_refused_does_not_leave_the_account_of_the_one_before() {
    let status = Status::new();
    let job = ["run", "--local=/proc/nowhere", "-r", "job", "true"];
    for (arguments, code) in [
        (&["--ttl", "1y"][..], 64),
        (&["--server", "redis://a"], 64),
        (&["--config", "/no/such/file"], 78),
        (&["-r", "{nothing}"], 64),
        (&["-r", "job", "--tll", "5m"], 64),
    ] {
        fs::write(status.path(), "old").expect("ours");
        let [run, rest @ ..] = job;
        let line = [run].into_iter().chain(arguments.iter().copied());
        let told = status.after(Redlock::new(line.chain(rest)), code);
        assert_eq!(told["outcome"], "not_started", "{told}");
        assert_eq!(told["exit_code"], code, "{told}");
        assert_eq!(told["resource"], "job", "{told}");
    }
    // Nor does one whose servers are not so many as it says.
    let cluster = Cluster::start(2);
    let _: () = cluster.servers[1].ask(&["SET", "lock:job", "another's"]);
    let socket = cluster.servers[0].socket();
    let twice = format!("{},redis+unix://{}", cluster.urls(), socket.display());
    fs::write(status.path(), "old").expect("ours");
    let run = Redlock::new(["run", "-r", "job", "true"]).env("REDLOCK_SERVERS", twice);
    let told = status.after(run, 78);
    assert_eq!(told["outcome"], "not_started", "{told}");
    // Nor does one that had no room to begin.
    fs::write(status.path(), "old").expect("ours");
    let limited = ["sh", "-c", "ulimit -n 5; exec \"$0\" \"$@\""];
    let told = status.after(Redlock::under(&limited, job), 71);
    assert_eq!(told["outcome"], "not_started", "{told}");
}

#[test]
fn a_log_that_is_named_by_a_descriptor_is_written_to_and_not_replaced() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = directory.path().join("log");
    let link = directory.path().join("link");
    symlink("/dev/stdout", &link).expect("ours");
    let link = link.to_str().expect("a plain path");
    for (status, redirected) in [
        ("/dev/stdout", "1>"),
        ("/dev/stdout", "1>>"),
        ("/proc/self/fd/1", "1>"),
        ("/dev/fd/3", "3>"),
        ("/dev/stderr", "2>"),
        (link, "1>"),
    ] {
        fs::write(&log, "").expect("ours");
        let script = format!(
            "exec {redirected}\"$1\"
             echo before >&{number}
             \"$0\" run --local=\"$1.locks\" -r job --status-file {status} \
                 --metrics-file {status} sh -c 'echo ran >&{number}'
             echo after >&{number}",
            number = &redirected[..1],
        );
        let path = log.to_str().expect("a plain path");
        let end = Redlock::under(&["sh", "-c", &script], [path]).end();
        assert_eq!((&*end.stdout, &*end.stderr), ("", ""), "{status}");
        let text = fs::read_to_string(&log).expect("it is still there");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[1]), ("before", "ran"), "{status}: {text}");
        assert!(
            serde_json::from_str::<Value>(lines[2]).is_ok(),
            "{status}: {text}"
        );
        assert!(lines[3].starts_with("# HELP redlock_"), "{status}: {text}");
        assert_eq!(lines.last(), Some(&"after"), "{status}: {text}");
    }
}

#[test]
fn a_descriptor_of_another_process_is_written_to_and_a_pipe_that_nobody_empties_is_given_up() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = "\"$0\" run --local=\"$1\" -r job --status-file /proc/$$/fd/1 true | cat";
    let local = directory.path().to_str().expect("a plain path");
    let end = Redlock::under(&["sh", "-c", script], [local]).end();
    end.assert_silent();
    assert!(end.stdout.starts_with("{\""), "{end:?}");
    // Many resources make more text than a pipe takes whose reader sleeps.
    let script = "{ \"$0\" run --local=\"$1\" $(printf -- '-r job%d ' $(seq 99)) \
                  --metrics-file /dev/stdout true; echo $? >&2; } | { read _; sleep 3; }";
    let end = Redlock::under(&["sh", "-c", script], [local]).end();
    assert!(
        end.stderr.contains("/dev/stdout: nobody reads it\n0\n"),
        "{end:?}"
    );
}

#[test]
fn a_limit_on_the_size_of_files_kills_neither_us_nor_the_job() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(3);
    let status = directory.path().join("status");
    let status = status.to_str().expect("a plain path");
    let limited = ["sh", "-c", "ulimit -f 0; exec \"$0\" \"$@\""];
    let line = ["run", "-r", "job", "--status-file", status, "true"];
    let end = Redlock::under(&limited, line)
        .env("REDLOCK_SERVERS", cluster.urls())
        .end();
    let told = format!("cannot write {status}: file too large");
    end.assert_code(0).assert_says(&[&told]);
    assert_eq!(cluster.locks(), [""; 0]);
    assert_eq!(fs::read_dir(directory.path()).expect("ours").count(), 0);
}

#[test]
fn a_link_that_somebody_else_has_planted_is_not_followed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").expect("ours");
    let shared = directory.path().join("shared");
    fs::create_dir(&shared).expect("ours");
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).expect("ours");
    let link = shared.join("status.json");
    symlink(&victim, &link).expect("ours");
    let run = |option: &str| {
        let words = [
            "run",
            "-r",
            "job",
            option,
            link.to_str().expect("a plain path"),
            "true",
        ];
        Redlock::new(words)
            .env("REDLOCK_LOCAL", directory.path().join("locks"))
            .end()
    };
    lchown(&link, Some(65_534), None).expect("root may");
    for option in ["--status-file", "--metrics-file"] {
        let end = run(option);
        end.assert_code(0)
            .assert_says(&["cannot write", "somebody else has put"]);
        assert_eq!(
            fs::read_to_string(&victim).expect("it is there"),
            "precious"
        );
    }
    // Our own is followed, and that of whose the directory is.
    for (of_directory, of_link) in [(0, 0), (65_534, 0), (65_534, 65_534)] {
        fs::write(&victim, "old").expect("ours");
        chown(&shared, Some(of_directory), None).expect("root may");
        lchown(&link, Some(of_link), None).expect("root may");
        run("--status-file").assert_code(0).assert_silent();
        let text = fs::read_to_string(&victim).expect("it is there");
        assert!(text.starts_with('{'), "{of_directory} {of_link}: {text}");
    }
}
