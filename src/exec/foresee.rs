//! What a run would do, as far as it can be known before anything runs.

use std::collections::HashMap;
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::base::digest::{ActionKey, Blake3, Digest, PlanDigest};
use crate::base::id::StepId;
use crate::event::Origin;
use crate::graph::ingredients::Ingredients;
use crate::graph::{ActionGraph, select};
use crate::key::{self, KeyManifest};
use crate::oci::descriptor::Descriptor;
use crate::record::history::StepHistory;
use crate::store::result::ActionResult;

use super::gather::{self, GatherError, Ground, Product};
use super::look::{self, Look, Verdict};

/// What is foreseen of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreseen {
    /// Everything stands in place.
    InPlace,
    /// Its outputs are in the store and would be written back.
    Restorable,
    /// It would run, for this reason.
    Runs(String),
    /// That is known when this step has run.
    Depends(StepId),
}

/// A step, what is foreseen of it, and the image that it made where that is known.
#[derive(Debug, Clone)]
pub struct Sight {
    /// The step.
    pub step: StepId,
    /// What would become of it.
    pub foreseen: Foreseen,
    /// The image of a build or an index that would not run.
    pub image: Option<Descriptor>,
}

/// Looks at the steps, in the order given, many at once. Nothing is run and nothing but what is known of files is written.
#[must_use]
pub fn foresee(ground: Ground<'_>, history: &StepHistory, steps: &[StepId]) -> Vec<Sight> {
    let graph = ground.graph;
    let products: Vec<OnceLock<Product>> = (0..graph.len()).map(|_| OnceLock::new()).collect();
    let seen: Vec<OnceLock<Foreseen>> = (0..graph.len()).map(|_| OnceLock::new()).collect();
    for wave in waves(graph, steps) {
        wave.into_par_iter().with_min_len(16).for_each(|id| {
            let _ = seen[id.index()].set(foresee_one(ground, history, &products, id));
        });
    }
    let mut seen: Vec<Option<Foreseen>> = seen.into_iter().map(OnceLock::into_inner).collect();
    let image = |id: &StepId| Some(products[id.index()].get()?.result.image.as_ref()?.descriptor.clone());
    steps.iter().filter_map(|id| Some(Sight { step: *id, foreseen: seen[id.index()].take()?, image: image(id) })).collect()
}

fn foresee_one(ground: Ground<'_>, history: &StepHistory, products: &[OnceLock<Product>], id: StepId) -> Foreseen {
    let product = |need: StepId| products[need.index()].get();
    let unknown = ground.graph.needs(id).into_iter().find(|(need, edge)| edge.requires() && product(*need).is_none());
    if let Some((need, _)) = unknown {
        return Foreseen::Depends(need);
    }
    match look::look(ground, history, id, false, product) {
        Ok(look) => match look.verdict {
            Verdict::Runs { why } => Foreseen::Runs(why),
            Verdict::Known { result, origin, .. } => {
                keep(products, ground.graph, id, look.key, &look.taken, *result);
                if origin == Origin::InPlace { Foreseen::InPlace } else { Foreseen::Restorable }
            }
        },
        Err(error) => Foreseen::Runs(error.to_string()),
    }
}

/// The steps in waves: each waits only for steps of earlier ones.
fn waves(graph: &ActionGraph, steps: &[StepId]) -> Vec<Vec<StepId>> {
    let mut wave_of = vec![0; graph.len()];
    let mut waves: Vec<Vec<StepId>> = Vec::new();
    for id in steps {
        let wave = graph.needs(*id).into_iter().map(|(need, _)| wave_of[need.index()] + 1).max().unwrap_or(0);
        wave_of[id.index()] = wave;
        if waves.len() <= wave {
            waves.resize_with(wave + 1, Vec::new);
        }
        waves[wave].push(*id);
    }
    waves
}

/// What can be known of one step before anything runs.
#[derive(Debug)]
pub enum Insight {
    /// All that it takes in is there.
    Known(Look),
    /// Some of what it takes in is not made yet.
    Waits {
        /// What is there.
        taken: Ingredients,
        /// The needs that must run first, directly or not.
        open: Vec<StepId>,
        /// Those among them that wait for nothing.
        roots: Vec<(StepId, Look)>,
    },
}

