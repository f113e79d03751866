//! What `kiln plan` and `kiln run` keep when everything stands in place: what a command says and does never depends on whether it was there.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use crate::project::{Project, copy_kiln};

const PLAN: &str = r##"
kiln 1
project "t" { default "all"; }
param "greeting" default="hello"
profile "loud" { set greeting="HELLO"; }
task "one" {
    inputs "src/one" "link"
    outputs "out/one"
    run "cat src/one link > out/one"
}
task "many" {
    inputs "tree/**/*.c" "!tree/old/" "lib"
    outputs "out/many/"
    run "mkdir -p out/many/deep; cat tree/*.c > out/many/deep/all; : > out/many/empty"
}
task "late" {
    inputs "out/one" "maybe/*.txt"
    outputs "out/late-*"
    env LEVEL="${env.LEVEL|default('none')}" GREETING="${greeting}"
    run "cp out/one out/late-$GREETING"
}
group "all" "one" "many" "late"
"##;

fn project() -> Project {
    let project = Project::new(PLAN);
    for name in
        ["src/one", "tree/a.c", "tree/b.c", "tree/note", "tree/sub/c.c", "tree/old/d.c", "lib/x", "lib/sub/y", "target-1", "target-2"]
    {
        project.write(name, name);
    }
    symlink("target-1", project.path("link")).unwrap();
    project
}

/// All files below the folder of the cache that belongs to the project whose names begin so.
pub fn kept(project: &Project, begin: &str) -> Vec<PathBuf> {
    let projects = fs::read_dir(project.cache().join("projects")).into_iter().flatten();
    let folders = projects.map(|entry| entry.unwrap().path());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(begin)).collect()
}

fn says(project: &Project, args: &[&str]) -> (i32, String, String) {
    let ran = project.kiln(&[args, &["plan", "--json"]].concat());
    (ran.code, ran.out, ran.err)
}

/// Runs until answers of `plan` and of `run` are kept. Files must be older than a step of the clock before kiln believes what it sees of them.
fn settle(project: &Project) -> (i32, String, String) {
    project.kiln(&["run"]).ends(0);
    for name in [kept(project, "glance-"), kept(project, "rerun-")].concat() {
        fs::remove_file(name).unwrap();
    }
    until_kept(project, "rerun-", &["run"]);
    until_kept(project, "glance-", &["plan", "--json"]);
    says(project, &[])
}

/// Takes the answers of runs away, so that the next one goes the ordinary way.
pub fn forget(project: &Project) {
    kept(project, "rerun-").into_iter().for_each(|name| fs::remove_file(name).unwrap());
}

/// Runs kiln until it keeps a file whose name begins so.
pub fn until_kept(project: &Project, begin: &str, args: &[&str]) {
    let begun = SystemTime::now();
    while kept(project, begin).is_empty() {
        let ran = project.kiln(args);
        assert!(begun.elapsed().unwrap() < Duration::from_secs(20), "no answer is ever kept: {}{}", ran.out, ran.err);
    }
}

/// Writes a file anew with as many bytes, and sets its time of modification back.
fn rewrite_in_secret(path: PathBuf) {
    let (mut bytes, before) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    bytes[0] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
}

fn relink(path: PathBuf, target: &str) {
    fs::remove_file(&path).unwrap();
    symlink(target, path).unwrap();
}

