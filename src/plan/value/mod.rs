//! Values: names, `${…}` and what they stand for.
//! In: a value as it was written, the names in scope. Out: its text, list or map, of bounded size.
//! Never: a fact that is not needed, a script; an undefined name is a fault, not an empty text.

mod absent;
pub(super) mod bindings;
mod compare;
pub(super) mod dotenv;
pub(super) mod engine;
mod evaluate;
mod habits;
pub(super) mod param;
mod source;
pub(super) mod template;

use std::rc::Rc;

use crate::base::diagnostic::Span;
use crate::base::platform::Platform;
use crate::plan::param::ParamKind;

/// The names that hold only at one place of the plan.
#[derive(Debug, Clone)]
pub(super) struct Locals {
    /// `each` variables from the outermost in, then the variables of the matrix cell.
    pub vars: Vec<Variable>,
    /// What `${platform}` is, or why it is nothing.
    pub platform: Result<Platform, NoPlatform>,
    /// Variables of the target's matrix, at places that hold for all cells.
    pub hidden: Vec<String>,
    /// Variables that `include` gives cells of the matrix, not all of them this one.
    pub elsewhere: Rc<[String]>,
}

/// Why `${platform}` has no value at some place.
#[derive(Debug, Clone, Copy)]
pub(super) enum NoPlatform {
    /// At the top of the plan.
    Top,
    /// In what holds for all platforms of a target.
    Whole,
    /// In a task that lists none.
    Unlisted,
}

impl Locals {
    /// The names at the top of the plan: none.
    pub(super) fn top() -> Self {
        Self { vars: Vec::new(), platform: Err(NoPlatform::Top), hidden: Vec::new(), elsewhere: Rc::default() }
    }
}

/// An `each` or matrix variable, or an argument, with its value.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What the value is in expressions.
    pub kind: ParamKind,
    /// Where the name was declared.
    pub span: Span,
}

impl Variable {
    /// The value for expressions.
    fn resolved(&self) -> minijinja::Value {
        self.kind.read(&self.value).map_or_else(|_| minijinja::Value::from(self.value.as_str()), param::resolved)
    }
}
