//! What a plan may say and this kiln cannot carry out yet: known before anything runs, so that nothing is half done.
//! In: a graph and the steps that take part. Out: one fault for each place of the plan that a step stands on.
//! Never: passes over something silently.

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Span};
use crate::base::id::StepId;
use crate::base::words;
use crate::graph::ActionGraph;
use crate::graph::action::{Action, ActionKind, ScanAction};
use crate::plan::image::{LayerDef, Recipe};
use crate::plan::isolation::{Isolation, MountSource, Network};
use crate::plan::policy::CustomRule;

/// Finds what `steps` ask for and nobody can do yet.
#[must_use]
pub fn not_yet(graph: &ActionGraph, steps: &[StepId]) -> Diagnostics {
    let mut faults = Diagnostics::default();
    let mut told: Vec<Span> = Vec::new();
    for id in steps {
        for (what, span, help) in wishes(graph.action(*id)) {
            // Cells and platforms of one target stand on the same place.
            if told.contains(span) {
                continue;
            }
            told.push(span.clone());
            let message = format!("{what} cannot be carried out by this kiln yet");
            let fault = Diagnostic::new(Class::Plan, "run::not-yet", message).label(span, "asked for here");
            faults.push(fault.help(help));
        }
    }
    faults
}

/// What, where, and what works in its place.
type Wish<'a> = (String, &'a Span, String);

fn wishes(action: &Action) -> Vec<Wish<'_>> {
    let name = &action.name.target;
    match &action.kind {
        ActionKind::Run(cell) => {
            let service = cell.exec_in.as_ref().map(|(service, span)| {
                let help = format!("start it in another way, and call its program from `{name}`");
                (format!("running `{name}` inside the service `{service}`"), span, help)
            });
            let walls = cell.container.as_ref().map(|container| contained(&container.isolation)).unwrap_or_default();
            service.into_iter().chain(walls).collect()
        }
        ActionKind::Up(_) => {
            let help = "`kiln check`, `list`, `plan` and `graph` know it; its image can be built and tested by name".to_owned();
            vec![(format!("starting the service `{name}`"), &action.span, help)]
        }
        ActionKind::Build(build) => built(&build.recipe),
        ActionKind::Scan(scan) => scanned(scan),
        ActionKind::Fetch(_)
        | ActionKind::Index(_)
        | ActionKind::Sbom(_)
        | ActionKind::Provenance(_)
        | ActionKind::Save(_)
        | ActionKind::Push(_)
        | ActionKind::Evidence(_)
        | ActionKind::Tag(_)
        | ActionKind::Group => Vec::new(),
    }
}

fn built(recipe: &Recipe) -> Vec<Wish<'_>> {
    let wish = |what: &str, span, help: &str| Some((what.to_owned(), span, help.to_owned()));
    let layers = recipe.layers.iter().filter_map(|layer| match layer {
        LayerDef::Copies(_) => None,
        LayerDef::Add(add) => wish("`add` in an image", &add.span, "unpack it in a `task` with an output, and `copy` that"),
        LayerDef::Run(run) => wish("`run` in an image", &run.span, "run it in a `task` with a `container`, and `copy` what it makes"),
    });
    let file = recipe
        .dockerfile
        .iter()
        .filter_map(|file| wish("building a Dockerfile", &file.span, "say it with `from`, `copy` and settings, which need no daemon"));
    layers.chain(file).collect()
}

/// What a scan would have to know. A rule about services alone asks nothing of an image.
fn scanned(scan: &ScanAction) -> Vec<Wish<'_>> {
    let policy = &scan.policy;
    let fail = scan.fail.iter().map(|(severity, span)| {
        let help = "leave `fail=` out; the policy's own rules and the bill of materials need no database".to_owned();
        (format!("looking for vulnerabilities of severity `{}`", severity.word()), span, help)
    });
    let age = policy.max_age.iter().map(|(_, _, span)| {
        ("judging the age of a base image".to_owned(), span, "pin the base by digest, and let the policy deny `mutable-base`".to_owned())
    });
    let of_images = |rule: &&CustomRule| rule.conditions.iter().all(|condition| condition.field.is_of_images());
    let rules = policy.custom.iter().filter(of_images).map(|rule| {
        let help = format!("leave `{}` out, or look at a field that only services have", rule.name);
        (format!("holding an image against the rule `{}`", rule.name), &rule.span, help)
    });
    fail.chain(age).chain(rules).collect()
}

fn contained(walls: &Isolation) -> Vec<Wish<'_>> {
    let volumes = walls.mounts.iter().filter_map(|mount| {
        let MountSource::Volume(name) = &mount.source else { return None };
        let help = "mount a folder of the project instead: `mount \"data/\" \"/data\"`".to_owned();
        Some((format!("mounting the volume `{name}` in a task"), &mount.span, help))
    });
    let networks = match &walls.network {
        Network::Named(names) => names.as_slice(),
        _ => &[],
    };
    let networks = networks.iter().map(|(name, span)| {
        let help = "`network` alone gives the task the engine's usual network".to_owned();
        (format!("joining the network {} from a task", words::list(&[name], "and")), span, help)
    });
    volumes.chain(networks).collect()
}
