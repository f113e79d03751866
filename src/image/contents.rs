//! What an image holds, layer by layer and all together.
//! In: a manifest whose layers are in the store; nobody vouches for them. Out: every entry, what engines would show, and what lower
//! layers hold in vain. Never: unpacks, follows a link, keeps more names than [`MOST_ENTRIES`] of an honest image.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::base::digest::{Blake3, ContentDigest, Hasher};
use crate::oci::descriptor::Descriptor;
use crate::store::layer_reader::{EntryHeader, EntryKind, LayerError, Limits, for_each_entry};
use crate::store::local::Store;

use super::ground::below;

/// Entries of all layers together, where a long name counts as several; an honest image has a tenth of it.
pub const MOST_ENTRIES: u64 = 2_000_000;
/// The bytes of names that count as one more entry.
const NAME: u64 = 64;
/// What a private key in text form begins with, somewhere in its first bytes.
const KEY_MARK: &[u8] = b"PRIVATE KEY-----";
/// How many of a file's first bytes are looked at for that.
const HEAD: usize = 256;

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What the layer says of it.
    pub header: EntryHeader,
    /// A file's content.
    pub content: Option<ContentDigest>,
    /// Whether it begins like a private key.
    pub is_key: bool,
}

/// One layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerItems {
    /// Its entries by path, without whiteouts; of two for a path the later one.
    pub items: BTreeMap<Vec<u8>, Item>,
    /// Paths that it hides in lower layers.
    pub hides: Vec<Vec<u8>>,
    /// Folders whose content in lower layers it hides.
    pub opaque: Vec<Vec<u8>>,
    /// The bytes of its files.
    pub bytes: u64,
}

/// A file of a lower layer that no container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// Where.
    pub path: Vec<u8>,
    /// Its size.
    pub size: u64,
    /// The layer that holds it, from 0.
    pub layer: usize,
    /// The layer that hides it.
    pub by: usize,
    /// Whether it is gone; otherwise something else stands in its place.
    pub removed: bool,
}

/// What a container sees, and what it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// From the lowest up.
    pub layers: Vec<LayerItems>,
    /// By path, with the number of the layer that has the say.
    pub files: BTreeMap<Vec<u8>, (usize, Item)>,
    /// Files that lower layers hold in vain.
    pub hidden: Vec<Hidden>,
}

/// Reads one layer; `left` is what may still be held, and shrinks.
///
/// # Errors
/// [`LayerError`].
pub fn read_layer(store: &Store, layer: &Descriptor, left: &mut u64) -> Result<LayerItems, LayerError> {
    let mut found = LayerItems::default();
    let limits = Limits { entries: *left, ..Limits::of(layer) };
    for_each_entry(store, layer, limits, &mut |header, data| {
        let target = if let EntryKind::Link { target } | EntryKind::HardLink { target } = &header.kind { target.len() } else { 0 };
        let cost = 1 + (header.path.len() + target) as u64 / NAME;
        *left = left.checked_sub(cost).ok_or_else(|| io::Error::other("it holds more names than kiln looks at"))?;
        match header.kind {
            EntryKind::Whiteout => found.hides.push(header.path.clone()),
            EntryKind::Opaque => found.opaque.push(header.path.clone()),
            _ => {
                let item = item(header, data)?;
                found.bytes += item.header.size;
                found.items.insert(header.path.clone(), item);
            }
        }
        Ok(())
    })?;
    Ok(found)
}

fn item(header: &EntryHeader, data: &mut dyn Read) -> io::Result<Item> {
    if header.kind != EntryKind::File {
        return Ok(Item { header: header.clone(), content: None, is_key: false });
    }
    let mut hasher = Hasher::<Blake3>::new();
    let mut head = Vec::with_capacity(HEAD);
    (&mut *data).take(HEAD as u64).read_to_end(&mut head)?;
    hasher.update(&head);
    io::copy(data, &mut hasher)?;
    let is_key = head.windows(KEY_MARK.len()).any(|window| window == KEY_MARK);
    Ok(Item { header: header.clone(), content: Some(ContentDigest(hasher.finish())), is_key })
}

