//! The shell around the schedule: starts what it hands out, tells what happened, and stops when asked.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rayon::prelude::*;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::base::digest::{ActionKey, Blake3, ContentDigest, Digest};
use crate::base::id::{StepId, StepName};
use crate::engine::Machine;
use crate::event::{Ended, Event, FailureClass, Stream};
use crate::graph::ActionGraph;
use crate::graph::Edge;
use crate::graph::action::ActionKind;
use crate::graph::select::Selection;
use crate::record::history::StepHistory;
use crate::store::blob::StoreError;
use crate::store::local::Store;
use crate::sys::account::Account;
use crate::sys::cancel::Urgency;
use crate::sys::capacity;
use crate::sys::clock::{self, Stopwatch};
use crate::sys::jobs::Jobs;
use crate::sys::tree::Tree;

use super::estimate;
use super::gather::Product;
use super::schedule::{End, Entry, OnFailure, Schedule, ScheduleFault, State};
use super::step::{self, Shared, StepEnd};

/// What to run, and how.
pub struct Request {
    /// The graph.
    pub graph: Arc<ActionGraph>,
    /// The steps that take part.
    pub selection: Selection,
    /// What earlier runs left.
    pub history: Arc<StepHistory>,
    /// What was typed.
    pub targets: Vec<String>,
    /// The plan, for the record.
    pub plan: String,
    /// Steps at the same time.
    pub jobs: u32,
    /// Whether what does not depend on a failure still runs.
    pub keep_going: bool,
    /// Whether the asked steps run even if their results are known.
    pub force: bool,
    /// Where all is written down that was seen of the project, for a run whose end shall be remembered; given up by the first step
    /// that may have to run.
    pub account: Option<Arc<Account>>,
    /// What is known to stand in place beside the selection.
    pub known: Option<Known>,
}

/// Steps that take part in a run, are known to stand in place, and so are no part of what is scheduled.
pub struct Known {
    /// How many.
    pub steps: usize,
    /// What they took when they ran, in milliseconds.
    pub saved_ms: u64,
    /// What scheduled steps need of them, by their places in the graph.
    pub products: Vec<(StepId, Product)>,
    /// Tells of them, right after the run has begun.
    pub tell: Box<dyn FnOnce() + Send>,
}

/// How a run ended.
#[derive(Debug)]
pub struct RunEnd {
    /// Every step with its end, in order of ending.
    pub ended: Vec<(StepId, Ended)>,
    /// Whether someone asked to stop.
    pub interrupted: bool,
    /// By step, the key and the digest of what those left that ended well.
    pub left: Vec<Option<(ActionKey, Digest<Blake3>)>>,
}

/// Runs the steps to their end. `exit` gives the exit code for the last event.
///
/// # Errors
/// [`ScheduleFault`], which only a bug can cause.
pub async fn run(machine: Arc<Machine>, mut request: Request, exit: impl Fn(&RunEnd) -> u8) -> Result<RunEnd, ScheduleFault> {
    let clock = Stopwatch::start();
    let products: Vec<OnceLock<Product>> = (0..request.graph.len()).map(|_| OnceLock::new()).collect();
    let known = request.known.take();
    let (beside, known_ms) = known.as_ref().map_or((0, 0), |known| (known.steps, known.saved_ms));
    let steps = &request.selection.steps;
    let started = Event::RunStarted {
        run: machine.run.clone(),
        at: clock::now(),
        targets: request.targets.clone(),
        steps: steps.len() + beside,
        plan: request.plan.clone(),
    };
    machine.listener.event(started);
    if let Some(known) = known {
        (known.tell)();
        for (id, product) in known.products {
            let _ = products[id.index()].set(product);
        }
    }
    let on_failure = if request.keep_going { OnFailure::KeepGoing } else { OnFailure::Stop };
    let schedule = Schedule::new(entries(&request), request.jobs, on_failure)?.with_pools(pools(&request));
    if let Some(jobs) = jobs(&machine, &request) {
        let _ = machine.jobs.set(jobs);
    }
    let shared = Arc::new(Shared {
        machine: Arc::clone(&machine),
        graph: Arc::clone(&request.graph),
        history: Arc::clone(&request.history),
        forced: if request.force { members(&request.graph, &request.selection.asked) } else { HashSet::new() },
        products,
        clock,
        restoring: RwLock::default(),
    });
    let (sender, answers) = unbounded_channel();
    let asked = request.selection.asked.iter().copied().collect();
    let mut shell = Shell {
        shared,
        schedule,
        steps,
        asked,
        sender,
        answers,
        checking: 0,
        end: RunEnd { ended: Vec::new(), interrupted: false, left: Vec::new() },
        saved_ms: known_ms,
        clock,
        account: request.account.clone(),
    };
    shell.work().await?;
    let Shell { mut end, saved_ms, shared, .. } = shell;
    end.left = shared.products.iter().map(|product| product.get().map(|product| (product.key, product.digest))).collect();
    machine.listener.event(Event::RunEnded { at: clock::now(), took_ms: clock.millis(), exit: exit(&end), saved_ms });
    Ok(end)
}

