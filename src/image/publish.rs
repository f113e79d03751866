//! Publishes an image into an OCI layout: a registry that needs no server.
//! In: an image in the store, a directory, tags. Out: blobs, then tags. Never: a tag that names a blob that is not there,
//! a half-written file, another writer's tag lost.
//!
//! Blobs are written under temporary names and renamed, children before parents, by one writer at a time. Tags are entries of `index.json` with
//! the annotation `org.opencontainers.image.ref.name`, one entry per tag; it is replaced as a whole while the directory
//! is locked. Where everything is right already, nothing is written.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;

use crate::base::digest::{BlobDigest, Hasher, Sha256};
use crate::base::path::AbsPath;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, Document, Index};
use crate::oci::media_type;
use crate::oci::reference::Tag;
use crate::store::blob::StoreError;
use crate::store::local::Store;
use crate::sys::file::{self, FileError};
use crate::sys::folder_lock;

use super::build::{ImageError, read_document};
use super::layout::{Layout, LayoutError, REF_NAME};

/// What the `oci-layout` file holds.
pub(super) const VERSION: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// How a blob that is there already is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Its size must be right.
    Size,
    /// Its bytes must be right.
    Digest,
}

/// What publishing blobs did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// Blobs that the image has.
    pub blobs: usize,
    /// Blobs that had to be written.
    pub written: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Why an image was not published into a layout.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The image in the store is not complete or not sound.
    #[error("{0}")]
    Image(#[from] ImageError),
    /// The directory holds something else.
    #[error("{0}")]
    Layout(#[from] LayoutError),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The disk failed.
    #[error("{0}")]
    File(#[from] FileError),
}

/// Every blob of an image or an index in the store, children before parents, each once.
///
/// # Errors
/// [`ImageError`] when a manifest is missing or malformed.
pub fn blobs_of(store: &Store, top: &Descriptor) -> Result<Vec<Descriptor>, ImageError> {
    let mut images = Vec::new();
    match read_document(store, top)? {
        Document::Manifest(manifest) => images.push((top.clone(), manifest)),
        Document::Index(index) => {
            for entry in index.manifests {
                match read_document(store, &entry)? {
                    Document::Manifest(manifest) => images.push((entry, manifest)),
                    Document::Index(_) => {
                        let reason = "it holds an index within an index".to_owned();
                        return Err(ImageError::Document { digest: top.digest, reason });
                    }
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    let all = images.into_iter().flat_map(|(own, manifest)| manifest.layers.into_iter().chain([manifest.config, own])).chain([top.clone()]);
    Ok(all.filter(|blob| seen.insert(blob.digest)).collect())
}

/// Writes the blobs of `top` below `root` that are not there yet.
///
/// # Errors
/// [`PublishError`]; no tag names what was written.
pub fn publish_blobs(store: &Store, top: &Descriptor, root: &AbsPath, check: Check) -> Result<Published, PublishError> {
    let layout = Layout::folder(root);
    let folder = root.join("blobs").join("sha256");
    file::create_dirs(&folder)?;
    let _alone = folder_lock::lock(root)?;
    sweep(&folder)?;
    let mut published = Published::default();
    for blob in blobs_of(store, top)? {
        // Layers that only their vendor may distribute are not in the store either.
        if blob.media_type == media_type::FOREIGN_LAYER_GZIP && store.size_of(blob.digest.0).is_none() {
            continue;
        }
        published.blobs += 1;
        let path = layout.blob(blob.digest);
        if !is_right(&path, &blob, check)? {
            copy(store, blob.digest, &folder, &path)?;
            published.written += 1;
            published.bytes += blob.size;
        }
    }
    Ok(published)
}

/// Removes the temporary files that a killed writer left behind. Whoever writes holds the lock, so no living one has any.
fn sweep(folder: &AbsPath) -> Result<(), FileError> {
    for name in file::names(folder)?.iter().filter(|name| name.starts_with(file::TEMPORARY.as_bytes())) {
        file::optional(file::remove(folder.as_path().join(std::ffi::OsStr::from_bytes(name))))?;
    }
    Ok(())
}

fn is_right(path: &AbsPath, blob: &Descriptor, check: Check) -> Result<bool, FileError> {
    let Some(status) = file::optional(file::status(path))? else { return Ok(false) };
    if !status.is_file() || status.len() != blob.size {
        return Ok(false);
    }
    if check == Check::Size {
        return Ok(true);
    }
    let mut hasher = Hasher::<Sha256>::new();
    file::at("read", path, io::copy(&mut file::open(path)?, &mut hasher))?;
    Ok(hasher.finish() == blob.digest.0)
}

fn copy(store: &Store, digest: BlobDigest, folder: &AbsPath, path: &AbsPath) -> Result<(), PublishError> {
    let mut reader = store.open_blob::<Sha256>(digest.0)?;
    let mut temporary = file::at("create", path, tempfile::Builder::new().prefix(file::TEMPORARY).tempfile_in(folder))?;
    match io::copy(&mut reader, &mut temporary) {
        // The reader found other bytes than the digest says, and the store has set the blob aside.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(StoreError::Missing(digest.to_string()).into()),
        result => drop(file::at("write", path, result)?),
    }
    file::at("write", path, temporary.flush().and_then(|()| temporary.as_file().sync_data()))?;
    file::set_mode(temporary.path(), 0o644)?;
    file::at("write", path, temporary.persist(path).map_err(|error| error.error))?;
    Ok(())
}

/// Writes artifacts that name an image of the layout as their subject, and lists them. Whether anything was written.
///
/// # Errors
/// [`PublishError`]; nothing is listed then that is not there.
pub fn attach(store: &Store, root: &AbsPath, artifacts: &[Descriptor]) -> Result<bool, PublishError> {
    let mut changed = false;
    for artifact in artifacts {
        changed |= publish_blobs(store, artifact, root, Check::Size)?.written > 0;
    }
    let _alone = folder_lock::lock(root)?;
    let layout = Layout::folder(root);
    let before = layout.index()?;
    let mut index = before.clone().unwrap_or_else(|| Index::new(Vec::new()));
    for artifact in artifacts {
        if index.manifests.iter().all(|entry| entry.digest != artifact.digest) {
            index.manifests.push(artifact.clone());
        }
    }
    index.manifests = sorted(index.manifests);
    if before.is_none_or(|before| sorted(before.manifests) != index.manifests) {
        file::write_atomic(root.join("index.json"), &manifest::bytes(&index), true)?;
        changed = true;
    }
    Ok(changed)
}

/// Makes `tags` name `top`; without tags, makes sure that it is listed at all. Returns whether anything was written.
///
/// # Errors
/// [`PublishError`]; the tags are as before then.
pub fn publish_tags(root: &AbsPath, top: &Descriptor, tags: &[Tag]) -> Result<bool, PublishError> {
    file::create_dirs(root)?;
    let _alone = folder_lock::lock(root)?;
    sweep(root)?;
    let layout = Layout::folder(root);
    let mut changed = false;
    match layout.check_version() {
        Ok(()) => {}
        Err(LayoutError::NotALayout { .. }) if file::optional(file::status(root.join("oci-layout")))?.is_none() => {
            file::write_atomic(root.join("oci-layout"), VERSION, true)?;
            changed = true;
        }
        Err(error) => return Err(error.into()),
    }
    let index = layout.index()?;
    let wanted = with_tags(index.clone(), top, tags);
    if index.is_none_or(|index| sorted(index.manifests) != wanted.manifests) {
        file::write_atomic(root.join("index.json"), &manifest::bytes(&wanted), true)?;
        changed = true;
    }
    Ok(changed)
}

/// Whether blobs and tags are already as [`publish_blobs`] and [`publish_tags`] would leave them. Looks at names and sizes,
/// reads only `index.json`; any fault counts as no.
#[must_use]
pub fn check_layout(store: &Store, root: &AbsPath, top: &Descriptor, tags: &[Tag], blobs: &[BlobDigest]) -> bool {
    let layout = Layout::folder(root);
    let is_there = |digest: &BlobDigest| {
        let found = file::status(layout.blob(*digest)).ok().filter(std::fs::Metadata::is_file).map(|status| status.len());
        let expected = if *digest == top.digest { Some(top.size) } else { store.size_of::<Sha256>(digest.0) };
        found.is_some() && (expected.is_none() || found == expected)
    };
    layout.check_version().is_ok()
        && blobs.iter().all(is_there)
        && layout.index().ok().flatten().is_some_and(|index| with_tags(Some(index.clone()), top, tags).manifests == sorted(index.manifests))
}

/// The index with one entry per tag; entries of other tags stay as they are.
fn with_tags(index: Option<Index>, top: &Descriptor, tags: &[Tag]) -> Index {
    let mut index = index.unwrap_or_else(|| Index::new(Vec::new()));
    let tag_of = |entry: &Descriptor| entry.annotations.get(REF_NAME).cloned();
    if tags.is_empty() {
        if index.manifests.iter().all(|entry| entry.digest != top.digest) {
            index.manifests.push(top.clone());
        }
    } else {
        index.manifests.retain(|entry| tag_of(entry).is_none_or(|own| tags.iter().all(|tag| tag.as_str() != own)));
        // The entry that kept an untagged image listed is not needed beside its tags.
        index.manifests.retain(|entry| entry.digest != top.digest || tag_of(entry).is_some());
        let unique: BTreeSet<&Tag> = tags.iter().collect();
        for tag in unique {
            let mut entry = top.clone();
            entry.annotations.insert(REF_NAME.to_owned(), tag.to_string());
            index.manifests.push(entry);
        }
    }
    index.manifests = sorted(index.manifests);
    index
}

fn sorted(mut entries: Vec<Descriptor>) -> Vec<Descriptor> {
    let key = |entry: &Descriptor| (entry.annotations.get(REF_NAME).cloned(), entry.digest);
    entries.sort_by_key(key);
    entries
}
