//! A run on a live terminal: finished steps scroll by, running ones stand at the foot with their time and last words.
//! In: events and ticks. Out: at most one write per tick. Never: a line that wraps at the foot, a log shown twice, a
//! hidden cursor left behind.
//!
//! Output of steps that the user named is shown as it comes. Of all others only the end is kept, and shown, once,
//! indented, when the step fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use crate::base::id::{StepKind, StepName};
use crate::base::words::count;
use crate::event::{Ended, Event, Stream};

use super::canvas::Canvas;
use super::line;
use super::paint::{self, Ink, Mark};
use super::sanitize::Cleaner;
use super::sink::Sink;
use super::style::Style;
use super::summary::Tally;
use super::tail::Tail;
use super::{Options, Renderer};

/// Bytes that may wait for the next tick.
const WAITING: usize = 64 << 10;
/// Running steps shown at once.
const ROWS: usize = 8;
/// Columns that a step's name may take at the foot.
const NAME: usize = 40;

/// Tells columns and rows whenever it is asked.
pub type Size = Box<dyn Fn() -> Option<(usize, usize)> + Send>;

/// Draws on a terminal.
pub struct Terminal<W: Write> {
    sink: Sink<W>,
    style: Style,
    rows: usize,
    size: Size,
    options: Options,
    tally: Tally,
    canvas: Canvas,
    steps: Vec<Step>,
    /// Lines for the next frame.
    above: String,
    now_ms: u64,
    /// What history expects of the steps that have not ended, in milliseconds.
    expected: BTreeMap<StepName, u64>,
    live: bool,
    paused: bool,
}

/// A step that has begun, or written something, and not ended.
struct Step {
    name: StepName,
    since_ms: Option<u64>,
    out: Cleaner,
    err: Cleaner,
    tail: Tail,
    /// What stands before its lines when they are shown as they come.
    streamed: Option<String>,
}

impl Step {
    /// Its last words.
    fn words(&self) -> &str {
        let open = [self.err.current(), self.out.current()].map(str::trim);
        open.into_iter().find(|line| !line.is_empty()).or(self.tail.last()).unwrap_or_default()
    }
}

impl<W: Write> Terminal<W> {
    /// Draws on `stream`, whose size `size` tells at every frame.
    pub fn new(stream: W, style: Style, size: Size, options: Options) -> Self {
        Self {
            sink: Sink::new(stream),
            style,
            rows: 24,
            size,
            expected: options.expected.clone(),
            options,
            tally: Tally::default(),
            canvas: Canvas::default(),
            steps: Vec::new(),
            above: String::new(),
            now_ms: 0,
            live: false,
            paused: false,
        }
    }

    fn say(&mut self, line: &str) {
        self.above.push_str(line);
        self.above.push('\n');
    }

    fn step(&mut self, name: &StepName) -> &mut Step {
        let at = self.steps.iter().position(|step| step.name == *name).unwrap_or_else(|| {
            let colour = self.style.colour;
            let streamed = (self.options.verbose || self.tally.was_asked(name))
                .then(|| if self.tally.is_sole(name) && !self.options.verbose { String::new() } else { line::prefix(self.style, name) });
            let (out, err, tail) = (Cleaner::new(colour), Cleaner::new(colour), Tail::default());
            self.steps.push(Step { name: name.clone(), since_ms: None, out, err, tail, streamed });
            self.steps.len() - 1
        });
        &mut self.steps[at]
    }

    fn output(&mut self, name: &StepName, stream: Stream, bytes: &[u8]) {
        let step = self.step(name);
        let mut lines = Vec::new();
        match stream {
            Stream::Out => step.out.feed(bytes, &mut |line| lines.push(line)),
            Stream::Err => step.err.feed(bytes, &mut |line| lines.push(line)),
        }
        self.take(name, lines);
    }

    /// Shows lines, or keeps them.
    fn take(&mut self, name: &StepName, lines: Vec<String>) {
        let step = self.step(name);
        let Some(prefix) = step.streamed.clone() else {
            lines.into_iter().for_each(|line| step.tail.push(line));
            return;
        };
        for line in lines {
            self.say(format!("{prefix}{line}").trim_end());
        }
    }

    /// Shows how a step ended, and its log where somebody wants it and has not seen it.
    fn ended(&mut self, name: &StepName, ended: &Ended, took_ms: u64, detail: Option<&str>, asked: bool) {
        let mut rest = Vec::new();
        let step = self.step(name);
        step.out.finish(&mut |line| rest.push(line));
        step.err.finish(&mut |line| rest.push(line));
        self.take(name, rest);
        self.expected.remove(name);
        let Some(at) = self.steps.iter().position(|step| step.name == *name) else { return };
        let tail = self.steps.remove(at).tail;
        if self.tally.is_worth_a_line(name, ended, detail, asked, self.options.verbose) {
            let line = line::ended(self.style, name, ended, took_ms, detail);
            self.say(&line);
        }
        let failed = matches!(ended, Ended::Failed { .. });
        if failed || (asked && name.kind == StepKind::Run && matches!(ended, Ended::Done)) {
            self.log(name, &tail);
        }
    }

    fn log(&mut self, name: &StepName, tail: &Tail) {
        if tail.dropped() > 0 {
            let before = count(tail.dropped(), "line");
            let line = format!("  {} {before} before: kiln log {}", self.style.ellipsis(), line::quoted(name));
            self.say(&self.style.paint(Ink::Dim, &line));
        }
        for line in tail.lines() {
            self.say(format!("  {line}").trim_end());
        }
    }

