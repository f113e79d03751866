//! Images on their way out: what arrives in OCI layouts and in real registries, in which order, and what never does.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::parts::{output, part};
use super::project::{Project, Ran, copy_tree};
use super::real_registry::{Access, Mode, Real};

/// One image for two platforms; its registries come from the test.
const WEB: &str = r##"
kiln 1
project "t" version="1.4.2" { default "web" }
param "label" default="one"
task "compile" {
    platforms amd64 arm64
    inputs "in.txt"
    outputs "bin/${platform}/web"
    env OUT="bin/${platform}/web"
    run "{ cat in.txt; echo $OUT; } >$OUT; echo compile >>../ran"
}
image "web" {
    platforms amd64 arm64
    copy "bin/${platform}/web" "/web"
    copy "page.html" "/srv/"
    user "65532:65532"
    label "variant" "${label}"
    entrypoint "/web"
    scan policy="p"
    tag "edge" "v${project.version}"
    push PUSH
}
policy "p" { POLICY }
"##;

/// The plan with these registries (`name`, place).
fn plan(registries: &[(&str, &str)], policy: &str) -> String {
    let names: Vec<&str> = registries.iter().map(|(name, _)| *name).collect();
    let places: String = registries.iter().map(|(name, place)| format!("registry \"{name}\" \"{place}\"\n")).collect();
    format!("{}{places}", WEB.replace("PUSH", &names.join(" ")).replace("POLICY", policy))
}

fn web(registries: &[(&str, &str)]) -> Project {
    let project = Project::new(&plan(registries, "warn root-user"));
    project.write("in.txt", "text\n").write("page.html", "<p>hello</p>\n");
    project
}

fn json(project: &Project, path: &str) -> Value {
    serde_json::from_str(&project.read(path)).unwrap()
}

/// Tag → digest of a layout.
fn tags(project: &Project, layout: &str) -> Vec<(String, String)> {
    let index = json(project, &format!("{layout}/index.json"));
    let entry = |entry: &Value| {
        let tag = entry["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap().to_owned();
        (tag, entry["digest"].as_str().unwrap().to_owned())
    };
    index["manifests"].as_array().unwrap().iter().map(entry).collect()
}

fn skopeo(args: &[&str], project: &Project) -> Command {
    let mut command = Command::new(part("skopeo").unwrap());
    command.args(args).current_dir(project.root()).env("HOME", project.beside("home")).env("DOCKER_CONFIG", project.docker_config());
    command
}

/// What a registry has under a name: the document, and its digest.
pub fn remote(registry: &Real, name: &str) -> (Value, String) {
    let (repository, version) =
        name.rsplit_once([':', '@']).filter(|_| !name.contains("@sha256:")).or_else(|| name.split_once('@')).unwrap();
    let url = format!("http://{}/v2/{repository}/manifests/{version}", registry.host);
    let bytes = get(&url);
    let digest = kiln::base::digest::Digest::<kiln::base::digest::Sha256>::of(&bytes).to_string();
    (serde_json::from_slice(&bytes).unwrap(), digest)
}

pub fn get(url: &str) -> Vec<u8> {
    let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
    // Whoever was first has installed it for all.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::new();
        client.get(url).header("Accept", accept).send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap().to_vec()
    })
}

pub fn written(seen: &[Access]) -> Vec<&Access> {
    seen.iter().filter(|access| access.writes()).collect()
}

// --- layouts ---

