//! The store under attack: flipped bits, cut files, killed holders, changed clocks, hostile names, tampered outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use kiln::base::digest::{ActionKey, Algorithm, Blake3, BlobDigest, ContentDigest, Digest, Sha256};
use kiln::base::id::RunId;
use kiln::base::path::{AbsPath, RelPath};
use kiln::base::pattern::Pattern;
use kiln::oci::descriptor::Descriptor;
use kiln::store::held::{Held, LARGEST};
use kiln::store::local::Store;
use kiln::store::outputs::{self, Damage, Harm, OutputError, State};
use kiln::store::record::Recorded;
use kiln::store::restore::{self, Contents, RestoreError, Restored};
use kiln::store::result::{ActionResult, ImageResult, OutputEntry, OutputFile};
use kiln::store::stat_cache::{HashError, StatCache};
use kiln::sys::stat::Stat;
use kiln::sys::tree::Tree;
use proptest::prelude::*;

/// A store, a stat cache and a project, each in a folder of its own.
struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    cache: StatCache,
    outputs: Vec<Pattern>,
}

impl Bench {
    fn new(outputs: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| AbsPath::new(folder.path().join(name)).unwrap();
        fs::create_dir(place("project").as_path()).unwrap();
        let store = Store::open(place("store")).unwrap();
        let cache = StatCache::open(place("stat"));
        let outputs = outputs.iter().map(|text| Pattern::new(text).unwrap()).collect();
        Self { folder, store, cache, outputs }
    }
    fn root(&self) -> AbsPath {
        AbsPath::new(self.folder.path().join("project")).unwrap()
    }
    fn path(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.root().as_path().join(OsStr::from_bytes(name.as_ref()))
    }
    fn write(&self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fn capture(&self) -> Result<Vec<OutputFile>, Vec<OutputError>> {
        outputs::capture(&self.store, &self.cache, &self.root(), &self.outputs, None)
    }
    fn verify(&self, recorded: &[OutputFile]) -> State {
        outputs::verify(&self.cache, &Tree::open(&self.root()).unwrap(), recorded, &self.outputs).unwrap()
    }
    fn restore(&self, recorded: &[OutputFile]) -> Result<Restored, RestoreError> {
        self.restore_from(recorded, &Held::default())
    }
    fn restore_from(&self, recorded: &[OutputFile], held: &Held) -> Result<Restored, RestoreError> {
        restore::restore(Contents { store: &self.store, held }, &self.cache, &self.root(), recorded, &self.outputs)
    }
    /// Captures, with small contents in the record, and gives what the record says.
    fn record(&self, key: ActionKey) -> Recorded {
        let mut held = Held::default();
        let outputs = outputs::capture(&self.store, &self.cache, &self.root(), &self.outputs, Some(&mut held)).unwrap();
        let result = ActionResult { outputs, image: None, documents: Vec::new(), log: None, ..full_result(&self.store) };
        self.store.record_with(key, &result, &held).unwrap();
        let recorded = self.store.recorded(key).unwrap().unwrap();
        assert_eq!((&recorded.result, &recorded.held), (&result, &held));
        recorded
    }
    /// Forgets all that the stat cache knows.
    fn forget(&mut self) {
        self.cache = StatCache::open(AbsPath::new(self.folder.path().join("none")).unwrap());
    }
}

/// Everything below a folder: path → kind, mode and content.
fn tree(root: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                open.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().as_bytes().to_vec()
            } else {
                fs::read(&path).unwrap()
            };
            found.insert(path.strip_prefix(root).unwrap().to_owned(), (metadata.mode(), content));
        }
    }
    found
}

fn key(seed: &str) -> ActionKey {
    ActionKey(Digest::of(seed.as_bytes()))
}

fn rel(path: impl AsRef<[u8]>) -> RelPath {
    RelPath::new(path).unwrap()
}

fn file_entry(content: &[u8]) -> OutputEntry {
    OutputEntry::File { digest: ContentDigest(Digest::of(content)), size: content.len() as u64, executable: false }
}

/// A result that uses every field, with its blobs in the store.
fn full_result(store: &Store) -> ActionResult {
    let layer: Digest<Sha256> = store.put(b"layer").unwrap();
    let manifest: Digest<Sha256> = store.put(b"{}").unwrap();
    for blob in [&b"content"[..], b"sbom", b"log", b""] {
        store.put::<Blake3>(blob).unwrap();
    }
    let descriptor: Descriptor = serde_json::from_value(serde_json::json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest.to_string(), "size": 2,
    }))
    .unwrap();
    ActionResult {
        run: RunId("20260101-000000-abc".into()),
        took_ms: 12,
        outputs: vec![
            OutputFile { path: rel("dist/-a\n\"b"), entry: file_entry(b"content") },
            OutputFile { path: rel(b"dist/\xff\\"), entry: OutputEntry::Link { target: b"../\xfe\n".to_vec() } },
            OutputFile { path: rel("dist/empty"), entry: file_entry(b"") },
            OutputFile { path: rel("dist/folder"), entry: OutputEntry::Folder },
        ],
        image: Some(Box::new(ImageResult { descriptor, blobs: vec![BlobDigest(layer), BlobDigest(manifest)], mutable_base: true })),
        documents: vec![("sbom".into(), ContentDigest(Digest::of(b"sbom")))],
        log: Some(ContentDigest(Digest::of(b"log"))),
        detail: Some("one image".into()),
    }
}

