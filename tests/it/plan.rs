//! Plans: broken ones give exactly the faults marked in them, good ones give what they say.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln::base::diagnostic::{Diagnostic, Diagnostics, Severity, Source, Span};
use kiln::base::id::TargetName;
use kiln::base::path::RelPath;
use kiln::base::time::Day;
use kiln::plan::facts::{CiFact, CommandError, FactError, Facts, GitFact};
use kiln::plan::image::{Elsewhere, Health, ImageDef, Origin};
use kiln::plan::include::Loaded;
use kiln::plan::isolation::Network;
use kiln::plan::policy::Level;
use kiln::plan::target::{FileSet, TargetKind, TaskCell};
use kiln::plan::{Overrides, Resolved, explain, resolve};
use kiln::syntax;
use kiln::syntax::document::Document;

/// Text → document.
fn parse(source: Arc<Source>) -> Document {
    let name = source.name.clone();
    syntax::parse(source).unwrap_or_else(|faults| panic!("{name}: {faults:?}"))
}

/// Answers from a list, and counts what is asked.
pub struct Fake {
    answers: BTreeMap<&'static str, &'static str>,
    pub asked: RefCell<Vec<String>>,
}

impl Fake {
    pub fn new(answers: &[(&'static str, &'static str)]) -> Self {
        Self { answers: answers.iter().copied().collect(), asked: RefCell::default() }
    }

    pub fn repository() -> Self {
        Self::new(&[
            ("git.sha", "1a2b3c4d5e6f708192a3b4c5d6e7f80911223344"),
            ("git.short", "1a2b3c4d5e6f"),
            ("git.branch", "feature/New_Login"),
            ("git.version", "1.4.2"),
            ("git.time", "1700000000"),
            ("env.HOME", "/home/ann"),
            ("file:docker/Dockerfile", "FROM alpine AS base\nFROM base AS production\n"),
            ("file:docker/Plain", "FROM alpine\n"),
        ])
    }

    fn answer(&self, name: String) -> Option<String> {
        let answer = self.answers.get(name.as_str()).map(|answer| (*answer).to_owned());
        self.asked.borrow_mut().push(name);
        answer
    }
}

impl Facts for Fake {
    fn git(&self, what: GitFact) -> Result<Option<String>, FactError> {
        let word = GitFact::ALL.iter().find(|(fact, _, _)| *fact == what).unwrap().1;
        match self.answer(format!("git.{word}")).as_deref() {
            Some("broken") => Err(FactError("fatal: bad object HEAD".to_owned())),
            answer => Ok(answer.map(str::to_owned)),
        }
    }
    fn env(&self, name: &str) -> Option<String> {
        self.answer(format!("env.{name}"))
    }
    fn today(&self) -> Day {
        "2026-11-22".parse().unwrap()
    }
    fn host_os(&self) -> String {
        self.answer("host.os".to_owned()).unwrap_or_else(|| "linux".to_owned())
    }
    fn host_arch(&self) -> String {
        self.answer("host.arch".to_owned()).unwrap_or_else(|| "amd64".to_owned())
    }
    fn ci(&self, what: CiFact) -> Option<String> {
        let word = CiFact::ALL.iter().find(|(fact, _, _)| *fact == what).unwrap().1;
        self.answer(format!("ci.{word}"))
    }
    fn file(&self, path: &RelPath, limit: u64) -> Result<Option<Vec<u8>>, FactError> {
        match self.answer(format!("file:{path}")) {
            Some(content) if content.len() as u64 > limit => Err(FactError(format!("`{path}` is larger than {limit} bytes"))),
            content => Ok(content.map(String::into_bytes)),
        }
    }
    fn command(&self, script: &str, _: u64) -> Result<Vec<u8>, CommandError> {
        let failed = || CommandError { reason: "failed: exit code 1".to_owned(), tail: "no state file".to_owned() };
        self.answer(format!("command:{script}")).map(String::into_bytes).ok_or_else(failed)
    }
}

pub fn load(name: &str, text: &str) -> Loaded {
    Loaded::alone(parse(Arc::new(Source { name: name.to_owned(), text: text.to_owned() })))
}

