//! The world's answers to a plan: from git, the environment and the CI system; or none at all, for commands that execute nothing.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use crate::base::path::{AbsPath, RelPath};
use crate::base::platform::Platform;
use crate::base::time::Day;
use crate::engine::ask::{self, Question};
use crate::engine::process::bare_environment;
use crate::evidence::provenance::origin;
use crate::plan::facts::{CiFact, CommandError, FactError, Facts, GitFact, git_version};
use crate::plan::tag;
use crate::sys::cancel::Cancel;
use crate::sys::shims::Shims;
use crate::sys::{clock, env, file, git};

/// What a command says that is not run: good as a name, a host or a path.
const STAND_IN: &[u8] = b"stand-in";

/// The world as this process finds it.
#[derive(Debug)]
pub struct Here {
    root: AbsPath,
    repository: AbsPath,
    /// Whether commands of the plan are run.
    commands: bool,
    /// What commands said; each is run once, however often the plan is resolved.
    said: RefCell<HashMap<String, Result<Vec<u8>, CommandError>>>,
    /// What git answered. A plan that is kept is held against the facts first; what it learns so is not asked again.
    answers: RefCell<HashMap<GitFact, Result<Option<String>, FactError>>>,
}

impl Here {
    /// The world around a project whose files lie in `root` and whose history in `repository`. Without `commands`, every
    /// command of the plan says [`STAND_IN`].
    pub fn new(root: AbsPath, repository: AbsPath, commands: bool) -> Self {
        Self { root, repository, commands, said: RefCell::default(), answers: RefCell::default() }
    }
}

struct Git<'a>(&'a AbsPath);

impl Git<'_> {
    fn ask(&self, question: &[&str]) -> Result<Option<String>, FactError> {
        git::ask(self.0, question).map_err(|error| FactError(error.to_string()))
    }

    /// One question gives the last tag that looks like a version, the distance from it and the commit:
    /// `v1.4.2-3-g1a2b3c4d5e6f`, or the commit alone.
    fn version(&self) -> Result<Option<String>, FactError> {
        let question = ["describe", "--tags", "--long", "--always", "--abbrev=12", "--dirty", "--match=v[0-9]*", "--match=[0-9]*"];
        let Some(described) = self.ask(&question)? else { return Ok(None) };
        let (described, dirty) = described.strip_suffix("-dirty").map_or((described.as_str(), false), |rest| (rest, true));
        let parts: Vec<&str> = described.rsplitn(3, '-').collect();
        if let [commit, distance, tag] = parts.as_slice()
            && let (Some(short), Ok(distance)) = (commit.strip_prefix('g'), distance.parse())
        {
            let highest = self.highest(&format!("refs/tags/{tag}^{{commit}}"))?;
            return Ok(Some(git_version(Some(highest.as_deref().unwrap_or(tag)), distance, short, dirty)));
        }
        let count = self.ask(&["rev-list", "--count", "HEAD"])?.and_then(|count| count.parse().ok()).unwrap_or(0);
        Ok(Some(git_version(None, count, described, dirty)))
    }

    /// The tag with the highest version on a commit; git itself would take the first of the alphabet.
    fn highest(&self, commit: &str) -> Result<Option<String>, FactError> {
        let tags = self.ask(&["tag", "--points-at", commit])?.unwrap_or_default();
        Ok(tags.lines().filter_map(|tag| Some((version(tag)?, tag))).max().map(|(_, tag)| tag.to_owned()))
    }

    fn fact(&self, what: GitFact) -> Result<Option<String>, FactError> {
        match what {
            GitFact::Sha => self.ask(&["rev-parse", "--verify", "-q", "HEAD"]),
            GitFact::Short => self.ask(&["rev-parse", "--verify", "-q", "--short=12", "HEAD"]),
            GitFact::Branch => match self.ask(&["symbolic-ref", "--short", "-q", "HEAD"])? {
                None if self.fact(GitFact::Sha)?.is_some() => Ok(ci_branch()),
                found => Ok(found),
            },
            GitFact::Tag => match self.highest("HEAD") {
                Ok(None) => self.ask(&["describe", "--tags", "--exact-match", "HEAD"]),
                found => found,
            },
            GitFact::Describe => self.ask(&["describe", "--tags", "--always", "--dirty"]),
            GitFact::Version => self.version(),
            GitFact::Releases => Ok(self.ask(&["tag", "--list", "v[0-9]*", "[0-9]*"])?.map(|tags| releases(&tags))),
            GitFact::Dirty => {
                Ok(self.ask(&["status", "--porcelain", "--untracked-files=no"])?.map(|changes| (!changes.is_empty()).to_string()))
            }
            GitFact::Time => self.ask(&["log", "-1", "--format=%ct"]),
            GitFact::Origin => Ok(self.ask(&["config", "--get", "remote.origin.url"])?.and_then(|remote| origin(&remote))),
        }
    }
}

