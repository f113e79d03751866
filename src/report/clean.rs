//! `kiln clean`: what went, and what was kept and why.
//! In: a [`CleanView`]. Out: text for people or one JSON value for programs. Never: removes anything.

use serde::Serialize;

use crate::base::size::ByteSize;
use crate::base::words::{count, visible};

use super::paint::{Ink, Mark};
use super::style::Style;

/// Paths that are listed one by one.
const LISTED: usize = 30;

/// What a cleaning did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CleanView {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// Files and links that went.
    pub removed: Vec<String>,
    /// Folders that went.
    pub folders: Vec<String>,
    /// Bytes that went.
    pub bytes: u64,
    /// What was changed since it was made, and stays.
    pub kept: Vec<String>,
    /// Steps whose results are no longer in the store.
    pub unknown: Vec<String>,
}

/// The lines.
#[must_use]
pub fn screen(view: &CleanView, style: Style) -> String {
    let mut lines = Vec::new();
    if view.dry_run {
        lines.extend(view.removed.iter().take(LISTED).map(|path| format!("{} {}", style.mark(Mark::Skipped), visible(path))));
        if view.removed.len() > LISTED {
            lines.push(format!("  and {} more", view.removed.len() - LISTED));
        }
    }
    for path in view.kept.iter().take(LISTED) {
        let why = style.paint(Ink::Warn, "was changed since it was made, and stays");
        lines.push(format!("{} {}  {why}", style.mark(Mark::Warning), visible(path)));
    }
    if view.kept.len() > LISTED {
        lines.push(format!("  and {} more", view.kept.len() - LISTED));
    }
    if !view.kept.is_empty() {
        lines.push(format!("  {} `--force` removes what was changed, too", style.paint(Ink::Name, "help:")));
    }
    for step in &view.unknown {
        lines.push(format!(
            "{} {}  {}",
            style.mark(Mark::Warning),
            visible(step),
            style.paint(Ink::Warn, "its result is no longer in the store, so what it made is not known, and stays")
        ));
    }
    let verb = if view.dry_run {
        "would be removed"
    } else if view.removed.len() == 1 {
        "was removed"
    } else {
        "were removed"
    };
    let what = count(view.removed.len(), "output");
    let folders =
        if view.folders.is_empty() { String::new() } else { format!(", with {} left empty", count(view.folders.len(), "folder")) };
    lines.push(format!("{} {what} {verb} ({}){folders}", style.mark(Mark::Done), ByteSize(view.bytes)));
    lines.join("\n") + "\n"
}
