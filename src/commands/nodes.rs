//! Opens the configured nodes for a command, and makes sure that each is a server of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Stop;
use crate::exit::Exit;
use crate::job;
use crate::lock::Redlock;
use crate::lock::view::View;
use crate::node::{AnyNode, Endpoint, LocalNode, Node, NodeName, RedisNode};
use crate::settings::{Common, Servers};

/// What nodes are opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To take locks, or to give them back.
    Lock,
    /// To see which there are.
    Look,
}

/// The quorum that the settings describe. No byte has been sent when this returns.
///
/// # Errors
///
/// If a directory or a TLS file is unusable, or two servers have the same address and port: exit
/// 78.
pub async fn open(common: &Common) -> Result<Redlock<AnyNode>, Stop> {
    distinct(each(common, Purpose::Lock)?, common).await
}

/// The same for whoever only looks: a directory that is missing stays so, and has no locks.
///
/// # Errors
///
/// As [`open`].
pub async fn open_to_look(common: &Common) -> Result<Redlock<AnyNode>, Stop> {
    distinct(each(common, Purpose::Look)?, common).await
}

async fn distinct(nodes: Vec<AnyNode>, common: &Common) -> Result<Redlock<AnyNode>, Stop> {
    let redlock = Redlock::new(nodes);
    refuse_twins(&redlock, common.node_timeout).await?;
    Ok(redlock)
}

/// The nodes that the settings name, whether or not they make a quorum.
///
/// # Errors
///
/// If a directory or a TLS file is unusable: exit 78.
pub fn each(common: &Common, purpose: Purpose) -> Result<Vec<AnyNode>, Stop> {
    match &common.servers {
        Servers::Local(directory) => Ok(vec![local(directory, purpose)?]),
        Servers::Redis(endpoints) => {
            if endpoints.iter().any(Endpoint::has_a_name) {
                job::resolver::use_what_is_built_in();
            }
            endpoints.iter().map(redis).collect()
        }
    }
}

fn local(directory: &Path, purpose: Purpose) -> Result<AnyNode, Stop> {
    let node = LocalNode::new(directory.to_owned());
    let usable = match purpose {
        Purpose::Lock => node.check(),
        Purpose::Look => node.check_if_there(),
    };
    usable.map_err(|error| misconfigured(error.to_string()))?;
    Ok(AnyNode::Local(node))
}

fn redis(endpoint: &Endpoint) -> Result<AnyNode, Stop> {
    let node =
        RedisNode::new(endpoint).map_err(|error| misconfigured(format!("{endpoint}: {error}")))?;
    Ok(AnyNode::Redis(Box::new(node)))
}

/// Two names of one server would give it two votes. This is what looking at a lock has shown.
///
/// # Errors
///
/// If two nodes are one server: exit 78.
pub fn refuse_twins_in(view: &View) -> Result<(), Stop> {
    let name = |index: usize| &view.nodes[index].name;
    view.same_server().map_or(Ok(()), |(first, second)| {
        Err(same_server(name(first), name(second)))
    })
}

fn same_server(first: &NodeName, second: &NodeName) -> Stop {
    misconfigured(format!(
        "{first} and {second} are the same server; give each server once"
    ))
}

fn misconfigured(message: String) -> Stop {
    Stop::new(Exit::Configuration, "settings", message)
}

/// Refuses what addresses alone show to be one server, before anything is sent. Names that are not
/// resolved in time are left to the votes' `run_id`.
async fn refuse_twins(redlock: &Redlock<AnyNode>, limit: Duration) -> Result<(), Stop> {
    let mut seen: Vec<(SocketAddr, usize)> = Vec::new();
    let resolve = |node: Arc<AnyNode>| async move {
        match &*node {
            AnyNode::Redis(node) => node.resolve(limit).await.unwrap_or_default(),
            AnyNode::Local(_) => Vec::new(),
        }
    };
    // Costs nothing for IP addresses.
    for (index, addresses) in redlock.of_each(resolve).await.into_iter().enumerate() {
        for address in addresses {
            let twin = seen
                .iter()
                .find(|(other, node)| *other == address && *node != index);
            if let Some((_, twin)) = twin {
                let name = |index: usize| redlock.nodes()[index].name();
                let (first, second) = ((*twin).min(index), (*twin).max(index));
                return Err(same_server(name(first), name(second)));
            }
            seen.push((address, index));
        }
    }
    Ok(())
}
