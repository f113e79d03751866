//! Where a plan names something that can move, and the pins put in their places.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::platform::Platform;
use crate::oci::reference::Reference;
use crate::plan::Plan;
use crate::plan::image::{Elsewhere, Origin};
use crate::plan::target::{ContainerImage, Target, TargetKind};

use super::{ImageName, Lock};

/// An image that the plan takes from a registry by a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUse {
    /// Which.
    pub name: ImageName,
    /// The first place that names it.
    pub span: Span,
    /// The platforms that it is wanted for; containers take what their daemon takes.
    pub platforms: BTreeSet<Platform>,
    /// Whether a target names it that takes part in the plan. What only left-out targets name can be pinned, and need not be.
    pub needed: bool,
}

/// Every image of these targets that can move, in their order, each once.
#[must_use]
pub fn images<'t>(targets: impl Iterator<Item = &'t Target>) -> Vec<ImageUse> {
    let mut order: Vec<ImageUse> = Vec::new();
    let mut known: BTreeMap<ImageName, usize> = BTreeMap::new();
    let mut see = |target: &Target, reference: &Reference, platform: Option<&Platform>, span: &Span| {
        let Some(name) = ImageName::of(reference) else { return };
        let at = *known.entry(name.clone()).or_insert_with(|| {
            order.push(ImageUse { name, span: span.clone(), platforms: BTreeSet::new(), needed: false });
            order.len() - 1
        });
        order[at].platforms.extend(platform.cloned());
        order[at].needed |= target.left_out.is_none();
    };
    for target in targets {
        match &target.kind {
            TargetKind::Task(cells) => {
                for container in cells.iter().filter_map(|cell| cell.container.as_ref()) {
                    if let ContainerImage::Reference(reference) = &container.image {
                        see(target, reference, None, &container.span);
                    }
                }
            }
            TargetKind::Image(images) => {
                for recipe in images.iter().flat_map(|image| &image.platforms) {
                    for elsewhere in recipe.origins().filter_map(Origin::elsewhere) {
                        if let Elsewhere::Registry { reference, span, .. } = elsewhere {
                            see(target, reference, Some(&recipe.platform), span);
                        }
                    }
                }
            }
            TargetKind::Service(service) => {
                if let ContainerImage::Reference(reference) = &service.image {
                    see(target, reference, None, &service.image_span);
                }
            }
            TargetKind::Group(_) => {}
        }
    }
    order
}

/// Puts the pinned digests into the places of the plan that name images by tag. From here on a tag that moved changes
/// nothing, and the digest is part of every key and of the plan digest.
pub fn pin(plan: &mut Plan, lock: &Lock) {
    let put = |reference: &mut Reference, platform: Option<&Platform>| {
        if let Some(pin) = ImageName::of(reference).and_then(|name| lock.images.get(&name)) {
            reference.digest = Some(platform.map_or(pin.digest, |platform| pin.for_platform(platform)));
        }
    };
    for tool in &mut plan.tools {
        tool.pinned = lock.tools.get(&tool.name).cloned();
    }
    for target in plan.targets.values_mut() {
        match &mut target.kind {
            TargetKind::Task(cells) => {
                let contained = cells.iter_mut().filter(|cell| cell.container.is_some());
                for container in contained.filter_map(|cell| Arc::make_mut(cell).container.as_mut()) {
                    if let ContainerImage::Reference(reference) = &mut container.image {
                        put(reference, None);
                    }
                }
            }
            TargetKind::Image(images) => {
                for recipe in images.iter_mut().flat_map(|image| &mut Arc::make_mut(image).platforms).map(Arc::make_mut) {
                    let platform = recipe.platform.clone();
                    for origin in recipe.origins_mut() {
                        if let Origin::Elsewhere(Elsewhere::Registry { reference, .. }) = origin {
                            put(reference, Some(&platform));
                        }
                    }
                }
            }
            TargetKind::Service(service) => {
                if let ContainerImage::Reference(reference) = &mut service.image {
                    put(reference, None);
                }
            }
            TargetKind::Group(_) => {}
        }
    }
}

/// The images that the plan needs and the lock does not pin.
pub fn unpinned<'a>(uses: &'a [ImageUse], lock: &'a Lock) -> impl Iterator<Item = &'a ImageUse> {
    uses.iter().filter(|used| used.needed && !lock.images.contains_key(&used.name))
}

/// The fault of a name without a pin where every name must have one; as a warning where it may be asked for.
#[must_use]
pub fn missing_fault(used: &ImageUse, file: &str) -> Diagnostic {
    let message = format!("`{}` is not pinned in {file}", used.name);
    Diagnostic::plan("lock::unpinned", message, &used.span, "a tag can move").help("`kiln lock` pins it")
}
