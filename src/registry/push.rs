//! Pushes an image by digest: blobs first, then manifests from the leaves to the root. No tag moves.
//! In: a root descriptor whose blobs are in the store. Out: the image at the registry, and a count of what was sent.
//! Never: an index before its manifests, a manifest before its blobs, a document in other bytes than the store's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use reqwest::Method;

use crate::base::digest::BlobDigest;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, Document};
use crate::oci::reference::Repository;

use super::Blobs;
use super::auth::token::Scope;
use super::client::{Call, Client, Site};
use super::download;
use super::error::{Fault, RegistryError};
use super::pull::{ACCEPT, CONTENT_DIGEST, is_document};
use super::tags::named;
use super::transport::{Answer, Payload};
use super::upload::{Came, exists, upload};

/// Documents below one root; an index of indexes of indexes is no image.
const MAX_DOCUMENTS: usize = 10_000;
const MAX_DEPTH: usize = 4;
/// Questions that are asked while one blob travels.
const LOOKS: usize = 4;

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Blobs and manifests that were sent.
    pub sent: usize,
    /// Those that were there already.
    pub existing: usize,
    /// Blobs that came from another repository of the registry.
    pub mounted: usize,
    /// Bytes that were sent, those of failed attempts included.
    pub bytes: u64,
}

impl Report {
    fn add(&mut self, came: Came) {
        match came {
            Came::Existing => self.existing += 1,
            Came::Mounted => self.mounted += 1,
            Came::Sent(bytes) => {
                self.sent += 1;
                self.bytes += bytes;
            }
        }
    }
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.existing += other.existing;
        self.mounted += other.mounted;
        self.bytes += other.bytes;
    }
}

/// Everything below a root.
#[derive(Default)]
struct Closure {
    blobs: BTreeMap<BlobDigest, Descriptor>,
    /// Manifests and indexes, by the length of the longest way from the root: the deepest are sent first.
    documents: Vec<Vec<Descriptor>>,
}

impl Client {
    /// Sends the image below `root` to a repository, by digest. What is there already is not sent again.
    ///
    /// `mounts` are repositories of the same registry that are likely to have some of the blobs.
    /// # Errors
    /// [`RegistryError`]; whatever had arrived stays, and the next call finds it there.
    pub async fn push_image(
        &self,
        repository: &Repository,
        root: &Descriptor,
        blobs: &Arc<dyn Blobs>,
        mounts: &[Repository],
    ) -> Result<Report, RegistryError> {
        let (site, told) = self.site_and(repository, root.digest).await?;
        let closure = closure(root, blobs).await.map_err(|fault| site.error(fault))?;
        let mut report = Report::default();
        // What was sent last stands only where all stands, unless somebody has removed parts of it.
        let root_stands = match told {
            Some(told) => told,
            None => has_document(&site, root.digest, &Scope::push(repository)).await?,
        };
        let parts = closure.blobs.len() + closure.documents.iter().map(Vec::len).sum::<usize>();
        if root_stands && stands(&site, &closure).await? {
            report.existing = parts;
            return Ok(report);
        }
        let sent = send_all(&site, &closure, (root.digest, root_stands), (blobs, mounts), &mut report).await;
        sent.map_err(|error| RegistryError { there: Some((report.sent + report.existing + report.mounted, parts)), ..error })?;
        Ok(report)
    }
}

/// Sends what is missing: blobs, then documents from the leaves to the root, of which it is known whether it stands.
async fn send_all(
    site: &Site,
    closure: &Closure,
    root: (BlobDigest, bool),
    (blobs, mounts): (&Arc<dyn Blobs>, &[Repository]),
    report: &mut Report,
) -> Result<(), RegistryError> {
    let jobs = closure.blobs.values().map(|blob| send_blob(site, blob, blobs, mounts)).collect();
    all(jobs, site, report).await?;
    for level in closure.documents.iter().rev() {
        let known = |document: &Descriptor| (document.digest == root.0).then_some(root.1);
        let jobs = level.iter().map(|document| send_document(site, document, known(document), blobs)).collect();
        all(jobs, site, report).await?;
    }
    Ok(())
}

/// Whether everything below a root that stands is there, too. Questions are small, so more of them travel at once than blobs do.
async fn stands(site: &Site, closure: &Closure) -> Result<bool, RegistryError> {
    let scope = Scope::push(&site.repository);
    let mut questions: Vec<BoxFuture<'_, _>> = Vec::new();
    questions.extend(closure.documents.iter().skip(1).flatten().map(|document| has_document(site, document.digest, &scope).boxed()));
    questions.extend(closure.blobs.values().map(|blob| exists(site, blob).boxed()));
    let answers = futures_util::stream::iter(questions).buffer_unordered(site.parallel() * LOOKS);
    answers.try_all(std::future::ready).await
}

/// Runs transfers side by side and counts them; the first fault ends them all.
async fn all<F: Future<Output = Result<Came, RegistryError>>>(jobs: Vec<F>, site: &Site, report: &mut Report) -> Result<(), RegistryError> {
    let mut came = futures_util::stream::iter(jobs).buffer_unordered(site.parallel());
    while let Some(one) = came.try_next().await? {
        report.add(one);
    }
    Ok(())
}

async fn send_blob(site: &Site, blob: &Descriptor, blobs: &Arc<dyn Blobs>, mounts: &[Repository]) -> Result<Came, RegistryError> {
    let _turn = site.turn().await;
    upload(site, blob, blobs, mounts).await
}

