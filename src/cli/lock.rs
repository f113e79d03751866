//! `kiln lock`: pins what can move, moves pins that are asked to, and says what would move.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Span};
use crate::plan::Plan;
use crate::plan::lock::{self, ImageName, ImagePin, ImageUse, Lock, Named};
use crate::registry::session::Session;
use crate::report::lock_table::{self, LockView, Moved};
use crate::sys::{file, folder_lock};

use super::args::LockHow;
use super::open::{self, Views};
use super::output::Output;
use super::remote::Reach;
use super::settings::Settings;
use super::{machine, pins, run, tools};

/// References that are looked at at the same time.
const PARALLEL: usize = 8;

/// # Errors
/// The faults of the plan and of the lock; a name that the plan does not have; what a registry could not say.
pub fn lock(settings: &Settings, output: &Output, how: &LockHow) -> Result<u8, Diagnostics> {
    if settings.frozen && !how.check {
        let fault = Diagnostic::new(Class::Usage, "lock::frozen", "`--frozen` lets nobody write the lock");
        return Err(fault.help("`kiln lock --check` looks whether it is current").into());
    }
    // Two that pin different things wait for each other, and so both pins stay.
    let folder = settings.lock().parent().unwrap_or_else(|| settings.root.clone());
    let _alone = if how.check { None } else { Some(folder_lock::lock(folder).map_err(disk)?) };
    let old = pins::load(settings)?;
    let known = old.as_ref().unwrap_or(const { &Lock::NONE });
    let everything = how.check || how.update.as_ref().is_some_and(Vec::is_empty);
    let mut views = open::views(settings, Reach::Anew(&|_| everything))?;
    let mut moving = asked(&views, how)?;
    if !everything && !moving.includes.is_empty() {
        // What a plan includes may name other things once it has moved.
        let moves = |source: &str| moving.includes.iter().any(|(known, _)| known == source);
        views = open::views(settings, Reach::Anew(&moves))?;
        moving = asked(&views, how).unwrap_or(moving);
    }
    output.show(&views.asked.warnings);
    let plans = plans(&views);
    let mut new = Lock { includes: views.found.includes.clone(), ..Lock::default() };
    let mut warnings = Vec::new();
    let mut open: Vec<Vec<ImageUse>> = plans.iter().map(|_| Vec::new()).collect();
    for (plan, used) in images(&plans) {
        match known.images.get(&used.name).filter(|_| !everything && !moving.images.contains(&used.name)) {
            Some(pin) => drop(new.images.insert(used.name, pin.clone())),
            None => open[plan].push(used),
        }
    }
    for (plan, open) in plans.iter().zip(open).filter(|(_, open)| !open.is_empty()) {
        let session = machine::session(settings, plan)?;
        let old = |name: &ImageName| known.images.get(name).cloned();
        new.images.extend(run::runtime()?.block_on(survey(&session, open, &old, &mut warnings))?);
    }
    for (index, plan) in plans.iter().enumerate() {
        let (here, wanted) = (tools::tools(settings, plan), tools::used(plan));
        for tool in &plan.tools {
            let Some(needed) = wanted.get(&tool.name).filter(|_| !new.tools.contains_key(&tool.name)) else { continue };
            // What a machine has is no news from elsewhere: a check asks only where there is no pin.
            let moves = how.update.as_ref().is_some_and(Vec::is_empty) || moving.tools.contains(&tool.name);
            let pinned = known.tools.get(&tool.name);
            let version = match pinned.filter(|_| !moves).cloned().map_or_else(|| tools::version(&here, tool), Ok) {
                Ok(version) => Some(version),
                Err(fault) if *needed && index == 0 => return Err(fault.into()),
                Err(fault) => {
                    warnings.push(unneeded(fault));
                    pinned.cloned()
                }
            };
            new.tools.extend(version.map(|version| (tool.name.clone(), version)));
        }
    }
    warnings.extend(unknown(&views, known, &mut new));
    output.show(&warnings);
    finish(settings, output, how, old.as_ref(), &new)
}

/// The plan as it was asked for, then as the other profiles make it.
fn plans(views: &Views) -> Vec<&Plan> {
    let others = views.others.iter().filter_map(|view| view.resolved.as_ref().ok());
    std::iter::once(&views.asked).chain(others).map(|resolved| &resolved.plan).collect()
}

/// Every image that one of the plans names, each once, with a plan that does: one that needs it, if there is one.
fn images(plans: &[&Plan]) -> Vec<(usize, ImageUse)> {
    let mut all: Vec<(usize, ImageUse)> = Vec::new();
    let mut places: HashMap<ImageName, usize> = HashMap::new();
    for (plan, used) in
        plans.iter().enumerate().flat_map(|(index, plan)| lock::images(plan.targets.values()).into_iter().map(move |used| (index, used)))
    {
        match places.get(&used.name) {
            None => {
                places.insert(used.name.clone(), all.len());
                all.push((plan, used));
            }
            Some(at) if used.needed && !all[*at].1.needed => all[*at] = (plan, used),
            Some(_) => {}
        }
    }
    all
}

