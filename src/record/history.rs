//! What the last runs knew of each step: key, log, how it ended, how long it took.
//! In: the ends of steps. Out: the last record of each, and a time to expect. Never: an error for a damaged index (it is
//! empty then, and costs an estimate), a record lost because two kilns ended at once.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::digest::{ActionKey, ContentDigest};
use crate::base::id::{RunId, StepName};
use crate::base::time::Moment;
use crate::event::Ended;
use crate::sys::file::{self, FileError};

use super::SCHEMA;

/// Durations that are remembered of each step.
const DURATIONS: usize = 5;
/// Steps that are remembered; those that ran longest ago are dropped first.
const STEPS: usize = 200_000;
/// The largest index that is read, in bytes.
const LARGEST: u64 = 256 << 20;

/// The end of a step, as far as later runs want to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The run.
    pub run: RunId,
    /// When that run began.
    pub at: Moment,
    /// How it ended.
    pub ended: Ended,
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ActionKey>,
    /// What went into the key, as a blob in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ContentDigest>,
    /// The log, as a blob in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<ContentDigest>,
    /// How long its commands took the last times they ran well, oldest first, in milliseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub took_ms: Vec<u64>,
}

/// The last record of each step. The index of one project is one file beside its journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepHistory {
    steps: HashMap<String, StepRecord>,
}

#[derive(Serialize, Deserialize)]
struct Index<S> {
    schema: u64,
    steps: S,
}

impl StepHistory {
    /// Reads the index in `dir`. What is missing, damaged or of another version is read as empty.
    #[must_use]
    pub fn load(dir: &Path) -> Self {
        let index = file::read(path(dir), LARGEST).ok().and_then(|bytes| serde_json::from_slice::<Index<_>>(&bytes).ok());
        index.filter(|index| index.schema == SCHEMA).map_or_else(Self::default, |index| Self { steps: index.steps })
    }

    /// The last record of a step.
    #[must_use]
    pub fn get(&self, step: &StepName) -> Option<&StepRecord> {
        self.steps.get(&step.to_string())
    }

    /// How long the step should take when it runs, in milliseconds: the median of the last times.
    #[must_use]
    pub fn expected_ms(&self, step: &StepName) -> Option<u64> {
        let mut times = self.get(step)?.took_ms.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    fn sorted(&self) -> BTreeMap<&str, &StepRecord> {
        self.steps.iter().map(|(name, record)| (name.as_str(), record)).collect()
    }

    /// The steps on record, sorted by printed name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &StepRecord)> {
        self.sorted().into_iter()
    }

    /// Whether the record says more than what is known. A step that was cached under its last key does not, so a run in
    /// which nothing happens leaves the index alone.
    #[must_use]
    pub fn is_news(&self, step: &StepName, record: &StepRecord) -> bool {
        let good = |ended: &Ended| matches!(ended, Ended::Done | Ended::Cached { .. });
        let known = self.get(step).is_some_and(|known| known.key == record.key && record.key.is_some() && good(&known.ended));
        !(known && matches!(record.ended, Ended::Cached { .. }))
    }

    /// Takes the end of a step in. Skipped and cancelled steps leave the earlier record as it is; `record.took_ms` holds
    /// the duration of this run alone, or nothing when the step did not run well.
    fn take(&mut self, step: String, mut record: StepRecord) {
        let before = self.steps.get(&step);
        let mut times = before.map(|before| before.took_ms.clone()).unwrap_or_default();
        times.append(&mut record.took_ms);
        record.took_ms = times.split_off(times.len().saturating_sub(DURATIONS));
        // A cached step has no new log: the one from when it ran is the one to show.
        record.log = record.log.or_else(|| before.filter(|before| before.key == record.key)?.log);
        self.steps.insert(step, record);
    }

    /// Adds the ends of one run's steps to the index in `dir`, which another kiln may be changing at the same time.
    ///
    /// # Errors
    /// [`FileError`] when the index cannot be locked or written. A caller goes on: only estimates suffer.
    pub fn merge(dir: &Path, ends: Vec<(StepName, StepRecord)>) -> Result<(), FileError> {
        if ends.is_empty() {
            return Ok(());
        }
        let lock_path = dir.join("steps.lock");
        let lock = file::append(&lock_path)?;
        file::at("lock", &lock_path, lock.lock())?;
        let mut history = Self::load(dir);
        for (step, record) in ends {
            history.take(step.to_string(), record);
        }
        history.shrink();
        let index = Index { schema: SCHEMA, steps: history.sorted() };
        let bytes = file::at("write", path(dir), serde_json::to_vec(&index).map_err(std::io::Error::other))?;
        file::write_atomic(path(dir), &bytes, false)
    }

