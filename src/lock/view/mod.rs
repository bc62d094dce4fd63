//! What looking at a lock on all nodes comes to.
//!
//! PURE, like `quorum`: no I/O, no clock. A view says what a quorum agrees on, and keeps what each
//! node answered, so that whoever looks can see minorities, splits and outages as what they are.
//! Made by `by_hand` and `list`.

use std::time::Duration;

use super::claim::{FencingToken, holder_of, marker_of};
use super::quorum::{self, drift, largest_group, majority, same_run};
use crate::node::{Answer, Foreign, Found, MarkerKind, NodeName, Sight};

/// What one node answered, and how long that took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What it answered.
    pub answer: Answer<Sight>,
    /// How long it took; `None` if nobody measured.
    pub took: Option<Duration>,
}

/// How a lock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Somebody holds it.
    Held,
    /// Its job is over, and it is kept for a while.
    Kept,
    /// Its job has succeeded, and is not to run again for a while.
    Done,
    /// Anybody may take it.
    Free,
    /// No quorum of nodes agrees on any of these.
    Undecided,
}

/// What one node contributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeStanding {
    /// It agrees with the quorum, or there is none and it sees this.
    Is(Standing),
    /// It has something else than what a quorum agrees on: what is left of an earlier holder, or of
    /// one who tries.
    Other,
    /// It did not answer.
    Failed,
}

/// One node's part of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Which node.
    pub name: NodeName,
    /// What it contributes.
    pub standing: NodeStanding,
    /// What it answered.
    pub look: Look,
}

impl NodeView {
    /// The lock that it has, if any.
    #[must_use]
    pub fn found(&self) -> Option<&Found> {
        self.look.answer.as_ref().ok()?.found.as_ref()
    }
}

/// A lock as a quorum sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What a quorum agrees on.
    pub standing: Standing,
    /// Who is in the way: what a quorum agrees on, or the value that most nodes have if there is no
    /// quorum.
    pub by: Option<Foreign>,
    /// How many nodes agree on that.
    pub votes: usize,
    /// How many make a quorum.
    pub quorum: usize,
    /// For how long a quorum still has it: the q-th largest rest of equal values, less the
    /// drift where that is a lease. `None` if it never expires, or nobody has it.
    pub ttl: Option<Duration>,
    /// The holder's fencing token, where a quorum of nodes agrees on it.
    pub fencing_token: Option<FencingToken>,
    /// The nodes, in the order of the configuration.
    pub nodes: Vec<NodeView>,
}

impl View {
    /// What `looks` come to.
    #[must_use]
    pub fn of(looks: Vec<(NodeName, Look)>) -> Self {
        let quorum = majority(looks.len());
        let free = looks
            .iter()
            .filter(|(_, look)| matches!(&look.answer, Ok(sight) if sight.found.is_none()))
            .count();
        let values = looks.iter().filter_map(|(_, look)| value_of(look));
        let (votes, by) = largest_group(values);
        let by = by.cloned();
        let (standing, votes) = match &by {
            Some(by) if votes >= quorum => (standing_of(&by.value), votes),
            _ if free >= quorum => (Standing::Free, free),
            Some(_) => (Standing::Undecided, votes),
            None => (Standing::Undecided, free),
        };
        let is_taken = !matches!(standing, Standing::Free | Standing::Undecided);
        let by = by.filter(|_| standing != Standing::Free);
        let of_quorum = by.as_ref().filter(|_| is_taken);
        let ttl = of_quorum.and_then(|by| quorum_ttl(&looks, by, quorum));
        let fencing_token = of_quorum
            .filter(|by| holder_of(&by.value).is_some())
            .and_then(|_| agreed_fence(&looks, quorum));
        let nodes = looks.into_iter().map(|(name, look)| NodeView {
            name,
            standing: node_standing(&look, standing, by.as_ref()),
            look,
        });
        Self {
            nodes: nodes.collect(),
            standing,
            votes,
            quorum,
            ttl,
            fencing_token,
            by,
        }
    }

