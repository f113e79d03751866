//! What the last runs knew of each step: key, log, how it ended, how long it took.
//! In: the ends of steps. Out: the last record of each, and a time to expect. Never: an error for a damaged index (it is
//! empty then, and costs an estimate), a record lost because two kilns ended at once.
//!
//! The index is a [`Table`] by printed names. A value is the beginning of the run (8 bytes, milliseconds since 1970, the lowest first), and the
//! rest in postcard's encoding.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::digest::{ActionKey, ContentDigest};
use crate::base::id::{RunId, StepName};
use crate::base::table::{self, News, Table};
use crate::base::time::Moment;
use crate::event::{Ended, FailureClass, Origin};
use crate::sys::file::{self, FileError};

/// The first bytes; another version has others and is not read. What [`Row`] holds, and the variants of its enums in their order, belong to it.
const MARK: &[u8; 16] = b"kiln steps 2\n\0\0\0";
/// Durations that are remembered of each step.
const DURATIONS: usize = 5;
/// Steps that are remembered; those that ran longest ago are dropped first.
const STEPS: usize = 200_000;
/// The largest index that is read, in bytes.
const LARGEST: u64 = 256 << 20;

/// The end of a step, as far as later runs want to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// The run.
    pub run: RunId,
    /// When that run began.
    pub at: Moment,
    /// How it ended.
    pub ended: Ended,
    /// The key.
    pub key: Option<ActionKey>,
    /// What went into the key, as a blob in the store.
    pub manifest: Option<ContentDigest>,
    /// The log, as a blob in the store.
    pub log: Option<ContentDigest>,
    /// How long its commands took the last times they ran well, oldest first, in milliseconds.
    pub took_ms: Vec<u64>,
}

/// The last record of each step. The index of one project is one file beside its journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepHistory {
    steps: Table,
}

/// How the steps of a run ended, as the index will hold it.
#[derive(Debug, Default)]
pub struct Ends {
    steps: News<()>,
}

impl Ends {
    /// Takes the end of a step in. `record.took_ms` holds the duration of this run alone, or nothing when the step did not run well.
    pub fn take(&mut self, step: &StepName, record: StepRecord) {
        self.steps.set(step.to_string().as_bytes(), (), |bytes| record.write(bytes));
    }
}

impl FromIterator<(StepName, StepRecord)> for Ends {
    fn from_iter<I: IntoIterator<Item = (StepName, StepRecord)>>(ends: I) -> Self {
        let mut all = Self::default();
        ends.into_iter().for_each(|(step, record)| all.take(&step, record));
        all
    }
}

impl StepHistory {
    /// Reads the index in `dir`. What is missing, damaged or of another version is read as empty.
    #[must_use]
    pub fn load(dir: &Path) -> Self {
        let steps = file::read(path(dir), LARGEST).ok().and_then(|bytes| Table::read(bytes, MARK));
        Self { steps: steps.unwrap_or_default() }
    }

    /// The last record of a step.
    #[must_use]
    pub fn get(&self, step: &StepName) -> Option<StepRecord> {
        StepRecord::read(self.steps.get(step.to_string().as_bytes())?)
    }

    /// Whether the step has a record.
    #[must_use]
    pub fn knows(&self, step: &StepName) -> bool {
        self.steps.find(step.to_string().as_bytes()).is_some()
    }

    /// How long the step should take when it runs, in milliseconds: the median of the last times.
    #[must_use]
    pub fn expected_ms(&self, step: &StepName) -> Option<u64> {
        let mut times = self.get(step)?.took_ms;
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// The steps on record, sorted by printed name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, StepRecord)> {
        self.steps.iter().filter_map(|(name, value)| Some((str::from_utf8(name).ok()?, StepRecord::read(value)?)))
    }

