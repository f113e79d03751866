//! Files that processes leave under temporary names.
//! In: a name. Out: whether the process that made it lives. Never: a look at the file.

use rustix::io::Errno;

use super::tree::TEMPORARY;

/// Who made a file with a temporary name (`.kiln-tmp-PID-N`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// This process.
    This,
    /// One that lives, or whose number another one has now.
    Other,
    /// One that is gone.
    Gone,
}

/// Who made a file of this name; `None` when it is no temporary one.
#[must_use]
pub fn maker(name: &[u8]) -> Option<Maker> {
    let rest = std::str::from_utf8(name.strip_prefix(TEMPORARY.as_bytes())?).ok()?;
    let maker = rest.split('-').next()?.parse().ok().and_then(rustix::process::Pid::from_raw)?;
    if maker == rustix::process::getpid() {
        return Some(Maker::This);
    }
    Some(if rustix::process::test_kill_process(maker) == Err(Errno::SRCH) { Maker::Gone } else { Maker::Other })
}
