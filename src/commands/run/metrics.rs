//! `--metrics-file`: gauges of the last run, in Prometheus' text format, for the textfile collector
//! of `node_exporter`. A skip is a run as well, so the last success of each resource is
//! carried over from the file that was there.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::account::Account;
use crate::clock;
use crate::lock::history::RunOutcome;

/// When the command last ended with 0; the one gauge that only a success changes.
const LAST_SUCCESS: &str = "redlock_last_success_timestamp_seconds";

/// The whole file about `resources`, in whose names a `{date}` is not filled in, so that no series
/// ends with the day. `before` is the file that is replaced.
pub fn text(resources: &[String], account: &Account, exit_code: u8, before: &str) -> String {
    let end = clock::wall();
    let mut text = String::new();
    let gauges = [
        (
            "redlock_last_run_start_timestamp_seconds",
            "When redlock was last started, in seconds since 1970.",
            seconds(since_1970(account.began_at)),
        ),
        (
            "redlock_last_run_end_timestamp_seconds",
            "When it ended, in seconds since 1970.",
            seconds(since_1970(end)),
        ),
        (
            "redlock_last_run_duration_seconds",
            "How long the command ran; 0 if it was not started.",
            seconds(account.ran),
        ),
        (
            "redlock_last_run_waited_seconds",
            "How long it took until the lock was acquired, or given up.",
            seconds(account.waited),
        ),
        (
            "redlock_last_run_exit_code",
            "The exit code of redlock.",
            exit_code.to_string(),
        ),
        (
            "redlock_last_run_extensions",
            "How often the lock was extended while the command ran.",
            account.extensions.to_string(),
        ),
    ];
    for (name, help, value) in &gauges {
        head(&mut text, name, help);
        for resource in resources {
            line(&mut text, name, &[("resource", resource)], value);
        }
    }
    outcomes(&mut text, resources, account.outcome);
    last_success(&mut text, resources, account, end, before);
    text
}

fn outcomes(text: &mut String, resources: &[String], outcome: RunOutcome) {
    let name = "redlock_last_run_outcome";
    head(text, name, "How it ended: 1 for the outcome that it was.");
    for resource in resources {
        for each in RunOutcome::ALL {
            let labels = [("resource", resource.as_str()), ("outcome", each.name())];
            let value = if each == outcome { "1" } else { "0" };
            line(text, name, &labels, value);
        }
    }
}

fn last_success(
    text: &mut String,
    resources: &[String],
    account: &Account,
    end: SystemTime,
    before: &str,
) {
    head(
        text,
        LAST_SUCCESS,
        "When the command last ended with 0 on this host, in seconds since 1970; 0 if never.",
    );
    for resource in resources {
        let mut series = String::new();
        name_and_labels(&mut series, LAST_SUCCESS, &[("resource", resource)]);
        let value = if account.succeeded() {
            seconds(since_1970(end))
        } else {
            carried_over(before, &series)
        };
        let labels = [("resource", resource.as_str())];
        line(text, LAST_SUCCESS, &labels, &value);
    }
}

/// The value of a series as it was written, to the letter: read as a number and written again it
/// would lose a bit each time.
fn carried_over(before: &str, series: &str) -> String {
    let value = before.lines().find_map(|line| line.strip_prefix(series));
    let value = value.map(str::trim).filter(|value| {
        let number = value.parse::<f64>().ok();
        number.is_some_and(|number| number.is_finite() && number >= 0.0)
    });
    value.unwrap_or("0").to_owned()
}

fn head(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
}

fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: &str) {
    name_and_labels(text, name, labels);
    let _ = writeln!(text, " {value}");
}

fn name_and_labels(text: &mut String, name: &str, labels: &[(&str, &str)]) {
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}=\"{}\"", escape(value)))
        .collect();
    let _ = write!(text, "{name}{{{}}}", labels.join(","));
}

/// A label's value as the format wants it.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn seconds(duration: Duration) -> String {
    format!("{}.{:03}", duration.as_secs(), duration.subsec_millis())
}