fn run(text: &str, facts: &Fake, set: &[(&str, &str)]) -> Result<Resolved, Diagnostics> {
    let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    resolve(&load("build.kdl", text), facts, &Overrides { set, ..Overrides::default() })
}

/// `plan::unknown-node 4:5..9`, or `plan::epoch -` for a fault without a place.
pub fn marked(fault: &Diagnostic) -> String {
    let Some(label) = fault.labels.first() else { return format!("{} -", fault.code) };
    let (line, column) = label.span.line_column();
    format!("{} {line}:{column}..{}", fault.code, column + label.span.text().chars().count())
}

fn said(fault: &Diagnostic) -> String {
    let labels: Vec<&str> = fault.labels.iter().map(|label| label.text.as_str()).collect();
    format!("{} | {} | {}", fault.message, labels.join(" | "), fault.help.as_deref().unwrap_or_default())
}

fn fixtures() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/diagnostics/plan");
    let mut found: Vec<(PathBuf, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "kdl"))
        .map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    found.sort();
    found
}

fn compare(name: &str, text: &str) -> Result<(), String> {
    let found = match resolve(&load(name, text), &Fake::repository(), &Overrides::default()) {
        Ok(resolved) => resolved.warnings,
        Err(faults) => faults.sorted(),
    };
    compare_found(name, text, &found)
}

/// Compares the faults of one file with those marked in it, as `//! CODE LINE:COLUMN..END "part" "part"`.
pub fn compare_found(name: &str, text: &str, found: &[Diagnostic]) -> Result<(), String> {
    let mut found: Vec<(String, String)> = found.iter().map(|fault| (marked(fault), said(fault))).collect();
    let mut wrong = Vec::new();
    for line in text.lines().filter_map(|line| line.trim_start().strip_prefix("//! ")) {
        let mut parts = line.split('"');
        let mark = parts.next().unwrap().trim();
        let fragments: Vec<&str> = parts.step_by(2).filter(|part| !part.is_empty()).collect();
        match found.iter().position(|(known, _)| known == mark) {
            None => wrong.push(format!("not given: {line}")),
            Some(index) => {
                let (_, said) = found.remove(index);
                wrong.extend(
                    fragments.iter().filter(|part| !said.contains(**part)).map(|part| format!("{mark} does not say {part:?}: {said}")),
                );
            }
        }
    }
    wrong.extend(found.iter().map(|(mark, said)| format!("not expected: {mark} {said}")));
    if wrong.is_empty() { Ok(()) } else { Err(format!("{name}\n  {}", wrong.join("\n  "))) }
}

