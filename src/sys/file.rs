//! Files: every call names its act and its path when it fails.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::stat::{self, Stat};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} `{}`: {cause}", crate::base::words::visible(&path.to_string_lossy()))]
pub struct FileError {
    /// What was tried: `read`, `write`, …
    pub act: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the kernel said.
    #[source]
    pub cause: io::Error,
}

impl FileError {
    /// Whether nothing is there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self.cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    }
    /// Whether the disk or the quota is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
    /// Whether the place may not be written to.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self.cause.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
    }
}

/// Adds act and path to an error of the kernel.
pub fn at<T>(act: &'static str, path: impl AsRef<Path>, result: io::Result<T>) -> Result<T, FileError> {
    result.map_err(|cause| FileError { act, path: path.as_ref().to_owned(), cause })
}

/// Turns "nothing is there" into `None`.
///
/// # Errors
/// Every other error is handed on.
pub fn optional<T>(result: Result<T, FileError>) -> Result<Option<T>, FileError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a regular file for reading. Never blocks on a FIFO; refuses what is not a regular file.
///
/// # Errors
/// [`FileError`].
pub fn open(path: impl AsRef<Path>) -> Result<File, FileError> {
    let path = path.as_ref();
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = at("read", path, OpenOptions::new().read(true).custom_flags(flags).open(path))?;
    let metadata = at("read", path, file.metadata())?;
    if metadata.is_file() { Ok(file) } else { at("read", path, Err(io::Error::other(format!("it is {}, not a file", kind(&metadata))))) }
}

/// What stands where a regular file was expected.
fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// As [`open`], but refuses a link in place of the file.
///
/// # Errors
/// [`FileError`].
pub fn open_unfollowed(path: impl AsRef<Path>) -> Result<File, FileError> {
    let path = path.as_ref();
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW).bits() as i32;
    let file = at("read", path, OpenOptions::new().read(true).custom_flags(flags).open(path))?;
    let metadata = at("read", path, file.metadata())?;
    if metadata.is_file() { Ok(file) } else { at("read", path, Err(io::Error::other(format!("it is {}, not a file", kind(&metadata))))) }
}

/// Room for a file of `/proc`, which has no size.
const UNSIZED: u64 = 4 << 10;

/// Reads a whole regular file of at most `limit` bytes.
///
/// # Errors
/// [`FileError`], also when the file is larger.
pub fn read(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>, FileError> {
    let path = path.as_ref();
    let file = open(path)?;
    let size = at("read", path, file.metadata())?.len();
    // Room for all of it and the end at once; a file that grows meanwhile, or whose size the kernel does not know, is read all
    // the same.
    let room = if size == 0 { UNSIZED } else { size }.min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or(0).saturating_add(1));
    at("read", path, file.take(limit.saturating_add(1)).read_to_end(&mut bytes))?;
    if bytes.len() as u64 > limit {
        return at("read", path, Err(io::Error::other(format!("it is larger than {}", crate::base::size::ByteSize(limit)))));
    }
    Ok(bytes)
}

/// Opens a file to append whole records to it; creates it for the owner alone.
///
/// # Errors
/// [`FileError`].
pub fn append(path: impl AsRef<Path>) -> Result<File, FileError> {
    let path = path.as_ref();
    at("write", path, OpenOptions::new().append(true).create(true).read(true).mode(0o600).open(path))
}

/// Creates a directory and those above it.
///
/// # Errors
/// [`FileError`].
pub fn create_dirs(path: impl AsRef<Path>) -> Result<(), FileError> {
    // A look is cheaper than an attempt, and nearly always enough.
    if fs::metadata(path.as_ref()).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    at("create folder", path.as_ref(), fs::create_dir_all(path.as_ref()))
}

/// Creates one directory that only its owner may enter; says whether it was made, or was there before.
///
/// # Errors
/// [`FileError`].
pub fn create_private_dir(path: impl AsRef<Path>) -> Result<bool, FileError> {
    let path = path.as_ref();
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(cause) => Err(FileError { act: "create folder", path: path.to_owned(), cause }),
    }
}

/// The user that files made by this process belong to.
#[must_use]
pub fn current_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes the empty file `to` share the bytes of `from`, where the file system can; says whether it did. Either can be
/// written to later without the other noticing.
#[must_use]
pub fn share(from: &File, to: &File) -> bool {
    #[cfg(target_os = "linux")]
    return rustix::fs::ioctl_ficlone(to, from).is_ok();
    #[cfg(not(target_os = "linux"))]
    return false;
}

/// What stands at `path`, without following a link.
///
/// # Errors
/// [`FileError`].
pub fn status(path: impl AsRef<Path>) -> Result<Metadata, FileError> {
    at("look at", path.as_ref(), fs::symlink_metadata(path.as_ref()))
}

/// What the kernel says of an open file.
///
/// # Errors
/// The kernel's.
pub fn look(file: &File) -> io::Result<Stat> {
    Ok(stat::of_raw(&rustix::fs::fstat(file)?).1)
}

