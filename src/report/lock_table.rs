//! `kiln lock`: which pins moved, from what to what.
//! In: a [`LockView`]. Out: text for people or one JSON value for programs. Never: a digest cut short for a program.

use serde::Serialize;

use crate::base::words::{count, visible};

use super::paint::Ink;
use super::style::Style;
use super::table::Table;

/// What a look at the lock found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockView {
    /// The file's name.
    pub file: String,
    /// Whether the file says what is true now.
    pub current: bool,
    /// Whether it was written.
    pub written: bool,
    /// How many things it pins.
    pub pins: usize,
    /// In the order of the file.
    pub changes: Vec<Moved>,
}

/// One pin that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// `image`, `include` or `tool`.
    pub kind: &'static str,
    /// The name, as the lock writes it.
    pub name: String,
    /// For one platform of an image.
    pub platform: Option<String>,
    /// `null` when it was not pinned.
    pub old: Option<String>,
    /// `null` when it is needed no more.
    pub new: Option<String>,
}

/// One line of JSON.
#[must_use]
pub fn json(view: &LockView) -> String {
    serde_json::to_string(view).map(|line| line + "\n").unwrap_or_default()
}

/// A table of what moved, and a sentence.
#[must_use]
pub fn screen(view: &LockView, style: Style) -> String {
    let mut table = Table::new(&[1], &[]);
    let mut last = None;
    for moved in &view.changes {
        let (kind, name) = if last == Some((moved.kind, &moved.name)) { ("", String::new()) } else { (moved.kind, visible(&moved.name)) };
        last = Some((moved.kind, &moved.name));
        let old = moved.old.as_deref().map_or_else(|| "new".to_owned(), short);
        let new = moved.new.as_deref().map_or_else(|| style.paint(Ink::Dim, "not needed any more"), short);
        let arrow = style.paint(Ink::Dim, if style.unicode { "→" } else { "->" });
        table.row([kind.to_owned(), name, moved.platform.clone().unwrap_or_default(), style.paint(Ink::Dim, &old), arrow, new]);
    }
    let mut lines = table.lines(style, "");
    lines.push(sentence(view));
    lines.join("\n") + "\n"
}

fn sentence(view: &LockView) -> String {
    let (file, pins) = (visible(&view.file), count(view.pins, "pin"));
    let names: std::collections::BTreeSet<_> = view.changes.iter().map(|moved| (moved.kind, &moved.name)).collect();
    let moved = names.len();
    match (view.written, view.current) {
        (true, _) if moved == 0 => format!("{file}: {pins}, written anew"),
        (true, _) => format!("{file}: {pins}, {moved} changed"),
        (false, true) if view.pins == 0 => "nothing that the plan names can move".to_owned(),
        (false, true) => format!("{file} is current: {pins}"),
        (false, false) if moved == 0 => format!("{file} is not as `kiln lock` writes it"),
        (false, false) => format!("{file} is not current: {moved} of {pins} changed"),
    }
}

/// Twelve digits tell two digests apart; a version is shown whole.
fn short(value: &str) -> String {
    match value.strip_prefix("sha256:") {
        Some(hex) => hex.chars().take(12).collect(),
        None => visible(value),
    }
}