#[test]
fn every_broken_plan_gives_exactly_the_faults_marked_in_it() {
    let all = fixtures();
    assert!(all.len() >= 60, "{} fixtures", all.len());
    let wrong: Vec<String> =
        all.iter().filter_map(|(path, text)| compare(&path.file_name().unwrap().to_string_lossy(), text).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_plan_with_five_faults_gives_exactly_five_in_order_of_place() {
    let (_, text) = fixtures().into_iter().find(|(path, _)| path.ends_with("five-faults.kdl")).unwrap();
    let faults = run(&text, &Fake::repository(), &[]).unwrap_err().sorted();
    let lines: Vec<usize> = faults.iter().map(|fault| fault.labels[0].span.line_column().0).collect();
    assert_eq!(lines, [2, 4, 5, 6, 7]);
}

#[test]
fn of_very_many_faults_the_first_are_given_and_the_others_counted() {
    let strange = |count: usize| run(&format!("kiln 1\n{}", "strange\n".repeat(count)), &Fake::repository(), &[]).unwrap_err().sorted();
    assert_eq!(strange(1_000).iter().filter(|fault| fault.code == "plan::unknown-node").count(), 1_000);
    let faults = strange(1_500);
    let last = faults.last().unwrap();
    assert_eq!((faults.len(), marked(last).as_str(), last.message.as_str()), (20, "plan::more -", "1481 more faults in the plan"));
    // Many warnings hide no fault, and stop nothing.
    let alike = |count: usize| (0..count).map(|n| format!("task \"é{n}\" {{ run \"true\" }}\n")).collect::<String>();
    let resolved = run(&format!("kiln 1\n{}", alike(1_200)), &Fake::repository(), &[]).unwrap();
    assert_eq!((resolved.warnings.len(), resolved.warnings[1_000].message.as_str()), (1_001, "200 more warnings in the plan"));
    let faults = run(&format!("kiln 1\n{}strange\n", alike(1_200)), &Fake::repository(), &[]).unwrap_err();
    assert!(faults.sorted().iter().any(|fault| fault.code == "plan::unknown-node"));
}

#[test]
fn every_code_that_the_planner_gives_is_explained_and_every_explained_code_is_shown_by_a_test() {
    let mut given = std::collections::BTreeSet::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !path.ends_with("explain.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            given.extend(text.split("\"plan::").skip(1).map(|rest| format!("plan::{}", rest.split('"').next().unwrap())));
        }
    }
    let explained: std::collections::BTreeSet<String> = explain::CODES.iter().map(|(code, _)| (*code).to_owned()).collect();
    assert_eq!(given, explained);
    let this = [include_str!("plan.rs"), include_str!("values.rs")].concat();
    // Words behind targets are typed, not written.
    let typed = include_str!("args.rs");
    let texts: Vec<String> = fixtures()
        .into_iter()
        .map(|(_, text)| text)
        .chain(crate::include::fixtures().into_iter().flat_map(|(_, files)| files.0.into_values()))
        .collect();
    let shown = |code: &str| {
        texts.iter().any(|text| text.contains(&format!("//! {code} "))) || this.contains(&format!("{code} -")) || typed.contains(code)
    };
    let never: Vec<&String> = explained.iter().filter(|code| !shown(code)).collect();
    assert_eq!(never, Vec::<&String>::new());
}

/// The plan in a few lines: what differs from the defaults, in a fixed order.
pub fn summary(resolved: &Resolved) -> String {
    let mut lines = Vec::new();
    let plan = &resolved.plan;
    for registry in plan.registries.values() {
        lines.push(format!("registry {} {:?}{}", registry.name, registry.place, if registry.insecure { " insecure" } else { "" }));
    }
    for target in plan.targets.values() {
        let names = |list: &[(TargetName, Span)]| list.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(" ");
        let mut head = String::new();
        for (word, list) in [("needs", &target.needs), ("after", &target.after)] {
            if !list.is_empty() {
                head += &format!(" {word}({})", names(list));
            }
        }
        match &target.kind {
            TargetKind::Service(service) => lines.push(format!("service {}{head}: {:?}", target.name, service.image)),
            TargetKind::Group(members) => lines.push(format!("group {}{head}: {}", target.name, names(members))),
            TargetKind::Task(cells) => lines.extend(cells.iter().map(|cell| format!("task {}{head}{}", target.name, task(cell)))),
            TargetKind::Image(defs) => lines.extend(defs.iter().map(|def| format!("image {}{head}{}", target.name, image(def)))),
        }
    }
    lines.join("\n")
}

fn files(set: &FileSet) -> String {
    let patterns = set.include.iter().map(|(pattern, _)| pattern.to_string());
    patterns.chain(set.exclude.iter().map(|(pattern, _)| format!("!{pattern}"))).collect::<Vec<_>>().join(" ")
}

fn task(cell: &TaskCell) -> String {
    let mut line = cell.cell.to_string();
    if let Some(platform) = &cell.platform {
        line += &format!("@{platform}");
    }
    if let Some(inputs) = &cell.inputs {
        line += &format!(" in({})", files(inputs));
    }
    let outputs: Vec<&str> = cell.outputs.iter().map(|output| output.pattern.as_str()).collect();
    if !outputs.is_empty() {
        line += &format!(" out({})", outputs.join(" "));
    }
    let env: Vec<String> = cell.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !env.is_empty() {
        line += &format!(" env({})", env.join(" "));
    }
    for command in &cell.commands {
        line += &format!(" {command:?}");
    }
    line
}