    /// Whether the record says more than what is known. A step that was cached under its last key does not, so a run in
    /// which nothing happens leaves the index alone.
    #[must_use]
    pub fn is_news(&self, step: &StepName, record: &StepRecord) -> bool {
        let good = |ended: &Ended| matches!(ended, Ended::Done | Ended::Cached { .. });
        let cached = matches!(record.ended, Ended::Cached { .. }) && record.key.is_some();
        !(cached && self.get(step).is_some_and(|known| known.key == record.key && good(&known.ended)))
    }

    /// Adds the ends of one run's steps to the index in `dir`, which another kiln may be changing at the same time.
    ///
    /// # Errors
    /// [`FileError`] when the index cannot be locked or written. A caller goes on: only estimates suffer.
    pub fn merge(dir: &Path, ends: &Ends) -> Result<(), FileError> {
        Self::merge_at_most(dir, ends, STEPS)
    }

    fn merge_at_most(dir: &Path, ends: &Ends, most: usize) -> Result<(), FileError> {
        if ends.steps.is_empty() {
            return Ok(());
        }
        let lock_path = dir.join("steps.lock");
        let lock = file::append(&lock_path)?;
        file::at("lock", &lock_path, lock.lock())?;
        let Self { steps } = Self::load(dir);
        let mut news = News::default();
        news.reserve(ends.steps.len());
        for (name, value, ()) in ends.steps.iter() {
            let Some(record) = StepRecord::read(value) else { continue };
            let record = record.after(steps.get(name).and_then(StepRecord::read));
            news.set(name, record.at, |bytes| record.write(bytes));
        }
        let oldest = oldest(&steps, &news, most);
        let stays = |at: &Moment| oldest.is_none_or(|oldest| *at >= oldest);
        let bytes = table::merge(MARK, &steps, &news, |value| at(value).is_some_and(|at| stays(&at)), stays);
        file::write_atomic(path(dir), &bytes, false)?;
        if steps.is_empty() {
            // The index as it was before it was a table: nobody reads it any more.
            drop(file::remove(dir.join("steps.json")));
        }
        Ok(())
    }
}

/// When the run began whose steps are the oldest to stay, where there are more than `most` in all.
fn oldest(steps: &Table, news: &News<Moment>, most: usize) -> Option<Moment> {
    if steps.len() + news.len() <= most {
        return None;
    }
    let others = steps.iter().filter(|(name, _)| news.get(name).is_none()).filter_map(|(_, value)| at(value));
    let mut ages: Vec<Moment> = others.chain(news.iter().map(|(_, _, at)| *at)).collect();
    ages.sort_unstable();
    // All steps of one run are as old: they stay, or go, together.
    ages.len().checked_sub(most).and_then(|surplus| ages.get(surplus).copied())
}

/// When the run of a row began, without a look at the rest.
fn at(value: &[u8]) -> Option<Moment> {
    value.first_chunk().map(|at| Moment(i64::from_le_bytes(*at)))
}

/// A [`StepRecord`] without its moment, as it is written.
#[derive(Serialize, Deserialize)]
struct Row {
    run: RunId,
    ended: End,
    key: Option<ActionKey>,
    manifest: Option<ContentDigest>,
    log: Option<ContentDigest>,
    took_ms: Vec<u64>,
}

/// [`Ended`], which is written with names where others read it.
#[derive(Serialize, Deserialize)]
enum End {
    Done,
    Cached(Origin),
    Failed { class: FailureClass, reason: String, help: Option<String>, allowed: bool },
    Skipped(StepName),
    Cancelled,
}

impl StepRecord {
    /// The record of a step of which `before` was known.
    fn after(mut self, before: Option<Self>) -> Self {
        let Some(before) = before else { return self };
        // A cached step has no new log: the one from when it ran is the one to show.
        self.log = self.log.or_else(|| before.log.filter(|_| before.key == self.key));
        let mut times = before.took_ms;
        times.append(&mut self.took_ms);
        self.took_ms = times.split_off(times.len().saturating_sub(DURATIONS));
        self
    }

