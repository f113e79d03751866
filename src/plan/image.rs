//! `image` nodes: what goes into an image, and its way to the registries.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Span;
use crate::base::id::{Cell, TargetName};
use crate::base::path::RelPath;
use crate::base::platform::Platform;
use crate::oci::reference::{Reference, Tag};

use super::dockerfile::Dockerfile;
use super::evidence::EvidenceDef;
use super::policy::Severity;
use super::service::Retention;
use super::target::FileSet;

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
    /// What it stands on.
    pub base: Base,
    /// What makes a layer, from the lowest up.
    pub layers: Vec<LayerDef>,
    /// Whether its own layers become one.
    pub squash: bool,
    /// The Dockerfile that says all the rest.
    pub dockerfile: Option<Dockerfile>,
    /// What the config says.
    pub settings: Settings,
}

impl Recipe {
    /// The copies among its layers.
    pub fn copies(&self) -> impl Iterator<Item = &Copy> {
        self.layers.iter().filter_map(|layer| if let LayerDef::Copy(copy) = layer { Some(copy) } else { None })
    }
}

/// What makes one layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum LayerDef {
    /// Files.
    Copy(Copy),
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

/// What an image stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Base {
    /// Nothing.
    Scratch,
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
    /// Another image of the plan, for the same platform and, where both have one, the same cell.
    Target {
        /// Which.
        name: TargetName,
        /// Its place.
        span: Span,
    },
}

/// A `copy` node. The rules of `to` are Docker's: with a trailing `/`, or with several files, it is a folder.
/// A source that is a folder gives its content. A glob keeps the path below its literal beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Copy {
    /// What is copied, from the project or from outputs of other targets.
    pub from: FileSet,
    /// An absolute path in the image, as written.
    pub to: String,
    /// Owner and group; `0:0` unless given.
    pub owner: (u32, u32),
    /// Mode of files; `None` keeps 755 for executables and 644 for the rest. Folders are 755.
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

/// A rule that gives tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TagRule {
    /// The text itself.
    Literal(Tag),
    /// A version and the shorter forms that it leads: `1.4.2`, `1.4`, `1`, `latest`.
    Semver(semver::Version),
    /// The slugged name of the branch.
    Branch(Tag),
    /// `sha-` and the commit's first 12 digits.
    Sha(Tag),
    /// `pr-` and the number of the pull request.
    Request(Tag),
    /// The day of the commit: `2026-11-22`.
    Date(Tag),
}
