//! What is said to those who handle locks by hand.

use std::time::Duration;

use serde_json::{Value, json};

use super::node_state::{NodeState, vote_error};
use super::run::{advice, no_lock, with_holder};
use super::words::{each, holder, in_the_way, is_standing, list, short, standing, without_quorum};
use super::{Level, Line};
use crate::errno;
use crate::lock::Failure;
use crate::lock::claim::holder_of;
use crate::lock::list::Catalogue;
use crate::lock::quorum::{Named, rules_out_quorum};
use crate::lock::view::{NodeView, Standing, View, standing_of};
use crate::node::{Answer, Foreign, NodeError, NodeName, Removal, Vote};

/// Somebody else has the lock that was to be acquired.
#[must_use]
pub fn not_free(name: &str, failure: &Failure, waited: Option<Duration>) -> Line {
    let by = in_the_way(failure);
    let end = waited.map_or_else(String::new, |waited| {
        format!("; gave up after {}", short(waited))
    });
    let line = Line::new(Level::Warning, "held", format!("{name} {by}{end}"));
    with_holder(line.with("resource", name), failure.holder())
}

/// The lock could not be acquired, for whatever reason but a holder.
#[must_use]
pub fn not_acquired(name: &str, failure: &Failure) -> Line {
    no_lock(name, failure, advice(failure))
}

/// The lock was acquired, and expired before that could be told.
#[must_use]
pub fn too_late(name: &str) -> Line {
    let message = format!(
        "{name} was granted so late that nothing was left of the TTL; see redlock doctor, and take \
         a longer TTL"
    );
    Line::new(Level::Error, "unavailable", message).with("resource", name)
}

/// The token cannot be written, and so nobody would ever release the lock.
#[must_use]
pub fn token_not_written(name: &str, error: &std::io::Error) -> Line {
    let message = format!(
        "cannot write the token of {name}: {}; gave the lock back",
        errno::reason(error)
    );
    Line::new(Level::Error, "token_not_written", message).with("resource", name)
}

/// What `acquire --json` prints of the nodes.
#[must_use]
pub fn votes_json(votes: &Named<Vote>) -> Value {
    let one = |(name, vote): &(NodeName, Option<Answer<Vote>>)| {
        json!({
            "node": name.0,
            "state": NodeState::of_vote_for_us(vote.as_ref()).name(),
            "error": vote_error(vote.as_ref()),
        })
    };
    votes.iter().map(one).collect()
}

/// The lock that was to be prolonged or given back has ended by itself, or was given back before.
#[must_use]
pub fn gone<T>(name: &str, answers: &Named<T>, text: fn(&T) -> String) -> Line {
    let answers = list(answers, text);
    let message = format!(
        "{name} is not yours any more: it has expired or was released, and nobody holds it \
         ({answers})"
    );
    Line::new(Level::Error, "gone", message).with("resource", name)
}

/// The lock is what is left of the run that it belonged to.
#[must_use]
pub fn over(name: &str, by: &Foreign) -> Line {
    let why = match standing_of(&by.value) {
        Standing::Done => "its run is done and not to be repeated",
        _ => "its run is over, and the lock is kept for a while",
    };
    let rest = by
        .ttl
        .map_or_else(String::new, |ttl| format!(" ({} more)", short(ttl)));
    let message = format!("{name} is not yours any more: {why}{rest}; only --force removes it");
    Line::new(Level::Error, "gone", message).with("resource", name)
}

/// Somebody else has taken the lock since it was shown.
#[must_use]
pub fn changed(name: &str, by: &Foreign) -> Line {
    let message = format!("by now {name} {}; it was left alone", is_standing(by));
    let line = Line::new(Level::Error, "held", message).with("resource", name);
    with_holder(line, Some(by))
}

/// The lock is somebody else's.
#[must_use]
pub fn held_now(name: &str, by: &Foreign) -> Line {
    let message = format!("{name} is not yours: by now it {}", is_standing(by));
    let line = Line::new(Level::Error, "held", message).with("resource", name);
    with_holder(line, Some(by))
}

/// The lock is that of a redlock around us, and the token another's.
#[must_use]
pub fn held_around(name: &str, by: &Foreign) -> Line {
    let message = format!(
        "{name} is held by a redlock around this command, and not with this token; its own is in \
         REDLOCK_TOKEN or REDLOCK_OUTER_TOKENS"
    );
    let line = Line::new(Level::Error, "held", message).with("resource", name);
    with_holder(line, Some(by))
}

