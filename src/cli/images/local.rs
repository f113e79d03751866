//! Images on the disk: a folder in the OCI layout, an archive of one, an archive of Docker's.

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::digest::BlobDigest;
use crate::base::path::AbsPath;
use crate::base::platform::Platform;
use crate::base::words;
use crate::image::build::BaseImage;
use crate::image::layout::{Layout, LayoutError};
use crate::image::unarchive::{Listed, UnarchiveError, unarchive};
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::Document;
use crate::report::inspect::ReferrerView;
use crate::store::local::Store;

use super::super::args::Global;
use super::super::machine;
use super::beside::{self, About};
use super::{Found, MOST_PLATFORMS, Wanted, no_image, no_platform, platform_of, unsound};

fn fault(error: &LayoutError) -> Diagnostic {
    Diagnostic::new(Class::Usage, "inspect::layout", error.to_string())
}

pub(super) fn of_folder(global: &Global, root: &AbsPath, tag: Option<&str>, wanted: Wanted<'_>) -> Result<Found, Diagnostic> {
    of_layout(&machine::store_apart(global)?, Layout::folder(root), &root.to_string(), tag, wanted)
}

pub(super) fn of_archive(global: &Global, path: &AbsPath, name: Option<&str>, wanted: Wanted<'_>) -> Result<Found, Diagnostic> {
    let store = machine::store_apart(global)?;
    let refused = |error: UnarchiveError| {
        let help = "it can be an OCI layout as a tar file, or what `docker save` writes; also with gzip or zstd";
        Diagnostic::new(Class::Usage, "inspect::archive", error.to_string()).help(help)
    };
    let held = unarchive(&store, path).map_err(refused)?;
    if held.is_layout() {
        return of_layout(&store, Layout::archive(path, &held, &store), &path.to_string(), name, wanted);
    }
    let chosen = chosen(held.listed(path).map_err(refused)?, &path.to_string(), name)?;
    let image = held.image(&store, path, chosen).map_err(refused)?;
    let platform = platform_of(&image.config);
    if let Some(wanted) = wanted.platform.filter(|wanted| wanted.to_string() != platform) {
        return Err(no_platform(&path.to_string(), wanted, &[platform]));
    }
    let (top, available) = (image.descriptor.clone(), vec![platform.clone()]);
    Ok(Found { store, top, available, platforms: vec![(platform, image)], recipes: Vec::new(), referrers: Vec::new(), former: Vec::new() })
}

/// The image of that name, or the only one.
fn chosen(mut saved: Vec<Listed>, path: &str, name: Option<&str>) -> Result<Listed, Diagnostic> {
    let known: Vec<String> = saved.iter().flat_map(Listed::names).take(20).map(|name| format!("`{}`", words::visible(name))).collect();
    saved.retain(|image| name.is_none_or(|name| image.is_named(name)));
    let has = || if known.is_empty() { "it names none".to_owned() } else { format!("it has {}", words::list(&known, "and")) };
    match (saved.len(), name) {
        (1, _) => Ok(saved.remove(0)),
        (0, Some(name)) => Err(no_image(path, &format!("has no image `{}`", words::visible(name)), &has())),
        (0, None) => Err(no_image(path, "holds no image", "see whether it was written to its end")),
        _ => Err(no_image(path, "holds several images", &format!("name one of them behind a colon; {}", has()))),
    }
}

fn of_layout(store: &Store, layout: Layout<'_>, shown: &str, tag: Option<&str>, wanted: Wanted<'_>) -> Result<Found, Diagnostic> {
    let (top, named) = layout.top(tag).map_err(|error| fault(&error))?;
    let mut platforms = Vec::new();
    let host = [Platform::host()];
    // One image alone is taken whatever it is for; its config says that.
    let alone = named.is_empty();
    for platform in if alone { &host[..] } else { &named[..] }.iter().take(MOST_PLATFORMS) {
        if !alone && wanted.platform.is_some_and(|wanted| wanted != platform) {
            continue;
        }
        let imported = layout.image(store, tag, platform).map_err(|error| fault(&error))?;
        let image = BaseImage::read(store, &imported.descriptor).map_err(|error| unsound(&error))?;
        platforms.push((if alone { platform_of(&image.config) } else { platform.to_string() }, image));
    }
    let available: Vec<String> =
        if alone { platforms.iter().map(|(name, _)| name.clone()).collect() } else { named.iter().map(ToString::to_string).collect() };
    if let (true, Some(platform)) = (platforms.is_empty(), wanted.platform) {
        return Err(no_platform(shown, platform, &available));
    }
    let referrers = if wanted.beside { referrers(layout, &top, &platforms).map_err(|error| fault(&error))? } else { Vec::new() };
    Ok(Found { store: store.clone(), top, available, platforms, recipes: Vec::new(), referrers, former: Vec::new() })
}

fn referrers(layout: Layout<'_>, top: &Descriptor, platforms: &[(String, BaseImage)]) -> Result<Vec<ReferrerView>, LayoutError> {
    let subjects: Vec<BlobDigest> = std::iter::once(top.digest).chain(platforms.iter().map(|(_, image)| image.descriptor.digest)).collect();
    let listed = layout.referrers(&subjects)?;
    let mut about: Vec<About> = listed.into_iter().map(|(entry, subject)| About { entry, subject, tag: None }).collect();
    if let Document::Index(index) = layout.read(top)? {
        for (entry, subject) in beside::within(&index).into_iter().filter(|(_, subject)| subjects.contains(subject)) {
            about.extend(beside::pieces(&entry, layout.read(&entry)?, subject, None));
        }
    }
    Ok(beside::shown(about, platforms, top.digest))
}
