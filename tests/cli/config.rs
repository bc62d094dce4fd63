//! `redlock config`: what counts, where it comes from, and whether a file makes sense.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::Redlock;

const FILE: &str = r#"servers = ["redis://me:hunter2@a", "rediss://:hunter2@b:7", "redis+unix:///s?password=hunter2&db=1"]
node-timeout = "90ms"
[defaults]
ttl = "20s"
min-hold = "1m"
[resource."daily report"]
ttl = "10m"
wait = true
conflict-exit-code = 0
[resource."hourly-{date}-{hour}"]
once-per = "1h"
"#;

struct Host {
    directory: TempDir,
}

impl Host {
    fn with(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let host = Self { directory };
        fs::write(host.path(), text).expect("ours");
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(host.path(), mode).expect("ours");
        host
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("config.toml")
    }

    fn config(&self) -> Redlock {
        let path = self.path().display().to_string();
        Redlock::new(["config", "--config", path.as_str()])
    }

    /// What `redlock config` shows, without blanks between value and origin, and the file as FILE.
    #[track_caller]
    fn lines(&self, redlock: Redlock) -> Vec<String> {
        let end = redlock.end();
        end.assert_code(0).assert_silent();
        let text = end
            .stdout
            .replace(&self.path().display().to_string(), "FILE");
        let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().map(squeeze).collect()
    }
}

#[track_caller]
fn assert_has(lines: &[String], wanted: &str) {
    assert!(
        lines.iter().any(|line| line == wanted),
        "{wanted}: {lines:#?}"
    );
}

#[test]
fn every_value_is_shown_with_its_origin_and_no_password() {
    let host = Host::with(FILE);
    let redlock = host
        .config()
        .env("REDLOCK_TTL", "40s")
        .env("REDLOCK_WAIT", "1")
        .env("REDLOCK_QUIET", "1");
    let redlock = redlock.args(["--node-timeout".into(), "100ms".into()]);
    let lines = host.lines(redlock);
    for wanted in [
        "# FILE",
        "servers = [\"redis://me:***@a\", \"rediss://:***@b:7\", \"redis+unix:///s?password=***&db=1\"] # FILE:1",
        "node-timeout = \"100ms\" # --node-timeout",
        "quiet = true # REDLOCK_QUIET",
        "any-quorum = false # default",
        "[defaults]",
        "ttl = \"40s\" # REDLOCK_TTL",
        "min-hold = \"1m\" # FILE:5",
        "conflict-exit-code = 75 # default",
        "# kill-after = \"5s\" # default, 5s and a quarter of the TTL at most",
        "[resource.\"daily report\"]",
        // A number of seconds, as for the run: not for ever.
        "wait = \"1\" # REDLOCK_WAIT",
        "conflict-exit-code = 0 # FILE:9",
        "[resource.\"hourly-{date}-{hour}\"]",
        "once-per = \"1h\" # FILE:11",
    ] {
        assert_has(&lines, wanted);
    }
    assert!(!lines.concat().contains("hunter2"), "{lines:#?}");
    // The variable goes before the section as well.
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.starts_with("ttl = \"40s\""))
            .count(),
        2
    );
}

#[test]
fn what_is_shown_is_a_file_of_settings_that_means_the_same() {
    let first = Host::with(&FILE.replace("hunter2", "x"));
    let shown = first.config().end();
    shown.assert_code(0);
    let second = Host::with(&shown.stdout);
    let without_origin = |lines: Vec<String>| -> Vec<String> {
        let value = |line: String| line.split(" # ").next().map(ToOwned::to_owned);
        lines.into_iter().filter_map(value).skip(1).collect()
    };
    let (first, second) = (first.lines(first.config()), second.lines(second.config()));
    assert_eq!(without_origin(first), without_origin(second));
}

