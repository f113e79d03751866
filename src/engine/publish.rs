//! Push and tag steps: bytes by digest first, names last, into registries and OCI layouts.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{BoxFuture, try_join_all};

use crate::base::digest::BlobDigest;
use crate::base::path::{AbsPath, RelPath};
use crate::base::size::ByteSize;
use crate::base::words;
use crate::event::FailureClass;
use crate::graph::action::{MountFrom, PublishAction};
use crate::graph::ingredients::Ingredients;
use crate::image::build::ImageError;
use crate::image::{layout, publish};
use crate::oci::descriptor::Descriptor;
use crate::oci::reference::{Repository, Tag};
use crate::plan::RegistryPlace;
use crate::plan::tag::TagRule;

use super::embedded::refused;
use super::tagging::{self, Board, Moves, Ruled};
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
    stand(folder).into_keys().collect()
}

/// The tags of a layout; a folder that is none has none.
pub(super) fn stand(folder: &AbsPath) -> BTreeMap<String, Descriptor> {
    layout::tags(folder).unwrap_or_default()
}

/// A blob that is gone or damaged is noticed when it is handed on.
pub(super) fn unpublished(error: publish::PublishError) -> Failure {
    match &error {
        publish::PublishError::Store(error) | publish::PublishError::Image(ImageError::Store(error)) => Failure::store(error),
        _ => Failure::disk(error),
    }
}

/// The tags of a repository where the rules need them: a higher version may stand there already.
pub(super) async fn listed(machine: &Machine, publication: &PublishAction, repository: &Repository) -> Result<Vec<String>, Failure> {
    let versions = publication.rules.iter().any(|rule| matches!(rule, TagRule::Semver(_)));
    if versions { machine.registries.tags(repository).await.map_err(refused) } else { Ok(Vec::new()) }
}

/// Looks at the tags that the plan lets never move. It is asked before anything is pushed, so that no registry gets a tag of a
/// release that another one refuses, and again before tags move.
async fn guard(machine: &Machine, publication: &PublishAction, image: &Descriptor) -> Result<(), Failure> {
    if publication.registry.immutable.is_empty() {
        return Ok(());
    }
    let stay = |tag: &Tag| publication.registry.is_immutable(tag);
    match place(machine, publication)? {
        Place::Layout { folder, shown } => {
            let stand = stand(&folder);
            for tag in publication.tags(&stand.keys().collect::<Vec<_>>()).iter().filter(|tag| stay(tag)) {
                let old = stand.get(tag.as_str()).map(|image| image.digest).filter(|old| *old != image.digest);
                old.map_or(Ok(()), |old| Err(tagging::fixed(&shown.to_string(), tag, old, image.digest)))?;
            }
        }
        Place::Remote(repository) => {
            let board = Remote { machine, publication, repository, image };
            for tag in board.ruled().await?.own.iter().filter(|tag| stay(tag)) {
                let old = board.stands(tag).await?.filter(|old| *old != image.digest);
                old.map_or(Ok(()), |old| Err(tagging::fixed(&board.name(), tag, old, image.digest)))?;
            }
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
            let published =
                publish::publish_blobs(&machine.store, &image.descriptor, &folder, publish::Check::Size).map_err(unpublished)?;
            let detail = format!("{shown}: {} written, {}", words::count(published.written, "blob"), ByteSize(published.bytes));
            Ok(Made { detail: Some(detail), ..Made::default() })
        }
        Place::Remote(repository) => {
            let pushed = machine.registries.push(&repository, &image.descriptor, &mounts(publication)).await;
            let report = pushed.map_err(|error| untagged(refused(error)))?;
            let unchanged = report.sent == 0 && report.mounted == 0;
            let detail = if unchanged {
                format!("{repository} has {}", image.descriptor.digest)
            } else {
                format!(
                    "{repository}@{}: {} sent, {} there already, {}",
                    image.descriptor.digest,
                    report.sent,
                    report.existing + report.mounted,
                    ByteSize(report.bytes)
                )
            };
            Ok(Made { detail: Some(detail), unchanged, ..Made::default() })
        }
    }
}

/// Where the registry may have some of the blobs already.
fn mounts(publication: &PublishAction) -> Vec<Repository> {
    let RegistryPlace::Remote { host, prefix } = &publication.registry.place else { return Vec::new() };
    let of = |from: &MountFrom| match from {
        MountFrom::Base(repository) => Some(repository.clone()),
        MountFrom::Image(name) => Repository::of([host, prefix, name]).ok(),
    };
    publication.bases.iter().filter_map(of).collect()
}

/// Tags wait for every push of the image, so after one that failed none of them has moved, in any registry.
pub(super) fn untagged(mut failure: Failure) -> Failure {
    let safe = "no tag was moved";
    failure.help = Some(failure.help.map_or_else(|| safe.to_owned(), |help| format!("{help}; {safe}")));
    failure
}

