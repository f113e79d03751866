//! The lock: what a tag meant stays what it means, until someone asks for news.

use std::path::Path;

use serde_json::{Value, json};

use kiln::base::digest::BlobDigest;
use kiln::oci::descriptor::{Descriptor, PlatformObject};
use kiln::oci::manifest::{self, Index, Manifest};
use kiln::oci::media_type;
use kiln::oci::reference::Repository;

use super::fake_registry::{Fake, Fault, Rule};
use super::layouts;
use super::project::Project;
use super::real_registry::{Mode, Real};
use super::registry::{Bench, nobody};
use super::remote;

/// A registry with base images whose tags move, served while a test's own thread waits for kiln.
struct Upstream {
    runtime: tokio::runtime::Runtime,
    fake: Option<Fake>,
    host: String,
}

/// What stands under a tag.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Put {
    index: BlobDigest,
    amd64: BlobDigest,
    arm64: BlobDigest,
}

impl Upstream {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let fake = runtime.block_on(Fake::start());
        Self { host: fake.host.clone(), runtime, fake: Some(fake) }
    }
    fn fake(&self) -> &Fake {
        self.fake.as_ref().unwrap()
    }
    fn stop(&mut self) {
        let _inside = self.runtime.enter();
        self.fake = None;
    }

    /// One platform of a base, told apart from others by a variable in its config.
    fn image(&self, name: &str, platform: &str, version: &str) -> Descriptor {
        let (object, config) = config(platform, version);
        self.fake().put_blob(name, &config);
        let manifest = manifest::bytes(&Manifest::new(Descriptor::of(media_type::CONFIG, &config), Vec::new()));
        self.fake().put_manifest(name, None, media_type::MANIFEST, &manifest);
        Descriptor { platform: Some(object), ..Descriptor::of(media_type::MANIFEST, &manifest) }
    }

    /// Lets a tag name an index of two platforms, with an attestation as BuildKit adds it.
    fn put(&self, name: &str, tag: &str, amd64: &str, arm64: &str) -> Put {
        let images = [self.image(name, "linux/amd64", amd64), self.image(name, "linux/arm64", arm64)];
        let mut entries = images.to_vec();
        let unknown = PlatformObject { architecture: "unknown".into(), os: "unknown".into(), ..entries[0].platform.clone().unwrap() };
        entries.push(Descriptor { platform: Some(unknown), ..Descriptor::of(media_type::MANIFEST, b"{}") });
        let bytes = manifest::bytes(&Index::new(entries));
        let index = self.fake().put_manifest(name, Some(tag), media_type::INDEX, &bytes);
        Put { index, amd64: images[0].digest, arm64: images[1].digest }
    }
}

/// The config of an image without layers, told apart from others by a variable.
fn config(platform: &str, version: &str) -> (PlatformObject, Vec<u8>) {
    let object = PlatformObject::from(&platform.parse().unwrap());
    let config = json!({"architecture": object.architecture, "os": object.os, "variant": object.variant,
        "config": {"Env": [format!("VERSION={version}")]}, "rootfs": {"type": "layers", "diff_ids": []}});
    (object, serde_json::to_vec(&config).unwrap())
}

/// An image for two platforms on a base named by a tag, published into a layout.
fn web(host: &str) -> Project {
    let project = Project::new(&format!(
        "kiln 1\nproject \"t\" {{ default \"web\" }}\nregistry dist \"oci:dist\"\nimage \"web\" {{\n    from \"{host}/acme/base:1\"\n    \
         platforms amd64 arm64\n    copy \"app\" \"/app\"\n    tag \"v1\"\n    push dist\n}}\n"
    ));
    project.write("app", "app\n").write("dist/.keep", "");
    project
}

/// A cache that knows nothing, as on another machine.
fn on_another_machine(project: &mut Project, name: &str) {
    let cache = project.beside(name);
    project.env("KILN_CACHE_DIR", cache.to_str().unwrap());
    if project.has("dist") {
        project.remove("dist").write("dist/.keep", "");
    }
}

