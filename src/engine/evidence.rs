//! Evidence steps: what goes beside an image is made, signed and sent, after every push and before any tag moves.
//! In: an image that stands at its registry, what scans and provenance steps wrote, a key. Out: artifacts by digest, then the lists
//! and tags of evidence by which they are found.
//! Never: a second signature where one of the same key stands, an entry of somebody else lost.

use std::sync::Arc;

use futures_util::future::try_join_all;

use crate::base::digest::{ContentDigest, Sha256};
use crate::base::id::{StepKind, StepName};
use crate::base::platform::Platform;
use crate::base::words;
use crate::event::FailureClass;
use crate::evidence::artifact::{self, Artifact, Companion, Layer};
use crate::evidence::beside::{Beside, Claim, ClaimKind};
use crate::evidence::key::SigningKey;
use crate::evidence::public::PublicKey;
use crate::graph::action::EvidenceAction;
use crate::image::publish as layout;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, Document, Manifest};
use crate::oci::reference::{Repository, Tag};
use crate::scan::sbom::whole::{Bill, Member, Whole};
use crate::scan::sbom::{document, spdx};

use super::embedded::refused;
use super::publish::{self, Place};
use super::{Failure, Job, Machine, Made, provenance, scan, signing};

/// The most layers that a tag of evidence may have: more are an attack, or a mistake.
const MOST: usize = 1_000;
/// How often a tag of evidence is written when others write it at the same time.
const ATTEMPTS: usize = 8;
/// The largest claim that is sent, in bytes. Source: BuildKit's limit for attestations.
const LIMIT: u64 = 40 << 20;

/// Makes, signs and sends what goes beside an image.
pub async fn evidence(machine: &Arc<Machine>, job: &Job<'_>, action: &EvidenceAction) -> Result<Made, Failure> {
    let key = match &action.evidence.sign {
        Some(sign) => Some(signing::key(machine, sign).map_err(publish::untagged)?),
        None => None,
    };
    let place = publish::place(machine, &action.publication)?;
    let name = match &place {
        Place::Remote(repository) => repository.to_string(),
        Place::Layout { .. } => action.publication.repository.clone(),
    };
    let mut all = Vec::new();
    for (image, claims) in subjects(machine, job, &action.publication.repository)? {
        all.push(Beside::new(&name, &image, &claims, key.as_ref()).map_err(|error| Failure::new(FailureClass::Internal, error, None))?);
    }
    let artifacts: Vec<Descriptor> = all.iter().flat_map(|beside| &beside.artifacts).map(|artifact| artifact.manifest.clone()).collect();
    all.iter().flat_map(|beside| &beside.artifacts).try_for_each(|artifact| keep(machine, artifact))?;
    let (changed, shown) = match place {
        Place::Remote(repository) => {
            (remote(machine, &repository, &all, key.as_ref()).await.map_err(publish::untagged)?, repository.to_string())
        }
        Place::Layout { folder, shown } => {
            let attached = layout::attach(&machine.store, &folder, &artifacts).map_err(publish::unpublished)?;
            (attached, shown.to_string())
        }
    };
    let count: usize = all.iter().map(|beside| beside.artifacts.len()).sum();
    let by = key.map_or_else(|| "not signed".to_owned(), |key| format!("signed by {}", &key.public().fingerprint()[..12]));
    let detail = format!("{shown}: {} beside {}, {by}", words::count(count, "artifact"), words::count(all.len(), "manifest"));
    Ok(Made { detail: Some(detail), unchanged: !changed, ..Made::default() })
}

/// The manifests that evidence is about: every platform with its own claims, and the index with the ones about all of them.
fn subjects(machine: &Machine, job: &Job<'_>, name: &str) -> Result<Vec<(Descriptor, Vec<Claim>)>, Failure> {
    let read = |kind, digest: ContentDigest| {
        let bytes = machine.store.read(digest.0, LIMIT).map_err(|error| Failure::store(&error))?;
        Ok::<_, Failure>(Claim { kind, bytes })
    };
    let documents = |kind: ClaimKind, name: &str, of: &dyn Fn(&StepName) -> bool| {
        let found = job.taken.documents.iter().filter(|(step, _)| of(step)).flat_map(|(_, documents)| documents);
        found.filter(|(own, _)| own == name).take(1).map(|(_, digest)| read(kind, *digest)).collect::<Result<Vec<_>, _>>()
    };
    let bills = |platform: Option<&Platform>| {
        let same = |other: &StepName| other.platform.as_ref() == platform;
        let found = [documents(ClaimKind::Cyclonedx, scan::SBOM, &same)?, documents(ClaimKind::Spdx, scan::SPDX, &same)?];
        Ok::<_, Failure>(found.concat())
    };
    let common = documents(ClaimKind::Provenance, provenance::DOCUMENT, &|_| true)?;
    let mut own = Vec::new();
    for (step, image) in job.taken.images.iter().filter(|(step, _)| step.kind == StepKind::Build) {
        own.push((step.platform.as_ref(), &image.descriptor, bills(step.platform.as_ref())?));
    }
    let mut subjects = Vec::new();
    for (step, image) in &job.taken.images {
        let mut claims = match own.iter().find(|(platform, ..)| step.kind == StepKind::Build && *platform == step.platform.as_ref()) {
            Some((_, _, bills)) => bills.clone(),
            None => of_index(name, &image.descriptor, &own),
        };
        claims.extend(common.iter().cloned());
        let plain = Descriptor::new(&image.descriptor.media_type, image.descriptor.digest, image.descriptor.size);
        subjects.push((plain, claims));
    }
    Ok(subjects)
}

