//! Secrets: values that a step is given, and that nothing else ever sees. The plan knows their names and where they come from.

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Span;

/// A `secret` node at the top.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretDef {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub source: SecretSource,
    /// The name in the source.
    pub span: Span,
}

/// Where the value of a secret comes from. It is fetched just before the step that is given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretSource {
    /// A variable of kiln's environment.
    Env(String),
    /// A file: absolute, below the home folder (`~/…`), or of the project.
    File(String),
    /// What a command prints.
    Command(String),
}

/// A secret that a task is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretUse {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub source: SecretSource,
    /// The variable that the task finds it by.
    pub variable: String,
    /// Whether the variable holds the path of a file with the value, not the value.
    pub as_file: bool,
    /// The node's place.
    pub span: Span,
}
