//! When a task is tried again, and how long is waited before.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often, after what, and after how long.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// The most attempts after the first one.
    pub times: u32,
    /// The ends after which there is another attempt; empty for any failure.
    pub on: Vec<RetryOn>,
    /// The pause before the first further attempt, twice as long before each next one; `None` for the usual one.
    pub delay: Option<Duration>,
}

/// A way in which an attempt fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetryOn {
    /// It took longer than its `timeout`.
    Timeout,
    /// It printed nothing for longer than its `silence`.
    Silence,
    /// A signal killed it.
    Signal,
    /// It gave this exit code.
    Exit(u8),
}

impl RetryOn {
    /// What a word means: `timeout`, `silence`, `signal`, `exit:75`.
    ///
    /// # Errors
    /// One clause that says what the word is not.
    pub fn of(word: &str) -> Result<Self, String> {
        let code = |code: &str| code.parse().ok().filter(|code| *code > 0).map(Self::Exit);
        let found = match word {
            "timeout" => Some(Self::Timeout),
            "silence" => Some(Self::Silence),
            "signal" => Some(Self::Signal),
            word => word.strip_prefix("exit:").and_then(code),
        };
        found.ok_or_else(|| {
            format!("`{}` is none of `timeout`, `silence`, `signal`, `exit:1` to `exit:255`", crate::base::words::visible(word))
        })
    }
}

impl Retry {
    /// Whether an attempt that failed in this way is followed by another one, if any are left; `None` for a way without a name.
    #[must_use]
    pub fn is_for(&self, how: Option<RetryOn>) -> bool {
        self.on.is_empty() || how.is_some_and(|how| self.on.contains(&how))
    }
}
