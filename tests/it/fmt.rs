//! `kiln fmt` as a user runs it, and over every KDL text that is at hand.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use kiln::base::diagnostic::Source;
use kiln::syntax;

use crate::project::Project;

const UGLY: &str = "kiln   1\n\n\n\n// why\ntask \"a\"{\n  run   \"true\" // then\n}\n";
const NICE: &str = "kiln 1\n\n// why\ntask \"a\" {\n    run \"true\" // then\n}\n";

#[test]
fn a_plan_is_written_in_its_one_form_and_named_once() {
    let project = Project::new(UGLY);
    project.kiln(&["fmt"]).ends(0).says("formatted build.kdl");
    assert_eq!(project.read("build.kdl"), NICE);
    let again = project.kiln(&["fmt"]).ends(0);
    assert_eq!((again.out.as_str(), again.err.as_str()), ("", ""));
}

#[test]
fn without_a_name_all_files_of_the_plan_are_formatted_and_no_others() {
    let project = Project::new("");
    let outer = project.beside("outer.kdl");
    std::fs::write(&outer, UGLY).unwrap();
    let ugly = |include: &str| UGLY.replace("// why\n", &format!("include {include}\n"));
    let main = "\"ci/a.kdl\"   as=a\ninclude \"broken.kdl\" as=b\ninclude \"gone.kdl\" as=c\ninclude \"../outer.kdl\" as=d\n\
                include \"link.kdl\" as=e\ninclude \"https://127.0.0.1:1/x.kdl\" as=f";
    symlink(&outer, project.path("link.kdl")).unwrap();
    project.write("build.kdl", ugly(main)).write("ci/a.kdl", ugly("b.kdl  as=b")).write("ci/b.kdl", UGLY).write("other.kdl", UGLY);
    project.write("broken.kdl", "task \"a {\n");
    assert_eq!(project.kiln(&["fmt", "--check"]).ends(3).says("broken.kdl:1:").out, "build.kdl\nci/a.kdl\nci/b.kdl\n");
    project.write("broken.kdl", "kiln 1\n");
    let ran = project.kiln(&["fmt"]).ends(0);
    assert_eq!(ran.out, "formatted build.kdl\nformatted ci/a.kdl\nformatted ci/b.kdl\n");
    assert_eq!(project.read("ci/b.kdl"), NICE);
    assert_eq!((project.read("other.kdl").as_str(), std::fs::read_to_string(&outer).unwrap().as_str()), (UGLY, UGLY));
    let again = project.kiln(&["fmt"]).ends(0);
    assert_eq!((again.out.as_str(), again.err.as_str()), ("", ""));
}

#[test]
fn a_check_writes_nothing_lists_the_files_and_exits_with_1() {
    let project = Project::new(UGLY);
    project.write("good.kdl", NICE).write("other.kdl", "a  1\n");
    let ran = project.kiln(&["fmt", "--check", "build.kdl", "good.kdl", "other.kdl"]).ends(1);
    assert_eq!(ran.out, "build.kdl\nother.kdl\n");
    assert_eq!(project.read("build.kdl"), UGLY);
    project.kiln(&["fmt", "--check", "good.kdl"]).ends(0);
    project.kiln(&["fmt", "--diff"]).ends(0).says("-kiln   1").says("+kiln 1");
    assert_eq!(project.read("build.kdl"), UGLY);
    let json = project.kiln(&["fmt", "--check", "--json"]).ends(1);
    assert_eq!(json.out, "{\"schema\":1,\"file\":\"build.kdl\",\"written\":false}\n");
}

#[test]
fn a_file_with_faults_is_left_as_it_is_and_the_others_are_written() {
    let project = Project::new(UGLY);
    let broken = "kiln   1\ntask \"a\" {\n  inputs src/**/*.go\n}\n";
    project.write("broken.kdl", broken);
    project.kiln(&["fmt", "broken.kdl", "build.kdl"]).ends(3).says("syntax::glued-comment").says("formatted build.kdl");
    assert_eq!((project.read("broken.kdl").as_str(), project.read("build.kdl").as_str()), (broken, NICE));
    project.kiln(&["fmt", "nowhere.kdl"]).ends(2).says("nowhere.kdl");
    project.kiln(&["fmt", "."]).ends(3).says("it is a folder");
}

