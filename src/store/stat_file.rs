//! A row of the stat cache: the path, and what is known of the file there.
//! In: what is known of files. Out: values of a [`Table`], and back. Never: a row that does not say all.
//!
//! A value is the day (4 bytes), then device, inode, size (8 each), mode (4), time of modification and of change (8 for the seconds,
//! 4 for the nanoseconds, each), digest (32). All little-endian.

use crate::base::digest::{ContentDigest, Digest};
use crate::base::table::Table;
use crate::sys::stat::Stat;

/// The first bytes; another version has others and is not read.
pub(super) const MARK: &[u8; 16] = b"kiln stat 2\n\0\0\0\0";
/// The largest file that is read, in bytes: about two million entries.
pub(super) const LIMIT: u64 = 512 << 20;

/// What is known of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// What the kernel said when the content was read.
    pub(super) stat: Stat,
    /// The content.
    pub(super) digest: ContentDigest,
    /// The day of the last run that asked, counted from 1970.
    pub(super) day: u32,
}

/// The rows that an earlier run wrote.
pub(super) fn table(bytes: Vec<u8>) -> Option<Table> {
    Table::read(bytes, MARK)
}

/// The day of a row, without a look at the rest.
pub(super) fn day(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|day| u32::from_le_bytes(*day))
}

impl Known {
    /// Appends the value of a row.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let Self { stat, digest, day } = self;
        bytes.extend_from_slice(&day.to_le_bytes());
        for value in [stat.device, stat.inode, stat.size] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(&stat.mode.to_le_bytes());
        for moment in [stat.modified, stat.changed] {
            bytes.extend_from_slice(&i64::try_from(moment.div_euclid(1_000_000_000)).unwrap_or(0).to_le_bytes());
            bytes.extend_from_slice(&u32::try_from(moment.rem_euclid(1_000_000_000)).unwrap_or(0).to_le_bytes());
        }
        bytes.extend_from_slice(digest.0.as_bytes());
    }

    /// Reads what [`Known::write`] wrote; `None` for anything else.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let rest = &mut &*value;
        let day = u32::from_le_bytes(take(rest)?);
        let mut wide = || Some(u64::from_le_bytes(take(rest)?));
        let (device, inode, size) = (wide()?, wide()?, wide()?);
        let mode = u32::from_le_bytes(take(rest)?);
        let mut moment = || {
            let seconds = i64::from_le_bytes(take(rest)?);
            Some(i128::from(seconds) * 1_000_000_000 + i128::from(u32::from_le_bytes(take(rest)?)))
        };
        let (modified, changed) = (moment()?, moment()?);
        let digest = ContentDigest(Digest::from_bytes(take(rest)?));
        let stat = Stat { device, inode, size, mode, modified, changed };
        rest.is_empty().then_some(Self { stat, digest, day })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_back_whole_or_not_at_all() {
        let known = Known {
            stat: Stat {
                device: 1,
                inode: u64::MAX - 1,
                size: 1 << 40,
                mode: 0o100_755,
                modified: -1_500_000_001,
                changed: 9_999_999_999_123_456_789,
            },
            digest: ContentDigest(Digest::of(b"content")),
            day: 20_000,
        };
        let mut value = Vec::new();
        known.write(&mut value);
        assert_eq!((Known::read(&value), day(&value)), (Some(known), Some(20_000)));
        for end in 0..value.len() {
            assert_eq!(Known::read(&value[..end]), None, "cut at {end}");
        }
        value.push(0);
        assert_eq!(Known::read(&value), None);
    }
}
