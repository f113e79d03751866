//! The embedded builder as an engine: bases, images and indexes, without a daemon.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Read};
use std::sync::Arc;

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::digest::BlobDigest;
use crate::base::id::{StepKind, StepName};
use crate::base::path::AbsPath;
use crate::base::platform::Platform;
use crate::base::size::ByteSize;
use crate::base::words;
use crate::event::FailureClass;
use crate::graph::action::{BuildAction, FetchAction};
use crate::image::build::{self, BaseImage, Builder, Built, ImageError};
use crate::image::cache::StoreCache;
use crate::image::layer::Contents;
use crate::image::layout;
use crate::image::take::Stage;
use crate::image::tree::{SourceFile, SourceKind};
use crate::plan::image::{Copy, Elsewhere, ImageDef, Origin};
use crate::registry::error::RegistryError;
use crate::store::result::{ImageResult, OutputEntry, OutputFile};
use crate::sys::file;

use super::{Failure, Job, Machine, Made};

/// Layers carry 1970, so that a commit that changes no file changes no layer.
const LAYER_TIME: i64 = 0;

/// Reads files where they lie in the project; the builder checks their content against the digest.
struct Project<'a>(&'a AbsPath);

impl Contents for Project<'_> {
    fn open(&self, source: &SourceFile) -> io::Result<Box<dyn Read + '_>> {
        file::open(self.0.at(&source.path)).map(|file| Box::new(file) as Box<dyn Read>).map_err(|error| error.cause)
    }
}

/// What a registry did not do.
pub(super) fn refused(error: RegistryError) -> Failure {
    failure(error.diagnostic())
}

/// Turns a fault into a failure: its class, its words with the line of the plan, its help.
pub(super) fn failure(diagnostic: Diagnostic) -> Failure {
    let class = match diagnostic.class {
        Class::Policy => FailureClass::Policy,
        Class::Environment => FailureClass::Environment,
        Class::Internal => FailureClass::Internal,
        Class::Step | Class::Plan | Class::Usage => FailureClass::Step,
    };
    let place =
        diagnostic.labels.first().map_or_else(String::new, |label| format!(" ({}:{})", label.span.source.name, label.span.line_column().0));
    Failure::new(class, format!("{}{place}", diagnostic.message), diagnostic.help)
}

/// Fetches what a `from` names, for one platform, into the store.
pub async fn fetch(machine: &Arc<Machine>, action: &FetchAction) -> Result<Made, Failure> {
    let image = match &action.from {
        Elsewhere::Registry { reference, .. } => {
            let fetched = machine.registries.pull(reference, &action.platform).await.map_err(refused)?;
            ImageResult { descriptor: fetched.descriptor, blobs: fetched.blobs, mutable_base: fetched.mutable }
        }
        Elsewhere::Layout { path, tag, .. } => {
            let (shared, folder, tag, platform) = (Arc::clone(machine), machine.root.at(path), tag.clone(), action.platform.clone());
            let imported = tokio::task::spawn_blocking(move || layout::read_layout(&shared.store, &folder, tag.as_deref(), &platform))
                .await
                .map_err(Failure::disk)?
                .map_err(|error| Failure::new(FailureClass::Step, &error, None))?;
            ImageResult { descriptor: imported.descriptor, blobs: imported.blobs, mutable_base: false }
        }
    };
    let detail = Some(format!("{} {}", image.descriptor.digest.0.short(), words::count(image.blobs.len().saturating_sub(2), "layer")));
    Ok(Made { image: Some(image), detail, ..Made::default() })
}

