//! Tasks as a user runs them: what runs, what does not, and what stands there afterwards.

use crate::layouts;
use crate::project::Project;

/// `make` copies `in.txt` to `out/a` and `out/b`, and says that it ran in a file beside the project.
const COPY: &str = r##"
kiln 1
project "t" { default "make" }
param "word" default="one"
task "make" {
    inputs "in.txt"
    outputs "out/"
    env WORD="${word}"
    run "mkdir -p out; cat in.txt > out/a; echo $WORD > out/b; echo make >> ../ran"
}
"##;

fn copy() -> Project {
    let project = Project::new(COPY);
    project.write("in.txt", "hello\n").write("side.txt", "side\n");
    project.kiln(&["run"]).ends(0);
    assert_eq!(project.ran(), ["make"]);
    assert_eq!(project.read("out/a"), "hello\n");
    project
}

#[track_caller]
fn ran(project: &Project, args: &[&str], expected: &[&str]) {
    project.kiln(args).ends(0);
    assert_eq!(project.ran(), expected);
    assert_eq!(project.read("out/a"), project.read("in.txt"));
    assert!(project.has("out/b"));
}

#[test]
fn nothing_runs_when_nothing_changed() {
    ran(&copy(), &["run"], &[]);
}

#[test]
fn a_changed_byte_of_an_input_runs_the_step_and_why_names_the_file() {
    let project = copy();
    project.write("in.txt", "jello\n");
    project.kiln(&["why", "make"]).ends(0).says("in.txt");
    ran(&project, &["run"], &["make"]);
}

#[test]
fn a_touched_input_with_the_same_bytes_runs_nothing() {
    let project = copy();
    project.remove("in.txt").write("in.txt", "hello\n");
    ran(&project, &["run"], &[]);
}

#[test]
fn a_changed_parameter_runs_the_step_and_the_old_value_is_remembered() {
    let project = copy();
    ran(&project, &["run", "--set", "word=two"], &["make"]);
    assert_eq!(project.read("out/b"), "two\n");
    ran(&project, &["run"], &[]);
    assert_eq!(project.read("out/b"), "one\n");
}

#[test]
fn an_edited_command_runs_the_step() {
    let project = copy();
    project.write("build.kdl", COPY.replace("echo $WORD", "echo edited $WORD"));
    ran(&project, &["run"], &["make"]);
}

#[test]
fn an_undeclared_file_is_no_input() {
    let project = copy();
    project.write("side.txt", "other\n");
    ran(&project, &["run"], &[]);
}

#[test]
fn deleted_outputs_are_restored_without_a_command() {
    let project = copy();
    project.remove("out");
    ran(&project, &["run"], &[]);
}

#[test]
fn restored_files_have_the_same_mode_whatever_the_umask_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut project = Project::new(
        "kiln 1\nproject \"t\" { default \"m\"; }\ntask \"m\" { inputs \"in\"; outputs \"o/\"; run \"mkdir -p o/d; echo x > o/d/x; echo y > o/y; chmod 700 o/y; echo m >> ../ran\"; }\n",
    );
    project.write("in", "").kiln(&["run"]).ends(0);
    project.remove("o");
    project.prefix(&["sh", "-c", "umask 077; exec \"$@\"", "sh"].map(str::to_owned));
    project.kiln(&["run"]).ends(0).says("restored");
    assert_eq!(project.ran(), ["m"]);
    for (name, mode) in [("o/d", 0o755), ("o/d/x", 0o644), ("o/y", 0o755)] {
        assert_eq!(std::fs::metadata(project.root().join(name)).unwrap().permissions().mode() & 0o7777, mode, "{name}");
    }
}

#[test]
fn what_changed_is_told_also_when_the_record_alone_knows_what_went_into_the_key() {
    let project = copy();
    let blobs = project.cache().join("store/v1/blobs");
    assert!(!blobs.exists() || std::fs::read_dir(blobs).unwrap().count() == 0, "all of it is small");
    project.write("in.txt", "other\n");
    project.kiln(&["why", "make"]).ends(0).says("in.txt");
    project.write("in.txt", "hello\n").remove("out");
    project.kiln(&["run"]).ends(0);
    assert_eq!(project.ran(), [""; 0]);
}

