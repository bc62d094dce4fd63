//! What the commands of those who handle locks by hand have in common.

use super::Stop;
use super::attempt::holds_around;
use crate::exit::Exit;
use crate::lock::by_hand::Outcome;
use crate::lock::quorum::Named;
use crate::node::{Foreign, TOKEN_LEN};
use crate::report::{self, Line};
use crate::settings::World;

/// What is said of a lock, and with which words its answers are told.
pub struct About<'a, T> {
    /// The lock.
    pub name: &'a str,
    /// What the nodes answered.
    pub answers: Named<T>,
    /// In words.
    pub text: fn(&T) -> String,
    /// What to do without a quorum.
    pub advice: &'a str,
    /// Where it is asked who runs around us.
    pub world: &'a World,
}

/// How to leave after `outcome` when the user has given `token`.
///
/// # Errors
///
/// Unless it was done.
pub fn leave<T>(outcome: Outcome, token: &[u8], about: &About<T>) -> Result<Exit, Stop> {
    let About {
        name,
        answers,
        text,
        advice,
        world,
    } = about;
    let (exit, line): (Exit, Line) = match outcome {
        Outcome::Done => return Ok(Exit::Success),
        Outcome::Gone => (Exit::Lost, report::by_hand::gone(name, answers, *text)),
        // What a run leaves behind has its token, and is nobody's.
        Outcome::Taken(by) if is_of(token, &by) => (Exit::Lost, report::by_hand::over(name, &by)),
        Outcome::Taken(by) => {
            let line = if holds_around(world, &by) {
                report::by_hand::held_around(name, &by)
            } else {
                report::by_hand::held_now(name, &by)
            };
            (Exit::Conflict(Exit::CONFLICT), line)
        }
        Outcome::Refused => {
            let advice = report::about_refusals(answers);
            (
                Exit::Refused,
                report::by_hand::no_quorum(name, answers, *text, advice),
            )
        }
        Outcome::NoQuorum => (
            Exit::Unavailable,
            report::by_hand::no_quorum(name, answers, *text, Some(advice)),
        ),
    };
    Err(Stop::telling(exit, line))
}

fn is_of(token: &[u8], by: &Foreign) -> bool {
    token.len() == TOKEN_LEN && by.value.starts_with(token)
}
