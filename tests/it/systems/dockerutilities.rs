//! S2, a Go tool: its version from the git tag, two machines, two registries, one digest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use kiln::base::platform::Platform;

use serde_json::Value;

use super::{Registry, check_edit, configs, elsewhere, executed, parts, set, tags, wait};
use crate::parts::{output, part, there};
use crate::project::Project;
use crate::publish::{get, remote};
use crate::real_registry::{Mode, Real};

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

/// The words that release into two registries of this machine.
fn release(first: &Real, second: &Real) -> Vec<String> {
    let place = |name: &str, registry: &Real, path: &str| ["--set".to_owned(), format!("{name}={}{path}", registry.host)];
    [vec!["release".to_owned()], place("ghcr", first, "/acme").to_vec(), place("hub", second, "/acme").to_vec()].concat()
}

/// Every tag of the tool with what it names, without those of signatures.
fn released(registry: &Real) -> BTreeMap<String, String> {
    let list: Value = serde_json::from_slice(&get(&format!("http://{}/v2/acme/dockerutilities/tags/list", registry.host))).unwrap();
    let names = list["tags"].as_array().cloned().unwrap_or_default();
    let names = names.iter().filter_map(Value::as_str).filter(|name| !name.starts_with("sha256-"));
    names.map(|name| (name.to_owned(), remote(registry, &format!("acme/dockerutilities:{name}")).1)).collect()
}

#[test]
fn a_go_release_is_scanned_signed_and_the_same_in_two_registries_and_stays_as_it_is() {
    let (Some(first), Some(second), Some(mut project)) = (Real::start(Mode::Open), Real::start(Mode::Open), dockerutilities()) else {
        return;
    };
    project.env("COSIGN_PRIVATE_KEY", include_str!("../../../fixtures/keys/rfc6979.pem"));
    project.write("out/release.pub", include_str!("../../../fixtures/keys/rfc6979.pub"));
    let words = release(&first, &second);
    let args = |command: &'static str| [vec![command], words.iter().map(String::as_str).collect()].concat();
    // What the plan refuses goes nowhere, and no manifest does before every platform was looked through.
    let plan = project.read("build.kdl");
    project
        .write("build.kdl", plan.replace("max-size \"8MiB\"", "max-size \"8KiB\""))
        .git(&["commit", "-qam", "small"])
        .git(&["tag", "v1.4.1"]);
    project.kiln(&args("run")).ends(4).says("nothing was pushed");
    assert!(first.seen().iter().chain(&second.seen()).all(|access| !access.writes()));
    project.write("build.kdl", &plan).git(&["commit", "-qam", "large"]).git(&["tag", "-d", "v1.4.2"]).git(&["tag", "v1.4.2"]);

    project.kiln(&args("plan")).ends(0).says("8 tags would be put").says("1.4.2 1.4 1 latest  new → what release/index makes");
    project.kiln(&args("run")).ends(0);
    let tags = released(&first);
    assert_eq!(tags.keys().collect::<Vec<_>>(), ["1", "1.4", "1.4.2", "latest"]);
    assert_eq!(tags.values().collect::<BTreeSet<_>>().len(), 1, "{tags:?}");
    assert_eq!(tags, released(&second));
    let (index, digest) = remote(&second, "acme/dockerutilities:1.4.2");
    let platforms: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|one| one["platform"]["architecture"].clone()).collect();
    assert_eq!(platforms, ["amd64", "arm64"], "machines that can run it, and nothing else");
    for registry in [&first, &second] {
        let image = format!("{}/acme/dockerutilities:1.4.2", registry.host);
        for more in [&[][..], &["--attestation", "provenance"], &["--attestation", "spdx"]] {
            project.kiln(&[&["verify-signature", &image, "--key", "out/release.pub"], more].concat()).ends(0).says(&digest);
        }
        if let Some(cosign) = part("cosign") {
            let mut verify = Command::new(cosign);
            verify.args(["verify", "--key", "out/release.pub", "--insecure-ignore-tlog=true", &image]).current_dir(project.root());
            output(verify.env("HOME", project.beside("home")));
        }
    }
    // Again: nothing is sent, nothing would be.
    first.seen();
    second.seen();
    assert_eq!(executed(&project, &args("run")), set(&[]));
    project.kiln(&args("plan")).ends(0).never_says("would be put");
    assert!(first.seen().iter().chain(&second.seen()).all(|access| !access.writes()));

    // A new version: what carries it is made anew, the shorter tags move, the old version stays.
    project.git(&["commit", "-q", "--allow-empty", "-m", "next"]).git(&["tag", "v1.4.3"]);
    let short = &digest[..19];
    project.kiln(&args("plan")).ends(0).says("1.4.3         new → what").says(&format!("1.4 1 latest  {short} → what release/index makes"));
    let ran = executed(&project, &args("run"));
    assert!(ran.is_superset(&set(COMPILED)) && ran.is_disjoint(&set(CHECKED)), "{ran:?}");
    let after = released(&first);
    assert_eq!(after, released(&second));
    assert_eq!(after["1.4.2"], tags["1.4.2"]);
    assert_eq!((&after["1.4"], &after["1"], &after["latest"]), (&after["1.4.3"], &after["1.4.3"], &after["1.4.3"]));

    // The same version with other bytes is refused in both registries, and says what stands there.
    project.git(&["tag", "-d", "v1.4.3"]).write("image/data/README", "Other.\n").git(&["commit", "-qam", "other"]).git(&["tag", "v1.4.3"]);
    project.kiln(&args("run")).ends(4).says("may not move").says(&after["1.4.3"]).says("no tag was moved");
    assert_eq!((released(&first), released(&second)), (after.clone(), after));
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
