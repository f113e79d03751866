//! Images: layers, config and manifest for one platform, and the index over several.
//! In: a recipe, its base, its files by digest. Out: blobs in the store and the descriptor that names them.
//! Never: unpacks or recompresses a base's layer, reads a file whose layer is known, asks the clock.
//!
//! A base may be Docker's or OCI's; the image is as the recipe says, OCI's unless it says otherwise. Layer types are translated as
//! BuildKit does, since the bytes mean the same; digests, sizes, annotations and unknown types stay. Manifests carry
//! `org.opencontainers.image.base.digest` and, when the base has a name in a registry, `….base.name`.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::digest::BlobDigest;
use crate::base::platform::Platform;
use crate::base::words;
use crate::oci::config::Config;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, BadDocument, Document, Index, Manifest};
use crate::oci::media_type;
use crate::plan::image::{Compression, Elsewhere, Media, Origin, Recipe};
use crate::store::blob::StoreError;
use crate::store::layer_reader::LayerError;
use crate::store::local::Store;

use super::cache::{LayerCache, ground_key, layer_key};
use super::config::{self, ConfigError, Made};
use super::ground::Ground;
use super::layer::{Contents, Layer, WriteError, write_layer};
use super::tree::{self, Entry, SourceFile, TreeError};

/// What all images of one build share.
pub struct Builder<'a> {
    /// Where blobs go.
    pub store: &'a Store,
    /// How files are read.
    pub contents: &'a dyn Contents,
    /// What was made before.
    pub cache: &'a dyn LayerCache,
    /// `created` of config and history, in seconds since 1970.
    pub epoch: i64,
    /// The time of every entry in a layer, in seconds. With 0, a layer stays the same when only the epoch moves.
    pub mtime: i64,
}

/// A base image whose blobs are in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseImage {
    /// The manifest's.
    pub descriptor: Descriptor,
    /// For the recipe's platform.
    pub manifest: Manifest,
    /// What the manifest names.
    pub config: Config,
}

/// An image or an index in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The manifest's or the index's; a manifest's says its platform.
    pub descriptor: Descriptor,
    /// Every blob that it needs, itself included, each once.
    pub blobs: Vec<BlobDigest>,
    /// The sum of their sizes.
    pub size: u64,
    /// Layers, those of the base included.
    pub layers: usize,
    /// Layers that had to be written.
    pub written: usize,
}

/// Why an image was not built.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A copy cannot be laid out.
    #[error("{error}")]
    Tree {
        /// Its place among the recipe's copies.
        copy: usize,
        /// What is wrong.
        error: TreeError,
    },
    /// A layer cannot be written.
    #[error("{error}")]
    Write {
        /// The place of its copy among the recipe's.
        copy: usize,
        /// What is wrong.
        error: WriteError,
    },
    /// The base's config does not fit.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The image that a copy takes from cannot be read.
    #[error("the image that `copy` takes files from cannot be read: {0}")]
    Taken(LayerError),
    /// A layer of the base cannot be read.
    #[error("the base image cannot be built upon: {0}")]
    Layer(#[from] LayerError),
    /// A manifest, index or config is malformed.
    #[error("{digest} cannot be used: {reason}")]
    Document {
        /// Which.
        digest: BlobDigest,
        /// What is wrong with it.
        reason: String,
    },
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl ImageError {
    /// The fault as it is shown, with the place of the copy that it belongs to.
    #[must_use]
    pub fn diagnostic(&self, recipe: &Recipe) -> Diagnostic {
        let (class, code) = match self {
            Self::Tree { .. } => (Class::Step, "image::copy"),
            Self::Write { error: WriteError::Order { .. }, .. } => (Class::Internal, "image::layer"),
            Self::Write { error: WriteError::Read { .. } | WriteError::Changed { .. }, .. } => (Class::Step, "image::source"),
            Self::Write { .. } | Self::Store(_) => (Class::Environment, "image::store"),
            Self::Config(_) | Self::Layer(_) | Self::Taken(_) | Self::Document { .. } => (Class::Step, "image::base"),
        };
        let diagnostic = Diagnostic::new(class, code, self.to_string());
        match self {
            Self::Tree { copy, .. } | Self::Write { copy, .. } => match recipe.copies().nth(*copy) {
                Some(node) => diagnostic.label(&node.span, "this copy"),
                None => diagnostic,
            },
            _ => diagnostic,
        }
    }
}

impl BaseImage {
    /// Reads the manifest that `descriptor` names, and its config, from the store.
    ///
    /// # Errors
    /// [`ImageError::Document`] when it is not an image with as many diff ids as layers; [`ImageError::Store`].
    pub fn read(store: &Store, descriptor: &Descriptor) -> Result<Self, ImageError> {
        let Document::Manifest(manifest) = read_document(store, descriptor)? else {
            return Err(bad(descriptor.digest, "it is an index; one platform of it is needed"));
        };
        let bytes = store.read(manifest.config.digest.0, manifest::LIMIT)?;
        let config: Config = serde_json::from_slice(&bytes).map_err(|error| bad(manifest.config.digest, &error.to_string()))?;
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            let reason = format!("its manifest lists {}, but its config {diff_ids}", words::count(layers, "layer"));
            return Err(bad(descriptor.digest, &reason));
        }
        Ok(Self { descriptor: descriptor.clone(), manifest, config })
    }
}

