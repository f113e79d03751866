//! Plans of several files: broken ones give exactly the faults marked in each file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln::base::diagnostic::{Diagnostics, Source};
use kiln::base::id::TargetName;
use kiln::base::path::RelPath;
use kiln::plan::include::{self, IncludeSource, Loaded, Sources, Unavailable};
use kiln::plan::target::TargetKind;
use kiln::plan::{Overrides, Resolved, resolve};
use kiln::syntax;
use kiln::syntax::document::Document;

use crate::plan::{Fake, compare_found, summary};

/// Files of a project by their paths.
pub struct Files(pub BTreeMap<String, String>);

fn parse(name: &str, text: &str) -> Result<Document, Diagnostics> {
    syntax::parse(Arc::new(Source { name: name.to_owned(), text: text.to_owned() }))
}

impl Sources for Files {
    fn document(&self, place: &IncludeSource) -> Result<Document, Unavailable> {
        let IncludeSource::Local(path) = place else { return Err(Unavailable::Missing) };
        let text = self.0.get(&path.to_string()).ok_or(Unavailable::Missing)?;
        parse(&path.to_string(), text).map_err(Unavailable::Text)
    }
}

impl Files {
    /// Files and their texts.
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    pub fn load(&self) -> Loaded {
        let main = parse("build.kdl", &self.0["build.kdl"]).unwrap_or_else(|faults| panic!("{faults:?}"));
        include::load(main, Some(RelPath::new("build.kdl").unwrap()), self)
    }

    pub fn resolve(&self, set: &[(&str, &str)]) -> Result<Resolved, Diagnostics> {
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        resolve(&self.load(), &Fake::repository(), &Overrides { set, ..Overrides::default() })
    }
}

fn read(folder: &Path) -> Files {
    let mut files = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        for entry in std::fs::read_dir(folder.join(&below)).unwrap() {
            let path = below.join(entry.unwrap().file_name());
            if folder.join(&path).is_dir() {
                open.push(path);
            } else {
                files.insert(path.to_string_lossy().into_owned(), std::fs::read_to_string(folder.join(&path)).unwrap());
            }
        }
    }
    Files(files)
}

