//! `kiln prune`: what goes from repositories, and what stays and why.
//! In: a [`PruneView`]. Out: text for people or one JSON value for programs. Never: removes anything.

use serde::Serialize;

use crate::base::size::ByteSize;
use crate::base::time::{Moment, Span};
use crate::base::words::{count, list, visible};

use super::paint::{Ink, Mark};
use super::style::Style;
use super::table::Table;
use super::tags::{made, short};

/// What a clearing did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PruneView {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// One by one.
    pub repositories: Vec<RepositoryView>,
}

/// One repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RepositoryView {
    /// Its name with the registry's.
    pub repository: String,
    /// The newest so many stay.
    pub keep: Option<usize>,
    /// Those of so many last seconds stay.
    pub within_s: Option<u64>,
    /// Whether what has no tag goes.
    pub untagged: bool,
    /// In the order of removal.
    pub goes: Vec<Gone>,
    /// By digest.
    pub stays: Vec<Kept>,
    /// Tags whose documents cannot be read; they stay.
    pub unread: Vec<String>,
    /// Whether what has no tag was asked for, and the registry has no list of it.
    pub unlisted: bool,
    /// The bytes that are free now, where the place is a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freed: Option<u64>,
}

/// A document that goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Gone {
    /// Its digest.
    pub digest: String,
    /// All its tags.
    pub tags: Vec<String>,
    /// RFC 3339; none where nothing says it.
    pub made: Option<String>,
    /// `old`, `with` another one, or `untagged`.
    pub why: &'static str,
    /// The one that it goes with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// Whether it is gone.
    pub removed: bool,
}

/// A document that stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its digest.
    pub digest: String,
    /// All its tags.
    pub tags: Vec<String>,
    /// RFC 3339; none where nothing says it.
    pub made: Option<String>,
    /// In words.
    pub why: String,
    /// The one that it stays with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
}

/// The lines.
#[must_use]
pub fn screen(view: &PruneView, now: Moment, verbose: bool, style: Style) -> String {
    let mut lines = Vec::new();
    for repository in &view.repositories {
        one(repository, view.dry_run, now, verbose, style, &mut lines);
    }
    let documents: usize = view.repositories.iter().map(|one| one.goes.len()).sum();
    if view.dry_run && documents > 0 {
        lines.push(format!("nothing was removed; {} removes what would go", style.paint(Ink::Name, "--yes")));
    }
    lines.join("\n") + "\n"
}

fn one(view: &RepositoryView, dry_run: bool, now: Moment, verbose: bool, style: Style, lines: &mut Vec<String>) {
    lines.push(format!("{}  {}", style.paint(Ink::Name, &visible(&view.repository)), style.paint(Ink::Dim, &rule(view))));
    // What would go counts as gone in a dry run.
    let is_gone = |gone: &&Gone| dry_run || gone.removed;
    let mut table = Table::new(&[1], &[]);
    for gone in view.goes.iter().filter(|gone| gone.with.is_none()) {
        let (mark, more) =
            if is_gone(&gone) { (Mark::Skipped, "") } else { (Mark::Warning, "stays: it changed meanwhile, or a fault came first") };
        table.row([style.mark(mark), names(&gone.tags), short(&gone.digest), made(gone.made.as_deref(), now), more.to_owned()]);
    }
    if verbose {
        for kept in view.stays.iter().filter(|kept| kept.with.is_none()) {
            let why = style.paint(Ink::Dim, &visible(&kept.why));
            table.row([style.mark(Mark::Done), names(&kept.tags), short(&kept.digest), made(kept.made.as_deref(), now), why]);
        }
    }
    lines.extend(table.lines(style, "  "));
    let (parts, images): (Vec<&Gone>, Vec<&Gone>) = view.goes.iter().filter(is_gone).partition(|gone| gone.with.is_some());
    let with = if parts.is_empty() { String::new() } else { format!(", with {} that belong to them", count(parts.len(), "document")) };
    let verb = if dry_run { "would go" } else { "went" };
    let stay = view.stays.iter().filter(|kept| kept.with.is_none()).count();
    let freed = view.freed.map_or_else(String::new, |bytes| format!("; {} are free now", ByteSize(bytes)));
    lines.push(format!("  {}{with} {verb}; {stay} {}{freed}", count(images.len(), "image"), if stay == 1 { "stays" } else { "stay" }));
    if view.unlisted {
        lines.push(style.paint(
            Ink::Dim,
            "  this registry has no list of what has no tag: only that is known to which a tag, an index or a signature leads",
        ));
    }
    if !view.unread.is_empty() {
        let tags: Vec<String> = view.unread.iter().map(|tag| format!("`{}`", visible(tag))).collect();
        lines.push(format!("{} what {} names cannot be read, and stays", style.mark(Mark::Warning), list(&tags, "and")));
    }
}

fn rule(view: &RepositoryView) -> String {
    let mut parts = Vec::new();
    parts.extend(view.keep.map(|keep| format!("the newest {keep} stay")));
    parts.extend(view.within_s.map(|seconds| format!("what was made within {} stays", days(seconds))));
    if view.untagged {
        parts.push("what has no tag goes".to_owned());
    }
    parts.join(", ")
}

fn days(seconds: u64) -> String {
    const DAY: u64 = 86_400;
    if seconds >= DAY && seconds.is_multiple_of(DAY) {
        count((seconds / DAY) as usize, "day")
    } else {
        Span(std::time::Duration::from_secs(seconds)).to_string()
    }
}

fn names(tags: &[String]) -> String {
    if tags.is_empty() { "no tag".to_owned() } else { visible(&tags.join(" ")) }
}
