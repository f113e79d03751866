//! Names that are printed and typed (`web/scan@linux/arm64`) and the dense index that never is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::platform::Platform;

/// What a user names: a task, an image or a group. Letters, digits, `_`, `-`, `.`, and `:` between a namespace and a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName(Arc<str>);

/// Why a text cannot name a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing was written.
    #[error("is empty")]
    Empty,
    /// The command line would take it for an option.
    #[error("begins with `{}`; a name begins with a letter, a digit or `_`", super::words::visible(&.0.to_string()))]
    Start(char),
    /// Other characters have a meaning in step names or are confusing on a screen.
    #[error("holds {0:?}; a name has letters, digits, `_`, `-`, `.` and `:`")]
    Character(char),
    /// Longer than 128 characters.
    #[error("is longer than 128 characters")]
    TooLong,
}

impl TargetName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TargetName {
    /// What stands before the last `:`, for `ci:test` the name under which its file is included.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.0.rsplit_once(':').map(|(namespace, _)| namespace)
    }
}

impl FromStr for TargetName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let first = text.chars().next().ok_or(BadName::Empty)?;
        if !(first.is_alphanumeric() || first == '_') {
            return Err(BadName::Start(first));
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'))) {
            return Err(BadName::Character(bad));
        }
        if text.chars().count() > 128 {
            return Err(BadName::TooLong);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TargetName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TargetName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a step does. A task's and a group's own step have no word of their own in a step name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Runs the commands of a task.
    Run,
    /// Fetches the base image for one platform and pins its digest.
    Base,
    /// Fetches an image for one platform that files are copied from, and pins its digest.
    Stage,
    /// Writes layers, config and manifest for one platform.
    Build,
    /// Joins the platforms' manifests under one index.
    Index,
    /// Holds one platform's image against its policy and writes its SBOM.
    Scan,
    /// Lists what is in one platform's image, where no scan does.
    Sbom,
    /// Records what the image was made of.
    Provenance,
    /// Writes the image into files and folders of the project.
    Save,
    /// Sends blobs and manifests, by digest, to one registry. No tag moves.
    Push,
    /// Signs the image in one registry and sends what goes beside it, after every push of the image.
    Evidence,
    /// Moves the tags in one registry, after every push of the image and all evidence.
    Tag,
    /// Starts a service and waits until it is healthy.
    Up,
    /// Does nothing itself: stands for its members.
    Group,
}

impl StepKind {
    /// All kinds, in the order of an image's chain.
    pub const ALL: &'static [Self] = &[
        Self::Run,
        Self::Base,
        Self::Stage,
        Self::Build,
        Self::Index,
        Self::Scan,
        Self::Sbom,
        Self::Provenance,
        Self::Save,
        Self::Push,
        Self::Evidence,
        Self::Tag,
        Self::Up,
        Self::Group,
    ];

    /// The word in a step name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Base => "base",
            Self::Stage => "stage",
            Self::Build => "build",
            Self::Index => "index",
            Self::Scan => "scan",
            Self::Sbom => "sbom",
            Self::Provenance => "provenance",
            Self::Save => "save",
            Self::Push => "push",
            Self::Evidence => "evidence",
            Self::Tag => "tag",
            Self::Up => "up",
            Self::Group => "group",
        }
    }
    const fn is_silent(self) -> bool {
        matches!(self, Self::Run | Self::Group)
    }
}

/// The values of the matrix variables that make one cell, in the order of their declaration.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cell(pub Vec<(String, String)>);

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let parts: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={}", super::words::visible(value))).collect();
        write!(f, "[{}]", parts.join(","))
    }
}

/// The printed name of a step: `compile[bin=api]@linux/arm64`, `web/build@linux/arm64`, `web/push:ghcr`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepName {
    /// The target that the step belongs to.
    pub target: TargetName,
    /// The matrix cell.
    pub cell: Cell,
    /// What it does.
    pub kind: StepKind,
    /// For one platform, where that applies.
    pub platform: Option<Platform>,
    /// For one registry of the plan, or of one image elsewhere, where that applies.
    pub registry: Option<String>,
}

impl StepName {
    /// A step of `target` without cell, platform or registry.
    #[must_use]
    pub fn new(target: TargetName, kind: StepKind) -> Self {
        Self { target, cell: Cell::default(), kind, platform: None, registry: None }
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.target, self.cell)?;
        if !self.kind.is_silent() {
            write!(f, "/{}", self.kind.word())?;
        }
        if let Some(platform) = &self.platform {
            write!(f, "@{platform}")?;
        }
        if let Some(registry) = &self.registry {
            write!(f, ":{registry}")?;
        }
        Ok(())
    }
}

/// The dense index of a step in one graph. Never printed, and stored only with what proves that the graph is the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub u32);

impl StepId {
    /// For indexing.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The name of one run of kiln: the moment it began and a few random digits, sortable as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_confuse_a_command_line_are_refused() {
        for (text, expected) in [
            ("", Err(BadName::Empty)),
            ("-rf", Err(BadName::Start('-'))),
            ("a/b", Err(BadName::Character('/'))),
            ("a b", Err(BadName::Character(' '))),
            ("a@b", Err(BadName::Character('@'))),
            ("web.api-2", Ok("web.api-2")),
        ] {
            assert_eq!(text.parse::<TargetName>().as_ref().map(TargetName::as_str).map_err(|e| *e), expected);
        }
    }

    #[test]
    fn step_names_read_as_the_manual_says() {
        let mut name = StepName::new("api".parse().unwrap(), StepKind::Build);
        name.platform = Some("arm64".parse().unwrap());
        assert_eq!(name.to_string(), "api/build@linux/arm64");
        name.kind = StepKind::Run;
        name.platform = None;
        name.cell = Cell(vec![("bin".into(), "api".into())]);
        assert_eq!(name.to_string(), "api[bin=api]");
    }
}
