//! `kiln run` where nothing changed since a run that found everything in place: it tells and records the same, without looking at
//! each step again.
//! In: the events of such a run. Out: the same words on the screen and the same lines in the journal, with the times of now. Never:
//! for a run that did anything, said anything beside the ends of its steps, or is told to a program.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::id::{StepId, StepKind};
use crate::engine::Machine;
use crate::event::{Ended, Event, Listener, Origin};
use crate::exec::run as exec;
use crate::record;
use crate::record::drafts::{self, Drafts};
use crate::record::journal::Journal;
use crate::report::Options;
use crate::sys::account::Account;
use crate::sys::clock::{self, Stopwatch};
use crate::sys::random;

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
    /// All events but what steps said long ago.
    events: Vec<Event>,
    /// Whether something happened.
    news: bool,
}

impl Watch {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Watch {
    fn event(&self, event: Event) {
        let mut heard = self.heard();
        match event {
            _ if heard.news => {}
            Event::RunStarted { .. } | Event::RunEnded { exit: 0, .. } => heard.events.push(event),
            Event::StepEnded { ended: Ended::Cached { from: Origin::InPlace }, .. } => heard.events.push(event),
            // The log of a step that did not run; one that runs has begun before it says anything.
            Event::Output { .. } => {}
            _ => {
                *heard = Heard { events: Vec::new(), news: true };
                self.account.give_up();
            }
        }
    }
}

/// Keeps a run that found everything in place; any other one is not kept.
pub fn keep(glance: Glance<'_>, opened: &Opened, steps: &[StepId], machine: &Machine, watch: &Watch) {
    let events = std::mem::take(&mut *watch.heard()).events;
    let Some(answer) = answer(&events, steps.len()) else { return };
    // A memory that cannot be written costs the next run some time.
    let _ = glance.keep(opened, steps, machine, &watch.account, &answer);
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
