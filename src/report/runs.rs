//! The last runs of a resource, for people and for programs. Called by `commands`.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::table::{self, Cell, Column, Fit, Paper, Side, Tint};
use super::words::{age, json_text, short};
use crate::lock::history::{self, PastRun, RunOutcome};

const COLUMNS: [Column; 6] = [
    Column::new("STARTED", Fit::Whole, Side::Left),
    Column::new("HOST", Fit::Shorten(8), Side::Left),
    Column::new("USER", Fit::Shorten(6), Side::Left),
    Column::new("RAN", Fit::Whole, Side::Right),
    Column::new("ENDED", Fit::Shorten(10), Side::Left),
    Column::new("FENCING TOKEN", Fit::Whole, Side::Right),
];

/// Writes a table with one line for each run, the latest first; nothing without any.
///
/// # Errors
///
/// If `out` cannot be written to.
pub fn write(out: &mut impl Write, paper: Paper, runs: &[PastRun]) -> io::Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    table::write(out, paper, 0, &COLUMNS, || runs.iter().map(row))
}

fn row(run: &PastRun) -> Vec<Cell> {
    let tint = match (run.outcome, run.exit_code) {
        (RunOutcome::Ran, Some(0)) => Tint::Plain,
        _ => Tint::Bad,
    };
    vec![
        Cell::plain(&run.started),
        Cell::plain(&run.host),
        Cell::plain(&run.user),
        Cell::plain(&short(Duration::from_millis(run.ran_ms))),
        Cell::new(&ended(run), tint),
        Cell::plain(&run.fencing_token.to_string()),
    ]
}

/// The last run in a line, and what `runs` say about the TTL of a lock that nobody extends.
#[must_use]
pub fn fields(runs: &[PastRun], by_hand: Option<Duration>) -> Vec<(&'static str, String)> {
    let last = runs.first().map(|run| {
        let ago = age(&run.started).map_or_else(String::new, |age| format!("{} ago ", short(age)));
        let took = short(Duration::from_millis(run.ran_ms));
        (
            "last run",
            format!("{ago}on {}, {took}, {}", run.host, ended(run)),
        )
    });
    let short_ttl = by_hand.and_then(|ttl| {
        let (usual, enough) = history::too_long_for(ttl, runs)?;
        let text = format!(
            "nobody extends this lock, and its {} are less than twice the {} that a run usually \
             takes: redlock extend -t {}",
            short(ttl),
            short(usual),
            short(enough)
        );
        Some(("too short", text))
    });
    last.into_iter().chain(short_ttl).collect()
}

fn ended(run: &PastRun) -> String {
    let command = match (run.exit_code, &run.signal) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("killed by {signal}"),
        (None, None) => "no exit code".to_owned(),
    };
    match run.outcome {
        RunOutcome::Ran => command,
        RunOutcome::TimedOut => format!("timed out, {command}"),
        RunOutcome::Lost => format!("lost the lock, {command}"),
        RunOutcome::NotStarted => format!("not started, {command}"),
        RunOutcome::Skipped | RunOutcome::Unavailable => run.outcome.name().to_owned(),
    }
}

/// The same as JSON; `resource` is the name that was asked for.
#[must_use]
pub fn json(resource: &str, runs: &[PastRun]) -> String {
    let entry = |run: &PastRun| {
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
    let runs = Value::Array(runs.iter().map(entry).collect());
    format!("{}\n", json_text(&runs))
}
