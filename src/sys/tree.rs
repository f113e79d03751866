//! One folder and what lies below it, reached so that no link on the way can lead a call elsewhere, not even one that is
//! swapped in while the call runs.
//! In: paths below the folder. Out: open files, metadata, changes to names. Never: a read outside the folder, and never a
//! change through a link. The last name of a path is never followed.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::base::path::{AbsPath, RelPath};

use super::account::Account;
use super::file::{FileError, at};
use super::folder::Folder;
use super::stat::{self, Kind, Stat};

/// The first bytes of the names of temporary files that stand beside their targets. Walks never see such files.
pub const TEMPORARY: &str = ".kiln-tmp-";

/// For a name that a restore made (`.kiln-tmp-PID-N`): whether the process that made it is gone. `None` for other names.
#[must_use]
pub fn is_left_behind(name: &[u8]) -> Option<bool> {
    let rest = std::str::from_utf8(name.strip_prefix(TEMPORARY.as_bytes())?).ok()?;
    let maker = rest.split('-').next()?.parse().ok().and_then(rustix::process::Pid::from_raw)?;
    Some(rustix::process::test_kill_process(maker) == Err(Errno::SRCH))
}

/// A folder that was opened once; all calls start from it, wherever its name leads later.
#[derive(Debug)]
pub struct Tree {
    root: AbsPath,
    folder: OwnedFd,
    /// Folders that were looked into, for a tree that remembers them.
    known: Option<RwLock<HashMap<RelPath, Arc<OwnedFd>>>>,
    /// What was seen, for a tree that keeps account.
    account: Option<Arc<Account>>,
}

/// The most folders that a tree remembers.
const FOLDERS: usize = 256;

/// Whether folders on the way may be links that stay below the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    Inside,
    Refused,
}

/// Writes a file that was just made, and sets its permission bits where the umask took some away.
fn write_whole(file: &mut File, bytes: &[u8], mode: u32) -> io::Result<Stat> {
    file.write_all(bytes)?;
    let raw = rustix::fs::fstat(&*file)?;
    if raw.st_mode & 0o7777 == mode {
        return Ok(stat::of_raw(&raw).1);
    }
    rustix::fs::fchmod(&*file, Mode::from_raw_mode(mode))?;
    Ok(stat::of_raw(&rustix::fs::fstat(&*file)?).1)
}

