//! Blobs of the store as request bodies: read on a thread that may wait, checked on the way, counted.
//! In: a blob and a range. Out: a body of exactly that many bytes.
//! Never: the last byte of a blob before its digest was checked, more than a few chunks in memory.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::base::digest::BlobDigest;

use super::Blobs;
use super::error::Fault;

/// The bytes that are read at once.
const CHUNK: usize = 256 << 10;
/// The chunks that wait between disk and network.
const QUEUE: usize = 4;

/// An open blob, and the number of its bytes that were read.
type Opened = (Box<dyn Read + Send>, u64);

/// A blob that is being uploaded, over all attempts.
pub(super) struct Source {
    blobs: Arc<dyn Blobs>,
    digest: BlobDigest,
    size: u64,
    /// Bytes handed to the network so far, those of failed attempts included.
    moved: AtomicU64,
    /// Kept open from one piece to the next, so that a chunked upload reads the blob once.
    reader: Mutex<Option<Opened>>,
    fault: Mutex<Option<Fault>>,
}

impl Source {
    pub(super) fn new(blobs: Arc<dyn Blobs>, digest: BlobDigest, size: u64) -> Arc<Self> {
        Arc::new(Self { blobs, digest, size, moved: AtomicU64::new(0), reader: Mutex::default(), fault: Mutex::default() })
    }

    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// The bytes from `from` to `to`.
    pub(super) fn piece(self: &Arc<Self>, from: u64, to: u64) -> Piece {
        Piece { source: Arc::clone(self), from, to }
    }

    fn open_at(&self, from: u64) -> std::io::Result<Opened> {
        let kept = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((reader, at)) = kept.filter(|(_, at)| *at <= from) {
            return skip(reader, at, from);
        }
        skip(self.blobs.open(self.digest)?, 0, from)
    }

    /// Reads a range and hands it over; gives up when nobody takes it any more.
    fn feed(&self, from: u64, to: u64, queue: &mpsc::Sender<std::io::Result<Bytes>>) -> std::io::Result<()> {
        let (mut reader, mut at) = self.open_at(from)?;
        while at < to {
            let mut chunk = vec![0; usize::try_from(to - at).map_or(CHUNK, |left| left.min(CHUNK))];
            reader.read_exact(&mut chunk)?;
            at += chunk.len() as u64;
            if at == self.size && reader.read(&mut [0])? != 0 {
                return Err(std::io::Error::other(format!("blob {} is larger than {} bytes", self.digest, self.size)));
            }
            if queue.blocking_send(Ok(chunk.into())).is_err() {
                return Ok(());
            }
        }
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some((reader, at));
        Ok(())
    }
}

fn skip(mut reader: Box<dyn Read + Send>, at: u64, to: u64) -> std::io::Result<Opened> {
    let skipped = std::io::copy(&mut reader.by_ref().take(to - at), &mut std::io::sink())?;
    if skipped == to - at { Ok((reader, to)) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

/// A range of a blob as a request body.
pub(super) struct Piece {
    source: Arc<Source>,
    from: u64,
    to: u64,
}

impl Piece {
    /// The number of bytes.
    pub(super) fn len(&self) -> u64 {
        self.to - self.from
    }

    /// Counts the bytes that the network took, over all attempts.
    pub(super) fn moved(&self) -> &AtomicU64 {
        &self.source.moved
    }

    /// What went wrong on this side of the wire.
    pub(super) fn take_fault(&self) -> Option<Fault> {
        self.source.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The body, from the start of the range.
    pub(super) fn body(&self) -> reqwest::Body {
        let (queue, taken) = mpsc::channel(QUEUE);
        let (source, from, to) = (Arc::clone(&self.source), self.from, self.to);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = source.feed(from, to, &queue) {
                *source.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(Fault::store(&error));
                // The receiver may be gone: then the request has failed already.
                let _ = queue.blocking_send(Err(error));
            }
        });
        let source = Arc::clone(&self.source);
        reqwest::Body::wrap_stream(futures_util::stream::unfold((taken, source), |(mut taken, source)| async move {
            let chunk: std::io::Result<Bytes> = taken.recv().await?;
            if let Ok(bytes) = &chunk {
                source.moved.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            Some((chunk, (taken, source)))
        }))
    }
}
