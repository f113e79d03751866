//! How tasks run: what they share, when they are stopped, what they may see.

use super::{ArgSpec, Kind, NodeSpec, PropSpec};
use crate::plan::sandbox::Sandbox;

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
        "`off`: nothing, as without it; `audit`: they are reported, with the line that declares them; `strict`: they fail, because the \
         task runs in a root of its own that holds its inputs, its tools and the system's programs, without a network",
    )],
)
.props(&[PropSpec::new(
    "watch",
    Kind::Flag,
    "`#false`: kiln does not follow the task's programs, and cannot name what `strict` refused; for programs that trace others or use real-time signals",
)])
.children(&[&SANDBOX_READ, &SANDBOX_WRITE, &SANDBOX_NETWORK]);

static SANDBOX_READ: NodeSpec =
    NodeSpec::new("read", "files and folders of this machine that it can read all the same; their content is in no key")
        .args(&[ArgSpec::some("path", Kind::Text, "an absolute path, or one below the home folder as `~/…`")]);

static SANDBOX_WRITE: NodeSpec = NodeSpec::new(
    "write",
    "folders that it can write to beside those of its outputs: of the project, empty at first and dropped at the end; or of this machine, such as a cache",
)
.args(&[ArgSpec::some("path", Kind::Text, "a path of the project, an absolute one, or one below the home folder as `~/…`")]);

static SANDBOX_NETWORK: NodeSpec = NodeSpec::flag("network", "it can reach the network");

pub(super) static TASK_CPUS: NodeSpec = NodeSpec::single(
    "cpus",
    "how many of kiln's jobs (`-j`) it takes while it runs; a hint for the schedule, not a limit",
    &[ArgSpec::one("number", Kind::Integer, "1 to 1024; more than there are is all of them")],
);

pub(super) static TASK_MEMORY: NodeSpec = NodeSpec::single(
    "memory",
    "how much memory it needs: tasks that say so run together only as far as the machine's memory reaches; a hint for the schedule, not a limit",
    &[ArgSpec::one("size", Kind::Size, "for instance `\"4GiB\"`")],
);

pub(super) static JOBSERVER: NodeSpec = NodeSpec::single(
    "jobserver",
    "make, cargo and others that know GNU make's jobserver share kiln's jobs (`-j`) with the other tasks: MAKEFLAGS says how",
    &[ArgSpec::maybe(
        "form",
        Kind::Words(&["pipe", "fifo"]),
        "`pipe`: by open descriptors, as all of them know it, and as without it; `fifo`: by a path, which ninja needs and make before 4.4 does not know",
    )],
);
