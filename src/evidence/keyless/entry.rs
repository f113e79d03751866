//! Entries of a transparency log: a promise of the log that it holds a signature since some second, and what it holds.
//! Source: sigstore/rekor, openapi.yaml and types/{hashedrekord,dsse,intoto}; RFC 8785 for the bytes that are promised.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::base::digest::{Digest, Sha256};
use crate::base::time::Moment;

use super::super::pem;
use super::super::public::PublicKey;
use super::trust::Trust;

/// An entry as it comes with a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the log holds, in base64: the promise is over this text.
    pub body: String,
    /// When, in seconds since 1970.
    pub integrated: i64,
    /// The place in the log.
    pub index: i64,
    /// The SHA-256 of the log's key, in hex.
    pub log: String,
    /// The log's signature.
    pub promise: Vec<u8>,
}

/// A signature with what it is over and what it came with.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// What was signed, to the byte.
    pub message: &'a [u8],
    /// What it says; for an envelope without its type.
    pub payload: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
    /// The certificate, as DER.
    pub certificate: &'a [u8],
    /// The key in it.
    pub key: &'a PublicKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Annotation {
    signed_entry_timestamp: String,
    payload: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

impl Entry {
    /// Reads what cosign writes beside a signature in the old form.
    #[must_use]
    pub fn read(json: &str) -> Option<Self> {
        let Annotation { signed_entry_timestamp, payload } = serde_json::from_str(json).ok()?;
        let promise = STANDARD.decode(signed_entry_timestamp).ok()?;
        Some(Self { body: payload.body, integrated: payload.integrated_time, index: payload.log_index, log: payload.log_id, promise })
    }

    /// When the log took this signature in.
    ///
    /// # Errors
    /// Why the entry proves no time, as a clause.
    pub fn time(&self, trust: &Trust, signed: &Signed<'_>) -> Result<Moment, &'static str> {
        let moment = Moment::from_seconds(self.integrated);
        let log = trust.logs(moment).find(|log| log.key.fingerprint() == self.log.to_ascii_lowercase());
        let log = log.ok_or("has an entry of a log that was not named")?;
        if !log.key.verifies(self.promised().as_bytes(), &self.promise) {
            return Err("has an entry that the log did not promise");
        }
        if self.is_of(signed) == Some(true) { Ok(moment) } else { Err("has an entry of the log that is another signature's") }
    }

    /// The text that the log signs: JSON with sorted names and no space.
    fn promised(&self) -> String {
        let text = |text: &str| Value::from(text).to_string();
        format!(
            r#"{{"body":{},"integratedTime":{},"logID":{},"logIndex":{}}}"#,
            text(&self.body),
            self.integrated,
            text(&self.log),
            self.index
        )
    }

    /// Whether the log holds this signature, of this certificate, over this.
    fn is_of(&self, signed: &Signed<'_>) -> Option<bool> {
        let body: Value = serde_json::from_slice(&STANDARD.decode(&self.body).ok()?).ok()?;
        let spec = &body["spec"];
        let signature = |text: &Value| decoded(text).as_deref() == Some(signed.signature);
        Some(match body["kind"].as_str()? {
            "hashedrekord" => {
                is_hash(&spec["data"]["hash"], signed.message)
                    && signature(&spec["signature"]["content"])
                    && signed.is_by(&spec["signature"]["publicKey"]["content"])
            }
            "dsse" => {
                let own = |one: &Value| signature(&one["signature"]) && signed.is_by(&one["verifier"]);
                is_hash(&spec["payloadHash"], signed.payload) && spec["signatures"].as_array()?.iter().any(own)
            }
            "intoto" => {
                let content = &spec["content"];
                let is_payload = is_hash(&content["payloadHash"], signed.payload);
                match content["envelope"]["signatures"].as_array() {
                    // Here the base64 of the envelope is in base64 once more.
                    Some(all) => {
                        let inner = |text: &Value| decoded(text).and_then(|text| STANDARD.decode(text).ok());
                        let own = |one: &Value| inner(&one["sig"]).as_deref() == Some(signed.signature) && signed.is_by(&one["publicKey"]);
                        is_payload && all.iter().any(own)
                    }
                    // The first version keeps the certificate, and of the envelope its hash alone.
                    None => is_payload && signed.is_by(&spec["publicKey"]),
                }
            }
            _ => false,
        })
    }
}

impl Signed<'_> {
    /// Whether a text in base64 is the certificate in PEM, or its key.
    fn is_by(&self, text: &Value) -> bool {
        let Some(text) = decoded(text).and_then(|bytes| String::from_utf8(bytes).ok()) else { return false };
        match pem::first(&text) {
            Some(("CERTIFICATE", der)) => der == self.certificate,
            Some(("PUBLIC KEY", der)) => PublicKey::of_der(der).is_ok_and(|key| key == *self.key),
            _ => false,
        }
    }
}

fn decoded(text: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(text.as_str()?).ok()
}

fn is_hash(hash: &Value, of: &[u8]) -> bool {
    hash["algorithm"] == "sha256" && hash["value"] == Digest::<Sha256>::of(of).hex().as_str()
}

