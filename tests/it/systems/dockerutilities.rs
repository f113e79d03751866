//! S2, a Go tool: its version from the git tag, two machines, two registries, one digest.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use kiln::base::platform::Platform;

use super::{Registry, check_edit, configs, elsewhere, executed, parts, set, tags, wait};
use crate::parts::{output, there};
use crate::project::Project;

/// Go's own cache lies below the home folder; compiling its library anew for every test would take minutes.
fn with_go_cache(project: &mut Project) {
    let home = parts().join("home");
    fs::create_dir_all(&home).unwrap();
    project.env("HOME", home.to_str().unwrap());
}

/// The Go system at a commit with the tag `v1.4.2`.
fn dockerutilities() -> Option<Project> {
    if !there(&["go", "git"]) {
        return None;
    }
    let mut project = Project::example("dockerutilities");
    with_go_cache(&mut project);
    project.commit().git(&["tag", "v1.4.2"]);
    Some(project)
}

/// All steps that stand on the binaries.
const COMPILED: &[&str] = &["compile@linux/amd64", "compile@linux/arm64"];
const CHECKED: &[&str] = &["test", "vet"];
const PUBLISHED: &[&str] = &[
    "dockerutilities/build@linux/amd64",
    "dockerutilities/build@linux/arm64",
    "dockerutilities/scan@linux/amd64",
    "dockerutilities/scan@linux/arm64",
    "dockerutilities/index",
    "dockerutilities/push:first",
    "dockerutilities/push:second",
    "dockerutilities/tag:first",
    "dockerutilities/tag:second",
];

#[test]
fn a_go_release_has_the_same_digest_under_the_same_tags_in_two_registries() {
    let (Some(project), Some(first), Some(second)) = (dockerutilities(), Registry::start(), Registry::start()) else { return };
    let (one, two) = (format!("first={}/acme", first.host), format!("second={}", second.host));
    let args = ["run", "--set", &one, "--set", &two];
    project.kiln(&args).ends(0);
    let tags = first.tags("acme/dockerutilities");
    assert_eq!(tags.keys().collect::<Vec<_>>(), ["1", "1.4", "1.4.2", "latest"]);
    assert_eq!(tags.values().collect::<BTreeSet<_>>().len(), 1, "{tags:?}");
    assert_eq!(tags, second.tags("dockerutilities"));
    assert_eq!(executed(&project, &args), set(&[]));
}

#[test]
fn a_go_image_is_what_its_plan_says_on_both_platforms() {
    let Some(project) = dockerutilities() else { return };
    project.kiln(&["run"]).ends(0);
    assert_eq!(tags(&project, "dist/first/dockerutilities"), tags(&project, "dist/second/dockerutilities"));
    let configs = configs(&project, "dist/first/dockerutilities", "1.4.2");
    assert_eq!(configs.keys().collect::<Vec<_>>(), ["amd64", "arm64"]);
    for config in configs.values() {
        let config = &config["config"];
        assert_eq!(config["User"], "1001:1001");
        assert_eq!(config["Labels"]["org.opencontainers.image.version"], "1.4.2");
        assert_eq!(config["Healthcheck"]["Test"], serde_json::json!(["CMD", "/dockerutilities", "health"]));
        assert_eq!(config["ExposedPorts"], serde_json::json!({ "8080/tcp": {} }));
        assert_eq!(config["Volumes"], serde_json::json!({ "/app/data": {} }));
    }
    assert_eq!(executed(&project, &["run"]), set(&[]));
}

/// A program that is ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_go_program_knows_its_version_and_its_health() {
    let Some(project) = dockerutilities() else { return };
    let program = project.path(&format!("out/linux-{}/dockerutilities", Platform::host().arch()));
    project.kiln(&["run", "compile"]).ends(0);
    assert_eq!(output(Command::new(&program).arg("version")), "dockerutilities 1.4.2\n");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let command = |word: &str| {
        let mut command = Command::new(&program);
        command.arg(word).env("DOCKERUTILITIES_ADDRESS", format!(":{port}")).env("DOCKERUTILITIES_DATA", project.root());
        command.stderr(Stdio::null());
        command
    };
    assert!(!command("health").status().unwrap().success(), "nobody answers yet");
    let _server = Running(command("serve").spawn().unwrap());
    wait("the health check", || command("health").status().unwrap().success().then_some(()));
}

