//! What people ask of the embedded node: the scripts `inspect`, `remove` and `page`, done on files.

use std::sync::Arc;
use std::time::Duration;

use super::LocalNode;
use super::record::Record;
use super::rules::{Changes, Effect, foreign, unchanged};
use crate::clock;
use crate::node::by_hand::{ByHand, Found, Listed, Page, Proof, Removal, Sight, Wanted};
use crate::node::{Answer, Foreign, glob};

impl ByHand for LocalNode {
    async fn inspect(&self, key: Arc<str>, limit: Duration) -> Answer<Sight> {
        if self.store.is_missing() {
            return Ok(Sight::default());
        }
        self.call(&[key.to_string()], limit, |records, now| {
            unchanged(sight(&records[0], now))
        })
        .await
    }

    async fn remove(&self, key: Arc<str>, proof: Arc<Proof>, limit: Duration) -> Answer<Removal> {
        self.call(&[key.to_string()], limit, |records, now| {
            remove(&mut records[0], &proof, now)
        })
        .await
    }

    /// A page is one folder of the store. Files are read without their lock: each is replaced in
    /// one step, or cut short in one.
    async fn page(&self, wanted: Arc<Wanted>, cursor: u64, _limit: Duration) -> Answer<Page> {
        let folder = u8::try_from(cursor).unwrap_or(u8::MAX);
        let now = clock::host_uptime();
        let records = self.store.records_in(folder, now);
        let records = records.map_err(|error| error.to_node_error())?;
        let listed = |record: Record| {
            let lock = record.living(now)?;
            let is_wanted =
                glob::matches(&wanted.glob, &record.key) && wanted.values.include(&lock.value);
            is_wanted.then(|| Listed {
                value: foreign(&record.key, lock, now),
                fence: fence(&record),
            })
        };
        Ok(Page {
            locks: records.into_iter().filter_map(listed).collect(),
            next: folder.checked_add(1).map(u64::from),
        })
    }

    async fn history(&self, key: Arc<str>, _limit: Duration) -> Answer<Vec<String>> {
        // A file is replaced in one step, so no lock is needed to read it.
        let runs = self.store.history(&key);
        runs.map_err(|error| error.to_node_error())
    }
}

fn sight(record: &Record, now: Duration) -> Sight {
    let found = record.living(now).map(|lock| {
        let value = foreign(&record.key, lock, now);
        Found {
            print: value.digest.clone(),
            value,
        }
    });
    Sight {
        found,
        fence: fence(record),
        run_id: None,
        uptime: None,
    }
}

/// The counter. A record without a deadline for it was never written.
fn fence(record: &Record) -> Option<u64> {
    (record.keep_until_ms > 0).then_some(record.fence)
}

/// `remove.lua`
fn remove(record: &mut Record, proof: &Proof, now: Duration) -> Effect<Removal> {
    let Some(lock) = record.living(now) else {
        return unchanged(Removal::Missing);
    };
    let value: Foreign = foreign(&record.key, lock, now);
    if !proof.fits(&lock.value, &value.digest) {
        return unchanged(Removal::Other(value));
    }
    record.lock = None;
    Effect {
        answer: Removal::Removed,
        changes: Changes::Freed(vec![0]),
    }
}
