//! `--metrics-file`: gauges that Prometheus reads.

use std::collections::BTreeMap;
use std::fs;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use redlock::clock;
use tempfile::TempDir;

use crate::support::{Nobody, Place, Redlock};

/// Every series of a file, judged by the letter of the text format.
type Series = BTreeMap<String, f64>;

struct Metrics {
    directory: TempDir,
}

impl Metrics {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("job.prom")
    }

    #[track_caller]
    fn after(&self, run: Redlock, code: i32) -> Series {
        run.env("REDLOCK_METRICS_FILE", self.path())
            .end()
            .assert_code(code)
            .assert_silent();
        let text = fs::read_to_string(self.path()).expect("it was written");
        promtool(&text);
        parse(&text)
    }
}

/// Debian's `promtool`, where it is installed, has the last word.
fn promtool(text: &str) {
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else {
        return;
    };
    let mut stdin = tool.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("it reads");
    drop(stdin);
    let end = tool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    assert!(end.status.success() && said.is_empty(), "{said}\n{text}");
}

/// A parser of its own, stricter than most: each metric is described before its series, once, and
/// its series stand together.
fn parse(text: &str) -> Series {
    let mut series = Series::new();
    let mut described: Vec<String> = Vec::new();
    let mut lines = text.lines();
    assert!(text.ends_with('\n'));
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a help text");
            assert!(!help.is_empty() && !described.iter().any(|other| other == name));
            assert!(
                name.bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
            );
            assert_eq!(lines.next(), Some(format!("# TYPE {name} gauge").as_str()));
            described.push(name.to_owned());
            continue;
        }
        let (name_and_labels, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = name_and_labels.split_once('{').expect("labels");
        assert_eq!(Some(name), described.last().map(String::as_str), "{line}");
        let mut rest = labels.strip_suffix('}').expect("a closing brace");
        while !rest.is_empty() {
            let (label, after) = rest.split_once("=\"").expect("a label");
            assert!(label.bytes().all(|b| b.is_ascii_lowercase()), "{line}");
            let mut end = None;
            let mut escaped = false;
            for (at, byte) in after.bytes().enumerate() {
                match byte {
                    _ if escaped => {
                        assert!(b"\\\"n".contains(&byte), "{line}");
                        escaped = false;
                    }
                    b'\\' => escaped = true,
                    b'"' => {
                        end = Some(at);
                        break;
                    }
                    _ => {}
                }
            }
            rest = &after[end.expect("a closing quote") + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        let value: f64 = value.parse().expect("a number");
        assert!(value.is_finite());
        let known = series.insert(name_and_labels.to_owned(), value);
        assert_eq!(known, None, "{line} is there twice");
    }
    series
}

#[track_caller]
fn gauge(series: &Series, name: &str) -> f64 {
    let name = format!("redlock_{name}{{resource=\"job\"}}");
    *series
        .get(&name)
        .unwrap_or_else(|| panic!("no {name}: {series:?}"))
}

fn outcome(series: &Series) -> Vec<&str> {
    let ones = series.iter().filter(|(name, value)| {
        name.starts_with("redlock_last_run_outcome{resource=\"job\"") && **value > 0.5
    });
    ones.map(|(name, _)| name.split('"').nth(3).expect("an outcome"))
        .collect()
}

fn now() -> f64 {
    let since = clock::wall().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs_f64()
}

#[test]
fn the_gauges_of_a_run_are_right() {
    for place in Place::each() {
        let metrics = Metrics::new();
        let before = now();
        let series = metrics.after(place.run("-t 600ms", "sleep 1; exit 0"), 0);
        let (start, end) = (
            gauge(&series, "last_run_start_timestamp_seconds"),
            gauge(&series, "last_run_end_timestamp_seconds"),
        );
        assert!(before - 0.002 <= start && start + 1.0 <= end && end <= now() + 0.002);
        let ran = gauge(&series, "last_run_duration_seconds");
        assert!((1.0..3.0).contains(&ran), "{ran}");
        assert!(gauge(&series, "last_run_waited_seconds") < 1.0);
        assert!(gauge(&series, "last_run_extensions") >= 3.0);
        assert!(gauge(&series, "last_run_exit_code").abs() < 0.5);
        assert_eq!(outcome(&series), ["ran"]);
        assert!((gauge(&series, "last_success_timestamp_seconds") - end).abs() < 0.01);
    }
}

#[test]
fn a_failure_or_a_skip_does_not_forget_the_last_success() {
    let place = &Place::each()[1];
    let metrics = Metrics::new();
    let series = metrics.after(place.run("", "exit 4"), 4);
    assert!(gauge(&series, "last_success_timestamp_seconds").abs() < 0.5);
    let success = metrics.after(place.run("--min-hold 1h", "true"), 0);
    let skip = metrics.after(place.run("", "true"), 75);
    assert_eq!(outcome(&skip), ["skipped"]);
    assert!((gauge(&skip, "last_run_exit_code") - 75.0).abs() < 0.5);
    let last = |series| gauge(series, "last_success_timestamp_seconds");
    assert_eq!(last(&skip).to_bits(), last(&success).to_bits());
    assert!(last(&skip) > now() - 60.0);
}

#[test]
fn a_last_success_that_cannot_be_read_is_not_told_as_none() {
    let metrics = Metrics::new();
    chown(metrics.directory.path(), Some(65_534), None).expect("we are root");
    fs::write(metrics.path(), "root's alone").expect("we are root");
    fs::set_permissions(metrics.path(), Permissions::from_mode(0o600)).expect("we are root");
    let nobody = Nobody::new();
    let locks = metrics.directory.path().join("locks");
    let end = |job: &'static str| {
        let run = nobody.redlock("", ["run", "-r", "job", "--", "sh", "-c", job]);
        run.env("REDLOCK_LOCAL", &locks)
            .env("REDLOCK_METRICS_FILE", metrics.path())
            .end()
    };
    let told = "it cannot be read, and tells of the last success: permission denied";
    end("exit 4").assert_code(4).assert_says(&[told]);
    let text = || fs::read_to_string(metrics.path()).expect("we are root");
    assert_eq!(text(), "root's alone");
    // A success needs nothing of it.
    end("exit 0").assert_code(0).assert_silent();
    let series = parse(&text());
    assert!(gauge(&series, "last_success_timestamp_seconds") > now() - 60.0);
}

