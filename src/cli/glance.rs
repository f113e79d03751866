//! Glances: the answer of `kiln plan` when everything stood in place, kept with all that was seen to find it, so that the next
//! command only sees whether anything is different.
//! In: what decided an answer, and the answer. Out: the same answer as long as nothing that decided it changed, or nothing.
//! Never: an answer where something would run, was warned of, or is looked at each time (programs, variables, registries); an
//! answer from a damaged file; an error.
//!
//! What is believed of a file or folder is what the stat cache believes: the same device, number, size, mode and times prove the
//! same content, when the last change lies before the first look by more than a step of the kernel's clock. A name that comes or
//! goes changes its folder.
//!
//! The file is a checksum (32 bytes) over all that follows it, then [`Kept`] in postcard's encoding.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::base::canon::{HashSink, Sink as _};
use crate::base::digest::{Blake3, Digest};
use crate::base::id::StepId;
use crate::base::path::AbsPath;
use crate::graph::ActionGraph;
use crate::graph::action::ActionKind;
use crate::record::history;
use crate::store::{lately, stat_cache};
use crate::sys::account::{Account, Sight};
use crate::sys::clock;
use crate::sys::file::{self, FileError};
use crate::sys::stat::{Kind, Stat};
use crate::sys::tree::Tree;

use super::args::Plan;
use super::compiled::Origin;
use super::machine;
use super::open::{self, Opened};
use super::output::Output;
use super::settings::{RESULTS, Settings};

/// The largest file that is read, in bytes.
const LIMIT: u64 = 1 << 30;
const SUM: usize = 32;
/// Answers of one project that are kept: other targets and other screens have places of their own, up to so many.
const PLACES: u8 = 8;

/// What kiln itself keeps beside the project and an answer rests on: the lock, the history, the results that were found lately.
type Beside = [Option<Stat>; 3];

#[derive(Serialize, Deserialize)]
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
    /// All that was seen of the project.
    sights: Vec<Sight>,
    answer: String,
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

impl<'s> Glance<'s> {
    /// The place for this command; `None` for one whose answer is not kept.
    pub fn of(settings: &'s Settings, output: &Output, asked: &'s Plan) -> Option<Self> {
        let began = clock::now().0;
        if asked.digest || asked.keys || asked.other.is_some() || settings.offline || settings.frozen {
            return None;
        }
        let mut sink = HashSink::new("kiln glance 1");
        sink.text("style", &format!("{:?} {}", output.out, output.json));
        for target in &asked.targets {
            sink.text("target", target);
        }
        let (asked, targets) = (sink.finish(), asked.targets.as_slice());
        let place = settings.project().join(format!("glance-{}", asked.as_bytes()[0] % PLACES));
        Some(Self { settings, targets, place, asked, began, beside: beside(settings)? })
    }

    /// The answer, when it is known and nothing that decided it is different.
    pub fn answer(&self) -> Option<String> {
        let kept = decode(&file::read(&self.place, LIMIT).ok()?)?;
        let known = kept.asked == self.asked && kept.beside == self.beside && (kept.from..kept.until).contains(&clock::now().seconds());
        if !known || lately::identity(&machine::store(self.settings).ok()?) != kept.store {
            return None;
        }
        let tree = Tree::for_a_glance(&self.settings.root).ok()?;
        let same = |(path, then): &Sight| match (tree.status(path), then) {
            (Ok((_, now)), Some(then)) => now == *then,
            (Err(error), None) => error.is_missing(),
            _ => false,
        };
        let all_same = kept.sights.par_iter().with_min_len(256).all(same);
        (all_same && open::still_holds(self.settings, self.targets, &kept.origin)).then_some(kept.answer)
    }

    /// Keeps an answer that said of all `steps` that they stand in place.
    ///
    /// # Errors
    /// [`FileError`]; nothing is lost but time.
    pub fn keep(
        self,
        opened: Opened,
        steps: &[StepId],
        machine: &crate::engine::Machine,
        tree: &Tree,
        answer: String,
    ) -> Result<(), FileError> {
        let plain = opened.undecided.is_empty() && opened.warnings.is_empty() && steps.iter().all(|id| is_plain(&opened.graph, *id));
        let Some(origin) = opened.origin.filter(|origin| plain && origin.runs_nothing()) else { return Ok(()) };
        let Some(sights) = tree.account().and_then(Account::complete) else { return Ok(()) };
        // What this command itself wrote is known only to the next one.
        let stats = self.beside.iter().chain(sights.iter().map(|(_, stat)| stat)).flatten();
        let settled = stats.into_iter().all(|stat| stat_cache::is_settled(stat, self.began));
        if !settled || beside(self.settings) != Some(self.beside) {
            return Ok(());
        }
        let span = machine.lately.span();
        let store = lately::identity(&machine.store);
        let Self { place, asked, beside, .. } = self;
        let kept = Kept { asked, store, from: span.start, until: span.end, origin, beside, sights, answer };
        match encode(&kept) {
            Some(bytes) => file::write_atomic(&place, &bytes, false),
            None => Ok(()),
        }
    }
}

/// Whether nothing but files decides about a step.
fn is_plain(graph: &ActionGraph, id: StepId) -> bool {
    match &graph.action(id).kind {
        ActionKind::Group => true,
        ActionKind::Run(cell) => cell.tools.is_empty() && cell.pass_env.is_empty(),
        _ => false,
    }
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

fn encode(kept: &Kept) -> Option<Vec<u8>> {
    let mut bytes = postcard::to_extend(kept, vec![0; SUM]).ok()?;
    let sum = Digest::<Blake3>::of(&bytes[SUM..]);
    bytes[..SUM].copy_from_slice(sum.as_bytes());
    Some(bytes)
}

fn decode(bytes: &[u8]) -> Option<Kept> {
    let (sum, body) = bytes.split_at_checked(SUM)?;
    if Digest::<Blake3>::of(body).as_bytes() != sum {
        return None;
    }
    let (kept, rest) = postcard::take_from_bytes(body).ok()?;
    rest.is_empty().then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::RelPath;

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
            sights: vec![(RelPath::new("a").unwrap(), Some(stat)), (RelPath::new("b").unwrap(), None)],
            answer: "all stands in place".into(),
        };
        let bytes = encode(&kept).unwrap();
        let back = decode(&bytes).unwrap();
        assert_eq!((back.beside, &back.sights, &back.answer), (kept.beside, &kept.sights, &kept.answer));
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
