//! Facts about the world that a plan may name: the commit, the host, the environment, the CI system.
//! In: questions, asked only when a value needs the answer. Out: texts, and the list of all that was read.
//! Never: a process or a file; whoever calls [`super::resolve`] hands the answers in.

use std::cell::{Cell, RefCell};

use indexmap::IndexMap;

use crate::base::digest::{Blake3, Digest};
use crate::base::path::RelPath;
use crate::base::time::Day;

use super::basis::{self, Basis};
use super::{Ask, Overrides};

/// What stands for a text that is not asked for. It can be a version, a name, a tag, a path and a host, so that nearly
/// everything can be made of it.
pub(super) const STAND_IN: &str = "0.0.0";

/// A fact of the repository, written `${git.sha}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GitFact {
    /// The commit, 40 or 64 hexadecimal digits.
    Sha,
    /// Its first 12 digits.
    Short,
    /// The branch; none when the head is detached.
    Branch,
    /// The tag that points at the commit; none when there is none.
    Tag,
    /// `git describe --tags --always --dirty`.
    Describe,
    /// What [`git_version`] makes of the last tag.
    Version,
    /// The releases that tags name, the highest first.
    Releases,
    /// `true` when a tracked file differs from the commit, else `false`.
    Dirty,
    /// The commit's time, seconds since 1970.
    Time,
    /// The address of the remote `origin`, without anybody's name or password; none when it is no address.
    Origin,
}

impl GitFact {
    /// All facts with their words and one line each.
    pub const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Sha, "sha", "the commit, in full"),
        (Self::Short, "short", "the commit's first 12 digits"),
        (Self::Branch, "branch", "the branch; where CI looks at a commit alone, the branch that it does so for"),
        (Self::Tag, "tag", "the tag that points at the commit"),
        (Self::Describe, "describe", "what `git describe --tags --always --dirty` prints"),
        (Self::Version, "version", "the last tag as a version, `1.4.2`, or what follows it, `1.4.3-dev.2+g1a2b3c4d5e6f`"),
        (Self::Releases, "releases", "the releases that the repository's tags name, the highest first: `2.0.1 2.0.0 1.9.3`"),
        (Self::Dirty, "dirty", "`true` when a tracked file was changed, else `false`"),
        (Self::Time, "time", "the commit's time, seconds since 1970"),
        (Self::Origin, "origin", "the address of the remote `origin`, without anybody's name or password"),
    ];
}

/// A fact of the CI system, written `${ci.name}`. All are absent outside CI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CiFact {
    /// `github`, `gitlab`, …
    Name,
    /// The number or id of the run.
    Run,
    /// The address of the run.
    Url,
    /// The number of the pull or merge request.
    Request,
}

impl CiFact {
    /// All facts with their words and one line each.
    pub const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Name, "name", "the CI system: `github`, `gitlab`, …"),
        (Self::Run, "run", "the number or id of the run"),
        (Self::Url, "url", "the address of the run"),
        (Self::Request, "request", "the number of the pull or merge request"),
    ];
}

/// A fact that could not be read although it should be there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FactError(
    /// Why, in the words of the program that was asked.
    pub String,
);

/// Answers questions about the world. Called at most once per fact.
pub trait Facts {
    /// A fact of the repository; `None` where there is none: no repository, no tag, a detached head.
    ///
    /// # Errors
    /// [`FactError`] when the repository cannot be read.
    fn git(&self, what: GitFact) -> Result<Option<String>, FactError>;
    /// A variable of kiln's environment, when it is set, not empty and UTF-8.
    fn env(&self, name: &str) -> Option<String>;
    /// The operating system, in OCI's words.
    fn host_os(&self) -> String;
    /// The architecture, in OCI's words, with its variant where it has one: `amd64`, `arm-v7`.
    fn host_arch(&self) -> String;
    /// The day that it is, in UTC.
    fn today(&self) -> Day;
    /// A fact of the CI system; `None` outside CI.
    fn ci(&self, what: CiFact) -> Option<String>;
    /// The content of a file of the project; `None` where there is none.
    ///
    /// # Errors
    /// [`FactError`] when it cannot be read, or has more than `limit` bytes.
    fn file(&self, path: &RelPath, limit: u64) -> Result<Option<Vec<u8>>, FactError>;
    /// What a command prints, run by `sh -c` in the project's root.
    ///
    /// # Errors
    /// [`CommandError`] when it cannot be started, fails, prints more than `limit` bytes, or takes too long.
    fn command(&self, script: &str, limit: u64) -> Result<Vec<u8>, CommandError>;
}

/// A command that gave no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct CommandError {
    /// What happened, to follow the command in a message: `ended with exit code 1`.
    pub reason: String,
    /// The last lines of its standard error; may be empty.
    pub tail: String,
}

