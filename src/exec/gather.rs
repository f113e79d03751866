//! All that a step takes in, found when it is ready: files, products of its needs, the parts of the machine that it names.

use std::borrow::Cow;

use crate::base::digest::{ActionKey, Blake3, ContentDigest, Digest};
use crate::base::id::{StepId, StepName};
use crate::base::path::{AbsPath, RelPath};
use crate::base::pattern::Pattern;
use crate::engine::Machine;
use crate::graph::action::{Action, ActionKind};
use crate::graph::ingredients::Ingredients;
use crate::graph::{ActionGraph, Edge};
use crate::key;
use crate::plan::image::Elsewhere;
use crate::plan::target::FileSet;
use crate::store::result::{ActionResult, OutputEntry, OutputFile};
use crate::store::stat_cache::HashError;
use crate::sys::stat::{Kind, Stat};
use crate::sys::tree::Tree;
use crate::sys::{env, file, walk};

use super::links;
use super::materials;
use super::past::Past;

/// What a step that ended well left to those that wait for it.
#[derive(Debug)]
pub struct Product {
    /// Its result; empty for steps that make nothing.
    pub result: ActionResult,
    /// The digest of the result, or, for a group, of its members' results.
    pub digest: Digest<Blake3>,
    /// The key that it was made or found under.
    pub key: ActionKey,
}

/// Why the ingredients of a step could not be found.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct GatherError {
    /// What is wrong.
    pub reason: String,
    /// The next act.
    pub help: Option<String>,
}

impl GatherError {
    pub(super) fn new(reason: impl std::fmt::Display) -> Self {
        Self { reason: reason.to_string(), help: None }
    }
}

/// Where ingredients are looked for.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// The steps.
    pub graph: &'a ActionGraph,
    /// The project's files.
    pub tree: &'a Tree,
    /// The commit that sources are taken from; `None` for the files as they stand.
    pub past: Option<&'a Past>,
}

impl Ground<'_> {
    /// What the kernel said of a source when its content was asked for last. Nothing for what a step makes: its content is taken as it
    /// was recorded, whatever stands there.
    pub(super) fn seen(self, path: &RelPath) -> Option<Stat> {
        if self.graph.is_output(path) { None } else { self.machine.stats.seen(self.tree, path) }
    }

    /// What the kernel says of a file now.
    pub(super) fn stands(self, path: &RelPath) -> Option<Stat> {
        self.tree.status(path).ok().map(|(_, stat)| stat)
    }
}

/// What a step takes in, as far as it is there.
#[derive(Debug)]
pub struct Gathered {
    /// What was found.
    pub taken: Ingredients,
    /// A need that failed, which the plan allows. What it left behind is in no key, so nothing may be recorded.
    pub failed_need: Option<StepId>,
}

/// Finds the ingredients of a step; `products` answers for steps that ended well.
///
/// # Errors
/// [`GatherError`]: a file that is missing or cannot be read, a program that is not there.
pub fn gather<'p>(ground: Ground<'_>, id: StepId, products: impl Fn(StepId) -> Option<&'p Product>) -> Result<Gathered, GatherError> {
    let Ground { graph, .. } = ground;
    let mut failed_need = None;
    let mut needs: Vec<(&StepName, Edge, &Product)> = Vec::new();
    for (need, edge) in graph.needs(id).into_iter().filter(|(_, edge)| edge.requires()) {
        match products(need) {
            Some(product) => needs.push((&graph.action(need).name, edge, product)),
            None => failed_need = failed_need.or(Some(need)),
        }
    }
    // The order of declaration is no part of a key.
    needs.sort_by_key(|(name, ..)| *name);
    let made: Vec<&OutputFile> =
        needs.iter().filter(|(_, edge, _)| edge.is_data()).flat_map(|(.., product)| &product.result.outputs).collect();
    let mut taken = Ingredients { files: all_files(ground, id, &made, failed_need.is_none())?, ..Ingredients::default() };
    if let ActionKind::Run(cell) = &graph.action(id).kind {
        let machine = ground.machine;
        let keyed = cell.pass_env.iter().filter(|name| !cell.unkeyed.contains(name));
        taken.pass_env = keyed.map(|name| (name.clone(), env::exact(name).map(text))).collect();
        for name in &cell.tools {
            taken.tools.push((name.clone(), find_tool(machine, name)?.1));
            if let Some(version) = machine.tools.version(name) {
                taken.versions.push((name.clone(), version.map_err(GatherError::new)?));
            }
        }
    }
    for (name, edge, product) in needs {
        if matches!(graph.action(id).kind, ActionKind::Evidence(_)) && !product.result.documents.is_empty() {
            taken.documents.push((name.clone(), product.result.documents.clone()));
        }
        if let Some(image) = product.result.image.as_deref().filter(|_| edge.is_data()) {
            taken.images.push((name.clone(), image.clone()));
        }
        if edge.is_need() {
            taken.needs.push((name.clone(), product.digest.to_string()));
        }
    }
    if matches!(graph.action(id).kind, ActionKind::Provenance(_)) {
        taken.materials = materials::materials(ground, id, &products)?;
    }
    Ok(Gathered { taken, failed_need })
}

