//! What stands in a repository: tags, the documents that they name, what those are made of, and what is about them.
//! In: a repository. Out: an [`Inventory`]; the documents are in the store afterwards. Never: a layer, a tag that is no tag.
//!
//! A registry lists tags and no documents, so what has no tag is known only where something that has one leads there, or where the registry
//! has a list of its own ([`super::listing`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{StreamExt as _, TryStreamExt as _};

use crate::base::digest::BlobDigest;
use crate::base::platform::Platform;
use crate::base::time::Moment;
use crate::oci::descriptor::{Descriptor, PlatformObject};
use crate::oci::manifest::{self, Document, Manifest};
use crate::oci::media_type;
use crate::oci::reference::{Reference, Repository, Tag};

use super::Blobs;
use super::auth::token::Scope;
use super::client::{Client, Site};
use super::download::{self, download};
use super::error::{Fault, RegistryError};
use super::pull::{described, is_document};
use super::push::has_document;
use super::referrers::listed;
use super::retention::{Holding, Holdings};

/// The documents of one repository that are read.
const MAX_DOCUMENTS: usize = 100_000;
/// Who made an image writes when. Source: image-spec, annotations.md.
const CREATED: &str = "org.opencontainers.image.created";

/// What stands in a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Every document that is known.
    pub holdings: Holdings,
    /// Their descriptors.
    pub documents: BTreeMap<BlobDigest, Descriptor>,
    /// The platforms of the images among them.
    pub platforms: BTreeMap<BlobDigest, BTreeSet<Platform>>,
    /// The bytes of config and layers that a manifest names.
    pub sizes: BTreeMap<BlobDigest, u64>,
    /// Tags whose documents cannot be read, such as those of formats that are long gone.
    pub unread: BTreeSet<Tag>,
    /// Whether all documents are known, also those to which nothing leads.
    pub is_whole: bool,
}

/// A document and where the way to it began.
struct Found {
    document: Descriptor,
    tag: Option<Tag>,
    subject: Option<BlobDigest>,
}

/// What a document says.
struct Said {
    children: Vec<Descriptor>,
    subject: Option<BlobDigest>,
    created: Option<Moment>,
    platform: Option<Platform>,
    size: u64,
}

impl Client {
    /// Reads what stands in a repository; nothing when there is no such repository. With `untagged`, also what has no tag, where the
    /// registry has a list of it.
    ///
    /// # Errors
    /// [`RegistryError`]; [`Fault::Protocol`] when there are too many documents.
    pub async fn inventory(&self, repository: &Repository, blobs: &Arc<dyn Blobs>, untagged: bool) -> Result<Inventory, RegistryError> {
        let site = self.site(repository).await?;
        let mut all = Inventory::default();
        let tags: Vec<Tag> = self.tags(repository).await?.iter().filter_map(|tag| tag.parse().ok()).collect();
        let named = tags.iter().map(|tag| self.named(repository, tag, blobs));
        let named: Vec<_> = futures_util::stream::iter(named).buffered(site.parallel()).try_collect().await?;
        let mut open = Vec::new();
        for (tag, document) in tags.into_iter().zip(named) {
            match document {
                Named::Document(document) => open.push(Found { document: *document, tag: Some(tag), subject: None }),
                Named::Gone => {}
                Named::Unread => drop(all.unread.insert(tag)),
            }
        }
        if untagged && let Some(listed) = self.all_documents(&site).await? {
            all.is_whole = true;
            let mut known: BTreeSet<BlobDigest> = open.iter().map(|found| found.document.digest).collect();
            let fresh: Vec<BlobDigest> = listed.iter().map(|one| one.digest).filter(|digest| known.insert(*digest)).collect();
            if fresh.len() > MAX_DOCUMENTS {
                return Err(too_many(&site));
            }
            for one in listed {
                all.holdings.entry(one.digest).or_default().arrived = one.arrived;
            }
            let there = fresh.into_iter().map(|digest| self.resolve_there(&site, digest, blobs));
            let there: Vec<Option<Found>> = futures_util::stream::iter(there).buffered(site.parallel()).try_collect().await?;
            open.extend(there.into_iter().flatten());
        }
        let mut lists = true;
        while !open.is_empty() {
            let fresh = all.take_known(open);
            if all.documents.len() > MAX_DOCUMENTS {
                return Err(too_many(&site));
            }
            let reads = fresh.into_iter().map(|found| read(&site, found, blobs));
            let reads: Vec<Option<(Found, Said)>> = futures_util::stream::iter(reads).buffered(site.parallel()).try_collect().await?;
            open = Vec::new();
            for (found, said) in reads.into_iter().flatten() {
                open.extend(said.children.iter().map(|child| Found { document: child.clone(), tag: None, subject: None }));
                for subject in found.tag.iter().filter_map(Tag::subject).filter(|subject| !all.documents.contains_key(subject)) {
                    // It stands without a tag of its own, or not any more.
                    open.extend(self.resolve_there(&site, subject, blobs).await?);
                }
                if lists {
                    match listed(&site, found.document.digest).await? {
                        Some(about) => {
                            let subject = Some(found.document.digest);
                            let about = about.into_iter().filter(|one| is_document(&one.media_type));
                            open.extend(about.map(|document| Found { document, tag: None, subject }));
                        }
                        // Then tags lead to what is about a document, and those are listed.
                        None => lists = false,
                    }
                }
                all.keep(found.document.digest, said);
            }
        }
        all.date_indexes();
        Ok(all)
    }

