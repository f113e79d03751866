//! What a plan describes and a run does not carry out by itself: services, networks, volumes, and what containers may do.

use std::collections::BTreeMap;

use crate::layouts;
use crate::parts::there;
use crate::project::Project;

/// A plan with everything that a service may have.
const SERVICES: &str = r##"kiln 1
project "shop" {
    doc "two services and a task that looks at one"
}
network "backend" {
    driver "bridge"
    internal
    mtu 9000
    option "com.docker.network.bridge.name" "shop0"
    label team="data"
}
volume "data" {
    driver "local"
    option type="nfs"
    label keep="yes"
    backups keep=7 within="30d"
}
policy "strict" {
    deny root-user
}
service "db" {
    doc "the database"
    image "postgres:17.6"
    env POSTGRES_DB="shop" POSTGRES_USER="shop"
    volume "data" "/var/lib/postgresql/data"
    tmpfs "/tmp" size="64MiB"
    network "backend"
    healthcheck run "pg_isready -U shop" interval="5s" retries=10
    memory "512MiB"
    cpus 1.5
    pids 200
    restart unless-stopped
    stop-signal "SIGINT"
    stop-grace "30s"
}
service "app" {
    doc "the shop itself"
    needs "db"
    image "ghcr.io/acme/shop:1.2"
    exec "serve" "--port" "8000"
    port 8000 host=8443
    port "9000-9002" host="any" address="0.0.0.0"
    network "backend" "edge"
    mount "certs/" "/app/certs" read-only
    socket "docker" path="/run/docker.sock"
    user "1000:1000"
    read-only
    cap-drop ALL
    cap-add net_bind_service
    label role="web"
    policy "strict"
    restart on-failure times=3
}
network "edge"
task "whoami" {
    exec-in "app"
    run "[ $(whoami) = app ]"
}
"##;

fn digest(plan: &str) -> String {
    let ran = Project::new(plan).kiln(&["plan", "--digest"]).ends(0);
    ran.out.trim().to_owned()
}

#[test]
fn services_are_listed_planned_and_drawn_like_every_other_target() {
    let project = Project::new(SERVICES);
    project.kiln(&["check"]).ends(0);
    project.kiln(&[]).ends(0).says("services").says("the database").says("the shop itself");
    project.kiln(&["plan", "whoami"]).ends(0).says("db/up").says("app/up").says("whoami");
    project.kiln(&["graph", "--format", "mermaid"]).ends(0).says("app/up");
}

#[test]
fn a_run_that_needs_a_service_is_refused_before_anything_runs() {
    let project = Project::new(
        &SERVICES
            .replace("task \"whoami\" {", "task \"before\" {\n    run \"echo ran >>../ran\"\n}\ntask \"whoami\" {\n    needs \"before\""),
    );
    let ran = project.kiln(&["run", "whoami"]).ends(3);
    assert_eq!(ran.err.matches("run::not-yet").count(), 3, "{}", ran.err);
    ran.says("starting the service `db`").says("starting the service `app`").says("running `whoami` inside the service `app`");
    assert_eq!(project.ran(), Vec::<String>::new());
    project.kiln(&["run", "before"]).ends(0);
    assert_eq!(project.ran(), ["ran"]);
}

#[test]
fn services_that_need_each_other_are_a_circle_with_every_place() {
    let circle = SERVICES.replace("    doc \"the database\"\n", "    doc \"the database\"\n    needs \"app\"\n");
    let ran = Project::new(&circle).kiln(&["check"]).ends(3);
    ran.says("plan::circle").says("app/up").says("db/up");
}

