//! `sandbox` nodes, at the top of a plan and in a task.

use crate::base::diagnostic::Diagnostic;
use crate::plan::sandbox::{Sandbox, SandboxDef, WritePlace};
use crate::syntax::document::{Node, Scalar};

use super::defaults::Defaults;
use super::shape::not_a_word;
use super::view::{View, shown};

/// What a `sandbox` node says.
pub(super) fn sandbox(view: &View<'_, '_>, node: &Node) -> Option<SandboxDef> {
    let (word, span) = view.text(node.args.first()?)?;
    let Some(mode) = Sandbox::of(&word) else {
        view.cx.fault(not_a_word(&word, Sandbox::WORDS, "sandbox", &span));
        return None;
    };
    let watch = view.prop(node, "watch").is_none_or(|value| !matches!(value.scalar, Scalar::Bool(false)));
    if mode == Sandbox::Audit && !watch {
        let fault = Diagnostic::plan("plan::bad-value", "an audit without a watch has nothing to report", &span, "is a watch");
        view.cx.fault(fault.help("leave `watch=#false` out, or write `sandbox \"off\"`"));
    }
    let mut read = Vec::new();
    for (text, span) in view.child_texts(node, "read") {
        if is_of_machine(&text) {
            read.push(text.trim_end_matches('/').to_owned());
        } else if text.starts_with(['/', '~']) {
            let message = format!("`{}` is too much to let through", shown(&text));
            let fault = Diagnostic::plan("plan::bad-path", message, &span, "everything");
            view.cx.fault(fault.help("name the file or the folder that is needed, `\"/opt/sdk\"` or `\"~/.cargo\"`"));
        } else {
            let message = format!("`{}` is a path of the project, not of this machine", shown(&text));
            let fault = Diagnostic::plan("plan::bad-path", message, &span, "of the project");
            view.cx.fault(fault.help(format!("say it where it is keyed: `inputs \"{}\"`", shown(&text))));
        }
    }
    let mut write = Vec::new();
    for (text, span) in view.child_texts(node, "write") {
        if is_of_machine(&text) {
            write.push(WritePlace::Machine(text.trim_end_matches('/').to_owned()));
        } else if let Some(path) = view.path(&text, &span) {
            if path.is_root() {
                let message = "the whole project cannot be written to behind walls";
                let fault = Diagnostic::plan("plan::bad-path", message, &span, "the whole project");
                view.cx.fault(fault.help("name the folder that it needs; what it makes belongs to `outputs`"));
            }
            write.push(WritePlace::Project(path));
        }
    }
    read.sort();
    read.dedup();
    write.sort();
    write.dedup();
    Some(SandboxDef { mode, read, write, network: view.flag(node, "network", false), watch, span })
}

/// Whether a path is one of the machine; the root and the home folder themselves are none that a wall could let through.
fn is_of_machine(text: &str) -> bool {
    text.strip_prefix('/').or_else(|| text.strip_prefix("~/")).is_some_and(|rest| !rest.trim_matches('/').is_empty())
}

/// What the task says itself, else what the top says. `off` is what there is without it.
pub(super) fn of_task(view: &View<'_, '_>, node: &Node, common: &Defaults) -> Option<SandboxDef> {
    let said = match view.child(node, "sandbox") {
        Some(child) => sandbox(view, child),
        None => common.sandbox.clone(),
    };
    let said = said.filter(|said| said.mode != Sandbox::Off)?;
    // Nobody must believe that such a task is walled in twice, or watched.
    if let Some(elsewhere) = ["container", "exec-in"].iter().find_map(|word| view.child(node, word)) {
        let message = format!("its commands run in a container, which no sandbox `{}` reaches", said.mode.word());
        let fault = Diagnostic::plan("plan::sandbox-elsewhere", message, &elsewhere.name.span, "runs elsewhere");
        view.cx.fault(
            fault.label(&said.span, "asked for here").help("a container has walls of its own; write `sandbox \"off\"` in this task"),
        );
    }
    Some(said)
}
