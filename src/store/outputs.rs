//! Outputs: what a step made, as its declared outputs name it.
//! In: patterns and a project. Out: a list with every file's content in the store, or how the project differs from such a
//! list. Never: a link followed, a file of the user shared with the store, an output left out because it could not be read.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::Read as _;

use rayon::prelude::*;

use crate::base::digest::{Blake3, ContentDigest, Digest};
use crate::base::path::{AbsPath, RelPath};
use crate::base::pattern::Pattern;
use crate::base::words;
use crate::sys::clock;
use crate::sys::file::{FileError, at};
use crate::sys::stat::{Kind, Stat};
use crate::sys::tree::Tree;
use crate::sys::walk::{self, Entry, Folders, WalkError};

use super::blob::StoreError;
use super::held::{Held, LARGEST};
use super::left;
use super::local::Store;
use super::result::{OutputEntry, OutputFile};
use super::stat_cache::{HashError, StatCache};

/// Why outputs cannot be kept, compared or restored.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The step succeeded without making what it declares.
    #[error("the declared {} {} not made", if .0.len() == 1 { "output" } else { "outputs" }, words_of(.0))]
    NotMade(Vec<String>),
    /// They cannot be listed.
    #[error("{0}")]
    Walk(#[from] WalkError),
    /// A file cannot be read, or changes while it is.
    #[error("{0}")]
    Hash(#[from] HashError),
    /// The disk or the permissions of the project.
    #[error("{0}")]
    File(#[from] FileError),
    /// The store cannot take or give a blob.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A recorded output is none of the declared ones, or lies below another one that is no folder.
    #[error("the recorded output `{0}` does not belong to the declared outputs")]
    Foreign(RelPath),
}

impl OutputError {
    /// Whether the disk or the quota is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::File(error) => error.is_full(),
            Self::Store(error) => error.is_full(),
            _ => false,
        }
    }
}

fn words_of(names: &[String]) -> String {
    let verb = if names.len() == 1 { "was" } else { "were" };
    format!("{} {verb}", words::list(names, "and"))
}

/// How a project differs from a recorded list of outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub path: RelPath,
    /// What.
    pub what: Harm,
}

/// What is wrong with an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// It is recorded, but not there.
    Missing,
    /// It is there, but not recorded.
    Extra,
    /// Content, kind, target or executable bit is another.
    Changed,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.what {
            Harm::Missing => "is missing",
            Harm::Extra => "was not made by the step",
            Harm::Changed => "was changed",
        };
        write!(f, "`{}` {words}", self.path)
    }
}

/// Whether recorded outputs are in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// All are there, unchanged, and nothing else is.
    InPlace,
    /// Sorted by path, never empty.
    Damaged(Vec<Damage>),
}

/// An output, with its content where the record holds that.
type Kept = (OutputFile, Option<Vec<u8>>);

/// Where the content of a file goes.
enum Way {
    Blob,
    Record,
}

/// Files that one thread brings to the store before another one is worth it.
const FEW: usize = 8;

