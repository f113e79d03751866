//! A run as one value: what reports that are written when it is over are made of.
//! In: events, live or recorded. Out: the run with its steps in the order in which they ended. Never: more of a step's
//! output than its end.

use std::collections::BTreeMap;

use crate::base::id::{StepKind, StepName};
use crate::base::time::Moment;
use crate::event::{Ended, Event};

use super::sanitize::Cleaner;

/// The most that is kept of what a step wrote, in bytes; the log has the rest.
const TAIL: usize = 64 << 10;

/// A run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The run's name.
    pub run: String,
    /// When it began.
    pub at: Option<Moment>,
    /// What was asked for.
    pub targets: Vec<String>,
    /// The plan.
    pub plan: String,
    /// Steps that ended, in this order. Groups are left out: they do nothing.
    pub steps: Vec<StepOutcome>,
    /// What was said that belongs to no step.
    pub notices: Vec<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What cached steps took when they ran, in milliseconds.
    pub saved_ms: u64,
    /// Its exit code; `None` when it did not come to its end.
    pub exit: Option<u8>,
    open: BTreeMap<StepName, Open>,
}

/// A step of a run.
#[derive(Debug, Clone)]
pub struct StepOutcome {
    /// Its name.
    pub name: StepName,
    /// When its commands began, in milliseconds since the run began; `None` when they did not.
    pub began_ms: Option<u64>,
    /// When it ended, likewise.
    pub ended_ms: u64,
    /// How long it took, or took when it ran, in milliseconds.
    pub took_ms: u64,
    /// Why it ran.
    pub why: Option<String>,
    /// How it ended.
    pub ended: Ended,
    /// What it made.
    pub detail: Option<String>,
    /// What was said of it.
    pub notices: Vec<String>,
    /// The last lines that it wrote, made harmless.
    pub tail: Vec<String>,
    /// Whether it wrote more than that.
    pub cut: bool,
}

#[derive(Debug, Clone, Default)]
struct Open {
    began_ms: Option<u64>,
    why: Option<String>,
    notices: Vec<String>,
    bytes: Vec<u8>,
    cut: bool,
}

impl Outcome {
    /// Takes the next event in.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { run, at, targets, plan, .. } => {
                *self = Self { run: run.0.clone(), at: Some(*at), targets: targets.clone(), plan: plan.clone(), ..Self::default() };
            }
            Event::StepStarted { step, at_ms, why } => {
                let open = self.open.entry(step.clone()).or_default();
                (open.began_ms, open.why) = (Some(*at_ms), Some(why.clone()));
            }
            Event::Output { step, bytes, .. } => self.open.entry(step.clone()).or_default().write(bytes),
            Event::Notice { step: Some(step), text } => self.open.entry(step.clone()).or_default().notices.push(text.clone()),
            Event::Notice { step: None, text } => self.notices.push(text.clone()),
            Event::StepEnded { step, at_ms, took_ms, ended, detail, .. } => {
                let open = self.open.remove(step).unwrap_or_default();
                if step.kind == StepKind::Group {
                    return;
                }
                self.steps.push(StepOutcome {
                    name: step.clone(),
                    began_ms: open.began_ms,
                    ended_ms: *at_ms,
                    took_ms: *took_ms,
                    why: open.why,
                    ended: ended.clone(),
                    detail: detail.clone(),
                    notices: open.notices,
                    tail: lines(&open.bytes),
                    cut: open.cut,
                });
            }
            Event::RunEnded { took_ms, exit, saved_ms, .. } => {
                (self.took_ms, self.exit, self.saved_ms) = (*took_ms, Some(*exit), *saved_ms)
            }
        }
    }

    /// How many steps ended in a way.
    #[must_use]
    pub fn count(&self, how: impl Fn(&Ended) -> bool) -> usize {
        self.steps.iter().filter(|step| how(&step.ended)).count()
    }

    /// The steps that failed, and may not.
    pub fn failures(&self) -> impl Iterator<Item = &StepOutcome> {
        self.steps.iter().filter(|step| matches!(step.ended, Ended::Failed { allowed: false, .. }))
    }
}

impl Open {
    fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Dropping the beginning now and then, not at each piece, keeps this cheap.
        if self.bytes.len() > 2 * TAIL {
            self.bytes.drain(..self.bytes.len() - TAIL);
            self.cut = true;
        }
    }
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut cleaner = Cleaner::new(false);
    cleaner.feed(bytes, &mut |line| lines.push(line));
    cleaner.finish(&mut |line| lines.push(line));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Stream;

    #[test]
    fn a_flood_leaves_its_end() {
        let step = StepName::new("a".parse().unwrap(), StepKind::Run);
        let mut outcome = Outcome::default();
        for n in 0..100_000 {
            let bytes = format!("line {n}\n").into_bytes();
            outcome.event(&Event::Output { step: step.clone(), stream: Stream::Out, bytes });
        }
        assert!(outcome.open[&step].bytes.len() <= 2 * TAIL);
        let ended = Ended::Done;
        outcome.event(&Event::StepEnded {
            step,
            at_ms: 2,
            took_ms: 1,
            ended,
            key: None,
            manifest: None,
            log: None,
            detail: None,
            asked: true,
        });
        let step = &outcome.steps[0];
        assert_eq!((step.cut, step.tail.last().map(String::as_str)), (true, Some("line 99999")));
        assert!(outcome.open.is_empty());
    }
}
