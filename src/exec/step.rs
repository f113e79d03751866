//! One step, from the question whether it must run to what it leaves behind.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use crate::base::digest::{ActionKey, ContentDigest};
use crate::base::id::StepId;
use crate::engine::sandbox::Sandboxed;
use crate::engine::{self, Failure, Job, Machine, Made, Outcome};
use crate::event::{Ended, Event, FailureClass, Origin};
use crate::graph::ActionGraph;
use crate::graph::action::{Action, ActionKind};
use crate::graph::ingredients::Ingredients;
use crate::key;
use crate::record::history::StepHistory;
use crate::store::claim::Claim;
use crate::store::clean::{self, Outputs};
use crate::store::outputs::{self, OutputError};
use crate::store::restore::{self, RestoreError};
use crate::store::result::{ActionResult, OutputFile};
use crate::sys::cancel::Urgency;
use crate::sys::clock::Stopwatch;
use crate::sys::tree::Tree;

use super::gather::{self, GatherError, Ground, Product};
use super::look::{self, Look, Verdict};
use super::witness::{self, Witness};

/// What all steps of a run share.
pub struct Shared {
    /// The machine.
    pub machine: Arc<Machine>,
    /// The graph.
    pub graph: Arc<ActionGraph>,
    /// What this machine remembers of earlier runs.
    pub history: Arc<StepHistory>,
    /// Steps that run even if their results are known.
    pub forced: HashSet<StepId>,
    /// The products of steps that ended well, by step.
    pub products: Vec<OnceLock<Product>>,
    /// Since the run began.
    pub clock: Stopwatch,
}

impl Shared {
    fn product(&self, id: StepId) -> Option<&Product> {
        self.products.get(id.index()).and_then(OnceLock::get)
    }
    fn ground<'a>(&'a self, tree: &'a Tree) -> Ground<'a> {
        Ground { machine: &self.machine, graph: &self.graph, tree, past: None }
    }
    fn action(&self, id: StepId) -> &Action {
        self.graph.action(id)
    }
}

/// How one step ended, with all that records and screens want to know.
#[derive(Debug)]
pub struct StepEnd {
    /// How.
    pub ended: Ended,
    /// How long it took, or took when it last ran, in milliseconds.
    pub took_ms: u64,
    /// Its key, where one was made.
    pub key: Option<ActionKey>,
    /// What went into the key, in the store.
    pub manifest: Option<ContentDigest>,
    /// Its log, in the store.
    pub log: Option<ContentDigest>,
    /// A few words for the screen.
    pub detail: Option<String>,
}

impl StepEnd {
    fn failed(failure: Failure, action: &Action, took_ms: u64) -> Self {
        let allowed = matches!(&action.kind, ActionKind::Run(cell) if cell.allow_failure);
        let ended = Ended::Failed { class: failure.class, reason: failure.reason, help: failure.help, allowed };
        Self { ended, took_ms, key: None, manifest: None, log: failure.log, detail: None }
    }
}

/// Works on disks run on threads of their own, so that no other step waits for them.
async fn aside<T: Send + 'static>(shared: &Arc<Shared>, work: impl FnOnce(&Shared) -> T + Send + 'static) -> Result<T, Failure> {
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || work(&shared))
        .await
        .map_err(|error| Failure::new(FailureClass::Internal, format!("a thread of kiln ended early: {error}"), None))
}

/// The end of a step whose result is known and in place; `None` when it may have to run, and when that cannot be told: then
/// [`take`] says why. Its product is in `shared`.
pub fn in_place(shared: &Shared, tree: &Tree, id: StepId) -> Option<StepEnd> {
    if shared.forced.contains(&id) {
        return None;
    }
    let look = look::look(shared.ground(tree), &shared.history, id, false, |need| shared.product(need)).ok()?;
    match look.verdict {
        Verdict::Known { result, origin: Origin::InPlace } => known(shared, id, look.key, &look.taken, *result, Origin::InPlace).ok(),
        _ => None,
    }
}

/// Takes one step, whose needs all ended well, to its end. Its product is in `shared` when it ended well.
pub async fn take(shared: &Arc<Shared>, id: StepId) -> StepEnd {
    let watch = Stopwatch::start();
    match attempt(shared, id).await {
        Ok(end) => end,
        Err(Stop::Cancelled) => {
            StepEnd { ended: Ended::Cancelled, took_ms: watch.millis(), key: None, manifest: None, log: None, detail: None }
        }
        Err(Stop::Failed(failure)) => StepEnd::failed(failure, shared.action(id), watch.millis()),
    }
}

