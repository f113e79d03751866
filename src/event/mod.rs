//! What happened, as data: the one stream that screens, journals and reports read.
//! Never: wording, colour, a clock.

use serde::{Deserialize, Serialize};

use crate::base::digest::{ActionKey, ContentDigest};
use crate::base::id::{RunId, StepName};
use crate::base::time::Moment;

/// Which stream of a child wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Where a cached result came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Everything already stood in place; nothing was written.
    InPlace,
    /// Outputs were written back from the store.
    Restored,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Ended {
    /// It ran and succeeded.
    Done,
    /// It did not need to run.
    Cached {
        /// From where.
        from: Origin,
    },
    /// It ran, or could not start.
    Failed {
        /// Decides the exit code.
        class: FailureClass,
        /// One sentence: `exit code 2`, `killed by signal 9 (SIGKILL)`, …
        reason: String,
        /// The next act.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
        /// Whether the plan lets it fail.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        allowed: bool,
    },
    /// It did not run because another step failed.
    Skipped {
        /// The step that failed.
        because: StepName,
    },
    /// It was stopped: by the user, or because another step failed.
    Cancelled,
}

/// The part of [`crate::base::diagnostic::Class`] that a step can end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The step's own commands failed.
    Step,
    /// A policy refused.
    Policy,
    /// Registry, daemon, disk, network.
    Environment,
    /// A bug in kiln.
    Internal,
}

/// One thing that happened in a run.
#[allow(clippy::large_enum_variant, reason = "events are made once and handed on by reference")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The first one.
    RunStarted {
        /// The run.
        run: RunId,
        /// When.
        at: Moment,
        /// What was asked for, as typed.
        targets: Vec<String>,
        /// Steps that take part.
        steps: usize,
        /// The plan.
        plan: String,
    },
    /// A step's commands begin.
    StepStarted {
        /// The step.
        step: StepName,
        /// Milliseconds since the run began.
        at_ms: u64,
        /// Why it runs, in one clause: `src/main.rs changed`, `no result is known`, `it has no inputs`.
        why: String,
    },
    /// A child wrote something.
    Output {
        /// The step.
        step: StepName,
        /// The stream.
        stream: Stream,
        /// The bytes as they came, secrets already redacted; lossy only in JSON.
        #[serde(with = "lossy")]
        bytes: Vec<u8>,
    },
    /// A step ended. Every step that takes part ends exactly once.
    StepEnded {
        /// The step.
        step: StepName,
        /// Milliseconds since the run began.
        at_ms: u64,
        /// How long it took, or would have taken, in milliseconds.
        took_ms: u64,
        /// How.
        #[serde(flatten)]
        ended: Ended,
        /// The key, where one was made.
        key: Option<ActionKey>,
        /// What went into the key, as a blob in the store.
        manifest: Option<ContentDigest>,
        /// The log, as a blob in the store.
        log: Option<ContentDigest>,
        /// What it made, in a few words for the screen: `sha256:… 3 layers, 4.2 MiB`.
        detail: Option<String>,
        /// Whether the user named its target.
        asked: bool,
    },
    /// Something worth saying that belongs to no single step, or a warning of one.
    Notice {
        /// The step, if it belongs to one.
        step: Option<StepName>,
        /// The sentence.
        text: String,
    },
    /// The last one.
    RunEnded {
        /// When.
        at: Moment,
        /// Milliseconds since the run began.
        took_ms: u64,
        /// The process exit code.
        exit: u8,
        /// Milliseconds that cached steps took when they ran.
        saved_ms: u64,
    },
}

/// Receives events, in order, from any thread.
pub trait Listener: Send + Sync {
    /// Takes one event in; must not block for long.
    fn event(&self, event: Event);
}

/// For code and tests that have nobody to tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Listener for Nobody {
    fn event(&self, _event: Event) {}
}

mod lossy {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(bytes))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(deserializer).map(String::into_bytes)
    }
}
