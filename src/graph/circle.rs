//! Circles, shown as a chain with the place of every link.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef as _;

use crate::base::diagnostic::{Diagnostic, Diagnostics};

use super::Edge;
use super::action::Action;

/// The most names of a circle that a fault shows.
const SHOWN: usize = 12;

/// One fault per knot of steps that wait for each other.
pub fn faults(dag: &DiGraph<Action, Edge>) -> Diagnostics {
    let mut found = Diagnostics::default();
    // Tarjan's way calls itself once per step, which a long circle has no stack for.
    for knot in petgraph::algo::kosaraju_scc(dag) {
        let alone = knot.len() == 1;
        if alone && !dag.contains_edge(knot[0], knot[0]) {
            continue;
        }
        found.push(fault(dag, &shortest(dag, &knot)));
    }
    found
}

/// The shortest way from the first step of the knot back to itself.
fn shortest(dag: &DiGraph<Action, Edge>, knot: &[NodeIndex]) -> Vec<NodeIndex> {
    let start = knot.iter().copied().min().unwrap_or_default();
    let inside: HashSet<NodeIndex> = knot.iter().copied().collect();
    let mut came_from = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        let mut next: Vec<NodeIndex> = dag.edges(at).map(|edge| edge.target()).filter(|target| inside.contains(target)).collect();
        next.sort_unstable();
        for target in next {
            if target == start {
                let mut chain = vec![at];
                let mut back = at;
                while back != start {
                    back = came_from[&back];
                    chain.push(back);
                }
                chain.reverse();
                return chain;
            }
            if let Entry::Vacant(place) = came_from.entry(target) {
                place.insert(at);
                queue.push_back(target);
            }
        }
    }
    vec![start]
}

fn fault(dag: &DiGraph<Action, Edge>, chain: &[NodeIndex]) -> Diagnostic {
    // An edge points from the one that goes first; read backwards, each step waits for the next one shown.
    let mut names: Vec<String> = chain.iter().rev().map(|index| dag[*index].name.to_string()).collect();
    names.push(names[0].clone());
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN {
        shown.truncate(SHOWN - 1);
        shown.extend(["…".to_owned(), format!("`{}`", names[0])]);
    }
    let message = format!("steps wait for each other in a circle: {}", shown.join(" → "));
    let first = &dag[chain[chain.len() - 1]];
    let mut diagnostic = Diagnostic::plan("plan::circle", message, &first.span, format!("`{}` waits for `{}`", names[0], names[1]));
    for (at, index) in chain.iter().rev().enumerate().skip(1).take(SHOWN) {
        diagnostic = diagnostic.label(&dag[*index].span, format!("`{}` waits for `{}`", names[at], names[at + 1]));
    }
    diagnostic.help(if by_need_alone(dag, chain) {
        "drop one of the `needs`, or move what both need into a task of its own"
    } else {
        "an input that matches another target's output makes it wait for that target; leave one out with `!pattern`, or drop a `needs`"
    })
}

/// Whether no file goes round the circle.
fn by_need_alone(dag: &DiGraph<Action, Edge>, chain: &[NodeIndex]) -> bool {
    let next = chain.iter().cycle().skip(1);
    chain.iter().zip(next).all(|(from, to)| {
        let edge = dag.find_edge(*from, *to).or_else(|| dag.find_edge(*to, *from));
        edge.is_some_and(|edge| matches!(dag[edge], Edge::Need | Edge::After))
    })
}
