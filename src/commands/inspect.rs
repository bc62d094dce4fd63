//! `redlock inspect`: who holds a lock, node by node.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;

use super::watch::{self, Shown};
use super::{Stop, nodes, runtime, stdout};
use crate::exit::Exit;
use crate::lock::history::{self, PastRun};
use crate::lock::view::{Standing, View};
use crate::lock::{Redlock, Resource};
use crate::node::AnyNode;
use crate::report::table::Paper;
use crate::report::{self, lock_view};
use crate::settings::by_hand::{InspectSettings, Show};
use crate::settings::{Format, World};

/// How often a watched lock is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What was seen of each resource.
type Seen<'a> = Vec<(&'a Resource, View)>;

/// The last runs of each resource, for people: programs ask `history`.
type Runs = Vec<Vec<PastRun>>;

/// Looks at the locks.
///
/// # Errors
///
/// If it cannot, or cannot show it.
pub fn inspect(settings: &InspectSettings, world: &World) -> Result<Exit, Stop> {
    runtime::run(async {
        if settings.show == Show::Watch {
            watch::refuse_without_terminal(world)?;
        }
        let redlock = nodes::open_to_look(&settings.common).await?;
        let paper = || stdout::paper(world);
        match settings.show {
            Show::Nothing => Ok(exit(&look(&redlock, settings).await?)),
            Show::Once(Format::Json) => {
                stdout::written(print_json(&look(&redlock, settings).await?))
            }
            Show::Once(Format::Text) => {
                let seen = look(&redlock, settings).await?;
                let runs = last_runs(&redlock, settings, &seen).await;
                stdout::written(print(&seen, &runs, paper()))
            }
            Show::Watch => {
                let mut screen = watch::Screen::new(paper().ink)?;
                loop {
                    let seen = look(&redlock, settings).await?;
                    let runs = last_runs(&redlock, settings, &seen).await;
                    let mut text = Vec::new();
                    let written = write(&mut text, paper(), &seen, &runs);
                    written.expect("memory takes everything");
                    match screen.show(&text, EVERY).await? {
                        Shown::ForTheTime => {}
                        Shown::UntilQuit => return Ok(exit(&seen)),
                        Shown::UntilSignal(signal) => return Ok(Exit::Signal(signal)),
                    }
                }
            }
        }
    })
}

async fn look<'a>(
    redlock: &Redlock<AnyNode>,
    settings: &'a InspectSettings,
) -> Result<Seen<'a>, Stop> {
    let mut seen = Vec::with_capacity(settings.resources.len());
    for resource in &settings.resources {
        let key = settings.common.key_format.key(resource);
        let view = redlock.inspect(&key, settings.common.node_timeout).await;
        nodes::refuse_twins_in(&view)?;
        seen.push((resource, view));
    }
    Ok(seen)
}

/// What the nodes that answer know of the last runs: more of a help than an answer, so whatever is
/// missing is left out.
async fn last_runs(
    redlock: &Redlock<AnyNode>,
    settings: &InspectSettings,
    seen: &Seen<'_>,
) -> Runs {
    let mut all = Vec::with_capacity(seen.len());
    for (resource, view) in seen {
        if view.answered() < view.quorum {
            // They have been waited for already.
            all.push(Vec::new());
            continue;
        }
        let key = settings.common.key_format.key(resource);
        let told = redlock.history(&key, settings.common.node_timeout).await;
        let told = told.into_iter().filter_map(|(_, answer)| answer?.ok());
        all.push(history::merge(told.flatten()));
    }
    all
}

fn print_json(seen: &Seen) -> io::Result<Exit> {
    let mut out = stdout::open()?;
    let locks = seen.iter();
    let locks = locks.map(|(name, view)| lock_view::to_json(name.as_str(), view));
    writeln!(out, "{}", report::json_text(&Value::Array(locks.collect())))?;
    out.flush()?;
    Ok(exit(seen))
}

fn print(seen: &Seen, runs: &Runs, paper: Paper) -> io::Result<Exit> {
    let mut out = stdout::open()?;
    write(&mut out, paper, seen, runs)?;
    out.flush()?;
    Ok(exit(seen))
}

fn write(out: &mut impl Write, paper: Paper, seen: &Seen, runs: &Runs) -> io::Result<()> {
    for (index, ((name, view), runs)) in seen.iter().zip(runs).enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        lock_view::write(out, paper, name.as_str(), view, runs)?;
    }
    Ok(())
}

fn exit(seen: &Seen) -> Exit {
    let any = |wanted: Standing| seen.iter().any(|(_, view)| view.standing == wanted);
    if any(Standing::Undecided) {
        Exit::Unavailable
    } else if any(Standing::Held) || any(Standing::Kept) || any(Standing::Done) {
        Exit::Success
    } else {
        Exit::Free
    }
}
