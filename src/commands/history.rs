//! `redlock history`: the last runs of a resource, from all nodes together.
//!
//! Each run was written to a quorum, so a quorum of answers has them all.

use std::io::{self, Write as _};

use super::{Stop, nodes, runtime, stdout};
use crate::exit::Exit;
use crate::lock::history::{self, PastRun};
use crate::lock::quorum::{self, Named};
use crate::report::{by_hand, runs};
use crate::settings::by_hand::HistorySettings;
use crate::settings::{Format, World};

/// What each node knows.
type Told = Named<Vec<String>>;

/// Prints the last runs, as far as they are known.
///
/// # Errors
///
/// If no quorum of nodes answered.
pub fn history(settings: &HistorySettings, world: &World) -> Result<Exit, Stop> {
    runtime::run(async {
        let told = ask(settings).await?;
        let runs = told
            .iter()
            .filter_map(|(_, answer)| answer.as_ref()?.as_ref().ok());
        let runs = history::merge(runs.flatten().cloned());
        let name = settings.resource.as_str();
        let shown = match settings.format {
            Format::Text => stdout::written(table(&runs, world)),
            Format::Json => stdout::print(&runs::json(name, &runs)),
        };
        match no_quorum(name, &told) {
            Some(stop) => Err(stop),
            None => shown,
        }
    })
}

fn table(runs: &[PastRun], world: &World) -> io::Result<Exit> {
    let mut out = stdout::open()?;
    runs::write(&mut out, stdout::paper(world), runs)?;
    out.flush()?;
    Ok(Exit::Success)
}

async fn ask(settings: &HistorySettings) -> Result<Told, Stop> {
    let common = &settings.common;
    let redlock = nodes::open_to_look(common).await?;
    let key = common.key_format.key(&settings.resource);
    Ok(redlock.history(&key, common.node_timeout).await)
}

/// What is to be said if runs may be missing.
fn no_quorum(name: &str, told: &Told) -> Option<Stop> {
    let errors = || {
        told.iter()
            .filter_map(|(_, answer)| answer.as_ref()?.as_ref().err())
    };
    quorum::rules_out_quorum(errors().count(), told.len()).then(|| {
        Stop::telling(
            Exit::without_quorum(quorum::is_refused(errors(), told.len())),
            by_hand::no_history(name, told),
        )
    })
}
