//! A command that is run for what it prints: the value of a `let`, a secret.
//! In: a script, its environment and limits. Out: its standard output, or why there is none with the end of its standard error.
//! Never: the terminal; a process left behind; output beyond the limit.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use crate::base::path::AbsPath;
use crate::base::size::ByteSize;
use crate::base::time::Span;
use crate::sys::cancel::Cancel;
use crate::sys::exit::{How, Stopped};
use crate::sys::process::{self, Io, Limits, Pipe, Spec};
use crate::sys::shims::Shims;

/// How long such a command may take.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// The time between `SIGTERM` and `SIGKILL`.
const GRACE: Duration = Duration::from_secs(2);
/// How much of the end of its standard error is told, in bytes and in lines.
const TAIL: (usize, usize) = (2048, 8);

/// A command and how it is run.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What `sh -c` is handed.
    pub script: &'a str,
    /// Where it runs.
    pub root: &'a AbsPath,
    /// All that it gets.
    pub env: &'a [(OsString, OsString)],
    /// The most bytes that it may print.
    pub limit: u64,
    /// The longest time that it may run.
    pub timeout: Duration,
    /// The wish to stop.
    pub cancel: &'a Cancel,
    /// Where its helper comes from.
    pub shims: &'a Shims,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    /// To follow the command in a message: `ended with exit code 1`.
    pub reason: String,
    /// The last lines of its standard error; may be empty.
    pub tail: String,
}

/// Runs the command and gives what it printed on its standard output. Its thread waits meanwhile.
///
/// # Errors
/// [`NoAnswer`].
pub fn ask(question: &Question<'_>) -> Result<Vec<u8>, NoAnswer> {
    let args = ["-c".into(), question.script.into()];
    let spec = Spec {
        shims: question.shims,
        program: OsStr::new("sh"),
        args: &args,
        env: question.env,
        dir: question.root.as_path(),
        io: Io::Captured,
        hold: None,
    };
    let child = process::spawn(&spec).map_err(|error| NoAnswer { reason: format!("could not be run: {error}"), tail: String::new() })?;
    let limits = Limits { cancel: question.cancel.clone(), timeout: Some(question.timeout), silence: None, grace: GRACE };
    let (mut out, mut err, mut too_much) = (Vec::new(), Vec::new(), false);
    let mut output = |pipe, bytes: &[u8]| {
        match pipe {
            Pipe::Out if too_much || out.len() as u64 + bytes.len() as u64 > question.limit => too_much = true,
            Pipe::Out => out.extend_from_slice(bytes),
            Pipe::Err => {
                err.extend_from_slice(bytes);
                err.drain(..err.len().saturating_sub(TAIL.0));
            }
        }
        !too_much
    };
    let exit = child.wait(&limits, &mut output);
    let reason = match (exit.stopped, exit.how) {
        _ if too_much => format!("printed more than {}", ByteSize(question.limit)),
        (Some(Stopped::TimedOut | Stopped::Silent), _) => format!("did not end within {}", Span(question.timeout)),
        (Some(Stopped::Cancelled), _) => "was stopped".to_owned(),
        (None, How::Code(0)) => return Ok(out),
        (None, how) => format!("failed: {how}"),
    };
    Err(NoAnswer { reason, tail: tail(&err) })
}

fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL.1)..].join("\n")
}
