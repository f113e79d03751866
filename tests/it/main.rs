//! The integration tests: one binary, one module per subject.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    missing_docs,
    reason = "tests may panic, and set up the machine themselves"
)]

mod architecture;
mod fake_registry;
mod image;
mod plan;
mod record;
mod registry;
mod report;
mod scan;
mod schedule;
mod schema;
mod store;
mod syntax;
mod vt;
