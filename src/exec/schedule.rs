//! The schedule: which step starts next, as a pure state machine.
//! In: what waits for what, how long each step should take, and each end as it happens. Out: the steps to start, and those
//! that will never start. Never: runs anything, asks the clock; the same calls give the same answers.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::base::id::StepId;

/// Where a step is. Every change goes through [`Schedule::set`]:
///
/// ```text
/// waiting → ready → running → done | cached | failed | cancelled
///         ready → checking → ready | cached | cancelled
/// waiting → skipped | cancelled, ready → cancelled
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Something that it needs, or comes after, has not ended.
    Waiting,
    /// It can start as soon as there is room.
    Ready,
    /// It was handed out by [`Schedule::check`]: whether its result is known and in place is being found out.
    Checking,
    /// It was handed out by [`Schedule::start`].
    Running,
    /// It ran and succeeded.
    Done,
    /// Its result was known.
    Cached,
    /// It failed.
    Failed,
    /// It never started, because of the failed step that is named: the first one, not one that was itself skipped.
    Skipped {
        /// The step that failed.
        because: StepId,
    },
    /// It was stopped, or never started because the run was.
    Cancelled,
}

impl State {
    /// Whether nothing follows.
    #[must_use]
    pub const fn is_end(self) -> bool {
        !matches!(self, Self::Waiting | Self::Ready | Self::Checking | Self::Running)
    }

    const fn index(self) -> usize {
        match self {
            Self::Waiting => 0,
            Self::Ready => 1,
            Self::Checking => 2,
            Self::Running => 3,
            Self::Done => 4,
            Self::Cached => 5,
            Self::Failed => 6,
            Self::Skipped { .. } => 7,
            Self::Cancelled => 8,
        }
    }

    const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Waiting => matches!(next, Self::Ready | Self::Skipped { .. } | Self::Cancelled),
            Self::Ready => matches!(next, Self::Checking | Self::Running | Self::Cancelled),
            Self::Checking => matches!(next, Self::Ready | Self::Cached | Self::Cancelled),
            Self::Running => matches!(next, Self::Done | Self::Cached | Self::Failed | Self::Cancelled),
            _ => false,
        }
    }
}

/// How a running step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// It ran and succeeded.
    Done,
    /// Its result was known.
    Cached,
    /// It failed.
    Failed,
    /// It was stopped.
    Cancelled,
}

/// What a step waits for, and what it takes while it runs.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Steps that must end well first.
    pub needs: Vec<StepId>,
    /// Steps that must end first, however they end.
    pub after: Vec<StepId>,
    /// How long it should take, in milliseconds; 0 when nobody knows.
    pub expected_ms: u64,
    /// How many slots it takes; at least one, and never more than there are.
    pub weight: u32,
    /// Names of locks: two steps that share one never run at the same time.
    pub locks: Vec<String>,
    /// Names of pools, none twice, and how much it takes of each; what a pool does not have counts as all that it has.
    pub pools: Vec<(String, u32)>,
    /// Whether nothing else may run beside it.
    pub exclusive: bool,
    /// Whether those that need it go on when it fails.
    pub allow_failure: bool,
}

/// What a failure does to the rest of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing more starts; the shell cancels what runs.
    Stop,
    /// All that does not need the failed step still runs.
    KeepGoing,
}

/// How many steps are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([usize; 9]);

impl Counts {
    /// Steps in a state; the reason of a skipped one does not matter.
    #[must_use]
    pub const fn of(&self, state: State) -> usize {
        self.0[state.index()]
    }
    /// Steps that have ended, in any way.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.0[4..].iter().sum()
    }
}

/// A bug in whoever drives the schedule, or made its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleFault {
    /// An entry names a step that is none.
    #[error("step {0:?} does not exist")]
    Unknown(StepId),
    /// Steps wait for each other.
    #[error("step {0:?} waits for itself")]
    Circle(StepId),
    /// A change of state that cannot be.
    #[error("step {step:?} cannot go from {from:?} to {to:?}")]
    Illegal {
        /// The step.
        step: StepId,
        /// Where it was.
        from: State,
        /// Where it should go.
        to: State,
    },
}

/// Something that steps share.
#[derive(Debug, Clone, Copy)]
struct Pool {
    capacity: u32,
    used: u32,
}