/// Keeps every pin where the plan has faults under a profile, for what it uses then is not known. That there is no plan without a
/// profile is no fault: a plan may want one.
fn unknown(views: &Views, known: &Lock, new: &mut Lock) -> Vec<Diagnostic> {
    let faulty = views.others.iter().filter(|view| view.resolved.is_err());
    let names: Vec<&String> = faulty.filter_map(|view| view.profile.as_ref()).collect();
    if !names.is_empty() {
        for (name, pin) in &known.images {
            new.images.entry(name.clone()).or_insert_with(|| pin.clone());
        }
        for (name, version) in &known.tools {
            new.tools.entry(name.clone()).or_insert_with(|| version.clone());
        }
    }
    let warning = |name: &&String| {
        let message = format!("with the profile `{name}` the plan has faults, so no pin is removed");
        let fault = Diagnostic::new(Class::Plan, "lock::profile", message);
        fault.warning().help(format!("`kiln --profile {name} lock` says what is wrong"))
    };
    names.iter().map(warning).collect()
}

/// Tells what is different, and writes it unless only a look was asked for.
fn finish(settings: &Settings, output: &Output, how: &LockHow, old: Option<&Lock>, new: &Lock) -> Result<u8, Diagnostics> {
    let text = new.to_string();
    let stands = file::optional(file::read(settings.lock(), u64::MAX)).map_err(disk)?;
    let current = match &stands {
        Some(bytes) => *bytes == text.as_bytes(),
        None => new.is_empty(),
    };
    let written = !how.check && !current;
    if written {
        file::write_atomic(settings.lock(), text.as_bytes(), true).map_err(disk)?;
    }
    let changes = lock::changes(old.unwrap_or(const { &Lock::NONE }), new).into_iter().map(|change| Moved {
        kind: change.kind.word(),
        name: change.name,
        platform: change.platform,
        old: change.old,
        new: change.new,
    });
    let view = LockView { file: settings.lock_name(), current, written, pins: new.len(), changes: changes.collect() };
    output.answer(&if output.json { lock_table::json(&view) } else { lock_table::screen(&view, output.out) });
    Ok(if how.check && !current { Class::Step.exit_code() } else { 0 })
}

/// What was typed behind `--update`.
fn asked(views: &Views, how: &LockHow) -> Result<Named, Diagnostics> {
    let plans = plans(views);
    let all = Named {
        images: images(&plans).into_iter().map(|(_, used)| used.name).collect(),
        includes: views.found.names.clone(),
        tools: plans.iter().flat_map(|plan| tools::used(plan).into_keys()).collect(),
    };
    let (mut found, mut faults) = (Named::default(), Diagnostics::default());
    for name in how.update.iter().flatten() {
        match lock::named(&all, name) {
            Ok(one) => {
                found.images.extend(one.images);
                found.includes.extend(one.includes);
                found.tools.extend(one.tools);
            }
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// Asks registries what names mean today; all that cannot be answered, at once. What no target needs keeps the pin that it has, if
/// nobody answers.
async fn survey(
    session: &Session,
    uses: Vec<ImageUse>,
    old: &dyn Fn(&ImageName) -> Option<ImagePin>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Vec<(ImageName, ImagePin)>, Diagnostics> {
    let turns = Arc::new(tokio::sync::Semaphore::new(PARALLEL));
    let mut tasks = tokio::task::JoinSet::new();
    for used in uses {
        let (session, turns) = (session.clone(), Arc::clone(&turns));
        tasks.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let found = session.survey(used.name.reference()).await;
            match found {
                Ok(found) => Ok((used.name, ImagePin { digest: found.root.digest, platforms: found.platforms })),
                Err(error) => Err((placed(error.diagnostic(), &used.span), used)),
            }
        });
    }
    let (mut found, mut faults) = (Vec::new(), Diagnostics::default());
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(Ok(pin)) => found.push(pin),
            Ok(Err((fault, used))) if used.needed => faults.push(fault),
            Ok(Err((fault, used))) => {
                warnings.push(unneeded(fault));
                found.extend(old(&used.name).map(|pin| (used.name, pin)));
            }
            Err(error) => faults.push(Diagnostic::new(Class::Internal, "lock::survey", error.to_string())),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// Why something has no pin that nothing asked for needs.
fn unneeded(fault: Diagnostic) -> Diagnostic {
    Diagnostic { code: "lock::left-out", ..fault.warning() }.help("nothing that was asked for needs it, so it gets no new pin here")
}

/// A fault of the world with the line of the plan that led there.
fn placed(fault: Diagnostic, span: &Span) -> Diagnostic {
    fault.label(span, "named here")
}

fn disk(error: file::FileError) -> Diagnostic {
    Diagnostic::new(Class::Environment, "lock::disk", error.to_string())
        .help("the lock stands beside the plan; see whether this user may write there")
}
