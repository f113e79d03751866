//! Descriptors: how one document of an image names another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::digest::BlobDigest;
use crate::base::platform::Platform;

/// The `platform` object of an index entry, as it stands in the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformObject {
    /// For instance `arm64`.
    pub architecture: String,
    /// For instance `linux`.
    pub os: String,
    /// For Windows images.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// For instance `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// What this version of kiln does not know.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

impl From<&Platform> for PlatformObject {
    fn from(platform: &Platform) -> Self {
        Self {
            architecture: platform.arch().to_owned(),
            os: platform.os().to_owned(),
            os_version: None,
            variant: platform.variant().map(str::to_owned),
            more: BTreeMap::new(),
        }
    }
}

impl PlatformObject {
    /// The normal form; `None` for entries such as `unknown/unknown` that no machine runs.
    #[must_use]
    pub fn to_platform(&self) -> Option<Platform> {
        let variant = self.variant.as_ref().map_or(String::new(), |variant| format!("/{variant}"));
        format!("{}/{}{variant}", self.os, self.architecture).parse().ok()
    }
}

/// Type, digest and size of a blob. Source: image-spec, descriptor.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the bytes are.
    pub media_type: String,
    /// Their digest.
    pub digest: BlobDigest,
    /// Their number.
    pub size: u64,
    /// Only in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformObject>,
    /// Sorted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What this version of kiln does not know (`urls`, `data`, `artifactType`, …).
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

impl Descriptor {
    /// Describes `bytes`.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, BlobDigest(crate::base::digest::Digest::of(bytes)), bytes.len() as u64)
    }
    /// The kind of an artifact, as a list of referrers names it.
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        self.more.get("artifactType").and_then(Value::as_str)
    }
    /// Describes a blob whose digest and size are known.
    #[must_use]
    pub fn new(media_type: &str, digest: BlobDigest, size: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest, size, platform: None, annotations: BTreeMap::new(), more: BTreeMap::new() }
    }
}
