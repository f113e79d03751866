//! Restoring: makes the outputs in a project exactly those that were recorded.
//! In: recorded outputs, whose files are blobs. Out: the same files, links and empty folders, and nothing else that the
//! declared outputs name. Never: a change through a link, a byte that was not verified, a file that two hold in common.
//!
//! All that is needed is verified first: what is in blobs is written under temporary names then, so that a blob that turns out to be
//! missing or damaged leaves the project as it was. Only contents that the record holds itself, which are small and here already, are
//! written to a place where nothing stands without a temporary name. A kiln that is killed there leaves a short file, and no word in
//! the stat cache that it is whole: the next one reads it, and restores it.

use std::collections::BTreeMap;
use std::io::Write as _;

use rayon::prelude::*;

use crate::base::digest::ContentDigest;
use crate::base::path::{AbsPath, RelPath};
use crate::base::pattern::Pattern;
use crate::sys::file::{self, FileError, at};
use crate::sys::stat::{Kind, Stat};
use crate::sys::tree::Tree;
use crate::sys::{clock, walk};

use super::blob::StoreError;
use super::held::Held;
use super::left;
use super::local::Store;
use super::outputs::{Difference, OutputError};
use super::result::{OutputEntry, OutputFile};
use super::stat_cache::StatCache;

/// What a restore did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files, links and empty folders that were written.
    pub written: usize,
    /// Files, links and folders that were removed.
    pub removed: usize,
}

/// Why outputs were not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A blob is not in the store, or was damaged and is now set aside. Nothing was changed: run the step instead.
    #[error("the store has no blob {0}")]
    Missing(String),
    /// Anything else; the first fault is the message.
    #[error("{}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Failed(Vec<OutputError>),
}

impl From<Vec<OutputError>> for RestoreError {
    fn from(faults: Vec<OutputError>) -> Self {
        Self::Failed(faults)
    }
}

impl From<FileError> for RestoreError {
    fn from(error: FileError) -> Self {
        Self::Failed(vec![error.into()])
    }
}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing(digest) => Self::Missing(digest),
            other => Self::Failed(vec![other.into()]),
        }
    }
}

/// Where the contents of files are.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// Those that are blobs.
    pub store: &'a Store,
    /// Those that the record holds itself.
    pub held: &'a Held,
}

impl Contents<'_> {
    /// Whether there is a content of so many bytes under `digest`. Looks, but does not read.
    #[must_use]
    pub fn has(&self, digest: ContentDigest, size: u64) -> bool {
        self.held.has(digest, Some(size)) || self.store.size_of(digest.0) == Some(size)
    }
}

/// Makes exactly the recorded outputs stand below `root`; what is in place stays untouched. Files get mode 644 or 755.
/// Files and folders that `outputs` name and the record does not are removed.
///
/// # Errors
/// [`RestoreError::Missing`] before anything was changed; [`RestoreError::Failed`] with every fault found.
pub fn restore(
    contents: Contents<'_>,
    cache: &StatCache,
    root: &AbsPath,
    recorded: &[OutputFile],
    outputs: &[Pattern],
) -> Result<Restored, RestoreError> {
    let tree = Tree::open(root)?;
    let difference = Difference::find(cache, &tree, recorded, outputs)?;
    let restore = Restore { contents, cache, tree: &tree, outputs };
    let mut staged = Vec::new();
    let mut fresh = Vec::new();
    for (output, found) in &difference.wanted {
        let OutputEntry::File { digest, size, executable } = &output.entry else {
            staged.push(*output);
            continue;
        };
        match (contents.held.get(*digest), found) {
            (Some(bytes), None) if !output.path.is_root() => {
                fresh.push(Fresh { output, bytes, digest: *digest, mode: mode(*executable) });
            }
            (Some(_), _) => staged.push(*output),
            _ if contents.store.size_of(digest.0) == Some(*size) => staged.push(*output),
            _ => return Err(RestoreError::Missing(digest.to_string())),
        }
    }
    let folders = restore.staging_folders(&difference)?;
    left::sweep(contents.store, &tree, recorded.iter().map(|output| &output.path));
    let ready: Vec<Option<Staged<'_>>> = staged.par_iter().map(|output| restore.stage(output, &folders)).collect::<Result<_, _>>()?;
    let removed = restore.clear(&difference)?;
    staged.par_iter().zip(ready).try_for_each(|(output, staged)| restore.put(output, staged))?;
    for files in fresh.chunk_by(|one, next| one.output.path.above() == next.output.path.above()) {
        restore.put_fresh(files, &folders)?;
    }
    Ok(Restored { written: difference.wanted.len(), removed })
}

/// A small file to write where nothing stands.
struct Fresh<'a> {
    output: &'a OutputFile,
    bytes: &'a [u8],
    digest: ContentDigest,
    mode: u32,
}

fn mode(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

/// Files of one folder that one thread writes before another one is worth it.
const FEW: usize = 256;

struct Restore<'a> {
    contents: Contents<'a>,
    cache: &'a StatCache,
    tree: &'a Tree,
    outputs: &'a [Pattern],
}

/// A finished file or link under a temporary name; removed when it was not put in its place.
struct Staged<'a> {
    tree: &'a Tree,
    name: RelPath,
    /// The digest of a file, the moment before it was written.
    content: Option<(ContentDigest, i64)>,
    in_place: bool,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.in_place {
            let _ = self.tree.remove(&self.name);
        }
    }
}

