//! The file system that a folder lies on: its kind, its room, its clock.
//! In: a folder. Out: what the kernel says of it. Never: a write.

use std::path::Path;

use super::file::{FileError, at};

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// `ext4`, `btrfs`, …; `0x…` for one that has no name here.
    pub kind: String,
    /// Whether other machines may write to it, too: locks and clocks are not this kernel's alone.
    pub shared: bool,
    /// Whether it lives in memory and is gone after a restart.
    pub memory: bool,
    /// Bytes that this user may still write.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
    /// Files that may still be made; `None` where there is no limit.
    pub free_files: Option<u64>,
    /// Whether it is mounted for reading only.
    pub read_only: bool,
}

/// Asks the kernel.
///
/// # Errors
/// [`FileError`].
pub fn of(path: impl AsRef<Path>) -> Result<Disk, FileError> {
    let path = path.as_ref();
    let magic = magic(path)?;
    let room = at("look at", path, rustix::fs::statvfs(path).map_err(std::io::Error::from))?;
    let name = KINDS.iter().find(|(number, ..)| *number == magic);
    Ok(Disk {
        kind: name.map_or_else(|| format!("0x{magic:x}"), |(_, name, _)| (*name).to_owned()),
        shared: name.is_some_and(|(.., shared)| *shared),
        memory: matches!(magic, 0x0102_1994 | 0x8584_58f6),
        free: room.f_bavail.saturating_mul(room.f_frsize),
        size: room.f_blocks.saturating_mul(room.f_frsize),
        free_files: (room.f_files > 0).then_some(room.f_favail),
        read_only: room.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

fn magic(path: &Path) -> Result<u32, FileError> {
    let kind = at("look at", path, rustix::fs::statfs(path).map_err(std::io::Error::from))?;
    #[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "the numbers have 32 bits")]
    Ok(kind.f_type as u32)
}

/// The name of the file system where other machines may change what is on it, which this kernel is not told of.
#[must_use]
pub fn shared(path: impl AsRef<Path>) -> Option<&'static str> {
    let magic = magic(path.as_ref()).ok()?;
    KINDS.iter().find(|(number, _, shared)| *number == magic && *shared).map(|(_, name, _)| *name)
}

/// The kinds that people have, and whether other machines share them. Source: statfs(2), linux/magic.h.
const KINDS: &[(u32, &str, bool)] = &[
    (0x0000_ef53, "ext4", false),
    (0x5846_5342, "xfs", false),
    (0x9123_683e, "btrfs", false),
    (0x2fc1_2fc1, "zfs", false),
    (0xf2f5_2010, "f2fs", false),
    (0xca45_1a4e, "bcachefs", false),
    (0x0102_1994, "tmpfs", false),
    (0x8584_58f6, "ramfs", false),
    (0x794c_7630, "overlay", false),
    (0x0000_4d44, "vfat", false),
    (0x2011_bab0, "exfat", false),
    (0x5346_544e, "ntfs", false),
    (0x7366_746e, "ntfs3", false),
    (0x6573_5546, "fuse", true),
    (0x0000_6969, "nfs", true),
    (0x0000_517b, "smb", true),
    (0xff53_4d42, "cifs", true),
    (0xfe53_4d42, "smb2", true),
    (0x0102_1997, "9p", true),
    (0x00c3_6400, "ceph", true),
    (0x0bd0_0bd0, "lustre", true),
    (0x5346_414f, "afs", true),
    (0x786f_4256, "vboxsf", true),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_names_the_file_system_of_proc_and_its_lack_of_room() {
        let disk = of("/proc").unwrap();
        assert_eq!((disk.kind.as_str(), disk.free, disk.shared), ("0x9fa0", 0, false));
        assert!(of("/none/such").is_err());
    }

    #[test]
    fn no_number_stands_twice() {
        let mut numbers: Vec<u32> = KINDS.iter().map(|(number, ..)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), KINDS.len());
    }
}
