//! The file of settings: which one it is, and what stands where in it.
//!
//! The whole file is judged whenever it is read, also the sections of other resources: a mistake is
//! told when the file was changed, not at night when its job is due. Keeps the line of every key
//! for the messages. Called by `settings`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::options::{self, SERVER};
use super::sources::{AnySetting, Form, Found, Origin, Part, Place, Raw, Row, Sources};
use super::{Error, server_url};
use crate::errno;
use crate::exit::Exit;

/// How alike two words must be, from 0 to 1, for one to be taken for a slip of the other.
const ALIKE: f64 = 0.75;

/// Keys and values of one part of a file.
type Section = BTreeMap<String, Entry>;

/// A value in a file. It may contain a password, so it has no `Debug`.
struct Entry {
    line: usize,
    raw: Raw,
}

/// The largest file that is read, in bytes: `/dev/zero` has no end.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// A file that has been read and makes sense.
pub struct File {
    path: Arc<Path>,
    top: Section,
    defaults: Section,
    resources: BTreeMap<String, OfResource>,
}

/// The section of one resource, and the line that it begins with.
struct OfResource {
    line: usize,
    section: Section,
}

impl File {
    /// Reads the file that the user named, or the first that exists of the usual ones; none exists
    /// in most containers, and that is fine.
    ///
    /// # Errors
    ///
    /// If the named file does not exist, a file cannot be read, makes no sense, or holds a password
    /// that others can read: exit 78.
    pub fn find_and_read(sources: &Sources) -> Result<Option<Self>, Error> {
        if let Some((path, origin)) = sources.located(&options::CONFIG)? {
            let row = &options::CONFIG.row;
            let text = read(&path).map_err(|error| {
                let message = format!("cannot read {}: {}", path.display(), reason(&error));
                Error::new(
                    Exit::Configuration,
                    format!("{}: {message}", origin.label(row)),
                )
            })?;
            return Self::judge(path, &text).map(Some);
        }
        for path in sources.world().configuration_files() {
            match read(&path) {
                Ok(text) => return Self::judge(path, &text).map(Some),
                Err(error) if is_absence(&error) => {}
                Err(error) => {
                    let message = format!(
                        "cannot read {}: {}; make it readable, or name another with --config",
                        path.display(),
                        reason(&error)
                    );
                    return Err(Error::new(Exit::Configuration, message));
                }
            }
        }
        Ok(None)
    }

