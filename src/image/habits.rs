//! What former builds of an image say about the grouping and the order of its layers.
//! In: the image's own layers now and as they were, the newest build first. Out: advice. Never: reorders anything, looks at a plan.
//!
//! A layer that did not change is not sent again, wherever it lies: layers are made each for itself. But a layer is sent whole, and engines
//! unpack again what lies above one that changed. So what changes rarely belongs into layers of its own, and below the rest.

use crate::base::words::count;
use crate::store::layer_reader::EntryKind;

use super::advice::{Advice, Kind, MOST_PATHS};
use super::contents::{Item, LayerItems};

/// Bytes below this are not worth a layer of their own, or another order.
const LEAST: u64 = 1 << 20;

/// One of the image's own layers over several builds.
#[derive(Debug)]
pub struct Layer {
    /// Its place in the image, from 0.
    pub at: usize,
    /// What it holds now.
    pub now: LayerItems,
    /// For each former build what it held, the newest first; `None` where it was the same as in the build after it.
    pub before: Vec<Option<LayerItems>>,
}

impl Layer {
    /// The builds that made it anew.
    fn changes(&self) -> usize {
        self.before.iter().flatten().count()
    }
}

/// All that is worth saying.
#[must_use]
pub fn advice(layers: &[Layer]) -> Vec<Advice> {
    let mut found: Vec<Advice> = layers.iter().filter_map(mixed).collect();
    found.extend(layers.iter().enumerate().filter_map(|(at, layer)| below(layer, &layers[at + 1..])));
    found
}

/// How often it changed, in words: `changed in 3 of the last 4 builds`.
fn often(layer: &Layer) -> String {
    let builds = layer.before.len();
    match (layer.changes(), builds) {
        (1, 1) => "changed in the last build".to_owned(),
        (changes, builds) if changes == builds => format!("changed in each of the last {}", count(builds, "build")),
        (changes, builds) => format!("changed in {changes} of the last {}", count(builds, "build")),
    }
}

/// Files that stayed the same in a layer of which others changed.
fn mixed(layer: &Layer) -> Option<Advice> {
    if layer.changes() == 0 {
        return None;
    }
    let same = |path: &Vec<u8>, item: &Item| layer.before.iter().flatten().all(|then| then.items.get(path) == Some(item));
    let is_file = |item: &Item| item.header.kind == EntryKind::File;
    let mut stayed: Vec<(u64, &Vec<u8>)> = Vec::new();
    let mut moved = 0;
    for (path, item) in layer.now.items.iter().filter(|(_, item)| is_file(item)) {
        if same(path, item) { stayed.push((item.header.size, path)) } else { moved += item.header.size }
    }
    let bytes: u64 = stayed.iter().map(|(size, _)| size).sum();
    if bytes < LEAST || bytes < moved {
        return None;
    }
    stayed.sort_by(|a, b| (b.0, a.1).cmp(&(a.0, b.1)));
    Some(Advice {
        kind: Kind::Mixed,
        layer: layer.at,
        by: None,
        count: stayed.len(),
        paths: stayed.into_iter().take(MOST_PATHS).map(|(_, path)| path.clone()).collect(),
        bytes,
        what: format!("stayed the same, and is sent again with the rest of the layer, which {}", often(layer)),
    })
}

/// A layer that changes more often than others above it.
fn below(layer: &Layer, above: &[Layer]) -> Option<Advice> {
    let calm: Vec<&Layer> = above.iter().filter(|other| other.changes() < layer.changes()).collect();
    let bytes: u64 = calm.iter().map(|other| other.now.bytes).sum();
    let most = calm.iter().max_by_key(|other| other.now.bytes)?;
    if bytes < LEAST {
        return None;
    }
    let last = layer.before.iter().flatten().next()?;
    let is_new = |(path, item): &(&Vec<u8>, &Item)| item.header.kind != EntryKind::Folder && last.items.get(*path) != Some(*item);
    let changed: Vec<&Vec<u8>> = layer.now.items.iter().filter(is_new).map(|(path, _)| path).collect();
    Some(Advice {
        kind: Kind::Order,
        layer: layer.at,
        by: Some(most.at),
        count: changed.len(),
        paths: changed.into_iter().take(MOST_PATHS).cloned().collect(),
        bytes,
        what: format!("{}, and lies below what changes less often", often(layer)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::{ContentDigest, Digest};
    use crate::store::layer_reader::EntryHeader;

    fn items(files: &[(&str, u64, &str)]) -> LayerItems {
        let item = |(path, size, content): &(&str, u64, &str)| {
            let header = EntryHeader { path: (*path).into(), kind: EntryKind::File, mode: 0o644, uid: 0, gid: 0, size: *size };
            ((*path).into(), Item { header, content: Some(ContentDigest(Digest::of(content.as_bytes()))), is_key: false })
        };
        LayerItems { items: files.iter().map(item).collect(), bytes: files.iter().map(|(_, size, _)| size).sum(), ..LayerItems::default() }
    }

    fn told(layers: &[Layer]) -> Vec<(Kind, usize, Option<usize>, usize, u64, String)> {
        advice(layers).into_iter().map(|one| (one.kind, one.layer, one.by, one.count, one.bytes, one.what)).collect()
    }

    const BIG: u64 = 3 << 20;

    #[test]
    fn what_stays_the_same_in_a_layer_that_changes_is_told() {
        let now = items(&[("app/lib", BIG, "lib"), ("app/main", 10, "3"), ("app/new", 5, "n")]);
        let version = |content| Some(items(&[("app/lib", BIG, "lib"), ("app/main", 10, content)]));
        let layer = |before| Layer { at: 2, now: now.clone(), before };
        let what = "stayed the same, and is sent again with the rest of the layer, which changed in 2 of the last 3 builds";
        assert_eq!(told(&[layer(vec![version("2"), None, version("1")])]), [(Kind::Mixed, 2, None, 1, BIG, what.to_owned())]);
        assert_eq!(told(&[layer(vec![None, None])]), [], "nothing changed");
        let other = Some(items(&[("app/lib", BIG, "other"), ("app/main", 10, "2")]));
        assert_eq!(told(&[layer(vec![other])]), [], "the large file changed");
        assert_eq!(told(&[layer(Vec::new())]), [], "it was built once");
        let moved = Some(items(&[("app/lib", BIG, "lib"), ("app/main", 10, "2"), ("app/new", 5, "n")]));
        let mut large = layer(vec![moved]);
        large.now = items(&[("app/lib", BIG, "lib"), ("app/main", BIG + 1, "3")]);
        assert_eq!(told(&[large]), [], "most of the layer changes");
    }

    #[test]
    fn a_layer_that_changes_more_often_than_one_above_it_is_told() {
        let lively = |at| Layer { at, now: items(&[("main", 10, "2")]), before: vec![Some(items(&[("main", 10, "1")])), None] };
        let calm = |at, size| Layer { at, now: items(&[("lib", size, "l")]), before: vec![None, None] };
        let what = "changed in 1 of the last 2 builds, and lies below what changes less often";
        assert_eq!(told(&[lively(0), calm(1, BIG), calm(2, 5)]), [(Kind::Order, 0, Some(1), 1, BIG + 5, what.to_owned())]);
        assert_eq!(told(&[calm(0, BIG), lively(1)]), []);
        assert_eq!(told(&[lively(0), lively(1)]), []);
        assert_eq!(told(&[lively(0), calm(1, 100)]), [], "too little to be worth a word");
    }
}