/// The bills of an index, in the forms in which its images have theirs.
fn of_index(name: &str, index: &Descriptor, images: &[(Option<&Platform>, &Descriptor, Vec<Claim>)]) -> Vec<Claim> {
    type Write = fn(&Whole<'_>) -> Vec<u8>;
    let forms: [(ClaimKind, Write); 2] = [(ClaimKind::Cyclonedx, document::write_index), (ClaimKind::Spdx, spdx::write_index)];
    let of_kind = |kind: ClaimKind, write: Write| {
        let mut members = Vec::new();
        for (platform, image, bills) in images {
            let bill = bills.iter().find(|bill| bill.kind == kind).and_then(|bill| Bill::of(&bill.bytes))?;
            members.push(Member { platform: (*platform)?, digest: image.digest, bill });
        }
        (!members.is_empty()).then(|| Claim { kind, bytes: write(&Whole { name, digest: index.digest, images: members }) })
    };
    forms.into_iter().filter_map(|(kind, write)| of_kind(kind, write)).collect()
}

fn keep(machine: &Machine, artifact: &Artifact) -> Result<(), Failure> {
    let blobs = artifact.blobs.iter().chain([&artifact.bytes]);
    for blob in blobs {
        machine.store.put::<Sha256>(blob).map_err(|error| Failure::store(&error))?;
    }
    Ok(())
}

/// Everything by digest first; then what it is found by. Whether anything was sent.
async fn remote(machine: &Arc<Machine>, repository: &Repository, all: &[Beside], key: Option<&SigningKey>) -> Result<bool, Failure> {
    let session = &machine.registries;
    let of = |beside: &Beside| beside.artifacts.iter().map(|artifact| artifact.manifest.clone()).collect::<Vec<_>>();
    let sent = all.iter().map(async |beside| {
        let report = session.attach(repository, &of(beside)).await.map_err(refused)?;
        Ok::<_, Failure>(report.sent > 0)
    });
    let sent = try_join_all(sent).await?;
    let found = all.iter().map(async |beside| {
        let listed = session.enlist(repository, beside.image.digest, &of(beside)).await.map_err(refused)?;
        let mut changed = listed;
        let Some(key) = key else { return Ok(changed) };
        for (companion, layers) in [(Companion::Signatures, &beside.signatures), (Companion::Attestations, &beside.attestations)] {
            if !layers.is_empty() {
                changed |= extend(machine, repository, &companion.tag(beside.image.digest), layers, key.public()).await?;
            }
        }
        Ok::<_, Failure>(changed)
    });
    let found = try_join_all(found).await?;
    Ok(sent.into_iter().chain(found).any(|changed| changed))
}

/// Adds layers to what a tag of evidence names. Where it names these alone, its digest says so.
async fn extend(machine: &Arc<Machine>, repository: &Repository, tag: &Tag, layers: &[Layer], key: &PublicKey) -> Result<bool, Failure> {
    let session = &machine.registries;
    let alone = artifact::companion(None, layers, key).map(|artifact| artifact.manifest.digest);
    if session.standing(repository, tag).await.map_err(refused)? == alone {
        return Ok(false);
    }
    for attempt in 0..ATTEMPTS {
        let there = match session.document(repository, tag.as_str()).await.map_err(refused)? {
            Some((found, bytes)) => Some(evidence_in(repository, tag, &found, &bytes)?),
            None => None,
        };
        // Read again after every write: of two that wrote at the same time, one finds its layers gone and writes once more.
        let Some(next) = artifact::companion(there, layers, key) else { return Ok(attempt > 0) };
        keep(machine, &next)?;
        session.push(repository, &next.manifest, &[]).await.map_err(refused)?;
        session.tag(repository, tag, &next.manifest).await.map_err(refused)?;
    }
    let help = "run it again when they are done".to_owned();
    Err(Failure::new(FailureClass::Environment, format!("others write `{repository}:{tag}` all the time"), Some(help)))
}

fn evidence_in(repository: &Repository, tag: &Tag, found: &Descriptor, bytes: &[u8]) -> Result<Manifest, Failure> {
    match manifest::read(&found.media_type, bytes) {
        Ok(Document::Manifest(manifest)) if manifest.layers.len() < MOST => Ok(manifest),
        _ => {
            let help = format!("look at it with `oras manifest fetch {repository}:{tag}`; remove the tag if nobody needs it");
            Err(Failure::new(
                FailureClass::Environment,
                format!("`{repository}:{tag}` is there already and holds no signatures"),
                Some(help),
            ))
        }
    }
}
