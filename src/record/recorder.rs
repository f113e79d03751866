//! The listener that writes a run down: its events to the journal, the ends of its steps to the index.
//! In: events from any thread. Out: nothing; a fault of the disk is kept for the end. Never: stops a run.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::base::id::RunId;
use crate::base::time::Moment;
use crate::event::{Ended, Event, Listener};
use crate::sys::file::FileError;

use super::history::{Ends, StepHistory, StepRecord};
use super::journal::{Journal, JournalError, RunLog};

/// Records one run.
#[derive(Debug)]
pub struct Recorder {
    journal: Journal,
    known: Arc<StepHistory>,
    state: Mutex<State>,
    /// Tells that the log is there again.
    returned: Condvar,
}

#[derive(Debug)]
struct State {
    /// Nothing while somebody writes to it at length.
    log: Option<RunLog>,
    /// What happened meanwhile.
    waiting: Vec<Event>,
    run: RunId,
    at: Moment,
    ends: Ends,
    fault: Option<FileError>,
}

/// The log in the hands of who writes to it at length; it goes back however that ends.
struct Lent {
    recorder: Arc<Recorder>,
    log: Option<RunLog>,
    fault: Option<FileError>,
}

impl Lent {
    fn write(&mut self, write: impl FnOnce(&mut RunLog) -> Result<(), FileError>) {
        self.fault = self.log.as_mut().and_then(|log| write(log).err());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut state = self.recorder.state();
        state.fault = state.fault.take().or(self.fault.take());
        state.log = self.log.take();
        std::mem::take(&mut state.waiting).iter().for_each(|event| state.append(event));
        self.recorder.returned.notify_all();
    }
}

impl Recorder {
    /// Begins the record of `run`, which starts at `at`. `known` is the index as it was loaded for this run.
    ///
    /// # Errors
    /// As [`Journal::begin`].
    pub fn begin(journal: &Journal, run: &RunId, at: Moment, known: Arc<StepHistory>) -> Result<Self, JournalError> {
        let log = Some(journal.begin(run)?);
        let state = State { log, waiting: Vec::new(), run: run.clone(), at, ends: Ends::default(), fault: None };
        Ok(Self { journal: journal.clone(), known, state: Mutex::new(state), returned: Condvar::new() })
    }

    /// Writes the index, and tells the first fault of the disk, if there was one: a caller says it as a notice.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn finish(&self) -> Result<(), FileError> {
        let state = self.state();
        let mut state = self.returned.wait_while(state, |state| state.log.is_none()).unwrap_or_else(PoisonError::into_inner);
        let merged = StepHistory::merge(self.journal.dir(), &std::mem::take(&mut state.ends));
        state.fault.take().map_or(merged, Err)
    }

    /// Lets `write` write down the ends of steps that stand in place as they did, which is no news. Where they are many that takes a
    /// while, and the steps that run do not wait for it: what happens meanwhile is written behind.
    pub fn in_place(self: &Arc<Self>, write: impl FnOnce(&mut RunLog) -> Result<(), FileError> + Send + 'static) {
        let Some(log) = self.state().log.take() else { return };
        let mut lent = Lent { recorder: Arc::clone(self), log: Some(log), fault: None };
        let aside = move || lent.write(write);
        // A panic is a bug in kiln that costs these lines.
        rayon::spawn(move || drop(panic::catch_unwind(AssertUnwindSafe(aside))));
    }

    /// A poisoned lock is taken all the same: a record with a gap is better than none.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append(&mut self, event: &Event) {
        match &mut self.log {
            _ if self.fault.is_some() || matches!(event, Event::Output { .. }) => {}
            Some(log) => self.fault = log.append(event).err(),
            None => self.waiting.push(event.clone()),
        }
    }
}

impl Listener for Recorder {
    fn event(&self, event: Event) {
        let mut state = self.state();
        state.append(&event);
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
