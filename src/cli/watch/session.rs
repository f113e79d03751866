//! A plan without faults, and what it was asked for.

use std::collections::BTreeSet;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::StepId;
use crate::base::path::AbsPath;
use crate::engine::Machine;
use crate::exec::gather::Ground;
use crate::exec::sight::{self, Sight};
use crate::graph::select::{self, Selection};
use crate::sys::tree::Tree;
use crate::sys::{folders, walk};

use super::Watch;
use super::texts::Texts;
use crate::cli::machine;
use crate::cli::open::{self, Opened};
use crate::cli::output::Output;
use crate::cli::settings::Settings;

pub(super) struct Session {
    pub(super) opened: Opened,
    pub(super) selection: Selection,
    /// What was typed, or the plan's default.
    pub(super) targets: Vec<String>,
    /// Tasks without `inputs`, which may read anything.
    pub(super) loose: BTreeSet<StepId>,
    /// The plan as it was read.
    pub(super) texts: Texts,
    machine: Machine,
}

/// The project's files at one moment.
pub(super) struct Scene {
    tree: Tree,
    /// What a task without `inputs` may read.
    everything: Vec<walk::Entry>,
}

impl Session {
    /// `before` was taken before the plan is read: an edit meanwhile is seen afterwards.
    pub(super) fn open(settings: &Settings, output: &Output, asked: &Watch, before: Texts) -> Result<Self, Diagnostics> {
        let opened = open::open_for(settings, &asked.targets)?;
        output.show(&opened.warnings);
        let texts = before.and(settings, &opened.values);
        let targets = opened.targets(&asked.targets)?;
        let selection = select::select(&opened.graph, &targets)?;
        Opened::only_left_out(output, &selection);
        opened.ready(settings, output, &selection.steps)?;
        let machine = machine::still(settings, &opened)?;
        let loose = sight::loose(&opened.graph, &selection.steps);
        Ok(Self { opened, selection, targets, loose, texts, machine })
    }

    pub(super) fn scene(&self) -> Result<Scene, Diagnostic> {
        let tree = machine::glance(&self.machine)?;
        let everything = if self.loose.is_empty() { Vec::new() } else { folders::unignored(tree.root()) };
        Ok(Scene { tree, everything })
    }

    /// The folders in which a change can reach the steps or the plan.
    pub(super) fn places(&self, scene: &Scene) -> BTreeSet<AbsPath> {
        let mut places = sight::places(&self.opened.graph, &scene.tree, &self.selection.steps, &scene.everything);
        places.extend(self.texts.folders());
        places
    }

    /// What the steps read now.
    pub(super) fn look(&self, scene: &Scene) -> Result<Sight, Diagnostic> {
        let ground = Ground { machine: &self.machine, graph: &self.opened.graph, tree: &scene.tree, past: None };
        Sight::of(ground, &self.selection.steps, &scene.everything).map_err(|error| {
            let fault = Diagnostic::new(Class::Environment, "cli::unread", error.reason);
            if let Some(help) = error.help { fault.help(help) } else { fault }
        })
    }

    pub(super) fn names(&self, steps: &BTreeSet<StepId>) -> Vec<String> {
        steps.iter().map(|id| self.opened.graph.action(*id).name.to_string()).collect()
    }
}
