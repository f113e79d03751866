//! How evidence is kept in a registry: manifests that name their image as `subject` (image-spec 1.1), and, for tools that look there,
//! manifests under tags made of the image's digest (cosign, SIGNATURE_SPEC.md).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::base::digest::BlobDigest;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, Manifest};
use crate::oci::media_type;
use crate::oci::reference::Tag;

use super::public::PublicKey;
use super::{bundle, dsse, simple};

/// What a config that there is none of holds.
const EMPTY_BYTES: &[u8] = b"{}";

/// Annotations of artifacts that hold statements. Source: in-toto attestation, and cosign's bundles.
pub(super) const PREDICATE: &str = "in-toto.io/predicate-type";
pub(super) const BUNDLE_PREDICATE: &str = "dev.sigstore.bundle.predicateType";
pub(super) const BUNDLE_CONTENT: &str = "dev.sigstore.bundle.content";
/// The annotation of a layer that holds an envelope. Source: cosign, ATTESTATION_SPEC.md.
pub(super) const PREDICATE_OF_LAYER: &str = "predicateType";

/// A manifest with all that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The manifest as lists name it: with its kind and its annotations.
    pub manifest: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What its config and its layers are.
    pub blobs: Vec<Vec<u8>>,
}

impl Artifact {
    /// A document that belongs to `subject`, as it is.
    #[must_use]
    pub fn document(subject: &Descriptor, kind: &str, document: Vec<u8>) -> Self {
        Self::new(subject, kind, document, BTreeMap::new())
    }

    /// A statement that nobody signed.
    #[must_use]
    pub fn statement(subject: &Descriptor, predicate_type: &str, statement: Vec<u8>) -> Self {
        Self::new(subject, dsse::IN_TOTO, statement, BTreeMap::from([(PREDICATE.to_owned(), predicate_type.to_owned())]))
    }

    /// A statement that somebody signed, as a sigstore bundle.
    #[must_use]
    pub fn bundle(subject: &Descriptor, predicate_type: &str, bundle: Vec<u8>) -> Self {
        let annotations = [(BUNDLE_CONTENT, "dsse-envelope"), (BUNDLE_PREDICATE, predicate_type)];
        Self::new(
            subject,
            bundle::MEDIA_TYPE,
            bundle,
            annotations.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect(),
        )
    }

    fn new(subject: &Descriptor, kind: &str, content: Vec<u8>, annotations: BTreeMap<String, String>) -> Self {
        let mut document = Manifest::new(Descriptor::of(media_type::EMPTY, EMPTY_BYTES), vec![Descriptor::of(kind, &content)]);
        document.annotations = annotations;
        let plain = Descriptor::new(&subject.media_type, subject.digest, subject.size);
        document.more.insert("artifactType".to_owned(), kind.into());
        document.more.insert("subject".to_owned(), serde_json::to_value(plain).unwrap_or_default());
        let bytes = manifest::bytes(&document);
        let mut own = Descriptor::of(media_type::MANIFEST, &bytes);
        own.annotations = document.annotations;
        own.more.insert("artifactType".to_owned(), kind.into());
        Self { manifest: own, bytes, blobs: vec![EMPTY_BYTES.to_vec(), content] }
    }
}

/// The tags of evidence in the old form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Companion {
    /// `sha256-….sig`.
    Signatures,
    /// `sha256-….att`.
    Attestations,
    /// `sha256-….sbom`, which older versions of cosign write.
    Bills,
}

impl Companion {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Signatures, Self::Attestations, Self::Bills];

    /// The tag that belongs to an image.
    #[must_use]
    pub fn tag(self, image: BlobDigest) -> Tag {
        Tag::about(
            image,
            match self {
                Self::Signatures => ".sig",
                Self::Attestations => ".att",
                Self::Bills => ".sbom",
            },
        )
    }
}

/// One piece of evidence as a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its descriptor, with what is said of it.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Layer {
    /// A signature over a payload.
    #[must_use]
    pub fn signature(payload: Vec<u8>, signature: &[u8]) -> Self {
        let mut descriptor = Descriptor::of(simple::MEDIA_TYPE, &payload);
        descriptor.annotations.insert(simple::SIGNATURE.to_owned(), STANDARD.encode(signature));
        Self { descriptor, bytes: payload }
    }

    /// A signed statement.
    #[must_use]
    pub fn attestation(predicate_type: &str, envelope: Vec<u8>) -> Self {
        let mut descriptor = Descriptor::of(dsse::MEDIA_TYPE, &envelope);
        descriptor.annotations.insert(simple::SIGNATURE.to_owned(), String::new());
        descriptor.annotations.insert(PREDICATE_OF_LAYER.to_owned(), predicate_type.to_owned());
        Self { descriptor, bytes: envelope }
    }

    /// Whether `there` says what this layer says: the same bytes, signed by the same key, if with another random number.
    fn is(&self, there: &Descriptor, key: &PublicKey) -> bool {
        let signature = |of: &Descriptor| STANDARD.decode(of.annotations.get(simple::SIGNATURE)?).ok();
        self.descriptor.digest == there.digest
            && (self.descriptor.annotations == there.annotations
                || signature(there).is_some_and(|signature| key.verifies(&self.bytes, &signature)))
    }
}

