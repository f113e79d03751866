//! Clearing a folder that images are pushed to, and a registry that tells of what has no tag.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fake_registry::{Fake, Fault, Rule};
use super::layouts;
use super::parts::{output, part};
use super::project::Project;
use super::prune::publish;

const PLAN: &str = r#"kiln 1
param "v" default="1"
registry "out" "oci:dist" {
    immutable "keep-*"
    prune keep=2
}
task "page" {
    env v="${v}"
    outputs "page"
    run "echo $v > page"
}
image "web" {
    platforms amd64 arm64
    copy "page" "/page"
    copy "same" "/same"
    tag "${v}"
    push out {
        sbom
    }
}
"#;

fn layout(days: &[u64]) -> Project {
    let mut project = Project::new(PLAN);
    project.write("same", "what all of them have\n");
    publish(&mut project, days);
    project
}

fn tags(project: &Project) -> BTreeSet<String> {
    layouts::tags(project, "dist/web").into_keys().collect()
}

fn blobs(project: &Project) -> BTreeSet<String> {
    std::fs::read_dir(project.path("dist/web/blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Every blob to which an entry of the index leads.
fn led(project: &Project) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<Value> = layouts::index(project, "dist/web")["manifests"].as_array().unwrap().clone();
    while let Some(descriptor) = open.pop() {
        let name = descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        if !found.insert(name.clone()) || !descriptor["mediaType"].as_str().unwrap().contains("image.") {
            continue;
        }
        let Ok(document) = serde_json::from_str::<Value>(&project.read(&format!("dist/web/blobs/sha256/{name}"))) else { continue };
        open.extend(document["manifests"].as_array().cloned().unwrap_or_default());
        for blob in document["layers"].as_array().into_iter().flatten().chain([&document["config"]]).filter(|blob| blob.is_object()) {
            found.insert(blob["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned());
        }
    }
    found
}

#[test]
fn a_layout_keeps_the_newest_images_whole_and_loses_what_only_the_others_had() {
    let project = layout(&[9, 6, 40, 20]);
    project.kiln(&["tags"]).ends(0).says("oci:dist/web").says("v2").says("linux/amd64 linux/arm64");
    let before = project.snapshot("dist");
    project.kiln(&["prune"]).ends(0).says("2 images").says("would go; 2 stay").says("--yes");
    assert_eq!(project.snapshot("dist"), before, "nothing goes without --yes");
    let count = blobs(&project).len();
    project.kiln(&["prune", "--yes"]).ends(0).says("2 images").says("went; 2 stay").says("are free now");
    assert_eq!(tags(&project), BTreeSet::from(["v1".to_owned(), "v2".to_owned()]));
    assert!(blobs(&project).len() < count);
    assert_eq!(blobs(&project), led(&project), "every blob that is left is led to, and every one that is led to is left");
    std::fs::create_dir(project.path("out")).unwrap();
    for tag in ["v1", "v2"] {
        if let Some(skopeo) = part("skopeo") {
            for arch in ["amd64", "arm64"] {
                let mut copy = std::process::Command::new(&skopeo);
                copy.args(["--override-os", "linux", "--override-arch", arch, "copy", "-q"]).arg(format!("oci:dist/web:{tag}"));
                output(copy.arg(format!("oci:out/{tag}-{arch}")).current_dir(project.root()).env("HOME", project.beside("home")));
            }
        }
    }
    project.kiln(&["prune", "--yes"]).ends(0).says("0 images went; 2 stay");
    // What went can be published again.
    project.kiln(&["run", "web", "--set", "v=v4"]).ends(0);
    assert!(tags(&project).contains("v4"));
    assert_eq!(blobs(&project), led(&project));
}

#[test]
fn a_layout_that_is_named_is_cleared_by_what_was_typed_and_one_that_is_none_is_left_alone() {
    let project = layout(&[9, 6, 3]);
    project.kiln(&["prune", "oci:dist/web", "--keep", "1", "--yes"]).ends(0).says("2 images");
    assert_eq!(tags(&project), BTreeSet::from(["v3".to_owned()]));
    project.kiln(&["prune", "oci:dist/none", "--keep", "1", "--yes"]).ends(0).says("0 images went");
    project.write("other/index.json", "{}").write("other/blobs/sha256/precious", "x");
    project.kiln(&["prune", "oci:other", "--keep", "1", "--yes"]).ends(5).says("registry::layout").says("nothing was changed");
    assert!(project.has("other/blobs/sha256/precious"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_tag_goes_where_the_registry_tells_of_it_and_elsewhere_it_is_said_that_nobody_knows() {
    let fake = Fake::start().await;
    let plan = PLAN.replace("oci:dist", &format!("{}/acme", fake.host)).replace("prune keep=2", "prune keep=5 untagged=#true");
    let project = Project::new(&plan.replace("push out {\n        sbom\n    }", "push out"));
    project.write("same", "same\n");
    let (project, first, told) = tokio::task::spawn_blocking(move || {
        project.kiln(&["run", "web", "--set", "v=edge"]).ends(0);
        let digest = |project: &Project| {
            let said: Value = serde_json::from_str(&project.kiln(&["tags", "--json"]).ends(0).out).unwrap();
            said["repositories"][0]["images"][0]["digest"].as_str().unwrap().to_owned()
        };
        let first = digest(&project);
        // The tag moves on; what it named stays behind without a name.
        project.write("same", "other\n").kiln(&["run", "web", "--set", "v=edge"]).ends(0);
        assert_ne!(digest(&project), first);
        let told = project.kiln(&["prune"]).ends(0);
        (project, first, told)
    })
    .await
    .unwrap();
    told.says("0 images would go; 1 stays").says("has no list of what has no tag");
    let page = format!(r#"{{"manifests":[{{"digest":"{first}","createdTime":"2026-01-01T00:00:00Z"}}]}}"#);
    let json = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    fake.rule(Rule::new("GET", "/acr/v1/acme/web/_manifests", Fault::Answer(200, json, page.into_bytes())).times(1_000));
    let told = tokio::task::spawn_blocking(move || project.kiln(&["prune", "--yes"])).await.unwrap();
    told.ends(0).says("1 image, with 2 documents that belong to them went; 1 stays").never_says("has no list");
}
