//! `kiln inspect IMAGE`: what an image is made of; `kiln inspect diff A B`: how two of them differ.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};

use crate::base::diagnostic::{Diagnostic, Diagnostics, Span};
use crate::base::platform::Platform;
use crate::image::advice::{self, Advice, Kind};
use crate::image::build::BaseImage;
use crate::image::compare::{self, Difference};
use crate::image::config::words_of_layers;
use crate::image::contents::{self, Contents, contents};
use crate::image::habits::{self, Layer};
use crate::oci::media_type;
use crate::report::inspect::{self as screen, AdviceView, DifferenceRow, DifferenceView, FileView, InspectView, LayerView, PlatformView};
use crate::report::json;
use crate::store::layer_reader::EntryKind;
use crate::store::local::Store;

use super::args::Global;
use super::images::{self, Found, Wanted};
use super::output::Output;

/// Options of `inspect`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Inspect {
    /// An image of the plan as it was last built, `ghcr.io/acme/web:1.4`, `oci:FOLDER[:TAG]`, or an archive: `FILE` or `archive:FILE:NAME`
    #[arg(required = true)]
    pub image: Option<String>,
    /// Of several platforms this one [default: all of a plan or a layout; of a registry this machine's]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,
    /// Lists what a container sees
    #[arg(long)]
    pub files: bool,
    /// Says what the image could do without, and which line to change
    #[arg(long)]
    pub advice: bool,
    /// Speaks plain HTTP to the image's host
    #[arg(long)]
    pub insecure: bool,
    #[command(subcommand)]
    pub other: Option<Other>,
}

/// What `inspect` can be followed by besides an image.
#[derive(Debug, Subcommand)]
pub enum Other {
    /// Compares two images: config, layers, files
    Diff {
        /// The left one
        before: String,
        /// The right one
        after: String,
        /// Only this platform
        #[arg(long, value_name = "PLATFORM")]
        platform: Option<Platform>,
        /// Speaks plain HTTP to the images' hosts
        #[arg(long)]
        insecure: bool,
    },
}

/// # Errors
/// An image that is not there, or not sound; the faults of the plan where one of its images is meant.
pub fn inspect(global: &Global, output: &Output, asked: &Inspect) -> Result<u8, Diagnostics> {
    if let Some(Other::Diff { before, after, platform, insecure }) = &asked.other {
        let wanted = Wanted { platform: platform.as_ref(), layers: true, beside: false, former: false, insecure: *insecure };
        return diff(global, output, before, after, wanted);
    }
    let text = asked.image.as_deref().unwrap_or_default();
    let layers = asked.files || asked.advice;
    let Inspect { platform, advice, insecure, .. } = asked;
    let wanted = Wanted { platform: platform.as_ref(), layers, beside: true, former: *advice, insecure: *insecure };
    let found = images::find(global, text, wanted)?;
    let platforms =
        found.platforms.iter().map(|(platform, image)| one(&found, platform, image, asked)).collect::<Result<_, Diagnostic>>()?;
    let view = InspectView {
        image: text.to_owned(),
        digest: found.top.digest.to_string(),
        media_type: found.top.media_type.clone(),
        available: found.available.clone(),
        platforms,
        referrers: found.referrers.clone(),
    };
    output.answer(&if output.json { json::document(&view) } else { screen::screen(&view, output.out) });
    Ok(0)
}

fn one(found: &Found, platform: &str, image: &BaseImage, asked: &Inspect) -> Result<PlatformView, Diagnostic> {
    let read = image.manifest.layers.iter().all(|layer| found.store.size_of(layer.digest.0).is_some());
    let held = read.then(|| contents(&found.store, &image.manifest.layers)).transpose().map_err(|error| images::unsound(&error))?;
    let made = made_by(image);
    let lines = lines(found, platform, image, &made);
    let layers = image.manifest.layers.iter().enumerate().map(|(at, layer)| {
        let items = held.as_ref().and_then(|held| held.layers.get(at));
        LayerView {
            digest: layer.digest.to_string(),
            diff_id: image.config.rootfs.diff_ids.get(at).map(ToString::to_string),
            media_type: layer.media_type.clone(),
            packed: layer.size,
            unpacked: items.map(|items| items.bytes),
            entries: items.map(|items| items.items.len() + items.hides.len() + items.opaque.len()),
            by: made.get(&at).cloned(),
            line: lines.get(&at).cloned(),
        }
    });
    let layers: Vec<LayerView> = layers.collect();
    Ok(PlatformView {
        platform: platform.to_owned(),
        digest: image.descriptor.digest.to_string(),
        packed: image.manifest.layers.iter().map(|layer| layer.size).sum(),
        unpacked: held.as_ref().map(|held| held.layers.iter().map(|layer| layer.bytes).sum()),
        config: serde_json::to_value(&image.config).unwrap_or_default(),
        annotations: serde_json::to_value(&image.manifest.annotations).unwrap_or_default(),
        layers,
        files: held.as_ref().filter(|_| asked.files).map(files),
        advice: held.filter(|_| asked.advice).map(|held| advised(found, platform, image, held, &lines)),
    })
}

