//! kiln killed at any moment, and several kilns at once: what stands there afterwards.

use std::time::{Duration, Instant};

use crate::project::{Project, Snapshot};

/// Some twenty steps: files, folders, links, a chain of images for two platforms, and a layout that they are pushed to.
const PLAN: &str = r##"
kiln 1
project "crash" { default "all" }
registry "dist" "oci:dist"
each n a b c d e f {
    task "gen-${n}" {
        inputs "src/${n}.txt"
        outputs "out/${n}/"
        env N="${n}"
        run #"""
            echo "gen-$N" >> ../ran
            rm -rf "out/$N"
            mkdir -p "out/$N/deep"
            for i in 1 2 3 4 5 6 7 8; do cat "src/$N.txt" > "out/$N/deep/$i"; done
            ln -s deep/1 "out/$N/link"
            """#
    }
}
task "join" {
    inputs "out/*/deep/1"
    outputs "joined"
    run "echo join >> ../ran; cat out/*/deep/1 > joined"
}
image "base" {
    platforms amd64 arm64
    copy "out/a/" "/a"
    copy "out/b/" "out/c/" "/bc"
    user "1:1"
    scan
    tag "1"
    push dist
}
image "web" {
    platforms amd64 arm64
    from "base"
    copy "joined" "/joined"
    scan
    tag "1" "latest"
    push dist
}
group "all" "base" "web" "gen-d" "gen-e" "gen-f"
"##;

/// The numbers of a linear congruence: the same delays in every run of this test.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u128) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u64::try_from((u128::from(self.0 >> 33) * limit) >> 31).unwrap()
    }
}

fn project() -> Project {
    let project = Project::new(PLAN);
    for name in ["a", "b", "c", "d", "e", "f"] {
        project.write(&format!("src/{name}.txt"), name.repeat(40_000));
    }
    project
}

/// All that a run makes.
fn results(project: &Project) -> [Snapshot; 3] {
    ["out", "joined", "dist"].map(|name| project.snapshot(name))
}

/// The paths that only one of two results has, or that are not the same in both.
fn differences(found: &[Snapshot; 3], wanted: &[Snapshot; 3]) -> Vec<String> {
    let pairs = || found.iter().zip(wanted);
    let gone = pairs().flat_map(|(a, b)| b.keys().filter(|path| !a.contains_key(*path))).map(|path| format!("{} is gone", path.display()));
    let other = pairs().flat_map(|(a, b)| a.iter().filter(|(path, entry)| b.get(*path) != Some(entry)));
    gone.chain(other.map(|(path, (mode, content))| format!("{} is another: {mode:o}, {} bytes", path.display(), content.len()))).collect()
}

/// What a variable says; the seed and the rounds of the kills below are fixed where nobody names others.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// The tasks whose end the newest record of a run tells as done.
fn told_done(project: &Project) -> Vec<String> {
    let folders = std::fs::read_dir(project.cache().join("projects")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let records = files.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    let Some(newest) = records.max_by_key(|path| path.file_name().unwrap().to_owned()) else { return Vec::new() };
    let text = std::fs::read_to_string(newest).unwrap();
    // The last line may be cut.
    let events = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let done = events.filter(|event| event["event"] == "step-ended" && event["step"]["kind"] == "run" && event["outcome"] == "done");
    done.map(|event| event["step"]["target"].as_str().unwrap().to_owned()).collect()
}

/// Files below a folder that bear the name of one that was being written.
fn half_written(project: &Project, folder: &str) -> Vec<String> {
    let names = project.snapshot(folder).into_keys().map(|path| path.display().to_string());
    names.filter(|path| path.rsplit('/').next().unwrap().starts_with(".kiln-")).collect()
}

#[test]
fn after_a_kill_at_any_moment_the_next_run_is_right_and_nothing_lives_on() {
    let reference = project();
    let began = Instant::now();
    reference.kiln(&["run"]).ends(0);
    let whole = began.elapsed();
    let wanted = results(&reference);
    let project = project();
    let mut dice = Dice(number("KILN_KILL_SEED", 1));
    let mut spared = 0;
    for round in 0..number("KILN_KILL_ROUNDS", 50) {
        // From nothing; from results alone; from outputs alone; over damage; from wherever the last round ended.
        let gone: &[&str] = match round % 5 {
            0 => &["../cache", "out", "joined", "dist"],
            1 => &["out", "joined", "dist"],
            2 => &["../cache"],
            3 => &["out/a/deep/1", "dist/web/index.json", "../cache/projects"],
            _ => &[],
        };
        for name in gone.iter().filter(|name| project.has(name)) {
            project.remove(name);
        }
        // Every third kiln has another one beside it, which must come to its end.
        let mut kiln = project.start(&["run"]);
        let other = (round % 3 == 2).then(|| project.start(&["run"]));
        std::thread::sleep(Duration::from_micros(dice.below(whole.as_micros())));
        kiln.kill().unwrap();
        kiln.wait().unwrap();
        if let Some(mut other) = other {
            assert_eq!(other.wait().unwrap().code(), Some(0), "round {round}: the kiln that was not killed");
            assert_eq!(differences(&results(&project), &wanted), [""; 0], "round {round}: the kiln that was not killed");
        } else if round % 2 == 0 {
            project.is_left_alone();
        }
        let done = told_done(&project);
        let ran = project.ran();
        let twice = ran.iter().filter(|name| ran.iter().filter(|other| other == name).count() > 2).collect::<Vec<_>>();
        assert!(twice.is_empty(), "round {round}: a killed kiln and a whole one did {twice:?}");
        project.kiln(&["run"]).ends(0);
        assert_eq!(differences(&results(&project), &wanted), [""; 0], "round {round}");
        let again: Vec<String> = project.ran().into_iter().filter(|name| done.contains(name)).collect();
        assert_eq!(again, [""; 0], "round {round}: done and told before the kill");
        spared += done.len();
        assert_eq!(half_written(&project, "."), [""; 0], "round {round}");
        project.kiln(&["run"]).ends(0);
        assert_eq!(project.ran(), [""; 0], "round {round}: everything was in place");
    }
    project.is_left_alone();
    assert!(spared > 0, "no kill came after the end of a step");
    // What was killed while it wrote is cleared when it is a minute old.
    for folder in ["../cache/store/v1/tmp", "../cache/projects"] {
        for path in project.snapshot(folder).into_keys() {
            let old = std::time::SystemTime::now() - Duration::from_secs(120);
            let opened = std::fs::File::open(project.root().join(&path));
            opened.and_then(|file| file.set_modified(old)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
    project.remove("out");
    project.kiln(&["run"]).ends(0);
    assert_eq!(half_written(&project, "../cache"), [""; 0]);
    assert_eq!(project.snapshot("../cache/store/v1/tmp").len(), 1, "{:?}", project.snapshot("../cache/store/v1/tmp").keys());
}

#[test]
fn kilns_at_the_same_time_share_the_work() {
    let project = project();
    let kilns: Vec<_> = (0..4).map(|_| project.start(&["run"])).collect();
    for mut kiln in kilns {
        assert_eq!(kiln.wait().unwrap().code(), Some(0));
    }
    assert_eq!(project.ran(), ["gen-a", "gen-b", "gen-c", "gen-d", "gen-e", "gen-f", "join"]);
    let alone = self::project();
    alone.kiln(&["run"]).ends(0);
    assert!(results(&project) == results(&alone));
}

const HELD: &str = r##"
kiln 1
task "t" {
    inputs "in"
    outputs "out"
    run "if test ! -e again; then touch again; sleep 60; fi; echo t >> ../ran; cp in out"
}
"##;

#[test]
fn who_waits_for_a_killed_kiln_does_the_work() {
    let project = Project::new(HELD);
    project.write("in", "x");
    let mut first = project.start(&["run", "t"]);
    project.wait_for("again");
    let mut second = project.start(&["run", "t"]);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!((project.ran(), second.try_wait().unwrap()), (vec![], None), "the second one waits");
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(0));
    assert_eq!(project.ran(), ["t"]);
    project.is_left_alone();
}

#[test]
fn the_work_of_a_killed_kiln_is_taken_over_only_when_its_step_is_gone() {
    // The first step does not listen to SIGTERM, so it lives on until the helper kills it, a second after kiln.
    let project = Project::new(
        r##"
kiln 1
task "t" {
    inputs "in"
    outputs "out"
    run #"""
        if test -e pid && kill -0 "$(cat pid)"; then echo both >> ../ran; fi
        if test ! -e pid; then trap '' TERM; echo $$ > pid.new; mv pid.new pid; while :; do sleep 0.01; done; fi
        cp in out
        """#
}
"##,
    );
    project.write("in", "x");
    let mut first = project.start(&["run", "t"]);
    project.wait_for("pid");
    first.kill().unwrap();
    first.wait().unwrap();
    project.kiln(&["run", "t"]).ends(0);
    assert_eq!(project.ran(), [""; 0]);
    assert_eq!(project.read("out"), "x");
}

#[test]
fn who_waits_for_another_kiln_can_be_interrupted() {
    let project = Project::new(HELD);
    project.write("in", "x");
    let mut first = project.start(&["run", "t"]);
    project.wait_for("again");
    let mut second = project.start(&["run", "t"]);
    std::thread::sleep(Duration::from_millis(200));
    for kiln in [&mut second, &mut first] {
        let began = Instant::now();
        let sent = std::process::Command::new("kill").args(["-s", "INT", &kiln.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(kiln.wait().unwrap().code(), Some(130));
        assert!(began.elapsed() < Duration::from_secs(4), "it waited for the other one");
    }
    project.is_left_alone();
}
