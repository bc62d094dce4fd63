//! What was meant by `redlock run`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::file::File;
use super::options::{self, Choice};
use super::sources::{AnySetting, Sources};
use super::template::Moment;
use super::{
    Common, Error, Wait, World, common_of, duration, note, refuse_server, resource, resources,
    restarts, single,
};
use crate::cli::{self, Before};
use crate::lock::claim::Resource;
use crate::lock::restart::Restarts;

/// The most of the stop signal's grace, unless the user says otherwise.
const USUAL_KILL_AFTER: Duration = Duration::from_secs(5);

/// The most of the time between the kill and the end of the lock.
const MARGIN_LIMIT: Duration = Duration::from_millis(500);

/// What `redlock run` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// What every command needs.
    pub common: Common,
    /// What to lock, with templates expanded; at least one.
    pub resources: Vec<Resource>,
    /// For how long keys live when nobody extends them.
    pub ttl: Duration,
    /// Whether to wait for a lock that is held.
    pub wait: Wait,
    /// The exit code for a lock that is held.
    pub conflict_exit: u8,
    /// For how long the lock stays at least, from its acquisition on.
    pub min_hold: Duration,
    /// In which period from its acquisition on the command is to succeed once only.
    pub once_per: Option<Duration>,
    /// When the command is stopped, counted from its start.
    pub max_runtime: Option<Duration>,
    /// The time between the stop signal and SIGKILL.
    pub kill_after: Duration,
    /// The time between SIGKILL and the end of the lock. `ttl > 2 * (kill_after + margin)`.
    pub margin: Duration,
    /// What the command is stopped with.
    pub stop_signal: Signal,
    /// What happens to the command when the lock cannot be kept.
    pub on_lost: OnLost,
    /// Shown to whoever looks at the lock.
    pub note: Option<String>,
    /// What is stored of the command.
    pub store_command: StoreCommand,
    /// Whether servers that restarted may grant.
    pub restarts: Restarts,
    /// Whether the run is recorded with the lock.
    pub history: History,
    /// Where to tell how it ended.
    pub files: Files,
    /// The command and its arguments; at least one word.
    pub command: Vec<OsString>,
    /// What stands before it.
    pub before: Before,
    /// Variables that set options of this run, and are not meant for another run inside the
    /// command. Those of servers and credentials are, and stay.
    pub hidden_environment: Vec<String>,
}

/// Where to tell how a run ended, besides with the exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// In JSON.
    pub status: Option<PathBuf>,
    /// As gauges for Prometheus.
    pub metrics: Option<Metrics>,
}

/// Where gauges are left, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// The file.
    pub path: PathBuf,
    /// What the resources are called at every moment: with the date in its label a series would
    /// end each day, and the next begin without a last success.
    pub labels: Vec<String>,
}

/// What happens to the command when the lock cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLost {
    /// It is stopped before another can get the lock.
    Stop,
    /// It runs on, and the loss is told.
    Warn,
}

/// What is stored of the command with the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreCommand {
    /// Its file name, never its arguments.
    FileName,
    /// Nothing.
    Nothing,
}

/// Whether a run is recorded with the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// Where, when, how long, and how it ended.
    Kept,
    /// Not at all.
    Off,
}

/// What `redlock run` is to do.
///
/// # Errors
///
/// If the settings make no sense. The command line is judged first, without looking at any file.
pub fn run(arguments: &cli::RunArguments, world: &World) -> Result<RunSettings, Error> {
    let sources = Sources::new(&arguments.options, world);
    sources.check_flags(&options::RUN)?;
    sources.check_flags(&options::COMMON)?;
    if let Some(command) = arguments.command.first() {
        refuse_server(&command.to_string_lossy())?;
    }
    check_place_of_resource(arguments)?;
    let resources = resources(&arguments.resources, "--resource", world)?;
    if arguments.command.is_empty() {
        let message = "no command given; write it after --, as in redlock run -r NAME -- COMMAND";
        return Err(Error::usage(message));
    }
    let file = File::find_and_read(&sources)?;
    let sources = sources
        .with_file(file)
        .with_resource(single(&arguments.resources));
    let ttl = sources.value(&options::TTL)?;
    let margin = margin(ttl);
    Ok(RunSettings {
        resources,
        ttl,
        wait: sources.optional(&options::WAIT)?.unwrap_or(Wait::No),
        conflict_exit: sources.value(&options::CONFLICT_EXIT_CODE)?,
        min_hold: sources.value(&options::MIN_HOLD)?,
        once_per: unless_zero(sources.optional(&options::ONCE_PER)?),
        max_runtime: unless_zero(sources.optional(&options::MAX_RUNTIME)?),
        kill_after: kill_after(&sources, ttl, margin)?,
        margin,
        stop_signal: sources.value(&options::SIGNAL)?,
        on_lost: sources.value(&options::ON_LOST)?,
        note: note(&sources)?,
        store_command: match sources.value(&options::NO_COMMAND)? {
            Choice::Yes => StoreCommand::Nothing,
            Choice::No => StoreCommand::FileName,
        },
        restarts: restarts(&sources)?,
        history: match sources.value(&options::NO_HISTORY)? {
            Choice::Yes => History::Off,
            Choice::No => History::Kept,
        },
        files: Files {
            status: sources.optional(&options::STATUS_FILE)?,
            metrics: sources
                .optional(&options::METRICS_FILE)?
                .map(|path| metrics(path, &arguments.resources, world)),
        },
        command: arguments.command.clone(),
        before: arguments.before,
        hidden_environment: set_by_environment(&options::RUN, world),
        common: common_of(&sources)?,
    })
}

