//! `redlock release`: gives a lock back, or takes it from its holder.
//!
//! By force: look, show who loses it, ask, and delete exactly what was shown. Nothing is deleted
//! that nobody has seen.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::by_hand::{self, About};
use super::{Stop, nodes, runtime};
use crate::exit::Exit;
use crate::lock::Redlock;
use crate::lock::by_hand::Outcome;
use crate::lock::view::{NodeView, View};
use crate::node::AnyNode;
use crate::report::{self, Reporter};
use crate::settings::World;
use crate::settings::by_hand::{GivenToken, ReleaseSettings, Right};

/// What to do without a quorum.
const ADVICE: &str = "what is left of it expires by itself, unless a run keeps it: then try again";

/// The same if nothing of it does.
const TRY_AGAIN: &str = "it never expires by itself, so try again";

/// Releases the lock.
///
/// # Errors
///
/// If it is somebody else's or nobody's, or nobody knows.
pub fn release(
    settings: &ReleaseSettings,
    world: &World,
    reporter: Reporter,
) -> Result<Exit, Stop> {
    runtime::run(async {
        let redlock = match &settings.right {
            Right::Ask if !can_ask() => {
                let message = "there is no terminal to ask at whether to take the lock from its \
                               holder; say so with --force --yes";
                return Err(Stop::new(Exit::Usage, "usage", message));
            }
            _ => nodes::open(&settings.common).await?,
        };
        match &settings.right {
            Right::Token(token) => give_back(&redlock, settings, token, world).await,
            Right::Ask | Right::Force => take_away(&redlock, settings, world, reporter).await,
        }
    })
}

async fn give_back(
    redlock: &Redlock<AnyNode>,
    settings: &ReleaseSettings,
    token: &GivenToken,
    world: &World,
) -> Result<Exit, Stop> {
    let key = settings.common.key_format.key(&settings.resource);
    let token = token.reveal();
    let (outcome, answers) = redlock
        .release_by_hand(&key, token, settings.common.node_timeout)
        .await;
    let about = About {
        name: settings.resource.as_str(),
        answers,
        text: report::by_hand::removed,
        advice: ADVICE,
        world,
    };
    by_hand::leave(outcome, token, &about)
}

async fn take_away(
    redlock: &Redlock<AnyNode>,
    settings: &ReleaseSettings,
    world: &World,
    reporter: Reporter,
) -> Result<Exit, Stop> {
    let name = settings.resource.as_str();
    let key = settings.common.key_format.key(&settings.resource);
    let node_timeout = settings.common.node_timeout;
    let mut shown = redlock.inspect(&key, node_timeout).await;
    if shown.others().next().is_some() {
        // Perhaps it went from one holder to the next between the servers' answers.
        shown = redlock.inspect(&key, node_timeout).await;
    }
    refuse_unless_known(name, &shown)?;
    if settings.right == Right::Ask && !says_yes(&report::by_hand::holders(name, &shown)) {
        let line = report::Line::new(report::Level::Error, "kept", "nothing was changed");
        return Err(Stop::telling(Exit::Conflict(Exit::CONFLICT), line));
    }
    let (outcome, answers) = redlock.evict(&key, &shown, node_timeout).await;
    let found = shown.nodes.iter().filter_map(NodeView::found);
    let is_permanent = found.map(|found| found.value.ttl).any(|ttl| ttl.is_none());
    let about = About {
        name,
        answers,
        text: report::by_hand::removed,
        advice: if is_permanent { TRY_AGAIN } else { ADVICE },
        world,
    };
    match outcome {
        Outcome::Taken(by) => Err(Stop::telling(
            Exit::Conflict(Exit::CONFLICT),
            report::by_hand::changed(name, &by),
        )),
        Outcome::Gone => Err(Stop::telling(Exit::Lost, report::by_hand::nobody(name))),
        outcome => {
            let exit = by_hand::leave(outcome, &[], &about)?;
            reporter.tell(&report::by_hand::taken_away(name, &shown));
            Ok(exit)
        }
    }
}

/// Whether somebody sits there who can answer.
fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks. A signal meanwhile ends us as any program: nothing has been changed yet.
fn says_yes(holders: &str) -> bool {
    let question = format!(
        "redlock: {}\nTake it away? A run that loses it stops its command. [y/N] ",
        report::escape(holders)
    );
    let mut answer = String::new();
    let asked = io::stderr().write_all(question.as_bytes()).is_ok()
        && io::stdin().lock().read_line(&mut answer).is_ok();
    if answer.is_empty() {
        // Ctrl-D leaves the line unfinished.
        let _ = io::stderr().write_all(b"\n");
    }
    asked && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// Ends the story if there is nothing to take away, or too little is known.
fn refuse_unless_known(name: &str, shown: &View) -> Result<(), Stop> {
    nodes::refuse_twins_in(shown)?;
    if shown.answered() < shown.quorum {
        return Err(Stop::telling(
            Exit::without_quorum(shown.is_refused()),
            report::by_hand::too_little_known(name, shown),
        ));
    }
    if shown.by.is_none() && shown.others().next().is_none() {
        return Err(Stop::telling(Exit::Lost, report::by_hand::nobody(name)));
    }
    Ok(())
}
