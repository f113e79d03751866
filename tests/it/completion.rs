//! Completion, as the shells themselves ask for it.

use std::process::Command;

use super::parts;
use super::project::Project;

const PLAN: &str = r##"kiln 1
param "level" default="info" doc="how much it says" { choices debug info warn }
param "port" default="1"
each bin api worker {
    task "compile-${bin}" { doc "Compiles ${bin}"; platforms amd64 arm64; outputs "dist/${platform}/${bin}"; run "true" }
}
task "test" { doc "All tests"; run "true" }
task "deploy" { arg "env" doc="where to" { choices dev prod }; arg "wet" default=#true; flag "dry_run" short="d"; rest; run "true" }
image "web" { platforms amd64; copy "f" "/f"; scan }
"##;

fn project() -> Project {
    let project = Project::new(PLAN);
    project.write("f", "x");
    project
}

/// What a word can become, without descriptions.
fn candidates(project: &Project, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    let said = project.kiln(&[&["__complete", "--"], words.as_slice()].concat()).ends(0);
    said.out.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn every_word_has_its_candidates() {
    let project = project();
    for (line, expected) in [
        ("kiln te", "words test"),
        ("kiln comp", "words compile-api compile-worker completion"),
        ("kiln web/", "words web/build@linux/amd64 web/scan@linux/amd64"),
        ("kiln run compile-api@", "words compile-api@linux/amd64 compile-api@linux/arm64"),
        ("kiln run test we", "words web"),
        ("kiln test we", "words web"),
        ("kiln why compile-w", "words compile-worker compile-worker@linux/amd64 compile-worker@linux/arm64"),
        ("kiln load ", "words web"),
        ("kiln graph --format ", "words dot mermaid svg json"),
        ("kiln graph --format=s", "words --format=svg"),
        ("kiln --set l", "words level= level=debug level=info level=warn"),
        ("kiln --set=level=w", "words --set=level=warn"),
        ("kiln run --for", "words --force"),
        ("kiln plan --dig", "words --digest"),
        ("kiln explain query::un", "words query::unknown-function query::unknown-target"),
        ("kiln query some", "words somepath("),
        ("kiln completion ", "words bash zsh fish"),
        ("kiln -f ", "files"),
        ("kiln --file ", "files"),
        ("kiln 'te", "words test"),
        ("kiln run -- te", "words test"),
        ("kiln deploy e", "words env= env=dev env=prod"),
        ("kiln run deploy env=", "words env= env=dev env=prod"),
        ("kiln run deploy env=dev w", "words wet= wet=true wet=false web"),
        ("kiln deploy env=dev --dr", "words --dry-run"),
        ("kiln plan deploy --dr", "words --dry-run"),
        ("kiln why deploy env=p", "words env=prod"),
        ("kiln run deploy -- e", "words"),
        ("kiln run test e", "words"),
        ("kiln nothing-like-it", "words"),
        ("kiln --colo", "words --color"),
        ("kiln -j", "words"),
    ] {
        assert_eq!(candidates(&project, line).join(" "), expected, "{line}");
    }
}

#[test]
fn a_plan_with_faults_or_none_at_all_still_completes() {
    let project = project();
    project.write("build.kdl", PLAN.replace("run \"true\"", "rnu \"true\""));
    assert_eq!(candidates(&project, "kiln te"), ["words", "test"]);
    assert_eq!(candidates(&project, "kiln --set level=w"), ["words", "level=warn"]);
    project.write("build.kdl", format!("{PLAN}\n}}}}}} \"\"\" {{"));
    assert_eq!(candidates(&project, "kiln te"), ["words", "test"]);
    project.remove("build.kdl");
    assert_eq!(candidates(&project, "kiln chec"), ["words", "check"]);
    let said = project.kiln(&["__complete", "--", "te"]).ends(0);
    assert_eq!(said.err, "");
}

/// A shell with kiln in its PATH, in the project.
fn shell(project: &Project, program: &str, words: &[&str]) -> Option<String> {
    let kiln = std::path::Path::new(env!("CARGO_BIN_EXE_kiln")).parent().unwrap();
    let path = format!("{}:{}", kiln.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command
        .args(words)
        .current_dir(project.root())
        .env("PATH", path)
        .env("HOME", project.beside("home"))
        .env("KILN_CACHE_DIR", project.cache());
    match command.output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            parts::missing(program, &error.to_string());
            None
        }
    }
}

#[test]
fn bash_completes_names_with_its_own_separators_in_them() {
    let project = project();
    // Bash itself takes words apart at `:` and `=`; these are the words that it hands over.
    for (line, words, expected) in [
        ("kiln te", "kiln te", "test"),
        ("kiln web/b", "kiln web/b", "web/build@linux/amd64"),
        ("kiln --set level=w", "kiln --set level = w", "warn"),
        ("kiln --set level=", "kiln --set level =", "=|=debug|=info|=warn"),
        ("kiln explain query::m", "kiln explain query : : m", "mixed"),
        ("kiln explain query:", "kiln explain query :", ""),
        ("kiln test ", "kiln test ''", "compile-api|compile-worker|test|deploy|web"),
    ] {
        let script = format!(
            "source <(kiln completion bash); COMP_LINE={line:?}; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _kiln; IFS='|'; echo \"${{COMPREPLY[*]}}\""
        );
        let Some(said) = shell(&project, "bash", &["-c", &script]) else { return };
        let first = expected.strip_prefix("=|").map_or(expected.to_owned(), |rest| rest.replace('=', ""));
        if line.ends_with(':') {
            assert!(said.contains(":arguments"), "{line}: {said}");
        } else if line.ends_with("level=") {
            assert_eq!(said.trim_start_matches('|').trim(), first, "{line}");
        } else {
            assert_eq!(said.trim(), expected, "{line}");
        }
    }
}

#[test]
fn fish_completes() {
    let project = project();
    for (line, expected) in
        [("kiln te", "test\tAll tests"), ("kiln --set level=w", "level=warn"), ("kiln web/s", "web/scan@linux/amd64\tscan")]
    {
        let Some(said) = shell(&project, "fish", &["--no-config", "-c", &format!("kiln completion fish | source; complete -C '{line}'")])
        else {
            return;
        };
        assert_eq!(said.trim(), expected, "{line}");
    }
}

#[test]
fn zsh_completes() {
    let project = project();
    // What the shell's own `compadd` would be given is printed.
    let driver = r#"compdef() { }
compadd() { local name=$@[-1]; print -rl -- "${(@P)name}" }
_files() { print files }
source <(kiln completion zsh)
words=(kiln ${(z)1}); CURRENT=$#words; _kiln"#;
    for (typed, expected) in [
        ("te", "test"),
        ("--set level=w", "level=warn"),
        ("web/s", "web/scan@linux/amd64"),
        ("'web/s", "web/scan@linux/amd64"),
        ("explain query::m", "query::mixed"),
        ("-f b", "files"),
    ] {
        let Some(said) = shell(&project, "zsh", &["-f", "-c", driver, "zsh", typed]) else { return };
        assert_eq!(said.trim(), expected, "{typed}");
    }
}
