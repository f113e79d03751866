//! What the plan offers to a shell: from the whole plan when it is sound, else from what of its text can be read.

use std::cell::OnceCell;

use crate::base::words::{is_hidden, shorten};
use crate::graph::query::FUNCTIONS;
use crate::graph::select;
use crate::plan::arg::ArgDef;
use crate::plan::param::ParamKind;

use super::super::args::Global;
use super::super::open::{self, Opened};
use super::super::settings::{self, Settings};
use super::declared::{self, Declared};

/// The longest description, in characters.
const LONGEST: usize = 72;
/// The most steps that are offered: a shell shows no more usefully.
const MOST: usize = 5_000;

/// A word that can be typed, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The word.
    pub word: String,
    /// A few words about it; may be empty.
    pub about: String,
}

impl Candidate {
    /// A candidate. Characters that could act on a terminal are left out.
    pub fn new(word: impl Into<String>, about: impl AsRef<str>) -> Self {
        let about: String = about.as_ref().chars().filter(|c| !is_hidden(*c)).collect();
        Self { word: word.into(), about: shorten(&about, LONGEST) }
    }
}

/// The plan, looked at when it is first asked for.
pub struct World {
    settings: Option<Settings>,
    opened: OnceCell<Option<Opened>>,
    declared: OnceCell<Declared>,
}

impl World {
    /// The plan that the options name.
    pub fn new(global: Option<Global>) -> Self {
        let settings = global.and_then(|global| settings::resolve(&global).ok());
        Self { settings, opened: OnceCell::new(), declared: OnceCell::new() }
    }

    fn opened(&self) -> Option<&Opened> {
        self.opened.get_or_init(|| open::open(self.settings.as_ref()?, open::World::Unasked).ok()).as_ref()
    }

    fn declared(&self) -> &Declared {
        self.declared.get_or_init(|| self.settings.as_ref().map(|settings| declared::read(&settings.plan)).unwrap_or_default())
    }

    /// Targets; steps when the word goes on behind a target's name.
    pub fn targets(&self, last: &str) -> Vec<Candidate> {
        if last.contains(['/', '[', '@']) {
            return self.steps();
        }
        match self.opened() {
            Some(opened) => {
                let targets = opened.plan.targets.values();
                targets.map(|target| Candidate::new(target.name.as_str(), target.doc.as_deref().unwrap_or(target.kind.word()))).collect()
            }
            None => self.declared().targets.iter().map(|(name, kind)| Candidate::new(name, kind)).collect(),
        }
    }

    /// Targets of one kind.
    pub fn of_kind(&self, kind: &str) -> Vec<Candidate> {
        match self.opened() {
            Some(opened) => {
                let targets = opened.plan.targets.values().filter(|target| target.kind.word() == kind);
                targets.map(|target| Candidate::new(target.name.as_str(), target.doc.as_deref().unwrap_or_default())).collect()
            }
            None => {
                let targets = self.declared().targets.iter().filter(|(_, word)| word == kind);
                targets.map(|(name, _)| Candidate::new(name, "")).collect()
            }
        }
    }

    /// Targets and steps by their printed names.
    pub fn steps(&self) -> Vec<Candidate> {
        let Some(opened) = self.opened() else { return self.targets("") };
        let steps = opened.graph.order().iter().take(MOST).map(|id| &opened.graph.action(*id).name);
        let mut found: Vec<Candidate> = self.targets("");
        found.extend(steps.map(|name| Candidate::new(name.to_string(), name.kind.word())).filter(|step| !step.word.is_empty()));
        found.sort_by(|a, b| a.word.cmp(&b.word));
        found.dedup_by(|a, b| a.word == b.word);
        found
    }

    /// What a task declares to be typed behind it.
    fn declared_behind(&self, target: &str) -> &[ArgDef] {
        let opened = self.opened();
        let found = opened.and_then(|opened| opened.plan.targets.values().find(|known| known.name.as_str() == select::target(target)));
        found.map_or(&[], |target| &target.args.list)
    }

    /// `name=` for every argument of a task, and `name=value` for every value that it may have.
    pub fn arguments(&self, target: &str) -> Vec<Candidate> {
        let mut found = Vec::new();
        for arg in self.declared_behind(target).iter().filter(|arg| !arg.flag) {
            found.push(Candidate::new(format!("{}=", arg.name), arg.doc.as_deref().unwrap_or_default()));
            let truth: &[&str] = if arg.kind == ParamKind::Bool { &["true", "false"] } else { &[] };
            let choices = arg.choices.iter().map(String::as_str).chain(truth.iter().copied());
            found.extend(choices.map(|choice| Candidate::new(format!("{}={choice}", arg.name), "")));
        }
        found
    }

    /// The flags of a task.
    pub fn flags(&self, target: &str) -> Vec<Candidate> {
        let flags = self.declared_behind(target).iter().filter(|arg| arg.flag);
        flags.map(|arg| Candidate::new(format!("--{}", arg.name.replace('_', "-")), arg.doc.as_deref().unwrap_or_default())).collect()
    }

    /// `name=` for every parameter, and `name=value` for every value that it may have.
    pub fn settings(&self) -> Vec<Candidate> {
        let mut found = Vec::new();
        for param in &self.declared().params {
            found.push(Candidate::new(format!("{}=", param.name), param.doc.as_deref().unwrap_or_default()));
            found.extend(param.choices.iter().map(|choice| Candidate::new(format!("{}={choice}", param.name), "")));
        }
        found
    }

    /// The profiles of the plan.
    pub fn profiles(&self) -> Vec<Candidate> {
        self.declared().profiles.iter().map(|name| Candidate::new(name, "")).collect()
    }

    /// Functions of queries, and targets.
    pub fn questions(&self) -> Vec<Candidate> {
        let functions = FUNCTIONS.iter().map(|function| Candidate::new(format!("{}(", function.name), function.doc));
        functions.chain(self.targets("")).collect()
    }
}
