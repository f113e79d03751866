//! Programs that kiln starts: each behind a helper ([`super::shim`]) that lets nothing outlive it.
//! In: a complete description; nothing is inherited but what it lists. Out: the bytes of both pipes, and how it ended.
//! Never: waits for a pipe that a daemon keeps open; leaves a process behind, however kiln ends.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

use super::cancel::{Cancel, Urgency};
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
    out: Option<End>,
    err: Option<End>,
    pid: Pid,
    /// Whether the command leads a process group of its own.
    leads: bool,
    started: Instant,
}

/// Starts a program; waits and tries again for about five seconds when the machine has no room for one more process.
///
/// # Errors
/// [`SpawnError`], one kind per cause.
pub async fn spawn(spec: &Spec<'_>) -> Result<Child, SpawnError> {
    check_directory(spec.dir)?;
    let path = spec.env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    let found = program::find(spec.program, path, spec.dir)?;
    let attempt = Attempt { program: spec.program, path: &found, args: spec.args, env: spec.env };
    let mut pause = FIRST_PAUSE;
    loop {
        let fault = match try_spawn(spec, &found).await {
            Ok(child) => return Ok(child),
            Err(fault) => fault,
        };
        if fault.may_pass(pause) {
            tokio::time::sleep(pause).await;
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

async fn try_spawn(spec: &Spec<'_>, found: &Path) -> Result<Child, Fault> {
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
    let started = Instant::now();
    let (sent, out, err) = match spec.io {
        Io::Captured => {
            let ((out, output), (err, errors)) = (pipe()?, pipe()?);
            // The ends that the program writes to are closed here before it is heard of: else their end would never come.
            (shim.send(&order(0, None, output.as_fd(), errors.as_fd())).await, Some(out), Some(err))
        }
        Io::Terminal => {
            let (input, output, errors) = (io::stdin(), io::stdout(), io::stderr());
            let group = rustix::process::getpgrp().as_raw_nonzero().get();
            (shim.send(&order(group, Some(input.as_fd()), output.as_fd(), errors.as_fd())).await, None, None)
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
    match shim.hear().await {
        Some(Told::Pid(pid)) => {
            let ended = shim.has_ended();
            let end = |pipe: Option<OwnedFd>| pipe.map(|pipe| if ended { Ok(End::Quiet(pipe)) } else { End::watched(pipe) }).transpose();
            let (out, err) = (end(out)?, end(err)?);
            Ok(Child { shims: spec.shims.clone(), shim, out, err, pid, leads: spec.io == Io::Captured, started })
        }
        Some(Told::Errno(errno)) => {
            spec.shims.give_back(shim);
            Err(Fault::Command(if errno == 0 { io::ErrorKind::InvalidInput.into() } else { io::Error::from_raw_os_error(errno) }))
        }
        _ => {
            shim.kill();
            shim.collect().await;
            Err(Fault::Helper(io::ErrorKind::BrokenPipe.into()))
        }
    }
}

/// A pipe: kiln's end, and the one for a program, which waits when it writes more than is read.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&ours, OFlags::NONBLOCK)?;
    Ok((ours, theirs))
}

/// kiln's end of a pipe.
#[derive(Debug)]
enum End {
    /// The program had ended when it was first heard of, so all that it wrote is there: most likely nobody has to wait for it.
    Quiet(OwnedFd),
    /// It is told when something comes.
    Watched(Receiver),
}

impl End {
    fn watched(pipe: OwnedFd) -> io::Result<Self> {
        Receiver::from_owned_fd_unchecked(pipe).map(Self::Watched)
    }

    /// From now on it is told when something comes; `None` when the machine has no room for that.
    fn watch(self) -> Option<Self> {
        match self {
            Self::Quiet(pipe) => Self::watched(pipe).ok(),
            Self::Watched(_) => Some(self),
        }
    }
}

/// What is known while a program runs.
#[derive(Default)]
struct Watch {
    /// When it printed something last.
    heard: Option<Instant>,
    how: Option<How>,
    stopped: Option<Stopped>,
    left_behind: usize,
    /// How urgently the helper was asked to stop it.
    asked: Option<Urgency>,
    /// When kiln no longer trusts the helper.
    backstop: Option<Instant>,
    /// Set when the helper is gone or has nothing left to watch: since when.
    gone: Option<Instant>,
}

/// What happened next.
enum Next {
    Stop(Stopped, Urgency),
    Told(Option<Told>),
    Wrote(Pipe, usize),
    Overdue,
    Drained,
}

impl Child {
    /// The process id of the command.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Reads both pipes to `output` until the program and everything below it has ended, or a limit is reached and all
    /// was stopped. Dropping the future stops the program too.
    pub async fn wait(mut self, limits: &Limits, output: &mut (dyn FnMut(Pipe, &[u8]) + Send)) -> Exit {
        // Room that is not cleared: most programs write little or nothing.
        let mut buffers = [Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK)];
        let mut watch = Watch::default();
        let mut useful = false;
        while watch.gone.is_none() || self.out.is_some() || self.err.is_some() {
            match self.next(&watch, limits, &mut buffers).await {
                Next::Stop(why, urgency) => self.stop(&mut watch, why, urgency, limits.grace).await,
                Next::Told(Some(Told::Status(status))) => watch.how = Some(How::of(status)),
                Next::Told(Some(Told::Left(count))) => {
                    watch.left_behind = count;
                    watch.gone = Some(Instant::now());
                    // One that was asked to stop may not have read that yet.
                    useful = watch.asked.is_none();
                }
                Next::Told(Some(Told::Stuck(count))) => {
                    watch.left_behind = count;
                    watch.gone = Some(Instant::now());
                }
                Next::Told(Some(Told::Pid(_) | Told::Errno(_))) => {}
                Next::Told(None) => watch.gone = Some(Instant::now()),
                Next::Wrote(Pipe::Out, 0) => self.out = None,
                Next::Wrote(Pipe::Err, 0) => self.err = None,
                Next::Wrote(pipe, count) => {
                    watch.heard = Some(Instant::now());
                    output(pipe, &buffers[pipe as usize][..count]);
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

    async fn next(&mut self, watch: &Watch, limits: &Limits, buffers: &mut [Vec<u8>; 2]) -> Next {
        let running = watch.gone.is_none();
        let [out_buffer, err_buffer] = buffers;
        let deadline = limits.timeout.and_then(|timeout| self.started.checked_add(timeout));
        let silent = limits.silence.and_then(|silence| watch.heard.unwrap_or(self.started).checked_add(silence));
        // In this order: a flood on a pipe must not hide the wish to stop, and a pipe is given up when it is silent, or
        // when a daemon of another parent floods it on and on.
        tokio::select! {
            biased;
            () = limits.cancel.requested(Urgency::Now), if running && watch.asked < Some(Urgency::Now) => {
                Next::Stop(Stopped::Cancelled, Urgency::Now)
            }
            () = limits.cancel.requested(Urgency::Gentle), if running && watch.asked.is_none() => {
                Next::Stop(Stopped::Cancelled, Urgency::Gentle)
            }
            () = until(deadline), if running && watch.asked.is_none() => Next::Stop(Stopped::TimedOut, Urgency::Gentle),
            () = until(watch.backstop), if running => Next::Overdue,
            told = self.shim.hear(), if running => Next::Told(told),
            () = until(watch.gone.map(|gone| gone + DRAIN_FLOOD)) => Next::Drained,
            count = read(&mut self.out, out_buffer) => Next::Wrote(Pipe::Out, count),
            count = read(&mut self.err, err_buffer) => Next::Wrote(Pipe::Err, count),
            // After the pipes: what was printed while kiln itself was held up counts.
            () = until(silent), if running && watch.asked.is_none() => Next::Stop(Stopped::Silent, Urgency::Gentle),
            () = until(watch.gone.map(|gone| gone + DRAIN)) => Next::Drained,
        }
    }

    async fn stop(&mut self, watch: &mut Watch, why: Stopped, urgency: Urgency, grace: Duration) {
        let grace = if urgency == Urgency::Now { Duration::ZERO } else { grace };
        watch.asked = Some(urgency);
        watch.backstop = Instant::now().checked_add(grace.saturating_add(HELPER_SLACK));
        if watch.how.is_none() {
            watch.stopped = watch.stopped.or(Some(why));
        }
        self.shim.stop(grace.as_millis()).await;
    }

    /// Kills what can be reached without the helper.
    fn kill_group(&self) {
        if self.leads {
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        }
    }
}

/// Reads what is there; 0 at the end. A pipe that is closed already never answers.
async fn read(pipe: &mut Option<End>, buffer: &mut Vec<u8>) -> usize {
    buffer.clear();
    if let Some(End::Quiet(quiet)) = pipe {
        match rustix::io::read(&*quiet, spare_capacity(buffer)) {
            Ok(count) => return count,
            // A daemon of another parent holds it.
            Err(_) => *pipe = pipe.take().and_then(End::watch),
        }
    }
    match pipe {
        Some(End::Watched(watched)) => watched.read_buf(buffer).await.unwrap_or(0),
        Some(End::Quiet(_)) => 0,
        None => std::future::pending().await,
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