/// Every edit of the plan and whether it changes what the plan is.
const EDITS: &[(&str, &str, bool)] = &[
    ("\"bridge\"", "\"macvlan\"", true),
    ("    internal\n", "", true),
    ("mtu 9000", "mtu 1500", true),
    ("shop0", "shop1", true),
    ("team=\"data\"", "team=\"web\"", true),
    ("driver \"local\"", "driver \"nfs\"", true),
    ("type=\"nfs\"", "type=\"tmpfs\"", true),
    ("keep=\"yes\"", "keep=\"no\"", true),
    ("deny root-user", "warn root-user", true),
    ("postgres:17.6", "postgres:17.7", true),
    ("POSTGRES_DB=\"shop\"", "POSTGRES_DB=\"shop2\"", true),
    ("\"/var/lib/postgresql/data\"", "\"/var/lib/pg\"", true),
    ("size=\"64MiB\"", "size=\"65MiB\"", true),
    ("pg_isready -U shop", "pg_isready", true),
    ("interval=\"5s\"", "interval=\"6s\"", true),
    ("512MiB", "513MiB", true),
    ("cpus 1.5", "cpus 2", true),
    ("pids 200", "pids 201", true),
    ("unless-stopped", "always", true),
    ("SIGINT", "SIGTERM", true),
    ("\"30s\"", "\"31s\"", true),
    ("8443", "8444", true),
    ("host=\"any\" ", "", true),
    ("\"0.0.0.0\"", "\"127.0.0.1\"", true),
    ("\"backend\" \"edge\"", "\"backend\"", true),
    ("\"/app/certs\" read-only", "\"/app/certs\"", true),
    ("mount \"certs/\"", "mount \"cert/\"", true),
    ("/run/docker.sock", "/run/podman.sock", true),
    ("1000:1000", "1001:1000", true),
    ("    read-only\n", "", true),
    ("cap-drop ALL", "cap-drop NET_RAW", true),
    ("net_bind_service", "sys_time", true),
    ("role=\"web\"", "role=\"api\"", true),
    ("    policy \"strict\"\n", "", true),
    ("times=3", "times=4", true),
    ("\"--port\" \"8000\"", "\"--port=8000\"", true),
    ("    needs \"db\"\n", "", true),
    ("exec-in \"app\"", "exec-in \"db\"", true),
    // The same thing said in another way, and what says nothing about a step.
    ("net_bind_service", "CAP_NET_BIND_SERVICE", false),
    ("the database", "a database", false),
    ("keep=7", "keep=8", false),
    ("cap-drop ALL", "cap-drop all", false),
    ("port 8000 host=8443", "port 8000 host=8443 address=\"127.0.0.1\"", false),
];

#[test]
fn everything_that_a_service_is_enters_the_plan_digest_and_nothing_else_does() {
    let before = digest(SERVICES);
    let mut seen = BTreeMap::from([(before.clone(), "the plan itself")]);
    for (from, to, changes) in EDITS {
        assert!(SERVICES.contains(from), "{from}");
        let after = digest(&SERVICES.replacen(from, to, 1));
        assert_eq!(after != before, *changes, "{from} → {to}");
        if *changes && let Some(other) = seen.insert(after, from) {
            panic!("{from} → {to} gives the digest of {other}");
        }
    }
}

#[test]
fn the_reference_release_is_eighteen_lines_and_what_it_asks_for_in_vain_is_named() {
    let project = Project::example("reference");
    assert!(project.read("build.kdl").lines().count() <= 18);
    project.kiln(&["check"]).ends(0).says("4 targets, 26 steps");
    project.commit().git(&["tag", "v1.4.2"]);
    project.kiln(&["run", "api"]).ends(3).says("vulnerabilities of severity `high`");
    assert!(!project.has("dist"), "nothing was started");
}

/// An image of one file in a layout, with what the test adds.
fn image(more: &str) -> Project {
    let head = "kiln 1\nregistry out \"oci:dist\" {\n    immutable \"v*\" \"1.*.*\"\n}\n";
    let project = Project::new(&format!("{head}{more}"));
    project.write("x", "one").write("y", "two").script("z", "#!/bin/sh\n");
    project
}

#[test]
fn a_tag_that_may_not_move_stands_and_the_rest_of_its_release_with_it() {
    let project = image("image web {\n    copy x \"/x\"\n    tag \"v1\" \"latest\" semver=\"1.2.3\"\n    push out\n}\n");
    project.kiln(&["run", "web"]).ends(0);
    let before = layouts::index(&project, "dist/web");
    project.kiln(&["run", "web"]).ends(0);
    project.write("x", "changed");
    project.kiln(&["run", "web"]).ends(4).says("may not move to").says("no tag was moved");
    assert_eq!(layouts::index(&project, "dist/web"), before);
    // `1.2`, `1` and `latest` lead to the newest release, so they move.
    let plan = project.read("build.kdl").replace("\"v1\" ", "").replace("1.2.3", "1.2.4");
    project.write("build.kdl", plan);
    project.kiln(&["run", "web"]).ends(0);
    assert!(layouts::tags(&project, "dist/web").into_keys().eq(["1", "1.2", "1.2.3", "1.2.4", "latest", "v1"]));
}

