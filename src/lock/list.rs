//! All locks of all nodes, merged.
//!
//! A node is gone through page by page, so that it is never blocked for long, and a value is kept
//! once for all nodes that have it, so that a hundred thousand locks fit into some tens of
//! megabytes. It is no snapshot: a lock that is taken or released meanwhile may be seen by some
//! nodes only. Called by `commands`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::redlock::Redlock;
use super::view::{Look, View};
use crate::node::{
    Answer, ByHand, Foreign, Found, Listed, NodeError, NodeName, Page, Sight, Wanted,
};

/// How many pages may wait to be merged. Nodes that are quicker than we are wait as well.
const PAGES_AHEAD: usize = 4;

/// How often a page is asked for again, on a new connection.
const RETRIES: u32 = 1;

/// The locks that were found.
pub struct Catalogue {
    nodes: Vec<NodeName>,
    failures: Vec<Option<NodeError>>,
    /// By their keys, in the order of the keys.
    locks: Vec<(Box<str>, Merged)>,
}

/// One lock.
#[derive(Default)]
struct Merged {
    /// The different values under its key, mostly one.
    values: Vec<Value>,
    /// Which node has which of them.
    seen: Vec<Seen>,
}

struct Value {
    bytes: Box<[u8]>,
    digest: Box<str>,
    /// `None` for a string.
    kind: Option<Box<str>>,
}

struct Seen {
    node: u32,
    value: u32,
    ttl: Option<Duration>,
    fence: Option<u64>,
}

impl<N: ByHand> Redlock<N> {
    /// Lists the locks that are wanted. A node has `limit` for each page.
    pub async fn list(&self, wanted: Wanted, limit: Duration) -> Catalogue {
        let wanted = Arc::new(wanted);
        let (tell, mut pages) = mpsc::channel(PAGES_AHEAD);
        let mut walks = JoinSet::new();
        for (index, node) in self.nodes().iter().enumerate() {
            let (node, wanted, tell) = (Arc::clone(node), Arc::clone(&wanted), tell.clone());
            walks.spawn(async move {
                let mut next = Some(0);
                while let Some(cursor) = next {
                    let page = page(&*node, &wanted, cursor, limit).await;
                    next = page.as_ref().ok().and_then(|page| page.next);
                    if tell.send((index, page)).await.is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        let mut failures = vec![None; self.nodes().len()];
        let mut locks: HashMap<Box<str>, Merged> = HashMap::new();
        while let Some((index, page)) = pages.recv().await {
            match page {
                Ok(page) => {
                    for Listed { mut value, fence } in page.locks {
                        let key = std::mem::take(&mut value.key).into_boxed_str();
                        locks.entry(key).or_default().add(index, value, fence);
                    }
                }
                Err(error) => failures[index] = Some(error),
            }
        }
        walks.join_all().await;
        let mut locks: Vec<_> = locks.into_iter().collect();
        locks.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let names = self.nodes().iter().map(|node| node.name().clone());
        Catalogue {
            nodes: names.collect(),
            failures,
            locks,
        }
    }
}

/// A page, asked for again if the node did not answer.
async fn page<N: ByHand>(
    node: &N,
    wanted: &Arc<Wanted>,
    cursor: u64,
    limit: Duration,
) -> Answer<Page> {
    let mut tries = 0;
    loop {
        let page = node.page(Arc::clone(wanted), cursor, limit).await;
        match page {
            Err(NodeError::Refused(_)) | Ok(_) => return page,
            Err(_) if tries == RETRIES => return page,
            Err(_) => {}
        }
        tries += 1;
        node.reconnect();
    }
}

impl Merged {
    /// What `node` has under the key.
    fn add(&mut self, node: usize, value: Foreign, fence: Option<u64>) {
        let node = u32::try_from(node).unwrap_or(u32::MAX);
        // A server may show a key on several pages.
        self.seen.retain(|seen| seen.node != node);
        let mut known = self.values.iter();
        let known = known.position(|known| *known.digest == *value.digest);
        let index = known.unwrap_or_else(|| {
            self.values.push(Value {
                bytes: value.value.into(),
                digest: value.digest.into(),
                kind: (value.kind != "string").then(|| value.kind.into()),
            });
            self.values.len() - 1
        });
        self.seen.push(Seen {
            node,
            value: u32::try_from(index).unwrap_or(u32::MAX),
            ttl: value.ttl,
            fence,
        });
    }
}

impl Catalogue {
    /// The nodes that could not be listed, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&NodeName, &NodeError)> {
        let failures = self.nodes.iter().zip(&self.failures);
        failures.filter_map(|(name, error)| Some((name, error.as_ref()?)))
    }

    /// What became of each node: why it is not in the list, or nothing.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (&NodeName, Option<&NodeError>)> {
        let failures = self.failures.iter().map(Option::as_ref);
        self.nodes.iter().zip(failures)
    }

    /// The locks by their keys, in the order of the keys.
    pub fn locks(&self) -> impl Iterator<Item = (&str, View)> {
        let locks = self.locks.iter();
        locks.map(|(key, merged)| (&**key, self.view(key, merged)))
    }

    fn view(&self, key: &str, merged: &Merged) -> View {
        let look = |(index, name): (usize, &NodeName)| {
            let answer = match &self.failures[index] {
                Some(error) => Err(error.clone()),
                None => Ok(sight(key, merged, index)),
            };
            (name.clone(), Look { answer, took: None })
        };
        let looks = self.nodes.iter().enumerate().map(look);
        View::of(looks.collect())
    }
}

fn sight(key: &str, merged: &Merged, node: usize) -> Sight {
    let seen = merged.seen.iter().find(|seen| seen.node as usize == node);
    let found = seen.map(|seen| {
        let value = &merged.values[seen.value as usize];
        let digest = value.digest.to_string();
        Found {
            print: digest.clone(),
            value: Foreign {
                key: key.to_owned(),
                value: value.bytes.to_vec(),
                digest,
                kind: value.kind.as_deref().unwrap_or("string").to_owned(),
                ttl: seen.ttl,
            },
        }
    });
    Sight {
        found,
        fence: seen.and_then(|seen| seen.fence),
        ..Sight::default()
    }
}
