//! What a layer is laid upon: the folders and links of the layers below it.
//! In: the entries of the base's layers, or of a layer just laid out. Out: modes, owners, and where links lead.
//! Never: keeps files, touches a disk, follows more than 40 links for one path.
//!
//! Docker copies into a file system and so keeps the modes of folders that are there and follows their links. A layer
//! that is written without one must know both, or `copy "x" "/tmp/x"` would take the sticky bit from `/tmp`, and
//! `copy "x" "/bin/x"` would put a folder in the place of Debian's link to `usr/bin`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::oci::descriptor::Descriptor;
use crate::store::layer_reader::{self, EntryHeader, EntryKind, LayerError, Limits};
use crate::store::local::Store;

use super::tree::{Entry, SourceKind};

/// Links followed for one path, as in the kernel.
const MOST_LINKS: usize = 40;
/// The longest target that a kernel accepts; a longer one makes an image that no engine can unpack.
const LONGEST_TARGET: usize = 4096;

/// The folders and links below a layer. The default is that of `scratch`: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground(#[serde(with = "pairs")] BTreeMap<Vec<u8>, Thing>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Thing {
    Folder(u32, (u32, u32)),
    Link(Vec<u8>),
}

/// Links lead in a circle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost;

impl Ground {
    /// Reads the layers of a base, from the lowest up.
    ///
    /// # Errors
    /// [`LayerError`] when one of them cannot be read or is not sound.
    pub fn of_layers(store: &Store, layers: &[Descriptor]) -> Result<Self, LayerError> {
        let mut ground = Self::default();
        for layer in layers {
            let mut kept = Vec::new();
            layer_reader::for_each_entry(store, layer, Limits::of(layer), &mut |entry, _| {
                let is_plain = matches!(entry.kind, EntryKind::File | EntryKind::Device | EntryKind::Fifo);
                if !is_plain || ground.0.contains_key(&entry.path) {
                    kept.push(entry.clone());
                }
                Ok(())
            })?;
            ground.apply(&kept);
        }
        Ok(ground)
    }

    /// Lays one layer over what is there. Whiteouts hide lower layers only, wherever they stand in their own.
    fn apply(&mut self, layer: &[EntryHeader]) {
        for entry in layer {
            match entry.kind {
                EntryKind::Whiteout => self.remove(&entry.path),
                EntryKind::Opaque => self.remove_below(&entry.path),
                _ => {}
            }
        }
        for entry in layer {
            match &entry.kind {
                EntryKind::Whiteout | EntryKind::Opaque => {}
                EntryKind::Folder => match (u32::try_from(entry.uid), u32::try_from(entry.gid)) {
                    (Ok(uid), Ok(gid)) => self.insert_folder(&entry.path, entry.mode, (uid, gid)),
                    // No kernel has such an owner, so no engine can unpack it either.
                    _ => self.remove(&entry.path),
                },
                EntryKind::Link { target } => self.insert_link(&entry.path, target),
                EntryKind::HardLink { target } => match self.0.get(target).cloned() {
                    Some(Thing::Link(aim)) => self.insert_link(&entry.path, &aim),
                    _ => self.remove(&entry.path),
                },
                EntryKind::File | EntryKind::Device | EntryKind::Fifo => self.remove(&entry.path),
            }
        }
    }

    /// Lays a layer of ours over what is there.
    pub(super) fn absorb(&mut self, entries: &[Entry]) {
        for entry in entries {
            match &entry.source.kind {
                SourceKind::Folder => self.insert_folder(&entry.path, entry.mode, entry.owner),
                SourceKind::Link { target } => self.insert_link(&entry.path, target),
                SourceKind::File { .. } => self.remove(&entry.path),
            }
        }
    }

    /// Mode and owner of the folder at `path`.
    pub(super) fn folder(&self, path: &[u8]) -> Option<(u32, (u32, u32))> {
        match self.0.get(path) {
            Some(Thing::Folder(mode, owner)) => Some((*mode, *owner)),
            _ => None,
        }
    }

    /// Whether a folder lies at `path`, or a link that leads to one.
    pub(super) fn has_folder(&self, path: &[u8]) -> bool {
        self.resolve(path, true).is_ok_and(|path| path.is_empty() || self.folder(&path).is_some())
    }

    /// The path without links among its parents; with `whole`, the last name is followed too.
    pub(super) fn resolve(&self, path: &[u8], whole: bool) -> Result<Vec<u8>, Lost> {
        let mut done: Vec<u8> = Vec::new();
        let mut open: Vec<Vec<u8>> = parts(path).rev().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(name) = open.pop() {
            if name == b".." {
                done.truncate(done.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                continue;
            }
            let before = done.len();
            if before > 0 {
                done.push(b'/');
            }
            done.extend_from_slice(&name);
            if let Some(Thing::Link(target)) = self.0.get(&done)
                && (whole || !open.is_empty())
            {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Lost);
                }
                done.truncate(if target.starts_with(b"/") { 0 } else { before });
                open.extend(parts(target).rev().map(<[u8]>::to_vec));
            }
        }
        Ok(done)
    }

    fn insert_folder(&mut self, path: &[u8], mode: u32, owner: (u32, u32)) {
        if !path.is_empty() {
            self.0.insert(path.to_vec(), Thing::Folder(mode, owner));
        }
    }

    fn insert_link(&mut self, path: &[u8], target: &[u8]) {
        self.remove(path);
        if target.len() <= LONGEST_TARGET {
            self.0.insert(path.to_vec(), Thing::Link(target.to_vec()));
        }
    }

    fn remove(&mut self, path: &[u8]) {
        self.0.remove(path);
        // Folders that no layer lists may lie in between, so what is below goes whether or not the path is known.
        if !path.is_empty() {
            self.remove_below(path);
        }
    }

    fn remove_below(&mut self, path: &[u8]) {
        if path.is_empty() {
            return self.0.clear();
        }
        for below in below(&self.0, path) {
            self.0.remove(&below);
        }
    }
}

