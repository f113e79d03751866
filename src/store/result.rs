//! What a step leaves behind: the value that the action cache holds.

use serde::{Deserialize, Serialize};

use crate::base::digest::{BlobDigest, ContentDigest};
use crate::base::id::RunId;
use crate::base::path::RelPath;
use crate::oci::descriptor::Descriptor;

/// The recorded result of an action that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionResult {
    /// The run that made it.
    pub run: RunId,
    /// How long the commands took, in milliseconds.
    pub took_ms: u64,
    /// Files that it made, sorted by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputFile>,
    /// The image or index that it made or resolved; the blobs are in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Box<ImageResult>>,
    /// Other documents that it made (SBOM, findings), by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<(String, ContentDigest)>,
    /// The log of its commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<ContentDigest>,
    /// A few words for the screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl ActionResult {
    /// That of a step which leaves nothing.
    #[must_use]
    pub fn empty(run: RunId) -> Self {
        Self { run, took_ms: 0, outputs: Vec::new(), image: None, documents: Vec::new(), log: None, detail: None }
    }
}

/// A file, folder or link among the outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Row")]
pub struct OutputFile {
    /// Where, below the project.
    pub path: RelPath,
    /// What.
    #[serde(flatten)]
    pub entry: OutputEntry,
}

/// What an output is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum OutputEntry {
    /// A regular file.
    File {
        /// Its content.
        digest: ContentDigest,
        /// Its size in bytes.
        size: u64,
        /// Whether it may be executed.
        executable: bool,
    },
    /// A symbolic link; the text is its target, escaped as [`RelPath::escaped`] does but never normalised.
    Link {
        /// The target's bytes.
        #[serde(with = "bytes_text")]
        target: Vec<u8>,
    },
    /// A folder without anything in it.
    Folder,
}

/// An [`OutputFile`] as it is written down. Read field by field: what serde does for a tag among other fields, it does by way of a copy of
/// each, and a restore reads tens of thousands.
#[derive(Deserialize)]
struct Row {
    path: RelPath,
    kind: RowKind,
    digest: Option<ContentDigest>,
    size: Option<u64>,
    executable: Option<bool>,
    target: Option<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RowKind {
    File,
    Link,
    Folder,
}

#[derive(Deserialize)]
struct Target(#[serde(with = "bytes_text")] Vec<u8>);

impl TryFrom<Row> for OutputFile {
    type Error = &'static str;
    fn try_from(row: Row) -> Result<Self, Self::Error> {
        let entry = match (row.kind, row.digest, row.size, row.executable, row.target) {
            (RowKind::File, Some(digest), Some(size), Some(executable), _) => OutputEntry::File { digest, size, executable },
            (RowKind::Link, .., Some(Target(target))) => OutputEntry::Link { target },
            (RowKind::Folder, ..) => OutputEntry::Folder,
            _ => return Err("an output lacks what its kind must have"),
        };
        Ok(Self { path: row.path, entry })
    }
}

/// An image or an index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageResult {
    /// The manifest or the index.
    pub descriptor: Descriptor,
    /// Every blob that it needs, itself included, each once: what must be in the store for the result to stand.
    pub blobs: Vec<BlobDigest>,
    /// Whether the base was named by a tag.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mutable_base: bool,
}

mod bytes_text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        use base64::Engine as _;
        let text = String::deserialize(deserializer)?;
        base64::engine::general_purpose::STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}
