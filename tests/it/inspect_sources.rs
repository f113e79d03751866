//! What `kiln inspect` reads besides the plan, a layout and a registry's image: archives of every form, and what stands beside an image.

use std::process::Command;

use serde_json::{Value, json};

use super::fake_registry::Fake;
use super::layouts;
use super::parts::{output, part};
use super::project::Project;
use super::real_registry::{Mode, Real};
use super::scan;

const PLAN: &str = r#"kiln 1
registry "out" "oci:dist"
image "web" {
    platforms amd64
    copy "app" "/app"
    copy "etc/" "/etc/"
    compress gzip
    entrypoint "/app"
    save "saved/web.tar" name="acme/web:1.4"
    save "saved/plain.tar" format="oci" name="acme/web:1.4"
    tag "t"
    push "out"
}
image "both" {
    platforms amd64 arm64
    copy "app" "/app"
    save "saved/both.tar" name="acme/both:2"
}
"#;

fn project() -> Project {
    let project = Project::new(PLAN);
    project.script("app", "#!/bin/sh\n").write("etc/conf", "a=1\n".repeat(1000));
    project.kiln(&["run", "web", "both"]).ends(0);
    project
}

fn asked(project: &Project, words: &[&str], code: i32) -> Value {
    let ran = project.kiln(&[words, &["--json"]].concat()).ends(code);
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
}

#[test]
fn an_archive_is_the_image_that_was_saved_in_it() {
    let project = project();
    let packed = scan::gzip(&std::fs::read(project.path("saved/web.tar")).unwrap());
    project.write("saved/web.tar.gz", packed);
    let expected = asked(&project, &["inspect", "oci:dist/web:t", "--files"], 0);
    for place in [
        "saved/web.tar",
        "saved/plain.tar",
        "saved/web.tar.gz",
        "archive:saved/web.tar",
        "archive:saved/web.tar:1.4",
        "archive:saved/web.tar:acme/web:1.4",
        "oci:saved/plain.tar:1.4",
    ] {
        let view = asked(&project, &["inspect", place, "--files"], 0);
        assert_eq!((&view["digest"], &view["platforms"]), (&expected["digest"], &expected["platforms"]), "{place}");
        project.kiln(&["inspect", "diff", "web", place]).ends(0).says("are the same image");
    }
    let both = asked(&project, &["inspect", "saved/both.tar"], 0);
    assert_eq!(both["available"], json!(["linux/amd64", "linux/arm64"]));
    let one = asked(&project, &["inspect", "saved/both.tar", "--platform", "arm64"], 0);
    assert_eq!((one["platforms"].as_array().unwrap().len(), &one["platforms"][0]["platform"]), (1, &json!("linux/arm64")));
    project.kiln(&["inspect", "archive:saved/web.tar:1.5"]).ends(2).says("no image tagged `1.5`");
    project.kiln(&["inspect", "archive:saved/none.tar"]).ends(2).says("saved/none.tar");
    project.kiln(&["inspect", "diff", "saved/web.tar", "saved/both.tar"]).ends(1).says("linux/arm64").says("- /etc/conf");
}

#[test]
fn what_docker_save_writes_is_read_in_its_old_form_too() {
    let project = project();
    let Some(skopeo) = part("skopeo") else { return };
    // The form of Docker before 25: folders with links to layers, and no manifest.
    let copy = |from: &str, to: &str| {
        let mut command = Command::new(&skopeo);
        command.args(["--insecure-policy", "copy", "-q", from, to]);
        output(command.current_dir(project.root()).env("HOME", project.root()));
    };
    copy("oci:dist/web:t", "docker-archive:old.tar:acme/web:1.4");
    let old = asked(&project, &["inspect", "old.tar", "--files"], 0);
    let new = asked(&project, &["inspect", "oci:dist/web:t", "--files"], 0);
    let [before, after] = [&old, &new].map(|view| &view["platforms"][0]);
    assert_eq!(before["files"], after["files"]);
    assert_eq!(before["config"]["config"], after["config"]["config"]);
    assert_eq!(before["layers"][0]["digest"], after["layers"][0]["diff_id"]);
    project.kiln(&["inspect", "diff", "old.tar", "oci:dist/web:t"]).ends(0).says("are the same image");
    project.kiln(&["inspect", "archive:old.tar:acme/none:1"]).ends(2).says("has no image `acme/none:1`").says("acme/web:1.4");
    project.kiln(&["inspect", "old.tar", "--platform", "arm64"]).ends(2).says("it has `linux/amd64`");
    project.write("etc/conf", "b=2\n").kiln(&["run", "web"]).ends(0);
    let view = asked(&project, &["inspect", "diff", "old.tar", "web"], 1);
    let places: Vec<&str> = view["differences"].as_array().unwrap().iter().map(|row| row["place"].as_str().unwrap()).collect();
    assert_eq!(places, ["/etc/conf"], "layers that are packed otherwise and a manifest that is not there are no differences");
}

