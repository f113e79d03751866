//! `kiln promote`: what an image is called now.
//! In: a [`PromoteView`]. Out: text for people or one JSON value for programs. Never: asks a registry.

use serde::Serialize;

use crate::base::size::ByteSize;
use crate::base::words::{count, visible};

use super::paint::{Ink, Mark};
use super::style::Style;
use super::tags::short;

/// What a promotion did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PromoteView {
    /// What was promoted.
    pub image: String,
    /// What it is.
    pub digest: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// The new names.
    pub names: Vec<Promoted>,
}

/// A new name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Promoted {
    /// Repository and tag.
    pub name: String,
    /// What it named before; none when it is new.
    pub old: Option<String>,
    /// Blobs and documents that were sent.
    pub sent: usize,
    /// Blobs that came from another repository of the registry.
    pub mounted: usize,
    /// Bytes that were sent.
    pub bytes: u64,
    /// Signatures, attestations and the like that went with it.
    pub evidence: usize,
}

/// The lines.
#[must_use]
pub fn screen(view: &PromoteView, style: Style) -> String {
    let mut lines = vec![format!("{} is {}", visible(&view.image), style.paint(Ink::Name, &view.digest))];
    for name in &view.names {
        let (mark, verb) = match (&name.old, view.dry_run) {
            (Some(old), _) if *old == view.digest => (Mark::Cached, "names it already".to_owned()),
            (Some(old), true) => (Mark::Open, format!("would move from {}", short(old))),
            (Some(old), false) => (Mark::Done, format!("moved from {}", short(old))),
            (None, true) => (Mark::Open, "would be new".to_owned()),
            (None, false) => (Mark::Done, "is new".to_owned()),
        };
        let mut parts = vec![verb];
        if name.sent > 0 {
            parts.push(format!("{} sent ({})", name.sent, ByteSize(name.bytes)));
        }
        if name.mounted > 0 {
            parts.push(format!("{} taken over", count(name.mounted, "blob")));
        }
        if name.evidence > 0 {
            parts.push(format!("with {} about it", count(name.evidence, "document")));
        }
        lines.push(format!("{} {}  {}", style.mark(mark), style.paint(Ink::Bold, &visible(&name.name)), parts.join(", ")));
    }
    lines.join("\n") + "\n"
}
