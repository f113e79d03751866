//! `image` nodes: what goes into an image, and its way to the registries.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Span;
use crate::base::id::{Cell, TargetName};
use crate::base::path::RelPath;
use crate::base::platform::Platform;
use crate::oci::reference::Reference;

use super::dockerfile::Dockerfile;
use super::evidence::EvidenceDef;
use super::policy::Severity;
use super::service::Retention;
use super::tag::TagRule;
use super::target::{FileSet, Output};

/// An image for one matrix cell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageDef {
    /// The matrix variables.
    pub cell: Cell,
    /// The last part of the repository name; the target's name unless `name=` says otherwise.
    pub repository: String,
    /// One recipe per platform, at least one, in the order of the plan.
    pub platforms: Vec<Arc<Recipe>>,
    /// How it is scanned before a push; `None` when there is no `scan` node.
    pub scan: Option<ScanDef>,
    /// Tags, in order of declaration.
    pub tags: Vec<(TagRule, Span)>,
    /// Where it is pushed to.
    pub push: Vec<PushDef>,
    /// Files and folders that it is written into.
    pub saves: Vec<Save>,
    /// What `kiln prune` keeps of it in every registry.
    pub prune: Option<Retention>,
    /// The node.
    pub span: Span,
}

/// An image for one platform, all texts resolved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recipe {
    /// The platform.
    pub platform: Platform,
    /// What it stands on; `None` for `scratch`.
    pub base: Option<Origin>,
    /// What makes a layer, from the lowest up.
    pub layers: Vec<LayerDef>,
    /// Whether its own layers become one.
    pub squash: bool,
    /// How its documents and layers are written.
    pub form: Form,
    /// The Dockerfile that says all the rest.
    pub dockerfile: Option<Dockerfile>,
    /// What the config says.
    pub settings: Settings,
}

impl Recipe {
    /// The copies among its layers.
    pub fn copies(&self) -> impl Iterator<Item = &Copy> {
        self.groups().flatten()
    }

    /// The copies of the project's files.
    pub fn project_copies(&self) -> impl Iterator<Item = &Copy> {
        self.copies().filter(|copy| copy.image.is_none())
    }

    /// The images that it is made from: what it stands on, then those that files are copied from, as often as they are.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.base.iter().chain(self.copies().filter_map(|copy| copy.image.as_ref()))
    }

    /// The same, to be changed.
    pub fn origins_mut(&mut self) -> impl Iterator<Item = &mut Origin> {
        let copies = self.layers.iter_mut().filter_map(|layer| if let LayerDef::Copies(copies) = layer { Some(copies) } else { None });
        self.base.iter_mut().chain(copies.flatten().filter_map(|copy| copy.image.as_mut()))
    }

    /// The same, those of one layer together.
    pub fn groups(&self) -> impl Iterator<Item = &[Copy]> {
        self.layers.iter().filter_map(|layer| if let LayerDef::Copies(copies) = layer { Some(copies.as_slice()) } else { None })
    }
}

/// How an image is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// In whose words.
    pub media: Media,
    /// How its own layers are packed.
    pub compression: Compression,
}

/// Whose media types an image's documents have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Media {
    /// Those of the OCI image specification.
    #[default]
    Oci,
    /// Those of Docker's manifest version 2, schema 2, for registries and tools that know no other.
    Docker,
}

impl Media {
    /// The words of the plan.
    pub const WORDS: &'static [&'static str] = &["oci", "docker"];

    /// The word of the plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Oci => Self::WORDS[0],
            Self::Docker => Self::WORDS[1],
        }
    }
}

/// How layers are packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// What every engine reads.
    #[default]
    Gzip,
    /// Faster and smaller; engines and registries since about 2022 read it.
    Zstd,
}

impl Compression {
    /// The words of the plan.
    pub const WORDS: &'static [&'static str] = &["gzip", "zstd"];

    /// The word of the plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gzip => Self::WORDS[0],
            Self::Zstd => Self::WORDS[1],
        }
    }
}

