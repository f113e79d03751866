//! The schedule under random graphs, random ends in random order, and random wishes to stop.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kiln::base::id::StepId;
use kiln::exec::schedule::{End, Entry, OnFailure, Schedule, State};
use proptest::prelude::*;

/// A graph whose edges lead from later to earlier steps, so that it has no circle, in a random order of declaration.
fn graphs() -> impl Strategy<Value = Vec<Entry>> {
    let step = (
        proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..4),
        0_u64..50,
        0_u32..4,
        proptest::collection::vec(prop::sample::select(vec!["db", "port", "gpu"]), 0..3),
        proptest::collection::btree_map(prop::sample::select(vec!["link", "memory", "open"]), 0_u32..6, 0..3),
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.15),
    );
    (proptest::collection::vec(step, 1..40), any::<u64>()).prop_map(|(steps, seed)| {
        let place = shuffled(steps.len(), seed);
        let mut entries = vec![Entry::default(); steps.len()];
        for (index, (edges, expected_ms, weight, locks, pools, exclusive, allow_failure)) in steps.into_iter().enumerate() {
            let locks = locks.into_iter().map(str::to_owned).collect();
            let pools = pools.into_iter().map(|(name, weight)| (name.to_owned(), weight)).collect();
            let mut entry = Entry { expected_ms, weight, locks, pools, exclusive, allow_failure, ..Entry::default() };
            for (to, needed) in edges.iter().filter(|_| index > 0) {
                let on = StepId(place[to.index(index)] as u32);
                if *needed { entry.needs.push(on) } else { entry.after.push(on) }
            }
            entries[place[index]] = entry;
        }
        entries
    })
}

/// Two pools; `open` is none, so it has room for all. Weights go beyond both.
const POOLS: [(&str, u32); 2] = [("link", 3), ("memory", 4)];

fn schedule(entries: &[Entry], slots: u32, on_failure: OnFailure) -> Schedule {
    let capacities: HashMap<String, u32> = POOLS.map(|(name, capacity)| (name.to_owned(), capacity)).into();
    Schedule::new(entries.to_vec(), slots, on_failure).unwrap().with_pools(capacities)
}

/// A small generator of its own, so that a failing case is a value and not a state of the machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut dice = Dice(seed);
    let mut order: Vec<usize> = (0..n).collect();
    for index in (1..n).rev() {
        order.swap(index, dice.roll(index + 1));
    }
    order
}

/// Everything that happened in a simulated run.
#[derive(Debug, Default, PartialEq)]
struct Story {
    /// Steps in the order of their starts.
    started: Vec<StepId>,
    /// Steps with their ends, in order.
    ended: Vec<(StepId, State)>,
    stopped_by_hand: bool,
    /// How many had started when the first step failed that was not allowed to.
    before_failure: Option<usize>,
}

/// Drives a schedule with random ends, checking at each moment what must hold at each moment.
fn simulate(entries: &[Entry], slots: u32, on_failure: OnFailure, seed: u64, failures: usize, stops: bool) -> Story {
    let mut dice = Dice(seed);
    let mut schedule = schedule(entries, slots, on_failure);
    let mut story = Story::default();
    let mut running: Vec<StepId> = Vec::new();
    loop {
        for id in schedule.start() {
            check_start(entries, &story.ended, id);
            running.push(id);
            story.started.push(id);
        }
        check_running(entries, slots, &running);
        check_pools(entries, &running);
        assert_eq!(schedule.counts().of(State::Running), running.len());
        if running.is_empty() {
            break;
        }
        if stops && dice.roll(20) == 0 {
            story.ended.extend(schedule.stop().unwrap());
            story.stopped_by_hand = true;
        }
        let id = running.swap_remove(dice.roll(running.len()));
        let end = match dice.roll(100) {
            roll if roll < failures => End::Failed,
            roll if roll < failures * 2 && story.stopped_by_hand => End::Cancelled,
            roll if roll % 2 == 0 => End::Done,
            _ => End::Cached,
        };
        let more = schedule.finish(id, end).unwrap();
        if end == End::Failed && !entries[id.index()].allow_failure {
            story.before_failure.get_or_insert(story.started.len());
        }
        story.ended.push((id, schedule.state(id).unwrap()));
        story.ended.extend(more);
    }
    assert!(schedule.is_finished(), "nothing runs, and yet {:?} remain", schedule.counts());
    for (id, state) in &story.ended {
        assert_eq!(schedule.state(*id), Some(*state));
    }
    story
}

