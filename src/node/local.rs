//! The embedded node.
use super::{Answer, Entry, Extension, Node, NodeName, Raised, Release, Vote};
use std::sync::Arc;
use std::time::Duration;
/// A server.
pub struct LocalNode;
impl LocalNode {
    /// The node at `directory`.
    #[must_use]
    pub fn new(_directory: std::path::PathBuf) -> Self {
        Self
    }
}
impl Node for LocalNode {
    fn name(&self) -> &NodeName {
        todo!()
    }
    async fn acquire(&self, _: Arc<Entry>, _: u64, _: Duration) -> Answer<Vote> {
        todo!()
    }
    async fn raise(&self, _: Arc<Entry>, _: u64, _: Duration) -> Answer<Raised> {
        todo!()
    }
    async fn extend(&self, _: Arc<Entry>, _: u64, _: Duration) -> Answer<Extension> {
        todo!()
    }
    async fn heal(&self, _: Arc<Entry>, _: u64, _: Duration) -> Answer<Extension> {
        todo!()
    }
    async fn release(&self, _: Arc<Entry>, _: Duration) -> Answer<Release> {
        todo!()
    }
    fn may_hold_a_key(&self) -> bool {
        todo!()
    }
    fn reconnect(&self) {
        todo!()
    }
}
