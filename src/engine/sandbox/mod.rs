//! Sandboxes of tasks: what a task is shown of this machine, and what is said of what it asked for beside that.
//! In: a task, what it takes in, and the plan's `sandbox`. Out: words before its commands; findings, or a failure that names what
//! was refused; the folder that its outputs stand in. Never: a task without the walls that its plan asks for.
//!
//! Behind walls a task starts without its former outputs, and what it makes stands apart until all of it is known to be
//! declared; so a failed or interrupted task changes nothing in the project.

mod advice;
mod remedy;
mod stage;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::base::path::{AbsPath, RelPath};
use crate::base::pattern::Pattern;
use crate::event::FailureClass;
use crate::plan::sandbox::{Sandbox, SandboxDef, WritePlace};
use crate::plan::target::{JobForm, TaskCell};
use crate::store::result::OutputFile;
use crate::sys::exit::{Exit, How};
use crate::sys::file;
use crate::sys::sandbox::{self, ETC, Report, SYSTEM, Walls, Wish};
use crate::sys::{env, program};

use self::advice::{Finding, Ground};
use super::{Failure, Job, Machine};

/// Folders of the system whose content is state, and not files that somebody wrote.
const STATE: [&str; 3] = ["/dev", "/proc", "/sys"];
/// Folders that are there for everybody, and empty at first behind walls.
const SCRATCH: [&str; 2] = ["/tmp", "/var/tmp"];

/// A task behind walls, or under watch. What was made for it goes when this is dropped.
#[derive(Debug)]
pub struct Sandboxed {
    folder: tempfile::TempDir,
    asked: SandboxDef,
    /// The project as the task sees it; `None` when it sees the project itself.
    stage: Option<AbsPath>,
    /// What was put there before the task began, and folders that it may leave.
    skeleton: Vec<RelPath>,
    /// Where the task may read and write beside the project.
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    heard: Mutex<Report>,
}

/// Why a command failed: who must act, one clause, the next act.
pub(super) type Why = (FailureClass, String, Option<String>);

impl Sandboxed {
    /// Makes ready what the commands of a task need. `secrets` is a folder with secrets as files.
    ///
    /// # Errors
    /// A [`Failure`] of the environment: a full disk, a folder of the plan that is not there.
    pub fn prepare(machine: &Machine, job: &Job<'_>, cell: &TaskCell, asked: &SandboxDef, secrets: Option<&Path>) -> Result<Self, Failure> {
        let scratch = machine.store.scratch();
        let made = tempfile::Builder::new().prefix("sandbox-").tempdir_in(scratch.as_path());
        let folder = file::at("create", &scratch, made).map_err(Failure::disk)?;
        let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let path = |text: &String| match (text.strip_prefix("~/"), &home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        };
        let mut read: Vec<PathBuf> = asked.read.iter().map(path).collect();
        read.extend(cell.tools.iter().flat_map(|tool| places_of(tool, machine.root.as_path(), home.as_deref())));
        read.extend(secrets.map(Path::to_owned));
        let on_machine = asked.write.iter().filter_map(|place| if let WritePlace::Machine(text) = place { Some(path(text)) } else { None });
        // Whoever takes jobs by the name of their pipe opens it; the other form inherits it.
        let by_name = machine.jobs.get().filter(|_| cell.jobserver == Some(JobForm::Fifo));
        let jobs = by_name.and_then(|jobs| jobs.path().parent()).map(Path::to_owned);
        let mut made = Self {
            folder,
            asked: asked.clone(),
            stage: None,
            skeleton: Vec::new(),
            read,
            write: on_machine.chain(jobs).collect(),
            heard: Mutex::default(),
        };
        let walls = match asked.mode {
            Sandbox::Strict => Some(made.walls(machine, job, cell, home.as_deref())?),
            Sandbox::Audit | Sandbox::Off => None,
        };
        let etc = ETC.iter().map(|name| Path::new("/etc").join(name));
        let wish = Wish {
            walls,
            watch: asked.watch,
            project: machine.root.as_path().to_owned(),
            ignored: SYSTEM.iter().chain(&STATE).map(PathBuf::from).chain(etc).collect(),
            dir: machine.root.at(&cell.dir).as_path().to_owned(),
            report: made.report(),
        };
        file::write_atomic(made.wish(), &sandbox::encode(&wish), false).map_err(Failure::disk)?;
        Ok(made)
    }

    fn wish(&self) -> PathBuf {
        self.folder.path().join("wish")
    }

    fn report(&self) -> PathBuf {
        self.folder.path().join("report")
    }

