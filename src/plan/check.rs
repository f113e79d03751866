//! What can only be seen with all targets at hand: outputs that meet, images that overwrite each other, missing platforms.

use std::collections::HashMap;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::Cell;
use crate::base::path::RelPath;
use crate::base::platform::Platform;
use crate::base::words;

use super::Plan;
use super::cx::Cx;
use super::image::{ImageDef, PushDef};
use super::target::{Output, Target, TargetKind};

/// The most pairs of output patterns that are compared. Only a plan with thousands of globs below one folder comes near.
const PAIR_LIMIT: usize = 500_000;

/// Checks the targets against each other.
pub(super) fn check(cx: &Cx<'_>, plan: &Plan) {
    outputs(cx, plan);
    published(cx, plan);
    platforms(cx, plan);
}

/// Whether a target surely takes part: one that may be left out meets nobody.
fn takes_part(cx: &Cx<'_>, target: &Target) -> bool {
    target.left_out.is_none() && cx.taint_of(&target.span).is_none()
}

/// One output of one definition.
struct Made<'p> {
    target: &'p Target,
    cell: &'p Cell,
    platform: Option<&'p Platform>,
    output: &'p Output,
    /// Outputs with the same number are made together and may meet.
    maker: usize,
}

/// What tasks make, and what images are written into.
fn all_made<'p>(cx: &Cx<'_>, plan: &'p Plan) -> Vec<Made<'p>> {
    let mut made: Vec<Made<'p>> = Vec::new();
    let mut maker = 0;
    for target in plan.targets.values().filter(|target| takes_part(cx, target)) {
        match &target.kind {
            TargetKind::Task(cells) => {
                for task in cells {
                    maker += 1;
                    let (cell, platform) = (&task.cell, task.platform.as_ref());
                    made.extend(task.outputs.iter().map(|output| Made { target, cell, platform, output, maker }));
                }
            }
            TargetKind::Image(images) => {
                for image in images {
                    for save in &image.saves {
                        maker += 1;
                        made.push(Made { target, cell: &image.cell, platform: None, output: &save.output, maker });
                    }
                }
            }
            TargetKind::Service(_) | TargetKind::Group(_) => {}
        }
    }
    made
}

/// Finds outputs that two definitions would both make. Two patterns can meet only if the folder of one lies in that of the
/// other, so each is compared with those at and above its own folder.
fn outputs(cx: &Cx<'_>, plan: &Plan) {
    let made = all_made(cx, plan);
    let mut below: HashMap<RelPath, Vec<usize>> = HashMap::new();
    for (index, made) in made.iter().enumerate() {
        below.entry(made.output.pattern.base()).or_default().push(index);
    }
    let mut pairs = 0;
    for (index, one) in made.iter().enumerate() {
        let mut folder = Some(one.output.pattern.base());
        let same = folder.clone();
        while let Some(at) = folder {
            for other in below.get(&at).into_iter().flatten().copied() {
                // Within one folder each pair comes up twice; across folders once.
                if (Some(&at) == same.as_ref() && other >= index) || made[other].maker == one.maker {
                    continue;
                }
                pairs += 1;
                if pairs > PAIR_LIMIT {
                    let fault =
                        Diagnostic::plan("plan::too-large", "too many output patterns share one folder", &one.output.span, "one of them");
                    cx.fault(fault.help("give each target a folder of its own for its outputs"));
                    return;
                }
                if made[other].output.pattern.meets(&one.output.pattern) {
                    let (first, second) = if other < index { (&made[other], one) } else { (one, &made[other]) };
                    cx.fault(conflict(first, second));
                    break;
                }
            }
            folder = at.parent();
        }
    }
}

