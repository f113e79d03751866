//! Whether a piece of evidence holds: for this image, by this key, of this type.

use serde_json::Value;

use crate::base::digest::BlobDigest;

use super::beside::ClaimKind;
use super::dsse::Envelope;
use super::public::PublicKey;
use super::simple;
use super::statement::{Statement, predicate};

/// Something that could vouch for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// A signature in the old form.
    Simple {
        /// What is signed.
        payload: Vec<u8>,
        /// The signature.
        signature: Vec<u8>,
    },
    /// A signed statement.
    Envelope(Envelope),
    /// It could not be read; in a few words.
    Unsound(String),
}

impl Evidence {
    /// Holds a signature of the image against a key.
    ///
    /// # Errors
    /// Why it does not count, as a clause.
    pub fn signs(&self, image: BlobDigest, key: &PublicKey) -> Result<(), String> {
        match self {
            Self::Simple { payload, signature } => {
                if !key.verifies(payload, signature) {
                    return Err("is not of this key".to_owned());
                }
                match simple::about(payload) {
                    Some(about) if about == image => Ok(()),
                    Some(about) => Err(format!("is of this key, but about {about}")),
                    None => Err("is of this key, but over something that is no image".to_owned()),
                }
            }
            Self::Envelope(envelope) => claim(envelope, image, key, predicate::SIGN).map(drop),
            Self::Unsound(why) => Err(why.clone()),
        }
    }

    /// Holds a claim about the image against a key; gives what is claimed.
    ///
    /// # Errors
    /// Why it does not count, as a clause.
    pub fn claims(&self, image: BlobDigest, key: &PublicKey, kind: ClaimKind) -> Result<Value, String> {
        match self {
            Self::Envelope(envelope) => claim(envelope, image, key, kind.predicate()),
            Self::Simple { .. } => Err("claims nothing".to_owned()),
            Self::Unsound(why) => Err(why.clone()),
        }
    }

    /// Whether it is about something else than what is looked for, so that it is no wonder that it does not count.
    #[must_use]
    pub fn is_other(&self, predicate_type: &str) -> bool {
        let Self::Envelope(envelope) = self else { return false };
        let stated = envelope.unverified().and_then(|payload| Statement::read(&payload).ok());
        stated.is_some_and(|statement| !statement.is_of(predicate_type))
    }
}

fn claim(envelope: &Envelope, image: BlobDigest, key: &PublicKey, predicate_type: &str) -> Result<Value, String> {
    let payload = envelope.open(key).map_err(|error| format!("does not count: {error}"))?;
    let statement = Statement::read(&payload).map_err(|error| format!("is of this key, but {error}"))?;
    statement.claims(predicate_type, image).map_err(|error| format!("is of this key, but {error}"))?;
    Ok(statement.predicate)
}

#[cfg(test)]
mod tests {
    use super::super::key::SigningKey;
    use super::super::statement;
    use super::*;

    fn digest(byte: &str) -> BlobDigest {
        format!("sha256:{}", byte.repeat(32)).parse().unwrap()
    }

    #[test]
    fn a_signature_counts_for_its_own_image_and_key_only() {
        let key = SigningKey::read(include_str!("../../fixtures/keys/rfc6979.pem"), None).unwrap();
        let other = SigningKey::read(include_str!("../../fixtures/keys/rfc8032.pem"), None).unwrap();
        let payload = simple::payload("acme/web", digest("ab"));
        let old = Evidence::Simple { signature: key.sign(&payload), payload };
        let statement = statement::write("acme/web", digest("ab"), predicate::SIGN, b"{}").unwrap();
        let new = Evidence::Envelope(Envelope::sign(&statement, &key));
        for evidence in [&old, &new] {
            assert_eq!(evidence.signs(digest("ab"), key.public()), Ok(()));
            assert!(evidence.signs(digest("cd"), key.public()).unwrap_err().contains("about"));
            assert!(evidence.signs(digest("ab"), other.public()).unwrap_err().contains("of this key"));
        }
        let text = Evidence::Simple { payload: b"{}".to_vec(), signature: key.sign(b"{}") };
        assert!(text.signs(digest("ab"), key.public()).unwrap_err().contains("no image"));
    }

    #[test]
    fn a_claim_is_no_signature_and_a_signature_no_claim() {
        let key = SigningKey::read(include_str!("../../fixtures/keys/rfc6979.pem"), None).unwrap();
        let sealed = |predicate_type: &str| {
            let statement = statement::write("acme/web", digest("ab"), predicate_type, br#"{"a":1}"#).unwrap();
            Evidence::Envelope(Envelope::sign(&statement, &key))
        };
        let (signature, bill) = (sealed(predicate::SIGN), sealed(predicate::SPDX));
        assert!(bill.signs(digest("ab"), key.public()).unwrap_err().contains(predicate::SPDX));
        assert!(signature.claims(digest("ab"), key.public(), ClaimKind::Spdx).unwrap_err().contains(predicate::SIGN));
        assert_eq!(bill.claims(digest("ab"), key.public(), ClaimKind::Spdx).unwrap(), serde_json::json!({"a": 1}));
        assert!(bill.claims(digest("ab"), key.public(), ClaimKind::Provenance).is_err());
        assert!(bill.is_other(predicate::SIGN) && !bill.is_other(predicate::SPDX));
        let odd = Evidence::Envelope(Envelope::sign(b"[]", &key));
        assert!(odd.claims(digest("ab"), key.public(), ClaimKind::Spdx).unwrap_err().contains("no in-toto statement"));
    }
}