#[test]
fn a_new_tag_reruns_only_what_carries_the_version() {
    let Some(project) = dockerutilities() else { return };
    project.kiln(&["run"]).ends(0);
    let before = tags(&project, "dist/first/dockerutilities");
    project.git(&["update-ref", "-d", "refs/tags/v1.4.2"]).git(&["tag", "v1.4.3"]);
    project.kiln(&["why", "compile@amd64"]).ends(0).says("VERSION").says("1.4.2").says("1.4.3").never_says(".go");
    assert_eq!(executed(&project, &["run"]), &set(COMPILED) | &set(PUBLISHED));
    let after = tags(&project, "dist/first/dockerutilities");
    assert_eq!(after["1.4.2"], before["1.4.2"], "a published version stays");
    for tag in ["1.4.3", "1.4", "1", "latest"] {
        assert_ne!(after[tag], before["1.4.2"], "{tag}");
    }
    assert_eq!(tags(&project, "dist/second/dockerutilities"), after);
    // The older version again: it is published as it was, and no tag moves backwards.
    project.git(&["update-ref", "-d", "refs/tags/v1.4.3"]).git(&["tag", "v1.4.2"]);
    project.kiln(&["run"]).ends(0);
    assert_eq!(tags(&project, "dist/first/dockerutilities"), after);
}

#[test]
fn of_several_tags_on_one_commit_the_highest_version_counts() {
    let project = Project::new("kiln 1\ntask \"t\" {\n    env VERSION=\"${git.version} ${git.tag}\"\n    run \"echo $VERSION\"\n}\n");
    project.commit().git(&["tag", "v1.4.2"]).git(&["tag", "nightly"]);
    project.kiln(&["run", "t"]).ends(0).says("1.4.2 v1.4.2");
    project.git(&["tag", "v1.4.10"]).git(&["tag", "v1.4.10-rc.1"]);
    project.kiln(&["run", "t"]).ends(0).says("1.4.10 v1.4.10");
    project.git(&["commit", "-q", "--allow-empty", "-m", "x"]).git(&["tag", "today"]);
    project.kiln(&["run", "t"]).ends(0).says("1.4.11-dev.1+g").says(" today");
}

#[test]
fn a_changed_file_reruns_exactly_the_go_steps_that_depend_on_it() {
    let Some(project) = dockerutilities() else { return };
    // With a change the commit is no release any more, so every further change leaves the version as it is.
    project.write(".gitignore", project.read(".gitignore") + "# \n");
    project.kiln(&["run"]).ends(0);
    check_edit(&project, "engine/engine_test.go", "// \n", "test", &set(CHECKED));
    check_edit(&project, "image/data/README", "More.\n", "dockerutilities/build@arm64", &set(PUBLISHED));
    // A comment gives the same binaries, so the work ends there.
    check_edit(&project, "server/server.go", "// \n", "compile@amd64", &(&set(CHECKED) | &set(COMPILED)));
    let all = &(&set(CHECKED) | &set(COMPILED)) | &set(PUBLISHED);
    check_edit(&project, "main.go", "\nfunc init() { version += \"\" + variable(\"NONE\", \"\") }\n", "compile@arm64", &all);
}

#[test]
fn a_failing_go_test_lets_nothing_out() {
    let Some(project) = dockerutilities() else { return };
    project.write("server/server_test.go", project.read("server/server_test.go").replace(r#""version":"1.2.3""#, r#""version":"1.2.4""#));
    project.kiln(&["run", "--keep-going"]).ends(1).says("TestAHealthyServerSaysItsVersion").says("skipped");
    assert!(!project.has("dist"));
}

#[test]
fn a_go_image_is_the_same_in_another_folder_for_another_user() {
    let Some(project) = dockerutilities() else { return };
    project.kiln(&["run"]).ends(0);
    let mut other = elsewhere(&project);
    with_go_cache(&mut other);
    other.kiln(&["run"]).ends(0);
    assert_eq!(tags(&project, "dist/first/dockerutilities"), tags(&other, "dist/first/dockerutilities"));
}
