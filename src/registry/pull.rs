//! Pulls: what a reference names, and an image for one platform with all its blobs.
//! In: a reference. Out: descriptors of bytes that were read and verified; blobs in the store.
//! Never: another digest than a pinned one, an unbounded walk through an index, a document that is two things.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName};

use crate::base::digest::{BlobDigest, Digest};
use crate::base::platform::Platform;
use crate::oci::descriptor::{Descriptor, PlatformObject};
use crate::oci::manifest::{self, Document, Manifest};
use crate::oci::media_type;
use crate::oci::reference::Reference;

use super::Blobs;
use super::auth::token::Scope;
use super::client::{Call, Client, Site};
use super::download::{self, download};
use super::error::{Fault, RegistryError, quoted};
use super::select;

/// The four types that are asked for; a registry that is asked for fewer may convert, and then the digest is another.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Documents that are read to find one platform: a nested index is rare, and a circle must end.
pub(super) const MAX_DOCUMENTS: usize = 16;
/// Entries without a platform whose configs are looked at.
pub(super) const MAX_CONFIGS: usize = 8;

/// An image that was pulled.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// What the reference names: a manifest, or an index of several.
    pub root: Descriptor,
    /// The manifest for the platform.
    pub descriptor: Descriptor,
    /// Every blob that it needs, the manifest included, each once. All are in the store.
    pub blobs: Vec<BlobDigest>,
    /// Whether the reference had no digest, so that it may name something else tomorrow.
    pub mutable: bool,
}

impl Client {
    /// Finds out what a reference names, reads it, and keeps it in the store.
    ///
    /// A document that the store has already is asked for with HEAD alone, which registries do not count against pull limits;
    /// one that is named by its digest is not asked for at all.
    ///
    /// # Errors
    /// [`RegistryError`]; [`Fault::Missing`] when there is nothing of that name, [`Fault::Digest`] when the bytes are not those pinned.
    pub async fn resolve(&self, reference: &Reference, blobs: &Arc<dyn Blobs>) -> Result<Descriptor, RegistryError> {
        if let Some(digest) = reference.digest
            && let Some(known) = kept(digest, blobs).await
        {
            return Ok(known);
        }
        let site = self.site(&reference.repository).await?;
        if let Some(digest) = reference.digest {
            // The digest decides, whoever sends the bytes.
            return get(&site, digest, blobs).await.map(|(found, _)| found);
        }
        let name = reference.version();
        let home = look_up(&site, &name, blobs).await;
        let Err(error) = home else { return home };
        // A mirror may be behind, so what a tag names is asked of it only where the registry itself does not answer.
        if error.fault.is_transient() {
            for mirror in site.mirrors().await {
                match look_up(&mirror, &name, blobs).await {
                    Ok(found) => return Ok(found),
                    Err(error) => mirror.failed(&error),
                }
            }
        }
        Err(error)
    }

    /// Brings the image for one platform into the store, with all its blobs.
    ///
    /// # Errors
    /// As [`Client::resolve`]; [`Fault::Platform`] when no manifest runs there.
    pub async fn fetch_image(&self, reference: &Reference, platform: &Platform, blobs: &Arc<dyn Blobs>) -> Result<Fetched, RegistryError> {
        let root = self.resolve(reference, blobs).await?;
        let site = self.site(&reference.repository).await?;
        let (descriptor, manifest) = choose(&site, &root, platform, blobs).await?;
        let parts: Vec<Descriptor> = unique(std::iter::once(&manifest.config).chain(&manifest.layers));
        let jobs: Vec<_> = parts.iter().map(|part| download(&site, part, blobs)).collect();
        futures_util::stream::iter(jobs).buffer_unordered(site.parallel()).try_collect::<()>().await?;
        let all = std::iter::once(descriptor.digest).chain(parts.iter().map(|part| part.digest)).collect();
        Ok(Fetched { root, descriptor, blobs: all, mutable: reference.digest.is_none() })
    }
}

/// Each descriptor once, in order.
fn unique<'a>(all: impl Iterator<Item = &'a Descriptor>) -> Vec<Descriptor> {
    let mut seen = BTreeSet::new();
    all.filter(|one| seen.insert(one.digest)).cloned().collect()
}

/// The document of this digest, where the store has it. Its bytes are verified while they are read.
async fn kept(digest: BlobDigest, blobs: &Arc<dyn Blobs>) -> Option<Descriptor> {
    let shared = Arc::clone(blobs);
    let size = tokio::task::spawn_blocking(move || shared.size_of(digest)).await.ok()??;
    let bytes = download::read(blobs, &Descriptor::new("", digest, size), manifest::LIMIT).await.ok()?;
    let media_type = manifest::own_type(&bytes)?;
    manifest::read(&media_type, &bytes).ok()?;
    Some(Descriptor::new(&media_type, digest, size))
}

