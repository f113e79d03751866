//! What may stand in a `container` of a task, and what containers and services share.

use super::task::USER;
use super::{ArgSpec, Kind, NodeSpec, PropSpec};

pub(super) static CONTAINER: NodeSpec = NodeSpec::new("container", "the container that the task's commands run in")
    .children(&[
        &CONTAINER_IMAGE,
        &USER,
        &READ_ONLY,
        &NETWORK,
        &MEMORY,
        &CPUS,
        &PIDS,
        &CAP_DROP,
        &CAP_ADD,
        &MOUNT,
        &VOLUME,
        &TMPFS,
        &CONTAINER_LABEL,
    ])
    .once();

pub(super) static CONTAINER_IMAGE: NodeSpec = NodeSpec::single(
    "image",
    "what it is made of",
    &[ArgSpec::one("image", Kind::Text, "an image of the plan, or a reference that the daemon has or can pull")],
);

pub(super) static READ_ONLY: NodeSpec = NodeSpec::flag("read-only", "the root file system is read-only");

static NETWORK: NodeSpec = NodeSpec::single(
    "network",
    "what it can reach: `network` alone is the engine's usual network; without this node it reaches nothing",
    &[ArgSpec::any("network", Kind::Scalar, "a `network` of the plan; `#false` for none")],
);

pub(super) static MEMORY: NodeSpec = NodeSpec::single("memory", "the memory limit", &[ArgSpec::one("size", Kind::Size, "the limit")]);

pub(super) static CPUS: NodeSpec = NodeSpec::single("cpus", "the CPU limit", &[ArgSpec::one("number", Kind::Number, "for instance `1.5`")]);

pub(super) static PIDS: NodeSpec =
    NodeSpec::single("pids", "the most processes at the same time", &[ArgSpec::one("number", Kind::Integer, "1 or more")]);

pub(super) static CAP_DROP: NodeSpec = NodeSpec::new("cap-drop", "capabilities that are taken away").args(&[ArgSpec::some(
    "capability",
    Kind::Text,
    "`ALL`, or a name like `NET_RAW`",
)]);

pub(super) static CAP_ADD: NodeSpec = NodeSpec::new("cap-add", "capabilities that are given").args(&[ArgSpec::some(
    "capability",
    Kind::Text,
    "`ALL`, or a name like `NET_BIND_SERVICE`",
)]);

/// In a task's container the project itself is mounted too, so the node has a second form.
static MOUNT: NodeSpec =
    NodeSpec::new("mount", "mounts a file or folder of the project; `mount #false` keeps the project itself from `/work`")
        .args(&[
            ArgSpec::one("source", Kind::Scalar, "a path of the project; `#false` alone for no project"),
            ArgSpec::maybe("path", Kind::Text, "an absolute path in the container"),
            READ_ONLY_WORD,
        ])
        .props(&[READ_ONLY_PROP]);

pub(super) static SERVICE_MOUNT: NodeSpec = NodeSpec::new("mount", "mounts a file or folder of the project")
    .args(&[
        ArgSpec::one("source", Kind::Text, "a path of the project"),
        ArgSpec::one("path", Kind::Text, "an absolute path in the container"),
        READ_ONLY_WORD,
    ])
    .props(&[READ_ONLY_PROP]);

pub(super) static VOLUME: NodeSpec = NodeSpec::new("volume", "mounts a volume of the plan")
    .args(&[
        ArgSpec::one("volume", Kind::Text, "the name of a `volume` at the top of the plan"),
        ArgSpec::one("path", Kind::Text, "an absolute path in the container"),
        READ_ONLY_WORD,
    ])
    .props(&[READ_ONLY_PROP]);

pub(super) static TMPFS: NodeSpec = NodeSpec::new("tmpfs", "mounts a file system in memory, empty at each start")
    .args(&[ArgSpec::one("path", Kind::Text, "an absolute path in the container")])
    .props(&[PropSpec::new("size", Kind::Size, "the most that it holds")]);

const READ_ONLY_WORD: ArgSpec = ArgSpec::maybe("read-only", Kind::Words(&["read-only"]), "it cannot be written");
const READ_ONLY_PROP: PropSpec = PropSpec::new("read-only", Kind::Flag, "it cannot be written");

pub(super) static CONTAINER_LABEL: NodeSpec =
    NodeSpec::new("label", "labels of the container: `label key=\"value\"` or `label \"key\" \"value\"`")
        .args(&[ArgSpec::maybe("key", Kind::Text, "the key"), ArgSpec::maybe("value", Kind::Scalar, "the value")])
        .other_props("the value of the label of this name");
