//! What lies below a folder: each folder is opened once, and what is taken in it costs one call by its name.
//! In: a folder of a project, and who judges names. Out: what is taken, with what the kernel says of it, in no order. Never: follows
//! a link below the folder, keeps a folder open longer than it is listed, leaves something out because it could not be read.

use std::ffi::{CStr, CString};
use std::io;

use rayon::prelude::*;
use rustix::fs::FileType;

use crate::base::path::RelPath;

use super::file::FileError;
use super::folder::Folder;
use super::tree::Tree;
use super::walk::{Entry, WalkError, reserved};

/// With fewer folders one thread is done before another has begun.
const FEW_FOLDERS: usize = 16;
/// As many names of one folder one thread looks at.
const FEW_NAMES: usize = 1_024;

/// What to do with a name.
pub struct Verdict {
    /// Whether it is an entry.
    pub take: bool,
    /// Whether what lies below it may be one.
    pub enter: bool,
}

/// Lists what lies below `base`. `judge` is told of each path whether it is a folder.
pub fn below(tree: &Tree, base: &RelPath, judge: &(dyn Fn(&RelPath, bool) -> Verdict + Sync)) -> Vec<Result<Entry, WalkError>> {
    let top = match tree.open_folder(base) {
        Ok(top) => top,
        Err(fault) => return vec![Err(fault.into())],
    };
    let listing = Listing { tree, base, top, judge };
    let mut found = Vec::new();
    let mut open = vec![base.clone()];
    while !open.is_empty() {
        let list = |folder: &RelPath| listing.list(folder);
        let listed: Vec<Listed> =
            if open.len() < FEW_FOLDERS { open.iter().map(list).collect() } else { open.par_iter().map(list).collect() };
        open.clear();
        for Listed { entries, folders } in listed {
            found.extend(entries);
            open.extend(folders);
        }
    }
    found
}

struct Listing<'a> {
    tree: &'a Tree,
    base: &'a RelPath,
    top: Folder,
    judge: &'a (dyn Fn(&RelPath, bool) -> Verdict + Sync),
}

/// What one folder gave.
#[derive(Default)]
struct Listed {
    entries: Vec<Result<Entry, WalkError>>,
    /// Folders to list next.
    folders: Vec<RelPath>,
}

impl Listing<'_> {
    fn list(&self, path: &RelPath) -> Listed {
        let mut listed = Listed::default();
        if let Err(cause) = self.list_to(path, &mut listed) {
            listed.entries.push(Err(self.fault("list", path, cause)));
        }
        listed
    }

    fn list_to(&self, path: &RelPath, listed: &mut Listed) -> io::Result<()> {
        let folder = self.top.open(&path.below(self.base).unwrap_or_else(RelPath::root))?;
        if let Some(account) = self.tree.account().filter(|_| path != self.base) {
            // The folder itself changes with the names in it.
            account.saw(path, Some(folder.own_status()?));
        }
        let mut taken = Vec::new();
        folder.names(|name, kind| {
            if !reserved(name.to_bytes()) {
                self.take(&folder, path, name, kind, listed, &mut taken);
            }
        })?;
        let look = |(path, name): (RelPath, CString)| self.look(&folder, path, &name);
        if taken.len() < FEW_NAMES {
            listed.entries.extend(taken.into_iter().map(look));
        } else {
            listed.entries.par_extend(taken.into_par_iter().with_min_len(FEW_NAMES / 4).map(look));
        }
        Ok(())
    }

    fn take(
        &self,
        folder: &Folder,
        above: &RelPath,
        name: &CStr,
        kind: FileType,
        listed: &mut Listed,
        taken: &mut Vec<(RelPath, CString)>,
    ) {
        let path = match above.child(name.to_bytes()) {
            Ok(path) => path,
            Err(why) => {
                let shown = self.tree.root().at(above).join(name.to_string_lossy().as_ref());
                return listed.entries.push(Err(WalkError::Path { path: crate::base::words::visible(&shown.to_string()), why }));
            }
        };
        // Some file systems do not keep the kind beside the name.
        let is_folder = match kind {
            FileType::Unknown => folder.status(name).is_ok_and(|(kind, _)| kind == super::stat::Kind::Folder),
            known => known == FileType::Directory,
        };
        let verdict = (self.judge)(&path, is_folder);
        if verdict.enter {
            listed.folders.push(path.clone());
        }
        if verdict.take {
            taken.push((path, name.to_owned()));
        }
    }

    fn look(&self, folder: &Folder, path: RelPath, name: &CStr) -> Result<Entry, WalkError> {
        let (kind, stat) = folder.status(name).map_err(|cause| self.fault("look at", &path, cause))?;
        if let Some(account) = self.tree.account() {
            account.saw(&path, Some(stat));
        }
        Ok(Entry { path, kind, stat })
    }

    fn fault(&self, act: &'static str, path: &RelPath, cause: io::Error) -> WalkError {
        FileError { act, path: self.tree.root().at(path).as_path().to_owned(), cause }.into()
    }
}
