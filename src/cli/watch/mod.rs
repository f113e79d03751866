//! `kiln watch`: runs targets, and runs them again whenever what they read has changed.
//! In: what was typed. Out: one run after the other, and between them what changed. Never: a run for what only looks like a change;
//! anything of a run that is left when the next one begins.
//!
//! The kernel only says that something happened. What is different is found by looking: at the content of all that the steps read, and at
//! the texts of the plan. So an editor's way of saving, a touched file, a checkout of another branch and the steps' own outputs need no
//! rules of their own.

mod guard;
mod own;
mod ports;
mod quiet;
mod rounds;
mod session;
mod tell;
mod texts;

use crate::base::time::Span;

use super::args::How;

pub use self::rounds::watch;

/// Options of `watch`.
#[derive(Debug, clap::Args)]
pub struct Watch {
    /// Targets or steps [default: the plan's default]
    pub targets: Vec<String>,
    #[command(flatten)]
    pub how: How,
    /// Looks every so often instead of waiting for events of the kernel
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true, default_missing_value = "1s")]
    pub poll: Option<Span>,
}