#[test]
fn a_tag_that_moved_changes_nothing_until_its_pin_is_moved() {
    let upstream = Upstream::start();
    let mut project = web(&upstream.host);
    let old = upstream.put("acme/base", "1", "old", "old");
    project.kiln(&["lock"]).ends(0).says("1 pin, 1 changed");
    let base = format!("{}/acme/base:1", upstream.host);
    let expected = |put: Put| {
        format!(
            "lock 1\nimage \"{base}\" digest=\"{}\"\nimage \"{base}\" platform=\"linux/amd64\" digest=\"{}\"\n\
             image \"{base}\" platform=\"linux/arm64\" digest=\"{}\"\n",
            put.index, put.amd64, put.arm64
        )
    };
    let text = project.read("kiln.lock");
    assert_eq!(text.split_once('\n').unwrap().1, expected(old));
    project.kiln(&["run"]).ends(0);
    let (image, digest) = (layouts::first(&project, "dist/web"), project.kiln(&["plan", "--digest"]).ends(0).out);

    let new = upstream.put("acme/base", "1", "new", "old");
    for (machine, flags) in [("b", &["run"][..]), ("c", &["run", "--frozen"])] {
        on_another_machine(&mut project, machine);
        project.kiln(flags).ends(0);
        assert_eq!(layouts::first(&project, "dist/web"), image, "{flags:?}");
        assert_eq!(project.kiln(&["plan", "--digest"]).ends(0).out, digest);
    }
    let news = project.kiln(&["lock", "--check"]).ends(1).says("not current");
    for part in [&base, &old.index.0.hex()[..12], &new.index.0.hex()[..12], "linux/amd64"] {
        assert!(news.out.contains(part), "{part} is not in {}", news.out);
    }
    assert!(!news.out.contains("linux/arm64"), "{}", news.out);
    project.kiln(&["lock"]).ends(0).says("kiln.lock is current");
    assert_eq!(project.read("kiln.lock"), text, "without --update a pin stays");
    assert_eq!(layouts::first(&project, "dist/web"), image);

    project.kiln(&["lock", "--update", "base"]).ends(0).says("1 changed");
    assert_eq!(project.read("kiln.lock").split_once('\n').unwrap().1, expected(new));
    project.kiln(&["lock", "--check"]).ends(0);
    project.kiln(&["run", "--frozen"]).ends(0).says("web/base@linux/amd64");
    assert_ne!(layouts::first(&project, "dist/web"), image);
    assert_ne!(project.kiln(&["plan", "--digest"]).ends(0).out, digest);
    // Only what moved is built anew: the manifest for arm64 is the one of before.
    project.kiln(&["why", "web/base@linux/arm64"]).ends(0).never_says("reference");
}

#[test]
fn without_a_lock_a_tag_means_what_it_means_today() {
    let upstream = Upstream::start();
    let mut project = web(&upstream.host);
    upstream.put("acme/base", "1", "old", "old");
    project.kiln(&["run"]).ends(0).never_says("lock::");
    let image = layouts::first(&project, "dist/web");
    upstream.put("acme/base", "1", "new", "new");
    on_another_machine(&mut project, "b");
    project.kiln(&["plan"]).ends(0).never_says("lock::");
    project.kiln(&["run"]).ends(0);
    assert_ne!(layouts::first(&project, "dist/web"), image);
    assert!(!project.has("kiln.lock"), "a run writes no lock");
}

#[test]
fn frozen_refuses_every_name_without_a_pin_before_anything_runs() {
    let upstream = Upstream::start();
    upstream.put("acme/base", "1", "a", "a");
    let project = web(&upstream.host);
    let plan = project.read("build.kdl");
    let more = format!(
        "{plan}image \"api\" {{ from \"{0}/acme/base:2\"; platforms amd64; copy \"app\" \"/app\" }}\n\
         image \"pinned\" {{ from \"{0}/acme/base@sha256:{1}\"; platforms amd64; copy \"app\" \"/app\" }}\n",
        upstream.host,
        "0".repeat(64)
    );
    project.write("build.kdl", &more);
    for words in [&["run", "--frozen", "web"][..], &["plan", "--frozen", "web"], &["plan", "--digest", "--frozen"]] {
        let refused = project.kiln(words).ends(3);
        assert_eq!(refused.err.matches("lock::unpinned").count(), 2, "{words:?}: {}", refused.err);
        assert!(refused.err.contains("build.kdl:5:10") && refused.err.contains("kiln lock"), "{}", refused.err);
    }
    assert_eq!(upstream.fake().lines(), Vec::<String>::new(), "nobody was asked");
    project.write("build.kdl", &plan);
    project.kiln(&["lock"]).ends(0);
    let lock = project.read("kiln.lock");
    project.write("build.kdl", &more);
    project.kiln(&["plan"]).ends(0).says("lock::unpinned").says("acme/base:2").never_says("acme/base:1` is not pinned");
    let mut frozen = project;
    frozen.env("KILN_FROZEN", "1");
    frozen.kiln(&["run", "web"]).ends(3).says("acme/base:2");
    frozen.kiln(&["lock"]).ends(2).says("lock::frozen");
    assert_eq!(frozen.read("kiln.lock"), lock);
    frozen.env("KILN_FROZEN", "0");
    frozen.kiln(&["run", "web"]).ends(0);
}

