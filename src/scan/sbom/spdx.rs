//! The SPDX document.
//! In: an image and its packages with their places. Out: the bytes of a bill of materials, the same ones every time.
//! Never: a licence that nobody declared, a random number, a clock.
//!
//! Source: SPDX 2.3, `schemas/spdx-schema.json`. Only fields that kiln writes have a place in the types.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::digest::{BlobDigest, Digest, Sha256};

use super::Package;
use super::document::{Merged, SPDX_LICENCES, Subject, purl_of, serial};
use super::purl::Purl;
use super::source::Release;
use super::whole::Whole;

/// What is not known and not claimed.
const NOTHING: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const SYSTEM: &str = "SPDXRef-OperatingSystem";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: Creation,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'static str>,
    packages: Vec<Part>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    has_extracted_licensing_infos: Vec<Extracted>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct Creation {
    created: String,
    creators: [String; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version_info: String,
    download_location: &'static str,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: String,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_package_purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    source_info: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<External>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct External {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

/// A licence that the list of SPDX does not have, in its own words.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extracted {
    license_id: String,
    extracted_text: String,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

/// Writes the document. `complete` says whether every database of the image was read.
#[must_use]
pub(in crate::scan) fn write(subject: &Subject<'_>, release: &Release, packages: &Merged, complete: bool) -> Vec<u8> {
    let mut own: BTreeMap<String, String> = BTreeMap::new();
    let mut parts = vec![image(subject)];
    let system = system(release);
    let mut relationships = vec![related(DOCUMENT, "DESCRIBES", IMAGE)];
    relationships.extend(system.iter().map(|system| related(IMAGE, "CONTAINS", &system.id)));
    let holder = system.as_ref().map_or(IMAGE, |_| SYSTEM);
    parts.extend(system);
    let mut applications: BTreeMap<String, Part> = BTreeMap::new();
    for (purl, (package, places)) in packages {
        let part = part(purl, package, &mut own);
        if matches!(package.purl.kind(), "deb" | "apk") {
            relationships.push(related(holder, "CONTAINS", &part.id));
        } else {
            for place in places {
                let application = application(package.purl.kind(), &place.location);
                relationships.push(related(&application.id, "CONTAINS", &part.id));
                applications.insert(application.id.clone(), application);
            }
        }
        parts.push(part);
    }
    relationships.extend(applications.keys().map(|id| related(IMAGE, "CONTAINS", id)));
    parts.extend(applications.into_values());
    let own = own.into_iter().map(|(license_id, text)| Extracted { license_id, extracted_text: text.clone(), name: text });
    Document {
        comment: (!complete).then_some("incomplete: not every package database of the image could be read"),
        has_extracted_licensing_infos: own.collect(),
        ..Document::new(subject.name, subject.epoch.to_string(), parts, relationships)
    }
    .bytes()
}

/// Writes the document of an index: its images, which are variants of it.
#[must_use]
pub fn write_index(whole: &Whole<'_>) -> Vec<u8> {
    let mut parts = vec![container(IMAGE, whole.name, whole.digest, &whole.purl())];
    let mut relationships = vec![related(DOCUMENT, "DESCRIBES", IMAGE)];
    for image in &whole.images {
        let id = format!("{IMAGE}-{}", image.platform.to_string().replace('/', "-"));
        relationships.push(related(&id, "VARIANT_OF", IMAGE));
        let bill = format!("its own bill is {}", image.bill.id);
        parts.push(Part { source_info: bill, ..container(&id, whole.name, image.digest, &whole.purl_of(image)) });
    }
    Document::new(whole.name, whole.made(), parts, relationships).bytes()
}

impl Document {
    fn new(name: &str, created: String, packages: Vec<Part>, relationships: Vec<Relationship>) -> Self {
        Self {
            spdx_version: "SPDX-2.3",
            data_license: "CC0-1.0",
            id: DOCUMENT,
            name: name.to_owned(),
            document_namespace: String::new(),
            creation_info: Creation { created, creators: [concat!("Tool: kiln-", env!("CARGO_PKG_VERSION")).to_owned()] },
            comment: None,
            packages,
            has_extracted_licensing_infos: Vec::new(),
            relationships,
        }
    }

    /// Its bytes, with a name made of all the rest.
    fn bytes(mut self) -> Vec<u8> {
        self.document_namespace = serial(&serde_json::to_vec(&self).unwrap_or_default());
        serde_json::to_vec(&self).unwrap_or_default()
    }
}

fn related(from: &str, how: &'static str, to: &str) -> Relationship {
    Relationship { spdx_element_id: from.to_owned(), relationship_type: how, related_spdx_element: to.to_owned() }
}

fn blank(id: String, name: &str, version: &str) -> Part {
    Part {
        id,
        name: name.to_owned(),
        version_info: version.to_owned(),
        download_location: NOTHING,
        files_analyzed: false,
        license_concluded: NOTHING,
        license_declared: NOTHING.to_owned(),
        copyright_text: NOTHING,
        primary_package_purpose: None,
        source_info: String::new(),
        checksums: Vec::new(),
        external_refs: Vec::new(),
    }
}

/// An image, or an index of images.
fn container(id: &str, name: &str, digest: BlobDigest, purl: &Purl) -> Part {
    Part {
        primary_package_purpose: Some("CONTAINER"),
        checksums: vec![Checksum { algorithm: "SHA256", checksum_value: digest.0.hex() }],
        external_refs: vec![package_url(purl.to_string())],
        ..blank(id.to_owned(), name, &digest.to_string())
    }
}

fn image(subject: &Subject<'_>) -> Part {
    container(IMAGE, subject.name, subject.digest, &purl_of(subject))
}

fn system(release: &Release) -> Option<Part> {
    (!release.id.is_empty())
        .then(|| Part { primary_package_purpose: Some("OPERATING_SYSTEM"), ..blank(SYSTEM.to_owned(), &release.id, &release.version) })
}

/// A file that names packages, as the application that they belong to. Scanners know the kind of a file by these words (trivy's).
fn application(kind: &str, path: &str) -> Part {
    let is = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
    let word = match kind {
        "npm" if is(&["/package.json"]) => "node-pkg",
        "cargo" if !is(&[".lock"]) => "rustbinary",
        "golang" if is(&["/go.mod", "/go.sum"]) => "gomod",
        "golang" => "gobinary",
        "pypi" => "python-pkg",
        other => other,
    };
    let id = format!("SPDXRef-Application-{}", &Digest::<Sha256>::of(format!("{word} {path}").as_bytes()).hex()[..20]);
    Part { primary_package_purpose: Some("APPLICATION"), source_info: path.trim_start_matches('/').to_owned(), ..blank(id, word, "") }
}

fn part(purl: &str, package: &Package, own: &mut BTreeMap<String, String>) -> Part {
    let namespace = package.purl.namespace();
    let name = match package.purl.kind() {
        "deb" | "apk" => package.purl.name().to_owned(),
        _ if namespace.is_empty() => package.purl.name().to_owned(),
        _ => format!("{namespace}/{}", package.purl.name()),
    };
    let id = format!("SPDXRef-Package-{}", &Digest::<Sha256>::of(purl.as_bytes()).hex()[..20]);
    let upstream = package.upstream.as_ref().filter(|_| package.purl.kind() == "deb" || package.purl.kind() == "apk");
    Part {
        source_info: upstream.map_or_else(String::new, |upstream| format!("built package from: {}", built_from(upstream, package))),
        license_declared: declared(&package.licences, own),
        external_refs: vec![package_url(purl.to_owned())],
        ..blank(id, &name, package.purl.version().unwrap_or_default())
    }
}

/// A source package with its version, which is the package's own where nothing else is said.
fn built_from(upstream: &str, package: &Package) -> String {
    let (name, version) = upstream.rsplit_once('@').unwrap_or((upstream, package.purl.version().unwrap_or_default()));
    format!("{name} {version}")
}

fn package_url(locator: String) -> External {
    External { reference_category: "PACKAGE-MANAGER", reference_type: "purl", reference_locator: locator }
}

/// All licences of a package as one expression; those that SPDX does not list are defined in `own`.
fn declared(licences: &[String], own: &mut BTreeMap<String, String>) -> String {
    let mut words: Vec<String> = Vec::new();
    for licence in licences {
        if SPDX_LICENCES.contains(&licence.as_str()) {
            words.push(licence.clone());
        } else {
            let id = format!("LicenseRef-{}", &Digest::<Sha256>::of(licence.as_bytes()).hex()[..16]);
            own.insert(id.clone(), licence.clone());
            words.push(id);
        }
    }
    if words.is_empty() { NOTHING.to_owned() } else { words.join(" AND ") }
}

#[cfg(test)]
mod tests {
    use super::super::document::{Located, merge};
    use super::super::purl::Purl;
    use super::*;
    use crate::base::digest::BlobDigest;
    use crate::base::time::Moment;

    fn written(complete: bool) -> serde_json::Value {
        let config = serde_json::from_str(r#"{"architecture":"arm64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#).unwrap();
        let subject =
            Subject { name: "ghcr.io/acme/api", digest: BlobDigest(Digest::of(b"image")), config: &config, epoch: Moment::from_seconds(0) };
        let release = Release { id: "debian".into(), version: "12".into() };
        let licences = vec!["MIT".to_owned(), "Odd Licence".to_owned()];
        let located = |purl, licences| Located {
            package: Package { purl, licences, upstream: None },
            path: "/app/package-lock.json".into(),
            layer: BlobDigest(Digest::of(b"layer")),
        };
        let found = vec![
            located(Purl::npm("@a/b", "1.0.0"), licences),
            located(Purl::cargo("serde", "1.0.0"), Vec::new()),
            located(Purl::deb("libc6", "2.36"), Vec::new()),
        ];
        serde_json::from_slice(&write(&subject, &release, &merge(&release, found), complete)).unwrap()
    }

    #[test]
    fn the_image_contains_its_packages_and_each_licence_is_defined() {
        let document = written(true);
        let parts = document["packages"].as_array().unwrap();
        let named = |name: &str| parts.iter().find(|part| part["name"] == name).unwrap_or_else(|| panic!("{name}: {document}"));
        let names: Vec<&str> = parts.iter().take(5).map(|part| part["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["ghcr.io/acme/api", "debian", "serde", "libc6", "@a/b"]);
        assert_eq!(named("serde")["licenseDeclared"], NOTHING);
        let id = document["hasExtractedLicensingInfos"][0]["licenseId"].as_str().unwrap();
        assert_eq!(named("@a/b")["licenseDeclared"], format!("MIT AND {id}"));
        assert_eq!(document["hasExtractedLicensingInfos"][0]["extractedText"], "Odd Licence");
        let holder = |name: &str| {
            let of = |one: &&serde_json::Value| one["relatedSpdxElement"] == named(name)["SPDXID"];
            document["relationships"].as_array().unwrap().iter().find(of).unwrap()["spdxElementId"].clone()
        };
        assert_eq!((holder("libc6"), holder("debian"), holder("npm")), (SYSTEM.into(), IMAGE.into(), IMAGE.into()));
        assert_eq!((holder("@a/b"), holder("serde")), (named("npm")["SPDXID"].clone(), named("rustbinary")["SPDXID"].clone()));
        assert_eq!(named("npm")["sourceInfo"], "app/package-lock.json");
        assert_eq!(document["creationInfo"]["created"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_gap_is_declared_and_is_another_document() {
        let (whole, gap) = (written(true), written(false));
        assert!(whole.get("comment").is_none() && gap["comment"].as_str().unwrap().starts_with("incomplete"));
        assert_ne!(whole["documentNamespace"], gap["documentNamespace"]);
    }
}
