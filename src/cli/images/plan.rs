//! Images of the plan, as they were last built here.

use crate::base::diagnostic::Diagnostic;
use crate::base::id::{StepKind, StepName};
use crate::base::platform::Platform;
use crate::base::words;
use crate::event::{Ended, Event};
use crate::image::build::BaseImage;
use crate::record::history::StepHistory;
use crate::record::journal::Journal;
use crate::store::local::Store;

use super::super::machine;
use super::super::open::Opened;
use super::super::settings::Settings;
use super::{Found, Wanted, no_image, no_platform, unsound};

/// Runs on record that are looked through for former builds, and such builds of one platform.
const MOST_RUNS: usize = 100;
const MOST_FORMER: usize = 10;

/// The steps that make one image of the plan.
pub struct Steps {
    /// `web`, or `web[variant=slim]`.
    pub cell: String,
    /// The step that joins its platforms.
    pub index: Option<StepName>,
    /// One per platform, in the order of the plan.
    pub builds: Vec<StepName>,
    /// The platform that was named behind `@`.
    pub platform: Option<Platform>,
}

/// Finds the steps of an image of the plan.
///
/// # Errors
/// When the text names no image, or one of several cells.
pub fn steps(opened: &Opened, text: &str) -> Result<Steps, Diagnostic> {
    let (name, asked) = text.split_once('@').map_or((text, None), |(name, platform)| (name, Some(platform)));
    let asked =
        asked.map(str::parse::<Platform>).transpose().map_err(|error| no_image(text, &format!("names no platform: {error}"), ""))?;
    let target = name.split('[').next().unwrap_or(name);
    let of_image = |step: &&StepName| step.target.as_str() == target && matches!(step.kind, StepKind::Build | StepKind::Index);
    let steps: Vec<&StepName> = opened.graph.order().iter().map(|id| &opened.graph.action(*id).name).filter(of_image).collect();
    if steps.is_empty() {
        return Err(no_image(text, "is no image of the plan", "`kiln list` shows them"));
    }
    let mut cells: Vec<String> = steps.iter().map(|step| format!("{}{}", step.target, step.cell)).collect();
    cells.dedup();
    let cell = match cells.as_slice() {
        [only] if !name.contains('[') => only,
        several => several.iter().find(|cell| *cell == name).ok_or_else(|| {
            let known: Vec<String> = several.iter().take(10).map(|cell| format!("`{cell}`")).collect();
            no_image(text, "names no single image", &format!("name one cell of its matrix: {}", words::list(&known, "or")))
        })?,
    };
    let own = steps.iter().filter(|step| format!("{}{}", step.target, step.cell) == *cell);
    let (indexes, builds): (Vec<&StepName>, Vec<&StepName>) = own.copied().partition(|step| step.kind == StepKind::Index);
    let builds = builds.into_iter().cloned().collect();
    Ok(Steps { cell: cell.clone(), index: indexes.first().map(|step| (*step).clone()), builds, platform: asked })
}

pub(super) fn of_plan(settings: &Settings, opened: &Opened, text: &str, wanted: Wanted<'_>) -> Result<Found, Diagnostic> {
    let Steps { cell, index, builds, platform: asked } = steps(opened, text)?;
    let wanted = Wanted { platform: wanted.platform.or(asked.as_ref()), ..wanted };
    let store = machine::store(settings)?;
    let history = StepHistory::load(settings.project().as_path());
    let built = |step: &StepName| {
        machine::last_result(&store, &history, step)
            .and_then(|result| result.image)
            .map(|image| image.descriptor)
            .ok_or_else(|| no_image(text, "was not built here, or its result is no longer kept", &format!("`kiln run {step}` builds it")))
    };
    let available: Vec<String> = builds.iter().filter_map(|step| step.platform.as_ref()).map(ToString::to_string).collect();
    let mut platforms = Vec::new();
    for step in &builds {
        let Some(platform) = step.platform.as_ref().filter(|platform| wanted.platform.is_none_or(|wanted| wanted == *platform)) else {
            continue;
        };
        platforms.push((platform.to_string(), BaseImage::read(&store, &built(step)?).map_err(|error| unsound(&error))?));
    }
    if let (true, Some(platform)) = (platforms.is_empty(), wanted.platform) {
        return Err(no_platform(text, platform, &available));
    }
    let top = match (&index, platforms.first()) {
        (Some(index), _) if wanted.platform.is_none() => built(index)?,
        (_, Some((_, image))) => image.descriptor.clone(),
        (_, None) => return Err(no_image(text, "has no build", "`kiln check` says what is wrong with the plan")),
    };
    let own = opened.plan.images().find(|(target, image)| format!("{}{}", target.name, image.cell) == cell);
    let recipes = own.map(|(_, image)| image.platforms.clone()).unwrap_or_default();
    let former = if wanted.former { former(settings, &store, &builds, &platforms) } else { Vec::new() };
    Ok(Found { store, top, available, platforms, recipes, referrers: Vec::new(), former })
}

/// What the runs on record built before, as far as the store still has it. A record that cannot be read costs advice alone.
fn former(settings: &Settings, store: &Store, builds: &[StepName], platforms: &[(String, BaseImage)]) -> Vec<(String, Vec<BaseImage>)> {
    let mut found: Vec<(String, Vec<BaseImage>)> = platforms.iter().map(|(platform, _)| (platform.clone(), Vec::new())).collect();
    let Ok(journal) = Journal::open(settings.project().as_path()) else { return found };
    for run in journal.runs().unwrap_or_default().iter().take(MOST_RUNS) {
        if found.iter().all(|(_, former)| former.len() >= MOST_FORMER) {
            break;
        }
        for event in journal.read(run).unwrap_or_default() {
            let Event::StepEnded { step, ended: Ended::Done | Ended::Cached { .. }, key: Some(key), .. } = event else { continue };
            let platform = step.platform.as_ref().filter(|_| builds.contains(&step)).map(ToString::to_string);
            let place = platform.and_then(|platform| found.iter().position(|(own, _)| *own == platform));
            let Some(at) = place.filter(|at| found[*at].1.len() < MOST_FORMER) else { continue };
            let Some(image) = store.result(key).ok().flatten().and_then(|result| result.image) else { continue };
            let (former, now) = (&mut found[at].1, &platforms[at].1);
            let newer = former.last().unwrap_or(now).descriptor.digest;
            if image.descriptor.digest != newer {
                former.extend(BaseImage::read(store, &image.descriptor));
            }
        }
    }
    found
}
