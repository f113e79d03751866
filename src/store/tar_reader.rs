//! Reads a tar stream, strictly: what two readers could understand in two ways is refused.
//! In: bytes that nobody vouches for. Out: one member after the other, as it is named in the archive. Never: follows,
//! unpacks or remembers a member; reads an extension header larger than 1 MiB; panics.
//!
//! Understood: v7, ustar, PAX (`x`), GNU long names (`L`, `K`) and base-256 numbers. Refused, because readers disagree
//! about them (CVE-2025-62518 and its like): sparse members, a name given twice, data behind a link or a folder, PAX
//! records whose length is wrong, global PAX records that name or size members, anything but zeros behind the end.

use std::io::{self, Read};

/// The unit of a tar stream, in bytes.
const BLOCK: usize = 512;
/// The largest extension header that is read, in bytes, as in Go's `archive/tar`.
const EXTENSION_LIMIT: u64 = 1 << 20;

/// One member as the archive names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The name, not normalised.
    pub path: Vec<u8>,
    /// The target of a link, not normalised; empty for the rest.
    pub link: Vec<u8>,
    /// What it is: `0` to `6`, as POSIX numbers them.
    pub kind: u8,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// The owner.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// The bytes that follow.
    pub size: u64,
}

/// Why a stream is not a tar archive that every reader understands alike.
#[derive(Debug, thiserror::Error)]
pub(super) enum TarError {
    /// It is not well-formed, or readers disagree about it.
    #[error("{0}")]
    Format(&'static str),
    /// It could not be read or unpacked.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A tar stream, between two members.
pub(super) struct TarReader<R> {
    inner: R,
    /// What is left of the current member's data.
    data: u64,
    /// What is left of the padding behind it.
    padding: u64,
}

/// What extension headers say about the member that follows them.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

#[derive(Default)]
struct Pax {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
}

impl<R: Read> TarReader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, data: 0, padding: 0 }
    }

    /// The next member; what was left unread of the one before is passed over. `None` at the end of the archive, when
    /// nothing but zeros followed it.
    pub(super) fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        let mut extensions = Extensions::default();
        loop {
            self.pass_over()?;
            let Some(header) = self.header()? else {
                return if extensions.is_empty() { Ok(None) } else { Err(TarError::Format("the archive ends behind an extension header")) };
            };
            let size = number(&header[124..136])?;
            match header[156] {
                b'x' => set_once(&mut extensions.pax, Pax::read(&self.extension(size)?, false)?)?,
                b'g' => drop(Pax::read(&self.extension(size)?, true)?),
                b'L' => set_once(&mut extensions.long_name, text(self.extension(size)?))?,
                b'K' => set_once(&mut extensions.long_link, text(self.extension(size)?))?,
                kind => {
                    let member = extensions.member(&header, kind, size)?;
                    self.expect(member.size);
                    return Ok(Some(member));
                }
            }
        }
    }

    /// The data of the current member.
    pub(super) fn data(&mut self) -> Data<'_, R> {
        Data(self)
    }

    fn expect(&mut self, size: u64) {
        self.data = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn pass_over(&mut self) -> Result<(), TarError> {
        let (data, padding) = (std::mem::take(&mut self.data), std::mem::take(&mut self.padding));
        if io::copy(&mut (&mut self.inner).take(data), &mut io::sink())? < data {
            return Err(TarError::Format("the archive ends inside a member"));
        }
        // umoci leaves out the last padding and the end mark; Go's reader, and so every engine, takes it.
        io::copy(&mut (&mut self.inner).take(padding), &mut io::sink())?;
        Ok(())
    }

    /// The next header block; `None` at the end.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(TarError::Format("the archive ends inside a header")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if block == [0; BLOCK] {
            self.only_zeros_follow()?;
            return Ok(None);
        }
        check_sum(&block)?;
        Ok(Some(block))
    }

    fn only_zeros_follow(&mut self) -> Result<(), TarError> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.inner.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) if buffer[..count].iter().any(|byte| *byte != 0) => {
                    return Err(TarError::Format("something follows the end of the archive"));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > EXTENSION_LIMIT {
            return Err(TarError::Format("an extension header is larger than 1 MiB"));
        }
        self.expect(size);
        let mut bytes = Vec::new();
        self.data().read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// The data of one member.
pub(super) struct Data<'a, R>(&'a mut TarReader<R>);

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = usize::try_from(self.0.data).unwrap_or(usize::MAX).min(buffer.len());
        if limit == 0 {
            return Ok(0);
        }
        let count = self.0.inner.read(&mut buffer[..limit])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends inside a member"));
        }
        self.0.data -= count as u64;
        Ok(count)
    }
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }

    /// Joins a header with what the headers before it said.
    fn member(self, header: &[u8; BLOCK], kind: u8, size: u64) -> Result<Member, TarError> {
        let pax = self.pax.unwrap_or_default();
        let path = one_of(pax.path, self.long_name)?.unwrap_or_else(|| short_name(header));
        let link = one_of(pax.link, self.long_link)?.unwrap_or_else(|| until_nul(&header[157..257]).to_vec());
        let kind = match kind {
            0 if path.ends_with(b"/") => b'5',
            0 | b'7' => b'0',
            b'0'..=b'6' => kind,
            b'S' => return Err(TarError::Format("a sparse member; readers disagree about these")),
            _ => return Err(TarError::Format("a member of an unknown type")),
        };
        let size = pax.size.unwrap_or(size);
        if kind != b'0' && size != 0 {
            return Err(TarError::Format("a link, folder or device with data; readers disagree about these"));
        }
        Ok(Member {
            path,
            link: if kind == b'1' || kind == b'2' { link } else { Vec::new() },
            kind,
            mode: (number(&header[100..108])? & 0o7777) as u32,
            uid: pax.uid.map_or_else(|| number(&header[108..116]), Ok)?,
            gid: pax.gid.map_or_else(|| number(&header[116..124]), Ok)?,
            size,
        })
    }
}

