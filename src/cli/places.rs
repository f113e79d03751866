//! Repositories that a command is about: those of the plan's images, or any that is named.

use std::collections::BTreeSet;
use std::fmt;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::TargetName;
use crate::base::path::AbsPath;
use crate::base::words;
use crate::image::clearing;
use crate::image::layout::LayoutError;
use crate::oci::reference::{BadReference, Repository, Tag};
use crate::plan::service::Retention;
use crate::plan::tag::{Cascade, TagRule};
use crate::plan::target::TargetKind;
use crate::plan::{Plan, RegistryDef, RegistryPlace};
use crate::registry::inventory::Inventory;
use crate::registry::session::Session;
use crate::sys::env;

use super::args::Global;
use super::machine;
use super::open::{self, World};
use super::settings;

/// A repository, and what the plan says of it.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where: a repository of a registry, or a layout.
    pub spot: Spot,
    /// The image of the plan that is pushed there.
    pub image: Option<TargetName>,
    /// What `kiln prune` keeps there.
    pub prune: Option<Retention>,
    /// The registry of the plan.
    pub registry: Option<RegistryDef>,
    /// Tags that the plan names literally.
    pub literal: BTreeSet<Tag>,
    /// The versions that lead shorter tags there.
    pub versions: Vec<Cascade>,
}

/// Where images stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spot {
    /// A repository of a registry.
    Registry(Repository),
    /// A folder in OCI layout, and how people write it.
    Layout(AbsPath, String),
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(repository) => repository.fmt(f),
            Self::Layout(_, shown) => f.write_str(&words::visible(shown)),
        }
    }
}

/// Places and the way to them.
pub struct Places {
    /// Connections.
    pub session: Session,
    /// Where, in the order of the plan or of what was typed.
    pub all: Vec<Place>,
}

impl Places {
    /// What stands in a place; with `untagged`, also what has no tag, where the registry has a list of it.
    ///
    /// # Errors
    /// What the registry, or the layout, could not say.
    pub async fn inventory(&self, place: &Place, untagged: bool) -> Result<Inventory, Diagnostic> {
        match &place.spot {
            Spot::Registry(repository) => self.session.inventory(repository, untagged).await.map_err(|error| error.diagnostic()),
            Spot::Layout(folder, _) => clearing::inventory(folder).map_err(unreadable),
        }
    }
}

/// A layout that is none, or is damaged.
pub fn unreadable(error: LayoutError) -> Diagnostic {
    Diagnostic::new(Class::Environment, "registry::layout", error.to_string())
        .help("nothing was changed; `skopeo inspect oci:FOLDER` looks at it, too")
}

/// Finds what was named: images of the plan, repositories, or layouts (`oci:dist/web`); without a name, every image of the plan that is
/// pushed. A plan is needed only where one of its images is meant, but where there is one its registries are known.
///
/// # Errors
/// The faults of the plan, a name that is neither.
pub fn find(global: &Global, named: &[String]) -> Result<Places, Diagnostics> {
    let elsewhere = !named.is_empty() && named.iter().all(|name| is_place(name));
    let settings = settings::resolve(global);
    if elsewhere && settings.is_err() {
        let here = env::current_dir().map_err(|error| Diagnostic::new(Class::Environment, "cli::no-directory", error.to_string()))?;
        let all = named.iter().map(|name| other(name, &here)).collect::<Result<_, Diagnostic>>()?;
        return Ok(Places { session: machine::apart(global, None)?.0, all });
    }
    let settings = settings?;
    let opened = open::open(&settings, World::Asked)?;
    let session = machine::session(&settings, &opened.plan)?;
    let known = of_plan(&opened.plan, &settings.root)?;
    if named.is_empty() {
        return Ok(Places { session, all: known });
    }
    let (mut all, mut faults) = (Vec::new(), Diagnostics::default());
    for name in named {
        if is_place(name) {
            match other(name, &settings.here) {
                Ok(place) => all.push(known.iter().find(|one| one.is_at(&place.spot)).cloned().unwrap_or(place)),
                Err(fault) => faults.push(fault),
            }
            continue;
        }
        let before = all.len();
        all.extend(known.iter().filter(|place| place.image.as_ref().is_some_and(|image| image.as_str() == name)).cloned());
        if all.len() == before {
            faults.push(unknown(&opened.plan, name));
        }
    }
    if faults.is_empty() { Ok(Places { session, all }) } else { Err(faults) }
}

/// Whether a name is that of a place, and not of an image of the plan.
fn is_place(name: &str) -> bool {
    name.contains('/') || name.starts_with(LAYOUT)
}