    async fn named(&self, repository: &Repository, tag: &Tag, blobs: &Arc<dyn Blobs>) -> Result<Named, RegistryError> {
        let reference = Reference { repository: repository.clone(), tag: Some(tag.clone()), digest: None };
        match self.resolve(&reference, blobs).await {
            Ok(document) => Ok(Named::Document(Box::new(document))),
            Err(error) => match *error.fault {
                Fault::Missing(_) => Ok(Named::Gone),
                Fault::Protocol(_) | Fault::TooLarge(_) => Ok(Named::Unread),
                _ => Err(error),
            },
        }
    }

    /// What a digest names at the registry itself: the store may have it although the registry has it no more.
    async fn resolve_there(&self, site: &Site, digest: BlobDigest, blobs: &Arc<dyn Blobs>) -> Result<Option<Found>, RegistryError> {
        if !has_document(site, digest, &Scope::pull(&site.repository)).await? {
            return Ok(None);
        }
        let wanted = Reference { repository: site.repository.clone(), tag: None, digest: Some(digest) };
        match self.resolve(&wanted, blobs).await {
            Ok(document) => Ok(Some(Found { document, tag: None, subject: None })),
            Err(error) if matches!(*error.fault, Fault::Missing(_) | Fault::Protocol(_) | Fault::TooLarge(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn too_many(site: &Site) -> RegistryError {
    site.error(Fault::protocol("the repository has too many documents"))
}

enum Named {
    Document(Box<Descriptor>),
    Gone,
    Unread,
}

impl Inventory {
    /// Takes note of documents that are known already, and gives those that are not, each once.
    fn take_known(&mut self, found: Vec<Found>) -> Vec<Found> {
        let mut fresh = Vec::new();
        for found in found {
            let digest = found.document.digest;
            let holding = self.holdings.entry(digest).or_default();
            holding.tags.extend(found.tag.clone());
            holding.subject = holding.subject.or(found.subject);
            if self.documents.insert(digest, found.document.clone()).is_none() {
                fresh.push(found);
            }
        }
        fresh
    }

    fn keep(&mut self, digest: BlobDigest, said: Said) {
        let Holding { children, subject, created, .. } = self.holdings.entry(digest).or_default();
        *children = said.children.iter().map(|child| child.digest).collect();
        *subject = said.subject.or(*subject);
        *created = said.created;
        self.platforms.entry(digest).or_default().extend(said.platform);
        self.sizes.insert(digest, said.size);
    }

    /// Adds a document of a place that is no registry, with the config of an image; gives the documents that it names.
    pub fn add(&mut self, document: &Descriptor, read: Document, config: Option<&[u8]>) -> Vec<Descriptor> {
        let said = said(read, config.and_then(|bytes| serde_json::from_slice(bytes).ok()));
        let children = said.children.clone();
        self.documents.insert(document.digest, document.clone());
        self.keep(document.digest, said);
        children
    }

    /// An index that does not say so itself is as young as the youngest of its images, and has their platforms.
    pub fn date_indexes(&mut self) {
        let indexes: Vec<BlobDigest> =
            self.holdings.iter().filter(|(_, one)| !one.children.is_empty()).map(|(digest, _)| *digest).collect();
        // Indexes within indexes are rare and never deep.
        for digest in indexes.iter().chain(&indexes) {
            let children = self.holdings.get(digest).map(|index| index.children.clone()).unwrap_or_default();
            let made = children.iter().filter_map(|child| self.holdings.get(child)?.created).max();
            let platforms: BTreeSet<Platform> = children.iter().filter_map(|child| self.platforms.get(child)).flatten().cloned().collect();
            self.platforms.entry(*digest).or_default().extend(platforms);
            if let Some(index) = self.holdings.get_mut(digest) {
                index.created = index.created.or(made);
            }
        }
    }
}

/// Reads one document; `None` when the registry does not have it, as of platforms that were left out of a copy.
async fn read(site: &Site, found: Found, blobs: &Arc<dyn Blobs>) -> Result<Option<(Found, Said)>, RegistryError> {
    let document = match described(site, &found.document, blobs).await {
        Ok(document) => document,
        Err(error) if matches!(*error.fault, Fault::Missing(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let config = match &document {
        Document::Manifest(manifest) => config(site, manifest, blobs).await?,
        Document::Index(_) => None,
    };
    Ok(Some((found, said(document, config))))
}

fn said(document: Document, config: Option<Config>) -> Said {
    match document {
        Document::Index(index) => {
            let created = index.annotations.get(CREATED).and_then(|text| moment(text));
            let subject = index.subject();
            let children = index.manifests.into_iter().filter(|entry| is_document(&entry.media_type)).collect();
            Said { subject, children, created, platform: None, size: 0 }
        }
        Document::Manifest(manifest) => {
            let written = manifest.annotations.get(CREATED).and_then(|text| moment(text));
            let created = written.or_else(|| config.as_ref().and_then(|config| moment(config.created.as_deref()?)));
            let platform = config.and_then(|config| config.platform?.to_platform());
            let size = manifest.layers.iter().map(|layer| layer.size).sum::<u64>() + manifest.config.size;
            Said { subject: manifest.subject(), children: Vec::new(), created, platform, size }
        }
    }
}

/// The two things that are read of a config.
#[derive(serde::Deserialize)]
struct Config {
    #[serde(default)]
    created: Option<String>,
    #[serde(flatten)]
    platform: Option<PlatformObject>,
}

async fn config(site: &Site, manifest: &Manifest, blobs: &Arc<dyn Blobs>) -> Result<Option<Config>, RegistryError> {
    let image = matches!(manifest.config.media_type.as_str(), media_type::CONFIG | media_type::DOCKER_CONFIG);
    if !image || manifest.config.size > manifest::LIMIT {
        return Ok(None);
    }
    match download(site, &manifest.config, blobs).await {
        Ok(()) => {}
        Err(error) if matches!(*error.fault, Fault::Missing(_)) || error.status() == Some(404) => return Ok(None),
        Err(error) => return Err(error),
    }
    let bytes = download::read(blobs, &manifest.config, manifest::LIMIT).await.map_err(|fault| site.error(fault))?;
    Ok(serde_json::from_slice(&bytes).ok())
}

/// A time that somebody wrote. What reproducible builds write in its place, the beginning of 1970 or of the calendar or of ZIP's, is none.
fn moment(text: &str) -> Option<Moment> {
    /// The first second of 1981.
    const PLAUSIBLE: i64 = 347_155_200;
    Moment::parse(text).filter(|moment| moment.seconds() >= PLAUSIBLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_stand_for_no_time_are_none() {
        for text in ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1980-01-01T00:00:00Z", "yesterday", ""] {
            assert_eq!(moment(text), None, "{text}");
        }
        assert_eq!(moment("2026-11-22T10:00:00.123456789Z").map(|moment| moment.to_string()), Some("2026-11-22T10:00:00Z".to_owned()));
        assert_eq!(moment("2026-11-22T12:00:00+02:00").map(|moment| moment.to_string()), Some("2026-11-22T10:00:00Z".to_owned()));
    }
}
