//! What can be known to be missing before anything runs.
//! In: a graph and the steps that take part. Out: every file that is named, is not there, and that no step makes; every key.
//! Never: reads a file, even a key; looks for what a wildcard could select.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Span};
use crate::base::id::StepId;
use crate::base::path::{AbsPath, RelPath};
use crate::base::pattern::Pattern;
use crate::base::words;
use crate::engine::secret;
use crate::graph::ActionGraph;
use crate::graph::action::ActionKind;
use crate::plan::image::{Add, AddSource, Elsewhere, LayerDef, Recipe};
use crate::plan::secret::SecretSource;
use crate::plan::target::FileSet;
use crate::sys::tree::Tree;
use crate::sys::{env, file};

/// Up to so many steps are looked at by one thread.
const FEW: usize = 64;

/// Finds sources of `steps` that are named without wildcards and are not there: inputs of tasks, sources of copies, base
/// layouts. One fault per place in the plan.
#[must_use]
pub fn missing(root: &AbsPath, graph: &ActionGraph, steps: &[StepId]) -> Diagnostics {
    let tree = Tree::for_a_glance(root).ok();
    let there = |path: &RelPath| {
        // A file that a link outside hides is there; that it leads out is said when it is read.
        tree.as_ref().is_some_and(|tree| tree.status(path).is_ok()) || file::status(root.at(path)).is_ok()
    };
    let missing = |id: &StepId| -> Vec<Diagnostic> {
        let absent = |(pattern, span): (Cow<'_, Pattern>, &Span)| {
            let path = pattern.literal()?;
            (!graph.may_make(&pattern) && !there(path)).then(|| fault(root, path, span))
        };
        sources(graph, *id).into_iter().filter_map(absent).collect()
    };
    let mut faults = Diagnostics::default();
    // Starting threads takes longer than looking for a few files.
    if steps.len() < FEW {
        faults.extend(steps.iter().flat_map(missing));
    } else {
        faults.extend(steps.par_iter().with_min_len(FEW).map(missing).collect::<Vec<_>>().into_iter().flatten());
    }
    faults
}

/// Finds keys of `steps` that are not where the plan says: the image would be built, pushed and then not signed. No key is read.
#[must_use]
pub fn keys(root: &AbsPath, graph: &ActionGraph, steps: &[StepId]) -> Diagnostics {
    let mut faults = Diagnostics::default();
    let mut told: Vec<&Span> = Vec::new();
    for id in steps {
        let ActionKind::Evidence(action) = &graph.action(*id).kind else { continue };
        let Some(sign) = action.evidence.sign.as_ref().filter(|sign| !told.contains(&&sign.span)) else { continue };
        told.push(&sign.span);
        for (from, what) in std::iter::once((&sign.key, "key")).chain(sign.password.iter().map(|from| (from, "password of the key"))) {
            let why = match &from.source {
                SecretSource::Env(name) if env::var_os(name).is_none() => format!("{name} is not set"),
                SecretSource::File(path) if file::status(secret::place(root, path)).is_err() => format!("`{path}` does not exist"),
                _ => continue,
            };
            let message = format!("the {what} that signs `{}` is not there: {why}", action.publication.repository);
            let fault = Diagnostic::new(Class::Environment, "run::no-key", message).label(&sign.span, "signed here");
            faults.push(fault.help("`cosign generate-key-pair` makes one; `sign key=\"FILE\"` or `sign secret=\"NAME\"` says where it is"));
        }
    }
    faults
}

fn sources(graph: &ActionGraph, id: StepId) -> Vec<(Cow<'_, Pattern>, &Span)> {
    let borrowed = |(pattern, span)| (Cow::Borrowed(pattern), span);
    match &graph.action(id).kind {
        ActionKind::Run(cell) => cell.inputs.iter().flat_map(|set| &set.include).map(|(pattern, span)| borrowed((pattern, span))).collect(),
        ActionKind::Build(build) => copied(&build.recipe),
        ActionKind::Fetch(fetch) => match &fetch.from {
            Elsewhere::Layout { path, span, .. } => vec![(Cow::Owned(Pattern::of(path)), span)],
            Elsewhere::Registry { .. } => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Sources of copies and archives, and the Dockerfile with its context.
fn copied(recipe: &Recipe) -> Vec<(Cow<'_, Pattern>, &Span)> {
    let mut found = Vec::new();
    for layer in &recipe.layers {
        let sets: Vec<&FileSet> = match layer {
            LayerDef::Copies(copies) => copies.iter().filter(|copy| copy.image.is_none()).map(|copy| &copy.from).collect(),
            LayerDef::Add(Add { source: AddSource::Archive(set), .. }) => vec![set],
            LayerDef::Add(_) | LayerDef::Run(_) => Vec::new(),
        };
        found.extend(sets.into_iter().flat_map(|set| &set.include).map(|(pattern, span)| (Cow::Borrowed(pattern), span)));
    }
    if let Some(file) = &recipe.dockerfile {
        let named = [&file.path, &file.context].into_iter().filter(|path| !path.is_root());
        found.extend(named.map(|path| (Cow::Owned(Pattern::of(path)), &file.span)));
    }
    found
}

fn fault(root: &AbsPath, path: &RelPath, span: &Span) -> Diagnostic {
    let message = format!("`{path}` does not exist, and no task has it as an output");
    let help = match near(root, path) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write the file, mend the path, or name it in `outputs` of the task that makes it".to_owned(),
    };
    Diagnostic::plan("plan::missing-source", message, span, "needed here").help(help)
}

/// A name in the same folder that is almost the one that was written.
fn near(root: &AbsPath, path: &RelPath) -> Option<RelPath> {
    let folder = path.parent()?;
    let wanted = std::str::from_utf8(path.name()?).ok()?;
    let names: Vec<String> = file::names(root.at(&folder)).ok()?.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect();
    folder.join(words::closest(wanted, names.iter().map(String::as_str))?).ok()
}
