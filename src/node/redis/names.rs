//! Which keys there are, for looking at them: never for deciding anything.
//!
//! Only `SCAN`, in small steps, so that no server is held up however many keys it has, and with
//! bounds on number and time. Called by `commands`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::RedisNode;

/// How many keys a server looks at in one step: less than a millisecond of its time.
const STEP: usize = 1000;

impl RedisNode {
    /// Keys that match the glob `pattern`, about `most`, or those found so far when `limit` is over
    /// or something fails: a list to choose from need not be complete.
    pub async fn some_keys(&self, pattern: &str, most: usize, limit: Duration) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let _ = tokio::time::timeout(limit, self.scan(pattern, most, &mut found)).await;
        found
    }

    async fn scan(&self, pattern: &str, most: usize, found: &mut BTreeSet<String>) -> Option<()> {
        let mut connection = self.connection().await.ok()?;
        let mut cursor = 0_u64;
        loop {
            let mut command = redis::cmd("SCAN");
            command.arg(cursor).arg("MATCH").arg(pattern);
            command.arg("COUNT").arg(STEP);
            let answer = command.query_async::<(u64, Vec<Vec<u8>>)>(&mut connection);
            let (next, keys) = answer.await.ok()?;
            // A name that is not UTF-8 can be no resource of ours.
            let keys = keys
                .into_iter()
                .filter_map(|key| String::from_utf8(key).ok());
            found.extend(keys);
            if next == 0 || found.len() >= most {
                return Some(());
            }
            cursor = next;
        }
    }
}
