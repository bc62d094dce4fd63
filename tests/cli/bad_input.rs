//! Bad input: each has its code and a message that helps, no key is left and no child started.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::faults::secret_file;
use crate::support::{Cluster, End, Redlock};

/// Three servers of which nobody will ever ask anything.
const SERVERS: &str = "redis://127.0.0.1:1 redis://127.0.0.1:2 redis://127.0.0.1:3";

fn run_with(arguments: &[&str]) -> End {
    let run = Redlock::new(["run"].iter().chain(arguments).copied());
    run.env("REDLOCK_SERVERS", SERVERS).end()
}

/// Fails unless the command line ends with `code` and one line that contains all of `parts`, and
/// nothing was started.
#[track_caller]
fn refused(arguments: &[&str], code: i32, parts: &[&str]) {
    let end = run_with(arguments);
    end.assert_code(code).assert_says(parts);
    assert_eq!(end.stdout, "", "{arguments:?} must not start anything");
}

#[test]
fn a_server_in_the_wrong_place_is_refused_without_its_password() {
    let url = "redis://me:hunter2@127.0.0.1:2";
    let server = ["--any-quorum", "--server", "redis://127.0.0.1:1"];
    for (words, part) in [
        (["run", url, "-r", "a"], "repeat --server for each"),
        (["run", "-r", "a", url], "repeat --server for each"),
        (["run", "-r", url, "true"], "repeat --server for each"),
        (["inspect", "a", url, "b"], "repeat --server for each"),
        (["acquire", "-r", "a", url], "unexpected argument"),
        (["list", "a", url, "b"], "unexpected argument"),
        (["run", "-r", "a", "-t=URL"], "--ttl"),
        (["run", "-r", "a", "-w=URL"], "--wait"),
        (["run", "-r", "a", "--node-timeout=URL"], "--node-timeout"),
        (["run", "-r", "a", "--on-lost=URL"], "--on-lost"),
        (["run", "-r", "a", "--no-such=URL"], "--no-such"),
        ([url, "run", "-r", "a"], "unrecognized subcommand"),
    ] {
        let words = words.map(|word| word.replace("URL", url));
        let words = words.iter().map(String::as_str).chain(server);
        let end = Redlock::new(words.chain(["--", "echo", "ran"])).end();
        end.assert_code(64).assert_says(&[part]);
        assert!(!end.stderr.contains("hunter2"), "{end:?}");
        assert_eq!(end.stdout, "");
    }
}

#[test]
fn without_servers_all_three_ways_to_name_them_are_told() {
    let end = Redlock::new(["run", "-r", "job", "echo", "never"]).end();
    end.assert_code(78)
        .assert_says(&["--server", "config", "--local"]);
    assert_eq!(end.stdout, "");
}

#[test]
fn a_number_of_servers_that_is_no_good_as_a_quorum_is_refused_with_the_reason() {
    let cluster = Cluster::start(4);
    let urls: Vec<String> = cluster
        .servers
        .iter()
        .map(super::support::server::Server::url)
        .collect();
    for count in [1, 2, 4] {
        let run = ["run", "-r", "job", "echo", "ran"];
        let some = urls[..count].join(" ");
        let end = Redlock::new(run).env("REDLOCK_SERVERS", &some).end();
        end.assert_code(78).assert_says(&[
            &format!("{count} server"),
            "use 3 or 5",
            "--any-quorum",
        ]);
        assert_eq!((end.stdout.as_str(), cluster.locks().len()), ("", 0));
        let run = ["run", "--any-quorum", "-r", "job", "echo", "ran"];
        let end = Redlock::new(run).env("REDLOCK_SERVERS", &some).end();
        assert_eq!(end.assert_code(0).stdout, "ran\n");
    }
}

