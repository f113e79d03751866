//! The helper between kiln and the commands of its steps: `kiln __child`, a process with a single thread, one for each command
//! that runs at the same time.
//! In: a socket to kiln as standard input; over it, one order after the other ([`super::shims`]). Out: each command's end, told over
//! the socket. Never: outlives kiln, ends or takes the next order while a descendant of its command runs.
//!
//! Why a process of its own: to be there when kiln is killed with signal 9, and to be the parent that the kernel gives
//! orphaned grandchildren to (`PR_SET_CHILD_SUBREAPER`), also those that made a session of their own. `PDEATHSIG` would
//! reach the direct child alone, and would fire when the thread of kiln that started it ends. Why one command at a time: whatever is
//! below the helper belongs to that command.
//!
//! From the helper come lines: `pid N`, or `errno N` when the command did not start; then `status N` (as `waitpid` has it) and, when
//! nothing runs any more, `left N`: it waits for the next order. `stuck N` in its place means that something could not be stopped; it
//! ends. To the helper, while a command runs: `stop MILLIS`; the socket's end means that kiln is gone.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
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
/// The second one of a helper whose command uses kiln's terminal, and so stays in kiln's session.
pub const TERMINAL: &str = "terminal";

/// How long programs have to end after `SIGTERM` when kiln is gone, in milliseconds.
const ORPHAN_GRACE: u64 = 1_000;
/// How long those have that a finished command left behind.
const LEFTOVER_GRACE: u64 = 200;
/// After how long a process that does not even die of `SIGKILL` (in a system call, or of another user) is given up.
const GIVE_UP: u64 = 3_000;
/// How often the helper looks again while programs are ending.
const PRESS_EVERY: u64 = 5;
/// How long the number of a command that began waits to be told, in milliseconds: most likely its end is known by then.
const QUICK: u64 = 3;
/// How often it collects orphans that ended by themselves.
const COLLECT_EVERY: u64 = 1_000;

/// Runs the helper. `args` are those after [`WORD`].
#[must_use]
pub fn shim_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let terminal = args.into_iter().next().is_some_and(|word| word == TERMINAL);
    // kiln sees the socket close without a word and says that its helper failed.
    let Ok(mut control) = prepare(terminal) else { return ExitCode::from(70) };
    while let Ok(order) = Order::receive(&control) {
        let left = match Shim::start(order, control) {
            Ok(shim) => shim.supervise(),
            Err(control) => Some(control),
        };
        match left {
            Some(next) => control = next,
            None => break,
        }
    }
    ExitCode::SUCCESS
}

