//! in-toto statements: a claim of some type about things with digests. Source: github.com/in-toto/attestation, spec/v1/statement.md.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::base::digest::BlobDigest;

/// The type of every statement that is written.
const V1: &str = "https://in-toto.io/Statement/v1";
/// The type before it, which is read.
const V01: &str = "https://in-toto.io/Statement/v0.1";

/// Types of claims.
pub mod predicate {
    /// A signature over an image. Source: cosign, pkg/types.
    pub const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
    /// How something was built. Source: slsa.dev.
    pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
    /// A bill of materials in CycloneDX.
    pub const CYCLONEDX: &str = "https://cyclonedx.org/bom";
    /// A bill of materials in SPDX.
    pub const SPDX: &str = "https://spdx.dev/Document";
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: [Subject<'a>; 1],
    predicate_type: &'a str,
    predicate: &'a RawValue,
}

#[derive(Serialize)]
struct Subject<'a> {
    name: &'a str,
    digest: BTreeMap<&'static str, String>,
}

/// The bytes of a statement about one image; `predicate` is JSON.
///
/// # Errors
/// When `predicate` is no JSON.
pub fn write(name: &str, image: BlobDigest, predicate_type: &str, predicate: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let predicate: &RawValue = serde_json::from_slice(predicate)?;
    let subject = [Subject { name, digest: BTreeMap::from([("sha256", image.0.hex())]) }];
    serde_json::to_vec(&Written { kind: V1, subject, predicate_type, predicate })
}

/// A statement that came from elsewhere.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Thing>,
    predicate_type: String,
    /// The claim.
    #[serde(default)]
    pub predicate: Value,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Thing {
    digest: BTreeMap<String, String>,
}

/// Why a statement says nothing about an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadStatement {
    /// Not of this form.
    #[error("what is signed is no in-toto statement")]
    Form,
    /// Another kind of claim.
    #[error("it is a claim of type `{0}`")]
    Predicate(String),
    /// About something else.
    #[error("it is about {0}, not about this image")]
    Subject(String),
}

impl Statement {
    /// Reads a statement.
    ///
    /// # Errors
    /// [`BadStatement::Form`].
    pub fn read(bytes: &[u8]) -> Result<Self, BadStatement> {
        let read: Self = serde_json::from_slice(bytes).map_err(|_| BadStatement::Form)?;
        if read.kind != V1 && read.kind != V01 { Err(BadStatement::Form) } else { Ok(read) }
    }

    /// Whether it says that it is a claim of this type.
    #[must_use]
    pub fn is_of(&self, predicate_type: &str) -> bool {
        self.predicate_type == predicate_type
    }

    /// Whether it is a claim of this type about this image and nothing else: one that also speaks of other things may have been made for
    /// them.
    ///
    /// # Errors
    /// [`BadStatement::Predicate`], [`BadStatement::Subject`].
    pub fn claims(&self, predicate_type: &str, image: BlobDigest) -> Result<(), BadStatement> {
        let shown = |text: &str| crate::base::words::shorten(&crate::base::words::visible(text), 100);
        if self.predicate_type != predicate_type {
            return Err(BadStatement::Predicate(shown(&self.predicate_type)));
        }
        let hex = image.0.hex();
        let other = |thing: &&Thing| thing.digest.get("sha256").is_none_or(|own| *own != hex);
        match self.subject.iter().find(other) {
            Some(thing) => {
                let named = thing.digest.iter().next().map(|(algorithm, digest)| shown(&format!("{algorithm}:{digest}")));
                Err(BadStatement::Subject(named.unwrap_or_else(|| "something without a digest".to_owned())))
            }
            None if self.subject.is_empty() => Err(BadStatement::Subject("nothing".to_owned())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: &str) -> BlobDigest {
        format!("sha256:{}", byte.repeat(32)).parse().unwrap()
    }

    #[test]
    fn a_statement_keeps_the_claim_as_it_is() {
        let bytes = write("web", digest("ab"), predicate::CYCLONEDX, br#"{"z":1.0,"a":[]}"#).unwrap();
        let expected = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"web","digest":{"sha256":"HEX"}}],"predicateType":"https://cyclonedx.org/bom","predicate":{"z":1.0,"a":[]}}"#;
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected.replace("HEX", &"ab".repeat(32)));
        assert_eq!(Statement::read(&bytes).unwrap().claims(predicate::CYCLONEDX, digest("ab")), Ok(()));
        assert!(write("web", digest("ab"), predicate::SPDX, b"{").is_err());
    }

    #[test]
    fn a_claim_of_another_type_or_about_other_things_does_not_count() {
        let about = |subjects: &str| {
            let text =
                format!(r#"{{"_type":"https://in-toto.io/Statement/v0.1","subject":[{subjects}],"predicateType":"x","predicate":{{}}}}"#);
            Statement::read(text.as_bytes()).unwrap().claims("x", digest("ab"))
        };
        let one = |byte: &str| format!(r#"{{"name":"n","digest":{{"sha256":"{}"}}}}"#, byte.repeat(32));
        assert_eq!(about(&one("ab")), Ok(()));
        assert_eq!(about(&format!("{},{}", one("ab"), one("ab"))), Ok(()));
        for subjects in [String::new(), one("cd"), format!("{},{}", one("ab"), one("cd")), r#"{"digest":{"sha1":"ab"}}"#.to_owned()] {
            assert!(matches!(about(&subjects), Err(BadStatement::Subject(_))), "{subjects}");
        }
        let bytes = write("web", digest("ab"), predicate::SIGN, b"{}").unwrap();
        let error = Statement::read(&bytes).unwrap().claims(predicate::SPDX, digest("ab"));
        assert_eq!(error, Err(BadStatement::Predicate(predicate::SIGN.to_owned())));
        for text in ["", "[]", r#"{"_type":"https://in-toto.io/Statement/v2","subject":[],"predicateType":"x"}"#, r#"{"_type":1}"#] {
            assert_eq!(Statement::read(text.as_bytes()), Err(BadStatement::Form), "{text}");
        }
    }
}
