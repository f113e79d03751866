//! Sandboxes: what `strict` hides and refuses, what `audit` finds, and that the lines of an audit are enough for `strict`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::project::{Project, Ran, copy_kiln};

/// A plan with one task `t` whose node ends with `rest`.
fn plan(rest: &str) -> String {
    format!("kiln 1\ntask \"t\" {{\n{rest}\n}}\n")
}

fn strict(rest: &str) -> Project {
    let project = Project::new(&plan(&format!("    sandbox \"strict\"\n{rest}")));
    project.write("in.txt", "in\n").write("src/a.txt", "a\n").write("src/b.txt", "b\n").write("secret.txt", "secret\n");
    project
}

fn runs(project: &Project, code: i32) -> Ran {
    project.kiln(&["run", "t"]).ends(code)
}

#[test]
fn behind_walls_there_are_the_declared_inputs_and_nothing_else_of_the_project() {
    let list = "    inputs \"in.txt\" \"src/a.txt\" \"all/\"\n    outputs \"out/list\"\n    run \"find . -type f | sort >/tmp/list; mv /tmp/list out/list; cat in.txt src/a.txt all/deep/x\"";
    let project = strict(list);
    project.write("all/deep/x", "x\n").write("all/y", "y\n").write("out/of-a-sibling", "");
    runs(&project, 0).never_says("secret");
    assert_eq!(project.read("out/list"), "./all/deep/x\n./all/y\n./in.txt\n./src/a.txt\n");
    assert!(project.has("out/of-a-sibling"), "what others made stays where it is");
    assert_eq!(project.read("src/b.txt"), "b\n");
}

#[test]
fn ten_thousand_inputs_stand_behind_walls_one_by_one() {
    // Half of each folder is declared, so no folder can stand there as a whole.
    let project = Project::new(&plan(
        "sandbox \"strict\"; inputs \"src/\" \"!src/*/not-*\"; outputs \"out\"; run \"find src -type f | sort | xargs cat | md5sum >out\"",
    ));
    let mut declared = Vec::new();
    for folder in 0..50 {
        for file in 0..200 {
            let path = format!("src/{folder:02}/f{file:03}");
            declared.push((path.clone(), format!("{folder} {file}\n")));
            project.write(&path, &declared.last().unwrap().1).write(&format!("src/{folder:02}/not-{file}"), "undeclared\n");
        }
    }
    runs(&project, 0);
    project.write("expected", declared.into_iter().map(|(_, text)| text).collect::<String>());
    let sum = Command::new("sh").args(["-c", "md5sum <expected"]).current_dir(project.root()).output().unwrap();
    assert_eq!(project.read("out"), String::from_utf8(sum.stdout).unwrap());
}

#[test]
fn the_machine_behind_walls_is_the_system_and_no_more() {
    let project = strict(
        "    outputs \"o\"\n    run \"(ls -A / /etc /home /root /tmp \\\"$HOME\\\"; cat /etc/shadow; ls -d /work /var/log; ps -eo comm; echo $$) >o 2>/dev/null || true\"",
    );
    fs::write(project.beside("home/key"), "").unwrap();
    runs(&project, 0);
    let seen = project.read("o");
    for hidden in ["shadow\n", "key\n", "var/log", "root:", "gshadow"] {
        assert!(!seen.contains(hidden), "{hidden} is in {seen}");
    }
    assert!(seen.contains("passwd\n") && seen.contains("usr\n"), "{seen}");
}

#[test]
fn what_is_read_and_not_declared_is_missing_and_named_with_its_line() {
    let project = strict("    inputs \"in.txt\"\n    run \"cat in.txt src/b.txt\"");
    runs(&project, 1).says("not declared, so not there: `src/b.txt`; add `inputs \"src/b.txt\"`");
    let project = strict("    inputs \"in.txt\"\n    run \"cd src && ls\"");
    runs(&project, 1).says("not there: `src/`; add `inputs \"src/\"`");
}

