//! The cases: each is one sentence that a build tool must make true.

mod definition;
mod ends;
mod graph;
mod inputs;
mod names;
mod outputs;
mod questions;
mod together;

use crate::project::{Project, Task, task};
use crate::world::{Check, World};

/// One row of the table.
pub struct Case {
    /// The sentence.
    pub says: &'static str,
    pub project: fn() -> Project,
    pub act: fn(&mut World<'_>) -> Check,
}

/// All cases by subject, in the order of the table.
pub fn all() -> Vec<(&'static str, &'static [Case])> {
    vec![
        ("what the build file says", definition::CASES),
        ("what is read", inputs::CASES),
        ("what was made", outputs::CASES),
        ("what waits for what", graph::CASES),
        ("names", names::CASES),
        ("bad ends", ends::CASES),
        ("several at once", together::CASES),
        ("questions", questions::CASES),
    ]
}

/// `in.txt` → `out/a`, `out/b`; everything else of a case is its own.
fn copy() -> Task {
    task("copy").reads("in.txt").makes_files("out", &["a", "b"]).runs("cat in.txt >out/a && cat in.txt >out/b")
}

fn copying() -> Project {
    Project::of([copy()])
}

/// A project with `in.txt` that was built once.
fn built(world: &World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.set_up(&["copy"])?;
    world.ran();
    Ok(())
}

/// Every file below `src`, its name and its content, in one list.
fn listing() -> Project {
    Project::of([task("list").reads_below("src").makes("out/list").runs(LIST)])
}

/// Prints names and contents of files, sorted, whatever they are called.
const LIST: &str = "find src -type f -exec grep -H . {} + | LC_ALL=C sort >out/list";
