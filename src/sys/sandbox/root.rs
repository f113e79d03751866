//! The private root: what was declared, the system's own programs, and nothing else.
//! In: [`Walls`], in namespaces of their own. Out: a process that stands in the new root. Never: a way back to the old one.
//!
//! Everything is mounted into an empty file system in memory. What may not be written to is made read-only at the end, all at
//! once, by the kernel's own list of what is mounted: so mounts that came along below another one are read-only too.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use super::{Fault, Walls};

/// Folders of the system: programs, libraries, headers. A link among them is made anew.
pub const SYSTEM: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"];

/// What programs need of `/etc`: how libraries, users, hosts and certificates are found, and which of several programs is meant.
pub const ETC: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "fonts",
    "group",
    "host.conf",
    "hosts",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki",
    "protocols",
    "services",
    "ssl",
    "terminfo",
    "xml",
];

/// What only programs that use the network need.
const ETC_OF_NETWORK: &[&str] = &["gai.conf", "resolv.conf"];

/// Devices without a memory.
const DEVICES: &[&str] = &["full", "null", "random", "tty", "urandom", "zero"];

/// Names in `/dev` that lead to a process's own files.
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("ptmx", "pts/ptmx"),
    ("stderr", "/proc/self/fd/2"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
];

/// What of the system's state can be asked: how many processors there are.
const STATE: &str = "/sys/devices/system/cpu";

struct Root<'a> {
    base: &'a Path,
    /// Mounts that stay writable, as they are seen from outside.
    open: BTreeSet<PathBuf>,
}

/// Builds the root and moves this process into it.
pub(super) fn enter(walls: &Walls) -> Result<(), Fault> {
    // Nothing that is mounted here is seen outside, and nothing from outside appears here.
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .map_err(Fault::of("keep mounts private"))?;
    let mut root = Root { base: &walls.base, open: BTreeSet::new() };
    root.memory(Path::new("/"), "mode=755")?;
    root.open.clear();
    root.system(walls.network)?;
    for (folder, place) in &walls.private {
        root.bind(folder, place)?;
        root.open.insert(root.at(place));
    }
    root.devices()?;
    for place in &walls.read {
        root.bind_if_there(place, place)?;
    }
    for place in &walls.write {
        root.bind(place, place)?;
        root.open.insert(root.at(place));
    }
    root.bind(&walls.stage, &walls.project)?;
    for place in &walls.writable {
        let below =
            place.strip_prefix(&walls.project).map_err(|_| Fault::of("find an output")(io::Error::from(io::ErrorKind::InvalidInput)))?;
        root.mount(&walls.stage.join(below), place)?;
        root.open.insert(root.at(place));
    }
    for place in &walls.inputs {
        root.mount(place, place)?;
    }
    root.close()?;
    rustix::process::chdir(root.base).map_err(Fault::of("enter the private root"))?;
    // The old root comes to lie upon the new one, and is taken away from there. Source: pivot_root(2), notes.
    rustix::process::pivot_root(".", ".").map_err(Fault::of("change to the private root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(Fault::of("leave the old root"))?;
    rustix::process::chdir("/").map_err(Fault::of("enter the private root"))
}

impl Root<'_> {
    fn at(&self, place: &Path) -> PathBuf {
        match place.strip_prefix("/") {
            Ok(below) if below.as_os_str().is_empty() => self.base.to_owned(),
            Ok(below) => self.base.join(below),
            Err(_) => self.base.join(place),
        }
    }

    /// An empty file system in memory.
    fn memory(&mut self, place: &Path, options: &str) -> Result<(), Fault> {
        let to = self.at(place);
        let options = std::ffi::CString::new(options).unwrap_or_default();
        folder(&to)
            .and_then(|()| Ok(rustix::mount::mount("tmpfs", &to, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())?))
            .map_err(Fault::of(format!("make an empty {}", place.display())))?;
        self.open.insert(to);
        Ok(())
    }

    fn bind_if_there(&self, from: &Path, to: &Path) -> Result<(), Fault> {
        if rustix::fs::lstat(from).is_ok() { self.bind(from, to) } else { Ok(()) }
    }

    /// Shows a file or folder at another place, which is made for it. A link is made anew, and what it leads to is not shown by it.
    fn bind(&self, from: &Path, to: &Path) -> Result<(), Fault> {
        let act = || format!("show {}", to.display());
        let target = self.at(to);
        let status = rustix::fs::lstat(from).map_err(Fault::of(act()))?;
        let parent = target.parent().unwrap_or(self.base);
        folder(parent).map_err(Fault::of(act()))?;
        match rustix::fs::FileType::from_raw_mode(status.st_mode) {
            rustix::fs::FileType::Symlink => {
                let leads = rustix::fs::readlink(from, Vec::new()).map_err(Fault::of(act()))?;
                return match rustix::fs::symlink(leads.as_c_str(), &target) {
                    Err(rustix::io::Errno::EXIST) | Ok(()) => Ok(()),
                    Err(error) => Err(Fault::of(act())(error)),
                };
            }
            rustix::fs::FileType::Directory => folder(&target).map_err(Fault::of(act()))?,
            _ => empty_file(&target).map_err(Fault::of(act()))?,
        }
        self.mount(from, to)
    }

    /// As [`Root::bind`], where there is a place for it already.
    fn mount(&self, from: &Path, to: &Path) -> Result<(), Fault> {
        rustix::mount::mount_bind_recursive(from, self.at(to)).map_err(Fault::of(format!("show {}", to.display())))
    }

    fn system(&self, network: bool) -> Result<(), Fault> {
        for place in SYSTEM.iter().map(Path::new) {
            self.bind_if_there(place, place)?;
        }
        for name in ETC.iter().chain(if network { ETC_OF_NETWORK } else { &[] }) {
            let place = Path::new("/etc").join(name);
            // What leads out of what is shown (`resolv.conf` to `/run`) is shown as the file that it leads to.
            let Ok(real) = super::file::canonical(&place) else { continue };
            if real.starts_with("/usr") { self.bind_if_there(&place, &place)? } else { self.bind(&real, &place)? }
        }
        self.bind_if_there(Path::new(STATE), Path::new(STATE))?;
        folder(&self.at(Path::new("/run"))).map_err(Fault::of("make an empty /run"))
    }

    fn devices(&mut self) -> Result<(), Fault> {
        let proc = self.at(Path::new("/proc"));
        let act = "show the processes of the sandbox in /proc";
        folder(&proc).map_err(Fault::of(act))?;
        let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount("proc", &proc, "proc", quiet, None).map_err(Fault::of(act))?;
        self.open.insert(proc);
        for name in DEVICES {
            let place = Path::new("/dev").join(name);
            self.bind_if_there(&place, &place)?;
        }
        self.memory(Path::new("/dev/shm"), "mode=1777")?;
        let terminals = self.at(Path::new("/dev/pts"));
        let act = "make terminals in /dev/pts";
        folder(&terminals).map_err(Fault::of(act))?;
        rustix::mount::mount(
            "devpts",
            &terminals,
            "devpts",
            MountFlags::NOSUID | MountFlags::NOEXEC,
            c"newinstance,ptmxmode=0666,mode=620",
        )
        .map_err(Fault::of(act))?;
        self.open.insert(terminals);
        for (name, leads) in DEVICE_LINKS {
            rustix::fs::symlink(*leads, self.at(Path::new("/dev")).join(name)).map_err(Fault::of(format!("make /dev/{name}")))?;
        }
        Ok(())
    }

    /// Makes everything read-only but what was opened. Flags that came from outside are kept: the kernel refuses to lift them.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn close(&self) -> Result<(), Fault> {
        let act = "list what is mounted";
        let list = std::fs::read("/proc/self/mountinfo").map_err(Fault::of(act))?;
        for (place, flags) in list.split(|byte| *byte == b'\n').filter_map(mounted) {
            if !place.starts_with(self.base) || self.open.contains(&place) || flags.contains(MountFlags::RDONLY) {
                continue;
            }
            let flags = flags | MountFlags::BIND | MountFlags::RDONLY;
            match rustix::mount::mount_remount(&place, flags, "") {
                // What another mount lies upon cannot be reached, neither here nor inside.
                Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT | rustix::io::Errno::ACCESS) => {}
                Err(error) => return Err(Fault::of(format!("make {} read-only", place.display()))(error)),
            }
        }
        Ok(())
    }
}