/// An archive of these members; a target makes a link.
fn archive(members: &[(&str, &[u8], Option<&str>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes, target) in members {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        match target {
            Some(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                archive.append_link(&mut header, name, target).unwrap();
            }
            None => archive.append_data(&mut header, name, *bytes).unwrap(),
        }
    }
    archive.into_inner().unwrap()
}

#[test]
fn an_archive_that_is_not_what_it_says_is_refused_with_the_reason() {
    let project = Project::new("kiln 1\n");
    let version = (r"oci-layout", &br#"{"imageLayoutVersion":"1.0.0"}"#[..], None);
    let digest = |bytes: &[u8]| kiln::base::digest::Digest::<kiln::base::digest::Sha256>::of(bytes).to_string();
    let layer = archive(&[("etc/passwd", b"root", None)]);
    let config = |id: &str| json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [id]}}).to_string();
    let good = config(&digest(&layer));
    let list = |config: &str, layers: &[&str]| json!([{"Config": config, "RepoTags": ["a:1"], "Layers": layers}]).to_string();
    let one = list("c.json", &["l/layer.tar"]);
    let named = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(b"{}"), "size": 2
    }]})
    .to_string();
    let manifest = ("manifest.json", one.as_bytes(), None);
    let two = list("c.json", &["l/layer.tar", "l/layer.tar"]);
    let more = ("manifest.json", two.as_bytes(), None);
    let held = ("c.json", good.as_bytes(), None);
    let blob = format!("blobs/sha256/{}", digest(b"{}").replace("sha256:", ""));
    for (what, members, code, words) in [
        ("a link to the layer", vec![manifest, held, ("x", &layer[..], None), ("l/layer.tar", b"", Some("../x"))], 0, "etc/passwd"),
        ("nothing", vec![], 2, "is no archive of an image: it has no `index.json` and no `manifest.json`"),
        ("a way out", vec![manifest, held, ("l/layer.tar", b"", Some("../../etc/passwd"))], 2, "names `l/layer.tar`, which is not in it"),
        ("no config", vec![manifest, ("l/layer.tar", &layer[..], None)], 2, "names `c.json`, which is not in it"),
        ("another layer", vec![manifest, held, ("l/layer.tar", &b"\0"[..], None)], 2, "is not the layer that the config names"),
        ("a circle", vec![manifest, held, ("l/layer.tar", b"", Some("layer.tar"))], 2, "which is not in it"),
        ("no image", vec![("manifest.json", b"[]", None)], 2, "holds no image"),
        ("more layers than ids", vec![more, held, ("l/layer.tar", &layer[..], None)], 2, "lists 2 layers, but the config 1"),
        ("no blob", vec![version, ("index.json", named.as_bytes(), None)], 2, "is missing"),
        ("other bytes", vec![version, ("index.json", named.as_bytes(), None), (&blob[..], b"[]", None)], 2, "is missing"),
    ] {
        project.write("x.tar", archive(&members));
        let ran = project.kiln(&["inspect", "x.tar", "--files"]);
        let text = (ran.out + &ran.err).replace("\n  │ ", " ");
        assert!(ran.code == code && text.contains(words), "{what}: {} {text}", ran.code);
    }
    project.write("x.tar", b"not an archive at all".repeat(100));
    project.kiln(&["inspect", "x.tar"]).ends(2).says("is not a sound archive");
}

#[test]
fn the_platform_that_a_config_says_has_the_name_that_plans_have_for_it() {
    let project = Project::new("kiln 1\n");
    let layer = archive(&[("etc/passwd", b"root", None)]);
    let id = kiln::base::digest::Digest::<kiln::base::digest::Sha256>::of(&layer).to_string();
    for (variant, name, asked_for) in
        [("v8", "linux/arm64", "arm64"), ("", "linux/arm64", "arm64"), ("v9", "linux/arm64/v9", "linux/arm64/v9")]
    {
        let config =
            json!({"architecture": "arm64", "variant": variant, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [id]}}).to_string();
        let list = json!([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["layer.tar"]}]).to_string();
        let members = [("manifest.json", list.as_bytes(), None), ("c.json", config.as_bytes(), None), ("layer.tar", &layer[..], None)];
        project.write("x.tar", archive(&members));
        let view = asked(&project, &["inspect", "x.tar", "--platform", asked_for], 0);
        assert_eq!((&view["available"], &view["platforms"][0]["platform"]), (&json!([name]), &json!(name)), "{variant}");
    }
}

/// What is told of an image that was signed, listed and recorded: kind, claim, whose, where found.
fn told(view: &Value) -> Vec<(String, String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let end = |tag: &Value| tag.as_str().and_then(|tag| tag.rsplit_once('.')).map_or("-".to_owned(), |(_, end)| end.to_owned());
    let rows = view["referrers"].as_array().unwrap().iter();
    rows.map(|row| (text(&row["kind"]), text(&row["claim"]), text(&row["platform"]), end(&row["tag"]))).collect()
}

