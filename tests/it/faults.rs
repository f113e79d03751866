//! Faults put under kiln's feet: killed or refused at its Nth system call, files cut and flipped on disk, a disk that is full
//! or read-only, sixteen kilns at once. After each, the next run is right and costs a rebuild at most.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::parts::{missing, part};
use crate::project::{Project, Ran, Snapshot};

/// Every kind of object: outputs of all kinds, a log, a document of findings, layers, config, manifests, an index, a layout.
const PLAN: &str = r##"
kiln 1
project "faults" { default "all" }
each n a b {
    task "gen-${n}" {
        inputs "src/${n}"
        outputs "out/${n}/"
        env N="${n}"
        run #"echo "gen-$N" >> ../ran; rm -rf "out/$N"; mkdir -p "out/$N/deep"; cat "src/$N" > "out/$N/deep/file"; ln -s deep/file "out/$N/link"; mkdir "out/$N/empty"; echo "made $N""#
    }
}
task "join" { inputs "out/*/deep/file"; outputs "joined"; run "echo join >> ../ran; cat out/*/deep/file > joined; chmod +x joined" }
registry "dist" "oci:dist"
image "web" { platforms amd64 arm64; copy "joined" "/joined"; copy "out/a/" "/a"; user "1:1"; scan; tag "1"; push dist }
group "all" "web" "gen-b"
"##;
const STEPS: [&str; 3] = ["gen-a", "gen-b", "join"];

fn project() -> Project {
    let project = Project::new(PLAN);
    project.write("src/a", "a".repeat(30_000)).write("src/b", "b".repeat(10));
    project
}

/// All that a run makes.
fn made(project: &Project) -> [Snapshot; 3] {
    ["out", "joined", "dist"].map(|name| project.snapshot(name))
}

fn remove_made(project: &Project) {
    for name in ["out", "joined", "dist"].iter().filter(|name| project.has(name)) {
        project.remove(name);
    }
}

/// What a run without faults makes.
fn wanted() -> [Snapshot; 3] {
    let project = project();
    project.kiln(&["run"]).ends(0);
    made(&project)
}

/// The next run without a fault makes what is wanted, and the one after it has nothing to do.
#[track_caller]
fn heals(project: &Project, wanted: &[Snapshot; 3], what: &str) {
    let ran = project.kiln(&["run"]);
    assert_eq!(ran.code, 0, "{what}\n{}\n{}", ran.out, ran.err);
    assert!(made(project) == *wanted, "{what}: the next run made something else");
    project.ran();
    project.kiln(&["run"]).ends(0);
    assert_eq!(project.ran(), [""; 0], "{what}: everything was in place");
}

/// Runs kiln, and injects this fault into it and all that it starts.
fn under(project: &mut Project, strace: &Path, calls: &str, fault: &str, args: &[&str]) -> Ran {
    let words = [
        strace.to_str().unwrap(),
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &format!("trace={calls}"),
        "-e",
        &format!("inject={calls}:{fault}"),
    ];
    project.prefix(&words.map(str::to_owned));
    let ran = project.kiln(args);
    project.prefix(&[]);
    ran
}

/// Gives each case to one of two threads, with a project of its own.
fn on_two_threads(cases: &[(String, String)], check: impl Fn(&mut Project, &str, &str) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut project = project();
                while let Some((calls, fault)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(&mut project, calls, fault);
                }
            });
        }
    });
}

/// The calls that change files, as kiln makes them.
const CHANGES: [&str; 7] = ["/^rename", "fdatasync", "/^unlink", "write", "/^mkdir", "/^f?chmod", "/^(openat2|linkat|symlinkat)$"];

#[test]
fn a_kill_at_the_nth_change_of_a_file_leaves_a_store_that_is_right() {
    let Some(strace) = part("strace") else { return };
    let wanted = wanted();
    let counts = [1, 2, 4, 7];
    let cases: Vec<(String, String)> =
        CHANGES.iter().flat_map(|calls| counts.iter().map(|n| ((*calls).to_owned(), format!("signal=KILL:when={n}")))).collect();
    let killed = AtomicUsize::new(0);
    let turn = AtomicUsize::new(0);
    on_two_threads(&cases, |project, calls, fault| {
        // From nothing; from results alone; from outputs alone.
        match turn.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => drop(fs::remove_dir_all(project.cache())),
            1 => {}
            _ => drop(fs::remove_dir_all(project.cache().join("store"))),
        }
        remove_made(project);
        let ran = under(project, &strace, calls, fault, &["run"]);
        killed.fetch_add(usize::from(ran.code == -1), Ordering::Relaxed);
        heals(project, &wanted, &format!("{calls} {fault}"));
        project.kiln(&["cache", "verify"]).ends(0).says("every byte is right");
    });
    assert!(killed.into_inner() > cases.len() / 2, "most of these kill kiln itself");
}