/// Moves the tags, after every push of the image.
pub async fn tag(machine: &Arc<Machine>, job: &Job<'_>, publication: &PublishAction) -> Result<Made, Failure> {
    let image = &super::root_image(job)?.1.descriptor;
    match place(machine, publication)? {
        Place::Layout { folder, shown } => {
            guard(machine, publication, image).await?;
            let tags = publication.tags(&existing(&folder));
            let changed = publish::publish_tags(&folder, image, &tags).map_err(Failure::disk)?;
            Ok(Made { detail: Some(told(&shown, &tags, image)), unchanged: !changed, ..Made::default() })
        }
        Place::Remote(repository) => {
            let board = Remote { machine, publication, repository, image };
            let leader = publication.leader().filter(|_| !publication.leads()).map(|leader| publication.at(leader));
            let leader = match &leader {
                Some(publication) => match place(machine, publication)? {
                    Place::Remote(repository) => Some(Remote { machine, publication, repository, image }),
                    Place::Layout { .. } => None,
                },
                None => None,
            };
            let mut moves = Moves::default();
            let settled = tagging::settle(&board, leader.as_ref().map(|leader| leader as &dyn Board), image.digest, &mut moves).await;
            settled.map_err(|failure| interrupted(failure, &board, leader.as_ref(), &moves))?;
            for (tag, from) in &moves.moved {
                if let Some(from) = from.filter(|_| moves.own.contains(tag)) {
                    let (from, to) = (from.0.short(), image.digest.0.short());
                    job.notice(machine, format!("`{}:{tag}` moved from {from} to {to}", board.repository));
                }
            }
            for (tag, theirs) in &moves.overtaken {
                let text = format!("`{}:{tag}` names {theirs}: somebody else moved it at the same time", board.repository);
                job.notice(machine, text);
            }
            let detail = told(&board.repository, &moves.own, image);
            Ok(Made { detail: Some(detail), unchanged: moves.moved.is_empty(), ..Made::default() })
        }
    }
}

/// A failure in the second phase says what stands where, and that the next run goes on from there.
fn interrupted(mut failure: Failure, board: &Remote<'_>, leader: Option<&Remote<'_>>, moves: &Moves) -> Failure {
    let mut stand: Vec<String> = leader.iter().map(|leader| format!("the tags of `{}`", leader.repository)).collect();
    if !moves.own.is_empty() {
        let tags: Vec<String> = moves.own.iter().map(ToString::to_string).collect();
        stand.push(format!("{} of `{}`", words::list(&tags, "and"), board.repository));
    }
    if let Some(tag) = &moves.unknown {
        failure.reason = format!("{}; whether `{}:{tag}` moved is not known", failure.reason, board.repository);
    } else if stand.is_empty() {
        return untagged(failure);
    }
    if !stand.is_empty() {
        failure.reason = format!("{}; {} already name the image", failure.reason, stand.join(" and "));
    }
    if failure.class == FailureClass::Environment {
        let next = "the next run moves the tags that are left and sends nothing twice";
        failure.help = Some(failure.help.map_or_else(|| next.to_owned(), |help| format!("{help}; {next}")));
    }
    failure
}

/// A repository of a registry.
struct Remote<'a> {
    machine: &'a Machine,
    publication: &'a PublishAction,
    repository: Repository,
    image: &'a Descriptor,
}

impl Board for Remote<'_> {
    fn ruled(&self) -> BoxFuture<'_, Result<Ruled, Failure>> {
        Box::pin(async {
            let publication = self.publication;
            let existing = listed(self.machine, publication, &self.repository).await?;
            let mut own = publication.tags(&existing);
            // The mark comes last: a tag that other commits give, too.
            let is_own = |tag: &Tag| publication.rules.iter().any(|rule| matches!(rule, TagRule::Sha(sha) if sha == tag));
            own.sort_by_key(|tag| (!self.is_fixed(tag), !is_own(tag)));
            Ok(Ruled { own, led: publication.led(&existing) })
        })
    }

    /// Whoever leads makes sure that the image stands in every registry before the first tag of any of them moves.
    fn before(&self) -> BoxFuture<'_, Result<(), Failure>> {
        let (machine, publication, image) = (self.machine, self.publication, self.image);
        Box::pin(async move {
            // Where there is one registry alone, it says itself at the first tag that a part is missing, and none has moved.
            let others = if publication.beside.len() > 1 { &*publication.beside } else { &[] };
            let check = others.iter().map(async |registry| {
                let Place::Remote(repository) = place(machine, &publication.at(registry))? else { return Ok(()) };
                if !machine.registries.has(&repository, image.digest).await.map_err(refused)? {
                    machine.registries.push(&repository, image, &[]).await.map_err(refused)?;
                }
                Ok::<_, Failure>(())
            });
            try_join_all(check).await.map(drop)
        })
    }

    fn stands<'a>(&'a self, tag: &'a Tag) -> BoxFuture<'a, Result<Option<BlobDigest>, Failure>> {
        Box::pin(async { self.machine.registries.standing(&self.repository, tag).await.map_err(refused) })
    }

    fn put<'a>(&'a self, tag: &'a Tag, image: BlobDigest) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let registries = &self.machine.registries;
            if image == self.image.digest {
                return registries.write_tag(&self.repository, tag, self.image).await.map(|()| true).map_err(refused);
            }
            registries.point_tag(&self.repository, tag, image).await.map_err(refused)
        })
    }

    fn is_fixed(&self, tag: &Tag) -> bool {
        self.publication.registry.is_immutable(tag)
    }

    fn name(&self) -> String {
        self.repository.to_string()
    }
}

/// `ghcr.io/acme/web: 1.2.0, 1.2, 1, latest = sha256:…`.
fn told(place: &dyn std::fmt::Display, tags: &[Tag], image: &Descriptor) -> String {
    let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
    format!("{place}: {} = {}", tags.join(", "), image.digest)
}
