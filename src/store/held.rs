//! Contents that a record holds itself: small ones, each of which would cost a file of its own, and more time than its bytes are worth.
//! In: contents, as a step made them. Out: the same contents by their digests. Never: a large one, more than [`ROOM`] in one record,
//! bytes that are not those of the digest that they are asked for by.

use std::collections::HashMap;
use std::ops::Range;

use crate::base::digest::{ContentDigest, Digest};

/// The largest content that is held, in bytes: what a file takes on most disks, however small it is.
pub const LARGEST: u64 = 4 << 10;
/// The most that one record holds, in bytes.
pub const ROOM: u64 = 1 << 20;

/// The contents of one record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    bytes: Vec<u8>,
    places: HashMap<ContentDigest, Range<usize>>,
    /// The digests in the order in which the contents came.
    order: Vec<ContentDigest>,
}

impl Held {
    /// The bytes that there is still room for.
    #[must_use]
    pub fn room(&self) -> u64 {
        ROOM.saturating_sub(self.bytes.len() as u64)
    }

    /// Takes a content in, whose digest is `digest`. One that is there already is held once.
    pub fn take(&mut self, digest: ContentDigest, content: &[u8]) {
        if self.places.contains_key(&digest) {
            return;
        }
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(content);
        self.places.insert(digest, begin..self.bytes.len());
        self.order.push(digest);
    }

    /// The content with this digest, when it is held. It is hashed before it is given.
    #[must_use]
    pub fn get(&self, digest: ContentDigest) -> Option<&[u8]> {
        let content = self.bytes.get(self.places.get(&digest)?.clone())?;
        (ContentDigest(Digest::of(content)) == digest).then_some(content)
    }

    /// Whether a content with this digest is held, and as many bytes long as is said.
    #[must_use]
    pub fn has(&self, digest: ContentDigest, size: Option<u64>) -> bool {
        self.places.get(&digest).is_some_and(|place| size.is_none_or(|size| place.len() as u64 == size))
    }

    /// Appends each content behind its digest (32 bytes) and its length (4 bytes, the lowest first).
    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        to.reserve(self.bytes.len() + self.order.len() * 36);
        for digest in &self.order {
            let Some(content) = self.places.get(digest).and_then(|place| self.bytes.get(place.clone())) else { continue };
            let Ok(length) = u32::try_from(content.len()) else { continue };
            to.extend_from_slice(digest.0.as_bytes());
            to.extend_from_slice(&length.to_le_bytes());
            to.extend_from_slice(content);
        }
    }

    /// Reads what [`Held::encode`] wrote; `None` for anything else.
    pub(super) fn decode(mut from: &[u8]) -> Option<Self> {
        let mut held = Self::default();
        while let Some((digest, rest)) = from.split_first_chunk::<32>() {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (content, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            held.take(ContentDigest(Digest::from_bytes(*digest)), content);
            from = rest;
        }
        from.is_empty().then_some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(contents: &[&[u8]]) -> Held {
        let mut held = Held::default();
        for content in contents {
            held.take(ContentDigest(Digest::of(content)), content);
        }
        held
    }

    #[test]
    fn what_is_held_is_given_back_and_equal_contents_are_held_once() {
        let contents: [&[u8]; 4] = [b"one", b"", b"two", b"one"];
        let held = held(&contents);
        let mut bytes = Vec::new();
        held.encode(&mut bytes);
        assert_eq!(bytes.len(), 3 * 36 + 6);
        let again = Held::decode(&bytes).unwrap();
        assert_eq!(again, held);
        for content in contents {
            let digest = ContentDigest(Digest::of(content));
            assert_eq!(again.get(digest), Some(content));
            assert!(again.has(digest, Some(content.len() as u64)) && !again.has(digest, Some(9)));
        }
        assert_eq!(again.get(ContentDigest(Digest::of(b"three"))), None);
    }

    #[test]
    fn a_content_that_is_not_that_of_its_digest_is_not_given() {
        let mut held = Held::default();
        let digest = ContentDigest(Digest::of(b"right"));
        held.take(digest, b"wrong");
        assert_eq!(held.get(digest), None);
    }

    #[test]
    fn a_list_that_ends_early_is_none() {
        let mut bytes = Vec::new();
        held(&[b"one", b"four"]).encode(&mut bytes);
        let whole: Vec<usize> = (0..=bytes.len()).filter(|end| Held::decode(&bytes[..*end]).is_some()).collect();
        assert_eq!(whole, [0, 39, bytes.len()]);
    }

    #[test]
    fn the_room_is_what_the_contents_leave() {
        assert_eq!(Held::default().room(), ROOM);
        assert_eq!(held(&[b"four", b"four", b"fiver"]).room(), ROOM - 9);
    }
}
