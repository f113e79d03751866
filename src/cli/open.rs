//! From the plan's file to the graph: one way for all commands.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Source};
use crate::base::id::{StepId, StepName, TargetName};
use crate::base::path::{AbsPath, RelPath};
use crate::engine::tools::Tools;
use crate::exec::{offline, preflight};
use crate::graph::links::{Before, Links, Places};
use crate::graph::select::{self, Selection};
use crate::graph::{ActionGraph, lower};
use crate::plan::basis::Values;
use crate::plan::facts;
use crate::plan::include::{IncludeSource, Included, Loaded};
use crate::plan::undecided::Undecided;
use crate::plan::{self, Ask, Overrides, Plan, Resolved, include};
use crate::record::documents;
use crate::syntax;
use crate::syntax::document::Document;
use crate::sys::file;

use super::compiled::{Compiled, Origin, Pieces, Texts};
use super::facts::Here;
use super::output::Output;
use super::remote::{Everywhere, Found, Reach};
use super::settings::Settings;
use super::sources::Files;
use super::{calls, machine, pins, run, tools};

/// A plan that has no fault.
pub struct Opened {
    /// The plan.
    pub plan: Plan,
    /// Its steps.
    pub graph: Arc<ActionGraph>,
    /// Whether there is a lock, which is in force.
    pub locked: bool,
    /// What rests on stand-ins: nothing that the targets need for which it was opened.
    pub undecided: Undecided,
    /// Worth knowing.
    pub warnings: Vec<Diagnostic>,
    /// Versions of its tools, each asked for once however many parts of a command want to know.
    pub versions: Arc<Tools>,
    /// Files whose content is a value of it, or variables.
    pub values: Vec<RelPath>,
    /// What decided the plan, when it is kept.
    pub origin: Option<Origin>,
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

/// For what values may be asked: those of `let`s that files and commands give, and required `param`s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking<'t> {
    /// For all of the plan.
    Everything,
    /// For what these targets need, as typed; the plan's default when there is none.
    For(&'t [String]),
    /// For nothing.
    Nothing,
}

/// Reads, parses, resolves and lowers the plan with every value that the world lets it have.
///
/// # Errors
/// Every fault of the first stage that has one.
pub fn open(settings: &Settings, world: World) -> Result<Opened, Diagnostics> {
    open_asking(settings, world, if world == World::Unasked { Asking::Nothing } else { Asking::Everything })
}

/// The same with the values that these targets need; the plan's default when there is none. Whatever else they are, is not asked
/// for.
///
/// # Errors
/// Every fault of the first stage that has one.
pub fn open_for(settings: &Settings, targets: &[String]) -> Result<Opened, Diagnostics> {
    open_asking(settings, World::Asked, Asking::For(targets))
}

fn open_asking(settings: &Settings, world: World, asking: Asking<'_>) -> Result<Opened, Diagnostics> {
    Asked::read(settings, world)?.open(asking)
}

/// The files of a plan, also one with faults: its text, its lock, and what it includes from the project.
#[must_use]
pub fn documents(settings: &Settings) -> Vec<AbsPath> {
    let mut found = vec![settings.plan.clone(), settings.lock()];
    if let Ok(asked) = Asked::read(settings, World::Unasked)
        && let Ok(main) = document(settings, asked.main)
    {
        let loaded = include::load(main, settings.plan_place(), &Everywhere::new(settings, Reach::Store));
        let local = |one: &Included| if let IncludeSource::Local(path) = &one.place { Some(settings.root.at(path)) } else { None };
        found.extend(loaded.included.iter().filter_map(local));
    }
    found
}

/// A plan of which everything that decided it is the same as when it was kept.
pub struct Same<'s> {
    asked: Asked<'s>,
    kept: Texts,
}

/// The plan that was opened for these targets, when everything that decided it is the same now. An error is a difference.
pub fn same<'s>(settings: &'s Settings, targets: &[String], origin: &Origin) -> Option<Same<'s>> {
    let asked = Asked::read(settings, World::Asked).ok()?;
    let compiled = Compiled::of(settings, &asked.overrides, Asking::For(targets))?;
    let kept = compiled.still_holds(origin, &asked.main, &asked.files(), &*asked.here)?;
    Some(Same { asked, kept })
}

