//! What a name on the command line means among the things that can be pinned.

use std::collections::BTreeSet;

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::words::{closest, list, visible};
use crate::oci::reference::{Reference, Repository};

use super::ImageName;

/// Names of things that can be pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Images.
    pub images: BTreeSet<ImageName>,
    /// Sources of remote plans, with the name that the plan gives each.
    pub includes: BTreeSet<(String, String)>,
    /// Tools.
    pub tools: BTreeSet<String>,
}

/// Names that are offered when none is near.
const OFFERED: usize = 12;

/// Finds what was typed: a reference (`alpine:3.20`), a repository (every tag of it), a source or the name of an include, a tool.
///
/// # Errors
/// When it is none of them.
pub fn named(all: &Named, typed: &str) -> Result<Named, Diagnostic> {
    let reference: Option<Reference> = typed.parse().ok();
    let whole: Option<Repository> = typed.parse().ok();
    let exact = reference.as_ref().filter(|reference| reference.tag.is_some()).and_then(ImageName::of);
    let is_meant = |image: &&ImageName| {
        let repository = &image.reference().repository;
        exact.as_ref() == Some(image)
            // The last parts of a repository are enough: `web` for `ghcr.io/acme/web`.
            || whole.as_ref().is_some_and(|whole| whole == repository || repository.name() == typed || repository.name().ends_with(&format!("/{typed}")))
    };
    let found = Named {
        images: all.images.iter().filter(is_meant).cloned().collect(),
        includes: all.includes.iter().filter(|(source, name)| source == typed || name == typed).cloned().collect(),
        tools: all.tools.iter().filter(|name| *name == typed).cloned().collect(),
    };
    if found != Named::default() {
        return Ok(found);
    }
    let mut known: Vec<String> = all.images.iter().map(|name| name.reference().familiar()).collect();
    known.extend(all.includes.iter().map(|(_, name)| name.clone()));
    known.extend(all.tools.iter().cloned());
    let fault =
        Diagnostic::new(Class::Usage, "lock::unknown-name", format!("the plan has nothing to pin that is named `{}`", visible(typed)));
    Err(fault.help(match closest(typed, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "nothing that the plan names can move".to_owned(),
        None => format!("it can pin {}", list(&known[..known.len().min(OFFERED)], "and")),
    }))
}
