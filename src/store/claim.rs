//! Claims: while one kiln carries out an action, the others that want the same wait, and then find its result.
//! In: an action key. Out: the right to do the work. Never: a claim that outlives its process, or a failure: where the disk
//! gives no locks, two may do the same work, which is slower and as right.

use std::os::fd::{AsFd as _, BorrowedFd};

use crate::base::digest::ActionKey;
use crate::sys::lock::{Lock, Place};

use crate::sys::file;

use super::local::Store;

/// The right to carry out one action; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    place: Option<Place>,
}

impl Claim {
    /// The locked file. The claim stands as long as any process has it open: one that is handed it keeps others from the same work
    /// when this one is killed.
    #[must_use]
    pub fn lock(&self) -> Option<BorrowedFd<'_>> {
        self.place.as_ref().map(Place::as_fd)
    }
}

/// Says that somebody lives, to whoever finds something of his; given back when dropped.
#[derive(Debug)]
pub struct Life {
    _lock: Option<Lock>,
}

impl Store {
    /// Waits until nobody else carries out this action. Look for its result again before doing the work.
    /// Claims exclude each other between processes and between the threads of one.
    #[must_use]
    pub fn claim(&self, key: ActionKey) -> Claim {
        Claim { place: Place::wait(self.layout().claims(), place(key)).ok() }
    }

    /// As [`Store::claim`], without waiting; `None` while somebody else holds the claim.
    #[must_use]
    pub fn try_claim(&self, key: ActionKey) -> Option<Claim> {
        match Place::try_take(self.layout().claims(), place(key)) {
            Ok(None) => None,
            Ok(place) => Some(Claim { place }),
            Err(_) => Some(Claim { place: None }),
        }
    }

    /// Leaves a sign of life under `key`.
    #[must_use]
    pub fn live(&self, key: ActionKey) -> Life {
        Life { _lock: Lock::wait(self.layout().lock(key)).ok() }
    }

    /// Takes over the sign of somebody who was killed: the file of a sign that was given back is gone, and that of a living one is
    /// locked. `None` for both, and for a sign that this store never saw.
    #[must_use]
    pub fn take_abandoned(&self, key: ActionKey) -> Option<Life> {
        let path = self.layout().lock(key);
        file::status(&path).ok()?;
        Some(Life { _lock: Some(Lock::try_take(path).ok()??) })
    }
}

/// The place of a key among the claims: keys are digests, so two that share one are not met in practice, and would only wait.
fn place(key: ActionKey) -> u64 {
    key.0.as_bytes().first_chunk().copied().map_or(0, u64::from_be_bytes)
}
