//! S1, a Python program in a hardened image on a base made of the distribution's packages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use kiln::base::platform::Platform;

use super::{Registry, check_edit, configs, elsewhere, executed, parts, set, tags};
use crate::docker::Engine;
use crate::parts::{missing, output, there};
use crate::project::{Project, copy_tree};

const BASE: &str = "mgit-base.kdl";

/// The Python system at a commit, with the plan of its base.
fn mgit() -> Option<Project> {
    if !there(&["python3", "git", "apt-get", "apt-cache", "dpkg-deb"]) {
        return None;
    }
    let project = Project::example("mgit");
    project.write(BASE, fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("plans").join(BASE)).unwrap());
    project.commit();
    Some(project)
}

/// Makes the base in `registry`. Its packages are downloaded once: the results of that plan are kept from run to run.
/// `None` when they cannot be had, which is reported.
fn make_base(project: &Project, registry: &str) -> Option<()> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock();
    let kiln = |target: &str| {
        let mut command = project.command(&["-f", BASE, "run", target, "--set", &format!("registry={registry}")]);
        command.env("KILN_CACHE_DIR", parts().join("mgit-base"));
        command
    };
    if !kiln("fetch").output().unwrap().status.success() {
        missing("the base of mgit", "its packages cannot be downloaded");
        return None;
    }
    output(&mut kiln("python"));
    Some(())
}

/// Makes the base of the Python system in a registry, for others that stand on it.
pub(super) fn base_in(registry: &str) -> Option<()> {
    make_base(&mgit()?, registry)
}

/// The Python system with its base beside it.
fn mgit_on_base() -> Option<Project> {
    let project = mgit()?;
    make_base(&project, "oci:dist/base")?;
    Some(project)
}

fn mgit_steps(kinds: &[&str]) -> BTreeSet<String> {
    let on = Platform::host();
    let name = |kind: &&str| if matches!(*kind, "push" | "tag") { format!("mgit/{kind}:main") } else { format!("mgit/{kind}@{on}") };
    kinds.iter().map(name).collect()
}

#[test]
fn a_hardened_image_is_built_checked_and_tagged_by_commit() {
    let Some(project) = mgit_on_base() else { return };
    project.kiln(&["run"]).ends(0).says("allowed setuid /usr/bin/passwd").says("1 allowed, 1").says("packages");
    let sha = output(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(project.root()));
    let tags = tags(&project, "dist/mgit");
    assert_eq!(tags.keys().cloned().collect::<Vec<_>>(), ["latest".to_owned(), format!("sha-{}", &sha[..12])]);
    assert_eq!(tags["latest"], tags[&format!("sha-{}", &sha[..12])]);
    let configs = configs(&project, "dist/mgit", "latest");
    let config = &configs[Platform::host().arch()];
    assert_eq!(config["created"], "2023-11-14T22:13:20Z", "the time of the commit");
    let config = &config["config"];
    assert_eq!(config["User"], "1001:1001");
    assert_eq!(config["Labels"]["org.opencontainers.image.revision"], sha.trim());
    assert_eq!(config["Labels"]["build-date"], "1700000000");
    assert_eq!(config["Healthcheck"]["Test"], serde_json::json!(["CMD", "/usr/local/bin/healthcheck.sh"]));
    assert_eq!(config["Cmd"], serde_json::json!(["--help"]));
    assert_eq!(executed(&project, &["run"]), set(&[]));
}

#[test]
fn a_changed_file_reruns_exactly_the_python_steps_that_depend_on_it() {
    let Some(project) = mgit_on_base() else { return };
    project.kiln(&["run"]).ends(0);
    let build = mgit_steps(&["build"]).pop_first().unwrap();
    let image = mgit_steps(&["build", "scan", "push", "tag"]);
    check_edit(&project, "docker/healthcheck.sh", "# \n", &build, &image);
    check_edit(&project, "tests/test_cli.py", "# \n", "test", &set(&["lint", "test"]));
    check_edit(&project, "mgit/cli.py", "# \n", "pack", &(&set(&["lint", "test", "pack"]) | &image));
}

