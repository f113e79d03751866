//! Reads the entries of one layer of an image, without unpacking it.
//! In: a layer's descriptor; its bytes are in the store and nobody vouches for them. Out: entries in the order of the
//! archive, with normal paths, and their data as a stream. Never: writes, follows a link, reads beyond the limits.
//!
//! The compression is told by the first bytes, as container engines do, whatever the media type says: gzip (also of
//! several members), zstd (also of several frames, windows up to 128 MiB) or none. A layer that holds one path twice
//! is legal to read: engines let the later entry win, and so must the visitor. Because the digest is only known at the
//! end, a visitor's findings count only when [`for_each_entry`] returned `Ok`.

use std::io::{self, BufRead, BufReader, Read};

use crate::base::size::ByteSize;
use crate::base::words;
use crate::oci::descriptor::Descriptor;

use super::blob::StoreError;
use super::local::Store;
use super::tar_reader::{Member, TarError, TarReader};

/// What a name begins with that hides a lower layer's entry. Source: image-spec, layer.md.
const WHITEOUT: &[u8] = b".wh.";
/// The name that hides everything that lower layers have in its folder.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What AUFS's own folders begin with; engines pass over them.
const AUFS: &[u8] = b".wh..wh.";
/// zstd's largest window, as a power of two: what its command line accepts unasked.
const WINDOW_LOG: u32 = 27;

/// How much of a layer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

impl Limits {
    /// For one layer: 4 GiB or 20 times its compressed size, whichever is more, and 4 million entries.
    #[must_use]
    pub fn of(layer: &Descriptor) -> Self {
        Self::of_size(layer.size)
    }

    /// The same for what has so many bytes before decompression.
    #[must_use]
    pub fn of_size(size: u64) -> Self {
        Self { bytes: (4 << 30).max(size.saturating_mul(20)), entries: 4_000_000 }
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// As it was written.
        target: Vec<u8>,
    },
    /// One more name for a file of this layer or a lower one.
    HardLink {
        /// Normal, without a leading slash.
        target: Vec<u8>,
    },
    /// A character or block device.
    Device,
    /// A named pipe.
    Fifo,
    /// Hides the entry with this path in lower layers.
    Whiteout,
    /// Hides everything that lower layers have below this path.
    Opaque,
}

/// One entry of a layer, without its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryHeader {
    /// Normal: without a leading slash, `.`, `..` or empty parts. The root of the image is empty.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// The owner.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// Bytes of data; 0 for all but files.
    pub size: u64,
}