/// The names in a directory, sorted by their bytes.
///
/// # Errors
/// [`FileError`].
pub fn names(path: impl AsRef<Path>) -> Result<Vec<Vec<u8>>, FileError> {
    let path = path.as_ref();
    let mut names = Vec::new();
    for entry in at("list", path, fs::read_dir(path))? {
        names.push(at("list", path, entry)?.file_name().into_vec());
    }
    names.sort();
    Ok(names)
}

/// The target of a symbolic link, as bytes.
///
/// # Errors
/// [`FileError`].
pub fn read_link(path: impl AsRef<Path>) -> Result<Vec<u8>, FileError> {
    at("read link", path.as_ref(), fs::read_link(path.as_ref())).map(|target| target.into_os_string().into_vec())
}

/// Removes a folder with all that is in it; links in it are removed, not followed.
///
/// # Errors
/// [`FileError`] of the first thing that cannot be removed.
pub fn remove_tree(path: impl AsRef<Path>) -> Result<(), FileError> {
    at("remove", path.as_ref(), fs::remove_dir_all(path.as_ref()))
}

/// Makes a symbolic link.
///
/// # Errors
/// [`FileError`].
pub fn link(path: impl AsRef<Path>, target: &[u8]) -> Result<(), FileError> {
    at("link", path.as_ref(), rustix::fs::symlink(target, path.as_ref()).map_err(io::Error::from))
}

/// Gives an open file one more name, where none is.
///
/// # Errors
/// [`FileError`], also when it has no name left.
pub fn name(file: &File, path: impl AsRef<Path>) -> Result<(), FileError> {
    use rustix::fs::{AtFlags, CWD};
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    let named = rustix::fs::linkat(CWD, open, CWD, path.as_ref(), AtFlags::SYMLINK_FOLLOW);
    at("name", path.as_ref(), named.map_err(io::Error::from))
}

/// Renames; replaces what stands at `to`.
///
/// # Errors
/// [`FileError`].
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), FileError> {
    at("rename", to.as_ref(), fs::rename(from.as_ref(), to.as_ref()))
}

/// Removes a file or a link.
///
/// # Errors
/// [`FileError`].
pub fn remove(path: impl AsRef<Path>) -> Result<(), FileError> {
    at("remove", path.as_ref(), fs::remove_file(path.as_ref()))
}

/// Renames, and leaves what stands at `to`; says whether the place was free.
///
/// # Errors
/// [`FileError`].
pub fn rename_new(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<bool, FileError> {
    let (from, to) = (from.as_ref(), to.as_ref());
    // A second name can only be given where none is. It works on every file system that has hard links.
    match fs::hard_link(from, to) {
        Ok(()) => remove(from).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(cause) => Err(FileError { act: "rename", path: to.to_owned(), cause }),
    }
}

/// Sets the times of a file to now, by the clock of its file system. Links are not followed.
///
/// # Errors
/// [`FileError`].
pub fn touch(path: impl AsRef<Path>) -> Result<(), FileError> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    let set = rustix::fs::utimensat(CWD, path.as_ref(), &times, AtFlags::SYMLINK_NOFOLLOW);
    at("set the times of", path.as_ref(), set.map_err(io::Error::from))
}

/// Removes an empty folder; says whether it was there and empty.
///
/// # Errors
/// [`FileError`] for all but a folder that is gone or holds something.
pub fn remove_empty_dir(path: impl AsRef<Path>) -> Result<bool, FileError> {
    match fs::remove_dir(path.as_ref()) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(false),
        Err(error) => at("remove folder", path, Err(error)),
    }
}

/// Sets the permission bits.
///
/// # Errors
/// [`FileError`].
pub fn set_mode(path: impl AsRef<Path>, mode: u32) -> Result<(), FileError> {
    at("set mode of", path.as_ref(), fs::set_permissions(path.as_ref(), Permissions::from_mode(mode)))
}

/// The path without links, `.` and `..`.
///
/// # Errors
/// [`FileError`].
pub fn canonical(path: impl AsRef<Path>) -> Result<PathBuf, FileError> {
    at("find", path.as_ref(), fs::canonicalize(path.as_ref()))
}

/// The first bytes of the names of files that are written and then renamed. What a killed process left bears them, too.
pub const TEMPORARY: &str = ".kiln-";

/// Nobody writes to what was not written to for so long, in milliseconds.
const ABANDONED_MS: i64 = 60_000;

/// Removes from a folder the files and folders of these names that nobody has written to for a minute: what killed processes left.
pub fn remove_abandoned(folder: impl AsRef<Path>, is_temporary: impl Fn(&[u8]) -> bool) {
    let folder = folder.as_ref();
    let before = i128::from(super::clock::now().0 - ABANDONED_MS) * 1_000_000;
    for name in names(folder).unwrap_or_default().into_iter().filter(|name| is_temporary(name)) {
        let path = folder.join(OsStr::from_bytes(&name));
        let Ok(found) = status(&path) else { continue };
        if Stat::of(&found).modified < before {
            // What cannot be removed now is met again.
            let _ = if found.is_dir() { remove_tree(&path) } else { remove(&path) };
        }
    }
}

