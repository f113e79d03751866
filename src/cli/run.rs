//! `kiln run`: the main job.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::runtime::{Builder, Runtime};

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::StepId;
use crate::engine::Machine;
use crate::event::{Event, Listener};
use crate::exec::gather::Product;
use crate::exec::run::{self, Known, Request, RunEnd};
use crate::exec::{look, not_yet};
use crate::graph::ActionGraph;
use crate::graph::action::{Action, ActionKind};
use crate::graph::select::{self, Selection};
use crate::record;
use crate::record::history::StepHistory;
use crate::record::journal::Journal;
use crate::record::recorder::Recorder;
use crate::report::ci::Ci;
use crate::report::exit::{INTERRUPTED, exit_code};
use crate::report::json::Json;
use crate::report::plain::Plain;
use crate::report::reporter::Reporter;
use crate::report::terminal::Terminal;
use crate::report::{Options, Renderer};
use crate::store::local::Store;
use crate::sys::account::Account;
use crate::sys::cancel::{Cancel, Urgency};
use crate::sys::clock::{self, Stopwatch};
use crate::sys::shims::Shims;
use crate::sys::signal::{Interrupt, Interrupts};
use crate::sys::terminal::Screen;
use crate::sys::{env, random};

use super::args::{How, Run};
use super::cache;
use super::glance::Glance;
use super::machine::{self, All};
use super::open::{self, Opened};
use super::output::Output;
use super::partly::{self, Part};
use super::projects;
use super::reports::{self, Reports};
use super::rerun::{self, Watch};
use super::settings::Settings;
use super::told::{Others, Told};

/// # Errors
/// Faults of the plan, of the command line and of the machine; failures of steps are an exit code.
pub fn run(settings: &Settings, output: &Output, asked: &Run) -> Result<u8, Diagnostics> {
    let clock = Stopwatch::start();
    let glance = Glance::of_run(settings, output, asked);
    if let Some(answer) = glance.as_ref().and_then(|glance| glance.answer(partly::MOST)) {
        if answer.changed.is_empty() {
            if let Some(code) = rerun::again(&answer, clock, settings, output, &asked.how) {
                return Ok(code);
            }
        } else if let Some(part) = Part::of(settings, &answer)
            && let Some(glance) = glance
        {
            return part.run(glance, &answer, settings, output, &asked.how);
        }
    }
    let opened = open::open_for(settings, &asked.targets)?;
    output.show(&opened.warnings);
    let targets = opened.targets(&asked.targets)?;
    let selection = select::select(&opened.graph, &targets)?;
    if Opened::only_left_out(output, &selection) {
        return Ok(0);
    }
    opened.ready(settings, output, &selection.steps)?;
    let glance = glance.filter(|_| selection.left_out.is_empty());
    let watch = glance.is_some().then(Arc::<Watch>::default);
    let account = watch.as_ref().map(|watch| Arc::clone(&watch.account));
    let listeners = watch.iter().map(|watch| Arc::clone(watch) as Arc<dyn Listener>).collect();
    let around = Around { listeners, account, ..Around::default() };
    let ended = carry_out(settings, output, &opened, What { selection: selection.clone(), targets, around }, &asked.how);
    if let (Some(glance), Some(watch), Ok(carried)) = (glance, watch, &ended) {
        let _ = rerun::keep(glance, &opened, &selection, carried, &watch);
    }
    let code = ended.map(|carried| carried.code);
    // The process ends here: its memory goes back in one piece, not plan node by plan node.
    std::mem::forget(opened);
    code
}

/// What a run is about.
pub struct What {
    /// The steps.
    pub selection: Selection,
    /// What was typed, or the plan's default.
    pub targets: Vec<String>,
    /// What the caller adds.
    pub around: Around,
}

/// What a caller adds to a run.
#[derive(Default)]
pub struct Around {
    /// A way to end it, besides signals.
    pub cancel: Cancel,
    /// Who else hears what happens, before the screen does.
    pub listeners: Vec<Arc<dyn Listener>>,
    /// Takes down what is seen of the project.
    pub account: Option<Arc<Account>>,
    /// What is known to stand in place beside the selection.
    pub standing: Option<Standing>,
    /// Gets the screen when there is one, for what happens beside the run.
    pub screen: Arc<OnceLock<Arc<dyn Listener>>>,
}

/// Steps that take part in a run and are known to stand in place.
pub struct Standing {
    /// What is told of them together.
    pub told: Told,
    /// What is told of each.
    pub others: Others,
    /// What selected steps need of them.
    pub products: Vec<(StepId, Product)>,
}

