//! `save` nodes: the files and folders that an image is written into.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::words;
use crate::oci::reference::Reference;
use crate::plan::image::{Save, SaveForm};
use crate::plan::target::Output;
use crate::syntax::document::Node;

use super::shape::not_a_word;
use super::view::{View, children, from_str, shown};

/// All `save` nodes of an image for so many platforms; `repository` is the last part of its name.
pub(super) fn saves(view: &View<'_, '_>, image: &Node, platforms: usize, repository: &str) -> Vec<Save> {
    children(view.cx, image, "save").filter_map(|node| save(view, node, platforms, repository)).collect()
}

fn save(view: &View<'_, '_>, node: &Node, platforms: usize, repository: &str) -> Option<Save> {
    let (path, span) = view.text(node.args.first()?)?;
    let fault = |message: String, at: &Span, label: &str, help: &str| {
        view.cx.fault(Diagnostic::plan("plan::bad-value", message, at, label).help(help));
    };
    let asked = view.prop(node, "format").map(|value| view.text(value));
    let form = match asked {
        Some(None) => return None,
        Some(Some((text, at))) => {
            let known = [SaveForm::Layout, SaveForm::Oci, SaveForm::Docker].into_iter().find(|form| form.word() == text);
            if known.is_none() {
                view.cx.fault(not_a_word(&text, SaveForm::WORDS, "format", &at));
            }
            let form = known?;
            if form == SaveForm::Docker && platforms > 1 {
                let message = format!("`docker load` takes one platform, and this image has {platforms}");
                fault(message, &at, "of one platform", "write `format=\"oci\"`, which holds all of them");
            }
            form
        }
        None if path.ends_with('/') => SaveForm::Layout,
        None if platforms > 1 => SaveForm::Oci,
        None => SaveForm::Docker,
    };
    let pattern = view.pattern(&path, &span)?;
    let Some(literal) = pattern.literal() else {
        fault(format!("`{}` names no single file", shown(&path)), &span, "has wildcards", "write one path: `\"dist/web.tar\"`");
        return None;
    };
    if literal.is_root() {
        fault("an image cannot be written over the project".to_owned(), &span, "the project", "name a folder: `\"dist/web/\"`");
        return None;
    }
    // A layout is a folder however its path was written.
    let text = format!("{}/", path.trim_end_matches('/'));
    let pattern = if form == SaveForm::Layout { view.pattern(&text, &span)? } else { pattern };
    if form != SaveForm::Layout && pattern.is_folder() {
        let help = format!("write `\"{}.tar\"`, or `format=\"layout\"`", shown(path.trim_end_matches('/')));
        fault(format!("an archive is a file, and `{}` ends with `/`", shown(&path)), &span, "a folder", &help);
    }
    let name = match view.prop(node, "name").map(|value| view.text(value)) {
        None => format!("{repository}:latest").parse::<Reference>().ok()?,
        Some(text) => view.parsed(text?, "plan::bad-reference", name)?,
    };
    Some(Save { output: Output { pattern, span }, form, name })
}

/// A name with an optional tag; a digest would say what it is before it is made.
fn name(text: &str) -> Result<Reference, String> {
    let name: Reference = from_str(text)?;
    if name.digest.is_some() {
        return Err(format!("`{}` has a digest; an image is saved under a name and a tag", words::visible(text)));
    }
    Ok(name)
}
