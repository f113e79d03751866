//! The stat cache on disk: a mark, the number of entries, the entries, and a checksum over all of it.
//! In: what is known of files. Out: bytes, and back. Never: a part of a damaged file.
//!
//! An entry is the length of the path (4 bytes), the path, then device, inode, size (8 each), mode (4), time of
//! modification and of change (8 for the seconds, 4 for the nanoseconds, each), day (4), digest (32). All little-endian.

use std::collections::HashMap;

use crate::base::digest::{Blake3, ContentDigest, Digest};
use crate::sys::stat::Stat;

use super::stat_cache::{Known, Told};

/// The first bytes; another version has others and is not read.
const MARK: &[u8; 16] = b"kiln stat 1\n\0\0\0\0";
/// The largest file that is read, in bytes: about two million entries.
pub(super) const LIMIT: u64 = 512 << 20;
const FIXED: usize = 4 + 8 * 3 + 4 + 12 * 2 + 4 + 32;
const SUM: usize = 32;

type Files = HashMap<Box<[u8]>, Known>;

/// Writes `files` in the order of their paths, so that the same knowledge gives the same bytes.
pub(super) fn encode(files: &Files) -> Vec<u8> {
    let mut sorted: Vec<_> = files.iter().collect();
    sorted.sort_by_key(|(path, _)| *path);
    let mut bytes = Vec::with_capacity(64 + sorted.iter().map(|(path, _)| path.len() + FIXED).sum::<usize>());
    bytes.extend_from_slice(MARK);
    bytes.extend_from_slice(&(sorted.len() as u64).to_le_bytes());
    for (path, known) in sorted {
        let stat = &known.stat;
        bytes.extend_from_slice(&u32::try_from(path.len()).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(path);
        for value in [stat.device, stat.inode, stat.size] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(&stat.mode.to_le_bytes());
        for moment in [stat.modified, stat.changed] {
            bytes.extend_from_slice(&i64::try_from(moment.div_euclid(1_000_000_000)).unwrap_or(0).to_le_bytes());
            bytes.extend_from_slice(&u32::try_from(moment.rem_euclid(1_000_000_000)).unwrap_or(0).to_le_bytes());
        }
        bytes.extend_from_slice(&known.day.to_le_bytes());
        bytes.extend_from_slice(known.digest.0.as_bytes());
    }
    let sum = Digest::<Blake3>::of(&bytes);
    bytes.extend_from_slice(sum.as_bytes());
    bytes
}

/// Reads what [`encode`] wrote; `None` for anything else.
pub(super) fn decode(bytes: &[u8]) -> Option<Files> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
    if Digest::<Blake3>::of(body).as_bytes() != sum {
        return None;
    }
    let mut rest = body.strip_prefix(MARK)?;
    let count = usize::try_from(u64::from_le_bytes(take(&mut rest)?)).ok()?;
    if count > rest.len() / FIXED {
        return None;
    }
    let mut files = HashMap::with_capacity(count);
    for _ in 0..count {
        let length = usize::try_from(u32::from_le_bytes(take(&mut rest)?)).ok()?;
        let (path, tail) = rest.split_at_checked(length)?;
        rest = tail;
        let mut wide = || Some(u64::from_le_bytes(take(&mut rest)?));
        let (device, inode, size) = (wide()?, wide()?, wide()?);
        let mode = u32::from_le_bytes(take(&mut rest)?);
        let mut moment = || {
            let seconds = i64::from_le_bytes(take(&mut rest)?);
            Some(i128::from(seconds) * 1_000_000_000 + i128::from(u32::from_le_bytes(take(&mut rest)?)))
        };
        let (modified, changed) = (moment()?, moment()?);
        let day = u32::from_le_bytes(take(&mut rest)?);
        let digest = ContentDigest(Digest::from_bytes(take(&mut rest)?));
        let stat = Stat { device, inode, size, mode, modified, changed };
        files.insert(path.into(), Known { stat, digest, day, settled: true, told: Told::Nothing });
    }
    rest.is_empty().then_some(files)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let known = |seed: u8| Known {
            stat: Stat {
                device: 1,
                inode: u64::MAX - u64::from(seed),
                size: 1 << 40,
                mode: 0o100_755,
                modified: -1_500_000_000 + i128::from(seed),
                changed: 9_999_999_999_123_456_789,
            },
            digest: ContentDigest(Digest::of(&[seed])),
            day: 20_000,
            settled: true,
            told: Told::Nothing,
        };
        [(&b"/a"[..], known(1)), (b"/\xff\n", known(2)), (b"", known(3))].map(|(path, known)| (path.into(), known)).into()
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(decode(&encode(&files())), Some(files()));
        assert_eq!(decode(&encode(&Files::new())), Some(Files::new()));
    }

    #[test]
    fn a_file_cut_anywhere_or_with_one_bit_flipped_is_not_read() {
        let bytes = encode(&files());
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), None, "cut at {end}");
        }
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert_eq!(decode(&damaged), None, "bit {at}");
        }
    }
}
