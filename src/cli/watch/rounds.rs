//! One run after the other, until kiln is asked to end.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::path::{AbsPath, RelPath};
use crate::base::time::Span;
use crate::exec::sight::{Change, Sight};
use crate::sys::clock::Stopwatch;
use crate::sys::folders;
use crate::sys::signal::{Interrupt, Interrupts};
use crate::sys::watch::{EVERY, Waker, Watcher, Woken};

use super::Watch;
use super::own::Own;
use super::quiet::{self, QUIET};
use super::session::Session;
use super::texts::Texts;
use crate::cli::output::Output;
use crate::cli::settings::Settings;

/// How long a file may be written to before that is said, in milliseconds.
const PATIENCE: u64 = 2_000;

pub(super) struct Watching<'a> {
    pub(super) settings: &'a Settings,
    pub(super) output: &'a Output,
    pub(super) asked: &'a Watch,
    pub(super) watcher: Watcher,
    signal: Arc<OnceLock<Interrupt>>,
    own: Own,
    /// The folders of the last plan without faults.
    places: BTreeSet<AbsPath>,
    /// Whether anything ran yet.
    began: bool,
}

/// # Errors
/// A fault of the command line or of the machine before anything ran; faults of the plan are shown and waited out.
pub fn watch(settings: &Settings, output: &Output, asked: &Watch) -> Result<u8, Diagnostics> {
    let refused = |error| Diagnostic::new(Class::Environment, "cli::no-watch", format!("the system gives no way to wait: {error}"));
    let watcher = Watcher::new(asked.poll.map(|span| span.0.max(QUIET))).map_err(refused)?;
    let signal = Arc::new(OnceLock::new());
    listen(watcher.waker(), Arc::clone(&signal));
    let (own, places) = (Own::default(), BTreeSet::new());
    let mut watching = Watching { settings, output, asked, watcher, signal, own, places, began: false };
    let mut told = String::new();
    loop {
        let texts = Texts::of(settings);
        let faults = match Session::open(settings, output, asked, texts.clone()).and_then(|session| watching.rounds(&session)) {
            Ok(Some(code)) => return Ok(code),
            Ok(None) => {
                told.clear();
                continue;
            }
            Err(faults) => faults,
        };
        if !watching.began && faults.as_slice().iter().any(|fault| fault.class != Class::Plan) {
            return Err(faults);
        }
        // The same faults again say nothing: something else was saved.
        let text = format!("{faults:?}");
        if text != told {
            // The code is for a run that ends.
            let _ = output.faults(faults);
            watching.say_waiting(None, &[]);
            told = text;
        }
        if let Some(code) = watching.outlast(&texts) {
            return Ok(code);
        }
    }
}

/// Ends the watch when kiln is asked to end, also while nothing runs. A signal that comes after this has returned is heard.
fn listen(waker: Waker, signal: Arc<OnceLock<Interrupt>>) {
    let (listens, heard) = std::sync::mpsc::channel();
    // Without a thread of its own, a signal ends a run, and then the watch.
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let Ok(mut interrupts) = Interrupts::listen() else { return };
            drop(listens);
            loop {
                let asked = interrupts.next().await;
                signal.get_or_init(|| asked);
                waker.wake();
            }
        });
    });
    // The other end goes when the thread listens, or cannot.
    let _: Result<(), _> = heard.recv();
}

