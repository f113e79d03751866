//! What comes with a signature so that it can be held against an identity: the certificate, links of its chain, entries of logs.
//! In: annotations of a layer in the old form, or the part of a sigstore bundle. Nothing here is believed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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
    /// The envelope that the signature is in, to the byte, where a stamp may be of that as a whole.
    pub envelope: Option<Vec<u8>>,
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
            envelope: None,
        }
    }

    /// What came with an envelope that is a layer. cosign had such an envelope stamped as a whole before 3.0.3, and the signature in it since;
    /// in bundles it is always the signature. Source: cosign, cmd/cosign/cli/attest/attest.go; sigstore-go, pkg/verify/tsa.go.
    #[must_use]
    pub fn around(self, envelope: Vec<u8>) -> Self {
        let is_stamped = !self.stamps.is_empty();
        Self { envelope: is_stamped.then_some(envelope), ..self }
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

/// `verificationMaterial` of a bundle, as Protocol Buffers write it in JSON. Each part is read for itself: one that is odd says nothing, and
/// takes nothing from the others.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Bundled {
    certificate: Value,
    x509_certificate_chain: Value,
    tlog_entries: Value,
    timestamp_verification_data: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stamps {
    rfc3161_timestamps: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BundledStamp {
    signed_timestamp: String,
}

/// A certificate.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Raw {
    raw_bytes: String,
}

impl Raw {
    pub(super) fn der(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.raw_bytes).ok()
    }
}

/// Certificates, each vouched for by the next.
#[derive(Deserialize)]
pub(super) struct Chain {
    pub(super) certificates: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BundledEntry {
    #[serde(default)]
    log_index: Value,
    log_id: LogId,
    #[serde(default)]
    integrated_time: Value,
    inclusion_promise: Promise,
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

/// 64 bits, which JSON has as a text, and not at all where they are 0.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Null => Some(0),
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

fn part<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

impl Material {
    /// What a bundle has in `verificationMaterial`.
    #[must_use]
    pub fn of_bundle(material: Value) -> Self {
        let Bundled { certificate, x509_certificate_chain, tlog_entries, timestamp_verification_data } = part(material).unwrap_or_default();
        let links = part(x509_certificate_chain).map_or_else(Vec::new, |chain: Chain| chain.certificates);
        let mut chain: Vec<Vec<u8>> = links.iter().filter_map(Raw::der).collect();
        let alone = part(certificate).and_then(|raw: Raw| raw.der());
        let certificate = alone.or_else(|| (!chain.is_empty()).then(|| chain.remove(0)));
        let entries: Vec<Value> = part(tlog_entries).unwrap_or_default();
        let entries = entries.into_iter().take(MOST_ENTRIES).filter_map(|one| entry(part(one)?)).collect();
        let stamps = part(timestamp_verification_data).map_or_else(Vec::new, |data: Stamps| data.rfc3161_timestamps);
        let stamp = |one| STANDARD.decode(part::<BundledStamp>(one)?.signed_timestamp).ok();
        let stamps = stamps.into_iter().take(MOST_ENTRIES).filter_map(stamp).collect();
        Self { certificate, chain, entries, stamps, envelope: None }
    }
}

/// An entry with a promise; one without is none, since it says nothing of the time.
fn entry(entry: BundledEntry) -> Option<Entry> {
    let log = STANDARD.decode(entry.log_id.key_id).ok()?;
    Some(Entry {
        promise: STANDARD.decode(entry.inclusion_promise.signed_entry_timestamp).ok()?,
        integrated: number(&entry.integrated_time)?,
        index: number(&entry.log_index)?,
        log: forms::hex(&log),
        body: entry.canonicalized_body,
    })
}
