//! The tree of nodes as written, each part with its place.

use std::sync::Arc;

use crate::base::diagnostic::{Source, Span};

/// One file.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its text.
    pub source: Arc<Source>,
    /// Its nodes, in order; nodes under `/-` are left out.
    pub nodes: Vec<Node>,
}

/// One node: `name arg… prop=value… { children }`.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub name: Word,
    /// Its arguments, in order.
    pub args: Vec<Value>,
    /// Its properties, in order of writing; a name that was written twice is a fault before this stage.
    pub props: Vec<Prop>,
    /// Its children; `None` when no block was written.
    pub children: Option<Vec<Self>>,
    /// From its name to the end of its last argument, property or block.
    pub span: Span,
}

/// A text with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The text, unescaped.
    pub text: String,
    /// Its place, quotes included.
    pub span: Span,
}

/// A property.
#[derive(Debug, Clone)]
pub struct Prop {
    /// Before the `=`.
    pub name: Word,
    /// After it.
    pub value: Value,
}

/// An argument or the value of a property.
#[derive(Debug, Clone)]
pub struct Value {
    /// What it is.
    pub scalar: Scalar,
    /// `(min)5`.
    pub annotation: Option<Box<Word>>,
    /// Its place, quotes and annotation included.
    pub span: Span,
    /// Whether it was written as a bare word: `push a b sign`.
    pub bare: bool,
}

/// The kinds of values.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// Any string form.
    String(String),
    /// An integer.
    Integer(i128),
    /// A number with a point or an exponent.
    Float(f64),
    /// `#true`, `#false`.
    Bool(bool),
    /// `#null`.
    Null,
}
