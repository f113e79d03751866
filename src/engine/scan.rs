//! Scan steps: findings go to the log, the SBOM and the findings to the store, a refusal stops what needs the step.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::base::digest::{Blake3, ContentDigest};
use crate::base::time::Moment;
use crate::base::words;
use crate::event::{Event, FailureClass, Stream};
use crate::graph::action::{SbomAction, ScanAction};
use crate::plan::policy::{self, Level, PolicyDef};
use crate::scan::run::{self, ImageFacts, Scan};
use crate::scan::verdict::Verdict;

use super::embedded::failure;
use super::{Failure, Job, Machine, Made};

/// The name of the bill of materials among a step's documents.
pub const SBOM: &str = "sbom.cdx.json";
/// The name of the same in SPDX.
pub const SPDX: &str = "sbom.spdx.json";
/// The name of the findings among a step's documents.
pub const FINDINGS: &str = "findings.json";

/// Holds one platform against its policy.
pub async fn scan(machine: &Arc<Machine>, job: &Job<'_>, action: &ScanAction) -> Result<Made, Failure> {
    let image = super::root_image(job)?.1.descriptor.clone();
    let facts =
        ImageFacts { mutable_base: action.mutable_base, name: action.repository.clone(), epoch: Moment::from_seconds(action.epoch) };
    let (shared, policy) = (Arc::clone(machine), Arc::clone(&action.policy));
    let scan = tokio::task::spawn_blocking(move || run::scan_image(&shared.store, &image, &facts, &policy))
        .await
        .map_err(|error| Failure::new(FailureClass::Internal, error, None))?
        .map_err(|error| failure(error.diagnostic()))?;
    let text = text(&scan);
    if !text.is_empty() {
        machine.listener.event(Event::Output { step: job.action.name.clone(), stream: Stream::Out, bytes: text.clone().into_bytes() });
    }
    let keep = |bytes: &[u8]| machine.store.put::<Blake3>(bytes).map(ContentDigest).map_err(Failure::disk);
    let log = if text.is_empty() { None } else { Some(keep(text.as_bytes())?) };
    if scan.verdict.denied || !scan.verdict.gaps.is_empty() {
        let class = if scan.verdict.denied { FailureClass::Policy } else { FailureClass::Step };
        let reason = format!("policy `{}`: {}", action.policy.name, scan.verdict.summary());
        return Err(Failure { class, reason, help: Some(help(&scan.verdict)), log });
    }
    let documents = vec![
        (FINDINGS.to_owned(), keep(&scan.verdict.findings_json())?),
        (SBOM.to_owned(), keep(&scan.sbom)?),
        (SPDX.to_owned(), keep(&scan.spdx)?),
    ];
    let detail = Some(format!("{}, {}", scan.verdict.summary(), words::count(scan.packages, "package")));
    Ok(Made { documents, log, detail, ..Made::default() })
}

/// Lists what is in one platform, and judges nothing.
pub async fn bill(machine: &Arc<Machine>, job: &Job<'_>, action: &SbomAction) -> Result<Made, Failure> {
    let image = super::root_image(job)?.1.descriptor.clone();
    let facts = ImageFacts { mutable_base: false, name: action.repository.clone(), epoch: Moment::from_seconds(action.epoch) };
    let policy = PolicyDef { rules: Vec::new(), ..policy::default_policy() };
    let shared = Arc::clone(machine);
    let scan = tokio::task::spawn_blocking(move || run::scan_image(&shared.store, &image, &facts, &policy))
        .await
        .map_err(|error| Failure::new(FailureClass::Internal, error, None))?
        .map_err(|error| failure(error.diagnostic()))?;
    for gap in &scan.verdict.gaps {
        job.notice(machine, format!("the bill of materials is incomplete and says so: {gap}"));
    }
    let keep = |bytes: &[u8]| machine.store.put::<Blake3>(bytes).map(ContentDigest).map_err(Failure::disk);
    let documents = vec![(SBOM.to_owned(), keep(&scan.sbom)?), (SPDX.to_owned(), keep(&scan.spdx)?)];
    Ok(Made { documents, detail: Some(words::count(scan.packages, "package")), ..Made::default() })
}

/// An exception holds for a path only; a finding about the whole image needs another policy.
fn help(verdict: &Verdict) -> String {
    let (mut has_path, mut rules) = (false, Vec::new());
    for finding in verdict.findings.iter().filter(|finding| finding.level == Level::Deny) {
        has_path |= finding.path.is_some();
        if finding.path.is_none() && !rules.contains(&finding.rule.word()) {
            rules.push(finding.rule.word());
        }
    }
    let mut ways = vec!["mend the image".to_owned()];
    if has_path {
        ways.push("let a path through with `allow \"/path\" reason=\"…\"` in the policy".to_owned());
    }
    if !rules.is_empty() {
        ways.push(format!("only warn of it: `warn {}`", rules.join(" ")));
    }
    format!("{}; nothing was pushed", words::list(&ways, "or"))
}

/// The findings for a person: refused ones first, each with the next act.
fn text(scan: &Scan) -> String {
    let mut text = String::new();
    for finding in &scan.verdict.findings {
        let level = if finding.level == Level::Deny { "refused" } else { "warning" };
        let place = finding.place().map_or_else(String::new, |place| format!(" {place}"));
        let _ = writeln!(text, "{level} {}{place}: {}", finding.rule.word(), finding.message);
        let _ = writeln!(text, "  help: {}", finding.help);
    }
    for allowed in &scan.verdict.allowed {
        let place = allowed.finding.place().unwrap_or_default();
        let _ = writeln!(text, "allowed {} {place}: {} ({})", allowed.finding.rule.word(), allowed.finding.message, allowed.reason);
    }
    for gap in &scan.verdict.gaps {
        let _ = writeln!(text, "incomplete: {gap}");
    }
    text
}
