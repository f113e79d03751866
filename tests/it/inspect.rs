//! `kiln inspect`: what an image is made of, what it could do without, how two differ; nothing of a hostile one gets out.

use serde_json::{Value, json};

use super::layouts;
use super::project::Project;
use super::real_registry::{Mode, Real};

const PLAN: &str = r#"kiln 1
registry "out" "oci:dist"
image "base" {
    copy "base/" "/"
}
image "web" {
    from "base"
    copy "app" "/app"
    copy "data/" "/srv/"
    copy "app" "/srv/config"
    user "1000"
    env MODE="fast"
    label team="web"
    annotation org="example"
    entrypoint "/app" "--listen" "all of them"
    tag "t"
    push "out"
}
"#;

fn project() -> Project {
    let project = Project::new(PLAN);
    project.script("app", &"#!/bin/sh\n".repeat(1000)).write("base/var/lib/apt/lists/index", "x".repeat(30_000));
    project.write("data/config", "y".repeat(9_000)).write("data/.env", "TOKEN=1\n").write("data/twin", "#!/bin/sh\n".repeat(1000));
    project.write("base/etc/motd", "hello\n");
    project
}

fn asked(project: &Project, words: &[&str], code: i32) -> Value {
    let ran = project.kiln(&[words, &["--json"]].concat()).ends(code);
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
}

