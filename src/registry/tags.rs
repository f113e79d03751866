//! Tags: where one stands, moving it, listing them.
//! In: a tag and the image that it shall name, which the registry has already. Out: whether it moved, and from where.
//! Never: a write when the tag stands right.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::base::digest::{BlobDigest, Digest};
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest;
use crate::oci::reference::{Repository, Tag};

use super::auth::token::Scope;
use super::client::{Call, Client, Site};
use super::error::{Fault, RegistryError};
use super::pages::{self, List, Page};
use super::pull::{ACCEPT, CONTENT_DIGEST};
use super::push::{has_document, put};

/// What became of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagOutcome {
    /// It names the image now.
    Moved {
        /// What it named before, when it existed.
        from: Option<BlobDigest>,
    },
    /// It named the image already; nothing was sent.
    Already,
}

impl Client {
    /// Lets a tag name an image that the registry has already; `bytes` are those of its manifest or index.
    ///
    /// # Errors
    /// [`RegistryError`]; [`Fault::Immutable`] when the registry keeps the tag where it stands.
    pub async fn put_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        image: &Descriptor,
        bytes: Vec<u8>,
    ) -> Result<TagOutcome, RegistryError> {
        let site = self.site(repository).await?;
        let from = stands(&site, tag).await?;
        if from == Some(image.digest) {
            return Ok(TagOutcome::Already);
        }
        move_tag(&site, tag, image, bytes).await.map(|()| TagOutcome::Moved { from })
    }

    /// Lets a tag name an image that the registry has already, without a look at where it stands.
    ///
    /// # Errors
    /// As [`Client::put_tag`].
    pub async fn write_tag(&self, repository: &Repository, tag: &Tag, image: &Descriptor, bytes: Vec<u8>) -> Result<(), RegistryError> {
        move_tag(&self.site(repository).await?, tag, image, bytes).await
    }

    /// Whether the registry has an image.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn has(&self, repository: &Repository, image: BlobDigest) -> Result<bool, RegistryError> {
        has_document(&self.site(repository).await?, image, &Scope::push(repository)).await
    }

    /// What a tag names; `None` when it does not exist.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn standing(&self, repository: &Repository, tag: &Tag) -> Result<Option<BlobDigest>, RegistryError> {
        stands(&self.site(repository).await?, tag).await
    }

    /// What a tag names, asked with the right to read alone; `None` when it does not exist.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn read_tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<BlobDigest>, RegistryError> {
        named(&self.site(repository).await?, tag.as_str(), &Scope::pull(repository)).await
    }

    /// The tags of a repository, in the registry's order; none when there is no such repository.
    ///
    /// # Errors
    /// [`RegistryError`]; [`Fault::Protocol`] when the list leads in a circle, to another host, or has no end.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError> {
        let site = self.site(repository).await?;
        let mut url = site.url("tags/list");
        url.set_query(Some("n=1000"));
        let list = List {
            what: "tags",
            scope: &Scope::pull(repository),
            accept: None,
            absent: &[404],
            most_pages: 1_000,
            most_entries: 200_000,
            page: 8 << 20,
        };
        let read = |_: &HeaderMap, bytes: &[u8]| match serde_json::from_slice::<Listed>(bytes) {
            Ok(page) => Page::Entries(page.tags.unwrap_or_default().into_iter().filter(|tag| tag.parse::<Tag>().is_ok()).collect()),
            Err(_) => Page::Unsound,
        };
        Ok(pages::all(&site, url, &list, read).await?.unwrap_or_default())
    }
}

/// Writes a tag; where the registry refuses, what stands there tells whether that is a fault.
async fn move_tag(site: &Site, tag: &Tag, image: &Descriptor, bytes: Vec<u8>) -> Result<(), RegistryError> {
    let Err(error) = put(site, tag.as_str(), image, bytes).await else { return Ok(()) };
    let Fault::Status(refusal) = &*error.fault else { return Err(error) };
    if !matches!(refusal.status, 400 | 403 | 405 | 409 | 412) {
        return Err(error);
    }
    // Somebody else may have been faster: it counts where the tag stands now.
    match stands(site, tag).await? {
        Some(now) if now == image.digest => Ok(()),
        Some(old) => {
            let fault = Fault::Immutable { tag: tag.to_string(), old, new: image.digest, said: refusal.words() };
            Err(RegistryError { fault: Box::new(fault), ..error })
        }
        None => Err(error),
    }
}

/// The digest that a tag names, `None` when there is no such tag.
pub(super) async fn stands(site: &Site, tag: &Tag) -> Result<Option<BlobDigest>, RegistryError> {
    named(site, tag.as_str(), &Scope::push(&site.repository)).await
}

/// The digest of what stands under a tag or a digest, `None` when nothing does.
pub(super) async fn named(site: &Site, name: &str, scope: &Scope) -> Result<Option<BlobDigest>, RegistryError> {
    let url = site.url(&format!("manifests/{name}"));
    let answer = site.call(&Call::new(Method::HEAD, url.clone(), scope).accept(ACCEPT), &[200, 404]).await?;
    if answer.status() == 404 {
        return Ok(None);
    }
    if let Some(digest) = answer.header(CONTENT_DIGEST).and_then(|text| text.parse().ok()) {
        return Ok(Some(digest));
    }
    let (status, _, bytes) = site.document(&Call::new(Method::GET, url, scope).accept(ACCEPT), &[200, 404], manifest::LIMIT).await?;
    Ok((status == 200).then(|| BlobDigest(Digest::of(&bytes))))
}

#[derive(Deserialize)]
struct Listed {
    tags: Option<Vec<String>>,
}
