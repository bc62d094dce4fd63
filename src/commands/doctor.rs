//! `redlock doctor`: examine every server, judge, tell.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use super::{Stop, nodes, runtime, stdout};
use crate::exit::Exit;
use crate::lock::Redlock;
use crate::lock::fitness::{self, Expectations, Facts, Fitness};
use crate::node::{AnyNode, Node, NodeName, acl};
use crate::report::doctor::{self as report, Rule};
use crate::report::table::Paper;
use crate::settings::{DoctorSettings, Format, Servers, World};

/// The least time that a server has to tell everything. Longer than any run would wait: a slow
/// server shall be called slow rather than dead.
const PATIENCE: Duration = Duration::from_secs(2);

/// Examines the servers, and tells what is wrong with them.
///
/// # Errors
///
/// If there is nothing to examine.
pub fn doctor(settings: &DoctorSettings, world: &World) -> Result<Exit, Stop> {
    let nodes = runtime::run(async {
        let redlock = nodes::open(&settings.common).await?;
        Ok(examine_all(&redlock, settings).await)
    })?;
    let fitness = fitness::judge(&nodes, &expectations(settings));
    let rule = rule(settings, &nodes);
    let written = match settings.format {
        Format::Json => stdout::put(&report::json(&nodes, &fitness, rule.as_ref())),
        Format::Text => page(&nodes, &fitness, rule.as_ref(), stdout::paper(world)),
    };
    stdout::written(written.map(|()| verdict(&fitness)))
}

fn page(
    nodes: &[(NodeName, Facts)],
    fitness: &Fitness,
    rule: Option<&Rule>,
    paper: Paper,
) -> io::Result<()> {
    let mut out = stdout::open()?;
    report::write(&mut out, paper, nodes, fitness, rule)?;
    out.flush()
}

/// What danger there is counts more than whether there is a quorum just now.
fn verdict(fitness: &Fitness) -> Exit {
    if fitness.is_dangerous() {
        Exit::Configuration
    } else if fitness.has_quorum() {
        Exit::Success
    } else {
        Exit::without_quorum(fitness.is_refused())
    }
}

async fn examine_all(
    redlock: &Redlock<AnyNode>,
    settings: &DoctorSettings,
) -> Vec<(NodeName, Facts)> {
    let limit = PATIENCE.max(settings.common.node_timeout);
    let (before, after) = settings.common.key_format.around();
    // Nobody else has this key: a lock of that name would be in nobody's way either.
    let key = format!("{before}redlock-doctor-{:016x}{after}", fastrand::u64(..));
    let examine = |node: Arc<AnyNode>| {
        let key = key.clone();
        async move {
            let facts = match &*node {
                AnyNode::Redis(node) => Facts::Redis(node.examine(&key, limit).await.map(Box::new)),
                AnyNode::Local(node) => Facts::Local(node.examine()),
            };
            (node.name().clone(), facts)
        }
    };
    redlock.of_each(examine).await
}

fn expectations(settings: &DoctorSettings) -> Expectations {
    Expectations {
        node_timeout: settings.common.node_timeout,
        restarts: settings.restarts,
        longest_ttl: settings.longest_ttl,
    }
}

/// The ACL rule, if there is a server that has ACLs.
fn rule(settings: &DoctorSettings, nodes: &[(NodeName, Facts)]) -> Option<Rule> {
    let (before, after) = settings.common.key_format.around();
    let is_redis = |(_, facts): &(NodeName, Facts)| matches!(facts, Facts::Redis(_));
    let database = match &settings.common.servers {
        Servers::Redis(endpoints) if endpoints.iter().any(|one| one.database != 0) => " +select",
        Servers::Redis(_) | Servers::Local(_) => "",
    };
    nodes.iter().any(is_redis).then(|| Rule {
        rule: acl::rule(before, after) + database,
        optional: acl::optional().collect(),
    })
}
