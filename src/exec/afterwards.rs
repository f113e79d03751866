//! What a run that did something knows of the project at its end, without another look: enough to tell whether the next one has anything
//! to do.
//! In: the steps with the keys that they ended under. Out: all that decides whether they would be found in place now. Never: a step that
//! left no result, a file whose content nobody vouches for, a pattern that may select more tomorrow.

use std::collections::BTreeMap;

use crate::base::digest::ActionKey;
use crate::base::id::StepId;
use crate::base::path::RelPath;
use crate::graph::action::ActionKind;
use crate::store::result::OutputEntry;
use crate::sys::account::Sight;
use crate::sys::stat::Stat;

use super::gather::Ground;
use super::look;

/// Each file that the steps read or made, as the kernel told of it when its content was last read or written; sorted. `None` where a
/// step might run once more, or that cannot be told by looking at single files. `stands` says which of the files that other steps
/// made are vouched for by somebody else.
#[must_use]
pub fn sights(
    ground: Ground<'_>,
    steps: &[StepId],
    key_of: impl Fn(StepId) -> Option<ActionKey>,
    stands: impl Fn(&RelPath) -> bool,
) -> Option<Vec<Sight>> {
    let Ground { machine, graph, tree, .. } = ground;
    let mut sights: BTreeMap<RelPath, Stat> = BTreeMap::new();
    let mut needed = Vec::new();
    for id in steps {
        let action = graph.action(*id);
        let cell = match &action.kind {
            ActionKind::Group => continue,
            ActionKind::Run(cell) if look::is_cacheable(action) => cell,
            _ => return None,
        };
        // A step that ended well without a result to keep would run again.
        let result = machine.lately.result(key_of(*id)?)?;
        for output in &result.outputs {
            let OutputEntry::File { digest, .. } = output.entry else { return None };
            let proof = machine.stats.proof(tree, &output.path).filter(|proof| proof.content == digest)?;
            sights.insert(output.path.clone(), proof.stat);
        }
        let declared = action.kind.outputs();
        let mut outputs = declared.iter().map(|output| output.pattern.literal());
        if !outputs.all(|path| path.is_some_and(|path| result.outputs.iter().any(|output| output.path == *path))) {
            return None;
        }
        for (pattern, _) in cell.inputs.iter().flat_map(|inputs| &inputs.include) {
            let path = pattern.literal()?;
            if graph.is_output(path) {
                needed.push(path);
            } else {
                // Who was told of another content before has another key than the next run would make.
                let proof = machine.stats.proof(tree, path).filter(|proof| proof.steady)?;
                sights.insert(path.clone(), proof.stat);
            }
        }
    }
    needed
        .iter()
        .all(|path| sights.contains_key(path) || stands(path))
        .then(|| sights.into_iter().map(|(path, stat)| (path, Some(stat))).collect())
}
