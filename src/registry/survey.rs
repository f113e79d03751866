//! What a reference names, platform by platform, for a lock.
//! In: a reference. Out: digests of documents that were read and verified. Never: a layer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::base::digest::BlobDigest;
use crate::base::platform::Platform;
use crate::oci::descriptor::{Descriptor, PlatformObject};
use crate::oci::manifest::Document;
use crate::oci::media_type;
use crate::oci::reference::Reference;

use super::Blobs;
use super::client::Client;
use super::error::RegistryError;
use super::pull::{MAX_CONFIGS, MAX_DOCUMENTS, described, is_document, platform_of};

/// What a reference names today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The document itself: an index, or the manifest of one platform.
    pub root: Descriptor,
    /// The manifest that a pull for exactly this platform takes.
    pub platforms: BTreeMap<Platform, BlobDigest>,
}

impl Client {
    /// Reads what a reference names, as far as platforms go. The documents are in the store afterwards.
    ///
    /// # Errors
    /// As [`Client::resolve`].
    pub async fn survey(&self, reference: &Reference, blobs: &Arc<dyn Blobs>) -> Result<Survey, RegistryError> {
        let root = self.resolve(reference, blobs).await?;
        let site = self.site(&reference.repository).await?;
        let mut platforms = BTreeMap::new();
        let mut unnamed = Vec::new();
        let mut open = VecDeque::from([root.clone()]);
        let mut seen = BTreeSet::new();
        while let Some(next) = open.pop_front() {
            if media_type::is_manifest(&next.media_type) {
                unnamed.push(next);
                continue;
            }
            if seen.len() >= MAX_DOCUMENTS || !seen.insert(next.digest) {
                continue;
            }
            let Document::Index(index) = described(&site, &next, blobs).await? else { continue };
            for entry in index.manifests.into_iter().filter(|entry| is_document(&entry.media_type)) {
                let named = entry.platform.as_ref().map(PlatformObject::to_platform);
                match (named, media_type::is_index(&entry.media_type)) {
                    (None, _) | (Some(Some(_)), true) => open.push_back(entry),
                    // The first of several for one platform is the one that a pull takes.
                    (Some(Some(platform)), false) => drop(platforms.entry(platform).or_insert(entry.digest)),
                    (Some(None), _) => {}
                }
            }
        }
        for entry in unnamed.iter().take(MAX_CONFIGS) {
            let Document::Manifest(manifest) = described(&site, entry, blobs).await? else { continue };
            if let Some(platform) = platform_of(&site, &manifest, blobs).await? {
                platforms.entry(platform).or_insert(entry.digest);
            }
        }
        Ok(Survey { root, platforms })
    }
}
