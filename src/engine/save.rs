//! Save steps: an image goes into files and folders of the project.

use std::sync::Arc;

use crate::base::size::ByteSize;
use crate::base::words;
use crate::image::save::{self, SaveError};
use crate::plan::image::ImageDef;

use super::{Failure, Job, Machine, Made};

/// Writes every file and folder that the image asks for.
pub async fn save(machine: &Arc<Machine>, job: &Job<'_>, image: &Arc<ImageDef>) -> Result<Made, Failure> {
    let top = super::root_image(job)?.1.descriptor.clone();
    let (shared, image) = (Arc::clone(machine), Arc::clone(image));
    let written = tokio::task::spawn_blocking(move || {
        let mut bytes = 0;
        for one in &image.saves {
            let Some(path) = one.output.pattern.literal() else { continue };
            bytes += save::save(&shared.store, &top, &shared.root.at(path), one.form, &one.name)?;
        }
        Ok::<_, SaveError>((image.saves.len(), bytes))
    });
    let (count, bytes) = written.await.map_err(Failure::disk)?.map_err(|error| match error {
        SaveError::Publish(error) => super::publish::unpublished(error),
        SaveError::Archive(_) | SaveError::File(_) => Failure::disk(error),
    })?;
    Ok(Made { detail: Some(format!("{}, {}", words::count(count, "place"), ByteSize(bytes))), ..Made::default() })
}