/// What a tag names: asked for with HEAD alone where the store has it.
async fn look_up(site: &Site, name: &str, blobs: &Arc<dyn Blobs>) -> Result<Descriptor, RegistryError> {
    if let Some(known) = head(site, name, blobs).await? {
        return Ok(known);
    }
    get_from(site, name, None, blobs).await.map(|(found, _)| found)
}

/// Asks for the digest alone; a descriptor comes back only when the store has those bytes.
async fn head(site: &Site, name: &str, blobs: &Arc<dyn Blobs>) -> Result<Option<Descriptor>, RegistryError> {
    let scope = Scope::pull(&site.repository);
    let call = Call::new(Method::HEAD, site.url(&format!("manifests/{name}")), &scope).accept(ACCEPT);
    let answer = site.call(&call, &[200, 404, 405]).await?;
    if answer.status() != 200 {
        // Some registries know only GET, and its answer says why.
        return Ok(None);
    }
    let error = |fault| site.error(fault);
    let Some(digest) = announced(answer.headers(), None).map_err(error)? else { return Ok(None) };
    let (Some(media_type), Some(size)) = (content_type(answer.headers()), answer.length()) else { return Ok(None) };
    let found = Descriptor::new(&media_type, digest, size);
    if !is_document(&media_type) || !download::has(blobs, &found).await.unwrap_or(false) {
        return Ok(None);
    }
    let Ok(bytes) = download::read(blobs, &found, manifest::LIMIT).await else { return Ok(None) };
    Ok(manifest::read(&media_type, &bytes).is_ok().then_some(found))
}

/// Reads a document by digest, from a mirror where one has it.
async fn get(site: &Site, digest: BlobDigest, blobs: &Arc<dyn Blobs>) -> Result<(Descriptor, Bytes), RegistryError> {
    let name = digest.to_string();
    for mirror in site.mirrors().await {
        match get_from(&mirror, &name, Some(digest), blobs).await {
            Ok(found) => return Ok(found),
            Err(error) => mirror.failed(&error),
        }
    }
    get_from(site, &name, Some(digest), blobs).await
}

/// Reads a document from one place, checks it, and keeps it.
async fn get_from(
    site: &Site,
    name: &str,
    pinned: Option<BlobDigest>,
    blobs: &Arc<dyn Blobs>,
) -> Result<(Descriptor, Bytes), RegistryError> {
    let scope = Scope::pull(&site.repository);
    let call = Call::new(Method::GET, site.url(&format!("manifests/{name}")), &scope).accept(ACCEPT);
    let error = |fault| site.error(fault);
    let (status, headers, bytes) = site.document(&call, &[200, 404], manifest::LIMIT).await?;
    if status == 404 {
        let separator = if pinned.is_some() { '@' } else { ':' };
        return Err(error(Fault::Missing(format!("{}{separator}{name}", site.repository))));
    }
    let digest = BlobDigest(Digest::of(&bytes));
    if let Some(said) = announced(&headers, pinned).map_err(error)?
        && said != digest
    {
        return Err(error(Fault::Digest { expected: said.to_string(), found: digest.to_string() }));
    }
    let media_type = match content_type(&headers).filter(|given| is_document(given)) {
        Some(given) => given,
        None => own_type(&headers, &bytes),
    };
    let found = Descriptor::new(&media_type, digest, bytes.len() as u64);
    manifest::read(&media_type, &bytes).map_err(|why| error(bad_document(&found, &why)))?;
    download::keep(blobs, digest, bytes.clone()).await.map_err(error)?;
    Ok((found, bytes))
}

fn bad_document(document: &Descriptor, why: &manifest::BadDocument) -> Fault {
    Fault::Protocol(format!("{} is not used: {why}", document.digest))
}

/// The digest that the registry announces or the user pinned, which must be the same.
fn announced(headers: &HeaderMap, pinned: Option<BlobDigest>) -> Result<Option<BlobDigest>, Fault> {
    let said = headers.get(CONTENT_DIGEST).and_then(|value| value.to_str().ok()).filter(|text| text.starts_with("sha256:"));
    let said: Option<BlobDigest> =
        said.map(str::parse).transpose().map_err(|error| Fault::Protocol(format!("its Docker-Content-Digest is wrong: {error}")))?;
    match (said, pinned) {
        (Some(said), Some(pinned)) if said != pinned => {
            Err(Fault::Digest { expected: pinned.to_string(), found: format!("{said}, as the registry says itself") })
        }
        (said, pinned) => Ok(pinned.or(said)),
    }
}

pub(super) fn is_document(media_type: &str) -> bool {
    media_type::is_index(media_type) || media_type::is_manifest(media_type)
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_owned())
}