#[test]
fn publish_a_layout_is_whole_and_other_tools_read_it() {
    let project = web(&[("dist", "oci:dist")]);
    project.kiln(&["run"]).ends(0);
    let tags = tags(&project, "dist/web");
    assert_eq!(tags.iter().map(|(tag, _)| tag.as_str()).collect::<Vec<_>>(), ["edge", "v1.4.2"]);
    assert_eq!(tags[0].1, tags[1].1);
    if part("skopeo").is_some() {
        let raw = output(&mut skopeo(&["inspect", "--raw", "oci:dist/web:edge"], &project));
        let index: Value = serde_json::from_str(&raw).unwrap();
        assert_eq!(index["manifests"].as_array().map(Vec::len), Some(2));
        let config: Value =
            serde_json::from_str(&output(&mut skopeo(&["inspect", "--override-arch", "arm64", "--config", "oci:dist/web:edge"], &project)))
                .unwrap();
        assert_eq!((&config["architecture"], &config["config"]["User"]), (&"arm64".into(), &"65532:65532".into()));
        // A copy reads every blob and checks it.
        output(&mut skopeo(&["copy", "--all", "-q", "oci:dist/web:edge", "oci:copy:edge"], &project));
        assert_eq!(self::tags(&project, "copy")[0].1, tags[0].1);
    }
    if part("umoci").is_some() && part("skopeo").is_some() {
        output(&mut skopeo(&["copy", "-q", "--override-arch", "amd64", "oci:dist/web:edge", "oci:one:edge"], &project));
        output(Command::new("umoci").args(["unpack", "--rootless", "--image", "one:edge", "bundle"]).current_dir(project.root()));
        assert_eq!(project.read("bundle/rootfs/web"), "text\nbin/linux-amd64/web\n");
        assert_eq!(project.read("bundle/rootfs/srv/page.html"), "<p>hello</p>\n");
    }
}

#[test]
fn publish_a_deleted_layout_is_restored_without_a_command() {
    let project = web(&[("dist", "oci:dist")]);
    project.kiln(&["run"]).ends(0);
    let before = tags(&project, "dist/web");
    assert_eq!(project.ran(), ["compile", "compile"]);
    project.kiln(&["run"]).ends(0);
    project.remove("dist").kiln(&["run"]).ends(0);
    assert_eq!((tags(&project, "dist/web"), project.ran()), (before.clone(), vec![]));
    // One blob of it, and the outputs of the tasks too.
    let blob = before[0].1.replace("sha256:", "dist/web/blobs/sha256/");
    project.remove(&blob).remove("bin").kiln(&["run"]).ends(0);
    assert!(project.has(&blob) && project.has("bin") && project.ran().is_empty());
}

#[test]
fn publish_nothing_is_written_where_everything_stands() {
    let project = web(&[("dist", "oci:dist")]);
    project.kiln(&["run"]).ends(0);
    let listing = || output(Command::new("find").args(["dist", "-printf", "%p %i %C@\\n"]).current_dir(project.root()));
    let before = listing();
    project.kiln(&["run"]).ends(0).says("cached");
    assert_eq!(listing(), before);
}

// --- registries ---

#[test]
fn publish_sends_blobs_first_and_moves_tags_last_in_all_registries() {
    let (Some(one), Some(two)) = (Real::start(Mode::Open), Real::start(Mode::Password)) else { return };
    let project = web(&[("one", &one.host), ("two", &format!("{}/team", two.host))]);
    project.login(&two.host, "right").kiln(&["run", "-j", "1"]).ends(0);
    for registry in [&one, &two] {
        let seen = registry.seen();
        let puts: Vec<&Access> = seen.iter().filter(|access| access.method == "PUT" && access.status < 300).collect();
        let rank = |access: &&Access| match (access.target.contains("/blobs/"), access.tag()) {
            (true, _) => 0,
            (false, None) => 1,
            (false, Some(_)) => 2,
        };
        let ranks: Vec<u8> = puts.iter().map(rank).collect();
        assert!(ranks.is_sorted(), "{puts:?}");
        // Two configs and three layers: both platforms share the page. Two manifests and their index. Two tags.
        assert_eq!([0, 1, 2].map(|rank| ranks.iter().filter(|own| **own == rank).count()), [5, 3, 2], "{puts:?}");
    }
    let (_, digest) = remote(&one, "web:edge");
    assert_eq!(remote(&one, "web:v1.4.2").1, digest);
    one.seen();
    two.seen();
    // Again: both are asked, and nothing is sent.
    project.kiln(&["run"]).ends(0).says("cached");
    for registry in [&one, &two] {
        let seen = registry.seen();
        assert!(!seen.is_empty() && written(&seen).is_empty(), "{seen:?}");
    }
    assert_eq!(project.ran(), ["compile", "compile"]);
}

