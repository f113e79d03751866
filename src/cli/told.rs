//! What is told of a run in which everything stands in place, as bytes: words for the screen, and a row for each step with its line of
//! the journal and what a later run must know of it.
//! In: the ends of a run's steps. Out: the same, for a run that finds some or all of them as they were. Never: a look at a file.
//!
//! The bytes are rows, [`Told`] in JSON, and the length of that (4). A row is the number of the step (4) and three parts, each behind its
//! length (4): [`Head`] in postcard's encoding, and the two of the line (`record::drafts`).

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::digest::{ActionKey, Blake3, Digest};
use crate::base::id::{StepId, StepKind, StepName};
use crate::event::Event;
use crate::record::drafts::{self, Draft};

/// What is told of the whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The first event, of the run that found everything in place.
    pub started: Event,
    /// What the steps took when they ran, in milliseconds.
    pub saved_ms: u64,
    /// The steps that were named, as the graph of the same plan numbers them.
    pub asked: Vec<u32>,
    /// Steps and groups with nothing to show.
    pub quiet: (usize, usize),
    /// The ends of those that were asked for and have something to show.
    pub shown: Vec<Event>,
}

/// What a later run must know of a step that stands in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its name.
    pub name: StepName,
    /// What it took when it ran, in milliseconds.
    pub took_ms: u64,
    /// Its key.
    pub key: ActionKey,
    /// The digest of what it left.
    pub product: Digest<Blake3>,
}

/// A step in its row.
#[derive(Debug, Clone, Copy)]
pub struct Row<'b> {
    /// Its place in the graph.
    pub id: StepId,
    head: &'b [u8],
    /// All of it.
    pub bytes: &'b [u8],
    /// Its line of the journal.
    pub line: Draft<&'b [u8]>,
}

impl Row<'_> {
    /// The rest of it.
    pub fn head(&self) -> Option<Head> {
        postcard::from_bytes(self.head).ok()
    }
}

/// Rows, one after another.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'b>(pub &'b [u8]);

impl<'b> Iterator for Rows<'b> {
    type Item = Row<'b>;

    fn next(&mut self) -> Option<Row<'b>> {
        let (id, mut rest) = self.0.split_first_chunk()?;
        let mut part = || {
            let (length, behind) = rest.split_first_chunk()?;
            let (part, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = behind;
            Some(part)
        };
        let (head, line) = (part()?, [part()?, part()?]);
        let bytes = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some(Row { id: StepId(u32::from_le_bytes(*id)), head, bytes, line })
    }
}

/// Rows of steps that stand in place while others run.
#[derive(Debug, Clone)]
pub struct Others {
    /// The bytes that they are among.
    pub bytes: Arc<Vec<u8>>,
    /// Where they are.
    pub rows: Range<usize>,
    /// The steps that run.
    pub without: HashSet<StepId>,
}

impl Others {
    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        Rows(&self.bytes[self.rows.clone()]).filter(|row| !self.without.contains(&row.id))
    }
}

impl Told {
    /// Takes in that a step stands in place: as a row, and as words for the screen.
    pub fn take(&mut self, rows: &mut Vec<u8>, id: StepId, product: Digest<Blake3>, end: &Event) -> Option<()> {
        let Event::StepEnded { step, took_ms, key, .. } = end else { return None };
        let head = Head { name: step.clone(), took_ms: *took_ms, key: (*key)?, product };
        let [first, second] = drafts::draft(end)?;
        rows.extend_from_slice(&id.0.to_le_bytes());
        for part in [&postcard::to_stdvec(&head).ok()?, first.as_bytes(), second.as_bytes()] {
            rows.extend_from_slice(&u32::try_from(part.len()).ok()?.to_le_bytes());
            rows.extend_from_slice(part);
        }
        self.saved_ms += took_ms;
        match step.kind {
            _ if is_shown(end) => self.shown.push(end.clone()),
            StepKind::Group => self.quiet.1 += 1,
            _ => self.quiet.0 += 1,
        }
        Some(())
    }

