//! What a container may see and use, whether a task or a service runs in it.
//! In: nothing. Out: types that readers fill and engines obey. Never: a default that gives more than the plan asked for.

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Span;
use crate::base::path::RelPath;

/// The walls of a container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Isolation {
    /// The user, as `docker run --user` takes it; `None` is the image's.
    pub user: Option<String>,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// What it can reach.
    pub network: Network,
    /// Memory limit in bytes.
    pub memory: Option<u64>,
    /// CPU limit.
    pub cpus: Option<f64>,
    /// The most processes at the same time.
    pub pids: Option<u32>,
    /// Capabilities that are dropped, sorted; `ALL` for all.
    pub cap_drop: Vec<String>,
    /// Capabilities that are added, sorted.
    pub cap_add: Vec<String>,
    /// Labels of the container, sorted by name.
    pub labels: Vec<(String, String)>,
    /// What is mounted, in order of declaration.
    pub mounts: Vec<Mount>,
}

/// What a container can reach.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub enum Network {
    /// Nothing but itself.
    #[default]
    None,
    /// The usual network: the engine's for a task, the project's own for a service.
    Usual,
    /// These networks of the plan.
    Named(Vec<(String, Span)>),
}

/// One mount.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Where: an absolute path in the container.
    pub at: String,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// The node.
    pub span: Span,
}

/// What can be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A file or folder of the project.
    Project(RelPath),
    /// A volume of the plan, by its name.
    Volume(String),
    /// A file system in memory, of at most so many bytes.
    Memory(Option<u64>),
}

/// The capabilities of Linux, without their `CAP_`. Source: `include/uapi/linux/capability.h` of Linux 6.12.
pub const CAPABILITIES: &[&str] = &[
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];
