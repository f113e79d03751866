//! One writer at a time in a folder that others see, without leaving a file behind.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::File;
use std::io;
use std::path::Path;

use super::file::{FileError, at};

/// Holds a folder against other holders, also in other processes, until it is dropped.
#[derive(Debug)]
pub struct FolderLock(#[allow(dead_code, reason = "closing it is what unlocks")] File);

/// Waits until nobody else holds `folder`. On file systems without locks, nobody is kept out.
///
/// # Errors
/// [`FileError`] when the folder cannot be opened.
pub fn lock(folder: impl AsRef<Path>) -> Result<FolderLock, FileError> {
    let folder = folder.as_ref();
    let file = at("lock", folder, File::open(folder))?;
    match file.lock() {
        Err(error) if error.kind() != io::ErrorKind::Unsupported => at("lock", folder, Err(error)),
        _ => Ok(FolderLock(file)),
    }
}
