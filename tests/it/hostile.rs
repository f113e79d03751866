//! Plans from an enemy: whatever the file is and holds, kiln ends soon, in little memory, with a fault that names the cause.
//!
//! Each case runs in a process of its own below a limit of address space; one that does not end is killed and is a failure.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::project::{Project, Ran};

/// What its stack may take, in kilobytes: a quarter of what a shell gives, so that what is only as deep as a plan is long ends here.
const STACK: u32 = 2 << 10;

/// What kiln may map, in kilobytes. Stacks of threads and arenas count whole, used or not.
const MEMORY: u32 = 1 << 20;

/// After this a command counts as hung. Without optimisation everything takes about six times as long.
const PATIENCE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 120 } else { 20 });

/// The longest answer to a broken plan, in bytes.
const ANSWER: usize = 64 << 10;

/// Runs kiln on a plan below the limits.
#[track_caller]
fn bounded(project: &mut Project, args: &[&str]) -> Ran {
    let limited = format!("ulimit -s {STACK} && ulimit -v {MEMORY} && exec \"$@\"");
    project.prefix(&["sh".to_owned(), "-c".to_owned(), limited, "sh".to_owned()]);
    let mut child = project.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |from: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        from.take(1 << 20).read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    std::thread::scope(|scope| {
        let (out, err) = (scope.spawn(move || read(&mut out)), scope.spawn(move || read(&mut err)));
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if began.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let (out, err) = (out.join().unwrap(), err.join().unwrap());
        let Some(status) = status else { panic!("kiln {args:?} did not end: {err}") };
        Ran { code: status.code().unwrap_or_else(|| panic!("kiln {args:?} was ended by a signal: {status} {err}")), out, err }
    })
}

#[track_caller]
fn refused(plan: impl AsRef<[u8]>, says: &[&str]) -> Ran {
    let mut project = Project::new("");
    project.write("build.kdl", plan);
    let mut ran = bounded(&mut project, &["check"]).ends(3);
    for text in says {
        ran = ran.says(text);
    }
    assert!(ran.err.len() < ANSWER, "{} bytes of faults", ran.err.len());
    ran
}