/// Nobody knows.
#[must_use]
pub fn no_quorum<T>(
    name: &str,
    answers: &Named<T>,
    text: fn(&T) -> String,
    advice: Option<&str>,
) -> Line {
    let advice = advice.map(|advice| format!("; {advice}"));
    let message = format!(
        "{}: {}{}",
        without_quorum(name, answers.len()),
        list(answers, text),
        advice.unwrap_or_default()
    );
    Line::new(Level::Error, "unavailable", message).with("resource", name)
}

/// No quorum of nodes told of the last runs.
#[must_use]
pub fn no_history(name: &str, answers: &Named<Vec<String>>) -> Line {
    let message = format!(
        "{}: {}",
        without_quorum(&format!("the history of {name}"), answers.len()),
        list(answers, |_| "answered".to_owned())
    );
    Line::new(Level::Error, "unavailable", message).with("resource", name)
}

/// What a node answered to a release.
#[must_use]
pub fn removed(removal: &Removal) -> String {
    match removal {
        Removal::Removed => "released".to_owned(),
        Removal::Missing => "gone".to_owned(),
        Removal::Other(by) => standing(by),
    }
}

/// Too few nodes answered to say who holds a lock.
#[must_use]
pub fn too_little_known(name: &str, view: &View) -> Line {
    let answer = |node: &NodeView| match &node.look.answer {
        Ok(sight) => match &sight.found {
            Some(found) => standing(&found.value),
            None => "free".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    let answers = view.nodes.iter().map(|node| (&node.name, answer(node)));
    let message = format!(
        "{}: {}; nothing was changed",
        without_quorum(name, view.nodes.len()),
        each(answers)
    );
    Line::new(Level::Error, "unavailable", message).with("resource", name)
}

/// There is nothing to take away.
#[must_use]
pub fn nobody(name: &str) -> Line {
    Line::new(Level::Error, "gone", format!("nobody holds {name}")).with("resource", name)
}

/// Who loses the lock, as is asked before and told after it is taken away.
#[must_use]
pub fn holders(name: &str, view: &View) -> String {
    let values: Vec<&Foreign> = view.by.iter().chain(view.others()).collect();
    let nodes = view.nodes.len();
    let has = |by: &Foreign| {
        let found = view.nodes.iter().filter_map(NodeView::found);
        // By its kind as well: of a hash and a list each is shown.
        found
            .filter(|found| found.value.is_same(by) && found.value.kind == by.kind)
            .count()
    };
    let each = values.iter().map(|by| match nodes {
        1 => is_standing(by),
        _ => format!("{} on {} of {nodes} servers", is_standing(by), has(by)),
    });
    format!("{name} {}", each.collect::<Vec<_>>().join(", and "))
}

/// The lock was taken away.
#[must_use]
pub fn taken_away(name: &str, view: &View) -> Line {
    let by = view.by.as_ref().or(view.others().next());
    let was = by.map_or_else(String::new, |by| format!("; it was {}", had_by(by)));
    let message = format!("{name} is free now{was}");
    let line = Line::new(Level::Notice, "taken_away", message).with("resource", name);
    with_holder(line, by)
}

/// Nodes that are not in the list.
#[must_use]
pub fn not_listed(catalogue: &Catalogue) -> Option<Line> {
    let failures = || catalogue.failures();
    let nodes = catalogue.nodes().len();
    failures().next()?;
    Some(if rules_out_quorum(failures().count(), nodes) {
        let said = |error: Option<&NodeError>| {
            error.map_or_else(|| "listed".to_owned(), NodeError::to_string)
        };
        let message = format!(
            "{}, so nothing is sure: {}",
            without_quorum("the list", nodes),
            each(catalogue.nodes().map(|(name, error)| (name, said(error))))
        );
        Line::new(Level::Error, "unavailable", message)
    } else {
        let failures = failures().map(|(name, error)| (name, error.to_string()));
        let message = format!("listed without {}", each(failures));
        Line::new(Level::Warning, "not_listed", message)
    })
}

/// Whose it was, without what it would have come to.
fn had_by(by: &Foreign) -> String {
    let host = holder_of(&by.value).map(|holder| holder.host);
    match (standing_of(&by.value), host) {
        (Standing::Kept, Some(host)) => format!("kept by {host} after its run"),
        (Standing::Done, Some(host)) => format!("done by {host}"),
        _ => format!("held by {}", holder(by)),
    }
}
