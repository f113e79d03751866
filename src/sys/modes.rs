//! The terminal that a step borrows: its modes are put back, whatever the step did to them.
//! In: kiln's own standard input. Out: nothing. Never: touches a terminal that is another job's at the time.

use rustix::termios::{OptionalActions, Termios};

/// The terminal's modes as they were; put back when this is dropped.
#[derive(Debug)]
pub struct SavedModes(Option<Termios>);

impl SavedModes {
    /// Remembers the modes of the terminal at standard input, when there is one.
    #[must_use]
    pub fn of_stdin() -> Self {
        Self(rustix::termios::tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for SavedModes {
    fn drop(&mut self) {
        let stdin = std::io::stdin();
        // From the background the kernel would stop kiln (SIGTTOU) instead of setting anything.
        let is_ours = rustix::termios::tcgetpgrp(&stdin).is_ok_and(|group| group == rustix::process::getpgrp());
        if let Some(modes) = self.0.as_ref().filter(|_| is_ours) {
            // A terminal that went away needs no modes.
            let _ = rustix::termios::tcsetattr(&stdin, OptionalActions::Now, modes);
        }
    }
}
