//! `kiln clean`: what steps made goes, and nothing else does.

use std::fs;
use std::os::unix::fs::symlink;

use crate::project::Project;

const PLAN: &str = r##"
kiln 1
project "c" { default "all" }
task "gen" {
    inputs "in"
    outputs "out/gen/" "single"
    run #"rm -rf out/gen; mkdir -p out/gen/deep/er; cp in out/gen/deep/er/a; cp in out/gen/b; ln -s b out/gen/link; mkdir out/gen/empty; cp in single"#
}
task "use" { inputs "out/gen/b"; outputs "out/used"; run "cp out/gen/b out/used" }
group "all" "use"
"##;

fn project() -> Project {
    let project = Project::new(PLAN);
    project.write("in", "x");
    project.kiln(&["run"]).ends(0);
    project
}

fn paths(project: &Project) -> Vec<String> {
    project.snapshot(".").keys().map(|path| path.to_string_lossy().into_owned()).filter(|path| !path.is_empty()).collect()
}

#[test]
fn what_was_made_goes_with_its_folders_and_comes_back_without_a_command() {
    let project = project();
    let before = paths(&project);
    project.kiln(&["clean", "--dry-run"]).ends(0).says("out/gen/deep/er/a").says("5 outputs would be removed");
    assert_eq!(paths(&project), before);
    project.kiln(&["clean"]).ends(0).says("5 outputs were removed");
    assert_eq!(paths(&project), ["build.kdl", "in"]);
    project.kiln(&["clean"]).ends(0).says("0 outputs");
    project.kiln(&["run"]).ends(0).says("restored");
    assert_eq!(paths(&project), before);
}

#[test]
fn only_what_was_named_goes() {
    let project = project();
    project.kiln(&["clean", "use"]).ends(0);
    assert!(!project.has("out/used") && project.has("out/gen/b") && project.has("single"));
    project.kiln(&["run"]).ends(0);
    project.kiln(&["clean", "all"]).ends(0);
    assert!(!project.has("out/used") && project.has("out/gen/b"), "a group stands for its members, not for what they need");
    project.kiln(&["clean", "none"]).ends(2);
}

#[test]
fn what_nobody_recorded_or_somebody_changed_stays() {
    let project = project();
    project.write("out/gen/mine", "not an output when it was made").write("out/note", "").write("single", "edited");
    project.kiln(&["clean"]).ends(0).says("single").says("was changed since it was made, and stays").says("--force").never_says("mine");
    assert!(project.has("out/gen/mine") && project.has("out/note"));
    assert_eq!(project.read("single"), "edited");
    assert!(!project.has("out/gen/b") && !project.has("out/gen/deep") && !project.has("out/gen/empty"));
    project.kiln(&["clean", "--force"]).ends(0).says("1 output was removed");
    assert!(!project.has("single") && project.has("out/gen/mine"));
}

#[test]
fn outputs_of_older_keys_go_when_they_are_still_declared() {
    let project = project();
    project.write("in", "changed");
    fs::copy(project.path("out/gen/b"), project.path("kept")).unwrap();
    project.kiln(&["run"]).ends(0);
    // What the first run made stands there again.
    fs::copy(project.path("kept"), project.path("single")).unwrap();
    project.kiln(&["clean"]).ends(0).never_says("stays");
    assert!(!project.has("single") && project.has("kept"));
}

#[test]
fn a_former_output_that_is_a_source_now_stays() {
    let project = project();
    project.write("build.kdl", PLAN.replace(" \"single\"", "").replace("; cp in single", ""));
    project.kiln(&["clean"]).ends(0);
    assert!(project.has("single") && !project.has("out"));
}

#[test]
fn nothing_is_removed_through_a_link() {
    let project = project();
    let outside = project.beside("outside");
    fs::create_dir(&outside).unwrap();
    fs::rename(project.path("out/gen"), outside.join("gen")).unwrap();
    symlink(outside.join("gen"), project.path("out/gen")).unwrap();
    project.kiln(&["clean"]).ends(0);
    assert!(outside.join("gen/b").exists() && outside.join("gen/deep/er/a").exists());
    assert!(project.has("out/gen"), "the link is nobody's output");
    // A link in place of a file is not what was recorded.
    let project = self::project();
    fs::remove_file(project.path("single")).unwrap();
    symlink("in", project.path("single")).unwrap();
    project.kiln(&["clean"]).ends(0).says("single");
    assert!(project.has("single") && project.has("in"));
    project.kiln(&["clean", "--force"]).ends(0);
    assert!(!project.has("single") && project.has("in"));
}

#[test]
fn without_a_result_what_was_made_is_not_guessed() {
    let project = project();
    fs::remove_dir_all(project.cache().join("store/v1/actions")).unwrap();
    project.kiln(&["clean"]).ends(0).says("no longer in the store").says("0 outputs");
    assert!(project.has("single"));
}
