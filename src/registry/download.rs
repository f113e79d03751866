//! Downloads one blob into the store: verified while it streams, taken up where it broke off.
//! In: a descriptor. Out: the blob in the store, complete and verified, or nothing.
//! Never: a short or wrong blob in the store, more bytes than the descriptor says, a foreign layer's `urls`.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, RANGE};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::base::digest::BlobDigest;
use crate::base::size::ByteSize;
use crate::oci::descriptor::Descriptor;

use super::Blobs;
use super::auth::token::Scope;
use super::client::{Call, Site};
use super::error::{Fault, RegistryError};
use super::transport::Answer;

/// The chunks that wait between network and disk.
const QUEUE: usize = 8;

/// A blob that a thread writes to the store.
struct Sink {
    queue: mpsc::Sender<Order>,
    done: JoinHandle<io::Result<()>>,
}

enum Order {
    Write(Bytes),
    Commit(BlobDigest),
}

impl Sink {
    /// Starts the thread. Without a commit, nothing is kept.
    fn new(blobs: &Arc<dyn Blobs>) -> Self {
        let (queue, mut orders) = mpsc::channel(QUEUE);
        let blobs = Arc::clone(blobs);
        let done = tokio::task::spawn_blocking(move || {
            let mut sink = blobs.create()?;
            while let Some(order) = orders.blocking_recv() {
                match order {
                    Order::Write(bytes) => sink.write_all(&bytes)?,
                    Order::Commit(digest) => return sink.commit(digest),
                }
            }
            Ok(())
        });
        Self { queue, done }
    }

    /// Hands bytes over; `false` when the thread has failed, and [`Sink::end`] tells why.
    async fn write(&self, bytes: Bytes) -> bool {
        self.queue.send(Order::Write(bytes)).await.is_ok()
    }

    async fn end(self, commit: Option<BlobDigest>) -> Result<(), Fault> {
        if let Some(digest) = commit {
            // A thread that has failed takes no orders; its result tells why.
            let _ = self.queue.send(Order::Commit(digest)).await;
        }
        drop(self.queue);
        match self.done.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Err(Fault::Digest { expected: commit.map_or(String::new(), |digest| digest.to_string()), found: error.to_string() })
            }
            Ok(Err(error)) => Err(Fault::store(&error)),
            Err(error) => Err(Fault::Store(error.to_string())),
        }
    }
}

/// Stores bytes that are in memory already.
pub(super) async fn keep(blobs: &Arc<dyn Blobs>, digest: BlobDigest, bytes: Bytes) -> Result<(), Fault> {
    let sink = Sink::new(blobs);
    sink.write(bytes).await;
    sink.end(Some(digest)).await
}

/// Whether the store has a blob of this size already.
pub(super) async fn has(blobs: &Arc<dyn Blobs>, blob: &Descriptor) -> Result<bool, Fault> {
    let (blobs, digest) = (Arc::clone(blobs), blob.digest);
    let found = tokio::task::spawn_blocking(move || blobs.size_of(digest)).await.map_err(|error| Fault::Store(error.to_string()))?;
    match found {
        Some(size) if size != blob.size => Err(wrong_size(blob, size)),
        found => Ok(found.is_some()),
    }
}

/// Brings a blob into the store, unless it is there.
pub(super) async fn download(site: &Site, blob: &Descriptor, blobs: &Arc<dyn Blobs>) -> Result<(), RegistryError> {
    // Images that are pulled at the same time often share layers.
    let lane = site.lane(blob.digest);
    let _alone = lane.lock().await;
    if has(blobs, blob).await.map_err(|fault| site.error(fault))? {
        return Ok(());
    }
    let _turn = site.turn().await;
    for mirror in site.mirrors().await {
        match transfer(&mirror, blob, blobs).await {
            Ok(()) => return Ok(()),
            Err(error) => mirror.failed(&error),
        }
    }
    transfer(site, blob, blobs).await
}

