//! Images and bills of materials, read by the real `syft`. `trivy` is tried nowhere: no package registry that tests may use has it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::layouts;
use super::parts::{output, part};
use super::project::Project;

/// An image of a Debian system with programs and lock files of several languages, and one of Alpine.
const PLAN: &str = r#"kiln 1
registry "out" "oci:dist"
image "debian" {
    platforms amd64
    copy "status" "/var/lib/dpkg/"
    copy "debian-release" "/etc/os-release"
    copy "package-lock.json" "Cargo.lock" "requirements.txt" "/app/"
    copy "METADATA" "/usr/lib/python3/site-packages/six-1.16.0.dist-info/"
    save "saved/debian/"
    save "saved/debian.tar"
    save "saved/debian-oci.tar" format="oci"
    tag "t"
    push "out" { sbom; }
}
image "alpine" {
    platforms amd64
    compress zstd
    copy "installed" "/lib/apk/db/"
    copy "alpine-release" "/etc/os-release"
    save "saved/alpine/"
    tag "t"
    push "out" { sbom; }
}
"#;

const STATUS: &str = "Package: adduser\nStatus: install ok installed\nArchitecture: all\nVersion: 3.134\nDescription: a\n\n\
                      Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9+deb12u7\nDescription: c\n\n";

fn project() -> Project {
    let project = Project::new(PLAN);
    let scan = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scan");
    for (from, to) in [("package-lock.v3.json", "package-lock.json"), ("Cargo.lock", "Cargo.lock"), ("apk-installed", "installed")] {
        project.write(to, std::fs::read(scan.join(from)).unwrap());
    }
    project.write("status", STATUS).write("requirements.txt", "flask==3.0.0\n");
    project.write("METADATA", "Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\nLicense: MIT\n");
    project.write("debian-release", "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nVERSION_ID=\"12\"\n");
    project.write("alpine-release", "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.0\n");
    project.kiln(&["run", "debian", "alpine"]).ends(0);
    project
}

/// What syft finds, each package by its URL without qualifiers; what has none is no package.
fn found(project: &Project, syft: &PathBuf, words: &[&str]) -> BTreeSet<String> {
    let mut command = Command::new(syft);
    command.args(words).args(["-q", "-o", "syft-json"]).current_dir(project.root()).env("HOME", project.root());
    let said: Value = serde_json::from_str(&output(command.env("SYFT_CHECK_FOR_APP_UPDATE", "false"))).unwrap();
    urls(said["artifacts"].as_array().unwrap().iter().filter_map(|package| package["purl"].as_str()))
}

fn urls<'a>(all: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    all.filter(|url| !url.is_empty()).map(|url| url.split('?').next().unwrap().to_owned()).collect()
}

/// The bill of an image of this type, as it lies in the layout.
fn bill(project: &Project, image: &str, kind: &str) -> String {
    let layout = format!("dist/{image}");
    let index = layouts::index(project, &layout);
    let entry = index["manifests"].as_array().unwrap().iter().find(|entry| entry["artifactType"] == kind).unwrap();
    layouts::text(project, &layout, &layouts::document(project, &layout, entry)["layers"][0])
}

#[test]
fn syft_reads_in_both_documents_the_packages_that_kiln_wrote() {
    let Some(syft) = part("syft") else { return };
    let project = project();
    for (image, least) in [("debian", 10), ("alpine", 2)] {
        let text = bill(&project, image, "application/vnd.cyclonedx+json");
        let document: Value = serde_json::from_str(&text).unwrap();
        let written = urls(document["components"].as_array().unwrap().iter().filter_map(|component| component["purl"].as_str()));
        assert!(written.len() >= least, "{written:?}");
        project.write("cyclonedx.json", &text).write("spdx.json", bill(&project, image, "application/spdx+json"));
        for form in ["cyclonedx.json", "spdx.json"] {
            assert_eq!(found(&project, &syft, &["convert", form]), written, "{image} {form}");
        }
    }
}

#[test]
fn syft_finds_in_the_image_what_kiln_says_is_in_it() {
    let Some(syft) = part("syft") else { return };
    let project = project();
    // What lock files name is said by kiln alone: syft takes it for a wish until it finds the thing itself.
    let debian = ["pkg:deb/debian/adduser@3.134", "pkg:deb/debian/libc6@2.36-9%2Bdeb12u7", "pkg:pypi/six@1.16.0"];
    let alpine = ["pkg:apk/alpine/musl@1.2.5-r0", "pkg:apk/alpine/ssl_client@1.36.1-r29"];
    for (place, image, expected) in [
        ("oci-dir:saved/debian", "debian", &debian[..]),
        ("oci-archive:saved/debian-oci.tar", "debian", &debian),
        ("docker-archive:saved/debian.tar", "debian", &debian),
        ("oci-dir:saved/alpine", "alpine", &alpine),
    ] {
        let seen = found(&project, &syft, &["scan", place]);
        assert_eq!(seen, expected.iter().map(|url| (*url).to_owned()).collect(), "{place}");
        let said = bill(&project, image, "application/vnd.cyclonedx+json");
        for url in &seen {
            assert!(said.contains(&format!("\"purl\":\"{url}")), "{url} is in {place} and not in {said}");
        }
    }
}