#[test]
fn a_file_keeps_its_mode_and_a_link_stays_a_link() {
    let project = Project::new("");
    project.write("far/real.kdl", UGLY);
    std::fs::set_permissions(project.path("far/real.kdl"), std::fs::Permissions::from_mode(0o640)).unwrap();
    project.remove("build.kdl");
    symlink("far/real.kdl", project.path("build.kdl")).unwrap();
    project.kiln(&["fmt"]).ends(0);
    assert!(std::fs::symlink_metadata(project.path("build.kdl")).unwrap().is_symlink());
    assert_eq!(std::fs::metadata(project.path("far/real.kdl")).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(project.read("far/real.kdl"), NICE);
    assert_eq!(std::fs::read_dir(project.path("far")).unwrap().count(), 1, "nothing else is left there");
}

#[test]
fn a_file_that_may_not_be_written_is_a_fault_and_stays() {
    let project = Project::new(UGLY);
    std::fs::set_permissions(project.path("build.kdl"), std::fs::Permissions::from_mode(0o444)).unwrap();
    project.kiln(&["fmt"]).ends(5).says("fmt::unwritable");
    assert_eq!(project.read("build.kdl"), UGLY);
}

#[test]
fn standard_input_goes_to_standard_output() {
    let project = Project::new("");
    let answer = |text: &str| {
        let mut child =
            project.command(&["fmt", "--stdin"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(answer(UGLY), (Some(0), NICE.to_owned(), String::new()));
    let (code, out, err) = answer("a b/c\n");
    assert_eq!((code, out.as_str()), (Some(3), ""));
    assert!(err.contains("standard input:1:3"), "{err}");
}

/// Every KDL text of this repository: plans, fixtures, blocks of the documentation.
fn texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut open) = (Vec::new(), ["fixtures", "plans", "docs", "README.md", "build.kdl"].map(|name| root.join(name)).to_vec());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let mut below: Vec<PathBuf> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            open.append(&mut below);
            continue;
        }
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if name.ends_with(".kdl") {
            found.push((name, text));
        } else if name.ends_with(".md") {
            let blocks = text.split("```kdl\n").skip(1).filter_map(|rest| rest.split("```").next());
            found.extend(blocks.enumerate().map(|(n, block)| (format!("{name} block {n}"), block.to_owned())));
        }
    }
    found.sort();
    found
}

#[test]
fn every_text_of_this_repository_is_formatted_in_one_go_or_refused_for_its_faults() {
    let mut formatted = 0;
    for (name, text) in texts() {
        let source = |text: &str| Arc::new(Source { name: name.clone(), text: text.to_owned() });
        match syntax::format::format(&source(&text)) {
            Ok(once) => {
                assert_eq!(syntax::format::format(&source(&once)).unwrap(), once, "{name}");
                formatted += 1;
            }
            Err(faults) => {
                assert!(syntax::parse(source(&text)).is_err() || text.contains('\0'), "{name}: {faults:?}");
            }
        }
    }
    assert!(formatted > 70, "{formatted}");
}

#[test]
fn the_plans_that_users_copy_have_the_one_form() {
    for (name, text) in texts().into_iter().filter(|(name, _)| name.starts_with("plans/") || name == "build.kdl") {
        let source = Arc::new(Source { name: name.clone(), text: text.clone() });
        assert_eq!(syntax::format::format(&source).unwrap(), text, "{name}: run `kiln fmt {name}`");
    }
}

#[test]
fn a_file_of_version_1_is_named_once_and_upgraded_with_its_comments() {
    let old = "/- kdl-version 1\n// what to run\nlayout r\"C:\\x\" {\n\tpane size=1 borderless=true // a bar\n\ttext \"one\n two\"\n}\n";
    let project = Project::new(old);
    let ran = project.kiln(&["fmt"]).ends(3).says("this file is written in KDL 1").says("kiln fmt --upgrade");
    assert_eq!(ran.err.matches("syntax::").count(), 1, "{}", ran.err);
    project.kiln(&["check"]).ends(3).says("kiln fmt --upgrade");
    assert_eq!(project.read("build.kdl"), old);
    project.kiln(&["fmt", "--upgrade"]).ends(0).says("formatted build.kdl");
    let new = "/- kdl-version 2\n// what to run\nlayout #\"C:\\x\"# {\n    pane size=1 borderless=#true // a bar\n    text \"\"\"\n        one\n         two\n        \"\"\"\n}\n";
    assert_eq!(project.read("build.kdl"), new);
    project.write("build.kdl", "a true 1.2.3\n");
    project.kiln(&["fmt", "--upgrade"]).ends(3).says("build.kdl as KDL 2:1:9").says("syntax::unquoted-version");
}