#[test]
fn the_high_security_policy_names_all_that_is_wrong_and_nothing_is_pushed() {
    let Some(project) = mgit_on_base() else { return };
    let plan = project.read("build.kdl");
    let kept = |line: &&str| !["    user ", "    healthcheck ", "    allow "].iter().any(|word| line.starts_with(word));
    project.write("build.kdl", plan.lines().filter(kept).collect::<Vec<_>>().join("\n").replace("30MiB", "3MiB"));
    project.write("docker/config/token.json", r#"{"token": "ghp_16C7e42F292c6912E7710c838347Ae178B4a"}"#);
    let ran = project.kiln(&["run"]).ends(4);
    for rule in ["root-user", "missing-healthcheck", "setuid /usr/bin/passwd", "secrets /home/mgit/.mgit/token.json", "max-size"] {
        assert!(ran.err.contains(&format!("refused {rule}")) || ran.out.contains(&format!("refused {rule}")), "{rule}: {ran:?}");
    }
    assert!(!project.has("dist/mgit"));
}

#[test]
fn a_base_in_a_registry_is_taken_by_digest_and_refused_by_tag() {
    let (Some(project), Some(registry)) = (mgit(), Registry::start()) else { return };
    let Some(()) = make_base(&project, &format!("{}/base", registry.host)) else { return };
    let digest = registry.tags("base/python")["latest"].clone();
    let place = format!("registry={}/acme", registry.host);
    let by_tag = format!("base={}/base/python:latest", registry.host);
    project.kiln(&["run", "--set", &place, "--set", &by_tag]).ends(4).says("mutable-base");
    assert_eq!(registry.tags("acme/mgit"), BTreeMap::new());
    let by_digest = format!("base={}/base/python@{digest}", registry.host);
    let args = ["run", "--set", &place, "--set", &by_digest];
    project.kiln(&args).ends(0);
    assert_eq!(registry.tags("acme/mgit").len(), 2);
    assert_eq!(executed(&project, &args), set(&[]));
}

#[test]
fn a_python_image_is_the_same_in_another_folder_for_another_user() {
    let Some(project) = mgit_on_base() else { return };
    project.kiln(&["run"]).ends(0);
    let other = elsewhere(&project);
    copy_tree(&project.path("dist/base"), &other.path("dist/base"));
    other.kiln(&["run"]).ends(0);
    assert_eq!(tags(&project, "dist/mgit"), tags(&other, "dist/mgit"));
}

/// Shows that the limits of the plan's own smoke test hold.
const LIMITS: &str = r##"
task "limits" {
    container {
        image "mgit"
        read-only
        memory "512MiB"
        cpus 1
        cap-drop "ALL"
        mount #false
    }
    run #"""
        python3 -c 'import os; print("networks", os.listdir("/sys/class/net"))'
        python3 -c 'print([line for line in open("/proc/self/status") if line.startswith(("CapBnd", "NoNewPrivs"))])'
        for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
            if [ -r "$file" ]; then read -r limit <"$file"; echo "memory $limit"; fi
        done
        """#
}
"##;

#[test]
fn docker_the_smoke_test_runs_in_the_image_just_built_and_is_cached_on_its_digest() {
    let (Some(mut project), Some(engine)) = (mgit_on_base(), Engine::get()) else { return };
    project.env("DOCKER_HOST", &engine.host());
    project.kiln(&["run", "all"]).ends(0).says("mgit 1.3.0").says("web  feature/login").says("healthy");
    assert_eq!(executed(&project, &["run", "all"]), set(&[]));
    // Another image is another digest, although the program in it is the same.
    project.write("docker/healthcheck.sh", project.read("docker/healthcheck.sh").replace("echo \"healthy\"", "echo \"quite well\""));
    project.kiln(&["run", "smoke"]).ends(0).says("quite well");
    project.write("build.kdl", project.read("build.kdl") + LIMITS);
    let limits = project.kiln(&["run", "limits"]).ends(0).says("networks ['lo']").says("memory 536870912");
    limits.says(r"CapBnd:\t0000000000000000").says(r"NoNewPrivs:\t1");
    // A health check that fails is a failed step.
    project.write("docker/config/repositories.json", "{}");
    project.kiln(&["run", "smoke"]).ends(1);
}
