//! Writing and reading single blobs.
//! In: bytes, piece by piece. Out: a blob under its digest, or the bytes of one. Never: an end of a stream without an error
//! when the bytes were wrong.

use std::fs::File;
use std::io::{self, Read, Write};

use crate::base::digest::{Algorithm, Digest, Hasher};
use crate::base::path::AbsPath;
use crate::sys::file::{self, FileError, at};
use crate::sys::stat::Stat;

use super::layout::Layout;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk, the quota or the permissions.
    #[error("{0}")]
    File(#[from] FileError),
    /// The store's folder could be changed or read by others.
    #[error("`{path}` cannot hold the store: {why}")]
    Unsafe {
        /// The folder, made visible.
        path: String,
        /// Why, and what to do.
        why: String,
    },
    /// A blob that should be there is not, or was set aside because its bytes were wrong.
    #[error("the store has no blob {0}")]
    Missing(String),
    /// A blob is larger than the caller accepts.
    #[error("blob {digest} is larger than {limit} bytes")]
    TooLarge {
        /// Which.
        digest: String,
        /// The caller's limit.
        limit: u64,
    },
    /// The bytes that were written are not those that were announced.
    #[error("expected {expected}, but the bytes are {found}")]
    Mismatch {
        /// What was announced.
        expected: String,
        /// What came.
        found: String,
    },
}

impl StoreError {
    /// Whether the disk or the quota is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::File(error) if error.is_full())
    }
    /// Whether the store may not be written to.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::File(error) if error.is_read_only())
    }
    /// Whether a blob is not there, so that it must be made again.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// Takes a blob in piece by piece; nothing is visible before [`BlobWriter::commit`].
pub struct BlobWriter<A: Algorithm> {
    pub(super) file: tempfile::NamedTempFile,
    pub(super) hasher: Hasher<A>,
    pub(super) size: u64,
    pub(super) layout: Layout,
}

impl<A: Algorithm> Write for BlobWriter<A> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.as_file_mut().write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

impl<A: Algorithm> BlobWriter<A> {
    /// Bytes so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Makes the blob visible under its digest; gives digest and size.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn commit(self) -> Result<(Digest<A>, u64), StoreError> {
        let Self { file, hasher, size, layout } = self;
        let digest = hasher.finish();
        layout.settle(file, &layout.blob(digest))?;
        Ok((digest, size))
    }

    /// Takes in all of an open file that lies at `place`; where the file system can, blob and file share the bytes until
    /// one of them is written to.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn copy_from(&mut self, from: &mut File, place: &AbsPath) -> Result<(), StoreError> {
        let copied = if self.size == 0 && file::share(from, self.file.as_file()) {
            let Self { file, hasher, .. } = self;
            copy(file, |piece| {
                hasher.update(piece);
                Ok(())
            })
        } else {
            let temporary = self.file.path().to_owned();
            copy(from, |piece| {
                self.hasher.update(piece);
                at("write", &temporary, self.file.as_file_mut().write_all(piece))
            })
        };
        match copied {
            Ok(size) => self.size += size,
            Err(CopyError::Read(cause)) => return Err(FileError { act: "read", path: place.as_path().to_owned(), cause }.into()),
            Err(CopyError::Write(error)) => return Err(error.into()),
        }
        Ok(())
    }

    /// As [`BlobWriter::commit`], but refuses bytes that are not those expected.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`], [`StoreError::File`].
    pub fn commit_as(self, expected: Digest<A>) -> Result<u64, StoreError> {
        let Self { file, hasher, size, layout } = self;
        let found = hasher.finish();
        if found != expected {
            return Err(StoreError::Mismatch { expected: expected.to_string(), found: found.to_string() });
        }
        layout.settle(file, &layout.blob(found))?;
        Ok(size)
    }
}

/// Reads a blob and checks it on the way: the end of the stream is an error when the bytes were wrong.
pub struct BlobReader<A: Algorithm> {
    pub(super) file: File,
    pub(super) hasher: Option<Hasher<A>>,
    pub(super) expected: Digest<A>,
    pub(super) path: AbsPath,
    pub(super) stat: Stat,
    pub(super) damaged: bool,
    pub(super) layout: Layout,
}

impl<A: Algorithm> Read for BlobReader<A> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.damaged {
            return Err(self.damage());
        }
        let count = self.file.read(buffer)?;
        if count > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..count]);
            }
            return Ok(count);
        }
        if !buffer.is_empty()
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.expected
        {
            // The blob is set aside, so that the next run makes it again; the reader's caller fails.
            self.damaged = true;
            self.layout.set_aside(&self.path, &self.stat);
            return Err(self.damage());
        }
        Ok(0)
    }
}

impl<A: Algorithm> BlobReader<A> {
    fn damage(&self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("blob {} is damaged and was set aside", self.expected))
    }

    /// Writes the whole blob to `to`, an empty file that lies at `place`; where the file system can, both share the bytes.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the bytes are wrong: then those in `to` are, too. [`StoreError::File`].
    pub fn copy_to(mut self, to: &mut File, place: &AbsPath) -> Result<u64, StoreError> {
        let (expected, path) = (self.expected, self.path.clone());
        // What is shared are the very bytes that are checked here: a blob is never written to again.
        let shared = file::share(&self.file, to);
        let copied = copy(&mut self, |piece| if shared { Ok(()) } else { at("write", place, to.write_all(piece)) });
        match copied {
            Ok(size) => Ok(size),
            Err(CopyError::Read(error)) if error.kind() == io::ErrorKind::InvalidData => Err(StoreError::Missing(expected.to_string())),
            Err(CopyError::Read(cause)) => Err(FileError { act: "read", path: path.as_path().to_owned(), cause }.into()),
            Err(CopyError::Write(error)) => Err(error.into()),
        }
    }
}

enum CopyError {
    Read(io::Error),
    Write(FileError),
}

/// Hands all that `from` gives to `write`, piece by piece; gives the number of bytes.
fn copy(from: &mut impl Read, mut write: impl FnMut(&[u8]) -> Result<(), FileError>) -> Result<u64, CopyError> {
    // Most files are small: clearing a large buffer for each would take longer than the rest.
    let mut piece = vec![0; 8 << 10];
    let mut size = 0;
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(size),
            Ok(count) => {
                write(&piece[..count]).map_err(CopyError::Write)?;
                size += count as u64;
                if count == piece.len() {
                    piece.resize(256 << 10, 0);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CopyError::Read(error)),
        }
    }
}
