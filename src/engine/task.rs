//! Run steps: commands as child processes, or in a container.

use std::sync::Arc;
use std::time::Duration;

use crate::base::digest::{Blake3, ContentDigest};
use crate::plan::target::TaskCell;
use crate::sys::cancel::Urgency;
use crate::sys::file;

use super::log::{Kept, Log, LogLimits};
use super::process::{self as commands, Ran, TaskJob, TaskOutcome};
use super::sandbox::Sandboxed;
use super::{Failure, Job, Machine, Made, Outcome, secret};

/// The time between `SIGTERM` and `SIGKILL`.
pub const GRACE: Duration = Duration::from_secs(5);

/// Carries a task out.
pub async fn run(machine: &Arc<Machine>, job: &Job<'_>, cell: &TaskCell) -> Outcome {
    if cell.container.is_some() {
        return contained(machine, job, cell).await;
    }
    let folder = machine.store.scratch();
    let given = match secret::fetch(machine, job, &cell.secrets) {
        Ok(given) => given,
        Err(failure) => return Outcome::Failed(failure),
    };
    let sandbox = match cell.sandbox.as_ref().map(|asked| Sandboxed::prepare(machine, job, cell, asked, given.folder())).transpose() {
        Ok(sandbox) => sandbox,
        Err(failure) => return Outcome::Failed(failure),
    };
    let task = TaskJob {
        step: &job.action.name,
        cell,
        root: &machine.root,
        extra_env: &given.env,
        needles: &given.needles,
        log_folder: folder.as_path(),
        log_limits: LogLimits::default(),
        listener: machine.listener.as_ref(),
        cancel: &machine.cancel,
        grace: GRACE,
        shims: &machine.shims,
        claim: job.claim,
        sandbox: sandbox.as_ref(),
        jobs: machine.jobs.get(),
    };
    let token = match machine.jobs.get() {
        Some(jobs) => tokio::select! {
            token = jobs.take() => Some(token),
            () = machine.cancel.requested(Urgency::Gentle) => return Outcome::Cancelled { log: None },
        },
        None => None,
    };
    if cell.interactive {
        (machine.screen)(true);
    }
    let outcome = commands::run_task(&task).await;
    if cell.interactive {
        (machine.screen)(false);
    }
    match (token, &outcome) {
        (Some(token), TaskOutcome::Done(_)) => token.ended_well(),
        (token, _) => drop(token),
    }
    match outcome {
        TaskOutcome::Done(ran) => match keep(machine, ran.log) {
            Ok(log) => match sandbox.as_ref().map(|sandbox| sandbox.judge(machine, job, cell)).transpose() {
                Ok(_) => Outcome::Done(Made { log, behind: sandbox, ..Made::default() }),
                Err(failure) => Outcome::Failed(Failure { log, ..failure }),
            },
            Err(failure) => Outcome::Failed(failure),
        },
        TaskOutcome::Failed { class, reason, help, ran: Ran { log, .. } } => {
            let log = keep(machine, log).ok().flatten();
            let help = sandbox.as_ref().and_then(|sandbox| sandbox.explain(machine, job, cell)).or(help);
            Outcome::Failed(Failure { class, reason, help, log })
        }
        TaskOutcome::Cancelled(ran) => Outcome::Cancelled { log: keep(machine, ran.log).ok().flatten() },
    }
}

/// Moves a log into the store; an empty one is none.
pub(super) fn keep(machine: &Machine, log: Option<Log>) -> Result<Option<ContentDigest>, Failure> {
    let Some(log) = log.filter(|log| log.size > 0) else { return Ok(None) };
    let path = match &log.kept {
        Kept::Held(bytes) => return machine.store.put(bytes).map(|digest| Some(ContentDigest(digest))).map_err(Failure::disk),
        Kept::File(_, path) => path,
    };
    let mut reader = file::open(path).map_err(Failure::disk)?;
    let mut writer = machine.store.writer::<Blake3>().map_err(Failure::disk)?;
    std::io::copy(&mut reader, &mut writer).map_err(Failure::disk)?;
    let (digest, _) = writer.commit().map_err(Failure::disk)?;
    Ok(Some(ContentDigest(digest)))
}

#[cfg(feature = "docker")]
use super::docker::task::run as contained;

#[cfg(not(feature = "docker"))]
async fn contained(_machine: &Arc<Machine>, job: &Job<'_>, _cell: &TaskCell) -> Outcome {
    let reason = format!("`{}` runs in a container, and this kiln was built without Docker", job.action.name);
    Outcome::Failed(Failure::new(crate::event::FailureClass::Environment, reason, Some("build kiln with the feature `docker`".to_owned())))
}
