//! Leaves what is to be told of a run in files, each in one step: a reader finds the old file or
//! the new one, also after a crash, and never half of one. A pipe or a descriptor is written to.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::{AsFd as _, RawFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Uid;

use super::account::Account;
use super::{metrics, status};
use crate::clock;
use crate::errno;
use crate::job;
use crate::lock::Resource;
use crate::report::{self, Reporter};
use crate::settings::{Files, Metrics};

/// How long a reader of a pipe is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What Linux writes to a pipe in one go.
const PIPE_BUF: usize = libc::PIPE_BUF;

/// The bits of a directory in which all may create what only its owner may remove.
const EVERYBODYS: u32 = libc::S_ISVTX | libc::S_IWOTH;

/// Why a link is not followed.
const PLANTED: &str = "a link that somebody else has put into a directory that all may write to";

/// The most links that are followed, as by the kernel.
const LINKS: usize = 40;

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{}", errno::reason(.0))]
    System(#[from] io::Error),
    #[error("{step}: {}", errno::reason(.error))]
    At {
        step: &'static str,
        error: io::Error,
    },
    #[error("nobody reads it")]
    Unread,
}

/// Writes the files that the user asked for. One that cannot be written is told, and changes
/// nothing else: the job has run, or not, all the same.
pub fn leave(
    files: &Files,
    resources: &[Resource],
    account: &Account,
    exit_code: u8,
    reporter: Reporter,
) {
    let leave = |path: &Path, text: Result<String, Error>| {
        if let Err(error) = text.and_then(|text| put(path, &text)) {
            let message = format!("cannot write {}: {error}", path.display());
            reporter.tell(&report::not_written(message));
        }
    };
    if let Some(path) = &files.status {
        leave(path, Ok(status::json(resources, account, exit_code)));
    }
    if let Some(Metrics { path, labels }) = &files.metrics {
        let before = if account.succeeded() {
            Ok(String::new())
        } else {
            what_is_in(path)
        };
        let text = before.map(|before| metrics::text(labels, account, exit_code, &before));
        leave(path, text);
    }
}

/// The text of the file that is replaced, as far as the last success is to be carried over from it:
/// empty if there is no file, or what is there is no file.
fn what_is_in(path: &Path) -> Result<String, Error> {
    let Ok(Target::File(path)) = target(path) else {
        return Ok(String::new());
    };
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => {
            let step = "it cannot be read, and tells of the last success";
            Err(Error::At { step, error })
        }
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// What a path comes to, all links followed.
enum Target {
    /// What is written to: a descriptor that we were given, which may be the log of a whole script,
    /// a pipe or a terminal.
    Stream(fs::File),
    /// What is replaced, or created.
    File(PathBuf),
}

fn target(path: &Path) -> io::Result<Target> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        if let Some(number) = descriptor(&path) {
            // Not opened anew: it would begin at the beginning again.
            return Ok(Target::Stream(job::inherited(number)?.into()));
        }
        if is_descriptor_of_another(&path) {
            return open_stream(&path).map(Target::Stream);
        }
        match fs::read_link(&path) {
            Ok(_) if is_planted(&path)? => return Err(io::Error::other(PLANTED)),
            Ok(link) => path = path.parent().unwrap_or(&path).join(link),
            Err(_) => break,
        }
    }
    if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        return open_stream(&path).map(Target::Stream);
    }
    Ok(Target::File(path))
}

/// Whether somebody else has put the link there, in a directory like `/tmp`, to have us write where
/// only we may. Linux itself does not follow such a link where `fs.protected_symlinks` is set.
fn is_planted(link: &Path) -> io::Result<bool> {
    let parent = match link.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let directory = fs::metadata(parent)?;
    let owner = fs::symlink_metadata(link)?.uid();
    let is_everybodys = directory.mode() & EVERYBODYS == EVERYBODYS;
    Ok(is_everybodys && owner != Uid::effective().as_raw() && owner != directory.uid())
}

/// Behind what a log has already; and a pipe that nobody reads must not hang us.
fn open_stream(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    let options = options.append(true).custom_flags(libc::O_NONBLOCK);
    options.open(path)
}

/// Whether it is one that another process has, as in `/proc/1/fd/1`: its link leads to a name that
/// need not be that of anything.
fn is_descriptor_of_another(path: &Path) -> bool {
    let parent = path.parent().and_then(Path::file_name);
    path.starts_with("/proc") && parent.is_some_and(|name| name == "fd")
}

/// The number of the descriptor that `path` stands for.
fn descriptor(path: &Path) -> Option<RawFd> {
    let number = match path.to_str()? {
        "/dev/stdout" => "1",
        "/dev/stderr" => "2",
        path => ["/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/"]
            .iter()
            .find_map(|start| path.strip_prefix(start))?,
    };
    number.parse().ok()
}

/// Puts `text` where `path` leads.
fn put(path: &Path, text: &str) -> Result<(), Error> {
    let path = match target(path)? {
        Target::Stream(stream) => return write_through(stream, text.as_bytes()),
        Target::File(path) => path,
    };
    let new = beside(&path);
    let replace = |()| {
        let step = "the old one cannot be replaced";
        fs::rename(&new, &path).map_err(|error| Error::At { step, error })
    };
    let written = write_new(&new, text, access_of_ours(&path)).and_then(replace);
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// Writes as long as it is read: a pipe that is ready takes [`PIPE_BUF`] at least, and all that is
/// more may block.
fn write_through(mut stream: fs::File, bytes: &[u8]) -> Result<(), Error> {
    let until = clock::now() + PATIENCE;
    for piece in bytes.chunks(PIPE_BUF) {
        loop {
            let mut wanted = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
            let rest = PollTimeout::try_from(until.remaining()).unwrap_or(PollTimeout::ZERO);
            match poll(&mut wanted, rest) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
                Ok(0) => return Err(Error::Unread),
                Ok(_) => break,
            }
        }
        stream.write_all(piece)?;
    }
    Ok(())
}

/// A name of our own in the same directory, hidden, and without the ending that a collector of
/// metrics looks for. Drawn by lot: the processes of several containers have the same ids.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.redlock-{:016x}", fastrand::u64(..)))
}

/// Who may use a file.
#[derive(Clone, Copy)]
struct Access {
    mode: u32,
    group: u32,
}

/// Who may use the file at `path`, if it is one of ours: whoever has narrowed that, or widened it,
/// finds it so after each run.
fn access_of_ours(path: &Path) -> Option<Access> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let is_ours = metadata.is_file() && metadata.uid() == Uid::effective().as_raw();
    is_ours.then_some(Access {
        mode: metadata.mode() & 0o777,
        group: metadata.gid(),
    })
}

/// The name must be new: in a directory of others it could be a link of theirs.
fn write_new(path: &Path, text: &str, access: Option<Access>) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    // Others may read a first one, unless the umask says otherwise.
    let mode = access.map_or(0o644, |access| access.mode);
    let options = options.write(true).create_new(true);
    let file = options.mode(mode).open(path);
    let step = "its directory takes no new file";
    let mut file = file.map_err(|error| Error::At { step, error })?;
    if let Some(Access { mode, group }) = access {
        // Whoever is not in that group has not set it, and may not: nobody can read more then.
        let _ = fchown(&file, None, Some(group));
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    file.write_all(text.as_bytes())?;
    // Or a power cut could leave the new name with nothing in it.
    file.sync_all()?;
    Ok(())
}