impl Standing {
    fn known(self, store: &Store, recorder: Option<Arc<Recorder>>, screen: Arc<Reporter>) -> Known {
        let Self { told, others, products } = self;
        let store = store.clone();
        let steps = told.quiet.0 + told.quiet.1 + told.shown.len();
        let saved_ms = told.saved_ms;
        let tell = Box::new(move || {
            if let Some(recorder) = recorder {
                recorder.in_place(move |log| log.append_drafts(others.iter().map(|row| row.line), 0));
            }
            screen.in_place(told.quiet.0, told.quiet.1);
            for end in told.shown {
                rerun::shown(&store, end, 0, |event| screen.event(event));
            }
        });
        Known { steps, saved_ms, products, tell }
    }
}

/// A run that came to its end.
pub struct Carried {
    /// How its steps ended.
    pub end: RunEnd,
    /// The exit code.
    pub code: u8,
    /// The signal that asked kiln to end.
    pub signal: Option<Interrupt>,
    /// What it ran on.
    pub machine: Arc<Machine>,
}

/// Runs a selection with screen, journal and signals.
pub fn carry_out(settings: &Settings, output: &Output, opened: &Opened, what: What, how: &How) -> Result<Carried, Diagnostics> {
    let What { selection, targets, around } = what;
    let Around { cancel, mut listeners, account, standing, screen: beside } = around;
    let unable = not_yet::not_yet(&opened.graph, &selection.steps);
    if unable.has_errors() {
        return Err(unable);
    }
    opened.keys(settings, &selection.steps)?;
    let jobs = jobs(how);
    let runtime = runtime_for(&opened.graph, &selection, jobs)?;
    let shims = Shims::own();
    // What a changed file reaches runs, as a rule.
    let runs = how.force || standing.is_some();
    if selection.steps.iter().any(|id| starts_here(opened.graph.action(*id), runs)) {
        shims.foresee();
    }
    let project = settings.project();
    let history = Arc::new(StepHistory::load(project.as_path()));
    let run = record::run_id(clock::now(), random::bits());
    let reporter = Arc::new(Reporter::start(renderer(output, opened, &selection, &history, how, jobs)).map_err(system("cli::no-thread"))?);
    beside.get_or_init(|| Arc::clone(&reporter) as Arc<dyn Listener>);
    projects::note(&project, &settings.root);
    let recorder = begin(&project, &run, &history)
        .map_err(|fault| reporter.event(Event::Notice { step: None, text: format!("this run is not recorded: {fault}") }))
        .ok();
    listeners.extend(recorder.iter().map(|recorder| Arc::clone(recorder) as Arc<dyn Listener>));
    let reports = Reports::new(&how.reports, true).map(Arc::new);
    listeners.extend(reports.iter().map(|reports| Arc::clone(reports) as Arc<dyn Listener>));
    listeners.push(Arc::clone(&reporter) as Arc<dyn Listener>);
    let wishes = Arc::new(Wishes::default());
    let (screen, terminal) = (Arc::clone(&reporter), Arc::clone(&wishes));
    let pause = Box::new(move |lent| {
        terminal.lent.store(lent, Ordering::Relaxed);
        if lent { screen.pause() } else { screen.resume() }
    });
    let machine = machine::machine(settings, opened, run, Arc::new(All(listeners)), cancel.clone(), pause)?;
    let machine = Arc::new(Machine { shims, ..machine });
    machine.store.keep_what_is_found();
    let request = Request {
        graph: Arc::clone(&opened.graph),
        selection,
        history,
        targets,
        plan: settings.plan_name.clone(),
        jobs: u32::try_from(jobs).unwrap_or(u32::MAX),
        keep_going: how.keep_going,
        force: how.force,
        account,
        known: standing.map(|standing| standing.known(&machine.store, recorder.clone(), Arc::clone(&reporter))),
    };
    let (shared, heard) = (Arc::clone(&machine), Arc::clone(&wishes));
    let ended = runtime.block_on(async move {
        // Before the first step can start: a signal that came earlier than its handler would end kiln and nothing else.
        if let Ok(interrupts) = Interrupts::listen() {
            tokio::spawn(listen(interrupts, cancel, Arc::clone(&heard)));
        }
        run::run(shared, request, |end| code(end, &heard)).await
    });
    let end = ended.map_err(|fault| {
        Diagnostic::new(Class::Internal, "exec::schedule", format!("the schedule is broken: {fault}"))
            .help("this is a bug in kiln; please report it")
    });
    if let Err(fault) = machine.keep() {
        reporter.event(Event::Notice { step: None, text: format!("what is known of files could not be kept: {fault}") });
    }
    if let Some(Err(fault)) = recorder.map(|recorder| recorder.finish()) {
        reporter.event(Event::Notice { step: None, text: format!("the record of this run has a gap: {fault}") });
    }
    reporter.finish();
    if let (Some(reports), Ok(here)) = (&reports, env::current_dir()) {
        output.complain(&reports.write(&here));
    }
    cache::collect_daily(&machine.store, &settings.cache);
    // Threads that only wait (a slow disk, a dead server) do not keep kiln from ending.
    runtime.shutdown_background();
    let end = end?;
    Ok(Carried { code: code(&end, &wishes), signal: wishes.signal.get().copied(), machine, end })
}

