//! One server each: what can be asked of it, and what it answers.
//!
//! A node knows nothing of quorums, and never decides anything: it answers [`Vote`]s and friends,
//! or fails with a [`NodeError`]. The scripts beside this file are the whole protocol; [`redis`]
//! sends them, [`local`] does the same on files of this host. [`endpoint`] is where a server is,
//! [`parting`] what is left on a node when a lock is let go, [`notices`] how a release is heard,
//! [`by_hand`] what people ask, [`glob`] which keys they mean, [`links`] which connections there
//! are to a server. Called by `lock`; `commands` opens nodes, and examines them for `doctor`.

pub mod by_hand;
pub mod endpoint;
pub mod glob;
pub mod links;
pub mod local;
pub mod notices;
pub mod parting;
pub mod redis;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::whole_ms;

pub use by_hand::{ByHand, Fences, Found, Listed, Page, Proof, Removal, Sight, Values, Wanted};
pub use endpoint::{Credentials, Endpoint, Secret, TlsFiles};
pub use local::LocalNode;
pub use local::examine::{FileSystem, LocalExamination};
pub use notices::{Notice, Notices, Print};
pub use parting::{Marker, MarkerKind, Parting};
pub use redis::examine::{Config, Examination, Info, Role};
pub use redis::{RedisNode, acl};

/// Bytes of an [`Entry`]'s value that prove who owns it: 32 hexadecimal digits.
pub const TOKEN_LEN: usize = 32;

/// The most bytes of a foreign value that a node hands back.
pub const FOREIGN_VALUE_LIMIT: usize = 512;

/// The shortest life of a fencing counter: a week.
pub const COUNTER_LIFE: Duration = Duration::from_hours(7 * 24);

/// By how much a client's wall clock may differ from a node's in the floor of the fencing counters.
///
/// All nodes are given the same clock, so that they answer the same number and no second round is
/// needed. A clock that is further off costs that round, and breaks nothing: a node that lost its
/// counters does not vote for longer than twice this, so whoever comes after gets a larger number.
pub const CLOCK_ERROR_MS: u64 = 500;

/// What one attempt writes, the same bytes on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The keys of all the resources, sorted and without repetition, so that every contender looks
    /// at them in the same order. All are written, or none.
    pub keys: Vec<String>,
    /// The value of every key: the token, one byte of state (a blank: held) and the holder's JSON.
    pub value: Vec<u8>,
    /// For how long the keys live when nobody extends them.
    pub ttl: Duration,
    /// The longest time for which this holder may keep others out, dead or alive: the TTL, or a
    /// marker that it will leave. The fencing counters live twice as long.
    pub stay: Duration,
}

impl Entry {
    /// The part of the value that proves ownership.
    #[must_use]
    pub fn token(&self) -> &[u8] {
        &self.value[..TOKEN_LEN.min(self.value.len())]
    }
}

/// Whether `value` is owned by `token`: it begins with it, and the byte of state is a blank.
#[must_use]
pub fn is_ours(value: &[u8], token: &[u8]) -> bool {
    value.len() > TOKEN_LEN && value.starts_with(token) && value[TOKEN_LEN] == b' '
}

/// The answer to [`Node::acquire`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vote {
    /// Every key is ours now; `fence` is what the node's fencing counters were raised to.
    Granted {
        /// The node's fencing counter after this grant.
        fence: u64,
        /// Which run of which server answered (Redis' `run_id`), where it may be known: two
        /// addresses that answer the same one are one server.
        run_id: Option<String>,
    },
    /// A key is taken by somebody else; nothing was written.
    Taken {
        /// What stands there.
        by: Foreign,
        /// As in [`Vote::Granted`].
        run_id: Option<String>,
        /// How many listen for its release; 0 where that is not known.
        listeners: u32,
    },
    /// Every key is free, but the server restarted less than [`Ballot::min_uptime`] ago and may
    /// have forgotten a lock; nothing was written.
    Young {
        /// For how long it has been up, by its own account: whole seconds.
        uptime: Duration,
        /// After what time it may grant.
        rest: Duration,
        /// As in [`Vote::Granted`].
        run_id: Option<String>,
    },
    /// A key is ours already, by this very attempt: the server was asked by another name as well,
    /// and has voted. Nothing was written.
    Twin {
        /// As in [`Vote::Granted`].
        run_id: Option<String>,
    },
}

