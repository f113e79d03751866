//! The store's health: how much it holds, and whether all of it is sound.
//! In: a store. Out: counts, and the names of what is damaged. Never: a judgement without reading every byte.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use rayon::prelude::*;

use crate::base::digest::{ActionKey, Algorithm, Blake3, Digest, Sha256};
use crate::base::path::AbsPath;
use crate::base::time::Moment;
use crate::sys::file::{self, FileError};
use crate::sys::stat::Stat;

use super::blob::StoreError;
use super::local::Store;
use super::pack;
use super::record::{self, Standing};

/// How much a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blobs of every algorithm.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those among them that belong to images, which other programs know by the same digests.
    pub image_blobs: u64,
    /// Their bytes.
    pub image_bytes: u64,
    /// Recorded results.
    pub records: u64,
    /// Their bytes.
    pub record_bytes: u64,
    /// When the result that was not used for longest was last used.
    pub oldest: Option<Moment>,
    /// Files that were found damaged and set aside within the last week.
    pub damaged: u64,
    /// When the store was last collected.
    pub collected: Option<Moment>,
}

/// What a full check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Blobs that were read.
    pub blobs: u64,
    /// Records that were read.
    pub records: u64,
    /// Blobs whose bytes were wrong, sorted. They are set aside now.
    pub damaged: Vec<String>,
    /// Keys of records whose bytes were wrong, sorted. They are set aside now.
    pub damaged_results: Vec<ActionKey>,
    /// Keys of records that name a blob which is not there, sorted. Their steps run again when they are needed.
    pub incomplete: Vec<ActionKey>,
}

impl Store {
    /// Counts what the store holds. Looks, but does not read.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let base = self.layout().base();
        let moment = |nanos: i128| Moment(i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX));
        let mut stats = Stats::default();
        for name in [Blake3::NAME, Sha256::NAME] {
            for status in looked(self.listed(&base.join("blobs").join(name))?)? {
                stats.blobs += 1;
                stats.bytes += status.len();
                if name == Sha256::NAME {
                    stats.image_blobs += 1;
                    stats.image_bytes += status.len();
                }
            }
        }
        for status in looked(self.records()?)? {
            stats.records += 1;
            stats.record_bytes += pack::share(&status);
            let status = Stat::of(&status);
            stats.oldest = Some(stats.oldest.unwrap_or(moment(i128::MAX)).min(moment(status.modified)));
        }
        stats.damaged = file::names(base.join("damaged"))?.len() as u64;
        stats.collected = file::status(self.layout().stamp()).ok().map(|status| moment(Stat::of(&status).modified));
        Ok(stats)
    }

    /// Reads every blob and every record; sets aside what is damaged.
    ///
    /// # Errors
    /// [`StoreError::File`] when the disk fails.
    pub fn verify_all(&self) -> Result<Health, StoreError> {
        let mut health = Health::default();
        self.verify_blobs::<Blake3>(&mut health)?;
        self.verify_blobs::<Sha256>(&mut health)?;
        let check = |(path, hex): &(AbsPath, String)| -> Result<Option<(ActionKey, Sound)>, StoreError> {
            let Ok(key) = Digest::<Blake3>::from_hex(hex).map(ActionKey) else { return Ok(None) };
            let Some(before) = file::optional(file::status(path))? else { return Ok(None) };
            let Some(standing) = file::optional(record::standing(path, key))? else { return Ok(None) };
            Ok(Some(match standing {
                Standing::Damaged => {
                    self.layout().set_aside(path, &Stat::of(&before));
                    (key, Sound::Damaged)
                }
                Standing::Sound(recorded) if !self.holds(&recorded.result, &recorded.held) => (key, Sound::Incomplete),
                Standing::Sound(_) | Standing::Other => (key, Sound::Whole),
            }))
        };
        let listed = self.records()?;
        for (key, sound) in listed.par_iter().filter_map(|one| check(one).transpose()).collect::<Result<Vec<_>, _>>()? {
            health.records += 1;
            match sound {
                Sound::Damaged => health.damaged_results.push(key),
                Sound::Incomplete => health.incomplete.push(key),
                Sound::Whole => {}
            }
        }
        health.damaged.sort();
        health.damaged_results.sort();
        health.incomplete.sort();
        Ok(health)
    }

    fn verify_blobs<A: Algorithm>(&self, health: &mut Health) -> Result<(), StoreError> {
        let check = |(_, hex): &(AbsPath, String)| -> Result<Option<String>, StoreError> {
            let Ok(digest) = Digest::<A>::from_hex(hex) else { return Ok(None) };
            let mut reader = match self.open_blob(digest) {
                Err(StoreError::Missing(_)) => return Ok(None),
                other => other?,
            };
            match io::copy(&mut reader, &mut io::sink()) {
                Ok(_) => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(digest.to_string())),
                Err(cause) => Err(FileError { act: "read", path: self.blob_path(digest).as_path().to_owned(), cause }.into()),
            }
        };
        let listed = self.listed(&self.layout().base().join("blobs").join(A::NAME))?;
        let found = listed.par_iter().map(check).collect::<Result<Vec<_>, _>>()?;
        health.blobs += listed.len() as u64;
        health.damaged.extend(found.into_iter().flatten());
        Ok(())
    }

    /// The files in the folder of records, each with its 64 digits.
    pub(super) fn records(&self) -> Result<Vec<(AbsPath, String)>, StoreError> {
        let folder = self.layout().actions();
        let names = file::optional(file::names(&folder))?.unwrap_or_default();
        Ok(names.iter().map(|name| (folder.join(OsStr::from_bytes(name)), String::from_utf8_lossy(name).into_owned())).collect())
    }

    /// The files in the folders `00` to `ff` below `folder`, each with its 64 digits.
    pub(super) fn listed(&self, folder: &AbsPath) -> Result<Vec<(AbsPath, String)>, StoreError> {
        let mut found = Vec::new();
        for shard in file::optional(file::names(folder))?.unwrap_or_default() {
            let place = folder.join(OsStr::from_bytes(&shard));
            for name in file::optional(file::names(&place))?.unwrap_or_default() {
                let hex = String::from_utf8_lossy(&[&shard[..], &name[..]].concat()).into_owned();
                found.push((place.join(OsStr::from_bytes(&name)), hex));
            }
        }
        Ok(found)
    }
}

/// What the kernel says of files of the store. Another process may take one away meanwhile.
fn looked(listed: Vec<(AbsPath, String)>) -> Result<Vec<Metadata>, StoreError> {
    listed.into_par_iter().filter_map(|(path, _)| file::optional(file::status(&path)).map_err(StoreError::from).transpose()).collect()
}

/// What a check says of a record.
enum Sound {
    Whole,
    Incomplete,
    Damaged,
}
