//! The lines of `redlock run`, and of who waits for a lock.

use std::fmt::Write as _;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::names::Names;
use super::words::{
    about_refusals, answer_text, each, extension_text, holder_json, in_the_way, is_standing, list,
    short, vote_text, without_quorum,
};
use super::{Level, Line};
use crate::clock::{self, whole_ms};
use crate::lock::claim::{holder_of, marker_of};
use crate::lock::quorum::{Named, Verdict, majority};
use crate::lock::{Failure, Held, Letting, Loss};
use crate::node::{Answer, Extension, Foreign, MarkerKind, NodeName, Release, Vote};

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
        .with("valid_ms", whole_ms(valid))
}

/// A server that restarts may vote before the lock that it has forgotten would be over.
#[must_use]
pub fn longer_than_window(names: &str, ttl: Duration, window: Duration) -> Line {
    let (ttl, window) = (short(ttl), short(window));
    let message = format!(
        "the TTL of {names}, {ttl}, is longer than the restart window, {window}: after a restart a server may grant it to a run with a shorter TTL too soon; see --restart-window"
    );
    Line::new(Level::Detail, "restart_window", message).with("resource", names)
}

/// A round of extension reached no quorum; the lock is still ours.
#[must_use]
pub fn not_extended(names: &str, answers: &Named<Extension>) -> Line {
    let answers = list(answers, extension_text);
    let message = format!("{names} was extended on no quorum of servers ({answers}); trying again");
    Line::new(Level::Detail, "not_extended", message).with("resource", names)
}

/// Somebody else has the lock, and we do not wait for it, or not any longer.
#[must_use]
pub fn skipped(names: &Names, failure: &Failure, waited: Option<Duration>) -> Line {
    let name = names.of(failure.holder());
    let by = in_the_way(failure);
    let end = match waited {
        Some(waited) => format!("gave up after {}", short(waited)),
        None => "skipped".to_owned(),
    };
    let line = Line::new(Level::Notice, "skipped", format!("{name} {by}; {end}"));
    with_holder(line.with("resource", names.all()), failure.holder())
}

/// The lock is held by the very run that this one is part of.
#[must_use]
pub fn nested(names: &Names, failure: &Failure) -> Line {
    let name = names.of(failure.holder());
    let message = format!(
        "{name} is held by the redlock around this command, or by whoever else set its REDLOCK_TOKEN; what runs inside needs a name of its own"
    );
    Line::new(Level::Error, "nested", message).with("resource", names.all())
}

/// An attempt did not get the lock and is followed by another.
#[must_use]
pub fn trying_again(wanted: &Names, failure: &Failure) -> Line {
    let names = wanted.all();
    let message = match &failure.verdict {
        Verdict::Taken(by) => format!("{} {}; waiting", wanted.of(Some(by)), is_standing(by)),
        Verdict::ColdStart => {
            format!(
                "{names}: all servers restarted not long ago, perhaps a cold start: {}",
                votes(failure)
            )
        }
        _ => format!("{}; trying again", outcome(names, failure)),
    };
    Line::new(Level::Detail, "waiting", message).with("resource", names)
}

/// What is waited for, and for how long already: the live line.
#[must_use]
pub fn still_waiting(names: &Names, failure: &Failure, waited: Duration) -> String {
    let waited = short(waited);
    match &failure.verdict {
        Verdict::Taken(by) => {
            let name = names.of(Some(by));
            format!("waiting for {waited}: {name} {}", is_standing(by))
        }
        _ => format!("waiting for {waited}: {}", outcome(names.all(), failure)),
    }
}

/// No quorum, for whatever reason but a holder: every node's answer, and what to do.
#[must_use]
pub fn not_acquired(names: &str, failure: &Failure) -> Line {
    match advice(failure) {
        Some(advice) => {
            let end = format!("{advice}. The command was not started");
            no_lock(names, failure, Some(&end))
        }
        None => no_lock(names, failure, Some("the command was not started")),
    }
}

/// What to do about it, if the answers leave that open.
pub(super) fn advice(failure: &Failure) -> Option<&'static str> {
    match &failure.verdict {
        Verdict::Refused => about_refusals(&failure.votes),
        Verdict::SameServer(..) => Some("give each server once"),
        _ => None,
    }
}

/// Every node's answer, and then `end`.
pub(super) fn no_lock(names: &str, failure: &Failure, end: Option<&str>) -> Line {
    let event = match &failure.verdict {
        Verdict::Refused => "refused",
        Verdict::Split => "split",
        Verdict::Young | Verdict::ColdStart => "restarted",
        _ => "unavailable",
    };
    let mut message = outcome(names, failure);
    if let Some(end) = end {
        let _ = write!(message, "; {end}");
    }
    let line = Line::new(Level::Error, event, message).with("resource", names);
    let nodes = failure
        .votes
        .iter()
        .map(|(name, vote)| (name.0.clone(), answer_text(vote.as_ref(), vote_text).into()));
    line.with("nodes", Value::Object(nodes.collect()))
}

fn outcome(names: &str, failure: &Failure) -> String {
    let nodes = failure.votes.len();
    let quorum = majority(nodes);
    let answers = votes(failure);
    match (&failure.verdict, failure.invalid) {
        (_, Some(invalid)) => format!("{names} was {invalid}: {answers}"),
        (Verdict::Refused, _) => {
            let quorum = without_quorum(names, nodes);
            format!("{quorum}, and asking again is no use: {answers}")
        }
        (Verdict::SameServer(first, second), _) => {
            let name = |index: &usize| &failure.votes[*index].0;
            format!("{} and {} are the same server", name(first), name(second))
        }
        (Verdict::Split, _) => {
            format!("no {quorum} of {nodes} servers agree on who holds {names}: {answers}")
        }
        (Verdict::Young, _) if !failure.votes.iter().any(is_young) => {
            format!(
                "no lock on {names}: when all servers have restarted, each must grant it: {answers}"
            )
        }
        _ => format!("{}: {answers}", without_quorum(names, nodes)),
    }
}

