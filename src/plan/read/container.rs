//! `container` nodes, and the image that `container` and `from` name.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::TargetName;
use crate::oci::reference::Reference;
use crate::plan::isolation::Network;
use crate::plan::names::{Names, Sort};
use crate::plan::target::{Container, ContainerImage};
use crate::syntax::document::{Node, Scalar, Value};

use super::isolation::isolation;
use super::view::{View, children, shown, was_written};

/// A container; `None` when its image is not known, which is reported.
pub(super) fn container(view: &View<'_, '_>, node: &Node, names: &Names) -> Option<Container> {
    if !was_written(node, "image") {
        let fault = Diagnostic::plan("plan::arguments", "`container` needs an `image`", &node.name.span, "no image");
        view.cx.fault(fault.help("name an image of the plan, or a reference: `container { image \"alpine:3\" }`"));
    }
    let image = image(view, node, names);
    Some(Container {
        image: image?.0,
        isolation: isolation(view, node, names, Network::None),
        mount: !children(view.cx, node, "mount").any(|child| matches!(child.args.first(), Some(Value { scalar: Scalar::Bool(false), .. }))),
        span: node.name.span.clone(),
    })
}

/// The image that a block names, with its place.
pub(super) fn image(view: &View<'_, '_>, node: &Node, names: &Names) -> Option<(ContainerImage, Span)> {
    let (text, span) = view.child_text(node, "image")?;
    let image = match named(view, names, &text, &span)? {
        Named::Target(name) => ContainerImage::Target(name),
        Named::Reference(reference) => ContainerImage::Reference(reference),
    };
    Some((image, span))
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
    match names.sort(view.cx, text) {
        Some((name, Sort::Image)) => return Some(Named::Target(name)),
        Some((_, sort)) => {
            let message = format!("`{text}` is a {}, not an image", sort.word());
            let fault = Diagnostic::plan("plan::not-an-image", message, span, "not an image");
            view.cx.fault(fault.help("name an `image` of the plan, or write a reference with its tag: `alpine:3`"));
            return None;
        }
        None => {}
    }
    if !text.contains(['/', ':', '@', '.'])
        && let Some(near) = names.near_image(view.cx, text)
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
            let without = text.split_once("://").map_or(text, |(_, rest)| rest);
            let lower = without.to_lowercase();
            let mended = [without, &lower].into_iter().find(|mended| *mended != text && mended.parse::<Reference>().is_ok());
            view.cx.fault(match mended {
                Some(mended) => fault.help(format!("write `{}`", shown(mended))),
                None => fault.help("write it as `name:tag`, `host/path:tag` or `name@sha256:…`"),
            });
            None
        }
    }
}
