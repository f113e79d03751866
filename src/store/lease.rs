//! Leases: what a running kiln has found in the store stays there until it ends, however it ends.
//! In: a store. Out: a file that is locked while the process lives, and times on what it uses. Never: a wait for a
//! collector, a lease that outlives its process, a time written more than once an hour for one file.
//!
//! A result or a blob that is found is *held*: its time is set to now, unless that was done within the last hour. Whoever
//! collects takes the lock `collecting` first, looks at the leases then, and leaves alone all that was used within the hour
//! before the oldest running kiln began. A kiln that begins while somebody collects sees that lock, and sets the time of
//! everything it finds. What is taken away is renamed first and looked at again: a time that was set in between puts it back;
//! and a time that cannot be set because the file is gone is a miss. So neither side waits, and neither can be late.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;

use crate::base::path::AbsPath;
use crate::sys::lock::{self, Lock};
use crate::sys::stat::Stat;
use crate::sys::{clock, file, random};

use super::local::Store;

/// A use is written down when the last one is older than this, in nanoseconds.
pub(super) const HELD_NANOS: i128 = 3_600 * 1_000_000_000;

/// Says that a kiln runs. Given back when the last clone of its store is dropped.
#[derive(Debug)]
pub struct Lease {
    /// `None` where the store cannot be written to: then nobody collects it either.
    lock: Option<Lock>,
    /// Its file's name.
    name: String,
    /// Whether somebody collected when the lease began.
    collected: bool,
}

impl Lease {
    /// Whether others can see it.
    pub(super) fn is_held(&self) -> bool {
        self.lock.is_some()
    }
}

impl Store {
    /// Keeps what this process finds from now on, until it ends. A store that cannot be written to is left as it is.
    pub fn keep_what_is_found(&self) {
        let mut fresh = false;
        self.lease.get_or_init(|| {
            fresh = true;
            let name = format!("{}-{:08x}", clock::now().0, random::bits() as u32);
            let lock = Lock::try_take(self.layout().leases().join(&name)).ok().flatten();
            // In this order: who collects does so the other way round.
            Lease { lock, name, collected: lock::is_held(self.layout().collecting()) }
        });
        if fresh {
            self.clear_scratch();
        }
    }

    /// Notes that the file at `place`, which was found with `status`, is used. `false` when it has just been taken away.
    pub(super) fn hold(&self, place: &AbsPath, status: &Metadata) -> bool {
        let always = self.lease.get().is_some_and(|lease| lease.collected);
        let now = i128::from(clock::now().0) * 1_000_000;
        if !always && Stat::of(status).modified > now - HELD_NANOS {
            return true;
        }
        // Where times cannot be written nothing can be removed.
        !file::touch(place).is_err_and(|error| error.is_missing())
    }

    /// When the oldest kiln that runs now began, by the clock of the store's file system, in nanoseconds.
    pub(super) fn oldest_lease(&self) -> Option<i128> {
        self.leases().iter().filter_map(|path| Some(Stat::of(&file::status(path).ok()?).modified)).min()
    }

    /// How many kilns run on this store now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.leases().len()
    }

    /// The leases of others, each with whether it is held.
    pub(super) fn other_leases(&self) -> Vec<(Vec<u8>, bool)> {
        let folder = self.layout().leases();
        let own = self.lease.get().map(|lease| lease.name.as_bytes());
        let names = file::names(&folder).unwrap_or_default().into_iter().filter(|name| Some(name.as_slice()) != own);
        names.map(|name| (lock::is_held(folder.join(OsStr::from_bytes(&name))), name)).map(|(held, name)| (name, held)).collect()
    }

    /// The leases that are held.
    fn leases(&self) -> Vec<AbsPath> {
        let folder = self.layout().leases();
        let names = file::names(&folder).unwrap_or_default();
        names.iter().map(|name| folder.join(OsStr::from_bytes(name))).filter(|path| lock::is_held(path)).collect()
    }
}