const SIGNED: &str = "kiln 1\nregistry out \"HOST/acme\" insecure=#true\nimage web {\n    platforms amd64 arm64\n    copy app \"/app\"\n    tag t\n    \
                      push out { sbom; provenance; sign; }\n}\n";

fn publish(host: &str) -> Project {
    let mut project = Project::new(&SIGNED.replace("HOST", host));
    project.env("COSIGN_PRIVATE_KEY", include_str!("../../fixtures/keys/rfc6979.pem"));
    project.write("app", "1").commit();
    project.kiln(&["run", "web"]).ends(0);
    project
}

/// What is told about the index and the first platform.
fn expected() -> Vec<(String, String, String, String)> {
    let of = |platform: &str| {
        [
            ("signature", "https://sigstore.dev/cosign/sign/v1", "-"),
            ("signature", "-", "sig"),
            ("sbom", "-", "-"),
            ("sbom", "-", "-"),
            ("sbom", "https://cyclonedx.org/bom", "-"),
            ("sbom", "https://spdx.dev/Document", "-"),
            ("sbom", "https://cyclonedx.org/bom", "att"),
            ("sbom", "https://spdx.dev/Document", "att"),
            ("provenance", "https://slsa.dev/provenance/v1", "-"),
            ("provenance", "https://slsa.dev/provenance/v1", "att"),
        ]
        .map(|(kind, claim, tag)| (kind.to_owned(), claim.to_owned(), platform.to_owned(), tag.to_owned()))
    };
    [of("-"), of("linux/amd64")].concat()
}

#[test]
fn signatures_and_claims_beside_an_image_are_told_by_a_registry_without_lists() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    let project = publish(&registry.host);
    let name = format!("{}/acme/web:t", registry.host);
    let view = asked(&project, &["inspect", &name, "--insecure", "--platform", "amd64"], 0);
    assert_eq!(told(&view), expected());
    assert!(view["referrers"].as_array().unwrap().iter().all(|row| row["digest"].as_str().unwrap().starts_with("sha256:")));
    let text = project.kiln(&["inspect", &name, "--insecure", "--platform", "amd64"]).ends(0).out;
    for words in ["signature", "provenance", "https://slsa.dev/provenance/v1", "tag .sig", "tag .att"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn signatures_and_claims_beside_an_image_are_told_by_a_registry_with_lists() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let fake = runtime.block_on(Fake::start());
    fake.state.lock().unwrap().referrers = true;
    let project = publish(&fake.host);
    fake.forget();
    let name = format!("{}/acme/web:t", fake.host);
    let view = asked(&project, &["inspect", &name, "--insecure", "--platform", "amd64"], 0);
    assert_eq!(told(&view), expected());
    assert!(fake.lines().iter().any(|line| line.contains("/referrers/sha256:")), "{:?}", fake.lines());
    let _inside = runtime.enter();
    drop(fake);
}

#[test]
fn attestations_that_buildkit_puts_into_the_index_are_told() {
    let project = project();
    let image = layouts::index(&project, "dist/web")["manifests"][0].clone();
    let put = |bytes: &[u8], kind: &str| layouts::put(&project, "dist/web", bytes, &format!("application/vnd.{kind}+json"));
    let layer = |claim: &str| {
        let mut layer = put(claim.as_bytes(), "in-toto");
        layer["annotations"] = json!({ "in-toto.io/predicate-type": claim });
        layer
    };
    let layers = [layer("https://spdx.dev/Document"), layer("https://slsa.dev/provenance/v0.2")];
    let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(b"{}", "oci.image.config.v1"), "layers": layers });
    let mut attestation = put(manifest.to_string().as_bytes(), "oci.image.manifest.v1");
    attestation["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
    attestation["annotations"] =
        json!({ "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image["digest"] });
    let mut own = image;
    own["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    own.as_object_mut().unwrap().remove("annotations");
    let whole = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [own, attestation] });
    let mut whole = put(whole.to_string().as_bytes(), "oci.image.index.v1");
    whole["annotations"] = json!({ "org.opencontainers.image.ref.name": "t" });
    project.write("dist/web/index.json", json!({ "schemaVersion": 2, "manifests": [whole] }).to_string());
    let view = asked(&project, &["inspect", "oci:dist/web:t"], 0);
    assert_eq!(view["available"], json!(["linux/amd64"]));
    let row = |kind: &str, claim: &str| (kind.to_owned(), claim.to_owned(), "linux/amd64".to_owned(), "-".to_owned());
    assert_eq!(told(&view), [row("sbom", "https://spdx.dev/Document"), row("provenance", "https://slsa.dev/provenance/v0.2")]);
}
