//! What `kiln why` compares with: the last run of the step, another run of the journal, or a record in a file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::digest::{ActionKey, ContentDigest};
use crate::base::id::{RunId, StepName};
use crate::base::time::Moment;
use crate::base::words;
use crate::engine::Machine;
use crate::event::{Ended, Event};
use crate::exec::past::Past;
use crate::key::KeyManifest;
use crate::record::history::StepHistory;
use crate::record::journal::Journal;
use crate::sys::{env, file};

use super::settings::Settings;

/// The largest record that is read from a file or from the store, in bytes.
const LARGEST: u64 = 256 << 20;

/// The other side of a comparison.
pub enum Against {
    /// The last run of each step.
    Last,
    /// One run of this project on this machine.
    Run { run: RunId, at: Moment, ends: BTreeMap<String, (Ended, Option<ActionKey>, Option<ContentDigest>)> },
    /// Manifests by step, from a file.
    File { name: String, steps: BTreeMap<String, KeyManifest> },
    /// Another plan: a file, a folder or a commit, as it was named.
    Plan(String),
}

/// What is recorded of one step.
#[derive(Debug, Default)]
pub struct Record {
    /// The record in words; `None` when it knows nothing of the step.
    pub name: Option<String>,
    /// How the step failed, if it did.
    pub failed: Option<String>,
    /// What went into its key.
    pub manifest: Option<KeyManifest>,
}

/// Finds the record that `text` names.
///
/// # Errors
/// A [`Diagnostic`] that says what would be one.
pub fn find(settings: &Settings, text: Option<&str>) -> Result<Against, Diagnostic> {
    let Some(text) = text else { return Ok(Against::Last) };
    let unknown = |message: String, help: &str| Diagnostic::new(Class::Usage, "why::against", message).help(help.to_owned());
    let shown = words::shorten(&words::visible(text), 80);
    let is_commit = text.starts_with("git:");
    let path = env::current_dir().map(|here| here.join(text)).ok().filter(|_| !is_commit);
    let status = path.as_ref().and_then(|path| file::status(path).ok());
    if is_commit || status.as_ref().is_some_and(|status| status.is_dir()) || text.ends_with(".kdl") {
        return Ok(Against::Plan(text.to_owned()));
    }
    if let Some(path) = path.filter(|_| status.is_some_and(|status| status.is_file())) {
        let bytes = file::read(&path, LARGEST).map_err(|error| unknown(error.to_string(), "name a file that can be read"))?;
        let steps = read(&bytes).ok_or_else(|| {
            unknown(
                format!("`{shown}` holds no record of keys"),
                "`kiln why STEP --export` and `kiln plan --json --keys` print one, here or on another machine; a plan ends in `.kdl`",
            )
        })?;
        return Ok(Against::File { name: shown, steps });
    }
    let journal = Journal::open(settings.project().as_path());
    let runs = journal.as_ref().ok().and_then(|journal| journal.runs().ok()).unwrap_or_default();
    let fitting: Vec<&RunId> = runs.iter().filter(|run| run.0.starts_with(text)).collect();
    match (journal, fitting.as_slice()) {
        (Ok(journal), [run]) => {
            let events = journal.read(run).map_err(|error| unknown(error.to_string(), "name another run"))?;
            Ok(of_run(run, events))
        }
        (_, []) if Past::is_commit(&settings.root, text) => Ok(Against::Plan(format!("git:{text}"))),
        (_, []) => {
            let known: Vec<&str> = runs.iter().take(5).map(|run| run.0.as_str()).collect();
            let help = if known.is_empty() {
                "no run of this project is on record; a FILE.json comes from `kiln why STEP --export`".to_owned()
            } else {
                format!("the last runs are {}; a FILE.json comes from `kiln why STEP --export`", words::list(&known, "and"))
            };
            Err(unknown(format!("`{shown}` is neither a run on record, a file, nor a commit"), &help))
        }
        (_, several) => Err(unknown(format!("`{shown}` is how {} begin", words::count(several.len(), "run")), "write more of its name")),
    }
}

