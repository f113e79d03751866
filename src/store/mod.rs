//! The store: blobs by digest, results by action key. One directory per user, many processes at once, crash-safe.
//! In: bytes and results. Out: the same bytes, verified, or nothing. Never: a wrong byte, a half-written file.

pub mod blob;
pub mod claim;
pub mod clean;
pub mod collect;
pub mod doctor;
pub mod health;
pub mod held;
pub mod lately;
pub mod layer_reader;
pub mod layout;
pub mod lease;
mod left;
pub mod local;
pub mod outputs;
mod pack;
pub mod record;
pub mod restore;
pub mod result;
pub mod stat_cache;
mod stat_file;
mod tar_reader;
