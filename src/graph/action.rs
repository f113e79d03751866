//! Actions: one step of a plan, ready to key.

use std::sync::Arc;

use indexmap::IndexSet;

use crate::base::diagnostic::Span;
use crate::base::id::StepName;
use crate::base::platform::Platform;
use crate::oci::reference::{Repository, Tag};
use crate::plan::evidence::{Asked, Commit, EvidenceDef};
use crate::plan::image::{Elsewhere, ImageDef, Origin, Recipe};
use crate::plan::policy::{PolicyDef, Severity};
use crate::plan::service::{NetworkDef, ServiceDef, VolumeDef};
use crate::plan::tag::TagRule;
use crate::plan::target::{Output, TaskCell};
use crate::plan::{RegistryDef, RegistryPlace};

/// One step.
#[derive(Debug, Clone)]
pub struct Action {
    /// Its printed name.
    pub name: StepName,
    /// What it does.
    pub kind: ActionKind,
    /// The node of the plan that asked for it.
    pub span: Span,
}

/// What a step does, with all that the plan says about it.
#[derive(Debug, Clone)]
pub enum ActionKind {
    /// Runs the commands of a task.
    Run(Arc<TaskCell>),
    /// Fetches an image that another one is made from.
    Fetch(Box<FetchAction>),
    /// Builds one platform of an image.
    Build(BuildAction),
    /// Joins platforms.
    Index(Arc<ImageDef>),
    /// Holds one platform against a policy.
    Scan(ScanAction),
    /// Lists what is in one platform.
    Sbom(SbomAction),
    /// Records what all platforms were made of.
    Provenance(ProvenanceAction),
    /// Writes the image into the project.
    Save(Arc<ImageDef>),
    /// Sends blobs and manifests.
    Push(PublishAction),
    /// Signs, and sends what goes beside.
    Evidence(Box<EvidenceAction>),
    /// Moves tags.
    Tag(PublishAction),
    /// Starts a service and waits until it is healthy.
    Up(UpAction),
    /// Stands for its needs.
    Group,
}

impl ActionKind {
    /// What it makes in the project.
    #[must_use]
    pub fn outputs(&self) -> Vec<&Output> {
        match self {
            Self::Run(cell) => cell.outputs.iter().collect(),
            Self::Save(image) => image.saves.iter().map(|save| &save.output).collect(),
            _ => Vec::new(),
        }
    }
}

/// A service with all that it stands on.
#[derive(Debug, Clone)]
pub struct UpAction {
    /// The service.
    pub service: Arc<ServiceDef>,
    /// The networks that it joins.
    pub networks: Vec<NetworkDef>,
    /// The volumes that it mounts.
    pub volumes: Vec<VolumeDef>,
    /// The policy that it is held against.
    pub policy: Option<Arc<PolicyDef>>,
}

/// An image that is fetched for one platform.
#[derive(Debug, Clone)]
pub struct FetchAction {
    /// Which.
    pub from: Elsewhere,
    /// For what.
    pub platform: Platform,
}

/// One platform of an image.
#[derive(Debug, Clone)]
pub struct BuildAction {
    /// What goes in.
    pub recipe: Arc<Recipe>,
    /// Seconds since 1970 for `created`.
    pub epoch: i64,
}

impl BuildAction {
    /// Whether an image that it is made from is named by a tag, which can move.
    #[must_use]
    pub fn has_mutable_base(&self) -> bool {
        self.recipe.origins().filter_map(Origin::elsewhere).any(Elsewhere::is_mutable)
    }
}

/// A scan of one platform.
#[derive(Debug, Clone)]
pub struct ScanAction {
    /// The rules.
    pub policy: Arc<PolicyDef>,
    /// The image's name, for the SBOM.
    pub repository: String,
    /// Seconds since 1970 for the SBOM's time.
    pub epoch: i64,
    /// Whether an image that it is made from is named by a tag.
    pub mutable_base: bool,
    /// The least severity of a known vulnerability that stops it.
    pub fail: Option<(Severity, Span)>,
}

/// A push or a move of tags in one registry.
#[derive(Debug, Clone)]
pub struct PublishAction {
    /// Where.
    pub registry: Arc<RegistryDef>,
    /// The last part of the repository's name.
    pub repository: String,
    /// The rules that give the tags, in order.
    pub rules: Vec<TagRule>,
    /// All registries of the release, in the order of the plan, this one among them.
    pub beside: Arc<[Arc<RegistryDef>]>,
    /// What the image stands on, where that is in a registry: layers need not be sent to a registry that has them already.
    pub bases: Arc<[MountFrom]>,
}

/// A repository that may have some of an image's blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountFrom {
    /// The repository of a base.
    Base(Repository),
    /// The repository of another image of the plan, beside that of this one.
    Image(String),
}

/// A list of what is in one platform's image.
#[derive(Debug, Clone)]
pub struct SbomAction {
    /// The image's name.
    pub repository: String,
    /// Seconds since 1970 for its time.
    pub epoch: i64,
}

/// A record of what an image was made of.
#[derive(Debug, Clone)]
pub struct ProvenanceAction {
    /// The image.
    pub image: Arc<ImageDef>,
    /// The commit that its sources are of.
    pub commit: Option<Commit>,
    /// What the plan was.
    pub asked: Arc<Asked>,
}

/// What goes beside an image in one registry.
#[derive(Debug, Clone)]
pub struct EvidenceAction {
    /// Where, and of what.
    pub publication: PublishAction,
    /// What.
    pub evidence: EvidenceDef,
}

impl PublishAction {
    /// The tags that the rules give where `existing` tags stand already.
    #[must_use]
    pub fn tags<S: AsRef<str>>(&self, existing: &[S]) -> Vec<Tag> {
        once(self.rules.iter().flat_map(|rule| rule.tags(existing)))
    }

    /// The tags that the rules can give, whatever stands anywhere.
    #[must_use]
    pub fn all_tags(&self) -> Vec<Tag> {
        once(self.rules.iter().flat_map(TagRule::all))
    }

    /// Shorter forms that a higher version leads where `existing` tags stand, each with the tag of that version.
    #[must_use]
    pub fn led<S: AsRef<str>>(&self, existing: &[S]) -> Vec<(Tag, Tag)> {
        self.rules.iter().flat_map(|rule| rule.led(existing)).collect()
    }

    /// The registry whose tags are moved first and which the others follow: the first one that is no folder.
    #[must_use]
    pub fn leader(&self) -> Option<&Arc<RegistryDef>> {
        self.beside.iter().find(|registry| matches!(registry.place, RegistryPlace::Remote { .. }))
    }

    /// Whether it is this one.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leader().is_some_and(|leader| leader.name == self.registry.name)
    }

    /// The same image in another registry.
    #[must_use]
    pub fn at(&self, registry: &Arc<RegistryDef>) -> Self {
        Self { registry: Arc::clone(registry), ..self.clone() }
    }
}

/// Each tag once, where it came first.
fn once(tags: impl Iterator<Item = Tag>) -> Vec<Tag> {
    tags.collect::<IndexSet<Tag>>().into_iter().collect()
}
