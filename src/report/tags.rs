//! `kiln tags`: the images of repositories and what they are called.
//! In: a [`TagsView`]. Out: text for people or one JSON value for programs. Never: asks a registry.

use serde::Serialize;

use crate::base::size::ByteSize;
use crate::base::time::Moment;
use crate::base::words::{count, list, visible};

use super::paint::{Ink, Mark};
use super::style::Style;
use super::table::Table;

/// What stands in some repositories.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TagsView {
    /// One by one.
    pub repositories: Vec<RepositoryView>,
}

/// What stands in one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RepositoryView {
    /// Its name with the registry's.
    pub repository: String,
    /// Images that have a tag, the youngest first.
    pub images: Vec<Standing>,
    /// Tags of signatures and attestations that are not listed.
    pub hidden: usize,
    /// Tags whose documents cannot be read.
    pub unread: Vec<String>,
}

/// An image and its tags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The longest first.
    pub tags: Vec<String>,
    /// Of the index, or of the only manifest.
    pub digest: String,
    /// RFC 3339; none where nothing says it.
    pub made: Option<String>,
    /// For instance `linux/amd64`.
    pub platforms: Vec<String>,
    /// Of all platforms together.
    pub bytes: u64,
}

/// The lines.
#[must_use]
pub fn screen(view: &TagsView, now: Moment, style: Style) -> String {
    let mut lines = Vec::new();
    for repository in &view.repositories {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(style.paint(Ink::Name, &visible(&repository.repository)));
        if repository.images.is_empty() {
            lines.push("  no tag".to_owned());
        }
        let mut table = Table::new(&[0, 3], &[4]);
        for image in &repository.images {
            let tags: Vec<String> = image.tags.iter().map(|tag| visible(tag)).collect();
            table.row([
                style.paint(Ink::Bold, &tags.join(" ")),
                short(&image.digest),
                made(image.made.as_deref(), now),
                image.platforms.join(" "),
                if image.bytes > 0 { ByteSize(image.bytes).to_string() } else { String::new() },
            ]);
        }
        lines.extend(table.lines(style, "  "));
        if repository.hidden > 0 {
            let what = count(repository.hidden, "tag");
            lines.push(style.paint(Ink::Dim, &format!("  and {what} of signatures and attestations (--all)")));
        }
        if !repository.unread.is_empty() {
            let tags: Vec<String> = repository.unread.iter().map(|tag| format!("`{}`", visible(tag))).collect();
            lines.push(format!("{} what {} names cannot be read", style.mark(Mark::Warning), list(&tags, "and")));
        }
    }
    if view.repositories.is_empty() {
        lines.push("no image of the plan is pushed to a registry".to_owned());
    }
    lines.join("\n") + "\n"
}

/// `sha256:1a2b3c4d5e6f`.
pub(super) fn short(digest: &str) -> String {
    digest.chars().take(19).collect()
}

/// How long ago something was made, in days or less: `-` where nothing says it.
pub(super) fn made(made: Option<&str>, now: Moment) -> String {
    let Some(made) = made.and_then(Moment::parse) else { return "-".to_owned() };
    let minutes = now.0.saturating_sub(made.0) / 60_000;
    match minutes {
        ..=0 => "now".to_owned(),
        1..60 => format!("{minutes} m ago"),
        60..2_880 => format!("{} h ago", minutes / 60),
        _ => format!("{} d ago", minutes / 1_440),
    }
}