/// What is known of a run whose settings make no sense: its resources, and where to tell that it
/// was refused. What makes no sense counts as not said here.
#[must_use]
pub fn remains_of(arguments: &cli::RunArguments, world: &World) -> (Vec<Resource>, Files) {
    let sources = Sources::new(&arguments.options, world);
    let file = File::glance(&sources);
    let sources = sources
        .with_file(file)
        .with_resource(single(&arguments.resources));
    let place = |setting| sources.optional(setting).ok().flatten();
    let moment = Moment::now(world);
    let resources = arguments.resources.iter();
    let resources = resources
        .filter_map(|name| resource(name, "--resource", &moment).ok())
        .collect();
    let files = Files {
        status: place(&options::STATUS_FILE),
        metrics: place(&options::METRICS_FILE)
            .map(|path| metrics(path, &arguments.resources, world)),
    };
    (resources, files)
}

/// Names that make no sense have no label.
fn metrics(path: PathBuf, typed: &[OsString], world: &World) -> Metrics {
    let moment = Moment::now(world);
    let sensible = |name: &&OsString| resource(name, "--resource", &moment).is_ok();
    let names = typed
        .iter()
        .filter(sensible)
        .filter_map(|name| name.to_str());
    let labels = names.filter_map(|name| moment.timeless(name).ok());
    Metrics {
        path,
        labels: labels.collect(),
    }
}

/// Tells who has written the resource behind the command, most often behind the directory of
/// `--local DIR`, that it is too late there.
fn check_place_of_resource(arguments: &cli::RunArguments) -> Result<(), Error> {
    let [command, rest @ ..] = &arguments.command[..] else {
        return Ok(());
    };
    if arguments.before == Before::Dashes {
        return Ok(());
    }
    let names_resource = |word: &&OsString| {
        let word = word.as_bytes();
        let is_long = |rest: &[u8]| rest.is_empty() || rest.starts_with(b"=");
        word.starts_with(b"-r") || word.strip_prefix(b"--resource").is_some_and(is_long)
    };
    match rest.iter().find(names_resource) {
        Some(option) if arguments.resources.is_empty() => {
            let (command, option) = (command.to_string_lossy(), option.to_string_lossy());
            let message = format!(
                "no resource given: {option} stands behind '{command}', which was taken for the \
                 command; options stand before it (the directory of --local is written --local=DIR)"
            );
            Err(Error::usage(&message))
        }
        _ => Ok(()),
    }
}

/// A zero takes back what a file says.
fn unless_zero(duration: Option<Duration>) -> Option<Duration> {
    duration.filter(|duration| !duration.is_zero())
}

/// The time between SIGKILL and the end of a lock of `ttl`: a twentieth of it, a moment at most.
pub(super) fn margin(ttl: Duration) -> Duration {
    MARGIN_LIMIT.min(ttl / 20)
}

/// The grace between the stop signal and SIGKILL; if nobody has set it, a quarter of `ttl` at most.
/// A TTL that leaves no time for the command to run before it must be stopped again is refused.
pub(super) fn kill_after(
    sources: &Sources,
    ttl: Duration,
    margin: Duration,
) -> Result<Duration, Error> {
    let Some((kill_after, origin)) = sources.located(&options::KILL_AFTER)? else {
        return Ok(USUAL_KILL_AFTER.min(ttl / 4));
    };
    let needed = kill_after.saturating_add(margin).saturating_mul(2);
    if ttl > needed {
        return Ok(kill_after);
    }
    let [kill_after, margin, needed, ttl] = [kill_after, margin, needed, ttl].map(duration::show);
    let message = format!(
        "{kill_after} is too long for a TTL of {ttl}, which must be more than \
         2 * ({kill_after} + {margin}) = {needed}; choose a longer TTL or a shorter grace"
    );
    Err(origin.error(&options::KILL_AFTER.row, &message))
}

fn set_by_environment(table: &[&dyn AnySetting], world: &World) -> Vec<String> {
    let names = table.iter().map(|setting| setting.row().variable());
    names
        .filter(|name| world.variable(name).is_some())
        .collect()
}
