//! The stat cache: the content digest of a file, known without reading it as long as the kernel says the same of it.
//! In: paths with what the kernel said. Out: digests, read from the files where they are not known. Never: a digest of
//! content that could have changed since, which is the rule of `is_settled`; a file mapped into memory.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rayon::prelude::*;

use crate::base::digest::{Blake3, ContentDigest, Digest, Hasher};
use crate::base::path::{AbsPath, RelPath};
use crate::base::size::ByteSize;
use crate::base::table::{self, News, Table};
use crate::sys::file::{self, FileError};
use crate::sys::folder::Folder;
use crate::sys::stat::{Kind, Stat};
use crate::sys::tree::Tree;
use crate::sys::{clock, stamps, walk};

use super::stat_file::{self, Known};

/// The largest piece that is read at once, in bytes.
const PIECE: usize = 256 << 10;
/// With fewer files to read, one thread is done before another has begun.
const FEW: usize = 8;
/// Above this size a file must be on the disk for the most part.
const SPARSE_FROM: u64 = 16 << 30;
/// Entries that no run asked for in so many days are dropped.
const KEPT_DAYS: u32 = 30;
/// At the end of a run, freshly written files are read once more up to this many bytes in all.
const SETTLED_AT_ONCE: u64 = 256 << 20;

/// Why there is no digest of a file.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// It cannot be read.
    #[error("{0}")]
    File(#[from] FileError),
    /// It changed while it was read, or since it was listed.
    #[error("`{path}` changed while it was read: something else writes it during the run")]
    Changed {
        /// The file, made visible.
        path: String,
    },
    /// Reading it would take hours and find nothing but zeros.
    #[error("`{path}` is a sparse file: {size} long, of which {stored} are on the disk")]
    Sparse {
        /// The file, made visible.
        path: String,
        /// How long it is.
        size: ByteSize,
        /// How much of it is there.
        stored: ByteSize,
    },
}

/// What this process alone knows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note {
    /// Whether the same [`Stat`] proves the same content.
    settled: bool,
    /// Whether it told first of one content, then of another.
    several: bool,
}

/// What proves a file's content, as long as the kernel says the same of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// What the kernel said.
    pub stat: Stat,
    /// The content.
    pub content: ContentDigest,
    /// Whether everyone who asked in this run was told of this content.
    pub steady: bool,
}

#[derive(Debug, Default)]
struct Memory {
    /// What an earlier run knew, all of it settled.
    saved: Table,
    /// The rows of it that this process told of, a bit for each.
    told: Vec<u64>,
    /// What this process learned.
    news: News<Note>,
    changed: bool,
    /// By device, whether every two writes to a file of it show other times.
    exact: HashMap<u64, bool>,
}

/// Content digests of files by path and [`Stat`], kept in one file between runs.
#[derive(Debug)]
pub struct StatCache {
    place: AbsPath,
    memory: Mutex<Memory>,
    today: u32,
}

impl StatCache {
    /// Reads what an earlier run saved at `place`; a file that is not there or damaged is as good as an empty one.
    #[must_use]
    pub fn open(place: AbsPath) -> Self {
        let saved = file::read(&place, stat_file::LIMIT).ok().and_then(stat_file::table).unwrap_or_default();
        let told = vec![0; saved.len().div_ceil(64)];
        Self { place, memory: Mutex::new(Memory { saved, told, ..Memory::default() }), today: today() }
    }

    /// The digest of the regular file at `path`, of which the kernel said `stat`.
    ///
    /// # Errors
    /// [`HashError`]; [`HashError::Changed`] also when the file is no longer the one that `stat` tells of.
    pub fn digest_of(&self, path: &AbsPath, stat: &Stat) -> Result<ContentDigest, HashError> {
        match self.lookup(path.as_path(), stat) {
            Some(digest) => Ok(digest),
            None => self.read(path.as_path(), stat, || file::open_unfollowed(path)),
        }
    }

