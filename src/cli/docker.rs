//! What the commands ask of Docker.

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::StepName;
use crate::engine::docker::Docker;
use crate::graph::select::Selection;
use crate::oci::reference::Reference;
use crate::record::history::StepHistory;

use super::args::How;
use super::open::Opened;
use super::output::Output;
use super::run::{self, Around};
use super::settings::Settings;

/// Builds one image and loads it.
///
/// # Errors
/// [`Diagnostics`].
pub fn load(
    settings: &Settings,
    output: &Output,
    opened: &Opened,
    selection: Selection,
    step: &StepName,
    name: &str,
    how: &How,
) -> Result<u8, Diagnostics> {
    let reference: Reference =
        name.parse().map_err(|error| Diagnostic::new(Class::Usage, "load::name", format!("{error}")).help("write it like `web:dev`"))?;
    let runtime = run::runtime()?;
    // The daemon is greeted before anything is built, so that nobody waits for a build that cannot be loaded.
    let docker = runtime.block_on(Docker::connect()).map_err(|error| error.diagnostic())?;
    let what = run::What { selection, targets: vec![step.to_string()], around: Around::default() };
    let carried = run::carry_out(settings, output, opened, what, how)?;
    let machine = carried.machine;
    if carried.code != 0 {
        return Ok(carried.code);
    }
    let history = StepHistory::load(settings.project().as_path());
    let image = super::machine::last_result(&machine.store, &history, step).and_then(|result| result.image).map(|image| image.descriptor);
    let image = image.ok_or_else(|| {
        Diagnostic::new(Class::Environment, "load::gone", format!("the result of `{step}` is not in the store")).help("run it again")
    })?;
    let loaded = runtime.block_on(docker.load(&machine.store, &image, &reference)).map_err(|error| error.diagnostic())?;
    output.answer(&match loaded.sent {
        true => format!("loaded {name} ({}) into {}\n", image.digest, docker.host()),
        false => format!("{} has {name} ({}) already\n", docker.host(), image.digest),
    });
    Ok(0)
}