fn check_start(entries: &[Entry], ended: &[(StepId, State)], id: StepId) {
    let entry = &entries[id.index()];
    for need in &entry.needs {
        let end = ended.iter().find(|(ended, _)| ended == need).map(|(_, state)| *state);
        let well = matches!(end, Some(State::Done | State::Cached)) || (end == Some(State::Failed) && entries[need.index()].allow_failure);
        assert!(well, "{id:?} started, but {need:?} is {end:?}");
    }
    for first in &entry.after {
        assert!(ended.iter().any(|(ended, _)| ended == first), "{id:?} started before {first:?} ended");
    }
}

fn check_running(entries: &[Entry], slots: u32, running: &[StepId]) {
    let of = |id: &StepId| &entries[id.index()];
    assert!(running.iter().map(|id| of(id).weight.clamp(1, slots)).sum::<u32>() <= slots, "more run than there are slots");
    assert!(running.len() == 1 || !running.iter().any(|id| of(id).exclusive), "something runs beside an exclusive step");
    let mut held = BTreeSet::new();
    for id in running {
        for lock in of(id).locks.iter().collect::<BTreeSet<_>>() {
            assert!(held.insert(lock), "two steps hold `{lock}`");
        }
    }
}

/// The weights of what runs, summed for each pool, with those beyond a pool's capacity taken as all of it.
fn check_pools(entries: &[Entry], running: &[StepId]) {
    let mut used: BTreeMap<&str, u32> = BTreeMap::new();
    for (name, weight) in running.iter().flat_map(|id| &entries[id.index()].pools) {
        let capacity = POOLS.iter().find(|(pool, _)| pool == name).map_or(u32::MAX, |(_, capacity)| *capacity);
        *used.entry(name).or_default() += (*weight).clamp(1, capacity);
    }
    for (pool, capacity) in POOLS {
        assert!(used.get(pool).is_none_or(|used| *used <= capacity), "{used:?}");
    }
}

/// What must follow from who failed, by a plain walk over the graph.
fn skipped_by(entries: &[Entry], ended: &[(StepId, State)], id: StepId) -> bool {
    entries[id.index()].needs.iter().any(|need| {
        let failed = ended.contains(&(*need, State::Failed)) && !entries[need.index()].allow_failure;
        failed || skipped_by(entries, ended, *need)
    })
}

proptest! {
    #[test]
    fn every_step_ends_exactly_once(
        entries in graphs(), slots in 1_u32..6, seed: u64, failures in 0_usize..40, keep: bool, stops: bool
    ) {
        let mode = if keep { OnFailure::KeepGoing } else { OnFailure::Stop };
        let story = simulate(&entries, slots, mode, seed, failures, stops);
        let mut ends: Vec<StepId> = story.ended.iter().map(|(id, _)| *id).collect();
        ends.sort();
        prop_assert_eq!(ends, (0..entries.len() as u32).map(StepId).collect::<Vec<_>>());
    }

    #[test]
    fn keeping_going_runs_all_but_the_dependants_of_failed_steps(
        entries in graphs(), slots in 1_u32..6, seed: u64, failures in 0_usize..40
    ) {
        let story = simulate(&entries, slots, OnFailure::KeepGoing, seed, failures, false);
        for (id, state) in &story.ended {
            let expected = skipped_by(&entries, &story.ended, *id);
            prop_assert_eq!(matches!(state, State::Skipped { .. }), expected, "{:?} is {:?}", id, state);
            prop_assert_eq!(!story.started.contains(id), expected);
            if let State::Skipped { because } = state {
                prop_assert!(story.ended.contains(&(*because, State::Failed)), "{:?} names {:?}, which did not fail", id, because);
            }
        }
    }

    #[test]
    fn nothing_starts_after_the_first_failure_unless_the_run_keeps_going(
        entries in graphs(), slots in 1_u32..6, seed: u64, failures in 1_usize..40
    ) {
        let story = simulate(&entries, slots, OnFailure::Stop, seed, failures, false);
        prop_assert_eq!(story.started.len(), story.before_failure.unwrap_or(entries.len()));
    }

    #[test]
    fn the_same_run_gives_the_same_order(entries in graphs(), slots in 1_u32..6, seed: u64, failures in 0_usize..40) {
        let run = || simulate(&entries, slots, OnFailure::KeepGoing, seed, failures, true);
        prop_assert_eq!(run(), run());
    }
}

