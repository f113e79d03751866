//! Repositories that a command is about: those of the plan's images, or any that is named.

use std::collections::BTreeSet;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::TargetName;
use crate::base::words;
use crate::oci::reference::{BadReference, Repository, Tag};
use crate::plan::image::{ImageDef, TagRule};
use crate::plan::service::Retention;
use crate::plan::target::TargetKind;
use crate::plan::{Plan, RegistryDef, RegistryPlace};
use crate::registry::session::Session;

use super::args::Global;
use super::machine;
use super::open::{self, World};
use super::settings;

/// A repository, and what the plan says of it.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where.
    pub repository: Repository,
    /// The image of the plan that is pushed there.
    pub image: Option<TargetName>,
    /// What `kiln prune` keeps there.
    pub prune: Option<Retention>,
    /// The registry of the plan.
    pub registry: Option<RegistryDef>,
    /// Tags that the plan names literally.
    pub literal: BTreeSet<Tag>,
    /// Whether versions lead shorter tags there.
    pub versions: bool,
}

/// Places and the way to them.
pub struct Places {
    /// Connections.
    pub session: Session,
    /// Where, in the order of the plan or of what was typed.
    pub all: Vec<Place>,
}

/// Finds what was named: images of the plan, or repositories; without a name, every image of the plan that is pushed.
/// A plan is needed only where one of its images is meant, but where there is one its registries are known.
///
/// # Errors
/// The faults of the plan, a name that is neither.
pub fn find(global: &Global, named: &[String]) -> Result<Places, Diagnostics> {
    let elsewhere = !named.is_empty() && named.iter().all(|name| name.contains('/'));
    let settings = settings::resolve(global);
    if elsewhere && settings.is_err() {
        let all = named.iter().map(|name| other(name)).collect::<Result<_, Diagnostic>>()?;
        return Ok(Places { session: machine::apart(global)?, all });
    }
    let settings = settings?;
    let opened = open::open(&settings, World::Asked)?;
    let session = machine::session(&settings, &opened.plan)?;
    let known = of_plan(&opened.plan)?;
    if named.is_empty() {
        return Ok(Places { session, all: known });
    }
    let (mut all, mut faults) = (Vec::new(), Diagnostics::default());
    for name in named {
        if name.contains('/') {
            match other(name) {
                Ok(place) => all.push(known.iter().find(|one| one.repository == place.repository).cloned().unwrap_or(place)),
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

fn other(name: &str) -> Result<Place, Diagnostic> {
    let repository: Repository = name.parse().map_err(|error: BadReference| {
        Diagnostic::new(Class::Usage, "registry::name", error.to_string())
            .help("a repository is named like `ghcr.io/acme/web`, without a tag")
    })?;
    Ok(Place { repository, image: None, prune: None, registry: None, literal: BTreeSet::new(), versions: false })
}

fn unknown(plan: &Plan, name: &str) -> Diagnostic {
    let shown = words::shorten(&words::visible(name), 80);
    let (message, help) = match plan.targets.iter().find(|(target, _)| target.as_str() == name) {
        Some((_, target)) if matches!(target.kind, TargetKind::Image(_)) => {
            (format!("`{shown}` is pushed to no registry"), "write `push` and the name of a `registry` in it".to_owned())
        }
        Some(_) => (format!("`{shown}` is no image"), "name an image of the plan, or a repository: `ghcr.io/acme/web`".to_owned()),
        None => {
            let near = words::closest(name, images(plan).map(|(name, _)| name.as_str()));
            let help = near.map_or_else(
                || "name an image of the plan, or a repository: `ghcr.io/acme/web`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            (format!("there is no image `{shown}`"), help)
        }
    };
    Diagnostic::new(Class::Usage, "registry::name", message).help(help)
}

fn images(plan: &Plan) -> impl Iterator<Item = (&TargetName, &ImageDef)> {
    plan.targets.iter().flat_map(|(name, target)| match &target.kind {
        TargetKind::Image(images) => images.iter().map(move |image| (name, &**image)).collect::<Vec<_>>(),
        _ => Vec::new(),
    })
}

/// The registries of the plan's images; layouts are folders of the project and no registries.
fn of_plan(plan: &Plan) -> Result<Vec<Place>, Diagnostics> {
    let mut all: Vec<Place> = Vec::new();
    for (name, image) in images(plan) {
        for push in &image.push {
            let Some(registry) = plan.registries.get(&push.registry) else { continue };
            let RegistryPlace::Remote { host, prefix } = &registry.place else { continue };
            let repository = Repository::of([host, prefix, &image.repository])
                .map_err(|error| Diagnostic::plan("registry::name", error.to_string(), &push.span, "pushed to there"))?;
            let literal = image.tags.iter().filter_map(|(rule, _)| if let TagRule::Literal(tag) = rule { Some(tag.clone()) } else { None });
            let versions = image.tags.iter().any(|(rule, _)| matches!(rule, TagRule::Semver(_)));
            // Cells of one image may share a repository.
            if let Some(place) = all.iter_mut().find(|place| place.repository == repository) {
                place.literal.extend(literal);
                place.versions |= versions;
                continue;
            }
            all.push(Place {
                repository,
                image: Some(name.clone()),
                prune: image.prune.clone().or_else(|| registry.prune.clone()),
                registry: Some(registry.clone()),
                literal: literal.collect(),
                versions,
            });
        }
    }
    Ok(all)
}

impl Place {
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
        let leads = tag.as_str() == "latest" || tag.as_str().trim_start_matches('v').bytes().all(|byte| byte.is_ascii_digit());
        (self.versions && leads).then_some("leads its versions")
    }
}
