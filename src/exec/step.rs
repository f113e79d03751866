//! One step, from the question whether it must run to what it leaves behind.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock, RwLock, TryLockError};

use crate::base::digest::{ActionKey, ContentDigest, Digest};
use crate::base::id::StepId;
use crate::base::path::RelPath;
use crate::engine::sandbox::Sandboxed;
use crate::engine::{self, Failure, Job, Machine, Made, Outcome};
use crate::event::{Ended, Event, FailureClass, Origin};
use crate::graph::ActionGraph;
use crate::graph::action::{Action, ActionKind};
use crate::graph::ingredients::Ingredients;
use crate::key;
use crate::record::history::StepHistory;
use crate::store::claim::Claim;
use crate::store::clean::{self, Leave, Outputs};
use crate::store::held::{Held, LARGEST};
use crate::store::outputs::{self, OutputError};
use crate::store::restore::{self, Contents, RestoreError};
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
    /// Held by those who put outputs back while nobody waits for them: a run that was stopped ends after they are done.
    pub restoring: RwLock<()>,
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

/// Whether it is worth a look by itself whether a step need not run: one that this machine knows nothing of most likely must, and one
/// whose result is never taken from an earlier run surely does.
#[must_use]
pub fn may_be_known(shared: &Shared, id: StepId) -> bool {
    let action = shared.action(id);
    let is_found = match &action.kind {
        ActionKind::Group => return !shared.forced.contains(&id),
        ActionKind::Push(_) | ActionKind::Tag(_) => true,
        _ => look::is_cacheable(action),
    };
    is_found && !shared.forced.contains(&id) && shared.history.knows(&action.name)
}

/// The end of a step whose result is known and in place, or can be put there; `None` when it may have to run, and when that cannot be
/// told: then [`take`] says why. Its product is in `shared`.
pub fn settled(shared: &Shared, tree: &Tree, id: StepId) -> Option<StepEnd> {
    let look = look::look(shared.ground(tree), &shared.history, id, false, |need| shared.product(need)).ok()?;
    match look.verdict {
        Verdict::Known { ref result, ref held, origin } => {
            if origin == Origin::Restored {
                // Whoever waits for those who write already has stopped the run. This thread may be one of them, in the middle of
                // another step: it must not wait here.
                let _writing = match shared.restoring.try_read() {
                    Err(TryLockError::WouldBlock) => return None,
                    Err(TryLockError::Poisoned(held)) => held.into_inner(),
                    Ok(held) => held,
                };
                if shared.machine.cancel.is_requested() {
                    return None;
                }
                restore(shared, id, result, held).ok()?;
            }
            known(shared, id, look, origin).ok()
        }
        Verdict::Runs { .. } => None,
    }
}

