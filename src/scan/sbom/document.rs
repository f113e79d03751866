//! The CycloneDX document.
//! In: an image and its packages with their places. Out: the bytes of a bill of materials, the same ones every time.
//! Never: a random number, a clock, or an order that depends on the order of the search.
//!
//! Source: CycloneDX 1.6, `bom-1.6.schema.json`. Only fields that kiln writes have a place in the types.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::base::digest::{BlobDigest, Digest, Sha256};
use crate::base::forms;
use crate::base::time::Moment;
use crate::oci::config::Config;

use super::Package;
use super::purl::Purl;
use super::source::Release;
use super::whole::Whole;

/// The image that the document is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What the user calls it: a repository with its host, or the name in the plan.
    pub name: &'a str,
    /// Its manifest.
    pub digest: BlobDigest,
    /// Its config, for the platform.
    pub config: &'a Config,
    /// When the document says it was made.
    pub epoch: Moment,
}

/// A package and where it was found.
#[derive(Debug, Clone)]
pub struct Located {
    /// The package.
    pub package: Package,
    /// The file that names it, absolute.
    pub path: String,
    /// The layer that the file came with.
    pub layer: BlobDigest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    compositions: Vec<Composition>,
}

#[derive(Serialize)]
struct Metadata {
    timestamp: String,
    tools: Tools,
    component: Component,
}

#[derive(Serialize)]
struct Tools {
    components: [Component; 1],
}

#[derive(Serialize, Default)]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "String::is_empty")]
    reference: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<LicenseChoice>,
    #[serde(skip_serializing_if = "String::is_empty")]
    purl: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence>,
    #[serde(rename = "externalReferences", skip_serializing_if = "Vec::is_empty")]
    elsewhere: Vec<Elsewhere>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

