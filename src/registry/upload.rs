//! Uploads one blob: asks first, mounts where it can, sends it in one request, goes on in chunks after a fault.
//! In: a blob of the store. Out: the blob in the repository, and how it came there.
//! Never: the whole blob in memory, a credential for another host, more than twice the bytes of a large blob.

use std::sync::Arc;

use reqwest::header::{CONTENT_RANGE, HeaderName, RANGE};
use reqwest::{Method, Url};

use crate::oci::descriptor::Descriptor;
use crate::oci::reference::Repository;

use super::Blobs;
use super::auth::token::Scope;
use super::client::{Call, Site};
use super::error::{Fault, RegistryError};
use super::piece::Source;
use super::transport::{Answer, Payload};

/// The bytes of one PATCH, unless the registry wants more. Larger than most layers, small enough to lose.
const CHUNK: u64 = 16 << 20;
/// What sockets may hold when connections break: it counts as sent, though it never arrived.
const IN_FLIGHT: u64 = 8 << 20;
/// Repositories that are asked for a blob: each refusal opens an upload, and one is enough.
const MAX_MOUNTS: usize = 3;
/// Uploads that a registry may forget before kiln stops opening new ones.
const MAX_LOSSES: usize = 3;
/// The smallest chunk that a registry takes. Source: distribution-spec 1.1, "Pushing a blob in chunks".
const MIN_CHUNK: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// How a blob came to be in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// It was there.
    Existing,
    /// From another repository of the registry, without a transfer.
    Mounted,
    /// It was sent; the bytes, those of failed attempts included.
    Sent(u64),
}

/// An upload that the registry has opened.
struct Session {
    location: Url,
    offset: u64,
    chunk: u64,
}

struct Upload<'a> {
    site: &'a Site,
    scope: Scope,
    blob: &'a Descriptor,
    source: Arc<Source>,
    session: Option<Session>,
    in_chunks: bool,
}

/// Whether the repository has a blob.
pub(super) async fn exists(site: &Site, blob: &Descriptor) -> Result<bool, RegistryError> {
    let scope = Scope::push(&site.repository);
    let call = Call::new(Method::HEAD, site.url(&format!("blobs/{}", blob.digest)), &scope);
    Ok(site.call(&call, &[200, 404]).await?.status() == 200)
}

/// Brings a blob into the repository.
pub(super) async fn upload(site: &Site, blob: &Descriptor, blobs: &Arc<dyn Blobs>, mounts: &[Repository]) -> Result<Came, RegistryError> {
    if exists(site, blob).await? {
        return Ok(Came::Existing);
    }
    let source = Source::new(Arc::clone(blobs), blob.digest, blob.size);
    let mut upload = Upload { site, scope: Scope::push(&site.repository), blob, source, session: None, in_chunks: false };
    let neighbours = mounts.iter().filter(|from| from.host() == site.repository.host() && from.name() != site.repository.name());
    for from in neighbours.take(MAX_MOUNTS) {
        if upload.mount(from).await {
            return Ok(Came::Mounted);
        }
    }
    upload.run().await
}

/// Tries to take a blob over from another repository of the same registry; whether it stands now.
pub(super) async fn mounted(site: &Site, blob: &Descriptor, from: &Repository, blobs: &Arc<dyn Blobs>) -> bool {
    if from.host() != site.repository.host() || from.name() == site.repository.name() {
        return false;
    }
    let source = Source::new(Arc::clone(blobs), blob.digest, blob.size);
    Upload { site, scope: Scope::push(&site.repository), blob, source, session: None, in_chunks: false }.mount(from).await
}

