//! Single files and directories: locked, read, replaced, created whole, and who may use them.
//!
//! Whoever may write to a directory that is shared must not make others touch anything else: no
//! symbolic link is followed below it, what is no file is not waited for, and what is too large is
//! not read.
//!
//! Knows nothing of records. No function waits: a lock that is taken is [`StoreError::Busy`], and
//! the caller comes again. Called by `store`.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{
    DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;
use nix::unistd::{AccessFlags, access, geteuid};

use crate::errno::reason;
use crate::node::NodeError;

/// The name of the file that is locked, in every directory that needs one. Never replaced.
pub(super) const LOCK: &str = "lock";

/// What the names of directories begin with that are not complete yet, or not needed any more.
pub(super) const UNFINISHED: &str = ".new-";

/// A file that is being written, until it is renamed. The directory's lock admits one writer at a
/// time, so one name is enough, and what a crash leaves is overwritten by the next writer.
const NEW: &str = "new";

/// How every file is opened.
pub(super) const FLAGS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// The largest file that is read, in bytes; none of ours is nearly as large.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// Why the store could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// Another process has locked the file; to be tried again in a moment. Nothing was written.
    #[error("another process keeps {path} locked; `fuser -v {path}` tells which", path = .0.display())]
    Busy(PathBuf),
    /// The system said no.
    #[error("cannot {action} {}: {}{}", .path.display(), reason(.error), advice(.error))]
    System {
        action: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    /// The file is there, but not as we wrote it.
    #[error("{} is damaged; remove it once nobody holds its lock", .0.display())]
    Damaged(PathBuf),
    /// The file is not there any more, and cannot be made again.
    #[error("{} was removed by hand; remove the whole directory once nobody holds a lock there", .0.display())]
    Missing(PathBuf),
    /// Nobody can tell which boot this is.
    #[error("{} is missing, which tells one boot from the next; mount /proc, all of it (ProcSubset=all)", .0.display())]
    NoBoot(PathBuf),
}

impl StoreError {
    pub(super) fn system(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::System {
            action,
            path: path.to_owned(),
            error,
        }
    }

    /// The same with the `name` of the directory instead of its `alias`.
    fn named(self, alias: &Path, name: &Path) -> Self {
        match self {
            Self::System {
                action,
                path,
                error,
            } => Self::System {
                action,
                path: path
                    .strip_prefix(alias)
                    .map_or(path.clone(), |rest| name.join(rest)),
                error,
            },
            other => other,
        }
    }

    /// Whether it failed because a file or a directory is not there.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::System { error, .. } if error.kind() == ErrorKind::NotFound)
    }

    /// The answer of a node to this.
    pub(super) fn to_node_error(&self) -> NodeError {
        match self {
            // It will be the same next time, until a person has changed something.
            Self::System { error, .. } if is_refusal(error) => NodeError::Refused(self.to_string()),
            _ => NodeError::Failed(self.to_string()),
        }
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::AlreadyExists
    )
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; name a directory that you may write to with --local=DIR"
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "; --local=DIR must name a directory, or nothing that exists"
        }
        ErrorKind::NotFound => "; if files were removed by hand, remove the whole directory",
        ErrorKind::Unsupported => "; this file system has no locks: name another with --local=DIR",
        _ if error.raw_os_error() == Some(libc::ELOOP) => "; it is a link, and none of ours",
        _ => "",
    }
}

/// Who may use what is created: whoever may use the directory that the user named.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sharing {
    mode: u32,
    group: u32,
    /// To whom what root creates belongs: or else the owner would be locked out.
    owner: Option<u32>,
}

impl Sharing {
    /// As it is for `directory`.
    pub(super) fn of(directory: &Path) -> Result<Self, StoreError> {
        let metadata = fs::metadata(directory).map_err(StoreError::system("look at", directory))?;
        Ok(Self {
            mode: metadata.mode(),
            group: metadata.gid(),
            owner: Some(metadata.uid()).filter(|&owner| owner != 0 && geteuid().is_root()),
        })
    }

