//! Records: the results of actions on disk.
//! In: a result whose blobs are in the store. Out: the same result, or none. Never: a part of a record, a record of another
//! action.
//!
//! Nothing waits for the disk. After a power cut a record or a blob may be missing, empty, cut or filled with zeros; each is checked
//! when it is read, so that costs a rebuild and nothing else.
//!
//! A record is a line with the format's version, the action key and the length of the rest; a line with a checksum over the key and
//! what follows; a line of JSON; and the small contents that it holds itself. Records may follow one another in one file ([`super::pack`]).

use std::fmt;

use crate::base::canon::{HashSink, Sink as _};
use crate::base::digest::{ActionKey, Algorithm, Blake3, ContentDigest, Digest, Sha256};
use crate::base::path::AbsPath;
use crate::sys::file::{self, FileError, at};
use crate::sys::stat::Stat;

use super::blob::StoreError;
use super::held::Held;
use super::local::Store;
use super::result::{ActionResult, OutputEntry};

const MARK: &str = "kiln result 3 ";
/// How records of every version begin.
const FAMILY: &str = "kiln result ";
/// The hexadecimal digits of a key, and of a checksum.
const SUM: usize = 64;
/// The most bytes between a key and the end of its line.
const LENGTH_DIGITS: usize = 22;
/// The largest record that is read, in bytes: some 400,000 outputs.
const LIMIT: u64 = 64 << 20;

/// The name of a blob, small enough to hold many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Blake3([u8; 32]),
    Sha256([u8; 32]),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blake3(bytes) => Digest::<Blake3>::from_bytes(*bytes).fmt(f),
            Self::Sha256(bytes) => Digest::<Sha256>::from_bytes(*bytes).fmt(f),
        }
    }
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The result.
    pub result: ActionResult,
    /// The contents that need no blob: of outputs, and what went into the key.
    pub held: Held,
}

/// What stands in the place of a record.
pub(super) enum Standing {
    /// A record.
    Sound(Box<Recorded>),
    /// A record of another version of kiln, which is none for this one.
    Other,
    /// Something that nobody wrote so.
    Damaged,
}

impl Store {
    /// The recorded result of an action, when there is one. Whether its blobs are there is for [`Store::holds`] to say.
    /// A result that was found stays, with its blobs, for as long as this process has a lease.
    ///
    /// # Errors
    /// [`StoreError::File`] when the disk fails; a damaged record is no record and is set aside.
    pub fn result(&self, key: ActionKey) -> Result<Option<ActionResult>, StoreError> {
        Ok(self.recorded(key)?.map(|recorded| recorded.result))
    }

    /// As [`Store::result`], with the contents that the record holds itself.
    ///
    /// # Errors
    /// As [`Store::result`].
    pub fn recorded(&self, key: ActionKey) -> Result<Option<Recorded>, StoreError> {
        let place = self.layout().record(key);
        let Some(before) = file::optional(file::status(&place))? else { return Ok(None) };
        match file::optional(standing(&place, key))? {
            Some(Standing::Sound(recorded)) if self.hold(&place, &before) => Ok(Some(*recorded)),
            Some(Standing::Damaged) => {
                self.layout().set_aside(&place, &Stat::of(&before));
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// What a run kept under `digest` when it carried out the action with this key: a blob, or a part of the record.
    #[must_use]
    pub fn kept(&self, key: Option<ActionKey>, digest: ContentDigest, limit: u64) -> Option<Vec<u8>> {
        let held = || Some(self.recorded(key?).ok()??.held.get(digest)?.to_vec());
        self.read(digest.0, limit).ok().or_else(held)
    }

    /// Records the result of an action, in place of an earlier one.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when a blob that it names is not in the store; [`StoreError::File`].
    pub fn record(&self, key: ActionKey, result: &ActionResult) -> Result<(), StoreError> {
        self.record_with(key, result, &Held::default())
    }

    /// As [`Store::record`], with contents that need no blob then.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub fn record_with(&self, key: ActionKey, result: &ActionResult, held: &Held) -> Result<(), StoreError> {
        let place = self.layout().record(key);
        let bytes = at("write", &place, encode(key, result, held).map_err(std::io::Error::other))?;
        if let Some((missing, _)) = blobs_of(result, held).find(|(name, size)| !self.has(*name, *size)) {
            return Err(StoreError::Missing(missing.to_string()));
        }
        Ok(self.packs.add(self.layout(), &place, &bytes)?)
    }

    /// Takes the record of an action away; says whether there was one.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn forget(&self, key: ActionKey) -> Result<bool, StoreError> {
        Ok(file::optional(file::remove(self.layout().record(key)))?.is_some())
    }

    /// Whether every blob that a result names and `held` does not hold is there with its size. Looks, but does not read.
    #[must_use]
    pub fn holds(&self, result: &ActionResult, held: &Held) -> bool {
        blobs_of(result, held).all(|(name, size)| self.has(name, size))
    }

    fn has(&self, name: Name, size: Option<u64>) -> bool {
        match name {
            Name::Blake3(bytes) => self.has_blob(Digest::<Blake3>::from_bytes(bytes), size),
            Name::Sha256(bytes) => self.has_blob(Digest::<Sha256>::from_bytes(bytes), size),
        }
    }

    fn has_blob<A: Algorithm>(&self, digest: Digest<A>, size: Option<u64>) -> bool {
        // After a power cut a file may be empty; only the blob without bytes may be.
        let size = size.or_else(|| (digest == Digest::of(b"")).then_some(0));
        let fits = |found: u64| size.map_or(found > 0, |size| found == size);
        file::status(self.blob_path(digest)).is_ok_and(|status| status.is_file() && fits(status.len()))
    }
}

/// The blobs that a result names and `held` does not hold, with their sizes as far as the result tells them.
pub(super) fn blobs_of<'r>(result: &'r ActionResult, held: &'r Held) -> impl Iterator<Item = (Name, Option<u64>)> {
    let content = |digest: &ContentDigest, size| (Name::Blake3(*digest.0.as_bytes()), size);
    let outputs = result.outputs.iter().filter_map(move |output| match &output.entry {
        OutputEntry::File { digest, size, .. } if !held.has(*digest, Some(*size)) => Some(content(digest, Some(*size))),
        OutputEntry::File { .. } | OutputEntry::Link { .. } | OutputEntry::Folder => None,
    });
    let documents = result.documents.iter().map(|(_, digest)| digest).chain(&result.log).map(move |digest| content(digest, None));
    let images = result.image.iter().flat_map(|image| &image.blobs).map(|digest| (Name::Sha256(*digest.0.as_bytes()), None));
    outputs.chain(documents).chain(images)
}

