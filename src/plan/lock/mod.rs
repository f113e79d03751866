//! `kiln.lock`: what every name that can move meant when it was pinned.
//! In: the text of a lock, or what registries said. Out: typed pins, and the one text that says them.
//! Never: a connection, a file, a pin that the text does not hold.
//!
//! One line per pin, sorted, each complete in itself: two branches that pin different things merge without a word, and a
//! review sees which digest moved for which platform.

mod change;
mod named;
mod pins;
mod read;
mod write;

pub use change::{Change, Kind, changes};
pub use named::{Named, named};
pub use pins::{ImageUse, images, missing_fault, pin, unpinned};
pub use read::{conflicts, read};

use std::collections::BTreeMap;

use crate::base::digest::BlobDigest;
use crate::base::platform::Platform;
use crate::oci::reference::{Reference, Tag};

/// The name of the lock of `build.kdl`; that of another plan `NAME.kdl` is `NAME.lock`.
pub const FILE: &str = "kiln.lock";

/// The version of the format.
pub const EDITION: i128 = 1;

/// All pins of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// Images by their normalised reference, which has a tag and no digest.
    pub images: BTreeMap<ImageName, ImagePin>,
    /// Digests of remote plans, by their source as the plan writes it.
    pub includes: BTreeMap<String, BlobDigest>,
    /// Versions of tools, by their name.
    pub tools: BTreeMap<String, String>,
}

/// A reference by tag, normalised: `alpine` is `docker.io/library/alpine:latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName(Reference);

/// What an image reference meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePin {
    /// What the tag named: an index, or the manifest of the only platform.
    pub digest: BlobDigest,
    /// The manifest of every platform that it offers.
    pub platforms: BTreeMap<Platform, BlobDigest>,
}

impl ImageName {
    /// The name that a pin would have; `None` for a reference with a digest, which cannot move.
    #[must_use]
    pub fn of(reference: &Reference) -> Option<Self> {
        if reference.digest.is_some() {
            return None;
        }
        // Source: distribution/reference, `TagNameOnly`.
        let latest = || "latest".parse::<Tag>().ok();
        Some(Self(Reference { tag: reference.tag.clone().or_else(latest), ..reference.clone() }))
    }

    /// The reference that is asked for.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.0
    }
}

impl std::fmt::Display for ImageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Lock {
    /// The lock of a plan that has none.
    pub const NONE: Self = Self { images: BTreeMap::new(), includes: BTreeMap::new(), tools: BTreeMap::new() };

    /// Whether it pins nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.includes.is_empty() && self.tools.is_empty()
    }

    /// The number of things that are pinned.
    #[must_use]
    pub fn len(&self) -> usize {
        self.images.len() + self.includes.len() + self.tools.len()
    }
}

