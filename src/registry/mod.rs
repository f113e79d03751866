//! Distribution client: pull, push, tags. Source: OCI distribution-spec 1.1.
//! In: references, credentials, blobs of a store. Out: blobs in the store or in a registry, verified by digest.
//! Never: sends a credential to another host, moves a tag before every blob stands, holds a layer in memory.

pub mod auth;
pub mod client;
pub mod copy;
mod delete;
mod download;
pub mod error;
mod fetch;
pub mod inventory;
mod listing;
pub mod login;
pub mod pace;
mod pages;
mod piece;
mod pull;
pub mod push;
pub mod referrers;
pub mod retention;
pub mod retry;
mod select;
pub mod session;
pub mod survey;
pub mod tags;
mod transport;
pub mod trust;
mod upload;

use std::io::{self, Read, Write};

use crate::base::digest::BlobDigest;

/// Where blobs are kept while they do not travel. The engine hands the local store in; tests hand in what they like.
///
/// Calls may block: this module makes them on threads that may wait.
pub trait Blobs: Send + Sync {
    /// The size in bytes of a blob that is there.
    fn size_of(&self, digest: BlobDigest) -> Option<u64>;

    /// Opens a blob. The end of the stream is an error when the bytes are not those of `digest`.
    ///
    /// # Errors
    /// `NotFound` when it is not there; what the disk says.
    fn open(&self, digest: BlobDigest) -> io::Result<Box<dyn Read + Send>>;

    /// Starts a new blob; nothing is visible before [`BlobSink::commit`], and dropping it leaves nothing behind.
    ///
    /// # Errors
    /// What the disk says.
    fn create(&self) -> io::Result<Box<dyn BlobSink>>;
}

/// A blob on its way in.
pub trait BlobSink: Write + Send {
    /// Makes the blob visible under `expected`.
    ///
    /// # Errors
    /// `InvalidData` when the bytes are others, and nothing is kept; what the disk says.
    fn commit(self: Box<Self>, expected: BlobDigest) -> io::Result<()>;
}