#[test]
fn only_missing_pins_are_made_and_only_unused_ones_removed() {
    let upstream = Upstream::start();
    let project = Project::new("kiln 1\n");
    let image =
        |tag: &str| format!("image \"i{tag}\" {{ from \"{}/acme/base:{tag}\"; platforms amd64; copy \"app\" \"/app\" }}\n", upstream.host);
    let plan = |tags: &[&str]| format!("kiln 1\n{}", tags.iter().map(|tag| image(tag)).collect::<String>());
    let old = ["1", "2", "3"].map(|tag| upstream.put("acme/base", tag, tag, tag));
    project.write("app", "app\n").write("build.kdl", plan(&["2", "1"]));
    project.kiln(&["lock"]).ends(0).says("2 pins, 2 changed");
    let new = ["1", "2", "3"].map(|tag| upstream.put("acme/base", tag, &format!("new {tag}"), tag));
    project.write("build.kdl", plan(&["3", "2"]));
    project.kiln(&["lock", "--check"]).ends(1).says("not needed any more").says("acme/base:3");
    project.kiln(&["lock"]).ends(0).says("2 pins, 2 changed").says("not needed any more");
    let text = project.read("kiln.lock");
    assert!(text.contains(&old[1].index.to_string()) && text.contains(&new[2].index.to_string()), "{text}");
    assert!(!text.contains("base:1\"") && !text.contains(&new[1].index.to_string()), "{text}");

    project.kiln(&["lock", "--update", "bose"]).ends(2).says("lock::unknown-name").says("it can pin");
    project.kiln(&["lock", "--update", &format!("{}/acme/base:22", upstream.host)]).ends(2).says("did you mean");
    assert_eq!(project.read("kiln.lock"), text);
    project.kiln(&["lock", "--update", &format!("{}/acme/base:2", upstream.host)]).ends(0).says("1 changed");
    assert!(project.read("kiln.lock").contains(&new[1].index.to_string()));
    // A plan that names nothing that can move needs no lock.
    project.remove("kiln.lock").write("build.kdl", "kiln 1\n");
    project.kiln(&["lock"]).ends(0).says("nothing that the plan names can move");
    project.kiln(&["lock", "--check"]).ends(0);
    assert!(!project.has("kiln.lock"));
}

/// Three bases: of the plan as it stands, of a profile, and of a target that takes part in that profile alone; and one that none needs.
fn bases(host: &str) -> Project {
    let image = |name: &str, tag: &str, more: &str| {
        format!("image {name} {{ from \"{host}/acme/base:{tag}\"; platforms amd64; copy \"app\" \"/app\"{more} }}\n")
    };
    let project = Project::new(&format!(
        "kiln 1\nparam base default=\"1\"\nprofile dev {{ set base=\"2\" }}\nprofile prod {{ set base=\"3\" }}\n{}{}{}",
        image("web", "${base}", ""),
        image("extra", "4", "; when \"${profile == 'prod'}\""),
        image("never", "5", "; when \"${1 > 2}\""),
    ));
    project.write("app", "app\n");
    project
}

#[test]
fn a_pin_that_only_one_profile_uses_is_made_without_it_and_stays() {
    let upstream = Upstream::start();
    let project = bases(&upstream.host);
    for tag in ["1", "2", "3", "4", "5"] {
        upstream.put("acme/base", tag, tag, tag);
    }
    project.kiln(&["lock"]).ends(0).says("5 pins, 5 changed").never_says("lock::");
    let text = project.read("kiln.lock");
    for profile in [&[][..], &["--profile", "dev"], &["--profile", "prod"]] {
        for words in [&["lock"][..], &["lock", "--check"]] {
            project.kiln(&[profile, words].concat()).ends(0).says("kiln.lock is current");
        }
        project.kiln(&[profile, &["run", "--frozen", "web", "extra"]].concat()).ends(0).never_says("lock::");
    }
    assert_eq!(project.read("kiln.lock"), text);
    upstream.put("acme/base", "3", "new", "3");
    project.kiln(&["lock", "--check"]).ends(1).says("acme/base:3");
    project.kiln(&["lock", "--update", &format!("{}/acme/base:3", upstream.host)]).ends(0).says("1 changed");

    // What no profile uses any more goes.
    project.write("build.kdl", project.read("build.kdl").replace("profile dev { set base=\"2\" }\n", ""));
    project.kiln(&["--profile", "prod", "lock"]).ends(0).says("4 pins, 1 changed").says("not needed any more");
    assert!(!project.read("kiln.lock").contains("base:2"));
}

