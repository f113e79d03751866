//! What stands once in a plan: `project`, `registry`, `group`.

use std::collections::HashSet;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::TargetName;
use crate::base::path::RelPath;
use crate::oci::reference::{Repository, Tag};
use crate::plan::cx::Cx;
use crate::plan::names::Names;
use crate::plan::value::Locals;
use crate::plan::value::engine::display;
use crate::plan::{Certificates, Project, RegistryDef, RegistryPlace};
use crate::syntax::document::{Node, Value};

use super::service::retention;
use super::shape::not_a_word;
use super::view::{Text, View, shown};

/// The `project` node; an empty one when there is none.
pub(in crate::plan) fn project(cx: &Cx<'_>, nodes: &[Node], names: &Names) -> Project {
    let Some(node) = nodes.iter().find(|node| node.name.text == "project" && cx.is_good(node)) else { return Project::default() };
    let locals = Locals::top();
    let view = View { cx, locals: &locals };
    let text_of = |name| cx.binding(name).and_then(|value| display(&value).ok());
    let default = cx.shaping(|| view.child_texts(node, "default"));
    Project {
        name: text_of("project.name").unwrap_or_default(),
        version: text_of("project.version"),
        doc: view.child_text(node, "doc").map(|(text, _)| text),
        default: targets(cx, names, default).into_iter().map(|(name, _)| name).collect(),
    }
}

/// The targets that texts name. Unknown ones are reported; one that is named twice counts once.
pub(in crate::plan) fn targets(cx: &Cx<'_>, names: &Names, texts: Vec<Text>) -> Vec<(TargetName, Span)> {
    let mut found: Vec<(TargetName, Span)> = Vec::new();
    // A group may have a hundred thousand members.
    let mut known = HashSet::new();
    for (text, span) in texts {
        if let Some(name) = names.target(cx, &text, &span)
            && known.insert(name.clone())
        {
            found.push((name, span));
        }
    }
    found
}

/// Whether a name can be an environment variable.
///
/// # Errors
/// Why not, to follow the name in a message, with what to do.
pub(in crate::plan) fn check_env(name: &str) -> Result<(), (String, String)> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if name.is_empty() || !plain || name.starts_with(|c: char| c.is_ascii_digit()) {
        let why = "is not a name for an environment variable".to_owned();
        let rules = "such names have letters, digits and `_`, and do not begin with a digit";
        let fixed = name.replace(['-', '.', ' '], "_");
        let good = !fixed.is_empty()
            && fixed.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !fixed.starts_with(|c: char| c.is_ascii_digit());
        return Err((why, if good { format!("write `{fixed}`; {rules}") } else { rules.to_owned() }));
    }
    Ok(())
}

/// One registry under its name.
pub(in crate::plan) fn registry(cx: &Cx<'_>, node: &Node, name: &str) -> Option<RegistryDef> {
    let locals = Locals::top();
    let view = View { cx, locals: &locals };
    let (text, span) = view.text(&node.args[1])?;
    let insecure = view.flag_prop(node, "insecure") || node.args.get(2).is_some_and(|value| is_insecure(&view, value));
    let place = if let Some(path) = text.strip_prefix("oci:") {
        if insecure {
            let fault = Diagnostic::plan("plan::bad-value", "an OCI layout is a folder and has no transport", &span, "a folder");
            cx.fault(fault.help("leave `insecure` out"));
        }
        RegistryPlace::Layout(layout(&view, path, &span)?)
    } else {
        remote(cx, &text, &span)?
    };
    let certificates = certificates(&view, node, matches!(place, RegistryPlace::Layout(_)));
    let immutable = view.child(node, "immutable").map_or_else(Vec::new, |child| immutable(&view, child));
    let prune = view.child(node, "prune").and_then(|child| retention(&view, child));
    Some(RegistryDef { name: name.to_owned(), place, insecure, certificates, immutable, prune, span: node.name.span.clone() })
}