impl<'a> Restore<'a> {
    /// For each folder of a wanted output the nearest one that is there: on the same file system as the output will be.
    fn staging_folders(&self, difference: &Difference<'_>) -> Result<BTreeMap<RelPath, RelPath>, RestoreError> {
        let mut nearest = BTreeMap::new();
        let mut last: Option<&[u8]> = None;
        for (output, _) in &difference.wanted {
            let Some(parent) = output.path.parent().filter(|_| last != Some(output.path.above())) else { continue };
            // Neighbours share their folders.
            last = Some(output.path.above());
            if nearest.contains_key(&parent) {
                continue;
            }
            let mut folder = parent.clone();
            loop {
                match self.tree.plain_status(&folder) {
                    Ok((Kind::Folder, _)) => break,
                    Ok(_) if !difference.extra.iter().any(|entry| entry.path == folder) => {
                        let cause = std::io::Error::other("a file or a link stands where a folder must be, and it is no output");
                        return Err(
                            FileError { act: "restore below", path: self.tree.root().at(&folder).as_path().to_owned(), cause }.into()
                        );
                    }
                    // What is missing will be made; what lies below a file or a link is looked at when that is reached.
                    _ => {}
                }
                let Some(above) = folder.parent() else { break };
                folder = above;
            }
            nearest.insert(parent, folder);
        }
        Ok(nearest)
    }

    fn stage(&self, output: &OutputFile, folders: &BTreeMap<RelPath, RelPath>) -> Result<Option<Staged<'a>>, RestoreError> {
        let Some(folder) = output.path.parent().and_then(|parent| folders.get(&parent)) else { return Ok(None) };
        match &output.entry {
            OutputEntry::Folder => Ok(None),
            OutputEntry::Link { target } => {
                let name = self.tree.link_temporary(folder, target)?;
                Ok(Some(Staged { tree: self.tree, name, content: None, in_place: false }))
            }
            OutputEntry::File { digest, executable, .. } => {
                let began = clock::now().0;
                let (name, mut file) = self.tree.create_temporary(folder)?;
                let place = self.tree.root().at(&name);
                let staged = Staged { tree: self.tree, name, content: Some((*digest, began)), in_place: false };
                match self.contents.held.get(*digest) {
                    Some(bytes) => at("write", &place, file.write_all(bytes))?,
                    None => self.contents.store.open_blob(digest.0)?.copy_to(&mut file, &place).map(drop)?,
                }
                self.tree.set_mode(&staged.name, &file, mode(*executable))?;
                Ok(Some(staged))
            }
        }
    }

    /// Removes what is not recorded or stands in the way, and the folders that this empties.
    fn clear(&self, difference: &Difference<'_>) -> Result<usize, RestoreError> {
        let in_the_way = difference.wanted.iter().filter_map(|(output, found)| match (&output.entry, found) {
            (OutputEntry::Folder, Some(kind)) => Some((&output.path, *kind)),
            (_, Some(Kind::Folder)) => Some((&output.path, Kind::Folder)),
            _ => None,
        });
        let extra = difference.extra.iter().map(|entry| (&entry.path, entry.kind));
        let mut removed = 0;
        for (path, kind) in extra.chain(in_the_way) {
            if kind == Kind::Folder {
                removed += usize::from(self.tree.remove_empty_folder(path)?);
            } else {
                removed += usize::from(file::optional(self.tree.remove(path))?.is_some());
            }
            let mut folder = path.parent();
            while let Some(path) = folder.filter(|path| self.may_remove(path, difference)) {
                if !self.tree.remove_empty_folder(&path)? {
                    break;
                }
                folder = path.parent();
            }
        }
        Ok(removed)
    }

    /// Whether a folder that became empty belongs to the outputs and to no recorded one.
    fn may_remove(&self, folder: &RelPath, difference: &Difference<'_>) -> bool {
        !folder.is_root() && !difference.above.contains(folder) && self.outputs.iter().any(|pattern| walk::reaches(pattern, folder))
    }

    fn put(&self, output: &OutputFile, staged: Option<Staged<'_>>) -> Result<(), RestoreError> {
        let Some(mut staged) = staged else { return Ok(self.tree.create_folders(&output.path)?) };
        if let Some(parent) = output.path.parent() {
            self.tree.create_folders(&parent)?;
        }
        self.tree.rename(&staged.name, &output.path)?;
        staged.in_place = true;
        if let Some((digest, began)) = staged.content {
            let (_, stat): (Kind, Stat) = self.tree.plain_status(&output.path)?;
            // The rename counts as a change, after the moment named here: where times are coarse the file is read once more before it
            // is trusted.
            self.cache.remember_made(self.tree, [(&output.path, stat, digest)], began);
        }
        Ok(())
    }

    /// Writes small files of one folder to their places.
    fn put_fresh(&self, files: &[Fresh<'_>], folders: &BTreeMap<RelPath, RelPath>) -> Result<(), RestoreError> {
        let Some(path) = files.first().and_then(|file| file.output.path.parent()) else { return Ok(()) };
        self.tree.create_folders(&path)?;
        let folder = self.tree.folder_for_new(&path)?;
        files.par_chunks(FEW).try_for_each(|files| {
            let began = clock::now().0;
            let mut written = Vec::with_capacity(files.len());
            for Fresh { output, bytes, digest, mode } in files {
                match self.tree.write_new(&folder, &output.path, bytes, *mode)? {
                    Some(stat) => written.push((&output.path, stat, *digest)),
                    // Something came there meanwhile.
                    None => self.put(output, self.stage(output, folders)?)?,
                }
            }
            self.cache.remember_made(self.tree, written, began);
            Ok(())
        })
    }
}
