//! `kiln promote`: gives an image that stands in a registry another name, there or elsewhere, without building it again.

use clap::Args;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::digest::BlobDigest;
use crate::base::words;
use crate::oci::descriptor::Descriptor;
use crate::oci::reference::{BadReference, Reference, Repository, Tag};
use crate::registry::error::RegistryError;
use crate::registry::push::Report;
use crate::registry::session::Session;
use crate::registry::tags::TagOutcome;
use crate::report::json;
use crate::report::promote::{self as screen, PromoteView, Promoted};

use super::args::Global;
use super::output::Output;
use super::places::{self, Place};
use super::run;

/// Options of `promote`.
#[derive(Debug, Args)]
pub struct Promote {
    /// What is promoted: `ghcr.io/acme/web:1.2.0-rc.1`, or `ghcr.io/acme/web@sha256:…`
    pub image: String,
    /// Its new names: `ghcr.io/acme/web:1.2.0`, or `:1.2.0` in the same repository
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Only says what would move
    #[arg(long)]
    pub dry_run: bool,
}

/// One new name.
struct Target<'a> {
    repository: &'a Repository,
    place: &'a Place,
    tag: Tag,
}

/// # Errors
/// Names that are none, an image that is not there, a tag that may not move, what a registry refuses.
pub fn promote(global: &Global, output: &Output, asked: &Promote) -> Result<u8, Diagnostics> {
    let from = source(&asked.image)?;
    let names = targets(&from.repository, &asked.names)?;
    let repositories: Vec<String> = names.iter().map(|(repository, _)| repository.to_string()).collect();
    let places = places::find(global, &repositories)?;
    let targets: Vec<Target<'_>> =
        places.all.iter().zip(&names).map(|(place, (repository, tag))| Target { repository, place, tag: tag.clone() }).collect();
    let view = run::runtime()?.block_on(all(&places.session, &from, &targets, asked.dry_run))?;
    output.answer(&if output.json { json::document(&view) } else { screen::screen(&view, output.out) });
    Ok(0)
}

fn source(text: &str) -> Result<Reference, Diagnostic> {
    let reference: Reference = text.parse().map_err(|error: BadReference| unnamed(error.to_string()))?;
    if reference.tag.is_none() && reference.digest.is_none() {
        return Err(unnamed(format!("`{reference}` names no image: it has neither a tag nor a digest")));
    }
    Ok(reference)
}

fn targets(from: &Repository, names: &[String]) -> Result<Vec<(Repository, Tag)>, Diagnostics> {
    let (mut found, mut faults) = (Vec::new(), Diagnostics::default());
    for name in names {
        let read = match name.strip_prefix(':') {
            Some(tag) => tag.parse::<Tag>().map(|tag| (from.clone(), Some(tag), None)),
            None => name.parse::<Reference>().map(|one| (one.repository, one.tag, one.digest)),
        };
        match read {
            Ok((repository, Some(tag), None)) => found.push((repository, tag)),
            Ok(_) => faults.push(unnamed(format!("`{}` is no new name: it needs a tag, and no digest", words::visible(name)))),
            Err(error) => faults.push(unnamed(error.to_string())),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

fn unnamed(message: String) -> Diagnostic {
    Diagnostic::new(Class::Usage, "promote::name", message)
        .help("write `kiln promote ghcr.io/acme/web:1.2.0-rc.1 ghcr.io/acme/web:1.2.0`, or `:1.2.0` for the same repository")
}

/// Looks at every tag first, brings the image everywhere, and moves the tags last.
async fn all(session: &Session, from: &Reference, targets: &[Target<'_>], dry_run: bool) -> Result<PromoteView, Diagnostics> {
    let told = |error: RegistryError| Diagnostics::from(error.diagnostic());
    let image = session.resolve(from).await.map_err(told)?;
    let mut stand = Vec::new();
    let mut held = Diagnostics::default();
    for target in targets {
        let old = session.standing(target.repository, &target.tag).await.map_err(told)?;
        if let Some(old) = old.filter(|old| *old != image.digest && target.place.is_immutable(&target.tag)) {
            held.push(immovable(target, old, &image));
        }
        stand.push(old);
    }
    if !held.is_empty() {
        return Err(held);
    }
    let mut view = PromoteView { image: from.to_string(), digest: image.digest.to_string(), dry_run, names: Vec::new() };
    let mut evidence = Vec::new();
    for target in targets {
        let to = target.repository;
        let copied =
            if dry_run || *to == from.repository { None } else { Some(session.copy(&from.repository, to, &image).await.map_err(told)?) };
        evidence.push(copied);
    }
    for ((target, old), copied) in targets.iter().zip(stand).zip(evidence) {
        let to = target.repository;
        let mut report = Report::default();
        let mut about = 0;
        let mut from_digest = old;
        if !dry_run {
            if let Some(copied) = copied {
                (report, about) = (copied.report, copied.evidence);
                for (tag, document) in &copied.tags {
                    session.tag(to, tag, document).await.map_err(told)?;
                }
            }
            from_digest = match session.tag(to, &target.tag, &image).await.map_err(told)? {
                TagOutcome::Moved { from } => from,
                TagOutcome::Already => Some(image.digest),
            };
        }
        view.names.push(Promoted {
            name: format!("{to}:{}", target.tag),
            old: from_digest.map(|old| old.to_string()),
            sent: report.sent,
            mounted: report.mounted,
            bytes: report.bytes,
            evidence: about,
        });
    }
    Ok(view)
}

fn immovable(target: &Target<'_>, old: BlobDigest, image: &Descriptor) -> Diagnostic {
    let Target { repository, tag, .. } = target;
    let message = format!("`{repository}:{tag}` names {old} and may not move to {}", image.digest);
    Diagnostic::new(Class::Policy, "promote::immutable", message).help("its registry is `immutable` for it in the plan; choose a new tag")
}
