//! The terminal that kiln was started on: whether there is one, and how large it is now.
//! Never: writes to it, changes its modes.

use std::io::IsTerminal as _;

/// One of the two streams that people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Screen {
    /// Whether a person may be looking at it.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Out => std::io::stdout().is_terminal(),
            Self::Err => std::io::stderr().is_terminal(),
        }
    }

    /// Columns and rows at this moment; `None` when it is no terminal or does not tell.
    #[must_use]
    pub fn size(self) -> Option<(usize, usize)> {
        let size = match self {
            Self::Out => rustix::termios::tcgetwinsize(std::io::stdout()),
            Self::Err => rustix::termios::tcgetwinsize(std::io::stderr()),
        }
        .ok()?;
        (size.ws_col > 0 && size.ws_row > 0).then_some((usize::from(size.ws_col), usize::from(size.ws_row)))
    }
}
