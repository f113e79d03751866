//! Tasks as child processes: the commands of one cell, in order, in a fixed environment.
//! In: a task cell and where it runs. Out: how it ended, and its log. Never: gives a step anything of the machine that the
//! plan did not name, but what [`PASSED`] lists; leaves a process behind; decides whether the step should run.
//!
//! Before the commands, the folders that outputs lie in are made. Outputs of an earlier run stay: compilers that work
//! step by step need them, and a task that wants none of them removes them itself.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use crate::base::id::StepName;
use crate::base::path::AbsPath;
use crate::base::time::Span;
use crate::base::words::{count, visible};
use crate::event::{Event, FailureClass, Listener, Stream};
use crate::plan::retry::{Retry, RetryOn};
use crate::plan::target::{Command, JobForm, TaskCell};
use crate::store::claim::Claim;
use crate::sys::cancel::{Cancel, Urgency};
use crate::sys::clock::Stopwatch;
use crate::sys::exit::{Exit, How, Stopped};
use crate::sys::file::{self, FileError};
use crate::sys::jobs::{self, Jobs};
use crate::sys::modes::SavedModes;
use crate::sys::process::{self, Io, Limits, Pipe, Spec};
use crate::sys::program::{self, DEFAULT_PATH, SpawnError};
use crate::sys::shims::Shims;

use super::log::{Log, LogLimits, LogSink};
use super::redact::Needles;
use super::sandbox::Sandboxed;

/// Variables that every step gets from kiln's own environment. They say who and where the user is; they are in no key.
pub const PASSED: [&str; 5] = ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR"];

