//! Targets: tasks, images, services and groups, with one resolved definition per matrix cell and platform.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Span;
use crate::base::id::{Cell, TargetName};
use crate::base::path::RelPath;
use crate::base::pattern::Pattern;
use crate::base::platform::Platform;

use super::arg::Arguments;
use super::image::ImageDef;
use super::isolation::Isolation;
use super::retry::Retry;
use super::sandbox::{Sandbox, SandboxDef};
use super::secret::SecretUse;
use super::service::ServiceDef;

/// Something that a user names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// The name.
    pub name: TargetName,
    /// One line about it.
    pub doc: Option<String>,
    /// Targets that must end well first, in order of declaration.
    pub needs: Vec<(TargetName, Span)>,
    /// Targets that, if they take part, must end first.
    pub after: Vec<(TargetName, Span)>,
    /// What may be typed behind it; nothing but for a task.
    pub args: Arguments,
    /// The values that its definition rests on: places in [`super::Plan::basis`].
    pub basis: Vec<u32>,
    /// Why it takes no part in this plan: it has no steps, and nobody waits for it.
    pub left_out: Option<LeftOut>,
    /// What it is.
    pub kind: TargetKind,
    /// The name in the source.
    pub span: Span,
}

/// A condition (`when`) that does not hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeftOut {
    /// As it is written.
    pub condition: String,
    /// Its place.
    pub span: Span,
}

/// The kinds of targets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum TargetKind {
    /// Commands: one definition per matrix cell and platform, at least one.
    Task(Vec<Arc<TaskCell>>),
    /// A container image: one per matrix cell, at least one.
    Image(Vec<Arc<ImageDef>>),
    /// A container that stays.
    Service(Box<ServiceDef>),
    /// A name for several targets.
    Group(Vec<(TargetName, Span)>),
}

/// A task for one matrix cell and one platform, all texts resolved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskCell {
    /// The matrix variables.
    pub cell: Cell,
    /// The platform, if the task lists `platforms`.
    pub platform: Option<Platform>,
    /// Files that can change the result; `None` when no `inputs` were declared, so the task always runs.
    pub inputs: Option<FileSet>,
    /// Files that it makes.
    pub outputs: Vec<Output>,
    /// Environment, sorted by name; matrix variables and arguments are included under their own names.
    pub env: Vec<(String, String)>,
    /// Variables taken from kiln's own environment, sorted; their values enter the action key, not the plan digest.
    pub pass_env: Vec<String>,
    /// Those of `pass_env` whose values the plan promises cannot change the result: only their names are keyed.
    pub unkeyed: Vec<String>,
    /// Secrets that it is given, sorted by variable; their names enter the key, values never.
    pub secrets: Vec<SecretUse>,
    /// Programs whose identity enters the key.
    pub tools: Vec<String>,
    /// Where it runs.
    pub dir: RelPath,
    /// The shell for `run`, ready to have the script appended.
    pub shell: Vec<String>,
    /// What was typed behind `--`: `"$@"` of its scripts.
    pub rest: Vec<String>,
    /// What it runs, in order; may be empty for a task that only has needs.
    pub commands: Vec<Command>,
    /// The container it runs in, if any.
    pub container: Option<Box<Container>>,
    /// The running service that its commands run in, if any.
    pub exec_in: Option<(TargetName, Span)>,
    /// After which it is stopped.
    pub timeout: Option<Duration>,
    /// How long a command may print nothing before it is stopped.
    pub silence: Option<Duration>,
    /// When it is tried again after a failure.
    pub retry: Retry,
    /// How many of kiln's jobs it takes; at least one.
    pub cpus: u32,
    /// How much memory it needs, in bytes: those that run together never need more than the machine has.
    pub memory: Option<u64>,
    /// Whether its programs share kiln's jobs, and how they learn of them.
    pub jobserver: Option<JobForm>,
    /// Whether it takes over the terminal; runs alone and is never cached.
    pub interactive: bool,
    /// Whether the run goes on as if it had succeeded.
    pub allow_failure: bool,
    /// Names of locks: two tasks that share one never run at the same time.
    pub locks: Vec<String>,
    /// Pools that it takes from while it runs, sorted by name.
    pub pools: Vec<PoolUse>,
    /// What becomes of undeclared reads and writes; `None` for nothing.
    pub sandbox: Option<Box<SandboxDef>>,
}

/// How programs learn of the jobs that they share: the two forms of GNU make's jobserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobForm {
    /// By open descriptors: make from 4.2 on, cargo.
    Pipe,
    /// By the path of a named pipe: make from 4.4 on, cargo, ninja from 1.13 on.
    Fifo,
}

/// What a task takes of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolUse {
    /// The name of the pool, one for the whole plan.
    pub name: String,
    /// How much it takes; at least one, and at most `capacity`.
    pub weight: u32,
    /// How much there is.
    pub capacity: u32,
}

/// A set of files: selected by any pattern and covered by no exclusion.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FileSet {
    /// What is selected, with its place.
    pub include: Vec<(Pattern, Span)>,
    /// What is left out (`!pattern`), with its place.
    pub exclude: Vec<(Pattern, Span)>,
}

/// An output declaration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Output {
    /// A file, a folder (written with `/`) or a glob.
    pub pattern: Pattern,
    /// Its place.
    pub span: Span,
}

/// One command of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Script text, handed to the shell as it was written.
    Script(String),
    /// A program with its arguments, without a shell.
    Exec(Vec<String>),
}

/// A container for a task's commands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Container {
    /// The image.
    pub image: ContainerImage,
    /// What it may see and use.
    pub isolation: Isolation,
    /// Whether the project is mounted (read-write) at `/work`, where the commands then run.
    pub mount: bool,
    /// The node.
    pub span: Span,
}

/// Which image a container is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerImage {
    /// One that the plan builds; used by its digest.
    Target(TargetName),
    /// One that the daemon has or can pull.
    Reference(crate::oci::reference::Reference),
}

/// Shells that take a script with `-ec`, and behind it a name for themselves and then `"$@"`.
pub(super) const SHELLS: &[&str] = &["ash", "bash", "dash", "ksh", "mksh", "sh", "zsh"];

impl TaskCell {
    /// Whether it runs in a root of its own.
    #[must_use]
    pub fn is_walled(&self) -> bool {
        self.sandbox.as_ref().is_some_and(|asked| asked.mode == Sandbox::Strict)
    }

    /// What follows a script: the words of `rest`, behind the name that a shell takes first.
    #[must_use]
    pub fn behind_script(&self) -> Vec<&str> {
        let base = |word: &String| SHELLS.iter().find(|shell| word.rsplit('/').next() == Some(*shell)).copied();
        let name = self.shell.iter().find_map(base).filter(|_| !self.rest.is_empty());
        name.into_iter().chain(self.rest.iter().map(String::as_str)).collect()
    }
}

impl TargetKind {
    /// The word in the plan.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Task(_) => "task",
            Self::Image(_) => "image",
            Self::Service(_) => "service",
            Self::Group(_) => "group",
        }
    }
}
