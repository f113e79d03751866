//! Questions about a graph, written as an expression: `rdeps(owner("src/main.go")) ^ kind(run)`.
//! In: a text and a graph. Out: steps or paths, or every fault of the text with its place. Never: a file (the patterns of
//! `inputs` are looked up by whoever asks, through [`Inputs`]).

mod answer;
mod functions;
mod read;

pub use answer::answer;
pub use functions::{FUNCTIONS, Function};

use crate::base::diagnostic::Span;
use crate::base::id::StepId;

/// What an expression gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Steps: in the order of the graph, or along a path.
    Steps(Vec<StepId>),
    /// Paths, sorted.
    Paths(Vec<String>),
}

/// Finds the files that a step reads.
pub trait Inputs {
    /// The paths, below the project.
    ///
    /// # Errors
    /// Why they cannot be listed, in words that follow a colon.
    fn inputs(&self, step: StepId) -> Result<Vec<String>, String>;
}

/// How two sets become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Union,
    Except,
    Intersect,
}

/// An expression as it was written.
#[derive(Debug)]
enum Expression {
    /// A name, a pattern of names, a path or a number: what it is depends on where it stands.
    Word(String, Span),
    /// `deps(web)`.
    Call { name: String, span: Span, arguments: Vec<Expression>, whole: Span },
    /// `a + b - c`, from left to right: flat, as a text may join thousands.
    Sets { first: Box<Expression>, rest: Vec<(Operator, Span, Expression)> },
}

impl Expression {
    fn span(&self) -> &Span {
        match self {
            Self::Word(_, span) => span,
            Self::Call { whole, .. } => whole,
            Self::Sets { first, rest } => rest.last().map_or_else(|| first.span(), |(_, span, _)| span),
        }
    }
}