#[test]
fn a_name_with_the_time_in_it_is_one_series_and_its_last_success_is_not_forgotten() {
    let place = &Place::each()[1];
    let metrics = Metrics::new();
    let last = "redlock_last_success_timestamp_seconds{resource=\"job-{minute}\"}";
    let run = |command| place.redlock(["run", "-r", "job-{minute}", command]);
    let success = metrics.after(run("true"), 0);
    // In the same minute or in the next: nobody could tell.
    let failure = metrics.after(run("false"), 1);
    assert!(success[last] > 1.0, "{success:?}");
    assert_eq!(failure[last].to_bits(), success[last].to_bits());
}

#[test]
fn a_run_that_is_refused_for_its_settings_has_the_series_of_names_that_make_sense() {
    let place = &Place::each()[1];
    let metrics = Metrics::new();
    let code = "redlock_last_run_exit_code{resource=\"job-{date}\"}";
    for name in ["job-{date}", "job-{nonsense}"] {
        let run = ["run", "-t", "bad", "-r", name, "true"];
        let run = place
            .redlock(run)
            .env("REDLOCK_METRICS_FILE", metrics.path());
        run.end().assert_code(64);
        let text = fs::read_to_string(metrics.path()).expect("it was written");
        assert_eq!(text.contains(code), name == "job-{date}", "{text}");
        assert!(!text.contains("nonsense"), "{text}");
    }
}

#[test]
fn names_are_escaped_and_each_resource_has_its_own_series() {
    let place = &Place::each()[1];
    let metrics = Metrics::new();
    let odd = "a\"b\\c\u{e4}";
    let run = ["run", "-r", odd, "-r", "job", "--once-per", "1h", "true"];
    let series = metrics.after(place.redlock(run), 0);
    let name = "redlock_last_run_exit_code{resource=\"a\\\"b\\\\c\u{e4}\"}";
    assert!(series.contains_key(name), "{series:?}");
    gauge(&series, "last_run_exit_code");
    let skip = metrics.after(place.redlock(run), 75);
    let success = "redlock_last_success_timestamp_seconds{resource=\"a\\\"b\\\\c\u{e4}\"}";
    assert!(skip[success] > 1.0, "carried over under its escaped name");
    let bad = place.run("--metrics-file /", "true").end();
    bad.assert_code(64)
        .assert_says(&["--metrics-file: '/' names no file"]);
}
