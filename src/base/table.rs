//! A sorted table in one piece of bytes, in which a row is found without a look at the others; and the rows that a process learned.
//! In: bytes as they were read, rows as they are learned. Out: rows; the bytes of the next table, in which all that did not change is
//! copied as it stands. Never: IO, a part of a damaged table, a row taken apart that nobody asked for.
//!
//! A table is a mark that says whose it is and in which version, the rows in the order of their keys, the place where each of them
//! begins (4 bytes), their number (4), and a BLAKE3 digest over all of it (32). A row is the length of its key (4), the key, and the
//! value. Numbers have their lowest byte first.

use std::cmp::Ordering;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::digest::{Blake3, Digest};

const SUM: usize = 32;
/// The bytes of a number.
const NUMBER: usize = 4;

/// Rows by key, as an earlier process wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    bytes: Vec<u8>,
    count: usize,
    /// Where the rows end, and the list of their places begins.
    end: usize,
}

impl Table {
    /// The table that [`merge`] wrote under the same mark; `None` for anything else.
    #[must_use]
    pub fn read(bytes: Vec<u8>, mark: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
        if !body.starts_with(mark) || Digest::<Blake3>::of(body).as_bytes() != sum {
            return None;
        }
        let (rest, count) = body.split_last_chunk()?;
        let count = u32::from_le_bytes(*count) as usize;
        let end = rest.len().checked_sub(count.checked_mul(NUMBER)?)?;
        (end >= mark.len()).then_some(Self { bytes, count, end })
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where in the order of keys the row with this key stands.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        self.search(0, key).ok()
    }

    /// The value of the row with this key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.row(self.find(key)?).map(|(_, value)| value)
    }

    /// Key and value of a row, by its place in the order of keys.
    #[must_use]
    pub fn row(&self, place: usize) -> Option<(&[u8], &[u8])> {
        if place >= self.count {
            return None;
        }
        parted(self.bytes.get(self.begin(place)..self.begin(place + 1))?)
    }

    /// All keys and values, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.count).filter_map(|place| self.row(place))
    }

    /// Where a row begins, and so where the one before it ends.
    fn begin(&self, place: usize) -> usize {
        let number = (place < self.count).then(|| self.bytes[self.end + place * NUMBER..].first_chunk()).flatten();
        number.map_or(self.end, |number| u32::from_le_bytes(*number) as usize)
    }

    /// Where the key stands among the rows from `low` on, or where it would stand.
    fn search(&self, mut low: usize, key: &[u8]) -> Result<usize, usize> {
        let mut high = self.count;
        while low < high {
            let middle = low.midpoint(high);
            match self.row(middle).map_or(Ordering::Less, |(here, _)| here.cmp(key)) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }
}

/// A row without its key's length.
fn parted(row: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = row.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

/// Rows that a process learned, one behind the other in one piece of memory, and what it alone knows of each of them.
#[derive(Debug)]
pub struct News<N> {
    bytes: Vec<u8>,
    rows: HashTable<Row<N>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Row<N> {
    begin: usize,
    length: u32,
    note: N,
}

impl<N> Default for News<N> {
    fn default() -> Self {
        Self { bytes: Vec::new(), rows: HashTable::new(), hasher: RandomState::new() }
    }
}

impl<N> News<N> {
    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Makes room for so many rows more.
    pub fn reserve(&mut self, rows: usize) {
        let Self { bytes, rows: table, hasher } = self;
        table.reserve(rows, |row| hasher.hash_one(row.parts(bytes).0));
    }

    /// The value that was learned for a key, and the note to it.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<(&[u8], &N)> {
        let row = self.rows.find(self.hasher.hash_one(key), |row| row.parts(&self.bytes).0 == key)?;
        Some((row.parts(&self.bytes).1, &row.note))
    }

    /// Learns a value, which `write` appends to the bytes that it is given; it takes the place of an earlier one.
    pub fn set(&mut self, key: &[u8], note: N, write: impl FnOnce(&mut Vec<u8>)) {
        let Self { bytes, rows, hasher } = self;
        let begin = bytes.len();
        let Ok(length) = u32::try_from(key.len()) else { return };
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(key);
        write(bytes);
        let Ok(length) = u32::try_from(bytes.len() - begin) else { return bytes.truncate(begin) };
        let new = Row { begin, length, note };
        let held = &**bytes;
        match rows.entry(hasher.hash_one(key), |row| row.parts(held).0 == key, |row| hasher.hash_one(row.parts(held).0)) {
            Entry::Vacant(place) => drop(place.insert(new)),
            // Most values are as long as the ones before them, so a row that is learned again and again takes no more room.
            Entry::Occupied(mut place) if place.get().length == length => {
                let old = place.get_mut();
                bytes.copy_within(begin.., old.begin);
                bytes.truncate(begin);
                old.note = new.note;
            }
            Entry::Occupied(mut place) => *place.get_mut() = new,
        }
    }

    /// All keys, values and notes, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], &N)> {
        self.rows.iter().map(|row| {
            let (key, value) = row.parts(&self.bytes);
            (key, value, &row.note)
        })
    }
}