impl Same<'_> {
    /// The plan as it was kept, for who needs some targets of it; `None` when it is not.
    pub fn pieces(&self, origin: &Origin) -> Option<Pieces> {
        self.kept.pieces(origin)
    }

    /// Opens some targets, with the steps that ended `before`; `None` when they are not to be had alone, or there is more to say of them.
    pub fn open(&self, origin: &Origin, pieces: Pieces, targets: &[usize], before: Vec<Before>) -> Option<(Opened, Places)> {
        let settings = self.asked.settings;
        let (mut plan, undecided, links) = pieces.plan(targets)?;
        let mut warnings = Vec::new();
        let locked = pins::apply(settings, &mut plan, &undecided, &mut warnings).ok()?;
        if !warnings.is_empty() {
            return None;
        }
        let (graph, places) = links.part(&plan, targets, before)?;
        let graph = Arc::new(graph);
        let versions = Arc::new(tools::tools(settings, &plan));
        let origin = Some(origin.clone());
        let opened = Opened { plan, graph, locked, undecided, warnings, versions, values: Vec::new(), origin };
        Some((opened, places))
    }
}

/// A plan that can be opened once more with former values, without asking the world what it has answered already.
pub struct Reopen<'s> {
    asked: Asked<'s>,
    asking: Asking<'s>,
}

impl<'s> Reopen<'s> {
    /// Opens the plan as it is.
    ///
    /// # Errors
    /// Every fault of the first stage that has one.
    pub fn open(settings: &'s Settings, world: World, asking: Asking<'s>) -> Result<(Self, Opened), Diagnostics> {
        let asked = Asked::read(settings, world)?;
        let opened = asked.open(asking)?;
        Ok((Self { asked, asking }, opened))
    }

    /// Opens it as it would be with these values; `None` when it could not be, because it has changed since they were in force.
    pub fn with(&self, former: &Values) -> Option<Opened> {
        let profiles = former.get("profile").and_then(|json| serde_json::from_str::<String>(json).ok());
        let profiles = profiles.map(|text| text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect());
        let known = &self.asked.overrides;
        let overrides = Overrides { former: former.clone(), profiles: profiles.unwrap_or_else(|| known.profiles.clone()), ..known.clone() };
        self.asked.with_overrides(overrides).open(self.asking).ok()
    }
}

impl<'s> Asked<'s> {
    fn open(&self, asking: Asking<'_>) -> Result<Opened, Diagnostics> {
        let Self { settings, world, .. } = *self;
        // What a plan was with former values, nobody asks for again.
        let compiled = if self.overrides.former.is_empty() { Compiled::of(settings, &self.overrides, asking) } else { None };
        let kept = compiled.as_ref().and_then(|compiled| compiled.load(&self.main, &self.files(), &*self.here));
        let (mut origin, resolved, links, found, draft) = match kept {
            Some((origin, resolved, links)) => (Some(origin), resolved, Some(links), Found::default(), None),
            None => {
                let reach = if world == World::Asked { Reach::Network } else { Reach::Store };
                let (loaded, resolved, found) = self.resolve(reach, asking)?;
                // Commands that execute nothing write nothing either.
                let draft = compiled.filter(|_| world == World::Asked).and_then(|compiled| compiled.draft(&loaded, &resolved));
                (None, resolved, None, found, draft)
            }
        };
        let Resolved { mut plan, mut warnings, undecided, facts_read, .. } = resolved;
        warnings.extend(found.warnings);
        let locked = world != World::Unasked && pins::apply(settings, &mut plan, &undecided, &mut warnings)?;
        let graph = match links.and_then(|links| links.graph(&plan)) {
            Some(graph) => graph,
            None => lower::lower(&plan)?,
        };
        if let Some(draft) = draft {
            // A memory that cannot be written costs the next command some time.
            origin = draft.keep(&Links::of(&graph, &plan)).ok();
        }
        let versions = Arc::new(tools::tools(settings, &plan));
        let values = facts::files(&facts_read);
        Ok(Opened { plan, graph: Arc::new(graph), locked, undecided, warnings, versions, values, origin })
    }

