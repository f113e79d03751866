//! `policy` nodes: what an image must and must not be.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::{Source, Span};

/// What happens on a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Reported; nothing stops.
    Warn,
    /// Reported; every push that needs the image stops.
    Deny,
}

impl Level {
    /// The word in the plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }
}

/// A rule about images. The word in the plan is [`Rule::word`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rule {
    /// The image would run as root (no user, `root`, or `0`).
    RootUser,
    /// No health check, or `NONE`.
    MissingHealthcheck,
    /// A file with the set-user-id or set-group-id bit.
    Setuid,
    /// A private key, a token or a password file in a layer, also one that an upper layer deletes.
    Secrets,
    /// A file or folder that every user may write (folders with the sticky bit excepted).
    WorldWritable,
    /// A base image named by tag, not by digest.
    MutableBase,
    /// The compressed layers together are larger than the limit, in bytes.
    MaxSize(u64),
}

impl Rule {
    /// All words that a plan may use, with one line each for `help` texts and the reference.
    pub const WORDS: &'static [(&'static str, &'static str)] = &[
        ("root-user", "the image would run as root"),
        ("missing-healthcheck", "the image has no health check"),
        ("setuid", "a file has the set-user-id or set-group-id bit"),
        ("secrets", "a layer holds a private key, a token or a password file"),
        ("world-writable", "every user may write a file or folder"),
        ("mutable-base", "an image that it is made from is named by a tag, which can move"),
        ("max-size", "the compressed layers are larger than the limit"),
    ];

    /// The word in the plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::RootUser => "root-user",
            Self::MissingHealthcheck => "missing-healthcheck",
            Self::Setuid => "setuid",
            Self::Secrets => "secrets",
            Self::WorldWritable => "world-writable",
            Self::MutableBase => "mutable-base",
            Self::MaxSize(_) => "max-size",
        }
    }
}

/// How grave something is. The words of the vulnerability databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// `low`.
    Low,
    /// `medium`.
    Medium,
    /// `high`.
    High,
    /// `critical`.
    Critical,
}

impl Severity {
    /// The words in a plan, in order.
    pub const WORDS: &'static [&'static str] = &["low", "medium", "high", "critical"];

    /// The word in a plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// The severity of this word.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        [Self::Low, Self::Medium, Self::High, Self::Critical].into_iter().find(|severity| severity.word() == word)
    }
}

/// A rule that the plan itself writes: what fits all its conditions breaks it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CustomRule {
    /// Its name.
    pub name: String,
    /// What happens on a finding.
    pub level: Level,
    /// How grave a finding is.
    pub severity: Option<Severity>,
    /// What is wrong then, in the plan's words.
    pub doc: Option<String>,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// The name in the source.
    pub span: Span,
}

/// One condition of a rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Condition {
    /// What is looked at.
    pub field: Field,
    /// What is asked of it.
    pub test: Test,
    /// The node.
    pub span: Span,
}

/// What a condition can look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Field {
    /// The value of a label.
    Label(String),
    /// The value of an environment variable.
    Env(String),
    /// One of [`Field::PLAIN`].
    Plain(String),
}

impl Field {
    /// Fields without a name of their own, each with one line about it.
    pub const PLAIN: &'static [(&'static str, &'static str)] = &[
        ("user", "who it runs as; not set when the base decides"),
        ("port", "ports that it exposes or that this machine opens for it"),
        ("image", "the reference that a service is made of"),
        ("address", "addresses of this machine that its ports are open on"),
        ("network", "`none`, `usual`, or the names of its networks"),
        ("mount", "paths of the project that it mounts"),
        ("volume", "volumes that it mounts"),
        ("socket", "the engine's socket, when it has it"),
        ("capability", "capabilities that are added"),
        ("dropped", "capabilities that are dropped"),
        ("read-only", "`true` when the root file system is"),
        ("memory", "the memory limit in bytes; sizes like `2GiB` are understood"),
        ("cpus", "the CPU limit"),
        ("pids", "the limit of processes"),
        ("restart", "when it is started again"),
    ];

    /// Whether an image has it. All fields are known of a service.
    #[must_use]
    pub fn is_of_images(&self) -> bool {
        match self {
            Self::Label(_) | Self::Env(_) => true,
            Self::Plain(word) => matches!(word.as_str(), "user" | "port"),
        }
    }
}