impl Upload<'_> {
    /// Tries to mount; whatever the registry has against it, the upload goes on without.
    async fn mount(&mut self, from: &Repository) -> bool {
        let mut url = self.site.url("blobs/uploads/");
        url.query_pairs_mut().append_pair("mount", &self.blob.digest.to_string()).append_pair("from", from.name());
        let scope = Scope::mount(&self.site.repository, from);
        let Ok(answer) = self.site.once(&Call::new(Method::POST, url, &scope)).await else { return false };
        if answer.status() == 202 && self.session.is_none() {
            self.session = self.opened(&answer).ok();
        }
        answer.status() == 201
    }

    async fn run(&mut self) -> Result<Came, RegistryError> {
        let start = self.site.url("blobs/uploads/");
        let mut retry = self.site.retry(&Method::POST, &start);
        let (mut losses, mut refused) = (0, 0);
        loop {
            let fault = match self.attempt(&mut retry).await {
                Ok(()) => return Ok(Came::Sent(self.source.moved())),
                Err(fault) => fault,
            };
            let status = if let Fault::Status(refusal) = &fault { refusal.status } else { 0 };
            if matches!(status, 405 | 411 | 413) && !self.in_chunks {
                (self.in_chunks, self.session) = (true, None);
                refused = self.source.moved();
                continue;
            }
            let lost = status == 416 || matches!(&fault, Fault::Status(refusal) if refusal.has_code("BLOB_UPLOAD_UNKNOWN"));
            losses += usize::from(lost);
            if losses > MAX_LOSSES {
                return Err(retry.give_up(fault));
            }
            let stood = self.session.as_ref().map(|session| session.offset);
            retry.again(if lost { Fault::Cut("the registry lost the upload".to_owned()) } else { fault.clone() }).await?;
            self.in_chunks = true;
            if self.recover().await {
                return Ok(Came::Sent(self.source.moved()));
            }
            if status == 416 && stood == self.session.as_ref().map(|session| session.offset) {
                // It refuses the very offset that it asks for: begin anew.
                self.session = None;
            }
            let offset = self.session.as_ref().map_or(0, |session| session.offset);
            retry.reached(offset);
            let sent = self.source.moved() - refused + (self.blob.size - offset);
            if sent > self.blob.size.saturating_mul(2).saturating_add(IN_FLIGHT) {
                return Err(retry.give_up(fault));
            }
        }
    }

    /// Sends what is missing.
    async fn attempt(&mut self, retry: &mut super::retry::Retry) -> Result<(), Fault> {
        if self.session.is_none() {
            let call = Call::new(Method::POST, self.site.url("blobs/uploads/"), &self.scope);
            retry.at(self.site.place(&call.method, &call.url));
            let answer = self.site.once(&call).await?;
            match answer.status() {
                202 => self.session = Some(self.opened(&answer)?),
                _ => return Err(self.site.refusal(answer).await),
            }
        }
        let Some(mut session) = self.session.take() else { return Err(Fault::protocol("it opened no upload")) };
        let outcome = self.fill(&mut session, retry).await;
        self.session = Some(session);
        outcome
    }

    async fn fill(&self, session: &mut Session, retry: &mut super::retry::Retry) -> Result<(), Fault> {
        let size = self.blob.size;
        let in_one = !self.in_chunks && session.offset == 0;
        while !in_one && session.offset < size {
            let end = session.offset.saturating_add(session.chunk).min(size);
            self.patch(session, end, retry).await?;
            retry.reached(session.offset);
        }
        let mut url = session.location.clone();
        url.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        let mut call = Call::new(Method::PUT, url, &self.scope).content_type("application/octet-stream");
        if in_one && size > 0 {
            call = call.payload(Payload::Piece(self.source.piece(0, size)));
        }
        retry.at(self.site.place(&call.method, &call.url));
        let answer = self.site.once(&call).await?;
        if (200..300).contains(&answer.status()) { Ok(()) } else { Err(self.site.refusal(answer).await) }
    }

    async fn patch(&self, session: &mut Session, end: u64, retry: &mut super::retry::Retry) -> Result<(), Fault> {
        let from = session.offset;
        let call = Call::new(Method::PATCH, session.location.clone(), &self.scope)
            .content_type("application/octet-stream")
            .header(CONTENT_RANGE, &format!("{from}-{}", end - 1))
            .payload(Payload::Piece(self.source.piece(from, end)));
        retry.at(self.site.place(&call.method, &call.url));
        let answer = self.site.once(&call).await?;
        if !matches!(answer.status(), 202 | 204) {
            return Err(self.site.refusal(answer).await);
        }
        session.location = answer.location()?;
        session.offset = reached(&answer).unwrap_or(end);
        if session.offset <= from || session.offset > end {
            return Err(Fault::Protocol(format!("after bytes {from} to {end} it claims to have {}", session.offset)));
        }
        Ok(())
    }

    /// After a fault: whether the blob stands after all; else the offset at which the upload goes on.
    async fn recover(&mut self) -> bool {
        let head = Call::new(Method::HEAD, self.site.url(&format!("blobs/{}", self.blob.digest)), &self.scope);
        if self.site.once(&head).await.is_ok_and(|answer| answer.status() == 200) {
            return true;
        }
        if let Some(session) = self.session.take() {
            let status = Call::new(Method::GET, session.location.clone(), &self.scope);
            if let Ok(answer) = self.site.once(&status).await
                && matches!(answer.status(), 202 | 204)
                && let Some(offset) = reached(&answer).filter(|offset| *offset <= self.blob.size)
            {
                self.session = Some(Session { location: answer.location().unwrap_or(session.location), offset, chunk: session.chunk });
            }
        }
        false
    }

    fn opened(&self, answer: &Answer) -> Result<Session, Fault> {
        let least = answer.header(MIN_CHUNK).and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        Ok(Session { location: answer.location()?, offset: 0, chunk: CHUNK.max(least) })
    }
}

/// The offset after the bytes that the registry has: `Range: 0-1023` is 1024.
fn reached(answer: &Answer) -> Option<u64> {
    read_range(answer.header(RANGE)?)
}

/// `0-0` tells nothing: registries say it of an empty upload and of one byte.
fn read_range(text: &str) -> Option<u64> {
    let text = text.trim();
    let (first, last) = text.strip_prefix("bytes=").unwrap_or(text).split_once('-')?;
    match (first.parse().ok()?, last.parse().ok()?) {
        (0_u64, 0_u64) => None,
        (0, last) => last.checked_add(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_registries_write_them() {
        for (text, expected) in [
            ("0-1023", Some(1024)),
            ("bytes=0-9", Some(10)),
            ("0-0", None),
            ("5-9", None),
            ("0--1", None),
            ("", None),
            ("0-18446744073709551615", None),
        ] {
            assert_eq!(read_range(text), expected, "{text}");
        }
    }
}
