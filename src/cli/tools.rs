//! The tools of a plan on this machine: what the plan takes, what the lock pins, and what is here.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::StepId;
use crate::engine::tools::Tools;
use crate::graph::action::ActionKind;
use crate::plan::Plan;
use crate::plan::target::TargetKind;
use crate::plan::tool::ToolDef;

use super::facts;
use super::open::Opened;
use super::settings::Settings;

/// Versions that are asked for when a step needs them.
pub fn tools(settings: &Settings, plan: &Plan) -> Tools {
    let root = settings.root.clone();
    Tools::new(
        plan,
        Box::new(move |check| {
            // Some programs print their version where others print errors.
            let script = format!("{{ {check}\n}} 2>&1");
            let answer = std::thread::scope(|scope| scope.spawn(|| facts::answer(&root, &script, LIMIT)).join());
            match answer {
                Ok(Ok(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
                Ok(Err(error)) => Err(format!("`{check}` {}", error.reason)),
                Err(_) => Err(format!("`{check}` could not be run")),
            }
        }),
    )
}

/// What a check may print, in bytes.
const LIMIT: u64 = 64 << 10;

/// The tools that tasks use and the plan declares, by name; whether a task that takes part in the plan uses it.
pub fn used(plan: &Plan) -> BTreeMap<String, bool> {
    let mut named: BTreeMap<String, bool> = BTreeMap::new();
    for target in plan.targets.values() {
        let TargetKind::Task(cells) = &target.kind else { continue };
        for name in cells.iter().flat_map(|cell| &cell.tools).filter(|name| plan.tools.iter().any(|tool| tool.name == **name)) {
            *named.entry(name.clone()).or_default() |= target.left_out.is_none();
        }
    }
    named
}

/// Holds the tools of `steps` against the plan and the lock.
///
/// # Errors
/// A version that the plan does not take; a check that fails; with `--frozen`, a version that is not pinned or is another one.
pub fn check(settings: &Settings, opened: &Opened, steps: &[StepId]) -> Result<Vec<Diagnostic>, Diagnostics> {
    let mut named = BTreeSet::new();
    for id in steps {
        if let ActionKind::Run(cell) = &opened.graph.action(*id).kind {
            named.extend(cell.tools.iter().cloned());
        }
    }
    let (mut faults, mut warnings) = (Diagnostics::default(), Vec::new());
    for tool in opened.plan.tools.iter().filter(|tool| named.contains(&tool.name)) {
        match one(settings, &opened.versions, tool, opened.locked) {
            Ok(warning) => warnings.extend(warning),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(warnings) } else { Err(faults) }
}

fn one(settings: &Settings, here: &Tools, tool: &ToolDef, locked: bool) -> Result<Option<Diagnostic>, Diagnostic> {
    let name = &tool.name;
    let version = version(here, tool)?;
    let file = settings.lock_name();
    let fault = match &tool.pinned {
        Some(pinned) if *pinned == version => return Ok(None),
        Some(pinned) => {
            Diagnostic::plan("lock::tool", format!("`{name}` is {version} here, and {file} pins {pinned}"), &tool.span, "another version")
                .help(format!("install {name} {pinned}, or move the pin: `kiln lock --update {name}`"))
        }
        None if !locked && !settings.frozen => return Ok(None),
        None => Diagnostic::plan(
            "lock::unpinned",
            format!("the version of `{name}` is not pinned in {file}"),
            &tool.span,
            "may be another one elsewhere",
        )
        .help("`kiln lock` pins it"),
    };
    if settings.frozen { Err(fault) } else { Ok(Some(fault.warning())) }
}

/// The version of a tool here, which the plan takes.
///
/// # Errors
/// A check that fails, and a version that the plan does not take.
pub fn version(here: &Tools, tool: &ToolDef) -> Result<String, Diagnostic> {
    let name = &tool.name;
    let asked = here.version(name).unwrap_or_else(|| Err("nobody says how".to_owned()));
    let version = asked.map_err(|why| {
        let fault = Diagnostic::new(Class::Environment, "tool::check", format!("the version of `{name}` cannot be found: {why}"));
        fault
            .label(&tool.span, "needed here")
            .help(format!("install {name}, or write how it tells its version: `check=\"{name} version\"`"))
    })?;
    match &tool.version {
        Some((wanted, span)) if !tool.takes(&version) => {
            let message = format!("`{name}` is {version} here, and the plan takes `{wanted}`");
            Err(Diagnostic::new(Class::Environment, "tool::version", message)
                .label(span, "not this version")
                .help(format!("install another {name}, or change `version=`")))
        }
        _ => Ok(version),
    }
}