#[test]
fn one_deleted_file_of_an_output_folder_is_restored() {
    let project = copy();
    project.remove("out/b");
    ran(&project, &["run"], &[]);
}

#[test]
fn a_tampered_output_is_noticed_and_repaired() {
    let project = copy();
    project.write("out/a", "HELLO\n");
    ran(&project, &["run"], &[]);
}

#[test]
fn a_stray_file_in_an_output_folder_is_removed() {
    let project = copy();
    project.write("out/stray", "");
    project.kiln(&["run"]).ends(0);
    assert!(!project.has("out/stray"));
    assert_eq!(project.ran(), [""; 0]);
}

const CHAIN: &str = r##"
kiln 1
project "t" { default "last" }
task "first" {
    inputs "in.txt"
    outputs "out/first"
    run "sed 's/#.*//' in.txt > out/first; echo first >> ../ran"
}
task "last" {
    inputs "out/first"
    outputs "out/last"
    run "cat out/first out/first > out/last; echo last >> ../ran"
}
task "other" {
    inputs "other.txt"
    outputs "out/other"
    run "cp other.txt out/other; echo other >> ../ran"
}
group "all" "last" "other"
"##;

fn chain() -> Project {
    let project = Project::new(CHAIN);
    project.write("in.txt", "text # remark\n").write("other.txt", "o");
    project.kiln(&["run", "all"]).ends(0);
    assert_eq!(project.ran(), ["first", "last", "other"]);
    project
}

#[test]
fn exactly_the_steps_that_depend_on_a_changed_file_run() {
    let project = chain();
    project.write("in.txt", "new # remark\n");
    project.kiln(&["run", "all"]).ends(0);
    assert_eq!(project.ran(), ["first", "last"]);
    project.write("other.txt", "p");
    project.kiln(&["run", "all"]).ends(0);
    assert_eq!(project.ran(), ["other"]);
}

#[test]
fn an_output_that_did_not_change_ends_the_work_there() {
    let project = chain();
    project.write("in.txt", "text # another remark\n");
    project.kiln(&["run", "all"]).ends(0);
    assert_eq!(project.ran(), ["first"]);
}

const FAILING: &str = r##"
kiln 1
project "t" { default "all" }
task "bad" { run "echo before; echo the-reason >&2; exit 7" }
task "after" {
    needs "bad"
    run "echo after >> ../ran"
}
task "slow" { run "sleep 0.3; echo slow >> ../ran" }
group "all" "bad" "after" "slow"
"##;

#[test]
fn a_failing_step_shows_its_log_once_and_its_dependants_are_skipped() {
    let project = Project::new(FAILING);
    let ran = project.kiln(&["run", "--keep-going"]).ends(1).says("exit code 7").says("skipped");
    let shown = format!("{}{}", ran.out, ran.err);
    assert_eq!(shown.matches("the-reason").count(), 1, "{shown}");
    assert_eq!(project.ran(), ["slow"]);
}

#[test]
fn without_keep_going_no_new_step_starts_after_a_failure() {
    let project = Project::new(FAILING);
    project.kiln(&["run", "-j", "1", "bad", "slow"]).ends(1);
    assert_eq!(project.ran(), [""; 0]);
}

#[test]
fn a_failed_step_leaves_no_result() {
    let project = Project::new(
        "kiln 1\ntask \"t\" {\n    inputs \"in\"\n    outputs \"out\"\n    run \"echo t >> ../ran; cp in out; test -e ok\"\n}\n",
    );
    project.write("in", "x");
    project.kiln(&["run", "t"]).ends(1);
    project.write("ok", "");
    project.kiln(&["run", "t"]).ends(0);
    assert_eq!(project.ran(), ["t", "t"]);
}

#[test]
fn an_unknown_target_is_a_usage_error_with_the_closest_name() {
    copy().kiln(&["run", "mkae"]).ends(2).says("did you mean `make`");
}

#[test]
fn a_target_can_be_named_without_run() {
    copy().kiln(&["make"]).ends(0);
}

