//! `container` nodes, and the image that `container` and `from` name.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::TargetName;
use crate::oci::reference::Reference;
use crate::plan::names::{Names, Sort};
use crate::plan::target::{Container, ContainerImage};
use crate::syntax::document::Node;

use super::view::{View, shown, size, was_written};

/// A container; `None` when its image is not known, which is reported.
pub(super) fn container(view: &View<'_, '_>, node: &Node, names: &Names) -> Option<Container> {
    if !was_written(node, "image") {
        let fault = Diagnostic::plan("plan::arguments", "`container` needs an `image`", &node.name.span, "no image");
        view.cx.fault(fault.help("name an image of the plan, or a reference: `container { image \"alpine:3\" }`"));
    }
    let image = view.child_text(node, "image").and_then(|(text, span)| named(view, names, &text, &span));
    let memory = view.child_parsed(node, "memory", "plan::bad-size", size);
    let cpus = view.child_parsed(node, "cpus", "plan::bad-value", cpus);
    let cap_drop = view.child_texts(node, "cap-drop").into_iter().map(|(name, _)| name.to_uppercase()).collect();
    Some(Container {
        image: match image? {
            Named::Target(name) => ContainerImage::Target(name),
            Named::Reference(reference) => ContainerImage::Reference(reference),
        },
        user: view.child_text(node, "user").map(|(text, _)| text),
        read_only: view.flag(node, "read-only", false),
        network: view.flag(node, "network", false),
        memory,
        cpus,
        cap_drop,
        mount: view.flag(node, "mount", true),
        span: node.name.span.clone(),
    })
}

fn cpus(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 4096.0 => Ok(number),
        _ => Err(format!("`{}` is not a number of CPUs; write it like `1` or `0.5`", shown(text))),
    }
}

/// What the name of an image stands for.
pub(super) enum Named {
    /// An image of the plan.
    Target(TargetName),
    /// An image elsewhere.
    Reference(Reference),
}

/// Finds an image: one of the plan comes first; else the text is a reference. A task's name, or a single word that nearly
/// is an image of the plan, is a fault.
pub(super) fn named(view: &View<'_, '_>, names: &Names, text: &str, span: &Span) -> Option<Named> {
    match names.sort(text) {
        Some(Sort::Image) => return text.parse().ok().map(Named::Target),
        Some(sort) => {
            let message = format!("`{text}` is a {}, not an image", sort.word());
            let fault = Diagnostic::plan("plan::not-an-image", message, span, "not an image");
            view.cx.fault(fault.help("name an `image` of the plan, or write a reference with its tag: `alpine:3`"));
            return None;
        }
        None => {}
    }
    if !text.contains(['/', ':', '@', '.'])
        && let Some(near) = names.near_image(text)
    {
        let fault = Diagnostic::plan("plan::unknown-target", format!("the plan has no image `{}`", shown(text)), span, "unknown image");
        view.cx.fault(fault.help(format!("did you mean `{near}`? an image elsewhere is written with its tag: `{text}:latest`")));
        return None;
    }
    if text.is_empty() {
        let fault = Diagnostic::plan("plan::bad-reference", "an empty text names no image", span, "empty");
        view.cx.fault(fault.help("name an image of the plan, or write a reference with its tag: `alpine:3`"));
        return None;
    }
    match text.parse() {
        Ok(reference) => Some(Named::Reference(reference)),
        Err(why) => {
            let fault = Diagnostic::plan("plan::bad-reference", why.to_string(), span, "not an image");
            view.cx.fault(fault.help("write it as `name:tag`, `host/path:tag` or `name@sha256:…`"));
            None
        }
    }
}
