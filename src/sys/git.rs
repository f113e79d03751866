//! Questions to git. It is called, not linked: two milliseconds a question, and it knows every repository format.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::base::path::AbsPath;
use crate::base::words;

use super::file;

/// Why git gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git` in PATH.
    #[error("git is not installed, or not in PATH")]
    Missing,
    /// It refused, for instance because another user owns the repository.
    #[error("git says: {0}")]
    Refused(String),
}

/// Asks git in `dir`; gives the trimmed answer, or `None` when the question has none (no repository, no commit, no tag).
/// Nothing is locked, nobody is prompted, and no program that the repository's configuration names is started.
///
/// # Errors
/// [`GitError`].
pub fn ask(dir: &AbsPath, question: &[&str]) -> Result<Option<String>, GitError> {
    // Nobody needs git to know that there is no repository.
    if !is_in_repository(dir) {
        return Ok(None);
    }
    let answer = command(dir, question).stdin(Stdio::null()).output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => GitError::Missing,
        _ => GitError::Refused(error.to_string()),
    })?;
    if answer.status.success() {
        return Ok(Some(String::from_utf8_lossy(&answer.stdout).trim().to_owned()));
    }
    let said = String::from_utf8_lossy(&answer.stderr);
    if said.contains("dubious ownership") {
        return Err(GitError::Refused(words::shorten(&words::visible(said.lines().next().unwrap_or_default()), 300)));
    }
    Ok(None)
}

/// Whether git may know something of a folder: a repository, also a bare one, is there or above, or the environment names one.
fn is_in_repository(dir: &AbsPath) -> bool {
    let mut at = Some(dir.clone());
    while let Some(folder) = at {
        if [".git", "HEAD"].iter().any(|name| file::status(folder.join(name)).is_ok()) {
            return true;
        }
        at = folder.parent();
    }
    std::env::var_os("GIT_DIR").is_some()
}

/// Asks git in `dir` for bytes, and hands it `input`. Otherwise as [`ask`].
///
/// # Errors
/// [`GitError`]: a question that has no answer is refused here, with git's own first line.
pub fn bytes(dir: &AbsPath, question: &[&str], input: &[u8]) -> Result<Vec<u8>, GitError> {
    let refused = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => GitError::Missing,
        _ => GitError::Refused(error.to_string()),
    };
    let mut child = command(dir, question).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(refused)?;
    let stdin = child.stdin.take();
    let answer = std::thread::scope(|scope| {
        // Git answers while it reads: whoever writes all before reading anything would wait for it for ever.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        child.wait_with_output()
    });
    let answer = answer.map_err(refused)?;
    if answer.status.success() {
        return Ok(answer.stdout);
    }
    let said = String::from_utf8_lossy(&answer.stderr);
    Err(GitError::Refused(words::shorten(&words::visible(said.lines().next().unwrap_or_default()), 300)))
}

fn command(dir: &AbsPath, question: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-optional-locks"])
        .args(question)
        .current_dir(dir)
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0");
    command
}
