//! Programs: what their linkers and cargo wrote into them about their parts.
//! In: the bytes of an ELF file as a stream. Out: the Go modules and Rust crates in it. Never: more than 64 MiB of it in memory.

use std::io::{self, Read};

use super::{Package, golang, rust};

/// What an ELF file begins with.
pub const MAGIC: &[u8; 4] = b"\x7fELF";
/// The largest program that is read as a whole, in bytes; larger ones are searched piece by piece, for Go alone.
const WHOLE: u64 = 64 << 20;
/// One piece of a large program, and how much of it is seen again in the next one.
const PIECE: usize = 8 << 20;
const AGAIN: usize = 2 << 20;

/// Reads a program of `size` bytes.
///
/// A list of parts that is damaged counts as none: nothing says that a program must have one.
/// # Errors
/// Those of `program`.
pub fn packages(program: &mut dyn Read, size: u64) -> io::Result<Vec<Package>> {
    if size > WHOLE {
        return in_pieces(program);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    program.take(WHOLE).read_to_end(&mut bytes)?;
    let mut found = golang::find_build_info(&bytes).unwrap_or_default();
    found.extend(section(&bytes, rust::SECTION).and_then(|section| rust::parse_section(section).ok()).unwrap_or_default());
    Ok(found)
}

fn in_pieces(program: &mut dyn Read) -> io::Result<Vec<Package>> {
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        let kept = piece.len();
        program.take((PIECE - kept) as u64).read_to_end(&mut piece)?;
        if let Some(found) = golang::find_build_info(&piece) {
            return Ok(found);
        }
        if piece.len() < PIECE {
            return Ok(Vec::new());
        }
        // Both lengths are multiples of 16, so what stands at one in the file stands at one in the piece.
        piece.drain(..PIECE - AGAIN);
    }
}

/// Reads numbers in the byte order and width of the file.
struct Fields<'a> {
    bytes: &'a [u8],
    wide: bool,
    little: bool,
}

impl Fields<'_> {
    fn number(&self, at: usize, width: usize) -> Option<usize> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let value = if self.little {
            bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
        } else {
            bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
        };
        usize::try_from(value).ok()
    }

    /// A field whose offset and width differ between the two classes.
    fn either(&self, base: usize, narrow: usize, wide: usize) -> Option<usize> {
        self.number(base.checked_add(if self.wide { wide } else { narrow })?, if self.wide { 8 } else { 4 })
    }
}

/// The bytes of the section with this name. Source: System V ABI, chapters 4 and 5.
#[must_use]
pub fn section<'a>(bytes: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    if !bytes.starts_with(MAGIC) {
        return None;
    }
    let fields = Fields { bytes, wide: *bytes.get(4)? == 2, little: *bytes.get(5)? == 1 };
    let table = fields.either(0, 0x20, 0x28)?;
    let numbers = if fields.wide { 0x3a } else { 0x2e };
    let (width, count, names) = (fields.number(numbers, 2)?, fields.number(numbers + 2, 2)?, fields.number(numbers + 4, 2)?);
    let header = |index: usize| table.checked_add(index.checked_mul(width)?);
    let body = |at: usize| {
        let start = fields.either(at, 0x10, 0x18)?;
        bytes.get(start..start.checked_add(fields.either(at, 0x14, 0x20)?)?)
    };
    let names = body(header(names)?)?;
    (0..count).filter_map(header).find_map(|at| {
        let name = names.get(fields.number(at, 4)?..)?;
        (name.strip_prefix(wanted)?.first() == Some(&0)).then(|| body(at)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A little ELF file with one section of this name and content, in the given class and byte order.
    fn sample(wide: bool, little: bool, name: &[u8], content: &[u8]) -> Vec<u8> {
        let put = |file: &mut Vec<u8>, at: usize, width: usize, value: usize| {
            let bytes = (value as u64).to_le_bytes();
            for index in 0..width {
                file[at + if little { index } else { width - 1 - index }] = bytes[index];
            }
        };
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', if wide { 2 } else { 1 }, if little { 1 } else { 2 }]);
        let content_at = file.len();
        file.extend_from_slice(content);
        let names_at = file.len();
        file.extend_from_slice(b"\0");
        file.extend_from_slice(name);
        file.extend_from_slice(b"\0");
        let names_len = file.len() - names_at;
        let (table, width) = (file.len(), if wide { 64 } else { 40 });
        file.resize(table + 3 * width, 0);
        let (long, offset, size) = if wide { (8, 0x18, 0x20) } else { (4, 0x10, 0x14) };
        put(&mut file, if wide { 0x28 } else { 0x20 }, long, table);
        for (index, value) in [width, 3, 2].into_iter().enumerate() {
            put(&mut file, if wide { 0x3a } else { 0x2e } + 2 * index, 2, value);
        }
        put(&mut file, table + width, 4, 1);
        put(&mut file, table + width + offset, long, content_at);
        put(&mut file, table + width + size, long, content.len());
        put(&mut file, table + 2 * width + offset, long, names_at);
        put(&mut file, table + 2 * width + size, long, names_len);
        file
    }

    #[test]
    fn a_section_is_found_in_every_class_and_byte_order() {
        for (wide, little) in [(true, true), (true, false), (false, true), (false, false)] {
            let file = sample(wide, little, b".dep-v0", b"content");
            assert_eq!(section(&file, b".dep-v0"), Some(&b"content"[..]));
            assert_eq!(section(&file, b".dep-v"), None);
        }
    }

    #[test]
    fn parts_are_found_in_large_programs_too() {
        let info = golang::sample_build_info("go1.22.1", "dep\ta.org/x\tv1.0.0\th1:=\n");
        for at in [0_usize, PIECE - 64, PIECE - AGAIN - 16, 3 * PIECE] {
            let mut program = vec![0; 4 * PIECE];
            program[at..at + info.len()].copy_from_slice(&info);
            let found = packages(&mut program.as_slice(), WHOLE + 1).unwrap();
            assert_eq!(found.len(), 2, "build information at {at}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_the_reader_panic(mut header in proptest::collection::vec(proptest::num::u8::ANY, 64..300), class in 1_u8..3) {
            header[..5].copy_from_slice(&[0x7f, b'E', b'L', b'F', class]);
            let _ = section(&header, b".dep-v0");
        }
    }
}