impl<N> Row<N> {
    fn whole<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        bytes.get(self.begin..self.begin + self.length as usize).unwrap_or_default()
    }

    fn parts<'b>(&self, bytes: &'b [u8]) -> (&'b [u8], &'b [u8]) {
        parted(self.whole(bytes)).unwrap_or_default()
    }
}

/// The bytes of the table that holds `old` and `news`. A row of `old` is left out when it was learned anew, or when `keeps` says so of
/// its value; one of `news` unless `lasts` says of its note that it is to be found again. The same rows give the same bytes.
pub fn merge<N>(mark: &[u8], old: &Table, news: &News<N>, keeps: impl Fn(&[u8]) -> bool, lasts: impl Fn(&N) -> bool) -> Vec<u8> {
    let mut sorted: Vec<&Row<N>> = news.rows.iter().collect();
    sorted.sort_unstable_by_key(|row| row.parts(&news.bytes).0);
    let count = old.count + sorted.len();
    let mut writer = Writer {
        bytes: Vec::with_capacity(mark.len() + old.end + news.bytes.len() + (count + 1) * NUMBER + SUM),
        begins: Vec::with_capacity(count),
    };
    writer.bytes.extend_from_slice(mark);
    let mut next = 0;
    for row in sorted {
        let (below, from) = match old.search(next, row.parts(&news.bytes).0) {
            Ok(place) => (next..place, place + 1),
            Err(place) => (next..place, place),
        };
        next = from;
        writer.copy(old, below, &keeps);
        if lasts(&row.note) {
            writer.take(row.whole(&news.bytes), std::iter::once(0));
        }
    }
    writer.copy(old, next..old.count, &keeps);
    writer.finish()
}

struct Writer {
    bytes: Vec<u8>,
    begins: Vec<u32>,
}

impl Writer {
    /// Takes the rows at these places, as many as stand side by side in one go.
    fn copy(&mut self, old: &Table, places: Range<usize>, keeps: impl Fn(&[u8]) -> bool) {
        let mut from = places.start;
        for place in places.clone() {
            if !old.row(place).is_some_and(|(_, value)| keeps(value)) {
                self.copy_all(old, from..place);
                from = place + 1;
            }
        }
        self.copy_all(old, from..places.end);
    }

    fn copy_all(&mut self, old: &Table, places: Range<usize>) {
        let begin = old.begin(places.start);
        if let Some(rows) = old.bytes.get(begin..old.begin(places.end)) {
            self.take(rows, places.map(|place| old.begin(place) - begin));
        }
    }

    /// Takes rows that begin at these places of `rows`. What has no place in 4 GiB is left out.
    fn take(&mut self, rows: &[u8], begins: impl Iterator<Item = usize>) {
        let here = self.bytes.len();
        if u32::try_from(here + rows.len()).is_ok() {
            self.bytes.extend_from_slice(rows);
            self.begins.extend(begins.filter_map(|begin| u32::try_from(here + begin).ok()));
        }
    }

