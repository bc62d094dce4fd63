//! `redlock config`: the merged settings as a file of settings would have them, with the origin of
//! each value behind it. Secrets are masked; everything is judged as `run` would judge it, for
//! every resource that the file knows, so that a file can be checked before it is rolled out.

use std::fmt::Write as _;

use super::file::File;
use super::options::{self, COMMON, RUN};
use super::run::{MARGIN, kill_after};
use super::sources::{AnySetting, Form, Found, Origin, Part, Place, Raw, Row, Sources};
use super::template::Moment;
use super::{Error, World, common_of, server_url};
use crate::cli;
use crate::exit::Exit;
use crate::lock::claim::Resource;

/// Where the origins stand, unless a value is longer.
const ORIGIN_COLUMN: usize = 36;

/// The settings as text.
///
/// # Errors
///
/// If they make no sense.
pub fn config(options: &cli::Options, world: &World) -> Result<String, Error> {
    let sources = Sources::new(options, world);
    sources.check_flags(&COMMON)?;
    let file = File::find_and_read(&sources)?;
    let names: Vec<String> = file
        .iter()
        .flat_map(File::resources)
        .map(ToOwned::to_owned)
        .collect();
    let mut text = match &file {
        Some(file) => format!("# {}\n\n", file.path().display()),
        None => "# no file of settings\n\n".to_owned(),
    };
    let mut sources = sources.with_file(file);
    common_of(&sources)?;
    judge_run(&sources)?;
    let row_of = |setting: &&'static dyn AnySetting| setting.row();
    let common = COMMON.iter().map(row_of);
    let common = common.filter(|row| row.place != Place::Nowhere);
    show(&mut text, common, |row| sources.find(row));
    text.push_str("\n[defaults]\n");
    show(&mut text, RUN.iter().map(row_of), |row| sources.find(row));
    for name in &names {
        sources = sources.with_resource(Some(name));
        judge_run(&sources)?;
        judge_name(name, world)?;
        let _ = write!(text, "\n[resource.{}]\n", quoted(name));
        let own = options::all().map(AnySetting::row);
        let own = own.filter(|row| sources.has_own(row));
        show(&mut text, own, |row| sources.find(row));
    }
    Ok(text)
}

/// Whether a run with these settings would be accepted.
fn judge_run(sources: &Sources) -> Result<(), Error> {
    for setting in &RUN {
        if let Some(found) = sources.find(setting.row()) {
            setting.check(&found)?;
        }
    }
    let ttl = sources.value(&options::TTL)?;
    kill_after(sources, ttl, MARGIN.min(ttl / 20)).map(drop)
}

/// A section whose name no `-r` can have is a mistake that nobody would notice.
fn judge_name(name: &str, world: &World) -> Result<(), Error> {
    let bad = |message: &str| {
        let message = format!("[resource.{}]: {message}", quoted(name));
        Error::new(Exit::Configuration, message)
    };
    let expanded = Moment::now(world)
        .expand(name)
        .map_err(|error| bad(error.message.trim_start_matches("--resource: ")))?;
    let judged = Resource::new(&expanded);
    judged.map(drop).map_err(|error| bad(&error.to_string()))
}

/// One line for each of `rows` that has a value.
fn show(
    text: &mut String,
    rows: impl Iterator<Item = &'static Row>,
    find: impl Fn(&Row) -> Option<Found>,
) {
    for row in rows {
        let Some(found) = find(row) else {
            continue;
        };
        let line = format!("{} = {}", row.key, value(row, &found.raw));
        let _ = writeln!(
            text,
            "{line:ORIGIN_COLUMN$} # {}",
            origin(row, &found.origin)
        );
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
fn value(row: &Row, raw: &Raw) -> String {
    match raw {
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
