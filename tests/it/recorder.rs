//! Commands that only look execute nothing and connect to nothing, whatever the project holds: a system call recorder watches.

use std::process::Command;

use crate::parts::part;
use crate::project::{Project, Ran};

/// A plan that gives every planner a reason to start something: facts of a repository, bases in registries, tools, platforms.
const TEMPTING: &str = r##"
kiln 1
project "t" version="${git.version}" { default "web" }
param "word" default="$(touch ../ran)"
let branch "${git.branch|slug}"
let said command="touch ../ran; echo 1"
let version file="VERSION"
env-file "vars.env"
env SAID="${said}" VERSION="${version}"
include "sub/more.kdl" as="more"
tool "nosuchtool" version="1" check="nosuchtool --version"
registry "far" "registry.invalid/acme"
task "make" {
    inputs "in.txt"
    outputs "out/"
    tools "sh" "nosuchtool"
    env COMMIT="${git.sha}" WORD="${word}" BRANCH="${branch}"
    run "touch ../ran; mkdir -p out; cp in.txt out/a"
}
task "loud" {
    exec "sh" "-c" "touch ../ran"
}
image "web" {
    from "registry.invalid/base:1"
    copy "out/a" "/app"
    scan
    tag "${git.short}" "${branch}"
    push far
}
"##;

/// What the plan includes.
const MORE: &str = r##"
kiln 1
let said command="touch ../ran; echo 1"
task "t" { exec "echo" "${said}" }
"##;

/// A repository whose own configuration starts programs, before a `PATH` on which every program is hostile.
fn hostile() -> Project {
    let mut project = Project::new(TEMPTING);
    project.write("in.txt", "x").write("nice.kdl", "kiln 1\n").write("vars.env", "A=b\n").write("VERSION", "1\n");
    project.write("sub/more.kdl", MORE).commit();
    let evil = project.beside("evil");
    std::fs::create_dir_all(&evil).unwrap();
    for program in ["git", "sh", "docker", "nosuchtool", "docker-credential-evil"] {
        project.script("evil", "#!/bin/sh\ntouch \"$KILN_CACHE_DIR/../ran\"\nexit 1\n");
        std::fs::rename(project.path("evil"), evil.join(program)).unwrap();
    }
    let config =
        "[core]\n\tfsmonitor = touch ../ran\n\tsshCommand = touch ../ran\n\thooksPath = hooks\n[alias]\n\trev-parse = !touch ../ran\n";
    std::fs::write(project.path(".git/config"), config).unwrap();
    std::fs::create_dir_all(project.docker_config()).unwrap();
    std::fs::write(project.docker_config().join("config.json"), r#"{"credsStore":"evil"}"#).unwrap();
    let path = format!("{}:{}", evil.display(), std::env::var("PATH").unwrap());
    project.env("PATH", &path).env("DOCKER_HOST", "tcp://127.0.0.1:9");
    project
}

/// Runs kiln below the recorder. Gives how it ended, and the calls that start a program or open a way out.
fn recorded(project: &mut Project, strace: &str, args: &[&str]) -> (Ran, Vec<String>) {
    let record = project.beside("calls");
    let words = [strace, "-f", "-qq", "-e", "trace=execve,execveat,socket,connect,bind,sendto,sendmsg", "-e", "signal=none", "-o"];
    let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    words.push(record.to_str().unwrap().to_owned());
    project.prefix(&words);
    let ran = project.kiln(args);
    project.prefix(&[]);
    let calls = std::fs::read_to_string(record).unwrap();
    // Each line begins with the number of the process.
    let calls = calls.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim().to_owned());
    (ran, calls.collect())
}

fn recorder() -> Option<String> {
    let strace = part("strace")?.to_str().unwrap().to_owned();
    let works = Command::new(&strace).args(["-qq", "-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success());
    if !works {
        crate::parts::missing("strace", "this system lets no process be traced");
    }
    works.then_some(strace)
}

/// The names of all files below a folder.
fn files_below(folder: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let found = entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path.file_name().unwrap().to_string_lossy().into_owned()] });
    found.collect()
}

#[test]
fn commands_that_only_look_start_no_program_and_open_no_connection() {
    let Some(strace) = recorder() else { return };
    for args in LOOKING {
        let mut project = hostile();
        let before = project.snapshot("");
        let (ran, calls) = recorded(&mut project, &strace, args);
        ran.ends(0);
        assert!(calls[0].starts_with("execve(") && calls[0].contains("/kiln\""), "{args:?}: {calls:?}");
        assert!(calls.len() == 1, "{args:?}: {calls:?}");
        // The parsed text may be kept; nothing that was asked or found out.
        let kept = files_below(&project.cache());
        assert!(kept.iter().all(|name| name == "document") && project.ran().is_empty(), "{args:?} left {kept:?}");
        assert_eq!(project.snapshot(""), before, "{args:?} changed the project");
    }
}

/// Every command that promises to execute nothing.
const LOOKING: &[&[&str]] = &[
    &[],
    &["check"],
    &["check", "--json"],
    &["list"],
    &["list", "--json"],
    &["graph"],
    &["graph", "web", "--format", "mermaid"],
    &["graph", "--format", "json"],
    &["graph", "--format", "svg"],
    &["query", "inputs(deps(*))"],
    &["__complete", "--", "run", "w"],
    &["fmt", "--check", "nice.kdl"],
    &["fmt", "--diff"],
    &["explain", "plan::circle"],
    &["ci", "github"],
    &["schema"],
];

#[test]
fn commands_that_compare_with_a_commit_start_git_alone_and_nothing_that_its_configuration_names() {
    let Some(strace) = recorder() else { return };
    let plan = "kiln 1\nlet said command=\"touch ../ran; echo 1\"\ntask \"t\" { inputs \"in\"; env S=\"${said}\"; run \"touch ../ran\" }\n";
    for args in [&["affected", "--since", "HEAD"][..], &["diff", "HEAD"], &["why", "t", "--against", "HEAD"]] {
        let mut project = Project::new(plan);
        project.write("in", "1").commit();
        project.write("in", "2");
        let config = "[core]\n\tfsmonitor = touch ../ran\n\thooksPath = hooks\n[diff]\n\texternal = touch ../ran\n";
        let known = project.read(".git/config");
        project.write(".git/config", known + config);
        let (ran, calls) = recorded(&mut project, &strace, args);
        ran.ends(0).says("t");
        let started = calls.iter().filter(|call| call.starts_with("execve(") && !call.ends_with("(No such file or directory)"));
        let others: Vec<&String> = started.skip(1).filter(|call| !call.contains("/git\"")).collect();
        assert!(others.is_empty(), "{args:?}: {others:?}");
        assert!(calls.iter().any(|call| call.contains("/git\"")), "{args:?}: {calls:?}");
        assert!(!calls.iter().any(|call| call.contains("AF_INET")), "{args:?}: {calls:?}");
        assert_eq!(project.ran(), Vec::<String>::new(), "{args:?}");
        assert!(!project.beside("ran").exists(), "{args:?}");
    }
}

#[test]
fn the_recorder_sees_what_a_run_starts() {
    let Some(strace) = recorder() else { return };
    let mut project = Project::new("kiln 1\ntask \"t\" { run \"true\" }\n");
    let (ran, calls) = recorded(&mut project, &strace, &["run", "t"]);
    ran.ends(0);
    assert!(calls[1..].iter().any(|call| call.starts_with("execve(")), "{calls:?}");
}
