//! What people ask of a node: to look at locks, to list them, and to remove exactly the one they
//! mean.
//!
//! Apart from [`Node`], since nothing of it takes or keeps a lock: a run needs none of it. Called
//! by `lock::by_hand`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, AnyNode, Foreign, Node, TOKEN_LEN, either, is_ours};

/// What one node knows of one lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// What stands under the key; `None` if it is free.
    pub found: Option<Found>,
    /// The resource's fencing counter, if there is one.
    pub fence: Option<u64>,
    /// Which run of which server answered, where it may be known.
    pub run_id: Option<String>,
    /// For how long the server has been up, where it may be known; exact to a second.
    pub uptime: Option<Duration>,
}

/// A value under a key, whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub value: Foreign,
    /// What it is compared by before it is removed: for a string its digest, for a hash (which
    /// other libraries take for a lock) that of its fields, else its type.
    pub print: String,
}

/// What proves that a lock is the one that is meant.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// A token: of ours while it holds, or the whole value of another program.
    Token(Vec<u8>),
    /// The [`Found::print`] of the value that was shown.
    Print(String),
}

impl Proof {
    /// Whether a lock with this `value` and this [`Found::print`] is what is meant.
    #[must_use]
    pub fn fits(&self, value: &[u8], print: &str) -> bool {
        match self {
            Self::Token(token) => {
                value == token || token.len() == TOKEN_LEN && is_ours(value, token)
            }
            Self::Print(meant) => print == meant,
        }
    }
}

/// The answer to [`ByHand::remove`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It was the one that is meant, and is gone now.
    Removed,
    /// There is none.
    Missing,
    /// There is another one; nothing was changed.
    Other(Foreign),
}

/// Which locks to list.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The keys, as a glob of Redis.
    pub glob: String,
    /// Which of their values.
    pub values: Values,
    /// Whether their fencing counters are looked at.
    pub fences: Fences,
}

/// Which values to list.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// Whatever is in the way of a lock.
    Any,
    /// Strings that pass: where a key may be anything, most of them do not.
    Strings(fn(&[u8]) -> bool),
}

/// Whether the fencing counters of locks are looked at: a third of what a server has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fences {
    /// They are.
    Read,
    /// They may be left out.
    NotNeeded,
}

impl Values {
    /// Whether the string `value`, of which there may be more, is wanted.
    #[must_use]
    pub fn include(self, value: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Strings(pass) => pass(value),
        }
    }
}

/// Some of the locks of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The locks; one may be on several pages.
    pub locks: Vec<Listed>,
    /// Where to go on; `None` after the last page.
    pub next: Option<u64>,
}

/// A lock on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What stands under its key.
    pub value: Foreign,
    /// Its fencing counter, if there is one and it was looked at.
    pub fence: Option<u64>,
}

/// A node that people may ask. The bound `limit` is as in [`Node`].
pub trait ByHand: Node {
    /// Looks at `key` and changes nothing.
    fn inspect(&self, key: Arc<str>, limit: Duration)
    -> impl Future<Output = Answer<Sight>> + Send;

    /// Deletes `key` if its value is the one that `proof` is of, and tells who waits.
    fn remove(
        &self,
        key: Arc<str>,
        proof: Arc<Proof>,
        limit: Duration,
    ) -> impl Future<Output = Answer<Removal>> + Send;

    /// One page of the locks that are wanted, beginning at `cursor`, which is 0 for the first page.
    /// Blocks the server for a few milliseconds at most, however many keys it has.
    fn page(
        &self,
        wanted: Arc<Wanted>,
        cursor: u64,
        limit: Duration,
    ) -> impl Future<Output = Answer<Page>> + Send;

    /// The last runs of the resource with this `key`, the latest first, as they were told to
    /// [`Node::release`]; at most [`HISTORY_RUNS`](super::parting::HISTORY_RUNS).
    fn history(
        &self,
        key: Arc<str>,
        limit: Duration,
    ) -> impl Future<Output = Answer<Vec<String>>> + Send;
}

impl ByHand for AnyNode {
    async fn inspect(&self, key: Arc<str>, limit: Duration) -> Answer<Sight> {
        either!(self, node => node.inspect(key, limit).await)
    }

    async fn remove(&self, key: Arc<str>, proof: Arc<Proof>, limit: Duration) -> Answer<Removal> {
        either!(self, node => node.remove(key, proof, limit).await)
    }

    async fn page(&self, wanted: Arc<Wanted>, cursor: u64, limit: Duration) -> Answer<Page> {
        either!(self, node => node.page(wanted, cursor, limit).await)
    }

    async fn history(&self, key: Arc<str>, limit: Duration) -> Answer<Vec<String>> {
        either!(self, node => node.history(key, limit).await)
    }
}