/// Reads every layer of an image.
///
/// # Errors
/// [`LayerError`] of the first layer that is not sound.
pub fn contents(store: &Store, layers: &[Descriptor]) -> Result<Contents, LayerError> {
    let mut all = Contents::default();
    let mut left = MOST_ENTRIES;
    for (number, layer) in layers.iter().enumerate() {
        let layer = read_layer(store, layer, &mut left)?;
        all.lay(number, &layer);
        all.layers.push(layer);
    }
    Ok(all)
}

impl Contents {
    /// Lays a layer over the others. What it hides lies in lower ones, wherever the mark stands.
    fn lay(&mut self, number: usize, layer: &LayerItems) {
        for folder in &layer.opaque {
            let paths = if folder.is_empty() { self.files.keys().cloned().collect() } else { below(&self.files, folder) };
            paths.iter().for_each(|path| self.hide(path, number, true));
        }
        for path in &layer.hides {
            for below in below(&self.files, path) {
                self.hide(&below, number, true);
            }
            self.hide(path, number, true);
        }
        for (path, item) in &layer.items {
            let is_folder = item.header.kind == EntryKind::Folder;
            if !is_folder {
                for below in below(&self.files, path) {
                    self.hide(&below, number, true);
                }
            }
            self.hide(path, number, false);
            self.files.insert(path.clone(), (number, item.clone()));
        }
    }

    fn hide(&mut self, path: &[u8], by: usize, removed: bool) {
        let Some((layer, item)) = self.files.remove(path) else { return };
        if item.header.kind == EntryKind::File {
            self.hidden.push(Hidden { path: path.to_vec(), size: item.header.size, layer, by, removed });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64) -> (Vec<u8>, Item) {
        let header = EntryHeader { path: path.into(), kind: EntryKind::File, mode: 0o644, uid: 0, gid: 0, size };
        (path.into(), Item { header, content: None, is_key: false })
    }

    fn layer(files: &[(&str, u64)], hides: &[&str], opaque: &[&str]) -> LayerItems {
        let bytes = |paths: &[&str]| paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        LayerItems {
            items: files.iter().map(|(path, size)| file(path, *size)).collect(),
            hides: bytes(hides),
            opaque: bytes(opaque),
            bytes: files.iter().map(|(_, size)| size).sum(),
        }
    }

    #[test]
    fn an_image_of_endless_names_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(crate::base::path::AbsPath::new(folder.path()).unwrap()).unwrap();
        let mut archive = ::tar::Builder::new(Vec::new());
        for number in 0..100 {
            let mut header = ::tar::Header::new_gnu();
            header.set_size(0);
            header.set_entry_type(::tar::EntryType::Regular);
            archive.append_data(&mut header, format!("{}/{number}", "long".repeat(30)), &b""[..]).unwrap();
        }
        let bytes = archive.into_inner().unwrap();
        store.put::<crate::base::digest::Sha256>(&bytes).unwrap();
        let layer = Descriptor::of(crate::oci::media_type::LAYER, &bytes);
        assert_eq!(read_layer(&store, &layer, &mut 200).unwrap().items.len(), 100);
        assert!(read_layer(&store, &layer, &mut 199).unwrap_err().to_string().contains("more names"));
        assert!(read_layer(&store, &layer, &mut 99).is_err());
    }

    #[test]
    fn what_lower_layers_hold_in_vain_is_told_with_who_hides_it() {
        let mut all = Contents::default();
        let layers = [
            layer(&[("a/one", 1), ("a/two", 2), ("b", 4), ("c/x", 8)], &[], &[]),
            layer(&[("a/one", 16)], &["b"], &["c"]),
            layer(&[("a", 32)], &["none"], &[]),
        ];
        for (number, layer) in layers.iter().enumerate() {
            all.lay(number, layer);
        }
        let seen: Vec<&[u8]> = all.files.keys().map(Vec::as_slice).collect();
        assert_eq!(seen, [b"a"]);
        let hidden: Vec<(String, u64, usize, usize, bool)> = all
            .hidden
            .iter()
            .map(|hidden| (String::from_utf8_lossy(&hidden.path).into_owned(), hidden.size, hidden.layer, hidden.by, hidden.removed))
            .collect();
        let expected =
            [("c/x", 8, 0, 1, true), ("b", 4, 0, 1, true), ("a/one", 1, 0, 1, false), ("a/one", 16, 1, 2, true), ("a/two", 2, 0, 2, true)];
        assert_eq!(hidden, expected.map(|(path, size, layer, by, removed)| (path.to_owned(), size, layer, by, removed)));
    }
}