fn is_young((_, vote): &(NodeName, Option<Answer<Vote>>)) -> bool {
    matches!(vote, Some(Ok(Vote::Young { .. })))
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
    let answers = releases(nodes, letting, None);
    let until = clock::rfc3339(clock::wall() + rest);
    let message = format!(
        "{names} was not released on a quorum of servers ({answers}); others may stay locked out until {until}"
    );
    Line::new(Level::Error, "not_released", message).with("resource", names)
}

/// The command is over, but no quorum of nodes confirmed that the lock stays for a while, nor that
/// it was released; on the others it is as it was for `rest`.
#[must_use]
pub fn not_kept(names: &str, nodes: &[NodeName], letting: &Letting, rest: Duration) -> Line {
    let answers = releases(nodes, letting, Some(MarkerKind::Kept));
    let until = clock::rfc3339(clock::wall() + rest);
    let message = format!(
        "{names} was not kept on a quorum of servers ({answers}); it may be free before --min-hold is over, or stay taken until {until}"
    );
    Line::new(Level::Error, "not_kept", message).with("resource", names)
}

/// What each node answered to a release that was to leave `marker`.
fn releases(nodes: &[NodeName], letting: &Letting, marker: Option<MarkerKind>) -> String {
    let text = |release: &Release| match release {
        Release::Released { .. } => marker.map_or("released", MarkerKind::name).to_owned(),
        Release::NotOurs => "nothing to release".to_owned(),
    };
    let answers = nodes.iter().zip(&letting.answers);
    each(answers.map(|(name, answer)| (name, answer_text(answer.as_ref(), text))))
}

/// A file that was asked for could not be written: which, and why.
#[must_use]
pub fn not_written(what: impl Into<String>) -> Line {
    Line::new(Level::Error, "not_written", what)
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

/// The command was to be signalled, and may not be.
#[must_use]
pub fn out_of_reach(names: &str) -> Line {
    let message = format!(
        "{names}: the command runs as another user and cannot be signalled or stopped from here; run \
         redlock as that user, as in sudo redlock run"
    );
    Line::new(Level::Error, "out_of_reach", message).with("resource", names)
}

/// The command succeeded, but too few nodes are known to know that it shall not run again in this
/// period; on the others it is as it was for `rest`.
#[must_use]
pub fn not_marked_done(names: &str, nodes: &[NodeName], letting: &Letting, rest: Duration) -> Line {
    let answers = releases(nodes, letting, Some(MarkerKind::Done));
    let until = clock::rfc3339(clock::wall() + rest);
    let message = format!(
        "{names} is done, but that was noted on no quorum of servers ({answers}); it may run again in this period, or stay locked until {until}"
    );
    Line::new(Level::Error, "not_marked_done", message).with("resource", names)
}

/// The same for now: it is tried again for as long as the lock is valid, for `rest`.
#[must_use]
pub fn not_marked_done_yet(
    names: &str,
    nodes: &[NodeName],
    letting: &Letting,
    rest: Duration,
) -> Line {
    let answers = releases(nodes, letting, Some(MarkerKind::Done));
    let message = format!(
        "{names} is done, but that is noted on no quorum of servers yet ({answers}); trying again for {} at most, or until a signal comes",
        short(rest)
    );
    Line::new(Level::Warning, "not_marked_done_yet", message).with("resource", names)
}

/// The lock was gone before it was given back, without having been reported lost, and before
/// `marker` could be left in its place.
#[must_use]
pub fn gone_before_release(names: &str, marker: Option<MarkerKind>) -> Line {
    let also = without_marker(marker, ", and ");
    let message = format!(
        "no majority of servers had the lock of {names} any more when the command ended; somebody may have run beside it{also}"
    );
    Line::new(Level::Error, "gone", message).with("resource", names)
}

/// The lock is gone, and it is not known whether it was before it was given back, since connections
/// broke meanwhile.
#[must_use]
pub fn perhaps_released(names: &str) -> Line {
    let message = format!(
        "connections to servers broke while {names} was given back; it is free now, and only if they \
         had lost it before, as by a restart, somebody may have run beside it"
    );
    Line::new(Level::Warning, "perhaps_released", message).with("resource", names)
}

/// The command ended while the lock was valid, but redlock was stopped and could not give it back,
/// or leave `marker` in its place, before it expired.
#[must_use]
pub fn expired_before_release(names: &str, marker: Option<MarkerKind>) -> Line {
    let also = without_marker(marker, ", but ");
    let message = format!(
        "{names} had expired before it could be given back, since redlock stood still; the command \
         had ended in time{also}"
    );
    Line::new(Level::Error, "expired", message).with("resource", names)
}

/// What it means, after `conjunction`, that `marker` was left nowhere.
fn without_marker(marker: Option<MarkerKind>, conjunction: &str) -> String {
    let meaning = match marker {
        Some(MarkerKind::Done) => "it may run again in this period",
        Some(MarkerKind::Kept) => "it may run again before --min-hold is over",
        None => return String::new(),
    };
    format!("{conjunction}{meaning}")
}

pub(super) fn with_holder(line: Line, by: Option<&Foreign>) -> Line {
    let state = by.map(|by| marker_of(&by.value).map_or("held", MarkerKind::name));
    let rest_ms = by.and_then(|by| by.ttl).map(whole_ms);
    let line = line.with("state", state).with("ttl_ms", rest_ms);
    let holder = by.and_then(|by| holder_of(&by.value));
    line.with("holder", holder.as_ref().map(holder_json))
}