    fn with_overrides(&self, overrides: Overrides) -> Self {
        Self { settings: self.settings, world: self.world, main: Arc::clone(&self.main), here: Rc::clone(&self.here), overrides }
    }
}

/// A plan as every profile makes it.
pub struct Views {
    /// With the profiles that were chosen.
    pub asked: Resolved,
    /// Without a profile and with each single one, as far as these are not what was chosen.
    pub others: Vec<View>,
    /// What the plan includes, which is the same under every profile.
    pub found: Found,
}

/// A plan under a profile that was not chosen.
pub struct View {
    /// Its name; `None` without one.
    pub profile: Option<String>,
    /// The plan, or why there is none.
    pub resolved: Result<Resolved, Diagnostics>,
}

/// Reads and parses the plan, and resolves it under every profile; the lock is in force for what the plan includes, not yet for what
/// it names.
///
/// # Errors
/// Every fault of the first stage that has one, with the profiles that were chosen.
pub fn views(settings: &Settings, reach: Reach<'_>) -> Result<Views, Diagnostics> {
    let read = Asked::read(settings, World::Asked)?;
    let (loaded, asked, found) = read.resolve(reach, Asking::Everything)?;
    // Profiles are chosen by the names of the main document.
    let names = asked.plan.profiles.iter().map(|profile| &profile.name).filter(|name| !name.contains(':'));
    let all = std::iter::once(None).chain(names.cloned().map(Some));
    let others = all.filter_map(|profile| {
        let profiles: Vec<String> = profile.iter().cloned().collect();
        let overrides = Overrides { profiles, ..read.overrides.clone() };
        let is_other = overrides.profiles != read.overrides.profiles;
        is_other.then(|| View { resolved: plan::resolve(&loaded, &*read.here, &overrides), profile })
    });
    Ok(Views { others: others.collect(), asked, found })
}

/// What a plan is made of.
struct Asked<'s> {
    settings: &'s Settings,
    world: World,
    main: Arc<Source>,
    here: Rc<Here>,
    overrides: Overrides,
}

impl<'s> Asked<'s> {
    fn read(settings: &'s Settings, world: World) -> Result<Self, Diagnostics> {
        let bytes = file::read(&settings.plan, syntax::LIMIT as u64 + 1).map_err(|error| {
            let class = if error.is_missing() { Class::Usage } else { Class::Plan };
            Diagnostics::from(Diagnostic::new(class, "cli::unreadable-plan", error.to_string()).help("`-f FILE` names another plan"))
        })?;
        Ok(Self {
            settings,
            world,
            main: syntax::check_file_bytes(&settings.plan_name, &bytes)?,
            here: Rc::new(Here::new(settings.root.clone(), settings.repository.clone(), world == World::Asked)),
            overrides: Overrides {
                set: settings.set.clone(),
                profiles: settings.profiles.clone(),
                calls: settings.calls.clone(),
                ask: Ask::Everything,
                former: Values::new(),
            },
        })
    }

    fn files(&self) -> Files<'s> {
        Files { root: &self.settings.root, here: &self.settings.here }
    }

    fn resolve(&self, reach: Reach<'_>, asking: Asking<'_>) -> Result<(Loaded, Resolved, Found), Diagnostics> {
        let main = document(self.settings, Arc::clone(&self.main))?;
        let sources = Everywhere::new(self.settings, reach);
        let loaded = include::load(main, self.settings.plan_place(), &sources);
        let resolved = match asking {
            Asking::Nothing => self.with(&loaded, Ask::Nothing)?,
            Asking::Everything => self.with(&loaded, Ask::Everything)?,
            Asking::For(targets) => self.enough(&loaded, targets)?,
        };
        let found = Found { names: include::remote_names(&loaded), ..sources.found() };
        Ok((loaded, resolved, found))
    }

    fn with(&self, loaded: &Loaded, ask: Ask) -> Result<Resolved, Diagnostics> {
        plan::resolve(loaded, &*self.here, &Overrides { ask, ..self.overrides.clone() })
    }

    /// Asks for more until nothing that the targets need rests on a stand-in. What is asked may show that they need more.
    fn enough(&self, loaded: &Loaded, targets: &[String]) -> Result<Resolved, Diagnostics> {
        let mut names = BTreeSet::new();
        loop {
            let resolved = self.with(loaded, Ask::Only(names.clone()))?;
            let more = needed(&resolved, targets)?;
            // A name that was asked for has no stand-in, so this ends with the last name.
            if more.is_subset(&names) {
                return Ok(resolved);
            }
            names.extend(more);
        }
    }
}

