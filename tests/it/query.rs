//! `kiln query`: the answers of every function and operator, and a fault with its place for every question that has none.

use super::project::Project;

const PLAN: &str = r##"kiln 1
registry "out" "oci:dist/images"
task "generate" { inputs "gen.in"; outputs "gen/out.txt"; run "true" }
task "compile" {
    matrix { bin api worker }
    inputs "src/**/*.c" "!src/old/**" "gen/out.txt"
    outputs "dist/${bin}"
    run "true"
}
task "test-unit" { inputs "src/"; needs "generate"; run "true" }
task "lint" { inputs "**/*.md"; after "test-unit"; run "true" }
image "web" { platforms amd64 arm64; copy "dist/api" "/app"; copy "static" "/static/"; scan; tag "1"; push out }
group "all" "test-unit" "lint"
task "never" { when "${1 == 2}"; run "true" }
"##;

fn project() -> Project {
    let project = Project::new(PLAN);
    for name in ["gen.in", "src/a.c", "src/b/b.c", "src/old/c.c", "README.md", "static/index.html"] {
        project.write(name, "x");
    }
    project
}

#[test]
fn every_function_and_operator_answers() {
    let project = project();
    for (question, expected) in [
        ("compile", "compile[bin=api] compile[bin=worker]"),
        ("compile[bin=api]", "compile[bin=api]"),
        ("web/scan@arm64", "web/scan@linux/arm64"),
        ("test*", "test-unit"),
        ("*scan*", "web/scan@linux/amd64 web/scan@linux/arm64"),
        ("deps(compile[bin=api])", "generate compile[bin=api]"),
        ("deps(web/build@amd64, 1)", "compile[bin=api] web/build@linux/amd64"),
        ("deps(web/build@amd64, 0)", "web/build@linux/amd64"),
        ("rdeps(generate, 1)", "generate compile[bin=api] compile[bin=worker] test-unit"),
        ("rdeps(lint)", "lint all"),
        // `after` orders, and needs nothing.
        ("deps(lint)", "lint"),
        ("somepath(web/push:out, generate)", "web/push:out web/scan@linux/amd64 web/build@linux/amd64 compile[bin=api] generate"),
        ("somepath(generate, web)", ""),
        ("allpaths(web/index, generate) - web/build@arm64", "generate compile[bin=api] web/build@linux/amd64 web/index"),
        ("kind(index)", "web/index"),
        ("kind(run, deps(web))", "generate compile[bin=api]"),
        ("owner(src/a.c)", "compile[bin=api] compile[bin=worker] test-unit"),
        ("owner(\"./src/old/c.c\")", "test-unit"),
        ("owner(gen/out.txt)", "generate compile[bin=api] compile[bin=worker]"),
        ("makers(gen/out.txt)", "generate"),
        ("readers('gen/out.txt')", "compile[bin=api] compile[bin=worker]"),
        ("readers(static/index.html)", "web/build@linux/amd64 web/build@linux/arm64"),
        ("owner(nothing)", ""),
        // Left out by `when`: known, and without steps in this plan.
        ("lint + never", "lint"),
        ("inputs(compile)", "gen/out.txt src/a.c src/b/b.c"),
        ("inputs(web)", "dist/api static/index.html"),
        ("inputs(test-unit) - inputs(compile)", "src/old/c.c"),
        ("outputs(compile + generate)", "dist/api dist/worker gen/out.txt"),
        ("test-unit + lint - lint", "test-unit"),
        ("all except (lint union all)", ""),
        ("deps(all) intersect kind(run) ^ test-unit", "test-unit"),
        ("rdeps(owner(\"src/a.c\")) ^ kind(group)", "all"),
    ] {
        let mut said = project.kiln(&["query", question]).ends(0).out.lines().map(str::to_owned).collect::<Vec<_>>().join(" ");
        if question.starts_with("test*") || question.starts_with("deps(lint") {
            said = said.trim().to_owned();
        }
        assert_eq!(said, expected, "{question}");
    }
    assert_eq!(project.kiln(&["query", "rdeps(gen*)", "-", "kind(run)", "--targets"]).ends(0).out, "web\nall\n");
    let json = project.kiln(&["query", "kind(index)", "--json"]).ends(0).out;
    assert_eq!(
        json,
        "{\"schema\":1,\"query\":\"kind(index)\",\"steps\":[{\"step\":\"web/index\",\"target\":\"web\",\"kind\":\"index\"}]}\n"
    );
}

#[test]
fn a_question_without_an_answer_is_shown_where_it_goes_wrong() {
    let project = project();
    let deep = format!("{}web{}", "(".repeat(100), ")".repeat(100));
    for (question, code, words) in [
        ("dps(web)", "query::unknown-function", "did you mean `deps`?"),
        ("deps(wbe)", "query::unknown-target", "did you mean `web`?"),
        ("web/scna", "query::unknown-target", "`web` has "),
        ("web+lint", "query::unknown-target", "operators stand between spaces"),
        ("deps(web", "query::syntax", "a `(` is not closed"),
        ("deps(web))", "query::syntax", "a `)` closes nothing"),
        ("web lint", "query::syntax", "two expressions stand side by side"),
        ("web +", "query::syntax", "a set is missing"),
        ("web, lint", "query::syntax", "stands outside of a function"),
        ("owner(\"src", "query::syntax", "a quoted text is not closed"),
        ("deps()", "query::arguments", "takes 1 or 2 arguments, not 0"),
        ("somepath(web)", "query::arguments", "write it like `somepath(A, B)`"),
        ("deps(web, far)", "query::arguments", "`far` is not a number of steps"),
        ("kind(biuld)", "query::kind", "did you mean `build`?"),
        ("kind(deps(web))", "query::arguments", "a kind of step is needed here"),
        ("owner(../x)", "query::path", "not a path of the project"),
        ("web + inputs(web)", "query::mixed", "steps and paths cannot be joined"),
        ("deps(outputs(web))", "query::mixed", "steps are needed here"),
        (deep.as_str(), "query::syntax", "more than 64 levels"),
    ] {
        project.kiln(&["query", question]).ends(2).says(code).says(words);
    }
    // All at once, each with its place.
    let said = project.kiln(&["query", "dps(web) + deps(wbe)"]).ends(2);
    said.says("[query:1:1]").says("query:1:17").says("2 faults");
}

#[test]
fn the_documentation_shows_what_is_answered() {
    let page = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/query.md")).unwrap();
    for function in kiln::graph::query::FUNCTIONS {
        assert!(page.contains(&format!("| `{}` | {} |", function.form, function.doc)), "{}", function.form);
    }
    let block = |mark: &str| page.split(mark).nth(1).unwrap().split("```").next().unwrap().to_owned();
    let project = Project::new(&block("```kdl\n"));
    for name in ["cmd/api/main.go", "go.mod"] {
        project.write(name, "x");
    }
    let mut wrong = Vec::new();
    for part in block("```console\n").split("$ kiln query ").skip(1) {
        let (question, answer) = part.split_once('\n').unwrap();
        let said = project.kiln(&["query", question.trim_matches('\'')]).ends(0).out;
        if said.trim() != answer.trim() {
            wrong.push(format!("$ kiln query {question}\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "docs/query.md should show\n{}", wrong.join("\n"));
}
