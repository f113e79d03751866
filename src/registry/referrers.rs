//! Referrers: artifacts that name an image as their `subject`. Source: distribution-spec 1.1, "Listing Referrers" and "Referrers Tag
//! Schema".
//! In: artifacts whose blobs are in the store. Out: artifacts at the registry by digest, and lists in which they are found.
//! Never: an entry of somebody else lost from a list, an endless list, a list before what it names.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};

use crate::base::digest::{BlobDigest, Digest};
use crate::base::size::ByteSize;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, Document, Index};
use crate::oci::media_type;
use crate::oci::reference::{Repository, Tag};

use super::Blobs;
use super::auth::token::Scope;
use super::client::{Call, Client, Site};
use super::download::{self, download};
use super::error::{Fault, RegistryError};
use super::pages::{self, List, Page};
use super::pull::{ACCEPT, CONTENT_DIGEST};
use super::push::{Report, has_document, put};
use super::tags::stands;

/// The most entries that are read of one list.
const MAX_ENTRIES: usize = 10_000;
/// How often a list is written when others write it at the same time.
const ATTEMPTS: usize = 30;
/// The most entries whose own manifests are read because a list says nothing of them.
const MAX_ASKED: usize = 200;
/// The time after which a write that began before ours is done.
const SETTLED: Duration = Duration::from_millis(100);

impl Client {
    /// What names `image` as its subject: as the registry lists it, or as the tag says that takes the list's place.
    ///
    /// # Errors
    /// [`RegistryError`]; [`Fault::Protocol`] when the list has no end or is no list.
    pub async fn referrers(&self, repository: &Repository, image: BlobDigest) -> Result<Vec<Descriptor>, RegistryError> {
        let site = self.site(repository).await?;
        if let Some(entries) = listed(&site, image).await? {
            return Ok(entries);
        }
        let scope = Scope::pull(repository);
        let mut entries = tagged(&site, image, &scope).await?.map(|(_, list)| list.manifests).unwrap_or_default();
        for entry in entries.iter_mut().filter(|entry| says_nothing(entry)).take(MAX_ASKED) {
            if let Some((_, bytes)) = document(&site, &entry.digest.to_string(), &scope).await? {
                tell(entry, &bytes);
            }
        }
        Ok(entries)
    }

    /// Sends artifacts by digest, each with its blobs. What is there already is not sent again.
    ///
    /// # Errors
    /// [`RegistryError`]; whatever had arrived stays.
    pub async fn attach(&self, repository: &Repository, artifacts: &[Descriptor], blobs: &Arc<dyn Blobs>) -> Result<Report, RegistryError> {
        let site = self.site(repository).await?;
        let scope = Scope::push(repository);
        let mut report = Report::default();
        for artifact in artifacts {
            if has_document(&site, artifact.digest, &scope).await? {
                report.existing += 1;
                continue;
            }
            let sent = self.push_image(repository, artifact, blobs, &[]).await?;
            report.sent += sent.sent;
            report.bytes += sent.bytes;
        }
        Ok(report)
    }

    /// Lets artifacts be found as referrers of `image`: a registry that keeps lists does that itself, for any other the list is kept
    /// under a tag. Returns whether anything was written.
    ///
    /// # Errors
    /// [`RegistryError`]; [`Fault::Protocol`] when others write the same list all the time.
    pub async fn enlist(&self, repository: &Repository, image: BlobDigest, artifacts: &[Descriptor]) -> Result<bool, RegistryError> {
        let site = self.site(repository).await?;
        let keeps = async || listed(&site, image).await.map(|list| list.is_some());
        if artifacts.is_empty() || *site.lists().get_or_try_init(keeps).await? {
            return Ok(false);
        }
        let tag = list_tag(image);
        let Some(alone) = with_referrers(None, artifacts) else { return Ok(false) };
        if stands(&site, &tag).await? == Some(BlobDigest(Digest::of(&manifest::bytes(&alone)))) {
            return Ok(false);
        }
        let scope = Scope::push(repository);
        for attempt in 0..ATTEMPTS {
            let (found, there) = tagged(&site, image, &scope).await?.unzip();
            let Some(list) = with_referrers(there, artifacts) else { return Ok(attempt > 0) };
            let bytes = manifest::bytes(&list);
            // No registry writes only where nobody else did: the look before keeps the gap small, and whoever wrote into it all the
            // same is done when the list is read again. Of two, one finds its entries gone and writes once more.
            if stands(&site, &tag).await? == found {
                put(&site, tag.as_str(), &Descriptor::of(media_type::INDEX, &bytes), bytes).await?;
                tokio::time::sleep(SETTLED).await;
            }
        }
        Err(site.error(Fault::Protocol(format!("others write the list `{tag}` all the time"))))
    }

    /// The document that a tag or a digest names; `None` when there is none.
    ///
    /// # Errors
    /// [`RegistryError`]; [`Fault::Digest`] when the bytes are others than those that were asked for.
    pub async fn document(&self, repository: &Repository, name: &str) -> Result<Option<(Descriptor, Bytes)>, RegistryError> {
        document(&self.site(repository).await?, name, &Scope::pull(repository)).await
    }

