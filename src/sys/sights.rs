//! What was seen of a project, as bytes that are asked about again without being taken apart first.
//! In: names with what the kernel said of them. Out: the same as bytes; the names of which something else is said now. Never: a look
//! outside the project, an error: what cannot be told counts as different.
//!
//! The bytes are pieces, each of one folder: the length of its path (4), the path, the length of the rest (4), and rows. A row is
//! a name with a NUL behind it, then 0 for what was missing, or 1 and device (8), number (8), size (8), mode (4), time of
//! modification (8) and of change (8), all in little endian.

use std::collections::HashMap;
use std::ffi::CStr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::base::path::RelPath;

use super::account::Sight;
use super::stat::{Kind, Stat};
use super::tree::Tree;

/// The bytes of what the kernel said of one name.
const STAT: usize = 3 * 8 + 4 + 2 * 8;
/// Rows of one piece: enough to be worth a thread's while, few enough to be shared well.
const ROWS: usize = 1_024;
/// With fewer pieces, starting threads takes longer than looking.
const FEW: usize = 3;

/// Writes sights down behind other bytes. `None` for a time that no clock of today shows.
#[must_use]
pub fn encode(sights: &[Sight], bytes: &mut Vec<u8>) -> Option<()> {
    let mut sorted: Vec<(RelPath, &Sight)> = sights.iter().map(|sight| (sight.0.parent().unwrap_or_else(RelPath::root), sight)).collect();
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    bytes.reserve(sights.len() * 64);
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
    Some(())
}

fn row(rows: &mut Vec<u8>, stat: Option<&Stat>) -> Option<()> {
    let Some(stat) = stat else {
        rows.push(0);
        return Some(());
    };
    rows.push(1);
    encode_stat(rows, stat)
}

fn encode_stat(rows: &mut Vec<u8>, stat: &Stat) -> Option<()> {
    for number in [stat.device, stat.inode, stat.size] {
        rows.extend_from_slice(&number.to_le_bytes());
    }
    rows.extend_from_slice(&stat.mode.to_le_bytes());
    for time in [stat.modified, stat.changed] {
        rows.extend_from_slice(&i64::try_from(time).ok()?.to_le_bytes());
    }
    Some(())
}

/// What is not as it was.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Names that something else is said of now, in no order.
    pub names: Vec<RelPath>,
    /// Whether there are links among all names that were told of: what is read through them has other names.
    pub links: bool,
}

/// What of all that `bytes` tell of is not as it was. `None` when they are not what [`encode`] writes, when something cannot be told,
/// and when more than `most` names differ.
#[must_use]
pub fn differences(tree: &Tree, bytes: &[u8], most: usize) -> Option<Differences> {
    let pieces = pieces(bytes)?;
    let found = AtomicUsize::new(0);
    let look = |(folder, rows): &(RelPath, Range<usize>)| {
        let there = tree.folder(folder).ok()?;
        let mut differences = Differences::default();
        for row in Rows(&bytes[rows.clone()]) {
            let (name, then, _) = row?;
            differences.links |= then.is_some_and(|then| Kind::of_mode(then.mode) == Kind::Link);
            let same = match &there {
                Some(there) => there.look(name)? == then,
                None => then.is_none(),
            };
            if !same {
                if found.fetch_add(1, Ordering::Relaxed) >= most {
                    return None;
                }
                differences.names.push(path(folder, name)?);
            }
        }
        Some(differences)
    };
    let both = |mut one: Differences, mut other: Differences| {
        one.names.append(&mut other.names);
        Differences { names: one.names, links: one.links | other.links }
    };
    if pieces.len() < FEW {
        pieces.iter().map(look).try_fold(Differences::default(), |all, one| Some(both(all, one?)))
    } else {
        pieces.par_iter().with_max_len(1).map(look).try_reduce(Differences::default, |one, other| Some(both(one, other)))
    }
}

/// Puts what is seen now in the places of what was seen of the same names. `None` when `bytes` do not tell of each of them, or were
/// told that it was missing.
#[must_use]
pub fn amend(bytes: &mut [u8], sights: &[Sight]) -> Option<()> {
    let mut wanted: HashMap<(RelPath, Vec<u8>), &Stat> = HashMap::with_capacity(sights.len());
    for (path, stat) in sights {
        wanted.insert((path.parent().unwrap_or_else(RelPath::root), path.name().unwrap_or(b".").to_vec()), stat.as_ref()?);
    }
    let mut folder = (RelPath::root(), Vec::new());
    let mut places = Vec::new();
    for (parent, rows) in pieces(bytes)? {
        folder.0 = parent;
        for row in Rows(&bytes[rows.clone()]) {
            let (name, then, rest) = row?;
            folder.1.clear();
            folder.1.extend_from_slice(name.to_bytes());
            if let Some(stat) = wanted.remove(&folder) {
                then?;
                places.push((rows.end - rest.len() - STAT, stat));
            }
        }
    }
    for (place, stat) in places {
        let mut row = Vec::with_capacity(STAT);
        encode_stat(&mut row, stat)?;
        bytes.get_mut(place..place + STAT)?.copy_from_slice(&row);
    }
    wanted.is_empty().then_some(())
}

