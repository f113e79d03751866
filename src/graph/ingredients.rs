//! All that a step takes in, found before it is keyed: files with their digests, images, products of needs, and the
//! parts of the machine that the plan names.

use crate::base::digest::{BlobDigest, ContentDigest};
use crate::base::id::StepName;
use crate::base::path::AbsPath;
use crate::store::result::{ImageResult, OutputFile};

/// Something of the world that steps were made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// A file of the project that no step makes.
    File(OutputFile),
    /// An image from elsewhere.
    Image {
        /// Its repository, or its folder.
        repository: String,
        /// Its manifest.
        digest: BlobDigest,
        /// What it runs on.
        platform: String,
    },
    /// A program of this machine.
    Tool {
        /// As the plan names it.
        name: String,
        /// Where it was found.
        path: AbsPath,
        /// Its bytes.
        digest: ContentDigest,
        /// Its version, when the plan declares one.
        version: Option<String>,
    },
}

/// What one step takes in.
#[derive(Debug, Clone, Default)]
pub struct Ingredients {
    /// Files, sorted by path: one list for a task's inputs or a base layout, one per `copy` of an image.
    pub files: Vec<Vec<OutputFile>>,
    /// Images of needs, in the order of steps.
    pub images: Vec<(StepName, ImageResult)>,
    /// Digests of what needs made, for needs whose product comes in neither as files nor as an image.
    pub needs: Vec<(StepName, String)>,
    /// Documents of needs, for a step that sends them on.
    pub documents: Vec<(StepName, Vec<(String, ContentDigest)>)>,
    /// What the needs were made of, and theirs, for a step that records it; sorted.
    pub materials: Vec<Material>,
    /// Values of `pass-env`; `None` when unset.
    pub pass_env: Vec<(String, Option<String>)>,
    /// Identities of `tools`.
    pub tools: Vec<(String, ContentDigest)>,
    /// Versions of those tools that the plan declares.
    pub versions: Vec<(String, String)>,
}
