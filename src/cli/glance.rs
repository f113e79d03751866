//! Glances: what a command said while everything stood in place, kept with all that was seen to find it, so that the next command
//! only sees whether anything is different.
//! In: what decided an answer, and the answer. Out: the same answer as long as nothing that decided it changed, with the files that are
//! different where they are few; or nothing.
//! Never: an answer where something would run, was warned of, or is looked at each time (registries, versions of tools); an answer
//! from a damaged file; an error.
//!
//! What is believed of a file or folder is what the stat cache believes: the same device, number, size, mode and times prove the
//! same content, when the last change lies before the first look by more than a step of the kernel's clock. A name that comes or
//! goes changes its folder.
//!
//! The file is a checksum (32 bytes) over all that follows it: the length of [`Kept`] (4) and of what was seen (8), [`Kept`] in
//! postcard's encoding, what was seen (`sys::sights`), and the answer.

use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::canon::{HashSink, Sink as _};
use crate::base::digest::{Blake3, Digest};
use crate::base::id::StepId;
use crate::base::path::{AbsPath, RelPath};
use crate::engine::Machine;
use crate::graph::action::ActionKind;
use crate::record::history;
use crate::store::local::Store;
use crate::store::{lately, stat_cache};
use crate::sys::account::{Account, Sight};
use crate::sys::file::{self, FileError};
use crate::sys::sights::{self, Differences};
use crate::sys::stat::{Kind, Stat};
use crate::sys::tree::Tree;
use crate::sys::{clock, env, program};

use super::args::{Plan, Run};
use super::compiled::Origin;
use super::machine;
use super::open::{self, Opened, Same};
use super::output::Output;
use super::settings::{RESULTS, Settings};

/// The largest file that is read, in bytes.
const LIMIT: u64 = 1 << 30;
const SUM: usize = 32;
/// By so many bytes a file may grow that is written in place of another one.
const SPARE: usize = 64 << 10;
const HEAD: usize = SUM + 4 + 8;
/// Answers of one project that are kept for each command: other targets and other screens have places of their own, up to so many.
const PLACES: u8 = 8;

/// What kiln itself keeps beside the project and an answer rests on: the lock, the history, the results that were found lately.
type Beside = [Option<Stat>; 3];

#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    /// What was asked, and for which screen.
    asked: Digest<Blake3>,
    /// The folder of the store.
    store: Digest<Blake3>,
    /// The first second in which the answer is good, and the first in which it no longer is.
    from: i64,
    until: i64,
    origin: Origin,
    beside: Beside,
    world: World,
}

/// What steps take from the machine besides files of the project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct World {
    /// Variables that are passed and keyed.
    variables: Vec<(String, Option<OsString>)>,
    /// Programs, where PATH leads to them, and what stands there.
    programs: Vec<(String, Option<(PathBuf, Stat)>)>,
}

/// The place for the answer to one command.
pub struct Glance<'s> {
    settings: &'s Settings,
    targets: &'s [String],
    place: AbsPath,
    asked: Digest<Blake3>,
    /// The moment before anything was looked at, in milliseconds since 1970.
    began: i64,
    beside: Beside,
}

/// An answer that is right but for what files say that are different now.
pub struct Answer<'s> {
    file: Arc<Vec<u8>>,
    kept: Kept,
    seen: Range<usize>,
    /// The plan that it is about, which is the same.
    pub plan: Same<'s>,
    /// Files that are different now; none where the answer is right.
    pub changed: Vec<RelPath>,
    /// The store that it rests on.
    pub store: Store,
}

impl Answer<'_> {
    /// The answer as it was kept.
    pub fn bytes(&self) -> &[u8] {
        &self.file[self.seen.end..]
    }

    /// The bytes that it is among, and where it begins.
    pub fn among(&self) -> (&Arc<Vec<u8>>, usize) {
        (&self.file, self.seen.end)
    }

    /// What decided the plan.
    pub fn origin(&self) -> &Origin {
        &self.kept.origin
    }
}