async fn send_document(site: &Site, document: &Descriptor, known: Option<bool>, blobs: &Arc<dyn Blobs>) -> Result<Came, RegistryError> {
    let _turn = site.turn().await;
    let stands = match known {
        Some(known) => known,
        None => has_document(site, document.digest, &Scope::push(&site.repository)).await?,
    };
    if stands {
        return Ok(Came::Existing);
    }
    let bytes = download::read(blobs, document, manifest::LIMIT).await.map_err(|fault| site.error(fault))?;
    let size = bytes.len() as u64;
    put(site, &document.digest.to_string(), document, bytes).await?;
    Ok(Came::Sent(size))
}

/// Whether the registry has a document.
pub(super) async fn has_document(site: &Site, document: BlobDigest, scope: &Scope) -> Result<bool, RegistryError> {
    let call = Call::new(Method::HEAD, site.url(&format!("manifests/{document}")), scope).accept(ACCEPT);
    Ok(site.call(&call, &[200, 404]).await?.status() == 200)
}

/// Puts a document under a digest or a tag and checks what the registry says it has stored. Where no answer came, it may have been carried
/// out, and a tag may have moved on since: it is looked at before anything is written a second time.
pub(super) async fn put(site: &Site, name: &str, document: &Descriptor, bytes: Vec<u8>) -> Result<(), RegistryError> {
    let scope = Scope::push(&site.repository);
    let call = Call::new(Method::PUT, site.url(&format!("manifests/{name}")), &scope)
        .content_type(&document.media_type)
        .payload(Payload::Bytes(bytes.into()));
    let mut retry = site.retry(&call.method, &call.url);
    loop {
        let fault = match site.once(&call).await {
            Ok(answer) if matches!(answer.status(), 200 | 201 | 202 | 204) => return stored(site, &answer, document),
            Ok(answer) => site.refusal(answer).await,
            Err(fault) => fault,
        };
        let unanswered = matches!(fault, Fault::Cut(_) | Fault::Silent(_));
        retry.again(fault).await?;
        if unanswered && named(site, name, &scope).await? == Some(document.digest) {
            return Ok(());
        }
    }
}

/// Holds what the registry says it has stored against what was sent.
fn stored(site: &Site, answer: &Answer, document: &Descriptor) -> Result<(), RegistryError> {
    match answer.header(CONTENT_DIGEST) {
        Some(said) if said.starts_with("sha256:") && said != document.digest.to_string() => {
            let found = format!("{}, as the registry says it stored", super::error::quoted(said));
            Err(site.error(Fault::Digest { expected: document.digest.to_string(), found }))
        }
        _ => Ok(()),
    }
}

/// Walks from the root down, reading every document in the store.
async fn closure(root: &Descriptor, blobs: &Arc<dyn Blobs>) -> Result<Closure, Fault> {
    let mut found = Closure::default();
    let mut level = vec![root.clone()];
    let mut count = 0;
    while !level.is_empty() {
        count += level.len();
        if found.documents.len() >= MAX_DEPTH || count > MAX_DOCUMENTS {
            return Err(Fault::Store(format!("the image {} has too many documents below each other or beside each other", root.digest)));
        }
        let mut below = BTreeMap::new();
        for document in &level {
            for child in children(document, blobs, &mut found.blobs).await? {
                below.insert(child.digest, child);
            }
        }
        found.documents.push(std::mem::replace(&mut level, below.into_values().collect()));
    }
    only_deepest(&mut found.documents);
    Ok(found)
}

/// A document that is reached on two ways stays where it is deepest.
fn only_deepest(levels: &mut [Vec<Descriptor>]) {
    let mut seen = BTreeSet::new();
    for level in levels.iter_mut().rev() {
        level.retain(|document| seen.insert(document.digest));
    }
}

/// The documents that a document names; its blobs are taken in.
async fn children(
    document: &Descriptor,
    blobs: &Arc<dyn Blobs>,
    taken: &mut BTreeMap<BlobDigest, Descriptor>,
) -> Result<Vec<Descriptor>, Fault> {
    let bytes = download::read(blobs, document, manifest::LIMIT).await?;
    let read = manifest::read(&document.media_type, &bytes);
    let read = read.map_err(|why| Fault::Store(format!("{} cannot be pushed: {why}", document.digest)))?;
    let (documents, parts) = parts_of(read);
    taken.extend(parts.into_iter().map(|part| (part.digest, part)));
    Ok(documents)
}

/// What a document names: other documents, and blobs that travel with it.
pub(super) fn parts_of(document: Document) -> (Vec<Descriptor>, Vec<Descriptor>) {
    match document {
        Document::Manifest(manifest) => {
            let parts = std::iter::once(manifest.config).chain(manifest.layers);
            (Vec::new(), parts.filter(|part| !is_foreign(part)).collect())
        }
        // An index may name what no manifest is: it travels as a blob.
        Document::Index(index) => index.manifests.into_iter().partition(|entry| is_document(&entry.media_type)),
    }
}

/// Layers that may not be distributed stay where they are. Source: image-spec, "Non-Distributable Layers".
fn is_foreign(layer: &Descriptor) -> bool {
    layer.media_type.contains(".nondistributable.") || layer.media_type.contains(".foreign.")
}
