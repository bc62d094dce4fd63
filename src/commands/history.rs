//! `redlock history`: the last runs of a resource, from all nodes together.
//!
//! Each run was written to a quorum, so a quorum of answers has them all.

use std::io::{self, Write as _};

use super::{Stop, nodes, runtime, stdout};
use crate::exit::Exit;
use crate::lock::history::{self, Run};
use crate::lock::quorum;
use crate::lock::wait::LIMIT_GROWTH;
use crate::node::{Answer, NodeName};
use crate::report::{self, runs};
use crate::settings::{Format, HistorySettings, World};

/// Prints the last runs.
///
/// # Errors
///
/// If no quorum of nodes answered.
pub fn history(settings: &HistorySettings, world: &World) -> Result<Exit, Stop> {
    runtime::run(async {
        let runs = history::merge(ask(settings).await?);
        let name = settings.resource.as_str();
        match settings.format {
            Format::Text => stdout::written(table(&runs, world)),
            Format::Json => stdout::print(&runs::json(name, &runs)),
        }
    })
}

fn table(runs: &[Run], world: &World) -> io::Result<Exit> {
    let mut out = stdout::open()?;
    runs::write(&mut out, stdout::paper(world), runs)?;
    out.flush()?;
    Ok(Exit::Success)
}

/// What every node that answered knows.
async fn ask(settings: &HistorySettings) -> Result<Vec<String>, Stop> {
    let common = &settings.common;
    let redlock = nodes::open_to_look(common).await?;
    let key = common.key_format.key(&settings.resource);
    let needed = quorum::majority(redlock.nodes().len());
    let count =
        |answers: &[(_, Answer<_>)]| answers.iter().filter(|(_, told)| told.is_ok()).count();
    let mut answers = redlock.history(&key, common.node_timeout).await;
    if count(&answers) < needed {
        // A slow answer is better than none.
        answers = redlock
            .history(&key, common.node_timeout * LIMIT_GROWTH)
            .await;
    }
    let answered = count(&answers);
    if answered < needed {
        return Err(no_quorum(settings, &answers, needed));
    }
    let runs = answers.into_iter().filter_map(|(_, answer)| answer.ok());
    Ok(runs.flatten().collect())
}

fn no_quorum(
    settings: &HistorySettings,
    answers: &[(NodeName, Answer<Vec<String>>)],
    needed: usize,
) -> Stop {
    let errors = answers.iter().map(|(_, answer)| answer.as_ref().err());
    Stop::telling(
        Exit::without_quorum(quorum::is_refused(errors.flatten(), answers.len())),
        report::no_history(settings.resource.as_str(), answers, needed),
    )
}