impl Facts for Here {
    fn git(&self, what: GitFact) -> Result<Option<String>, FactError> {
        let known = self.answers.borrow().get(&what).cloned();
        known.unwrap_or_else(|| {
            let answer = Git(&self.repository).fact(what);
            self.answers.borrow_mut().insert(what, answer.clone());
            answer
        })
    }
    fn env(&self, name: &str) -> Option<String> {
        env::var(name)
    }
    fn today(&self) -> Day {
        clock::now().day()
    }
    fn host_os(&self) -> String {
        Platform::host().os().to_owned()
    }
    fn host_arch(&self) -> String {
        host_arch()
    }
    fn ci(&self, what: CiFact) -> Option<String> {
        ci(what)
    }
    fn file(&self, path: &RelPath, limit: u64) -> Result<Option<Vec<u8>>, FactError> {
        let place = match file::canonical(self.root.at(path)) {
            Ok(place) if place.starts_with(self.root.as_path()) => place,
            Ok(_) => return Err(FactError(format!("`{path}` leads out of the project"))),
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(FactError(error.to_string())),
        };
        file::read(place, limit).map(Some).map_err(|error| FactError(error.to_string()))
    }
    fn command(&self, script: &str, limit: u64) -> Result<Vec<u8>, CommandError> {
        if !self.commands {
            return Ok(STAND_IN.to_vec());
        }
        let known = self.said.borrow().get(script).cloned();
        known.unwrap_or_else(|| {
            let said = answer(&self.root, script, limit);
            self.said.borrow_mut().insert(script.to_owned(), said.clone());
            said
        })
    }
}

pub fn answer(root: &AbsPath, script: &str, limit: u64) -> Result<Vec<u8>, CommandError> {
    let env: Vec<_> = bare_environment(&env::var_os).into_iter().collect();
    // Ctrl-C ends kiln itself here, and with it the helper ends what the command started.
    let question = Question { script, root, env: &env, limit, timeout: ask::TIMEOUT, cancel: &Cancel::new(), shims: &Shims::own() };
    ask::ask(&question).map_err(|no| CommandError { reason: no.reason, tail: no.tail })
}

fn host_arch() -> String {
    let host = Platform::host();
    host.variant().map_or_else(|| host.arch().to_owned(), |variant| format!("{}-{variant}", host.arch()))
}

/// The version that a tag of git names, with or without a `v` before it.
fn version(tag: &str) -> Option<semver::Version> {
    semver::Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

/// The releases among some tags, the highest first.
fn releases(tags: &str) -> String {
    let found: BTreeSet<semver::Version> = tags.lines().filter_map(version).filter(tag::is_release).collect();
    let texts: Vec<String> = found.iter().rev().map(ToString::to_string).collect();
    texts.join(" ")
}

/// The branch that CI builds, of a pull request the one that it brings. CI systems look at its commit alone, so git does not know it; for
/// a tag there is none.
fn ci_branch() -> Option<String> {
    let branch = |name: &str| env::var(name)?.strip_prefix("refs/heads/").map(str::to_owned);
    ["GITHUB_HEAD_REF", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_COMMIT_BRANCH"]
        .iter()
        .find_map(|name| env::var(name))
        .or_else(|| ["GITHUB_REF", "SYSTEM_PULLREQUEST_SOURCEBRANCH", "BUILD_SOURCEBRANCH"].iter().find_map(|name| branch(name)))
}

/// Variables of the CI systems: GitHub Actions, GitLab CI, Azure Pipelines; any other that sets `CI` is `ci`.
fn ci(what: CiFact) -> Option<String> {
    let first = |names: &[&str]| names.iter().find_map(|name| env::var(name));
    match what {
        CiFact::Name => [("GITHUB_ACTIONS", "github"), ("GITLAB_CI", "gitlab"), ("TF_BUILD", "azure"), ("CI", "ci")]
            .iter()
            .find(|(name, _)| env::var(name).is_some())
            .map(|(_, word)| (*word).to_owned()),
        CiFact::Run => first(&["GITHUB_RUN_ID", "CI_PIPELINE_ID", "BUILD_BUILDID"]),
        CiFact::Url => first(&["CI_PIPELINE_URL"]).or_else(|| {
            Some(format!(
                "{}/{}/actions/runs/{}",
                env::var("GITHUB_SERVER_URL")?,
                env::var("GITHUB_REPOSITORY")?,
                env::var("GITHUB_RUN_ID")?
            ))
        }),
        CiFact::Request => first(&["CI_MERGE_REQUEST_IID", "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER"])
            .or_else(|| env::var("GITHUB_REF")?.strip_prefix("refs/pull/")?.split('/').next().map(str::to_owned)),
    }
}
