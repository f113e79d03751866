//! KDL text → [`document::Document`] with byte spans on every part.
//! In: the text of one file. Out: the tree of nodes as written, or every syntax fault at once.
//! Never: a panic, a stack overflow or unbounded time, whatever the bytes; nothing here knows what a node means.
//!
//! A file passes `bytes` (is it text?), `prescan` (tokens; what is never closed, too deep, hidden), `shape` (do the tokens make nodes?
//! `repair` says what a bad word was meant to be), and then `parse`, where `nodes` takes what is plain and the `kdl` crate the rest.

mod borrowed;
mod bytes;
mod chars;
mod comments;
pub mod document;
mod entry;
pub mod explain;
mod faults;
mod foreign;
pub mod format;
mod nodes;
mod parse;
mod prescan;
mod repair;
mod shape;
mod strings;
pub mod upgrade;

pub use bytes::{LIMIT, check_file_bytes};
pub use parse::parse;
