//! Images that a command looks at: of the plan as they were last built, of a layout, of a registry.

use std::sync::Arc;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::digest::BlobDigest;
use crate::base::id::{StepKind, StepName};
use crate::base::path::AbsPath;
use crate::base::platform::Platform;
use crate::base::words;
use crate::image::build::{BaseImage, ImageError};
use crate::image::layout;
use crate::oci::config::Config;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, Document};
use crate::oci::reference::{Reference, Repository};
use crate::plan::image::Recipe;
use crate::plan::target::TargetKind;
use crate::record::history::StepHistory;
use crate::registry::session::Session;
use crate::report::inspect::ReferrerView;
use crate::store::layer_reader::LayerError;
use crate::store::local::Store;
use crate::sys::env;

use super::args::Global;
use super::open::{self, Opened};
use super::settings::{self, Settings};
use super::{machine, run};

/// The largest config that is read, in bytes.
const CONFIG_LIMIT: u64 = 8 << 20;
/// Platforms of one index that are looked at.
const MOST_PLATFORMS: usize = 64;

/// What of an image is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Only this platform.
    pub platform: Option<&'a Platform>,
    /// Whether its layers will be read.
    pub layers: bool,
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
    /// What names it as its subject.
    pub referrers: Vec<ReferrerView>,
}