    /// The values that nodes have and that differ from [`View::by`], each once.
    pub fn others(&self) -> impl Iterator<Item = &Foreign> {
        let mut seen: Vec<(&str, &str)> = Vec::new();
        self.nodes.iter().filter_map(move |node| {
            let value = value_of(&node.look)?;
            let is_known = self.by.as_ref().is_some_and(|by| by.is_same(value));
            let identity = (value.kind.as_str(), value.digest.as_str());
            if is_known || seen.contains(&identity) {
                return None;
            }
            seen.push(identity);
            Some(value)
        })
    }

    /// How many nodes answered.
    #[must_use]
    pub fn answered(&self) -> usize {
        let answers = self.nodes.iter().filter(|node| node.look.answer.is_ok());
        answers.count()
    }

    /// Whether so many nodes turned us away that there is no quorum without them.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let errors = self
            .nodes
            .iter()
            .map(|node| node.look.answer.as_ref().err());
        quorum::is_refused(errors.flatten(), self.nodes.len())
    }

    /// Two nodes that are one server, by their places.
    #[must_use]
    pub fn same_server(&self) -> Option<(usize, usize)> {
        let answers = self.nodes.iter().map(|node| node.look.answer.as_ref());
        let run_ids: Vec<_> = answers.map(|answer| answer.ok()?.run_id.as_ref()).collect();
        same_run(&run_ids)
    }
}

/// What the state in a value says. Another program's value is a lock that is held.
#[must_use]
pub fn standing_of(value: &[u8]) -> Standing {
    match marker_of(value) {
        Some(MarkerKind::Kept) => Standing::Kept,
        Some(MarkerKind::Done) => Standing::Done,
        None => Standing::Held,
    }
}

fn node_standing(look: &Look, standing: Standing, by: Option<&Foreign>) -> NodeStanding {
    if look.answer.is_err() {
        return NodeStanding::Failed;
    }
    let value = value_of(look);
    let own = value.map_or(Standing::Free, |value| standing_of(&value.value));
    let agrees = match (value, by) {
        _ if standing == Standing::Undecided => true,
        (Some(value), Some(by)) => value.is_same(by),
        // A node that is free beside a quorum that is not says so by itself.
        (None, _) => true,
        (Some(_), None) => false,
    };
    if agrees {
        NodeStanding::Is(own)
    } else {
        NodeStanding::Other
    }
}

fn value_of(look: &Look) -> Option<&Foreign> {
    let found = look.answer.as_ref().ok()?.found.as_ref()?;
    Some(&found.value)
}

fn quorum_ttl(looks: &[(NodeName, Look)], by: &Foreign, quorum: usize) -> Option<Duration> {
    let equal = looks
        .iter()
        .filter_map(|(_, look)| value_of(look))
        .filter(|value| value.is_same(by));
    // Nobody acts on a marker: it is over when its servers say so.
    let drift = match marker_of(&by.value) {
        None => drift,
        Some(_) => |_| Duration::ZERO,
    };
    // Without expiry is longest.
    let mut rests: Vec<Duration> = equal
        .map(|value| value.ttl.unwrap_or(Duration::MAX))
        .collect();
    rests.sort_unstable_by(|one, other| other.cmp(one));
    let rest = rests.get(quorum - 1).copied()?;
    (rest < Duration::MAX).then(|| rest.saturating_sub(drift(rest)))
}

fn agreed_fence(looks: &[(NodeName, Look)], quorum: usize) -> Option<FencingToken> {
    let fences = || {
        looks
            .iter()
            .filter_map(|(_, look)| look.answer.as_ref().ok()?.fence)
    };
    let agreed = fences().find(|fence| fences().filter(|other| other == fence).count() >= quorum);
    agreed.map(FencingToken)
}

#[cfg(test)]
mod tests;