fn conflict(first: &Made<'_>, second: &Made<'_>) -> Diagnostic {
    let pattern = &second.output.pattern;
    if first.output.span == second.output.span {
        let (a, b) = (described(first), described(second));
        let message = format!("`{}` makes `{pattern}` more than once: for {a} and for {b}", second.target.name);
        let varies = second.cell.0.iter().zip(&first.cell.0).find(|(a, b)| a != b).map(|(a, _)| a.0.clone());
        let fault = Diagnostic::plan("plan::output-conflict", message, &second.output.span, "the same path each time");
        return fault.help(match varies {
            _ if first.target.name.namespace() != second.target.name.namespace() => {
                "the file is included under two names; put a `param` into the path, and set it where the file is included".to_owned()
            }
            _ if first.target.name != second.target.name => "put the value that `each` gives into the path".to_owned(),
            Some(name) => format!("put `${{{name}}}` into the path"),
            None => "put `${platform}` into the path".to_owned(),
        });
    }
    let message = format!("`{}` and `{}` both make `{pattern}`", first.target.name, second.target.name);
    let fault = Diagnostic::plan("plan::output-conflict", message, &second.output.span, format!("made by `{}`", second.target.name));
    let fault = fault.label(&first.output.span, format!("made by `{}`", first.target.name));
    fault.help("a file has one maker; give one of them another path")
}

fn described(made: &Made<'_>) -> String {
    let platform = made.platform.map(ToString::to_string);
    let cell = made.cell.to_string();
    match (cell.as_str(), platform) {
        ("", None) => format!("`{}`", made.target.name),
        ("", Some(platform)) => format!("`{platform}`"),
        (cell, None) => format!("`{cell}`"),
        (cell, Some(platform)) => format!("`{cell}@{platform}`"),
    }
}

/// Finds images that would move the same tag of the same repository.
fn published(cx: &Cx<'_>, plan: &Plan) {
    let mut seen: HashMap<(String, &str, String), (&Target, &ImageDef)> = HashMap::new();
    for (target, def) in plan.images().filter(|(target, _)| takes_part(cx, target)) {
        for PushDef { registry, .. } in &def.push {
            // Two names may stand for one place.
            let place = plan.registries.get(registry).map_or_else(|| registry.clone(), |def| format!("{:?}", def.place));
            for (rule, span) in &def.tags {
                // The longest form that a rule gives names the release; shorter ones may be led in turns.
                let Some(tag) = rule.all().into_iter().next() else { continue };
                let key = (place.clone(), def.repository.as_str(), tag.to_string());
                match seen.get(&key) {
                    Some((first, other)) if !std::ptr::eq(*other, def) => cx.fault(same_tag(first, target, def, &key.2, span)),
                    _ => {
                        seen.insert(key, (target, def));
                    }
                }
            }
        }
    }
}

fn same_tag(first: &Target, second: &Target, def: &ImageDef, tag: &str, span: &Span) -> Diagnostic {
    let repository = &def.repository;
    if first.name == second.name {
        let message = format!("every cell of `{}` is pushed as `{repository}:{tag}`", second.name);
        let var = def.cell.0.first().map_or("variable", |(name, _)| name);
        let fault = Diagnostic::plan("plan::same-tag", message, span, "the same for every cell");
        return fault.help(format!("make the name differ: `image {} name=\"{repository}-${{{var}}}\"`", second.name));
    }
    let message = format!("`{}` and `{}` are both pushed as `{repository}:{tag}`", first.name, second.name);
    let fault = Diagnostic::plan("plan::same-tag", message, span, format!("pushes `{}`", second.name));
    fault.label(&first.span, "the other image").help("give one of them another `name=` or tag")
}

/// An image of the plan is a base only for the platforms it is made for.
fn platforms(cx: &Cx<'_>, plan: &Plan) {
    for (target, def) in plan.images().filter(|(target, _)| takes_part(cx, target)) {
        for (recipe, (name, span)) in
            def.platforms.iter().flat_map(|recipe| recipe.origins().filter_map(move |from| Some((recipe, from.target()?))))
        {
            let Some(TargetKind::Image(bases)) = plan.targets.get(name).map(|base| &base.kind) else { continue };
            let made: Vec<String> = bases.iter().flat_map(|base| &base.platforms).map(|base| base.platform.to_string()).collect();
            if !made.is_empty() && !made.contains(&recipe.platform.to_string()) {
                let message = format!("`{}` is made for `{}`, `{name}` is not", target.name, recipe.platform);
                let fault = Diagnostic::plan("plan::bad-platform", message, span, "not made for it");
                let mut listed = made;
                listed.sort();
                listed.dedup();
                cx.fault(fault.help(format!("`{name}` is made for {}; add the platform there", words::list(&listed, "and"))));
            }
        }
    }
}