#[test]
fn an_image_of_the_plan_is_shown_with_the_lines_that_made_its_layers() {
    let project = project();
    project.kiln(&["inspect", "web"]).ends(2).says("was not built here").says("kiln run web/build");
    project.kiln(&["run", "web"]).ends(0);
    let view = asked(&project, &["inspect", "web"], 0);
    let platform = &view["platforms"][0];
    let layers = platform["layers"].as_array().unwrap();
    let lines: Vec<&str> = layers.iter().map(|layer| layer["line"].as_str().unwrap_or("-")).collect();
    assert_eq!(lines, ["-", "build.kdl:8", "build.kdl:9", "build.kdl:10"]);
    assert_eq!(layers[1]["by"], "copy app /app");
    let packed: u64 = layers.iter().map(|layer| layer["packed"].as_u64().unwrap()).sum();
    assert_eq!(platform["packed"], packed);
    assert_eq!(platform["config"]["config"]["User"], "1000");
    assert_eq!(platform["annotations"]["org"], "example");
    assert!(platform.get("files").is_none() && platform.get("advice").is_none());
    let text = project.kiln(&["inspect", "web"]).ends(0).out;
    for part in ["entrypoint", "\"all of them\"", "MODE=fast", "team=web", "copy data/ /srv/", "build.kdl:9"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The line is told only as long as it is the one that made the layer.
    project.write("build.kdl", PLAN.replace("\"app\" \"/app\"", "\"app\" \"/bin/app\""));
    let moved = asked(&project, &["inspect", "web"], 0);
    assert_eq!(moved["platforms"][0]["layers"][1]["line"], Value::Null);
}

#[test]
fn advice_names_every_kind_of_waste_with_the_line_to_change() {
    let project = project();
    project.kiln(&["run", "web"]).ends(0);
    let view = asked(&project, &["inspect", "web", "--advice", "--files"], 0);
    let advice = view["platforms"][0]["advice"].as_array().unwrap();
    let told: Vec<(&str, u64, &str)> = advice
        .iter()
        .map(|one| (one["kind"].as_str().unwrap(), one["bytes"].as_u64().unwrap(), one["line"].as_str().unwrap_or("-")))
        .collect();
    assert_eq!(
        told,
        [
            ("secret", 8, "build.kdl:9"),
            ("cache", 30_000, "-"),
            ("duplicate", 20_000, "build.kdl:10"),
            ("overwritten", 9_000, "build.kdl:9"),
        ]
    );
    let files = view["platforms"][0]["files"].as_array().unwrap();
    let of = |path: &str| files.iter().find(|file| file["path"] == path).unwrap_or_else(|| panic!("{path}"));
    assert_eq!((&of("/srv/config")["layer"], &of("/srv/config")["mode"], &of("/app")["layer"]), (&json!(4), &json!("0755"), &json!(2)));
    let text = project.kiln(&["inspect", "web", "--advice", "--files"]).ends(0).out;
    for part in ["/srv/.env, layer 3: is named as secrets are", "29.3 KiB to win: /var/lib/apt/lists/index", "build.kdl:9: leave it out"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_layout_is_shown_with_its_platforms_and_what_is_about_it() {
    let mut project = Project::new(
        "kiln 1\nregistry out \"oci:dist\"\nimage web {\n    platforms amd64 arm64\n    copy app \"/app\"\n    tag t\n    push out { sbom; sign; }\n}\n",
    );
    project.env("COSIGN_PRIVATE_KEY", include_str!("../../fixtures/keys/rfc6979.pem"));
    project.write("app", "1").kiln(&["run", "web"]).ends(0);
    let view = asked(&project, &["inspect", "oci:dist/web:t"], 0);
    assert_eq!(view["available"], json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(view["platforms"].as_array().unwrap().len(), 2);
    assert!(!view["referrers"].as_array().unwrap().is_empty());
    let one = asked(&project, &["inspect", "oci:dist/web:t", "--platform", "arm64"], 0);
    assert_eq!(one["platforms"].as_array().unwrap().len(), 1);
    project.kiln(&["inspect", "oci:dist/web:t", "--platform", "riscv64"]).ends(2).says("`linux/amd64` and `linux/arm64`");
    project.kiln(&["inspect", "oci:dist/web:none"]).ends(2).says("no image tagged `none`");
    project.kiln(&["inspect", "oci:nowhere"]).ends(2).says("is not an OCI layout");
    project.kiln(&["inspect", "nothing"]).ends(2);
    assert_eq!(asked(&project, &["inspect", "web"], 0)["digest"], view["digest"]);
}

#[test]
fn two_images_are_compared_field_by_field_and_file_by_file() {
    let project = project();
    project.kiln(&["run", "web"]).ends(0);
    project.kiln(&["inspect", "diff", "web", "oci:dist/web:t"]).ends(0).says("are the same image");
    std::fs::rename(project.path("dist"), project.path("old")).unwrap();
    project.write("build.kdl", PLAN.replace("MODE=\"fast\"", "MODE=\"slow\"")).write("data/new", "n").remove("data/twin");
    project.write("base/etc/motd", "goodbye\n").kiln(&["run", "web"]).ends(0);
    let view = asked(&project, &["inspect", "diff", "oci:old/web:t", "web"], 1);
    assert_eq!(view["same"], false);
    let rows = view["differences"].as_array().unwrap();
    let of = |place: &str| rows.iter().find(|row| row["place"] == place).unwrap_or_else(|| panic!("{place} is not in {rows:#?}"));
    assert_eq!(
        (&of("config.config.Env")["before"], &of("config.config.Env")["after"]),
        (&json!("[\"MODE=fast\"]"), &json!("[\"MODE=slow\"]"))
    );
    assert_eq!((&of("/srv/new")["before"], &of("/srv/new")["bytes"]), (&Value::Null, &json!(1)));
    assert_eq!((&of("/srv/twin")["after"], &of("/srv/twin")["bytes"]), (&Value::Null, &json!(-10_000)));
    assert_eq!(of("/etc/motd")["bytes"], 2);
    assert!(rows.iter().all(|row| row["place"] != "/app"), "what is the same is not told");
    project.kiln(&["inspect", "diff", "oci:old/web:t", "web"]).ends(1).says("+ /srv/new").says("differences");
}

#[test]
fn a_registry_is_asked_for_layers_only_where_they_are_looked_at() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    let mut project = project();
    let plan = PLAN
        .replace("\"oci:dist\"", &format!("\"{}/acme\" insecure=#true", registry.host))
        .replace("push \"out\"", "push \"out\" { sbom; sign; }");
    project.env("COSIGN_PRIVATE_KEY", include_str!("../../fixtures/keys/rfc6979.pem"));
    project.write("build.kdl", plan).kiln(&["run", "web"]).ends(0);
    let name = format!("{}/acme/web:t", registry.host);
    // Another machine: nothing is in its store.
    project.env("KILN_CACHE_DIR", "elsewhere");
    registry.seen();
    let view = asked(&project, &["inspect", &name, "--insecure"], 0);
    let layers = view["platforms"][0]["layers"].as_array().unwrap();
    assert_eq!((layers.len(), &layers[0]["unpacked"]), (4, &Value::Null));
    assert_eq!(view["platforms"][0]["config"]["config"]["User"], "1000");
    let seen: Vec<String> = registry.seen().into_iter().map(|access| access.target).collect();
    let is_asked = |layer: &Value| seen.iter().any(|target| target.contains(layer["digest"].as_str().unwrap()));
    assert!(!seen.is_empty() && !layers.iter().any(is_asked), "{seen:?}");
    assert!(view["referrers"].as_array().unwrap().len() >= 2, "{view:#}");
    let advice = asked(&project, &["inspect", &name, "--insecure", "--advice"], 0);
    assert_eq!(advice["platforms"][0]["advice"].as_array().unwrap().len(), 4);
    project.kiln(&["inspect", "diff", &name, &name, "--insecure"]).ends(0).says("the same image");
    project.kiln(&["inspect", &format!("{}/acme/none:1", registry.host), "--insecure"]).ends(2).says("is not there");
}

/// A layout that holds one layer, as it is.
fn hostile(project: &Project, layer: &[u8]) {
    let put = |bytes: &[u8], kind: &str| layouts::put(project, "bad", bytes, &format!("application/vnd.oci.image.{kind}"));
    let layer = put(layer, "layer.v1.tar");
    let config = json!({ "architecture": "amd64\u{1b}[2J", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
        "config": { "Env": ["A=\u{1b}]0;owned\u{7}"], "Entrypoint": ["\u{202e}sh"] }, "history": [{ "created_by": "\u{1b}[31mred" }] });
    let config = put(config.to_string().as_bytes(), "config.v1+json");
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer], "annotations": { "a\u{1b}[1m": "b\u{9b}1m" } });
    let mut manifest = put(manifest.to_string().as_bytes(), "manifest.v1+json");
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "t" });
    project.write("bad/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    project.write("bad/index.json", json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string());
}

