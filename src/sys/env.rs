//! The environment that kiln was started in.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::base::path::AbsPath;

/// A variable, when it is set and not empty.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the door")]
pub fn var_os(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// A variable, when it is set, not empty and UTF-8.
#[must_use]
pub fn var(name: &str) -> Option<String> {
    var_os(name).and_then(|value| value.into_string().ok())
}

/// A variable as it is, also an empty one: whoever hands it on cannot know what emptiness means.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the door")]
pub fn exact(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The folder of this user's settings: `$XDG_CONFIG_HOME`, or `~/.config`. Source: XDG Base Directory Specification 0.8.
#[must_use]
pub fn config_folder() -> Option<PathBuf> {
    let own = var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    own.or_else(|| Some(PathBuf::from(var_os("HOME")?).join(".config")))
}

/// All variables.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the door")]
pub fn all() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// The directory that kiln was started in.
///
/// # Errors
/// When it was removed meanwhile.
#[allow(clippy::disallowed_methods, reason = "this is the door")]
pub fn current_dir() -> std::io::Result<AbsPath> {
    let dir = std::env::current_dir()?;
    AbsPath::new(dir).ok_or_else(|| std::io::Error::other("the working directory is not absolute"))
}

/// The program that runs now.
///
/// # Errors
/// When the kernel does not tell.
#[allow(clippy::disallowed_methods, reason = "this is the door")]
pub fn current_exe() -> std::io::Result<AbsPath> {
    AbsPath::new(std::env::current_exe()?).ok_or_else(|| std::io::Error::other("the program's path is not absolute"))
}

/// The directory for short-lived files.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the door")]
pub fn temp_dir() -> PathBuf {
    std::env::temp_dir()
}
