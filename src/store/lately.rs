//! Results that were found lately, kept in one file of a project: the question whether outputs stand in place needs no look into
//! the store for each step.
//! In: results as the store gave them. Out: the same results, for a day. Never: a result that makes up for one that must be
//! restored (the store is asked then), a result of another store, a part of a damaged file.
//!
//! A result proves what the outputs of a key are, whether or not the store still has it; so nothing goes wrong when it was
//! collected meanwhile. After a day the store is asked again, so that it knows what is in use.
//!
//! The file is a [`Table`] whose mark ends with the identity of the store's folder. The value of a key is the second in which the store
//! was asked (8 bytes), and the rest in postcard's encoding.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::canon::{HashSink, Sink as _};
use crate::base::digest::{ActionKey, Blake3, ContentDigest, Digest};
use crate::base::id::RunId;
use crate::base::path::{AbsPath, RelPath};
use crate::base::table::{self, News, Table};
use crate::sys::clock;
use crate::sys::file::{self, FileError};
use crate::sys::stat::Stat;

use super::local::Store;
use super::result::{ActionResult, OutputEntry, OutputFile};

/// The largest file that is read, in bytes.
const LIMIT: u64 = 1 << 30;
/// The first bytes, before the identity of the store; another version has others and is not read.
const MARK: &[u8; 16] = b"kiln results 2\n\0";
/// The bytes of the second in which the store was asked.
const ASKED: usize = 8;
/// For so many seconds a row answers in place of the store.
const FRESH: i64 = 86_400;
/// Rows that the store was not asked about for so many seconds are dropped.
const KEPT: i64 = 30 * 86_400;

/// What was found lately.
#[derive(Debug)]
pub struct Lately {
    place: AbsPath,
    mark: Vec<u8>,
    now: i64,
    /// When the oldest row was asked for that answered.
    oldest: AtomicI64,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    saved: Table,
    /// What the store gave or took since then.
    fresh: News<()>,
    /// Whether some of that is not written yet.
    changed: bool,
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
        let (mark, now) = ([MARK, identity(store).as_bytes().as_slice()].concat(), clock::now().seconds());
        let saved = file::read(&place, LIMIT).ok().and_then(|bytes| Table::read(bytes, &mark)).unwrap_or_default();
        Self { place, mark, now, oldest: AtomicI64::new(now), memory: Mutex::new(Memory { saved, ..Memory::default() }) }
    }

    /// The result of an action, when the store gave it within the last day.
    #[must_use]
    pub fn result(&self, key: ActionKey) -> Option<ActionResult> {
        let memory = self.memory();
        let key = key.0.as_bytes();
        let value = memory.fresh.get(key).map(|(value, ())| value).or_else(|| memory.saved.get(key))?;
        let asked = asked(value).filter(|asked| (0..FRESH).contains(&self.now.saturating_sub(*asked)))?;
        let lean: Lean<'_> = postcard::from_bytes(&value[ASKED..]).ok()?;
        self.oldest.fetch_min(asked, Ordering::Relaxed);
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
            && let Ok(value) = postcard::to_extend(&lean, self.now.to_le_bytes().to_vec())
        {
            let mut memory = self.memory();
            memory.fresh.set(key.0.as_bytes(), (), |bytes| bytes.extend_from_slice(&value));
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
        let keeps = |value: &[u8]| asked(value).is_some_and(|asked| self.now.saturating_sub(asked) < KEPT);
        let bytes = table::merge(&self.mark, &memory.saved, &memory.fresh, keeps, |()| true);
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

/// The second in which the store was asked for a row.
fn asked(value: &[u8]) -> Option<i64> {
    value.first_chunk().map(|asked| i64::from_le_bytes(*asked))
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
        let bench = Bench::new();
        let lately = bench.open();
        for name in ["a", "b"] {
            lately.remember(key(name), &result(name));
        }
        lately.save().unwrap();
        let bytes = file::read(bench.place(), LIMIT).unwrap();
        let found = |bytes: &[u8]| {
            file::write_atomic(bench.place(), bytes, false).unwrap();
            let lately = bench.open();
            ["a", "b"].map(|name| lately.result(key(name)).is_some())
        };
        assert_eq!(found(&bytes), [true, true]);
        for end in 0..bytes.len() {
            assert_eq!(found(&bytes[..end]), [false, false], "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            assert_eq!(found(&damaged), [false, false], "byte {at}");
        }
    }
}