/// What stands before the folder of a layout.
const LAYOUT: &str = "oci:";

fn other(name: &str, here: &AbsPath) -> Result<Place, Diagnostic> {
    let nothing = Place {
        spot: Spot::Layout(here.clone(), String::new()),
        image: None,
        prune: None,
        registry: None,
        literal: BTreeSet::new(),
        versions: Vec::new(),
    };
    if let Some(folder) = name.strip_prefix(LAYOUT) {
        return Ok(Place { spot: Spot::Layout(here.join(folder), name.to_owned()), ..nothing });
    }
    let repository: Repository = name.parse().map_err(|error: BadReference| {
        Diagnostic::new(Class::Usage, "registry::name", error.to_string())
            .help("a repository is named like `ghcr.io/acme/web`, without a tag")
    })?;
    Ok(Place { spot: Spot::Registry(repository), ..nothing })
}

fn unknown(plan: &Plan, name: &str) -> Diagnostic {
    let shown = words::shorten(&words::visible(name), 80);
    let (message, help) = match plan.targets.iter().find(|(target, _)| target.as_str() == name) {
        Some((_, target)) if matches!(target.kind, TargetKind::Image(_)) => {
            (format!("`{shown}` is pushed to no registry"), "write `push` and the name of a `registry` in it".to_owned())
        }
        Some(_) => (format!("`{shown}` is no image"), "name an image of the plan, or a repository: `ghcr.io/acme/web`".to_owned()),
        None => {
            let near = words::closest(name, plan.images().map(|(target, _)| target.name.as_str()));
            let help = near.map_or_else(
                || "name an image of the plan, or a repository: `ghcr.io/acme/web`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            (format!("there is no image `{shown}`"), help)
        }
    };
    Diagnostic::new(Class::Usage, "registry::name", message).help(help)
}

/// Where the plan's images are pushed to.
fn of_plan(plan: &Plan, root: &AbsPath) -> Result<Vec<Place>, Diagnostics> {
    let mut all: Vec<Place> = Vec::new();
    for (target, image) in plan.images() {
        let name = &target.name;
        for push in &image.push {
            let Some(registry) = plan.registries.get(&push.registry) else { continue };
            let unfit = |error: String| Diagnostic::plan("registry::name", error, &push.span, "pushed to there");
            let spot = match &registry.place {
                RegistryPlace::Remote { host, prefix } => {
                    Spot::Registry(Repository::of([host, prefix, &image.repository]).map_err(|error| unfit(error.to_string()))?)
                }
                RegistryPlace::Layout(folder) => {
                    let folder = folder.join(&image.repository).map_err(|error| unfit(error.to_string()))?;
                    Spot::Layout(root.at(&folder), format!("{LAYOUT}{folder}"))
                }
            };
            let literal = image.tags.iter().filter_map(|(rule, _)| if let TagRule::Literal(tag) = rule { Some(tag.clone()) } else { None });
            let versions =
                image.tags.iter().filter_map(|(rule, _)| if let TagRule::Semver(cascade) = rule { Some(cascade.clone()) } else { None });
            // Cells of one image may share a repository.
            if let Some(place) = all.iter_mut().find(|place| place.is_at(&spot)) {
                place.literal.extend(literal);
                place.versions.extend(versions);
                continue;
            }
            all.push(Place {
                spot,
                image: Some(name.clone()),
                prune: image.prune.clone().or_else(|| registry.prune.clone()),
                registry: Some(registry.clone()),
                literal: literal.collect(),
                versions: versions.collect(),
            });
        }
    }
    Ok(all)
}

impl Place {
    /// Whether it is this spot, however that is written.
    pub fn is_at(&self, spot: &Spot) -> bool {
        match (&self.spot, spot) {
            (Spot::Registry(own), Spot::Registry(other)) => own == other,
            (Spot::Layout(own, _), Spot::Layout(other, _)) => own == other,
            _ => false,
        }
    }

    /// Whether the plan lets this tag never move.
    pub fn is_immutable(&self, tag: &Tag) -> bool {
        self.registry.as_ref().is_some_and(|registry| registry.is_immutable(tag))
    }

    /// Why an image with this tag stays whatever its age.
    pub fn holds(&self, tag: &Tag) -> Option<&'static str> {
        if self.is_immutable(tag) {
            return Some("never moves");
        }
        if self.literal.contains(tag) {
            return Some("is named in the plan");
        }
        self.versions.iter().any(|cascade| cascade.leads(tag)).then_some("leads its versions")
    }
}