/// A value of the right form for a fact of the repository that is not asked for.
const fn stand_in(what: GitFact) -> &'static str {
    match what {
        GitFact::Sha => "0000000000000000000000000000000000000000",
        GitFact::Short => "000000000000",
        GitFact::Branch => "main",
        GitFact::Tag => "v0.0.0",
        GitFact::Describe | GitFact::Version | GitFact::Releases => STAND_IN,
        GitFact::Dirty => "false",
        GitFact::Time => "0",
        GitFact::Origin => "https://example.com/stand-in.git",
    }
}

/// Asks each fact at most once and remembers every answer.
pub(super) struct Recorder<'a> {
    facts: &'a dyn Facts,
    ask: &'a Ask,
    read: RefCell<IndexMap<String, Answer>>,
    /// Whether it mattered what may be asked for a `let` or a `param`.
    mattered: Cell<bool>,
    /// What was looked up, and by whom.
    pub(super) basis: Basis<'a>,
}

/// What was answered; `None` where there is no such thing here.
pub(super) type Answer = Result<Option<String>, FactError>;

impl<'a> Recorder<'a> {
    pub(super) fn new(facts: &'a dyn Facts, overrides: &'a Overrides) -> Self {
        let basis = Basis::new(&overrides.former);
        Self { facts, ask: &overrides.ask, read: RefCell::default(), mattered: Cell::new(false), basis }
    }

    /// Whether the repository may be asked, and files that the whole plan rests on.
    pub(super) fn may_ask(&self) -> bool {
        *self.ask != Ask::Nothing
    }

    /// Whether the value of this `let` or `param` may be asked for.
    pub(super) fn may_ask_for(&self, name: &str) -> bool {
        self.mattered.set(true);
        match self.ask {
            Ask::Everything => true,
            Ask::Only(names) => names.contains(name),
            Ask::Nothing => false,
        }
    }

    /// Whether anybody wanted to know that.
    pub(super) fn mattered(&self) -> bool {
        self.mattered.get()
    }

    fn once(&self, name: String, ask: impl FnOnce() -> Answer) -> Answer {
        if let Some(answer) = self.read.borrow().get(&name) {
            return answer.clone();
        }
        let answer = ask();
        self.read.borrow_mut().insert(name, answer.clone());
        answer
    }

    /// A fact that a definition can rest on.
    fn fact(&self, name: String, ask: impl FnOnce() -> Answer) -> Answer {
        let former = self.basis.former(&name).map(|value| Ok(value.as_str().map(str::to_owned)));
        let answer = former.unwrap_or_else(|| self.once(name.clone(), ask));
        let text = |answer: &Option<String>| answer.as_deref().map_or_else(|| "null".to_owned(), basis::text);
        self.basis.note(&name, || answer.as_ref().ok().map(text));
        answer
    }

    pub(super) fn git(&self, what: GitFact) -> Answer {
        let word = GitFact::ALL.iter().find(|(fact, _, _)| *fact == what).map_or("", |(_, word, _)| word);
        if !self.may_ask() {
            return Ok(Some(stand_in(what).to_owned()));
        }
        self.fact(format!("git.{word}"), || self.facts.git(what))
    }

    /// The content of a file. Its digest is remembered as what was read.
    pub(super) fn file(&self, path: &RelPath, limit: u64) -> Result<Option<Vec<u8>>, FactError> {
        let content = self.facts.file(path, limit);
        let digest = content.clone().map(|content| content.map(|content| Digest::<Blake3>::of(&content).hex()));
        let _ = self.once(format!("file:{path}"), || digest);
        content
    }

    /// What a command prints. Its digest is remembered as what was read.
    pub(super) fn command(&self, script: &str, limit: u64) -> Result<Vec<u8>, CommandError> {
        let content = self.facts.command(script, limit);
        let _ = self.once(format!("command:{script}"), || Ok(content.as_ref().ok().map(|content| Digest::<Blake3>::of(content).hex())));
        content
    }

    /// The day, which a plan reads only where something ends on one.
    pub(super) fn today(&self) -> Day {
        let today = self.facts.today();
        let _ = self.once("clock.day".to_owned(), || Ok(Some(today.to_string())));
        today
    }

    pub(super) fn env(&self, name: &str) -> Option<String> {
        self.fact(format!("env.{name}"), || Ok(self.facts.env(name))).unwrap_or_default()
    }

    pub(super) fn host_arch(&self) -> String {
        self.fact("host.arch".to_owned(), || Ok(Some(self.facts.host_arch()))).ok().flatten().unwrap_or_default()
    }