/// Fetches a blob from one place.
async fn transfer(site: &Site, blob: &Descriptor, blobs: &Arc<dyn Blobs>) -> Result<(), RegistryError> {
    let scope = Scope::pull(&site.repository);
    let url = site.url(&format!("blobs/{}", blob.digest));
    let mut retry = site.retry(&Method::GET, &url);
    let mut sink = Sink::new(blobs);
    let mut reached = 0;
    while reached < blob.size {
        let mut call = Call::new(Method::GET, url.clone(), &scope);
        if reached > 0 {
            call = call.header(RANGE, &format!("bytes={reached}-"));
        }
        let fault = match attempt(site, &call, blob, &sink, &mut reached).await {
            Ok(()) => continue,
            Err(Fault::Status(refusal)) if refusal.status == 404 => Fault::Missing(missing(site, blob)),
            Err(Fault::Store(_)) => return Err(retry.give_up(sink.end(None).await.err().unwrap_or_else(stopped))),
            Err(Fault::Status(refusal)) if refusal.status == 416 && reached > 0 => {
                // The registry cannot go on from here, so the blob is begun anew.
                (sink, reached) = (Sink::new(blobs), 0);
                Fault::Cut("it does not know the range of bytes that it broke off at".to_owned())
            }
            Err(fault) => fault,
        };
        retry.reached(reached);
        retry.again(fault).await?;
    }
    sink.end(Some(blob.digest)).await.map_err(|fault| retry.give_up(fault))
}

fn stopped() -> Fault {
    Fault::Store("the writing thread ended".to_owned())
}

fn missing(site: &Site, blob: &Descriptor) -> String {
    let foreign = if blob.more.contains_key("urls") { " (a foreign layer, whose `urls` are never followed)" } else { "" };
    format!("{}@{}{foreign}", site.repository, blob.digest)
}

/// Reads as much as comes. A clean end before the last byte counts as cut.
async fn attempt(site: &Site, call: &Call<'_>, blob: &Descriptor, sink: &Sink, reached: &mut u64) -> Result<(), Fault> {
    let mut answer = site.once(call).await?;
    let mut skip = match answer.status() {
        206 if *reached > 0 => check_range(&answer, *reached, blob)?,
        // Asked to go on, the registry began anew.
        200 => *reached,
        _ => return Err(site.refusal(answer).await),
    };
    let from = *reached - skip;
    if let Some(length) = answer.length().filter(|length| from.checked_add(*length) != Some(blob.size)) {
        return Err(wrong_size(blob, from.saturating_add(length)));
    }
    while let Some(mut bytes) = answer.chunk().await? {
        let old = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
        bytes = bytes.split_off(old);
        skip -= old as u64;
        if bytes.is_empty() {
            continue;
        }
        *reached += bytes.len() as u64;
        if *reached > blob.size {
            return Err(wrong_size(blob, *reached));
        }
        if !sink.write(bytes).await {
            return Err(stopped());
        }
    }
    if *reached < blob.size { Err(Fault::Cut(format!("it sent {reached} of {} bytes", blob.size))) } else { Ok(()) }
}

fn wrong_size(blob: &Descriptor, found: u64) -> Fault {
    Fault::Digest { expected: format!("{} of {} bytes", blob.digest, blob.size), found: format!("{found} bytes or more") }
}

/// Checks that a partial answer goes on where the last one broke off; gives the number of bytes to skip, which is none.
fn check_range(answer: &Answer, reached: u64, blob: &Descriptor) -> Result<u64, Fault> {
    let text = answer.header(CONTENT_RANGE).unwrap_or_default();
    let range = text.strip_prefix("bytes ").and_then(|rest| rest.split_once('/'));
    let first = range.and_then(|(range, _)| range.split_once('-')).and_then(|(first, _)| first.trim().parse::<u64>().ok());
    if first != Some(reached) {
        return Err(Fault::Protocol(format!("asked for bytes from {reached}, it sent others")));
    }
    match range.and_then(|(_, total)| total.trim().parse::<u64>().ok()) {
        Some(total) if total != blob.size => Err(wrong_size(blob, total)),
        _ => Ok(0),
    }
}

/// Reads a whole blob of the store.
pub(super) async fn read(blobs: &Arc<dyn Blobs>, blob: &Descriptor, limit: u64) -> Result<Vec<u8>, Fault> {
    use std::io::Read as _;
    if blob.size > limit {
        return Err(Fault::TooLarge(ByteSize(limit)));
    }
    let (blobs, digest, size) = (Arc::clone(blobs), blob.digest, blob.size);
    let task = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        blobs.open(digest)?.take(size.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    });
    let bytes = task.await.map_err(|error| Fault::Store(error.to_string()))?.map_err(|error| Fault::store(&error))?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(wrong_size(blob, bytes.len() as u64)) }
}
