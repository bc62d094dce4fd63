//! How things are said: times, holders, what a node answered.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::clock;
use crate::lock::claim::{holder_of, marker_of};
use crate::lock::quorum::{Named, majority};
use crate::lock::{Failure, Holder};
use crate::node::{Answer, Extension, Foreign, MarkerKind, NodeError, NodeName, Vote};

/// What is said of a node that has not answered.
pub const NO_ANSWER: &str = "no answer yet";

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

/// `text` with stars where a URL in it says who is let in, and by which password: what somebody
/// typed in the wrong place is quoted by messages.
#[must_use]
pub fn without_passwords(text: &str) -> String {
    let words = text.split_inclusive(char::is_whitespace);
    let words = words.map(|word| match (word.find("://"), word.rfind('@')) {
        (Some(scheme), Some(host)) if scheme < host && !word.contains(":***@") => {
            Cow::Owned(format!("{}://***{}", &word[..scheme], &word[host..]))
        }
        _ => Cow::Borrowed(word),
    });
    words.collect()
}

/// `value` as JSON in one line in which everything is escaped that [`escape`] escapes.
#[must_use]
pub fn json_text(value: &Value) -> String {
    escape_json(&value.to_string())
}

/// The same in many lines, as people read it.
#[must_use]
pub fn json_page(value: &Value) -> String {
    escape_json(&format!("{value:#}"))
}

/// Such characters are only found in strings, where JSON has an escape for each; line feeds only
/// between them.
fn escape_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_control() && character != '\n' || reorders(character) {
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
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
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

/// Milliseconds with three digits behind the point: a round trip is often less than one.
pub(super) fn exact_ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1000.0
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

/// A holder as programs see it: what was not told is null.
#[must_use]
pub fn holder_json(holder: &Holder) -> Value {
    json!({
        "host": holder.host,
        "pid": holder.pid,
        "user": holder.user,
        "command": holder.command,
        "note": holder.note,
        "since": holder.since,
    })
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
pub(super) fn is_standing(by: &Foreign) -> String {
    let verb = match marker_of(&by.value) {
        Some(MarkerKind::Done) => "was",
        Some(MarkerKind::Kept) | None => "is",
    };
    format!("{verb} {}", standing(by))
}

/// The same of whoever was in the way of an attempt.
pub(super) fn in_the_way(failure: &Failure) -> String {
    let by = failure.holder();
    by.map_or_else(|| "is held by somebody".to_owned(), is_standing)
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
pub(super) fn age(since: &str) -> Option<Duration> {
    let since = humantime::parse_rfc3339(since)
        .ok()?
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    let now = Duration::from_millis(clock::unix_ms());
    now.checked_sub(since)
}

/// `host:port: answer, host:port: answer`, where an answer that counts is said by `text`.
pub(super) fn list<T>(answers: &Named<T>, text: fn(&T) -> String) -> String {
    let said = answers.iter();
    each(said.map(|(name, answer)| (name, answer_text(answer.as_ref(), text))))
}

pub(super) fn answer_text<T>(answer: Option<&Answer<T>>, text: impl Fn(&T) -> String) -> String {
    match answer {
        Some(Ok(answer)) => text(answer),
        Some(Err(error)) => error.to_string(),
        None => NO_ANSWER.to_owned(),
    }
}

/// What is said of each node.
pub(super) fn each<'a>(said: impl Iterator<Item = (&'a NodeName, String)>) -> String {
    let one = |(name, text)| format!("{name}: {text}");
    said.map(one).collect::<Vec<_>>().join(", ")
}

/// Too few of so many `nodes` answered to say anything for sure of `what`.
pub(super) fn without_quorum(what: &str, nodes: usize) -> String {
    let quorum = majority(nodes);
    format!("no quorum for {what} ({quorum} of {nodes} servers needed)")
}

/// What to do about nodes that turned us away, unless one says so itself: the embedded one does.
#[must_use]
pub fn about_refusals<T>(answers: &Named<T>) -> Option<&'static str> {
    let mut errors = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref()?.as_ref().err());
    (!errors.any(advises)).then_some("check user, password, ACL and certificates")
}

fn advises(error: &NodeError) -> bool {
    error.to_string().contains("--local=DIR")
}

pub(super) fn vote_text(vote: &Vote) -> String {
    match vote {
        Vote::Granted { .. } => "free".to_owned(),
        Vote::Taken { by, .. } => standing(by),
        Vote::Young { uptime, rest, .. } => format!(
            "restarted {} ago without its locks, perhaps; votes again in {}",
            short(*uptime),
            short(*rest)
        ),
        Vote::Twin { .. } => {
            "another name of a server that has been asked; give each server once".to_owned()
        }
    }
}

/// What a node answered to an extension.
#[must_use]
pub fn extension_text(extension: &Extension) -> String {
    match extension {
        Extension::Extended { .. } => "extended".to_owned(),
        Extension::Missing => "gone".to_owned(),
        Extension::Foreign(by) => standing(by),
    }
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
            vote_text(&vote),
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

    #[test]
    fn a_moment_in_our_future_is_no_age() {
        assert!(age("2001-01-01T00:00:00Z").is_some());
        assert_eq!(age("2999-01-01T00:00:00Z"), None);
    }

    #[test]
    fn programs_are_told_everything_of_a_holder() {
        let told = holder_json(&Holder {
            host: "web-2".to_owned(),
            pid: 4123,
            user: "root".to_owned(),
            command: None,
            note: Some("v42".to_owned()),
            since: "2001-01-01T00:00:00Z".to_owned(),
        });
        let expected = json!({
            "host": "web-2",
            "pid": 4123,
            "user": "root",
            "command": null,
            "note": "v42",
            "since": "2001-01-01T00:00:00Z",
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn who_is_turned_away_is_advised_unless_the_node_does_so_itself() {
        let refused = |said: &str| -> Named<Vote> {
            let error = NodeError::Refused(said.to_owned());
            vec![(NodeName("a".to_owned()), Some(Err(error)))]
        };
        assert!(about_refusals(&refused("NOPERM")).is_some());
        assert_eq!(
            about_refusals(&refused("permission denied; try --local=DIR")),
            None
        );
    }
}
