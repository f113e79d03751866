//! Pipelines: what a CI system needs to be told so that it runs the plan.
//! In: a [`Pipeline`]. Out: the text of a workflow file, the same for the same. Never: a value of a secret, a name that a shell or YAML
//! could take for something else.

mod azure;
mod github;
mod gitlab;
mod text;

use std::collections::BTreeSet;

/// What a pipeline runs, in the words of the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pipeline {
    /// The project's name.
    pub name: String,
    /// What every command of kiln is told, such as the plan's file where it is not `build.kdl`.
    pub options: Vec<String>,
    /// What a pull request runs: all that can fail before something is published.
    pub checks: Vec<String>,
    /// What is published; empty where nothing is.
    pub release: Vec<String>,
    /// Whether every push to a branch publishes, not only tags.
    pub branches: bool,
    /// Whether a pull request publishes, too.
    pub requests: bool,
    /// The registries to log in at.
    pub logins: Vec<Login>,
    /// Variables with secrets that the checks read.
    pub check_secrets: Vec<String>,
    /// Variables with secrets that a release reads.
    pub release_secrets: Vec<String>,
    /// Variables with values that the plan has no default for.
    pub values: Vec<String>,
    /// Programs that the plan's tasks name.
    pub tools: Vec<String>,
    /// What must be there before, in sentences.
    pub notes: Vec<String>,
    /// Where kiln itself comes from, where that was said.
    pub kiln: Option<Program>,
}

/// A registry that a release is pushed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its name in the plan.
    pub registry: String,
    /// Its host; `None` where the plan asks a command for it.
    pub host: Option<String>,
}

/// A program to be fetched, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Where.
    pub url: String,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// The CI systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// GitHub Actions: `.github/workflows/kiln.yml`.
    GitHub,
    /// GitLab CI: `.gitlab-ci.yml`.
    GitLab,
    /// Azure Pipelines: `azure-pipelines.yml`.
    Azure,
}

/// The text of the file.
#[must_use]
pub fn text(system: System, pipeline: &Pipeline) -> String {
    match system {
        System::GitHub => github::text(pipeline),
        System::GitLab => gitlab::text(pipeline),
        System::Azure => azure::text(pipeline),
    }
}

/// The two variables that a login is read from.
impl Login {
    fn user(&self) -> String {
        format!("{}_USERNAME", self.variable())
    }

    fn password(&self) -> String {
        format!("{}_PASSWORD", self.variable())
    }

    fn variable(&self) -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let name: String = self.registry.chars().map(letter).collect();
        // A variable does not begin with a digit.
        if name.starts_with(|c: char| c.is_ascii_digit()) { format!("REGISTRY_{name}") } else { name }
    }
}

impl Pipeline {
    /// A command of kiln.
    fn kiln(&self, words: &str) -> String {
        ["kiln"].into_iter().chain(self.options.iter().map(String::as_str)).chain([words]).collect::<Vec<_>>().join(" ")
    }

    /// The line that logs in; the password goes through standard input.
    fn login(&self, login: &Login) -> String {
        let words = format!("login {} --username \"${}\" --password-stdin", login.registry, login.user());
        format!("printf '%s' \"${}\" | {}", login.password(), self.kiln(&words))
    }

    /// What stands above every file.
    fn head(&self, system: &str, variables: &str) -> Vec<String> {
        let mut lines = vec![
            format!("Printed by `kiln ci {system}`. Print it anew when targets, registries or secrets of the plan change."),
            "One job runs all targets and platforms: kiln runs them side by side itself, and several jobs would each fetch the store anew."
                .to_owned(),
        ];
        if self.kiln.is_none() {
            lines.push(format!(
                "KILN_URL and KILN_SHA256 are {variables}: where the program is, and what it must be (`kiln ci --url --sha256` writes them here)."
            ));
        }
        if !self.tools.is_empty() {
            lines.push(format!("The tasks of the plan use {}: the machine must have them.", crate::base::words::list(&self.tools, "and")));
        }
        lines.extend(self.notes.iter().cloned());
        lines
    }

    /// The line that names the variables which somebody has to set up: secrets, values, and the logins that are not the system's own.
    fn set_up(&self, what: &str, values: &[String], is_own: impl Fn(&Login) -> bool) -> Vec<String> {
        let mut names: BTreeSet<String> =
            [&self.check_secrets, &self.release_secrets].into_iter().flatten().chain(values).cloned().collect();
        for login in self.logins.iter().filter(|login| !is_own(login)) {
            names.extend([login.user(), login.password()]);
        }
        let names: Vec<String> = names.into_iter().collect();
        if names.is_empty() { Vec::new() } else { vec![format!("{what}: {}.", names.join(", "))] }
    }

    /// The commands that fetch kiln and hold it against its digest; `path` is how a folder gets on the path of later steps.
    fn install(&self, path: &str) -> Vec<String> {
        let (url, sha256) = match &self.kiln {
            Some(Program { url, sha256 }) => (url.as_str(), sha256.as_str()),
            None => ("$KILN_URL", "$KILN_SHA256"),
        };
        vec![
            "mkdir -p \"$HOME/.kiln/bin\"".to_owned(),
            format!("curl -fsSL --retry 3 -o \"$HOME/.kiln/bin/kiln\" \"{url}\""),
            format!("echo \"{sha256}  $HOME/.kiln/bin/kiln\" | sha256sum -c -"),
            "chmod +x \"$HOME/.kiln/bin/kiln\"".to_owned(),
            path.to_owned(),
        ]
    }
}

/// How large the store grows that is carried from run to run.
const STORE: &str = "2GiB";
