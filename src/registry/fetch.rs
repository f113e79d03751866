//! Small files from servers, and from artifacts in registries: plans that others include.
//! In: an address or a reference. Out: bytes with a bound; what they must hash to is for the caller to hold them against,
//! except in a registry, where every digest on the way is checked.
//! Never: a credential for a web server, http beyond this machine, an index taken for an artifact.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Method, Url};

use crate::base::digest::BlobDigest;
use crate::base::size::ByteSize;
use crate::oci::manifest::Document;
use crate::oci::reference::Reference;

use super::Blobs;
use super::auth::challenge::is_loopback;
use super::client::Client;
use super::download::{self, download};
use super::error::{Fault, Place, RegistryError, quoted, redacted};
use super::pull::described;
use super::transport::{Follow, Payload, Request};

impl Client {
    /// Reads a file of at most `limit` bytes from a web server: over https, or from this machine.
    ///
    /// # Errors
    /// [`RegistryError`]; its place has the host and the address without the query.
    pub async fn fetch(&self, address: &str, limit: u64) -> Result<Bytes, RegistryError> {
        let refused = |fault: Fault| self.wire().retry(Place { host: address.to_owned(), ..Place::default() }).give_up(fault);
        let url: Url = address.parse().map_err(|_| refused(Fault::protocol("its address cannot be read")))?;
        let follow = match url.scheme() {
            "https" => Follow::Anywhere,
            // A server of this machine may not send kiln elsewhere without protection.
            "http" if is_loopback(&url) => Follow::SameOrigin,
            _ => return Err(refused(Fault::protocol("only https is used"))),
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut retry = self.wire().retry(Place { method: "GET".to_owned(), host, repository: String::new(), address: redacted(&url) });
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let (method, payload) = (&Method::GET, Payload::Empty);
        let request = Request { method, url: &url, headers: &headers, authorization: None, home: &url, payload: &payload, follow };
        loop {
            let fault = match self.wire().send(&request).await {
                Ok(answer) if answer.status() == 200 => match answer.bytes(limit).await {
                    Ok(bytes) => return Ok(bytes),
                    Err(fault) => fault,
                },
                Ok(answer) if matches!(answer.status(), 404 | 410) => Fault::Missing(redacted(&url)),
                Ok(answer) => answer.refusal().await,
                Err(fault) => fault,
            };
            retry.again(fault).await?;
        }
    }

    /// Reads the only layer of an artifact, which must be of `media_type`; gives the digest of its manifest, too. Both are in the
    /// store afterwards, and nothing is asked for when a reference has a digest and the store has both.
    ///
    /// # Errors
    /// As [`Client::resolve`]; [`Fault::Protocol`] when the artifact is not of this kind.
    pub async fn artifact(
        &self,
        reference: &Reference,
        media_type: &str,
        limit: u64,
        blobs: &Arc<dyn Blobs>,
    ) -> Result<(BlobDigest, Vec<u8>), RegistryError> {
        let root = self.resolve(reference, blobs).await?;
        let site = self.site(&reference.repository).await?;
        let other = |what: String| site.error(Fault::Protocol(format!("`{reference}` {what}; expected one layer of type `{media_type}`")));
        let Document::Manifest(manifest) = described(&site, &root, blobs).await? else { return Err(other("is an index".to_owned())) };
        let [layer] = manifest.layers.as_slice() else {
            return Err(other(format!("has {}", crate::base::words::count(manifest.layers.len(), "layer"))));
        };
        if layer.media_type != media_type {
            return Err(other(format!("has a layer of type `{}`", quoted(&layer.media_type))));
        }
        if layer.size > limit {
            return Err(site.error(Fault::TooLarge(ByteSize(limit))));
        }
        download(&site, layer, blobs).await?;
        let bytes = download::read(blobs, layer, limit).await.map_err(|fault| site.error(fault))?;
        Ok((root.digest, bytes))
    }
}
