//! Time stamps: an authority says that it saw a signature at some second.
//! In: the answer of such an authority, as it came with a signature. Out: the second, when an authority that was named says so.
//! Source: RFC 3161; RFC 5652, sections 5.3 to 5.6.

use ring::digest::{self, digest};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{Decode as _, Reader as _, SliceReader};

use crate::base::time::Moment;

use super::certificate::Certificate;
use super::trust::Trust;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TIME_STAMP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// The largest time stamp that is read, in bytes, and the most parts of one thing in it.
const LIMIT: usize = 64 << 10;
const MOST: usize = 32;

/// Why a stamp proves no time, as clauses.
const UNREADABLE: &str = "has a time stamp with it that cannot be read";
const ANOTHER: &str = "has a time stamp of another signature";
const STRANGER: &str = "has a time stamp of an authority that was not named";
const HASH: &str = "has a time stamp by a hash that does not count; SHA-256, SHA-384 and SHA-512 do";
const UNSOUND: &str = "has a time stamp whose signature does not hold, or is of a kind that is not known; RSA (PKCS #1) and ECDSA P-256 with \
                       SHA-256, SHA-384 or SHA-512, ECDSA P-384 with SHA-256 or SHA-384, and Ed25519 are";

/// When a signature was seen, as a time stamp says that is of one of these texts.
///
/// # Errors
/// Why it proves no time, as a clause.
pub(super) fn time(stamp: &[u8], seen: &[&[u8]], trust: &Trust) -> Result<Moment, &'static str> {
    let read = read(stamp).ok_or(UNREADABLE)?;
    let imprint_by = hash(read.imprint_by).ok_or(HASH)?;
    if !seen.iter().any(|text| digest(imprint_by, text).as_ref() == read.imprint) {
        return Err(ANOTHER);
    }
    let content = digest(hash(read.content_by).ok_or(HASH)?, read.content);
    let moment = moment(read.time).filter(|_| content.as_ref() == read.content_digest).ok_or(UNREADABLE)?;
    let mut why = STRANGER;
    let came = read.certificates.iter().map(|der| (der.as_slice(), true));
    let known = trust.stampers(moment).map(|der| (der, read.certificates.is_empty()));
    for (der, is_its_own) in came.chain(known).filter(|(der, _)| trust.stamper_leads_to_root(der, &read.certificates, moment)) {
        match Certificate::read(der) {
            Ok(certificate) if !certificate.stamps_time => {}
            Ok(certificate) if certificate.key.verifies(&read.signed, read.signature) => return Ok(moment),
            // Another certificate that is known says nothing about this stamp.
            _ if is_its_own => why = UNSOUND,
            _ => {}
        }
    }
    Err(why)
}

/// What a time stamp holds.
struct Stamp<'a> {
    imprint_by: ObjectIdentifier,
    imprint: &'a [u8],
    /// What it says, and the digest that the signed attributes have of that.
    content: &'a [u8],
    content_by: ObjectIdentifier,
    content_digest: &'a [u8],
    /// As `GeneralizedTime` has it.
    time: &'a str,
    /// What the authority signed.
    signed: Vec<u8>,
    signature: &'a [u8],
    certificates: Vec<Vec<u8>>,
}

