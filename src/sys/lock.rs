//! Locks between processes: a file that one holder at a time has locked. The kernel drops the lock with the process,
//! however that ends, so no lock outlives its holder.
//! In: a path. Out: a lock that is given back when dropped. Never: a lock that is told by the existence of a file.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::file::{FileError, at};

/// A lock that this process holds. Its file is removed when the lock is given back.
#[derive(Debug)]
pub struct Lock {
    /// Locked while open, here or in a process that it was handed to.
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits until no other holder is left. Two locks of one path exclude each other also within a process.
    ///
    /// # Errors
    /// [`FileError`] when the file cannot be made, or the file system has no locks.
    pub fn wait(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        loop {
            let file = open(path)?;
            match file.lock() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return at("lock", path, Err(error)),
            }
            if is_current(&file, path) {
                return Ok(Self { file, path: path.to_owned() });
            }
        }
    }

    /// Takes the lock if nobody holds it; `None` when somebody does.
    ///
    /// # Errors
    /// As [`Lock::wait`].
    pub fn try_take(path: impl AsRef<Path>) -> Result<Option<Self>, FileError> {
        let path = path.as_ref();
        loop {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(TryLockError::Error(error)) => return at("lock", path, Err(error)),
            }
            if is_current(&file, path) {
                return Ok(Some(Self { file, path: path.to_owned() }));
            }
        }
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Lock {
    /// Removes the file first and unlocks it by closing: who waited on it sees that the name is gone and makes a new file.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A lock on one place in a file that stays. Files cost more than locks: where one is taken for each of thousands of steps, making and
/// removing a file for it would take longer than all else that is done for the step.
#[derive(Debug)]
pub struct Place {
    /// Locked while open, here or in a process that it was handed to.
    file: File,
}

impl Place {
    /// Waits until no other holder of this `place` is left. Two locks of one place exclude each other also within a process.
    ///
    /// # Errors
    /// [`FileError`] when the file cannot be made, or the file system has no such locks.
    pub fn wait(path: impl AsRef<Path>, place: u64) -> Result<Self, FileError> {
        let path = path.as_ref();
        let file = open(path)?;
        loop {
            match fcntl(&file, FcntlArg::F_OFD_SETLKW(&range(place))) {
                Err(Errno::EINTR) => {}
                done => return at("lock", path, done.map_err(io::Error::from)).map(|_| Self { file }),
            }
        }
    }

    /// Takes the place if nobody holds it; `None` when somebody does.
    ///
    /// # Errors
    /// As [`Place::wait`].
    pub fn try_take(path: impl AsRef<Path>, place: u64) -> Result<Option<Self>, FileError> {
        let path = path.as_ref();
        let file = open(path)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&range(place))) {
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            done => at("lock", path, done.map_err(io::Error::from)).map(|_| Some(Self { file })),
        }
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// One byte, wherever it is: a lock needs no byte in the file.
fn range(place: u64) -> libc::flock {
    let start = i64::try_from(place >> 2).unwrap_or_default();
    // The kernel refuses a process here: such a lock belongs to the open file.
    libc::flock { l_type: libc::F_WRLCK as i16, l_whence: libc::SEEK_SET as i16, l_start: start, l_len: 1, l_pid: 0 }
}

/// Whether somebody holds the lock at `path` now. Takes nothing: who asks for the lock meanwhile gets it.
#[must_use]
pub fn is_held(path: impl AsRef<Path>) -> bool {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path.as_ref()) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn open(path: &Path) -> Result<File, FileError> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    at("lock", path, OpenOptions::new().read(true).write(true).create(true).mode(0o600).custom_flags(flags).open(path))
}

/// Whether the file that was locked still bears the name: the last holder removed it while this one waited, otherwise.
fn is_current(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn only_one_of_many_threads_holds_the_lock_and_no_file_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (inside, done) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = Lock::wait(&path).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 400);
        assert!(!path.exists());
    }

    #[test]
    fn places_of_one_file_are_held_apart_and_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("places");
        let (first, last) = (Place::try_take(&path, 0).unwrap(), Place::try_take(&path, u64::MAX).unwrap());
        assert!(first.is_some() && last.is_some());
        assert!(Place::try_take(&path, 0).unwrap().is_none());
        assert!(Place::try_take(&path, 4).unwrap().is_some());
        // Whoever was handed the file keeps the place.
        let handed = first.as_ref().unwrap().as_fd().try_clone_to_owned().unwrap();
        drop(first);
        assert!(Place::try_take(&path, 0).unwrap().is_none());
        let (inside, done) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let place = Place::wait(&path, 0).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                        drop(place);
                    }
                });
            }
            drop(handed);
        });
        assert_eq!(done.into_inner(), 400);
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn a_lock_that_is_held_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = Lock::try_take(&path).unwrap();
        assert!(held.is_some());
        assert!(Lock::try_take(&path).unwrap().is_none());
        assert!(is_held(&path));
        drop(held);
        assert!(!is_held(&path));
        fs::write(&path, "").unwrap();
        assert!(!is_held(&path), "a file alone is no lock");
        assert!(Lock::try_take(&path).unwrap().is_some());
    }

    #[test]
    fn a_file_that_a_killed_holder_left_does_not_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        fs::write(&path, "").unwrap();
        assert!(Lock::try_take(&path).unwrap().is_some());
        assert!(!path.exists());
    }
}
