//! `kiln why`: one thing is changed, and exactly that one is named.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::Value;

use super::project::{Project, copy_tree};

const PLAN: &str = r##"kiln 1
param "level" default="1"
let note file="NOTE"
env EVERYWHERE="0"
task "generate" {
    inputs "gen.in"
    outputs "gen/out.txt"
    run "mkdir -p gen && cut -c1-3 gen.in > gen/out.txt"
}
task "make" {
    platforms amd64
    inputs "src/**" "link" "gen/out.txt"
    outputs "dist/app"
    env A="1" B="two" LEVEL="${level}" NOTE="${note}" FACT="${env.FACT|default('none')}"
    pass-env "MODE"
    tools "mytool"
    arg "speed" default="slow"
    shell "sh" "-ec"
    run "mkdir -p dist" // one
    exec "cp" "gen/out.txt" "dist/app"
}
image "web" {
    platforms amd64
    from "oci:base/base"
    copy "dist/app" "/app"
    copy "src/" "/src/"
}
image "pinned" {
    platforms amd64
    from "registry.invalid/base:1"
}
"##;

/// A lock that pins the base by a digest of one hexadecimal digit.
fn lock(digit: char) -> String {
    let digest = digit.to_string().repeat(64);
    format!(
        "lock 1\nimage \"registry.invalid/base:1\" digest=\"sha256:{digest}\"\nimage \"registry.invalid/base:1\" platform=\"linux/amd64\" digest=\"sha256:{digest}\"\n"
    )
}

