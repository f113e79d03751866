//! Rules that give tags, and what they give where others stand already.
//! In: a version, a branch, a commit; the tags of a repository. Out: tags, the same for the same.
//! Never: asks git or a registry; lets a shorter form of a version go back.

use std::collections::BTreeSet;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::oci::reference::Tag;

/// A rule that gives tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TagRule {
    /// The text itself.
    Literal(Tag),
    /// A version and the shorter forms that it leads: `1.4.2`, `1.4`, `1`, `latest`.
    Semver(Cascade),
    /// The slugged name of the branch; `None` where a release is on no branch.
    Branch(Option<Tag>),
    /// `sha-` and the commit's first 12 digits.
    Sha(Tag),
    /// `pr-` and the number of the pull request; `None` outside of one.
    Request(Option<Tag>),
    /// The day of the commit: `2026-11-22`.
    Date(Tag),
}

/// A version, and how it leads shorter forms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cascade {
    /// The version.
    pub version: Version,
    /// What stands before each form but `latest`: `v` gives `v1.4.2`.
    pub prefix: String,
    /// Which versions may lead `latest`.
    pub latest: Latest,
    /// Whether it gives no tag now: releases alone are wanted, and the commit is none.
    pub idle: bool,
    /// Releases above it that the repository's tags name: they may not have arrived in a registry yet, or never will.
    pub higher: Vec<Version>,
}

/// Which versions may lead `latest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Latest {
    /// The highest of all.
    Highest,
    /// The highest of this major.
    Major(u64),
    /// None: it is not touched.
    Never,
}

impl TagRule {
    /// The tags that it gives where these stand already.
    pub fn tags<S: AsRef<str>>(&self, standing: &[S]) -> Vec<Tag> {
        match self {
            Self::Literal(tag) | Self::Sha(tag) | Self::Date(tag) => vec![tag.clone()],
            Self::Branch(tag) | Self::Request(tag) => tag.iter().cloned().collect(),
            Self::Semver(cascade) => cascade.tags(standing),
        }
    }

    /// The forms that a release which stands here leads before this one does, each with the tag of the highest of those.
    pub fn led<S: AsRef<str>>(&self, standing: &[S]) -> Vec<(Tag, Tag)> {
        if let Self::Semver(cascade) = self { cascade.led(standing) } else { Vec::new() }
    }

    /// All tags that it can give, whatever stands anywhere.
    #[must_use]
    pub fn all(&self) -> Vec<Tag> {
        match self {
            Self::Semver(cascade) => cascade.all(),
            _ => self.tags::<&str>(&[]),
        }
    }
}

impl Cascade {
    /// The version's own tag.
    #[must_use]
    pub fn full(&self) -> String {
        // A tag cannot hold `+`.
        format!("{}{}", self.prefix, self.version.to_string().replace('+', "_"))
    }

    /// Each form with the releases that lead it before this one does.
    fn forms(&self) -> Vec<(String, Led)> {
        let (prefix, version) = (&self.prefix, &self.version);
        if self.idle {
            return Vec::new();
        }
        let full: (String, Led) = (self.full(), |_, _| false);
        let mut forms = vec![full];
        // A prerelease, and what was built otherwise, leads nothing.
        if !is_release(version) {
            return forms;
        }
        forms.push((format!("{prefix}{}.{}", version.major, version.minor), same_minor));
        // Below 1.0 the major says nothing.
        if version.major > 0 {
            forms.push((format!("{prefix}{}", version.major), same_major));
        }
        match self.latest {
            Latest::Highest => forms.push(("latest".to_owned(), |_, _| true)),
            Latest::Major(major) if major == version.major => forms.push(("latest".to_owned(), same_major)),
            Latest::Major(_) | Latest::Never => {}
        }
        forms
    }

    fn all(&self) -> Vec<Tag> {
        self.forms().iter().filter_map(|(form, _)| form.parse().ok()).collect()
    }

    fn led<S: AsRef<str>>(&self, standing: &[S]) -> Vec<(Tag, Tag)> {
        let read = |tag: &S| Some((self.release(tag.as_ref())?, tag.as_ref().parse::<Tag>().ok()?));
        let higher: Vec<(Version, Tag)> = standing.iter().filter_map(read).filter(|(other, _)| *other > self.version).collect();
        let leader = |leads: Led| higher.iter().filter(|(other, _)| leads(&self.version, other)).max();
        let forms = self.forms().into_iter().filter_map(|(form, leads)| Some((form, leader(leads)?)));
        forms.filter_map(|(form, (_, tag))| Some((form.parse().ok()?, tag.clone()))).collect()
    }

