//! Jobs that steps share with their programs: make and cargo under kiln's `-j`.

use std::fs;
use std::process::Command;

use super::parts::{missing, output, part};
use super::project::Project;

/// A makefile whose eight targets each note how many of them run at the same time.
const MAKEFILE: &str = "all: 1 2 3 4 5 6 7 8\n1 2 3 4 5 6 7 8:\n\t@mkdir -p ../now && touch ../now/$@ && ls ../now | wc -l >>../most && sleep 0.2 && rm ../now/$@\n";

fn most(project: &Project) -> usize {
    fs::read_to_string(project.beside("most")).unwrap().lines().map(|line| line.trim().parse().unwrap()).max().unwrap()
}

#[test]
fn make_uses_the_free_jobs_of_kiln_and_no_more() {
    let plan = "kiln 1\ntask \"t\" {\n    jobserver\n    run \"make -s all\"\n}\n";
    for (jobs, expected) in [("1", 1..=1), ("3", 2..=3)] {
        let project = Project::new(plan);
        project.write("Makefile", MAKEFILE);
        project.kiln(&["run", "-j", jobs, "t"]).ends(0).never_says("jobserver");
        assert!(expected.contains(&most(&project)), "-j {jobs}: {}", most(&project));
    }
    let alone = Project::new("kiln 1\ntask \"t\" {\n    run \"make -s all; echo flags=$MAKEFLAGS=\"\n}\n");
    alone.write("Makefile", MAKEFILE);
    alone.kiln(&["run", "-j", "3", "t"]).ends(0).says("flags==");
    assert_eq!(most(&alone), 1, "a task that does not ask for it runs as it always did");
}

#[test]
fn two_makes_share_the_jobs_of_one_kiln_also_behind_walls() {
    let task = |name: &str, more: &str| format!("task \"{name}\" {{\n    jobserver\n{more}    run \"cd {name} && make -s all\"\n}}\n");
    let project = Project::new(&format!("kiln 1\n{}{}group \"g\" a b\n", task("a", ""), task("b", "")));
    let makefile = MAKEFILE.replace("../", "../../").replace("$@", "$@-$(notdir $(CURDIR))");
    project.write("a/Makefile", &makefile).write("b/Makefile", &makefile);
    project.kiln(&["run", "-j", "3", "g"]).ends(0).never_says("jobserver");
    assert!((2..=3).contains(&most(&project)), "{}", most(&project));
    let walled = Project::new(
        "kiln 1\ntask \"t\" {\n    jobserver\n    sandbox \"strict\"\n    inputs \"Makefile\"\n    run \"make -s all && echo most=$(sort -n /tmp/most | tail -n 1)\"\n}\n",
    );
    walled.write("Makefile", MAKEFILE.replace("../", "/tmp/"));
    walled.kiln(&["run", "-j", "3", "t"]).ends(0).never_says("jobserver").never_says("most=1");
}

#[test]
fn tokens_that_die_with_a_program_starve_nobody() {
    // Takes every token that there is, by the descriptors that MAKEFLAGS names, and dies with them.
    let thief = "import os, re\nr = int(re.search(r'auth=(\\d+),', os.environ['MAKEFLAGS']).group(1))\nfd = os.open('/proc/self/fd/%d' % r, os.O_RDONLY | os.O_NONBLOCK)\nos.read(fd, 100)\nos.kill(os.getpid(), 9)\n";
    let plan = "kiln 1\ntask \"thief\" {\n    jobserver\n    allow-failure\n    run \"exec /usr/bin/python3 thief.py\"\n}\n\
        task \"long\" { run \"while ! test -e ../done; do sleep 0.05; done\"; }\n\
        task \"t\" {\n    jobserver\n    after \"thief\"\n    run \"make -s all; touch ../done\"\n}\ngroup \"g\" thief long t\n";
    let project = Project::new(plan);
    project.write("Makefile", MAKEFILE).write("thief.py", thief);
    let began = std::time::Instant::now();
    project.kiln(&["run", "-j", "3", "g"]).ends(0);
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}

