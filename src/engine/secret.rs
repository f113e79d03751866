//! Secrets for one step: fetched just before it, forgotten after it.
//! In: what a task is given. Out: variables, files that only this user can read, and what its log must not hold.
//! Never: a value in an argument, an event, a key, the store; a file that outlives the step.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::path::AbsPath;
use crate::event::FailureClass;
use crate::plan::secret::{SecretSource, SecretUse};
use crate::sys::{env, file};

use super::ask::{self, Question};
use super::redact::{Needles, SHORTEST};
use super::{Failure, Job, Machine};

/// The most bytes that a secret may have.
const LIMIT: u64 = 64 << 10;
/// How long a command may take to give one.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The secrets of a step.
pub struct Given {
    /// Its variables.
    pub env: Vec<(String, OsString)>,
    /// What must not be shown or kept.
    pub needles: Needles,
    /// Gone, with the files in it, when this is dropped.
    folder: Option<tempfile::TempDir>,
}

impl Given {
    /// The folder of those that are files.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(tempfile::TempDir::path)
    }
}

/// Fetches all secrets of a step.
///
/// # Errors
/// A [`Failure`] of the environment that names the secret and where it was looked for.
pub fn fetch(machine: &Machine, job: &Job<'_>, secrets: &[SecretUse]) -> Result<Given, Failure> {
    let mut values: Vec<Vec<u8>> = Vec::new();
    let (mut variables, mut folder) = (Vec::new(), None);
    for secret in secrets {
        let value = value(machine, secret)?;
        if value.len() < SHORTEST {
            job.notice(machine, format!("secret `{}` is too short to be hidden in the output", secret.name));
        }
        let held = if secret.as_file { OsString::from(write(secret, &value, &mut folder)?) } else { variable(secret, &value)? };
        variables.push((secret.variable.clone(), held));
        values.push(value);
    }
    Ok(Given { env: variables, needles: Needles::new(values.iter().map(Vec::as_slice)), folder })
}

/// Why a place has no value, and the next act.
#[derive(Debug)]
pub(super) struct Unfound {
    pub why: String,
    pub help: String,
}

fn value(machine: &Machine, secret: &SecretUse) -> Result<Vec<u8>, Failure> {
    look_up(machine, &secret.source).map_err(|Unfound { why, help }| {
        Failure::new(FailureClass::Environment, format!("secret `{}` has no value: {why}", secret.name), Some(help))
    })
}

/// The value that a place has now; one that is empty is none.
pub(super) fn look_up(machine: &Machine, source: &SecretSource) -> Result<Vec<u8>, Unfound> {
    let missing = |why: String, help: String| Unfound { why, help };
    let value = match source {
        SecretSource::Env(name) => match env::var_os(name) {
            Some(value) => value.into_vec(),
            None => return Err(missing(format!("{name} is not set"), format!("set {name} in the environment that kiln runs in"))),
        },
        SecretSource::File(path) => file::read(place(&machine.root, path), LIMIT)
            .map_err(|error| missing(error.to_string(), format!("put it into `{path}`, for this user alone")))?,
        SecretSource::Command(script) => {
            let question = Question {
                script,
                root: &machine.root,
                // Its value is in no key, so whatever leads to it may depend on who asks.
                env: &env::all(),
                limit: LIMIT,
                timeout: TIMEOUT,
                cancel: &machine.cancel,
                shims: &machine.shims,
            };
            // What the command wrote is not repeated: it may hold the value.
            ask::ask(&question)
                .map_err(|no| missing(format!("its command {}", no.reason), "run the command by hand to see what is wrong".to_owned()))?
        }
    };
    if value.trim_ascii().is_empty() {
        return Err(missing("what was found is empty".to_owned(), "a step would go on without it".to_owned()));
    }
    Ok(value)
}

/// Where a file with a secret is: absolute, below the home folder, or in the project.
#[must_use]
pub fn place(root: &AbsPath, path: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => env::var_os("HOME").map(PathBuf::from).unwrap_or_default().join(rest),
        None => root.as_path().join(path),
    }
}

/// The value as a variable: without the newlines at its end, which files and commands end with.
fn variable(secret: &SecretUse, value: &[u8]) -> Result<OsString, Failure> {
    let end = value.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    if value[..end].contains(&0) {
        let help = format!("give it as a file: `secret \"{}\" file=\"{}_FILE\"`", secret.name, secret.variable);
        return Err(Failure::new(FailureClass::Environment, format!("secret `{}` holds a NUL byte", secret.name), Some(help)));
    }
    Ok(OsString::from_vec(value[..end].to_vec()))
}

/// Writes the value as it is to a file that only this user can read, in memory where the machine has a place for that.
fn write(secret: &SecretUse, value: &[u8], folder: &mut Option<tempfile::TempDir>) -> Result<PathBuf, Failure> {
    let written = |folder: &mut Option<tempfile::TempDir>| -> std::io::Result<PathBuf> {
        if folder.is_none() {
            let place = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).into_iter().chain([PathBuf::from("/dev/shm")]);
            let made = place.filter_map(|place| tempfile::Builder::new().prefix("kiln-secret-").tempdir_in(place).ok()).next();
            *folder = Some(match made {
                Some(made) => made,
                None => tempfile::Builder::new().prefix("kiln-secret-").tempdir_in(env::temp_dir())?,
            });
        }
        let Some(folder) = folder else { return Err(std::io::ErrorKind::NotFound.into()) };
        let mut file = tempfile::Builder::new().prefix(&secret.variable).rand_bytes(0).tempfile_in(folder.path())?;
        file.write_all(value)?;
        let (_, path) = file.keep().map_err(|error| error.error)?;
        Ok(path)
    };
    written(folder).map_err(|error| {
        let help = "set XDG_RUNTIME_DIR or TMPDIR to a folder that this user can write to".to_owned();
        Failure::new(FailureClass::Environment, format!("secret `{}` cannot be handed over as a file: {error}", secret.name), Some(help))
    })
}
