//! Reads an image out of an OCI layout: `from "oci:path:tag"`, or an archive of one.
//! In: a directory or an archive that nobody vouches for. Out: one platform's image, every blob in the store. Never: follows a link to
//! a blob, believes a size or a digest that it has not checked, goes deeper than three indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use serde::Deserialize;

use crate::base::digest::{BlobDigest, Sha256};
use crate::base::path::AbsPath;
use crate::base::platform::Platform;
use crate::base::words;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, BadDocument, Document, Index};
use crate::oci::media_type;
use crate::oci::reference::Reference;
use crate::store::blob::StoreError;
use crate::store::local::Store;
use crate::sys::file::{self, FileError};

use super::unarchive::Unarchived;

/// The annotation that holds a tag. Source: image-spec, annotations.md.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation that holds the whole name of an image for container engines. Source: containerd, images/annotations.go.
pub(super) const ENGINE_NAME: &str = "io.containerd.image.name";
/// Indexes within indexes that are followed.
const DEEPEST: usize = 3;

/// Why an image cannot be read from a layout, or written to one.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It is not an OCI layout that kiln knows.
    #[error("`{path}` is not an OCI layout: {reason}")]
    NotALayout {
        /// The directory.
        path: AbsPath,
        /// What is wrong.
        reason: String,
    },
    /// No image has the tag.
    #[error("the layout `{path}` has no image tagged `{tag}`; it has {known}")]
    NoTag {
        /// The directory.
        path: AbsPath,
        /// What was asked for.
        tag: String,
        /// The tags that it has, as a list in words.
        known: String,
    },
    /// Several images fit.
    #[error("the layout `{path}` holds several images; name one of them: {known}")]
    Several {
        /// The directory.
        path: AbsPath,
        /// The tags that it has, as a list in words.
        known: String,
    },
    /// Nothing for the platform.
    #[error("the layout `{path}` has no image for `{platform}`; it has {known}")]
    NoPlatform {
        /// The directory.
        path: AbsPath,
        /// What was asked for.
        platform: Platform,
        /// The platforms that it has, as a list in words.
        known: String,
    },
    /// A blob is not there, or is not a plain file of the announced size.
    #[error("blob {digest} of the layout `{path}` {reason}")]
    Blob {
        /// Which.
        digest: BlobDigest,
        /// The directory.
        path: AbsPath,
        /// What is wrong with it.
        reason: String,
    },
    /// A manifest or an index is malformed.
    #[error("{digest} of the layout `{path}` cannot be used: {cause}")]
    Document {
        /// Which.
        digest: BlobDigest,
        /// The directory.
        path: AbsPath,
        /// What is wrong with it.
        cause: BadDocument,
    },
    /// Indexes within indexes, too deep to be honest.
    #[error("the layout `{path}` nests more than {DEEPEST} indexes")]
    Deep {
        /// The directory.
        path: AbsPath,
    },
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A file of the layout cannot be read or written.
    #[error("{0}")]
    File(#[from] FileError),
}

/// An image of a layout, now in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The manifest's.
    pub descriptor: Descriptor,
    /// Every blob of the image, the manifest included, each once.
    pub blobs: Vec<BlobDigest>,
}

/// Takes the image for `platform` into the store: the one tagged `tag`, or the only one.
///
/// # Errors
/// [`LayoutError`]; blobs that were taken in before the fault stay in the store.
pub fn read_layout(store: &Store, root: &AbsPath, tag: Option<&str>, platform: &Platform) -> Result<Imported, LayoutError> {
    Layout::folder(root).image(store, tag, platform)
}

/// The tags of a layout and what they name; empty when there is no layout yet.
///
/// # Errors
/// [`LayoutError`] when something else is there.
pub fn tags(root: &AbsPath) -> Result<BTreeMap<String, Descriptor>, LayoutError> {
    let index = Layout::folder(root).index()?;
    let entries = index.map_or(Vec::new(), |index| index.manifests);
    Ok(entries.into_iter().filter_map(|entry| Some((entry.annotations.get(REF_NAME)?.clone(), entry))).collect())
}

