//! The values that the definitions of targets rest on, kept as the plan has them.

use std::collections::HashMap;

use crate::base::id::TargetName;
use crate::plan::Plan;
use crate::plan::basis::Values;

#[derive(Debug)]
pub(super) struct Basis {
    values: Vec<(String, String)>,
    used: HashMap<TargetName, Vec<u32>>,
}

impl Basis {
    pub(super) fn new(plan: &Plan) -> Self {
        let values = plan.basis.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { values, used: plan.targets.values().map(|target| (target.name.clone(), target.basis.clone())).collect() }
    }

    pub(super) fn of(&self, target: &TargetName) -> Values {
        let used = self.used.get(target).into_iter().flatten();
        used.filter_map(|at| self.values.get(*at as usize).cloned()).collect()
    }
}
