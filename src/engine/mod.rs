//! Who carries an action out: the embedded builder, child processes, Docker, registries.
//! In: an action ready to run and its ingredients. Out: an outcome. Never: decides whether it should run.

pub mod ask;
pub mod blobs;
pub mod embedded;
pub mod evidence;
pub mod foretell;
pub mod log;
pub mod process;
pub mod provenance;
pub mod publish;
pub mod redact;
pub mod sandbox;
pub mod save;
pub mod scan;
pub mod secret;
pub mod signing;
pub mod tagging;
mod task;
pub mod tools;
pub mod verify;

#[cfg(feature = "docker")]
pub mod docker;

use std::sync::{Arc, OnceLock};

use crate::base::digest::ContentDigest;
use crate::base::id::{RunId, StepName};
use crate::base::path::AbsPath;
use crate::event::{Event, FailureClass, Listener};
use crate::graph::action::{Action, ActionKind};
use crate::graph::ingredients::Ingredients;
use crate::registry::session::Session;
use crate::store::blob::StoreError;
use crate::store::claim::Claim;
use crate::store::lately::Lately;
use crate::store::local::Store;
use crate::store::result::ImageResult;
use crate::store::stat_cache::StatCache;
use crate::sys::cancel::Cancel;
use crate::sys::file::FileError;
use crate::sys::jobs::Jobs;
use crate::sys::shims::Shims;

use self::sandbox::Sandboxed;
use self::tools::Tools;

/// What every engine works with. One per run.
pub struct Machine {
    /// The project.
    pub root: AbsPath,
    /// Where blobs and results are.
    pub store: Store,
    /// What is known of files that did not change.
    pub stats: StatCache,
    /// Results that were found lately.
    pub lately: Lately,
    /// Who is told.
    pub listener: Arc<dyn Listener>,
    /// The wish that everything stops.
    pub cancel: Cancel,
    /// The run.
    pub run: RunId,
    /// Connections to registries.
    pub registries: Session,
    /// Versions of the tools that the plan declares.
    pub tools: Arc<Tools>,
    /// The helpers behind which commands run.
    pub shims: Shims,
    /// The jobs that steps share with their programs, in a run with a step that shares them.
    pub jobs: OnceLock<Jobs>,
    /// Leaves the screen to a program (`true`), or takes it back.
    pub screen: Box<dyn Fn(bool) + Send + Sync>,
}

impl Machine {
    /// Writes what was learnt about files and results for the next command, and clears what other kilns left that were killed meanwhile.
    ///
    /// # Errors
    /// [`FileError`]; nothing is lost but time.
    pub fn keep(&self) -> Result<(), FileError> {
        self.store.tidy(&self.root);
        self.stats.save()?;
        self.lately.save()
    }
}

/// One action to carry out.
pub struct Job<'a> {
    /// What.
    pub action: &'a Action,
    /// With what.
    pub taken: &'a Ingredients,
    /// The right to do it, where it can be claimed.
    pub claim: Option<&'a Claim>,
}

impl Job<'_> {
    /// Tells everyone something about this step.
    pub fn notice(&self, machine: &Machine, text: String) {
        machine.listener.event(Event::Notice { step: Some(self.action.name.clone()), text });
    }
}

/// What an engine made, outputs of tasks apart: those are captured by whoever asked.
#[derive(Debug, Default)]
pub struct Made {
    /// An image or an index.
    pub image: Option<ImageResult>,
    /// Documents by name.
    pub documents: Vec<(String, ContentDigest)>,
    /// The log, in the store.
    pub log: Option<ContentDigest>,
    /// A few words for the screen.
    pub detail: Option<String>,
    /// Whether everything stood in place already and nothing was written or sent.
    pub unchanged: bool,
    /// What the step ran behind, when its outputs are still there and not in the project.
    pub behind: Option<Sandboxed>,
}

/// How it went.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one per step, handed on once")]
pub enum Outcome {
    /// Well.
    Done(Made),
    /// Not well.
    Failed(Failure),
    /// It was stopped.
    Cancelled {
        /// What it said until then.
        log: Option<ContentDigest>,
    },
}

/// Why a step failed.
#[derive(Debug)]
pub struct Failure {
    /// Who must act.
    pub class: FailureClass,
    /// One sentence.
    pub reason: String,
    /// The next act.
    pub help: Option<String>,
    /// What it said, in the store.
    pub log: Option<ContentDigest>,
}

impl Failure {
    /// A failure without a log.
    #[must_use]
    pub fn new(class: FailureClass, reason: impl std::fmt::Display, help: Option<String>) -> Self {
        Self { class, reason: reason.to_string(), help, log: None }
    }
    /// The store: what it could not take, and what to do about that.
    #[must_use]
    pub fn store(error: &StoreError) -> Self {
        let help = if error.is_full() {
            Some("`kiln cache gc --max-size 5GiB` makes room; KILN_CACHE_DIR names a folder on another disk")
        } else if error.is_read_only() {
            Some("what the store has can be used; to keep new results, mend its rights or name another folder with KILN_CACHE_DIR")
        } else if error.is_missing() {
            Some("it was damaged or removed; run it again, and what made it runs anew")
        } else {
            Some("`kiln cache doctor` looks at the store's place")
        };
        Self::new(FailureClass::Environment, error, help.map(str::to_owned))
    }
    /// The disk or the store.
    #[must_use]
    pub fn disk(reason: impl std::fmt::Display) -> Self {
        Self::new(FailureClass::Environment, reason, None)
    }
}

/// Carries an action out.
pub async fn carry_out(machine: &Arc<Machine>, job: Job<'_>) -> Outcome {
    let made = match &job.action.kind {
        ActionKind::Run(cell) => return task::run(machine, &job, cell).await,
        ActionKind::Fetch(fetch) => embedded::fetch(machine, fetch).await,
        ActionKind::Build(build) => embedded::build(machine, &job, build).await,
        ActionKind::Index(image) => embedded::index(machine, &job, image),
        ActionKind::Scan(scan) => scan::scan(machine, &job, scan).await,
        ActionKind::Sbom(sbom) => scan::bill(machine, &job, sbom).await,
        ActionKind::Provenance(action) => provenance::provenance(machine, &job, action).await,
        ActionKind::Save(image) => save::save(machine, &job, image).await,
        ActionKind::Push(publish) => publish::push(machine, &job, publish).await,
        ActionKind::Evidence(action) => evidence::evidence(machine, &job, action).await,
        ActionKind::Tag(publish) => publish::tag(machine, &job, publish).await,
        ActionKind::Up(_) => Err(Failure::new(FailureClass::Internal, "a service cannot be started by a run yet", None)),
        ActionKind::Group => Ok(Made::default()),
    };
    made.map_or_else(Outcome::Failed, Outcome::Done)
}

/// The image that comes from the only need that has one.
fn root_image<'a>(job: &'a Job<'_>) -> Result<&'a (StepName, ImageResult), Failure> {
    job.taken
        .images
        .first()
        .ok_or_else(|| Failure::new(FailureClass::Internal, format!("`{}` has no image to work on", job.action.name), None))
}
