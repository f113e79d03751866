//! Keys: gives every action a digest of all that can change its result.
//! In: an action and its ingredients. Out: a key, and what went into it, from the same walk.
//! Never: runs anything, asks the clock, reads a file.

pub mod explain;
mod service;
mod walk;

use serde::{Deserialize, Serialize};

use crate::base::canon::{HashSink, LineSink, Sink as _};
use crate::base::digest::{ActionKey, Blake3, Digest, PlanDigest};
use crate::graph::action::Action;
use crate::graph::ingredients::Ingredients;
use crate::plan::basis::Values;
use crate::store::result::ActionResult;

/// What stands before the name of a value of the plan.
const BASIS: &str = "basis › ";

/// What went into a key, line by line: a name and a value, in canonical order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyManifest(pub Vec<(String, String)>);

/// Keys an action.
#[must_use]
pub fn key(action: &Action, ingredients: &Ingredients) -> ActionKey {
    let mut sink = HashSink::new(walk::DOMAIN);
    walk::action(action, ingredients, &mut sink);
    ActionKey(sink.finish())
}

/// What goes into the key of an action. It costs more than the key, and most runs do not ask.
#[must_use]
pub fn manifest(action: &Action, ingredients: &Ingredients) -> KeyManifest {
    let mut sink = LineSink::default();
    walk::action(action, ingredients, &mut sink);
    KeyManifest(sink.finish())
}

/// What goes on record for an action: the manifest of its key, and the values of the plan that its definition rests on, which are no
/// part of the key.
#[must_use]
pub fn record(action: &Action, ingredients: &Ingredients, basis: &Values) -> KeyManifest {
    let mut record = manifest(action, ingredients);
    record.0.extend(basis.iter().map(|(name, value)| (format!("{BASIS}{name}"), value.clone())));
    record
}

impl KeyManifest {
    /// The values of the plan that the definition rested on.
    #[must_use]
    pub fn basis(&self) -> Values {
        self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(BASIS)?.to_owned(), value.clone()))).collect()
    }
}

/// The digest of what a step made: what the steps after it are keyed by. The time it took and its log do not count.
#[must_use]
pub fn product(result: &ActionResult) -> Digest<Blake3> {
    let mut sink = HashSink::new("kiln product 1");
    walk::files("outputs", &result.outputs, &mut sink);
    if let Some(image) = &result.image {
        sink.text("image", &image.descriptor.digest.to_string());
    }
    sink.open("documents");
    for (name, digest) in &result.documents {
        sink.text(name, &digest.to_string());
    }
    sink.close();
    sink.finish()
}

/// The digest of a plan from its sources alone: the digests of its steps, each made with the digests of its needs.
#[must_use]
pub fn plan_digest(steps: &[(String, Digest<Blake3>)]) -> PlanDigest {
    let mut sink = HashSink::new("kiln plan 1");
    for (name, digest) in steps {
        sink.text(name, &digest.to_string());
    }
    PlanDigest(sink.finish())
}
