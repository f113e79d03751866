//! The helper between kiln and a step's command: `kiln __child …`, one per running command, with a single thread.
//! In: a socket to kiln as standard input, the command and its directory as arguments, its environment as its own.
//! Out: the command's end, told over the socket. Never: outlives kiln, ends while a descendant of the command runs.
//!
//! Why a process of its own: to be there when kiln is killed with signal 9, and to be the parent that the kernel gives
//! orphaned grandchildren to (`PR_SET_CHILD_SUBREAPER`), also those that made a session of their own. `PDEATHSIG` would
//! reach the direct child alone, and would fire when the thread of kiln that started it ends.
//!
//! The socket carries lines. From the helper: `pid N`, or `errno N` when the command did not start; then `status N`
//! (as `waitpid` has it) and, when nothing runs any more, `left N`. To the helper: `stop MILLIS`, `kill`; its end means
//! that kiln is gone.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use super::clock::Stopwatch;

/// The first argument that makes the program this helper.
pub const WORD: &str = "__child";

/// How long programs have to end after `SIGTERM` when kiln is gone, in milliseconds.
const ORPHAN_GRACE: u64 = 1_000;
/// How long those have that a finished command left behind.
const LEFTOVER_GRACE: u64 = 200;
/// After how long a process that does not even die of `SIGKILL` (in a system call, or of another user) is given up.
const GIVE_UP: u64 = 3_000;
/// How often the helper looks again while programs are ending.
const PRESS_EVERY: u64 = 5;
/// How often it collects orphans that ended by themselves.
const COLLECT_EVERY: u64 = 1_000;

/// Runs the helper. `args` are those after [`WORD`]: the process group to join (0: a session and a group of its own),
/// the directory, the program's path, then its arguments beginning with the zeroth.
#[must_use]
pub fn shim_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match start(args) {
        Ok(shim) => {
            shim.supervise();
            ExitCode::SUCCESS
        }
        // kiln sees the socket close without a status and says that its helper failed.
        Err(_) => ExitCode::from(70),
    }
}

/// What is there to watch.
struct Shim {
    /// `None` once kiln is gone.
    control: Option<UnixStream>,
    command: Pid,
    /// Readable when the command ended; kernels before 5.3 have none.
    pidfd: Option<OwnedFd>,
    /// Whether the command leads a process group of its own.
    leads: bool,
    /// The command's end, as `waitpid` has it.
    status: Option<i32>,
    clock: Stopwatch,
    /// When `SIGTERM` turns to `SIGKILL`, in milliseconds of `clock`; `None` while nothing is to stop.
    kill_at: Option<u64>,
    /// Who got `SIGTERM`.
    told: HashSet<Pid>,
    /// Processes that still ran when the command had ended by itself.
    left: usize,
}

/// Starts the command.
#[allow(clippy::disallowed_methods, reason = "this is the door")]
fn start(args: impl IntoIterator<Item = OsString>) -> io::Result<Shim> {
    let mut args = args.into_iter();
    let bad = || io::Error::from(io::ErrorKind::InvalidInput);
    let group: i32 = args.next().and_then(|text| text.to_str()?.parse().ok()).ok_or_else(bad)?;
    let dir = args.next().ok_or_else(bad)?;
    let (program, zeroth) = (args.next().ok_or_else(bad)?, args.next().ok_or_else(bad)?);
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let stdin = if group == 0 {
        // A session without a terminal: Ctrl-C does not reach the command behind kiln's back, and a program that asks
        // for a password on `/dev/tty` fails at once instead of being stopped for ever.
        rustix::process::setsid()?;
        Stdio::null()
    } else {
        receive_stdin(&control)?
    };
    rustix::process::chdir(dir.as_os_str())?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let spawned = Command::new(program).arg0(zeroth).args(args).stdin(stdin).process_group(group).spawn();
    let child = match spawned {
        Ok(child) => child,
        Err(error) => {
            writeln!(control, "errno {}", error.raw_os_error().unwrap_or_default())?;
            return Err(error);
        }
    };
    let command = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(bad)?;
    let shim = Shim {
        pidfd: rustix::process::pidfd_open(command, PidfdFlags::empty()).ok(),
        control: Some(control),
        command,
        leads: group == 0,
        status: None,
        clock: Stopwatch::start(),
        kill_at: None,
        told: HashSet::new(),
        left: 0,
    };
    shim.tell(&format!("pid {}", child.id()));
    Ok(shim)
}

/// Takes over the standard input that kiln sends for a step that uses the terminal.
fn receive_stdin(control: &UnixStream) -> io::Result<Stdio> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(control, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(Stdio::from(fd));
        }
    }
    Ok(Stdio::null())
}