#[test]
fn what_is_written_and_not_declared_fails_and_is_named() {
    for (script, named) in [
        ("echo x >other.txt", "not among its outputs, so not writable: `other.txt`; add `outputs \\\"other.txt\\\"`"),
        ("mkdir made", "`made`"),
        ("echo x >>src/a.txt", "its own input, so not writable: `src/a.txt`"),
        ("rm src/a.txt", "its own input, so not writable: `src/a.txt`"),
        ("echo x >out/x; echo y >out/y", "add `outputs \\\"out/y\\\"`, write what is only for a while"),
    ] {
        let project = strict(&format!("    inputs \"src/\"\n    outputs \"out/x\"\n    run {script:?}"));
        let before = project.snapshot("");
        runs(&project, 1).says(&named.replace("\\\"", "\""));
        let mut after = project.snapshot("");
        after.retain(|path, _| path != Path::new("out"));
        let mut expected = before;
        expected.retain(|path, _| path != Path::new("out"));
        // The times of the project's root are not compared, its entries are.
        assert_eq!(after, expected, "{script}");
    }
}

#[test]
fn a_failed_step_behind_walls_leaves_its_former_outputs_as_they_are() {
    let project = strict("    inputs \"in.txt\"\n    outputs \"o\"\n    run \"cat in.txt >o; ! grep -q bad in.txt\"");
    runs(&project, 0);
    project.write("in.txt", "bad\n");
    runs(&project, 1);
    assert_eq!(project.read("o"), "in\n");
}

#[test]
fn outputs_behind_walls_come_out_whole_and_are_cached_and_restored() {
    let project = strict(
        "    inputs \"src/\"\n    outputs \"dist/\" \"gen/*.txt\"\n    run \"mkdir dist; cp src/* dist/; ln -s a.txt dist/link; chmod +x dist/b.txt; mkdir dist/empty; rm -rf gen/x; echo g >gen/g.txt\"",
    );
    runs(&project, 0).says("1 ran");
    let made = project.snapshot("dist");
    assert_eq!(made.len(), 5, "{made:?}");
    assert_eq!(project.read("dist/link"), "a\n");
    runs(&project, 0).says("1 cached");
    project.remove("dist");
    runs(&project, 0).says("1 cached");
    assert_eq!(project.snapshot("dist"), made);
    // A folder that its commands make themselves is not there when it runs once more.
    project.write("src/a.txt", "other\n");
    runs(&project, 0).says("1 ran");
    assert_eq!(project.read("dist/a.txt"), "other\n");
}

#[test]
fn behind_walls_there_is_no_network_unless_it_is_asked_for() {
    let script = "    outputs \"o\"\n    run \"tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' >o\"";
    let project = strict(script);
    runs(&project, 0);
    assert_eq!(project.read("o"), "lo\n");
    let open = Project::new(&plan(&format!("    sandbox \"strict\" {{ network; }}\n{script}")));
    runs(&open, 0);
    let outside = fs::read_to_string("/proc/net/dev").unwrap();
    let outside: Vec<&str> = outside.lines().skip(2).map(|line| line.split(':').next().unwrap().trim()).collect();
    assert_eq!(open.read("o").lines().collect::<Vec<_>>(), outside);
    let refused = "import socket\ns = socket.socket()\ns.settimeout(5)\ns.connect(('192.0.2.1', 80))\n";
    let project = strict("    inputs \"c.py\"\n    run \"/usr/bin/python3 c.py\"");
    project.write("c.py", refused);
    runs(&project, 1).says("no network: `192.0.2.1:80`; add `network` to its `sandbox`");
    let own = "import socket\ns = socket.create_server(('127.0.0.1', 0))\nsocket.create_connection(s.getsockname(), 5)\n";
    project.write("c.py", own);
    runs(&project, 0);
}

#[test]
fn temporary_files_are_private_and_shared_by_the_commands_of_a_task() {
    let project = strict(
        "    run \"echo one >/tmp/kiln-sandbox-test; echo two >\\\"$HOME/x\\\"\"\n    run \"cat /tmp/kiln-sandbox-test \\\"$HOME/x\\\" && ls /tmp\"",
    );
    runs(&project, 0).says("one").says("two");
    assert!(!Path::new("/tmp/kiln-sandbox-test").exists());
    assert!(!project.beside("home/x").exists());
}