    /// The forms that no higher release leads, neither one that stands here nor one that git knows. `1.9.1` after `2.0.1` gives `1.9.1`,
    /// `1.9` and `1`.
    fn tags<S: AsRef<str>>(&self, standing: &[S]) -> Vec<Tag> {
        let standing = standing.iter().filter_map(|tag| self.release(tag.as_ref()));
        let higher: Vec<Version> = standing.chain(self.higher.iter().cloned()).filter(|other| *other > self.version).collect();
        let free = |leads: Led| !higher.iter().any(|other| leads(&self.version, other));
        self.forms().into_iter().filter(|(_, leads)| free(*leads)).filter_map(|(form, _)| form.parse().ok()).collect()
    }

    /// The release that a tag of this line names. With `v` and without are one line.
    fn release(&self, tag: &str) -> Option<Version> {
        let text = match self.prefix.as_str() {
            "" | "v" => tag.strip_prefix('v').unwrap_or(tag),
            prefix => tag.strip_prefix(prefix)?,
        };
        Version::parse(text).ok().filter(is_release)
    }

    /// Whether a tag is a form that moves from version to version, short enough to be followed for long: `1`, `latest`.
    #[must_use]
    pub fn leads(&self, tag: &Tag) -> bool {
        let number = tag.as_str().strip_prefix(self.prefix.as_str()).unwrap_or_default();
        tag.as_str() == "latest" || !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    }
}

/// Whether a form of the first version is one of the second, too.
type Led = fn(&Version, &Version) -> bool;

fn same_major(one: &Version, other: &Version) -> bool {
    one.major == other.major
}

fn same_minor(one: &Version, other: &Version) -> bool {
    (one.major, one.minor) == (other.major, other.minor)
}

/// Whether it is neither a prerelease nor a build of its own.
#[must_use]
pub fn is_release(version: &Version) -> bool {
    version.pre.is_empty() && version.build.is_empty()
}