fn image(def: &ImageDef) -> String {
    let mut line = format!("{} as {}", def.cell, def.repository);
    for recipe in &def.platforms {
        let base = match &recipe.base {
            None => "scratch".to_owned(),
            Some(Origin::Elsewhere(Elsewhere::Registry { reference, insecure, .. })) => {
                format!("{reference}{}", if *insecure { " insecure" } else { "" })
            }
            Some(Origin::Elsewhere(Elsewhere::Layout { path, tag, .. })) => format!("oci:{path}:{tag:?}"),
            Some(Origin::Target { name, .. }) => format!("image {name}"),
        };
        let copies: Vec<String> = recipe.copies().map(|copy| format!("{} -> {}", files(&copy.from), copy.to)).collect();
        line +=
            &format!(" @{}({base}; {}; {:?})", recipe.platform, copies.join(", "), recipe.settings.entrypoint.as_deref().unwrap_or(&[]));
    }
    let tags: Vec<String> =
        def.tags.iter().map(|(rule, _)| rule.all().iter().map(ToString::to_string).collect::<Vec<_>>().join(",")).collect();
    let push: Vec<&str> = def.push.iter().map(|push| push.registry.as_str()).collect();
    line += &format!(" scan({}) tag({}) push({})", def.scan.is_some(), tags.join(" "), push.join(" "));
    line
}

#[track_caller]
fn check(text: &str, expected: &str) -> Resolved {
    let resolved = run(text, &Fake::repository(), &[]).unwrap_or_else(|faults| {
        panic!("{}", faults.sorted().iter().map(|fault| format!("{} {}", marked(fault), said(fault))).collect::<Vec<_>>().join("\n"))
    });
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(summary(&resolved).lines().collect::<Vec<_>>(), expected);
    resolved
}

/// The plan that the design promises: two programs, two platforms, scanned, tagged, in two registries.
const RELEASE: &str = include_str!("../../plans/reference.kdl");

#[test]
fn a_whole_release_fits_into_eighteen_lines() {
    assert!(RELEASE.lines().count() <= 18);
    let resolved = check(
        RELEASE,
        r#"
        registry a Remote { host: "ghcr.io", prefix: "acme" }
        registry b Remote { host: "docker.io", prefix: "acme" }
        task compile-api@linux/amd64 in(go.mod go.sum **/*.go) out(dist/linux-amd64/api) env(GOARCH=amd64 OUT=dist/linux-amd64/api bin=api) Script("go build -trimpath -o $OUT ./cmd/$bin")
        task compile-api@linux/arm64 in(go.mod go.sum **/*.go) out(dist/linux-arm64/api) env(GOARCH=arm64 OUT=dist/linux-arm64/api bin=api) Script("go build -trimpath -o $OUT ./cmd/$bin")
        image api as api @linux/amd64(scratch; dist/linux-amd64/api -> /app; ["/app"]) @linux/arm64(scratch; dist/linux-arm64/api -> /app; ["/app"]) scan(true) tag(1.4.2,1.4,1,latest) push(a b)
        task compile-worker@linux/amd64 in(go.mod go.sum **/*.go) out(dist/linux-amd64/worker) env(GOARCH=amd64 OUT=dist/linux-amd64/worker bin=worker) Script("go build -trimpath -o $OUT ./cmd/$bin")
        task compile-worker@linux/arm64 in(go.mod go.sum **/*.go) out(dist/linux-arm64/worker) env(GOARCH=arm64 OUT=dist/linux-arm64/worker bin=worker) Script("go build -trimpath -o $OUT ./cmd/$bin")
        image worker as worker @linux/amd64(scratch; dist/linux-amd64/worker -> /app; ["/app"]) @linux/arm64(scratch; dist/linux-arm64/worker -> /app; ["/app"]) scan(true) tag(1.4.2,1.4,1,latest) push(a b)
        "#,
    );
    assert_eq!(resolved.plan.epoch, 1_700_000_000);
    assert_eq!(resolved.warnings, []);
    let read: Vec<&str> = resolved.facts_read.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(read, ["git.version", "git.releases", "env.SOURCE_DATE_EPOCH", "git.time"]);
}

