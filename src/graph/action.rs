//! Actions: one step of a plan, ready to key.

use std::sync::Arc;

use crate::base::diagnostic::Span;
use crate::base::id::StepName;
use crate::oci::reference::Tag;
use crate::plan::RegistryDef;
use crate::plan::evidence::{Asked, Commit, EvidenceDef};
use crate::plan::image::{Base, ImageDef, Recipe, TagRule};
use crate::plan::policy::{PolicyDef, Severity};
use crate::plan::service::{NetworkDef, ServiceDef, VolumeDef};
use crate::plan::target::{Output, TaskCell};

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
    /// Fetches the base image of [`Recipe::platform`].
    Base(Arc<Recipe>),
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

/// One platform of an image.
#[derive(Debug, Clone)]
pub struct BuildAction {
    /// What goes in.
    pub recipe: Arc<Recipe>,
    /// Seconds since 1970 for `created`.
    pub epoch: i64,
}

impl BuildAction {
    /// Whether the base is named by a tag, which can move.
    #[must_use]
    pub fn has_mutable_base(&self) -> bool {
        matches!(&self.recipe.base, Base::Registry { reference, .. } if reference.digest.is_none())
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
    /// Whether the base is named by a tag.
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
    /// The tags that the rules give where `existing` tags stand already. A release leads its shorter forms, but never takes
    /// one back from a higher version: `1.9.1` after `2.0.1` moves `1.9` and `1` only. A prerelease touches only itself. `+`
    /// of a version becomes `_`, since a tag cannot hold it.
    #[must_use]
    pub fn tags<S: AsRef<str>>(&self, existing: &[S]) -> Vec<Tag> {
        let mut tags: Vec<Tag> = Vec::new();
        for rule in &self.rules {
            let texts = match rule {
                TagRule::Literal(tag) | TagRule::Branch(tag) | TagRule::Sha(tag) | TagRule::Request(tag) | TagRule::Date(tag) => {
                    vec![tag.to_string()]
                }
                TagRule::Semver(version) => forward(version, existing),
            };
            for tag in texts.iter().filter_map(|text| text.parse::<Tag>().ok()) {
                if !tags.contains(&tag) {
                    tags.push(tag);
                }
            }
        }
        tags
    }
}

/// The cascade of a version without the forms that a higher release leads already.
fn forward<S: AsRef<str>>(version: &semver::Version, existing: &[S]) -> Vec<String> {
    let releases: Vec<semver::Version> = existing
        .iter()
        .filter_map(|tag| semver::Version::parse(tag.as_ref().strip_prefix('v').unwrap_or(tag.as_ref())).ok())
        .filter(|other| other.pre.is_empty() && other > version)
        .collect();
    let led = |form: &str| match form {
        "latest" => !releases.is_empty(),
        form if form == version.major.to_string() => releases.iter().any(|other| other.major == version.major),
        form if form == format!("{}.{}", version.major, version.minor) => {
            releases.iter().any(|other| (other.major, other.minor) == (version.major, version.minor))
        }
        _ => false,
    };
    cascade(version).into_iter().filter(|form| !led(form)).collect()
}

/// `1.4.2` → `1.4.2`, `1.4`, `1`, `latest`. Below 1.0 the major says nothing, so `0.3.1` → `0.3.1`, `0.3`, `latest`.
#[must_use]
pub fn cascade(version: &semver::Version) -> Vec<String> {
    let full = version.to_string().replace('+', "_");
    if !version.pre.is_empty() || !version.build.is_empty() {
        return vec![full];
    }
    let mut tags = vec![full, format!("{}.{}", version.major, version.minor)];
    if version.major > 0 {
        tags.push(version.major.to_string());
    }
    tags.push("latest".to_owned());
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_leads_its_shorter_forms_and_a_prerelease_only_itself() {
        for (version, expected) in [
            ("1.4.2", vec!["1.4.2", "1.4", "1", "latest"]),
            ("0.3.1", vec!["0.3.1", "0.3", "latest"]),
            ("2.0.0-rc.1", vec!["2.0.0-rc.1"]),
            ("1.0.0+build.5", vec!["1.0.0_build.5"]),
        ] {
            assert_eq!(cascade(&version.parse().unwrap()), expected, "{version}");
        }
    }

    #[test]
    fn a_shorter_form_never_moves_backwards() {
        for (version, existing, expected) in [
            ("1.9.1", vec!["2.0.1", "2.0", "2", "latest", "1.9.0"], vec!["1.9.1", "1.9", "1"]),
            ("1.9.1", vec!["1.9.2", "1.10.0"], vec!["1.9.1"]),
            ("1.9.3", vec!["1.9.2", "1.10.0"], vec!["1.9.3", "1.9"]),
            ("2.0.0", vec!["1.9.2", "2.0.0", "3.0.0-rc.1", "nightly"], vec!["2.0.0", "2.0", "2", "latest"]),
        ] {
            assert_eq!(forward(&version.parse().unwrap(), &existing), expected, "{version}");
        }
    }
}
