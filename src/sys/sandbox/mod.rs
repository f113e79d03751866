//! A command behind walls, or under watch: `kiln __sandbox …`, between the helper and a step's command.
//! In: a [`Wish`] in a file, and the command. Out: the command's own end, and a [`Report`] in a file. Never: fewer walls than
//! were asked for; a mount, a namespace or a process that outlives the command.
//!
//! Three roles of one program, each with a single thread. `outer` makes the namespaces, in which its next child is process 1.
//! `inner` is that child: it builds the private root and moves into it, watches the command, and takes everything with it
//! when it ends. `exec` asks to be watched and becomes the command. Where nothing but watching is asked for, there is no
//! `outer`. Namespaces, mounts and the trace belong to these processes, so the kernel clears them away however they end.

mod calls;
mod link;
mod root;
mod watch;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets};
use serde::{Deserialize, Serialize};

use super::file;
use super::program::{self, Attempt};

pub use self::root::{ETC, SYSTEM};

/// The first argument that makes the program one of these roles.
pub const WORD: &str = "__sandbox";
/// What the roles end with when they could not do what they are for. The report says why.
const BROKEN: u8 = 125;
/// What they end with when the command could not be started.
const NOT_STARTED: u8 = 127;
/// The longest wish or report, in bytes.
const LARGEST: u64 = 256 << 20;

/// What is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wish {
    /// The private root; `None` when the command is only watched.
    pub walls: Option<Walls>,
    /// Whether it is noted which files the command asks for.
    pub watch: bool,
    /// The project; what is in it is always of interest.
    pub project: PathBuf,
    /// Folders that are of no interest to the watch: the system's own.
    pub ignored: Vec<PathBuf>,
    /// Where the command runs.
    pub dir: PathBuf,
    /// Where the report is written.
    pub report: PathBuf,
}

/// A private root. All paths are absolute; what is mounted has the same path inside as outside.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Walls {
    /// An empty folder that the root is built on.
    pub base: PathBuf,
    /// The project, which inside is `stage`.
    pub project: PathBuf,
    /// A folder with an empty folder or file for everything that is mounted into the project, and all links.
    pub stage: PathBuf,
    /// Folders of the project that can be written to, as in `stage`.
    pub writable: Vec<PathBuf>,
    /// Files and folders of the project that can be read.
    pub inputs: Vec<PathBuf>,
    /// Files and folders of this machine that can be read; what is not there is left out.
    pub read: Vec<PathBuf>,
    /// Folders of this machine that can be written to.
    pub write: Vec<PathBuf>,
    /// Empty folders, and where they are seen: for temporary files, for what programs keep in the home folder.
    pub private: Vec<(PathBuf, PathBuf)>,
    /// Whether the network can be reached.
    pub network: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Why the walls could not be built or the watch not begun; the command did not run then.
    pub broken: Option<Broken>,
    /// Why the command could not be started, and the next act.
    pub not_started: Option<(String, Option<String>)>,
    /// The signal that killed the command, and whether the kernel wrote its memory to a file.
    pub killed_by: Option<(i32, bool)>,
    /// What the command asked for, once each, in order.
    pub seen: Vec<(PathBuf, Access)>,
    /// Hosts of the network that it asked for, once each, in order.
    pub hosts: Vec<String>,
    /// A program used real-time signals, which cannot be handed on under watch, and was ended for it.
    pub realtime: bool,
}

/// What could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// What: `make a user namespace`.
    pub act: String,
    /// What the kernel said.
    pub cause: String,
    /// Its number for that.
    pub errno: i32,
}

/// What a command did with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Access {
    /// It asked for what is in it, or about it.
    Read,
    /// It executed it.
    Executed,
    /// It made, changed or removed it.
    Wrote,
    /// It asked for it, and nothing was there.
    Missed,
    /// It wished to make, change or remove it, and was not let.
    Refused,
}

/// A step on the way to the command that failed.
#[derive(Debug)]
struct Fault {
    act: String,
    cause: io::Error,
}

