//! A Redis or Valkey server.
use super::{Answer, Endpoint, Entry, Extension, Node, NodeName, Raised, Release, Vote};
use std::sync::Arc;
use std::time::Duration;
/// A server.
pub struct RedisNode;
impl RedisNode {
    /// The node at `endpoint`.
    #[must_use]
    pub fn new(_endpoint: Endpoint) -> Self {
        Self
    }
}
impl Node for RedisNode {
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
