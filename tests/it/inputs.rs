//! Inputs and outputs that are no plain files, lie about their times, change under the step, or lead away.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::time::{Duration, SystemTime};

use crate::project::Project;

const COPY: &str = "kiln 1\ntask \"t\" {\n    inputs \"src/\"\n    outputs \"out\"\n    run \"echo t >> ../ran; find src -type f | sort | xargs cat > out\"\n}\n";

fn copy() -> Project {
    let project = Project::new(COPY);
    project.write("src/a", "a").write("src/b", "b");
    project
}

fn key(project: &Project) -> String {
    let ran = project.kiln(&["run", "t", "--json"]).ends(0);
    let ends =
        ran.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).find(|event| event["event"] == "step-ended");
    ends.unwrap()["key"].as_str().unwrap().to_owned()
}

#[test]
fn links_in_a_circle_and_long_chains_end_and_have_a_stable_key() {
    let project = copy();
    for (name, target) in [("x", "y"), ("y", "z"), ("z", "x"), ("self", "self"), ("up", ".."), ("here", ".")] {
        symlink(target, project.path("src").join(name)).unwrap();
    }
    for n in 0..50 {
        symlink(format!("chain{}", n + 1), project.path(&format!("src/chain{n}"))).unwrap();
    }
    let first = key(&project);
    assert_eq!(key(&project), first);
    assert_eq!(project.ran(), ["t"]);
    // A link is its target's name: what that leads to is no part of it.
    fs::remove_file(project.path("src/x")).unwrap();
    symlink("a", project.path("src/x")).unwrap();
    assert_ne!(key(&project), first);
}

#[test]
fn outputs_that_lead_out_of_the_project_are_refused() {
    for wrong in ["../out", "/tmp/out", "a/../../out"] {
        let plan = COPY.replace("outputs \"out\"", &format!("outputs \"{wrong}\""));
        Project::new(&plan).write("src/a", "").kiln(&["run", "t"]).ends(3);
        let plan = COPY.replace("inputs \"src/\"", &format!("inputs \"{wrong}\""));
        Project::new(&plan).kiln(&["run", "t"]).ends(3);
    }
    // A step swaps a link in above its output.
    let project =
        Project::new("kiln 1\ntask \"t\" { inputs \"in\"; outputs \"d/out\"; run \"rm -rf d; ln -s ../outside d; echo x > d/out\" }\n");
    project.write("in", "").write("../outside/mine", "");
    project.kiln(&["run", "t"]).ends(1).says("d/out`").says("leads out of the project");
    project.kiln(&["run", "t"]).ends(1);
    assert!(project.has("../outside/mine"));
}

#[test]
fn a_pipe_among_the_inputs_is_named_and_nothing_hangs() {
    let project = copy();
    let made = std::process::Command::new("mkfifo").arg(project.path("src/pipe")).status().unwrap();
    assert!(made.success());
    project.kiln(&["run", "t"]).ends(1).says("src/pipe").says("FIFO");
    fs::remove_file(project.path("src/pipe")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(project.path("src/s")).unwrap();
    project.kiln(&["run", "t"]).ends(1).says("src/s").says("socket");
    drop(socket);
    fs::remove_file(project.path("src/s")).unwrap();
    project.kiln(&["run", "t"]).ends(0);
}

#[test]
fn an_input_that_changes_and_changes_back_while_the_step_runs_leaves_no_result() {
    for (how, named) in [
        ("cp src/a ../keep; echo other > src/a; cat src/a > out; cat ../keep > src/a", "`src/a` changed while it ran"),
        ("mv src/a ../keep; cp ../keep src/a; cat src/a > out", "`src/a` changed while it ran"),
        ("rm src/a; cat src/b > out", "`src/a` changed while it ran"),
        ("echo more > src/c; cat src/b > out", "`src/c` changed while it ran"),
        ("touch src/a src/b; cat src/b > out", "`src/a` and `src/b` changed while it ran"),
    ] {
        let plan = COPY.replace("find src", &format!("if test -e ../bad; then {how}; exit 0; fi; find src"));
        let project = Project::new(&plan);
        project.write("src/a", "a").write("src/b", "b").write("../bad", "");
        project.kiln(&["run", "t"]).ends(0).says(named).says("! t ");
        project.remove("../bad").write("src/a", "a").write("src/b", "b");
        let _ = fs::remove_file(project.path("src/c"));
        project.kiln(&["run", "t"]).ends(0).never_says("changed while it ran");
        assert_eq!((project.ran().len(), project.read("out").as_str()), (2, "ab"), "{how}");
        project.kiln(&["run", "t"]).ends(0);
        assert_eq!(project.ran(), [""; 0], "{how}");
    }
}

#[test]
fn a_step_that_only_sets_rights_or_links_its_inputs_is_kept() {
    let plan = COPY.replace("find src", "chmod 755 src/a; ln -f src/b ../second; find src");
    let project = Project::new(&plan);
    project.script("src/a", "a").write("src/b", "b");
    project.kiln(&["run", "t"]).ends(0).never_says("changed while it ran");
    project.kiln(&["run", "t"]).ends(0);
    assert_eq!(project.ran(), ["t"]);
}

#[test]
fn what_a_need_made_is_watched_like_a_source() {
    let project = Project::new(
        "kiln 1\ntask \"make\" { inputs \"in\"; outputs \"made\"; run \"cp in made\" }\ntask \"t\" { inputs \"made\"; run \"echo t >> ../ran; if test -e ../bad; then echo x >> made; fi\" }\n",
    );
    project.write("in", "x").write("../bad", "");
    project.kiln(&["run", "t"]).ends(0).says("`made` changed while it ran");
    project.remove("../bad");
    project.kiln(&["run", "t"]).ends(0).never_says("changed while");
    assert_eq!(project.ran(), ["t", "t"]);
}

#[test]
fn content_swapped_under_the_same_size_and_time_is_noticed() {
    let project = copy();
    project.kiln(&["run", "t"]).ends(0);
    for content in ["x", "y"] {
        let path = project.path("src/a");
        let before = fs::metadata(&path).unwrap();
        fs::write(&path, content).unwrap();
        let times = FileTimes::new().set_modified(before.modified().unwrap()).set_accessed(before.accessed().unwrap());
        File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
        let after = fs::metadata(&path).unwrap();
        let seen = |status: &fs::Metadata| (status.ino(), status.size(), status.mtime(), status.mtime_nsec(), status.mode());
        assert_eq!(seen(&before), seen(&after));
        project.kiln(&["run", "t"]).ends(0);
        assert_eq!(project.read("out"), format!("{content}b"));
    }
    assert_eq!(project.ran(), ["t", "t", "t"]);
}

#[test]
fn times_of_files_change_no_key() {
    let project = copy();
    let first = key(&project);
    let at = |seconds: i64| {
        if seconds < 0 {
            SystemTime::UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs())
        } else {
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())
        }
    };
    for seconds in [0, -86_400, 1, 4_102_444_800, 9_000_000_000] {
        for name in ["src/a", "src", "out"] {
            File::open(project.path(name)).unwrap().set_times(FileTimes::new().set_modified(at(seconds))).unwrap();
        }
        assert_eq!(key(&project), first, "{seconds}");
        assert_eq!(key(&project), first, "{seconds}, now known");
    }
    assert_eq!(project.ran(), ["t"]);
}

