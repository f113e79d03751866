//! The helpers that kiln keeps for the commands of its steps; [`super::shim`] is their own side.
//! In: what to start. Out: a helper that carries one command at a time, and what it says. Never: a helper that is used again
//! although it was asked to stop, is gone, or has something left that runs.
//!
//! A helper is started for the first command and takes the next ones after it, so a run has as many as it has commands at the
//! same time. It is small: starting a command from it copies no page tables, and its own start is paid for once.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::Pid;

use super::shim;

/// The path under which the kernel always finds the running program, also when its file was replaced meanwhile.
#[must_use]
pub fn own_program() -> &'static Path {
    Path::new("/proc/self/exe")
}

/// Helpers, started when they are needed. Cheap to clone; the helpers end with the last clone.
#[derive(Debug, Clone)]
pub struct Shims(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    program: PathBuf,
    pool: Mutex<Pool>,
    /// Tells that one came, or will not.
    came: Condvar,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Shim>,
    /// How many start already.
    coming: usize,
}

/// A helper that starts; whoever waits for it hears when it is there, or that it will not be.
struct Coming {
    shims: Shims,
    shim: Option<Shim>,
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut pool = self.shims.pool();
        pool.coming -= 1;
        pool.idle.extend(self.shim.take());
        self.shims.0.came.notify_all();
    }
}

impl Shims {
    /// Helpers that are this very program.
    #[must_use]
    pub fn own() -> Self {
        Self::new(own_program())
    }

    /// Helpers that are `program`, which must be a kiln.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Kept { program: program.into(), pool: Mutex::default(), came: Condvar::new() }))
    }

    /// Starts a helper that will be needed soon, so that it is ready when kiln is. Who starts a program stands still until the kernel has
    /// opened it, so a thread of its own does. Where that fails, it is tried again when one is needed.
    pub fn foresee(&self) {
        self.pool().coming += 1;
        let mut coming = Coming { shims: self.clone(), shim: None };
        let start = move || coming.shim = Shim::start(&coming.shims.0.program, false).ok();
        // Without a thread it does not come.
        let _ = std::thread::Builder::new().name("helper".to_owned()).spawn(start);
    }

    /// A helper that has nothing to do; waits while one starts. One for a program on the `terminal` stays in kiln's session and is for that program alone.
    pub(super) fn take(&self, terminal: bool) -> io::Result<Shim> {
        if terminal {
            return Shim::start(&self.0.program, terminal);
        }
        let none = |pool: &mut Pool| pool.idle.is_empty() && pool.coming > 0;
        let mut pool = self.0.came.wait_while(self.pool(), none).unwrap_or_else(PoisonError::into_inner);
        let idle = pool.idle.pop();
        drop(pool);
        idle.map_or_else(|| Shim::start(&self.0.program, terminal), Ok)
    }

    /// Keeps a helper that said that nothing of its command is left.
    pub(super) fn give_back(&self, shim: Shim) {
        if !shim.terminal {
            self.pool().idle.push(shim);
            self.0.came.notify_one();
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a helper is to start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a> {
    /// The process group to join; 0 for one of its own.
    pub(super) group: i32,
    /// Where the command runs.
    pub(super) dir: &'a Path,
    /// The program's file.
    pub(super) path: &'a Path,
    /// The name under which it is started.
    pub(super) zeroth: &'a OsStr,
    /// What follows.
    pub(super) args: &'a [OsString],
    /// All that it gets.
    pub(super) env: &'a [(OsString, OsString)],
    /// Where it reads and writes: its input (`None`: nothing), output and errors.
    pub(super) input: Option<BorrowedFd<'a>>,
    pub(super) output: BorrowedFd<'a>,
    pub(super) errors: BorrowedFd<'a>,
    /// What stays open until nothing of the command is left.
    pub(super) hold: Option<BorrowedFd<'a>>,
}

/// What a helper says.
#[derive(Debug)]
pub(super) enum Told {
    /// The command runs.
    Pid(Pid),
    /// It did not start.
    Errno(i32),
    /// It ended.
    Status(ExitStatus),
    /// Nothing runs any more; so many processes had to be stopped after it.
    Left(usize),
    /// As `Left`, but something could not be stopped: the helper ends.
    Stuck(usize),
}

/// Helpers that were let go and may not have ended yet: the kernel keeps a line for each until it was asked how it ended.
static ENDING: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// kiln's end of a helper. Dropping it ends the helper and all below it, within a second.
#[derive(Debug)]
pub(super) struct Shim {
    /// `None` once it was let go.
    process: Option<Child>,
    socket: UnixStream,
    /// What came and is no whole line yet.
    heard: Vec<u8>,
    terminal: bool,
}

impl Shim {
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn start(program: &Path, terminal: bool) -> io::Result<Self> {
        ENDING.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(|ending| matches!(ending.try_wait(), Ok(None)));
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command.arg0("kiln").arg(shim::WORD).env_clear();
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        if terminal {
            // Out of reach of the terminal's signals; the command itself joins kiln's group again.
            command.arg(shim::TERMINAL).process_group(0);
        }
        let process = command.spawn()?;
        // `command` holds the helper's end of the socket; while it is open here, a dead helper would go unnoticed.
        drop(command);
        Ok(Self { process: Some(process), socket: ours, heard: Vec::new(), terminal })
    }

    /// Hands an order over.
    pub(super) fn send(&mut self, order: &Order<'_>) -> io::Result<()> {
        let message = encode(order)?;
        let fds: Vec<BorrowedFd<'_>> = [order.input, Some(order.output), Some(order.errors), order.hold].into_iter().flatten().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let mut send = || rustix::net::sendmsg(&self.socket, &[IoSlice::new(&message)], &mut ancillary, SendFlags::NOSIGNAL);
        let sent = rustix::io::retry_on_intr(&mut send)?;
        self.socket.write_all(&message[sent..])
    }

    /// The next thing that it said and nobody heard yet.
    pub(super) fn told(&mut self) -> Option<Told> {
        let end = self.heard.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.heard.drain(..=end).collect();
        Told::parse(&line)
    }

    /// Waits until it says something more; `false` when it is gone.
    pub(super) fn listen(&mut self) -> bool {
        let mut bytes = [0; 256];
        let count = loop {
            match self.socket.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.unwrap_or(0),
            }
        };
        self.heard.extend_from_slice(&bytes[..count]);
        count > 0
    }

    /// Waits for the next thing that it says; `None` when it is gone.
    pub(super) fn hear(&mut self) -> Option<Told> {
        while !self.heard.contains(&b'\n') {
            if !self.listen() {
                return None;
            }
        }
        self.told()
    }

    /// Asks it to stop its command, which has `millis` between `SIGTERM` and `SIGKILL`. It is of no further use then.
    pub(super) fn stop(&mut self, millis: u128) {
        // A helper that cannot be told is gone already; whoever listens hears that next.
        let _ = self.socket.write_all(format!("stop {millis}\n").as_bytes());
    }

    /// Kills the helper itself.
    pub(super) fn kill(&mut self) {
        let _ = self.process.as_mut().map(Child::kill);
    }
}

impl AsFd for Shim {
    /// What can be read when it says something.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        // It ends once the socket is closed, which happens next; whoever starts the next one asks how.
        ENDING.lock().unwrap_or_else(PoisonError::into_inner).extend(self.process.take());
    }
}

