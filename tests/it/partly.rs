//! A run after a few files changed looks at the steps that these files reach, and at no other: what it says, records and leaves is what a
//! run that looks at every step says, records and leaves.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use proptest::prelude::*;
use serde_json::Value;

use crate::glance::{forget, kept, last_events, timeless, until_kept};
use crate::project::Project;

/// A task: which sources it reads, and the outputs of which tasks before it.
type Task = (Vec<usize>, Vec<usize>);

#[derive(Debug, Clone)]
enum Edit {
    /// Writes this text to a source.
    Write(usize, u8),
    /// Writes the same text once more.
    Touch(usize),
    /// Makes a source executable, or no longer.
    Mode(usize),
    /// Takes an output away.
    Remove(usize),
    /// Writes something else to an output.
    Spoil(usize),
}

fn plan(tasks: &[Task]) -> String {
    let mut text = "kiln 1\nproject \"t\" { default \"all\" \"t1\"; }\n".to_owned();
    for (n, (sources, needs)) in tasks.iter().enumerate() {
        let mut inputs: Vec<String> = sources.iter().map(|source| format!("src/{source}")).collect();
        let mut files = inputs.join(" ");
        let mut more = String::new();
        for need in needs {
            // Now and then the whole product is meant, and no file of it is read, or only the order.
            match (n + need) % 5 {
                0 => writeln!(more, "    needs \"t{need}\""),
                1 => writeln!(more, "    after \"t{need}\""),
                _ => {
                    inputs.push(format!("out/{need}"));
                    write!(files, " out/{need}")
                }
            }
            .unwrap();
        }
        let inputs = inputs.iter().map(|input| format!("\"{input}\"")).collect::<Vec<_>>().join(" ");
        let matrix = if n % 4 == 3 { "    matrix { m a b; }\n" } else { "" };
        let (out, told) = if n % 4 == 3 { (format!("out/{n}-${{m}}"), "$m") } else { (format!("out/{n}"), "") };
        // The content of some sources is lost on the way, so that what follows stays as it is; a text of `fail` ends it.
        let filter = if n % 3 == 0 { "| wc -l" } else { "" };
        writeln!(
            text,
            "task \"t{n}\" {{\n{matrix}    inputs {inputs}\n{more}    outputs \"{out}\"\n    run #\"cat {files} {filter} > {}; echo t{n}{told}; ! grep -q fail {files}\"#\n}}",
            out.replace("${m}", "$m"),
        )
        .unwrap();
    }
    let names: Vec<String> = (0..tasks.len()).map(|n| format!("\"t{n}\"")).collect();
    writeln!(text, "group \"some\" {}\ngroup \"all\" \"some\" {}", names[..2].join(" "), names[1..].join(" ")).unwrap();
    text
}

fn edit(project: &Project, edit: &Edit, outputs: &[String]) {
    let source = |n: &usize| format!("src/{}", n % SOURCES);
    let output = |n: &usize| &outputs[n % outputs.len()];
    match edit {
        Edit::Write(n, text) => {
            project.write(&source(n), if *text == 0 { "fail\n".to_owned() } else { format!("{text}\n") });
        }
        Edit::Touch(n) => {
            let text = project.read(&source(n));
            project.write(&source(n), text);
        }
        Edit::Mode(n) => {
            let path = project.path(&source(n));
            let mode = fs::metadata(&path).unwrap().permissions().mode() ^ 0o100;
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        Edit::Remove(n) => {
            let _ = fs::remove_file(project.path(output(n)));
        }
        Edit::Spoil(n) => {
            project.write(output(n), "spoilt");
        }
    }
}

const SOURCES: usize = 5;

/// The lines of a screen in an order of their own, without times.
fn screen(out: &str) -> Vec<String> {
    let took = regex::Regex::new(r"  \d+ ms$|  \d+\.\d s$| \(saved [^)]*\)").unwrap();
    let mut lines: Vec<String> = timeless(out).lines().map(|line| took.replace_all(line, "").into_owned()).collect();
    lines.sort();
    lines
}

fn recorded(project: &Project) -> Vec<String> {
    let mut events = last_events(project);
    for event in &mut events {
        for name in ["took_ms", "saved_ms", "because"] {
            event.as_object_mut().unwrap().remove(name);
        }
    }
    let mut lines: Vec<String> = events.iter().map(Value::to_string).collect();
    lines.sort();
    lines
}

/// Files below `out` with their content and mode.
fn outputs(project: &Project) -> Vec<(String, Vec<u8>, u32)> {
    let look = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap(), mode)
    };
    let mut found: Vec<_> = fs::read_dir(project.path("out")).into_iter().flatten().map(look).collect();
    found.sort();
    found
}

