//! What a plan describes and a run does not carry out by itself: services, networks, volumes, and what containers may do.

use std::collections::BTreeMap;

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