/// The names whose values these targets need and do not have.
fn needed(resolved: &Resolved, typed: &[String]) -> Result<BTreeSet<String>, Diagnostics> {
    let Resolved { plan, undecided, .. } = resolved;
    if undecided.is_empty() {
        return Ok(BTreeSet::new());
    }
    let graph = lower::lower(plan)?;
    let default: Vec<String> = plan.project.default.iter().map(ToString::to_string).collect();
    let typed = if typed.is_empty() { &default } else { typed };
    let steps = select::select(&graph, typed).map(|selection| selection.steps).unwrap_or_default();
    let names: Vec<&StepName> = steps.iter().map(|id| &graph.action(*id).name).collect();
    let known: BTreeSet<&TargetName> = graph.order().iter().map(|id| &graph.action(*id).name.target).collect();
    // A step that a stand-in hides cannot be selected: what the target is has to be known first.
    let hidden = plan.targets.keys().filter(|name| !known.contains(name) && graph.left_out(name.as_str()).is_none());
    let named = plan.targets.keys().filter(|name| typed.iter().any(|text| select::target(text) == name.as_str()));
    let needed = names.iter().map(|name| &name.target).chain(hidden).chain(named);
    Ok(undecided.names(needed, names.iter().filter_map(|name| name.registry.as_ref())))
}

/// The parsed text: as the last command kept it, when the text is still the same.
fn document(settings: &Settings, source: Arc<Source>) -> Result<Document, Diagnostics> {
    let folder = settings.project();
    if let Some(document) = documents::load(folder.as_path(), &source) {
        return Ok(document);
    }
    let document = syntax::parse(source)?;
    // The text in another form and nothing that was asked: also kept by commands that only look, so that `kiln` alone answers at
    // once the second time. A memory that cannot be written costs the next command some time.
    let _ = documents::save(folder.as_path(), &document);
    Ok(document)
}

impl Opened {
    /// Holds all that the steps need against the world before the first of them is looked at: arguments, sources, tools, and with
    /// `--offline` what would have to be fetched. Shows what is worth knowing.
    ///
    /// # Errors
    /// All faults of the first of these that has one.
    pub fn ready(&self, settings: &Settings, output: &Output, steps: &[StepId]) -> Result<(), Diagnostics> {
        self.arguments(steps)?;
        self.preflight(settings, steps)?;
        self.at_hand(settings, steps)?;
        output.show(&self.tools(settings, steps)?);
        Ok(())
    }

    /// Looks for arguments that the steps need and nobody gave.
    ///
    /// # Errors
    /// One fault for each.
    pub fn arguments(&self, steps: &[StepId]) -> Result<(), Diagnostics> {
        calls::complete(&self.plan, &self.graph, steps)
    }

    /// Looks for files that the steps name and that nobody makes.
    ///
    /// # Errors
    /// One fault for each place that names such a file.
    pub fn preflight(&self, settings: &Settings, steps: &[StepId]) -> Result<(), Diagnostics> {
        let faults = preflight::missing(&settings.root, &self.graph, steps);
        if faults.has_errors() { Err(faults) } else { Ok(()) }
    }

    /// Looks for the keys that the steps sign with.
    ///
    /// # Errors
    /// One fault for each that is not where the plan says.
    pub fn keys(&self, settings: &Settings, steps: &[StepId]) -> Result<(), Diagnostics> {
        let faults = preflight::keys(&settings.root, &self.graph, steps);
        if faults.has_errors() { Err(faults) } else { Ok(()) }
    }

    /// Holds the tools of the steps against the plan and the lock; gives what is worth knowing.
    ///
    /// # Errors
    /// One fault for each tool that the plan, or with `--frozen` the lock, does not take.
    fn tools(&self, settings: &Settings, steps: &[StepId]) -> Result<Vec<Diagnostic>, Diagnostics> {
        tools::check(settings, self, steps)
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