/// Of the releases above a version those that decide what it leads: the highest of all, of its major, and of its minor.
#[must_use]
pub fn above(version: &Version, releases: impl IntoIterator<Item = Version>) -> Vec<Version> {
    let higher: Vec<Version> = releases.into_iter().filter(|other| is_release(other) && other > version).collect();
    let of_minor = higher.iter().filter(|other| same_minor(version, other)).max();
    let of_major = higher.iter().filter(|other| same_major(version, other)).max();
    let deciding: BTreeSet<&Version> = [higher.iter().max(), of_major, of_minor].into_iter().flatten().collect();
    deciding.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn cascade(version: &str) -> Cascade {
        Cascade { version: version.parse().unwrap(), prefix: String::new(), latest: Latest::Highest, idle: false, higher: Vec::new() }
    }

    fn texts(tags: &[Tag]) -> Vec<&str> {
        tags.iter().map(Tag::as_str).collect()
    }

    #[test]
    fn a_release_leads_its_shorter_forms_and_a_prerelease_only_itself() {
        for (version, prefix, expected) in [
            ("1.4.2", "", vec!["1.4.2", "1.4", "1", "latest"]),
            ("1.4.2", "v", vec!["v1.4.2", "v1.4", "v1", "latest"]),
            ("0.3.1", "", vec!["0.3.1", "0.3", "latest"]),
            ("2.0.0-rc.1", "v", vec!["v2.0.0-rc.1"]),
            ("1.0.0+build.5", "", vec!["1.0.0_build.5"]),
        ] {
            let rule = Cascade { prefix: prefix.to_owned(), ..cascade(version) };
            assert_eq!(texts(&rule.tags::<&str>(&[])), expected, "{version}");
            assert_eq!(rule.tags::<&str>(&[]), rule.all());
        }
    }

    #[test]
    fn a_commit_between_releases_gives_no_tag_where_releases_alone_are_wanted() {
        let rule = Cascade { idle: true, ..cascade("1.4.3-dev.2") };
        assert_eq!((rule.tags::<&str>(&[]), rule.all()), (Vec::new(), Vec::new()));
        assert!(rule.leads(&"latest".parse().unwrap()) && rule.leads(&"1".parse().unwrap()) && !rule.leads(&"1.4".parse().unwrap()));
    }

    #[test]
    fn a_shorter_form_never_moves_backwards() {
        for (version, standing, expected) in [
            ("1.9.1", vec!["2.0.1", "2.0", "2", "latest", "1.9.0"], vec!["1.9.1", "1.9", "1"]),
            ("1.9.1", vec!["v2.0.1", "1.9.0"], vec!["1.9.1", "1.9", "1"]),
            ("1.9.1", vec!["1.9.2", "1.10.0"], vec!["1.9.1"]),
            ("1.9.3", vec!["1.9.2", "1.10.0"], vec!["1.9.3", "1.9"]),
            ("2.0.0", vec!["1.9.2", "2.0.0", "3.0.0-rc.1", "3.0.0_x", "nightly"], vec!["2.0.0", "2.0", "2", "latest"]),
        ] {
            assert_eq!(texts(&cascade(version).tags(&standing)), expected, "{version}");
        }
        // Another line in the same repository has nothing to say.
        let api = Cascade { prefix: "api-".to_owned(), ..cascade("1.0.0") };
        assert_eq!(texts(&api.tags(&["2.0.0", "v3.0.0"])), ["api-1.0.0", "api-1.0", "api-1", "latest"]);
        assert_eq!(texts(&api.tags(&["api-2.0.0"])), ["api-1.0.0", "api-1.0", "api-1"]);
    }

    #[test]
    fn a_release_that_git_knows_and_the_registry_does_not_counts_as_well() {
        let known = ["2.0.1", "2.0.0", "1.9.2", "1.10.0", "3.0.0-rc.1"].map(|text| text.parse().unwrap());
        let higher = above(&"1.9.1".parse().unwrap(), known);
        assert_eq!(higher.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1.9.2", "1.10.0", "2.0.1"]);
        assert_eq!(texts(&Cascade { higher, ..cascade("1.9.1") }.tags::<&str>(&[])), ["1.9.1"]);
        assert_eq!(above(&"2.0.1".parse().unwrap(), ["2.0.1".parse().unwrap()]), Vec::<Version>::new());
    }

    #[test]
    fn latest_follows_one_major_or_none_where_the_plan_says_so() {
        let rule = |version: &str, latest| Cascade { latest, ..cascade(version) };
        let leads = |rule: &Cascade| rule.tags(&["1.9.0", "2.0.0"]).iter().any(|tag| tag.as_str() == "latest");
        assert!(leads(&rule("1.9.1", Latest::Major(1))), "a higher major does not take it");
        assert!(!leads(&rule("1.8.9", Latest::Major(1))));
        assert!(!leads(&rule("2.0.1", Latest::Major(1))));
        assert!(!leads(&rule("2.0.1", Latest::Never)));
        assert!(leads(&rule("2.0.1", Latest::Highest)));
    }

    /// What a registry holds after releases in some order, each read and written as a run does it.
    fn publish(order: &[Version], prefix: &str, latest: Latest) -> BTreeMap<String, Version> {
        let mut registry: BTreeMap<String, Version> = BTreeMap::new();
        for version in order {
            let rule = Cascade { prefix: prefix.to_owned(), latest, ..cascade(&version.to_string()) };
            let standing: Vec<String> = registry.keys().cloned().collect();
            for tag in rule.tags(&standing) {
                registry.insert(tag.to_string(), version.clone());
            }
        }
        registry
    }

    fn versions() -> impl Strategy<Value = Vec<Version>> {
        let pre = prop_oneof![4 => Just(String::new()), 1 => (1..4_u8).prop_map(|n| format!("-rc.{n}"))];
        let version = (0..4_u64, 0..4_u64, 0..12_u64, pre).prop_map(|(a, b, c, pre)| format!("{a}.{b}.{c}{pre}").parse().unwrap());
        prop::collection::vec(version, 1..24)
    }

    proptest! {
        #[test]
        fn after_any_history_every_form_names_the_highest_release_that_it_is_a_form_of(
            order in versions(), prefix in prop_oneof![Just(""), Just("v")], major in prop::option::of(0..4_u64),
        ) {
            let latest = major.map_or(Latest::Highest, Latest::Major);
            let registry = publish(&order, prefix, latest);
            let highest = |of: &dyn Fn(&Version) -> bool| order.iter().filter(|version| is_release(version) && of(version)).max();
            let mut expected: BTreeMap<String, Version> = order.iter().map(|version| (format!("{prefix}{version}"), version.clone())).collect();
            for version in order.iter().filter(|version| is_release(version)) {
                let minor = highest(&|other| (other.major, other.minor) == (version.major, version.minor)).unwrap();
                expected.insert(format!("{prefix}{}.{}", version.major, version.minor), minor.clone());
                if version.major > 0 {
                    expected.insert(format!("{prefix}{}", version.major), highest(&|other| other.major == version.major).unwrap().clone());
                }
            }
            if let Some(top) = highest(&|other| major.is_none_or(|major| other.major == major)) {
                expected.insert("latest".to_owned(), top.clone());
            }
            prop_assert_eq!(registry, expected);
        }

        #[test]
        fn the_few_releases_that_are_kept_of_git_decide_as_all_of_them_do(order in versions(), at: prop::sample::Index) {
            let version = at.get(&order).clone();
            let all = order.iter().filter(|other| is_release(other)).cloned().collect::<Vec<_>>();
            let rule = |higher| Cascade { higher, ..cascade(&version.to_string()) };
            prop_assert_eq!(rule(above(&version, all.clone())).tags::<&str>(&[]), rule(all).tags::<&str>(&[]));
        }
    }
}
