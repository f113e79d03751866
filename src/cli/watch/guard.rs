//! Looks on while a run goes on: a change that reaches a step that runs ends the run.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::base::diagnostic::{Diagnostics, Severity};
use crate::base::id::{StepId, StepName};
use crate::base::words::count;
use crate::event::{Event, Listener};
use crate::exec::sight::{self, Sight};
use crate::sys::cancel::{Cancel, Urgency};
use crate::sys::port::{self, Listening};
use crate::sys::signal::Interrupt;
use crate::sys::watch::Woken;

use super::quiet;
use super::rounds::Watching;
use super::session::Session;
use crate::cli::open;
use crate::cli::run::{self, Around, What};

/// The steps that run now.
#[derive(Debug, Default)]
struct Running(Mutex<BTreeSet<StepName>>);

impl Listener for Running {
    fn event(&self, event: Event) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::StepStarted { step, .. } => drop(running.insert(step)),
            Event::StepEnded { step, .. } => drop(running.remove(&step)),
            _ => {}
        }
    }
}

/// How a run came to its end.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// The signal that asked kiln to end.
    pub(super) signal: Option<Interrupt>,
    /// What steps that were ended listened on.
    pub(super) ports: BTreeSet<Listening>,
}

/// A run that goes on.
struct Going<'r> {
    session: &'r Session,
    /// What the steps read when it began.
    before: &'r Sight,
    running: Arc<Running>,
    cancel: Cancel,
    screen: Arc<OnceLock<Arc<dyn Listener>>>,
    done: AtomicBool,
}

impl Watching<'_> {
    /// Runs once. What changes meanwhile, and reaches a step that runs, ends the run.
    pub(super) fn run(&mut self, session: &Session, before: &Sight) -> Result<Ended, Diagnostics> {
        let (running, cancel, screen) = (Arc::default(), Cancel::new(), Arc::default());
        let going = Going { session, before, running, cancel, screen, done: AtomicBool::new(false) };
        let around = Around {
            cancel: going.cancel.clone(),
            listeners: vec![Arc::clone(&going.running) as Arc<dyn Listener>],
            screen: Arc::clone(&going.screen),
            ..Around::default()
        };
        let waker = self.watcher.waker();
        let (settings, output, asked) = (self.settings, self.output, self.asked);
        std::thread::scope(|scope| {
            let guard = scope.spawn(|| self.guard(&going));
            let what = What { selection: session.selection.clone(), targets: session.targets.clone(), around };
            let ended = run::carry_out(settings, output, &session.opened, what, &asked.how);
            going.done.store(true, Ordering::Relaxed);
            waker.wake();
            // A guard that panicked has said so; the watch goes on without it.
            let ports = guard.join().unwrap_or_default();
            ended.map(|carried| Ended { signal: carried.signal, ports })
        })
    }

    /// Gives what the steps listened on that it had to end.
    fn guard(&mut self, going: &Going<'_>) -> BTreeSet<Listening> {
        let session = going.session;
        let over = || going.done.load(Ordering::Relaxed);
        let mut told = None;
        while !over() {
            if self.watcher.wait(None) != Woken::Look {
                continue;
            }
            quiet::settle(&mut self.watcher);
            if over() {
                break;
            }
            let reached: BTreeSet<StepId> = if session.texts.changes(self.settings).is_empty() {
                if told.take().is_some() {
                    going.say("the plan is as it was again");
                }
                // What cannot be read now is being written; its end wakes once more.
                let Ok(now) = self.glimpse(session) else { continue };
                sight::reached(&session.opened.graph, &self.changes(session, going.before, &now), &session.selection.steps)
            } else {
                match open::open_for(self.settings, &self.asked.targets) {
                    Ok(_) => session.selection.steps.iter().copied().collect(),
                    Err(faults) => {
                        // No reason to stop what runs.
                        let text = in_one_line(&faults);
                        if told.as_ref() != Some(&text) {
                            going.say(&text);
                            told = Some(text);
                        }
                        continue;
                    }
                }
            };
            if going.touches(&reached) {
                // As long as they live: who listens can be told from the processes alone.
                let ports = port::listened_by_descendants();
                going.cancel.request(Urgency::Gentle);
                return ports;
            }
        }
        BTreeSet::new()
    }
}

impl Going<'_> {
    fn touches(&self, reached: &BTreeSet<StepId>) -> bool {
        let running = self.running.0.lock().unwrap_or_else(PoisonError::into_inner);
        reached.iter().any(|id| running.contains(&self.session.opened.graph.action(*id).name))
    }

    fn say(&self, text: &str) {
        if let Some(screen) = self.screen.get() {
            screen.event(Event::Notice { step: None, text: text.to_owned() });
        }
    }
}

/// The faults of a plan, for a screen on which a run is shown. They are told in full when it has ended.
fn in_one_line(faults: &Diagnostics) -> String {
    let errors: Vec<_> = faults.as_slice().iter().filter(|fault| fault.severity == Severity::Error).collect();
    let (place, what) = errors.first().map_or((String::new(), ""), |fault| {
        let place = fault.labels.first().map(|label| format!("{}:{}: ", label.span.source.name, label.span.line_column().0));
        (place.unwrap_or_default(), fault.message.as_str())
    });
    let more = if errors.len() > 1 { format!(" (and {})", count(errors.len() - 1, "more fault")) } else { String::new() };
    format!("{place}{what}{more}; what runs goes on with the plan as it was")
}
