//! `kiln load IMAGE`: builds an image of the plan and puts it into the local Docker daemon.

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::StepKind;
use crate::base::platform::Platform;
use crate::base::words;
use crate::graph::select;
use crate::plan::target::TargetKind;

use super::args::How;
use super::open::{self, Opened};
use super::output::Output;
use super::settings::Settings;

/// # Errors
/// The faults of the plan, an unknown image, a daemon that is not there.
pub fn load(settings: &Settings, output: &Output, image: &str, name: Option<String>, how: &How) -> Result<u8, Diagnostics> {
    let (target, platform) = image.split_once('@').map_or((image, None), |(target, platform)| (target, Some(platform)));
    let host = Platform::host().to_string();
    let text = format!("{target}/build@{}", platform.unwrap_or(&host));
    let opened = open::open_for(settings, std::slice::from_ref(&text))?;
    output.show(&opened.warnings);
    check(&opened, target)?;
    let selection = select::select(&opened.graph, std::slice::from_ref(&text))?;
    let [id] = selection.asked.as_slice() else {
        let fault = Diagnostic::new(Class::Usage, "load::several", format!("`{image}` names {} builds", selection.asked.len()));
        return Err(fault.help("name one cell of its matrix: `kiln load 'web[variant=slim]'`").into());
    };
    opened.ready(settings, output, &selection.steps)?;
    let step = opened.graph.action(*id).name.clone();
    debug_assert_eq!(step.kind, StepKind::Build);
    let name = name.unwrap_or_else(|| format!("{}:kiln", step.target));
    into_daemon(settings, output, &opened, selection, &step, &name, how)
}

#[cfg(feature = "docker")]
use super::docker::load as into_daemon;

#[cfg(not(feature = "docker"))]
fn into_daemon(
    _settings: &Settings,
    _output: &Output,
    _opened: &Opened,
    _selection: select::Selection,
    step: &crate::base::id::StepName,
    _name: &str,
    _how: &How,
) -> Result<u8, Diagnostics> {
    let fault =
        Diagnostic::new(Class::Environment, "load::no-docker", format!("`{step}` cannot be loaded: this kiln was built without Docker"));
    Err(fault.help("build kiln with the feature `docker`").into())
}

/// Says plainly what is no image, before anything is looked for by the name of its build.
fn check(opened: &Opened, text: &str) -> Result<(), Diagnostic> {
    let name = text.split_once('[').map_or(text, |(name, _)| name);
    let images = || opened.plan.targets.values().filter(|target| matches!(target.kind, TargetKind::Image(_)));
    let target = opened.plan.targets.values().find(|target| target.name.as_str() == name);
    let message = match target.map(|target| &target.kind) {
        Some(TargetKind::Image(_)) => return Ok(()),
        Some(TargetKind::Task(_)) => format!("`{name}` is a task, not an image"),
        Some(TargetKind::Service(_)) => format!("`{name}` is a service, not an image"),
        Some(TargetKind::Group(_)) => format!("`{name}` is a group, not an image"),
        None => format!("there is no image `{}`", words::visible(name)),
    };
    let near = words::closest(name, images().map(|image| image.name.as_str()));
    let known: Vec<String> = images().take(20).map(|image| format!("`{}`", image.name)).collect();
    let help = match near {
        Some(near) if target.is_none() => format!("did you mean `{near}`?"),
        _ if known.is_empty() => "the plan has no images".to_owned(),
        _ => format!("images of the plan: {}", words::list(&known, "and")),
    };
    Err(Diagnostic::new(Class::Usage, "load::no-image", message).help(help))
}