    fn walls(&mut self, machine: &Machine, job: &Job<'_>, cell: &TaskCell, home: Option<&Path>) -> Result<Walls, Failure> {
        let below = |name: &str| self.folder.path().join(name);
        let made = |path: &Path| file::create_dirs(path).map_err(Failure::disk);
        let (base, stage) = (below("root"), below("stage"));
        made(&base)?;
        made(&stage)?;
        for place in &self.write {
            // A cache that was never used is a folder that is not there yet.
            file::create_dirs(place).map_err(|error| {
                Failure::new(FailureClass::Environment, error, Some("the task may write there: `write` in its `sandbox`".to_owned()))
            })?;
        }
        let mut private = Vec::new();
        for (number, place) in SCRATCH.iter().map(Path::new).chain(home).enumerate() {
            let folder = below(&format!("private-{number}"));
            made(&folder)?;
            private.push((folder, place.to_owned()));
        }
        let project = machine.root.as_path();
        let mut writable: Vec<RelPath> = cell.outputs.iter().map(|output| folder_of(&output.pattern)).collect();
        writable.extend(
            self.asked.write.iter().filter_map(|place| if let WritePlace::Project(path) = place { Some(path.clone()) } else { None }),
        );
        writable.sort();
        writable.dedup();
        let stage = AbsPath::new(stage).ok_or_else(|| Failure::disk("the store has no absolute path"))?;
        let inputs: Vec<&OutputFile> = job.taken.files.iter().flatten().collect();
        let laid = stage::lay(machine, &stage, &inputs, &writable, &cell.dir).map_err(Failure::disk)?;
        self.skeleton = laid.skeleton;
        self.stage = Some(stage.clone());
        Ok(Walls {
            base,
            project: project.to_owned(),
            stage: stage.as_path().to_owned(),
            writable: writable.iter().map(|path| machine.root.at(path).as_path().to_owned()).collect(),
            inputs: laid.shown.iter().map(|path| machine.root.at(path).as_path().to_owned()).collect(),
            read: self.read.clone(),
            write: self.write.clone(),
            private,
            network: self.asked.network,
        })
    }

    /// The words that stand before each command.
    #[must_use]
    pub fn before(&self) -> [OsString; 4] {
        sandbox::before(&self.wish())
    }

    /// The environment behind walls: temporary files have their place there.
    pub fn adjust(&self, env: &mut [(OsString, OsString)]) {
        if self.stage.is_some() {
            for (_, value) in env.iter_mut().filter(|(name, _)| name == "TMPDIR") {
                *value = SCRATCH[0].into();
            }
        }
    }

    /// The end of a command, as it was behind the walls; takes in what was seen of it.
    ///
    /// # Errors
    /// [`Why`] it could not run.
    pub(super) fn after(&self, exit: Exit) -> Result<Exit, Why> {
        let report = sandbox::report(&self.report());
        // Each command has a report of its own.
        let _ = file::remove(self.report());
        let Some(report) = report else {
            if exit.stopped.is_some() {
                return Ok(exit);
            }
            let reason = format!("its sandbox ended without a report ({})", exit.how);
            return Err((FailureClass::Environment, reason, Some("something from outside ended it; run it again".to_owned())));
        };
        if let Some(broken) = &report.broken {
            return Err(remedy::of(broken, self.asked.mode));
        }
        if let Some((reason, help)) = &report.not_started {
            let help = self.stage.as_ref().map(|_| NOT_SHOWN.to_owned()).or_else(|| help.clone());
            return Err((FailureClass::Step, reason.clone(), help));
        }
        if report.realtime {
            let reason = "a program in it uses real-time signals (to cancel threads, for instance), which cannot be watched".to_owned();
            let help = match self.asked.mode {
                Sandbox::Strict => "write `sandbox \"strict\" watch=#false`: the walls stand, only what they refuse is not named",
                Sandbox::Audit | Sandbox::Off => "leave this task out of the audit: `sandbox \"off\"`",
            };
            return Err((FailureClass::Step, reason, Some(help.to_owned())));
        }
        let how = report.killed_by.map_or(exit.how, |(number, core_dumped)| How::Signal { number, core_dumped });
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.seen.extend(report.seen);
        heard.hosts.extend(report.hosts);
        Ok(Exit { how, ..exit })
    }

    /// What is to be said of a task whose commands all ended well.
    ///
    /// # Errors
    /// Behind walls: files that it left and did not declare.
    pub(super) fn judge(&self, machine: &Machine, job: &Job<'_>, cell: &TaskCell) -> Result<(), Failure> {
        if self.asked.mode == Sandbox::Audit {
            self.tell(machine, job, cell);
            return Ok(());
        }
        let Some(stage) = &self.stage else { return Ok(()) };
        let left = stage::left(stage, &self.skeleton, &|path| self.may_leave(cell, path)).map_err(Failure::disk)?;
        if left.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = left.iter().map(|path| path.to_string()).collect();
        let several = names.len() > 1;
        let reason = format!("it left {}, which {} not among its outputs", shown(&names), if several { "are" } else { "is" });
        let line = advice::line("outputs", &names);
        let help = format!(
            "add {line}, write what is only for a while to `$TMPDIR` or remove it, or let it stay behind with `write` in its `sandbox`"
        );
        Err(Failure::new(FailureClass::Step, reason, Some(help)))
    }

