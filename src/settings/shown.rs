//! `redlock config`: the merged settings as a file of settings would have them, with the origin of
//! each value behind it. Secrets are masked; everything is judged as `run` would judge it, for
//! every resource that the file knows, so that a file can be checked before it is rolled out.

use std::fmt::Write as _;
use std::time::Duration;

use super::duration;
use super::file::File;
use super::options::{self, COMMON, RUN};
use super::run::{kill_after, margin};
use super::servers::{self, PassedOver};
use super::sources::{AnySetting, Form, Found, Origin, Part, Place, Raw, Row, Sources};
use super::template::Moment;
use super::{Common, Error, World, common_of, server_url};
use crate::cli;
use crate::exit::Exit;
use crate::lock::claim::Resource;

/// Where the origins stand, unless a value is longer.
const ORIGIN_COLUMN: usize = 36;

/// What counts.
pub struct Merged {
    /// As text, with the origins.
    pub text: String,
    /// What is common to all commands: whether the files that it names are what they are to be is
    /// seen by who opens them.
    pub common: Common,
}

/// The settings.
///
/// # Errors
///
/// If they make no sense.
pub fn config(options: &cli::Options, world: &World) -> Result<Merged, Error> {
    let sources = Sources::new(options, world);
    sources.check_flags(&COMMON)?;
    let file = File::find_and_read(&sources)?;
    let sections: Vec<(String, String)> = file
        .iter()
        .flat_map(File::resources)
        .map(|(name, place)| (name.to_owned(), place))
        .collect();
    let mut text = match &file {
        Some(file) => format!("# {}\n\n", file.path().display()),
        None => "# no file of settings\n\n".to_owned(),
    };
    let mut sources = sources.with_file(file);
    let common = common_of(&sources)?;
    let kill_after = judge_run(&sources)?;
    let passed_over = servers::passed_over(&sources)?;
    let row_of = |setting: &&'static dyn AnySetting| setting.row();
    let of_all = COMMON.iter().map(row_of);
    let of_all = of_all.filter(|row| row.place != Place::Nowhere);
    show(&mut text, &sources, of_all, passed_over.as_ref());
    text.push_str("\n[defaults]\n");
    show(&mut text, &sources, RUN.iter().map(row_of), None);
    if sources.find(&options::KILL_AFTER.row).is_none() {
        // Not a value: in each section it goes by the TTL there.
        let line = format!("# kill-after = {}", quoted(&duration::show(kill_after)));
        let origin = "default, 5s and a quarter of the TTL at most";
        let _ = writeln!(text, "{line:ORIGIN_COLUMN$} # {origin}");
    }
    for (name, place) in &sections {
        sources = sources.with_resource(Some(name));
        judge_run(&sources)?;
        judge_name(name, place, world)?;
        let _ = write!(text, "\n[resource.{}]\n", quoted(name));
        let own = options::all().map(AnySetting::row);
        let own = own.filter(|row| sources.has_own(row));
        show(&mut text, &sources, own, None);
    }
    Ok(Merged { text, common })
}

/// Whether a run with these settings would be accepted. Answers its grace before SIGKILL.
fn judge_run(sources: &Sources) -> Result<Duration, Error> {
    for setting in &RUN {
        if let Some(found) = sources.find(setting.row()) {
            setting.check(&found)?;
        }
    }
    let ttl = sources.value(&options::TTL)?;
    kill_after(sources, ttl, margin(ttl))
}

/// A section whose name no `-r` can have is a mistake that nobody would notice.
fn judge_name(name: &str, place: &str, world: &World) -> Result<(), Error> {
    let bad = |message: &str| {
        let message = format!("{place}: [resource.{}]: {message}", quoted(name));
        Error::new(Exit::Configuration, message)
    };
    let expanded = Moment::now(world)
        .expand(name)
        .map_err(|error| bad(&error.message))?;
    let judged = Resource::new(&expanded);
    judged.map(drop).map_err(|error| bad(&error.to_string()))
}

/// One line for each of `rows` that has a value; a comment if that does not count.
fn show(
    text: &mut String,
    sources: &Sources,
    rows: impl Iterator<Item = &'static Row>,
    passed_over: Option<&PassedOver>,
) {
    for row in rows {
        let Some(found) = sources.find(row) else {
            continue;
        };
        let mut line = format!("{} = {}", row.key, value(row, &found));
        let mut origin = origin(row, &found.origin);
        if let Some(passed) = passed_over.filter(|it| it.row.name == row.name) {
            line.insert_str(0, "# ");
            let _ = write!(origin, ", further away than {}", passed.counts);
        }
        let _ = writeln!(text, "{line:ORIGIN_COLUMN$} # {origin}");
    }
}

fn origin(row: &Row, origin: &Origin) -> String {
    match origin {
        Origin::File { path, line, .. } => format!("{}:{line}", path.display()),
        Origin::Default => "default".to_owned(),
        Origin::Flag | Origin::Variable => origin.label(row),
    }
}

/// A value as a file would have it, without passwords.
fn value(row: &Row, found: &Found) -> String {
    match &found.raw {
        Raw::On => "true".to_owned(),
        Raw::Off => "false".to_owned(),
        Raw::List(values) => {
            let masked = values
                .iter()
                .map(|value| quoted(&server_url::masked(&value.to_string_lossy())));
            format!("[{}]", masked.collect::<Vec<_>>().join(", "))
        }
        Raw::Text(text) => {
            let text = text.to_string_lossy();
            match row.form {
                // The table's defaults are written as in a variable.
                Form::Switch => (text == "1").to_string(),
                Form::Number if text.parse::<u32>().is_ok() => text.into_owned(),
                _ => quoted(&text),
            }
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Sources<'_> {
    /// Whether the section of the resource that counts has a value of its own.
    fn has_own(&self, row: &Row) -> bool {
        let found = self.in_file(row);
        found.is_some_and(|found| {
            matches!(
                found.origin,
                Origin::File {
                    part: Part::Resource,
                    ..
                }
            )
        })
    }
}
