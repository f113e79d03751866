//! Where things lie in the store's folder, and whether that folder is safe to use.
//!
//! `docs/store.md` describes every file. Another layout gets another version beside this one, so that an older kiln finds
//! its own store as it left it.
//! In: a folder. Out: places. Never: a store that another user could write to, or that a link stands for.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::base::digest::{ActionKey, Algorithm, Digest};
use crate::base::path::AbsPath;
use crate::sys::file::{self, FileError, at};
use crate::sys::lock::Lock;
use crate::sys::stat::Stat;
use crate::sys::{clock, stat};

use super::blob::StoreError;

const DAY_MS: i64 = 86_400_000;
/// The folder of this version below a store's folder.
pub const VERSION: &str = "v1";
/// The folders that are there from the beginning.
pub const FOLDERS: &[&str] = &["tmp", "locks", "leases", "damaged"];
/// The file whose time says when the store was last collected.
const STAMP: &str = "collected";

/// The folder of this version below a store's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout(AbsPath);

impl Layout {
    /// Makes sure that the store's folder is there, belongs to this user, and that nobody else may enter it.
    pub(super) fn open(root: &AbsPath) -> Result<(AbsPath, Self), StoreError> {
        // Without a slash at its end the last name is looked at itself, also when it is a link.
        let root = AbsPath::new(root.as_path().components().collect::<PathBuf>()).unwrap_or_else(|| root.clone());
        if let Some(above) = root.parent()
            && file::status(&root).is_err()
        {
            file::create_dirs(above)?;
        }
        let base = root.join(VERSION);
        own_folder(&root, 0o022)?;
        own_folder(&base, 0o077)?;
        for name in FOLDERS {
            file::create_private_dir(base.join(name)).map(drop)?;
        }
        let layout = Self(base);
        layout.sweep(clock::now().0);
        Ok((root, layout))
    }

    pub(super) fn base(&self) -> &AbsPath {
        &self.0
    }

    pub(super) fn blob<A: Algorithm>(&self, digest: Digest<A>) -> AbsPath {
        sharded(self.0.join("blobs").join(A::NAME), &digest.hex())
    }

    pub(super) fn record(&self, key: ActionKey) -> AbsPath {
        self.actions().join(key.0.hex())
    }

    /// The folder of records.
    pub(super) fn actions(&self) -> AbsPath {
        self.0.join("actions")
    }

    /// The file in which a place is locked for each action that is carried out.
    pub(super) fn claims(&self) -> AbsPath {
        self.0.join("claims")
    }

    /// A file of its own for somebody who lives.
    pub(super) fn lock(&self, key: ActionKey) -> AbsPath {
        self.0.join("locks").join(key.0.hex())
    }

    /// The folder of files that say which kilns run.
    pub(super) fn leases(&self) -> AbsPath {
        self.0.join("leases")
    }

    /// What the one who collects holds.
    pub(super) fn collecting(&self) -> AbsPath {
        self.0.join("collecting")
    }

    /// The file whose time says when the store was last collected.
    pub(super) fn stamp(&self) -> AbsPath {
        self.0.join(STAMP)
    }

    /// The folder of files that nobody sees yet.
    pub(super) fn scratch(&self) -> AbsPath {
        self.0.join("tmp")
    }

    /// A new file that nobody sees yet. It is written once, so nobody else may open it to write.
    pub(super) fn temporary(&self) -> Result<tempfile::NamedTempFile, FileError> {
        file::temporary(self.scratch(), "t-", 0o444)
    }

    /// Gives a finished temporary file its place. What stands there is replaced: it is the same, or damaged.
    pub(super) fn settle(&self, temporary: tempfile::NamedTempFile, place: &AbsPath) -> Result<File, FileError> {
        let again = match temporary.persist(place) {
            Ok(file) => return Ok(file),
            Err(error) if error.error.kind() == std::io::ErrorKind::NotFound => error.file,
            Err(error) => return at("write", place, Err(error.error)),
        };
        if let Some(folder) = place.parent() {
            file::create_dirs(folder)?;
        }
        at("write", place, again.persist(place).map_err(|error| error.error))
    }

    /// Moves a damaged file out of the way, so that it is made again, if `place` still holds the file that was `read`.
    pub(super) fn set_aside(&self, place: &AbsPath, read: &Stat) {
        let Ok(now) = file::status(place) else { return };
        if (now.dev(), now.ino()) != (read.device, read.inode) {
            return;
        }
        let below = place.as_path().strip_prefix(self.0.as_path()).unwrap_or(place.as_path());
        let name: Vec<_> = below.components().map(|part| part.as_os_str()).collect();
        let aside = self.0.join("damaged").join(name.join("-".as_ref()));
        if file::rename(place, &aside).is_err() {
            let _ = file::remove(place);
        }
    }

