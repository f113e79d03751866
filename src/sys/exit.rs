//! How a program ended, and the words for it.
//! In: what `waitpid` gave. Out: a value and one clause. Never: mistakes a signal for an exit code.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It gave an exit code.
    Code(i32),
    /// A signal killed it.
    Signal {
        /// The signal.
        number: i32,
        /// Whether the kernel wrote its memory to a file.
        core_dumped: bool,
    },
    /// It went together with kiln's helper; nobody knows how.
    Lost,
}

impl How {
    /// From what `waitpid` gave.
    #[must_use]
    pub fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(number)) => Self::Signal { number, core_dumped: status.core_dumped() },
            (None, None) => Self::Lost,
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal { number, core_dumped } => {
                write!(f, "killed by signal {number}")?;
                if let Some(name) = super::signal::name(*number) {
                    write!(f, " ({name})")?;
                }
                if *core_dumped { f.write_str(", core dumped") } else { Ok(()) }
            }
            Self::Lost => f.write_str("its helper process was killed"),
        }
    }
}

/// Why kiln stopped a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Someone wished it.
    Cancelled,
    /// Its time was over.
    TimedOut,
    /// It printed nothing for too long.
    Silent,
}

/// The end of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// What the kernel said.
    pub how: How,
    /// Set when kiln stopped it.
    pub stopped: Option<Stopped>,
    /// Processes that still ran when it had ended by itself; they were stopped.
    pub left_behind: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_signals_read_as_different_things() {
        for (raw, expected) in [
            (0, "exit code 0"),
            (2 << 8, "exit code 2"),
            (137 << 8, "exit code 137"),
            (9, "killed by signal 9 (SIGKILL)"),
            (11 | 0x80, "killed by signal 11 (SIGSEGV), core dumped"),
            (40, "killed by signal 40"),
        ] {
            assert_eq!(How::of(ExitStatus::from_raw(raw)).to_string(), expected);
        }
    }
}
