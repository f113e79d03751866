//! The language on good plans: cells of a matrix, versions, and what rests on values that nobody may ask for.

use std::collections::BTreeSet;
use std::sync::Arc;

use kiln::base::diagnostic::Source;
use kiln::plan::target::TargetKind;
use kiln::plan::{Ask, Overrides, Resolved, resolve};

use crate::plan::{Fake, load};

fn resolved(text: &str, ask: Ask) -> Result<Resolved, String> {
    let overrides = Overrides { ask, ..Overrides::default() };
    resolve(&load("build.kdl", text), &Fake::repository(), &overrides)
        .map_err(|faults| faults.sorted().iter().map(|fault| fault.message.clone()).collect::<Vec<_>>().join("; "))
}

/// The cells of the task `a`, each with its environment.
fn cells(matrix: &str) -> Result<Vec<String>, String> {
    let plan = resolved(&format!("kiln 1\ntask \"a\" {{\n matrix {{\n{matrix}\n }}\n run \"x\"\n}}\n"), Ask::Everything)?.plan;
    let TargetKind::Task(cells) = &plan.targets[0].kind else { panic!("a task") };
    let shown = cells.iter().map(|cell| {
        let env: Vec<String> = cell.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{} {}", cell.cell, env.join(" "))
    });
    Ok(shown.collect())
}

#[test]
fn an_include_row_extends_the_cells_that_it_fits_or_adds_those_that_are_missing() {
    let axes = "os linux mac\ngo \"1\" \"2\"\n";
    for (rows, expected) in [
        (
            "include os=bsd go=3",
            &[
                "[os=linux,go=1] go=1 os=linux",
                "[os=linux,go=2] go=2 os=linux",
                "[os=mac,go=1] go=1 os=mac",
                "[os=mac,go=2] go=2 os=mac",
                "[os=bsd,go=3] go=3 os=bsd",
            ][..],
        ),
        (
            "exclude os=mac\ninclude os=bsd",
            &["[os=linux,go=1] go=1 os=linux", "[os=linux,go=2] go=2 os=linux", "[os=bsd,go=1] go=1 os=bsd", "[os=bsd,go=2] go=2 os=bsd"],
        ),
        (
            "exclude os=mac\nexclude go=2\ninclude go=2",
            &["[os=linux,go=1] go=1 os=linux", "[os=linux,go=2] go=2 os=linux", "[os=mac,go=2] go=2 os=mac"],
        ),
        (
            "exclude os=mac\ninclude cgo=0\ninclude go=2 cgo=1",
            &["[os=linux,go=1] cgo=0 go=1 os=linux", "[os=linux,go=2] cgo=1 go=2 os=linux"],
        ),
        (
            "exclude os=mac\ninclude os=bsd go=3 cgo=1",
            &["[os=linux,go=1] go=1 os=linux", "[os=linux,go=2] go=2 os=linux", "[os=bsd,go=3] cgo=1 go=3 os=bsd"],
        ),
    ] {
        assert_eq!(cells(&format!("{axes}{rows}")).unwrap(), expected, "{rows}");
    }
}

#[test]
fn what_only_some_cells_are_given_needs_a_default_in_the_others() {
    let text = |value: &str| {
        format!("kiln 1\ntask \"a\" {{\n matrix {{\n os linux mac\n include os=mac sdk=15\n }}\n env SDK=\"{value}\"\n run \"x\"\n}}\n")
    };
    assert!(resolved(&text("${sdk}"), Ask::Everything).unwrap_err().contains("`include` gives it to other cells"));
    let plan = resolved(&text("${sdk|default('none')} ${sdk is defined}"), Ask::Everything).unwrap().plan;
    let TargetKind::Task(cells) = &plan.targets[0].kind else { panic!("a task") };
    let sdk: Vec<&str> = cells.iter().map(|cell| cell.env.iter().find(|(name, _)| name == "SDK").unwrap().1.as_str()).collect();
    assert_eq!(sdk, ["none false", "15 true"]);
}