fn record_path(store: &Store, key: ActionKey) -> PathBuf {
    store.root().as_path().join("v1/actions").join(key.0.hex())
}

fn overwrite(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_blob_with_one_bit_flipped_or_cut_is_never_read_and_can_be_made_again() {
    fn check<A: Algorithm>(store: &Store, content: &[u8], damage: impl Fn(&mut Vec<u8>)) {
        let digest: Digest<A> = store.put(content).unwrap();
        assert_eq!(store.read(digest, 1 << 20).unwrap(), content);
        assert_eq!(fs::metadata(store.blob_path(digest)).unwrap().permissions().mode() & 0o777, 0o444);
        let mut bytes = content.to_vec();
        damage(&mut bytes);
        overwrite(store.blob_path(digest).as_path(), &bytes);
        assert!(store.read(digest, 1 << 20).unwrap_err().is_missing());
        assert!(!store.blob_path(digest).as_path().exists());
        store.put::<A>(content).unwrap();
        assert_eq!(store.read(digest, 1 << 20).unwrap(), content);
    }
    let bench = Bench::new(&[]);
    for content in [&b"x"[..], b"hello", &vec![7; 300 << 10]] {
        for bit in [0, 3, content.len() * 8 - 1] {
            check::<Blake3>(&bench.store, content, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            check::<Sha256>(&bench.store, content, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        }
        check::<Blake3>(&bench.store, content, |bytes| bytes.truncate(bytes.len() - 1));
        check::<Sha256>(&bench.store, content, Vec::clear);
        check::<Blake3>(&bench.store, content, |bytes| bytes.push(0));
    }
    check::<Blake3>(&bench.store, b"", |bytes| bytes.push(0));
    assert!(bench.store.stats().unwrap().damaged > 0);
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let bench = Bench::new(&[]);
    let result = full_result(&bench.store);
    bench.store.record(key("a"), &result).unwrap();
    assert_eq!(bench.store.result(key("a")).unwrap(), Some(result.clone()));
    assert_eq!(bench.store.result(key("b")).unwrap(), None);
    assert!(bench.store.holds(&result, &Held::default()));
    let again = ActionResult { took_ms: 99, ..result };
    bench.store.record(key("a"), &again).unwrap();
    assert_eq!(bench.store.result(key("a")).unwrap(), Some(again));
    assert!(bench.store.forget(key("a")).unwrap());
    assert!(!bench.store.forget(key("a")).unwrap());
    assert_eq!(bench.store.result(key("a")).unwrap(), None);
}

#[test]
fn a_record_cut_anywhere_with_one_bit_flipped_or_of_another_action_is_no_record() {
    let bench = Bench::new(&[]);
    let mut held = Held::default();
    for content in [&b"small"[..], b"content"] {
        held.take(ContentDigest(Digest::of(content)), content);
    }
    bench.store.record_with(key("a"), &full_result(&bench.store), &held).unwrap();
    let path = record_path(&bench.store, key("a"));
    let bytes = fs::read(&path).unwrap();
    for end in 0..bytes.len() {
        overwrite(&path, &bytes[..end]);
        assert_eq!(bench.store.result(key("a")).unwrap(), None, "cut at {end}");
        assert!(!path.exists());
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        overwrite(&path, &damaged);
        assert_eq!(bench.store.result(key("a")).unwrap(), None, "byte {at}");
    }
    let other = record_path(&bench.store, key("b"));
    fs::create_dir_all(other.parent().unwrap()).unwrap();
    overwrite(&other, &bytes);
    assert_eq!(bench.store.result(key("b")).unwrap(), None);
    overwrite(&path, &bytes);
    assert!(bench.store.result(key("a")).unwrap().is_some());
}

#[test]
fn a_record_is_not_written_before_the_blobs_that_it_names() {
    let bench = Bench::new(&[]);
    let result = full_result(&bench.store);
    for blob in [
        bench.store.blob_path(Digest::<Sha256>::of(b"layer")),
        bench.store.blob_path(Digest::<Blake3>::of(b"log")),
        bench.store.blob_path(Digest::<Blake3>::of(b"content")),
    ] {
        let bytes = fs::read(&blob).unwrap();
        for short in [None, Some(&b""[..])] {
            let _ = fs::remove_file(&blob);
            if let Some(short) = short {
                overwrite(blob.as_path(), short);
            }
            assert!(bench.store.record(key("a"), &result).unwrap_err().is_missing(), "{blob}");
            assert!(!bench.store.holds(&result, &Held::default()));
            assert_eq!(bench.store.result(key("a")).unwrap(), None);
        }
        overwrite(blob.as_path(), &bytes);
    }
    bench.store.record(key("a"), &result).unwrap();
}

#[test]
fn results_that_share_a_file_are_found_replaced_and_lost_each_for_itself() {
    let bench = Bench::new(&[]);
    let result = full_result(&bench.store);
    let keys: Vec<ActionKey> = (0..40).map(|n| key(&n.to_string())).collect();
    let path = |key: &ActionKey| record_path(&bench.store, *key);
    let found = |store: &Store| keys.iter().map(|key| store.result(*key).unwrap().is_some()).collect::<Vec<bool>>();
    keys.iter().for_each(|key| bench.store.record(*key, &result).unwrap());
    let inode = |key: &ActionKey| fs::metadata(path(key)).unwrap().ino();
    let files: BTreeSet<u64> = keys.iter().map(inode).collect();
    assert!((2..20).contains(&files.len()), "{} files", files.len());
    assert_eq!(found(&bench.store), [true; 40]);
    // Another process goes on in files of its own, and what they take is counted once.
    let other = Store::open(bench.store.root().clone()).unwrap();
    other.record(keys[0], &ActionResult { took_ms: 7, ..result.clone() }).unwrap();
    assert_eq!(bench.store.result(keys[0]).unwrap().unwrap().took_ms, 7);
    assert!(!files.contains(&inode(&keys[0])));
    assert!(bench.store.forget(keys[1]).unwrap());
    let sizes: BTreeMap<u64, u64> =
        keys.iter().filter_map(|key| fs::metadata(path(key)).ok()).map(|status| (status.ino(), status.len())).collect();
    let (stats, whole) = (bench.store.stats().unwrap(), sizes.values().sum::<u64>());
    assert_eq!(stats.records, 39);
    assert!((whole..whole + 40).contains(&stats.record_bytes), "{} {whole}", stats.record_bytes);
    // A cut takes the last one of a file away, and a flipped bit at the worst those that follow; the others stand.
    let together: Vec<usize> = (2..40).filter(|at| inode(&keys[*at]) == inode(&keys[20])).collect();
    let (first, last) = (together[0], *together.last().unwrap());
    assert!(last > first && last < 39, "{together:?}");
    let damage = |at: usize, change: fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(path(&keys[at])).unwrap();
        change(&mut bytes);
        fs::set_permissions(path(&keys[at]), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path(&keys[at]), bytes).unwrap();
    };
    damage(first, |bytes| bytes.truncate(bytes.len() - 1));
    let lost = |lost: &[usize]| (0..40).map(|at| at != 1 && !lost.contains(&at)).collect::<Vec<bool>>();
    assert_eq!(found(&bench.store), lost(&[last]));
    damage(first, |bytes| bytes[0] ^= 1);
    assert_eq!(found(&bench.store), lost(&together));
    assert_eq!(bench.store.verify_all().unwrap().damaged_results, []);
    bench.store.record(keys[1], &result).unwrap();
    assert_eq!(bench.store.result(keys[1]).unwrap(), Some(result));
}

#[test]
fn a_full_check_names_what_is_damaged_and_what_is_incomplete() {
    let bench = Bench::new(&[]);
    let result = full_result(&bench.store);
    for seed in ["a", "b"] {
        bench.store.record(key(seed), &result).unwrap();
    }
    assert_eq!(bench.store.verify_all().unwrap().damaged, Vec::<String>::new());
    let log = Digest::<Blake3>::of(b"log");
    overwrite(bench.store.blob_path(log).as_path(), b"lag");
    overwrite(&record_path(&bench.store, key("b")), b"kiln result 3 \n");
    let health = bench.store.verify_all().unwrap();
    assert_eq!((health.damaged, health.damaged_results), (vec![log.to_string()], vec![key("b")]));
    assert_eq!((health.blobs, health.records, health.incomplete), (6, 2, vec![key("a")]));
    let stats = bench.store.stats().unwrap();
    assert_eq!((stats.blobs, stats.records, stats.damaged), (5, 1, 2));
}

#[test]
fn small_contents_are_held_by_the_record_and_restored_from_it_alone() {
    let bench = Bench::new(&["out"]);
    let least = usize::try_from(LARGEST).unwrap();
    for (name, size) in [("empty", 0), ("tiny", 1), ("largest", least), ("large", least + 1)] {
        bench.write(format!("out/{name}"), vec![b'x'; size]);
    }
    bench.write("out/deep/twin", "x");
    fs::set_permissions(bench.path("out/tiny"), fs::Permissions::from_mode(0o755)).unwrap();
    let Recorded { result, held } = bench.record(key("a"));
    let before = tree(bench.root().as_path());
    let large = Digest::<Blake3>::of(&vec![b'x'; least + 1]);
    assert!(bench.store.blob_path(large).as_path().exists());
    for size in [0, 1, least] {
        let content = vec![b'x'; size];
        let digest = ContentDigest(Digest::of(&content));
        assert_eq!(held.get(digest), Some(content.as_slice()));
        assert_eq!(bench.store.kept(Some(key("a")), digest, 1 << 20), Some(content));
    }
    fs::remove_file(bench.store.blob_path(Digest::<Blake3>::of(b"")).as_path()).unwrap();
    for damage in [fs::remove_dir_all::<PathBuf>, |out: PathBuf| fs::remove_file(out.join("tiny"))] {
        damage(bench.path("out")).unwrap();
        bench.restore_from(&result.outputs, &held).unwrap();
        assert_eq!(tree(bench.root().as_path()), before);
        assert_eq!(bench.verify(&result.outputs), State::InPlace);
    }
    // A blob that is missing is told before anything of the record is written.
    fs::remove_dir_all(bench.path("out")).unwrap();
    fs::remove_file(bench.store.blob_path(large).as_path()).unwrap();
    assert!(matches!(bench.restore_from(&result.outputs, &held), Err(RestoreError::Missing(_))));
    assert!(tree(bench.root().as_path()).is_empty());
    assert_eq!(bench.store.verify_all().unwrap().incomplete, [key("a")]);
}

#[test]
fn a_small_output_that_somebody_makes_meanwhile_is_replaced() {
    let bench = Bench::new(&["out"]);
    bench.write("out/a", "a");
    let Recorded { result, held } = bench.record(key("a"));
    for there in ["", "a", "another"] {
        bench.write("out/a", there);
        bench.restore_from(&result.outputs, &held).unwrap();
        assert_eq!(fs::read(bench.path("out/a")).unwrap(), b"a");
    }
    // A half-written one, as a kill leaves it: the stat cache was not told, so it is read.
    fs::remove_dir_all(bench.path("out")).unwrap();
    bench.write("out/a", "");
    assert!(matches!(bench.verify(&result.outputs), State::Damaged(_)));
}

#[test]
fn a_record_of_another_version_is_a_miss_that_the_next_one_replaces() {
    let bench = Bench::new(&[]);
    let path = record_path(&bench.store, key("a"));
    let result = full_result(&bench.store);
    bench.store.record(key("a"), &result).unwrap();
    overwrite(&path, b"kiln result 2\nsomething\n{}");
    assert_eq!(bench.store.result(key("a")).unwrap(), None);
    assert!(path.exists(), "it is not damaged");
    assert_eq!(bench.store.verify_all().unwrap().damaged_results, []);
    bench.store.record(key("a"), &result).unwrap();
    assert_eq!(bench.store.result(key("a")).unwrap(), Some(result));
}

#[test]
fn threads_that_want_one_action_carry_it_out_once() {
    let bench = Bench::new(&[]);
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let _claim = bench.store.claim(key("a"));
                if bench.store.result(key("a")).unwrap().is_none() {
                    done.fetch_add(1, Ordering::SeqCst);
                    bench.store.record(key("a"), &full_result(&bench.store)).unwrap();
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 1);
    assert_eq!(fs::read_dir(bench.store.root().as_path().join("v1/locks")).unwrap().count(), 0);
    assert_eq!(fs::metadata(bench.store.root().as_path().join("v1/claims")).unwrap().len(), 0);
}

/// Not a test of its own: the other process of the test below, which holds a claim until it is killed.
#[test]
fn claim_holder() {
    let Some(root) = std::env::var_os("KILN_TEST_HOLDS_CLAIM_IN") else { return };
    let store = Store::open(AbsPath::new(root).unwrap()).unwrap();
    let _claim = store.claim(key("a"));
    println!("\nheld");
    let _ = std::io::stdin().lines().next();
}

#[test]
fn a_claim_of_another_process_ends_with_it_however_it_ends() {
    let bench = Bench::new(&[]);
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::claim_holder", "--nocapture"])
        .env("KILN_TEST_HOLDS_CLAIM_IN", bench.store.root().as_path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held"));
    assert!(bench.store.try_claim(key("a")).is_none());
    assert!(bench.store.try_claim(key("b")).is_some());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| drop(bench.store.claim(key("a"))));
        holder.kill().unwrap();
        holder.wait().unwrap();
        waiting.join().unwrap();
    });
    assert!(bench.store.try_claim(key("a")).is_some());
}