impl<'s> Glance<'s> {
    /// The place for this `plan`; `None` for one whose answer is not kept.
    pub fn of_plan(settings: &'s Settings, output: &Output, asked: &'s Plan) -> Option<Self> {
        if asked.digest || asked.keys || asked.other.is_some() {
            return None;
        }
        let style = format!("{:?} {}", output.out, output.json);
        Self::of(settings, "glance", &style, &asked.targets)
    }

    /// The place for this `run`; `None` for one whose end is not kept.
    pub fn of_run(settings: &'s Settings, output: &Output, asked: &'s Run) -> Option<Self> {
        let how = &asked.how;
        // These want to hear of every step.
        if output.json || how.verbose || how.force || super::reports::Reports::new(&how.reports, true).is_some() {
            return None;
        }
        Self::of(settings, "rerun", "", &asked.targets)
    }

    fn of(settings: &'s Settings, name: &str, style: &str, targets: &'s [String]) -> Option<Self> {
        let began = clock::now().0;
        if settings.offline || settings.frozen {
            return None;
        }
        let mut sink = HashSink::new("kiln glance 3");
        sink.text("name", name);
        sink.text("style", style);
        for target in targets {
            sink.text("target", target);
        }
        let asked = sink.finish();
        let place = settings.project().join(format!("{name}-{}", asked.as_bytes()[0] % PLACES));
        Some(Self { settings, targets, place, asked, began, beside: beside(settings)? })
    }