#[test]
fn a_disk_that_refuses_is_named_and_leaves_nothing_half_done() {
    let Some(strace) = part("strace") else { return };
    let wanted = wanted();
    let cases: Vec<(String, String)> = [
        ("/^rename", "error=ENOSPC:when=1+"),
        ("/^rename", "error=EIO:when=2+3"),
        ("fdatasync", "error=EIO:when=1+"),
        ("fdatasync", "error=EDQUOT:when=1+"),
        ("/^unlink", "error=EROFS:when=1+"),
        ("/^mkdir", "error=ENOSPC:when=1+"),
        ("/^f?chmod", "error=EPERM:when=1+"),
        ("pread64", "error=EIO:when=1+"),
        ("flock", "error=ENOLCK:when=1+"),
        ("flock", "error=EOPNOTSUPP:when=1+"),
        ("/^utimens", "error=EROFS:when=1+"),
    ]
    .map(|(calls, fault)| (calls.to_owned(), fault.to_owned()))
    .to_vec();
    on_two_threads(&cases, |project, calls, fault| {
        drop(fs::remove_dir_all(project.cache()));
        remove_made(project);
        let ran = under(project, &strace, calls, fault, &["run"]);
        assert!([0, 1, 5].contains(&ran.code), "{calls} {fault}: exit code {}\n{}\n{}", ran.code, ran.out, ran.err);
        if ran.code == 5 {
            assert!(ran.out.contains("cannot ") || ran.err.contains("cannot "), "{calls} {fault}\n{}\n{}", ran.out, ran.err);
        }
        heals(project, &wanted, &format!("{calls} {fault}"));
    });
}

#[test]
fn a_folder_or_a_file_that_a_disk_refuses_to_read_is_named_and_never_left_out() {
    let Some(strace) = part("strace") else { return };
    let mut project = Project::new("kiln 1\ntask \"t\" {\n    inputs \"src/\"\n    outputs \"out\"\n    run \"cp src/deep/a out\"\n}\n");
    project.write("src/deep/a", "a").write("src/b", "b");
    for (calls, fault) in [("getdents64", "EIO"), ("getdents64", "ESTALE"), ("pread64,read", "EIO")] {
        // Only what lies in the folder: kiln reads other things before.
        let path = project.path("src").canonicalize().unwrap();
        let inside = [&path, &path.join("deep"), &path.join("deep/a")].map(|path| path.to_str().unwrap().to_owned());
        let mut words = vec![strace.to_str().unwrap().to_owned(), "-f".into(), "-qq".into(), "-o".into(), "/dev/null".into()];
        words.extend(inside.into_iter().flat_map(|path| ["-P".to_owned(), path]));
        words.extend(["-e".to_owned(), format!("trace={calls}"), "-e".to_owned(), format!("inject={calls}:error={fault}:when=1+")]);
        project.prefix(&words);
        let ran = project.kiln(&["run", "t"]);
        project.prefix(&[]);
        assert_ne!(ran.code, 0, "{calls} {fault}: {}", ran.out);
        ran.says("src").says(if fault == "EIO" { "Input/output error" } else { "Stale file handle" });
        assert!(!project.has("out"), "{calls} {fault}");
    }
    project.kiln(&["run", "t"]).ends(0).says("1 ran");
}