/// Lists what `outputs` name below `root` and brings the content of the files to the store; `held` takes small contents in as long as
/// it has room, and these become no blobs. Links are kept as links, wherever they lead; folders are kept when nothing is in them.
///
/// # Errors
/// Every fault found: a name without wildcards that is not there, a FIFO, a file that changes meanwhile, a full disk.
pub fn capture(
    store: &Store,
    cache: &StatCache,
    root: &AbsPath,
    outputs: &[Pattern],
    mut held: Option<&mut Held>,
) -> Result<Vec<OutputFile>, Vec<OutputError>> {
    let include: Vec<&Pattern> = outputs.iter().collect();
    let tree = Tree::open(root).map_err(one)?;
    let selection = walk::select(&tree, &include, &[], Folders::Empty).map_err(all)?;
    if !selection.missing.is_empty() {
        let names = selection.missing.iter().map(|index| outputs[*index].to_string()).collect();
        return Err(vec![OutputError::NotMade(names)]);
    }
    left::sweep(store, &tree, selection.entries.iter().map(|entry| &entry.path));
    let mut room = held.as_deref().map(Held::room);
    let way = |entry: &Entry| match (entry.kind, &mut room) {
        (Kind::File { .. }, Some(room)) if entry.stat.size <= LARGEST.min(*room) => {
            *room -= entry.stat.size;
            Way::Record
        }
        _ => Way::Blob,
    };
    let ways: Vec<Way> = selection.entries.iter().map(way).collect();
    let keep = |(entry, way): (&Entry, &Way)| {
        let mut content = None;
        let kept = match entry.kind {
            Kind::File { executable } => {
                let digest = match way {
                    Way::Blob => keep_file(store, cache, &tree, entry)?,
                    Way::Record => {
                        let (digest, bytes) = read_small(cache, &tree, entry)?;
                        content = Some(bytes);
                        digest
                    }
                };
                OutputEntry::File { digest, size: entry.stat.size, executable }
            }
            Kind::Link => OutputEntry::Link { target: tree.read_link(&entry.path)? },
            Kind::Folder => OutputEntry::Folder,
            Kind::Special(what) => return Err(WalkError::Special { path: entry.path.clone(), what }.into()),
        };
        Ok((OutputFile { path: entry.path.clone(), entry: kept }, content))
    };
    let work = selection.entries.iter().zip(&ways);
    let kept: Vec<Result<Kept, OutputError>> =
        if work.len() < FEW { work.map(keep).collect() } else { selection.entries.par_iter().zip(&ways).map(keep).collect() };
    let mut files = Vec::with_capacity(kept.len());
    let mut faults = Vec::new();
    for one in kept {
        match one {
            Ok((file, content)) => {
                if let (Some(held), Some(content), OutputEntry::File { digest, .. }) = (held.as_deref_mut(), content, &file.entry) {
                    held.take(*digest, &content);
                }
                files.push(file);
            }
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(files) } else { Err(faults) }
}

/// The digest and the bytes of a small file.
fn read_small(cache: &StatCache, tree: &Tree, entry: &Entry) -> Result<(ContentDigest, Vec<u8>), OutputError> {
    let path = tree.root().at(&entry.path);
    let changed = || HashError::Changed { path: path.to_string() };
    let began = clock::now().0;
    let (mut file, before) = tree.open_seen(&entry.path)?;
    if before != entry.stat {
        return Err(changed().into());
    }
    let mut bytes = vec![0; usize::try_from(entry.stat.size).unwrap_or_default()];
    match file.read_exact(&mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(changed().into()),
        Err(cause) => return Err(FileError { act: "read", path: path.as_path().to_owned(), cause }.into()),
    }
    // A file that has grown meanwhile is another one.
    unchanged(&file, entry, &path)?;
    let digest = ContentDigest(Digest::of(&bytes));
    cache.remember_made(tree, [(&entry.path, entry.stat, digest)], began);
    Ok((digest, bytes))
}

fn keep_file(store: &Store, cache: &StatCache, tree: &Tree, entry: &Entry) -> Result<ContentDigest, OutputError> {
    let path = tree.root().at(&entry.path);
    if let Some(digest) = cache.lookup(path.as_path(), &entry.stat)
        && store.size_of(digest.0) == Some(entry.stat.size)
    {
        return Ok(digest);
    }
    let began = clock::now().0;
    let mut file = tree.open_file(&entry.path)?;
    unchanged(&file, entry, &path)?;
    let mut writer = store.writer::<Blake3>()?;
    writer.copy_from(&mut file, &path)?;
    unchanged(&file, entry, &path)?;
    if writer.size() != entry.stat.size {
        return Err(HashError::Changed { path: path.to_string() }.into());
    }
    let (digest, _) = writer.commit()?;
    cache.remember_made(tree, [(&entry.path, entry.stat, ContentDigest(digest))], began);
    Ok(ContentDigest(digest))
}

fn unchanged(file: &File, entry: &Entry, path: &AbsPath) -> Result<(), OutputError> {
    let now = Stat::of(&at("look at", path, file.metadata())?);
    if now == entry.stat { Ok(()) } else { Err(HashError::Changed { path: path.to_string() }.into()) }
}

/// Compares what `outputs` name in `tree` with what was recorded. Files that the stat cache knows are not read.
///
/// # Errors
/// Every fault found; damage is no fault.
pub fn verify(cache: &StatCache, tree: &Tree, recorded: &[OutputFile], outputs: &[Pattern]) -> Result<State, Vec<OutputError>> {
    let difference = Difference::find(cache, tree, recorded, outputs)?;
    let wrong = difference
        .wanted
        .iter()
        .map(|(output, found)| Damage { path: output.path.clone(), what: if found.is_some() { Harm::Changed } else { Harm::Missing } });
    let extra = difference.extra.iter().map(|entry| Damage { path: entry.path.clone(), what: Harm::Extra });
    let mut damage: Vec<Damage> = wrong.chain(extra).collect();
    damage.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(if damage.is_empty() { State::InPlace } else { State::Damaged(damage) })
}

/// What must be done so that exactly the recorded outputs are there.
pub(super) struct Difference<'a> {
    /// Recorded, but missing or another; with what stands there now.
    pub(super) wanted: Vec<(&'a OutputFile, Option<Kind>)>,
    /// There, but not recorded, and not in the way to a recorded one.
    pub(super) extra: Vec<Entry>,
    /// The folders that recorded outputs lie in.
    pub(super) above: HashSet<RelPath>,
}

impl<'a> Difference<'a> {
    pub(super) fn find(cache: &StatCache, tree: &Tree, recorded: &'a [OutputFile], outputs: &[Pattern]) -> Result<Self, Vec<OutputError>> {
        let above = folders_of(recorded, outputs).map_err(one)?;
        let include: Vec<&Pattern> = outputs.iter().collect();
        let entries = walk::survey(tree, &include, &[], Folders::Empty).map_err(all)?.entries;
        let mut there: HashMap<RelPath, Entry> = entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
        let mut wanted = Vec::new();
        let mut to_hash = Vec::new();
        for output in recorded {
            match there.remove(&output.path) {
                None => wanted.push((output, None)),
                Some(entry) => match looks_right(tree, output, &entry).map_err(one)? {
                    Look::Right => {}
                    Look::Other => wanted.push((output, Some(entry.kind))),
                    Look::Content(digest) => to_hash.push((output, entry, digest)),
                },
            }
        }
        let files: Vec<(&RelPath, &Stat)> = to_hash.iter().map(|(_, entry, _)| (&entry.path, &entry.stat)).collect();
        let digests = cache.digests(tree, &files).map_err(all)?;
        let other = to_hash.iter().zip(digests).filter(|((_, _, digest), found)| digest != found);
        wanted.extend(other.map(|((output, entry, _), _)| (*output, Some(entry.kind))));
        let mut extra: Vec<Entry> =
            there.into_values().filter(|entry| entry.kind != Kind::Folder || !above.contains(&entry.path)).collect();
        extra.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { wanted, extra, above })
    }
}

