//! Collection: what goes, in which order, and what stays because somebody uses it. And `kiln cache` as people type it.

use std::collections::HashSet;
use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use kiln::base::digest::{ActionKey, Blake3, ContentDigest, Digest};
use kiln::base::id::RunId;
use kiln::base::path::{AbsPath, RelPath};
use kiln::store::collect::{Collected, Limits};
use kiln::store::held::Held;
use kiln::store::local::Store;
use kiln::store::result::{ActionResult, OutputEntry, OutputFile};

use crate::project::Project;

const DAY: u64 = 86_400;

struct Bench {
    folder: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(AbsPath::new(folder.path().join("store")).unwrap()).unwrap();
        Self { folder, store }
    }
    /// As another process would open it.
    fn another(&self) -> Store {
        Store::open(AbsPath::new(self.folder.path().join("store")).unwrap()).unwrap()
    }
    /// A result with these outputs, all last used so many days ago.
    fn result(&self, seed: &str, contents: &[&str], days: u64) -> ActionKey {
        let key = ActionKey(Digest::of(seed.as_bytes()));
        let output = |content: &&str| {
            let digest = self.store.put::<Blake3>(content.as_bytes()).unwrap();
            let entry = OutputEntry::File { digest: ContentDigest(digest), size: content.len() as u64, executable: false };
            OutputFile { path: RelPath::new(content.split(' ').next().unwrap()).unwrap(), entry }
        };
        let result = ActionResult {
            run: RunId("r".into()),
            took_ms: 1,
            outputs: contents.iter().map(output).collect(),
            image: None,
            documents: Vec::new(),
            log: None,
            detail: None,
        };
        // Each as a run of its own would: results of one run share files.
        self.another().record(key, &result).unwrap();
        contents.iter().for_each(|content| age(self.store.blob_path(blob(content)).as_path(), days));
        age(&self.record(key), days);
        key
    }
    fn record(&self, key: ActionKey) -> PathBuf {
        self.store.root().as_path().join("v1/actions").join(key.0.hex())
    }
    fn collect(&self, limits: Limits) -> Collected {
        self.store.collect(limits, &HashSet::new(), false).unwrap()
    }
    /// What the collection leaves of these results: whether each can be used.
    fn usable(&self, keys: &[ActionKey]) -> Vec<bool> {
        let store = self.another();
        keys.iter().map(|key| store.result(*key).unwrap().is_some_and(|result| store.holds(&result, &Held::default()))).collect()
    }
}

fn blob(content: &str) -> Digest<Blake3> {
    Digest::of(content.as_bytes())
}

fn age(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * DAY);
    // Blobs are read-only; their owner may set their times all the same.
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(then)).unwrap();
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

fn limits(max_bytes: u64, days: u64) -> Limits {
    Limits { max_bytes, max_age_s: days * DAY }
}

const MUCH: u64 = 1 << 40;

#[test]
fn what_was_not_used_for_long_goes_and_the_rest_stays() {
    let bench = Bench::new();
    let keys = [bench.result("old", &["a 1"], 31), bench.result("new", &["b 2"], 29), bench.result("now", &["c 3"], 0)];
    let done = bench.collect(limits(MUCH, 30));
    assert_eq!((done.results, done.blobs, done.left_results, done.left_blobs), (1, 1, 2, 2));
    assert_eq!(bench.usable(&keys), [false, true, true]);
    assert_eq!(bench.store.size_of(blob("a 1")), None);
}

#[test]
fn the_least_recently_used_go_first_until_the_rest_fits() {
    let bench = Bench::new();
    let long = |name: &str| format!("{name} {}", "x".repeat(10_000));
    let contents = ["a", "b", "c", "d"].map(long);
    let keys: Vec<ActionKey> = contents.iter().zip([2, 4, 1, 3]).map(|(content, days)| bench.result(content, &[content], days)).collect();
    let done = bench.collect(limits(25_000, 30));
    assert_eq!((done.results, done.left_results), (2, 2));
    assert!(done.left_bytes <= 25_000, "{done:?}");
    assert_eq!(bench.usable(&keys), [true, false, true, false]);
}

#[test]
fn a_blob_goes_with_the_last_result_that_names_it() {
    let bench = Bench::new();
    let (old, new) = (bench.result("old", &["shared 1", "a 2"], 40), bench.result("new", &["shared 1"], 1));
    bench.collect(limits(MUCH, 30));
    assert_eq!((bench.store.size_of(blob("shared 1")), bench.store.size_of(blob("a 2"))), (Some(8), None));
    assert_eq!(bench.usable(&[old, new]), [false, true]);
    age(&bench.record(new), 40);
    age(bench.store.blob_path(blob("shared 1")).as_path(), 40);
    let done = bench.collect(limits(MUCH, 30));
    assert_eq!((done.results, done.blobs, done.left_bytes), (1, 1, 0));
}

