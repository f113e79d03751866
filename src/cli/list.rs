//! `kiln` alone: the targets of the plan.

use crate::base::diagnostic::Diagnostics;
use crate::plan::target::TargetKind;
use crate::report::list::{self, ListView, ListedParam, ListedProfile, ListedTarget};

use super::open::{self, World};
use super::output::Output;
use super::settings::Settings;
use super::usage;

/// # Errors
/// The faults of the plan.
pub fn list(settings: &Settings, output: &Output) -> Result<u8, Diagnostics> {
    let opened = open::open(settings, World::Unasked)?;
    let project = &opened.plan.project;
    let targets = opened.plan.targets.values().map(|target| {
        let members = match &target.kind {
            TargetKind::Group(members) => members.iter().map(|(name, _)| name.to_string()).collect(),
            TargetKind::Task(_) | TargetKind::Image(_) | TargetKind::Service(_) => Vec::new(),
        };
        ListedTarget {
            name: target.name.to_string(),
            kind: usage::kind(target),
            args: usage::args(target),
            rest: target.args.rest.is_some(),
            doc: target.doc.clone(),
            left_out: target.left_out.as_ref().map(|out| out.condition.clone()),
            members,
            default: project.default.contains(&target.name),
        }
    });
    let params = opened.plan.params.values().map(|param| ListedParam {
        name: param.name.clone(),
        sort: param.kind.word().to_owned(),
        doc: param.doc.clone(),
        default: param.default.clone(),
        choices: param.choices.clone(),
    });
    let profiles = opened.plan.profiles.iter().map(|profile| ListedProfile { name: profile.name.clone(), doc: profile.doc.clone() });
    let view = ListView {
        project: project.name.clone(),
        version: project.version.clone(),
        doc: project.doc.clone(),
        targets: targets.collect(),
        params: params.collect(),
        profiles: profiles.collect(),
    };
    output.answer(&if output.json { list::json(&view) } else { list::screen(&view, output.out) });
    Ok(0)
}
