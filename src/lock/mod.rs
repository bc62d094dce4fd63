//! The quorum.

pub mod claim;
