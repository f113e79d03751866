//! What a selection does not need is not asked for, and what was not asked for reaches nothing that is used.

use crate::project::Project;

/// Every command leaves a line behind, so that what was run is known.
const PLAN: &str = r##"
kiln 1
project "t" { default "test"; }
let version command="echo >> \"$HOME/version\"; echo 1.2.3"
let server command="echo >> \"$HOME/server\"; echo images"
let place command="echo >> \"$HOME/place\"; echo made"
let never command="echo >> \"$HOME/never\""
param "token" required
profile "far" { env SERVER="${server}"; }
registry "near" "oci:dist/${server}"
task "test" { exec "echo" "testing ${version}"; }
task "publish" { needs "test"; exec "echo" "to ${server} as ${token}"; }
task "make" { platforms "amd64"; outputs "out/${place}/x"; run "mkdir -p out/made && echo > out/made/x"; }
group "all" "test" "publish"
image "web" { platforms "amd64"; from scratch; copy "file" "/"; tag "${version}"; push near; }
"##;

/// How often each command ran since the last time.
fn ran(project: &Project) -> [usize; 4] {
    ["version", "server", "place", "never"].map(|name| {
        let path = project.beside("home").join(name);
        let lines = std::fs::read_to_string(&path).unwrap_or_default().lines().count();
        let _ = std::fs::remove_file(path);
        lines
    })
}

fn lazy() -> Project {
    let project = Project::new(PLAN);
    project.write("file", "x");
    project
}

#[test]
fn a_command_and_a_required_param_of_another_target_are_not_asked_for() {
    let project = lazy();
    // What the outputs of a task are called decides who makes what: that is asked for always.
    project.kiln(&["run", "test"]).ends(0).says("testing 1.2.3");
    assert_eq!(ran(&project), [1, 0, 1, 0], "run test");
    project.kiln(&["plan"]).ends(0).says("version = 1.2.3").never_says("server =").says("not known as a whole");
    assert_eq!(ran(&project), [1, 0, 1, 0], "plan");
    project.kiln(&["why", "test"]).ends(0);
    assert_eq!(ran(&project), [1, 0, 1, 0], "why");
    project.kiln(&["run", "web/build"]).ends(0);
    assert_eq!(ran(&project), [1, 0, 1, 0], "an image that is not published");
    project.kiln(&["run", "web"]).ends(0);
    assert_eq!(ran(&project), [1, 1, 1, 0], "an image that is published");
    assert!(project.has("dist/images"), "the registry has its true place");
    project.kiln(&["--profile", "far", "run", "test"]).ends(0);
    assert_eq!(ran(&project), [1, 1, 1, 0], "a profile that needs it");
}

#[test]
fn a_param_that_is_needed_is_a_fault_and_the_whole_plan_needs_all() {
    let project = lazy();
    for words in [&["run", "publish"][..], &["run", "all"], &["plan", "publish"], &["plan", "--digest"]] {
        project.kiln(words).ends(3).says("param `token` has no value");
    }
    ran(&project);
    project.kiln(&["run", "publish", "--set", "token=abc"]).ends(0).says("to images as abc");
    assert_eq!(ran(&project), [1, 1, 1, 0]);
    project.kiln(&["plan", "--set", "token=abc", "--digest"]).ends(0).says("blake3:");
    assert_eq!(ran(&project), [1, 1, 1, 0]);
    project.kiln(&["run", "nothing"]).ends(2).says("there is no target `nothing`");
    assert_eq!(ran(&project)[1..], [0, 1, 0]);
}

#[test]
fn whatever_was_kept_before_no_stand_in_reaches_a_step_a_key_or_a_tag() {
    let alone = |words: &[&str]| lazy().kiln(&[&["--set", "token=abc"], words].concat()).ends(0).out;
    let asked: [&[&str]; 6] = [
        &["check"],
        &["plan", "--json", "--keys", "test"],
        &["plan", "--json", "--keys", "publish"],
        &["plan", "--json", "--keys", "web"],
        &["plan", "--digest"],
        &["list"],
    ];
    let expected = asked.map(alone);
    let shared = lazy();
    for first in 0..asked.len() {
        for second in 0..asked.len() {
            for at in [first, second] {
                let answer = shared.kiln(&[&["--set", "token=abc"], asked[at]].concat()).ends(0).out;
                assert_eq!(answer, expected[at], "{:?} after {:?}", asked[at], asked[first]);
                assert!(!asked[at].contains(&"--keys") || !answer.contains("0.0.0"), "{answer}");
            }
        }
    }
}

#[test]
fn what_decides_which_steps_there_are_is_asked_before_they_are_chosen() {
    let project = Project::new(
        r##"
kiln 1
let other command="echo later"
let cell command="echo cell"
let os command="echo amd64"
let path command="echo made"
let yes command="echo false"
task "first" { inputs "out/**"; needs "${other}"; run "cat out/made/x"; }
task "later" { exec "echo" "later ran"; }
task "maker" { outputs "out/${path}/x"; run "mkdir -p out/made && echo made it > out/made/x"; }
task "cells" { matrix { v "${cell}" b; }; platforms "${os}"; exec "echo" "cell=${v}"; }
task "not" { when "${yes}"; exec "echo" "not ran"; }
group "all" "${other}" "not"
"##,
    );
    project.kiln(&["run", "first"]).ends(0).says("later ran").says("made it");
    project.kiln(&["run", "cells[v=cell]"]).ends(0).says("cell=cell").never_says("cell=b");
    project.kiln(&["run", "cells/run@amd64"]).ends(0).says("cell=b");
    project.kiln(&["run", "all"]).ends(0).says("later ran").never_says("not ran");
    project.kiln(&["run", "not"]).ends(0).says("left out");
}