#[test]
fn what_no_target_needs_is_pinned_if_it_can_be_and_stops_nobody() {
    let upstream = Upstream::start();
    let project = bases(&upstream.host);
    for tag in ["1", "2", "3", "4"] {
        upstream.put("acme/base", tag, tag, tag);
    }
    project.kiln(&["lock"]).ends(0).says("4 pins, 4 changed").says("lock::left-out").says("acme/base:5");
    project.kiln(&["--frozen", "run", "web"]).ends(0);
    upstream.put("acme/base", "5", "5", "5");
    project.kiln(&["lock"]).ends(0).says("5 pins, 1 changed").never_says("lock::left-out");
    // Another profile's needs are needs.
    let text = project.read("kiln.lock");
    project.write("build.kdl", project.read("build.kdl").replace("set base=\"3\"", "set base=\"6\""));
    project.kiln(&["lock"]).ends(5).says("acme/base:6");
    assert_eq!(project.read("kiln.lock"), text);
}

#[test]
fn no_pin_goes_while_the_plan_has_faults_under_a_profile() {
    let upstream = Upstream::start();
    let project = bases(&upstream.host);
    for tag in ["1", "2", "3", "4", "5"] {
        upstream.put("acme/base", tag, tag, tag);
    }
    project.kiln(&["lock"]).ends(0);
    let (plan, text) = (project.read("build.kdl"), project.read("kiln.lock"));
    project.write("build.kdl", plan.replace("set base=\"3\"", "set base=\"//\""));
    project.kiln(&["lock"]).ends(0).says("lock::profile").says("profile `prod`").says("kiln.lock is current");
    assert_eq!(project.read("kiln.lock"), text);
    project.kiln(&["--profile", "prod", "lock"]).ends(3);
    // A plan that wants a profile has nothing to say without one.
    project.write("build.kdl", plan.replace("param base default=\"1\"", "param base required"));
    project.kiln(&["--profile", "dev", "lock"]).ends(0).says("4 pins, 1 changed").never_says("lock::profile");
}

#[test]
fn real_a_tag_that_moved_in_the_reference_registry_changes_nothing_until_its_pin_is_moved() {
    let Some(real) = Real::start(Mode::Open) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = Bench::new();
    let session = bench.session(nobody());
    let base: Repository = format!("{}/acme/base", real.host).parse().unwrap();
    let put = |version: &str| {
        let image = |platform| {
            let config = bench.blob(media_type::CONFIG, &config(platform, version).1);
            bench.blob(media_type::MANIFEST, &manifest::bytes(&Manifest::new(config, Vec::new())))
        };
        let images = ["linux/amd64", "linux/arm64"].map(|platform| (platform, image(platform)));
        let index = bench.index(&images);
        runtime.block_on(async {
            session.push(&base, &index, &[]).await.unwrap();
            session.tag(&base, &"1".parse().unwrap(), &index).await.unwrap();
        });
        index.digest
    };
    let old = put("old");
    let mut project = web(&real.host);
    project.kiln(&["lock"]).ends(0).says("1 pin, 1 changed");
    assert!(project.read("kiln.lock").contains(&old.to_string()));
    project.kiln(&["run"]).ends(0);
    let image = layouts::first(&project, "dist/web");
    let new = put("new");
    assert_ne!(old, new);
    on_another_machine(&mut project, "b");
    project.kiln(&["run", "--frozen"]).ends(0);
    assert_eq!(layouts::first(&project, "dist/web"), image, "byte for byte what it was");
    project.kiln(&["lock", "--check"]).ends(1).says(&new.0.hex()[..12]);
    project.kiln(&["lock"]).ends(0).says("kiln.lock is current");
    project.kiln(&["lock", "--update"]).ends(0).says("1 changed");
    assert!(project.read("kiln.lock").contains(&new.to_string()));
    project.kiln(&["run", "--frozen"]).ends(0);
    assert_ne!(layouts::first(&project, "dist/web"), image);
}

#[test]
fn a_check_reads_by_machines_and_asks_only_for_the_tag_when_nothing_moved() {
    let upstream = Upstream::start();
    let project = web(&upstream.host);
    let old = upstream.put("acme/base", "1", "a", "a");
    let missing: Value = serde_json::from_str(&project.kiln(&["lock", "--check", "--json"]).ends(1).out).unwrap();
    assert_eq!((&missing["current"], &missing["written"]), (&json!(false), &json!(false)));
    assert!(!project.has("kiln.lock"));
    project.kiln(&["lock"]).ends(0);
    upstream.fake().forget();
    let same: Value = serde_json::from_str(&project.kiln(&["lock", "--check", "--json"]).ends(0).out).unwrap();
    assert_eq!(same, json!({"file": "kiln.lock", "current": true, "written": false, "pins": 1, "changes": []}));
    assert_eq!(upstream.fake().lines(), ["HEAD /v2/acme/base/manifests/1"]);
    let new = upstream.put("acme/base", "1", "a", "b");
    let moved: Value = serde_json::from_str(&project.kiln(&["lock", "--check", "--json"]).ends(1).out).unwrap();
    let name = format!("{}/acme/base:1", upstream.host);
    let line = |platform: Value, old: BlobDigest, new: BlobDigest| json!({"kind": "image", "name": name, "platform": platform, "old": old.to_string(), "new": new.to_string()});
    assert_eq!(moved["changes"], json!([line(Value::Null, old.index, new.index), line(json!("linux/arm64"), old.arm64, new.arm64)]));
}