#[test]
fn a_collection_killed_at_any_call_costs_a_rebuild_at_most() {
    let Some(strace) = part("strace") else { return };
    let wanted = wanted();
    let cases: Vec<(String, String)> = ["/^rename", "/^unlink"]
        .iter()
        .flat_map(|calls| [1, 2, 4, 7].map(|n| ((*calls).to_owned(), format!("signal=KILL:when={n}"))))
        .collect();
    on_two_threads(&cases, |project, calls, fault| {
        project.kiln(&["run"]).ends(0);
        under(project, &strace, calls, fault, &["cache", "gc", "--max-size", "0"]);
        remove_made(project);
        heals(project, &wanted, &format!("{calls} {fault}"));
    });
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_index_cut_anywhere_or_flipped_costs_time_alone() {
    let wanted = wanted();
    let project = project();
    project.kiln(&["run"]).ends(0);
    let folder = fs::read_dir(project.cache().join("projects")).unwrap().next().unwrap().unwrap().path();
    let names: Vec<PathBuf> = files(&folder).into_iter().filter(|path| path.metadata().unwrap().len() > 0).collect();
    assert!(names.len() >= 5, "journal, index of steps, stat cache, document, root: {names:?}");
    for name in names {
        let bytes = fs::read(&name).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 4;
        for damaged in [&bytes[..0], &bytes[..1], &bytes[..bytes.len() / 2], &bytes[..bytes.len() - 1], &flipped] {
            overwrite(&name, damaged);
            // With outputs in place nothing runs; without them they are restored.
            project.ran();
            project.kiln(&["run"]).ends(0);
            remove_made(&project);
            project.kiln(&["run"]).ends(0);
            assert_eq!(project.ran(), [""; 0], "{name:?} of {} bytes", damaged.len());
            assert!(made(&project) == wanted, "{name:?} of {} bytes", damaged.len());
        }
        overwrite(&name, &flipped);
        for command in [&["history"][..], &["cache", "stats"], &["cache", "doctor"], &["log", "gen-a"], &["why", "gen-a"]] {
            let ran = project.kiln(command);
            assert!([0, 2, 5].contains(&ran.code) && !ran.err.contains("panicked"), "{command:?}: {}\n{}", ran.code, ran.err);
        }
    }
}

#[test]
fn a_flipped_bit_in_any_object_of_the_store_is_never_delivered() {
    let wanted = wanted();
    let project = project();
    project.kiln(&["run"]).ends(0);
    let objects: Vec<PathBuf> = ["blobs", "actions"].iter().flat_map(|name| files(&project.cache().join("store/v1").join(name))).collect();
    assert!(objects.len() > 20, "{}", objects.len());
    for (at, object) in objects.iter().enumerate() {
        // A run may have replaced it meanwhile: then it is whole again.
        let Ok(mut bytes) = fs::read(object) else { continue };
        let Some(last) = bytes.len().checked_sub(1) else { continue };
        if at % 3 == 2 {
            bytes.truncate(last);
        } else {
            bytes[(at * 7_919) % (last + 1)] ^= 1 << (at % 8);
        }
        overwrite(object, &bytes);
        remove_made(&project);
        // A blob that a run only hands on is noticed when it is: then the next run makes it.
        let ran = project.kiln(&["run"]);
        if ran.code != 0 {
            ran.ends(5).says("run it again");
            project.kiln(&["run"]).ends(0);
        }
        assert!(made(&project) == wanted, "{object:?} reached the project");
    }
    // What no run needed to read is found by the check, and only once.
    project.kiln(&["cache", "verify"]);
    project.kiln(&["cache", "verify"]).never_says("was damaged");
    remove_made(&project);
    heals(&project, &wanted, "after the check");
}

#[test]
fn blobs_that_are_gone_are_misses_and_made_again() {
    let wanted = wanted();
    let project = project();
    project.kiln(&["run"]).ends(0);
    for object in files(&project.cache().join("store/v1/blobs")) {
        if fs::remove_file(&object).is_err() {
            continue;
        }
        remove_made(&project);
        let ran = project.kiln(&["run"]);
        assert_eq!(ran.code, 0, "{object:?}\n{}\n{}", ran.out, ran.err);
        assert!(made(&project) == wanted, "{object:?}");
    }
}

/// A command that runs a script as root of namespaces of its own, where it may mount; `None` is reported.
fn in_namespaces() -> Option<Vec<String>> {
    let unshare = part("unshare")?;
    let words: Vec<String> = [unshare.to_str().unwrap(), "-Urm", "--"].map(str::to_owned).to_vec();
    let tried = Command::new(&words[0]).args(&words[1..]).arg("true").status().unwrap();
    if tried.success() {
        return Some(words);
    }
    missing("user namespaces", "this machine gives no user namespaces: /proc/sys/user/max_user_namespaces, or a filter");
    None
}

/// Lets kiln run behind a script of mounts.
fn behind(project: &mut Project, script: &str) -> bool {
    let Some(mut words) = in_namespaces() else { return false };
    words.extend(["sh", "-c", &format!("set -e; {script}; exec \"$@\""), "sh"].map(str::to_owned));
    project.prefix(&words);
    true
}

#[test]
fn on_a_disk_of_sixteen_mebibytes_what_is_too_large_is_told_and_the_rest_works() {
    let mut project = Project::new(
        r##"
kiln 1
task "small" { inputs "in"; outputs "small"; run "cp in small" }
task "large" { inputs "in"; outputs "large/"; run "mkdir -p large; for i in 1 2 3 4 5; do head -c 6000000 /dev/urandom > large/$i; done" }
task "after" { needs "large"; inputs "in"; run "echo after >> ../ran" }
"##,
    );
    project.write("in", "x");
    fs::create_dir_all(project.cache()).unwrap();
    let (cache, kiln) = (project.cache(), env!("CARGO_BIN_EXE_kiln"));
    // One script, because the disk is gone with the namespace.
    let script = format!(
        "mount -t tmpfs -o size=16m kiln '{0}'; code=0; {1} run after || code=$?; test $code = 5; {1} run small; rm small; {1} run small; {1} cache verify; test -z \"$(find '{0}/store/v1/tmp' -type f)\"",
        cache.display(),
        kiln
    );
    if !behind(&mut project, &script) {
        return;
    }
    let ran = project.kiln(&["cache", "stats"]);
    let ran = ran.ends(0).says("No space left on device").says("help:").says("restored").says("every byte is right");
    assert_eq!(ran.out.matches("No space left on device").count(), 2, "once when it failed and once at the end:\n{}", ran.out);
    assert_eq!(project.ran(), [""; 0]);
    assert!(project.has("large/5"), "what the step made is not taken away");
}

#[test]
fn a_store_that_is_read_only_gives_what_it_has_and_says_why_it_keeps_nothing() {
    let mut project = project();
    project.kiln(&["run"]).ends(0);
    let wanted = made(&project);
    remove_made(&project);
    project.ran();
    let cache = project.cache();
    let cache = cache.display();
    if !behind(&mut project, &format!("mount --bind '{cache}' '{cache}'; mount -o remount,ro,bind '{cache}'")) {
        return;
    }
    project.kiln(&["run"]).ends(0).says("restored").says("this run is not recorded").says("Read-only file system");
    assert!(made(&project) == wanted);
    assert_eq!(project.ran(), [""; 0]);
    project.write("src/b", "changed");
    project.kiln(&["run", "gen-b"]).ends(5).says("Read-only file system").says("KILN_CACHE_DIR").never_says(" at path ");
    project.kiln(&["cache", "doctor"]).ends(5).says("Read-only file system").never_says("no locks");
    project.kiln(&["cache", "verify"]).ends(0);
    project.kiln(&["cache", "gc"]).ends(5);
}

/// Starts kilns at the same moment and waits for all of them.
fn at_once(kilns: Vec<Child>) {
    for mut kiln in kilns {
        assert_eq!(kiln.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn sixteen_kilns_at_once_do_the_work_once() {
    let wanted = wanted();
    let project = project();
    at_once((0..16).map(|_| project.start(&["run"])).collect());
    assert_eq!(project.ran(), STEPS);
    assert!(made(&project) == wanted);
    // All of them restore.
    remove_made(&project);
    at_once((0..16).map(|_| project.start(&["run"])).collect());
    assert_eq!(project.ran(), [""; 0]);
    assert!(made(&project) == wanted);
    // Different targets that share what they need, and somebody who looks on.
    fs::remove_dir_all(project.cache()).unwrap();
    remove_made(&project);
    let targets = [&["run", "web"][..], &["run", "join"], &["run", "gen-a"], &["run", "gen-b"], &["cache", "stats"]];
    at_once((0..20).map(|n| project.start(targets[n % targets.len()])).collect());
    assert_eq!(project.ran(), STEPS);
    heals(&project, &wanted, "after sixteen");
}

#[test]
fn a_store_of_another_version_stays_as_it_is() {
    let wanted = wanted();
    let project = project();
    for version in ["v0", "v2"] {
        let other = project.cache().join("store").join(version);
        fs::create_dir_all(other.join("actions/00")).unwrap();
        fs::write(other.join("actions/00/11"), "of another kiln").unwrap();
    }
    heals(&project, &wanted, "beside others");
    project.kiln(&["cache", "gc", "--max-size", "0"]).ends(0);
    project.kiln(&["cache", "doctor"]).ends(0).says("untouched: v0, v2");
    for version in ["v0", "v2"] {
        let other = project.cache().join("store").join(version);
        assert_eq!(files(&other), [other.join("actions/00/11")]);
        assert_eq!(fs::read(other.join("actions/00/11")).unwrap(), b"of another kiln");
    }
}

#[test]
fn without_a_place_for_results_kiln_says_what_to_set() {
    let project = project();
    let output = project.command(&["run"]).env_remove("HOME").env_remove("KILN_CACHE_DIR").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(said.contains("cli::no-cache") && said.contains("KILN_CACHE_DIR"), "{said}");
}

/// Steps that must not be kept: each fails or is stopped in its own way the first time, and does well the second time.
#[test]
fn what_failed_was_stopped_or_ran_out_of_time_is_never_taken_from_the_store() {
    for (body, how) in
        [("exit 1", ""), ("kill -9 $$", ""), ("sleep 30", "timeout \"2s\""), ("rm -f out; exit 0", ""), ("touch in; echo more >> in", "")]
    {
        let plan = format!(
            "kiln 1\ntask \"t\" {{\n    inputs \"in\"\n    outputs \"out\"\n    {how}\n    run \"echo t >> ../ran; cp in out; if test -e ../bad; then {body}; fi\"\n}}\n"
        );
        let project = Project::new(&plan);
        project.write("in", "x").write("../bad", "");
        project.kiln(&["run", "t"]);
        project.remove("../bad").write("in", "x");
        project.kiln(&["run", "t"]).ends(0);
        assert_eq!(project.ran(), ["t", "t"], "{body}");
        assert_eq!(project.read("out"), "x");
    }
}
