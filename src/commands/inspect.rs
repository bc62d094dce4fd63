//! `redlock inspect`: who holds a lock, node by node.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;

use super::{Stop, by_hand, nodes, stdout, watch};
use crate::exit::Exit;
use crate::lock::history::{self, Run};
use crate::lock::view::{Standing, View};
use crate::lock::{Redlock, Resource};
use crate::node::AnyNode;
use crate::report::table::Paper;
use crate::report::{self, lock_view};
use crate::settings::hand::{InspectSettings, Show};
use crate::settings::{Format, World};

/// How often a watched lock is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What was seen of each resource.
type Seen<'a> = Vec<(&'a Resource, View)>;

/// The last runs of each resource, for people: the contract's JSON has no place for them.
type Runs = Vec<Vec<Run>>;

/// Looks at the locks.
///
/// # Errors
///
/// If it cannot, or cannot show it.
pub fn inspect(settings: &InspectSettings, world: &World) -> Result<Exit, Stop> {
    by_hand::tell(async {
        if settings.show == Show::Watch {
            watch::refuse_without_terminal()?;
        }
        let redlock = nodes::open_to_look(&settings.common).await?;
        let no_color = world.variable("NO_COLOR").is_some();
        match settings.show {
            Show::Nothing => Ok(exit(&look(&redlock, settings).await?)),
            Show::Once(Format::Json) => {
                stdout::written(print_json(&look(&redlock, settings).await?))
            }
            Show::Once(Format::Text) => {
                let seen = look(&redlock, settings).await?;
                let runs = last_runs(&redlock, settings).await;
                stdout::written(print(&seen, &runs, Paper::of_stdout(no_color)))
            }
            Show::Watch => {
                let mut screen = watch::Screen::open()?;
                let runs = last_runs(&redlock, settings).await;
                loop {
                    let seen = look(&redlock, settings).await?;
                    let mut text = Vec::new();
                    let written = write(&mut text, Paper::of_stdout(no_color), &seen, &runs);
                    written.expect("memory takes everything");
                    if let Some(end) = screen.show(&text, EVERY).await? {
                        return Ok(end.unwrap_or(exit(&seen)));
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
        if let Some((first, second)) = view.same_server() {
            return Err(nodes::same_server(
                &view.nodes[first].name,
                &view.nodes[second].name,
            ));
        }
        seen.push((resource, view));
    }
    Ok(seen)
}

/// What the nodes that answer know of the last runs: more of a help than an answer, so whatever is
/// missing is left out.
async fn last_runs(redlock: &Redlock<AnyNode>, settings: &InspectSettings) -> Runs {
    let mut all = Vec::with_capacity(settings.resources.len());
    for resource in &settings.resources {
        let key = settings.common.key_format.key(resource);
        let told = redlock.history(&key, settings.common.node_timeout).await;
        let told = told.into_iter().filter_map(|(_, answer)| answer.ok());
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