fn encode(key: ActionKey, result: &ActionResult, held: &Held) -> Result<Vec<u8>, serde_json::Error> {
    // JSON as it is written here has no line feed.
    let mut body = serde_json::to_vec(result)?;
    body.push(b'\n');
    held.encode(&mut body);
    let head = format!("{MARK}{} {}\n{}\n", key.0.hex(), SUM + 1 + body.len(), sum(key, &body));
    Ok([head.as_bytes(), &body].concat())
}

/// The record of `key` among those that follow one another in `bytes`.
fn decode(key: ActionKey, mut bytes: &[u8]) -> Option<Recorded> {
    let wanted = key.0.hex();
    let record = loop {
        let (named, rest) = bytes.strip_prefix(MARK.as_bytes())?.split_at_checked(SUM)?;
        let end = rest.iter().take(LENGTH_DIGITS).position(|byte| *byte == b'\n')?;
        let length = std::str::from_utf8(&rest[..end]).ok()?.strip_prefix(' ')?.parse().ok()?;
        let (record, next) = rest[end + 1..].split_at_checked(length)?;
        if named == wanted.as_bytes() {
            break record;
        }
        bytes = next;
    };
    let (checksum, rest) = record.split_at_checked(SUM)?;
    let body = rest.strip_prefix(b"\n")?;
    if sum(key, body).as_bytes() != checksum {
        return None;
    }
    let end = body.iter().position(|byte| *byte == b'\n')?;
    Some(Recorded { result: serde_json::from_slice(&body[..end]).ok()?, held: Held::decode(&body[end + 1..])? })
}

/// Whether these are the first bytes of a record of another version.
fn is_other(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(FAMILY.as_bytes()).unwrap_or_default();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (1..=9).contains(&digits) && matches!(rest.get(digits), Some(b'\n' | b' ')) && !bytes.starts_with(MARK.as_bytes())
}

fn sum(key: ActionKey, body: &[u8]) -> String {
    let mut sink = HashSink::new(MARK);
    sink.field("key", key.0.as_bytes());
    sink.field("body", body);
    sink.finish().hex()
}

/// What stands at `place`, where the record of `key` belongs.
pub(super) fn standing(place: &AbsPath, key: ActionKey) -> Result<Standing, FileError> {
    let bytes = file::read(place, LIMIT)?;
    Ok(match decode(key, &bytes) {
        Some(recorded) => Standing::Sound(Box::new(recorded)),
        None if is_other(&bytes) => Standing::Other,
        None => Standing::Damaged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_version_is_told_from_a_damaged_one() {
        for (bytes, other) in [
            ("kiln result 1\nabc", true),
            ("kiln result 2\n", true),
            ("kiln result 4 abc", true),
            ("kiln result 3 abc", false),
            ("kiln result 1", false),
            ("kiln result 1234567890\n", false),
            ("kiln result \n", false),
            ("kiln result 1x\n", false),
            ("kiln resul", false),
            ("", false),
        ] {
            assert_eq!(is_other(bytes.as_bytes()), other, "{bytes:?}");
        }
    }
}
