//! From the plan's file to the graph: one way for all commands.

use std::sync::Arc;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Source};
use crate::base::id::StepId;
use crate::exec::{offline, preflight};
use crate::graph::links::Links;
use crate::graph::select::Selection;
use crate::graph::{ActionGraph, lower};
use crate::plan::include::Loaded;
use crate::plan::{self, Ask, Overrides, Plan, Resolved, include};
use crate::record::documents;
use crate::syntax;
use crate::syntax::document::Document;
use crate::sys::file;

use super::compiled::Compiled;
use super::facts::Here;
use super::output::Output;
use super::remote::{Everywhere, Found, Reach};
use super::settings::Settings;
use super::sources::Files;
use super::{machine, pins, run, tools};

/// A plan that has no fault.
pub struct Opened {
    /// The plan.
    pub plan: Plan,
    /// Its steps.
    pub graph: Arc<ActionGraph>,
    /// Whether there is a lock, which is in force.
    pub locked: bool,
    /// Worth knowing.
    pub warnings: Vec<Diagnostic>,
}

/// Whether the world may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// git may be asked where a value needs it.
    Asked,
    /// git and files may be asked; commands of the plan have stand-ins, because another commit's are nobody's to run.
    Compared,
    /// Nothing is executed: facts of the repository have stand-ins.
    Unasked,
}

/// Reads, parses, resolves and lowers the plan.
///
/// # Errors
/// Every fault of the first stage that has one.
pub fn open(settings: &Settings, world: World) -> Result<Opened, Diagnostics> {
    let asked = Asked::read(settings, world)?;
    let compiled = Compiled::of(settings, &asked.overrides);
    let kept = compiled.as_ref().and_then(|compiled| compiled.load(&asked.main, &asked.files(), &asked.here));
    let (resolved, links, found, draft) = match kept {
        Some((resolved, links)) => (resolved, Some(links), Found::default(), None),
        None => {
            let reach = if world == World::Asked { Reach::Network } else { Reach::Store };
            let (loaded, resolved, found) = asked.resolve(world, reach)?;
            // Commands that execute nothing write nothing either.
            let draft = compiled.filter(|_| world == World::Asked).and_then(|compiled| compiled.draft(&loaded, &resolved));
            (resolved, None, found, draft)
        }
    };
    let (mut plan, mut warnings) = (resolved.plan, resolved.warnings);
    warnings.extend(found.warnings);
    let locked = world != World::Unasked && pins::apply(settings, &mut plan, &mut warnings)?;
    let graph = match links.and_then(|links| links.graph(&plan)) {
        Some(graph) => graph,
        None => lower::lower(&plan)?,
    };
    if let Some(draft) = draft {
        // A memory that cannot be written costs the next command some time.
        let _ = draft.keep(&Links::of(&graph));
    }
    Ok(Opened { plan, graph: Arc::new(graph), locked, warnings })
}

/// Reads, parses and resolves the plan; the lock is in force for what the plan includes, not yet for what it names.
///
/// # Errors
/// Every fault of the first stage that has one.
pub fn resolve(settings: &Settings, world: World, reach: Reach<'_>) -> Result<(Resolved, Found), Diagnostics> {
    Asked::read(settings, world)?.resolve(world, reach).map(|(_, resolved, found)| (resolved, found))
}

/// What a plan is made of.
struct Asked<'s> {
    settings: &'s Settings,
    main: Arc<Source>,
    here: Here,
    overrides: Overrides,
}

impl<'s> Asked<'s> {
    fn read(settings: &'s Settings, world: World) -> Result<Self, Diagnostics> {
        let bytes = file::read(&settings.plan, syntax::LIMIT as u64 + 1).map_err(|error| {
            let class = if error.is_missing() { Class::Usage } else { Class::Plan };
            Diagnostics::from(Diagnostic::new(class, "cli::unreadable-plan", error.to_string()).help("`-f FILE` names another plan"))
        })?;
        let ask = if world == World::Unasked { Ask::Nothing } else { Ask::Everything };
        Ok(Self {
            settings,
            main: syntax::check_file_bytes(&settings.plan_name, &bytes)?,
            here: Here::new(settings.root.clone(), settings.repository.clone(), world == World::Asked),
            overrides: Overrides { set: settings.set.clone(), profiles: settings.profiles.clone(), ask },
        })
    }