/// Finds what a step takes from the project's own sources, before anything ran. What is missing is left out.
///
/// # Errors
/// As [`gather`].
pub fn sources(ground: Ground<'_>, id: StepId) -> Result<Ingredients, GatherError> {
    let mut taken = Ingredients { files: all_files(ground, id, &[], false)?, ..Ingredients::default() };
    if let ActionKind::Run(cell) = &ground.graph.action(id).kind {
        // What the lock says is part of the plan; what this machine has is not.
        let pinned = |name: &String| Some((name.clone(), ground.machine.tools.pinned(name)?.to_owned()));
        taken.versions = cell.tools.iter().filter_map(pinned).collect();
    }
    Ok(taken)
}

/// What an action reads from the project: a task's inputs, the sources of an image's copies, a layout.
#[must_use]
pub fn file_sets(action: &Action) -> Vec<Cow<'_, FileSet>> {
    match &action.kind {
        ActionKind::Run(cell) => cell.inputs.iter().map(Cow::Borrowed).collect(),
        ActionKind::Build(build) => build.recipe.project_copies().map(|copy| Cow::Borrowed(&copy.from)).collect(),
        ActionKind::Fetch(fetch) => match &fetch.from {
            Elsewhere::Layout { path, span, .. } => {
                vec![Cow::Owned(FileSet { include: vec![(Pattern::of(path), span.clone())], exclude: Vec::new() })]
            }
            Elsewhere::Registry { .. } => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Patterns with wildcards among the inputs of a task that select nothing: each is worth a word.
#[must_use]
pub fn idle_patterns<'g>(action: &'g Action, taken: &Ingredients) -> Vec<&'g Pattern> {
    let ActionKind::Run(cell) = &action.kind else { return Vec::new() };
    let (Some(inputs), Some(files)) = (&cell.inputs, taken.files.first()) else { return Vec::new() };
    let idle = |pattern: &&Pattern| pattern.literal().is_none() && !files.iter().any(|file| pattern.selects(&file.path));
    inputs.include.iter().map(|(pattern, _)| pattern).filter(idle).collect()
}

/// The digest of what a step leaves: a group stands for its members, so whoever needs it is keyed by what they made.
#[must_use]
pub fn product_digest(action: &Action, taken: &Ingredients, result: &ActionResult) -> Digest<Blake3> {
    if !matches!(action.kind, ActionKind::Group) {
        return key::product(result);
    }
    let needs = taken.needs.iter().map(|(name, digest)| (name.to_string(), Digest::of(digest.as_bytes())));
    key::plan_digest(&needs.collect::<Vec<_>>()).0
}

/// The files of every set that the action has. `complete` says that all needs ended well, so that what is missing is a fault.
fn all_files(ground: Ground<'_>, id: StepId, made: &[&OutputFile], complete: bool) -> Result<Vec<Vec<OutputFile>>, GatherError> {
    match &ground.graph.action(id).kind {
        ActionKind::Run(cell) => {
            let Some(inputs) = &cell.inputs else { return Ok(Vec::new()) };
            let own = |path: &RelPath| cell.outputs.iter().any(|output| output.pattern.selects(path));
            let mut found = files(ground, inputs, made, complete, &own)?;
            let exclude: Vec<&Pattern> = inputs.exclude.iter().map(|(pattern, _)| pattern).collect();
            links::follow(ground, &mut found, &exclude, &own)?;
            Ok(vec![found])
        }
        ActionKind::Fetch(fetch) => {
            let Elsewhere::Layout { path, span, .. } = &fetch.from else { return Ok(Vec::new()) };
            let index = Pattern::of(&path.join("index.json").map_err(GatherError::new)?);
            let set = FileSet { include: vec![(index, span.clone())], exclude: Vec::new() };
            Ok(vec![files(ground, &set, made, complete, &|_| false)?])
        }
        ActionKind::Build(build) => {
            let mut lists = Vec::new();
            for copy in build.recipe.copies() {
                if copy.image.is_some() {
                    lists.push(Vec::new());
                    continue;
                }
                let found = files(ground, &copy.from, made, complete, &|_| false)?;
                if found.is_empty() && complete {
                    let patterns: Vec<&str> = copy.from.include.iter().map(|(pattern, _)| pattern.as_str()).collect();
                    let reason = format!(
                        "`copy` in line {} selects no file: {}",
                        copy.span.line_column().0,
                        crate::base::words::list(&patterns, "and")
                    );
                    return Err(GatherError { reason, help: Some("look at the pattern, or at what should have made the file".to_owned()) });
                }
                lists.push(found);
            }
            Ok(lists)
        }
        _ => Ok(Vec::new()),
    }
}