    fn file_mode(self) -> u32 {
        self.mode & 0o666 | 0o600
    }

    /// The sticky bit is left out, since one user must be able to replace the file of another; the
    /// group is inherited where others take part, since their own groups differ.
    fn directory_mode(self) -> u32 {
        let for_others = self.mode & 0o077;
        let inherit = if for_others == 0 { 0 } else { 0o2000 };
        self.mode & 0o777 | 0o700 | inherit
    }
}

/// Whether what is written has to survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    UntilReboot,
    PowerCut,
}

/// The lock file at `path`, locked until the value is dropped.
pub(super) fn try_lock(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).custom_flags(FLAGS);
    let file = options.open(path);
    let file = file.map_err(StoreError::system("open", path))?;
    match file.try_lock() {
        Ok(()) => {
            let metadata = file
                .metadata()
                .map_err(StoreError::system("look at", path))?;
            if metadata.nlink() == 0 {
                // Somebody has removed it meanwhile, and others lock the one that is there now.
                return Err(StoreError::Busy(path.to_owned()));
            }
            keep_young(&file, &metadata);
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(StoreError::system("lock", path)(error)),
    }
}

/// Nobody writes to a lock file, and whoever cleans up `/tmp` takes it for forgotten after some
/// days, beside records that are in use. Who may write to a file may set its times to now.
fn keep_young(file: &File, metadata: &Metadata) {
    const DAY: Duration = Duration::from_hours(24);
    let age = metadata
        .modified()
        .map(|modified| modified.elapsed().unwrap_or_default());
    if age.is_ok_and(|age| age > DAY) {
        let _ = futimens(file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW);
    }
}

/// Adds `line` to the file `name` in `directory`, unless it is the last one there already. False if
/// that cannot be done in place: the file is not `fit` for it, ends within a line, or is not ours
/// alone.
pub(super) fn append(
    directory: &Path,
    name: &str,
    line: &str,
    fit: impl Fn(&Metadata) -> bool,
) -> io::Result<bool> {
    let pinned = Pinned::open(directory)?;
    let mut options = OpenOptions::new();
    let options = options.read(true).append(true).custom_flags(FLAGS);
    let mut file = options.open(pinned.path.join(name))?;
    let metadata = file.metadata()?;
    // It could be another name of something else.
    let is_ours = metadata.nlink() == 1 && metadata.uid() == geteuid().as_raw();
    if !metadata.is_file() || !is_ours || !fit(&metadata) {
        return Ok(false);
    }
    let mut end = vec![0; line.len().min(usize::try_from(metadata.len()).unwrap_or(0))];
    let from = metadata.len() - end.len() as u64;
    file.read_exact_at(&mut end, from)?;
    match end.last() {
        Some(b'\n') if end == line.as_bytes() => Ok(true),
        Some(b'\n') => file.write_all(line.as_bytes()).map(|()| true),
        _ => Ok(false),
    }
}

/// What stands in the file at `path`, or `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = StoreError::system("read", path);
    let mut options = OpenOptions::new();
    let file = match options.read(true).custom_flags(FLAGS).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Not `fs::read`: it asks for the size first, and a record nearly always fits.
    let mut bytes = Vec::with_capacity(4096);
    let all = file.take(SIZE_LIMIT + 1).read_to_end(&mut bytes);
    all.map_err(failed)?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(StoreError::Damaged(path.to_owned()));
    }
    Ok(Some(bytes))
}

/// What was read, or `None` if it is damaged, or a link or directory that is none of ours.
pub(super) fn unless_damaged<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Damaged(_)) => Ok(None),
        Err(StoreError::System { error, .. })
            if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::EISDIR)) =>
        {
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// The names of what is in `directory`; none if it is not there.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, StoreError> {
    let names = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            // What is not Unicode is not ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    };
    match names() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        names => names.map_err(StoreError::system("read", directory)),
    }
}

