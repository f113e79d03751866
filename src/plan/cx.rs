//! What every reader shares: the facts, the names in scope, and the faults found so far.
//! In: the parts of one call of [`super::resolve`]. Out: faults and warnings, one per root cause.
//! Never: shared between two plans. Each document has a [`Cx`] of its own, since names of one mean nothing in another.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Environment;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Severity, Span};
use crate::base::path::RelPath;
use crate::base::words;
use crate::syntax::document::{Node, Value};

use super::Overrides;
use super::cell::Seen;
use super::facts::{Facts, Recorder};
use super::secret::SecretDef;
use super::template::Frames;
use super::value::bindings::Bindings;
use super::value::template::{Known, Template};

/// The most targets, and the most matrix cells of one target.
pub(super) const CELL_LIMIT: usize = 100_000;
/// The most definitions of a plan: targets × cells × platforms.
pub(super) const STEP_LIMIT: usize = 200_000;

/// The number of errors, and of warnings, that are kept in full; the rest are counted.
const KEPT: usize = 1_000;
/// The number of faults that are given where more than [`KEPT`] were found, with one line for all the others.
const GIVEN: usize = 19;

/// The names that are looked through for those that misspelt ones are near to, all faults of a plan together.
const SEARCHED: usize = 1_000_000;

/// The search for names that were meant. Where ten thousand are misspelt among ten thousand, the first faults say what was meant, and
/// the others only that there is no such name.
#[derive(Debug, Default)]
pub(super) struct Search(Cell<usize>);

impl Search {
    /// Whether one more fault may look through so many names.
    pub(super) fn may(&self, names: usize) -> bool {
        let searched = self.0.get().saturating_add(names);
        let may = searched <= SEARCHED;
        if may {
            self.0.set(searched);
        }
        may
    }
}

/// The identity of a place: its source and its first byte.
type Place = (usize, usize);

/// What faults of one root cause have in common: their code, and their first place with its length.
pub(super) type FaultKey = (&'static str, Place, usize);

fn key(fault: &Diagnostic) -> Option<FaultKey> {
    fault.labels.first().map(|label| (fault.code, place(&label.span), label.span.len))
}

fn place(span: &Span) -> Place {
    (Arc::as_ptr(&span.source) as usize, span.start)
}

/// The names of what stand-ins stood for: `git`, a `let`, a `param`.
pub(super) type Met = BTreeSet<String>;

/// Names and values, in order.
pub(super) type Variables = Vec<(String, String)>;

/// What one document of a plan is read with.
pub(super) struct Cx<'a> {
    /// Answers and remembers.
    pub facts: Rc<Recorder<'a>>,
    pub(super) engine: &'a Environment<'static>,
    pub(super) shared: Rc<Shared<'a>>,
    pub(super) bindings: OnceCell<Bindings<'a>>,
    /// Kinds of nodes that a node of an unknown name at the top was probably meant to be.
    meant: RefCell<HashSet<&'static str>>,
    /// Names that stand behind nodes of unknown names, where a target's name would stand.
    undeclared: RefCell<HashSet<String>>,
    /// What stands before the names of its targets: `ci:`; nothing in the main document.
    pub(super) prefix: String,
    /// What its paths are relative to.
    pub(super) folder: RelPath,
    /// The profiles of this document that were chosen; a later one wins.
    pub(super) profiles: OnceCell<Vec<(&'a str, &'a Node)>>,
    /// The secrets of this document; `None` for one whose source is at fault.
    pub(super) secrets: OnceCell<IndexMap<String, Option<SecretDef>>>,
    /// The params that the file which includes this one sets: where, and the stand-ins that the value rests on.
    pub(super) handed: RefCell<HashMap<String, (Span, Met)>>,
}

/// Texts taken apart, by their place and the use of a template that they were written out for.
type Taken<'a> = HashMap<(Place, u32), Option<Rc<Template<'a>>>>;

/// What all documents of a plan have in common.
#[derive(Default)]
pub(super) struct Shared<'a> {
    templates: RefCell<Taken<'a>>,
    expressions: Known<'a>,
    frames: Frames,
    /// Bytes of text made so far.
    pub(super) spent: Cell<usize>,
    /// Definitions made so far.
    pub(super) steps: Cell<usize>,
    faults: RefCell<Diagnostics>,
    /// The numbers of errors and of warnings that were found.
    errors: Cell<usize>,
    warnings: Cell<usize>,
    search: Search,
    told: RefCell<HashSet<FaultKey>>,
    broken: RefCell<HashSet<Place>>,
    /// The names of the chosen profiles, for `${profile}`.
    pub(super) chosen: RefCell<Vec<String>>,
    /// What env-files hold.
    pub(super) env_files: RefCell<HashMap<RelPath, Rc<Variables>>>,
    /// Stand-ins met since the innermost [`Cx::watch`] began.
    met: RefCell<Met>,
    /// Stand-ins on which the whole plan rests.
    pub(super) shape: RefCell<Met>,
    /// Values that rest on stand-ins, and names whose values do.
    tainted: RefCell<HashMap<Place, Met>>,
    /// Faults found since the innermost [`Cx::in_cell`] began, with their first places.
    pub(super) recent: RefCell<Option<Vec<(FaultKey, Span)>>>,
    /// The cells that faults were found in.
    pub(super) seen: RefCell<HashMap<FaultKey, Seen>>,
}

