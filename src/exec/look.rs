//! The question before every step: does it have to run, and why.

use crate::base::digest::ActionKey;
use crate::base::id::{StepId, StepKind};
use crate::base::pattern::Pattern;
use crate::engine::Machine;
use crate::engine::publish::{self, Standing};
use crate::event::{Ended, Origin};
use crate::graph::action::{Action, ActionKind};
use crate::graph::ingredients::Ingredients;
use crate::key::explain;
use crate::key::{self, KeyManifest};
use crate::plan::basis::Values;
use crate::record::history::StepHistory;
use crate::store::held::Held;
use crate::store::outputs::{self, State};
use crate::store::record::Recorded;
use crate::store::restore::Contents;
use crate::store::result::{ActionResult, OutputEntry};

use super::gather::{self, GatherError, Gathered, Ground, Product};

/// What is known of a step before it runs.
#[derive(Debug)]
pub struct Look {
    /// All that it takes in.
    pub taken: Ingredients,
    /// Its key.
    pub key: ActionKey,
    /// Whether its result may be kept and found again.
    pub cacheable: bool,
    /// What follows.
    pub verdict: Verdict,
}

/// What follows from the key.
#[derive(Debug)]
pub enum Verdict {
    /// Its result is known; where it stands.
    Known {
        /// The result.
        result: Box<ActionResult>,
        /// The contents that its record holds, where the store was asked for it.
        held: Held,
        /// Whether something must be written back.
        origin: Origin,
    },
    /// It must run.
    Runs {
        /// Why, in one clause.
        why: String,
    },
}

/// Looks at one step whose needs ended well.
///
/// # Errors
/// [`GatherError`].
pub fn look<'p>(
    ground: Ground<'_>,
    history: &StepHistory,
    id: StepId,
    force: bool,
    products: impl Fn(StepId) -> Option<&'p Product>,
) -> Result<Look, GatherError> {
    let graph = ground.graph;
    let action = graph.action(id);
    let Gathered { taken, failed_need } = gather::gather(ground, id, products)?;
    let key = key::key(action, &taken);
    let verdict = match failed_need {
        Some(need) => Verdict::Runs { why: format!("`{}`, which may fail, failed", graph.action(need).name) },
        None => judge(ground, history, id, &taken, key, force),
    };
    Ok(Look { taken, key, cacheable: is_cacheable(action) && failed_need.is_none(), verdict })
}

/// Whether the result of this action may be taken from an earlier run at all.
#[must_use]
pub fn is_cacheable(action: &Action) -> bool {
    match &action.kind {
        ActionKind::Run(cell) => cell.inputs.is_some() && !cell.interactive && cell.exec_in.is_none(),
        ActionKind::Fetch(fetch) => !fetch.from.is_mutable(),
        ActionKind::Build(_)
        | ActionKind::Index(_)
        | ActionKind::Scan(_)
        | ActionKind::Sbom(_)
        | ActionKind::Provenance(_)
        | ActionKind::Save(_) => true,
        ActionKind::Push(_) | ActionKind::Evidence(_) | ActionKind::Tag(_) | ActionKind::Up(_) | ActionKind::Group => false,
    }
}

