//! Private keys: read from the forms that people have, and what they sign. The same message gives the same signature: ECDSA's
//! secret number is made from key and message (RFC 6979), and Ed25519 has none.

use std::fmt;

use p256::ecdsa::signature::Signer as _;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::pkcs8::DecodePrivateKey as _;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::public::PublicKey;
use super::sealed::{self, Closed};
use super::{encrypted, pem};

/// A key that signs.
pub struct SigningKey {
    secret: Secret,
    public: PublicKey,
}

enum Secret {
    P256(Box<p256::ecdsa::SigningKey>),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.fingerprint())
    }
}

/// Why there is no key in a text. No message repeats any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// No private key in PEM.
    #[error("it holds no private key in PEM (`-----BEGIN … PRIVATE KEY-----`)")]
    Form,
    /// A public key.
    #[error("it holds a public key; signing needs the private one")]
    Public,
    /// Sealed, but unsound or in a way that is not read.
    #[error("it is a sealed key, but {0}")]
    Sealed(&'static str),
    /// It is sealed, and there is no password.
    #[error("it is sealed with a password, and there is none")]
    NoPassword,
    /// The password is another one.
    #[error("the password does not open it")]
    Password,
    /// RSA, another curve.
    #[error("its kind of key cannot sign here; ECDSA P-256 and Ed25519 can")]
    Kind,
}

impl BadKey {
    /// The next act.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::Form | Self::Public | Self::Sealed(_) => {
                "`cosign generate-key-pair` makes a pair: `cosign.key` signs, `cosign.pub` verifies"
            }
            Self::NoPassword => "set COSIGN_PASSWORD, or name a secret: `sign password=\"…\"`; an empty password is set, too",
            Self::Password => "look at COSIGN_PASSWORD, or at the secret of `sign password=`",
            Self::Kind => "make one with `cosign generate-key-pair`",
        }
    }
}

impl SigningKey {
    /// Reads PEM: PKCS#8 (`PRIVATE KEY`), SEC 1 (`EC PRIVATE KEY`), PKCS#8 behind a password (`ENCRYPTED PRIVATE KEY`), or a key that
    /// cosign sealed with one.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn read(text: &str, password: Option<&[u8]>) -> Result<Self, BadKey> {
        let (label, bytes) = pem::first(text).ok_or(BadKey::Form)?;
        match label {
            "PRIVATE KEY" => Self::pkcs8(&bytes),
            "EC PRIVATE KEY" => p256::SecretKey::from_sec1_der(&bytes).map(|key| Self::p256((&key).into())).map_err(|_| BadKey::Kind),
            "PUBLIC KEY" => Err(BadKey::Public),
            label if is_sealed(label) => {
                let open = if label == encrypted::LABEL { encrypted::open } else { sealed::open };
                let opened = open(&bytes, password.ok_or(BadKey::NoPassword)?);
                Self::pkcs8(&opened.map_err(|closed| match closed {
                    Closed::Form(why) => BadKey::Sealed(why),
                    Closed::Password => BadKey::Password,
                })?)
            }
            label if label.ends_with("PRIVATE KEY") => Err(BadKey::Kind),
            _ => Err(BadKey::Form),
        }
    }

    /// Whether a text is a key that needs a password.
    #[must_use]
    pub fn is_sealed(text: &str) -> bool {
        pem::first(text).is_some_and(|(label, _)| is_sealed(label))
    }

    fn pkcs8(der: &[u8]) -> Result<Self, BadKey> {
        if let Ok(key) = p256::ecdsa::SigningKey::from_pkcs8_der(der) {
            return Ok(Self::p256(key));
        }
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| BadKey::Kind)?;
        Ok(Self { public: PublicKey::ed25519(pair.public_key().as_ref()), secret: Secret::Ed25519(pair) })
    }

    fn p256(key: p256::ecdsa::SigningKey) -> Self {
        let point = key.verifying_key().as_affine().to_sec1_point(false);
        Self { public: PublicKey::p256(point.as_bytes()), secret: Secret::P256(Box::new(key)) }
    }

    /// The key that verifies.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs: ECDSA with SHA-256 as DER, or Ed25519.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            Secret::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

