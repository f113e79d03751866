//! Bytes → text → document → plan → graph → screen, and → formatted text: random changes of every plan and fixture at hand must
//! end in a value or in faults, never in a panic, and soon.
//!
//! Runs for `KILN_FUZZ_SECONDS` (10) from `KILN_FUZZ_SEED`. A case that fails is written to `target/fuzz/` and the seed is printed;
//! the case that ran when a signal ended all, as a stack that overflows does, is left in `target/fuzz/running-PID.kdl`. Cases that
//! once failed lie in `tests/fuzz/found` and are run first, every time.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    missing_docs,
    reason = "tests may panic, and ask the machine"
)]

mod check;
mod corpus;
mod mutate;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mutate::Random;

/// The longest time that one case may take. Without optimisation everything takes about six times as long.
const SLOW: Duration = Duration::from_secs(if cfg!(debug_assertions) { 6 } else { 1 });

/// After this a case counts as hung.
const HUNG: Duration = Duration::from_secs(300);

/// The case that runs now, and since when.
static RUNNING: Mutex<Option<(Vec<u8>, Instant)>> = Mutex::new(None);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn keep(case: &[u8]) -> String {
    let digest = kiln::base::digest::Digest::<kiln::base::digest::Blake3>::of(case);
    let path = folder().join(format!("{}.kdl", &digest.hex()[..16]));
    std::fs::write(&path, case).unwrap();
    path.display().to_string()
}

/// The time that processors have spent on this process.
fn spent() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // After the name, which may hold anything: fields 14 and 15 of all, in hundredths of a second. Source: proc(5).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// The file that holds the case which runs now: it outlives this process.
struct Running(File, PathBuf);

impl Running {
    fn new() -> Self {
        let path = folder().join(format!("running-{}.kdl", std::process::id()));
        Self(File::create(&path).unwrap(), path)
    }
    fn hold(&self, case: &[u8]) {
        self.0.set_len(0).unwrap();
        self.0.write_all_at(case, 0).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        std::fs::remove_file(&self.1).unwrap();
    }
}

/// Runs one case. On a busy machine any case may take long: one that did is run again, and its work is measured.
fn run(running: &Running, case: &[u8]) -> Result<check::Outcome, String> {
    running.hold(case);
    let once = || {
        *RUNNING.lock().unwrap() = Some((case.to_vec(), Instant::now()));
        let outcome = std::panic::catch_unwind(|| check::check(case)).map_err(|_| "a panic".to_owned())?;
        *RUNNING.lock().unwrap() = None;
        outcome
    };
    let began = Instant::now();
    let outcome = once()?;
    if began.elapsed() > SLOW {
        let before = spent();
        once()?;
        let work = spent() - before;
        if work > SLOW {
            return Err(format!("it takes {work:?}"));
        }
    }
    Ok(outcome)
}

/// Ends the process when a case hangs: a thread cannot be stopped.
fn watch() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let running = RUNNING.lock().unwrap().clone();
            if let Some((case, since)) = running
                && since.elapsed() > HUNG
            {
                eprintln!("a case does not end: {}", keep(&case));
                std::process::exit(101);
            }
        }
    });
}

#[test]
fn no_bytes_make_kiln_panic_hang_or_mark_a_place_outside_the_text() {
    let seeds = corpus::seeds();
    // Every run of the suite begins with the same cases, so that a change is judged by itself; KILN_FUZZ_SEED tries others.
    let seed = number("KILN_FUZZ_SEED").unwrap_or(15_838);
    let limit = Duration::from_secs(number("KILN_FUZZ_SECONDS").unwrap_or(10));
    watch();
    let running = Running::new();
    for (name, text) in &seeds {
        assert_eq!(run(&running, text).err(), None, "{name}");
    }
    let mut random = Random::new(seed);
    let (began, mut cases, mut read, mut plans) = (Instant::now(), 0_u64, 0_u64, 0_u64);
    while began.elapsed() < limit {
        let case = mutate::case(&mut random, &seeds);
        match run(&running, &case) {
            Ok(outcome) => {
                cases += 1;
                read += u64::from(outcome >= check::Outcome::Document);
                plans += u64::from(outcome == check::Outcome::Plan);
            }
            Err(what) => panic!("{what}, with KILN_FUZZ_SEED={seed}, case {cases}: {}", keep(&case)),
        }
    }
    eprintln!(
        "fuzz: {cases} cases in {:?} from {} seeds (KILN_FUZZ_SEED={seed}), {read} were KDL, {plans} plans",
        began.elapsed(),
        seeds.len()
    );
    assert!(cases > 0);
}
