//! What stands beside an image: found as a referrer, under a tag of cosign's, or within the index as BuildKit puts it.

use crate::base::digest::BlobDigest;
use crate::base::words;
use crate::evidence::sort::{self, Sort};
use crate::image::build::BaseImage;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{Document, Index};
use crate::report::inspect::ReferrerView;

/// Annotations of entries that are about other entries. Source: BuildKit, docs/attestations/attestation-storage.md.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
const ATTESTATION: &str = "attestation-manifest";

/// The most pieces that are shown of one image.
const MOST: usize = 500;
/// The longest text of a type.
const LONGEST: usize = 120;

/// One piece.
pub struct About {
    /// Its manifest, with its type and what is said of it.
    pub entry: Descriptor,
    /// The image that it is about.
    pub subject: BlobDigest,
    /// The tag that it was found under.
    pub tag: Option<String>,
}

/// The layers of a manifest of which each is a piece of its own.
pub fn pieces(manifest: &Descriptor, document: Document, subject: BlobDigest, tag: Option<&str>) -> Vec<About> {
    let Document::Manifest(held) = document else { return Vec::new() };
    let piece = |layer: Descriptor| {
        let mut entry = Descriptor::new(&manifest.media_type, manifest.digest, manifest.size);
        entry.more.insert("artifactType".to_owned(), layer.media_type.into());
        entry.annotations = layer.annotations;
        About { entry, subject, tag: tag.map(str::to_owned) }
    };
    held.layers.into_iter().take(MOST).map(piece).collect()
}

/// The entries of an index that are about other entries of it, with those.
pub fn within(index: &Index) -> Vec<(Descriptor, BlobDigest)> {
    let about = |entry: &&Descriptor| entry.annotations.get(REFERENCE_TYPE).is_some_and(|kind| kind == ATTESTATION);
    let subject = |entry: &Descriptor| Some((entry.clone(), entry.annotations.get(REFERENCE_DIGEST)?.parse().ok()?));
    index.manifests.iter().filter(about).filter_map(subject).take(MOST).collect()
}

/// The pieces as they are shown: those about the whole first, then by platform and kind; each once.
pub fn shown(found: Vec<About>, platforms: &[(String, BaseImage)], top: BlobDigest) -> Vec<ReferrerView> {
    let text = |text: &str| words::shorten(&words::visible(text), LONGEST);
    let mut rows: Vec<(Option<usize>, Option<Sort>, ReferrerView)> = Vec::new();
    for About { entry, subject, tag } in found {
        let place = platforms.iter().position(|(_, image)| image.descriptor.digest == subject && subject != top);
        let kind = Sort::of(&entry);
        let view = ReferrerView {
            digest: entry.digest.to_string(),
            kind: kind.map(|kind| kind.word().to_owned()),
            artifact_type: entry.artifact_type().map(text),
            claim: sort::claim_type(&entry).map(text),
            platform: place.map(|at| platforms[at].0.clone()),
            tag,
        };
        if !rows.iter().any(|(.., known)| *known == view) && rows.len() < MOST {
            rows.push((place, kind, view));
        }
    }
    // What has no kind comes last.
    rows.sort_by(|(place, kind, a), (other, its, b)| {
        let (place, other) = ((place, kind.is_none(), kind, &a.tag), (other, its.is_none(), its, &b.tag));
        place.cmp(&other).then_with(|| (&a.claim, &a.artifact_type, &a.digest).cmp(&(&b.claim, &b.artifact_type, &b.digest)))
    });
    rows.into_iter().map(|(.., view)| view).collect()
}
