//! `dockerfile` nodes of images.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::path::RelPath;
use crate::base::words;
use crate::oci::reference::Reference;
use crate::plan::cx::Cx;
use crate::plan::dockerfile::{Dockerfile, stages};
use crate::syntax::document::Node;

use super::project::check_env;
use super::view::{Text, View, from_str, shown};

/// The most that is read of a Dockerfile, in bytes.
const LIMIT: u64 = 1 << 20;

/// What an image may not say itself when a Dockerfile says it.
const INSIDE: &[&str] = &[
    "from",
    "copy",
    "layer",
    "add",
    "run",
    "shell",
    "squash",
    "compress",
    "media",
    "env",
    "user",
    "workdir",
    "expose",
    "volume",
    "healthcheck",
    "stop-signal",
    "entrypoint",
    "cmd",
    "author",
    "onbuild",
    "os-version",
    "os-feature",
];

/// Faults about nodes that stand beside a `dockerfile` and would say the same thing twice.
pub(super) fn check_alone(cx: &Cx<'_>, image: &Node, dockerfile: &Node) {
    for node in image.children.iter().flatten().filter(|node| INSIDE.contains(&node.name.text.as_str())) {
        let message = format!("`{}` belongs into the Dockerfile of this image", node.name.text);
        let fault = Diagnostic::plan("plan::dockerfile", message, &node.name.span, "stands beside a Dockerfile");
        let help = "write it there; only `label`, `annotation`, `platforms` and what follows the build stand beside `dockerfile`";
        cx.fault(fault.label(&dockerfile.name.span, "builds the image").help(help));
    }
}

/// A Dockerfile's build; `None` when its path is none, which is reported.
pub(super) fn dockerfile(view: &View<'_, '_>, node: &Node) -> Option<Dockerfile> {
    let (text, span) = view.text(node.args.first()?)?;
    let path = view.path(&text, &span);
    let context = match view.prop(node, "context").map(|value| view.text(value)) {
        None => Some(RelPath::root()),
        Some(text) => text.and_then(|(text, span)| view.path(&text, &span)),
    };
    let target = view.prop(node, "target").and_then(|value| view.text(value));
    let args = view.pairs(node, "arg", check_env);
    let mut args: Vec<(String, String)> = args.into_iter().map(|(name, (value, _))| (name, value)).collect();
    args.sort();
    let references = |word| view.child_texts(node, word).into_iter().filter_map(|text| reference(view, text)).collect();
    let (cache_from, cache_to) = (references("cache-from"), references("cache-to"));
    let path = path?;
    if path.is_root() {
        let fault = Diagnostic::plan("plan::bad-path", "`dockerfile` names a file, not the project", &span, "the whole project");
        view.cx.fault(fault.help("write `dockerfile \"Dockerfile\"`"));
        return None;
    }
    if let Some(target) = &target {
        check_stage(view, &path, target);
    }
    Some(Dockerfile {
        path,
        context: context?,
        target: target.map(|(name, _)| name),
        args,
        secrets: view.child_texts(node, "secret"),
        ssh: view.child_texts(node, "ssh").into_iter().map(|(id, _)| id).collect(),
        cache_from,
        cache_to,
        span,
    })
}

fn reference(view: &View<'_, '_>, text: Text) -> Option<Reference> {
    view.parsed(text, "plan::bad-reference", from_str)
}

/// Whether the Dockerfile has the stage. One that is not there may be written by a task, and one that cannot be read is the
/// build's fault to tell.
fn check_stage(view: &View<'_, '_>, path: &RelPath, (target, span): &(String, Span)) {
    let Ok(Some(bytes)) = view.cx.facts.file(path, LIMIT) else { return };
    let Ok(text) = String::from_utf8(bytes) else { return };
    let known = stages(&text);
    if known.iter().any(|name| name.eq_ignore_ascii_case(target)) || target.parse::<usize>().is_ok() {
        return;
    }
    let message = format!("`{path}` has no stage `{}`", shown(target));
    let fault = Diagnostic::plan("plan::dockerfile", message, span, "no such stage");
    view.cx.fault(match words::closest(target, known.iter().copied()) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => fault.help("its stages have no names; write `FROM … AS name`, or leave `target=` out for the last one"),
        None => fault.help(format!("its stages are: {}", shown(&known.join(", ")))),
    });
}