/// The steps that are meant: a group stands for its members.
fn members(graph: &ActionGraph, asked: &[StepId]) -> HashSet<StepId> {
    let mut open = asked.to_vec();
    let mut found = HashSet::new();
    while let Some(id) = open.pop() {
        if found.insert(id) && matches!(graph.action(id).kind, ActionKind::Group) {
            open.extend(graph.needs(id).into_iter().filter(|(_, edge)| edge.is_need()).map(|(member, _)| member));
        }
    }
    found
}

/// The schedule knows the steps of this run only, numbered in their order.
fn entries(request: &Request) -> Vec<Entry> {
    let place: HashMap<StepId, StepId> = request.selection.steps.iter().copied().zip((0..).map(StepId)).collect();
    let names = request.selection.steps.iter().map(|id| &request.graph.action(*id).name);
    let known: Vec<_> = names.map(|name| (name, request.history.expected_ms(name))).collect();
    let entry = |(id, expected_ms): (&StepId, u64)| {
        let action = request.graph.action(*id);
        let mut entry = Entry { weight: 1, expected_ms, ..Entry::default() };
        for (need, edge) in request.graph.needs(*id) {
            let Some(need) = place.get(&need) else { continue };
            if edge.requires() { entry.needs.push(*need) } else { entry.after.push(*need) }
        }
        if let ActionKind::Run(cell) = &action.kind {
            entry.locks.clone_from(&cell.locks);
            entry.pools = cell.pools.iter().map(|pool| (pool.name.clone(), pool.weight)).collect();
            entry.pools.extend(cell.memory.map(|bytes| (MEMORY.to_owned(), mebibytes(bytes))));
            entry.weight = cell.cpus;
            entry.exclusive = cell.interactive;
            entry.allow_failure = cell.allow_failure;
        }
        entry
    };
    let mut entries: Vec<Entry> = request.selection.steps.iter().zip(estimate::durations(&known)).map(entry).collect();
    let (tags, first) = gate(&request.graph, &request.selection.steps);
    for tag in tags {
        let needs = &mut entries[place[&tag].index()].needs;
        needs.extend(first.iter().map(|step| place[step]));
        needs.sort_unstable();
        needs.dedup();
    }
    entries
}

/// The second phase of a release begins when the first one is over for all images of the run: every step that moves tags, and the
/// steps that send images and what goes beside them, for which all of those wait. What is sent only after some tag has moved begins
/// a release of its own; so no circle can arise.
fn gate(graph: &ActionGraph, steps: &[StepId]) -> (Vec<StepId>, Vec<StepId>) {
    let of = |wanted: fn(&ActionKind) -> bool| steps.iter().copied().filter(move |id| wanted(&graph.action(*id).kind));
    let tags: Vec<StepId> = of(|kind| matches!(kind, ActionKind::Tag(_))).collect();
    let (mut later, mut open) = (HashSet::new(), tags.clone());
    while let Some(id) = open.pop() {
        open.extend(graph.waiting(id).into_iter().map(|(id, _)| id).filter(|id| later.insert(*id)));
    }
    let first = of(|kind| matches!(kind, ActionKind::Push(_) | ActionKind::Evidence(_)));
    (tags, first.filter(|step| !later.contains(step)).collect())
}

/// What the steps of this run share.
fn pools(request: &Request) -> HashMap<String, u32> {
    let cells = request.selection.steps.iter().filter_map(|id| match &request.graph.action(*id).kind {
        ActionKind::Run(cell) => Some(cell),
        _ => None,
    });
    let named = cells.clone().flat_map(|cell| &cell.pools).map(|pool| (pool.name.clone(), pool.capacity));
    let asked = cells.clone().any(|cell| cell.memory.is_some());
    let memory = if asked { capacity::memory() } else { None };
    named.chain(memory.map(|bytes| (MEMORY.to_owned(), mebibytes(bytes)))).collect()
}

/// The pool of the machine's memory; a name with a blank is no name of the plan.
const MEMORY: &str = "the machine's memory";

fn mebibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX)
}

/// The jobs that steps share with their programs, if any step of the run does.
fn jobs(machine: &Machine, request: &Request) -> Option<Jobs> {
    let shares = |id: &StepId| matches!(&request.graph.action(*id).kind, ActionKind::Run(cell) if cell.jobserver.is_some());
    if !request.selection.steps.iter().any(shares) {
        return None;
    }
    let made = Jobs::new(machine.store.scratch().as_path(), request.jobs);
    let told = |error| machine.listener.event(Event::Notice { step: None, text: format!("programs cannot share kiln's jobs: {error}") });
    made.map_err(told).ok()
}

