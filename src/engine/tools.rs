//! Versions of tools: each asked for once, when the first step needs it.
//! In: what the plan declares, and someone who runs a check. Out: versions. Never: asks for a tool that no step names.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::plan::Plan;
use crate::plan::tool::version_in;

/// Runs a check and gives what it printed, or why there is nothing.
pub type Ask = Box<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// The tools that a plan declares, on this machine.
pub struct Tools {
    declared: BTreeMap<String, Declared>,
    ask: Ask,
    known: Mutex<BTreeMap<String, Result<String, String>>>,
}

struct Declared {
    check: String,
    pinned: Option<String>,
}

impl Tools {
    /// Nothing is asked yet. Where two documents of a plan declare one tool, the first check counts.
    #[must_use]
    pub fn new(plan: &Plan, ask: Ask) -> Self {
        let mut declared = BTreeMap::new();
        for tool in &plan.tools {
            let said = || Declared { check: tool.check.clone(), pinned: tool.pinned.clone() };
            declared.entry(tool.name.clone()).or_insert_with(said);
        }
        Self { declared, ask, known: Mutex::default() }
    }

    /// The version of a tool here; `None` when the plan declares nothing about it.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<Result<String, String>> {
        let declared = self.declared.get(name)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let ask = || {
            let output = (self.ask)(&declared.check)?;
            version_in(&output).ok_or_else(|| format!("`{}` printed no version", declared.check))
        };
        Some(known.entry(name.to_owned()).or_insert_with(ask).clone())
    }

    /// The version that the lock pins.
    #[must_use]
    pub fn pinned(&self, name: &str) -> Option<&str> {
        self.declared.get(name)?.pinned.as_deref()
    }
}