/// What its contents say, and what its former builds do.
fn advised(found: &Found, platform: &str, image: &BaseImage, held: Contents, lines: &BTreeMap<usize, String>) -> Vec<AdviceView> {
    let mut all = advice::advice(&held);
    let former = found.former.iter().find(|(own, _)| own == platform).map_or(&[][..], |(_, former)| former.as_slice());
    all.extend(habits::advice(&over_builds(&found.store, image, held.layers, former, lines.len())));
    told(&all, lines)
}

/// The image's own layers, as many as lie uppermost, with what they were in former builds that were made of the same lines. The row ends
/// at the first one that is made otherwise, or that the store no longer has.
fn over_builds(store: &Store, image: &BaseImage, held: Vec<contents::LayerItems>, former: &[BaseImage], own: usize) -> Vec<Layer> {
    let uppermost = |image: &BaseImage| {
        let first = image.manifest.layers.len().checked_sub(own)?;
        let made = made_by(image);
        Some((first, (first..first + own).map(|at| made.get(&at).cloned()).collect::<Vec<_>>()))
    };
    let Some((first, words)) = uppermost(image) else { return Vec::new() };
    let mut layers: Vec<Layer> =
        held.into_iter().enumerate().skip(first).take(own).map(|(at, now)| Layer { at, now, before: Vec::new() }).collect();
    let mut newer = image;
    for older in former {
        let Some((start, _)) = uppermost(older).filter(|(_, then)| *then == words) else { break };
        let newest = newer.manifest.layers.len() - own;
        let mut read = Vec::new();
        for at in 0..own {
            let (then, now) = (&older.manifest.layers[start + at], &newer.manifest.layers[newest + at]);
            let mut left = contents::MOST_ENTRIES;
            read.push(if then.digest == now.digest { Ok(None) } else { contents::read_layer(store, then, &mut left).map(Some) });
        }
        let Ok(read) = read.into_iter().collect::<Result<Vec<_>, _>>() else { break };
        layers.iter_mut().zip(read).for_each(|(layer, then)| layer.before.push(then));
        newer = older;
    }
    layers
}

/// What the history says made each layer.
fn made_by(image: &BaseImage) -> BTreeMap<usize, String> {
    let layers = image.config.history.iter().filter(|line| !line.empty_layer);
    layers.enumerate().filter_map(|(at, line)| Some((at, line.created_by.clone()?))).collect()
}

/// The lines of the plan that make the upper layers, as far as the image is as the plan now has it.
fn lines(found: &Found, platform: &str, image: &BaseImage, made: &BTreeMap<usize, String>) -> BTreeMap<usize, String> {
    let Some(recipe) = found.recipes.iter().find(|recipe| recipe.platform.to_string() == platform) else { return BTreeMap::new() };
    let place = |span: &Span| format!("{}:{}", span.source.name, span.line_column().0);
    // A squashed layer begins where its first group does.
    let places = recipe.groups().filter_map(|group| Some(place(&group.first()?.span)));
    let groups: Vec<(String, String)> = words_of_layers(recipe).into_iter().zip(places).collect();
    let Some(first) = image.manifest.layers.len().checked_sub(groups.len()) else { return BTreeMap::new() };
    let lines = groups.into_iter().enumerate().map(|(at, group)| (first + at, group));
    lines.filter(|(at, (words, _))| made.get(at) == Some(words)).map(|(at, (_, line))| (at, line)).collect()
}

fn files(held: &Contents) -> Vec<FileView> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let view = |(path, (layer, item)): (&Vec<u8>, &(usize, contents::Item))| {
        let (kind, target) = match &item.header.kind {
            EntryKind::File => ("file", None),
            EntryKind::Folder => ("folder", None),
            EntryKind::Link { target } => ("link", Some(text(target))),
            EntryKind::HardLink { target } => ("hard-link", Some(format!("/{}", text(target)))),
            EntryKind::Device => ("device", None),
            EntryKind::Fifo => ("pipe", None),
            EntryKind::Whiteout | EntryKind::Opaque => ("mark", None),
        };
        FileView {
            path: format!("/{}", text(path)),
            kind: kind.to_owned(),
            target,
            mode: format!("{:04o}", item.header.mode),
            owner: format!("{}:{}", item.header.uid, item.header.gid),
            size: item.header.size,
            layer: layer + 1,
        }
    };
    held.files.iter().map(view).collect()
}

