//! The last runs of a resource, for people and for programs. Called by `commands::history`.

use serde_json::{Value, json};

use super::{escape, short};
use crate::lock::history::{Outcome, Run};
use std::time::Duration;

/// A table with one line for each run, the latest first; empty without any.
#[must_use]
pub fn table(runs: &[Run]) -> String {
    let head = ["STARTED", "HOST", "USER", "RAN", "ENDED", "FENCING TOKEN"].map(str::to_owned);
    let rows: Vec<[String; 6]> = runs.iter().map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let lines: Vec<[String; 6]> = [head].into_iter().chain(rows).collect();
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let text = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths);
        let padded: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    });
    text.collect()
}

fn row(run: &Run) -> [String; 6] {
    [
        escape(&run.started),
        escape(&run.host),
        escape(&run.user),
        short(Duration::from_millis(run.ran_ms)),
        escape(&ended(run)),
        run.fencing_token.to_string(),
    ]
}

fn ended(run: &Run) -> String {
    let command = match (run.exit_code, &run.signal) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("killed by {signal}"),
        (None, None) => "no exit code".to_owned(),
    };
    match run.outcome {
        Outcome::Ran => command,
        Outcome::TimedOut => format!("timed out, {command}"),
        Outcome::Lost => format!("lost the lock, {command}"),
        Outcome::NotStarted => format!("not started, {command}"),
        Outcome::Skipped | Outcome::Unavailable => run.outcome.name().to_owned(),
    }
}

/// The same as JSON; `resource` is the name that was asked for.
#[must_use]
pub fn json(resource: &str, runs: &[Run]) -> String {
    let entry = |run: &Run| {
        json!({
            "resource": resource,
            "host": run.host,
            "user": run.user,
            "started": run.started,
            "ran_ms": run.ran_ms,
            "outcome": run.outcome,
            "exit_code": run.exit_code,
            "signal": run.signal,
            "fencing_token": run.fencing_token,
        })
    };
    format!("{}\n", Value::Array(runs.iter().map(entry).collect()))
}
