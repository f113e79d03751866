//! The bill of an index: the images that it holds, each with its own bill named.
//! In: an index, its images and the bills that were written of them. Out: what [`super::document`] and [`super::spdx`] write of it.
//! Never: a package; those are in the bills of the images.
//!
//! Whoever asks for a bill by a tag asks for that of an index, so there has to be one. Source: ko and apko, which do so too.

use serde::Deserialize;

use crate::base::digest::BlobDigest;
use crate::base::platform::Platform;

use super::purl::Purl;

/// An index and what is known of its images.
#[derive(Debug, Clone)]
pub struct Whole<'a> {
    /// What the user calls it.
    pub name: &'a str,
    /// The index.
    pub digest: BlobDigest,
    /// Its images, in order.
    pub images: Vec<Member<'a>>,
}

/// An image of an index.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// What it is for.
    pub platform: &'a Platform,
    /// Its manifest.
    pub digest: BlobDigest,
    /// Its own bill.
    pub bill: Bill,
}

/// What a bill says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// When it says that it was made.
    pub made: String,
    /// What names it alone, among all documents: `urn:uuid:…`.
    pub id: String,
}

impl Bill {
    /// Reads it from a document in CycloneDX or SPDX; `None` when it is neither.
    #[must_use]
    pub fn of(document: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(untagged, rename_all_fields = "camelCase")]
        enum Either {
            Cyclonedx { serial_number: String, metadata: Metadata },
            Spdx { document_namespace: String, creation_info: Creation },
        }
        #[derive(Deserialize)]
        struct Metadata {
            timestamp: String,
        }
        #[derive(Deserialize)]
        struct Creation {
            created: String,
        }
        Some(match serde_json::from_slice(document).ok()? {
            Either::Cyclonedx { serial_number: id, metadata } => Self { made: metadata.timestamp, id },
            Either::Spdx { document_namespace: id, creation_info } => Self { made: creation_info.created, id },
        })
    }
}

impl Whole<'_> {
    /// When its images say that they were made; they say the same.
    pub(super) fn made(&self) -> String {
        self.images.iter().map(|image| image.bill.made.clone()).max().unwrap_or_default()
    }

    pub(super) fn purl(&self) -> Purl {
        Purl::oci(self.name, &self.digest.to_string())
    }

    pub(super) fn purl_of(&self, image: &Member<'_>) -> Purl {
        Purl::oci(self.name, &image.digest.to_string()).with("arch", image.platform.arch())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{document, spdx};
    use super::*;
    use crate::base::digest::Digest;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    fn with<T>(ids: [&str; 2], look: impl FnOnce(&Whole<'_>) -> T) -> T {
        let platforms = [platform("linux/amd64"), platform("linux/arm/v7")];
        let images = platforms.iter().zip(ids).map(|(platform, id)| Member {
            platform,
            digest: BlobDigest(Digest::of(platform.to_string().as_bytes())),
            bill: Bill { made: "2026-11-22T10:00:00Z".to_owned(), id: id.to_owned() },
        });
        look(&Whole { name: "ghcr.io/acme/web", digest: BlobDigest(Digest::of(b"index")), images: images.collect() })
    }

    #[test]
    fn the_bill_of_an_index_names_every_image_and_its_own_bill() {
        let bytes = with(["urn:uuid:1", "urn:uuid:2"], document::write_index);
        assert_eq!(Bill::of(&bytes).map(|bill| bill.made), Some("2026-11-22T10:00:00Z".to_owned()));
        let bill: Value = serde_json::from_slice(&bytes).unwrap();
        let components = bill["components"].as_array().unwrap();
        assert_eq!(components.len(), 2);
        assert_eq!(components[1]["externalReferences"], serde_json::json!([{"type": "bom", "url": "urn:cdx:2/1"}]));
        assert_eq!(components[1]["properties"][0]["value"], "linux/arm/v7");
        assert_eq!(bill["compositions"][0]["assemblies"], serde_json::json!([bill["metadata"]["component"]["bom-ref"]]));
        let bytes = with(["urn:uuid:1", "urn:uuid:2"], spdx::write_index);
        assert!(Bill::of(&bytes).unwrap().id.starts_with("urn:uuid:"));
        let bill: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(bill["packages"].as_array().unwrap().len(), 3);
        let related = bill["relationships"].as_array().unwrap();
        assert_eq!(related.iter().filter(|one| one["relationshipType"] == "VARIANT_OF").count(), 2);
    }

    #[test]
    fn another_bill_of_an_image_gives_another_bill_of_the_index() {
        for write in [document::write_index, spdx::write_index] {
            let first = with(["urn:uuid:1", "urn:uuid:2"], write);
            assert_eq!(first, with(["urn:uuid:1", "urn:uuid:2"], write));
            assert_ne!(Bill::of(&first), Bill::of(&with(["urn:uuid:1", "urn:uuid:3"], write)));
        }
        assert_eq!(Bill::of(b"{}"), None);
    }
}