struct Shell<'a> {
    shared: Arc<Shared>,
    schedule: Schedule,
    steps: &'a [StepId],
    asked: HashSet<StepId>,
    sender: UnboundedSender<Answer>,
    answers: UnboundedReceiver<Answer>,
    /// Checks whose answers have not come.
    checking: usize,
    end: RunEnd,
    saved_ms: u64,
    clock: Stopwatch,
    account: Option<Arc<Account>>,
}

/// What a check found: the end of a step that is in place now, or nothing for one that may have to run.
type Answer = (StepId, Option<Box<StepEnd>>);

/// A check that answers in any case: also when it was dropped because another one panicked.
struct Check {
    place: StepId,
    id: StepId,
    found: Option<Box<StepEnd>>,
    sender: UnboundedSender<Answer>,
}

impl Drop for Check {
    fn drop(&mut self) {
        // Nobody listens once the run has ended.
        let _ = self.sender.send((self.place, self.found.take()));
    }
}

/// The most answers that are taken in at once.
const ANSWERS: usize = 1_024;

impl Shell<'_> {
    async fn work(&mut self) -> Result<(), ScheduleFault> {
        let mut running: JoinSet<(StepId, StepEnd)> = JoinSet::new();
        let mut names: BTreeMap<tokio::task::Id, StepId> = BTreeMap::new();
        let mut answers = Vec::new();
        let cancel = self.shared.machine.cancel.clone();
        loop {
            self.check()?;
            for place in self.schedule.start() {
                let (shared, id) = (Arc::clone(&self.shared), self.steps[place.index()]);
                // A step works on disks between its waits, on a thread of its own: no other step waits for it, and none of its own
                // words has to find the way to another thread.
                let task = running.spawn_blocking(move || (place, Handle::current().block_on(step::take(&shared, id))));
                names.insert(task.id(), place);
            }
            // A check that still reads large files when the run was stopped is not waited for; one that writes is. None begins to write
            // afterwards: whoever stopped the run has asked all of it to stop.
            if running.is_empty() && (self.checking == 0 || self.schedule.is_stopped()) {
                drop(self.shared.restoring.write().unwrap_or_else(PoisonError::into_inner));
                return Ok(());
            }
            tokio::select! {
                _ = self.answers.recv_many(&mut answers, ANSWERS), if self.checking > 0 => {
                    for (place, found) in answers.drain(..) {
                        self.checked(place, found)?;
                    }
                }
                Some(joined) = running.join_next_with_id() => match joined {
                    Ok((task, (place, end))) => {
                        names.remove(&task);
                        self.finish(place, end)?;
                    }
                    Err(error) => {
                        // A panic in a step is a bug in kiln; the step has failed, the run goes on to its end.
                        if let Some(place) = names.remove(&error.id()) {
                            self.finish(place, panicked(&error.to_string()))?;
                        }
                    }
                },
                () = cancel.requested(Urgency::Gentle), if !self.schedule.is_stopped() => {
                    self.end.interrupted = true;
                    let unstarted = self.schedule.stop()?;
                    self.never_started(unstarted);
                }
            }
        }
    }

    /// Finds out, many at once, which of the steps that became ready need not run. Those end here, so that a run in which
    /// nothing changed, or only outputs are gone, starts no task and takes no slot.
    fn check(&mut self) -> Result<(), ScheduleFault> {
        let fresh = self.schedule.check();
        self.checking += fresh.len();
        let (fresh, unknown): (Vec<StepId>, Vec<StepId>) =
            fresh.into_iter().partition(|place| step::may_be_known(&self.shared, self.steps[place.index()]));
        for place in unknown {
            self.checked(place, None)?;
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let check = |place: StepId| Check { place, id: self.steps[place.index()], found: None, sender: self.sender.clone() };
        let checks: Vec<Check> = fresh.into_iter().map(check).collect();
        let (shared, account, alone) = (Arc::clone(&self.shared), self.account.clone(), self.steps.len() == 1);
        let batch = move || {
            // What these steps need has ended, so each of their folders is found once for all of them.
            let root = &shared.machine.root;
            let tree = account.map_or_else(|| Tree::for_a_glance(root), |account| Tree::with_account(root, account));
            let Ok(tree) = tree else { return };
            let look = |mut check: Check| check.found = step::settled(&shared, &tree, check.id).map(Box::new);
            if alone { checks.into_iter().for_each(look) } else { checks.into_par_iter().for_each(look) }
        };
        // A panic is a bug in kiln that costs the answer of its check, which says so when it is dropped.
        let batch = move || drop(panic::catch_unwind(AssertUnwindSafe(batch)));
        // On rayon's own threads: one that only waited for them would be needed for each step that has just ended. A run with a single
        // step has nothing else to do, and starting threads would take as long as the look.
        if alone {
            batch()
        } else {
            rayon::spawn(batch)
        }
        Ok(())
    }

    fn checked(&mut self, place: StepId, found: Option<Box<StepEnd>>) -> Result<(), ScheduleFault> {
        self.checking -= 1;
        if let (None, Some(account)) = (&found, &self.account) {
            account.give_up();
        }
        if self.schedule.checked(place, found.is_some())?
            && let Some(end) = found
        {
            self.saved_ms += end.took_ms;
            self.tell(place, *end);
        }
        Ok(())
    }

    fn finish(&mut self, place: StepId, end: StepEnd) -> Result<(), ScheduleFault> {
        let verdict = match &end.ended {
            Ended::Done => End::Done,
            Ended::Cached { .. } => End::Cached,
            Ended::Failed { .. } => End::Failed,
            Ended::Skipped { .. } | Ended::Cancelled => End::Cancelled,
        };
        if verdict == End::Cached {
            self.saved_ms += end.took_ms;
        }
        let was_stopped = self.schedule.is_stopped();
        // A step can hear of a wish to stop, and end, before this loop does.
        self.end.interrupted |= !was_stopped && matches!(end.ended, Ended::Cancelled);
        self.tell(place, end);
        let unstarted = self.schedule.finish(place, verdict)?;
        if self.schedule.is_stopped() && !was_stopped {
            // Fail fast: what still runs is asked to end, so that the answer comes at once.
            self.shared.machine.cancel.request(Urgency::Gentle);
        }
        self.never_started(unstarted);
        Ok(())
    }

    fn never_started(&mut self, steps: Vec<(StepId, State)>) {
        for (place, state) in steps {
            let ended = match state {
                State::Skipped { because } => {
                    Ended::Skipped { because: self.shared.graph.action(self.steps[because.index()]).name.clone() }
                }
                _ => Ended::Cancelled,
            };
            self.tell(place, StepEnd { ended, took_ms: 0, key: None, manifest: None, log: None, detail: None });
        }
    }

    /// Whether the user named this step, or a target whose last word it is: `web` asks for its tags, not for each of its layers.
    fn is_asked(&self, id: StepId) -> bool {
        let graph = &self.shared.graph;
        let target = &graph.action(id).name.target;
        let goes_on = |(waiting, _): &(StepId, Edge)| graph.action(*waiting).name.target == *target && self.asked.contains(waiting);
        self.asked.contains(&id) && !graph.waiting(id).iter().any(goes_on)
    }

    fn tell(&mut self, place: StepId, end: StepEnd) {
        let id = self.steps[place.index()];
        let StepEnd { ended, took_ms, key, manifest, log, detail } = end;
        self.end.ended.push((id, ended.clone()));
        let step = self.shared.graph.action(id).name.clone();
        let asked = self.is_asked(id);
        if let (true, Ended::Cached { .. }, Some(log)) = (asked, &ended, log) {
            said(&self.shared.machine.store, &step, log).into_iter().for_each(|event| self.shared.machine.listener.event(event));
        }
        self.shared.machine.listener.event(Event::StepEnded {
            step,
            at_ms: self.clock.millis(),
            took_ms,
            ended,
            key,
            manifest,
            log,
            detail,
            asked,
        });
    }
}

/// What a step said when it ran, which is told again when it need not: whoever asks for a test sees what it found.
#[must_use]
pub fn said(store: &Store, step: &StepName, log: ContentDigest) -> Option<Event> {
    match store.read(log.0, REPLAYED) {
        Ok(bytes) => Some(Event::Output { step: step.clone(), stream: Stream::Out, bytes }),
        Err(StoreError::TooLarge { .. }) => {
            Some(Event::Notice { step: Some(step.clone()), text: format!("its log is long: `kiln log {step}` prints it") })
        }
        // A log that is gone is worth no words; the result stands.
        Err(_) => None,
    }
}

/// The longest log that is told again, in bytes; a longer one is a `kiln log` away.
const REPLAYED: u64 = 256 << 10;

fn panicked(reason: &str) -> StepEnd {
    let ended = Ended::Failed {
        class: FailureClass::Internal,
        reason: format!("kiln itself failed: {reason}"),
        help: Some("this is a bug in kiln; please report it with the plan that shows it".to_owned()),
        allowed: false,
    };
    StepEnd { ended, took_ms: 0, key: None, manifest: None, log: None, detail: None }
}