impl Watching<'_> {
    /// The exit code when kiln shall end.
    pub(super) fn code(&self) -> Option<u8> {
        self.signal.get().map(|signal| signal.exit_code())
    }

    /// Runs a plan again and again, until its texts change; the exit code when kiln shall end.
    fn rounds(&mut self, session: &Session) -> Result<Option<u8>, Diagnostics> {
        self.own.forget();
        let mut ports = BTreeSet::new();
        loop {
            let Some(before) = self.sight(session) else { return Ok(self.code()) };
            self.wait_for_ports(&ports);
            self.began = true;
            let ended = self.run(session, &before)?;
            if let Some(code) = ended.signal.map(Interrupt::exit_code).or(self.code()) {
                return Ok(Some(code));
            }
            ports = ended.ports;
            let mut waited = false;
            loop {
                let texts = session.texts.changes(self.settings);
                if !texts.is_empty() {
                    self.say_changed(&texts);
                    self.wait_for_ports(&ports);
                    return Ok(None);
                }
                let Some(now) = self.sight(session) else { return Ok(self.code()) };
                if waited {
                    self.own.forget();
                }
                let mut changes = self.changes(session, &before, &now);
                if !waited {
                    self.tell_own(session, &changes);
                    changes.retain(|change| !self.own.ignores(&session.loose, change));
                }
                if !changes.is_empty() {
                    self.say_changes(session, &changes);
                    break;
                }
                if !waited {
                    self.say_waiting(Some(now.count()), &session.targets);
                }
                waited = true;
                if let Some(code) = self.wait() {
                    return Ok(Some(code));
                }
            }
        }
    }

    /// Waits until a plan with faults may have none any more; the exit code when kiln shall end.
    fn outlast(&mut self, texts: &Texts) -> Option<u8> {
        let root = &self.settings.root;
        let mut places = self.places.clone();
        places.extend(texts.folders());
        // What it would read is not known: it may be any file of the project.
        for file in folders::unignored(root) {
            places.extend(std::iter::successors(file.path.parent(), RelPath::parent).map(|folder| root.at(&folder)));
        }
        places.insert(root.clone());
        self.place(&places);
        if texts.changes(self.settings).is_empty() { self.wait() } else { None }
    }

    /// What the steps read now. What cannot be read is told, and waited out; `None` when kiln shall end.
    fn sight(&mut self, session: &Session) -> Option<Sight> {
        let clock = Stopwatch::start();
        let mut told = String::new();
        while self.code().is_none() {
            let fault = match self.glimpse(session) {
                Ok(sight) => return Some(sight),
                Err(fault) => fault,
            };
            if clock.millis() < PATIENCE {
                self.watcher.wait(Some(QUIET));
                continue;
            }
            let text = format!("{fault:?}");
            if text != told {
                self.output.show(&[fault]);
                self.say("nothing runs until this can be read");
                told = text;
            }
            self.wait();
        }
        None
    }

    /// What the steps read now, from folders that are watched from before.
    pub(super) fn glimpse(&mut self, session: &Session) -> Result<Sight, Diagnostic> {
        let mut scene = session.scene()?;
        let places = session.places(&scene);
        if self.place(&places) {
            // What came into a folder before it was watched nobody will tell.
            scene = session.scene()?;
        }
        self.places = places;
        session.look(&scene)
    }

    /// Watches these folders; whether one of them was not watched before.
    fn place(&mut self, places: &BTreeSet<AbsPath>) -> bool {
        self.watcher.watch(places).unwrap_or_else(|why| {
            self.say(&format!("{why}: kiln looks every {} instead (--poll sets how often)", Span(EVERY)));
            false
        })
    }

    /// Waits until something may have changed; the exit code when kiln shall end.
    fn wait(&mut self) -> Option<u8> {
        loop {
            // A project that is gone comes back without a word to those who watched it.
            let limit = if self.watcher.sees(&self.settings.root) { None } else { Some(EVERY) };
            let woken = self.watcher.wait(limit);
            if let Some(code) = self.code() {
                return Some(code);
            }
            if woken == Woken::Look {
                quiet::settle(&mut self.watcher);
            }
            if woken != Woken::Called {
                return None;
            }
        }
    }

    pub(super) fn changes(&self, session: &Session, before: &Sight, now: &Sight) -> Vec<Change> {
        before.changes(now).into_iter().filter(|change| !self.own.ignores(&session.loose, change)).collect()
    }

    fn tell_own(&mut self, session: &Session, changes: &[Change]) {
        for path in self.own.take(&session.loose, changes) {
            self.say(&format!(
                "`{path}` changes whenever this runs, so its changes start no run any more; `inputs` in the plan says what is read"
            ));
        }
    }
}
