//! Layers: sorted entries and their contents become one compressed blob in the store.
//! In: entries and a way to their bytes. Out: the layer's descriptor and its diff id, made in one pass.
//! Never: holds a file in memory, stores a layer when a file was not what its digest said.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::base::digest::{Blake3, BlobDigest, DiffId, Hasher, Sha256};
use crate::oci::descriptor::Descriptor;
use crate::oci::media_type;
use crate::plan::image::Compression;
use crate::store::blob::StoreError;
use crate::store::local::Store;

use super::compress;
use super::tar::{self, Header, Kind};
use super::tree::{Entry, SourceFile, SourceKind};

/// Opens the files that a layer is made of.
pub trait Contents {
    /// The bytes of a file, from the project or from the store; asked for regular files only.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open(&self, file: &SourceFile) -> io::Result<Box<dyn Read + '_>>;
}

/// A layer in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// The compressed blob.
    pub descriptor: Descriptor,
    /// The digest before compression.
    pub diff_id: DiffId,
    /// Bytes before compression.
    pub tar_size: u64,
}

/// Why a layer was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file cannot be read.
    #[error("cannot read `{path}`: {cause}")]
    Read {
        /// Which, in the project.
        path: String,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// A file is not what it was when it was hashed.
    #[error("`{path}` changed while the layer was written; run it again when nothing else writes to it")]
    Changed {
        /// Which, in the project.
        path: String,
    },
    /// Entries out of order, or one path twice: a bug in kiln.
    #[error("the entries of a layer are not in order at `{path}`")]
    Order {
        /// Where, in the image.
        path: String,
    },
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The blob cannot be written.
    #[error("cannot write a layer to the store: {0}")]
    Io(#[from] io::Error),
}

/// Writes `entries`, which must be sorted by path without doubles, as one layer. `mtime` is in seconds.
///
/// # Errors
/// [`WriteError`]; nothing is stored then.
pub fn write_layer<'a>(
    store: &Store,
    entries: impl IntoIterator<Item = &'a Entry>,
    contents: &dyn Contents,
    mtime: i64,
    compression: Compression,
) -> Result<Layer, WriteError> {
    write_with(store, entries, contents, mtime, compression, compress::threads())
}

fn write_with<'a>(
    store: &Store,
    entries: impl IntoIterator<Item = &'a Entry>,
    contents: &dyn Contents,
    mtime: i64,
    compression: Compression,
    threads: usize,
) -> Result<Layer, WriteError> {
    let blob = store.writer::<Sha256>()?;
    let ((diff_id, tar_size), blob) = compress::pack(blob, compression, threads, |packed| {
        let mut archive = Archive { out: packed, diff: Hasher::new(), size: 0 };
        let mut before: Option<&[u8]> = None;
        let mut buffer = vec![0; 128 << 10];
        for entry in entries {
            if before.is_some_and(|before| before >= entry.path.as_slice()) {
                return Err(WriteError::Order { path: entry.shown() });
            }
            before = Some(&entry.path);
            append(&mut archive, entry, (store, contents), mtime, &mut buffer)?;
        }
        archive.write_all(&tar::END)?;
        Ok((DiffId(archive.diff.finish()), archive.size))
    })?;
    let (digest, size) = blob.commit()?;
    let media_type = match compression {
        Compression::Gzip => media_type::LAYER_GZIP,
        Compression::Zstd => media_type::LAYER_ZSTD,
    };
    Ok(Layer { descriptor: Descriptor::new(media_type, BlobDigest(digest), size), diff_id, tar_size })
}

