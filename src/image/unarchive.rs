//! Reads an archive of images: an OCI layout as a tar file, or what `docker save` writes, in its old form and in that since version 25.
//! In: a file that nobody vouches for, also gzip or zstd. Out: its blobs in the store, and what it says of its images.
//! Never: unpacks, follows a link to anything outside, keeps more than its small documents in memory.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use serde::Deserialize;

use crate::base::digest::{BlobDigest, Hasher, Sha256};
use crate::base::path::AbsPath;
use crate::base::words;
use crate::oci::config::Config;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, Manifest};
use crate::oci::media_type;
use crate::oci::reference::Reference;
use crate::store::blob::StoreError;
use crate::store::layer_reader::{self, ArchiveFault, EntryKind, LayerError, Limits, for_each_member};
use crate::store::local::Store;
use crate::sys::file::{self, FileError};

use super::build::BaseImage;

/// The files that say what an archive holds.
const DOCUMENTS: [&str; 3] = ["oci-layout", "index.json", "manifest.json"];
/// Entries of an archive; an image has a few hundred.
const MOST_ENTRIES: u64 = 100_000;
/// Links that are followed from one name of a layer to another.
const MOST_LINKS: usize = 8;

/// What an archive holds; its blobs are in the store.
#[derive(Debug, Default)]
pub struct Unarchived {
    documents: BTreeMap<Vec<u8>, Vec<u8>>,
    files: BTreeMap<Vec<u8>, (BlobDigest, u64)>,
    links: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnarchiveError {
    /// It cannot be opened.
    #[error("{0}")]
    File(#[from] FileError),
    /// It is no sound archive.
    #[error("`{path}` cannot be read: {fault}")]
    Archive {
        /// Which.
        path: AbsPath,
        /// What is wrong.
        fault: ArchiveFault,
    },
    /// It is an archive, but not of an image.
    #[error("`{path}` is no archive of an image: {reason}")]
    NotOne {
        /// Which.
        path: AbsPath,
        /// What is wrong.
        reason: String,
    },
    /// A layer is not sound.
    #[error("{0}")]
    Layer(#[from] LayerError),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Reads an archive in one pass.
///
/// # Errors
/// [`UnarchiveError`]; blobs that were taken in before the fault stay in the store.
pub fn unarchive(store: &Store, path: &AbsPath) -> Result<Unarchived, UnarchiveError> {
    let size = file::status(path)?.len();
    let mut stream = BufReader::with_capacity(64 << 10, file::open(path)?);
    let limits = Limits { entries: MOST_ENTRIES, ..Limits::of_size(size) };
    let mut all = Unarchived::default();
    let read = for_each_member(&mut stream, limits, &mut |header, data| {
        match &header.kind {
            EntryKind::File if DOCUMENTS.iter().any(|name| name.as_bytes() == header.path) => {
                let mut bytes = Vec::new();
                data.take(manifest::LIMIT).read_to_end(&mut bytes)?;
                all.documents.insert(header.path.clone(), bytes);
            }
            EntryKind::File => {
                let mut writer = store.writer::<Sha256>().map_err(io::Error::other)?;
                io::copy(data, &mut writer)?;
                let (digest, size) = writer.commit().map_err(io::Error::other)?;
                all.files.insert(header.path.clone(), (BlobDigest(digest), size));
            }
            EntryKind::HardLink { target } => {
                all.links.insert(header.path.clone(), target.clone());
            }
            EntryKind::Link { target } => {
                all.links.extend(beside(&header.path, target).map(|target| (header.path.clone(), target)));
            }
            _ => {}
        }
        Ok(())
    });
    read.map_err(|fault| UnarchiveError::Archive { path: path.clone(), fault })?;
    Ok(all)
}

/// Where a link leads that stands at `path`; `None` when that is outside.
fn beside(path: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    parts.pop();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"." => {}
            b".." => drop(parts.pop()?),
            // An absolute one begins with an empty part.
            b"" => return None,
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

impl Unarchived {
    /// Whether it is an OCI layout.
    #[must_use]
    pub fn is_layout(&self) -> bool {
        self.document("oci-layout").is_some() && self.document("index.json").is_some()
    }

    /// One of the files that say what it holds.
    #[must_use]
    pub fn document(&self, name: &str) -> Option<&[u8]> {
        self.documents.get(name.as_bytes()).map(Vec::as_slice)
    }

    /// The size of a blob that it holds as a layout does.
    #[must_use]
    pub fn size_of(&self, digest: BlobDigest) -> Option<u64> {
        let (found, size) = self.files.get(format!("blobs/sha256/{}", digest.0.hex()).as_bytes())?;
        (*found == digest).then_some(*size)
    }

    /// The images that Docker's list names.
    ///
    /// # Errors
    /// [`UnarchiveError::NotOne`] when there is no such list.
    pub fn listed(&self, path: &AbsPath) -> Result<Vec<Listed>, UnarchiveError> {
        let not_one = |reason: String| UnarchiveError::NotOne { path: path.clone(), reason };
        let list = self.document("manifest.json").ok_or_else(|| not_one("it has no `index.json` and no `manifest.json`".to_owned()))?;
        serde_json::from_slice(list).map_err(|error| not_one(format!("its `manifest.json` cannot be used: {error}")))
    }

    /// One of these images. There is no manifest of it: what is here is made of the list. Its descriptor is that of its config, which is
    /// its id for Docker.
    ///
    /// # Errors
    /// [`UnarchiveError`] when the list names what is not there or not sound.
    pub fn image(&self, store: &Store, path: &AbsPath, listed: Listed) -> Result<BaseImage, UnarchiveError> {
        let not_one = |reason: String| UnarchiveError::NotOne { path: path.clone(), reason };
        let file = |name: &str| {
            self.file(name.as_bytes()).ok_or_else(|| {
                let name = words::shorten(&words::visible(name), 100);
                not_one(format!("its `manifest.json` names `{name}`, which is not in it"))
            })
        };
        let (digest, size) = file(&listed.config)?;
        let config: Config = serde_json::from_slice(&store.read(digest.0, manifest::LIMIT)?)
            .map_err(|error| not_one(format!("its config cannot be used: {error}")))?;
        let ids = &config.rootfs.diff_ids;
        if ids.len() != listed.layers.len() {
            let (layers, ids) = (words::count(listed.layers.len(), "layer"), ids.len());
            return Err(not_one(format!("its `manifest.json` lists {layers}, but the config {ids}")));
        }
        let mut layers = Vec::new();
        for (name, id) in listed.layers.iter().zip(ids) {
            let (digest, size) = file(name)?;
            let layer = Descriptor::new(media_type::DOCKER_LAYER, digest, size);
            // Layers lie there unpacked, under the digest that the config has; some tools pack them.
            if digest.0 != id.0 {
                let mut hasher = Hasher::<Sha256>::new();
                layer_reader::unpacked(store, &layer, Limits::of(&layer), &mut hasher)?;
                if hasher.finish() != id.0 {
                    return Err(not_one(format!("`{}` is not the layer that the config names", words::visible(name))));
                }
            }
            layers.push(layer);
        }
        let descriptor = Descriptor::new(media_type::DOCKER_CONFIG, digest, size);
        let manifest = Manifest::of_type(media_type::DOCKER_MANIFEST, descriptor.clone(), layers);
        Ok(BaseImage { descriptor, manifest, config })
    }

    fn file(&self, name: &[u8]) -> Option<(BlobDigest, u64)> {
        let mut name = name;
        for _ in 0..MOST_LINKS {
            match self.files.get(name) {
                Some(found) => return Some(*found),
                None => name = self.links.get(name)?,
            }
        }
        None
    }
}

/// One image of Docker's list. Source: moby, image/spec/spec.md.
#[derive(Debug, Deserialize)]
pub struct Listed {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags")]
    names: Option<Vec<String>>,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

impl Listed {
    /// Its names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        self.names.as_deref().unwrap_or_default()
    }

    /// Whether it is meant by a tag or by a whole name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        let wanted = name.parse::<Reference>().ok();
        let is_meant = |own: Reference| own.tag.as_ref().is_some_and(|tag| tag.as_str() == name) || wanted.as_ref() == Some(&own);
        self.names().iter().filter_map(|own| own.parse().ok()).any(is_meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_its_neighbour_and_never_outside() {
        for (path, target, expected) in [
            ("a/layer.tar", "../b/layer.tar", Some("b/layer.tar")),
            ("a", "./b", Some("b")),
            ("a", "../b", None),
            ("a/b", "../../c", None),
            ("a/b", "/etc/passwd", None),
        ] {
            assert_eq!(beside(path.as_bytes(), target.as_bytes()).as_deref(), expected.map(str::as_bytes), "{path} -> {target}");
        }
    }

    #[test]
    fn a_saved_image_is_meant_by_its_tag_or_its_whole_name() {
        let names = Some(vec!["acme/web:1.4".to_owned(), "nonsense name".to_owned()]);
        let saved = Listed { config: String::new(), names, layers: Vec::new() };
        for (name, expected) in
            [("1.4", true), ("acme/web:1.4", true), ("docker.io/acme/web:1.4", true), ("web:1.4", false), ("1", false), ("", false)]
        {
            assert_eq!(saved.is_named(name), expected, "{name}");
        }
    }
}
