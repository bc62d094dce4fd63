//! What outlives the boot beside the fencing reservation: done markers, and the history.
//!
//! ```text
//! DIR/done/3f/3f78….     a job was done, until an instant of the wall clock (fsync'ed)
//! DIR/history/3f/3f78….  the last runs of one resource, the latest last
//! ```
//!
//! Locks of another boot are free, and so is what `--min-hold` kept: whoever it kept out was here.
//! But "once per day" must hold over a reboot as well. Within a boot the record tells of the
//! marker; the file here is read only when there is no record yet. Its end is of the wall clock,
//! the one clock that goes on, and never further away than it was when it was written, should that
//! clock be set back.
//!
//! The caller holds the lock of the folder of the same name in this boot. Called by `store`.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::{self, Durability, Sharing, StoreError};
use super::record::{self, Lock};
use super::store::record_names;
use super::sweep;
use crate::clock;
use crate::node::parting::{HISTORY_DAYS, HISTORY_RUN_LIMIT, HISTORY_RUNS};

/// The directory of the done markers.
pub(super) const DONE: &str = "done";

/// The directory of the history.
const HISTORY: &str = "history";

/// How large the file of a history may become, in bytes, before all but the last runs are taken out
/// of it: adding one to its end takes a third of the time.
const HISTORY_ROOM: u64 = 16 * 1024;

/// Where one resource's files are, by the name of its record.
pub(super) struct Lasting<'a> {
    pub(super) directory: &'a Path,
    pub(super) folder: &'a str,
    pub(super) name: &'a str,
}

impl Lasting<'_> {
    /// The resource's key and the marker, if its end has not come. As a lock of this boot. Who
    /// cannot tell must not run.
    pub(super) fn done(&self, now: Duration) -> Result<Option<(String, Lock)>, StoreError> {
        let path = self.path(DONE);
        files::refuse_link(&self.directory.join(DONE))?;
        let Some(bytes) = files::read(&path)? else {
            return Ok(None);
        };
        let marker = DoneFile::decode(&bytes).ok_or(StoreError::Damaged(path))?;
        let rest = marker.until_ms.saturating_sub(clock::unix_ms());
        Ok((rest > 0).then(|| {
            let lock = Lock {
                value: marker.value.to_vec(),
                until_ms: clock::whole_ms(now).saturating_add(rest.min(marker.span_ms)),
            };
            (marker.key.to_owned(), lock)
        }))
    }

    /// Writes the marker `lock` of `key` through to the disk.
    pub(super) fn mark_done(
        &self,
        key: &str,
        lock: &Lock,
        now: Duration,
        sharing: Sharing,
    ) -> Result<(), StoreError> {
        let span = lock.left(now).unwrap_or_default();
        let span_ms = clock::whole_ms(span);
        let until_ms = clock::unix_ms().saturating_add(span_ms);
        let marker = DoneFile {
            until_ms,
            span_ms,
            key,
            value: &lock.value,
        };
        let folder = self.create_folder(DONE, sharing)?;
        sweep::neighbours(&folder, |path| {
            let bytes = files::read(path).ok().flatten();
            let marker = bytes.as_deref().and_then(DoneFile::decode);
            marker.is_some_and(|marker| marker.until_ms < clock::unix_ms())
        });
        files::replace(
            &folder,
            self.name,
            &marker.encode(),
            sharing,
            Durability::PowerCut,
        )?;
        files::sync_directory(&self.directory.join(DONE))?;
        files::sync_directory(self.directory)
    }

    /// Takes the marker away, if there is one.
    pub(super) fn forget_done(&self) {
        if files::refuse_link(&self.directory.join(DONE)).is_ok() {
            let _ = fs::remove_file(self.path(DONE));
        }
    }

    /// The last runs, the latest first; none if the last was too long ago.
    pub(super) fn history(&self) -> Result<Vec<String>, StoreError> {
        let path = self.path(HISTORY);
        if is_old_at(&path) {
            return Ok(Vec::new());
        }
        let bytes = files::read(&path)?.unwrap_or_default();
        // What a power cut tore is left out.
        let text = String::from_utf8_lossy(&bytes);
        let runs = text.lines().rev().take(HISTORY_RUNS);
        Ok(runs.map(ToOwned::to_owned).collect())
    }

    /// Adds a run. Nothing depends on it: a full disk is no reason to call a lock not released.
    pub(super) fn remember(&self, run: &str, sharing: Sharing) {
        if run.len() > HISTORY_RUN_LIMIT || run.contains('\n') {
            return;
        }
        if self.append(run) {
            return;
        }
        // What cannot be read now may be whole.
        let Ok(runs) = files::unless_damaged(self.history()) else {
            return;
        };
        let mut runs = runs.unwrap_or_default();
        let is_new = runs.is_empty();
        runs.retain(|known| known != run);
        runs.truncate(HISTORY_RUNS - 1);
        runs.insert(0, run.to_owned());
        let text: String = runs.iter().rev().flat_map(|run| [run, "\n"]).collect();
        let Ok(folder) = self.create_folder(HISTORY, sharing) else {
            return;
        };
        let durability = Durability::UntilReboot;
        let _ = files::replace(&folder, self.name, text.as_bytes(), sharing, durability);
        if is_new {
            sweep::neighbours(&folder, is_old_at);
        }
    }

    /// Adds a run at the end of the history that is there, or finds it there: the same release
    /// again adds nothing. False if the file has to be written anew.
    fn append(&self, run: &str) -> bool {
        let history = self.directory.join(HISTORY);
        let folder = history.join(self.folder);
        let has_room = |file: &Metadata| file.len() < HISTORY_ROOM && !is_old(file);
        let add = || files::append(&folder, self.name, &format!("{run}\n"), has_room);
        files::refuse_link(&history).is_ok() && add().unwrap_or_default()
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.directory.join(kind).join(self.folder).join(self.name)
    }

    fn create_folder(&self, kind: &str, sharing: Sharing) -> Result<PathBuf, StoreError> {
        let folder = self.directory.join(kind).join(self.folder);
        files::refuse_link(&self.directory.join(kind))?;
        if !files::is_directory(&folder) {
            files::create_whole(self.directory, kind, &[], sharing)?;
            files::create_whole(&self.directory.join(kind), self.folder, &[], sharing)?;
        }
        Ok(folder)
    }
}

