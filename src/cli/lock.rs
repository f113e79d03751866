//! `kiln lock`: pins what can move, moves pins that are asked to, and says what would move.

use std::sync::Arc;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Span};
use crate::plan::Resolved;
use crate::plan::lock::{self, ImageName, ImagePin, ImageUse, Lock, Named};
use crate::registry::session::Session;
use crate::report::lock_table::{self, LockView, Moved};
use crate::sys::{file, folder_lock};

use super::args::LockHow;
use super::open::{self, World};
use super::output::Output;
use super::remote::{Found, Reach};
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
    let (mut resolved, mut found) = open::resolve(settings, World::Asked, Reach::Anew(&|_| everything))?;
    let mut moving = asked(&resolved, &found, how)?;
    if !everything && !moving.includes.is_empty() {
        // What a plan includes may name other things once it has moved.
        let moves = |source: &str| moving.includes.iter().any(|(known, _)| known == source);
        (resolved, found) = open::resolve(settings, World::Asked, Reach::Anew(&moves))?;
        moving = asked(&resolved, &found, how).unwrap_or(moving);
    }
    output.show(&resolved.warnings);
    let uses = lock::images(resolved.plan.targets.values());
    let stays = |name: &ImageName| !everything && !moving.images.contains(name);
    let mut new = Lock { includes: found.includes, ..Lock::default() };
    let mut open = Vec::new();
    for used in &uses {
        match known.images.get(&used.name).filter(|_| stays(&used.name)) {
            Some(pin) => drop(new.images.insert(used.name.clone(), pin.clone())),
            None => open.push(used.clone()),
        }
    }
    if !open.is_empty() {
        let session = machine::session(settings, &resolved.plan)?;
        new.images.extend(run::runtime()?.block_on(survey(&session, open))?);
    }
    let here = tools::tools(settings, &resolved.plan);
    let wanted = tools::used(&resolved.plan);
    for tool in resolved.plan.tools.iter().filter(|tool| wanted.contains(&tool.name)) {
        // What a machine has is no news from elsewhere: a check asks only where there is no pin.
        let moves = how.update.as_ref().is_some_and(Vec::is_empty) || moving.tools.contains(&tool.name);
        let version = match known.tools.get(&tool.name).filter(|_| !moves) {
            Some(pinned) => pinned.clone(),
            None => tools::version(&here, tool)?,
        };
        new.tools.insert(tool.name.clone(), version);
    }
    finish(settings, output, how, old.as_ref(), &new)
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
fn asked(resolved: &Resolved, remote: &Found, how: &LockHow) -> Result<Named, Diagnostics> {
    let images = lock::images(resolved.plan.targets.values()).into_iter().map(|used| used.name).collect();
    let all = Named { images, includes: remote.names.clone(), tools: tools::used(&resolved.plan) };
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

/// Asks registries what names mean today; all that cannot be answered, at once.
async fn survey(session: &Session, uses: Vec<ImageUse>) -> Result<Vec<(ImageName, ImagePin)>, Diagnostics> {
    let turns = Arc::new(tokio::sync::Semaphore::new(PARALLEL));
    let mut tasks = tokio::task::JoinSet::new();
    for used in uses {
        let (session, turns) = (session.clone(), Arc::clone(&turns));
        tasks.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let found = session.survey(used.name.reference()).await;
            found
                .map(|found| (used.name, ImagePin { digest: found.root.digest, platforms: found.platforms }))
                .map_err(|error| placed(error.diagnostic(), &used.span))
        });
    }
    let (mut found, mut faults) = (Vec::new(), Diagnostics::default());
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(Ok(pin)) => found.push(pin),
            Ok(Err(fault)) => faults.push(fault),
            Err(error) => faults.push(Diagnostic::new(Class::Internal, "lock::survey", error.to_string())),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// A fault of the world with the line of the plan that led there.
fn placed(fault: Diagnostic, span: &Span) -> Diagnostic {
    fault.label(span, "named here")
}

fn disk(error: file::FileError) -> Diagnostic {
    Diagnostic::new(Class::Environment, "lock::disk", error.to_string())
        .help("the lock stands beside the plan; see whether this user may write there")
}
