//! The lock beside the plan: read, put into force, and written back.

use std::sync::Arc;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::plan::Plan;
use crate::plan::lock::{self, ImageUse, Lock};
use crate::plan::undecided::Undecided;
use crate::syntax;
use crate::sys::file;

use super::settings::Settings;

/// Reads the lock; `None` when there is none.
///
/// # Errors
/// Every fault of the file.
pub fn load(settings: &Settings) -> Result<Option<Lock>, Diagnostics> {
    match bytes(settings)? {
        Some(bytes) => read(settings, &bytes).map(Some),
        None => Ok(None),
    }
}

fn bytes(settings: &Settings) -> Result<Option<Vec<u8>>, Diagnostics> {
    file::optional(file::read(settings.lock(), syntax::LIMIT as u64 + 1)).map_err(unreadable)
}

fn read(settings: &Settings, bytes: &[u8]) -> Result<Lock, Diagnostics> {
    let source = syntax::check_file_bytes(&settings.lock_name(), bytes)?;
    lock::conflicts(&source)?;
    lock::read(&syntax::parse(source)?)
}

/// Puts what the lock pins in the places of the names that can move; says whether there is a lock. Names that are not known
/// because nobody asked for them take no part.
///
/// # Errors
/// Every fault of the file; with `--frozen`, every name that it does not pin.
pub fn apply(settings: &Settings, plan: &mut Plan, undecided: &Undecided, warnings: &mut Vec<Diagnostic>) -> Result<bool, Diagnostics> {
    let bytes = bytes(settings)?;
    let lock = bytes.as_deref().map(|bytes| read(settings, bytes)).transpose()?;
    if let Some(bytes) = &bytes {
        Arc::make_mut(&mut plan.asked_for).rests_on(&settings.lock_name(), bytes);
    }
    if lock.is_none() && !settings.frozen {
        return Ok(false);
    }
    let uses = lock::images(plan.targets.values().filter(|target| !undecided.target(&target.name)));
    let known = lock.as_ref().unwrap_or(const { &Lock::NONE });
    let missing: Vec<&ImageUse> = lock::unpinned(&uses, known).collect();
    let faults = missing.iter().map(|used| lock::missing_fault(used, &settings.lock_name()));
    if settings.frozen && !missing.is_empty() {
        let mut all = Diagnostics::default();
        all.extend(faults);
        return Err(all);
    }
    warnings.extend(faults.map(Diagnostic::warning));
    lock::pin(plan, known);
    Ok(lock.is_some())
}

fn unreadable(error: file::FileError) -> Diagnostics {
    Diagnostic::new(Class::Plan, "lock::unreadable", error.to_string()).help("the lock is a text file; `kiln lock` writes it").into()
}
