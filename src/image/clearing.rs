//! Clearing an OCI layout: what stands in it, and the removal of what goes.
//! In: a folder in OCI layout, a decision about what stands there. Out: an index without what goes, and no blob that nothing leads to.
//! Never: a blob that an entry still leads to; a decision about another state than the one that is changed.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::digest::{BlobDigest, Digest};
use crate::base::path::AbsPath;
use crate::base::time::Moment;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, Document};
use crate::oci::media_type;
use crate::registry::inventory::Inventory;
use crate::registry::retention::Decision;
use crate::sys::file::{self, FileError};
use crate::sys::folder_lock;

use super::layout::{Layout, LayoutError, REF_NAME};

/// How long a blob that nothing leads to is left alone, in milliseconds: a push writes blobs before anything names them.
const GRACE_MS: i64 = 24 * 3_600_000;

/// What a clearing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleared {
    /// What stood there.
    pub inventory: Inventory,
    /// What became of it.
    pub decision: Decision,
    /// The bytes of all blobs that were removed.
    pub bytes: u64,
}

/// What stands in a layout; nothing where there is none.
///
/// # Errors
/// [`LayoutError`] when something else is there, or a document of it is damaged.
pub fn inventory(root: &AbsPath) -> Result<Inventory, LayoutError> {
    let layout = Layout::folder(root);
    let mut all = Inventory { is_whole: true, ..Inventory::default() };
    let Some(index) = layout.index()? else { return Ok(all) };
    layout.check_version()?;
    let mut open: Vec<Descriptor> = Vec::new();
    for entry in index.manifests {
        let tag = entry.annotations.get(REF_NAME).and_then(|text| text.parse().ok());
        all.holdings.entry(entry.digest).or_default().tags.extend(tag);
        open.push(entry);
    }
    while let Some(document) = open.pop() {
        let known = all.documents.contains_key(&document.digest);
        // Platforms may have been left out of a copy.
        let Some(status) = file::optional(file::status(layout.blob(document.digest)))?.filter(|_| !known) else { continue };
        let read = layout.read(&document)?;
        let config = match &read {
            Document::Manifest(manifest) if manifest.config.media_type == media_type::CONFIG => layout.small(&manifest.config).ok(),
            _ => None,
        };
        open.extend(all.add(&document, read, config.as_deref()));
        all.holdings.entry(document.digest).or_default().arrived = status.modified().ok().and_then(moment);
    }
    all.holdings.retain(|digest, _| all.documents.contains_key(digest));
    all.date_indexes();
    Ok(all)
}

fn moment(time: SystemTime) -> Option<Moment> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(Moment)
}

/// Removes what `decide` says of what stands there, while nobody else changes the layout.
///
/// # Errors
/// [`LayoutError`]; the index then names all that it named, or nothing that was to go.
pub fn clear(root: &AbsPath, now: Moment, decide: impl FnOnce(&Inventory) -> Decision) -> Result<Cleared, LayoutError> {
    let layout = Layout::folder(root);
    if layout.index()?.is_none() {
        return Ok(Cleared::default());
    }
    let _alone = folder_lock::lock(root)?;
    let before = inventory(root)?;
    let decision = decide(&before);
    let gone: BTreeSet<BlobDigest> = decision.goes.iter().map(|(digest, _)| *digest).collect();
    let Some(mut index) = layout.index()? else { return Ok(Cleared::default()) };
    if gone.is_empty() {
        return Ok(Cleared { inventory: before, decision, bytes: 0 });
    }
    let (mut led, mut kept) = (BTreeSet::new(), BTreeSet::new());
    for (digest, document) in &before.documents {
        let reached = reached(&layout, document)?;
        if !gone.contains(digest) {
            kept.extend(reached.iter().copied());
        }
        led.extend(reached);
    }
    index.manifests.retain(|entry| !gone.contains(&entry.digest));
    file::write_atomic(root.join("index.json"), &manifest::bytes(&index), true)?;
    let bytes = sweep(&layout, &led, &kept, now)?;
    Ok(Cleared { inventory: before, decision, bytes })
}

/// The blobs to which a document leads, itself first.
fn reached(layout: &Layout<'_>, document: &Descriptor) -> Result<Vec<BlobDigest>, LayoutError> {
    let mut found = vec![document.digest];
    match layout.read(document)? {
        Document::Index(index) => found.extend(index.manifests.iter().map(|entry| entry.digest)),
        Document::Manifest(manifest) => {
            found.push(manifest.config.digest);
            found.extend(manifest.layers.iter().map(|layer| layer.digest));
        }
    }
    Ok(found)
}

/// Removes blobs to which nothing leads any more, and those to which nothing has led for a day.
fn sweep(layout: &Layout<'_>, led: &BTreeSet<BlobDigest>, kept: &BTreeSet<BlobDigest>, now: Moment) -> Result<u64, FileError> {
    let mut bytes = 0;
    for name in file::names(layout.root.join("blobs").join("sha256"))? {
        let digest = std::str::from_utf8(&name).ok().and_then(|hex| Digest::from_hex(hex).ok()).map(BlobDigest);
        let Some(digest) = digest.filter(|digest| !kept.contains(digest)) else { continue };
        let path = layout.blob(digest);
        let Some(status) = file::optional(file::status(&path))? else { continue };
        let arrived = status.modified().ok().and_then(moment);
        let is_old = arrived.is_some_and(|arrived| now.0.saturating_sub(arrived.0) > GRACE_MS);
        if led.contains(&digest) || is_old {
            file::optional(file::remove(&path))?;
            bytes += status.len();
        }
    }
    Ok(bytes)
}
