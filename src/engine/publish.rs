//! Push and tag steps: bytes by digest first, names last, into registries and OCI layouts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::path::{AbsPath, RelPath};
use crate::base::size::ByteSize;
use crate::base::words;
use crate::event::FailureClass;
use crate::graph::action::PublishAction;
use crate::graph::ingredients::Ingredients;
use crate::image::build::ImageError;
use crate::image::{layout, publish};
use crate::oci::descriptor::Descriptor;
use crate::oci::reference::{Repository, Tag};
use crate::plan::RegistryPlace;
use crate::plan::tag::TagRule;
use crate::registry::tags::TagOutcome;

use super::embedded::failure;
use super::{Failure, Job, Machine, Made};

/// Where one image goes.
pub(super) enum Place {
    Remote(Repository),
    Layout { folder: AbsPath, shown: RelPath },
}

pub(super) fn place(machine: &Machine, publication: &PublishAction) -> Result<Place, Failure> {
    match &publication.registry.place {
        RegistryPlace::Layout(folder) => {
            let folder = folder.join(&publication.repository).map_err(|error| Failure::new(FailureClass::Step, error, None))?;
            Ok(Place::Layout { folder: machine.root.at(&folder), shown: folder })
        }
        RegistryPlace::Remote { host, prefix } => Repository::of([host, prefix, &publication.repository])
            .map(Place::Remote)
            .map_err(|error| Failure::new(FailureClass::Step, error, None)),
    }
}

/// Whether an image (and, with `tags`, its tags) already stands in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// All of it; in a few words.
    Complete(String),
    /// Not all of it.
    Incomplete,
    /// A registry must be asked.
    Unknown,
}

/// Looks at a layout; asks no registry.
#[must_use]
pub fn standing(machine: &Machine, taken: &Ingredients, publication: &PublishAction, tags: bool) -> Standing {
    let Ok(Place::Layout { folder, shown }) = place(machine, publication) else { return Standing::Unknown };
    let Some((_, image)) = taken.images.first() else { return Standing::Incomplete };
    let tags = if tags { publication.tags(&existing(&folder)) } else { Vec::new() };
    if publish::check_layout(&machine.store, &folder, &image.descriptor, &tags, &image.blobs) {
        return Standing::Complete(told(&shown, &tags, &image.descriptor));
    }
    Standing::Incomplete
}

fn existing(folder: &AbsPath) -> Vec<String> {
    layout::tags(folder).map(|tags| tags.into_keys().collect()).unwrap_or_default()
}

/// A blob that is gone or damaged is noticed when it is handed on.
pub(super) fn unpublished(error: publish::PublishError) -> Failure {
    match &error {
        publish::PublishError::Store(error) | publish::PublishError::Image(ImageError::Store(error)) => Failure::store(error),
        _ => Failure::disk(error),
    }
}

/// The tags that the rules give in this place now: a higher version may stand there already.
pub(super) async fn tags_of(machine: &Machine, publication: &PublishAction, place: &Place) -> Result<Vec<Tag>, Failure> {
    let versions = publication.rules.iter().any(|rule| matches!(rule, TagRule::Semver(_)));
    let existing = match place {
        Place::Layout { folder, .. } => existing(folder),
        Place::Remote(repository) if versions => machine.registries.tags(repository).await.map_err(|error| failure(error.diagnostic()))?,
        Place::Remote(_) => Vec::new(),
    };
    Ok(publication.tags(&existing))
}

/// Looks at the tags that the plan lets never move. It is asked before anything is pushed, so that no registry gets a tag of a
/// release that another one refuses, and again before tags move.
async fn guard(machine: &Machine, publication: &PublishAction, image: &Descriptor) -> Result<(), Failure> {
    if publication.registry.immutable.is_empty() {
        return Ok(());
    }
    let place = place(machine, publication)?;
    let stand = match &place {
        Place::Layout { folder, .. } => layout::tags(folder).unwrap_or_default(),
        Place::Remote(_) => BTreeMap::new(),
    };
    for tag in tags_of(machine, publication, &place).await?.into_iter().filter(|tag| publication.registry.is_immutable(tag)) {
        let (old, shown) = match &place {
            Place::Layout { shown, .. } => (stand.get(tag.as_str()).map(|image| image.digest), shown.to_string()),
            Place::Remote(repository) => {
                let old = machine.registries.standing(repository, &tag).await.map_err(|error| failure(error.diagnostic()))?;
                (old, repository.to_string())
            }
        };
        if let Some(old) = old.filter(|old| *old != image.digest) {
            let reason = format!("`{shown}:{tag}` names {old} and may not move to {}", image.digest);
            let help = format!("the registry `{}` is `immutable` for it in the plan; choose a new version", publication.registry.name);
            return Err(Failure::new(FailureClass::Policy, reason, Some(help)));
        }
    }
    Ok(())
}