/// The message: its length in four bytes, then words that each end with NUL: which streams follow, the group, the folder, the
/// file, the zeroth argument, the number of further ones, those, and the environment's names and values in turn.
fn encode(order: &Order<'_>) -> io::Result<Vec<u8>> {
    let streams = match (order.input.is_some(), order.hold.is_some()) {
        (false, false) => "oe",
        (true, false) => "ioe",
        (false, true) => "oeh",
        (true, true) => "ioeh",
    };
    let (group, count) = (order.group.to_string(), order.args.len().to_string());
    let head = [OsStr::new(streams), OsStr::new(&group), order.dir.as_os_str(), order.path.as_os_str(), order.zeroth, OsStr::new(&count)];
    let env = order.env.iter().flat_map(|(name, value)| [name.as_os_str(), value.as_os_str()]);
    let mut message = vec![0; 4];
    for word in head.into_iter().chain(order.args.iter().map(OsString::as_os_str)).chain(env) {
        if word.as_bytes().contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "nul byte found in provided data"));
        }
        message.extend_from_slice(word.as_bytes());
        message.push(0);
    }
    let length = u32::try_from(message.len() - 4).map_err(|_| io::Error::from(rustix::io::Errno::TOOBIG))?;
    message[..4].copy_from_slice(&length.to_le_bytes());
    Ok(message)
}

impl Told {
    fn parse(line: &[u8]) -> Option<Self> {
        let (word, number) = std::str::from_utf8(line).ok()?.trim_end().split_once(' ')?;
        Some(match word {
            "pid" => Self::Pid(Pid::from_raw(number.parse().ok()?)?),
            "errno" => Self::Errno(number.parse().ok()?),
            "status" => Self::Status(ExitStatus::from_raw(number.parse().ok()?)),
            "left" => Self::Left(number.parse().ok()?),
            "stuck" => Self::Stuck(number.parse().ok()?),
            _ => return None,
        })
    }
}
