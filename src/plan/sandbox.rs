//! What a task may see and change of this machine beside what it declares.

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Span;
use crate::base::path::RelPath;

/// What becomes of reads and writes that a task did not declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sandbox {
    /// Nothing.
    Off,
    /// They are reported.
    Audit,
    /// They fail.
    Strict,
}

impl Sandbox {
    /// The words of all modes.
    pub const WORDS: &[&str] = &["off", "audit", "strict"];

    /// The mode of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Self::Off, Self::Audit, Self::Strict].into_iter().find(|mode| mode.word() == word)
    }

    /// The word in the plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Audit => "audit",
            Self::Strict => "strict",
        }
    }
}

/// A sandbox, with what it lets through.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxDef {
    /// The mode; never [`Sandbox::Off`] in a task.
    pub mode: Sandbox,
    /// Files and folders of the machine that can be read: absolute, or below the home folder as `~/…`; sorted.
    pub read: Vec<String>,
    /// Folders that can be written to; sorted.
    pub write: Vec<WritePlace>,
    /// Whether the network can be reached.
    pub network: bool,
    /// Whether kiln watches what is asked for, so that it can name what was refused.
    pub watch: bool,
    /// The place of the mode.
    pub span: Span,
}

/// A folder that a task can write to beside its outputs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WritePlace {
    /// Of the project; empty at first, and dropped at the end.
    Project(RelPath),
    /// Of the machine: absolute, or below the home folder as `~/…`.
    Machine(String),
}

impl WritePlace {
    /// As the plan has it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Project(path) => path.to_string(),
            Self::Machine(path) => path.clone(),
        }
    }
}