/// The keys of a sorted map that lie below `path`.
pub(super) fn below<T>(map: &BTreeMap<Vec<u8>, T>, path: &[u8]) -> Vec<Vec<u8>> {
    let start = [path, b"/"].concat();
    map.range(start.clone()..).map(|(key, _)| key).take_while(|key| key.starts_with(&start)).cloned().collect()
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// JSON has no maps with bytes as keys; normal paths have a text form.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::base::path::RelPath;

    use super::Thing;

    pub fn serialize<S: Serializer>(map: &BTreeMap<Vec<u8>, Thing>, serializer: S) -> Result<S::Ok, S::Error> {
        let pair = |(path, thing): (&Vec<u8>, _)| RelPath::new(path).map(|path| (path, thing));
        map.iter().map(pair).collect::<Result<Vec<_>, _>>().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Vec<u8>, Thing>, D::Error> {
        let pairs = Vec::<(RelPath, Thing)>::deserialize(deserializer)?;
        Ok(pairs.into_iter().map(|(path, thing)| (path.as_bytes().to_vec(), thing)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: EntryKind) -> EntryHeader {
        EntryHeader { path: path.into(), kind, mode: 0o750, uid: 1, gid: 2, size: 0 }
    }

    fn link(path: &str, target: &str) -> EntryHeader {
        entry(path, EntryKind::Link { target: target.into() })
    }

    fn folder(path: &str) -> EntryHeader {
        entry(path, EntryKind::Folder)
    }

    fn lying(layers: &[&[EntryHeader]]) -> Ground {
        let mut ground = Ground::default();
        for layer in layers {
            ground.apply(layer);
        }
        ground
    }

    #[test]
    fn later_layers_replace_and_hide_earlier_ones() {
        let lower = [folder("a"), folder("a/b"), folder("a/b/c"), folder("ab"), link("l", "a"), folder("implied/x")];
        for (upper, there, gone) in [
            (vec![entry("a/b", EntryKind::Whiteout)], vec!["a", "ab"], vec!["a/b", "a/b/c"]),
            (vec![folder("a/b/new"), entry("a", EntryKind::Opaque)], vec!["a", "a/b/new", "ab"], vec!["a/b", "a/b/c"]),
            (vec![entry("a", EntryKind::File)], vec!["ab"], vec!["a", "a/b", "a/b/c"]),
            (vec![entry("implied", EntryKind::Whiteout)], vec!["a"], vec!["implied/x"]),
            (vec![link("a", "ab")], vec!["ab"], vec!["a/b", "a/b/c"]),
            (vec![folder("l"), folder("a")], vec!["l", "a", "a/b/c"], vec![]),
            (vec![EntryHeader { uid: 1 << 40, ..folder("a") }], vec!["ab"], vec!["a", "a/b"]),
        ] {
            let ground = lying(&[&lower, &upper]);
            for path in there {
                assert!(ground.folder(path.as_bytes()).is_some(), "{path} after {upper:?}");
            }
            for path in gone {
                assert!(ground.folder(path.as_bytes()).is_none(), "{path} after {upper:?}");
            }
        }
    }

    #[test]
    fn links_are_followed_as_the_kernel_would_inside_the_image() {
        let links = [
            link("bin", "usr/bin"),
            link("abs", "/usr"),
            link("up", "../../../usr"),
            link("usr/lib", "../lib64"),
            link("chain", "abs"),
            link("loop", "pool"),
            link("pool", "loop"),
            entry("twin", EntryKind::HardLink { target: b"bin".to_vec() }),
        ];
        let ground = lying(&[&links]);
        for (path, whole, expected) in [
            ("bin/x", false, Some("usr/bin/x")),
            ("bin", false, Some("bin")),
            ("bin", true, Some("usr/bin")),
            ("twin/x", false, Some("usr/bin/x")),
            ("abs/lib/x", false, Some("lib64/x")),
            ("up/x", false, Some("usr/x")),
            ("chain/x", false, Some("usr/x")),
            ("loop", false, Some("loop")),
            ("loop/x", false, None),
            ("none/x", true, Some("none/x")),
        ] {
            assert_eq!(ground.resolve(path.as_bytes(), whole).ok(), expected.map(|text| text.as_bytes().to_vec()), "{path}");
        }
    }

    #[test]
    fn what_is_remembered_is_what_was_known() {
        let ground =
            lying(&[&[folder("a"), folder("b\u{1b}"), EntryHeader { path: b"\xff\\x41".to_vec(), ..folder("") }, link("l", "\u{fe}")]]);
        let text = serde_json::to_string(&ground).unwrap();
        assert_eq!(serde_json::from_str::<Ground>(&text).unwrap(), ground);
    }
}
