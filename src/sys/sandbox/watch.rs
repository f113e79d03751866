//! The watch: follows a command and all that it starts, and notes which files and hosts they ask for.
//! In: a command that asked to be watched, or one that did not. Out: how it ended, and what was asked for, once each.
//! Never: a call that is held up longer than it takes to read its path; a change of what a program sees.
//!
//! The kernel stops a process only before the calls that name something (a filter of its own, `SECCOMP_RET_TRACE`), so that
//! all others cost nothing. What is asked for is noted then; whether a change was let is known after the call, so that only
//! these calls stop twice.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rustix::process::WaitOptions;

use super::calls::{self, Asked, Verb};
use super::{Access, Report, Wish, file};

/// The most that is noted, of files and of hosts.
const MOST: usize = 200_000;

struct Watch<'a> {
    wish: &'a Wish,
    report: &'a mut Report,
    known: HashSet<Pid>,
    /// Changes that are being made, by process.
    changing: HashMap<Pid, Vec<PathBuf>>,
    noted: HashSet<(PathBuf, Access)>,
    /// Folders as they are named, and without links and dots.
    folders: HashMap<PathBuf, PathBuf>,
    /// What was there, or was not, when it was first asked for.
    asked: HashSet<PathBuf>,
}

/// Waits until `main` ends, whatever it starts meanwhile; gives its end as `waitpid` has it, and whether it was ever watched.
pub(super) fn until_end(main: rustix::process::Pid, wish: &Wish, report: &mut Report) -> io::Result<(i32, bool)> {
    let main = Pid::from_raw(main.as_raw_nonzero().get());
    let mut watch = Watch {
        wish,
        report,
        known: HashSet::new(),
        changing: HashMap::new(),
        noted: HashSet::new(),
        folders: HashMap::new(),
        asked: HashSet::new(),
    };
    let all = WaitOptions::from_bits_retain(libc::__WALL as u32);
    loop {
        let (pid, status) = match rustix::process::wait(all) {
            Ok(Some((pid, status))) => (Pid::from_raw(pid.as_raw_nonzero().get()), status),
            Ok(None) | Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        match status.stopping_signal() {
            // A process that is gone when it should go on was killed; its end comes next.
            Some(signal) => drop(watch.stopped(pid, signal, status.as_raw() >> 16)),
            None if pid == main => return Ok((status.as_raw(), watch.known.contains(&main))),
            None => {
                watch.known.remove(&pid);
                watch.changing.remove(&pid);
            }
        }
    }
}

impl Watch<'_> {
    /// Takes one stop in, and lets the process go on.
    fn stopped(&mut self, pid: Pid, signal: i32, event: i32) -> nix::Result<()> {
        const AFTER_A_CALL: i32 = libc::SIGTRAP | 0x80;
        if self.known.insert(pid) {
            // The first stop of each process is the trace's own.
            let follow = Options::PTRACE_O_TRACEFORK
                | Options::PTRACE_O_TRACEVFORK
                | Options::PTRACE_O_TRACECLONE
                | Options::PTRACE_O_TRACEEXEC
                | Options::PTRACE_O_TRACESECCOMP
                | Options::PTRACE_O_TRACESYSGOOD
                | Options::PTRACE_O_EXITKILL;
            ptrace::setoptions(pid, follow)?;
            if signal == libc::SIGSTOP {
                return ptrace::cont(pid, None);
            }
        }
        match (event, signal) {
            (libc::PTRACE_EVENT_SECCOMP, _) => match self.before(pid) {
                true => ptrace::syscall(pid, None),
                false => ptrace::cont(pid, None),
            },
            (0, AFTER_A_CALL) => {
                self.after(pid);
                ptrace::cont(pid, None)
            }
            (0, signal) => self.signalled(pid, signal),
            _ => ptrace::cont(pid, None),
        }
    }

    /// Hands a signal on.
    fn signalled(&mut self, pid: Pid, signal: i32) -> nix::Result<()> {
        match Signal::try_from(signal) {
            // A process that stops because it was told to has no signal to be handed; it goes on.
            Ok(Signal::SIGSTOP | Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU) if ptrace::getsiginfo(pid).is_err() => {
                ptrace::cont(pid, None)
            }
            Ok(signal) => ptrace::cont(pid, signal),
            Err(_) => {
                // No safe call hands a real-time signal on, and without it the program could wait for ever.
                self.report.realtime = true;
                ptrace::cont(pid, Signal::SIGKILL)
            }
        }
    }

    /// Notes what the call asks for that `pid` stands before. Says whether its result matters.
    fn before(&mut self, pid: Pid) -> bool {
        let Ok(registers) = calls::registers(pid) else { return false };
        let mut changes = Vec::new();
        for asked in calls::asked(pid, &registers) {
            match asked {
                Asked::Host(host) => {
                    if !self.report.hosts.contains(&host) && self.report.hosts.len() < MOST {
                        self.report.hosts.push(host);
                    }
                }
                Asked::File { folder, path, verb } => {
                    // Most of what programs ask for are the system's own files, and need no second look.
                    let plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
                    if plain && self.is_ignored(&path) {
                        continue;
                    }
                    let Some(path) = self.whole(pid, folder, &path) else { continue };
                    if self.is_ignored(&path) {
                        continue;
                    }
                    match verb {
                        Verb::Change => changes.push(path),
                        verb => self.read(path, if verb == Verb::Execute { Access::Executed } else { Access::Read }, 0),
                    }
                }
            }
        }
        let matters = !changes.is_empty();
        if matters {
            self.changing.insert(pid, changes);
        }
        matters
    }

    /// Notes whether a change was let.
    fn after(&mut self, pid: Pid) {
        let Some(paths) = self.changing.remove(&pid) else { return };
        let Ok(registers) = calls::registers(pid) else { return };
        let access = match -registers.result {
            ..=0 => Access::Wrote,
            refused if [libc::EROFS, libc::EACCES, libc::EPERM].iter().any(|number| i64::from(*number) == refused) => Access::Refused,
            missing if missing == i64::from(libc::ENOENT) => Access::Missed,
            _ => return,
        };
        for path in paths {
            self.note(path, access);
        }
    }

    /// Notes a file that is asked for, and what it leads to.
    fn read(&mut self, path: PathBuf, access: Access, links: usize) {
        if access == Access::Read && !self.asked.insert(path.clone()) {
            return;
        }
        let Ok(status) = rustix::fs::lstat(&path) else { return self.note(path, Access::Missed) };
        match rustix::fs::FileType::from_raw_mode(status.st_mode) {
            rustix::fs::FileType::RegularFile => self.note(path, access),
            rustix::fs::FileType::Symlink if links < 40 => {
                if let Ok(leads) = file::read_link(&path) {
                    let folder = path.parent().unwrap_or(&path).to_owned();
                    let target = self.plain(&folder.join(std::ffi::OsStr::from_bytes(&leads)));
                    if !self.is_ignored(&target) {
                        self.read(target, access, links + 1);
                    }
                }
                self.note(path, access);
            }
            // What is in a folder is noted when it is asked for.
            _ => {}
        }
    }

    fn is_ignored(&self, path: &Path) -> bool {
        !path.starts_with(&self.wish.project) && self.wish.ignored.iter().any(|ignored| path.starts_with(ignored))
    }

    fn note(&mut self, path: PathBuf, access: Access) {
        if self.noted.len() < MOST && self.noted.insert((path.clone(), access)) {
            self.report.seen.push((path, access));
        }
    }

    /// The whole path, without dots and without links above the last word; `None` for a process that is gone.
    fn whole(&mut self, pid: Pid, folder: Option<i32>, path: &Path) -> Option<PathBuf> {
        if path.is_absolute() {
            return Some(self.plain(path));
        }
        let link = match folder {
            None => format!("/proc/{pid}/cwd"),
            Some(number) => format!("/proc/{pid}/fd/{number}"),
        };
        let from = PathBuf::from(std::ffi::OsStr::from_bytes(&file::read_link(link).ok()?));
        from.is_absolute().then(|| self.plain(&from.join(path)))
    }

    fn plain(&mut self, path: &Path) -> PathBuf {
        let (Some(parent), Some(Component::Normal(name))) = (path.parent(), path.components().next_back()) else {
            return file::canonical(path).unwrap_or_else(|_| path.to_owned());
        };
        if !self.folders.contains_key(parent) {
            let real = file::canonical(parent).unwrap_or_else(|_| tidy(parent));
            self.folders.insert(parent.to_owned(), real);
        }
        self.folders.get(parent).map_or_else(|| path.to_owned(), |parent| parent.join(name))
    }
}

/// A path that is not there, without dots.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(tidy.pop()),
            Component::CurDir => {}
            other => tidy.push(other),
        }
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_not_there_is_freed_of_its_dots() {
        assert_eq!(tidy(Path::new("/a/./b/../c")), Path::new("/a/c"));
        assert_eq!(tidy(Path::new("/../a")), Path::new("/a"));
    }
}
