//! What may stand in a `task`, and what tasks and images share.

use super::arg::{ARG, FLAG, REST};
use super::container::CONTAINER;
use super::running::{JOBSERVER, POOL_USE, SANDBOX, SILENCE, TASK_CPUS, TASK_MEMORY};
use super::template::USE;
use super::{ArgSpec, Kind, NodeSpec, PropSpec};

pub(super) static DOC: NodeSpec =
    NodeSpec::single("doc", "one line about it, shown by `kiln list`", &[ArgSpec::one("text", Kind::Text, "the line")]);

pub(super) static ENV: NodeSpec = NodeSpec::new("env", "environment variables; at the top of the plan for all tasks")
    .other_props("the value of the variable of this name");

pub(super) static ENV_FILE: NodeSpec = NodeSpec::new(
    "env-file",
    "variables from a file of lines `NAME=value`, weaker than `env` beside it; quotes and comments as in dotenv files, and `$` stands for itself",
)
.args(&[ArgSpec::one("path", Kind::Path, "a file of the project")])
.props(&[PropSpec::new("optional", Kind::Flag, "it need not be there")]);

static SECRET_USE: NodeSpec = NodeSpec::new(
    "secret",
    "a `secret` of the plan, fetched just before the commands: as the variable of its name in upper case, unless another is named; \
     its value is in no key, and `***` in the output",
)
.args(&[ArgSpec::one("name", Kind::Text, "the name of the secret")])
.props(&[
    PropSpec::new("env", Kind::Text, "the variable that holds it"),
    PropSpec::new(
        "file",
        Kind::Text,
        "the variable that holds the path of a file with it, which only this user can read and which is removed afterwards",
    ),
]);

pub(super) static WHEN: NodeSpec = NodeSpec::new(
    "when",
    "a condition for the target to take part; without it there are no steps, and nobody waits for them. Of several all must hold",
)
.args(&[ArgSpec::one("condition", Kind::Scalar, "true or false: `\"${git.branch == 'main'}\"`")]);

pub(super) static NEEDS: NodeSpec = NodeSpec::new("needs", "targets that must end well first").args(&[ArgSpec::some(
    "target",
    Kind::Target,
    "a task, an image, a service or a group",
)]);

pub(super) static AFTER: NodeSpec = NodeSpec::new("after", "targets that must end first, if they take part").args(&[ArgSpec::some(
    "target",
    Kind::Target,
    "a task, an image, a service or a group",
)]);

pub(super) static PLATFORMS: NodeSpec = NodeSpec::single(
    "platforms",
    "the platforms it is made for, each on its own",
    &[ArgSpec::some("platform", Kind::Platform, "for instance `amd64` or `\"linux/arm/v7\"`")],
);

pub(super) static MATRIX: NodeSpec = NodeSpec::new("matrix", "variables; the target exists once for every combination of their values")
    .open(&[&EXCLUDE_CELL, &INCLUDE_CELL], &AXIS)
    .once();

static AXIS: NodeSpec =
    NodeSpec::new("variable", "a variable and its values").args(&[ArgSpec::some("value", Kind::Scalar, "a value")]).once();

static EXCLUDE_CELL: NodeSpec = NodeSpec::new("exclude", "leaves out the combinations with these values, whatever the others are")
    .other_props("the value of the variable of this name");

static INCLUDE_CELL: NodeSpec = NodeSpec::new(
    "include",
    "adds the combinations with these values, a variable that is not named having each of its own. With a name that is no variable of the \
     matrix, the combinations that fit get it as a further variable, of several the last; where none fits they are added",
)
.other_props("the value of the variable of this name");

pub(super) static USER: NodeSpec =
    NodeSpec::single("user", "the user it runs as", &[ArgSpec::one("user", Kind::Scalar, "a name or number, with an optional `:group`")]);

pub(super) static TASK: NodeSpec =
    NodeSpec::new("task", "commands with declared inputs and outputs").args(&[ArgSpec::one("name", Kind::Name, "its name")]).children(&[
        &DOC,
        &USE,
        &ARG,
        &FLAG,
        &REST,
        &NEEDS,
        &AFTER,
        &INPUTS,
        &OUTPUTS,
        &ENV,
        &ENV_FILE,
        &SECRET_USE,
        &PASS_ENV,
        &TOOLS,
        &DIR,
        &SHELL,
        &RUN,
        &EXEC,
        &CONTAINER,
        &EXEC_IN,
        &TIMEOUT,
        &SILENCE,
        &RETRY,
        &TASK_CPUS,
        &TASK_MEMORY,
        &JOBSERVER,
        &INTERACTIVE,
        &ALLOW_FAILURE,
        &LOCK,
        &POOL_USE,
        &SANDBOX,
        &PLATFORMS,
        &MATRIX,
        &WHEN,
    ]);

