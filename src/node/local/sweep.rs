//! Removes what nobody needs any more, a little at a time, in passing.
//!
//! Who adds a record looks at some of its neighbours, under the lock that he holds anyway; who
//! adds a folder looks at the same folder of earlier boots. Nothing here can fail: what cannot be
//! looked at stays, and what stays is found the next time. Called by `store` and `lasting`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::files::{LOCK, UNFINISHED, is_directory, names, unfinished};
use super::store::{BOOT_PREFIX, peek, record_names};
use crate::clock;

/// How many files one new file makes us look at. More than one, so that the spent ones get fewer.
const NEIGHBOURS: usize = 16;

/// For how long nobody may have touched what is not ours to lock, before it is removed. A directory
/// may be shared with another host, whose boot looks to us like a former one: a lock lives for a
/// day at most (the longest TTL) without being written to.
const UNTOUCHED_MS: u64 = 2 * 24 * 60 * 60 * 1000;

/// Removes spent records from `folder`, whose lock the caller holds.
pub(super) fn folder(folder: &Path) {
    let (now, unix_ms) = (clock::host_uptime(), clock::unix_ms());
    neighbours(folder, |path| {
        // What is damaged stays: somebody has to look at it.
        let record = peek(path).ok().flatten();
        record.is_some_and(|record| record.is_spent(now, unix_ms))
    });
}

/// Removes those of the records in `folder` that are spent. Looks at a few, beginning anywhere, so
/// that in the end every one has its turn.
pub(super) fn neighbours(folder: &Path, is_spent: impl Fn(&Path) -> bool) {
    let names = record_names(folder).unwrap_or_default();
    if names.is_empty() {
        return;
    }
    let first = fastrand::usize(..names.len());
    let some = names.iter().cycle().skip(first);
    for name in some.take(names.len().min(NEIGHBOURS)) {
        let path = folder.join(name);
        if is_spent(&path) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Removes the folder `name` of other boots than `boot`, the boots that are empty then, and what
/// crashes have left unfinished in `directory`.
pub(super) fn other_boots(directory: &Path, boot: &Path, name: &str) {
    for unfinished in [directory, boot] {
        for leftover in names(unfinished).unwrap_or_default() {
            let path = unfinished.join(&leftover);
            if leftover.starts_with(UNFINISHED) && is_untouched(&path) {
                let _ = fs::remove_dir_all(&path);
            }
        }
    }
    for other in names(directory).unwrap_or_default() {
        let path = directory.join(&other);
        if !other.starts_with(BOOT_PREFIX) || path == boot || !is_directory(&path) {
            continue;
        }
        let folder = path.join(name);
        let is_ours = is_directory(&folder) && folder.join(LOCK).exists();
        if is_ours && is_all_untouched(&folder) {
            remove(&folder, directory);
        }
        let is_file = |name: &String| path.join(name).is_file();
        let is_empty = names(&path).is_ok_and(|names| names.iter().all(is_file));
        if is_empty && is_all_untouched(&path) {
            remove(&path, directory);
        }
    }
}

/// Out of the way in one step, and then piece by piece.
fn remove(path: &Path, directory: &Path) {
    let aside = unfinished(directory);
    if fs::rename(path, &aside).is_ok() {
        let _ = fs::remove_dir_all(&aside);
    }
}

/// Whether nobody has touched anything in `directory`, as far as we can see all of it.
fn is_all_untouched(directory: &Path) -> bool {
    let is_untouched = |name: &String| is_untouched(&directory.join(name));
    names(directory).is_ok_and(|names| names.iter().all(is_untouched))
}

fn is_untouched(path: &Path) -> bool {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return false;
    };
    let touched_ms = u64::try_from(metadata.mtime())
        .unwrap_or(0)
        .saturating_mul(1000);
    touched_ms.saturating_add(UNTOUCHED_MS) < clock::unix_ms()
}
