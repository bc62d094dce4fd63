//! Leaving a marker in the place of a lock: on all nodes, also where the lock never was, as long as
//! it is ours.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Audience, Grip, Letting, RELEASE_LIMIT, heal, next_before};
use crate::clock::{self, Instant};
use crate::node::{Entry, Extension, Node, Parting, Release, TOKEN_LEN};

/// How often it is tried to leave a marker where something else stands that may go soon, also while
/// it is on no quorum yet, and the pause in between.
const MARKINGS: u32 = 3;
const MARKINGS_WITHOUT_QUORUM: u32 = 20;
const MARKING_PAUSE: Duration = Duration::from_millis(10);

/// A lock that is ours, or was.
#[derive(Clone, Copy, Debug)]
pub struct Ours {
    /// Until when nobody else can have it; long ago if it is lost.
    pub until: Instant,
    /// Its fencing token.
    pub fence: u64,
}

impl<N: Node> Grip<N> {
    /// Releases a lock that is `ours`, and, as long as it is, leaves the marker of `parting`, if
    /// there is one, also where nothing of ours was. Otherwise as [`Grip::release`].
    pub async fn leave(
        &mut self,
        parting: &Arc<Parting>,
        audience: Audience,
        ours: Ours,
        node_timeout: Duration,
    ) -> Letting {
        let mut letting = self.release(parting, audience, node_timeout).await;
        let marking = self.mark_the_rest(&mut letting, parting, ours, node_timeout);
        marking.await;
        letting
    }

    /// Leaves the marker of `parting`, if there is one, on the nodes as well that had nothing of
    /// ours when the others were released, as `letting` tells: a contender who came to nothing was
    /// there before us, or their data is lost; and on those that are so far away that they were not
    /// reached yet. Without it the marker would be on a bare quorum, and gone with the next node.
    /// Only while the lock is ours, and nobody took it away by force, may it be put there, as a key
    /// is put back, and in one step: the lock itself never comes back.
    async fn mark_the_rest(
        &self,
        letting: &mut Letting,
        parting: &Parting,
        Ours { until, fence }: Ours,
        node_timeout: Duration,
    ) {
        if letting.was_gone() {
            return;
        }
        let is_bare = |&index: &usize| match &letting.answers[index] {
            Some(answer) => *answer == Ok(Release::NotOurs),
            None => !self.nodes[index].may_hold_a_key() && !self.failed.contains(&index),
        };
        let mut bare: Vec<usize> = (0..self.nodes.len()).filter(is_bare).collect();
        for marking in 0..MARKINGS_WITHOUT_QUORUM {
            if bare.is_empty() || marking >= MARKINGS && letting.is_left() {
                return;
            }
            if marking > 0 {
                clock::sleep_until(clock::now() + MARKING_PAUSE).await;
            }
            let Some(marker) = self.marker(parting).filter(|_| !until.has_passed()) else {
                return;
            };
            let limit = node_timeout.min(RELEASE_LIMIT / 2);
            let limit = limit.min(until.remaining() / 2);
            let mut pending = JoinSet::new();
            for index in std::mem::take(&mut bare) {
                pending.spawn(heal(&self.nodes, index, &marker, fence, limit));
            }
            while let Some((index, marked)) = next_before(&mut pending, None).await {
                match marked {
                    Ok(Extension::Extended { run_id }) => {
                        letting.answers[index] = Some(Ok(Release::Released { run_id }));
                    }
                    Ok(Extension::Foreign(_)) => bare.push(index),
                    Ok(Extension::Missing) => {}
                    Err(error) => {
                        letting.answers[index].get_or_insert(Err(error));
                    }
                }
            }
        }
    }

    /// The marker of `parting` as it would stand on a node now; none if its end has come.
    fn marker(&self, parting: &Parting) -> Option<Arc<Entry>> {
        let (state, rest_ms) = parting.marker_now()?;
        let mut value = self.entry.value.clone();
        value[TOKEN_LEN] = state;
        Some(Arc::new(Entry {
            value,
            ttl: Duration::from_millis(rest_ms),
            ..(*self.entry).clone()
        }))
    }
}