    /// The answer, when it is known and nothing that decided it is different, but for up to `most` files.
    pub fn answer(&self, most: usize) -> Option<Answer<'s>> {
        let file = file::read(&self.place, LIMIT).ok()?;
        let (kept, seen) = decode(&file)?;
        let known = kept.asked == self.asked && kept.beside == self.beside && (kept.from..kept.until).contains(&clock::now().seconds());
        if !known {
            return None;
        }
        let store = machine::store(self.settings).ok()?;
        let tree = Tree::open(&self.settings.root).ok()?;
        if lately::identity(&store) != kept.store || !kept.world.is_same(&self.settings.root) {
            return None;
        }
        let Differences { names: changed, links } = sights::differences(&tree, &file[seen.clone()], most)?;
        // Who reads a file through a link has told of the link, and of the file under its own name.
        if links && !changed.is_empty() {
            return None;
        }
        let plan = open::same(self.settings, self.targets, &kept.origin)?;
        Some(Answer { file: Arc::new(file), kept, seen, plan, changed, store })
    }

    /// Keeps an answer in place of one that was right but for some files: `seen` is what stands there now, proven, and `write` gives
    /// what follows.
    ///
    /// # Errors
    /// As [`Glance::keep`].
    pub fn amend(
        self,
        former: &Answer<'_>,
        machine: &Machine,
        seen: &[Sight],
        write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
    ) -> Result<(), FileError> {
        let sights = |bytes: &mut Vec<u8>| {
            let start = bytes.len();
            bytes.extend_from_slice(&former.file[former.seen.clone()]);
            sights::amend(&mut bytes[start..], seen)
        };
        self.replace(former, machine.lately.span(), sights, write)
    }

    /// Keeps a former answer after a command that could not bring everything into place: it tells no less of the files that are
    /// different, and more may be different now.
    ///
    /// # Errors
    /// As [`Glance::keep`].
    pub fn keep_former(self, former: &Answer<'_>) -> Result<(), FileError> {
        let span = former.kept.from..former.kept.until;
        self.replace(former, span, copy(&former.file[former.seen.clone()]), copy(former.bytes()))
    }

    fn replace(
        self,
        former: &Answer<'_>,
        span: Range<i64>,
        seen: impl FnOnce(&mut Vec<u8>) -> Option<()>,
        answer: impl FnOnce(&mut Vec<u8>) -> Option<()>,
    ) -> Result<(), FileError> {
        let Some(beside) = self.beside_now(&former.kept.beside) else { return Ok(()) };
        let kept = Kept { from: span.start, until: span.end.min(former.kept.until), beside, ..former.kept.clone() };
        self.put(encode(&kept, former.file.len(), seen, answer))
    }

    /// What lies beside the project after a command that has written its own; `None` where the lock is another one than it found.
    fn beside_now(&self, found: &Beside) -> Option<Beside> {
        beside(self.settings).filter(|now| now[0] == found[0])
    }

    fn put(&self, file: Option<Vec<u8>>) -> Result<(), FileError> {
        file.map_or(Ok(()), |bytes| file::write_atomic(&self.place, &bytes, false))
    }

    /// Keeps an answer that said of all `steps` that they stand in place.
    ///
    /// # Errors
    /// [`FileError`]; nothing is lost but time.
    pub fn keep(self, opened: &Opened, steps: &[StepId], machine: &Machine, account: &Account, answer: &[u8]) -> Result<(), FileError> {
        let Some(seen) = account.complete() else { return Ok(()) };
        // What this command itself wrote is known only to the next one.
        let settled = seen.iter().filter_map(|(_, stat)| stat.as_ref()).all(|stat| stat_cache::is_settled(stat, self.began));
        let same = settled && beside(self.settings) == Some(self.beside);
        if same { self.write(opened, steps, machine, &seen, answer) } else { Ok(()) }
    }

    /// As [`Glance::keep`], for a command that brought all `steps` into place itself, and has written down what it knows: `seen` is proven.
    ///
    /// # Errors
    /// As [`Glance::keep`].
    pub fn keep_made(
        mut self,
        opened: &Opened,
        steps: &[StepId],
        machine: &Machine,
        seen: &[Sight],
        answer: &[u8],
    ) -> Result<(), FileError> {
        let Some(beside) = self.beside_now(&self.beside) else { return Ok(()) };
        self.beside = beside;
        self.write(opened, steps, machine, seen, answer)
    }

    fn write(self, opened: &Opened, steps: &[StepId], machine: &Machine, seen: &[Sight], answer: &[u8]) -> Result<(), FileError> {
        let plain = opened.undecided.is_empty() && opened.warnings.is_empty();
        let Some(origin) = opened.origin.as_ref().filter(|origin| plain && origin.runs_nothing()) else { return Ok(()) };
        let Some(world) = World::of(opened, steps, &machine.root) else { return Ok(()) };
        let programs = world.programs.iter().filter_map(|(_, found)| Some(&found.as_ref()?.1));
        // The history and the results are written by kiln alone, and each time to a new file: they cannot change within one step of
        // the clock and look the same. So a run right after the one that wrote them is kept, too.
        let [lock, ..] = &self.beside;
        if !lock.iter().chain(programs).all(|stat| stat_cache::is_settled(stat, self.began)) {
            return Ok(());
        }
        let span = machine.lately.span();
        let store = lately::identity(&machine.store);
        let Self { asked, beside, .. } = self;
        let kept = Kept { asked, store, from: span.start, until: span.end, origin: origin.clone(), beside, world };
        let seen = |bytes: &mut Vec<u8>| sights::encode(seen, bytes);
        self.put(encode(&kept, 0, seen, copy(answer)))
    }
}

impl World {
    /// What these steps take; `None` when one of them is looked at each time.
    fn of(opened: &Opened, steps: &[StepId], root: &AbsPath) -> Option<Self> {
        let mut world = Self::default();
        for id in steps {
            let cell = match &opened.graph.action(*id).kind {
                ActionKind::Group => continue,
                ActionKind::Run(cell) => cell,
                _ => return None,
            };
            let keyed = cell.pass_env.iter().filter(|name| !cell.unkeyed.contains(name));
            world.variables.extend(keyed.map(|name| (name.clone(), env::exact(name))));
            // Whose version counts is asked for it.
            if cell.tools.iter().any(|name| opened.plan.tools.iter().any(|tool| tool.name == *name)) {
                return None;
            }
            world.programs.extend(cell.tools.iter().map(|name| (name.clone(), None)));
        }
        world.variables.sort();
        world.variables.dedup();
        world.programs.sort_by(|(one, _), (other, _)| one.cmp(other));
        world.programs.dedup_by(|(one, _), (other, _)| one == other);
        for (name, found) in &mut world.programs {
            *found = program_at(name, root);
        }
        Some(world)
    }