#[test]
fn results_that_share_a_file_stay_while_one_of_them_is_used_and_go_together() {
    let bench = Bench::new();
    let result = bench.store.result(bench.result("pattern", &["a 1"], 0)).unwrap().unwrap();
    let keys = ["a", "b", "c"].map(|seed| ActionKey(Digest::of(seed.as_bytes())));
    keys.iter().for_each(|key| bench.store.record(*key, &result).unwrap());
    age(&bench.record(keys[0]), 40);
    bench.another().result(keys[1]).unwrap().unwrap();
    assert_eq!(bench.collect(limits(MUCH, 30)).results, 0);
    assert_eq!(bench.usable(&keys), [true; 3]);
    age(&bench.record(keys[0]), 40);
    assert_eq!(bench.collect(limits(MUCH, 30)).results, 3);
    assert_eq!(bench.usable(&keys), [false; 3]);
}

#[test]
fn a_dry_run_foretells_what_goes_and_removes_nothing() {
    let bench = Bench::new();
    let keys = [bench.result("old", &["a 1"], 31), bench.result("new", &["b 2"], 3)];
    let told = bench.store.collect(limits(MUCH, 30), &HashSet::new(), true).unwrap();
    let records = keys.map(|key| bench.record(key).exists());
    assert_eq!(records, [true, true]);
    assert_eq!(told, bench.collect(limits(MUCH, 30)));
}

#[test]
fn a_log_that_a_record_names_outlives_one_that_nothing_names() {
    let bench = Bench::new();
    for content in ["log 1", "junk 2", "fresh 3"] {
        bench.store.put::<Blake3>(content.as_bytes()).unwrap();
    }
    for content in ["log 1", "junk 2"] {
        age(bench.store.blob_path(blob(content)).as_path(), 2);
    }
    let remembered = HashSet::from([ContentDigest(blob("log 1"))]);
    let done = bench.store.collect(limits(MUCH, 30), &remembered, false).unwrap();
    assert_eq!(done.blobs, 1);
    assert_eq!(["log 1", "junk 2", "fresh 3"].map(|content| bench.store.size_of(blob(content)).is_some()), [true, false, true]);
}

#[test]
fn what_a_running_kiln_found_stays_until_it_ends() {
    let bench = Bench::new();
    let (found, other) = (bench.result("found", &["a 1"], 40), bench.result("other", &["b 2"], 40));
    let loose: Digest<Blake3> = bench.store.put(b"c 3").unwrap();
    age(bench.store.blob_path(loose).as_path(), 40);
    let running = bench.another();
    running.keep_what_is_found();
    assert!(running.result(found).unwrap().is_some());
    assert_eq!(running.put::<Blake3>(b"c 3").unwrap(), loose);
    let done = bench.collect(limits(0, 30));
    assert_eq!((done.results, done.blobs), (1, 1), "only what it did not find");
    assert!(done.held_bytes > 0);
    assert_eq!(bench.usable(&[found, other]), [true, false]);
    assert_eq!(bench.store.size_of(loose), Some(3));
    drop(running);
    // The files are as old as before the kiln ran, for all that the collector can tell.
    age(&bench.record(found), 1);
    for content in ["a 1", "c 3"] {
        age(bench.store.blob_path(blob(content)).as_path(), 1);
    }
    assert_eq!(bench.collect(limits(0, 30)).left_bytes, 0);
}

#[test]
fn a_lease_of_a_killed_kiln_holds_nothing() {
    let bench = Bench::new();
    let key = bench.result("a", &["a 1"], 1);
    fs::write(bench.store.root().as_path().join("v1/leases/1-killed"), "").unwrap();
    age(&bench.store.root().as_path().join("v1/leases/1-killed"), 100);
    assert_eq!(bench.store.running(), 0);
    bench.collect(limits(0, 30));
    assert_eq!(bench.usable(&[key]), [false]);
}

#[test]
fn a_kiln_that_begins_while_somebody_collects_marks_all_that_it_finds() {
    let bench = Bench::new();
    let key = bench.result("a", &["a 1"], 0);
    let half_an_hour = SystemTime::now() - Duration::from_secs(1_800);
    let set = || File::open(bench.record(key)).unwrap().set_times(FileTimes::new().set_modified(half_an_hour)).unwrap();
    set();
    let usual = bench.another();
    usual.keep_what_is_found();
    usual.result(key).unwrap().unwrap();
    assert_eq!(modified(&bench.record(key)), half_an_hour, "once an hour is enough");
    let collecting = kiln::sys::lock::Lock::wait(bench.store.root().as_path().join("v1/collecting")).unwrap();
    let careful = bench.another();
    careful.keep_what_is_found();
    drop(collecting);
    careful.result(key).unwrap().unwrap();
    assert!(modified(&bench.record(key)) > half_an_hour);
}

