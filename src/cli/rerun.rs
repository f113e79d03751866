//! `kiln run` where nothing changed since a run that found everything in place, or brought it there: it tells and records what finding
//! it so tells, without looking at each step again.
//! In: the events of such a run. Out: the same words on the screen and the same lines in the journal, with the times of now. Never:
//! for a run that said anything beside the ends of its steps and what they said, left one without a result, or is told to a program.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::digest::ActionKey;
use crate::base::id::{StepId, StepKind, StepName};
use crate::engine::Machine;
use crate::event::{Ended, Event, Listener, Origin};
use crate::exec::gather::Ground;
use crate::exec::{afterwards, run as exec};
use crate::record;
use crate::record::drafts::{self, Drafts};
use crate::record::journal::Journal;
use crate::report::Options;
use crate::sys::account::Account;
use crate::sys::clock::{self, Stopwatch};
use crate::sys::random;
use crate::sys::tree::Tree;

use super::args::How;
use super::cache;
use super::glance::Glance;
use super::open::Opened;
use super::output::Output;
use super::projects;
use super::run;
use super::settings::Settings;

/// What the screen is told of such a run; the lines of the journal follow it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// The first event, of the run that found everything in place.
    started: Event,
    saved_ms: u64,
    /// Steps and groups with nothing to show.
    quiet: (usize, usize),
    /// The ends of those that were asked for and have something to show.
    shown: Vec<Event>,
}

/// Listens to a run whose end may be kept, and writes down what it sees of the project.
#[derive(Debug, Default)]
pub struct Watch {
    /// All that is seen.
    pub account: Arc<Account>,
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    /// All events but what steps said, and their beginnings.
    events: Vec<Event>,
    /// Whether something was done.
    did: bool,
    /// Whether something was said that the next run will not say, or the other way round.
    lost: bool,
}

impl Watch {
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

/// Keeps what a run that finds everything in place tells, when this was one, or when the next one is known to be.
pub fn keep(glance: Glance<'_>, opened: &Opened, steps: &[StepId], machine: &Machine, watch: &Watch) {
    let Heard { events, did, .. } = std::mem::take(&mut *watch.heard());
    // A memory that cannot be written costs the next run some time.
    if did {
        let _ = keep_made(glance, opened, steps, machine, events);
    } else if let Some(answer) = answer(&events, steps.len()) {
        let _ = glance.keep(opened, steps, machine, &watch.account, &answer);
    }
}

/// `None` when it cannot be told what the next run does.
fn keep_made(glance: Glance<'_>, opened: &Opened, steps: &[StepId], machine: &Machine, mut events: Vec<Event>) -> Option<()> {
    let tree = Tree::open(&machine.root).ok()?;
    let ground = Ground { machine, graph: &opened.graph, tree: &tree, past: None };
    let keys: HashMap<&StepName, ActionKey> = events.iter().filter_map(key_of).collect();
    let seen = afterwards::sights(ground, steps, |name| keys.get(name).copied())?;
    drop(keys);
    let mut saved = 0;
    for event in &mut events {
        match event {
            Event::StepEnded { ended, took_ms, .. } => {
                *ended = Ended::Cached { from: Origin::InPlace };
                saved += *took_ms;
            }
            Event::RunEnded { saved_ms, .. } => *saved_ms = saved,
            _ => {}
        }
    }
    glance.keep_made(opened, steps, machine, &seen, &answer(&events, steps.len())?).ok()
}

fn key_of(event: &Event) -> Option<(&StepName, ActionKey)> {
    match event {
        Event::StepEnded { step, key, .. } => Some((step, (*key)?)),
        _ => None,
    }
}

/// The bytes that are kept: the length of [`Told`] in JSON (4), that, and the drafted lines of the journal.
fn answer(events: &[Event], steps: usize) -> Option<Vec<u8>> {
    let [started @ Event::RunStarted { .. }, ends @ .., Event::RunEnded { saved_ms, .. }] = events else { return None };
    if ends.len() != steps {
        return None;
    }
    let mut told = Told { started: started.clone(), saved_ms: *saved_ms, quiet: (0, 0), shown: Vec::new() };
    for end in ends {
        let Event::StepEnded { step, log, detail, asked, .. } = end else { return None };
        match step.kind {
            _ if *asked && (log.is_some() || detail.is_some()) => told.shown.push(end.clone()),
            StepKind::Group => told.quiet.1 += 1,
            _ => told.quiet.0 += 1,
        }
    }
    let told = serde_json::to_vec(&told).ok()?;
    let mut bytes = u32::try_from(told.len()).ok()?.to_le_bytes().to_vec();
    bytes.extend_from_slice(&told);
    bytes.extend_from_slice(&drafts::drafts(ends)?);
    Some(bytes)
}

fn read(bytes: &[u8]) -> Option<(Told, Drafts<'_>)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (told, lines) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((serde_json::from_slice(told).ok()?, Drafts(lines)))
}

/// The run, when it is known to find everything in place: its exit code. `None` leaves all to the ordinary way; nothing was said then.
pub fn again(glance: &Glance<'_>, settings: &Settings, output: &Output, how: &How) -> Option<u8> {
    let watch = Stopwatch::start();
    let began = clock::now();
    let answer = glance.answer()?;
    let (told, lines) = read(answer.bytes())?;
    let Event::RunStarted { targets, steps, .. } = told.started else { return None };
    let project = settings.project();
    projects::note(&project, &settings.root);
    let run = record::run_id(began, random::bits());
    let mut log = Journal::open(project.as_path()).ok()?.begin(&run).ok()?;
    let started = Event::RunStarted { run, at: began, targets, steps, plan: settings.plan_name.clone() };
    let at = watch.millis();
    let recorded = log.append(&started).and_then(|()| log.append_drafts(lines, at));
    let mut screen = run::people(output, Options { jobs: run::jobs(how), ..Options::default() });
    screen.event(&started);
    screen.in_place(told.quiet.0, told.quiet.1);
    for mut end in told.shown {
        let Event::StepEnded { step, at_ms, log, .. } = &mut end else { continue };
        *at_ms = at;
        if let Some(said) = log.and_then(|log| exec::said(&answer.store, step, log)) {
            screen.event(&said);
        }
        screen.event(&end);
    }
    let ended = Event::RunEnded { at: clock::now(), took_ms: watch.millis(), exit: 0, saved_ms: told.saved_ms };
    let recorded = recorded.and_then(|()| log.append(&ended));
    screen.event(&ended);
    if let Err(fault) = recorded {
        screen.event(&Event::Notice { step: None, text: format!("the record of this run has a gap: {fault}") });
    }
    screen.finish();
    cache::collect_daily(&answer.store, &settings.cache);
    Some(0)
}