/// Puts `bytes` into the file `name` in `directory`, in one step: a crash leaves the old file or
/// the new one. The caller holds the directory's lock.
pub(super) fn replace(
    directory: &Path,
    name: &str,
    bytes: &[u8],
    sharing: Sharing,
    durability: Durability,
) -> Result<(), StoreError> {
    if sharing.owner.is_none() {
        return replace_in(directory, name, bytes, sharing, durability);
    }
    // Root writes for another user, who must not lead it elsewhere meanwhile.
    let pinned = Pinned::open(directory).map_err(StoreError::system("use", directory))?;
    let replaced = replace_in(&pinned.path, name, bytes, sharing, durability);
    replaced.map_err(|error| error.named(&pinned.path, directory))
}

fn replace_in(
    directory: &Path,
    name: &str,
    bytes: &[u8],
    sharing: Sharing,
    durability: Durability,
) -> Result<(), StoreError> {
    let new = directory.join(NEW);
    let path = directory.join(name);
    let written = match write_new(&new, bytes, sharing, durability) {
        // Left by a crash, and maybe another user's: it is not ours to open.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let _ = fs::remove_file(&new);
            write_new(&new, bytes, sharing, durability)
        }
        result => result,
    };
    if let Err(error) = written {
        let _ = fs::remove_file(&new);
        let is_full = matches!(
            error.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        );
        if is_full && durability == Durability::UntilReboot && overwrite(&path, bytes).is_ok() {
            return Ok(());
        }
        return Err(StoreError::system("write", &new)(error));
    }
    if durability == Durability::UntilReboot && exchange(&new, &path) {
        let _ = fs::remove_file(&new);
        return Ok(());
    }
    fs::rename(&new, &path).map_err(StoreError::system("replace", &path))?;
    if durability == Durability::PowerCut {
        sync_directory(directory)?;
    }
    Ok(())
}

/// Writes `bytes` over those of the file at `path`, which must be as many: that needs no room on a
/// full disk, on which a lock that is held must still be extended. A few hundred bytes are written
/// in one step, whoever is killed.
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = open_to_write(path)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if file.metadata()?.len() != length {
        return Err(ErrorKind::StorageFull.into());
    }
    file.write_all_at(bytes, 0)
}

fn open_to_write(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(FLAGS).open(path)
}

/// Swaps two files in one step, if both are there and the system can. A plain rename over a file
/// makes ext4 send the new one to the disk at once, against power cuts: half the cost of a grant.
#[cfg(target_env = "gnu")]
fn exchange(new: &Path, path: &Path) -> bool {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    renameat2(AT_FDCWD, new, AT_FDCWD, path, RenameFlags::RENAME_EXCHANGE).is_ok()
}

/// The libraries have it only for glibc; without it a plain rename does.
#[cfg(not(target_env = "gnu"))]
fn exchange(_: &Path, _: &Path) -> bool {
    false
}

fn write_new(
    path: &Path,
    bytes: &[u8],
    sharing: Sharing,
    durability: Durability,
) -> io::Result<()> {
    let mode = sharing.file_mode();
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    // Again, since the umask took away what others need.
    file.set_permissions(Permissions::from_mode(mode))?;
    if let Some(owner) = sharing.owner {
        let _ = fchown(&file, Some(owner), None);
    }
    file.write_all(bytes)?;
    if durability == Durability::PowerCut {
        file.sync_all()?;
    }
    Ok(())
}

/// Makes the names in `directory` survive a power cut.
pub(super) fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    let result = File::open(directory).and_then(|opened| opened.sync_all());
    result.map_err(StoreError::system("sync", directory))
}

/// Cuts the file at `path` short, in one step that needs no room on the disk.
pub(super) fn cut(path: &Path, length: usize) -> Result<(), StoreError> {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    let cut = open_to_write(path).and_then(|file| file.set_len(length));
    cut.map_err(StoreError::system("cut", path))
}

