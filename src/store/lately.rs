//! Results that were found lately, kept in one file of a project: the question whether outputs stand in place needs no look into
//! the store for each step.
//! In: results as the store gave them. Out: the same results, for a day. Never: a result that makes up for one that must be
//! restored (the store is asked then), a result of another store, a part of a damaged file.
//!
//! A result proves what the outputs of a key are, whether or not the store still has it; so nothing goes wrong when it was
//! collected meanwhile. After a day the store is asked again, so that it knows what is in use.
//!
//! The file is a checksum (32 bytes) over all that follows: the identity of the store's folder, and rows: key
//! (32), the second in which the store was asked (8), the length of the rest (4), and the rest in postcard's encoding.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::canon::{HashSink, Sink as _};
use crate::base::digest::{ActionKey, Blake3, ContentDigest, Digest};
use crate::base::id::RunId;
use crate::base::path::{AbsPath, RelPath};
use crate::sys::clock;
use crate::sys::file::{self, FileError};
use crate::sys::stat::Stat;

use super::local::Store;
use super::result::{ActionResult, OutputEntry, OutputFile};

/// The largest file that is read, in bytes.
const LIMIT: u64 = 1 << 30;
const SUM: usize = 32;
const HEAD: usize = 32 + 8 + 4;
/// For so many seconds a row answers in place of the store.
const FRESH: i64 = 86_400;
/// Rows that the store was not asked about for so many seconds are dropped.
const KEPT: i64 = 30 * 86_400;

/// What was found lately.
#[derive(Debug)]
pub struct Lately {
    place: AbsPath,
    store: Digest<Blake3>,
    now: i64,
    /// When the oldest row was asked for that answered.
    oldest: AtomicI64,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    bytes: Vec<u8>,
    rows: HashMap<ActionKey, Row>,
    /// What the store gave or took since then.
    fresh: HashMap<ActionKey, Vec<u8>>,
    /// Whether some of that is not written yet.
    changed: bool,
}

#[derive(Debug)]
struct Row {
    asked: i64,
    place: Range<usize>,
}

/// An [`ActionResult`] of a task, by value or borrowed.
#[derive(Serialize, Deserialize)]
struct Lean<'a> {
    run: RunId,
    took_ms: u64,
    outputs: Vec<(RelPath, Entry)>,
    log: Option<ContentDigest>,
    #[serde(borrow)]
    detail: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
enum Entry {
    File { digest: ContentDigest, size: u64, executable: bool },
    Link { target: Vec<u8> },
    Folder,
}

impl Lately {
    /// Reads what an earlier command saved at `place` about `store`; a file that is not there or damaged is as good as an empty one.
    #[must_use]
    pub fn open(place: AbsPath, store: &Store) -> Self {
        let (store, now) = (identity(store), clock::now().seconds());
        let memory = file::read(&place, LIMIT).ok().and_then(|bytes| decode(bytes, store)).unwrap_or_default();
        Self { place, store, now, oldest: AtomicI64::new(now), memory: Mutex::new(memory) }
    }

