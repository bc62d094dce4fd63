//! How the fencing token is settled: ours, as `quorum` decides it, and three ways that are too
//! weak.

use redlock::lock::quorum::{self, Fencing, Verdict};
use redlock::node::{Answer, Raised, Vote};

use super::{Client, Number, Phase, Reply, SERVERS};

/// How many rounds of raising a client goes through; the real one gives up later.
const ROUNDS: u8 = 2;

/// How the fencing token is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// As we do it.
    Ours,
    /// The largest reply is the token.
    NoSecondRound,
    /// The second round raises a counter whoever owns the lock.
    NoOwnership,
    /// A larger counter is as good as one that was raised.
    LargerAcknowledges,
}

/// What `client` decides after the replies that it has `heard`; `None` if it waits for more, or
/// gives up: what it has left on the servers is then no other than if it waited for ever.
pub fn decide(client: &Client, heard: [bool; SERVERS], rule: Rule) -> Option<Phase> {
    let number = |server: usize| match client.replies[server] {
        Some(Reply::Number(fence)) if heard[server] => Some(u64::from(fence)),
        _ => None,
    };
    let fences: Vec<u64> = (0..SERVERS).filter_map(number).collect();
    match client.phase {
        Phase::Voting => {
            let granted = |fence| Vote::Granted {
                fence,
                run_id: None,
            };
            let votes: Vec<Option<Answer<Vote>>> = (0..SERVERS)
                .map(|server| number(server).map(granted).map(Ok))
                .collect();
            if quorum::verdict(&votes) != Verdict::Acquired {
                return None;
            }
            let granting = std::array::from_fn(|server| number(server).is_some());
            let fencing = match rule {
                Rule::NoSecondRound => Fencing::Agreed(fences.iter().copied().max()?),
                _ => quorum::fencing(&fences, SERVERS),
            };
            phase(fencing, granting, 0)
        }
        Phase::Raising {
            target,
            granting,
            round,
        } => {
            let answers: Vec<Answer<Raised>> =
                fences.iter().map(|&fence| Ok(Raised::To(fence))).collect();
            let counted = quorum::raised(&answers);
            let fencing = match rule {
                Rule::LargerAcknowledges if counted.len() >= quorum::majority(SERVERS) => {
                    Fencing::Agreed(target.into())
                }
                _ => quorum::fencing(&counted, SERVERS),
            };
            phase(fencing, granting, round)
        }
        _ => None,
    }
}

fn phase(fencing: Fencing, granting: [bool; SERVERS], round: u8) -> Option<Phase> {
    match fencing {
        Fencing::Agreed(token) => Some(Phase::Holds(small(token))),
        Fencing::Raise(target) if round < ROUNDS => Some(Phase::Raising {
            target: small(target),
            granting,
            round: round + 1,
        }),
        Fencing::Raise(_) | Fencing::Failed => None,
    }
}

fn small(number: u64) -> Number {
    Number::try_from(number).expect("a few grants")
}