fn bad(digest: BlobDigest, reason: &str) -> ImageError {
    ImageError::Document { digest, reason: reason.to_owned() }
}

/// Reads a manifest or an index from the store.
pub(super) fn read_document(store: &Store, descriptor: &Descriptor) -> Result<Document, ImageError> {
    let bytes = store.read(descriptor.digest.0, manifest::LIMIT)?;
    manifest::read(&descriptor.media_type, &bytes).map_err(|error: BadDocument| bad(descriptor.digest, &error.to_string()))
}

impl Builder<'_> {
    /// Builds the image of one recipe. `sources` has, for each copy, the files that its patterns select.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn image(&self, recipe: &Recipe, base: Option<&BaseImage>, sources: &[Vec<SourceFile>]) -> Result<Built, ImageError> {
        let (layers, written) = self.layers(recipe, base, sources)?;
        let by = config::words_of_layers(recipe);
        let form = Words::of(recipe.form.media);
        let made: Vec<Made> = by.into_iter().zip(&layers).map(|(by, layer)| Made { diff_id: layer.diff_id, by }).collect();
        let config = config::compose(base.map(|base| &base.config), &recipe.settings, &recipe.platform, &made, self.epoch)?;
        let platform = config::platform_of(&recipe.platform, &config);
        let config = put(self.store, form.config, &manifest::bytes(&config))?;
        let below = base.map_or(&[][..], |base| base.manifest.layers.as_slice()).iter().cloned();
        let all = below.chain(layers.into_iter().map(|layer| layer.descriptor)).map(|layer| form.layer(layer)).collect();
        let mut document = Manifest::of_type(form.manifest, config, all);
        if recipe.form.media == Media::Oci {
            document.annotations = annotations(recipe, base);
        }
        let mut descriptor = put(self.store, form.manifest, &manifest::bytes(&document))?;
        descriptor.platform = Some(platform);
        Ok(Built { written, ..account(&descriptor, &[(descriptor.clone(), document)]) })
    }

    fn layers(&self, recipe: &Recipe, base: Option<&BaseImage>, sources: &[Vec<SourceFile>]) -> Result<(Vec<Layer>, usize), ImageError> {
        let mut ground = match base {
            Some(base) if !recipe.layers.is_empty() => self.ground(&base.manifest.layers)?,
            _ => Ground::default(),
        };
        let mut content: Vec<Vec<Entry>> = Vec::new();
        // The first copy of each layer, for the place of a fault.
        let mut firsts = Vec::new();
        let mut copy = 0;
        for group in recipe.groups() {
            firsts.push(copy);
            let mut together = Vec::new();
            for node in group {
                let files = sources.get(copy).map_or(&[][..], Vec::as_slice);
                let entries = tree::entries(node, files, &ground).map_err(|error| ImageError::Tree { copy, error })?;
                ground.absorb(&entries);
                together.push(entries);
                copy += 1;
            }
            content.push(united(together));
        }
        if recipe.squash && !content.is_empty() {
            content = vec![united(content)];
        }
        let (mut layers, mut written) = (Vec::new(), 0);
        for (copy, entries) in firsts.into_iter().zip(&content) {
            let layer = self.layer(entries, recipe.form.compression);
            let (layer, is_new) = layer.map_err(|error| ImageError::Write { copy, error })?;
            layers.push(layer);
            written += usize::from(is_new);
        }
        Ok((layers, written))
    }

    fn ground(&self, layers: &[Descriptor]) -> Result<Ground, ImageError> {
        let key = ground_key(layers);
        if let Some(known) = self.cache.ground(key) {
            return Ok(known);
        }
        let ground = Ground::of_layers(self.store, layers)?;
        self.cache.keep_ground(key, &ground);
        Ok(ground)
    }

    fn layer(&self, entries: &[Entry], compression: Compression) -> Result<(Layer, bool), WriteError> {
        let key = layer_key(entries, self.mtime, compression);
        if let Some(layer) = self.cache.layer(key)
            && self.store.size_of(layer.descriptor.digest.0) == Some(layer.descriptor.size)
        {
            return Ok((layer, false));
        }
        let layer = write_layer(self.store, entries, self.contents, self.mtime, compression)?;
        self.cache.keep_layer(key, &layer);
        Ok((layer, true))
    }
}