impl Shim {
    /// Watches until nothing runs any more.
    fn supervise(mut self) {
        while self.collect() {
            if self.status.is_some() && self.kill_at.is_none() {
                self.left = children().len();
                self.stop(LEFTOVER_GRACE);
            }
            self.press();
            if self.kill_at.is_some_and(|at| self.clock.millis() > at + GIVE_UP) {
                break;
            }
            self.listen();
        }
        self.tell(&format!("left {}", self.left));
    }

    /// Collects all that ended; says whether anything still runs.
    fn collect(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    self.told.remove(&pid);
                    if pid == self.command {
                        self.status = Some(status.as_raw());
                        self.tell(&format!("status {}", status.as_raw()));
                    }
                }
                Ok(None) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// From now on everything is asked to end, and killed after `grace` milliseconds.
    fn stop(&mut self, grace: u64) {
        let at = self.clock.millis().saturating_add(grace);
        if self.kill_at.is_none() && self.leads && self.status.is_none() {
            // The group first, all at once. Its number is safe as long as its leader has not been collected.
            let _ = rustix::process::kill_process_group(self.command, Signal::TERM);
            let _ = rustix::process::kill_process_group(self.command, Signal::CONT);
            self.told.insert(self.command);
        }
        self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Signals those that are still there. Only direct children are signalled by number: nobody but this process can
    /// collect them, so the number cannot belong to another. Those below come up when the ones above them end.
    fn press(&mut self) {
        let Some(kill_at) = self.kill_at else { return };
        let kill = self.clock.millis() >= kill_at;
        if kill && self.leads && self.status.is_none() {
            let _ = rustix::process::kill_process_group(self.command, Signal::KILL);
        }
        for child in children() {
            if kill {
                let _ = rustix::process::kill_process(child, Signal::KILL);
            } else if self.told.insert(child) {
                let _ = rustix::process::kill_process(child, Signal::TERM);
                let _ = rustix::process::kill_process(child, Signal::CONT);
            }
        }
    }

    /// Waits for kiln, for the command's end, or for a moment; takes kiln's wishes in.
    fn listen(&mut self) {
        let pause = match (self.kill_at, &self.pidfd) {
            (None, Some(_)) => COLLECT_EVERY,
            _ => PRESS_EVERY,
        };
        let mut watched = Vec::with_capacity(2);
        watched.extend(self.control.as_ref().map(|control| PollFd::new(control, PollFlags::IN)));
        watched.extend(self.pidfd.as_ref().filter(|_| self.status.is_none()).map(|pidfd| PollFd::new(pidfd, PollFlags::IN)));
        let timeout = Timespec::try_from(Duration::from_millis(pause)).ok();
        // Interrupted or not, the loop looks at everything again.
        let _ = rustix::event::poll(&mut watched, timeout.as_ref());
        let heard = self.control.is_some() && watched.first().is_some_and(|first| !first.revents().is_empty());
        drop(watched);
        if heard {
            self.hear();
        }
    }

    fn hear(&mut self) {
        let mut bytes = [0; 256];
        let count = self.control.as_mut().map_or(0, |control| control.read(&mut bytes).unwrap_or(0));
        if count == 0 {
            self.control = None;
            self.stop(ORPHAN_GRACE);
        }
        for line in String::from_utf8_lossy(&bytes[..count]).lines() {
            match line.split_once(' ') {
                Some(("stop", millis)) => self.stop(millis.parse().unwrap_or(0)),
                _ => self.stop(0),
            }
        }
    }

    fn tell(&self, line: &str) {
        if let Some(mut control) = self.control.as_ref() {
            // When kiln is gone there is nobody to tell; `hear` finds out.
            let _ = writeln!(control, "{line}");
        }
    }
}

/// The processes whose parent this one is, ended ones that were not collected included.
fn children() -> Vec<Pid> {
    let pid = |text: &str| text.parse().ok().and_then(Pid::from_raw);
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    match std::fs::read_to_string("/proc/thread-self/children") {
        Ok(list) => list.split_ascii_whitespace().filter_map(pid).collect(),
        // A kernel built without this list: every process says who its parent is.
        Err(_) => super::file::names("/proc")
            .unwrap_or_default()
            .iter()
            .filter_map(|name| std::str::from_utf8(name).ok().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())))
            .filter(|name| parent(name) == Some(rustix::process::getpid()))
            .filter_map(pid)
            .collect(),
    }
}

/// The parent of a process. Source: proc(5), `/proc/pid/stat`; the name in brackets may itself hold brackets.
fn parent(pid: &str) -> Option<Pid> {
    let stat = super::file::read(format!("/proc/{pid}/stat"), 4096).ok()?;
    let rest = &stat[stat.iter().rposition(|byte| *byte == b')')? + 1..];
    let text = std::str::from_utf8(rest).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_this_process_is_read_from_proc() {
        assert_eq!(parent(&std::process::id().to_string()), rustix::process::getppid());
        assert_eq!(parent("0"), None);
    }
}