/// The state of every step of a run.
#[derive(Debug, Clone)]
pub struct Schedule {
    entries: Vec<Entry>,
    states: Vec<State>,
    counts: Counts,
    /// Who waits for each step; the flag tells a need from an order.
    waiters: Vec<Vec<(StepId, bool)>>,
    /// How many of those that each step waits for have not ended.
    open: Vec<usize>,
    /// Milliseconds from each step's start to the end of the run, along the longest way.
    critical: Vec<u64>,
    /// Ready steps: longest way first, then in order of declaration.
    ready: BTreeSet<(Reverse<u64>, StepId)>,
    /// Steps that became ready and were not handed out for a check yet.
    unchecked: Vec<StepId>,
    locked: HashSet<String>,
    pools: HashMap<String, Pool>,
    slots: u32,
    used: u32,
    /// The slots that each running step took when it started; [`Schedule::set_slots`] may have changed its share since.
    held: Vec<u32>,
    alone: bool,
    on_failure: OnFailure,
    stopped: bool,
}

impl Schedule {
    /// Prepares a run; entry `n` describes step `n`.
    ///
    /// # Errors
    /// [`ScheduleFault::Unknown`], [`ScheduleFault::Circle`]: the graph should have found both.
    pub fn new(entries: Vec<Entry>, slots: u32, on_failure: OnFailure) -> Result<Self, ScheduleFault> {
        let n = entries.len();
        let mut waiters = vec![Vec::new(); n];
        let mut open = vec![0; n];
        for (entry, id) in entries.iter().zip((0..).map(StepId)) {
            let needs = entry.needs.iter().map(|on| (on, true));
            for (on, needed) in needs.chain(entry.after.iter().map(|on| (on, false))) {
                waiters.get_mut(on.index()).ok_or(ScheduleFault::Unknown(*on))?.push((id, needed));
                open[id.index()] += 1;
            }
        }
        let critical = critical_path(&entries, &waiters, &open)?;
        let mut counts = Counts::default();
        counts.0[State::Waiting.index()] = n;
        let mut schedule = Self {
            states: vec![State::Waiting; n],
            counts,
            waiters,
            open,
            critical,
            ready: BTreeSet::new(),
            unchecked: Vec::new(),
            locked: HashSet::new(),
            pools: HashMap::new(),
            slots: slots.max(1),
            used: 0,
            held: vec![0; n],
            alone: false,
            on_failure,
            stopped: false,
            entries,
        };
        for id in (0..).map(StepId).take(n) {
            if schedule.open[id.index()] == 0 {
                schedule.set(id, State::Ready)?;
            }
        }
        Ok(schedule)
    }

    /// Says how much each pool has, before anything starts. A pool that is not named here has room for all.
    #[must_use]
    pub fn with_pools(mut self, capacities: HashMap<String, u32>) -> Self {
        self.pools = capacities.into_iter().map(|(name, capacity)| (name, Pool { capacity: capacity.max(1), used: 0 })).collect();
        self
    }

    /// Hands out the steps that became ready, each once, so that someone finds out whether they must run at all. They take no
    /// slot and no lock meanwhile. A driver that never asks runs them all.
    pub fn check(&mut self) -> Vec<StepId> {
        let mut fresh = std::mem::take(&mut self.unchecked);
        fresh.retain(|id| self.set(*id, State::Checking).is_ok());
        fresh
    }