fn judge(ground: Ground<'_>, history: &StepHistory, id: StepId, taken: &Ingredients, key: ActionKey, force: bool) -> Verdict {
    let Ground { machine, tree, .. } = ground;
    let action = ground.graph.action(id);
    let runs = |why: &str| Verdict::Runs { why: why.to_owned() };
    if force {
        return runs("asked with --force");
    }
    if matches!(action.kind, ActionKind::Group) {
        return in_place(ActionResult::empty(machine.run.clone()), Held::default());
    }
    if let ActionKind::Push(publication) | ActionKind::Tag(publication) = &action.kind {
        let tags = matches!(action.kind, ActionKind::Tag(_));
        return match publish::standing(machine, taken, publication, tags) {
            Standing::Complete(detail) => {
                in_place(ActionResult { detail: Some(detail), ..ActionResult::empty(machine.run.clone()) }, Held::default())
            }
            Standing::Incomplete => runs("it is not there yet"),
            Standing::Unknown => runs("the registry is asked each time"),
        };
    }
    if !is_cacheable(action) {
        return runs(match &action.kind {
            ActionKind::Fetch(_) if action.name.kind == StepKind::Base => "its base is named by a tag, which can move",
            ActionKind::Fetch(_) => "it is named by a tag, which can move",
            ActionKind::Run(cell) if cell.interactive => "it is interactive",
            ActionKind::Run(cell) if cell.exec_in.is_some() => "it looks at a running service",
            ActionKind::Up(_) => "a service is looked at each time",
            ActionKind::Evidence(_) => "what stands beside the image is looked at each time",
            _ => "it declares no inputs",
        });
    }
    let standing = |result: &ActionResult| outputs::verify(&machine.stats, tree, &result.outputs, &declared(action));
    // What was found lately proves what the outputs are; only the store can give them back.
    let seen = match machine.lately.result(key).map(|result| (standing(&result), result)) {
        Some((Ok(State::InPlace), result)) => return in_place(result, Held::default()),
        seen => seen,
    };
    let Ok(Some(Recorded { result, held })) = machine.store.recorded(key) else {
        return runs(&reason(machine, history, action, taken, &ground.graph.basis(id)));
    };
    if let Some(image) = &result.image
        && let Some(gone) = image.blobs.iter().find(|blob| machine.store.size_of(blob.0).is_none())
    {
        return Verdict::Runs { why: format!("its result is no longer in the store ({})", gone.0.short()) };
    }
    if let Some((name, _)) = result.documents.iter().find(|(_, digest)| machine.store.size_of(digest.0).is_none()) {
        return Verdict::Runs { why: format!("its {name} is no longer in the store") };
    }
    let state = match seen {
        Some((state, lately)) if lately.outputs == result.outputs => state,
        _ => standing(&result),
    };
    match state {
        Ok(State::InPlace) => {
            machine.lately.remember(key, &result);
            in_place(result, held)
        }
        Ok(State::Damaged(_)) => {
            if let Some(gone) = result.outputs.iter().find(|output| !is_kept(machine, &held, &output.entry)) {
                return Verdict::Runs { why: format!("`{}` is gone and no longer in the store", gone.path) };
            }
            machine.lately.remember(key, &result);
            Verdict::Known { result: Box::new(result), held, origin: Origin::Restored }
        }
        Err(faults) => {
            Verdict::Runs { why: faults.first().map_or_else(String::new, |fault| format!("its outputs cannot be read: {fault}")) }
        }
    }
}

/// A result of which nothing must be written back.
fn in_place(result: ActionResult, held: Held) -> Verdict {
    Verdict::Known { result: Box::new(result), held, origin: Origin::InPlace }
}

/// What a step declares to make.
#[must_use]
pub fn declared(action: &Action) -> Vec<Pattern> {
    action.kind.outputs().into_iter().map(|output| output.pattern.clone()).collect()
}

fn is_kept(machine: &Machine, held: &Held, entry: &OutputEntry) -> bool {
    match entry {
        OutputEntry::File { digest, size, .. } => Contents { store: &machine.store, held }.has(*digest, *size),
        OutputEntry::Link { .. } | OutputEntry::Folder => true,
    }
}

/// Why there is no result for this key: what changed since the step last ran well here.
fn reason(machine: &Machine, history: &StepHistory, action: &Action, taken: &Ingredients, basis: &Values) -> String {
    match last_manifest(machine, history, action) {
        Some(old) => {
            let changes = explain::differences(&old, &key::manifest(action, taken));
            let changes = explain::roots(changes, explain::values(&old.basis(), basis));
            match history.get(&action.name).map(|last| last.ended) {
                _ if !changes.is_empty() => explain::reason(&changes),
                Some(Ended::Failed { .. }) => "it failed last time".to_owned(),
                _ => "its last run left no result".to_owned(),
            }
        }
        None => "it has not run here before".to_owned(),
    }
}

/// What went into the key when the step last ran, as far as this machine remembers.
#[must_use]
pub fn last_manifest(machine: &Machine, history: &StepHistory, action: &Action) -> Option<KeyManifest> {
    let last = history.get(&action.name)?;
    let bytes = machine.store.kept(last.key, last.manifest?, 256 << 20)?;
    serde_json::from_slice(&bytes).ok()
}