/// Some registries and proxies send everything as `application/json`: then the document's own word counts.
fn own_type(headers: &HeaderMap, bytes: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Own {
        media_type: Option<String>,
    }
    let given = content_type(headers).unwrap_or_default();
    if !matches!(given.as_str(), "" | "application/json" | "text/plain" | "application/octet-stream") {
        return given;
    }
    serde_json::from_slice::<Own>(bytes).ok().and_then(|own| own.media_type).unwrap_or(given)
}

/// A document that another one describes.
pub(super) async fn described(site: &Site, wanted: &Descriptor, blobs: &Arc<dyn Blobs>) -> Result<Document, RegistryError> {
    let error = |fault| site.error(fault);
    let bytes = if download::has(blobs, wanted).await.map_err(error)? {
        Bytes::from(download::read(blobs, wanted, manifest::LIMIT).await.map_err(error)?)
    } else {
        let (found, bytes) = get(site, wanted.digest, blobs).await?;
        if (found.size, &found.media_type) != (wanted.size, &wanted.media_type) {
            let describe = |one: &Descriptor| format!("{}, {} bytes", quoted(&one.media_type), one.size);
            return Err(error(Fault::Digest { expected: describe(wanted), found: describe(&found) }));
        }
        bytes
    };
    manifest::read(&wanted.media_type, &bytes).map_err(|why| error(bad_document(wanted, &why)))
}

/// Finds the manifest for a platform: through indexes, and by the config where no entry names a platform.
async fn choose(
    site: &Site,
    root: &Descriptor,
    platform: &Platform,
    blobs: &Arc<dyn Blobs>,
) -> Result<(Descriptor, Manifest), RegistryError> {
    let mut best: Option<(usize, Descriptor)> = None;
    let mut unnamed = Vec::new();
    let mut offered = BTreeSet::new();
    let mut open = VecDeque::from([root.clone()]);
    let mut seen = BTreeSet::new();
    while let Some(next) = open.pop_front() {
        if media_type::is_manifest(&next.media_type) && next.platform.is_none() {
            unnamed.push(next);
            continue;
        }
        if seen.len() >= MAX_DOCUMENTS || !seen.insert(next.digest) {
            continue;
        }
        let Document::Index(index) = described(site, &next, blobs).await? else { continue };
        for entry in index.manifests.iter().filter(|entry| is_document(&entry.media_type)) {
            let named = entry.platform.as_ref().map(PlatformObject::to_platform);
            let fit = named.as_ref().and_then(|named| select::distance(platform, named.as_ref()?));
            offered.extend(named.iter().flatten().map(ToString::to_string));
            match (named.is_some(), fit, media_type::is_index(&entry.media_type)) {
                (false, _, _) | (true, Some(_), true) => open.push_back(entry.clone()),
                (true, Some(fit), false) if best.as_ref().is_none_or(|(least, _)| fit < *least) => best = Some((fit, entry.clone())),
                _ => {}
            }
        }
    }
    if let Some((_, entry)) = best
        && let Document::Manifest(manifest) = described(site, &entry, blobs).await?
    {
        return Ok((plain(&entry), manifest));
    }
    for entry in unnamed.iter().take(MAX_CONFIGS) {
        let Document::Manifest(manifest) = described(site, entry, blobs).await? else { continue };
        let Some(named) = platform_of(site, &manifest, blobs).await? else { continue };
        if select::distance(platform, &named).is_some() {
            return Ok((plain(entry), manifest));
        }
        offered.insert(named.to_string());
    }
    Err(site.error(Fault::Platform { wanted: platform.to_string(), offered: offered.into_iter().collect() }))
}

/// The descriptor without what only an index says.
fn plain(entry: &Descriptor) -> Descriptor {
    Descriptor::new(&entry.media_type, entry.digest, entry.size)
}

/// The platform that an image's config names; `None` for artefacts that are no images.
pub(super) async fn platform_of(site: &Site, manifest: &Manifest, blobs: &Arc<dyn Blobs>) -> Result<Option<Platform>, RegistryError> {
    if !matches!(manifest.config.media_type.as_str(), media_type::CONFIG | media_type::DOCKER_CONFIG) {
        return Ok(None);
    }
    let error = |fault| site.error(fault);
    if manifest.config.size > manifest::LIMIT {
        return Err(error(Fault::TooLarge(crate::base::size::ByteSize(manifest::LIMIT))));
    }
    download(site, &manifest.config, blobs).await?;
    let bytes = download::read(blobs, &manifest.config, manifest::LIMIT).await.map_err(error)?;
    let config: PlatformObject =
        serde_json::from_slice(&bytes).map_err(|why| error(Fault::Protocol(format!("the image config cannot be read: {why}"))))?;
    Ok(config.to_platform())
}
