//! Work that goes on when kiln has ended: kiln itself once more, in the background.
//! In: arguments for kiln. Out: a process that nobody waits for. Never: one that holds the terminal, a pipe or a folder of
//! the user, or that takes the processor from others.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// Starts this very program with `args`, apart from the terminal's process group, with `/` as its folder.
///
/// # Errors
/// When the system has no room for one more process.
#[allow(clippy::disallowed_methods, reason = "this is the door")]
pub fn start(args: &[&std::ffi::OsStr]) -> io::Result<()> {
    let mut command = Command::new(super::shims::own_program());
    command.args(args).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop)
}

/// Lets all others have the processor first. Where the system refuses, the work is done all the same.
pub fn give_way() {
    let _ = rustix::process::nice(10);
}
