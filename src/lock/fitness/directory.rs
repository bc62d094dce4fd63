//! What a directory of this host does to a lock of the embedded node.

use super::{Finding, Severity, found};
use crate::node::{FileSystem, LocalExamination};

/// A lock needs a few kilobytes; less than this, and something else fills the disk soon.
const SCARCE_BYTES: u64 = 16 * 1024 * 1024;

/// The same for files.
const SCARCE_FILES: u64 = 1000;

/// Judges one directory.
pub(super) fn judge(facts: &Result<LocalExamination, String>) -> Vec<Finding> {
    match facts {
        Ok(facts) => [place(facts.file_system), others(facts), room(facts)]
            .into_iter()
            .flatten()
            .collect(),
        Err(reason) => vec![found(
            Severity::NoVote,
            format!("cannot be used: {reason}"),
            "no lock can be taken",
            "that, or --local=DIR, a directory that you may write to",
        )],
    }
}

fn place(file_system: FileSystem) -> Option<Finding> {
    match file_system {
        FileSystem::Disk => None,
        FileSystem::Network(name) => Some(found(
            Severity::Danger,
            format!("on {name}, which other hosts may use too"),
            "each host has locks of its own in it, so a job on every host gets the lock; and a \
             file server that hangs stops all jobs",
            "--local=DIR on a disk of this host, or servers to lock between hosts",
        )),
        FileSystem::Fuse => Some(found(
            Severity::Warning,
            "on FUSE, a file system that a program makes",
            "whether it keeps locks between processes depends on that program; other hosts are \
             never excluded",
            "--local=DIR on a disk of this host",
        )),
        FileSystem::Memory => Some(found(
            Severity::Warning,
            "in memory, and empty after a reboot",
            "fencing tokens may start again below those of before, and jobs that were done may \
             run again",
            "--local=DIR on a disk",
        )),
    }
}

fn others(facts: &LocalExamination) -> Option<Finding> {
    facts.has_other_users.then(|| {
        found(
            Severity::Danger,
            "used by others to whom this is another boot: containers of LXC or systemd-nspawn, or \
             another host",
            "they and this host do not exclude one another, so a job gets the lock in each",
            "let them see this host's /proc/sys/kernel/random/boot_id, or use servers; if it was \
             copied here, remove what is there of another boot",
        )
    })
}

fn room(facts: &LocalExamination) -> Option<Finding> {
    let files = facts.free_files.unwrap_or(u64::MAX);
    let what = format!("{} KiB are free", facts.free_bytes / 1024);
    let what = match facts.free_files {
        Some(files) => format!("{what}, and room for {files} files"),
        None => what,
    };
    if facts.free_bytes == 0 || files == 0 {
        return Some(found(
            Severity::NoVote,
            format!("the disk is full: {what}"),
            "no lock can be taken, and jobs that run may lose theirs",
            "make room, or --local=DIR elsewhere",
        ));
    }
    let scarce = facts.free_bytes < SCARCE_BYTES || files < SCARCE_FILES;
    scarce.then(|| {
        found(
            Severity::Warning,
            format!("the disk is nearly full: {what}"),
            "when it is full, no lock can be taken, and jobs that run may lose theirs",
            "make room, or --local=DIR elsewhere",
        )
    })
}
