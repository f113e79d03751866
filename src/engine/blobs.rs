//! The local store as the registry client sees it.

use std::io::{self, Read, Write};

use crate::base::digest::{BlobDigest, Sha256};
use crate::registry::{BlobSink, Blobs};
use crate::store::blob::{BlobWriter, StoreError};
use crate::store::local::Store;

/// Blobs that travel come from the store and go there.
#[derive(Debug, Clone)]
pub struct StoreBlobs(pub Store);

fn io_error(error: StoreError) -> io::Error {
    match error {
        StoreError::File(error) => error.cause,
        StoreError::Missing(_) => io::Error::new(io::ErrorKind::NotFound, error),
        StoreError::Mismatch { .. } => io::Error::new(io::ErrorKind::InvalidData, error),
        error => io::Error::other(error),
    }
}

impl Blobs for StoreBlobs {
    fn size_of(&self, digest: BlobDigest) -> Option<u64> {
        self.0.size_of(digest.0)
    }
    fn open(&self, digest: BlobDigest) -> io::Result<Box<dyn Read + Send>> {
        self.0.open_blob(digest.0).map(|reader| Box::new(reader) as Box<dyn Read + Send>).map_err(io_error)
    }
    fn create(&self) -> io::Result<Box<dyn BlobSink>> {
        // What comes over a line may stand half-written for minutes: others see that somebody writes.
        self.0.keep_what_is_found();
        self.0.writer::<Sha256>().map(|writer| Box::new(Incoming(writer)) as Box<dyn BlobSink>).map_err(io_error)
    }
}

struct Incoming(BlobWriter<Sha256>);

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl BlobSink for Incoming {
    fn commit(self: Box<Self>, expected: BlobDigest) -> io::Result<()> {
        self.0.commit_as(expected.0).map(drop).map_err(io_error)
    }
}