#[derive(Serialize)]
struct Config<'a> {
    architecture: &'a str,
    created: &'a str,
    history: Vec<History>,
    os: &'a str,
    rootfs: RootFs<'a>,
    config: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct History {
    created: &'static str,
}

#[derive(Serialize)]
struct RootFs<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    diff_ids: Vec<BlobDigest>,
}

/// The time that cosign writes where there is none.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// What a tag of evidence names when `layers` are added; `None` when they are all there already.
#[must_use]
pub fn companion(there: Option<Manifest>, layers: &[Layer], key: &PublicKey) -> Option<Artifact> {
    let mut all = there.map(|manifest| manifest.layers).unwrap_or_default();
    let fresh: Vec<&Layer> = layers.iter().filter(|layer| !all.iter().any(|known| layer.is(known, key))).collect();
    if fresh.is_empty() {
        return None;
    }
    all.extend(fresh.iter().map(|layer| layer.descriptor.clone()));
    // Tools that add a signature of their own extend the config: it has to be one that fits the layers.
    let config = Config {
        architecture: "",
        created: NO_TIME,
        history: all.iter().map(|_| History { created: NO_TIME }).collect(),
        os: "",
        rootfs: RootFs { kind: "layers", diff_ids: all.iter().map(|layer| layer.digest).collect() },
        config: BTreeMap::new(),
    };
    let config = manifest::bytes(&config);
    let bytes = manifest::bytes(&Manifest::new(Descriptor::of(media_type::CONFIG, &config), all));
    let blobs = std::iter::once(config).chain(fresh.into_iter().map(|layer| layer.bytes.clone())).collect();
    Some(Artifact { manifest: Descriptor::of(media_type::MANIFEST, &bytes), bytes, blobs })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::key::SigningKey;
    use super::*;

    fn key() -> SigningKey {
        SigningKey::read(include_str!("../../fixtures/keys/rfc6979.pem"), None).unwrap()
    }

    fn read(artifact: &Artifact) -> Manifest {
        serde_json::from_slice(&artifact.bytes).unwrap()
    }

    #[test]
    fn an_artifact_names_its_image_and_its_kind() {
        let mut image = Descriptor::of(media_type::MANIFEST, b"image");
        image.annotations.insert("org.opencontainers.image.ref.name".to_owned(), "v1".to_owned());
        let artifact = Artifact::document(&image, "application/spdx+json", b"{}".to_vec());
        let document: Value = serde_json::from_slice(&artifact.bytes).unwrap();
        assert_eq!(document["artifactType"], "application/spdx+json");
        assert_eq!(document["subject"], serde_json::json!({"mediaType": media_type::MANIFEST, "digest": image.digest, "size": 5}));
        assert_eq!(document["config"]["mediaType"], media_type::EMPTY);
        assert_eq!(document["layers"][0]["mediaType"], "application/spdx+json");
        assert_eq!(artifact.manifest.artifact_type(), Some("application/spdx+json"));
    }

    #[test]
    fn what_a_tag_names_already_is_not_added_again() {
        let key = key();
        let layer = |text: &[u8]| Layer::signature(text.to_vec(), &key.sign(text));
        let first = companion(None, &[layer(b"a")], key.public()).unwrap();
        assert_eq!(companion(Some(read(&first)), &[layer(b"a")], key.public()), None);
        let second = companion(Some(read(&first)), &[layer(b"a"), layer(b"b")], key.public()).unwrap();
        assert_eq!(read(&second).layers.len(), 2);
        let other = SigningKey::read(include_str!("../../fixtures/keys/rfc8032.pem"), None).unwrap();
        let third = companion(Some(read(&second)), &[Layer::signature(b"a".to_vec(), &other.sign(b"a"))], other.public()).unwrap();
        assert_eq!(read(&third).layers.len(), 3, "another key's signature stands beside the first");
        let config: Value = serde_json::from_slice(&third.blobs[0]).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn a_signature_of_the_same_key_with_another_random_number_counts_as_the_same() {
        // Made by openssl, whose ECDSA signatures differ from one time to the next.
        let made = STANDARD.decode(include_str!("../../fixtures/keys/rfc6979.sig").trim()).unwrap();
        let there = companion(None, &[Layer::signature(b"sample".to_vec(), &made)], key().public()).unwrap();
        let own = Layer::signature(b"sample".to_vec(), &key().sign(b"sample"));
        assert_ne!(read(&there).layers[0].annotations, own.descriptor.annotations);
        assert_eq!(companion(Some(read(&there)), &[own], key().public()), None);
    }

    #[test]
    fn the_tags_of_an_image_are_made_of_its_digest() {
        let image: BlobDigest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
        assert_eq!(Companion::Signatures.tag(image).as_str(), format!("sha256-{}.sig", "ab".repeat(32)));
        assert_eq!(Companion::Attestations.tag(image).as_str(), format!("sha256-{}.att", "ab".repeat(32)));
    }
}