fn read(stamp: &[u8]) -> Option<Stamp<'_>> {
    let [status, token] = parts(value(Some(stamp).filter(|stamp| stamp.len() <= LIMIT)?)?)?[..] else { return None };
    // Granted, also with changes.
    if !matches!(value(parts(value(status)?)?.first()?)?, [0 | 1]) {
        return None;
    }
    let [kind, wrapped] = parts(value(token)?)?[..] else { return None };
    let data = parts(value(value(wrapped)?)?)?;
    let [_, _, content, more @ .., signers] = &data[..] else { return None };
    let [own, content] = parts(value(content)?)?[..] else { return None };
    if oid(kind)? != SIGNED_DATA || oid(own)? != TIME_STAMP {
        return None;
    }
    let content = value(value(content)?)?;
    let [signer] = parts(value(signers)?)?[..] else { return None };
    let [_, _, digest_by, attributes, _, signature, ..] = parts(value(signer)?)?[..] else { return None };
    // What is signed are the attributes, written as the set that they are.
    let (tag, rest) = attributes.split_first()?;
    if *tag != 0xa0 || ObjectIdentifier::from_bytes(attribute(attributes, CONTENT_TYPE)?).ok()? != TIME_STAMP {
        return None;
    }
    let certificates = more.iter().find(|part| part.first() == Some(&0xa0));
    let certificates = certificates.map_or(Some(Vec::new()), |all| parts(value(all)?))?;
    let [_, _, imprint, _, time, ..] = parts(value(content)?)?[..] else { return None };
    let [imprint_by, imprint] = parts(value(imprint)?)?[..] else { return None };
    Some(Stamp {
        imprint_by: algorithm(imprint_by)?,
        imprint: value(imprint)?,
        content,
        content_by: algorithm(digest_by)?,
        content_digest: attribute(attributes, MESSAGE_DIGEST)?,
        time: std::str::from_utf8(value(time)?).ok()?,
        signed: [&[0x31], rest].concat(),
        signature: value(signature)?,
        certificates: certificates.into_iter().map(<[u8]>::to_vec).collect(),
    })
}

/// The bytes of the one value of an attribute.
fn attribute(attributes: &[u8], wanted: ObjectIdentifier) -> Option<&[u8]> {
    let mut found = parts(value(attributes)?)?.into_iter().filter_map(|attribute| {
        let [name, values] = parts(value(attribute)?)?[..] else { return None };
        (oid(name)? == wanted).then_some(values)
    });
    let (first, second) = (found.next()?, found.next());
    let [only] = parts(value(first)?)?[..] else { return None };
    value(only).filter(|_| second.is_none())
}

/// Things that stand one after the other, each with its tag and length.
fn parts(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let mut all = Vec::new();
    while !reader.is_finished() {
        all.push(reader.tlv_bytes().ok().filter(|_| all.len() < MOST)?);
    }
    Some(all)
}

/// What is between tag, length and end.
fn value(part: &[u8]) -> Option<&[u8]> {
    AnyRef::from_der(part).ok().map(AnyRef::value)
}

fn oid(part: &[u8]) -> Option<ObjectIdentifier> {
    ObjectIdentifier::from_der(part).ok()
}

fn algorithm(part: &[u8]) -> Option<ObjectIdentifier> {
    oid(parts(value(part)?)?.first()?)
}

fn hash(by: ObjectIdentifier) -> Option<&'static digest::Algorithm> {
    match by {
        SHA256 => Some(&digest::SHA256),
        SHA384 => Some(&digest::SHA384),
        SHA512 => Some(&digest::SHA512),
        _ => None,
    }
}

