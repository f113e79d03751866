//! The folder of runs: one file per run, one JSON line per event, each chained to the line before it.
//! In: events as they happen. Out: lines on disk, whole or absent. Never: an output of a step (its log is a blob that
//! the journal names), a second file for one run, more than [`KEPT`] runs.
//!
//! A line is written with one call on a file opened to append, so a crash leaves at most one torn line at the end, which
//! readers ignore. Nothing waits for the disk: a journal is a memory, not a promise.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::digest::{Blake3, Digest};
use crate::base::id::RunId;
use crate::base::words;
use crate::event::Event;
use crate::sys::file::{self, FileError};

use super::SCHEMA;

/// How many runs are kept.
pub const KEPT: usize = 50;
/// What the file of a run ends with.
const SUFFIX: &str = ".jsonl";

/// A journal that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk.
    #[error(transparent)]
    File(#[from] FileError),
    /// No run of that name can exist.
    #[error("`{}` is not the name of a run", words::shorten(&words::visible(.0), 60))]
    BadName(String),
    /// No run of that name is kept.
    #[error("no run `{0}` is on record")]
    Unknown(RunId),
    /// The file is of another version of kiln.
    #[error("the record of run `{0}` was written by another version of kiln")]
    OtherVersion(RunId),
    /// Two runs took the same name.
    #[error("run `{0}` is already on record")]
    Exists(RunId),
}

/// One line of a run's file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line<E> {
    /// On the first line alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<u64>,
    /// The digest of the line before, without its line feed; on the first line, of the run's name.
    pub prev: Digest<Blake3>,
    /// What happened.
    #[serde(flatten)]
    pub event: E,
}

/// The folder of runs.
#[derive(Debug, Clone)]
pub struct Journal {
    dir: PathBuf,
}

impl Journal {
    /// Opens the folder; makes it where it is missing.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be made.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, FileError> {
        let dir = dir.into();
        file::create_dirs(&dir)?;
        Ok(Self { dir })
    }

    /// Begins the record of a run and drops the oldest ones beyond [`KEPT`].
    ///
    /// # Errors
    /// [`JournalError::Exists`], [`JournalError::BadName`], [`JournalError::File`].
    pub fn begin(&self, run: &RunId) -> Result<RunLog, JournalError> {
        let path = self.path(run)?;
        if file::optional(file::status(&path))?.is_some() {
            return Err(JournalError::Exists(run.clone()));
        }
        let file = file::append(&path)?;
        // Tells a kiln that tidies up at this moment that the run still writes. Where locks are not supported, none is needed:
        // the newest runs are never dropped.
        let _ = file.try_lock();
        self.tidy()?;
        Ok(RunLog { file, path, prev: seed(run), started: false })
    }

    /// The runs on record, newest first.
    ///
    /// # Errors
    /// [`FileError`] when the folder cannot be listed.
    pub fn runs(&self) -> Result<Vec<RunId>, FileError> {
        let names = file::optional(file::names(&self.dir))?.unwrap_or_default();
        let mut runs: Vec<RunId> = names
            .into_iter()
            .filter_map(|name| String::from_utf8(name).ok()?.strip_suffix(SUFFIX).map(|id| RunId(id.to_owned())))
            .filter(is_sound)
            .collect();
        runs.sort_unstable_by(|a, b| b.cmp(a));
        Ok(runs)
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn path(&self, run: &RunId) -> Result<PathBuf, JournalError> {
        if is_sound(run) { Ok(self.dir.join(format!("{run}{SUFFIX}"))) } else { Err(JournalError::BadName(run.0.clone())) }
    }

    /// Removes the oldest runs, except those that another kiln still writes.
    fn tidy(&self) -> Result<(), FileError> {
        for run in self.runs()?.into_iter().skip(KEPT) {
            let path = self.dir.join(format!("{run}{SUFFIX}"));
            let Some(held) = file::optional(file::open(&path))? else { continue };
            if held.try_lock().is_ok() {
                file::optional(file::remove(&path))?;
            }
        }
        Ok(())
    }
}

/// Whether a name can be a file's: digits, letters and dashes.
fn is_sound(run: &RunId) -> bool {
    !run.0.is_empty() && run.0.len() <= 64 && run.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// What the first line of a run is chained to.
pub(super) fn seed(run: &RunId) -> Digest<Blake3> {
    Digest::of(format!("kiln journal {SCHEMA}\n{run}").as_bytes())
}

/// The record of the run that happens now.
#[derive(Debug)]
pub struct RunLog {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) prev: Digest<Blake3>,
    started: bool,
}

impl RunLog {
    /// Appends one event. Output is left out: the log that [`Event::StepEnded`] names has every byte of it.
    ///
    /// # Errors
    /// [`FileError`] when the disk refuses.
    pub fn append(&mut self, event: &Event) -> Result<(), FileError> {
        if matches!(event, Event::Output { .. }) {
            return Ok(());
        }
        let schema = (!std::mem::replace(&mut self.started, true)).then_some(SCHEMA);
        let line = serde_json::to_string(&Line { schema, prev: self.prev, event });
        let mut line = file::at("write", &self.path, line.map_err(std::io::Error::other))?;
        self.prev = Digest::of(line.as_bytes());
        line.push('\n');
        file::at("write", &self.path, self.file.write_all(line.as_bytes()))
    }
}