/// Not a test of its own: the other process of the test below, which works until it is killed.
#[test]
fn worker() {
    let Some(root) = std::env::var_os("KILN_TEST_WORKS_IN") else { return };
    let root = AbsPath::new(root).unwrap();
    let store = Store::open(root.join("store")).unwrap();
    let (project, cache) = (root.join("project"), StatCache::open(root.join("stat")));
    let outputs = [Pattern::new("out").unwrap()];
    println!("\nready");
    for round in 0.. {
        let seed = format!("{}", round % 7);
        let out = project.join("out");
        let _ = fs::remove_dir_all(&out);
        if let Some(result) = store.result(key(&seed)).unwrap() {
            let contents = Contents { store: &store, held: &Held::default() };
            restore::restore(contents, &cache, &project, &result.outputs, &outputs).unwrap();
        } else {
            fs::create_dir_all(&out).unwrap();
            for name in ["a", "b", "c"] {
                fs::write(out.join(name), format!("{name} of {seed}").repeat(5_000)).unwrap();
            }
            let recorded = outputs::capture(&store, &cache, &project, &outputs, None).unwrap();
            store.record(key(&seed), &ActionResult { outputs: recorded, ..full_result(&store) }).unwrap();
        }
        cache.save().unwrap();
        if round % 3 == 2 {
            store.forget(key(&seed)).unwrap();
            fs::remove_file(store.blob_path(Digest::<Blake3>::of(format!("a of {seed}").repeat(5_000).as_bytes()))).unwrap();
        }
    }
}

