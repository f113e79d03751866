//! Collection: takes away what was not used for long, and what is beyond the room that the store may take.
//! In: limits, and the blobs that records of runs name. Out: counts of what went and what stays. Never: a result or a blob
//! that a running kiln has found (see [`super::lease`]), a blob before every result that names it.
//!
//! Results go first, least recently used first; then the blobs that no result names any more. Between the two a reader may
//! find a result without its blobs, which is a miss. A killed collection leaves a store that is as right as before.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use crate::base::digest::{ActionKey, Algorithm as _, Blake3, ContentDigest, Digest, Sha256};
use crate::base::path::AbsPath;
use crate::sys::file;
use crate::sys::lock::Lock;
use crate::sys::stat::Stat;
use crate::sys::{clock, random};

use super::blob::StoreError;
use super::lease::HELD_NANOS;
use super::local::Store;
use super::pack;
use super::record::{self, Name, Standing};

const SECOND: i128 = 1_000_000_000;
/// A blob that nothing names is kept for so long: a run that was killed finds what it had fetched when it is started again.
const UNNAMED: i128 = 24 * 3_600 * SECOND;
/// The store collects by itself when the last time is so long ago, in milliseconds.
const EVERY_MS: i64 = 86_400_000;

/// How much a store may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of results and blobs.
    pub max_bytes: u64,
    /// What was not used for so many seconds goes.
    pub max_age_s: u64,
}

impl Default for Limits {
    /// 20 GiB, 30 days.
    fn default() -> Self {
        Self { max_bytes: 20 << 30, max_age_s: 30 * 86_400 }
    }
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Results that went.
    pub results: u64,
    /// Blobs that went.
    pub blobs: u64,
    /// Their bytes, with those of the results.
    pub bytes: u64,
    /// Bytes that stay.
    pub left_bytes: u64,
    /// Results that stay.
    pub left_results: u64,
    /// Blobs that stay.
    pub left_blobs: u64,
    /// Bytes beyond the limit that stay because a running kiln may use them.
    pub held_bytes: u64,
}

#[derive(Debug)]
struct Blob {
    name: Name,
    place: AbsPath,
    size: u64,
    used: i128,
    /// Results that name it and stay.
    named: u32,
}

#[derive(Debug)]
struct Record {
    place: AbsPath,
    size: u64,
    used: i128,
    /// Places in the list of blobs.
    blobs: Vec<u32>,
    /// Whether all that it names is there.
    whole: bool,
}

/// Something that may go.
#[derive(Debug, Clone, Copy)]
enum Item {
    Record(usize),
    Blob(usize),
}

/// What a record names; `None` for one that says nothing.
type Wanted = Option<HashSet<Name>>;

struct Inventory {
    records: Vec<Record>,
    blobs: Vec<Blob>,
}

impl Store {
    /// Whether a day has gone by since the store was last collected; a second one who asks is told no.
    #[must_use]
    pub fn begin_daily_collection(&self) -> bool {
        let stamp = self.layout().stamp();
        match file::status(&stamp) {
            Ok(status) => {
                let due = Stat::of(&status).modified < i128::from(clock::now().0 - EVERY_MS) * 1_000_000;
                due && file::touch(&stamp).is_ok()
            }
            // A store that was just made has nothing to collect. Where this cannot be written, nothing can be removed.
            Err(_) => {
                let _ = file::append(&stamp);
                false
            }
        }
    }

    /// Takes away what was not used for long or is too much; with `dry`, only says what would go. `remembered` are the
    /// blobs that records of runs name: logs, and what went into keys.
    ///
    /// # Errors
    /// [`StoreError::File`] when the disk fails. What is gone by then was allowed to go.
    pub fn collect(&self, limits: Limits, remembered: &HashSet<ContentDigest>, dry: bool) -> Result<Collected, StoreError> {
        let _collecting = if dry { None } else { Some(Lock::wait(self.layout().collecting())?) };
        let now = self.now()?;
        let floor = self.oldest_lease().map_or(now, |began| began.min(now) - HELD_NANOS);
        let mut inventory = self.inventory()?;
        let goes = inventory.choose(limits, remembered, now, floor);
        let mut done = Collected { held_bytes: goes.held, ..Collected::default() };
        let mut loose = goes.blobs;
        for at in goes.records {
            let record = &inventory.records[at];
            if dry || self.take_away(&record.place, floor)? {
                done.results += 1;
                done.bytes += record.size;
            } else {
                // It was used at this very moment: what it names stays.
                record.blobs.iter().for_each(|blob| inventory.blobs[*blob as usize].named += 1);
            }
        }
        loose.retain(|at| inventory.blobs[*at].named == 0);
        let taken: Vec<bool> = loose
            .par_iter()
            .map(|at| if dry { Ok(true) } else { self.take_away(&inventory.blobs[*at].place, floor) })
            .collect::<Result<_, _>>()?;
        for (at, _) in loose.iter().zip(taken).filter(|(_, taken)| *taken) {
            done.blobs += 1;
            done.bytes += inventory.blobs[*at].size;
        }
        done.left_results = inventory.records.len() as u64 - done.results;
        done.left_blobs = inventory.blobs.len() as u64 - done.blobs;
        done.left_bytes = inventory.bytes().saturating_sub(done.bytes);
        if !dry {
            let _ = file::append(self.layout().stamp()).and_then(|_| file::touch(self.layout().stamp()));
        }
        Ok(done)
    }

    /// The moment, by the clock that gives files their times.
    fn now(&self) -> Result<i128, StoreError> {
        let probe = self.layout().temporary()?;
        Ok(Stat::of(&file::status(probe.path())?).modified)
    }