/// Variables that every step has with the same value everywhere, unless the plan sets them.
pub const FIXED: [(&str, &str); 3] = [("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("TERM", "dumb")];

/// The pause before the first retry; each further one is twice as long.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The longest pause before a retry.
const LAST_RETRY: Duration = Duration::from_secs(10);

/// A task cell, ready to run on this machine. `cell.container` is not looked at.
#[derive(Clone, Copy)]
pub struct TaskJob<'a> {
    /// The name in events.
    pub step: &'a StepName,
    /// What to run.
    pub cell: &'a TaskCell,
    /// The project.
    pub root: &'a AbsPath,
    /// More variables, stronger than all others: secrets.
    pub extra_env: &'a [(String, OsString)],
    /// What the log must not hold.
    pub needles: &'a Needles,
    /// Where a long log is written, on the file system of the store.
    pub log_folder: &'a Path,
    /// How much of the output is kept and shown.
    pub log_limits: LogLimits,
    /// Hears output, retries and what was left behind.
    pub listener: &'a dyn Listener,
    /// The wish to stop.
    pub cancel: &'a Cancel,
    /// The time between `SIGTERM` and `SIGKILL`.
    pub grace: Duration,
    /// Where the helpers of its commands come from.
    pub shims: &'a Shims,
    /// The claim on the step, which stays locked until nothing of a command is left.
    pub claim: Option<&'a Claim>,
    /// The walls around it, or the watch over it.
    pub sandbox: Option<&'a Sandboxed>,
    /// The jobs that its programs may share.
    pub jobs: Option<&'a Jobs>,
}

/// What a task used and left.
#[derive(Debug)]
pub struct Ran {
    /// From before the first attempt to the last end.
    pub took: Duration,
    /// How often it was tried.
    pub attempts: u32,
    /// What it wrote; `None` for an interactive task, or when it could not be kept.
    pub log: Option<Log>,
}

/// How a task ended.
#[derive(Debug)]
pub enum TaskOutcome {
    /// Every command gave exit code 0.
    Done(Ran),
    /// It did not.
    Failed {
        /// Who must act.
        class: FailureClass,
        /// One clause: `exit code 2`.
        reason: String,
        /// The next act.
        help: Option<String>,
        /// What it used and left.
        ran: Ran,
    },
    /// It was stopped, or never began, because someone wished so.
    Cancelled(Ran),
}

/// What stopped an attempt.
enum Break {
    Cancelled,
    Failed(Failure),
}

struct Failure {
    class: FailureClass,
    reason: String,
    help: Option<String>,
    /// Whether another attempt could end otherwise.
    again: bool,
    /// The name that `retry` has for it.
    sort: Option<RetryOn>,
}

/// Runs the commands of a task, again if the plan allows retries.
///
/// The environment's values are those of this moment; a caller that keys them must take them from the same process.
pub async fn run_task(job: &TaskJob<'_>) -> TaskOutcome {
    let clock = Stopwatch::start();
    let mut attempts = 0;
    let sink = || LogSink::new(job.log_folder, job.step, job.listener, job.needles, job.log_limits);
    let mut log = (!job.cell.interactive).then(sink);
    let mut end = run_attempts(job, &mut log, &mut attempts).await;
    let log = match log.map(LogSink::finish).transpose() {
        Ok(log) => log,
        Err(fault) => {
            // The step's own failure says more than the disk's.
            end = end.and(Err(Break::Failed(Failure::of_disk(&fault))));
            None
        }
    };
    let ran = Ran { took: clock.elapsed(), attempts, log };
    match end {
        Ok(()) => TaskOutcome::Done(ran),
        Err(Break::Cancelled) => TaskOutcome::Cancelled(ran),
        Err(Break::Failed(Failure { class, reason, help, .. })) => TaskOutcome::Failed { class, reason, help, ran },
    }
}

/// What every command has before the plan says anything: [`PASSED`] from `host`, and [`FIXED`].
#[must_use]
pub fn bare_environment(host: &dyn Fn(&str) -> Option<OsString>) -> BTreeMap<OsString, OsString> {
    let mut all: BTreeMap<OsString, OsString> = BTreeMap::new();
    all.insert("PATH".into(), DEFAULT_PATH.into());
    // An empty PATH or HOME is none.
    let given = |name: &str| host(name).filter(|value| !value.is_empty());
    all.extend(PASSED.iter().filter_map(|name| Some(((*name).into(), given(name)?))));
    all.extend(FIXED.map(|(name, value)| (name.into(), value.into())));
    all
}

/// The environment of a task's commands, sorted: [`PASSED`] and `pass-env` from `host`, [`FIXED`], the plan's own, `extra`; a
/// later one wins. An interactive task has the terminal's own name instead of `dumb`.
#[must_use]
pub fn environment(cell: &TaskCell, host: &dyn Fn(&str) -> Option<OsString>, extra: &[(String, OsString)]) -> Vec<(OsString, OsString)> {
    let mut all = bare_environment(host);
    let mut take = |name: &str| all.extend(host(name).map(|value| (name.into(), value)));
    if cell.interactive {
        take("TERM");
    }
    cell.pass_env.iter().for_each(|name| take(name));
    all.extend(cell.env.iter().map(|(name, value)| (name.into(), value.into())));
    all.extend(extra.iter().map(|(name, value)| (name.into(), value.clone())));
    all.into_iter().collect()
}

/// Makes the folders that outputs lie in.
fn make_output_folders(job: &TaskJob<'_>) -> Result<(), FileError> {
    for output in &job.cell.outputs {
        let folder = match output.pattern.literal() {
            // The output itself, also a folder, is the task's to make.
            Some(path) => path.parent().unwrap_or_else(|| path.clone()),
            None => output.pattern.base(),
        };
        file::create_dirs(job.root.at(&folder))?;
    }
    Ok(())
}

async fn run_attempts(job: &TaskJob<'_>, log: &mut Option<LogSink<'_>>, attempts: &mut u32) -> Result<(), Break> {
    make_output_folders(job).map_err(|fault| Break::Failed(Failure::of_disk(&fault)))?;
    let mut env = environment(job.cell, &crate::sys::env::exact, job.extra_env);
    if let Some(sandbox) = job.sandbox {
        sandbox.adjust(&mut env);
    }
    if let Some(jobs) = job.jobs.filter(|_| job.cell.jobserver == Some(JobForm::Fifo)) {
        let before = env.iter().position(|(name, _)| name == "MAKEFLAGS").map(|at| env.swap_remove(at).1);
        let auth = format!("fifo:{}", jobs.path().display());
        env.push(("MAKEFLAGS".into(), jobs::make_flags(before.as_deref(), jobs.all(), &auth)));
    }
    let mut pause = job.cell.retry.delay.unwrap_or(FIRST_RETRY);
    let longest = pause.max(LAST_RETRY);
    loop {
        *attempts += 1;
        match run_commands(job, &env, log) {
            Err(Break::Failed(failure)) if *attempts <= job.cell.retry.times && failure.may_pass(&job.cell.retry) => {
                let (tries, next) = (job.cell.retry.times.saturating_add(1), Span(pause));
                job.notice(format!("attempt {attempts} of {tries} failed: {}; the next one begins in {next}", failure.reason));
                tokio::select! {
                    () = job.cancel.requested(Urgency::Gentle) => return Err(Break::Cancelled),
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(longest),
                }
            }
            end => return end,
        }
    }
}

/// One attempt. The timeout is for all commands together; the silence begins anew with each.
fn run_commands(job: &TaskJob<'_>, env: &[(OsString, OsString)], log: &mut Option<LogSink<'_>>) -> Result<(), Break> {
    let clock = Stopwatch::start();
    let total = job.cell.commands.len();
    for (index, command) in job.cell.commands.iter().enumerate() {
        if job.cancel.is_requested() {
            return Err(Break::Cancelled);
        }
        let timeout = job.cell.timeout.map(|timeout| timeout.saturating_sub(clock.elapsed()));
        let exit = run_command(job, command, env, timeout, log).map_err(|failure| failure.of_command(index, total))?;
        if exit.left_behind > 0 {
            job.notice(format!("stopped {} that still ran when the command had ended", count(exit.left_behind, "process")));
        }
        match (exit.stopped, exit.how) {
            (Some(Stopped::Cancelled), _) => return Err(Break::Cancelled),
            (Some(Stopped::TimedOut), _) => return Err(Failure::timeout(job.cell.timeout.unwrap_or_default()).of_command(index, total)),
            (Some(Stopped::Silent), _) => return Err(Failure::silence(job.cell.silence.unwrap_or_default()).of_command(index, total)),
            (None, How::Code(0)) => {}
            (None, how) => return Err(Failure::exit(how).of_command(index, total)),
        }
    }
    Ok(())
}

fn run_command(
    job: &TaskJob<'_>,
    command: &Command,
    env: &[(OsString, OsString)],
    timeout: Option<Duration>,
    log: &mut Option<LogSink<'_>>,
) -> Result<Exit, Failure> {
    let argv: Vec<OsString> = match command {
        Command::Script(script) => {
            let words = job.cell.shell.iter().chain([script]).map(String::as_str).chain(job.cell.behind_script());
            words.map(OsString::from).collect()
        }
        Command::Exec(argv) => argv.iter().map(OsString::from).collect(),
    };
    if argv.is_empty() {
        return Err(Failure::empty_command());
    }
    let dir = job.root.at(&job.cell.dir);
    let walled: Vec<OsString> = job.sandbox.iter().flat_map(|sandbox| sandbox.before()).chain(argv).collect();
    let walled = match job.jobs.filter(|_| job.cell.jobserver == Some(JobForm::Pipe)) {
        Some(jobs) => {
            let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
            let found = program::find(&walled[0], path, dir.as_path()).map_err(|error| Failure::spawn(&error))?;
            jobs::before(jobs, &found).into_iter().chain(walled).collect()
        }
        None => walled,
    };
    let Some((program, args)) = walled.split_first() else { return Err(Failure::empty_command()) };
    let io = if job.cell.interactive { Io::Terminal } else { Io::Captured };
    let _modes = job.cell.interactive.then(SavedModes::of_stdin);
    let spec =
        Spec { shims: job.shims, program: OsStr::new(program), args, env, dir: dir.as_path(), io, hold: job.claim.and_then(Claim::lock) };
    let child = process::spawn(&spec).map_err(|error| Failure::spawn(&error))?;
    let limits = Limits { cancel: job.cancel.clone(), timeout, silence: job.cell.silence, grace: job.grace };
    let mut output = |pipe, bytes: &[u8]| {
        if let Some(log) = log {
            log.write(if pipe == Pipe::Out { Stream::Out } else { Stream::Err }, bytes);
        }
        true
    };
    let exit = child.wait(&limits, &mut output);
    match job.sandbox {
        Some(sandbox) => sandbox.after(exit).map_err(Failure::of_sandbox),
        None => Ok(exit),
    }
}

/// What is said of a command that printed nothing for so long, and what to do.
pub(super) fn silent(silence: Duration) -> (String, String) {
    let help = "raise its `silence`, let it tell of its progress, or find out in its log what it waits for";
    (format!("stopped after {} without output, its silence", Span(silence)), help.to_owned())
}

impl TaskJob<'_> {
    fn notice(&self, text: String) {
        self.listener.event(Event::Notice { step: Some(self.step.clone()), text });
    }
}