#[test]
fn times_and_modes_of_inputs_are_seen_as_they_are() {
    let project =
        strict("    inputs \"src/\" \"tool.sh\"\n    outputs \"o\"\n    run \"stat -c '%n %a %Y' src/a.txt tool.sh >o; ./tool.sh >>o\"");
    project.script("tool.sh", "#!/bin/sh\necho runs\n");
    for name in ["src/a.txt", "tool.sh"] {
        assert!(Command::new("touch").args(["-d", "@1234567890"]).arg(project.path(name)).status().unwrap().success());
    }
    runs(&project, 0);
    assert_eq!(project.read("o"), "src/a.txt 644 1234567890\ntool.sh 755 1234567890\nruns\n");
}

#[test]
fn ends_of_commands_are_told_through_the_walls() {
    for (script, said) in
        [("exit 7", "exit code 7"), ("kill -SEGV $$", "killed by signal 11 (SIGSEGV)"), ("kill -KILL $$", "killed by signal 9 (SIGKILL)")]
    {
        for mode in ["strict", "audit"] {
            let project = Project::new(&plan(&format!("    sandbox \"{mode}\"\n    run {script:?}")));
            runs(&project, 1).says(said);
        }
    }
    let project = strict("    exec \"no-such-program\"");
    runs(&project, 1).says("no-such-program").says("`read` in its `sandbox`");
}

#[test]
fn a_program_of_real_time_signals_is_told_how_to_run_unwatched() {
    for mode in ["strict", "audit"] {
        let project = Project::new(&plan(&format!("    sandbox \"{mode}\"\n    run \"kill -34 $$; sleep 60\"")));
        runs(&project, 1).says("real-time signals");
    }
    let project = Project::new(&plan("    sandbox \"strict\" watch=#false\n    run \"kill -34 $$\""));
    runs(&project, 1).says("killed by signal 34");
}

