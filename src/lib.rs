//! kiln: a declarative build-plan compiler and task runner.
//!
//! The modules stand in reading order: seven floors, imports point down. ARCHITECTURE.md draws them.

pub mod base;

pub mod event;
pub mod oci;
pub mod syntax;
pub mod sys;

pub mod evidence;
pub mod plan;
pub mod record;
pub mod registry;
pub mod store;

pub mod graph;
pub mod image;
pub mod scan;

pub mod engine;
pub mod key;

pub mod exec;
pub mod report;

pub mod cli;