#[test]
fn publish_sends_only_what_a_registry_does_not_have_and_tells_which_tags_moved() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    let project = web(&[("one", &registry.host)]);
    project.kiln(&["run"]).ends(0).never_says("moved");
    let before = remote(&registry, "web:edge").1;
    registry.seen();
    project.kiln(&["run", "--set", "label=two"]).ends(0).says("`").says("web:edge` moved from").says("web:v1.4.2` moved from");
    let after = remote(&registry, "web:edge").1;
    assert_ne!(before, after);
    let seen = registry.seen();
    // Other configs, and what names them; no layer.
    let blobs = written(&seen).iter().filter(|access| access.method == "PUT" && access.target.contains("/blobs/")).count();
    assert_eq!(blobs, 2, "{seen:?}");
    // A tag that somebody else moved is moved back.
    let url = format!("docker://{}/web", registry.host);
    if part("skopeo").is_some() {
        output(&mut skopeo(
            &[
                "copy",
                "--all",
                "-q",
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
                &format!("{url}@{before}"),
                &format!("{url}:edge"),
            ],
            &project,
        ));
        project.kiln(&["run", "--set", "label=two"]).ends(0).says("web:edge` moved from").never_says("web:v1.4.2` moved");
        assert_eq!(remote(&registry, "web:edge").1, after);
    }
}

#[test]
fn publish_nothing_of_a_refused_image_arrives_anywhere() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    let project = Project::new(&plan(&[("one", &registry.host), ("dist", "oci:dist")], "deny missing-healthcheck"));
    project.write("in.txt", "").write("page.html", "");
    for _ in 0..2 {
        // The second time from what is known already: a refusal is not forgotten.
        let ran = project
            .kiln(&["run", "--keep-going"])
            .ends(4)
            .says("refused missing-healthcheck")
            .says("`warn missing-healthcheck`")
            .says("nothing was pushed");
        assert!(ran.out.contains("add `healthcheck`"), "{ran:?}");
        assert_eq!(registry.seen(), []);
        assert!(!project.has("dist"));
    }
    // Bent, it goes through.
    project.write("build.kdl", plan(&[("one", &registry.host), ("dist", "oci:dist")], "warn missing-healthcheck"));
    project.kiln(&["run"]).ends(0);
    assert!(project.has("dist/web/index.json"));
}

#[test]
fn publish_stops_at_a_wrong_password_and_says_what_to_do() {
    let Some(registry) = Real::start(Mode::Password) else { return };
    let project = web(&[("one", &registry.host)]);
    let denied = |ran: Ran| ran.ends(5).says(&format!("kiln login {}", registry.host)).never_says("wrong-word");
    denied(project.kiln(&["run"]));
    project.login(&registry.host, "wrong-word");
    denied(project.kiln(&["run"])).says("password is wrong").says("no tag was moved");
    assert!(registry.seen().iter().all(|access| access.status == 401));
    project.login(&registry.host, "right").kiln(&["run"]).ends(0);
    assert_eq!(project.ran(), ["compile", "compile"]);
}

#[test]
fn publish_asks_the_credential_helper_that_docker_would_ask() {
    let Some(registry) = Real::start(Mode::Password) else { return };
    let mut project = web(&[("one", &registry.host)]);
    // It is asked for this host only, over standard input; `get` is the word of the helper protocol.
    let answer = r#"{"ServerURL":"x","Username":"kiln","Secret":"right"}"#;
    let script = format!("#!/bin/sh\n[ \"$1\" = get ] && [ \"$(cat)\" = {} ] && echo '{answer}'\n", registry.host);
    project.script("tools/docker-credential-test", &script);
    std::fs::create_dir_all(project.docker_config()).unwrap();
    let config = format!(r#"{{"credHelpers":{{"{}":"test"}}}}"#, registry.host);
    std::fs::write(project.docker_config().join("config.json"), config).unwrap();
    project.kiln(&["run"]).ends(5).says("docker-credential-test");
    let path = format!("{}:{}", project.path("tools").display(), std::env::var("PATH").unwrap());
    project.env("PATH", &path).kiln(&["run"]).ends(0);
}

#[test]
fn publish_tags_after_the_branch_and_the_commit() {
    let project = Project::new(&plan(&[("dist", "oci:dist")], "warn root-user").replace("tag \"edge\"", "tag branch sha \"edge\""));
    project.write("in.txt", "").write("page.html", "").write(".gitignore", "dist/\nbin/\n").commit().git(&[
        "checkout",
        "-qb",
        "feature/Ünder_score",
    ]);
    let head = output(Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).current_dir(project.root()));
    project.kiln(&["run"]).ends(0);
    let names: Vec<String> = tags(&project, "dist/web").into_iter().map(|(tag, _)| tag).collect();
    assert!(names.contains(&format!("sha-{}", head.trim())), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("feature-") && name.is_ascii()) && names.len() == 4, "{names:?}");
}