impl<'a> Cx<'a> {
    /// For a plan as a whole.
    pub(super) fn new(facts: &'a dyn Facts, overrides: &'a Overrides, engine: &'a Environment<'static>, frames: Frames) -> Self {
        Self {
            facts: Rc::new(Recorder::new(facts, overrides)),
            engine,
            shared: Rc::new(Shared { frames, ..Shared::default() }),
            bindings: OnceCell::new(),
            meant: RefCell::default(),
            undeclared: RefCell::default(),
            prefix: String::new(),
            folder: RelPath::root(),
            profiles: OnceCell::new(),
            secrets: OnceCell::new(),
            handed: RefCell::default(),
        }
    }

    /// For one of its documents.
    pub(super) fn document(&self, prefix: String, folder: RelPath) -> Self {
        Self {
            facts: Rc::clone(&self.facts),
            engine: self.engine,
            shared: Rc::clone(&self.shared),
            bindings: OnceCell::new(),
            meant: RefCell::default(),
            undeclared: RefCell::default(),
            prefix,
            folder,
            profiles: OnceCell::new(),
            secrets: OnceCell::new(),
            handed: RefCell::default(),
        }
    }

    /// The name under which the whole plan knows what this document calls `name`.
    pub(super) fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Whether one more fault may look through so many names for the one that was meant.
    pub(super) fn may_search(&self, names: usize) -> bool {
        self.shared.search.may(names)
    }

