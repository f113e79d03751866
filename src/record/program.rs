//! Which program this is: what it keeps for itself is of no use to another build.

use crate::base::canon::{HashSink, Sink as _};
use crate::base::digest::{Blake3, Digest};
use crate::sys::stat::Stat;
use crate::sys::{file, shims};

/// The identity of the running program: its version, and what the kernel says of its file. Another build of the same version
/// counts as another program. `None` when its file cannot be found.
#[must_use]
pub fn identity() -> Option<Digest<Blake3>> {
    let program = Stat::of(&file::open(shims::own_program()).ok()?.metadata().ok()?);
    let mut sink = HashSink::new("kiln program 1");
    sink.text("version", env!("CARGO_PKG_VERSION"));
    for (name, number) in [("size", i128::from(program.size)), ("modified", program.modified), ("changed", program.changed)] {
        sink.field(name, &number.to_le_bytes());
    }
    Some(sink.finish())
}
