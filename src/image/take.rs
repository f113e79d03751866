//! Files of another image, for `copy from=`: what its patterns select there goes to the store.
//! In: an image whose layers are in the store; nobody vouches for them. Out: files with the modes and owners that they have there.
//! Never: unpacks, follows a link out of the image, takes a device.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::base::digest::Blake3;
use crate::base::path::RelPath;
use crate::base::pattern::Pattern;
use crate::oci::descriptor::Descriptor;
use crate::plan::image::Copy;
use crate::store::layer_reader::{EntryKind, LayerError, Limits, for_each_entry};
use crate::store::local::Store;

use super::build::BaseImage;
use super::contents::{Contents, Item, contents};
use super::ground::{Ground, Lost, below};
use super::tree::{Own, SourceFile, SourceKind};

/// An image whose files are taken, its layers read once for all that is.
pub struct Stage {
    layers: Vec<Descriptor>,
    ground: Ground,
    held: Contents,
}

impl Stage {
    /// Reads the layers of an image.
    ///
    /// # Errors
    /// [`LayerError`] of a layer that is not sound.
    pub fn read(store: &Store, image: BaseImage) -> Result<Self, LayerError> {
        let layers = image.manifest.layers;
        Ok(Self { ground: Ground::of_layers(store, &layers)?, held: contents(store, &layers)?, layers })
    }

    /// Finds what the patterns of `copy` select here, under the paths that the patterns name; links on the way to them are followed.
    /// The content of every file is in the store afterwards.
    ///
    /// # Errors
    /// [`LayerError`] of a layer that is not sound.
    pub fn take(&self, store: &Store, copy: &Copy) -> Result<Vec<SourceFile>, LayerError> {
        let (layers, held) = (&self.layers, &self.held);
        let mut chosen: BTreeMap<RelPath, (usize, Vec<u8>)> = BTreeMap::new();
        for (pattern, _) in &copy.from.include {
            for (path, place) in selected(pattern, &self.ground, held) {
                if !copy.from.exclude.iter().any(|(exclude, _)| exclude.covers(&path)) {
                    chosen.insert(path, place);
                }
            }
        }
        let mut missing: BTreeMap<usize, BTreeSet<Vec<u8>>> = BTreeMap::new();
        let mut files = Vec::new();
        for (path, (layer, place)) in chosen {
            let Some((_, item)) = held.files.get(&place) else { continue };
            let Some((layer, place, item)) = content_of(held, layer, place, item) else { continue };
            let kind = match (&item.header.kind, item.content) {
                (EntryKind::File, Some(digest)) => {
                    if store.size_of(digest.0).is_none() {
                        missing.entry(layer).or_default().insert(place);
                    }
                    SourceKind::File { digest, size: item.header.size, executable: item.header.mode & 0o111 != 0 }
                }
                (EntryKind::Link { target }, _) => SourceKind::Link { target: target.clone() },
                (EntryKind::Folder, _) => SourceKind::Folder,
                _ => continue,
            };
            let id = |id: u64| u32::try_from(id).unwrap_or(0);
            let own = Own { mode: item.header.mode & 0o7777, owner: (id(item.header.uid), id(item.header.gid)) };
            files.push(SourceFile { path, kind, own: Some(own) });
        }
        for (layer, paths) in missing {
            for_each_entry(store, &layers[layer], Limits::of(&layers[layer]), &mut |header, data| {
                if header.kind == EntryKind::File && paths.contains(&header.path) {
                    let mut writer = store.writer::<Blake3>().map_err(io::Error::other)?;
                    io::copy(data, &mut writer)?;
                    writer.commit().map_err(io::Error::other)?;
                }
                Ok(())
            })?;
        }
        Ok(files)
    }
}

/// The layer, path and item that hold the content: for a hard link those of its target.
fn content_of<'a>(held: &'a Contents, layer: usize, place: Vec<u8>, item: &'a Item) -> Option<(usize, Vec<u8>, &'a Item)> {
    let EntryKind::HardLink { target } = &item.header.kind else { return Some((layer, place, item)) };
    // It means the file as it was when its own layer was written.
    let (at, found) = (0..=layer).rev().find_map(|at| Some((at, held.layers.get(at)?.items.get(target)?)))?;
    matches!(found.header.kind, EntryKind::File | EntryKind::Link { .. }).then(|| (at, target.clone(), found))
}

/// What a pattern selects: the path that it names, the layer and the path in the image.
fn selected(pattern: &Pattern, ground: &Ground, held: &Contents) -> Vec<(RelPath, (usize, Vec<u8>))> {
    let place = |path: &[u8]| held.files.get(path).map(|(layer, _)| (*layer, path.to_vec()));
    let base = pattern.literal().cloned().unwrap_or_else(|| pattern.base());
    let real = match ground.resolve(base.as_bytes(), true) {
        Ok(real) => real,
        Err(Lost) => return Vec::new(),
    };
    let mut found = Vec::new();
    if pattern.literal().is_some() && !real.is_empty() {
        found.extend(place(&real).map(|place| (base.clone(), place)));
    }
    let inside = if real.is_empty() { held.files.keys().cloned().collect() } else { below(&held.files, &real) };
    for path in inside {
        let rest = if real.is_empty() { &path[..] } else { &path[real.len() + 1..] };
        let Ok(named) = base.join(rest) else { continue };
        if (pattern.literal().is_some() || pattern.selects(&named))
            && let Some(place) = place(&path)
        {
            found.push((named, place));
        }
    }
    found
}
