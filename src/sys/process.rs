//! Programs that kiln starts: each behind a helper ([`super::shim`]) that lets nothing outlive it.
//! In: a complete description; nothing is inherited but what it lists. Out: the bytes of both pipes, and how it ended.
//! Never: waits for a pipe that a daemon keeps open; leaves a process behind, however kiln ends.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal};

use super::cancel::{Cancel, Urgency};
use super::clock::Stopwatch;
use super::exit::{Exit, How, Stopped};
use super::program::{self, Attempt, SpawnError};
use super::shims::{Order, Shim, Shims, Told};

/// How long the pipes are still read after everything has ended: only a daemon of another parent can hold them then.
const DRAIN: Duration = Duration::from_millis(200);
/// The same when such a daemon writes without a pause.
const DRAIN_FLOOD: Duration = Duration::from_millis(1_000);
/// How long the helper may take beyond the grace before kiln kills the group itself.
const HELPER_SLACK: Duration = Duration::from_secs(5);
/// Pauses between tries when the machine has no room for one more process; together about five seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(2_560);
/// How often a wish to stop is looked for where nothing can tell of it.
const LOOK: Duration = Duration::from_millis(50);
/// The size of each read from a pipe, in bytes.
const CHUNK: usize = 64 << 10;

/// Where a program reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    /// Input is `/dev/null`, output comes through pipes; a session of its own, without a terminal.
    Captured,
    /// All three are kiln's own, and it joins kiln's process group, as under `make`: Ctrl-C reaches it directly, Ctrl-Z
    /// stops both, and the terminal need not be taken back. (Taking it back from the background needs `SIGTTOU` ignored,
    /// which no safe call offers.)
    Terminal,
}

/// A program to start.
#[derive(Debug, Clone, Copy)]
pub struct Spec<'a> {
    /// Where its helper comes from.
    pub shims: &'a Shims,
    /// A name to search in the `PATH` of `env`, or a path relative to `dir`.
    pub program: &'a OsStr,
    /// What follows it.
    pub args: &'a [OsString],
    /// All that it gets; nothing else is inherited.
    pub env: &'a [(OsString, OsString)],
    /// Where it runs; absolute.
    pub dir: &'a Path,
    /// Where it reads and writes.
    pub io: Io,
    /// A file that stays open, and so locked, until nothing of the program is left, also when kiln is killed.
    pub hold: Option<BorrowedFd<'a>>,
}

/// When a program is to be stopped.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Someone's wish.
    pub cancel: Cancel,
    /// The longest time that it may run, from the start.
    pub timeout: Option<Duration>,
    /// The longest time without a byte on either pipe; for captured programs.
    pub silence: Option<Duration>,
    /// The time between `SIGTERM` and `SIGKILL`.
    pub grace: Duration,
}

/// One of the two pipes of a captured program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipe {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A program that runs. Dropping it stops the program and everything below it, within a second.
#[derive(Debug)]
pub struct Child {
    shims: Shims,
    shim: Shim,
    out: Option<OwnedFd>,
    err: Option<OwnedFd>,
    pid: Pid,
    /// Whether the command leads a process group of its own.
    leads: bool,
    /// Since it was started; all moments here are measured by it.
    clock: Stopwatch,
}

/// Starts a program; waits and tries again for about five seconds when the machine has no room for one more process.
///
/// # Errors
/// [`SpawnError`], one kind per cause.
pub fn spawn(spec: &Spec<'_>) -> Result<Child, SpawnError> {
    check_directory(spec.dir)?;
    let path = spec.env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    let found = program::find(spec.program, path, spec.dir)?;
    let attempt = Attempt { program: spec.program, path: &found, args: spec.args, env: spec.env };
    let mut pause = FIRST_PAUSE;
    loop {
        let fault = match try_spawn(spec, &found) {
            Ok(child) => return Ok(child),
            Err(fault) => fault,
        };
        if fault.may_pass(pause) {
            std::thread::sleep(pause);
            pause *= 2;
            continue;
        }
        return Err(match fault {
            Fault::Helper(cause) if !is_busy(&cause) => {
                SpawnError::Helper { program: crate::base::words::visible(&spec.program.to_string_lossy()), cause }
            }
            Fault::Helper(cause) | Fault::Command(cause) => attempt.explain(cause),
        });
    }
}

