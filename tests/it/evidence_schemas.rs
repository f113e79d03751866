//! Documents beside an image, held against the schemas that CycloneDX, SPDX, SLSA and OCI publish.

use std::path::Path;

use base64::Engine as _;
use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

use super::layouts;
use super::project::Project;

const PLAN: &str = r#"
kiln 1
project "t" { default "web" }
registry "r" "oci:dist"
image "web" {
    platforms amd64 arm64
    copy "status" "/var/lib/dpkg/"
    copy "os-release" "/etc/"
    copy "package-lock.json" "/app/"
    tag "v1"
    push r { EVIDENCE }
}
"#;

const STATUS: &str = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9\nMaintainer: x <x@example.org>\nDescription: c\n\n";
const LOCK: &str = r#"{"name":"app","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"app"},
    "node_modules/@a/b":{"version":"1.2.3","license":"MIT"},"node_modules/c":{"version":"0.1.0","license":"Odd Licence 1.0"}}}"#;

struct Held {
    schemas: Schemas,
    by: Vec<(&'static str, SchemaIndex)>,
}

impl Held {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/schemas");
        let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        for name in ["bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schema.json"] {
            compiler.add_resource(&format!("http://cyclonedx.org/schema/{name}"), read(name)).unwrap();
        }
        compiler.add_resource("http://spdx.org/rdf/terms/2.3", read("spdx-2.3.schema.json")).unwrap();
        compiler.add_resource("https://slsa.dev/provenance/v1", read("slsa-provenance-1.schema.json")).unwrap();
        // Names in these are relative to ids on two levels.
        for file in std::fs::read_dir(folder.join("oci")).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            for base in ["https://opencontainers.org/schema", "https://opencontainers.org/schema/image"] {
                let mut schema = read(&format!("oci/{name}"));
                schema.as_object_mut().unwrap().remove("id");
                compiler.add_resource(&format!("{base}/{name}"), schema).unwrap();
            }
        }
        let mut schemas = Schemas::new();
        let by = [
            ("cyclonedx", "http://cyclonedx.org/schema/bom-1.6.schema.json"),
            ("spdx", "http://spdx.org/rdf/terms/2.3"),
            ("slsa", "https://slsa.dev/provenance/v1"),
            ("manifest", "https://opencontainers.org/schema/image/image-manifest-schema.json"),
            ("index", "https://opencontainers.org/schema/image/image-index-schema.json"),
            ("config", "https://opencontainers.org/schema/image/config-schema.json"),
            ("layout", "https://opencontainers.org/schema/image/image-layout-schema.json"),
        ];
        let by = by.map(|(name, place)| (name, compiler.compile(place, &mut schemas).unwrap_or_else(|error| panic!("{place}: {error:#}"))));
        Self { schemas, by: by.to_vec() }
    }

    #[track_caller]
    fn fits(&self, name: &str, document: &Value) {
        let (_, schema) = self.by.iter().find(|(own, _)| *own == name).unwrap();
        if let Err(error) = self.schemas.validate(document, *schema) {
            panic!("{name}: {error:#}\n{document:#}");
        }
    }
}

/// The statement in an envelope, or the document itself.
fn opened(document: Value) -> Value {
    let envelope = document.get("dsseEnvelope").unwrap_or(&document);
    match envelope["payload"].as_str() {
        Some(payload) => serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(payload).unwrap()).unwrap(),
        None => document,
    }
}

#[test]
fn all_that_goes_beside_an_image_fits_the_schemas_of_those_who_read_it() {
    let held = Held::new();
    for (evidence, documents) in [("sbom; provenance", 3 + 6 + 6), ("sign; sbom; provenance", 3 + 3 + 6 + 6)] {
        let mut project = Project::new(&PLAN.replace("EVIDENCE", evidence));
        project.env("COSIGN_PRIVATE_KEY", include_str!("../../fixtures/keys/rfc6979.pem"));
        project.write("status", STATUS).write("os-release", "ID=debian\nVERSION_ID=12\n").write("package-lock.json", LOCK);
        project.kiln(&["run"]).ends(0);
        let index = layouts::index(&project, "dist/web");
        held.fits("index", &index);
        let mut seen = 0;
        for entry in index["manifests"].as_array().unwrap().iter().filter(|entry| entry["artifactType"].is_string()) {
            let manifest = layouts::document(&project, "dist/web", entry);
            held.fits("manifest", &manifest);
            seen += 1;
            let of_index = manifest["subject"]["mediaType"] == "application/vnd.oci.image.index.v1+json";
            let document = opened(layouts::document(&project, "dist/web", &manifest["layers"][0]));
            let (kind, body) = match document["predicateType"].as_str() {
                Some(predicate) => (predicate, &document["predicate"]),
                None => (manifest["artifactType"].as_str().unwrap(), &document),
            };
            match kind {
                "https://cyclonedx.org/bom" | "application/vnd.cyclonedx+json" => {
                    held.fits("cyclonedx", body);
                    assert_eq!(body["components"].as_array().unwrap().len(), if of_index { 2 } else { 4 }, "{body}");
                }
                "https://spdx.dev/Document" | "application/spdx+json" => {
                    held.fits("spdx", body);
                    // The image, the system, three packages and the file that names two of them; or the index and its images.
                    assert_eq!(body["packages"].as_array().unwrap().len(), if of_index { 3 } else { 6 }, "{body}");
                }
                "https://slsa.dev/provenance/v1" => held.fits("slsa", body),
                "https://sigstore.dev/cosign/sign/v1" => assert_eq!(*body, serde_json::json!({})),
                other => panic!("{other}"),
            }
        }
        assert_eq!(seen, documents, "{evidence}");
    }
}

#[test]
fn the_documents_of_an_image_fit_the_schemas_of_oci() {
    let held = Held::new();
    let plan = r#"
kiln 1
registry "r" "oci:dist"
image "web" {
    platforms amd64 arm-v7
    copy "status" "/a"
    compress zstd
    env A="1"
    user "1:2"
    workdir "/w"
    expose 80 "53/udp"
    volume "/v"
    label a="b"
    annotation org="example"
    healthcheck exec "/x" interval="5s"
    stop-signal SIGINT
    entrypoint "/x"
    cmd "y"
    author "Ann"
    shell "/bin/ash" "-ec"
    onbuild "COPY . /src"
    os-version "10.0"
    os-feature "win32k"
    tag "v1"
    push r
}
"#;
    let project = Project::new(plan);
    project.write("status", STATUS).kiln(&["run", "web"]).ends(0);
    held.fits("layout", &serde_json::from_str(&project.read("dist/web/oci-layout")).unwrap());
    let top = layouts::index(&project, "dist/web");
    held.fits("index", &top);
    let index = layouts::document(&project, "dist/web", &top["manifests"][0]);
    held.fits("index", &index);
    let children = index["manifests"].as_array().unwrap();
    assert_eq!(children.len(), 2);
    for child in children {
        let manifest = layouts::document(&project, "dist/web", child);
        held.fits("manifest", &manifest);
        held.fits("config", &layouts::document(&project, "dist/web", &manifest["config"]));
    }
}