enum Look {
    Right,
    Other,
    /// All but the content is right, which must be this.
    Content(ContentDigest),
}

fn looks_right(tree: &Tree, output: &OutputFile, entry: &Entry) -> Result<Look, FileError> {
    Ok(match (&output.entry, entry.kind) {
        (OutputEntry::File { digest, size, executable }, Kind::File { executable: now })
            if *size == entry.stat.size && *executable == now =>
        {
            Look::Content(*digest)
        }
        (OutputEntry::Link { target }, Kind::Link) if *target == tree.read_link(&entry.path)? => Look::Right,
        (OutputEntry::Folder, Kind::Folder) => Look::Right,
        _ => Look::Other,
    })
}

/// The folders around the recorded outputs. A record may come from another machine: each of its paths must be one that the
/// declared outputs reach, and none may lie below another.
fn folders_of(recorded: &[OutputFile], outputs: &[Pattern]) -> Result<HashSet<RelPath>, OutputError> {
    let sorted = recorded.windows(2).all(|pair| pair[0].path < pair[1].path);
    let mut above = HashSet::new();
    let mut paths = HashSet::new();
    let mut last: Option<&[u8]> = None;
    for output in recorded {
        let foreign = output.path.is_root() && output.entry != OutputEntry::Folder;
        let twice = !sorted && !paths.insert(&output.path);
        if foreign || twice || !outputs.iter().any(|pattern| walk::reaches(pattern, &output.path)) {
            return Err(OutputError::Foreign(output.path.clone()));
        }
        // Neighbours share their folders.
        let mut folder = if last == Some(output.path.above()) { None } else { output.path.parent() };
        last = Some(output.path.above()).filter(|_| !output.path.is_root());
        while let Some(path) = folder {
            folder = path.parent();
            if !above.insert(path) {
                break;
            }
        }
    }
    match recorded.iter().find(|output| above.contains(&output.path)) {
        Some(output) => Err(OutputError::Foreign(output.path.clone())),
        None => Ok(above),
    }
}

fn one(error: impl Into<OutputError>) -> Vec<OutputError> {
    vec![error.into()]
}

fn all<E: Into<OutputError>>(errors: Vec<E>) -> Vec<OutputError> {
    errors.into_iter().map(Into::into).collect()
}
