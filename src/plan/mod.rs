//! The plan: what the user asked for, all values resolved, every name checked.
//! In: a document. Out: a [`Plan`], or every fault of the document at once.
//! Never: runs anything, reads an input file, opens a connection.

pub mod arg;
pub mod basis;
pub mod dockerfile;
pub mod evidence;
pub mod explain;
pub mod facts;
pub mod image;
pub mod include;
pub mod isolation;
pub mod lock;
pub mod param;
pub mod policy;
pub mod retry;
pub mod sandbox;
pub mod secret;
pub mod service;
pub mod spec;
pub mod tag;
pub mod target;
pub mod tool;
pub mod undecided;

mod cell;
mod check;
mod check_policies;
mod check_services;
mod cx;
mod expand;
mod matrix;
mod names;
mod read;
mod resolve;
mod scope;
mod template;
mod value;

pub use resolve::resolve;

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::TargetName;
use crate::base::path::RelPath;
use crate::base::pattern::Pattern;
use crate::oci::reference::Tag;

use self::image::ImageDef;
use self::target::{Target, TargetKind};

/// What the command line says about values.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Overrides {
    /// `--set name=value`, in order; a later one replaces an earlier one.
    pub set: Vec<(String, String)>,
    /// The profiles that were chosen, in order; a later one wins.
    pub profiles: Vec<String>,
    /// What was typed behind each target.
    pub calls: Vec<arg::Call>,
    /// What may be asked while the plan is resolved.
    pub ask: Ask,
    /// Values that names have in place of those that they would have: for a plan as it would be with them.
    pub former: basis::Values,
}

/// What of the world a plan may ask while it is resolved. Everything else has a *stand-in*: a value of a harmless form. What
/// rests on a stand-in gives no faults of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Whatever a value needs.
    #[default]
    Everything,
    /// The repository, and for files, commands and missing parameters only the `let`s and `param`s of these names.
    Only(std::collections::BTreeSet<String>),
    /// Nothing but the environment: for commands that execute nothing.
    Nothing,
}

/// A plan with all that resolving it brought to light.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The plan.
    pub plan: Plan,
    /// Worth knowing; nothing stops. Ordered by place.
    pub warnings: Vec<Diagnostic>,
    /// Every fact that was read, by its name in the plan (`git.sha`, `env.HOME`), in order of reading. An absent fact has an
    /// empty text. Together with the documents and the overrides these decide the plan: when all are the same, so is it.
    pub facts_read: Vec<(String, String)>,
    /// What rests on stand-ins.
    pub undecided: undecided::Undecided,
    /// Whether a value had to be asked for or had a stand-in, the facts of the repository aside. If not, the plan is the same
    /// whatever may be asked.
    pub asks: bool,
}

/// A whole plan. Immutable once resolved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The `project` node.
    pub project: Project,
    /// `param` nodes by name, in order of declaration, with the values in force.
    pub params: IndexMap<String, param::ParamDef>,
    /// `profile` nodes, in order of declaration.
    pub profiles: Vec<param::ProfileDef>,
    /// `secret` nodes by name.
    pub secrets: IndexMap<String, secret::SecretDef>,
    /// Values of `let`s that files and commands gave, by name, in order of declaration.
    pub asked: IndexMap<String, String>,
    /// `registry` nodes by name.
    pub registries: IndexMap<String, RegistryDef>,
    /// `policy` nodes by name.
    pub policies: IndexMap<String, policy::PolicyDef>,
    /// `network` nodes by name.
    pub networks: IndexMap<String, service::NetworkDef>,
    /// `volume` nodes by name.
    pub volumes: IndexMap<String, service::VolumeDef>,
    /// `tool` nodes, in order of declaration; the documents of a plan may each declare one.
    pub tools: Vec<tool::ToolDef>,
    /// Tasks, images, services and groups by name, in order of declaration. Whoever writes a plan down writes each of them apart, so
    /// that some can be read without the others.
    #[serde(skip)]
    pub targets: IndexMap<TargetName, Target>,
    /// Every value that a definition rests on, by name, as JSON; [`Target::basis`] points here.
    pub basis: IndexMap<String, String>,
    /// What the plan was, where provenance is asked for.
    pub asked_for: Arc<evidence::Asked>,
    /// Seconds since 1970 that images carry as `created`: `SOURCE_DATE_EPOCH`, else the last commit's time, else 0.
    pub epoch: i64,
}

/// The `project` node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Project {
    /// The name.
    pub name: String,
    /// The version, if the plan gives one.
    pub version: Option<String>,
    /// One line about it.
    pub doc: Option<String>,
    /// The targets that `kiln run` runs when none is named.
    pub default: Vec<TargetName>,
}

/// Where images are published.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegistryDef {
    /// The name used in `push`.
    pub name: String,
    /// The place.
    pub place: RegistryPlace,
    /// Whether plain HTTP may be used although the host is not the loopback (`insecure`).
    pub insecure: bool,
    /// Certificates for connections to it.
    pub certificates: Certificates,
    /// Tags that never move once they stand, as patterns in which `*` is any text; empty when all may.
    pub immutable: Vec<String>,
    /// What `kiln prune` keeps, where the image says nothing itself.
    pub prune: Option<service::Retention>,
    /// The node.
    pub span: Span,
}

/// PEM files of a registry: in the project, absolute, or `~/…`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// The authorities that it may be signed by, beside those of the system.
    pub authorities: Vec<String>,
    /// The certificate that kiln shows.
    pub own: Option<String>,
    /// The key of that certificate, where it lies in a file of its own.
    pub key: Option<String>,
}

impl Plan {
    /// All images, those of one target in the order of its cells.
    pub fn images(&self) -> impl Iterator<Item = (&Target, &ImageDef)> {
        self.targets.values().flat_map(|target| {
            let images = if let TargetKind::Image(images) = &target.kind { images.as_slice() } else { &[] };
            images.iter().map(move |image| (target, &**image))
        })
    }
}

impl RegistryDef {
    /// Whether the plan lets this tag never move once it stands.
    #[must_use]
    pub fn is_immutable(&self, tag: &Tag) -> bool {
        let Ok(path) = RelPath::new(tag.as_str()) else { return false };
        self.immutable.iter().any(|pattern| Pattern::new(pattern).is_ok_and(|pattern| pattern.selects(&path)))
    }
}

/// The kinds of places that take images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryPlace {
    /// A distribution registry: `ghcr.io/acme`. The image's name is appended as the last part of the repository.
    Remote {
        /// `host[:port]`.
        host: String,
        /// What stands before the image's name; may be empty.
        prefix: String,
    },
    /// A directory in OCI layout below the project, one per image: `oci:dist/images` gives `dist/images/web`.
    Layout(RelPath),
}
