//! `policy` nodes: what an image must and must not be.

use std::sync::Arc;

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
        ("mutable-base", "the base image is named by a tag, which can move"),
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

/// A `policy` node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyDef {
    /// The name used in `scan policy=…`.
    pub name: String,
    /// Each rule with its level, in order of declaration.
    pub rules: Vec<(Rule, Level, Span)>,
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
