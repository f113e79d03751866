//! Templates that use each other in a circle: told as a chain, once, whether they are used or not.

use std::collections::HashSet;

use crate::base::diagnostic::{Class, Diagnostic, Span};
use crate::syntax::document::{Node, Scalar};

use super::Templates;

/// The names of templates that can never be written out, with one fault for each circle.
pub(super) fn circles(templates: &Templates<'_>) -> (HashSet<String>, Vec<Diagnostic>) {
    let uses: Vec<Vec<(usize, Span)>> = templates.values().map(|node| uses(node, templates)).collect();
    let name = |index: usize| templates.get_index(index).map_or_else(String::new, |(name, _)| (*name).to_owned());
    let (mut state, mut endless, mut faults) = (vec![State::New; templates.len()], HashSet::new(), Vec::new());
    for start in 0..templates.len() {
        let mut way: Vec<(usize, usize)> = Vec::new();
        if state[start] == State::New {
            state[start] = State::Open;
            way.push((start, 0));
        }
        while let Some((at, next)) = way.last_mut() {
            let Some((target, _)) = uses[*at].get(*next) else {
                state[*at] = State::Done;
                way.pop();
                continue;
            };
            *next += 1;
            let target = *target;
            match state[target] {
                State::New => {
                    state[target] = State::Open;
                    way.push((target, 0));
                }
                State::Open => {
                    let from = way.iter().position(|(index, _)| *index == target).unwrap_or_default();
                    // Every one on the way leads into the circle.
                    endless.extend(way.iter().map(|(index, _)| name(*index)));
                    faults.push(fault(&way[from..], &uses, templates));
                }
                State::Done if endless.contains(&name(target)) => {
                    endless.extend(way.iter().map(|(index, _)| name(*index)));
                }
                State::Done => {}
            }
        }
    }
    (endless, faults)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// The templates that a block uses, at any depth, each with the place of the name.
fn uses(node: &Node, templates: &Templates<'_>) -> Vec<(usize, Span)> {
    let mut found = Vec::new();
    let mut open: Vec<&Node> = node.children.iter().flatten().rev().collect();
    while let Some(node) = open.pop() {
        if node.name.text == "use"
            && let Some(value) = node.args.first()
            && let Scalar::String(name) = &value.scalar
            && let Some(index) = templates.get_index_of(name.as_str())
        {
            found.push((index, value.span.clone()));
        }
        open.extend(node.children.iter().flatten().rev());
    }
    found
}

fn fault(way: &[(usize, usize)], uses: &[Vec<(usize, Span)>], templates: &Templates<'_>) -> Diagnostic {
    let mut chain: Vec<&str> = way.iter().filter_map(|(index, _)| templates.get_index(*index)).map(|(name, _)| *name).collect();
    chain.push(chain[0]);
    let message = if way.len() == 1 {
        format!("the template `{}` uses itself", chain[0])
    } else {
        format!("templates use each other in a circle: {}", chain.join(" → "))
    };
    let mut fault = Diagnostic::new(Class::Plan, "plan::template-circle", message);
    for ((index, next), pair) in way.iter().zip(chain.windows(2)) {
        fault = fault.label(&uses[*index][*next - 1].1, format!("`{}` uses `{}`", pair[0], pair[1]));
    }
    fault.help("move what both need into a third template")
}
