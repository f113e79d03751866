//! `kiln diff` and `kiln affected`: what a change does to a plan, told before anything runs.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::Value;

use super::project::Project;

const PLAN: &str = r##"kiln 1
registry "out" "oci:dist/images"
let version "1.2.3"
task "generate" { inputs "gen.in"; outputs "gen/out.txt"; run "mkdir -p gen && cp gen.in gen/out.txt" }
task "compile" { inputs "src/**/*.c" "gen/out.txt"; outputs "dist/app"; run "mkdir -p dist && cat src/*.c gen/out.txt > dist/app" }
task "test" { inputs "src/" "!src/*.md"; needs "generate"; run "true" }
task "lint" { inputs "*.md" "link"; run "true" }
task "deploy" { run "true" }
image "web" { platforms amd64; copy "dist/app" "/app"; copy "static" "/static/"; tag semver="${version}"; push out }
group "all" "test" "lint"
"##;

fn committed() -> Project {
    let project = Project::new(PLAN);
    project.write("gen.in", "1\n").write("src/a.c", "a\n").write("src/deep/b.c", "b\n").write("src/notes.md", "n\n");
    project.write("README.md", "r\n").write("static/index.html", "<p>\n").write(".gitignore", "dist/\ngen/\n*.log\n");
    symlink("README.md", project.path("link")).unwrap();
    project.commit();
    project
}

fn json(project: &Project, words: &[&str]) -> Value {
    let said = project.kiln(&[words, &["--json"]].concat()).ends(0);
    serde_json::from_str(&said.out).unwrap()
}

/// `change step` of every step that differs.
fn steps(answer: &Value) -> Vec<String> {
    let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
    answer["steps"].as_array().unwrap().iter().map(|one| format!("{} {}", text(one, "change"), text(one, "step"))).collect()
}

/// `target: cause` of everything that is affected.
fn affected(project: &Project) -> Vec<String> {
    let answer = json(project, &["affected", "--since", "HEAD"]);
    let mut found = Vec::new();
    for target in answer["targets"].as_array().unwrap() {
        for step in target["steps"].as_array().unwrap() {
            for cause in step["because"].as_array().unwrap() {
                let what = ["path", "step", "words"].iter().find_map(|field| cause[field].as_str()).unwrap_or("new");
                found.push(format!("{}: {what}", step["step"].as_str().unwrap()));
            }
        }
    }
    found
}

#[test]
fn a_plan_that_did_not_change_is_the_same_whatever_was_built() {
    let project = committed();
    project.kiln(&["diff"]).ends(0).says("the plan is the same as in HEAD (").says("9 steps");
    project.kiln(&["run", "all", "web"]).ends(0);
    project.write("ignored.log", "x");
    project.kiln(&["diff", "main", "--exit-code"]).ends(0).says("the plan is the same as in main");
    project.kiln(&["affected", "--since", "main"]).ends(0).says("nothing is affected since main").says("1 more task declares no inputs");
    assert_eq!(affected(&project), Vec::<String>::new());
}

