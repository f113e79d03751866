//! Whether a piece of evidence holds: for this image, by this key, of this type.

use serde_json::Value;

use crate::base::digest::BlobDigest;

use super::beside::ClaimKind;
use super::dsse::Envelope;
use super::keyless::material::Material;
use super::signer::{Signature, Signer, Vouched};
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
        /// What came with it.
        material: Material,
    },
    /// A signed statement, and what came with it.
    Envelope(Envelope, Material),
    /// It could not be read; in a few words.
    Unsound(String),
}

impl Evidence {
    /// Holds a signature of the image against a signer.
    ///
    /// # Errors
    /// Why it does not count, as a clause.
    pub fn signs(&self, image: BlobDigest, signer: &Signer) -> Result<Vouched, String> {
        match self {
            Self::Simple { payload, signature, material } => {
                let vouched = signer.made(&Signature { message: payload, payload, signature, material })?;
                let who = signer.word();
                match simple::about(payload) {
                    Some(about) if about == image => Ok(vouched),
                    Some(about) => Err(format!("is of this {who}, but about {about}")),
                    None => Err(format!("is of this {who}, but over something that is no image")),
                }
            }
            Self::Envelope(envelope, material) => claim(envelope, material, image, signer, predicate::SIGN).map(|(vouched, _)| vouched),
            Self::Unsound(why) => Err(why.clone()),
        }
    }

    /// Holds a claim about the image against a signer; gives what is claimed.
    ///
    /// # Errors
    /// Why it does not count, as a clause.
    pub fn claims(&self, image: BlobDigest, signer: &Signer, kind: ClaimKind) -> Result<(Vouched, Value), String> {
        match self {
            Self::Envelope(envelope, material) => claim(envelope, material, image, signer, kind.predicate()),
            Self::Simple { .. } => Err("claims nothing".to_owned()),
            Self::Unsound(why) => Err(why.clone()),
        }
    }

    /// Whether it is about something else than what is looked for, so that it is no wonder that it does not count.
    #[must_use]
    pub fn is_other(&self, predicate_type: &str) -> bool {
        let Self::Envelope(envelope, _) = self else { return false };
        let stated = envelope.opened().ok().and_then(|opened| Statement::read(&opened.payload).ok());
        stated.is_some_and(|statement| !statement.is_of(predicate_type))
    }
}

fn claim(
    envelope: &Envelope,
    material: &Material,
    image: BlobDigest,
    signer: &Signer,
    predicate_type: &str,
) -> Result<(Vouched, Value), String> {
    let opened = envelope.opened().map_err(|error| format!("does not count: {error}"))?;
    let mut held = Err("has no signature".to_owned());
    for signature in &opened.signatures {
        held = signer.made(&Signature { message: &opened.message, payload: &opened.payload, signature, material });
        if held.is_ok() {
            break;
        }
    }
    let vouched = held?;
    let but = |error: &dyn std::fmt::Display| format!("is of this {}, but {error}", signer.word());
    envelope.is_statement().map_err(|error| but(&error))?;
    let statement = Statement::read(&opened.payload).map_err(|error| but(&error))?;
    statement.claims(predicate_type, image).map_err(|error| but(&error))?;
    Ok((vouched, statement.predicate))
}

#[cfg(test)]
mod tests {
    use super::super::bundle;
    use super::super::key::SigningKey;
    use super::super::keyless::identity::{Expected, Identity};
    use super::super::keyless::trust::Trust;
    use super::super::statement;
    use super::*;
    use crate::base::time::Moment;

    fn of(key: &SigningKey) -> Signer {
        Signer::Key(key.public().clone())
    }

    fn digest(byte: &str) -> BlobDigest {
        format!("sha256:{}", byte.repeat(32)).parse().unwrap()
    }

    #[test]
    fn a_signature_counts_for_its_own_image_and_key_only() {
        let key = SigningKey::read(include_str!("../../fixtures/keys/rfc6979.pem"), None).unwrap();
        let other = SigningKey::read(include_str!("../../fixtures/keys/rfc8032.pem"), None).unwrap();
        let payload = simple::payload("acme/web", digest("ab"));
        let old = Evidence::Simple { signature: key.sign(&payload), payload, material: Material::default() };
        let statement = statement::write("acme/web", digest("ab"), predicate::SIGN, b"{}").unwrap();
        let new = Evidence::Envelope(Envelope::sign(&statement, &key), Material::default());
        for evidence in [&old, &new] {
            assert_eq!(evidence.signs(digest("ab"), &of(&key)), Ok(Vouched::Key(key.public().fingerprint())));
            assert!(evidence.signs(digest("cd"), &of(&key)).unwrap_err().contains("about"));
            assert!(evidence.signs(digest("ab"), &of(&other)).unwrap_err().contains("of this key"));
        }
        let text = Evidence::Simple { payload: b"{}".to_vec(), signature: key.sign(b"{}"), material: Material::default() };
        assert!(text.signs(digest("ab"), &of(&key)).unwrap_err().contains("no image"));
    }

