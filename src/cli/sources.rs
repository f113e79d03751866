//! The documents that a plan includes, from the files of the project.

use std::path::Path;
use std::sync::Arc;

use crate::base::diagnostic::Source;
use crate::base::path::AbsPath;
use crate::plan::include::{IncludeSource, Sources, Unavailable};
use crate::syntax;
use crate::syntax::document::Document;
use crate::sys::file;

/// The project's files.
pub struct Files<'a> {
    /// The project's root, all links on the way to it resolved.
    pub root: &'a AbsPath,
    /// The folder that names on screens are relative to.
    pub here: &'a AbsPath,
}

impl Files<'_> {
    /// The text at a place.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub fn source(&self, place: &IncludeSource) -> Result<Arc<Source>, Unavailable> {
        let IncludeSource::Local(path) = place else {
            return Err(Unavailable::Unreadable("this kiln includes only files of the project".to_owned()));
        };
        let path = self.root.at(path);
        let unreadable = |error: file::FileError| {
            if error.is_missing() { Unavailable::Missing } else { Unavailable::Unreadable(error.cause.to_string()) }
        };
        let real = file::canonical(&path).map_err(unreadable)?;
        if !real.starts_with(self.root.as_path()) {
            return Err(Unavailable::Outside);
        }
        let bytes = file::read(&real, syntax::LIMIT as u64 + 1).map_err(unreadable)?;
        syntax::check_file_bytes(&shown(&path, self.here), &bytes).map_err(|fault| Unavailable::Text(fault.into()))
    }
}

impl Sources for Files<'_> {
    fn document(&self, place: &IncludeSource) -> Result<Document, Unavailable> {
        syntax::parse(self.source(place)?).map_err(Unavailable::Text)
    }
}

/// The name of a file on screens: relative to the working directory where it lies below it.
pub fn shown(path: &AbsPath, here: &AbsPath) -> String {
    let path: &Path = path.as_path();
    path.strip_prefix(here.as_path()).unwrap_or(path).to_string_lossy().into_owned()
}
