//! What is different between two locks, line by line.

use std::collections::BTreeMap;

use super::Lock;

/// What a pin is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A base image, or that of a container.
    Image,
    /// A remote plan.
    Include,
    /// A program.
    Tool,
}

impl Kind {
    /// The word of the lock.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Include => "include",
            Self::Tool => "tool",
        }
    }
}

/// One pin that is not in both, or not the same in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it is of.
    pub kind: Kind,
    /// The name as the lock writes it.
    pub name: String,
    /// For one platform of an image.
    pub platform: Option<String>,
    /// `None` when it was not pinned.
    pub old: Option<String>,
    /// `None` when it is pinned no more.
    pub new: Option<String>,
}

/// The pins that differ, in the order of the file.
#[must_use]
pub fn changes(old: &Lock, new: &Lock) -> Vec<Change> {
    let (old, new) = (lines(old), lines(new));
    let mut names: Vec<_> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let differs = |key: &&&(Kind, String, Option<String>)| old.get(**key) != new.get(**key);
    let change = |key: &(Kind, String, Option<String>)| {
        let (kind, name, platform) = key.clone();
        Change { kind, name, platform, old: old.get(key).cloned(), new: new.get(key).cloned() }
    };
    names.iter().filter(differs).map(|key| change(key)).collect()
}

fn lines(lock: &Lock) -> BTreeMap<(Kind, String, Option<String>), String> {
    let mut lines = BTreeMap::new();
    for (name, pin) in &lock.images {
        lines.insert((Kind::Image, name.to_string(), None), pin.digest.to_string());
        for (platform, digest) in &pin.platforms {
            lines.insert((Kind::Image, name.to_string(), Some(platform.to_string())), digest.to_string());
        }
    }
    lines.extend(lock.includes.iter().map(|(source, digest)| ((Kind::Include, source.clone(), None), digest.to_string())));
    lines.extend(lock.tools.iter().map(|(name, version)| ((Kind::Tool, name.clone(), None), version.clone())));
    lines
}