    fn finish(self) -> Vec<u8> {
        let Self { mut bytes, begins } = self;
        bytes.extend(begins.iter().flat_map(|begin| begin.to_le_bytes()));
        bytes.extend_from_slice(&u32::try_from(begins.len()).unwrap_or_default().to_le_bytes());
        let sum = Digest::<Blake3>::of(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const MARK: &[u8] = b"mark";

    type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

    fn news(rows: &Rows) -> News<bool> {
        let mut news = News::default();
        for (key, value) in rows {
            news.set(key, true, |bytes| bytes.extend_from_slice(value));
        }
        news
    }

    fn written(rows: &Rows) -> Vec<u8> {
        merge(MARK, &Table::default(), &news(rows), |_| true, |_| true)
    }

    fn rows_of(table: &Table) -> Rows {
        table.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    fn some_rows() -> Rows {
        [(&b""[..], &b"none"[..]), (b"/a", b""), (b"/a/b", b"\0\xff"), (b"\xff\n", b"last")]
            .map(|(key, value)| (key.into(), value.into()))
            .into()
    }

    #[test]
    fn a_table_cut_anywhere_or_with_one_bit_flipped_or_of_another_mark_is_none() {
        for rows in [some_rows(), Rows::new()] {
            let bytes = written(&rows);
            assert_eq!(rows_of(&Table::read(bytes.clone(), MARK).unwrap()), rows);
            assert_eq!(Table::read(bytes.clone(), b"MARK"), None);
            for end in 0..bytes.len() {
                assert_eq!(Table::read(bytes[..end].to_vec(), MARK), None, "cut at {end}");
            }
            for at in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[at / 8] ^= 1 << (at % 8);
                assert_eq!(Table::read(damaged, MARK), None, "bit {at}");
            }
        }
    }

    #[test]
    fn a_table_that_lies_with_a_right_digest_stops_nobody() {
        let bytes = written(&some_rows());
        let body = &bytes[..bytes.len() - SUM];
        for at in 0..body.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut lie = body.to_vec();
                lie[at] = value;
                let sum = Digest::<Blake3>::of(&lie);
                lie.extend_from_slice(sum.as_bytes());
                let Some(table) = Table::read(lie, MARK) else { continue };
                for key in some_rows().keys() {
                    assert!(table.get(key).is_none_or(|value| value.len() <= body.len()));
                }
                merge(MARK, &table, &news(&some_rows()), |_| true, |_| true);
            }
        }
    }

    #[test]
    fn what_is_learned_again_takes_the_place_of_what_was_known() {
        let mut news = News::default();
        for (value, note) in [("one", 1), ("two", 2), ("three", 3), ("four", 4)] {
            news.set(b"key", note, |bytes| bytes.extend_from_slice(value.as_bytes()));
            assert_eq!(news.get(b"key"), Some((value.as_bytes(), &note)));
            assert_eq!((news.len(), news.get(b"kez")), (1, None));
        }
        let table = Table::read(merge(MARK, &Table::default(), &news, |_| true, |_| true), MARK).unwrap();
        assert_eq!((table.len(), table.get(b"key")), (1, Some(&b"four"[..])));
    }

    proptest! {
        #[test]
        fn a_merged_table_holds_what_a_map_would(
            old in proptest::collection::btree_map(proptest::collection::vec(0_u8..4, 0..4), proptest::collection::vec(any::<u8>(), 0..6), 0..40),
            new in proptest::collection::btree_map(proptest::collection::vec(0_u8..4, 0..4), proptest::collection::vec(any::<u8>(), 0..6), 0..12),
            gone in proptest::collection::btree_set(proptest::collection::vec(0_u8..4, 0..4), 0..6),
        ) {
            let mut news = news(&new);
            for key in &gone {
                news.set(key, false, |_| {});
            }
            let keeps = |value: &[u8]| value.first() != Some(&7);
            let table = Table::read(written(&old), MARK).unwrap();
            let mut expected: Rows = old.into_iter().filter(|(_, value)| keeps(value)).collect();
            expected.extend(new);
            expected.retain(|key, _| !gone.contains(key));
            let bytes = merge(MARK, &table, &news, keeps, |lasts| *lasts);
            prop_assert_eq!(&bytes, &written(&expected));
            let merged = Table::read(bytes, MARK).unwrap();
            prop_assert_eq!(rows_of(&merged), expected.clone());
            for (place, (key, value)) in expected.iter().enumerate() {
                prop_assert_eq!((merged.find(key), merged.get(key)), (Some(place), Some(&value[..])));
            }
            for key in gone {
                prop_assert_eq!(merged.get(&key), None);
            }
        }
    }
}