fn is_busy(cause: &io::Error) -> bool {
    Errno::from_io_error(cause).is_some_and(program::is_busy)
}

fn check_directory(dir: &Path) -> Result<(), SpawnError> {
    let why = match rustix::fs::stat(dir) {
        Ok(status) if rustix::fs::FileType::from_raw_mode(status.st_mode).is_dir() => {
            if rustix::fs::access(dir, rustix::fs::Access::EXEC_OK).is_ok() {
                return Ok(());
            }
            "this user may not enter it"
        }
        Ok(_) => "it is not a folder",
        Err(_) => "there is no such folder",
    };
    Err(SpawnError::NoDirectory { dir: crate::base::words::visible(&dir.to_string_lossy()), why })
}

/// Who failed: the helper, or the command that it started.
enum Fault {
    Helper(io::Error),
    Command(io::Error),
}

impl Fault {
    /// Whether another try may end otherwise, `pause` after this one.
    fn may_pass(&self, pause: Duration) -> bool {
        match self {
            // A helper that died without a word: most likely Ctrl-C reached it before it had left kiln's process group, or somebody
            // killed it while it had nothing to do. It gets one more try, in which a wish to stop is then seen in the usual place.
            Self::Helper(cause) if matches!(cause.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                pause == FIRST_PAUSE
            }
            Self::Helper(cause) | Self::Command(cause) => is_busy(cause) && pause <= LAST_PAUSE,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(cause: io::Error) -> Self {
        Self::Helper(cause)
    }
}

fn try_spawn(spec: &Spec<'_>, found: &Path) -> Result<Child, Fault> {
    let mut shim = spec.shims.take(spec.io == Io::Terminal)?;
    let order = |group, input, output, errors| Order {
        group,
        dir: spec.dir,
        path: found,
        zeroth: spec.program,
        args: spec.args,
        env: spec.env,
        input,
        output,
        errors,
        hold: spec.hold,
    };
    let clock = Stopwatch::start();
    let (sent, out, err) = match spec.io {
        Io::Captured => {
            let ((out, output), (err, errors)) = (pipe()?, pipe()?);
            // The ends that the program writes to are closed here before it is heard of: else their end would never come.
            (shim.send(&order(0, None, output.as_fd(), errors.as_fd())), Some(out), Some(err))
        }
        Io::Terminal => {
            let (input, output, errors) = (io::stdin(), io::stdout(), io::stderr());
            let group = rustix::process::getpgrp().as_raw_nonzero().get();
            (shim.send(&order(group, Some(input.as_fd()), output.as_fd(), errors.as_fd())), None, None)
        }
    };
    match sent {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            spec.shims.give_back(shim);
            return Err(Fault::Command(error));
        }
        Err(error) => return Err(Fault::Helper(error)),
    }
    match shim.hear() {
        Some(Told::Pid(pid)) => Ok(Child { shims: spec.shims.clone(), shim, out, err, pid, leads: spec.io == Io::Captured, clock }),
        Some(Told::Errno(errno)) => {
            spec.shims.give_back(shim);
            Err(Fault::Command(if errno == 0 { io::ErrorKind::InvalidInput.into() } else { io::Error::from_raw_os_error(errno) }))
        }
        _ => {
            shim.kill();
            Err(Fault::Helper(io::ErrorKind::BrokenPipe.into()))
        }
    }
}

/// Whether a moment has come, if there is one.
fn is_over(moment: Option<Duration>, now: Duration) -> bool {
    moment.is_some_and(|moment| moment <= now)
}

/// A pipe: kiln's end, and the one for a program, which waits when it writes more than is read.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&ours, OFlags::NONBLOCK)?;
    Ok((ours, theirs))
}