    /// The digests of regular files of a project, in the order given. Links that lead out of `tree` are not followed.
    ///
    /// # Errors
    /// As [`StatCache::digest_of`], for every file that has no digest, in the order given.
    pub fn digests(&self, tree: &Tree, files: &[(&RelPath, &Stat)]) -> Result<Vec<ContentDigest>, Vec<HashError>> {
        let known: Vec<Option<ContentDigest>> = {
            let mut memory = self.memory();
            let mut place = Vec::new();
            files.iter().map(|(path, stat)| memory.lookup(place_of(tree, path, &mut place), stat, self.today)).collect()
        };
        let digest = |reader: &mut Reader<'_>, ((path, stat), known): (&(&RelPath, &Stat), &Option<ContentDigest>)| match known {
            Some(digest) => Ok((*digest, None)),
            None => {
                let began = clock::now().0;
                let mut file = reader.open(path)?;
                hash(&|| tree.root().at(path), &mut file, stat, &mut reader.room).map(|digest| (digest, Some(began)))
            }
        };
        let reader = || Reader { tree, folder: None, room: Vec::new() };
        let unknown = known.iter().filter(|known| known.is_none()).count();
        let all: Vec<Result<(ContentDigest, Option<i64>), HashError>> = if unknown < FEW {
            let mut reader = reader();
            files.iter().zip(&known).map(|one| digest(&mut reader, one)).collect()
        } else {
            files.par_iter().zip(&known).map_init(reader, digest).collect()
        };
        let mut digests = Vec::with_capacity(all.len());
        let mut faults = Vec::new();
        let mut place = Vec::new();
        let mut memory = self.memory();
        memory.news.reserve(unknown);
        for ((path, stat), one) in files.iter().zip(all) {
            match one {
                Ok((digest, began)) => {
                    if let Some(began) = began {
                        memory.remember(place_of(tree, path, &mut place), stat, digest, self.today, began);
                    }
                    digests.push(digest);
                }
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(digests) } else { Err(faults) }
    }

    /// As [`StatCache::digests`], for the entries of a walk; `None` for those that are no files.
    ///
    /// # Errors
    /// As [`StatCache::digests`].
    pub fn digests_of_entries(&self, tree: &Tree, entries: &[walk::Entry]) -> Result<Vec<Option<ContentDigest>>, Vec<HashError>> {
        let is_file = |entry: &walk::Entry| matches!(entry.kind, Kind::File { .. });
        let files: Vec<(&RelPath, &Stat)> = entries.iter().filter(|entry| is_file(entry)).map(|entry| (&entry.path, &entry.stat)).collect();
        let mut digests = self.digests(tree, &files)?.into_iter();
        Ok(entries.iter().map(|entry| if is_file(entry) { digests.next() } else { None }).collect())
    }

    /// Whether it is known without reading that the file at `path`, of which the kernel says `stat`, has this content.
    #[must_use]
    pub fn proves(&self, tree: &Tree, path: &RelPath, stat: &Stat, content: ContentDigest) -> bool {
        self.memory().lookup(place_of(tree, path, &mut Vec::new()), stat, self.today) == Some(content)
    }

    /// Takes in what the caller read from a file or wrote to it. `stat` is what the kernel said afterwards, and
    /// `began` the moment, in milliseconds since 1970, before the content was first read.
    pub(super) fn remember(&self, path: &Path, stat: &Stat, digest: ContentDigest, began: i64) {
        self.memory().remember(path.as_os_str().as_bytes(), stat, digest, self.today, began);
    }