/// What makes one layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum LayerDef {
    /// Files; what several copies give can lie in one layer. Never empty.
    Copies(Vec<Copy>),
    /// An archive, or a file from elsewhere.
    Add(Add),
    /// A command in the image as it is so far.
    Run(RunLayer),
}

/// An `add` node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Add {
    /// What is added.
    pub source: AddSource,
    /// An absolute path in the image; an archive is unpacked there.
    pub to: String,
    /// Owner and group; `0:0` unless given.
    pub owner: (u32, u32),
    /// The node.
    pub span: Span,
}

/// What an `add` node adds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum AddSource {
    /// An archive of the project, or one that a task makes.
    Archive(FileSet),
    /// What an address gives, if it has this digest.
    Url {
        /// `https://…`.
        url: String,
        /// SHA-256, 64 hexadecimal digits in lower case.
        sha256: String,
    },
}

/// A `run` node of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunLayer {
    /// The script, as it was written.
    pub script: String,
    /// The shell, ready to have the script appended.
    pub shell: Vec<String>,
    /// The node.
    pub span: Span,
}

/// A file or folder that an image is written into.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Save {
    /// Where; a path without wildcards, a folder for a layout.
    pub output: Output,
    /// As what.
    pub form: SaveForm,
    /// The name that whoever reads it finds it under.
    pub name: Reference,
}

/// What an image is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaveForm {
    /// A folder in the OCI image layout.
    Layout,
    /// The same as one tar archive.
    Oci,
    /// An archive that is also what `docker load` reads; of one platform.
    Docker,
}

impl SaveForm {
    /// The words of the plan.
    pub const WORDS: &'static [&'static str] = &["layout", "oci", "docker"];

    /// The word of the plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Layout => Self::WORDS[0],
            Self::Oci => Self::WORDS[1],
            Self::Docker => Self::WORDS[2],
        }
    }
}

/// One registry of a `push` node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PushDef {
    /// Its name.
    pub registry: String,
    /// Where it is named.
    pub span: Span,
    /// What is pushed beside the image.
    pub evidence: EvidenceDef,
}

/// An image that another one is made from: it stands on it, or takes files of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Another image of the plan, for the same platform and, where both have one, the same cell.
    Target {
        /// Which.
        name: TargetName,
        /// Its place.
        span: Span,
    },
    /// An image that is fetched.
    Elsewhere(Elsewhere),
}

impl Origin {
    /// The image, if it is fetched.
    #[must_use]
    pub const fn elsewhere(&self) -> Option<&Elsewhere> {
        match self {
            Self::Elsewhere(elsewhere) => Some(elsewhere),
            Self::Target { .. } => None,
        }
    }

    /// The image of the plan with its place, if it is one.
    #[must_use]
    pub const fn target(&self) -> Option<(&TargetName, &Span)> {
        match self {
            Self::Target { name, span } => Some((name, span)),
            Self::Elsewhere(_) => None,
        }
    }

    /// The name, which a pin does not change.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Target { name, .. } => name.to_string(),
            Self::Elsewhere(elsewhere) => elsewhere.shown(),
        }
    }
}

/// An image that the plan does not make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Elsewhere {
    /// An image in a registry.
    Registry {
        /// Which.
        reference: Reference,
        /// Whether plain HTTP may be used.
        insecure: bool,
        /// Its place.
        span: Span,
    },
    /// An image in an OCI layout below the project: `oci:path` or `oci:path:tag`.
    Layout {
        /// The directory.
        path: RelPath,
        /// The `org.opencontainers.image.ref.name`; `None` when the layout holds one image.
        tag: Option<String>,
        /// Its place.
        span: Span,
    },
}

impl Elsewhere {
    /// Its place in the plan.
    #[must_use]
    pub const fn span(&self) -> &Span {
        match self {
            Self::Registry { span, .. } | Self::Layout { span, .. } => span,
        }
    }