#[test]
fn values_reach_every_place_that_takes_a_text() {
    check(
        r#"
kiln 1
project "shop" version=1.10 {
    default "all"
}
let go "1.24"
let archs amd64 "arm-v7"
let paths {
    out "dist"
    deep {
        list a b
    }
}
let port 8080
let mode 0755
task "t" {
    platforms "${archs}"
    outputs "${paths.out}/${platform}/x"
    env V="${project.version}" GO="${go}" P="${port + 1}" M="${mode}" ITEM="${paths.deep.list[1]}" B="${git.branch|slug}"
    env L="$${literal} $HOME ${paths.deep.list|join('+')}" VARIANT="${platform.variant|default('none')}"
    exec "echo" "${paths.deep.list}" "${'yes' if platform.arch == 'arm' else 'no'}" 007 1.50 #true
    run "echo ${untouched}"
}
group "all" "t"
"#,
        r#"
        task t@linux/amd64 out(dist/linux-amd64/x) env(B=feature-new_login GO=1.24 ITEM=b L=${literal} $HOME a+b M=0755 P=8081 V=1.10 VARIANT=none) Exec(["echo", "a", "b", "no", "007", "1.50", "true"]) Script("echo ${untouched}")
        task t@linux/arm/v7 out(dist/linux-arm-v7/x) env(B=feature-new_login GO=1.24 ITEM=b L=${literal} $HOME a+b M=0755 P=8081 V=1.10 VARIANT=v7) Exec(["echo", "a", "b", "yes", "007", "1.50", "true"]) Script("echo ${untouched}")
        group all: t
        "#,
    );
}