/// Takes every token that there is, as ninja and make since 4.4 do, says how many, and puts them back.
const CLIENT: &str = "
import os, re
path = re.search(r'--jobserver-auth=fifo:(\\S+)', os.environ['MAKEFLAGS']).group(1)
pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
taken = b''
try:
    while True: taken += os.read(pipe, 1)
except BlockingIOError:
    print('took=%d' % len(taken), flush=True)
os.write(pipe, taken)
";

#[test]
fn the_form_with_a_path_gives_what_is_free_to_whoever_opens_it() {
    for walls in ["", "    sandbox \"strict\"\n"] {
        let project = Project::new(&format!(
            "kiln 1\ntask \"t\" {{\n    jobserver \"fifo\"\n{walls}    inputs \"client.py\"\n    run \"exec python3 client.py\"\n    run \"exec python3 client.py\"\n}}\n"
        ));
        project.write("client.py", CLIENT);
        let ran = project.kiln(&["run", "-j", "4", "-v", "t"]).ends(0);
        assert_eq!(
            ran.out.matches("took=3").count(),
            2,
            "{walls}: one of four is the step's own, and what came back is there\n{}",
            ran.out
        );
    }
}

#[test]
fn ninja_takes_its_jobs_from_kiln() {
    let Some(ninja) = part("ninja") else { return };
    let version = output(Command::new(&ninja).arg("--version"));
    let numbers: Vec<u32> = version.trim().split('.').map_while(|number| number.parse().ok()).collect();
    if numbers < vec![1, 13] {
        missing("ninja", "1.13 is the first that knows the jobserver");
        return;
    }
    let path = format!("{}:{}", ninja.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let rule = "mkdir -p ../now && touch ../now/$out && ls ../now | wc -l >>../most && sleep 0.2 && rm ../now/$out";
    let edges: String = (1..=8).map(|n| format!("build {n}: note\n")).collect();
    for (jobs, expected) in [("1", 1..=1), ("3", 2..=3)] {
        let mut project = Project::new("kiln 1\ntask \"t\" {\n    jobserver \"fifo\"\n    run \"ninja 1 2 3 4 5 6 7 8\"\n}\n");
        project.env("PATH", &path);
        project.write("build.ninja", format!("rule note\n  command = {rule}\n{edges}"));
        project.kiln(&["run", "-j", jobs, "t"]).ends(0);
        assert!(expected.contains(&most(&project)), "-j {jobs}: {}", most(&project));
    }
}

#[test]
fn cargo_takes_its_jobs_from_kiln() {
    for (form, flag) in [("", "--jobserver-auth="), (" \"fifo\"", "--jobserver-auth=fifo:")] {
        cargo(form, flag);
    }
}

fn cargo(form: &str, flag: &str) {
    let mut project = Project::new(&format!(
        "kiln 1\ntask \"t\" {{\n    jobserver{form}\n    pass-env \"CARGO_HOME\" \"RUSTUP_HOME\" \"RUSTUP_TOOLCHAIN\" unkeyed=#true\n    run \"cargo build --offline 2>&1; echo cargo=$?\"\n}}\n"
    ));
    project.write("Cargo.toml", "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2021\"\nbuild = \"build.rs\"\n[workspace]\n");
    project.write("src/main.rs", "fn main() {}\n");
    project.write(
        "build.rs",
        "fn main() { println!(\"cargo:warning=flags {:?} {:?}\", std::env::var(\"CARGO_MAKEFLAGS\"), std::env::var(\"NUM_JOBS\")); }\n",
    );
    for (name, below) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let there = std::env::var(name).unwrap_or_else(|_| format!("{}/{below}", std::env::var("HOME").unwrap()));
        project.env(name, &there);
    }
    project.kiln(&["run", "-j", "3", "t"]).ends(0).says("cargo=0").says(flag).never_says("failed to connect to jobserver");
}