    #[test]
    fn a_claim_is_no_signature_and_a_signature_no_claim() {
        let key = SigningKey::read(include_str!("../../fixtures/keys/rfc6979.pem"), None).unwrap();
        let sealed = |predicate_type: &str| {
            let statement = statement::write("acme/web", digest("ab"), predicate_type, br#"{"a":1}"#).unwrap();
            Evidence::Envelope(Envelope::sign(&statement, &key), Material::default())
        };
        let (signature, bill) = (sealed(predicate::SIGN), sealed(predicate::SPDX));
        assert!(bill.signs(digest("ab"), &of(&key)).unwrap_err().contains(predicate::SPDX));
        assert!(signature.claims(digest("ab"), &of(&key), ClaimKind::Spdx).unwrap_err().contains(predicate::SIGN));
        assert_eq!(bill.claims(digest("ab"), &of(&key), ClaimKind::Spdx).unwrap().1, serde_json::json!({"a": 1}));
        assert!(bill.claims(digest("ab"), &of(&key), ClaimKind::Provenance).is_err());
        assert!(bill.is_other(predicate::SIGN) && !bill.is_other(predicate::SPDX));
        let odd = Evidence::Envelope(Envelope::sign(b"[]", &key), Material::default());
        assert!(odd.claims(digest("ab"), &of(&key), ClaimKind::Spdx).unwrap_err().contains("no in-toto statement"));
    }

    #[test]
    fn a_changed_envelope_is_of_nobody() {
        let key = SigningKey::read(include_str!("../../fixtures/keys/rfc6979.pem"), None).unwrap();
        let statement = statement::write("acme/web", digest("ab"), predicate::SPDX, b"{}").unwrap();
        let text = serde_json::to_string(&Envelope::sign(&statement, &key)).unwrap();
        let held = |text: &str| {
            let envelope = Envelope::read(text.as_bytes()).unwrap();
            Evidence::Envelope(envelope, Material::default()).claims(digest("ab"), &of(&key), ClaimKind::Spdx).map(drop)
        };
        assert_eq!(held(&text), Ok(()));
        assert_eq!(held(&text.replace("vnd.in-toto", "vnd.in-tot0")).unwrap_err(), "is not of this key");
        assert_eq!(held(&text.replace("eyJ", "eyI")).unwrap_err(), "is not of this key");
        let (head, _) = text.split_once(r#""signatures":["#).unwrap();
        assert_eq!(held(&format!(r#"{head}"signatures":[]}}"#)).unwrap_err(), "has no signature");
    }

    /// A bundle of npm's, which a workflow signed in public: it counts for the identity, and is about no image.
    #[test]
    fn a_claim_of_an_identity_is_held_against_its_subject_after_its_signer() {
        let (envelope, material) = bundle::read(include_bytes!("../../fixtures/keyless/npm-provenance.json")).unwrap();
        let signer = |name: &str| {
            let mut trust = Trust::default();
            trust.add_published(include_str!("../../fixtures/keyless/trusted_root.json")).unwrap();
            let (name, issuer) =
                (Expected::pattern(name).unwrap(), Expected::Exact("https://token.actions.githubusercontent.com".to_owned()));
            Signer::Identity(Box::new(Identity { name, issuer, trust, without_log: false, now: Moment(0) }))
        };
        let held = |name: &str, envelope: &Envelope| {
            let evidence = Evidence::Envelope(envelope.clone(), material.clone());
            evidence.claims(digest("ab"), &signer(name), ClaimKind::Provenance).unwrap_err()
        };
        let name = "https://github.com/sigstore/sigstore-js/.*";
        assert!(held(name, &envelope).starts_with("is of this identity, but it is about sha512:"), "{}", held(name, &envelope));
        assert!(held("https://github.com/acme/.*", &envelope).starts_with("is by `https://github.com/sigstore/"));
        let key = SigningKey::read(include_str!("../../fixtures/keys/rfc6979.pem"), None).unwrap();
        assert_eq!(held(name, &Envelope::sign(b"{}", &key)), "is not of the key in its certificate");
    }
}