#[test]
fn a_server_is_a_url_of_a_known_kind() {
    let run = |url: &str| {
        let servers = [url, "redis://127.0.0.1:2", "redis://127.0.0.1:3"].join(",");
        let run = Redlock::new(["run", "-r", "job", "echo", "never"]);
        let end = run.env("REDLOCK_SERVERS", servers).end();
        assert_eq!(end.code(), Some(78), "{url}: {end:?}");
        end.stderr
    };
    assert!(run("http://127.0.0.1:6379").contains("redis://"));
    assert!(run("redis://127.0.0.1:65536").contains("port"));
    assert!(run("redis://127.0.0.1:port").contains("port"));
    assert!(run("redis://").contains("host"));
    assert!(run("redis://127.0.0.1/first").contains("database"));
}

#[test]
fn a_ttl_is_a_duration_between_half_a_second_and_a_day() {
    for (ttl, part) in [
        ("0", "500ms"),
        ("0s", "500ms"),
        ("499ms", "500ms"),
        ("1year", "24h"),
        ("25h", "24h"),
        ("soon", "soon"),
        ("", "ttl"),
    ] {
        refused(
            &["-t", ttl, "-r", "job", "echo", "never"],
            64,
            &["--ttl", part],
        );
    }
    refused(
        &["--ttl=-5s", "-r", "job", "echo", "never"],
        64,
        &["--ttl", "-5s"],
    );
    // A number without a unit is seconds, as `timeout` reads it.
    let cluster = Cluster::start(3);
    assert_eq!(
        cluster
            .run("-t 10", "echo $REDLOCK_TTL_MS")
            .end()
            .assert_code(0)
            .stdout,
        "10000\n"
    );
}

#[test]
fn a_ttl_too_short_to_stop_the_job_in_time_is_refused() {
    refused(
        &["-t", "5s", "-k", "3s", "-r", "job", "echo", "never"],
        64,
        &["--kill-after", "5s"],
    );
}

#[test]
fn a_bare_wait_is_not_followed_by_the_command() {
    refused(
        &["-r", "job", "-w", "sleep", "5"],
        64,
        &["'sleep' is no duration", "-w -- sleep"],
    );
}

#[test]
fn a_resource_has_a_name_of_printable_characters() {
    refused(&["-r", "", "echo", "never"], 64, &["resource", "empty"]);
    refused(
        &["-r", &"x".repeat(513), "echo", "never"],
        64,
        &["513 bytes", "512"],
    );
    refused(
        &["-r", "a\u{7}b", "echo", "never"],
        64,
        &["control character"],
    );
    refused(&["echo", "never"], 64, &["-r"]);
    let longest = "ä".repeat(256);
    let cluster = Cluster::start(3);
    cluster
        .redlock(["run", "-r", &longest, "true"])
        .end()
        .assert_code(0);
}

#[test]
fn a_command_is_needed_and_flags_must_be_known() {
    refused(&["-r", "job"], 64, &["command", "--"]);
    refused(&["-r", "job", "--"], 64, &["command"]);
    refused(
        &["-r", "job", "--tll", "5s", "echo", "never"],
        64,
        &["--tll"],
    );
    refused(
        &["-r", "job", "--restart-guard", "maybe", "echo", "never"],
        64,
        &["maybe"],
    );
    refused(
        &["-r", "job", "--on-lost", "panic", "echo", "never"],
        64,
        &["panic"],
    );
    refused(&["-r", "job", "-s", "NOPE", "echo", "never"], 64, &["NOPE"]);
    Redlock::new(["walk"])
        .end()
        .assert_code(64)
        .assert_says(&["walk"]);
    Redlock::new([]).end().assert_code(64);
}

#[test]
fn a_conflict_exit_code_fits_into_a_byte() {
    for code in ["300", "256", "-1", "seven"] {
        let flag = format!("--conflict-exit-code={code}");
        refused(&[&flag, "-r", "job", "echo", "never"], 64, &[code, "255"]);
    }
}

