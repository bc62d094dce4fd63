//! The records on the disk: which file is whose, under which lock, and what has to survive.
//!
//! ```text
//! DIR/fence/lock                 locked while the reservation below is raised
//! DIR/fence/reserved             every fencing token ever given out here is smaller (fsync'ed)
//! DIR/done, DIR/history          what is kept over boots; see `lasting`
//! DIR/boot-ID/fences             that number as this boot found it, and as it stands now
//! DIR/boot-ID/turns              locked at the byte of its resource by who waits first; see `turn`
//! DIR/boot-ID/3f/lock            locked for every access to this folder; never replaced or removed
//! DIR/boot-ID/3f/3f78….          the record of one resource, named by the SHA-1 of its key
//! ```
//!
//! **Locks.** A lock file of its own for each resource could never be removed: a process that has
//! opened it would lock a file without a name, beside one that has created a new one. With
//! `{date}` in names they would fill the disk. So the resources share 256 folders with one lock
//! file each, which are as many as there will ever be, and under that lock a record may be
//! removed like any other file. Several are taken in one order, and all are let go when one is
//! taken, so nobody waits for anybody while holding one.
//!
//! **The boot.** Locks of another boot are free, so what belongs to a boot is in a directory of its
//! own. Nothing in it needs fsync: what a power cut tears there is never read again.
//!
//! **Fencing tokens** must grow over boots (Invariant I2), also when the wall clock starts in the
//! past. Writing each one through would cost milliseconds each time; instead `reserved` is kept
//! [`RESERVE`] ahead and written through when a token would reach it: about once a day. `fences` is
//! written after it, so whoever reads there knows that the disk has it. After a boot tokens go on
//! from `reserved`, up to a day ahead of the wall clock, and by ones until the clock is there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use super::files::{self, Durability, LOCK, Sharing, StoreError};
use super::lasting::{self, Lasting};
use super::record::{self, Record};
use super::sweep;
use super::turn::Queue;
use crate::clock;
use crate::node::MarkerKind;

/// Where Linux tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What the name of a boot's directory begins with.
pub(super) const BOOT_PREFIX: &str = "boot-";

/// The length of a record's name, a SHA-1 in hexadecimal.
const NAME_LEN: usize = 40;

/// How far the fencing reservation is kept ahead, in tokens: a day, as long as they are
/// milliseconds.
const RESERVE: u64 = 24 * 60 * 60 * 1000;

/// How long after a boot the wall clock may still be wrong.
const CLOCK_IS_RIGHT_AFTER: Duration = Duration::from_mins(1);

/// The name of the directory with the reservation.
const FENCE: &str = "fence";

/// The file in it.
const RESERVED: &str = "reserved";

/// The reservation, as one boot knows it.
const FENCES: &str = "fences";

/// The file on which the kernel keeps the queues of those who wait.
const TURNS: &str = "turns";

/// A directory with records.
pub(super) struct Store {
    directory: PathBuf,
    /// Where `BOOT_ID` is read from.
    boot_id: PathBuf,
    /// The directory of this boot, once it is known.
    boot: OnceLock<PathBuf>,
    /// Who may use the files, once the directory was looked at.
    sharing: OnceLock<Sharing>,
}

/// The records of some keys, locked against everybody else until the value is dropped.
pub(super) struct Session<'a> {
    store: &'a Store,
    files: Vec<RecordFile>,
    _locks: Vec<File>,
}

/// Where the record of one key stands.
struct RecordFile {
    folder: PathBuf,
    name: String,
    /// Whether there was none when it was looked for.
    is_new: bool,
}

impl RecordFile {
    fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }
}