/// Makes a folder and those above it.
#[allow(clippy::disallowed_methods, reason = "this is the door")]
fn folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

#[allow(clippy::disallowed_methods, reason = "this is the door")]
fn empty_file(path: &Path) -> io::Result<()> {
    std::fs::OpenOptions::new().create(true).append(true).open(path).map(drop)
}

/// One line of `/proc/self/mountinfo`: where, and with which flags. Source: proc_pid_mountinfo(5).
fn mounted(line: &[u8]) -> Option<(PathBuf, MountFlags)> {
    let mut fields = line.split(|byte| *byte == b' ').skip(4);
    let (place, options) = (fields.next()?, fields.next()?);
    let mut flags = MountFlags::empty();
    for option in options.split(|byte| *byte == b',') {
        flags |= match option {
            b"ro" => MountFlags::RDONLY,
            b"nosuid" => MountFlags::NOSUID,
            b"nodev" => MountFlags::NODEV,
            b"noexec" => MountFlags::NOEXEC,
            b"noatime" => MountFlags::NOATIME,
            b"nodiratime" => MountFlags::NODIRATIME,
            b"relatime" => MountFlags::RELATIME,
            _ => MountFlags::empty(),
        };
    }
    Some((unescaped(place), flags))
}

/// Blanks, tabs, newlines and backslashes are written as `\040` and so on.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, more)) = rest.split_first() {
        let number = more.get(..3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match (first, number) {
            (b'\\', Some(number)) => {
                bytes.push(number);
                rest = &more[3..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_gives_place_and_flags() {
        let line = br"36 35 98:0 / /a\040b/\134c rw,nosuid,relatime shared:1 - tmpfs tmpfs rw";
        let (place, flags) = mounted(line).unwrap();
        assert_eq!(place, Path::new(r"/a b/\c"));
        assert_eq!(flags, MountFlags::NOSUID | MountFlags::RELATIME);
        assert!(mounted(b"").is_none());
    }
}