    /// The lines at the foot.
    fn foot(&self) -> Vec<String> {
        if !self.live {
            return Vec::new();
        }
        let running: Vec<(&Step, u64)> = self.steps.iter().filter_map(|step| Some((step, step.since_ms?))).collect();
        let shown = running.len().min(ROWS).min(self.rows.saturating_sub(3).max(1));
        let name_room = NAME.min(self.style.width / 2);
        let names: Vec<String> =
            running[..shown].iter().map(|(step, _)| paint::fit(&line::name(&step.name), name_room, self.style)).collect();
        let width = names.iter().map(|name| paint::columns(name)).max().unwrap_or(0);
        let mut lines = Vec::new();
        for ((step, since), name) in running.iter().zip(&names) {
            let took = format!("{:>8}", line::time(self.now_ms.saturating_sub(*since) / 100 * 100));
            let mark = self.style.mark(Mark::Running);
            lines.push(format!("{mark} {}  {}  {}", paint::pad(name, width), self.style.paint(Ink::Dim, &took), step.words()));
        }
        if running.len() > shown {
            lines.push(self.style.paint(Ink::Dim, &format!("  and {} more", running.len() - shown)));
        }
        lines.push(self.status(running.len()));
        lines
    }

    /// `[12/40] 3 running, 8.4 s, about 24 s left`.
    fn status(&self, running: usize) -> String {
        let mut status = format!("{} {running} running, {}", self.tally.progress(), line::time(self.now_ms / 100 * 100));
        let rest = self.rest_ms();
        if rest >= 2_000 {
            let _ = write!(status, ", about {} left", line::rough(rest));
        }
        self.style.paint(Ink::Bold, &status)
    }

    /// How long the rest should take: all that is left, shared by the jobs, but no less than the longest running step.
    fn rest_ms(&self) -> u64 {
        let left = |name: &StepName, expected: u64| {
            let since = self.steps.iter().find(|step| step.name == *name).and_then(|step| step.since_ms);
            expected.saturating_sub(since.map_or(0, |since| self.now_ms.saturating_sub(since)))
        };
        let all = self.expected.iter().map(|(name, expected)| left(name, *expected));
        let (sum, longest) = all.fold((0_u64, 0), |(sum, longest), one| (sum.saturating_add(one), one.max(longest)));
        longest.max(sum / self.options.jobs.max(1) as u64)
    }

    fn draw(&mut self) {
        if self.paused || self.sink.is_off() {
            return;
        }
        if let Some((columns, rows)) = (self.size)() {
            (self.style.width, self.rows) = (columns, rows);
        }
        let (above, foot) = (std::mem::take(&mut self.above), self.foot());
        let frame =
            if above.is_empty() && foot.is_empty() { self.canvas.clear(self.style) } else { self.canvas.frame(&above, &foot, self.style) };
        self.sink.put(&frame);
    }
}

impl<W: Write + Send> Renderer for Terminal<W> {
    fn in_place(&mut self, steps: usize, groups: usize) {
        self.tally.in_place(steps, groups);
    }
    fn event(&mut self, event: &Event) {
        if self.sink.is_off() {
            return;
        }
        self.tally.event(event);
        match event {
            Event::RunStarted { .. } => self.live = true,
            Event::StepStarted { step, at_ms, why } => {
                self.now_ms = self.now_ms.max(*at_ms);
                self.step(step).since_ms = Some(*at_ms);
                if self.options.verbose {
                    let line = line::started(self.style, step, why);
                    self.say(&line);
                }
            }
            Event::Output { step, stream, bytes } => self.output(step, *stream, bytes),
            Event::StepEnded { step, at_ms, took_ms, ended, detail, asked, .. } => {
                self.now_ms = self.now_ms.max(*at_ms);
                self.ended(step, ended, *took_ms, detail.as_deref(), *asked);
            }
            Event::Notice { step, text } => {
                let line = line::notice(self.style, step.as_ref(), text);
                self.say(&line);
            }
            Event::RunEnded { took_ms, exit, saved_ms, .. } => {
                self.live = false;
                for line in self.tally.end(self.style, *took_ms, *exit, *saved_ms, self.options.verbose) {
                    self.say(&line);
                }
                self.draw();
            }
        }
        if self.above.len() > WAITING {
            self.draw();
        }
    }

    fn tick(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        if self.live || !self.above.is_empty() {
            self.draw();
        }
    }

    fn pause(&mut self, paused: bool) {
        if paused {
            let live = std::mem::replace(&mut self.live, false);
            self.draw();
            self.live = live;
        }
        self.paused = paused;
    }

    fn finish(&mut self) {
        self.paused = false;
        self.live = false;
        let open: Vec<StepName> = self.steps.iter().map(|step| step.name.clone()).collect();
        for name in open {
            let mut rest = Vec::new();
            let step = self.step(&name);
            step.out.finish(&mut |line| rest.push(line));
            step.err.finish(&mut |line| rest.push(line));
            self.take(&name, rest);
        }
        self.steps.clear();
        self.draw();
    }
}

impl<W: Write> Drop for Terminal<W> {
    fn drop(&mut self) {
        let text = self.canvas.clear(self.style);
        if !text.is_empty() {
            self.sink.put(&text);
        }
    }
}