    fn files(&self) -> Files<'s> {
        Files { root: &self.settings.root, here: &self.settings.here }
    }

    fn resolve(&self, world: World, reach: Reach<'_>) -> Result<(Loaded, Resolved, Found), Diagnostics> {
        let main = document(self.settings, Arc::clone(&self.main), world)?;
        let sources = Everywhere::new(self.settings, reach);
        let loaded = include::load(main, self.settings.plan_place(), &sources);
        let resolved = plan::resolve(&loaded, &self.here, &self.overrides)?;
        let found = Found { names: include::remote_names(&loaded), ..sources.found() };
        Ok((loaded, resolved, found))
    }
}

/// The parsed text: as the last command kept it, when the text is still the same.
fn document(settings: &Settings, source: Arc<Source>, world: World) -> Result<Document, Diagnostics> {
    let folder = settings.project();
    if let Some(document) = documents::load(folder.as_path(), &source) {
        return Ok(document);
    }
    let document = syntax::parse(source)?;
    // Commands that execute nothing write nothing either. A memory that cannot be written costs the next command some time.
    if world == World::Asked {
        let _ = documents::save(folder.as_path(), &document);
    }
    Ok(document)
}

impl Opened {
    /// Looks for files that the steps name and that nobody makes.
    ///
    /// # Errors
    /// One fault for each place that names such a file.
    pub fn preflight(&self, settings: &Settings, steps: &[StepId]) -> Result<(), Diagnostics> {
        let faults = preflight::missing(&settings.root, &self.graph, steps);
        if faults.has_errors() { Err(faults) } else { Ok(()) }
    }

    /// Holds the tools of the steps against the plan and the lock; gives what is worth knowing.
    ///
    /// # Errors
    /// One fault for each tool that the plan, or with `--frozen` the lock, does not take.
    pub fn tools(&self, settings: &Settings, steps: &[StepId]) -> Result<Vec<Diagnostic>, Diagnostics> {
        tools::check(settings, &self.plan, &self.graph, steps, self.locked)
    }

    /// With `--offline`, looks for all that the steps would have to fetch or send.
    ///
    /// # Errors
    /// One fault for each thing that is not at hand.
    pub fn at_hand(&self, settings: &Settings, steps: &[StepId]) -> Result<(), Diagnostics> {
        if !settings.offline {
            return Ok(());
        }
        let session = machine::session(settings, &self.plan)?;
        let faults = run::runtime()?.block_on(offline::missing(&session, &self.graph, steps));
        if faults.has_errors() { Err(faults) } else { Ok(()) }
    }

    /// Says which of the targets that were asked for take no part in this plan; whether nothing else was asked for.
    pub fn only_left_out(output: &Output, selection: &Selection) -> bool {
        for (target, condition) in &selection.left_out {
            output.answer(&if output.json {
                format!("{}\n", serde_json::json!({ "target": target, "left-out": condition }))
            } else {
                format!("{target} is left out: `when \"{condition}\"` does not hold\n")
            });
        }
        selection.asked.is_empty() && !selection.left_out.is_empty()
    }

    /// What was typed, or the plan's default.
    ///
    /// # Errors
    /// When nothing was typed and the plan has no default.
    pub fn targets(&self, typed: &[String]) -> Result<Vec<String>, Diagnostics> {
        if !typed.is_empty() {
            return Ok(typed.to_vec());
        }
        let default: Vec<String> = self.plan.project.default.iter().map(ToString::to_string).collect();
        if default.is_empty() {
            let fault = Diagnostic::new(Class::Usage, "cli::no-target", "no target was named, and the plan has no default");
            return Err(fault.help("name one (`kiln` alone lists them), or write `default \"…\"` in the plan's `project`").into());
        }
        Ok(default)
    }
}