    /// Appends the value of a row.
    fn write(self, bytes: &mut Vec<u8>) {
        let Self { run, at, ended, key, manifest, log, took_ms } = self;
        let ended = match ended {
            Ended::Done => End::Done,
            Ended::Cached { from } => End::Cached(from),
            Ended::Failed { class, reason, help, allowed } => End::Failed { class, reason, help, allowed },
            Ended::Skipped { because } => End::Skipped(because),
            Ended::Cancelled => End::Cancelled,
        };
        bytes.extend_from_slice(&at.0.to_le_bytes());
        // Memory takes all that it is given, and nothing here refuses to be written.
        let _ = postcard::to_io(&Row { run, ended, key, manifest, log, took_ms }, bytes);
    }

    /// Reads what [`StepRecord::write`] wrote.
    fn read(value: &[u8]) -> Option<Self> {
        let (at, rest) = (at(value)?, value.get(size_of::<i64>()..)?);
        let Row { run, ended, key, manifest, log, took_ms } = postcard::from_bytes(rest).ok()?;
        let ended = match ended {
            End::Done => Ended::Done,
            End::Cached(from) => Ended::Cached { from },
            End::Failed { class, reason, help, allowed } => Ended::Failed { class, reason, help, allowed },
            End::Skipped(because) => Ended::Skipped { because },
            End::Cancelled => Ended::Cancelled,
        };
        Some(Self { run, at, ended, key, manifest, log, took_ms })
    }
}