#[test]
fn a_kill_at_any_moment_leaves_no_wrong_result() {
    let bench = Bench::new(&["out"]);
    for kill in 0..30_u64 {
        let mut worker = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::worker", "--nocapture"])
            .env("KILN_TEST_WORKS_IN", bench.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "ready"));
        // The moment is meant to be anywhere in the work; none is better than another.
        std::thread::sleep(std::time::Duration::from_micros(kill * 1_711));
        worker.kill().unwrap();
        assert_eq!(worker.wait().unwrap().signal(), Some(9), "the worker failed before it was killed");

        let health = bench.store.verify_all().unwrap();
        assert_eq!(health.damaged, Vec::<String>::new());
        for seed in 0..7 {
            let seed = format!("{seed}");
            let Some(result) = bench.store.result(key(&seed)).unwrap() else { continue };
            match bench.restore(&result.outputs) {
                Ok(_) => {
                    for name in ["a", "b", "c"] {
                        let content = fs::read_to_string(bench.path(format!("out/{name}"))).unwrap();
                        assert_eq!(content, format!("{name} of {seed}").repeat(5_000));
                    }
                    assert_eq!(bench.verify(&result.outputs), State::InPlace);
                }
                // The worker takes a blob away between two calls.
                Err(RestoreError::Missing(_)) => assert!(!bench.store.holds(&result, &Held::default())),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

fn stat(path: &Path) -> Stat {
    Stat::of(&fs::symlink_metadata(path).unwrap())
}

fn set_modified(path: &Path, seconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 5 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty()).unwrap();
}

#[test]
fn new_content_with_the_old_size_and_time_gets_a_new_digest() {
    for modified in [0, -1, 1_700_000_000, 2_200_000_000, 9_000_000_000] {
        let bench = Bench::new(&[]);
        let path = AbsPath::new(bench.path("file")).unwrap();
        for round in 0..50_u32 {
            let content = format!("{round:08}");
            // In place, so that device and inode stay; twice, so that the second write may fall into the step of the first.
            fs::write(&path, &content).unwrap();
            set_modified(path.as_path(), modified);
            let digest = bench.cache.digest_of(&path, &stat(path.as_path())).unwrap();
            assert_eq!(digest, ContentDigest(Digest::of(content.as_bytes())), "modified at {modified}, round {round}");
            if round % 10 == 0 {
                bench.cache.save().unwrap();
            }
        }
    }
}

#[test]
fn a_saved_digest_is_found_by_the_next_run_and_never_for_another_file() {
    let bench = Bench::new(&[]);
    let place = AbsPath::new(bench.folder.path().join("stat")).unwrap();
    let path = AbsPath::new(bench.path("file")).unwrap();
    fs::write(&path, "one").unwrap();
    let old = stat(path.as_path());
    let digest = bench.cache.digest_of(&path, &old).unwrap();
    bench.cache.save().unwrap();
    let saved = fs::read(&place).unwrap();

    // Proof that the file is not read: it is gone.
    fs::remove_file(&path).unwrap();
    assert_eq!(StatCache::open(place.clone()).digest_of(&path, &old).unwrap(), digest);
    let next = StatCache::open(place.clone());
    next.digest_of(&path, &old).unwrap();
    fs::remove_file(&place).unwrap();
    next.save().unwrap();
    assert!(!place.as_path().exists(), "saved without a change");

    for (name, content) in [("the same size", "two"), ("another size", "three")] {
        overwrite(path.as_path(), content.as_bytes());
        overwrite(place.as_path(), &saved);
        let found = StatCache::open(place.clone()).digest_of(&path, &stat(path.as_path())).unwrap();
        assert_eq!(found, ContentDigest(Digest::of(content.as_bytes())), "{name}");
    }
    for damaged in [&saved[..saved.len() / 2], b"", b"kiln stat 1\n"] {
        overwrite(place.as_path(), damaged);
        assert!(matches!(StatCache::open(place.clone()).digest_of(&path, &old), Err(HashError::Changed { .. })));
    }
}

#[test]
fn a_file_that_changes_while_it_is_hashed_is_told() {
    let bench = Bench::new(&["out"]);
    let path = AbsPath::new(bench.path("out")).unwrap();
    fs::write(&path, "before").unwrap();
    let old = stat(path.as_path());
    overwrite(path.as_path(), b"after!");
    assert!(matches!(bench.cache.digest_of(&path, &old), Err(HashError::Changed { .. })));

    let grow = |file: &fs::File| {
        let end = file.metadata().unwrap().len() % (64 << 20);
        file.set_len(end).unwrap();
        file.write_all_at(&[1; 4096], end).unwrap();
    };
    let overwrite_in_place = |file: &fs::File| file.write_all_at(&[2; 4096], 8192).unwrap();
    for (name, write) in [("grows", &grow as &(dyn Fn(&fs::File) + Sync)), ("keeps its size", &overwrite_in_place)] {
        fs::write(&path, vec![0; 1 << 20]).unwrap();
        let stop = AtomicBool::new(false);
        let mut seen = false;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    write(&file);
                }
            });
            let began = Instant::now();
            while !seen && began.elapsed().as_secs() < 60 {
                seen = bench.capture().is_err_and(|faults| matches!(faults[0], OutputError::Hash(HashError::Changed { .. })));
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(seen, "a file that always changes and {name} was captured every time");
    }
}

