//! `--status-file`: one JSON object on how a run ended.

use serde_json::{Value, json};

use super::account::{Account, NodeAccount, signal_name};
use crate::clock::whole_ms;
use crate::job::Ended;
use crate::lock::Resource;
use crate::report;

/// The object, as one line. What did not happen is null.
pub fn json(resources: &[Resource], account: &Account, exit_code: u8) -> String {
    let names: Vec<&str> = resources.iter().map(Resource::as_str).collect();
    let child = account.child.map(|ended| match ended {
        Ended::Code(code) => json!({ "code": code }),
        Ended::Signal(signal) => json!({ "signal": signal_name(signal) }),
    });
    let object = json!({
        // As the command sees them.
        "resource": names.join("\n"),
        "resources": names,
        "outcome": account.outcome,
        "exit_code": exit_code,
        "ran_ms": account.child.map(|_| whole_ms(account.ran)),
        "child": child,
        "fencing_token": account.fencing_token,
        "waited_ms": whole_ms(account.waited),
        "released": account.released,
        "holder": account.holder.as_ref().map(report::holder_json),
        "nodes": account.nodes.iter().map(node).collect::<Vec<_>>(),
    });
    format!("{}\n", report::json_text(&object))
}

fn node(node: &NodeAccount) -> Value {
    json!({
        "node": node.name.0,
        "state": node.state.name(),
        "ttl_ms": node.ttl.map(whole_ms),
        "error": node.error,
    })
}