/// The codes of all faults, in order.
fn codes(plan: impl AsRef<[u8]>) -> Vec<String> {
    let mut project = Project::new("");
    project.write("build.kdl", plan);
    let ran = bounded(&mut project, &["check", "--json"]);
    let faults = ran.out.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    faults.map(|fault| fault["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn nesting_is_read_to_the_cap_and_named_once_above_it() {
    for open in ["a{", "a {\n", "a /-{", "/-a{", "a 1 /-{ b 2 /-{"] {
        let blocks = open.matches('{').count();
        for levels in [64, 65, 2_000, 400_000] {
            let plan = format!("kiln 1\n{}x{}", open.repeat(levels / blocks), "}".repeat(levels / blocks * blocks));
            let too_deep = codes(&plan).iter().filter(|code| *code == "syntax::too-deep").count();
            assert_eq!(too_deep, usize::from(levels / blocks * blocks > 64), "{levels} times {open:?}");
        }
    }
    for levels in [64, 65, 20_000, 500_000] {
        let plan = format!("kiln 1\n{}{}\n", "/*".repeat(levels), "*/".repeat(levels));
        assert_eq!(codes(&plan).contains(&"syntax::too-deep".to_owned()), levels > 64, "{levels} comments");
    }
}

#[test]
fn what_is_long_is_not_deep_on_the_stack() {
    let chain = |end: usize, line: &dyn Fn(usize, usize) -> String| (0..end).map(|n| line(n, (n + 1) % end)).collect::<String>();
    let needs = |n, next| format!("task \"t{n}\" {{ needs \"t{next}\"; run \"true\"; }}\n");
    refused(format!("kiln 1\n{}", chain(20_000, &needs)), &["steps wait for each other in a circle"]);
    let files = |n, next| format!("task \"t{n}\" {{ inputs \"f{next}\"; outputs \"f{n}\"; run \"true\"; }}\n");
    refused(format!("kiln 1\n{}", chain(20_000, &files)), &["steps wait for each other in a circle"]);
    let templates = |n, next| format!("template \"t{n}\" {{ use \"t{next}\"; }}\n");
    refused(format!("kiln 1\n{}use \"t0\"\n", chain(5_000, &templates)), &["plan::"]);
    let values = |n, next| format!("let v{n} \"${{v{next}}}\"\n");
    refused(format!("kiln 1\n{}", chain(5_000, &values)), &["plan::"]);
    for pattern in ["{a,".repeat(50_000) + "b" + &"}".repeat(50_000), "{a}".repeat(50_000)] {
        refused(format!("kiln 1\ntask \"a\" {{ inputs \"{pattern}\"; run \"true\"; }}\n"), &["has more than 64"]);
    }
    let mut project = Project::new("kiln 1\ntask \"a\" { run \"true\"; }\ntask \"b\" { run \"true\"; }\n");
    let query = format!("b{}", " + a - b".repeat(8_000));
    assert_eq!(bounded(&mut project, &["query", &query]).ends(0).out, "a\n");
}

#[test]
fn what_is_wide_is_not_compared_each_with_each() {
    let many = |count: usize, part: &dyn Fn(usize) -> String| (0..count).map(part).collect::<String>();
    let accepted = |plan: String| {
        let mut project = Project::new("");
        project.write("build.kdl", plan);
        bounded(&mut project, &["check"]).ends(0);
    };
    let props = many(150_000, &|n| format!(" a{n}=x"));
    accepted(format!("kiln 1\ntask \"a\" {{ env{props}; run \"true\"; }}\n"));
    let choices = many(150_000, &|n| format!(" c{n}"));
    accepted(format!("kiln 1\nparam a default=\"c7\" {{ choices{choices}; }}\ntask \"a\" {{ run \"true\"; }}\n"));
    accepted(format!("kiln 1\ntask \"a\" {{ run \"{}\"; }}\n", "$${".repeat(500_000)));
    let globs = |n| format!("task \"t{n}\" {{ inputs \"**/*{n}.c\" \"**/*{n}.h\"; outputs \"o{n}/x\"; run \"true\"; }}\n");
    accepted(format!("kiln 1\n{}", many(4_000, &globs)));
    let unknown = |n| format!("let v{n} \"${{w{n}}}\"\n");
    refused(format!("kiln 1\n{}", many(40_000, &unknown)), &["nothing is called `w0`"]);
    let needs = |n| format!("task \"t{n}\" {{ needs \"u{n}\"; run \"true\"; }}\n");
    refused(format!("kiln 1\n{}", many(40_000, &needs)), &["there is no target `u0`"]);
    let policies = |n| format!("policy \"p{n}\" {{ deny \"nothing\"; }}\n");
    refused(format!("kiln 1\n{}", many(40_000, &policies)), &["plan::"]);
}

#[test]
fn a_megabyte_of_one_sign_gives_a_screen_of_faults() {
    for sign in ["=", "}", ";", "\"", "(", ")", "{", "[", ",", "#", "\\", "'", "a/", "/*", "/-", "$(", "\"\"\"\n", "a=\n", "\u{202e}"] {
        let plan = format!("kiln 1\n{}", sign.repeat((1 << 20) / sign.len()));
        let ran = refused(&plan, &["build.kdl"]);
        assert!(ran.err.matches(" ╭─[").count() <= 25, "{sign:?}: {}", ran.err);
        if sign.starts_with("\"\"\"") {
            let _ = ran.says("131053 more faults in the plan");
        }
    }
}

#[test]
fn a_plan_that_is_no_plain_file_is_refused_by_what_it_is() {
    type Make = fn(&Path);
    let special: &[(&str, Make)] = &[
        ("it is a FIFO", |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
        ("it is a device", |path| symlink("/dev/zero", path).unwrap()),
        ("it is a folder", |path| std::fs::create_dir(path).unwrap()),
        ("No such file", |path| symlink("nowhere", path).unwrap()),
        ("symbolic links", |path| symlink("build.kdl", path).unwrap()),
        ("larger than", |path| File::create(path).unwrap().set_len(1 << 30).unwrap()),
        ("No such device", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
    ];
    for (reason, make) in special {
        let mut project = Project::new("");
        project.remove("build.kdl");
        make(&project.path("build.kdl"));
        let ran = bounded(&mut project, &["check"]).says("build.kdl").says(reason);
        assert!(matches!(ran.code, 2 | 3), "{reason}: {ran:?}");
    }
}

#[test]
fn every_control_and_direction_character_is_refused_wherever_it_stands() {
    let low = (1..0x20).filter(|n| !matches!(n, 0x09..=0x0d));
    let bidi = [0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069];
    for number in low.chain([0x7f]).chain(bidi).chain([0xfeff]) {
        let c = char::from_u32(number).unwrap();
        for plan in [
            format!("kiln 1\nproject \"a{c}b\"\n"),
            format!("kiln 1\n// a{c}b\n"),
            format!("kiln 1\n/* {c} */\n"),
            format!("kiln 1\nta{c}sk \"a\"\n"),
            format!("kiln 1\ntask \"a\" {{ run #\"\"\"\n  {c}\n  \"\"\"# }}\n"),
        ] {
            assert_eq!(codes(&plan)[..1], ["syntax::forbidden-character"], "U+{number:04X} in {plan:?}");
            let shown = refused(&plan, &[&format!("u{{{number:x}}}")]);
            assert!(!shown.err.contains(c), "U+{number:04X} reached the terminal");
        }
    }
    assert_eq!(codes("kiln 1\nproject \"a\0\"\n"), ["syntax::not-text"]);
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_offset() {
    refused(b"kiln 1\n// caf\xe9\n", &["offset 13"]);
    refused(b"\xef\xbb\xbfkiln 1\n\xff", &["offset 10"]);
    refused("kiln 1\n\u{feff}project \"a\"\n", &["byte order mark", "build.kdl:2:1"]);
    refused(b"\xff\xfek\0i\0l\0n\0", &["UTF-16"]);
}

#[test]
fn line_ends_and_a_byte_order_mark_change_nothing_in_a_plan() {
    let unix = "kiln 1\nproject \"p\" {\n    default \"t\"\n}\n// remark\ntask \"t\" {\n    env \\\n        A=\"1\" \\\n        B=\"2\"\n    run #\"\"\"\n        echo a\n        echo b\n        \"\"\"#\n}\n";
    let digest = |text: String| {
        let project = Project::new("");
        project.write("build.kdl", text);
        project.kiln(&["plan", "--digest"]).ends(0).out
    };
    let expected = digest(unix.to_owned());
    assert!(expected.trim().len() >= 64, "{expected}");
    assert_eq!(digest(unix.replace('\n', "\r\n")), expected);
    assert_eq!(digest(format!("\u{feff}{unix}")), expected);
    assert_ne!(digest(unix.replace("echo b", "echo c")), expected);
}

#[test]
fn numbers_out_of_range_are_faults_with_their_place() {
    for (node, values) in [
        ("task \"t\" { retry VALUE; run \"x\" }", &["-1", "1e400", "99999999999999999999999999999999999999999999", "1.5", "#nan"][..]),
        ("task \"t\" { timeout VALUE; run \"x\" }", &["\"-5s\"", "\"0s\"", "\"99999999999999999999h\"", "-1", "\"1e400s\"", "#inf"]),
        ("image \"i\" { expose VALUE }", &["70000", "0", "-1", "\"65536\"", "1e400", "80.5"]),
        ("policy \"p\" { max-size VALUE }", &["\"-1MiB\"", "\"99999999999999999999GiB\"", "-5", "\"1e9MiB\""]),
        ("image \"i\" { healthcheck exec \"/x\" interval=VALUE }", &["\"-1s\"", "\"99999999999999999999d\"", "-1"]),
        ("task \"t\" { container \"a:1\" { memory VALUE; cpus 1 }; run \"x\" }", &["\"-1\"", "\"99999999999999999999G\"", "\"1e400\""]),
        ("kiln VALUE", &["-1", "1e400", "2", "99999999999999999999999999999999999999", "1.0", "#inf"]),
    ] {
        for value in values {
            let node = node.replace("VALUE", value);
            let plan = if node.starts_with("kiln ") { format!("{node}\n") } else { format!("kiln 1\n{node}\n") };
            let ran = refused(&plan, &[]);
            assert!(ran.err.contains("build.kdl:"), "{plan}: no place in {}", ran.err);
        }
    }
}

#[test]
fn words_that_look_like_options_are_refused_or_stay_data() {
    for option in ["-rf", "--upload-pack=x", "--privileged", "-", "--"] {
        for plan in [
            format!("image \"i\" {{ from \"{option}\" }}"),
            format!("image \"i\" {{ tag \"{option}\"; push r }}\nregistry r \"example.org/a\""),
            format!("registry r \"{option}\""),
            format!("task \"{option}\" {{ run \"true\" }}"),
            format!("image \"i\" {{ platforms \"{option}\" }}"),
            format!("task \"t\" {{ container \"{option}\"; run \"true\" }}"),
            format!("task \"t\" {{ tools \"{option}\"; run \"true\" }}"),
        ] {
            refused(format!("kiln 1\n{plan}\n"), &[]);
        }
        // As a path it is a name like any other.
        let project = Project::new(&format!(
            "kiln 1\ntask \"t\" {{ inputs \"in/{option}\"; outputs \"{option}.out\"; run \"cp -- 'in/{option}' './{option}.out'; echo t >> ../ran\" }}\n"
        ));
        project.write(&format!("in/{option}"), "data");
        project.kiln(&["run", "t"]).ends(0);
        project.remove(&format!("{option}.out"));
        project.kiln(&["run", "t"]).ends(0);
        assert_eq!((project.read(&format!("{option}.out")).as_str(), project.ran().len()), ("data", 1), "{option}");
    }
}

#[test]
fn what_a_value_holds_arrives_in_argv_as_it_is() {
    for value in [
        "$(touch pwned)",
        "`touch pwned`",
        "a\nb",
        "a;touch pwned",
        "\"'\\",
        "${word}",
        "{{ 1 }}",
        "*",
        " ",
        "-n",
        "\u{e9}\u{1f600}",
        "%s\\n",
    ] {
        let project = Project::new(
            "kiln 1\nparam \"word\" default=\"none\"\ntask \"t\" {\n    env WORD=\"${word}\"\n    exec \"./dump\" \"${word}\" \"<${word}>\"\n    run \"printf %s \\\"$WORD\\\" > env\"\n}\n",
        );
        project.script("dump", "#!/bin/sh\nprintf %s \"$1\" > one\nprintf %s \"$2\" > two\n");
        project.kiln(&["run", "t", "--set", &format!("word={value}")]).ends(0);
        assert_eq!(
            (project.read("one"), project.read("two"), project.read("env")),
            (value.to_owned(), format!("<{value}>"), value.to_owned())
        );
        assert!(!project.has("pwned"), "{value}");
    }
}
