//! The integration tests: one binary, one module per subject.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    missing_docs,
    reason = "tests may panic, and set up the machine themselves"
)]

mod architecture;
mod args;
mod ci;
mod clean;
mod collect;
mod compiled;
mod completion;
mod crash;
mod declarations;
mod diff;
mod docker;
mod docs;
mod evidence;
mod evidence_schemas;
mod explain;
mod fake_registry;
mod faults;
mod fmt;
mod glance;
mod history;
mod hostile;
mod image;
mod include;
mod inputs;
mod inspect;
mod inspect_sources;
mod interrupt;
mod jobs;
mod json;
mod kdl_suite;
mod keyless;
mod language;
mod layers;
mod layouts;
mod lazy;
mod lock;
mod login;
mod partly;
mod parts;
mod plan;
mod process;
mod project;
mod prune;
mod prune_layout;
mod prune_random;
mod publish;
mod publishers;
mod query;
mod readme;
mod real_registry;
mod record;
mod recorder;
mod referrers;
mod registry;
mod release;
mod remote;
mod report;
mod reproduce;
mod run;
mod sandbox;
mod save;
mod scale;
mod scan;
mod schedule;
mod schema;
mod stages;
mod store;
mod syft;
mod syntax;
mod systems;
mod task;
mod template;
mod values;
mod verify;
mod vt;
mod watch;
mod why;
