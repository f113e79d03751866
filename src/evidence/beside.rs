//! All that goes beside one image: from claims and a key to artifacts and layers.

use crate::oci::descriptor::Descriptor;

use super::artifact::{Artifact, Layer};
use super::dsse::Envelope;
use super::key::SigningKey;
use super::statement::{self, predicate};
use super::{bundle, simple};

/// What is claimed of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its kind.
    pub kind: ClaimKind,
    /// The claim in JSON.
    pub bytes: Vec<u8>,
}

/// The kinds of claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClaimKind {
    /// What is in it, in CycloneDX.
    Cyclonedx,
    /// What is in it, in SPDX.
    Spdx,
    /// How it was made.
    Provenance,
}

impl ClaimKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Cyclonedx, Self::Spdx, Self::Provenance];

    /// The word on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cyclonedx => "cyclonedx",
            Self::Spdx => "spdx",
            Self::Provenance => "provenance",
        }
    }

    /// The type that statements name.
    #[must_use]
    pub const fn predicate(self) -> &'static str {
        match self {
            Self::Cyclonedx => predicate::CYCLONEDX,
            Self::Spdx => predicate::SPDX,
            Self::Provenance => predicate::PROVENANCE,
        }
    }

    /// The media type under which the document stands beside the image as it is, for tools that look for it there.
    #[must_use]
    pub const fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Cyclonedx => Some("application/vnd.cyclonedx+json"),
            Self::Spdx => Some("application/spdx+json"),
            Self::Provenance => None,
        }
    }
}

/// What goes beside one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The image.
    pub image: Descriptor,
    /// What names it as its subject.
    pub artifacts: Vec<Artifact>,
    /// Signatures in the old form.
    pub signatures: Vec<Layer>,
    /// Signed claims in the old form.
    pub attestations: Vec<Layer>,
}

impl Beside {
    /// Makes it. With a key, the image is signed and every claim is, in the form of today and in the old one; without, claims go as
    /// statements that nobody signed. `name` is the repository's.
    ///
    /// # Errors
    /// When a claim is no JSON.
    pub fn new(name: &str, image: &Descriptor, claims: &[Claim], key: Option<&SigningKey>) -> Result<Self, serde_json::Error> {
        let (mut artifacts, mut signatures, mut attestations) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(key) = key {
            let payload = simple::payload(name, image.digest);
            let signature = key.sign(&payload);
            signatures.push(Layer::signature(payload, &signature));
            let envelope = Envelope::sign(&statement::write(name, image.digest, predicate::SIGN, b"{}")?, key);
            artifacts.push(Artifact::bundle(image, predicate::SIGN, bundle::write(&envelope, key)));
        }
        for claim in claims {
            let predicate = claim.kind.predicate();
            let statement = statement::write(name, image.digest, predicate, &claim.bytes)?;
            artifacts.extend(claim.kind.media_type().map(|kind| Artifact::document(image, kind, claim.bytes.clone())));
            match key {
                Some(key) => {
                    let envelope = Envelope::sign(&statement, key);
                    artifacts.push(Artifact::bundle(image, predicate, bundle::write(&envelope, key)));
                    attestations.push(Layer::attestation(predicate, serde_json::to_vec(&envelope)?));
                }
                None => artifacts.push(Artifact::statement(image, predicate, statement)),
            }
        }
        Ok(Self { image: image.clone(), artifacts, signatures, attestations })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type;

    fn kinds(beside: &Beside) -> Vec<&str> {
        beside.artifacts.iter().filter_map(|artifact| artifact.manifest.artifact_type()).collect()
    }

    #[test]
    fn without_a_key_nothing_is_signed_and_the_image_stays_as_it_is() {
        let image = Descriptor::of(media_type::MANIFEST, b"image");
        let claims = [ClaimKind::Cyclonedx, ClaimKind::Provenance].map(|kind| Claim { kind, bytes: b"{}".to_vec() });
        let bare = Beside::new("acme/web", &image, &claims, None).unwrap();
        assert_eq!(kinds(&bare), ["application/vnd.cyclonedx+json", "application/vnd.in-toto+json", "application/vnd.in-toto+json"]);
        assert!(bare.signatures.is_empty() && bare.attestations.is_empty());

        let key = SigningKey::read(include_str!("../../fixtures/keys/rfc6979.pem"), None).unwrap();
        let signed = Beside::new("acme/web", &image, &claims, Some(&key)).unwrap();
        assert_eq!(kinds(&signed), [bundle::MEDIA_TYPE, "application/vnd.cyclonedx+json", bundle::MEDIA_TYPE, bundle::MEDIA_TYPE]);
        assert_eq!((signed.signatures.len(), signed.attestations.len()), (1, 2));
        assert_eq!(signed, Beside::new("acme/web", &image, &claims, Some(&key)).unwrap(), "the same bytes every time");
        assert!(Beside::new("acme/web", &image, &[Claim { kind: ClaimKind::Spdx, bytes: b"{".to_vec() }], None).is_err());
    }
}