#[test]
fn publish_moves_no_tag_when_one_registry_cannot_be_reached() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    let project = web(&[("one", &registry.host), ("gone", "127.0.0.1:1"), ("dist", "oci:dist")]);
    let start = Instant::now();
    project.kiln(&["run", "--keep-going"]).ends(5).says("127.0.0.1:1").says("cannot be reached").says("no tag was moved");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let seen = registry.seen();
    assert!(seen.iter().any(|access| access.method == "PUT" && access.target.contains("/manifests/sha256:")), "{seen:?}");
    assert!(seen.iter().all(|access| access.tag().is_none()), "{seen:?}");
    assert!(!project.has("dist/web/index.json"));
    // With the registry out of the way, the rest is done from what is there.
    project.write("build.kdl", plan(&[("one", &registry.host), ("dist", "oci:dist")], "warn root-user"));
    project.kiln(&["run"]).ends(0);
    assert_eq!(tags(&project, "dist/web")[0].1, remote(&registry, "web:edge").1);
}

#[test]
fn publish_never_takes_a_shorter_version_back_from_a_higher_one() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    let places = [("one", registry.host.as_str()), ("dist", "oci:dist")];
    let project = Project::new("");
    project.write("in.txt", "").write("page.html", "");
    let release = |version: &str| {
        let text = plan(&places, "warn root-user").replace("\"edge\" \"v${project.version}\"", "semver=\"${project.version}\"");
        project.write("build.kdl", text.replace("1.4.2", version).replace("default=\"one\"", &format!("default=\"{version}\"")));
        project.kiln(&["run"]).ends(0);
        remote(&registry, &format!("web:{version}")).1
    };
    let new = release("2.0.1");
    let old = release("1.9.1");
    let draft = release("3.0.0-rc.1");
    for (tag, digest) in
        [("2.0.1", &new), ("2.0", &new), ("2", &new), ("latest", &new), ("1.9.1", &old), ("1.9", &old), ("1", &old), ("3.0.0-rc.1", &draft)]
    {
        assert_eq!(remote(&registry, &format!("web:{tag}")).1, *digest, "{tag}");
        assert!(tags(&project, "dist/web").contains(&(tag.to_owned(), digest.clone())), "{tag}");
    }
    let listed: Value = serde_json::from_slice(&get(&format!("http://{}/v2/web/tags/list", registry.host))).unwrap();
    assert_eq!(listed["tags"].as_array().map(Vec::len), Some(8), "{listed}");
}

// --- bases ---

/// An image on a base, for two platforms.
fn on(base: &str) -> String {
    format!(
        "kiln 1\nproject \"t\" {{ default \"app\" }}\nregistry \"dist\" \"oci:dist\"\nimage \"app\" {{\n    platforms amd64 arm64\n    \
         from \"{base}\"\n    copy \"page.html\" \"/page.html\"\n    tag \"x\"\n    push dist\n}}\n"
    )
}

/// What an image in a layout is for each platform: the architecture, the number of layers, the user, the config's digest.
fn contents(project: &Project, layout: &str) -> Vec<(String, usize, String, String)> {
    let blob = |digest: &Value| json(project, &format!("{layout}/blobs/{}", digest.as_str().unwrap().replace(':', "/")));
    let top = blob(&tags(project, layout)[0].1.clone().into());
    let image = |entry: &Value| {
        let manifest = blob(&entry["digest"]);
        let config = blob(&manifest["config"]["digest"]);
        let architecture = entry["platform"]["architecture"].as_str().unwrap().to_owned();
        assert_eq!(config["architecture"], architecture);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (architecture, manifest["layers"].as_array().unwrap().len(), text(&config["config"]["User"]), text(&manifest["config"]["digest"]))
    };
    top["manifests"].as_array().unwrap().iter().map(image).collect()
}