impl ImagePin {
    /// The digest to ask for where an image for `platform` is wanted: that of its own manifest, or of the whole index, in
    /// which the nearest variant is then looked for.
    #[must_use]
    pub fn for_platform(&self, platform: &Platform) -> BlobDigest {
        self.platforms.get(platform).copied().unwrap_or(self.digest)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::diagnostic::Source;

    fn text_of(text: &str) -> Lock {
        let source = Arc::new(Source { name: FILE.into(), text: text.into() });
        read(&crate::syntax::parse(source).unwrap()).unwrap()
    }

    fn digest(byte: u8) -> BlobDigest {
        BlobDigest(crate::base::digest::Digest::from_bytes([byte; 32]))
    }

    fn lock() -> Lock {
        let name = |text: &str| ImageName::of(&text.parse().unwrap()).unwrap();
        let platforms = [("linux/arm64", 2), ("linux/amd64", 1)].map(|(platform, byte)| (platform.parse().unwrap(), digest(byte)));
        Lock {
            images: [("b:2", 7), ("a", 8)]
                .map(|(text, byte)| (name(text), ImagePin { digest: digest(byte), platforms: platforms.clone().into() }))
                .into(),
            includes: [("https://example.org/\"x\".kdl?a=\\".to_owned(), digest(9)), ("oci:ghcr.io/acme/plans:1".to_owned(), digest(4))]
                .into(),
            tools: [("go".to_owned(), "1.24 \u{202e}".to_owned())].into(),
        }
    }

    #[test]
    fn a_lock_that_is_written_is_read_as_it_was() {
        let text = lock().to_string();
        assert_eq!(text_of(&text), lock());
        assert_eq!(text_of(&text).to_string(), text);
        assert!(text.lines().skip(2).collect::<Vec<_>>().is_sorted_by_key(|line| line.split(' ').next()), "{text}");
        assert_eq!(text.lines().count(), 2 + 6 + 2 + 1);
        assert_eq!(Lock::NONE, text_of(&Lock::NONE.to_string()));
    }

    #[test]
    fn the_order_of_lines_and_the_form_of_names_mean_nothing() {
        let text = lock().to_string();
        let mut lines: Vec<&str> = text.lines().skip(2).collect();
        lines.reverse();
        let turned = format!("lock 1\n{}\n", lines.join("\n")).replace("docker.io/library/a:latest", "a");
        assert_eq!(text_of(&turned), lock());
    }

    #[test]
    fn a_change_names_what_moved_and_nothing_else() {
        let (old, mut new) = (lock(), lock());
        assert_eq!(changes(&old, &new), []);
        let name = ImageName::of(&"b:2".parse().unwrap()).unwrap();
        new.images.get_mut(&name).unwrap().platforms.insert("linux/amd64".parse().unwrap(), digest(5));
        new.tools.clear();
        let moved = changes(&old, &new);
        assert_eq!(
            moved.iter().map(|change| (change.kind, change.name.as_str())).collect::<Vec<_>>(),
            [(Kind::Image, "docker.io/library/b:2"), (Kind::Tool, "go")]
        );
        assert_eq!((moved[0].platform.as_deref(), moved[0].new.clone()), (Some("linux/amd64"), Some(digest(5).to_string())));
        assert_eq!(moved[1].new, None);
    }

    #[test]
    fn a_platform_that_the_index_does_not_list_is_looked_for_in_the_index() {
        let pin = lock().images.into_values().next().unwrap();
        assert_eq!(pin.for_platform(&"linux/amd64".parse().unwrap()), digest(1));
        assert_eq!(pin.for_platform(&"linux/arm/v7".parse().unwrap()), pin.digest);
    }

    #[test]
    fn a_typed_name_is_a_reference_a_repository_or_its_last_part() {
        let name = |text: &str| ImageName::of(&text.parse().unwrap()).unwrap();
        let all = Named {
            images: ["alpine:3.20", "alpine:3.21", "ghcr.io/acme/base", "acme/base:2"].map(name).into(),
            includes: [("oci:ghcr.io/acme/plans:1".to_owned(), "ci".to_owned())].into(),
            tools: ["go".to_owned()].into(),
        };
        for (typed, expected) in [
            ("alpine:3.20", vec!["docker.io/library/alpine:3.20"]),
            ("alpine", vec!["docker.io/library/alpine:3.20", "docker.io/library/alpine:3.21"]),
            ("ghcr.io/acme/base", vec!["ghcr.io/acme/base:latest"]),
            ("base", vec!["docker.io/acme/base:2", "ghcr.io/acme/base:latest"]),
            ("acme/base", vec!["docker.io/acme/base:2", "ghcr.io/acme/base:latest"]),
        ] {
            let found = named(&all, typed).unwrap();
            assert_eq!(found.images.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{typed}");
        }
        assert_eq!(named(&all, "ci").unwrap().includes.len(), 1);
        assert_eq!(named(&all, "go").unwrap().tools.len(), 1);
        for (typed, help) in [("alpin", "alpine"), ("alpine:3.2", "alpine:3.20"), ("ase", "can pin"), ("Go", "go")] {
            assert!(named(&all, typed).unwrap_err().help.unwrap().contains(help), "{typed}");
        }
    }
}