fn member(path: &[u8], kind: tar::EntryType, target: &[u8], size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o4777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path);
    header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn a_hostile_image_reaches_neither_the_screen_nor_the_disk() {
    let project = Project::new("kiln 1\n");
    let file = tar::EntryType::Regular;
    let end = [0_u8; 1024];
    for (what, layer, code) in [
        ("escapes", [member(b"a\x1b]0;x\x07\x1b[2J", file, b"", 0), member(b"l", tar::EntryType::Symlink, b"/etc/\x1b[8m", 0)].concat(), 0),
        ("a way out", member(b"../../../../tmp/kiln-was-here", file, b"", 0), 5),
        ("a cut file", member(b"f", file, b"", 1 << 40), 5),
        ("a link that is a folder later", [member(b"d", tar::EntryType::Symlink, b"/tmp", 0), member(b"d/x", file, b"", 0)].concat(), 0),
    ] {
        hostile(&project, &[&layer[..], &end].concat());
        for words in [&["inspect", "oci:bad:t"][..], &["inspect", "oci:bad:t", "--files", "--advice"]] {
            let ran = project.kiln(words);
            assert_eq!(ran.code, code, "{what}: {}{}", ran.out, ran.err);
            for text in [&ran.out, &ran.err] {
                assert!(!text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{what}: {text:?}");
            }
        }
        project.remove("bad");
    }
    assert!(!std::path::Path::new("/tmp/kiln-was-here").exists());
}