/// What is known while a program runs.
#[derive(Default)]
struct Watch {
    /// When it printed something last.
    heard: Option<Duration>,
    how: Option<How>,
    stopped: Option<Stopped>,
    left_behind: usize,
    /// How urgently the helper was asked to stop it.
    asked: Option<Urgency>,
    /// When kiln no longer trusts the helper.
    backstop: Option<Duration>,
    /// Set when the helper is gone or has nothing left to watch: since when.
    gone: Option<Duration>,
}

/// What happened next.
enum Next {
    Stop(Stopped, Urgency),
    Told(Option<Told>),
    Wrote(Pipe),
    Ended(Pipe),
    Overdue,
    Drained,
}

/// Which files can be read.
struct Ready {
    helper: bool,
    pipes: [bool; 2],
    nothing: bool,
}

impl Child {
    /// The process id of the command.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Reads both pipes to `output` until the program and everything below it has ended, or a limit is reached and all
    /// was stopped. When `output` says no, the program is stopped at once, as if someone had wished so. Its thread waits for the program
    /// itself: no other one has to wake up for it.
    pub fn wait(mut self, limits: &Limits, output: &mut dyn FnMut(Pipe, &[u8]) -> bool) -> Exit {
        // Room that is not cleared: most programs write little or nothing.
        let mut buffer = Vec::with_capacity(CHUNK);
        let mut watch = Watch::default();
        let mut useful = false;
        while watch.gone.is_none() || self.out.is_some() || self.err.is_some() {
            match self.next(&watch, limits, &mut buffer) {
                Next::Stop(why, urgency) => self.stop(&mut watch, why, urgency, limits.grace),
                Next::Told(Some(Told::Status(status))) => watch.how = Some(How::of(status)),
                Next::Told(Some(Told::Left(count))) => {
                    watch.left_behind = count;
                    watch.gone = Some(self.clock.elapsed());
                    // One that was asked to stop may not have read that yet.
                    useful = watch.asked.is_none();
                }
                Next::Told(Some(Told::Stuck(count))) => {
                    watch.left_behind = count;
                    watch.gone = Some(self.clock.elapsed());
                }
                Next::Told(Some(Told::Pid(_) | Told::Errno(_))) => {}
                Next::Told(None) => watch.gone = Some(self.clock.elapsed()),
                Next::Ended(Pipe::Out) => self.out = None,
                Next::Ended(Pipe::Err) => self.err = None,
                Next::Wrote(pipe) => {
                    watch.heard = Some(self.clock.elapsed());
                    if !output(pipe, &buffer) && watch.gone.is_none() && watch.asked < Some(Urgency::Now) {
                        self.stop(&mut watch, Stopped::Cancelled, Urgency::Now, limits.grace);
                    }
                }
                Next::Overdue => {
                    // The helper hangs or was stopped by a signal. Its end closes the socket, which ends this loop.
                    watch.backstop = None;
                    self.kill_group();
                    self.shim.kill();
                }
                Next::Drained => break,
            }
            if watch.gone.is_some() && watch.how.is_none() {
                self.kill_group();
            }
        }
        if useful {
            self.shims.give_back(self.shim);
        }
        Exit { how: watch.how.unwrap_or(How::Lost), stopped: watch.stopped, left_behind: watch.left_behind }
    }

