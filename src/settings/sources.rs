//! Where values come from, and which of them counts: flag > environment > section of the resource >
//! `[defaults]` > top of the file > default. One mechanism for all options: what is particular
//! about an option is said in the table, `options.rs`. Every value keeps its origin, so that
//! whatever is wrong with it can be told in terms of the place where the user has to correct it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::File;
use super::{Error, World};
use crate::cli;
use crate::exit::Exit;

/// How an option is written. All forms are the same on the command line and in a variable, but for
/// booleans (1 or 0) and lists (separated by commas or blanks).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With a value; in the file a text.
    Text,
    /// With a value; in the file a text or a whole number.
    Number,
    /// Without a value; in the file true or false.
    Switch,
    /// With or without a value; in the file a text, true or false.
    Optional,
    /// The same with a path: a variable may also be 1 or 0, which is none.
    OptionalPath,
    /// Repeated; in the file, where its name is in the plural, a list of texts.
    List,
}

/// Where in a file an option belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In no file: it names one itself, or is for a command that a person types.
    Nowhere,
    /// At the top or in `[defaults]`. Not in the section of a resource: if two runs looked for one
    /// lock on different servers or under different keys, both would get it.
    Top,
    /// At the top, in `[defaults]` or in the section of a resource.
    Anywhere,
    /// In `[defaults]` or in the section of a resource.
    Sections,
}

/// How the names of the environment variables begin.
const VARIABLES: &str = "REDLOCK_";

/// What is to be known of an option to look for it, whatever its type.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The long name of the flag.
    pub name: &'static str,
    /// The name in a file: that of the flag, or the plural of it for a list.
    pub key: &'static str,
    /// How it is written.
    pub form: Form,
    /// Where it is written in a file.
    pub place: Place,
    /// Its value where nothing else is said, as a user would write it; `None` if there is none, or
    /// if it depends on other options.
    pub default: Option<&'static str>,
    /// The exit code for a bad value of the flag or variable; in the file it is always 78.
    pub exit: Exit,
}

impl Row {
    /// The name of the environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        let letters = self.key.bytes().map(letter_of_variable).map(char::from);
        VARIABLES.chars().chain(letters).collect()
    }

    /// Whether `name` is that of the environment variable. Every option is looked for at each run.
    #[must_use]
    pub fn is_variable(&self, name: &OsStr) -> bool {
        let own = name.as_bytes().strip_prefix(VARIABLES.as_bytes());
        let letters = self.key.bytes().map(letter_of_variable);
        own.is_some_and(|own| own.iter().copied().eq(letters))
    }
}

fn letter_of_variable(letter: u8) -> u8 {
    match letter {
        b'-' => b'_',
        letter => letter.to_ascii_uppercase(),
    }
}

/// An option of the table: how to find it, and what its values mean.
pub struct Setting<T: 'static> {
    /// How to find it.
    pub row: Row,
    /// What a value means, or what is wrong with it, without saying where it comes from.
    pub parse: fn(&Found) -> Result<T, String>,
}

/// Any option of the table, whatever the type of its values.
pub trait AnySetting: Sync {
    /// How to find it.
    fn row(&self) -> &Row;

    /// Judges a value.
    ///
    /// # Errors
    ///
    /// If it makes no sense; the error names where it comes from.
    fn check(&self, found: &Found) -> Result<(), Error>;
}

impl<T> AnySetting for Setting<T> {
    fn row(&self) -> &Row {
        &self.row
    }

    fn check(&self, found: &Found) -> Result<(), Error> {
        self.value_of(found).map(drop)
    }
}

impl<T> Setting<T> {
    fn value_of(&self, found: &Found) -> Result<T, Error> {
        (self.parse)(found).map_err(|message| found.origin.error(&self.row, &message))
    }
}

/// A value as it was written. May contain a password, so it has no `Debug`.
#[derive(Clone)]
pub enum Raw {
    /// A switch that is on, or an option without its value.
    On,
    /// A switch that is off.
    Off,
    /// A value.
    Text(OsString),
    /// All values of a list.
    List(Vec<OsString>),
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On the command line.
    Flag,
    /// In the environment.
    Variable,
    /// In a file.
    File {
        /// The file.
        path: Arc<Path>,
        /// The line of the key, from 1.
        line: usize,
        /// The part of the file.
        part: Part,
    },
    /// Nowhere: the table's default.
    Default,
}

/// The part of a file, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `[resource."NAME"]`
    Resource,
    /// `[defaults]`
    Defaults,
    /// Before the first section.
    Top,
}

/// A value and where it was written.
#[derive(Clone)]
pub struct Found {
    /// The value.
    pub raw: Raw,
    /// Where it was written.
    pub origin: Origin,
}

impl Origin {
    /// How near to the user: of two options that exclude each other the lower one counts.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self {
            Self::Flag => 0,
            Self::Variable => 1,
            Self::File { part, .. } => match part {
                Part::Resource => 2,
                Part::Defaults => 3,
                Part::Top => 4,
            },
            Self::Default => 5,
        }
    }

    /// What messages call `row` here: `--ttl`, `REDLOCK_TTL`, `/etc/redlock/config.toml:7: ttl`.
    #[must_use]
    pub fn label(&self, row: &Row) -> String {
        match self {
            Self::Flag => format!("--{}", row.name),
            Self::Variable => row.variable(),
            Self::File { path, line, .. } => format!("{}:{line}: {}", path.display(), row.key),
            Self::Default => format!("the default of --{}", row.name),
        }
    }

    /// That the value of `row` from here makes no sense.
    #[must_use]
    pub fn error(&self, row: &Row, message: &str) -> Error {
        let exit = match self {
            Self::File { .. } => Exit::Configuration,
            _ => row.exit,
        };
        Error::new(exit, format!("{}: {message}", self.label(row)))
    }
}