    /// Answers `root.word`; `None` when there is no fact of this name at all.
    pub(super) fn named(&self, root: &str, word: &str) -> Option<Answer> {
        match root {
            "git" => GitFact::ALL.iter().find(|(_, name, _)| *name == word).map(|(fact, _, _)| self.git(*fact)),
            "ci" => {
                let (fact, ..) = CiFact::ALL.iter().find(|(_, name, _)| *name == word)?;
                Some(self.fact(format!("ci.{word}"), || Ok(self.facts.ci(*fact))))
            }
            "host" if word == "arch" => Some(Ok(Some(self.host_arch()))),
            "host" if word == "os" => Some(self.fact("host.os".to_owned(), || Ok(Some(self.facts.host_os())))),
            "env" => Some(Ok(self.env(word))),
            "clock" if word == "day" => Some(Ok(Some(self.today().to_string()))),
            _ => None,
        }
    }

    /// The words that may follow `root.`, for messages; empty where any word may.
    pub(super) fn words(root: &str) -> Vec<&'static str> {
        match root {
            "git" => GitFact::ALL.iter().map(|(_, word, _)| *word).collect(),
            "ci" => CiFact::ALL.iter().map(|(_, word, _)| *word).collect(),
            "host" => vec!["os", "arch"],
            "project" => vec!["name", "version"],
            "platform" => vec!["os", "arch", "variant"],
            _ => Vec::new(),
        }
    }

    /// All that was read, in order of reading; an absent fact has an empty text.
    pub(super) fn answers(&self) -> Vec<(String, String)> {
        let read = self.read.borrow();
        read.iter().map(|(name, answer)| (name.clone(), answer.clone().ok().flatten().unwrap_or_default())).collect()
    }
}

/// The largest file or answer of a command that is held against what it was, in bytes.
const HELD: u64 = 16 << 20;

/// Whether every fact has the answer that it had. One of a kind that is not known here counts as another answer, so whoever
/// lets the recorder read something new is safe before this function knows it.
#[must_use]
pub fn still_hold(facts: &dyn Facts, read: &[(String, String)]) -> bool {
    let overrides = Overrides::default();
    let recorder = Recorder::new(facts, &overrides);
    let digest = |content: Vec<u8>| Digest::<Blake3>::of(&content).hex();
    let now = |name: &str| -> Option<String> {
        if let Some(path) = name.strip_prefix("file:") {
            return Some(facts.file(&RelPath::from_escaped(path).ok()?, HELD).ok()?.map(digest).unwrap_or_default());
        }
        if let Some(script) = name.strip_prefix("command:") {
            return facts.command(script, HELD).ok().map(digest);
        }
        let (root, word) = name.split_once('.')?;
        recorder.named(root, word)?.ok().map(Option::unwrap_or_default)
    };
    read.iter().all(|(name, before)| now(name).as_ref() == Some(before))
}

/// Whether asking these facts runs no command of the plan, which each command of kiln does at most once.
#[must_use]
pub fn run_nothing(read: &[(String, String)]) -> bool {
    !read.iter().any(|(name, _)| name.starts_with("command:"))
}

/// The files among the facts that were read, also those that were not there.
#[must_use]
pub fn files(read: &[(String, String)]) -> Vec<RelPath> {
    read.iter().filter_map(|(name, _)| RelPath::from_escaped(name.strip_prefix("file:")?).ok()).collect()
}

/// Whether every command may ask these facts: none of the repository, of a file, or of a command, for which some commands have
/// stand-ins.
#[must_use]
pub fn are_plain(read: &[(String, String)]) -> bool {
    read.iter().all(|(name, _)| ["env.", "host.", "ci."].iter().any(|root| name.starts_with(root)))
}

