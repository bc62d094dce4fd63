//! The quorum: a lock that is held on a majority of independent nodes, as Redlock describes it.
//!
//! Knows no command line and no child. In reading order: [`claim`] is what is asked for, [`quorum`]
//! decides what answers mean, [`restart`] who may vote, [`wait`] when to try again, `attempt` asks
//! the nodes once, [`redlock`] until it is enough, [`grip`] is what one attempt has left on them,
//! `unsettled` what those before it have, and [`lease`] keeps a lock that is held. `silence` knows
//! the nodes that hang, [`ear`] hears that a lock was released, [`history`] is what was told about
//! the last ones; [`view`] is what looking at a lock comes to, [`by_hand`] what people do with one,
//! [`list`] all of them, and [`libraries`] tells whose they are.
//! [`fitness`] judges the nodes themselves, for `doctor`.

mod attempt;
pub mod by_hand;
pub mod claim;
pub mod ear;
pub mod fitness;
pub mod grip;
pub mod history;
pub mod lease;
pub mod libraries;
pub mod list;
pub mod quorum;
pub mod redlock;
pub mod restart;
mod silence;
mod unsettled;
pub mod view;
pub mod wait;

pub use claim::{Claim, FencingToken, Holder, KeyFormat, Resource, Token};
pub use ear::Ear;
pub use grip::{Audience, Grip, Letting, Ours};
pub use lease::{Lease, Loss, LossReason, State};
pub use redlock::{Acquisition, Failure, Held, Policy, Redlock};
pub use restart::{RestartGuard, Restarts};
pub use wait::Patience;