/// Why a layer could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The blob is missing or the disk failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A type whose content kiln cannot read, such as an encrypted layer.
    #[error("layer {digest} has the type `{media_type}`, which is not a tar archive with gzip, zstd or no compression")]
    Type {
        /// Which layer.
        digest: String,
        /// Its type.
        media_type: String,
    },
    /// The archive is malformed, or readers disagree about it.
    #[error("layer {digest} is not a sound archive: {reason}")]
    Format {
        /// Which layer.
        digest: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A path that leads out of the image, or that no kernel accepts.
    #[error("layer {digest} holds the path `{path}`, which {reason}")]
    Path {
        /// Which layer.
        digest: String,
        /// The path, made visible.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It holds more than the caller accepts.
    #[error("layer {digest} holds more than {limit}; a layer this large is taken for a decompression bomb")]
    TooLarge {
        /// Which layer.
        digest: String,
        /// The limit, in words.
        limit: String,
    },
    /// Reading or decompressing failed, or the visitor did.
    #[error("layer {digest} cannot be read: {cause}")]
    Io {
        /// Which layer.
        digest: String,
        /// What happened.
        cause: io::Error,
    },
}

/// Hands every entry of a layer to `visit`, with a reader over its data that may be left unread.
///
/// # Errors
/// [`LayerError`]; an error of the visitor ends the walk and comes back as [`LayerError::Io`].
pub fn for_each_entry(
    store: &Store,
    layer: &Descriptor,
    limits: Limits,
    visit: &mut dyn FnMut(&EntryHeader, &mut dyn Read) -> io::Result<()>,
) -> Result<(), LayerError> {
    let digest = layer.digest.to_string();
    if !is_tar(&layer.media_type) {
        return Err(LayerError::Type { digest, media_type: words::shorten(&words::visible(&layer.media_type), 100) });
    }
    let found = store.size_of(layer.digest.0).ok_or_else(|| StoreError::Missing(digest.clone()))?;
    if found != layer.size {
        return Err(LayerError::Format { digest, reason: format!("it has {found} bytes, but its descriptor says {}", layer.size) });
    }
    let mut blob = BufReader::with_capacity(64 << 10, store.open_blob(layer.digest.0)?);
    let walked = open(&mut blob).and_then(|plain| {
        let plain = Capped { inner: plain, left: limits.bytes };
        let mut archive = TarReader::new(BufReader::with_capacity(64 << 10, plain));
        walk(&mut archive, limits.entries, visit)
    });
    let rest = walked.map_err(|fault| fault.name(&digest, limits)).and_then(|()| {
        // The reader compares the digest when it reaches the end.
        io::copy(&mut blob, &mut io::sink()).map_err(|cause| LayerError::Io { digest: digest.clone(), cause })
    })?;
    if rest > 0 {
        return Err(LayerError::Format { digest, reason: "something follows the compressed archive".to_owned() });
    }
    Ok(())
}

/// Hands every entry of an archive that is no layer to `visit`, as [`for_each_entry`] does; it may be compressed, too.
///
/// # Errors
/// [`ArchiveFault`]; an error of the visitor ends the walk and comes back as [`ArchiveFault::Io`].
pub fn for_each_member(
    stream: &mut dyn BufRead,
    limits: Limits,
    visit: &mut dyn FnMut(&EntryHeader, &mut dyn Read) -> io::Result<()>,
) -> Result<(), ArchiveFault> {
    let mut stream = stream;
    let plain = Capped { inner: open(&mut stream)?, left: limits.bytes };
    walk(&mut TarReader::new(BufReader::with_capacity(64 << 10, plain)), limits.entries, visit)
}

/// Writes a layer's archive as it is without its compression, and gives the number of its bytes.
///
/// # Errors
/// [`LayerError`]; what was written until then is of no use.
pub fn unpacked(store: &Store, layer: &Descriptor, limits: Limits, out: &mut dyn io::Write) -> Result<u64, LayerError> {
    let digest = layer.digest.to_string();
    let mut blob = BufReader::with_capacity(64 << 10, store.open_blob(layer.digest.0)?);
    let read = open(&mut blob).and_then(|plain| Ok(io::copy(&mut Capped { inner: plain, left: limits.bytes }, out)?));
    let size = read.map_err(|fault| fault.name(&digest, limits))?;
    // The reader compares the digest when it reaches the end.
    io::copy(&mut blob, &mut io::sink()).map_err(|cause| LayerError::Io { digest, cause })?;
    Ok(size)
}

fn is_tar(media_type: &str) -> bool {
    let media_type = media_type.strip_suffix("+gzip").or_else(|| media_type.strip_suffix("+zstd")).unwrap_or(media_type);
    let media_type = media_type.strip_suffix(".gzip").or_else(|| media_type.strip_suffix(".zstd")).unwrap_or(media_type);
    media_type.ends_with(".tar")
}

fn open<'a, R: BufRead + 'a>(blob: &'a mut R) -> Result<Box<dyn Read + 'a>, ArchiveFault> {
    let start = blob.fill_buf()?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(blob)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(decoder)
        }
        _ => Box::new(blob),
    })
}