impl Store {
    /// The store in `directory`. Nothing is touched yet.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self::with_boot_id(directory, PathBuf::from(BOOT_ID))
    }

    /// As [`Store::new`], with another file to read the boot's id from.
    pub(super) fn with_boot_id(directory: PathBuf, boot_id: PathBuf) -> Self {
        Self {
            directory,
            boot_id,
            boot: OnceLock::new(),
            sharing: OnceLock::new(),
        }
    }

    /// Creates the directory if it is missing, and looks whether it can be used.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        files::create_private(&self.directory)?;
        files::check_access(&self.directory)
    }

    /// Looks whether the directory can be used, if there is one.
    pub(super) fn check_if_there(&self) -> Result<(), StoreError> {
        if self.is_missing() {
            return Ok(());
        }
        files::check_access(&self.directory)
    }

    /// Looks whether all can be used that others have created in it for locks of this boot.
    pub(super) fn check_contents(&self) -> Result<(), StoreError> {
        let boot = self.boot()?;
        if files::is_directory(boot) {
            self.fences()?;
        }
        files::refuse_link(&self.directory.join(lasting::DONE))?;
        let is_folder = |name: &String| name.len() == 2;
        let folders = files::names(boot)?.into_iter().filter(is_folder);
        let folders = folders.map(|name| boot.join(name));
        let all = folders.chain([boot.to_owned(), self.directory.join(FENCE)]);
        for folder in all {
            files::refuse_link(&folder)?;
            if !folder.exists() {
                continue;
            }
            if !folder.is_dir() {
                let error = ErrorKind::NotADirectory.into();
                return Err(StoreError::system("use", &folder)(error));
            }
            files::check_access(&folder)?;
            files::check_lock(&folder.join(LOCK))?;
        }
        Ok(())
    }

    /// Whether somebody to whom this is another boot has used the directory since this host booted.
    pub(super) fn has_other_users(&self) -> Result<bool, StoreError> {
        let own = self.boot()?;
        let booted = clock::wall().checked_sub(clock::host_uptime());
        // Clocks are put right after a boot.
        let since = booted.map(|booted| booted + CLOCK_IS_RIGHT_AFTER);
        let is_used = |path: &Path| {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
            modified.is_ok_and(|modified| Some(modified) > since)
        };
        let boots = files::names(&self.directory)?.into_iter();
        let boots = boots.filter(|name| name.starts_with(BOOT_PREFIX));
        let mut others = boots.map(|name| self.directory.join(name));
        Ok(others.any(|boot| {
            boot != own
                && files::is_directory(&boot)
                && files::names(&boot)
                    .is_ok_and(|folders| folders.iter().any(|name| is_used(&boot.join(name))))
        }))
    }

    /// Whether nobody has created the directory yet.
    pub(super) fn is_missing(&self) -> bool {
        let found = fs::metadata(&self.directory);
        found.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Locks the records of `keys`, or answers [`StoreError::Busy`]. Creates what is missing.
    pub(super) fn open(&self, keys: &[String]) -> Result<Session<'_>, StoreError> {
        let boot = self.boot()?;
        let mut locks = Vec::with_capacity(keys.len());
        let names: Vec<String> = keys.iter().map(|key| file_name(key)).collect();
        let folders: BTreeSet<&str> = names.iter().map(|name| folder_name(name)).collect();
        files::refuse_link(boot)?;
        for folder in folders {
            files::refuse_link(&boot.join(folder))?;
            let path = boot.join(folder).join(LOCK);
            let lock = match files::try_lock(&path) {
                Err(error) if error.is_not_found() => {
                    self.prepare(boot, folder)?;
                    files::try_lock(&path)
                }
                result => result,
            };
            locks.push(lock?);
        }
        let place = |name: String| RecordFile {
            folder: boot.join(folder_name(&name)),
            name,
            is_new: false,
        };
        Ok(Session {
            store: self,
            files: names.into_iter().map(place).collect(),
            _locks: locks,
        })
    }

    /// The last runs of `key`, the latest first.
    pub(super) fn history(&self, key: &str) -> Result<Vec<String>, StoreError> {
        self.lasting(&file_name(key)).history()
    }

    fn lasting<'a>(&'a self, name: &'a str) -> Lasting<'a> {
        Lasting {
            directory: &self.directory,
            folder: folder_name(name),
            name,
        }
    }

    /// Where the record of `key` stands, if there is one.
    pub(super) fn record_path(&self, key: &str) -> Result<PathBuf, StoreError> {
        let name = file_name(key);
        Ok(self.boot()?.join(folder_name(&name)).join(&name))
    }

    /// Where those who wait for `key` queue.
    pub(super) fn queue(&self, key: &str) -> Result<Queue, StoreError> {
        let name = file_name(key);
        // 60 bits: no two resources stand in each other's way.
        let place = i64::from_str_radix(&name[..15], 16).unwrap_or_default();
        Ok(Queue::new(self.boot()?.join(TURNS), place))
    }

    /// The records in one of the folders, 0 to 255, those that are damaged left out. What an
    /// earlier boot has left there as done comes as the record that it will become.
    pub(super) fn records_in(&self, folder: u8, now: Duration) -> Result<Vec<Record>, StoreError> {
        let name = format!("{folder:02x}");
        let folder = self.boot()?.join(&name);
        let names: BTreeSet<String> = record_names(&folder)?.into_iter().collect();
        let mut records = Vec::new();
        for name in &names {
            records.extend(peek(&folder.join(name))?);
        }
        for left in lasting::done_in(&self.directory, &name)? {
            if names.contains(&left) {
                continue;
            }
            let done = files::unless_damaged(self.lasting(&left).done(now))?;
            if let Some((key, lock)) = done.flatten() {
                let mut record = Record::new(&key, 0, 0);
                record.lock = Some(lock);
                records.push(record);
            }
        }
        Ok(records)
    }

    /// The directory of this boot.
    fn boot(&self) -> Result<&Path, StoreError> {
        if let Some(boot) = self.boot.get() {
            return Ok(boot);
        }
        let damaged = || StoreError::Damaged(self.boot_id.clone());
        let no_boot = || StoreError::NoBoot(self.boot_id.clone());
        let bytes = files::read(&self.boot_id)?.ok_or_else(no_boot)?;
        let id = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        let is_id = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        if id.is_empty() || !id.bytes().all(is_id) {
            return Err(damaged());
        }
        let boot = self.directory.join(format!("{BOOT_PREFIX}{id}"));
        Ok(self.boot.get_or_init(|| boot))
    }

    fn sharing(&self) -> Result<Sharing, StoreError> {
        if let Some(sharing) = self.sharing.get() {
            return Ok(*sharing);
        }
        let sharing = Sharing::of(&self.directory)?;
        Ok(*self.sharing.get_or_init(|| sharing))
    }

    /// Creates `folder` of this boot, and whatever it stands in.
    fn prepare(&self, boot: &Path, folder: &str) -> Result<(), StoreError> {
        files::create_private(&self.directory)?;
        let sharing = self.sharing()?;
        if !files::is_directory(boot) {
            let reserved = self.durable()?;
            let fences = encode_fences(reserved, reserved);
            let name = boot.file_name().unwrap_or_default().to_string_lossy();
            let content = [(FENCES, fences.as_bytes()), (TURNS, b"")];
            files::create_whole(&self.directory, &name, &content, sharing)?;
        }
        files::create_whole(boot, folder, &[(LOCK, b"")], sharing)?;
        sweep::other_boots(&self.directory, boot, folder);
        Ok(())
    }

    /// The reservation that survives a power cut.
    fn durable(&self) -> Result<u64, StoreError> {
        let path = self.directory.join(FENCE).join(RESERVED);
        let Some(bytes) = files::read(&path)? else {
            return Ok(0);
        };
        let text = std::str::from_utf8(&bytes).ok();
        let number = text.and_then(|text| text.strip_suffix('\n')?.parse().ok());
        number.ok_or(StoreError::Damaged(path))
    }

    /// What this boot found reserved, and what is reserved now.
    fn fences(&self) -> Result<(u64, u64), StoreError> {
        let path = self.boot()?.join(FENCES);
        if let Some(bytes) = files::read(&path)? {
            return decode_fences(&bytes).ok_or(StoreError::Damaged(path));
        }
        // Somebody has cleaned up. As after a boot: all tokens given out are smaller. Unless he has
        // taken that away as well, when nobody knows any more which were.
        let path = self.directory.join(FENCE).join(RESERVED);
        match self.durable()? {
            0 => Err(StoreError::Missing(path)),
            reserved => Ok((reserved, reserved)),
        }
    }

    /// Makes sure that the disk knows of all tokens up to `fence`, and tells up to where.
    fn reserve(&self, fence: u64) -> Result<u64, StoreError> {
        let sharing = self.sharing()?;
        let directory = self.directory.join(FENCE);
        files::create_whole(&self.directory, FENCE, &[(LOCK, b"")], sharing)?;
        let _lock = files::try_lock(&directory.join(LOCK))?;
        let (floor, reserved) = self.fences()?;
        if reserved > fence {
            return Ok(reserved);
        }
        let reserved = self.durable()?.max(fence.saturating_add(RESERVE));
        let text = format!("{reserved}\n");
        files::replace(
            &directory,
            RESERVED,
            text.as_bytes(),
            sharing,
            Durability::PowerCut,
        )?;
        files::sync_directory(&self.directory)?;
        let fences = encode_fences(floor, reserved);
        files::replace(
            self.boot()?,
            FENCES,
            fences.as_bytes(),
            sharing,
            Durability::UntilReboot,
        )?;
        Ok(reserved)
    }
}

