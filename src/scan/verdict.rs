//! What follows from the findings.
//! In: findings and the exceptions of a policy. Out: what is refused, what is said, what is let through and why.
//! Never: an exception without its reason.

use serde::Serialize;

use crate::base::digest::BlobDigest;
use crate::base::path::RelPath;
use crate::base::words;
use crate::plan::policy::{Allowance, Level, Rule, Waiver};

/// A layer, as a person finds it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LayerPlace {
    /// Its number, the lowest is 0.
    pub index: usize,
    /// Its compressed bytes.
    pub digest: BlobDigest,
}

/// One breach of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// What the policy says of it.
    pub level: Level,
    /// The path in the image, or `config:env/NAME` and the like; none when the whole image is meant.
    pub path: Option<RelPath>,
    /// The layer that brings it.
    pub layer: Option<LayerPlace>,
    /// What is wrong; holds no secret.
    pub message: String,
    /// The next act.
    pub help: String,
}

/// A finding that the policy lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The finding.
    pub finding: Finding,
    /// The policy's reason.
    pub reason: String,
}

/// What a policy says of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The manifest that was judged.
    pub image: BlobDigest,
    /// Refused first, then by rule and path.
    pub findings: Vec<Finding>,
    /// What exceptions let through, in the same order.
    pub allowed: Vec<Allowed>,
    /// Databases of packages that could not be read, each with its reason: the bill of materials lacks what they name.
    pub gaps: Vec<String>,
    /// Whether any finding refuses the image.
    pub denied: bool,
}

/// Where a finding about the config has its path, so that an exception can name it.
pub const CONFIG: &str = "config:";

impl Finding {
    /// The path as a person writes it in `allow`: absolute, or `config:…`.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        self.path
            .as_ref()
            .map(|path| if path.as_bytes().starts_with(CONFIG.as_bytes()) { path.escaped() } else { format!("/{}", path.escaped()) })
    }
}

impl Verdict {
    /// Sorts findings and applies the exceptions; those hold for files and entries of the config, not for the image as a whole.
    /// A waiver holds for all findings of its rule, until its day has passed.
    #[must_use]
    pub fn new(image: BlobDigest, mut findings: Vec<Finding>, exceptions: &[Allowance], waivers: &[Waiver], gaps: Vec<String>) -> Self {
        findings.sort_by(|a, b| order(a).cmp(&order(b)));
        findings.dedup();
        let waived = |finding: &Finding| {
            let waiver = waivers.iter().find(|waiver| waiver.in_force && waiver.id == finding.rule.word())?;
            Some(format!("{} (until {})", waiver.reason, waiver.until))
        };
        let excepted = |finding: &Finding| {
            let path = finding.path.as_ref().filter(|_| matches!(finding.rule, Rule::Setuid | Rule::Secrets | Rule::WorldWritable))?;
            exceptions.iter().find(|exception| exception.pattern.selects(path)).map(|exception| exception.reason.clone())
        };
        let mut allowed = Vec::new();
        let mut kept = Vec::new();
        for finding in findings {
            match excepted(&finding).or_else(|| waived(&finding)) {
                Some(reason) => allowed.push(Allowed { finding, reason }),
                None => kept.push(finding),
            }
        }
        let denied = kept.iter().any(|finding| finding.level == Level::Deny);
        Self { image, findings: kept, allowed, gaps, denied }
    }

    /// A few words: `refused: 2 findings, 1 warning, 3 allowed`.
    #[must_use]
    pub fn summary(&self) -> String {
        let refused = self.findings.iter().filter(|finding| finding.level == Level::Deny).count();
        let mut parts = Vec::new();
        if refused > 0 {
            parts.push(words::count(refused, "finding"));
        }
        if self.findings.len() > refused {
            parts.push(words::count(self.findings.len() - refused, "warning"));
        }
        if !self.allowed.is_empty() {
            parts.push(format!("{} allowed", self.allowed.len()));
        }
        if !self.gaps.is_empty() {
            parts.push(format!("incomplete: {} not read", words::count(self.gaps.len(), "package database")));
        }
        match (self.denied, parts.is_empty()) {
            (true, _) => format!("refused: {}", parts.join(", ")),
            (false, true) => "clean".to_owned(),
            (false, false) => parts.join(", "),
        }
    }

