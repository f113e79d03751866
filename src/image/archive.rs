//! One tar stream that Docker, containerd, Podman and skopeo all load, and that is the same bytes every time.
//! In: an image in the store and its names. Out: a stream. Never: a time, a user, more than a buffer in memory.
//!
//! It is an OCI layout with Docker's `manifest.json` beside it, whose paths point into `blobs/sha256`. Docker before 25 and
//! graph-driver stores read `manifest.json`; containerd stores read `index.json` and take the name from the annotation
//! `io.containerd.image.name`. Docker before 23 reads no zstd: `manifest.json` points to such layers unpacked, which lie beside the
//! packed ones under their own digests. An archive for OCI's readers alone may hold several platforms.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write};

use serde_json::json;

use crate::base::digest::{BlobDigest, Hasher, Sha256};
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, Document, Index};
use crate::oci::media_type;
use crate::oci::reference::Reference;
use crate::store::layer_reader::{self, Limits};
use crate::store::local::Store;

use super::build::{ImageError, read_document};
use super::layout::{ENGINE_NAME, REF_NAME};
use super::publish::{VERSION, blobs_of};
use super::tar::{self, Header, Kind};

/// Why an archive was not written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The image in the store is not complete or not sound.
    #[error("{0}")]
    Image(#[from] ImageError),
    /// A blob cannot be read, or the receiver closed the stream.
    #[error("cannot write the image archive: {0}")]
    Io(#[from] io::Error),
}

/// The ids under which engines know an image of one platform: graph-driver stores by its config, containerd stores by its
/// manifest.
///
/// # Errors
/// [`ImageError`] when the image in the store is not complete or not sound.
pub fn engine_ids(store: &Store, top: &Descriptor) -> Result<[BlobDigest; 2], ImageError> {
    match read_document(store, top)? {
        Document::Manifest(image) => Ok([image.config.digest, top.digest]),
        Document::Index(_) => Err(not_one(top)),
    }
}

fn not_one(top: &Descriptor) -> ImageError {
    ImageError::Document { digest: top.digest, reason: "it is an index; one platform of it is needed".to_owned() }
}

/// Who is to read an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Those of OCI layouts.
    Oci,
    /// Those and every `docker load`; then it holds one platform.
    All,
}

/// Writes an image. For all readers, `top` must name the manifest of one platform. A name without a tag is written as `latest`.
///
/// # Errors
/// [`ArchiveError`]; what was written until then is of no use.
pub fn write_archive(
    store: &Store,
    top: &Descriptor,
    names: &[Reference],
    readers: Readers,
    out: &mut dyn Write,
) -> Result<(), ArchiveError> {
    let docker = match readers {
        Readers::All => Some(DockerPart::of(store, top)?),
        Readers::Oci => None,
    };
    let mut blobs = blobs_of(store, top)?;
    blobs.sort_by_key(|blob| blob.digest);
    let place = |blob: &Descriptor| format!("blobs/sha256/{}", blob.digest.0.hex());
    let names: Vec<(String, String)> = names.iter().map(name_and_tag).collect();
    folder(out, "blobs")?;
    folder(out, "blobs/sha256")?;
    for blob in &blobs {
        let mut reader = store.open_blob::<Sha256>(blob.digest.0).map_err(ImageError::from)?.take(blob.size);
        member(out, &place(blob), blob.size)?;
        if io::copy(&mut reader, out)? != blob.size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("blob {} is too short", blob.digest)).into());
        }
        // The verdict on the bytes comes with the end of the stream.
        io::copy(&mut reader.into_inner(), &mut io::sink())?;
        out.write_all(&tar::END[..tar::padding(blob.size)])?;
    }
    if let Some(docker) = &docker {
        let mut written: BTreeSet<BlobDigest> = blobs.iter().map(|blob| blob.digest).collect();
        for (layer, plain) in docker.layers.iter().filter_map(|(layer, plain)| Some((layer, plain.as_ref()?))) {
            if !written.insert(plain.digest) {
                continue;
            }
            member(out, &place(plain), plain.size)?;
            let size = layer_reader::unpacked(store, layer, Limits::of(layer), out).map_err(ImageError::from)?;
            if size != plain.size {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("layer {} changed", layer.digest)).into());
            }
            out.write_all(&tar::END[..tar::padding(plain.size)])?;
        }
    }
    small(out, "index.json", &manifest::bytes(&index(top, &names)))?;
    if let Some(docker) = docker {
        let part = json!([{
            "Config": place(&docker.config),
            "RepoTags": names.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "Layers": docker.layers.iter().map(|(layer, plain)| place(plain.as_ref().unwrap_or(layer))).collect::<Vec<_>>(),
        }]);
        small(out, "manifest.json", &manifest::bytes(&part))?;
    }
    small(out, "oci-layout", VERSION)?;
    Ok(out.write_all(&tar::END)?)
}

/// What Docker's `manifest.json` points to.
struct DockerPart {
    config: Descriptor,
    /// Each layer; with what it is unpacked, where old engines cannot read it as it is and no other blob is the same.
    layers: Vec<(Descriptor, Option<Descriptor>)>,
}

impl DockerPart {
    fn of(store: &Store, top: &Descriptor) -> Result<Self, ArchiveError> {
        let Document::Manifest(image) = read_document(store, top)? else {
            return Err(not_one(top).into());
        };
        let mut layers: Vec<(Descriptor, Option<Descriptor>)> = Vec::new();
        for layer in &image.layers {
            let known = layers.iter().find(|(known, _)| known.digest == layer.digest).and_then(|(_, plain)| plain.clone());
            let packed = layer.media_type.ends_with("zstd");
            let plain = match known {
                None if packed => {
                    let mut hasher = Hasher::<Sha256>::new();
                    let size = layer_reader::unpacked(store, layer, Limits::of(layer), &mut hasher).map_err(ImageError::from)?;
                    Some(Descriptor::new(media_type::LAYER, BlobDigest(hasher.finish()), size))
                }
                known => known,
            };
            layers.push((layer.clone(), plain));
        }
        Ok(Self { config: image.config, layers })
    }
}

/// One entry per name; without names, the image alone.
fn index(top: &Descriptor, names: &[(String, String)]) -> Index {
    let mut plain = top.clone();
    plain.annotations.clear();
    let named = |(name, tag): &(String, String)| {
        let mut entry = plain.clone();
        entry.annotations.insert(ENGINE_NAME.to_owned(), name.clone());
        entry.annotations.insert(REF_NAME.to_owned(), tag.clone());
        entry
    };
    Index::new(if names.is_empty() { vec![plain.clone()] } else { names.iter().map(named).collect() })
}

fn name_and_tag(reference: &Reference) -> (String, String) {
    let tag = reference.tag.as_ref().map_or("latest", |tag| tag.as_str());
    (format!("{}:{tag}", reference.repository), tag.to_owned())
}

fn folder(out: &mut dyn Write, path: &str) -> io::Result<()> {
    out.write_all(&Header { path: path.as_bytes(), kind: Kind::Folder, mode: 0o755, owner: (0, 0), mtime: 0 }.blocks())
}

fn member(out: &mut dyn Write, path: &str, size: u64) -> io::Result<()> {
    out.write_all(&Header { path: path.as_bytes(), kind: Kind::File(size), mode: 0o644, owner: (0, 0), mtime: 0 }.blocks())
}

fn small(out: &mut dyn Write, path: &str, bytes: &[u8]) -> io::Result<()> {
    let size = bytes.len() as u64;
    member(out, path, size)?;
    out.write_all(bytes)?;
    out.write_all(&tar::END[..tar::padding(size)])
}
