//! One folder of a tree, open: each name in it costs one call.
//! In: names, and paths below it. Out: what stands there. Never: a link followed, a change.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, OFlags, RawDir};
use rustix::io::Errno;

use crate::base::path::RelPath;

use super::stat::{self, Kind, Stat};
use super::tree::{Links, resolve};

/// A folder of a tree.
#[derive(Debug)]
pub struct Folder(pub(super) OwnedFd);

impl Folder {
    /// What stands under a name: `Some(None)` when nothing does, `None` when that cannot be told.
    #[must_use]
    pub fn look(&self, name: &CStr) -> Option<Option<Stat>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(raw) => Some(Some(stat::of_raw(&raw).1)),
            Err(Errno::NOENT | Errno::NOTDIR) => Some(None),
            Err(_) => None,
        }
    }

    /// What stands under a name.
    ///
    /// # Errors
    /// The kernel's.
    pub fn status(&self, name: &CStr) -> io::Result<(Kind, Stat)> {
        Ok(stat::of_raw(&rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// What the kernel says of the folder itself.
    ///
    /// # Errors
    /// The kernel's.
    pub fn own_status(&self) -> io::Result<Stat> {
        Ok(stat::of_raw(&rustix::fs::fstat(&self.0)?).1)
    }

    /// Opens the folder at `path` below this one to list it; no link may stand on the way.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(&self, path: &RelPath) -> io::Result<Self> {
        resolve(&self.0, path, OFlags::RDONLY | OFlags::DIRECTORY, Links::Refused).map(Self)
    }

    /// Hands each name in a folder that was opened to list it to `take`, with what stands there as far as the folder itself says.
    ///
    /// # Errors
    /// The kernel's.
    pub fn names(&self, mut take: impl FnMut(&CStr, FileType)) -> io::Result<()> {
        let mut room = [MaybeUninit::uninit(); 16 << 10];
        let mut entries = RawDir::new(&self.0, &mut room);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                take(name, entry.file_type());
            }
        }
        Ok(())
    }
}
