//! The quorum: a lock that is held on a majority of independent nodes, as Redlock describes it.
//!
//! Knows no command line and no child. In reading order: [`claim`] is what is asked for, [`quorum`]
//! decides what answers mean, [`wait`] when to try again, [`redlock`] asks the nodes, [`grip`] is what
//! one attempt has left on them, and [`lease`] keeps a lock that is held.
//! [`fitness`] judges the nodes themselves, for `doctor`.

pub mod claim;
pub mod fitness;
pub mod grip;
pub mod lease;
pub mod quorum;
pub mod redlock;
pub mod wait;

pub use claim::{Claim, FencingToken, Holder, KeyFormat, Resource, Token};
pub use grip::{Grip, Letting};
pub use lease::{Lease, Loss, LossReason, State};
pub use redlock::{Acquisition, Failure, Held, Policy, Redlock};
pub use wait::Patience;