    fn may_leave(&self, cell: &TaskCell, path: &RelPath) -> bool {
        let written = |place: &WritePlace| matches!(place, WritePlace::Project(folder) if path.is_within(folder));
        cell.outputs.iter().any(|output| output.pattern.selects(path) || output.pattern.covers(path))
            || self.asked.write.iter().any(written)
    }

    /// What a failed task was refused, with the lines that would let it through; an audit tells all that it found.
    pub(super) fn explain(&self, machine: &Machine, job: &Job<'_>, cell: &TaskCell) -> Option<String> {
        if self.asked.mode == Sandbox::Audit {
            self.tell(machine, job, cell);
            return None;
        }
        if !self.asked.watch {
            return Some("its sandbox does not watch it: leave `watch=#false` out, and what was refused is named".to_owned());
        }
        let findings = self.findings(machine, job, cell);
        let told: Vec<String> = findings.iter().map(Finding::behind_walls).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    fn tell(&self, machine: &Machine, job: &Job<'_>, cell: &TaskCell) {
        let findings = self.findings(machine, job, cell);
        if findings.is_empty() {
            job.notice(machine, "audit: it asked for nothing that is not declared".to_owned());
        }
        for finding in findings {
            job.notice(machine, format!("audit: {}", finding.in_audit()));
        }
    }

    fn findings(&self, machine: &Machine, job: &Job<'_>, cell: &TaskCell) -> Vec<Finding> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let home = env::var_os("HOME").map(PathBuf::from);
        let taken: std::collections::HashSet<&RelPath> = job.taken.files.iter().flatten().map(|file| &file.path).collect();
        let ground = Ground {
            root: machine.root.as_path(),
            home: home.as_deref(),
            mode: self.asked.mode,
            is_input: &|path| taken.contains(path) || taken.iter().any(|input| input.is_within(path)),
            outputs: &cell.outputs.iter().map(|output| &output.pattern).collect::<Vec<_>>(),
            may_leave: &|path| self.may_leave(cell, path),
            read: &self.read,
            write: &self.write,
            network: self.asked.network,
        };
        advice::findings(&heard.seen, &heard.hosts, &ground)
    }

    /// Where the outputs stand, when that is not the project.
    #[must_use]
    pub fn stage(&self) -> Option<AbsPath> {
        self.stage.clone()
    }
}

/// What helps when a program is not there behind walls.
const NOT_SHOWN: &str = "behind walls a task has the system's programs, its inputs and its `tools`: declare it there, or let it be \
                         seen with `read` in its `sandbox`";

/// The folder that must be there for an output to be made.
fn folder_of(pattern: &Pattern) -> RelPath {
    match pattern.literal() {
        Some(path) => path.parent().unwrap_or_else(RelPath::root),
        None => pattern.base(),
    }
}

/// Names for a sentence; of many, the first ones.
fn shown(names: &[String]) -> String {
    const MOST: usize = 5;
    let quoted: Vec<String> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    match names.len().checked_sub(MOST) {
        None | Some(0) => quoted.join(", "),
        Some(more) => format!("{} and {more} more", quoted.join(", ")),
    }
}

/// Where a tool lives: its folder, and the folder that it was installed in, unless that is one for everything.
fn places_of(tool: &str, root: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let Ok(found) = program::find(tool.as_ref(), Some(&path), root) else { return Vec::new() };
    let real = file::canonical(&found).unwrap_or_else(|_| found.clone());
    let of_system = |place: &Path| SYSTEM.iter().any(|system| place.starts_with(system));
    let mut places = Vec::new();
    for place in [found, real] {
        let Some(folder) = place.parent().filter(|folder| !of_system(folder)) else { continue };
        let above = folder.parent().filter(|above| {
            let of_programs = folder.file_name().is_some_and(|name| name == "bin");
            // `~/.local` and `~/.cargo` hold more than programs: keys, for instance.
            let for_all = above.parent().is_none() || Some(*above) == home || above.parent() == home;
            of_programs && !for_all && !root.starts_with(above) && !home.is_some_and(|home| home.starts_with(above))
        });
        places.push(above.unwrap_or(folder).to_owned());
    }
    places.dedup();
    places
}