#[test]
fn a_file_is_checked_before_it_is_rolled_out() {
    for (text, said) in [
        (
            "local = '/d'\n[resource.a]\nttl = '1y'\n",
            "FILE:3: ttl: '1y' is too long",
        ),
        (
            "local = '/d'\n[resource.a]\nmin-hld = '1m'\n",
            "FILE:3: min-hld: unknown key; did you mean 'min-hold'?",
        ),
        (
            "local = '/d'\n[resource.a]\nttl = '4s'\nkill-after = '2s'\n",
            "FILE:4: kill-after: 2s is too long for a TTL of 4s",
        ),
        (
            "local = '/d'\n[resource.'a-{day}']\nttl = '4s'\n",
            "FILE:2: [resource.\"a-{day}\"]: {day} is unknown",
        ),
        (
            "local = '/d'\n[resource.'']\nttl = '4s'\n",
            "[resource.\"\"]: the name of a resource is empty",
        ),
        (
            "local = '/d'\n[resource.\"a\\tb\"]\nttl = '4s'\n",
            "contains the control character \\t",
        ),
        (
            "servers = ['redis://a', 'redis://b']\n",
            "FILE:1: servers: 2 servers",
        ),
        ("[defaults]\nttl = '4s'\n", "no servers"),
        (
            "local = '/d'\n[defaults]\nstatus-file = 'x/'\n",
            "FILE:3: status-file: '",
        ),
    ] {
        let host = Host::with(text);
        let end = host.config().end();
        let stderr = end
            .stderr
            .replace(&host.path().display().to_string(), "FILE");
        assert!(stderr.contains(said), "{said}: {stderr}");
        end.assert_code(78);
        assert_eq!(end.stdout, "");
    }
    let missing = Redlock::new(["config", "--config", "/no/such/file"]).end();
    missing.assert_code(78).assert_says(&["/no/such/file"]);
}

#[test]
fn without_a_file_it_says_so() {
    let end = Redlock::new(["config", "--local=/d"])
        .without_env("REDLOCK_CONFIG")
        .env("XDG_CONFIG_HOME", "/proc/nowhere")
        .end();
    end.assert_code(0);
    assert!(end.stdout.starts_with("# no file of settings\n") || end.stdout.starts_with("# /etc/"));
    assert!(end.stdout.contains("local = \"/d\" "), "{end:?}");
}

#[test]
fn of_servers_and_local_the_one_that_does_not_count_is_a_comment() {
    let host = Host::with("servers = ['redis://a', 'redis://b', 'redis://c']\n");
    let lines = host.lines(host.config().env("REDLOCK_LOCAL", "1"));
    for wanted in [
        "# servers = [\"redis://a\", \"redis://b\", \"redis://c\"] # FILE:1, further away than REDLOCK_LOCAL",
        "local = true # REDLOCK_LOCAL",
    ] {
        assert_has(&lines, wanted);
    }
    let host = Host::with("local = '/d'\n");
    let lines = host.lines(
        host.config()
            .env("REDLOCK_SERVERS", "redis://a,redis://b,redis://c"),
    );
    let wanted = "# local = \"/d\" # FILE:1, further away than REDLOCK_SERVERS";
    assert_has(&lines, wanted);
}

#[test]
fn certificates_that_are_missing_are_found_before_the_file_is_rolled_out() {
    let host = Host::with(
        "servers = ['rediss://a', 'rediss://b', 'rediss://c']\ntls-ca = '/nonexistent.pem'\n",
    );
    host.config()
        .end()
        .assert_code(78)
        .assert_says(&["tls-ca /nonexistent.pem"]);
}

#[test]
fn a_file_that_can_be_read_once_says_for_every_command_how_to_print_messages() {
    let config = "any-quorum = true\nservers = ['redis://127.0.0.1:1']\nlog-format = 'json'\n";
    let script = "config=$1; shift; printf %s \"$config\" | \"$0\" \"$@\" --config /dev/stdin";
    let token = ["--token", "0123456789abcdef0123456789abcdef"];
    for (command, rest) in [
        ("acquire", &["-r", "job"][..]),
        ("extend", &[&["-r", "job"], &token[..]].concat()),
        ("release", &[&["-r", "job"], &token[..]].concat()),
        ("list", &[]),
        ("history", &["job"]),
    ] {
        let line = [config, command].into_iter().chain(rest.iter().copied());
        let end = Redlock::under(&["sh", "-c", script], line).end();
        end.assert_code(69);
        assert!(end.stderr.starts_with('{'), "{command}: {end:?}");
    }
}