#[test]
fn a_damaged_or_incomplete_result_goes_at_once() {
    let bench = Bench::new();
    let (damaged, incomplete) = (bench.result("damaged", &["a 1"], 1), bench.result("incomplete", &["b 2"], 1));
    fs::remove_file(bench.record(damaged)).unwrap();
    fs::write(bench.record(damaged), "x").unwrap();
    age(&bench.record(damaged), 1);
    fs::remove_file(bench.store.blob_path(blob("b 2")).as_path()).unwrap();
    let done = bench.collect(limits(MUCH, 30));
    assert_eq!((done.results, bench.record(incomplete).exists()), (2, false));
}

const PLAN: &str = r##"
kiln 1
project "gc" { default "all" }
each n a b c {
    task "gen-${n}" {
        inputs "src/${n}.txt"
        outputs "out/${n}"
        env N="${n}"
        run #"echo "gen-$N" >> ../ran; echo "log of $N"; cat "src/$N.txt" > "out/$N""#
    }
}
task "join" { inputs "out/*"; outputs "joined"; run "echo join >> ../ran; cat out/a out/b out/c > joined" }
registry "dist" "oci:dist"
image "web" { platforms amd64 arm64; copy "joined" "/joined"; user "1:1"; scan; tag "1"; push dist }
group "all" "web"
"##;

fn project() -> Project {
    let project = Project::new(PLAN);
    for name in ["a", "b", "c"] {
        project.write(&format!("src/{name}.txt"), name.repeat(10_000));
    }
    project
}

/// Makes everything in the store look unused for so many days.
fn age_all(folder: &Path, days: u64) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { age_all(&path, days) } else { age(&path, days) }
    }
}

/// Sets its flag when it goes.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_collection_during_builds_takes_nothing_that_they_need() {
    let project = project();
    project.kiln(&["run"]).ends(0);
    let wanted = project.snapshot("dist");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also when a run below fails: else the collectors would go on for ever.
        let _end = End(&stop);
        let collectors: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut times = 0;
                    while !stop.load(Ordering::Relaxed) {
                        project.kiln(&["cache", "gc", "--max-size", "0"]).ends(0);
                        times += 1;
                    }
                    times
                })
            })
            .collect();
        for round in 0..12 {
            // All of the store is old: only what a run marks is kept from the collectors.
            if round % 3 == 0 {
                project.kiln(&["run"]).ends(0);
            }
            for name in ["out", "joined", "dist"].iter().filter(|name| project.has(name)) {
                project.remove(name);
            }
            project.kiln(&["run"]).ends(0);
            assert!(project.snapshot("dist") == wanted, "round {round}");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(collectors.into_iter().map(|thread| thread.join().unwrap()).sum::<i32>() > 2);
    });
    project.kiln(&["cache", "verify"]).ends(0).says("every byte is right");
}

#[test]
fn a_collected_store_costs_a_run_and_nothing_else() {
    let project = project();
    project.kiln(&["run"]).ends(0);
    let wanted = project.snapshot("dist");
    age_all(&project.cache().join("store/v1"), 40);
    let told = project.kiln(&["cache", "gc", "--dry-run", "--json"]).ends(0);
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert!(told["results"].as_u64().unwrap() > 5 && told["left_bytes"] == 0, "{told}");
    let done = project.kiln(&["cache", "gc", "--json"]).ends(0);
    let done: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&done["results"], &done["blobs"], &done["bytes"]), (&told["results"], &told["blobs"], &told["bytes"]));
    project.ran();
    for name in ["out", "joined", "dist"] {
        project.remove(name);
    }
    project.kiln(&["run"]).ends(0);
    assert_eq!(project.ran(), ["gen-a", "gen-b", "gen-c", "join"]);
    assert!(project.snapshot("dist") == wanted);
}

#[test]
fn statistics_count_what_is_there_and_what_it_saved() {
    let project = project();
    project.kiln(&["cache", "stats"]).ends(0).says("0 results").never_says("hits");
    project.kiln(&["run"]).ends(0);
    project.kiln(&["run"]).ends(0);
    let ran = project.kiln(&["cache", "stats", "--json"]).ends(0);
    let stats: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&stats["runs"], &stats["projects"], &stats["gone_projects"]), (&2.into(), &1.into(), &0.into()));
    assert_eq!(stats["ran"], stats["cached"], "the second run did nothing of what the first one did: {stats}");
    assert!(stats["image_blobs"].as_u64().unwrap() >= 4 && stats["content_bytes"].as_u64().unwrap() > 6_000, "{stats}");
    project.kiln(&["cache", "stats", "--max-size", "1GiB", "--max-age", "2d"]).ends(0).says("of 1.0 GiB").says("after 2 days");
    for wrong in [["--max-size", "much"], ["--max-age", "1 week"]] {
        project.kiln(&["cache", "gc", wrong[0], wrong[1]]).ends(2);
    }
}

