//! Counts a run while it happens, and says at its end how it went: failures last, then one line.
//! In: events. Out: lines. Never: holds more than a few words of each failure.

use crate::base::id::{StepKind, StepName};
use crate::base::words::{count, visible};
use crate::event::{Ended, Event, Origin};

use super::exit::INTERRUPTED;
use super::line;
use super::paint::{Ink, Mark, wrap};
use super::style::Style;

/// How many failures are told again at the end.
const FAILURES_SHOWN: usize = 20;
/// How many skipped steps are listed one by one.
const SKIPPED_SHOWN: usize = 5;

/// The state of a run, in numbers.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    asked: Vec<String>,
    steps: usize,
    ended: usize,
    groups: usize,
    ran: usize,
    cached: usize,
    failed: usize,
    allowed: usize,
    skipped: usize,
    stopped: usize,
    failures: Vec<Failure>,
}

#[derive(Debug, Clone)]
struct Failure {
    step: StepName,
    reason: String,
    help: Option<String>,
    /// Whether it said anything that can be read again.
    has_log: bool,
}

impl Tally {
    /// Takes the next event in.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { targets, steps, .. } => {
                *self = Self { asked: targets.clone(), steps: *steps, ..Self::default() };
            }
            Event::StepEnded { step, ended, log, .. } => self.step(step, ended, log.is_some()),
            Event::StepStarted { .. } | Event::Output { .. } | Event::Notice { .. } | Event::RunEnded { .. } => {}
        }
    }

    /// Takes in many steps and groups that stood in place.
    pub fn in_place(&mut self, steps: usize, groups: usize) {
        self.ended += steps + groups;
        self.cached += steps;
        self.groups += groups;
    }

    fn step(&mut self, step: &StepName, ended: &Ended, has_log: bool) {
        self.ended += 1;
        match ended {
            // A group does nothing itself: it is not counted as work.
            Ended::Done | Ended::Cached { .. } if step.kind == StepKind::Group => self.groups += 1,
            Ended::Done => self.ran += 1,
            Ended::Cached { .. } => self.cached += 1,
            Ended::Failed { allowed: true, .. } => self.allowed += 1,
            Ended::Failed { reason, help, .. } => {
                self.failed += 1;
                if self.failures.len() < FAILURES_SHOWN {
                    self.failures.push(Failure { step: step.clone(), reason: reason.clone(), help: help.clone(), has_log });
                }
            }
            Ended::Skipped { .. } => self.skipped += 1,
            Ended::Cancelled => self.stopped += 1,
        }
    }

    /// `[12/40]`.
    #[must_use]
    pub fn progress(&self) -> String {
        let all = self.steps.max(self.ended).to_string();
        format!("[{:>width$}/{all}]", self.ended, width = all.len())
    }

    /// Whether the user asked for this step, or for the target it belongs to, by name.
    #[must_use]
    pub fn was_asked(&self, step: &StepName) -> bool {
        let (target, name) = (step.target.as_str(), step.to_string());
        self.asked.iter().any(|asked| asked == target || *asked == name)
    }

    /// Whether the step is all that the user asked for.
    #[must_use]
    pub fn is_sole(&self, step: &StepName) -> bool {
        matches!(self.asked.as_slice(), [only] if *only == step.to_string())
    }

    /// Whether the end of a step deserves a line of its own. Steps that were cached in place do not, unless they have
    /// something to show that was asked for; nor do groups, nor the many that one failure skips.
    #[must_use]
    pub fn is_worth_a_line(&self, step: &StepName, ended: &Ended, detail: Option<&str>, asked: bool, verbose: bool) -> bool {
        match ended {
            Ended::Done | Ended::Cached { .. } | Ended::Skipped { .. } if step.kind == StepKind::Group => false,
            Ended::Cached { from: Origin::InPlace } => verbose || (asked && detail.is_some()),
            Ended::Skipped { .. } => verbose || self.skipped <= SKIPPED_SHOWN,
            Ended::Done | Ended::Cached { .. } | Ended::Failed { .. } | Ended::Cancelled => true,
        }
    }

    /// The last lines of a run: what failed, why, how to see more, and how it went.
    #[must_use]
    pub fn end(&self, style: Style, took_ms: u64, exit: u8, saved_ms: u64, verbose: bool) -> Vec<String> {
        let mut lines = Vec::new();
        if !verbose && self.skipped > SKIPPED_SHOWN {
            let more = count(self.skipped - SKIPPED_SHOWN, "more step");
            lines.push(format!("{} {more} skipped", style.mark(Mark::Skipped)));
        }
        if !self.failures.is_empty() {
            lines.push(String::new());
        }
        if self.failed > self.failures.len() {
            lines.push(format!("  and {} more, later", self.failed - self.failures.len()));
        }
        // The first failure is the one to look at, and what is looked at is the end of the screen.
        for failure in self.failures.iter().rev() {
            let reason = style.paint(Ink::Bad, &visible(&failure.reason));
            lines.push(format!("{} {}  {reason}", style.mark(Mark::Failed), line::name(&failure.step)));
            if let Some(help) = &failure.help {
                let help = format!("  {} {}", style.paint(Ink::Name, "help:"), visible(help));
                lines.extend(wrap(&help, style.width, "        ").lines().map(str::to_owned));
            }
            if failure.has_log {
                lines.push(format!("  {} kiln log {}", style.paint(Ink::Name, "log: "), line::quoted(&failure.step)));
            }
        }
        lines.push(self.last(style, took_ms, exit, saved_ms));
        lines
    }

    /// The last line.
    fn last(&self, style: Style, took_ms: u64, exit: u8, saved_ms: u64) -> String {
        let all = self.steps.max(self.ended).saturating_sub(self.groups);
        let (mark, start) = if self.failed > 0 {
            (Mark::Failed, format!("{} of {} failed; ", self.failed, count(all, "step")))
        } else if exit == INTERRUPTED {
            (Mark::Stopped, format!("interrupted, {} begun: ", count(all, "step")))
        } else if exit != 0 {
            (Mark::Failed, format!("stopped with exit code {exit}, {}: ", count(all, "step")))
        } else {
            (Mark::Done, format!("{}: ", count(all, "step")))
        };
        let parts = [
            (self.ran, "ran"),
            (self.cached, "cached"),
            (self.allowed, "failed as the plan allows"),
            (self.skipped, "skipped"),
            (self.stopped, "stopped"),
        ];
        let mut said: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let start = if said.is_empty() { start.trim_end_matches([';', ':', ' ']).to_owned() + ", " } else { start };
        said.push(format!("in {}", line::time(took_ms)));
        let saved = if saved_ms >= 100 && exit == 0 { format!(" (saved {})", line::time(saved_ms)) } else { String::new() };
        format!("{} {start}{}{}", style.mark(mark), said.join(", "), style.paint(Ink::Dim, &saved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::RunId;
    use crate::base::time::Moment;
    use crate::event::FailureClass;

    fn step(name: &str) -> StepName {
        StepName::new(name.parse().unwrap(), StepKind::Run)
    }

    fn tally(steps: usize, ends: &[(&str, Ended)]) -> Tally {
        let mut tally = Tally::default();
        let run = RunId("r".into());
        tally.event(&Event::RunStarted { run, at: Moment(0), targets: vec!["web".into()], steps, plan: String::new() });
        for (name, ended) in ends {
            tally.step(&step(name), ended, *name != "silent");
        }
        tally
    }

    fn failed(allowed: bool) -> Ended {
        Ended::Failed { class: FailureClass::Step, reason: "exit code 2".into(), help: Some("look".into()), allowed }
    }

    #[test]
    fn the_last_line_says_how_it_went() {
        let cached = || Ended::Cached { from: Origin::InPlace };
        for (ends, exit, saved, expected) in [
            (vec![("a", Ended::Done), ("b", cached())], 0, 38_000, "✓ 2 steps: 1 ran, 1 cached, in 4.2 s (saved 38.0 s)"),
            (vec![("a", cached())], 0, 0, "✓ 1 step: 1 cached, in 4.2 s"),
            (vec![], 0, 0, "✓ 0 steps, in 4.2 s"),
            (vec![("a", failed(false)), ("b", Ended::Skipped { because: step("a") })], 1, 0, "✗ 1 of 2 steps failed; 1 skipped, in 4.2 s"),
            (vec![("a", failed(true)), ("b", Ended::Done)], 0, 0, "✓ 2 steps: 1 ran, 1 failed as the plan allows, in 4.2 s"),
            (vec![("a", Ended::Done), ("b", Ended::Cancelled)], 130, 0, "■ interrupted, 2 steps begun: 1 ran, 1 stopped, in 4.2 s"),
        ] {
            let lines = tally(ends.len(), &ends).end(Style::PLAIN, 4_200, exit, saved, false);
            assert_eq!(lines.last().map(String::as_str), Some(expected));
        }
    }

    #[test]
    fn failures_come_last_with_the_next_act() {
        let lines = tally(2, &[("a", failed(false)), ("b", Ended::Done)]).end(Style::PLAIN, 1_000, 1, 0, false);
        let expected = ["", "✗ a  exit code 2", "  help: look", "  log:  kiln log a", "✗ 1 of 2 steps failed; 1 ran, in 1.0 s"];
        assert_eq!(lines, expected);
        let lines = tally(1, &[("silent", failed(false))]).end(Style::PLAIN, 1_000, 1, 0, false);
        assert_eq!(lines, ["", "✗ silent  exit code 2", "  help: look", "✗ 1 of 1 step failed, in 1.0 s"], "there is no log to read");
    }

    #[test]
    fn of_many_failures_the_first_one_stands_last() {
        let names: Vec<String> = (0..FAILURES_SHOWN + 2).map(|n| format!("t{n}")).collect();
        let ends: Vec<(&str, Ended)> = names.iter().map(|name| (name.as_str(), failed(false))).collect();
        let lines = tally(ends.len(), &ends).end(Style::PLAIN, 1_000, 1, 0, false);
        let told: Vec<&String> = lines.iter().filter(|line| line.starts_with("✗ t")).collect();
        assert_eq!((told.len(), told[0].as_str()), (FAILURES_SHOWN, "✗ t19  exit code 2"));
        assert_eq!(told[FAILURES_SHOWN - 1], "✗ t0  exit code 2");
        assert_eq!(lines[1], "  and 2 more, later");
    }

    #[test]
    fn a_group_is_asked_by_name_and_never_counted_as_work() {
        let mut tally = tally(2, &[("a", Ended::Done)]);
        let mut group = step("web");
        group.kind = StepKind::Group;
        tally.step(&group, &Ended::Done, false);
        assert!(tally.was_asked(&group) && tally.is_sole(&group) && !tally.was_asked(&step("a")));
        assert_eq!(tally.progress(), "[2/2]");
        assert_eq!(tally.last(Style::PLAIN, 1_000, 0, 0), "✓ 1 step: 1 ran, in 1.0 s");
    }
}
