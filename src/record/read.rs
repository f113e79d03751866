//! Reading a run back, and telling whether anybody changed it.
//! In: a run's file, in any state. Out: its events up to the first line that cannot be read. Never: a panic, an event
//! that was not written whole.

use crate::base::digest::{Blake3, Digest};
use crate::base::id::{RunId, StepKind};
use crate::base::time::Moment;
use crate::event::{Ended, Event};
use crate::sys::file;

use super::SCHEMA;
use super::journal::{Journal, JournalError, Line, seed};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 256 << 20;

/// Whether a record is as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every line follows from the one before, and the run came to its end.
    Whole {
        /// How many lines.
        lines: usize,
    },
    /// Every line follows from the one before, but the run was killed, is still on its way, or its last lines were taken away.
    Open {
        /// How many lines.
        lines: usize,
    },
    /// A line does not follow from the one before: one of the two was changed, or one between them was taken away.
    Broken {
        /// The line, counted from one.
        line: usize,
    },
}

/// A run in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOverview {
    /// The run.
    pub run: RunId,
    /// When it began.
    pub at: Moment,
    /// What was asked for.
    pub targets: Vec<String>,
    /// Steps that took part.
    pub steps: usize,
    /// Steps that ran, well or not. Groups do nothing and are in none of these numbers.
    pub ran: usize,
    /// Steps that did not have to run.
    pub cached: usize,
    /// Steps that failed, and may not; they are among those that ran.
    pub failed: usize,
    /// What cached steps took when they ran, in milliseconds.
    pub saved_ms: u64,
    /// How long it took in milliseconds, and its exit code; `None` when it did not come to its end.
    pub end: Option<(u64, u8)>,
}

impl Journal {
    /// The events of a run, as far as they can be read.
    ///
    /// # Errors
    /// [`JournalError::Unknown`], [`JournalError::OtherVersion`], [`JournalError::BadName`], [`JournalError::File`].
    pub fn read(&self, run: &RunId) -> Result<Vec<Event>, JournalError> {
        let bytes = self.bytes(run)?;
        let mut events = Vec::new();
        for line in whole_lines(&bytes) {
            let Some(line) = parse(line) else { break };
            if line.schema.is_some_and(|schema| schema != SCHEMA) {
                return Err(JournalError::OtherVersion(run.clone()));
            }
            events.push(line.event);
        }
        Ok(events)
    }

    /// Follows the chain of a run from its name to its last line.
    ///
    /// The chain shows a change to any single line. It has no secret, so whoever may write the file can also make the
    /// whole of it anew: it protects against accidents and careless edits.
    ///
    /// # Errors
    /// As [`Journal::read`].
    pub fn verify(&self, run: &RunId) -> Result<Verdict, JournalError> {
        let bytes = self.bytes(run)?;
        let mut prev = seed(run);
        let (mut lines, mut ended) = (0, false);
        for raw in whole_lines(&bytes) {
            let line = parse(raw);
            if lines == 0 && line.as_ref().is_some_and(|line| line.schema.is_some_and(|schema| schema != SCHEMA)) {
                return Err(JournalError::OtherVersion(run.clone()));
            }
            lines += 1;
            let Some(line) = line.filter(|line| line.prev == prev && !ended) else { return Ok(Verdict::Broken { line: lines }) };
            ended = matches!(line.event, Event::RunEnded { .. });
            prev = Digest::<Blake3>::of(raw);
        }
        Ok(if ended { Verdict::Whole { lines } } else { Verdict::Open { lines } })
    }

    /// A run in a few words, for `kiln history`. `None` when not even its first line can be read.
    ///
    /// # Errors
    /// As [`Journal::read`].
    pub fn overview(&self, run: &RunId) -> Result<Option<RunOverview>, JournalError> {
        let events = self.read(run)?;
        let Some(Event::RunStarted { at, targets, steps, .. }) = events.first() else { return Ok(None) };
        let mut overview = RunOverview {
            run: run.clone(),
            at: *at,
            targets: targets.clone(),
            steps: *steps,
            ran: 0,
            cached: 0,
            failed: 0,
            saved_ms: 0,
            end: None,
        };
        for event in &events {
            match event {
                Event::StepEnded { step, ended, .. } if step.kind != StepKind::Group => match ended {
                    Ended::Cached { .. } => overview.cached += 1,
                    Ended::Done => overview.ran += 1,
                    Ended::Failed { allowed, .. } => {
                        overview.ran += 1;
                        overview.failed += usize::from(!allowed);
                    }
                    Ended::Skipped { .. } | Ended::Cancelled => {}
                },
                Event::RunEnded { took_ms, exit, saved_ms, .. } => {
                    (overview.end, overview.saved_ms) = (Some((*took_ms, *exit)), *saved_ms);
                }
                _ => {}
            }
        }
        Ok(Some(overview))
    }

    fn bytes(&self, run: &RunId) -> Result<Vec<u8>, JournalError> {
        file::optional(file::read(self.path(run)?, LARGEST))?.ok_or_else(|| JournalError::Unknown(run.clone()))
    }
}

/// The lines that have their line feed; a torn last one has not.
fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

fn parse(line: &[u8]) -> Option<Line<Event>> {
    serde_json::from_slice(line).ok()
}