#[test]
fn offline_works_with_what_is_in_the_store_and_lists_all_that_is_not() {
    let mut upstream = Upstream::start();
    let mut project = web(&upstream.host);
    upstream.put("acme/base", "1", "a", "a");
    project.kiln(&["lock"]).ends(0);
    project.kiln(&["run"]).ends(0);
    let image = layouts::first(&project, "dist/web");
    upstream.stop();
    project.remove("dist").write("dist/.keep", "");
    project.kiln(&["run", "--offline"]).ends(0);
    assert_eq!(layouts::first(&project, "dist/web"), image);
    project.write("app", "changed\n");
    project.kiln(&["run", "--offline"]).ends(0);
    assert_ne!(layouts::first(&project, "dist/web"), image, "a base of the store takes new layers");

    on_another_machine(&mut project, "b");
    project.write(
        "build.kdl",
        project.read("build.kdl")
            + "registry far \"ghcr.io/acme\"\nimage \"two\" { from \"ghcr.io/acme/two:2\"; platforms amd64; push far; tag \"x\" }\n",
    );
    let began = std::time::Instant::now();
    let refused = project.kiln(&["run", "--offline", "web", "two"]).ends(5);
    for part in [
        "for linux/amd64 is not in the store",
        "for linux/arm64 is not in the store",
        "ghcr.io/acme/two:2` is named by a tag",
        "`two/push:far` sends to `ghcr.io`",
    ] {
        assert!(refused.err.contains(part), "{part} is not in {}", refused.err);
    }
    assert!(began.elapsed().as_secs() < 10, "nobody was waited for");
    assert!(!project.has("dist/web"), "nothing ran");
    project.kiln(&["lock", "--check", "--offline"]).ends(5).says("registry::offline");
}

#[test]
fn a_registry_that_sends_other_bytes_than_the_pinned_ones_is_refused() {
    let upstream = Upstream::start();
    let mut project = web(&upstream.host);
    let put = upstream.put("acme/base", "1", "a", "a");
    project.kiln(&["lock"]).ends(0);
    on_another_machine(&mut project, "b");
    upstream.fake().rule(Rule::new("GET", format!("manifests/{}", put.amd64), Fault::OtherBytes).times(100));
    project.kiln(&["run", "web/build@amd64"]).ends(5).says("sent other bytes than those asked for");
    // The tag says one thing, the document another: nothing is pinned.
    upstream.put("acme/base", "1", "b", "b");
    upstream.fake().rule(Rule::new("GET", "manifests/1", Fault::OtherBytes).times(100));
    let before = project.read("kiln.lock");
    project.kiln(&["lock", "--update"]).ends(5).says("build.kdl:5:10");
    assert_eq!(project.read("kiln.lock"), before);
}

#[test]
fn a_blob_of_the_store_that_was_changed_is_not_taken_for_the_pinned_one() {
    let mut upstream = Upstream::start();
    let project = web(&upstream.host);
    let put = upstream.put("acme/base", "1", "a", "a");
    project.kiln(&["lock"]).ends(0);
    project.kiln(&["run"]).ends(0);
    upstream.stop();
    let damaged = damage(&project.cache(), &put.amd64.0.hex());
    assert_eq!(damaged, 1);
    project.write("app", "changed\n");
    project.kiln(&["run", "--offline"]).ends(5);
}

/// Turns a bit in every file below `folder` that bears this name; gives their number.
fn damage(folder: &Path, name: &str) -> usize {
    use std::os::unix::fs::PermissionsExt as _;
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            found += damage(&entry.path(), name);
        } else if entry.file_name().to_string_lossy().contains(&name[4..]) {
            let mut bytes = std::fs::read(entry.path()).unwrap();
            bytes[10] ^= 1;
            std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
            std::fs::write(entry.path(), bytes).unwrap();
            found += 1;
        }
    }
    found
}

