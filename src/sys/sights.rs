//! What was seen of a project, as bytes that are asked about again without being taken apart first.
//! In: names with what the kernel said of them. Out: the same as bytes; whether all of it still is so. Never: a look outside the
//! project, an error: what cannot be told counts as different.
//!
//! The bytes are pieces, each of one folder: the length of its path (4), the path, the length of the rest (4), and rows. A row is
//! a name with a NUL behind it, then 0 for what was missing, or 1 and device (8), number (8), size (8), mode (4), time of
//! modification (8) and of change (8), all in little endian.

use std::ffi::CStr;

use rayon::prelude::*;

use crate::base::path::RelPath;

use super::account::Sight;
use super::stat::Stat;
use super::tree::Tree;

/// Rows of one piece: enough to be worth a thread's while, few enough to be shared well.
const ROWS: usize = 1_024;
/// With fewer pieces, starting threads takes longer than looking.
const FEW: usize = 3;

/// Writes sights down. `None` for a time that no clock of today shows.
#[must_use]
pub fn encode(sights: &[Sight]) -> Option<Vec<u8>> {
    let mut sorted: Vec<(RelPath, &Sight)> = sights.iter().map(|sight| (sight.0.parent().unwrap_or_else(RelPath::root), sight)).collect();
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut bytes = Vec::with_capacity(sights.len() * 64);
    for same in sorted.chunk_by(|(one, _), (other, _)| one == other) {
        for some in same.chunks(ROWS) {
            let mut rows = Vec::new();
            for (_, (path, stat)) in some {
                rows.extend_from_slice(path.name().unwrap_or(b"."));
                rows.push(0);
                row(&mut rows, stat.as_ref())?;
            }
            for part in [some[0].0.as_bytes(), &rows] {
                bytes.extend_from_slice(&u32::try_from(part.len()).ok()?.to_le_bytes());
                bytes.extend_from_slice(part);
            }
        }
    }
    Some(bytes)
}

fn row(rows: &mut Vec<u8>, stat: Option<&Stat>) -> Option<()> {
    let Some(stat) = stat else {
        rows.push(0);
        return Some(());
    };
    rows.push(1);
    for number in [stat.device, stat.inode, stat.size] {
        rows.extend_from_slice(&number.to_le_bytes());
    }
    rows.extend_from_slice(&stat.mode.to_le_bytes());
    for time in [stat.modified, stat.changed] {
        rows.extend_from_slice(&i64::try_from(time).ok()?.to_le_bytes());
    }
    Some(())
}

/// Whether everything that `bytes` tell of is as it was.
#[must_use]
pub fn hold(tree: &Tree, bytes: &[u8]) -> bool {
    let Some(pieces) = pieces(bytes) else { return false };
    let holds = |(folder, rows): &(RelPath, &[u8])| piece_holds(tree, folder, rows).unwrap_or(false);
    if pieces.len() < FEW { pieces.iter().all(holds) } else { pieces.par_iter().with_max_len(1).all(holds) }
}

fn pieces(mut bytes: &[u8]) -> Option<Vec<(RelPath, &[u8])>> {
    let mut part = || {
        let (length, rest) = bytes.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        bytes = rest;
        Some(part)
    };
    let mut pieces = Vec::new();
    while let Some(folder) = part() {
        pieces.push((RelPath::new(folder).ok()?, part()?));
    }
    bytes.is_empty().then_some(pieces)
}

/// `None` when the bytes are not what [`encode`] writes.
fn piece_holds(tree: &Tree, folder: &RelPath, mut rows: &[u8]) -> Option<bool> {
    let open = tree.folder(folder).ok()?;
    while !rows.is_empty() {
        let name = CStr::from_bytes_until_nul(rows).ok()?;
        let (there, rest) = rows.get(name.count_bytes() + 1..)?.split_first()?;
        rows = rest;
        let then = if *there == 0 { None } else { Some(stat(&mut rows)?) };
        let same = match &open {
            Some(open) => open.look(name)? == then,
            None => then.is_none(),
        };
        if !same {
            return Some(false);
        }
    }
    Some(true)
}

fn stat(rows: &mut &[u8]) -> Option<Stat> {
    let mut eight = || {
        let (chunk, rest) = rows.split_first_chunk::<8>()?;
        *rows = rest;
        Some(*chunk)
    };
    let (device, inode, size) = (eight()?, eight()?, eight()?);
    let (mode, rest) = rows.split_first_chunk()?;
    *rows = rest;
    let mut time = || {
        let (chunk, rest) = rows.split_first_chunk()?;
        *rows = rest;
        Some(i128::from(i64::from_le_bytes(*chunk)))
    };
    Some(Stat {
        device: u64::from_le_bytes(device),
        inode: u64::from_le_bytes(inode),
        size: u64::from_le_bytes(size),
        mode: u32::from_le_bytes(*mode),
        modified: time()?,
        changed: time()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::AbsPath;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn what_was_seen_holds_until_one_name_of_it_is_different() {
        let dir = tempfile::tempdir().unwrap();
        let root = AbsPath::new(dir.path().canonicalize().unwrap()).unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        // More rows than fit into one piece, names with a line feed among them.
        let mut names: Vec<String> = (0..ROWS + 10).map(|n| format!("a/{n}\n")).collect();
        names.extend(["b".to_owned(), "a".to_owned(), String::new()]);
        for name in names.iter().filter(|name| name.len() > 1 || *name == "b") {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let tree = Tree::open(&root).unwrap();
        let path = |name: &str| RelPath::new(name).unwrap();
        names.extend(["a/none", "none", "none/x"].map(str::to_owned));
        let seen: Vec<Sight> = names.iter().map(|name| (path(name), tree.status(&path(name)).ok().map(|(_, stat)| stat))).collect();
        assert_eq!(seen.iter().filter(|(_, stat)| stat.is_none()).count(), 3);
        let bytes = encode(&seen).unwrap();
        assert!(hold(&tree, &bytes));
        // Between two pieces only a checksum around all of them can tell.
        let (folder, rows) = pieces(&bytes).unwrap()[0].clone();
        for end in 1..8 + folder.as_bytes().len() + rows.len() {
            assert!(!hold(&tree, &bytes[..end]), "cut at {end}");
        }
        let differs = |change: &dyn Fn(), back: &dyn Fn()| {
            change();
            let holds = hold(&tree, &bytes);
            back();
            !holds
        };
        assert!(
            differs(&|| std::fs::write(dir.path().join("none"), "").unwrap(), &|| std::fs::remove_file(dir.path().join("none")).unwrap())
        );
        // The root is among what was seen, and its time is another one now.
        assert!(!hold(&tree, &bytes));
        let others: Vec<Sight> = seen.into_iter().filter(|(path, _)| !path.is_root()).collect();
        let bytes = encode(&others).unwrap();
        assert!(hold(&tree, &bytes));
        std::fs::rename(dir.path().join("a/1030\n"), dir.path().join("a/x")).unwrap();
        assert!(!hold(&tree, &bytes));
    }
}