/// Whether files can be created in `directory`.
pub(super) fn check_access(directory: &Path) -> Result<(), StoreError> {
    check(
        directory,
        AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK,
    )
}

/// Whether the lock file at `path` can be locked, if there is one.
pub(super) fn check_lock(path: &Path) -> Result<(), StoreError> {
    match check(path, AccessFlags::R_OK | AccessFlags::W_OK) {
        Err(error) if error.is_not_found() => Ok(()),
        result => result,
    }
}

fn check(path: &Path, wanted: AccessFlags) -> Result<(), StoreError> {
    access(path, wanted).map_err(|errno| StoreError::system("use", path)(errno.into()))
}

/// Creates `directory`, and what is missing above it, for this user alone.
pub(super) fn create_private(directory: &Path) -> Result<(), StoreError> {
    let mut builder = DirBuilder::new();
    let created = builder.recursive(true).mode(0o700).create(directory);
    created.map_err(StoreError::system("create", directory))
}

/// Whether there is a directory at `path`, and not a link to one.
pub(super) fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// That a directory at `path` is none of ours, if it is a link to one.
pub(super) fn refuse_link(path: &Path) -> Result<(), StoreError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => {
            let is_link = io::Error::from_raw_os_error(libc::ELOOP);
            Err(StoreError::system("use", path)(is_link))
        }
        _ => Ok(()),
    }
}

/// Creates the directory `name` with `files` in it, in one step: nobody sees it without them. If it
/// is there already, only those of them are created that somebody has removed.
pub(super) fn create_whole(
    parent: &Path,
    name: &str,
    files: &[(&str, &[u8])],
    sharing: Sharing,
) -> Result<(), StoreError> {
    let path = parent.join(name);
    let failed = StoreError::system("create", &path);
    if is_directory(&path) {
        let restored = Pinned::open(&path).and_then(|pinned| pinned.restore(files, sharing));
        return restored.map_err(failed);
    }
    let unfinished = unfinished(parent);
    let created = fill(&unfinished, files, sharing).and_then(|()| fs::rename(&unfinished, &path));
    match created {
        Ok(()) => Ok(()),
        Err(error) => {
            let _ = fs::remove_dir_all(&unfinished);
            // Somebody else was quicker: a directory that is not empty is not replaced.
            let is_there = matches!(
                error.kind(),
                ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
            );
            if is_there { Ok(()) } else { Err(failed(error)) }
        }
    }
}

fn fill(directory: &Path, files: &[(&str, &[u8])], sharing: Sharing) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(directory)?;
    let created = Pinned::open(directory)?;
    // Not permitted to a user outside that group; then it is the others' bits that let him in.
    let _ = fchown(&created.file, sharing.owner, Some(sharing.group));
    let mode = Permissions::from_mode(sharing.directory_mode());
    created.file.set_permissions(mode)?;
    created.restore(files, sharing)
}

/// A directory that is kept open and reached by way of `/proc`, so that whoever renames it, or puts
/// a link in its place, cannot lead us elsewhere.
struct Pinned {
    file: File,
    path: PathBuf,
}

impl Pinned {
    fn open(directory: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY;
        let file = options.read(true).custom_flags(flags).open(directory)?;
        let path = Path::new("/proc/self/fd").join(file.as_raw_fd().to_string());
        Ok(Self { file, path })
    }

    /// Creates those of `files` that are not there.
    fn restore(&self, files: &[(&str, &[u8])], sharing: Sharing) -> io::Result<()> {
        for (name, bytes) in files {
            let path = self.path.join(name);
            match write_new(&path, bytes, sharing, Durability::UntilReboot) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A name in `parent` that nobody uses, for what is not complete yet or not needed any more.
pub(super) fn unfinished(parent: &Path) -> PathBuf {
    parent.join(format!("{UNFINISHED}{:016x}", fastrand::u64(..)))
}
