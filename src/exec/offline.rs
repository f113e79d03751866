//! What a run without connections would miss, before anything runs.
//! In: the steps that take part, and a session that opens no connection. Out: every thing that is not at hand, with its place.
//! Never: a connection; the local Docker daemon is no part of the network.

use std::collections::BTreeSet;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Span};
use crate::base::id::{StepId, StepName};
use crate::graph::ActionGraph;
use crate::graph::action::{ActionKind, FetchAction};
use crate::oci::reference::Reference;
use crate::plan::RegistryPlace;
use crate::plan::image::Elsewhere;
use crate::plan::target::ContainerImage;
use crate::registry::error::{Fault, RegistryError};
use crate::registry::session::Session;

/// Finds what `steps` would have to fetch or send.
pub async fn missing(session: &Session, graph: &ActionGraph, steps: &[StepId]) -> Diagnostics {
    let mut faults = Diagnostics::default();
    let mut asked = BTreeSet::new();
    let mut containers: Vec<(&ContainerImage, &Span)> = Vec::new();
    for action in steps.iter().map(|id| graph.action(*id)) {
        match &action.kind {
            ActionKind::Fetch(fetch) => {
                let Elsewhere::Registry { reference, span, .. } = &fetch.from else { continue };
                if !asked.insert((reference.to_string(), fetch.platform.to_string())) {
                    continue;
                }
                if reference.digest.is_none() {
                    let message = format!("`{reference}` is named by a tag, and `--offline` lets nobody ask what it means");
                    let fault = Diagnostic::new(Class::Environment, "registry::offline", message).label(span, "named here");
                    faults.push(fault.help("`kiln lock` pins it while there is a connection"));
                } else if let Err(error) = session.pull(reference, &fetch.platform).await {
                    faults.push(absent_image(&error, reference, fetch, &action.name).label(span, "needed here"));
                }
            }
            ActionKind::Push(publish) => {
                if let RegistryPlace::Remote { host, .. } = &publish.registry.place {
                    let message = format!("`{}` sends to `{host}`, and `--offline` forbids it", action.name);
                    let fault = Diagnostic::new(Class::Environment, "registry::offline", message).label(&action.span, "published here");
                    faults.push(fault.help(format!("`kiln run {}/build` stops before that", action.name.target)));
                }
            }
            ActionKind::Run(cell) => containers.extend(cell.container.iter().map(|inside| (&inside.image, &inside.span))),
            ActionKind::Up(up) => containers.push((&up.service.image, &up.service.image_span)),
            // Evidence and tags never come without their push.
            ActionKind::Build(_)
            | ActionKind::Index(_)
            | ActionKind::Scan(_)
            | ActionKind::Sbom(_)
            | ActionKind::Provenance(_)
            | ActionKind::Save(_)
            | ActionKind::Evidence(_)
            | ActionKind::Tag(_)
            | ActionKind::Group => {}
        }
    }
    faults.extend(absent(&containers).await);
    faults
}

fn absent_image(error: &RegistryError, reference: &Reference, fetch: &FetchAction, step: &StepName) -> Diagnostic {
    let fault = error.diagnostic();
    if *error.fault != Fault::Offline {
        return fault;
    }
    // The digest says nothing more to a person who wrote a tag.
    let written = Reference { digest: reference.digest.filter(|_| reference.tag.is_none()), ..reference.clone() };
    let message = format!("`{written}` for {} is not in the store, and `--offline` lets nobody fetch it", fetch.platform);
    Diagnostic { message, ..fault }.help(format!("`kiln run {step}` without `--offline` brings it there"))
}

/// Images of containers that the daemon does not have. A daemon that is not there is the fault of the step that needs it.
#[cfg(feature = "docker")]
async fn absent(containers: &[(&ContainerImage, &Span)]) -> Diagnostics {
    use crate::engine::docker::Docker;
    let mut faults = Diagnostics::default();
    let mut asked = BTreeSet::new();
    let mut daemon = None;
    for (image, span) in containers {
        let ContainerImage::Reference(reference) = image else { continue };
        if !asked.insert(reference.to_string()) {
            continue;
        }
        if daemon.is_none() {
            daemon = Docker::connect().await.ok();
        }
        let Some(docker) = &daemon else { break };
        if let Ok(None) = docker.image_id(&reference.to_string()).await {
            let message = format!("Docker does not have `{reference}`, and `--offline` lets nobody pull it");
            let fault = Diagnostic::new(Class::Environment, "registry::offline", message).label(span, "needed here");
            faults.push(fault.help(format!("`docker pull {reference}` while there is a connection")));
        }
    }
    faults
}

#[cfg(not(feature = "docker"))]
async fn absent(_containers: &[(&ContainerImage, &Span)]) -> Diagnostics {
    Diagnostics::default()
}