/// The broken plans of several files, each in its folder.
pub fn fixtures() -> Vec<(String, Files)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/diagnostics/include");
    let mut found: Vec<(String, Files)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), read(&path)))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn every_broken_plan_of_several_files_gives_exactly_the_faults_marked_in_them() {
    let mut wrong = Vec::new();
    for (name, files) in fixtures() {
        let found = match files.resolve(&[]) {
            Ok(resolved) => resolved.warnings,
            Err(faults) => faults.sorted(),
        };
        for (file, text) in &files.0 {
            let here = found.iter().filter(|fault| fault.labels.first().is_none_or(|label| label.span.source.name == *file));
            wrong.extend(compare_found(&format!("{name}/{file}"), text, &here.cloned().collect::<Vec<_>>()).err());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const SHARED: &str = r#"kiln 1
project "shared" version="9.9" { default "test"; }
param "port" default="80"
let flags "-a" "-b"
env TIER="inner"
registry "ghcr" "ghcr.io/acme"
policy "strict" { deny secrets; }
task "gen" { outputs "gen/"; exec "gen" "${flags}" "${port}" "${project.version}"; }
task "test" { inputs "./src/" "../go.mod" "!src/old/" "gen/"; needs "gen"; run "go test"; }
image "web" { from "base"; copy "gen/x" "/x"; scan policy="strict"; tag "1"; push "ghcr"; }
image "base" { copy "src/" "/src/"; }
group "all" "test" "web"
"#;

#[test]
fn an_included_file_has_its_own_names_values_and_paths() {
    let main = r#"kiln 1
project "main" { default "ci:all"; }
let port "8080"
env TIER="outer"
include "ci/build.kdl" as="ci" { set port="${port}"; }
include "ci/build.kdl" as="plain"
task "after" { needs "ci:test" "plain:test"; inputs "ci/gen/x"; run "true"; }
image "front" { from "ci:base"; copy "x" "/y"; scan policy="ci:strict"; tag "1"; push "ci:ghcr"; }
"#;
    let files = Files::of(&[("build.kdl", main), ("ci/build.kdl", SHARED)]);
    let faults = files.resolve(&[]).unwrap_err().sorted();
    // One file under two names makes its outputs twice: that is told, and nothing else.
    let told: Vec<(&str, &str)> = faults.iter().map(|fault| (fault.code, fault.help.as_deref().unwrap_or_default())).collect();
    let help = "the file is included under two names; put a `param` into the path, and set it where the file is included";
    assert_eq!(told, [("plan::output-conflict", help), ("plan::same-tag", "give one of them another `name=` or tag")]);
    let files = Files::of(&[
        ("build.kdl", &main.replace("include \"ci/build.kdl\" as=\"plain\"\n", "").replace(" \"plain:test\"", "")),
        ("ci/build.kdl", SHARED),
    ]);
    let resolved = files.resolve(&[("ci:port", "9")]).unwrap();
    assert_eq!(
        summary(&files.resolve(&[]).unwrap()),
        r#"registry ci:ghcr Remote { host: "ghcr.io", prefix: "acme" }
task after needs(ci:test) in(ci/gen/x) env(TIER=outer) Script("true")
image front as front @linux/amd64(image ci:base; x -> /y; []) scan(true) tag(1) push(ci:ghcr)
task ci:gen out(ci/gen/) env(TIER=inner) Exec(["gen", "-a", "-b", "8080", "9.9"])
task ci:test needs(ci:gen) in(ci/src/ go.mod ci/gen/ !ci/src/old/) env(TIER=inner) Script("go test")
image ci:web as web @linux/amd64(image ci:base; ci/gen/x -> /x; []) scan(true) tag(1) push(ci:ghcr)
image ci:base as base @linux/amd64(scratch; ci/src/ -> /src/; []) scan(false) tag() push()
group ci:all: ci:test ci:web"#
    );
    assert_eq!(resolved.plan.params["ci:port"].value.as_deref(), Some("9"));
    assert_eq!(resolved.plan.project.default.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ci:all"]);
    assert_eq!(resolved.plan.project.name, "main");
    let TargetKind::Task(cells) = &resolved.plan.targets[&"ci:gen".parse::<TargetName>().unwrap()].kind else { panic!() };
    assert_eq!(
        (cells[0].dir.to_string(), format!("{:?}", cells[0].commands)),
        ("ci".to_owned(), r#"[Exec(["gen", "-a", "-b", "9", "9.9"])]"#.to_owned())
    );
}

#[test]
fn a_param_of_an_included_file_is_set_by_name_and_by_nothing_that_the_includer_does_not_know() {
    let files = Files::of(&[
        ("build.kdl", "kiln 1\ninclude \"x.kdl\" as=\"x\"\n"),
        (
            "x.kdl",
            "kiln 1\ninclude \"y.kdl\" as=\"y\" { set port=\"${port}\"; }\nparam \"port\" default=\"1\"\ntask \"a\" { exec \"${port}\"; }\n",
        ),
        ("y.kdl", "kiln 1\nparam \"port\"\ntask \"b\" { exec \"${port}\"; }\n"),
    ]);
    let value = |facts: &Fake, set: &[(&str, &str)]| {
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        resolve(&files.load(), facts, &Overrides { set, ..Overrides::default() })
            .map(|resolved| resolved.plan.params.values().filter_map(|param| param.value.clone()).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(value(&Fake::new(&[("env.KILN_PARAM_PORT", "7")]), &[]).unwrap(), "1 1");
    assert_eq!(value(&Fake::new(&[]), &[("x:port", "2")]).unwrap(), "2 2");
    assert_eq!(value(&Fake::new(&[]), &[("x:port", "2"), ("x:y:port", "3")]).unwrap(), "2 3");
    for (name, message) in [
        ("port", "`--set port=…`: the plan has no param `port`"),
        ("x:prt", "`--set x:prt=…`: the plan has no param `x:prt`"),
        ("z:port", "`--set z:port=…`: the plan has no param `z:port`"),
    ] {
        let faults = value(&Fake::new(&[]), &[(name, "1")]).unwrap_err().sorted();
        assert_eq!(faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>(), [message]);
    }
}

#[test]
fn the_steps_of_a_plan_do_not_depend_on_whether_it_is_included() {
    let plain = "kiln 1\nlet out \"dist\"\neach n a b { task \"t-${n}\" { inputs \"src/\"; outputs \"${out}/${n}\"; env X=1; dir \"src\"; run \"make $n\"; }; }\nimage \"i\" { copy \"dist/a\" \"/a\"; }\n";
    let alone = Files::of(&[("build.kdl", plain)]).resolve(&[]).unwrap();
    let included = Files::of(&[("build.kdl", "kiln 1\ninclude \"x.kdl\" as=\"x\"\n"), ("x.kdl", plain)]).resolve(&[]).unwrap();
    let named = Files::of(&[
        ("build.kdl", "kiln 1\ninclude \"y.kdl\" as=\"a\"\ninclude \"x.kdl\" as=\"x\"\n"),
        ("x.kdl", plain),
        ("y.kdl", "kiln 1\ntask \"z\" { run \"true\"; }\n"),
    ]);
    let keys = |resolved: &Resolved, prefix: &str| {
        let graph = kiln::graph::lower::lower(&resolved.plan).unwrap();
        let of = |id: &kiln::base::id::StepId| {
            let action = graph.action(*id);
            let name = action.name.to_string().strip_prefix(prefix)?.to_owned();
            Some((name, kiln::key::key(action, &kiln::graph::ingredients::Ingredients::default()).to_string()))
        };
        graph.order().iter().filter_map(of).collect::<BTreeMap<_, _>>()
    };
    let expected = keys(&alone, "");
    assert_eq!(expected.len(), 3);
    assert_eq!(keys(&included, "x:"), expected);
    assert_eq!(keys(&named.resolve(&[]).unwrap(), "x:"), expected);
}