    /// Clears what dead processes left: temporary files after a day, locks that nobody holds, damaged files after a week.
    fn sweep(&self, now_ms: i64) {
        for (folder, age) in [("tmp", DAY_MS), ("locks", DAY_MS), ("leases", DAY_MS), ("damaged", 7 * DAY_MS)] {
            let folder = self.0.join(folder);
            for name in file::names(&folder).unwrap_or_default() {
                let path = folder.join(Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&name)));
                let Ok(metadata) = file::status(&path) else { continue };
                if i128::from(now_ms - age) * 1_000_000 < Stat::of(&metadata).changed {
                    continue;
                }
                if folder.as_path().ends_with("locks") || folder.as_path().ends_with("leases") {
                    // Taking a lock and giving it back removes its file; one that is held stays.
                    let _ = Lock::try_take(&path);
                } else if metadata.is_dir() {
                    let _ = file::remove_tree(&path);
                } else {
                    let _ = file::remove(&path);
                }
            }
        }
    }
}

fn sharded(folder: AbsPath, hex: &str) -> AbsPath {
    folder.join(&hex[..2]).join(&hex[2..])
}

/// Makes a folder for this user alone, or checks the one that is there and takes the rights in `loose` from others.
fn own_folder(path: &AbsPath, loose: u32) -> Result<(), StoreError> {
    file::create_private_dir(path)?;
    let metadata = file::status(path)?;
    let refuse = |why: &str| Err(StoreError::Unsafe { path: path.to_string(), why: why.to_owned() });
    match stat::Kind::of(&metadata) {
        stat::Kind::Folder if metadata.uid() != file::current_user() => {
            refuse(&format!("it belongs to user {} and not to the one that runs kiln; name another folder", metadata.uid()))
        }
        stat::Kind::Folder if metadata.mode() & loose != 0 => Ok(file::set_mode(path, metadata.mode() & 0o777 & !loose)?),
        stat::Kind::Folder => Ok(()),
        stat::Kind::Link => refuse("it is a link, which another could turn; name the folder that it leads to"),
        _ => refuse("it is not a folder"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests set up the machine themselves")]

    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn open(path: &Path) -> Result<(AbsPath, Layout), StoreError> {
        Layout::open(&AbsPath::new(path).unwrap())
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_store_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("deep/store");
        open(&root).unwrap();
        assert_eq!((mode(&root), mode(&root.join("v1"))), (0o700, 0o700));
        for path in [&root, &root.join("v1")] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        open(&root).unwrap();
        assert_eq!((mode(&root), mode(&root.join("v1"))), (0o755, 0o700));
    }

    #[test]
    fn a_link_or_a_file_in_place_of_the_store_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        std::fs::create_dir(&real).unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        symlink(&real, folder.path().join("link")).unwrap();
        symlink(folder.path().join("none"), folder.path().join("dangling")).unwrap();
        for name in ["link", "link/", "link/.", "dangling", "file"] {
            let error = open(&folder.path().join(name)).unwrap_err();
            assert!(matches!(error, StoreError::Unsafe { .. }), "{name}: {error}");
        }
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        symlink(&real, inner.join("v1")).unwrap();
        assert!(matches!(open(&inner), Err(StoreError::Unsafe { .. })));
        assert_eq!(std::fs::read_dir(&real).unwrap().count(), 0);
    }

    #[test]
    fn only_old_leavings_are_swept_and_held_locks_never() {
        let folder = tempfile::tempdir().unwrap();
        let (_, layout) = open(folder.path()).unwrap();
        let place = |name: &str| layout.base().join(name);
        let names = ["tmp/sandbox-1/stage/x", "tmp/t-1", "locks/free", "locks/held", "damaged/blake3-00-11"];
        std::fs::create_dir_all(place("tmp/sandbox-1/stage")).unwrap();
        for name in names {
            std::fs::write(place(name), "").unwrap();
        }
        let held = Lock::try_take(place("locks/held")).unwrap();
        for (days, kept) in [(0, &names[..]), (2, &["locks/held", "damaged/blake3-00-11"]), (8, &["locks/held"])] {
            layout.sweep(clock::now().0 + days * DAY_MS);
            for name in names {
                assert_eq!(place(name).as_path().exists(), kept.contains(&name), "{name} after {days} days");
            }
        }
        drop(held);
    }
}
