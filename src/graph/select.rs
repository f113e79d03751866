//! What a user typed → the steps that take part.

use std::collections::BTreeSet;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::StepId;
use crate::base::words;

use super::ActionGraph;

/// The steps of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Steps that the user named, in order.
    pub asked: Vec<StepId>,
    /// Targets that the user named and that have no steps in this plan, with the condition that does not hold.
    pub left_out: Vec<(String, String)>,
    /// Those and all that they need, each after all that it waits for.
    pub steps: Vec<StepId>,
}

/// Finds the steps that `texts` name: a target (`web`), a kind of step (`web/scan`), a platform (`web@linux/arm64`, also
/// `web@arm64`), a cell (`compile[bin=api]`), a registry (`web/push:ghcr`), in any combination.
///
/// # Errors
/// One fault per text that names nothing, with the closest name.
pub fn select(graph: &ActionGraph, texts: &[String]) -> Result<Selection, Diagnostics> {
    let mut asked = Vec::new();
    let mut left_out = Vec::new();
    let mut faults = Diagnostics::default();
    for text in texts {
        match named(graph, text) {
            Ok(found) => asked.extend(found),
            Err(fault) => {
                let target = Wanted::read(text).target;
                match graph.left_out(&target) {
                    Some(condition) => left_out.push((target, condition.to_owned())),
                    None => faults.push(fault),
                }
            }
        }
    }
    if faults.has_errors() {
        return Err(faults);
    }
    asked.sort_unstable();
    asked.dedup();
    let steps = closure(graph, &asked);
    Ok(Selection { asked, left_out, steps })
}

/// The steps that one text names, as [`select`] reads it, in the order of the graph.
///
/// # Errors
/// A fault with the closest name when there is none.
pub fn named(graph: &ActionGraph, text: &str) -> Result<Vec<StepId>, Diagnostic> {
    let wanted = Wanted::read(text);
    let found: Vec<StepId> = graph.order().iter().copied().filter(|id| wanted.fits(graph, *id)).collect();
    if found.is_empty() { Err(unknown(graph, text, &wanted)) } else { Ok(found) }
}

/// The target that a text names, whatever else it says.
#[must_use]
pub fn target(text: &str) -> &str {
    &text[..text.find(['[', '/', '@']).unwrap_or(text.len())]
}

/// The steps and everything that they need, in order.
#[must_use]
pub fn closure(graph: &ActionGraph, from: &[StepId]) -> Vec<StepId> {
    let mut taken: BTreeSet<StepId> = BTreeSet::new();
    let mut open: Vec<StepId> = from.to_vec();
    while let Some(id) = open.pop() {
        if taken.insert(id) {
            open.extend(graph.needs(id).into_iter().filter(|(_, reason)| reason.requires()).map(|(need, _)| need));
        }
    }
    graph.order().iter().copied().filter(|id| taken.contains(id)).collect()
}

/// A step name with holes.
#[derive(Debug, Default)]
struct Wanted {
    target: String,
    cell: Option<String>,
    kind: Option<String>,
    platform: Option<String>,
    registry: Option<String>,
}

impl Wanted {
    fn read(text: &str) -> Self {
        let mut wanted = Self::default();
        let mut rest = text;
        wanted.target = target(rest).to_owned();
        rest = &rest[wanted.target.len()..];
        if let Some(inner) = rest.strip_prefix('[') {
            let close = inner.find(']').unwrap_or(inner.len());
            wanted.cell = Some(inner[..close].to_owned());
            rest = inner.get(close + 1..).unwrap_or_default();
        }
        if let Some(inner) = rest.strip_prefix('/') {
            let end = inner.find(['@', ':']).unwrap_or(inner.len());
            wanted.kind = Some(inner[..end].to_owned());
            rest = &inner[end..];
        }
        if let Some(inner) = rest.strip_prefix('@') {
            let end = inner.find(':').unwrap_or(inner.len());
            wanted.platform = Some(inner[..end].to_owned());
            rest = &inner[end..];
        }
        wanted.registry = rest.strip_prefix(':').map(str::to_owned);
        wanted
    }

    fn fits(&self, graph: &ActionGraph, id: StepId) -> bool {
        let name = &graph.action(id).name;
        let cell = || name.cell.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        name.target.as_str() == self.target
            && self.kind.as_ref().is_none_or(|kind| name.kind.word() == kind)
            && self.cell.as_ref().is_none_or(|wanted| wanted.split(',').all(|part| cell().iter().any(|own| own == part)))
            && self.platform.as_ref().is_none_or(|text| text.parse().is_ok_and(|platform| name.platform.as_ref() == Some(&platform)))
            && self.registry.as_ref().is_none_or(|registry| name.registry.as_ref() == Some(registry))
    }
}

fn unknown(graph: &ActionGraph, text: &str, wanted: &Wanted) -> Diagnostic {
    let shown = words::shorten(&words::visible(text), 80);
    let diagnostic = Diagnostic::new(Class::Usage, "cli::unknown-target", format!("there is no target `{shown}`"));
    let of_target: Vec<String> = graph
        .order()
        .iter()
        .map(|id| &graph.action(*id).name)
        .filter(|name| name.target.as_str() == wanted.target)
        .map(ToString::to_string)
        .collect();
    if !of_target.is_empty() {
        return diagnostic.help(format!("`{}` has {}", wanted.target, words::list(&of_target, "and")));
    }
    let mut names: Vec<&str> = graph.order().iter().map(|id| graph.action(*id).name.target.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    match words::closest(&wanted.target, names.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help("`kiln` alone lists the targets"),
    }
}
