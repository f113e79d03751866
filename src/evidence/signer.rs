//! Whom evidence is held against: somebody with a key, or somebody whom a certificate names.

use super::keyless::identity::{self, Identity};
use super::keyless::material::Material;
use super::public::PublicKey;

/// Who must have signed.
#[derive(Debug, Clone)]
pub enum Signer {
    /// The holder of a key.
    Key(PublicKey),
    /// An identity.
    Identity(Box<Identity>),
}

/// A signature with all that is needed to judge it.
#[derive(Debug, Clone, Copy)]
pub struct Signature<'a> {
    /// What was signed, to the byte.
    pub message: &'a [u8],
    /// What it says; for an envelope without its type.
    pub payload: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
    /// What came with it.
    pub material: &'a Material,
}

/// Who was found to have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vouched {
    /// The holder of the key with this fingerprint.
    Key(String),
    /// An identity.
    Identity(identity::Vouched),
}

impl Signer {
    /// Whether this signer made a signature.
    ///
    /// # Errors
    /// Why it does not count, as a clause.
    pub fn made(&self, signature: &Signature<'_>) -> Result<Vouched, String> {
        let Signature { message, payload, signature, material } = *signature;
        match self {
            Self::Key(key) if key.verifies(message, signature) => Ok(Vouched::Key(key.fingerprint())),
            Self::Key(_) => Err("is not of this key".to_owned()),
            Self::Identity(identity) => identity.signed(message, payload, signature, material).map(Vouched::Identity),
        }
    }

    /// What it is.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Identity(_) => "identity",
        }
    }
}