    /// Takes in what a step made or kiln itself wrote, so that nobody is writing to it: where times are exact, the next write must show
    /// another one, and nothing has to be read once more. `began` is as for [`StatCache::remember`].
    pub(super) fn remember_made<'f>(&self, tree: &Tree, made: impl IntoIterator<Item = (&'f RelPath, Stat, ContentDigest)>, began: i64) {
        let folders = [self.place.as_path().parent(), Some(tree.root().as_path())];
        let mut place = Vec::new();
        let mut memory = self.memory();
        for (path, stat, digest) in made {
            let place = place_of(tree, path, &mut place);
            let settled = is_settled(&stat, began) || memory.is_exact(stat.device, folders);
            memory.insert(place, &Known { stat, digest, day: self.today }, settled);
        }
    }

    /// What the kernel said of a file when its digest was last asked for, whether or not that proves anything.
    #[must_use]
    pub fn seen(&self, tree: &Tree, path: &RelPath) -> Option<Stat> {
        self.memory().find(place_of(tree, path, &mut Vec::new())).map(|(known, _)| known.stat)
    }

    /// What is known beyond doubt of a file's content, for who believes it without a look.
    #[must_use]
    pub fn proof(&self, tree: &Tree, path: &RelPath) -> Option<Proof> {
        let (known, found) = self.memory().find(place_of(tree, path, &mut Vec::new()))?;
        let (settled, steady) = match found {
            Found::News(note) => (note.settled, !note.several),
            Found::Saved { told, .. } => (true, told),
        };
        settled.then_some(Proof { stat: known.stat, content: known.digest, steady })
    }

    /// The digest, when it is known without reading.
    pub(super) fn lookup(&self, path: &Path, stat: &Stat) -> Option<ContentDigest> {
        self.memory().lookup(path.as_os_str().as_bytes(), stat, self.today)
    }

    fn read(&self, path: &Path, stat: &Stat, open: impl FnOnce() -> Result<File, FileError>) -> Result<ContentDigest, HashError> {
        let began = clock::now().0;
        let digest = hash(&|| path, &mut open()?, stat, &mut Vec::new())?;
        self.remember(path, stat, digest, began);
        Ok(digest)
    }

    /// Writes what is known for the next run, if anything is new. Files that were written right before they were read
    /// are read once more here, so that the next run need not.
    ///
    /// # Errors
    /// [`FileError`]; nothing is lost but time.
    pub fn save(&self) -> Result<(), FileError> {
        if !self.memory().changed {
            return Ok(());
        }
        self.settle();
        let mut memory = self.memory();
        let oldest = self.today.saturating_sub(KEPT_DAYS);
        let keeps = |value: &[u8]| stat_file::day(value).is_some_and(|day| day >= oldest);
        let bytes = table::merge(stat_file::MARK, &memory.saved, &memory.news, keeps, |note| note.settled);
        memory.changed = false;
        drop(memory);
        file::write_atomic(&self.place, &bytes, false)
    }

    fn settle(&self) {
        let now = i128::from(clock::now().0) * 1_000_000;
        let mut left = SETTLED_AT_ONCE;
        // A wait of some ticks is worth it; a file stamped in whole seconds, or by a clock that runs ahead, is not waited for.
        let soon = |stat: &Stat| newest(stat) + margin(stat) < now + i128::from(2 * TICK_MS) * 1_000_000;
        let fresh: Vec<(Box<[u8]>, Stat)> = {
            let memory = self.memory();
            let unsettled = memory.news.iter().filter(|(_, _, note)| !note.settled);
            let fresh = unsettled.filter_map(|(path, value, _)| Some((path, Known::read(value)?.stat))).filter(|(_, stat)| soon(stat));
            let affordable = fresh.filter(|(_, stat)| {
                let fits = stat.size <= left;
                left -= if fits { stat.size } else { 0 };
                fits
            });
            affordable.map(|(path, stat)| (path.into(), stat)).collect()
        };
        let Some(last) = fresh.iter().map(|(_, stat)| newest(stat) + margin(stat)).max() else { return };
        std::thread::sleep(Duration::from_nanos(u64::try_from(last - now).unwrap_or(0)) + Duration::from_millis(1));
        fresh.par_iter().for_each(|(path, stat)| {
            let path = Path::new(std::ffi::OsStr::from_bytes(path));
            // A file that is gone or changed is looked at by the run that needs it.
            let _ = self.read(path, stat, || file::open_unfollowed(path));
        });
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// What is known of a file, and from where.
    fn find(&self, path: &[u8]) -> Option<(Known, Found)> {
        if let Some((value, note)) = self.news.get(path) {
            return Some((Known::read(value)?, Found::News(*note)));
        }
        let row = self.saved.find(path)?;
        let told = self.told[row / 64] & 1 << (row % 64) != 0;
        Some((Known::read(self.saved.row(row)?.1)?, Found::Saved { row, told }))
    }

    fn remember(&mut self, path: &[u8], stat: &Stat, digest: ContentDigest, today: u32, began: i64) {
        self.insert(path, &Known { stat: *stat, digest, day: today }, is_settled(stat, began));
    }

    fn insert(&mut self, path: &[u8], known: &Known, settled: bool) {
        self.changed = true;
        let several = self.find(path).is_some_and(|(old, found)| match found {
            Found::News(note) => note.several || old.digest != known.digest,
            Found::Saved { told, .. } => told && old.digest != known.digest,
        });
        self.news.set(path, Note { settled, several }, |bytes| known.write(bytes));
    }

    /// Whether times are exact on a device that one of these folders lies on.
    fn is_exact(&mut self, device: u64, folders: [Option<&Path>; 2]) -> bool {
        for folder in folders.into_iter().flatten() {
            if self.exact.contains_key(&device) {
                break;
            }
            self.exact.extend(stamps::of(folder));
        }
        *self.exact.entry(device).or_insert(false)
    }

    fn lookup(&mut self, path: &[u8], stat: &Stat, today: u32) -> Option<ContentDigest> {
        let (known, found) = self.find(path)?;
        if known.stat != *stat {
            return None;
        }
        match found {
            Found::News(note) => note.settled.then_some(known.digest),
            Found::Saved { row, .. } => {
                self.told[row / 64] |= 1 << (row % 64);
                // The day alone is not worth a write each morning.
                if known.day + KEPT_DAYS / 4 < today {
                    self.insert(path, &Known { day: today, ..known }, true);
                }
                Some(known.digest)
            }
        }
    }
}

