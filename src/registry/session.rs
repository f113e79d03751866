//! The registry as the engine uses it: one client and one store.
//! In: references and descriptors. Out: images in the store or at a registry, tags, and errors as diagnostics of the environment.
//! Never: a tag in the same call as the image that it names.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::digest::BlobDigest;
use crate::base::platform::Platform;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest;
use crate::oci::reference::{Reference, Repository, Tag};

use super::Blobs;
use super::client::{Client, Options};
use super::copy::Copied;
use super::download;
use super::error::RegistryError;
use super::inventory::Inventory;
use super::pull::Fetched;
use super::push::Report;
use super::survey::Survey;
use super::tags::TagOutcome;

/// A client with the store that its blobs come from and go to. Cheap to clone.
#[derive(Clone)]
pub struct Session {
    client: Client,
    blobs: Arc<dyn Blobs>,
}

impl Session {
    /// Joins a new client and a store; nothing is connected yet.
    #[must_use]
    pub fn new(options: Options, blobs: Arc<dyn Blobs>) -> Self {
        Self { client: Client::new(options), blobs }
    }

    /// What a reference names today. The document is in the store afterwards.
    ///
    /// # Errors
    /// As [`Client::resolve`].
    pub async fn resolve(&self, reference: &Reference) -> Result<Descriptor, RegistryError> {
        self.client.resolve(reference, &self.blobs).await
    }

    /// What a reference names today, platform by platform. The documents are in the store afterwards.
    ///
    /// # Errors
    /// As [`Client::survey`].
    pub async fn survey(&self, reference: &Reference) -> Result<Survey, RegistryError> {
        self.client.survey(reference, &self.blobs).await
    }

    /// Reads a small file from a web server; who asks holds it against its digest.
    ///
    /// # Errors
    /// As [`Client::fetch`].
    pub async fn fetch(&self, address: &str, limit: u64) -> Result<Bytes, RegistryError> {
        self.client.fetch(address, limit).await
    }

    /// Reads the only layer of an artifact, and says which digest its manifest has.
    ///
    /// # Errors
    /// As [`Client::artifact`].
    pub async fn artifact(&self, reference: &Reference, media_type: &str, limit: u64) -> Result<(BlobDigest, Vec<u8>), RegistryError> {
        self.client.artifact(reference, media_type, limit, &self.blobs).await
    }

    /// Brings the image for one platform into the store.
    ///
    /// # Errors
    /// As [`Client::fetch_image`].
    pub async fn pull(&self, reference: &Reference, platform: &Platform) -> Result<Fetched, RegistryError> {
        self.client.fetch_image(reference, platform, &self.blobs).await
    }

    /// Phase one of a release: sends an image by digest. `mounts` may have some of its blobs.
    ///
    /// # Errors
    /// As [`Client::push_image`].
    pub async fn push(&self, repository: &Repository, root: &Descriptor, mounts: &[Repository]) -> Result<Report, RegistryError> {
        self.client.push_image(repository, root, &self.blobs, mounts).await
    }

    /// Phase two: lets a tag name an image that phase one has sent.
    ///
    /// # Errors
    /// As [`Client::put_tag`], and when the store has no such image.
    pub async fn tag(&self, repository: &Repository, tag: &Tag, image: &Descriptor) -> Result<TagOutcome, RegistryError> {
        let bytes = self.kept(repository, image).await?;
        self.client.put_tag(repository, tag, image, bytes).await
    }

    /// The same without a look at where the tag stands.
    ///
    /// # Errors
    /// As [`Session::tag`].
    pub async fn write_tag(&self, repository: &Repository, tag: &Tag, image: &Descriptor) -> Result<(), RegistryError> {
        let bytes = self.kept(repository, image).await?;
        self.client.write_tag(repository, tag, image, bytes).await
    }

    /// The bytes of a document of the store that goes to this repository.
    async fn kept(&self, repository: &Repository, document: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        match download::read(&self.blobs, document, manifest::LIMIT).await {
            Ok(bytes) => Ok(bytes),
            Err(fault) => Err(self.client.site(repository).await?.error(fault)),
        }
    }

    /// Lets a tag name a document of the repository itself; `false` when there is none of this digest.
    ///
    /// # Errors
    /// As [`Client::document`] and [`Client::put_tag`].
    pub async fn point_tag(&self, repository: &Repository, tag: &Tag, image: BlobDigest) -> Result<bool, RegistryError> {
        let Some((found, bytes)) = self.client.document(repository, &image.to_string()).await? else { return Ok(false) };
        self.client.write_tag(repository, tag, &found, bytes.into()).await.map(|()| true)
    }

    /// Whether the registry has an image.
    ///
    /// # Errors
    /// As [`Client::has`].
    pub async fn has(&self, repository: &Repository, image: BlobDigest) -> Result<bool, RegistryError> {
        self.client.has(repository, image).await
    }