static INPUTS: NodeSpec =
    NodeSpec::new("inputs", "files that can change the result, and what links among them lead to; without it the task always runs")
        .args(&[ArgSpec::some("pattern", Kind::Path, "a path or glob; `!` before it leaves files out")]);

static OUTPUTS: NodeSpec = NodeSpec::new("outputs", "files that it makes; those of its last run are taken away before it runs again")
    .args(&[ArgSpec::some("pattern", Kind::Path, "a file, a folder with `/` at its end, or a glob")]);

static PASS_ENV: NodeSpec = NodeSpec::new("pass-env", "variables taken from kiln's own environment; their values are part of the key")
    .args(&[ArgSpec::some("variable", Kind::Text, "its name")])
    .props(&[PropSpec::new(
        "unkeyed",
        Kind::Flag,
        "the values are not part of the key, since they cannot change the result: where a tool lives",
    )]);

static TOOLS: NodeSpec =
    NodeSpec::new("tools", "programs whose identity is part of the key").args(&[ArgSpec::some("program", Kind::Text, "its name")]);

static DIR: NodeSpec = NodeSpec::single("dir", "where it runs", &[ArgSpec::one("path", Kind::Path, "a folder of the project")]);

pub(super) static SHELL: NodeSpec = NodeSpec::single(
    "shell",
    "the shell for `run`; the script follows as the last argument. At the top of the plan for all tasks that do not say it themselves; an image keeps its own in its config, for its health check",
    &[ArgSpec::one("program", Kind::Text, "the program"), ArgSpec::any("option", Kind::Text, "its options")],
);

pub(super) static RUN: NodeSpec =
    NodeSpec::new("run", "a script, handed to the shell as it is written").args(&[ArgSpec::one("script", Kind::Script, "the script")]);

pub(super) static EXEC: NodeSpec = NodeSpec::new("exec", "a program with its arguments, without a shell")
    .args(&[ArgSpec::one("program", Kind::Scalar, "the program"), ArgSpec::any("argument", Kind::Scalar, "its arguments")]);

static EXEC_IN: NodeSpec = NodeSpec::single(
    "exec-in",
    "the running service that its commands run in",
    &[ArgSpec::one("service", Kind::Target, "a `service` of the plan, which is started and healthy before")],
);

static TIMEOUT: NodeSpec =
    NodeSpec::single("timeout", "after which it is stopped", &[ArgSpec::one("time", Kind::Duration, "a length of time")]);

static RETRY: NodeSpec =
    NodeSpec::single("retry", "how often it is tried again after a failure", &[ArgSpec::one("times", Kind::Integer, "0 to 100")]).props(&[
        PropSpec::new(
            "on",
            Kind::Text,
            "after which failures, with blanks between: `timeout`, `silence`, `signal`, `exit:75`; after any unless given",
        ),
        PropSpec::new(
            "delay",
            Kind::Duration,
            "the pause before the first further attempt, doubled for each next one up to ten seconds; `500ms` unless given",
        ),
    ]);

static INTERACTIVE: NodeSpec = NodeSpec::flag("interactive", "it takes over the terminal: runs alone and is never cached");

static ALLOW_FAILURE: NodeSpec = NodeSpec::flag("allow-failure", "the run goes on as if it had succeeded");

static LOCK: NodeSpec = NodeSpec::new("lock", "tasks that share a lock never run at the same time").args(&[ArgSpec::some(
    "name",
    Kind::Text,
    "the name of the lock",
)]);

/// Properties of both health check forms.
pub(super) const HEALTH_PROPS: &[PropSpec] = &[
    PropSpec::new("interval", Kind::Duration, "between two checks"),
    PropSpec::new("timeout", Kind::Duration, "for one check"),
    PropSpec::new("start-period", Kind::Duration, "before failures count"),
    PropSpec::new("retries", Kind::Integer, "failures in a row until unhealthy"),
];
