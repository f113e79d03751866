//! `kiln run` where nothing changed since a run that found everything in place, or brought it there: it tells and records what finding
//! it so tells, without looking at each step again.
//! In: the events of such a run. Out: the same words on the screen and the same lines in the journal, with the times of now. Never:
//! for a run that said anything beside the ends of its steps and what they said, left one without a result, or is told to a program.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::digest::{Blake3, Digest};
use crate::base::id::StepId;
use crate::base::path::RelPath;
use crate::event::{Ended, Event, Listener, Origin};
use crate::exec::gather::Ground;
use crate::exec::run::RunEnd;
use crate::exec::{afterwards, run as exec};
use crate::graph::select::Selection;
use crate::record;
use crate::record::journal::Journal;
use crate::report::Options;
use crate::store::local::Store;
use crate::sys::account::{Account, Sight};
use crate::sys::clock::{self, Stopwatch};
use crate::sys::random;
use crate::sys::tree::Tree;

use super::args::How;
use super::cache;
use super::glance::{Answer, Glance};
use super::open::Opened;
use super::output::Output;
use super::projects;
use super::run::{self, Carried};
use super::settings::Settings;
use super::told::{Rows, Told};

/// Listens to a run whose end may be kept, and writes down what it sees of the project.
#[derive(Debug, Default)]
pub struct Watch {
    /// All that is seen.
    pub account: Arc<Account>,
    heard: Mutex<Heard>,
}

/// What was heard of a run.
#[derive(Debug, Default)]
pub struct Heard {
    /// All events but what steps said, and their beginnings; none of a run whose end cannot be kept.
    pub events: Vec<Event>,
    /// Whether something was done.
    did: bool,
    /// Whether something was said that the next run will not say, or the other way round.
    lost: bool,
}

impl Watch {
    /// All that was heard.
    pub fn take(&self) -> Heard {
        std::mem::take(&mut *self.heard())
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Watch {
    fn event(&self, event: Event) {
        let mut heard = self.heard();
        let did = match &event {
            _ if heard.lost => return,
            Event::Output { .. } => return,
            Event::RunStarted { .. } | Event::RunEnded { exit: 0, .. } => false,
            Event::StepEnded { ended: Ended::Cached { from: Origin::InPlace }, .. } => false,
            Event::StepStarted { .. } | Event::StepEnded { ended: Ended::Cached { .. } | Ended::Done, .. } => true,
            _ => {
                *heard = Heard { lost: true, ..Heard::default() };
                return self.account.give_up();
            }
        };
        if did && !std::mem::replace(&mut heard.did, true) {
            self.account.give_up();
        }
        if !matches!(event, Event::StepStarted { .. }) {
            heard.events.push(event);
        }
    }
}

/// Keeps what a run that finds everything in place tells, when this was one, or when the next one is known to be; `None` when it does not.
/// What cannot be kept costs the next run some time.
pub fn keep(glance: Glance<'_>, opened: &Opened, selection: &Selection, carried: &Carried, watch: &Watch) -> Option<()> {
    let Heard { events, did, .. } = watch.take();
    let (steps, machine) = (&selection.steps, &carried.machine);
    if did {
        let seen = made(opened, steps, carried, |_| false)?;
        glance.keep_made(opened, steps, machine, &seen, &answer(selection, &carried.end, events)?).ok()
    } else {
        glance.keep(opened, steps, machine, &watch.account, &answer(selection, &carried.end, events)?).ok()
    }
}

/// What stands there after a run that did something; `None` when it cannot be told what the next run does. `stands` is as for
/// [`afterwards::sights`].
pub fn made(opened: &Opened, steps: &[StepId], carried: &Carried, stands: impl Fn(&RelPath) -> bool) -> Option<Vec<Sight>> {
    let Carried { machine, end, .. } = carried;
    let tree = Tree::open(&machine.root).ok()?;
    let ground = Ground { machine, graph: &opened.graph, tree: &tree, past: None };
    afterwards::sights(ground, steps, |id| Some(end.left[id.index()]?.0), stands)
}

/// What is told of a run in which everything stands in place, as this one left it.
fn answer(selection: &Selection, end: &RunEnd, events: Vec<Event>) -> Option<Vec<u8>> {
    let asked = selection.asked.iter().map(|id| id.0).collect();
    let mut events = events.into_iter();
    let mut told = Told { started: events.next()?, saved_ms: 0, asked, quiet: (0, 0), shown: Vec::new() };
    let ends = in_place(end, events)?;
    let mut rows = Vec::new();
    for id in &selection.steps {
        let (event, product) = ends.get(id)?;
        told.take(&mut rows, *id, *product, event)?;
    }
    told.close(&mut rows)?;
    Some(rows)
}

/// The ends of the steps as if they had stood in place, with the digests of what they left; `None` when one of them did not end well.
/// `events` are all that were heard behind the first one.
pub fn in_place(end: &RunEnd, events: impl Iterator<Item = Event>) -> Option<HashMap<StepId, (Event, Digest<Blake3>)>> {
    let mut ends = HashMap::with_capacity(end.ended.len());
    let mut steps = end.ended.iter();
    for mut event in events {
        match &mut event {
            Event::RunEnded { .. } => return steps.next().is_none().then_some(ends),
            Event::StepEnded { ended, .. } => *ended = Ended::Cached { from: Origin::InPlace },
            _ => return None,
        }
        let (id, _) = steps.next()?;
        ends.insert(*id, (event, end.left[id.index()]?.1));
    }
    None
}

/// Tells what is kept of a run that finds everything in place: its exit code. `None` leaves all to the ordinary way; nothing was said
/// then.
pub fn again(answer: &Answer<'_>, clock: Stopwatch, settings: &Settings, output: &Output, how: &How) -> Option<u8> {
    let began = clock::now();
    let (told, rows) = Told::decode(answer.bytes())?;
    let Event::RunStarted { targets, steps, .. } = told.started else { return None };
    let project = settings.project();
    projects::note(&project, &settings.root);
    let run = record::run_id(began, random::bits());
    let mut log = Journal::open(project.as_path()).ok()?.begin(&run).ok()?;
    let started = Event::RunStarted { run, at: began, targets, steps, plan: settings.plan_name.clone() };
    let at = clock.millis();
    let lines = Rows(&answer.bytes()[..rows]).map(|row| row.line);
    let recorded = log.append(&started).and_then(|()| log.append_drafts(lines, at));
    let mut screen = run::people(output, Options { jobs: run::jobs(how), ..Options::default() });
    screen.event(&started);
    screen.in_place(told.quiet.0, told.quiet.1);
    for end in told.shown {
        shown(&answer.store, end, at, |event| screen.event(&event));
    }
    let ended = Event::RunEnded { at: clock::now(), took_ms: clock.millis(), exit: 0, saved_ms: told.saved_ms };
    let recorded = recorded.and_then(|()| log.append(&ended));
    screen.event(&ended);
    if let Err(fault) = recorded {
        screen.event(&Event::Notice { step: None, text: format!("the record of this run has a gap: {fault}") });
    }
    screen.finish();
    cache::collect_daily(&answer.store, &settings.cache);
    Some(0)
}

/// Tells the end of a step that stands in place and has something to show.
pub fn shown(store: &Store, mut end: Event, at: u64, mut tell: impl FnMut(Event)) {
    let Event::StepEnded { step, at_ms, log, .. } = &mut end else { return };
    *at_ms = at;
    if let Some(said) = log.and_then(|log| exec::said(store, step, log)) {
        tell(said);
    }
    tell(end);
}