/// A document that says more.
#[derive(Serialize)]
struct Elsewhere {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct LicenseChoice {
    license: License,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum License {
    Id(String),
    Name(String),
}

#[derive(Serialize)]
struct Evidence {
    occurrences: Vec<Occurrence>,
}

/// A place where a package was found.
#[derive(Debug, Clone, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub(in crate::scan) struct Occurrence {
    /// The file that names it, absolute.
    pub location: String,
    /// The layer that the file came with.
    pub additional_context: String,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
struct Composition {
    aggregate: &'static str,
    assemblies: Vec<String>,
}

/// SPDX identifiers that CycloneDX wants in `id`; all others are valid in `name`. A short list of the common ones,
/// because a wrong `id` makes the document invalid, and a `name` never does.
pub(super) const SPDX_LICENCES: [&str; 24] = [
    "0BSD",
    "AGPL-3.0-only",
    "Apache-2.0",
    "Artistic-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "ISC",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "LGPL-3.0-only",
    "MIT",
    "MPL-2.0",
    "OpenSSL",
    "PSF-2.0",
    "Python-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The property that holds what an image is for.
const PLATFORM: &str = "kiln:platform";

/// Writes the document. `complete` says whether every database of the image was read.
#[must_use]
pub(in crate::scan) fn write(subject: &Subject<'_>, release: &Release, packages: &Merged, complete: bool) -> Vec<u8> {
    let image = image(subject);
    let root = image.reference.clone();
    let mut components: Vec<Component> = distribution(release).into_iter().collect();
    components.extend(packages.iter().map(|(purl, (package, places))| component(purl.clone(), package.clone(), places.clone())));
    let metadata = Metadata { timestamp: subject.epoch.to_string(), tools: Tools { components: [kiln()] }, component: image };
    let compositions = if complete { Vec::new() } else { vec![Composition { aggregate: "incomplete", assemblies: vec![root] }] };
    Document::new(metadata, components, compositions).bytes()
}

impl Document {
    fn new(metadata: Metadata, components: Vec<Component>, compositions: Vec<Composition>) -> Self {
        Self {
            schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
            bom_format: "CycloneDX",
            spec_version: "1.6",
            serial_number: String::new(),
            version: 1,
            metadata,
            components,
            compositions,
        }
    }

    /// Its bytes, with a number made of all the rest.
    fn bytes(mut self) -> Vec<u8> {
        self.serial_number = serial(&serde_json::to_vec(&self).unwrap_or_default());
        serde_json::to_vec(&self).unwrap_or_default()
    }
}

/// Writes the document of an index: its images, each with the name of its own bill. Source: CycloneDX, BOM-Link.
#[must_use]
pub fn write_index(whole: &Whole<'_>) -> Vec<u8> {
    let images = whole.images.iter().map(|image| Component {
        elsewhere: vec![Elsewhere { kind: "bom", url: format!("urn:cdx:{}/1", image.bill.id.trim_start_matches("urn:uuid:")) }],
        properties: vec![Property { name: PLATFORM, value: image.platform.to_string() }],
        ..container(whole.name, &whole.purl_of(image), image.digest)
    });
    let components: Vec<Component> = images.collect();
    let index = container(whole.name, &whole.purl(), whole.digest);
    let compositions = vec![
        Composition { aggregate: "complete", assemblies: vec![index.reference.clone()] },
        Composition { aggregate: "incomplete", assemblies: components.iter().map(|image| image.reference.clone()).collect() },
    ];
    let metadata = Metadata { timestamp: whole.made(), tools: Tools { components: [kiln()] }, component: index };
    Document::new(metadata, components, compositions).bytes()
}

/// Each package once, under its package URL, with all places where it was found.
pub(in crate::scan) type Merged = BTreeMap<String, (Package, BTreeSet<Occurrence>)>;

/// Packages of the distribution get its name from `release`; all places with the same package URL are of one package.
pub(in crate::scan) fn merge(release: &Release, found: Vec<Located>) -> Merged {
    let mut merged = Merged::new();
    for Located { mut package, path, layer } in found {
        let vendor = match package.purl.kind() {
            "deb" => Some("debian"),
            "apk" => Some("alpine"),
            _ => None,
        };
        if let Some(fallback) = vendor {
            let vendor = if release.id.is_empty() { fallback } else { &release.id };
            package.purl = package.purl.of_vendor(vendor, &release.distro());
        }
        let place = Occurrence { location: path, additional_context: format!("layer {layer}") };
        let (first, places) = merged.entry(package.purl.to_string()).or_insert_with(|| (package.clone(), BTreeSet::new()));
        // What one place leaves out another may say; the smaller text wins, so that the order of the search does not matter.
        if !package.licences.is_empty() && (first.licences.is_empty() || package.licences < first.licences) {
            first.licences = package.licences;
        }
        first.upstream = first.upstream.take().into_iter().chain(package.upstream).min();
        places.insert(place);
    }
    merged
}

fn component(purl: String, package: Package, places: BTreeSet<Occurrence>) -> Component {
    let upstream = package.upstream.into_iter().map(|value| Property { name: "kiln:upstream", value });
    Component {
        kind: "library",
        reference: purl.clone(),
        group: if package.purl.kind() == "deb" || package.purl.kind() == "apk" { String::new() } else { package.purl.namespace() },
        name: package.purl.name().to_owned(),
        version: package.purl.version().unwrap_or_default().to_owned(),
        licenses: package.licences.into_iter().map(|text| LicenseChoice { license: license(text) }).collect(),
        purl,
        evidence: Some(Evidence { occurrences: places.into_iter().collect() }),
        properties: upstream.collect(),
        ..Component::default()
    }
}

fn license(text: String) -> License {
    if SPDX_LICENCES.contains(&text.as_str()) { License::Id(text) } else { License::Name(text) }
}

fn distribution(release: &Release) -> Option<Component> {
    (!release.id.is_empty()).then(|| Component {
        kind: "operating-system",
        reference: format!("os:{}", release.distro()),
        name: release.id.clone(),
        version: release.version.clone(),
        ..Component::default()
    })
}

/// An image, or an index of images.
fn container(name: &str, purl: &Purl, digest: BlobDigest) -> Component {
    Component {
        kind: "container",
        reference: purl.to_string(),
        name: name.to_owned(),
        version: digest.to_string(),
        hashes: vec![Hash { alg: "SHA-256", content: digest.0.hex() }],
        purl: purl.to_string(),
        ..Component::default()
    }
}

fn image(subject: &Subject<'_>) -> Component {
    let platform = [Some(subject.config.os.as_str()), Some(subject.config.architecture.as_str()), subject.config.variant.as_deref()];
    Component {
        properties: vec![Property { name: PLATFORM, value: platform.into_iter().flatten().collect::<Vec<_>>().join("/") }],
        ..container(subject.name, &purl_of(subject), subject.digest)
    }
}

/// The package URL of the image.
pub(super) fn purl_of(subject: &Subject<'_>) -> Purl {
    Purl::oci(subject.name, &subject.digest.to_string()).with("arch", &subject.config.architecture)
}

fn kiln() -> Component {
    Component { kind: "application", name: "kiln".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), ..Component::default() }
}

/// A UUID out of the rest of the document: version 8 of RFC 9562, whose bits are the maker's own, here SHA-256.
/// CycloneDX wants a number of its own for every document; equal documents have equal ones here.
pub(super) fn serial(document: &[u8]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Digest::<Sha256>::of(document).as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = forms::hex(&bytes);
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        serde_json::from_str(r#"{"architecture":"arm","variant":"v7","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#).unwrap()
    }

    fn located(purl: Purl, path: &str, licences: &[&str]) -> Located {
        let licences = licences.iter().map(|text| (*text).to_owned()).collect();
        Located { package: Package { purl, licences, upstream: None }, path: path.into(), layer: BlobDigest(Digest::of(b"layer")) }
    }

    fn write_with(found: Vec<Located>, complete: bool) -> String {
        let (config, release) = (config(), Release { id: "debian".into(), version: "12".into() });
        let subject =
            Subject { name: "ghcr.io/acme/Api", digest: BlobDigest(Digest::of(b"image")), config: &config, epoch: Moment::from_seconds(0) };
        String::from_utf8(write(&subject, &release, &merge(&release, found), complete)).unwrap()
    }

    #[test]
    fn a_package_in_two_places_is_one_component() {
        let found = || {
            vec![
                located(Purl::npm("@a/b", "1.0.0"), "/app/package-lock.json", &[]),
                located(Purl::npm("@a/b", "1.0.0"), "/app/node_modules/@a/b/package.json", &["MIT", "Odd Licence"]),
                located(Purl::deb("libc6", "2.36").with("arch", "arm"), "/var/lib/dpkg/status", &[]),
            ]
        };
        let text = write_with(found(), true);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let components = value["components"].as_array().unwrap();
        let refs: Vec<&str> = components.iter().map(|component| component["bom-ref"].as_str().unwrap()).collect();
        assert_eq!(refs, ["os:debian-12", "pkg:deb/debian/libc6@2.36?arch=arm&distro=debian-12", "pkg:npm/%40a/b@1.0.0"]);
        assert_eq!(components[2]["group"], "@a");
        assert_eq!(components[2]["licenses"].to_string(), r#"[{"license":{"id":"MIT"}},{"license":{"name":"Odd Licence"}}]"#);
        assert_eq!(components[2]["evidence"]["occurrences"][0]["location"], "/app/node_modules/@a/b/package.json");
        assert_eq!(components[2]["evidence"]["occurrences"].as_array().unwrap().len(), 2);
        let mut turned = found();
        turned.reverse();
        assert_eq!(write_with(turned, true), text, "the order of the search shows");
    }

    #[test]
    fn a_gap_is_declared_and_changes_the_serial_number() {
        let (whole, gap) = (write_with(Vec::new(), true), write_with(Vec::new(), false));
        assert!(!whole.contains("compositions") && gap.contains(r#""aggregate":"incomplete""#));
        let serial = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["serialNumber"].to_string();
        assert_ne!(serial(&whole), serial(&gap));
        assert_eq!((serial(&whole).len(), &serial(&whole)[23..25]), (47, "-8"));
    }
}
