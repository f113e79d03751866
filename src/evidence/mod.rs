//! Evidence: what goes beside an image, and who vouches for it.
//! In: digests, documents and a key. Out: signatures, statements, envelopes, bundles and the manifests that carry them, the same
//! bytes every time. Never: reads a file, asks a registry or a clock, shows a key.

pub mod artifact;
pub mod beside;
pub mod bundle;
pub mod check;
pub mod dsse;
mod encrypted;
pub mod key;
pub mod keyless;
mod pem;
pub mod provenance;
pub mod public;
mod sealed;
pub mod signer;
pub mod simple;
pub mod sort;
pub mod statement;
