//! The store's health: how much it holds, and whether all of it is sound.
//! In: a store. Out: counts, and the names of what is damaged. Never: a judgement without reading every byte.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use rayon::prelude::*;

use crate::base::digest::{ActionKey, Algorithm, Blake3, Digest, Sha256};
use crate::base::path::AbsPath;
use crate::sys::file::{self, FileError};
use crate::sys::stat::Stat;

use super::blob::StoreError;
use super::local::Store;
use super::record;

/// How much a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blobs of every algorithm.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Recorded results.
    pub records: u64,
    /// Files that were found damaged and set aside within the last week.
    pub damaged: u64,
}

/// What a full check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Blobs that were read.
    pub blobs: u64,
    /// Records that were read.
    pub records: u64,
    /// Blobs and records whose bytes were wrong, sorted. They are set aside now.
    pub damaged: Vec<String>,
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
        let mut stats = Stats::default();
        for name in [Blake3::NAME, Sha256::NAME] {
            for (path, _) in self.listed(&base.join("blobs").join(name))? {
                // Another process may take a blob away meanwhile.
                if let Some(metadata) = file::optional(file::status(&path))? {
                    stats.blobs += 1;
                    stats.bytes += metadata.len();
                }
            }
        }
        stats.records = self.listed(&base.join("actions"))?.len() as u64;
        stats.damaged = file::names(base.join("damaged"))?.len() as u64;
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
        for (path, hex) in self.listed(&self.layout().base().join("actions"))? {
            let Ok(key) = Digest::<Blake3>::from_hex(&hex).map(ActionKey) else { continue };
            let Some(before) = file::optional(file::status(&path))? else { continue };
            let Some(sound) = file::optional(record::sound(&path, key))? else { continue };
            health.records += 1;
            match sound {
                None => {
                    self.layout().set_aside(&path, &Stat::of(&before));
                    health.damaged.push(format!("the result of {key}"));
                }
                Some(result) if !self.holds(&result) => health.incomplete.push(key),
                Some(_) => {}
            }
        }
        health.damaged.sort();
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

    /// The files in the folders `00` to `ff` below `folder`, each with its 64 digits.
    fn listed(&self, folder: &AbsPath) -> Result<Vec<(AbsPath, String)>, StoreError> {
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
