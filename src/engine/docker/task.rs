//! Tasks that run inside a container: of an image just built, or of one that the daemon has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::id::StepKind;
use crate::base::time::Span;
use crate::base::words;
use crate::engine::log::{LogLimits, LogSink};
use crate::engine::process::{FIXED, silent};
use crate::engine::redact::Needles;
use crate::engine::{Failure, Job, Machine, Made, Outcome, task};
use crate::event::FailureClass;
use crate::oci::reference::Reference;
use crate::plan::target::{Command, Container, ContainerImage, TaskCell};
use crate::sys::cancel::Urgency;
use crate::sys::env;

use super::container::Order;
use super::orphans::Mark;
use super::{Docker, DockerError};

/// The repository under which images of plans stand in the daemon while tasks run in them.
const REPOSITORY: &str = "kiln.invalid";

/// Runs the commands of a cell, each in a container of its own.
pub async fn run(machine: &Arc<Machine>, job: &Job<'_>, cell: &TaskCell) -> Outcome {
    let Some(container) = &cell.container else {
        return Outcome::Failed(Failure::new(FailureClass::Internal, "there is no container to run in", None));
    };
    let scratch = machine.store.scratch();
    let needles = Needles::new([]);
    let mut sink = LogSink::new(scratch.as_path(), &job.action.name, machine.listener.as_ref(), &needles, LogLimits::default());
    let ended = attempt(machine, job, cell, container, &mut sink).await;
    let kept = sink.finish().map_err(Failure::disk).and_then(|log| task::keep(machine, Some(log)));
    let log = kept.as_ref().ok().copied().flatten();
    match ended {
        Ok(()) => kept.map_or_else(Outcome::Failed, |log| Outcome::Done(Made { log, ..Made::default() })),
        Err(Some(failure)) => Outcome::Failed(Failure { log, ..failure }),
        Err(None) => Outcome::Cancelled { log },
    }
}

/// `Err(None)` when it was stopped.
async fn attempt(
    machine: &Machine,
    job: &Job<'_>,
    cell: &TaskCell,
    container: &Container,
    sink: &mut LogSink<'_>,
) -> Result<(), Option<Failure>> {
    let broken = |error: DockerError| Some(Failure::new(FailureClass::Environment, &error, Some(error.help())));
    let docker = Docker::connect().await.map_err(broken)?;
    let project = machine.root.as_path().display().to_string();
    let mark = Mark { run: machine.run.clone(), project, step: job.action.name.to_string() };
    let _alive = mark.live(&machine.store);
    let left = docker.remove_orphans(&machine.store, &mark).await.map_err(broken)?;
    if left > 0 {
        job.notice(machine, format!("removed {} of a run that was killed", words::count(left, "container")));
    }
    let image = tokio::select! {
        image = image(machine, job, container, &docker) => image.map_err(broken)?,
        () = machine.cancel.requested(Urgency::Gentle) => return Err(None),
    };
    // A task without commands runs what the image itself says.
    let own = [Command::Exec(Vec::new())];
    let commands = if cell.commands.is_empty() { &own[..] } else { &cell.commands };
    for command in commands {
        let order = order(machine, &mark, cell, container, &image, command);
        let (heard, fell_silent) = (Notify::new(), AtomicBool::new(false));
        let stop = async {
            tokio::select! {
                () = silence(&heard, cell.silence) => fell_silent.store(true, Ordering::Relaxed),
                () = machine.cancel.requested(Urgency::Gentle) => {}
                () = tokio::time::sleep(cell.timeout.unwrap_or(Duration::MAX)), if cell.timeout.is_some() => {}
            }
        };
        let output = |stream, bytes: &[u8]| {
            heard.notify_one();
            sink.write(stream, bytes);
        };
        match docker.run(order, output, stop, machine.cancel.requested(Urgency::Now)).await.map_err(broken)? {
            Some(0) => {}
            Some(code) => return Err(Some(Failure::new(FailureClass::Step, meaning(code), help(code, cell, command)))),
            None if machine.cancel.is_requested() => return Err(None),
            None if fell_silent.load(Ordering::Relaxed) => {
                let (reason, help) = silent(cell.silence.unwrap_or_default());
                return Err(Some(Failure::new(FailureClass::Step, reason, Some(help))));
            }
            None => {
                let limit = Span(cell.timeout.unwrap_or_default());
                return Err(Some(Failure::new(FailureClass::Step, format!("stopped after its timeout of {limit}"), None)));
            }
        }
    }
    Ok(())
}

/// Ends when nothing was heard for so long.
async fn silence(heard: &Notify, limit: Option<Duration>) {
    let Some(limit) = limit else { return std::future::pending().await };
    while tokio::time::timeout(limit, heard.notified()).await.is_ok() {}
}

/// An exit code in words; above 128, shells and engines mean a signal.
fn meaning(code: i64) -> String {
    match i32::try_from(code - 128).ok().and_then(crate::sys::signal::name) {
        Some(signal) => format!("exit code {code} (ended by {signal})"),
        None => format!("exit code {code}"),
    }
}

/// Shells and the engine's init process end with 126 and 127 when there is nothing to start.
fn help(code: i64, cell: &TaskCell, command: &Command) -> Option<String> {
    let program = match command {
        Command::Script(_) => cell.shell.first()?,
        Command::Exec(words) => words.first()?,
    };
    matches!(code, 126 | 127).then(|| format!("the image must have `{program}`, and the programs that it calls, for this machine"))
}

/// The id of the image to run.
async fn image(machine: &Machine, job: &Job<'_>, container: &Container, docker: &Docker) -> Result<String, DockerError> {
    match &container.image {
        ContainerImage::Reference(reference) => match docker.image_id(&reference.to_string()).await? {
            Some(id) => Ok(id),
            None => {
                job.notice(machine, format!("Docker pulls `{reference}`"));
                docker.pull(reference).await
            }
        },
        ContainerImage::Target(name) => {
            let found = job.taken.images.iter().find(|(step, _)| step.target == *name && step.kind == StepKind::Build);
            let (_, image) = found.ok_or_else(|| DockerError::Image(format!("image `{name}` has not been built")))?;
            let text = format!("{REPOSITORY}/{}:{}", name.as_str().to_lowercase().replace(':', "-"), image.descriptor.digest.0.short());
            let name: Reference = text.parse().map_err(|error| DockerError::Image(format!("{error}")))?;
            docker.load(&machine.store, &image.descriptor, &name).await.map(|loaded| loaded.id)
        }
    }
}

fn order<'a>(machine: &'a Machine, mark: &Mark, cell: &TaskCell, container: &'a Container, image: &'a str, command: &Command) -> Order<'a> {
    let mut variables: Vec<String> = FIXED.iter().map(|(name, value)| format!("{name}={value}")).collect();
    variables.extend(cell.env.iter().map(|(name, value)| format!("{name}={value}")));
    variables.extend(cell.pass_env.iter().filter_map(|name| env::exact(name)?.into_string().ok().map(|value| format!("{name}={value}"))));
    // `run` replaces the image's entrypoint by the shell; `exec` gives the entrypoint its arguments, as `docker run` does.
    let (entrypoint, cmd) = match command {
        Command::Script(text) => {
            let words = [text.as_str()].into_iter().chain(cell.behind_script());
            (Some(cell.shell.clone()), words.map(str::to_owned).collect())
        }
        Command::Exec(words) => (None, words.clone()),
    };
    Order {
        image,
        container,
        env: variables,
        entrypoint,
        cmd,
        root: &machine.root,
        dir: cell.dir.as_str().unwrap_or_default().to_owned(),
        labels: mark.labels(),
    }
}