/// Where the index is.
#[must_use]
pub fn path(dir: &Path) -> PathBuf {
    dir.join("steps")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;
    use crate::base::id::StepKind;

    fn step(name: &str) -> StepName {
        StepName::new(name.parse().unwrap(), StepKind::Run)
    }

    fn record(took_ms: &[u64]) -> StepRecord {
        StepRecord {
            run: RunId("r".into()),
            at: Moment(1),
            ended: Ended::Done,
            key: Some(ActionKey(Digest::of(b"key"))),
            manifest: None,
            log: None,
            took_ms: took_ms.to_vec(),
        }
    }

    fn merge(dir: &Path, ends: Vec<(StepName, StepRecord)>) -> Result<(), FileError> {
        StepHistory::merge(dir, &ends.into_iter().collect())
    }

    #[test]
    fn the_median_of_the_last_times_is_expected() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(StepHistory::load(dir.path()).expected_ms(&step("a")), None);
        for took in [90_000, 10, 20, 30, 9_000, 25] {
            merge(dir.path(), vec![(step("a"), record(&[took]))]).unwrap();
        }
        merge(dir.path(), vec![(step("a"), record(&[]))]).unwrap();
        let history = StepHistory::load(dir.path());
        assert_eq!(history.get(&step("a")).unwrap().took_ms, [10, 20, 30, 9_000, 25]);
        assert_eq!(history.expected_ms(&step("a")), Some(25));
    }

    #[test]
    fn a_cached_step_keeps_the_log_of_when_it_ran() {
        let log = Some(ContentDigest(Digest::of(b"log")));
        let ran = StepRecord { log, ..record(&[5]) };
        assert_eq!(record(&[]).after(Some(ran.clone())).log, log);
        assert_eq!(StepRecord { key: None, ..record(&[]) }.after(Some(ran)).log, None);
    }

    #[test]
    fn a_step_cached_under_its_last_key_is_no_news() {
        let cached = || StepRecord { ended: Ended::Cached { from: Origin::InPlace }, ..record(&[]) };
        let dir = tempfile::tempdir().unwrap();
        assert!(StepHistory::default().is_news(&step("a"), &cached()));
        merge(dir.path(), vec![(step("a"), record(&[5]))]).unwrap();
        let history = StepHistory::load(dir.path());
        assert!(!history.is_news(&step("a"), &cached()));
        assert!(history.is_news(&step("a"), &record(&[5])));
        assert!(history.is_news(&step("a"), &StepRecord { key: None, ..cached() }));
        assert!(history.is_news(&step("a"), &StepRecord { key: Some(ActionKey(Digest::of(b"other"))), ..cached() }));
    }

    #[test]
    fn every_end_is_read_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let failed = |help: Option<&str>| Ended::Failed {
            class: FailureClass::Policy,
            reason: "exit code 2".into(),
            help: help.map(Into::into),
            allowed: help.is_some(),
        };
        let skipped = StepName {
            cell: crate::base::id::Cell(vec![("bin".into(), "a\nb".into())]),
            platform: Some("linux/arm64/v8".parse().unwrap()),
            registry: Some("ghcr".into()),
            ..step("b")
        };
        let ends = [
            Ended::Done,
            Ended::Cached { from: Origin::InPlace },
            Ended::Cached { from: Origin::Restored },
            failed(None),
            failed(Some("do this")),
            Ended::Skipped { because: skipped.clone() },
            Ended::Cancelled,
        ];
        let digest = |word: &[u8]| Some(ContentDigest(Digest::of(word)));
        for ended in ends {
            let record = StepRecord { ended, at: Moment(-7), manifest: digest(b"manifest"), log: digest(b"log"), ..record(&[u64::MAX]) };
            let mut value = Vec::new();
            record.clone().write(&mut value);
            assert_eq!((StepRecord::read(&value), at(&value)), (Some(record.clone()), Some(record.at)));
            merge(dir.path(), vec![(skipped.clone(), record.clone())]).unwrap();
            assert_eq!(StepHistory::load(dir.path()).get(&skipped).map(|found| found.ended), Some(record.ended));
        }
    }

    #[test]
    fn an_index_cut_at_any_byte_or_with_one_bit_flipped_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        merge(dir.path(), vec![(step("a"), record(&[1])), (step("b"), record(&[2]))]).unwrap();
        let whole = StepHistory::load(dir.path());
        let bytes = file::read(path(dir.path()), LARGEST).unwrap();
        let found = |bytes: &[u8]| {
            file::write_atomic(path(dir.path()), bytes, false).unwrap();
            StepHistory::load(dir.path())
        };
        for end in 0..bytes.len() {
            assert_eq!(found(&bytes[..end]), StepHistory::default(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            assert_eq!(found(&damaged), StepHistory::default(), "byte {at}");
        }
        assert_eq!(found(&bytes), whole);
        assert_eq!(whole.iter().map(|(name, record)| (name, record.took_ms)).collect::<Vec<_>>(), [("a", vec![1]), ("b", vec![2])]);
    }

    #[test]
    fn the_index_of_a_former_version_goes_when_a_new_one_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let former = dir.path().join("steps.json");
        file::write_atomic(&former, b"{\"schema\":1,\"steps\":{}}", false).unwrap();
        merge(dir.path(), vec![(step("a"), record(&[1]))]).unwrap();
        assert!(!former.exists() && StepHistory::load(dir.path()).get(&step("a")).is_some());
    }

    #[test]
    fn two_kilns_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let dir = dir.path();
                scope.spawn(move || {
                    for n in 0..10 {
                        merge(dir, vec![(step(&format!("s{worker}-{n}")), record(&[1]))]).unwrap();
                    }
                });
            }
        });
        assert_eq!(StepHistory::load(dir.path()).iter().count(), 80);
    }

    #[test]
    fn the_oldest_steps_are_dropped_when_there_are_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let names = || StepHistory::load(dir.path()).iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        let run = |at: i64, names: &[&str]| {
            let ends = names.iter().map(|name| (step(name), StepRecord { at: Moment(at), ..record(&[]) }));
            StepHistory::merge_at_most(dir.path(), &ends.collect(), 4).unwrap();
        };
        run(1, &["a", "b"]);
        run(2, &["b", "c", "d"]);
        assert_eq!(names(), ["a", "b", "c", "d"]);
        run(3, &["e"]);
        assert_eq!(names(), ["b", "c", "d", "e"]);
        // Those of one run are as old as each other.
        run(4, &["f"]);
        assert_eq!(names(), ["b", "c", "d", "e", "f"]);
        run(5, &["g", "h", "i", "j", "k"]);
        assert_eq!(names(), ["g", "h", "i", "j", "k"]);
    }
}