#[test]
fn five_faults_give_five_diagnostics_and_exit_code_three() {
    let project = Project::new(
        "kiln 1\ntask \"a\" { rnu \"x\" }\ntask \"b\" { needs \"nobody\"; run \"x\" }\ntask \"c\" { inputs \"/etc\"; run \"x\" }\nimagine \"d\"\ntask \"e\" { timeout \"soon\"; run \"x\" }\n",
    );
    for command in [&["check"][..], &["run"], &["plan"]] {
        let ran = project.kiln(command).ends(3);
        let shown = format!("{}{}", ran.out, ran.err);
        assert_eq!(shown.matches("plan::").count(), 5, "{shown}");
    }
}

#[test]
fn names_of_every_kind_survive() {
    use std::os::unix::ffi::OsStrExt as _;
    let project = Project::new(
        "kiln 1\ntask \"t\" {\n    inputs \"in/\"\n    outputs \"out/\"\n    run \"mkdir -p out; cp -a in/. out/; echo t >> ../ran\"\n}\n",
    );
    for name in [&b"a b"[..], b"new\nline", b"\xff\xfe", b"-rf", b"quote\"'\\", "\u{fc}\u{202e}".as_bytes()] {
        std::fs::create_dir_all(project.path("in")).unwrap();
        std::fs::write(project.path("in").join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    project.write("in/empty", "");
    std::os::unix::fs::symlink("a b", project.path("in/link")).unwrap();
    std::os::unix::fs::symlink("nowhere", project.path("in/dangling")).unwrap();
    project.kiln(&["run", "t"]).ends(0);
    let before = listing(&project);
    project.remove("out");
    project.kiln(&["run", "t"]).ends(0);
    assert_eq!(project.ran(), ["t"]);
    assert_eq!(listing(&project), before);
}

fn listing(project: &Project) -> Vec<u8> {
    std::process::Command::new("sh")
        .args(["-c", "cd out && find . -mindepth 1 -printf '%p %l %m %s\\0' | sort -z"])
        .current_dir(project.root())
        .output()
        .unwrap()
        .stdout
}

#[test]
fn the_plan_digest_is_the_same_in_another_folder_for_another_user_and_time_zone() {
    let plan = |project: &Project| project.kiln(&["plan", "--digest"]).ends(0).out;
    let (one, mut two) = (copy(), Project::new(COPY));
    two.write("in.txt", "hello\n");
    two.env("TZ", "Pacific/Auckland").env("LC_ALL", "de_DE.UTF-8").env("USER", "somebody");
    assert_eq!(plan(&one), plan(&two));
    two.write("in.txt", "hellp\n");
    assert_ne!(plan(&one), plan(&two));
}

#[test]
fn literal_sources_that_are_missing_are_told_all_at_once_before_anything_runs() {
    let project = Project::new(
        r##"
kiln 1
task "first" { run "echo first >> ../ran" }
task "a" {
    needs "first"
    inputs "raedme.txt" "made" "*.none"
    run "true"
}
task "make" {
    outputs "made"
    run "touch made"
}
image "i" { copy "gone/" "/x"; from "oci:base" }
group "all" "a" "i"
"##,
    );
    project.write("readme.txt", "");
    let ran = project
        .kiln(&["run", "all"])
        .ends(3)
        .says("did you mean `readme.txt`")
        .says("`gone`")
        .says("`base`")
        .says("build.kdl:6")
        .never_says("`made`");
    assert_eq!(ran.err.matches("plan::missing-source").count(), 3, "{}", ran.err);
    assert_eq!(project.ran(), [""; 0]);
    project.kiln(&["run", "make"]).ends(0);
    project.write("raedme.txt", "");
    project.kiln(&["run", "a"]).ends(0).says("`*.none`");
    assert_eq!(project.ran(), ["first"]);
}

#[test]
fn an_input_that_changes_while_the_step_runs_leaves_no_result() {
    let project = Project::new(
        "kiln 1\ntask \"t\" {\n    inputs \"in\"\n    outputs \"out\"\n    run \"cat in > out; echo t >> ../ran; if test -e ../again; then echo more >> in; fi\"\n}\n",
    );
    project.write("in", "x").write("../again", "");
    project.kiln(&["run", "t"]).ends(0).says("`in` changed while it ran");
    project.remove("../again");
    project.write("in", "x");
    project.kiln(&["run", "t"]).ends(0).never_says("changed while it ran");
    assert_eq!(project.ran(), ["t", "t"], "the first run saw nobody knows what");
    project.kiln(&["run", "t"]).ends(0);
    assert_eq!(project.ran(), [""; 0]);
}

#[test]
fn a_step_after_one_that_may_fail_runs_and_is_not_recorded_until_it_did_well() {
    let project = Project::new(
        r##"
kiln 1
task "may" {
    allow-failure
    inputs "in"
    outputs "half"
    run "echo $$ > half; test -e ok"
}
task "then" {
    inputs "half"
    outputs "whole"
    run "cp half whole; echo then >> ../ran"
}
"##,
    );
    project.write("in", "");
    for _ in 0..2 {
        project.kiln(&["run", "then"]).ends(0).says("may");
        assert_eq!((project.ran(), project.read("whole")), (vec!["then".to_owned()], project.read("half")));
    }
    project.write("ok", "");
    project.kiln(&["run", "then"]).ends(0);
    assert_eq!(project.ran(), ["then"]);
    project.kiln(&["run", "then"]).ends(0);
    assert_eq!(project.ran(), [""; 0]);
}

#[test]
fn after_orders_without_requiring() {
    let project = Project::new(
        r##"
kiln 1
task "b" { run "echo b >> ../ran; exit 1" }
task "a" {
    after "b"
    run "test ! -e ../ran || echo a-after-b >> ../ran"
}
"##,
    );
    project.kiln(&["run", "a"]).ends(0);
    assert_eq!(project.ran(), [""; 0], "b was not asked for");
    project.kiln(&["run", "-k", "a", "b"]).ends(1);
    assert_eq!(project.ran(), ["a-after-b", "b"]);
}

#[test]
fn force_runs_what_was_named_and_replaces_its_result() {
    let project = chain();
    project.kiln(&["run", "all", "--force"]).ends(0);
    assert_eq!(project.ran(), ["last", "other"], "a group stands for its members");
    project.kiln(&["run", "first", "--force"]).ends(0);
    assert_eq!(project.ran(), ["first"]);
    project.kiln(&["run", "all"]).ends(0);
    assert_eq!(project.ran(), [""; 0]);
}

#[test]
fn cells_are_kept_apart_and_each_has_its_own_result() {
    let project = Project::new(
        r##"
kiln 1
task "t" {
    matrix { size small large; }
    inputs "${size}.txt"
    outputs "out/${size}"
    run "cp $size.txt out/$size; echo $size >> ../ran"
}
task "all" {
    inputs "out/*"
    run "cat out/small out/large"
}
"##,
    );
    project.write("small.txt", "s").write("large.txt", "l");
    project.kiln(&["run", "all"]).ends(0);
    assert_eq!(project.ran(), ["large", "small"]);
    project.write("large.txt", "L");
    project.kiln(&["run", "t[size=small]"]).ends(0);
    assert_eq!(project.ran(), [""; 0]);
    project.kiln(&["run", "t"]).ends(0);
    assert_eq!(project.ran(), ["large"]);
}

#[test]
fn an_image_is_built_on_its_base_also_when_it_needs_another_image() {
    let project = Project::new(
        r##"
kiln 1
image "aaa" {
    copy "a" "/a"
    tag "1"
    push out
}
image "base" {
    copy "b" "/b"
    tag "1"
    push out
}
image "web" {
    needs "aaa"
    from "base"
    copy "c" "/c"
    tag "1"
    push out
}
registry "out" "oci:out"
"##,
    );
    project.write("a", "a").write("b", "b").write("c", "c");
    project.kiln(&["run", "web", "aaa", "base"]).ends(0);
    let layers = image_layers(&project, "out/web");
    let (aaa, base) = (image_layers(&project, "out/aaa"), image_layers(&project, "out/base"));
    assert_eq!((layers.len(), &layers[0]), (2, &base[0]));
    assert_ne!(layers[0], aaa[0]);
}

/// The layers of the only image in an OCI layout.
fn image_layers(project: &Project, layout: &str) -> Vec<String> {
    let mut manifest = layouts::document(project, layout, &layouts::index(project, layout)["manifests"][0]);
    if manifest.get("manifests").is_some() {
        manifest = layouts::document(project, layout, &manifest["manifests"][0]);
    }
    manifest["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

const SLOW: &str = "kiln 1\ntask \"t\" { run \"touch begun; sleep 60 & sleep 60\"; }\ntask \"u\" { needs \"t\"; run \"true\"; }\n";

#[test]
fn a_signal_ends_kiln_and_all_that_it_started_with_a_code_that_names_it() {
    for (signal, code) in [("HUP", 129), ("INT", 130), ("TERM", 143)] {
        let mut project = Project::new(SLOW);
        // Under nohup the tests' own HUP is ignored, which kiln would rightly take over.
        project.prefix(&["env", "--default-signal=HUP"].map(str::to_owned));
        let mut kiln = project.start(&["run", "u"]);
        project.wait_for("begun");
        let sent = std::process::Command::new("kill").args(["-s", signal, &kiln.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(kiln.wait().unwrap().code(), Some(code), "{signal}");
        project.is_left_alone();
    }
}

#[test]
fn a_reader_that_goes_away_changes_no_exit_code() {
    let noisy = "kiln 1\ntask \"good\" { run \"seq 100000\"; }\ntask \"bad\" { run \"seq 100000; exit 3\"; }\n";
    let project = Project::new(noisy);
    for (task, code) in [("good", 0), ("bad", 1)] {
        for arguments in [&["run", "-v", task][..], &["--json", "run", task]] {
            let mut command = project.command(arguments);
            let mut kiln = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
            drop(kiln.stdout.take());
            let output = kiln.wait_with_output().unwrap();
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!((output.status.code(), err.contains("panicked")), (Some(code), false), "{arguments:?} {err}");
        }
    }
}

#[test]
fn closed_streams_change_no_exit_code() {
    let mut project = copy();
    for closed in ["exec \"$@\" >&-", "exec \"$@\" 2>&-", "exec \"$@\" <&- >&- 2>&-"] {
        project.prefix(&["sh", "-c", closed, "sh"].map(str::to_owned));
        project.kiln(&["run", "--force"]).ends(0);
        project.kiln(&["run", "mkae"]).ends(2);
    }
}

#[test]
fn a_slow_reader_of_a_stream_that_does_not_block_gets_every_byte() {
    use std::io::Read as _;
    let project = Project::new("kiln 1\ntask \"good\" {\n    inputs \"in\"\n    run \"seq 100000\"\n}\n");
    project.write("in", "");
    project.kiln(&["run", "good"]).ends(0);
    for arguments in [&["log", "good"][..], &["run", "-v", "--force", "good"], &["run", "--json", "--force", "good"]] {
        // Programs that were written for node inherit pipes of this kind.
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
        let mut kiln = project.command(arguments).stdout(writer.try_clone().unwrap()).spawn().unwrap();
        let has_room = || {
            let mut pipe = [rustix::event::PollFd::new(&writer, rustix::event::PollFlags::OUT)];
            rustix::event::poll(&mut pipe, Some(&rustix::event::Timespec::default())).unwrap() > 0
        };
        while has_room() {
            assert_eq!(kiln.try_wait().unwrap(), None, "{arguments:?} ended before the pipe was full");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        drop(writer);
        let mut got = String::new();
        std::fs::File::from(reader).read_to_string(&mut got).unwrap();
        assert_eq!(kiln.wait().unwrap().code(), Some(0), "{arguments:?}");
        for n in [1, 50_000, 99_999, 100_000] {
            assert!(
                got.contains(&format!("{n}\n")) || got.contains(&format!("{n}\\n")),
                "{arguments:?}: {n} is not among {} bytes",
                got.len()
            );
        }
    }
}

#[test]
fn colours_are_for_those_who_want_them() {
    for (name, value, arguments, expected) in [
        ("NO_COLOR", "1", &["run", "make"][..], false),
        ("CLICOLOR_FORCE", "1", &["run", "make"], true),
        ("CLICOLOR_FORCE", "1", &["run", "make", "--color", "never"], false),
        ("NO_COLOR", "1", &["run", "make", "--color", "always"], true),
        ("TERM", "xterm-256color", &["run", "make"], false),
    ] {
        let mut project = Project::new(COPY);
        project.write("in.txt", "");
        project.env(name, value);
        let ran = project.kiln(arguments).ends(0);
        assert_eq!(ran.out.contains('\x1b'), expected, "{name}={value} {arguments:?}: {:?}", ran.out);
    }
}

#[test]
fn a_file_that_cannot_be_read_fails_the_step_and_names_it() {
    let project = Project::new("kiln 1\ntask \"t\" {\n    inputs \"in/\"\n    run \"echo t >> ../ran\"\n}\n");
    project.write("in/a", "");
    let made = std::process::Command::new("mkfifo").arg(project.path("in/pipe")).status().unwrap();
    assert!(made.success());
    project.kiln(&["run", "t"]).ends(1).says("in/pipe");
    assert_eq!(project.ran(), [""; 0]);
}

#[test]
fn a_log_that_was_kept_is_shown_again() {
    let project = Project::new("kiln 1\ntask \"t\" {\n    inputs \"in\"\n    run \"echo words\"\n}\n");
    project.write("in", "");
    project.kiln(&["run", "t"]).ends(0);
    project.kiln(&["run", "t"]).ends(0);
    project.kiln(&["log", "t"]).ends(0).says("words");
}

#[test]
fn a_cached_test_that_is_asked_for_says_again_what_it_said() {
    let project = Project::new(
        "kiln 1\ntask \"t\" {\n    inputs \"in\"\n    run \"echo found-nothing; echo t >> ../ran\"\n}\ntask \"after\" {\n    needs \"t\"\n    run \"true\"\n}\n",
    );
    project.write("in", "x");
    project.kiln(&["run", "t"]).ends(0).says("found-nothing");
    project.kiln(&["run", "t"]).ends(0).says("found-nothing").says("1 cached");
    project.kiln(&["run", "after"]).ends(0).never_says("found-nothing");
    assert_eq!(project.ran(), ["t"]);
}

#[test]
fn a_project_that_is_no_repository_needs_no_git() {
    let mut project = Project::new(
        "kiln 1\nregistry \"r\" \"oci:dist\"\nimage \"i\" {\n    platforms amd64\n    copy \"file\" \"/file\"\n    user \"1\"\n    tag \"1\"\n    push r\n}\n",
    );
    project.write("file", "x");
    let nothing = project.path("no-programs");
    std::fs::create_dir(&nothing).unwrap();
    project.env("PATH", nothing.to_str().unwrap());
    project.kiln(&["run", "i"]).ends(0);
}

#[test]
fn a_step_that_cleans_up_takes_no_folder_from_under_another_one_that_writes_there() {
    let project = Project::new(
        "kiln 1\nproject \"t\" { default \"all\"; }\n\
         task \"first\" { inputs \"src\"; outputs \"out/deep/a\"; run #\"mkdir -p out/deep; cd out/deep; : > ../../first-is-in; \
         until [ -e ../../second-runs ]; do sleep 0.01; done; cat ../../src > a\"#; }\n\
         task \"gate\" { run \"until [ -e first-is-in ]; do sleep 0.01; done\"; }\n\
         task \"second\" { after \"gate\"; inputs \"src\"; outputs \"out/deep/b\"; run \": > second-runs; cp src out/deep/b\"; }\n\
         group \"all\" \"first\" \"gate\" \"second\"\n",
    );
    for content in ["one", "two"] {
        for name in ["first-is-in", "second-runs"] {
            let _ = std::fs::remove_file(project.path(name));
        }
        project.write("src", content);
        project.kiln(&["run", "-j3"]).ends(0);
        assert_eq!((project.read("out/deep/a").as_str(), project.read("out/deep/b").as_str()), (content, content));
    }
}