/// Takes one step, whose needs all ended well, to its end. Its product is in `shared` when it ended well. Its thread works on disks
/// meanwhile, so it must be one that nothing else waits for.
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
    let (mut look, claimed, mut noted) = begin(shared, id, force)?;
    // Only one kiln works on an action at a time; whoever waited looks again and finds the result.
    let claim = match claimed {
        Claimed::Unneeded => None,
        Claimed::Taken(claim) => Some(claim),
        Claimed::Held => {
            let claim = wait_for_claim(shared, id, look.key).await?;
            look = if force { look } else { glance(shared, id, false)? };
            noted = note(shared, id, &look)?;
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
    /// What went into the key: the next run can tell what changed.
    manifest: Option<Manifest>,
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
    let manifest = Manifest::of(shared, id, taken);
    // Behind walls a step sees none of it, and what it makes replaces it when all went well.
    let walled = matches!(&shared.action(id).kind, ActionKind::Run(cell) if cell.is_walled());
    if !walled {
        clear(shared, id)?;
    }
    // Only commands can have a file changed under them: images read what was hashed, and check it.
    let watched = cacheable && runs;
    let tree = watched.then(|| Tree::for_a_glance(&shared.machine.root)).transpose().map_err(Failure::disk)?;
    let witness = tree.map(|tree| Witness::call(shared.ground(&tree), taken)).unwrap_or_default();
    Ok(Noted { manifest, witness })
}

/// Waits for the claim that another one holds. A wish to stop ends the wait.
async fn wait_for_claim(shared: &Arc<Shared>, id: StepId, key: ActionKey) -> Result<Claim, Stop> {
    let machine = &shared.machine;
    let text = "the same work is already being done; its result will be taken".to_owned();
    machine.listener.event(Event::Notice { step: Some(shared.action(id).name.clone()), text });
    let store = machine.store.clone();
    // On a thread of its own: the wait may be long, and the wish to stop ends it.
    let wait = tokio::task::spawn_blocking(move || store.claim(key));
    tokio::select! {
        claim = wait => Ok(claim.map_err(|error| Failure::new(FailureClass::Internal, format!("a thread of kiln ended early: {error}"), None))?),
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
        Verdict::Known { origin: Origin::InPlace, .. } => return known(shared, id, look, Origin::InPlace),
        Verdict::Known { ref result, ref held, origin: Origin::Restored } => match restore(shared, id, result, held) {
            Ok(()) => return known(shared, id, look, Origin::Restored),
            Err(RestoreError::Missing(_)) => "its outputs are no longer in the store".to_owned(),
            Err(error) => return Err(Failure::disk(error)),
        },
        Verdict::Runs { ref why } => why.clone(),
    };
    carry_out(shared, id, look, why, claim, before).await
}

/// What went into a key, as it goes on record.
struct Manifest {
    digest: ContentDigest,
    bytes: Vec<u8>,
}

impl Manifest {
    /// `None` for a group, which has none.
    fn of(shared: &Shared, id: StepId, taken: &Ingredients) -> Option<Self> {
        let action = shared.action(id);
        if matches!(action.kind, ActionKind::Group) {
            return None;
        }
        let bytes = serde_json::to_vec(&key::record(action, taken, &shared.graph.basis(id))).unwrap_or_default();
        Some(Self { digest: ContentDigest(Digest::of(&bytes)), bytes })
    }

    /// Brings it to the store, for a step that leaves no record that could hold it.
    fn keep(&self, machine: &Machine) -> Result<ContentDigest, Failure> {
        machine.store.put(&self.bytes).map(ContentDigest).map_err(|error| Failure::store(&error))
    }
}

/// Brings a manifest to the store, and gives its digest. A step that did not end well has an end of its own to tell, and does without.
fn keep(machine: &Machine, manifest: Option<&Manifest>) -> Result<Option<ContentDigest>, Failure> {
    manifest.map(|manifest| manifest.keep(machine)).transpose()
}

fn restore(shared: &Shared, id: StepId, result: &ActionResult, held: &Held) -> Result<(), RestoreError> {
    let machine = &shared.machine;
    let contents = Contents { store: &machine.store, held };
    restore::restore(contents, &machine.stats, &machine.root, &result.outputs, &look::declared(shared.action(id))).map(drop)
}

/// The end of a step whose look said that its result is known.
fn known(shared: &Shared, id: StepId, look: Look, origin: Origin) -> Result<StepEnd, Failure> {
    let Look { taken, key, verdict, .. } = look;
    let Verdict::Known { result, held, .. } = verdict else {
        return Err(Failure::new(FailureClass::Internal, "a step without a result cannot end as known", None));
    };
    let last = shared.history.get(&shared.action(id).name).filter(|last| last.key == Some(key));
    let manifest = match last.and_then(|last| last.manifest) {
        Some(manifest) => Some(manifest),
        None => match Manifest::of(shared, id, &taken) {
            Some(manifest) if is_recorded(&shared.machine, key, &held, manifest.digest) => Some(manifest.digest),
            manifest => keep(&shared.machine, manifest.as_ref())?,
        },
    };
    let end = StepEnd {
        ended: Ended::Cached { from: origin },
        took_ms: result.took_ms,
        key: Some(key),
        manifest,
        log: result.log,
        detail: result.detail.clone(),
    };
    leave(shared, id, key, &taken, *result);
    Ok(end)
}

/// Whether the record of a result holds a content itself. `held` is empty where the store was not asked for the record.
fn is_recorded(machine: &Machine, key: ActionKey, held: &Held, content: ContentDigest) -> bool {
    let in_record = || machine.store.recorded(key).is_ok_and(|found| found.is_some_and(|found| found.held.has(content, None)));
    held.has(content, None) || in_record()
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
    let action = shared.action(id);
    let machine = &shared.machine;
    let Noted { manifest, witness } = match before {
        Some(noted) => noted,
        None => noted(shared, id, &taken, cacheable)?,
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
            let manifest = keep(machine, manifest.as_ref()).unwrap_or_default();
            return Ok(StepEnd { key: Some(key), manifest, ..StepEnd::failed(failure, action, took_ms) });
        }
        Outcome::Cancelled { log } => {
            let manifest = keep(machine, manifest.as_ref()).unwrap_or_default();
            return Ok(StepEnd { ended: Ended::Cancelled, took_ms, key: Some(key), manifest, log, detail: None });
        }
    };
    let Made { image, documents, log, detail, unchanged, behind } = made;
    let image = image.map(Box::new);
    let mut result = ActionResult { run: machine.run.clone(), took_ms, outputs: Vec::new(), image, documents, log, detail: detail.clone() };
    let mut held = Held::default();
    let note = manifest.as_ref().filter(|manifest| cacheable && manifest.bytes.len() as u64 <= LARGEST);
    if let Some(note) = note {
        held.take(note.digest, &note.bytes);
    }
    let kept = capture(shared, id, behind.as_ref(), cacheable.then_some(&mut held)).and_then(|outputs| {
        result.outputs = outputs;
        Ok(cacheable && record(shared, id, key, &result, &held, &taken, &witness)?)
    });
    let manifest = match (&kept, note) {
        (Ok(true), Some(note)) => Some(note.digest),
        (Ok(_), _) => keep(machine, manifest.as_ref())?,
        (Err(_), _) => keep(machine, manifest.as_ref()).unwrap_or_default(),
    };
    // What a step leaves undone is its own failure, and its log tells more about it.
    if let Err(failure) = kept {
        return Ok(StepEnd { key: Some(key), manifest, ..StepEnd::failed(Failure { log, ..failure }, action, took_ms) });
    }
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
    let leave = Leave { force: false, dry: false, within: Some(&declared) };
    clean::clean(&machine.stats, &machine.root, &outputs, leave).map(drop).map_err(Failure::disk)
}

