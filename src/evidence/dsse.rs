//! DSSE envelopes: a payload with its type, signed together. Source: github.com/secure-systems-lab/dsse, protocol.md and envelope.md.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::key::SigningKey;
use super::public::PublicKey;

/// The type of payloads that are in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// The media type of an envelope.
pub const MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";

/// A signed payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// What it is.
    payload_type: String,
    /// In base64.
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    /// In base64.
    sig: String,
}

/// Why an envelope says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEnvelope {
    /// Not of this form.
    #[error("it is no DSSE envelope")]
    Form,
    /// Its payload is something else.
    #[error("what it holds is no in-toto statement but `{0}`")]
    Type(String),
    /// Nobody known signed it.
    #[error("none of its signatures is of this key")]
    Signature,
}

/// What is signed: the type and the payload with their lengths, so that neither can be taken for the other.
fn encoded(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

impl Envelope {
    /// Signs an in-toto statement.
    #[must_use]
    pub fn sign(statement: &[u8], key: &SigningKey) -> Self {
        let sig = STANDARD.encode(key.sign(&encoded(IN_TOTO, statement)));
        Self { payload_type: IN_TOTO.to_owned(), payload: STANDARD.encode(statement), signatures: vec![Signature { sig }] }
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// [`BadEnvelope::Form`].
    pub fn read(bytes: &[u8]) -> Result<Self, BadEnvelope> {
        serde_json::from_slice(bytes).map_err(|_| BadEnvelope::Form)
    }

    /// The payload as it is: nobody vouches for it.
    #[must_use]
    pub fn unverified(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.payload).ok()
    }

    /// The statement in it, when a signature of `key` is over it.
    ///
    /// # Errors
    /// [`BadEnvelope`].
    pub fn open(&self, key: &PublicKey) -> Result<Vec<u8>, BadEnvelope> {
        let payload = STANDARD.decode(&self.payload).map_err(|_| BadEnvelope::Form)?;
        let message = encoded(&self.payload_type, &payload);
        let valid = |one: &Signature| STANDARD.decode(&one.sig).is_ok_and(|signature| key.verifies(&message, &signature));
        if !self.signatures.iter().any(valid) {
            return Err(BadEnvelope::Signature);
        }
        if self.payload_type != IN_TOTO {
            return Err(BadEnvelope::Type(crate::base::words::shorten(&crate::base::words::visible(&self.payload_type), 100)));
        }
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::read(include_str!("../../fixtures/keys/rfc6979.pem"), None).unwrap()
    }

    /// Source: dsse, protocol.md, "Test Vectors".
    #[test]
    fn type_and_payload_are_encoded_as_the_protocols_own_example() {
        let encoded = encoded("http://example.com/HelloWorld", b"hello world");
        assert_eq!(String::from_utf8(encoded).unwrap(), "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn an_envelope_opens_for_its_own_key_and_as_it_was_signed_only() {
        let (key, other) = (key(), SigningKey::read(include_str!("../../fixtures/keys/rfc8032.pem"), None).unwrap());
        let sealed = Envelope::sign(b"{}", &key);
        assert_eq!(Envelope::read(&serde_json::to_vec(&sealed).unwrap()).unwrap(), sealed);
        assert_eq!(sealed.open(key.public()), Ok(b"{}".to_vec()));
        assert_eq!(sealed.open(other.public()), Err(BadEnvelope::Signature));
        let changed = [
            Envelope { payload: STANDARD.encode(b"[]"), ..sealed.clone() },
            Envelope { payload_type: "text/plain".to_owned(), ..sealed.clone() },
            Envelope { signatures: Vec::new(), ..sealed.clone() },
            Envelope { signatures: vec![Signature { sig: "*".to_owned() }], ..sealed.clone() },
        ];
        for changed in changed {
            assert_eq!(changed.open(key.public()), Err(BadEnvelope::Signature));
        }
        // A signature over another type is one: it counts, and then the type does.
        let text = encoded("text/plain", b"{}");
        let signatures = vec![Signature { sig: STANDARD.encode(key.sign(&text)) }];
        let typed = Envelope { payload_type: "text/plain".to_owned(), signatures, ..sealed.clone() };
        assert_eq!(typed.open(key.public()), Err(BadEnvelope::Type("text/plain".to_owned())));
        assert_eq!(Envelope { payload: "*".to_owned(), ..sealed }.open(key.public()), Err(BadEnvelope::Form));
        assert_eq!(Envelope::read(b"{\"payload\":1}"), Err(BadEnvelope::Form));
    }
}
