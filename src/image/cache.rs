//! Layers are actions: what goes into one makes its key, and an unchanged one is not read again.
//! In: entries by digest. Out: a key, and the layer that was made for it. Never: trusts a record whose blob is gone.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::canon::{HashSink, Sink as _};
use crate::base::digest::{ActionKey, Blake3, ContentDigest};
use crate::base::id::RunId;
use crate::oci::descriptor::Descriptor;
use crate::plan::image::Compression;
use crate::store::local::Store;
use crate::store::result::{ActionResult, ImageResult};

use super::ground::Ground;
use super::layer::Layer;
use super::tree::{Entry, SourceKind};

/// Names the encoding of a layer's key and the form of its bytes; a change to either needs a new number.
const fn layer_domain(compression: Compression) -> &'static str {
    match compression {
        Compression::Gzip => "kiln image layer 1: ustar+pax, gzip 1 in members of 1 MiB",
        Compression::Zstd => "kiln image layer 1: ustar+pax, zstd 3 in frames of 2 MiB",
    }
}
/// Names the encoding of what is known of a base's folders.
const GROUND_DOMAIN: &str = "kiln image ground 1";
/// The largest record that is read, in bytes.
const LIMIT: u64 = 256 << 20;

/// Remembers what was made; forgetting is always allowed.
pub trait LayerCache {
    /// The layer that was made for `key`.
    fn layer(&self, key: ActionKey) -> Option<Layer>;
    /// Remembers a layer; failing to is no fault.
    fn keep_layer(&self, key: ActionKey, layer: &Layer);
    /// What is known of the folders of the base with this key.
    fn ground(&self, key: ActionKey) -> Option<Ground>;
    /// Remembers the folders of a base.
    fn keep_ground(&self, key: ActionKey, ground: &Ground);
}

/// The key of a layer: everything that its bytes depend on.
#[must_use]
pub fn layer_key(entries: &[Entry], mtime: i64, compression: Compression) -> ActionKey {
    let mut sink = HashSink::new(layer_domain(compression));
    sink.field("mtime", &mtime.to_le_bytes());
    for entry in entries {
        sink.open("entry");
        sink.field("path", &entry.path);
        sink.field("mode", &entry.mode.to_le_bytes());
        sink.field("uid", &entry.owner.0.to_le_bytes());
        sink.field("gid", &entry.owner.1.to_le_bytes());
        match &entry.source.kind {
            SourceKind::File { digest, size, .. } => {
                sink.field("file", digest.0.as_bytes());
                sink.field("size", &size.to_le_bytes());
            }
            SourceKind::Link { target } => sink.field("link", target),
            SourceKind::Folder => sink.flag("folder", true),
        }
        sink.close();
    }
    ActionKey(sink.finish())
}

/// The key of what a base's layers leave: their digests in order.
#[must_use]
pub fn ground_key(layers: &[Descriptor]) -> ActionKey {
    let mut sink = HashSink::new(GROUND_DOMAIN);
    let digests: Vec<&[u8; 32]> = layers.iter().map(|layer| layer.digest.0.as_bytes()).collect();
    sink.list("layers", &digests);
    ActionKey(sink.finish())
}

/// Remembers in the store's action cache.
#[derive(Debug, Clone)]
pub struct StoreCache {
    /// Where.
    pub store: Store,
    /// The run that its records are signed with.
    pub run: RunId,
}

impl StoreCache {
    fn find<T: DeserializeOwned>(&self, key: ActionKey, name: &str) -> Option<T> {
        let result = self.store.result(key).ok()??;
        let (_, digest) = result.documents.iter().find(|(own, _)| own == name)?;
        serde_json::from_slice(&self.store.read::<Blake3>(digest.0, LIMIT).ok()?).ok()
    }

    fn keep<T: Serialize>(&self, key: ActionKey, name: &str, value: &T, image: Option<ImageResult>) -> Option<()> {
        let digest = self.store.put::<Blake3>(&serde_json::to_vec(value).ok()?).ok()?;
        let result = ActionResult {
            run: self.run.clone(),
            took_ms: 0,
            outputs: Vec::new(),
            image: image.map(Box::new),
            documents: vec![(name.to_owned(), ContentDigest(digest))],
            log: None,
            detail: None,
        };
        self.store.record(key, &result).ok()
    }
}

impl LayerCache for StoreCache {
    fn layer(&self, key: ActionKey) -> Option<Layer> {
        self.find(key, "layer")
    }
    fn keep_layer(&self, key: ActionKey, layer: &Layer) {
        // Naming the blob in the record is what keeps the collector from it.
        let blobs = vec![layer.descriptor.digest];
        let image = ImageResult { descriptor: layer.descriptor.clone(), blobs, mutable_base: false };
        let _ = self.keep(key, "layer", layer, Some(image));
    }
    fn ground(&self, key: ActionKey) -> Option<Ground> {
        self.find(key, "ground")
    }
    fn keep_ground(&self, key: ActionKey, ground: &Ground) {
        let _ = self.keep(key, "ground", ground, None);
    }
}