#[test]
fn places_of_the_machine_are_let_through_as_the_plan_says() {
    let mut project = strict("    run \"true\"");
    let there = project.beside("there");
    fs::create_dir_all(there.join("cache")).unwrap();
    fs::write(there.join("data"), "data\n").unwrap();
    let there = there.to_str().unwrap().to_owned();
    let script = format!("    run \"cat {there}/data && echo kept >{there}/cache/x\"");
    project.write("build.kdl", plan(&format!("    sandbox \"strict\"\n{script}")));
    runs(&project, 1).says("not shown: `/tmp/kiln-");
    project.write("build.kdl", plan(&format!("    sandbox \"strict\" {{ read \"{there}\"; }}\n{script}")));
    runs(&project, 1).says("not writable:");
    project.write("build.kdl", plan(&format!("    sandbox \"strict\" {{ read \"{there}\"; write \"{there}/cache\"; }}\n{script}")));
    runs(&project, 0);
    assert_eq!(fs::read_to_string(Path::new(&there).join("cache/x")).unwrap(), "kept\n");
    // A tool that lies elsewhere is shown with the folder that it was installed in.
    let bin = project.beside("opt/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(project.beside("opt/lib")).unwrap();
    fs::write(project.beside("opt/lib/words"), "of the tool\n").unwrap();
    fs::write(bin.join("my-tool"), "#!/bin/sh\ncat \"$(dirname \"$0\")/../lib/words\"\n").unwrap();
    fs::set_permissions(bin.join("my-tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    project.env("PATH", &path);
    project.write("build.kdl", plan("    sandbox \"strict\"\n    tools \"my-tool\"\n    run \"my-tool\""));
    runs(&project, 0).says("of the tool");
    project.write("build.kdl", plan("    sandbox \"strict\"\n    run \"my-tool\""));
    runs(&project, 1);
}

#[test]
fn an_audit_names_what_is_undeclared_and_changes_nothing() {
    let rest = "    inputs \"in.txt\"\n    outputs \"out/x\"\n    run \"cat in.txt src/b.txt >out/x; echo >other.txt; : >src/tmp; rm src/tmp; ls src\"";
    let project = Project::new(&plan(&format!("    sandbox \"audit\"\n{rest}")));
    project.write("in.txt", "in\n").write("src/a.txt", "a\n").write("src/b.txt", "b\n");
    runs(&project, 0)
        .says("it reads `src/b.txt` without declaring it; add `inputs \"src/b.txt\"`")
        .says("it writes `other.txt` without declaring it; add `outputs \"other.txt\"`")
        .says("it writes for a while in `src/` without declaring it; add `write \"src/\"` to its `sandbox`")
        .never_says("in.txt`")
        .never_says("out/x`");
    assert_eq!(project.read("out/x"), "in\nb\n");
    let quiet = Project::new(&plan("    sandbox \"audit\"\n    inputs \"in.txt\"\n    outputs \"o\"\n    run \"cp in.txt o\""));
    quiet.write("in.txt", "");
    runs(&quiet, 0).says("it asked for nothing that is not declared");
}

/// The lines that an audit names, each with the node that it belongs to.
fn lines(ran: &Ran) -> (String, String) {
    let (mut own, mut inside) = (String::new(), String::new());
    for line in ran.out.lines().chain(ran.err.lines()).filter(|line| line.contains("audit: it ")) {
        let Some((_, rest)) = line.split_once("; add `") else { continue };
        let (node, behind) = rest.split_once('`').unwrap();
        let to = if behind.contains("sandbox") { &mut inside } else { &mut own };
        to.push_str(&format!("    {node}\n"));
    }
    (own, inside)
}

/// Runs a task under audit, takes its advice, and runs it behind walls.
fn round_trip(project: &mut Project, name: &str, rest: &str) {
    project.write("build.kdl", plan(&format!("    sandbox \"audit\"\n{rest}")));
    let ran = project.kiln(&["run", "t"]);
    assert_eq!(ran.code, 0, "{name} under audit: {}{}", ran.out, ran.err);
    let (own, inside) = lines(&ran);
    let inside = if inside.is_empty() { String::new() } else { format!(" {{\n{inside}}}") };
    let walled = plan(&format!("    sandbox \"strict\"{inside}\n{own}{rest}"));
    project.write("build.kdl", &walled);
    let again = project.kiln(&["run", "t"]);
    assert_eq!(again.code, 0, "{name} behind walls\n{walled}\n{}{}\nthe audit said\n{}{}", again.out, again.err, ran.out, ran.err);
}

/// A project: its name, the program that it needs, its files, and what stands in its task.
type Small<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

fn is_there(program: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success()
}

#[test]
fn the_lines_of_an_audit_are_enough_for_walls() {
    let c = [
        ("main.c", "#include \"lib/a.h\"\nint main(void) { return A; }\n"),
        ("lib/a.h", "#include \"b.h\"\n#define A B\n"),
        ("lib/b.h", "#define B 0\n"),
    ];
    let make: &[(&str, &str)] = &[
        ("Makefile", "include rules.mk\nall: out/app\nout/app: main.c lib/a.h\n\tmkdir -p out && $(CC) -o $@ main.c\n"),
        ("rules.mk", "CC = gcc\n"),
    ];
    let make = [&c[..], make].concat();
    let python = [
        ("run.py", "import pkg.one\nopen('out.txt', 'w').write(pkg.one.x)\n"),
        ("pkg/__init__.py", ""),
        ("pkg/one.py", "from .two import x\n"),
        ("pkg/two.py", "x = 'two'\n"),
    ];
    let node = [
        ("run.js", "const a = require('./lib'); require('fs').writeFileSync('out.txt', a.x);\n"),
        ("lib/index.js", "exports.x = require('./data.json').x;\n"),
        ("lib/data.json", "{\"x\": \"data\"}\n"),
    ];
    let go = [
        ("go.mod", "module m\n\ngo 1.18\n"),
        ("main.go", "package main\n\nimport \"m/a\"\n\nfunc main() { println(a.X) }\n"),
        ("a/a.go", "package a\n\nconst X = 1\n"),
    ];
    let perl = [
        ("run.pl", "use lib '.'; use Own; open(my $o, '>', 'out.txt'); print $o Own::x();\n"),
        ("Own.pm", "package Own; sub x { 'x' } 1;\n"),
    ];
    let shell = [
        ("run.sh", ". ./lib.sh\nwhile read -r line; do say \"$line\"; done <words >out.txt\n"),
        ("lib.sh", "say() { echo \"$1\"; }\n"),
        ("words", "a\nb\n"),
    ];
    let many: Vec<(String, String)> = (0..12).map(|n| (format!("many/{n}.txt"), n.to_string())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let temporary = [("words", "b\na\n")];
    let names = [("a b/c d.txt", "x\n"), ("quo\"te.txt", "y\n")];
    let projects: &[Small<'_>] = &[
        ("c", "gcc", &c, "    inputs \"main.c\"\n    outputs \"app\"\n    run \"gcc -o app main.c\""),
        ("make", "make", &make, "    inputs \"Makefile\"\n    outputs \"out/app\"\n    run \"make\""),
        ("python", "/usr/bin/python3", &python, "    inputs \"run.py\"\n    outputs \"out.txt\"\n    run \"/usr/bin/python3 run.py\""),
        ("node", "node", &node, "    inputs \"run.js\"\n    outputs \"out.txt\"\n    run \"node run.js\""),
        (
            "go",
            "go",
            &go,
            "    inputs \"go.mod\"\n    outputs \"bin/m\"\n    env GOFLAGS=\"-mod=mod\" GOTOOLCHAIN=\"local\" CGO_ENABLED=\"0\"\n    run \"go build -o bin/m .\"",
        ),
        ("perl", "perl", &perl, "    inputs \"run.pl\"\n    outputs \"out.txt\"\n    run \"perl run.pl\""),
        ("shell", "sh", &shell, "    inputs \"run.sh\"\n    outputs \"out.txt\"\n    run \"sh run.sh\""),
        ("many", "sh", &many, "    inputs \"build.kdl\"\n    outputs \"out/all\"\n    run \"cat many/*.txt >out/all\""),
        (
            "temporary",
            "sh",
            &temporary,
            "    inputs \"build.kdl\"\n    outputs \"out/sorted\"\n    run \"mkdir -p tmp; sort words >tmp/one; mv tmp/one out/sorted\"",
        ),
        ("names", "sh", &names, "    inputs \"build.kdl\"\n    outputs \"o\"\n    run \"cat 'a b/c d.txt' 'quo\\\"te.txt' >o\""),
    ];
    let mut done = Vec::new();
    for (name, program, files, rest) in projects {
        if !is_there(program) {
            println!("not run: `{program}` is not on this machine");
            continue;
        }
        let mut project = Project::new("kiln 1\n");
        for (path, text) in *files {
            project.write(path, text);
        }
        round_trip(&mut project, name, rest);
        done.push(*name);
    }
    assert!(done.len() >= 5, "{done:?}");
}

#[test]
fn walls_stand_for_a_user_without_power_too() {
    if !rustix::process::getuid().is_root() {
        // All other tests of this file show it.
        return;
    }
    let mut project = strict(
        "    inputs \"in.txt\"\n    outputs \"o\"\n    run \"(id -u; cat in.txt; cat src/a.txt) >o 2>&1 || true; ! echo x >/usr/x\"",
    );
    let program = project.beside("kiln");
    copy_kiln(&program);
    let everything = project.beside("");
    assert!(Command::new("chown").args(["-R", "65534:65534"]).arg(&everything).status().unwrap().success());
    project.program(&program).prefix(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(str::to_owned));
    runs(&project, 0);
    let seen = project.read("o");
    assert!(seen.starts_with("65534\nin\n") && !seen.contains("\na\n"), "{seen}");
}

#[test]
fn a_machine_without_user_namespaces_is_told_and_nothing_runs_without_walls() {
    let mut project = strict("    outputs \"o\"\n    run \"echo >o\"");
    let none = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"";
    project.prefix(&["unshare", "-Ur", "sh", "-c", none, "sh"].map(str::to_owned));
    runs(&project, 5).says("the sandbox `strict` cannot be made here").says("user.max_user_namespaces");
    assert!(!project.has("o"));
}

#[test]
fn nothing_is_left_of_walls_when_kiln_is_killed() {
    let project = strict("    outputs \"o/begun\"\n    run \"echo >o/begun; sleep 1000\"");
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    let before = mounts();
    let mut kiln = project.start(&["run", "t"]);
    let scratch = || {
        let stage = walkdir(&project.cache());
        stage.iter().any(|path| path.ends_with("stage/o/begun"))
    };
    let began = std::time::Instant::now();
    while !scratch() {
        assert!(began.elapsed().as_secs() < 30, "it never began");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    kiln.kill().unwrap();
    kiln.wait().unwrap();
    project.is_left_alone();
    assert_eq!(mounts(), before);
    assert!(!project.has("o/begun"));
}

fn walkdir(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}