/// Files of the project are read where they lie, those of other images from the store.
fn append(
    archive: &mut impl Write,
    entry: &Entry,
    (store, contents): (&Store, &dyn Contents),
    mtime: i64,
    buffer: &mut [u8],
) -> Result<(), WriteError> {
    let kind = match &entry.source.kind {
        SourceKind::File { size, .. } => Kind::File(*size),
        SourceKind::Link { target } => Kind::Link(target),
        SourceKind::Folder => Kind::Folder,
    };
    let header = Header { path: &entry.path, kind, mode: entry.mode, owner: entry.owner, mtime };
    archive.write_all(&header.blocks())?;
    if let SourceKind::File { digest, size, .. } = &entry.source.kind {
        let path = || entry.source.path.to_string();
        let mut reader: Box<dyn Read + '_> = match entry.source.own {
            Some(_) => Box::new(store.open_blob::<Blake3>(digest.0)?),
            None => contents.open(&entry.source).map_err(|cause| WriteError::Read { path: path(), cause })?,
        };
        let mut hasher = Hasher::<Blake3>::new();
        let mut left = *size;
        loop {
            let count = match reader.read(buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(WriteError::Read { path: path(), cause }),
            };
            left = left.checked_sub(count as u64).ok_or_else(|| WriteError::Changed { path: path() })?;
            hasher.update(&buffer[..count]);
            archive.write_all(&buffer[..count])?;
        }
        if left > 0 || hasher.finish() != digest.0 {
            return Err(WriteError::Changed { path: path() });
        }
        archive.write_all(&tar::END[..tar::padding(*size)])?;
    }
    Ok(())
}

/// Hashes and counts the archive on its way to the compressor.
struct Archive<W> {
    out: W,
    diff: Hasher<Sha256>,
    size: u64,
}

