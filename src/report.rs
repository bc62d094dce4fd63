//! What happened, as one line for a person or one line of JSON.
//!
//! Everything that redlock itself says goes through here to stderr. What other hosts or servers
//! wrote is escaped, so that it cannot touch a terminal; no text in here ever contains a password,
//! since nothing that could is handed in. Called by `commands`.

pub mod doctor;
pub mod hand;
pub mod live;
pub mod lock_view;
pub mod runs;
pub mod table;

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use serde_json::{Map, Value};

use crate::clock;
use crate::lock::claim::{holder_of, marker_of};
use crate::lock::quorum::{Verdict, majority};
use crate::lock::{Failure, Held, Letting, Loss};
use crate::node::{Answer, Extension, Foreign, MarkerKind, NodeError, NodeName, Release, Vote};
use crate::settings::{LogFormat, Output, Verbosity};

/// Who wants to read a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Everybody: something went wrong.
    Error,
    /// Somebody who sits at a terminal; a mail from cron is not worth it.
    Notice,
    /// Somebody who asked with `-v`.
    Detail,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    level: Level,
    event: &'static str,
    message: String,
    fields: Map<String, Value>,
}

impl Line {
    /// An event by the name that JSON shows, in words without a full stop.
    #[must_use]
    pub fn new(level: Level, event: &'static str, message: impl Into<String>) -> Self {
        Self {
            level,
            event,
            message: message.into(),
            fields: Map::new(),
        }
    }

    /// Adds a field that only JSON shows.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// The words, without the program's name.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Writes lines to stderr, each as soon as it is told.
#[derive(Clone, Copy, Debug)]
pub struct Reporter {
    output: Output,
    terminal: Terminal,
}

/// Whether somebody may be watching stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terminal {
    Yes,
    No,
}

impl Reporter {
    /// A reporter in the manner the user chose.
    #[must_use]
    pub fn new(output: Output) -> Self {
        let terminal = if std::io::stderr().is_terminal() {
            Terminal::Yes
        } else {
            Terminal::No
        };
        Self { output, terminal }
    }

