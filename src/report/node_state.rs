//! The state of a lock on one node, in a word: the same one in tables and in all JSON, whichever
//! question the node was asked.

use super::words::vote_text;
use crate::lock::view::{NodeStanding, NodeView, Standing, standing_of};
use crate::node::{Answer, MarkerKind, NodeError, Release, Vote};

/// The word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Somebody holds it.
    Held,
    /// Nobody holds it, and nobody shall have it for a while.
    Kept,
    /// Its job is done for this period.
    Done,
    /// Anybody may take it.
    Free,
    /// The node alone cannot say. Of a lock: no quorum agrees.
    Undecided,
    /// The node has something else than what a quorum agrees on.
    Other,
    /// What was to be released is not ours there, any more or at all.
    NotOurs,
    /// The server has restarted, and does not vote yet.
    Restarted,
    /// The server turned us away.
    Refused,
    /// The server answered, but not to the question.
    Failed,
    /// There was no way to the server, or no answer in time.
    Unreachable,
    /// Enough others had answered before this one did.
    Unanswered,
}

impl NodeState {
    /// The word itself.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Kept => MarkerKind::Kept.name(),
            Self::Done => MarkerKind::Done.name(),
            Self::Free => "free",
            Self::Undecided => "undecided",
            Self::Other => "other",
            Self::NotOurs => "not_ours",
            Self::Restarted => "restarted",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::Unanswered => "unanswered",
        }
    }

    /// What a node shows, seen beside the others.
    #[must_use]
    pub fn of_view(node: &NodeView) -> Self {
        match (node.standing, &node.look.answer) {
            (NodeStanding::Is(own), _) => own.into(),
            (NodeStanding::Other, _) => Self::Other,
            (NodeStanding::Failed, Err(error)) => error.into(),
            (NodeStanding::Failed, Ok(_)) => Self::Failed,
        }
    }

    /// What a node has answered to an attempt that acquired the lock.
    #[must_use]
    pub fn of_vote_for_us(vote: Option<&Answer<Vote>>) -> Self {
        match vote {
            Some(Ok(Vote::Granted { .. })) => Self::Held,
            Some(Ok(Vote::Taken { .. })) => Self::Other,
            vote => Self::of_vote(vote),
        }
    }

    /// What a node has answered to an attempt that did not, and gave back what it was granted.
    #[must_use]
    pub fn of_vote(vote: Option<&Answer<Vote>>) -> Self {
        match vote {
            Some(Ok(Vote::Granted { .. })) => Self::Free,
            Some(Ok(Vote::Taken { by, .. })) => standing_of(&by.value).into(),
            Some(Ok(Vote::Young { .. })) => Self::Restarted,
            // Asked by another name.
            Some(Ok(Vote::Twin { .. })) => Self::Failed,
            Some(Err(error)) => error.into(),
            None => Self::Unanswered,
        }
    }

    /// What a node has answered to a release that was to leave `marker`.
    #[must_use]
    pub fn of_release(answer: Option<&Answer<Release>>, marker: Option<MarkerKind>) -> Self {
        match answer {
            Some(Ok(Release::Released { .. })) => marker.map_or(Self::Free, Self::from),
            Some(Ok(Release::NotOurs)) => Self::NotOurs,
            Some(Err(error)) => error.into(),
            None => Self::Unanswered,
        }
    }
}

impl From<Standing> for NodeState {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Held => Self::Held,
            Standing::Kept => Self::Kept,
            Standing::Done => Self::Done,
            Standing::Free => Self::Free,
            Standing::Undecided => Self::Undecided,
        }
    }
}

impl From<MarkerKind> for NodeState {
    fn from(marker: MarkerKind) -> Self {
        match marker {
            MarkerKind::Kept => Self::Kept,
            MarkerKind::Done => Self::Done,
        }
    }
}

impl From<&NodeError> for NodeState {
    fn from(error: &NodeError) -> Self {
        match error {
            NodeError::Refused(_) => Self::Refused,
            NodeError::Failed(_) => Self::Failed,
            NodeError::Unreachable(_) | NodeError::TimedOut(_) | NodeError::NoHandshake(_) => {
                Self::Unreachable
            }
        }
    }
}

/// Why a vote does not count, as JSON tells it beside the state: nothing of a server that has
/// answered the question.
#[must_use]
pub fn vote_error(vote: Option<&Answer<Vote>>) -> Option<String> {
    match vote {
        Some(Ok(vote @ Vote::Twin { .. })) => Some(vote_text(vote)),
        Some(Err(error)) => Some(error.to_string()),
        Some(Ok(_)) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lock::view::Look;
    use crate::node::NodeName;

    #[test]
    fn what_a_node_said_has_the_same_word_in_a_look_and_in_an_attempt() {
        let text = || "x".to_owned();
        let moment = Duration::from_secs(1);
        for (error, word) in [
            (NodeError::Refused(text()), "refused"),
            (NodeError::Failed(text()), "failed"),
            (NodeError::Unreachable(text()), "unreachable"),
            (NodeError::TimedOut(moment), "unreachable"),
            (NodeError::NoHandshake(moment), "unreachable"),
        ] {
            let vote: Answer<Vote> = Err(error.clone());
            assert_eq!(NodeState::of_vote(Some(&vote)).name(), word);
            assert_eq!(vote_error(Some(&vote)), Some(error.to_string()));
            let node = NodeView {
                name: NodeName(text()),
                standing: NodeStanding::Failed,
                look: Look {
                    answer: Err(error),
                    took: None,
                },
            };
            assert_eq!(NodeState::of_view(&node).name(), word);
        }
    }

    #[test]
    fn a_server_that_does_not_vote_yet_is_not_free() {
        let young = Ok(Vote::Young {
            uptime: Duration::from_secs(1),
            rest: Duration::from_secs(59),
            run_id: None,
        });
        assert_eq!(NodeState::of_vote(Some(&young)).name(), "restarted");
        assert_eq!(NodeState::of_vote_for_us(Some(&young)).name(), "restarted");
        assert_eq!(vote_error(Some(&young)), None);
    }
}