/// Creates a file with a new name in `folder`, open to read and write whatever its `mode` says; it is removed when it is dropped before
/// it has a place.
///
/// # Errors
/// [`FileError`].
pub fn temporary(folder: impl AsRef<Path>, prefix: &str, mode: u32) -> Result<tempfile::NamedTempFile, FileError> {
    let folder = folder.as_ref();
    // Made by our own call: the package's own puts the path into the error once more.
    let create = |path: &Path| OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path);
    let made = tempfile::Builder::new().prefix(prefix).make_in(folder, create);
    at("create a file in", folder, made)
}

/// Writes a whole file so that readers see the old bytes or the new ones, never a part: temporary name, then rename.
/// With `durable`, the bytes are on the disk before the name is; without, a power cut may leave an empty file.
///
/// # Errors
/// [`FileError`].
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8], durable: bool) -> Result<(), FileError> {
    let path = path.as_ref();
    let folder = path.parent().unwrap_or(Path::new("."));
    create_dirs(folder)?;
    let mut temporary = temporary(folder, TEMPORARY, 0o600)?;
    at("write", path, temporary.as_file_mut().write_all(bytes))?;
    if durable {
        at("write", path, temporary.as_file().sync_data())?;
    }
    at("set mode of", path, temporary.as_file().set_permissions(Permissions::from_mode(0o644)))?;
    if !durable && exchange(temporary.path(), path) {
        return Ok(());
    }
    at("write", path, temporary.persist(path).map_err(|error| error.error)).map(drop)
}

/// Lets two files change their places at once; says whether both were there and the file system can. Where a name is replaced
/// instead, ext4 waits until the new bytes are on their way to the disk, for milliseconds. A folder stays where it is.
fn exchange(one: &Path, other: &Path) -> bool {
    use rustix::fs::{CWD, RenameFlags};
    let is_file = fs::symlink_metadata(other).is_ok_and(|found| found.is_file());
    is_file && rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok()
}

/// Writes a whole file as [`write_atomic`] does, durable and for its owner alone.
///
/// # Errors
/// [`FileError`].
pub fn write_private(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), FileError> {
    let path = path.as_ref();
    let mut temporary = temporary(path.parent().unwrap_or(Path::new(".")), TEMPORARY, 0o600)?;
    at("write", path, temporary.as_file_mut().write_all(bytes))?;
    at("write", path, temporary.as_file().sync_data())?;
    at("write", path, temporary.persist(path).map_err(|error| error.error)).map(drop)
}

/// Puts new bytes in place of those of a file that is there, as [`write_atomic`] does. The file keeps its mode, and its owner where
/// this process may give files away; a link stays and the file that it leads to is replaced.
///
/// # Errors
/// [`FileError`]; the file is as it was.
pub fn replace(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), FileError> {
    let path = canonical(path)?;
    let old = at("look at", &path, open(&path)?.metadata())?;
    if old.permissions().readonly() {
        return at("write", &path, Err(io::Error::from(io::ErrorKind::PermissionDenied)));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut temporary = at("create", &path, tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder))?;
    at("write", &path, temporary.write_all(bytes))?;
    let (user, group) = (rustix::fs::Uid::from_raw(old.uid()), rustix::fs::Gid::from_raw(old.gid()));
    let _ = rustix::fs::fchown(temporary.as_file(), Some(user), Some(group));
    at("set mode of", &path, temporary.as_file().set_permissions(old.permissions()))?;
    at("write", &path, temporary.as_file().sync_data())?;
    at("write", &path, temporary.persist(&path).map_err(|error| error.error)).map(drop)
}

/// Reads standard input to its end, at most `limit` bytes and one more.
///
/// # Errors
/// [`FileError`].
pub fn read_input(limit: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    at("read", "standard input", io::stdin().lock().take(limit.saturating_add(1)).read_to_end(&mut bytes))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_anew_each_time_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut numbers = Vec::new();
        for (text, durable) in [("one", false), ("three", false), ("", false), ("four", true)] {
            write_atomic(&path, text.as_bytes(), durable).unwrap();
            assert_eq!(read(&path, 100).unwrap(), text.as_bytes());
            let status = status(&path).unwrap();
            assert_eq!(status.mode() & 0o777, 0o644);
            numbers.push(status.ino());
            assert_eq!(names(folder.path()).unwrap(), [b"file"]);
        }
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "{numbers:?}");
        assert!(write_atomic(folder.path().join("file/below"), b"x", false).is_err());
        // A folder is never put away for a file.
        create_dirs(folder.path().join("folder/full")).unwrap();
        assert!(write_atomic(folder.path().join("folder"), b"x", false).is_err());
        assert_eq!(names(folder.path().join("folder")).unwrap(), [b"full"]);
    }
}