    /// Takes the answer to a check in: a step whose result is in place has ended, another one may start. Returns whether the
    /// answer counts; it comes too late when the run was stopped meanwhile.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn checked(&mut self, id: StepId, in_place: bool) -> Result<bool, ScheduleFault> {
        if self.state(id) != Some(State::Checking) {
            return Ok(false);
        }
        if in_place {
            self.set(id, State::Cached)?;
            self.release(id)?;
        } else {
            self.set(id, State::Ready)?;
        }
        Ok(true)
    }

    /// Hands out the steps that start now; they are running from here on. Those on the longest way to the end come first. A
    /// step that must run alone, or takes more slots than are free, keeps those behind it from passing, so that it is
    /// never starved; one that waits for a lock does not, since whoever holds the lock is running. One that waits for room in a
    /// pool is passed by those that take from other pools only, so that many light ones cannot keep a heavy one out.
    pub fn start(&mut self) -> Vec<StepId> {
        let mut chosen = Vec::new();
        let mut taken: HashSet<&str> = HashSet::new();
        // What those before a step take from each pool, with the claims of those that wait.
        let mut claimed: HashMap<&str, u32> = HashMap::new();
        let (mut used, mut alone) = (self.used, self.alone);
        for (_, id) in &self.ready {
            if alone || used >= self.slots {
                break;
            }
            let entry = &self.entries[id.index()];
            if entry.locks.iter().any(|lock| self.locked.contains(lock) || taken.contains(lock.as_str())) {
                continue;
            }
            let weight = self.weight(*id);
            if weight > self.slots.saturating_sub(used) || (entry.exclusive && used > 0) {
                break;
            }
            let fits = entry.pools.iter().all(|(name, weight)| {
                let (free, weight) = self.room(name, *weight);
                weight <= free.saturating_sub(claimed.get(name.as_str()).copied().unwrap_or(0))
            });
            for (name, weight) in &entry.pools {
                let claim = if fits { self.room(name, *weight).1 } else { u32::MAX };
                let sum = claimed.entry(name).or_default();
                *sum = sum.saturating_add(claim);
            }
            if !fits {
                continue;
            }
            taken.extend(entry.locks.iter().map(String::as_str));
            used += weight;
            alone = entry.exclusive;
            chosen.push(*id);
        }
        // A ready step may always become a running one.
        chosen.retain(|id| self.set(*id, State::Running).is_ok());
        chosen
    }

    /// Takes the end of a running step in. Returns the steps that will not start because of it, with their ends, in order of
    /// declaration.
    ///
    /// # Errors
    /// [`ScheduleFault::Illegal`] when the step was not running; nothing has changed then.
    pub fn finish(&mut self, id: StepId, end: End) -> Result<Vec<(StepId, State)>, ScheduleFault> {
        let state = match end {
            End::Done => State::Done,
            End::Cached => State::Cached,
            End::Failed => State::Failed,
            End::Cancelled => State::Cancelled,
        };
        self.set(id, state)?;
        let mut ended = self.release(id)?;
        if end == End::Failed && self.on_failure == OnFailure::Stop && !self.entries[id.index()].allow_failure {
            ended.extend(self.stop()?);
        }
        ended.sort_unstable_by_key(|(id, _)| *id);
        Ok(ended)
    }

    /// Ends the run: nothing more starts. Returns the steps that did not start; those that run are still to be finished.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn stop(&mut self) -> Result<Vec<(StepId, State)>, ScheduleFault> {
        self.stopped = true;
        let mut ended = Vec::new();
        for id in (0..).map(StepId).take(self.states.len()) {
            if matches!(self.states[id.index()], State::Waiting | State::Ready | State::Checking) {
                self.set(id, State::Cancelled)?;
                ended.push((id, State::Cancelled));
            }
        }
        Ok(ended)
    }

    /// Changes how many slots there are; those that run go on.
    pub fn set_slots(&mut self, slots: u32) {
        self.slots = slots.max(1);
    }

    /// Where a step is; `None` when there is no such step.
    #[must_use]
    pub fn state(&self, id: StepId) -> Option<State> {
        self.states.get(id.index()).copied()
    }

    /// How many steps are where.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether every step has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.counts.ended() == self.states.len()
    }

    /// Whether nothing more will start, because of a failure or of [`Schedule::stop`].
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Milliseconds from the step's start to the end of the run, along the longest way; each step counts at least one.
    #[must_use]
    pub fn critical_ms(&self, id: StepId) -> Option<u64> {
        self.critical.get(id.index()).copied()
    }

    fn weight(&self, id: StepId) -> u32 {
        self.entries[id.index()].weight.clamp(1, self.slots)
    }

    /// What is free in a pool, and what a step of this weight takes of it.
    fn room(&self, pool: &str, weight: u32) -> (u32, u32) {
        self.pools.get(pool).map_or((u32::MAX, 0), |pool| (pool.capacity.saturating_sub(pool.used), weight.clamp(1, pool.capacity)))
    }

    /// The only place where a state changes; keeps the ready queue, locks, pools, slots and counts in step with it.
    fn set(&mut self, step: StepId, to: State) -> Result<(), ScheduleFault> {
        let from = *self.states.get(step.index()).ok_or(ScheduleFault::Unknown(step))?;
        if !from.may_become(to) {
            return Err(ScheduleFault::Illegal { step, from, to });
        }
        let place = (Reverse(self.critical[step.index()]), step);
        let entry = &self.entries[step.index()];
        if from == State::Ready {
            self.ready.remove(&place);
        }
        if from == State::Running {
            self.used = self.used.saturating_sub(self.held[step.index()]);
            self.alone = false;
            for lock in &entry.locks {
                self.locked.remove(lock);
            }
            for (name, weight) in &entry.pools {
                if let Some(pool) = self.pools.get_mut(name) {
                    pool.used = pool.used.saturating_sub((*weight).clamp(1, pool.capacity));
                }
            }
        }
        match to {
            State::Ready => {
                self.ready.insert(place);
                if from == State::Waiting {
                    self.unchecked.push(step);
                }
            }
            State::Running => {
                let weight = self.weight(step);
                self.held[step.index()] = weight;
                self.used += weight;
                self.alone = entry.exclusive;
                self.locked.extend(entry.locks.iter().cloned());
                for (name, weight) in &entry.pools {
                    if let Some(pool) = self.pools.get_mut(name) {
                        pool.used += (*weight).clamp(1, pool.capacity);
                    }
                }
            }
            _ => {}
        }
        self.counts.0[from.index()] -= 1;
        self.counts.0[to.index()] += 1;
        self.states[step.index()] = to;
        Ok(())
    }

    /// Tells those that wait for an ended step, and in turn those that wait for the ones that end by it.
    fn release(&mut self, first: StepId) -> Result<Vec<(StepId, State)>, ScheduleFault> {
        let mut ended = Vec::new();
        let mut queue = vec![first];
        while let Some(on) = queue.pop() {
            // What a need means for those that have it: go on, or end in the same way.
            let verdict = match self.states[on.index()] {
                State::Failed if !self.entries[on.index()].allow_failure => Some(State::Skipped { because: on }),
                end @ (State::Skipped { .. } | State::Cancelled) => Some(end),
                _ => None,
            };
            for index in 0..self.waiters[on.index()].len() {
                let (id, needed) = self.waiters[on.index()][index];
                self.open[id.index()] -= 1;
                if self.states[id.index()] != State::Waiting {
                    continue;
                }
                match verdict {
                    Some(end) if needed => {
                        self.set(id, end)?;
                        ended.push((id, end));
                        queue.push(id);
                    }
                    _ if self.open[id.index()] == 0 => self.set(id, State::Ready)?,
                    _ => {}
                }
            }
        }
        Ok(ended)
    }
}

