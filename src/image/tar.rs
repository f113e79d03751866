//! Headers of a tar archive that has one form for one content: ustar, and PAX only where ustar cannot say it.
//! In: a path, what it is, owner, mode, time. Out: header blocks. Never: names of users, a clock, GNU's own extensions.
//!
//! A PAX record holds a path's raw bytes also where they are not UTF-8, as GNU tar and Go's `archive/tar` read them.
//! Source: POSIX.1-2017, `pax`; the choice between the two forms is that of Go's `archive/tar`, which engines use.

/// The unit of a tar archive, in bytes.
pub(super) const BLOCK: usize = 512;
/// What ends an archive.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// What a header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'a> {
    /// Without a leading slash; folders without a trailing one.
    pub path: &'a [u8],
    /// What it is.
    pub kind: Kind<'a>,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Seconds since 1970.
    pub mtime: i64,
}

/// The kinds of members that an image layer of ours has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A regular file of this many bytes.
    File(u64),
    /// A symbolic link with this target.
    Link(&'a [u8]),
    /// A folder.
    Folder,
}

/// The number of zeros behind a file of `size` bytes.
pub(super) fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

impl Header<'_> {
    /// The blocks that stand before the data.
    pub(super) fn blocks(&self) -> Vec<u8> {
        let mut path = self.path.to_vec();
        let (flag, size, link) = match self.kind {
            Kind::File(size) => (b'0', size, &b""[..]),
            Kind::Link(target) => (b'2', 0, target),
            Kind::Folder => (b'5', 0, &b""[..]),
        };
        if flag == b'5' {
            path.push(b'/');
        }
        let mut records = Vec::new();
        let mut block = Block::new(flag, self.mode);
        match split(&path) {
            Some((prefix, name)) => {
                block.text(0, name);
                block.text(345, prefix);
            }
            None => {
                record(&mut records, "path", &path);
                block.text(0, &plain(&path));
            }
        }
        if link.len() > 100 || !link.is_ascii() {
            record(&mut records, "linkpath", link);
            block.text(157, &plain(link));
        } else {
            block.text(157, link);
        }
        block.number(124, 12, "size", i128::from(size), &mut records);
        block.number(108, 8, "uid", i128::from(self.owner.0), &mut records);
        block.number(116, 8, "gid", i128::from(self.owner.1), &mut records);
        block.number(136, 12, "mtime", i128::from(self.mtime), &mut records);
        let mut blocks = if records.is_empty() { Vec::new() } else { extension(&records) };
        blocks.extend_from_slice(&block.finish());
        blocks
    }
}

/// One extended header, with its own fixed name and no time.
fn extension(records: &[u8]) -> Vec<u8> {
    let mut block = Block::new(b'x', 0o644);
    block.text(0, b"././@PaxHeader");
    let size = records.len() as u64;
    let none = &mut Vec::new();
    for (at, width, value) in [(108, 8, 0), (116, 8, 0), (124, 12, i128::from(size)), (136, 12, 0)] {
        block.number(at, width, "", value, none);
    }
    let mut blocks = block.finish().to_vec();
    blocks.extend_from_slice(records);
    blocks.resize(blocks.len() + padding(size), 0);
    blocks
}

/// `length key=value\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// The two parts of a path that ustar can hold: prefix and name.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if !path.is_ascii() {
        return None;
    }
    if path.len() <= 100 {
        return Some((b"", path));
    }
    // The name of a folder ends with its slash, so the last byte never divides.
    let last = path.len() - 1;
    let from = path.len().saturating_sub(101);
    let at = (from..last.min(156)).rev().find(|at| path[*at] == b'/')?;
    Some((&path[..at], &path[at + 1..]))
}

/// What a reader sees that knows no PAX: at most 100 bytes, `_` for those that are not ASCII.
fn plain(text: &[u8]) -> Vec<u8> {
    text.iter().take(100).map(|byte| if byte.is_ascii() { *byte } else { b'_' }).collect()
}

struct Block([u8; BLOCK]);

impl Block {
    fn new(flag: u8, mode: u32) -> Self {
        let mut block = Self([0; BLOCK]);
        block.text(100, format!("{:07o}", mode & 0o7777).as_bytes());
        block.0[156] = flag;
        block.text(257, b"ustar\x0000");
        block.text(329, b"0000000");
        block.text(337, b"0000000");
        block
    }

    fn text(&mut self, at: usize, text: &[u8]) {
        self.0[at..at + text.len()].copy_from_slice(text);
    }

    /// An octal field; a number that it cannot hold goes into a record, and the field says 0.
    fn number(&mut self, at: usize, width: usize, key: &str, value: i128, records: &mut Vec<u8>) {
        let digits = width - 1;
        let fits = (0..1_i128 << (3 * digits)).contains(&value);
        if !fits {
            record(records, key, value.to_string().as_bytes());
        }
        let value = if fits { value } else { 0 };
        self.text(at, format!("{value:0digits$o}").as_bytes());
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.0[148..156].fill(b' ');
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.text(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}