/// The runtime of a command; its threads live as long as it does, and kiln's helpers die with them.
pub fn runtime() -> Result<Runtime, Diagnostic> {
    threads(1)
}

/// Threads that work on disks beside those of the steps.
const ASIDE: usize = 512;

/// As [`runtime`], with room for a thread for each of so many steps at once.
fn threads(jobs: usize) -> Result<Runtime, Diagnostic> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).max_blocking_threads(jobs.saturating_add(ASIDE)).enable_all().build().map_err(system("cli::no-runtime"))
}

/// The runtime of a run. A single task has nobody to share threads with, and starting them would take as long as a short task.
fn runtime_for(graph: &ActionGraph, selection: &Selection, jobs: usize) -> Result<Runtime, Diagnostic> {
    match selection.steps.as_slice() {
        [only] if matches!(graph.action(*only).kind, ActionKind::Run(_)) => {
            Builder::new_current_thread().enable_all().build().map_err(system("cli::no-runtime"))
        }
        _ => threads(jobs),
    }
}

/// Whether a step that `runs` starts a program here, and not on the terminal; one whose result is never taken from an earlier run does.
fn starts_here(action: &Action, runs: bool) -> bool {
    let here = matches!(&action.kind, ActionKind::Run(cell) if cell.container.is_none() && !cell.interactive);
    here && (runs || !look::is_cacheable(action))
}

/// What the user wishes while a run goes on.
#[derive(Debug, Default)]
struct Wishes {
    /// Whether a step has the terminal.
    lent: AtomicBool,
    /// The first signal that asked kiln to end.
    signal: OnceLock<Interrupt>,
}

fn code(end: &RunEnd, wishes: &Wishes) -> u8 {
    if end.interrupted {
        wishes.signal.get().map_or(INTERRUPTED, |signal| signal.exit_code())
    } else {
        exit_code(end.ended.iter().map(|(_, ended)| ended))
    }
}

fn system(code: &'static str) -> impl FnOnce(io::Error) -> Diagnostic {
    move |error| Diagnostic::new(Class::Environment, code, format!("the system refused what kiln needs to start: {error}"))
}

fn begin(project: &crate::base::path::AbsPath, run: &crate::base::id::RunId, history: &Arc<StepHistory>) -> Result<Arc<Recorder>, String> {
    let journal = Journal::open(project.as_path()).map_err(|error| error.to_string())?;
    Recorder::begin(&journal, run, clock::now(), Arc::clone(history)).map(Arc::new).map_err(|error| error.to_string())
}

fn renderer(output: &Output, opened: &Opened, selection: &Selection, history: &StepHistory, how: &How, jobs: usize) -> Box<dyn Renderer> {
    let expected = selection.steps.iter().filter_map(|id| {
        let name = &opened.graph.action(*id).name;
        Some((name.clone(), history.expected_ms(name)?))
    });
    screen(output, Options { verbose: how.verbose, expected: expected.collect(), jobs })
}

/// How many steps may run at once.
pub fn jobs(how: &How) -> usize {
    how.jobs.map_or_else(|| std::thread::available_parallelism().map_or(2, usize::from), usize::from)
}

/// The screen that fits where standard output leads, and what was asked for.
pub fn screen(output: &Output, options: Options) -> Box<dyn Renderer> {
    if output.json { Box::new(Json::new(io::stdout())) } else { people(output, options) }
}

/// The screen for people.
pub fn people(output: &Output, options: Options) -> Box<dyn Renderer> {
    if Screen::Out.is_terminal() && output.out.unicode {
        return Box::new(Terminal::new(io::stdout(), output.out, Box::new(|| Screen::Out.size()), options));
    }
    if let Some(server) = reports::server() {
        return Box::new(Ci::new(io::stdout(), server, output.out, options));
    }
    Box::new(Plain::new(io::stdout(), output.out, options))
}

/// The first signal asks running steps to end; the second one ends them. Ctrl-C while a step has the terminal is for that
/// step, which gets it too.
async fn listen(mut interrupts: Interrupts, cancel: Cancel, wishes: Arc<Wishes>) {
    for urgency in [Urgency::Gentle, Urgency::Now] {
        let mut signal = interrupts.next().await;
        while signal == Interrupt::Keyboard && wishes.lent.load(Ordering::Relaxed) {
            signal = interrupts.next().await;
        }
        wishes.signal.get_or_init(|| signal);
        cancel.request(urgency);
    }
}
