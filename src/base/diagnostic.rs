//! One form for every fault, from plan text to registry answer: code, message, places, help, class.

use std::fmt;
use std::sync::Arc;

/// Who must act, and so the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A step failed: exit code 1.
    Step,
    /// The command line: exit code 2.
    Usage,
    /// The plan: exit code 3.
    Plan,
    /// A policy refused: exit code 4.
    Policy,
    /// Registry, daemon, disk, network: exit code 5.
    Environment,
    /// A bug in kiln: exit code 70.
    Internal,
}

impl Class {
    /// The process exit code of a run that ended with this class.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Step => 1,
            Self::Usage => 2,
            Self::Plan => 3,
            Self::Policy => 4,
            Self::Environment => 5,
            Self::Internal => 70,
        }
    }
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing stops.
    Warning,
    /// Stops what was asked.
    Error,
}

/// A named text that spans point into.
#[derive(Debug)]
pub struct Source {
    /// The name shown, as the user wrote it or relative to the project.
    pub name: String,
    /// The text, UTF-8.
    pub text: String,
}

/// A range of bytes in a source.
#[derive(Clone)]
pub struct Span {
    /// The text that it lies in.
    pub source: Arc<Source>,
    /// The first byte.
    pub start: usize,
    /// The number of bytes.
    pub len: usize,
    /// Which use of a template wrote it out; 0 for text that stands where it holds. Places are the same whatever this is.
    pub frame: u32,
}

impl Span {
    /// `len` bytes from `start`.
    #[must_use]
    pub fn new(source: &Arc<Source>, start: usize, len: usize) -> Self {
        Self { source: Arc::clone(source), start, len, frame: 0 }
    }

    /// `len` bytes of the same text from `start`, seen from the same use of a template.
    #[must_use]
    pub fn part(&self, start: usize, len: usize) -> Self {
        Self { source: Arc::clone(&self.source), start, len, frame: self.frame }
    }

    /// The marked text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.source.text.get(self.start..self.start + self.len).unwrap_or_default()
    }

    /// Line and column, counted from one; columns count characters.
    #[must_use]
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.start).unwrap_or(&self.source.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
        (line, column)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}..{}", self.source.name, self.start, self.start + self.len)
    }
}

impl PartialEq for Span {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source) && (self.start, self.len) == (other.start, other.len)
    }
}
impl Eq for Span {}

/// A place and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// A few words under the mark; may be empty.
    pub text: String,
}

/// A fault or a warning, complete: what is wrong in the user's words, where, and the next act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable: `area::what`.
    pub code: &'static str,
    /// Lower case, no full stop, names in backticks.
    pub message: String,
    /// Places, the first one first.
    pub labels: Vec<Label>,
    /// The next act.
    pub help: Option<String>,
    /// How much it matters.
    pub severity: Severity,
    /// Who must act.
    pub class: Class,
}

impl Diagnostic {
    /// A fault without a place.
    #[must_use]
    pub fn new(class: Class, code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), labels: Vec::new(), help: None, severity: Severity::Error, class }
    }
    /// A fault of the plan at a place.
    #[must_use]
    pub fn plan(code: &'static str, message: impl Into<String>, span: &Span, label: impl Into<String>) -> Self {
        Self::new(Class::Plan, code, message).label(span, label)
    }
    /// Adds a place.
    #[must_use]
    pub fn label(mut self, span: &Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span: span.clone(), text: text.into() });
        self
    }
    /// Says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
    /// Makes it a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
    /// Orders by source name and place, faults without a place last.
    #[must_use]
    pub fn place(&self) -> (bool, &str, usize) {
        self.labels.first().map_or((true, "", 0), |label| (false, &label.span.source.name, label.span.start))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// Every fault of a stage, ordered by place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Takes one more in.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }
    /// Takes all of another stage in.
    pub fn extend(&mut self, other: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(other);
    }
    /// Whether anything stops what was asked.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// All of them, ordered by place.
    #[must_use]
    pub fn sorted(mut self) -> Vec<Diagnostic> {
        self.0.sort_by(|a, b| a.place().cmp(&b.place()).then_with(|| a.message.cmp(&b.message)));
        self.0.dedup();
        self.0
    }
    /// As found.
    #[must_use]
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.0
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Self(vec![one])
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
