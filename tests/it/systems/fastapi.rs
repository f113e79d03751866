//! S5, an API on a cloud registry: its name from a command, a login from standard input, tags by branch, commit, release and pull
//! request, requirements in a layer of their own, the last ten images.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use super::{Registry, executed, mgit, set};
use crate::parts::{output, there};
use crate::project::Project;
use crate::publish::get;
use crate::real_registry::{Mode, Real};

/// A base with Python, served by a registry that stays up as long as the tests run.
fn base() -> Option<&'static str> {
    static BASE: OnceLock<Option<(Registry, String)>> = OnceLock::new();
    let found = BASE.get_or_init(|| {
        let registry = Registry::start()?;
        mgit::base_in(&format!("{}/base", registry.host))?;
        let name = format!("{}/base/python@{}", registry.host, registry.tags("base/python")["latest"]);
        Some((registry, name))
    });
    found.as_ref().map(|(_, name)| name.as_str())
}

/// The API at a commit of `main`; terraform says that its registry is `host`.
fn api(host: &str) -> Option<Project> {
    if !there(&["python3", "git"]) {
        return None;
    }
    let mut project = Project::example("fastapi-acr");
    let bin = project.path("bin");
    project.env("PATH", &format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    project.env("KILN_PARAM_BASE", base()?);
    project.write("bin/login-server", format!("{host}\n"));
    for (name, version) in [("fastapi", "0.118.0"), ("uvicorn", "0.37.0")] {
        wheel(&project, name, version);
    }
    project.commit();
    Some(project)
}

/// A wheel with one module.
fn wheel(project: &Project, name: &str, version: &str) {
    let make = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as wheel: wheel.writestr(sys.argv[2] + '.py', 'VERSION = %r\\n' % sys.argv[3])";
    std::fs::create_dir_all(project.path("wheels")).unwrap();
    let path = project.path(&format!("wheels/{name}-{version}-py3-none-any.whl"));
    output(Command::new("python3").args(["-c", make]).arg(path).args([name, version]));
}

/// The commit's first twelve digits.
fn short(project: &Project) -> String {
    output(Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).current_dir(project.root())).trim().to_owned()
}

/// The tags of the API with their digests.
fn standing(project: &Project) -> BTreeMap<String, String> {
    let said: Value = serde_json::from_str(&project.kiln(&["tags", "fastapi-app", "--json"]).ends(0).out).unwrap();
    let mut found = BTreeMap::new();
    for image in said["repositories"][0]["images"].as_array().unwrap() {
        for tag in image["tags"].as_array().unwrap() {
            found.insert(tag.as_str().unwrap().to_owned(), image["digest"].as_str().unwrap().to_owned());
        }
    }
    found
}

fn names(project: &Project) -> BTreeSet<String> {
    standing(project).into_keys().collect()
}

fn document(registry: &Real, name: &str) -> Value {
    serde_json::from_slice(&get(&format!("http://{}/v2/fastapi-app/manifests/{name}", registry.host))).unwrap()
}

#[test]
fn an_api_is_tagged_by_branch_commit_release_and_pull_request() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    let Some(mut project) = api(&registry.host) else { return };
    project.kiln(&["check"]).ends(0);
    assert!(!project.has("bin/asked"), "`check` asks nobody");
    project.git(&["switch", "-q", "-c", "feature/Fast_Search"]);
    project.kiln(&["run", "fastapi-app"]).ends(0);
    assert_eq!(project.read("bin/asked"), "asked\n", "a run asks once");
    let first = format!("commit-{}", short(&project));
    assert_eq!(names(&project), set(&["dev-feature-fast_search", &first]));
    // The same again sends nothing.
    registry.seen();
    assert_eq!(executed(&project, &["run", "fastapi-app"]), set(&[]));
    assert!(registry.seen().iter().all(|access| !access.writes()));

    // A pull request, as GitHub checks it out: a commit on no branch.
    project.write("app/dwh.py", project.read("app/dwh.py") + "# \n").git(&["commit", "-aqm", "faster"]).git(&["switch", "-q", "--detach"]);
    project.env("GITHUB_REF", "refs/pull/7/merge").env("GITHUB_HEAD_REF", "feature/Fast_Search");
    project.kiln(&["run", "fastapi-app"]).ends(0);
    let second = format!("commit-{}", short(&project));
    let tags = standing(&project);
    assert_eq!(tags.keys().cloned().collect::<BTreeSet<_>>(), set(&["dev-feature-fast_search", "pr-7", &first, &second]));
    assert_eq!((&tags["pr-7"], &tags["dev-feature-fast_search"]), (&tags[&second], &tags[&second]));
    assert_ne!(tags[&first], tags[&second]);

    // Releases, as CI checks out a tag; the second one is older than the first.
    project.env("GITHUB_REF", "refs/tags/v2.0.1").env("GITHUB_HEAD_REF", "");
    project.git(&["tag", "v2.0.1"]);
    project.kiln(&["plan", "fastapi-app"]).ends(0).says("v2.0.1 v2.0 v2 latest").says("new → sha256:");
    project.kiln(&["run", "fastapi-app"]).ends(0);
    let tags = standing(&project);
    for tag in ["v2.0.1", "v2.0", "v2", "latest"] {
        assert_eq!(tags[tag], tags[&second], "{tag}: the very image of the commit");
    }
    project
        .git(&["checkout", "-q", "main"])
        .write("app/dwh.py", project.read("app/dwh.py") + "\n# 1.9\n")
        .git(&["commit", "-aqm", "1.9.1"]);
    project.git(&["tag", "v1.9.1"]).git(&["switch", "-q", "--detach"]);
    project.env("GITHUB_REF", "refs/tags/v1.9.1");
    project.kiln(&["run", "fastapi-app"]).ends(0);
    let after = standing(&project);
    assert_eq!((&after["v1.9"], &after["v1"]), (&after["v1.9.1"], &after["v1.9.1"]));
    assert_eq!(after["latest"], tags["latest"], "an older line takes nothing from a newer one");
    // Neither can anything take the place of a release.
    project
        .git(&["tag", "-d", "v1.9.1"])
        .write("app/dwh.py", project.read("app/dwh.py") + "# other\n")
        .git(&["commit", "-aqm", "x"])
        .git(&["tag", "v1.9.1"]);
    let before = standing(&project);
    project.kiln(&["plan", "fastapi-app"]).ends(0);
    project.kiln(&["run", "fastapi-app"]).ends(4).says("may not move").says("no tag was moved");
    assert_eq!(standing(&project), before);
}