impl Pax {
    /// Reads records of the form `length key=value\n`. Source: POSIX.1-2017, `pax`, extended header.
    fn read(mut rest: &[u8], global: bool) -> Result<Self, TarError> {
        const BAD: TarError = TarError::Format("a PAX record is malformed");
        let mut pax = Self::default();
        while !rest.is_empty() {
            let space = rest.iter().take(8).position(|byte| *byte == b' ').ok_or(BAD)?;
            let length = decimal(&rest[..space]).and_then(|length| usize::try_from(length).ok()).ok_or(BAD)?;
            let record = rest.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or(BAD)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(BAD)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            rest = &rest[length..];
            let known = matches!(key, b"path" | b"linkpath" | b"size" | b"uid" | b"gid");
            if key.starts_with(b"GNU.sparse.") {
                return Err(TarError::Format("a sparse member; readers disagree about these"));
            }
            if global && known {
                return Err(TarError::Format("a global PAX header that names or sizes members; readers disagree about these"));
            }
            // An empty value takes the record back, so the header's own field counts.
            if !known || value.is_empty() {
                continue;
            }
            let number = || decimal(value).ok_or(BAD);
            match key {
                b"path" => set_once(&mut pax.path, name_of(value)?)?,
                b"linkpath" => set_once(&mut pax.link, name_of(value)?)?,
                b"size" => set_once(&mut pax.size, number()?)?,
                b"uid" => set_once(&mut pax.uid, number()?)?,
                _ => set_once(&mut pax.gid, number()?)?,
            }
        }
        Ok(pax)
    }
}

fn name_of(value: &[u8]) -> Result<Vec<u8>, TarError> {
    if value.contains(&0) { Err(TarError::Format("a name with a NUL byte")) } else { Ok(value.to_vec()) }
}

fn set_once<T>(place: &mut Option<T>, value: T) -> Result<(), TarError> {
    if place.replace(value).is_some() { Err(TarError::Format("two extension headers say the same thing about one member")) } else { Ok(()) }
}

fn one_of<T>(a: Option<T>, b: Option<T>) -> Result<Option<T>, TarError> {
    match (a, b) {
        (Some(_), Some(_)) => Err(TarError::Format("two extension headers say the same thing about one member")),
        (a, b) => Ok(a.or(b)),
    }
}

fn short_name(header: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&header[..100]);
    let prefix = until_nul(&header[345..500]);
    // GNU's own format keeps times where POSIX has the prefix.
    if &header[257..263] != b"ustar\0" || prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

fn until_nul(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|byte| *byte == 0).unwrap_or(field.len())]
}

fn text(bytes: Vec<u8>) -> Vec<u8> {
    until_nul(&bytes).to_vec()
}

/// The sum over the header with blanks in place of the sum; some old archivers added signed bytes.
fn check_sum(header: &[u8; BLOCK]) -> Result<(), TarError> {
    let written = number(&header[148..156])?;
    let (mut unsigned, mut signed) = (8 * u64::from(b' '), 8 * i64::from(b' '));
    for byte in header[..148].iter().chain(&header[156..]) {
        unsigned += u64::from(*byte);
        signed += i64::from(byte.cast_signed());
    }
    if written == unsigned || i64::try_from(written) == Ok(signed) { Ok(()) } else { Err(TarError::Format("a header's checksum is wrong")) }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// An octal number with blanks or NULs around it, or a positive base-256 number.
fn number(field: &[u8]) -> Result<u64, TarError> {
    const BAD: TarError = TarError::Format("a number in a header is malformed or too large");
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => {
            if first & 0x40 != 0 {
                return Err(TarError::Format("a negative number in a header"));
            }
            rest.iter().try_fold(u64::from(first & 0x3f), |value, byte| Some(value.checked_mul(256)? + u64::from(*byte))).ok_or(BAD)
        }
        _ => {
            let digits = field.trim_ascii_start();
            let digits = digits.split(|byte| *byte == 0 || *byte == b' ').next().unwrap_or_default();
            digits.iter().try_fold(0_u64, |value, digit| {
                let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8).ok_or(BAD)?;
                Ok(value.checked_mul(8).ok_or(BAD)? + u64::from(digit))
            })
        }
    }
}