/// A directory in OCI layout, or an archive of one.
#[derive(Clone, Copy)]
pub struct Layout<'a> {
    pub(super) root: &'a AbsPath,
    /// For an archive what it holds, and the store that has its blobs.
    archive: Option<(&'a Unarchived, &'a Store)>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

impl<'a> Layout<'a> {
    /// A directory.
    #[must_use]
    pub const fn folder(root: &'a AbsPath) -> Self {
        Self { root, archive: None }
    }

    /// An archive whose blobs went to `store`.
    #[must_use]
    pub const fn archive(path: &'a AbsPath, held: &'a Unarchived, store: &'a Store) -> Self {
        Self { root: path, archive: Some((held, store)) }
    }

    /// Takes the image for `platform` into the store: the one tagged `tag`, or the only one.
    ///
    /// # Errors
    /// [`LayoutError`]; blobs that were taken in before the fault stay in the store.
    pub fn image(&self, store: &Store, tag: Option<&str>, platform: &Platform) -> Result<Imported, LayoutError> {
        let mut found = self.choose(&self.listed()?, tag, platform)?;
        for _ in 0..=DEEPEST {
            match self.read(&found)? {
                Document::Index(index) => found = self.for_platform(&index.manifests, platform)?,
                Document::Manifest(manifest) => {
                    let mut seen = BTreeSet::new();
                    let mut blobs = Vec::new();
                    for blob in manifest.layers.iter().chain([&manifest.config, &found]) {
                        if seen.insert(blob.digest) {
                            self.import(store, blob)?;
                            blobs.push(blob.digest);
                        }
                    }
                    return Ok(Imported { descriptor: found, blobs });
                }
            }
        }
        Err(LayoutError::Deep { path: self.root.clone() })
    }

    /// What a tag names (or the only image), and the platforms below it; none where it is one image.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn top(&self, tag: Option<&str>) -> Result<(Descriptor, Vec<Platform>), LayoutError> {
        let found = self.choose(&self.listed()?, tag, &Platform::host())?;
        if !media_type::is_index(&found.media_type) {
            return Ok((found, Vec::new()));
        }
        let Document::Index(index) = self.read(&found)? else { return Ok((found, Vec::new())) };
        let mut platforms: Vec<Platform> = Vec::new();
        for platform in index.manifests.iter().filter_map(|entry| entry.platform.as_ref()?.to_platform()) {
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        Ok((found, platforms))
    }

    /// What it lists that names one of these as its subject, with that subject.
    ///
    /// # Errors
    /// [`LayoutError`] when something else is there, or a manifest is damaged.
    pub fn referrers(&self, subjects: &[BlobDigest]) -> Result<Vec<(Descriptor, BlobDigest)>, LayoutError> {
        let index = self.index()?.map_or(Vec::new(), |index| index.manifests);
        let mut found = Vec::new();
        for entry in index.into_iter().filter(|entry| entry.artifact_type().is_some()) {
            let Document::Manifest(manifest) = self.read(&entry)? else { continue };
            if let Some(subject) = manifest.subject().filter(|subject| subjects.contains(subject)) {
                found.push((entry, subject));
            }
        }
        Ok(found)
    }

    /// A manifest or an index.
    ///
    /// # Errors
    /// [`LayoutError`] when it is not there or damaged.
    pub fn read(&self, descriptor: &Descriptor) -> Result<Document, LayoutError> {
        self.parse(descriptor, &self.small(descriptor)?)
    }

    /// The list of a layout of a version that kiln knows.
    fn listed(&self) -> Result<Index, LayoutError> {
        self.check_version()?;
        self.index()?.ok_or_else(|| self.not_one("it has no `index.json`"))
    }

