//! What kiln remembers of all projects of this user: one folder each, below the cache folder.
//! In: the cache folder. Out: which steps have which keys, which blobs their records name, how often work was saved.
//! Never: a word of a project whose folder cannot be read.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use crate::base::digest::{ActionKey, ContentDigest};
use crate::base::id::StepKind;
use crate::base::path::AbsPath;
use crate::event::{Ended, Event};
use crate::record::history::StepHistory;
use crate::record::journal::Journal;
use crate::sys::lock::Lock;
use crate::sys::stat::Stat;
use crate::sys::{clock, file};

use super::settings;

/// The file of a project's folder that holds the path of its root.
const ROOT: &str = "root";

/// One project.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its folder below the cache folder.
    pub dir: AbsPath,
    /// Where its sources lie; unknown when an older kiln made the folder.
    pub root: Option<PathBuf>,
}

/// What the runs of all projects say.
#[derive(Debug, Default)]
pub struct Past {
    /// Runs on record.
    pub runs: u64,
    /// Steps that ran.
    pub ran: u64,
    /// Steps that did not have to.
    pub cached: u64,
    /// What those took when they ran, in milliseconds.
    pub saved_ms: u64,
    /// Blobs that records name.
    pub remembered: HashSet<ContentDigest>,
    /// Which steps had which key last, with their project.
    pub steps: BTreeMap<ActionKey, Vec<String>>,
}

/// Writes down where a project lies, once, and clears what killed kilns left half-written beside it.
pub fn note(dir: &AbsPath, root: &AbsPath) {
    use std::os::unix::ffi::OsStrExt as _;
    file::remove_abandoned(dir, |name| name.starts_with(file::TEMPORARY.as_bytes()));
    let place = dir.join(ROOT);
    if file::status(&place).is_err() {
        // It only helps to name the project in a list.
        let _ = file::write_atomic(&place, root.as_path().as_os_str().as_bytes(), false);
    }
}

/// All projects that have a folder here.
pub fn all(cache: &AbsPath) -> Vec<Project> {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let folder = cache.join(settings::PROJECTS);
    let names = file::names(&folder).unwrap_or_default();
    let project = |name: Vec<u8>| {
        let dir = folder.join(std::ffi::OsStr::from_bytes(&name));
        let root = file::read(dir.join(ROOT), 1 << 16).ok().map(|bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes)));
        Project { dir, root }
    };
    names.into_iter().filter(|name| !name.starts_with(b".")).map(project).collect()
}

impl Project {
    /// What a list calls it.
    pub fn name(&self) -> String {
        let path = self.root.as_deref().unwrap_or_else(|| self.dir.as_path());
        crate::base::words::visible(&path.to_string_lossy())
    }

    /// Whether its sources are no longer where they were.
    pub fn is_gone(&self) -> bool {
        self.root.as_ref().is_some_and(|root| file::optional(file::status(root)).is_ok_and(|status| status.is_none()))
    }

    /// Its stat cache.
    pub fn stat_cache(&self) -> AbsPath {
        self.dir.join(settings::STATS)
    }

    /// Removes the folder when nothing in it was written for `age_s` seconds and no kiln writes it now.
    pub fn forget_when_older(&self, age_s: u64, dry: bool) -> bool {
        use std::os::unix::ffi::OsStrExt as _;
        let Ok(names) = file::names(&self.dir) else { return false };
        let paths: Vec<AbsPath> = names.iter().map(|name| self.dir.join(std::ffi::OsStr::from_bytes(name))).collect();
        let oldest = (i128::from(clock::now().0) - i128::from(age_s) * 1_000) * 1_000_000;
        let old = |path: &AbsPath| file::status(path).is_ok_and(|status| Stat::of(&status).modified < oldest);
        if !paths.iter().chain([&self.dir]).all(old) {
            return false;
        }
        if dry {
            return true;
        }
        // Who begins a run at this very moment makes the folder anew.
        let Ok(Some(_lock)) = Lock::try_take(self.dir.join(".forget")) else { return false };
        paths.iter().for_each(|path| drop(file::remove(path)));
        drop(_lock);
        file::remove_empty_dir(&self.dir).unwrap_or(false)
    }
}

/// Reads every record of every project. What cannot be read says nothing.
pub fn past(projects: &[Project]) -> Past {
    let mut past = Past::default();
    for project in projects {
        for (step, record) in StepHistory::load(project.dir.as_path()).iter() {
            past.remembered.extend(record.manifest.iter().chain(&record.log));
            if let Some(key) = record.key {
                past.steps.entry(key).or_default().push(format!("{step} ({})", project.name()));
            }
        }
        let Ok(journal) = Journal::open(project.dir.as_path()) else { continue };
        for run in journal.runs().unwrap_or_default() {
            past.runs += 1;
            journal.read(&run).unwrap_or_default().iter().for_each(|event| past.take(event));
        }
    }
    past
}

impl Past {
    fn take(&mut self, event: &Event) {
        match event {
            Event::StepEnded { step, ended, manifest, log, .. } => {
                self.remembered.extend(manifest.iter().chain(log));
                match ended {
                    _ if step.kind == StepKind::Group => {}
                    Ended::Cached { .. } => self.cached += 1,
                    Ended::Done | Ended::Failed { .. } => self.ran += 1,
                    Ended::Skipped { .. } | Ended::Cancelled => {}
                }
            }
            Event::RunEnded { saved_ms, .. } => self.saved_ms += saved_ms,
            _ => {}
        }
    }
}
