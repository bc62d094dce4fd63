//! What can be learned about a directory for locks: raw facts, no opinion.
//!
//! What they mean for a lock is said in `lock::fitness`. Called by `commands`.

use std::path::Path;

use nix::sys::statfs::{FsType, statfs};
use nix::sys::statvfs::statvfs;

use super::LocalNode;
use crate::errno;

/// What the system says about a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalExamination {
    /// Where it is kept.
    pub file_system: FileSystem,
    /// The room that is left for this user, in bytes.
    pub free_bytes: u64,
    /// The files that can still be created; `None` if the file system knows no such bound.
    pub free_files: Option<u64>,
    /// Whether others use it whose locks are not ours, since they see another boot id.
    pub has_other_users: bool,
}

/// A kind of file system, as far as it matters to a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// Of this host alone.
    Disk,
    /// In memory, and gone with the next boot.
    Memory,
    /// On another host, and maybe seen by several; this is its name.
    Network(&'static str),
    /// What a program makes of it; nobody can tell.
    Fuse,
}

impl FileSystem {
    /// In a word, for people and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::Network(name) => name,
            Self::Fuse => "FUSE",
        }
    }
}

/// The numbers by which Linux knows file systems of other hosts (statfs(2)).
const NETWORKS: [(i64, &str); 9] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
];

/// tmpfs and ramfs.
const MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

const FUSE: i64 = 0x6573_5546;

impl LocalNode {
    /// Examines the directory, which has been found usable, and what others have created in it.
    ///
    /// # Errors
    ///
    /// If something in it cannot be used, or the system does not tell; the text says why.
    pub fn examine(&self) -> Result<LocalExamination, String> {
        let usable = self.store.check_contents();
        let others = usable.and_then(|()| self.store.has_other_users());
        let others = others.map_err(|error| error.to_string())?;
        examine(self.store.directory(), others).map_err(|errno| errno::reason(&errno.into()))
    }
}

fn examine(directory: &Path, has_other_users: bool) -> nix::Result<LocalExamination> {
    let volume = statvfs(directory)?;
    let free_bytes = volume.blocks_available() * volume.fragment_size();
    // btrfs and others make inodes as they go, and say 0 of 0.
    let free_files = (volume.files() > 0).then(|| volume.files_available());
    Ok(LocalExamination {
        file_system: kind(statfs(directory)?.filesystem_type()),
        free_bytes,
        free_files,
        has_other_users,
    })
}

fn kind(FsType(number): FsType) -> FileSystem {
    // The width of the number differs between platforms; only 32 bits of it count.
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
    let number = number as i64 & 0xffff_ffff;
    if MEMORY.contains(&number) {
        return FileSystem::Memory;
    }
    if number == FUSE {
        return FileSystem::Fuse;
    }
    let network = NETWORKS.iter().find(|(known, _)| *known == number);
    network.map_or(FileSystem::Disk, |(_, name)| FileSystem::Network(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_other_hosts_are_known_by_their_numbers() {
        assert_eq!(kind(FsType(0x6969)), FileSystem::Network("NFS"));
        assert_eq!(kind(FsType(0xff53_4d42)), FileSystem::Network("CIFS"));
        assert_eq!(kind(FsType(0xef53)), FileSystem::Disk, "ext4");
        assert_eq!(kind(FsType(FUSE)), FileSystem::Fuse);
        assert_eq!(kind(FsType(0x0102_1994)), FileSystem::Memory, "tmpfs");
    }

    #[test]
    fn a_directory_has_a_file_system_with_room() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let facts = examine(directory.path(), false).expect("it is there");
        assert!(facts.free_bytes > 0);
        assert!(examine(&directory.path().join("nowhere"), false).is_err());
    }
}