    fn shrink(&mut self) {
        if self.steps.len() <= STEPS {
            return;
        }
        let mut ages: Vec<Moment> = self.steps.values().map(|record| record.at).collect();
        ages.sort_unstable();
        let youngest_dropped = ages[ages.len() - STEPS - 1];
        self.steps.retain(|_, record| record.at > youngest_dropped);
    }
}

/// Where the index is.
#[must_use]
pub fn path(dir: &Path) -> PathBuf {
    dir.join("steps.json")
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

    #[test]
    fn the_median_of_the_last_times_is_expected() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(StepHistory::load(dir.path()).expected_ms(&step("a")), None);
        for took in [90_000, 10, 20, 30, 9_000, 25] {
            StepHistory::merge(dir.path(), vec![(step("a"), record(&[took]))]).unwrap();
        }
        StepHistory::merge(dir.path(), vec![(step("a"), record(&[]))]).unwrap();
        let history = StepHistory::load(dir.path());
        assert_eq!(history.get(&step("a")).unwrap().took_ms, [10, 20, 30, 9_000, 25]);
        assert_eq!(history.expected_ms(&step("a")), Some(25));
    }

    #[test]
    fn a_cached_step_keeps_the_log_of_when_it_ran() {
        let log = Some(ContentDigest(Digest::of(b"log")));
        let mut history = StepHistory::default();
        history.take("a".into(), StepRecord { log, ..record(&[5]) });
        history.take("a".into(), record(&[]));
        assert_eq!(history.steps["a"].log, log);
        history.take("a".into(), StepRecord { key: None, ..record(&[]) });
        assert_eq!(history.steps["a"].log, None);
    }

    #[test]
    fn a_step_cached_under_its_last_key_is_no_news() {
        let cached = || StepRecord { ended: Ended::Cached { from: crate::event::Origin::InPlace }, ..record(&[]) };
        let mut history = StepHistory::default();
        assert!(history.is_news(&step("a"), &cached()));
        history.take("a".into(), record(&[5]));
        assert!(!history.is_news(&step("a"), &cached()));
        assert!(history.is_news(&step("a"), &record(&[5])));
        assert!(history.is_news(&step("a"), &StepRecord { key: Some(ActionKey(Digest::of(b"other"))), ..cached() }));
    }

    #[test]
    fn an_index_cut_at_any_byte_is_empty_or_whole() {
        let dir = tempfile::tempdir().unwrap();
        StepHistory::merge(dir.path(), vec![(step("a"), record(&[1])), (step("b"), record(&[2]))]).unwrap();
        let whole = StepHistory::load(dir.path());
        let bytes = file::read(path(dir.path()), LARGEST).unwrap();
        for end in 0..bytes.len() {
            file::write_atomic(path(dir.path()), &bytes[..end], false).unwrap();
            assert_eq!(StepHistory::load(dir.path()), StepHistory::default(), "cut at {end}");
        }
        file::write_atomic(path(dir.path()), &bytes, false).unwrap();
        assert_eq!(StepHistory::load(dir.path()), whole);
        let newer = String::from_utf8(bytes).unwrap().replacen("\"schema\":1", "\"schema\":2", 1);
        file::write_atomic(path(dir.path()), newer.as_bytes(), false).unwrap();
        assert_eq!(StepHistory::load(dir.path()), StepHistory::default());
    }

    #[test]
    fn two_kilns_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let dir = dir.path();
                scope.spawn(move || {
                    for n in 0..10 {
                        StepHistory::merge(dir, vec![(step(&format!("s{worker}-{n}")), record(&[1]))]).unwrap();
                    }
                });
            }
        });
        assert_eq!(StepHistory::load(dir.path()).iter().count(), 80);
    }

    #[test]
    fn the_oldest_steps_are_dropped_when_there_are_too_many() {
        let mut history = StepHistory::default();
        for n in 0..STEPS + 10 {
            history.take(n.to_string(), StepRecord { at: Moment(n as i64), ..record(&[]) });
        }
        history.shrink();
        assert_eq!(history.steps.len(), STEPS);
        assert!(!history.steps.contains_key("9") && history.steps.contains_key("10"));
    }
}