impl Tree {
    /// Opens the folder at `root`; links above it are followed.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(root: &AbsPath) -> Result<Self, FileError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = at("open folder", root, rustix::fs::open(root.as_path(), flags, Mode::empty()).map_err(io::Error::from))?;
        Ok(Self { root: root.clone(), folder, known: None, account: None })
    }

    /// As [`Tree::open`], for looking at many files while nothing is expected to move: each folder is found once, and a file
    /// in it costs one call. A folder that another one takes the place of meanwhile is seen as it was.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn for_a_glance(root: &AbsPath) -> Result<Self, FileError> {
        Ok(Self { known: Some(RwLock::default()), ..Self::open(root)? })
    }

    /// As [`Tree::for_a_glance`], for a look whose answer shall be remembered: all that is seen is written down.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn with_account(root: &AbsPath, account: Arc<Account>) -> Result<Self, FileError> {
        Ok(Self { account: Some(account), ..Self::for_a_glance(root)? })
    }

    /// What was seen so far, for a tree that keeps account.
    #[must_use]
    pub fn account(&self) -> Option<&Account> {
        self.account.as_deref()
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &AbsPath {
        &self.root
    }

    /// What stands at `path`; folders on the way may be links that stay inside.
    ///
    /// # Errors
    /// [`FileError`]; also when a link on the way is absolute or leads out.
    pub fn status(&self, path: &RelPath) -> Result<(Kind, Stat), FileError> {
        let found = match &self.known {
            Some(known) => self.named("look at", path, self.glance(known, path)),
            None => self.look(path, Links::Inside),
        };
        if let Some(account) = &self.account {
            match &found {
                Ok((_, stat)) => account.saw(path, Some(*stat)),
                Err(error) if error.is_missing() => account.saw(path, None),
                Err(_) => account.give_up(),
            }
        }
        found
    }

    fn glance(&self, known: &RwLock<HashMap<RelPath, Arc<OwnedFd>>>, path: &RelPath) -> io::Result<(Kind, Stat)> {
        let look = |folder: &OwnedFd, name: &[u8]| {
            let raw = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
            raw.map(|raw| stat::of_raw(&raw)).map_err(io::Error::from)
        };
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else { return look(&self.folder, b".") };
        look(&*self.remembered(known, parent)?, name)
    }

    /// A folder that is found once.
    fn remembered(&self, known: &RwLock<HashMap<RelPath, Arc<OwnedFd>>>, path: RelPath) -> io::Result<Arc<OwnedFd>> {
        let found = known.read().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
        if let Some(folder) = found {
            return Ok(folder);
        }
        let folder = Arc::new(self.resolve(&path, OFlags::PATH | OFlags::DIRECTORY, Links::Inside)?);
        let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
        // Each holds a file of the process open.
        if known.len() < FOLDERS {
            known.insert(path, Arc::clone(&folder));
        }
        Ok(folder)
    }

    /// The folder at `path`, for looking at many names in it; `None` when there is none.
    ///
    /// # Errors
    /// What stands in the way; also when a link on the way leads out.
    pub fn folder(&self, path: &RelPath) -> io::Result<Option<Folder>> {
        match self.resolve(path, OFlags::PATH | OFlags::DIRECTORY, Links::Inside) {
            Ok(folder) => Ok(Some(Folder(folder))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the folder at `path` to list it; folders on the way, and the last one, may be links that stay inside.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open_folder(&self, path: &RelPath) -> Result<Folder, FileError> {
        self.named("list", path, self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY, Links::Inside)).map(Folder)
    }

    /// As [`Tree::status`], but refuses links on the way.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn plain_status(&self, path: &RelPath) -> Result<(Kind, Stat), FileError> {
        self.look(path, Links::Refused)
    }

    fn look(&self, path: &RelPath, links: Links) -> Result<(Kind, Stat), FileError> {
        let opened = self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW, links).map(File::from);
        let metadata = opened.and_then(|file| file.metadata());
        self.named("look at", path, metadata).map(|metadata| (Kind::of(&metadata), Stat::of(&metadata)))
    }

    /// Whether a folder stands at `path`, or a link that leads to one inside.
    ///
    /// # Errors
    /// [`FileError`]; also when a link is absolute or leads out.
    pub fn leads_to_folder(&self, path: &RelPath) -> Result<bool, FileError> {
        match self.resolve(path, OFlags::PATH | OFlags::DIRECTORY, Links::Inside) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(error) => self.named("look at", path, Err(error)),
        }
    }

    /// Opens a regular file for reading. Never blocks on a FIFO.
    ///
    /// # Errors
    /// [`FileError`]; also for what is not a regular file, and when a link on the way leads out.
    pub fn open_file(&self, path: &RelPath) -> Result<File, FileError> {
        self.open_seen(path).map(|(file, _)| file)
    }

    /// As [`Tree::open_file`], with what the kernel says of the file.
    ///
    /// # Errors
    /// As [`Tree::open_file`].
    pub fn open_seen(&self, path: &RelPath) -> Result<(File, Stat), FileError> {
        let file = self.open_unseen(path)?;
        let raw = self.named("read", path, rustix::fs::fstat(&file).map_err(io::Error::from))?;
        match stat::of_raw(&raw) {
            (Kind::File { .. }, stat) => Ok((file, stat)),
            _ => self.named("read", path, Err(io::Error::other("it is not a regular file"))),
        }
    }

    /// As [`Tree::open_file`], for a caller that asks the kernel himself what it is that he got: it may be no regular file.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open_unseen(&self, path: &RelPath) -> Result<File, FileError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match (&self.known, path.parent(), path.name()) {
            (Some(known), Some(parent), Some(name)) => self
                .remembered(known, parent)
                .and_then(|folder| rustix::fs::openat(&*folder, name, flags, Mode::empty()).map_err(io::Error::from)),
            _ => self.resolve(path, flags, Links::Inside),
        };
        self.named("read", path, opened.map(File::from))
    }

    /// As [`Tree::open_unseen`], for a file that lies in `folder`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open_unseen_in(&self, folder: &Folder, path: &RelPath) -> Result<File, FileError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&folder.0, path.name().unwrap_or(b"."), flags, Mode::empty());
        self.named("read", path, opened.map(File::from).map_err(io::Error::from))
    }

    /// The target of a symbolic link, as bytes.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read_link(&self, path: &RelPath) -> Result<Vec<u8>, FileError> {
        let target = self
            .resolve(path, OFlags::PATH | OFlags::NOFOLLOW, Links::Inside)
            .and_then(|link| rustix::fs::readlinkat(link, "", Vec::new()).map_err(io::Error::from));
        self.named("read link", path, target).map(std::ffi::CString::into_bytes)
    }

    /// Creates a file with a new temporary name in `folder`, open for reading and writing, for the owner alone.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn create_temporary(&self, folder: &RelPath) -> Result<(RelPath, File), FileError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.with_temporary_name(folder, |parent, name| rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR))
            .map(|(path, opened)| (path, File::from(opened)))
    }

    /// The folder at `path`, for making files in it; no link stands on the way to it.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn folder_for_new(&self, path: &RelPath) -> Result<Folder, FileError> {
        self.named("write", path, self.resolve(path, OFlags::PATH | OFlags::DIRECTORY, Links::Refused)).map(Folder)
    }

    /// Makes the file `path`, which lies in `folder`, where none was, with these bytes and permission bits; gives what the kernel says of
    /// it. `None` when something stands there. A file that could not be written to its end is taken away again.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn write_new(&self, folder: &Folder, path: &RelPath, bytes: &[u8], mode: u32) -> Result<Option<Stat>, FileError> {
        let name = path.name().unwrap_or_default();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = match rustix::fs::openat(&folder.0, name, flags, Mode::from_raw_mode(mode)) {
            Ok(file) => File::from(file),
            Err(Errno::EXIST) => return Ok(None),
            Err(error) => return self.named("write", path, Err(error.into())),
        };
        let written = write_whole(&mut file, bytes, mode);
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&folder.0, name, AtFlags::empty());
        }
        self.named("write", path, written).map(Some)
    }

    /// Creates a symbolic link with a new temporary name in `folder`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn link_temporary(&self, folder: &RelPath, target: &[u8]) -> Result<RelPath, FileError> {
        self.with_temporary_name(folder, |parent, name| rustix::fs::symlinkat(target, parent, name)).map(|(path, ())| path)
    }

    fn with_temporary_name<T>(
        &self,
        folder: &RelPath,
        make: impl Fn(&OwnedFd, &str) -> rustix::io::Result<T>,
    ) -> Result<(RelPath, T), FileError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let parent = self.named("write", folder, self.resolve(folder, OFlags::PATH | OFlags::DIRECTORY, Links::Refused))?;
        loop {
            // Another process may have the same id in another container, so the name may be taken.
            let name = format!("{TEMPORARY}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = self.named("write", folder, folder.join(&name).map_err(io::Error::other))?;
            match make(&parent, &name) {
                Ok(made) => return Ok((path, made)),
                Err(Errno::EXIST) => {}
                Err(error) => return self.named("write", &path, Err(error.into())),
            }
        }
    }

    /// Renames; replaces a file or a link that stands at `to`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn rename(&self, from: &RelPath, to: &RelPath) -> Result<(), FileError> {
        let (source, old) = self.parent("rename", from)?;
        let (target, new) = self.parent("rename", to)?;
        self.named("write", to, rustix::fs::renameat(source, old, target, new).map_err(io::Error::from))
    }

    /// Removes a file or a link.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn remove(&self, path: &RelPath) -> Result<(), FileError> {
        let (parent, name) = self.parent("remove", path)?;
        self.named("remove", path, rustix::fs::unlinkat(parent, name, AtFlags::empty()).map_err(io::Error::from))
    }

    /// Removes an empty folder; says whether it was there and empty.
    ///
    /// # Errors
    /// [`FileError`] for all but a folder that is gone or holds something.
    pub fn remove_empty_folder(&self, path: &RelPath) -> Result<bool, FileError> {
        let (parent, name) = self.parent("remove folder", path)?;
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(false),
            Err(error) => self.named("remove folder", path, Err(error.into())),
        }
    }

    /// Makes sure that a folder stands at `path`, and those above it, each with mode 755 whatever the umask is.
    ///
    /// # Errors
    /// [`FileError`]; also when something else than a folder stands there.
    pub fn create_folders(&self, path: &RelPath) -> Result<(), FileError> {
        if path.is_root() || matches!(self.plain_status(path), Ok((Kind::Folder, _))) {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.create_folders(&above)?;
        }
        let (parent, name) = self.parent("create folder", path)?;
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                let opened = rustix::fs::openat(&parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty());
                let set = opened.and_then(|folder| rustix::fs::fchmod(folder, Mode::from_raw_mode(0o755)));
                self.named("set mode of", path, set.map_err(io::Error::from))
            }
            // Another thread may have made it meanwhile.
            Err(Errno::EXIST) if matches!(self.plain_status(path), Ok((Kind::Folder, _))) => Ok(()),
            Err(error) => self.named("create folder", path, Err(error.into())),
        }
    }

    /// Sets the permission bits of an open file, whatever the umask is.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn set_mode(&self, path: &RelPath, file: &File, mode: u32) -> Result<(), FileError> {
        self.named("set mode of", path, file.set_permissions(std::fs::Permissions::from_mode(mode)))
    }

    fn named<T>(&self, act: &'static str, path: &RelPath, result: io::Result<T>) -> Result<T, FileError> {
        at(act, self.root.at(path), result.map_err(explained))
    }

    fn parent<'p>(&self, act: &'static str, path: &'p RelPath) -> Result<(OwnedFd, &'p [u8]), FileError> {
        match (path.parent(), path.as_path().file_name()) {
            (Some(parent), Some(name)) => {
                let folder = self.named(act, path, self.resolve(&parent, OFlags::PATH | OFlags::DIRECTORY, Links::Refused))?;
                Ok((folder, name.as_bytes()))
            }
            _ => self.named(act, path, Err(io::Error::other("it is the project itself"))),
        }
    }

    fn resolve(&self, path: &RelPath, flags: OFlags, links: Links) -> io::Result<OwnedFd> {
        resolve(&self.folder, path, flags, links)
    }
}