#[test]
fn a_matrix_has_one_cell_per_combination_with_its_exceptions() {
    check(
        r#"
kiln 1
let extra c d
task "t" {
    matrix {
        bin a b "${extra}"
        os linux windows
        exclude bin=b os=windows
        exclude bin=c
        include bin=e os=plan9
    }
    outputs "out/${os}/${bin}"
    run "make $bin"
}
image "i" name="img-${v}" {
    matrix {
        v "1" "2"
    }
    from "${'base' if v == '1' else 'alpine:3.20'}"
}
image "base" {
    copy "x" "!x/tmp" "/x/" {
        exclude "x/*.log"
    }
}
"#,
        r#"
        task t[bin=a,os=linux] out(out/linux/a) env(bin=a os=linux) Script("make $bin")
        task t[bin=a,os=windows] out(out/windows/a) env(bin=a os=windows) Script("make $bin")
        task t[bin=b,os=linux] out(out/linux/b) env(bin=b os=linux) Script("make $bin")
        task t[bin=d,os=linux] out(out/linux/d) env(bin=d os=linux) Script("make $bin")
        task t[bin=d,os=windows] out(out/windows/d) env(bin=d os=windows) Script("make $bin")
        task t[bin=e,os=plan9] out(out/plan9/e) env(bin=e os=plan9) Script("make $bin")
        image i[v=1] as img-1 @linux/amd64(image base; ; []) scan(false) tag() push()
        image i[v=2] as img-2 @linux/amd64(docker.io/library/alpine:3.20; ; []) scan(false) tag() push()
        image base as base @linux/amd64(scratch; x !x/tmp !x/*.log -> /x/; []) scan(false) tag() push()
        "#,
    );
}

#[test]
fn nested_each_gives_every_combination_its_own_target() {
    check(
        r#"
kiln 1
each bin api worker {
    each kind unit "end-to-end" {
        task "test-${bin}-${kind}" {
            needs "build-${bin}"
            run "go test ./$bin/$kind"
        }
    }
    task "build-${bin}" { run "go build ./$bin"; }
    group "test-${bin}" "test-${bin}-unit" "test-${bin}-end-to-end"
}
"#,
        r#"
        task test-api-unit needs(build-api) env(bin=api kind=unit) Script("go test ./$bin/$kind")
        task test-api-end-to-end needs(build-api) env(bin=api kind=end-to-end) Script("go test ./$bin/$kind")
        task build-api env(bin=api) Script("go build ./$bin")
        group test-api: test-api-unit test-api-end-to-end
        task test-worker-unit needs(build-worker) env(bin=worker kind=unit) Script("go test ./$bin/$kind")
        task test-worker-end-to-end needs(build-worker) env(bin=worker kind=end-to-end) Script("go test ./$bin/$kind")
        task build-worker env(bin=worker) Script("go build ./$bin")
        group test-worker: test-worker-unit test-worker-end-to-end
        "#,
    );
}

#[test]
fn certificates_of_a_registry_lie_where_the_plan_says() {
    let text = "kiln 1\nregistry r \"reg.example.com/a\" {\n    ca \"certs/ca.pem\" \"/etc/ca.pem\"\n    cert \"~/me.pem\"\n    key \"me.key\"\n}\n";
    let resolved = run(text, &Fake::new(&[]), &[]).unwrap();
    let found = &resolved.plan.registries["r"].certificates;
    assert_eq!(found.authorities, ["certs/ca.pem", "/etc/ca.pem"]);
    assert_eq!((found.own.as_deref(), found.key.as_deref()), (Some("~/me.pem"), Some("me.key")));
}

#[test]
fn everything_that_a_task_and_an_image_can_say_is_read() {
    let text = r#"
kiln 1
env CI="1" PATH="/bin"
registry local "oci:dist/images"
registry plain "127.0.0.1:5000" insecure
policy "release" {
    deny root-user secrets
    warn setuid
    max-size "50MiB" warn
    allow "/usr/bin/su" reason="needed by the installer"
}
task "t" {
    doc "all of it"
    after "u"
    inputs "src/" "!src/gen/"
    pass-env TERM PATH
    tools go gcc
    dir "src"
    shell bash
    env CI="2"
    exec "go" "vet"
    timeout "5m"
    retry 2 on="timeout exit:75" delay="2s"
    cpus 2
    memory "1GiB"
    jobserver fifo
    interactive
    allow-failure
    lock "db" "net"
    container {
        image "alpine:3"
        user 1001
        read-only
        network
        memory "512MiB"
        cpus 1.5
        cap-drop ALL
        mount #false
    }
}
task "u" { run "true"; }
image "web" name="shop-web" {
    from "oci:base:v1"
    copy "x" "/x" owner="1001:20" mode=0755
    env A="b"
    user "app:app"
    workdir "/srv"
    expose 8080 "53/udp"
    volume "/data"
    label "org.opencontainers.image.title" "web"
    label b="2" a="1"
    annotation x="y"
    healthcheck exec "/x" "check" interval="5s" retries=3
    stop-signal SIGINT
    entrypoint "/x"
    cmd
    scan policy="release"
    tag sha branch latest
    tag semver="v2.0.0-rc.1"
    push local plain
}
"#;
    let resolved = check(
        text,
        r#"
        registry local Layout(RelPath(dist/images))
        registry plain Remote { host: "127.0.0.1:5000", prefix: "" } insecure
        task t after(u) in(src/ !src/gen/) env(CI=2) Exec(["go", "vet"])
        task u env(CI=1 PATH=/bin) Script("true")
        image web as shop-web @linux/amd64(oci:base:Some("v1"); x -> /x; ["/x"]) scan(true) tag(sha-1a2b3c4d5e6f feature-new_login latest 2.0.0-rc.1) push(local plain)
        "#,
    );
    let plan = &resolved.plan;
    let TargetKind::Task(cells) = &plan.targets[&"t".parse::<TargetName>().unwrap()].kind else { panic!() };
    let cell = &cells[0];
    assert_eq!(
        (cell.shell.join(" "), cell.dir.to_string(), cell.retry.times, cell.cpus, cell.memory),
        ("bash -ec".into(), "src".into(), 2, 2, Some(1 << 30))
    );
    assert_eq!(
        (cell.pass_env.join(" "), cell.tools.join(" "), cell.locks.join(" ")),
        ("PATH TERM".into(), "go gcc".into(), "db net".into())
    );
    assert!(cell.interactive && cell.allow_failure && cell.timeout == Some(std::time::Duration::from_secs(300)));
    let container = cell.container.as_ref().unwrap();
    let walls = &container.isolation;
    assert!(walls.read_only && matches!(walls.network, Network::Usual) && !container.mount);
    assert_eq!((walls.memory, walls.cpus, walls.user.as_deref()), (Some(512 << 20), Some(1.5), Some("1001")));
    let TargetKind::Image(defs) = &plan.targets[&"web".parse::<TargetName>().unwrap()].kind else { panic!() };
    let recipe = &defs[0].platforms[0];
    let copy = recipe.copies().next().unwrap();
    assert_eq!((copy.owner, copy.mode), (Some((1001, 20)), Some(0o755)));
    let settings = &recipe.settings;
    assert_eq!((settings.expose.join(" "), settings.cmd.as_deref()), ("8080/tcp 53/udp".into(), Some(&[][..])));
    assert_eq!(settings.labels.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["a", "b", "org.opencontainers.image.title"]);
    assert!(matches!(&settings.healthcheck, Some(Health::Check { retries: Some(3), timeout: None, .. })));
    let policy = &plan.policies["release"];
    let rules: Vec<(&str, Level)> = policy.rules.iter().map(|(rule, level, _)| (rule.word(), *level)).collect();
    assert_eq!(rules, [("root-user", Level::Deny), ("secrets", Level::Deny), ("setuid", Level::Warn), ("max-size", Level::Warn)]);
    assert_eq!(policy.allow[0].pattern.as_str(), "usr/bin/su");
}

#[test]
fn facts_are_asked_only_when_a_value_needs_them() {
    let asked = |text: &str| {
        let facts = Fake::repository();
        run(text, &facts, &[]).unwrap();
        facts.asked.into_inner()
    };
    let none: [&str; 0] = [];
    assert_eq!(asked("kiln 1\nlet unused \"${git.sha} ${env.HOME} ${host.os}\"\ntask a { run \"true\"; }\n"), none);
    assert_eq!(
        asked("kiln 1\nlet v \"${git.sha}\"\ntask a { exec \"${v}\" \"${v}\" \"${git.sha}\" \"${env.HOME}\"; }\n"),
        ["git.sha", "env.HOME"]
    );
    assert_eq!(asked("kiln 1\nparam tier default=dev\ntask a { run \"true\"; }\n"), ["env.KILN_PARAM_TIER"]);
}

#[test]
fn a_param_is_set_by_the_command_line_then_the_environment_then_its_default() {
    let text = "kiln 1\nparam tier default=\"${'d' ~ 'ev'}\" {\n choices dev staging prod\n}\ntask a { exec \"${tier}\"; }\n";
    let value =
        |facts: &Fake, set: &[(&str, &str)]| run(text, facts, set).map(|resolved| resolved.plan.params["tier"].value.clone().unwrap());
    assert_eq!(value(&Fake::new(&[]), &[]).unwrap(), "dev");
    let facts = Fake::new(&[("env.KILN_PARAM_TIER", "staging")]);
    assert_eq!(value(&facts, &[]).unwrap(), "staging");
    assert_eq!(value(&facts, &[("tier", "dev"), ("tier", "prod")]).unwrap(), "prod");
}

#[track_caller]
fn refused(text: &str, facts: &[(&'static str, &'static str)], set: &[(&str, &str)], expected: &[&str]) {
    let faults = run(text, &Fake::new(facts), set).unwrap_err().sorted();
    let marks: Vec<String> = faults.iter().map(|fault| format!("{}: {}", marked(fault), fault.message)).collect();
    assert_eq!(marks, expected);
}

#[test]
fn what_comes_from_outside_is_checked_too() {
    let text = "kiln 1\nlet fixed 1\nparam tier default=dev {\n choices dev prod\n}\ntask a { exec \"${tier}\"; }\n";
    refused(text, &[], &[("tire", "x")], &["plan::unknown-param -: `--set tire=…`: the plan has no param `tire`"]);
    refused(text, &[], &[("fixed", "x")], &["plan::unknown-param -: `--set fixed=…`: the plan has no param `fixed`"]);
    refused(text, &[], &[("tier", "${fixed}")], &["plan::bad-choice 3:7..11: param `tier` cannot be `${fixed}` (from --set)"]);
    refused(
        text,
        &[("env.KILN_PARAM_TIER", "pord")],
        &[],
        &["plan::bad-choice 3:7..11: param `tier` cannot be `pord` (from KILN_PARAM_TIER)"],
    );
    let image = "kiln 1\nimage a { from scratch; }\n";
    refused(
        image,
        &[("env.SOURCE_DATE_EPOCH", "soon")],
        &[],
        &["plan::epoch -: SOURCE_DATE_EPOCH is `soon`, not a number of seconds since 1970"],
    );
    refused(image, &[("git.time", "broken")], &[], &["plan::fact -: the commit's time cannot be read: fatal: bad object HEAD"]);
    refused(image, &[("host.arch", "pdp11")], &[], &["plan::bad-platform -: no platform for images is known for this machine (`pdp11`)"]);
    let text = "kiln 1\ntask a { exec \"${git.sha}\"; }\n";
    refused(text, &[("git.sha", "broken")], &[], &["plan::fact 2:18..25: `git.sha` cannot be read: fatal: bad object HEAD"]);
    refused(text, &[], &[], &["plan::undefined 2:18..25: `git.sha` has no value: this is not a repository with a commit"]);
    let text = "kiln 1\nregistry r \"ghcr.io/a\"\nimage a { from scratch; tag semver branch; push r; }\n";
    refused(
        text,
        &[("git.branch", "///")],
        &[],
        &[
            "plan::undefined 3:29..35: `git.version` has no value: this is not a repository with a commit",
            "plan::bad-tag 3:36..42: the branch `///` gives no tag",
        ],
    );
}

#[test]
fn the_same_plan_is_resolved_to_the_same_bytes() {
    let shown = || format!("{:?}", run(RELEASE, &Fake::repository(), &[]).unwrap().plan);
    assert_eq!(shown(), shown());
}

#[test]
fn hostile_plans_end_soon_and_small() {
    let circle: String = (0..5_000).map(|n| format!("let a{n} \"${{a{}}}\"\n", (n + 1) % 5_000)).collect();
    refused(
        &format!("kiln 1\n{circle}"),
        &[],
        &[],
        &["plan::cycle 2:11..13: values go round in a circle: a0 → a1 → a2 → a3 → a4 → a5 → a6 → a7 → … → a0"],
    );
    let script = "x".repeat(100_000);
    let values: String = (0..1_500).map(|n| format!(" v{n}")).collect();
    let large = format!("kiln 1\ntask a {{\n matrix {{ v{values}; }}\n run \"{script}\"\n}}\n");
    let faults = run(&large, &Fake::new(&[]), &[]).unwrap_err().sorted();
    assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), ["plan::too-large"]);
    let outputs = format!("kiln 1\ntask a {{\n matrix {{ v{values}; }}\n outputs \"*.${{v}}\"\n run \"true\"\n}}\n");
    let faults = run(&outputs, &Fake::new(&[]), &[]).unwrap_err().sorted();
    assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), ["plan::too-large"]);
    let good =
        format!("kiln 1\ntask a {{\n matrix {{ v{values}; }}\n outputs \"out/${{v}}/x\" \"log/${{v|upper}}.txt\"\n run \"true\"\n}}\n");
    assert_eq!(run(&good, &Fake::new(&[]), &[]).unwrap().plan.targets.len(), 1);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(256))]

    /// Damages a fixture and resolves what still is KDL.
    #[test]
    fn no_text_makes_the_planner_panic_and_every_mark_lies_in_the_text(
        which in 0_usize..1000, cut in 0_usize..4000, len in 0_usize..12, paste in "[a-z ${}\"|.*!/\n=0-9]{0,8}",
    ) {
        let all = fixtures();
        let mut text: Vec<char> = all[which % all.len()].1.chars().collect();
        let start = cut % text.len();
        let end = (start + len).min(text.len());
        text.splice(start..end, paste.chars());
        let text: String = text.into_iter().collect();
        if syntax::parse(Arc::new(Source { name: "build.kdl".to_owned(), text: text.clone() })).is_ok()
            && let Err(faults) = run(&text, &Fake::repository(), &[])
        {
            for fault in faults.sorted() {
                proptest::prop_assert!(fault.severity == Severity::Warning || explain::explain(fault.code).is_some());
                for label in &fault.labels {
                    let span = &label.span;
                    proptest::prop_assert!(span.source.text.get(span.start..span.start + span.len).is_some(), "{fault:?}");
                }
            }
        }
    }
}