#[cfg(test)]
mod tests {
    use super::super::certificate::Certificate;
    use super::super::tests::{PUBLISHED, github};
    use super::*;

    #[test]
    fn a_promise_of_the_public_log_proves_the_second_and_no_changed_one_does() {
        let mut trust = Trust::default();
        trust.add_published(PUBLISHED).unwrap();
        let ((payload, signature), material) = github();
        let (entry, certificate) = (material.entries[0].clone(), material.certificate.unwrap());
        let key = Certificate::read(&certificate).unwrap().key;
        let signed = Signed { message: &payload, payload: &payload, signature: &signature, certificate: &certificate, key: &key };
        assert_eq!(entry.time(&trust, &signed).unwrap(), Moment::from_seconds(entry.integrated));
        let not_promised = "has an entry that the log did not promise";
        for changed in [
            Entry { integrated: entry.integrated - 1, ..entry.clone() },
            Entry { index: entry.index + 1, ..entry.clone() },
            Entry { body: entry.body.replacen('e', "f", 1), ..entry.clone() },
            Entry { promise: vec![0; 70], ..entry.clone() },
        ] {
            assert_eq!(changed.time(&trust, &signed), Err(not_promised));
        }
        let elsewhere = Entry { log: "00".repeat(32), ..entry.clone() };
        assert_eq!(elsewhere.time(&trust, &signed), Err("has an entry of a log that was not named"));
        // Before the log began, its key says nothing.
        let early = Entry { integrated: 1_000_000_000, ..entry.clone() };
        assert_eq!(early.time(&trust, &signed), Err("has an entry of a log that was not named"));
        // The entry of one signature is not another's.
        let other = "has an entry of the log that is another signature's";
        for signed in [
            Signed { message: b"{}", ..signed },
            Signed { signature: &[0; 70], ..signed },
            Signed { certificate: &material.chain[0], ..signed },
        ] {
            assert_eq!(entry.time(&trust, &signed), Err(other));
        }
    }

    #[test]
    fn a_text_that_is_no_entry_is_none() {
        for text in ["", "{}", r#"{"SignedEntryTimestamp":"*","Payload":{"body":"","integratedTime":1,"logIndex":1,"logID":""}}"#] {
            assert_eq!(Entry::read(text), None, "{text}");
        }
    }

    #[test]
    fn every_form_of_entry_is_held_against_signature_certificate_and_payload() {
        let base = |text: &[u8]| STANDARD.encode(text);
        let certificate = include_bytes!("../../../fixtures/keys/rfc6979.pub");
        let by = base(certificate);
        let hash = |text: &[u8]| serde_json::json!({"algorithm": "sha256", "value": Digest::<Sha256>::of(text).hex()});
        let leaf = github().1.certificate.unwrap();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base(&leaf));
        let own = base(pem.as_bytes());
        let mut signed = Signed {
            message: b"message",
            payload: b"payload",
            signature: b"signature",
            certificate: &leaf,
            key: &Certificate::read(&leaf).unwrap().key,
        };
        let entry = |body: Value| Entry {
            body: base(body.to_string().as_bytes()),
            integrated: 0,
            index: 0,
            log: String::new(),
            promise: Vec::new(),
        };
        let bodies = |signature: &[u8], by: &str, payload: &[u8], message: &[u8]| {
            [
                serde_json::json!({"kind": "hashedrekord", "spec": {"data": {"hash": hash(message)},
                    "signature": {"content": base(signature), "publicKey": {"content": by}}}}),
                serde_json::json!({"kind": "dsse", "spec": {"payloadHash": hash(payload),
                    "signatures": [{"signature": base(signature), "verifier": by}]}}),
                serde_json::json!({"kind": "intoto", "spec": {"content": {"payloadHash": hash(payload),
                    "envelope": {"signatures": [{"sig": base(base(signature).as_bytes()), "publicKey": by}]}}}}),
                serde_json::json!({"kind": "intoto", "spec": {"publicKey": by, "content": {"payloadHash": hash(payload)}}}),
            ]
        };
        for body in bodies(b"signature", &own, b"payload", b"message") {
            assert_eq!(entry(body.clone()).is_of(&signed), Some(true), "{body}");
        }
        for body in bodies(b"signature", &by, b"payload", b"message") {
            assert_eq!(entry(body.clone()).is_of(&signed), Some(false), "another key: {body}");
        }
        // The key alone, in place of its certificate.
        let key = PublicKey::read(std::str::from_utf8(certificate).unwrap()).unwrap();
        signed.key = &key;
        for body in bodies(b"signature", &by, b"payload", b"message") {
            assert_eq!(entry(body.clone()).is_of(&signed), Some(true), "the key itself: {body}");
        }
        for body in bodies(b"signature", &own, b"other", b"other") {
            assert_eq!(entry(body.clone()).is_of(&signed), Some(false), "another text: {body}");
        }
        // The first version of `intoto` holds no signature.
        for body in &bodies(b"other", &own, b"payload", b"message")[..3] {
            assert_eq!(entry(body.clone()).is_of(&signed), Some(false), "another signature: {body}");
        }
        assert_eq!(entry(serde_json::json!({"kind": "rpm"})).is_of(&signed), Some(false));
    }
}
