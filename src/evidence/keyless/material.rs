//! What comes with a signature so that it can be held against an identity: the certificate, links of its chain, entries of logs.
//! In: annotations of a layer in the old form, or the part of a sigstore bundle. Nothing here is believed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::base::forms;

use super::super::pem;
use super::entry::Entry;

/// Annotations of a layer. Source: cosign, pkg/oci/static and specs/SIGNATURE_SPEC.md.
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";

const STAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// The most entries of logs, and the most time stamps, that are looked at.
const MOST_ENTRIES: usize = 16;

/// What came along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Material {
    /// The signer's certificate, as DER.
    pub certificate: Option<Vec<u8>>,
    /// Certificates above it.
    pub chain: Vec<Vec<u8>>,
    /// Entries of transparency logs.
    pub entries: Vec<Entry>,
    /// Time stamps, as DER.
    pub stamps: Vec<Vec<u8>>,
}

impl Material {
    /// What the annotations of a layer hold.
    #[must_use]
    pub fn of_annotations(annotations: &BTreeMap<String, String>) -> Self {
        let certificates = |name: &str| annotations.get(name).and_then(|text| pem::certificates(text)).unwrap_or_default();
        Self {
            certificate: certificates(CERTIFICATE).into_iter().next(),
            chain: certificates(CHAIN),
            entries: annotations.get(BUNDLE).and_then(|text| Entry::read(text)).into_iter().collect(),
            stamps: annotations.get(STAMP).and_then(|text| stamp(text)).into_iter().collect(),
        }
    }
}

/// The time stamp in the annotation that cosign keeps it in.
fn stamp(json: &str) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Annotation {
        #[serde(rename = "SignedRFC3161Timestamp")]
        stamp: String,
    }
    let read: Annotation = serde_json::from_str(json).ok()?;
    STANDARD.decode(read.stamp).ok()
}

/// `verificationMaterial` of a bundle, as Protocol Buffers write it in JSON.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Bundled {
    certificate: Option<Raw>,
    x509_certificate_chain: Option<Chain>,
    tlog_entries: Option<Vec<BundledEntry>>,
    timestamp_verification_data: Option<Stamps>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Stamps {
    rfc3161_timestamps: Option<Vec<BundledStamp>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BundledStamp {
    signed_timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    raw_bytes: String,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BundledEntry {
    log_index: Number,
    log_id: LogId,
    #[serde(default)]
    integrated_time: Number,
    inclusion_promise: Option<Promise>,
    canonicalized_body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Promise {
    signed_entry_timestamp: String,
}

/// 64 bits, which JSON has as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Plain(i64),
}

impl Default for Number {
    fn default() -> Self {
        Self::Plain(0)
    }
}

impl Number {
    fn get(&self) -> Option<i64> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Plain(number) => Some(*number),
        }
    }
}

impl From<Bundled> for Material {
    fn from(bundled: Bundled) -> Self {
        let raw = |raw: Raw| STANDARD.decode(raw.raw_bytes).ok();
        let mut chain: Vec<Vec<u8>> =
            bundled.x509_certificate_chain.into_iter().flat_map(|chain| chain.certificates).filter_map(raw).collect();
        let certificate = bundled.certificate.and_then(raw).or_else(|| (!chain.is_empty()).then(|| chain.remove(0)));
        let entries = bundled.tlog_entries.unwrap_or_default().into_iter().take(MOST_ENTRIES).filter_map(entry).collect();
        let stamps = bundled.timestamp_verification_data.and_then(|data| data.rfc3161_timestamps).unwrap_or_default();
        let stamps = stamps.into_iter().take(MOST_ENTRIES).filter_map(|stamp| STANDARD.decode(stamp.signed_timestamp).ok()).collect();
        Self { certificate, chain, entries, stamps }
    }
}

/// An entry with a promise; `None` for one without, since it says nothing of the time.
fn entry(entry: BundledEntry) -> Option<Entry> {
    let log = STANDARD.decode(entry.log_id.key_id).ok()?;
    Some(Entry {
        promise: STANDARD.decode(entry.inclusion_promise?.signed_entry_timestamp).ok()?,
        integrated: entry.integrated_time.get()?,
        index: entry.log_index.get()?,
        log: forms::hex(&log),
        body: entry.canonicalized_body,
    })
}
