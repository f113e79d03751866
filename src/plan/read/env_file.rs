//! `env-file` nodes: variables from files, wherever `env` may stand.

use std::rc::Rc;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::path::RelPath;
use crate::base::size::ByteSize;
use crate::base::words;
use crate::plan::cx::Cx;
use crate::plan::value::dotenv;
use crate::syntax::document::Node;

use super::view::View;

/// The most bytes that an env-file may have.
const LIMIT: u64 = 256 << 10;

/// The variables of all these nodes; a later one wins. A file is read when a target that takes part uses it.
pub(super) fn variables<'n>(view: &View<'_, '_>, nodes: impl Iterator<Item = &'n Node>) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for node in nodes.filter(|node| view.cx.is_good(node)) {
        let Some((text, span)) = view.text(&node.args[0]) else { continue };
        let Some(path) = view.path(&text, &span) else { continue };
        if view.cx.taint_of(&span).is_some() {
            continue;
        }
        // No name of a value has a space: what is asked for is the file.
        let asked = format!("env-file {path}");
        if !view.cx.facts.may_ask_for(&asked) {
            view.cx.meet(&asked);
            continue;
        }
        for (name, value) in read(view.cx, &path, &span, view.flag_prop(node, "optional")).iter() {
            all.retain(|(known, _)| known != name);
            all.push((name.clone(), value.clone()));
        }
    }
    all
}

fn read(cx: &Cx<'_>, path: &RelPath, span: &Span, optional: bool) -> Rc<Vec<(String, String)>> {
    if let Some(known) = cx.shared.env_files.borrow().get(path) {
        return Rc::clone(known);
    }
    let found = Rc::new(fresh(cx, path, span, optional));
    cx.shared.env_files.borrow_mut().insert(path.clone(), Rc::clone(&found));
    found
}

fn fresh(cx: &Cx<'_>, path: &RelPath, span: &Span, optional: bool) -> Vec<(String, String)> {
    let fault = |message: String, help: String| cx.fault(Diagnostic::plan("plan::env-file", message, span, "read here").help(help));
    let content = match cx.facts.file(path, LIMIT) {
        Ok(Some(content)) => content,
        Ok(None) if optional => return Vec::new(),
        Ok(None) => {
            let help = match example(cx, path) {
                Some(example) => format!("`{example}` is an example of it: copy it to `{path}` and fill it in"),
                None => "write the file, mend the path, or say `optional=#true`".to_owned(),
            };
            fault(format!("the env-file `{path}` does not exist"), help);
            return Vec::new();
        }
        Err(error) => {
            let help = format!("an env-file is a text file of the project with at most {}", ByteSize(LIMIT));
            fault(format!("the env-file `{path}` cannot be read: {}", words::visible(&error.to_string())), help);
            return Vec::new();
        }
    };
    let Ok(text) = String::from_utf8(content) else {
        fault(format!("the env-file `{path}` is not UTF-8 text"), "write it anew as UTF-8".to_owned());
        return Vec::new();
    };
    dotenv::parse(&text).unwrap_or_else(|bad| {
        let lines: Vec<String> = bad.iter().take(5).map(|(line, why)| format!("line {line} {why}")).collect();
        let more = if bad.len() > 5 { format!("; and {} more", bad.len() - 5) } else { String::new() };
        fault(
            format!("the env-file `{path}` cannot be read: {}{more}", lines.join("; ")),
            "each line is `NAME=value`; quotes may span lines".to_owned(),
        );
        Vec::new()
    })
}

/// A committed example of a file that is not: `.env.dev.example` or `.env.example` beside it.
fn example(cx: &Cx<'_>, path: &RelPath) -> Option<RelPath> {
    let folder = path.parent()?;
    let name = std::str::from_utf8(path.name()?).ok()?;
    let names = [format!("{name}.example"), format!("{name}.sample"), format!("{name}.template"), ".env.example".to_owned()];
    names.iter().filter_map(|name| folder.join(name).ok()).find(|path| matches!(cx.facts.file(path, LIMIT), Ok(Some(_))))
}
