//! What changes rarely is not sent again: layers are made each for itself, and former builds say where their grouping or order costs something.

use serde_json::Value;

use super::project::Project;
use super::real_registry::{Mode, Real};
use super::registry::noise;

const TOGETHER: &str = "    copy \"app/\" \"/app/\"\n";
const APART: &str = "    copy \"app/vendor/\" \"/app/vendor/\"\n    copy \"app/\" \"!app/vendor/\" \"/app/\"\n";
const TURNED: &str = "    copy \"app/\" \"!app/vendor/\" \"/app/\"\n    copy \"app/vendor/\" \"/app/vendor/\"\n";

fn plan(copies: &str, push: &str) -> String {
    format!("kiln 1\nregistry out {push}\nimage web {{\n    platforms amd64\n{copies}    tag t\n    push out\n}}\n")
}

fn project(copies: &str, push: &str) -> Project {
    let project = Project::new(&plan(copies, push));
    project.write("app/vendor/lib", noise(3 << 20)).write("app/main", "0");
    project
}

/// Builds it after each of these changes.
fn changed(project: &Project, versions: &[&str]) {
    for version in versions {
        project.write("app/main", version).kiln(&["run", "web"]).ends(0);
    }
}

/// Kind, first path, line and bytes of the advice.
fn advice(project: &Project) -> Vec<(String, String, String, u64)> {
    let answer = project.kiln(&["inspect", "web", "--advice", "--json"]).ends(0).out;
    let view: Value = serde_json::from_str(&answer).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let one = |one: &Value| (text(&one["kind"]), text(&one["paths"][0]), text(&one["line"]), one["bytes"].as_u64().unwrap());
    view["platforms"][0]["advice"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn former_builds_say_what_is_sent_and_unpacked_in_vain_until_the_plan_is_mended() {
    let project = project(TOGETHER, "\"oci:dist\"");
    changed(&project, &["1"]);
    assert_eq!(advice(&project), [], "one build says nothing");
    changed(&project, &["2", "3"]);
    let mixed = ("mixed".to_owned(), "/app/vendor/lib".to_owned(), "build.kdl:5".to_owned(), 3 << 20);
    assert_eq!(advice(&project), std::slice::from_ref(&mixed));
    let told = project.kiln(&["inspect", "web", "--advice"]).ends(0).out;
    assert!(told.contains("which changed in each of the last 2 builds"), "{told}");
    // What was built of other lines does not count.
    project.write("build.kdl", plan(TURNED, "\"oci:dist\""));
    changed(&project, &["4"]);
    assert_eq!(advice(&project), []);
    changed(&project, &["5", "6"]);
    assert_eq!(advice(&project), [("order".to_owned(), "/app/main".to_owned(), "build.kdl:5".to_owned(), 3 << 20)]);
    project.write("build.kdl", plan(APART, "\"oci:dist\""));
    changed(&project, &["7", "8", "9"]);
    assert_eq!(advice(&project), [], "in layers of their own, in this order, nothing is in vain");
    // What the store no longer has is not compared.
    project.write("build.kdl", plan(TOGETHER, "\"oci:dist\""));
    changed(&project, &["10", "11"]);
    assert_eq!(advice(&project), [mixed]);
    let old: Value = serde_json::from_str(&project.kiln(&["inspect", "web", "--json"]).ends(0).out).unwrap();
    changed(&project, &["12"]);
    let layer = old["platforms"][0]["layers"][0]["digest"].as_str().unwrap().replace("sha256:", "");
    let held = project.snapshot("../cache");
    let path = held.keys().find(|path| path.file_name().is_some_and(|name| layer.ends_with(name.to_str().unwrap()))).unwrap();
    std::fs::remove_file(project.path("").join(path)).unwrap();
    assert_eq!(advice(&project), []);
}

#[test]
fn one_changed_file_sends_its_own_layer_and_no_other_whatever_the_order() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    for (place, copies) in [("one", APART), ("two", TURNED)] {
        let project = project(copies, &format!("\"{}/{place}\" insecure=#true", registry.host));
        changed(&project, &["1"]);
        registry.seen();
        changed(&project, &["2"]);
        let sent = registry.seen().into_iter().filter(|access| access.method == "PUT" && access.target.contains("/blobs/")).count();
        assert_eq!(sent, 2, "the layer of the file, and the config: {copies}");
    }
}