/// What a vote is asked with, the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// The client's wall clock, in milliseconds since 1970: the floor of the fencing counters.
    pub unix_ms: u64,
    /// For how long a server must have been up before it grants; zero asks for no age at all. A
    /// node whose age is not to be known grants, and so does one that cannot forget within its
    /// life.
    pub min_uptime: Duration,
}

/// The value under a key, as one node sees it: mostly one that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The first key that was taken.
    pub key: String,
    /// At most [`FOREIGN_VALUE_LIMIT`] bytes of the value; empty if it is no string.
    pub value: Vec<u8>,
    /// What the whole value is compared by: its SHA-1 in hexadecimal, or the empty string for all
    /// values that are no string, which count as equal.
    pub digest: String,
    /// Redis' name of the value's type: `string`, `hash`, …
    pub kind: String,
    /// The time after which the key expires, or `None` if it never does.
    pub ttl: Option<Duration>,
}

impl Foreign {
    /// Whether it is the same value under the same key. How long it lasts is each node's to say.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.key, &self.digest) == (&other.key, &other.digest)
    }
}

/// The answer to [`Node::raise`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raised {
    /// The keys are still ours and the fencing counters are at this number now.
    To(u64),
    /// A key is not ours any more; nothing was changed.
    NotOurs,
}

/// The answer to [`Node::extend`] and [`Node::heal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Every key is ours and lives at least for the TTL from now.
    Extended {
        /// As in [`Vote::Granted`], of `extend` only.
        run_id: Option<String>,
    },
    /// A key is gone, and none is somebody else's. `extend` leaves it so; `heal` never answers
    /// this.
    Missing,
    /// A key is somebody else's; nothing was changed.
    Foreign(Foreign),
}

/// The answer to [`Node::release`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// At least one key was ours, and is gone or a marker now.
    Released {
        /// As in [`Vote::Granted`], if a marker was left.
        run_id: Option<String>,
    },
    /// No key was ours: gone already, or somebody else's.
    NotOurs,
}

/// An answer that tells which server gave it.
pub trait OfServer {
    /// As in [`Vote::Granted`], where what was done counts once for each server.
    fn run_id(&self) -> Option<&String>;
}

impl OfServer for Vote {
    fn run_id(&self) -> Option<&String> {
        match self {
            Self::Granted { run_id, .. }
            | Self::Taken { run_id, .. }
            | Self::Young { run_id, .. }
            | Self::Twin { run_id } => run_id.as_ref(),
        }
    }
}

impl OfServer for Extension {
    fn run_id(&self) -> Option<&String> {
        match self {
            Self::Extended { run_id } => run_id.as_ref(),
            Self::Missing | Self::Foreign(_) => None,
        }
    }
}

impl OfServer for Release {
    fn run_id(&self) -> Option<&String> {
        match self {
            Self::Released { run_id } => run_id.as_ref(),
            Self::NotOurs => None,
        }
    }
}

/// Why a node gave no answer that counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// No connection, or it broke. The text says how.
    #[error("{0}")]
    Unreachable(String),
    /// No answer in time; the command may have been applied all the same.
    #[error("no answer within {}", humantime::format_duration(in_ms(*.0)))]
    TimedOut(Duration),
    /// Somebody is there, and did not come as far as TLS in time. Nothing was sent.
    #[error(
        "no TLS handshake within {}, as from a server that hangs or a port without TLS",
        humantime::format_duration(in_ms(*.0))
    )]
    NoHandshake(Duration),
    /// The node answered, but cannot vote: read-only, loading, out of memory, no Redis at all.
    #[error("{0}")]
    Failed(String),
    /// The node turned us away, and will do so again: authentication, ACL, certificate.
    #[error("{0}")]
    Refused(String),
}

impl NodeError {
    /// Whether the node said nothing at all, so that the whole of its time was waited for.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::NoHandshake(_))
    }

    /// Whether the node has as many clients as it takes.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.to_string().contains(NO_ROOM)
    }
}

/// What a server says that has as many clients as it takes; there is no code for it.
const NO_ROOM: &str = "max number of clients";

/// Rounded up to milliseconds: what is left of a limit is no round number.
fn in_ms(limit: Duration) -> Duration {
    let whole = Duration::from_millis(whole_ms(limit));
    if whole < limit {
        whole + Duration::from_millis(1)
    } else {
        whole
    }
}

/// What one node answered, or why it gave no answer that counts.
pub type Answer<T> = Result<T, NodeError>;

