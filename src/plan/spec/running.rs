//! How tasks run: what they share, when they are stopped, what they may see.

use super::{ArgSpec, Kind, NodeSpec, PropSpec};
use crate::plan::target::Sandbox;

pub(super) static POOL: NodeSpec =
    NodeSpec::new("pool", "something that tasks share and that there is only so much of: memory for linkers, licences, test databases")
        .args(&[
            ArgSpec::one("name", Kind::Name, "its name, for `pool` in a task"),
            ArgSpec::one("capacity", Kind::Integer, "how much there is, 1 to 1000000; the weights of the tasks that run never exceed it"),
        ]);

pub(super) static POOL_USE: NodeSpec = NodeSpec::new("pool", "a `pool` of the plan that it takes from while it runs")
    .args(&[ArgSpec::one("name", Kind::Text, "the name of the pool")])
    .props(&[PropSpec::new("weight", Kind::Integer, "how much it takes; 1 unless given, and at most what the pool has")]);

pub(super) static SILENCE: NodeSpec = NodeSpec::single(
    "silence",
    "how long a command may print nothing before it is stopped",
    &[ArgSpec::one("time", Kind::Duration, "a length of time")],
);

pub(super) static SANDBOX: NodeSpec = NodeSpec::single(
    "sandbox",
    "what becomes of reads and writes that are not declared; at the top of the plan for all tasks that do not say it themselves",
    &[ArgSpec::one(
        "mode",
        Kind::Words(Sandbox::WORDS),
        "`off`: nothing, as without it; `audit`: they are reported; `strict`: they fail. This kiln runs tasks with `off` only",
    )],
);
