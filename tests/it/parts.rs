//! The real programs that tests talk to: found in the parts folder of this run or in `PATH`. One that is missing is named in
//! one line, which is shown even for tests that pass; where the tests are a gate, it is a failure.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Where a program is, in the parts folder first. `None` is reported.
pub fn part(program: &str) -> Option<PathBuf> {
    let parts = std::env::var_os("KILN_TEST_PARTS").map(|folder| PathBuf::from(folder).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = parts.into_iter().chain(std::env::split_paths(&path)).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    if found.is_none() {
        missing(program, "not installed");
    }
    found
}

/// Whether all of these programs are there.
pub fn there(programs: &[&str]) -> bool {
    programs.iter().filter(|program| part(program).is_none()).count() == 0
}

/// Says, once in this process, what is not tested and why.
///
/// # Panics
/// With `CI=true`.
pub fn missing(part: &str, why: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "`{part}` is missing: {why}");
    let fresh = TOLD.lock().is_ok_and(|mut told| told.insert(part.to_owned()));
    if fresh {
        // Not `println!`, which the test runner keeps to itself when the test passes.
        // In one piece, so that the lines of other tests do not cut it.
        let _ = std::io::stderr().write_all(format!("not run: tests with `{part}` ({why})\n").as_bytes());
    }
}

/// The output of a command that must succeed.
#[track_caller]
pub fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Waits for a condition; a minute is far more than any of them takes.
#[track_caller]
pub fn wait<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < limit, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}