    /// The name that was most likely meant, while [`Self::may_search`].
    pub(super) fn near<'n>(&self, word: &str, names: impl ExactSizeIterator<Item = &'n str>) -> Option<&'n str> {
        self.may_search(names.len()).then(|| words::closest(word, names)).flatten()
    }

    /// Takes a fault or a warning in. A second one with the same code at the same place has the same root cause (another
    /// cell or platform of the same node) and is dropped; so is one about a value that rests on a stand-in. One inside a template
    /// shows its use as well.
    pub(super) fn fault(&self, mut fault: Diagnostic) {
        let tainted = self.shared.tainted.borrow();
        if !tainted.is_empty() && fault.labels.iter().any(|label| tainted.contains_key(&place(&label.span))) {
            return;
        }
        let key = key(&fault);
        if let (Some(key), Some(recent), Some(label)) = (key, self.shared.recent.borrow_mut().as_mut(), fault.labels.first()) {
            recent.push((key, label.span.clone()));
        }
        let mut used = fault.labels.first().and_then(|label| self.frames().get(label.span.frame)?.used.as_ref());
        fault.labels.iter_mut().for_each(|label| label.span.frame = 0);
        while let Some(span) = used {
            fault = fault.label(&Span { frame: 0, ..span.clone() }, "used here");
            used = self.frames().get(span.frame).and_then(|frame| frame.used.as_ref());
        }
        let new = key.is_none_or(|key| self.shared.told.borrow_mut().insert(key));
        let shared = &self.shared;
        let found = if fault.severity == Severity::Error { &shared.errors } else { &shared.warnings };
        if new {
            found.set(found.get() + 1);
            if found.get() <= KEPT {
                shared.faults.borrow_mut().push(fault);
            }
        }
    }

    /// Takes in an error that is costly to word; it is made only when there is room for it.
    pub(super) fn costly_fault(&self, make: impl FnOnce() -> Diagnostic) {
        let errors = &self.shared.errors;
        if errors.get() < KEPT { self.fault(make()) } else { errors.set(errors.get() + 1) }
    }

    /// Notes that a stand-in was used for what this name stands for.
    pub(super) fn meet(&self, name: &str) {
        self.shared.met.borrow_mut().insert(name.to_owned());
    }

    /// Notes that a value was used that rests on these stand-ins.
    pub(super) fn meet_all(&self, met: &Met) {
        self.shared.met.borrow_mut().extend(met.iter().cloned());
    }

    /// Whether a stand-in was met since the innermost [`Cx::watch`] began.
    pub(super) fn has_met(&self) -> bool {
        !self.shared.met.borrow().is_empty()
    }

    /// Does `work`, and says which stand-ins it met. Whoever watches around it hears of them too.
    pub(super) fn watch<T>(&self, work: impl FnOnce() -> T) -> (T, Met) {
        let before = self.shared.met.take();
        let made = work();
        let met = self.shared.met.replace(before);
        self.meet_all(&met);
        (made, met)
    }

    /// Does `work` on which the whole plan rests, so that whatever of the plan is used, the stand-ins that it met must be known.
    pub(super) fn shaping<T>(&self, work: impl FnOnce() -> T) -> T {
        let (made, met) = self.watch(work);
        self.shared.shape.borrow_mut().extend(met);
        made
    }

    /// Marks a value that rests on stand-ins, or a name whose value does.
    pub(super) fn taint(&self, span: &Span, met: Met) {
        if !met.is_empty() {
            self.shared.tainted.borrow_mut().entry(place(span)).or_default().extend(met);
        }
    }

    /// The stand-ins that the value, or the name, at this place rests on.
    pub(super) fn taint_of(&self, span: &Span) -> Option<Met> {
        self.shared.tainted.borrow().get(&place(span)).cloned()
    }

    /// The uses of templates.
    pub(super) fn frames(&self) -> &Frames {
        &self.shared.frames
    }

    /// Marks a node or value whose form is wrong, so that nothing reads it.
    pub(super) fn break_at(&self, span: &Span) {
        self.shared.broken.borrow_mut().insert(place(span));
    }

    /// Notes what a node of an unknown name was probably meant to be. What it would have declared is missing, so whoever
    /// refers to it is not at fault.
    pub(super) fn probably_meant(&self, word: &'static str) {
        self.meant.borrow_mut().insert(word);
    }

    /// Notes the name behind a node of an unknown name: if it was meant to declare a target, then this one.
    pub(super) fn leaves_undeclared(&self, name: &str) {
        self.undeclared.borrow_mut().insert(name.to_owned());
    }

    /// Whether a target of this name may be missing because the node that should declare it is at fault.
    pub(super) fn is_undeclared(&self, name: &str) -> bool {
        self.undeclared.borrow().contains(name)
    }

    /// Whether a node of an unknown name was probably meant to be one of these.
    pub(super) fn may_lack(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.meant.borrow().contains(word))
    }

    /// Whether the node's own form is good.
    pub(super) fn is_good(&self, node: &Node) -> bool {
        !self.shared.broken.borrow().contains(&place(&node.name.span))
    }

    /// Whether the form of the value is good.
    pub(super) fn is_good_value(&self, value: &Value) -> bool {
        !self.shared.broken.borrow().contains(&place(&value.span))
    }

    /// The text of a value taken apart, once for all cells; `None` when it cannot be, which is reported.
    pub(super) fn template(&self, value: &Value, text: &str) -> Option<Rc<Template<'a>>> {
        let key = (place(&value.span), value.span.frame);
        if let Some(known) = self.shared.templates.borrow().get(&key) {
            return known.clone();
        }
        let template = match Template::new(self.engine, &self.shared.expressions, value, text) {
            Ok(template) => Some(Rc::new(template)),
            Err(faults) => {
                faults.into_iter().for_each(|fault| self.fault(fault));
                None
            }
        };
        self.shared.templates.borrow_mut().insert(key, template.clone());
        template
    }

    /// All faults and warnings, with the facts that were read.
    pub(super) fn finish(&self) -> Finished {
        let faults = self.shared.faults.take();
        let stops = faults.has_errors();
        let mut all = Diagnostics::default();
        let mut warnings = Vec::new();
        let mut sorted = faults.sorted();
        let seen = self.shared.seen.take();
        for fault in &mut sorted {
            if let Some(seen) = key(fault).and_then(|key| seen.get(&key)) {
                seen.tell(fault);
            }
        }
        let errors = self.shared.errors.get();
        if errors > KEPT {
            sorted.retain(|fault| fault.severity == Severity::Error);
            sorted.truncate(GIVEN);
            let message = format!("{} in the plan", words::count(errors - sorted.len(), "more fault"));
            let more = Diagnostic::new(Class::Plan, "plan::more", message);
            sorted.push(more.help(format!("the first {} are shown; mend them and check again", sorted.len())));
        } else if self.shared.warnings.get() > KEPT {
            let message = format!("{} in the plan", words::count(self.shared.warnings.get() - KEPT, "more warning"));
            sorted.push(Diagnostic::new(Class::Plan, "plan::more", message).warning().help(format!("the first {KEPT} are kept")));
        }
        for fault in sorted {
            if stops || fault.severity == Severity::Error { all.push(fault) } else { warnings.push(fault) }
        }
        Finished { faults: stops.then_some(all), warnings, facts_read: self.facts.answers(), asks: self.facts.mattered() }
    }
}

/// What is left at the end.
pub(super) struct Finished {
    /// All faults and warnings in order of place, when something stops the plan.
    pub faults: Option<Diagnostics>,
    /// The warnings, when nothing does.
    pub warnings: Vec<Diagnostic>,
    /// What was read.
    pub facts_read: Vec<(String, String)>,
    /// Whether it mattered what may be asked for a `let` or a `param`.
    pub asks: bool,
}
