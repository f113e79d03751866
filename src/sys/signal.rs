//! Signals: their names, and those that ask kiln to end.
//! In: nothing. Out: one value per signal. Never: decides what follows.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that asks kiln to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// The terminal closed (`SIGHUP`).
    Hangup,
    /// Ctrl-C (`SIGINT`).
    Keyboard,
    /// `kill`, a service manager, a CI runner (`SIGTERM`).
    Terminate,
}

impl Interrupt {
    /// 128 and the signal's number, as shells report it.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Hangup => 129,
            Self::Keyboard => 130,
            Self::Terminate => 143,
        }
    }
}

/// Receives the signals that ask kiln to end. While one lives, and after, they no longer end kiln by themselves; and since a
/// handler is not inherited, programs that kiln starts have their default actions, also where a shell had started kiln in
/// the background with `SIGINT` ignored.
#[derive(Debug)]
pub struct Interrupts {
    /// `None` under `nohup`, which a closing terminal must not end.
    hangup: Option<Signal>,
    keyboard: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Starts to listen. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the kernel refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: if is_ignored(SignalKind::hangup()) { None } else { Some(signal(SignalKind::hangup())?) },
            keyboard: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Interrupt {
        let Self { hangup, keyboard, terminate } = self;
        let hangup = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => None,
            }
        };
        tokio::select! {
            Some(()) = hangup => Interrupt::Hangup,
            Some(()) = keyboard.recv() => Interrupt::Keyboard,
            Some(()) = terminate.recv() => Interrupt::Terminate,
            else => std::future::pending().await,
        }
    }
}

/// Whether kiln was started with a signal ignored. Source: proc(5), `SigIgn` in `/proc/pid/status`.
fn is_ignored(kind: SignalKind) -> bool {
    let status = super::file::read("/proc/self/status", 64 << 10).unwrap_or_default();
    let text = String::from_utf8_lossy(&status);
    let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}

/// The names of Linux signals 1 to 31, as x86 and arm number them.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD",
    "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// `SIGKILL` for 9; `None` for real-time signals and for numbers that are none.
#[must_use]
pub fn name(number: i32) -> Option<String> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    NAMES.get(index).map(|name| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_told_from_others() {
        // Every Rust program starts with SIGPIPE ignored, and nobody can ignore SIGKILL.
        assert!(is_ignored(SignalKind::pipe()));
        assert!(!is_ignored(SignalKind::from_raw(9)));
    }

    #[tokio::test]
    async fn a_signal_is_received_instead_of_ending_the_program() {
        let mut interrupts = Interrupts::listen().unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
        assert_eq!(interrupts.next().await, Interrupt::Terminate);
    }

    #[test]
    fn names_agree_with_the_kernels_numbers() {
        use rustix::process::Signal as S;
        for (signal, expected) in [
            (S::HUP, "SIGHUP"),
            (S::KILL, "SIGKILL"),
            (S::SEGV, "SIGSEGV"),
            (S::TERM, "SIGTERM"),
            (S::CHILD, "SIGCHLD"),
            (S::TTOU, "SIGTTOU"),
            (S::XFSZ, "SIGXFSZ"),
            (S::SYS, "SIGSYS"),
        ] {
            assert_eq!(name(signal.as_raw()).as_deref(), Some(expected));
        }
        for number in [0, -1, 32, 64, i32::MAX] {
            assert_eq!(name(number), None);
        }
    }
}