/// The names of the records that have a marker in the folder of this name.
pub(super) fn done_in(directory: &Path, folder: &str) -> Result<Vec<String>, StoreError> {
    let done = directory.join(DONE);
    files::refuse_link(&done)?;
    record_names(&done.join(folder))
}

/// What a done marker's file holds.
struct DoneFile<'a> {
    /// Its end, in milliseconds of the wall clock.
    until_ms: u64,
    /// How far away that was when it was written.
    span_ms: u64,
    key: &'a str,
    value: &'a [u8],
}

impl<'a> DoneFile<'a> {
    /// `UNTIL_MS SPAN_MS KEY_BYTES`, a newline, the key, a newline, the value.
    fn encode(&self) -> Vec<u8> {
        let (until_ms, span_ms, key) = (self.until_ms, self.span_ms, self.key);
        let head = format!("{until_ms} {span_ms} {}\n{key}\n", key.len());
        [head.as_bytes(), self.value].concat()
    }

    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = record::line(bytes)?;
        let [until_ms, span_ms, key_len] = record::numbers(head)?;
        let (key, rest) = rest.split_at_checked(usize::try_from(key_len).ok()?)?;
        Some(Self {
            until_ms,
            span_ms,
            key: std::str::from_utf8(key).ok()?,
            value: rest.strip_prefix(b"\n")?,
        })
    }
}

/// Whether the file was not written to for longer than a history is kept.
fn is_old(file: &Metadata) -> bool {
    let modified = file.modified().ok();
    let age = modified.and_then(|modified| modified.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_hours(24 * HISTORY_DAYS))
}

fn is_old_at(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| is_old(&file))
}