/// A project that was built once: twelve sources, a link, a tool, and a base that has another version.
fn built() -> Project {
    let mut project = Project::new(
        "kiln 1\nregistry \"out\" \"oci:layouts\"\nimage \"base\" { platforms amd64; copy \"file\" \"/file\"; tag \"latest\"; push out }\n",
    );
    for version in ["old", "new"] {
        project.write("file", version);
        project.kiln(&["base"]).ends(0);
        copy_tree(&project.path("layouts"), &project.beside(version));
        project.remove("layouts");
    }
    project.remove("file").write("build.kdl", PLAN).write("gen.in", "one\n").write("NOTE", "first\n").write("kiln.lock", lock('a'));
    copy_tree(&project.beside("old"), &project.path("base"));
    for n in 0..12 {
        project.write(&format!("src/{}file{n}.c", ["", "deep/", "deep/er/"][n % 3]), format!("content {n}\n"));
    }
    symlink("src/file0.c", project.path("link")).unwrap();
    let tools = project.beside("tools");
    fs::create_dir_all(&tools).unwrap();
    fs::write(tools.join("mytool"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(tools.join("mytool"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    project.env("PATH", &path).env("MODE", "fast");
    project.kiln(&["run", "web"]).ends(0);
    let record = project.kiln(&["why", "pinned/base", "--export"]).ends(0).out;
    fs::write(project.beside("record.json"), record).unwrap();
    project
}

fn why(project: &Project, words: &[&str]) -> Value {
    let said = project.kiln(&[&["why", "--json"], words].concat()).ends(0);
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
}

/// Every difference as `sort name change`, those of what must run first after `step > `.
fn named(answer: &Value) -> Vec<String> {
    let words = |list: &Value, before: &str| -> Vec<String> {
        let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
        let one = |one: &Value| format!("{before}{} {} {}", text(one, "sort"), text(one, "name"), text(one, "change"));
        list.as_array().unwrap().iter().map(one).collect()
    };
    let mut found = words(&answer["differences"], "");
    for cause in answer["on"].as_array().into_iter().flatten() {
        found.extend(words(&cause["differences"], &format!("{} > ", cause["step"].as_str().unwrap())));
    }
    found
}

/// A sequence that is the same on every machine (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// All that a mutation can touch, to be put back after it.
fn state(project: &Project) -> BTreeMap<&'static str, super::project::Snapshot> {
    ["build.kdl", "gen.in", "NOTE", "kiln.lock", "src", "link", "base"].into_iter().map(|name| (name, project.snapshot(name))).collect()
}

fn put_back(project: &Project, state: &BTreeMap<&'static str, super::project::Snapshot>) {
    for (name, snapshot) in state {
        if project.snapshot(name) == *snapshot {
            continue;
        }
        let path = project.path(name);
        let _ = if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        for (path, (mode, content)) in snapshot {
            let path = project.path(path.to_str().unwrap());
            match mode & 0o170_000 {
                0o040_000 => fs::create_dir_all(&path).unwrap(),
                0o120_000 => symlink(std::str::from_utf8(content).unwrap(), &path).unwrap(),
                _ => {
                    fs::write(&path, content).unwrap();
                    fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
                }
            }
        }
    }
}

/// One change at random. Gives the step to ask about, further words of the command line, and what must be named.
fn mutate(project: &Project, dice: &mut Dice, n: usize) -> (&'static str, Vec<String>, String) {
    const MAKE: &str = "make@linux/amd64";
    const BUILD: &str = "web/build@linux/amd64";
    let files: Vec<String> = (0..12).map(|n| format!("src/{}file{n}.c", ["", "deep/", "deep/er/"][n % 3])).collect();
    let file = files[dice.below(files.len())].clone();
    // A source goes into the task and into the image; both must name it.
    let step = [MAKE, BUILD][dice.below(2)];
    let salt = format!("{}", 1_000 + dice.below(1_000_000));
    let plan = |old: &str, new: &str| {
        let text = project.read("build.kdl");
        assert!(text.contains(old), "{old}");
        project.write("build.kdl", text.replacen(old, new, 1));
    };
    match n % 25 {
        0 => {
            project.write(&file, format!("changed {salt}\n"));
            (step, vec![], format!("file {file} content"))
        }
        1 => {
            let new = format!("{file}.{salt}");
            project.write(&new, format!("new {salt}\n"));
            (step, vec![], format!("file {new} added"))
        }
        2 => {
            project.remove(&file);
            (step, vec![], format!("file {file} removed"))
        }
        3 => {
            let new = format!("{}-{salt}.c", file.trim_end_matches(".c"));
            fs::rename(project.path(&file), project.path(&new)).unwrap();
            (step, vec![], format!("file {new} renamed"))
        }
        4 => {
            fs::set_permissions(project.path(&file), fs::Permissions::from_mode(0o755)).unwrap();
            (step, vec![], format!("file {file} mode"))
        }
        5 => {
            fs::remove_file(project.path("link")).unwrap();
            symlink(format!("src/file{salt}.c"), project.path("link")).unwrap();
            (MAKE, vec![], "file link value".into())
        }
        6 => {
            plan("A=\"1\"", &format!("A=\"{salt}\""));
            (MAKE, vec![], "env A value".into())
        }
        7 => {
            plan("B=\"two\"", &format!("B=\"two\" C=\"{salt}\""));
            (MAKE, vec![], "env C added".into())
        }
        8 => {
            plan("A=\"1\" ", "");
            (MAKE, vec![], "env A removed".into())
        }
        9 => {
            plan("EVERYWHERE=\"0\"", &format!("EVERYWHERE=\"{salt}\""));
            (MAKE, vec![], "env EVERYWHERE value".into())
        }
        10 => (MAKE, vec!["--set".into(), format!("level={salt}")], "param level value".into()),
        11 => {
            fs::write(project.beside("tools/mytool"), format!("#!/bin/sh\n# {salt}\n")).unwrap();
            (MAKE, vec![], "tool mytool content".into())
        }
        12 => {
            plan("run \"mkdir -p dist\"", &format!("run \"mkdir -p dist # {salt}\""));
            (MAKE, vec![], "command  value".into())
        }
        13 => {
            plan("\"dist/app\"\n}\nimage", &format!("\"dist/app{salt}\"\n}}\nimage"));
            (MAKE, vec![], "command  value".into())
        }
        14 => {
            plan("\"-ec\"", "\"-eu\" \"-c\"");
            (MAKE, vec![], "shell  members".into())
        }
        15 => {
            plan("inputs \"src/**\"", &format!("inputs \"src/**\" \"*.{salt}\""));
            (MAKE, vec![], "inputs  members".into())
        }
        16 => {
            plan("outputs \"dist/app\"", &format!("outputs \"dist/app\" \"dist/app{salt}\""));
            (MAKE, vec![], "outputs  members".into())
        }
        17 => {
            project.write("gen.in", salt);
            if dice.below(2) == 0 {
                return (MAKE, vec![], "file gen.in content".into());
            }
            project.kiln(&["generate"]).ends(0);
            (MAKE, vec![], "file gen/out.txt content".into())
        }
        18 => {
            fs::remove_dir_all(project.path("base")).unwrap();
            copy_tree(&project.beside("new"), &project.path("base"));
            if n == 18 {
                return (BUILD, vec![], "file base/base/index.json content".into());
            }
            // From here on the new base is in the store, and its digest is known.
            project.kiln(&["web/base"]).ends(0);
            (BUILD, vec![], "image web/base@linux/amd64 content".into())
        }
        19 => (MAKE, vec![format!("speed={salt}")], "arg speed value".into()),
        20 => {
            let (old, new, thing) = [
                ("level\" default=\"1\"", format!("level\" default=\"{salt}\""), "param level value"),
                ("speed\" default=\"slow\"", format!("speed\" default=\"{salt}\""), "arg speed value"),
            ][dice.below(2)]
            .clone();
            plan(old, &new);
            (MAKE, vec![], thing.into())
        }
        21 => {
            project.write("NOTE", salt);
            (MAKE, vec![], "let note value".into())
        }
        22 => {
            project.write("kiln.lock", lock(['b', 'c', 'd'][dice.below(3)]));
            let record = project.beside("record.json").to_str().unwrap().to_owned();
            ("pinned/base", vec!["--against".into(), record], "base  value".into())
        }
        23 => {
            plan("default('none')", &format!("default('{salt}')"));
            (MAKE, vec![], "env FACT value".into())
        }
        _ => {
            plan("platforms amd64", ["platforms arm64", "platforms \"linux/arm/v7\""][dice.below(2)]);
            ("make", vec![], "the platform is new: it has run here for linux/amd64".into())
        }
    }
}

#[test]
fn exactly_the_one_thing_that_changed_is_named_two_hundred_times() {
    let project = built();
    let state = state(&project);
    let tool = fs::read(project.beside("tools/mytool")).unwrap();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut wrong = Vec::new();
    for n in 0..200 {
        let (step, words, expected) = mutate(&project, &mut dice, n);
        let words: Vec<&str> = [step].into_iter().chain(words.iter().map(String::as_str)).collect();
        let answer = why(&project, &words);
        // What goes into several steps is one thing: a source of the task and the image, a variable of every task.
        let mut found: Vec<String> = named(&answer).iter().map(|one| one.rsplit(" > ").next().unwrap().to_owned()).collect();
        found.sort();
        found.dedup();
        let because = answer["because"].as_str().unwrap_or_default();
        if found != [expected.clone()] && !(found.is_empty() && because.starts_with(&expected)) {
            wrong.push(format!("{n}: expected `{expected}`, got {found:?} of {answer}"));
        }
        put_back(&project, &state);
        fs::write(project.beside("tools/mytool"), &tool).unwrap();
        if matches!(n % 25, 17 | 18) {
            project.kiln(&["run", "web"]).ends(0);
        }
    }
    assert!(wrong.is_empty(), "{} of 200:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(why(&project, &["make"])["answer"], "in-place");
}

#[test]
fn what_no_plan_declares_changes_no_key() {
    let project = built();
    let digest = |project: &Project, words: &[&str], set: &[(&str, &str)]| {
        let mut command = project.command(&[&["why", "make", "--export"], words].concat());
        let output = command.envs(set.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let key = digest(&project, &[], &[]);
    for (name, value) in
        [("LANG", "de_DE.UTF-8"), ("LC_ALL", "tr_TR"), ("TZ", "Asia/Tokyo"), ("USER", "somebody"), ("UNDECLARED", "1"), ("HOME", "/")]
    {
        assert_eq!(digest(&project, &[], &[(name, value)]), key, "{name}");
    }
    // Another order of nodes.
    let (head, tail) = PLAN.split_once("task \"generate\"").unwrap();
    let (generate, rest) = tail.split_once("task \"make\"").unwrap();
    let (make, web) = rest.split_once("image \"web\"").unwrap();
    project.write("build.kdl", format!("{head}image \"web\"{web}task \"make\"{make}task \"generate\"{generate}"));
    assert_eq!(digest(&project, &[], &[]), key, "order of nodes");
    project.write("build.kdl", PLAN);
    // Other modes than the executable bit, other times, files that no pattern selects, another order in the folder.
    fs::set_permissions(project.path("src/file0.c"), fs::Permissions::from_mode(0o600)).unwrap();
    project.write("README", "unread").write("dist/other", "unread");
    let content = project.read("src/file3.c");
    project.remove("src/file3.c").write("src/file3.c", content);
    assert_eq!(digest(&project, &[], &[]), key, "modes, times and strangers");
    // Another folder, another user's cache, another umask.
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("a b/ü");
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    copy_links(&project.root(), &copy);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("umask 077; exec {} run web", env!("CARGO_BIN_EXE_kiln"))]).current_dir(&copy);
    let environment = |command: &mut std::process::Command| {
        let own = project.command(&[]);
        command.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("KILN_CACHE_DIR", elsewhere.path().join("cache"));
    };
    environment(&mut command);
    assert!(command.output().unwrap().status.success());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.args(["why", "make", "--export"]).current_dir(&copy);
    environment(&mut command);
    assert_eq!(String::from_utf8(command.output().unwrap().stdout).unwrap(), key, "another folder");
}

fn copy_links(from: &Path, to: &Path) {
    assert!(std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a_failed_step_says_so_and_what_changed_since() {
    let project = Project::new("kiln 1\ntask \"t\" { inputs \"in\"; run \"grep -q good in\" }\n");
    project.write("in", "bad");
    project.kiln(&["t"]).ends(1);
    project.kiln(&["why", "t"]).ends(0).says("t runs: it failed last time (exit code 1); nothing changed since the run of ");
    project.kiln(&["plan", "t"]).ends(0).says("it failed last time");
    project.write("in", "good");
    project.kiln(&["why", "t"]).ends(0).says("it failed last time (exit code 1); 1 change since").says("in: content changed");
    project.kiln(&["t"]).ends(0);
    project.kiln(&["why", "t"]).ends(0).says("t is up to date").never_says("failed");
}

#[test]
fn a_hit_tells_where_it_comes_from() {
    let project = Project::new("kiln 1\ntask \"t\" { inputs \"in\"; outputs \"out\"; run \"cp in out\" }\n");
    project.write("in", "a");
    project.kiln(&["why", "t"]).ends(0).says("t runs: it has not run here before");
    project.kiln(&["t"]).ends(0);
    project.kiln(&["why", "t"]).ends(0).says("t is up to date: run 2").says("nothing changed since");
    project.remove("out");
    project.kiln(&["why", "t"]).ends(0).says("t would be restored from the store");
    project.write("in", "b");
    project.kiln(&["t"]).ends(0);
    project.write("in", "a");
    project.kiln(&["why", "t"]).ends(0).says("would be restored from the store").says("in: content changed");
}

#[test]
fn any_run_and_any_machine_can_be_compared_with() {
    let project = Project::new("kiln 1\ntask \"t\" { inputs \"in\"; outputs \"out\"; run \"cp in out\" }\n");
    for content in ["a", "b"] {
        project.write("in", content);
        project.kiln(&["t"]).ends(0);
    }
    let mut runs: Vec<String> = fs::read_dir(fs::read_dir(project.cache().join("projects")).unwrap().next().unwrap().unwrap().path())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().unwrap().strip_suffix(".jsonl").map(str::to_owned))
        .collect();
    runs.sort();
    project.kiln(&["why", "t", "--against", &runs[0]]).ends(0).says("in: content changed").says(&runs[0]);
    project.kiln(&["why", "t", "--against", &runs[1]]).ends(0).says("nothing changed");
    project.kiln(&["why", "t", "--against", "2"]).ends(2).says("2 runs begin").says("write more of its name");
    project.kiln(&["why", "t", "--against", "nothing"]).ends(2).says("neither a run on record, a file, nor a commit").says(&runs[0]);
    let exported = project.kiln(&["why", "t", "--export"]).ends(0).out;
    let other = Project::new("kiln 1\ntask \"t\" { inputs \"in\"; outputs \"out\"; env X=\"1\"; run \"cp in out\" }\n");
    other.write("in", "b").write("record.json", &exported);
    other.kiln(&["why", "t", "--against", "record.json"]).ends(0).says("env X: added, \"1\"").never_says("in:");
    other.write("record.json", "{}");
    other.kiln(&["why", "t", "--against", "record.json"]).ends(2).says("holds no record of keys");
}

#[test]
fn distinct_definitions_never_share_a_key_and_equal_ones_always_do() {
    // Each changes one thing, or moves bytes from one thing to the next.
    let definitions = [
        "run \"true\"",
        "run \"true \"",
        "run \"true\"; run \"true\"",
        "run \"true\\ntrue\"",
        "exec \"true\"",
        "exec \"a\" \"b c\"",
        "exec \"a b\" \"c\"",
        "exec \"a\" \"b\" \"c\"",
        "exec \"a\"; exec \"b\" \"c\"",
        "exec \"a\" \"b\" \"c\" \"\"",
        "env A=\"1\"; run \"true\"",
        "env A=\"1 \"; run \"true\"",
        "env A=\"\"; run \"true\"",
        "env A=\"1\" B=\"\"; run \"true\"",
        "env A=\"\" B=\"1\"; run \"true\"",
        "env AB=\"1\"; run \"true\"",
        "env A=\"B=1\"; run \"true\"",
        "pass-env \"A\"; run \"true\"",
        "pass-env \"B\"; run \"true\"",
        "pass-env \"HOME\"; run \"true\"",
        "shell \"sh\" \"-c\"; run \"true\"",
        "shell \"bash\" \"-c\"; run \"true\"",
        "shell \"sh\" \"-e\" \"-c\"; run \"true\"",
        "dir \"src\"; run \"true\"",
        "sandbox \"audit\"; run \"true\"",
        "sandbox \"strict\"; run \"true\"",
        "sandbox \"strict\" { network; }; run \"true\"",
        "sandbox \"strict\" { read \"~/.a\"; }; run \"true\"",
        "sandbox \"strict\" { write \"~/.a\"; }; run \"true\"",
        "sandbox \"strict\" { write \"tmp/\"; }; run \"true\"",
        "inputs \"src/\"; run \"true\"",
        "inputs \"src\"; run \"true\"",
        "inputs \"src/**\"; run \"true\"",
        "inputs \"src/**\" \"!src/deep\"; run \"true\"",
        "inputs \"src/file0.c\" \"src/deep\"; run \"true\"",
        "inputs \"link\"; run \"true\"",
        "inputs \"src/file0.c\"; run \"true\"",
        "tools \"sh\"; run \"true\"",
        "tools \"sh\" \"env\"; run \"true\"",
        "platforms amd64; run \"true\"",
        "platforms arm64; run \"true\"",
        "interactive; run \"true\"",
        "needs \"generate\"; run \"true\"",
    ];
    let project = built();
    let mut plan =
        "kiln 1\ntask \"generate\" { inputs \"gen.in\"; outputs \"gen/out.txt\"; run \"mkdir -p gen && cp gen.in gen/out.txt\" }\n"
            .to_owned();
    for (n, definition) in definitions.iter().enumerate() {
        plan += &format!("task \"a{n}\" {{ {definition} }}\ntask \"b{n}\" {{ {definition} }}\n");
        plan += &format!("task \"o{n}\" {{ outputs \"made/{n}\"; {definition} }}\n");
    }
    project.write("build.kdl", &plan);
    project.kiln(&["generate"]).ends(0);
    let targets: Vec<String> = (0..definitions.len()).flat_map(|n| ["a", "b", "o"].map(|kind| format!("{kind}{n}"))).collect();
    let words: Vec<&str> = ["plan", "--keys", "--json"].into_iter().chain(targets.iter().map(String::as_str)).collect();
    let answer: Value = serde_json::from_str(&project.kiln(&words).ends(0).out).unwrap();
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for step in answer["steps"].as_array().unwrap() {
        let name = step["step"].as_str().unwrap().split('@').next().unwrap().to_owned();
        keys.entry(step["key"].as_str().unwrap().to_owned()).or_default().push(name);
    }
    for (n, definition) in definitions.iter().enumerate() {
        let pair = vec![format!("a{n}"), format!("b{n}")];
        assert!(keys.values().any(|names| *names == pair), "`{definition}`: {keys:?}");
    }
    assert_eq!(keys.len(), 2 * definitions.len() + 1);
}

#[test]
fn a_value_of_the_plan_is_named_with_what_it_changed_below_it() {
    let mut project = Project::new(
        r##"kiln 1
param "level" default="1"
param "unused" default="1"
let tag "v${level}"
let said command="cat said; echo x >> ../asked"
profile "dev" { set level="5"; env P="x" }
task "first" { inputs "in"; outputs "out/first"; env TAG="${tag}"; run "mkdir -p out && cp in out/first" }
task "second" { inputs "out/first"; outputs "out/second"; run "cp out/first out/second" }
task "third" {
    doc "of ${unused}"
    arg "to" default="dev"
    inputs "out/second" "src/${level}*"
    env SAID="${said}" HOME_OF="${env.OWNER|default('nobody')}" COMMIT="${git.short}"
    run "true"
}
"##,
    );
    project.write("in", "x").write("said", "hello").write("src/1a", "").write("src/2b", "").write(".gitignore", "out/\n").commit();
    project.kiln(&["third"]).ends(0);
    let asked = || fs::read_to_string(project.beside("asked")).unwrap().lines().count();
    let before = asked();
    // Through a `let`, in a pattern, and several steps before: the param is named, never the `let` that follows from it.
    let told = project.kiln(&["why", "third", "--set", "level=2"]).ends(0);
    let told = told.says("third waits for what must run first; 1 change since").says("  param level: \"1\" → \"2\"\n    its inputs: ");
    told.says("  first runs: 1 change\n    param level: \"1\" → \"2\"\n      env TAG: \"v1\" → \"v2\"\n").never_says("let tag");
    assert_eq!(asked(), before + 1, "a command is asked once, also by a command that looks at the plan twice");
    for (words, thing) in [
        (&["to=prod"][..], "  arg to: \"dev\" → \"prod\"\n    env to: \"dev\" → \"prod\"\n"),
        (&["--profile", "dev"], "  the profile: \"\" → \"dev\"\n"),
    ] {
        project.kiln(&[&["why", "third"], words].concat()).ends(0).says(thing).never_says("param level");
    }
    project.kiln(&["why", "third", "--set", "unused=2"]).ends(0).says("third is up to date").never_says("unused");
    project.write("said", "bye");
    project
        .kiln(&["why", "third"])
        .ends(0)
        .says(": 1 change since")
        .says("  let said: \"hello\" → \"bye\"\n    env SAID: \"hello\" → \"bye\"\n");
    project.kiln(&["plan", "third"]).ends(0).says("let said changed");
    // Two things at once, and no third.
    project.write("build.kdl", project.read("build.kdl").replace("run \"true\"", "run \"true # new\""));
    project
        .kiln(&["why", "third"])
        .ends(0)
        .says(": 2 changes since")
        .says("  let said: ")
        .says("  the command: \"true\" → \"true # new\"\n");
    project.write("said", "hello").git(&["checkout", "-q", "build.kdl"]);
    project.env("OWNER", "me");
    project
        .kiln(&["why", "third"])
        .ends(0)
        .says(": 1 change since")
        .says("  variable OWNER: added, \"me\"\n    env HOME_OF: \"nobody\" → \"me\"\n");
    project.env("OWNER", "").git(&["commit", "-q", "--allow-empty", "-m", "next"]);
    project.kiln(&["why", "third"]).ends(0).says(": 1 change since").says("  git.short: \"").says("    env COMMIT: \"");
}

#[test]
fn a_commit_a_plan_and_a_folder_can_be_compared_with() {
    let project = Project::new(
        "kiln 1\nparam \"p\" default=\"1\"\ntask \"a\" { inputs \"in\"; outputs \"out\"; env P=\"${p}\"; run \"cp in out\" }\n\
         task \"b\" { inputs \"out\"; run \"true\" }\n",
    );
    project.write("in", "1").write(".gitignore", "out\n").commit();
    project.kiln(&["why", "b", "--against", "HEAD"]).ends(0).says("b is the same in HEAD\n");
    let old = project.read("build.kdl");
    project.write("other/build.kdl", &old).write("other/in", "1").write("old.kdl", &old);
    project.write("in", "2").write("build.kdl", old.replace("default=\"1\"", "default=\"2\"") + "task \"c\" { run \"true\" }\n");
    let param = "  param p: \"1\" → \"2\"\n    env P: \"1\" → \"2\"\n";
    for (other, differences) in [("HEAD", 2), ("git:HEAD", 2), ("main", 2), ("other", 2), ("./old.kdl", 1)] {
        let said = project.kiln(&["why", "a", "--against", other]).ends(0).says(param);
        assert_eq!(said.out.contains("in: content changed"), differences == 2, "{other}: {}", said.out);
    }
    let said = project.kiln(&["why", "b", "--against", "HEAD"]).ends(0);
    said.says("b is the same in HEAD, but not 1 step that it needs\n  a: 2 differences\n    param p:").says("    in: content changed");
    project.kiln(&["why", "c", "--against", "HEAD"]).ends(0).says("c is new: HEAD has no such step");
    project.kiln(&["why", "a", "--against", "nowhere"]).ends(2).says("neither a run on record, a file, nor a commit");
    project.kiln(&["diff"]).ends(0).says("param p: \"1\" → \"2\"\n");
    assert!(!project.has("out"), "nothing ran");
}