#[test]
fn a_squashed_image_has_one_layer_and_the_upper_file_counts() {
    let copies = "copy x \"/a/file\"\n    copy y \"/b\"\n    copy z \"/a/file\"\n";
    let plan = |squash: &str| format!("image web {{\n    {copies}    {squash}\n    tag t\n    push out\n}}\n");
    let layers = |project: &Project| {
        project.kiln(&["run", "web"]).ends(0);
        let manifest = layouts::document(project, "dist/web", &layouts::index(project, "dist/web")["manifests"][0]);
        let config = layouts::document(project, "dist/web", &manifest["config"]);
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), manifest["layers"].as_array().unwrap().len());
        manifest["layers"].as_array().unwrap().clone()
    };
    assert_eq!(layers(&image(&plan(""))).len(), 3);
    let squashed = layers(&image(&plan("squash")));
    let same = image("image web {\n    copy y \"/b\"\n    copy z \"/a/file\"\n    squash\n    tag t\n    push out\n}\n");
    assert_eq!(squashed, layers(&same), "what lies below is not in it");
}

/// What an image's documents say, layer by layer.
fn documents(project: &Project) -> (serde_json::Value, serde_json::Value) {
    project.kiln(&["run", "web"]).ends(0);
    let manifest = layouts::document(project, "dist/web", &layouts::index(project, "dist/web")["manifests"][0]);
    let config = layouts::document(project, "dist/web", &manifest["config"]);
    (manifest, config)
}

