//! What stands beside an image, in a word: told from its type and annotations alone. Nothing is proved by that.

use crate::oci::descriptor::Descriptor;

use super::artifact::{BUNDLE_CONTENT, BUNDLE_PREDICATE, PREDICATE, PREDICATE_OF_LAYER};
use super::beside::ClaimKind;
use super::bundle;
use super::dsse;
use super::simple;
use super::statement::predicate;

/// Types of signatures besides cosign's own payload. Source: cosign, pkg/oci/remote; notaryproject.dev, signature-specification.md.
const SIGNATURES: [&str; 2] = ["application/vnd.dev.cosign.artifact.sig.v1+json", "application/vnd.cncf.notary.signature"];
/// Types of bills of materials besides those that kiln writes.
const BILLS: [&str; 4] =
    ["application/vnd.cyclonedx+xml", "text/spdx+json", "application/vnd.syft+json", "application/vnd.dev.cosign.artifact.sbom.v1+json"];
/// What the types of SLSA's provenance begin with, of any version.
const SLSA: &str = "https://slsa.dev/provenance/";

/// Kinds of things beside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// Somebody signed the image.
    Signature,
    /// What is in it.
    Sbom,
    /// How it was made.
    Provenance,
    /// Any other claim.
    Attestation,
}

impl Sort {
    /// The kind of what an entry of a list names; `None` for what is no evidence that is known.
    #[must_use]
    pub fn of(entry: &Descriptor) -> Option<Self> {
        let kind = entry.artifact_type().unwrap_or_default();
        match claim_type(entry) {
            Some(predicate::SIGN) => return Some(Self::Signature),
            Some(claim) if claim.starts_with(predicate::CYCLONEDX) || claim.starts_with(predicate::SPDX) => return Some(Self::Sbom),
            Some(claim) if claim.starts_with(SLSA) => return Some(Self::Provenance),
            Some(_) => return Some(Self::Attestation),
            None => {}
        }
        let is_bill = BILLS.contains(&kind) || ClaimKind::ALL.iter().any(|claim| claim.media_type() == Some(kind));
        let signs = entry.annotations.get(BUNDLE_CONTENT).is_some_and(|content| content == "message-signature");
        if kind == simple::MEDIA_TYPE || SIGNATURES.contains(&kind) || (bundle::is_bundle(kind) && signs) {
            Some(Self::Signature)
        } else if is_bill {
            Some(Self::Sbom)
        } else if bundle::is_bundle(kind) || [dsse::IN_TOTO, dsse::MEDIA_TYPE].contains(&kind) {
            Some(Self::Attestation)
        } else {
            None
        }
    }

    /// The word on the screen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Sbom => "sbom",
            Self::Provenance => "provenance",
            Self::Attestation => "attestation",
        }
    }
}

/// The type of the claim that an entry of a list says it holds.
#[must_use]
pub fn claim_type(entry: &Descriptor) -> Option<&str> {
    [BUNDLE_PREDICATE, PREDICATE, PREDICATE_OF_LAYER].iter().find_map(|name| entry.annotations.get(*name)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::artifact::{Artifact, Layer};

    fn entry(kind: &str, annotations: &[(&str, &str)]) -> Descriptor {
        let mut entry = Descriptor::of("application/vnd.oci.image.manifest.v1+json", b"");
        entry.annotations = annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        entry.more.insert("artifactType".to_owned(), kind.into());
        entry
    }

    #[test]
    fn every_form_of_evidence_is_told_by_its_kind() {
        let image = Descriptor::of("application/vnd.oci.image.manifest.v1+json", b"image");
        for (kind, expected) in ClaimKind::ALL.iter().zip([Sort::Sbom, Sort::Sbom, Sort::Provenance]) {
            assert_eq!(Sort::of(&Artifact::bundle(&image, kind.predicate(), Vec::new()).manifest), Some(expected));
            assert_eq!(Sort::of(&Artifact::statement(&image, kind.predicate(), Vec::new()).manifest), Some(expected));
            assert_eq!(Sort::of(&Layer::attestation(kind.predicate(), Vec::new()).descriptor), Some(expected));
        }
        for (kind, annotations, expected) in [
            ("application/vnd.cyclonedx+json", &[][..], Some(Sort::Sbom)),
            ("text/spdx+json", &[], Some(Sort::Sbom)),
            (simple::MEDIA_TYPE, &[], Some(Sort::Signature)),
            ("application/vnd.cncf.notary.signature", &[], Some(Sort::Signature)),
            (bundle::MEDIA_TYPE, &[(BUNDLE_CONTENT, "message-signature")], Some(Sort::Signature)),
            (bundle::MEDIA_TYPE, &[(BUNDLE_PREDICATE, predicate::SIGN)], Some(Sort::Signature)),
            (bundle::MEDIA_TYPE, &[(BUNDLE_CONTENT, "dsse-envelope")], Some(Sort::Attestation)),
            (dsse::IN_TOTO, &[(PREDICATE, "https://slsa.dev/provenance/v0.2")], Some(Sort::Provenance)),
            (dsse::IN_TOTO, &[(PREDICATE, "https://example.com/test-result")], Some(Sort::Attestation)),
            ("application/vnd.acme.notes", &[], None),
        ] {
            assert_eq!(Sort::of(&entry(kind, annotations)), expected, "{kind} {annotations:?}");
        }
    }
}
