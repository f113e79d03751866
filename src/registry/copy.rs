//! Copies an image from one repository to another: by digest, with every platform, and with what is about it.
//! In: a document of a repository. Out: the same documents in the other one, in the same bytes; the tags that name evidence.
//! Never: a tag of an image, a blob through this machine where the registry can mount it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{StreamExt as _, TryStreamExt as _};

use crate::base::digest::BlobDigest;
use crate::oci::descriptor::Descriptor;
use crate::oci::reference::{Repository, Tag};

use super::Blobs;
use super::client::{Client, Site};
use super::download::download;
use super::error::{Fault, RegistryError};
use super::pull::{described, is_document};
use super::push::{Report, parts_of};
use super::upload::{exists, mounted};

/// Documents of one image with all that is about it; more is no image.
const MAX_DOCUMENTS: usize = 10_000;
/// Evidence about evidence about evidence.
const MAX_DEPTH: usize = 4;
/// The ends of the tags under which cosign keeps what is about a digest.
const ENDS: [&str; 3] = [".sig", ".att", ".sbom"];

/// What a copy did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blobs and documents that were sent, mounted, or there already.
    pub report: Report,
    /// Documents that are about the image or its platforms.
    pub evidence: usize,
    /// Tags of evidence that are to be set before a tag of the image moves.
    pub tags: BTreeMap<Tag, Descriptor>,
}

impl Client {
    /// Brings an image and what is about it to another repository. No tag moves.
    ///
    /// # Errors
    /// [`RegistryError`]; what had arrived stays, and the next call finds it there.
    pub async fn copy_image(
        &self,
        from: &Repository,
        to: &Repository,
        image: &Descriptor,
        blobs: &Arc<dyn Blobs>,
    ) -> Result<Copied, RegistryError> {
        let (source, target) = (self.site(from).await?, self.site(to).await?);
        let mut copied = Copied::default();
        let (mut seen, mut level) = (BTreeSet::new(), vec![image.clone()]);
        let mut lists: Vec<(BlobDigest, Vec<Descriptor>)> = Vec::new();
        for depth in 0..=MAX_DEPTH {
            let mut fresh = Vec::new();
            for root in &level {
                copied.evidence += usize::from(depth > 0);
                let (documents, mounted) = bring(&source, &target, root, blobs).await?;
                copied.report.mounted += mounted;
                copied.report += self.push_image(to, root, blobs, &[]).await?;
                fresh.extend(documents.into_iter().filter(|document| seen.insert(document.digest)));
            }
            // A list names what stands.
            for (subject, about) in std::mem::take(&mut lists) {
                self.enlist(to, subject, &about).await?;
            }
            if level.is_empty() {
                return Ok(copied);
            }
            if seen.len() > MAX_DOCUMENTS {
                return Err(source.error(Fault::protocol("too many documents are about one image")));
            }
            level = Vec::new();
            for document in fresh {
                let listed = self.referrers(from, document.digest).await?;
                let listed: Vec<Descriptor> = listed.into_iter().filter(|one| is_document(&one.media_type)).collect();
                let named = self.named_evidence(from, document.digest).await?;
                let known: BTreeSet<BlobDigest> = level.iter().map(|one: &Descriptor| one.digest).collect();
                let new = |one: &&Descriptor| !seen.contains(&one.digest) && !known.contains(&one.digest);
                level.extend(listed.iter().chain(named.values()).filter(new).cloned());
                copied.tags.extend(named);
                lists.push((document.digest, listed));
            }
        }
        Err(source.error(Fault::protocol("what is about the image leads too deep")))
    }

    /// What cosign's tags name.
    async fn named_evidence(&self, from: &Repository, subject: BlobDigest) -> Result<BTreeMap<Tag, Descriptor>, RegistryError> {
        let mut found = BTreeMap::new();
        for end in ENDS {
            let tag = Tag::about(subject, end);
            if let Some((document, _)) = self.document(from, tag.as_str()).await?.filter(|(found, _)| is_document(&found.media_type)) {
                found.insert(tag, document);
            }
        }
        Ok(found)
    }
}

/// Reads the documents below a root, and sees to it that every blob is at the target or in the store; counts those that were mounted.
async fn bring(source: &Site, target: &Site, root: &Descriptor, blobs: &Arc<dyn Blobs>) -> Result<(Vec<Descriptor>, usize), RegistryError> {
    let (mut documents, mut open, mut parts) = (Vec::new(), vec![root.clone()], BTreeMap::new());
    while let Some(next) = open.pop() {
        if documents.len() > MAX_DOCUMENTS {
            return Err(source.error(Fault::protocol("the image has too many documents")));
        }
        let (below, own) = parts_of(described(source, &next, blobs).await?);
        open.extend(below);
        parts.extend(own.into_iter().map(|part| (part.digest, part)));
        documents.push(next);
    }
    let jobs = parts.values().map(|part| fetch(source, target, part, blobs));
    let came = futures_util::stream::iter(jobs).buffer_unordered(target.parallel()).try_collect::<Vec<bool>>().await?;
    Ok((documents, came.into_iter().filter(|mounted| *mounted).count()))
}

/// Whether the target took the blob over from its own registry.
async fn fetch(source: &Site, target: &Site, part: &Descriptor, blobs: &Arc<dyn Blobs>) -> Result<bool, RegistryError> {
    if exists(target, part).await? {
        return Ok(false);
    }
    if mounted(target, part, &source.repository, blobs).await {
        return Ok(true);
    }
    download(source, part, blobs).await.map(|()| false)
}