#[test]
fn a_huge_sparse_file_is_refused_and_not_read_for_hours() {
    let bench = Bench::new(&[]);
    let path = AbsPath::new(bench.path("sparse")).unwrap();
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = bench.cache.digest_of(&path, &stat(path.as_path())).unwrap_err();
    assert!(error.to_string().ends_with("is a sparse file: 1.0 TiB long, of which 0 B are on the disk"), "{error}");
}

#[test]
fn every_kind_of_output_is_restored_as_it_was() {
    let mut bench = Bench::new(&["out", "one", "gen/*.c"]);
    bench.write("out/plain", "plain");
    bench.write("out/run", "#!/bin/sh");
    fs::set_permissions(bench.path("out/run"), fs::Permissions::from_mode(0o755)).unwrap();
    bench.write("out/read-only", "kept");
    fs::set_permissions(bench.path("out/read-only"), fs::Permissions::from_mode(0o444)).unwrap();
    bench.write("out/empty", "");
    bench.write("out/large", vec![3; 1 << 20]);
    bench.write(b"out/-rf \n\xff", "odd");
    bench.write([b"out/", &[b'n'; 255][..]].concat(), "long");
    fs::create_dir_all(bench.path("out/deep/er/folder")).unwrap();
    symlink("plain", bench.path("out/link")).unwrap();
    symlink("/etc/passwd", bench.path("out/outside")).unwrap();
    symlink("nowhere", bench.path("out/dangling")).unwrap();
    symlink("out", bench.path("one")).unwrap();
    fs::hard_link(bench.path("out/plain"), bench.path("out/twin")).unwrap();
    fs::File::create(bench.path("out/sparse")).unwrap().set_len(1 << 22).unwrap();
    bench.write("gen/a.c", "generated");
    bench.write("gen/kept.h", "the user's");

    let recorded = bench.capture().unwrap();
    assert_eq!(bench.verify(&recorded), State::InPlace);
    fs::set_permissions(bench.path("out/read-only"), fs::Permissions::from_mode(0o644)).unwrap();
    let before = tree(bench.root().as_path());

    for round in 0..2 {
        fs::remove_dir_all(bench.path("out")).unwrap();
        fs::remove_file(bench.path("one")).unwrap();
        fs::remove_file(bench.path("gen/a.c")).unwrap();
        assert_eq!(bench.restore(&recorded).unwrap(), Restored { written: recorded.len(), removed: 0 });
        assert_eq!(tree(bench.root().as_path()), before, "round {round}");
        assert_eq!(bench.verify(&recorded), State::InPlace);
        assert_eq!(bench.restore(&recorded).unwrap(), Restored::default());
        bench.forget();
    }
    assert_ne!(fs::metadata(bench.path("out/plain")).unwrap().ino(), fs::metadata(bench.path("out/twin")).unwrap().ino());
}

