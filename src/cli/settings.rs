//! Everything that the environment and the command line decide, resolved once.

use std::path::{Path, PathBuf};

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::path::{AbsPath, RelPath};
use crate::plan;
use crate::plan::arg::Call;
use crate::sys::{env, file};

use super::args::Global;
use super::sources;

/// The name of a plan.
pub const PLAN: &str = "build.kdl";
/// The folder below the cache folder that holds one folder per project.
pub const PROJECTS: &str = "projects";
/// The file of a project's folder that holds what is known of its files.
pub const STATS: &str = "files";
/// The file of a project's folder that holds results that were found lately.
pub const RESULTS: &str = "results";

/// Where things are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The plan.
    pub plan: AbsPath,
    /// Its name on screens.
    pub plan_name: String,
    /// The working directory.
    pub here: AbsPath,
    /// The project's root.
    pub root: AbsPath,
    /// Where git is asked; the root, unless the plan is taken from a commit.
    pub repository: AbsPath,
    /// The user's cache directory: the store, and one folder per project.
    pub cache: AbsPath,
    /// `--set` as pairs.
    pub set: Vec<(String, String)>,
    /// What was typed behind each target.
    pub calls: Vec<Call>,
    /// Whether whatever can move must be pinned.
    pub frozen: bool,
    /// Whether no connection may be opened.
    pub offline: bool,
    /// `--profile`, or KILN_PROFILE.
    pub profiles: Vec<String>,
}

/// Finds plan, root and cache.
///
/// # Errors
/// [`Diagnostic`] of class `Usage` or `Environment`.
pub fn resolve(global: &Global) -> Result<Settings, Diagnostic> {
    let here = env::current_dir().map_err(|error| {
        Diagnostic::new(Class::Environment, "cli::no-directory", format!("the working directory cannot be found: {error}"))
    })?;
    let start = global.directory.as_ref().map_or_else(|| here.clone(), |dir| here.join(dir));
    let plan = match &global.file {
        Some(path) => here.join(path),
        None => find(&start)?,
    };
    let root = if global.directory.is_some() { start } else { plan.parent().unwrap_or(here.clone()) };
    let root = file::canonical(&root).ok().and_then(AbsPath::new).ok_or_else(|| {
        Diagnostic::new(Class::Usage, "cli::no-directory", format!("`{root}` is not a folder")).help("-C names the project's root")
    })?;
    let plan_name = sources::shown(&plan, &here);
    let mut set = Vec::new();
    for pair in &global.set {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            Diagnostic::new(Class::Usage, "cli::set", format!("`--set {}` has no `=`", crate::base::words::visible(pair)))
                .help("write it like `--set version=1.2.3`")
        })?;
        set.push((name.to_owned(), value.to_owned()));
    }
    Ok(Settings {
        plan,
        plan_name,
        cache: cache(global, &here)?,
        here,
        repository: root.clone(),
        root,
        set,
        calls: Vec::new(),
        profiles: global.profile.iter().filter(|name| !name.is_empty()).cloned().collect(),
        frozen: global.frozen,
        offline: global.offline,
    })
}

fn find(start: &AbsPath) -> Result<AbsPath, Diagnostic> {
    let mut at = Some(start.clone());
    while let Some(folder) = at {
        let candidate = folder.join(PLAN);
        if file::status(&candidate).is_ok() {
            return Ok(candidate);
        }
        at = folder.parent();
    }
    Err(Diagnostic::new(Class::Usage, "cli::no-plan", format!("there is no {PLAN} in `{start}` or in a folder above it"))
        .help("write one (the first line is `kiln 1`), or name a plan with `-f FILE`"))
}

/// The lock of a plan's file.
fn lock_name(file: &str) -> String {
    let stem = file.strip_suffix(".kdl").unwrap_or(file);
    if file == PLAN { plan::lock::FILE.to_owned() } else { format!("{stem}.lock") }
}

fn cache(global: &Global, here: &AbsPath) -> Result<AbsPath, Diagnostic> {
    if let Some(path) = &global.cache_dir {
        return Ok(here.join(path));
    }
    let absolute =
        |name: &str, below: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute()).map(|path| path.join(below));
    absolute("XDG_CACHE_HOME", "kiln").or_else(|| absolute("HOME", ".cache/kiln")).and_then(AbsPath::new).ok_or_else(|| {
        Diagnostic::new(Class::Environment, "cli::no-cache", "neither HOME nor XDG_CACHE_HOME says where results can be kept")
            .help("set one of them, or KILN_CACHE_DIR")
    })
}

/// The cache folder alone, for commands that need no plan.
///
/// # Errors
/// As [`resolve`].
pub fn cache_folder(global: &Global) -> Result<AbsPath, Diagnostic> {
    let here = env::current_dir().map_err(|error| {
        Diagnostic::new(Class::Environment, "cli::no-directory", format!("the working directory cannot be found: {error}"))
    })?;
    cache(global, &here)
}

/// The store below a cache folder.
#[must_use]
pub fn store_below(cache: &AbsPath) -> AbsPath {
    cache.join("store")
}

impl Settings {
    /// The place of the plan in the project; `None` when it lies elsewhere.
    #[must_use]
    pub fn plan_place(&self) -> Option<RelPath> {
        self.root.below(file::canonical(&self.plan).ok()?)
    }

    /// The lock of the plan: `kiln.lock` beside `build.kdl`, `NAME.lock` beside any other `NAME.kdl`.
    #[must_use]
    pub fn lock(&self) -> AbsPath {
        let folder = self.plan.parent().unwrap_or_else(|| self.root.clone());
        folder.join(lock_name(&self.plan_file()))
    }

    /// The name of the plan's file, without folders.
    fn plan_file(&self) -> String {
        self.plan.as_path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The lock's name on screens.
    #[must_use]
    pub fn lock_name(&self) -> String {
        let file = self.plan_file();
        // What is shown before the file: a folder, a commit.
        format!("{}{}", self.plan_name.strip_suffix(&file).unwrap_or_default(), lock_name(&file))
    }

    /// The store that all projects of the user share.
    #[must_use]
    pub fn store(&self) -> AbsPath {
        store_below(&self.cache)
    }

    /// What kiln remembers of this project on this machine: the journal and the stat cache.
    #[must_use]
    pub fn project(&self) -> AbsPath {
        use std::os::unix::ffi::OsStrExt as _;
        let name = crate::base::digest::Digest::<crate::base::digest::Blake3>::of(Path::new(self.root.as_path()).as_os_str().as_bytes());
        self.cache.join(PROJECTS).join(&name.hex()[..24])
    }
}