    /// The same file for whoever looks at it early: nothing if it makes no sense, or if it can be
    /// read only once, as in `--config <(make-config)`.
    #[must_use]
    pub fn glance(sources: &Sources) -> Option<Self> {
        let named = sources.optional(&options::CONFIG).ok()?;
        if named.is_some_and(|path| !path.is_file()) {
            return None;
        }
        Self::find_and_read(sources).ok()?
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resources that have a section, and where that is.
    pub fn resources(&self) -> impl Iterator<Item = (&str, String)> {
        let path = self.path.display();
        self.resources
            .iter()
            .map(move |(name, own)| (name.as_str(), format!("{path}:{}", own.line)))
    }

    /// What the file says about `row`, the section of `resource` before `[defaults]` before the
    /// top.
    #[must_use]
    pub fn find(&self, row: &Row, resource: Option<&str>) -> Option<Found> {
        let own = resource.and_then(|name| Some(&self.resources.get(name)?.section));
        let parts = [
            (Part::Resource, own),
            (Part::Defaults, Some(&self.defaults)),
            (Part::Top, Some(&self.top)),
        ];
        let key = row.key;
        parts.into_iter().find_map(|(part, section)| {
            let entry = section?.get(key)?;
            Some(self.found(entry, part))
        })
    }

    fn found(&self, entry: &Entry, part: Part) -> Found {
        let (path, line) = (Arc::clone(&self.path), entry.line);
        Found {
            raw: entry.raw.clone(),
            origin: Origin::File { path, line, part },
        }
    }

    fn judge(path: PathBuf, content: &Content) -> Result<Self, Error> {
        let text = &content.text;
        let reader = Reader { path: &path, text };
        let (top, defaults, resources) = reader.read()?;
        let file = Self {
            path: path.into(),
            top,
            defaults,
            resources,
        };
        // Who may read a password is to be put right first, whatever else is wrong.
        file.refuse_open_secrets(content.mode)?;
        file.check()?;
        Ok(file)
    }

    fn sections(&self) -> impl Iterator<Item = (Part, &Section)> {
        let resources = self
            .resources
            .values()
            .map(|own| (Part::Resource, &own.section));
        [(Part::Top, &self.top), (Part::Defaults, &self.defaults)]
            .into_iter()
            .chain(resources)
    }

    fn check(&self) -> Result<(), Error> {
        for (part, section) in self.sections() {
            for (key, entry) in section {
                let setting = known(key).expect("unknown keys have been refused");
                setting.check(&self.found(entry, part))?;
            }
        }
        Ok(())
    }

    fn refuse_open_secrets(&self, mode: u32) -> Result<(), Error> {
        let secret = self.sections().find_map(|(part, section)| {
            let entry = section.get(SERVER.row.key)?;
            let Raw::List(urls) = &entry.raw else {
                return None;
            };
            let secret = |url: &OsString| server_url::holds_password(&url.to_string_lossy());
            urls.iter().any(secret).then(|| self.found(entry, part))
        });
        match secret {
            Some(found) if is_open(mode) => Err(found.origin.error(
                &SERVER.row,
                &format!(
                    "the file holds a password and {}",
                    how_to_close(&self.path, mode)
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Whether users who are neither owner nor of the group may do anything with a file.
#[must_use]
pub fn is_open(mode: u32) -> bool {
    mode & 0o007 != 0
}

/// Why a file that holds a secret is refused, and what to do.
#[must_use]
pub fn how_to_close(path: &Path, mode: u32) -> String {
    format!(
        "is accessible to others (mode {:04o}); chmod o-rwx {} (Kubernetes: defaultMode: 0400)",
        mode & 0o7777,
        path.display()
    )
}

/// A file's text, and who may access it.
pub struct Content {
    /// All of it.
    pub text: String,
    /// The bits of permission, asked of the very file that was read.
    pub mode: u32,
}

/// Reads a whole file.
///
/// # Errors
///
/// If it cannot be read, is not UTF-8, or is larger than any file of ours.
pub fn read(path: &Path) -> std::io::Result<Content> {
    let file = std::fs::File::open(path)?;
    let mode = file.metadata()?.mode();
    let mut text = String::new();
    if file.take(SIZE_LIMIT + 1).read_to_string(&mut text)? as u64 > SIZE_LIMIT {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(Content { text, mode })
}

/// Why a file that a user named cannot be read, as it reads in a sentence.
#[must_use]
pub fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a directory".to_owned(),
        ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
        ErrorKind::FileTooLarge => "it is larger than 1 MiB".to_owned(),
        _ => errno::reason(error),
    }
}

fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Whether `text` can be a key, rather than a piece of a broken value, which may be a password.
fn is_bare(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn known(key: &str) -> Option<&'static dyn AnySetting> {
    let mut settings = options::all();
    settings.find(|setting| setting.row().key == key && setting.row().place != Place::Nowhere)
}

/// Takes the text of a file apart.
struct Reader<'t> {
    path: &'t Path,
    text: &'t str,
}

type Parts = (Section, Section, BTreeMap<String, OfResource>);
type Key<'t> = Spanned<std::borrow::Cow<'t, str>>;

impl<'t> Reader<'t> {
    fn read(&self) -> Result<Parts, Error> {
        let table = DeTable::parse(self.text).map_err(|error| self.syntax(&error))?;
        let (mut top, mut defaults, mut resources) = Parts::default();
        for (key, value) in table.get_ref() {
            match key.get_ref().as_ref() {
                "defaults" => {
                    let table = self.table(key, value, "a section, [defaults],")?;
                    defaults = self.section(table, Part::Defaults)?;
                }
                "resource" => {
                    let wanted = "a section for each resource, as in [resource.\"NAME\"],";
                    for (name, section) in self.table(key, value, wanted)? {
                        let section = self.table(name, section, wanted)?;
                        let section = self.section(section, Part::Resource)?;
                        let line = self.line(name.span().start);
                        resources.insert(name.get_ref().to_string(), OfResource { line, section });
                    }
                }
                name => {
                    top.insert(name.to_owned(), self.entry(key, value, Part::Top)?);
                }
            }
        }
        Ok((top, defaults, resources))
    }

    fn table<'v>(
        &self,
        key: &Key,
        value: &'v Spanned<DeValue<'t>>,
        wanted: &str,
    ) -> Result<&'v DeTable<'t>, Error> {
        let wrong = || {
            let message = format!("{wanted} is wanted here");
            self.error(key, &message)
        };
        value.get_ref().as_table().ok_or_else(wrong)
    }

    fn section(&self, table: &DeTable<'t>, part: Part) -> Result<Section, Error> {
        let entries = table.iter().map(|(key, value)| {
            let entry = self.entry(key, value, part)?;
            Ok((key.get_ref().to_string(), entry))
        });
        entries.collect()
    }

    fn entry(&self, key: &Key, value: &Spanned<DeValue>, part: Part) -> Result<Entry, Error> {
        let Some(setting) = known(key.get_ref()) else {
            if part == Part::Resource && matches!(value.get_ref(), DeValue::Table(_)) {
                let message = "no section can be inside of a resource's; write a name with dots in quotes, \
                               as in [resource.\"one.two\"]";
                return Err(self.error(key, message));
            }
            return Err(self.error(key, &unknown(key.get_ref(), part)));
        };
        let row = setting.row();
        misplaced(row.place, part).map_or(Ok(()), |message| Err(self.error(key, message)))?;
        let raw = raw(row.form, value.get_ref()).map_err(|message| self.error(key, &message))?;
        let line = self.line(key.span().start);
        Ok(Entry { line, raw })
    }

    /// The library's message, with the key where the line has one.
    fn syntax(&self, error: &toml::de::Error) -> Error {
        let at = error.span().map_or(0, |span| span.start);
        let number = self.line(at);
        let line = self.text.lines().nth(number - 1).unwrap_or_default();
        let key = match line.split_once('=') {
            Some((key, _)) if is_bare(key.trim()) => format!("{}: ", key.trim()),
            _ => String::new(),
        };
        let message = error.message().trim().replace('\n', ", ");
        self.telling(number, &format!("{key}{message}"))
    }

    fn error(&self, key: &Key, message: &str) -> Error {
        let number = self.line(key.span().start);
        self.telling(number, &format!("{}: {message}", key.get_ref()))
    }

    fn telling(&self, line: usize, message: &str) -> Error {
        let message = format!("{}:{line}: {message}", self.path.display());
        Error::new(Exit::Configuration, message)
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        before.filter(|byte| **byte == b'\n').count() + 1
    }
}

/// What is wrong with an option of this `place` in this `part`, if anything.
fn misplaced(place: Place, part: Part) -> Option<&'static str> {
    match (place, part) {
        (Place::Sections, Part::Top) => Some("move it into [defaults] or [resource.\"NAME\"]"),
        (Place::Top, Part::Resource) => Some(
            "move it to the top of the file; it must be the same for all resources, or two jobs \
             might hold one lock in different places",
        ),
        _ => None,
    }
}

fn unknown(key: &str, part: Part) -> String {
    let names = options::all().map(AnySetting::row);
    let fitting = names
        .filter(|row| row.place != Place::Nowhere && misplaced(row.place, part).is_none())
        .map(|row| row.key);
    let sections = ["defaults", "resource"]
        .into_iter()
        .filter(|_| part == Part::Top);
    let nearest = fitting
        .chain(sections)
        .map(|name| (strsim::jaro_winkler(name, key), name))
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match nearest {
        Some((alike, name)) if alike > ALIKE => format!("unknown key; did you mean '{name}'?"),
        _ => "unknown key; see redlock run --help for the options there are".to_owned(),
    }
}

/// The value of a file as if it had been typed, if its type is one of `form`.
fn raw(form: Form, value: &DeValue) -> Result<Raw, String> {
    let wanted = match (form, value) {
        (Form::Switch | Form::Optional | Form::OptionalPath, DeValue::Boolean(is_on)) => {
            return Ok(if *is_on { Raw::On } else { Raw::Off });
        }
        (
            Form::Text | Form::Number | Form::Optional | Form::OptionalPath,
            DeValue::String(text),
        ) => {
            return Ok(Raw::Text(text.as_ref().into()));
        }
        (Form::Number, DeValue::Integer(number)) => {
            return Ok(Raw::Text(number.to_string().into()));
        }
        (Form::List, DeValue::Array(values)) => {
            let texts: Option<Vec<OsString>> = values
                .iter()
                .map(|value| Some(value.get_ref().as_str()?.into()))
                .collect();
            return texts.map(Raw::List).ok_or_else(|| {
                "every value of this list must be a text in quotes, as in [\"one\", \"two\"]"
                    .to_owned()
            });
        }
        (Form::Switch, _) => "true or false",
        (Form::Optional | Form::OptionalPath, _) => "true, false or a text in quotes",
        (Form::Text, _) => "a text in quotes",
        (Form::Number, _) => "a number, or a text in quotes",
        (Form::List, _) => "a list of texts, as in [\"one\", \"two\"]",
    };
    Err(format!("{wanted} is wanted here, not {}", type_of(value)))
}

fn type_of(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