impl Fault {
    /// For `map_err`: what was tried.
    fn of<E: Into<io::Error>>(act: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |cause| Self { act: act.into(), cause: cause.into() }
    }
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self { act: fault.act, errno: fault.cause.raw_os_error().unwrap_or_default(), cause: fault.cause.to_string() }
    }
}

/// The words that stand before a command and its arguments: kiln itself, and where the wish is.
#[must_use]
pub fn before(wish: &Path) -> [OsString; 4] {
    [super::shims::own_program().into(), WORD.into(), "outer".into(), wish.into()]
}

/// The bytes of a wish.
#[must_use]
pub fn encode(wish: &Wish) -> Vec<u8> {
    postcard::to_stdvec(wish).unwrap_or_default()
}

/// Reads the report at `path`; `None` when there is none, or half of one.
#[must_use]
pub fn report(path: &Path) -> Option<Report> {
    postcard::from_bytes(&file::read(path, LARGEST).ok()?).ok()
}

/// Plays a role. `args` are those after [`WORD`].
#[must_use]
pub fn sandbox_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let (Some(role), Some(place)) = (args.next(), args.next()) else { return ExitCode::from(BROKEN) };
    let command: Vec<OsString> = args.collect();
    let wish = file::read(&place, LARGEST).ok().and_then(|bytes| postcard::from_bytes::<Wish>(&bytes).ok());
    match (role.to_str(), wish) {
        (Some("exec"), _) => become_command(&place.to_string_lossy(), &command),
        (Some("outer"), Some(wish)) => outer(&wish, &place, &command),
        (Some("inner"), Some(wish)) => inner(&wish, &command),
        _ => ExitCode::from(BROKEN),
    }
}

/// The signals that ask programs to end are for the command, which has them too; whoever stands around it waits for it.
fn outlive() {
    let polite: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT].into_iter().collect();
    // Where it cannot be, the command has no time to clean up; that is all.
    let _ = polite.thread_block();
}

fn outer(wish: &Wish, place: &OsStr, command: &[OsString]) -> ExitCode {
    outlive();
    let Some(walls) = &wish.walls else { return inner(wish, command) };
    match namespaces(walls, place, command) {
        Ok(code) => code,
        Err(fault) => {
            write(&wish.report, &Report { broken: Some(fault.into()), ..Report::default() });
            ExitCode::from(BROKEN)
        }
    }
}

fn write(path: &Path, report: &Report) {
    // Whoever finds no report says that there is none.
    let _ = file::write_atomic(path, &postcard::to_stdvec(report).unwrap_or_default(), false);
}

/// Makes the namespaces and has `inner` run in them.
#[allow(clippy::disallowed_methods, reason = "this is the door")]
fn namespaces(walls: &Walls, place: &OsStr, command: &[OsString]) -> Result<ExitCode, Fault> {
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let mut flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
    flags.set(CloneFlags::CLONE_NEWNET, !walls.network);
    nix::sched::unshare(flags).map_err(Fault::of("make a user namespace"))?;
    // Who one is stays the same inside; everybody else is nobody.
    for (file, text) in
        [("setgroups", "deny".to_owned()), ("uid_map", format!("{user} {user} 1")), ("gid_map", format!("{group} {group} 1"))]
    {
        std::fs::write(format!("/proc/self/{file}"), text).map_err(Fault::of(format!("write the {file} of the user namespace")))?;
    }
    keep_power().map_err(Fault::of("keep the power over the namespace"))?;
    let mut inner = Command::new(super::shims::own_program());
    let mut inner =
        inner.arg0("kiln").arg(WORD).arg("inner").arg(place).args(command).spawn().map_err(Fault::of("start a process in it"))?;
    let status = inner.wait().map_err(Fault::of("wait for it"))?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(128 + status.signal().unwrap_or(9) as u8)))
}

/// Lets `inner` have what it needs to build walls: who is not root would lose it all with the next program.
fn keep_power() -> io::Result<()> {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN;
    let now = rustix::thread::capabilities(None)?;
    rustix::thread::set_capabilities(None, CapabilitySets { inheritable: now.permitted & needed, ..now })?;
    for power in needed.iter() {
        rustix::thread::configure_capability_in_ambient_set(power, true)?;
    }
    Ok(())
}

