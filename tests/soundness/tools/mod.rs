//! The tools: how each of them writes a project down, as somebody who knows it well would, and how it is called.

mod just;
mod kiln;
mod make;
mod mise;
mod moon;
mod ninja;
mod task;
mod turbo;

use std::path::Path;

use crate::project::{Ask, Project, Reads};

/// What a tool cannot be asked, and why.
pub type Cannot = &'static str;

/// One tool.
pub trait Tool: Sync {
    fn name(&self) -> &'static str;
    /// How its version is asked for.
    fn version(&self) -> &'static [&'static str] {
        &["--version"]
    }
    /// Its build files: path and text. `root` is where the project lies, for what depends on the files that are there.
    fn files(&self, project: &Project, root: &Path, ask: &Ask<'_>) -> Result<Vec<(&'static str, String)>, Cannot>;
    /// The words behind the program's name.
    fn words(&self, ask: &Ask<'_>) -> Result<Vec<String>, Cannot>;
    /// Variables that it is run with.
    fn env(&self, _root: &Path) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    /// Where it keeps what it can restore, below the project's folder or beside it; `None` when it keeps no results.
    fn keeps(&self) -> Option<&'static str> {
        None
    }
    /// How it is asked why a task runs; the second word of the answer is looked for in what it says.
    fn why(&self, _target: &str) -> Option<Vec<String>> {
        None
    }
    /// What the tool does not offer at all.
    fn lacks(&self, _what: Offer) -> Option<Cannot> {
        None
    }
}

/// What some cases ask for and not every tool offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Results are kept, so that they can come back without a command.
    Results,
}

pub const ALL: &[&dyn Tool] = &[&kiln::Kiln, &make::Make, &ninja::Ninja, &task::Task, &just::Just, &turbo::Turbo, &moon::Moon, &mise::Mise];

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Every file below a folder, as a generator would find them.
fn found(root: &Path, folder: &str) -> Vec<String> {
    let mut open = vec![root.join(folder)];
    let mut files = Vec::new();
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    files.sort();
    files
}

/// A glob of the kind that most tools read: `src/**/*`.
fn glob(reads: &Reads) -> String {
    match reads {
        Reads::File(file) => file.clone(),
        Reads::Below(folder) => format!("{folder}/**/*"),
    }
}