#[test]
fn a_damaged_lock_is_a_fault_with_its_place() {
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let (a, b) = (digest("a"), digest("b"));
    let project = Project::new("kiln 1\ntask \"t\" { run \"true\" }\n");
    for (text, expected) in [
        (
            format!("lock 1\n<<<<<<< HEAD\nimage \"a\" digest=\"{a}\"\n=======\nimage \"a\" digest=\"{b}\"\n>>>>>>> main\n"),
            vec!["lock::conflict", "kiln.lock:2:1", "either side"],
        ),
        (
            format!("lock 1\nimage \"a\" digest=\"{a}\"\nimage \"docker.io/library/a:latest\" digest=\"{b}\"\n"),
            vec!["lock::twice", "kiln.lock:3:"],
        ),
        ("lock 2\n".to_owned(), vec!["lock::edition", "kiln.lock:1:1", "newer kiln"]),
        (String::new(), vec!["lock::edition"]),
        ("image \"a\"\n".to_owned(), vec!["lock::edition", "kiln.lock:1:1"]),
        (
            "lock 1\nimage \"a\"\ninclude \"x\"\ntool \"go\"\n".to_owned(),
            vec!["kiln.lock:2:1", "kiln.lock:3:1", "kiln.lock:4:1", "has no `version`"],
        ),
        (format!("lock 1\nimage \"a b\" digest=\"{a}\"\n"), vec!["lock::bad-pin", "kiln.lock:2:7"]),
        ("lock 1\nimage \"a\" digest=\"sha256:12\"\n".to_owned(), vec!["lock::bad-pin", "kiln.lock:2:18", "64 lower-case"]),
        (format!("lock 1\nimage \"a@{a}\" digest=\"{a}\"\n"), vec!["needs no pin"]),
        (format!("lock 1\nimage \"a\" platform=\"linux/amd64\" digest=\"{a}\"\n"), vec!["lock::bad-pin", "without `platform` is missing"]),
        (
            format!("lock 1\nimage \"a\" digest=\"{a}\"\nimage \"a\" platform=\"amd46\" digest=\"{a}\"\n"),
            vec!["kiln.lock:3:20", "is not a platform"],
        ),
        (format!("lock 1\nimages \"a\" digest=\"{a}\"\n"), vec!["did you mean `image`?"]),
        (format!("lock 1\nimage \"a\" digest=\"{a}\" sum=\"x\"\n"), vec!["has no `sum`"]),
        ("lock 1\nimage \"a\n".to_owned(), vec!["syntax::", "kiln.lock:2:"]),
    ] {
        project.write("kiln.lock", &text);
        for words in [&["check"][..], &["plan", "t"], &["run", "t"], &["lock"]] {
            let refused = project.kiln(words).ends(3);
            for part in &expected {
                assert!(refused.err.contains(part), "{part} is not in {words:?} of {text:?}: {}", refused.err);
            }
        }
        assert_eq!(project.read("kiln.lock"), text, "what is damaged is not written over");
    }
    // The same line twice is what a merge of both sides may leave.
    project.write("kiln.lock", "lock 1\ntool \"go\" version=\"1\"\ntool \"go\" version=\"1\"\n");
    project.kiln(&["check"]).ends(0);
    project.write("kiln.lock", b"lock 1\n\xff\n");
    project.kiln(&["check"]).ends(3).says("syntax::not-utf8");
    project.remove("kiln.lock");
    std::fs::create_dir(project.path("kiln.lock")).unwrap();
    project.kiln(&["check"]).ends(3).says("lock::unreadable");
}