fn prepare(terminal: bool) -> io::Result<UnixStream> {
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    if !terminal {
        // A session without a terminal: Ctrl-C does not reach the commands behind kiln's back, and a program that asks
        // for a password on `/dev/tty` fails at once instead of being stopped for ever.
        rustix::process::setsid()?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(control)
}

/// What to start.
struct Order {
    group: i32,
    dir: OsString,
    path: OsString,
    zeroth: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    input: Option<OwnedFd>,
    output: OwnedFd,
    errors: OwnedFd,
    hold: Option<OwnedFd>,
}

impl Order {
    /// Waits for the next one. Files come with its first bytes.
    fn receive(control: &UnixStream) -> io::Result<Self> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut message = vec![0; 4 << 10];
        let first = rustix::net::recvmsg(control, &mut [IoSliceMut::new(&mut message)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let mut fds = Vec::new();
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(given) = part {
                fds.extend(given);
            }
        }
        let length = message.get(..first.bytes.min(4)).and_then(|head| head.try_into().ok()).map(u32::from_le_bytes).ok_or_else(bad)?;
        message.resize(4 + usize::try_from(length).map_err(|_| bad())?, 0);
        let mut control = control;
        control.read_exact(message.get_mut(first.bytes..).ok_or_else(bad)?)?;
        Self::decode(message.get(4..).ok_or_else(bad)?, fds).ok_or_else(bad)
    }

    fn decode(message: &[u8], fds: Vec<OwnedFd>) -> Option<Self> {
        let mut words = message.strip_suffix(&[0])?.split(|byte| *byte == 0);
        let mut next = || Some(OsString::from_vec(words.next()?.to_vec()));
        let streams = next()?;
        let group = next()?.to_str()?.parse().ok()?;
        let (dir, path, zeroth) = (next()?, next()?, next()?);
        let count: usize = next()?.to_str()?.parse().ok()?;
        let args = (0..count).map(|_| next()).collect::<Option<_>>()?;
        let mut env = Vec::new();
        while let Some(name) = next() {
            env.push((name, next()?));
        }
        let (mut input, mut output, mut errors, mut hold) = (None, None, None, None);
        for (stream, fd) in streams.to_str()?.bytes().zip(fds) {
            match stream {
                b'i' => input = Some(fd),
                b'o' => output = Some(fd),
                b'e' => errors = Some(fd),
                _ => hold = Some(fd),
            }
        }
        Some(Self { group, dir, path, zeroth, args, env, input, output: output?, errors: errors?, hold })
    }
}

fn bad() -> io::Error {
    io::ErrorKind::InvalidInput.into()
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
    /// A file of kiln, most likely locked, that stays open until nothing of the command is left.
    hold: Option<OwnedFd>,
    /// Lines that are not told yet: what is known at the same time goes in one piece.
    words: String,
}

/// Starts the command; gives its process id.
#[allow(clippy::disallowed_methods, reason = "this is the door")]
fn spawn(order: Order) -> io::Result<(Pid, Option<OwnedFd>)> {
    rustix::process::chdir(&order.dir)?;
    let mut command = Command::new(order.path);
    command.arg0(order.zeroth).args(order.args).env_clear().envs(order.env).process_group(order.group);
    command.stdin(order.input.map_or_else(Stdio::null, Stdio::from)).stdout(order.output).stderr(order.errors);
    let child = command.spawn()?;
    Ok((i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(bad)?, order.hold))
}

impl Shim {
    /// Starts the command; gives the socket back when it did not start.
    fn start(order: Order, mut control: UnixStream) -> Result<Self, UnixStream> {
        let leads = order.group == 0;
        match spawn(order) {
            Ok((command, hold)) => Ok(Self {
                pidfd: rustix::process::pidfd_open(command, PidfdFlags::empty()).ok(),
                control: Some(control),
                command,
                leads,
                status: None,
                clock: Stopwatch::start(),
                kill_at: None,
                told: HashSet::new(),
                left: 0,
                hold,
                words: format!("pid {}\n", command.as_raw_nonzero()),
            }),
            Err(error) => {
                // When kiln is gone there is nobody to tell; the next look at the socket finds out.
                let _ = writeln!(control, "errno {}", error.raw_os_error().unwrap_or_default());
                Err(control)
            }
        }
    }

    /// Watches until nothing runs any more; gives the socket back when there may be a next order.
    fn supervise(mut self) -> Option<UnixStream> {
        let mut stuck = false;
        while self.collect() {
            if self.status.is_some() && self.kill_at.is_none() {
                self.left = children().len();
                self.stop(LEFTOVER_GRACE);
            }
            self.press();
            if self.kill_at.is_some_and(|at| self.clock.millis() > at + GIVE_UP) {
                stuck = true;
                break;
            }
            if self.status.is_some() || self.kill_at.is_some() || self.clock.millis() >= QUICK {
                self.tell();
            }
            self.listen();
        }
        // Whoever waits for the lock may have it before kiln hears of the end.
        self.hold = None;
        let word = if stuck { "stuck" } else { "left" };
        self.words.push_str(&format!("{word} {}\n", self.left));
        self.tell();
        self.control.filter(|_| !stuck)
    }

    /// Collects all that ended; says whether anything still runs.
    fn collect(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    self.told.remove(&pid);
                    if pid == self.command {
                        self.status = Some(status.as_raw());
                        self.words.push_str(&format!("status {}\n", status.as_raw()));
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
            (None, Some(_)) if self.words.is_empty() => COLLECT_EVERY,
            (None, Some(_)) => QUICK,
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

    fn tell(&mut self) {
        if let Some(control) = self.control.as_mut().filter(|_| !self.words.is_empty()) {
            // When kiln is gone there is nobody to tell; `hear` finds out.
            let _ = control.write_all(self.words.as_bytes());
        }
        self.words.clear();
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
pub(super) fn parent(pid: &str) -> Option<Pid> {
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