/// The longest way from a step to the end of the run, by plain recursion.
fn way(entries: &[Entry], id: StepId) -> u64 {
    let waits = |entry: &Entry| entry.needs.contains(&id) || entry.after.contains(&id);
    let behind = (0..).map(StepId).zip(entries).filter(|(_, entry)| waits(entry)).map(|(waiting, _)| way(entries, waiting)).max();
    entries[id.index()].expected_ms.max(1) + behind.unwrap_or(0)
}

/// Runs steps for exactly as long as they should take; gives the time at which the last one ended.
fn makespan(entries: &[Entry], slots: u32, ways: &[u64]) -> u64 {
    let mut schedule = Schedule::new(entries.to_vec(), slots, OnFailure::Stop).unwrap();
    let mut running: Vec<(u64, StepId)> = Vec::new();
    let mut now = 0;
    loop {
        let started = schedule.start();
        let shortest = started.iter().map(|id| ways[id.index()]).min();
        let waiting = (0..entries.len() as u32).map(StepId).filter(|id| schedule.state(*id) == Some(State::Ready));
        let longest_left = waiting.map(|id| ways[id.index()]).max();
        assert!(shortest.is_none() || longest_left <= shortest, "a step with a longer way waits");
        assert!(longest_left.is_none() || running.len() + started.len() == slots as usize, "a slot is idle while a step is ready");
        running.extend(started.into_iter().map(|id| (now + entries[id.index()].expected_ms.max(1), id)));
        let Some(next) = running.iter().copied().min() else { return now };
        running.retain(|end| *end != next);
        now = next.0;
        schedule.finish(next.1, End::Done).unwrap();
    }
}

proptest! {
    #[test]
    fn steps_start_by_their_longest_way_and_no_run_takes_longer_than_the_bound_of_graham(entries in graphs(), slots in 1_u32..6) {
        let plain: Vec<Entry> = entries
            .into_iter()
            .map(|entry| Entry { needs: entry.needs, after: entry.after, expected_ms: entry.expected_ms, ..Entry::default() })
            .collect();
        let ways: Vec<u64> = (0..plain.len() as u32).map(|id| way(&plain, StepId(id))).collect();
        let work: u64 = plain.iter().map(|entry| entry.expected_ms.max(1)).sum();
        let longest = ways.iter().copied().max().unwrap_or(0);
        let took = makespan(&plain, slots, &ways);
        prop_assert!(took >= longest.max(work.div_ceil(u64::from(slots))));
        // R. L. Graham, Bounds on Multiprocessing Timing Anomalies, 1969: (work + (slots - 1) * longest) / slots.
        prop_assert!(took * u64::from(slots) <= work + u64::from(slots - 1) * longest);
    }
}

#[test]
fn a_hundred_thousand_steps_are_scheduled_in_no_time() {
    let entries: Vec<Entry> = (0..100_000_u32)
        .map(|n| Entry {
            needs: (1..=4).filter_map(|back| n.checked_sub(back * 25)).map(StepId).collect(),
            expected_ms: u64::from(n % 97),
            locks: if n % 10 == 0 { vec![format!("lock{}", n % 7)] } else { Vec::new() },
            ..Entry::default()
        })
        .collect();
    let start = std::time::Instant::now();
    let mut schedule = Schedule::new(entries, 8, OnFailure::Stop).unwrap();
    let mut running = std::collections::VecDeque::new();
    loop {
        running.extend(schedule.start());
        let Some(id) = running.pop_front() else { break };
        schedule.finish(id, End::Done).unwrap();
    }
    assert!(schedule.is_finished());
    // Measured under 0.4 s unoptimised; the bound only catches work that grows with the square.
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}
