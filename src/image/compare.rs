//! Where two images differ: in their documents, field by field, and in their layers, file by file.
//! In: two images whose blobs are in stores. Out: differences in one order. Never: says that two are the same whose digests differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::base::words;
use crate::oci::descriptor::Descriptor;
use crate::oci::media_type;
use crate::store::layer_reader::{EntryKind, LayerError};
use crate::store::local::Store;

use super::build::BaseImage;
use super::contents::{Contents, Item, MOST_ENTRIES, read_layer};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Where: `config.Env`, `annotations`, `layer 2`, `layer 2: /app`, `/app`.
    pub place: String,
    /// What it is on the left; none where it is not there.
    pub before: Option<String>,
    /// What it is on the right.
    pub after: Option<String>,
    /// Bytes that the right one has more.
    pub bytes: i64,
}

/// The longest text of a value.
const LONGEST: usize = 200;

/// The fields of two configs and manifests that differ, apart from layers and history.
#[must_use]
pub fn documents(before: &BaseImage, after: &BaseImage) -> Vec<Difference> {
    let config = |image: &BaseImage| {
        let mut value = serde_json::to_value(&image.config).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            // Layers are compared as such, and the history says which nodes made them.
            fields.remove("rootfs");
        }
        value
    };
    let mut found = Vec::new();
    values("config", &config(before), &config(after), &mut found);
    // What comes from an archive of Docker's has no manifest of its own.
    if [before, after].iter().any(|image| !media_type::is_manifest(&image.descriptor.media_type)) {
        return found;
    }
    let manifest = |image: &BaseImage| {
        let manifest = &image.manifest;
        serde_json::json!({ "mediaType": manifest.media_type, "annotations": manifest.annotations })
    };
    values("manifest", &manifest(before), &manifest(after), &mut found);
    found
}

