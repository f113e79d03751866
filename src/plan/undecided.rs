//! What of a plan rests on stand-ins, by what has to be decided before it is used.
//! In: the stand-ins that were met while parts of a plan were read. Out: the names to ask for before a part is used.
//! Never: asks.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::id::TargetName;

/// Names of `let`s and `param`s.
type Names = BTreeSet<String>;

/// The names of the `let`s and `param`s that have stand-ins in a plan, by who uses them. What is named nowhere here is as it
/// would be if everything had been asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecided {
    /// For the plan as a whole: which targets there are, which one makes which files, what all of them share.
    pub(super) whole: Names,
    /// For the definition of one target.
    pub(super) targets: BTreeMap<TargetName, Names>,
    /// For the place of one registry.
    pub(super) registries: BTreeMap<String, Names>,
}

impl Undecided {
    /// Whether nothing rests on a stand-in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.targets.is_empty() && self.registries.is_empty()
    }

    /// Whether the definition of a target rests on a stand-in.
    #[must_use]
    pub fn target(&self, name: &TargetName) -> bool {
        self.targets.contains_key(name)
    }

    /// Whether the place of a registry rests on a stand-in.
    #[must_use]
    pub fn registry(&self, name: &str) -> bool {
        self.registries.contains_key(name)
    }

    /// What has to be asked before these targets and registries are used.
    #[must_use]
    pub fn names<'n>(
        &self,
        targets: impl IntoIterator<Item = &'n TargetName>,
        registries: impl IntoIterator<Item = &'n String>,
    ) -> BTreeSet<String> {
        let targets = targets.into_iter().filter_map(|name| self.targets.get(name));
        let registries = registries.into_iter().filter_map(|name| self.registries.get(name));
        targets.chain(registries).chain([&self.whole]).flatten().cloned().collect()
    }
}
