//! `kiln TARGET --help`: what a target is, and what may be typed behind it.
//! In: a [`UsageView`]. Out: text for people or one JSON value for programs. Never: a value that was typed.

use serde::Serialize;

use crate::base::words::visible;

use super::list::{ListedArg, ListedKind};
use super::paint::Ink;
use super::style::Style;
use super::table::Table;

/// One target.
#[derive(Debug, Clone, Serialize)]
pub struct UsageView {
    /// The name.
    pub name: String,
    /// What it is.
    pub kind: ListedKind,
    /// One line about it.
    pub doc: Option<String>,
    /// What may be typed behind it.
    pub args: Vec<ListedArg>,
    /// Whether it takes words behind `--`.
    pub rest: bool,
    /// One line about those.
    pub rest_doc: Option<String>,
}

/// What may be typed.
#[must_use]
pub fn screen(view: &UsageView, style: Style) -> String {
    let name = visible(&view.name);
    let mut lines = Vec::new();
    if let Some(doc) = &view.doc {
        lines.extend([visible(doc), String::new()]);
    }
    let mut usage = format!("kiln {name}");
    for arg in &view.args {
        let form = visible(&arg.form);
        usage += &if arg.default.is_some() { format!(" [{form}]") } else { format!(" {form}") };
    }
    usage += if view.rest { " [-- WORD…]" } else { "" };
    lines.push(format!("{} {usage}", style.paint(Ink::Bold, "usage:")));
    let mut table = Table::new(&[1, 0], &[]);
    for arg in &view.args {
        let short = arg.short.map_or_else(String::new, |letter| format!("-{letter}, "));
        table.row([style.paint(Ink::Name, &format!("{short}{}", visible(&arg.form))), about(arg, style)]);
    }
    if view.rest {
        let doc = view.rest_doc.as_deref().map_or_else(|| "handed to its commands".to_owned(), visible);
        table.row([style.paint(Ink::Name, "-- WORD…"), doc]);
    }
    let rows = table.lines(style, "  ");
    if rows.is_empty() {
        lines.extend([String::new(), style.paint(Ink::Dim, "It takes no arguments.")]);
    } else {
        lines.push(String::new());
        lines.extend(rows);
    }
    lines.extend([String::new(), style.paint(Ink::Dim, "`kiln run --help` lists the options of every target")]);
    lines.join("\n") + "\n"
}

/// The same as one JSON value on one line.
#[must_use]
pub fn json(view: &UsageView) -> String {
    super::json::document(view)
}

fn about(arg: &ListedArg, style: Style) -> String {
    let doc = arg.doc.as_deref().map_or_else(String::new, |doc| format!("{}  ", visible(doc)));
    let note = match &arg.default {
        None => "(must be given)".to_owned(),
        Some(_) if arg.flag => String::new(),
        Some(default) => format!("[default: {}]", visible(default)),
    };
    format!("{doc}{}", style.paint(Ink::Dim, &note)).trim_end().to_owned()
}