fn inner(wish: &Wish, command: &[OsString]) -> ExitCode {
    outlive();
    // Without whoever waits for it nobody would know how it ended. The report is opened before its place is out of reach.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let mut out = match file::append(&wish.report) {
        Ok(out) => out,
        Err(_) => return ExitCode::from(BROKEN),
    };
    let mut report = Report::default();
    let code = match run(wish, command, &mut report) {
        Ok(code) => code,
        Err(fault) => {
            report.broken = Some(fault.into());
            BROKEN
        }
    };
    let _ = io::Write::write_all(&mut out, &postcard::to_stdvec(&report).unwrap_or_default());
    ExitCode::from(code)
}

/// Runs the command to its end; gives the exit code that says how that was.
#[allow(clippy::disallowed_methods, reason = "this is the door")]
fn run(wish: &Wish, command: &[OsString], report: &mut Report) -> Result<u8, Fault> {
    if let Some(walls) = &wish.walls {
        root::enter(walls)?;
        if !walls.network {
            link::up().map_err(Fault::of("start the loopback network"))?;
        }
    }
    rustix::process::chdir(&wish.dir).map_err(Fault::of(format!("enter {}", wish.dir.display())))?;
    let (name, args) = command.split_first().ok_or_else(|| Fault::of("find a command")(io::Error::from(io::ErrorKind::InvalidInput)))?;
    let path = super::env::var_os("PATH");
    let found = match program::find(name, path.as_deref(), &wish.dir) {
        Ok(found) => found,
        Err(error) => {
            report.not_started = Some((error.to_string(), error.help()));
            return Ok(NOT_STARTED);
        }
    };
    let mut child = Command::new(super::shims::own_program());
    let as_what = match (wish.watch, wish.walls.is_some()) {
        (true, true) => "walled,watched",
        (true, false) => "watched",
        (false, _) => "walled",
    };
    child.arg0("kiln").arg(WORD).arg("exec").arg(as_what).arg(&found).arg(name).args(args);
    child.stdin(Stdio::inherit());
    let child = child.spawn().map_err(Fault::of("start the command"))?;
    let main = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let main = main.ok_or_else(|| Fault::of("start the command")(io::Error::from(io::ErrorKind::InvalidData)))?;
    let (status, was_watched) = watch::until_end(main, wish, report).map_err(Fault::of("wait for the command"))?;
    if wish.watch && !was_watched {
        return Err(Fault::of("watch the command")(io::Error::from(rustix::io::Errno::PERM)));
    }
    let status = std::process::ExitStatus::from_raw(status);
    report.killed_by = status.signal().map(|number| (number, status.core_dumped()));
    Ok(status.code().unwrap_or(128 + status.signal().unwrap_or_default()) as u8)
}

/// Gives up what a command does not need and becomes it. `command` is the path, then the arguments from the zeroth.
#[allow(clippy::disallowed_methods, reason = "this is the door")]
fn become_command(as_what: &str, command: &[OsString]) -> ExitCode {
    let [path, zeroth, args @ ..] = command else { return ExitCode::from(BROKEN) };
    let walled = if as_what.contains("walled") { give_up_power() } else { Ok(()) };
    let begun = walled.and_then(|()| if as_what.contains("watched") { calls::ask_for_watch() } else { Ok(()) });
    if begun.is_err() {
        return ExitCode::from(BROKEN);
    }
    let cause = Command::new(path).arg0(zeroth).args(args).exec();
    let env = super::env::all();
    let words = Attempt { program: zeroth, path: Path::new(path), args, env: &env }.explain(cause);
    let _ = io::Write::write_all(&mut io::stderr(), format!("kiln: {words}\n").as_bytes());
    ExitCode::from(126)
}

/// In a namespace where it is root, a command could take the walls down: it keeps only what concerns files and its own processes.
fn give_up_power() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let now = rustix::thread::capabilities(None)?;
    if now.permitted.is_empty() {
        return Ok(());
    }
    let kept = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::KILL
        | CapabilitySet::SETGID
        | CapabilitySet::SETUID;
    let kept = now.permitted & kept;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)?;
    Ok(())
}