type Change = (&'static str, Option<bool>, fn(&mut Project));

/// What can happen between two commands; whether the answer must be another one then, where that is certain.
const CHANGES: &[Change] = &[
    ("an input is rewritten with its size and time", Some(true), |p| rewrite_in_secret(p.path("src/one"))),
    ("a globbed input is rewritten with its size and time", Some(true), |p| rewrite_in_secret(p.path("tree/sub/c.c"))),
    ("an input in a named folder is rewritten", Some(true), |p| rewrite_in_secret(p.path("lib/sub/y"))),
    ("an input grows", Some(true), |p| {
        p.write("src/one", "much longer");
    }),
    ("an input is written with the same bytes", Some(false), |p| {
        p.write("src/one", "src/one");
    }),
    ("an input becomes executable", Some(true), |p| fs::set_permissions(p.path("src/one"), fs::Permissions::from_mode(0o755)).unwrap()),
    ("an input can be read by fewer", Some(false), |p| fs::set_permissions(p.path("src/one"), fs::Permissions::from_mode(0o600)).unwrap()),
    ("a link leads elsewhere", Some(true), |p| relink(p.path("link"), "target-2")),
    ("a link becomes a file", Some(true), |p| {
        fs::remove_file(p.path("link")).unwrap();
        p.write("link", "target-1");
    }),
    ("what a link leads to is rewritten", Some(true), |p| rewrite_in_secret(p.path("target-1"))),
    ("a file is added that a glob selects", Some(true), |p| {
        p.write("tree/new.c", "new");
    }),
    ("a file is added deep below a glob", Some(true), |p| {
        p.write("tree/sub/new.c", "new");
    }),
    ("a folder is added with a file that a glob selects", Some(true), |p| {
        p.write("tree/sub/x/y/new.c", "new");
    }),
    ("a file is added to a named folder", Some(true), |p| {
        p.write("lib/sub/new", "new");
    }),
    ("a folder comes into being that a glob begins at", Some(true), |p| {
        p.write("maybe/a.txt", "new");
    }),
    ("a link comes into being that a glob begins at", Some(false), |p| symlink("nowhere", p.path("maybe")).unwrap()),
    ("a file is added that nothing selects", Some(false), |p| {
        p.write("tree/other", "new");
    }),
    ("a file is added to what is left out", Some(false), |p| {
        p.write("tree/old/new.c", "new");
    }),
    ("an excluded file is rewritten", Some(false), |p| rewrite_in_secret(p.path("tree/old/d.c"))),
    ("a globbed input is removed", Some(true), |p| {
        p.remove("tree/b.c");
    }),
    ("a globbed input is renamed", Some(true), |p| fs::rename(p.path("tree/b.c"), p.path("tree/z.c")).unwrap()),
    ("a file is renamed into a glob", Some(true), |p| fs::rename(p.path("tree/note"), p.path("tree/note.c")).unwrap()),
    ("a named input is removed", Some(true), |p| {
        p.remove("src/one");
    }),
    ("a named folder is removed", Some(true), |p| {
        p.remove("lib");
    }),
    ("a folder of a glob is replaced by a link to a copy", Some(true), |p| {
        fs::rename(p.path("tree/sub"), p.path("elsewhere")).unwrap();
        symlink("../elsewhere", p.path("tree/sub")).unwrap();
    }),
    ("two inputs change places", Some(true), |p| {
        for (from, to) in [("tree/a.c", "x"), ("tree/b.c", "tree/a.c"), ("x", "tree/b.c")] {
            fs::rename(p.path(from), p.path(to)).unwrap();
        }
    }),
    ("an output is rewritten with its size and time", Some(true), |p| rewrite_in_secret(p.path("out/one"))),
    ("an output in a folder is rewritten", Some(true), |p| rewrite_in_secret(p.path("out/many/deep/all"))),
    ("an output is removed", Some(true), |p| {
        p.remove("out/one");
    }),
    ("all outputs are removed", Some(true), |p| {
        p.remove("out");
    }),
    ("a stray file stands in an output folder", Some(true), |p| {
        p.write("out/many/stray", "x");
    }),
    ("a stray file stands deep in an output folder", Some(true), |p| {
        p.write("out/many/deep/stray", "x");
    }),
    ("a stray folder stands in an output folder", Some(true), |p| fs::create_dir(p.path("out/many/stray")).unwrap()),
    ("a stray file matches an output's glob", Some(true), |p| {
        p.write("out/late-stray", "x");
    }),
    ("an output becomes executable", Some(true), |p| fs::set_permissions(p.path("out/one"), fs::Permissions::from_mode(0o755)).unwrap()),
    ("an output becomes a folder", Some(true), |p| {
        p.remove("out/one");
        fs::create_dir(p.path("out/one")).unwrap();
    }),
    ("the command of a task is another one", Some(true), |p| {
        p.write("build.kdl", PLAN.replace("cat src/one", "cat  src/one"));
    }),
    ("a comment is added to the plan", Some(false), |p| {
        p.write("build.kdl", PLAN.replace("group", "// all\ngroup"));
    }),
    ("a variable of the environment is set", Some(true), |p| {
        p.env("LEVEL", "high");
    }),
    ("a variable of the environment is set to nothing", Some(false), |p| {
        p.env("LEVEL", "");
    }),
    ("a parameter is set by the environment", Some(true), |p| {
        p.env("KILN_PARAM_GREETING", "servus");
    }),
    ("a profile is chosen by the environment", Some(true), |p| {
        p.env("KILN_PROFILE", "loud");
    }),
    ("the lock is broken", Some(true), |p| {
        p.write("kiln.lock", "<<<<<<<\n");
    }),
    ("the store and all else is removed", Some(true), |p| fs::remove_dir_all(p.cache()).unwrap()),
    // The file system may give the new folder the number of the old one, and what stands in place needs no store.
    ("the store is removed", None, |p| fs::remove_dir_all(p.cache().join("store")).unwrap()),
    ("the store is emptied by kiln", Some(false), |p| {
        p.kiln(&["cache", "gc", "--max-size", "0"]);
    }),
    ("the history is removed", Some(true), |p| kept(p, "steps").iter().for_each(|path| fs::remove_file(path).unwrap())),
    ("results and store's rows are removed", Some(true), |p| {
        fs::remove_file(&kept(p, "results")[0]).unwrap();
        fs::remove_dir_all(p.cache().join("store")).unwrap();
    }),
    // The times to expect are others.
    ("another run came between", None, |p| {
        p.kiln(&["run", "--force"]).ends(0);
    }),
    ("outputs are taken away by kiln", Some(true), |p| {
        p.kiln(&["clean"]);
    }),
    ("nothing happens", Some(false), |_| {}),
];

#[test]
fn after_every_change_a_kept_answer_makes_no_difference() {
    for (what, differs, change) in CHANGES {
        let mut project = project();
        let before = settle(&project);
        assert_eq!((before.0, before.1.matches("\"cached\"").count()), (0, 4), "{what}: {before:?}");
        change(&mut project);
        let with = says(&project, &[]);
        for name in kept(&project, "glance-") {
            fs::remove_file(name).unwrap();
        }
        let without = says(&project, &[]);
        assert_eq!(with, without, "{what}");
        assert!(differs.is_none_or(|differs| differs == (with != before)), "{what}: {with:?}");
        // The run that kept what it told finds the same changes, and nothing else.
        let in_place = without.0 == 0 && without.1.matches("\"cached\"").count() == 4;
        let ran = project.kiln(&["run"]);
        if in_place {
            assert_eq!((ran.code, ran.out.lines().count(), ran.err.as_str()), (0, 1, ""), "{what}: {}", ran.out);
            assert!(ran.out.contains(" 3 steps: 3 cached, in "), "{what}: {}", ran.out);
        } else {
            assert!(ran.code != 0 || ran.out.lines().count() > 1, "{what}: {}", ran.out);
        }
        assert!(without.0 == 0 || ran.code == without.0, "{what}: {}{}", ran.out, ran.err);
    }
}

/// A text without the times in it: how long something took, and GitLab's `section_start:1795346383:`.
pub fn timeless(text: &str) -> String {
    let section = regex::Regex::new(r"(section_(?:start|end)):\d+:").unwrap();
    let text = section.replace_all(text, "$1:T:");
    let mut words: Vec<&str> = text.split_inclusive([' ', '\n']).collect();
    for at in 1..words.len() {
        if words[at - 1] == "in " && words[at].starts_with(|c: char| c.is_ascii_digit()) {
            words[at] = "T ";
        }
    }
    words.concat()
}

/// The events of the last run, without what is another in each.
pub fn last_events(project: &Project) -> Vec<serde_json::Value> {
    let mut runs = kept(project, "2");
    runs.sort();
    let text = fs::read_to_string(runs.pop().unwrap()).unwrap();
    let event = |line: &str| {
        let mut event: serde_json::Value = serde_json::from_str(line).unwrap();
        let fields = event.as_object_mut().unwrap();
        for name in ["prev", "run", "at", "at_ms"] {
            fields.remove(name);
        }
        if fields["event"] == "run-ended" {
            fields.remove("took_ms");
        }
        event
    };
    text.lines().map(event).collect()
}

#[test]
fn a_run_in_which_nothing_changed_tells_and_records_what_it_would_without_a_kept_one() {
    let plan = "kiln 1\nproject \"t\" { default \"all\"; }\n\
        task \"loud\" { inputs \"src\"; outputs \"a\"; run \"cp src a; echo first; printf second\"; }\n\
        task \"mute\" { inputs \"a\"; outputs \"b\"; run \"cp a b\"; }\n\
        task \"wide\" { matrix { n 1 2 3; }; inputs \"src\"; run \"echo $n\"; }\n\
        group \"all\" \"loud\" \"mute\" \"wide\"\n";
    for server in ["none", "github", "gitlab"] {
        let mut project = Project::new(plan);
        project.write("src", "1");
        project.env("KILN_CI", server);
        for args in [&["run"][..], &["loud"], &["run", "mute", "loud", "-j1"], &["all", "-k", "--color=always"], &["wide[n=2]"]] {
            project.kiln(args).ends(0);
            forget(&project);
            until_kept(&project, "rerun-", args);
            // Whoever looks at files anew writes down what they hold.
            let learnt = kept(&project, "files").remove(0);
            let known = fs::read(&learnt).unwrap();
            fs::remove_file(&learnt).unwrap();
            let (fast, recorded) = (project.kiln(args), last_events(&project));
            assert!(!learnt.exists(), "{args:?}: what was kept was not used");
            fs::write(&learnt, known).unwrap();
            forget(&project);
            let (slow, expected) = (project.kiln(args), last_events(&project));
            assert_eq!((fast.code, timeless(&fast.out), fast.err), (slow.code, timeless(&slow.out), slow.err), "{args:?}");
            assert!(!expected.is_empty() && expected.len() == recorded.len());
            // Steps end in any order that their needs allow.
            let sorted = |mut events: Vec<serde_json::Value>| {
                events.sort_by_key(ToString::to_string);
                events
            };
            assert_eq!(sorted(recorded), sorted(expected), "{args:?}");
        }
        project.kiln(&["history", "verify"]).ends(0);
        project.kiln(&["replay", "-v"]).ends(0);
        project.kiln(&["log", "loud"]).ends(0).says("second");
    }
}

/// Steps that name each file they read and make: what they leave is known when they end.
const NAMED: &str = "kiln 1\nproject \"t\" { default \"all\"; }\n\
    task \"loud\" { inputs \"src\"; outputs \"a\"; run \"cp src a; echo first; printf second\"; }\n\
    task \"mute\" { inputs \"a\" \"other\"; outputs \"b\"; run \"cat a other > b\"; }\n\
    task \"wide\" { matrix { n 1 2 3; }; inputs \"src\"; run \"echo $n\"; }\n\
    group \"all\" \"loud\" \"mute\" \"wide\"\n";

fn named() -> Project {
    let project = Project::new(NAMED);
    project.write("src", "source").write("other", "other");
    project
}

#[test]
fn the_run_after_one_that_did_something_tells_and_records_what_it_would_without_a_kept_one() {
    let project = named();
    let changes: [fn(&Project); 4] = [
        |_| {},
        |project| {
            project.write("other", "changed");
        },
        |project| {
            project.remove("a").remove("b");
        },
        |project| {
            project.write("src", "changed").remove("b");
        },
    ];
    for (round, change) in changes.into_iter().enumerate() {
        change(&project);
        forget(&project);
        project.kiln(&["run"]).ends(0);
        // Whoever looks at files anew writes down what they hold.
        let learnt = kept(&project, "files").remove(0);
        let known = fs::read(&learnt).unwrap();
        fs::remove_file(&learnt).unwrap();
        let (fast, recorded) = (project.kiln(&["run"]), last_events(&project));
        assert!(!learnt.exists(), "{round}: the run that did something kept nothing");
        fs::write(&learnt, known).unwrap();
        forget(&project);
        let (slow, expected) = (project.kiln(&["run"]), last_events(&project));
        assert_eq!((fast.code, timeless(&fast.out), fast.err), (slow.code, timeless(&slow.out), slow.err), "{round}");
        let sorted = |mut events: Vec<serde_json::Value>| {
            events.sort_by_key(ToString::to_string);
            events
        };
        assert_eq!(sorted(recorded), sorted(expected), "{round}");
    }
}

#[test]
fn what_changes_after_a_run_that_did_something_is_found_by_the_next_one() {
    type Touch = (&'static str, fn(&Project));
    let changes: [Touch; 8] = [
        ("a source is rewritten with its size and time", |p| rewrite_in_secret(p.path("src"))),
        ("the other source is rewritten with its size and time", |p| rewrite_in_secret(p.path("other"))),
        ("an output is rewritten with its size and time", |p| rewrite_in_secret(p.path("a"))),
        ("the last output is rewritten with its size and time", |p| rewrite_in_secret(p.path("b"))),
        ("an output is removed", |p| {
            p.remove("a");
        }),
        ("an output becomes a link", |p| relink(p.path("b"), "a")),
        ("an output becomes executable", |p| fs::set_permissions(p.path("b"), fs::Permissions::from_mode(0o755)).unwrap()),
        ("a step has another command", |p| {
            p.write("build.kdl", NAMED.replace("cat a other", "cat other a"));
        }),
    ];
    for (what, change) in changes {
        let project = named();
        project.kiln(&["run"]).ends(0);
        assert_eq!(kept(&project, "rerun-").len(), 1, "{what}");
        change(&project);
        let ran = project.kiln(&["run"]).ends(0);
        assert!(ran.out.lines().count() > 1, "{what} was not seen: {}", ran.out);
        let parts = if what.contains("command") { ["other", "a"] } else { ["a", "other"] };
        assert_eq!(project.read("a"), project.read("src"), "{what}");
        assert_eq!(project.read("b"), parts.map(|name| project.read(name)).concat(), "{what}");
        let mode = fs::symlink_metadata(project.path("b")).unwrap().permissions().mode();
        assert_eq!(mode, 0o100_644, "{what}");
    }
}

#[test]
fn a_run_in_which_two_steps_saw_one_source_in_two_states_is_not_taken_for_done() {
    let project = Project::new(
        "kiln 1\ntask \"one\" { inputs \"src\"; outputs \"a\"; run \"cp src a\"; }\n\
         task \"sly\" { inputs \"a\"; outputs \"b\"; run \"echo more >> src; cp a b\"; }\n\
         task \"two\" { inputs \"src\" \"b\"; outputs \"c\"; run \"cat src b > c\"; }\n",
    );
    project.write("src", "first\n");
    project.kiln(&["run", "two"]).ends(0).says("3 ran");
    assert_eq!((project.read("a").as_str(), project.read("c").as_str()), ("first\n", "first\nmore\nfirst\n"));
    assert!(kept(&project, "rerun-").is_empty());
    project.kiln(&["run", "two"]).ends(0).never_says("3 cached");
    assert_eq!(project.read("a"), "first\nmore\n");
}

#[test]
fn steps_that_run_again_or_left_no_result_are_not_taken_for_done() {
    for (body, expected) in [
        ("task \"t\" { run \"echo t >> ../ran\" }", 2),
        ("task \"t\" { inputs \"src\"; run \"echo t >> ../ran; touch src\" }", 2),
        ("task \"t\" { inputs \"src\"; allow-failure; run \"echo t >> ../ran; exit 1\" }", 2),
        ("task \"t\" { inputs \"src\"; run \"echo t >> ../ran\" }", 1),
    ] {
        let project = Project::new(&format!("kiln 1\n{body}\n"));
        project.write("src", "x");
        project.kiln(&["run", "t"]).ends(0);
        project.kiln(&["run", "t"]).ends(0);
        assert_eq!(project.ran().len(), expected, "{body}");
    }
}

#[test]
fn a_run_that_wants_to_hear_of_every_step_is_carried_out() {
    let project = project();
    settle(&project);
    for (args, says) in [(&["run", "-v"][..], "many"), (&["run", "--json"], "step-ended"), (&["run", "--force", "one"], "1 ran")] {
        project.kiln(args).ends(0).says(says);
    }
    project.kiln(&["run", "--report", "junit=report.xml"]).ends(0);
    assert!(fs::read_to_string(project.path("report.xml")).unwrap().contains("many"));
}

#[test]
fn other_words_on_the_command_line_have_other_answers() {
    let project = project();
    let first = settle(&project);
    for args in [&["--set", "greeting=moin"][..], &["--profile", "loud"]] {
        let (warm, again) = (says(&project, args), says(&project, args));
        assert_eq!(warm, again, "{args:?}");
        assert_ne!(warm, first, "{args:?}");
    }
    let one = project.kiln(&["plan", "one", "--json"]).ends(0).out;
    assert_ne!(one, first.1);
    assert_eq!(project.kiln(&["plan", "one", "--json"]).ends(0).out, one);
    let screen = project.kiln(&["plan"]).ends(0).says("cached").never_says("{").out;
    assert_eq!(project.kiln(&["plan"]).ends(0).out, screen);
    assert_eq!(says(&project, &[]), first);
    assert_eq!(says(&project, &["--frozen"]).0, says(&project, &["--frozen"]).0);
}

#[test]
fn a_kept_answer_is_believed_only_whole() {
    let project = project();
    let first = settle(&project);
    // Whoever looks at files anew writes down what they hold.
    let learnt = kept(&project, "files").remove(0);
    fs::remove_file(&learnt).unwrap();
    assert_eq!(says(&project, &[]), first);
    assert!(!learnt.exists(), "the kept answer was not used");
    let place = kept(&project, "glance-").remove(0);
    let bytes = fs::read(&place).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 16) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        for content in [&bytes[..at], &damaged] {
            fs::write(&place, content).unwrap();
            assert_eq!(says(&project, &[]), first, "at {at}");
        }
    }
}