    /// Reads a blob of at most `limit` bytes; it is in the store afterwards.
    ///
    /// # Errors
    /// [`RegistryError`]; [`Fault::TooLarge`].
    pub async fn small_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        limit: u64,
        blobs: &Arc<dyn Blobs>,
    ) -> Result<Vec<u8>, RegistryError> {
        let site = self.site(repository).await?;
        if blob.size > limit {
            return Err(site.error(Fault::TooLarge(ByteSize(limit))));
        }
        download(&site, blob, blobs).await?;
        download::read(blobs, blob, limit).await.map_err(|fault| site.error(fault))
    }
}

/// The tag under which a registry without lists keeps one.
#[must_use]
pub fn list_tag(image: BlobDigest) -> Tag {
    Tag::about(image, "")
}

/// A list with `more` in it; `None` when they are in it already.
fn with_referrers(list: Option<Index>, more: &[Descriptor]) -> Option<Index> {
    let mut list = list.unwrap_or_else(|| Index::new(Vec::new()));
    let before = list.manifests.len();
    for entry in more {
        if list.manifests.iter().all(|known| known.digest != entry.digest) {
            list.manifests.push(entry.clone());
        }
    }
    (list.manifests.len() > before).then_some(list)
}

/// Whether an entry has no kind, or only that of an empty configuration: so cosign 2.5 writes the list of a registry that keeps none.
fn says_nothing(entry: &Descriptor) -> bool {
    entry.artifact_type().is_none_or(|kind| kind == media_type::EMPTY)
}

/// Fills in what an artifact says of itself.
fn tell(entry: &mut Descriptor, manifest: &[u8]) {
    let Ok(Document::Manifest(manifest)) = manifest::read(&entry.media_type, manifest) else { return };
    if let Some(kind) = manifest.more.get("artifactType").filter(|kind| kind.is_string()) {
        entry.more.insert("artifactType".to_owned(), kind.clone());
    }
    let missing = manifest.annotations.into_iter().filter(|(name, _)| !entry.annotations.contains_key(name)).collect::<Vec<_>>();
    entry.annotations.extend(missing);
}

/// The list that the registry keeps itself; `None` when it keeps none.
pub(super) async fn listed(site: &Site, image: BlobDigest) -> Result<Option<Vec<Descriptor>>, RegistryError> {
    let list = List {
        what: "referrers",
        scope: &Scope::pull(&site.repository),
        accept: Some(media_type::INDEX),
        // Registries from before the specification know no such address, and say so in different ways.
        absent: &[400, 404, 405, 501],
        most_pages: 100,
        most_entries: MAX_ENTRIES,
        page: manifest::LIMIT,
    };
    let read = |headers: &HeaderMap, bytes: &[u8]| {
        let typed = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|text| text.starts_with(media_type::INDEX));
        match serde_json::from_slice::<Index>(bytes) {
            Ok(page) => Page::Entries(page.manifests),
            Err(_) if typed => Page::Unsound,
            // A page for people, or one for everything.
            Err(_) => Page::Other,
        }
    };
    pages::all(site, site.url(&format!("referrers/{image}")), &list, read).await
}

/// The list under the tag that takes its place, and its digest.
async fn tagged(site: &Site, image: BlobDigest, scope: &Scope) -> Result<Option<(BlobDigest, Index)>, RegistryError> {
    let tag = list_tag(image);
    let Some((found, bytes)) = document(site, tag.as_str(), scope).await? else { return Ok(None) };
    match manifest::read(&found.media_type, &bytes) {
        Ok(Document::Index(list)) if list.manifests.len() <= MAX_ENTRIES => Ok(Some((found.digest, list))),
        _ => Err(site.error(Fault::Protocol(format!("its tag `{tag}` names no list of referrers")))),
    }
}

async fn document(site: &Site, name: &str, scope: &Scope) -> Result<Option<(Descriptor, Bytes)>, RegistryError> {
    let call = Call::new(Method::GET, site.url(&format!("manifests/{name}")), scope).accept(ACCEPT);
    let (status, headers, bytes) = site.document(&call, &[200, 404], manifest::LIMIT).await?;
    if status == 404 {
        return Ok(None);
    }
    let digest = BlobDigest(Digest::of(&bytes));
    let said = headers.get(CONTENT_DIGEST).and_then(|value| value.to_str().ok()).filter(|text| text.starts_with("sha256:"));
    let wanted = [said, Some(name).filter(|name| name.starts_with("sha256:"))];
    if let Some(wanted) = wanted.into_iter().flatten().find(|wanted| **wanted != digest.to_string()) {
        return Err(site.error(Fault::Digest { expected: super::error::quoted(wanted), found: digest.to_string() }));
    }
    let media_type = manifest::own_type(&bytes).unwrap_or_default();
    Ok(Some((Descriptor::new(&media_type, digest, bytes.len() as u64), bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_the_entries_of_others() {
        let entry = |text: &[u8]| Descriptor::of(media_type::MANIFEST, text);
        let one = with_referrers(None, &[entry(b"a")]).unwrap();
        let two = with_referrers(Some(one), &[entry(b"b"), entry(b"a")]).unwrap();
        assert_eq!(two.manifests, [entry(b"a"), entry(b"b")]);
        assert_eq!(with_referrers(Some(two), &[entry(b"a")]), None);
        assert_eq!(list_tag(entry(b"").digest).as_str(), &entry(b"").digest.to_string().replace(':', "-"));
    }
}