#[test]
fn a_check_names_the_steps_that_run_again() {
    let project = project();
    project.kiln(&["run"]).ends(0);
    project.kiln(&["cache", "verify"]).ends(0).says("every byte is right");
    let content = "a".repeat(10_000);
    let hex = blob(&content).hex();
    let place = project.cache().join("store/v1/blobs/blake3").join(&hex[..2]).join(&hex[2..]);
    fs::remove_file(&place).unwrap();
    fs::write(&place, content.replacen('a', "b", 1)).unwrap();
    project
        .kiln(&["cache", "verify"])
        .ends(5)
        .says(&format!("blake3:{hex} was damaged"))
        .says("gen-a (")
        .says("runs again")
        .never_says("gen-b (");
    assert!(!place.exists());
    project.ran();
    project.remove("out/a");
    project.kiln(&["run"]).ends(0);
    assert_eq!(project.ran(), ["gen-a"]);
    project.kiln(&["cache", "verify"]).ends(0);
}

#[test]
fn the_doctor_says_what_is_wrong_and_the_next_act() {
    let project = project();
    project.kiln(&["run"]).ends(0);
    let ran = project.kiln(&["cache", "doctor", "--json"]).ends(0);
    let view: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let state = |view: &serde_json::Value, what: &str| {
        let found = view["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == what).unwrap();
        found["state"].as_str().unwrap().to_owned()
    };
    for what in ["folder", "writing", "locks", "clock", "stat caches", "format"] {
        assert_eq!(state(&view, what), "good", "{what}");
    }
    let stats = fs::read_dir(project.cache().join("projects")).unwrap().next().unwrap().unwrap().path().join("files");
    fs::write(&stats, "torn").unwrap();
    fs::create_dir(project.cache().join("store/v7")).unwrap();
    let ran = project.kiln(&["cache", "doctor"]).ends(0).says("cannot be read").says("nothing to do").says("untouched: v7");
    assert!(ran.out.ends_with("to look at\n"), "{}", ran.out);
    fs::remove_dir_all(project.cache().join("store")).unwrap();
    fs::write(project.cache().join("store"), "").unwrap();
    project.kiln(&["cache", "doctor"]).ends(5).says("it is not a folder").says("KILN_CACHE_DIR");
}

#[test]
fn a_store_is_collected_once_a_day_after_a_run_unless_that_is_forbidden() {
    let mut project = project();
    project.kiln(&["run"]).ends(0);
    let stamp = project.cache().join("store/v1/collected");
    let fresh = modified(&stamp);
    let old = fs::read_dir(project.cache().join("store/v1/actions")).unwrap().count();
    assert!(old > 0);
    // Something of another project, long unused.
    let store = Store::open(AbsPath::new(project.cache().join("store")).unwrap()).unwrap();
    let junk: Digest<Blake3> = store.put(b"junk").unwrap();
    let place = store.blob_path(junk).as_path().to_owned();
    age(&place, 40);
    project.kiln(&["run"]).ends(0);
    assert_eq!(modified(&stamp), fresh, "it was looked at today");
    age(&stamp, 2);
    let due = modified(&stamp);
    project.env("KILN_GC", "off").kiln(&["run"]).ends(0);
    assert!(modified(&stamp) == due && place.exists());
    project.env("KILN_GC", "").kiln(&["run"]).ends(0);
    let began = Instant::now();
    while place.exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "nobody collected");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(modified(&stamp) > due);
}

#[test]
fn records_of_a_project_that_was_not_run_for_long_go() {
    let (project, other) = (project(), project());
    project.kiln(&["run"]).ends(0);
    let cache = project.cache();
    let cache = cache.to_str().unwrap();
    other.kiln(&["--cache-dir", cache, "run"]).ends(0);
    let folders = || fs::read_dir(project.cache().join("projects")).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let root = project.root().canonicalize().unwrap();
    let own = folders().into_iter().find(|folder| fs::read_to_string(folder.join("root")).unwrap() == root.to_str().unwrap()).unwrap();
    age_all(&own, 40);
    age(&own, 40);
    project.kiln(&["cache", "gc", "--dry-run"]).ends(0).says("1 project");
    assert_eq!(folders().len(), 2);
    project.kiln(&["cache", "gc"]).ends(0).says("1 project");
    assert_eq!(folders().len(), 1);
    assert!(!own.exists());
}
