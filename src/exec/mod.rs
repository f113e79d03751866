//! The executor: a pure schedule and the shell around it.
//! In: a graph and the steps that take part. Out: a stream of events and how the run ended.
//! Never: words for screens, colours, a decision that the schedule could make.

pub mod afterwards;
pub mod compare;
pub mod estimate;
pub mod foresee;
pub mod gather;
mod links;
pub mod look;
mod materials;
pub mod not_yet;
pub mod offline;
pub mod past;
pub mod preflight;
pub mod run;
pub mod schedule;
pub mod sight;
pub mod step;
pub mod witness;