#[test]
fn plans_that_rest_on_commands_or_versions_of_tools_keep_no_answer() {
    for (line, extra) in [("env X=\"${said}\"", "let said command=\"echo x\"\n"), ("tools \"sh\"", "tool \"sh\" check=\"echo 1.2.3\"\n")] {
        let plan = format!("kiln 1\n{extra}task \"a\" {{ inputs \"src\"; outputs \"out\"; {line}; run \"cp src out\"; }}\n");
        let project = Project::new(&plan);
        project.write("src", "1");
        project.kiln(&["run", "a"]).ends(0);
        for _ in 0..4 {
            project.kiln(&["plan", "a"]).ends(0).says("cached");
            project.kiln(&["run", "a"]).ends(0).says("1 cached");
        }
        assert!(kept(&project, "glance-").is_empty() && kept(&project, "rerun-").is_empty(), "{line}");
    }
}

#[test]
fn programs_and_passed_variables_are_looked_at_before_a_kept_answer_is_believed() {
    let plan = "kiln 1\ntask \"a\" { inputs \"src\"; outputs \"out\"; pass-env \"LEVEL\"; tools \"my-tool\"; run \"my-tool > out\"; }\n";
    let tool = |project: &Project, folder: &str, says: &str| {
        project.write(&format!("{folder}/my-tool"), format!("#!/bin/sh\necho {says}\n"));
        fs::set_permissions(project.path(&format!("{folder}/my-tool")), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let mut project = Project::new(plan);
    project.write("src", "1");
    tool(&project, "../late", "one");
    fs::create_dir_all(project.path("../early")).unwrap();
    let folders = ["early", "late"].map(|name| project.path(&format!("../{name}")).to_str().unwrap().to_owned());
    let path = format!("{}:{}", folders.join(":"), std::env::var("PATH").unwrap());
    project.env("PATH", &path);
    let settled = |project: &Project| {
        project.kiln(&["run", "a"]).ends(0);
        forget(project);
        until_kept(project, "rerun-", &["run", "a"]);
        project.kiln(&["run", "a"]).ends(0).says("1 cached");
    };
    settled(&project);
    project.env("LEVEL", "high");
    project.kiln(&["run", "a"]).ends(0).says("1 ran");
    settled(&project);
    tool(&project, "../late", "two");
    project.kiln(&["run", "a"]).ends(0).says("1 ran");
    settled(&project);
    tool(&project, "../early", "three");
    project.kiln(&["run", "a"]).ends(0).says("1 ran");
    assert_eq!(fs::read_to_string(project.path("out")).unwrap(), "three\n");
}

#[test]
fn a_passed_variable_that_is_set_to_nothing_is_another_than_one_that_is_not_set() {
    let plan =
        "kiln 1\ntask \"t\" {\n    inputs \"in\"\n    outputs \"out\"\n    pass-env \"V\"\n    run #\"echo \"${V-unset}\" > out\"#\n}\n";
    for plain in [true, false] {
        // Also the answer that a run keeps which found everything in place.
        let mut project = Project::new(plan);
        project.write("in", "");
        project.kiln(&["run", "t"]).ends(0);
        if plain {
            until_kept(&project, "rerun-", &["run", "t"]);
        }
        assert_eq!(project.read("out"), "unset\n");
        project.env("V", "");
        project.kiln(&["run", "t"]).ends(0);
        assert_eq!(project.read("out"), "\n");
    }
}

#[test]
fn a_plan_that_asks_git_or_a_file_keeps_an_answer_until_they_say_something_else() {
    let plan = "kiln 1\nlet version file=\"VERSION\"\ntask \"a\" { inputs \"src\"; outputs \"out\"; env V=\"${version} ${git.branch|default('none')}\"; run \"cp src out\"; }\n";
    let project = Project::new(plan);
    project.write("src", "1").write("VERSION", "1.0").git(&["init", "-q", "-b", "one"]);
    let plan = || project.kiln(&["plan", "a", "--json"]).ends(0).out;
    let kept = || {
        project.kiln(&["run", "a"]).ends(0);
        until_kept(&project, "glance-", &["plan", "a"]);
    };
    kept();
    assert!(plan().contains("\"cached\""));
    project.write("VERSION", "1.1");
    assert!(!plan().contains("\"cached\""), "the file says something else");
    kept();
    project.git(&["checkout", "-q", "-b", "two"]);
    assert!(!plan().contains("\"cached\""), "git says something else");
}

#[test]
fn another_program_does_not_believe_what_this_one_kept() {
    let mut project = project();
    let first = settle(&project);
    let other = project.path("kiln-copy");
    copy_kiln(&other);
    let place = kept(&project, "glance-").remove(0);
    let before = fs::read(&place).unwrap();
    project.program(&other);
    let began = Instant::now();
    while fs::read(&place).unwrap() == before {
        assert!(began.elapsed() < Duration::from_secs(20), "the other program never makes an answer of its own");
        assert_eq!(says(&project, &[]), first);
    }
    assert_eq!(says(&project, &[]), first);
}
