//! The project as a task behind walls sees it: a folder with a place for each input, and empty folders for what it makes.
//! In: inputs and folders that are written to. Out: that folder, what is shown in it, what stood in it before. Never: a copy of a
//! file; a folder shown as a whole in which something stands that is not declared.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::path::{AbsPath, RelPath};
use crate::engine::Machine;
use crate::store::result::{OutputEntry, OutputFile};
use crate::sys::file::{self, FileError};
use crate::sys::stat::Kind;

/// What was laid.
pub(super) struct Laid {
    /// Files and folders of the project that are shown at their places.
    pub(super) shown: Vec<RelPath>,
    /// All that stands in the folder before the task begins.
    pub(super) skeleton: Vec<RelPath>,
}

/// A folder of inputs, by name.
#[derive(Default)]
struct Folder<'a> {
    folders: BTreeMap<&'a [u8], Folder<'a>>,
    entries: BTreeMap<&'a [u8], &'a OutputFile>,
}

struct Lay<'a> {
    root: &'a AbsPath,
    stage: &'a AbsPath,
    /// Folders that are written to, with those above them.
    open: BTreeSet<RelPath>,
    laid: Laid,
}

/// Lays `stage` out.
///
/// # Errors
/// [`FileError`]: a full disk.
pub(super) fn lay(
    machine: &Machine,
    stage: &AbsPath,
    inputs: &[&OutputFile],
    writable: &[RelPath],
    dir: &RelPath,
) -> Result<Laid, FileError> {
    let mut top = Folder::default();
    for input in inputs {
        let mut folder = &mut top;
        let mut words = input.path.as_bytes().split(|byte| *byte == b'/').peekable();
        while let Some(word) = words.next() {
            if words.peek().is_some() {
                folder = folder.folders.entry(word).or_default();
            } else if matches!(input.entry, OutputEntry::Folder) {
                folder.folders.entry(word).or_default();
            } else {
                folder.entries.insert(word, input);
            }
        }
    }
    let mut open = BTreeSet::from([RelPath::root()]);
    for path in writable {
        let mut at = Some(path.clone());
        while let Some(path) = at {
            at = path.parent();
            open.insert(path);
        }
    }
    let mut lay = Lay { root: &machine.root, stage, open, laid: Laid { shown: Vec::new(), skeleton: Vec::new() } };
    lay.folder(&RelPath::root(), &top)?;
    for path in writable.iter().chain([dir]) {
        lay.make(path)?;
    }
    Ok(lay.laid)
}

impl Lay<'_> {
    fn make(&mut self, path: &RelPath) -> Result<(), FileError> {
        file::create_dirs(self.stage.at(path))?;
        let mut at = Some(path.clone()).filter(|path| !path.is_root());
        while let Some(path) = at {
            at = path.parent().filter(|path| !path.is_root());
            self.laid.skeleton.push(path);
        }
        Ok(())
    }

    fn folder(&mut self, path: &RelPath, folder: &Folder<'_>) -> Result<(), FileError> {
        self.make(path)?;
        if !self.open.contains(path) && self.is_whole(path, folder) {
            self.laid.shown.push(path.clone());
            return Ok(());
        }
        for input in folder.entries.values() {
            let at = self.stage.at(&input.path);
            match &input.entry {
                OutputEntry::Link { target } => file::link(at, target)?,
                _ => {
                    drop(file::append(at)?);
                    self.laid.shown.push(input.path.clone());
                }
            }
            self.laid.skeleton.push(input.path.clone());
        }
        for (name, below) in &folder.folders {
            if let Ok(path) = path.join(name) {
                self.folder(&path, below)?;
            }
        }
        Ok(())
    }

    /// Whether all that stands in a folder of the project is declared.
    fn is_whole(&self, path: &RelPath, folder: &Folder<'_>) -> bool {
        let Ok(names) = file::names(self.root.at(path)) else { return false };
        let known = |name: &Vec<u8>| match (folder.entries.contains_key(name.as_slice()), folder.folders.get(name.as_slice())) {
            (true, _) => true,
            (false, Some(below)) => path.join(name).is_ok_and(|path| !self.open.contains(&path) && self.is_whole(&path, below)),
            (false, None) => false,
        };
        names.len() == folder.entries.len() + folder.folders.len() && names.iter().all(known)
    }
}

/// What a task left in its stage that it may not leave, sorted; a folder stands for all that is in it.
///
/// # Errors
/// [`FileError`] when the stage cannot be read.
pub(super) fn left(stage: &AbsPath, skeleton: &[RelPath], may_leave: &dyn Fn(&RelPath) -> bool) -> Result<Vec<RelPath>, FileError> {
    let skeleton: BTreeSet<&RelPath> = skeleton.iter().collect();
    let mut found = Vec::new();
    let mut open = vec![RelPath::root()];
    while let Some(folder) = open.pop() {
        for name in file::names(stage.at(&folder))? {
            let Ok(path) = folder.join(&name) else { continue };
            if may_leave(&path) {
                continue;
            }
            let is_folder = Kind::of(&file::status(stage.at(&path))?) == Kind::Folder;
            match (is_folder, skeleton.contains(&path)) {
                (true, _) => open.push(path),
                (false, true) => {}
                (false, false) => found.push(path),
            }
        }
    }
    found.sort();
    Ok(found)
}
