//! DSSE envelopes: a payload with its type, signed together. Source: github.com/secure-systems-lab/dsse, protocol.md and envelope.md.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::key::SigningKey;

/// The type of payloads that are in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// The media type of an envelope.
pub const MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
/// The most signatures of an envelope that are looked at.
const MOST: usize = 16;

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
}

/// What an envelope holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The payload as it is.
    pub payload: Vec<u8>,
    /// What is signed.
    pub message: Vec<u8>,
    /// The signatures over it; of whom is not known.
    pub signatures: Vec<Vec<u8>>,
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

    /// What it holds. Nobody vouches for it before one of the signatures is held against somebody.
    ///
    /// # Errors
    /// [`BadEnvelope::Form`].
    pub fn opened(&self) -> Result<Opened, BadEnvelope> {
        let payload = STANDARD.decode(&self.payload).map_err(|_| BadEnvelope::Form)?;
        let message = encoded(&self.payload_type, &payload);
        let signatures = self.signatures.iter().take(MOST).filter_map(|one| STANDARD.decode(&one.sig).ok()).collect();
        Ok(Opened { payload, message, signatures })
    }

    /// Whether its payload says that it is an in-toto statement.
    ///
    /// # Errors
    /// [`BadEnvelope::Type`].
    pub fn is_statement(&self) -> Result<(), BadEnvelope> {
        if self.payload_type == IN_TOTO {
            return Ok(());
        }
        Err(BadEnvelope::Type(crate::base::words::shorten(&crate::base::words::visible(&self.payload_type), 100)))
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
    fn an_envelope_gives_back_what_was_signed_and_nothing_that_is_none() {
        let sealed = Envelope::sign(b"{}", &key());
        assert_eq!(Envelope::read(&serde_json::to_vec(&sealed).unwrap()).unwrap(), sealed);
        let opened = sealed.opened().unwrap();
        assert_eq!((opened.payload.as_slice(), opened.message.as_slice()), (&b"{}"[..], encoded(IN_TOTO, b"{}").as_slice()));
        assert!(key().public().verifies(&opened.message, &opened.signatures[0]));
        let bad = Envelope { signatures: vec![Signature { sig: "*".to_owned() }], ..sealed.clone() };
        assert_eq!(bad.opened().unwrap().signatures, Vec::<Vec<u8>>::new());
        let text = Envelope { payload_type: "text/plain".to_owned(), ..sealed.clone() };
        assert_eq!((sealed.is_statement(), text.is_statement()), (Ok(()), Err(BadEnvelope::Type("text/plain".to_owned()))));
        assert_eq!(Envelope { payload: "*".to_owned(), ..sealed }.opened(), Err(BadEnvelope::Form));
        assert_eq!(Envelope::read(b"{\"payload\":1}"), Err(BadEnvelope::Form));
    }
}
