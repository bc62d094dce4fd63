//! `redlock complete-names`: the names of locks that exist, for whoever presses the tab key.
//!
//! Quick, and silent whatever happens: no name is better than a message in the middle of a line.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::nodes::{self, Purpose};
use super::{Stop, list, runtime, stdout};
use crate::cli::completions;
use crate::exit::Exit;
use crate::node::{AnyNode, ByHand, Fences, Wanted, glob};
use crate::settings::{self, Common, World, template};

/// How long somebody waits for a list to come up.
const PATIENCE: Duration = Duration::from_millis(300);

/// More names than anybody would choose from.
const MOST: usize = 1000;

/// Prints the names that go on from the last of `words`, one a line.
pub fn names(words: &[OsString], world: &World) -> Result<Exit, Stop> {
    let typing = completions::typing(words);
    let names = settings::common(&typing.options, world)
        .ok()
        .and_then(|common| find(&common, &typing.prefix))
        .unwrap_or_default();
    let lines = names
        .into_iter()
        .fold(String::new(), |lines, name| lines + &name + "\n");
    stdout::print(&lines)
}

fn find(common: &Common, prefix: &str) -> Option<BTreeSet<String>> {
    let keys = runtime::run(async { Ok(keys(common, prefix).await) }).ok()?;
    let names = keys?.into_iter().filter_map(|key| {
        let name = common.key_format.resource(&key)?;
        // A name with control characters is no lock of ours, and would be more than one line.
        (!name.contains(char::is_control)).then(|| template::typed(name))
    });
    Some(names.take(MOST).collect())
}

async fn keys(common: &Common, prefix: &str) -> Option<BTreeSet<String>> {
    // Not `nodes::open`: whether two servers are one makes no difference here, and takes time.
    let nodes = nodes::each(common, Purpose::Look).ok()?;
    let pattern = format!("{}*", glob::escape(&template::beginning(prefix)));
    let wanted = Arc::new(list::wanted(
        &common.key_format,
        &pattern,
        Fences::NotNeeded,
    ));
    let mut asking = JoinSet::new();
    for node in nodes {
        let wanted = Arc::clone(&wanted);
        asking.spawn(async move {
            let mut found = BTreeSet::new();
            // A list to choose from need not be complete.
            let _ = tokio::time::timeout(PATIENCE, collect(&node, &wanted, &mut found)).await;
            found
        });
    }
    Some(asking.join_all().await.into_iter().flatten().collect())
}

/// Adds the keys of `node` to `found`, until there are enough.
async fn collect(node: &AnyNode, wanted: &Arc<Wanted>, found: &mut BTreeSet<String>) {
    let mut cursor = Some(0);
    while let Some(at) = cursor
        && found.len() < MOST
    {
        let Ok(page) = node.page(Arc::clone(wanted), at, PATIENCE).await else {
            return;
        };
        found.extend(page.locks.into_iter().map(|lock| lock.value.key));
        cursor = page.next;
    }
}