    /// Removes a file that was not used since `floor`; says whether it is gone. Its name goes first, so that a use between
    /// the look and the removal either fails, which is a miss, or is seen here.
    fn take_away(&self, place: &AbsPath, floor: i128) -> Result<bool, StoreError> {
        let Some(status) = file::optional(file::status(place))? else { return Ok(true) };
        if Stat::of(&status).modified >= floor {
            return Ok(false);
        }
        let aside = self.layout().scratch().join(format!("gone-{:016x}", random::bits()));
        if file::optional(file::rename(place, &aside))?.is_none() {
            return Ok(true);
        }
        let used = Stat::of(&file::status(&aside)?).modified;
        if used >= floor {
            // A file that was made anew in its place meanwhile is as good.
            if file::rename_new(&aside, place)? {
                return Ok(false);
            }
            file::remove(&aside)?;
            return Ok(false);
        }
        file::remove(&aside)?;
        Ok(true)
    }

    fn inventory(&self) -> Result<Inventory, StoreError> {
        let mut blobs = Vec::new();
        let mut places = HashMap::new();
        for algorithm in [Blake3::NAME, Sha256::NAME] {
            let listed = self.listed(&self.layout().base().join("blobs").join(algorithm))?;
            let looked =
                listed.into_par_iter().map(|(place, hex)| Ok((name(algorithm, &hex), file::optional(file::status(&place))?, place)));
            for (name, status, place) in looked.collect::<Result<Vec<_>, StoreError>>()? {
                let (Some(name), Some(status)) = (name, status) else { continue };
                places.insert(name, blobs.len());
                blobs.push(Blob { name, place, size: status.len(), used: Stat::of(&status).modified, named: 0 });
            }
        }
        let read = |(place, hex): (AbsPath, String)| -> Result<Option<(Record, Wanted)>, StoreError> {
            let Ok(key) = Digest::<Blake3>::from_hex(&hex).map(ActionKey) else { return Ok(None) };
            let Some(status) = file::optional(file::status(&place))? else { return Ok(None) };
            let Some(standing) = file::optional(record::standing(&place, key))? else { return Ok(None) };
            let record = Record { place, size: pack::share(&status), used: Stat::of(&status).modified, blobs: Vec::new(), whole: false };
            // A damaged record, or one of another version, names nothing and goes.
            let wanted = if let Standing::Sound(recorded) = standing {
                Some(record::blobs_of(&recorded.result, &recorded.held).map(|(name, _)| name).collect())
            } else {
                None
            };
            Ok(Some((record, wanted)))
        };
        let listed = self.records()?;
        let mut records = Vec::new();
        for (mut record, wanted) in listed.into_par_iter().filter_map(|one| read(one).transpose()).collect::<Result<Vec<_>, _>>()? {
            record.whole = wanted.as_ref().is_some_and(|wanted| wanted.iter().all(|name| places.contains_key(name)));
            record.blobs = wanted.iter().flatten().filter_map(|name| u32::try_from(*places.get(name)?).ok()).collect();
            record.blobs.iter().for_each(|blob| blobs[*blob as usize].named += 1);
            records.push(record);
        }
        Ok(Inventory { records, blobs })
    }
}

/// What may go, and how much would have to go but is held.
struct Goes {
    records: Vec<usize>,
    blobs: Vec<usize>,
    held: u64,
}

impl Inventory {
    fn bytes(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.size).chain(self.records.iter().map(|record| record.size)).sum()
    }

    fn choose(&mut self, limits: Limits, remembered: &HashSet<ContentDigest>, now: i128, floor: i128) -> Goes {
        let oldest = now - i128::from(limits.max_age_s) * SECOND;
        let is_remembered =
            |name: &Name| matches!(name, Name::Blake3(bytes) if remembered.contains(&ContentDigest(Digest::from_bytes(*bytes))));
        let mut items: Vec<(i128, Item)> = self.records.iter().enumerate().map(|(at, record)| (record.used, Item::Record(at))).collect();
        let loose = self.blobs.iter().enumerate().filter(|(_, blob)| blob.named == 0);
        items.extend(loose.map(|(at, blob)| (blob.used, Item::Blob(at))));
        items.sort_by_key(|(used, _)| *used);
        let mut total = self.bytes();
        let mut goes = Goes { records: Vec::new(), blobs: Vec::new(), held: 0 };
        for (used, item) in items {
            let useless = match item {
                Item::Record(at) => used < oldest || !self.records[at].whole,
                Item::Blob(at) => used < oldest || (used < now - UNNAMED && !is_remembered(&self.blobs[at].name)),
            };
            if used >= floor || !(useless || total > limits.max_bytes) {
                continue;
            }
            match item {
                Item::Blob(at) => {
                    total -= self.blobs[at].size;
                    goes.blobs.push(at);
                }
                Item::Record(at) => {
                    total -= self.records[at].size;
                    goes.records.push(at);
                    for blob in &self.records[at].blobs {
                        let at = *blob as usize;
                        let blob = &mut self.blobs[at];
                        blob.named -= 1;
                        if blob.named == 0 && blob.used < floor {
                            total -= blob.size;
                            goes.blobs.push(at);
                        }
                    }
                }
            }
        }
        goes.held = total.saturating_sub(limits.max_bytes);
        goes
    }
}

fn name(algorithm: &str, hex: &str) -> Option<Name> {
    if algorithm == Sha256::NAME {
        Digest::<Sha256>::from_hex(hex).ok().map(|digest| Name::Sha256(*digest.as_bytes()))
    } else {
        Digest::<Blake3>::from_hex(hex).ok().map(|digest| Name::Blake3(*digest.as_bytes()))
    }
}
