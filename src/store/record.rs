//! Records: the results of actions on disk.
//! In: a result whose blobs are in the store. Out: the same result, or none. Never: a part of a record, a record of another
//! action.
//!
//! Nothing waits for the disk. After a power cut a record or a blob may be missing, empty, cut or filled with zeros; each is checked
//! when it is read, so that costs a rebuild and nothing else.
//!
//! A record is a line with the format's version, a line with a checksum over the action key and the rest, and the rest as
//! JSON.

use std::io::Write as _;

use crate::base::canon::{HashSink, Sink as _};
use crate::base::digest::{ActionKey, Algorithm, Digest};
use crate::base::path::AbsPath;
use crate::sys::file::{self, FileError, at};
use crate::sys::stat::Stat;

use super::blob::StoreError;
use super::local::Store;
use super::result::{ActionResult, OutputEntry};

const MARK: &str = "kiln result 1\n";
/// The largest record that is read, in bytes: some 400,000 outputs.
const LIMIT: u64 = 64 << 20;

/// A blob that a result names.
struct Named {
    place: AbsPath,
    digest: String,
    size: Option<u64>,
}

impl Store {
    /// The recorded result of an action, when there is one. Whether its blobs are there is for [`Store::holds`] to say.
    /// A result that was found stays, with its blobs, for as long as this process has a lease.
    ///
    /// # Errors
    /// [`StoreError::File`] when the disk fails; a damaged record is no record and is set aside.
    pub fn result(&self, key: ActionKey) -> Result<Option<ActionResult>, StoreError> {
        let place = self.layout().record(key);
        let Some(before) = file::optional(file::status(&place))? else { return Ok(None) };
        let Some(result) = file::optional(sound(&place, key))? else { return Ok(None) };
        if result.is_none() {
            self.layout().set_aside(&place, &Stat::of(&before));
        }
        Ok(result.filter(|_| self.hold(&place, &before)))
    }

    /// Records the result of an action, in place of an earlier one.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when a blob that it names is not in the store; [`StoreError::File`].
    pub fn record(&self, key: ActionKey, result: &ActionResult) -> Result<(), StoreError> {
        let place = self.layout().record(key);
        let bytes = at("write", &place, encode(key, result).map_err(std::io::Error::other))?;
        if let Some(missing) = self.blobs_of(result).iter().find(|blob| !is_there(blob)) {
            return Err(StoreError::Missing(missing.digest.clone()));
        }
        let mut temporary = self.layout().temporary()?;
        at("write", &place, temporary.as_file_mut().write_all(&bytes))?;
        Ok(self.layout().settle(temporary, &place)?)
    }

    /// Takes the record of an action away; says whether there was one.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn forget(&self, key: ActionKey) -> Result<bool, StoreError> {
        Ok(file::optional(file::remove(self.layout().record(key)))?.is_some())
    }

    /// Whether every blob that a result names is there with its size. Looks, but does not read.
    #[must_use]
    pub fn holds(&self, result: &ActionResult) -> bool {
        self.blobs_of(result).iter().all(is_there)
    }

    fn blobs_of(&self, result: &ActionResult) -> Vec<Named> {
        let outputs = result.outputs.iter().filter_map(|output| match &output.entry {
            OutputEntry::File { digest, size, .. } => Some(self.named(digest.0, Some(*size))),
            OutputEntry::Link { .. } | OutputEntry::Folder => None,
        });
        let documents = result.documents.iter().map(|(_, digest)| digest).chain(&result.log).map(|digest| self.named(digest.0, None));
        let images = result.image.iter().flat_map(|image| &image.blobs).map(|digest| self.named(digest.0, None));
        outputs.chain(documents).chain(images).collect()
    }

    fn named<A: Algorithm>(&self, digest: Digest<A>, size: Option<u64>) -> Named {
        // After a power cut a file may be empty; only the blob without bytes may be.
        let size = size.or_else(|| (digest == Digest::of(b"")).then_some(0));
        Named { place: self.blob_path(digest), digest: digest.to_string(), size }
    }
}

fn is_there(blob: &Named) -> bool {
    file::status(&blob.place).is_ok_and(|status| {
        status.is_file()
            && match blob.size {
                Some(size) => status.len() == size,
                None => status.len() > 0,
            }
    })
}

fn encode(key: ActionKey, result: &ActionResult) -> Result<Vec<u8>, serde_json::Error> {
    let body = serde_json::to_vec(result)?;
    let mut bytes = Vec::with_capacity(body.len() + 128);
    bytes.extend_from_slice(MARK.as_bytes());
    bytes.extend_from_slice(sum(key, &body).as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

fn decode(key: ActionKey, bytes: &[u8]) -> Option<ActionResult> {
    let (checksum, rest) = bytes.strip_prefix(MARK.as_bytes())?.split_at_checked(64)?;
    let body = rest.strip_prefix(b"\n")?;
    if sum(key, body).as_bytes() != checksum {
        return None;
    }
    serde_json::from_slice(body).ok()
}

fn sum(key: ActionKey, body: &[u8]) -> String {
    let mut sink = HashSink::new(MARK);
    sink.field("key", key.0.as_bytes());
    sink.field("body", body);
    sink.finish().hex()
}

/// The record of `key` at `place`; `None` when it is damaged.
pub(super) fn sound(place: &AbsPath, key: ActionKey) -> Result<Option<ActionResult>, FileError> {
    Ok(decode(key, &file::read(place, LIMIT)?))
}