/// Builds one platform.
pub async fn build(machine: &Arc<Machine>, job: &Job<'_>, action: &BuildAction) -> Result<Made, Failure> {
    let image = |wanted: &dyn Fn(&StepName) -> bool| {
        let found = job.taken.images.iter().find(|(step, _)| wanted(step)).map(|(_, image)| image.descriptor.clone());
        found.ok_or_else(|| Failure::new(FailureClass::Internal, format!("`{}` lacks an image that it needs", job.action.name), None))
    };
    let of = |origin: &Origin, kind: StepKind| match origin {
        Origin::Target { name, .. } => image(&|step| step.target == *name && step.kind == StepKind::Build),
        Origin::Elsewhere(from) => {
            let called = (kind == StepKind::Stage).then(|| from.shown());
            image(&|step| step.kind == kind && step.registry == called)
        }
    };
    let below = action.recipe.base.as_ref().map(|base| of(base, StepKind::Base)).transpose()?;
    let mut sources: Vec<Vec<SourceFile>> = job.taken.files.iter().map(|files| files.iter().map(source).collect()).collect();
    let of_copy = |copy: &Copy| copy.image.as_ref().map(|from| of(from, StepKind::Stage)).transpose();
    let stages = action.recipe.copies().map(of_copy).collect::<Result<Vec<_>, _>>()?;
    let (shared, recipe, epoch) = (Arc::clone(machine), Arc::clone(&action.recipe), action.epoch);
    let mutable_base = action.has_mutable_base();
    let built = tokio::task::spawn_blocking(move || {
        let cache = StoreCache { store: shared.store.clone(), run: shared.run.clone() };
        let contents = Project(&shared.root);
        let builder = Builder { store: &shared.store, contents: &contents, cache: &cache, epoch, mtime: LAYER_TIME };
        let mut read: BTreeMap<BlobDigest, Stage> = BTreeMap::new();
        for ((copy, files), stage) in recipe.copies().zip(&mut sources).zip(stages) {
            let Some(image) = stage else { continue };
            let stage = match read.entry(image.digest) {
                Entry::Occupied(read) => read.into_mut(),
                Entry::Vacant(fresh) => {
                    let image = BaseImage::read(&shared.store, &image)?;
                    fresh.insert(Stage::read(&shared.store, image).map_err(ImageError::Taken)?)
                }
            };
            *files = stage.take(&shared.store, copy).map_err(ImageError::Taken)?;
        }
        drop(read);
        let base = below.map(|descriptor| BaseImage::read(&shared.store, &descriptor)).transpose()?;
        builder.image(&recipe, base.as_ref(), &sources)
    })
    .await
    .map_err(|error| Failure::new(FailureClass::Internal, error, None))?
    .map_err(|error| failure(error.diagnostic(&action.recipe)))?;
    Ok(made(built, mutable_base))
}

/// Joins platforms.
pub fn index(machine: &Machine, job: &Job<'_>, image: &ImageDef) -> Result<Made, Failure> {
    let children: Vec<(Platform, _)> =
        job.taken.images.iter().filter_map(|(name, image)| Some((name.platform.clone()?, image.descriptor.clone()))).collect();
    // In the order of the plan, whatever the order in which they were built.
    let mut ordered = Vec::new();
    for recipe in &image.platforms {
        ordered.extend(children.iter().filter(|(platform, _)| *platform == recipe.platform).cloned());
    }
    let annotations = image.platforms.first().map_or(&[][..], |recipe| recipe.settings.annotations.as_slice());
    let media = image.platforms.first().map_or_else(Default::default, |recipe| recipe.form.media);
    let built =
        build::index(&machine.store, &ordered, annotations, media).map_err(|error| Failure::new(FailureClass::Environment, error, None))?;
    let mutable_base = job.taken.images.iter().any(|(_, image)| image.mutable_base);
    let platforms = words::count(ordered.len(), "platform");
    let mut made = made(built, mutable_base);
    made.detail = made.image.as_ref().map(|image| format!("{} {platforms}", image.descriptor.digest));
    Ok(made)
}

fn made(built: Built, mutable_base: bool) -> Made {
    let detail = Some(format!("{} {}, {}", built.descriptor.digest, words::count(built.layers, "layer"), ByteSize(built.size)));
    Made { image: Some(ImageResult { descriptor: built.descriptor, blobs: built.blobs, mutable_base }), detail, ..Made::default() }
}

fn source(found: &OutputFile) -> SourceFile {
    let kind = match &found.entry {
        OutputEntry::File { digest, size, executable } => SourceKind::File { digest: *digest, size: *size, executable: *executable },
        OutputEntry::Link { target } => SourceKind::Link { target: target.clone() },
        OutputEntry::Folder => SourceKind::Folder,
    };
    SourceFile { path: found.path.clone(), kind, own: None }
}
