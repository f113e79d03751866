//! Writes an image into a file or a folder: the same bytes every time, whole or not at all.
//! In: an image in the store, a place, a name. Out: an OCI layout or an archive. Never: a half-written archive under its name.

use std::io::{BufWriter, Write as _};

use crate::base::path::AbsPath;
use crate::oci::descriptor::Descriptor;
use crate::oci::reference::Reference;
use crate::plan::image::SaveForm;
use crate::store::local::Store;
use crate::sys::file::{self, FileError};

use super::archive::{ArchiveError, Readers, write_archive};
use super::publish::{self, Check, PublishError, blobs_of};

/// Why an image was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The layout could not be written.
    #[error("{0}")]
    Publish(#[from] PublishError),
    /// The archive could not be written.
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    /// The disk failed.
    #[error("{0}")]
    File(#[from] FileError),
}

/// Writes the image and gives the number of its bytes.
///
/// # Errors
/// [`SaveError`]; an archive is as it was then.
pub fn save(store: &Store, top: &Descriptor, place: &AbsPath, form: SaveForm, name: &Reference) -> Result<u64, SaveError> {
    let readers = match form {
        SaveForm::Layout => {
            publish::publish_blobs(store, top, place, Check::Digest)?;
            publish::publish_tags(place, top, &name.tag.iter().cloned().collect::<Vec<_>>())?;
            let blobs = blobs_of(store, top).map_err(PublishError::from)?;
            return Ok(blobs.iter().map(|blob| blob.size).sum());
        }
        SaveForm::Oci => Readers::Oci,
        SaveForm::Docker => Readers::All,
    };
    let folder = place.as_path().parent().unwrap_or(place.as_path());
    file::create_dirs(folder)?;
    let temporary = file::temporary(folder, file::TEMPORARY, 0o600)?;
    let mut out = BufWriter::with_capacity(256 << 10, temporary);
    write_archive(store, top, std::slice::from_ref(name), readers, &mut out)?;
    file::at("write", place, out.flush())?;
    let temporary = file::at("write", place, out.into_inner().map_err(std::io::IntoInnerError::into_error))?;
    let size = file::at("read", place, temporary.as_file().metadata())?.len();
    file::set_mode(temporary.path(), 0o644)?;
    file::at("write", place, temporary.persist(place).map_err(|error| error.error))?;
    Ok(size)
}