/// From where something is known of a file.
#[derive(Debug, Clone, Copy)]
enum Found {
    /// This process learned it.
    News(Note),
    /// An earlier run wrote it, and this process told of it or not.
    Saved { row: usize, told: bool },
}

fn today() -> u32 {
    u32::try_from(clock::now().seconds() / 86_400).unwrap_or(0)
}

/// Twice the longest step of the kernel's clock for files, in milliseconds.
const TICK_MS: i64 = 20;

/// Whether a file that is written after the moment `began` (milliseconds since 1970) must show another [`Stat`].
///
/// The kernel stamps files with a clock that moves in steps. Content that was read in the very step of the last write
/// may be overwritten in the same step, with the same size and the same stamp; git calls such an entry racy. The owner
/// may set the time of modification to anything, but not the time of change: both must lie in the past, and a file from
/// the future is read in every run, until the clock has caught up.
#[must_use]
pub fn is_settled(stat: &Stat, began: i64) -> bool {
    newest(stat) + margin(stat) < i128::from(began) * 1_000_000
}

fn newest(stat: &Stat) -> i128 {
    stat.modified.max(stat.changed)
}

/// The step of the clock, in nanoseconds: some file systems count whole seconds, FAT even two.
fn margin(stat: &Stat) -> i128 {
    let whole = stat.modified % 1_000_000_000 == 0 && stat.changed % 1_000_000_000 == 0;
    if whole { 2_100_000_000 } else { i128::from(TICK_MS) * 1_000_000 }
}

/// The path of a file of a tree, written to `place`: many are asked for, one after the other.
fn place_of<'p>(tree: &Tree, path: &RelPath, place: &'p mut Vec<u8>) -> &'p [u8] {
    let root = tree.root().as_path().as_os_str().as_bytes();
    place.clear();
    place.extend_from_slice(root);
    if !path.is_root() {
        if !root.ends_with(b"/") {
            place.push(b'/');
        }
        place.extend_from_slice(path.as_bytes());
    }
    place
}

/// Reads many files, folder by folder.
struct Reader<'t> {
    tree: &'t Tree,
    /// The folder of the last file, by its path, open for the next one.
    folder: Option<(Box<[u8]>, Folder)>,
    /// Used again for the next file.
    room: Vec<u8>,
}

impl Reader<'_> {
    fn open(&mut self, path: &RelPath) -> Result<File, FileError> {
        let above = path.above();
        if self.folder.as_ref().is_none_or(|(known, _)| **known != *above) {
            let found = path.parent().and_then(|parent| self.tree.folder(&parent).ok()?);
            self.folder = found.map(|folder| (above.into(), folder));
        }
        match &self.folder {
            Some((_, folder)) => self.tree.open_unseen_in(folder, path),
            None => self.tree.open_unseen(path),
        }
    }
}