#[test]
fn read_only_sparse_and_hard_linked_outputs_are_kept_and_restored() {
    let project = Project::new(
        r##"
kiln 1
task "t" {
    inputs "in"
    outputs "out/"
    run #"echo t >> ../ran; mkdir -p out; cd out; echo x > read-only; chmod 400 read-only; : > empty; truncate -s 3M sparse; echo end >> sparse; ln read-only second; ln -s nowhere dangling; mkdir -m 500 closed"#
}
"##,
    );
    project.write("in", "");
    project.kiln(&["run", "t"]).ends(0);
    let kind = |name: &str| fs::symlink_metadata(project.path("out").join(name)).unwrap();
    let content = |name: &str| fs::read(project.path("out").join(name)).unwrap();
    let sparse = content("sparse");
    for round in 0..2 {
        fs::set_permissions(project.path("out/closed"), fs::Permissions::from_mode(0o700)).unwrap();
        project.remove("out");
        project.kiln(&["run", "t"]).ends(0).says("restored");
        assert_eq!((content("read-only"), content("second"), content("empty")), (b"x\n".to_vec(), b"x\n".to_vec(), vec![]), "{round}");
        assert!(content("sparse") == sparse);
        assert!(kind("dangling").is_symlink() && kind("closed").is_dir());
        assert_eq!(kind("read-only").nlink(), 1, "no file of the user is shared with the store or another one");
        project.kiln(&["run", "t"]).ends(0);
        assert_eq!(project.ran(), if round == 0 { vec!["t".to_owned()] } else { vec![] });
    }
}

#[test]
fn what_docker_is_told_to_ignore_is_copied_and_only_the_plan_leaves_files_out() {
    let plan = |patterns: &str| {
        format!("kiln 1\nregistry \"out\" \"oci:dist\"\nimage \"web\" {{ from scratch; copy {patterns} \"/src/\"; tag \"t\"; push out }}\n")
    };
    let project = Project::new(&plan("\"src/\""));
    project.write("src/a", "a").write("src/b.md", "b").write("src/deep/c.md", "c");
    let built = || {
        // Nothing is known from before: what is ignored would be left out now.
        let _ = fs::remove_dir_all(project.cache());
        project.kiln(&["run", "web"]).ends(0);
        let listed = project.kiln(&["inspect", "oci:dist/web:t", "--files"]).ends(0).out;
        let digest = project.snapshot("dist/web/index.json");
        project.remove("dist");
        (["/src/a", "/src/b.md", "/src/deep/c.md"].map(|name| listed.contains(name)), digest)
    };
    let all = built();
    assert_eq!(all.0, [true; 3]);
    project.write(".dockerignore", "*\n!src/a\n**/*.md\n").write("Dockerfile.dockerignore", "src\n").write(".containerignore", "src\n");
    assert!(built() == all);
    project.write("build.kdl", plan("\"src/\" \"!**/*.md\""));
    assert_eq!(built().0, [true, false, false]);
}