#[test]
fn the_requirements_of_an_api_lie_in_a_layer_of_their_own_below_its_sources() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    let Some(project) = api(&registry.host) else { return };
    let layers = || -> Vec<String> {
        let document = document(&registry, "dev-main");
        let own = document["layers"].as_array().unwrap().iter().rev().take(3).rev();
        own.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
    };
    project.kiln(&["run", "fastapi-app"]).ends(0);
    let before = layers();
    project.write("app/dwh.py", project.read("app/dwh.py") + "\n\ndef pieces() -> int:\n    return 1\n");
    registry.seen();
    let ran = executed(&project, &["run", "fastapi-app"]);
    assert!(!ran.contains("requirements"), "{ran:?}");
    let after = layers();
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert_ne!(after[1], before[1]);
    let sent: Vec<_> = registry.seen().into_iter().filter(|access| access.method == "PUT" && access.target.contains("/blobs/")).collect();
    // One layer and a config; two bills of the new image, each as it is and as a statement.
    assert_eq!(sent.len(), 2 + 4, "{sent:?}");
    // Another version of a requirement is another first layer.
    wheel(&project, "uvicorn", "0.38.0");
    project.write("app/requirements.txt", "fastapi==0.118.0\nuvicorn==0.38.0\n");
    let ran = executed(&project, &["run", "fastapi-app"]);
    assert!(ran.contains("requirements"), "{ran:?}");
    assert_ne!(layers()[0], before[0]);
}

#[test]
fn a_login_is_read_from_standard_input_for_the_registry_that_the_plan_names() {
    let Some(registry) = Real::start(Mode::Password) else { return };
    let Some(project) = api(&registry.host) else { return };
    project.kiln(&["run", "fastapi-app"]).ends(5).says("no tag was moved");
    let login = |password: &str| {
        let mut command = project.command(&["login", "acr", "--username", "kiln", "--password-stdin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        let ended = child.wait_with_output().unwrap();
        (ended.status.code(), String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned())
    };
    let (code, said) = login("mistaken\n");
    assert_eq!(code, Some(5), "{said}");
    assert!(!said.contains("mistaken"), "{said}");
    let (code, said) = login("right\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&registry.host), "{said}");
    project.kiln(&["run", "fastapi-app"]).ends(0);
    project.kiln(&["tags", "fastapi-app"]).ends(0).says("dev-main");
    project.kiln(&["logout", "acr"]).ends(0).says(&registry.host);
    project.kiln(&["tags", "fastapi-app"]).ends(5);
}

#[test]
fn of_the_images_of_an_api_the_last_ten_stay_and_every_release() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    let Some(mut project) = api(&registry.host) else { return };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut commits = Vec::new();
    for n in 0..13_u64 {
        project.write("app/config.toml", format!("[warehouse]\npath = \"/data/{n}\"\n")).git(&["commit", "-aqm", "x"]);
        if n == 1 {
            project.git(&["tag", "v1.0.0"]);
        }
        // One commit a day; the times of the tests' commits are all the same.
        project.env("SOURCE_DATE_EPOCH", &(now - (40 - n) * 86_400).to_string());
        project.kiln(&["run", "fastapi-app"]).ends(0);
        commits.push(format!("commit-{}", short(&project)));
    }
    let said = project.kiln(&["prune", "fastapi-app"]).ends(0);
    assert!(said.out.contains("2 images"), "{said:?}");
    assert_eq!(names(&project).len(), 13 + 5, "nothing goes without --yes");
    project.kiln(&["prune", "fastapi-app", "--yes"]).ends(0);
    let left = names(&project);
    for (n, commit) in commits.iter().enumerate() {
        assert_eq!(left.contains(commit), n == 1 || n >= 3, "{n}: {left:?}");
    }
    for tag in ["v1.0.0", "v1.0", "v1", "latest", "dev-main"] {
        assert!(left.contains(tag), "{tag}: {left:?}");
    }
    // What stays can be pulled by a machine that has nothing.
    let copy = Project::new(&format!(
        "kiln 1\nregistry \"out\" \"oci:out\"\nimage \"copy\" {{ from \"{}/fastapi-app:v1.0.0\"; tag \"x\"; push out }}\n",
        registry.host
    ));
    copy.kiln(&["run", "copy"]).ends(0);
    assert!(Path::new(&copy.path("out/copy/index.json")).exists());
}