/// Brings the outputs to the store, and small ones to `held` if there is one; those that were made behind walls, from there to the
/// project too.
fn capture(shared: &Shared, id: StepId, behind: Option<&Sandboxed>, mut held: Option<&mut Held>) -> Result<Vec<OutputFile>, Failure> {
    let patterns = look::declared(shared.action(id));
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let machine = &shared.machine;
    let stage = behind.and_then(Sandboxed::stage);
    let root = stage.as_ref().unwrap_or(&machine.root);
    let captured = outputs::capture(&machine.store, &machine.stats, root, &patterns, held.as_deref_mut());
    let made = captured.map_err(|faults| {
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
        let nothing = Held::default();
        let contents = Contents { store: &machine.store, held: held.as_deref().unwrap_or(&nothing) };
        restore::restore(contents, &machine.stats, &machine.root, &made, &patterns).map_err(Failure::disk)?;
    }
    Ok(made)
}

/// Records the result and says so, unless an input changed while the step ran: then nobody knows which content it saw.
fn record(
    shared: &Shared,
    id: StepId,
    key: ActionKey,
    result: &ActionResult,
    held: &Held,
    before: &Ingredients,
    witness: &Witness,
) -> Result<bool, Failure> {
    let machine = &shared.machine;
    if matches!(shared.action(id).kind, ActionKind::Run(_)) {
        let tree = Tree::for_a_glance(&machine.root).map_err(Failure::disk)?;
        let ground = shared.ground(&tree);
        let stands = |path: &RelPath| ground.stands(path);
        // What proves nothing by standing still is found once more, and that looks at each file.
        if !(witness.vouches(ground, id, before) && witness.again(stands).still) {
            let again = gather::gather(ground, id, |need| shared.product(need));
            let same = again.as_ref().is_ok_and(|gathered| key::key(shared.action(id), &gathered.taken) == key);
            let looked = again.is_ok();
            let now = |path: &RelPath| looked.then(|| ground.seen(path)).flatten().or_else(|| ground.stands(path));
            let mut changed = witness.again(now).changed;
            if !same || !changed.is_empty() {
                changed.extend(again.iter().flat_map(|gathered| witness::differences(before, &gathered.taken)));
                changed.sort();
                changed.dedup();
                let step = Some(shared.action(id).name.clone());
                machine.listener.event(Event::Notice { step, text: witness::sentence(&changed) });
                return Ok(false);
            }
        }
    }
    machine.store.record_with(key, result, held).map_err(|error| Failure::store(&error))?;
    machine.lately.remember(key, result);
    Ok(true)
}