/// Advice with the line to change: that of the layer which holds what is in vain, else of the base.
fn told(found: &[Advice], lines: &BTreeMap<usize, String>) -> Vec<AdviceView> {
    let own = !lines.is_empty();
    found
        .iter()
        .map(|advice| {
            let line = lines.get(&advice.layer).or_else(|| advice.by.and_then(|by| lines.get(&by)));
            let of_base = own && !lines.contains_key(&advice.layer);
            let (word, help) = match advice.kind {
                Kind::Secret => ("secret", "leave it out with `exclude`, and treat what was in it as known"),
                Kind::Removed => ("removed", "leave it out of the lower layer; what a later one removes is still sent"),
                Kind::Overwritten if of_base => ("overwritten", "it lies in the base, which could be built without it"),
                Kind::Overwritten => ("overwritten", "copy it once, or put both copies into one `layer`"),
                Kind::Duplicate => ("duplicate", "copy it once and let the other path be a link"),
                Kind::Cache if of_base => ("cache", "it lies in the base, which could be built without it"),
                Kind::Cache => ("cache", "leave it out with `exclude`"),
                Kind::Large => ("large", "see whether it is needed, or could be smaller"),
                Kind::Mixed => ("mixed", "give it a `copy` of its own before this one, and leave it out here with `exclude`"),
                Kind::Order => {
                    ("order", "write it behind the others, if their paths do not meet: engines unpack again what lies above a change")
                }
            };
            AdviceView {
                kind: word.to_owned(),
                what: advice.what.clone(),
                layer: advice.layer + 1,
                by: advice.by.map(|by| by + 1),
                paths: advice.paths.iter().map(|path| format!("/{}", String::from_utf8_lossy(path))).collect(),
                count: advice.count,
                bytes: advice.bytes,
                line: line.cloned(),
                help: help.to_owned(),
            }
        })
        .collect()
}

fn diff(global: &Global, output: &Output, before: &str, after: &str, wanted: Wanted<'_>) -> Result<u8, Diagnostics> {
    let (one, two) = (images::find(global, before, wanted)?, images::find(global, after, wanted)?);
    let same = is_same(&one, &two);
    let mut differences = Vec::new();
    if !same {
        for (platform, image) in &one.platforms {
            match two.platforms.iter().find(|(other, _)| other == platform) {
                Some((_, other)) => differences.extend(between(platform, (&one, image), (&two, other))?),
                None => differences.push(whole(platform, Some(image), None)),
            }
        }
        for (platform, image) in two.platforms.iter().filter(|(platform, _)| one.platforms.iter().all(|(own, _)| own != platform)) {
            differences.push(whole(platform, None, Some(image)));
        }
    }
    let view = DifferenceView { before: before.to_owned(), after: after.to_owned(), same, differences };
    output.answer(&if output.json { json::document(&view) } else { screen::differences(&view, output.out) });
    Ok(u8::from(!same))
}

/// Whether they are the same image. Docker's archives have no manifest: there the config counts, which names every layer's content.
fn is_same(one: &Found, two: &Found) -> bool {
    let id = |found: &Found| match found.platforms.as_slice() {
        [(_, image)] => Some(image.manifest.config.digest),
        _ => None,
    };
    let has_none = |found: &Found| !media_type::is_manifest(&found.top.media_type) && !media_type::is_index(&found.top.media_type);
    one.top.digest == two.top.digest || ((has_none(one) || has_none(two)) && id(one).is_some() && id(one) == id(two))
}

fn whole(platform: &str, before: Option<&BaseImage>, after: Option<&BaseImage>) -> DifferenceRow {
    let text = |image: Option<&BaseImage>| image.map(|image| image.descriptor.digest.to_string());
    DifferenceRow { platform: platform.to_owned(), place: "image".to_owned(), before: text(before), after: text(after), bytes: 0 }
}

fn between(platform: &str, one: (&Found, &BaseImage), two: (&Found, &BaseImage)) -> Result<Vec<DifferenceRow>, Diagnostic> {
    let mut found = compare::documents(one.1, two.1);
    let read =
        |(found, image): (&Found, &BaseImage)| contents(&found.store, &image.manifest.layers).map_err(|error| images::unsound(&error));
    if one.1.config.rootfs.diff_ids != two.1.config.rootfs.diff_ids {
        found.extend(compare::files(&read(one)?, &read(two)?));
    }
    Ok(found.into_iter().map(|difference| row(platform, difference)).collect())
}

/// A difference of one platform.
pub(super) fn row(platform: &str, difference: Difference) -> DifferenceRow {
    let Difference { place, before, after, bytes } = difference;
    DifferenceRow { platform: platform.to_owned(), place, before, after, bytes }
}
