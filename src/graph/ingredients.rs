//! All that a step takes in, found before it is keyed: files with their digests, images, products of needs, and the
//! parts of the machine that the plan names.

use crate::base::digest::ContentDigest;
use crate::base::id::StepName;
use crate::store::result::{ImageResult, OutputFile};

/// What one step takes in.
#[derive(Debug, Clone, Default)]
pub struct Ingredients {
    /// Files, sorted by path: one list for a task's inputs or a base layout, one per `copy` of an image.
    pub files: Vec<Vec<OutputFile>>,
    /// Images of needs, in the order of steps.
    pub images: Vec<(StepName, ImageResult)>,
    /// Digests of what needs made, for needs whose product comes in neither as files nor as an image.
    pub needs: Vec<(StepName, String)>,
    /// Values of `pass-env`; `None` when unset.
    pub pass_env: Vec<(String, Option<String>)>,
    /// Identities of `tools`.
    pub tools: Vec<(String, ContentDigest)>,
    /// Versions of those tools that the plan declares.
    pub versions: Vec<(String, String)>,
}