#[test]
fn an_image_is_packed_and_named_as_its_plan_says() {
    let plan =
        |more: &str| image(&format!("image web {{\n    copy x \"/x\"\n    copy z \"/z\"\n    {more}\n    tag t\n    push out\n}}\n"));
    let types = |manifest: &serde_json::Value| {
        let layers = manifest["layers"].as_array().unwrap().iter().map(|layer| layer["mediaType"].as_str().unwrap().to_owned());
        let all = [&manifest["mediaType"], &manifest["config"]["mediaType"]].map(|own| own.as_str().unwrap().to_owned());
        let all: Vec<String> = all.into_iter().chain(layers).collect();
        all.iter().map(|own| own.trim_start_matches("application/vnd.").to_owned()).collect::<Vec<_>>()
    };
    let (usual, of_usual) = documents(&plan(""));
    let (zstd, of_zstd) = documents(&plan("compress zstd"));
    let (docker, of_docker) = documents(&plan("media docker"));
    let [manifest, config, gzip] = ["oci.image.manifest.v1+json", "oci.image.config.v1+json", "oci.image.layer.v1.tar+gzip"];
    assert_eq!(types(&usual), [manifest, config, gzip, gzip]);
    let packed = "oci.image.layer.v1.tar+zstd";
    assert_eq!(types(&zstd), [manifest, config, packed, packed]);
    let gzip = "docker.image.rootfs.diff.tar.gzip";
    assert_eq!(types(&docker), ["docker.distribution.manifest.v2+json", "docker.container.image.v1+json", gzip, gzip]);
    // The content is the same, so is what containers are made of.
    assert_eq!((&of_zstd, &of_docker), (&of_usual, &of_usual));
    assert_eq!(docker["layers"][0]["digest"], usual["layers"][0]["digest"]);
    assert_ne!(zstd["layers"][0]["digest"], usual["layers"][0]["digest"]);
    let both = plan("media docker\n    platforms amd64 arm64");
    both.kiln(&["run", "web"]).ends(0);
    let list = layouts::document(&both, "dist/web", &layouts::index(&both, "dist/web")["manifests"][0]);
    assert_eq!(list["mediaType"], "application/vnd.docker.distribution.manifest.list.v2+json");
    assert_eq!(list["manifests"][1]["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
}

#[test]
fn copies_of_one_layer_lie_in_it_and_the_later_one_counts() {
    let plan = |copies: &str| image(&format!("image web {{\n{copies}    tag t\n    push out\n}}\n"));
    let together =
        plan("    copy y \"/y\"\n    layer {\n        copy x \"/a/b\"\n        copy x \"/a/c\"\n        copy y \"/a/b\"\n    }\n");
    let (manifest, config) = documents(&together);
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
    assert_eq!(config["history"][1]["created_by"], "copy x /a/b, copy x /a/c, copy y /a/b");
    let (same, _) = documents(&plan("    copy y \"/y\"\n    layer {\n        copy y \"/a/b\"\n        copy x \"/a/c\"\n    }\n"));
    assert_eq!(manifest["layers"], same["layers"]);
    // A change in the upper layer leaves the lower one as it is.
    together.write("x", "changed");
    let (after, _) = documents(&together);
    assert_eq!(after["layers"][0], manifest["layers"][0]);
    assert_ne!(after["layers"][1], manifest["layers"][1]);
}

#[test]
fn files_of_another_image_come_with_their_modes_and_owners() {
    let plan = "image tools {\n    copy z \"/opt/bin/tool\" owner=\"7:8\"\n    copy x \"/opt/lib/one.so\" mode=\"0600\"\n    copy y \"/opt/lib/two.so\"\n    \
                copy l \"/usr\"\n}\n\
                image web {\n    from scratch\n    copy \"/usr/bin/tool\" \"/tool\" from=\"tools\"\n    \
                copy \"/opt/lib/*.so\" \"!/opt/lib/two.so\" \"/lib/\" from=\"tools\" owner=\"3:4\"\n    copy x \"/x\"\n    tag t\n    push out\n}\n";
    let project = image(plan);
    std::os::unix::fs::symlink("opt", project.path("l")).unwrap();
    project.kiln(&["run", "web"]).ends(0);
    let listed = || {
        let answer = project.kiln(&["inspect", "oci:dist/web:t", "--files", "--json"]).ends(0).out;
        let view: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let files = view["platforms"][0]["files"].as_array().unwrap().clone();
        let line =
            |file: &serde_json::Value| format!("{} {} {} {}", file["path"], file["mode"], file["owner"], file["layer"]).replace('"', "");
        files.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(listed(), ["/lib 0755 3:4 2", "/lib/one.so 0600 3:4 2", "/tool 0755 7:8 1", "/x 0644 0:0 3"]);
    // What the other image holds is what counts.
    project.script("z", "#!/bin/sh\n# new\n").kiln(&["run", "web"]).ends(0).says("tools/build");
    project.write("build.kdl", project.read("build.kdl").replace("\"/usr/bin/tool\" \"/tool\"", "\"/usr/bin/none\" \"/tool\""));
    project.kiln(&["run", "web"]).ends(1).says("no file matches `usr/bin/none`");
    project.write("build.kdl", project.read("build.kdl").replace("from=\"tools\"", "from=\"toolz\""));
    project.kiln(&["check"]).ends(3).says("`toolz` is not an image of the plan").says("did you mean `tools`?");
}

#[test]
fn every_field_of_a_config_says_what_the_plan_says() {
    let fields = "from scratch\n    env A=\"1\"\n    user \"1:2\"\n    workdir \"/w\"\n    expose 80 \"53/udp\"\n    volume \"/v\"\n    \
         label a=\"b\"\n    healthcheck exec \"/x\" interval=\"5s\" retries=3\n    stop-signal SIGINT\n    entrypoint \"/x\"\n    cmd \"y\"\n    \
         author \"Ann <a@example.com>\"\n    shell \"/bin/ash\" \"-ec\"\n    onbuild \"COPY . /src\" \"RUN make\"\n    \
         os-version \"10.0.20348.169\"\n    os-feature \"win32k\"\n    platforms arm-v7 arm64";
    let project = image(&format!("image web {{\n    {fields}\n    copy x \"/x\"\n    tag t\n    push out\n}}\n"));
    project.commit();
    project.kiln(&["run", "web"]).ends(0);
    let list = layouts::document(&project, "dist/web", &layouts::index(&project, "dist/web")["manifests"][0]);
    let platform = serde_json::json!({
        "architecture": "arm", "os": "linux", "os.version": "10.0.20348.169", "variant": "v7", "os.features": ["win32k"]
    });
    assert_eq!(list["manifests"][0]["platform"], platform);
    let manifest = layouts::document(&project, "dist/web", &list["manifests"][0]);
    let config = layouts::document(&project, "dist/web", &manifest["config"]);
    let expected = serde_json::json!({
        "created": "2023-11-14T22:13:20Z", "author": "Ann <a@example.com>", "architecture": "arm", "variant": "v7", "os": "linux",
        "os.version": "10.0.20348.169", "os.features": ["win32k"],
        "config": {
            "Env": ["A=1"], "User": "1:2", "WorkingDir": "/w", "ExposedPorts": { "53/udp": {}, "80/tcp": {} }, "Volumes": { "/v": {} },
            "Labels": { "a": "b" }, "Healthcheck": { "Test": ["CMD", "/x"], "Interval": 5_000_000_000_u64, "Retries": 3 },
            "StopSignal": "SIGINT", "Entrypoint": ["/x"], "Cmd": ["y"], "Shell": ["/bin/ash", "-ec"],
            "OnBuild": ["COPY . /src", "RUN make"]
        },
        "rootfs": config["rootfs"], "history": config["history"]
    });
    assert_eq!(config, expected);
}

#[test]
fn a_waiver_holds_until_its_day_and_is_told_with_its_reason() {
    let plan = |until: &str| {
        format!(
            "policy p {{\n    deny root-user\n    waive root-user reason=\"moves to 65532 in May\" until=\"{until}\"\n}}\n\
             image web {{\n    copy x \"/x\"\n    scan policy=p\n    tag t\n    push out\n}}\n"
        )
    };
    image(&plan("9999-12-31")).kiln(&["run", "web"]).ends(0).says("moves to 65532 in May (until 9999-12-31)");
    let ended = image(&plan("2020-02-29"));
    ended.kiln(&["check"]).ends(0).says("plan::waiver-ended").says("this waiver ended on 2020-02-29");
    ended.kiln(&["run", "web"]).ends(4).says("refused root-user");
    assert!(!ended.has("dist"));
}

#[test]
fn tags_come_from_the_day_of_the_commit_and_from_the_pull_request() {
    let mut project = image("image web {\n    copy x \"/x\"\n    tag date pr sha\n    push out\n}\n");
    project.commit();
    project.kiln(&["run", "web"]).ends(0);
    let outside = layouts::tags(&project, "dist/web");
    assert_eq!((outside.len(), outside.contains_key("2023-11-14")), (2, true), "outside a pull request there is no such tag: {outside:?}");
    project.env("GITHUB_REF", "refs/pull/42/merge");
    project.kiln(&["run", "web"]).ends(0);
    assert!(layouts::tags(&project, "dist/web").contains_key("pr-42"));
}

/// What a plan may ask of an image and this kiln cannot do.
#[test]
fn what_an_image_asks_for_in_vain_is_refused_and_nothing_is_left_out() {
    for (node, wish) in [
        ("from \"alpine:3\"\n    run \"true\"", "`run` in an image"),
        ("add \"x.tar\" \"/\"", "`add` in an image"),
        ("dockerfile \"x\"", "building a Dockerfile"),
        ("copy x \"/x\"\n    scan fail=low", "vulnerabilities of severity `low`"),
        ("copy x \"/x\"\n    scan policy=p", "judging the age of a base image"),
        ("copy x \"/x\"\n    scan policy=q", "holding an image against the rule `no-team`"),
    ] {
        let rules = "policy p {\n    max-age \"90d\"\n}\npolicy q {\n    rule \"no-team\" { where \"label.team\" set=#false; }\n    \
                     rule \"of-services\" { where \"memory\" set=#false; }\n}\n";
        let project = image(&format!("{rules}image web {{\n    {node}\n}}\n"));
        project.write("x.tar", "");
        project.kiln(&["check"]).ends(0);
        let ran = project.kiln(&["run", "web"]).ends(3);
        assert_eq!(ran.err.matches("run::not-yet").count(), 1, "{node}: {}", ran.err);
        ran.says(wish);
    }
}

/// A plan with everything that an image may have, and edits that change what it is, or do not.
const IMAGE: &str = r#"kiln 1
registry r "ghcr.io/acme" {
    immutable "v*"
    prune keep=10 within="30d" untagged=#true
}
policy p {
    max-age "90d" warn
    rule "external" deny severity="high" {
        doc "no external network"
        where "label.external" is="true"
        where "port" not="80/tcp"
    }
    waive "CVE-2026-1" reason="not reachable" until="2099-01-01"
}
image web {
    from "alpine@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    copy x "/x"
    run "adduser -D app"
    add "https://example.com/a.tar" "/opt/" sha256="0000000000000000000000000000000000000000000000000000000000000001"
    squash
    compress zstd
    author "Ann"
    shell "/bin/ash" "-ec"
    onbuild "COPY . /src"
    os-version "10.0.20348.169"
    os-feature "win32k"
    layer {
        copy x "/a"
        copy x "/b"
    }
    copy "/etc/x" "/" from="file"
    scan policy=p fail=high
    tag "v1"
    push r { sign; }
    prune keep=3
}
image old {
    media docker
    copy x "/x"
}
image file {
    dockerfile "Dockerfile" context="app/" target="prod" {
        arg VERSION="1"
        secret "token"
        ssh "default"
        cache-from "ghcr.io/acme/cache:1"
        cache-to "ghcr.io/acme/cache:1"
    }
    label team="web"
}
"#;

const IMAGE_EDITS: &[(&str, &str, bool)] = &[
    ("immutable \"v*\"", "immutable", true),
    ("max-age \"90d\"", "max-age \"91d\"", true),
    ("\"90d\" warn", "\"90d\"", true),
    ("\"external\" deny", "\"outside\" deny", true),
    ("deny severity", "warn severity", true),
    ("severity=\"high\"", "severity=\"low\"", true),
    ("no external network", "no outside network", true),
    ("label.external", "env.external", true),
    ("is=\"true\"", "has=\"true\"", true),
    ("not=\"80/tcp\"", "not=\"81/tcp\"", true),
    ("CVE-2026-1", "CVE-2026-2", true),
    ("not reachable", "reachable", true),
    ("2099-01-01", "2099-01-02", true),
    ("adduser -D app", "adduser -D web", true),
    ("example.com", "example.org", true),
    ("\"/opt/\"", "\"/srv/\"", true),
    ("0001\"", "0002\"", true),
    ("    squash\n", "", true),
    ("compress zstd", "compress gzip", true),
    ("    compress zstd\n", "", true),
    ("from=\"file\"", "from=\"old\"", true),
    ("from=\"file\"", "from=\"ghcr.io/acme/tools:1\"", true),
    ("from=\"file\"", "from=\"oci:layout:1\"", true),
    ("\"/etc/x\"", "\"/etc/y\"", true),
    ("\"Ann\"", "\"Eve\"", true),
    ("\"/bin/ash\" \"-ec\"", "\"/bin/ash\" \"-e\" \"-c\"", true),
    ("COPY . /src", "COPY . /app", true),
    ("20348.169", "20348.170", true),
    ("win32k", "win64k", true),
    ("    layer {\n        copy x \"/a\"\n        copy x \"/b\"\n    }\n", "    copy x \"/a\"\n    copy x \"/b\"\n", true),
    ("media docker", "media oci", true),
    ("fail=high", "fail=critical", true),
    ("sign;", "sbom;", true),
    ("\"Dockerfile\"", "\"Containerfile\"", true),
    ("context=\"app/\"", "context=\"web/\"", true),
    ("target=\"prod\"", "target=\"dev\"", true),
    ("VERSION=\"1\"", "VERSION=\"2\"", true),
    ("secret \"token\"", "secret \"other\"", true),
    ("ssh \"default\"", "ssh \"other\"", true),
    // What is cleared away later, and where layers may come from, change no image.
    ("prune keep=3", "prune keep=4", false),
    ("prune keep=10", "prune keep=11", false),
    ("cache-from \"ghcr.io/acme/cache:1\"", "cache-from \"ghcr.io/acme/cache:2\"", false),
];

#[test]
fn everything_that_an_image_is_enters_the_plan_digest() {
    let digest = |plan: &str| {
        let project = Project::new(plan);
        for file in ["x", "layout/x", "Dockerfile", "Containerfile", "app/a", "web/a"] {
            project.write(file, "FROM scratch AS prod\nFROM scratch AS dev\n");
        }
        project.kiln(&["plan", "--digest"]).ends(0).out
    };
    let before = digest(IMAGE);
    for (from, to, changes) in IMAGE_EDITS {
        assert!(IMAGE.contains(from), "{from}");
        assert_eq!(digest(&IMAGE.replacen(from, to, 1)) != before, *changes, "{from} → {to}");
    }
}

/// Every plan of `plans/` that has a fixture, with the number of its warnings.
const PLANS: &[(&str, usize)] = &[
    ("reference", 0),
    ("hello", 0),
    ("tasks", 0),
    ("mgit", 0),
    ("dockerutilities", 0),
    ("runnerhub", 0),
    ("dashtam", 0),
    ("fastapi-acr", 0),
];

#[test]
fn the_plans_of_all_systems_are_sound() {
    for (name, warnings) in PLANS {
        let project = Project::example(name);
        let ran = project.kiln(&["check"]).ends(0).says("is sound");
        assert_eq!(ran.err.matches("plan::").count(), *warnings, "{name}: {}", ran.err);
        project.kiln(&["list"]).ends(0);
        project.kiln(&["graph"]).ends(0);
    }
}

/// What people write beside the examples.
fn write_env_files(project: &Project) {
    for name in ["dev", "test", "prod"] {
        project.write(&format!("env/.env.{name}"), "POSTGRES_PASSWORD='not a secret'\n");
    }
}

#[test]
fn what_the_systems_check_today_they_check() {
    if !there(&["python3", "git", "sh"]) {
        return;
    }
    for name in ["runnerhub", "dashtam", "fastapi-acr"] {
        let mut project = Project::example(name);
        if name == "dashtam" {
            write_env_files(&project);
        }
        project.commit();
        let path = std::env::var("PATH").unwrap();
        project.script("tools/terraform", "#!/bin/sh\necho shop.azurecr.io\n");
        project.env("PATH", &format!("{}:{path}", project.path("tools").display()));
        project.kiln(&["run", "check"]).ends(0);
        project.kiln(&["run", "check"]).ends(0).never_says("FAILED");
    }
    let runners = Project::example("runnerhub");
    runners.commit();
    runners.kiln(&["run", "runner"]).ends(0).says("1 layer");
    assert_eq!(layouts::tags(&runners, "dist/runner").len(), 2);
}

#[test]
fn a_dependency_outside_the_lock_file_fails_the_check_that_looks_for_it() {
    if !there(&["python3"]) {
        return;
    }
    let project = Project::example("dashtam");
    project.kiln(&["run", "locked"]).ends(0);
    project.kiln(&["plan", "api"]).ends(3).says("`env/.env.dev.example` is an example of it");
    write_env_files(&project);
    project.write("pyproject.toml", project.read("pyproject.toml").replace("\"uvicorn\"", "\"uvicorn\", \"redis\""));
    project.kiln(&["run", "locked"]).ends(1).says("not in uv.lock: redis");
}

#[test]
fn an_environment_changes_what_its_profile_says_and_the_stage_must_be_one_of_the_dockerfile() {
    let project = Project::example("dashtam");
    write_env_files(&project);
    let digest = |profile: &str| project.kiln(&["--profile", profile, "plan", "--digest"]).ends(0).out;
    let digests: std::collections::BTreeSet<String> = ["dev", "test", "ci", "prod"].map(digest).into();
    assert_eq!(digests.len(), 4);
    assert_eq!(project.kiln(&["plan", "--digest"]).ends(0).out, digest("dev"), "dev is what counts without a profile");
    project.write("docker/Dockerfile", project.read("docker/Dockerfile").replace("AS production", "AS live"));
    project.kiln(&["--profile", "prod", "check"]).ends(3).says("has no stage `production`");
    project.kiln(&["check"]).ends(0);
    project.kiln(&["run", "app"]).ends(3).says("building a Dockerfile");
}

/// The keys of all steps of these targets, by name.
fn keys(project: &Project, targets: &[&str]) -> BTreeMap<String, String> {
    let words: Vec<&str> = ["plan", "--keys", "--json"].into_iter().chain(targets.iter().copied()).collect();
    let answer: serde_json::Value = serde_json::from_str(&project.kiln(&words).ends(0).out).unwrap();
    let steps = answer["steps"].as_array().unwrap().iter();
    let keys: BTreeMap<String, String> =
        steps.filter_map(|step| Some((step["step"].as_str()?.to_owned(), step["key"].as_str()?.to_owned()))).collect();
    assert!(keys.len() >= targets.len(), "{answer}");
    keys
}

#[test]
fn the_shell_at_the_top_is_that_of_every_task_that_names_none_and_of_no_included_file() {
    let plan = |top: &str| {
        format!(
            "kiln 1\n{top}include \"ci/build.kdl\" as=\"ci\"\ntask \"a\" {{ run \"echo $0 $- >>../ran\"; }}\n\
             task \"b\" {{ shell \"sh\" \"-c\"; run \"echo $0 $- >>../ran\"; }}\n"
        )
    };
    let project = Project::new(&plan("shell \"sh\" \"-euc\"\n"));
    project.write("ci/build.kdl", "kiln 1\ntask \"c\" { run \"echo $0 $- >>../../ran\"; }\n");
    let before = (keys(&project, &["a"]), keys(&project, &["b", "ci:c"]));
    for (target, options) in [("a", "eu"), ("b", ""), ("ci:c", "e")] {
        project.kiln(&["run", target]).ends(0);
        let ran = project.ran();
        let said = ran[0].split(' ').nth(1).unwrap_or_default();
        for option in ['e', 'u'] {
            assert_eq!(said.contains(option), options.contains(option), "{target}: {ran:?}");
        }
    }
    project.write("build.kdl", plan(""));
    assert_ne!(keys(&project, &["a"]), before.0, "the shell is part of the key");
    assert_eq!(keys(&project, &["b", "ci:c"]), before.1);
}

#[test]
fn the_weights_of_a_pool_bound_what_runs_together_and_are_in_no_key() {
    let task = |n: u32, pool: &str| {
        format!("task \"t{n}\" {{ {pool} run \"mkdir busy || echo together >>../ran; sleep 0.1; rmdir busy; echo t{n} >>../ran\"; }}\n")
    };
    let plan = |pool: &str| {
        let tasks: String = (0..4).map(|n| task(n, pool)).collect();
        format!("kiln 1\npool \"link\" 3\n{tasks}group \"all\" t0 t1 t2 t3\n")
    };
    let project = Project::new(&plan("pool \"link\" weight=2;"));
    project.kiln(&["run", "-j", "4", "all"]).ends(0);
    let mut ran = project.ran();
    ran.sort();
    assert_eq!(ran, ["t0", "t1", "t2", "t3"]);
    let before = keys(&project, &["all"]);
    project.write("build.kdl", plan("pool \"link\";"));
    assert_eq!(keys(&project, &["all"]), before);
}

#[test]
fn a_sandbox_at_the_top_is_that_of_all_tasks_that_do_not_say_it_themselves() {
    let plan = |top: &str, own: &str| format!("kiln 1\n{top}task \"a\" {{ {own}outputs \"o\"; run \"ls -A >o\"; }}\n");
    let project = Project::new(&plan("sandbox \"strict\"\n", ""));
    project.kiln(&["run", "a"]).ends(0);
    assert_eq!(project.read("o"), "o\n", "the plan itself is no input");
    project.write("build.kdl", plan("sandbox \"strict\"\n", "sandbox \"off\"; "));
    project.kiln(&["run", "a"]).ends(0);
    assert_eq!(project.read("o"), "build.kdl\no\n");
    let before = keys(&project, &["a"]);
    project.write("build.kdl", plan("", ""));
    assert_eq!(keys(&project, &["a"]), before, "`off` is what there is without it");
    project.write("build.kdl", plan("sandbox \"strict\"\n", ""));
    assert_ne!(keys(&project, &["a"]), before);
}
