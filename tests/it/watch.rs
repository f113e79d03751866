//! `kiln watch` as a user has it: files are saved, plans break, branches change, servers stay.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::parts::{missing, there};
use super::project::Project;

/// A machine may be busy; what comes is waited for that long.
const LONG: Duration = Duration::from_secs(90);

struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(project: &Project, args: &[&str]) -> Self {
        let words: Vec<&str> = ["watch"].iter().chain(args).copied().collect();
        // One pipe for both streams: what is said stands in the order in which it was said.
        let (reader, writer) = std::io::pipe().unwrap();
        let child = project.command(&words).stdout(writer.try_clone().unwrap()).stderr(writer).process_group(0).spawn().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || BufReader::new(reader).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The lines up to one that holds this text.
    #[track_caller]
    fn until(&self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(LONG) {
                Ok(line) => {
                    seen.push(line);
                    if seen.last().unwrap().contains(text) {
                        return seen;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("`{text}` never came; seen:\n{}", seen.join("\n")),
                Err(RecvTimeoutError::Disconnected) => panic!("kiln ended before `{text}`; seen:\n{}", seen.join("\n")),
            }
        }
    }

    fn interrupt(&self) {
        let group = format!("-{}", self.child.id());
        assert!(Command::new("kill").args(["-s", "INT", "--", &group]).status().unwrap().success());
    }

    /// Ctrl-C; gives the exit code and what was said until then.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        self.interrupt();
        let code = self.child.wait().unwrap().code();
        (code, self.lines.iter().collect())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `src/` → `out/list`, noted in `../ran`.
fn listing() -> Project {
    let project = Project::new(
        "kiln 1\ntask \"list\" {\n    inputs \"src/\"\n    outputs \"out/list\"\n    run \"echo list >>../ran; cat $(find src -type f | sort) >out/list\"\n}\n",
    );
    project.write("src/a", "one\n");
    project
}

/// Writes a text as some editor does.
type Save<'a> = &'a dyn Fn(&str);

#[test]
fn a_file_runs_what_reads_it_however_it_is_saved() {
    let project = listing();
    let watch = Watch::start(&project, &["list"]);
    watch.until("watching 1 file for `list`");
    let path = project.path("src/a");
    // Between the two steps of a save the file may be seen as gone; where it never is, it changed.
    let ways: [(&str, &str, Save<'_>); 4] = [
        ("written in place", "src/a changed  → `list`", &|text| fs::write(&path, text).unwrap()),
        ("renamed over", "src/a changed  → `list`", &|text| {
            fs::write(project.path(".a.swp"), text).unwrap();
            fs::rename(project.path(".a.swp"), &path).unwrap();
        }),
        ("deleted and made", "src/a ", &|text| {
            fs::remove_file(&path).unwrap();
            fs::write(&path, text).unwrap();
        }),
        ("moved to a backup and made", "src/a ", &|text| {
            fs::rename(&path, project.path("a~")).unwrap();
            fs::write(&path, text).unwrap();
        }),
    ];
    for (name, told, save) in ways {
        let text = format!("{name}\n");
        save(&text);
        watch.until(told);
        loop {
            watch.until("watching");
            if project.read("out/list") == text {
                break;
            }
        }
    }
    assert!(project.ran().len() >= 5, "once at the start, once for each save");
    assert_eq!(watch.end().0, Some(130));
    project.is_left_alone();
}

#[test]
fn new_files_and_new_folders_are_seen_and_so_is_their_end() {
    let project = listing();
    let watch = Watch::start(&project, &["list"]);
    watch.until("watching 1 file");
    project.write("src/deep/er/b", "two\n");
    watch.until("src/deep/er/b is new");
    watch.until("watching 2 files");
    project.write("src/deep/er/b", "three\n");
    watch.until("src/deep/er/b changed");
    watch.until("watching");
    assert_eq!(project.read("out/list"), "one\nthree\n");
    project.remove("src/deep");
    watch.until("src/deep/er/b is gone");
    watch.until("watching 1 file");
    assert_eq!(project.read("out/list"), "one\n");
}

#[test]
fn what_is_touched_and_what_a_run_makes_itself_starts_no_run() {
    let project = Project::new(
        "kiln 1\ntask \"pack\" {\n    inputs \"**/*.txt\" \"!all.txt\"\n    outputs \"all.txt\"\n    run \"echo pack >>../ran; cat [a-z].txt >all.txt\"\n}\n",
    );
    project.write("a.txt", "1\n");
    let watch = Watch::start(&project, &["pack"]);
    watch.until("watching");
    fs::File::options().append(true).open(project.path("a.txt")).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    project.write("all.txt", "by hand\n");
    project.write("unread.md", "x\n");
    project.write("a.txt", "2\n");
    let said = watch.until("watching");
    assert!(said.iter().any(|line| line.contains("a.txt changed")), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("all.txt") || line.contains("unread.md")), "{said:?}");
    assert_eq!(project.read("all.txt"), "2\n");
    assert_eq!(project.ran(), ["pack", "pack"]);
}

#[test]
fn a_broken_plan_is_shown_once_and_the_watch_goes_on() {
    let project = listing();
    let good = project.read("build.kdl");
    let watch = Watch::start(&project, &["list"]);
    watch.until("watching");
    project.write("build.kdl", good.replace("outputs", "outptus"));
    watch.until("build.kdl changed  → the plan");
    watch.until("did you mean `outputs`?");
    watch.until("waiting for the plan to change");
    // A change of a source mends no plan; what follows does.
    project.write("src/a", "two\n");
    project.write("build.kdl", good.replace("echo list", "echo mended"));
    let said = watch.until("watching");
    assert!(!said.iter().any(|line| line.contains("did you mean")), "{said:?}");
    assert_eq!(project.ran(), ["list", "mended"]);
    assert_eq!(project.read("out/list"), "two\n");
}

#[test]
fn included_files_and_files_of_variables_are_part_of_the_plan() {
    let project = listing();
    let plan = project.read("build.kdl");
    project.write("build.kdl", format!("{plan}include \"more.kdl\" as=\"more\"\n"));
    project.write("dev.env", "A=1\n");
    project.write("more.kdl", "kiln 1\nenv-file \"dev.env\"\ntask \"greet\" {\n    inputs \"src/a\"\n    run \"echo said $A\"\n}\n");
    let watch = Watch::start(&project, &["more:greet", "-v"]);
    watch.until("said 1");
    watch.until("watching");
    project.write("dev.env", "A=2\n");
    watch.until("dev.env changed  → the plan");
    watch.until("said 2");
    watch.until("watching");
    let included = project.read("more.kdl").replace("said", "told");
    project.write("more.kdl", included);
    watch.until("more.kdl changed  → the plan");
    watch.until("told 2");
}

#[test]
fn what_runs_is_ended_and_started_again_when_its_input_changes_and_nothing_outlives_the_watch() {
    let project = Project::new(SERVER);
    project.write("src/a", "first\n");
    let watch = Watch::start(&project, &["serve"]);
    watch.until("first");
    watch.until("serving");
    for text in ["second", "third"] {
        project.write("src/a", format!("{text}\n"));
        watch.until("src/a changed  → `serve`");
        watch.until(text);
        watch.until("serving");
    }
    let (code, _) = watch.end();
    assert_eq!(code, Some(130));
    project.is_left_alone();
}

#[test]
fn a_run_that_a_change_does_not_reach_goes_on_and_the_change_follows() {
    let project = Project::new(concat!(
        "kiln 1\n",
        "task \"quick\" {\n    inputs \"b\"\n    run \"echo quick >>../ran\"\n}\n",
        "task \"slow\" {\n    needs \"quick\"\n    inputs \"a\"\n    run \"echo slow >>../ran; touch ../begun; while ! test -e ../go; do sleep 0.01; done\"\n}\n",
        "task \"other\" {\n    inputs \"c\"\n    run \"echo other >>../ran\"\n}\n",
        "group \"all\" \"slow\" \"other\"\n",
    ));
    for name in ["a", "b", "c"] {
        project.write(name, "1\n");
    }
    let watch = Watch::start(&project, &["all", "-j2"]);
    watch.until("✓ other");
    project.wait_for("../begun");
    project.write("c", "2\n");
    // The guard has seen it when it sees a later change, which it sees in order.
    project.write("../go", "");
    watch.until("c changed  → `other`");
    watch.until("watching");
    assert_eq!(project.ran(), ["other", "other", "quick", "slow"], "slow was not started twice");
}

#[test]
fn polling_sees_what_events_would() {
    let project = listing();
    let watch = Watch::start(&project, &["list", "--poll=60ms"]);
    watch.until("looking every 60 ms");
    project.write("src/b", "two\n");
    watch.until("src/b is new");
    watch.until("watching 2 files");
    assert_eq!(project.read("out/list"), "one\ntwo\n");
}

#[test]
fn a_checkout_of_another_branch_is_one_change() {
    let project = listing();
    for n in 0..60 {
        project.write(&format!("src/f{n}"), "main\n");
    }
    project.write(".gitignore", "/out/\n").commit();
    project.git(&["checkout", "-q", "-b", "other"]);
    for n in 0..60 {
        project.write(&format!("src/f{n}"), "other\n");
    }
    project.git(&["commit", "-qam", "other"]).git(&["checkout", "-q", "main"]);
    let watch = Watch::start(&project, &["list"]);
    watch.until("watching 61 files");
    project.git(&["checkout", "-q", "other"]);
    let said = watch.until("watching");
    assert_eq!(said.iter().filter(|line| line.contains("55 more files")).count(), 1, "{said:?}");
    assert_eq!(project.ran(), ["list", "list"]);
}

#[test]
fn a_task_without_inputs_runs_for_any_file_that_git_does_not_ignore_and_not_for_what_it_writes_itself() {
    let project = Project::new("kiln 1\ntask \"test\" { run \"echo test >>../ran; date +%N >report; date +%N >ignored\"; }\n");
    project.write(".gitignore", "ignored\n").write("a", "1\n");
    let watch = Watch::start(&project, &["test"]);
    watch.until("`report` changes whenever this runs");
    watch.until("watching");
    let before = project.ran().len();
    assert!((2..=4).contains(&before), "{before} runs until that was found out");
    project.write("a", "2\n");
    watch.until("a changed  → `test`");
    watch.until("watching");
    assert_eq!(project.ran(), ["test"]);
}

#[test]
fn a_server_gets_its_port_back_each_time_it_is_started_again() {
    if !there(&["python3"]) {
        return;
    }
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let project = Project::new(&format!(
        "kiln 1\ntask \"serve\" {{\n    inputs \"src/\"\n    env PORT=\"{port}\"\n    run \"setsid python3 server.py & wait\"\n}}\n"
    ));
    // Two forks away from kiln, in a session of its own, and without the option that would let it take a port in use.
    project.write(
        "server.py",
        "import os, socket, signal\nif os.fork(): signal.pause()\ns = socket.socket()\ns.bind(('127.0.0.1', int(os.environ['PORT'])))\ns.listen()\nprint('listening', open('src/a').read(), flush=True)\nsignal.pause()\n",
    );
    project.write("src/a", "0");
    let watch = Watch::start(&project, &["serve"]);
    watch.until("listening 0");
    for n in 1..=10 {
        project.write("src/a", n.to_string());
        let said = watch.until(&format!("listening {n}"));
        assert!(!said.iter().any(|line| line.contains("Address already in use")), "{said:?}");
    }
    watch.end();
    project.is_left_alone();
}

#[test]
fn a_target_that_is_not_there_is_told_at_once() {
    let project = listing();
    project.kiln(&["watch", "lsit"]).ends(2).says("did you mean `list`?");
}

#[test]
fn a_folder_that_goes_and_comes_back_is_watched_as_before() {
    let project = listing();
    let watch = Watch::start(&project, &["list"]);
    watch.until("watching 1 file");
    for text in ["two", "three"] {
        // Away and back at once: whoever looks may see neither.
        fs::rename(project.path("src"), project.path("old")).unwrap();
        fs::create_dir(project.path("src")).unwrap();
        project.write("src/a", format!("{text}\n"));
        watch.until("src/a changed");
        watch.until("watching 1 file");
        assert_eq!(project.read("out/list"), format!("{text}\n"));
        project.write("src/b", "more\n");
        watch.until("src/b is new");
        watch.until("watching 2 files");
        project.remove("src");
        watch.until("is gone");
        watch.until("watching 0 files");
        project.write("src/a", format!("{text} again\n"));
        watch.until("src/a is new");
        watch.until("watching 1 file");
        assert_eq!(project.read("out/list"), format!("{text} again\n"));
        project.remove("old");
    }
    assert_eq!(watch.end().0, Some(130));
}

#[test]
fn a_project_that_goes_and_comes_back_is_watched_as_before() {
    let project = listing();
    let plan = project.read("build.kdl");
    let watch = Watch::start(&project, &["list"]);
    watch.until("watching 1 file");
    fs::rename(project.root(), project.beside("away")).unwrap();
    watch.until("waiting for the plan to change");
    fs::create_dir(project.root()).unwrap();
    project.write("src/a", "two\n").write("build.kdl", plan);
    watch.until("watching 1 file");
    assert_eq!(project.read("out/list"), "two\n");
    project.write("src/a", "three\n");
    watch.until("src/a changed");
    watch.until("watching 1 file");
    assert_eq!(project.read("out/list"), "three\n");
}

/// Starts kiln where the kernel gives this user so little of a resource of `/proc/sys/user`; `None` where it gives no namespaces.
fn with_limit(project: &mut Project, name: &str, limit: u32) -> Option<()> {
    let script = format!("echo {limit} >/proc/sys/user/{name} && exec \"$@\"");
    let words = ["unshare", "-Ur", "sh", "-c", &script, "sh"].map(str::to_owned);
    let works = Command::new(&words[0]).args(&words[1..]).arg("true").output().is_ok_and(|done| done.status.success());
    if !works {
        missing("unshare", "there are no user namespaces");
        return None;
    }
    project.prefix(&words);
    Some(())
}

#[test]
fn where_the_kernel_watches_too_few_folders_kiln_says_so_in_a_line_and_looks_by_itself() {
    for (name, limit, words) in [
        ("max_inotify_watches", 2, "the kernel watches no more folders for this user (fs.inotify.max_user_watches)"),
        ("max_inotify_instances", 0, "too many programs of this user watch files (fs.inotify.max_user_instances)"),
    ] {
        let mut project = listing();
        project.write("src/deep/er/b", "two\n");
        if with_limit(&mut project, name, limit).is_none() {
            return;
        }
        let watch = Watch::start(&project, &["list"]);
        let said = watch.until("watching 2 files for `list`, looking every 1.0 s");
        assert_eq!(said.iter().filter(|line| line.contains("kiln looks every 1.0 s instead")).count(), 1, "{said:?}");
        assert!(said.iter().any(|line| line.contains(words)), "{said:?}");
        project.write("src/deep/er/b", "three\n");
        watch.until("src/deep/er/b changed");
        let said = watch.until("watching 2 files");
        assert!(!said.iter().any(|line| line.contains("instead")), "it is said once: {said:?}");
        assert_eq!(project.read("out/list"), "one\nthree\n");
        assert_eq!(watch.end().0, Some(130));
    }
}

#[test]
fn what_cannot_be_read_is_told_and_waited_out() {
    let project = listing();
    let watch = Watch::start(&project, &["list"]);
    watch.until("watching 1 file");
    // A user who may read everything is not hindered by modes, so something that is no file stands there.
    assert!(Command::new("mkfifo").arg(project.path("pipe")).status().unwrap().success());
    project.write("build.kdl", project.read("build.kdl").replace("\"src/\"", "\"src/\" \"pipe\""));
    watch.until("`pipe`");
    watch.until("nothing runs until this can be read");
    fs::remove_file(project.path("pipe")).unwrap();
    project.write("pipe", "now a file\n");
    watch.until("watching 2 files");
    assert_eq!(watch.end().0, Some(130));
    project.is_left_alone();
}

#[test]
fn ctrl_c_ends_a_watch_that_waits_for_a_plan() {
    let project = listing();
    project.write("build.kdl", "kiln 1\ntaks \"list\"\n");
    let watch = Watch::start(&project, &["list"]);
    watch.until("waiting for the plan to change");
    assert_eq!(watch.end().0, Some(130));
}

/// Serves until it is ended; stands behind `cat src/a` so that a test sees which content it was started with.
const SERVER: &str =
    "kiln 1\ntask \"serve\" {\n    inputs \"src/\"\n    run \"cat src/a; echo serving; (while :; do sleep 1; done) & wait\"\n}\n";

#[test]
fn a_plan_that_breaks_while_a_server_runs_is_told_at_once_and_leaves_the_server_alone() {
    let project = Project::new(SERVER);
    project.write("src/a", "first\n");
    let watch = Watch::start(&project, &["serve"]);
    watch.until("serving");
    project.write("build.kdl", SERVER.replace("inputs", "inptus"));
    let said = watch.until("what runs goes on with the plan as it was");
    assert!(said.last().unwrap().contains("build.kdl:3: "), "{said:?}");
    project.write("build.kdl", SERVER);
    watch.until("the plan is as it was again");
    project.write("build.kdl", SERVER.replace("inputs", "inptus"));
    watch.until("what runs goes on with the plan as it was");
    project.write("build.kdl", SERVER.replace("serving", "mended"));
    let said = watch.until("mended");
    assert_eq!(said.iter().filter(|line| line.contains("build.kdl changed  → the plan")).count(), 1, "{said:?}");
    assert_eq!(watch.end().0, Some(130));
    project.is_left_alone();
}

#[test]
fn steps_that_ended_well_are_not_run_again_when_a_later_one_is_ended_by_a_change() {
    let project = Project::new(concat!(
        "kiln 1\n",
        "task \"make\" {\n    inputs \"in\"\n    outputs \"made\"\n    run \"echo make >>../ran; cp in made\"\n}\n",
        "task \"serve\" {\n    inputs \"made\" \"conf\"\n    run \"echo serve >>../ran; cat conf; echo serving; sleep 1000\"\n}\n",
    ));
    project.write("in", "1\n").write("conf", "1\n");
    let watch = Watch::start(&project, &["serve"]);
    watch.until("serving");
    project.write("conf", "2\n");
    watch.until("conf changed  → `serve`");
    watch.until("serving");
    assert_eq!(project.ran(), ["make", "serve", "serve"]);
    // Its content reaches the server by way of what is made from it.
    project.write("in", "2\n");
    watch.until("in changed  → `make`");
    watch.until("serving");
    assert_eq!(project.ran(), ["make", "serve"]);
    watch.end();
    project.is_left_alone();
}

/// Takes a socket that is handed to it and holds it until its standard input ends.
const HOLDER: &str = "
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print('ready', flush=True)
socket.recv_fds(s.accept()[0], 1, 1)
print('held', flush=True)
sys.stdin.read()
";

#[test]
fn a_port_that_somebody_else_still_holds_is_waited_for() {
    if !there(&["python3"]) {
        return;
    }
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let project = Project::new(&format!(
        "kiln 1\ntask \"serve\" {{\n    inputs \"src/\"\n    env PORT=\"{port}\"\n    run \"exec python3 server.py\"\n}}\n"
    ));
    project.write(
        "server.py",
        "import os, socket, signal\ns = socket.socket()\ns.bind(('127.0.0.1', int(os.environ['PORT'])))\ns.listen()\nif os.path.exists('../holder'):\n    u = socket.socket(socket.AF_UNIX)\n    u.connect('../holder')\n    socket.send_fds(u, [b'x'], [s.fileno()])\n    os.remove('../holder')\nprint('listening', open('src/a').read(), flush=True)\nsignal.pause()\n",
    );
    project.write("src/a", "0");
    let socket = project.beside("holder");
    let mut holder =
        Command::new("python3").args(["-c", HOLDER]).arg(&socket).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "ready");
    let watch = Watch::start(&project, &["serve"]);
    watch.until("listening 0");
    assert_eq!(said.next().unwrap().unwrap(), "held");
    project.write("src/a", "1");
    watch.until(&format!("waiting for port {port} to be free"));
    drop(holder.stdin.take());
    let lines = watch.until("listening 1");
    assert!(!lines.iter().any(|line| line.contains("Address already in use") || line.contains("still taken")), "{lines:?}");
    watch.end();
    holder.wait().unwrap();
    project.is_left_alone();
}

#[test]
fn programs_get_events_of_the_watch_between_those_of_the_runs() {
    let project = listing();
    let watch = Watch::start(&project, &["list", "--json"]);
    let events = |lines: Vec<String>| -> Vec<serde_json::Value> {
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"))).collect()
    };
    let first = events(watch.until("\"watching\""));
    assert_eq!(first.first().unwrap()["event"], "run-started");
    assert_eq!(*first.last().unwrap(), serde_json::json!({ "event": "watching", "files": 1, "targets": ["list"] }));
    project.write("src/a", "two\n");
    let second = events(watch.until("\"watching\""));
    assert_eq!(
        *second.first().unwrap(),
        serde_json::json!({ "event": "changed", "files": [{ "path": "src/a", "became": "changed", "steps": ["list"] }] })
    );
    assert!(second.iter().any(|event| event["event"] == "run-ended" && event["exit"] == 0), "{second:?}");
}
