//! The listener that writes a run down: its events to the journal, the ends of its steps to the index.
//! In: events from any thread. Out: nothing; a fault of the disk is kept for the end. Never: stops a run.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::base::id::RunId;
use crate::base::time::Moment;
use crate::event::{Ended, Event, Listener};
use crate::sys::file::FileError;

use super::drafts::Draft;
use super::history::{Ends, StepHistory, StepRecord};
use super::journal::{Journal, JournalError, RunLog};

/// Records one run.
#[derive(Debug)]
pub struct Recorder {
    journal: Journal,
    known: Arc<StepHistory>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    log: RunLog,
    run: RunId,
    at: Moment,
    ends: Ends,
    fault: Option<FileError>,
}

impl Recorder {
    /// Begins the record of `run`, which starts at `at`. `known` is the index as it was loaded for this run.
    ///
    /// # Errors
    /// As [`Journal::begin`].
    pub fn begin(journal: &Journal, run: &RunId, at: Moment, known: Arc<StepHistory>) -> Result<Self, JournalError> {
        let log = journal.begin(run)?;
        let state = State { log, run: run.clone(), at, ends: Ends::default(), fault: None };
        Ok(Self { journal: journal.clone(), known, state: Mutex::new(state) })
    }

    /// Writes the index, and tells the first fault of the disk, if there was one: a caller says it as a notice.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn finish(&self) -> Result<(), FileError> {
        let mut state = self.state();
        let merged = StepHistory::merge(self.journal.dir(), &std::mem::take(&mut state.ends));
        state.fault.take().map_or(merged, Err)
    }

    /// A poisoned lock is taken all the same: a record with a gap is better than none.
    /// Writes down the ends of steps that stand in place as they did, which is no news: lines as [`RunLog::append_drafts`] takes them.
    pub fn in_place<'b>(&self, drafts: impl Iterator<Item = Draft<&'b [u8]>>) {
        let mut state = self.state();
        if state.fault.is_none() {
            let written = state.log.append_drafts(drafts, 0);
            state.fault = written.err();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Listener for Recorder {
    fn event(&self, event: Event) {
        let mut state = self.state();
        if state.fault.is_none() {
            let written = state.log.append(&event);
            state.fault = written.err();
        }
        let Event::StepEnded { step, took_ms, ended, key, manifest, log, .. } = event else { return };
        if matches!(ended, Ended::Skipped { .. } | Ended::Cancelled) {
            return;
        }
        let took_ms = if matches!(ended, Ended::Done) { vec![took_ms] } else { Vec::new() };
        let record = StepRecord { run: state.run.clone(), at: state.at, ended, key, manifest, log, took_ms };
        if self.known.is_news(&step, &record) {
            state.ends.take(&step, record);
        }
    }
}