/// What is wrong with an archive, whatever it is of.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFault {
    /// It is malformed, or readers disagree about it.
    #[error("it is not a sound archive: {0}")]
    Format(&'static str),
    /// A path that leads out of it, or that no kernel accepts.
    #[error("it holds the path `{path}`, which {1}", path = told(.0))]
    Path(Vec<u8>, &'static str),
    /// More entries than the caller accepts.
    #[error("it holds more entries than an honest one")]
    Entries,
    /// Reading or decompressing failed, or the visitor did.
    #[error("{0}")]
    Io(io::Error),
}

fn told(path: &[u8]) -> String {
    words::shorten(&words::visible(&String::from_utf8_lossy(path)), 200)
}

impl From<io::Error> for ArchiveFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<TarError> for ArchiveFault {
    fn from(error: TarError) -> Self {
        match error {
            TarError::Format(reason) => Self::Format(reason),
            TarError::Io(error) => Self::Io(error),
        }
    }
}

impl ArchiveFault {
    fn name(self, digest: &str, limits: Limits) -> LayerError {
        let digest = digest.to_owned();
        match self {
            Self::Format(reason) => LayerError::Format { digest, reason: reason.to_owned() },
            Self::Path(path, reason) => LayerError::Path { digest, path: told(&path), reason },
            Self::Entries => {
                LayerError::TooLarge { digest, limit: words::count(usize::try_from(limits.entries).unwrap_or(usize::MAX), "entry") }
            }
            Self::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<OverLimit>()) => {
                LayerError::TooLarge { digest, limit: ByteSize(limits.bytes).to_string() }
            }
            Self::Io(cause) => LayerError::Io { digest, cause },
        }
    }
}

fn walk<R: Read>(
    archive: &mut TarReader<R>,
    limit: u64,
    visit: &mut dyn FnMut(&EntryHeader, &mut dyn Read) -> io::Result<()>,
) -> Result<(), ArchiveFault> {
    let mut entries = 0;
    while let Some(member) = archive.next_member()? {
        entries += 1;
        if entries > limit {
            return Err(ArchiveFault::Entries);
        }
        if let Some(header) = entry_of(member)? {
            visit(&header, &mut archive.data())?;
        }
    }
    Ok(())
}

/// The entry that a member stands for; `None` for what engines pass over.
fn entry_of(member: Member) -> Result<Option<EntryHeader>, ArchiveFault> {
    let mut path = normal(&member.path)?;
    let folder = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let name = path[folder..].to_vec();
    let kind = if name == OPAQUE {
        path.truncate(folder.saturating_sub(1));
        EntryKind::Opaque
    } else if path.starts_with(AUFS) {
        return Ok(None);
    } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(ArchiveFault::Path(member.path, "hides no entry that could have a name"));
        }
        path.truncate(folder);
        path.extend_from_slice(hidden);
        EntryKind::Whiteout
    } else {
        match member.kind {
            b'0' => EntryKind::File,
            b'1' => EntryKind::HardLink { target: normal(&member.link)? },
            b'2' => EntryKind::Link { target: member.link },
            b'3' | b'4' => EntryKind::Device,
            b'5' => EntryKind::Folder,
            _ => EntryKind::Fifo,
        }
    };
    if path.is_empty() && !matches!(kind, EntryKind::Folder | EntryKind::Opaque) {
        return Err(ArchiveFault::Path(member.path, "is the root of the image but not a folder"));
    }
    Ok(Some(EntryHeader { path, kind, mode: member.mode, uid: member.uid, gid: member.gid, size: member.size }))
}

/// The path below the image's root, without a leading slash, `.` and empty parts.
fn normal(path: &[u8]) -> Result<Vec<u8>, ArchiveFault> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(ArchiveFault::Path(path.to_vec(), "leads out of its folder")),
            part if part.len() > 255 => return Err(ArchiveFault::Path(path.to_vec(), "has a name longer than 255 bytes")),
            part => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    if joined.len() > 4096 { Err(ArchiveFault::Path(path.to_vec(), "is longer than 4096 bytes")) } else { Ok(joined) }
}

