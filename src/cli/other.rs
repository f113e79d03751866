//! The other side of a comparison: the plan of a commit, of another file, or of another folder.

use std::path::Path;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::path::AbsPath;
use crate::base::words;
use crate::engine::Machine;
use crate::exec::compare::Side;
use crate::exec::past::Past;
use crate::sys::file;
use crate::sys::tree::Tree;

use super::machine;
use super::open::{self, Opened, World};
use super::settings::{PLAN, Settings};

/// A plan that is compared with.
pub struct Other {
    /// Its name for people: `main`, `../other`.
    pub name: String,
    /// The plan.
    pub opened: Opened,
    machine: Machine,
    tree: Tree,
    past: Option<Past>,
    /// Holds what the plan was read from until the comparison is done.
    _folder: Option<tempfile::TempDir>,
}

impl Other {
    /// As one side of a comparison.
    #[must_use]
    pub fn side(&self) -> Side<'_> {
        Side { machine: &self.machine, graph: &self.opened.graph, tree: &self.tree, past: self.past.as_ref() }
    }

    /// The commit, if it is one.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        self.past.as_ref().map(|past| past.commit.as_str())
    }
}

/// Opens what `text` names: a folder with a plan or a plan file that exists, else a commit. `git:NAME` is always a commit.
///
/// # Errors
/// Nothing of that name; the faults of the other plan.
pub fn open(settings: &Settings, text: &str) -> Result<Other, Diagnostics> {
    let path = settings.here.join(text);
    match text.strip_prefix("git:") {
        Some(name) => at_commit(settings, name),
        None if file::status(path.join(PLAN)).is_ok() => in_folder(settings, text, &path),
        None if file::status(&path).is_ok_and(|status| status.is_file()) => in_file(settings, text, path),
        None => at_commit(settings, text),
    }
}

fn in_folder(settings: &Settings, text: &str, folder: &AbsPath) -> Result<Other, Diagnostics> {
    let root = canonical(folder)?;
    let plan = root.join(PLAN);
    let there = Settings { plan_name: format!("{text}/{PLAN}"), plan, repository: settings.repository.clone(), root, ..settings.clone() };
    finish(&there, text)
}

fn in_file(settings: &Settings, text: &str, plan: AbsPath) -> Result<Other, Diagnostics> {
    finish(&Settings { plan, plan_name: text.to_owned(), ..settings.clone() }, text)
}

fn at_commit(settings: &Settings, name: &str) -> Result<Other, Diagnostics> {
    let past = Past::read(&settings.root, name)?;
    let disk = |error: std::io::Error| Diagnostic::new(Class::Environment, "past::disk", format!("no folder for a while: {error}"));
    let folder = tempfile::Builder::new().prefix("kiln-past-").tempdir().map_err(disk)?;
    let root = AbsPath::new(folder.path()).map(|path| canonical(&path)).transpose()?.unwrap_or_else(|| settings.root.clone());
    let tree = root.join("tree");
    file::create_dirs(&tree).map_err(|error| Diagnostic::new(Class::Environment, "past::disk", error.to_string()))?;
    past.write_texts(&settings.root, &tree)?;
    let plan = canonical(&settings.plan)?;
    let below = plan.as_path().strip_prefix(settings.root.as_path()).unwrap_or_else(|_| Path::new(PLAN));
    let shown = words::shorten(&words::visible(name), 80);
    let plan = tree.join(below);
    if file::status(&plan).is_err() {
        let fault = Diagnostic::new(Class::Usage, "past::no-plan", format!("`{shown}` has no {}", below.display()));
        return Err(fault.help("compare with a commit that has one, or name a plan file").into());
    }
    let there = Settings {
        plan_name: format!("{shown}:{}", below.display()),
        plan,
        here: tree.clone(),
        root: tree,
        cache: root.join("cache"),
        ..settings.clone()
    };
    let opened = open::open(&there, World::Compared)?;
    // Sources are looked for here: what is the same in both trees is known already.
    let machine = machine::still(settings, &opened)?;
    let tree = machine::glance(&machine)?;
    Ok(Other { name: shown, opened, machine, tree, past: Some(past), _folder: Some(folder) })
}

fn finish(there: &Settings, name: &str) -> Result<Other, Diagnostics> {
    let opened = open::open(there, World::Compared)?;
    let machine = machine::still(there, &opened)?;
    let tree = machine::glance(&machine)?;
    Ok(Other { name: words::shorten(&words::visible(name), 80), opened, machine, tree, past: None, _folder: None })
}

fn canonical(path: &AbsPath) -> Result<AbsPath, Diagnostic> {
    let found = file::canonical(path).map_err(|error| Diagnostic::new(Class::Environment, "past::disk", error.to_string()))?;
    AbsPath::new(found).ok_or_else(|| Diagnostic::new(Class::Environment, "past::disk", format!("`{path}` has no absolute path")))
}