    /// The result of an action, when the store gave it within the last day.
    #[must_use]
    pub fn result(&self, key: ActionKey) -> Option<ActionResult> {
        let memory = self.memory();
        if let Some(bytes) = memory.fresh.get(&key) {
            return Some(postcard::from_bytes::<Lean<'_>>(bytes).ok()?.restored());
        }
        let row = memory.rows.get(&key).filter(|row| (0..FRESH).contains(&self.now.saturating_sub(row.asked)))?;
        let lean: Lean<'_> = postcard::from_bytes(memory.bytes.get(row.place.clone())?).ok()?;
        self.oldest.fetch_min(row.asked, Ordering::Relaxed);
        Some(lean.restored())
    }

    /// The seconds in which all answers so far are good: from now until the store must be asked about the first of them.
    #[must_use]
    pub fn span(&self) -> Range<i64> {
        self.now..self.oldest.load(Ordering::Relaxed).saturating_add(FRESH)
    }

    /// Takes in what the store gave or took.
    pub fn remember(&self, key: ActionKey, result: &ActionResult) {
        if let Some(lean) = Lean::of(result)
            && let Ok(bytes) = postcard::to_stdvec(&lean)
        {
            let mut memory = self.memory();
            memory.fresh.insert(key, bytes);
            memory.changed = true;
        }
    }

    /// Writes what is known for the next command, if anything is new.
    ///
    /// # Errors
    /// [`FileError`]; nothing is lost but time.
    pub fn save(&self) -> Result<(), FileError> {
        let mut memory = self.memory();
        if !std::mem::take(&mut memory.changed) {
            return Ok(());
        }
        let fresh = &memory.fresh;
        let old = memory.rows.iter().filter(|(key, row)| !fresh.contains_key(*key) && self.now.saturating_sub(row.asked) < KEPT);
        let old = old.filter_map(|(key, row)| Some((*key, row.asked, memory.bytes.get(row.place.clone())?)));
        let bytes = encode(self.store, old.chain(fresh.iter().map(|(key, bytes)| (*key, self.now, bytes.as_slice()))));
        file::write_atomic(&self.place, &bytes, false)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which folder the store is; one that was removed and made again is another one.
#[must_use]
pub fn identity(store: &Store) -> Digest<Blake3> {
    let mut sink = HashSink::new("kiln store's folder");
    sink.text("path", &store.root().to_string());
    if let Ok(status) = file::status(store.layout().base()) {
        let stat = Stat::of(&status);
        sink.field("inode", &stat.inode.to_le_bytes());
        sink.field("device", &stat.device.to_le_bytes());
    }
    sink.finish()
}

impl<'a> Lean<'a> {
    /// `None` for results of other steps than tasks, which are few.
    fn of(result: &'a ActionResult) -> Option<Self> {
        let ActionResult { run, took_ms, outputs, image, documents, log, detail } = result;
        let entry = |output: &OutputFile| {
            let entry = match &output.entry {
                OutputEntry::File { digest, size, executable } => Entry::File { digest: *digest, size: *size, executable: *executable },
                OutputEntry::Link { target } => Entry::Link { target: target.clone() },
                OutputEntry::Folder => Entry::Folder,
            };
            (output.path.clone(), entry)
        };
        (image.is_none() && documents.is_empty()).then(|| Self {
            run: run.clone(),
            took_ms: *took_ms,
            outputs: outputs.iter().map(entry).collect(),
            log: *log,
            detail: detail.as_deref().map(Into::into),
        })
    }

    fn restored(self) -> ActionResult {
        let output = |(path, entry)| {
            let entry = match entry {
                Entry::File { digest, size, executable } => OutputEntry::File { digest, size, executable },
                Entry::Link { target } => OutputEntry::Link { target },
                Entry::Folder => OutputEntry::Folder,
            };
            OutputFile { path, entry }
        };
        ActionResult {
            run: self.run,
            took_ms: self.took_ms,
            outputs: self.outputs.into_iter().map(output).collect(),
            image: None,
            documents: Vec::new(),
            log: self.log,
            detail: self.detail.map(std::borrow::Cow::into_owned),
        }
    }
}

fn encode<'b>(store: Digest<Blake3>, rows: impl Iterator<Item = (ActionKey, i64, &'b [u8])>) -> Vec<u8> {
    let mut bytes = vec![0; SUM];
    bytes.extend_from_slice(store.as_bytes());
    for (key, asked, rest) in rows {
        let Ok(length) = u32::try_from(rest.len()) else { continue };
        bytes.extend_from_slice(key.0.as_bytes());
        bytes.extend_from_slice(&asked.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(rest);
    }
    let sum = Digest::<Blake3>::of(&bytes[SUM..]);
    bytes[..SUM].copy_from_slice(sum.as_bytes());
    bytes
}

fn decode(bytes: Vec<u8>, store: Digest<Blake3>) -> Option<Memory> {
    let (sum, body) = bytes.split_at_checked(SUM)?;
    if Digest::<Blake3>::of(body).as_bytes() != sum || body.get(..32)? != store.as_bytes() {
        return None;
    }
    let mut rows = HashMap::with_capacity(bytes.len() / 128);
    let mut at = SUM + 32;
    while at < bytes.len() {
        let head = bytes.get(at..at + HEAD)?;
        let key = ActionKey(Digest::from_bytes(*head.first_chunk()?));
        let asked = i64::from_le_bytes(*head[32..].first_chunk()?);
        let length = usize::try_from(u32::from_le_bytes(*head[40..].first_chunk()?)).ok()?;
        let place = at + HEAD..at + HEAD + length;
        bytes.get(place.clone())?;
        at = place.end;
        rows.insert(key, Row { asked, place });
    }
    Some(Memory { bytes, rows, ..Memory::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(name: &str) -> ActionResult {
        let file = OutputEntry::File { digest: ContentDigest(Digest::of(name.as_bytes())), size: 7, executable: true };
        let entries = [file, OutputEntry::Link { target: b"\xff".to_vec() }, OutputEntry::Folder];
        let output = |(n, entry)| OutputFile { path: RelPath::new(format!("out/{name}/{n}")).unwrap(), entry };
        ActionResult {
            run: RunId("r".into()),
            took_ms: 5,
            outputs: (0..).zip(entries).map(output).collect(),
            image: None,
            documents: Vec::new(),
            log: Some(ContentDigest(Digest::of(b"log"))),
            detail: Some("words".into()),
        }
    }

    fn key(name: &str) -> ActionKey {
        ActionKey(Digest::of(name.as_bytes()))
    }

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
        fn place(&self) -> AbsPath {
            AbsPath::new(self.folder.path().join("lately")).unwrap()
        }
        fn open(&self) -> Lately {
            Lately::open(self.place(), &self.store)
        }
    }

    #[test]
    fn a_result_is_given_back_for_a_day_and_then_the_store_is_asked() {
        let bench = Bench::new();
        let first = bench.open();
        for name in ["a", "b"] {
            first.remember(key(name), &result(name));
        }
        first.save().unwrap();
        let again = Lately { now: first.now + FRESH - 1, ..bench.open() };
        assert_eq!(again.result(key("a")), Some(result("a")));
        assert_eq!(again.result(key("c")), None);
        again.remember(key("c"), &result("c"));
        again.save().unwrap();
        for (later, known) in [(0, vec!["a", "b", "c"]), (FRESH, vec!["c"]), (2 * FRESH, vec![])] {
            let lately = Lately { now: first.now + later, ..bench.open() };
            let found: Vec<&str> = ["a", "b", "c"].into_iter().filter(|name| lately.result(key(name)) == Some(result(name))).collect();
            // The row of `c` is younger than the first ones, so at the beginning it comes from the future.
            let expected: Vec<&str> = known.into_iter().filter(|name| later > 0 || *name != "c").collect();
            assert_eq!(found, expected, "after {later} s");
        }
    }

    #[test]
    fn rows_of_a_store_that_was_removed_are_forgotten() {
        let bench = Bench::new();
        let lately = bench.open();
        lately.remember(key("a"), &result("a"));
        lately.save().unwrap();
        let other = Store::open(AbsPath::new(bench.folder.path().join("other")).unwrap()).unwrap();
        assert_eq!(Lately::open(bench.place(), &other).result(key("a")), None);
    }

    #[test]
    fn a_file_cut_anywhere_or_with_one_bit_flipped_is_as_good_as_none() {
        let store = Digest::of(b"store");
        let lean = postcard::to_stdvec(&Lean::of(&result("a")).unwrap()).unwrap();
        let bytes = encode(store, [(key("a"), 1, lean.as_slice()), (key("b"), 2, &lean)].into_iter());
        assert_eq!(decode(bytes.clone(), store).unwrap().rows.len(), 2);
        assert!(decode(bytes.clone(), Digest::of(b"another store")).is_none());
        for end in 0..bytes.len() {
            assert!(decode(bytes[..end].to_vec(), store).is_none(), "cut at {end}");
        }
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert!(decode(damaged, store).is_none(), "bit {at}");
        }
    }
}