/// Looks at one step, after all that it needs.
///
/// # Errors
/// [`GatherError`].
pub fn look_into(ground: Ground<'_>, history: &StepHistory, id: StepId) -> Result<Insight, GatherError> {
    let graph = ground.graph;
    let products: Vec<OnceLock<Product>> = (0..graph.len()).map(|_| OnceLock::new()).collect();
    let (mut open, mut roots) = (Vec::new(), Vec::new());
    for step in select::closure(graph, &[id]) {
        let waits = graph.needs(step).iter().any(|(need, edge)| edge.requires() && products[need.index()].get().is_none());
        if waits && step == id {
            let taken = gather::gather(ground, id, |need| products[need.index()].get())?.taken;
            return Ok(Insight::Waits { taken, open, roots });
        }
        if waits {
            open.push(step);
            continue;
        }
        let look = look::look(ground, history, step, false, |need| products[need.index()].get())?;
        if step == id {
            return Ok(Insight::Known(look));
        }
        match look.verdict {
            Verdict::Runs { .. } => {
                open.push(step);
                roots.push((step, look));
            }
            Verdict::Known { result, .. } => keep(&products, graph, step, look.key, &look.taken, *result),
        }
    }
    Ok(Insight::Waits { taken: Ingredients::default(), open, roots })
}

/// The keys of those steps whose needs need not run first, and all that goes into them. Steps whose files cannot be read have none.
#[must_use]
pub fn keys(ground: Ground<'_>, history: &StepHistory, steps: &[StepId]) -> HashMap<StepId, (ActionKey, KeyManifest)> {
    let graph = ground.graph;
    let products: Vec<OnceLock<Product>> = (0..graph.len()).map(|_| OnceLock::new()).collect();
    let mut keys = HashMap::new();
    for id in steps {
        if graph.needs(*id).iter().any(|(need, edge)| edge.requires() && products[need.index()].get().is_none()) {
            continue;
        }
        let Ok(look) = look::look(ground, history, *id, false, |need| products[need.index()].get()) else { continue };
        keys.insert(*id, (look.key, key::record(graph.action(*id), &look.taken, &graph.basis(*id))));
        if let Verdict::Known { result, .. } = look.verdict {
            keep(&products, graph, *id, look.key, &look.taken, *result);
        }
    }
    keys
}

fn keep(products: &[OnceLock<Product>], graph: &ActionGraph, id: StepId, key: ActionKey, taken: &Ingredients, result: ActionResult) {
    let digest = gather::product_digest(graph.action(id), taken, &result);
    let _ = products[id.index()].set(Product { result, digest, key });
}

/// Steps whose sources are held at once: those of all would be much of the memory that a large plan takes.
const AT_ONCE: usize = 4_096;

/// The digest of the whole plan from its definitions and sources: equal on every machine that has the same.
///
/// # Errors
/// [`GatherError`]: a source that is missing or cannot be read.
pub fn digest(ground: Ground<'_>) -> Result<PlanDigest, GatherError> {
    let graph = ground.graph;
    let mut digests: Vec<Option<Digest<Blake3>>> = vec![None; graph.len()];
    let mut named = Vec::new();
    for steps in graph.order().chunks(AT_ONCE) {
        let sources: Result<Vec<Ingredients>, GatherError> =
            steps.par_iter().with_min_len(16).map(|id| gather::sources(ground, *id)).collect();
        for (id, mut taken) in steps.iter().zip(sources?) {
            let action = graph.action(*id);
            for (need, _) in graph.needs(*id) {
                if let Some(digest) = &digests[need.index()] {
                    taken.needs.push((graph.action(need).name.clone(), digest.to_string()));
                }
            }
            // The order of declaration is no part of what a plan says.
            taken.needs.sort();
            let digest = key::key(action, &taken).0;
            digests[id.index()] = Some(digest);
            named.push((action.name.to_string(), digest));
        }
    }
    named.sort();
    Ok(key::plan_digest(&named))
}