/// The path of a row.
fn path(folder: &RelPath, name: &CStr) -> Option<RelPath> {
    match name.to_bytes() {
        b"." => Some(folder.clone()),
        name if folder.is_root() => RelPath::new(name).ok(),
        name => RelPath::new([folder.as_bytes(), b"/", name].concat()).ok(),
    }
}

/// Each folder with the place of its rows.
fn pieces(bytes: &[u8]) -> Option<Vec<(RelPath, Range<usize>)>> {
    let mut at = 0;
    let mut part = || {
        let length = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize;
        let part = at + 4..(at + 4).checked_add(length)?;
        bytes.get(part.clone())?;
        at = part.end;
        Some(part)
    };
    let mut pieces = Vec::new();
    while let Some(folder) = part() {
        pieces.push((RelPath::new(&bytes[folder]).ok()?, part()?));
    }
    (at == bytes.len()).then_some(pieces)
}

/// The rows of a piece: a name, what was said of it, and all rows behind it. `None` in place of a row that [`encode`] did not write,
/// which is the last one then.
struct Rows<'b>(&'b [u8]);

impl<'b> Iterator for Rows<'b> {
    type Item = Option<(&'b CStr, Option<Stat>, &'b [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let row = || {
            let name = CStr::from_bytes_until_nul(self.0).ok()?;
            let (there, mut rest) = self.0.get(name.count_bytes() + 1..)?.split_first()?;
            let then = if *there == 0 { None } else { Some(stat(&mut rest)?) };
            Some((name, then, rest))
        };
        let row = row();
        self.0 = row.map_or(&[], |(.., rest)| rest);
        Some(row)
    }
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

    /// A project with an empty folder.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn project() -> (tempfile::TempDir, AbsPath) {
        let dir = tempfile::tempdir().unwrap();
        let root = AbsPath::new(dir.path().canonicalize().unwrap()).unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        (dir, root)
    }

    fn encode(sights: &[Sight]) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        super::encode(sights, &mut bytes).map(|()| bytes)
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn what_was_seen_holds_until_one_name_of_it_is_different() {
        let (dir, root) = project();
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
        let hold = |tree: &Tree, bytes: &[u8]| differences(tree, bytes, 0) == Some(Differences::default());
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
        let mut found = differences(&tree, &bytes, 2).unwrap();
        found.names.sort();
        assert_eq!(found, Differences { names: vec![path("a"), path("a/1030\n")], links: false });
        assert_eq!(differences(&tree, &bytes, 1), None);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn what_was_seen_can_be_amended_name_by_name_and_tells_of_links() {
        let (dir, root) = project();
        for name in ["a/one", "a/two", "three"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let tree = Tree::open(&root).unwrap();
        let path = |name: &str| RelPath::new(name).unwrap();
        let see = |names: &[&str]| -> Vec<Sight> {
            names.iter().map(|name| (path(name), tree.status(&path(name)).ok().map(|(_, stat)| stat))).collect()
        };
        let all = ["a/one", "a/two", "gone", "three"];
        let mut bytes = encode(&see(&all)).unwrap();
        for name in ["a/two", "three"] {
            std::fs::write(dir.path().join(name), "something else").unwrap();
        }
        let mut found = differences(&tree, &bytes, 9).unwrap();
        found.names.sort();
        assert_eq!(found, Differences { names: vec![path("a/two"), path("three")], links: false });
        for unknown in [&see(&["a/two", "a"])[..], &see(&["gone"])] {
            assert_eq!(amend(&mut bytes.clone(), unknown), None);
        }
        amend(&mut bytes, &see(&["three", "a/two"])).unwrap();
        assert_eq!(differences(&tree, &bytes, 0), Some(Differences::default()));
        assert_eq!(bytes, encode(&see(&all)).unwrap());
        std::os::unix::fs::symlink("three", dir.path().join("link")).unwrap();
        assert!(differences(&tree, &encode(&see(&["link"])).unwrap(), 0).unwrap().links);
    }
}
