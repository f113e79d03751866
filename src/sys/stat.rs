//! What the kernel says of a file without opening it, in the form that caches compare.
//! In: metadata. Out: plain values. Never: a system call.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};

/// Everything that changes when a file is written, replaced or renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stat {
    /// The device that the file lies on.
    pub device: u64,
    /// The file's number on its device.
    pub inode: u64,
    /// The size in bytes.
    pub size: u64,
    /// The bits of type and permission.
    pub mode: u32,
    /// When the content changed, as the owner may set it: nanoseconds since 1970.
    pub modified: i128,
    /// When content or name changed, as only the kernel sets it: nanoseconds since 1970.
    pub changed: i128,
}

impl Stat {
    /// Takes over what `metadata` holds.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let nanos = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mode: metadata.mode(),
            modified: nanos(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanos(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What the kernel says when it is asked for a name in an open folder.
#[must_use]
#[allow(clippy::cast_sign_loss, reason = "the nanoseconds of a time are never negative")]
pub fn of_raw(raw: &rustix::fs::Stat) -> (Kind, Stat) {
    let nanos = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let stat = Stat {
        device: raw.st_dev,
        inode: raw.st_ino,
        size: u64::try_from(raw.st_size).unwrap_or_default(),
        mode: raw.st_mode,
        modified: nanos(raw.st_mtime, raw.st_mtime_nsec as i64),
        changed: nanos(raw.st_ctime, raw.st_ctime_nsec as i64),
    };
    (Kind::of_mode(raw.st_mode), stat)
}

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A symbolic link, whatever it leads to.
    Link,
    /// A folder.
    Folder,
    /// A FIFO, a socket or a device: the word for it.
    Special(&'static str),
}

impl Kind {
    /// The kind that `metadata` tells of; links are links when it was taken without following.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self::of_mode(metadata.mode())
    }

    pub(super) fn of_mode(mode: u32) -> Self {
        match rustix::fs::FileType::from_raw_mode(mode) {
            // The owner's bit alone, as git has it: group and others follow the umask of whoever wrote the file.
            rustix::fs::FileType::RegularFile => Self::File { executable: mode & 0o100 != 0 },
            rustix::fs::FileType::Symlink => Self::Link,
            rustix::fs::FileType::Directory => Self::Folder,
            rustix::fs::FileType::Fifo => Self::Special("FIFO"),
            rustix::fs::FileType::Socket => Self::Special("socket"),
            _ => Self::Special("device"),
        }
    }
}