fn is_sealed(label: &str) -> bool {
    label == encrypted::LABEL || sealed::LABELS.contains(&label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC6979: &str = include_str!("../../fixtures/keys/rfc6979.pem");
    const RFC8032: &str = include_str!("../../fixtures/keys/rfc8032.pem");
    const PBKDF2: &str = include_str!("../../fixtures/keys/rfc6979.pbkdf2.pem");
    const COSIGN: &str = include_str!("../../fixtures/keys/cosign-2.5.key");

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Source: RFC 6979, appendix A.2.5, SHA-256; RFC 8032, section 7.1, test 3.
    #[test]
    fn signatures_are_those_of_the_standards_own_examples() {
        let (r, s) = (
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
            "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        );
        let ecdsa = SigningKey::read(RFC6979, None).unwrap();
        assert_eq!(hex(&ecdsa.sign(b"sample")), format!("3046022100{r}022100{s}"));
        let edwards = SigningKey::read(RFC8032, None).unwrap();
        let expected = concat!(
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac",
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        );
        assert_eq!(hex(&edwards.sign(&[0xaf, 0x82])), expected);
        let sec1 = SigningKey::read(include_str!("../../fixtures/keys/rfc6979.sec1.pem"), None).unwrap();
        assert_eq!(sec1.sign(b"sample"), ecdsa.sign(b"sample"));
    }

    #[test]
    fn the_public_half_is_the_one_that_openssl_and_cosign_give() {
        let pairs = [
            (RFC6979, None, include_str!("../../fixtures/keys/rfc6979.pub")),
            (RFC8032, None, include_str!("../../fixtures/keys/rfc8032.pub")),
            (COSIGN, Some(&b"swordfish"[..]), include_str!("../../fixtures/keys/cosign-2.5.pub")),
            (PBKDF2, Some(b"swordfish"), include_str!("../../fixtures/keys/rfc6979.pub")),
            (include_str!("../../fixtures/keys/rfc8032.pbkdf2.pem"), Some(b"swordfish"), include_str!("../../fixtures/keys/rfc8032.pub")),
        ];
        for (private, password, public) in pairs {
            let key = SigningKey::read(private, password).unwrap();
            assert_eq!(key.public().pem(), public);
            let read = PublicKey::read(public).unwrap();
            assert_eq!(&read, key.public());
            let signature = key.sign(b"sample");
            assert!(read.verifies(b"sample", &signature));
            assert!(!read.verifies(b"Sample", &signature));
            assert!(!read.verifies(b"sample", &signature[1..]));
        }
    }

    #[test]
    fn signatures_that_openssl_made_with_other_kinds_of_keys_verify() {
        use base64::Engine as _;
        for (public, signature) in [
            (include_str!("../../fixtures/keys/rsa.pub"), include_str!("../../fixtures/keys/rsa.sig")),
            (include_str!("../../fixtures/keys/p384.pub"), include_str!("../../fixtures/keys/p384.sig")),
        ] {
            let (key, signature) = (PublicKey::read(public).unwrap(), base64::engine::general_purpose::STANDARD.decode(signature).unwrap());
            assert!(key.verifies(b"sample", &signature));
            assert!(!key.verifies(b"Sample", &signature));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_by_what_it_is() {
        let damaged = COSIGN.replacen("eyJr", "eyJq", 1);
        for (text, password, expected) in [
            ("", None, BadKey::Form),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", None, BadKey::Form),
            (include_str!("../../fixtures/keys/rfc6979.pub"), None, BadKey::Public),
            (COSIGN, None, BadKey::NoPassword),
            (COSIGN, Some(&b"Swordfish"[..]), BadKey::Password),
            (COSIGN, Some(&b""[..]), BadKey::Password),
            (&damaged, Some(&b"swordfish"[..]), BadKey::Sealed("what is between its lines is not cosign's")),
            (PBKDF2, None, BadKey::NoPassword),
            (PBKDF2, Some(&b"Swordfish"[..]), BadKey::Password),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
                Some(&b"x"[..]),
                BadKey::Sealed("what is between its lines is no PKCS#8, or encrypted in a way that nobody should use today"),
            ),
            ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", None, BadKey::Kind),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", None, BadKey::Kind),
        ] {
            assert_eq!(SigningKey::read(text, password).err(), Some(expected), "{text}");
        }
        assert!(SigningKey::is_sealed(COSIGN) && SigningKey::is_sealed(PBKDF2) && !SigningKey::is_sealed(RFC6979));
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = SigningKey::read(RFC6979, None).unwrap();
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public().fingerprint()));
    }
}
