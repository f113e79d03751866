//! Packs: results that one run records shortly after one another lie in one file, which has a name for each of them.
//! In: a result's bytes and its place. Out: a file at that place that holds them. Never: a name for bytes that are not all written, a
//! byte of a result that has its name already.
//!
//! A file of its own costs a new inode for each result, which is most of the time that a quick step spends in the store: ext4 looks for
//! a free one among all that were removed lately. A second name costs a line in a folder. Where there are no second names, each
//! result is a pack by itself.

use std::fs::{File, Metadata};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};

use crate::base::path::AbsPath;
use crate::sys::file::{self, FileError, at};

use super::layout::Layout;

/// The largest pack with more than one result, in bytes. Who wants one of them reads them all.
const ROOM: usize = 8 << 10;

/// Where a process puts its next result.
#[derive(Debug, Default)]
pub(super) struct Packs(Mutex<Option<Pack>>);

#[derive(Debug)]
struct Pack {
    file: File,
    size: usize,
}

impl Packs {
    /// Gives `bytes` the name `place`, in place of what stands there.
    pub(super) fn add(&self, layout: &Layout, place: &AbsPath, bytes: &[u8]) -> Result<(), FileError> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A pack in which something went wrong, or whose names are all gone, gets no other result; nor does one when a name is taken.
        if let Some(mut pack) = open.take().filter(|pack| pack.size + bytes.len() <= ROOM)
            && pack.file.write_all(bytes).is_ok()
            && file::name(&pack.file, place).is_ok()
        {
            pack.size += bytes.len();
            *open = Some(pack);
            return Ok(());
        }
        let mut temporary = layout.temporary()?;
        at("write", place, temporary.as_file_mut().write_all(bytes))?;
        let file = layout.settle(temporary, place)?;
        *open = Some(Pack { file, size: bytes.len() });
        Ok(())
    }
}

/// What one of the results in a file takes of its bytes.
pub(super) fn share(status: &Metadata) -> u64 {
    status.len().div_ceil(status.nlink().max(1))
}