    fn is_same(&self, root: &AbsPath) -> bool {
        self.variables.iter().all(|(name, value)| env::exact(name) == *value)
            && self.programs.iter().all(|(name, found)| found.is_some() && program_at(name, root) == *found)
    }
}

fn program_at(name: &str, root: &AbsPath) -> Option<(PathBuf, Stat)> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = program::find(name.as_ref(), Some(&path), root.as_path()).ok()?;
    let found = file::canonical(found).ok()?;
    let stat = Stat::of(&file::status(&found).ok()?);
    Some((found, stat))
}

/// What the kernel says of kiln's own files; `None` when one of them is no file.
fn beside(settings: &Settings) -> Option<Beside> {
    let project = settings.project();
    let look = |path: AbsPath| match file::optional(file::status(path)) {
        Ok(None) => Some(None),
        Ok(Some(metadata)) => matches!(Kind::of(&metadata), Kind::File { .. }).then(|| Some(Stat::of(&metadata))),
        Err(_) => None,
    };
    let history = AbsPath::new(history::path(project.as_path()))?;
    Some([look(settings.lock())?, look(history)?, look(project.join(RESULTS))?])
}

/// The whole file, about `length` bytes; the last two write what was seen and the answer behind what is there.
fn encode(
    kept: &Kept,
    length: usize,
    seen: impl FnOnce(&mut Vec<u8>) -> Option<()>,
    answer: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length + SPARE);
    bytes.resize(HEAD, 0);
    let mut bytes = postcard::to_extend(kept, bytes).ok()?;
    let start = bytes.len();
    let length = u32::try_from(start - HEAD).ok()?;
    bytes[SUM..SUM + 4].copy_from_slice(&length.to_le_bytes());
    seen(&mut bytes)?;
    let length = (bytes.len() - start) as u64;
    bytes[SUM + 4..HEAD].copy_from_slice(&length.to_le_bytes());
    answer(&mut bytes)?;
    let sum = Digest::<Blake3>::of(&bytes[SUM..]);
    bytes[..SUM].copy_from_slice(sum.as_bytes());
    Some(bytes)
}

/// Writes what is there already.
fn copy(part: &[u8]) -> impl FnOnce(&mut Vec<u8>) -> Option<()> {
    move |bytes| {
        bytes.extend_from_slice(part);
        Some(())
    }
}

/// What is kept, and the place of what was seen, behind which the answer begins.
fn decode(bytes: &[u8]) -> Option<(Kept, Range<usize>)> {
    let (sum, body) = bytes.split_at_checked(SUM)?;
    if Digest::<Blake3>::of(body).as_bytes() != sum {
        return None;
    }
    let (length, rest) = body.split_first_chunk()?;
    let (seen, rest) = rest.split_first_chunk()?;
    let (kept, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let start = bytes.len() - rest.len();
    let seen = start..start.checked_add(usize::try_from(u64::from_le_bytes(*seen)).ok()?)?;
    bytes.get(seen.clone())?;
    Some((postcard::from_bytes(kept).ok()?, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cut_anywhere_or_with_one_bit_flipped_is_no_answer() {
        let stat = Stat { device: 1, inode: 2, size: 3, mode: 0o100_644, modified: 1 << 60, changed: -5 };
        let kept = Kept {
            asked: Digest::of(b"asked"),
            store: Digest::of(b"store"),
            from: 1,
            until: 86_401,
            origin: Origin::sample(),
            beside: [None, Some(stat), Some(stat)],
            world: World {
                variables: vec![("A".into(), None), ("B".into(), Some("b".into()))],
                programs: vec![("sh".into(), Some(("/bin/sh".into(), stat)))],
            },
        };
        let bytes = encode(&kept, 0, copy(b"seen"), copy(b"all stands in place")).unwrap();
        let (back, seen) = decode(&bytes).unwrap();
        assert_eq!((back.beside, &back.world), (kept.beside, &kept.world));
        assert_eq!((&bytes[seen.clone()], &bytes[seen.end..]), (&b"seen"[..], &b"all stands in place"[..]));
        assert!(decode(&[&bytes[..], b"x"].concat()).is_none());
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_none(), "cut at {end}");
        }
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert!(decode(&damaged).is_none(), "bit {at}");
        }
    }
}