/// What a condition asks of its field, which may have no value, one, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Test {
    /// Some value is this text.
    Is(String),
    /// No value is this text.
    Not(String),
    /// Some value has this text in it.
    Has(String),
    /// Some value is a larger number.
    Above(f64),
    /// Some value is a smaller number.
    Below(f64),
    /// There is a value, or there is none.
    Set(bool),
}

impl Test {
    /// Whether it holds for these values.
    #[must_use]
    pub fn holds(&self, values: &[String]) -> bool {
        let number = |text: &String| text.parse::<f64>().ok();
        match self {
            Self::Is(text) => values.contains(text),
            Self::Not(text) => !values.contains(text),
            Self::Has(text) => values.iter().any(|value| value.contains(text.as_str())),
            Self::Above(limit) => values.iter().filter_map(number).any(|value| value > *limit),
            Self::Below(limit) => values.iter().filter_map(number).any(|value| value < *limit),
            Self::Set(set) => values.is_empty() != *set,
        }
    }
}

/// A finding that is accepted for a while: `waive "CVE-2026-1234" reason="…" until="2026-12-31"`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiver {
    /// A rule, or the id of a vulnerability.
    pub id: String,
    /// Why; required.
    pub reason: String,
    /// The last day that it counts on: `2026-12-31`.
    pub until: String,
    /// Whether that day has not passed.
    pub in_force: bool,
    /// The node.
    pub span: Span,
}

/// A `policy` node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyDef {
    /// The name used in `scan policy=…`.
    pub name: String,
    /// Each rule with its level, in order of declaration.
    pub rules: Vec<(Rule, Level, Span)>,
    /// Rules that the plan writes itself.
    pub custom: Vec<CustomRule>,
    /// How old a base image may be.
    pub max_age: Option<(Duration, Level, Span)>,
    /// Findings that are accepted for a while.
    pub waivers: Vec<Waiver>,
    /// Paths in the image that `setuid`, `secrets` and `world-writable` pass over, each with its reason.
    pub allow: Vec<Allowance>,
    /// The node.
    pub span: Span,
}

/// An exception with its reason: `allow "/usr/bin/su" reason="…"`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Allowance {
    /// A pattern over paths in the image, without the leading slash. A secret in the config has the path
    /// `config:env/NAME`, `config:label/NAME` or `config:history/3`.
    pub pattern: crate::base::pattern::Pattern,
    /// Why; required.
    pub reason: String,
    /// The node.
    pub span: Span,
}

/// What counts when `scan` names no policy: nothing that gives something away or gives more rights than it seems is
/// published; the rest is said.
#[must_use]
pub fn default_policy() -> PolicyDef {
    let text = "deny secrets setuid\nwarn root-user missing-healthcheck world-writable mutable-base\n";
    let source = Arc::new(Source { name: "<built in>".to_owned(), text: text.to_owned() });
    let rules = [
        (Rule::Secrets, Level::Deny),
        (Rule::Setuid, Level::Deny),
        (Rule::RootUser, Level::Warn),
        (Rule::MissingHealthcheck, Level::Warn),
        (Rule::WorldWritable, Level::Warn),
        (Rule::MutableBase, Level::Warn),
    ];
    let place = |rule: Rule| Span::new(&source, text.find(rule.word()).unwrap_or(0), rule.word().len());
    PolicyDef {
        name: "default".to_owned(),
        rules: rules.into_iter().map(|(rule, level)| (rule, level, place(rule))).collect(),
        custom: Vec::new(),
        max_age: None,
        waivers: Vec::new(),
        allow: Vec::new(),
        span: Span::new(&source, 0, text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_the_default_policy_points_at_its_word() {
        for (rule, _, span) in default_policy().rules {
            assert_eq!(span.text(), rule.word());
        }
    }
}