/// Finds an image: `oci:FOLDER[:TAG]`, an image of the plan, or a reference.
///
/// # Errors
/// [`Diagnostics`] with the next act.
pub fn find(global: &Global, text: &str, wanted: Wanted<'_>) -> Result<Found, Diagnostics> {
    if let Some(rest) = text.strip_prefix("oci:") {
        let here = env::current_dir().map_err(|error| no_image(text, &format!("cannot be looked for: {error}"), ""))?;
        let (path, tag) = rest.split_once(':').map_or((rest, None), |(path, tag)| (path, Some(tag)));
        return of_layout(global, &here.join(path), tag, wanted).map_err(Diagnostics::from);
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
            Some(TargetKind::Image(_)) => return of_plan(&settings, &opened, text, wanted).map_err(Diagnostics::from),
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
    of_registry(global, &reference, wanted)
}

fn no_image(text: &str, why: &str, help: &str) -> Diagnostic {
    Diagnostic::new(Class::Usage, "inspect::no-image", format!("`{}` {why}", words::visible(text))).help(help)
}

/// A document or a layer that is not what it should be.
fn broken(error: &ImageError) -> Diagnostic {
    Diagnostic::new(Class::Environment, "inspect::unsound", error.to_string()).help("nothing of it was unpacked; build or push it again")
}

/// A layer that cannot be read to its end.
pub fn unsound(error: &LayerError) -> Diagnostic {
    Diagnostic::new(Class::Environment, "inspect::unsound", error.to_string()).help("nothing of it was unpacked; build or push it again")
}

fn store(global: &Global) -> Result<Store, Diagnostic> {
    Store::open(settings::store_below(&settings::cache_folder(global)?)).map_err(|error| {
        Diagnostic::new(Class::Environment, "store::open", error.to_string()).help("KILN_CACHE_DIR, or --cache-dir, names another folder")
    })
}

/// The platform that a config says.
fn platform_of(config: &Config) -> String {
    let variant = config.variant.as_ref().filter(|variant| !variant.is_empty()).map_or(String::new(), |variant| format!("/{variant}"));
    words::shorten(&words::visible(&format!("{}/{}{variant}", config.os, config.architecture)), 60)
}

fn no_platform(text: &str, wanted: &Platform, available: &[String]) -> Diagnostic {
    let has = if available.is_empty() { "none that it names".to_owned() } else { words::list(available, "and") };
    no_image(text, &format!("has no image for `{wanted}`"), &format!("it has {has}"))
}

// ── of the plan ──

/// The steps that make one image of the plan.
pub struct Steps {
    /// `web`, or `web[variant=slim]`.
    pub cell: String,
    /// The step that joins its platforms.
    pub index: Option<StepName>,
    /// One per platform, in the order of the plan.
    pub builds: Vec<StepName>,
    /// The platform that was named behind `@`.
    pub platform: Option<Platform>,
}

/// Finds the steps of an image of the plan.
///
/// # Errors
/// When the text names no image, or one of several cells.
pub fn steps(opened: &Opened, text: &str) -> Result<Steps, Diagnostic> {
    let (name, asked) = text.split_once('@').map_or((text, None), |(name, platform)| (name, Some(platform)));
    let asked =
        asked.map(str::parse::<Platform>).transpose().map_err(|error| no_image(text, &format!("names no platform: {error}"), ""))?;
    let target = name.split('[').next().unwrap_or(name);
    let of_image = |step: &&StepName| step.target.as_str() == target && matches!(step.kind, StepKind::Build | StepKind::Index);
    let steps: Vec<&StepName> = opened.graph.order().iter().map(|id| &opened.graph.action(*id).name).filter(of_image).collect();
    if steps.is_empty() {
        return Err(no_image(text, "is no image of the plan", "`kiln list` shows them"));
    }
    let mut cells: Vec<String> = steps.iter().map(|step| format!("{}{}", step.target, step.cell)).collect();
    cells.dedup();
    let cell = match cells.as_slice() {
        [only] if !name.contains('[') => only,
        several => several.iter().find(|cell| *cell == name).ok_or_else(|| {
            let known: Vec<String> = several.iter().take(10).map(|cell| format!("`{cell}`")).collect();
            no_image(text, "names no single image", &format!("name one cell of its matrix: {}", words::list(&known, "or")))
        })?,
    };
    let own = steps.iter().filter(|step| format!("{}{}", step.target, step.cell) == *cell);
    let (indexes, builds): (Vec<&StepName>, Vec<&StepName>) = own.copied().partition(|step| step.kind == StepKind::Index);
    let builds = builds.into_iter().cloned().collect();
    Ok(Steps { cell: cell.clone(), index: indexes.first().map(|step| (*step).clone()), builds, platform: asked })
}

fn of_plan(settings: &Settings, opened: &Opened, text: &str, wanted: Wanted<'_>) -> Result<Found, Diagnostic> {
    let Steps { cell, index, builds, platform: asked } = steps(opened, text)?;
    let wanted = Wanted { platform: wanted.platform.or(asked.as_ref()), ..wanted };
    let store = machine::store(settings)?;
    let history = StepHistory::load(settings.project().as_path());
    let built = |step: &StepName| {
        let result = history.get(step).and_then(|last| store.result(last.key?).ok().flatten());
        result
            .and_then(|result| result.image)
            .map(|image| image.descriptor)
            .ok_or_else(|| no_image(text, "was not built here, or its result is no longer kept", &format!("`kiln run {step}` builds it")))
    };
    let available: Vec<String> = builds.iter().filter_map(|step| step.platform.as_ref()).map(ToString::to_string).collect();
    let mut platforms = Vec::new();
    for step in &builds {
        let Some(platform) = step.platform.as_ref().filter(|platform| wanted.platform.is_none_or(|wanted| wanted == *platform)) else {
            continue;
        };
        platforms.push((platform.to_string(), BaseImage::read(&store, &built(step)?).map_err(|error| broken(&error))?));
    }
    if let (true, Some(platform)) = (platforms.is_empty(), wanted.platform) {
        return Err(no_platform(text, platform, &available));
    }
    let top = match (&index, platforms.first()) {
        (Some(index), _) if wanted.platform.is_none() => built(index)?,
        (_, Some((_, image))) => image.descriptor.clone(),
        (_, None) => return Err(no_image(text, "has no build", "`kiln check` says what is wrong with the plan")),
    };
    let own = opened.plan.images().find(|(target, image)| format!("{}{}", target.name, image.cell) == cell);
    let recipes = own.map(|(_, image)| image.platforms.clone()).unwrap_or_default();
    Ok(Found { store, top, available, platforms, recipes, referrers: Vec::new() })
}

// ── of a layout ──

fn of_layout(global: &Global, root: &AbsPath, tag: Option<&str>, wanted: Wanted<'_>) -> Result<Found, Diagnostic> {
    let store = store(global)?;
    let fault = |error: layout::LayoutError| Diagnostic::new(Class::Usage, "inspect::layout", error.to_string());
    let (top, named) = layout::top(root, tag).map_err(fault)?;
    let mut platforms = Vec::new();
    let host = [Platform::host()];
    // One image alone is taken whatever it is for; its config says that.
    let alone = named.is_empty();
    for platform in if alone { &host[..] } else { &named[..] }.iter().take(MOST_PLATFORMS) {
        if !alone && wanted.platform.is_some_and(|wanted| wanted != platform) {
            continue;
        }
        let imported = layout::read_layout(&store, root, tag, platform).map_err(fault)?;
        let image = BaseImage::read(&store, &imported.descriptor).map_err(|error| broken(&error))?;
        platforms.push((if alone { platform_of(&image.config) } else { platform.to_string() }, image));
    }
    let available: Vec<String> =
        if alone { platforms.iter().map(|(name, _)| name.clone()).collect() } else { named.iter().map(ToString::to_string).collect() };
    if let (true, Some(platform)) = (platforms.is_empty(), wanted.platform) {
        return Err(no_platform(&root.to_string(), platform, &available));
    }
    let subjects: Vec<BlobDigest> = std::iter::once(top.digest).chain(platforms.iter().map(|(_, image)| image.descriptor.digest)).collect();
    let about = layout::referrers(root, &subjects).map_err(fault)?;
    let referrers = about.iter().map(|(descriptor, subject)| referrer(descriptor, *subject, &platforms, top.digest)).collect();
    Ok(Found { store, top, available, platforms, recipes: Vec::new(), referrers })
}

fn referrer(descriptor: &Descriptor, subject: BlobDigest, platforms: &[(String, BaseImage)], top: BlobDigest) -> ReferrerView {
    let of = platforms.iter().find(|(_, image)| image.descriptor.digest == subject && subject != top);
    ReferrerView {
        digest: descriptor.digest.to_string(),
        artifact_type: descriptor.artifact_type().map(|kind| words::shorten(&words::visible(kind), 120)),
        platform: of.map(|(platform, _)| platform.clone()),
    }
}

// ── of a registry ──

fn of_registry(global: &Global, reference: &Reference, wanted: Wanted<'_>) -> Result<Found, Diagnostics> {
    let store = store(global)?;
    let insecure = wanted.insecure.then(|| reference.repository.host().to_owned()).into_iter().collect();
    let session = machine::session_of(insecure, global.offline, &store);
    run::runtime()?.block_on(Registry { session: &session, store: &store, reference, wanted }.find()).map_err(Diagnostics::from)
}

struct Registry<'a> {
    session: &'a Session,
    store: &'a Store,
    reference: &'a Reference,
    wanted: Wanted<'a>,
}

