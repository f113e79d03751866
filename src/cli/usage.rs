//! `kiln TARGET --help`.

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::plan::target::{Target, TargetKind};
use crate::report::list::{self, ListedArg, ListedKind};
use crate::report::usage::{self, UsageView};

use super::open::{self, World};
use super::output::Output;
use super::settings::Settings;

/// # Errors
/// The faults of the plan; an unknown target.
pub fn usage(settings: &Settings, output: &Output, typed: &str) -> Result<u8, Diagnostics> {
    let opened = open::open(settings, World::Unasked)?;
    let name = typed.split(['[', '/', '@']).next().unwrap_or(typed);
    let Some(target) = opened.plan.targets.values().find(|target| target.name.as_str() == name) else {
        let names: Vec<&str> = opened.plan.targets.keys().map(|name| name.as_str()).collect();
        let message = format!("there is no target `{}`", crate::base::words::visible(typed));
        return Err(Diagnostic::new(Class::Usage, "cli::unknown-target", message).help(list::instead(name, &names)).into());
    };
    let view = UsageView {
        name: target.name.to_string(),
        kind: kind(target),
        doc: target.doc.clone(),
        args: args(target),
        rest: target.args.rest.is_some(),
        rest_doc: target.args.rest.as_ref().and_then(|rest| rest.doc.clone()),
    };
    output.answer(&if output.json { usage::json(&view) } else { usage::screen(&view, output.out) });
    Ok(0)
}

/// The kind of a target, as lists name it.
pub const fn kind(target: &Target) -> ListedKind {
    match &target.kind {
        TargetKind::Task(_) => ListedKind::Task,
        TargetKind::Image(_) => ListedKind::Image,
        TargetKind::Service(_) => ListedKind::Service,
        TargetKind::Group(_) => ListedKind::Group,
    }
}

/// The arguments of a target, as lists show them.
pub fn args(target: &Target) -> Vec<ListedArg> {
    let one = |arg: &crate::plan::arg::ArgDef| ListedArg {
        name: arg.name.clone(),
        sort: arg.kind.word().to_owned(),
        form: arg.form(),
        flag: arg.flag,
        short: arg.short,
        doc: arg.doc.clone(),
        default: arg.default.clone(),
        choices: arg.choices.clone(),
    };
    target.args.list.iter().map(one).collect()
}