/// The files of a set: sources from the disk, and what needs made, as it was recorded. `own` says what the step itself makes.
fn files(
    ground: Ground<'_>,
    set: &FileSet,
    made: &[&OutputFile],
    complete: bool,
    own: &dyn Fn(&RelPath) -> bool,
) -> Result<Vec<OutputFile>, GatherError> {
    let Ground { machine, graph, tree, past } = ground;
    let include: Vec<&Pattern> = set.include.iter().map(|(pattern, _)| pattern).collect();
    let exclude: Vec<&Pattern> = set.exclude.iter().map(|(pattern, _)| pattern).collect();
    let selected =
        |path: &RelPath| include.iter().any(|pattern| pattern.selects(path)) && !exclude.iter().any(|pattern| pattern.covers(path));
    let mut found: Vec<OutputFile> = made.iter().copied().filter(|output| selected(&output.path) && !own(&output.path)).cloned().collect();
    let sources: Vec<&Pattern> =
        include.iter().copied().filter(|pattern| pattern.literal().is_none_or(|path| !graph.is_output(path))).collect();
    let walked = walk::select(tree, &sources, &exclude, walk::Folders::Named)
        .map_err(|faults| GatherError::new(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    if let Some(missing) = walked.missing.iter().map(|index| sources[*index]).find(|pattern| complete && !graph.may_make(pattern)) {
        return Err(GatherError {
            reason: format!("`{missing}` does not exist"),
            help: Some("write the file, or mend the path in the plan".to_owned()),
        });
    }
    let entries: Vec<walk::Entry> = walked.entries.into_iter().filter(|entry| !own(&entry.path) && !graph.is_output(&entry.path)).collect();
    match past {
        None => found.extend(contents(machine, tree, entries)?),
        Some(past) => {
            found.extend(contents(machine, tree, entries.into_iter().filter(|entry| !past.is_other(&entry.path)).collect())?);
            found.extend(past.others().filter(|file| selected(&file.path) && !own(&file.path) && !graph.is_output(&file.path)));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.path == b.path);
    Ok(found)
}

/// Reads what the walk found: digests from the stat cache where it knows them.
pub(super) fn contents(machine: &Machine, tree: &Tree, entries: Vec<walk::Entry>) -> Result<Vec<OutputFile>, GatherError> {
    let first = |faults: Vec<HashError>| GatherError::new(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    let digests = machine.stats.digests_of_entries(tree, &entries).map_err(first)?;
    entries
        .into_iter()
        .zip(digests)
        .map(|(entry, digest)| {
            let found = match (entry.kind, digest) {
                (Kind::File { executable }, Some(digest)) => OutputEntry::File { digest, size: entry.stat.size, executable },
                (Kind::Link, _) => OutputEntry::Link { target: tree.read_link(&entry.path).map_err(GatherError::new)? },
                _ => OutputEntry::Folder,
            };
            Ok(OutputFile { path: entry.path, entry: found })
        })
        .collect()
}

/// A variable's value as a text that no other value gives.
fn text(value: std::ffi::OsString) -> String {
    // No variable can hold a zero byte.
    value.into_string().unwrap_or_else(|raw| format!("\0{}", raw.as_encoded_bytes().escape_ascii()))
}

/// Where a tool is, and the digest of its file.
pub(super) fn find_tool(machine: &Machine, name: &str) -> Result<(AbsPath, ContentDigest), GatherError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let program = crate::sys::program::find(std::ffi::OsStr::new(name), Some(&path), machine.root.as_path())
        .map_err(|error| GatherError { reason: format!("tool `{name}`: {error}"), help: error.help() })?;
    let program = AbsPath::new(file::canonical(program).map_err(GatherError::new)?)
        .ok_or_else(|| GatherError::new(format!("tool `{name}` has no absolute path")))?;
    let status = file::status(&program).map_err(GatherError::new)?;
    let digest = machine.stats.digest_of(&program, &Stat::of(&status)).map_err(GatherError::new)?;
    Ok((program, digest))
}