    /// Waits for what happens next. What a pipe had is in `buffer` then.
    fn next(&mut self, watch: &Watch, limits: &Limits, buffer: &mut Vec<u8>) -> Next {
        let running = watch.gone.is_none();
        let unasked = running && watch.asked.is_none();
        let deadline = limits.timeout.filter(|_| unasked);
        let silent = limits.silence.filter(|_| unasked).map(|silence| watch.heard.unwrap_or_default().saturating_add(silence));
        let overdue = watch.backstop.filter(|_| running);
        let (drained, flooded) = (watch.gone.map(|gone| gone + DRAIN), watch.gone.map(|gone| gone + DRAIN_FLOOD));
        let moments = [deadline, silent, overdue, drained, flooded];
        // In this order: a flood on a pipe must not hide the wish to stop, and a pipe is given up when it is silent, or
        // when a daemon of another parent floods it on and on.
        loop {
            match limits.cancel.urgency() {
                Some(Urgency::Now) if running && watch.asked < Some(Urgency::Now) => return Next::Stop(Stopped::Cancelled, Urgency::Now),
                Some(Urgency::Gentle) if unasked => return Next::Stop(Stopped::Cancelled, Urgency::Gentle),
                _ => {}
            }
            let now = self.clock.elapsed();
            if is_over(deadline, now) {
                return Next::Stop(Stopped::TimedOut, Urgency::Gentle);
            }
            if is_over(overdue, now) {
                return Next::Overdue;
            }
            if running && let Some(told) = self.shim.told() {
                return Next::Told(Some(told));
            }
            if is_over(flooded, now) {
                return Next::Drained;
            }
            let bell = match watch.asked {
                _ if !running => None,
                None => Some(limits.cancel.bell(Urgency::Gentle)),
                Some(Urgency::Gentle) => Some(limits.cancel.bell(Urgency::Now)),
                Some(Urgency::Now) => None,
            };
            let look = bell.is_some_and(|bell| bell.is_none()).then(|| now + LOOK);
            let first = moments.iter().copied().chain([look]).flatten().min();
            let ready = self.ready(running, bell.flatten(), first.map(|first| first.saturating_sub(now)));
            if ready.helper && !self.shim.listen() {
                return Next::Told(None);
            }
            if ready.helper {
                continue;
            }
            for (pipe, end) in [(Pipe::Out, &self.out), (Pipe::Err, &self.err)] {
                if let Some(end) = end.as_ref().filter(|_| ready.pipes[pipe as usize]) {
                    buffer.clear();
                    match rustix::io::read(end, spare_capacity(buffer)) {
                        Ok(0) => return Next::Ended(pipe),
                        Ok(_) => return Next::Wrote(pipe),
                        Err(Errno::AGAIN | Errno::INTR) => {}
                        Err(_) => return Next::Ended(pipe),
                    }
                }
            }
            // After the pipes: what was printed while kiln itself was held up counts.
            if ready.nothing {
                let now = self.clock.elapsed();
                if is_over(silent, now) {
                    return Next::Stop(Stopped::Silent, Urgency::Gentle);
                }
                if is_over(drained, now) {
                    return Next::Drained;
                }
            }
        }
    }

    /// Waits until one of the files that matter can be read, for at most `limit`.
    fn ready(&self, running: bool, bell: Option<BorrowedFd<'_>>, limit: Option<Duration>) -> Ready {
        let files =
            [running.then(|| self.shim.as_fd()), self.out.as_ref().map(OwnedFd::as_fd), self.err.as_ref().map(OwnedFd::as_fd), bell];
        let mut watched: Vec<PollFd<'_>> = files.iter().flatten().map(|file| PollFd::from_borrowed_fd(*file, PollFlags::IN)).collect();
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        // Interrupted or not, the caller looks at everything again.
        let nothing = rustix::event::poll(&mut watched, limit.as_ref()).unwrap_or(0) == 0;
        let mut answers = watched.iter().map(|watched| !watched.revents().is_empty());
        let [helper, out, err, _] = files.map(|file| file.is_some() && answers.next().unwrap_or(false));
        Ready { helper, pipes: [out, err], nothing }
    }

    fn stop(&mut self, watch: &mut Watch, why: Stopped, urgency: Urgency, grace: Duration) {
        let grace = if urgency == Urgency::Now { Duration::ZERO } else { grace };
        watch.asked = Some(urgency);
        watch.backstop = Some(self.clock.elapsed().saturating_add(grace).saturating_add(HELPER_SLACK));
        if watch.how.is_none() {
            watch.stopped = watch.stopped.or(Some(why));
        }
        self.shim.stop(grace.as_millis());
    }

    /// Kills what can be reached without the helper.
    fn kill_group(&self) {
        if self.leads {
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        }
    }
}
