//! The texts that a plan is made of: its files, its lock, and the files whose content is a value of it.
//! In: paths. Out: whether their content is what it was. Never: times.

use std::collections::BTreeMap;

use crate::base::digest::{Blake3, Digest};
use crate::base::path::{AbsPath, RelPath};
use crate::report::watch::ChangedFile;
use crate::sys::file;

use crate::cli::open;
use crate::cli::settings::Settings;
use crate::cli::sources;

/// Texts and the digests of their content; `None` for one that is not there.
#[derive(Debug, Clone)]
pub(super) struct Texts(BTreeMap<AbsPath, Option<Digest<Blake3>>>);

impl Texts {
    /// The texts of a plan as they are now, also of one with faults.
    pub(super) fn of(settings: &Settings) -> Self {
        Self::read(open::documents(settings))
    }

    /// With the files that became values.
    pub(super) fn and(mut self, settings: &Settings, values: &[RelPath]) -> Self {
        self.0.extend(Self::read(values.iter().map(|path| settings.root.at(path))).0);
        self
    }

    fn read(paths: impl IntoIterator<Item = AbsPath>) -> Self {
        Self(paths.into_iter().map(|path| (path.clone(), content(&path))).collect())
    }

    /// The folders that they lie in.
    pub(super) fn folders(&self) -> impl Iterator<Item = AbsPath> {
        self.0.keys().filter_map(AbsPath::parent)
    }

    /// Those that are others now.
    pub(super) fn changes(&self, settings: &Settings) -> Vec<ChangedFile> {
        let change = |(path, before): (&AbsPath, &Option<Digest<Blake3>>)| {
            let became = match (before, content(path)) {
                (None, Some(_)) => "is new",
                (Some(_), None) => "is gone",
                (before, now) if *before != now => "changed",
                _ => return None,
            };
            Some(ChangedFile { path: sources::shown(path, &settings.here), became, steps: Vec::new() })
        };
        self.0.iter().filter_map(change).collect()
    }
}

fn content(path: &AbsPath) -> Option<Digest<Blake3>> {
    file::read(path, crate::syntax::LIMIT as u64 + 1).ok().map(|bytes| Digest::of(&bytes))
}