#[test]
fn a_version_is_compared_by_precedence_wherever_its_name_stands_alone() {
    let value = |expression: &str| {
        let text = format!(
            "kiln 1\nparam \"version\" type=\"semver\" default=\"1.9.0\"\nparam \"plain\" default=\"1.9.0\"\nlet same \"${{version}}\"\n\
             task \"a\" {{\n env V=\"${{{expression}}}\"\n run \"x\"\n}}\n"
        );
        let plan = resolved(&text, Ask::Everything)?.plan;
        let TargetKind::Task(cells) = &plan.targets[0].kind else { panic!("a task") };
        Ok::<_, String>(cells[0].env[0].1.clone())
    };
    for (expression, expected) in [
        ("version >= '1.10.0'", "false"),
        ("'1.10.0' > version", "true"),
        ("same >= '1.10.0'", "false"),
        ("version == same and not (version < '1.9.0-rc.1')", "true"),
        ("plain >= '1.10.0'", "true"),
        ("version ~ '-x'", "1.9.0-x"),
        ("version|major", "1"),
    ] {
        assert_eq!(value(expression).as_deref(), Ok(expected), "{expression}");
    }
    assert!(value("version >= '1.10'").unwrap_err().contains("`1.10` is not a version like `1.4.2`"));
    assert!(value("version >= plain|trim").unwrap_err().contains("stands alone beside `>=`"));
}

#[test]
fn variables_whose_values_nobody_may_ask_for_give_no_faults_of_their_own() {
    let text = r#"kiln 1
let zones command="zones"
let sizes file="sizes"
each zone "${zones}" "${sizes}" {
    task "up-${zone}" { timeout "${zone}"; run "x"; }
}
task "all" {
    needs "up-eu" "up-us"
    matrix {
        zone2 "${zones}" "${sizes}"
        exclude zone2="eu"
        include zone2="us" limit="${sizes}"
    }
    container { image "golang:1"; memory "${zone2}"; }
    timeout "${limit|default('1s')}"
    run "x"
}
"#;
    let resolved = resolved(text, Ask::Nothing).unwrap();
    assert!(resolved.warnings.is_empty());
    assert!(resolved.plan.targets.contains_key(&"all".parse::<kiln::base::id::TargetName>().unwrap()));
}

#[test]
fn an_env_file_is_asked_for_by_the_targets_that_use_it_alone() {
    let text = "kiln 1\ntask \"a\" { run \"x\"; }\ntask \"b\" { env-file \"gone\"; run \"x\"; }\n";
    let with = |names: &[&str]| resolved(text, Ask::Only(names.iter().map(|name| (*name).to_owned()).collect()));
    let undecided = with(&[]).unwrap().undecided;
    let asked = |target: &str| undecided.names([&target.parse().unwrap()], []);
    assert_eq!((asked("a"), asked("b")), (BTreeSet::new(), BTreeSet::from(["env-file gone".to_owned()])));
    assert!(with(&["env-file gone"]).unwrap_err().contains("the env-file `gone` does not exist"));
}

#[test]
fn every_example_of_the_reference_is_a_sound_plan() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/language.md")).unwrap();
    let examples: Vec<&str> = page.split("```kdl\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() > 4, "the reference has examples");
    for example in examples {
        let found = resolved(example, Ask::Nothing).unwrap_or_else(|faults| panic!("{faults}\n{example}"));
        assert!(found.warnings.is_empty(), "{:?}\n{example}", found.warnings);
        let source = Arc::new(Source { name: "docs/language.md".to_owned(), text: example.to_owned() });
        assert_eq!(kiln::syntax::format::format(&source).unwrap(), example);
    }
}

#[test]
fn faults_of_every_stage_come_at_once() {
    let text = r#"kiln 1
projekt "x"
param "port" type="int" default="many"
let a "${b}"
let b "${a}"
registry "r" "https://ghcr.io"
policy "p" { deny "root"; }
task "one" { needs "two" "gone"; timeout "5x"; env A="${nothing}" B="${git.sah}"; outputs "dist/x"; run "x"; }
task "two" { needs "one"; outputs "dist/x"; inputs "/etc/passwd"; exec "x" "${port|slgu}"; }
image "i" { copy "a" "b"; user "a b"; tag "a/b"; scan policy="q"; push "s"; }
service "s" { image "x:1"; port 70000; memory "much"; restart sometimes; }
"#;
    let faults = resolve(&load("build.kdl", text), &Fake::repository(), &Overrides::default()).map(|_| ()).unwrap_err().sorted();
    let codes: BTreeSet<&str> = faults.iter().map(|fault| fault.code).collect();
    assert!(faults.len() >= 20, "{:#?}", faults.iter().map(|fault| &fault.message).collect::<Vec<_>>());
    for code in [
        "plan::unknown-node",
        "plan::bad-param",
        "plan::cycle",
        "plan::bad-reference",
        "plan::unknown-rule",
        "plan::unknown-target",
        "plan::bad-duration",
        "plan::unknown-name",
        "plan::output-conflict",
        "plan::bad-path",
        "plan::bad-expression",
        "plan::bad-tag",
        "plan::unknown-policy",
        "plan::unknown-registry",
        "plan::bad-size",
    ] {
        assert!(codes.contains(code), "{code} is hidden: {codes:?}");
    }
}