#[test]
fn every_kind_of_change_of_a_file_affects_whoever_reads_it_and_all_that_follow() {
    let project = committed();
    let state = |project: &Project| {
        project.git(&["checkout", "-q", "--", "."]).git(&["clean", "-fdq"]);
    };
    let web = [
        "web/build@linux/amd64: compile",
        "web/push:out: web/build@linux/amd64",
        "web/tag:out: web/build@linux/amd64",
        "web/tag:out: web/push:out",
    ];
    let with = |first: &[&str], rest: &[&str]| -> Vec<String> { [first, rest].concat().iter().map(|text| (*text).to_owned()).collect() };
    // Content, in a subfolder, by a glob and by a folder.
    project.write("src/deep/b.c", "changed\n");
    let mut found = affected(&project);
    found.sort();
    let mut expected = with(&["compile: src/deep/b.c", "test: src/deep/b.c", "all: test"], &web);
    expected.sort();
    assert_eq!(found, expected);
    state(&project);
    // What a pattern excludes affects nobody who excludes it.
    project.write("src/notes.md", "changed\n");
    assert_eq!(affected(&project), Vec::<String>::new());
    // An untracked file, a removed one, a renamed one, a mode, a link.
    project.write("docs.md", "new\n");
    assert_eq!(affected(&project), ["lint: docs.md", "all: lint"]);
    state(&project);
    project.remove("README.md");
    assert_eq!(affected(&project), ["lint: README.md", "all: lint"]);
    state(&project);
    project.git(&["mv", "README.md", "MANUAL.md"]);
    assert_eq!(affected(&project), ["lint: MANUAL.md", "all: lint"]);
    project.git(&["reset", "-q", "--hard"]);
    std::fs::set_permissions(project.path("README.md"), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(affected(&project), ["lint: README.md", "all: lint"]);
    state(&project);
    std::fs::remove_file(project.path("link")).unwrap();
    symlink("gen.in", project.path("link")).unwrap();
    assert_eq!(affected(&project), ["lint: link", "all: lint"]);
    state(&project);
    // Through an output of another task, and a copy of an image.
    project.write("gen.in", "2\n");
    let found = affected(&project);
    for expected in ["generate: gen.in", "compile: generate", "test: generate", "web/build@linux/amd64: compile", "all: test"] {
        assert!(found.iter().any(|one| one == expected), "{expected} is not in {found:?}");
    }
    state(&project);
    project.write("static/index.html", "<h1>\n");
    assert_eq!(
        affected(&project),
        [
            "web/build@linux/amd64: static/index.html",
            "web/push:out: web/build@linux/amd64",
            "web/tag:out: web/build@linux/amd64",
            "web/tag:out: web/push:out"
        ]
    );
    project.kiln(&["affected", "--since", "HEAD", "--names"]).ends(0).says("web\n").never_says("lint");
    project.kiln(&["affected", "--since", "HEAD", "--names", "--kind", "task"]).ends(0).never_says("web");
    // Committed changes count as well as those that are not.
    project.git(&["add", "-A"]).git(&["commit", "-q", "-m", "y"]);
    assert_eq!(affected(&project), Vec::<String>::new());
    project
        .kiln(&["affected", "--since", "HEAD~1"])
        .ends(0)
        .says("1 target is affected since HEAD~1")
        .says("static/index.html: content changed");
}

#[test]
fn a_comment_changes_nothing_and_a_definition_is_named_with_its_values() {
    let project = committed();
    project.write("build.kdl", PLAN.replace("let version", "// which one\nlet version"));
    assert_eq!(affected(&project), Vec::<String>::new());
    project.write("build.kdl", PLAN.replace("task \"lint\" { ", "task \"lint\" { env LEVEL=\"2\"; "));
    assert_eq!(affected(&project), ["lint: env LEVEL: added, \"2\"", "all: lint"]);
    project.write("build.kdl", format!("{PLAN}task \"more\" {{ inputs \"*.md\"; run \"true\" }}\n"));
    assert_eq!(affected(&project), ["more: new"]);
}

#[test]
fn a_review_sees_steps_tags_and_bases_that_differ() {
    let project = committed();
    let plan = PLAN
        .replace("\"1.2.3\"", "\"1.3.0\"")
        .replace("task \"deploy\" { run \"true\" }\n", "")
        .replace("run \"mkdir -p gen && cp", "env A=\"1\"; run \"mkdir -p gen && cp");
    project.write("build.kdl", format!("{plan}task \"more\" {{ run \"true\" }}\n"));
    let answer = json(&project, &["diff", "main"]);
    let found = steps(&answer);
    for expected in ["changed generate", "follows compile", "follows test", "added more", "removed deploy", "changed web/tag:out"] {
        assert!(found.iter().any(|one| one == expected), "{expected} is not in {found:?}");
    }
    assert_eq!(answer["tags"][0]["place"], "oci:dist/images/web");
    assert_eq!(answer["tags"][0]["old"], serde_json::json!(["1.2.3", "1.2", "1", "latest"]));
    assert_eq!(answer["tags"][0]["new"], serde_json::json!(["1.3.0", "1.3", "1", "latest"]));
    let shown = project.kiln(&["plan", "diff", "main", "--exit-code"]).ends(1);
    shown
        .says("+ more")
        .says("- deploy")
        .says("env A: added, \"1\"")
        .says("oci:dist/images/web: 1.2.3, 1.2, 1, latest → 1.3.0, 1.3, 1, latest");
    project
        .kiln(&["diff", "main", "--markdown"])
        .ends(0)
        .says("### Plan compared with `main`")
        .says("- `generate`\n  - env A: added, \"1\"");
    // The tree and the index are as they were.
    assert!(project.read("build.kdl").contains("1.3.0"));
    project.git(&["diff", "--cached", "--exit-code", "--quiet"]);
}

#[test]
fn a_base_that_changed_is_named_and_another_file_or_folder_can_be_compared() {
    let project = Project::new("kiln 1\nimage \"web\" { from \"alpine:3.20\"; platforms amd64; copy \"f\" \"/f\" }\n");
    project.write("f", "1").write("other.kdl", "kiln 1\nimage \"web\" { from \"alpine:3.19\"; platforms amd64; copy \"f\" \"/f\" }\n");
    project.kiln(&["diff", "other.kdl"]).ends(0).says("web/base@linux/amd64").says("alpine:3.19").says("alpine:3.20");
    let old = project.read("other.kdl");
    project.write("there/build.kdl", old).write("there/f", "2");
    let shown = project.kiln(&["diff", "there"]).ends(0);
    shown.says("compared with there").says("f: content changed");
    project.kiln(&["diff", "main"]).ends(2).says("this is no git repository");
}

#[test]
fn a_name_that_git_does_not_know_is_answered_with_the_next_act() {
    let project = committed();
    project.kiln(&["diff", "mian"]).ends(2).says("past::unknown-ref").says("did you mean `main`?");
    project.kiln(&["affected", "--since", "-x"]).ends(2);
    project.kiln(&["affected", "--since=--output=x"]).ends(2).says("past::unknown-ref");
    assert!(!project.has("x"));
    project.git(&["commit", "-q", "--allow-empty", "-m", "second"]);
    let clone = Project::new("kiln 1\n");
    clone.remove("build.kdl");
    let url = format!("file://{}", project.root().display());
    clone.git(&["clone", "-q", "--depth=1", &url, "."]);
    clone.kiln(&["affected", "--since", "HEAD~1"]).ends(2).says("this clone is shallow").says("git fetch --unshallow");
    // A branch that left main before main went on.
    project.git(&["checkout", "-q", "-b", "topic", "HEAD~1"]).write("README.md", "topic\n");
    project.git(&["commit", "-q", "-am", "topic"]).git(&["checkout", "-q", "main"]).write("gen.in", "main\n");
    project.git(&["commit", "-q", "-am", "main"]).git(&["checkout", "-q", "topic"]);
    project.kiln(&["affected", "--since", "main...", "--names"]).ends(0).says("lint").never_says("generate");
    project.kiln(&["affected", "--since", "main", "--names"]).ends(0).says("lint").says("generate");
}

#[test]
fn a_target_that_is_called_diff_is_planned() {
    let project = Project::new("kiln 1\ntask \"diff\" { run \"true\" }\ntask \"main\" { run \"true\" }\n");
    project.kiln(&["plan", "diff"]).ends(0).says("diff").says("it declares no inputs");
    project.kiln(&["plan", "diff", "main"]).ends(0).says("2 steps: 2 to run");
}

#[test]
fn what_an_included_file_says_affects_its_own_targets() {
    let project =
        Project::new("kiln 1\ninclude \"lib/build.kdl\" as=\"lib\"\ntask \"app\" { inputs \"app.c\"; needs \"lib:make\"; run \"true\" }\n");
    let plan = "kiln 1\ntask \"make\" { inputs \"*.c\"; run \"true\" }\ntask \"doc\" { inputs \"*.md\"; run \"true\" }\n";
    project.write("lib/build.kdl", plan).write("lib/a.c", "a").write("lib/a.md", "a").write("app.c", "a").commit();
    project.write("lib/a.c", "b");
    assert_eq!(affected(&project), ["lib:make: lib/a.c", "app: lib:make"]);
    project.write("lib/a.c", "a").write("lib/build.kdl", plan.replace("inputs \"*.md\"; run \"true\"", "inputs \"*.md\"; run \"false\""));
    assert_eq!(affected(&project), ["lib:doc: the command: \"true\" → \"false\""]);
}

#[test]
fn a_comparison_runs_no_command_of_either_plan() {
    let plan = |script: &str| {
        format!("kiln 1\nlet server command=\"{script}\"\ntask \"t\" {{ inputs \"f\"; env HOST=\"${{server}}\"; run \"true\" }}\n")
    };
    let project = Project::new(&plan("touch ran; echo a"));
    project.write("f", "1").commit();
    project.write("build.kdl", plan("touch ran; echo b")).write("f", "2");
    project.kiln(&["diff"]).ends(0).says("f: content changed").never_says("HOST");
    project.kiln(&["affected", "--since", "HEAD"]).ends(0).says("f: content changed");
    assert!(!project.has("ran"));
}

#[test]
fn the_lock_of_a_commit_belongs_to_its_plan_also_in_a_folder_of_the_repository() {
    let project = Project::new("not used\n");
    let lock = |digit: &str| {
        let digest = digit.repeat(64);
        let pin = "image \"registry.invalid/base:1\"";
        format!("lock 1\n{pin} digest=\"sha256:{digest}\"\n{pin} platform=\"linux/amd64\" digest=\"sha256:{digest}\"\n")
    };
    let plan = "kiln 1\nimage \"web\" { platforms amd64; from \"registry.invalid/base:1\"; copy \"f\" \"/f\" }\ntask \"t\" { inputs \"f\"; run \"true\" }\n";
    project.write("build.kdl", plan).write("f", "x").write("kiln.lock", lock("a"));
    project.write("deep/build.kdl", plan).write("deep/f", "x").write("deep/kiln.lock", lock("a"));
    project.write("deep/other.kdl", plan).write("deep/other.lock", lock("a")).commit();
    for place in [&["-C", "."][..], &["-C", "deep"], &["-f", "deep/other.kdl"]] {
        let ask = |words: &[&str]| project.kiln(&[place, words].concat()).ends(0);
        ask(&["affected", "--since", "HEAD"]).says("nothing is affected since HEAD");
        ask(&["diff"]).says("the plan is the same as in HEAD");
        let file = match place {
            ["-C", "deep"] => "deep/kiln.lock",
            ["-f", _] => "deep/other.lock",
            _ => "kiln.lock",
        };
        project.write(file, lock("b"));
        let names = ask(&["affected", "--since", "HEAD", "--names"]).out;
        assert_eq!(names, "web\n", "{place:?}");
        ask(&["diff"]).says("sha256:aaaa").says("sha256:bbbb");
        project.git(&["checkout", "-q", "--", "."]);
    }
}