/// Why a step did not come to its commands.
enum Stop {
    Cancelled,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

async fn attempt(shared: &Arc<Shared>, id: StepId) -> Result<StepEnd, Stop> {
    let force = shared.forced.contains(&id);
    let (mut look, claimed, mut noted) = aside(shared, move |shared| begin(shared, id, force)).await??;
    // Only one kiln works on an action at a time; whoever waited looks again and finds the result.
    let claim = match claimed {
        Claimed::Unneeded => None,
        Claimed::Taken(claim) => Some(claim),
        Claimed::Held => {
            let claim = wait_for_claim(shared, id, look.key).await?;
            (look, noted) = aside(shared, move |shared| {
                let look = if force { look } else { glance(shared, id, false)? };
                let noted = note(shared, id, &look)?;
                Ok::<_, Failure>((look, noted))
            })
            .await??;
            Some(claim)
        }
    };
    let end = follow(shared, id, look, claim.as_ref(), noted).await;
    drop(claim);
    Ok(end?)
}

/// Whether this kiln may do the work of a step.
enum Claimed {
    /// There is none to do, or every kiln may do it.
    Unneeded,
    /// It may, and no other may meanwhile.
    Taken(Claim),
    /// Another kiln does it, or a step of this run with the same key.
    Held,
}

fn begin(shared: &Shared, id: StepId, force: bool) -> Result<(Look, Claimed, Option<Noted>), Failure> {
    let look = glance(shared, id, force)?;
    let claimed = if look.cacheable && matches!(look.verdict, Verdict::Runs { .. }) {
        shared.machine.store.try_claim(look.key).map_or(Claimed::Held, Claimed::Taken)
    } else {
        Claimed::Unneeded
    };
    // Between the look and the claim another kiln may have done the work.
    let done = matches!(claimed, Claimed::Taken(_)) && !force && matches!(shared.machine.store.result(look.key), Ok(Some(_)));
    let look = if done { glance(shared, id, false)? } else { look };
    let noted = if matches!(claimed, Claimed::Held) { None } else { note(shared, id, &look)? };
    Ok((look, claimed, noted))
}

/// What is noted before a step runs.
struct Noted {
    /// What went into the key, in the store: the next run can tell what changed.
    manifest: Option<ContentDigest>,
    /// Tells later whether the inputs stayed as they are.
    witness: Witness,
}

/// Nothing for a step that need not run.
fn note(shared: &Shared, id: StepId, look: &Look) -> Result<Option<Noted>, Failure> {
    if !matches!(look.verdict, Verdict::Runs { .. }) {
        return Ok(None);
    }
    noted(shared, id, &look.taken, look.cacheable).map(Some)
}

/// Right before the commands: the claim is taken, and nothing can be found that makes them needless.
fn noted(shared: &Shared, id: StepId, taken: &Ingredients, cacheable: bool) -> Result<Noted, Failure> {
    let runs = matches!(shared.action(id).kind, ActionKind::Run(_));
    let manifest = manifest(shared, id, taken)?;
    // Behind walls a step sees none of it, and what it makes replaces it when all went well.
    let walled = matches!(&shared.action(id).kind, ActionKind::Run(cell) if cell.is_walled());
    if (runs && !walled) || matches!(shared.action(id).kind, ActionKind::Save(_)) {
        clear(shared, id)?;
    }
    // Only commands can have a file changed under them: images read what was hashed, and check it.
    let watched = cacheable && runs;
    Ok(Noted { manifest, witness: if watched { Witness::call(&shared.machine.root, taken) } else { Witness::default() } })
}

/// Waits for the claim that another one holds. A wish to stop ends the wait.
async fn wait_for_claim(shared: &Arc<Shared>, id: StepId, key: ActionKey) -> Result<Claim, Stop> {
    let machine = &shared.machine;
    let text = "the same work is already being done; its result will be taken".to_owned();
    machine.listener.event(Event::Notice { step: Some(shared.action(id).name.clone()), text });
    tokio::select! {
        claim = aside(shared, move |shared| shared.machine.store.claim(key)) => Ok(claim?),
        () = machine.cancel.requested(Urgency::Gentle) => Err(Stop::Cancelled),
    }
}

fn glance(shared: &Shared, id: StepId, force: bool) -> Result<Look, Failure> {
    let tree = Tree::open(&shared.machine.root).map_err(GatherError::new);
    let look = tree.and_then(|tree| look::look(shared.ground(&tree), &shared.history, id, force, |need| shared.product(need)));
    look.map_err(|error| Failure::new(FailureClass::Step, &error, error.help.clone()))
}

async fn follow(shared: &Arc<Shared>, id: StepId, look: Look, claim: Option<&Claim>, before: Option<Noted>) -> Result<StepEnd, Failure> {
    let why = match look.verdict {
        Verdict::Known { result, origin: Origin::InPlace } => return known(shared, id, look.key, &look.taken, *result, Origin::InPlace),
        Verdict::Known { ref result, origin: Origin::Restored } => {
            let recorded = result.clone();
            let restored = aside(shared, move |shared| restore(shared, id, &recorded)).await?;
            match restored {
                Ok(()) => {
                    let result = result.as_ref().clone();
                    return known(shared, id, look.key, &look.taken, result, Origin::Restored);
                }
                Err(RestoreError::Missing(_)) => "its outputs are no longer in the store".to_owned(),
                Err(error) => return Err(Failure::disk(error)),
            }
        }
        Verdict::Runs { ref why } => why.clone(),
    };
    carry_out(shared, id, look, why, claim, before).await
}

/// The manifest of the key goes to the store, so that the next run can tell what changed.
fn manifest(shared: &Shared, id: StepId, taken: &Ingredients) -> Result<Option<ContentDigest>, Failure> {
    if matches!(shared.action(id).kind, ActionKind::Group) {
        return Ok(None);
    }
    let bytes = serde_json::to_vec(&key::record(shared.action(id), taken, &shared.graph.basis(id))).unwrap_or_default();
    shared.machine.store.put(&bytes).map(|digest| Some(ContentDigest(digest))).map_err(|error| Failure::store(&error))
}

fn restore(shared: &Shared, id: StepId, result: &ActionResult) -> Result<(), RestoreError> {
    let machine = &shared.machine;
    restore::restore(&machine.store, &machine.stats, &machine.root, &result.outputs, &look::declared(shared.action(id))).map(drop)
}

fn known(
    shared: &Shared,
    id: StepId,
    key: ActionKey,
    taken: &Ingredients,
    result: ActionResult,
    origin: Origin,
) -> Result<StepEnd, Failure> {
    let last = shared.history.get(&shared.action(id).name).filter(|last| last.key == Some(key));
    let manifest = match last.and_then(|last| last.manifest) {
        Some(manifest) => Some(manifest),
        None => manifest(shared, id, taken)?,
    };
    let end = StepEnd {
        ended: Ended::Cached { from: origin },
        took_ms: result.took_ms,
        key: Some(key),
        manifest,
        log: result.log,
        detail: result.detail.clone(),
    };
    leave(shared, id, key, taken, result);
    Ok(end)
}

/// Puts the product where the steps that wait will look for it.
fn leave(shared: &Shared, id: StepId, key: ActionKey, taken: &Ingredients, result: ActionResult) {
    let digest = gather::product_digest(shared.action(id), taken, &result);
    let _ = shared.products[id.index()].set(Product { result, digest, key });
}

async fn carry_out(
    shared: &Arc<Shared>,
    id: StepId,
    look: Look,
    why: String,
    claim: Option<&Claim>,
    before: Option<Noted>,
) -> Result<StepEnd, Failure> {
    let Look { taken, key, cacheable, .. } = look;
    let taken = Arc::new(taken);
    let action = shared.action(id);
    let machine = &shared.machine;
    let Noted { manifest, witness } = match before {
        Some(noted) => noted,
        None => {
            let seen = Arc::clone(&taken);
            aside(shared, move |shared| noted(shared, id, &seen, cacheable)).await??
        }
    };
    machine.listener.event(Event::StepStarted { step: action.name.clone(), at_ms: shared.clock.millis(), why });
    for pattern in gather::idle_patterns(action, &taken) {
        let text = format!("no file matches its input `{pattern}`");
        machine.listener.event(Event::Notice { step: Some(action.name.clone()), text });
    }
    let watch = Stopwatch::start();
    let outcome = engine::carry_out(machine, Job { action, taken: &taken, claim }).await;
    let took_ms = watch.millis();
    let made = match outcome {
        Outcome::Done(made) => made,
        Outcome::Failed(failure) => {
            return Ok(StepEnd { key: Some(key), manifest, ..StepEnd::failed(failure, action, took_ms) });
        }
        Outcome::Cancelled { log } => {
            return Ok(StepEnd { ended: Ended::Cancelled, took_ms, key: Some(key), manifest, log, detail: None });
        }
    };
    let Made { image, documents, log, detail, unchanged, behind } = made;
    let result = ActionResult { run: machine.run.clone(), took_ms, outputs: Vec::new(), image, documents, log, detail: detail.clone() };
    let before = Arc::clone(&taken);
    let kept = aside(shared, move |shared| {
        let result = ActionResult { outputs: capture(shared, id, behind.as_ref())?, ..result };
        if cacheable {
            record(shared, id, key, &result, &before, &witness)?;
        }
        Ok(result)
    });
    let result = match kept.await? {
        Ok(result) => result,
        // What a step leaves undone is its own failure, and its log tells more about it.
        Err(failure) => return Ok(StepEnd { key: Some(key), manifest, ..StepEnd::failed(Failure { log, ..failure }, action, took_ms) }),
    };
    leave(shared, id, key, &taken, result);
    let ended = if unchanged { Ended::Cached { from: Origin::InPlace } } else { Ended::Done };
    Ok(StepEnd { ended, took_ms, key: Some(key), manifest, log, detail })
}

/// Takes away what the step left when it last ran, so that it begins as in a fresh clone: a file that it no longer makes would
/// be taken for its own, and one that it adds to would grow. What somebody changed since stays.
fn clear(shared: &Shared, id: StepId) -> Result<(), Failure> {
    let machine = &shared.machine;
    let action = shared.action(id);
    let declared = look::declared(action);
    let key = if declared.is_empty() { None } else { shared.history.get(&action.name).and_then(|last| last.key) };
    // A result that the store no longer has cannot say what was made.
    let Some(last) = key.and_then(|key| machine.store.result(key).ok().flatten()) else { return Ok(()) };
    let mut outputs = Outputs::default();
    outputs.add(&last.outputs, &declared);
    clean::clean(&machine.stats, &machine.root, &outputs, false, false).map(drop).map_err(Failure::disk)
}

/// Brings the outputs to the store; those that were made behind walls, from there to the project too.
fn capture(shared: &Shared, id: StepId, behind: Option<&Sandboxed>) -> Result<Vec<OutputFile>, Failure> {
    let patterns = look::declared(shared.action(id));
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let machine = &shared.machine;
    let stage = behind.and_then(Sandboxed::stage);
    let root = stage.as_ref().unwrap_or(&machine.root);
    let made = outputs::capture(&machine.store, &machine.stats, root, &patterns).map_err(|faults| {
        // What a step did or left undone is its own failure; a full disk is the machine's.
        // One full disk refuses many files; once is enough.
        if let Some(error) = faults.iter().find_map(|fault| if let OutputError::Store(error) = fault { Some(error) } else { None }) {
            return Failure::store(error);
        }
        let not_made = faults.iter().any(|fault| matches!(fault, OutputError::NotMade(_)));
        let reason = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Failure::new(FailureClass::Step, reason, not_made.then(|| "let the commands make it, or mend `outputs`".to_owned()))
    })?;
    if stage.is_some() {
        restore::restore(&machine.store, &machine.stats, &machine.root, &made, &patterns).map_err(Failure::disk)?;
    }
    Ok(made)
}

/// Records the result, unless an input changed while the step ran: then nobody knows which content it saw.
fn record(
    shared: &Shared,
    id: StepId,
    key: ActionKey,
    result: &ActionResult,
    before: &Ingredients,
    witness: &Witness,
) -> Result<(), Failure> {
    let machine = &shared.machine;
    if matches!(shared.action(id).kind, ActionKind::Run(_)) {
        let again = Tree::open(&machine.root)
            .map_err(GatherError::new)
            .and_then(|tree| gather::gather(shared.ground(&tree), id, |need| shared.product(need)));
        let same = again.as_ref().is_ok_and(|gathered| key::key(shared.action(id), &gathered.taken) == key);
        let mut changed = witness.changed(&machine.root);
        if !same || !changed.is_empty() {
            changed.extend(again.iter().flat_map(|gathered| witness::differences(before, &gathered.taken)));
            changed.sort();
            changed.dedup();
            let step = Some(shared.action(id).name.clone());
            machine.listener.event(Event::Notice { step, text: witness::sentence(&changed) });
            return Ok(());
        }
    }
    machine.store.record(key, result).map_err(|error| Failure::store(&error))?;
    machine.lately.remember(key, result);
    Ok(())
}
