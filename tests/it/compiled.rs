//! The compiled plan that is kept between commands: what a command answers never depends on whether it was there.

use std::path::PathBuf;

use crate::project::Project;

const PLAN: &str = r##"
kiln 1
project "t" { default "all"; }
param "greeting" default="hello"
task "a" {
    inputs "src"
    outputs "out/${greeting}"
    env LEVEL="${env.LEVEL|default('none')}"
    run "mkdir -p out && cat src > out/$(basename out/*) || cat src > out/hello"
}
group "all" "a"
"##;

/// What `kiln plan` says; the time it may take is no part of it.
fn plan(project: &Project, args: &[&str]) -> String {
    let words = [args, &["plan", "--json"]].concat();
    project.kiln(&words).ends(0).out
}

/// The same with nothing kept.
fn fresh(project: &Project, args: &[&str]) -> String {
    for path in kept(project) {
        std::fs::remove_file(path).unwrap();
    }
    plan(project, args)
}

/// The files in which plans are kept.
fn kept(project: &Project) -> Vec<PathBuf> {
    let projects = std::fs::read_dir(project.cache().join("projects")).into_iter().flatten();
    let folders = projects.map(|entry| entry.unwrap().path());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("plan-")).collect()
}

#[test]
fn every_change_of_text_override_and_fact_is_seen_although_a_plan_is_kept() {
    let mut project = Project::new(PLAN);
    project.write("src", "1");
    let first = fresh(&project, &[]);
    assert_eq!(kept(&project).len(), 1);
    assert_eq!(plan(&project, &[]), first);
    let mut seen = vec![first];
    for change in 0..4 {
        let args: &[&str] = if change == 0 { &["--set", "greeting=moin"] } else { &[] };
        match change {
            1 => drop(project.env("LEVEL", "high")),
            2 => drop(project.env("KILN_PARAM_GREETING", "servus")),
            3 => drop(project.write("build.kdl", PLAN.replace("cat src >", "cat src src >"))),
            _ => {}
        }
        let warm = plan(&project, args);
        assert_eq!(warm, plan(&project, args), "change {change}");
        assert_eq!(warm, fresh(&project, args), "change {change}");
        assert!(!seen.contains(&warm), "change {change} made no difference: {warm}");
        seen.push(warm);
    }
}

#[test]
fn a_change_in_an_included_file_is_seen_although_a_plan_is_kept() {
    let project = Project::new("kiln 1\ninclude \"sub/x.kdl\" as=\"x\"\n");
    let included = |word: &str| format!("kiln 1\ntask \"{word}\" {{ run \"true\"; }}\n");
    for word in ["one", "two"] {
        project.write("sub/x.kdl", included(word));
        for _ in 0..2 {
            project.kiln(&["plan", &format!("x:{word}")]).ends(0);
        }
    }
    project.kiln(&["plan", "x:one"]).ends(2);
    project.remove("sub/x.kdl");
    project.kiln(&["plan", "x:two"]).ends(3);
}

#[test]
fn a_kept_plan_that_is_cut_or_changed_makes_no_difference() {
    let project = Project::new(PLAN);
    project.write("src", "1");
    let expected = fresh(&project, &[]);
    let place = kept(&project).remove(0);
    let bytes = std::fs::read(&place).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 12) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        for content in [&bytes[..at], &damaged] {
            std::fs::write(&place, content).unwrap();
            assert_eq!(plan(&project, &[]), expected, "at {at}");
            assert_eq!(std::fs::read(&place).unwrap(), bytes, "what is damaged at {at} is made again");
        }
    }
}

#[test]
fn commands_that_only_look_keep_nothing() {
    let project = Project::new(PLAN);
    for command in [&["check"][..], &["list"], &[]] {
        project.kiln(command).ends(0);
        assert!(kept(&project).is_empty(), "{command:?}");
    }
}