impl Found {
    /// The value as text.
    ///
    /// # Errors
    ///
    /// If it is not UTF-8, or no text.
    pub fn text(&self) -> Result<&str, String> {
        match &self.raw {
            Raw::Text(text) => utf8(text),
            _ => Err("a value is needed".to_owned()),
        }
    }

    /// The value as a path of any bytes. In a file it is relative to the directory of the file:
    /// the working directory of a job may be anywhere.
    ///
    /// # Errors
    ///
    /// If it is empty, or no text.
    pub fn path(&self) -> Result<PathBuf, String> {
        let Raw::Text(text) = &self.raw else {
            return Err("a path is needed".to_owned());
        };
        if text.is_empty() {
            return Err("the path is empty".to_owned());
        }
        Ok(match &self.origin {
            Origin::File { path, .. } => path
                .parent()
                .map_or_else(|| text.into(), |directory| directory.join(text)),
            _ => text.into(),
        })
    }

    /// The values of a list.
    ///
    /// # Errors
    ///
    /// If one is not UTF-8, or there are none.
    pub fn list(&self) -> Result<Vec<&str>, String> {
        match &self.raw {
            Raw::List(values) if !values.is_empty() => {
                values.iter().map(|value| utf8(value)).collect()
            }
            _ => Err("the list is empty".to_owned()),
        }
    }
}

impl fmt::Debug for Found {
    /// Not the value: it may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

fn utf8(text: &OsStr) -> Result<&str, String> {
    text.to_str()
        .ok_or_else(|| "the value is not UTF-8".to_owned())
}

/// All the places where a value may be written.
pub struct Sources<'a> {
    options: &'a cli::Options,
    world: &'a World,
    file: Option<File>,
    /// The section of the file that counts.
    resource: Option<&'a str>,
}

impl<'a> Sources<'a> {
    /// Flags and environment alone.
    #[must_use]
    pub fn new(options: &'a cli::Options, world: &'a World) -> Self {
        Self {
            options,
            world,
            file: None,
            resource: None,
        }
    }

    /// Adds a file of settings.
    #[must_use]
    pub fn with_file(self, file: Option<File>) -> Self {
        Self { file, ..self }
    }

    /// Lets the file's section of `resource` count.
    #[must_use]
    pub fn with_resource(self, resource: Option<&'a str>) -> Self {
        Self { resource, ..self }
    }

    /// The world that the variables are of.
    #[must_use]
    pub fn world(&self) -> &World {
        self.world
    }

    /// The nearest value of an option, its default if there is none.
    #[must_use]
    pub fn find(&self, row: &Row) -> Option<Found> {
        self.flag(row)
            .or_else(|| self.variable(row))
            .or_else(|| self.in_file(row))
            .or_else(|| {
                Some(Found {
                    raw: Raw::Text(row.default?.into()),
                    origin: Origin::Default,
                })
            })
    }

    /// What the file says about an option.
    #[must_use]
    pub fn in_file(&self, row: &Row) -> Option<Found> {
        self.file.as_ref()?.find(row, self.resource)
    }

    /// What the nearest value of an option means, with its origin; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it makes no sense.
    pub fn located<T>(&self, setting: &Setting<T>) -> Result<Option<(T, Origin)>, Error> {
        let Some(found) = self.find(&setting.row) else {
            return Ok(None);
        };
        let value = setting.value_of(&found)?;
        Ok(Some((value, found.origin)))
    }

    /// What the nearest value of an option means; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it makes no sense.
    pub fn optional<T>(&self, setting: &Setting<T>) -> Result<Option<T>, Error> {
        Ok(self.located(setting)?.map(|(value, _)| value))
    }

    /// What the nearest value of an option means that the table has a default for.
    ///
    /// # Errors
    ///
    /// If it makes no sense.
    ///
    /// # Panics
    ///
    /// If the table has no default for it.
    pub fn value<T>(&self, setting: &Setting<T>) -> Result<T, Error> {
        let value = self.optional(setting)?;
        Ok(value.unwrap_or_else(|| panic!("--{} has a default", setting.row.name)))
    }

    /// Judges every flag of `table` that was typed.
    ///
    /// # Errors
    ///
    /// If one makes no sense.
    pub fn check_flags(&self, table: &[&dyn AnySetting]) -> Result<(), Error> {
        let typed = |setting: &&dyn AnySetting| self.flag(setting.row());
        table
            .iter()
            .filter_map(|setting| Some((setting, typed(setting)?)))
            .try_for_each(|(setting, found)| setting.check(&found))
    }

    fn flag(&self, row: &Row) -> Option<Found> {
        let values = self.options.values(row.name)?;
        let raw = match (row.form, values.last()) {
            (Form::List, _) => Raw::List(values.to_vec()),
            (Form::Switch, _) | (_, None) => Raw::On,
            (_, Some(last)) => Raw::Text(last.clone()),
        };
        Some(Found {
            raw,
            origin: Origin::Flag,
        })
    }

    fn variable(&self, row: &Row) -> Option<Found> {
        let value = self.world.variable_that(|name| row.is_variable(name))?;
        let raw = match (row.form, value.to_str()) {
            (Form::Switch | Form::OptionalPath, Some("1")) => Raw::On,
            (Form::Switch | Form::OptionalPath, Some("0")) => Raw::Off,
            (Form::List, Some(text)) => Raw::List(
                text.split(|c: char| c == ',' || c.is_whitespace())
                    .filter(|part| !part.is_empty())
                    .map(Into::into)
                    .collect(),
            ),
            (Form::List, None) => Raw::List(vec![value]),
            _ => Raw::Text(value),
        };
        Some(Found {
            raw,
            origin: Origin::Variable,
        })
    }
}
