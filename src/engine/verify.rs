//! Verification: all that stands beside an image at its registry is held against a signer.
//! In: an image, a key or an identity, what is to be proved. Out: what proves it, or what was found instead.
//! Never: takes evidence for proof because it is there; reads attachments without a bound.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::base::digest::BlobDigest;
use crate::evidence::artifact::Companion;
use crate::evidence::beside::ClaimKind;
use crate::evidence::bundle;
use crate::evidence::check::Evidence;
use crate::evidence::dsse::{self, Envelope};
use crate::evidence::keyless::material::Material;
use crate::evidence::signer::{Signer, Vouched};
use crate::evidence::simple;
use crate::evidence::statement::predicate;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, Document};
use crate::oci::reference::Reference;
use crate::registry::error::RegistryError;
use crate::registry::session::Session;

/// The most pieces of evidence that are looked at. Source: CVE-2024-29902, CVE-2024-29903.
const MOST: usize = 200;
/// The largest claim, and the largest signature, in bytes.
const CLAIM: u64 = 40 << 20;
const SIGNATURE: u64 = 1 << 20;

/// What a signer was found to vouch for.
#[derive(Debug)]
pub struct Verified {
    /// The image that the name means now.
    pub digest: BlobDigest,
    /// Who signed.
    pub by: Vouched,
    /// What is claimed; for a signature nothing.
    pub claim: Option<Value>,
}

/// Why nothing was proved.
#[derive(Debug)]
pub enum Unverified {
    /// The registry could not be asked.
    Registry(RegistryError),
    /// Nothing that counts is there.
    Refused {
        /// The image that the name means now.
        digest: BlobDigest,
        /// Each piece that could have counted, with the reason why it does not.
        reasons: Vec<String>,
    },
}

impl From<RegistryError> for Unverified {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

/// Looks for a signature of `signer` over an image, or with `claim` for a signed claim of that kind.
///
/// # Errors
/// [`Unverified`].
pub async fn verify(session: &Session, reference: &Reference, signer: &Signer, claim: Option<ClaimKind>) -> Result<Verified, Unverified> {
    let digest = session.resolve(reference).await?.digest;
    let mut reasons = Vec::new();
    let wanted = claim.map_or(predicate::SIGN, ClaimKind::predicate);
    for (place, evidence) in all(session, reference, digest, claim).await? {
        let held = match claim {
            Some(kind) => evidence.claims(digest, signer, kind).map(|(by, claim)| (by, Some(claim))),
            None => evidence.signs(digest, signer).map(|by| (by, None)),
        };
        match held {
            Ok((by, claim)) => return Ok(Verified { digest, by, claim }),
            Err(_) if evidence.is_other(wanted) => {}
            Err(why) => reasons.push(format!("the one in {place} {why}")),
        }
    }
    Err(Unverified::Refused { digest, reasons })
}

/// Everything beside an image that could count, each with its place.
async fn all(
    session: &Session,
    reference: &Reference,
    digest: BlobDigest,
    claim: Option<ClaimKind>,
) -> Result<Vec<(String, Evidence)>, RegistryError> {
    let repository = &reference.repository;
    let mut found = Vec::new();
    let (companion, limit) = if claim.is_some() { (Companion::Attestations, CLAIM) } else { (Companion::Signatures, SIGNATURE) };
    let tag = companion.tag(digest);
    if let Some((document, bytes)) = session.document(repository, tag.as_str()).await? {
        for layer in layers(&document, &bytes).into_iter().take(MOST) {
            let evidence = match session.small_blob(repository, &layer, limit).await {
                Ok(content) => of_layer(&layer, content),
                Err(error) => Evidence::Unsound(format!("cannot be read: {error}")),
            };
            found.push((format!("`{tag}`"), evidence));
        }
    }
    let entries = session.referrers(repository, digest).await?;
    for entry in entries.iter().filter(|entry| entry.artifact_type().is_some_and(bundle::is_bundle)).take(MOST) {
        let place = format!("the bundle {}", entry.digest.0.short());
        let evidence = match bundled(session, reference, entry).await {
            Ok(Some((envelope, material))) => Evidence::Envelope(envelope, material),
            Ok(None) => Evidence::Unsound("is no bundle with an envelope".to_owned()),
            Err(error) => Evidence::Unsound(format!("cannot be read: {error}")),
        };
        found.push((place, evidence));
    }
    Ok(found)
}

fn layers(document: &Descriptor, bytes: &[u8]) -> Vec<Descriptor> {
    match manifest::read(&document.media_type, bytes) {
        Ok(Document::Manifest(manifest)) => manifest.layers,
        _ => Vec::new(),
    }
}

fn of_layer(layer: &Descriptor, content: Vec<u8>) -> Evidence {
    let material = Material::of_annotations(&layer.annotations);
    if layer.media_type == simple::MEDIA_TYPE {
        let signature = layer.annotations.get(simple::SIGNATURE).and_then(|text| STANDARD.decode(text).ok());
        return match signature {
            Some(signature) => Evidence::Simple { payload: content, signature, material },
            None => Evidence::Unsound("has no signature with it".to_owned()),
        };
    }
    match Envelope::read(&content) {
        Ok(envelope) if layer.media_type == dsse::MEDIA_TYPE => Evidence::Envelope(envelope, material.around(content)),
        _ => Evidence::Unsound("is no signed statement".to_owned()),
    }
}

async fn bundled(session: &Session, reference: &Reference, entry: &Descriptor) -> Result<Option<(Envelope, Material)>, RegistryError> {
    let repository = &reference.repository;
    let Some((document, bytes)) = session.document(repository, &entry.digest.to_string()).await? else { return Ok(None) };
    let layers = layers(&document, &bytes);
    let [layer] = layers.as_slice() else { return Ok(None) };
    Ok(bundle::read(&session.small_blob(repository, layer, CLAIM).await?))
}
