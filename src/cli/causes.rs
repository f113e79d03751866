//! Which values of the plan changed what of a step's definition: the plan is opened once more with a former value, and what differs
//! from that plan is the value's doing.
//! In: what differs since a record, and the values on it. Out: the same, each line of a definition below the value that changed it.
//! Never: a value that changed nothing, a command that was run already.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::base::id::{StepId, StepName};
use crate::exec::compare::{self, Side};
use crate::graph::ActionGraph;
use crate::key::explain::{self, Difference};
use crate::plan::basis::Values;
use crate::report::told::Told;

use super::open::{Opened, Reopen};

/// The most values of one step that are looked at one by one.
const MOST: usize = 12;
/// The most plans that are opened once more.
const PLANS: usize = 32;

/// One thing that changed, and what followed from it.
pub struct Caused {
    /// The thing.
    pub difference: Difference,
    /// The lines of the definition that it changed.
    pub effects: Vec<Difference>,
}

impl From<Difference> for Caused {
    fn from(difference: Difference) -> Self {
        Self { difference, effects: Vec::new() }
    }
}

/// Finds causes; plans that were opened once more are kept.
pub struct Causes<'a> {
    reopen: Reopen<'a>,
    now: Side<'a>,
    /// Those that were opened; `None` for one that cannot be.
    known: RefCell<HashMap<Values, Option<Rc<Former>>>>,
}

/// A plan with former values.
struct Former {
    opened: Opened,
    steps: HashMap<StepName, StepId>,
}

/// What a step would be with former values.
struct Otherwise {
    /// How what it is differs from that.
    differences: Vec<Difference>,
    /// All values that it would rest on.
    basis: Values,
}

impl<'a> Causes<'a> {
    /// For a plan that was opened.
    pub fn new(reopen: Reopen<'a>, now: Side<'a>) -> Self {
        Self { reopen, now, known: RefCell::default() }
    }

    /// Puts the differences of a step since a record below the values that changed since the `old` ones and made them.
    pub fn of(&self, id: StepId, old: &Values, differences: Vec<Difference>) -> Vec<Caused> {
        let mut changed = explain::values(old, &self.now.graph.basis(id));
        changed.truncate(MOST);
        let former = |name: &String| old.get(name).map(|value| (name.clone(), value.clone()));
        let all: Values = changed.iter().filter_map(|(name, _)| former(name)).collect();
        let Some(whole) = Some(all).filter(|all| !all.is_empty()).and_then(|all| self.otherwise(id, all)) else {
            return differences.into_iter().map(Caused::from).collect();
        };
        let (mut explained, mut own): (Vec<_>, Vec<_>) = differences.into_iter().partition(|one| whole.differences.contains(one));
        let each: Vec<(String, Difference, Otherwise)> = changed
            .into_iter()
            .filter_map(|(name, difference)| {
                let otherwise = self.otherwise(id, former(&name).into_iter().collect())?;
                Some((name, difference, otherwise))
            })
            .collect();
        let follows = |name: &String| each.iter().any(|(other, _, with)| other != name && with.basis.get(name) == old.get(name));
        let mut found: Vec<Caused> = Vec::new();
        for (_, difference, with) in each.iter().filter(|(name, ..)| !follows(name)) {
            let (effects, rest) = explained.into_iter().partition(|one| with.differences.iter().any(|own| own.thing == one.thing));
            explained = rest;
            found.push(Caused { difference: difference.clone(), effects });
        }
        found.retain(|one| !one.effects.is_empty());
        match found.first_mut() {
            // What only several values together explain.
            Some(first) => first.effects.append(&mut explained),
            None => own.append(&mut explained),
        }
        found.extend(own.into_iter().map(Caused::from));
        found
    }

    fn otherwise(&self, id: StepId, former: Values) -> Option<Otherwise> {
        let known = self.known.borrow().get(&former).cloned();
        let former = match known {
            Some(known) => known?,
            None if self.known.borrow().len() >= PLANS => return None,
            None => {
                let opened = self.reopen.with(&former).map(|opened| Rc::new(Former { steps: steps(&opened.graph), opened }));
                self.known.borrow_mut().insert(former, opened.clone());
                opened?
            }
        };
        let graph = &former.opened.graph;
        let then = *former.steps.get(&self.now.graph.action(id).name)?;
        let differences = compare::changed(Side { graph, ..self.now }, then, self.now, id).ok()?;
        Some(Otherwise { differences: differences.unwrap_or_default(), basis: graph.basis(then) })
    }
}

/// The steps of a plan by name.
pub fn steps(graph: &ActionGraph) -> HashMap<StepName, StepId> {
    graph.order().iter().map(|id| (graph.action(*id).name.clone(), *id)).collect()
}

/// The causes of what differs from another plan.
pub struct Between<'a> {
    causes: Causes<'a>,
    now: HashMap<StepName, StepId>,
    there: &'a ActionGraph,
    then: HashMap<StepName, StepId>,
}

impl<'a> Between<'a> {
    /// For the plan of `now` and another one.
    pub fn new(reopen: Reopen<'a>, now: Side<'a>, there: &'a ActionGraph) -> Self {
        Self { causes: Causes::new(reopen, now), now: steps(now.graph), there, then: steps(there) }
    }

    /// What differs in a step that both have, below its causes.
    pub fn of(&self, step: &StepName, differences: &[Difference]) -> Vec<Told> {
        let differences = differences.to_vec();
        let caused = match (self.now.get(step), self.then.get(step)) {
            (Some(now), Some(then)) => self.causes.of(*now, &self.there.basis(*then), differences),
            _ => differences.into_iter().map(Caused::from).collect(),
        };
        caused.iter().map(|one| told(one, None)).collect()
    }
}

/// One thing that changed, with what followed from it; `made_by` names the step that makes the file.
pub fn told(caused: &Caused, made_by: Option<String>) -> Told {
    Told::new(&caused.difference, made_by).with(caused.effects.iter().map(|effect| Told::new(effect, None)).collect())
}
