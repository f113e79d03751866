//! Events → terminal, plain lines, JSON; diagnostics → screens; plan and graph listings.
//! In: values, and a stream to write on. Out: bytes on that stream. Never: decides, reads the store, asks the clock
//! (only [`reporter`] does, and hands the time on as a number).

pub mod affected;
pub mod cache;
pub mod canvas;
pub mod ci;
pub mod clean;
pub mod diagnostic;
pub mod diff;
pub mod excerpt;
pub mod exit;
pub mod graph;
pub mod history;
pub mod inspect;
pub mod json;
pub mod junit;
pub mod layers;
pub mod line;
pub mod list;
pub mod lock_table;
pub mod login;
pub mod markdown;
pub mod moves;
pub mod outcome;
pub mod paint;
pub mod pipeline;
pub mod plain;
pub mod plan_diff;
pub mod plan_table;
pub mod promote;
pub mod prune;
pub mod query;
pub mod reporter;
pub mod reproduce;
pub mod sanitize;
pub mod schemas;
pub mod sink;
pub mod style;
pub mod summary;
pub mod svg;
pub mod table;
pub mod tags;
pub mod tail;
pub mod terminal;
pub mod told;
pub mod trace;
pub mod usage;
pub mod watch;
pub mod why;

use std::collections::BTreeMap;

use crate::base::id::StepName;
use crate::event::Event;

/// Shows a run as it happens, or a stored one again.
pub trait Renderer: Send {
    /// Takes the next event in.
    fn event(&mut self, event: &Event);
    /// Takes in that so many steps, and so many groups, stood in place and have nothing to show: as if each one's end had come. One that
    /// tells programs hears of each.
    fn in_place(&mut self, steps: usize, groups: usize) {
        let _ = (steps, groups);
    }
    /// Says what time it is: milliseconds since the run began. Comes about ten times a second.
    fn tick(&mut self, now_ms: u64);
    /// Leaves the screen to another program (`true`), or takes it back.
    fn pause(&mut self, paused: bool) {
        let _ = paused;
    }
    /// Writes what is still held back and leaves the screen as it was found. May be called twice.
    fn finish(&mut self);
}

/// What a person wants to see of a run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Every step is listed and every output shown.
    pub verbose: bool,
    /// How long each step took before, in milliseconds; steps without history are absent.
    pub expected: BTreeMap<StepName, u64>,
    /// How many steps may run at once; 0 is read as 1.
    pub jobs: usize,
}
