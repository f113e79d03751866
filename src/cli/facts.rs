//! The world's answers to a plan: from git, the environment and the CI system; or none at all, for commands that execute nothing.

use crate::base::path::AbsPath;
use crate::base::platform::Platform;
use crate::plan::facts::{CiFact, FactError, Facts, GitFact, git_version};
use crate::sys::{env, git};

/// The world as this process finds it.
#[derive(Debug)]
pub struct Here {
    /// Where git is asked; `None` where nothing may be executed: then every fact of the repository has a stand-in.
    pub repository: Option<AbsPath>,
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
        let version = |tag: &str| semver::Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok();
        Ok(tags.lines().filter_map(|tag| Some((version(tag)?, tag))).max().map(|(_, tag)| tag.to_owned()))
    }

    fn fact(&self, what: GitFact) -> Result<Option<String>, FactError> {
        match what {
            GitFact::Sha => self.ask(&["rev-parse", "--verify", "-q", "HEAD"]),
            GitFact::Short => self.ask(&["rev-parse", "--verify", "-q", "--short=12", "HEAD"]),
            GitFact::Branch => self.ask(&["symbolic-ref", "--short", "-q", "HEAD"]),
            GitFact::Tag => match self.highest("HEAD") {
                Ok(None) => self.ask(&["describe", "--tags", "--exact-match", "HEAD"]),
                found => found,
            },
            GitFact::Describe => self.ask(&["describe", "--tags", "--always", "--dirty"]),
            GitFact::Version => self.version(),
            GitFact::Dirty => {
                Ok(self.ask(&["status", "--porcelain", "--untracked-files=no"])?.map(|changes| (!changes.is_empty()).to_string()))
            }
            GitFact::Time => self.ask(&["log", "-1", "--format=%ct"]),
        }
    }
}

/// A value of the right form for a fact that nobody may look up.
fn stand_in(what: GitFact) -> &'static str {
    match what {
        GitFact::Sha => "0000000000000000000000000000000000000000",
        GitFact::Short => "000000000000",
        GitFact::Branch => "main",
        GitFact::Tag => "v0.0.0",
        GitFact::Describe | GitFact::Version => "0.0.0",
        GitFact::Dirty => "false",
        GitFact::Time => "0",
    }
}

impl Facts for Here {
    fn git(&self, what: GitFact) -> Result<Option<String>, FactError> {
        match &self.repository {
            Some(root) => Git(root).fact(what),
            None => Ok(Some(stand_in(what).to_owned())),
        }
    }
    fn env(&self, name: &str) -> Option<String> {
        env::var(name)
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
}

fn host_arch() -> String {
    let host = Platform::host();
    host.variant().map_or_else(|| host.arch().to_owned(), |variant| format!("{}-{variant}", host.arch()))
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