/// The longest way from each step to the end, by Kahn's algorithm from the ends backwards.
fn critical_path(entries: &[Entry], waiters: &[Vec<(StepId, bool)>], open: &[usize]) -> Result<Vec<u64>, ScheduleFault> {
    let mut open = open.to_vec();
    let mut order: Vec<StepId> = (0..).map(StepId).zip(&open).filter(|(_, open)| **open == 0).map(|(id, _)| id).collect();
    let mut next = 0;
    while let Some(id) = order.get(next).copied() {
        next += 1;
        for (waiter, _) in &waiters[id.index()] {
            open[waiter.index()] -= 1;
            if open[waiter.index()] == 0 {
                order.push(*waiter);
            }
        }
    }
    if let Some((id, _)) = (0..).map(StepId).zip(&open).find(|(_, open)| **open > 0) {
        return Err(ScheduleFault::Circle(id));
    }
    let mut critical = vec![0_u64; entries.len()];
    for id in order.iter().rev() {
        let behind = waiters[id.index()].iter().map(|(waiter, _)| critical[waiter.index()]).max().unwrap_or(0);
        critical[id.index()] = entries[id.index()].expected_ms.max(1).saturating_add(behind);
    }
    Ok(critical)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(on: &[u32]) -> Entry {
        Entry { needs: on.iter().copied().map(StepId).collect(), ..Entry::default() }
    }

    fn schedule(entries: Vec<Entry>, slots: u32, on_failure: OnFailure) -> Schedule {
        Schedule::new(entries, slots, on_failure).unwrap()
    }

    fn ids(ids: &[u32]) -> Vec<StepId> {
        ids.iter().copied().map(StepId).collect()
    }

    #[test]
    fn the_longest_way_starts_first_and_ties_go_by_declaration() {
        let long = Entry { expected_ms: 50, ..needs(&[1]) };
        let mut plan =
            schedule(vec![needs(&[]), needs(&[]), long, Entry { expected_ms: 20, ..needs(&[]) }, needs(&[])], 9, OnFailure::Stop);
        assert_eq!(plan.start(), ids(&[1, 3, 0, 4]));
        assert_eq!(plan.critical_ms(StepId(1)), Some(51));
        assert_eq!(plan.start(), ids(&[]));
    }

    #[test]
    fn a_circle_and_an_unknown_step_are_found_before_anything_starts() {
        assert_eq!(Schedule::new(vec![needs(&[1]), needs(&[0])], 1, OnFailure::Stop).unwrap_err(), ScheduleFault::Circle(StepId(0)));
        assert_eq!(Schedule::new(vec![needs(&[0])], 1, OnFailure::Stop).unwrap_err(), ScheduleFault::Circle(StepId(0)));
        assert_eq!(Schedule::new(vec![needs(&[7])], 1, OnFailure::Stop).unwrap_err(), ScheduleFault::Unknown(StepId(7)));
    }

    #[test]
    fn a_step_ends_once_and_only_when_it_runs() {
        let mut plan = schedule(vec![needs(&[]), needs(&[0])], 1, OnFailure::Stop);
        let illegal = |step, from, to| Err(ScheduleFault::Illegal { step: StepId(step), from, to });
        assert_eq!(plan.finish(StepId(0), End::Done), illegal(0, State::Ready, State::Done));
        assert_eq!(plan.finish(StepId(1), End::Done), illegal(1, State::Waiting, State::Done));
        assert_eq!(plan.finish(StepId(2), End::Done), Err(ScheduleFault::Unknown(StepId(2))));
        plan.start();
        assert_eq!(plan.finish(StepId(0), End::Cached), Ok(vec![]));
        assert_eq!(plan.finish(StepId(0), End::Failed), illegal(0, State::Cached, State::Failed));
        assert_eq!(plan.start(), ids(&[1]));
    }

    #[test]
    fn keeping_going_skips_only_dependants_and_names_the_step_that_failed() {
        let after = Entry { after: ids(&[2]), ..Entry::default() };
        let mut plan = schedule(vec![needs(&[]), needs(&[0]), needs(&[1]), needs(&[]), after], 9, OnFailure::KeepGoing);
        assert_eq!(plan.start(), ids(&[0, 3]));
        let because = State::Skipped { because: StepId(0) };
        assert_eq!(plan.finish(StepId(0), End::Failed), Ok(vec![(StepId(1), because), (StepId(2), because)]));
        assert_eq!(plan.start(), ids(&[4]), "an order is no need");
        plan.finish(StepId(3), End::Done).unwrap();
        plan.finish(StepId(4), End::Done).unwrap();
        assert!(plan.is_finished() && !plan.is_stopped());
        assert_eq!((plan.counts().of(State::Done), plan.counts().of(because), plan.counts().ended()), (2, 2, 5));
    }

    #[test]
    fn the_first_failure_stops_the_run_and_running_steps_are_left_to_their_ends() {
        let mut plan = schedule(vec![needs(&[]), needs(&[]), needs(&[0]), needs(&[1]), needs(&[])], 2, OnFailure::Stop);
        assert_eq!(plan.start(), ids(&[0, 1]));
        let because = State::Skipped { because: StepId(0) };
        let ended = vec![(StepId(2), because), (StepId(3), State::Cancelled), (StepId(4), State::Cancelled)];
        assert_eq!(plan.finish(StepId(0), End::Failed), Ok(ended));
        assert_eq!(plan.start(), ids(&[]));
        assert!(!plan.is_finished());
        assert_eq!(plan.finish(StepId(1), End::Cancelled), Ok(vec![]));
        assert!(plan.is_finished());
    }

    #[test]
    fn an_allowed_failure_counts_as_done() {
        let mut plan = schedule(vec![Entry { allow_failure: true, ..Entry::default() }, needs(&[0])], 1, OnFailure::Stop);
        plan.start();
        assert_eq!(plan.finish(StepId(0), End::Failed), Ok(vec![]));
        assert_eq!((plan.start(), plan.state(StepId(0))), (ids(&[1]), Some(State::Failed)));
    }

    #[test]
    fn who_needs_a_cancelled_step_is_cancelled() {
        let mut plan = schedule(vec![needs(&[]), needs(&[0]), needs(&[])], 9, OnFailure::KeepGoing);
        plan.start();
        assert_eq!(plan.finish(StepId(0), End::Cancelled), Ok(vec![(StepId(1), State::Cancelled)]));
        assert_eq!(plan.stop(), Ok(vec![]));
    }

    #[test]
    fn a_step_that_runs_alone_is_not_passed_by_those_behind_it() {
        let alone = Entry { exclusive: true, expected_ms: 20, ..Entry::default() };
        let mut plan = schedule(vec![Entry { expected_ms: 30, ..Entry::default() }, alone, needs(&[])], 4, OnFailure::Stop);
        assert_eq!(plan.start(), ids(&[0]));
        plan.finish(StepId(0), End::Done).unwrap();
        assert_eq!(plan.start(), ids(&[1]));
        assert_eq!(plan.start(), ids(&[]));
        plan.finish(StepId(1), End::Done).unwrap();
        assert_eq!(plan.start(), ids(&[2]));
    }

    #[test]
    fn weights_share_the_slots_and_a_weight_beyond_them_takes_all() {
        let heavy = |weight| Entry { weight, ..Entry::default() };
        let mut plan = schedule(vec![heavy(2), heavy(9), heavy(1)], 3, OnFailure::Stop);
        assert_eq!(plan.start(), ids(&[0]));
        plan.finish(StepId(0), End::Done).unwrap();
        assert_eq!(plan.start(), ids(&[1]));
        // Fewer slots from now on: what runs gives back what it took.
        plan.set_slots(1);
        plan.finish(StepId(1), End::Done).unwrap();
        assert_eq!(plan.start(), ids(&[2]));
    }

    #[test]
    fn a_step_in_place_ends_without_a_slot_and_one_that_is_not_starts_later() {
        let mut plan = schedule(vec![needs(&[]), needs(&[0]), needs(&[]), needs(&[1])], 1, OnFailure::Stop);
        assert_eq!((plan.check(), plan.check(), plan.start()), (ids(&[0, 2]), ids(&[]), ids(&[])));
        assert_eq!((plan.checked(StepId(2), false), plan.start()), (Ok(true), ids(&[2])));
        assert_eq!((plan.checked(StepId(0), true), plan.check()), (Ok(true), ids(&[1])));
        assert_eq!(plan.finish(StepId(2), End::Failed).unwrap().len(), 2);
        assert_eq!((plan.state(StepId(1)), plan.checked(StepId(1), true)), (Some(State::Cancelled), Ok(false)));
        assert!(plan.is_finished());
    }

    #[test]
    fn who_waits_for_a_lock_lets_others_pass() {
        let locked = || Entry { locks: vec!["db".into()], ..Entry::default() };
        let mut plan = schedule(vec![locked(), locked(), needs(&[])], 3, OnFailure::Stop);
        assert_eq!(plan.start(), ids(&[0, 2]));
        plan.finish(StepId(0), End::Failed).unwrap();
        assert!(plan.is_stopped());
    }

    fn pooled(weight: u32, expected_ms: u64) -> Entry {
        Entry { pools: vec![("link".into(), weight)], expected_ms, ..Entry::default() }
    }

    fn link(entries: Vec<Entry>, capacity: u32) -> Schedule {
        schedule(entries, 9, OnFailure::KeepGoing).with_pools(HashMap::from([("link".to_owned(), capacity)]))
    }

    #[test]
    fn who_waits_for_a_pool_is_passed_by_those_outside_of_it_only() {
        // A light one, the heavy one, a light one that comes after it, and one that takes nothing.
        let mut plan = link(vec![pooled(1, 40), pooled(2, 30), pooled(1, 20), needs(&[])], 2);
        assert_eq!(plan.start(), ids(&[0, 3]), "room for a light one is kept for the heavy one");
        plan.finish(StepId(0), End::Failed).unwrap();
        assert_eq!(plan.start(), ids(&[1]), "a failed step gives back what it took");
        plan.finish(StepId(1), End::Done).unwrap();
        assert_eq!(plan.start(), ids(&[2]));
    }

    #[test]
    fn a_weight_beyond_a_pool_takes_all_of_it_and_an_unnamed_pool_has_room_for_all() {
        let other = Entry { pools: vec![("other".into(), 9)], ..Entry::default() };
        let mut plan = link(vec![pooled(5, 9), pooled(1, 8), other.clone(), other], 2);
        assert_eq!(plan.start(), ids(&[0, 2, 3]));
        plan.finish(StepId(0), End::Done).unwrap();
        assert_eq!(plan.start(), ids(&[1]));
    }
}