#[test]
fn each_kind_of_tampering_is_told_and_repaired() {
    type Case<'a> = (&'a str, fn(&Bench), &'a [(&'a str, Harm)]);
    let cases: &[Case<'_>] = &[
        ("content", |b| overwrite(&b.path("out/a"), b"b"), &[("out/a", Harm::Changed)]),
        ("content in place", |b| fs::write(b.path("out/a"), "b").unwrap(), &[("out/a", Harm::Changed)]),
        ("size", |b| fs::write(b.path("out/a"), "longer").unwrap(), &[("out/a", Harm::Changed)]),
        ("mode", |b| fs::set_permissions(b.path("out/a"), fs::Permissions::from_mode(0o755)).unwrap(), &[("out/a", Harm::Changed)]),
        ("gone", |b| fs::remove_file(b.path("out/a")).unwrap(), &[("out/a", Harm::Missing)]),
        (
            "all gone",
            |b| fs::remove_dir_all(b.path("out")).unwrap(),
            &[("out/a", Harm::Missing), ("out/d/b", Harm::Missing), ("out/e", Harm::Missing), ("out/l", Harm::Missing)],
        ),
        ("extra file", |b| b.write("out/x/y/z", ""), &[("out/x/y/z", Harm::Extra)]),
        ("extra folder", |b| fs::create_dir_all(b.path("out/x/y")).unwrap(), &[("out/x/y", Harm::Extra)]),
        ("in the empty folder", |b| b.write("out/e/x", ""), &[("out/e", Harm::Missing), ("out/e/x", Harm::Extra)]),
        (
            "link turned",
            |b| {
                fs::remove_file(b.path("out/l")).unwrap();
                symlink("/etc", b.path("out/l")).unwrap();
            },
            &[("out/l", Harm::Changed)],
        ),
        (
            "file for folder",
            |b| {
                fs::remove_dir_all(b.path("out/d")).unwrap();
                b.write("out/d", "");
            },
            &[("out/d", Harm::Extra), ("out/d/b", Harm::Missing)],
        ),
        (
            "link for folder",
            |b| {
                fs::remove_dir_all(b.path("out/d")).unwrap();
                symlink("..", b.path("out/d")).unwrap();
            },
            &[("out/d", Harm::Extra), ("out/d/b", Harm::Missing)],
        ),
        (
            "folder for file",
            |b| {
                fs::remove_file(b.path("out/a")).unwrap();
                b.write("out/a/x/y", "");
            },
            &[("out/a", Harm::Missing), ("out/a/x/y", Harm::Extra)],
        ),
        (
            "empty folder for link",
            |b| {
                fs::remove_file(b.path("out/l")).unwrap();
                fs::create_dir(b.path("out/l")).unwrap();
            },
            &[("out/l", Harm::Changed)],
        ),
        (
            "file for all",
            |b| {
                fs::remove_dir_all(b.path("out")).unwrap();
                b.write("out", "");
            },
            &[
                ("out", Harm::Extra),
                ("out/a", Harm::Missing),
                ("out/d/b", Harm::Missing),
                ("out/e", Harm::Missing),
                ("out/l", Harm::Missing),
            ],
        ),
        ("FIFO", |b| rustix::fs::mkfifoat(rustix::fs::CWD, b.path("out/p"), rustix::fs::Mode::RWXU).unwrap(), &[("out/p", Harm::Extra)]),
    ];
    for (name, tamper, harm) in cases {
        let bench = Bench::new(&["out/"]);
        bench.write("out/a", "a");
        bench.write("out/d/b", "b");
        fs::create_dir(bench.path("out/e")).unwrap();
        symlink("d", bench.path("out/l")).unwrap();
        bench.write("kept", "the user's");
        let recorded = bench.capture().unwrap();
        let before = tree(bench.root().as_path());
        tamper(&bench);
        let harm: Vec<Damage> = harm.iter().map(|(path, what)| Damage { path: rel(path), what: *what }).collect();
        assert_eq!(bench.verify(&recorded), State::Damaged(harm), "{name}");
        bench.restore(&recorded).unwrap();
        assert_eq!(tree(bench.root().as_path()), before, "{name}");
        assert_eq!(bench.verify(&recorded), State::InPlace, "{name}");
    }
}

