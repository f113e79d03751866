//! What an image was made of, all the way back: files that no step makes, images from elsewhere, programs.
//! In: the steps that led to it, all ended. Out: each thing once. Never: a file in another state than the one that a step was keyed by.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::id::StepId;
use crate::graph::action::ActionKind;
use crate::graph::ingredients::Material;
use crate::key;
use crate::plan::image::Elsewhere;
use crate::plan::target::ContainerImage;

use super::gather::{self, GatherError, Ground, Product};

/// Finds the materials of all steps before `id`.
///
/// # Errors
/// [`GatherError`], also when a file changed after the step that used it: then nobody can look at what was used.
pub(super) fn materials<'p>(
    ground: Ground<'_>,
    id: StepId,
    products: &dyn Fn(StepId) -> Option<&'p Product>,
) -> Result<Vec<Material>, GatherError> {
    let Ground { graph, .. } = ground;
    let (mut found, mut files) = (BTreeMap::new(), BTreeMap::new());
    for step in before(ground, id) {
        let action = graph.action(step);
        let Some(product) = products(step) else { continue };
        let taken = gather::gather(ground, step, products)?.taken;
        if key::key(action, &taken) != product.key {
            return Err(GatherError {
                reason: format!("what `{}` was made of has changed since", action.name),
                help: Some("run it again, without a change meanwhile".to_owned()),
            });
        }
        for file in taken.files.into_iter().flatten().filter(|file| !graph.is_output(&file.path)) {
            files.insert(file.path.clone(), file);
        }
        match &action.kind {
            ActionKind::Run(cell) => {
                for (name, _) in &taken.tools {
                    let (path, digest) = gather::find_tool(ground.machine, name)?;
                    let version = taken.versions.iter().find(|(own, _)| own == name).map(|(_, version)| version.clone());
                    found.insert(format!("tool {name}"), Material::Tool { name: name.clone(), path, digest, version });
                }
                if let Some(ContainerImage::Reference(reference)) = cell.container.as_ref().map(|inside| &inside.image)
                    && let Some(digest) = reference.digest
                {
                    let platform = cell.platform.as_ref().map(ToString::to_string).unwrap_or_default();
                    found.insert(
                        format!("image {reference} {platform}"),
                        Material::Image { repository: reference.repository.to_string(), digest, platform },
                    );
                }
            }
            ActionKind::Fetch(fetch) => {
                let repository = match &fetch.from {
                    Elsewhere::Registry { reference, .. } => reference.repository.to_string(),
                    Elsewhere::Layout { path, .. } => format!("oci:{path}"),
                };
                if let Some(image) = &product.result.image {
                    let digest = image.descriptor.digest;
                    let platform = fetch.platform.to_string();
                    found.insert(format!("image {repository}@{digest} {platform}"), Material::Image { repository, digest, platform });
                }
            }
            _ => {}
        }
    }
    Ok(found.into_values().chain(files.into_values().map(Material::File)).collect())
}

/// All steps that must end before this one, itself left out.
fn before(ground: Ground<'_>, id: StepId) -> BTreeSet<StepId> {
    let (mut found, mut open) = (BTreeSet::new(), vec![id]);
    while let Some(step) = open.pop() {
        for (need, _) in ground.graph.needs(step).into_iter().filter(|(_, edge)| edge.requires()) {
            if found.insert(need) {
                open.push(need);
            }
        }
    }
    found
}