fn tasks() -> impl Strategy<Value = Vec<Task>> {
    let task = |n: usize| {
        let needs: Vec<usize> = (0..n).filter(|need| need % 4 != 3).collect();
        let most = needs.len().min(3);
        (prop::sample::subsequence((0..SOURCES).collect::<Vec<_>>(), 1..=2), prop::sample::subsequence(needs, 0..=most))
    };
    (4_usize..9).prop_flat_map(move |count| (0..count).map(task).collect::<Vec<_>>())
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let one = prop_oneof![
        4 => (0..SOURCES, 0_u8..5).prop_map(|(n, text)| Edit::Write(n, text)),
        1 => (0..SOURCES).prop_map(Edit::Touch),
        1 => (0..SOURCES).prop_map(Edit::Mode),
        1 => (0_usize..20).prop_map(Edit::Remove),
        1 => (0_usize..20).prop_map(Edit::Spoil),
    ];
    prop::collection::vec(one, 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_run_that_looks_at_a_part_does_what_one_that_looks_at_all_does(
        tasks in tasks(),
        rounds in prop::collection::vec(edits(), 3..7),
    ) {
        let text = plan(&tasks);
        let twins = [Project::new(&text), Project::new(&text)];
        for project in &twins {
            for source in 0..SOURCES {
                project.write(&format!("src/{source}"), "1\n");
            }
            project.kiln(&["run", "-j1"]).ends(0);
        }
        let names: Vec<String> = outputs(&twins[0]).into_iter().map(|(name, ..)| format!("out/{name}")).collect();
        for edits in &rounds {
            for project in &twins {
                edits.iter().for_each(|one| edit(project, one, &names));
            }
            // Without `-k`, a failure would leave undone what had not begun.
            forget(&twins[1]);
            let [part, all] = twins.each_ref().map(|project| project.kiln(&["run", "-k", "-j1"]));
            prop_assert_eq!(part.code, all.code, "{}{}\n{}{}", part.out, part.err, all.out, all.err);
            // Which of several failures comes first, and is told of, depends on how long steps took before.
            if part.code == 0 {
                prop_assert_eq!(screen(&part.out), screen(&all.out));
            }
            let [here, there] = twins.each_ref().map(recorded);
            let only = |these: &[String], those: &[String]| these.iter().filter(|line| !those.contains(line)).cloned().collect::<Vec<_>>();
            prop_assert_eq!(only(&here, &there), only(&there, &here));
            prop_assert_eq!(here.len(), there.len());
            prop_assert_eq!(outputs(&twins[0]), outputs(&twins[1]));
        }
        twins[0].kiln(&["history", "verify"]).ends(0);
    }
}

const CHAIN: &str = "kiln 1\nproject \"t\" { default \"all\"; }\n\
    task \"one\" { inputs \"src/one\"; outputs \"a\"; run \"cp src/one a; ! grep fail a\"; }\n\
    task \"two\" { inputs \"a\"; outputs \"b\"; run \"cp a b\"; }\n\
    task \"far\" { inputs \"src/far\"; outputs \"c\"; run \"cp src/far c; echo far says\"; }\n\
    group \"all\" \"one\" \"two\" \"far\"\n";

fn chain() -> Project {
    let project = Project::new(CHAIN);
    project.write("src/one", "1").write("src/far", "2");
    project.kiln(&["run"]).ends(0).says("3 ran");
    project
}

/// Whether the next run looks at no file that has nothing to do with what changed: it would write down what it holds.
fn looks_at_a_part(project: &Project, run: impl FnOnce()) -> bool {
    let learnt = kept(project, "files").remove(0);
    let before = fs::read(&learnt).unwrap();
    fs::remove_file(&learnt).unwrap();
    run();
    let now = fs::read(&learnt).unwrap();
    let names = |bytes: &[u8]| bytes.windows(8).filter(|window| window == b"/src/far").count();
    assert_eq!(names(&before), 1);
    names(&now) == 0
}

#[test]
fn only_what_a_changed_file_reaches_is_looked_at() {
    let project = chain();
    for (round, change) in ["first", "second", "1"].into_iter().enumerate() {
        project.write("src/one", change);
        let part = looks_at_a_part(&project, || {
            project.kiln(&["run"]).ends(0).says(if change == "1" { "✓ 3 steps: 3 cached" } else { "✓ 3 steps: 2 ran, 1 cached" });
        });
        assert!(part, "round {round}");
        assert_eq!(project.read("b"), change);
        // What is not in the memory of files any more is learnt by a run that looks at all.
        forget(&project);
        until_kept(&project, "rerun-", &["run"]);
    }
    let again = project.write("src/far", "other").kiln(&["run"]).ends(0);
    again.says("far │ far says").says("1 ran, 2 cached");
}

#[test]
fn a_step_that_was_named_tells_what_it_said_when_another_one_runs() {
    let project = chain();
    let asked = ["run", "far", "two"];
    project.kiln(&asked).ends(0);
    project.kiln(&asked).ends(0).says("far │ far says").says("3 cached");
    project.write("src/one", "new");
    project.kiln(&asked).ends(0).says("far │ far says").says("2 ran, 1 cached");
    project.kiln(&asked).ends(0).says("far │ far says").says("3 cached");
}

#[test]
fn after_a_failure_the_next_run_still_looks_at_a_part() {
    let project = chain();
    project.write("src/one", "fail");
    project.kiln(&["run"]).ends(1).says("1 of 4 steps failed; 1 cached, 2 skipped");
    assert_eq!(project.read("b"), "1");
    project.write("src/one", "mended");
    assert!(looks_at_a_part(&project, || {
        project.kiln(&["run"]).ends(0).says("2 ran, 1 cached");
    }));
    assert_eq!(project.read("b"), "mended");
}

#[test]
fn a_file_that_is_read_through_a_link_reaches_who_reads_the_link() {
    let project = Project::new(
        "kiln 1\nproject \"t\" { default \"all\"; }\n\
         task \"named\" { inputs \"real\"; outputs \"a\"; run \"cp real a\"; }\n\
         task \"linked\" { inputs \"link\"; outputs \"b\"; run \"cp link b\"; }\n\
         group \"all\" \"named\" \"linked\"\n",
    );
    project.write("real", "1");
    symlink("real", project.path("link")).unwrap();
    for content in ["1", "2", "3"] {
        project.write("real", content);
        project.kiln(&["run"]).ends(0);
        project.kiln(&["run"]).ends(0).says("2 cached");
        assert_eq!((project.read("a").as_str(), project.read("b").as_str()), (content, content));
    }
}

#[test]
fn a_file_in_a_named_folder_reaches_who_reads_the_folder() {
    let project = Project::new(
        "kiln 1\nproject \"t\" { default \"all\"; }\n\
         task \"file\" { inputs \"src/a\"; outputs \"a\"; run \"cp src/a a\"; }\n\
         task \"folder\" { inputs \"src\"; outputs \"b\"; run \"cat src/* > b\"; }\n\
         group \"all\" \"file\" \"folder\"\n",
    );
    project.write("src/a", "1").write("src/b", "1");
    project.kiln(&["run"]).ends(0);
    for content in ["2", "3"] {
        until_kept(&project, "rerun-", &["run"]);
        project.write("src/a", content);
        project.kiln(&["run"]).ends(0).says("2 ran");
        assert_eq!((project.read("a"), project.read("b")), (content.to_owned(), format!("{content}1")));
    }
    project.write("src/c", "new").kiln(&["run"]).ends(0).says("1 ran");
    assert_eq!(project.read("b"), "31new");
}