#[test]
fn an_output_that_was_not_made_is_named() {
    let bench = Bench::new(&["dist/a", "dist/b", "*.o", "made"]);
    bench.write("made", "");
    let faults = bench.capture().unwrap_err();
    assert_eq!(faults[0].to_string(), "the declared outputs `dist/a` and `dist/b` were not made");
    let bench = Bench::new(&["pipe"]);
    rustix::fs::mkfifoat(rustix::fs::CWD, bench.path("pipe"), rustix::fs::Mode::RWXU).unwrap();
    assert_eq!(bench.capture().unwrap_err()[0].to_string(), "`pipe` is a FIFO: only files, folders and links can be inputs or outputs");
}

#[test]
fn a_restore_without_all_blobs_leaves_the_project_as_it_was() {
    type Damaging = fn(&Path);
    let damages: [Damaging; 3] = [|blob| fs::remove_file(blob).unwrap(), |blob| overwrite(blob, b"sec"), |blob| overwrite(blob, b"sec0nd")];
    for damage in damages {
        let bench = Bench::new(&["out"]);
        bench.write("out/first", "first");
        bench.write("out/second", "second");
        let recorded = bench.capture().unwrap();
        bench.write("out/first", "tampered");
        bench.write("out/second", "tampered");
        bench.write("out/extra", "");
        let before = tree(bench.root().as_path());
        damage(bench.store.blob_path(Digest::<Blake3>::of(b"second")).as_path());
        assert!(matches!(bench.restore(&recorded), Err(RestoreError::Missing(_))));
        assert_eq!(tree(bench.root().as_path()), before);
        // The step runs again, and all is well.
        bench.write("out/first", "first");
        bench.write("out/second", "second");
        fs::remove_file(bench.path("out/extra")).unwrap();
        assert_eq!(bench.capture().unwrap(), recorded);
        fs::remove_dir_all(bench.path("out")).unwrap();
        bench.restore(&recorded).unwrap();
        assert_eq!(fs::read(bench.path("out/second")).unwrap(), b"second");
    }
}

#[test]
fn nothing_is_written_through_a_link_above_an_output() {
    let bench = Bench::new(&["dist/app"]);
    bench.write("dist/app", "app");
    let recorded = bench.capture().unwrap();
    for (target, victim) in [("../victim", bench.folder.path().join("victim")), ("inside", bench.path("inside"))] {
        fs::remove_dir_all(bench.path("dist")).or_else(|_| fs::remove_file(bench.path("dist"))).unwrap();
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("app"), "victim").unwrap();
        symlink(target, bench.path("dist")).unwrap();
        let error = bench.restore(&recorded).unwrap_err();
        let words = if target == "inside" { "stands where a folder must be" } else { "leads out of the project" };
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(tree(&victim).len(), 1);
        assert_eq!(fs::read(victim.join("app")).unwrap(), b"victim");
    }
}

#[test]
fn a_hostile_record_is_refused_whole() {
    let file = || file_entry(b"content");
    let link = || OutputEntry::Link { target: b"/".to_vec() };
    for recorded in [
        vec![("elsewhere", file())],
        vec![("out/../elsewhere", file())],
        vec![("out/link", link()), ("out/link/etc/passwd", file())],
        vec![("out/a", file()), ("out/a/b", file())],
        vec![("out/a", file()), ("out/a", link())],
        vec![("out/.git/hooks/pre-commit", file())],
        vec![("", file())],
    ] {
        let bench = Bench::new(&["out"]);
        bench.store.put::<Blake3>(b"content").unwrap();
        let recorded: Vec<OutputFile> = recorded.into_iter().map(|(path, entry)| OutputFile { path: rel(path), entry }).collect();
        let error = bench.restore(&recorded).unwrap_err();
        assert!(error.to_string().ends_with("does not belong to the declared outputs"), "{error}");
        assert!(tree(bench.root().as_path()).is_empty());
    }
}

#[test]
fn what_git_keeps_below_an_output_is_neither_taken_nor_removed() {
    let bench = Bench::new(&["out"]);
    bench.write("out/a", "a");
    bench.write("out/.git/HEAD", "ref");
    bench.write("out/sub/.git", "gitdir: elsewhere");
    bench.write("out/sub/b", "b");
    let recorded = bench.capture().unwrap();
    assert_eq!(recorded.iter().map(|output| output.path.to_string()).collect::<Vec<_>>(), ["out/a", "out/sub/b"]);
    bench.write("out/x", "");
    bench.restore(&recorded).unwrap();
    assert!(bench.path("out/.git/HEAD").exists() && bench.path("out/sub/.git").exists() && !bench.path("out/x").exists());
}

