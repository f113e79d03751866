//! Images that a command looks at: of the plan as they were last built, of a layout, an archive or a registry.

mod beside;
mod local;
mod plan;
mod registry;

pub use plan::{Steps, steps};

use std::sync::Arc;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::path::AbsPath;
use crate::base::platform::Platform;
use crate::base::words;
use crate::image::build::BaseImage;
use crate::oci::config::Config;
use crate::oci::descriptor::Descriptor;
use crate::oci::reference::Reference;
use crate::plan::image::Recipe;
use crate::plan::target::TargetKind;
use crate::report::inspect::ReferrerView;
use crate::store::local::Store;
use crate::sys::{env, file};

use super::args::Global;
use super::{open, settings};

/// Platforms of one index that are looked at.
const MOST_PLATFORMS: usize = 64;

/// What of an image is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Only this platform.
    pub platform: Option<&'a Platform>,
    /// Whether its layers will be read.
    pub layers: bool,
    /// Whether what names it as its subject will be shown.
    pub beside: bool,
    /// Whether its former builds will be looked at.
    pub former: bool,
    /// Whether its host may be spoken to without TLS.
    pub insecure: bool,
}

/// An image that was found.
pub struct Found {
    /// Where its blobs are; those of its layers as far as they were wanted.
    pub store: Store,
    /// The index, or the only manifest.
    pub top: Descriptor,
    /// All platforms that it has.
    pub available: Vec<String>,
    /// Those that were wanted.
    pub platforms: Vec<(String, BaseImage)>,
    /// What the plan says of it, where it is the plan's.
    pub recipes: Vec<Arc<Recipe>>,
    /// What names it as its subject, as far as that was wanted.
    pub referrers: Vec<ReferrerView>,
    /// For each platform its former builds, the newest first; where it is the plan's, as far as they were wanted and are kept.
    pub former: Vec<(String, Vec<BaseImage>)>,
}

/// Finds an image: `oci:FOLDER[:TAG]`, `archive:FILE[:NAME]`, a file, an image of the plan, or a reference.
///
/// # Errors
/// [`Diagnostics`] with the next act.
pub fn find(global: &Global, text: &str, wanted: Wanted<'_>) -> Result<Found, Diagnostics> {
    if let Some(Place { path, name, is_archive }) = on_disk(text)? {
        let found = if is_archive { local::of_archive } else { local::of_folder };
        return found(global, &path, name, wanted).map_err(Diagnostics::from);
    }
    let name = text.split(['[', '@']).next().unwrap_or(text);
    // The plan is asked first, as long as the text can name one of its targets.
    let settings = if name.contains('/') { None } else { settings::resolve(global).ok() };
    if let Some(settings) = settings {
        let opened = open::open_for(&settings, &[name.to_owned()]).or_else(|faults| {
            // A name that is no target is no fault of the plan.
            if text.contains([':', '.']) { open::open(&settings, open::World::Unasked) } else { Err(faults) }
        })?;
        let target = opened.plan.targets.values().find(|target| target.name.as_str() == name);
        match target.map(|target| &target.kind) {
            Some(TargetKind::Image(_)) => return plan::of_plan(&settings, &opened, text, wanted).map_err(Diagnostics::from),
            Some(_) => return Err(no_image(text, "is a target, but not an image", "`kiln list` shows the images of the plan").into()),
            None => {}
        }
    }
    if !text.contains(['/', ':', '.']) {
        let help =
            format!("`kiln list` shows the images of the plan; one of a registry is written `docker.io/library/{}`", words::visible(text));
        return Err(no_image(text, "is no image of the plan", &help).into());
    }
    let reference: Reference =
        text.parse().map_err(|error| no_image(text, &format!("is no image: {error}"), "write it like `ghcr.io/acme/web:1.4`"))?;
    registry::of_registry(global, &reference, wanted)
}

/// Where on the disk an image is.
struct Place<'t> {
    path: AbsPath,
    /// The tag or the name of one of several.
    name: Option<&'t str>,
    is_archive: bool,
}

/// The place on the disk that a text names. A file counts without a word before it.
fn on_disk(text: &str) -> Result<Option<Place<'_>>, Diagnostic> {
    let here = || env::current_dir().map_err(|error| no_image(text, &format!("cannot be looked for: {error}"), ""));
    let is_file = |path: &AbsPath| file::status(path).is_ok_and(|status| !status.is_dir());
    for prefix in ["oci:", "archive:"] {
        if let Some(rest) = text.strip_prefix(prefix) {
            let (path, name) = rest.split_once(':').map_or((rest, None), |(path, name)| (path, Some(name)));
            let path = here()?.join(path);
            let is_archive = prefix == "archive:" || is_file(&path);
            return Ok(Some(Place { path, name, is_archive }));
        }
    }
    if !text.contains(['/', '.']) {
        return Ok(None);
    }
    let path = here()?.join(text);
    Ok(is_file(&path).then_some(Place { path, name: None, is_archive: true }))
}

fn no_image(text: &str, why: &str, help: &str) -> Diagnostic {
    Diagnostic::new(Class::Usage, "inspect::no-image", format!("`{}` {why}", words::visible(text))).help(help)
}

/// A document or a layer that is not what it should be.
pub fn unsound(error: &dyn std::error::Error) -> Diagnostic {
    Diagnostic::new(Class::Environment, "inspect::unsound", error.to_string()).help("nothing of it was unpacked; build or push it again")
}

/// The platform that a config says, in the words of a plan; as it stands there where kiln knows none of that name.
fn platform_of(config: &Config) -> String {
    let variant = config.variant.as_ref().filter(|variant| !variant.is_empty()).map_or(String::new(), |variant| format!("/{variant}"));
    let said = format!("{}/{}{variant}", config.os, config.architecture);
    said.parse::<Platform>().map_or_else(|_| words::shorten(&words::visible(&said), 60), |platform| platform.to_string())
}

fn no_platform(text: &str, wanted: &Platform, available: &[String]) -> Diagnostic {
    let has = if available.is_empty() { "none that it names".to_owned() } else { words::list(available, "and") };
    no_image(text, &format!("has no image for `{wanted}`"), &format!("it has {has}"))
}