/// How a node is called in messages: `host:port`, the path of a socket or of a directory. Never a
/// URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeName(pub String);

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One server. Every call is bounded by `limit`, connecting included, and fails with
/// [`NodeError::TimedOut`] after it; the command may have been applied all the same.
pub trait Node: Send + Sync + 'static {
    /// How the node is called in messages.
    fn name(&self) -> &NodeName;

    /// Takes every key of `entry` if all are free and the server is old enough for the `ballot`,
    /// and raises the fencing counters to one number: the largest of each counter plus one, and
    /// the client's wall clock, as far as it is within [`CLOCK_ERROR_MS`] of the node's own. If
    /// this very entry is there already, a server answers [`Vote::Twin`]: it was asked by another
    /// name. A directory, which has one name, grants it again.
    fn acquire(
        &self,
        entry: Arc<Entry>,
        ballot: Ballot,
        limit: Duration,
    ) -> impl Future<Output = Answer<Vote>> + Send;

    /// Raises the fencing counters to at least `fence`, if every key is still ours.
    fn raise(
        &self,
        entry: Arc<Entry>,
        fence: u64,
        limit: Duration,
    ) -> impl Future<Output = Answer<Raised>> + Send;

    /// Raises the rest of every key to at least the TTL and the fencing counters to at least
    /// `fence`, if every key is still ours. Invariant I5: never creates, deletes or shortens.
    fn extend(
        &self,
        entry: Arc<Entry>,
        fence: u64,
        limit: Duration,
    ) -> impl Future<Output = Answer<Extension>> + Send;

    /// Puts back the keys that are gone, unless one is somebody else's. Only to be sent while the
    /// lock is ours: what it writes counts in later rounds at the earliest.
    fn heal(
        &self,
        entry: Arc<Entry>,
        fence: u64,
        limit: Duration,
    ) -> impl Future<Output = Answer<Extension>> + Send;

    /// Deletes every key that is ours, or puts the marker of `parting` in its place; and tells the
    /// history. Telling it may fail unnoticed: that is no reason to call a lock not released.
    fn release(
        &self,
        entry: Arc<Entry>,
        parting: Arc<Parting>,
        limit: Duration,
    ) -> impl Future<Output = Answer<Release>> + Send;

    /// Listens for the release of any of `keys`, from when this answers until the connection
    /// breaks. A node that cannot be listened to refuses.
    fn listen(
        &self,
        _keys: Arc<[String]>,
        _limit: Duration,
    ) -> impl Future<Output = Answer<Notices>> + Send {
        async { Err(NodeError::Refused("gives no release notices".to_owned())) }
    }

    /// Whether a byte that could have created a key was ever sent: only then a release is owed.
    fn may_hold_a_key(&self) -> bool;

    /// Whether what is sent now is on its way at once: the connection is open, and every command on
    /// it that can create a key was answered.
    fn is_in_touch(&self) -> bool;

    /// Gives up the present connection, so that the next call opens a new one.
    fn reconnect(&self);
}

/// A node of either kind.
pub enum AnyNode {
    /// A Redis or Valkey server.
    Redis(Box<RedisNode>),
    /// A directory of this host.
    Local(LocalNode),
}

/// Passes a call on to whichever node it is.
macro_rules! either {
    ($self:ident, $node:ident => $call:expr) => {
        match $self {
            AnyNode::Redis($node) => $call,
            AnyNode::Local($node) => $call,
        }
    };
}
use either;

impl Node for AnyNode {
    fn name(&self) -> &NodeName {
        either!(self, node => node.name())
    }

    async fn acquire(&self, entry: Arc<Entry>, ballot: Ballot, limit: Duration) -> Answer<Vote> {
        either!(self, node => node.acquire(entry, ballot, limit).await)
    }

    async fn raise(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Raised> {
        either!(self, node => node.raise(entry, fence, limit).await)
    }

    async fn extend(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Extension> {
        either!(self, node => node.extend(entry, fence, limit).await)
    }

    async fn heal(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Extension> {
        either!(self, node => node.heal(entry, fence, limit).await)
    }

    async fn release(
        &self,
        entry: Arc<Entry>,
        parting: Arc<Parting>,
        limit: Duration,
    ) -> Answer<Release> {
        either!(self, node => node.release(entry, parting, limit).await)
    }

    async fn listen(&self, keys: Arc<[String]>, limit: Duration) -> Answer<Notices> {
        either!(self, node => node.listen(keys, limit).await)
    }

    fn may_hold_a_key(&self) -> bool {
        either!(self, node => node.may_hold_a_key())
    }

    fn is_in_touch(&self) -> bool {
        either!(self, node => node.is_in_touch())
    }

    fn reconnect(&self) {
        either!(self, node => node.reconnect());
    }
}
