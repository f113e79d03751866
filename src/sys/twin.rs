//! A second home for a project, and kiln run in it under other circumstances.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use crate::base::path::AbsPath;

use super::env;
use super::file::{self, FileError, at};

/// What is different for a child.
#[derive(Debug, Clone, Default)]
pub struct Circumstances<'a> {
    /// Variables that are set in its environment.
    pub env: &'a [(&'a str, &'a str)],
    /// Its umask, octal.
    pub umask: Option<&'a str>,
    /// The user and group that it has, in a user namespace of its own.
    pub user: Option<u32>,
}

/// Copies a file with its mode, a link as a link, a folder without what is in it. `dated` is the time that the copy bears, in
/// seconds since 1970.
///
/// # Errors
/// [`FileError`]; a file that is not there is none.
pub fn copy(from: &AbsPath, to: &AbsPath, dated: Option<u64>) -> Result<(), FileError> {
    let Some(status) = file::optional(file::status(from))? else { return Ok(()) };
    if let Some(folder) = to.as_path().parent() {
        file::create_dirs(folder)?;
    }
    if status.is_symlink() {
        return file::link(to, &file::read_link(from)?);
    }
    if status.is_dir() {
        return file::create_dirs(to);
    }
    if !status.is_file() {
        return Ok(());
    }
    at("copy", from, std::fs::copy(from, to))?;
    if let Some(seconds) = dated {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        // A file that its owner may not write to keeps the time of the copy.
        let _ = std::fs::File::options().write(true).open(to).and_then(|file| file.set_modified(time));
    }
    Ok(())
}

/// Whether a child can have another user here.
#[must_use]
pub fn can_be(user: u32) -> bool {
    let tried = Command::new("unshare").args(as_user(user)).arg("true").stdin(Stdio::null()).output();
    tried.is_ok_and(|tried| tried.status.success())
}

fn as_user(user: u32) -> [String; 4] {
    ["--user".to_owned(), format!("--map-user={user}"), format!("--map-group={user}"), "--".to_owned()]
}

/// Runs this kiln with these words in `folder` until it ends, and keeps what it says.
///
/// # Errors
/// When it cannot be started.
pub fn kiln(words: &[OsString], folder: &Path, circumstances: &Circumstances<'_>) -> io::Result<Output> {
    let mut before: Vec<OsString> = Vec::new();
    if let Some(umask) = circumstances.umask {
        before.extend(["sh", "-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask].map(OsString::from));
    }
    if let Some(user) = circumstances.user {
        before.push("unshare".into());
        before.extend(as_user(user).map(OsString::from));
    }
    before.push(env::current_exe()?.as_path().into());
    let (program, rest) = before.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(rest).args(words).current_dir(folder).stdin(Stdio::null());
    // What the user prefers for kiln's screen is not for a screen that nobody sees; the cache is named by the words.
    command.env_remove("KILN_CACHE_DIR").env_remove("CLICOLOR_FORCE").envs(circumstances.env.iter().copied());
    command.output()
}