    /// What names an image as its subject.
    ///
    /// # Errors
    /// As [`Client::referrers`].
    pub async fn referrers(&self, repository: &Repository, image: BlobDigest) -> Result<Vec<Descriptor>, RegistryError> {
        self.client.referrers(repository, image).await
    }

    /// Sends artifacts by digest.
    ///
    /// # Errors
    /// As [`Client::attach`].
    pub async fn attach(&self, repository: &Repository, artifacts: &[Descriptor]) -> Result<Report, RegistryError> {
        self.client.attach(repository, artifacts, &self.blobs).await
    }

    /// Lets artifacts that were sent be found as referrers of their image.
    ///
    /// # Errors
    /// As [`Client::enlist`].
    pub async fn enlist(&self, repository: &Repository, image: BlobDigest, artifacts: &[Descriptor]) -> Result<bool, RegistryError> {
        self.client.enlist(repository, image, artifacts).await
    }

    /// The document that a tag or a digest names.
    ///
    /// # Errors
    /// As [`Client::document`].
    pub async fn document(&self, repository: &Repository, name: &str) -> Result<Option<(Descriptor, Bytes)>, RegistryError> {
        self.client.document(repository, name).await
    }

    /// A small blob.
    ///
    /// # Errors
    /// As [`Client::small_blob`].
    pub async fn small_blob(&self, repository: &Repository, blob: &Descriptor, limit: u64) -> Result<Vec<u8>, RegistryError> {
        self.client.small_blob(repository, blob, limit, &self.blobs).await
    }

    /// What a tag names, for somebody who may only read.
    ///
    /// # Errors
    /// As [`Client::read_tag`].
    pub async fn read_tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<BlobDigest>, RegistryError> {
        self.client.read_tag(repository, tag).await
    }

    /// What a tag names, for somebody who is about to move it.
    ///
    /// # Errors
    /// As [`Client::standing`].
    pub async fn standing(&self, repository: &Repository, tag: &Tag) -> Result<Option<BlobDigest>, RegistryError> {
        self.client.standing(repository, tag).await
    }

    /// Brings an image and what is about it to another repository. No tag moves.
    ///
    /// # Errors
    /// As [`Client::copy_image`].
    pub async fn copy(&self, from: &Repository, to: &Repository, image: &Descriptor) -> Result<Copied, RegistryError> {
        self.client.copy_image(from, to, image, &self.blobs).await
    }

    /// What stands in a repository. The documents are in the store afterwards.
    ///
    /// # Errors
    /// As [`Client::inventory`].
    pub async fn inventory(&self, repository: &Repository, untagged: bool) -> Result<Inventory, RegistryError> {
        self.client.inventory(repository, &self.blobs, untagged).await
    }

    /// Removes a document with all its tags; `false` when it was not there.
    ///
    /// # Errors
    /// As [`Client::remove`].
    pub async fn remove(&self, repository: &Repository, document: BlobDigest) -> Result<bool, RegistryError> {
        self.client.remove(repository, document).await
    }

    /// The tags of a repository.
    ///
    /// # Errors
    /// As [`Client::tags`].
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError> {
        self.client.tags(repository).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles only while every call may run as a task of its own.
    fn check_that_calls_are_tasks(session: &Session, place: &Reference, image: &Descriptor, tag: &Tag) -> usize {
        fn task(future: impl Future + Send) -> usize {
            drop(future);
            1
        }
        let (repository, platform) = (&place.repository, Platform::host());
        task(session.resolve(place))
            + task(session.survey(place))
            + task(session.fetch("https://example.org", 1))
            + task(session.artifact(place, "x", 1))
            + task(session.pull(place, &platform))
            + task(session.push(repository, image, &[]))
            + task(session.tag(repository, tag, image))
            + task(session.tags(repository))
            + task(session.referrers(repository, image.digest))
            + task(session.attach(repository, &[]))
            + task(session.enlist(repository, image.digest, &[]))
            + task(session.document(repository, "v1"))
            + task(session.small_blob(repository, image, 1))
    }

    #[test]
    fn calls_may_run_as_tasks_of_their_own() {
        struct Nowhere;
        impl Blobs for Nowhere {
            fn size_of(&self, _: BlobDigest) -> Option<u64> {
                None
            }
            fn open(&self, _: BlobDigest) -> std::io::Result<Box<dyn std::io::Read + Send>> {
                Err(std::io::ErrorKind::NotFound.into())
            }
            fn create(&self) -> std::io::Result<Box<dyn super::super::BlobSink>> {
                Err(std::io::ErrorKind::Unsupported.into())
            }
        }
        let auth = Arc::new(super::super::auth::credentials::Anonymous);
        let session = Session::new(Options::new(auth), Arc::new(Nowhere));
        let image = Descriptor::of(crate::oci::media_type::MANIFEST, b"{}");
        assert_eq!(check_that_calls_are_tasks(&session, &"alpine".parse().unwrap(), &image, &"v1".parse().unwrap()), 13);
    }
}