/// Hashes an open file that must be the regular one that `stat` tells of. `room` is used again for the next one.
///
/// One look is enough, and it comes last: a file that is still what `stat` tells of was so from the first byte on.
fn hash<P: AsRef<Path>>(path: &dyn Fn() -> P, file: &mut File, stat: &Stat, room: &mut Vec<u8>) -> Result<ContentDigest, HashError> {
    let shown = || crate::base::words::visible(&path().as_ref().to_string_lossy());
    let changed = || HashError::Changed { path: shown() };
    let fault = |act, cause| FileError { act, path: path().as_ref().to_owned(), cause };
    if stat.size > SPARSE_FROM {
        let stored = file.metadata().map_err(|cause| fault("look at", cause))?.blocks().saturating_mul(512);
        if stored < stat.size / 64 {
            return Err(HashError::Sparse { path: shown(), size: ByteSize(stat.size), stored: ByteSize(stored) });
        }
    }
    // Room for one byte more: a read that does not fill it has found the end.
    let piece = usize::try_from(stat.size).unwrap_or(PIECE).saturating_add(1).min(PIECE);
    if room.len() < piece {
        room.resize(piece, 0);
    }
    let mut hasher = None;
    let mut length = 0;
    let digest: Result<Digest<Blake3>, io::Error> = loop {
        match file.read(&mut room[..piece]) {
            Ok(count) => {
                length += count as u64;
                // What is longer than it was is found by the look, too.
                let ends = count == 0 || length > stat.size || (length == stat.size && count < piece);
                match hasher.take() {
                    None if ends => break Ok(Digest::of(&room[..count])),
                    so_far => {
                        let mut so_far = so_far.unwrap_or_else(Hasher::new);
                        so_far.update(&room[..count]);
                        if ends {
                            break Ok(so_far.finish());
                        }
                        hasher = Some(so_far);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    let now = file::look(file).map_err(|cause| fault("look at", cause))?;
    // What took the file's place may be something that cannot be read.
    if now != *stat {
        return Err(changed());
    }
    let digest = digest.map_err(|cause| fault("read", cause))?;
    if length == stat.size { Ok(ContentDigest(digest)) } else { Err(changed()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_trusted_only_when_the_clock_moved_on_between_the_last_change_and_the_reading() {
        const MS: i128 = 1_000_000;
        let now: i64 = 1_700_000_000_123;
        let at = |ms: i64| i128::from(now + ms) * MS + 1;
        for (modified, changed, expected, why) in [
            (at(-1_000), at(-1_000), true, "a second ago"),
            (at(-1_000), at(0), false, "changed in this step, with the time of modification set back"),
            (at(0), at(-1_000), false, "modified in this step"),
            (at(-5), at(-5), false, "may be the same step"),
            (at(-30), at(-30), true, "another step"),
            (at(86_400_000), at(-1_000), false, "from the future"),
            (1, at(-1_000), true, "from 1970"),
            (-5 * MS * 1_000 + 1, at(-1_000), true, "from before 1970"),
            (at(-1_000) / (1_000 * MS) * (1_000 * MS), at(-1_000) / (1_000 * MS) * (1_000 * MS), false, "in whole seconds, just now"),
            (0, at(-9_000) / (1_000 * MS) * (1_000 * MS), true, "in whole seconds, long ago"),
        ] {
            let stat = Stat { device: 1, inode: 1, size: 1, mode: 0o100_644, modified, changed };
            assert_eq!(is_settled(&stat, now), expected, "{why}");
        }
    }

    #[test]
    fn content_read_in_the_step_of_the_last_change_is_read_again_and_older_content_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| AbsPath::new(folder.path().join(name)).unwrap();
        let path = place("file");
        file::write_atomic(&path, b"second", false).unwrap();
        let stat = Stat::of(&file::status(&path).unwrap());
        let first = ContentDigest(Digest::of(b"first!"));
        let second = ContentDigest(Digest::of(b"second"));
        let changed_ms = i64::try_from(stat.changed / 1_000_000).unwrap();
        // What a kernel with a coarse clock shows: the file held `first!` when it was read, and the stamps stayed.
        for (began, expected) in [(changed_ms, second), (changed_ms + 1_000, first)] {
            let cache = StatCache::open(place("none"));
            cache.remember(path.as_path(), &stat, first, began);
            assert_eq!(cache.digest_of(&path, &stat).unwrap(), expected);
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the test writes to the file as a step does")]
    fn what_was_just_made_is_known_at_once_only_where_the_next_write_must_show_another_time() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::open(&AbsPath::new(folder.path()).unwrap()).unwrap();
        let (path, place) = (RelPath::new("made").unwrap(), AbsPath::new(folder.path().join("made")).unwrap());
        let exact = stamps::of(folder.path()).is_some_and(|(_, exact)| exact);
        let cache = StatCache::open(AbsPath::new(folder.path().join("none")).unwrap());
        let write = |round: u32| {
            let bytes = format!("{round:9}");
            std::fs::write(&place, &bytes).unwrap();
            (Stat::of(&file::status(&place).unwrap()), ContentDigest(Digest::of(bytes.as_bytes())))
        };
        for round in 0..500 {
            let began = clock::now().0;
            let (stat, digest) = write(round);
            cache.remember_made(&tree, [(&path, stat, digest)], began);
            assert_eq!(cache.lookup(place.as_path(), &stat), exact.then_some(digest), "{round}");
            assert_eq!(cache.seen(&tree, &path), Some(stat));
            // The same size, in the same step of the clock.
            let (later, _) = write(round + 1_000);
            assert!(!exact || cache.lookup(place.as_path(), &later).is_none(), "{round}: a write was not seen");
        }
    }
}