/// Sends blobs and manifests. No tag moves.
pub async fn push(machine: &Arc<Machine>, job: &Job<'_>, publication: &PublishAction) -> Result<Made, Failure> {
    let image = &super::root_image(job)?.1;
    guard(machine, publication, &image.descriptor).await.map_err(untagged)?;
    match place(machine, publication)? {
        Place::Layout { folder, shown } => {
            let (shared, top, root) = (Arc::clone(machine), image.descriptor.clone(), folder);
            let published = tokio::task::spawn_blocking(move || publish::publish_blobs(&shared.store, &top, &root, publish::Check::Size))
                .await
                .map_err(Failure::disk)?
                .map_err(unpublished)?;
            let detail = format!("{shown}: {} written, {}", words::count(published.written, "blob"), ByteSize(published.bytes));
            Ok(Made { detail: Some(detail), ..Made::default() })
        }
        Place::Remote(repository) => {
            let pushed = machine.registries.push(&repository, &image.descriptor, &[]).await;
            let report = pushed.map_err(|error| untagged(failure(error.diagnostic())))?;
            let unchanged = report.sent == 0 && report.mounted == 0;
            let detail = if unchanged {
                format!("{repository} has {}", image.descriptor.digest)
            } else {
                format!(
                    "{repository}@{}: {} sent, {} there already, {}",
                    image.descriptor.digest,
                    report.sent,
                    report.existing,
                    ByteSize(report.bytes)
                )
            };
            Ok(Made { detail: Some(detail), unchanged, ..Made::default() })
        }
    }
}

/// Tags wait for every push of the image, so after one that failed none of them has moved, in any registry.
pub(super) fn untagged(mut failure: Failure) -> Failure {
    let safe = "no tag was moved";
    failure.help = Some(failure.help.map_or_else(|| safe.to_owned(), |help| format!("{help}; {safe}")));
    failure
}

/// Moves the tags, after every push of the image.
pub async fn tag(machine: &Arc<Machine>, job: &Job<'_>, publication: &PublishAction) -> Result<Made, Failure> {
    let image = &super::root_image(job)?.1;
    guard(machine, publication, &image.descriptor).await?;
    let place = place(machine, publication)?;
    let tags = tags_of(machine, publication, &place).await?;
    match place {
        Place::Layout { folder, shown } => {
            let (top, moved) = (image.descriptor.clone(), tags.clone());
            let changed = tokio::task::spawn_blocking(move || publish::publish_tags(&folder, &top, &moved))
                .await
                .map_err(Failure::disk)?
                .map_err(Failure::disk)?;
            Ok(Made { detail: Some(told(&shown, &tags, &image.descriptor)), unchanged: !changed, ..Made::default() })
        }
        Place::Remote(repository) => {
            let mut unchanged = true;
            let mut done: Vec<&Tag> = Vec::new();
            for tag in &tags {
                match machine.registries.tag(&repository, tag, &image.descriptor).await {
                    Ok(TagOutcome::Already) => {}
                    Ok(TagOutcome::Moved { from }) => {
                        unchanged = false;
                        if let Some(from) = from {
                            job.notice(
                                machine,
                                format!("`{repository}:{tag}` moved from {} to {}", from.0.short(), image.descriptor.digest.0.short()),
                            );
                        }
                    }
                    Err(error) => {
                        let mut failure = failure(error.diagnostic());
                        if !done.is_empty() {
                            let stand: Vec<String> = done.iter().map(ToString::to_string).collect();
                            failure.reason =
                                format!("{}; {} of `{repository}` already name the image", failure.reason, words::list(&stand, "and"));
                        }
                        return Err(failure);
                    }
                }
                done.push(tag);
            }
            Ok(Made { detail: Some(told(&repository, &tags, &image.descriptor)), unchanged, ..Made::default() })
        }
    }
}

/// `ghcr.io/acme/web: 1.2.0, 1.2, 1, latest = sha256:…`.
fn told(place: &dyn std::fmt::Display, tags: &[Tag], image: &Descriptor) -> String {
    let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
    format!("{place}: {} = {}", tags.join(", "), image.digest)
}