/// The media types of one of the two forms.
struct Words {
    media: Media,
    index: &'static str,
    manifest: &'static str,
    config: &'static str,
}

impl Words {
    const fn of(media: Media) -> Self {
        match media {
            Media::Oci => Self { media, index: media_type::INDEX, manifest: media_type::MANIFEST, config: media_type::CONFIG },
            Media::Docker => {
                Self { media, index: media_type::DOCKER_LIST, manifest: media_type::DOCKER_MANIFEST, config: media_type::DOCKER_CONFIG }
            }
        }
    }

    fn layer(&self, layer: Descriptor) -> Descriptor {
        let own = match self.media {
            Media::Oci => media_type::layer_in_oci(&layer.media_type),
            Media::Docker => media_type::layer_in_docker(&layer.media_type),
        };
        Descriptor { media_type: own.to_owned(), ..layer }
    }
}

/// The content of several copies or layers as one, as if they lay over each other: what stands in the place of a folder hides what
/// the folder held.
fn united(mut layers: Vec<Vec<Entry>>) -> Vec<Entry> {
    if layers.len() == 1 {
        return layers.remove(0);
    }
    let mut all: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
    for entry in layers.into_iter().flatten() {
        if !entry.is_folder() {
            for below in super::ground::below(&all, &entry.path) {
                all.remove(&below);
            }
        }
        all.insert(entry.path.clone(), entry);
    }
    all.into_values().collect()
}

/// Joins the manifests of several platforms under one index, in the order given.
///
/// # Errors
/// [`ImageError`] when one of them is not an image in the store.
pub fn index(
    store: &Store,
    images: &[(Platform, Descriptor)],
    annotations: &[(String, String)],
    media: Media,
) -> Result<Built, ImageError> {
    let (mut children, mut entries) = (Vec::new(), Vec::new());
    for (platform, descriptor) in images {
        let Document::Manifest(manifest) = read_document(store, descriptor)? else {
            return Err(bad(descriptor.digest, "it is an index, but an image was expected"));
        };
        let mut entry = Descriptor::new(&descriptor.media_type, descriptor.digest, descriptor.size);
        entry.platform = Some(descriptor.platform.clone().unwrap_or_else(|| platform.into()));
        children.push((entry.clone(), manifest));
        entries.push(entry);
    }
    let form = Words::of(media);
    let mut document = Index::of_type(form.index, entries);
    document.annotations = annotations.iter().cloned().collect();
    let descriptor = put(store, form.index, &manifest::bytes(&document))?;
    Ok(account(&descriptor, &children))
}

/// Counts what an image, or an index over several, consists of.
fn account(top: &Descriptor, images: &[(Descriptor, Manifest)]) -> Built {
    let mut built = Built { descriptor: top.clone(), blobs: Vec::new(), size: 0, layers: 0, written: 0 };
    let mut seen = BTreeSet::new();
    let mut add = |descriptor: &Descriptor| {
        if seen.insert(descriptor.digest) {
            built.blobs.push(descriptor.digest);
            built.size += descriptor.size;
        }
    };
    for (descriptor, manifest) in images {
        manifest.layers.iter().for_each(&mut add);
        add(&manifest.config);
        add(descriptor);
        built.layers += manifest.layers.len();
    }
    add(top);
    built
}

fn put(store: &Store, media_type: &str, bytes: &[u8]) -> Result<Descriptor, StoreError> {
    let digest = store.put(bytes)?;
    Ok(Descriptor::new(media_type, BlobDigest(digest), bytes.len() as u64))
}

fn annotations(recipe: &Recipe, base: Option<&BaseImage>) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    if let Some(base) = base {
        annotations.insert("org.opencontainers.image.base.digest".to_owned(), base.descriptor.digest.to_string());
        if let Some(Origin::Elsewhere(Elsewhere::Registry { reference, .. })) = &recipe.base {
            let mut name = reference.clone();
            name.digest = None;
            annotations.insert("org.opencontainers.image.base.name".to_owned(), name.to_string());
        }
    }
    annotations.extend(recipe.settings.annotations.iter().cloned());
    annotations
}