    /// The findings as JSON, one document, the same bytes for the same verdict. `version` grows when a field changes its meaning.
    #[must_use]
    pub fn findings_json(&self) -> Vec<u8> {
        let document = Document {
            version: 1,
            image: self.image,
            denied: self.denied,
            findings: self.findings.iter().map(|finding| row(finding, None)).collect(),
            allowed: self.allowed.iter().map(|allowed| row(&allowed.finding, Some(&allowed.reason))).collect(),
            incomplete: &self.gaps,
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

fn order(finding: &Finding) -> (std::cmp::Reverse<Level>, Rule, Option<&RelPath>, Option<LayerPlace>, &str) {
    (std::cmp::Reverse(finding.level), finding.rule, finding.path.as_ref(), finding.layer, &finding.message)
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    image: BlobDigest,
    denied: bool,
    findings: Vec<Row<'a>>,
    allowed: Vec<Row<'a>>,
    incomplete: &'a [String],
}

#[derive(Serialize)]
struct Row<'a> {
    rule: &'static str,
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<LayerPlace>,
    message: &'a str,
    help: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

fn row<'a>(finding: &'a Finding, reason: Option<&'a str>) -> Row<'a> {
    Row {
        rule: finding.rule.word(),
        level: match finding.level {
            Level::Warn => "warn",
            Level::Deny => "deny",
        },
        path: finding.place(),
        layer: finding.layer,
        message: &finding.message,
        help: &finding.help,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::{Source, Span};
    use crate::base::digest::Digest;
    use crate::base::pattern::Pattern;

    fn finding(rule: Rule, level: Level, path: &str) -> Finding {
        let path = (!path.is_empty()).then(|| RelPath::new(path).unwrap());
        Finding { rule, level, path, layer: None, message: "m".into(), help: "h".into() }
    }

    fn judge(findings: Vec<Finding>, allow: &[&str]) -> Verdict {
        let source = std::sync::Arc::new(Source { name: "x".into(), text: String::new() });
        let allow = allow.iter().map(|pattern| Allowance {
            pattern: Pattern::new(pattern).unwrap(),
            reason: "known".into(),
            span: Span::new(&source, 0, 0),
        });
        Verdict::new(BlobDigest(Digest::of(b"")), findings, &allow.collect::<Vec<_>>(), &[], Vec::new())
    }

    #[test]
    fn an_exception_moves_a_finding_and_no_more_than_that() {
        let findings = || {
            vec![
                finding(Rule::RootUser, Level::Warn, ""),
                finding(Rule::Setuid, Level::Deny, "usr/bin/su"),
                finding(Rule::Secrets, Level::Deny, "config:env/NPM_TOKEN"),
            ]
        };
        for (allow, summary) in [
            (&[][..], "refused: 2 findings, 1 warning"),
            (&["usr/bin/su"], "refused: 1 finding, 1 warning, 1 allowed"),
            (&["usr/bin/s"], "refused: 2 findings, 1 warning"),
            (&["usr/bin/su", "config:env/*"], "1 warning, 2 allowed"),
            (&["config/**"], "refused: 2 findings, 1 warning"),
            (&["**"], "1 warning, 2 allowed"),
        ] {
            assert_eq!(judge(findings(), allow).summary(), summary, "{allow:?}");
        }
        assert_eq!(judge(Vec::new(), &[]).summary(), "clean");
    }

    #[test]
    fn the_document_is_stable() {
        let verdict = judge(vec![finding(Rule::Setuid, Level::Deny, "b"), finding(Rule::Setuid, Level::Deny, "a")], &["b"]);
        assert_eq!(
            String::from_utf8(verdict.findings_json()).unwrap(),
            r#"{"version":1,"image":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","denied":true,"findings":[{"rule":"setuid","level":"deny","path":"/a","message":"m","help":"h"}],"allowed":[{"rule":"setuid","level":"deny","path":"/b","message":"m","help":"h","reason":"known"}],"incomplete":[]}"#
        );
    }
}
