//! What the doctor looks at: everything about a store that can keep it from doing its work.
//! In: a store. Out: facts. Never: a repair, a word about what follows from a fact.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use crate::base::path::AbsPath;
use crate::sys::clock;
use crate::sys::disk::{self, Disk};
use crate::sys::file::{self, FileError, at};
use crate::sys::lock::{self, Lock};
use crate::sys::stat::Stat;

use super::layout::VERSION;
use super::local::Store;
use super::stat_file;

/// What is older than this among the temporary files was left by a killed kiln, in nanoseconds.
const LEFT: i128 = 3_600 * 1_000_000_000;

/// The facts about one store.
#[derive(Debug)]
pub struct Facts {
    /// The bits of the store's own folder.
    pub mode: u32,
    /// The file system.
    pub disk: Result<Disk, FileError>,
    /// Whether a file could be written, brought to the disk, and read back.
    pub writable: Result<(), FileError>,
    /// Whether a lock keeps a second one out; unknown where nothing can be written.
    pub locks: Option<bool>,
    /// Whether files can share their bytes, so that a restore copies nothing.
    pub shares: bool,
    /// How far the file system's clock is ahead of this machine's, in milliseconds.
    pub ahead_ms: Option<i64>,
    /// Kilns that run.
    pub running: usize,
    /// Steps that some kiln carries out now.
    pub claims: usize,
    /// Whether somebody collects.
    pub collecting: bool,
    /// Temporary files that nobody writes any more, and their bytes.
    pub left: (usize, u64),
    /// Damaged files that were set aside.
    pub damaged: usize,
    /// Stores of other versions beside this one.
    pub other_versions: Vec<String>,
}

impl Store {
    /// Looks at everything. Writes one file of a few bytes, and removes it.
    #[must_use]
    pub fn examine(&self) -> Facts {
        let base = self.layout().base();
        let now = i128::from(clock::now().0) * 1_000_000;
        let mut facts = Facts {
            mode: file::status(base).map_or(0, |status| status.mode() & 0o7777),
            disk: disk::of(base),
            writable: Ok(()),
            locks: self.locks_exclude(),
            shares: false,
            ahead_ms: None,
            running: self.running(),
            claims: held(&base.join("locks")),
            collecting: lock::is_held(self.layout().collecting()),
            left: (0, 0),
            damaged: file::names(base.join("damaged")).unwrap_or_default().len(),
            other_versions: Vec::new(),
        };
        facts.writable = self.probe(&mut facts, now);
        for name in file::names(self.scratch()).unwrap_or_default() {
            let Ok(status) = file::status(self.scratch().join(OsStr::from_bytes(&name))) else { continue };
            if Stat::of(&status).changed < now - LEFT {
                facts.left = (facts.left.0 + 1, facts.left.1 + status.len());
            }
        }
        let beside = file::names(self.root()).unwrap_or_default().into_iter().filter_map(|name| String::from_utf8(name).ok());
        facts.other_versions = beside.filter(|name| is_version(name) && name != VERSION).collect();
        facts
    }

    fn probe(&self, facts: &mut Facts, now: i128) -> Result<(), FileError> {
        let mut first = self.layout().temporary()?;
        let place = first.path().to_owned();
        at("write", &place, first.write_all(b"kiln").and_then(|()| first.as_file().sync_data()))?;
        let written = Stat::of(&file::status(&place)?).modified;
        facts.ahead_ms = i64::try_from((written - now) / 1_000_000).ok();
        let second = self.layout().temporary()?;
        facts.shares = file::share(first.as_file(), second.as_file());
        if file::read(&place, 16)? == b"kiln" { Ok(()) } else { at("read", &place, Err(std::io::Error::other("other bytes came back"))) }
    }

    fn locks_exclude(&self) -> Option<bool> {
        let path = self.scratch().join("lock-probe");
        file::append(&path).ok()?;
        let Ok(Some(_held)) = Lock::try_take(&path) else { return Some(lock::is_held(&path)) };
        Some(lock::is_held(&path))
    }
}

/// Whether the stat cache at `place` can be read; `None` when there is none.
#[must_use]
pub fn stat_cache_is_sound(place: &AbsPath) -> Option<bool> {
    file::status(place).ok()?;
    Some(file::read(place, stat_file::LIMIT).is_ok_and(|bytes| stat_file::table(bytes).is_some()))
}

fn held(folder: &AbsPath) -> usize {
    let names = file::names(folder).unwrap_or_default();
    names.iter().filter(|name| lock::is_held(folder.join(OsStr::from_bytes(name)))).count()
}

/// `v1`, `v12`.
fn is_version(name: &str) -> bool {
    name.strip_prefix('v').is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
