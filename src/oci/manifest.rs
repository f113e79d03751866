//! Manifests and indexes, and which of the two a document is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::digest::BlobDigest;

use super::descriptor::Descriptor;
use super::media_type;

/// The largest manifest or index that is read, in bytes. The distribution specification asks for at least 4 MiB.
pub const LIMIT: u64 = 8 << 20;

/// One image for one platform. Source: image-spec, manifest.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// OCI or Docker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The config blob.
    pub config: Descriptor,
    /// From the lowest up.
    #[serde(deserialize_with = "super::config::nullable")]
    pub layers: Vec<Descriptor>,
    /// Sorted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What this version of kiln does not know (`subject`, `artifactType`, …).
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// The manifests of several platforms under one digest. Source: image-spec, image-index.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// OCI or Docker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// In the order of the plan.
    #[serde(deserialize_with = "super::config::nullable")]
    pub manifests: Vec<Descriptor>,
    /// Sorted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What this version of kiln does not know.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

impl Manifest {
    /// An OCI manifest.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self::of_type(media_type::MANIFEST, config, layers)
    }

    /// A manifest that calls itself `own`.
    #[must_use]
    pub fn of_type(own: &str, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: Some(own.to_owned()), config, layers, annotations: BTreeMap::new(), more: BTreeMap::new() }
    }

    /// The document that it is about. Source: image-spec 1.1, manifest.md, `subject`.
    #[must_use]
    pub fn subject(&self) -> Option<BlobDigest> {
        subject_of(&self.more)
    }
}

impl Index {
    /// The document that it is about. Source: image-spec 1.1, image-index.md, `subject`.
    #[must_use]
    pub fn subject(&self) -> Option<BlobDigest> {
        subject_of(&self.more)
    }

    /// An OCI index.
    #[must_use]
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self::of_type(media_type::INDEX, manifests)
    }

    /// A list that calls itself `own`.
    #[must_use]
    pub fn of_type(own: &str, manifests: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: Some(own.to_owned()), manifests, annotations: BTreeMap::new(), more: BTreeMap::new() }
    }
}

/// The document that one with these further fields is about.
fn subject_of(more: &BTreeMap<String, Value>) -> Option<BlobDigest> {
    more.get("subject")?.get("digest")?.as_str()?.parse().ok()
}

/// The canonical bytes of a document of ours: compact JSON, fields in the order of the specification, maps sorted.
#[must_use]
pub fn bytes<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

/// What a document without a type on its envelope is: its own word, or else its shape, since `mediaType` may be left out.
#[must_use]
pub fn own_type(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
        layers: Option<serde::de::IgnoredAny>,
    }
    let shape: Shape = serde_json::from_slice(bytes).ok()?;
    let shaped = || match (shape.manifests, shape.layers) {
        (Some(_), None) => Some(media_type::INDEX.to_owned()),
        (None, Some(_)) => Some(media_type::MANIFEST.to_owned()),
        _ => None,
    };
    shape.media_type.or_else(shaped)
}

/// A document that came from elsewhere, told apart by what it says and what it holds.
#[allow(clippy::large_enum_variant, reason = "one value per document, short-lived")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// It has layers.
    Manifest(Manifest),
    /// It has manifests.
    Index(Index),
}

/// Why a document is neither.
#[derive(Debug, thiserror::Error)]
pub enum BadDocument {
    /// Not JSON, or not of this shape.
    #[error("it is not an image manifest or index: {0}")]
    Json(#[from] serde_json::Error),
    /// Both `layers` and `manifests`: two readers could see two images (CVE-2021-41190).
    #[error("it holds both `layers` and `manifests`, so two tools could see two different images")]
    Both,
    /// Its own `mediaType` is not the one it was sent under.
    #[error("it calls itself `{own}` but was sent as `{sent}`")]
    Mismatch {
        /// The `mediaType` in the document.
        own: String,
        /// The type it was sent or described as.
        sent: String,
    },
    /// A type that is neither.
    #[error("its type `{0}` is neither a manifest nor an index")]
    Type(String),
}

/// Reads a manifest or an index that was described as `sent`.
///
/// # Errors
/// [`BadDocument`]: the two kinds are never confused.
pub fn read(sent: &str, bytes: &[u8]) -> Result<Document, BadDocument> {
    let value: Value = serde_json::from_slice(bytes)?;
    if value.get("layers").is_some() && value.get("manifests").is_some()
        || value.get("config").is_some() && value.get("manifests").is_some()
    {
        return Err(BadDocument::Both);
    }
    if let Some(own) = value.get("mediaType").and_then(Value::as_str)
        && own != sent
    {
        return Err(BadDocument::Mismatch {
            own: crate::base::words::shorten(&crate::base::words::visible(own), 100),
            sent: sent.to_owned(),
        });
    }
    if media_type::is_index(sent) {
        Ok(Document::Index(serde_json::from_slice(bytes)?))
    } else if media_type::is_manifest(sent) {
        Ok(Document::Manifest(serde_json::from_slice(bytes)?))
    } else {
        Err(BadDocument::Type(crate::base::words::shorten(&crate::base::words::visible(sent), 100)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_manifest_keeps_its_bytes_and_its_unknown_fields() {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"sha256:{HEX}","size":0,"x":1}},"layers":[],"subject":{{"a":1}}}}"#,
            media_type::MANIFEST,
            media_type::CONFIG
        );
        let Document::Manifest(manifest) = read(media_type::MANIFEST, text.as_bytes()).unwrap() else { panic!("not a manifest") };
        assert_eq!(String::from_utf8(bytes(&manifest)).unwrap(), text);
    }

    #[test]
    fn documents_that_are_two_things_are_refused() {
        let both =
            format!(r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"sha256:{HEX}","size":0}},"layers":[],"manifests":[]}}"#);
        assert!(matches!(read(media_type::MANIFEST, both.as_bytes()), Err(BadDocument::Both)));
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::INDEX);
        assert!(matches!(read(media_type::MANIFEST, index.as_bytes()), Err(BadDocument::Mismatch { .. })));
    }
}
