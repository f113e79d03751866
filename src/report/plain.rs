//! A run as plain lines, each complete when it is written: for files, pipes and the logs of CI.
//! In: events. Out: one line for each, and every line of output behind its step's name. Never: moves the cursor.

use std::collections::BTreeMap;
use std::io::Write;

use crate::base::id::StepName;
use crate::event::{Event, Stream};

use super::line;
use super::paint::{Ink, Mark};
use super::sanitize::Cleaner;
use super::sink::Sink;
use super::style::Style;
use super::summary::Tally;
use super::{Options, Renderer};

/// After so many milliseconds without a line, one says what still runs: CI ends jobs that are silent for long.
const SILENCE_MS: u64 = 60_000;

/// Writes lines as events come.
#[derive(Debug)]
pub struct Plain<W> {
    sink: Sink<W>,
    style: Style,
    options: Options,
    tally: Tally,
    running: BTreeMap<StepName, Running>,
    now_ms: u64,
    last_line_ms: u64,
}

#[derive(Debug)]
struct Running {
    since_ms: u64,
    out: Cleaner,
    err: Cleaner,
}

impl<W: Write> Plain<W> {
    /// Writes on `stream`.
    pub fn new(stream: W, style: Style, options: Options) -> Self {
        Self { sink: Sink::new(stream), style, options, tally: Tally::default(), running: BTreeMap::new(), now_ms: 0, last_line_ms: 0 }
    }

    /// Gives the stream back, unless its reader left.
    pub fn into_inner(self) -> Option<W> {
        self.sink.into_inner()
    }

    fn put(&mut self, text: &str) {
        if !text.is_empty() {
            self.last_line_ms = self.now_ms;
            self.sink.put(text);
        }
    }

    fn running(&mut self, step: &StepName) -> &mut Running {
        let (colour, since_ms) = (self.style.colour, self.now_ms);
        self.running.entry(step.clone()).or_insert_with(|| Running { since_ms, out: Cleaner::new(colour), err: Cleaner::new(colour) })
    }

    fn output(&mut self, step: &StepName, stream: Stream, bytes: &[u8]) {
        if self.sink.is_off() {
            return;
        }
        let prefix = line::prefix(self.style, step);
        let running = self.running(step);
        let cleaner = match stream {
            Stream::Out => &mut running.out,
            Stream::Err => &mut running.err,
        };
        let mut text = String::new();
        cleaner.feed(bytes, &mut |line| push_line(&mut text, &prefix, &line));
        self.put(&text);
    }

    /// What the step wrote without a line feed at its end.
    fn flush(&mut self, step: &StepName) -> String {
        let prefix = line::prefix(self.style, step);
        let mut text = String::new();
        if let Some(mut running) = self.running.remove(step) {
            running.out.finish(&mut |line| push_line(&mut text, &prefix, &line));
            running.err.finish(&mut |line| push_line(&mut text, &prefix, &line));
        }
        text
    }
}

fn push_line(text: &mut String, prefix: &str, line: &str) {
    // An empty line of output must not leave a blank at the end of the line.
    text.push_str(if line.is_empty() { prefix.trim_end() } else { prefix });
    text.push_str(line);
    text.push('\n');
}

impl<W: Write + Send> Renderer for Plain<W> {
    fn in_place(&mut self, steps: usize, groups: usize) {
        self.tally.in_place(steps, groups);
    }
    fn event(&mut self, event: &Event) {
        self.tally.event(event);
        match event {
            Event::RunStarted { .. } => {}
            Event::StepStarted { step, at_ms, why } => {
                self.now_ms = self.now_ms.max(*at_ms);
                self.running(step);
                let line = line::started(self.style, step, why);
                self.put(&format!("{line}\n"));
            }
            Event::Output { step, stream, bytes } => self.output(step, *stream, bytes),
            Event::StepEnded { step, at_ms, took_ms, ended, detail, asked, .. } => {
                self.now_ms = self.now_ms.max(*at_ms);
                let mut text = self.flush(step);
                if self.tally.is_worth_a_line(step, ended, detail.as_deref(), *asked, self.options.verbose) {
                    text.push_str(&line::ended(self.style, step, ended, *took_ms, detail.as_deref()));
                    text.push('\n');
                }
                self.put(&text);
            }
            Event::Notice { step, text } => {
                let line = line::notice(self.style, step.as_ref(), text);
                self.put(&format!("{line}\n"));
            }
            Event::RunEnded { took_ms, exit, saved_ms, .. } => {
                let lines = self.tally.end(self.style, *took_ms, *exit, *saved_ms, self.options.verbose);
                self.put(&format!("{}\n", lines.join("\n")));
                self.running.clear();
            }
        }
    }

    fn tick(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        if self.running.is_empty() || self.now_ms.saturating_sub(self.last_line_ms) < SILENCE_MS {
            return;
        }
        let mut text = String::new();
        for (step, running) in &self.running {
            let since = line::time(self.now_ms.saturating_sub(running.since_ms));
            let said = self.style.paint(Ink::Dim, &format!("still running after {since}"));
            text.push_str(&format!("{} {}  {said}\n", self.style.mark(Mark::Running), line::name(step)));
        }
        self.put(&text);
    }

    fn finish(&mut self) {
        let open: Vec<StepName> = self.running.keys().cloned().collect();
        for step in open {
            let text = self.flush(&step);
            self.put(&text);
        }
    }
}
