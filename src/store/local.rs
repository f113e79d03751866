//! The store on this machine's disk.
//! In: bytes. Out: the same bytes, verified while they are read. Never: a blob that is seen before it is whole.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::base::digest::{Algorithm, Digest, Hasher};
use crate::base::path::AbsPath;
use crate::sys::file::{self, FileError, at};
use crate::sys::stat::Stat;

use super::blob::{BlobReader, BlobWriter, StoreError};
use super::layout::Layout;
use super::lease::Lease;
use super::left::Beside;
use super::pack::Packs;

/// A store below one directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    root: AbsPath,
    layout: Layout,
    /// The folders outside that were cleared of what killed kilns left there.
    pub(super) cleared: Arc<Mutex<HashSet<AbsPath>>>,
    /// Who else was there when the first of them was.
    pub(super) beside: Arc<OnceLock<Beside>>,
    /// Says to who collects that this process runs.
    pub(super) lease: Arc<OnceLock<Lease>>,
    /// Where its results go.
    pub(super) packs: Arc<Packs>,
}

impl Store {
    /// Opens the store below `root`, and makes it where there is none. A store that cannot be written to opens all the
    /// same when it was made before: its results can be used, and writing gives errors that say so.
    ///
    /// # Errors
    /// [`StoreError::Unsafe`] when the directory is a link or another user's; [`StoreError::File`].
    pub fn open(root: AbsPath) -> Result<Self, StoreError> {
        let (root, layout) = Layout::open(&root)?;
        Ok(Self { root, layout, cleared: Arc::default(), beside: Arc::default(), lease: Arc::default(), packs: Arc::default() })
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &AbsPath {
        &self.root
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where a blob lies, whether or not it is there. For handing large blobs to other programs; the file is read-only
    /// and must stay as it is.
    #[must_use]
    pub fn blob_path<A: Algorithm>(&self, digest: Digest<A>) -> AbsPath {
        self.layout.blob(digest)
    }

    /// The size of a blob, when it is there. Looks, but does not read. A blob that was found stays for as long as this
    /// process has a lease.
    #[must_use]
    pub fn size_of<A: Algorithm>(&self, digest: Digest<A>) -> Option<u64> {
        let place = self.blob_path(digest);
        let status = file::status(&place).ok().filter(std::fs::Metadata::is_file)?;
        let size = status.len();
        // A file that a power cut emptied is no blob.
        ((size > 0 || digest == Digest::of(b"")) && self.hold(&place, &status)).then_some(size)
    }

    /// A folder for files that become blobs soon; what dead processes left there is removed with time.
    #[must_use]
    pub fn scratch(&self) -> AbsPath {
        self.layout.scratch()
    }

    /// Starts a blob whose digest is not known yet.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn writer<A: Algorithm>(&self) -> Result<BlobWriter<A>, StoreError> {
        Ok(BlobWriter { file: self.layout.temporary()?, hasher: Hasher::new(), size: 0, layout: self.layout.clone() })
    }

    /// Stores `bytes`.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn put<A: Algorithm>(&self, bytes: &[u8]) -> Result<Digest<A>, StoreError> {
        let digest = Digest::of(bytes);
        if self.size_of(digest) == Some(bytes.len() as u64) {
            return Ok(digest);
        }
        let mut writer = self.writer::<A>()?;
        at("write", self.blob_path(digest), writer.write_all(bytes))?;
        writer.commit()?;
        Ok(digest)
    }

    /// Opens a blob for a verified read. The bytes are proven only by the end of the stream: read up to it, even when the
    /// size is known, before anything is made of them.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::File`].
    pub fn open_blob<A: Algorithm>(&self, digest: Digest<A>) -> Result<BlobReader<A>, StoreError> {
        let path = self.blob_path(digest);
        let Some(file) = file::optional(file::open(&path))? else { return Err(StoreError::Missing(digest.to_string())) };
        let stat = Stat::of(&at("look at", &path, file.metadata())?);
        Ok(BlobReader { file, hasher: Some(Hasher::new()), expected: digest, path, stat, damaged: false, layout: self.layout.clone() })
    }

    /// Reads a whole blob of at most `limit` bytes, verified.
    ///
    /// # Errors
    /// [`StoreError::Missing`] also when the bytes were wrong; [`StoreError::TooLarge`], [`StoreError::File`].
    pub fn read<A: Algorithm>(&self, digest: Digest<A>, limit: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        let reader = self.open_blob(digest)?;
        match reader.take(limit.saturating_add(1)).read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 > limit => Err(StoreError::TooLarge { digest: digest.to_string(), limit }),
            Ok(_) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(StoreError::Missing(digest.to_string())),
            Err(cause) => Err(FileError { act: "read", path: self.blob_path(digest).as_path().to_owned(), cause }.into()),
        }
    }

    /// Whether `folder` is asked about for the first time.
    pub(super) fn is_new(&self, folder: AbsPath) -> bool {
        self.cleared.lock().unwrap_or_else(PoisonError::into_inner).insert(folder)
    }
}