/// The files of `ca`, `cert` and `key`.
fn certificates(view: &View<'_, '_>, node: &Node, is_layout: bool) -> Certificates {
    let written = |word: &str| node.children.iter().flatten().find(|child| child.name.text == word);
    if let Some(first) = ["ca", "cert", "key"].into_iter().find_map(written).filter(|_| is_layout) {
        let fault = Diagnostic::plan("plan::bad-value", "an OCI layout is a folder and has no transport", &first.name.span, "for whom?");
        view.cx.fault(fault.help(format!("leave `{}` out", first.name.text)));
    }
    if let (Some(key), None) = (written("key"), written("cert")) {
        let fault = Diagnostic::plan("plan::arguments", "there is a `key` without its `cert`", &key.name.span, "of which certificate?");
        view.cx.fault(fault.help("name both: `cert \"me.pem\"` and `key \"me.key\"`"));
    }
    let authorities = view.child(node, "ca").map_or_else(Vec::new, |child| view.texts(&child.args));
    Certificates {
        authorities: authorities.into_iter().filter_map(|path| view.machine_path(path)).collect(),
        own: view.child_text(node, "cert").and_then(|path| view.machine_path(path)),
        key: view.child_text(node, "key").and_then(|path| view.machine_path(path)),
    }
}

/// Patterns over tags; `*` alone where none is named.
fn immutable(view: &View<'_, '_>, node: &Node) -> Vec<String> {
    if node.args.is_empty() {
        return vec!["*".to_owned()];
    }
    let mut found = Vec::new();
    for (text, span) in view.texts(&node.args) {
        let plain = text.replace('*', "x");
        match plain.parse::<Tag>() {
            Ok(_) => found.push(text),
            Err(why) => {
                let fault = Diagnostic::plan("plan::bad-tag", why.to_string(), &span, "not a tag");
                view.cx.fault(fault.help("write a tag, in which `*` is any text: `immutable \"v*\"`"));
            }
        }
    }
    found
}

fn is_insecure(view: &View<'_, '_>, value: &Value) -> bool {
    let Some((word, span)) = view.text(value) else { return false };
    if word != "insecure" {
        view.cx.fault(not_a_word(&word, &["insecure"], "registry", &span));
    }
    word == "insecure"
}

fn layout(view: &View<'_, '_>, path: &str, span: &Span) -> Option<RelPath> {
    let path = view.path(path, span)?;
    if path.is_root() {
        let fault = Diagnostic::plan("plan::bad-path", "an OCI layout cannot be the project itself", span, "the whole project");
        view.cx.fault(fault.help("name a folder for it: `oci:dist/images`"));
        return None;
    }
    Some(path)
}

fn remote(cx: &Cx<'_>, text: &str, span: &Span) -> Option<RegistryPlace> {
    let fault =
        |message: String, help: String| cx.fault(Diagnostic::plan("plan::bad-reference", message, span, "not a registry").help(help));
    if let Some((scheme, rest)) = text.split_once("://") {
        fault(format!("a registry is named without `{scheme}://`"), format!("write `{}`", shown(rest.trim_end_matches('/'))));
        return None;
    }
    let (host, prefix) = text.split_once('/').unwrap_or((text, ""));
    if !(host.contains(['.', ':']) || host == "localhost") {
        let host = shown(text);
        fault(format!("`{host}` does not name the registry's host"), format!("for Docker Hub write `docker.io/{host}`"));
        return None;
    }
    match format!("{text}/x").parse::<Repository>() {
        Ok(repository) => Some(RegistryPlace::Remote { host: repository.host().to_owned(), prefix: prefix.to_owned() }),
        Err(_) if prefix.contains(':') => {
            let place = text.rsplit_once(':').map_or(text, |(place, _)| place);
            fault("a registry is named without a tag".to_owned(), format!("write `{}`; tags stand in `tag` of an image", shown(place)));
            None
        }
        Err(_) => {
            let message = format!(
                "`{}` is no place in a registry: a path has lower-case letters and digits, with `/`, `.`, `_` or `-` between them",
                shown(text)
            );
            fault(message, "write it as `host/path`, for instance `ghcr.io/acme`".to_owned());
            None
        }
    }
}