impl Session<'_> {
    /// The records, in the order of the keys that the session was opened with: `keys`.
    pub(super) fn load(
        &mut self,
        keys: &[String],
        now: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        assert_eq!(keys.len(), self.files.len(), "the keys of this session");
        let mut records = Vec::with_capacity(keys.len());
        for (key, file) in keys.iter().zip(&mut self.files) {
            let path = file.path();
            if let Some(bytes) = files::read(&path)? {
                let record = Record::decode(&bytes).filter(|record| record.key == *key);
                records.push(record.ok_or(StoreError::Damaged(path))?);
            } else {
                file.is_new = true;
                let (floor, reserved) = self.store.fences()?;
                let mut record = Record::new(key, floor, reserved);
                let done = self.store.lasting(&file.name).done(now)?;
                record.lock = done.map(|(_, lock)| lock);
                records.push(record);
            }
        }
        Ok(records)
    }

    /// Writes all `records`, in the order in which they were loaded.
    pub(super) fn save(&self, records: &mut [Record]) -> Result<(), StoreError> {
        let sharing = self.store.sharing()?;
        // Before anything is written: this may be busy.
        let fence = records.iter().map(|record| record.fence).max().unwrap_or(0);
        if records.iter().any(|record| record.reserved <= fence) {
            let reserved = self.store.reserve(fence)?;
            for record in &mut *records {
                record.reserved = reserved;
            }
        }
        for (record, file) in records.iter().zip(&self.files) {
            // Invariant I2: no token is given out that a power cut could make us forget.
            assert!(record.fence < record.reserved || record.fence == u64::MAX);
            files::replace(
                &file.folder,
                &file.name,
                &record.encode(),
                sharing,
                Durability::UntilReboot,
            )?;
        }
        // Only who adds a file cleans up, so that the common case pays nothing for it.
        for file in self.files.iter().filter(|file| file.is_new) {
            sweep::folder(&file.folder);
        }
        Ok(())
    }

    /// Takes the locks out of the `records` at the places `freed`. Works on a full disk as well.
    pub(super) fn free(&self, records: &[Record], freed: &[usize]) -> Result<(), StoreError> {
        for &index in freed {
            let file = &self.files[index];
            self.store.lasting(&file.name).forget_done();
            // A marker of another boot has no record in this one.
            if !file.is_new {
                files::cut(&file.path(), records[index].counter_len())?;
            }
        }
        Ok(())
    }

    /// Writes the `records` of which those at the places `marked` have become markers.
    pub(super) fn mark(
        &self,
        records: &mut [Record],
        marked: &[usize],
        now: Duration,
    ) -> Result<(), StoreError> {
        let sharing = self.store.sharing()?;
        for &index in marked {
            let lasting = self.store.lasting(&self.files[index].name);
            match &records[index].lock {
                // On the disk first: once the record is written the job counts as done.
                Some(lock) if lock.marker() == Some(MarkerKind::Done) => {
                    lasting.mark_done(&records[index].key, lock, now, sharing)?;
                }
                _ => lasting.forget_done(),
            }
        }
        self.save(records)
    }

    /// Adds `run` to the history of every key of the session.
    pub(super) fn remember(&self, run: &str) {
        let Ok(sharing) = self.store.sharing() else {
            return;
        };
        for file in &self.files {
            self.store.lasting(&file.name).remember(run, sharing);
        }
    }
}

/// The name of a key's file: a key may be longer than a file's name, and may contain a slash.
fn file_name(key: &str) -> String {
    sha1_smol::Sha1::from(key).digest().to_string()
}

fn folder_name(file_name: &str) -> &str {
    &file_name[..2]
}

fn encode_fences(floor: u64, reserved: u64) -> String {
    format!("{floor} {reserved}\n")
}

fn decode_fences(bytes: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    record::numbers(text).map(|[floor, reserved]| (floor, reserved))
}

/// The record at `path`, or `None` if it is no longer there or damaged.
pub(super) fn peek(path: &Path) -> Result<Option<Record>, StoreError> {
    let bytes = files::unless_damaged(files::read(path))?.flatten();
    Ok(bytes.and_then(|bytes| Record::decode(&bytes)))
}

/// The names of the records in `folder`: those of SHA-1 digests.
pub(super) fn record_names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = files::names(folder)?;
    let is_digest =
        |name: &String| name.len() == NAME_LEN && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    names.retain(is_digest);
    Ok(names)
}