/// Ends with [`OverLimit`] when more than `left` bytes come.
struct Capped<R> {
    inner: R,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the layer is larger than the limit")]
struct OverLimit;

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| io::Error::other(OverLimit))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::base::digest::Sha256;
    use crate::base::path::AbsPath;

    /// A header block with a right checksum, then the data with its padding.
    fn member(name: &str, kind: u8, data: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut block = vec![0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..107].copy_from_slice(b"0000644");
        block[108..115].copy_from_slice(b"0001750");
        block[116..123].copy_from_slice(b"0000012");
        block[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        change(&mut block);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block.extend_from_slice(data);
        block.resize(block.len().next_multiple_of(512), 0);
        block
    }

    fn plain(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
        member(name, kind, data, |_| {})
    }

    fn link(name: &str, kind: u8, target: &str) -> Vec<u8> {
        member(name, kind, b"", |block| block[157..157 + target.len()].copy_from_slice(target.as_bytes()))
    }

    fn end(members: &[Vec<u8>]) -> Vec<u8> {
        [members.concat(), vec![0; 1024]].concat()
    }

    fn pax(records: &[(&str, &str)]) -> Vec<u8> {
        let text: String = records
            .iter()
            .map(|(key, value)| {
                let rest = key.len() + value.len() + 3;
                let length = (rest..).find(|length| *length == rest + length.to_string().len()).unwrap();
                format!("{length} {key}={value}\n")
            })
            .collect();
        plain("pax", b'x', text.as_bytes())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    const ROOMY: Limits = Limits { bytes: 1 << 20, entries: 100 };

    /// One line per entry: `kind path mode uid:gid data`.
    fn read_as(media_type: &str, blob: &[u8], limits: Limits) -> Result<Vec<String>, LayerError> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(AbsPath::new(folder.path()).unwrap()).unwrap();
        store.put::<Sha256>(blob).unwrap();
        let mut lines = Vec::new();
        for_each_entry(&store, &Descriptor::of(media_type, blob), limits, &mut |entry, data| {
            let mut text = String::new();
            data.read_to_string(&mut text)?;
            let path = String::from_utf8_lossy(&entry.path);
            lines.push(format!("{:?} {path} {:o} {}:{} {text}", entry.kind, entry.mode, entry.uid, entry.gid));
            Ok(())
        })?;
        Ok(lines)
    }

    fn read(blob: &[u8]) -> Result<Vec<String>, String> {
        let result = read_as("application/vnd.oci.image.layer.v1.tar+gzip", blob, ROOMY);
        result.map_err(|error| error.to_string().split_once(char::is_whitespace).unwrap().1.split_once(' ').unwrap().1.to_owned())
    }

    #[test]
    fn every_compression_gives_the_same_entries() {
        let archive = end(&[plain("./a//b", b'0', b"data"), link("l", b'2', "../x"), plain("d/", b'5', b"")]);
        let expected = vec!["File a/b 644 1000:10 data", "Link { target: [46, 46, 47, 120] } l 644 1000:10 ", "Folder d 644 1000:10 "];
        let (head, tail) = archive.split_at(700);
        for blob in [
            archive.clone(),
            gzip(&archive),
            [gzip(head), gzip(tail)].concat(),
            zstd::encode_all(archive.as_slice(), 1).unwrap(),
            [zstd::encode_all(head, 1).unwrap(), zstd::encode_all(tail, 1).unwrap()].concat(),
        ] {
            assert_eq!(read(&blob).unwrap(), expected);
        }
    }

    #[test]
    fn whiteouts_are_told_from_files() {
        for (name, expected) in [
            ("d/.wh.gone", Ok("Whiteout d/gone")),
            (".wh.gone", Ok("Whiteout gone")),
            ("d/.wh..wh..opq", Ok("Opaque d")),
            (".wh..wh..opq", Ok("Opaque ")),
            ("d/.wh..wh.plnk", Ok("Whiteout d/.wh.plnk")),
            ("d/.wh.", Err("holds the path `d/.wh.`, which hides no entry that could have a name")),
            ("d/.wh..", Err("holds the path `d/.wh..`, which hides no entry that could have a name")),
            ("d/.wh...", Err("holds the path `d/.wh...`, which hides no entry that could have a name")),
        ] {
            let expected = expected.map(|text| vec![format!("{text} 644 1000:10 ")]).map_err(str::to_owned);
            assert_eq!(read(&end(&[plain(name, b'0', b"")])), expected, "{name}");
        }
        assert_eq!(read(&end(&[plain(".wh..wh.plnk/12.3", b'0', b"x")])), Ok(vec![]));
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for name in ["../x", "a/../../x", "..", "a/..", "/../etc"] {
            let expected = format!("holds the path `{name}`, which leads out of its folder");
            assert_eq!(read(&end(&[plain(name, b'0', b"")])), Err(expected.clone()));
            assert_eq!(read(&end(&[link("x", b'1', name)])), Err(expected));
        }
        for name in ["", ".", "/"] {
            assert!(read(&end(&[plain(name, b'0', b"")])).is_err());
            assert!(read(&end(&[plain(name, b'5', b"")])).is_ok());
        }
        assert_eq!(read(&end(&[plain("/etc/x", b'0', b"")])), Ok(vec!["File etc/x 644 1000:10 ".to_owned()]));
        let long = "n".repeat(256);
        assert!(read(&end(&[pax(&[("path", &long)]), plain("x", b'0', b"")])).is_err());
    }

    #[test]
    fn what_two_readers_see_differently_is_refused() {
        let (a, x) = (plain("a", b'0', b""), plain("x", b'x', b"9 path=b\n"));
        let size_8 = |name: &str, kind| member(name, kind, &[0; 512], |block| block[124..135].copy_from_slice(b"00000000010"));
        for (name, archive) in [
            ("two pax headers", end(&[x.clone(), x.clone(), a.clone()])),
            ("a name said twice", end(&[x.clone(), plain("@", b'L', b"c\0"), a.clone()])),
            ("one record twice", end(&[pax(&[("size", "0"), ("size", "512")]), a.clone()])),
            ("a header for nothing", end(std::slice::from_ref(&x))),
            ("a link with data", end(&[size_8("l", b'2')])),
            ("a hard link with data", end(&[size_8("l", b'1')])),
            ("a folder with data", end(&[size_8("l/", b'5')])),
            ("a GNU sparse member", end(&[plain("s", b'S', b"")])),
            ("a PAX sparse member", end(&[pax(&[("GNU.sparse.major", "1")]), a.clone()])),
            ("a global name", end(&[plain("g", b'g', b"9 path=b\n"), a.clone()])),
            ("an unknown type", end(&[plain("v", b'V', b"")])),
            ("a record that is too long", end(&[plain("x", b'x', b"99 path=b\n"), a.clone()])),
            ("a record of length 0", end(&[plain("x", b'x', b"0 path=b\n"), a.clone()])),
            ("a record that ends within", end(&[plain("x", b'x', b"8 path=b\n"), a.clone()])),
            ("a NUL in a name", end(&[pax(&[("path", "a\0b")]), a.clone()])),
            ("a negative size", end(&[member("n", b'0', b"", |block| block[124..136].fill(0xff))])),
            ("a size that overflows", end(&[pax(&[("size", "18446744073709551615")]), a.clone()])),
            ("a number that is none", end(&[member("n", b'0', b"", |block| block[108] = b'9')])),
            ("a wrong checksum", {
                let mut bytes = end(std::slice::from_ref(&a));
                bytes[0] = b'b';
                bytes
            }),
            ("something behind the end", [end(std::slice::from_ref(&a)), a.clone()].concat()),
            ("something behind the gzip stream", [gzip(&end(std::slice::from_ref(&a))), b"garbage".to_vec()].concat()),
            ("a cut header", a[..300].to_vec()),
            ("cut data", plain("a", b'0', b"data")[..514].to_vec()),
            ("a cut gzip stream", {
                let packed = gzip(&end(std::slice::from_ref(&a)));
                packed[..packed.len() - 4].to_vec()
            }),
            ("a cut zstd stream", {
                let packed = zstd::encode_all(&end(&[a])[..], 1).unwrap();
                packed[..packed.len() - 4].to_vec()
            }),
        ] {
            assert!(read(&archive).is_err(), "{name} was read");
        }
    }

    #[test]
    fn a_missing_end_is_read_as_engines_read_it() {
        let whole = plain("a", b'0', b"data");
        for archive in [&whole[..], &whole[..516], &end(std::slice::from_ref(&whole))[..1536], b""] {
            let expected = if archive.is_empty() { 0 } else { 1 };
            assert_eq!(read(archive).map(|lines| lines.len()), Ok(expected), "{} bytes", archive.len());
        }
    }

    #[test]
    fn long_names_come_from_whichever_header_has_them() {
        let data = plain("short", b'0', b"data");
        let prefix = member("name", b'0', b"", |block| block[345..348].copy_from_slice(b"a/b"));
        for (archive, path) in [
            (end(&[pax(&[("path", "line\nfeed"), ("mtime", "1.5"), ("uid", "")]), data.clone()]), "line\nfeed"),
            (end(&[plain("@", b'L', b"long/name\0"), data.clone()]), "long/name"),
            (end(&[prefix]), "a/b/name"),
            (end(&[plain("g", b'g', b"13 comment=c\n"), data]), "short"),
        ] {
            let lines = read(&archive).unwrap();
            assert!(lines[0].starts_with(&format!("File {path} ")), "{lines:?}");
        }
    }

    #[test]
    fn a_pax_size_counts_for_its_member_and_not_for_headers_between() {
        let data = member("f", b'0', b"four", |block| block[124..135].copy_from_slice(b"00000000000"));
        let archive = end(&[pax(&[("size", "4")]), plain("@", b'L', b"g\0"), data, plain("last", b'0', b"")]);
        assert_eq!(read(&archive).unwrap(), vec!["File g 644 1000:10 four", "File last 644 1000:10 "]);
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let zeros = plain("zeros", b'0', &vec![0; 8 << 20]);
        let many = vec![plain("a", b'0', b""); 200];
        for blob in [gzip(&end(std::slice::from_ref(&zeros))), zstd::encode_all(&end(&[zeros])[..], 1).unwrap()] {
            let error = read_as("application/vnd.oci.image.layer.v1.tar", &blob, ROOMY).unwrap_err();
            assert!(error.to_string().contains("holds more than 1.0 MiB"), "{error}");
        }
        let error = read_as("application/vnd.oci.image.layer.v1.tar", &end(&many), ROOMY).unwrap_err();
        assert!(error.to_string().contains("holds more than 100 entries"), "{error}");
        let claims = plain("pax", b'x', &vec![b'1'; (1 << 20) + 1]);
        let roomy = Limits { bytes: 4 << 20, ..ROOMY };
        let error = read_as("application/vnd.oci.image.layer.v1.tar", &end(&[claims]), roomy).unwrap_err();
        assert!(error.to_string().contains("an extension header is larger than 1 MiB"), "{error}");
    }

    #[test]
    fn an_encrypted_layer_and_a_damaged_blob_are_refused() {
        let archive = end(&[plain("a", b'0', b"")]);
        assert!(matches!(read_as("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", &archive, ROOMY), Err(LayerError::Type { .. })));
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(AbsPath::new(folder.path()).unwrap()).unwrap();
        let digest = store.put::<Sha256>(&archive).unwrap();
        let path = store.blob_path(digest);
        crate::sys::file::write_atomic(&path, &end(&[plain("b", b'0', b"")]), false).unwrap();
        let layer = Descriptor::of("application/vnd.oci.image.layer.v1.tar", &archive);
        let mut seen = 0;
        let result = for_each_entry(&store, &layer, ROOMY, &mut |_, _| {
            seen += 1;
            Ok(())
        });
        assert!(result.is_err() && seen == 1, "the entries were seen, but they do not count");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048), flips in proptest::collection::vec((0_usize..4096, any::<u8>()), 0..6)) {
            let _ = read(&bytes);
            let mut archive = end(&[pax(&[("path", "x/y"), ("size", "4")]), plain("f", b'0', b"data"), link("l", b'1', "f")]);
            for (at, byte) in flips {
                let at = at % archive.len();
                archive[at] = byte;
            }
            let _ = read(&archive);
        }
    }
}
