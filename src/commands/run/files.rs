//! Leaves what is to be told of a run in files, each in one step: a reader finds the old file or
//! the new one, also after a crash, and never half of one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::account::Account;
use super::{metrics, status};
use crate::errno;
use crate::lock::Resource;
use crate::report::{self, Reporter};
use crate::settings::Files;

/// What stands for a descriptor of ours. A link to whatever that is, and not ours to replace: the
/// log of a whole script, say.
const DESCRIPTORS: [&str; 4] = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];

/// Writes the files that the user asked for. One that cannot be written is told, and changes
/// nothing else: the job has run, or not, all the same.
pub fn leave(
    files: &Files,
    resources: &[Resource],
    account: &Account,
    exit_code: u8,
    reporter: Reporter,
) {
    let leave = |path: &Path, text: String| {
        let written = put(path, &text);
        let written = written.with_context(|| format!("cannot write {}", path.display()));
        if let Err(error) = written {
            let reasons: Vec<String> = error
                .chain()
                .map(|cause| match cause.downcast_ref() {
                    Some(error) => errno::reason(error),
                    None => cause.to_string(),
                })
                .collect();
            reporter.tell(&report::not_written(reasons.join(": ")));
        }
    };
    if let Some(path) = &files.status {
        leave(path, status::json(resources, account, exit_code));
    }
    if let Some(path) = &files.metrics {
        let before = if is_stream(path) {
            String::new()
        } else {
            fs::read_to_string(path).unwrap_or_default()
        };
        leave(path, metrics::text(resources, account, exit_code, &before));
    }
}

/// Whether `path` names what is written to, and not what is replaced: a descriptor of ours, a
/// pipe, a terminal.
fn is_stream(path: &Path) -> bool {
    let is_descriptor = DESCRIPTORS.iter().any(|start| path.starts_with(start));
    is_descriptor || fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// Puts `text` into the file at `path`. A link is followed.
fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    if is_stream(path) {
        let mut options = OpenOptions::new();
        // Behind what a log has already; and a pipe that nobody reads must not hang us.
        let mut stream = options
            .append(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        return Ok(stream.write_all(text.as_bytes())?);
    }
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let new = beside(&path);
    let written = write_new(&new, text)
        .context("its directory takes no new file")
        .and_then(|()| fs::rename(&new, &path).context("the old one cannot be replaced"));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// A name of our own in the same directory, hidden, and without the ending that a collector of
/// metrics looks for.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.redlock-{}", std::process::id()))
}

/// The name is foreseeable, so it must be new: in a directory of others it could be a link of
/// theirs.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let create = || {
        let mut options = OpenOptions::new();
        // Others may read it, unless the umask says otherwise.
        options.write(true).create_new(true).mode(0o644).open(path)
    };
    let mut file = match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Left by a process that was killed, and had our id.
            fs::remove_file(path)?;
            create()?
        }
        created => created?,
    };
    file.write_all(text.as_bytes())?;
    // Or a power cut could leave the new name with nothing in it.
    file.sync_all()
}
