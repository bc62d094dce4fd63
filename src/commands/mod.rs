//! One file a command; each tells its story in one function. This one is the way in and out: it
//! parses, hands over, and leaves with the right code or by the right signal.
//!
//! The only place where errors of all layers meet and become an [`Exit`] and a [`Line`].
//!
//! Not commands: `attempt` is what `run` and `acquire` share, `by_hand` what those by hand do;
//! `runtime` runs all of them, `nodes` opens the servers, `holder` says who we are, `stdout` and
//! `watch` are where results go, `panicking` is what is still done after a bug. `names` is the
//! command that completions call.

mod acquire;
mod attempt;
mod by_hand;
mod config;
mod doctor;
mod extend;
mod history;
mod holder;
mod inspect;
mod list;
mod names;
mod nodes;
mod panicking;
mod release;
mod run;
mod runtime;
mod stdout;
mod watch;

use std::ffi::OsString;
use std::io;

use crate::cli::{self, Cli, Command};
use crate::errno;
use crate::exit::Exit;
use crate::job;
use crate::report::{self, Level, Line, Reporter};
use crate::settings::{self, Common, World};

/// Why a command ends before its story does: what to say, and how to leave.
#[derive(Debug)]
pub struct Stop {
    line: Option<Line>,
    exit: Exit,
}

impl Stop {
    fn new(exit: Exit, event: &'static str, message: impl Into<String>) -> Self {
        Self {
            line: Some(Line::new(Level::Error, event, message)),
            exit,
        }
    }

    /// The system refused `what`.
    fn system(what: &str, error: &io::Error) -> Self {
        let message = format!("cannot {what}: {}", errno::reason(error));
        Self::new(Exit::System, "system", message)
    }

    fn silent(exit: Exit) -> Self {
        Self { line: None, exit }
    }

    /// Says it, and answers how to leave.
    fn tell(&self, reporter: impl FnOnce() -> Reporter) -> Exit {
        if let Some(line) = &self.line {
            reporter().tell(line);
        }
        self.exit
    }

    fn telling(exit: Exit, line: Line) -> Self {
        Self {
            line: Some(line),
            exit,
        }
    }
}

impl From<settings::Error> for Stop {
    fn from(error: settings::Error) -> Self {
        Self::new(error.exit, "settings", error.message)
    }
}

/// Does what `arguments` ask for, and answers the code to leave the process with.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    panicking::prepare();
    leave(dispatch(arguments))
}

fn dispatch(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let world = World::of_this_process();
    let cli = match Cli::parse(arguments) {
        Ok(cli) => cli,
        Err(cli::Instead::Text(text)) => {
            let nothing = cli::Options::default();
            let early = || Reporter::new(settings::output_by(&nothing, None, &world));
            return stdout::print(&text).unwrap_or_else(|stop| stop.tell(early));
        }
        Err(cli::Instead::Usage {
            message,
            understood,
        }) => {
            let reporter = Reporter::new(settings::output_by(&understood.options, None, &world));
            reporter.tell(&Line::new(Level::Error, "usage", message));
            if let Some(arguments) = &understood.run {
                run::refused(arguments, &world, Exit::Usage, reporter);
            }
            return Exit::Usage;
        }
    };
    // For settings that make no sense, or commands without: it reads the file once more.
    let early = || Reporter::new(settings::output_of(&cli, &world));
    obey(&cli.command, &world, early).unwrap_or_else(|stop| stop.tell(early))
}

/// Does what `command` asks for. One whose settings make sense tells its stop as they say; any
/// other is the caller's to tell. A run that was refused tells `early` what it could not write.
fn obey(command: &Command, world: &World, early: impl FnOnce() -> Reporter) -> Result<Exit, Stop> {
    match command {
        Command::Run(arguments) => {
            let settings = settings::run(arguments, world)
                .inspect_err(|error| run::refused(arguments, world, error.exit, early()))?;
            Ok(told(&settings.common, |to| run::run(&settings, world, to)))
        }
        Command::Acquire(arguments) => {
            let settings = settings::by_hand::acquire(arguments, world)?;
            Ok(told(&settings.common, |to| {
                acquire::acquire(&settings, world, to)
            }))
        }
        Command::Extend(arguments) => {
            let settings = settings::by_hand::extend(arguments, world, io::stdin())?;
            Ok(told(&settings.common, |_| extend::extend(&settings, world)))
        }
        Command::Release(arguments) => {
            let settings = settings::by_hand::release(arguments, world, io::stdin())?;
            Ok(told(&settings.common, |to| {
                release::release(&settings, world, to)
            }))
        }
        Command::Inspect(arguments) => {
            let settings = settings::by_hand::inspect(arguments, world)?;
            Ok(told(&settings.common, |_| {
                inspect::inspect(&settings, world)
            }))
        }
        Command::List(arguments) => {
            let settings = settings::by_hand::list(arguments, world)?;
            Ok(told(&settings.common, |to| {
                list::list(&settings, world, to)
            }))
        }
        Command::History(arguments) => {
            let settings = settings::by_hand::history(arguments, world)?;
            Ok(told(&settings.common, |_| {
                history::history(&settings, world)
            }))
        }
        Command::Doctor(options) => {
            let settings = settings::doctor(options, world)?;
            Ok(told(&settings.common, |_| doctor::doctor(&settings, world)))
        }
        Command::Config(options) => config::config(options, world),
        Command::Completions(_, shell) => stdout::print(&cli::completions::script(shell)),
        Command::CompleteNames(_, words) => names::names(words, world),
    }
}

/// Lets a command that has settings tell its story, and its stop, as they say.
fn told(common: &Common, story: impl FnOnce(Reporter) -> Result<Exit, Stop>) -> Exit {
    let reporter = Reporter::new(common.output);
    story(reporter).unwrap_or_else(|stop| stop.tell(|| reporter))
}

fn leave(exit: Exit) -> u8 {
    report::tell_the_rest();
    match exit {
        Exit::Signal(signal) => job::die_of(signal),
        exit => exit.code(),
    }
}
