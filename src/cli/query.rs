//! `kiln query EXPRESSION`: questions about the graph; executes nothing, connects to nothing.

use crate::base::diagnostic::Diagnostics;
use crate::base::id::StepId;
use crate::exec::gather;
use crate::graph::ActionGraph;
use crate::graph::query::{self, FUNCTIONS, Found, Inputs};
use crate::report::query::{self as screen, QueryStep, QueryView};
use crate::sys::tree::Tree;
use crate::sys::walk;

use super::open::{self, World};
use super::output::Output;
use super::settings::Settings;

/// What was asked.
#[derive(Debug, clap::Args)]
#[command(after_help = help())]
pub struct Query {
    /// The question: names, functions, `+`, `-`, `^` and parentheses; several words are one question
    #[arg(required = true, value_name = "EXPRESSION")]
    pub expression: Vec<String>,
    /// Prints the targets of the steps that are found, each once
    #[arg(long, conflicts_with = "json")]
    pub targets: bool,
}

fn help() -> String {
    let mut text = String::from(
        "A name is a target or a step as `kiln plan` prints it; `*` in it stands for any characters.\nOperators stand between spaces, are read from left to right, and have words: + union, - except, ^ intersect.\n\nFunctions:\n",
    );
    for function in FUNCTIONS {
        text.push_str(&format!("  {:<16} {}\n", function.form, function.doc));
    }
    text + "\nFor instance: kiln query 'rdeps(owner(\"src/main.go\")) ^ kind(run)'"
}

/// The files that stand here.
struct Here<'a> {
    settings: &'a Settings,
    graph: &'a ActionGraph,
}

impl Inputs for Here<'_> {
    fn inputs(&self, step: StepId) -> Result<Vec<String>, String> {
        let mut paths = Vec::new();
        let tree = Tree::for_a_glance(&self.settings.root).map_err(|error| error.to_string())?;
        for set in gather::file_sets(self.graph.action(step)) {
            let include: Vec<_> = set.include.iter().map(|(pattern, _)| pattern).collect();
            let exclude: Vec<_> = set.exclude.iter().map(|(pattern, _)| pattern).collect();
            let found = walk::select(&tree, &include, &exclude, walk::Folders::Named)
                .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
            let own = |path| self.graph.makers(path).contains(&step);
            paths.extend(found.entries.iter().filter(|entry| !own(&entry.path)).map(|entry| entry.path.escaped()));
            // What another step makes is an input before it is there.
            let made = include.iter().filter_map(|pattern| pattern.literal()).filter(|path| self.graph.is_output(path) && !own(path));
            paths.extend(made.map(crate::base::path::RelPath::escaped));
        }
        Ok(paths)
    }
}

/// # Errors
/// The faults of the plan and of the question.
pub fn query(settings: &Settings, output: &Output, asked: &Query) -> Result<u8, Diagnostics> {
    let opened = open::open(settings, World::Unasked)?;
    let text = asked.expression.join(" ");
    let found = query::answer(&opened.graph, &Here { settings, graph: &opened.graph }, &text)?;
    let (steps, paths) = match found {
        Found::Steps(steps) => {
            let step = |id: StepId| {
                let name = &opened.graph.action(id).name;
                QueryStep { step: name.to_string(), target: name.target.to_string(), kind: name.kind.word().to_owned() }
            };
            (Some(steps.into_iter().map(step).collect()), None)
        }
        Found::Paths(paths) => (None, Some(paths)),
    };
    let view = QueryView { query: text, steps, paths };
    output.answer(&if output.json { screen::json(&view) } else { screen::lines(&view, asked.targets) });
    Ok(0)
}
