//! `include`: the files that make up a plan, found and loaded before any value is known.
//! In: the main document, and [`Sources`] that is asked for others. Out: [`Loaded`], with every fault of every file.
//! Never: a file or a connection of its own; a path outside the project; the same place asked for twice.

mod load;
mod node;

pub use load::load;
pub(super) use node::{Include, include};

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::digest::BlobDigest;
use crate::base::path::RelPath;
use crate::oci::reference::Reference;
use crate::syntax::document::Document;

/// The most files that a plan is made of, those counted twice that are included under two names.
pub const FILE_LIMIT: usize = 256;
/// How deep files may include each other.
pub const DEPTH_LIMIT: usize = 16;
/// The most bytes that all files of a plan have together.
pub const BYTES_LIMIT: usize = 64 * 1024 * 1024;

/// Where an included document is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IncludeSource {
    /// A file of the project.
    Local(RelPath),
    /// A file on a server.
    Https {
        /// The address, `https://host/path`.
        url: String,
        /// What its bytes must hash to, when the plan says so (`sha256=`).
        sha256: Option<BlobDigest>,
    },
    /// An artifact in a registry: `oci:ghcr.io/acme/plans:1`.
    Oci(Reference),
}

impl std::fmt::Display for IncludeSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(path) => path.fmt(f),
            Self::Https { url, .. } => f.write_str(url),
            Self::Oci(reference) => write!(f, "oci:{reference}"),
        }
    }
}

/// The remote plans whose content may change while their names stay, each as the lock names it and as the plan does.
#[must_use]
pub fn remote_names(loaded: &Loaded) -> BTreeSet<(String, String)> {
    let included = loaded.included.iter().filter_map(|one| Some((Some(&one.place), one.document.as_ref()?)));
    let mut names = BTreeSet::new();
    for (from, document) in std::iter::once((None, &loaded.main)).chain(included) {
        for node in document.nodes.iter().filter(|node| node.name.text == "include") {
            let Ok(found) = include(node, from) else { continue };
            let can_move = match &found.place {
                IncludeSource::Local(_) => false,
                IncludeSource::Https { sha256, .. } => sha256.is_none(),
                IncludeSource::Oci(reference) => reference.digest.is_none(),
            };
            if can_move {
                names.insert((found.place.to_string(), found.name.to_owned()));
            }
        }
    }
    names
}

/// Gives the documents that a plan includes.
pub trait Sources {
    /// The document at a place. Its source bears the name that screens show. Asked at most once per place.
    ///
    /// # Errors
    /// [`Unavailable`] says why there is none.
    fn document(&self, place: &IncludeSource) -> Result<Document, Unavailable>;
}

/// Why there is no document.
#[derive(Debug)]
pub enum Unavailable {
    /// There is no such file.
    Missing,
    /// A link on the way leads out of the project.
    Outside,
    /// The file may not be read, or is no file; in words that follow a colon.
    Unreadable(String),
    /// Any other fault, without a place: it gets the place of the `include`.
    Fault(Box<Diagnostic>),
    /// It was read, and its text is at fault.
    Text(Diagnostics),
}

/// All documents of a plan.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// `build.kdl`.
    pub main: Document,
    /// The included ones, each place once, in the order in which they were found.
    pub included: Vec<Included>,
    /// What kept documents from being loaded. [`super::resolve`] gives these with its own, so that all come at once.
    pub faults: Diagnostics,
}

/// A place that a document of the plan includes.
#[derive(Debug, Clone)]
pub struct Included {
    /// Where it is.
    pub place: IncludeSource,
    /// What stands there; `None` when that could not be loaded, which is among the faults.
    pub document: Option<Document>,
}

impl Loaded {
    /// A plan in one file.
    #[must_use]
    pub fn alone(main: Document) -> Self {
        Self { main, included: Vec::new(), faults: Diagnostics::default() }
    }
}