/// The version of a commit: `last_tag` without its leading `v` when the commit carries it, else the version that comes
/// before the next one, with the number of commits since and the commit itself. Always a valid semantic version, and
/// later commits sort after earlier ones and before the next release.
///
/// `v1.4.2` and 3 commits: `1.4.3-dev.3+g1a2b3c4d5e6f`. `v2.0.0-rc.1` and 3 commits: `2.0.0-rc.1.dev.3+g…`. No tag: `0.0.0-dev.3+g…`.
/// A tree with changes is never a release: `distance` 0 and `dirty` gives `1.4.3-dev.0+g….dirty`.
/// A tag that is not a version counts as no tag.
#[must_use]
pub fn git_version(last_tag: Option<&str>, distance: u64, short: &str, dirty: bool) -> String {
    let tagged = last_tag.and_then(|tag| semver::Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok());
    let build = if dirty { format!("g{short}.dirty") } else { format!("g{short}") };
    match tagged {
        Some(version) if distance == 0 && !dirty => version.to_string(),
        Some(version) if version.pre.is_empty() => {
            format!("{}.{}.{}-dev.{distance}+{build}", version.major, version.minor, version.patch.saturating_add(1))
        }
        Some(version) => {
            format!("{}.{}.{}-{}.dev.{distance}+{build}", version.major, version.minor, version.patch, version.pre)
        }
        None => format!("0.0.0-dev.{distance}+{build}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_between_tags_are_valid_and_sorted() {
        let mut versions = Vec::new();
        for (tag, distance, dirty, expected) in [
            (None, 7, false, "0.0.0-dev.7+gabc"),
            (Some("nightly"), 2, false, "0.0.0-dev.2+gabc"),
            (Some("v1.4.2"), 0, false, "1.4.2"),
            (Some("1.4.2"), 0, true, "1.4.3-dev.0+gabc.dirty"),
            (Some("v1.4.2"), 3, false, "1.4.3-dev.3+gabc"),
            (Some("v1.4.2"), 12, false, "1.4.3-dev.12+gabc"),
            (Some("v2.0.0-rc.1"), 0, false, "2.0.0-rc.1"),
            (Some("v2.0.0-rc.1"), 3, false, "2.0.0-rc.1.dev.3+gabc"),
            (Some("v2.0.0-rc.2"), 0, false, "2.0.0-rc.2"),
            (Some("v2.0.0"), 0, false, "2.0.0"),
        ] {
            let version = git_version(tag, distance, "abc", dirty);
            assert_eq!(version, expected);
            versions.push(semver::Version::parse(&version).unwrap());
        }
        assert!(versions[2..].is_sorted(), "{versions:?}");
    }

    struct Counting(Cell<u32>);

    impl Facts for Counting {
        fn git(&self, _: GitFact) -> Result<Option<String>, FactError> {
            self.0.set(self.0.get() + 1);
            Ok(None)
        }
        fn env(&self, _: &str) -> Option<String> {
            None
        }
        fn today(&self) -> Day {
            "2026-01-01".parse().unwrap()
        }
        fn host_os(&self) -> String {
            "linux".into()
        }
        fn host_arch(&self) -> String {
            "amd64".into()
        }
        fn ci(&self, _: CiFact) -> Option<String> {
            None
        }
        fn file(&self, _: &RelPath, _: u64) -> Result<Option<Vec<u8>>, FactError> {
            self.0.set(self.0.get() + 1);
            Ok(None)
        }
        fn command(&self, _: &str, _: u64) -> Result<Vec<u8>, CommandError> {
            self.0.set(self.0.get() + 1);
            Ok(b"said".to_vec())
        }
    }

    #[test]
    fn a_fact_is_asked_once_and_its_absence_is_recorded() {
        let facts = Counting(Cell::new(0));
        let overrides = Overrides::default();
        let recorder = Recorder::new(&facts, &overrides);
        assert_eq!(recorder.named("git", "tag"), Some(Ok(None)));
        assert_eq!(recorder.named("git", "tag"), Some(Ok(None)));
        assert_eq!(recorder.named("git", "tagg"), None);
        assert_eq!(recorder.answers(), [("git.tag".to_owned(), String::new())]);
        assert_eq!(facts.0.get(), 1);
    }

    #[test]
    fn where_nothing_may_be_asked_facts_of_the_repository_have_stand_ins() {
        let facts = Counting(Cell::new(0));
        let overrides = Overrides { ask: Ask::Nothing, ..Overrides::default() };
        let recorder = Recorder::new(&facts, &overrides);
        for (fact, _, _) in GitFact::ALL {
            assert!(recorder.git(*fact).is_ok_and(|answer| answer.is_some()), "{fact:?}");
        }
        assert_eq!((facts.0.get(), recorder.answers().len()), (0, 0));
    }

    #[test]
    fn facts_hold_as_long_as_every_answer_is_the_same_and_of_a_known_kind() {
        let facts = Counting(Cell::new(0));
        let read = |name: &str, answer: &str| (name.to_owned(), answer.to_owned());
        assert!(still_hold(&facts, &[read("git.tag", ""), read("host.os", "linux"), read("env.HOME", "")]));
        for other in [read("git.tag", "v1"), read("host.arch", "arm64"), read("moon.phase", ""), read("git", "")] {
            assert!(!still_hold(&facts, &[read("host.os", "linux"), other.clone()]), "{other:?}");
        }
    }

    #[test]
    fn every_word_that_a_message_offers_has_an_answer() {
        let facts = Counting(Cell::new(0));
        let overrides = Overrides::default();
        let recorder = Recorder::new(&facts, &overrides);
        for root in ["git", "ci", "host"] {
            for word in Recorder::words(root) {
                assert!(recorder.named(root, word).is_some(), "{root}.{word}");
            }
        }
    }
}
