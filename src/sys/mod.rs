//! The only door to the machine: files, clock, environment, programs.
//! In: absolute paths and plain values. Out: bytes, or an error that carries the path and the act. Never: a decision.

pub mod account;
pub mod ask;
pub mod background;
pub mod cancel;
pub mod capacity;
pub mod clock;
pub mod disk;
pub mod env;
pub mod exit;
pub mod file;
pub mod folder;
pub mod folder_lock;
pub mod folders;
pub mod git;
pub mod helper;
pub mod jobs;
pub mod listing;
pub mod lock;
pub mod modes;
pub mod port;
pub mod process;
pub mod program;
pub mod random;
pub mod sandbox;
pub mod shim;
pub mod shims;
pub mod sights;
pub mod signal;
pub mod stamps;
pub mod stat;
pub mod terminal;
pub mod tree;
pub mod twin;
pub mod walk;
pub mod watch;
