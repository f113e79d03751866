//! Public keys: read from PEM, named by their digest, asked whether a signature is theirs.

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::ObjectIdentifier;
use p256::pkcs8::spki::SubjectPublicKeyInfoRef;
use ring::digest::{SHA512, digest};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::digest::{Digest, Sha256};

use super::pem;

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// What stands before the key itself in DER. Source: RFC 5480, RFC 8410.
const P256_PREFIX: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
const ED25519_PREFIX: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// A key that signatures are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: Kind,
    /// The `SubjectPublicKeyInfo`.
    der: Vec<u8>,
    /// The key in it.
    key: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

/// Why a text is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPublicKey {
    /// There is no `PUBLIC KEY` in it.
    #[error("it holds no public key in PEM (`-----BEGIN PUBLIC KEY-----`)")]
    Form,
    /// A private key was given.
    #[error("it holds a private key; give the public one, such as `cosign.pub`")]
    Private,
    /// Of another kind.
    #[error("its kind of key is not known; keys are ECDSA P-256 and P-384, Ed25519 and RSA")]
    Kind,
}

impl PublicKey {
    /// Reads a key from PEM.
    ///
    /// # Errors
    /// [`BadPublicKey`].
    pub fn read(text: &str) -> Result<Self, BadPublicKey> {
        let (label, der) = pem::first(text).ok_or(BadPublicKey::Form)?;
        if label.ends_with("PRIVATE KEY") {
            return Err(BadPublicKey::Private);
        }
        if label != "PUBLIC KEY" {
            return Err(BadPublicKey::Form);
        }
        Self::of_der(der)
    }

    /// Reads a `SubjectPublicKeyInfo`.
    pub(super) fn of_der(der: Vec<u8>) -> Result<Self, BadPublicKey> {
        let info = SubjectPublicKeyInfoRef::try_from(der.as_slice()).map_err(|_| BadPublicKey::Form)?;
        let key = info.subject_public_key.as_bytes().ok_or(BadPublicKey::Form)?.to_vec();
        let curve = info.algorithm.parameters_oid().ok();
        let kind = match (info.algorithm.oid, curve) {
            (EC, Some(P256)) => Kind::P256,
            (EC, Some(P384)) => Kind::P384,
            (ED25519, _) => Kind::Ed25519,
            (RSA, _) => Kind::Rsa,
            _ => return Err(BadPublicKey::Kind),
        };
        Ok(Self { kind, key, der })
    }

    /// The key of an uncompressed point on P-256.
    pub(super) fn p256(point: &[u8]) -> Self {
        Self { kind: Kind::P256, der: [P256_PREFIX, point].concat(), key: point.to_vec() }
    }

    /// The key of 32 bytes for Ed25519.
    pub(super) fn ed25519(key: &[u8]) -> Self {
        Self { kind: Kind::Ed25519, der: [ED25519_PREFIX, key].concat(), key: key.to_vec() }
    }

    /// The digest of the key as DER, in base64: what bundles call it by.
    #[must_use]
    pub fn hint(&self) -> String {
        STANDARD.encode(Digest::<Sha256>::of(&self.der).as_bytes())
    }

    /// The same digest in hex, for people.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        Digest::<Sha256>::of(&self.der).hex()
    }

    /// The key as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        let body = STANDARD.encode(&self.der);
        let lines: Vec<&str> = (0..body.len()).step_by(64).map(|at| &body[at..body.len().min(at + 64)]).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// Whether `signature` is this key's over `message`. ECDSA signatures are DER, those of RSA PKCS #1 v1.5; which SHA-2 it is does not come with
    /// a signature, so each is tried. P-384 with SHA-512 is not known to ring.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithms: &[&'static dyn VerificationAlgorithm] = match self.kind {
            Kind::P256 => &[&signature::ECDSA_P256_SHA256_ASN1, &signature::ECDSA_P256_SHA384_ASN1],
            Kind::P384 => &[&signature::ECDSA_P384_SHA384_ASN1, &signature::ECDSA_P384_SHA256_ASN1],
            Kind::Ed25519 => &[&signature::ED25519],
            Kind::Rsa => {
                &[&signature::RSA_PKCS1_2048_8192_SHA256, &signature::RSA_PKCS1_2048_8192_SHA384, &signature::RSA_PKCS1_2048_8192_SHA512]
            }
        };
        algorithms.iter().any(|algorithm| UnparsedPublicKey::new(*algorithm, &self.key).verify(message, signature).is_ok())
            || self.kind == Kind::P256 && p256_with_sha512(&self.key, message, signature).unwrap_or(false)
    }
}

/// What ring has no name for.
fn p256_with_sha512(key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
    let key = VerifyingKey::from_sec1_bytes(key).ok()?;
    let signature = Signature::from_der(signature).ok()?;
    Some(key.verify_prehash(digest(&SHA512, message).as_ref(), &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_public_key_is_refused_by_what_it_is() {
        for (text, expected) in [
            ("", BadPublicKey::Form),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", BadPublicKey::Form),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", BadPublicKey::Form),
            ("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n", BadPublicKey::Private),
            // X25519, which signs nothing.
            (
                "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAhSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n-----END PUBLIC KEY-----\n",
                BadPublicKey::Kind,
            ),
        ] {
            assert_eq!(PublicKey::read(text), Err(expected), "{text}");
        }
    }
}