    /// Whether somebody at a terminal wants to see how long it takes. With `-v` everything is told
    /// as it happens.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        let is_plain = self.output.verbosity == Verbosity::Normal;
        is_plain && self.output.format == LogFormat::Text && self.terminal == Terminal::Yes
    }

    /// Tells `line`, if somebody wants to read it. An stderr that is closed or full is no reason to
    /// end a job: errors of writing are ignored.
    pub fn tell(&self, line: &Line) {
        let wanted = match (line.level, self.output.verbosity) {
            (Level::Error, _) | (_, Verbosity::Verbose) => true,
            (Level::Notice, Verbosity::Normal) => self.terminal == Terminal::Yes,
            (Level::Notice | Level::Detail, _) => false,
        };
        if !wanted {
            return;
        }
        let text = match self.output.format {
            LogFormat::Text => format!("redlock: {}\n", escape(&line.message)),
            LogFormat::Json => format!("{}\n", json_text(&json(line))),
        };
        // One write, so that lines of several processes do not mix.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

fn json(line: &Line) -> Value {
    let level = match line.level {
        Level::Error => "error",
        Level::Notice => "notice",
        Level::Detail => "detail",
    };
    let mut object = Map::new();
    object.insert("time".to_owned(), rfc3339(SystemTime::now()).into());
    object.insert("level".to_owned(), level.into());
    object.insert("event".to_owned(), line.event.into());
    object.insert("message".to_owned(), escape(&line.message).into());
    object.extend(line.fields.clone());
    Value::Object(object)
}

/// An instant of the wall clock, in UTC and whole milliseconds.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// `text` with everything escaped that could move a cursor, change a colour or reorder what is
/// read.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || reorders(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// `value` as JSON in which everything is escaped that [`escape`] escapes: such characters are only
/// found in its strings, where JSON has an escape for each.
#[must_use]
pub fn json_text(value: &Value) -> String {
    let json = value.to_string();
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_control() || reorders(character) {
            let _ = write!(text, "\\u{:04x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}

/// Marks that make a terminal show text in another order than it is written, and invisible ones.
fn reorders(character: char) -> bool {
    matches!(character,
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}')
}

/// A duration as people say it, the two largest units: `450ms`, `9.8s`, `3m12s`, `2d4h`.
#[must_use]
pub fn short(duration: Duration) -> String {
    let (ms, seconds) = (duration.as_millis(), duration.as_secs());
    match seconds {
        0 => format!("{ms}ms"),
        1..=9 if ms % 1000 >= 100 => format!("{seconds}.{}s", ms % 1000 / 100),
        1..=59 => format!("{seconds}s"),
        60..=3_599 => two(seconds / 60, 'm', seconds % 60, 's'),
        3_600..=86_399 => two(seconds / 3_600, 'h', seconds % 3_600 / 60, 'm'),
        _ => two(seconds / 86_400, 'd', seconds % 86_400 / 3_600, 'h'),
    }
}

fn two(large: u64, large_unit: char, small: u64, small_unit: char) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

/// Who has a key, as a message names them: `web-2 (pid 4123, backup.sh) for 3m12s`.
#[must_use]
pub fn holder(by: &Foreign) -> String {
    let Some(holder) = holder_of(&by.value) else {
        return nameless(by);
    };
    let mut inside = format!("pid {}", holder.pid);
    let parts = [&holder.command, &holder.note].into_iter().flatten();
    for part in parts.filter(|part| !part.is_empty()) {
        let _ = write!(inside, ", {part}");
    }
    let mut text = format!("{} ({inside})", holder.host);
    if let Some(age) = age(&holder.since) {
        let _ = write!(text, " for {}", short(age));
    }
    text
}

/// Why a key is not to be had, as messages say it: `held by web-2 (pid 4123, backup.sh) for 3m12s`,
/// `kept by web-2 after its run, free in 41s`, `done by web-2 2m ago, next run possible in 57m`.
#[must_use]
pub fn standing(by: &Foreign) -> String {
    let Some((kind, holder)) = marker_of(&by.value).zip(holder_of(&by.value)) else {
        return format!("held by {}", self::holder(by));
    };
    let rest = by
        .ttl
        .map_or_else(|| "never".to_owned(), |ttl| format!("in {}", short(ttl)));
    match kind {
        MarkerKind::Kept => format!("kept by {} after its run, free {rest}", holder.host),
        MarkerKind::Done => {
            let ago =
                age(&holder.since).map_or_else(String::new, |age| format!(" {} ago", short(age)));
            format!("done by {}{ago}, next run possible {rest}", holder.host)
        }
    }
}

/// The same after the name of the resource: `is held by …`, `was done by …`.
fn is_standing(by: &Foreign) -> String {
    let verb = match marker_of(&by.value) {
        Some(MarkerKind::Done) => "was",
        Some(MarkerKind::Kept) | None => "is",
    };
    format!("{verb} {}", standing(by))
}

/// A value that no redlock wrote: a holder without a name.
fn nameless(by: &Foreign) -> String {
    let rest = match by.ttl {
        Some(ttl) => format!("expires in {}", short(ttl)),
        None => "never expires".to_owned(),
    };
    format!("another program ({}, {rest})", by.kind)
}

/// How long ago that was by our wall clock; nothing if it is in our future.
fn age(since: &str) -> Option<Duration> {
    let since = humantime::parse_rfc3339(since)
        .ok()?
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    let now = Duration::from_millis(clock::unix_ms());
    now.checked_sub(since)
}

/// The lock is ours.
#[must_use]
pub fn acquired<N>(names: &str, held: &Held<N>, took: Duration) -> Line {
    let (fence, valid) = (held.fencing_token, held.valid_until.remaining());
    let message = format!(
        "acquired {names} in {}ms, fencing token {fence}, valid for {}",
        took.as_millis(),
        short(valid)
    );
    Line::new(Level::Detail, "acquired", message)
        .with("resource", names)
        .with("fencing_token", fence.0)
        .with(
            "valid_ms",
            u64::try_from(valid.as_millis()).unwrap_or(u64::MAX),
        )
}

/// A round of extension reached no quorum; the lock is still ours.
#[must_use]
pub fn not_extended(names: &str, answers: &[(NodeName, Option<Answer<Extension>>)]) -> Line {
    let answers = list(answers, extension_text);
    let message = format!("{names} was extended on no quorum of servers ({answers}); trying again");
    Line::new(Level::Detail, "not_extended", message).with("resource", names)
}

/// Somebody else has the lock, and we do not wait for it, or not any longer.
#[must_use]
pub fn skipped(names: &str, failure: &Failure, waited: Option<Duration>) -> Line {
    let by = failure
        .holder()
        .map_or_else(|| "is held by somebody".to_owned(), is_standing);
    let end = match waited {
        Some(waited) => format!("gave up after {}", short(waited)),
        None => "skipped".to_owned(),
    };
    let line = Line::new(Level::Notice, "skipped", format!("{names} {by}; {end}"));
    with_holder(line.with("resource", names), failure.holder())
}

/// The lock is held by the very run that this one is part of.
#[must_use]
pub fn nested(names: &str) -> Line {
    let message = format!(
        "{names} is held by the redlock around this command; a nested run needs a name of its own"
    );
    Line::new(Level::Error, "nested", message).with("resource", names)
}

/// An attempt did not get the lock and is followed by another.
#[must_use]
pub fn trying_again(names: &str, failure: &Failure) -> Line {
    let message = match &failure.verdict {
        Verdict::Held(by) => format!("{names} {}; waiting", is_standing(by)),
        Verdict::ColdStart => {
            format!(
                "{names}: all servers restarted, a cold start: {}",
                votes(failure)
            )
        }
        _ => format!("{}; trying again", outcome(names, failure)),
    };
    Line::new(Level::Detail, "waiting", message).with("resource", names)
}

/// What is waited for, and for how long already: the live line.
#[must_use]
pub fn still_waiting(names: &str, failure: &Failure, waited: Duration) -> String {
    let waited = short(waited);
    match &failure.verdict {
        Verdict::Held(by) => format!("waiting for {waited}: {names} {}", is_standing(by)),
        _ => format!("waiting for {waited}: {}", outcome(names, failure)),
    }
}

/// No quorum, for whatever reason but a holder: every node's answer, and what to do.
#[must_use]
pub fn not_acquired(names: &str, failure: &Failure) -> Line {
    let advice = match &failure.verdict {
        Verdict::Refused => "; check user, password and ACL. The command was not started",
        Verdict::SameServer(..) => "; give each server once. The command was not started",
        _ => "; the command was not started",
    };
    let event = match &failure.verdict {
        Verdict::Refused => "refused",
        Verdict::Split => "split",
        Verdict::Young | Verdict::ColdStart => "restarted",
        _ => "unavailable",
    };
    let message = format!("{}{advice}", outcome(names, failure));
    let line = Line::new(Level::Error, event, message).with("resource", names);
    let nodes = failure
        .votes
        .iter()
        .map(|(name, vote)| (name.0.clone(), vote_text(vote.as_ref()).into()));
    line.with("nodes", Value::Object(nodes.collect()))
}

fn outcome(names: &str, failure: &Failure) -> String {
    let nodes = failure.votes.len();
    let quorum = majority(nodes);
    let answers = votes(failure);
    match (&failure.verdict, failure.invalid) {
        (_, Some(invalid)) => format!("{names} was {invalid}: {answers}"),
        (Verdict::Refused, _) => {
            format!(
                "no quorum for {names} ({quorum} of {nodes} servers needed), and asking again is no use: {answers}"
            )
        }
        (Verdict::SameServer(first, second), _) => {
            let name = |index: &usize| &failure.votes[*index].0;
            format!("{} and {} are the same server", name(first), name(second))
        }
        (Verdict::Split, _) => {
            format!("no {quorum} of {nodes} servers agree on who holds {names}: {answers}")
        }
        _ => format!("no quorum for {names} ({quorum} of {nodes} servers needed): {answers}"),
    }
}

fn votes(failure: &Failure) -> String {
    list(&failure.votes, vote_text)
}

/// The lock was lost while the command ran.
#[must_use]
pub fn lost(names: &str, loss: &Loss, what_now: &str) -> Line {
    let mut message = format!("lost {names}: {}", loss.why);
    if !loss.answers.is_empty() {
        let _ = write!(message, " ({})", list(&loss.answers, extension_text));
    }
    let _ = write!(message, "; {what_now}");
    Line::new(Level::Error, "lost", message).with("resource", names)
}

/// The command is over, but no quorum of nodes confirmed the release.
#[must_use]
pub fn not_released(names: &str, nodes: &[NodeName], letting: &Letting, rest: Duration) -> Line {
    let answers: Vec<_> = nodes
        .iter()
        .cloned()
        .zip(letting.answers.iter().cloned())
        .collect();
    let answers = list(&answers, release_text);
    let until = rfc3339(SystemTime::now() + rest);
    let message = format!(
        "{names} was not released on a quorum of servers ({answers}); others may stay locked out until {until}"
    );
    Line::new(Level::Error, "not_released", message).with("resource", names)
}

/// A file that was asked for could not be written: which, and why.
#[must_use]
pub fn not_written(what: impl Into<String>) -> Line {
    Line::new(Level::Error, "not_written", what)
}

/// No quorum of nodes told of the last runs.
#[must_use]
pub fn no_history(name: &str, answers: &[(NodeName, Answer<Vec<String>>)], needed: usize) -> Line {
    let text = |answer: &Answer<Vec<String>>| match answer {
        Ok(_) => "answered".to_owned(),
        Err(error) => error_text(error),
    };
    let told: Vec<String> = answers
        .iter()
        .map(|(node, answer)| format!("{node}: {}", text(answer)))
        .collect();
    let message = format!(
        "no quorum for the history of {name} ({needed} of {} servers needed): {}",
        answers.len(),
        told.join(", ")
    );
    Line::new(Level::Error, "unavailable", message).with("resource", name)
}

/// The command ran for as long as it may, and is stopped.
#[must_use]
pub fn timed_out(names: &str, limit: Duration, signal: Signal) -> Line {
    let message = format!(
        "{names} ran for {} (--max-runtime); stopping the command with {signal}",
        short(limit)
    );
    Line::new(Level::Error, "timed_out", message).with("resource", names)
}

/// The command succeeded, but too few nodes know that it shall not run again in this period.
#[must_use]
pub fn not_marked_done(names: &str, nodes: &[NodeName], letting: &Letting) -> Line {
    let answers: Vec<_> = nodes
        .iter()
        .cloned()
        .zip(letting.answers.iter().cloned())
        .collect();
    let answers = list(&answers, release_text);
    let message = format!(
        "{names} is done, but that was noted on no quorum of servers ({answers}); it may run again in this period"
    );
    Line::new(Level::Error, "not_marked_done", message).with("resource", names)
}

/// The lock was gone before it was given back, without having been reported lost.
#[must_use]
pub fn gone_before_release(names: &str) -> Line {
    let message = format!(
        "{names} was not there any more when the command ended; somebody may have run beside it"
    );
    Line::new(Level::Error, "gone", message).with("resource", names)
}

fn with_holder(line: Line, by: Option<&Foreign>) -> Line {
    let state = by.map(|by| match marker_of(&by.value) {
        None => "held",
        Some(MarkerKind::Kept) => "kept",
        Some(MarkerKind::Done) => "done",
    });
    let rest = by.and_then(|by| by.ttl);
    let rest_ms = rest.map(|rest| u64::try_from(rest.as_millis()).unwrap_or(u64::MAX));
    let line = line.with("state", state).with("ttl_ms", rest_ms);
    let holder = by.and_then(|by| holder_of(&by.value));
    line.with(
        "holder",
        serde_json::to_value(holder).unwrap_or(Value::Null),
    )
}

/// `host:port: answer, host:port: answer`.
fn list<T>(
    answers: &[(NodeName, Option<Answer<T>>)],
    text: fn(Option<&Answer<T>>) -> String,
) -> String {
    let one = |(name, answer): &(NodeName, Option<Answer<T>>)| {
        format!("{name}: {}", text(answer.as_ref()))
    };
    answers.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn vote_text(vote: Option<&Answer<Vote>>) -> String {
    match vote {
        Some(Ok(Vote::Granted { .. })) => "free".to_owned(),
        Some(Ok(Vote::Taken { by, .. })) => standing(by),
        Some(Ok(Vote::Young { uptime, rest, .. })) => format!(
            "restarted {} ago without its locks, perhaps; votes again in {}",
            short(*uptime),
            short(*rest)
        ),
        Some(Err(error)) => error_text(error),
        None => "no answer yet".to_owned(),
    }
}

fn extension_text(extension: Option<&Answer<Extension>>) -> String {
    match extension {
        Some(Ok(Extension::Extended)) => "extended".to_owned(),
        Some(Ok(Extension::Missing)) => "gone".to_owned(),
        Some(Ok(Extension::Foreign(by))) => standing(by),
        Some(Err(error)) => error_text(error),
        None => "no answer yet".to_owned(),
    }
}

fn release_text(release: Option<&Answer<Release>>) -> String {
    match release {
        Some(Ok(Release::Released)) => "released".to_owned(),
        Some(Ok(Release::NotOurs)) => "nothing to release".to_owned(),
        Some(Err(error)) => error_text(error),
        None => "no answer yet".to_owned(),
    }
}

fn error_text(error: &NodeError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_in_their_two_largest_units() {
        let said = |ms| short(Duration::from_millis(ms));
        assert_eq!(said(450), "450ms");
        assert_eq!(said(9_800), "9.8s");
        assert_eq!(said(2_000), "2s");
        assert_eq!(said(192_000), "3m12s");
        assert_eq!(said(600_000), "10m");
        assert_eq!(said(187_200_000), "2d4h");
    }

    #[test]
    fn what_others_wrote_cannot_move_the_cursor_or_reorder_the_line() {
        assert_eq!(
            escape("a\u{1b}[31mb\nc\u{202e}d é"),
            "a\\u{1b}[31mb\\nc\\u{202e}d é"
        );
    }

    #[test]
    fn a_server_that_restarted_is_named_with_the_time_when_it_votes_again() {
        let vote = Vote::Young {
            uptime: Duration::from_secs(12),
            rest: Duration::from_secs(49),
            run_id: None,
        };
        assert_eq!(
            vote_text(Some(&Ok(vote))),
            "restarted 12s ago without its locks, perhaps; votes again in 49s"
        );
    }

    #[test]
    fn a_holder_is_named_and_another_program_is_described() {
        let value = br#"0123456789abcdef0123456789abcdef {"host":"web-2","pid":4123,"user":"root","command":"backup.sh","since":"2001-01-01T00:00:00Z"}"#;
        let mut by = Foreign {
            key: "lock:a".to_owned(),
            value: value.to_vec(),
            digest: String::new(),
            kind: "string".to_owned(),
            ttl: Some(Duration::from_millis(9_800)),
        };
        assert!(
            holder(&by).starts_with("web-2 (pid 4123, backup.sh) for "),
            "{}",
            holder(&by)
        );
        let mut standing_of = |state: u8| {
            by.value[32] = state;
            standing(&by)
        };
        assert!(standing_of(b' ').starts_with("held by web-2 (pid 4123, "));
        assert_eq!(
            standing_of(b'~'),
            "kept by web-2 after its run, free in 9.8s"
        );
        let done = standing_of(b'!');
        assert!(done.starts_with("done by web-2 "), "{done}");
        assert!(done.ends_with(" ago, next run possible in 9.8s"), "{done}");
        by.value = vec![0xff; 20];
        assert_eq!(holder(&by), "another program (string, expires in 9.8s)");
    }
}
