//! Claims: while one kiln carries out an action, the others that want the same wait, and then find its result.
//! In: an action key. Out: the right to do the work. Never: a claim that outlives its process, or a failure: where the disk
//! gives no locks, two may do the same work, which is slower and as right.

use std::os::fd::{AsFd as _, BorrowedFd};

use crate::base::digest::ActionKey;
use crate::sys::lock::Lock;

use crate::sys::file;

use super::local::Store;

/// The right to carry out one action; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    lock: Option<Lock>,
}

impl Claim {
    /// The locked file. The claim stands as long as any process has it open: one that is handed it keeps others from the same work
    /// when this one is killed.
    #[must_use]
    pub fn lock(&self) -> Option<BorrowedFd<'_>> {
        self.lock.as_ref().map(Lock::as_fd)
    }
}

impl Store {
    /// Waits until nobody else carries out this action. Look for its result again before doing the work.
    /// Claims exclude each other between processes and between the threads of one.
    #[must_use]
    pub fn claim(&self, key: ActionKey) -> Claim {
        Claim { lock: Lock::wait(self.layout().lock(key)).ok() }
    }

    /// As [`Store::claim`], without waiting; `None` while somebody else holds the claim.
    #[must_use]
    pub fn try_claim(&self, key: ActionKey) -> Option<Claim> {
        match Lock::try_take(self.layout().lock(key)) {
            Ok(None) => None,
            Ok(lock) => Some(Claim { lock }),
            Err(_) => Some(Claim { lock: None }),
        }
    }

    /// Takes over a claim whose holder was killed: the file of a claim that was given back is gone, and that of a held one is
    /// locked. `None` for both, and for a claim that this store never saw.
    #[must_use]
    pub fn take_abandoned(&self, key: ActionKey) -> Option<Claim> {
        let path = self.layout().lock(key);
        file::status(&path).ok()?;
        Some(Claim { lock: Some(Lock::try_take(path).ok()??) })
    }
}