    /// One of the two files beside the blobs.
    fn document(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, LayoutError> {
        match self.archive {
            Some((held, _)) => Ok(held.document(name).map(<[u8]>::to_vec)),
            None => Ok(file::optional(file::read(self.root.join(name), limit))?),
        }
    }

    pub(super) fn not_one(&self, reason: &str) -> LayoutError {
        LayoutError::NotALayout { path: self.root.clone(), reason: reason.to_owned() }
    }

    fn bad_blob(&self, digest: BlobDigest, reason: impl Into<String>) -> LayoutError {
        LayoutError::Blob { digest, path: self.root.clone(), reason: reason.into() }
    }

    pub(super) fn check_version(&self) -> Result<(), LayoutError> {
        let bytes = self.document("oci-layout", 4_096)?;
        let bytes = bytes.ok_or_else(|| self.not_one("it has no `oci-layout` file"))?;
        let Version { version } = serde_json::from_slice(&bytes).map_err(|_| self.not_one("its `oci-layout` file says no version"))?;
        if version.starts_with("1.") {
            return Ok(());
        }
        let version = words::shorten(&words::visible(&version), 20);
        Err(self.not_one(&format!("its version is `{version}`; kiln knows version 1")))
    }

    pub(super) fn index(&self) -> Result<Option<Index>, LayoutError> {
        let Some(bytes) = self.document("index.json", manifest::LIMIT)? else { return Ok(None) };
        match manifest::read(media_type::INDEX, &bytes) {
            Ok(Document::Index(index)) => Ok(Some(index)),
            Ok(Document::Manifest(_)) => Err(self.not_one("its `index.json` is no index")),
            Err(error) => Err(self.not_one(&format!("its `index.json` cannot be used: {error}"))),
        }
    }

    pub(super) fn blob(&self, digest: BlobDigest) -> AbsPath {
        self.root.join("blobs").join("sha256").join(digest.0.hex())
    }

    fn choose(&self, index: &Index, tag: Option<&str>, platform: &Platform) -> Result<Descriptor, LayoutError> {
        let path = || self.root.clone();
        let fits = |entry: &&Descriptor| tag.is_none_or(|tag| is_named(entry, tag));
        // What goes beside an image is no image.
        let image = |entry: &&Descriptor| entry.artifact_type().is_none();
        let found: Vec<Descriptor> = index.manifests.iter().filter(fits).filter(image).cloned().collect();
        let different: BTreeSet<BlobDigest> = found.iter().map(|entry| entry.digest).collect();
        match (found.as_slice(), different.len(), tag) {
            ([], _, Some(tag)) => Err(LayoutError::NoTag { path: path(), tag: words::visible(tag), known: known_tags(index) }),
            ([], _, None) => Err(self.not_one("it holds no image")),
            ([first, ..], 1, _) => Ok(first.clone()),
            (several, _, _) => {
                let names: BTreeSet<_> = several.iter().map(|entry| entry.annotations.get(REF_NAME)).collect();
                // Some tools put the platforms of one image side by side instead of under an index of their own.
                match self.for_platform(several, platform) {
                    Err(LayoutError::Several { .. }) => Err(LayoutError::Several { path: path(), known: known_tags(index) }),
                    _ if names.len() > 1 => Err(LayoutError::Several { path: path(), known: known_tags(index) }),
                    result => result,
                }
            }
        }
    }

    fn for_platform(&self, entries: &[Descriptor], platform: &Platform) -> Result<Descriptor, LayoutError> {
        let of = |entry: &Descriptor| entry.platform.as_ref().and_then(|object| object.to_platform());
        let mut fits: Vec<&Descriptor> = entries.iter().filter(|entry| of(entry).as_ref() == Some(platform)).collect();
        if fits.is_empty() {
            // An entry that names no platform may be for any; the config says it later.
            fits = entries.iter().filter(|entry| entry.platform.is_none()).collect();
        }
        fits.dedup_by_key(|entry| entry.digest);
        match fits.as_slice() {
            [one] => Ok((*one).clone()),
            [] => {
                let known: Vec<String> = entries.iter().filter_map(of).map(|platform| platform.to_string()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { words::list(&known, "and") };
                Err(LayoutError::NoPlatform { path: self.root.clone(), platform: platform.clone(), known })
            }
            _ => Err(LayoutError::Several { path: self.root.clone(), known: "several have the same platform".to_owned() }),
        }
    }

    fn parse(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<Document, LayoutError> {
        manifest::read(&descriptor.media_type, bytes).map_err(|cause| LayoutError::Document {
            digest: descriptor.digest,
            path: self.root.clone(),
            cause,
        })
    }

    /// Opens a blob that is a plain file of the announced size, in plain folders.
    fn open(&self, descriptor: &Descriptor) -> Result<std::fs::File, LayoutError> {
        let path = self.blob(descriptor.digest);
        for folder in [self.root.join("blobs"), self.root.join("blobs").join("sha256")] {
            if file::optional(file::status(folder))?.is_some_and(|status| status.is_symlink()) {
                return Err(self.bad_blob(descriptor.digest, "lies behind a symbolic link"));
            }
        }
        match file::optional(file::status(&path))? {
            None => Err(self.bad_blob(descriptor.digest, "is missing")),
            Some(status) if !status.is_file() => Err(self.bad_blob(descriptor.digest, "is not a regular file")),
            Some(status) if status.len() != descriptor.size => {
                Err(self.bad_blob(descriptor.digest, format!("has {} bytes, but {} were announced", status.len(), descriptor.size)))
            }
            Some(_) => Ok(file::open(path)?),
        }
    }

    /// A manifest or an index, verified.
    pub(super) fn small(&self, descriptor: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        if descriptor.size > manifest::LIMIT {
            return Err(self.bad_blob(descriptor.digest, "is too large for a manifest"));
        }
        if let Some((held, store)) = self.archive {
            self.held(held, descriptor)?;
            return Ok(store.read(descriptor.digest.0, manifest::LIMIT)?);
        }
        let mut bytes = Vec::new();
        let file = self.open(descriptor)?;
        file::at("read", self.blob(descriptor.digest), file.take(manifest::LIMIT).read_to_end(&mut bytes))?;
        if Descriptor::of("", &bytes).digest != descriptor.digest {
            return Err(self.bad_blob(descriptor.digest, "is damaged: its bytes have another digest"));
        }
        Ok(bytes)
    }

    /// Whether an archive holds a blob, of the announced size.
    fn held(&self, archive: &Unarchived, descriptor: &Descriptor) -> Result<(), LayoutError> {
        match archive.size_of(descriptor.digest) {
            None => Err(self.bad_blob(descriptor.digest, "is missing")),
            Some(size) if size != descriptor.size => {
                Err(self.bad_blob(descriptor.digest, format!("has {size} bytes, but {} were announced", descriptor.size)))
            }
            Some(_) => Ok(()),
        }
    }

    fn import(&self, store: &Store, descriptor: &Descriptor) -> Result<(), LayoutError> {
        if let Some((held, _)) = self.archive {
            return self.held(held, descriptor);
        }
        if store.size_of(descriptor.digest.0) == Some(descriptor.size) {
            return Ok(());
        }
        let path = self.blob(descriptor.digest);
        let mut file = self.open(descriptor)?.take(descriptor.size);
        let mut writer = store.writer::<Sha256>()?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            match file::at("read", &path, file.read(&mut buffer))? {
                0 => break,
                count => file::at("write", store.root(), writer.write_all(&buffer[..count]))?,
            }
        }
        match writer.commit_as(descriptor.digest.0) {
            Err(StoreError::Mismatch { .. }) => Err(self.bad_blob(descriptor.digest, "is damaged: its bytes have another digest")),
            result => Ok(result.map(drop)?),
        }
    }
}

/// Whether an entry has this tag, or this name as engines write it.
fn is_named(entry: &Descriptor, name: &str) -> bool {
    let is_same = |own: Reference| name.parse().is_ok_and(|wanted: Reference| wanted == own);
    entry.annotations.get(REF_NAME).is_some_and(|tag| tag == name)
        || entry.annotations.get(ENGINE_NAME).and_then(|own| own.parse().ok()).is_some_and(is_same)
}

fn known_tags(index: &Index) -> String {
    let tags: Vec<String> =
        index.manifests.iter().filter_map(|entry| entry.annotations.get(REF_NAME)).take(20).map(|tag| words::visible(tag)).collect();
    if tags.is_empty() { "no tags".to_owned() } else { words::list(&tags, "and") }
}