/// Opens what stands at `path` below a folder, and nothing outside of it.
pub(super) fn resolve(folder: &OwnedFd, path: &RelPath, flags: OFlags, links: Links) -> io::Result<OwnedFd> {
    let name: &[u8] = if path.is_root() { b"." } else { path.as_bytes() };
    let how = ResolveFlags::BENEATH
        | match links {
            Links::Inside => ResolveFlags::NO_MAGICLINKS,
            Links::Refused => ResolveFlags::NO_SYMLINKS,
        };
    // The kernel gives up with EAGAIN when something is renamed above it just then.
    for _ in 0..128 {
        match rustix::fs::openat2(folder, name, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Kernels before 5.6 do not know the call, and some container filters refuse it.
            Err(Errno::NOSYS | Errno::PERM) => return resolve_by_steps(folder, path, flags),
            other => return Ok(other?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// The same, one name at a time, without a link anywhere: stricter than the kernel's way, never laxer.
fn resolve_by_steps(folder: &OwnedFd, path: &RelPath, flags: OFlags) -> io::Result<OwnedFd> {
    let mut folder = folder.try_clone()?;
    if let Some(above) = path.parent() {
        for name in above.as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            folder = rustix::fs::openat(folder.as_fd(), name, flags, Mode::empty())?;
        }
    }
    let name = path.name().unwrap_or(b".");
    Ok(rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}

/// Says what the kernel's numbers mean here.
fn explained(error: io::Error) -> io::Error {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::LOOP) => io::Error::other("a folder on the way is a link"),
        Some(Errno::XDEV) => io::Error::new(io::ErrorKind::PermissionDenied, "a link on the way is absolute or leads out of the project"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    fn tree() -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("in/a/b")).unwrap();
        std::fs::create_dir(folder.path().join("out")).unwrap();
        std::fs::write(folder.path().join("in/a/b/file"), "inside").unwrap();
        std::fs::write(folder.path().join("out/file"), "outside").unwrap();
        symlink("a", folder.path().join("in/stays")).unwrap();
        symlink("../out", folder.path().join("in/leaves")).unwrap();
        symlink("/etc", folder.path().join("in/absolute")).unwrap();
        let tree = Tree::open(&AbsPath::new(folder.path().join("in")).unwrap()).unwrap();
        (folder, tree)
    }

    #[test]
    fn a_file_is_read_only_when_no_link_leads_out() {
        let (_folder, tree) = tree();
        for (name, read) in [
            ("a/b/file", true),
            ("stays/b/file", true),
            ("leaves/file", false),
            ("absolute/passwd", false),
            ("stays", false),
            ("a/b", false),
            ("a/b/none", false),
        ] {
            assert_eq!(tree.open_file(&path(name)).is_ok(), read, "{name}");
        }
        let message = tree.open_file(&path("leaves/file")).unwrap_err().to_string();
        assert!(message.ends_with("a link on the way is absolute or leads out of the project"), "{message}");
    }

    #[test]
    fn a_glance_sees_what_a_look_sees_and_no_more() {
        let (folder, tree) = tree();
        let glancing = Tree::for_a_glance(tree.root()).unwrap();
        for _ in 0..2 {
            for name in ["", "a", "a/b/file", "stays/b/file", "stays", "leaves", "leaves/file", "absolute/passwd", "a/none", "none/x"] {
                let text = |result: Result<_, FileError>| result.map_err(|error| error.to_string());
                assert_eq!(text(glancing.status(&path(name))), text(tree.status(&path(name))), "{name}");
            }
        }
        std::fs::write(folder.path().join("in/a/b/file"), "longer than before").unwrap();
        assert_eq!(glancing.status(&path("a/b/file")).unwrap().1.size, 18);
        std::fs::remove_file(folder.path().join("in/a/b/file")).unwrap();
        assert!(glancing.status(&path("a/b/file")).is_err());
    }

    #[test]
    fn the_slow_way_opens_no_more_than_the_kernels_way() {
        let (_folder, tree) = tree();
        for (name, read) in [("a/b/file", true), ("stays/b/file", false), ("leaves/file", false), ("absolute/passwd", false)] {
            assert_eq!(resolve_by_steps(&tree.folder, &path(name), OFlags::RDONLY).is_ok(), read, "{name}");
        }
        assert!(resolve_by_steps(&tree.folder, &RelPath::root(), OFlags::PATH).is_ok());
    }

    #[test]
    fn nothing_is_changed_through_a_link() {
        let (folder, tree) = tree();
        for name in ["stays", "leaves", "absolute"] {
            assert!(tree.create_temporary(&path(name)).is_err(), "{name}");
            assert!(tree.link_temporary(&path(name), b"x").is_err(), "{name}");
            assert!(tree.create_folders(&path(name).join("new").unwrap()).is_err(), "{name}");
            assert!(tree.rename(&path("a/b/file"), &path(name).join("file").unwrap()).is_err(), "{name}");
            assert!(tree.remove(&path(name).join("file").unwrap()).is_err(), "{name}");
        }
        assert_eq!(std::fs::read(folder.path().join("out/file")).unwrap(), b"outside");
        tree.remove(&path("leaves")).unwrap();
        assert!(folder.path().join("out/file").exists());
    }

    #[test]
    fn a_temporary_file_takes_the_place_of_another() {
        let (folder, tree) = tree();
        tree.create_folders(&path("x/y")).unwrap();
        let (name, mut file) = tree.create_temporary(&path("x/y")).unwrap();
        file.write_all(b"new").unwrap();
        tree.rename(&name, &path("a/b/file")).unwrap();
        assert_eq!(std::fs::read(folder.path().join("in/a/b/file")).unwrap(), b"new");
        assert!(tree.remove_empty_folder(&path("x/y")).unwrap());
        assert!(!tree.remove_empty_folder(&path("a")).unwrap());
    }

    #[test]
    fn a_folder_that_turns_into_a_link_and_back_never_lets_a_read_out() {
        let (folder, tree) = tree();
        let (real, aside, link) = (folder.path().join("in/a"), folder.path().join("in/aside"), folder.path().join("link"));
        std::fs::write(folder.path().join("in/a/file"), "inside").unwrap();
        symlink("../out", &link).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::fs::rename(&real, &aside).unwrap();
                    std::fs::rename(&link, &real).unwrap();
                    std::fs::rename(&real, &link).unwrap();
                    std::fs::rename(&aside, &real).unwrap();
                }
            });
            let read = || tree.open_file(&path("a/file")).ok().and_then(|file| io::read_to_string(file).ok());
            let outside = (0..10_000).filter_map(|_| read()).find(|content| content != "inside");
            // A failed assertion before this would leave the other thread running for ever.
            stop.store(true, Ordering::Relaxed);
            assert_eq!(outside, None);
        });
    }
}