fn of_run(run: &RunId, events: Vec<Event>) -> Against {
    let mut at = Moment(0);
    let mut ends = BTreeMap::new();
    for event in events {
        match event {
            Event::RunStarted { at: began, .. } => at = began,
            Event::StepEnded { step, ended, key, manifest, .. } => {
                ends.insert(step.to_string(), (ended, key, manifest));
            }
            _ => {}
        }
    }
    Against::Run { run: run.clone(), at, ends }
}

/// What `kiln why --export` and `kiln plan --json --keys` print, as far as it is needed here.
#[derive(Deserialize)]
struct Exported {
    steps: Vec<ExportedStep>,
}

#[derive(Deserialize)]
struct ExportedStep {
    step: String,
    #[serde(default)]
    manifest: Option<KeyManifest>,
}

fn read(bytes: &[u8]) -> Option<BTreeMap<String, KeyManifest>> {
    let exported: Exported = serde_json::from_slice(bytes).ok()?;
    let steps: BTreeMap<_, _> = exported.steps.into_iter().filter_map(|step| Some((step.step, step.manifest?))).collect();
    (!steps.is_empty()).then_some(steps)
}

/// What the other side knows of a step.
///
/// # Errors
/// A [`Diagnostic`] when it was asked for by name and knows nothing.
pub fn record(against: &Against, machine: &Machine, history: &StepHistory, step: &StepName) -> Result<Record, Diagnostic> {
    let manifest = |key, digest: Option<ContentDigest>| serde_json::from_slice(&machine.store.kept(key, digest?, LARGEST)?).ok();
    let failed = |ended: &Ended| match ended {
        Ended::Failed { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    let silent = |other: String| {
        Diagnostic::new(Class::Usage, "why::not-recorded", format!("{other} has no key of `{step}`"))
            .help("a key is recorded when a step runs or is found cached")
    };
    match against {
        // A plan is compared by what it says.
        Against::Plan(_) => Ok(Record::default()),
        Against::Last => Ok(history.get(step).map_or_else(Record::default, |last| Record {
            name: Some(format!("the run of {} ({})", last.at, last.run)),
            failed: failed(&last.ended),
            manifest: manifest(last.key, last.manifest),
        })),
        Against::Run { run, at, ends } => {
            let name = format!("the run of {at} ({run})");
            let (ended, key, digest) = ends.get(&step.to_string()).ok_or_else(|| silent(name.clone()))?;
            let manifest = Some(manifest(*key, *digest).ok_or_else(|| silent(name.clone()))?);
            Ok(Record { name: Some(name), failed: failed(ended), manifest })
        }
        Against::File { name, steps } => {
            let manifest = steps.get(&step.to_string()).ok_or_else(|| silent(format!("`{name}`")))?;
            Ok(Record { name: Some(format!("`{name}`")), failed: None, manifest: Some(manifest.clone()) })
        }
    }
}

/// Why there is no record: it never ran here, or only for other platforms.
#[must_use]
pub fn never(history: &StepHistory, step: &StepName) -> String {
    let Some(platform) = &step.platform else { return "it has not run here before".to_owned() };
    let mut other = step.clone();
    other.platform = None;
    let others: Vec<&str> = history
        .iter()
        .filter_map(|(name, _)| {
            let (start, rest) = name.rsplit_once('@')?;
            let (there, end) = rest.split_once(':').map_or((rest, String::new()), |(there, registry)| (there, format!(":{registry}")));
            (format!("{start}{end}") == other.to_string()).then_some(there)
        })
        .collect();
    if others.is_empty() {
        return "it has not run here before".to_owned();
    }
    format!("the platform is new: it has run here for {}, not for {platform}", words::list(&others, "and").replace('`', ""))
}