/// Compares two JSON values and notes the innermost places at which they differ.
fn values(place: &str, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let (a, b) = (a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null));
                values(&format!("{place}.{name}"), a, b, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.iter().chain(b).any(Value::is_object) => {
            for at in 0..a.len().max(b.len()) {
                values(&format!("{place}[{at}]"), a.get(at).unwrap_or(&Value::Null), b.get(at).unwrap_or(&Value::Null), found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => {
            let text = |value: &Value| match value {
                Value::Null => None,
                Value::String(text) => Some(words::shorten(&words::visible(text), LONGEST)),
                other => Some(words::shorten(&words::visible(&other.to_string()), LONGEST)),
            };
            found.push(Difference { place: place.to_owned(), before: text(a), after: text(b), bytes: 0 });
        }
    }
}

/// The files of two images as containers see them.
#[must_use]
pub fn files(before: &Contents, after: &Contents) -> Vec<Difference> {
    let [before, after] = [before, after].map(|side| side.files.iter().map(|(path, (_, item))| (path, item)).collect());
    entries("", &before, &after)
}

/// Compares layer by layer: which have other bytes, and at which files and fields.
///
/// # Errors
/// [`LayerError`] of a layer that cannot be read.
pub fn layers(before: (&Store, &BaseImage), after: (&Store, &BaseImage)) -> Result<Vec<Difference>, LayerError> {
    let (one, two) = (&before.1.manifest.layers, &after.1.manifest.layers);
    let mut found = Vec::new();
    for at in 0..one.len().max(two.len()) {
        let place = format!("layer {}", at + 1);
        match (one.get(at), two.get(at)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => {
                found.extend(layer(&place, (before.0, a, before.1), (after.0, b, after.1), at)?);
            }
            (a, b) => {
                let text = |layer: Option<&Descriptor>| layer.map(|layer| layer.digest.to_string());
                let size = |layer: Option<&Descriptor>| layer.map_or(0, |layer| signed(layer.size));
                found.push(Difference { place, before: text(a), after: text(b), bytes: size(b) - size(a) });
            }
        }
    }
    Ok(found)
}

fn layer(
    place: &str,
    before: (&Store, &Descriptor, &BaseImage),
    after: (&Store, &Descriptor, &BaseImage),
    at: usize,
) -> Result<Vec<Difference>, LayerError> {
    let read = |(store, layer, _): (&Store, &Descriptor, &BaseImage)| {
        let mut left = MOST_ENTRIES;
        if store.size_of(layer.digest.0).is_none() { Ok(None) } else { read_layer(store, layer, &mut left).map(Some) }
    };
    let (Some(one), Some(two)) = (read(before)?, read(after)?) else {
        let (one, two) = (before.1.digest.to_string(), after.1.digest.to_string());
        return Ok(vec![Difference {
            place: place.to_owned(),
            before: Some(one),
            after: Some(two),
            bytes: signed(after.1.size) - signed(before.1.size),
        }]);
    };
    let mut found = entries(&format!("{place}: "), &one.items.iter().collect(), &two.items.iter().collect());
    let marks = |hides: &[Vec<u8>]| hides.iter().map(|path| format!("/{}", shown(path))).collect::<Vec<_>>().join(" ");
    for (name, a, b) in [("hides", &one.hides, &two.hides), ("opaque", &one.opaque, &two.opaque)] {
        if a != b {
            let text = |paths: &[Vec<u8>]| Some(words::shorten(&marks(paths), LONGEST));
            found.push(Difference { place: format!("{place}: {name}"), before: text(a), after: text(b), bytes: 0 });
        }
    }
    if found.is_empty() {
        let diff = |image: &BaseImage| image.config.rootfs.diff_ids.get(at).copied();
        let what = if diff(before.2) == diff(after.2) {
            if before.1.digest == after.1.digest { "described otherwise" } else { "packed otherwise" }
        } else {
            "archived otherwise: the order, the times or the form of headers"
        };
        let text = |layer: &Descriptor| Some(format!("{} ({what})", layer.digest));
        found.push(Difference {
            place: place.to_owned(),
            before: text(before.1),
            after: text(after.1),
            bytes: signed(after.1.size) - signed(before.1.size),
        });
    }
    Ok(found)
}

/// What stands at each path.
type Items<'a> = BTreeMap<&'a Vec<u8>, &'a Item>;

fn entries(prefix: &str, before: &Items<'_>, after: &Items<'_>) -> Vec<Difference> {
    let paths: BTreeSet<&Vec<u8>> = before.keys().chain(after.keys()).copied().collect();
    let mut found = Vec::new();
    for path in paths {
        let (a, b) = (before.get(path).copied(), after.get(path).copied());
        if a == b {
            continue;
        }
        let size = |item: Option<&Item>| item.map_or(0, |item| signed(item.header.size));
        let (one, two) = match (a, b) {
            (Some(a), Some(b)) => fields(a, b),
            (a, b) => (a.map(kind), b.map(kind)),
        };
        found.push(Difference { place: format!("{prefix}/{}", shown(path)), before: one, after: two, bytes: size(b) - size(a) });
    }
    found
}

fn kind(item: &Item) -> String {
    match &item.header.kind {
        EntryKind::File => format!("file, {} bytes", item.header.size),
        EntryKind::Folder => "folder".to_owned(),
        EntryKind::Link { target } => format!("link to {}", shown(target)),
        EntryKind::HardLink { target } => format!("one more name of /{}", shown(target)),
        EntryKind::Device => "device".to_owned(),
        EntryKind::Fifo => "pipe".to_owned(),
        EntryKind::Whiteout | EntryKind::Opaque => "mark".to_owned(),
    }
}

/// The fields in which two entries of one path differ.
fn fields(a: &Item, b: &Item) -> (Option<String>, Option<String>) {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    let mut note = |before: String, after: String| {
        if before != after {
            one.push(before);
            two.push(after);
        }
    };
    note(kind(a), kind(b));
    note(format!("mode {:o}", a.header.mode), format!("mode {:o}", b.header.mode));
    note(format!("owner {}:{}", a.header.uid, a.header.gid), format!("owner {}:{}", b.header.uid, b.header.gid));
    let content = |item: &Item| item.content.map_or(String::new(), |content| format!("content {}", content.0.short()));
    note(content(a), content(b));
    (Some(one.join(", ")), Some(two.join(", ")))
}

fn shown(path: &[u8]) -> String {
    words::shorten(&words::visible(&String::from_utf8_lossy(path)), 300)
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::{ContentDigest, Digest};
    use crate::store::layer_reader::EntryHeader;

    fn item(kind: EntryKind, mode: u32, content: &[u8]) -> Item {
        let is_file = kind == EntryKind::File;
        let header = EntryHeader { path: Vec::new(), kind, mode, uid: 0, gid: 0, size: content.len() as u64 };
        Item { header, content: is_file.then(|| ContentDigest(Digest::of(content))), is_key: false }
    }

    #[test]
    fn a_file_is_told_with_exactly_the_fields_that_differ() {
        let file = |mode, content: &[u8]| item(EntryKind::File, mode, content);
        let tell = |a: &Item, b: &Item| fields(a, b);
        let text = |one: &str, two: &str| (Some(one.to_owned()), Some(two.to_owned()));
        assert_eq!(tell(&file(0o644, b"a"), &file(0o755, b"a")), text("mode 644", "mode 755"));
        let (one, two) = tell(&file(0o644, b"a"), &file(0o644, b"b"));
        assert!(one.unwrap().starts_with("content ") && two.unwrap().starts_with("content "));
        let link = item(EntryKind::Link { target: b"x".to_vec() }, 0o644, b"");
        assert_eq!(tell(&link, &item(EntryKind::Folder, 0o644, b"")), text("link to x", "folder"));
    }

    #[test]
    fn fields_of_documents_are_named_by_their_path() {
        let mut found = Vec::new();
        let (a, b) = (
            serde_json::json!({ "config": { "Env": ["A=1"], "User": "1" }, "history": [{ "created": "x" }] }),
            serde_json::json!({ "config": { "Env": ["A=2"], "User": "1" }, "history": [{ "created": "y" }, { "created": "z" }] }),
        );
        values("config", &a, &b, &mut found);
        let places: Vec<&str> = found.iter().map(|difference| difference.place.as_str()).collect();
        assert_eq!(places, ["config.config.Env", "config.history[0].created", "config.history[1]"]);
    }
}