    /// The name as a person writes it. A digest is left out where a tag says which, so that a pin changes no name.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Registry { reference, .. } => {
                Reference { digest: reference.digest.filter(|_| reference.tag.is_none()), ..reference.clone() }.familiar()
            }
            Self::Layout { path, tag: Some(tag), .. } => format!("oci:{path}:{tag}"),
            Self::Layout { path, tag: None, .. } => format!("oci:{path}"),
        }
    }

    /// Whether it is named by a tag, which can move.
    #[must_use]
    pub const fn is_mutable(&self) -> bool {
        matches!(self, Self::Registry { reference, .. } if reference.digest.is_none())
    }
}

/// A `copy` node. The rules of `to` are Docker's: with a trailing `/`, or with several files, it is a folder.
/// A source that is a folder gives its content. A glob keeps the path below its literal beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Copy {
    /// What is copied, from the project or from outputs of other targets; with `image`, paths in that.
    pub from: FileSet,
    /// The image, for the same platform, whose files are copied.
    pub image: Option<Origin>,
    /// An absolute path in the image, as written.
    pub to: String,
    /// Owner and group; `0:0` unless given, or what an image says.
    pub owner: Option<(u32, u32)>,
    /// Mode of files; `None` keeps 755 for executables and 644 for the rest, or what an image says. Folders of the project are 755.
    pub mode: Option<u32>,
    /// The node.
    pub span: Span,
}

/// What the config of an image says beyond its base.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `NAME`, value; later ones replace the base's.
    pub env: Vec<(String, String)>,
    /// A name or number, with an optional group.
    pub user: Option<String>,
    /// Absolute.
    pub workdir: Option<String>,
    /// Ports: `8080/tcp`.
    pub expose: Vec<String>,
    /// Absolute paths.
    pub volumes: Vec<String>,
    /// Sorted by name.
    pub labels: Vec<(String, String)>,
    /// Annotations of the manifest and the index, sorted by name.
    pub annotations: Vec<(String, String)>,
    /// `None` keeps the base's.
    pub healthcheck: Option<Health>,
    /// For instance `SIGINT`.
    pub stop_signal: Option<String>,
    /// Who answers for it.
    pub author: Option<String>,
    /// The shell of `healthcheck run` and of Dockerfiles that stand on it; Docker's.
    pub shell: Option<Vec<String>>,
    /// Instructions for a Dockerfile that stands on it; Docker's.
    pub on_build: Vec<String>,
    /// The version of the operating system, which Windows images need.
    pub os_version: Option<String>,
    /// What it needs of the operating system, such as `win32k`.
    pub os_features: Vec<String>,
    /// `None` keeps the base's. Setting it drops the base's `cmd`, as Docker does.
    pub entrypoint: Option<Vec<String>>,
    /// `None` keeps the base's.
    pub cmd: Option<Vec<String>>,
}

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// Turns the base's check off.
    None,
    /// Runs a command.
    Check {
        /// A program and its arguments, or one script for the image's shell.
        command: HealthCommand,
        /// Between two checks.
        interval: Option<Duration>,
        /// For one check.
        timeout: Option<Duration>,
        /// Before failures count.
        start_period: Option<Duration>,
        /// Failures in a row until unhealthy.
        retries: Option<u32>,
    },
}

/// The command of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthCommand {
    /// `healthcheck exec "/app" "check"`.
    Exec(Vec<String>),
    /// `healthcheck run "wget -q localhost"`.
    Shell(String),
}

/// A `scan` node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScanDef {
    /// The name of a policy of the plan, or `None` for the built-in one (every rule of `default` in the reference).
    pub policy: Option<(String, Span)>,
    /// The least severity of a known vulnerability that stops it; `None` when vulnerabilities are not looked for.
    pub fail: Option<(Severity, Span)>,
    /// The node.
    pub span: Span,
}