#[test]
fn locks_that_are_written_at_the_same_time_are_whole() {
    let upstream = Upstream::start();
    let project = web(&upstream.host);
    upstream.put("acme/base", "1", "a", "a");
    let mut running: Vec<_> = (0..6).map(|_| project.start(&["lock", "--update"])).collect();
    for process in &mut running {
        assert!(process.wait().unwrap().success());
    }
    project.kiln(&["lock", "--check"]).ends(0);
    let names: Vec<_> = std::fs::read_dir(project.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
}

#[test]
fn another_plan_of_the_folder_has_a_lock_of_its_own() {
    let upstream = Upstream::start();
    let project = web(&upstream.host);
    upstream.put("acme/base", "1", "a", "a");
    project.write("release.kdl", project.read("build.kdl"));
    project.kiln(&["-f", "release.kdl", "lock"]).ends(0).says("release.lock");
    assert!(project.has("release.lock") && !project.has("kiln.lock"));
    project.kiln(&["-f", "release.kdl", "plan", "--frozen"]).ends(0);
    project.kiln(&["plan", "--frozen"]).ends(3);
}

/// A project that includes a plan from elsewhere.
fn includes(place: &str) -> Project {
    let project = Project::new(&format!("kiln 1\ninclude \"{place}\" as=\"ci\"\n"));
    project.write("in", "x\n");
    project
}

fn plan_text(word: &str) -> String {
    format!("kiln 1\ntask \"say\" {{ run \"echo {word} >said\" }}\n")
}

#[test]
fn a_remote_plan_is_pinned_and_read_from_the_store() {
    let mut upstream = Upstream::start();
    let place = format!("oci:{}/acme/plans:1", upstream.host);
    let mut project = includes(&place);
    let old = remote::artifact(upstream.fake(), "acme/plans", "1", &[(remote::PLAN, &plan_text("old"))]);
    project.kiln(&["check"]).ends(3).says("plan::not-fetched").says("kiln lock").says("build.kdl:2:9");
    project.kiln(&["plan", "ci:say", "--frozen"]).ends(3).says("lock::unpinned");
    project.kiln(&["run", "ci:say"]).ends(0);
    project.kiln(&["lock"]).ends(0).says("1 changed");
    assert!(project.read("kiln.lock").ends_with(&format!("include \"{place}\" digest=\"{old}\"\n")));
    project.kiln(&["check"]).ends(0);
    let new = remote::artifact(upstream.fake(), "acme/plans", "1", &[(remote::PLAN, &plan_text("new"))]);
    upstream.fake().forget();
    project.kiln(&["run", "ci:say", "--frozen"]).ends(0);
    assert_eq!((project.read("said").as_str(), upstream.fake().lines()), ("old\n", Vec::new()));
    project.kiln(&["lock", "--check"]).ends(1).says(&new.0.hex()[..12]);
    project.kiln(&["lock", "--update", "co"]).ends(2).says("did you mean `ci`");
    project.kiln(&["lock", "--update", "ci"]).ends(0).says("1 changed");
    project.kiln(&["run", "ci:say"]).ends(0);
    assert_eq!(project.read("said"), "new\n");
    upstream.stop();
    project.kiln(&["run", "ci:say", "--offline", "--frozen"]).ends(0);
    on_another_machine(&mut project, "b");
    project.kiln(&["run", "ci:say", "--offline"]).ends(5).says("registry::offline").says("build.kdl:2:9");
}

#[test]
fn other_bytes_than_the_pinned_ones_are_no_plan() {
    let upstream = Upstream::start();
    let place = format!("http://{}/x.kdl", upstream.host);
    let serve = |word: &str| upstream.fake().rule(Rule::new("GET", "/x.kdl", Fault::Answer(200, Vec::new(), plan_text(word).into_bytes())));
    let mut project = includes(&place);
    serve("good");
    project.kiln(&["lock"]).ends(0);
    on_another_machine(&mut project, "b");
    serve("bad");
    project.kiln(&["run", "ci:say"]).ends(5).says("include::digest").says("build.kdl:2:9");
    assert!(!project.has("said"));
    serve("good");
    project.kiln(&["run", "ci:say"]).ends(0);
    // The kept bytes are held against the pin again: damaged ones are fetched anew.
    assert_eq!(damage(&project.beside("b"), &sha256(&plan_text("good"))), 1);
    serve("good");
    project.kiln(&["run", "ci:say"]).ends(0);
    assert_eq!(project.read("said"), "good\n");

    let written = format!("kiln 1\ninclude \"{place}\" as=\"ci\" sha256=\"{}\"\n", sha256(&plan_text("good")));
    project.remove("kiln.lock").write("build.kdl", &written);
    on_another_machine(&mut project, "c");
    serve("bad");
    project.kiln(&["plan", "ci:say"]).ends(5).says("include::digest");
    serve("good");
    project.kiln(&["plan", "ci:say", "--frozen"]).ends(0);
    project.kiln(&["check"]).ends(0);
    project.kiln(&["lock"]).ends(0).says("nothing that the plan names can move");
}

fn sha256(text: &str) -> String {
    kiln::base::digest::Digest::<kiln::base::digest::Sha256>::of(text.as_bytes()).hex()
}

/// A plan whose step names a tool, and the tool: a file that starts another, as rustup's do.
fn with_tool(version: &str) -> Project {
    let mut project = Project::new(&format!(
        "kiln 1\ntool \"mytool\" version=\"{version}\"\ntask \"t\" {{ inputs \"in\"; outputs \"out\"; tools mytool; run \"mytool >out\" }}\n\
         task \"other\" {{ run \"true\" }}\n"
    ));
    let bin = project.beside("bin");
    std::fs::create_dir(&bin).unwrap();
    project.env("PATH", &format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    project.script("../bin/mytool", "#!/bin/sh\ncat \"${0%/*}/real\"\n").write("in", "x\n");
    install(&project, "mytool 1.24.2 (abc)\n");
    project
}

fn install(project: &Project, says: &str) {
    project.write("../bin/real", says);
}

#[test]
fn a_tool_of_another_version_is_a_change_and_with_frozen_a_fault() {
    let project = with_tool(">=1.24, <2");
    project.kiln(&["run", "t"]).ends(0);
    project.kiln(&["plan", "t"]).ends(0).never_says("lock::");
    let digest = || project.kiln(&["plan", "--digest"]).ends(0).out;
    let unlocked = digest();
    project.kiln(&["run", "--frozen", "t"]).ends(3).says("lock::unpinned").says("build.kdl:2:6");
    project.kiln(&["run", "--frozen", "other"]).ends(0);
    project.kiln(&["lock"]).ends(0).says("1.24.2");
    assert!(project.read("kiln.lock").ends_with("tool \"mytool\" version=\"1.24.2\"\n"));
    project.kiln(&["run", "--frozen", "t"]).ends(0);
    let locked = digest();
    assert_ne!(locked, unlocked, "the pin is part of the plan");

    // The program is the same file; what it starts is not.
    install(&project, "mytool 1.25.0\n");
    project.kiln(&["plan", "t"]).ends(0).says("lock::tool").says("1.25.0 here").says("run");
    project.kiln(&["why", "t"]).ends(0).says("1.24.2").says("1.25.0");
    project.kiln(&["run", "--frozen", "t"]).ends(3).says("lock::tool");
    assert_eq!(digest(), locked, "the machine is no part of the plan");
    project.kiln(&["lock"]).ends(0).says("current");
    project.kiln(&["lock", "--update", "mytool"]).ends(0).says("1.25.0");
    project.kiln(&["run", "--frozen", "t"]).ends(0);
    assert_eq!(project.read("out"), "mytool 1.25.0\n");
    assert_ne!(digest(), locked);
}

#[test]
fn a_tool_that_the_plan_does_not_take_stops_what_needs_it_before_anything_runs() {
    let project = with_tool(">=2");
    for words in [&["run", "t"][..], &["plan", "t"], &["lock"]] {
        project.kiln(words).ends(5).says("tool::version").says("`mytool` is 1.24.2 here").says("build.kdl:2:");
    }
    project.kiln(&["run", "other"]).ends(0);
    install(&project, "no number\n");
    project.kiln(&["run", "t"]).ends(5).says("tool::check").says("printed no version");
    project.remove("../bin/mytool");
    project.kiln(&["run", "t"]).ends(5).says("tool::check");
    project.kiln(&["check"]).ends(0);
}

#[test]
fn a_tool_is_asked_for_its_version_once_per_command() {
    let project = with_tool(">=1.24, <2");
    project.script("../bin/mytool", "#!/bin/sh\necho \"$*\" >>\"${0%/*}/asked\"\ncat \"${0%/*}/real\"\n");
    for words in [&["plan", "t"][..], &["why", "t"], &["run", "t"]] {
        project.write("../bin/asked", "");
        project.kiln(words).ends(0);
        let asked = project.read("../bin/asked");
        assert_eq!(asked.lines().filter(|line| !line.is_empty()).count(), 1, "{words:?}: {asked:?}");
    }
}

#[test]
fn an_image_is_not_loaded_with_a_tool_that_the_plan_does_not_take() {
    let project = with_tool(">=2");
    let plan = project.read("build.kdl");
    project.write("build.kdl", plan + "image \"web\" { copy \"out\" \"/out\" }\n");
    project.kiln(&["load", "web"]).ends(5).says("tool::version");
    assert!(!project.has("out"));
}

#[test]
fn a_tool_that_only_another_profile_needs_is_pinned_where_it_is_found() {
    let project = with_tool(">=1.24, <2");
    let plan = project.read("build.kdl").replace("task \"t\" {", "profile far\ntask \"t\" { when \"${profile == 'far'}\";");
    project.write("build.kdl", plan);
    project.kiln(&["lock"]).ends(0).says("1.24.2");
    let text = project.read("kiln.lock");
    project.remove("../bin/mytool");
    project.kiln(&["lock"]).ends(0).says("current");
    project.kiln(&["lock", "--update"]).ends(0).says("lock::left-out").says("current");
    assert_eq!(project.read("kiln.lock"), text);
    project.kiln(&["--profile", "far", "lock", "--update"]).ends(5).says("tool::check");
}

#[test]
fn what_the_page_about_the_lock_shows_is_read_as_it_says() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lock.md")).unwrap();
    let blocks: Vec<&str> = page.split("```kdl\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [plan, lock] = blocks.as_slice() else { panic!("{blocks:?}") };
    let project = Project::new(plan);
    project.write("kiln.lock", lock);
    project.kiln(&["check"]).ends(0);
    let source = std::sync::Arc::new(kiln::base::diagnostic::Source { name: "kiln.lock".into(), text: (*lock).to_owned() });
    assert_eq!(kiln::plan::lock::read(&kiln::syntax::parse(source).unwrap()).unwrap().to_string(), *lock);
}
