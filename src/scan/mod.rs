//! Policy over findings: what is in an image, what is allowed, what follows.
//! In: an image in the store and a policy. Out: findings, an SBOM, a verdict.
//! Never: trusts a byte of a layer, shows a secret, or takes what it could not read for clean.

pub mod account;
pub mod content;
pub mod rules;
pub mod run;
pub mod sbom;
pub mod secrets;
pub mod verdict;
pub mod view;

/// Enters the key of every scan: moves when the same image could give other findings.
pub const VERSION: &str = "kiln scan 2";
