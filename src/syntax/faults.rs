//! Faults as they are found: what is kept, how they are worded, how many are shown.
//! In: places and words. Out: a sorted list that fits a screen. Never: one fault per byte of a hostile file.

use std::sync::Arc;

use crate::base::diagnostic::{Diagnostic, Diagnostics, Source, Span};
use crate::base::words;

/// The number of faults shown for one file.
pub(super) const SHOWN: usize = 20;

/// The number of faults that one pass keeps in full; the rest are counted.
const KEPT: usize = 1_000;

/// The faults of one pass over one file.
pub(super) struct Faults {
    source: Arc<Source>,
    kept: Vec<Diagnostic>,
    dropped: usize,
}

impl Faults {
    pub(super) const fn new(source: Arc<Source>) -> Self {
        Self { source, kept: Vec::new(), dropped: 0 }
    }

    /// The place from `start` up to `end`.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        Span::new(&self.source, start, end.saturating_sub(start))
    }

    /// Takes one fault in; `make` is called only when there is room for it.
    pub(super) fn add(&mut self, start: usize, end: usize, make: impl FnOnce() -> Fault) {
        if self.kept.len() == KEPT {
            self.dropped += 1;
            return;
        }
        let fault = make();
        let mut diagnostic = Diagnostic::plan(fault.code, fault.message, &self.span(start, end), fault.label);
        if let Some((from, to, text)) = fault.other {
            diagnostic = diagnostic.label(&self.span(from, to), text);
        }
        self.kept.push(diagnostic.help(fault.help));
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Takes in what a later pass over the same file found.
    pub(super) fn append(&mut self, mut later: Self) {
        self.kept.append(&mut later.kept);
        self.dropped += later.dropped;
    }

    /// The first faults by place, and one line for all the others.
    pub(super) fn finish(self) -> Diagnostics {
        let end = self.span(self.source.text.len(), self.source.text.len());
        let mut all = Diagnostics::default();
        all.extend(self.kept);
        let mut sorted = all.sorted();
        let hidden = sorted.len().saturating_sub(SHOWN) + self.dropped;
        if hidden > 0 {
            let rest = sorted.split_off(SHOWN.min(sorted.len()));
            let place = rest.first().and_then(|next| next.labels.first()).map_or(end, |label| label.span.clone());
            let message = format!("{} in `{}`", words::count(hidden, "more fault"), self.source.name);
            sorted.push(
                Diagnostic::plan("syntax::more", message, &place, "the next one is here")
                    .help(format!("the first {SHOWN} are shown; mend them and check again")),
            );
        }
        let mut shown = Diagnostics::default();
        shown.extend(sorted);
        shown
    }
}

/// One fault in words.
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) label: String,
    pub(super) help: String,
    /// A second place, from and to, with its text.
    pub(super) other: Option<(usize, usize, &'static str)>,
}

impl Fault {
    pub(super) fn new(code: &'static str, message: impl Into<String>, label: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, message: message.into(), label: label.into(), help: help.into(), other: None }
    }

    pub(super) const fn other(mut self, start: usize, end: usize, text: &'static str) -> Self {
        self.other = Some((start, end, text));
        self
    }
}

/// A text of the file as a message shows it: on one line, harmless, not too long.
pub(super) fn shown(text: &str) -> String {
    words::visible(&words::shorten(text, 60))
}

/// The text as a KDL string: raw when it holds a backslash or a quote.
pub(super) fn quoted(text: &str) -> String {
    let text = shown(text);
    if !text.contains(['\\', '"']) {
        return format!("\"{text}\"");
    }
    let mut marks = "#".to_owned();
    while text.contains(&format!("\"{marks}")) {
        marks.push('#');
    }
    format!("{marks}\"{text}\"{marks}")
}