#[test]
fn environment_variables_are_judged_like_flags() {
    for (name, value) in [
        ("REDLOCK_TTL", "soon"),
        ("REDLOCK_ANY_QUORUM", "yes please"),
        ("REDLOCK_LOG_FORMAT", "xml"),
        ("REDLOCK_NODE_TIMEOUT", "0"),
    ] {
        let run =
            Redlock::new(["run", "-r", "job", "echo", "never"]).env("REDLOCK_SERVERS", SERVERS);
        let end = run.env(name, value).end();
        end.assert_code(64).assert_says(&[name]);
        assert_eq!(end.stdout, "");
    }
}

#[test]
fn a_file_is_judged_line_by_line() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let servers =
        "servers = [\"redis://127.0.0.1:1\", \"redis://127.0.0.1:2\", \"redis://127.0.0.1:3\"]\n";
    for (text, parts) in [
        ("[defaults]\ntll = \"5s\"\n", ["3", "tll", "ttl"]),
        ("[defaults]\nttl = true\n", ["3", "ttl", "text in quotes"]),
        (
            "\n[resource.\"job\"]\nttl = \"soon\"\n",
            ["4", "ttl", "soon"],
        ),
        (
            "[defaults]\nany-quorum = \"maybe\"\n",
            ["3", "any-quorum", "true"],
        ),
        ("[nonsense]\n", ["2", "nonsense", ""]),
        ("ttl \"5s\"\n", ["2", "", ""]),
    ] {
        let path = directory.path().join("config.toml");
        fs::write(&path, format!("{servers}{text}")).expect("the directory is ours");
        let path = path.to_str().expect("a plain path");
        let end = Redlock::new(["run", "--config", path, "-r", "job", "echo", "never"]).end();
        let [line, key, help] = parts;
        end.assert_code(78)
            .assert_says(&[&format!("{path}:{line}"), key, help]);
        assert_eq!(end.stdout, "");
    }
    let missing = directory.path().join("missing.toml");
    let missing = missing.to_str().expect("a plain path");
    let end = Redlock::new(["run", "--config", missing, "-r", "job", "echo", "never"]).end();
    end.assert_code(78).assert_says(&[missing]);
}

#[test]
fn the_order_is_flag_environment_section_defaults() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(3);
    let text = "[defaults]\nttl = \"11s\"\n[resource.\"job\"]\nttl = \"12s\"\n";
    let path = secret_file(directory.path(), "config.toml", text);
    let ttl = |arguments: &[&str], variable: &str| {
        let rest = ["--", "sh", "-c", "echo $REDLOCK_TTL_MS"];
        let run = ["run"].iter().chain(arguments).chain(&rest).copied();
        let run = cluster
            .redlock(run)
            .env("REDLOCK_CONFIG", &path)
            .env("REDLOCK_TTL", variable);
        run.end().assert_code(0).stdout.trim().to_owned()
    };
    assert_eq!(ttl(&["-r", "job", "-t", "14s"], "13s"), "14000");
    assert_eq!(ttl(&["-r", "job"], "13s"), "13000");
    assert_eq!(ttl(&["-r", "job"], ""), "12000");
    assert_eq!(ttl(&["-r", "other"], ""), "11000");
    assert_eq!(ttl(&["-r", "job", "-r", "other"], ""), "11000");
}

#[test]
fn secrets_that_others_can_read_are_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let password = secret_file(directory.path(), "password", "open sesame");
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(&password, readable.clone()).expect("the file is ours");
    refused(
        &["--password-file", &password, "-r", "job", "echo", "never"],
        78,
        &[&password, "chmod"],
    );
    let missing = format!("{password}.missing");
    refused(
        &["--password-file", &missing, "-r", "job", "echo", "never"],
        78,
        &[&missing],
    );

    let text = "servers = [\"redis://:open%20sesame@127.0.0.1:1\"]\nany-quorum = true\n";
    let config = secret_file(directory.path(), "config.toml", text);
    fs::set_permissions(&config, readable).expect("the file is ours");
    let end = Redlock::new(["run", "--config", &config, "-r", "job", "echo", "never"]).end();
    end.assert_code(78)
        .assert_says(&[&config, "chmod", "defaultMode: 0400"]);
    assert!(!end.stderr.contains("sesame"), "{end:?}");
}