impl Failure {
    fn exit(how: How) -> Self {
        let help = match how {
            How::Signal { number: 9, .. } | How::Code(137) => {
                Some("the system kills programs so when memory runs out; try fewer steps at once with `-j`".to_owned())
            }
            _ => None,
        };
        let class = if how == How::Lost { FailureClass::Environment } else { FailureClass::Step };
        let sort = match how {
            How::Code(code) => u8::try_from(code).ok().map(RetryOn::Exit),
            How::Signal { .. } => Some(RetryOn::Signal),
            How::Lost => None,
        };
        Self { class, reason: how.to_string(), help, again: true, sort }
    }

    fn timeout(timeout: Duration) -> Self {
        let help = Some("raise its `timeout`, or find out what it waits for in its log".to_owned());
        Self {
            class: FailureClass::Step,
            reason: format!("stopped after {}, its timeout", Span(timeout)),
            help,
            again: true,
            sort: Some(RetryOn::Timeout),
        }
    }

    fn silence(silence: Duration) -> Self {
        let (reason, help) = silent(silence);
        Self { class: FailureClass::Step, reason, help: Some(help), again: true, sort: Some(RetryOn::Silence) }
    }

    fn spawn(error: &SpawnError) -> Self {
        let machine = error.is_of_the_machine();
        let class = if machine { FailureClass::Environment } else { FailureClass::Step };
        // What is missing now is missing in a second, too.
        Self { class, reason: error.to_string(), help: error.help(), again: machine, sort: None }
    }

    fn of_disk(fault: &FileError) -> Self {
        let help = fault.is_full().then(|| "make room on the disk, then run it again".to_owned());
        Self { class: FailureClass::Environment, reason: visible(&fault.to_string()), help, again: false, sort: None }
    }

    fn of_sandbox((class, reason, help): (FailureClass, String, Option<String>)) -> Self {
        Self { class, reason, help, again: false, sort: None }
    }

    /// Whether the plan lets it be tried again. What never began, for want of room, is no failure of the task.
    fn may_pass(&self, retry: &Retry) -> bool {
        self.again && (self.sort.is_none() || retry.is_for(self.sort))
    }

    fn empty_command() -> Self {
        let reason = "the plan gave it a command without a program".to_owned();
        Self { class: FailureClass::Internal, reason, help: None, again: false, sort: None }
    }

    /// Says which of several commands failed.
    fn of_command(mut self, index: usize, total: usize) -> Break {
        if total > 1 {
            self.reason = format!("command {} of {total}: {}", index + 1, self.reason);
        }
        Break::Failed(self)
    }
}
