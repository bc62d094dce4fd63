//! `redlock complete-names`: the names of locks that exist, for whoever presses the tab key.
//!
//! Quick, and silent whatever happens: no name is better than a message in the middle of a line.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use tokio::runtime;
use tokio::task::JoinSet;

use super::print;
use crate::cli::completions;
use crate::exit::Exit;
use crate::node::{AnyNode, acl};
use crate::settings::{self, Common, World};

/// How long somebody waits for a list to come up.
const PATIENCE: Duration = Duration::from_millis(300);

/// More names than anybody would choose from.
const MOST: usize = 1000;

/// Prints the names that go on from the last of `words`, one a line.
pub fn names(words: &[OsString], world: &World) -> Exit {
    let typing = completions::typing(words);
    let names = settings::common(&typing.options, world)
        .ok()
        .and_then(|common| find(&common, &typing.prefix))
        .unwrap_or_default();
    let lines = names
        .into_iter()
        .fold(String::new(), |lines, name| lines + &name + "\n");
    print(&lines)
}

fn find(common: &Common, prefix: &str) -> Option<BTreeSet<String>> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let keys = runtime.block_on(keys(common, prefix));
    runtime.shutdown_background();
    let names = keys?.into_iter().filter_map(|key| {
        let name = common.key_format.resource(&key)?;
        // Fencing counters and histories are in the way of formats that match everything.
        let is_name = name.starts_with(prefix) && !acl::is_companion(&key);
        // A name with control characters is no lock of ours, and would be more than one line.
        (is_name && !name.contains(char::is_control)).then(|| name.to_owned())
    });
    Some(names.take(MOST).collect())
}

async fn keys(common: &Common, prefix: &str) -> Option<BTreeSet<String>> {
    // Not `nodes::open`: whether two servers are one makes no difference here, and takes time.
    let nodes = super::nodes::each(common).ok()?;
    let (before, after) = common.key_format.around();
    let glob = format!(
        "{}*{}",
        acl::literal(&format!("{before}{prefix}")),
        acl::literal(after)
    );
    let mut asking = JoinSet::new();
    for node in nodes {
        let glob = glob.clone();
        asking.spawn(async move {
            match node {
                AnyNode::Redis(node) => node.some_keys(&glob, MOST, PATIENCE).await,
                AnyNode::Local(node) => node.some_keys(MOST).into_iter().collect(),
            }
        });
    }
    Some(asking.join_all().await.into_iter().flatten().collect())
}