impl Registry<'_> {
    fn repository(&self) -> &Repository {
        &self.reference.repository
    }

    async fn document(&self, name: &str) -> Result<(Descriptor, Document), Diagnostic> {
        let found = self.session.document(self.repository(), name).await.map_err(|error| error.diagnostic())?;
        let (descriptor, bytes) =
            found.ok_or_else(|| no_image(&self.reference.to_string(), "is not there", "`kiln tags` lists what is"))?;
        let document = manifest::read(&descriptor.media_type, &bytes)
            .map_err(|error| no_image(&self.reference.to_string(), &format!("cannot be used: {error}"), "it is not an image"))?;
        Ok((descriptor, document))
    }

    async fn find(&self) -> Result<Found, Diagnostic> {
        let (top, document) = self.document(&self.reference.version()).await?;
        let (available, platforms) = match document {
            Document::Manifest(manifest) => {
                let image = self.image(&top, manifest, None).await?;
                let platform = platform_of(&image.config);
                (vec![platform.clone()], vec![(platform, image)])
            }
            Document::Index(index) => {
                let named = |entry: &Descriptor| Some((entry.platform.as_ref()?.to_platform()?, entry.clone()));
                let entries: Vec<(Platform, Descriptor)> = index.manifests.iter().filter_map(named).take(MOST_PLATFORMS).collect();
                let available: Vec<String> = entries.iter().map(|(platform, _)| platform.to_string()).collect();
                let host = Platform::host();
                let chosen = match self.wanted.platform {
                    Some(wanted) => entries.iter().find(|(platform, _)| platform == wanted),
                    None => entries.iter().find(|(platform, _)| *platform == host).or_else(|| entries.first()),
                };
                let Some((platform, entry)) = chosen else {
                    return Err(no_platform(&self.reference.to_string(), self.wanted.platform.unwrap_or(&host), &available));
                };
                let (child, Document::Manifest(manifest)) = self.document(&entry.digest.to_string()).await? else {
                    return Err(no_image(
                        &self.reference.to_string(),
                        "holds an index within an index",
                        "name the inner one by its digest",
                    ));
                };
                (available, vec![(platform.to_string(), self.image(&child, manifest, Some(platform)).await?)])
            }
        };
        let mut referrers = Vec::new();
        let mut subjects = vec![top.digest];
        subjects.extend(platforms.iter().map(|(_, image)| image.descriptor.digest).filter(|digest| *digest != top.digest));
        for subject in subjects {
            let about = self.session.referrers(self.repository(), subject).await.map_err(|error| error.diagnostic())?;
            referrers.extend(about.iter().map(|descriptor| referrer(descriptor, subject, &platforms, top.digest)));
        }
        Ok(Found { store: self.store.clone(), top, available, platforms, recipes: Vec::new(), referrers })
    }

    /// The documents of one platform; with its layers where these are wanted.
    async fn image(&self, own: &Descriptor, manifest: manifest::Manifest, platform: Option<&Platform>) -> Result<BaseImage, Diagnostic> {
        if self.wanted.layers {
            let pinned = Reference { digest: Some(own.digest), ..self.reference.clone() };
            let platform = platform.cloned().or_else(|| self.wanted.platform.cloned());
            let platform = match platform {
                Some(platform) => platform,
                None => {
                    let config = self.config(&manifest).await?;
                    platform_of(&config)
                        .parse()
                        .map_err(|_| no_image(&self.reference.to_string(), "is for no platform that kiln knows", ""))?
                }
            };
            let pulled = self.session.pull(&pinned, &platform).await.map_err(|error| error.diagnostic())?;
            return BaseImage::read(self.store, &pulled.descriptor).map_err(|error| broken(&error));
        }
        let config = self.config(&manifest).await?;
        Ok(BaseImage { descriptor: own.clone(), manifest, config })
    }

    async fn config(&self, manifest: &manifest::Manifest) -> Result<Config, Diagnostic> {
        let read = self.session.small_blob(self.repository(), &manifest.config, CONFIG_LIMIT).await;
        let bytes = read.map_err(|error| error.diagnostic())?;
        serde_json::from_slice(&bytes)
            .map_err(|error| no_image(&self.reference.to_string(), &format!("has no config of an image: {error}"), ""))
    }
}