impl<W: Write> Write for Archive<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.diff.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::base::digest::{ContentDigest, Digest};
    use crate::base::path::{AbsPath, RelPath};
    use crate::store::layer_reader::{self, EntryKind, Limits};

    /// Files held in memory, given out in pieces of at most `piece` bytes.
    struct Held {
        files: Vec<(RelPath, Vec<u8>)>,
        piece: usize,
    }

    struct Pieces(Cursor<Vec<u8>>, usize);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(self.1);
            self.0.read(&mut buffer[..most])
        }
    }

    impl Contents for Held {
        fn open(&self, file: &SourceFile) -> io::Result<Box<dyn Read + '_>> {
            let (_, bytes) = self.files.iter().find(|(path, _)| *path == file.path).ok_or(io::ErrorKind::NotFound)?;
            Ok(Box::new(Pieces(Cursor::new(bytes.clone()), self.piece)))
        }
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Three of four bytes repeat, so that there is something to compress.
            if state >> 30 == 0 { (state >> 24) as u8 } else { b'a' }
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    fn file(path: &[u8], content: &[u8]) -> Entry {
        let kind = SourceKind::File { digest: ContentDigest(Digest::of(content)), size: content.len() as u64, executable: false };
        let source = SourceFile { path: RelPath::new(path).unwrap(), kind, own: None };
        Entry { path: path.to_vec(), source, mode: 0o644, owner: (0, 0) }
    }

    fn other(path: &[u8], kind: SourceKind, mode: u32, owner: (u32, u32)) -> Entry {
        Entry { path: path.to_vec(), source: SourceFile { path: RelPath::root(), kind, own: None }, mode, owner }
    }

    fn sample() -> (Vec<Entry>, Held) {
        let long = [b"d".repeat(120), b"/".to_vec(), b"n".repeat(120)].concat();
        let split = [b"p".repeat(90), b"/".to_vec(), b"s".repeat(60)].concat();
        let files: Vec<(Vec<u8>, Vec<u8>)> = vec![
            (b"app".to_vec(), noise(3_000_000)),
            (b"etc/empty".to_vec(), Vec::new()),
            (b"etc/line\nfeed".to_vec(), b"x".to_vec()),
            (b"etc/\xff\xfe".to_vec(), b"not utf-8".to_vec()),
            ("etc/ü".as_bytes().to_vec(), noise(511)),
            (long, noise(512)),
            (split, noise(513)),
        ];
        let mut entries: Vec<Entry> = files.iter().map(|(path, content)| file(path, content)).collect();
        entries.push(other(b"etc", SourceKind::Folder, 0o755, (0, 0)));
        entries.push(other(b"tmp", SourceKind::Folder, 0o1777, (0, 0)));
        entries.push(other(b"big", SourceKind::Folder, 0o700, (3_000_000, 4_000_000_000)));
        entries.push(other(b"link", SourceKind::Link { target: b"../app".to_vec() }, 0o777, (10, 20)));
        entries.push(other(b"far", SourceKind::Link { target: b"t".repeat(300) }, 0o777, (0, 0)));
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let files = files.into_iter().map(|(path, content)| (RelPath::new(path).unwrap(), content)).collect();
        (entries, Held { files, piece: usize::MAX })
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(AbsPath::new(folder.path()).unwrap()).unwrap();
        (folder, store)
    }

    #[test]
    fn a_layer_has_the_digests_that_it_had_when_this_was_written() {
        let (_folder, store) = store();
        let (entries, held) = sample();
        for (method, digest, size) in [
            (Compression::Gzip, "sha256:e07523b1b4f52606097fc5a6488b71f8471d003a3b1dbec3c29010b30e6baf0e", 1_142_134),
            (Compression::Zstd, "sha256:6d365f500d5ce40c16018b6a9127367595750bbbd6d6d09a637a5ef9927b44f9", 1_145_673),
        ] {
            let layer = write_layer(&store, &entries, &held, 0, method).unwrap();
            let found = (layer.diff_id.to_string(), layer.descriptor.digest.to_string(), layer.tar_size, layer.descriptor.size);
            let diff_id = "sha256:62a95636f35dd8e384752d2eb45757058991f65702404302c2306bab95c90ac9".to_owned();
            assert_eq!(found, (diff_id, digest.to_owned(), 3_015_680, size), "{method:?}");
        }
    }

    #[test]
    fn threads_and_read_sizes_do_not_change_a_byte() {
        let (_folder, store) = store();
        let (entries, mut held) = sample();
        for method in [Compression::Gzip, Compression::Zstd] {
            held.piece = usize::MAX;
            let expected = write_layer(&store, &entries, &held, 7, method).unwrap();
            for (threads, piece) in [(1, 1 << 20), (2, 777), (3, 65_536), (4, 4_096)] {
                held.piece = piece;
                let found = write_with(&store, &entries, &held, 7, method, threads).unwrap();
                assert_eq!(found, expected, "{method:?}, {threads} threads, {piece} bytes");
            }
        }
    }

    #[test]
    fn the_stream_is_what_another_reader_expects() {
        let (_folder, store) = store();
        let (entries, held) = sample();
        let unpacked = |method| {
            let layer = write_layer(&store, &entries, &held, 1_700_000_000, method).unwrap();
            let packed: Vec<u8> = store.read(layer.descriptor.digest.0, 1 << 30).unwrap();
            assert_eq!(packed.len() as u64, layer.descriptor.size);
            let mut plain = Vec::new();
            match method {
                Compression::Gzip => flate2::read::MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut plain).unwrap(),
                Compression::Zstd => zstd::stream::read::Decoder::new(packed.as_slice()).unwrap().read_to_end(&mut plain).unwrap(),
            };
            (layer, plain)
        };
        let (layer, plain) = unpacked(Compression::Gzip);
        let (other, same) = unpacked(Compression::Zstd);
        assert!(same == plain && other.diff_id == layer.diff_id && other.descriptor.media_type == media_type::LAYER_ZSTD);
        assert_eq!((Digest::of(&plain), plain.len() as u64), (layer.diff_id.0, layer.tar_size));
        let mut archive = ::tar::Archive::new(plain.as_slice());
        let mut seen = 0;
        for (member, entry) in archive.entries().unwrap().zip(&entries) {
            let mut member = member.unwrap();
            // That reader cannot take a line feed in a PAX record.
            if !entry.path.contains(&b'\n') {
                let path = member.path_bytes();
                assert_eq!(path.strip_suffix(b"/").unwrap_or(&path), entry.path);
            }
            let header = member.header();
            assert_eq!((header.mode().unwrap(), header.mtime().unwrap()), (entry.mode, 1_700_000_000));
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (entry.owner.0.into(), entry.owner.1.into()));
            if let SourceKind::Link { target } = &entry.source.kind {
                assert_eq!(member.link_name_bytes().unwrap().as_ref(), target);
            }
            if let Some((_, content)) = held.files.iter().find(|(path, _)| path.as_bytes() == entry.path) {
                let mut bytes = Vec::new();
                member.read_to_end(&mut bytes).unwrap();
                assert!(bytes == *content);
            }
            seen += 1;
        }
        assert_eq!(seen, entries.len());
    }

    #[test]
    fn a_file_that_changed_since_it_was_hashed_makes_no_layer() {
        let (_folder, store) = store();
        for now in [&b"shorter"[..], b"longer than it was", b"same length!"] {
            let entry = file(b"a", b"as it was...");
            let held = Held { files: vec![(RelPath::new("a").unwrap(), now.to_vec())], piece: 5 };
            let result = write_layer(&store, [&entry], &held, 0, Compression::Gzip);
            assert!(matches!(result, Err(WriteError::Changed { .. })), "{result:?}");
        }
        assert_eq!(crate::sys::file::names(store.scratch()).unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn one_path_twice_is_never_written() {
        let (_folder, store) = store();
        let (a, b) = (file(b"a", b""), file(b"b", b""));
        let files = [&a, &b].map(|entry| (entry.source.path.clone(), Vec::new())).to_vec();
        let held = Held { files, piece: 1 };
        for (entries, is_good) in [([&a, &b], true), ([&a, &a], false), ([&b, &a], false)] {
            assert_eq!(write_layer(&store, entries, &held, 0, Compression::Zstd).is_ok(), is_good);
        }
    }

    #[test]
    fn a_file_of_nine_gigabytes_is_announced_in_full() {
        let header = Header { path: b"big", kind: Kind::File(9 << 30), mode: 0o644, owner: (0, 0), mtime: -1 };
        let blocks = header.blocks();
        let mut archive = ::tar::Archive::new(blocks.as_slice());
        let member = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(member.size(), 9 << 30);
    }

    proptest! {
        #[test]
        fn every_name_target_and_owner_comes_back_as_it_went_in(
            paths in proptest::collection::btree_set(proptest::collection::vec(proptest::collection::vec(1_u8.., 1..130), 1..4), 1..8),
            target in proptest::collection::vec(1_u8.., 1..300),
            owner in any::<(u32, u32)>(),
            mode in 0_u32..0o10000,
            mtime in any::<i64>(),
        ) {
            let name = |part: Vec<u8>| [b"n".to_vec(), part.into_iter().map(|byte| if byte == b'/' { b'_' } else { byte }).collect()].concat();
            let paths: std::collections::BTreeSet<Vec<u8>> = paths.into_iter().map(|parts| parts.into_iter().map(name).collect::<Vec<_>>().join(&b'/')).collect();
            let entries: Vec<Entry> = paths
                .iter()
                .enumerate()
                .map(|(number, path)| {
                    let kind = if number % 2 == 0 { SourceKind::Link { target: target.clone() } } else { SourceKind::Folder };
                    other(path, kind, mode, owner)
                })
                .collect();
            let (_folder, store) = store();
            let layer = write_layer(&store, &entries, &Held { files: Vec::new(), piece: 1 }, mtime, Compression::Zstd).unwrap();
            let mut at = entries.iter();
            layer_reader::for_each_entry(&store, &layer.descriptor, Limits::of(&layer.descriptor), &mut |found, _| {
                let entry = at.next().expect("no more than were written");
                assert_eq!((&found.path, found.mode, found.uid, found.gid), (&entry.path, mode, owner.0.into(), owner.1.into()));
                let kind = match &entry.source.kind {
                    SourceKind::Link { target } => EntryKind::Link { target: target.clone() },
                    _ => EntryKind::Folder,
                };
                assert_eq!(found.kind, kind);
                Ok(())
            })
            .unwrap();
            prop_assert!(at.next().is_none());
        }
    }
}