/// `20260131235959.25Z`.
fn moment(text: &str) -> Option<Moment> {
    let (whole, rest) = text.split_at_checked(14)?;
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| &whole[range];
    Moment::parse(&format!("{}-{}-{}T{}:{}:{}{rest}", part(0..4), part(4..6), part(6..8), part(8..10), part(10..12), part(12..14)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl ts` over the text `sample`.
    const STAMP: &[u8] = include_bytes!("../../../fixtures/keyless/stamp.tsr");

    fn trust(roots: &str) -> Trust {
        let mut trust = Trust::default();
        trust.add_stampers(roots).unwrap();
        trust
    }

    #[test]
    fn a_stamp_says_when_one_text_was_seen_and_nothing_of_another() {
        let own = trust(include_str!("../../../fixtures/keyless/stamp_root.pem"));
        assert_eq!(time(STAMP, &[b"sample"], &own).unwrap().day().to_string(), "2026-11-22");
        assert_eq!(time(STAMP, &[b"Sample"], &own), Err("has a time stamp of another signature"));
        let other = trust(include_str!("../../../fixtures/keyless/other_root.pem"));
        assert_eq!(time(STAMP, &[b"sample"], &other), Err("has a time stamp of an authority that was not named"));
        assert_eq!(time(STAMP, &[b"sample"], &Trust::default()), Err("has a time stamp of an authority that was not named"));
        // Whoever issues certificates for code says nothing of the time.
        let mut code = Trust::default();
        code.add_roots(include_str!("../../../fixtures/keyless/stamp_root.pem")).unwrap();
        assert!(time(STAMP, &[b"sample"], &code).is_err());
    }

    /// Made by `openssl ts` over the same text, each by another key and hash below one root (ECDSA P-384).
    #[test]
    fn stamps_count_by_each_hash_of_sha2_and_the_kinds_of_keys_that_are_said() {
        let root = include_str!("../../../fixtures/keyless/stamps/root.pem");
        let own = trust(root);
        let held = |stamp: &[u8]| time(stamp, &[b"Sample", b"sample"], &own).map(drop);
        for (name, stamp) in [
            ("P-256, SHA-384", &include_bytes!("../../../fixtures/keyless/stamps/p256-sha384.tsr")[..]),
            ("P-256, SHA-512", include_bytes!("../../../fixtures/keyless/stamps/p256-sha512.tsr")),
            ("P-384, SHA-256", include_bytes!("../../../fixtures/keyless/stamps/p384-sha256.tsr")),
            ("P-384, SHA-384, of a SHA-512", include_bytes!("../../../fixtures/keyless/stamps/p384-sha384.tsr")),
            ("RSA, SHA-384, of a SHA-256", include_bytes!("../../../fixtures/keyless/stamps/rsa-sha384.tsr")),
            ("RSA, SHA-512", include_bytes!("../../../fixtures/keyless/stamps/rsa-sha512.tsr")),
        ] {
            assert_eq!(held(stamp), Ok(()), "{name}");
            // A byte of the signature, which is last.
            let mut changed = stamp.to_vec();
            *changed.last_mut().unwrap() ^= 1;
            assert_eq!(held(&changed), Err(UNSOUND), "{name}");
            assert_eq!(time(stamp, &[b"Sample"], &own), Err(ANOTHER), "{name}");
        }
        assert_eq!(held(include_bytes!("../../../fixtures/keyless/stamps/p384-sha512.tsr")), Err(UNSOUND));
        assert_eq!(held(include_bytes!("../../../fixtures/keyless/stamps/imprint-sha1.tsr")), Err(HASH));
        // Where one of the authority's certificates was named, the others of the same root stamp nothing.
        let one = trust(&[include_str!("../../../fixtures/keyless/stamps/p256.pem"), root].concat());
        let of_one = |stamp: &[u8]| time(stamp, &[b"sample"], &one).map(drop);
        assert_eq!(of_one(include_bytes!("../../../fixtures/keyless/stamps/p256-sha512.tsr")), Ok(()));
        assert_eq!(of_one(include_bytes!("../../../fixtures/keyless/stamps/p384-sha384.tsr")), Err(STRANGER));
    }

    #[test]
    fn no_cut_and_no_changed_byte_gives_another_time_or_makes_reading_fall_over() {
        let own = trust(include_str!("../../../fixtures/keyless/stamp_root.pem"));
        let right = time(STAMP, &[b"sample"], &own).unwrap();
        for at in 0..STAMP.len() {
            assert!(time(&STAMP[..at], &[b"sample"], &own).is_err(), "{at}");
            for bit in [0x01, 0x20, 0x80] {
                let mut changed = STAMP.to_vec();
                changed[at] ^= bit;
                // Some bytes say nothing: the status' own words, which certificate is meant, unsigned attributes.
                let held = time(&changed, &[b"sample"], &own);
                assert!(held.is_err() || held == Ok(right), "{at}: {held:?}");
            }
        }
        assert!(time(&[STAMP, &[0; LIMIT]].concat(), &[b"sample"], &own).is_err());
    }

    #[test]
    fn times_are_read_with_fractions_and_in_no_other_form() {
        assert_eq!(moment("20261122174500Z"), Moment::parse("2026-11-22T17:45:00Z"));
        assert_eq!(moment("20261122174500.25Z"), Moment::parse("2026-11-22T17:45:00.25Z"));
        for text in ["", "2026", "20261322174500Z", "20261122174500", "2026-11-2217450Z", "+0261122174500Z"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
