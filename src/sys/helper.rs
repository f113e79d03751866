//! Runs a small helper program: one argument, a little input, a little output, a time limit.
//! In: a program's name and bytes. Out: its output and whether it succeeded. Never: a shell, a helper left behind.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The most that is read from a helper, in bytes.
pub const OUTPUT_LIMIT: u64 = 64 << 10;

/// What a helper left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Whether its exit code was 0.
    pub success: bool,
    /// What it wrote on its standard output.
    pub stdout: Vec<u8>,
}

/// Why a helper gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// No such program in `PATH`.
    #[error("program `{0}` was not found in PATH")]
    Missing(String),
    /// It could not be started or talked to.
    #[error("program `{program}` could not be run: {cause}")]
    Io {
        /// Which.
        program: String,
        /// What the kernel said.
        cause: std::io::Error,
    },
    /// It was stopped.
    #[error("program `{program}` did not finish within {} s", limit.as_secs_f32())]
    TimedOut {
        /// Which.
        program: String,
        /// The limit.
        limit: Duration,
    },
    /// It wrote without end.
    #[error("program `{0}` wrote more than 64 KiB")]
    TooMuch(String),
}

/// Ends a helper and everything that it started.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It fails when the group has already ended, which is what is wanted.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs `program argument`, writes `input` to it, and waits for at most `limit`. Its standard error is not read.
///
/// # Errors
/// [`HelperError`]; an exit code that is not 0 is not an error.
#[allow(clippy::disallowed_methods, reason = "this is the door")]
pub async fn run(program: &str, argument: &str, input: &[u8], limit: Duration) -> Result<Output, HelperError> {
    let failed = |cause: std::io::Error| match cause.kind() {
        std::io::ErrorKind::NotFound => HelperError::Missing(program.to_owned()),
        _ => HelperError::Io { program: program.to_owned(), cause },
    };
    let mut child = tokio::process::Command::new(program)
        .arg(argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let _group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let talk = async {
        let mut bytes = Vec::new();
        let write = async {
            if let Some(mut stdin) = stdin {
                // A helper that answers without reading to the end is within its rights.
                let _ = stdin.write_all(input).await;
            }
        };
        let read = async {
            match stdout {
                Some(stdout) => stdout.take(OUTPUT_LIMIT + 1).read_to_end(&mut bytes).await,
                None => Ok(0),
            }
        };
        let ((), count) = tokio::join!(write, read);
        if count.map_err(failed)? as u64 > OUTPUT_LIMIT {
            return Err(HelperError::TooMuch(program.to_owned()));
        }
        let status = child.wait().await.map_err(failed)?;
        Ok(Output { success: status.success(), stdout: bytes })
    };
    tokio::time::timeout(limit, talk).await.unwrap_or_else(|_| Err(HelperError::TimedOut { program: program.to_owned(), limit }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[allow(clippy::disallowed_methods, reason = "tests set up the machine themselves")]
    fn script(folder: &std::path::Path, text: &str) -> String {
        let path = folder.join("helper");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_helper_gets_its_argument_and_input_and_gives_its_output() {
        let folder = tempfile::tempdir().unwrap();
        let program = script(folder.path(), "printf '%s ' \"$1\"; cat; exit 3");
        let output = run(&program, "get", b"ghcr.io", Duration::from_secs(10)).await.unwrap();
        assert_eq!(output, Output { success: false, stdout: b"get ghcr.io".to_vec() });
    }

    #[tokio::test]
    async fn a_helper_that_hangs_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let program = script(folder.path(), "sleep 600 & echo $! > \"$(dirname \"$0\")/child\"; wait");
        let error = run(&program, "get", b"", Duration::from_millis(500)).await.unwrap_err();
        assert!(matches!(error, HelperError::TimedOut { .. }), "{error}");
        let child = String::from_utf8(crate::sys::file::read(folder.path().join("child"), 100).unwrap()).unwrap();
        let state = || crate::sys::file::read(format!("/proc/{}/stat", child.trim()), 4096).ok();
        let ended = |stat: Vec<u8>| stat.rsplit(|byte| *byte == b')').next().is_some_and(|rest| rest.starts_with(b" Z"));
        for _ in 0..1000 {
            if state().is_none_or(ended) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the helper's child lives on");
    }

    #[tokio::test]
    async fn a_helper_that_is_missing_or_endless_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none");
        assert!(matches!(run(missing.to_str().unwrap(), "get", b"", Duration::from_secs(5)).await, Err(HelperError::Missing(_))));
        let program = script(folder.path(), "yes");
        assert!(matches!(run(&program, "get", b"", Duration::from_secs(20)).await, Err(HelperError::TooMuch(_))));
    }
}
