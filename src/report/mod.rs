//! What happened, as one line for a person or one line of JSON.
//!
//! `run` has the lines of a run and of who waits, [`by_hand`] those of locks by hand, `words` how
//! times, holders and answers are said. What goes to stdout is made of [`table`]s: [`lock_view`] is
//! a lock, [`runs`] the last runs, [`doctor`] a page of findings. [`live`] is the line that is
//! written over and over.
//!
//! Everything that redlock itself says goes through here to stderr. What other hosts or servers
//! wrote is escaped, so that it cannot touch a terminal; and no message contains a password, not
//! even one that was typed in the wrong place. Called by `commands`.

pub mod by_hand;
pub mod doctor;
pub mod live;
pub mod lock_view;
mod names;
mod node_state;
mod run;
pub mod runs;
mod stderr;
pub mod table;
mod words;

pub use self::names::Names;
pub use self::node_state::{NodeState, vote_error};
pub use self::run::*;
pub use self::stderr::tell_the_rest;
pub use self::words::*;

use std::io::IsTerminal;

use serde_json::{Map, Value};

use crate::clock;
use crate::settings::{Format, Output, TerminalKind, Verbosity};

/// Who wants to read a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Everybody: something went wrong.
    Error,
    /// Everybody who did not ask for silence: it did not go as wanted.
    Warning,
    /// Somebody who sits at a terminal; a mail from cron is not worth it.
    Notice,
    /// Somebody who asked with `-v`.
    Detail,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    level: Level,
    event: &'static str,
    message: String,
    fields: Map<String, Value>,
}

impl Line {
    /// An event by the name that JSON shows, in words without a full stop.
    #[must_use]
    pub fn new(level: Level, event: &'static str, message: impl Into<String>) -> Self {
        Self {
            level,
            event,
            message: without_passwords(&message.into()),
            fields: Map::new(),
        }
    }

    /// Adds a field that only JSON shows.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// The words, without the program's name.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Writes lines to stderr, each as soon as it is told.
#[derive(Clone, Copy, Debug)]
pub struct Reporter {
    output: Output,
    terminal: Terminal,
}

/// Whether somebody may be watching stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terminal {
    Yes,
    No,
}

impl Reporter {
    /// A reporter in the manner the user chose.
    #[must_use]
    pub fn new(output: Output) -> Self {
        let terminal = if std::io::stderr().is_terminal() {
            Terminal::Yes
        } else {
            Terminal::No
        };
        Self { output, terminal }
    }

    /// Whether somebody at a terminal wants to see all the time how long it takes. With `-v`
    /// everything is told as it happens.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        let Output {
            verbosity,
            format,
            terminal,
        } = self.output;
        (verbosity, format, terminal) == (Verbosity::Normal, Format::Text, TerminalKind::Usual)
            && self.terminal == Terminal::Yes
    }

    /// Tells `line`, if somebody wants to read it. An stderr that is closed or full is no reason to
    /// end a job, and none to let its lock expire: what cannot be written soon is written later, or
    /// left out if it still cannot when redlock leaves.
    pub fn tell(&self, line: &Line) {
        let wanted = match (line.level, self.output.verbosity) {
            (Level::Error, _) | (_, Verbosity::Verbose) => true,
            (Level::Warning, verbosity) => verbosity != Verbosity::Quiet,
            (Level::Notice, Verbosity::Normal) => self.terminal == Terminal::Yes,
            (Level::Notice | Level::Detail, _) => false,
        };
        if !wanted {
            return;
        }
        let text = match self.output.format {
            Format::Text => format!("redlock: {}\n", escape(&line.message)),
            Format::Json => format!("{}\n", json_text(&json(line))),
        };
        stderr::tell(text.as_bytes());
    }
}

fn json(line: &Line) -> Value {
    let level = match line.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Notice => "notice",
        Level::Detail => "detail",
    };
    let mut object = Map::new();
    object.insert("time".to_owned(), clock::rfc3339(clock::wall()).into());
    object.insert("level".to_owned(), level.into());
    object.insert("event".to_owned(), line.event.into());
    object.insert("message".to_owned(), escape(&line.message).into());
    object.extend(line.fields.clone());
    Value::Object(object)
}
