//! Much and large: ten thousand inputs, a file of two gigabytes, names of every kind. Memory is held to a limit; times are
//! printed, not held.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::layouts;
use crate::project::Project;
use crate::publish::remote;
use crate::real_registry::{Access, Cutter, Mode, Real};

/// The most memory that kiln may ever hold, in kilobytes.
const LIMIT: u64 = 200 << 10;

/// Runs kiln to its end; gives the peak of its memory in kilobytes.
#[track_caller]
fn measured(project: &Project, args: &[&str]) -> u64 {
    let began = Instant::now();
    let mut kiln = project.command(args).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
    let status = format!("/proc/{}/status", kiln.id());
    let mut peak = 0;
    let code = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        if let Some(status) = kiln.try_wait().unwrap() {
            break status.code();
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    eprintln!("kiln {}: {:?}, at most {} MB", args.join(" "), began.elapsed(), peak >> 10);
    assert_eq!(code, Some(0));
    peak
}

#[test]
fn ten_thousand_inputs_are_held_in_little_memory() {
    let project = Project::new(
        r##"
kiln 1
project "t" { default "t" }
task "t" {
    inputs "in/"
    outputs "out/"
    run "mkdir -p out; cp -R in/. out/; echo t >> ../ran"
}
task "count" {
    inputs "out/**/*.txt"
    run "echo count >> ../ran"
}
group "all" "t" "count"
"##,
    );
    for folder in 0..100 {
        for file in 0..100 {
            project.write(&format!("in/{folder}/{file}.txt"), format!("{folder} {file}"));
        }
    }
    let mut peak = measured(&project, &["run", "all"]);
    assert_eq!(project.ran(), ["count", "t"]);
    peak = peak.max(measured(&project, &["run", "all"]));
    assert_eq!(project.ran(), [""; 0]);
    project.write("in/50/50.txt", "other").remove("out/7");
    peak = peak.max(measured(&project, &["run", "all"]));
    assert_eq!(project.ran(), ["count", "t"]);
    assert_eq!(project.read("out/50/50.txt"), "other");
    assert!(peak < LIMIT, "{peak} kB");
}

/// Two gigabytes; less where the compiler did not optimise.
const LARGE: u64 = if cfg!(debug_assertions) { 256 << 20 } else { 2 << 30 };

#[test]
fn a_file_of_two_gigabytes_goes_through_inputs_outputs_and_layers_in_little_memory() {
    let project = Project::new(
        r##"
kiln 1
registry "dist" "oci:dist"
task "use" {
    inputs "large"
    outputs "size"
    run "stat -c %s large > size"
}
image "i" {
    copy "large" "size" "/data/"
    tag "1"
    push dist
}
"##,
    );
    let mut file = File::create(project.path("large")).unwrap();
    file.set_len(LARGE).unwrap();
    let mut block = vec![0_u8; 1 << 20];
    let mut state = 1_u64;
    for at in (0..LARGE).step_by(64 << 20) {
        for byte in &mut block {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&block).unwrap();
    }
    drop(file);
    let mut peak = measured(&project, &["run", "i"]);
    assert_eq!(project.read("size").trim(), LARGE.to_string());
    project.remove("dist");
    peak = peak.max(measured(&project, &["run", "i"]));
    assert!(project.has("dist/i/index.json"));
    peak = peak.max(measured(&project, &["run", "i"]));
    assert!(peak < LIMIT, "{peak} kB");
}

/// What a push may ever hold, in kilobytes.
const PUSH_LIMIT: u64 = 100 << 10;
/// Larger than that in every build.
const HEAVY: u64 = if cfg!(debug_assertions) { 192 << 20 } else { 2 << 30 };

/// Writes bytes that no compressor makes smaller: they repeat at a distance that gzip does not see.
fn heavy(project: &Project) {
    let block = super::registry::noise(1 << 20);
    let mut file = File::create(project.path("large")).unwrap();
    for _ in 0..HEAVY >> 20 {
        file.write_all(&block).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_of_two_gigabytes_is_pushed_in_little_memory_at_once_in_chunks_and_from_a_base() {
    let Some(real) = Real::start(Mode::Open) else { return };
    let plan = "kiln 1\nparam place\nregistry r \"${place}\"\nproject t { default i; }\nimage i {\n    platforms amd64\n    copy large \"/data/\"\n    tag \"1\"\n    push r\n}\n";
    let mut project = Project::new(plan);
    heavy(&project);
    // Whole, in one request.
    let mut peaks = vec![measured(project.env("KILN_PARAM_PLACE", &real.host), &["run"])];
    let patched = |seen: &[Access]| seen.iter().filter(|access| access.method == "PATCH").count();
    let seen = real.seen();
    assert!(patched(&seen) == 0 && seen.iter().any(|access| access.tag() == Some("1")), "{seen:?}");
    // A connection that breaks in the middle: what is missing goes on in chunks.
    let cutter = Cutter::start(&real.host, 40 << 20).await;
    peaks.push(measured(project.env("KILN_PARAM_PLACE", &format!("{}/cut", cutter.host)), &["run"]));
    let seen = real.seen();
    assert!(patched(&seen) as u64 >= (HEAVY - (64 << 20)) / (16 << 20), "{seen:?}");
    drop(project);
    // Somebody else's base: it comes from one registry and goes to another, as it is.
    let other = Real::start(Mode::Open).unwrap();
    let base = format!("from \"{}/i:1\"", real.host);
    let mut project = Project::new(&plan.replace("copy large \"/data/\"", &base));
    peaks.push(measured(project.env("KILN_PARAM_PLACE", &other.host), &["run"]));
    let layer = |registry: &Real| tokio::task::block_in_place(|| remote(registry, "i:1").0["layers"][0].clone());
    assert_eq!(layer(&other), layer(&real));
    assert!(layer(&other)["size"].as_u64().unwrap() >= HEAVY);
    assert!(peaks.iter().all(|peak| *peak < PUSH_LIMIT), "{peaks:?} kB");
}

#[test]
fn names_of_every_kind_come_out_of_a_layer_as_they_went_in() {
    let project = Project::new(
        r##"
kiln 1
registry "dist" "oci:dist"
task "copy" {
    inputs "in/"
    outputs "out/"
    run "mkdir -p out; cp -a in/. out/"
}
image "i" {
    copy "out/" "/data/"
    tag "1"
    push dist
}
"##,
    );
    let names = [
        &b"a b"[..],
        b"new\nline",
        b"\xff\xfe",
        b"-rf",
        b"--",
        b"*",
        b"quote\"'\\",
        b"\\x41",
        "\u{fc}\u{202e}".as_bytes(),
        b".hidden",
        &[b'n'; 255],
    ];
    std::fs::create_dir_all(project.path("in/deep dir")).unwrap();
    for name in names {
        for folder in ["in", "in/deep dir"] {
            std::fs::write(project.path(folder).join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
        }
    }
    project.write("in/empty", "");
    std::os::unix::fs::symlink("a b", project.path("in/link")).unwrap();
    project.kiln(&["run", "i"]).ends(0);
    project.remove("dist").remove("out");
    project.kiln(&["run", "i"]).ends(0);
    let layer = layer_of(&project);
    std::fs::create_dir(project.path("there")).unwrap();
    let opened = std::process::Command::new("tar").args(["-xzf", &layer, "-C", "there"]).current_dir(project.root()).status().unwrap();
    assert!(opened.success());
    let stripped = |folder: &str| {
        project
            .snapshot(folder)
            .into_iter()
            .map(|(path, entry)| (path.strip_prefix(folder).unwrap().to_owned(), entry.1))
            .collect::<Vec<_>>()
    };
    assert_eq!(stripped("there/data"), stripped("in"));
}

fn layer_of(project: &Project) -> String {
    let manifest = layouts::document(project, "dist/i", &layouts::index(project, "dist/i")["manifests"][0]);
    format!("dist/i/{}", layouts::place(&manifest["layers"][0]))
}