    /// The same without a step that [`Told::take`] took in.
    pub fn leave_out(&mut self, step: &Head) {
        self.saved_ms = self.saved_ms.saturating_sub(step.took_ms);
        let before = self.shown.len();
        self.shown.retain(|end| !matches!(end, Event::StepEnded { step: name, .. } if *name == step.name));
        let quiet = if step.name.kind == StepKind::Group { &mut self.quiet.1 } else { &mut self.quiet.0 };
        *quiet = quiet.saturating_sub(1 - (before - self.shown.len()).min(1));
    }

    /// Writes itself behind the rows.
    pub fn close(&self, rows: &mut Vec<u8>) -> Option<()> {
        let told = serde_json::to_vec(self).ok()?;
        rows.extend_from_slice(&told);
        rows.extend_from_slice(&u32::try_from(told.len()).ok()?.to_le_bytes());
        Some(())
    }

    /// What [`Told::close`] wrote, and how many bytes the rows before it are.
    pub fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let (rest, length) = bytes.split_last_chunk()?;
        let (rows, told) = rest.split_at_checked(rest.len().checked_sub(u32::from_le_bytes(*length) as usize)?)?;
        Some((serde_json::from_slice(told).ok()?, rows.len()))
    }
}

/// Whether the end of a step is told in so many words where it stands in place.
fn is_shown(end: &Event) -> bool {
    matches!(end, Event::StepEnded { log, detail, asked: true, .. } if log.is_some() || detail.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::ContentDigest;
    use crate::base::id::RunId;
    use crate::base::time::Moment;
    use crate::event::{Ended, Origin};

    fn end(name: &str, kind: StepKind, took_ms: u64, asked: bool) -> Event {
        Event::StepEnded {
            step: StepName::new(name.parse().unwrap(), kind),
            at_ms: 3,
            took_ms,
            ended: Ended::Cached { from: Origin::InPlace },
            key: Some(ActionKey(Digest::of(name.as_bytes()))),
            manifest: None,
            log: asked.then(|| ContentDigest(Digest::of(b"log"))),
            detail: None,
            asked,
        }
    }

    #[test]
    fn a_step_that_is_taken_in_and_dropped_leaves_what_was_told_as_it_was() {
        let started = Event::RunStarted { run: RunId("r".into()), at: Moment(1), targets: Vec::new(), steps: 3, plan: "p".into() };
        let mut told = Told { started, saved_ms: 0, asked: vec![7], quiet: (0, 0), shown: Vec::new() };
        let empty = told.clone();
        let ends = [end("a", StepKind::Run, 5, false), end("b", StepKind::Run, 70, true), end("all", StepKind::Group, 0, false)];
        let mut rows = Vec::new();
        for (id, end) in (0..).zip(&ends) {
            told.take(&mut rows, StepId(id), Digest::of(&[1]), end).unwrap();
        }
        assert_eq!((told.saved_ms, told.quiet, told.shown.len()), (75, (1, 1), 1));
        let mut bytes = rows.clone();
        told.close(&mut bytes).unwrap();
        let (mut back, length) = Told::decode(&bytes).unwrap();
        assert_eq!((&back, &bytes[..length]), (&told, &rows[..]));
        for (row, end) in Rows(&rows).zip(&ends) {
            let head = row.head().unwrap();
            assert!(matches!(end, Event::StepEnded { step, key, .. } if *step == head.name && *key == Some(head.key)));
            back.leave_out(&head);
        }
        assert_eq!(back, empty);
        assert_eq!(Rows(&rows).map(|row| row.id.0).collect::<Vec<_>>(), [0, 1, 2]);
        // No part of the bytes makes it panic, or tell of a step that was not there.
        for end in 0..bytes.len() {
            assert!(Told::decode(&bytes[..end]).is_none(), "cut at {end}");
        }
        for end in 0..rows.len() {
            assert!(Rows(&rows[..end]).count() < 3, "cut at {end}");
        }
    }
}
