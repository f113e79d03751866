//! The embedded builder: files → layers → config → manifest → index, the same bytes every time.
//! In: recipes and files by digest. Out: blobs in the store and descriptors. Never: asks the clock, the user or the umask.

pub mod advice;
pub mod archive;
pub mod build;
pub mod cache;
pub mod clearing;
pub mod compare;
mod compress;
pub mod config;
pub mod contents;
pub mod files;
pub mod ground;
pub mod habits;
pub mod layer;
pub mod layout;
pub mod publish;
pub mod save;
pub mod take;
mod tar;
pub mod tree;
pub mod unarchive;