#[test]
fn a_store_that_cannot_be_written_to_says_so_and_still_gives_what_it_has() {
    let bench = Bench::new(&[]);
    let result = full_result(&bench.store);
    bench.store.record(key("a"), &result).unwrap();
    // Root may write everywhere, so a file in place of the folder stands for a disk that refuses.
    let temporary = bench.store.root().as_path().join("v1/tmp");
    fs::remove_dir(&temporary).unwrap();
    fs::write(&temporary, "").unwrap();
    let error = bench.store.put::<Blake3>(b"new").unwrap_err();
    assert!(error.to_string().starts_with("cannot create a file in `") && !error.is_missing(), "{error}");
    let store = Store::open(bench.store.root().clone()).unwrap();
    assert_eq!(store.result(key("a")).unwrap(), Some(result));
    assert_eq!(store.read(Digest::<Blake3>::of(b"log"), 10).unwrap(), b"log");
}

#[test]
fn ten_thousand_outputs() {
    let mut bench = Bench::new(&["out"]);
    for n in 0..10_000 {
        bench.write(format!("out/{:02}/{n}", n % 100), format!("{n}"));
    }
    let mut timed = |name: &str, work: &mut dyn FnMut(&mut Bench)| {
        let began = Instant::now();
        work(&mut bench);
        println!("{name}: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    };
    let mut recorded = Vec::new();
    timed("capture 10,000 files", &mut |bench| recorded = bench.capture().unwrap());
    assert_eq!(recorded.len(), 10_000);
    timed("save the stat cache", &mut |bench| bench.cache.save().unwrap());
    timed("load the stat cache", &mut |bench| bench.cache = StatCache::open(AbsPath::new(bench.folder.path().join("stat")).unwrap()));
    timed("verify in place", &mut |bench| assert_eq!(bench.verify(&recorded), State::InPlace));
    timed("remove", &mut |bench| fs::remove_dir_all(bench.path("out")).unwrap());
    timed("restore", &mut |bench| assert_eq!(bench.restore(&recorded).unwrap().written, 10_000));
}

/// One act of a program or a person that meddles with outputs.
#[derive(Debug, Clone)]
enum Act {
    Write(usize, Vec<u8>),
    Remove(usize),
    Folder(usize),
    Link(usize, String),
    Executable(usize),
}

const NAMES: [&[u8]; 10] = [b"a", b"b", b"a/b", b"a/b/c", b"d/e", b"d/e-f", b"d-e", b"-x", b"\xff\n", b"d/.h"];

fn acts(count: usize) -> impl Strategy<Value = Vec<Act>> {
    let place = 0..NAMES.len();
    let act = prop_oneof![
        4 => (place.clone(), proptest::collection::vec(any::<u8>(), 0..20)).prop_map(|(at, bytes)| Act::Write(at, bytes)),
        2 => place.clone().prop_map(Act::Remove),
        1 => place.clone().prop_map(Act::Folder),
        1 => (place.clone(), prop_oneof!["a", "\\.\\.", "/etc", "d/e"]).prop_map(|(at, to)| Act::Link(at, to)),
        1 => place.prop_map(Act::Executable),
    ];
    proptest::collection::vec(act, 0..count)
}

/// Does what can be done; links are never followed, so the meddling stays in the project.
fn meddle(bench: &Bench, acts: &[Act]) {
    for act in acts {
        let at = match act {
            Act::Write(at, _) | Act::Remove(at) | Act::Folder(at) | Act::Link(at, _) | Act::Executable(at) => *at,
        };
        let path = bench.path([b"out/", NAMES[at]].concat());
        let through_link = path.ancestors().take_while(|above| *above != bench.root().as_path()).any(Path::is_symlink);
        if through_link {
            if matches!(act, Act::Remove(_)) && path.is_symlink() {
                let _ = fs::remove_file(&path);
            }
            continue;
        }
        let _ = match act {
            Act::Write(_, bytes) => fs::create_dir_all(path.parent().unwrap()).and_then(|()| fs::write(&path, bytes)),
            Act::Remove(_) => fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)),
            Act::Folder(_) => fs::create_dir_all(&path),
            Act::Link(_, to) => fs::create_dir_all(path.parent().unwrap()).and_then(|()| symlink(to, &path)),
            Act::Executable(_) => match path.is_file() {
                true => fs::set_permissions(&path, fs::Permissions::from_mode(0o755)),
                false => Ok(()),
            },
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_to_outputs_a_restore_brings_back_what_was_captured(
        make in acts(12),
        harm in acts(12),
        known in any::<bool>(),
        holds in any::<bool>(),
    ) {
        let mut bench = Bench::new(&["out"]);
        bench.write("user", "file");
        fs::create_dir(bench.path("out")).unwrap();
        meddle(&bench, &make);
        let (recorded, held) = if holds {
            let Recorded { result, held } = bench.record(key("a"));
            (result.outputs, held)
        } else {
            (bench.capture().unwrap(), Held::default())
        };
        let before = tree(bench.root().as_path());
        meddle(&bench, &harm);
        if !known {
            bench.forget();
        }
        let damaged = bench.verify(&recorded) != State::InPlace;
        prop_assert_eq!(damaged, tree(bench.root().as_path()) != before);
        bench.restore_from(&recorded, &held).unwrap();
        prop_assert_eq!(tree(bench.root().as_path()), before);
        prop_assert_eq!(bench.verify(&recorded), State::InPlace);
    }
}