#[test]
fn publish_an_image_stands_on_a_base_from_anywhere_for_each_platform() {
    let Some(registry) = Real::start(Mode::Password) else { return };
    let below = web(&[("one", &registry.host), ("dist", "oci:dist")]);
    below.login(&registry.host, "right").kiln(&["run"]).ends(0);
    let digest = tags(&below, "dist/web")[0].1.clone();
    let mut made = Vec::new();
    for base in [format!("{}/web@{digest}", registry.host), format!("{}/web:edge", registry.host), "oci:base:edge".to_owned()] {
        let project = Project::new(&on(&base));
        project.login(&registry.host, "right").write("page.html", "mine");
        copy_tree(&below.path("dist/web"), &project.path("base"));
        project.kiln(&["run"]).ends(0);
        made.push(contents(&project, "dist/app"));
    }
    for (place, architecture) in ["amd64", "arm64"].iter().enumerate() {
        let (own, layers, user, _) = &made[0][place];
        assert_eq!((own.as_str(), *layers, user.as_str()), (*architecture, 3, "65532:65532"));
    }
    // Wherever it came from; only the annotation that names the base differs.
    assert!(made.iter().all(|one| *one == made[0]), "{made:?}");

    let mut text = on("web").replace("registry \"dist\" \"oci:dist\"\n", "");
    text = text.split_once("image \"app\"").unwrap().1.to_owned();
    let project = Project::new(&format!("{}image \"app\"{text}", plan(&[("dist", "oci:dist")], "warn root-user")));
    project.write("in.txt", "text\n").write("page.html", "mine").kiln(&["run", "app"]).ends(0);
    let target: Vec<usize> = contents(&project, "dist/app").iter().map(|(_, layers, ..)| *layers).collect();
    assert_eq!(target, [3, 3]);
    assert!(!project.has("dist/web"), "a base is built, not published");
}

#[test]
fn publish_a_base_by_digest_is_fetched_once_and_one_by_tag_is_looked_up_each_time() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    let below = web(&[("one", &registry.host), ("dist", "oci:dist")]);
    below.kiln(&["run"]).ends(0);
    let digest = tags(&below, "dist/web")[0].1.clone();
    registry.seen();

    let pinned = Project::new(&on(&format!("{}/web@{digest}", registry.host)));
    pinned.write("page.html", "mine").kiln(&["run"]).ends(0);
    let fixed = tags(&pinned, "dist/app");
    assert!(!registry.seen().is_empty());
    pinned.kiln(&["run"]).ends(0).says("cached");
    pinned.remove("dist").kiln(&["run"]).ends(0);
    assert_eq!(registry.seen(), []);

    let moving = Project::new(&on(&format!("{}/web:edge", registry.host)));
    moving.write("page.html", "mine").kiln(&["run"]).ends(0);
    registry.seen();
    let first = tags(&moving, "dist/app");
    moving.kiln(&["run"]).ends(0);
    let seen = registry.seen();
    assert!(!seen.is_empty() && seen.iter().all(|access| !access.target.contains("/blobs/")), "{seen:?}");
    assert_eq!(tags(&moving, "dist/app"), first);
    below.kiln(&["run", "--set", "label=two"]).ends(0);
    moving.kiln(&["run"]).ends(0);
    assert_ne!(tags(&moving, "dist/app"), first);
    pinned.kiln(&["run"]).ends(0);
    assert_eq!(tags(&pinned, "dist/app"), fixed);
}

#[test]
fn publish_a_base_that_cannot_be_had_says_why() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    web(&[("one", &registry.host)]).kiln(&["run"]).ends(0);
    let host = &registry.host;
    let nothing = format!("sha256:{}", "0".repeat(64));
    for (base, code, words) in [
        (format!("{host}/web:nothing"), 5, "web:nothing"),
        (format!("{host}/web@{nothing}"), 5, "0000000"),
        (format!("{host}/nobody:1"), 5, "nobody"),
        ("127.0.0.1:1/web:1".to_owned(), 5, "cannot be reached"),
        ("oci:nowhere".to_owned(), 3, "nowhere"),
    ] {
        let project = Project::new(&on(&base));
        project.write("page.html", "").kiln(&["run"]).ends(code).says(words).says("help:");
        assert!(!project.has("dist"));
    }
    let project = Project::new(&on(&format!("{host}/web:edge")).replace("arm64", "arm64 \"linux/s390x\""));
    project.write("page.html", "").kiln(&["run"]).ends(5).says("linux/s390x").says("linux/amd64");
}
